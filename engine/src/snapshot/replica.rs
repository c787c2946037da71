//! A shard as its journal says: its state, decided over again from the journal's beginning or from
//! a snapshot. It is what recovery goes on with, what a shadow saves, and what time travel shows.
//!
//! Invariant: every action that comes out was compared with the journal's, byte for byte. Only the
//! last record's may be missing there, all or the last of them: its writer died between two
//! entries.

use std::path::Path;

use corelane_feeds::iex;
use corelane_feeds::record::{FLAG_SHADOW, Record, RecordBuf, View};
use corelane_feeds::streams::sys::{RuleChange, Session};
use corelane_feeds::units::Nanos;
use corelane_strategies::action::ActionId;
use corelane_strategies::chain::Chain;
use corelane_strategies::kept::Kept;
use corelane_strategies::registry::Registry;
use corelane_strategies::rules::RuleSet;
use corelane_strategies::state::StateReader;
use corelane_strategies::strategy::StateError;
use zerocopy::IntoBytes;

use super::format::{SnapshotHeader, VERSION, Writer};
use super::{Section, Snapshot, Unfit};
use crate::cli::exit::Failure;
use crate::config::Config;
use crate::journal::{Batch, EntryRef, Kind, Place};
use crate::recover::FeedLeft;
use crate::rerun::{Decider, decided};
use crate::run::plan;
use crate::sys::prefetch::MEMORY;

/// Instruments that a feed can number.
const NUMBERS: usize = u16::MAX as usize + 1;

/// Whose state it is.
#[derive(Copy, Clone)]
pub struct ReplicaStart<'a> {
    /// The folder of the run.
    pub run: &'a Path,
    /// What decided when the journal began.
    pub config: &'a Config,
    /// What strategies there are.
    pub registry: &'a Registry,
    /// The shard's number.
    pub shard: usize,
    /// Takes all memory at once, as a hot thread needs it.
    pub resident: bool,
}

/// See the module.
pub struct Replica {
    decider: Decider,
    shard: usize,
    resident: bool,
    config_hash: u64,
    /// Actions of the record at hand, of which so many were met in the journal.
    now: Vec<RecordBuf>,
    met: usize,
    /// The last entry taken.
    last: Option<Place>,
    /// Sequence number of the record at hand.
    cause: u64,
    /// The last action that left.
    last_action: RecordBuf,
    /// Latest event time of a record.
    pub watermark: Nanos,
    /// How far it has come in each feed.
    pub feeds: Vec<FeedLeft>,
    /// Of feeds that number symbols as they come: the symbol of every number.
    symbols: Vec<Option<Box<[u64]>>>,
    /// Records taken since the journal began.
    pub records: u64,
    /// Actions met since the journal began.
    pub actions: u64,
    /// How often its rules changed.
    pub reloads: u32,
}

impl Replica {
    /// A shard before its first record; or, for [`Replica::restore`], one with the rules of a
    /// snapshot.
    ///
    /// # Errors
    /// If a strategy refuses its settings, or the rules of the snapshot are not at hand.
    pub fn new(start: &ReplicaStart<'_>, snapshot: Option<&Snapshot>) -> anyhow::Result<Self> {
        let ReplicaStart { run, config, registry, shard, resident } = *start;
        let mut config = config.clone();
        if let Some(snapshot) = snapshot {
            if snapshot.header.rules != config.rule_set.fingerprint() {
                decided::load_rules(run, snapshot.header.rules, &mut config)?;
            }
            config.rule_set.number_by(&names(snapshot)?)?;
        }
        let symbols = (0..config.feeds.len()).map(|index| {
            let numbers = plan::open_feed(&config, index)?.numbers_symbols();
            Ok(numbers.then(|| vec![0; NUMBERS].into()))
        });
        let symbols = symbols.collect::<anyhow::Result<_>>()?;
        let mut replica = Self {
            decider: Decider::new(run, &config, registry, shard, true)?,
            shard,
            resident,
            config_hash: plan::strategy_hash(&config),
            now: Vec::new(),
            met: 0,
            last: None,
            cause: 0,
            last_action: RecordBuf::default(),
            watermark: Nanos(0),
            feeds: vec![FeedLeft::default(); config.feeds.len()],
            symbols,
            records: 0,
            actions: 0,
            reloads: 0,
        };
        replica.reserve();
        Ok(replica)
    }

    fn reserve(&mut self) {
        if self.resident {
            let chain = self.decider.chain_mut();
            (0..self.feeds.len()).for_each(|feed| chain.reserve(feed as u8, MEMORY));
        }
    }

