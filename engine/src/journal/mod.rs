//! The journal of a shard: every record it consumed, in the order it consumed them, and every
//! action it emitted, in memory-mapped files that are written once and never again.
//!
//! ```text
//! DIR/shard-000/0000000000.segment  ──link──>  0000000001.segment  ──link──>  ...
//!
//! a segment: allocated, mapped and faulted in ahead by the service thread; zero where not written
//!
//! 0       8         12      16           32        40         48      56            64
//! | magic | version | shard | journal id | segment | base seq | bytes | config hash | created
//! 72             80             84         120      124   128
//! | previous end | previous crc | reserved | crc32c | pad | entry | entry | ... | end | 0 ...
//!
//! an entry: 8-byte aligned, one word and a payload of whole words
//!
//! 0       1      2          4        8
//! | words | kind | seq, low | crc32c | payload: the record's own bytes  |
//!   u8      u8     u16        u32      8 * words bytes
//! ```
//!
//! - `words` is the payload's length in 8-byte words, never 0. The entry's word is stored last, by
//!   one release store of 8 bytes, so a reader that finds it non-zero finds the payload complete.
//! - `kind` is input, action, control or end ([`Kind`]). Only the end marker holds no record:
//!   it says which segment goes on, or that the journal was closed, and the next sequence number.
//! - `crc32c` is over `words`, `kind` and the low half of the sequence number, then the payload. It
//!   begins with the checksum of journal id and segment number, so that entries of another place or
//!   another journal never pass.
//! - Sequence numbers count entries from 1 through all segments, so that "durable up to 0" and
//!   "snapshot at 0" mean nothing yet. They are not stored whole: position implies them.
//! - Segments are linked by the place and checksum of the end marker before. The magic is stored
//!   last: a file without it was prepared and never begun.
//!
//! Invariant: one writer, forward only. What the writer returned a sequence number for is in memory
//! that outlives the process. Whatever reads a journal either sees what was written or an error
//! that names segment and offset; only the very last entry may be torn, which [`Tail`] reports.
//!
//! Copies of segments on disk ([`Copier`]) are byte for byte the same, so the reader reads both;
//! one that is not full yet has a block more (see `mark`).
//!
//! ```
//! use corelane::journal::{JournalConfig, JournalReader, JournalWriter, Tail, shard_dir};
//! use corelane_feeds::record::{Stamp, View};
//! use corelane_feeds::streams::sys::Tick;
//! let dir = tempfile::tempdir().unwrap();
//! let config = JournalConfig { segment_bytes: 1 << 16, ..JournalConfig::new(dir.path()) };
//! let mut writer = JournalWriter::create(&config).unwrap();
//! assert_eq!(writer.append(Tick::new(Stamp::default(), 0).as_record()).unwrap(), 1);
//! writer.close().unwrap();
//! let mut reader = JournalReader::open(&shard_dir(dir.path(), 0)).unwrap();
//! assert_eq!(reader.next().unwrap().unwrap().seq, 1);
//! assert!(reader.next().is_none());
//! assert_eq!(reader.tail(), Some(Tail::Closed));
//! ```

use std::io;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use corelane_feeds::units::Nanos;

use retain::COMPRESSED_SUFFIX;

pub mod cli;
mod compare;
mod copier;
mod counted;
mod durable;
mod entry;
mod error;
mod export;
mod follow;
pub mod format;
mod layouts;
mod mark;
mod mend;
mod notes;
#[cfg(feature = "parquet")]
mod parquet;
mod prepare;
mod progress;
mod reader;
mod repair;
mod retain;
mod segment;
mod writer;

pub use compare::{Comparison, Difference, Ignore, compare, difference};
pub use copier::Copier;
pub use durable::{Durability, DurableConfig};
pub use entry::{Batch, Entry, EntryRef, Place};
pub use error::{Damage, JournalError};
pub use follow::{Followed, Follower};
pub use format::Kind;
pub use layouts::{Cell, Columns, Layouts};
pub use progress::{DurableCounters, Position, Progress};
pub use reader::{Behind, End, JournalReader, Tail};
pub(crate) use retain::first_seq;
pub use retain::{Retained, Retention, retain};
pub use writer::{JournalCounters, JournalWriter};

