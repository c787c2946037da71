//! Rules at work: one stage of the chain that runs every rule of a set over the records of their
//! streams.
//!
//! Invariant: a record touches only the rules of its stream, in the order of the text; what it
//! derives is routed when it is done, first in first out, before the next record. If there is no
//! room for another action the stage stops where it is and goes on when the actions are gone, so
//! none is lost.

use std::any::Any;

use corelane_feeds::record::{Record, RecordBuf, StreamId};
use corelane_feeds::streams::sys::{EndOfSession, RuleChange};
use corelane_feeds::units::Nanos;
use zerocopy::IntoBytes;

use routes::{Reader, Routes, Share, read_as};

use super::kept;
use super::operator::{Context, Operator, Own, Progress, Shared};
use super::plan::{Arm, Budget, Rule, RuleSet, Shares};
use super::pool::Pool;
use super::time::Time;
use super::types::Value;
use crate::kept::Kept;
use crate::memory::Memory;
use crate::meter::{Meter, RuleTally};
use crate::outbox::Outbox;
use crate::state::{StateReader, put_words};
use crate::strategy::{ACTIONS_STAGE_MAX, StateError, Strategy};

/// Changes when the saved state does.
const STATE_VERSION: u32 = 0x5255_4c06;

/// Of the records, how many share one measurement of every rule that they touch.
const MEASURE_EVERY: u32 = 64;
/// Measured records in a row that need more than the budget before a rule is suspended: one alone
/// may be the machine's doing.
const SUSPEND_AFTER: u32 = 8;

/// Measures rules, now and then.
#[derive(Default)]
struct Metering {
    meter: Option<Box<dyn Meter>>,
    suspends: bool,
    /// Records until the next that is measured.
    left: u32,
    to_suspend: Option<u32>,
}

impl Metering {
    #[inline]
    fn next(&mut self) {
        self.left = self.left.checked_sub(1).unwrap_or(MEASURE_EVERY - 1);
    }

    /// When the measurement begins, if there is one.
    #[inline]
    fn begin(&self) -> Option<u64> {
        if self.left != 0 {
            return None;
        }
        Some(self.meter.as_ref()?.now_ns())
    }

    /// How long it took.
    #[inline]
    fn end(&mut self, rule: usize, begun: Option<u64>) -> Option<u64> {
        let (meter, begun) = (self.meter.as_mut()?, begun?);
        let ns = meter.now_ns().saturating_sub(begun);
        meter.record(rule, ns);
        Some(ns)
    }
}

/// A rule with its state.
struct Running {
    name: &'static str,
    number: u16,
    text: String,
    operator: Operator,
    own: Own,
    /// The most actions that it takes at once.
    actions: usize,
    /// Its streams, if it waits for times.
    timed: Option<Vec<usize>>,
    budget: Option<Budget>,
    /// Measured records for which it needed more; how many of them were the last ones.
    over_budget: (u64, u32),
    is_suspended: bool,
}

/// Where the stage stopped for want of room.
#[derive(Default)]
struct Stopped {
    /// The record at hand.
    record: RecordBuf,
    /// The next of its stream's readers.
    reader: usize,
    /// What that reader is at.
    step: Step,
}

/// What a reader of a record is at.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
enum Step {
    /// What waited for the time that has come.
    #[default]
    Time,
    /// The rest of it.
    MoreTime,
    /// The record.
    Record,
    /// The rest of it.
    MoreRecord,
}

/// What a rule works with that is not its own.
struct Work<'a> {
    rule: u16,
    shared: &'a mut Shared,
    inputs: &'a [Value],
    time: &'a Time,
    outbox: &'a mut Outbox,
}

