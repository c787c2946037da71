//! The events that Corelane and its peers are measured with: one file per query, the same bytes for
//! everyone.
//!
//! ```text
//! 0          8       16        24     32            64
//! | CLCEPEV1 | count | span_ms | keys | zeros ...   | event | event | ...
//! event: | ts_ms | key | value | kind |   8 bytes each, little-endian
//! ```
//!
//! Invariants, so that engines that differ about bounds and ties agree on every result: event times
//! are multiples of 7 ms from the start, of which no window is one, so that no two events lie
//! exactly a window apart; the events of one time all have different keys; times never go back. A
//! file is gone through over and over, each time with all times put off by `span_ms`.
//!
//! ```
//! use corelane_bench::cep::events::{Events, Query};
//! let events = Events::generate(Query::Velocity, 7_000);
//! assert_eq!(events.list.len(), 7_000);
//! assert_eq!(Events::parse(&events.to_bytes()).unwrap(), events);
//! ```

use anyhow::{Context, bail, ensure};

const MAGIC: &[u8; 8] = b"CLCEPEV1";
const HEADER_BYTES: usize = 64;
const EVENT_BYTES: usize = 32;
/// Milliseconds between two event times.
const STEP_MS: u64 = 7;
/// Events of the same time: 10,000 a second.
const PER_STEP: usize = 70;
/// The first event's time.
const START_MS: u64 = 1_700_000_000_000;

/// What is asked.
#[derive(Copy, Clone, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Query {
    /// Count and sum over the last minute by account, of 100,000; those above a limit.
    Velocity,
    /// Sum by symbol, of 1,000, and second.
    Tumble,
    /// Three events of growing value within ten seconds by account, of 10,000.
    Pattern,
    /// Pairs of two streams with the same key, of 10,000, at most half a second apart.
    Join,
}

impl Query {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Velocity, Self::Tumble, Self::Pattern, Self::Join];

    /// As the command line spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Velocity => "velocity",
            Self::Tumble => "tumble",
            Self::Pattern => "pattern",
            Self::Join => "join",
        }
    }

    /// How many keys there are, and kinds of events.
    const fn shape(self) -> (u64, u64) {
        match self {
            Self::Velocity => (100_000, 1),
            Self::Tumble => (1_000, 1),
            Self::Pattern => (10_000, 8),
            Self::Join => (10_000, 2),
        }
    }
}

/// One event.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Event time in milliseconds.
    pub ts_ms: u64,
    /// Account or symbol, from 0.
    pub key: u64,
    /// Amount or quantity, from 1 to 10,000.
    pub value: i64,
    /// Which kind of event, or which stream.
    pub kind: u64,
}

/// A file's events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Events {
    /// How much later each event comes the next time.
    pub span_ms: u64,
    /// Keys are below this.
    pub keys: u64,
    /// In order of time.
    pub list: Vec<Event>,
}

/// splitmix64: a good generator of 64 bits that fits in three lines.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number from 0 to below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

impl Events {
    /// So many events, rounded up to whole steps of time: the same for the same number.
    #[must_use]
    pub fn generate(query: Query, count: usize) -> Self {
        Self::with_keys(query, count, query.shape().0)
    }

    /// The same with so many keys, more than there are events of one time.
    #[must_use]
    pub fn with_keys(query: Query, count: usize, keys: u64) -> Self {
        assert!(keys > PER_STEP as u64, "events of one time have different keys");
        let (_, kinds) = query.shape();
        let mut random = Random(query as u64);
        let steps = count.div_ceil(PER_STEP) as u64;
        let mut list: Vec<Event> = Vec::with_capacity(steps as usize * PER_STEP);
        for step in 0..steps {
            let ts_ms = START_MS + step * STEP_MS;
            let first = list.len();
            while list.len() < first + PER_STEP {
                let key = random.below(keys);
                if list[first..].iter().any(|event| event.key == key) {
                    continue;
                }
                let value = 1 + random.below(10_000).cast_signed();
                list.push(Event { ts_ms, key, value, kind: random.below(kinds) });
            }
        }
        Self { span_ms: steps * STEP_MS, keys, list }
    }

    /// As a file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.list.len() * EVENT_BYTES);
        bytes.extend_from_slice(MAGIC);
        for word in [self.list.len() as u64, self.span_ms, self.keys] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.resize(HEADER_BYTES, 0);
        for event in &self.list {
            for word in [event.ts_ms, event.key, event.value.cast_unsigned(), event.kind] {
                bytes.extend_from_slice(&word.to_le_bytes());
            }
        }
        bytes
    }

    /// From a file.
    ///
    /// # Errors
    /// If the bytes are no file of events, or cut short.
    pub fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        let (header, events) = bytes.split_at_checked(HEADER_BYTES).context("no header")?;
        let (words, []) = header.as_chunks::<8>() else { bail!("no whole words") };
        ensure!(&words[0] == MAGIC, "not a file of events");
        let [count, span_ms, keys] = [1, 2, 3].map(|i| u64::from_le_bytes(words[i]));
        let (events, rest) = events.as_chunks::<EVENT_BYTES>();
        ensure!(rest.is_empty() && events.len() as u64 == count, "the file is cut short");
        let list = events.iter().map(|bytes| {
            let (words, _) = bytes.as_chunks::<8>();
            let [ts_ms, key, value, kind] = [0, 1, 2, 3].map(|i| u64::from_le_bytes(words[i]));
            Event { ts_ms, key, value: value.cast_signed(), kind }
        });
        Ok(Self { span_ms, keys, list: list.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_events_keep_what_makes_engines_agree() {
        for query in Query::ALL {
            let events = Events::generate(query, 10_000);
            assert_eq!(events, Events::generate(query, 10_000));
            let span = events.list[events.list.len() - 1].ts_ms - START_MS;
            assert_eq!(events.span_ms, span + STEP_MS);
            for same in events.list.chunk_by(|a, b| a.ts_ms == b.ts_ms) {
                let mut keys: Vec<u64> = same.iter().map(|event| event.key).collect();
                keys.sort_unstable();
                keys.dedup();
                assert_eq!(keys.len(), PER_STEP);
                assert!((same[0].ts_ms - START_MS).is_multiple_of(STEP_MS));
            }
            assert!(events.list.iter().all(|event| event.key < events.keys));
        }
        for window_ms in [60_000, 10_000, 500] {
            assert!(!u64::is_multiple_of(window_ms, STEP_MS));
        }
    }

    #[test]
    fn files_that_are_cut_short_are_refused() {
        let bytes = Events::generate(Query::Join, 70).to_bytes();
        for len in [0, 63, 64, bytes.len() - 1] {
            assert!(Events::parse(&bytes[..len]).is_err());
        }
    }
}
