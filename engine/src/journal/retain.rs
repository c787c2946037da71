//! What becomes of durable segments that are full: those that nothing needs any more are retired by
//! a policy, the others compressed if that is asked for.
//!
//! ```text
//! 0000000000.segment        retired: a snapshot covers it, and there are too many bytes
//! 0000000001.segment.zst    kept, compressed
//! 0000000002.segment        the newest that was begun is left alone
//! ```
//!
//! Invariants: no segment is removed of which a snapshot does not cover every entry, nor one before
//! which others stay. A segment is there whole, plain or compressed, wherever the power goes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use zerocopy::FromBytes;

use super::format::{HEADER_BYTES, SegmentHeader};
use super::mark::MARK_BYTES;
use super::reader::is_begun;
use super::{JournalError, SEGMENT_BYTES_MAX, segments};
use crate::sys::disk::Disk;

/// How the name of a compressed segment ends.
pub(super) const COMPRESSED_SUFFIX: &str = ".segment.zst";
/// Fast, and half the size or less.
const LEVEL: i32 = 3;

/// Which full segments stay on disk. What a snapshot does not cover always stays.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct Retention {
    /// The most bytes of them; none for any.
    pub bytes_max: Option<u64>,
    /// How old they may become since they were last written, in memory since they were made; none
    /// for any.
    pub age_max: Option<Duration>,
    /// How many there may be; none for any.
    pub segments_max: Option<u64>,
    /// Compress those that stay.
    pub compress: bool,
}

impl Retention {
    /// Whether there is anything to do at all.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self != Self::default()
    }
}

/// What was done.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct Retained {
    /// Segments removed.
    pub retired: u64,
    /// Segments compressed.
    pub compressed: u64,
    /// Bytes that are free now.
    pub freed_bytes: u64,
}

/// A full segment.
struct Full {
    path: PathBuf,
    bytes: u64,
    changed: SystemTime,
    /// Sequence number of the first entry behind it.
    next_seq: u64,
}

/// Applies a policy to the segments in a shard's folder on disk. Every entry before `covered` is in
/// a snapshot that stays, so that no start needs it; 0 if there is none.
///
/// # Errors
/// If a segment cannot be read, written or removed; what was done by then stays done.
pub fn retain(
    disk: &dyn Disk,
    dir: &Path,
    covered: u64,
    policy: &Retention,
    now: SystemTime,
) -> Result<Retained, JournalError> {
    let full = full_segments(dir)?;
    let mut bytes: u64 = full.iter().map(|segment| segment.bytes).sum();
    let mut count = full.len() as u64;
    let mut done = Retained::default();
    let mut kept = full.iter().peekable();
    while let Some(oldest) = kept.peek() {
        let age = now.duration_since(oldest.changed).unwrap_or_default();
        let is_over = policy.bytes_max.is_some_and(|most| bytes > most)
            || policy.segments_max.is_some_and(|most| count > most)
            || policy.age_max.is_some_and(|most| age > most);
        if !is_over || oldest.next_seq > covered {
            break;
        }
        disk.remove(&oldest.path).map_err(JournalError::io("retire", &oldest.path))?;
        (bytes, count) = (bytes - oldest.bytes, count - 1);
        done.retired += 1;
        done.freed_bytes += oldest.bytes;
        kept.next();
    }
    if done.retired > 0 {
        disk.sync_dir(dir).map_err(JournalError::io("sync", dir))?;
    }
    if policy.compress {
        for segment in kept.filter(|segment| !is_compressed(&segment.path)) {
            let after = compress(disk, dir, &segment.path)?;
            done.compressed += 1;
            done.freed_bytes += segment.bytes.saturating_sub(after);
        }
    }
    Ok(done)
}

/// Whether a file is a compressed segment.
pub(super) fn is_compressed(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.ends_with(COMPRESSED_SUFFIX))
}

/// Opens a segment as it was before it was compressed, if it was.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let file = File::open(path)?;
    if !is_compressed(path) {
        return Ok(Box::new(file));
    }
    let most = (SEGMENT_BYTES_MAX + MARK_BYTES) as u64 + 1;
    Ok(Box::new(zstd::stream::read::Decoder::new(file)?.take(most)))
}

/// All bytes of a segment.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Segments that others follow, which were begun, the oldest first.
fn full_segments(dir: &Path) -> Result<Vec<Full>, JournalError> {
    let mut begun = Vec::new();
    for (_, path) in segments(dir)? {
        if is_begun(&path)? {
            let base_seq = base_seq(&path).map_err(JournalError::io("read", &path))?;
            begun.push((path, base_seq));
        }
    }
    let mut full = Vec::new();
    for pair in begun.windows(2) {
        let [(path, _), (_, next_seq)] = pair else { continue };
        let metadata = fs::metadata(path).map_err(JournalError::io("look at", path))?;
        let changed = metadata.modified().map_err(JournalError::io("look at", path))?;
        full.push(Full { path: path.clone(), bytes: metadata.len(), changed, next_seq: *next_seq });
    }
    Ok(full)
}

/// The first entry of the oldest segment in a folder that was begun; none if there is no such one.
///
/// # Errors
/// If one cannot be read.
pub(crate) fn first_seq(dir: &Path) -> Result<Option<u64>, JournalError> {
    for (_, path) in segments(dir)? {
        if is_begun(&path)? {
            return base_seq(&path).map(Some).map_err(JournalError::io("read", &path));
        }
    }
    Ok(None)
}

