//! Gives every record to the shard that owns its instrument.
//!
//! Invariant: records of one instrument of one feed always go to the same shard, in order; records
//! that concern no instrument (sessions, gaps, ticks, market-wide events) go to every shard. A full
//! ring is waited for, never skipped: what waits is the reactor, and then the socket's buffer,
//! whose overflow the kernel counts.

use corelane_feeds::record::{Record, RecordSink};

use crate::ring::RecordProducer;

/// One ring to each shard.
pub(super) struct Router {
    feed_shard: Vec<RecordProducer>,
    lost: u64,
}

impl Router {
    /// A router over one ring per shard, in the shards' order.
    #[must_use]
    pub(super) fn new(feed_shard: Vec<RecordProducer>) -> Self {
        assert!(!feed_shard.is_empty(), "a router needs a shard");
        Self { feed_shard, lost: 0 }
    }

    /// Records for a shard that is gone, which ends the run.
    #[must_use]
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    #[inline]
    fn push(&mut self, shard: usize, record: &Record) {
        let ring = &mut self.feed_shard[shard];
        if ring.push(record).is_ok() {
            return;
        }
        while ring.push(record).is_err() {
            if ring.is_abandoned() {
                self.lost += 1;
                return;
            }
            std::hint::spin_loop();
        }
    }
}

/// Which of `shards` owns an instrument. Spreads dense numbers evenly, whatever their stride.
#[inline]
#[must_use]
pub fn shard_of(instrument: u16, shards: usize) -> usize {
    let mixed = u32::from(instrument).wrapping_mul(0x9E37_79B1);
    ((u64::from(mixed) * shards as u64) >> 32) as usize
}

impl RecordSink for Router {
    #[inline]
    fn record(&mut self, record: &Record) {
        if record.header.instrument == 0 {
            for shard in 0..self.feed_shard.len() {
                self.push(shard, record);
            }
        } else {
            self.push(shard_of(record.header.instrument, self.feed_shard.len()), record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_own_about_as_many_instruments() {
        for shards in [1, 2, 3, 7, 16] {
            let mut owned = vec![0u32; shards];
            for instrument in 1..=8_000 {
                owned[shard_of(instrument, shards)] += 1;
            }
            let fair = 8_000 / shards as u32;
            assert!(owned.iter().all(|n| n.abs_diff(fair) <= fair / 10), "{owned:?}");
        }
    }
}
