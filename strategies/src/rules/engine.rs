//! Rules at work: one stage of the chain that runs every rule of a set over the records of their
//! streams.
//!
//! Invariant: a record touches only the rules of its stream, in the order of the text; what it
//! derives is routed when it is done, first in first out, before the next record. If there is no
//! room for another action the stage stops where it is and goes on when the actions are gone, so
//! none is lost.

use corelane_feeds::record::{Record, RecordBuf, StreamId};
use zerocopy::IntoBytes;

use super::index::Index;
use super::operator::{Acted, Context, Operator, Progress, Shared};
use super::plan::{Mode, RuleSet};
use super::pool::Pool;
use super::time::Time;
use super::types::Value;
use crate::outbox::Outbox;
use crate::state::StateReader;
use crate::strategy::{ACTIONS_STAGE_MAX, StateError, Strategy};

/// Changes when the saved state does.
const STATE_VERSION: u32 = 0x5255_4c03;

/// A rule with its state.
struct Running {
    operator: Operator,
    mode: Mode,
    /// The most actions that it takes at once.
    actions: usize,
    /// Its streams, if it waits for times.
    timed: Option<Vec<StreamId>>,
    acted: Acted,
    fired: u64,
    fired_name: &'static str,
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
    /// What comes from without.
    streams: Vec<StreamId>,
    routes: Routes,
    pool: Pool,
    shared: Shared,
    time: Time,
    stopped: Stopped,
    is_stopped: bool,
}

/// Which rules read which streams.
#[derive(Default)]
struct Routes {
    streams: Vec<StreamId>,
    routes: Vec<Route>,
}

/// What a record of one stream comes to.
#[derive(Default)]
struct Route {
    /// The shared windows that see it.
    windows: Vec<u32>,
    /// The rules that read it, each with which of its inputs it is.
    readers: Vec<(u32, u32)>,
    /// Which of the readers a record can matter to; every one if there is no index.
    index: Option<Index>,
}

impl Routes {
    fn new(set: &RuleSet) -> Self {
        let streams = set.streams();
        let routes = streams.iter().map(|stream| {
            let windows = (0..).zip(&set.pool).filter(|(_, window)| window.stream == *stream);
            let windows = windows.map(|(at, _)| at).collect();
            let (mut readers, mut guards) = (Vec::new(), Vec::new());
            for (rule, plan) in (0..).zip(&set.rules) {
                for (input, _) in (0..).zip(&plan.reads).filter(|(_, read)| *read == stream) {
                    readers.push((rule, input));
                    guards.push(plan.kind.guard());
                }
            }
            let index = Some(Index::new(&guards)).filter(Index::is_useful);
            Route { windows, readers, index }
        });
        Self { routes: routes.collect(), streams }
    }

    #[inline]
    fn of(&mut self, stream: StreamId) -> Option<&mut Route> {
        let at = self.streams.binary_search(&stream).ok()?;
        self.routes.get_mut(at)
    }
}

impl Route {
    /// How many readers there are to look at.
    #[inline]
    fn len(&self) -> usize {
        self.index.as_ref().map_or(self.readers.len(), |index| index.named().len())
    }

    /// The `i`th of them.
    #[inline]
    fn reader(&self, i: usize) -> Option<(u32, u32)> {
        let at = match &self.index {
            Some(index) => *index.named().get(i)? as usize,
            None => i,
        };
        self.readers.get(at).copied()
    }
}

impl Rules {
    /// The rules of a set, with empty windows, whose memory is taken here.
    #[must_use]
    pub fn new(set: &RuleSet) -> Self {
        let pool = Pool::new(&set.pool);
        let rules = set.rules.iter().map(|rule| {
            let fired_name = format!("{}.fired", rule.name);
            Running {
                operator: Operator::new(rule, &pool),
                mode: rule.mode,
                actions: rule.kind.actions(),
                timed: rule.kind.is_timed().then(|| rule.reads.clone()),
                acted: Acted::default(),
                fired: 0,
                fired_name: Box::leak(fired_name.into_boxed_str()),
            }
        });
        let timed = set.rules.iter().filter(|rule| rule.kind.is_timed());
        let timed = timed.flat_map(|rule| &rule.reads);
        let timed = timed.map(|stream| (*stream, set.lateness(*stream))).collect();
        let rules = rules.collect();
        Self {
            rules,
            streams: set.streams(),
            routes: Routes::new(set),
            pool,
            shared: Shared::new(set.rules.iter().any(|rule| rule.kind.derives())),
            time: Time::new(timed),
            stopped: Stopped::default(),
            is_stopped: false,
        }
    }

    /// A record is at hand: shows it to the windows, and to the rules that it can matter to.
    #[inline]
    fn take(&mut self, record: &Record, outbox: &mut Outbox) {
        self.time.observe(&record.header);
        let Some(route) = self.routes.of(record.header.stream) else { return };
        let machine = &mut self.shared.machine;
        route.windows.iter().for_each(|window| self.pool.update(*window, machine, record));
        if let Some(index) = &mut route.index {
            index.look_up(machine, record.as_bytes());
        }
        self.dispatch(record, 0, Step::Time, outbox);
    }

    /// Runs the readers of a record from the `from`th on, which is at `step`; stops where there is
    /// no room.
    #[inline]
    fn dispatch(&mut self, record: &Record, from: usize, step: Step, outbox: &mut Outbox) {
        let Some(route) = self.routes.of(record.header.stream) else { return };
        let (mut step, mut at) = (step, from);
        while at < route.len()
            && let Some((rule, input)) = route.reader(at)
            && let Some(running) = self.rules.get_mut(rule as usize)
        {
            let (shared, inputs, time) = (&mut self.shared, self.pool.inputs(), &self.time);
            let work = Work { rule: rule as u16, shared, inputs, time, outbox };
            if !running.run(&mut step, record, input, work) {
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

    /// Routes what was derived, until there is none or no room.
    fn drain(&mut self, outbox: &mut Outbox) {
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
    /// Whether it is done with the record; if not, `step` says where it stopped.
    #[inline]
    fn run(&mut self, step: &mut Step, record: &Record, input: u32, work: Work<'_>) -> bool {
        let Self { operator, mode, actions, timed, acted, fired, .. } = self;
        let Work { rule, shared, inputs, time, outbox } = work;
        let mode = *mode;
        let mut context = Context { shared, outbox, inputs, rule, mode, acted, fired };
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
        self.take(record, outbox);
        self.drain(outbox);
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

    fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&STATE_VERSION.to_le_bytes());
        out.extend_from_slice(&(self.rules.len() as u32).to_le_bytes());
        self.pool.save(out);
        self.rules.iter().for_each(|running| running.operator.save(out));
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut state = StateReader::new(bytes);
        if state.u32()? != STATE_VERSION || state.u32()? as usize != self.rules.len() {
            return Err(StateError::Version);
        }
        self.pool.restore(&mut state)?;
        self.rules.iter_mut().try_for_each(|running| running.operator.restore(&mut state))?;
        state.finish()
    }

    fn counters(&self, report: &mut dyn FnMut(&'static str, u64)) {
        for running in &self.rules {
            report(running.fired_name, running.fired);
        }
        report("undefined_results", self.shared.machine.undefined);
        report("derived_dropped", self.shared.derived_dropped);
    }
}

#[cfg(test)]
mod streams;
#[cfg(test)]
mod tests;
