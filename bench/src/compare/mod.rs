//! Two runs of the same benchmark: what got better, what got worse, and what is noise.
//!
//! A figure is compared by the best evidence that both runs have:
//!
//! ```text
//! ratio      its ratio over a floor or another measurement, pair by pair within each run
//! rounds     its value in every round
//! intervals  percentiles of histograms, whole rounds (or blocks of intervals) drawn anew
//! ```
//!
//! The first cancels out what the machine did differently between the runs, the others do not. The
//! change is the other run's over the first's, with a bootstrap confidence interval; it counts only
//! if the whole interval lies beyond the margin.
//!
//! Invariant: the same two files give the same verdicts: the bootstrap's draws are seeded.
//!
//! ```
//! use corelane_bench::compare::{Options, Verdict, compare};
//! use corelane_bench::results::{Figure, Measurement, Results};
//! let run = |scale: f64| {
//!     let mut results = Results::new("throughput");
//!     let mut measurement = Measurement::new("replay");
//!     let rounds = vec![10.0 * scale, 10.2 * scale, 9.9 * scale, 10.1 * scale, 10.0 * scale];
//!     measurement.figures.push(Figure::lower("cpu", 10.0 * scale, "ns").with_rounds(rounds));
//!     results.measurements.push(measurement);
//!     results
//! };
//! let verdict = |a, b| compare(&run(a), &run(b), &Options::default()).changes[0].verdict;
//! assert_eq!(verdict(1.0, 1.2), Verdict::Worse);
//! assert_eq!(verdict(1.0, 1.0), Verdict::Noise);
//! ```

mod bootstrap;

use crate::results::{Figure, Measurement, Results};

/// Rounds or pairs that both runs must have.
const ROUNDS_MIN: usize = 5;
/// Percentiles of histograms that are compared.
const QUANTILES: [(&str, f64); 2] = [("p50", 0.5), ("p99", 0.99)];

/// How sure a verdict has to be.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Options {
    /// Confidence of the interval, two-sided. High, because many figures are looked at.
    pub confidence: f64,
    /// A change within this share of 1 is no change, however sure it is.
    pub margin: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { confidence: 0.99, margin: 0.03 }
    }
}

/// What is said of a change.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The other run is better.
    Better,
    /// It is worse.
    Worse,
    /// It cannot be told, or is within the margin.
    Noise,
}

impl Verdict {
    /// The word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Noise => "noise",
        }
    }
}

/// By what a change was judged.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Basis {
    /// Ratios over the same floor within each run.
    Ratio,
    /// Values of rounds.
    Rounds,
    /// Histograms of intervals.
    Intervals,
}

impl Basis {
    /// As tables say it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ratio => "ratio within each run",
            Self::Rounds => "rounds (times of two runs)",
            Self::Intervals => "intervals (times of two runs)",
        }
    }
}

/// One figure of one measurement, the other run's over the first's.
#[derive(Clone, PartialEq, Debug)]
pub struct Change {
    /// The measurement.
    pub measurement: String,
    /// The figure.
    pub figure: String,
    /// The other over the first.
    pub ratio: f64,
    /// Lower end of its confidence interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// What that says.
    pub verdict: Verdict,
    /// By what.
    pub basis: Basis,
}

/// What came of a comparison.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Comparison {
    /// Every figure that could be compared, in the order of the first run.
    pub changes: Vec<Change>,
    /// Measurements that could not, and why.
    pub left_out: Vec<(String, &'static str)>,
}

impl Comparison {
    /// Whether anything got worse.
    #[must_use]
    pub fn is_worse(&self) -> bool {
        self.changes.iter().any(|change| change.verdict == Verdict::Worse)
    }
}