/// Default of [`JournalConfig::segment_bytes`].
pub const SEGMENT_BYTES_DEFAULT: usize = 64 << 20;
/// Bounds of [`JournalConfig::segment_bytes`]: a reader may have to hold one in memory.
pub const SEGMENT_BYTES_MIN: usize = 4096;
/// See [`SEGMENT_BYTES_MIN`].
pub const SEGMENT_BYTES_MAX: usize = 1 << 30;
/// Default of [`JournalConfig::segments_ahead`].
pub const SEGMENTS_AHEAD_DEFAULT: usize = 2;
/// How the name of a segment file ends.
pub const SEGMENT_SUFFIX: &str = ".segment";

/// What to do when [`JournalConfig::segments_max`] segments are written.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum WhenFull {
    /// Fail the append: the engine stops rather than forget.
    #[default]
    Stop,
    /// Delete the oldest segment.
    DeleteOldest,
}

/// Where and how a shard's journal is written.
#[derive(Clone, Debug)]
pub struct JournalConfig {
    /// The directory of the run, made if it is missing; every shard has a folder in it.
    /// On a memory file system, so that the writer never meets a disk.
    pub dir: PathBuf,
    /// Whose journal it is.
    pub shard: u16,
    /// Length of a segment: a multiple of 4,096 from [`SEGMENT_BYTES_MIN`] to
    /// [`SEGMENT_BYTES_MAX`].
    pub segment_bytes: usize,
    /// How many segments the service thread keeps ready beyond the one being written, at least 1.
    pub segments_ahead: usize,
    /// The most segments to keep; none means as many as the file system takes.
    pub segments_max: Option<NonZeroU64>,
    /// What happens beyond `segments_max`.
    pub when_full: WhenFull,
    /// CPU of the service thread; none lets it run on any CPU of the cpuset. Never the shard's own.
    pub service_cpu: Option<usize>,
    /// What the configuration hashed to, kept in every segment's header.
    pub config_hash: u64,
    /// Names the journal. Two journals that must be equal byte for byte need the same id.
    pub id: u128,
    /// When the journal was begun, kept in every segment's header.
    pub created: Nanos,
    /// Without a service thread: the writer makes every segment itself, when it needs it.
    pub stepped: bool,
    /// How a copy on disk is kept; none if it need not survive a power cut.
    pub durable: Option<DurableConfig>,
}

impl JournalConfig {
    /// The defaults: shard 0, 64 MiB segments, all kept, a fresh id.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            dir: dir.to_owned(),
            shard: 0,
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            segments_ahead: SEGMENTS_AHEAD_DEFAULT,
            segments_max: None,
            when_full: WhenFull::Stop,
            service_cpu: None,
            config_hash: 0,
            id: fresh_id(now.as_nanos()),
            created: Nanos(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)),
            stepped: false,
            durable: None,
        }
    }

    /// Says what is wrong with the settings, if anything.
    ///
    /// # Errors
    /// [`JournalError::Config`] with the reason.
    pub fn check(&self) -> Result<(), JournalError> {
        let bytes = self.segment_bytes;
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&bytes) || !bytes.is_multiple_of(4096)
        {
            return Err(JournalError::Config(
                "a segment is a multiple of 4 KiB, from 4 KiB to 1 GiB",
            ));
        }
        if self.segments_ahead == 0 || self.segments_ahead > 64 {
            return Err(JournalError::Config("1 to 64 segments are prepared ahead"));
        }
        let fewest = self.segments_ahead as u64 + 2;
        if self.when_full == WhenFull::DeleteOldest
            && self.segments_max.is_some_and(|most| most.get() < fewest)
        {
            return Err(JournalError::Config(
                "the segments kept must be at least two more than those prepared ahead",
            ));
        }
        Ok(())
    }
}

