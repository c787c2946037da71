//! A shard: one thread that owns a set of instruments, decides over their records, and journals
//! what came in and what went out.
//!
//! ```text
//! feed_shard ──drain──┐                        ┌──> journal   input, then its actions
//!                     ├──> record ──> chain ───┤
//! fused: the decoder ─┘                        └──> out       shard_egress, or egress itself
//! ```
//!
//! The same code serves both topologies: fused, the decoder writes its records straight into the
//! shard, which is a [`RecordSink`]; pipelined, the shard drains its rings in batches. Either way
//! records are gathered, a few at most, until their packet or batch ends: the memory that all of
//! them will touch is asked for first, so that the CPU waits for it once and not once a record.
//!
//! Invariants: a record is in the journal before a strategy sees it, so that the one that makes a
//! strategy fail can be found; an action is in the journal before it leaves, and on disk where that
//! is asked for. Nothing is decided over a record that could not be journalled, nor once the disk
//! that makes the journal durable has failed. Derived records are not journalled: they follow.
//! Per record nothing is allocated, and no clock is read but for the records that are measured.
//!
//! ```
//! use corelane::shard::{Shard, ShardConfig};
//! use corelane_feeds::record::{RecordSink, Stamp, View};
//! use corelane_feeds::streams::sys::Tick;
//! use corelane_strategies::chain::Chain;
//! let (out, _egress) = corelane::ring::new("shard_egress", 64);
//! let mut shard = Shard::new(Chain::new(vec![], vec![]), None, out, ShardConfig::default());
//! shard.record(Tick::new(Stamp::default(), 0).as_record());
//! shard.end_batch();
//! assert_eq!(shard.counters().records, 1);
//! ```

mod behind;
mod outlet;

#[cfg(test)]
mod tests;

use std::sync::mpsc::{Receiver, Sender};

use corelane_feeds::record::{FLAG_SHADOW, Record, RecordBuf, RecordSink, Stamp, View};
use corelane_feeds::streams::sys::RuleChange;
use corelane_feeds::units::{Char, Nanos};
use corelane_strategies::chain::Chain;
use corelane_strategies::rules::Rules;

use crate::clock::Clock;
use crate::egress::mark;
use crate::journal::{JournalCounters, JournalError, JournalWriter};
use crate::latency::{DECIDE_EVERY, LatencyRecorder, RuleMeter, Sampler, Stage};
use crate::ring::RecordConsumer;
use crate::sys::prefetch::MEMORY;

pub use behind::{Behind, Has};
use outlet::Outlet;
pub use outlet::{ActionOut, OnFull};

/// The most records that are gathered: enough to hide the way to memory, few enough that the first
/// hardly waits for the last.
const GATHER_MAX: usize = 16;

/// How a shard hands on what it decides.
#[derive(Copy, Clone, Debug, Default)]
pub struct ShardConfig {
    /// What happens when egress has no room.
    pub on_full: OnFull,
    /// Tell egress after every batch how far the shard has come, so that it can put the actions of
    /// several shards in order.
    pub marks: bool,
}

/// What a shard counted.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct ShardCounters {
    /// Records taken.
    pub records: u64,
    /// Actions decided, all of them journalled.
    pub actions: u64,
    /// Actions that waited because egress had no room.
    pub actions_held: u64,
    /// Actions that waited until they were durable.
    pub actions_gated: u64,
    /// How often the shard waited because too many actions did.
    pub gate_waits: u64,
    /// Actions that did not leave because the disk failed. They are in the journal in memory.
    pub actions_undurable: u64,
    /// Actions given up, here and not in the journal: there were too many to hold, or egress was
    /// gone.
    pub actions_dropped: u64,
    /// Records that came after the journal had failed: neither journalled nor decided over.
    pub refused: u64,
    /// Records that an earlier run had taken already, sent again for the sake of another shard.
    pub repeated: u64,
}

/// What is left of a shard that ended.
pub struct ShardEnd<O> {
    /// Where its actions went.
    pub out: O,
    /// Its stages, to be asked for their counters.
    pub chain: Chain,
    /// What it counted.
    pub counters: ShardCounters,
    /// What its journal counted, if there was one.
    pub journal: Option<JournalCounters>,
    /// How the journal's copy on disk was written, if there was one.
    pub durable_how: Option<String>,
    /// Why its journal failed, if it did.
    pub failure: Option<JournalError>,
}

