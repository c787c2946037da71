//! Copies what is new of a shard's hot segments to durable ones, group by group: one write, one
//! sync, and everything in the group is durable.
//!
//! ```text
//! hot, in memory           0000000006 | 0000000007 ########----   the writer goes on at the right
//!                                 |           |
//! durable, on disk     ... 0000000006 | 0000000007 #####-------   the same bytes, a group late
//! ```
//!
//! A group begins at the block that holds the first entry that is not durable yet, and the block in
//! which all that is written ends is filled up with zeros, so that every write is of whole blocks.
//! A block that was written before is written again with the same bytes and more behind them:
//! wherever a power cut tears it, what was durable is there.
//!
//! The next segment is there, empty, before the end that names it is written: a power cut in
//! between leaves one that was never begun.
//!
//! Invariants: [`Progress::advance`] names only entries that were written and synced, with their
//! segment's name. After an error nothing more is tried: what the disk has is what it had before,
//! and the hot segments have the rest. A copier that begins anew writes the segment at hand from
//! its start, so that nothing rests on a sync that failed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zerocopy::FromBytes;

use super::format::{End, HEADER_BYTES, Kind, SegmentHeader, WORD_BYTES, Word};
use super::mark::{MARK_BYTES, Mark};
use super::notes::NoteCopies;
use super::progress::{DurableCounters, Position, Progress};
use super::reader::{is_begun, is_there_and_begun};
use super::{Damage, JournalError, SEGMENT_BYTES_MIN, segment_path, segments};
use crate::sys::disk::{BLOCK_BYTES, Disk, DiskFile};
use crate::sys::fault::{self, FileOp};

/// Makes one shard's journal durable. Whoever has it calls [`Copier::turn`] again and again.
#[derive(Debug)]
pub struct Copier {
    disk: Box<dyn Disk>,
    /// The shard's folder in memory, and on disk.
    hot: PathBuf,
    dir: PathBuf,
    progress: Arc<Progress>,
    /// Whole blocks.
    group_bytes: usize,
    /// Full, durable segments that stay in memory.
    hot_segments: u64,
    /// The first entry that is not durable.
    at: Position,
    /// Its sequence number.
    seq: u64,
    open: Option<OpenSegment>,
    group: Vec<u8>,
    /// The oldest segment in memory.
    oldest: u64,
    /// The newest at the beginning: until it is full, what is sent again may be read from before.
    first: u64,
    /// The segment that it made last on disk.
    made: Option<u64>,
    notes: NoteCopies,
    closed: bool,
    counters: DurableCounters,
}

/// A segment that is being copied.
#[derive(Debug)]
struct OpenSegment {
    hot: File,
    bytes: u64,
    durable: Box<dyn DiskFile>,
    path: PathBuf,
    mark: Mark,
}

/// How far entries go in a group.
struct Walked {
    /// Behind the last whole one.
    end: u64,
    entries: u64,
    marker: Option<End>,
}

impl Copier {
    /// Goes on where the durable segments end: with the last of them that is in memory, too, or
    /// with the first that is not on disk.
    ///
    /// # Errors
    /// If one of the folders cannot be listed or made.
    pub fn begin(
        disk: Box<dyn Disk>,
        hot: PathBuf,
        dir: PathBuf,
        progress: Arc<Progress>,
        (group_bytes, hot_segments): (usize, u64),
    ) -> Result<Self, JournalError> {
        disk.make_dir(&dir).map_err(JournalError::io("make", &dir))?;
        let in_memory: Vec<u64> = segments(&hot)?.into_iter().map(|(number, _)| number).collect();
        let oldest = in_memory.first().copied().unwrap_or(0);
        // Those behind it are prepared, how many depends on how far the service thread is.
        let mut first = oldest;
        for &number in &in_memory {
            if is_begun(&segment_path(&hot, number))? {
                first = number;
            }
        }
        let mut on_disk = BTreeSet::new();
        for (number, path) in segments(&dir)? {
            if is_begun(&path)? {
                on_disk.insert(number);
            }
        }
        let newest = on_disk.last().copied().unwrap_or(0).max(oldest);
        let missing = in_memory.iter().find(|number| !on_disk.contains(number));
        let segment = missing.map_or(newest, |missing| newest.min(*missing));
        let notes = NoteCopies::new(&hot, &dir);
        let group_bytes = group_bytes.next_multiple_of(BLOCK_BYTES as usize);
        Ok(Self {
            disk,
            hot,
            dir,
            progress,
            group_bytes,
            hot_segments,
            at: Position { segment, offset: HEADER_BYTES as u64 },
            seq: 0,
            open: None,
            group: Vec::with_capacity(group_bytes),
            oldest,
            first,
            made: None,
            notes,
            closed: false,
            counters: DurableCounters::default(),
        })
    }

