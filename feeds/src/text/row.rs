//! The record that a line becomes: columns by name, written one by one over a blank record.
//!
//! Invariant: a column that no value was written to is NULL; a row with a required column missing
//! gives no record.

use super::Reason;
use super::value::{Column, Token};
use crate::declared::{COLUMNS_OFFSET, Declared, NULLS_OFFSET};
use crate::record::{Header, Record, RecordBuf, Stamp};
use crate::units::Nanos;
use zerocopy::IntoBytes;

/// What is wrong with a line.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    pub(super) reason: Reason,
    /// Bytes from the beginning of the line.
    pub(super) at: usize,
    /// The column whose value it is.
    pub(super) column: Option<usize>,
}

/// A record in the making.
#[derive(Clone, Debug)]
pub(super) struct Row {
    stream: Declared,
    columns: Box<[Column]>,
    blank: Box<[u8]>,
    /// Bits of the columns that must not be NULL.
    required: u64,
    /// Where the event time stands, if a column is it.
    time: Option<usize>,
    buf: RecordBuf,
    bytes: usize,
    nulls: u64,
}

impl Row {
    pub(super) fn new(stream: &Declared) -> Self {
        let numbered = stream.columns.iter().enumerate();
        let columns = numbered.clone().map(|(i, column)| Column::new(i, column, stream.unit));
        let required = numbered.filter(|(_, column)| column.required);
        let time = stream.time.and_then(|time| stream.columns.get(time));
        Self {
            columns: columns.collect(),
            blank: stream.blank().into(),
            required: required.fold(0, |bits, (i, _)| bits | 1 << i)
                | stream.time.map_or(0, |time| 1 << time),
            time: time.map(|column| column.field.offset),
            buf: RecordBuf::default(),
            bytes: stream.schema.bytes,
            nulls: u64::MAX,
            stream: stream.clone(),
        }
    }

    /// Every column NULL again.
    #[inline]
    pub(super) fn begin(&mut self) {
        self.buf.put(0, &self.blank);
        self.nulls = u64::MAX;
    }

    /// How many columns there are.
    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    /// The column of a name, whatever its case.
    #[cold]
    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        (0..self.columns.len()).find(|&column| self.is_named(column, name))
    }

    #[inline]
    pub(super) fn is_named(&self, column: usize, name: &[u8]) -> bool {
        let column = self.stream.columns.get(column);
        column.is_some_and(|column| {
            let own = column.field.name.as_bytes();
            own == name || own.eq_ignore_ascii_case(name)
        })
    }

    /// A column's name.
    pub(super) fn name(&self, column: usize) -> Option<&'static str> {
        self.stream.columns.get(column).map(|column| column.field.name)
    }

    /// Writes a value.
    #[inline]
    pub(super) fn put(&mut self, column: usize, token: Token<'_>) -> Result<(), Reason> {
        let Some(column) = self.columns.get(column) else { return Ok(()) };
        column.put(token, self.buf.bytes_mut())?;
        self.nulls &= !(1 << column.bit);
        Ok(())
    }

    /// Makes a column NULL again: a key that comes twice counts as it comes last.
    #[cold]
    pub(super) fn clear(&mut self, column: usize) {
        let Some(declared) = self.stream.columns.get(column) else { return };
        let place = declared.field.offset..declared.field.offset + declared.field.sql.bytes();
        if let Some(blank) = self.blank.get(place.clone()) {
            self.buf.put(place.start, blank);
        }
        self.nulls |= 1 << column;
    }

    /// Closes the row: its record lacks its stamp alone. Returns the event time, zero if no column
    /// is it.
    #[inline]
    pub(super) fn end(&mut self) -> Result<Nanos, Fault> {
        let missing = self.nulls & self.required;
        if missing != 0 {
            let column = Some(missing.trailing_zeros() as usize);
            return Err(Fault { reason: Reason::Missing, at: 0, column });
        }
        let known = if self.len() == 64 { u64::MAX } else { (1 << self.len()) - 1 };
        let nulls = self.nulls & known;
        self.buf.put(NULLS_OFFSET, &nulls.to_le_bytes());
        debug_assert_eq!(COLUMNS_OFFSET - NULLS_OFFSET, size_of_val(&nulls));
        let time = self.time.and_then(|at| self.buf.bytes_mut().get(at..)?.first_chunk::<8>());
        Ok(Nanos(time.map_or(0, |bytes| u64::from_le_bytes(*bytes))))
    }

    /// The record of a row that [`Row::end`] closed, stamped.
    #[inline]
    pub(super) fn record(&mut self, stamp: Stamp) -> Option<&Record> {
        let bytes = self.buf.bytes_mut().get(..self.bytes)?;
        let instrument = self.stream.bucket(bytes);
        let stamp = Stamp { instrument, ..stamp };
        let header = Header::new(self.stream.schema.stream, self.bytes, 0, stamp);
        self.buf.put(0, header.as_bytes());
        self.buf.record()
    }
}
