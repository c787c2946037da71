//! The shard's way out: what it does when egress has no room, and when actions must wait until the
//! disk has them.
//!
//! Invariant: actions leave in the order in which they were decided; one that does not leave is
//! counted. Behind a gate none leaves before its entry in the journal is durable, with its cause.

use std::collections::VecDeque;
use std::hint;
use std::sync::Arc;
use std::thread;

use corelane_feeds::record::{Record, RecordBuf};
use corelane_strategies::action::is_action;

use crate::egress::Egress;
use crate::journal::Progress;
use crate::ring::{Full, RecordProducer};

/// How often a full ring is tried again before the CPU is offered to another thread, which on a
/// small machine is the one that empties the ring.
const SPINS_MAX: u32 = 64;
/// Actions that wait for the disk at most; beyond that the shard waits, too.
pub(super) const UNDURABLE_MAX: usize = 16_384;

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
    /// Where actions wait until they are durable.
    gate: Option<Arc<Progress>>,
    /// What has not left, with the last entry that must be durable first.
    waiting: VecDeque<(u64, RecordBuf)>,
    /// Actions that did not leave at once because egress had no room.
    pub(super) held: u64,
    /// Actions that never left.
    pub(super) dropped: u64,
    /// Actions that waited for the disk.
    pub(super) gated: u64,
    /// How often the shard had to wait because too many did.
    pub(super) gate_waits: u64,
    /// Actions that did not leave because the disk failed: they are in the journal in memory.
    pub(super) undurable: u64,
}

impl<O: ActionOut> Outlet<O> {
    pub(super) fn new(out: O, on_full: OnFull, gate: Option<Arc<Progress>>) -> Self {
        let held = if let OnFull::Hold(most) = on_full { most } else { 0 };
        let room = if gate.is_some() { held.max(UNDURABLE_MAX) } else { held };
        let waiting = VecDeque::with_capacity(room);
        let (held, dropped, gated, gate_waits, undurable) = (0, 0, 0, 0, 0);
        Self { out, on_full, gate, waiting, held, dropped, gated, gate_waits, undurable }
    }

    /// Whether anything waits for the disk.
    #[inline]
    pub(super) fn awaits_disk(&self) -> bool {
        self.gate.is_some() && !self.waiting.is_empty()
    }

    /// Hands on a record that may leave once entry `seq` is durable.
    #[inline]
    pub(super) fn push(&mut self, seq: u64, record: &Record) {
        if self.gate.is_some() {
            self.push_gated(seq, record);
        } else if !self.waiting.is_empty() || self.out.push(record).is_err() {
            self.push_later(record);
        }
    }

    /// Lets nothing pass that is not durable; waits if too much does.
    fn push_gated(&mut self, seq: u64, record: &Record) {
        if self.waiting.is_empty() && self.is_open(seq) && self.out.push(record).is_ok() {
            return;
        }
        self.gated += u64::from(is_action(record));
        if self.waiting.len() >= UNDURABLE_MAX {
            self.gate_waits += 1;
            self.await_room();
        }
        if self.waiting.len() < UNDURABLE_MAX {
            self.waiting.push_back((seq, record.to_buf()));
        } else {
            self.undurable += u64::from(is_action(record));
        }
    }

    /// Waits until one that waits has left; gives up if none ever will.
    #[cold]
    fn await_room(&mut self) {
        let most = self.waiting.len();
        loop {
            self.retry();
            let is_stuck = self.gate.as_ref().is_some_and(|gate| gate.has_failed());
            if self.waiting.len() < most || is_stuck || self.out.is_gone() {
                return;
            }
            thread::yield_now();
        }
    }

    #[inline]
    fn is_open(&self, seq: u64) -> bool {
        self.gate.as_ref().is_none_or(|gate| seq <= gate.last_durable_seq())
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
                    self.waiting.push_back((0, record.to_buf()));
                } else {
                    self.dropped += action;
                }
            }
        }
    }

    /// Pushes what is durable already and waits for room.
    pub(super) fn push_waiting(&mut self, record: &Record) {
        if !wait_for_room(&mut self.out, record) {
            self.dropped += u64::from(is_action(record));
        }
    }

    /// Moves on what waits, as far as it may leave and there is room.
    #[inline]
    pub(super) fn retry(&mut self) {
        while let Some((seq, buf)) = self.waiting.front() {
            let stays = !self.is_open(*seq)
                || buf.record().is_some_and(|record| self.out.push(record).is_err());
            if stays {
                return;
            }
            self.waiting.pop_front();
        }
    }

    /// Moves on all that waits and may leave, or counts it if egress is gone. The journal is
    /// closed.
    pub(super) fn flush(&mut self) {
        while let Some((seq, buf)) = self.waiting.pop_front() {
            let Some(record) = buf.record() else { continue };
            if !self.is_open(seq) {
                self.undurable += u64::from(is_action(record));
            } else if self.out.push(record).is_err() && !wait_for_room(&mut self.out, record) {
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
