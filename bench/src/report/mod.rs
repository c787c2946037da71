//! Reports of results: one self-contained HTML page, a table for a terminal, and files that
//! HdrHistogram's own tools read.
//!
//! ```text
//! result.json * ──> page(...)    percentile curves, heat maps, rates, ratios, stages, machine
//!               ├─> text::table  what a terminal shows
//!               └─> export::*    .hgrm and .hlog per measurement
//! ```
//!
//! Invariants: a page needs nothing but itself; it is whole without its script, which only adds a
//! reading under the pointer. What could not be measured stands there with the reason, and what the
//! host disturbed is shown where it happened.
//!
//! ```
//! use corelane_bench::report::{Run, page};
//! use corelane_bench::results::Results;
//! let run = Run { name: "main".into(), results: Results::new("latency") };
//! assert!(page(&[run]).starts_with("<!doctype html>"));
//! ```

mod curves;
pub mod export;
pub mod format;
mod heat;
mod percentiles;
mod scale;
mod tables;
pub mod text;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use self::format::{date, escape, number};
use self::percentiles::Curve;
use self::tables::Of;
use crate::compare::{Options, compare};
use crate::results::{Measurement, Results};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Curves of a chart, at most; more are put on a further one.
const CURVES_MAX: usize = 10;
/// What may differ within a chart; measurements that differ otherwise are on different ones.
const COMPARABLE: [&str; 5] = ["side", "backend", "topology", "waiting", "variant"];

/// One run on the page.
pub struct Run {
    /// What it is called there.
    pub name: String,
    /// What it measured.
    pub results: Results,
}

impl Run {
    /// From files, each called by its label; by its file name if it has none, or another the same.
    ///
    /// # Errors
    /// If one is no result.
    pub fn read_all(paths: &[PathBuf]) -> anyhow::Result<Vec<Self>> {
        let results = paths.iter().map(|path| Results::read(path));
        let results = results.collect::<anyhow::Result<Vec<_>>>()?;
        let mut labels: BTreeMap<String, u32> = BTreeMap::new();
        results.iter().for_each(|one| *labels.entry(one.label.clone()).or_default() += 1);
        let named = results.into_iter().zip(paths).map(|(results, path)| {
            let is_own = !results.label.is_empty() && labels[&results.label] == 1;
            let stem = || path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let name = if is_own { results.label.clone() } else { stem() };
            Self { name, results }
        });
        Ok(named.collect())
    }
}

/// A measurement, with the name of its run if another run has one of the same name.
fn of<'a>(runs: &[Run], run: &'a Run, measurement: &'a Measurement) -> Of<'a> {
    let has = |run: &&Run| run.results.measurements.iter().any(|m| m.name == measurement.name);
    let is_shared = runs.iter().filter(has).count() > 1;
    Of { run: if is_shared { &run.name } else { "" }, measurement }
}

/// The page.
#[must_use]
pub fn page(runs: &[Run]) -> String {
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    let title = format!("corelane-bench: {}", names.join(", "));
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><title>{}</title><style>{STYLE}</style>\
         </head><body><main><header><h1>corelane-bench</h1></header>",
        escape(&title)
    );
    html += &summary(runs);
    html += &comparisons(runs);
    let all = measurements(runs);
    section(&mut html, "Ratios", RATIOS, &tables::ratios(&all));
    section(&mut html, "Latency", LATENCY, &latency(runs));
    section(&mut html, "Scaling", "", &curves::charts(&all));
    section(&mut html, "Over time", TIME, &over_time(&all));
    section(&mut html, "Stages and threads", STAGES, &inside(&all));
    section(&mut html, "Figures", "", &tables::figures(&all));
    section(&mut html, "Not measured", "", &not_measured(&all));
    section(&mut html, "Machine", MACHINE, &machines(runs));
    html + "</main><script>" + SCRIPT + "</script></body></html>\n"
}

const RATIOS: &str = "Taken in turns within one run, so that what drifts from minute to minute \
    cancels out. The interval is a bootstrap over the pairs; one that holds 1 says nothing.";
