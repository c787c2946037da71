//! Appends records to the segments of one shard.
//!
//! Invariant: one writer, and only forward. An append copies the record and computes its checksum
//! in one pass, then publishes it with one store; it makes no system call, and allocates nothing,
//! but where a segment ends and the next one is not ready, which is counted.

use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;
use std::sync::Arc;

use corelane_feeds::record::Record;
use corelane_feeds::units::Nanos;
use corelane_strategies::action;
use zerocopy::{FromBytes, IntoBytes};

use super::durable::{Durability, Durable};
use super::format::{
    END_BYTES, End, HEADER_BYTES, Kind, MAGIC, SegmentHeader, VERSION, WORD_BYTES, end_words,
    prefix, word_low,
};
use super::prepare::{Preparer, Taken};
use super::progress::{DurableCounters, Position, Progress};
use super::{
    Damage, JournalConfig, JournalError, SEGMENT_BYTES_MIN, mend, reader, segment_path, shard_dir,
};
use crate::sys::disk::{Disk, LocalDisk};
use crate::sys::segment_map::SegmentMap;

/// How long before the end of a segment the next one is warmed up: some ten entries.
const WARM_AHEAD_BYTES: usize = 1024;

/// What a writer has done so far.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct JournalCounters {
    /// Entries appended.
    pub entries: u64,
    /// Bytes of them, with their words.
    pub bytes: u64,
    /// Segments begun.
    pub segments: u64,
    /// Changes of segment that waited for the service thread to finish the next one.
    pub rolls_waited: u64,
    /// Changes of segment where the writer had to make the next one itself.
    pub rolls_inline: u64,
    /// Sequence number of the last entry.
    pub last_seq: u64,
    /// Sequence number of the last entry that is on disk, if a copy is kept there.
    pub last_durable_seq: Option<u64>,
    /// What was done for that.
    pub durable: DurableCounters,
}

/// The one writer of a shard's journal.
pub struct JournalWriter {
    map: SegmentMap,
    /// Where the next entry goes.
    at: usize,
    /// An entry that ends beyond this takes the slow path: first to warm up the next segment, then
    /// to go on there; 0 once stopped.
    limit: usize,
    next_seq: u64,
    /// Of the first entry that this writer appends.
    first_seq: u64,
    salt: u32,
    header: SegmentHeader,
    counters: JournalCounters,
    dir: PathBuf,
    preparer: Preparer,
    durable: Option<Durable>,
}

impl JournalWriter {
    /// Begins a journal: makes the shard's folder and its first segment, and starts the service
    /// thread that prepares the others. Takes some milliseconds for a default segment.
    ///
    /// # Errors
    /// If the settings are impossible, a folder holds a journal, or there is no room.
    pub fn create(config: &JournalConfig) -> Result<Self, JournalError> {
        config.check()?;
        let dir = shard_dir(&config.dir, config.shard);
        fs::create_dir_all(&dir).map_err(JournalError::io("make", &dir))?;
        if !mend::remove_unbegun(&dir)? {
            return Err(JournalError::Exists(dir));
        }
        if let Some(durable) = &config.durable {
            let dir = shard_dir(&durable.dir, config.shard);
            LocalDisk.make_dir(&dir).map_err(JournalError::io("make", &dir))?;
            if !mend::remove_unbegun(&dir)? {
                return Err(JournalError::Exists(dir));
            }
        }
        let header = SegmentHeader {
            magic: MAGIC,
            version: VERSION,
            shard: u32::from(config.shard),
            journal_id: [config.id as u64, (config.id >> 64) as u64],
            segment: 0,
            base_seq: 1,
            bytes: 0,
            config_hash: 0,
            created: Nanos(0),
            previous_end: 0,
            previous_crc: 0,
            reserved: [0; 9],
            crc: 0,
            pad: 0,
        };
        let (preparer, map) = Preparer::start(config, dir.clone(), header.segment)?;
        Self::begin(config, dir, header, preparer, map).made_durable(config, 0)
    }

    /// Goes on with a journal that was read to its end, in a segment of its own. What was torn off
    /// its end is put into a file `torn-SEGMENT-OFFSET` beside the segments first. If a copy is
    /// kept on disk, all that was read is there before this returns.
    ///
    /// # Errors
    /// If the settings are impossible, the journal is another shard's, or there is no room.
    pub fn resume(config: &JournalConfig, end: &reader::End) -> Result<Self, JournalError> {
        config.check()?;
        let dir = shard_dir(&config.dir, config.shard);
        if end.header.shard != u32::from(config.shard) {
            let (segment, offset) = (end.header.segment, 0);
            return Err(JournalError::Damaged { segment, offset, why: Damage::Foreign });
        }
        fs::create_dir_all(&dir).map_err(JournalError::io("make", &dir))?;
        // Memory is lost by a power cut: the journal then ends on disk.
        let ends_in = end.dir(config);
        let is_on_disk = ends_in != dir;
        mend::cut_torn(&ends_in, end.tail)?;
        let segment = end.header.segment;
        let next = segment + 1;
        mend::remove_behind(&dir, next)?;
        if is_on_disk {
            mend::begin_next(&ends_in, next, config.segment_bytes as u64)?;
        }
        // The next segment before the end that names it: a death in between leaves one that was
        // never begun.
        let (preparer, map) = Preparer::start(config, dir.clone(), next)?;
        let (previous_end, previous_crc) = match end.marker {
            Some(marker) => marker,
            None => (end.at, mend::put_end(&ends_in, end)?),
        };
        let header = SegmentHeader {
            segment: next,
            base_seq: end.next_seq,
            previous_end,
            previous_crc,
            ..end.header
        };
        let writer = Self::begin(config, dir, header, preparer, map);
        writer.made_durable(config, if is_on_disk { end.next_seq - 1 } else { 0 })
    }

