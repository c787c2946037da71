//! How far a shard's writer has come, and how much of that is durable: what the hot thread and the
//! service thread tell each other.
//!
//! Invariants: the hot thread stores one word and loads another, and never waits. An entry that is
//! said to be written is whole in its segment; one that is said to be durable is on disk, with all
//! before it. After a failure nothing more becomes durable.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::JournalError;

/// Bits of a place that say where in its segment it is: segments are no longer than 1 GiB.
const OFFSET_BITS: u32 = 31;

/// A place in a journal: behind it nothing was written.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position {
    /// Number of the segment.
    pub segment: u64,
    /// Bytes from the start of its file.
    pub offset: u64,
}

/// A word that one thread writes, on cache lines of its own.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Line(AtomicU64);

/// What was done to make entries durable.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct DurableCounters {
    /// Groups committed.
    pub groups: u64,
    /// Entries in them.
    pub entries: u64,
    /// Bytes written for them, whole blocks.
    pub bytes: u64,
    /// Segments finished.
    pub segments: u64,
    /// Full, durable segments taken out of memory.
    pub released: u64,
}

/// Shared by a shard's writer and the thread that makes its journal durable.
#[derive(Debug, Default)]
pub struct Progress {
    /// By the hot thread.
    written: Line,
    /// By the service thread: sequence number of the last durable entry.
    durable: Line,
    failed: AtomicBool,
    failure: Mutex<Option<JournalError>>,
    counters: Mutex<DurableCounters>,
}

impl Progress {
    /// Nothing after entry `durable_seq` is durable yet.
    #[must_use]
    pub fn new(durable_seq: u64) -> Self {
        let progress = Self::default();
        progress.durable.0.store(durable_seq, Ordering::Relaxed);
        progress
    }

    /// Everything before the place is written.
    #[inline]
    pub fn publish(&self, place: Position) {
        let word = place.segment << OFFSET_BITS | place.offset;
        self.written.0.store(word, Ordering::Release);
    }

    /// How far the writer has come.
    #[must_use]
    pub fn written(&self) -> Position {
        let word = self.written.0.load(Ordering::Acquire);
        Position { segment: word >> OFFSET_BITS, offset: word & ((1 << OFFSET_BITS) - 1) }
    }

    /// Sequence number of the last durable entry, 0 before the first.
    #[inline]
    #[must_use]
    pub fn last_durable_seq(&self) -> u64 {
        self.durable.0.load(Ordering::Acquire)
    }

    /// Everything up to an entry is durable.
    pub fn advance(&self, seq: u64) {
        assert!(seq >= self.last_durable_seq(), "what is durable stays so");
        self.durable.0.store(seq, Ordering::Release);
    }

    /// Whether nothing more becomes durable.
    #[inline]
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Nothing more becomes durable, and why.
    pub fn fail(&self, error: JournalError) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        self.failed.store(true, Ordering::Release);
    }

    /// Why nothing more becomes durable: told once.
    #[must_use]
    pub fn take_failure(&self) -> Option<JournalError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> DurableCounters {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what was done so far.
    pub fn set_counters(&self, counters: DurableCounters) {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }
}