/// The stage that runs a rule set.
pub struct Rules {
    rules: Vec<Running>,
    /// How many numbers there are for rules.
    numbers: usize,
    /// What comes from without.
    streams: Vec<StreamId>,
    routes: Routes,
    tables: Vec<(&'static str, u64)>,
    share: Option<Share>,
    /// The homes that this shard is for the record at hand.
    homes: u64,
    pool: Pool,
    shared: Shared,
    time: Time,
    /// Streams of which others are made at once, by the rule of a number, and what was said of
    /// those last.
    passed_on: Vec<(StreamId, StreamId, u16, Nanos)>,
    metering: Metering,
    stopped: Stopped,
    is_stopped: bool,
    /// Its memory is resident.
    is_reserved: bool,
}

/// Whether any rule waits for times.
fn rules_wait(set: &RuleSet) -> bool {
    set.rules.iter().any(|rule| rule.kind.is_timed())
}

impl Rules {
    /// The rules of a set, with empty windows, whose memory is taken here.
    #[must_use]
    pub fn new(set: &RuleSet) -> Self {
        Self::made(set, None)
    }

    /// The same on a shard of several, for the records that come there.
    #[must_use]
    pub fn on_shard(set: &RuleSet, shares: Option<Shares>, shard: usize) -> Self {
        Self::made(set, shares.map(|shares| Share { shares, shard }))
    }

    fn made(set: &RuleSet, share: Option<Share>) -> Self {
        let pool = Pool::new(&set.pool);
        let timed = set.rules.iter().filter(|rule| rule.kind.is_timed());
        let mut timed: Vec<StreamId> = timed.flat_map(|rule| &rule.reads).copied().collect();
        let flows = set.flows();
        timed.sort_unstable();
        timed.dedup();
        let timed = flows.needed(&timed);
        let timed = timed.into_iter().map(|stream| (stream, set.lateness(stream))).collect();
        let time = Time::new(timed, &set.made(), &flows);
        let told = time.told().collect();
        let passed_on = flows.passed_on.iter();
        let passed_on = passed_on.map(|(from, to, rule)| (*from, *to, *rule, Nanos(0))).collect();
        // The end of a session says of its feed how far it came, to every shard.
        let ends = rules_wait(set).then_some(EndOfSession::STREAM);
        let changes = [RuleChange::STREAM].into_iter().chain(ends);
        let rules = set.rules.iter().map(|rule| Running::new(rule, &pool, &time)).collect();
        Self {
            rules,
            numbers: set.names().count(),
            streams: set.streams().into_iter().chain(changes).collect(),
            routes: Routes::new(set, share.as_ref()),
            tables: set.tables(),
            share,
            homes: u64::MAX,
            pool,
            shared: Shared::new(!set.made().is_empty(), &set.streams(), told),
            passed_on,
            time,
            metering: Metering::default(),
            stopped: Stopped::default(),
            is_stopped: false,
            is_reserved: false,
        }
    }

    /// What rules share.
    pub(super) fn shared_state(&self) -> (&Time, &Pool) {
        (&self.time, &self.pool)
    }

    /// Every rule's name, whether it is suspended, and what it runs.
    pub(super) fn operators(&self) -> impl Iterator<Item = (&'static str, bool, &Operator)> {
        self.rules.iter().map(|rule| (rule.name, rule.is_suspended, &rule.operator))
    }

    /// Goes on from the state of an earlier set: of its windows and rules those that are the same.
    fn take_over(&mut self, earlier: &mut Self) {
        self.pool.take_over(&mut earlier.pool);
        self.time.take_over(&earlier.time);
        let old_tables = &earlier.tables;
        let changed: Vec<_> =
            self.tables.iter().filter(|table| !old_tables.contains(table)).collect();
        for running in &mut self.rules {
            let mut old = earlier.rules.iter_mut();
            let Some(old) = old.find(|old| old.number == running.number) else { continue };
            (running.own.fired, running.own.taken) = (old.own.fired, old.own.taken);
            running.own.shadowed = old.own.shadowed;
            // A rule that looks into a table that has changed begins anew with it.
            let text = running.text.to_ascii_lowercase();
            let names_changed = changed.iter().any(|(name, _)| text.contains(name));
            if old.text == running.text && !names_changed {
                running.operator.take_over(&mut old.operator);
                running.is_suspended = old.is_suspended;
                running.over_budget = old.over_budget;
            }
        }
    }