    /// Makes durable what is written by now; whether anything was new.
    ///
    /// # Errors
    /// If memory cannot be read or the disk not be written to. Nothing is to be tried again then.
    pub fn turn(&mut self) -> Result<bool, JournalError> {
        // Notes name actions that were journalled before, so they are read before the journal is.
        let notes = self.notes.look()?;
        let written = self.progress.written();
        let is_new = self.at < written && !self.closed;
        while self.at < written && !self.closed {
            self.commit_group(written)?;
        }
        for (path, note) in notes {
            self.notes.write(&*self.disk, &path, &note)?;
        }
        Ok(is_new)
    }

    /// Copies notes of sinks of which there is no copy yet: before their first action.
    ///
    /// # Errors
    /// If the disk cannot be written to.
    pub fn begin_notes(&mut self) -> Result<(), JournalError> {
        for (path, note) in self.notes.look()? {
            if !path.exists() {
                self.notes.write(&*self.disk, &path, &note)?;
            }
        }
        self.notes.hurry();
        Ok(())
    }

    /// Notes of sinks are copied when it is told to: `due` says whether at the next turn.
    pub(super) fn tell_notes(&mut self, due: bool) {
        self.notes.tell(due);
    }

    /// Whether the end marker of a journal that was closed is durable.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// How the disk is written to.
    #[must_use]
    pub fn describe(&self) -> String {
        self.disk.describe()
    }

    /// Copies what notes of sinks say now.
    ///
    /// # Errors
    /// As [`Copier::turn`].
    pub fn finish(&mut self) -> Result<(), JournalError> {
        self.notes.hurry();
        self.turn().map(drop)
    }

