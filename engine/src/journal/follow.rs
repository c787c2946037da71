//! Follows a journal while it is written.
//!
//! ```text
//! writer    ──append──> segment file (memory) ──append──> next segment
//! follower        ──read──^                                (other thread, other core)
//!                 ──read──> its copy on disk, where it is not in memory any more
//! ```
//!
//! Invariant: asks nothing of the writer and never makes it wait: it reads the files, a piece at a
//! time, and takes an entry only if its checksum fits. What does not is taken for an entry that is
//! being written, and looked at again later.

use std::io;
use std::path::{Path, PathBuf};

use corelane_feeds::record::Record;
use zerocopy::FromBytes;

use super::entry::{EntryRef, Place};
use super::format::{
    End as EndMarker, HEADER_BYTES, Kind, MAGIC, SegmentHeader, VERSION, WORD_BYTES,
};
use super::reader::{is_there_and_begun, segments_of_both};
use super::segment::{Found, Segment, Source};
use super::{COMPRESSED_SUFFIX, Damage, JournalError, segment_path};
use crate::sys::crc::Crc32c;

/// So many looks in vain at bytes that are no entry make them damage: an append takes nanoseconds.
const LOOKS_MAX: u32 = 1_000;

/// What comes next in a journal.
pub enum Followed<'a> {
    /// An entry.
    Entry(EntryRef<'a>),
    /// Nothing yet.
    Nothing,
    /// Nothing more: its writer closed it.
    Closed,
}

/// See the module.
pub struct Follower {
    hot: PathBuf,
    durable: Option<PathBuf>,
    crc: Crc32c,
    /// The segment at hand, and its header once it was begun.
    segment: Segment,
    header: Option<SegmentHeader>,
    number: u64,
    /// Where the next entry is expected.
    at: usize,
    next_seq: u64,
    /// Place and checksum of the end marker before, which the next segment names.
    link: Option<(u64, u32)>,
    /// Where to begin, until the first segment is open.
    from: Option<Place>,
    /// Looks in vain at the same bytes.
    looks: u32,
}

