//! Sessions that restart under their name on lines that lose, repeat and reorder, against an oracle
//! that knows which session every packet is of.
//!
//! Each message carries its session's number in its time, so that what comes out can be told from
//! what was sent: every message that arrives is delivered once, under the session it is of, or is
//! counted by the name of what became of it.

use std::collections::BTreeSet;
use std::ops::Range;

use corelane_feeds::feed::{Feed, FeedConfig, FeedCounters, Protocol, Transport};
use corelane_feeds::itch50::wire;
use corelane_feeds::moldudp64::Header;
use corelane_feeds::record::Record;
use corelane_feeds::streams::itch::SystemEvent;
use corelane_feeds::streams::sys::{Gap, Session};
use corelane_feeds::units::Nanos;
use proptest::collection::vec;
use proptest::prelude::*;
use zerocopy::IntoBytes;

/// A packet: line, session (0 is the first), first message, messages.
type Sent = (u8, u64, u64, u64);

/// Room for more messages than a session has.
const SESSION_STEP: u64 = 1 << 20;

fn packet((_, session, seq, count): Sent) -> Vec<u8> {
    let mut bytes = Header::new(*b"SESSION001", seq, count as u16).as_bytes().to_vec();
    for n in 0..count {
        let head = wire::Head::new(b'S', 0, session * SESSION_STEP + seq + n);
        let message = wire::SystemEvent { head, event: b'O' };
        bytes.extend_from_slice(&(size_of_val(&message) as u16).to_be_bytes());
        bytes.extend_from_slice(message.as_bytes());
    }
    bytes
}

/// What came out: (session that the feed says, session that the message says, its number).
#[derive(Default, PartialEq, Debug)]
struct Outcome {
    messages: Vec<(u64, u64, u64)>,
    missing: Vec<(u64, u64)>,
    counters: FeedCounters,
}

fn run(lines: u8, packets: &[Sent]) -> Outcome {
    let config = FeedConfig::new(0, Protocol::Itch50, Transport::MoldUdp64);
    let mut feed = Feed::new(&FeedConfig { lines, hold_max: packets.len(), ..config });
    let mut outcome = Outcome::default();
    let mut session = 0;
    let mut sink = |record: &Record| {
        if let Some(begun) = record.view::<Session>() {
            session = u64::from(begun.generation);
        } else if let Some(gap) = record.view::<Gap>() {
            outcome.missing.extend((gap.first.0..gap.first.0 + gap.count).map(|n| (session, n)));
        } else if record.view::<SystemEvent>().is_some() {
            let said = record.header.ts_event.0;
            let told = (session, said / SESSION_STEP, said % SESSION_STEP);
            assert_eq!(record.header.seq.0, told.2);
            outcome.messages.push(told);
        }
    };
    for sent in packets {
        feed.datagram(sent.0, Nanos(1), &packet(*sent), &mut sink);
    }
    feed.flush(Nanos(1), &mut sink);
    outcome.counters = feed.counters();
    outcome
}

/// One line's packets of a session: sizes in turn, what arrives, what comes twice or swapped.
fn session_of(session: u64, total: u64, faults: &[(u64, u8)], lost_head: usize) -> Vec<Sent> {
    let (mut seq, mut packets, mut swapped) = (1, Vec::new(), false);
    for (at, (size, fault)) in faults.iter().cycle().enumerate() {
        if seq > total {
            break;
        }
        let count = (*size).min(total + 1 - seq);
        let sent = (0, session, seq, count);
        seq += count;
        // No packet is overtaken twice.
        let may_swap = packets.len() > 1 && !std::mem::take(&mut swapped);
        match fault {
            _ if at < lost_head => {}
            0 => {}
            // A first packet that comes twice with another between is a restart: nothing tells.
            1 if at > 0 => packets.extend([sent, sent]),
            2 if may_swap => {
                packets.insert(packets.len() - 1, sent);
                swapped = true;
            }
            _ => packets.push(sent),
        }
    }
    packets
}

fn numbers(sent: &Sent) -> Range<u64> {
    sent.2..sent.2 + sent.3
}

fn count(packets: &[Sent]) -> u64 {
    packets.iter().map(|sent| sent.3).sum()
}

