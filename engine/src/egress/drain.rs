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

/// Runs egress on this thread over the shards' rings, in the shards' order, until the shards are
/// gone; then gives the sinks `patience` for what still waits.
///
/// # Panics
/// If there are more rings than the egress was opened for.
#[must_use]
pub fn run(
    mut egress: Egress,
    mut shard_egress: Vec<RecordConsumer>,
    waiting: Waiting,
    patience: Duration,
) -> EgressStats {
    let mut open = vec![true; shard_egress.len()];
    while open.contains(&true) {
        let mut taken = 0;
        for (shard, ring) in shard_egress.iter_mut().enumerate() {
            // Asked before draining: what was pushed before the end is then seen below.
            let gone = ring.is_abandoned();
            taken += ring.drain(BATCH, |record| egress.take(shard, record));
            if gone && open[shard] && ring.is_empty() {
                open[shard] = false;
                egress.close_shard(shard);
            }
        }
        egress.poll();
        if taken == 0 {
            pause(waiting);
        }
    }
    egress.finish(patience)
}

fn pause(waiting: Waiting) {
    match waiting {
        Waiting::Spin => std::hint::spin_loop(),
        Waiting::Yield | Waiting::Auto => thread::yield_now(),
        Waiting::Park => thread::sleep(PARK),
    }
}