    /// Takes over the state of the snapshot that it was made for.
    ///
    /// # Errors
    /// If it is none of this configuration and program; it must then not be used.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), Unfit> {
        if snapshot.header.config_hash != self.config_hash {
            return Err(Unfit::Configuration);
        }
        if snapshot.header.shard as usize != self.shard {
            return Err(Unfit::Journal);
        }
        self.restore_places(snapshot.section(Section::Places)).map_err(Unfit::State)?;
        self.restore_symbols(snapshot.section(Section::Symbols)).map_err(Unfit::State)?;
        let action = aligned(snapshot.section(Section::LastAction));
        if let Ok(action) = Record::from_bytes(action.as_bytes()) {
            self.last_action.set(action);
        }
        let chain = self.decider.chain_mut();
        chain.restore(snapshot.section(Section::Chain)).map_err(Unfit::State)?;
        self.reserve();
        let place = snapshot.header.place();
        (self.last, self.cause) = (Some(place), place.seq);
        Ok(())
    }

    /// Asks for the memory that the next entries will need, as a live shard does.
    pub fn prefetch(&self, batch: &Batch) {
        let chain = self.decider.chain();
        let inputs = || batch.entries().filter(|entry| entry.kind == Kind::Input);
        inputs().for_each(|entry| chain.prefetch(entry.record, MEMORY));
        if chain.looks_further() {
            inputs().for_each(|entry| chain.prefetch_further(entry.record, MEMORY));
        }
    }

    /// Takes the next entry of the journal.
    ///
    /// # Errors
    /// If it is an action that does not come out, or rules change whose text is not at hand.
    pub fn take(&mut self, entry: &EntryRef<'_>) -> anyhow::Result<()> {
        match entry.kind {
            Kind::Action => self.action(entry)?,
            Kind::Input => self.input(entry)?,
            Kind::Control | Kind::End => {}
        }
        self.last = Some(entry.place());
        Ok(())
    }

    fn input(&mut self, entry: &EntryRef<'_>) -> anyhow::Result<()> {
        if let Some(missing) = self.now.get(self.met).and_then(RecordBuf::record) {
            return Err(self.differs(entry.seq, "nothing", &name(missing)));
        }
        let record = entry.record;
        self.records += 1;
        self.watermark = self.watermark.max(record.header.ts_event);
        if let Some(change) = record.view::<RuleChange>() {
            self.reloads = self.reloads.max(change.reloads);
        }
        let index = usize::from(record.header.feed);
        if let Some(feed) = self.feeds.get_mut(index) {
            feed.pass(record);
        }
        if let Some(Some(symbols)) = self.symbols.get_mut(index) {
            let known = &mut symbols[usize::from(record.header.instrument)];
            if *known == 0 {
                *known = iex::symbol_of(record).unwrap_or(0);
            }
        }
        self.cause = entry.seq;
        self.met = 0;
        self.now.clear();
        self.now.extend_from_slice(self.decider.take(record)?);
        Ok(())
    }

    fn action(&mut self, entry: &EntryRef<'_>) -> anyhow::Result<()> {
        let then = entry.record;
        let now = self.now.get(self.met).and_then(RecordBuf::record);
        if now.map(IntoBytes::as_bytes) == Some(then.as_bytes()) {
            self.met += 1;
            self.actions += 1;
            if then.header.flags & FLAG_SHADOW == 0 {
                self.last_action.set(then);
            }
            return Ok(());
        }
        let now = now.map_or_else(|| "nothing".to_owned(), name);
        Err(self.differs(entry.seq, &name(then), &now))
    }

    /// The same program and configuration do not decide the same: the run must not go on as if.
    fn differs(&self, seq: u64, then: &str, now: &str) -> anyhow::Error {
        let cause = self.cause;
        Failure::bad_data(format!(
            "record {cause} does not lead to what it led to: entry {seq} has {then}, now comes \
             {now}\n  this program decides otherwise than the one that wrote the journal: look \
             with `corelane replay --journal`, and begin anew with `start = \"fresh\"` in [journal]"
        ))
        .into()
    }

    /// Whether every action of the last record was met: only then is its state that of an entry.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.met == self.now.len()
    }

    /// Sequence number of the last entry taken; 0 if there was none.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.last.map_or(0, |last| last.seq)
    }

    /// The last action that left, if there was one.
    #[must_use]
    pub fn last_action(&self) -> Option<&Record> {
        self.last_action.record()
    }

    /// The numbers that a feed gave to symbols as they came.
    pub fn symbols(&self, feed: usize) -> impl Iterator<Item = (u64, u16)> {
        let symbols = self.symbols.get(feed).and_then(Option::as_deref).unwrap_or_default();
        let numbered = symbols.iter().enumerate().filter(|(_, symbol)| **symbol != 0);
        numbered.map(|(number, symbol)| (*symbol, number as u16))
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> &RuleSet {
        &self.decider.ran().config().rule_set
    }

    /// Tells what its stages keep.
    pub fn tell(&self, each: &mut dyn FnMut(Kept)) {
        self.decider.chain().tell(self.rules(), each);
    }

    /// Its stages.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        self.decider.chain()
    }

    /// Writes its state down; false if there is no entry whose state it is.
    pub fn save(&self, created: Nanos, out: &mut Vec<u8>) -> bool {
        let Some(last) = self.last.filter(|_| self.is_settled()) else { return false };
        let rule_set = self.rules();
        let mut writer = Writer::new(out);
        writer.section(Section::Places, |out| self.save_places(out));
        writer.section(Section::Symbols, |out| self.save_symbols(out));
        writer.section(Section::Rules, |out| {
            for name in rule_set.names() {
                put(out, [name.len() as u64]);
                out.extend_from_slice(name.as_bytes());
            }
        });
        writer.section(Section::LastAction, |out| {
            out.extend_from_slice(self.last_action().map_or(&[][..], IntoBytes::as_bytes));
        });
        writer.section(Section::Chain, |out| self.decider.chain().save(out));
        writer.finish(SnapshotHeader {
            magic: super::format::MAGIC,
            version: VERSION,
            shard: self.shard as u32,
            journal_id: last.journal_id,
            seq: last.seq,
            segment: last.segment,
            offset: last.offset,
            entry_crc: last.crc,
            sections: 0,
            config_hash: self.config_hash,
            rules: rule_set.fingerprint(),
            created,
            bytes: 0,
            reserved: [0; 3],
            crc: 0,
            pad: 0,
        });
        true
    }

    fn save_places(&self, out: &mut Vec<u8>) {
        let reloads = u64::from(self.reloads);
        put(out, [self.records, self.actions, reloads, self.watermark.0]);
        put(out, [self.feeds.len() as u64]);
        for feed in &self.feeds {
            let FeedLeft { sessions, session, ended, next, ts_event } = feed;
            put(out, [*sessions, u64::from(*ended), *next, ts_event.0]);
            put(out, [u64::from(session.is_some())]);
            if let Some(session) = session {
                out.extend_from_slice(session.as_record().as_bytes());
            }
        }
    }

    fn restore_places(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut state = StateReader::new(bytes);
        (self.records, self.actions) = (state.u64()?, state.u64()?);
        self.reloads = u32::try_from(state.u64()?).map_err(|_| state.damaged())?;
        self.watermark = Nanos(state.u64()?);
        if state.u64()? != self.feeds.len() as u64 {
            return Err(state.damaged());
        }
        for feed in &mut self.feeds {
            (feed.sessions, feed.ended) = (state.u64()?, state.u64()? != 0);
            (feed.next, feed.ts_event) = (state.u64()?, Nanos(state.u64()?));
            feed.session = None;
            if state.u64()? != 0 {
                let words = aligned(state.bytes(size_of::<Session>())?);
                let record = Record::from_bytes(words.as_bytes()).map_err(|_| state.damaged())?;
                feed.session = record.view::<Session>().copied();
            }
        }
        state.finish()
    }

    fn save_symbols(&self, out: &mut Vec<u8>) {
        for feed in 0..self.symbols.len() {
            put(out, [self.symbols(feed).count() as u64]);
            self.symbols(feed).for_each(|(symbol, number)| put(out, [symbol, number.into()]));
        }
    }

    fn restore_symbols(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut state = StateReader::new(bytes);
        for symbols in &mut self.symbols {
            for _ in 0..state.u64()? {
                let (symbol, number) = (state.u64()?, state.u64()?);
                let place = symbols.as_deref_mut().and_then(|all| all.get_mut(number as usize));
                *place.ok_or_else(|| state.damaged())? = symbol;
            }
        }
        state.finish()
    }

    /// Its stages with their state, the configuration with the rules that they have, and the
    /// actions of the last record that are not in the journal.
    #[must_use]
    pub fn into_parts(mut self) -> (Chain, Config, Vec<RecordBuf>) {
        let (chain, config) = self.decider.into_parts();
        self.now.drain(..self.met);
        (chain, config, self.now)
    }
}

fn put<const N: usize>(out: &mut Vec<u8>, words: [u64; N]) {
    words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
}

/// Bytes as words: records lie at whole words.
fn aligned(bytes: &[u8]) -> Vec<u64> {
    let word = |chunk: &[u8]| chunk.first_chunk().map(|word| u64::from_le_bytes(*word));
    bytes.chunks_exact(8).filter_map(word).collect()
}

/// Names of rules by number.
fn names(snapshot: &Snapshot) -> Result<Vec<String>, StateError> {
    let bytes = snapshot.section(Section::Rules);
    let (mut state, mut left, mut names) = (StateReader::new(bytes), bytes.len(), Vec::new());
    while left > 0 {
        let length = usize::try_from(state.u64()?).map_err(|_| state.damaged())?;
        let name = std::str::from_utf8(state.bytes(length)?).map_err(|_| state.damaged())?;
        names.push(name.to_owned());
        left -= 8 + length;
    }
    Ok(names)
}

fn name(action: &Record) -> String {
    match ActionId::of(action) {
        Some(id) => format!("action {id}"),
        None => "a record that is no action".to_owned(),
    }
}
