//! Which rules of a stream a record can make fire: by equality through hash tables, by ranges
//! through sorted bounds.
//!
//! Invariant: a rule that is not named for a record does not fire for it; rules are named in the
//! order of the text, each once.

use super::plan::{Guard, Values, word_of_text};
use super::program::Machine;
use super::types::{Type, Value};

/// Entries of a range index for each of its rules, on average; the widest ranges beyond that are
/// looked at as if they had no upper bound.
const ENTRIES_PER_RULE: usize = 64;

/// Lower bound, upper bound, rule.
type Range = (i64, i64, u32);

/// The rules of one stream.
#[derive(Debug, Default)]
pub(super) struct Index {
    always: Vec<u32>,
    equals: Vec<Equals>,
    ranges: Vec<Ranges>,
    /// Room for the rules that are named.
    named: Vec<u32>,
}

/// Rules that ask for values of one column.
#[derive(Debug)]
struct Equals {
    guard: Guard,
    /// Open addressing: the word, and where its rules begin and end in `rules`.
    slots: Vec<Option<(u64, u32, u32)>>,
    rules: Vec<u32>,
}

/// Rules that ask for ranges of one column.
#[derive(Debug)]
struct Ranges {
    guard: Guard,
    /// Lower bounds, ascending, of rules without an upper one; the rules beside them.
    from: (Vec<i64>, Vec<u32>),
    /// Upper bounds, ascending, of rules without a lower one.
    to: (Vec<i64>, Vec<u32>),
    /// Where another set of rules with both bounds begins; the first set is below all of them.
    bounds: Vec<i64>,
    /// Where each set begins and ends in `rules`.
    sets: Vec<(u32, u32)>,
    rules: Vec<u32>,
}

impl Index {
    /// An index of rules, numbered from 0 in the order of the text.
    pub(super) fn new(guards: &[Option<&Guard>]) -> Self {
        let mut index = Self { named: Vec::with_capacity(guards.len()), ..Self::default() };
        let mut equals: Vec<(&Guard, Vec<(u64, u32)>)> = Vec::new();
        let mut ranges: Vec<(&Guard, Vec<Range>)> = Vec::new();
        for (rule, guard) in (0..).zip(guards) {
            match guard {
                Some(guard) => match &guard.values {
                    Values::OneOf(words) => {
                        of_column(&mut equals, guard)
                            .extend(words.iter().map(|word| (*word, rule)));
                    }
                    Values::Between(low, high) if low <= high => {
                        of_column(&mut ranges, guard).push((*low, *high, rule));
                    }
                    // It never fires.
                    Values::Between(..) => {}
                },
                None => index.always.push(rule),
            }
        }
        index.equals = equals.into_iter().map(|(guard, all)| Equals::new(guard, all)).collect();
        for (guard, all) in ranges {
            index.ranges.push(Ranges::new(guard, all));
        }
        index
    }

    /// Whether it turns any rule away.
    pub(super) fn is_useful(&self) -> bool {
        !(self.equals.is_empty() && self.ranges.is_empty())
    }

    /// Names the rules that the record can make fire.
    #[inline]
    pub(super) fn look_up(&mut self, machine: &mut Machine, row: &[u8]) {
        let Self { always, equals, ranges, named } = self;
        named.clear();
        // Mostly there are none, and a copy of nothing is a call all the same.
        let mut name = |rules: &[u32]| {
            if !rules.is_empty() {
                named.extend_from_slice(rules);
            }
        };
        name(always);
        for equals in equals {
            let value = equals.guard.program.run(machine, row, &[]);
            if value.known {
                name(equals.find(word_of(&equals.guard, value, row)));
            }
        }
        for ranges in ranges {
            let value = ranges.guard.program.run(machine, row, &[]);
            if let Some(value) = value.as_int() {
                ranges.find(value).into_iter().for_each(&mut name);
            }
        }
        if self.named.len() > self.always.len() {
            self.named.sort_unstable();
            self.named.dedup();
        }
    }

    /// The rules that were named last.
    #[inline]
    pub(super) fn named(&self) -> &[u32] {
        &self.named
    }
}

