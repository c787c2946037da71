//! Going on with journals whose writer ended or died.

use super::*;

/// Reads a journal to its end, goes on with it, and appends.
fn resume(config: &JournalConfig, from: u64, to: u64) -> JournalWriter {
    let mut reader = JournalReader::open(&shard_dir(&config.dir, 0)).unwrap();
    let count = reader.by_ref().map(Result::unwrap).count() as u64;
    assert_eq!(count, from - 1);
    let mut writer = JournalWriter::resume(config, &reader.end().unwrap()).unwrap();
    for i in from..=to {
        assert_eq!(writer.append(record(i).record().unwrap()).unwrap(), i);
    }
    writer
}

#[test]
fn a_journal_is_gone_on_with_whether_it_was_closed_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    // Dropped is what a crash leaves, but for the segments that were prepared.
    drop(write(&config, 100));
    resume(&config, 101, 150).close().unwrap();
    let counters = resume(&config, 151, 300).close().unwrap();
    assert_eq!(counters.entries, 150);
    drop(resume(&config, 301, 301));
    drop(resume(&config, 302, 301));
    resume(&config, 302, 400).close().unwrap();
    let (entries, tail) = read(dir.path()).unwrap();
    assert_entries(&entries, 400);
    assert_eq!(tail, Tail::Closed);
}

#[test]
fn a_crash_at_every_byte_of_the_last_entries_is_gone_on_from() {
    let dir = tempfile::tempdir().unwrap();
    drop(write(&config(dir.path()), 30));
    let (entries, _) = read(dir.path()).unwrap();
    let first = &entries[entries.len() - 2];
    let (segment, end) = (first.segment, first.offset + 3 * ENTRY_BYTES as u64);
    for cut in first.offset..end {
        let copy = copy_of(dir.path());
        let folder = shard_dir(copy.path(), 0);
        let path = segment_path(&folder, segment);
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(cut).unwrap();
        file.set_len(length).unwrap();
        let config = config(copy.path());
        let left = read(copy.path()).unwrap().0.len() as u64;
        resume(&config, left + 1, 50).close().unwrap();
        let (entries, tail) = read(copy.path()).unwrap();
        assert_entries(&entries, 50);
        assert_eq!(tail, Tail::Closed, "cut at {cut}");
    }
}

#[test]
fn a_last_segment_whose_header_was_not_written_whole_is_none() {
    let dir = tempfile::tempdir().unwrap();
    drop(write(&config(dir.path()), 100));
    let folder = shard_dir(dir.path(), 0);
    let (last, path) = segments(&folder).unwrap().pop().unwrap();
    let in_last = read(dir.path()).unwrap().0.iter().filter(|e| e.segment == last).count() as u64;
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[1; 8], 64).unwrap();
    let error = read(dir.path()).unwrap_err().to_string();
    assert!(error.contains("the header is not as it was written"), "entries follow: {error}");
    file.set_len(format::HEADER_BYTES as u64).unwrap();
    file.set_len(SEGMENT_BYTES_MIN as u64).unwrap();
    let (entries, tail) = read(dir.path()).unwrap();
    assert_entries(&entries, 100 - in_last);
    assert!(matches!(tail, Tail::Torn { offset: 0, .. }), "{tail:?}");
    resume(&config(dir.path()), 101 - in_last, 120).close().unwrap();
    assert_entries(&read(dir.path()).unwrap().0, 120);
    assert!(folder.join(format!("torn-{last:010}-0")).exists(), "what is cut off is kept");
}