/// Compares a run with an earlier one, measurement by measurement.
#[must_use]
pub fn compare(first: &Results, other: &Results, options: &Options) -> Comparison {
    let mut comparison = Comparison::default();
    for before in &first.measurements {
        let mut leave_out = |why| comparison.left_out.push((before.name.clone(), why));
        let Some(after) = other.measurement(&before.name) else {
            leave_out("only in the first run");
            continue;
        };
        if before.unavailable.is_some() || after.unavailable.is_some() {
            leave_out("could not be measured");
            continue;
        }
        let mut found = figures(first, before, other, after, options);
        found.extend(percentiles(before, after, &found, options));
        if found.is_empty() {
            leave_out("too few rounds or intervals to tell");
        }
        comparison.changes.append(&mut found);
    }
    for after in &other.measurements {
        if first.measurement(&after.name).is_none() {
            comparison.left_out.push((after.name.clone(), "only in the second run"));
        }
    }
    comparison
}

fn figures(
    first: &Results,
    before: &Measurement,
    other: &Results,
    after: &Measurement,
    options: &Options,
) -> Vec<Change> {
    let mut changes = Vec::new();
    for figure in &before.figures {
        let Some(higher_is_better) = figure.higher_is_better else { continue };
        let Some(again) = after.figure(&figure.name) else { continue };
        let pairs = (pairs(first, before, figure), pairs(other, after, again));
        let (basis, old, new) = match pairs {
            (Some(old), Some(new)) => (Basis::Ratio, old, new),
            _ => (Basis::Rounds, figure.rounds.clone(), again.rounds.clone()),
        };
        if old.len() < ROUNDS_MIN || new.len() < ROUNDS_MIN {
            continue;
        }
        let (ratio, low, high) = bootstrap::medians(&old, &new, options.confidence);
        changes.push(Change {
            measurement: before.name.clone(),
            figure: figure.name.clone(),
            ratio,
            low,
            high,
            verdict: judge(low, high, higher_is_better, options.margin),
            basis,
        });
    }
    changes
}

/// A figure over that of the measurement it was taken in turns with, pair by pair.
fn pairs(results: &Results, measurement: &Measurement, figure: &Figure) -> Option<Vec<f64>> {
    let ratio = measurement.ratio(&figure.name)?;
    let over = results.measurement(&ratio.over)?.figure(&figure.name)?;
    let same = over.rounds.len() == figure.rounds.len() && figure.rounds.len() >= ROUNDS_MIN;
    let pairs = figure.rounds.iter().zip(&over.rounds);
    same.then(|| pairs.map(|(value, over)| value / over).collect())
}

/// Percentiles that no figure has told of.
fn percentiles(
    before: &Measurement,
    after: &Measurement,
    told: &[Change],
    options: &Options,
) -> Vec<Change> {
    let wanted: Vec<(&str, f64)> = QUANTILES
        .into_iter()
        .filter(|(name, _)| !told.iter().any(|change| change.figure == *name))
        .collect();
    let quantiles: Vec<f64> = wanted.iter().map(|(_, quantile)| *quantile).collect();
    let found =
        bootstrap::quantiles(&before.intervals, &after.intervals, &quantiles, options.confidence);
    let named = wanted.iter().zip(found.unwrap_or_default());
    named
        .map(|((name, _), (ratio, low, high))| Change {
            measurement: before.name.clone(),
            figure: (*name).to_owned(),
            ratio,
            low,
            high,
            verdict: judge(low, high, false, options.margin),
            basis: Basis::Intervals,
        })
        .collect()
}

fn judge(low: f64, high: f64, higher_is_better: bool, margin: f64) -> Verdict {
    let is_more = low > 1.0 + margin;
    let is_less = high < 1.0 / (1.0 + margin);
    match (is_more, is_less) {
        (true, _) if higher_is_better => Verdict::Better,
        (_, true) if higher_is_better => Verdict::Worse,
        (true, _) => Verdict::Worse,
        (_, true) => Verdict::Better,
        _ => Verdict::Noise,
    }
}

#[cfg(test)]
mod tests;
