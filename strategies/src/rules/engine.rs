//! Rules at work: one stage of the chain that runs every rule of a set over the records of their
//! streams.
//!
//! Invariant: a record touches only the rules of its stream, in the order of the text; nothing is
//! allocated per record. A rule that asks for an action when there is no room for one more is
//! counted.

use corelane_feeds::record::{Header, Record, RecordBuf, StreamId};
use corelane_feeds::schema::SqlType;

use zerocopy::IntoBytes;

use super::plan::{Mode, Output, Rule, RuleSet, WindowProgram, words};
use super::program::{Machine, Program};
use super::types::{Type, Value};
use super::window::Windows;
use crate::outbox::Outbox;
use crate::state::StateReader;
use crate::strategy::{ACTIONS_STAGE_MAX, StateError, Strategy};

/// Changes when the saved state does.
const STATE_VERSION: u32 = 0x5255_4c01;

/// A window with its state.
struct Window {
    program: WindowProgram,
    state: Windows,
    key: Vec<u64>,
    args: Vec<Value>,
}

/// A rule with its state.
struct Running {
    rule: Rule,
    windows: Vec<Window>,
    inputs: Vec<Value>,
    /// Records whose condition was true.
    fired: u64,
    fired_name: &'static str,
}

/// The stage that runs a rule set.
pub struct Rules {
    rules: Vec<Running>,
    streams: Vec<StreamId>,
    /// For every stream of `streams`, its rules.
    routes: Vec<Vec<u32>>,
    machine: Machine,
    action: RecordBuf,
    actions_refused: u64,
}

impl Rules {
    /// The rules of a set, with empty windows, whose memory is taken here.
    #[must_use]
    pub fn new(set: &RuleSet) -> Self {
        let streams = set.streams();
        let mut routes = vec![Vec::new(); streams.len()];
        for (i, rule) in set.rules.iter().enumerate() {
            if let Ok(at) = streams.binary_search(&rule.stream.schema.stream) {
                routes[at].push(i as u32);
            }
        }
        Self {
            rules: set.rules.iter().map(Running::new).collect(),
            streams,
            routes,
            machine: Machine::default(),
            action: RecordBuf::default(),
            actions_refused: 0,
        }
    }
}

impl Running {
    fn new(rule: &Rule) -> Self {
        let windows = rule.windows.iter().map(Window::new).collect();
        let fired_name = Box::leak(format!("{}.fired", rule.name).into_boxed_str());
        let inputs = vec![Value::NULL; rule.inputs];
        Self { rule: rule.clone(), windows, inputs, fired: 0, fired_name }
    }

    /// Whether the rule's condition is true for a record.
    #[inline]
    fn is_met(&mut self, machine: &mut Machine, header: &Header, record: &[u8]) -> bool {
        if let Some(filter) = &self.rule.filter
            && !filter.run(machine, record, &[]).is_true()
        {
            return false;
        }
        for window in &mut self.windows {
            window.update(machine, header, record, &mut self.inputs);
        }
        let condition = self.rule.condition.as_ref();
        condition.is_none_or(|condition| condition.run(machine, record, &self.inputs).is_true())
    }
}

impl Window {
    fn new(program: &WindowProgram) -> Self {
        let state = Windows::new(program.spec.clone()).expect("checked when the rule was planned");
        let key = vec![0; program.spec.key_words];
        let args = vec![Value::NULL; program.spec.args.len()];
        Self { program: program.clone(), state, key, args }
    }

    fn update(
        &mut self,
        machine: &mut Machine,
        header: &Header,
        record: &[u8],
        inputs: &mut [Value],
    ) {
        let mut at = 0;
        let mut nulls = 0;
        for (i, (program, ty)) in self.program.key.iter().enumerate() {
            let value = program.run(machine, record, &[]);
            nulls |= u64::from(!value.known) << (i % 64);
            let place = &mut self.key[at..at + words(*ty)];
            put_words(program, value, *ty, record, place);
            at += place.len();
        }
        self.key[at] = nulls;
        for (arg, (program, ty)) in self.args.iter_mut().zip(&self.program.args) {
            let value = program.run(machine, record, &[]);
            *arg = value;
            if matches!(ty, Type::Text(_)) && value.known {
                let mut word = [0];
                put_words(program, value, *ty, record, &mut word);
                arg.bits = word[0];
            }
        }
        let first = self.program.first_input;
        let count = self.program.spec.aggregates.len();
        let Some(out) = inputs.get_mut(first..first + count) else { return };
        self.state.update(&self.key, header.ts_event.0, &self.args, out);
    }
}

