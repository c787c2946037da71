//! Starting from snapshots: the state is the one of a run that was never disturbed, byte for byte,
//! and a snapshot that does not fit is told and passed over.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use corelane::journal::{Behind, JournalReader};
use corelane::rerun::decided;
use corelane::snapshot::{Replica, ReplicaStart, Snapshot, covered, list};
use corelane::sys::crc::Crc32c;
use corelane_feeds::units::Nanos;
use corelane_strategies::registry::Registry;

use super::recovery::{BAD_DATA, assert_goes_on, assert_refused, ended_run, go_on};
use super::support::{Side, feed, free_group, generate, must, run, text};

/// Draws places in a journal (xorshift).
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn shard_folder(side: &Side) -> PathBuf {
    side.whole_journal().join("shard-000")
}

/// A side that has decided by every strategy and every kind of rule.
fn decided_by_everything() -> Side {
    let dir = tempfile::tempdir().unwrap();
    let group = free_group();
    let size = ["--messages", "14000", "--symbols", "12", "--duration", "14s", "--episodes", "2"];
    let capture = generate(dir.path(), "a.pcap", group, &size);
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/end_to_end/data");
    let rules = data.join("every_operator.sql");
    let side = Side::new(
        "",
        &feed("itch50", &[group]),
        &format!("[[rules]]\nfile = \"{}\"\n", text(&rules)),
    );
    side.replay(&capture, "max");
    side
}

/// What a shard's state is after its whole journal, from a snapshot on or from the beginning; every
/// action on the way is compared. The snapshots taken at the places asked for are written down.
fn follow(side: &Side, from: Option<&Snapshot>, at: &[u64]) -> Vec<u8> {
    let (journal, registry) = (side.journal(), Registry::builtin());
    let config = decided::load(&journal, &registry).unwrap();
    let (run, shard, resident) = (journal.as_path(), 0, from.is_some());
    let start = ReplicaStart { run, config: &config, registry: &registry, shard, resident };
    let mut replica = Replica::new(&start, from).unwrap();
    let folder = shard_folder(side);
    let mut entries = match from {
        None => Box::new(JournalReader::open(&folder).unwrap()),
        Some(snapshot) => {
            replica.restore(snapshot).unwrap();
            match JournalReader::open_behind(&folder, None, &snapshot.header.place()).unwrap() {
                Behind::Entries(entries) => entries,
                _ => panic!("the place is not found"),
            }
        }
    };
    let (mut bytes, mut next) = (Vec::new(), 0);
    while let Some(entry) = entries.read().unwrap() {
        replica.take(&entry).unwrap();
        if at.get(next).is_some_and(|at| replica.seq() >= *at) && replica.is_settled() {
            assert!(replica.save(Nanos(0), &mut bytes));
            fs::write(side.path().join(format!("at-{next}")), &bytes).unwrap();
            next += 1;
        }
    }
    assert_eq!(next, at.len());
    assert!(replica.save(Nanos(0), &mut bytes));
    bytes
}

#[test]
fn every_state_goes_on_from_a_snapshot_as_if_nothing_had_been() {
    let side = decided_by_everything();
    let last = JournalReader::open(&shard_folder(&side)).unwrap().count() as u64;
    assert!(last > 15_000, "{last} entries");
    let mut draw = Draw(0x9e37_79b9_7f4a_7c15);
    let mut at: Vec<u64> = (0..10).map(|_| draw.below(last - 200)).collect();
    at.sort_unstable();
    let undisturbed = follow(&side, None, &at);
    for (number, at) in at.iter().enumerate() {
        let snapshot = Snapshot::read(&side.path().join(format!("at-{number}"))).unwrap();
        let bytes = follow(&side, Some(&snapshot), &[]);
        assert!(bytes == undisturbed, "from a snapshot at {at}");
    }
}

/// A side with two snapshots, the last one of its journal's end.
fn with_snapshots(rules: &str) -> Side {
    let (side, _) = ended_run(rules);
    let side = side.with_journal("snapshot_every = 1500");
    assert_goes_on(&side, "closed");
    assert_eq!(side.report()["snapshots"][0]["failure"], serde_json::Value::Null);
    let folder = shard_folder(&side);
    let found = list(&folder).unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(covered(&folder).unwrap(), found[1].0);
    side
}

