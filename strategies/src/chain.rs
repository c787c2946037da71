//! The chain: every stage of a shard (order books, then strategies) over every record.
//!
//! ```text
//! record ──> stages that want its stream, in order ──> what they derived, in order ──> actions
//!                        │                                   ▲
//!                        └── publish(book.bbo, ...) ─────────┘  seen by later stages alone
//! ```
//!
//! Invariant: a record touches only the stages that want its stream; order of stages and of derived
//! records is fixed, so the actions of a record are always the same in the same order.

use std::any::Any;

use corelane_feeds::record::{FLAG_EXCHANGED, Record, RecordBuf, StreamId};
use corelane_feeds::streams::book::{Bbo, Order};
use corelane_feeds::streams::sys::Session;
use zerocopy::FromZeros;

use crate::book::{L3Books, L3Options, LevelBooks};
use crate::kept::Kept;
use crate::memory::Memory;
use crate::meter::{Meter, RuleTally};
use crate::outbox::Outbox;
use crate::rules::RuleSet;
use crate::state::{StateReader, put_words};
use crate::strategy::{ACTIONS_STAGE_MAX, DERIVED_MAX, StateError, Strategy};

/// The most stages of a chain: one bit each in the route table.
pub const STAGES_MAX: usize = 32;
/// The most records that one record may derive, over all stages.
const DERIVED_TOTAL_MAX: usize = STAGES_MAX * DERIVED_MAX;
/// Feeds that a record can name.
const FEEDS: usize = 256;

/// For every stream that a record can name, the stages that want it.
type Routes = [u32; 1 << 16];

/// Runs stages over records.
pub struct Chain {
    stages: Vec<Box<dyn Strategy>>,
    /// Bit `i` of `routes[stream]`: stage `i` wants the stream.
    routes: Box<Routes>,
    /// Bit `i`: stage `i` looks ahead.
    ahead: u32,
    /// Bit `i`: and further.
    further: u32,
    /// Bit `i`: stage `i` sees records whose own shard is another.
    exchanged: u32,
    outbox: Outbox,
    /// The derived record at hand.
    current: Box<RecordBuf>,
    /// Session key per feed.
    sessions: Box<[u32; FEEDS]>,
}

impl Chain {
    /// A chain of `books`, whose actions (they have none) are rule 0, and `strategies`, whose rule
    /// numbers are their positions from 1.
    ///
    /// # Panics
    /// If there are more than [`STAGES_MAX`] stages, or one declares too many actions.
    #[must_use]
    pub fn new(books: Vec<Box<dyn Strategy>>, strategies: Vec<Box<dyn Strategy>>) -> Self {
        let rules = std::iter::repeat_n(0, books.len()).chain(1..);
        let stages: Vec<Box<dyn Strategy>> = books.into_iter().chain(strategies).collect();
        let rules: Vec<u16> = rules.take(stages.len()).collect();
        assert!(stages.len() <= STAGES_MAX, "{} stages of at most {STAGES_MAX}", stages.len());
        let mut routes = Routes::new_box_zeroed().expect("memory for the routes");
        for (i, stage) in stages.iter().enumerate() {
            assert!(stage.actions_max() <= ACTIONS_STAGE_MAX, "{}", stage.name());
            for stream in stage.streams() {
                routes[usize::from(stream.0)] |= 1 << i;
            }
        }
        let bits = |of: fn(&dyn Strategy) -> bool| {
            let stages = stages.iter().enumerate();
            stages.map(|(i, stage)| u32::from(of(stage.as_ref())) << i).sum()
        };
        let (ahead, further) = (bits(|stage| stage.looks_ahead()), bits(|s| s.looks_further()));
        let exchanged = bits(|stage| stage.takes_exchanged());
        // A stage may be called for the record and for everything derived from it.
        let actions = stages.iter().map(|stage| stage.actions_max()).sum::<usize>();
        let actions = actions * (1 + DERIVED_MAX);
        Self {
            stages,
            routes,
            ahead,
            further,
            exchanged,
            outbox: Outbox::for_stages(actions, DERIVED_TOTAL_MAX, &rules),
            current: Box::default(),
            sessions: Box::new([0; FEEDS]),
        }
    }

