//! What can go wrong with a journal, and which exit code it means.
//!
//! Invariant: every error about bytes names the segment and the offset; every error of the system
//! names what was tried on which file.

use std::io;
use std::path::{Path, PathBuf};

/// Why a journal cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system refused: no room, no permission, no such file.
    #[error("cannot {} {}: {}", .0.operation, .0.path.display(), .0.source)]
    Io(Box<IoFailure>),
    /// As many segments are written as may be kept.
    #[error("the journal is full: all {segments_max} segments are written")]
    Full {
        /// The bound from the configuration.
        segments_max: u64,
    },
    /// An append failed before; nothing was written since.
    #[error("the journal stopped at an earlier error")]
    Stopped,
    /// The directory holds a journal already, which is never overwritten.
    #[error("{} holds a journal already: name another directory, or remove it", .0.display())]
    Exists(PathBuf),
    /// There is no journal to read.
    #[error("no journal in {}", .0.display())]
    NoJournal(PathBuf),
    /// A setting is impossible.
    #[error("journal settings: {0}")]
    Config(&'static str),
    /// Bytes in the middle of a segment are not what was written.
    #[error("segment {segment} is damaged at byte {offset}: {why}")]
    Damaged {
        /// Number of the segment.
        segment: u64,
        /// Bytes from the start of its file.
        offset: u64,
        /// What was found.
        why: Damage,
    },
    /// A segment that others follow is not there.
    #[error("segment {segment} is missing")]
    Missing {
        /// Number of the segment.
        segment: u64,
    },
}

/// What is wrong with bytes of a segment.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Damage {
    /// The header's checksum, or a field that has one possible value.
    #[error("the header is not as it was written")]
    Header,
    /// The header is of a version that this program does not know.
    #[error("the layout is of version {0}, which this program does not know")]
    Version(u32),
    /// The header does not go on where the segment before ended.
    #[error("the segment does not continue the one before")]
    Link,
    /// The segment belongs to another journal or shard.
    #[error("the segment belongs to another journal")]
    Foreign,
    /// The entry's checksum, kind or length.
    #[error("the entry is not as it was written")]
    Entry,
    /// The entry is whole, but holds no record.
    #[error("the entry holds no record")]
    Record,
    /// Entries or segments follow a place where nothing was written.
    #[error("entries are missing here, and others follow")]
    Hole,
    /// Something was written behind the end marker.
    #[error("bytes follow the end of the segment")]
    Trailing,
}

/// What the system refused.
#[derive(Debug)]
pub struct IoFailure {
    /// What was tried.
    pub operation: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl JournalError {
    /// Wraps an error of the system: `.map_err(JournalError::io("read", path))`.
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io(Box::new(IoFailure { operation, path: path.to_owned(), source }))
    }

    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Io(failure) if failure.source.kind() == io::ErrorKind::NotFound)
    }

    /// The exit code that the command line gives for it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Io(failure) if failure.source.kind() == io::ErrorKind::PermissionDenied => 77,
            Self::Io(_) | Self::Full { .. } | Self::Stopped => 74,
            Self::Exists(_) | Self::Config(_) => 78,
            Self::NoJournal(_) | Self::Damaged { .. } | Self::Missing { .. } => 65,
        }
    }
}
