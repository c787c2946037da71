//! Reads a shard's journal back, entry by entry, and says how it ends.
//!
//! Invariant: an entry is returned only if its checksum, its place and its sequence number fit; the
//! first that does not ends the reading, as a torn tail if nothing whole follows it and as damage
//! if something does. Files are read, not mapped, so nothing done to them while they are read can
//! hurt.
//!
//! What the writer is appending meanwhile may or may not be seen; open the journal again to see it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corelane_feeds::record::Record;
use zerocopy::FromBytes;

use super::entry::{Entry, EntryRef, Place};
use super::format::{
    End as EndMarker, HEADER_BYTES, Kind, MAGIC, SegmentHeader, VERSION, WORD_BYTES,
};
use super::mark::MARK_BYTES;
use super::segment::{Found, Segment, Source};
use super::{
    Damage, JournalConfig, JournalError, SEGMENT_BYTES_MAX, retain, segment_path, segments,
    shard_dir,
};
use crate::sys::crc::Crc32c;

/// What a journal has behind a place.
pub enum Behind {
    /// The reader, at the entry that follows.
    Entries(Box<JournalReader>),
    /// The journal ends before the place.
    Short,
    /// Entries between the place and the first that is there are gone.
    Gone,
    /// Another journal, or this one after it went on differently.
    Other,
}

/// How a journal ends.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Tail {
    /// It was closed: every entry is there.
    Closed,
    /// It was not closed, and ends behind a whole entry: its writer is alive, or died between two
    /// entries.
    Open,
    /// It ends within an entry, or within what was lost of several: its writer or the machine died.
    /// Everything before is whole.
    Torn {
        /// The segment.
        segment: u64,
        /// Where the last whole entry ends.
        offset: u64,
        /// Bytes behind it that are no entry.
        bytes: u64,
    },
}

/// What to read before what stands at a place counts.
enum Try {
    /// The piece that begins there.
    Piece,
    /// All behind it.
    Rest,
    /// It was read.
    Nothing,
}

/// Reads one shard's journal. An iterator; when it has ended, [`JournalReader::tail`] says how.
pub struct JournalReader {
    /// Every segment that was begun, in order.
    files: Arc<[(u64, PathBuf)]>,
    /// Place in `files` of the segment at hand.
    file: usize,
    /// Segments that were prepared and never begun.
    spare: Arc<[u64]>,
    segment: Segment,
    header: Option<SegmentHeader>,
    crc: Crc32c,
    at: usize,
    next_seq: u64,
    /// Place and checksum of the end marker at hand, if nothing was read behind it.
    end: Option<(u64, u32)>,
    tail: Option<Tail>,
    failed: bool,
    /// Only this segment is read, and whether the next follows it.
    alone: bool,
    leads_on: bool,
    /// Segment and offset behind the last entry.
    behind: (u64, u64),
}

/// Where a journal that was read to its end can be gone on with.
#[derive(Copy, Clone, Debug)]
pub struct End {
    /// Of the last segment that was begun.
    pub(super) header: SegmentHeader,
    /// Where its last entry ends.
    pub(super) at: u64,
    /// Place and checksum of its end marker, if it has one.
    pub(super) marker: Option<(u64, u32)>,
    /// Sequence number of the next entry.
    pub(super) next_seq: u64,
    /// How it ended.
    pub tail: Tail,
}

impl End {
    /// The folder of the shard in which its last segment lies: on disk only if not in memory.
    pub(super) fn dir(&self, config: &JournalConfig) -> PathBuf {
        let hot = shard_dir(&config.dir, config.shard);
        match &config.durable {
            Some(durable) if !is_in(&hot, self.header.segment) => {
                shard_dir(&durable.dir, config.shard)
            }
            _ => hot,
        }
    }
}

