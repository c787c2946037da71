//! Corelane's side: a rule file in a shard, on one thread, and the events as records.
//!
//! Invariant: a record is made anew from each event in each pass, within the time that is measured,
//! as the peers make their objects; every action's columns are read.
//!
//! ```
//! use corelane_bench::cep::{events::{Events, Query}, ours::Ours};
//! let events = Events::generate(Query::Velocity, 7_000);
//! let rules = "CREATE STREAM events (account BIGINT, amount BIGINT);
//!     CREATE ACTION found (account BIGINT);
//!     INSERT INTO found SELECT account FROM events WHERE amount > 9000;";
//! let mut ours = Ours::with_rules(rules, &events).unwrap();
//! ours.pass(0);
//! assert!((600..800).contains(&ours.results().rows));
//! ```

use anyhow::{Context, ensure};
use corelane::ring::Full;
use corelane::shard::{ActionOut, Shard, ShardConfig};
use corelane::sys::prefetch::MEMORY;
use corelane_feeds::record::{Header, Record, RecordBuf, RecordSink, Stamp};
use corelane_feeds::schema::{Schema, SqlType};
use corelane_feeds::units::{Nanos, Seq};
use corelane_strategies::chain::Chain;
use corelane_strategies::rules::{RuleSet, Rules};
use corelane_strategies::strategy::Strategy;
use zerocopy::IntoBytes;

use super::events::{Event, Events, Query};
use super::results::{Results, symbol, text_word};

/// Events that come together, as in a datagram.
const BATCH: usize = 32;
/// How far the event that ends a run lies behind the last one; `Peer.AFTER_MS` on the Java side.
const AFTER_MS: u64 = 3_600_000;
const NS_PER_MS: u64 = 1_000_000;

impl Query {
    /// The rule file.
    #[must_use]
    pub const fn rules(self) -> &'static str {
        match self {
            Self::Velocity => include_str!("../../peers/cep/corelane/velocity.sql"),
            Self::Tumble => include_str!("../../peers/cep/corelane/tumble.sql"),
            Self::Pattern => include_str!("../../peers/cep/corelane/pattern.sql"),
            Self::Join => include_str!("../../peers/cep/corelane/join.sql"),
        }
    }
}

/// Adds up what actions hold.
#[derive(Debug)]
struct Tally {
    /// Where the columns are, each with whether it is a time.
    columns: Vec<(usize, SqlType)>,
    results: Results,
}

impl Tally {
    fn new(schema: Option<&'static Schema>) -> Self {
        let fields = schema.map(|schema| schema.fields).unwrap_or_default();
        let own = |name: &str| !matches!(name, "session" | "rule" | "ordinal" | "_nulls");
        let columns = fields.iter().filter(|field| own(field.name));
        let columns = columns.map(|field| (field.offset, field.sql)).collect();
        Self { columns, results: Results::default() }
    }
}

impl ActionOut for Tally {
    #[inline]
    fn push(&mut self, action: &Record) -> Result<(), Full> {
        let bytes = action.as_bytes();
        let mut row = [0; 4];
        for (word, &(offset, sql)) in row.iter_mut().zip(&self.columns) {
            let Some(&column) = bytes[offset..].first_chunk::<8>() else { continue };
            *word = match sql {
                SqlType::Char(_) => text_word(&column),
                SqlType::Timestamp => u64::from_le_bytes(column) / NS_PER_MS,
                _ => u64::from_le_bytes(column),
            };
        }
        self.results.add(&row[..self.columns.len().min(row.len())]);
        Ok(())
    }
}

/// How an event becomes a record of a stream.
#[derive(Clone, Debug)]
struct Maker {
    blank: RecordBuf,
    key: Option<usize>,
    symbol: Option<usize>,
    value: Option<usize>,
    kind: Option<usize>,
}

impl Maker {
    fn new(schema: &'static Schema) -> Self {
        let place = |names: [&str; 2]| {
            let found = schema.fields.iter().find(|field| names.contains(&field.name));
            found.map(|field| field.offset)
        };
        let mut blank = RecordBuf::default();
        blank.begin(&Header::new(schema.stream, schema.bytes, 0, Stamp::default()));
        Self {
            blank,
            key: place(["account", "key"]),
            symbol: place(["symbol", "symbol"]),
            value: place(["amount", "qty"]),
            kind: place(["kind", "kind"]),
        }
    }

