//! The hot side: what a thread records into, and how it hands over what it recorded.
//!
//! Invariant: the recording thread never waits and never frees memory; if the collector is late
//! with the spare set, the thread goes on with the set it has.

use corelane_feeds::units::Nanos;
use hdrhistogram::Histogram;
use rtrb::{Consumer, Producer, RingBuffer};

use super::{DIGITS, LATENCY_NS_MAX, Stage, Stamps};

/// Sets of histograms per thread: one to record into, one to merge.
const SETS: usize = 2;

/// One histogram per stage, about 220 KiB each, of which only the lines in use are ever touched.
#[derive(Debug)]
pub(super) struct StageSet {
    pub(super) histograms: [Histogram<u64>; Stage::COUNT],
    /// Values whose end lay before their start.
    pub(super) backwards: u64,
    /// Values beyond [`LATENCY_NS_MAX`].
    pub(super) clipped: u64,
}

impl StageSet {
    pub(super) fn new() -> Self {
        Self::with_max(LATENCY_NS_MAX)
    }

    pub(super) fn with_max(max: u64) -> Self {
        let histogram = |_| Histogram::new_with_bounds(1, max, DIGITS).expect("fixed bounds");
        Self { histograms: std::array::from_fn(histogram), backwards: 0, clipped: 0 }
    }

    pub(super) fn clear(&mut self) {
        for histogram in self.histograms.iter_mut().filter(|histogram| !histogram.is_empty()) {
            histogram.reset();
        }
        (self.backwards, self.clipped) = (0, 0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.histograms.iter().all(Histogram::is_empty)
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.histograms.iter_mut().zip(&other.histograms) {
            if !theirs.is_empty() {
                mine.add(theirs).expect("equal bounds");
            }
        }
        self.backwards += other.backwards;
        self.clipped += other.clipped;
    }
}

/// The collector's ends of the two rings to one recorder.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) full: Consumer<Box<StageSet>>,
    pub(super) spare: Producer<Box<StageSet>>,
}

/// What one hot thread records its latencies into. Made by
/// [`LatencyCollector::recorder`](super::LatencyCollector::recorder); dropping it hands over the
/// rest.
#[derive(Debug)]
pub struct LatencyRecorder {
    active: Box<StageSet>,
    full: Producer<Box<StageSet>>,
    spare: Consumer<Box<StageSet>>,
    interval_ns: u64,
    due: Nanos,
}

impl LatencyRecorder {
    pub(super) fn new(interval_ns: u64, now: Nanos, max_ns: u64) -> (Self, Source) {
        let (full, full_out) = RingBuffer::new(SETS);
        let (mut spare_in, spare) = RingBuffer::new(SETS);
        for _ in 1..SETS {
            spare_in.push(Box::new(StageSet::with_max(max_ns))).expect("room for every set");
        }
        let active = Box::new(StageSet::with_max(max_ns));
        let due = Nanos(now.0.saturating_add(interval_ns));
        let recorder = Self { active, full, spare, interval_ns, due };
        (recorder, Source { full: full_out, spare: spare_in })
    }

    /// Records the time from one stamp to a later one.
    #[inline]
    pub fn record(&mut self, stage: Stage, from: Nanos, to: Nanos) {
        self.active.backwards += u64::from(to < from);
        self.record_ns(stage, to.since(from));
    }

    /// Records a time in nanoseconds.
    #[inline]
    pub fn record_ns(&mut self, stage: Stage, ns: u64) {
        self.active.clipped += u64::from(ns > LATENCY_NS_MAX);
        self.active.histograms[stage as usize].saturating_record(ns.min(LATENCY_NS_MAX));
    }

    /// Records every stage of one record that both its stamps were taken of; `Packet` is not among
    /// them, a record does not know when its packet was done.
    pub fn record_stamps(&mut self, stamps: &Stamps) {
        let wire = stamps.wire();
        let stages = [
            (Stage::KernelToUser, stamps.kernel, stamps.user),
            (Stage::Decode, stamps.user, stamps.decoded),
            (Stage::Decide, stamps.decoded, stamps.decided),
            (Stage::Journal, stamps.decided, stamps.journalled),
            (Stage::Send, stamps.journalled, stamps.sent),
            (Stage::WireToDecided, wire, stamps.decided),
            (Stage::WireToAction, wire, stamps.sent),
        ];
        for (stage, from, to) in stages {
            if from.0 != 0 && to.0 != 0 {
                self.record(stage, from, to);
            }
        }
    }

    /// Hands over what was recorded if the interval has passed. For every batch, and idle moments.
    #[inline]
    pub fn publish_if_due(&mut self, now: Nanos) {
        if now >= self.due {
            self.publish(now);
        }
    }

    /// Hands over what was recorded, if the collector has given the other set back.
    pub fn publish(&mut self, now: Nanos) {
        self.due = Nanos(now.0.saturating_add(self.interval_ns));
        if self.active.is_empty() {
            return;
        }
        let Ok(spare) = self.spare.pop() else { return };
        let full = std::mem::replace(&mut self.active, spare);
        self.full.push(full).expect("as many places as sets");
    }
}

impl Drop for LatencyRecorder {
    fn drop(&mut self) {
        let rest = std::mem::replace(&mut self.active, Box::new(StageSet::with_max(2)));
        self.full.push(rest).expect("as many places as sets");
    }
}

/// Picks every `n`th of the things it is asked about.
#[derive(Copy, Clone, Debug)]
pub struct Sampler {
    every: u32,
    left: u32,
}

impl Sampler {
    /// One in `every`, beginning with the first; 0 picks none.
    #[must_use]
    pub const fn new(every: u32) -> Self {
        Self { every, left: 1 }
    }

    /// Whether this one is picked.
    #[inline]
    pub fn pick(&mut self) -> bool {
        if self.every == 0 {
            return false;
        }
        self.left -= 1;
        if self.left > 0 {
            return false;
        }
        self.left = self.every;
        true
    }
}
