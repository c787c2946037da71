//! Gives every record to the shard that owns its instrument.
//!
//! Invariant: records of one instrument of one feed always go to the same shard, in order; records
//! that concern no instrument (sessions, gaps, ticks, market-wide events) go to every shard. A
//! record that rules by another key need goes to that key's shard, too, and says so. A full
//! ring is waited for, never skipped: what waits is the reactor, and then the socket's buffer,
//! whose overflow the kernel counts.

use corelane_feeds::record::{FLAG_EXCHANGED, Record, RecordBuf, RecordSink};
use corelane_strategies::rules::Shares;

use crate::ring::RecordProducer;

/// One ring to each shard.
pub(super) struct Router {
    feed_shard: Vec<RecordProducer>,
    /// Which other shards' rules need a record.
    shares: Option<Shares>,
    copy: RecordBuf,
    lost: u64,
}

impl Router {
    /// A router over one ring per shard, in the shards' order.
    #[must_use]
    pub(super) fn new(feed_shard: Vec<RecordProducer>, shares: Option<Shares>) -> Self {
        assert!(!feed_shard.is_empty(), "a router needs a shard");
        Self { feed_shard, shares, copy: RecordBuf::default(), lost: 0 }
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

impl Router {
    /// Sends a record to other shards than its own, a bit each, and says so in its flags.
    fn send(&mut self, mut shards: u64, record: &Record) {
        let mut copy = std::mem::take(&mut self.copy);
        copy.set(record);
        if let Some(header) = copy.header_mut() {
            header.flags |= FLAG_EXCHANGED;
        }
        while let (Some(record), true) = (copy.record(), shards != 0) {
            self.push(shards.trailing_zeros() as usize, record);
            shards &= shards - 1;
        }
        self.copy = copy;
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
            let own = shard_of(record.header.instrument, self.feed_shard.len());
            self.push(own, record);
            if let Some(shares) = &mut self.shares {
                let others = shares.shards(record) & !(1 << own);
                if others != 0 {
                    self.send(others, record);
                }
            }
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
