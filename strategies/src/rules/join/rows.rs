//! The rows of one side of a join that may still meet rows of the other.
//!
//! ```text
//! bucket of a key's hash ──> newest row <──> ... <──> oldest row      by event time
//! all rows               ──> newest row <──> ... <──> oldest row      by event time
//! ```
//!
//! Invariant: all memory is taken when it is made. Rows of a bucket, and all rows, are linked in
//! the order of event time, rows of one time in the order in which they came. When there is no room
//! the oldest row gives way and is counted.

use crate::state::StateReader;
use crate::strategy::StateError;

/// No row.
pub(super) const NONE: u32 = u32::MAX;

/// A place in a list that runs from the oldest to the newest.
#[derive(Copy, Clone, Debug)]
struct Link {
    older: u32,
    newer: u32,
}

/// Both ends of a list.
#[derive(Copy, Clone, Debug)]
struct Ends {
    oldest: u32,
    newest: u32,
}

const EMPTY: Ends = Ends { oldest: NONE, newest: NONE };

/// What is kept of a row besides its words.
#[derive(Copy, Clone, Debug)]
struct Row {
    ts: u64,
    bucket: u32,
    matched: bool,
    in_bucket: Link,
    in_time: Link,
}

/// See the [module](self).
#[derive(Debug)]
pub(in crate::rules) struct Rows {
    rows: Vec<Row>,
    /// Of every row its key, then the record.
    words: Vec<u64>,
    key_words: usize,
    row_words: usize,
    buckets: Vec<Ends>,
    all: Ends,
    /// Rows that are free, linked by `in_time.newer`.
    free: u32,
    /// The newest of the rows up to which [`Rows::keep_last_before`] has come.
    settled: u32,
    pub(super) len: usize,
}

/// Changes a list's ends and neighbours; which list is told by how its links are reached.
macro_rules! unlink {
    ($rows:expr, $ends:expr, $link:ident, $at:expr) => {{
        let Link { older, newer } = $rows[$at as usize].$link;
        match older {
            NONE => $ends.oldest = newer,
            older => $rows[older as usize].$link.newer = newer,
        }
        match newer {
            NONE => $ends.newest = older,
            newer => $rows[newer as usize].$link.older = older,
        }
    }};
}

macro_rules! link_in {
    ($rows:expr, $ends:expr, $link:ident, $at:expr) => {{
        let ts = $rows[$at as usize].ts;
        // From the newest on: rows mostly come in order.
        let mut older = $ends.newest;
        while older != NONE && $rows[older as usize].ts > ts {
            older = $rows[older as usize].$link.older;
        }
        let newer = match older {
            NONE => std::mem::replace(&mut $ends.oldest, $at),
            older => std::mem::replace(&mut $rows[older as usize].$link.newer, $at),
        };
        match newer {
            NONE => $ends.newest = $at,
            newer => $rows[newer as usize].$link.older = $at,
        }
        $rows[$at as usize].$link = Link { older, newer };
    }};
}

fn bucket_of(key: &[u64], mask: usize) -> u32 {
    let mut hash = 0x9e37_79b9_7f4a_7c15_u64;
    for word in key {
        hash = (hash ^ word).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash ^= hash >> 29;
    }
    (hash >> 16) as u32 & mask as u32
}

impl Rows {
    /// Room for so many rows, whose keys and records have so many words.
    pub(in crate::rules) fn new(rows_max: usize, key_words: usize, row_words: usize) -> Self {
        let link = Link { older: NONE, newer: NONE };
        let row = Row { ts: 0, bucket: 0, matched: false, in_bucket: link, in_time: link };
        let mut rows = Self {
            rows: vec![row; rows_max],
            words: vec![0; rows_max * (key_words + row_words)],
            key_words,
            row_words,
            buckets: vec![EMPTY; rows_max.next_power_of_two()],
            all: EMPTY,
            free: NONE,
            settled: NONE,
            len: 0,
        };
        rows.clear();
        rows
    }

    /// Bytes that so many rows take.
    pub(in crate::rules) const fn bytes(
        rows_max: usize,
        key_words: usize,
        row_words: usize,
    ) -> usize {
        let row = (key_words + row_words) * 8 + size_of::<Row>();
        rows_max * row + rows_max.next_power_of_two() * size_of::<Ends>()
    }

    fn clear(&mut self) {
        self.buckets.fill(EMPTY);
        (self.all, self.settled, self.len) = (EMPTY, NONE, 0);
        let count = self.rows.len() as u32;
        for (next, row) in (1..).zip(&mut self.rows) {
            row.in_time.newer = if next == count { NONE } else { next };
        }
        self.free = if count == 0 { NONE } else { 0 };
    }

    /// Whether another row would make the oldest give way.
    pub(in crate::rules) fn is_full(&self) -> bool {
        self.free == NONE
    }

    /// The oldest row of all.
    pub(in crate::rules) fn oldest(&self) -> Option<u32> {
        (self.all.oldest != NONE).then_some(self.all.oldest)
    }

    /// The row behind another of all, by time.
    pub(in crate::rules) fn newer(&self, at: u32) -> Option<u32> {
        let newer = self.rows[at as usize].in_time.newer;
        (newer != NONE).then_some(newer)
    }

    /// All rows, the oldest first.
    pub(in crate::rules) fn all(&self) -> impl Iterator<Item = u32> {
        std::iter::successors(self.oldest(), |at| self.newer(*at))
    }

    pub(in crate::rules) fn ts(&self, at: u32) -> u64 {
        self.rows[at as usize].ts
    }

