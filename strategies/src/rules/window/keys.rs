//! The key table: open addressing with linear probing, a key's state lying in its entry.
//!
//! ```text
//! word 0       1            2            3                 4 ..  4 + key ..
//! [newest] [used|live] [last|first] [frame|frame rows] [ key ] [ sums .. ]      whole lines
//! ```
//! An entry of one key word, a count and an integer sum is one cache line.
//!
//! Invariant: an entry whose `used` is 0 is vacant and all zero; every key lies within
//! [`PROBES_MAX`] of its home, with no vacant entry between; `live` lists the entries in use.

use super::lines::{LINE, Lines, halves, word};
use super::rows::Row;
use super::spec::SpecError;
use crate::memory::Memory;

/// How far a key may lie from its home.
pub(in crate::rules) const PROBES_MAX: usize = 128;
/// Words of a [`Head`].
const HEAD: usize = 4;

/// What an entry begins with.
#[derive(Copy, Clone, Debug, Default)]
pub(in crate::rules) struct Head {
    /// The newest time of its rows.
    pub(in crate::rules) newest: u64,
    /// When it was last updated, an odd number.
    pub(in crate::rules) used: u32,
    /// Its place in the list of entries in use.
    pub(in crate::rules) live: u32,
    /// The first row that is kept.
    pub(in crate::rules) first: Row,
    /// The last row.
    pub(in crate::rules) last: Row,
    /// The first row of the newest row's frame.
    pub(in crate::rules) frame: Row,
    /// Rows from there to the last.
    pub(in crate::rules) frame_rows: u32,
}

impl Head {
    #[inline]
    fn read(words: &[u64]) -> Self {
        let ((used, live), (last, first)) = (halves(words[1]), halves(words[2]));
        let (frame, frame_rows) = halves(words[3]);
        Self { newest: words[0], used, live, first, last, frame, frame_rows }
    }

    #[inline]
    fn write(self, words: &mut [u64]) {
        words[0] = self.newest;
        words[1] = word(self.used, self.live);
        words[2] = word(self.last, self.first);
        words[3] = word(self.frame, self.frame_rows);
    }

    /// Rows of an unbounded frame, none of which need be kept.
    #[inline]
    pub(in crate::rules) fn rows_seen(&self) -> u64 {
        word(self.frame, self.frame_rows)
    }

    /// Counts one more of them.
    #[inline]
    pub(in crate::rules) fn see_row(&mut self) {
        (self.frame, self.frame_rows) = halves(self.rows_seen() + 1);
    }
}

/// Why a key has no entry yet.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(in crate::rules) enum Full {
    /// As many keys as there may be.
    Keys,
    /// This entry must go before another key can have its place.
    Crowded(usize),
}

pub(in crate::rules) struct Keys {
    words: Lines,
    /// Words of an entry.
    stride: usize,
    key_words: usize,
    state_words: usize,
    entries: usize,
    live: Vec<u32>,
    max: usize,
}

/// A hash of a key: the same on every machine, in every run.
#[inline]
pub(in crate::rules) fn hash(key: &[u64]) -> u64 {
    key.iter().fold(0x9E37_79B9_7F4A_7C15, |hash, &word| mix(hash ^ word))
}

/// A word whose every bit depends on every bit of the given one.
#[inline]
pub(in crate::rules) fn mix(word: u64) -> u64 {
    let wide = u128::from(word ^ 0xA076_1D64_78BD_642F) * 0xE703_7ED1_A0B4_28DB;
    let folded = (wide as u64) ^ (wide >> 64) as u64;
    (folded ^ folded >> 32).wrapping_mul(0x9FB2_1C65_1E98_DF25)
}

/// Keys have a word or a few: a loop is sooner done than the call that comparing slices is.
#[inline]
fn is_same(one: &[u64], other: &[u64]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one == other)
}

impl Keys {
    pub(in crate::rules) fn new(
        keys_max: usize,
        key_words: usize,
        state_words: usize,
    ) -> Result<Self, SpecError> {
        let stride = (HEAD + key_words + state_words).next_multiple_of(LINE);
        // Entries of a line or two are cheap: half of them vacant keeps probes to the first.
        let entries = if stride <= 2 * LINE { keys_max * 2 } else { keys_max + keys_max / 2 } + 4;
        let words = Lines::new(entries.checked_mul(stride).ok_or(SpecError::Memory)?)?;
        let live = Vec::with_capacity(keys_max);
        Ok(Self { words, stride, key_words, state_words, entries, live, max: keys_max })
    }

    pub(in crate::rules) fn entries(&self) -> usize {
        self.entries
    }

