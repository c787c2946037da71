//! Writing, reading back, cutting and damaging small journals.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use corelane_feeds::record::{Record, RecordBuf, Stamp, View};
use corelane_feeds::streams::itch::{AddOrder, Noii};
use corelane_feeds::streams::sys::Tick;
use corelane_feeds::units::{Price, Seq};
use corelane_strategies::action::{Alert, Order};
use corelane_strategies::registry::Registry;
use tempfile::TempDir;
use zerocopy::IntoBytes;

use super::format::{END_BYTES, WORD_BYTES};
use super::*;
use crate::sys::crc::Crc32c;

mod counted;
mod follow;
mod resume;

/// An entry of a one-slot record.
const ENTRY_BYTES: usize = WORD_BYTES + 64;

fn config(dir: &Path) -> JournalConfig {
    JournalConfig {
        segment_bytes: SEGMENT_BYTES_MIN,
        id: 7,
        created: Nanos(1),
        ..JournalConfig::new(dir)
    }
}

/// The `i`-th record of a test journal: mostly one-slot inputs, some wide, some actions.
fn record(i: u64) -> RecordBuf {
    let stamp = Stamp { seq: Seq(i), ts_recv: Nanos(i * 10), ..Stamp::default() };
    match i % 7 {
        3 => Noii::new(stamp, b'B').as_record().to_buf(),
        5 => {
            let mut order = Order::new(stamp, b'B');
            order.price = Price(i as i64);
            order.as_record().to_buf()
        }
        6 => Alert::new(stamp, b'S').as_record().to_buf(),
        _ => {
            let mut add = AddOrder::new(stamp, b'S');
            add.order_ref = i;
            add.as_record().to_buf()
        }
    }
}

/// Writes `count` records and returns where the entries begin, as (segment, offset) would read.
fn write(config: &JournalConfig, count: u64) -> JournalWriter {
    let mut writer = JournalWriter::create(config).unwrap();
    for i in 1..=count {
        assert_eq!(writer.append(record(i).record().unwrap()).unwrap(), i);
    }
    writer
}

/// All entries, and how the journal ends.
fn read(dir: &Path) -> Result<(Vec<Entry>, Tail), JournalError> {
    let mut reader = JournalReader::open(&shard_dir(dir, 0))?;
    let entries = reader.by_ref().collect::<Result<Vec<_>, _>>()?;
    Ok((entries, reader.tail().unwrap()))
}

fn assert_entries(entries: &[Entry], count: u64) {
    assert_eq!(entries.len() as u64, count);
    for (i, entry) in (1..).zip(entries) {
        let buf = record(i);
        let wanted = buf.record().unwrap();
        assert_eq!(entry.seq, i);
        assert_eq!(entry.record().as_bytes(), wanted.as_bytes());
        let is_action = corelane_strategies::action::is_action(wanted);
        assert_eq!(entry.kind, if is_action { Kind::Action } else { Kind::Input });
    }
}

/// Copies the segment files, so that a test can damage them.
fn copy_of(dir: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let (from, to) = (shard_dir(dir, 0), shard_dir(copy.path(), 0));
    fs::create_dir_all(&to).unwrap();
    for (_, path) in segments(&from).unwrap() {
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
    copy
}

#[test]
fn what_is_written_is_read_back_over_many_segments() {
    let dir = tempfile::tempdir().unwrap();
    let writer = write(&config(dir.path()), 1_000);
    let counters = writer.close().unwrap();
    let (entries, tail) = read(dir.path()).unwrap();
    assert_entries(&entries, 1_000);
    assert_eq!(tail, Tail::Closed);
    assert_eq!(counters.entries, 1_000);
    let bytes = entries.iter().map(|e| WORD_BYTES + e.record().as_bytes().len()).sum::<usize>();
    assert_eq!(counters.bytes, bytes as u64);
    assert_eq!(counters.segments, 1 + entries.last().unwrap().segment);
    assert!(counters.segments > 15);
    // Nothing that was prepared in vain is left.
    let files = segments(&shard_dir(dir.path(), 0)).unwrap();
    assert_eq!(files.len() as u64, counters.segments);
}

#[test]
fn the_same_records_give_the_same_bytes_however_checksums_are_computed() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for (dir, crc) in dirs.iter().zip([Crc32c::detect(), Crc32c::portable()]) {
        let mut writer = JournalWriter::create(&config(dir.path())).unwrap();
        writer.set_crc(crc);
        for i in 1..=40 {
            writer.append(record(i).record().unwrap()).unwrap();
        }
        writer.close().unwrap();
    }
    let [a, b] = dirs.map(|dir| {
        let path = segment_path(&shard_dir(dir.path(), 0), 0);
        fs::read(path).unwrap()
    });
    assert_eq!(a, b);
}

