//! Lines that lag, lose, repeat, restart and stray.

use super::place::Name;
use super::*;

const S: Name = *b"S               ";
const T: Name = *b"T               ";

fn place(line: u8, session: Name, seq: u64, count: u64) -> Place {
    Place::new(line, session, seq, count).unwrap()
}

/// Takes a packet as a feed does that holds nothing: true if the session changed.
fn take_in(sequencer: &mut Sequencer, place: &Place) -> (bool, Verdict) {
    let changes = sequencer.changes(place);
    assert_eq!(sequencer.arrive(place), changes);
    let verdict = sequencer.verdict(place);
    if let Verdict::Deliver { .. } = verdict {
        sequencer.delivered(place, place.end());
    }
    (changes, verdict)
}

fn take(sequencer: &mut Sequencer, line: u8, seq: u64, count: u64) -> Verdict {
    take_in(sequencer, &place(line, S, seq, count)).1
}

#[test]
fn lines_are_merged_per_message() {
    let mut sequencer = Sequencer::new(2);
    assert_eq!(take(&mut sequencer, 0, 1, 3), Verdict::Deliver { skip: 0 });
    assert_eq!(take(&mut sequencer, 1, 1, 2), Verdict::Drop);
    assert_eq!(take(&mut sequencer, 1, 3, 4), Verdict::Deliver { skip: 1 });
    assert_eq!(take(&mut sequencer, 0, 4, 3), Verdict::Drop);
    assert_eq!(sequencer.next(), 7);
    assert_eq!(sequencer.counters().duplicates, 2 + 1 + 3);
    let lines: Vec<_> = sequencer.lines().iter().map(|l| (l.packets, l.duplicates)).collect();
    assert_eq!(lines, [(2, 3), (2, 3)]);
}

#[test]
fn a_hole_is_a_gap_once_every_line_went_past_it() {
    let mut sequencer = Sequencer::new(2);
    take(&mut sequencer, 0, 1, 1);
    take(&mut sequencer, 1, 1, 1);
    assert_eq!(take(&mut sequencer, 0, 5, 1), Verdict::Ahead);
    assert!(sequencer.may_fill());
    assert_eq!(take(&mut sequencer, 1, 4, 2), Verdict::Ahead);
    assert!(!sequencer.may_fill());
    assert_eq!(sequencer.give_up(4), Some((2, 2)));
    assert_eq!(sequencer.counters().messages_missing, 2);
}

#[test]
fn a_restart_is_a_new_session_and_a_lagging_line_is_stale() {
    let mut sequencer = Sequencer::new(2);
    for line in [0, 1] {
        take(&mut sequencer, line, 1, 5);
    }
    let before = sequencer.session_key();
    take(&mut sequencer, 0, 6, 5);
    let restart = take_in(&mut sequencer, &place(0, S, 1, 2));
    assert_eq!(restart, (true, Verdict::Deliver { skip: 0 }));
    assert_ne!(sequencer.session_key(), before);
    assert_eq!(take(&mut sequencer, 1, 6, 5), Verdict::Drop);
    assert_eq!((sequencer.counters().stale, sequencer.lines()[1].stale), (1, 1));
    let follows = take_in(&mut sequencer, &place(1, S, 1, 2));
    assert_eq!(follows, (false, Verdict::Drop), "line 1 follows, it does not restart again");
    assert_eq!(take(&mut sequencer, 1, 3, 1), Verdict::Deliver { skip: 0 });
    assert_eq!(sequencer.counters().restarts, 1);
}

#[test]
fn a_line_two_restarts_behind_catches_up_one_by_one() {
    let mut sequencer = Sequencer::new(2);
    take(&mut sequencer, 1, 1, 4);
    for _ in 0..3 {
        take(&mut sequencer, 0, 1, 2);
        take(&mut sequencer, 0, 3, 2);
    }
    assert_eq!(sequencer.generation(), 2);
    for _ in 0..2 {
        take(&mut sequencer, 1, 1, 2);
        take(&mut sequencer, 1, 3, 2);
    }
    assert_eq!((sequencer.generation(), sequencer.counters().restarts), (2, 2));
}

#[test]
fn a_repeated_first_packet_is_a_duplicate() {
    let mut sequencer = Sequencer::new(1);
    take(&mut sequencer, 0, 1, 3);
    assert_eq!(take(&mut sequencer, 0, 1, 3), Verdict::Drop);
    assert_eq!(sequencer.counters().restarts, 0);
}