fn faults() -> impl Strategy<Value = Vec<(u64, u8)>> {
    vec((1..40u64, 0..30u8), 1..50)
}

proptest! {
    /// A restart is seen whatever is lost of its head, as long as the head is the smaller half.
    #[test]
    fn a_restart_is_seen_whose_head_was_lost(
        first in faults(), second in faults(), head in 0..20usize, total in 4_000..8_000u64,
    ) {
        // Loss alone in the second session's first packets, nothing that comes out of turn.
        let only_loss = |(size, fault): (u64, u8)| (size, if fault == 0 { 0 } else { 9 });
        let second: Vec<_> = second.into_iter().map(only_loss).collect();
        prop_assume!(second.iter().any(|(_, fault)| *fault != 0));
        let mut packets = session_of(0, total, &first, 0);
        prop_assume!(packets.last().is_some_and(|sent| sent.2 + sent.3 > 4_000));
        packets.extend(session_of(1, total, &second, head));
        let outcome = run(1, &packets);

        prop_assert!(outcome.messages.iter().all(|(says, is, _)| says == is));
        prop_assert_eq!(outcome.counters.restarts, 1);
        let delivered: BTreeSet<_> = outcome.messages.iter().map(|(_, s, n)| (*s, *n)).collect();
        prop_assert_eq!(delivered.len(), outcome.messages.len(), "each message once");
        let all_of_second = packets.iter().filter(|sent| sent.1 == 1);
        for n in all_of_second.flat_map(numbers) {
            prop_assert!(delivered.contains(&(1, n)), "{n}");
        }
        for message in &outcome.missing {
            prop_assert!(!delivered.contains(message), "{message:?} is no gap");
        }
        // Every message that arrived is accounted for.
        let FeedCounters { duplicates, late, stale, .. } = outcome.counters;
        let known = outcome.messages.len() as u64 + duplicates + late;
        prop_assert_eq!((known, stale), (count(&packets), 0));
        // The head is a gap, so that each session is told from its first message on.
        let missing: BTreeSet<_> = outcome.missing.iter().copied().collect();
        let is_told = |n| delivered.contains(&(1, n)) || missing.contains(&(1, n));
        prop_assert!((1..=3_900).all(is_told));
    }

    /// Duplicates, reordering and loss alone are never taken for a restart.
    #[test]
    fn one_session_is_one_session(faults in faults(), total in 1..8_000u64) {
        let packets = session_of(0, total, &faults, 0);
        let outcome = run(1, &packets);
        prop_assert_eq!(outcome.counters.restarts, 0);
        let delivered: BTreeSet<_> = outcome.messages.iter().map(|(_, _, n)| *n).collect();
        let FeedCounters { duplicates, late, .. } = outcome.counters;
        let known = outcome.messages.len() as u64 + duplicates + late;
        prop_assert_eq!(known, count(&packets));
        let arrived: BTreeSet<_> = packets.iter().flat_map(numbers).collect();
        // So many holes are remembered.
        if outcome.counters.gaps <= 32 {
            let undelivered = (arrived.len() - delivered.len()) as u64;
            prop_assert!(late >= undelivered, "{late} of {undelivered}");
        }
    }

    /// Nor is a second line that lags, by less than 512 messages, read as one in bursts.
    #[test]
    fn a_second_line_read_as_one_with_the_first_is_no_restart(
        sizes in vec((1..10u64, 9..10u8), 1..20), bursts in vec(1..25usize, 1..20),
        lag in 0..25usize,
    ) {
        let line = session_of(0, 8_000, &sizes, 0);
        // Its first packet alone would be one: nothing else tells a restart at once.
        let (mut ahead, mut behind, mut packets) = (1, 1, vec![line[0]]);
        for burst in bursts.iter().cycle() {
            let to = (ahead + burst).min(line.len());
            packets.extend(&line[ahead..to]);
            ahead = to;
            let is_over = ahead == line.len();
            let to = if is_over { ahead } else { ahead.saturating_sub(lag).max(behind) };
            packets.extend(&line[behind..to]);
            behind = to;
            if behind == line.len() {
                break;
            }
        }
        let outcome = run(1, &packets);
        prop_assert_eq!(outcome.counters.restarts, 0);
        let messages: Vec<_> = outcome.messages.iter().map(|(_, _, n)| *n).collect();
        prop_assert_eq!(messages, (1..=8_000).collect::<Vec<_>>());
        prop_assert_eq!(outcome.counters.duplicates, 8_000 - line[0].3);
    }

    /// Two lines that restart, their heads lost in part: what either brought is delivered.
    #[test]
    fn two_lines_restart_each_with_its_own_loss(
        sizes in [vec(1..40u64, 1..20), vec(1..40u64, 1..20)], heads in [0..12usize, 0..12usize],
        tosses in vec(any::<bool>(), 1..60),
    ) {
        let mut lines = [0, 1].map(|line: usize| {
            let faults: Vec<_> = sizes[line].iter().map(|size| (*size, 9)).collect();
            let mut packets = session_of(0, 4_000, &faults, 0);
            packets.extend(session_of(1, 4_000, &faults, heads[line]));
            packets.into_iter().map(|sent| (line as u8, sent.1, sent.2, sent.3)).collect::<Vec<_>>()
        });
        // No line lags by a session: one that was never heard in it cannot be told from one in it.
        let mut packets: Vec<Sent> = Vec::new();
        lines.iter_mut().for_each(|line| line.reverse());
        let at = |line: &[Sent]| line.last().map_or(u64::MAX, |sent| 4_000 * sent.1 + sent.2);
        for toss in tosses.iter().cycle() {
            let places = [at(&lines[0]), at(&lines[1])];
            let wanted = usize::from(*toss);
            let lags = places[wanted] > places[1 - wanted].saturating_add(400);
            let Some(sent) = lines[if lags { 1 - wanted } else { wanted }].pop() else { break };
            packets.push(sent);
        }
        let outcome = run(2, &packets);
        prop_assert_eq!(outcome.counters.restarts, 1);
        prop_assert!(outcome.messages.iter().all(|(says, is, _)| says == is));
        prop_assert!(outcome.messages.is_sorted());
        let delivered: BTreeSet<_> = outcome.messages.iter().map(|(_, s, n)| (*s, *n)).collect();
        prop_assert_eq!(delivered.len(), outcome.messages.len(), "each message once");
        prop_assert!((1..=4_000).all(|n| delivered.contains(&(0, n))));
        // Of the second session what the line brought that was first to restart, at least.
        let first = packets.iter().find(|sent| sent.1 == 1).map_or(0, |sent| sent.0);
        for sent in packets.iter().filter(|sent| sent.1 == 1 && sent.0 == first) {
            prop_assert!(numbers(sent).all(|n| delivered.contains(&(1, n))), "{sent:?}");
        }
        prop_assert_eq!(run(2, &packets), outcome, "the same packets give the same");
    }
}