#[test]
fn a_journal_that_was_not_closed_reads_to_its_last_entry() {
    let dir = tempfile::tempdir().unwrap();
    let writer = write(&config(dir.path()), 100);
    let check = || {
        let (entries, tail) = read(dir.path()).unwrap();
        assert_entries(&entries, 100);
        assert_eq!(tail, Tail::Open);
    };
    check();
    drop(writer);
    check();
}

#[test]
fn an_empty_journal_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let writer = JournalWriter::create(&config(dir.path())).unwrap();
    assert_eq!(read(dir.path()).unwrap().1, Tail::Open);
    writer.close().unwrap();
    let (entries, tail) = read(dir.path()).unwrap();
    assert_eq!((entries.len(), tail), (0, Tail::Closed));
    assert!(matches!(read(&dir.path().join("none")), Err(error) if error.is_not_found()));
}

#[test]
fn a_journal_is_never_overwritten_and_removed_only_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    write(&config(dir.path()), 3).close().unwrap();
    let again = JournalWriter::create(&config(dir.path()));
    assert!(matches!(again, Err(JournalError::Exists(_))));
    fs::write(dir.path().join("mine"), "kept").unwrap();
    for beside in ["confirmed-desk", "torn-0000000000-128", "segment.new"] {
        fs::write(shard_dir(dir.path(), 0).join(beside), "gone").unwrap();
    }
    assert_eq!(shard_dirs(dir.path()).unwrap(), [shard_dir(dir.path(), 0)]);
    remove(dir.path()).unwrap();
    remove(dir.path()).unwrap();
    remove(&dir.path().join("none")).unwrap();
    assert!(matches!(shard_dirs(dir.path()), Err(JournalError::NoJournal(_))));
    assert!(dir.path().join("mine").exists());
}

/// The file of a small journal of one segment is cut at every byte from before its last two entries
/// on. What is left reads as every entry that is left whole, and the rest is reported as torn.
#[test]
fn a_cut_anywhere_in_the_last_entries_loses_those_alone() {
    let dir = tempfile::tempdir().unwrap();
    let count = 12;
    write(&config(dir.path()), count).close().unwrap();
    let (entries, _) = read(dir.path()).unwrap();
    let starts: Vec<u64> = entries.iter().map(|entry| entry.offset).collect();
    let last = entries.last().unwrap();
    let end = last.offset + (WORD_BYTES + last.record().as_bytes().len()) as u64;
    let path = segment_path(&shard_dir(dir.path(), 0), 0);
    let bytes = fs::read(&path).unwrap();
    let from = starts[starts.len() - 2];
    for cut in from..=end + END_BYTES as u64 {
        fs::write(&path, &bytes[..cut as usize]).unwrap();
        let (left, tail) = read(dir.path()).unwrap();
        let whole = starts.iter().skip(1).chain([&end]).filter(|&&next| next <= cut).count();
        assert_entries(&left, whole as u64);
        let at = if whole == starts.len() { end } else { starts[whole] };
        let torn = Tail::Torn { segment: 0, offset: at, bytes: torn_bytes(&bytes, at, cut) };
        let wanted = match cut {
            _ if cut == end + END_BYTES as u64 => Tail::Closed,
            _ if cut == at => Tail::Open,
            _ => torn,
        };
        assert_eq!(tail, wanted, "cut at {cut}");
    }
}

/// Bytes up to the last that is not zero.
fn torn_bytes(bytes: &[u8], from: u64, to: u64) -> u64 {
    let piece = &bytes[from as usize..to as usize];
    piece.iter().rposition(|&byte| byte != 0).map_or(0, |last| last as u64 + 1)
}

/// A process that dies within an append leaves a payload, or a part of it, and no word.
#[test]
fn a_payload_without_its_word_is_torn() {
    let dir = tempfile::tempdir().unwrap();
    drop(write(&config(dir.path()), 4));
    let (entries, _) = read(dir.path()).unwrap();
    let (last, path) = (&entries[3], segment_path(&shard_dir(dir.path(), 0), 0));
    let mut bytes = fs::read(&path).unwrap();
    let word = last.offset as usize;
    bytes[word..word + WORD_BYTES].fill(0);
    fs::write(&path, &bytes).unwrap();
    let (entries, tail) = read(dir.path()).unwrap();
    assert_entries(&entries, 3);
    assert!(matches!(tail, Tail::Torn { segment: 0, offset, .. } if offset == last.offset));
}

