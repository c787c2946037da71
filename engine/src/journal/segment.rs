//! The words of a segment, or of a piece of one, and what stands at a place in them.
//!
//! Invariant: an entry is found only if its checksum, its place and its sequence number fit.

use zerocopy::IntoBytes;

use super::format::{Kind, WORD_BYTES, Word, prefix};
use crate::sys::crc::Crc32c;

/// A segment in memory.
#[derive(Default)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// The file, its last word filled up with zeros.
    pub(super) words: Vec<u64>,
    /// Length of the file.
    pub(super) bytes: usize,
    pub(super) salt: u32,
    /// Bytes from here on may be torn, as the last group on a disk that lost power; none in memory.
    pub(super) torn_from: Option<u64>,
}

/// What stands at a place.
pub(super) enum Found {
    Entry { kind: Kind, payload: std::ops::Range<usize>, crc: u32 },
    Unwritten,
    Bad,
}

impl Segment {
    /// Parses the entry at byte `at`, which must be of sequence number `seq`.
    pub(super) fn parse(&self, crc: Crc32c, at: usize, seq: u64) -> Found {
        let (place, whole) = (at / WORD_BYTES, self.bytes / WORD_BYTES);
        if place >= whole || self.words[place] == 0 {
            return Found::Unwritten;
        }
        let word = Word::new(self.words[place]);
        let payload = place + 1..place + 1 + word.words();
        let Some(kind) = word.kind() else { return Found::Bad };
        if payload.is_empty() || payload.end > whole || word.seq_from(seq) != seq {
            return Found::Bad;
        }
        let start = crc.words(self.salt, &[prefix(word.low, seq)]);
        if crc.words(start, &self.words[payload.clone()]) != word.crc {
            return Found::Bad;
        }
        Found::Entry { kind, payload, crc: word.crc }
    }

    /// Bytes from `at` to the last one that is not zero.
    pub(super) fn bytes_after(&self, at: usize) -> usize {
        let rest = &self.words.as_bytes()[at.min(self.bytes)..self.bytes];
        rest.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
    }

    /// Whether any whole entry of sequence number `seq` or later stands behind `at`, which then
    /// would be damage.
    pub(super) fn is_followed(&self, crc: Crc32c, at: usize, seq: u64) -> bool {
        if self.torn_from.is_some_and(|from| at as u64 >= from) {
            return false;
        }
        (at + WORD_BYTES..self.bytes).step_by(WORD_BYTES).any(|place| {
            let Some(&word) = self.words.get(place / WORD_BYTES) else { return false };
            let seq = Word::new(word).seq_from(seq);
            word != 0 && matches!(self.parse(crc, place, seq), Found::Entry { .. })
        })
    }
}
