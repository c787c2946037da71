//! Counts of gates against the baseline that is kept in the repository.
//!
//! ```text
//! gungraun --output-format=json ──> Counts ─┐
//! gates/baseline.toml ───> Baseline ────────┴──> Verdict: grown, shrunk, missing
//! ```
//!
//! Invariant: a baseline of another compiler is compared with, but judges nothing: another compiler
//! makes other instructions of the same text.
//!
//! ```
//! use corelane_bench::gates::verdict::{Baseline, Counts};
//! let base = Baseline::of("1.95.0", "3.24.0", Counts::from([("ring_hop", 100.0)]));
//! assert_eq!(Baseline::parse(&base.to_text()).unwrap(), base);
//! let now = Counts::from([("ring_hop", 104.0)]);
//! assert!(base.judge(&now).iter().any(|verdict| verdict.fails()));
//! ```

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::{GATES, find};

/// A gate fails when it takes this much more than its baseline.
pub const GROWTH_MAX: f64 = 0.03;
/// A gate that takes this much less should have its baseline lowered.
const SHRUNK: f64 = 0.03;

/// Instructions per operation, by gate.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Counts(BTreeMap<String, f64>);

impl<const N: usize> From<[(&str, f64); N]> for Counts {
    fn from(counts: [(&str, f64); N]) -> Self {
        Self(counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect())
    }
}

impl Counts {
    /// From what gungraun prints with `--output-format=json`: one document per line.
    ///
    /// # Errors
    /// If a document is not of a gate, or has no count of instructions.
    pub fn parse_gungraun(text: &str) -> anyhow::Result<Self> {
        let mut counts = BTreeMap::new();
        for line in text.lines().filter(|line| line.starts_with('{')) {
            let document: Value = serde_json::from_str(line)?;
            let name = document["id"].as_str().context("a result without an id")?;
            let gate = find(name).with_context(|| format!("{name} is no gate"))?;
            let total = &document["profiles"][0]["data"]["total"]["metrics"]["Ir"];
            let count = newest(total).with_context(|| format!("no instructions of {name}"))?;
            ensure!(count > 0, "{name} took no instructions");
            counts.insert(name.to_owned(), count as f64 / gate.operations as f64);
        }
        ensure!(!counts.is_empty(), "no results");
        Ok(Self(counts))
    }

    /// The count of a gate.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }
}

/// The count of this run, wherever it stands between the layers that tell it from an earlier one.
fn newest(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::Object(object) => match object.get("new") {
            Some(new) => newest(new),
            None => object.values().find_map(newest),
        },
        _ => None,
    }
}

/// What gates took when the baseline was last moved, and by which tools.
#[derive(Clone, PartialEq, Debug)]
pub struct Baseline {
    /// The compiler's version.
    pub rustc: String,
    /// Valgrind's version.
    pub valgrind: String,
    counts: Counts,
}

/// What is said of one gate.
#[derive(Clone, PartialEq, Debug)]
pub enum Verdict {
    /// As before: instructions now, and over the baseline.
    Same(&'static str, f64, f64),
    /// It takes more than it may.
    Grown(&'static str, f64, f64),
    /// It takes less; the baseline should follow.
    Shrunk(&'static str, f64, f64),
    /// It was not counted.
    NotCounted(&'static str),
    /// The baseline does not have it.
    NoBaseline(&'static str, f64),
    /// The baseline has it, but there is no such gate.
    Gone(String),
}

impl Verdict {
    /// Whether the change must not go in as it is.
    #[must_use]
    pub const fn fails(&self) -> bool {
        !matches!(self, Self::Same(..) | Self::Shrunk(..))
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Same(name, now, ratio) => {
                write!(f, "{name:32}{now:>12.1}{ratio:>10.3}")
            }
            Self::Grown(name, now, ratio) => {
                write!(f, "{name:32}{now:>12.1}{ratio:>10.3}  GROWN: more than {GROWTH_MAX} above")
            }
            Self::Shrunk(name, now, ratio) => {
                write!(f, "{name:32}{now:>12.1}{ratio:>10.3}  less: lower the baseline (--update)")
            }
            Self::NotCounted(name) => write!(f, "{name:32}{:>12}  NOT COUNTED", ""),
            Self::NoBaseline(name, now) => {
                write!(f, "{name:32}{now:>12.1}{:>10}  NO BASELINE: add it (--update)", "")
            }
            Self::Gone(name) => {
                write!(f, "{name:32}{:>12}  NO SUCH GATE: take it out (--update)", "")
            }
        }
    }
}

impl Baseline {
    /// A baseline of these counts, made by these tools.
    #[must_use]
    pub fn of(rustc: &str, valgrind: &str, counts: Counts) -> Self {
        Self { rustc: rustc.to_owned(), valgrind: valgrind.to_owned(), counts }
    }

    /// From a file's text.
    ///
    /// # Errors
    /// If it is not as [`Baseline::to_text`] writes it.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let (mut rustc, mut valgrind, mut counts) = (None, None, BTreeMap::new());
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', '[']) {
                continue;
            }
            let (name, value) = line.split_once('=').with_context(|| format!("no `=`: {line}"))?;
            let (name, value) = (name.trim(), value.trim());
            let text = value.trim_matches('"');
            match name {
                "rustc" => rustc = Some(text.to_owned()),
                "valgrind" => valgrind = Some(text.to_owned()),
                _ => {
                    let count = value.parse().with_context(|| format!("no number: {line}"))?;
                    if counts.insert(name.to_owned(), count).is_some() {
                        bail!("{name} stands there twice");
                    }
                }
            }
        }
        Ok(Self {
            rustc: rustc.context("no `rustc`")?,
            valgrind: valgrind.context("no `valgrind`")?,
            counts: Counts(counts),
        })
    }

    /// As a file, gates in their order.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "# Instructions per operation of every gate. Written by `scripts/bench --update`; a\n\
             # change that moves a figure up says why in the same commit.\n\
             rustc = \"{}\"\nvalgrind = \"{}\"\n\n[instructions]\n",
            self.rustc, self.valgrind
        );
        for gate in GATES {
            if let Some(count) = self.counts.get(gate.name) {
                let _ = writeln!(text, "{} = {count:.3}", gate.name);
            }
        }
        text
    }

