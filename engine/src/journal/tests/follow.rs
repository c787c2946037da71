//! Following a journal while it is written.

use super::*;
use crate::journal::{Followed, Follower};
use crate::sys::disk::PlainDisk;

/// Everything that is there for a follower, and whether the journal is closed.
fn drain(follower: &mut Follower, next: &mut u64) -> bool {
    loop {
        match follower.read().unwrap() {
            Followed::Entry(entry) => {
                assert_eq!(entry.seq, *next);
                assert_eq!(entry.record.as_bytes(), record(*next).record().unwrap().as_bytes());
                *next += 1;
            }
            Followed::Nothing => return false,
            Followed::Closed => return true,
        }
    }
}

#[test]
fn what_is_appended_is_seen_at_once_over_many_segments() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let mut writer = JournalWriter::create(&config).unwrap();
    let folder = shard_dir(dir.path(), 0);
    let (mut follower, mut next) = (Follower::open(&folder, None, None).unwrap(), 1);
    assert!(!drain(&mut follower, &mut next));
    for i in 1..=1_000 {
        writer.append(record(i).record().unwrap()).unwrap();
        if i % 7 == 0 || i > 900 {
            assert!(!drain(&mut follower, &mut next));
            assert_eq!(next, i + 1);
        }
    }
    writer.close().unwrap();
    assert!(drain(&mut follower, &mut next));
    assert!(drain(&mut follower, &mut next), "and it stays closed");
    // Until another run goes on with it.
    let mut reader = JournalReader::open(&folder).unwrap();
    assert_eq!(reader.by_ref().count(), 1_000);
    let mut writer = JournalWriter::resume(&config, &reader.end().unwrap()).unwrap();
    writer.append(record(1_001).record().unwrap()).unwrap();
    assert!(!drain(&mut follower, &mut next));
    assert_eq!(next, 1_002);
}

#[test]
fn it_begins_behind_a_place() {
    let dir = tempfile::tempdir().unwrap();
    write(&config(dir.path()), 300).close().unwrap();
    let folder = shard_dir(dir.path(), 0);
    let mut places = Vec::new();
    let mut reader = JournalReader::open(&folder).unwrap();
    while let Some(entry) = reader.read().unwrap() {
        places.push(entry.place());
    }
    for place in &places {
        let (mut follower, mut next) =
            (Follower::open(&folder, None, Some(place)).unwrap(), place.seq + 1);
        assert!(drain(&mut follower, &mut next));
        assert_eq!(next, 301);
        let Behind::Entries(mut entries) =
            JournalReader::open_behind(&folder, None, place).unwrap()
        else {
            panic!("{place:?} is not found")
        };
        assert_eq!(entries.by_ref().count() as u64, 300 - place.seq);
        assert_eq!(entries.tail(), Some(Tail::Closed));
    }
    let place = Place { crc: places[50].crc ^ 1, ..places[50] };
    assert!(matches!(JournalReader::open_behind(&folder, None, &place), Ok(Behind::Other)));
    let mut follower = Follower::open(&folder, None, Some(&place)).unwrap();
    assert!(follower.read().is_err());
    let place = Place { segment: 99, seq: 9_999, ..places[50] };
    assert!(matches!(JournalReader::open_behind(&folder, None, &place), Ok(Behind::Short)));
    // The segment of a place may be gone if the next one begins behind it.
    let last_of_first = places.iter().rfind(|place| place.segment == 0).unwrap();
    let before = places.iter().rfind(|place| place.seq + 1 == last_of_first.seq).unwrap();
    fs::remove_file(segment_path(&folder, 0)).unwrap();
    let behind = |place| JournalReader::open_behind(&folder, None, place).unwrap();
    assert!(matches!(behind(last_of_first), Behind::Entries(_)));
    assert!(matches!(behind(before), Behind::Gone));
}

