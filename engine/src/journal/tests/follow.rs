//! Following a journal while it is written.

use super::*;
use crate::journal::{Followed, Follower};

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
    let (mut follower, mut next) = (Follower::open(&folder, None).unwrap(), 1);
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
            (Follower::open(&folder, Some(place)).unwrap(), place.seq + 1);
        assert!(drain(&mut follower, &mut next));
        assert_eq!(next, 301);
        let Behind::Entries(mut entries) = JournalReader::open_behind(&folder, place).unwrap()
        else {
            panic!("{place:?} is not found")
        };
        assert_eq!(entries.by_ref().count() as u64, 300 - place.seq);
        assert_eq!(entries.tail(), Some(Tail::Closed));
    }
    let place = Place { crc: places[50].crc ^ 1, ..places[50] };
    assert!(matches!(JournalReader::open_behind(&folder, &place), Ok(Behind::Other)));
    let mut follower = Follower::open(&folder, Some(&place)).unwrap();
    assert!(follower.read().is_err());
    let place = Place { segment: 99, seq: 9_999, ..places[50] };
    assert!(matches!(JournalReader::open_behind(&folder, &place), Ok(Behind::Short)));
    // The segment of a place may be gone if the next one begins behind it.
    let last_of_first = places.iter().rfind(|place| place.segment == 0).unwrap();
    let before = places.iter().rfind(|place| place.seq + 1 == last_of_first.seq).unwrap();
    fs::remove_file(segment_path(&folder, 0)).unwrap();
    let behind = |place| JournalReader::open_behind(&folder, place).unwrap();
    assert!(matches!(behind(last_of_first), Behind::Entries(_)));
    assert!(matches!(behind(before), Behind::Gone));
}

#[test]
fn bytes_that_stay_no_entry_are_damage_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    drop(write(&config(dir.path()), 10));
    let folder = shard_dir(dir.path(), 0);
    let (last, _) = read(dir.path()).unwrap();
    let behind = last.last().unwrap().offset + 2 * ENTRY_BYTES as u64;
    let file = fs::OpenOptions::new().write(true).open(segment_path(&folder, 0)).unwrap();
    let (mut follower, mut next) = (Follower::open(&folder, None).unwrap(), 1);
    drain(&mut follower, &mut next);
    file.write_all_at(&[9; 64], behind - ENTRY_BYTES as u64).unwrap();
    let error = (0..10_000).find_map(|_| follower.read().err()).unwrap();
    assert!(matches!(error, JournalError::Damaged { why: Damage::Entry, .. }), "{error}");
}