    /// A record says that rules change.
    #[cold]
    fn change(&mut self, change: &RuleChange) {
        if change.what.as_bytes().starts_with(b"suspend")
            && let mut rules = self.rules.iter_mut()
            && let Some(running) = rules.find(|running| u32::from(running.number) == change.rule)
        {
            running.is_suspended = true;
        }
    }

    /// What is known of streams is said of those that are made of them, behind what is on its way.
    fn pass_on(&mut self) {
        for (from, to, rule, said) in &mut self.passed_on {
            let now = self.time.watermark(*from).unwrap_or_default();
            if now > *said {
                *said = now;
                self.shared.punctuate(*to, *rule, now);
            }
        }
    }

    /// A record is at hand: shows it to the windows, and to the rules that it can matter to.
    #[inline]
    fn take(&mut self, record: &Record, outbox: &mut Outbox) {
        if let Some(change) = record.view::<RuleChange>() {
            return self.change(change);
        }
        self.time.observe(&record.header);
        if !self.passed_on.is_empty() {
            self.pass_on();
        }
        self.shared.is_late_told = false;
        self.metering.next();
        let Some(route) = self.routes.of_mut(read_as(record)) else { return };
        let (machine, homes) = (&mut self.shared.machine, self.homes);
        let seen = route.windows.iter().filter(|(_, home)| home & homes != 0);
        seen.for_each(|(window, _)| self.pool.update(*window, machine, record));
        if let Some(index) = &mut route.index {
            index.look_up(machine, record.as_bytes());
            if index.named().is_empty() {
                return;
            }
        }
        self.dispatch(record, 0, Step::Time, outbox);
    }

    /// Runs the readers of a record from the `from`th on, which is at `step`; stops where there is
    /// no room.
    #[inline]
    fn dispatch(&mut self, record: &Record, from: usize, step: Step, outbox: &mut Outbox) {
        let Some(route) = self.routes.of(read_as(record)) else { return };
        let (mut step, mut at) = (step, from);
        while at < route.len()
            && let Some(Reader { rule, input, home }) = route.reader(at)
            && let Some(running) = self.rules.get_mut(rule as usize)
        {
            if home & self.homes == 0 {
                at += 1;
                continue;
            }
            let (shared, inputs, time) = (&mut self.shared, self.pool.inputs(), &self.time);
            let number = running.number;
            let work = Work { rule: number, shared, inputs, time, outbox };
            if running.is_suspended {
                at += 1;
                continue;
            }
            let begun = self.metering.begin();
            let done = running.run(&mut step, record, input, work);
            if let Some(ns) = self.metering.end(usize::from(number), begun)
                && running.spent(ns)
                && self.metering.suspends
            {
                self.metering.to_suspend = Some(u32::from(number));
            }
            if !done {
                self.stopped.record.set(record);
                self.stopped.reader = at;
                self.stopped.step = step;
                self.is_stopped = true;
                return;
            }
            step = Step::Time;
            at += 1;
        }
    }

    /// Routes what was derived, which is where it belongs, until there is none or no room.
    fn drain(&mut self, outbox: &mut Outbox) {
        self.homes = if self.is_stopped { self.homes } else { u64::MAX };
        while !self.is_stopped
            && let Some(derived) = self.shared.queue.pop_front()
        {
            if let Some(record) = derived.record() {
                self.take(record, outbox);
            }
        }
    }
}

impl Running {
    fn new(rule: &Rule, pool: &Pool, time: &Time) -> Self {
        let arm = rule.arm.clone();
        let key = vec![0; arm.as_ref().map_or(0, Arm::key_words)];
        Self {
            name: rule.name,
            number: rule.number,
            text: rule.text.clone(),
            operator: Operator::new(rule, pool),
            own: Own { mode: rule.mode, arm, key, ..Own::default() },
            actions: rule.kind.actions(),
            timed: rule.kind.is_timed().then(|| time.places(&rule.reads)),
            budget: rule.budget,
            over_budget: (0, 0),
            is_suspended: false,
        }
    }

