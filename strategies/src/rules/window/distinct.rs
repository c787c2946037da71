//! How often each value occurs in the frame of each key: one flat table for all keys.
//!
//! A key's state holds a word `[different values|owner]`; the owner is a small number that the key
//! has for as long as it has values here.
//!
//! Invariant: there are at most as many entries as rows are kept, which is half of the table.

use zerocopy::FromZeros;

use super::keys::mix;
use super::lines::{halves, word};
use super::spec::SpecError;
use crate::memory::Memory;

/// A value of an owner and its occurrences. None: vacant.
#[derive(Copy, Clone, FromZeros)]
struct Entry {
    value: u64,
    owner: u32,
    count: u32,
}

pub(super) struct Distinct {
    entries: Vec<Entry>,
    /// Owners that were given back.
    owners: Vec<u32>,
    /// Owners from here on were never given out.
    fresh: u32,
}

impl Distinct {
    pub(super) fn new(rows_max: usize, keys_max: usize) -> Result<Self, SpecError> {
        let entries = Entry::new_vec_zeroed(2 * rows_max + 4).map_err(|_| SpecError::Memory)?;
        Ok(Self { entries, owners: Vec::with_capacity(keys_max), fresh: 1 })
    }

    #[inline]
    fn home(&self, owner: u32, value: u64) -> usize {
        let hash = mix(mix(value) ^ u64::from(owner));
        ((u128::from(hash) * self.entries.len() as u128) >> 64) as usize
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.entries.len() { 0 } else { at + 1 }
    }

    /// The value's entry, or the vacant one where it would be.
    #[inline]
    fn find(&self, owner: u32, value: u64) -> usize {
        let mut at = self.home(owner, value);
        for _ in 0..self.entries.len() {
            let entry = &self.entries[at];
            if entry.count == 0 || entry.owner == owner && entry.value == value {
                break;
            }
            at = self.after(at);
        }
        at
    }

    /// Whether a key has the value.
    pub(super) fn has(&self, state: u64, value: u64) -> bool {
        let (_, owner) = halves(state);
        owner != 0 && self.entries[self.find(owner, value)].count != 0
    }

    /// One more occurrence.
    #[inline]
    pub(super) fn add(&mut self, state: &mut u64, value: u64) {
        let (mut values, mut owner) = halves(*state);
        if owner == 0 {
            owner = self.owners.pop().unwrap_or_else(|| {
                self.fresh += 1;
                self.fresh - 1
            });
        }
        let at = self.find(owner, value);
        let entry = &mut self.entries[at];
        if entry.count == 0 {
            *entry = Entry { value, owner, count: 0 };
            values += 1;
        }
        entry.count += 1;
        *state = word(values, owner);
    }

    /// One less.
    #[inline]
    pub(super) fn retract(&mut self, state: &mut u64, value: u64) {
        let (values, owner) = halves(*state);
        let at = self.find(owner, value);
        if owner == 0 || self.entries[at].count == 0 {
            return;
        }
        self.entries[at].count -= 1;
        if self.entries[at].count != 0 {
            return;
        }
        self.close(at);
        *state = word(values - 1, owner);
        if values == 1 {
            self.owners.push(owner);
            *state = 0;
        }
    }

    /// Moves up what probed past an entry that became vacant.
    fn close(&mut self, at: usize) {
        let (mut gap, mut at) = (at, at);
        for _ in 1..self.entries.len() {
            at = self.after(at);
            let entry = self.entries[at];
            if entry.count == 0 {
                break;
            }
            let count = self.entries.len();
            let distance = |from: usize| (at + count - from) % count;
            if distance(self.home(entry.owner, entry.value)) >= distance(gap) {
                self.entries[gap] = entry;
                gap = at;
            }
        }
        self.entries[gap] = Entry { value: 0, owner: 0, count: 0 };
    }

    pub(super) fn reserve(&self, memory: Memory) {
        memory.reserve(&self.entries);
    }

    pub(super) fn bytes(&self) -> usize {
        self.entries.len() * size_of::<Entry>() + self.owners.capacity() * 4
    }
}