impl JournalReader {
    /// Opens the journal in a shard's folder, see [`super::shard_dir`]. It begins with the oldest
    /// segment that is there.
    ///
    /// # Errors
    /// If there is none, it cannot be read, or its header is damaged.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        Self::open_from(dir, 0)
    }

    /// Opens it at a segment, as if those before were not there: for who knows what was in them.
    ///
    /// # Errors
    /// As [`JournalReader::open`].
    pub fn open_from(dir: &Path, first: u64) -> Result<Self, JournalError> {
        let mut all = segments(dir)?;
        all.retain(|(number, _)| *number >= first);
        Self::open_files(dir, all)
    }

    /// Opens a journal of which a part lies in memory and a part on disk: a segment that is in both
    /// is read from memory.
    ///
    /// # Errors
    /// As [`JournalReader::open`].
    pub fn open_both(hot: &Path, durable: Option<&Path>) -> Result<Self, JournalError> {
        Self::open_files(hot, segments_of_both(hot, durable)?)
    }

    fn open_files(dir: &Path, all: Vec<(u64, PathBuf)>) -> Result<Self, JournalError> {
        if all.is_empty() {
            return Err(JournalError::NoJournal(dir.to_owned()));
        }
        let mut files = Vec::new();
        let mut spare = Vec::new();
        for (number, path) in all {
            if is_begun(&path)? {
                if let Some(&hole) = spare.first() {
                    return Err(damaged(hole, 0, Damage::Hole));
                }
                files.push((number, path));
            } else {
                spare.push(number);
            }
        }
        let mut reader = Self::at_first(files.into(), spare.into());
        reader.load(None)?;
        Ok(reader)
    }

    fn at_first(files: Arc<[(u64, PathBuf)]>, spare: Arc<[u64]>) -> Self {
        Self {
            files,
            file: 0,
            spare,
            segment: Segment::default(),
            header: None,
            crc: Crc32c::detect(),
            at: 0,
            next_seq: 1,
            end: None,
            tail: None,
            failed: false,
            alone: false,
            leads_on: false,
            behind: (0, 0),
        }
    }

    /// One of the same journal that has read nothing yet: [`JournalReader::only`] comes first.
    pub(super) fn another(&self) -> Self {
        Self::at_first(Arc::clone(&self.files), Arc::clone(&self.spare))
    }

    /// Reads the segment at hand and no further: it ends there without a tail if it leads on to the
    /// next.
    pub(super) fn alone(&mut self) {
        self.alone = true;
    }

    /// Reads only the segment at a place among those that were begun, as if those before were not
    /// there.
    pub(super) fn only(&mut self, file: usize) -> Result<(), JournalError> {
        (self.file, self.header, self.next_seq) = (file, None, 1);
        (self.tail, self.failed, self.alone, self.leads_on) = (None, false, true, false);
        self.load(None)
    }

    /// Opens it behind a place, as if nothing were before: for who knows what was. Its segments lie
    /// in memory, and those that do not on disk, as of [`JournalReader::open_both`].
    ///
    /// # Errors
    /// If the segment cannot be read, or the entry at the place is damaged.
    pub fn open_behind(
        hot: &Path,
        durable: Option<&Path>,
        place: &Place,
    ) -> Result<Behind, JournalError> {
        let mut all = segments_of_both(hot, durable)?;
        all.retain(|(number, _)| *number >= place.segment);
        let mut reader = match Self::open_files(hot, all) {
            Err(JournalError::NoJournal(_)) => return Ok(Behind::Short),
            opened => Box::new(opened?),
        };
        let Some(header) = reader.header else { return Ok(Behind::Short) };
        if header.journal_id != place.journal_id {
            return Ok(Behind::Other);
        }
        if header.segment > place.segment {
            return Ok(match header.base_seq.cmp(&(place.seq + 1)) {
                Ordering::Less => Behind::Other,
                Ordering::Equal => Behind::Entries(reader),
                Ordering::Greater => Behind::Gone,
            });
        }
        let is_place = place.offset >= HEADER_BYTES as u64
            && place.offset.is_multiple_of(WORD_BYTES as u64)
            && place.seq >= header.base_seq;
        if !is_place {
            return Ok(Behind::Other);
        }
        (reader.at, reader.next_seq) = (place.offset as usize, place.seq);
        let found = reader.read()?.map(|entry| (entry.segment, entry.crc));
        Ok(match found {
            Some(found) if found == (place.segment, place.crc) => Behind::Entries(reader),
            Some(_) => Behind::Other,
            None => Behind::Short,
        })
    }

    /// The header of the segment that is being read; none if no segment was ever begun.
    #[must_use]
    pub fn header(&self) -> Option<&SegmentHeader> {
        self.header.as_ref()
    }

    /// How many segments are there that were begun.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.files.len()
    }

    /// How the journal ends; known once the iterator ended without an error.
    #[must_use]
    pub fn tail(&self) -> Option<Tail> {
        self.tail
    }

    /// Where the journal can be gone on with, once all of it was read; none if no segment was ever
    /// begun.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        let (header, tail) = (self.header?, self.tail?);
        let (at, marker, next_seq) = (self.at as u64, self.end, self.next_seq);
        Some(End { header, at, marker, next_seq, tail })
    }

    /// Segment and offset behind the last entry read: where the journal would be cut to keep all
    /// that was read.
    #[must_use]
    pub fn position(&self) -> (u64, u64) {
        self.behind
    }

    /// Sequence number of the entry that comes next.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Reads the segment at `self.file`, which goes on after the end marker of that place and
    /// checksum.
    fn load(&mut self, link: Option<(u64, u32)>) -> Result<(), JournalError> {
        let Some((number, path)) = self.files.get(self.file) else {
            self.tail = Some(Tail::Open);
            return Ok(());
        };
        let number = *number;
        self.segment.number = number;
        open_segment(path, &mut self.segment)?;
        let header = SegmentHeader::read_from_prefix(self.segment.beginning());
        let header = header.map(|(header, _)| header).map_err(|_| Damage::Header);
        let header = header.and_then(|header| {
            self.check_header(&header, number, link)?;
            Ok(header)
        });
        let header = match header {
            Ok(header) => header,
            Err(Damage::Header) if self.header_is_torn(number)? => {
                let bytes = self.segment.bytes_after(0) as u64;
                self.tail = Some(Tail::Torn { segment: number, offset: 0, bytes });
                return Ok(());
            }
            Err(why) => return Err(damaged(number, 0, why)),
        };
        self.segment.salt = header.salt(self.crc);
        self.next_seq = header.base_seq;
        self.header = Some(header);
        self.at = HEADER_BYTES;
        self.behind = (number, HEADER_BYTES as u64);
        self.end = None;
        Ok(())
    }

    /// Whether a header that is not as it was written is the last thing that was: of the last
    /// segment, with no whole entry behind it.
    fn header_is_torn(&mut self, number: u64) -> Result<bool, JournalError> {
        self.read_rest(0)?;
        let Some(before) = self.header.filter(|_| self.file + 1 == self.files.len()) else {
            return Ok(self.segment.bytes < HEADER_BYTES && self.file + 1 == self.files.len());
        };
        let header = SegmentHeader { segment: number, ..before };
        self.segment.salt = header.salt(self.crc);
        Ok(!self.segment.is_followed(self.crc, HEADER_BYTES - WORD_BYTES, self.next_seq))
    }

    fn check_header(
        &self,
        header: &SegmentHeader,
        number: u64,
        link: Option<(u64, u32)>,
    ) -> Result<(), Damage> {
        if header.magic != MAGIC {
            return Err(Damage::Header);
        }
        if header.version != VERSION {
            return Err(Damage::Version(header.version));
        }
        if !header.is_whole(self.crc) || header.segment != number || header.base_seq == 0 {
            return Err(Damage::Header);
        }
        if let Some(before) = &self.header
            && (before.journal_id, before.shard) != (header.journal_id, header.shard)
        {
            return Err(Damage::Foreign);
        }
        // A first segment links to nothing; the oldest that is left links to one that is gone.
        let link = if number == 0 { Some((0, 0)) } else { link };
        let expected = if number == 0 { 1 } else { self.next_seq };
        let linked = link.is_none_or(|(end, crc)| {
            (header.previous_end, header.previous_crc, header.base_seq) == (end, crc, expected)
        });
        if linked { Ok(()) } else { Err(Damage::Link) }
    }

    /// Goes to the next entry: what it is, where its payload lies, its checksum.
    fn step(&mut self) -> Result<Option<(Kind, Range<usize>, u32)>, JournalError> {
        let mut tries = Try::Piece;
        while self.tail.is_none() && !self.leads_on {
            let why = match self.segment.parse(self.crc, self.at, self.next_seq) {
                Found::Entry { kind: Kind::End, payload, crc } => {
                    self.take_end(payload, crc)?;
                    tries = Try::Piece;
                    continue;
                }
                Found::Entry { kind, payload, crc } => return Ok(Some((kind, payload, crc))),
                Found::Unwritten => Damage::Hole,
                Found::Bad => Damage::Entry,
            };
            tries = match tries {
                Try::Piece => {
                    let read = self.segment.read(self.at);
                    read.map_err(JournalError::io("read", self.path()))?;
                    Try::Rest
                }
                Try::Rest => {
                    self.read_rest(self.at)?;
                    Try::Nothing
                }
                Try::Nothing => {
                    self.tail = Some(self.assess(why)?);
                    Try::Nothing
                }
            };
        }
        Ok(None)
    }

    /// Has all of the segment at hand from byte `at` on in memory.
    fn read_rest(&mut self, at: usize) -> Result<(), JournalError> {
        self.segment.read_rest(at).map_err(JournalError::io("read", self.path()))
    }

    /// Of the segment at hand.
    fn path(&self) -> &Path {
        self.files.get(self.file).map_or(Path::new(""), |(_, path)| path)
    }

    /// The next entry, where it lies; none at the end, of which [`JournalReader::tail`] says more.
    ///
    /// # Errors
    /// As the iterator's, once.
    pub fn read(&mut self) -> Result<Option<EntryRef<'_>>, JournalError> {
        if self.failed {
            return Ok(None);
        }
        let found = self.step().inspect_err(|_| self.failed = true)?;
        let Some((kind, payload, crc)) = found else { return Ok(None) };
        let (seq, at, segment) = (self.next_seq, self.at, self.segment.number);
        let journal_id = self.header.map_or([0; 2], |header| header.journal_id);
        let bytes = self.segment.payload(payload);
        let record = Record::from_bytes(bytes).ok().filter(|r| r.header.bytes() == bytes.len());
        let Some(record) = record else {
            self.failed = true;
            return Err(damaged(segment, at, Damage::Record));
        };
        self.at += WORD_BYTES + bytes.len();
        self.behind = (segment, self.at as u64);
        self.next_seq += 1;
        let offset = at as u64;
        Ok(Some(EntryRef { journal_id, seq, kind, segment, offset, crc, record }))
    }

    /// Takes the end marker: goes on to the next segment, or ends.
    fn take_end(&mut self, payload: Range<usize>, crc: u32) -> Result<(), JournalError> {
        let behind = self.at + WORD_BYTES * (1 + payload.len());
        let Ok(end) = EndMarker::read_from_bytes(self.segment.payload(payload)) else {
            return Err(self.damaged_here(Damage::Entry));
        };
        let next = self.segment.number + 1;
        if end.next_seq != self.next_seq || ![next, EndMarker::CLOSED].contains(&end.next_segment) {
            return Err(self.damaged_here(Damage::Entry));
        }
        self.end = Some((self.at as u64, crc));
        self.read_rest(behind)?;
        if self.segment.bytes_after(behind) > 0 {
            return Err(damaged(self.segment.number, behind, Damage::Trailing));
        }
        // A journal that was closed may have been gone on with.
        if end.next_segment == EndMarker::CLOSED && self.file + 1 == self.files.len() {
            self.tail = Some(Tail::Closed);
            return Ok(());
        }
        let begun = self.files.get(self.file + 1).map(|(number, _)| *number);
        let is_there = match begun.or(self.spare.first().copied()) {
            Some(following) => following == next,
            // Its writer may have made it since the folder was looked at.
            None => self.path().parent().is_some_and(|dir| segment_path(dir, next).exists()),
        };
        if !is_there {
            return Err(JournalError::Missing { segment: next });
        }
        self.file += 1;
        let link = Some((self.at as u64, crc));
        if self.alone && self.follows(link) {
            self.leads_on = true;
            return Ok(());
        }
        self.load(link)?;
        self.leads_on = self.alone && self.tail.is_none();
        Ok(())
    }

    /// Whether the segment at `self.file` has a header that goes on after that end marker; false,
    /// too, if that cannot be told from the header alone.
    fn follows(&self, link: Option<(u64, u32)>) -> bool {
        let Some((number, path)) = self.files.get(self.file) else { return false };
        let mut header = Vec::with_capacity(HEADER_BYTES);
        let read = File::open(path)
            .and_then(|file| file.take(HEADER_BYTES as u64).read_to_end(&mut header));
        let header = SegmentHeader::read_from_prefix(&header);
        let is_plain = read.is_ok() && !retain::is_compressed(path);
        is_plain
            && header.is_ok_and(|(header, _)| self.check_header(&header, *number, link).is_ok())
    }

    /// Nothing whole stands here: is it the tail, or damage before something whole?
    fn assess(&self, why: Damage) -> Result<Tail, JournalError> {
        let bytes = self.segment.bytes_after(self.at) as u64;
        if self.file + 1 < self.files.len()
            || (bytes > 0 && self.segment.is_followed(self.crc, self.at, self.next_seq))
        {
            return Err(self.damaged_here(why));
        }
        if bytes == 0 {
            return Ok(Tail::Open);
        }
        Ok(Tail::Torn { segment: self.segment.number, offset: self.at as u64, bytes })
    }

    fn damaged_here(&self, why: Damage) -> JournalError {
        damaged(self.segment.number, self.at, why)
    }
}