/// A first packet that the network delivered third was once a restart: the other line, which did
/// not restart, was stale for the rest of the session.
#[test]
fn a_first_packet_that_was_overtaken_is_no_restart() {
    let mut sequencer = Sequencer::new(2);
    take(&mut sequencer, 0, 1, 5);
    take(&mut sequencer, 1, 6, 5);
    take(&mut sequencer, 1, 11, 5);
    assert_eq!(take(&mut sequencer, 1, 1, 5), Verdict::Drop);
    assert_eq!(take(&mut sequencer, 0, 16, 5), Verdict::Deliver { skip: 0 });
    assert_eq!(sequencer.counters().duplicates, 5);
    assert_eq!((sequencer.counters().restarts, sequencer.counters().stale), (0, 0));

    // Once a line is under way, or has had its first packet, it is one.
    for seq in 4..=12 {
        take(&mut sequencer, 1, 5 * seq + 1, 5);
    }
    assert_eq!(take(&mut sequencer, 1, 1, 5), Verdict::Deliver { skip: 0 });
    assert_eq!(take(&mut sequencer, 1, 6, 5), Verdict::Deliver { skip: 0 });
    assert_eq!(take(&mut sequencer, 1, 1, 5), Verdict::Deliver { skip: 0 });
    assert_eq!(sequencer.counters().restarts, 2);
}

#[test]
fn another_name_is_another_session_and_the_old_one_is_stale() {
    let mut sequencer = Sequencer::new(2);
    take(&mut sequencer, 0, 1, 3);
    take(&mut sequencer, 1, 1, 3);
    assert!(sequencer.arrive(&place(0, T, 1, 1)));
    assert_eq!(take(&mut sequencer, 1, 4, 1), Verdict::Drop);
    assert_eq!(sequencer.counters().stale, 1);
    assert_eq!(sequencer.counters().restarts, 0);
    assert_eq!(take_in(&mut sequencer, &place(1, T, 1, 2)), (false, Verdict::Deliver { skip: 0 }));
}

/// A stray packet of another session once made the real session "the one before", and all that
/// followed of it stale for good.
#[test]
fn a_stray_packet_of_another_session_costs_no_message() {
    let mut sequencer = Sequencer::new(2);
    for line in [0, 1] {
        take(&mut sequencer, line, 1, 3);
    }
    let key = sequencer.session_key();
    assert!(take_in(&mut sequencer, &place(0, T, 77, 1)).0);
    assert_eq!(take(&mut sequencer, 1, 4, 1), Verdict::Drop);
    let back = take_in(&mut sequencer, &place(0, S, 4, 1));
    assert_eq!(back, (true, Verdict::Deliver { skip: 0 }));
    assert_eq!((sequencer.session_key(), sequencer.counters().resumes), (key, 1));
    assert_eq!(take(&mut sequencer, 1, 5, 1), Verdict::Deliver { skip: 0 });
}

/// A line that lost the packet with which its session restarted was once stale until the next one.
#[test]
fn a_line_that_lost_its_restart_joins_behind_the_others() {
    let mut sequencer = Sequencer::new(2);
    for line in [0, 1] {
        take(&mut sequencer, line, 1, 9);
    }
    take(&mut sequencer, 0, 1, 5);
    assert_eq!(take(&mut sequencer, 1, 3, 2), Verdict::Drop);
    assert_eq!(take(&mut sequencer, 1, 5, 2), Verdict::Deliver { skip: 1 });
    assert_eq!((sequencer.counters().stale, sequencer.counters().restarts), (0, 1));
}

/// A restart whose first packet was lost was once a stretch of duplicates.
#[test]
fn a_run_far_back_is_a_restart() {
    let mut sequencer = Sequencer::new(1);
    take(&mut sequencer, 0, 1, 40_000);
    for n in 0..7 {
        assert_eq!(take(&mut sequencer, 0, 35 + 10 * n, 10), Verdict::Suspect { run: 1 });
        assert_eq!(sequencer.suspicion(0, 1), Suspicion::Open);
    }
    let eighth = place(0, S, 105, 10);
    assert_eq!(take_in(&mut sequencer, &eighth), (true, Verdict::Ahead));
    assert_eq!(sequencer.suspicion(0, 1), Suspicion::Restart);
    assert_eq!(sequencer.give_up(35), Some((1, 34)), "the lost head is a gap");
    let counters = sequencer.counters();
    assert_eq!((counters.restarts, counters.duplicates, counters.late), (1, 0, 0));
}

