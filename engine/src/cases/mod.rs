//! Rules on small recorded cases: records in, actions expected. What `corelane test` runs.
//!
//! ```text
//! cases.toml, cases.jsonl ──read──> cases ──run: decoders, order books, rules──> actions ──> diff
//! ```
//!
//! All records of a case come by one feed, in the order in which they stand there; that feed's time
//! is the greatest so far, as of any feed. Nothing is sent and nothing is journalled.
//!
//! Invariant: a case file is read whole or refused with file and line; a case begins with rules
//! that have seen nothing, and every action that rules take is either expected or told.

mod read;
mod run;
mod value;

use std::fmt;

use serde_json::{Map, Value};

pub use run::run;

use crate::cli::exit::Failure;

/// A case: what comes, and what it has to lead to.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What it is called.
    pub name: String,
    /// Where it stands in its file.
    pub line: usize,
    /// From when times in `at` and `tick` count, nanoseconds since the epoch.
    pub start_ns: u64,
    /// What comes, in order.
    pub inputs: Vec<Input>,
    /// The actions that it leads to, in order.
    pub expected: Vec<Expected>,
}

/// One thing that comes.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Where it stands.
    pub line: usize,
    /// When, after the case's start; a record can have its time among its columns instead.
    pub at_ns: Option<u64>,
    /// What.
    pub what: What,
}

/// What comes.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A record of a stream, with these columns.
    Record(String, Map<String, Value>),
    /// Time goes on.
    Tick,
}

/// An action that is expected.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// Where it stands.
    pub line: usize,
    /// Its name.
    pub action: String,
    /// The rule that takes it, if that is said.
    pub rule: Option<String>,
    /// The columns that are compared, with their values.
    pub columns: Map<String, Value>,
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The case's name.
    pub name: String,
    /// Where it stands.
    pub line: usize,
    /// Expected and found side by side: empty if all is as it should be.
    pub diff: Vec<Difference>,
}

impl Outcome {
    /// Whether the actions were those that were expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.diff.iter().all(|difference| matches!(difference, Difference::Same(_)))
    }
}

/// A line of a diff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Expected and found.
    Same(String),
    /// Expected and not found.
    Missing(String),
    /// Found and not expected.
    Unexpected(String),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same(text) => write!(f, "    {text}"),
            Self::Missing(text) => write!(f, "  - {text}"),
            Self::Unexpected(text) => write!(f, "  + {text}"),
        }
    }
}

/// Reads the cases of a file's text; `path` names it in messages. What ends in `.toml` is TOML,
/// anything else a JSON object a line.
///
/// # Errors
/// If the text is no such file: with file and line.
pub fn read(path: &str, text: &str) -> Result<Vec<Case>, Failure> {
    if path.ends_with(".toml") { read::toml(path, text) } else { read::lines(path, text) }
}

fn wrong(path: &str, line: usize, what: impl fmt::Display) -> Failure {
    Failure::bad_data(format!("{path}:{line}: {what}"))
}

#[cfg(test)]
mod tests;
