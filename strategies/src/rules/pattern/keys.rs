//! The keys whose rows the engine follows, and what it knows of each: a flat, open-addressed table.
//!
//! A full table drops a key by the clock: the hand passes over keys that were touched since it
//! came by last and takes the first that was not and has no open attempts; if there is none close
//! by, one with attempts has to go.
//!
//! Invariant: at most half of the table is taken; a removed key leaves no tombstone.

use super::arena::NONE;
use crate::memory::Memory;

/// Keys that the hand passes at most before it takes one.
const VICTIM_STEPS: usize = 64;

/// What is known of a key: one cache line.
#[derive(Copy, Clone, Debug)]
#[repr(align(64))]
pub(super) struct Key {
    pub(super) used: bool,
    /// Touched since the hand came by.
    pub(super) touched: bool,
    /// The one attempt of [`super::Start::Once`] is over.
    pub(super) done: bool,
    /// Its attempts in the order of their first rows.
    pub(super) first: u32,
    pub(super) last: u32,
    /// Its threads.
    pub(super) runs: u32,
    /// A chain of its last rows, of those that were looked at.
    pub(super) recent: u32,
    /// Rows that wait for those after them: how many, of `next_rows` places.
    pub(super) pending: u32,
    /// Rows that were looked at.
    pub(super) rows: u64,
    /// No attempt may begin before this row.
    pub(super) resume: u64,
    /// Rows before this one were in a match.
    pub(super) covered: u64,
    /// Matches so far.
    pub(super) matches: u64,
    /// The variables a row of which can matter to its attempts.
    pub(super) wants: u64,
}

const _: () = assert!(size_of::<Key>() == 64);

pub(super) const NEW: Key = Key {
    used: false,
    touched: false,
    done: false,
    first: NONE,
    last: NONE,
    runs: 0,
    recent: NONE,
    pending: 0,
    rows: 0,
    resume: 0,
    covered: 0,
    matches: 0,
    wants: 0,
};

#[derive(Debug)]
pub(super) struct Keys {
    key_words: usize,
    keys_max: usize,
    pub(super) slots: Vec<Key>,
    words: Vec<u64>,
    /// Hash in the upper half, slot + 1 in the lower.
    table: Box<[u64]>,
    free: Vec<u32>,
    pub(super) hand: u32,
}

fn hash(words: &[u64]) -> u32 {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for &word in words {
        let product = u128::from(state ^ word) * 0xF39C_C060_5CED_C835;
        state = (product >> 64) as u64 ^ (product as u64).rotate_left(23);
    }
    (state >> 32) as u32 ^ state as u32
}

impl Keys {
    pub(super) fn new(key_words: usize, keys_max: usize) -> Self {
        Self {
            key_words,
            keys_max,
            slots: Vec::with_capacity(keys_max),
            words: Vec::with_capacity(keys_max * key_words),
            table: vec![0; (keys_max * 2).next_power_of_two()].into(),
            free: Vec::with_capacity(keys_max),
            hand: 0,
        }
    }

    pub(super) fn bytes_max(key_words: usize, keys_max: usize) -> usize {
        keys_max * (size_of::<Key>() + key_words * size_of::<u64>() + size_of::<u32>())
            + (keys_max * 2).next_power_of_two() * size_of::<u64>()
    }

    fn mask(&self) -> usize {
        self.table.len() - 1
    }

    pub(super) fn words(&self, slot: u32) -> &[u64] {
        let at = slot as usize * self.key_words;
        &self.words[at..at + self.key_words]
    }

    /// The slot of a key, or [`NONE`]. Keys of another length have none.
    #[inline]
    pub(super) fn find(&self, key: &[u64]) -> u32 {
        let hash = hash(key);
        let mut at = hash as usize & self.mask();
        while self.table[at] != 0 {
            let slot = self.table[at] as u32 - 1;
            if (self.table[at] >> 32) as u32 == hash && self.words(slot) == key {
                return slot;
            }
            at = (at + 1) & self.mask();
        }
        NONE
    }