    /// Compares counts with the baseline, gate by gate.
    #[must_use]
    pub fn judge(&self, counts: &Counts) -> Vec<Verdict> {
        let mut verdicts: Vec<Verdict> = GATES
            .iter()
            .filter_map(|gate| {
                let (now, base) = (counts.get(gate.name), self.counts.get(gate.name));
                match (now, base) {
                    (Some(now), Some(base)) => Some(verdict(gate.name, now, base)),
                    (Some(now), None) => Some(Verdict::NoBaseline(gate.name, now)),
                    (None, Some(_)) => Some(Verdict::NotCounted(gate.name)),
                    (None, None) => None,
                }
            })
            .collect();
        let gone = self.counts.0.keys().filter(|name| find(name).is_none());
        verdicts.extend(gone.map(|name| Verdict::Gone(name.clone())));
        verdicts
    }
}

fn verdict(name: &'static str, now: f64, base: f64) -> Verdict {
    let ratio = now / base;
    if ratio > 1.0 + GROWTH_MAX {
        Verdict::Grown(name, now, ratio)
    } else if ratio < 1.0 - SHRUNK {
        Verdict::Shrunk(name, now, ratio)
    } else {
        Verdict::Same(name, now, ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_told_apart() {
        let base = Counts::from([("ring_hop", 100.0), ("book_add", 50.0), ("rule_hop", 80.0)]);
        let mut base = Baseline::of("1.95.0", "3.24.0", base);
        base.counts.0.insert("gone".to_owned(), 1.0);
        let now = [("ring_hop", 102.9), ("book_add", 51.6), ("path_all", 7.0)];
        let verdicts = base.judge(&Counts::from(now));
        let fails: Vec<bool> = verdicts.iter().map(Verdict::fails).collect();
        assert_eq!(fails, [false, true, true, true, true], "{verdicts:?}");
        assert!(matches!(verdicts[1], Verdict::Grown("book_add", ..)));
        assert!(matches!(verdicts[2], Verdict::NotCounted("rule_hop")));
        assert!(matches!(verdicts[3], Verdict::NoBaseline("path_all", _)));
        assert!(matches!(&verdicts[4], Verdict::Gone(name) if name == "gone"));
        let less = base.judge(&Counts::from([("ring_hop", 90.0)]));
        assert!(matches!(less[0], Verdict::Shrunk(..)) && !less[0].fails());
    }

    #[test]
    fn a_baseline_that_is_not_understood_is_refused() {
        let no_tools = "ring_hop = 5";
        let no_number = "rustc = \"1\"\nvalgrind = \"3\"\nring_hop = five";
        let twice = "rustc = \"1\"\nvalgrind = \"3\"\nring_hop = 5\nring_hop = 6";
        for text in ["", no_tools, no_number, twice, "ring_hop"] {
            assert!(Baseline::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_kept_baseline_has_every_gate() {
        let kept = Baseline::parse(include_str!("../../gates/baseline.toml")).unwrap();
        for gate in GATES {
            assert!(kept.counts.get(gate.name).is_some(), "{} has no baseline", gate.name);
        }
        assert_eq!(kept.counts.0.len(), GATES.len());
    }
}
