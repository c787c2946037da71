//! Journal and ring by the size of a record.

use std::hint::black_box;

use corelane::journal::{self, JournalConfig, JournalWriter};
use corelane::ring;
use corelane_feeds::record::{Header, Record, Stamp, StreamId};
use corelane_feeds::units::Seq;
use zerocopy::IntoBytes;

use super::{Extent, points};
use crate::results::Measurement;
use crate::stat::{Variant, per_item};

/// Bytes of a record, from the smallest to the largest.
const SIZES: [u64; 5] = [32, 64, 128, 192, 256];
/// Different records of a size, gone through over and over: they stay in cache.
const RECORDS: usize = 256;
/// Records pushed into the ring before they are taken.
const BATCH: usize = 64;
/// A stream that nobody looks at.
const STREAM: StreamId = StreamId(0x0101);
/// Bytes of an entry before its record.
const ENTRY_BYTES: u64 = 8;

/// Records of a size, behind one another in aligned words.
struct Records {
    words: Vec<u64>,
    size: usize,
}

impl Records {
    fn new(size: u64) -> Self {
        let size = size as usize;
        let mut words = Vec::with_capacity(RECORDS * size / 8);
        for number in 0..RECORDS as u64 {
            let stamp = Stamp { seq: Seq(number), ..Stamp::default() };
            let header = Header::new(STREAM, size, 0, stamp);
            let (head, _) = header.as_bytes().as_chunks::<8>();
            words.extend(head.iter().map(|word| u64::from_ne_bytes(*word)));
            let fields = (size - header.as_bytes().len()) / 8;
            words.extend((0..fields as u64).map(|field| number * 31 + field));
        }
        Self { words, size }
    }

    fn record(&self, number: usize) -> &Record {
        let words = self.size / 8;
        let from = number % RECORDS * words;
        Record::from_bytes(self.words[from..from + words].as_bytes()).expect("a whole record")
    }
}

pub(super) fn measure(extent: &Extent<'_>) -> anyhow::Result<Vec<Measurement>> {
    let xs = extent.points(&SIZES);
    let count = extent.messages as usize;
    let half = Extent { budget: extent.budget / 2, ..extent.clone() };
    let journal = |&size: &u64| {
        let records = Records::new(size);
        Variant::new("journal", move || append(&records, count, extent))
    };
    let rounds = half.rounds(xs.iter().map(journal).collect())?;
    let figure = ("cpu", "ns/record");
    let mut measurements = points("record-sizes-journal", "record_bytes", &xs, figure, &rounds);
    let hop = |&size: &u64| {
        let records = Records::new(size);
        Variant::new("ring", move || Ok(through_a_ring(&records, count)))
    };
    let rounds = half.rounds(xs.iter().map(hop).collect())?;
    measurements.extend(points("record-sizes-ring", "record_bytes", &xs, figure, &rounds));
    Ok(measurements)
}

fn append(records: &Records, count: usize, extent: &Extent<'_>) -> anyhow::Result<f64> {
    let dir = tempfile::tempdir_in(extent.dir)?;
    let dir = dir.path().join("journal");
    // All in one segment: what a change of segments costs is measured elsewhere.
    let bytes = (records.size as u64 + ENTRY_BYTES) * count as u64 + (1 << 20);
    let segment_bytes = bytes.next_multiple_of(1 << 20) as usize;
    let config = JournalConfig { segment_bytes, ..JournalConfig::new(&dir) };
    let mut writer = JournalWriter::create(&config)?;
    let mut refused = 0usize;
    let ns = per_item(count, || {
        for number in 0..count {
            refused += usize::from(writer.append(black_box(records.record(number))).is_err());
        }
    });
    writer.close()?;
    journal::remove(&dir)?;
    anyhow::ensure!(refused == 0, "{refused} records were not journalled");
    Ok(ns)
}

fn through_a_ring(records: &Records, count: usize) -> f64 {
    let (mut producer, mut consumer) = ring::new("bench_bench", 4_096);
    let mut sum = 0u64;
    let ns = per_item(count, || {
        for number in 0..count {
            producer.push(records.record(number)).expect("room");
            if number % BATCH == BATCH - 1 {
                consumer.drain(BATCH, |record| sum = sum.wrapping_add(record.header.seq.0));
            }
        }
    });
    black_box(sum);
    ns
}