    /// A key is about to be looked for: asks for its place in the table, or for its state, which
    /// the table names.
    #[inline]
    pub(super) fn prefetch(&self, key: &[u64], state: bool, memory: Memory) {
        let hash = hash(key);
        let at = hash as usize & self.mask();
        let entry = &self.table[at];
        if !state {
            return memory.load(entry);
        }
        let slot = (*entry as u32).wrapping_sub(1);
        if (*entry >> 32) as u32 == hash
            && let Some(state) = self.slots.get(slot as usize)
        {
            memory.load(state);
            self.words(slot).first().into_iter().for_each(|word| memory.load(word));
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty() && self.slots.len() == self.keys_max
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Adds a key that is not there to a table that is not full.
    pub(super) fn add(&mut self, key: &[u64]) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(NEW);
            self.words.resize(self.slots.len() * self.key_words, 0);
            self.slots.len() as u32 - 1
        });
        self.put(slot, key);
        slot
    }

    /// Fills a slot as it was saved: slots are given in order, unused ones too.
    pub(super) fn restore(&mut self, key: &[u64], state: Key) {
        let slot = self.slots.len() as u32;
        self.slots.push(NEW);
        self.words.resize(self.slots.len() * self.key_words, 0);
        if state.used {
            self.put(slot, key);
            self.slots[slot as usize] = state;
        }
    }

    /// Unused slots, the next one to be taken last.
    pub(super) fn free(&self) -> &[u32] {
        &self.free
    }

    /// Says which slots are unused, in order; false if that is wrong.
    pub(super) fn set_free(&mut self, free: &[u32]) -> bool {
        let used = self.slots.iter().filter(|key| key.used).count();
        let mut seen = vec![false; self.slots.len()];
        let right = free.iter().all(|&slot| {
            let unused = self.slots.get(slot as usize).is_some_and(|key| !key.used);
            unused && !std::mem::replace(&mut seen[slot as usize], true)
        });
        self.free.extend_from_slice(free);
        right && used + free.len() == self.slots.len()
    }

    fn put(&mut self, slot: u32, key: &[u64]) {
        let hash = hash(key);
        let at = slot as usize * self.key_words;
        self.words[at..at + self.key_words].copy_from_slice(key);
        self.slots[slot as usize] = Key { used: true, ..NEW };
        let mut at = hash as usize & self.mask();
        while self.table[at] != 0 {
            at = (at + 1) & self.mask();
        }
        self.table[at] = u64::from(hash) << 32 | u64::from(slot + 1);
    }

    /// Removes a key; the caller has released what it held.
    pub(super) fn remove(&mut self, slot: u32) {
        let mut at = hash(self.words(slot)) as usize & self.mask();
        while self.table[at] as u32 != slot + 1 {
            at = (at + 1) & self.mask();
        }
        // Successors that are not at their place move back, so that no search ends early.
        let mut next = (at + 1) & self.mask();
        while self.table[next] != 0 {
            let home = (self.table[next] >> 32) as usize & self.mask();
            if (next.wrapping_sub(home) & self.mask()) >= (next.wrapping_sub(at) & self.mask()) {
                self.table[at] = self.table[next];
                at = next;
            }
            next = (next + 1) & self.mask();
        }
        self.table[at] = 0;
        self.slots[slot as usize] = NEW;
        self.free.push(slot);
    }

    /// The key to drop from a full table.
    pub(super) fn victim(&mut self) -> u32 {
        let mut busy = NONE;
        for _ in 0..VICTIM_STEPS {
            let at = self.hand;
            self.hand = (self.hand + 1) % self.slots.len() as u32;
            let key = &mut self.slots[at as usize];
            if key.touched {
                key.touched = false;
            } else if key.first == NONE && key.pending == 0 {
                return at;
            } else if busy == NONE {
                busy = at;
            }
        }
        if busy == NONE { self.hand } else { busy }
    }
}
