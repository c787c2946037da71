//! The rows of all keys: chunks of a few rows, each whole cache lines, linked into one list per
//! key.
//!
//! ```text
//! word 0        1       2 ..                       2 + row
//! [next|prev] [known] [ts, args .., links ..] [ts, args .., links ..] ..
//! ```
//! `known` has a bit per row and argument; `links` a word per minimum or maximum, for its queue.
//!
//! Invariant: a chunk is in the list of one key or among the free ones; rows of a key lie without
//! gaps from its first to its last, in the order of its frame.

use super::lines::{LINE, Lines, halves, word};
use super::spec::SpecError;
use crate::memory::Memory;
use crate::rules::types::Value;

/// Rows that a chunk can have: its bits in a [`Row`].
const SLOT_BITS: u32 = 4;
/// Words before the rows of a chunk.
const HEADER: usize = 2;

/// Which row: chunk and slot. 0 is none.
pub(in crate::rules) type Row = u32;
/// No row.
pub(in crate::rules) const NONE: Row = 0;

pub(in crate::rules) struct Rows {
    words: Lines,
    chunk_words: usize,
    row_words: usize,
    args: usize,
    /// Rows of a chunk.
    slots: u32,
    /// The first free chunk that was used before; 0 is none.
    free: u32,
    /// Chunks from here on were never used.
    fresh: u32,
    chunks: u32,
}

/// Lines of a chunk and rows in it.
fn shape(row_words: usize, args: usize) -> (usize, usize) {
    let bits = 64 / args.max(1);
    let slots = |lines: usize| ((lines * LINE - HEADER) / row_words).min(bits).min(1 << SLOT_BITS);
    let lines = (1..=LINE).find(|&lines| slots(lines) >= 3.min(bits)).unwrap_or(LINE);
    (lines, slots(lines))
}

impl Rows {
    /// Room for `rows` rows of at most `keys` keys.
    pub(in crate::rules) fn new(
        rows: usize,
        keys: usize,
        args: usize,
        links: usize,
    ) -> Result<Self, SpecError> {
        let row_words = 1 + args + links;
        let (lines, slots) = shape(row_words, args);
        // A key's first and last chunk can be partly filled; chunk 0 is none.
        let chunks = (rows.div_ceil(slots) + 2 * keys.min(rows)).min(rows) + 1;
        let limit = u32::MAX >> SLOT_BITS;
        let chunks = u32::try_from(chunks).ok().filter(|&chunks| chunks <= limit);
        let chunks = chunks.ok_or(SpecError::Room)?;
        let chunk_words = lines * LINE;
        let words = Lines::new(chunks as usize * chunk_words)?;
        let slots = slots as u32;
        Ok(Self { words, chunk_words, row_words, args, slots, free: 0, fresh: 1, chunks })
    }

    #[inline]
    fn header(&self, row: Row) -> usize {
        (row >> SLOT_BITS) as usize * self.chunk_words
    }

    #[inline]
    fn slot(row: Row) -> usize {
        (row & ((1 << SLOT_BITS) - 1)) as usize
    }

    #[inline]
    fn place(&self, row: Row) -> usize {
        self.header(row) + HEADER + Self::slot(row) * self.row_words
    }

    #[inline]
    pub(in crate::rules) fn ts(&self, row: Row) -> u64 {
        self.words.at(self.place(row))
    }

    /// The arguments of a row, and which of them are known.
    #[inline]
    pub(in crate::rules) fn args(&self, row: Row) -> (&[u64], u64) {
        let known = self.words.at(self.header(row) + 1) >> (Self::slot(row) * self.args);
        let known = known & ((1 << self.args) - 1);
        (self.words.get(self.place(row) + 1, self.args), known)
    }

    #[inline]
    pub(in crate::rules) fn value(&self, row: Row, arg: usize) -> Value {
        let (args, known) = self.args(row);
        if known >> arg & 1 != 0 { Value { bits: args[arg], known: true } } else { Value::NULL }
    }

