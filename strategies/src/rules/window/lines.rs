//! Words in cache lines: memory that is taken once, zeroed, and begins on a line.
//!
//! Invariant: word 0 lies at the start of a line, so that what is laid out in lines touches no more
//! of them than it must.

use zerocopy::FromZeros;

use super::spec::SpecError;
use crate::memory::Memory;

/// Words of a cache line.
pub(in crate::rules) const LINE: usize = 8;

/// Zeroed words.
pub(in crate::rules) struct Lines {
    words: Vec<u64>,
    base: usize,
}

impl Lines {
    pub(in crate::rules) fn new(count: usize) -> Result<Self, SpecError> {
        let room = count.checked_add(LINE).ok_or(SpecError::Memory)?;
        let words = u64::new_vec_zeroed(room).map_err(|_| SpecError::Memory)?;
        let base = words.as_ptr().align_offset(LINE * 8).min(LINE);
        Ok(Self { words, base })
    }

    #[inline]
    pub(in crate::rules) fn at(&self, index: usize) -> u64 {
        self.words[self.base + index]
    }

    #[inline]
    pub(in crate::rules) fn set(&mut self, index: usize, word: u64) {
        self.words[self.base + index] = word;
    }

    #[inline]
    pub(in crate::rules) fn get(&self, index: usize, count: usize) -> &[u64] {
        let from = self.base + index;
        &self.words[from..from + count]
    }

    #[inline]
    pub(in crate::rules) fn get_mut(&mut self, index: usize, count: usize) -> &mut [u64] {
        let from = self.base + index;
        &mut self.words[from..from + count]
    }

    /// `count` words from `from` to `to`.
    #[inline]
    pub(in crate::rules) fn copy(&mut self, from: usize, to: usize, count: usize) {
        let (from, to) = (self.base + from, self.base + to);
        self.words.copy_within(from..from + count, to);
    }

    #[inline]
    pub(in crate::rules) fn load(&self, index: usize, memory: Memory) {
        memory.load(&self.words[self.base + index]);
    }

    pub(in crate::rules) fn reserve(&self, memory: Memory) {
        memory.reserve(&self.words);
    }

    pub(in crate::rules) fn bytes(&self) -> usize {
        self.words.len() * 8
    }
}

/// The two halves of a word.
#[inline]
pub(in crate::rules) const fn halves(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

/// A word of two halves.
#[inline]
pub(in crate::rules) const fn word(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}