    pub(in crate::rules) fn is_matched(&self, at: u32) -> bool {
        self.rows[at as usize].matched
    }

    pub(in crate::rules) fn set_matched(&mut self, at: u32) {
        self.rows[at as usize].matched = true;
    }

    fn place(&self, at: u32) -> usize {
        at as usize * (self.key_words + self.row_words)
    }

    pub(in crate::rules) fn key(&self, at: u32) -> &[u64] {
        let place = self.place(at);
        &self.words[place..place + self.key_words]
    }

    /// The record's words.
    pub(in crate::rules) fn record(&self, at: u32) -> &[u64] {
        let place = self.place(at) + self.key_words;
        &self.words[place..place + self.row_words]
    }

    /// Adds a row; there has to be room.
    pub(in crate::rules) fn push(&mut self, ts: u64, key: &[u64], record: &[u64]) -> Option<u32> {
        let at = self.free;
        if at == NONE {
            return None;
        }
        self.free = self.rows[at as usize].in_time.newer;
        let bucket = bucket_of(key, self.buckets.len() - 1);
        let row = &mut self.rows[at as usize];
        (row.ts, row.bucket, row.matched) = (ts, bucket, false);
        let place = self.place(at);
        self.words[place..place + self.key_words].copy_from_slice(key);
        let place = &mut self.words[place + self.key_words..][..self.row_words];
        let length = record.len().min(place.len());
        place[..length].copy_from_slice(&record[..length]);
        link_in!(self.rows, self.buckets[bucket as usize], in_bucket, at);
        link_in!(self.rows, self.all, in_time, at);
        self.len += 1;
        Some(at)
    }

    /// Drops a row.
    pub(in crate::rules) fn remove(&mut self, at: u32) {
        if at == self.settled {
            self.settled = self.rows[at as usize].in_time.older;
        }
        let bucket = self.rows[at as usize].bucket as usize;
        unlink!(self.rows, self.buckets[bucket], in_bucket, at);
        unlink!(self.rows, self.all, in_time, at);
        self.rows[at as usize].in_time.newer = self.free;
        self.free = at;
        self.len -= 1;
    }

    /// The oldest row of a key with a time from `low` on.
    pub(in crate::rules) fn first(&self, key: &[u64], low: u64) -> Option<u32> {
        let bucket = bucket_of(key, self.buckets.len() - 1);
        let mut found = None;
        let mut at = self.buckets[bucket as usize].newest;
        while at != NONE && self.rows[at as usize].ts >= low {
            if self.key(at) == key {
                found = Some(at);
            }
            at = self.rows[at as usize].in_bucket.older;
        }
        found
    }

    /// The row of the same key behind another one, up to the time `high`.
    pub(in crate::rules) fn next(&self, at: u32, high: u64) -> Option<u32> {
        let mut next = self.rows[at as usize].in_bucket.newer;
        while next != NONE && self.rows[next as usize].ts <= high {
            if self.key(next) == self.key(at) {
                return Some(next);
            }
            next = self.rows[next as usize].in_bucket.newer;
        }
        None
    }

    /// The newest row of a key with a time up to `high`: of one time the last that came.
    pub(in crate::rules) fn last(&self, key: &[u64], high: u64) -> Option<u32> {
        let bucket = bucket_of(key, self.buckets.len() - 1);
        let mut at = self.buckets[bucket as usize].newest;
        while at != NONE && (self.rows[at as usize].ts > high || self.key(at) != key) {
            at = self.rows[at as usize].in_bucket.older;
        }
        (at != NONE).then_some(at)
    }

    /// The oldest row of a key.
    pub(in crate::rules) fn oldest_of(&self, key: &[u64]) -> Option<u32> {
        let bucket = bucket_of(key, self.buckets.len() - 1);
        let mut at = self.buckets[bucket as usize].oldest;
        while at != NONE && self.key(at) != key {
            at = self.rows[at as usize].in_bucket.newer;
        }
        (at != NONE).then_some(at)
    }

    /// Drops what comes before a row of its key that is itself before a time; no row that is added
    /// later is. Looks at every row once.
    pub(in crate::rules) fn keep_last_before(&mut self, now: u64) {
        loop {
            let next = match self.settled {
                NONE => self.all.oldest,
                settled => self.rows[settled as usize].in_time.newer,
            };
            if next == NONE || self.rows[next as usize].ts >= now {
                return;
            }
            let mut older = self.rows[next as usize].in_bucket.older;
            while older != NONE && self.key(older) != self.key(next) {
                older = self.rows[older as usize].in_bucket.older;
            }
            if older != NONE {
                self.remove(older);
            }
            self.settled = next;
        }
    }

    pub(in crate::rules) fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.len as u32).to_le_bytes());
        let mut at = self.all.oldest;
        while at != NONE {
            let row = &self.rows[at as usize];
            out.extend_from_slice(&row.ts.to_le_bytes());
            out.push(u8::from(row.matched));
            let words = self.key(at).iter().chain(self.record(at));
            words.for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
            at = row.in_time.newer;
        }
    }

    pub(in crate::rules) fn restore(
        &mut self,
        state: &mut StateReader<'_>,
    ) -> Result<(), StateError> {
        self.clear();
        let mut words = vec![0; self.key_words + self.row_words];
        for _ in 0..state.u32()? {
            let (ts, matched) = (state.u64()?, state.u8()? != 0);
            for word in &mut words {
                *word = state.u64()?;
            }
            let (key, record) = words.split_at(self.key_words);
            let at = self.push(ts, key, record).ok_or(StateError::Version)?;
            self.rows[at as usize].matched = matched;
        }
        Ok(())
    }
}
