//! What a row pattern is and what it is allowed: the input of the engine, made by the compiler.
//!
//! Invariant: a specification that [`super::Patterns::new`] accepts runs within its bounds.

use super::rows::{Match, Rows};

/// Pattern variables at most.
pub const VARS_MAX: usize = 64;

/// A set of pattern variables: one of them, a SUBSET, or all.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct VarSet(pub u64);

impl VarSet {
    /// The universal row pattern variable: every row of a match.
    pub const ALL: Self = Self(u64::MAX);

    /// A variable alone; nothing for a number that no variable has.
    #[must_use]
    pub const fn of(var: u8) -> Self {
        if var as usize >= VARS_MAX { Self(0) } else { Self(1 << var) }
    }

    /// Both.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it has the variable.
    #[inline]
    #[must_use]
    pub const fn has(self, var: u8) -> bool {
        (var as usize) < VARS_MAX && self.0 >> var & 1 == 1
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What may lie between a row and the next one bound.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum GapMode {
    /// Nothing: the next row or none. MATCH_RECOGNIZE, and `,`.
    #[default]
    Strict,
    /// Rows that do not fit; the first one that fits is taken: `->`.
    Next,
    /// Any rows: every one that fits is taken and, in another thread, left: `-> EVERY`.
    Any,
}

/// How the next row bound is found. The default is adjacency.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Gap {
    /// What may lie between.
    pub mode: GapMode,
    /// A row that fits one of these ends the thread, even if it is also the one waited for:
    /// `NOT p` between two steps, and UNTIL in a loop.
    pub unless: VarSet,
    /// The same, for the first row after the last one bound only: not directly followed by.
    pub unless_first: VarSet,
    /// A row that fits one of these and not what is waited for ends the thread: another one takes
    /// it, and the first row that fits either is taken.
    pub yields: VarSet,
    /// The wait counts as begun when the one before it did: parts in any order begin together.
    pub goes_on: bool,
}

/// A row pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Node {
    /// A row that fits a variable.
    Var(u8),
    /// One after the other.
    Concat(Vec<Node>),
    /// One of them, the first preferred.
    Alt(Vec<Node>),
    /// A quantifier. Iterations above `min` may not be empty.
    Repeat {
        /// What is repeated.
        node: Box<Node>,
        /// Times at least.
        min: u32,
        /// Times at most.
        max: Option<u32>,
        /// Prefers more to fewer.
        greedy: bool,
    },
    /// Each of them once, in any order; orders are preferred as in a dictionary.
    Permute(Vec<Node>),
    /// `^`: before the first row of the key.
    Start,
    /// `$`: after the last row of the key.
    End,
    /// `{- -}`: matched, but marked as no row for the output.
    Exclude(Box<Node>),
    /// `()`.
    Empty,
    /// With [`Start::Again`], the next attempt begins when one has come here and not when it has
    /// ended: `EVERY (a -> b) -> c`. Stands once, between parts of the whole pattern.
    Anew,
    /// It has to be complete before so long a time is over, from when it begins to be waited for:
    /// a way that is not is none. Of no other time than its own.
    Within {
        /// What has to be.
        node: Box<Node>,
        /// How long, nanoseconds.
        ns: u64,
    },
    /// It begins again, from what was bound before it, whenever it has been complete, and when it
    /// cannot be any more: `a -> EVERY (b -> c)`. What follows goes on once for each time. With
    /// [`Mode::All`] alone.
    Every(Box<Node>),
    /// The first way through it to be complete ends the others.
    First(Box<Node>),
    /// How the next variable that follows finds its row. It holds for that row only.
    Gap(Gap),
    /// No row that fits `unless` for so long, counted from when the wait begins; without a time,
    /// until the deadline of WITHIN. It binds nothing.
    Absent {
        /// What must not come.
        unless: VarSet,
        /// For how long.
        for_ns: Option<u64>,
    },
}

impl Node {
    /// Itself, greedily, so many times.
    #[must_use]
    pub fn repeat(self, min: u32, max: Option<u32>) -> Self {
        Self::Repeat { node: Box::new(self), min, max, greedy: true }
    }
}

/// Where the search goes on after a match.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Skip {
    /// At the row after its last one.
    #[default]
    PastLastRow,
    /// At the row after its first one.
    ToNextRow,
    /// At its first row of these variables.
    ToFirst(VarSet),
    /// At its last row of these variables. SKIP TO a bare variable is this.
    ToLast(VarSet),
}

/// Which of the ways to match from a start are reported, and when.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// SQL: the most preferred one, as soon as no better one can come.
    #[default]
    Preferred,
    /// The shorthand: the one that is complete first.
    First,
    /// Every one, each when it is complete. Skip has to be to the next row.
    All,
}

/// When attempts begin.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Start {
    /// At every row: SQL, and `EVERY a -> b`.
    #[default]
    EveryRow,
    /// One at a time, the next when the last has ended: `EVERY (a -> b)`.
    Again,
    /// One, ever: no EVERY. The key is kept.
    Once,
    /// One at a time, until the first match. The key is kept.
    UntilMatch,
}

