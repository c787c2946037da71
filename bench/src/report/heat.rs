//! Latency over time: how many messages of each interval took how long, as shades, with the rate
//! below and what the host disturbed above.
//!
//! Invariant: every value is in a cell, and the darkest cell of a column is its commonest latency;
//! neighbouring intervals are only put together within a round, and a column is disturbed if any of
//! its intervals was.

use std::fmt::Write;

use hdrhistogram::Histogram;

use super::format::{escape, number};
use super::scale::{Linear, Log};
use crate::results::Interval;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 186.0;
const RATE_TOP: f64 = 200.0;
const RATE_BOTTOM: f64 = 240.0;
const HEIGHT: f64 = 272.0;
/// Columns, at most.
const COLUMNS_MAX: usize = 240;
const BINS_PER_DECADE: f64 = 16.0;
/// Shades, from one message to all of a column.
pub(super) const SHADES: usize = 8;

/// One or more intervals.
struct Column {
    round: u32,
    span_ns: u64,
    sent: u64,
    histogram: Histogram<u64>,
    disturbed: Vec<String>,
}

/// The map of a measurement's intervals; `None` if it has none that can be read.
pub(super) fn map(intervals: &[Interval], wanted: Option<f64>) -> Option<String> {
    let columns = columns(intervals);
    let total: u64 = columns.iter().map(|column| column.span_ns).sum();
    let values = columns.iter().flat_map(|column| {
        let histogram = &column.histogram;
        [histogram.min() as f64, histogram.max() as f64]
    });
    if total == 0 {
        return None;
    }
    let y = Log::new(values, BOTTOM, TOP);
    let x = |ns: u64| LEFT + (WIDTH - LEFT - RIGHT) * ns as f64 / total as f64;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"latency over time\">"
    );
    axes(&mut svg, &y, total, &x);
    cells(&mut svg, &columns, &y, &x);
    marks(&mut svg, &columns, &x);
    rate(&mut svg, &columns, wanted, &x);
    Some(format!("<figure class=\"heat\">{svg}</svg></figure>"))
}

fn columns(intervals: &[Interval]) -> Vec<Column> {
    let together = intervals.len().div_ceil(COLUMNS_MAX).max(1);
    let mut columns = Vec::new();
    for round in intervals.chunk_by(|a, b| a.round == b.round) {
        for chunk in round.chunks(together) {
            let mut histograms = chunk.iter().filter_map(|one| one.histogram.decode().ok());
            let Some(mut histogram) = histograms.next() else { continue };
            for other in histograms {
                // Of different bounds only in a file that somebody else made.
                let _ = histogram.add(other);
            }
            let mut disturbed: Vec<String> =
                chunk.iter().flat_map(|one| one.disturbed.iter().cloned()).collect();
            disturbed.dedup();
            columns.push(Column {
                round: chunk[0].round,
                span_ns: chunk.iter().map(|one| one.span_ns).sum(),
                sent: chunk.iter().map(|one| one.sent).sum(),
                histogram,
                disturbed,
            });
        }
    }
    columns
}

fn axes(svg: &mut String, y: &Log, total: u64, x: &impl Fn(u64) -> f64) {
    let right = WIDTH - RIGHT;
    for tick in y.ticks() {
        let at = y.at(tick);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"tick\" text-anchor=\"end\" x=\"{}\" y=\"{:.1}\">{}</text>",
            LEFT - 8.0,
            at + 4.0,
            number(tick, "ns")
        );
    }
    for tick in Linear::new([total as f64].into_iter(), LEFT, right).ticks() {
        let _ = write!(
            svg,
            "<text class=\"tick\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{}\">{}</text>",
            x(tick as u64),
            RATE_BOTTOM + 18.0,
            number(tick, "ns")
        );
    }
}

fn cells(svg: &mut String, columns: &[Column], y: &Log, x: &impl Fn(u64) -> f64) {
    let mut shades: [String; SHADES] = Default::default();
    let (mut p50, mut p99) = (String::new(), String::new());
    let mut begin = 0;
    for column in columns {
        let (left, right) = (x(begin), x(begin + column.span_ns));
        begin += column.span_ns;
        let most = column.histogram.len();
        if most == 0 {
            continue;
        }
        for (bin, count) in bins(&column.histogram) {
            let edge = |bin: i32| y.at(10f64.powf(f64::from(bin) / BINS_PER_DECADE));
            let (top, bottom) = (edge(bin + 1), edge(bin));
            let _ = write!(
                shades[shade(count, most)],
                "M{left:.1} {top:.1}H{right:.1}V{bottom:.1}H{left:.1}z"
            );
        }
        for (line, quantile) in [(&mut p50, 0.5), (&mut p99, 0.99)] {
            let at = y.at(column.histogram.value_at_quantile(quantile) as f64);
            let verb = if line.is_empty() { 'M' } else { 'L' };
            let _ = write!(line, "{verb}{left:.1} {at:.1}H{right:.1}");
        }
    }
    for (i, path) in shades.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
        let _ = write!(svg, "<path class=\"cell h{i}\" d=\"{path}\"/>");
    }
    let _ = write!(svg, "<path class=\"p50\" d=\"{p50}\"/><path class=\"p99\" d=\"{p99}\"/>");
}