/// A bit is flipped in every byte of a closed journal of two segments: none goes unnoticed, and
/// what is read before the damage is what was written.
#[test]
fn a_flipped_bit_in_any_byte_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    write(&config(dir.path()), 60).close().unwrap();
    assert_eq!(segments(&shard_dir(dir.path(), 0)).unwrap().len(), 2);
    for segment in 0..2 {
        let path = segment_path(&shard_dir(dir.path(), 0), segment);
        let whole = fs::read(&path).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        for (i, &byte) in whole.iter().enumerate() {
            file.write_all_at(&[byte ^ 1 << (i % 8)], i as u64).unwrap();
            let outcome = read(dir.path());
            file.write_all_at(&[byte], i as u64).unwrap();
            match outcome {
                Err(JournalError::Damaged { segment: named, offset, .. }) => {
                    // A broken end marker or header may show in the segment that follows.
                    assert!(named == segment || named == segment + 1, "{named} for {segment}");
                    assert!(named != segment || offset <= i as u64, "byte {i}: {offset}");
                }
                // The last entry of all, here the end marker, looks like one that was torn.
                Ok((entries, Tail::Torn { segment: 1, offset, .. })) => {
                    assert_eq!(segment, 1);
                    assert!(offset as usize <= i && i < offset as usize + END_BYTES);
                    assert_entries(&entries, 60);
                }
                other => panic!("segment {segment} byte {i}: {other:?}"),
            }
        }
    }
    assert_eq!(read(dir.path()).unwrap().1, Tail::Closed);
}

#[test]
fn damage_before_whole_entries_names_its_place() {
    let dir = tempfile::tempdir().unwrap();
    write(&config(dir.path()), 30).close().unwrap();
    let (entries, _) = read(dir.path()).unwrap();
    let at = entries[20].offset;
    for (bytes, wanted) in [(WORD_BYTES, Damage::Hole), (ENTRY_BYTES, Damage::Hole)] {
        let copy = copy_of(dir.path());
        let path = segment_path(&shard_dir(copy.path(), 0), 0);
        let mut content = fs::read(&path).unwrap();
        content[at as usize..at as usize + bytes].fill(0);
        fs::write(&path, &content).unwrap();
        let mut reader = JournalReader::open(&shard_dir(copy.path(), 0)).unwrap();
        assert_eq!(reader.by_ref().take_while(Result::is_ok).count(), 20);
        let error = read(copy.path()).unwrap_err();
        assert!(
            matches!(error, JournalError::Damaged { segment: 0, offset, why }
                if offset == at && why == wanted),
            "{error}"
        );
        assert_eq!(error.exit_code(), 65);
    }
}

#[test]
fn segments_that_are_missing_or_of_another_journal_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    write(&config(dir.path()), 200).close().unwrap();
    let path = |dir: &Path, segment| segment_path(&shard_dir(dir, 0), segment);
    let count = segments(&shard_dir(dir.path(), 0)).unwrap().len() as u64;
    assert!(count > 3);

    for missing in [1, count - 1] {
        let copy = copy_of(dir.path());
        fs::remove_file(path(copy.path(), missing)).unwrap();
        let error = read(copy.path()).unwrap_err();
        assert!(matches!(error, JournalError::Missing { segment } if segment == missing));
    }

    // A segment never begun, in the middle: a hole.
    let copy = copy_of(dir.path());
    fs::write(path(copy.path(), 1), vec![0; 4096]).unwrap();
    let error = read(copy.path()).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { segment: 1, why: Damage::Hole, .. }));

    // The same records in another journal: whole, but no part of this one.
    let other = tempfile::tempdir().unwrap();
    let id = JournalConfig { id: 8, ..config(other.path()) };
    write(&id, 200).close().unwrap();
    fs::copy(path(other.path(), 2), path(copy.path(), 2)).unwrap();
    fs::copy(path(dir.path(), 1), path(copy.path(), 1)).unwrap();
    let error = read(copy.path()).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { segment: 2, why: Damage::Foreign, .. }));

    // The oldest segments may be gone: they were not to be kept.
    let copy = copy_of(dir.path());
    fs::remove_file(path(copy.path(), 0)).unwrap();
    let (entries, tail) = read(copy.path()).unwrap();
    assert_eq!((entries.last().unwrap().seq, tail), (200, Tail::Closed));
    assert!(entries[0].seq > 1);
}