fn base_seq(path: &Path) -> io::Result<u64> {
    let mut header = [0; HEADER_BYTES];
    open(path)?.read_exact(&mut header)?;
    let header = SegmentHeader::read_from_bytes(&header[..]);
    Ok(header.map_or(0, |header| header.base_seq))
}

/// Puts a compressed segment in the place of a plain one; returns its length.
fn compress(disk: &dyn Disk, dir: &Path, path: &Path) -> Result<u64, JournalError> {
    let failed = JournalError::io("compress", path);
    let compressed = read(path).and_then(|bytes| zstd::bulk::compress(&bytes, LEVEL));
    let compressed = compressed.map_err(&failed)?;
    let (new, to) = (dir.join("segment.zst.new"), path.with_extension("segment.zst"));
    let put = || -> io::Result<()> {
        disk.replace(&to, &new, &compressed)?;
        disk.remove(path)?;
        disk.sync_dir(dir)
    };
    put().map_err(&failed)?;
    Ok(compressed.len() as u64)
}

#[cfg(test)]
mod tests {
    use corelane_feeds::record::{Stamp, View};
    use corelane_feeds::streams::sys::Tick;

    use super::*;
    use crate::journal::{JournalConfig, JournalReader, JournalWriter, shard_dir};
    use crate::sys::disk::PlainDisk;

    /// A journal of eight segments or so, and its first sequence numbers.
    fn written() -> (tempfile::TempDir, PathBuf, Vec<u64>) {
        let dir = tempfile::tempdir().unwrap();
        let config = JournalConfig { segment_bytes: 8 << 10, ..JournalConfig::new(dir.path()) };
        let mut writer = JournalWriter::create(&config).unwrap();
        let mut bases = vec![1];
        while bases.len() < 8 {
            let segment = writer.place().segment;
            writer.append(Tick::new(Stamp::default(), 0).as_record()).unwrap();
            if writer.place().segment > segment {
                bases.push(writer.last_seq());
            }
        }
        writer.close().unwrap();
        let shard = shard_dir(dir.path(), 0);
        (dir, shard, bases)
    }

    fn apply(dir: &Path, covered: u64, policy: &Retention) -> Retained {
        retain(&PlainDisk, dir, covered, policy, SystemTime::now()).unwrap()
    }

    fn left(dir: &Path) -> Vec<u64> {
        segments(dir).unwrap().into_iter().map(|(number, _)| number).collect()
    }

    #[test]
    fn what_no_snapshot_covers_stays_whatever_the_policy() {
        let (_dir, shard, bases) = written();
        let none = Retention { segments_max: Some(0), ..Retention::default() };
        assert_eq!(apply(&shard, 0, &none), Retained::default());
        assert_eq!(apply(&shard, bases[1] - 1, &none).retired, 0, "its last entry is not covered");
        assert_eq!(apply(&shard, bases[1], &none).retired, 1);
        assert_eq!(apply(&shard, bases[4] + 1, &Retention::default()).retired, 0, "no policy");
        assert_eq!(apply(&shard, bases[4] + 1, &none).retired, 3);
        assert_eq!(left(&shard), [4, 5, 6, 7]);
        assert_eq!(apply(&shard, u64::MAX, &none).retired, 3, "the newest is left alone");
    }

    #[test]
    fn bytes_age_and_count_each_retire_the_oldest() {
        let (_dir, shard, _) = written();
        let bytes = Retention { bytes_max: Some(6 * (8 << 10)), ..Retention::default() };
        let done = apply(&shard, u64::MAX, &bytes);
        assert_eq!((done.retired, done.freed_bytes), (1, 8 << 10));
        let count = Retention { segments_max: Some(5), ..Retention::default() };
        assert_eq!(apply(&shard, u64::MAX, &count).retired, 1);
        let hour = Duration::from_secs(3_600);
        let age = Retention { age_max: Some(hour), ..Retention::default() };
        assert_eq!(apply(&shard, u64::MAX, &age).retired, 0, "none is so old");
        let later = SystemTime::now() + hour * 2;
        assert_eq!(retain(&PlainDisk, &shard, u64::MAX, &age, later).unwrap().retired, 5);
        assert_eq!(left(&shard), [7]);
    }

    #[test]
    fn compressed_segments_are_read_as_they_were() {
        let (_dir, shard, bases) = written();
        let all = || JournalReader::open(&shard).unwrap().map(Result::unwrap).collect::<Vec<_>>();
        let before = all();
        let policy = Retention { compress: true, ..Retention::default() };
        let done = apply(&shard, 0, &policy);
        assert_eq!((done.compressed, done.retired), (7, 0));
        assert!(done.freed_bytes > 7 * (4 << 10), "{done:?}");
        assert_eq!(apply(&shard, 0, &policy), Retained::default(), "once is enough");
        let after = all();
        assert_eq!(before.len(), after.len());
        assert!(before.iter().zip(&after).all(|(a, b)| format!("{a:?}") == format!("{b:?}")));
        let retire = Retention { segments_max: Some(2), ..policy };
        assert_eq!(apply(&shard, bases[3], &retire).retired, 3, "compressed ones, too");

        let path = segments(&shard).unwrap().remove(0).1;
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        bytes.truncate(middle + 9);
        fs::write(&path, bytes).unwrap();
        let error = JournalReader::open(&shard).map(|mut entries| entries.find(Result::is_err));
        let error = error.map_or_else(Some, |found| found.and_then(Result::err));
        assert_eq!(error.unwrap().exit_code(), 65);
    }
}