const LATENCY: &str = "From the time at which a message was to be sent, whether or not it was. \
    Every message counts, those of disturbed intervals too.";
const TIME: &str = "The darker a cell, the more of its column's messages took so long; the shade \
    goes by the logarithm, so that single messages are seen. Lines: p50 (solid) and p99 (dashed). \
    Red above: disturbed by the host, with the reason under the pointer. Below: messages per \
    second as sent, dashed as scheduled. Thin vertical lines divide rounds, between which others \
    had their turn.";
const STAGES: &str = "By the engine's own stamps. Threads: per second of wall time while measured.";
const MACHINE: &str = "Before and after, a thread read the clock on each CPU and noted every gap \
    above a microsecond: what is lost there is lost to whatever runs there.";

fn section(html: &mut String, title: &str, explained: &str, body: &str) {
    if body.is_empty() {
        return;
    }
    let _ = write!(html, "<section><h2>{title}</h2>");
    if !explained.is_empty() {
        let _ = write!(html, "<p class=\"dim\">{explained}</p>");
    }
    let _ = write!(html, "{body}</section>");
}

/// Every measurement of every run that was made or not.
fn measurements(runs: &[Run]) -> Vec<Of<'_>> {
    let each = runs.iter().flat_map(|run| {
        run.results.measurements.iter().map(move |measurement| of(runs, run, measurement))
    });
    each.collect()
}

fn summary(runs: &[Run]) -> String {
    let mut rows = String::new();
    for run in runs {
        let results = &run.results;
        let during = results.states.iter().find(|state| state.when == "during");
        let stolen: u64 = during.iter().flat_map(|s| &s.cpus).map(|cpu| cpu.steal_ns).sum();
        let disturbed =
            |m: &Measurement| m.intervals.iter().filter(|i| !i.disturbed.is_empty()).count();
        let marked: usize = results.measurements.iter().map(disturbed).sum();
        let intervals: usize = results.measurements.iter().map(|m| m.intervals.len()).sum();
        let _ = write!(
            rows,
            "<tr><td class=\"strong\">{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td class=\"n\">{}</td><td>{}, {} CPUs, Linux {}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{marked} of {intervals}</td></tr>",
            escape(&run.name),
            escape(&results.benchmark),
            escape(&results.label),
            escape(&results.program),
            date(results.started_ns),
            number(results.wall_ns as f64, "ns"),
            escape(&results.machine.cpu_model),
            results.machine.cpus,
            escape(&results.machine.kernel),
            during.map_or_else(String::new, |state| format::digits(state.load)),
            number(stolen as f64, "ns")
        );
    }
    let columns = [
        "run",
        "benchmark",
        "of",
        "program",
        "begun",
        "n:took",
        "machine",
        "n:load",
        "n:stolen",
        "n:disturbed",
    ];
    format!("<section class=\"first\">{}</section>", tables::table(&columns, &rows))
}

/// The first run against each other one.
fn comparisons(runs: &[Run]) -> String {
    let Some((first, others)) = runs.split_first() else { return String::new() };
    let mut html = String::new();
    for other in others {
        let options = Options::default();
        let comparison = compare(&first.results, &other.results, &options);
        let mut rows = String::new();
        for change in &comparison.changes {
            let _ = write!(
                rows,
                "<tr><td>{}</td><td>{}</td><td class=\"n\">{:.3}</td><td class=\"n\">{:.3} to \
                 {:.3}</td><td class=\"{}\">{}</td><td class=\"dim\">{}</td></tr>",
                escape(&change.measurement),
                escape(&change.figure),
                change.ratio,
                change.low,
                change.high,
                change.verdict.name(),
                change.verdict.name(),
                escape(change.basis.name())
            );
        }
        let interval = format!("n:{} % interval", options.confidence * 100.0);
        let columns = ["measured", "figure", "n:change", &interval, "verdict", "by"];
        let body = tables::table(&columns, &rows);
        let title = format!("{} over {}", escape(&other.name), escape(&first.name));
        section(&mut html, &title, "", &body);
    }
    html
}

