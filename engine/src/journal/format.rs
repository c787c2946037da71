//! The bytes of a segment: its header, the word before every entry, the end marker. Pure functions
//! that the writer and the reader share; the layout is drawn in [`super`].
//!
//! Invariant: every byte of a segment that was written is covered by a checksum, and every checksum
//! of an entry is bound to its journal, segment and sequence number.

use corelane_feeds::units::Nanos;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::sys::crc::Crc32c;

/// First word of every segment in use, written last: a segment whose magic is zero was prepared but
/// never begun.
pub const MAGIC: u64 = u64::from_le_bytes(*b"CORELANE");
/// The version of the layout that this module describes.
pub const VERSION: u32 = 1;
/// Bytes of a [`SegmentHeader`]; the first entry follows.
pub const HEADER_BYTES: usize = 128;
/// Bytes of the word before every entry.
pub const WORD_BYTES: usize = 8;
/// Bytes of the end marker with its word.
pub const END_BYTES: usize = WORD_BYTES + size_of::<End>();
/// Offset of the header's checksum, which covers everything before it.
const HEADER_CRC_OFFSET: usize = HEADER_BYTES - 8;

/// What a segment begins with.
#[derive(Copy, Clone, PartialEq, Eq, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct SegmentHeader {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`VERSION`].
    pub version: u32,
    /// The shard whose journal this is.
    pub shard: u32,
    /// The journal, the same in all its segments: low and high half of 128 random bits.
    pub journal_id: [u64; 2],
    /// Number of the segment, from 0.
    pub segment: u64,
    /// Sequence number of the segment's first entry; the journal's first is 1.
    pub base_seq: u64,
    /// Length of the file while the segment is written.
    pub bytes: u64,
    /// What the configuration hashed to; 0 if unknown.
    pub config_hash: u64,
    /// When the segment was prepared.
    pub created: Nanos,
    /// Where the previous segment's end marker stands; 0 in the first segment.
    pub previous_end: u64,
    /// Checksum of the previous segment's end marker; 0 in the first segment.
    pub previous_crc: u32,
    /// Zero.
    pub reserved: [u32; 9],
    /// CRC-32C of everything before.
    pub crc: u32,
    /// Zero.
    pub pad: u32,
}

const _: () = assert!(size_of::<SegmentHeader>() == HEADER_BYTES);

impl SegmentHeader {
    /// Fills in the checksum.
    pub(crate) fn seal(&mut self, crc: Crc32c) {
        self.crc = self.checksum(crc);
    }

    fn checksum(&self, crc: Crc32c) -> u32 {
        crc.words(0, &self.words()[..HEADER_CRC_OFFSET / 8])
    }

    /// Whether every byte is as the writer left it.
    pub(crate) fn is_whole(&self, crc: Crc32c) -> bool {
        self.crc == self.checksum(crc) && self.pad == 0
    }

    /// The header as the words it takes in the segment.
    pub(crate) fn words(&self) -> [u64; HEADER_BYTES / 8] {
        zerocopy::transmute!(*self)
    }

    /// What the checksum of the segment's every entry begins with, so that an entry of another
    /// journal or segment is never taken for one of this.
    pub(crate) fn salt(&self, crc: Crc32c) -> u32 {
        crc.words(0, &[self.journal_id[0], self.journal_id[1], self.segment])
    }
}

/// What an entry is.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A record that the shard consumed.
    Input = 1,
    /// A record that the shard emitted.
    Action = 2,
    /// A note of the engine itself: a change of rules, a snapshot taken.
    Control = 3,
    /// Nothing more in this segment. Holds [`End`] and has no sequence number of its own.
    End = 4,
}

impl Kind {
    /// The kind that a number names.
    #[must_use]
    pub const fn from_u8(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Input),
            2 => Some(Self::Action),
            3 => Some(Self::Control),
            4 => Some(Self::End),
            _ => None,
        }
    }

    /// The kind's name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Action => "action",
            Self::Control => "control",
            Self::End => "end",
        }
    }
}

/// Payload of the end marker.
#[derive(Copy, Clone, PartialEq, Eq, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct End {
    /// The segment that goes on, or [`End::CLOSED`].
    pub next_segment: u64,
    /// Sequence number of the next entry.
    pub next_seq: u64,
}

impl End {
    /// `next_segment` of a journal that was closed.
    pub const CLOSED: u64 = u64::MAX;
}

/// The end marker as the words it takes in a segment whose checksums begin with `salt`, and its
/// checksum.
pub(crate) fn end_words(crc: Crc32c, salt: u32, end: End) -> ([u64; END_BYTES / 8], u32) {
    let payload: [u64; size_of::<End>() / 8] = zerocopy::transmute!(end);
    let low = word_low(payload.len(), Kind::End, end.next_seq);
    let sum = crc.words(crc.words(salt, &[prefix(low, end.next_seq)]), &payload);
    ([u64::from(low) | u64::from(sum) << 32, payload[0], payload[1]], sum)
}

/// The low half of an entry's word.
#[inline]
pub(crate) const fn word_low(words: usize, kind: Kind, seq: u64) -> u32 {
    debug_assert!(words > 0 && words <= 0xff);
    words as u32 | (kind as u32) << 8 | (seq as u32) << 16
}

/// What the checksum of an entry covers besides its payload: the low half of the word, and more of
/// the sequence number than the word has room for.
#[inline]
pub(crate) const fn prefix(low: u32, seq: u64) -> u64 {
    low as u64 | seq << 32
}

/// An entry's word, taken apart.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Word {
    pub(crate) low: u32,
    pub(crate) crc: u32,
}

impl Word {
    pub(crate) const fn new(word: u64) -> Self {
        Self { low: word as u32, crc: (word >> 32) as u32 }
    }

    /// Words of the payload.
    pub(crate) const fn words(self) -> usize {
        (self.low & 0xff) as usize
    }

    pub(crate) const fn kind(self) -> Option<Kind> {
        Kind::from_u8((self.low >> 8) as u8)
    }

    /// The first sequence number from `from` on that ends in the 16 bits that the word holds.
    pub(crate) const fn seq_from(self, from: u64) -> u64 {
        from + ((self.low >> 16) as u16).wrapping_sub(from as u16) as u64
    }
}