#[test]
fn a_run_is_repeats_if_anything_new_comes_between_or_it_steps_back_little() {
    let mut sequencer = Sequencer::new(2);
    for line in [0, 1] {
        take(&mut sequencer, line, 1, 40_000);
    }
    for n in 0..20 {
        let run = n / 5 + 1;
        assert_eq!(
            take(&mut sequencer, 0, 1_000 + 10 * n, 10),
            Verdict::Suspect { run: run as u32 }
        );
        if n % 5 == 4 {
            // It is the other line that goes on.
            take(&mut sequencer, 1, 40_001 + n, 1);
            sequencer.give_up(40_002 + n);
        }
    }
    for n in 0..20 {
        assert_eq!(take(&mut sequencer, 0, 39_000 + 10 * n, 10), Verdict::Drop);
    }
    assert_eq!((sequencer.counters().restarts, sequencer.counters().stale), (0, 0));
    assert_eq!(sequencer.counters().duplicates, 40_000 + 200 + 200);
}

/// A copy of a line, all but its first packet, read as one with it.
#[test]
fn a_second_line_read_as_one_with_the_first_is_no_restart() {
    let mut sequencer = Sequencer::new(1);
    for burst in 0..100 {
        for copy in [0, 1] {
            for packet in 0..20 {
                // The copy of the burst before.
                let Some(at) = (20 * burst + packet as u64).checked_sub(30 * copy) else {
                    continue;
                };
                if copy == 1 && at == 0 {
                    continue;
                }
                take(&mut sequencer, 0, 1 + 5 * at, 5);
            }
        }
    }
    assert_eq!((sequencer.counters().restarts, sequencer.next()), (0, 10_001));
}

#[test]
fn a_head_that_comes_second_brings_its_run_along() {
    let mut sequencer = Sequencer::new(1);
    take(&mut sequencer, 0, 1, 4_000);
    assert_eq!(take(&mut sequencer, 0, 5, 5), Verdict::Suspect { run: 1 });
    assert_eq!(take_in(&mut sequencer, &place(0, S, 1, 4)), (true, Verdict::Deliver { skip: 0 }));
    assert_eq!(sequencer.suspicion(0, 1), Suspicion::Restart);
    // Repeats far from the head are none of it.
    take(&mut sequencer, 0, 5, 4_000);
    assert_eq!(take(&mut sequencer, 0, 2_000, 4), Verdict::Suspect { run: 2 });
    assert!(take_in(&mut sequencer, &place(0, S, 1, 4)).0);
    assert_eq!(sequencer.suspicion(0, 2), Suspicion::Repeats);
    assert_eq!((sequencer.counters().restarts, sequencer.counters().duplicates), (2, 4));
}

#[test]
fn what_comes_after_its_hole_was_given_up_is_late_and_no_duplicate() {
    let mut sequencer = Sequencer::new(1);
    take(&mut sequencer, 0, 1, 5);
    assert_eq!(take(&mut sequencer, 0, 11, 5), Verdict::Ahead);
    sequencer.give_up(11);
    take(&mut sequencer, 0, 11, 105);
    assert_eq!(take(&mut sequencer, 0, 4, 10), Verdict::Drop);
    assert_eq!((sequencer.counters().late, sequencer.counters().duplicates), (5, 5));
    assert_eq!((sequencer.lines()[0].late, sequencer.lines()[0].duplicates), (5, 5));
}

/// The messages of the line that came second, before the first one seen, were once duplicates.
#[test]
fn a_session_opens_once_every_line_has_shown_where_it_is() {
    let mut sequencer = Sequencer::new(2);
    assert_eq!(take(&mut sequencer, 0, 1_006, 5), Verdict::Ahead);
    assert!(sequencer.may_fill());
    assert_eq!(take(&mut sequencer, 1, 1_001, 5), Verdict::Ahead);
    assert!(!sequencer.may_fill());
    assert_eq!(sequencer.give_up(1_001), None, "nothing is missing before it opens");
    assert_eq!(sequencer.next(), 1_001);
    assert_eq!(take(&mut sequencer, 1, 990, 2), Verdict::Drop);
    assert_eq!((sequencer.counters().late, sequencer.counters().gaps), (2, 0));
}

#[test]
fn a_stream_that_sends_again_is_no_restart() {
    let mut sequencer = Sequencer::of_stream();
    take(&mut sequencer, 0, 1, 40_000);
    for seq in 100..200 {
        assert_eq!(take(&mut sequencer, 0, seq, 1), Verdict::Drop);
    }
    assert_eq!(sequencer.counters().restarts, 0);
}

#[test]
fn impossible_sequence_numbers_are_refused() {
    assert!(Place::new(0, S, u64::MAX, 1).is_none());
    let last = place(0, S, u64::MAX, 0);
    let mut sequencer = Sequencer::new(1);
    take_in(&mut sequencer, &last);
    take(&mut sequencer, 0, 1, 1);
    sequencer.give_up(u64::MAX);
    take(&mut sequencer, 0, 1, 2);
    sequencer.give_up(u64::MAX);
    assert_eq!(sequencer.counters().messages_missing, u64::MAX);
}
