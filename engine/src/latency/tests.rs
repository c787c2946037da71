//! Recording, merging, and files that HdrHistogram's own tools can read.

use std::fs;
use std::thread;
use std::time::Duration;

use corelane_feeds::units::Nanos;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

use super::*;

const SECOND: u64 = 1_000_000_000;

fn collector() -> LatencyCollector {
    LatencyCollector::new(Duration::from_secs(1), Nanos(0))
}

fn hgrm(values: impl IntoIterator<Item = (u64, u64)>) -> String {
    let mut histogram = Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS).unwrap();
    for (value, count) in values {
        histogram.record_n(value, count).unwrap();
    }
    let mut text = Vec::new();
    write_hgrm(&histogram, 1_000.0, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// The golden files are what HdrHistogram 2.2 (Java) prints for the same values.
#[test]
fn hgrm_is_what_the_java_library_prints() {
    let steps = (1..=10_000).map(|i| (i * 1_000, 1)).chain([(5_000_000_000, 1)]);
    assert_eq!(hgrm(steps), include_str!("golden/steps.hgrm"));
    let ramp = (1..=100).map(|i| (i * 1_000, 101 - i));
    assert_eq!(hgrm(ramp), include_str!("golden/ramp.hgrm"));
}

#[test]
fn hgrm_ends_with_one_line_at_the_whole() {
    let one = hgrm([(1_500, 1)]);
    let lines: Vec<&str> = one.lines().collect();
    assert_eq!(lines[2], "       1.500 0.000000000000          1           1.00");
    assert_eq!(lines[3], "       1.500 1.000000000000          1");
    assert!(lines[4].starts_with("#[Mean"));
    let none = hgrm([]);
    assert_eq!(none.lines().filter(|line| line.contains("1.0000")).count(), 0);
}

#[test]
fn threads_merge_without_losing_a_value() {
    const VALUES: u64 = 200_000;
    let mut collector = collector();
    let threads: Vec<_> = (0..2)
        .map(|n| {
            let mut recorder = collector.recorder();
            thread::spawn(move || {
                for i in 0..VALUES {
                    recorder.record_ns(Stage::Decide, i % 1_000 + n * 1_000);
                    // A "clock" that makes both publish far more often than they are collected.
                    recorder.publish_if_due(Nanos(i * SECOND / 100));
                }
            })
        })
        .collect();
    let mut now = 0;
    while threads.iter().any(|thread| !thread.is_finished()) {
        now += SECOND / 3;
        collector.collect(Nanos(now)).unwrap();
        thread::yield_now();
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let table = collector.finish(Nanos(now)).unwrap();
    let row = table.row(Stage::Decide).unwrap();
    assert_eq!((row.count, row.p50_ns, row.max_ns), (2 * VALUES, 999, 1_999));
    assert_eq!(table.rows.len(), 1);
}

#[test]
fn stamps_give_every_stage_that_was_stamped() {
    let mut collector = collector();
    let mut recorder = collector.recorder();
    let at = |ns: u64| Nanos(1_000_000 + ns);
    let all = Stamps {
        kernel: at(0),
        user: at(10),
        decoded: at(30),
        decided: at(60),
        journalled: at(100),
        sent: at(150),
    };
    recorder.record_stamps(&all);
    recorder.record_stamps(&Stamps { kernel: Nanos(0), journalled: Nanos(0), ..all });
    drop(recorder);
    let table = collector.finish(Nanos(1)).unwrap();
    let figures = |stage| table.row(stage).map(|row| (row.count, row.min_ns, row.max_ns));
    assert_eq!(figures(Stage::KernelToUser), Some((1, 10, 10)));
    assert_eq!(figures(Stage::Decode), Some((2, 20, 20)));
    assert_eq!(figures(Stage::Decide), Some((2, 30, 30)));
    assert_eq!(figures(Stage::Journal), Some((1, 40, 40)));
    assert_eq!(figures(Stage::Send), Some((1, 50, 50)));
    assert_eq!(figures(Stage::WireToDecided), Some((2, 50, 60)));
    assert_eq!(figures(Stage::WireToAction), Some((2, 140, 150)));
    assert_eq!(figures(Stage::Packet), None);
}

#[test]
fn odd_values_are_kept_and_counted() {
    let mut collector = collector();
    let mut recorder = collector.recorder();
    recorder.record(Stage::Send, Nanos(500), Nanos(400));
    recorder.record_ns(Stage::Send, u64::MAX);
    drop(recorder);
    let table = collector.finish(Nanos(1)).unwrap();
    let row = table.row(Stage::Send).unwrap();
    assert_eq!((row.count, row.min_ns, table.backwards, table.clipped), (2, 0, 1, 1));
    assert!(row.max_ns >= LATENCY_NS_MAX && row.max_ns < LATENCY_NS_MAX + LATENCY_NS_MAX / 500);
    let text = table.to_string();
    assert!(text.contains("ran backwards") && text.contains("60.0 s"), "{text}");
}

#[test]
fn the_table_fits_a_terminal() {
    let mut collector = collector();
    let mut recorder = collector.recorder();
    for i in 1..=10_000u64 {
        recorder.record_ns(Stage::WireToAction, i * 1_000);
    }
    drop(recorder);
    let text = collector.finish(Nanos(1)).unwrap().to_string();
    let expected = "\
stage                   count        p50        p90        p99      p99.9     p99.99        max
wire_to_action          10000    5.00 ms    9.00 ms    9.90 ms    9.99 ms    10.0 ms    10.0 ms
";
    assert_eq!(text, expected);
}

#[test]
fn human_times_have_a_unit() {
    let texts = [0, 999, 1_000, 12_340, 123_400, 5_000_000, 61 * SECOND].map(human_ns);
    assert_eq!(texts, ["0 ns", "999 ns", "1.00 us", "12.3 us", "123 us", "5.00 ms", "61.0 s"]);
}

#[test]
fn a_sampler_picks_one_in_n_and_none_of_zero() {
    let picks = |every| {
        let mut sampler = Sampler::new(every);
        (0..9).map(|_| u8::from(sampler.pick())).collect::<Vec<_>>()
    };
    assert_eq!(picks(4), [1, 0, 0, 0, 1, 0, 0, 0, 1]);
    assert_eq!(picks(1), [1; 9]);
    assert_eq!(picks(0), [0; 9]);
}

#[test]
fn the_interval_log_reads_back_and_adds_up_to_the_totals() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latency.hlog");
    let start = 1_700_000_000 * SECOND;
    let mut collector = LatencyCollector::new(Duration::from_secs(1), Nanos(start));
    collector.log_to(&path).unwrap();
    let mut recorder = collector.recorder();
    for second in 0..5u64 {
        for i in 0..=second * 10 {
            recorder.record_ns(Stage::WireToAction, 1_000 * (i + 1));
            recorder.record_ns(Stage::Decide, i + 1);
        }
        let now = Nanos(start + (second + 1) * SECOND);
        recorder.publish_if_due(now);
        collector.collect(now).unwrap();
    }
    drop(recorder);
    collector.finish(Nanos(start + 5 * SECOND + SECOND / 2)).unwrap();

    let log = fs::read(&path).unwrap();
    let mut merged = Histogram::<u64>::new_with_bounds(1, LATENCY_NS_MAX, DIGITS).unwrap();
    let mut starts = Vec::new();
    for entry in IntervalLogIterator::new(&log) {
        match entry.unwrap() {
            LogEntry::StartTime(at) => assert_eq!(at.as_secs(), 1_700_000_000),
            LogEntry::BaseTime(_) => panic!("times are absolute"),
            LogEntry::Interval(interval) => {
                if interval.tag().unwrap().as_str() != Stage::WireToAction.name() {
                    continue;
                }
                starts.push(interval.start_timestamp().as_secs() - 1_700_000_000);
                let bytes = decode64(interval.encoded_histogram());
                merged.add(Deserializer::new().deserialize(&mut &bytes[..]).unwrap()).unwrap();
            }
        }
    }
    assert_eq!(starts, [0, 1, 2, 3, 4]);
    assert_eq!(merged, *collector.histogram(Stage::WireToAction));
    assert_eq!(merged.len(), 1 + 11 + 21 + 31 + 41);
}

/// Base64 of RFC 4648, for reading back what the log holds.
fn decode64(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::new();
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = four.iter().fold(0u32, |bits, &c| bits << 6 | u32::from(digit(c)));
        let bits = bits << (6 * (4 - four.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    bytes
}

#[test]
fn hgrm_files_are_written_for_stages_with_values() {
    let folder = tempfile::tempdir().unwrap();
    let mut collector = collector();
    let mut recorder = collector.recorder();
    recorder.record_ns(Stage::Decide, 250);
    drop(recorder);
    collector.finish(Nanos(1)).unwrap();
    let paths = collector.write_hgrm(&folder.path().join("new")).unwrap();
    assert_eq!(paths.len(), 1);
    assert!(paths[0].ends_with("decide.hgrm"));
    assert!(fs::read_to_string(&paths[0]).unwrap().contains("0.250 1.000000000000          1"));
}
