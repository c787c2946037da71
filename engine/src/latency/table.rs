//! Latency figures as a report shows them.
//!
//! Invariant: a stage without values has no row; figures are nanoseconds and upper bounds of the
//! histogram's 3-digit buckets, as HdrHistogram gives them.

use std::fmt;

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

use super::Stage;

impl Serialize for Stage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The figures of one stage, in nanoseconds.
#[derive(Copy, Clone, PartialEq, Debug, Serialize)]
pub struct StageRow {
    /// Which stage.
    pub stage: Stage,
    /// How many values.
    pub count: u64,
    /// The smallest.
    pub min_ns: u64,
    /// The mean.
    pub mean_ns: f64,
    /// 50 % are at most this.
    pub p50_ns: u64,
    /// 90 % are at most this.
    pub p90_ns: u64,
    /// 99 % are at most this.
    pub p99_ns: u64,
    /// 99.9 % are at most this.
    pub p999_ns: u64,
    /// 99.99 % are at most this.
    pub p9999_ns: u64,
    /// The largest.
    pub max_ns: u64,
}

impl StageRow {
    /// The figures of a histogram; `None` if it is empty.
    #[must_use]
    pub fn of(stage: Stage, histogram: &Histogram<u64>) -> Option<Self> {
        if histogram.is_empty() {
            return None;
        }
        let at = |quantile| histogram.value_at_quantile(quantile);
        Some(Self {
            stage,
            count: histogram.len(),
            min_ns: histogram.min(),
            mean_ns: histogram.mean(),
            p50_ns: at(0.5),
            p90_ns: at(0.9),
            p99_ns: at(0.99),
            p999_ns: at(0.999),
            p9999_ns: at(0.9999),
            max_ns: histogram.max(),
        })
    }
}

/// The figures of every stage that has values.
#[derive(Clone, Default, PartialEq, Debug, Serialize)]
pub struct LatencyTable {
    /// One row per stage, in the order of [`Stage::ALL`].
    pub rows: Vec<StageRow>,
    /// Values whose end lay before their start, counted as 0: two clocks disagreed.
    pub backwards: u64,
    /// Values beyond [`LATENCY_NS_MAX`](super::LATENCY_NS_MAX), counted as that.
    pub clipped: u64,
}

impl LatencyTable {
    /// The row of a stage, if it has values.
    #[must_use]
    pub fn row(&self, stage: Stage) -> Option<&StageRow> {
        self.rows.iter().find(|row| row.stage == stage)
    }
}

/// The table as a terminal shows it, 100 columns wide at most.
impl fmt::Display for LatencyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return writeln!(f, "no latency was measured");
        }
        let columns = ["p50", "p90", "p99", "p99.9", "p99.99", "max"];
        write!(f, "{:<16} {:>12}", "stage", "count")?;
        columns.iter().try_for_each(|column| write!(f, " {column:>10}"))?;
        writeln!(f)?;
        for row in &self.rows {
            write!(f, "{:<16} {:>12}", row.stage.name(), row.count)?;
            let figures =
                [row.p50_ns, row.p90_ns, row.p99_ns, row.p999_ns, row.p9999_ns, row.max_ns];
            figures.iter().try_for_each(|&ns| write!(f, " {:>10}", human_ns(ns)))?;
            writeln!(f)?;
        }
        if self.backwards > 0 {
            writeln!(f, "{} values ran backwards (clocks disagreed): as 0 ns", self.backwards)?;
        }
        if self.clipped > 0 {
            writeln!(f, "{} values were longer than a minute: as 60 s", self.clipped)?;
        }
        Ok(())
    }
}

/// A time with three or four significant digits and its unit.
#[must_use]
pub fn human_ns(ns: u64) -> String {
    let (unit, name) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (1e3, "us"),
        1_000_000..1_000_000_000 => (1e6, "ms"),
        _ => (1e9, "s"),
    };
    let value = ns as f64 / unit;
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.decimals$} {name}")
}
