//! The host doctor: looks at a machine as a latency engineer would, and says what to change.
//!
//! Every check is a row of a table: what is wanted, why, what it brings and who says so, and a
//! function that judges a [`Host`]. A host is sysfs and procfs below a root that tests replace by a
//! recorded one, and a [`Probe`] for what no file tells.
//!
//! [`tune`] then writes what can be written and brings it back.
//!
//! Invariant: looking changes nothing, a check never fails: what cannot be read is `unknown`, and
//! says why.

mod card;
mod clock;
mod cpus;
mod cpuset;
mod filesystem;
mod host;
mod io_uring;
mod isolation;
mod kernel;
mod memory;
mod network;
mod nic;
mod noise;
mod probe;
mod text;
pub mod tree;
pub mod tune;

use std::fmt;

use serde_json::{Map, Value, json};

pub use card::Card;
pub use cpuset::Cpus;
pub use host::{Host, Needs, Root};
pub use noise::{Noise, measure as spin_gaps};
pub use probe::{Live, Probe, Recorded};

/// How much a finding matters.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// As wanted.
    Ok,
    /// Worth knowing: a choice, or without effect here.
    Info,
    /// It could not be found out.
    Unknown,
    /// Costs latency now and then, or will when something else changes.
    Warn,
    /// Costs latency or loses data.
    Bad,
}

impl Severity {
    /// All of them, mildest first.
    pub const ALL: [Self; 5] = [Self::Ok, Self::Info, Self::Unknown, Self::Warn, Self::Bad];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Info => "info",
            Self::Unknown => "unknown",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// How to get from what is to what is wanted.
#[derive(Copy, Clone, Debug)]
pub enum Fix {
    /// `tuning/apply` sets these and `tuning/undo` sets them back.
    Apply(fn(&Host) -> Vec<(String, String)>),
    /// A boot parameter; `tuning/apply` prints it.
    Boot(&'static str),
    /// Something else.
    Hand(&'static str),
}

impl fmt::Display for Fix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apply(_) => f.write_str("tuning/apply"),
            Self::Boot(parameter) => write!(f, "boot with {parameter}"),
            Self::Hand(what) => f.write_str(what),
        }
    }
}

/// One row of the table.
#[derive(Debug)]
pub struct Check {
    /// Names it in JSON and in tests.
    pub id: &'static str,
    /// What is looked at.
    pub title: &'static str,
    /// What it should be.
    pub wanted: &'static str,
    /// What goes wrong otherwise.
    pub why: &'static str,
    /// What to expect of it.
    pub effect: &'static str,
    /// Who says so.
    pub source: &'static str,
    /// How to change it.
    pub fix: Fix,
    judge: fn(&Host) -> Verdict,
}

/// What a check found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// How much it matters.
    pub severity: Severity,
    /// What is, as far as it could be read.
    pub current: String,
}

impl Verdict {
    fn new(severity: Severity, current: impl Into<String>) -> Self {
        Self { severity, current: current.into() }
    }

    fn ok(current: impl Into<String>) -> Self {
        Self::new(Severity::Ok, current)
    }

    fn info(current: impl Into<String>) -> Self {
        Self::new(Severity::Info, current)
    }

    fn warn(current: impl Into<String>) -> Self {
        Self::new(Severity::Warn, current)
    }

    fn bad(current: impl Into<String>) -> Self {
        Self::new(Severity::Bad, current)
    }

    fn unknown(why: impl Into<String>) -> Self {
        Self::new(Severity::Unknown, why)
    }

    /// The worst of several, with all that they say; `none` if there are none.
    fn worst(verdicts: impl IntoIterator<Item = Self>, none: &str) -> Self {
        let verdicts: Vec<_> = verdicts.into_iter().collect();
        let Some(severity) = verdicts.iter().map(|verdict| verdict.severity).max() else {
            return Self::info(none);
        };
        let all: Vec<_> = verdicts.into_iter().map(|verdict| verdict.current).collect();
        Self::new(severity, all.join("; "))
    }
}

/// So that a judge can leave with `?` when there is nothing to judge by.
type Judged = Result<Verdict, Verdict>;

fn settle(judged: Judged) -> Verdict {
    judged.unwrap_or_else(|verdict| verdict)
}

/// Checks that belong together.
#[derive(Debug)]
pub struct Theme {
    /// Its heading.
    pub name: &'static str,
    /// Its checks.
    pub checks: &'static [Check],
}

/// All checks, in the order of the report.
pub const THEMES: &[Theme] = &[
    Theme { name: "isolation", checks: isolation::CHECKS },
    Theme { name: "cpus", checks: cpus::CHECKS },
    Theme { name: "memory", checks: memory::CHECKS },
    Theme { name: "clock", checks: clock::CHECKS },
    Theme { name: "kernel", checks: kernel::CHECKS },
    Theme { name: "network", checks: network::CHECKS },
    Theme { name: "nic", checks: nic::CHECKS },
    Theme { name: "io_uring", checks: io_uring::CHECKS },
    Theme { name: "journal", checks: filesystem::CHECKS },
    Theme { name: "noise", checks: noise::CHECKS },
];

/// A check with what it found.
#[derive(Debug)]
pub struct Finding {
    /// The heading that it stands under.
    pub theme: &'static str,
    /// The check.
    pub check: &'static Check,
    /// What it found.
    pub verdict: Verdict,
}

/// All findings about one host.
#[derive(Debug)]
pub struct Report {
    /// What machine it is, one fact a line.
    pub about: Vec<(&'static str, String)>,
    /// Hot cores, as they were judged.
    pub hot: Cpus,
    /// The arguments that say the same to `tuning/apply`.
    pub args: String,
    /// One per check, in the order of [`THEMES`].
    pub findings: Vec<Finding>,
}

/// Runs the checks of these ids; of none, every check.
#[must_use]
pub fn examine(host: &Host, only: &[String]) -> Report {
    let mut findings = Vec::new();
    let is_wanted = |check: &Check| only.is_empty() || only.iter().any(|id| id == check.id);
    for theme in THEMES {
        for check in theme.checks.iter().filter(|check| is_wanted(check)) {
            findings.push(Finding { theme: theme.name, check, verdict: (check.judge)(host) });
        }
    }
    let (hot, args) = (host.needs.hot.clone(), host.needs.args.clone());
    Report { about: host.about(), hot, args, findings }
}

impl Report {
    /// How many findings are so severe.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.verdict.severity == severity).count()
    }

    /// The finding of a check.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.check.id == id)
    }

    /// The report as a document.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let host = self.about.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
        let counts = Severity::ALL.iter().rev();
        let counts =
            counts.map(|&severity| (severity.word().to_owned(), json!(self.count(severity))));
        let checks = self.findings.iter().map(|Finding { theme, check, verdict }| {
            json!({
                "id": check.id,
                "theme": theme,
                "title": check.title,
                "severity": verdict.severity.word(),
                "current": verdict.current,
                "wanted": check.wanted,
                "why": check.why,
                "effect": check.effect,
                "source": check.source,
                "fix": check.fix.to_string(),
            })
        });
        json!({
            "host": host.collect::<Map<_, _>>(),
            "counts": counts.collect::<Map<_, _>>(),
            "checks": checks.collect::<Vec<_>>(),
        })
    }
}
