//! Some hundred worlds, and that a seed names one.

use super::*;

fn in_a_folder(seed: u64, keep: bool) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    play(seed, keep, &Registry::builtin(), &dir.path().join("world")).unwrap()
}

/// The world of a seed as it was when that seed found something: without what came later.
fn as_it_was(seed: u64, change: impl FnOnce(&mut Plan)) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let mut plan = Plan::draw(&mut Rng::new(seed));
    (plan.snapshot_every, plan.retain_segments) = (None, None);
    change(&mut plan);
    play_as(&plan, seed, false, &Registry::builtin(), &dir.path().join("world")).unwrap()
}

#[test]
fn a_seed_gives_the_same_world_again() {
    let mut hashes = std::collections::HashSet::new();
    for seed in 1..=12 {
        let (once, again) = (in_a_folder(seed, false), in_a_folder(seed, true));
        assert_eq!(once.hash, again.hash, "seed {seed}");
        assert!(again.lines.len() > 100 && once.lines.is_empty());
        hashes.insert(once.hash);
    }
    assert_eq!(hashes.len(), 12, "other seeds give others");
}

#[test]
fn what_must_hold_holds_in_some_hundred_worlds() {
    let args = SimulateArgs { seed: 1, seeds: 300, jobs: 0, trace: false };
    let mut out = Vec::new();
    let ran = run(&args, &Registry::builtin(), &mut out);
    let out = String::from_utf8(out).unwrap();
    assert!(ran.is_ok(), "{out}{:#}", ran.unwrap_err());
    println!("{out}");
}

/// Rules keep their numbers when others take the place of some. A run that went on after such a
/// change, where one shard had missed it, told that shard the rules as the files have them,
/// numbered anew: its actions had other ids than those that the next start decided on.
#[test]
fn a_shard_that_missed_a_change_gets_rules_with_the_numbers_of_that_change() {
    assert_eq!(as_it_was(541, |plan| plan.disk = None).failure, None);
}

/// Durable copies: a file had actions twice when the journal had lost all of them; a segment behind
/// one that was cut short had a mark among its entries, and a power cut took what was durable.
#[test]
fn worlds_that_found_faults_of_durable_copies_hold() {
    for seed in [144, 158, 327, 420] {
        let without = |plan: &mut Plan| {
            plan.disk.iter_mut().for_each(|disk| disk.compresses = false);
        };
        assert_eq!(as_it_was(seed, without).failure, None, "seed {seed}");
    }
}

/// The second line's packet came before the first's, which held what the session begins with: the
/// record of the session had that packet's number, and a start behind it took what came before it
/// for delivered.
#[test]
fn a_session_begins_where_it_begins_whatever_line_is_ahead() {
    assert_eq!(as_it_was(800, |plan| plan.disk = None).failure, None);
}

/// A bit flipped in the rules beside the journal: they were taken for other ones, which those of
/// the configuration then took the place of.
#[test]
fn rules_in_which_a_bit_flipped_are_no_rules() {
    assert_eq!(in_a_folder(821, false).failure, None);
}

/// A bit flipped in a durable segment that was prepared and never begun: the next run wrote into
/// it, and what stood behind its end made the journal a damaged one.
#[test]
fn a_prepared_segment_is_made_anew_by_the_next_run() {
    for seed in [532, 6_995] {
        assert_eq!(in_a_folder(seed, false).failure, None, "seed {seed}");
    }
}

/// Actions that the file had and a power cut took from one shard's journal were sent once more,
/// if they were decided on while those of another shard still came again.
#[test]
fn what_the_file_is_ahead_of_one_shard_is_known_while_others_come_again() {
    assert_eq!(in_a_folder(6_894, false).failure, None);
}
