//! Copies over disks that fail and disks that lose power, and what is left of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use corelane_feeds::record::{Stamp, View};
use corelane_feeds::streams::sys::Tick;
use corelane_feeds::units::Seq;
use proptest::prelude::*;

use super::*;
use crate::journal::{
    JournalConfig, JournalReader, JournalWriter, Tail, difference, segment_path, shard_dir,
};
use crate::sys::disk::PlainDisk;

const SEGMENT_BYTES: usize = 16 << 10;

/// Names a file, whatever its name.
type Number = usize;

/// What was done to the disk, in order.
#[derive(Clone, Debug)]
enum Op {
    Create(PathBuf, Number, u64),
    Rename(PathBuf, PathBuf),
    Write(Number, u64, Vec<u8>),
    SetLen(Number, u64),
    Sync(Number),
    SyncDir,
}

#[derive(Default, Debug)]
struct Log {
    ops: Vec<Op>,
    names: BTreeMap<PathBuf, Number>,
    /// Which operation fails, and with what.
    fails: Option<(usize, i32)>,
}

/// Does what it is asked for, notes it, and fails at the operation that it is told to.
#[derive(Clone, Default, Debug)]
struct TestDisk(Rc<RefCell<Log>>);

impl TestDisk {
    fn note(&self, op: Op) -> io::Result<()> {
        let mut log = self.0.borrow_mut();
        log.ops.push(op);
        match log.fails {
            Some((at, errno)) if at + 1 == log.ops.len() => {
                Err(io::Error::from_raw_os_error(errno))
            }
            _ => Ok(()),
        }
    }

    fn file(&self, number: Number, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(TestFile { disk: self.clone(), number, file })
    }
}

impl Disk for TestDisk {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        PlainDisk.make_dir(dir)
    }

    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let number = self.0.borrow().ops.len();
        self.note(Op::Create(path.to_owned(), number, bytes))?;
        let file = PlainDisk.create(path, bytes)?;
        self.0.borrow_mut().names.insert(path.to_owned(), number);
        Ok(self.file(number, file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = PlainDisk.open(path)?;
        let number = self.0.borrow().names[path];
        Ok(self.file(number, file))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        PlainDisk.read(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        PlainDisk.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note(Op::Rename(from.to_owned(), to.to_owned()))?;
        PlainDisk.rename(from, to)?;
        let names = &mut self.0.borrow_mut().names;
        let number = names.remove(from).unwrap();
        names.insert(to.to_owned(), number);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        PlainDisk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.note(Op::SyncDir)?;
        PlainDisk.sync_dir(dir)
    }

    fn describe(&self) -> String {
        "a test's disk".to_owned()
    }
}

#[derive(Debug)]
struct TestFile {
    disk: TestDisk,
    number: Number,
    file: Box<dyn DiskFile>,
}

impl DiskFile for TestFile {
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.note(Op::Write(self.number, at, bytes.to_vec()))?;
        self.file.write_at(at, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.note(Op::Sync(self.number))?;
        self.file.sync()
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        self.disk.note(Op::SetLen(self.number, bytes))?;
        self.file.set_len(bytes)
    }
}

/// A journal in memory that is copied by hand.
struct Bench {
    dir: tempfile::TempDir,
    progress: Arc<Progress>,
    disk: TestDisk,
    seq: u64,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (progress, disk) = (Arc::new(Progress::new(0)), TestDisk::default());
        Self { dir, progress, disk, seq: 0 }
    }

    fn config(&self) -> JournalConfig {
        let config = JournalConfig::new(&self.dir.path().join("hot"));
        JournalConfig { segment_bytes: SEGMENT_BYTES, ..config }
    }

    fn hot(&self) -> PathBuf {
        shard_dir(&self.dir.path().join("hot"), 0)
    }

    fn durable(&self) -> PathBuf {
        shard_dir(&self.dir.path().join("durable"), 0)
    }

    fn copier(&self, hot_segments: u64) -> Copier {
        let bounds = (8 << 10, hot_segments);
        let progress = Arc::clone(&self.progress);
        let disk = Box::new(self.disk.clone());
        Copier::begin(disk, self.hot(), self.durable(), progress, bounds).unwrap()
    }

    fn append(&mut self, writer: &mut JournalWriter, count: u64) {
        for _ in 0..count {
            self.seq += 1;
            let stamp = Stamp { seq: Seq(self.seq), ..Stamp::default() };
            writer.append(Tick::new(stamp, 0).as_record()).unwrap();
        }
        self.progress.publish(writer.place());
    }
}

