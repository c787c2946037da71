//! The different values of each pane: one table for all of them, whose entries are linked by pane.
//!
//! A pane's state holds a word `[different values|first entry]`.
//!
//! Invariant: an entry is in the chain of its pane's and value's hash and in the list of its pane,
//! or free. Entry 0 is none.

use zerocopy::FromZeros;

use crate::rules::window::SpecError;
use crate::rules::window::keys::mix;
use crate::rules::window::lines::{halves, word};

#[derive(Copy, Clone, FromZeros)]
struct Entry {
    value: u64,
    pane: u32,
    /// The next of its chain.
    chain: u32,
    /// The next of its pane.
    next: u32,
    _pad: u32,
}

pub(super) struct Sets {
    entries: Vec<Entry>,
    heads: Vec<u32>,
    free: u32,
    fresh: u32,
    used: usize,
}

impl Sets {
    /// Room for so many values.
    pub(super) fn new(values: usize) -> Result<Self, SpecError> {
        let entries = Entry::new_vec_zeroed(values + 1).map_err(|_| SpecError::Memory)?;
        let heads = u32::new_vec_zeroed(values.next_power_of_two().max(2));
        let heads = heads.map_err(|_| SpecError::Memory)?;
        Ok(Self { entries, heads, free: 0, fresh: 1, used: 0 })
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }

    #[inline]
    fn home(&self, pane: u32, value: u64) -> usize {
        let hash = mix(mix(value) ^ u64::from(pane));
        (hash >> 20) as usize & (self.heads.len() - 1)
    }

    /// A pane has a value; whether there was room for it.
    #[inline]
    pub(super) fn add(&mut self, pane: u32, state: &mut u64, value: u64) -> bool {
        let home = self.home(pane, value);
        let mut at = self.heads[home];
        while at != 0 {
            let entry = &self.entries[at as usize];
            if entry.value == value && entry.pane == pane {
                return true;
            }
            at = entry.chain;
        }
        at = if self.free == 0 { self.fresh } else { self.free };
        if at as usize >= self.entries.len() {
            return false;
        }
        if self.free == 0 {
            self.fresh += 1;
        } else {
            self.free = self.entries[at as usize].next;
        }
        self.used += 1;
        let (count, first) = halves(*state);
        let entry = Entry { value, pane, chain: self.heads[home], next: first, _pad: 0 };
        self.entries[at as usize] = entry;
        self.heads[home] = at;
        *state = word(count + 1, at);
        true
    }

    /// A pane has all the values of another; whether there was room for them.
    pub(super) fn merge(&mut self, pane: u32, state: &mut u64, other: u64) -> bool {
        let (_, mut at) = halves(other);
        let mut fits = true;
        while at != 0 {
            let Entry { value, next, .. } = self.entries[at as usize];
            fits &= self.add(pane, state, value);
            at = next;
        }
        fits
    }

    /// A pane has no values any more.
    pub(super) fn clear(&mut self, state: &mut u64) {
        let (_, mut at) = halves(*state);
        while at != 0 {
            let Entry { value, pane, chain, next, .. } = self.entries[at as usize];
            let home = self.home(pane, value);
            if self.heads[home] == at {
                self.heads[home] = chain;
            } else {
                let mut before = self.heads[home];
                while before != 0 && self.entries[before as usize].chain != at {
                    before = self.entries[before as usize].chain;
                }
                self.entries[before as usize].chain = chain;
            }
            self.entries[at as usize].next = self.free;
            self.free = at;
            self.used -= 1;
            at = next;
        }
        *state = 0;
    }

    /// The values of a pane, in no order.
    pub(super) fn each(&self, state: u64, visit: &mut dyn FnMut(u64)) {
        let (_, mut at) = halves(state);
        while at != 0 {
            visit(self.entries[at as usize].value);
            at = self.entries[at as usize].next;
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.entries.len() * size_of::<Entry>() + self.heads.len() * 4
    }
}