impl Iterator for JournalReader {
    type Item = Result<Entry, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().map(|entry| entry.map(|entry| entry.to_entry())).transpose()
    }
}

fn damaged(segment: u64, offset: usize, why: Damage) -> JournalError {
    JournalError::Damaged { segment, offset: offset as u64, why }
}

/// Whether a segment that was begun lies in a folder.
fn is_in(dir: &Path, segment: u64) -> bool {
    is_begun(&segment_path(dir, segment)).unwrap_or(false)
}

/// The segments of a shard in memory and on disk, each once: that in memory if it was begun there,
/// else that on disk if it was begun there.
pub(super) fn segments_of_both(
    hot: &Path,
    durable: Option<&Path>,
) -> Result<Vec<(u64, PathBuf)>, JournalError> {
    let list = |dir: &Path| match segments(dir) {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        listed => listed,
    };
    let Some(durable) = durable else { return segments(hot) };
    let mut both: BTreeMap<u64, PathBuf> = list(durable)?.into_iter().collect();
    for (number, path) in list(hot)? {
        if !both.contains_key(&number) || is_there_and_begun(&path)? {
            both.insert(number, path);
        }
    }
    Ok(both.into_iter().collect())
}

/// Whether a segment is there and was begun: one in memory may leave it at any moment, once it is
/// on disk.
pub(super) fn is_there_and_begun(path: &Path) -> Result<bool, JournalError> {
    match is_begun(path) {
        Err(error) if error.is_not_found() => Ok(false),
        begun => begun,
    }
}

/// Whether a segment was begun: its magic, the last thing written of a header, is not zero.
pub(super) fn is_begun(path: &Path) -> Result<bool, JournalError> {
    if retain::is_compressed(path) {
        return Ok(true);
    }
    let mut magic = Vec::with_capacity(8);
    let file = File::open(path).map_err(JournalError::io("open", path))?;
    file.take(8).read_to_end(&mut magic).map_err(JournalError::io("read", path))?;
    Ok(magic.iter().any(|&byte| byte != 0))
}

/// Opens a segment's file and reads the beginning of it.
fn open_segment(path: &Path, segment: &mut Segment) -> Result<(), JournalError> {
    let number = segment.number;
    let source = match Source::open(path) {
        // One that cannot be read is damaged: all that there was of it was written at once.
        Err(_) if retain::is_compressed(path) => return Err(damaged(number, 0, Damage::Header)),
        opened => opened.map_err(JournalError::io("open", path))?,
    };
    let read = JournalError::io("read", path);
    segment.open(source).map_err(&read)?;
    if segment.bytes > SEGMENT_BYTES_MAX + MARK_BYTES {
        return Err(damaged(number, 0, Damage::Header));
    }
    segment.find_mark().and_then(|()| segment.read(0)).map_err(&read)
}