    /// A chain of `strategies` behind the order books that they need: those that want a `book.*`
    /// stream get L3 books (ITCH) and price-level books (IEX DEEP), which publish only what is
    /// wanted. `orders_max` is the number of live orders that an L3 feed has room for.
    ///
    /// # Panics
    /// As [`Chain::new`].
    #[must_use]
    pub fn with_books(strategies: Vec<Box<dyn Strategy>>, orders_max: usize) -> Self {
        let wants = |stream: StreamId| {
            strategies.iter().any(|strategy| strategy.streams().contains(&stream))
        };
        let (publish_orders, publish_bbo) = (wants(Order::STREAM), wants(Bbo::STREAM));
        let mut books: Vec<Box<dyn Strategy>> = Vec::new();
        if publish_orders || publish_bbo {
            let options = L3Options { orders_max, publish_orders, publish_bbo };
            books.push(Box::new(L3Books::new(options)));
        }
        if publish_bbo {
            books.push(Box::new(LevelBooks::new(publish_bbo)));
        }
        Self::new(books, strategies)
    }

    /// Runs every stage that wants it over `record`; returns the actions, in order.
    #[inline]
    pub fn on_record(&mut self, record: &Record) -> &[RecordBuf] {
        if record.header.stream == Session::STREAM
            && let Some(session) = record.view::<Session>()
        {
            self.sessions[usize::from(record.header.feed)] = session.key;
        }
        let session = self.sessions[usize::from(record.header.feed)];
        self.outbox.start(session);
        let mut wanted = self.routes[usize::from(record.header.stream.0)];
        if record.header.flags & FLAG_EXCHANGED != 0 {
            wanted &= self.exchanged;
        }
        dispatch(&mut self.stages, &mut self.outbox, record, wanted);
        let mut next = 0;
        while let Some(publisher) = self.outbox.take_derived(next, &mut self.current) {
            next += 1;
            let Some(derived) = self.current.record() else { continue };
            // Only the stages behind the publisher see it: the bits above its own.
            let behind = !(u32::MAX >> (31 - u32::from(publisher % STAGES_MAX as u8)));
            let wanted = self.routes[usize::from(derived.header.stream.0)] & behind;
            dispatch(&mut self.stages, &mut self.outbox, derived, wanted);
        }
        self.outbox.actions()
    }

    /// Goes on where a stage stopped for want of room, and returns the further actions of the
    /// record last taken; `None` if there is nothing to go on with.
    pub fn resume(&mut self) -> Option<&[RecordBuf]> {
        let more = self.stages.iter().position(|stage| stage.has_more())?;
        self.outbox.clear();
        self.outbox.begin(more as u8);
        self.stages[more].resume(&mut self.outbox);
        Some(self.outbox.actions())
    }

    /// Puts other rules in the place of those that run; what is in `with` afterwards is the old
    /// ones. False if there is no stage of rules.
    pub fn replace_rules(&mut self, with: &mut dyn Any) -> bool {
        let Some(at) = self.stages.iter().position(|stage| stage.rules() > 0) else { return false };
        for stream in self.stages[at].streams() {
            self.routes[usize::from(stream.0)] &= !(1 << at);
        }
        let done = self.stages[at].replace(with);
        for stream in self.stages[at].streams() {
            self.routes[usize::from(stream.0)] |= 1 << at;
        }
        done
    }

    /// How many rules the stages have that can be measured.
    #[must_use]
    pub fn rules(&self) -> usize {
        self.stages.iter().map(|stage| stage.rules()).sum()
    }

    /// Measures the rules from now on: see [`Strategy::measure`].
    pub fn measure(&mut self, meter: Box<dyn Meter>, suspends: bool) {
        if let Some(stage) = self.stages.iter_mut().find(|stage| stage.rules() > 0) {
            stage.measure(meter, suspends);
        }
    }

    /// Hands back what rules were measured with, and what came of each.
    pub fn tallies(&mut self, each: &mut dyn FnMut(RuleTally)) -> Option<Box<dyn Meter>> {
        let stage = self.stages.iter_mut().find(|stage| stage.rules() > 0)?;
        stage.tallies(each)
    }

    /// A rule that asks to be suspended.
    #[inline]
    pub fn wants_suspended(&mut self) -> Option<u32> {
        self.stages.last_mut()?.wants_suspended()
    }

    /// A feed is about to begin: every stage takes the memory that it needs for it.
    pub fn reserve(&mut self, feed: u8, memory: Memory) {
        self.stages.iter_mut().for_each(|stage| stage.reserve(feed, memory));
    }

