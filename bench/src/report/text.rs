//! Results as a terminal shows them.
//!
//! Invariant: no line is cut; names are as long as they are.

use std::fmt::Write;

use super::Run;
use super::format::{date, number};

const QUANTILES: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)];

/// The tables of a run: latencies, ratios, figures, and what could not be measured.
#[must_use]
pub fn table(run: &Run) -> String {
    let results = &run.results;
    let mut text = format!(
        "{}: {} of {}, {} ({} CPUs), Linux {}\n",
        run.name,
        results.benchmark,
        date(results.started_ns),
        results.machine.cpu_model,
        results.machine.cpus,
        results.machine.kernel
    );
    let width = results.measurements.iter().map(|m| m.name.len()).max().unwrap_or(0).max(11);
    latencies(run, width, &mut text);
    ratios(run, width, &mut text);
    figures(run, width, &mut text);
    for measurement in &results.measurements {
        if let Some(reason) = &measurement.unavailable {
            let _ = writeln!(text, "{:width$}  not measured: {reason}", measurement.name);
        }
    }
    text
}

fn latencies(run: &Run, width: usize, text: &mut String) {
    let mut is_first = true;
    for measurement in &run.results.measurements {
        let decoded = measurement.histogram.as_ref().and_then(|h| h.decode().ok());
        let Some(histogram) = decoded.filter(|histogram| !histogram.is_empty()) else { continue };
        if is_first {
            let _ = write!(text, "\n{:width$}{:>12}", "latency", "messages");
            for (name, _) in QUANTILES {
                let _ = write!(text, "{name:>10}");
            }
            let _ = writeln!(text, "{:>14}", "disturbed");
            is_first = false;
        }
        let _ = write!(text, "{:width$}{:>12}", measurement.name, histogram.len());
        for (_, quantile) in QUANTILES {
            let ns = histogram.value_at_quantile(quantile) as f64;
            let _ = write!(text, "{:>10}", number(ns, "ns"));
        }
        let intervals = measurement.intervals.len();
        let disturbed = measurement.intervals.iter().filter(|i| !i.disturbed.is_empty()).count();
        let _ = writeln!(text, "{:>14}", format!("{disturbed} of {intervals}"));
    }
}

fn ratios(run: &Run, width: usize, text: &mut String) {
    let mut is_first = true;
    for measurement in &run.results.measurements {
        for ratio in &measurement.ratios {
            if is_first {
                let _ = writeln!(
                    text,
                    "\n{:width$}  {:10}{:>8}{:>18}{:>7}  over",
                    "ratio", "", "", "interval", "pairs"
                );
                is_first = false;
            }
            let _ = writeln!(
                text,
                "{:width$}  {:10}{:>8.3}{:>18}{:>7}  {}",
                measurement.name,
                ratio.figure,
                ratio.value,
                format!("{:.3} to {:.3}", ratio.low, ratio.high),
                ratio.pairs,
                ratio.over
            );
        }
    }
}

fn figures(run: &Run, width: usize, text: &mut String) {
    let mut is_first = true;
    for measurement in &run.results.measurements {
        for figure in &measurement.figures {
            if is_first {
                text.push('\n');
                is_first = false;
            }
            let value = number(figure.value, &figure.unit);
            let _ = writeln!(text, "{:width$}  {:28}{value:>16}", measurement.name, figure.name);
        }
    }
}
