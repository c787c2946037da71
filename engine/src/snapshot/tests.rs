//! Snapshots cut and damaged, and how many are kept.

use corelane_feeds::record::{Record, Stamp, View};
use corelane_feeds::streams::itch::AddOrder;
use corelane_feeds::streams::sys::Session;
use corelane_feeds::units::{Nanos, Qty32, Seq};
use corelane_strategies::registry::Registry;

use super::*;
use crate::config::Config;
use crate::journal::{JournalConfig, JournalReader, JournalWriter, SEGMENT_BYTES_MIN, shard_dir};

const CONFIG: &str = "name = \"t\"\n[engine]\norders_max = 1024\n[[feed]]\nprotocol = \"itch50\"\n\
    lines = [\"239.1.1.1:4000\"]\n[[strategy]]\ntype = \"stuffing\"\n";

/// The replica of a shard that took a session and some orders, and its journal's folder.
fn replica(run: &Path) -> Replica {
    let registry = Registry::builtin();
    let config = Config::parse("t", CONFIG, &registry).unwrap();
    let segment_bytes = SEGMENT_BYTES_MIN;
    let journal = JournalConfig { segment_bytes, id: 5, ..JournalConfig::new(run) };
    let mut writer = JournalWriter::create(&journal).unwrap();
    let stamp = |seq| Stamp { seq: Seq(seq), instrument: 3, ..Stamp::default() };
    writer.append(Session::new(stamp(1), 0).as_record()).unwrap();
    for seq in 1..20 {
        let mut order = AddOrder::new(stamp(seq), b'B');
        (order.order_ref, order.qty) = (seq, Qty32(100));
        writer.append(order.as_record()).unwrap();
    }
    writer.close().unwrap();
    let start =
        ReplicaStart { run, config: &config, registry: &registry, shard: 0, resident: false };
    let mut replica = Replica::new(&start, None).unwrap();
    let mut entries = JournalReader::open(&shard_dir(run, 0)).unwrap();
    while let Some(entry) = entries.read().unwrap() {
        replica.take(&entry).unwrap();
    }
    assert_eq!((replica.seq(), replica.records), (20, 20));
    replica
}

#[test]
fn a_snapshot_that_is_cut_or_changed_anywhere_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = Vec::new();
    assert!(replica(dir.path()).save(Nanos(7), &mut bytes));
    let path = dir.path().join("snapshot");
    let read = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Snapshot::read(&path)
    };
    let snapshot = read(&bytes).unwrap();
    assert_eq!((snapshot.header.seq, snapshot.header.created), (20, Nanos(7)));
    assert!(Record::from_bytes(snapshot.section(Section::LastAction)).is_err(), "none left");
    // Every byte of the header, and some of each length.
    for cut in (0..200).chain((200..bytes.len()).step_by(97)) {
        assert!(read(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    let more = [&bytes[..], &[0; 8]].concat();
    assert!(read(&more).is_err());
    for at in (0..200).chain((200..bytes.len()).step_by(31)) {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            let changed = read(&bytes);
            bytes[at] ^= 1 << bit;
            assert!(changed.is_err(), "bit {bit} of byte {at}");
        }
    }
    assert!(read(&bytes).is_ok());
}

#[test]
fn a_snapshot_is_restored_to_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = Vec::new();
    let saved = replica(dir.path());
    assert!(saved.save(Nanos(0), &mut bytes));
    publish(dir.path(), saved.seq(), &bytes, 2).unwrap();
    let (seq, path) = list(dir.path()).unwrap().remove(0);
    let snapshot = Snapshot::read(&path).unwrap();
    assert_eq!(seq, 20);
    let registry = Registry::builtin();
    let made = |config: &str, shard| {
        let config = Config::parse("t", config, &registry).unwrap();
        let run = dir.path();
        let start =
            ReplicaStart { run, config: &config, registry: &registry, shard, resident: true };
        Replica::new(&start, Some(&snapshot)).unwrap()
    };
    let mut restored = made(CONFIG, 0);
    restored.restore(&snapshot).unwrap();
    let mut again = Vec::new();
    assert!(restored.save(Nanos(0), &mut again));
    // Memory that was made resident has room for the feed's tables, used or not: that is all.
    let mut twice = made(CONFIG, 0);
    twice.restore(&snapshot).unwrap();
    assert_eq!(twice.seq(), 20);
    assert!(again == bytes);
    assert!(matches!(made(CONFIG, 1).restore(&snapshot), Err(Unfit::Journal)));
    let other = CONFIG.replace("\"stuffing\"", "\"stuffing\"\nwindow = \"11ms\"");
    assert!(matches!(made(&other, 0).restore(&snapshot), Err(Unfit::Configuration)));
}

#[test]
fn the_last_ones_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(covered(dir.path()).unwrap(), 0);
    let kept = || list(dir.path()).unwrap().into_iter().map(|(seq, _)| seq).collect::<Vec<_>>();
    for seq in [5, 20, 100] {
        publish(dir.path(), seq, b"any", 2).unwrap();
    }
    assert_eq!(kept(), [100, 20]);
    assert_eq!(covered(dir.path()).unwrap(), 20);
    publish(dir.path(), 30, b"any", 2).unwrap();
    assert_eq!(kept(), [30, 20], "the one of entry 100 is of a journal that is lost");
    assert!(!dir.path().join(NEW).exists());
}