    /// A record is about to come: the stages that look ahead ask for the memory that it will touch.
    #[inline]
    pub fn prefetch(&self, record: &Record, memory: Memory) {
        self.each_of(self.ahead, record, |stage| stage.prefetch(record, memory));
    }

    /// The same, for the memory that the first request leads to.
    #[inline]
    pub fn prefetch_further(&self, record: &Record, memory: Memory) {
        self.each_of(self.further, record, |stage| stage.prefetch_further(record, memory));
    }

    /// Whether any stage does something in [`Chain::prefetch_further`].
    #[inline]
    #[must_use]
    pub fn looks_further(&self) -> bool {
        self.further != 0
    }

    /// Each of some stages that wants the record.
    #[inline]
    fn each_of(&self, stages: u32, record: &Record, each: impl Fn(&dyn Strategy)) {
        let mut stages = stages & self.routes[usize::from(record.header.stream.0)];
        while let Some(stage) = self.stages.get(stages.trailing_zeros() as usize) {
            stages &= stages - 1;
            each(stage.as_ref());
        }
    }

    /// The actions of the record last taken, as [`Chain::on_record`] returned them.
    #[inline]
    #[must_use]
    pub fn actions(&self) -> &[RecordBuf] {
        self.outbox.actions()
    }

    /// The stages' names, in order.
    pub fn stage_names(&self) -> impl Iterator<Item = &str> {
        self.stages.iter().map(|stage| stage.name())
    }

    /// Which streams any stage wants.
    #[must_use]
    pub fn wants(&self, stream: StreamId) -> bool {
        self.routes[usize::from(stream.0)] != 0
    }

    /// Reports every stage's counters as (position of the stage, counter, value).
    pub fn counters(&self, report: &mut dyn FnMut(usize, &'static str, u64)) {
        for (i, stage) in self.stages.iter().enumerate() {
            stage.counters(&mut |counter, value| report(i, counter, value));
        }
    }

    /// Tells what every stage keeps: see [`Strategy::tell`].
    pub fn tell(&self, rules: &RuleSet, each: &mut dyn FnMut(Kept)) {
        self.stages.iter().for_each(|stage| stage.tell(rules, each));
    }

    /// How many actions the strategy of a rule number has emitted.
    #[must_use]
    pub fn actions_of(&self, rule: u16) -> u64 {
        self.outbox.actions_of(rule)
    }

    /// Appends the state of every stage to `out`, each behind its name's hash and its length.
    pub fn save(&self, out: &mut Vec<u8>) {
        put_words(out, self.outbox.tallies());
        for key in self.sessions.iter() {
            out.extend_from_slice(&key.to_le_bytes());
        }
        for stage in &self.stages {
            put_words(out, [name_hash(stage.name())]);
            let start = out.len();
            out.extend_from_slice(&[0; 8]);
            stage.save(out);
            let bytes = (out.len() - start - 8) as u64;
            out[start..start + 8].copy_from_slice(&bytes.to_le_bytes());
        }
    }

    /// Takes over a state that [`Chain::save`] of a chain of the same stages wrote.
    ///
    /// # Errors
    /// If the bytes are no such state; the chain must then not be used.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut state = StateReader::new(bytes);
        for stage in 0..self.stages.len() {
            let [actions] = state.words()?;
            self.outbox.set_tally(stage, actions);
        }
        for key in self.sessions.iter_mut() {
            *key = state.u32()?;
        }
        for stage in &mut self.stages {
            if state.u64()? != name_hash(stage.name()) {
                return Err(StateError::Version);
            }
            let count = usize::try_from(state.u64()?).map_err(|_| state.damaged())?;
            stage.restore(state.bytes(count)?)?;
        }
        state.finish()
    }
}

/// Tells stages apart in a saved state (FNV-1a).
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Calls the stages whose bits are set, first to last.
#[inline]
fn dispatch(
    stages: &mut [Box<dyn Strategy>],
    outbox: &mut Outbox,
    record: &Record,
    mut wanted: u32,
) {
    while wanted != 0 {
        let i = wanted.trailing_zeros();
        wanted &= wanted - 1;
        let Some(stage) = stages.get_mut(i as usize) else { return };
        outbox.begin(i as u8);
        stage.on_record(record, outbox);
    }
}

#[cfg(test)]
mod tests;