/// A value as words of a key: texts without their padding, NULL as zeros.
#[inline]
fn put_words(program: &Program, value: Value, ty: Type, record: &[u8], place: &mut [u64]) {
    place.fill(0);
    match (ty, place) {
        _ if !value.known => {}
        (Type::Text(_), place) => {
            let text = program.text(value, record);
            for (word, bytes) in place.iter_mut().zip(text.chunks(8)) {
                let mut whole = [0; 8];
                whole[..bytes.len()].copy_from_slice(bytes);
                *word = u64::from_le_bytes(whole);
            }
        }
        (_, [word, ..]) => *word = value.bits,
        (_, []) => {}
    }
}

/// Fills an action's record for the record that caused it.
fn fill(
    output: &Output,
    machine: &mut Machine,
    record: &Record,
    inputs: &[Value],
    action: &mut RecordBuf,
) {
    let bytes = record.as_bytes();
    let header = Header::new(output.schema.stream, output.schema.bytes, 0, record.header.stamp());
    let place = action.begin(&header);
    let mut nulls = u64::MAX;
    for column in &output.columns {
        let value = column.program.run(machine, bytes, inputs);
        if value.known {
            nulls &= !(1 << (column.bit % 64));
        }
        let (offset, sql) = (column.field.offset, column.field.sql);
        let Some(place) = place.get_mut(offset..offset + sql.bytes()) else { continue };
        match sql {
            SqlType::Char(_) => {
                let text = if value.known { column.program.text(value, bytes) } else { b"" };
                let len = text.len().min(place.len());
                place.fill(b' ');
                place[..len].copy_from_slice(&text[..len]);
            }
            // Narrower columns are those of built-in actions; what does not fit is all ones.
            _ if place.len() < 8 => {
                let most = (1u64 << (8 * place.len())) - 1;
                let len = place.len();
                place.copy_from_slice(&value.bits.min(most).to_le_bytes()[..len]);
            }
            _ => place.copy_from_slice(&value.bits.to_le_bytes()),
        }
    }
    if let Some(at) = output.nulls
        && let Some(place) = place.get_mut(at..at + 8)
    {
        place.copy_from_slice(&(nulls & output.null_bits).to_le_bytes());
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
        let most = self.rules.iter().map(|running| running.rule.outputs.len()).sum::<usize>();
        most.min(ACTIONS_STAGE_MAX)
    }

    fn on_record(&mut self, record: &Record, outbox: &mut Outbox) {
        let Ok(route) = self.streams.binary_search(&record.header.stream) else { return };
        let bytes = record.as_bytes();
        for &at in &self.routes[route] {
            let Some(running) = self.rules.get_mut(at as usize) else { continue };
            if !running.is_met(&mut self.machine, &record.header, bytes) {
                continue;
            }
            running.fired += 1;
            if running.rule.mode == Mode::Shadow {
                continue;
            }
            for output in &running.rule.outputs {
                if outbox.acted_by_stage() >= ACTIONS_STAGE_MAX {
                    self.actions_refused += 1;
                    continue;
                }
                fill(output, &mut self.machine, record, &running.inputs, &mut self.action);
                outbox.act_record(at as u16, &mut self.action);
            }
        }
    }

    fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&STATE_VERSION.to_le_bytes());
        out.extend_from_slice(&(self.rules.len() as u32).to_le_bytes());
        let windows = self.rules.iter().flat_map(|running| &running.windows);
        windows.for_each(|window| window.state.save(out));
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut state = StateReader::new(bytes);
        if state.u32()? != STATE_VERSION || state.u32()? as usize != self.rules.len() {
            return Err(StateError::Version);
        }
        for running in &mut self.rules {
            for window in &mut running.windows {
                window.state.restore(&mut state)?;
            }
        }
        state.finish()
    }

    fn counters(&self, report: &mut dyn FnMut(&'static str, u64)) {
        for running in &self.rules {
            report(running.fired_name, running.fired);
        }
        report("undefined_results", self.machine.undefined);
        report("actions_refused", self.actions_refused);
    }
}

#[cfg(test)]
mod tests;