#[test]
fn what_has_left_memory_is_read_on_disk() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let durable = DurableConfig {
        durability: Durability::Sync,
        dir: disk.path().to_owned(),
        interval: Duration::from_millis(1),
        group_bytes: 1 << 16,
        hot_segments: 1,
    };
    let config = JournalConfig { durable: Some(durable), ..config(dir.path()) };
    let mut writer = JournalWriter::create(&config).unwrap();
    let (hot, copy) = (shard_dir(dir.path(), 0), shard_dir(disk.path(), 0));
    let (mut follower, mut next) = (Follower::open(&hot, Some(&copy), None).unwrap(), 1);
    for i in 1..=500 {
        writer.append(record(i).record().unwrap()).unwrap();
        writer.publish();
    }
    let (progress, begun) = (writer.progress().unwrap(), Instant::now());
    while progress.last_durable_seq() < 500 {
        assert!(begun.elapsed() < Duration::from_secs(60) && !progress.has_failed());
        std::thread::yield_now();
    }
    assert!(!segment_path(&hot, 0).exists() && segment_path(&copy, 0).exists());
    assert!(!drain(&mut follower, &mut next));
    assert_eq!(next, 501);
    writer.close().unwrap();
    assert!(drain(&mut follower, &mut next));

    let mut places = Vec::new();
    let mut reader = JournalReader::open_both(&hot, Some(&copy)).unwrap();
    while let Some(entry) = reader.read().unwrap() {
        places.push(entry.place());
    }
    let assert_all = || {
        for place in places.iter().step_by(50) {
            let behind = JournalReader::open_behind(&hot, Some(&copy), place).unwrap();
            let Behind::Entries(entries) = behind else { panic!("{place:?} is not found") };
            assert_eq!(entries.count() as u64, 500 - place.seq);
            let mut follower = Follower::open(&hot, Some(&copy), Some(place)).unwrap();
            let mut next = place.seq + 1;
            assert!(drain(&mut follower, &mut next));
            assert_eq!(next, 501);
        }
    };
    assert_all();
    // A power cut leaves only what is on disk, which may be compressed.
    fs::remove_dir_all(&hot).unwrap();
    assert_all();
    let policy = Retention { compress: true, ..Retention::default() };
    let done = retain(&PlainDisk, &copy, 0, &policy, SystemTime::now()).unwrap();
    assert!(done.compressed > 3);
    assert_all();
    fs::remove_file(copy.join("0000000001.segment.zst")).unwrap();
    let mut follower = Follower::open(&hot, Some(&copy), None).unwrap();
    let missing = (0..100_000).find_map(|_| follower.read().err());
    assert!(matches!(missing, Some(JournalError::Missing { segment: 1 })), "{missing:?}");
}

#[test]
fn bytes_that_stay_no_entry_are_damage_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    drop(write(&config(dir.path()), 10));
    let folder = shard_dir(dir.path(), 0);
    let (last, _) = read(dir.path()).unwrap();
    let behind = last.last().unwrap().offset + 2 * ENTRY_BYTES as u64;
    let file = fs::OpenOptions::new().write(true).open(segment_path(&folder, 0)).unwrap();
    let (mut follower, mut next) = (Follower::open(&folder, None, None).unwrap(), 1);
    drain(&mut follower, &mut next);
    file.write_all_at(&[9; 64], behind - ENTRY_BYTES as u64).unwrap();
    let error = (0..10_000).find_map(|_| follower.read().err()).unwrap();
    assert!(matches!(error, JournalError::Damaged { why: Damage::Entry, .. }), "{error}");
}

/// A link to nowhere is in the folder's list and cannot be opened, as what was released in between.
#[test]
fn a_segment_that_leaves_memory_while_the_folder_is_looked_at_is_read_on_disk() {
    let (dir, hot) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(&config(dir.path()), 500).close().unwrap();
    let copy = shard_dir(dir.path(), 0);
    for (number, _) in segments(&copy).unwrap() {
        std::os::unix::fs::symlink("nowhere", segment_path(hot.path(), number)).unwrap();
    }
    assert_eq!(JournalReader::open_both(hot.path(), Some(&copy)).unwrap().count(), 500);
    let (mut follower, mut next) = (Follower::open(hot.path(), Some(&copy), None).unwrap(), 1);
    assert!(drain(&mut follower, &mut next));
    assert_eq!(next, 501);
}