/// Waits for the service thread.
fn wait_until_ready(writer: &JournalWriter) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !writer.next_is_ready() {
        assert!(Instant::now() < deadline, "the service thread prepares nothing");
        std::thread::yield_now();
    }
}

#[test]
fn segments_are_ready_ahead_and_made_inline_only_when_the_writer_runs_away() {
    let dir = tempfile::tempdir().unwrap();
    let config = JournalConfig { segments_ahead: 1, ..config(dir.path()) };
    let mut writer = JournalWriter::create(&config).unwrap();
    let mut i = 0;
    for segments in 2..=5 {
        wait_until_ready(&writer);
        while writer.counters().segments < segments {
            i += 1;
            writer.append(record(i).record().unwrap()).unwrap();
        }
    }
    let counters = writer.counters();
    assert_eq!((counters.rolls_inline, counters.rolls_waited), (0, 0));
    // Hundreds of segments as fast as they come: some are late, none is lost.
    while writer.counters().segments < 300 {
        i += 1;
        writer.append(record(i).record().unwrap()).unwrap();
    }
    writer.close().unwrap();
    let (entries, tail) = read(dir.path()).unwrap();
    assert_entries(&entries, i);
    assert_eq!(tail, Tail::Closed);
}

#[test]
fn a_bound_on_segments_stops_the_writer_or_deletes_the_oldest() {
    let dir = tempfile::tempdir().unwrap();
    let bound = JournalConfig { segments_max: NonZeroU64::new(4), ..config(dir.path()) };
    let mut writer = JournalWriter::create(&bound).unwrap();
    let mut written = 0;
    let error = loop {
        match writer.append(record(written + 1).record().unwrap()) {
            Ok(seq) => written = seq,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, JournalError::Full { segments_max: 4 }), "{error}");
    assert_eq!(error.exit_code(), 74);
    assert!(matches!(writer.append(record(1).record().unwrap()), Err(JournalError::Stopped)));
    writer.close().unwrap();
    let (entries, tail) = read(dir.path()).unwrap();
    assert_entries(&entries, written);
    assert_eq!(tail, Tail::Closed);

    let dir = tempfile::tempdir().unwrap();
    let bound = JournalConfig {
        segments_max: NonZeroU64::new(4),
        when_full: WhenFull::DeleteOldest,
        ..config(dir.path())
    };
    write(&bound, 2_000).close().unwrap();
    let (entries, tail) = read(dir.path()).unwrap();
    assert_eq!((entries.last().unwrap().seq, tail), (2_000, Tail::Closed));
    assert!(segments(&shard_dir(dir.path(), 0)).unwrap().len() <= 4);

    let few = NonZeroU64::new(3);
    let few = JournalConfig { segments_max: few, ..bound };
    assert!(matches!(few.check(), Err(JournalError::Config(_))));
}

/// A file system of 256 KiB, if this process may mount one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
            .arg(dir.path())
            .stderr(std::process::Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_an_error_and_what_was_written_is_whole() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: a file system may not be mounted here");
        return;
    };
    let mut writer = JournalWriter::create(&config(disk.0.path())).unwrap();
    let mut written = 0;
    let error = loop {
        match writer.append(record(written + 1).record().unwrap()) {
            Ok(seq) => written = seq,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(&error, JournalError::Io(failure)
        if failure.source.kind() == std::io::ErrorKind::StorageFull),
        "{error}"
    );
    assert_eq!(error.exit_code(), 74);
    assert!(written > 1_000);
    writer.close().unwrap();
    let (entries, tail) = read(disk.0.path()).unwrap();
    assert_entries(&entries, written);
    assert_eq!(tail, Tail::Closed);
}

#[test]
fn control_notes_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = JournalWriter::create(&config(dir.path())).unwrap();
    let buf = record(1);
    let note: &Record = buf.record().unwrap();
    writer.append_control(note).unwrap();
    assert_eq!(writer.last_seq(), 1);
    writer.close().unwrap();
    let (entries, _) = read(dir.path()).unwrap();
    assert_eq!(entries[0].kind, Kind::Control);
}