/// A row pattern with its bounds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spec {
    /// The pattern.
    pub pattern: Node,
    /// How many variables there are; `pattern` names those below.
    pub vars: usize,
    /// Variables whose condition looks at its row and at neighbours in the input ([`Rows::prev`],
    /// [`Rows::next`] from the current row) alone. They are tested once per row.
    pub independent: VarSet,
    /// Where to go on after a match.
    pub skip: Skip,
    /// What is reported.
    pub mode: Mode,
    /// When attempts begin.
    pub start: Start,
    /// The time from the first row to the last must be less than this.
    pub within_ns: Option<u64>,
    /// A row that fits one of these ends every attempt of its key: ABSENT.
    pub poison: VarSet,
    /// Empty matches are reported. They take a match number either way.
    pub show_empty: bool,
    /// Rows that are in no match are reported: WITH UNMATCHED ROWS.
    pub show_unmatched: bool,
    /// Partial matches that WITHIN ended are reported.
    pub show_timeouts: bool,
    /// Match numbers are looked at: keys are then kept while there is room for them.
    pub numbered: bool,
    /// Rows before the first of a match that conditions and measures look at (PREV).
    pub prev_rows: usize,
    /// Rows after the current one that they look at (NEXT). Everything is that many rows late.
    pub next_rows: usize,
    /// Words of a key.
    pub key_words: usize,
    /// Words of a row that conditions of later rows and measures look at.
    pub row_words: usize,
    /// Keys at most. One more drops one that was not touched for long.
    pub keys_max: usize,
    /// Partial matches of a key at most. More drop its oldest attempt.
    pub runs_max: usize,
    /// Partial matches of all keys at most. More drop the oldest attempt of all.
    pub runs_total_max: usize,
    /// Rows that partial matches of all keys hold at most. More drop the oldest attempt of all.
    pub rows_max: usize,
}

impl Spec {
    /// A pattern as MATCH_RECOGNIZE has it by default, without a key, one word per row, and with
    /// room for small inputs.
    #[must_use]
    pub fn new(pattern: Node, vars: usize) -> Self {
        Self {
            pattern,
            vars,
            independent: VarSet(0),
            skip: Skip::PastLastRow,
            mode: Mode::Preferred,
            start: Start::EveryRow,
            within_ns: None,
            poison: VarSet(0),
            show_empty: true,
            show_unmatched: false,
            show_timeouts: false,
            numbered: true,
            prev_rows: 1,
            next_rows: 0,
            key_words: 0,
            row_words: 1,
            keys_max: 1,
            runs_max: 256,
            runs_total_max: 1_024,
            rows_max: 4_096,
        }
    }
}

/// What the engine asks and tells whoever runs it: the compiled rule.
pub trait Host {
    /// Whether the condition of `var` holds for [`Rows::current`], which is already counted among
    /// the rows of `var`.
    fn matches(&mut self, var: u8, rows: &Rows<'_>) -> bool;

    /// Takes a match, an unmatched row or a timed-out partial match.
    fn emit(&mut self, found: &Match<'_>);

    /// It takes no more for now: [`Patterns::advance`](super::Patterns::advance) stops.
    fn is_full(&self) -> bool {
        false
    }
}

/// Why a specification cannot run.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SpecError {
    /// A variable number without a variable, or more than [`VARS_MAX`] of them.
    #[error("no pattern variable has number {var}")]
    Var {
        /// Which.
        var: u8,
    },
    /// `{n,m}` with m below n, or `{0,0}`.
    #[error("quantifier {{{min},{max}}} allows nothing")]
    Quantifier {
        /// Times at least.
        min: u32,
        /// Times at most.
        max: u32,
    },
    /// The pattern has too many positions or ways between them.
    #[error("the pattern is too large: more than {max} {what}")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// How many may be.
        max: usize,
    },
    /// SKIP TO a variable that every match can only begin with: no search would ever go on.
    #[error("skipping to the first row of the match would find the same match again")]
    SkipToStart,
    /// SKIP TO a variable that the pattern does not have.
    #[error("the search is to skip to a variable that the pattern does not have")]
    SkipTarget,
    /// All matches are reported, yet the search is to skip some.
    #[error("all matches are reported: the search can only skip to the next row")]
    SkipAll,
    /// [`Node::Every`] where not every way is reported, or of what can be complete at once.
    #[error("EVERY needs rows or times to repeat, and every match told")]
    Every,
    /// Absence until the deadline of WITHIN, and there is none.
    #[error("absence without a time needs WITHIN")]
    NoDeadline,
    /// Every row begins an attempt, yet the pattern begins with an absence or a limit of time.
    #[error("a pattern that begins with an absence or a time cannot begin at every row")]
    AbsentStart,
    /// A bound, or a time, that is zero or more than memory can be addressed for.
    #[error("{what} is out of range")]
    Bound {
        /// Which.
        what: &'static str,
    },
}
