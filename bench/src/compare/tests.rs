//! Runs that differ in known ways, and what is said of them.

use hdrhistogram::Histogram;

use super::*;
use crate::cep::events::Random;
use crate::results::{Encoded, Interval, Ratio};

/// A run whose latency is `scale` times 10 us, give or take a tenth, with a slower tail.
fn run(seed: u64, scale: f64, intervals: u32, per_round: u32) -> Results {
    let mut random = Random(seed);
    let mut measurement = Measurement::new("latency");
    for i in 0..intervals {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        for _ in 0..300 {
            let ns = 9_000 + random.below(2_000) + 40_000 * u64::from(random.below(50) == 0);
            histogram.record((ns as f64 * scale) as u64).unwrap();
        }
        let (round, histogram) = (i / per_round, Encoded::of(&histogram));
        measurement.intervals.push(Interval { round, histogram, ..Interval::default() });
    }
    let mut results = Results::new("latency");
    results.measurements.push(measurement);
    results
}

fn verdicts(a: &Results, b: &Results) -> Vec<(String, Verdict)> {
    let comparison = compare(a, b, &Options::default());
    comparison.changes.into_iter().map(|change| (change.figure, change.verdict)).collect()
}

#[test]
fn percentiles_of_intervals_are_told_apart() {
    // By rounds, and by blocks of intervals of one round.
    for per_round in [3, 100] {
        let base = run(1, 1.0, 30, per_round);
        let same = verdicts(&base, &run(2, 1.0, 30, per_round));
        assert_eq!(same, [("p50".into(), Verdict::Noise), ("p99".into(), Verdict::Noise)]);
        let slower = verdicts(&base, &run(3, 1.2, 30, per_round));
        assert!(slower.iter().all(|(_, verdict)| *verdict == Verdict::Worse), "{slower:?}");
        let faster = verdicts(&base, &run(4, 0.8, 30, per_round));
        assert!(faster.iter().all(|(_, verdict)| *verdict == Verdict::Better), "{faster:?}");
    }
}

/// Two runs of the same thing must hardly ever differ: that is what the confidence promises.
#[test]
fn noise_is_called_noise() {
    let mut random = Random(7);
    let mut rounds = || (0..9).map(|_| 100.0 + random.below(10_000) as f64 / 500.0).collect();
    let mut wrong = 0;
    for _ in 0..100 {
        let results = [(); 2].map(|()| {
            let mut measurement = Measurement::new("rate");
            measurement.figures.push(Figure::higher("rate", 0.0, "/s").with_rounds(rounds()));
            let mut results = Results::new("throughput");
            results.measurements.push(measurement);
            results
        });
        let verdict = compare(&results[0], &results[1], &Options::default()).changes[0].verdict;
        wrong += usize::from(verdict != Verdict::Noise);
    }
    assert!(wrong <= 3, "{wrong} of 100");
}

/// The machine was half as fast the second time, floor and engine alike.
#[test]
fn a_ratio_within_each_run_outweighs_times_of_two_runs() {
    let results = |scale: f64| {
        let rounds = |ns: f64| (0..7).map(|i| (ns + f64::from(i)) * scale).collect();
        let mut floor = Measurement::new("floor");
        floor.figures.push(Figure::lower("p50", 0.0, "ns").with_rounds(rounds(7_000.0)));
        let mut engine = Measurement::new("engine");
        engine.figures.push(Figure::lower("p50", 0.0, "ns").with_rounds(rounds(8_000.0)));
        let (figure, over) = ("p50".to_owned(), "floor".to_owned());
        engine.ratios.push(Ratio { figure, over, ..Ratio::default() });
        let mut results = Results::new("latency");
        results.measurements.extend([engine, floor]);
        results
    };
    let comparison = compare(&results(1.0), &results(2.0), &Options::default());
    let of = |name: &str| comparison.changes.iter().find(|c| c.measurement == name).unwrap();
    assert_eq!((of("engine").basis, of("engine").verdict), (Basis::Ratio, Verdict::Noise));
    assert_eq!((of("floor").basis, of("floor").verdict), (Basis::Rounds, Verdict::Worse));
}

#[test]
fn what_cannot_be_compared_is_said() {
    let mut first = run(1, 1.0, 3, 1);
    first.measurements.push(Measurement::new("gone"));
    let mut refused = Measurement::new("refused");
    refused.unavailable = Some("no io_uring here".into());
    first.measurements.push(refused.clone());
    let mut other = run(1, 1.0, 3, 1);
    other.measurements.extend([refused, Measurement::new("new")]);
    let comparison = compare(&first, &other, &Options::default());
    assert!(comparison.changes.is_empty() && !comparison.is_worse());
    let names: Vec<&str> = comparison.left_out.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["latency", "gone", "refused", "new"]);
}

#[test]
fn more_of_what_should_be_much_is_better() {
    assert_eq!(judge(1.05, 1.2, true, 0.03), Verdict::Better);
    assert_eq!(judge(0.8, 0.9, true, 0.03), Verdict::Worse);
    assert_eq!(judge(1.05, 1.2, false, 0.03), Verdict::Worse);
    assert_eq!(judge(1.01, 1.2, false, 0.03), Verdict::Noise);
}