/// Measures some of the records.
struct Timing {
    clock: Clock,
    recorder: LatencyRecorder,
    sampler: Sampler,
    /// When the packet or batch at hand was decoded or taken from the ring.
    decoded: Nanos,
    /// Whether `ts_recv` is a time of this machine's present, not of a capture.
    live: bool,
}

/// Rules that take the place of those that run.
pub struct Reload {
    /// The stage, with nothing in it.
    pub rules: Box<Rules>,
    /// Names their text.
    pub text: u64,
    /// How often rules were changed, this time included.
    pub number: u32,
    /// Takes the old ones, to free them elsewhere.
    pub old: Sender<Box<Rules>>,
}

/// Decides over records, one at a time and in order.
pub struct Shard<O> {
    chain: Chain,
    /// Records of the packet or batch at hand, not yet taken.
    gathered: Box<[RecordBuf]>,
    gathered_len: usize,
    journal: Option<JournalWriter>,
    outlet: Outlet<O>,
    timing: Option<Timing>,
    marks: bool,
    counters: ShardCounters,
    failure: Option<JournalError>,
    reloads: Option<Receiver<Reload>>,
    /// What an earlier run has taken, until the feeds are past it.
    behind: Option<Behind>,
    /// Latest event time of a record.
    watermark: Nanos,
}

impl<O: ActionOut> Shard<O> {
    /// A shard that runs `chain`, writes `journal` if there is one, and hands its actions to `out`.
    #[must_use]
    pub fn new(chain: Chain, journal: Option<JournalWriter>, out: O, config: ShardConfig) -> Self {
        let gate = journal.as_ref().and_then(JournalWriter::gate);
        Self {
            chain,
            gathered: vec![RecordBuf::default(); GATHER_MAX].into(),
            gathered_len: 0,
            journal,
            outlet: Outlet::new(out, config.on_full, gate),
            timing: None,
            marks: config.marks,
            counters: ShardCounters::default(),
            failure: None,
            reloads: None,
            behind: None,
            watermark: Nanos(0),
        }
    }

    /// Measures from now on. `live` says that `ts_recv` of the records is of this machine's
    /// present.
    pub fn measure(&mut self, clock: Clock, recorder: LatencyRecorder, live: bool) {
        let decoded = clock.now();
        let sampler = Sampler::new(DECIDE_EVERY);
        self.timing = Some(Timing { clock, recorder, sampler, decoded, live });
        let rules = self.chain.rules();
        if rules > 0 {
            // A replay decides what the live run decided, however long rules take here.
            self.chain.measure(Box::new(RuleMeter::new(rules)), live);
        }
    }

    /// Takes other rules from there, in idle moments.
    pub fn take_rules_from(&mut self, reloads: Receiver<Reload>) {
        self.reloads = Some(reloads);
    }

    /// Goes on from an earlier run, whose chain this shard was given and whose journal its writer
    /// goes on with. `owed` are actions of the last record that are not in it yet; `watermark` the
    /// latest event time of a record; `behind` what may come again.
    ///
    /// # Errors
    /// If the actions cannot be journalled.
    pub fn resume(
        &mut self,
        owed: &[RecordBuf],
        watermark: Nanos,
        behind: Option<Behind>,
    ) -> Result<(), JournalError> {
        (self.watermark, self.behind) = (watermark, behind);
        for action in owed.iter().filter_map(RecordBuf::record) {
            if let Some(journal) = &mut self.journal {
                journal.append(action)?;
            }
            self.counters.actions += 1;
            if is_taken(&action) {
                let seq = publish(self.journal.as_ref());
                self.outlet.push(seq, action);
            }
        }
        Ok(())
    }

    /// Sends an action of an earlier run again, which is in the journal already. Waits for room.
    pub fn send_again(&mut self, action: &Record) {
        self.outlet.push_waiting(action);
    }

    /// A packet begins, whose records were decoded at `decoded`. Only needed if the shard measures.
    #[inline]
    pub fn begin(&mut self, decoded: Nanos) {
        if let Some(timing) = &mut self.timing {
            timing.decoded = decoded;
        }
    }

    /// Takes at most `records_max` records from a ring and returns how many there were.
    pub fn drain(&mut self, feed_shard: &mut RecordConsumer, records_max: usize) -> usize {
        if feed_shard.is_empty() {
            return 0;
        }
        if let Some(timing) = &mut self.timing {
            timing.decoded = timing.clock.now();
        }
        let taken = feed_shard.drain(records_max, |record| self.gather(record));
        self.end_batch();
        taken
    }