fn snapshots(side: &Side) -> Vec<(u64, PathBuf)> {
    list(&shard_folder(side)).unwrap()
}

/// Changes bytes of the newest snapshot.
fn patch(side: &Side, offset: u64, bytes: &[u8]) {
    let (_, path) = &snapshots(side)[0];
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    file.write_all_at(bytes, offset).unwrap();
}

/// Makes its header fit again.
fn seal(side: &Side) {
    let (_, path) = &snapshots(side)[0];
    let bytes = fs::read(path).unwrap();
    let words =
        bytes[..120].chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
    let crc = Crc32c::detect().words(0, &words.collect::<Vec<_>>());
    patch(side, 120, &crc.to_le_bytes());
}

/// Goes on, and says what was decided over again, and from which entry.
fn goes_on(side: &Side, case: &str) -> (u64, Option<u64>) {
    assert_goes_on(side, case);
    let recovered = &side.report()["recovered"];
    let from = recovered["snapshots"][0].as_u64();
    // Whatever it went on from, the journal decides the same.
    must(side.path(), &["replay", "--journal", text(&side.whole_journal())]);
    (recovered["records"].as_u64().unwrap(), from)
}

#[test]
fn a_run_goes_on_from_the_newest_snapshot() {
    let side = with_snapshots("");
    let newest = snapshots(&side)[0].0;
    let (records, from) = goes_on(&side, "closed");
    assert_eq!(from, Some(newest));
    assert_eq!(records, 0, "nothing came behind it");
    // And again and again, with nothing new.
    assert_eq!(goes_on(&side, "closed"), (0, Some(newest)));
}

#[test]
fn what_lies_before_a_snapshot_may_be_gone() {
    let side = with_snapshots("");
    let segments = fs::read_dir(shard_folder(&side)).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_str().unwrap().ends_with(".segment")
    });
    assert!(segments.count() > 1);
    let newest = snapshots(&side)[0].0;
    fs::remove_file(shard_folder(&side).join("0000000000.segment")).unwrap();
    assert_goes_on(&side, "closed");
    assert_eq!(side.report()["recovered"]["snapshots"][0], newest);
    // Without a snapshot that fits there is nothing to begin from.
    for (_, path) in snapshots(&side) {
        fs::remove_file(path).unwrap();
    }
    assert_refused(&side, BAD_DATA, &["without its beginning", "from a copy"]);
}

#[test]
fn a_damaged_snapshot_is_passed_over() {
    let side = with_snapshots("");
    let (older, length) =
        (snapshots(&side)[1].0, fs::metadata(&snapshots(&side)[0].1).unwrap().len());
    patch(&side, length / 2, &[0xa5; 3]);
    let ended = go_on(&side);
    assert!(ended.stderr.contains("its newest snapshot is damaged"), "{}", ended.stderr);
    assert!(ended.stderr.contains("an older snapshot"), "{}", ended.stderr);
    assert_eq!(side.report()["recovered"]["snapshots"][0], older);
    assert_eq!(side.report()["recovered"]["case"], "damaged snapshot");
}

#[test]
fn without_a_snapshot_that_fits_the_whole_journal_is_decided_over() {
    let side = with_snapshots("");
    for (_, path) in snapshots(&side) {
        fs::write(path, "no snapshot at all").unwrap();
    }
    let (records, from) = goes_on(&side, "damaged snapshot");
    assert!(records > 3_000 && from.is_none(), "{records}");
}

#[test]
fn a_snapshot_of_another_version_or_configuration_is_passed_over() {
    let side = with_snapshots("");
    let older = snapshots(&side)[1].0;
    patch(&side, 8, &[99]);
    assert_eq!(goes_on(&side, "other version's snapshot").1, Some(older));

    let side = with_snapshots("");
    patch(&side, 64, &[1, 2, 3]);
    seal(&side);
    let older = snapshots(&side)[1].0;
    assert_eq!(goes_on(&side, "other configuration's snapshot").1, Some(older));
}