    /// Makes durable what is written up to there, at most as much as a group may have.
    fn commit_group(&mut self, written: Position) -> Result<(), JournalError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open_segment()?,
        };
        let is_last = written.segment == self.at.segment;
        let first = self.at.offset - self.at.offset % BLOCK_BYTES;
        let end = if is_last { written.offset } else { open.bytes };
        let end = end.min(first + self.group_bytes as u64);
        let walked = self.read_group(&open.hot, first, end)?;
        let closes = is_last && walked.marker.is_some();
        if walked.marker.is_some() && !is_last {
            self.begin_next()?;
        }
        // The header is durable with the first group.
        let is_begun = self.at.offset > HEADER_BYTES as u64;
        let mark = open.mark.set(if is_begun { self.at.offset } else { 0 });
        open.durable
            .write_both((open.bytes, mark), (first, &self.group))
            .map_err(JournalError::io("write", &open.path))?;
        open.durable.sync().map_err(JournalError::io("sync", &open.path))?;
        if walked.marker.is_some() {
            let used = walked.end.next_multiple_of(SEGMENT_BYTES_MIN as u64);
            let bytes = if closes { used } else { open.bytes };
            open.durable
                .set_len(bytes)
                .and_then(|()| open.durable.sync())
                .map_err(JournalError::io("cut", &open.path))?;
        }
        self.counters.groups += 1;
        self.counters.entries += walked.entries;
        self.counters.bytes += self.group.len() as u64;
        self.seq += walked.entries;
        self.at.offset = walked.end;
        self.closed = closes;
        self.progress.advance(self.seq - 1);
        if walked.marker.is_none() {
            self.open = Some(open);
        } else if !closes {
            self.at = Position { segment: self.at.segment + 1, offset: HEADER_BYTES as u64 };
            self.counters.segments += 1;
            self.release()?;
        }
        self.progress.set_counters(self.counters);
        Ok(())
    }

    /// Fills the group with what lies in memory from byte `first` to byte `end` of the segment at
    /// hand, and finds the entries in it.
    fn read_group(&mut self, hot: &File, first: u64, end: u64) -> Result<Walked, JournalError> {
        let Position { segment, offset } = self.at;
        let bytes = (end - first) as usize;
        self.group.clear();
        self.group.resize(bytes.next_multiple_of(BLOCK_BYTES as usize), 0);
        let path = || segment_path(&self.hot, segment);
        let read = hot.read_exact_at(&mut self.group[..bytes], first);
        read.map_err(|error| JournalError::io("read", &path())(error))?;
        let walked = walk(&self.group[..bytes], first, offset);
        if walked.end == offset {
            // The writer said that whole entries are here.
            return Err(JournalError::Damaged { segment, offset, why: Damage::Hole });
        }
        if walked.marker.is_some() {
            let whole = (walked.end - first) as usize;
            self.group.truncate(whole.next_multiple_of(BLOCK_BYTES as usize));
        }
        Ok(walked)
    }

    /// Makes the segment behind the one at hand, empty, and as long as it is in memory: its mark
    /// must not lie where entries go, as it would behind one that was cut when its journal closed.
    fn begin_next(&mut self) -> Result<(), JournalError> {
        let next = self.at.segment + 1;
        let hot = segment_path(&self.hot, next);
        let bytes = fs::metadata(&hot).map_err(JournalError::io("look at", &hot))?.len();
        let path = segment_path(&self.dir, next);
        if !is_there_and_begun(&path)? {
            self.make_segment(next, bytes)?;
            self.disk.sync_dir(&self.dir).map_err(JournalError::io("sync", &self.dir))?;
        }
        Ok(())
    }

    /// Makes a segment with nothing in it, in place of one that an earlier run made and never
    /// began: whatever became of its zeros would be damage one day.
    fn make_segment(&mut self, number: u64, bytes: u64) -> Result<Box<dyn DiskFile>, JournalError> {
        self.made = Some(number);
        let path = segment_path(&self.dir, number);
        let created = create_segment(&*self.disk, &path, bytes);
        created.map_err(JournalError::io("allocate", &path))
    }

    /// Opens the segment at hand on both sides.
    fn open_segment(&mut self) -> Result<OpenSegment, JournalError> {
        let number = self.at.segment;
        let hot_path = segment_path(&self.hot, number);
        let path = segment_path(&self.dir, number);
        let hot = File::open(&hot_path).map_err(JournalError::io("open", &hot_path))?;
        let read = JournalError::io("read", &hot_path);
        let bytes = hot.metadata().map_err(&read)?.len();
        let mut header = [0; HEADER_BYTES];
        hot.read_exact_at(&mut header, 0).map_err(&read)?;
        let header = SegmentHeader::read_from_bytes(&header[..]);
        self.seq = header.map_or(1, |header| header.base_seq);
        let durable = if self.made == Some(number) || is_there_and_begun(&path)? {
            let mut file = self.disk.open(&path).map_err(JournalError::io("open", &path))?;
            let bytes = bytes + MARK_BYTES as u64;
            file.set_len(bytes).map_err(JournalError::io("lengthen", &path))?;
            file
        } else {
            self.make_segment(number, bytes)?
        };
        self.disk.sync_dir(&self.dir).map_err(JournalError::io("sync", &self.dir))?;
        Ok(OpenSegment { hot, bytes, durable, path, mark: Mark::new() })
    }

    /// Takes full, durable segments out of memory, but for the newest.
    fn release(&mut self) -> Result<(), JournalError> {
        while self.at.segment > self.first && self.oldest + self.hot_segments < self.at.segment {
            let path = segment_path(&self.hot, self.oldest);
            let removed = fault::before(FileOp::Remove, &path);
            match removed.and_then(|()| fs::remove_file(&path)) {
                Ok(()) => self.counters.released += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(JournalError::io("release", &path)(error)),
            }
            self.oldest += 1;
        }
        Ok(())
    }
}

/// Makes a segment of `bytes` bytes with nothing in it, and its mark, in place of one of that name:
/// a power cut leaves one of the two.
pub(super) fn create_segment(
    disk: &dyn Disk,
    path: &Path,
    bytes: u64,
) -> io::Result<Box<dyn DiskFile>> {
    let new = path.with_file_name("segment.new");
    disk.clear(&new)?;
    let mut file = disk.create(&new, bytes + MARK_BYTES as u64)?;
    file.write_at(bytes, Mark::new().block())?;
    file.sync()?;
    disk.rename(&new, path)?;
    Ok(file)
}

/// Finds the whole entries in `bytes`, which begin at byte `first` of a segment, from byte `from`
/// of it on.
fn walk(bytes: &[u8], first: u64, from: u64) -> Walked {
    let mut walked = Walked { end: from, entries: 0, marker: None };
    let mut at = (from - first) as usize;
    while let Some(word) = bytes.get(at..at + WORD_BYTES) {
        let Ok(word) = u64::read_from_bytes(word) else { break };
        let word = Word::new(word);
        let payload = at + WORD_BYTES..at + WORD_BYTES * (1 + word.words());
        let Some(payload) = bytes.get(payload).filter(|payload| !payload.is_empty()) else { break };
        at += WORD_BYTES + payload.len();
        walked.end = first + at as u64;
        if word.kind() == Some(Kind::End) {
            walked.marker = End::read_from_bytes(payload).ok();
            break;
        }
        walked.entries += 1;
    }
    walked
}

#[cfg(test)]
mod tests;