    /// Notes a record, which is taken at the end of its batch or when as many wait as may.
    #[inline]
    fn gather(&mut self, record: &Record) {
        self.gathered[self.gathered_len].set(record);
        self.gathered_len += 1;
        match self.gathered_len {
            // A record alone is taken at once: there is nothing to do meanwhile.
            1 => {}
            2 => {
                if let Some(first) = self.gathered[0].record() {
                    self.chain.prefetch(first, MEMORY);
                }
                self.chain.prefetch(record, MEMORY);
            }
            GATHER_MAX => self.take_gathered(),
            _ => self.chain.prefetch(record, MEMORY),
        }
    }

    /// Takes the records that were gathered.
    fn take_gathered(&mut self) {
        let gathered = std::mem::take(&mut self.gathered);
        let len = std::mem::take(&mut self.gathered_len);
        if len > 1 && self.chain.looks_further() {
            for record in gathered[..len].iter().filter_map(RecordBuf::record) {
                self.chain.prefetch_further(record, MEMORY);
            }
        }
        for record in gathered[..len].iter().filter_map(RecordBuf::record) {
            self.on_record(record);
        }
        self.gathered = gathered;
    }

    /// Takes one record: journals it, decides, journals the actions, hands them on.
    #[inline]
    pub fn on_record(&mut self, record: &Record) {
        if self.failure.is_some() {
            self.counters.refused += 1;
            return;
        }
        if let Some(behind) = &mut self.behind
            && behind.has(record)
        {
            self.counters.repeated += 1;
            return;
        }
        let measured = self.timing.as_mut().is_some_and(|timing| timing.sampler.pick());
        let begun = if measured { self.now() } else { Nanos(0) };
        if let Some(journal) = &mut self.journal
            && let Err(error) = journal.append(record)
        {
            return self.fail(error);
        }
        let appended = if measured { self.now() } else { Nanos(0) };
        self.counters.records += 1;
        self.watermark = self.watermark.max(record.header.ts_event);
        let actions = self.chain.on_record(record);
        if measured || !actions.is_empty() {
            self.act(record, appended.since(begun));
        }
    }

    /// The part of a record that led to actions, or is measured. The input's append took
    /// `append_ns`, if that was measured.
    #[inline(never)]
    fn act(&mut self, record: &Record, append_ns: u64) {
        let decided = self.now();
        let actions = self.chain.actions();
        if let Some(journal) = &mut self.journal {
            for action in actions.iter().filter_map(|action| action.record()) {
                if let Err(error) = journal.append(action) {
                    return self.fail(error);
                }
            }
        }
        self.counters.actions += actions.len() as u64;
        // Before anything leaves: what sinks note of it is never ahead of what becomes durable.
        let seq = if actions.is_empty() { 0 } else { publish(self.journal.as_ref()) };
        if let Some(timing) = &mut self.timing {
            let journalled = timing.clock.now();
            timing.recorder.record(Stage::Decide, timing.decoded, decided);
            timing.recorder.record_ns(Stage::Journal, append_ns + journalled.since(decided));
            if timing.live {
                timing.recorder.record(Stage::WireToDecided, record.header.ts_recv, decided);
            }
            if !actions.is_empty() {
                self.outlet.push(0, mark(record.header.ts_event, journalled).as_record());
            }
        }
        for action in actions.iter().filter_map(|action| action.record()).filter(is_taken) {
            self.outlet.push(seq, action);
        }
        self.act_further();
    }

    /// A record that leads to more actions than there is room for at once: the rest of them.
    fn act_further(&mut self) {
        while let Some(actions) = self.chain.resume() {
            for action in actions.iter().filter_map(|action| action.record()) {
                if let Some(journal) = &mut self.journal
                    && let Err(error) = journal.append(action)
                {
                    return self.fail(error);
                }
                if is_taken(&action) {
                    let seq = publish(self.journal.as_ref());
                    self.outlet.push(seq, action);
                }
            }
            self.counters.actions += actions.len() as u64;
        }
    }

    /// A packet or batch is done: takes what was gathered of it, says how far the shard has come,
    /// if that is asked for, and moves on what egress had no room for.
    #[inline]
    pub fn end_batch(&mut self) {
        self.take_gathered();
        if let Some(rule) = self.chain.wants_suspended() {
            self.suspend(rule);
        }
        if let Some(journal) = &self.journal {
            journal.publish();
        }
        if self.marks {
            self.outlet.push(0, mark(self.watermark, Nanos(0)).as_record());
        }
        self.look_out();
    }