/// Sequence numbers of the records, and the tail.
fn read(dir: &Path) -> Result<(u64, Tail), JournalError> {
    let mut reader = match JournalReader::open(dir) {
        Ok(reader) => reader,
        Err(JournalError::NoJournal(_)) => return Ok((0, Tail::Open)),
        Err(error) => return Err(error),
    };
    let mut last = 0;
    for entry in reader.by_ref() {
        let entry = entry?;
        assert_eq!(entry.record().header.seq, Seq(entry.seq), "each at its place");
        assert_eq!(entry.seq, last + 1);
        last = entry.seq;
    }
    Ok((last, reader.tail().unwrap()))
}

#[test]
fn a_copy_is_byte_for_byte_the_same() {
    let mut bench = Bench::new();
    let mut writer = JournalWriter::create(&bench.config()).unwrap();
    let mut copier = bench.copier(1_000);
    assert!(!copier.turn().unwrap(), "nothing is written yet");
    for count in [1, 3, 500, 2, 900] {
        bench.append(&mut writer, count);
        assert!(copier.turn().unwrap() && !copier.turn().unwrap());
        assert_eq!(bench.progress.last_durable_seq(), bench.seq);
        assert_eq!(read(&bench.durable()).unwrap(), (bench.seq, Tail::Open));
    }
    let progress = Arc::clone(&bench.progress);
    writer.close_telling(|place| progress.publish(place)).unwrap();
    copier.finish().unwrap();
    assert!(copier.is_closed());
    let all = segments(&bench.hot()).unwrap();
    assert!(all.len() > 4);
    for (number, path) in all {
        let copy = fs::read(segment_path(&bench.durable(), number)).unwrap();
        assert!(fs::read(path).unwrap() == copy, "segment {number}");
    }
    assert_eq!(read(&bench.durable()).unwrap(), (bench.seq, Tail::Closed));
}

#[test]
fn full_durable_segments_leave_memory_and_both_are_one_journal() {
    let mut bench = Bench::new();
    let mut writer = JournalWriter::create(&bench.config()).unwrap();
    let mut copier = bench.copier(1);
    for _ in 0..12 {
        bench.append(&mut writer, 250);
        copier.turn().unwrap();
        let full = segments(&bench.hot()).unwrap();
        let full = full.iter().filter(|(number, _)| *number < writer.place().segment);
        assert!(full.count() <= 1, "one at most stays");
    }
    assert!(bench.progress.counters().released > 5);
    let mut both = JournalReader::open_both(&bench.hot(), Some(&bench.durable())).unwrap();
    assert_eq!(both.by_ref().map(|entry| entry.unwrap().seq).max(), Some(bench.seq));
    assert_eq!(difference(&bench.hot(), &bench.durable()).unwrap(), None);
    let (number, _) = segments(&bench.hot()).unwrap()[0];
    let copy = segment_path(&bench.durable(), number);
    let mut bytes = fs::read(&copy).unwrap();
    bytes[300] ^= 1;
    fs::write(&copy, bytes).unwrap();
    assert_eq!(difference(&bench.hot(), &bench.durable()).unwrap(), Some((number, 300)));
}

/// A failed sync says nothing of what is on disk, and a second one that does not fail neither: the
/// copier that follows writes everything of that segment again.
#[test]
fn a_disk_that_fails_makes_nothing_durable_and_the_next_copier_mends_it() {
    for errno in [libc::EIO, libc::ENOSPC] {
        for fails in 0..60 {
            let mut bench = Bench::new();
            let mut writer = JournalWriter::create(&bench.config()).unwrap();
            let mut copier = bench.copier(2);
            bench.disk.0.borrow_mut().fails = Some((fails, errno));
            let (mut failed, mut durable) = (false, 0);
            for _ in 0..8 {
                bench.append(&mut writer, 100);
                match copier.turn() {
                    Ok(_) => durable = bench.seq,
                    Err(error) => {
                        failed = true;
                        assert_eq!(error.exit_code(), 74, "{error}");
                        break;
                    }
                }
            }
            if !failed {
                assert!(fails > 20, "{fails} operations are done");
                break;
            }
            let last = bench.progress.last_durable_seq();
            assert!(last >= durable && last < bench.seq, "{durable} <= {last} < {}", bench.seq);
            bench.disk.0.borrow_mut().fails = None;
            bench.progress = Arc::new(Progress::new(0));
            bench.append(&mut writer, 300);
            bench.copier(2).turn().unwrap();
            assert_eq!(bench.progress.last_durable_seq(), bench.seq);
            assert_eq!(read(&bench.durable()).unwrap(), (bench.seq, Tail::Open));
        }
    }
}

