//! Scaling curves: a figure over what grows, one line per curve and run.
//!
//! Invariant: points of a line are in the order of their place; both axes say their unit.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::format::{digits, escape, number};
use super::percentiles::colour;
use super::scale::{Linear, Log};
use super::tables::Of;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 110.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;

/// A line's points by what it is called.
type Lines = BTreeMap<String, Vec<(f64, f64)>>;

/// One chart per axis and figure; empty if no measurement is a point.
pub(super) fn charts(all: &[Of<'_>]) -> String {
    let mut charts: BTreeMap<(&str, &str, &str), Lines> = BTreeMap::new();
    for of in all {
        let Some(point) = &of.measurement.point else { continue };
        for figure in &of.measurement.figures {
            let chart = charts.entry((&point.axis, &figure.name, &figure.unit)).or_default();
            let separator = if of.run.is_empty() { "" } else { " · " };
            let line = format!("{}{separator}{}", point.curve, of.run);
            chart.entry(line).or_default().push((point.x, figure.value));
        }
    }
    let mut html = String::new();
    for ((axis, figure, unit), mut lines) in charts {
        lines.values_mut().for_each(|points| points.sort_by(|a, b| a.0.total_cmp(&b.0)));
        let _ = write!(html, "<h4>{} by {}</h4>", escape(figure), escape(axis));
        html += &chart(&lines, axis, unit);
    }
    html
}

fn chart(lines: &Lines, axis: &str, unit: &str) -> String {
    let points = || lines.values().flatten();
    let x = Log::new(points().map(|(x, _)| *x), LEFT, WIDTH - RIGHT);
    let y = Linear::new(points().map(|(_, y)| *y), HEIGHT - BOTTOM, TOP);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
    for tick in y.ticks() {
        let at = y.at(tick);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"tick\" text-anchor=\"end\" x=\"{}\" y=\"{:.1}\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            at + 4.0,
            escape(&number(tick, unit))
        );
    }
    for tick in x.ticks() {
        let at = x.at(tick);
        let _ = write!(
            svg,
            "<text class=\"tick\" text-anchor=\"middle\" x=\"{at:.1}\" y=\"{}\">{}</text>",
            HEIGHT - BOTTOM + 18.0,
            digits(tick)
        );
    }
    let _ = write!(
        svg,
        "<text class=\"axis\" text-anchor=\"middle\" x=\"{}\" y=\"{}\">{}</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 6.0,
        escape(axis)
    );
    let mut legend = String::from("<p class=\"keys\">");
    for (i, (name, points)) in lines.iter().enumerate() {
        let class = colour(Some(i));
        let mut path = String::new();
        for (px, py) in points {
            let verb = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{verb}{:.1} {:.1}", x.at(*px), y.at(*py));
            let _ = write!(
                svg,
                "<circle class=\"dot {class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\"><title>{}: {} \
                 at {}</title></circle>",
                x.at(*px),
                y.at(*py),
                escape(name),
                escape(&number(*py, unit)),
                digits(*px)
            );
        }
        let _ = write!(svg, "<path class=\"curve {class}\" d=\"{path}\"/>");
        let _ = write!(
            legend,
            "<span><svg class=\"key\" viewBox=\"0 0 34 8\"><path class=\"curve {class}\" \
             d=\"M0 4H34\"/></svg> {}</span>",
            escape(name)
        );
    }
    format!("<figure>{svg}</svg></figure>{legend}</p>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Figure, Measurement, Point};

    #[test]
    fn points_of_a_curve_are_joined_in_order() {
        let point = |x: f64, value: f64| {
            let mut measurement = Measurement::new(format!("groups/{x}"));
            let (curve, axis) = ("socket".to_owned(), "groups".to_owned());
            measurement.point = Some(Point { curve, axis, x });
            measurement.figures.push(Figure::lower("p50", value, "ns"));
            measurement
        };
        let (four, one) = (point(4.0, 9_000.0), point(1.0, 7_000.0));
        let all = [&four, &one].map(|measurement| Of { run: "", measurement });
        let html = charts(&all);
        assert_eq!(html.matches("<h4>").count(), 1);
        assert_eq!(html.matches("class=\"dot c0\"").count(), 2);
        let first = html.find("7 us at 1").unwrap();
        assert!(first < html.find("9 us at 4").unwrap());
        assert!(charts(&[]).is_empty());
    }
}
