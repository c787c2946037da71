//! Snapshots of a shard: its whole state after an entry of its journal, in a file beside the
//! segments (those on disk, if a copy is kept there), so that a start need not decide over the
//! whole journal again.
//!
//! ```text
//! hot thread ──> journal segments ──read──> shadow: the same chain on the service core
//!                                             └──every so many records──> snapshot-SEQ
//!
//! start: newest snapshot that fits ──> state ──> journal behind it, decided over again ──> state
//! ```
//!
//! The state is not taken from the shard. A second copy of it, the *shadow*, follows the journal
//! and decides the same ([`Shadow`]); a snapshot is what that copy saves. So a snapshot costs the
//! hot thread nothing at all, and no stage has to know how to be copied while it works. The price
//! is the state twice in memory, once more while a snapshot is written, and a share of the service
//! core; and, for nothing, every action is decided twice and compared.
//!
//! Invariant: a snapshot appears under its name whole and synced, or not at all; one that does not
//! fit the journal, the configuration or this program is never used.

mod format;
mod replica;
mod retire;
mod shadow;
#[cfg(test)]
mod tests;
pub mod travel;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use corelane_strategies::strategy::StateError;

use crate::journal::JournalError;
use crate::sys::disk::{Disk, LocalDisk};

pub use format::{Section, SnapshotHeader};
pub use replica::{Replica, ReplicaStart};
pub(crate) use shadow::SteppedShadow;
pub use shadow::{Shadow, ShadowCounters, ShadowOptions};

/// Default of `snapshots_max` in `[journal]`.
pub const SNAPSHOTS_MAX_DEFAULT: usize = 2;
/// How the name of a snapshot begins; the sequence number of its last entry follows.
const PREFIX: &str = "snapshot-";
/// A snapshot that is being written.
const NEW: &str = "snapshot.new";

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// Its bytes are not as they were written.
    #[error("damaged: {0}")]
    Damaged(&'static str),
    /// Its layout, or a stage's state in it, is of another version of this program.
    #[error("of version {0}, which this program does not know")]
    Version(u32),
    /// The chain or the rules of this program have another state.
    #[error("of another version of this program: {0}")]
    State(StateError),
    /// Another configuration decided.
    #[error("of another configuration")]
    Configuration,
    /// The rules in force are not beside the journal any more.
    #[error("of rules that cannot be read: {0}")]
    Rules(String),
    /// It belongs to another journal, or to this one before it went on differently.
    #[error("of another journal")]
    Journal,
    /// The journal ends before it.
    #[error("of entry {0}, which the journal does not reach")]
    Newer(u64),
    /// Entries behind it are gone from the journal.
    #[error("of entry {0}, and the journal goes on later than the one behind it")]
    Older(u64),
    /// The system refused.
    #[error("not to be read: {0}")]
    Io(#[from] io::Error),
}

/// A snapshot in memory, whole.
pub struct Snapshot {
    /// What it begins with.
    pub header: SnapshotHeader,
    bytes: Vec<u8>,
    sections: format::Sections,
}

impl Snapshot {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// If it is no whole snapshot.
    pub fn read(path: &Path) -> Result<Self, Unfit> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut start = [0; format::HEADER_BYTES];
        if length < start.len() as u64 {
            return Err(Unfit::Damaged("it is shorter than its header"));
        }
        file.read_exact(&mut start)?;
        // Checked before the memory for the rest is taken.
        let header = format::read_header(&start, length)?;
        let mut bytes = Vec::with_capacity(length as usize);
        bytes.extend_from_slice(&start);
        file.read_to_end(&mut bytes)?;
        if bytes.len() as u64 != length {
            return Err(Unfit::Damaged("it is not as long as it was written"));
        }
        let sections = format::read_sections(&bytes, &header)?;
        Ok(Self { header, bytes, sections })
    }

    /// What a section holds.
    #[must_use]
    pub fn section(&self, section: Section) -> &[u8] {
        let at = Section::ALL.iter().position(|known| *known == section).unwrap_or_default();
        &self.bytes[self.sections[at].clone()]
    }
}

/// The snapshots in a folder of a shard, the newest first, by the entries in their names.
///
/// # Errors
/// If the folder cannot be read.
pub fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>, JournalError> {
    let failed = JournalError::io("list", dir);
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(&failed)? {
        let path = entry.map_err(&failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        if let Some(seq) = name.strip_prefix(PREFIX).and_then(|seq| seq.parse().ok()) {
            found.push((seq, path));
        }
    }
    found.sort();
    found.reverse();
    Ok(found)
}

/// The last entry that every snapshot kept in a folder has: a start from any of them needs none up
/// to it. 0 if there is no snapshot.
///
/// # Errors
/// If the folder cannot be read.
pub fn covered(dir: &Path) -> Result<u64, JournalError> {
    Ok(list(dir)?.last().map_or(0, |(seq, _)| *seq))
}

/// Where the snapshot of an entry lies.
fn path_of(dir: &Path, seq: u64) -> PathBuf {
    dir.join(format!("{PREFIX}{seq:020}"))
}

/// Writes a snapshot so that it is there whole or not at all, and removes the oldest beyond `max`.
/// Those of later entries go first: the journal that they were of has gone on otherwise since.
fn publish(dir: &Path, seq: u64, bytes: &[u8], max: usize) -> Result<(), JournalError> {
    let path = path_of(dir, seq);
    for (later, path) in list(dir)? {
        if later > seq {
            LocalDisk.remove(&path).map_err(JournalError::io("delete", &path))?;
        }
    }
    LocalDisk.replace(&path, &dir.join(NEW), bytes).map_err(JournalError::io("write", &path))?;
    for (_, path) in list(dir)?.into_iter().skip(max.max(1)) {
        LocalDisk.remove(&path).map_err(JournalError::io("delete", &path))?;
    }
    Ok(())
}