/// A journal that was closed ends in a segment that was cut; the one that goes on is longer.
#[test]
fn a_segment_behind_one_that_was_cut_is_as_long_as_in_memory() {
    let mut bench = Bench::new();
    let mut writer = JournalWriter::create(&bench.config()).unwrap();
    bench.append(&mut writer, 100);
    writer.close().unwrap();
    let mut reader = JournalReader::open(&bench.hot()).unwrap();
    assert_eq!(reader.by_ref().map(Result::unwrap).count(), 100);
    let mut writer = JournalWriter::resume(&bench.config(), &reader.end().unwrap()).unwrap();
    bench.append(&mut writer, 1);
    bench.copier(2).turn().unwrap();
    assert_eq!(difference(&bench.hot(), &bench.durable()).unwrap(), None);
    assert_eq!(read(&bench.durable()).unwrap(), (101, Tail::Open));
}

/// What a power cut leaves after so many operations: all that was synced, and of the rest whatever
/// sectors `survives` says, under names as far as it says so, in their order.
fn cut(ops: &[Op], into: &Path, mut survives: impl FnMut() -> bool) {
    const SECTOR_BYTES: usize = 512;
    type Pending = Vec<(u64, Vec<u8>)>;
    let mut files: BTreeMap<Number, (Vec<u8>, Pending)> = BTreeMap::new();
    let mut names: BTreeMap<&Path, Number> = BTreeMap::new();
    let mut changes = Vec::new();
    let change = |names: &mut BTreeMap<_, _>, op| match op {
        &Op::Create(ref path, number, _) => drop(names.insert(path.as_path(), number)),
        Op::Rename(from, to) => {
            let number = names.remove(from.as_path()).unwrap();
            names.insert(to.as_path(), number);
        }
        _ => {}
    };
    for op in ops {
        match op {
            Op::Create(_, number, bytes) => {
                files.insert(*number, (vec![0; *bytes as usize], Vec::new()));
                changes.push(op);
            }
            Op::Rename(..) => changes.push(op),
            Op::Write(number, at, bytes) => {
                files.get_mut(number).unwrap().1.push((*at, bytes.clone()));
            }
            Op::SetLen(number, bytes) => {
                files.get_mut(number).unwrap().0.resize(*bytes as usize, 0);
            }
            Op::Sync(number) => {
                let (synced, pending) = files.get_mut(number).unwrap();
                for (at, bytes) in pending.drain(..) {
                    let at = at as usize;
                    synced[at..at + bytes.len()].copy_from_slice(&bytes);
                }
            }
            Op::SyncDir => changes.drain(..).for_each(|op| change(&mut names, op)),
        }
    }
    changes.into_iter().take_while(|_| survives()).for_each(|op| change(&mut names, op));
    for (path, number) in names {
        let (bytes, pending) = files.get_mut(&number).unwrap();
        for (at, written) in pending {
            for (i, sector) in written.chunks(SECTOR_BYTES).enumerate() {
                let at = *at as usize + i * SECTOR_BYTES;
                if survives() {
                    bytes[at..at + sector.len()].copy_from_slice(sector);
                }
            }
        }
        fs::write(into.join(path.file_name().unwrap()), bytes).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Wherever the power goes and whatever sectors of the last group the disk wrote by then: what
    /// was said to be durable is there, and what is torn is known to be torn.
    #[test]
    fn what_is_durable_outlives_any_power_cut(
        counts in prop::collection::vec(1u64..120, 4..12),
        picks in prop::collection::vec(any::<bool>(), 64),
    ) {
        let mut bench = Bench::new();
        let mut writer = JournalWriter::create(&bench.config()).unwrap();
        let mut copier = bench.copier(2);
        // After so many operations so much was durable.
        let mut durable = vec![(0, 0)];
        for count in counts {
            bench.append(&mut writer, count);
            copier.turn().unwrap();
            durable.push((bench.disk.0.borrow().ops.len(), bench.seq));
        }
        let log = bench.disk.0.borrow();
        for end in 1..=log.ops.len() {
            let promised = durable.iter().rev().find(|(ops, _)| *ops <= end).unwrap().1;
            let left = tempfile::tempdir().unwrap();
            let mut pick = picks.iter().cycle().skip(end % picks.len());
            cut(&log.ops[..end], left.path(), || *pick.next().unwrap());
            let found = read(left.path());
            prop_assert!(found.is_ok(), "after {end} operations: {:?}", found);
            let (last, _) = found.unwrap();
            prop_assert!(last >= promised, "after {} operations: {} of {}", end, last, promised);
            prop_assert!(last <= bench.seq);
        }
    }
}