/// 128 bits that no other journal has, or, without a random device, that the time tells apart.
fn fresh_id(now: u128) -> u128 {
    let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default();
    let digits: String = uuid.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16).unwrap_or(now ^ u128::from(std::process::id()) << 96)
}

/// The default directory of a journal called `name`: `/dev/shm/corelane-NAME`.
#[must_use]
pub fn hot_dir(name: &str) -> PathBuf {
    Path::new("/dev/shm").join(format!("corelane-{name}"))
}

/// The folder of a shard in the directory of a run.
#[must_use]
pub fn shard_dir(dir: &Path, shard: u16) -> PathBuf {
    dir.join(format!("shard-{shard:03}"))
}

/// The shard folders in the directory of a run, by number; `dir` itself if it holds segments.
///
/// # Errors
/// If the directory cannot be read, or holds no journal.
pub fn shard_dirs(dir: &Path) -> Result<Vec<PathBuf>, JournalError> {
    if !segments(dir)?.is_empty() {
        return Ok(vec![dir.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(JournalError::io("list", dir))? {
        let path = entry.map_err(JournalError::io("list", dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        if name.strip_prefix("shard-").is_some_and(|number| number.parse::<u16>().is_ok()) {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(JournalError::NoJournal(dir.to_owned()));
    }
    found.sort();
    Ok(found)
}

/// What lies beside the segments of a shard: notes of sinks, torn ends, a segment not yet in place,
/// what the disk was tried with, snapshots.
const BESIDE: [&str; 6] =
    ["confirmed", "torn-", "segment.new", "segment.zst.new", "try.new", "snapshot"];

/// Deletes a run's journal: its shard folders with their segments and what the engine keeps beside
/// them, and nothing else. A directory that does not exist is no error.
///
/// # Errors
/// If something cannot be deleted.
pub fn remove(dir: &Path) -> Result<(), JournalError> {
    let shards = match shard_dirs(dir) {
        Ok(shards) => shards,
        Err(JournalError::NoJournal(_)) => return Ok(()),
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error),
    };
    for shard in shards {
        for entry in std::fs::read_dir(&shard).map_err(JournalError::io("list", &shard))? {
            let path = entry.map_err(JournalError::io("list", &shard))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
            let is_ours =
                [SEGMENT_SUFFIX, COMPRESSED_SUFFIX].iter().any(|suffix| name.ends_with(suffix))
                    || BESIDE.iter().any(|b| name.starts_with(b));
            if is_ours {
                std::fs::remove_file(&path).map_err(JournalError::io("delete", &path))?;
            }
        }
        if shard != dir {
            std::fs::remove_dir(&shard).map_err(JournalError::io("delete", &shard))?;
        }
    }
    Ok(())
}

pub(crate) fn segment_path(shard_dir: &Path, segment: u64) -> PathBuf {
    shard_dir.join(format!("{segment:010}{SEGMENT_SUFFIX}"))
}

/// The number of the oldest segment in a shard's folders; 0 if there is none.
pub(crate) fn oldest_segment(hot: &Path, durable: Option<&Path>) -> Result<u64, JournalError> {
    let all = reader::segments_of_both(hot, durable)?;
    Ok(all.first().map_or(0, |(number, _)| *number))
}

/// The segment files of a shard folder, by number.
pub(crate) fn segments(shard_dir: &Path) -> Result<Vec<(u64, PathBuf)>, JournalError> {
    let list = |error: io::Error| JournalError::io("list", shard_dir)(error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(shard_dir).map_err(list)? {
        let path = entry.map_err(list)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        let number = name.strip_suffix(SEGMENT_SUFFIX);
        let number = number.or_else(|| name.strip_suffix(COMPRESSED_SUFFIX));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            found.push((number, path));
        }
    }
    found.sort();
    // A compressed one beside the plain one that it was made of: a death in between.
    found.dedup_by_key(|(number, _)| *number);
    Ok(found)
}

#[cfg(test)]
mod tests;
