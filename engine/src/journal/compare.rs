//! Are two journals equal? A replay must give the journal of the live run, but for when records
//! were received and for the ticks of silent moments.
//!
//! Invariant: entries are compared in order, kind and bytes, nothing else; sequence numbers differ
//! where ticks are ignored, and headers differ always.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use corelane_feeds::record::RecordBuf;
use corelane_feeds::streams::sys::Tick;
use corelane_feeds::units::Nanos;
use zerocopy::IntoBytes;

use super::mark::{self, MARK_BYTES};
use super::reader::is_begun;
use super::{Entry, JournalError, JournalReader, Tail, retain, segments};

/// Bytes that are compared at once.
const PIECE_BYTES: usize = 64 << 10;

/// What may differ.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Ignore {
    /// `ts_recv` of every record.
    pub ts_recv: bool,
    /// Ticks, wherever they stand.
    pub ticks: bool,
}

impl Ignore {
    /// Nothing may differ.
    pub const NOTHING: Self = Self { ts_recv: false, ticks: false };
    /// What a live run and its replay may differ in.
    pub const REPLAY: Self = Self { ts_recv: true, ticks: true };
}

/// Where two journals first differ: the entry of each, none if it had ended.
#[derive(Debug)]
pub struct Difference {
    /// Of the first journal.
    pub a: Option<Entry>,
    /// Of the second.
    pub b: Option<Entry>,
}

/// The outcome of a comparison.
#[derive(Debug)]
pub struct Comparison {
    /// Entries that are equal, up to the difference if there is one.
    pub equal_entries: u64,
    /// Ticks that were passed over in each journal.
    pub ticks: [u64; 2],
    /// The first difference.
    pub difference: Option<Box<Difference>>,
    /// How each journal ends; none if a difference came first.
    pub tails: [Option<Tail>; 2],
}

impl Comparison {
    /// Whether no entry differs.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.difference.is_none()
    }
}

/// Compares the journals in two shard folders, entry by entry.
///
/// # Errors
/// If one of them cannot be read to its end.
pub fn compare(a: &Path, b: &Path, ignore: Ignore) -> Result<Comparison, JournalError> {
    let mut sides = [Side::open(a, ignore)?, Side::open(b, ignore)?];
    let mut equal_entries = 0;
    let difference = loop {
        let [a, b] = &mut sides;
        let (a, b) = (a.next()?, b.next()?);
        let equal = match (&a, &b) {
            (None, None) => break None,
            (Some(a), Some(b)) => a.kind == b.kind && is_equal(a, b, ignore),
            _ => false,
        };
        if !equal {
            break Some(Box::new(Difference { a, b }));
        }
        equal_entries += 1;
    };
    let [a, b] = sides;
    let tails = [a.entries.tail(), b.entries.tail()];
    Ok(Comparison { equal_entries, ticks: [a.ticks, b.ticks], difference, tails })
}

/// Where a copy of segments on disk differs from those in memory: number of the segment, and byte.
/// Of what is in both; what is not written yet on disk is zero there, and differs from nothing: in
/// the last segment of the copy, behind its mark if it has one.
///
/// # Errors
/// If a segment cannot be read.
pub fn difference(hot: &Path, durable: &Path) -> Result<Option<(u64, u64)>, JournalError> {
    let list = |dir: &Path| match segments(dir) {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        listed => listed,
    };
    let copies: BTreeMap<u64, PathBuf> = list(durable)?.into_iter().collect();
    let mut last = None;
    for (&number, path) in copies.iter().rev() {
        if is_begun(path)? {
            last = Some(number);
            break;
        }
    }
    for (number, path) in list(hot)? {
        let Some(copy) = copies.get(&number) else { continue };
        if !is_begun(&path)? || !is_begun(copy)? {
            continue;
        }
        let read = |path: &Path| retain::read(path).map_err(JournalError::io("read", path));
        let (ours, mut theirs) = (read(&path)?, read(copy)?);
        let mark = mark::find(&theirs);
        // A copier that dies while it opens the last one leaves it without.
        let is_durable = |at: usize| mark.map_or(Some(number) != last, |from| (at as u64) < from);
        if mark.is_some() {
            theirs.truncate(theirs.len() - MARK_BYTES);
        }
        let pieces = theirs.chunks(PIECE_BYTES).enumerate();
        for (at, piece) in pieces.map(|(i, piece)| (i * PIECE_BYTES, piece)) {
            let same = ours.get(at..at + piece.len()).is_some_and(|own| own == piece);
            let differs = |(i, &byte): (usize, &u8)| {
                (byte != 0 || is_durable(at + i)) && ours.get(at + i).copied().unwrap_or(0) != byte
            };
            if !same && let Some(i) = piece.iter().enumerate().position(differs) {
                return Ok(Some((number, (at + i) as u64)));
            }
        }
    }
    Ok(None)
}

struct Side {
    entries: JournalReader,
    ignore: Ignore,
    ticks: u64,
}

impl Side {
    fn open(dir: &Path, ignore: Ignore) -> Result<Self, JournalError> {
        let entries = JournalReader::open(dir)?;
        Ok(Self { entries, ignore, ticks: 0 })
    }

    /// The next entry that counts.
    fn next(&mut self) -> Result<Option<Entry>, JournalError> {
        while let Some(entry) = self.entries.next().transpose()? {
            if self.ignore.ticks && entry.record().header.stream == Tick::STREAM {
                self.ticks += 1;
                continue;
            }
            return Ok(Some(entry));
        }
        Ok(None)
    }
}

fn is_equal(a: &Entry, b: &Entry, ignore: Ignore) -> bool {
    if !ignore.ts_recv {
        return a.record().as_bytes() == b.record().as_bytes();
    }
    let [a, b] = [a, b].map(|entry| {
        let mut buf: RecordBuf = entry.record().to_buf();
        if let Some(header) = buf.header_mut() {
            header.ts_recv = Nanos(0);
        }
        buf
    });
    a.record().map(IntoBytes::as_bytes) == b.record().map(IntoBytes::as_bytes)
}