/// The list for a guard's column.
fn of_column<'a, 'g, T>(
    lists: &'a mut Vec<(&'g Guard, Vec<T>)>,
    guard: &'g Guard,
) -> &'a mut Vec<T> {
    let at = lists.iter().position(|(known, _)| known.column == guard.column);
    let at = at.unwrap_or_else(|| {
        lists.push((guard, Vec::new()));
        lists.len() - 1
    });
    &mut lists[at].1
}

#[inline]
pub(super) fn word_of(guard: &Guard, value: Value, row: &[u8]) -> u64 {
    match guard.column.ty() {
        Type::Text(_) => word_of_text(guard.program.text(value, row, &[])),
        _ => value.bits,
    }
}

/// Where the search for a word begins.
const fn place(word: u64, mask: usize) -> usize {
    (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & mask
}

impl Equals {
    fn new(guard: &Guard, mut all: Vec<(u64, u32)>) -> Self {
        all.sort_unstable();
        all.dedup();
        let mut slots = vec![None; (all.len() * 2).next_power_of_two()];
        let mask = slots.len() - 1;
        let mut rules = Vec::with_capacity(all.len());
        for same in all.chunk_by(|a, b| a.0 == b.0) {
            let (word, begin) = (same[0].0, rules.len() as u32);
            rules.extend(same.iter().map(|(_, rule)| *rule));
            let mut at = place(word, mask);
            while slots[at].is_some() {
                at = (at + 1) & mask;
            }
            slots[at] = Some((word, begin, rules.len() as u32));
        }
        Self { guard: guard.clone(), slots, rules }
    }

    #[inline]
    fn find(&self, word: u64) -> &[u32] {
        let mask = self.slots.len() - 1;
        let mut at = place(word, mask);
        // Half of the slots are free, so the search ends.
        while let Some((known, begin, end)) = self.slots[at] {
            if known == word {
                return self.rules.get(begin as usize..end as usize).unwrap_or_default();
            }
            at = (at + 1) & mask;
        }
        &[]
    }
}

impl Ranges {
    fn new(guard: &Guard, all: Vec<Range>) -> Self {
        let (mut from, mut to, mut both) = (Vec::new(), Vec::new(), Vec::new());
        for (low, high, rule) in all {
            match (low, high) {
                (_, i64::MAX) => from.push((low, rule)),
                (i64::MIN, _) => to.push((high, rule)),
                _ => both.push((low, high, rule)),
            }
        }
        // Narrow ones first: those that do not fit are the wide ones.
        both.sort_by_key(|(low, high, rule)| (high.abs_diff(*low), *rule));
        let mut bounds: Vec<i64> = both.iter().map(|(low, ..)| *low).collect();
        bounds.extend(both.iter().filter_map(|(_, high, _)| high.checked_add(1)));
        bounds.sort_unstable();
        bounds.dedup();
        let mut lists: Vec<Vec<u32>> = vec![Vec::new(); bounds.len() + 1];
        let mut room = both.len() * ENTRIES_PER_RULE;
        for (low, high, rule) in both {
            let first = bounds.partition_point(|bound| *bound <= low);
            let last = bounds.partition_point(|bound| *bound <= high);
            if last - first + 1 > room {
                from.push((low, rule));
                continue;
            }
            room -= last - first + 1;
            lists[first..=last].iter_mut().for_each(|list| list.push(rule));
        }
        let (mut sets, mut rules) = (Vec::new(), Vec::new());
        for list in lists {
            let begin = rules.len() as u32;
            rules.extend(list);
            sets.push((begin, rules.len() as u32));
        }
        from.sort_unstable();
        to.sort_unstable();
        let (from, to) = (from.into_iter().unzip(), to.into_iter().unzip());
        Self { guard: guard.clone(), from, to, bounds, sets, rules }
    }

    #[inline]
    fn find(&self, value: i64) -> [&[u32]; 3] {
        let from = self.from.0.partition_point(|low| *low <= value);
        let to = self.to.0.partition_point(|high| *high < value);
        let set = self.bounds.partition_point(|bound| *bound <= value);
        let (begin, end) = self.sets.get(set).copied().unwrap_or_default();
        let both = self.rules.get(begin as usize..end as usize);
        [&self.from.1[..from], &self.to.1[to..], both.unwrap_or_default()]
    }
}

#[cfg(test)]
mod tests;