    /// Notes that the rule needed so long for a record; true if it is to be suspended.
    fn spent(&mut self, ns: u64) -> bool {
        let Some(budget) = self.budget else { return false };
        if ns <= budget.ns {
            self.over_budget.1 = 0;
            return false;
        }
        self.over_budget.0 += 1;
        self.over_budget.1 += 1;
        budget.suspends && self.over_budget.1 == SUSPEND_AFTER && !self.is_suspended
    }

    /// Whether it is done with the record; if not, `step` says where it stopped.
    #[inline]
    fn run(&mut self, step: &mut Step, record: &Record, input: u32, work: Work<'_>) -> bool {
        let Self { operator, own, actions, timed, .. } = self;
        let Work { rule, shared, inputs, time, outbox } = work;
        let mut context = Context { shared, outbox, inputs, rule, own };
        loop {
            if !context.has_room(*actions) {
                return false;
            }
            let (progress, more, next) = match *step {
                Step::Time => {
                    let progress = match timed {
                        Some(streams) => operator.on_time(time.of(streams), &mut context),
                        None => Progress::Done,
                    };
                    (progress, Step::MoreTime, Some(Step::Record))
                }
                Step::MoreTime => {
                    (operator.resume(&mut context), Step::MoreTime, Some(Step::Record))
                }
                Step::Record => {
                    let progress = operator.on_record(input as usize, record, &mut context);
                    (progress, Step::MoreRecord, None)
                }
                Step::MoreRecord => (operator.resume(&mut context), Step::MoreRecord, None),
            };
            match (progress, next) {
                (Progress::More, _) => {
                    *step = more;
                    return false;
                }
                (Progress::Done, Some(next)) => *step = next,
                (Progress::Done, None) => return true,
            }
        }
    }
}

impl Rules {
    /// Asks for memory that a record will need; when that has come, for what it leads to.
    #[inline]
    fn ask_ahead(&self, record: &Record, further: bool, memory: Memory) {
        let Some(route) = self.routes.of(record.header.stream) else { return };
        for (window, _) in &route.windows {
            self.pool.prefetch(*window, record.as_bytes(), further, memory);
        }
        for reader in &route.ahead {
            if let Some(rule) = self.rules.get(reader.rule as usize) {
                rule.operator.prefetch(reader.input as usize, record, further, memory);
            }
        }
    }
}

impl Strategy for Rules {
    fn name(&self) -> &str {
        "rules"
    }

    fn streams(&self) -> &[StreamId] {
        &self.streams
    }

    fn actions_max(&self) -> usize {
        ACTIONS_STAGE_MAX
    }

    #[inline]
    fn on_record(&mut self, record: &Record, outbox: &mut Outbox) {
        if self.is_stopped {
            self.shared.queue.push_back(record.to_buf());
            return;
        }
        self.homes = match &mut self.share {
            Some(share) => share.shares.homes(record, share.shard),
            None => u64::MAX,
        };
        self.take(record, outbox);
        self.drain(outbox);
    }

    fn reserve(&mut self, _feed: u8, memory: Memory) {
        if !std::mem::replace(&mut self.is_reserved, true) {
            self.pool.reserve(memory);
        }
    }

    fn looks_ahead(&self) -> bool {
        self.routes.look_ahead()
    }

    #[inline]
    fn prefetch(&self, record: &Record, memory: Memory) {
        self.ask_ahead(record, false, memory);
    }

    fn looks_further(&self) -> bool {
        self.looks_ahead()
    }

    #[inline]
    fn prefetch_further(&self, record: &Record, memory: Memory) {
        self.ask_ahead(record, true, memory);
    }

