//! The panes of all keys, one list per key in order of time.
//!
//! ```text
//! word 0      1          2           3       4 ..
//! [start]  [last row]  [next|key]  [rows]  [ sums .. ]     whole cache lines
//! ```
//!
//! Invariant: a pane is in the list of one key or free; pane 0 is none, and what is put together
//! for a result.

use crate::rules::window::SpecError;
use crate::rules::window::lines::{LINE, Lines, halves, word};

const HEAD: usize = 4;

/// Where a pane lies in time, and whose it is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) start: i64,
    /// The greatest time of its rows.
    pub(super) last: i64,
    pub(super) next: u32,
    pub(super) key: u32,
    pub(super) rows: u64,
}

pub(super) struct Panes {
    words: Lines,
    stride: usize,
    state_words: usize,
    free: u32,
    fresh: u32,
    max: u32,
    used: usize,
}

impl Panes {
    pub(super) fn new(panes_max: usize, state_words: usize) -> Result<Self, SpecError> {
        let stride = (HEAD + state_words).next_multiple_of(LINE);
        let words = Lines::new((panes_max + 1).checked_mul(stride).ok_or(SpecError::Memory)?)?;
        Ok(Self { words, stride, state_words, free: 0, fresh: 1, max: panes_max as u32, used: 0 })
    }

    #[inline]
    fn at(&self, pane: u32) -> usize {
        pane as usize * self.stride
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }

    pub(super) fn is_full(&self) -> bool {
        self.free == 0 && self.fresh > self.max
    }

    #[inline]
    pub(super) fn head(&self, pane: u32) -> Head {
        let words = self.words.get(self.at(pane), HEAD);
        let (next, key) = halves(words[2]);
        let (start, last) = (words[0].cast_signed(), words[1].cast_signed());
        Head { start, last, next, key, rows: words[3] }
    }

    #[inline]
    pub(super) fn set_head(&mut self, pane: u32, head: Head) {
        let at = self.at(pane);
        let (start, last) = (head.start.cast_unsigned(), head.last.cast_unsigned());
        let words = [start, last, word(head.next, head.key), head.rows];
        self.words.get_mut(at, HEAD).copy_from_slice(&words);
    }

    pub(super) fn set_next(&mut self, pane: u32, next: u32) {
        let head = self.head(pane);
        self.set_head(pane, Head { next, ..head });
    }

    #[inline]
    pub(super) fn state(&self, pane: u32) -> &[u64] {
        self.words.get(self.at(pane) + HEAD, self.state_words)
    }

    #[inline]
    pub(super) fn state_mut(&mut self, pane: u32) -> &mut [u64] {
        self.words.get_mut(self.at(pane) + HEAD, self.state_words)
    }

    /// A pane without rows, or 0 if there is none left.
    pub(super) fn take(&mut self, head: Head) -> u32 {
        if self.is_full() {
            return 0;
        }
        let pane = if self.free == 0 { self.fresh } else { self.free };
        if self.free == 0 {
            self.fresh += 1;
        } else {
            self.free = self.head(pane).next;
        }
        self.used += 1;
        self.set_head(pane, head);
        self.state_mut(pane).fill(0);
        pane
    }

    pub(super) fn give(&mut self, pane: u32) {
        self.set_next(pane, self.free);
        self.free = pane;
        self.used -= 1;
    }

    pub(super) fn bytes(&self) -> usize {
        self.words.bytes()
    }
}
