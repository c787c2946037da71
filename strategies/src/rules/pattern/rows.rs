//! What conditions and measures see: the rows bound so far, forwards, backwards and by variable.
//!
//! Invariant: looking changes nothing; a row that is not there is `None`.

use super::arena::{Arena, NO_VAR, NONE};
use super::spec::VarSet;

/// A row of a match, or next to one.
#[derive(Copy, Clone, Debug)]
pub struct RowRef<'a> {
    /// The words given to [`super::Patterns::push`], the first `row_words` of them; of the row at
    /// hand all.
    pub words: &'a [u64],
    /// Its time.
    pub ts: u64,
    /// Its number among the rows of its key.
    pub seq: u64,
    /// Its variable, the classifier; `None` outside the match.
    pub var: Option<u8>,
    /// Matched within `{- -}`: it counts, but is no output.
    pub excluded: bool,
    link: Place,
}

/// Where a row stands.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Place {
    /// In the chain, or before it.
    Bound(u32),
    /// It is the row that is being tested.
    Tested,
    /// After the row at hand.
    Ahead(u32),
}

/// The row that is being tested, not yet in the arena.
#[derive(Copy, Clone)]
pub(super) struct Tested<'a> {
    pub(super) var: u8,
    pub(super) ts: u64,
    pub(super) seq: u64,
    pub(super) words: &'a [u64],
}

/// Rows bound so far, in order; while a condition is tested, with the row at hand as the last.
#[derive(Copy, Clone)]
pub struct Rows<'a> {
    pub(super) arena: &'a Arena,
    /// The last row bound that is looked at.
    pub(super) tip: u32,
    /// The last row bound.
    pub(super) end: u32,
    pub(super) tested: Option<Tested<'a>>,
    /// A chain of the rows after the last one, the nearest first.
    pub(super) ahead: u32,
}

const NO_WORDS: &[u64] = &[];

impl<'a> Rows<'a> {
    fn bound(&self, at: u32) -> Option<RowRef<'a>> {
        let link = self.arena.links.get(at as usize)?;
        Some(self.of_row(link.row, link.var, link.excluded, Place::Bound(at)))
    }

    fn of_row(&self, row: u32, var: u8, excluded: bool, place: Place) -> RowRef<'a> {
        let head = &self.arena.rows[row as usize];
        RowRef {
            words: self.arena.words(row),
            ts: head.ts,
            seq: head.seq,
            var: (var != NO_VAR).then_some(var),
            excluded,
            link: place,
        }
    }

    fn tested(&self) -> Option<RowRef<'a>> {
        self.tested.map(|row| RowRef {
            words: row.words,
            ts: row.ts,
            seq: row.seq,
            var: Some(row.var),
            excluded: false,
            link: Place::Tested,
        })
    }

    /// The row at hand: the one being tested, or the last one of the match. Without any, one
    /// without words.
    #[inline]
    #[must_use]
    pub fn current(&self) -> RowRef<'a> {
        let nothing = RowRef {
            words: NO_WORDS,
            ts: 0,
            seq: 0,
            var: None,
            excluded: false,
            link: Place::Bound(NONE),
        };
        let last = Some(self.tip).filter(|&tip| self.arena.is_bound(tip));
        self.tested().or_else(|| self.bound(last?)).unwrap_or(nothing)
    }

    /// Links of the match from the last to the first.
    fn links(&self) -> impl Iterator<Item = u32> + use<'a> {
        let arena = self.arena;
        let bound = move |at: &u32| arena.is_bound(*at);
        let tip = Some(self.tip).filter(bound);
        std::iter::successors(tip, move |&at| Some(arena.links[at as usize].parent).filter(bound))
    }

    /// The rows of some variables, from the last to the first.
    pub fn backwards(&self, of: VarSet) -> impl Iterator<Item = RowRef<'a>> + use<'a> {
        let rows = *self;
        let tested = self.tested().filter(|row| row.var.is_some_and(|var| of.has(var)));
        let links = self.links().filter(move |&at| of.has(rows.arena.links[at as usize].var));
        tested.into_iter().chain(links.filter_map(move |at| rows.bound(at)))
    }

    /// LAST(x, n): the n-th row of some variables from the last, 0 being the last.
    #[must_use]
    pub fn last(&self, of: VarSet, n: usize) -> Option<RowRef<'a>> {
        self.backwards(of).nth(n)
    }

    /// FIRST(x, n): the n-th row of some variables from the first, 0 being the first.
    #[must_use]
    pub fn first(&self, of: VarSet, n: usize) -> Option<RowRef<'a>> {
        if n == 0 {
            let head = self.arena.links.get(self.tip as usize).map(|tip| tip.head);
            let head = head.and_then(|at| self.bound(at));
            if head.is_some_and(|row| row.var.is_some_and(|var| of.has(var))) {
                return head;
            }
            return self.backwards(of).last();
        }
        let count = self.count(of);
        self.last(of, count.checked_sub(n + 1)?)
    }

    /// COUNT(x.*).
    #[must_use]
    pub fn count(&self, of: VarSet) -> usize {
        let tested = self.tested.is_some_and(|row| of.has(row.var));
        if of == VarSet::ALL {
            return usize::from(tested) + self.bound_count();
        }
        let arena = self.arena;
        let bound = self.links().filter(|&at| of.has(arena.links[at as usize].var)).count();
        usize::from(tested) + bound
    }

    fn bound_count(&self) -> usize {
        let links = &self.arena.links;
        let Some(tip) = links.get(self.tip as usize) else { return 0 };
        links.get(tip.head as usize).map_or(0, |head| (tip.depth - head.depth) as usize + 1)
    }

    /// PREV: the n-th row before `row` in the input. In a pattern with gaps, among the rows bound.
    #[must_use]
    pub fn prev(&self, row: RowRef<'a>, n: usize) -> Option<RowRef<'a>> {
        let mut row = row;
        for _ in 0..n {
            row = match row.link {
                Place::Tested => self.bound(self.tip)?,
                Place::Bound(at) => self.bound(self.arena.links.get(at as usize)?.parent)?,
                Place::Ahead(at) if at == self.ahead => self.current(),
                Place::Ahead(at) => self.forwards(self.ahead, at)?,
            };
        }
        Some(row)
    }

    /// The row of the chain ahead that `at` follows.
    fn forwards(&self, from: u32, at: u32) -> Option<RowRef<'a>> {
        let mut before = from;
        while let Some(link) = self.arena.links.get(before as usize) {
            if link.parent == at {
                return self.row_ahead(before);
            }
            before = link.parent;
        }
        None
    }

    fn row_ahead(&self, at: u32) -> Option<RowRef<'a>> {
        let link = self.arena.links.get(at as usize)?;
        Some(self.of_row(link.row, NO_VAR, false, Place::Ahead(at)))
    }

    /// NEXT: the n-th row after `row` in the input, as far as `next_rows` goes beyond the row at
    /// hand.
    #[must_use]
    pub fn next(&self, row: RowRef<'a>, n: usize) -> Option<RowRef<'a>> {
        let mut row = row;
        for _ in 0..n {
            row = match row.link {
                Place::Tested => self.row_ahead(self.ahead)?,
                Place::Bound(at) if at == self.end => {
                    self.tested().or_else(|| self.row_ahead(self.ahead))?
                }
                Place::Bound(at) => {
                    let mut after = self.end;
                    while self.arena.links.get(after as usize)?.parent != at {
                        after = self.arena.links[after as usize].parent;
                    }
                    self.bound(after)?
                }
                Place::Ahead(at) => self.row_ahead(self.arena.links[at as usize].parent)?,
            };
        }
        Some(row)
    }
}

