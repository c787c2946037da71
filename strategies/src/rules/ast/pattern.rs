//! Row patterns as they are written: MATCH_RECOGNIZE, and MATCH of a rule.
//!
//! Invariant: as in the parent module; a pattern's parts name variables, whose conditions are in
//! its [`Define`]s.

use std::ops::Range;

use sqlparser::ast::Expr;

use super::{Call, Name, RuleOption};
use crate::rules::pattern::{GapMode, Start};

/// A part of a pattern.
#[derive(Clone, Debug)]
pub(in crate::rules) enum Part {
    /// A row of a variable.
    Var(Name),
    /// One after the other.
    Sequence(Vec<Part>),
    /// One of them.
    Either(Vec<Part>),
    /// A quantifier.
    Repeat {
        /// What is repeated.
        part: Box<Part>,
        /// Times at least.
        min: u32,
        /// Times at most.
        max: Option<u32>,
        /// Prefers more to fewer.
        greedy: bool,
    },
    /// Each of them, in any order.
    Permute(Vec<Part>),
    /// `^`
    Start,
    /// `$`
    End,
    /// `{- -}`
    Exclude(Box<Part>),
    /// `()`
    Empty,
    /// The next attempt begins when one has come here.
    Anew,
    /// A part that has to be complete in so long, nanoseconds, from when it is waited for.
    Within(Box<Part>, u64),
    /// A part that begins again when it is complete, and when it cannot be any more.
    Every(Box<Part>),
    /// A part of which the first way to be complete ends the others.
    First(Box<Part>),
    /// How the next row is found.
    Gap {
        /// What may lie between.
        mode: GapMode,
        /// What may not come until then.
        unless: Vec<Name>,
        /// What may not come directly.
        unless_first: Vec<Name>,
        /// What another part of the pattern takes if it comes first.
        yields: Vec<Name>,
        /// The wait counts as begun when the one before it did.
        goes_on: bool,
    },
    /// A time without a row of the variable; without a time until WITHIN is over.
    Absent {
        /// What must not come.
        var: Name,
        /// For how long, nanoseconds.
        for_ns: Option<u64>,
        /// What must not come either: more of the loop that it ends.
        others: Vec<Name>,
    },
}

/// A variable's condition.
#[derive(Clone, Debug)]
pub(in crate::rules) struct Define {
    /// The variable.
    pub(in crate::rules) var: Name,
    /// The stream whose rows can be it, if it says so.
    pub(in crate::rules) stream: Option<Name>,
    /// Its condition; every row fits without one.
    pub(in crate::rules) condition: Option<Expr>,
}

/// AFTER MATCH SKIP.
#[derive(Clone, Debug, Default)]
pub(in crate::rules) enum SkipTo {
    /// PAST LAST ROW
    #[default]
    PastLastRow,
    /// TO NEXT ROW
    NextRow,
    /// TO FIRST variable
    First(Name),
    /// TO LAST variable, and TO variable
    Last(Name),
}

/// A pattern with what goes with it.
#[derive(Clone, Debug)]
pub(in crate::rules) struct Pattern {
    /// Where it stands.
    pub(in crate::rules) span: Range<usize>,
    /// What it is.
    pub(in crate::rules) part: Part,
    /// Conditions of variables.
    pub(in crate::rules) defines: Vec<Define>,
    /// Names of several variables.
    pub(in crate::rules) subsets: Vec<(Name, Vec<Name>)>,
    /// WITHIN, nanoseconds.
    pub(in crate::rules) within_ns: Option<u64>,
    /// Where the search goes on.
    pub(in crate::rules) skip: SkipTo,
}

/// Which rows there are for a match.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::rules) enum RowsPerMatch {
    /// ONE ROW PER MATCH
    #[default]
    One,
    /// ALL ROWS PER MATCH
    All {
        /// SHOW EMPTY MATCHES, unless OMIT.
        empty: bool,
        /// WITH UNMATCHED ROWS
        unmatched: bool,
    },
}

/// `INSERT INTO ... SELECT ... FROM stream MATCH_RECOGNIZE (...)`.
#[derive(Clone, Debug)]
pub(in crate::rules) struct InsertMatch {
    /// Its name: `insert_1` and so on.
    pub(in crate::rules) name: Name,
    /// The action, or the stream.
    pub(in crate::rules) action: Name,
    /// Its columns; all of them in order if empty.
    pub(in crate::rules) columns: Vec<Name>,
    /// What each column becomes; `None` is `*`.
    pub(in crate::rules) select: Option<Vec<Expr>>,
    /// The stream it looks at.
    pub(in crate::rules) stream: Name,
    /// Another name for the stream.
    pub(in crate::rules) alias: Option<Name>,
    /// PARTITION BY
    pub(in crate::rules) partition: Vec<Expr>,
    /// ORDER BY: the event time, and what orders rows of one time, each with whether it descends.
    pub(in crate::rules) order: Vec<(Expr, bool)>,
    /// MEASURES
    pub(in crate::rules) measures: Vec<(Expr, Name)>,
    /// Which rows there are for a match.
    pub(in crate::rules) rows: RowsPerMatch,
    /// The pattern.
    pub(in crate::rules) pattern: Pattern,
    /// A name for the result.
    pub(in crate::rules) result: Option<Name>,
    /// WHERE, over the result.
    pub(in crate::rules) filter: Option<Expr>,
    /// `WITH (...)`.
    pub(in crate::rules) options: Vec<RuleOption>,
}

/// `CREATE RULE name ... ON streams PARTITION BY keys MATCH ... THEN actions`.
#[derive(Clone, Debug)]
pub(in crate::rules) struct MatchRule {
    /// Its name.
    pub(in crate::rules) name: Name,
    /// `WITH (...)`.
    pub(in crate::rules) options: Vec<RuleOption>,
    /// The streams it looks at, each with another name for it.
    pub(in crate::rules) streams: Vec<(Name, Option<Name>)>,
    /// What tells keys apart.
    pub(in crate::rules) partition: Vec<Expr>,
    /// The pattern.
    pub(in crate::rules) pattern: Pattern,
    /// When attempts begin.
    pub(in crate::rules) start: Start,
    /// Every way to match is reported: `-> EVERY`.
    pub(in crate::rules) all: bool,
    /// ABSENT: what ends every attempt.
    pub(in crate::rules) poison: Vec<Name>,
    /// What it does then.
    pub(in crate::rules) then: Vec<Call>,
}