/// One chart for all measurements that compare, of all runs.
fn latency(runs: &[Run]) -> String {
    let mut charts: BTreeMap<String, Vec<Curve>> = BTreeMap::new();
    let mut colours: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (number, run) in runs.iter().enumerate() {
        for measurement in &run.results.measurements {
            let decoded = measurement.histogram.as_ref().and_then(|h| h.decode().ok());
            let Some(histogram) = decoded.filter(|histogram| !histogram.is_empty()) else {
                continue;
            };
            let chart = chart_of(&run.results.benchmark, measurement);
            let is_floor = measurement.parameters.get("side").is_some_and(|side| side == "floor");
            let seen = colours.entry(chart.clone()).or_default();
            let place = seen.iter().position(|name| *name == measurement.name);
            let colour = place.unwrap_or_else(|| {
                if !is_floor {
                    seen.push(measurement.name.clone());
                }
                seen.len().saturating_sub(1)
            });
            charts.entry(chart).or_default().push(Curve {
                name: of(runs, run, measurement).name(),
                colour: (!is_floor).then_some(colour),
                run: number,
                histogram,
            });
        }
    }
    let mut html = String::new();
    for (title, curves) in &charts {
        for some in curves.chunks(CURVES_MAX) {
            let _ = write!(html, "<h3>{}</h3>{}", escape(title), percentiles::chart(some));
        }
    }
    html
}

/// The title of the chart that a measurement belongs on.
fn chart_of(benchmark: &str, measurement: &Measurement) -> String {
    let others = measurement.parameters.iter();
    let others = others.filter(|(name, _)| !COMPARABLE.contains(&name.as_str()));
    let others: Vec<String> = others.map(|(name, value)| format!("{name} {value}")).collect();
    if others.is_empty() { benchmark.to_owned() } else { others.join(", ") }
}

fn over_time(all: &[Of<'_>]) -> String {
    let mut html = String::new();
    for of in all {
        let wanted = of.measurement.rate.map(|rate| rate.wanted).filter(|wanted| *wanted > 0.0);
        if let Some(map) = heat::map(&of.measurement.intervals, wanted) {
            let _ = write!(html, "<h3>{}</h3>{map}", escape(&of.name()));
        }
    }
    html
}

/// What the engine and the kernel say of each measurement.
fn inside(all: &[Of<'_>]) -> String {
    let mut html = String::new();
    for of in all {
        let measurement = of.measurement;
        let mut body = tables::stages(&measurement.stages) + &tables::threads(measurement);
        let counters = tables::counters(measurement);
        if !counters.is_empty() {
            let _ = write!(body, "<details><summary>counters</summary>{counters}</details>");
        }
        for note in &measurement.notes {
            let _ = write!(body, "<p class=\"note\">{}</p>", escape(note));
        }
        if !body.is_empty() {
            let _ = write!(html, "<h3>{}</h3>{body}", escape(&of.name()));
        }
    }
    html
}

fn not_measured(all: &[Of<'_>]) -> String {
    let mut rows = String::new();
    for of in all {
        if let Some(reason) = &of.measurement.unavailable {
            let (name, reason) = (escape(&of.name()), escape(reason));
            let _ = write!(rows, "<tr><td>{name}</td><td>{reason}</td></tr>");
        }
    }
    tables::table(&["measurement", "why not"], &rows)
}

fn machines(runs: &[Run]) -> String {
    let mut html = String::new();
    for run in runs {
        if runs.len() > 1 {
            let _ = write!(html, "<h3>{}</h3>", escape(&run.name));
        }
        html += &tables::machine(&run.results);
        let command = run.results.command.join(" ");
        let _ = write!(html, "<p class=\"dim\">corelane-bench {}</p>", escape(&command));
    }
    html
}

#[cfg(test)]
mod tests;
