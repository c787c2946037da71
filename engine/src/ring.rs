//! Bounded rings of records between one producer thread and one consumer thread, named
//! producer_consumer: `feed_shard`, `shard_egress`.
//!
//! ```text
//! slots of 64 bytes   | add | noii ···· | add | delete |     |     |
//!                       ^ consumer: drain               ^ producer: push
//! ```
//!
//! A record takes one to four whole slots. They are published by one store, so a record is in the
//! ring entirely or not at all, and the consumer reads it in place; only a record that wraps around
//! the end of the ring is copied first.
//!
//! Invariant: records come out as they went in, in order, none lost and none twice. A full ring
//! refuses the record and leaves it with the caller, who waits, or drops it and says so by
//! [`RecordProducer::count_dropped`].
//!
//! ```
//! use corelane::ring;
//! use corelane_feeds::record::{Stamp, View};
//! use corelane_feeds::streams::sys::Tick;
//! let (mut producer, mut consumer) = ring::new("feed_shard", 8);
//! let tick = Tick::new(Stamp::default(), 0);
//! producer.push(tick.as_record()).unwrap();
//! assert_eq!(consumer.stats().occupancy(), 1);
//! let mut seen = 0;
//! let taken = consumer.drain(16, |record| seen += usize::from(record.view::<Tick>().is_some()));
//! assert_eq!(taken, 1);
//! assert_eq!(seen, 1);
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use corelane_feeds::record::{Record, SLOTS_MAX, Slot};
use rtrb::{Consumer, Producer, RingBuffer};
use zerocopy::IntoBytes;

/// The fewest slots a ring may have: the widest record must fit.
pub const SLOTS_MIN: usize = SLOTS_MAX;

/// A ring called `name`, named producer_consumer, of `slots` slots of 64 bytes.
///
/// # Panics
/// If `slots` is below [`SLOTS_MIN`].
#[must_use]
pub fn new(name: &str, slots: usize) -> (RecordProducer, RecordConsumer) {
    assert!(slots >= SLOTS_MIN, "ring {name}: {slots} slots cannot hold the widest record");
    let (producer, consumer) = RingBuffer::new(slots);
    let stats = Arc::new(RingStats {
        name: name.to_owned(),
        capacity: slots as u64,
        produced: Produced::default(),
        consumed: Consumed::default(),
    });
    (
        RecordProducer { ring: producer, counts: Counts::default(), stats: stats.clone() },
        RecordConsumer {
            ring: consumer,
            counts: Counts::default(),
            waiting_max: 0,
            wrapped: [Slot::default(); SLOTS_MAX],
            stats,
        },
    )
}

/// The ring has no room for the record, which stays with the caller.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("ring is full: {free} slots free, {wanted} wanted")]
pub struct Full {
    /// Slots that were free.
    pub free: usize,
    /// Slots that the record takes.
    pub wanted: usize,
}

/// What one side has moved so far; the owner counts, and stores it for the others to read.
#[derive(Copy, Clone, Default)]
struct Counts {
    slots: u64,
    records: u64,
}

/// Written by the producer alone. Two cache lines, since the CPU fetches lines in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Produced {
    slots: AtomicU64,
    records: AtomicU64,
    refused: AtomicU64,
    dropped: AtomicU64,
}

/// Written by the consumer alone.
#[derive(Default)]
#[repr(align(128))]
struct Consumed {
    slots: AtomicU64,
    records: AtomicU64,
    waiting_max: AtomicU64,
}

/// What a ring has seen, readable from any thread. Single values are exact; two read one after the
/// other may be of different moments.
pub struct RingStats {
    name: String,
    capacity: u64,
    produced: Produced,
    consumed: Consumed,
}

impl RingStats {
    /// The ring's name, producer_consumer.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Slots of the ring.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Slots taken now.
    #[must_use]
    pub fn occupancy(&self) -> u64 {
        // Consumed first: read the other way round it could overtake.
        let consumed = self.consumed.slots.load(Relaxed);
        self.produced.slots.load(Relaxed).saturating_sub(consumed).min(self.capacity)
    }

    /// The most slots ever found taken by a drain or by a refused push.
    #[must_use]
    pub fn occupancy_max(&self) -> u64 {
        if self.refused() > 0 {
            return self.capacity;
        }
        self.consumed.waiting_max.load(Relaxed)
    }

    /// Records pushed.
    #[must_use]
    pub fn pushed(&self) -> u64 {
        self.produced.records.load(Relaxed)
    }

    /// Records drained.
    #[must_use]
    pub fn drained(&self) -> u64 {
        self.consumed.records.load(Relaxed)
    }

    /// Pushes that found no room. One record may be refused many times before it fits.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.produced.refused.load(Relaxed)
    }

    /// Records given up by the producer because of a full ring.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.produced.dropped.load(Relaxed)
    }
}

