//! Entries of a journal: where they lie, copied, and several at once.
//!
//! Invariant: an entry's record was checked by the reader that returned it.

use corelane_feeds::record::{Record, RecordBuf};

use super::format::Kind;
use super::{JournalError, JournalReader};

/// One entry, with a copy of its record.
#[derive(Clone)]
pub struct Entry {
    /// Its sequence number in the journal.
    pub seq: u64,
    /// What it is; never [`Kind::End`].
    pub kind: Kind,
    /// The segment that holds it.
    pub segment: u64,
    /// Where its word stands in the segment.
    pub offset: u64,
    buf: RecordBuf,
}

/// One entry where it lies in memory.
#[derive(Copy, Clone)]
pub struct EntryRef<'a> {
    /// Names the journal.
    pub journal_id: [u64; 2],
    /// Its sequence number in the journal.
    pub seq: u64,
    /// What it is; never [`Kind::End`].
    pub kind: Kind,
    /// The segment that holds it.
    pub segment: u64,
    /// Where its word stands in the segment.
    pub offset: u64,
    /// Its checksum, which no entry of another place or journal has.
    pub crc: u32,
    /// The record.
    pub record: &'a Record,
}

impl EntryRef<'_> {
    /// A copy.
    #[must_use]
    pub fn to_entry(&self) -> Entry {
        let Self { seq, kind, segment, offset, record, .. } = *self;
        Entry { seq, kind, segment, offset, buf: record.to_buf() }
    }

    /// Where it is.
    #[must_use]
    pub const fn place(&self) -> Place {
        let Self { journal_id, segment, offset, seq, crc, .. } = *self;
        Place { journal_id, segment, offset, seq, crc }
    }
}

/// An entry by which a place in a journal is found again.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Names the journal.
    pub journal_id: [u64; 2],
    /// The segment that holds the entry.
    pub segment: u64,
    /// Where its word stands in the segment.
    pub offset: u64,
    /// Its sequence number.
    pub seq: u64,
    /// Its checksum.
    pub crc: u32,
}

impl Entry {
    /// The record.
    ///
    /// # Panics
    /// Never: the reader checked it.
    #[must_use]
    pub fn record(&self) -> &Record {
        self.buf.record().expect("the reader checked the record")
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seq, kind, segment, offset, .. } = self;
        write!(f, "{} {seq} at {segment}:{offset}, {:?}", kind.name(), self.record().header)
    }
}

/// Entries read at once, copied from where they lay.
#[derive(Default)]
pub struct Batch {
    places: Vec<(Place, Kind)>,
    records: Vec<RecordBuf>,
}

impl Batch {
    /// Reads the next entries, so many at most; false if there are no more.
    ///
    /// # Errors
    /// As [`JournalReader::read`], if that comes before the batch is full.
    pub fn read(&mut self, reader: &mut JournalReader, max: usize) -> Result<bool, JournalError> {
        self.places.clear();
        self.records.resize_with(max, RecordBuf::default);
        for buf in &mut self.records {
            let Some(entry) = reader.read()? else { break };
            buf.set(entry.record);
            self.places.push((entry.place(), entry.kind));
        }
        Ok(!self.places.is_empty())
    }

    /// The entries, in order.
    pub fn entries(&self) -> impl Iterator<Item = EntryRef<'_>> {
        self.places.iter().zip(&self.records).filter_map(|((place, kind), buf)| {
            let Place { journal_id, segment, offset, seq, crc } = *place;
            let (kind, record) = (*kind, buf.record()?);
            Some(EntryRef { journal_id, seq, kind, segment, offset, crc, record })
        })
    }
}