    #[inline]
    pub(in crate::rules) fn link(&self, row: Row, link: usize) -> (Row, Row) {
        halves(self.words.at(self.place(row) + 1 + self.args + link))
    }

    #[inline]
    pub(in crate::rules) fn set_link(&mut self, row: Row, link: usize, before: Row, after: Row) {
        let place = self.place(row) + 1 + self.args + link;
        self.words.set(place, word(before, after));
    }

    #[inline]
    pub(in crate::rules) fn write(&mut self, row: Row, ts: u64, args: &[u64], known: u64) {
        let place = self.place(row);
        self.words.set(place, ts);
        self.words.get_mut(place + 1, self.args).copy_from_slice(args);
        self.set_known(row, known);
    }

    #[inline]
    fn set_known(&mut self, row: Row, known: u64) {
        let (mask, shift) = ((1 << self.args) - 1, Self::slot(row) * self.args);
        // Shifts of 64 are possible only for a row without arguments.
        let at = self.header(row) + 1;
        let others = self.words.at(at) & !(mask << shift);
        self.words.set(at, others | known << shift);
    }

    /// All of a row, to another place.
    pub(in crate::rules) fn copy(&mut self, from: Row, to: Row) {
        let (_, known) = self.args(from);
        self.words.copy(self.place(from), self.place(to), self.row_words);
        self.set_known(to, known);
    }

    /// The row after one that is not its key's last.
    #[inline]
    pub(in crate::rules) fn next(&self, row: Row) -> Row {
        if row & ((1 << SLOT_BITS) - 1) != self.slots - 1 {
            return row + 1;
        }
        halves(self.words.at(self.header(row))).0 << SLOT_BITS
    }

    /// The row before one that is not its key's first.
    #[inline]
    pub(in crate::rules) fn prev(&self, row: Row) -> Row {
        if Self::slot(row) != 0 {
            return row - 1;
        }
        halves(self.words.at(self.header(row))).1 << SLOT_BITS | (self.slots - 1)
    }

    /// A place after the last row of a key, or for its first. `NONE` if there is no room.
    #[inline]
    pub(in crate::rules) fn push(&mut self, last: Row) -> Row {
        if last != NONE && last & ((1 << SLOT_BITS) - 1) != self.slots - 1 {
            return last + 1;
        }
        let chunk = self.take();
        if chunk == 0 {
            return NONE;
        }
        let before = last >> SLOT_BITS;
        self.words.set(self.header(chunk << SLOT_BITS), word(0, before));
        if before != 0 {
            let at = self.header(last);
            let (_, prev) = halves(self.words.at(at));
            self.words.set(at, word(chunk, prev));
        }
        chunk << SLOT_BITS
    }

    fn take(&mut self) -> u32 {
        let chunk = self.free;
        if chunk != 0 {
            self.free = halves(self.words.at(self.header(chunk << SLOT_BITS))).0;
            return chunk;
        }
        if self.fresh == self.chunks {
            return 0;
        }
        self.fresh += 1;
        self.fresh - 1
    }

    /// Gives up the first row of a key. The one after it, `NONE` if it was the last.
    #[inline]
    pub(in crate::rules) fn pop(&mut self, first: Row, last: Row) -> Row {
        let next = if first == last { NONE } else { self.next(first) };
        if next >> SLOT_BITS != first >> SLOT_BITS {
            self.words.set(self.header(first), word(self.free, 0));
            self.free = first >> SLOT_BITS;
        }
        next
    }

    /// Gives up all rows of a key at once.
    pub(in crate::rules) fn pop_all(&mut self, first: Row, last: Row) {
        if first != NONE {
            self.words.set(self.header(last), word(self.free, 0));
            self.free = first >> SLOT_BITS;
        }
    }

    #[inline]
    pub(in crate::rules) fn load(&self, row: Row, memory: Memory) {
        if row != NONE {
            self.words.load(self.header(row), memory);
        }
    }

    pub(in crate::rules) fn reserve(&self, memory: Memory) {
        self.words.reserve(memory);
    }

    pub(in crate::rules) fn bytes(&self) -> usize {
        self.words.bytes()
    }
}
