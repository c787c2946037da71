//! A query at work: a filter, windows that every record updates and is answered by, a condition,
//! and what follows from it.
//!
//! Invariant: a record that the filter lets through updates every window, whatever the condition
//! says.

use corelane_feeds::record::{Header, Record};
use zerocopy::IntoBytes;

use super::key::put_words;
use super::operator::{Context, Due, Progress};
use super::plan::{QueryPlan, WindowProgram};
use super::program::Machine;
use super::types::{Type, Value};
use super::window::Windows;
use crate::state::StateReader;
use crate::strategy::StateError;

/// See the [module](self).
pub(super) struct Query {
    plan: QueryPlan,
    windows: Vec<Window>,
    inputs: Vec<Value>,
}

/// A window with its state.
struct Window {
    program: WindowProgram,
    state: Windows,
    key: Vec<u64>,
    args: Vec<Value>,
}

impl Query {
    pub(super) fn new(plan: &QueryPlan) -> Self {
        let windows = plan.windows.iter().map(Window::new).collect();
        Self { plan: plan.clone(), windows, inputs: vec![Value::NULL; plan.inputs] }
    }

    #[inline]
    pub(super) fn on_record(&mut self, record: &Record, context: &mut Context<'_>) -> Progress {
        let row = record.as_bytes();
        if self.is_met(&mut context.shared.machine, &record.header, row) {
            *context.fired += 1;
            let mut due = Due::to_record(&record.header);
            for output in &self.plan.outputs {
                context.emit(output, &mut due, row, &self.inputs);
            }
        }
        Progress::Done
    }

    /// Whether the rule's condition is true for a record.
    #[inline]
    fn is_met(&mut self, machine: &mut Machine, header: &Header, row: &[u8]) -> bool {
        if let Some(filter) = &self.plan.filter
            && !filter.run(machine, row, &[]).is_true()
        {
            return false;
        }
        for window in &mut self.windows {
            window.update(machine, header, row, &mut self.inputs);
        }
        let condition = self.plan.condition.as_ref();
        condition.is_none_or(|condition| condition.run(machine, row, &self.inputs).is_true())
    }

    pub(super) fn save(&self, out: &mut Vec<u8>) {
        self.windows.iter().for_each(|window| window.state.save(out));
    }

    pub(super) fn restore(&mut self, state: &mut StateReader<'_>) -> Result<(), StateError> {
        self.windows.iter_mut().try_for_each(|window| window.state.restore(state))
    }
}

impl Window {
    fn new(program: &WindowProgram) -> Self {
        let state = Windows::new(program.spec.clone()).expect("checked when the rule was planned");
        let key = vec![0; program.spec.key_words];
        let args = vec![Value::NULL; program.spec.args.len()];
        Self { program: program.clone(), state, key, args }
    }

    fn update(&mut self, machine: &mut Machine, header: &Header, row: &[u8], inputs: &mut [Value]) {
        self.program.key.fill(machine, row, &mut self.key);
        for (arg, (program, ty)) in self.args.iter_mut().zip(&self.program.args) {
            let value = program.run(machine, row, &[]);
            *arg = value;
            if matches!(ty, Type::Text(_)) && value.known {
                let mut word = [0];
                put_words(program, value, *ty, row, &mut word);
                arg.bits = word[0];
            }
        }
        let first = self.program.first_input;
        let count = self.program.spec.aggregates.len();
        let Some(out) = inputs.get_mut(first..first + count) else { return };
        self.state.update(&self.key, header.ts_event.0, &self.args, out);
    }
}