/// A capture of one line, played over and over, the first datagram of the second pass lost: it was
/// once 36 messages fewer, and the rest of the pass duplicates.
#[test]
fn the_lost_head_of_a_restart_is_a_gap() {
    let pass = session_of(0, 3_600, &[(36, 9)], 0);
    let mut packets = pass.clone();
    packets.extend(session_of(1, 3_600, &[(36, 9)], 1));
    let outcome = run(1, &packets);
    assert_eq!(outcome.messages.len(), 3_600 + 3_564);
    assert_eq!(outcome.missing, (1..=36).map(|n| (1, n)).collect::<Vec<_>>());
    let FeedCounters { restarts, gaps, duplicates, late, .. } = outcome.counters;
    assert_eq!((restarts, gaps, duplicates, late), (1, 1, 0, 0));
}

/// The first line read had lost its first packet: the other's was once counted as duplicates.
#[test]
fn the_opening_of_the_second_line_is_delivered() {
    let outcome = run(2, &[(0, 0, 6, 5), (1, 0, 1, 5), (1, 0, 6, 5), (0, 0, 11, 5)]);
    let messages: Vec<_> = outcome.messages.iter().map(|told| told.2).collect();
    assert_eq!(messages, (1..=15).collect::<Vec<_>>());
    let FeedCounters { gaps, duplicates, late, .. } = outcome.counters;
    assert_eq!((gaps, duplicates, late), (0, 5, 0));
}
