//! A made-up run in every form that it can be shown in.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

use super::*;
use crate::results::{
    CpuState, Encoded, Figure, Interval, MachineState, Point, Rate, Ratio, SpinGaps, Stage,
    ThreadUse,
};

fn histogram(base: u64, count: u64, stall: u64) -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap();
    (0..count).for_each(|i| histogram.record(base + i * 31 % 1_500).unwrap());
    if stall > 0 {
        histogram.record(stall).unwrap();
    }
    histogram
}

fn measurement(side: &str, base: u64) -> Measurement {
    let mut measurement = Measurement::new(format!("{side}/multicast/loopback"));
    measurement.set("side", side);
    measurement.set("transport", "multicast");
    let mut whole = histogram(base, 0, 0);
    for i in 0..40 {
        let stall = if i == 17 { 100_000_000 } else { 0 };
        let part = histogram(base, 100, stall);
        whole.add(&part).unwrap();
        let disturbed =
            if stall > 0 { vec!["<stalled> for 100 ms".to_owned()] } else { Vec::new() };
        measurement.intervals.push(Interval {
            round: i / 10,
            start_ns: u64::from(i) * 100_000_000,
            span_ns: 100_000_000,
            sent: 100,
            histogram: Encoded::of(&part),
            disturbed,
        });
    }
    measurement.rate = Some(Rate { wanted: 1_000.0, achieved: 1_000.0 });
    measurement.histogram = Some(Encoded::of(&whole));
    measurement.stages.push(Stage { name: "decode".into(), histogram: Encoded::of(&whole) });
    let rounds = (0..6).map(|i| (base + i) as f64).collect();
    measurement.figures.push(Figure::lower("p50", base as f64, "ns").with_rounds(rounds));
    measurement
}

fn run(name: &str, base: u64) -> Run {
    let mut results = Results::new("latency");
    let mut engine = measurement("engine", base);
    engine.ratios.push(Ratio {
        figure: "p50".into(),
        over: "floor/multicast/loopback".into(),
        value: 1.12,
        low: 1.08,
        high: 1.17,
        confidence: 0.95,
        pairs: 6,
    });
    engine.threads.push(ThreadUse { name: "reactor-0".into(), wall_ns: 1, ..ThreadUse::default() });
    engine.notes.push("perf events are not to be had here".into());
    engine.counters.insert("kernel.drops".into(), 0.0);
    let mut refused = Measurement::new("engine/uring");
    refused.unavailable = Some("io_uring is not allowed <here>".into());
    let mut point = Measurement::new("groups/4");
    point.point = Some(Point { curve: "socket".into(), axis: "groups".into(), x: 4.0 });
    point.figures.push(Figure::lower("p50", 9_000.0, "ns"));
    results.measurements.extend([engine, measurement("floor", base * 9 / 10), refused, point]);
    let spin = Some(SpinGaps { wall_ns: 1_000_000, lost_ns: 20_000, gaps: 3, max_ns: 9_000 });
    let cpu = CpuState { steal_ns: 50, spin, ..CpuState::default() };
    let state = MachineState {
        when: "during".into(),
        span_ns: 1_000,
        cpus: vec![cpu],
        ..Default::default()
    };
    results.states.push(state);
    Run { name: name.to_owned(), results }
}

#[test]
fn a_page_shows_everything_and_needs_nothing() {
    let page = page(&[run("main", 8_000), run("chan<ge", 9_500)]);
    let sections = [
        "Ratios",
        "Latency",
        "Scaling",
        "Over time",
        "Stages and threads",
        "Figures",
        "Not measured",
        "Machine",
        "chan&lt;ge over main",
    ];
    for section in sections {
        assert!(page.contains(&format!("<h2>{section}</h2>")), "{section}");
    }
    for text in ["io_uring is not allowed &lt;here&gt;", "&lt;stalled&gt;", "reactor-0", "1.080 to"]
    {
        assert!(page.contains(text), "{text}");
    }
    for outside in ["http:", "https:", "src=", "@import", "url(", "NaN", "inf", "chan<ge"] {
        let body = page.split("</style>").nth(1).unwrap().split("<script>").next().unwrap();
        assert!(!body.contains(outside), "{outside}");
    }
    assert_eq!(page.matches("<section").count(), page.matches("</section>").count());
    assert_eq!(page.matches("<table").count(), page.matches("</table>").count());
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    // Engine and floor of two runs on one chart; the second run's lines are broken.
    assert_eq!(page.matches("data-points=").count(), 4);
    assert_eq!(page.matches("class=\"curve floor run1\" data-curve").count(), 1);
}

#[test]
fn an_empty_run_is_a_page_too() {
    let empty = Run { name: "empty".into(), results: Results::new("latency") };
    assert!(text::table(&empty).contains("empty: latency"));
    let page = page(&[empty]);
    assert!(page.ends_with("</html>\n") && !page.contains("<h2>Latency</h2>"));
}

#[test]
fn a_terminal_sees_latencies_ratios_and_reasons() {
    let table = text::table(&run("main", 8_000));
    for text in ["p99.99", "1 of 40", "1.080 to 1.170", "not measured: io_uring", "100 ms"] {
        assert!(table.contains(text), "{text} in {table}");
    }
}

#[test]
fn files_hold_every_value() {
    let (dir, run) = (tempfile::tempdir().unwrap(), run("main", 8_000));
    let plots = export::hgrm(&run, dir.path()).unwrap();
    assert_eq!(plots.len(), 2);
    assert_eq!(plots[0].file_name().unwrap(), "main-engine-multicast-loopback.hgrm");
    let text = std::fs::read_to_string(&plots[0]).unwrap();
    assert!(text.contains("Total count    =         4001]"), "{text}");
    let logs = export::hlog(&run, dir.path()).unwrap();
    let log = std::fs::read(&logs[0]).unwrap();
    let (mut values, mut disturbed) = (0, 0);
    for entry in IntervalLogIterator::new(&log) {
        let LogEntry::Interval(interval) = entry.unwrap() else { continue };
        let encoded = Encoded(interval.encoded_histogram().to_owned());
        values += encoded.decode().unwrap().len();
        disturbed += u32::from(interval.tag().unwrap().as_str() == export::DISTURBED);
    }
    assert_eq!((values, disturbed), (4_001, 1));
}

#[test]
fn runs_of_one_label_are_called_by_their_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(format!("{name}.json"));
    for (name, label) in [("latency", "abc"), ("bursts", "abc"), ("other", "def"), ("bare", "")] {
        let results = Results { label: label.into(), ..Results::new("latency") };
        results.write(&path(name)).unwrap();
    }
    let runs = Run::read_all(&["latency", "bursts", "other", "bare"].map(path)).unwrap();
    let names: Vec<_> = runs.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["latency", "bursts", "def", "bare"]);
    assert!(Run::read_all(&[path("none")]).is_err());
}