    /// The entries in use.
    pub(in crate::rules) fn live(&self) -> &[u32] {
        &self.live
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.entries as u128) >> 64) as usize
    }

    #[inline]
    fn after(&self, entry: usize) -> usize {
        if entry + 1 == self.entries { 0 } else { entry + 1 }
    }

    #[inline]
    pub(in crate::rules) fn vacant(&self, entry: usize) -> bool {
        halves(self.words.at(entry * self.stride + 1)).0 == 0
    }

    #[inline]
    pub(in crate::rules) fn head(&self, entry: usize) -> Head {
        Head::read(self.words.get(entry * self.stride, HEAD))
    }

    #[inline]
    pub(in crate::rules) fn set_head(&mut self, entry: usize, head: Head) {
        head.write(self.words.get_mut(entry * self.stride, HEAD));
    }

    #[inline]
    pub(in crate::rules) fn key(&self, entry: usize) -> &[u64] {
        self.words.get(entry * self.stride + HEAD, self.key_words)
    }

    /// The sums and whatever else the aggregates keep for a key.
    #[inline]
    pub(in crate::rules) fn state(&self, entry: usize) -> &[u64] {
        self.words.get(entry * self.stride + HEAD + self.key_words, self.state_words)
    }

    #[inline]
    pub(in crate::rules) fn state_mut(&mut self, entry: usize) -> &mut [u64] {
        self.words.get_mut(entry * self.stride + HEAD + self.key_words, self.state_words)
    }

    /// The entry of a key.
    #[inline]
    pub(in crate::rules) fn find(&self, hash: u64, key: &[u64]) -> Option<usize> {
        let mut entry = self.home(hash);
        for _ in 0..PROBES_MAX.min(self.entries) {
            if self.vacant(entry) {
                return None;
            }
            if is_same(self.key(entry), key) {
                return Some(entry);
            }
            entry = self.after(entry);
        }
        None
    }

    /// An entry for a key that has none, `used` at the given time.
    pub(in crate::rules) fn insert(
        &mut self,
        hash: u64,
        key: &[u64],
        used: u32,
    ) -> Result<usize, Full> {
        if self.live.len() == self.max {
            return Err(Full::Keys);
        }
        let mut entry = self.home(hash);
        let mut least = (0, entry);
        for _ in 0..PROBES_MAX.min(self.entries) {
            if self.vacant(entry) {
                self.occupy(entry, key, used);
                return Ok(entry);
            }
            let age = used.wrapping_sub(self.head(entry).used);
            least = least.max((age, entry));
            entry = self.after(entry);
        }
        Err(Full::Crowded(least.1))
    }

    /// Gives a vacant entry to a key.
    pub(in crate::rules) fn occupy(&mut self, entry: usize, key: &[u64], used: u32) {
        let live = self.live.len() as u32;
        self.live.push(entry as u32);
        self.set_head(entry, Head { used, live, ..Head::default() });
        let at = entry * self.stride + HEAD;
        self.words.get_mut(at, self.key_words).copy_from_slice(key);
    }

    /// Makes an entry vacant; those that probed past it move up.
    pub(in crate::rules) fn remove(&mut self, entry: usize) {
        let live = self.head(entry).live as usize;
        self.live.swap_remove(live);
        if let Some(&moved) = self.live.get(live) {
            self.relist(moved as usize, live);
        }
        let (mut gap, mut entry) = (entry, entry);
        for _ in 1..self.entries {
            entry = self.after(entry);
            if self.vacant(entry) {
                break;
            }
            let distance = |from: usize| (entry + self.entries - from) % self.entries;
            if distance(self.home(hash(self.key(entry)))) >= distance(gap) {
                self.words.copy(entry * self.stride, gap * self.stride, self.stride);
                let live = self.head(gap).live as usize;
                self.live[live] = gap as u32;
                gap = entry;
            }
        }
        self.words.get_mut(gap * self.stride, self.stride).fill(0);
    }

    fn relist(&mut self, entry: usize, live: usize) {
        let head = self.head(entry);
        self.set_head(entry, Head { live: live as u32, ..head });
    }

    /// Asks for the lines of a key's home.
    #[inline]
    pub(in crate::rules) fn load(&self, hash: u64, memory: Memory) {
        let at = self.home(hash) * self.stride;
        for line in (0..self.stride).step_by(LINE).take(4) {
            self.words.load(at + line, memory);
        }
    }

    pub(in crate::rules) fn reserve(&self, memory: Memory) {
        self.words.reserve(memory);
    }

    pub(in crate::rules) fn bytes(&self) -> usize {
        self.words.bytes() + self.live.capacity() * 4
    }
}
