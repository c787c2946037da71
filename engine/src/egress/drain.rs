//! The egress thread: drains one `shard_egress` ring per shard into the sinks.
//!
//! Invariant: it ends when every shard's end of its ring is gone and all that was pushed is sent,
//! or counted as dropped.

use std::thread;
use std::time::Duration;

use super::{Egress, EgressStats};
use crate::reactor::Waiting;
use crate::ring::RecordConsumer;

/// Actions taken from one ring before the next one has its turn.
const BATCH: usize = 256;
/// The longest sleep of an idle egress thread that may park: what a lone action waits at most.
const PARK: Duration = Duration::from_micros(100);

/// Egress with the rings that feed it.
pub struct Drain {
    egress: Egress,
    shard_egress: Vec<RecordConsumer>,
    open: Vec<bool>,
}

impl Drain {
    /// Egress over the shards' rings, in the shards' order.
    #[must_use]
    pub fn new(egress: Egress, shard_egress: Vec<RecordConsumer>) -> Self {
        let open = vec![true; shard_egress.len()];
        Self { egress, shard_egress, open }
    }

    /// Takes a batch of every ring, and moves on what waits in the sinks; returns how many actions
    /// there were.
    ///
    /// # Panics
    /// If there are more rings than the egress was opened for.
    pub fn step(&mut self) -> usize {
        let (egress, mut taken) = (&mut self.egress, 0);
        for (shard, ring) in self.shard_egress.iter_mut().enumerate() {
            // Asked before draining: what was pushed before the end is then seen below.
            let gone = ring.is_abandoned();
            taken += ring.drain(BATCH, |record| egress.take(shard, record));
            if gone && self.open[shard] && ring.is_empty() {
                self.open[shard] = false;
                egress.close_shard(shard);
            }
        }
        egress.poll();
        taken
    }

    /// Whether a shard may still send.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.contains(&true)
    }

    /// Actions that wait in sinks, and records in the rings to them.
    #[must_use]
    pub fn pending(&self) -> usize {
        let rings = self.shard_egress.iter().filter(|ring| !ring.is_empty()).count();
        rings + self.egress.pending()
    }

    /// Gives the sinks `patience` for what still waits, and closes them.
    #[must_use]
    pub fn finish(self, patience: Duration) -> EgressStats {
        self.egress.finish(patience)
    }
}

/// Runs egress on this thread over the shards' rings, in the shards' order, until the shards are
/// gone; then gives the sinks `patience` for what still waits.
///
/// # Panics
/// If there are more rings than the egress was opened for.
#[must_use]
pub fn run(
    egress: Egress,
    shard_egress: Vec<RecordConsumer>,
    waiting: Waiting,
    patience: Duration,
) -> EgressStats {
    let mut drain = Drain::new(egress, shard_egress);
    while drain.is_open() {
        if drain.step() == 0 {
            pause(waiting);
        }
    }
    drain.finish(patience)
}

fn pause(waiting: Waiting) {
    match waiting {
        Waiting::Spin => std::hint::spin_loop(),
        Waiting::Yield | Waiting::Auto => thread::yield_now(),
        Waiting::Park => thread::sleep(PARK),
    }
}