    /// Moves on what waits; stops if the disk has failed.
    #[inline]
    fn look_out(&mut self) {
        if let Some(failure) = self.journal.as_ref().and_then(JournalWriter::take_failure)
            && self.failure.is_none()
        {
            self.fail(failure);
        }
        self.outlet.retry();
    }

    /// Whether actions wait for the disk: look again soon.
    #[must_use]
    pub fn awaits_disk(&self) -> bool {
        self.outlet.awaits_disk()
    }

    /// A record that says that rules change, so that it is in the journal at its place.
    fn change(&self, what: &str) -> RuleChange {
        let (ts_event, ts_recv) = (self.watermark, self.now());
        let mut change = RuleChange::new(Stamp { ts_event, ts_recv, ..Stamp::default() }, 0);
        change.what = Char::new(what);
        change
    }

    #[cold]
    fn suspend(&mut self, rule: u32) {
        let mut change = self.change("suspend");
        change.rule = rule;
        self.on_record(change.as_record());
    }

    #[cold]
    fn reload(&mut self, mut reload: Reload) {
        self.take_gathered();
        let mut change = self.change("reload");
        (change.reloads, change.text) = (reload.number, reload.text);
        self.on_record(change.as_record());
        if self.failure.is_none() {
            self.chain.replace_rules(&mut *reload.rules);
        }
        // Where nobody waits for it any more the run is over.
        let _ = reload.old.send(reload.rules);
    }

    /// For moments without records: moves on what waits and hands over what was measured. Call it
    /// every so often on a busy shard, too.
    pub fn idle(&mut self) {
        self.look_out();
        if let Some(reloads) = &self.reloads
            && let Ok(reload) = reloads.try_recv()
        {
            self.reload(reload);
        }
        if let Some(timing) = &mut self.timing {
            timing.clock.sync_if_due();
            timing.recorder.publish_if_due(timing.clock.now());
        }
    }

    /// Why the journal failed, if it did. The shard decides nothing more then: end the run.
    #[must_use]
    pub fn failure(&self) -> Option<&JournalError> {
        self.failure.as_ref()
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> ShardCounters {
        ShardCounters {
            actions_held: self.outlet.held,
            actions_dropped: self.outlet.dropped,
            actions_gated: self.outlet.gated,
            gate_waits: self.outlet.gate_waits,
            actions_undurable: self.outlet.undurable,
            ..self.counters
        }
    }

    /// Makes its journal durable as far as it was published, if there is no thread for that.
    pub(crate) fn commit(&self, notes: bool) {
        if let Some(journal) = &self.journal {
            journal.commit(notes);
        }
    }

    /// What its journal counted so far.
    #[must_use]
    pub fn journal_counters(&self) -> Option<JournalCounters> {
        self.journal.as_ref().map(JournalWriter::counters)
    }

    /// Where its actions go, for what that needs done between records.
    pub fn out_mut(&mut self) -> &mut O {
        &mut self.outlet.out
    }

    /// Its stages.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Closes the journal, hands over what waits and what was measured.
    pub fn finish(mut self) -> ShardEnd<O> {
        self.take_gathered();
        let mut failure = self.failure.take();
        let durable_how = self.journal.as_ref().and_then(JournalWriter::durable_how);
        let journal = self.journal.take().map(|journal| {
            let counters = journal.counters();
            journal.close().unwrap_or_else(|error| {
                failure.get_or_insert(error);
                counters
            })
        });
        // What the close made durable may leave now.
        self.outlet.flush();
        let counters = self.counters();
        let (out, chain) = (self.outlet.out, self.chain);
        ShardEnd { out, chain, counters, journal, durable_how, failure }
    }

    #[cold]
    fn fail(&mut self, error: JournalError) {
        self.failure = Some(error);
    }

    #[inline]
    fn now(&self) -> Nanos {
        self.timing.as_ref().map_or(Nanos(0), |timing| timing.clock.now())
    }
}

/// Tells how far the journal has come, and the last entry.
#[inline]
fn publish(journal: Option<&JournalWriter>) -> u64 {
    journal.map_or(0, |journal| {
        journal.publish();
        journal.last_seq()
    })
}

/// Whether an action leaves, or was decided in shadow.
#[inline]
fn is_taken(action: &&Record) -> bool {
    action.header.flags & FLAG_SHADOW == 0
}

impl<O: ActionOut> RecordSink for Shard<O> {
    #[inline]
    fn record(&mut self, record: &Record) {
        self.gather(record);
    }
}
