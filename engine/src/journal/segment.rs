//! A segment as it is read: a piece of it in memory, and what stands at a place there.
//!
//! ```text
//! segment   | header | entry | entry | entry | entry | entry | ...          | mark |
//!                            begins ^----- piece -----^ ends    ^ bytes
//! ```
//!
//! Pieces are small enough to stay in a CPU's cache until they are parsed. Which piece is there is
//! for the reader to say.
//!
//! Invariant: an entry is found only if its checksum, its place and its sequence number fit.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use zerocopy::IntoBytes;

use super::format::{Kind, WORD_BYTES, Word, prefix};
use super::mark::{self, MARK_BYTES};
use super::retain;
use crate::sys::crc::Crc32c;

/// How much is read at once; every entry is shorter.
const PIECE_BYTES: usize = 1 << 18;

/// Where a segment is read from.
pub(super) enum Source {
    /// Its file.
    File(File),
    /// One that was compressed, as it was before.
    Bytes(Vec<u8>),
}

/// A segment of which a piece is in memory.
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) salt: u32,
    /// Its length as far as is known, without its mark.
    pub(super) bytes: usize,
    /// Bytes from here on may be torn, as the last group on a disk that lost power; none in memory.
    torn_from: Option<u64>,
    source: Source,
    /// The piece; a last word that is not whole is filled up with zeros.
    words: Vec<u64>,
    /// Where the piece begins and ends, in bytes of the segment.
    begins: usize,
    ends: usize,
}

/// What stands at a place.
pub(super) enum Found {
    /// A whole entry, its payload as [`Segment::payload`] takes it.
    Entry { kind: Kind, payload: Range<usize>, crc: u32 },
    /// Nothing, or nothing that is in memory.
    Unwritten,
    /// No whole entry.
    Bad,
}

impl Default for Segment {
    fn default() -> Self {
        Self {
            number: 0,
            salt: 0,
            bytes: 0,
            torn_from: None,
            source: Source::Bytes(Vec::new()),
            words: Vec::new(),
            begins: 0,
            ends: 0,
        }
    }
}

impl Segment {
    /// Takes the place of the one before, of which only memory is used on: with nothing read, and
    /// the number and salt yet to be set.
    pub(super) fn open(&mut self, source: Source) -> io::Result<()> {
        self.bytes = source.bytes()?;
        (self.source, self.torn_from) = (source, None);
        (self.begins, self.ends) = (0, 0);
        Ok(())
    }

    /// Looks for the mark at its end, which is not counted among its bytes.
    pub(super) fn find_mark(&mut self) -> io::Result<()> {
        let mut block = [0; MARK_BYTES];
        let Some(at) = self.bytes.checked_sub(MARK_BYTES) else { return Ok(()) };
        let read = self.source.read_at(&mut block, at as u64)?;
        self.torn_from = mark::find(&block[..read]);
        if self.torn_from.is_some() {
            self.bytes = at;
        }
        Ok(())
    }

    /// Reads the piece from byte `at` on; what is behind its length is read, too, if that grew.
    pub(super) fn read_on(&mut self, at: usize) -> io::Result<()> {
        self.read_piece(at, PIECE_BYTES).map(drop)
    }

    /// Reads the piece from byte `at` on, no further than its length.
    pub(super) fn read(&mut self, at: usize) -> io::Result<()> {
        self.read_whole(at, PIECE_BYTES.min(self.bytes.saturating_sub(at)))
    }

    /// Reads all from byte `at` on, unless it is there.
    pub(super) fn read_rest(&mut self, at: usize) -> io::Result<()> {
        let end = self.bytes.max(at);
        if self.begins <= at && self.ends == end {
            return Ok(());
        }
        self.read_whole(at, end - at)
    }

    fn read_whole(&mut self, at: usize, wanted: usize) -> io::Result<()> {
        let read = self.read_piece(at, wanted)?;
        if read < wanted {
            // It was cut since it was opened, as a writer does that closes its journal.
            self.bytes = at + read;
        }
        Ok(())
    }

    fn read_piece(&mut self, at: usize, wanted: usize) -> io::Result<usize> {
        debug_assert!(at.is_multiple_of(WORD_BYTES));
        let words = wanted.div_ceil(WORD_BYTES);
        if self.words.len() < words {
            self.words.resize(words, 0);
        }
        if let Some(last) = self.words[..words].last_mut() {
            *last = 0;
        }
        let read = self.source.read_at(&mut self.words.as_mut_bytes()[..wanted], at as u64)?;
        (self.begins, self.ends) = (at, at + read);
        Ok(read)
    }

    /// From its first byte to the end of the piece, if that begins there.
    pub(super) fn beginning(&self) -> &[u8] {
        if self.begins == 0 { self.piece() } else { &[] }
    }

    fn piece(&self) -> &[u8] {
        &self.words.as_bytes()[..self.ends - self.begins]
    }

    /// The payload of the entry that was parsed last.
    pub(super) fn payload(&self, payload: Range<usize>) -> &[u8] {
        self.words[payload].as_bytes()
    }

    /// Parses the entry at byte `at`, which must be of sequence number `seq`. A place outside the
    /// piece is unwritten, an entry that goes on behind it bad.
    #[inline]
    pub(super) fn parse(&self, crc: Crc32c, at: usize, seq: u64) -> Found {
        let Some(place) = at.checked_sub(self.begins) else { return Found::Unwritten };
        let (place, whole) = (place / WORD_BYTES, (self.ends - self.begins) / WORD_BYTES);
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

    /// Bytes from `at` to the last one of the piece that is not zero.
    pub(super) fn bytes_after(&self, at: usize) -> usize {
        let piece = self.piece();
        let rest = &piece[at.saturating_sub(self.begins).min(piece.len())..];
        rest.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
    }

    /// Whether any whole entry of sequence number `seq` or later stands in the piece behind `at`,
    /// which then would be damage.
    pub(super) fn is_followed(&self, crc: Crc32c, at: usize, seq: u64) -> bool {
        if self.torn_from.is_some_and(|from| at as u64 >= from) {
            return false;
        }
        (at + WORD_BYTES..self.ends).step_by(WORD_BYTES).any(|place| {
            let word =
                place.checked_sub(self.begins).and_then(|at| self.words.get(at / WORD_BYTES));
            let Some(&word) = word else { return false };
            let seq = Word::new(word).seq_from(seq);
            word != 0 && matches!(self.parse(crc, place, seq), Found::Entry { .. })
        })
    }
}

impl Source {
    /// Opens a segment's file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if !retain::is_compressed(path) {
            return Ok(Self::File(File::open(path)?));
        }
        Ok(Self::Bytes(retain::read(path)?))
    }

    fn bytes(&self) -> io::Result<usize> {
        Ok(match self {
            Self::File(file) => file.metadata()?.len() as usize,
            Self::Bytes(all) => all.len(),
        })
    }

    /// Fills as much as there is from `at` on; returns how much.
    pub(super) fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        match self {
            Self::File(file) => read_at(file, bytes, at),
            Self::Bytes(all) => {
                let rest = all.get(at as usize..).unwrap_or_default();
                let read = rest.len().min(bytes.len());
                bytes[..read].copy_from_slice(&rest[..read]);
                Ok(read)
            }
        }
    }
}

/// Fills as much as the file has from `at` on.
fn read_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> io::Result<usize> {
    let mut total = 0;
    while !bytes.is_empty() {
        match file.read_at(bytes, at) {
            Ok(0) => break,
            Ok(read) => {
                bytes = &mut bytes[read..];
                (at, total) = (at + read as u64, total + read);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}
