//! Figures, ratios with their confidence, stages, threads: tables with small drawings in them.
//!
//! Invariant: a ratio is shown with its interval and its number of pairs, never alone.

use std::fmt::Write;

use super::format::{digits, escape, number};
use super::scale::Log;
use crate::results::{Measurement, Ratio, Results, Stage};

/// Width of a drawing in a cell.
const BAR: f64 = 220.0;

/// Whose measurement it is, in a page of several runs.
pub(super) struct Of<'a> {
    /// The run's name; empty if there is only one.
    pub(super) run: &'a str,
    /// What was measured.
    pub(super) measurement: &'a Measurement,
}

impl Of<'_> {
    /// Its name, with the run's.
    pub(super) fn name(&self) -> String {
        let name = &self.measurement.name;
        if self.run.is_empty() { name.clone() } else { format!("{name} · {}", self.run) }
    }
}

/// Every ratio, its interval drawn around 1; empty if there are none.
pub(super) fn ratios(all: &[Of<'_>]) -> String {
    let each = || all.iter().flat_map(|of| of.measurement.ratios.iter().map(move |r| (of, r)));
    let axis = Log::new(
        each().flat_map(|(_, ratio)| [ratio.low, ratio.value, ratio.high, 0.9, 1.1]),
        4.0,
        BAR - 4.0,
    );
    let (mut rows, mut before) = (String::new(), String::new());
    for (of, ratio) in each() {
        let name = of.name();
        // Its figures stand together: the name once.
        let shown = if name == before { "" } else { &name };
        let _ = write!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"n strong\">{}</td>\
             <td class=\"n\">{} to {}</td><td class=\"n\">{}</td><td>{}</td></tr>",
            escape(shown),
            escape(&ratio.figure),
            escape(&ratio.over),
            fixed(ratio.value),
            fixed(ratio.low),
            fixed(ratio.high),
            ratio.pairs,
            whisker(ratio, &axis)
        );
        before = name;
    }
    table(
        &["measured", "figure", "over", "n:ratio", "n:95 % interval", "n:pairs", "around 1"],
        &rows,
    )
}

fn fixed(value: f64) -> String {
    format!("{value:.3}")
}

fn whisker(ratio: &Ratio, axis: &Log) -> String {
    let (one, value) = (axis.at(1.0), axis.at(ratio.value));
    let (low, high) = (axis.at(ratio.low), axis.at(ratio.high));
    format!(
        "<svg class=\"whisker\" viewBox=\"0 0 {BAR} 16\"><line class=\"one\" x1=\"{one:.1}\" \
         x2=\"{one:.1}\" y1=\"0\" y2=\"16\"/><line class=\"span\" x1=\"{low:.1}\" x2=\"{high:.1}\" \
         y1=\"8\" y2=\"8\"/><circle cx=\"{value:.1}\" cy=\"8\" r=\"3.5\"/></svg>"
    )
}

