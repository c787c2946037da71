//! What the journal and the rings cost, against floors measured in the same run, interleaved.
//!
//! Figures of a shared machine drift by half from minute to minute, so only the ratios count.
//!
//! ```
//! let figures = corelane_bench::journal::append_against_memcpy(&std::env::temp_dir(), 1 << 20,
//! 9_999, 1); assert!(figures.append_ns > 0.0 && figures.memcpy_ns > 0.0);
//! ```

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use corelane::journal::{self, JournalConfig, JournalWriter};
use corelane::ring;
use corelane_feeds::record::{Record, Stamp, View};
use corelane_feeds::streams::itch::AddOrder;
use corelane_feeds::units::{Price, Seq, Symbol};
use zerocopy::IntoBytes;

use crate::stat::{median, per_item};

/// Records that are written over and over: 64 KiB, as hot as what a decoder has just made.
const RECORDS: usize = 1_024;
/// Appends before a change of segment that count as "while it rolls".
const ROLL_WINDOW: usize = 500;

/// One-slot records, all different.
pub(crate) fn records() -> Vec<AddOrder> {
    let record = |i: usize| {
        let seq = Seq(i as u64);
        let mut add = AddOrder::new(Stamp { seq, instrument: 7, ..Stamp::default() }, b'B');
        add.order_ref = i as u64 * 3;
        add.price = Price(i as i64 * 10_000_000);
        add.symbol = Symbol::new("BENCH");
        add
    };
    (0..RECORDS).map(record).collect()
}

/// An append against a copy of the same bytes to memory that was touched before.
#[derive(Copy, Clone, Debug)]
pub struct AppendFigures {
    /// Nanoseconds per append of a one-slot record, median round.
    pub append_ns: f64,
    /// Nanoseconds per copy of its 64 bytes, median round.
    pub memcpy_ns: f64,
    /// Median over the rounds of the ratio of the two.
    pub ratio: f64,
    /// Changes of segment that were not ready in time.
    pub late: u64,
}

/// Appends `count` records per round to a journal below `dir`, and copies as many to memory of the
/// same size, in turns.
#[must_use]
pub fn append_against_memcpy(
    dir: &Path,
    segment_bytes: usize,
    count: usize,
    rounds: usize,
) -> AppendFigures {
    let records = records();
    let dir = dir.join(format!("corelane-bench-append-{}", std::process::id()));
    let config = JournalConfig { segment_bytes, ..JournalConfig::new(&dir) };
    let mut memory = vec![1u8; count * 72];
    let (mut appends, mut copies, mut late) = (Vec::new(), Vec::new(), 0);
    for _ in 0..rounds {
        copies.push(per_item(count, || copy_all(&records, &mut memory, count)));
        let mut writer = JournalWriter::create(&config).expect("a journal");
        appends.push(per_item(count, || append_all(&records, &mut writer, count)));
        let counters = writer.close().expect("a journal that closes");
        late += counters.rolls_inline + counters.rolls_waited;
        journal::remove(&dir).expect("a journal to remove");
    }
    let _ = std::fs::remove_dir(&dir);
    let ratios = appends.iter().zip(&copies).map(|(append, copy)| append / copy).collect();
    AppendFigures {
        append_ns: median(appends),
        memcpy_ns: median(copies),
        ratio: median(ratios),
        late,
    }
}

fn append_all(records: &[AddOrder], writer: &mut JournalWriter, count: usize) {
    for i in 0..count {
        let record: &Record = records[i % RECORDS].as_record();
        black_box(writer.append(black_box(record))).expect("room");
    }
}

fn copy_all(records: &[AddOrder], memory: &mut [u8], count: usize) {
    for (i, to) in memory.chunks_exact_mut(72).enumerate().take(count) {
        let from: &[u8; 64] = records[i % RECORDS].as_bytes().try_into().expect("one slot");
        to[8..].copy_from_slice(black_box(from));
    }
    black_box(memory);
}

/// Single appends, by a clock read around each.
#[derive(Copy, Clone, Debug)]
pub struct RollFigures {
    /// 99.9 % of the appends while the service thread slept took at most this.
    pub steady_ns_p999: u64,
    /// 99.9 % of the appends from shortly before a change of segment until the service thread had
    /// the one after it ready took at most this.
    pub rolling_ns_p999: u64,
    /// How many those were per change of segment.
    pub rolling_appends: usize,
    /// The appends that changed the segment: median.
    pub roll_ns_p50: u64,
    /// The longest of them.
    pub roll_ns_max: u64,
    /// How many there were.
    pub rolls: usize,
    /// How many were not ready in time.
    pub late: u64,
}

