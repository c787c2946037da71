//! A grouped query at work: rows into group windows, results when they close or change.
//!
//! Invariant: what is due to a time happens before a row of that time; what it leads to is named by
//! key and window, whichever record made time go on.

use corelane_feeds::record::Record;
use corelane_feeds::units::Nanos;
use zerocopy::IntoBytes;

use super::group::{Groups, Taken};
use super::key::put_words;
use super::operator::{Context, Due, Progress};
use super::plan::{Emit, GroupPlan};
use super::types::{Type, Value};
use crate::state::StateReader;
use crate::strategy::StateError;

/// What is told until there is no more.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Telling {
    /// Windows that end until a time.
    Closed(i64),
    /// Windows that a row changed.
    Changed(Due),
}

/// See the [module](self).
pub(super) struct Grouped {
    plan: GroupPlan,
    groups: Groups,
    key: Vec<u64>,
    args: Vec<Value>,
    /// What programs over a result read: the key's parts, and begin, end and aggregates.
    inputs: Vec<Value>,
    /// The key's words as bytes: where its texts lie.
    row: Vec<u8>,
    telling: Telling,
    /// The time up to which it has said that nothing more will come.
    said: i64,
    /// Windows closed since then.
    closed: bool,
}

impl Grouped {
    /// Takes the memory that the windows need.
    ///
    /// # Panics
    /// If the system has no memory for them.
    pub(super) fn new(plan: GroupPlan) -> Self {
        let groups = Groups::new(plan.spec.clone()).expect("memory for the windows of a rule");
        Self {
            key: vec![0; plan.key.words()],
            args: vec![Value::NULL; plan.args.len()],
            inputs: vec![Value::NULL; plan.key.len() + groups.results()],
            row: vec![0; plan.key.words() * 8],
            telling: Telling::Closed(0),
            said: 0,
            closed: false,
            groups,
            plan,
        }
    }

    /// Takes a row.
    #[inline]
    pub(super) fn on_record(&mut self, record: &Record, context: &mut Context<'_>) -> Progress {
        let row = record.as_bytes();
        let machine = &mut context.shared.machine;
        let plan = &self.plan;
        if plan.filter.as_ref().is_some_and(|filter| !filter.holds(machine, row, &[])) {
            return Progress::Done;
        }
        plan.key.fill(machine, row, &mut self.key);
        for (arg, (program, ty)) in self.args.iter_mut().zip(&plan.args) {
            let value = program.run(machine, row, &[]);
            *arg = value;
            if matches!(ty, Type::Text(_)) && value.known {
                let mut word = [0];
                put_words(program, value, *ty, (row, machine.made()), &mut word);
                arg.bits = word[0];
            }
        }
        let ts = plan.time.run(machine, row, &[]).as_int().unwrap_or(-1);
        match self.groups.update(&self.key, ts, &self.args) {
            Taken::Late => context.late(record),
            Taken::In if plan.emit == Emit::Change => {
                self.telling = Telling::Changed(Due::to_record(&record.header));
                return self.tell(context);
            }
            Taken::In | Taken::Timeless => {}
        }
        Progress::Done
    }

    /// Event time has come to `now`.
    #[inline]
    pub(super) fn on_time(&mut self, now: Nanos, context: &mut Context<'_>) -> Progress {
        let until = now.0.saturating_sub(self.plan.lateness);
        self.telling = Telling::Closed(i64::try_from(until).unwrap_or(i64::MAX));
        self.tell(context)
    }

    /// Goes on telling.
    pub(super) fn tell(&mut self, context: &mut Context<'_>) -> Progress {
        let keys = self.plan.key.len();
        loop {
            if !context.has_room(1) {
                return Progress::More;
            }
            let out = &mut self.inputs[keys..];
            let is_one = match self.telling {
                Telling::Closed(until) => self.groups.close_next(until, out),
                Telling::Changed(_) => self.groups.changed_next(out),
            };
            if !is_one {
                break;
            }
            match self.telling {
                Telling::Closed(_) => {
                    self.closed = true;
                    // Who is told of every change has been told of the last one.
                    if self.plan.emit == Emit::Close {
                        let end = self.inputs[keys + 1].as_int().unwrap_or(i64::MAX);
                        let end = Nanos(u64::try_from(end).unwrap_or(0));
                        self.emit(Due::to_window(self.groups.key(), end), context);
                    }
                }
                Telling::Changed(due) => self.emit(due, context),
            }
        }
        if let Telling::Closed(until) = self.telling {
            let is_new = self.plan.emit == Emit::Close && until > self.said;
            if (std::mem::take(&mut self.closed) || is_new) && !self.plan.output.is_action {
                self.said = until;
                let until = Nanos(u64::try_from(until).unwrap_or(0));
                context.punctuate(self.plan.output.schema.stream, until);
            }
        }
        Progress::Done
    }

    fn emit(&mut self, mut due: Due, context: &mut Context<'_>) {
        let key = self.groups.key();
        for (bytes, word) in self.row.chunks_exact_mut(8).zip(key) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        self.plan.key.values(key, &mut self.inputs);
        let (row, inputs) = (&self.row[..], &self.inputs[..]);
        let machine = &mut context.shared.machine;
        let having = self.plan.having.as_ref();
        if having.is_some_and(|having| !having.holds(machine, row, inputs)) {
            return;
        }
        context.own.fired += 1;
        context.emit(&self.plan.output, &mut due, row, inputs);
    }

    /// What it was made of, and its windows.
    pub(super) fn kept(&self) -> (&GroupPlan, &Groups) {
        (&self.plan, &self.groups)
    }

    pub(super) fn save(&self, out: &mut Vec<u8>) {
        self.groups.save(out);
    }

    pub(super) fn restore(&mut self, state: &mut StateReader<'_>) -> Result<(), StateError> {
        self.groups.restore(state)
    }

    /// Takes over the state of the same rule, if its windows are the same still.
    pub(super) fn take_over(&mut self, earlier: &mut Self) {
        if self.groups.is_like(&earlier.groups) {
            std::mem::swap(&mut self.groups, &mut earlier.groups);
        }
    }

    /// Names and values of what was counted.
    pub(super) fn counters(&self, report: &mut dyn FnMut(&'static str, u64)) {
        self.groups.counters(&mut |name, value| {
            report(
                match name {
                    "keys" => "group_keys",
                    "panes" => "group_panes",
                    "late" => "group_late",
                    "timeless" => "group_timeless",
                    "panes_displaced" => "group_panes_displaced",
                    "keys_displaced" => "group_keys_displaced",
                    _ => "group_overflows",
                },
                value,
            );
        });
    }
}
