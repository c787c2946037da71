//! Tables: reference data of a file, looked up by key.
//!
//! ```text
//! file ──text──> rows, as records are laid out ──> index by key ──> IN TABLE, lookup joins
//! ```
//!
//! A table is read when its rule file is, and again when it has changed: as rules do, it then takes
//! the place of the old one between two records.
//!
//! Invariant: a table does not change; looking a key up allocates nothing.

use std::fmt;
use std::sync::Arc;

use corelane_feeds::declared::Declared;
use corelane_feeds::record::Record;
use corelane_feeds::text::{Format, TextConfig, TextFeed};
use corelane_feeds::units::Nanos;
use zerocopy::IntoBytes;

use super::catalog::Stream;
use super::key::KeyProgram;
use super::program::Machine;

/// Rows of a table.
const ROWS_MAX: usize = 1 << 24;
/// An empty place of an index.
const EMPTY: u32 = u32::MAX;

/// A table with its rows.
#[derive(Clone)]
pub(super) struct Table {
    /// How its rows are laid out; its key.
    pub(super) declared: Declared,
    rows: Vec<u8>,
    /// Names what it holds.
    hash: u64,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} rows)", self.declared.schema.name, self.len())
    }
}

/// A table that is equal to another of the same name and text.
#[derive(Clone, Debug)]
pub(super) struct TableRef(pub(super) Arc<Table>);

impl PartialEq for TableRef {
    fn eq(&self, other: &Self) -> bool {
        let named = |table: &Table| (table.declared.schema.name, table.hash);
        named(&self.0) == named(&other.0)
    }
}

impl Table {
    /// The rows of a text.
    ///
    /// # Errors
    /// The first line that is no row, or what else is wrong with it.
    pub(super) fn read(
        declared: Declared,
        file: &str,
        format: Format,
        text: &str,
    ) -> Result<Self, String> {
        let mut feed = TextFeed::new(&TextConfig::new(0, &declared, format));
        let mut rows = Vec::new();
        let mut sink = |record: &Record| {
            if record.header.stream == declared.schema.stream {
                rows.extend_from_slice(record.as_bytes());
            }
        };
        feed.datagram(Nanos(0), text.as_bytes(), &mut sink);
        if let Some(wrong) = feed.rejections().first() {
            return Err(format!("{file}, {wrong}"));
        }
        // FNV-1a.
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let table = Self { declared, rows, hash };
        if table.len() > ROWS_MAX {
            return Err(format!("{file} has more than {ROWS_MAX} rows"));
        }
        Ok(table)
    }

    /// As rules read it.
    pub(super) fn as_stream(&self) -> Stream {
        Stream { schema: self.declared.schema, time: None }
    }

    /// How many rows it has.
    pub(super) fn len(&self) -> usize {
        self.rows.len() / self.declared.schema.bytes
    }

    /// A row.
    #[inline]
    pub(super) fn row(&self, at: u32) -> &[u8] {
        let bytes = self.declared.schema.bytes;
        self.rows.get(at as usize * bytes..(at as usize + 1) * bytes).unwrap_or_default()
    }

    /// Names what it holds: the same for the same text.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }
}

/// The rows of a table by key. Open addressing, at most half full.
#[derive(Clone)]
pub(super) struct Index {
    words: usize,
    /// Rows by place.
    slots: Vec<u32>,
    /// Keys by row.
    keys: Vec<u64>,
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "index of {} words", self.words)
    }
}

impl Index {
    /// By a key of the table's rows.
    ///
    /// # Errors
    /// If two rows have the same key, or one has none: the rows' numbers, from 1.
    pub(super) fn new(table: &Table, key: &KeyProgram) -> Result<Self, (usize, usize)> {
        let words = key.words();
        let places = (table.len().max(1) * 2).next_power_of_two();
        let mut index =
            Self { words, slots: vec![EMPTY; places], keys: vec![0; table.len() * words] };
        let mut machine = Machine::default();
        let mut own = vec![0; words];
        for row in 0..table.len() {
            key.fill(&mut machine, table.row(row as u32), &mut own);
            // The last word says which parts are NULL.
            if own.last().is_some_and(|nulls| *nulls != 0) {
                return Err((row + 1, row + 1));
            }
            let place = index.place(&own);
            if index.slots[place] != EMPTY {
                return Err((index.slots[place] as usize + 1, row + 1));
            }
            index.slots[place] = row as u32;
            index.keys[row * words..(row + 1) * words].copy_from_slice(&own);
        }
        Ok(index)
    }

    /// Where a key is, or would be.
    #[inline]
    fn place(&self, key: &[u64]) -> usize {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let mix = |hash: u64, word: &u64| {
            let hash = (hash ^ word).wrapping_mul(ODD);
            hash ^ (hash >> 32)
        };
        let mask = self.slots.len() - 1;
        let mut at = key.iter().fold(0, mix) as usize & mask;
        loop {
            match self.slots[at] {
                EMPTY => return at,
                row if self.key(row) == key => return at,
                _ => at = (at + 1) & mask,
            }
        }
    }

    #[inline]
    fn key(&self, row: u32) -> &[u64] {
        let from = row as usize * self.words;
        &self.keys[from..from + self.words]
    }

    /// Words of a key.
    #[inline]
    pub(super) fn words(&self) -> usize {
        self.words
    }

    /// The row of a key; none has NULL in it.
    #[inline]
    pub(super) fn find(&self, key: &[u64]) -> Option<u32> {
        Some(self.slots[self.place(key)]).filter(|row| *row != EMPTY)
    }
}

#[cfg(test)]
mod tests;