    /// Overwrites what is the event's own.
    #[inline]
    fn make(&mut self, event: &Event, symbols: &[[u8; 8]], seq: u64, ts_ms: u64) -> &RecordBuf {
        if let Some(header) = self.blank.header_mut() {
            header.seq = Seq(seq);
            header.ts_event = Nanos(ts_ms * NS_PER_MS);
        }
        let mut put = |place: Option<usize>, bytes: [u8; 8]| {
            if let Some(offset) = place {
                self.blank.put(offset, &bytes);
            }
        };
        put(self.key, event.key.to_le_bytes());
        put(self.value, event.value.to_le_bytes());
        put(self.kind, event.kind.to_le_bytes());
        // Most streams have none: the table is then not to be touched.
        if self.symbol.is_some() {
            put(self.symbol, symbols[event.key as usize]);
        }
        &self.blank
    }
}

/// A rule file at work.
pub struct Ours {
    shard: Shard<Tally>,
    /// By kind of event; the last one also for all kinds above.
    makers: Vec<Maker>,
    events: Events,
    /// By key.
    symbols: Vec<[u8; 8]>,
    seq: u64,
}

impl Ours {
    /// The rules of a query, for its events.
    ///
    /// # Errors
    /// If the rule file is not understood.
    pub fn new(query: Query, events: &Events) -> anyhow::Result<Self> {
        Self::with_rules(query.rules(), events)
    }

    /// Rules of a text of its own: one or two streams, no or one action. No rules are the bare loop
    /// of a shard.
    ///
    /// # Errors
    /// If the text is not understood.
    pub fn with_rules(text: &str, events: &Events) -> anyhow::Result<Self> {
        Self::with_tables(text, events, &mut |name| Err(format!("there is no {name}")))
    }

    /// The same; `load` gives the text of a file that a table of the rules names.
    ///
    /// # Errors
    /// If a text is not understood.
    pub fn with_tables(
        text: &str,
        events: &Events,
        load: &mut dyn FnMut(&str) -> Result<String, String>,
    ) -> anyhow::Result<Self> {
        let mut set = RuleSet::new();
        set.add_with("rules.sql", text, load)?;
        let makers: Vec<Maker> = set
            .declared_streams()
            .iter()
            .map(|stream| Maker::new(stream.declared.schema))
            .collect();
        ensure!(!makers.is_empty(), "the rules declare no stream");
        let rules: Option<Box<dyn Strategy>> =
            if set.is_empty() { None } else { Some(Box::new(Rules::new(&set))) };
        let action = set.declared().last().copied();
        let mut chain = Chain::new(Vec::new(), rules.into_iter().collect());
        chain.reserve(0, MEMORY);
        let shard = Shard::new(chain, None, Tally::new(action), ShardConfig::default());
        let (symbols, events) = ((0..=events.keys).map(symbol).collect(), events.clone());
        // What stands for arriving packets is not what is measured.
        MEMORY.reserve(&events.list);
        Ok(Self { shard, makers, events, symbols, seq: 0 })
    }

    /// Takes every event, its time put off by so many milliseconds.
    pub fn pass(&mut self, shift_ms: u64) {
        let Self { shard, makers, events, symbols, seq } = self;
        let last = makers.len() - 1;
        for (batch, after) in events.list.chunks(BATCH).zip(1..) {
            // Packets come from a ring that is in cache: the next ones are brought there.
            let after = events.list[(after * BATCH).min(events.list.len())..].iter().take(BATCH);
            after.step_by(2).for_each(|event| MEMORY.load(event));
            for event in batch {
                *seq += 1;
                let maker = &mut makers[last.min(event.kind as usize)];
                let made = maker.make(event, symbols, *seq, event.ts_ms + shift_ms);
                if let Some(record) = made.record() {
                    shard.record(record);
                }
            }
            shard.end_batch();
        }
    }

    /// Takes one event of a key of its own of each stream, long after the last: whatever waited for
    /// time is over.
    ///
    /// # Errors
    /// If there are no events.
    pub fn end(&mut self, shift_ms: u64) -> anyhow::Result<()> {
        let ts_ms = self.events.list.last().context("no events")?.ts_ms + shift_ms + AFTER_MS;
        let event = Event { ts_ms, key: self.events.keys, value: 0, kind: 0 };
        for (maker, streams) in self.makers.iter_mut().zip(0..) {
            self.seq += 1;
            // Far from that of the other stream too, so that they do not meet.
            let ts_ms = ts_ms + streams * AFTER_MS;
            if let Some(record) = maker.make(&event, &self.symbols, self.seq, ts_ms).record() {
                self.shard.record(record);
            }
        }
        self.shard.end_batch();
        Ok(())
    }

    /// What was found so far.
    pub fn results(&mut self) -> Results {
        self.shard.out_mut().results
    }
}