    /// Keeps a copy on disk, if the settings say so; entry `durable_seq` is there.
    fn made_durable(
        mut self,
        config: &JournalConfig,
        durable_seq: u64,
    ) -> Result<Self, JournalError> {
        if let Some(settings) = &config.durable {
            let durable = Durable::start(config, settings, durable_seq)?;
            self.durable = Some(durable);
            self.publish();
            if let Some(durable) = &self.durable {
                durable.await_seq(self.last_seq())?;
            }
        }
        Ok(self)
    }

    /// Begins the segment that `header` says.
    fn begin(
        config: &JournalConfig,
        dir: PathBuf,
        header: SegmentHeader,
        preparer: Preparer,
        map: SegmentMap,
    ) -> Self {
        let header = SegmentHeader {
            bytes: config.segment_bytes as u64,
            config_hash: config.config_hash,
            created: config.created,
            ..header
        };
        let mut writer = Self {
            limit: 0,
            map,
            at: HEADER_BYTES,
            next_seq: header.base_seq,
            first_seq: header.base_seq,
            salt: 0,
            header,
            counters: JournalCounters::default(),
            dir,
            preparer,
            durable: None,
        };
        writer.begin_segment();
        writer
    }

    /// Where the next entry goes.
    #[must_use]
    pub fn place(&self) -> Position {
        Position { segment: self.header.segment, offset: self.at as u64 }
    }

    /// Says how far it has come to the thread that makes that durable. One store; nothing if there
    /// is no such thread.
    #[inline]
    pub fn publish(&self) {
        if let Some(durable) = &self.durable {
            durable.progress().publish(self.place());
        }
    }

    /// Makes durable what was published, if there is no thread for that; and copies notes of sinks
    /// if it is told to.
    pub(crate) fn commit(&self, notes: bool) {
        if let Some(durable) = &self.durable {
            durable.step(notes);
        }
    }

    /// What tells how far the journal is durable, if actions must wait for that.
    #[must_use]
    pub fn gate(&self) -> Option<Arc<Progress>> {
        let durable = self.durable.as_ref()?;
        (durable.durability() == Durability::Sync).then(|| Arc::clone(durable.progress()))
    }

    /// What tells how far the journal is durable, if a copy is kept on disk.
    #[must_use]
    pub fn progress(&self) -> Option<Arc<Progress>> {
        self.durable.as_ref().map(|durable| Arc::clone(durable.progress()))
    }

    /// Why nothing more becomes durable, told once; none as long as it does.
    #[inline]
    pub fn take_failure(&self) -> Option<JournalError> {
        let progress = self.durable.as_ref()?.progress();
        progress.has_failed().then(|| progress.take_failure().unwrap_or(JournalError::Stopped))
    }

    /// How the copy on disk is written, if there is one.
    #[must_use]
    pub fn durable_how(&self) -> Option<String> {
        self.durable.as_ref().map(|durable| durable.how().to_owned())
    }

    /// Appends a record, as an action if its stream is one and as an input if not, and returns its
    /// sequence number. It has then outlived this process.
    ///
    /// # Errors
    /// If the next segment cannot be had. Nothing is written then, nor by any later append.
    #[inline]
    pub fn append(&mut self, record: &Record) -> Result<u64, JournalError> {
        let is_action = record.header.stream.0 & 0xff00 == action::FAMILY;
        self.append_as(if is_action { Kind::Action } else { Kind::Input }, record)
    }

    /// Appends a note of the engine itself.
    ///
    /// # Errors
    /// As [`JournalWriter::append`].
    pub fn append_control(&mut self, record: &Record) -> Result<u64, JournalError> {
        self.append_as(Kind::Control, record)
    }

    #[inline]
    fn append_as(&mut self, kind: Kind, record: &Record) -> Result<u64, JournalError> {
        let bytes = record.as_bytes();
        assert!(bytes.len() == record.header.bytes(), "a record is as long as its header says");
        if self.at + WORD_BYTES + bytes.len() > self.limit {
            self.make_room(WORD_BYTES + bytes.len())?;
        }
        let words = <[u64]>::ref_from_bytes(bytes).expect("a record is whole words, aligned");
        let seq = self.next_seq;
        let low = word_low(words.len(), kind, seq);
        self.map.append(self.at, low, prefix(low, seq), self.salt, words);
        self.at += WORD_BYTES + bytes.len();
        self.next_seq = seq + 1;
        Ok(seq)
    }

