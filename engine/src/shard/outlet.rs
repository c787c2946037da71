//! The shard's way out: what it does when egress has no room.
//!
//! Invariant: actions leave in the order in which they were decided; one that does not leave is
//! counted.

use std::collections::VecDeque;
use std::hint;
use std::thread;

use corelane_feeds::record::{Record, RecordBuf};
use corelane_strategies::action::is_action;

use crate::egress::Egress;
use crate::ring::{Full, RecordProducer};

/// How often a full ring is tried again before the CPU is offered to another thread, which on a
/// small machine is the one that empties the ring.
const SPINS_MAX: u32 = 64;

/// Takes actions, and marks between them (see [`super::ShardConfig::marks`]): a ring, or egress.
pub trait ActionOut {
    /// Takes a copy of the record.
    ///
    /// # Errors
    /// If there is no room for now.
    fn push(&mut self, record: &Record) -> Result<(), Full>;

    /// Whether there never will be room again.
    fn is_gone(&self) -> bool {
        false
    }
}

impl ActionOut for RecordProducer {
    #[inline]
    fn push(&mut self, record: &Record) -> Result<(), Full> {
        RecordProducer::push(self, record)
    }

    fn is_gone(&self) -> bool {
        self.is_abandoned()
    }
}

/// Fused: egress on the shard's own thread, which takes everything.
impl ActionOut for Egress {
    #[inline]
    fn push(&mut self, record: &Record) -> Result<(), Full> {
        self.take(0, record);
        Ok(())
    }
}

/// What a shard does when egress has no room.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum OnFull {
    /// Wait: no action is lost, and what is fed in waits too. For replays.
    #[default]
    Wait,
    /// Go on deciding and hold this many records back; beyond that, drop the new ones. They are in
    /// the journal, and counted. For live runs.
    Hold(usize),
}

pub(super) struct Outlet<O> {
    pub(super) out: O,
    on_full: OnFull,
    waiting: VecDeque<RecordBuf>,
    /// Actions that did not leave at once.
    pub(super) held: u64,
    /// Actions that never left.
    pub(super) dropped: u64,
}

impl<O: ActionOut> Outlet<O> {
    pub(super) fn new(out: O, on_full: OnFull) -> Self {
        let room = if let OnFull::Hold(most) = on_full { most } else { 0 };
        Self { out, on_full, waiting: VecDeque::with_capacity(room), held: 0, dropped: 0 }
    }

    #[inline]
    pub(super) fn push(&mut self, record: &Record) {
        if !self.waiting.is_empty() || self.out.push(record).is_err() {
            self.push_later(record);
        }
    }

    #[cold]
    fn push_later(&mut self, record: &Record) {
        let action = u64::from(is_action(record));
        self.held += action;
        match self.on_full {
            OnFull::Wait => {
                if !wait_for_room(&mut self.out, record) {
                    self.dropped += action;
                }
            }
            OnFull::Hold(most) => {
                self.retry();
                if self.waiting.is_empty() && self.out.push(record).is_ok() {
                    return;
                }
                if self.waiting.len() < most {
                    self.waiting.push_back(record.to_buf());
                } else {
                    self.dropped += action;
                }
            }
        }
    }

    /// Pushes and waits for room.
    pub(super) fn push_waiting(&mut self, record: &Record) {
        if !wait_for_room(&mut self.out, record) {
            self.dropped += u64::from(is_action(record));
        }
    }

    /// Moves on what waits, as far as there is room.
    #[inline]
    pub(super) fn retry(&mut self) {
        while let Some(buf) = self.waiting.front() {
            if buf.record().is_some_and(|record| self.out.push(record).is_err()) {
                return;
            }
            self.waiting.pop_front();
        }
    }

    /// Moves on all that waits, or counts it if egress is gone.
    pub(super) fn flush(&mut self) {
        while let Some(buf) = self.waiting.pop_front() {
            let Some(record) = buf.record() else { continue };
            if self.out.push(record).is_err() && !wait_for_room(&mut self.out, record) {
                self.dropped += u64::from(is_action(record));
            }
        }
    }
}

/// Pushes until there is room; false if there never will be.
fn wait_for_room(out: &mut impl ActionOut, record: &Record) -> bool {
    let mut spins = 0;
    while out.push(record).is_err() {
        if out.is_gone() {
            return false;
        }
        spins += 1;
        if spins < SPINS_MAX {
            hint::spin_loop();
        } else {
            thread::yield_now();
        }
    }
    true
}