/// Every figure, with the least and greatest of its rounds.
pub(super) fn figures(all: &[Of<'_>]) -> String {
    let mut rows = String::new();
    for of in all {
        for figure in &of.measurement.figures {
            let fold = |by: fn(f64, f64) -> f64| figure.rounds.iter().copied().reduce(by);
            let range = match (fold(f64::min), fold(f64::max)) {
                (Some(low), Some(high)) if figure.rounds.len() > 1 => format!(
                    "{} to {} in {}",
                    number(low, &figure.unit),
                    number(high, &figure.unit),
                    figure.rounds.len()
                ),
                _ => String::new(),
            };
            let better = match figure.higher_is_better {
                Some(true) => "more is better",
                Some(false) => "less is better",
                None => "",
            };
            let _ = write!(
                rows,
                "<tr><td>{}</td><td>{}</td><td class=\"n strong\">{}</td><td class=\"n\">{range}\
                 </td><td class=\"dim\">{better}</td></tr>",
                escape(&of.name()),
                escape(&figure.name),
                escape(&number(figure.value, &figure.unit))
            );
        }
    }
    table(&["measured", "figure", "n:value", "n:rounds", ""], &rows)
}

/// Where the time of a message went.
pub(super) fn stages(stages: &[Stage]) -> String {
    let read: Vec<_> = stages
        .iter()
        .filter_map(|stage| Some((stage, stage.histogram.decode().ok()?)))
        .filter(|(_, histogram)| !histogram.is_empty())
        .collect();
    let at = |histogram: &hdrhistogram::Histogram<u64>, q| histogram.value_at_quantile(q) as f64;
    let values = read.iter().flat_map(|(_, h)| [at(h, 0.5), at(h, 0.999)]);
    let axis = Log::new(values, 2.0, BAR - 2.0);
    let mut rows = String::new();
    for (stage, histogram) in &read {
        let _ = write!(rows, "<tr><td>{}</td>", escape(&stage.name));
        for quantile in [0.5, 0.9, 0.99, 0.999, 1.0] {
            let ns = histogram.value_at_quantile(quantile) as f64;
            let _ = write!(rows, "<td class=\"n\">{}</td>", number(ns, "ns"));
        }
        let [p50, p90, p99, p999] = [0.5, 0.9, 0.99, 0.999].map(|q| axis.at(at(histogram, q)));
        let _ = write!(
            rows,
            "<td class=\"n\">{}</td><td><svg class=\"whisker\" viewBox=\"0 0 {BAR} 16\">\
             <line class=\"far\" x1=\"{p99:.1}\" x2=\"{p999:.1}\" y1=\"8\" y2=\"8\"/>\
             <line class=\"span\" x1=\"{p90:.1}\" x2=\"{p99:.1}\" y1=\"8\" y2=\"8\"/>\
             <rect class=\"box\" x=\"{p50:.1}\" y=\"3\" width=\"{:.1}\" height=\"10\"/></svg></td>\
             </tr>",
            histogram.len(),
            (p90 - p50).max(2.0)
        );
    }
    let columns = [
        "stage",
        "n:p50",
        "n:p90",
        "n:p99",
        "n:p99.9",
        "n:max",
        "n:values",
        "p50 to p90, p99, p99.9",
    ];
    table(&columns, &rows)
}

/// What became of each thread's time.
pub(super) fn threads(measurement: &Measurement) -> String {
    let mut rows = String::new();
    for thread in &measurement.threads {
        let share = |ns: u64| 100.0 * ns as f64 / thread.wall_ns.max(1) as f64;
        let per_second = |count: u64| digits(count as f64 * 1e9 / thread.wall_ns.max(1) as f64);
        let busy =
            thread.busy_share.map_or_else(String::new, |busy| format!("{:.0} %", busy * 100.0));
        let _ = write!(
            rows,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{:.1} %</td>\
             <td class=\"n\">{busy}</td><td class=\"n\">{:.2} %</td>",
            escape(&thread.name),
            thread.cpu,
            share(thread.running_ns),
            share(thread.waiting_ns)
        );
        let counts = [
            thread.switches_involuntary,
            thread.switches_voluntary,
            thread.timer_interrupts,
            thread.tlb_shootdowns,
            thread.other_interrupts,
            thread.faults_minor,
            thread.faults_major,
        ];
        for count in counts {
            let _ = write!(rows, "<td class=\"n\">{}</td>", per_second(count));
        }
        rows += "</tr>";
    }
    let columns = [
        "thread",
        "n:CPU",
        "n:ran",
        "n:with work",
        "n:waited for CPU",
        "n:taken off /s",
        "n:gave up /s",
        "n:timer /s",
        "n:TLB /s",
        "n:other irq /s",
        "n:faults /s",
        "n:major /s",
    ];
    table(&columns, &rows)
}

/// Counters of a measurement, by name.
pub(super) fn counters(measurement: &Measurement) -> String {
    let mut rows = String::new();
    for (name, value) in &measurement.counters {
        let _ = write!(
            rows,
            "<tr><td>{}</td><td class=\"n\">{}</td></tr>",
            escape(name),
            digits(*value)
        );
    }
    table(&["counter", "n:value"], &rows)
}

/// What the machine was and did besides.
pub(super) fn machine(results: &Results) -> String {
    let machine = &results.machine;
    let cpus: Vec<String> = machine.cpus_allowed.iter().map(ToString::to_string).collect();
    let or = |text: &str, other: &str| if text.is_empty() { other } else { text }.to_owned();
    let facts = [
        ("CPU", or(&machine.cpu_model, "unknown")),
        ("CPUs", format!("{}, allowed: {}", machine.cpus, cpus.join(" "))),
        ("hypervisor", or(&machine.hypervisor, "none seen")),
        ("kernel", or(&machine.kernel, "unknown")),
        ("memory", number(machine.memory_bytes as f64, "bytes")),
        ("clock source", or(&machine.clocksource, "unknown")),
        ("governor", or(&machine.governor, "not shown")),
        ("isolation", or(&machine.isolation, "none")),
    ];
    let settings = machine.settings.iter().map(|(name, value)| (name.as_str(), value.clone()));
    let mut html = String::from("<dl class=\"facts\">");
    for (name, value) in facts.into_iter().chain(settings) {
        let _ = write!(html, "<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(&value));
    }
    html += "</dl>";
    let mut rows = String::new();
    for state in &results.states {
        for cpu in &state.cpus {
            let span = state.span_ns.max(1) as f64;
            let share = |ns: u64| format!("{:.2} %", 100.0 * ns as f64 / span);
            let per_second = |count: u64| digits((count as f64 * 1e9 / span).round());
            let (lost, gaps, longest) = cpu.spin.map_or_else(Default::default, |spin| {
                let wall = spin.wall_ns.max(1) as f64;
                let lost = format!("{:.2} %", 100.0 * spin.lost_ns as f64 / wall);
                (lost, digits(spin.gaps as f64), number(spin.max_ns as f64, "ns"))
            });
            let warn = if cpu.steal_ns as f64 > 0.01 * span { "n warn" } else { "n" };
            let _ = write!(
                rows,
                "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
                 <td class=\"n\">{}</td><td class=\"{warn}\">{}</td><td class=\"n\">{}</td>\
                 <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{lost}</td>\
                 <td class=\"n\">{gaps}</td><td class=\"n\">{longest}</td></tr>",
                escape(&state.when),
                digits(state.load),
                cpu.cpu,
                share(cpu.busy_ns),
                share(cpu.steal_ns),
                per_second(cpu.timer_interrupts),
                per_second(cpu.tlb_shootdowns),
                per_second(cpu.other_interrupts)
            );
        }
    }
    let columns = [
        "when",
        "n:load",
        "n:CPU",
        "n:busy",
        "n:stolen",
        "n:timer /s",
        "n:TLB /s",
        "n:other irq /s",
        "n:lost to gaps",
        "n:gaps > 1 us",
        "n:longest",
    ];
    html + &table(&columns, &rows)
}

/// A table; nothing if it has no rows. A column whose name begins with `n:` holds numbers.
pub(super) fn table(columns: &[&str], rows: &str) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut html = String::from("<div class=\"wide\"><table><thead><tr>");
    for column in columns {
        let (class, name) = match column.strip_prefix("n:") {
            Some(name) => (" class=\"n\"", name),
            None => ("", *column),
        };
        let _ = write!(html, "<th{class}>{}</th>", escape(name));
    }
    html + "</tr></thead><tbody>" + rows + "</tbody></table></div>"
}