    /// The segment is nearly or entirely full.
    #[cold]
    fn make_room(&mut self, bytes: usize) -> Result<(), JournalError> {
        if self.limit == 0 {
            return Err(JournalError::Stopped);
        }
        self.preparer.warm();
        self.limit = self.map.bytes() - END_BYTES;
        if self.at + bytes > self.limit { self.roll() } else { Ok(()) }
    }

    /// Ends the segment and goes on in the next.
    fn roll(&mut self) -> Result<(), JournalError> {
        let next = self.header.segment + 1;
        let (map, taken) = self.preparer.take(next).inspect_err(|_| self.limit = 0)?;
        self.counters.rolls_waited += u64::from(taken == Taken::Waited);
        self.counters.rolls_inline += u64::from(taken == Taken::Inline);
        // The end before the next header: a death in between leaves a segment that was never begun.
        self.header.previous_crc = self.put_end(next);
        self.header.previous_end = self.at as u64;
        self.header.segment = next;
        self.header.base_seq = self.next_seq;
        self.counters = self.counters();
        let full = std::mem::replace(&mut self.map, map);
        self.preparer.retire(full);
        self.begin_segment();
        self.publish();
        Ok(())
    }

    /// Writes the header of a fresh segment, its magic last.
    fn begin_segment(&mut self) {
        let crc = self.map.crc();
        self.header.seal(crc);
        self.salt = self.header.salt(crc);
        let words = self.header.words();
        self.map.put(8, &words[1..]);
        self.map.publish(0, words[0]);
        self.at = HEADER_BYTES;
        self.limit = self.map.bytes() - END_BYTES - WARM_AHEAD_BYTES;
        self.counters.segments += 1;
    }

    /// Writes the end marker, for which there is always room, and returns its checksum.
    fn put_end(&mut self, next_segment: u64) -> u32 {
        let end = End { next_segment, next_seq: self.next_seq };
        let (words, crc) = end_words(self.map.crc(), self.salt, end);
        self.map.put(self.at + WORD_BYTES, &words[1..]);
        self.map.publish(self.at, words[0]);
        crc
    }

    /// What the writer has done so far.
    #[must_use]
    pub fn counters(&self) -> JournalCounters {
        let here = (self.at - HEADER_BYTES) as u64;
        JournalCounters {
            entries: self.next_seq - self.first_seq,
            bytes: self.counters.bytes + here,
            last_seq: self.last_seq(),
            last_durable_seq: self.durable.as_ref().map(|d| d.progress().last_durable_seq()),
            durable: self.durable.as_ref().map(|d| d.progress().counters()).unwrap_or_default(),
            ..self.counters
        }
    }

    /// Sequence number of the last entry, 0 before the first.
    #[must_use]
    pub const fn last_seq(&self) -> u64 {
        self.next_seq - 1
    }

    /// Marks the journal as closed, waits until the copy on disk is, too, writes it back if it lies
    /// on a disk itself, gives back room that was prepared in vain, and returns the final counts.
    ///
    /// # Errors
    /// What the system reports; the entries are in the page cache nevertheless.
    pub fn close(self) -> Result<JournalCounters, JournalError> {
        self.close_telling(|_| {})
    }

    /// Closes the journal; `tell` learns the place behind the end before the file is cut there.
    ///
    /// # Errors
    /// As [`JournalWriter::close`].
    pub(super) fn close_telling(
        mut self,
        tell: impl FnOnce(Position),
    ) -> Result<JournalCounters, JournalError> {
        self.put_end(End::CLOSED);
        let used = (self.at + END_BYTES).next_multiple_of(SEGMENT_BYTES_MIN);
        let mut counters = self.counters();
        let end = Position { segment: self.header.segment, offset: (self.at + END_BYTES) as u64 };
        tell(end);
        let is_durable = self.durable.take().map_or(Ok(()), |durable| {
            durable.progress().publish(end);
            let progress = Arc::clone(durable.progress());
            let finished = durable.finish();
            counters.last_durable_seq = Some(progress.last_durable_seq());
            counters.durable = progress.counters();
            finished
        });
        let path = segment_path(&self.dir, self.header.segment);
        let Self { map, preparer, dir, .. } = self;
        drop(preparer);
        map.finish().map_err(JournalError::io("write back", &path))?;
        let file = OpenOptions::new().write(true).open(&path);
        let file = file.map_err(JournalError::io("open", &path))?;
        file.set_len(used as u64).map_err(JournalError::io("cut", &path))?;
        file.sync_all().map_err(JournalError::io("sync", &path))?;
        File::open(&dir).and_then(|dir| dir.sync_all()).map_err(JournalError::io("sync", &dir))?;
        is_durable.map(|()| counters)
    }

    /// Whether the next segment is ready, so that going on there costs no more than a microsecond.
    #[must_use]
    pub fn next_is_ready(&self) -> bool {
        self.preparer.is_ready()
    }

    /// Computes checksums by `crc` from now on.
    #[cfg(test)]
    pub(super) fn set_crc(&mut self, crc: crate::sys::crc::Crc32c) {
        self.map.set_crc(crc);
    }
}
