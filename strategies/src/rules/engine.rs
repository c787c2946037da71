//! Rules at work: one stage of the chain that runs every rule of a set over the records of their
//! streams.
//!
//! Invariant: a record touches only the rules of its stream, in the order of the text; what it
//! derives is routed when it is done, first in first out, before the next record. If there is no
//! room for another action the stage stops where it is and goes on when the actions are gone, so
//! none is lost.

use corelane_feeds::record::{Record, RecordBuf, StreamId};

use super::operator::{Acted, Context, Operator, Progress, Shared};
use super::plan::{Mode, RuleSet};
use super::time::Time;
use crate::outbox::Outbox;
use crate::state::StateReader;
use crate::strategy::{ACTIONS_STAGE_MAX, StateError, Strategy};

/// Changes when the saved state does.
const STATE_VERSION: u32 = 0x5255_4c02;

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

/// The stage that runs a rule set.
pub struct Rules {
    rules: Vec<Running>,
    /// What comes from without.
    streams: Vec<StreamId>,
    routes: Routes,
    shared: Shared,
    time: Time,
    stopped: Stopped,
    is_stopped: bool,
}

/// Which rules read which streams.
#[derive(Default)]
struct Routes {
    streams: Vec<StreamId>,
    /// For every stream the rules that read it, each with which of its inputs it is.
    readers: Vec<Vec<(u32, u32)>>,
}

impl Routes {
    fn new(set: &RuleSet) -> Self {
        let mut streams: Vec<StreamId> =
            set.rules.iter().flat_map(|rule| rule.reads.iter().copied()).collect();
        streams.sort_unstable();
        streams.dedup();
        let mut readers = vec![Vec::new(); streams.len()];
        for (rule, plan) in (0..).zip(&set.rules) {
            for (input, stream) in (0..).zip(&plan.reads) {
                if let Ok(at) = streams.binary_search(stream) {
                    readers[at].push((rule, input));
                }
            }
        }
        Self { streams, readers }
    }

    #[inline]
    fn of(&self, stream: StreamId) -> &[(u32, u32)] {
        match self.streams.binary_search(&stream) {
            Ok(at) => &self.readers[at],
            Err(_) => &[],
        }
    }
}

impl Rules {
    /// The rules of a set, with empty windows, whose memory is taken here.
    #[must_use]
    pub fn new(set: &RuleSet) -> Self {
        let rules = set.rules.iter().map(|rule| {
            let fired_name = format!("{}.fired", rule.name);
            Running {
                operator: Operator::new(rule),
                mode: rule.mode,
                actions: rule.kind.actions(),
                timed: rule.kind.is_timed().then(|| rule.reads.clone()),
                acted: Acted::default(),
                fired: 0,
                fired_name: Box::leak(fired_name.into_boxed_str()),
            }
        });
        let timed = set.rules.iter().filter(|rule| rule.kind.is_timed());
        let timed = timed.flat_map(|rule| rule.reads.iter().map(|stream| (*stream, 0))).collect();
        Self {
            rules: rules.collect(),
            streams: set.streams(),
            routes: Routes::new(set),
            shared: Shared::new(set.rules.iter().any(|rule| rule.kind.derives())),
            time: Time::new(timed),
            stopped: Stopped::default(),
            is_stopped: false,
        }
    }

    /// Runs the readers of a record from the `from`th on, which is at `step`; stops where there is
    /// no room.
    #[inline]
    fn dispatch(&mut self, record: &Record, from: usize, step: Step, outbox: &mut Outbox) {
        let readers = self.routes.of(record.header.stream);
        let mut step = step;
        for (reader, &(rule, input)) in readers.iter().enumerate().skip(from) {
            let Some(running) = self.rules.get_mut(rule as usize) else { continue };
            let (shared, time) = (&mut self.shared, &self.time);
            if !running.run(&mut step, record, input, rule as u16, shared, time, outbox) {
                self.stopped.record.set(record);
                self.stopped.reader = reader;
                self.stopped.step = step;
                self.is_stopped = true;
                return;
            }
            step = Step::Time;
        }
    }

    /// Routes what was derived, until there is none or no room.
    fn drain(&mut self, outbox: &mut Outbox) {
        while !self.is_stopped
            && let Some(derived) = self.shared.queue.pop_front()
        {
            if let Some(record) = derived.record() {
                self.time.observe(&record.header);
                self.dispatch(record, 0, Step::Time, outbox);
            }
        }
    }
}

impl Running {
    /// Whether it is done with the record; if not, `step` says where it stopped.
    #[expect(clippy::too_many_arguments, reason = "what a context is made of")]
    #[inline]
    fn run(
        &mut self,
        step: &mut Step,
        record: &Record,
        input: u32,
        rule: u16,
        shared: &mut Shared,
        time: &Time,
        outbox: &mut Outbox,
    ) -> bool {
        let Self { operator, mode, actions, timed, acted, fired, .. } = self;
        let mut context = Context { shared, outbox, rule, mode: *mode, acted, fired };
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
        self.time.observe(&record.header);
        self.dispatch(record, 0, Step::Time, outbox);
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
        self.rules.iter().for_each(|running| running.operator.save(out));
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut state = StateReader::new(bytes);
        if state.u32()? != STATE_VERSION || state.u32()? as usize != self.rules.len() {
            return Err(StateError::Version);
        }
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
mod tests;