#[test]
fn a_snapshot_of_another_journal_is_passed_over() {
    let (side, other) = (with_snapshots(""), with_snapshots(""));
    let (newest, older) = (snapshots(&side)[0].1.clone(), snapshots(&side)[1].0);
    fs::copy(&snapshots(&other)[0].1, newest).unwrap();
    assert_eq!(goes_on(&side, "other journal's snapshot").1, Some(older));
}

#[test]
fn a_journal_that_ends_before_its_snapshot_is_gone_on_with_from_an_older_one() {
    let side = with_snapshots("");
    let folder = shard_folder(&side);
    let newest = snapshots(&side)[0].0;
    // The machine died: of the last entries nothing had been written.
    for number in 1..3 {
        let path = folder.join(format!("{number:010}.segment"));
        if path.exists() {
            fs::remove_file(path).unwrap();
        }
    }
    let entries: Vec<_> = JournalReader::open(&folder).unwrap().map_while(Result::ok).collect();
    let cut = entries.iter().find(|entry| entry.seq == newest).unwrap().offset;
    let file = fs::OpenOptions::new().write(true).open(folder.join("0000000000.segment")).unwrap();
    file.set_len(cut).unwrap();
    let older = snapshots(&side)[1].0;
    assert_eq!(goes_on(&side, "newer snapshot").1, Some(older));
}

/// A journal of a time when there was no copy on disk, which it then got; after each of those runs
/// the power goes.
#[test]
fn a_journal_that_got_a_copy_on_disk_begins_from_a_snapshot_there() {
    let side = with_snapshots("");
    let in_memory = snapshots(&side);
    side.survive("sync", "");
    assert_eq!(goes_on(&side, "closed"), (0, Some(in_memory[0].0)));
    let on_disk = snapshots(&side);
    assert_eq!(on_disk.len(), 1, "{on_disk:?}");
    assert_eq!(on_disk[0].0, in_memory[0].0);
    assert!(list(&side.journal().join("shard-000")).unwrap().is_empty());
    for _ in 0..2 {
        side.lose_memory();
        assert_eq!(goes_on(&side, "closed"), (0, Some(on_disk[0].0)));
    }
    side.lose_memory();
    fs::write(&on_disk[0].1, "no snapshot at all").unwrap();
    let (records, from) = goes_on(&side, "damaged snapshot");
    assert!(records > 3_000 && from.is_none(), "{records}");
}

#[test]
fn rules_that_changed_are_those_of_the_snapshot() {
    rules_change(|_| {});
}

#[test]
fn rules_that_changed_outlive_a_power_cut() {
    rules_change(|side| {
        if side.durable().exists() {
            side.lose_memory();
        } else {
            side.survive("sync", "");
        }
    });
}

/// Runs one after the other, with rules that change, and something that happens in between.
fn rules_change(happens: impl Fn(&Side)) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.sql");
    let rules = |limit: u32, also: &str| {
        let text = format!(
            "CREATE ACTION big (symbol SYMBOL, size BIGINT);\n{also}\
             CREATE RULE big ON book.order PARTITION BY symbol WHEN qty > {limit} \
             AND count(*) OVER (ROWS 9 PRECEDING) > 2 THEN big(symbol, qty);\n"
        );
        fs::write(&file, text).unwrap();
    };
    rules(500, "");
    let side = with_snapshots(&format!("[[rules]]\nfile = \"{}\"\n", text(&file)));
    happens(&side);
    // A rule before it: the other keeps its number, which only the snapshot tells.
    rules(900, "CREATE RULE first ON book.order WHEN qty > 5000 THEN big(symbol, qty);\n");
    assert_goes_on(&side, "other rules");
    happens(&side);
    let (records, from) = goes_on(&side, "closed");
    assert!(from.is_some() && records == 0, "{records} records, from {from:?}");
    happens(&side);
    rules(700, "");
    goes_on(&side, "other rules");
    happens(&side);
    assert!(goes_on(&side, "closed").1.is_some());
    let changes = must(
        side.path(),
        &["journal", "inspect", "--entries", "99999", text(&side.whole_journal())],
    );
    assert_eq!(changes.matches("sys.rule_change").count(), 2);
    let ended = run(side.path(), &["journal", "verify", text(&side.whole_journal())]);
    assert!(ended.status.success(), "{ended:?}");
}
