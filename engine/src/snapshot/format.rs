//! The bytes of a snapshot.
//!
//! ```text
//! snapshot-00000000000001234567
//!
//! 0       8         12      16           32    40        48       56          60
//! | magic | version | shard | journal id | seq | segment | offset | entry crc | sections |
//! 64            72      80        88      96         120      124   128
//! | config hash | rules | created | bytes | reserved | crc32c | pad | section | section | ...
//!
//! a section: 8-byte aligned
//!
//! 0      4        8       16
//! | kind | crc32c | bytes | payload, filled up with zeros to whole words |
//! ```
//!
//! `seq`, `segment`, `offset` and `entry crc` are of the last entry of the journal that is in it.
//!
//! Invariant: every byte is covered by a checksum or is zero, and every section comes once.

use corelane_feeds::units::Nanos;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::Unfit;
use crate::journal::Place;
use crate::sys::crc::Crc32c;

/// First word of a snapshot.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"CORESNAP");
/// The version of the layout that this module describes.
pub(super) const VERSION: u32 = 1;
/// Bytes of a [`SnapshotHeader`]; the first section follows.
pub(super) const HEADER_BYTES: usize = 128;
/// Bytes before a section's payload.
const SECTION_BYTES: usize = 16;
/// What the header's checksum covers.
const HEADER_CRC_OFFSET: usize = HEADER_BYTES - 8;

/// What a snapshot begins with.
#[derive(Copy, Clone, PartialEq, Eq, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct SnapshotHeader {
    /// `MAGIC`.
    pub magic: u64,
    /// `VERSION`.
    pub version: u32,
    /// The shard whose state it is.
    pub shard: u32,
    /// The journal that led to it.
    pub journal_id: [u64; 2],
    /// Sequence number of the last entry that is in it.
    pub seq: u64,
    /// The segment of that entry.
    pub segment: u64,
    /// Where its word stands in the segment.
    pub offset: u64,
    /// Its checksum.
    pub entry_crc: u32,
    /// How many sections there are.
    pub sections: u32,
    /// What the configuration that decides hashed to, rules apart.
    pub config_hash: u64,
    /// Names the rules in force.
    pub rules: u64,
    /// When it was written.
    pub created: Nanos,
    /// Length of the file.
    pub bytes: u64,
    /// Zero.
    pub reserved: [u64; 3],
    /// CRC-32C of everything before.
    pub crc: u32,
    /// Zero.
    pub pad: u32,
}

const _: () = assert!(size_of::<SnapshotHeader>() == HEADER_BYTES);

impl SnapshotHeader {
    /// The place in the journal behind which it goes on.
    #[must_use]
    pub fn place(&self) -> Place {
        let Self { journal_id, segment, offset, seq, entry_crc, .. } = *self;
        Place { journal_id, segment, offset, seq, crc: entry_crc }
    }
}

/// What a section holds.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Section {
    /// Counts, watermark, places of feeds.
    Places = 1,
    /// Numbers that feeds gave to symbols.
    Symbols = 2,
    /// Names of rules by number.
    Rules = 3,
    /// The last action that left.
    LastAction = 4,
    /// The state of every stage.
    Chain = 5,
}

impl Section {
    /// All of them, in order.
    pub const ALL: [Self; 5] =
        [Self::Places, Self::Symbols, Self::Rules, Self::LastAction, Self::Chain];
}

#[derive(Copy, Clone, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct SectionHead {
    kind: u32,
    crc: u32,
    bytes: u64,
}

const _: () = assert!(size_of::<SectionHead>() == SECTION_BYTES);

/// Puts a snapshot together in a buffer: the header's place first, then sections in order.
pub(super) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    sections: u32,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        out.clear();
        out.resize(HEADER_BYTES, 0);
        Self { out, sections: 0 }
    }

    /// Adds a section of what `fill` appends.
    pub(super) fn section(&mut self, kind: Section, fill: impl FnOnce(&mut Vec<u8>)) {
        let head = self.out.len();
        self.out.resize(head + SECTION_BYTES, 0);
        fill(self.out);
        let payload = &self.out[head + SECTION_BYTES..];
        let bytes = payload.len() as u64;
        let crc = Crc32c::detect().bytes(payload);
        let place = &mut self.out[head..head + SECTION_BYTES];
        place.copy_from_slice(SectionHead { kind: kind as u32, crc, bytes }.as_bytes());
        let padded = self.out.len().next_multiple_of(8);
        self.out.resize(padded, 0);
        self.sections += 1;
    }

    /// Fills in the header.
    pub(super) fn finish(self, header: SnapshotHeader) {
        let bytes = self.out.len() as u64;
        let mut header = SnapshotHeader { bytes, sections: self.sections, ..header };
        header.crc = Crc32c::detect().bytes(&header.as_bytes()[..HEADER_CRC_OFFSET]);
        self.out[..HEADER_BYTES].copy_from_slice(header.as_bytes());
    }
}

/// Where every section's payload lies, in the order of [`Section::ALL`].
pub(super) type Sections = [std::ops::Range<usize>; Section::ALL.len()];

/// Checks the header of a file of so many bytes.
pub(super) fn read_header(start: &[u8], file_bytes: u64) -> Result<SnapshotHeader, Unfit> {
    let header = SnapshotHeader::read_from_prefix(start);
    let (header, _) = header.map_err(|_| Unfit::Damaged("it is shorter than its header"))?;
    if header.magic != MAGIC {
        return Err(Unfit::Damaged("it does not begin as a snapshot does"));
    }
    if header.version != VERSION {
        return Err(Unfit::Version(header.version));
    }
    let crc = Crc32c::detect().bytes(&header.as_bytes()[..HEADER_CRC_OFFSET]);
    if header.crc != crc || header.pad != 0 {
        return Err(Unfit::Damaged("its header is not as it was written"));
    }
    if header.bytes != file_bytes {
        return Err(Unfit::Damaged("it is not as long as it was written"));
    }
    Ok(header)
}

/// Finds and checks the sections of a whole file.
pub(super) fn read_sections(bytes: &[u8], header: &SnapshotHeader) -> Result<Sections, Unfit> {
    const BAD: Unfit = Unfit::Damaged("a section is not as it was written");
    let mut sections = Sections::default();
    if header.sections as usize != sections.len() {
        return Err(BAD);
    }
    let mut at = HEADER_BYTES;
    for (kind, section) in Section::ALL.into_iter().zip(&mut sections) {
        let head = SectionHead::read_from_prefix(bytes.get(at..).unwrap_or_default());
        let (head, _) = head.map_err(|_| BAD)?;
        let begin = at + SECTION_BYTES;
        let end = usize::try_from(head.bytes).ok().and_then(|count| begin.checked_add(count));
        let end = end.ok_or(BAD)?;
        let padded = end.checked_next_multiple_of(8).ok_or(BAD)?;
        let payload = bytes.get(begin..end).ok_or(BAD)?;
        let padding = bytes.get(end..padded).ok_or(BAD)?;
        let is_whole = head.kind == kind as u32
            && head.crc == Crc32c::detect().bytes(payload)
            && padding.iter().all(|&byte| byte == 0);
        if !is_whole {
            return Err(BAD);
        }
        *section = begin..end;
        at = padded;
    }
    if at == bytes.len() { Ok(sections) } else { Err(BAD) }
}
