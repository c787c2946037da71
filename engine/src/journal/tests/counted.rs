//! Counting side by side comes to what one reader does, whatever is wrong with the journal.

use super::*;
use crate::journal::counted::Counted;

/// Everything that is told of a journal, read by so many threads.
fn counted(dir: &Path, threads: usize) -> String {
    let folder = shard_dir(dir, 0);
    let reader = match JournalReader::open(&folder) {
        Ok(reader) => reader,
        Err(error) => return error.to_string(),
    };
    let counted = Counted::of(reader, threads);
    let kinds: Vec<_> = counted.kinds().collect();
    let failure = counted.failure.map(|error| error.to_string());
    let seqs = (counted.first_seq, counted.last_seq);
    let times = (counted.ts_event_first, counted.ts_event_last);
    let (entries, bytes, tail) = (counted.entries, counted.bytes, counted.tail);
    format!("{entries} {bytes} {seqs:?} {times:?} {kinds:?} {tail:?} {failure:?}")
}

/// The same by any number of threads; returns it.
fn by_any_threads(dir: &Path) -> String {
    let whole = counted(dir, 1);
    let entries =
        JournalReader::open(&shard_dir(dir, 0)).map(|all| all.map_while(Result::ok).count());
    assert!(entries.is_err() || whole.starts_with(&format!("{} ", entries.unwrap())), "{whole}");
    for threads in [2, 3, 5, 100] {
        assert_eq!(counted(dir, threads), whole, "{threads} threads");
    }
    whole
}

#[test]
fn many_threads_count_what_one_does() {
    let dir = tempfile::tempdir().unwrap();
    write(&config(dir.path()), 500).close().unwrap();
    let whole = by_any_threads(dir.path());
    assert!(whole.starts_with("500 ") && whole.ends_with("Some(Closed) None"), "{whole}");

    let files = segments(&shard_dir(dir.path(), 0)).unwrap();
    assert!(files.len() > 7, "{}", files.len());
    for (number, _) in &files {
        let copy = copy_of(dir.path());
        let path = segment_path(&shard_dir(copy.path(), 0), *number);
        // The header, the first entries, and further on.
        for offset in [8, 40, 140, 1_000] {
            let bytes = fs::read(&path).unwrap();
            let mut bad = bytes.clone();
            bad[offset] ^= 4;
            fs::write(&path, &bad).unwrap();
            let told = by_any_threads(copy.path());
            assert!(!told.ends_with("Some(Closed) None"), "byte {offset} of {number}: {told}");
            fs::write(&path, &bytes[..offset]).unwrap();
            by_any_threads(copy.path());
            fs::write(&path, &bytes).unwrap();
        }
        fs::remove_file(&path).unwrap();
        by_any_threads(copy.path());
        // As one that was made and never begun: the end before names it.
        fs::write(&path, [0; 4096]).unwrap();
        let told = by_any_threads(copy.path());
        let is_last = *number + 1 == files.len() as u64;
        assert_eq!(told.ends_with("Some(Open) None"), is_last, "{number}: {told}");
        fs::remove_file(&path).unwrap();
    }
}

/// A writer that closes its journal cuts the segment that a reader is in.
#[test]
fn a_journal_that_is_closed_while_it_is_read_is_read_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let config = JournalConfig { segment_bytes: 4 << 20, ..config(dir.path()) };
    let writer = write(&config, 500);
    let mut reader = JournalReader::open(&shard_dir(dir.path(), 0)).unwrap();
    assert!(reader.read().unwrap().is_some());
    writer.close().unwrap();
    assert_eq!(reader.by_ref().map(Result::unwrap).count(), 499);
    assert_eq!(reader.tail(), Some(Tail::Closed));
}

/// A segment that was not there when the folder was looked at is the next one of a live journal.
#[test]
fn a_segment_that_is_made_while_one_is_read_is_not_missing() {
    let dir = tempfile::tempdir().unwrap();
    write(&config(dir.path()), 500).close().unwrap();
    let folder = shard_dir(dir.path(), 0);
    let (last, path) = segments(&folder).unwrap().pop().unwrap();
    let away = folder.join("away");
    fs::rename(&path, &away).unwrap();
    let mut reader = JournalReader::open(&folder).unwrap();
    fs::rename(&away, &path).unwrap();
    assert!(reader.by_ref().all(|entry| entry.is_ok_and(|entry| entry.segment < last)));
    assert_eq!(reader.tail(), Some(Tail::Open));
}