/// The end of a ring that puts records in.
pub struct RecordProducer {
    ring: Producer<Slot>,
    counts: Counts,
    stats: Arc<RingStats>,
}

impl RecordProducer {
    /// Puts a copy of `record` in the ring.
    ///
    /// # Errors
    /// If there is no room for all of it; nothing is written then.
    #[inline]
    pub fn push(&mut self, record: &Record) -> Result<(), Full> {
        let bytes = record.as_bytes();
        let slots = record.slots();
        debug_assert_eq!(bytes.len(), record.header.bytes());
        if let Ok(whole) = <&[u8; size_of::<Slot>()]>::try_from(bytes) {
            if self.ring.push(Slot(*whole)).is_err() {
                return Err(self.refuse(slots));
            }
        } else {
            let Ok(chunk) = self.ring.write_chunk_uninit(slots) else {
                return Err(self.refuse(slots));
            };
            // The ring is filled from a list of `slots` slots, and published when it ends.
            let filled = chunk.fill_from_iter(bytes.chunks(size_of::<Slot>()).map(|piece| {
                let mut slot = Slot::default();
                slot.0[..piece.len()].copy_from_slice(piece);
                slot
            }));
            assert_eq!(filled, slots, "a record is as long as its header says");
        }
        self.counts.slots += slots as u64;
        self.counts.records += 1;
        self.stats.produced.slots.store(self.counts.slots, Relaxed);
        self.stats.produced.records.store(self.counts.records, Relaxed);
        Ok(())
    }

    #[cold]
    fn refuse(&self, wanted: usize) -> Full {
        add(&self.stats.produced.refused, 1);
        Full { free: self.ring.slots(), wanted }
    }

    /// Counts records that the caller gave up.
    pub fn count_dropped(&self, records: u64) {
        add(&self.stats.produced.dropped, records);
    }

    /// Whether the consumer is gone: nothing pushed from now on is ever read.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.ring.is_abandoned()
    }

    /// Slots free now.
    #[must_use]
    pub fn free(&self) -> usize {
        self.ring.slots()
    }

    /// What the ring has seen.
    #[must_use]
    pub fn stats(&self) -> &Arc<RingStats> {
        &self.stats
    }
}

/// The end of a ring that takes records out.
pub struct RecordConsumer {
    ring: Consumer<Slot>,
    counts: Counts,
    waiting_max: u64,
    /// Where a record is put together that wraps around the end of the ring.
    wrapped: [Slot; SLOTS_MAX],
    stats: Arc<RingStats>,
}

impl RecordConsumer {
    /// Hands at most `records_max` records to `take`, in order, and returns how many. Their room is
    /// free for the producer when this returns, so a small `records_max` keeps the ring moving.
    #[inline]
    pub fn drain(&mut self, records_max: usize, mut take: impl FnMut(&Record)) -> usize {
        let waiting = self.ring.slots();
        if waiting == 0 {
            return 0;
        }
        let Ok(chunk) = self.ring.read_chunk(waiting) else { return 0 };
        let (first, second) = chunk.as_slices();
        let mut at = 0;
        let mut records = 0;
        while at < waiting && records < records_max {
            let record = if at >= first.len() {
                Record::from_slots(&second[at - first.len()..])
            } else {
                // A record that the end of the ring cuts in two reads as truncated.
                Record::from_slots(&first[at..])
                    .or_else(|_| unwrap_around(&mut self.wrapped, &first[at..], second))
            };
            let record = record.expect("a ring holds whole records only");
            at += record.slots();
            records += 1;
            take(record);
        }
        chunk.commit(at);
        self.counts.slots += at as u64;
        self.counts.records += records as u64;
        self.stats.consumed.slots.store(self.counts.slots, Relaxed);
        self.stats.consumed.records.store(self.counts.records, Relaxed);
        if waiting as u64 > self.waiting_max {
            self.waiting_max = waiting as u64;
            self.stats.consumed.waiting_max.store(self.waiting_max, Relaxed);
        }
        records
    }

    /// Whether there is nothing to drain.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Whether the producer is gone. What it pushed before is still to be drained: ask this first,
    /// then drain until empty.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.ring.is_abandoned()
    }

    /// What the ring has seen.
    #[must_use]
    pub fn stats(&self) -> &Arc<RingStats> {
        &self.stats
    }
}

/// Puts a record together that begins at the ring's last slots and goes on at its first.
#[cold]
fn unwrap_around<'a>(
    wrapped: &'a mut [Slot; SLOTS_MAX],
    first: &[Slot],
    second: &[Slot],
) -> Result<&'a Record, corelane_feeds::record::RecordError> {
    let pieces = first.iter().chain(second);
    for (place, slot) in wrapped.iter_mut().zip(pieces) {
        *place = *slot;
    }
    Record::from_slots(&wrapped[..])
}

/// Adds to a counter that this thread alone writes.
fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Relaxed) + count, Relaxed);
}

#[cfg(test)]
mod tests;