    fn has_more(&self) -> bool {
        self.is_stopped
    }

    fn resume(&mut self, outbox: &mut Outbox) {
        let Stopped { record, reader, step } = std::mem::take(&mut self.stopped);
        self.is_stopped = false;
        if let Some(record) = record.record() {
            self.dispatch(record, reader, step, outbox);
        }
        self.drain(outbox);
    }

    fn takes_exchanged(&self) -> bool {
        true
    }

    fn rules(&self) -> usize {
        self.numbers
    }

    fn replace(&mut self, with: &mut dyn Any) -> bool {
        let Some(new) = with.downcast_mut::<Self>() else { return false };
        new.take_over(self);
        std::mem::swap(self, new);
        true
    }

    fn measure(&mut self, meter: Box<dyn Meter>, suspends: bool) {
        self.metering = Metering { meter: Some(meter), suspends, ..Metering::default() };
    }

    fn tallies(&mut self, each: &mut dyn FnMut(RuleTally)) -> Option<Box<dyn Meter>> {
        for running in &self.rules {
            let Running { name, number, own, budget, over_budget, is_suspended, .. } = running;
            each(RuleTally {
                name,
                number: *number,
                mode: own.mode.name(),
                against: own.arm.as_ref().and_then(|arm| arm.against),
                fired: own.fired,
                taken: own.taken,
                shadowed: own.shadowed,
                budget_ns: budget.map(|budget| budget.ns),
                over_budget: over_budget.0,
                is_suspended: *is_suspended,
            });
        }
        self.metering.meter.take()
    }

    fn wants_suspended(&mut self) -> Option<u32> {
        self.metering.to_suspend.take()
    }

    fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&STATE_VERSION.to_le_bytes());
        out.extend_from_slice(&(self.rules.len() as u32).to_le_bytes());
        put_words(out, [self.shared.machine.undefined, self.shared.derived_dropped]);
        self.time.save(out);
        self.pool.save(out);
        for running in &self.rules {
            let own = &running.own;
            put_words(out, [own.fired, own.taken, own.shadowed]);
            out.push(u8::from(running.is_suspended));
            running.operator.save(out);
        }
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut state = StateReader::new(bytes);
        if state.u32()? != STATE_VERSION || state.u32()? as usize != self.rules.len() {
            return Err(StateError::Version);
        }
        // What is restored lies in fresh memory.
        self.is_reserved = false;
        let shared = &mut self.shared;
        [shared.machine.undefined, shared.derived_dropped] = state.words()?;
        self.time.restore(&mut state)?;
        self.pool.restore(&mut state)?;
        for running in &mut self.rules {
            let own = &mut running.own;
            [own.fired, own.taken, own.shadowed] = state.words()?;
            running.is_suspended = state.u8()? != 0;
            running.operator.restore(&mut state)?;
        }
        state.finish()
    }

    fn tell(&self, rules: &RuleSet, each: &mut dyn FnMut(Kept)) {
        kept::tell(self, rules, each);
    }

    fn counters(&self, report: &mut dyn FnMut(&'static str, u64)) {
        report("undefined_results", self.shared.machine.undefined);
        report("derived_dropped", self.shared.derived_dropped);
        report("future_records", self.time.clamped);
        // Counters of one name are those of all rules together.
        let mut sums: Vec<(&'static str, u64)> = Vec::new();
        for running in &self.rules {
            running.operator.counters(&mut |name, count| match sums
                .iter_mut()
                .find(|(known, _)| *known == name)
            {
                Some((_, sum)) => *sum += count,
                None => sums.push((name, count)),
            });
        }
        sums.into_iter().for_each(|(name, count)| report(name, count));
    }
}

mod routes;

#[cfg(test)]
mod groups;
#[cfg(test)]
mod shards;
#[cfg(test)]
mod streams;
#[cfg(test)]
pub(super) mod tests;
