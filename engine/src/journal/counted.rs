//! Reads all of a journal and counts what is in it, with as many threads as there are CPUs.
//!
//! ```text
//! segments   0 1 2 3 4 5 ...      each read alone, up to its link to the next, by whichever thread
//!                                 is free
//! ```
//!
//! Invariant: what is counted is what one reader from the beginning comes to: a segment counts only
//! if every one before it was whole and led to the next.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use corelane_feeds::record::StreamId;

use super::{EntryRef, JournalError, JournalReader, Kind, Tail};

/// Threads that read a journal at most: each has files open and memory of its own.
const THREADS_MAX: usize = 8;

/// With how many threads this machine reads a journal.
pub(super) fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX)
}

/// What is in a journal, or in a part of one.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) entries: u64,
    /// Of records.
    pub(super) bytes: u64,
    pub(super) first_seq: Option<u64>,
    pub(super) last_seq: Option<u64>,
    pub(super) ts_event_first: Option<u64>,
    pub(super) ts_event_last: Option<u64>,
    /// Entries by kind and stream, see [`Counted::kinds`].
    kinds: Vec<u64>,
    /// How it ends, if it does.
    pub(super) tail: Option<Tail>,
    /// What was found damaged.
    pub(super) failure: Option<JournalError>,
}

/// Numbers of kinds, of which all are smaller.
const KINDS: usize = 8;

impl Counted {
    /// All of the journal of which `reader` is at the beginning, with so many threads at most.
    pub(super) fn of(mut reader: JournalReader, threads: usize) -> Self {
        let segments = reader.segments();
        let next = AtomicUsize::new(1);
        // Segments that no thread has, one after the other.
        let rest = |mut reader: JournalReader, mut counted: Vec<(usize, Self)>| {
            loop {
                let segment = next.fetch_add(1, Ordering::Relaxed);
                if segment >= segments {
                    return counted;
                }
                let opened = reader.only(segment);
                let failed = |error| Self { failure: Some(error), ..Self::default() };
                counted
                    .push((segment, opened.map_or_else(failed, |()| Self::rest_of(&mut reader))));
            }
        };
        let mut parts = thread::scope(|scope| {
            let others = 1..threads.min(segments);
            let others = others.map(|_| reader.another()).collect::<Vec<_>>().into_iter();
            let others = others.map(|reader| scope.spawn(move || rest(reader, Vec::new())));
            let others: Vec<_> = others.collect();
            reader.alone();
            let first = (0, Self::rest_of(&mut reader));
            let mut parts = rest(reader, vec![first]);
            for other in others {
                parts.extend(other.join().expect("a thread that reads does not panic"));
            }
            parts
        });
        parts.sort_by_key(|(segment, _)| *segment);
        let mut all = Self::default();
        for (_, part) in parts {
            // One that fails or ends the journal does so for those behind it, too.
            if all.failure.is_none() && all.tail.is_none() {
                all.add_part(part);
            }
        }
        all
    }

    /// What a reader has yet to read.
    fn rest_of(reader: &mut JournalReader) -> Self {
        let mut counted = Self::default();
        loop {
            match reader.read() {
                Ok(Some(entry)) => counted.add(&entry),
                Ok(None) => {
                    counted.tail = reader.tail();
                    return counted;
                }
                Err(error) => {
                    counted.failure = Some(error);
                    return counted;
                }
            }
        }
    }

    /// Entries by what they are.
    pub(super) fn kinds(&self) -> impl Iterator<Item = ((Kind, StreamId), u64)> {
        let counts = self.kinds.iter().enumerate().filter(|(_, count)| **count > 0);
        counts.filter_map(|(place, &count)| {
            let kind = Kind::from_u8((place % KINDS) as u8)?;
            Some(((kind, StreamId((place / KINDS) as u16)), count))
        })
    }

    fn add(&mut self, entry: &EntryRef<'_>) {
        let header = &entry.record.header;
        self.entries += 1;
        self.bytes += header.bytes() as u64;
        self.first_seq.get_or_insert(entry.seq);
        self.last_seq = Some(entry.seq);
        // Times of 0 are records that have none.
        if header.ts_event.0 != 0 {
            self.ts_event_first.get_or_insert(header.ts_event.0);
            self.ts_event_last = Some(header.ts_event.0);
        }
        let place = usize::from(header.stream.0) * KINDS + entry.kind as usize;
        if place >= self.kinds.len() {
            self.kinds.resize(place + 1, 0);
        }
        self.kinds[place] += 1;
    }

    /// What comes behind.
    fn add_part(&mut self, part: Self) {
        self.entries += part.entries;
        self.bytes += part.bytes;
        self.first_seq = self.first_seq.or(part.first_seq);
        self.last_seq = part.last_seq.or(self.last_seq);
        self.ts_event_first = self.ts_event_first.or(part.ts_event_first);
        self.ts_event_last = part.ts_event_last.or(self.ts_event_last);
        self.kinds.resize(self.kinds.len().max(part.kinds.len()), 0);
        self.kinds.iter_mut().zip(&part.kinds).for_each(|(known, count)| *known += count);
        (self.tail, self.failure) = (part.tail, part.failure);
    }
}
