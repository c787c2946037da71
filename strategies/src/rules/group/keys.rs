//! The keys that have open windows: a table of chains whose entries stay where they are.
//!
//! ```text
//! word 0          1             2              3 ..
//! [chain|first]  [last pane]   [its number]   [ key ]
//! ```
//!
//! Invariant: a chain holds no key twice and at most [`CHAIN_MAX`] of them; slot 0 is none.

use crate::rules::window::SpecError;
use crate::rules::window::lines::{LINE, Lines, halves, word};

/// Keys of a chain: one more makes the oldest of them give way, whoever chose them.
const CHAIN_MAX: usize = 128;
const HEAD: usize = 3;

/// Why a key cannot be added.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Full {
    /// As many keys as there may be.
    Keys,
    /// This one must go before another can have its place.
    Crowded(u32),
}

pub(super) struct Keys {
    words: Lines,
    stride: usize,
    key_words: usize,
    heads: Vec<u32>,
    free: u32,
    fresh: u32,
    max: u32,
    used: usize,
    /// Numbers given so far.
    pub(super) numbers: u64,
}

impl Keys {
    pub(super) fn new(keys_max: usize, key_words: usize) -> Result<Self, SpecError> {
        let stride = HEAD + key_words;
        let stride = if stride <= 4 { 4 } else { stride.next_multiple_of(LINE) };
        let words = Lines::new((keys_max + 1).checked_mul(stride).ok_or(SpecError::Memory)?)?;
        let heads = vec![0; (keys_max * 2).next_power_of_two()];
        let max = keys_max as u32;
        Ok(Self { words, stride, key_words, heads, free: 0, fresh: 1, max, used: 0, numbers: 0 })
    }

    #[inline]
    fn at(&self, slot: u32) -> usize {
        slot as usize * self.stride
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        (hash >> 20) as usize & (self.heads.len() - 1)
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }

    #[inline]
    pub(super) fn key(&self, slot: u32) -> &[u64] {
        self.words.get(self.at(slot) + HEAD, self.key_words)
    }

    #[inline]
    pub(super) fn number(&self, slot: u32) -> u64 {
        self.words.at(self.at(slot) + 2)
    }

    #[inline]
    fn chain(&self, slot: u32) -> u32 {
        halves(self.words.at(self.at(slot))).0
    }

    fn set_chain(&mut self, slot: u32, next: u32) {
        let first = self.first(slot);
        self.words.set(self.at(slot), word(next, first));
    }

    /// The first pane of a key.
    #[inline]
    pub(super) fn first(&self, slot: u32) -> u32 {
        halves(self.words.at(self.at(slot))).1
    }

    /// The last pane of a key.
    #[inline]
    pub(super) fn last(&self, slot: u32) -> u32 {
        self.words.at(self.at(slot) + 1) as u32
    }

    #[inline]
    pub(super) fn set_panes(&mut self, slot: u32, first: u32, last: u32) {
        let at = self.at(slot);
        let chain = self.chain(slot);
        self.words.set(at, word(chain, first));
        self.words.set(at + 1, last.into());
    }

    /// The slot of a key; 0 if it has none.
    #[inline]
    pub(super) fn find(&self, hash: u64, key: &[u64]) -> u32 {
        let mut slot = self.heads[self.home(hash)];
        while slot != 0 && self.key(slot) != key {
            slot = self.chain(slot);
        }
        slot
    }

    /// A slot for a key that has none, with the next number.
    pub(super) fn insert(&mut self, hash: u64, key: &[u64]) -> Result<u32, Full> {
        let home = self.home(hash);
        let (mut length, mut oldest, mut at) = (0, (u64::MAX, 0), self.heads[home]);
        while at != 0 {
            length += 1;
            oldest = oldest.min((self.number(at), at));
            at = self.chain(at);
        }
        if length >= CHAIN_MAX {
            return Err(Full::Crowded(oldest.1));
        }
        let slot = if self.free == 0 { self.fresh } else { self.free };
        if slot > self.max {
            return Err(Full::Keys);
        }
        if self.free == 0 {
            self.fresh += 1;
        } else {
            self.free = self.chain(slot);
        }
        self.used += 1;
        self.numbers += 1;
        let at = self.at(slot);
        self.words.set(at, word(self.heads[home], 0));
        self.words.set(at + 1, 0);
        self.words.set(at + 2, self.numbers);
        self.words.get_mut(at + HEAD, self.key_words).copy_from_slice(key);
        self.heads[home] = slot;
        Ok(slot)
    }

    /// Gives a restored key its own number.
    pub(super) fn set_number(&mut self, slot: u32, number: u64) {
        self.words.set(self.at(slot) + 2, number);
    }

    pub(super) fn remove(&mut self, hash: u64, slot: u32) {
        let home = self.home(hash);
        let next = self.chain(slot);
        if self.heads[home] == slot {
            self.heads[home] = next;
        } else {
            let mut at = self.heads[home];
            while at != 0 && self.chain(at) != slot {
                at = self.chain(at);
            }
            if at != 0 {
                self.set_chain(at, next);
            }
        }
        self.words.set(self.at(slot), word(self.free, 0));
        self.free = slot;
        self.used -= 1;
    }

    pub(super) fn bytes(&self) -> usize {
        self.words.bytes() + self.heads.len() * 4
    }
}