/// How many values lie in each bin that has any.
fn bins(histogram: &Histogram<u64>) -> Vec<(i32, u64)> {
    let mut bins: Vec<(i32, u64)> = Vec::new();
    for step in histogram.iter_recorded() {
        let value = step.value_iterated_to().max(1) as f64;
        let bin = (value.log10() * BINS_PER_DECADE).floor() as i32;
        let count = step.count_at_value();
        match bins.last_mut() {
            Some((last, sum)) if *last == bin => *sum += count,
            _ => bins.push((bin, count)),
        }
    }
    bins
}

/// By the logarithm of the share, so that single messages are seen beside thousands.
fn shade(count: u64, most: u64) -> usize {
    let share = (1.0 + count as f64).ln() / (1.0 + most as f64).ln();
    ((share * SHADES as f64) as usize).min(SHADES - 1)
}

/// Where rounds begin, and what was disturbed.
fn marks(svg: &mut String, columns: &[Column], x: &impl Fn(u64) -> f64) {
    let (mut begin, mut round) = (0, None);
    for column in columns {
        let (left, right) = (x(begin), x(begin + column.span_ns));
        begin += column.span_ns;
        if round.is_some_and(|round| round != column.round) {
            let _ = write!(
                svg,
                "<line class=\"round\" x1=\"{left:.1}\" x2=\"{left:.1}\" y1=\"{TOP}\" \
                 y2=\"{RATE_BOTTOM}\"><title>round {}</title></line>",
                column.round
            );
        }
        round = Some(column.round);
        if !column.disturbed.is_empty() {
            let _ = write!(
                svg,
                "<rect class=\"disturbed\" x=\"{left:.1}\" y=\"2\" width=\"{:.1}\" height=\"8\">\
                 <title>{}</title></rect>",
                (right - left).max(1.5),
                escape(&column.disturbed.join("\n"))
            );
        }
    }
}

fn rate(svg: &mut String, columns: &[Column], wanted: Option<f64>, x: &impl Fn(u64) -> f64) {
    let per_second = |column: &Column| column.sent as f64 * 1e9 / column.span_ns.max(1) as f64;
    let rates = columns.iter().map(per_second).chain(wanted);
    let y = Linear::new(rates, RATE_BOTTOM, RATE_TOP);
    let most = columns.iter().map(per_second).fold(wanted.unwrap_or(0.0), f64::max);
    let (mut line, mut begin) = (String::new(), 0);
    for column in columns {
        let verb = if line.is_empty() { 'M' } else { 'L' };
        let at = y.at(per_second(column));
        let _ = write!(line, "{verb}{:.1} {at:.1}", x(begin));
        begin += column.span_ns;
        let _ = write!(line, "H{:.1}", x(begin));
    }
    let right = WIDTH - RIGHT;
    if let Some(wanted) = wanted {
        let at = y.at(wanted);
        let _ = write!(
            svg,
            "<line class=\"wanted\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\">\
             <title>scheduled: {}</title></line>",
            number(wanted, "/s")
        );
    }
    let _ = write!(
        svg,
        "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{RATE_BOTTOM}\" \
         y2=\"{RATE_BOTTOM}\"/><text class=\"tick\" text-anchor=\"end\" x=\"{0}\" \
         y=\"{1}\">{2}</text><text class=\"tick\" text-anchor=\"end\" x=\"{0}\" \
         y=\"{RATE_BOTTOM}\">0</text><path class=\"rate\" d=\"{line}\"/>",
        LEFT - 8.0,
        RATE_TOP + 8.0,
        number(most, "/s")
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Encoded;

    fn interval(round: u32, values: &[u64], disturbed: &[&str]) -> Interval {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        values.iter().for_each(|value| histogram.record(*value).unwrap());
        Interval {
            round,
            span_ns: 100_000_000,
            sent: values.len() as u64,
            histogram: Encoded::of(&histogram),
            disturbed: disturbed.iter().map(ToString::to_string).collect(),
            ..Interval::default()
        }
    }

    #[test]
    fn every_value_is_in_a_cell_and_disturbances_are_marked() {
        let intervals = [
            interval(0, &[5_000; 50], &[]),
            interval(0, &[5_000, 100_000_000], &["20 ms stolen on CPU 0"]),
            interval(1, &[5_000; 50], &[]),
        ];
        let svg = map(&intervals, Some(500.0)).unwrap();
        assert_eq!(svg.matches("class=\"disturbed\"").count(), 1);
        assert!(svg.contains("20 ms stolen on CPU 0"));
        assert_eq!(svg.matches("class=\"round\"").count(), 1);
        let cells: usize = svg
            .split("class=\"cell")
            .skip(1)
            .map(|path| path.split("\"/>").next().unwrap_or_default().matches('z').count())
            .sum();
        assert_eq!(cells, 4);
        assert!(!svg.contains("NaN"));
    }

    #[test]
    fn many_intervals_become_few_columns_and_lose_nothing() {
        let mut all: Vec<Interval> = (0..1_000).map(|i| interval(i / 500, &[7_000], &[])).collect();
        all[700].disturbed.push("a gap".to_owned());
        let columns = columns(&all);
        assert!(columns.len() <= COLUMNS_MAX, "{}", columns.len());
        assert_eq!(columns.iter().map(|column| column.histogram.len()).sum::<u64>(), 1_000);
        assert_eq!(columns.iter().filter(|column| !column.disturbed.is_empty()).count(), 1);
        assert!(map(&[], None).is_none());
    }
}