/// Appends one record every `pace_ns` through `rolls` segments of `segment_bytes`.
///
/// # Panics
/// If a segment is not much longer than the window around its end.
#[must_use]
pub fn append_while_rolling(
    dir: &Path,
    segment_bytes: usize,
    rolls: usize,
    pace_ns: u64,
) -> RollFigures {
    assert!(segment_bytes / 72 > ROLL_WINDOW * 4, "segments too short to tell");
    let records = records();
    let dir = dir.join(format!("corelane-bench-roll-{}", std::process::id()));
    let config = JournalConfig { segment_bytes, segments_ahead: 1, ..JournalConfig::new(&dir) };
    let clock = quanta::Clock::new();
    let mut writer = JournalWriter::create(&config).expect("a journal");
    let count = (rolls + 1) * (segment_bytes / 72);
    let mut times = vec![1u32; count];
    // From where to where the service thread was at work.
    let mut rolling: Vec<(usize, usize)> = Vec::with_capacity(rolls + 1);
    let (mut segments, mut is_rolling) = (1, false);
    let begin = clock.raw();
    for (i, time) in times.iter_mut().enumerate() {
        let due = i as u64 * pace_ns;
        while clock.delta_as_nanos(begin, clock.raw()) < due {}
        let from = clock.raw();
        let seq = writer.append(black_box(records[i % RECORDS].as_record()));
        let to = clock.raw();
        black_box(seq).expect("room");
        *time = u32::try_from(clock.delta_as_nanos(from, to)).unwrap_or(u32::MAX);
        if writer.counters().segments != segments {
            segments = writer.counters().segments;
            rolling.push((i, count));
            is_rolling = true;
        }
        if is_rolling && writer.next_is_ready() {
            is_rolling = false;
            rolling.last_mut().expect("it rolls").1 = i + 1;
        }
    }
    let counters = writer.close().expect("a journal that closes");
    journal::remove(&dir).expect("a journal to remove");
    let _ = std::fs::remove_dir(&dir);
    let late = counters.rolls_inline + counters.rolls_waited;
    roll_figures(&times, &rolling, late)
}

fn roll_figures(times: &[u32], rolling: &[(usize, usize)], late: u64) -> RollFigures {
    let mut is_near = vec![false; times.len()];
    for &(from, to) in rolling {
        is_near[from.saturating_sub(ROLL_WINDOW)..to].fill(true);
    }
    // What a cold start costs is neither.
    let begun = ROLL_WINDOW * 2;
    let (mut near, mut steady) = (Vec::new(), Vec::new());
    for (&time, &is_near) in times.iter().zip(&is_near).skip(begun) {
        if is_near { near.push(time) } else { steady.push(time) }
    }
    let rolls: Vec<u32> = rolling.iter().map(|&(at, _)| times[at]).collect();
    RollFigures {
        rolling_appends: near.len() / rolling.len().max(1),
        steady_ns_p999: quantile(steady, 0.999),
        rolling_ns_p999: quantile(near, 0.999),
        roll_ns_p50: quantile(rolls.clone(), 0.5),
        roll_ns_max: quantile(rolls, 1.0),
        rolls: rolling.len(),
        late,
    }
}

/// Millions of one-slot records per second through a ring of `slots` from one thread to another.
#[must_use]
pub fn ring_mrecords_per_s(slots: usize, batch: usize, count: usize) -> f64 {
    let (mut producer, mut consumer) = ring::new("bench_bench", slots);
    let records = records();
    let begin = Instant::now();
    let reader = std::thread::spawn(move || {
        let (mut taken, mut sum) = (0, 0u64);
        while taken < count {
            let drained = consumer.drain(batch, |record| sum = sum.wrapping_add(record.fields[0]));
            taken += drained;
            if drained == 0 {
                std::hint::spin_loop();
            }
        }
        sum
    });
    for i in 0..count {
        while producer.push(records[i % RECORDS].as_record()).is_err() {
            std::hint::spin_loop();
        }
    }
    black_box(reader.join().expect("the reader"));
    count as f64 / begin.elapsed().as_secs_f64() / 1e6
}

/// Nanoseconds per push and drain on one thread, in batches of `batch`.
#[must_use]
pub fn ring_ns_one_thread(batch: usize, count: usize) -> f64 {
    let (mut producer, mut consumer) = ring::new("bench_bench", 4_096);
    let records = records();
    per_item(count, || {
        let mut sum = 0u64;
        for i in 0..count {
            producer.push(records[i % RECORDS].as_record()).expect("room");
            if i % batch == batch - 1 {
                consumer.drain(batch, |record| sum = sum.wrapping_add(record.fields[0]));
            }
        }
        black_box(sum);
    })
}

fn quantile(mut values: Vec<u32>, q: f64) -> u64 {
    values.sort_unstable();
    let place = (q * values.len() as f64).ceil() as usize;
    values.get(place.saturating_sub(1)).copied().unwrap_or(0).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small version, so that the benchmark never rots.
    #[test]
    fn figures_come_out() {
        let dir = tempfile::tempdir().unwrap();
        assert!(append_against_memcpy(dir.path(), 1 << 20, 20_000, 1).ratio > 0.0);
        let figures = append_while_rolling(dir.path(), 1 << 18, 3, 0);
        assert!(figures.rolls >= 3 && figures.steady_ns_p999 > 0);
        assert!(ring_mrecords_per_s(1_024, 64, 50_000) > 0.0);
        assert!(ring_ns_one_thread(64, 10_000) > 0.0);
    }
}
