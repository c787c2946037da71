//! What moves or notes a record without looking into it: rings, the journal, histograms.
//!
//! Invariant: no journal segment ends within a run, so that a run is appends alone.

use std::hint::black_box;
use std::time::Duration;

use corelane::journal::{JournalConfig, JournalWriter};
use corelane::latency::{LatencyCollector, LatencyRecorder, Stage};
use corelane::ring::{self, RecordConsumer, RecordProducer};
use corelane_feeds::record::View;
use corelane_feeds::streams::itch::AddOrder;
use corelane_feeds::units::Nanos;
use tempfile::TempDir;

use super::Work;
use crate::journal::records;

/// Records of a run.
pub(super) const RECORDS: usize = 10_000;
/// Records between two drains of a ring.
const BATCH: usize = 50;
/// Bytes of a segment; a record takes 72 of them.
const SEGMENT_BYTES: usize = 64 << 20;
/// Runs that a segment has room for.
const RUNS_PER_SEGMENT: usize = SEGMENT_BYTES / (RECORDS * 72) - 1;

struct RingHop {
    records: Vec<AddOrder>,
    producer: RecordProducer,
    consumer: RecordConsumer,
}

/// Push and drain on one thread, as a ring between two threads that keep up is used.
pub(super) fn ring_hop() -> Box<dyn Work> {
    let (producer, consumer) = ring::new("bench_bench", 4_096);
    Box::new(RingHop { records: records(), producer, consumer })
}

impl Work for RingHop {
    fn run(&mut self) -> u64 {
        let mut sum = 1u64;
        for (i, record) in self.records.iter().cycle().take(RECORDS).enumerate() {
            self.producer.push(record.as_record()).expect("room");
            if i % BATCH == BATCH - 1 {
                self.consumer.drain(BATCH, |record| sum = sum.wrapping_add(record.fields[0]));
            }
        }
        sum
    }
}

struct JournalAppend {
    records: Vec<AddOrder>,
    /// The writer, and the folder below which it writes.
    open: Option<(JournalWriter, TempDir)>,
    runs: usize,
}

pub(super) fn journal_append() -> Box<dyn Work> {
    Box::new(JournalAppend { records: records(), open: None, runs: 0 })
}

impl Work for JournalAppend {
    fn reset(&mut self) {
        if self.open.is_some() && self.runs < RUNS_PER_SEGMENT {
            return;
        }
        self.runs = 0;
        // In this order: the old one's memory is free before the new one takes its own.
        self.open = None;
        let dir = tempfile::tempdir_in("/dev/shm").expect("a memory file system");
        let segment =
            JournalConfig { segment_bytes: SEGMENT_BYTES, ..JournalConfig::new(dir.path()) };
        self.open = Some((JournalWriter::create(&segment).expect("a journal"), dir));
    }

    fn run(&mut self) -> u64 {
        self.runs += 1;
        let (writer, _) = self.open.as_mut().expect("reset comes before a run");
        for record in self.records.iter().cycle().take(RECORDS) {
            black_box(writer.append(black_box(record.as_record()))).expect("room");
        }
        RECORDS as u64
    }
}

struct HistogramRecord {
    recorder: LatencyRecorder,
    /// Held, because the recorder hands over to it.
    _collector: LatencyCollector,
}

/// Latencies from 100 ns to 1 ms, every power of two as often.
pub(super) fn histogram_record() -> Box<dyn Work> {
    let mut collector = LatencyCollector::new(Duration::from_secs(3_600), Nanos(0));
    Box::new(HistogramRecord { recorder: collector.recorder(), _collector: collector })
}

impl Work for HistogramRecord {
    fn run(&mut self) -> u64 {
        let mut sum = 0u64;
        for i in 0..RECORDS as u64 {
            let ns = (100 + i % 37) << (i % 13);
            self.recorder.record_ns(Stage::WireToAction, black_box(ns));
            sum = sum.wrapping_add(ns);
        }
        sum
    }
}
