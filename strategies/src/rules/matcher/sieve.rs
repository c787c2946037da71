//! Which variables a row can be, as far as comparisons of single columns with known values tell.
//!
//! ```text
//! a: kind = 1    b: kind = 2 AND amount > a.amount    c: kind = 3 AND amount > b.amount
//! row ──kind──> 1: {a}   2: {b}   3: {c}   others: nothing, so the row is passed over
//! ```
//!
//! Invariant: a variable that is left out has a condition that the row does not fit, whatever else
//! is bound.

use corelane_feeds::record::StreamId;

use crate::rules::index::word_of;
use crate::rules::pattern::VarSet;
use crate::rules::plan::{Condition, Guard, Values};
use crate::rules::program::{Machine, Program};
use crate::rules::types::Value;

/// Values of a column beyond which they are searched for by halving.
const SCANNED_MAX: usize = 8;

/// The variables of rows of one stream.
#[derive(Debug)]
pub(super) struct Sieve {
    /// The stream; of a rule that reads one alone, any.
    stream: Option<StreamId>,
    /// Variables that no column tells of.
    always: VarSet,
    columns: Vec<Asked>,
}

/// What one column tells.
#[derive(Debug)]
struct Asked {
    guard: Guard,
    /// Values with the variables that have to have them, in order of the values.
    words: Vec<(u64, VarSet)>,
    /// Ranges, bounds included.
    ranges: Vec<(i64, i64, VarSet)>,
}

impl Asked {
    fn add(&mut self, values: &Values, var: VarSet) {
        match values {
            Values::OneOf(words) => {
                for &word in words {
                    match self.words.binary_search_by_key(&word, |(known, _)| *known) {
                        Ok(at) => self.words[at].1 = self.words[at].1.or(var),
                        Err(at) => self.words.insert(at, (word, var)),
                    }
                }
            }
            Values::Between(low, high) => self.ranges.push((*low, *high, var)),
        }
    }

    #[inline]
    fn of_word(&self, word: u64) -> VarSet {
        if self.words.len() > SCANNED_MAX {
            let at = self.words.binary_search_by_key(&word, |(known, _)| *known);
            return at.map_or(VarSet(0), |at| self.words[at].1);
        }
        let known = self.words.iter().find(|(known, _)| *known == word);
        known.map_or(VarSet(0), |(_, of)| *of)
    }
}

impl Sieve {
    /// One for each stream that conditions name.
    pub(super) fn all(conditions: &[Condition]) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for condition in conditions {
            if !all.iter().any(|sieve| sieve.stream == condition.stream) {
                let stream = condition.stream;
                all.push(Self { stream, always: VarSet(0), columns: Vec::new() });
            }
        }
        for (var, condition) in (0..).zip(conditions) {
            let var = VarSet::of(var);
            let sieve = all.iter_mut().find(|sieve| sieve.stream == condition.stream);
            let Some(sieve) = sieve else { continue };
            let Some(guard) = &condition.guard else {
                sieve.always = sieve.always.or(var);
                continue;
            };
            let is_same = |asked: &&mut Asked| asked.guard.column == guard.column;
            if let Some(asked) = sieve.columns.iter_mut().find(is_same) {
                asked.add(&guard.values, var);
                continue;
            }
            let (words, ranges) = (Vec::new(), Vec::new());
            let mut asked = Asked { guard: guard.clone(), words, ranges };
            asked.add(&guard.values, var);
            sieve.columns.push(asked);
        }
        all
    }

    #[inline]
    pub(super) fn is_of(&self, stream: StreamId) -> bool {
        self.stream.is_none_or(|own| own == stream)
    }

    /// The variables that a row can be.
    #[inline]
    pub(super) fn look(&self, machine: &mut Machine, row: &[u8]) -> VarSet {
        self.look_by(row, |program| program.run(machine, row, &[]))
    }

    /// The same before the row's turn and without a machine.
    #[inline]
    pub(super) fn peek(&self, row: &[u8]) -> VarSet {
        self.look_by(row, |program| program.column(row).flatten().unwrap_or(Value::NULL))
    }

    #[inline]
    fn look_by(&self, row: &[u8], mut value_of: impl FnMut(&Program) -> Value) -> VarSet {
        let mut vars = self.always;
        for asked in &self.columns {
            let value = value_of(&asked.guard.program);
            if !value.known {
                continue;
            }
            if !asked.words.is_empty() {
                vars = vars.or(asked.of_word(word_of(&asked.guard, value, row)));
            }
            if let (false, Some(value)) = (asked.ranges.is_empty(), value.as_int()) {
                for (low, high, of) in &asked.ranges {
                    if (*low..=*high).contains(&value) {
                        vars = vars.or(*of);
                    }
                }
            }
        }
        vars
    }
}
