//! Percentile curves: latency over the share of messages that were at least as fast, with an axis
//! that gives every nine as much room as the one before, as HdrHistogram's plotter has it.
//!
//! Invariant: a curve ends at its histogram's maximum, at 1 over the number of its values.

use std::fmt::Write;

use hdrhistogram::Histogram;

use super::format::{escape, number};
use super::scale::Log;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;
/// Points per halving of the distance to 100 %.
const POINTS_PER_HALF: u32 = 5;

/// One curve.
pub(super) struct Curve {
    /// What the legend says.
    pub(super) name: String,
    /// Which colour, by number; `None` is that of a floor.
    pub(super) colour: Option<usize>,
    /// Which run it is of, from 0: how its line is broken.
    pub(super) run: usize,
    /// The values, nanoseconds.
    pub(super) histogram: Histogram<u64>,
}

/// Percentiles of the legend's columns.
const COLUMNS: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)];

/// The chart and its legend.
pub(super) fn chart(curves: &[Curve]) -> String {
    let nines =
        curves.iter().map(|curve| (curve.histogram.len() as f64).log10()).fold(2.0, f64::max);
    let points: Vec<Vec<(f64, u64)>> =
        curves.iter().map(|curve| points(&curve.histogram)).collect();
    let values = points.iter().flatten().map(|(_, ns)| *ns as f64);
    let y = Log::new(values, HEIGHT - BOTTOM, TOP);
    let x = |nine: f64| LEFT + (WIDTH - LEFT - RIGHT) * nine / nines;
    let mut svg = format!(
        "<svg class=\"percentiles\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" data-left=\"{LEFT}\" \
         data-right=\"{}\" data-nines=\"{nines:.4}\" role=\"img\" \
         aria-label=\"latency by percentile\">",
        WIDTH - RIGHT
    );
    axes(&mut svg, &y, nines, &x);
    for (i, (curve, points)) in curves.iter().zip(&points).enumerate() {
        let mut path = String::new();
        let mut data = String::new();
        for &(nine, ns) in points {
            let verb = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{verb}{:.1} {:.1}", x(nine), y.at(ns as f64));
            let _ = write!(data, "{nine:.3},{ns};");
        }
        let _ = write!(
            svg,
            "<path class=\"curve {} run{}\" data-curve=\"{i}\" data-name=\"{}\" \
             data-points=\"{data}\" d=\"{path}\"/>",
            colour(curve.colour),
            curve.run.min(3),
            escape(&curve.name)
        );
    }
    let _ = write!(
        svg,
        "<line class=\"hair\" x1=\"0\" x2=\"0\" y1=\"{TOP}\" y2=\"{}\"/></svg>",
        HEIGHT - BOTTOM
    );
    format!("<figure class=\"plot\">{svg}<div class=\"tip\"></div></figure>{}", legend(curves))
}

fn axes(svg: &mut String, y: &Log, nines: f64, x: &impl Fn(f64) -> f64) {
    for tick in y.ticks() {
        let at = y.at(tick);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"tick\" text-anchor=\"end\" x=\"{}\" y=\"{:.1}\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            at + 4.0,
            number(tick, "ns")
        );
    }
    let half = (50.0, 2f64.log10());
    let whole = (1..=nines.floor() as i32).map(|n| (100.0 - 10f64.powi(2 - n), f64::from(n)));
    for (percent, nine) in [(0.0, 0.0), half].into_iter().chain(whole) {
        let at = x(nine);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{}\"/>\
             <text class=\"tick\" text-anchor=\"middle\" x=\"{at:.1}\" y=\"{}\">{}%</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 18.0,
            percent_text(percent, nine)
        );
    }
    let _ = write!(
        svg,
        "<text class=\"axis\" text-anchor=\"middle\" x=\"{}\" y=\"{}\">percentile</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 6.0
    );
}

/// As many nines as the place has, free of rounding.
fn percent_text(percent: f64, nine: f64) -> String {
    let decimals = (nine - 2.0).max(0.0) as usize;
    format!("{percent:.decimals$}")
}

/// Places from 0 (the fastest) on, in nines, with their values.
fn points(histogram: &Histogram<u64>) -> Vec<(f64, u64)> {
    let (total, mut points) = (histogram.len() as f64, Vec::new());
    if total == 0.0 {
        return points;
    }
    let step = 2f64.log10() / f64::from(POINTS_PER_HALF);
    let end = total.log10();
    let mut nine = 0.0;
    while nine < end {
        points.push((nine, histogram.value_at_quantile(1.0 - 10f64.powf(-nine))));
        nine += step;
    }
    points.push((end, histogram.max()));
    points
}

fn legend(curves: &[Curve]) -> String {
    let mut html = String::from("<table class=\"legend\"><thead><tr><th></th><th>measured</th>");
    for (name, _) in COLUMNS {
        let _ = write!(html, "<th class=\"n\">{name}</th>");
    }
    html += "<th class=\"n\">messages</th></tr></thead><tbody>";
    for (i, curve) in curves.iter().enumerate() {
        let _ = write!(
            html,
            "<tr data-curve=\"{i}\"><td><svg class=\"key\" viewBox=\"0 0 34 8\"><path \
             class=\"curve {} run{}\" d=\"M0 4H34\"/></svg></td><td>{}</td>",
            colour(curve.colour),
            curve.run.min(3),
            escape(&curve.name)
        );
        for (_, quantile) in COLUMNS {
            let ns = curve.histogram.value_at_quantile(quantile) as f64;
            let _ = write!(html, "<td class=\"n\">{}</td>", number(ns, "ns"));
        }
        let _ = write!(html, "<td class=\"n\">{}</td></tr>", curve.histogram.len());
    }
    html + "</tbody></table>"
}

/// The class that colours a curve.
pub(super) fn colour(number: Option<usize>) -> String {
    number.map_or_else(|| "floor".to_owned(), |number| format!("c{}", number % 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: impl Iterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        values.for_each(|value| histogram.record(value).unwrap());
        histogram
    }

    #[test]
    fn a_curve_rises_to_its_maximum() {
        let histogram = histogram((1..=1_000).map(|i| i * 1_000));
        let points = points(&histogram);
        assert!(points.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
        assert_eq!(points.last(), Some(&(3.0, histogram.max())));
        let p99 = points.iter().find(|(nine, _)| *nine >= 2.0).unwrap().1;
        assert!((988_000..=996_000).contains(&p99), "{p99}");
    }

    #[test]
    fn a_chart_shows_every_curve_and_escapes_names() {
        let curve = |name: &str, run| Curve {
            name: name.to_owned(),
            colour: (run == 0).then_some(run),
            run,
            histogram: histogram((1..100).map(|i| i * 100)),
        };
        let html = chart(&[curve("a<b", 0), curve("floor", 1)]);
        assert_eq!(html.matches("data-points=").count(), 2);
        assert!(html.contains("a&lt;b") && !html.contains("a<b"));
        assert!(html.contains(">99%<") && html.contains("class=\"curve floor run1\""));
        assert!(!html.contains("NaN"));
    }
}