/// Two journals of the same records, the second received later and with ticks between them.
fn live_and_replayed(last: u64) -> (TempDir, TempDir) {
    let dirs = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(&config(dirs.0.path()), 200).close().unwrap();
    let mut writer = JournalWriter::create(&config(dirs.1.path())).unwrap();
    for i in 1..=last {
        let mut buf = record(i);
        buf.header_mut().unwrap().ts_recv = Nanos(5);
        writer.append(buf.record().unwrap()).unwrap();
        if i % 50 == 0 {
            writer.append(Tick::new(Stamp::default(), 0).as_record()).unwrap();
        }
    }
    writer.close().unwrap();
    dirs
}

#[test]
fn a_replay_may_differ_in_times_of_receipt_and_ticks_alone() {
    let (live, replayed) = live_and_replayed(200);
    let dirs = [shard_dir(live.path(), 0), shard_dir(replayed.path(), 0)];
    let outcome = compare(&dirs[0], &dirs[1], Ignore::REPLAY).unwrap();
    assert!(outcome.is_equal());
    assert_eq!((outcome.equal_entries, outcome.ticks), (200, [0, 4]));
    assert_eq!(outcome.tails, [Some(Tail::Closed); 2]);
    let outcome = compare(&dirs[0], &dirs[1], Ignore::NOTHING).unwrap();
    assert_eq!((outcome.is_equal(), outcome.equal_entries), (false, 0));
    assert!(compare(&dirs[1], &dirs[1], Ignore::NOTHING).unwrap().is_equal());

    let (live, shorter) = live_and_replayed(199);
    let dirs = [shard_dir(live.path(), 0), shard_dir(shorter.path(), 0)];
    let outcome = compare(&dirs[0], &dirs[1], Ignore::REPLAY).unwrap();
    assert_eq!(outcome.equal_entries, 199);
    let difference = outcome.difference.unwrap();
    assert_eq!(difference.a.unwrap().record().header.seq, Seq(200));
    assert!(difference.b.is_none());
}

#[derive(clap::Parser)]
struct Cli {
    #[command(subcommand)]
    command: cli::JournalCommand,
}

/// What `corelane journal ARGS` prints, and its error.
fn corelane_journal(args: &[&str]) -> (String, Option<String>) {
    let args = ["journal"].iter().chain(args);
    let cli = <Cli as clap::Parser>::try_parse_from(args).unwrap();
    let mut out = Vec::new();
    let registry = Registry::builtin();
    let error = cli::run(&cli.command, &registry, &mut out).err();
    (String::from_utf8(out).unwrap(), error.map(|error| format!("{error:#}")))
}

#[test]
fn the_command_line_says_what_is_there() {
    let (live, replayed) = live_and_replayed(200);
    let (a, b) = (live.path().to_str().unwrap(), replayed.path().to_str().unwrap());

    let (text, error) = corelane_journal(&["inspect", b]);
    assert_eq!(error, None);
    assert!(text.contains("entries 204 ("), "{text}");
    assert!(text.contains("sys.tick                            4"), "{text}");
    let (json, _) = corelane_journal(&["inspect", a, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["entries"], 200);
    assert_eq!(json[0]["kinds"]["action"], 56);
    assert_eq!(json[0]["streams"]["action.order"], 28);
    assert_eq!(json[0]["tail"], "closed");

    let (lines, _) = corelane_journal(&["inspect", a, "--entries", "2", "--from", "5"]);
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["journal_seq"], &lines[0]["kind"]), (&5.into(), &"action".into()));
    assert_eq!(lines[0]["record"]["stream"], "action.order");

    let (text, error) = corelane_journal(&["diff", a, b]);
    assert_eq!(
        (text.as_str(), error),
        ("shard-000: equal, 200 entries, 4 ticks passed over\n", None)
    );
    let (text, error) = corelane_journal(&["diff", a, b, "--exact"]);
    assert_eq!(error.as_deref(), Some("the journals of 1 of 1 shards differ"));
    assert!(text.starts_with("shard-000: differ after 0 equal entries\n  a: {"), "{text}");

    let (text, error) = corelane_journal(&["verify", a]);
    assert!(text.ends_with("200 entries, closed\n"), "{text}");
    assert_eq!(error, None);
    let path = segment_path(&shard_dir(live.path(), 0), 0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[1_000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (_, error) = corelane_journal(&["verify", a]);
    let error = error.unwrap();
    assert!(error.starts_with("segment 0 is damaged at byte "), "{error}");
}