impl Follower {
    /// Follows the journal in a shard's folder from behind a place, or from its oldest segment on.
    /// Of segments that are not in memory its copy is read, if it has one.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub fn open(
        hot: &Path,
        durable: Option<&Path>,
        from: Option<&Place>,
    ) -> Result<Self, JournalError> {
        let all = segments_of_both(hot, durable)?;
        let oldest = all.first().map_or(0, |(number, _)| *number);
        let number = from.map_or(oldest, |place| place.segment.max(oldest));
        Ok(Self {
            hot: hot.to_owned(),
            durable: durable.map(Path::to_owned),
            crc: Crc32c::detect(),
            segment: Segment::default(),
            header: None,
            number,
            at: 0,
            next_seq: 1,
            link: None,
            from: from.copied(),
            looks: 0,
        })
    }

    /// The next entry, if there is one.
    ///
    /// # Errors
    /// If the journal cannot be read, is damaged, or its oldest entries went before they were read.
    pub fn read(&mut self) -> Result<Followed<'_>, JournalError> {
        let mut is_fresh = false;
        let (kind, payload, crc) = loop {
            if self.header.is_none() && !self.begin()? {
                return Ok(Followed::Nothing);
            }
            match self.segment.parse(self.crc, self.at, self.next_seq) {
                Found::Entry { kind: Kind::End, payload, crc } => {
                    if !self.take_end(payload, crc)? {
                        return Ok(Followed::Closed);
                    }
                    is_fresh = false;
                }
                Found::Entry { kind, payload, crc } => break (kind, payload, crc),
                _ if !is_fresh => {
                    self.fill()?;
                    is_fresh = true;
                }
                Found::Unwritten => return Ok(Followed::Nothing),
                Found::Bad => return self.wait().map(|()| Followed::Nothing),
            }
        };
        let (seq, segment, offset) = (self.next_seq, self.number, self.at as u64);
        let bytes = self.segment.payload(payload);
        let record = Record::from_bytes(bytes).ok().filter(|r| r.header.bytes() == bytes.len());
        let Some(record) = record else {
            return Err(JournalError::Damaged { segment, offset, why: Damage::Record });
        };
        self.at += WORD_BYTES + bytes.len();
        self.next_seq += 1;
        self.looks = 0;
        let journal_id = self.header.map_or([0; 2], |header| header.journal_id);
        Ok(Followed::Entry(EntryRef { journal_id, seq, kind, segment, offset, crc, record }))
    }

    /// Bytes that are no entry: they may be one soon.
    fn wait(&mut self) -> Result<(), JournalError> {
        self.looks += 1;
        if self.looks < LOOKS_MAX { Ok(()) } else { Err(self.damaged(Damage::Entry)) }
    }

    /// Reads the segment on from the place at hand.
    fn fill(&mut self) -> Result<(), JournalError> {
        let read = self.segment.read_on(self.at);
        read.map_err(JournalError::io("read", &segment_path(&self.hot, self.number)))
    }

    /// Opens the segment at hand, if its writer has begun it.
    fn begin(&mut self) -> Result<bool, JournalError> {
        let Some(source) = self.find()? else { return Ok(false) };
        let mut bytes = [0; HEADER_BYTES];
        let path = segment_path(&self.hot, self.number);
        let read = source.read_at(&mut bytes, 0).map_err(JournalError::io("read", &path))?;
        let header = SegmentHeader::read_from_bytes(&bytes);
        let header = header.ok().filter(|header| read == HEADER_BYTES && header.magic == MAGIC);
        let Some(header) = header else { return Ok(false) };
        if header.version != VERSION {
            return Err(self.damaged(Damage::Version(header.version)));
        }
        if !header.is_whole(self.crc) || header.segment != self.number {
            return self.wait().map(|()| false);
        }
        let is_linked = self.link.is_none_or(|link| {
            (header.previous_end, header.previous_crc) == link && header.base_seq == self.next_seq
        });
        if !is_linked {
            return Err(self.damaged(Damage::Link));
        }
        self.segment.open(source).map_err(JournalError::io("open", &path))?;
        (self.segment.salt, self.segment.number) = (header.salt(self.crc), self.number);
        (self.at, self.next_seq, self.looks) = (HEADER_BYTES, header.base_seq, 0);
        self.header = Some(header);
        if let Some(from) = self.from.take() {
            self.go_behind(&from, &header)?;
        }
        Ok(true)
    }

    /// Finds the segment at hand, if it is there: in memory, or else, as it has left that, on disk.
    fn find(&self) -> Result<Option<Source>, JournalError> {
        let there = |path: PathBuf| match Source::open(&path) {
            Ok(source) => Ok(Some(source)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(JournalError::io("open", &path)(error)),
        };
        for dir in [Some(&self.hot), self.durable.as_ref()].into_iter().flatten() {
            let plain = segment_path(dir, self.number);
            let compressed = dir.join(format!("{:010}{COMPRESSED_SUFFIX}", self.number));
            if let Some(source) = there(plain)? {
                return Ok(Some(source));
            }
            if let Some(source) = there(compressed)? {
                return Ok(Some(source));
            }
        }
        // Later ones that were begun mean that it was deleted.
        let all = segments_of_both(&self.hot, self.durable.as_deref())?;
        if all.iter().any(|(number, _)| *number == self.number) {
            return Ok(None);
        }
        for (_, path) in all.iter().filter(|(number, _)| *number > self.number) {
            if is_there_and_begun(path)? {
                return Err(JournalError::Missing { segment: self.number });
            }
        }
        Ok(None)
    }

    /// Whether the segment behind the one at hand was begun.
    fn is_followed(&self) -> Result<bool, JournalError> {
        for dir in [Some(&self.hot), self.durable.as_ref()].into_iter().flatten() {
            let path = segment_path(dir, self.number + 1);
            if is_there_and_begun(&path)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Goes behind the entry of a place.
    fn go_behind(&mut self, from: &Place, header: &SegmentHeader) -> Result<(), JournalError> {
        if header.journal_id != from.journal_id {
            return Err(self.damaged(Damage::Foreign));
        }
        if self.number > from.segment {
            let is_next = header.base_seq == from.seq + 1;
            let missing = JournalError::Missing { segment: from.segment };
            return if is_next { Ok(()) } else { Err(missing) };
        }
        (self.at, self.next_seq) = (from.offset as usize, from.seq);
        self.fill()?;
        match self.segment.parse(self.crc, self.at, from.seq) {
            Found::Entry { payload, crc, .. } if crc == from.crc => {
                self.at += WORD_BYTES * (1 + payload.len());
                self.next_seq += 1;
                Ok(())
            }
            _ => Err(self.damaged(Damage::Entry)),
        }
    }

    /// Takes an end marker; whether another segment goes on.
    fn take_end(
        &mut self,
        payload: std::ops::Range<usize>,
        crc: u32,
    ) -> Result<bool, JournalError> {
        let end = EndMarker::read_from_bytes(self.segment.payload(payload));
        let Some(end) = end.ok().filter(|end| end.next_seq == self.next_seq) else {
            return Err(self.damaged(Damage::Entry));
        };
        // A journal that was closed may have been gone on with.
        if end.next_segment == EndMarker::CLOSED && !self.is_followed()? {
            return Ok(false);
        }
        self.link = Some((self.at as u64, crc));
        self.number += 1;
        self.header = None;
        Ok(true)
    }

    fn damaged(&self, why: Damage) -> JournalError {
        JournalError::Damaged { segment: self.number, offset: self.at as u64, why }
    }
}
