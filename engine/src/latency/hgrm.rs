//! `.hgrm` files: a percentile distribution as the HdrHistogram plotter and `hdr-plot` read it,
//! line for line what `outputPercentileDistribution` of the Java library prints.
//!
//! Invariant: percentiles rise from line to line, the last line, and no other, is 1.0, and it has
//! no fourth column. (The library's own quantile iterator ends differently, so it is not used.)

use std::io::{self, Write};

use hdrhistogram::Histogram;

/// Lines per halving of the distance to 100 %.
const TICKS_PER_HALF: u64 = 5;

/// Writes the distribution of `histogram`, its values divided by `unit`.
///
/// # Errors
/// If `out` cannot be written.
pub fn write_hgrm(histogram: &Histogram<u64>, unit: f64, out: &mut impl Write) -> io::Result<()> {
    let digits = usize::from(histogram.sigfig());
    let columns = ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"];
    writeln!(out, "{:>12} {:>14} {:>10} {:>14}\n", columns[0], columns[1], columns[2], columns[3])?;
    let total = histogram.len();
    let mut level = 0.0;
    let mut count = 0;
    for step in histogram.iter_recorded() {
        count += step.count_at_value();
        let value = histogram.highest_equivalent(step.value_iterated_to()) as f64 / unit;
        let reached = 100.0 * count as f64 / total as f64;
        while level <= reached && level < 100.0 {
            let rest = 1.0 / (1.0 - level / 100.0);
            // Ties are rounded up, as Java's formatter does, so that files can be compared.
            let quantile = (level / 100.0 * 1e12).round() / 1e12;
            writeln!(out, "{value:12.digits$} {quantile:2.12} {count:10} {rest:14.2}")?;
            level = next_level(level);
            if count == total {
                break;
            }
        }
        if count == total {
            writeln!(out, "{value:12.digits$} {:2.12} {count:10}", 1.0)?;
        }
    }
    let max = histogram.max() as f64 / unit;
    let (mean, deviation) = (histogram.mean() / unit, histogram.stdev() / unit);
    writeln!(out, "#[Mean    = {mean:12.digits$}, StdDeviation   = {deviation:12.digits$}]")?;
    writeln!(out, "#[Max     = {max:12.digits$}, Total count    = {total:12}]")?;
    let (buckets, sub_buckets) = (histogram.buckets(), sub_buckets(histogram.sigfig()));
    writeln!(out, "#[Buckets = {buckets:12}, SubBuckets     = {sub_buckets:12}]")
}

/// The percentile of the next line: every halving of the distance to 100 takes equally many lines.
fn next_level(level: f64) -> f64 {
    let halvings = (100.0 / (100.0 - level)).log2() as i32;
    level + 100.0 / (TICKS_PER_HALF as f64 * 2f64.powi(halvings + 1))
}

/// Sub-buckets per bucket: the power of two that keeps `digits` significant decimal digits.
fn sub_buckets(digits: u8) -> u64 {
    (2 * 10u64.pow(u32::from(digits))).next_power_of_two()
}