/// What is reported.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A match; it may be empty.
    Match,
    /// A row that is in no match.
    Unmatched,
    /// A partial match that WITHIN ended.
    TimedOut,
}

/// A match, at the moment it is reported.
pub struct Match<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its key.
    pub key: &'a [u64],
    /// MATCH_NUMBER: from 1 for each key. 0 for what is no match.
    pub number: u64,
    /// When it was known: the time of the row or deadline that decided it.
    pub ts: u64,
    /// A deadline decided it, not a row.
    pub by_time: bool,
    /// Rows were lost while it waited for an absence, so that nobody knows.
    pub unknown: bool,
    pub(super) rows: Rows<'a>,
    /// Links of its rows, in order.
    pub(super) links: &'a [u32],
    /// Where it would begin: of an empty match, the row before which it is.
    pub(super) at: u32,
}

impl<'a> Match<'a> {
    /// Its rows, for navigation with FINAL semantics.
    #[must_use]
    pub fn rows(&self) -> Rows<'a> {
        self.rows
    }

    /// How many rows it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether it is an empty match.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Its rows in order, each with its variable.
    pub fn iter(&self) -> impl Iterator<Item = RowRef<'a>> + use<'a> {
        let (rows, links) = (self.rows, self.links);
        links.iter().filter_map(move |&at| rows.bound(at))
    }

    /// Its rows up to the n-th, from 0, for navigation with RUNNING semantics. NEXT sees the rest.
    #[must_use]
    pub fn up_to(&self, n: usize) -> Option<Rows<'a>> {
        let &tip = self.links.get(n)?;
        Some(Rows { tip, ..self.rows })
    }

    /// The row at which it was tried: the first one; of an empty match, the row it stands before.
    #[must_use]
    pub fn start(&self) -> Option<RowRef<'a>> {
        self.iter().next().or_else(|| {
            let row = self.at;
            let known = (row as usize) < self.rows.arena.rows.len();
            known.then(|| self.rows.of_row(row, NO_VAR, false, Place::Bound(NONE)))
        })
    }
}
