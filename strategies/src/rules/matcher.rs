//! A row pattern at work: records to rows of the engine, its matches to actions and records.
//!
//! ```text
//! record ──(lateness: sorted by time)──> key ──> Patterns ──conditions──> programs over the row
//!                                                   │
//!                                         match ────┴──> navigations ──> outputs
//! ```
//!
//! Rows come in the order of arrival; a row that is earlier than one before it counts as of the
//! same time. Where a stream is allowed lateness, rows wait until the watermark has passed them,
//! and come in the order of their times.
//!
//! Invariant: what a match leads to depends on the rows of its key and on time alone; so do the
//! ids of its actions.

mod dues;
mod navigate;
mod pending;
mod sieve;
mod sorted;

use corelane_feeds::record::{Header, Record, StreamId};
use corelane_feeds::streams::sys;
use corelane_feeds::units::Nanos;
use zerocopy::{FromBytes, IntoBytes};

use super::ast::RowsPerMatch;
use super::operator::{Context, Due, Progress};
use super::pattern::{Host, Kind, Match, Patterns, Rows, VarSet};
use super::plan::{Formula, PatternPlan};
use super::types::Value;
use crate::memory::Memory;
use crate::state::StateReader;
use crate::strategy::StateError;
use dues::Dues;
use navigate::{Outcome, View};
use pending::Pending;
use sieve::Sieve;
use sorted::{Sorted, ranks};

/// Longest record in words.
const WORDS_MAX: usize = corelane_feeds::record::RECORD_BYTES_MAX / 8;
/// Words of a key that is asked for ahead.
const KEY_WORDS_AHEAD: usize = 8;
/// Changes when the saved state does.
const STATE_VERSION: u32 = 0x4D41_5402;

/// See the [module](self).
pub(super) struct Matcher {
    plan: PatternPlan,
    patterns: Patterns,
    sieves: Vec<Sieve>,
    /// The key of the row at hand.
    key: Vec<u64>,
    desk: Desk,
    /// The time of the latest row.
    time: u64,
    /// How far the watermark has come.
    watermark: u64,
    sorted: Option<Sorted>,
    /// Rows behind the watermark.
    late: u64,
}

/// Where results are made.
struct Desk {
    /// The row, and texts of navigations behind it.
    row: Vec<u8>,
    /// The values of navigations.
    inputs: Vec<Value>,
    /// Of the match at hand, to tell its results from those of others.
    key: Vec<u64>,
    pending: Pending,
    dues: Dues,
}

/// What makes matches now.
#[derive(Copy, Clone)]
enum Cause {
    /// A row that has just come.
    Row(Header),
    /// A time, or a row that had to wait for one.
    Time,
}

/// The engine's other side.
struct Judge<'a, 'c> {
    plan: &'a PatternPlan,
    desk: &'a mut Desk,
    context: &'a mut Context<'c>,
    cause: Cause,
    /// Stops when results have to wait.
    stops: bool,
}

impl Desk {
    /// Fills the inputs that a formula has. True if texts lie behind the row now.
    #[inline]
    fn fill(
        &mut self,
        plan: &PatternPlan,
        formula: &Formula,
        view: &View<'_>,
        context: &mut Context<'_>,
    ) {
        let machine = &mut context.shared.machine;
        for &nav in &formula.navs {
            let at = usize::from(nav);
            if let (Some(nav), Some(input)) = (plan.navs.get(at), self.inputs.get_mut(at)) {
                *input = view.value(plan, nav, machine, &mut self.row);
            }
        }
    }

    /// Puts the row at hand where programs with texts find it.
    #[inline]
    fn set_row(&mut self, plan: &PatternPlan, bytes: &[u8]) {
        let len = bytes.len().min(plan.row_bytes);
        let (row, rest) = self.row[..plan.row_bytes].split_at_mut(len);
        row.copy_from_slice(&bytes[..len]);
        rest.fill(0);
    }

    /// Emits a result now, if there is room and none waits, else later.
    fn emit(&mut self, plan: &PatternPlan, output: usize, due: Due, context: &mut Context<'_>) {
        if self.pending.is_empty() && context.has_room(1) {
            let (row, inputs) = (&self.row[..], &self.inputs[..]);
            emit_now(plan, output, due, &mut self.dues, row, inputs, context);
        } else {
            self.pending.push(output, due, &self.row, &self.inputs);
        }
    }

    /// Emits what waits, as far as there is room.
    fn flush(&mut self, plan: &PatternPlan, context: &mut Context<'_>) -> bool {
        while context.has_room(1) {
            let Some(next) = self.pending.first() else { return true };
            let (output, due, row, inputs) = next;
            emit_now(plan, output, due, &mut self.dues, row, inputs, context);
            self.pending.pop();
        }
        self.pending.is_empty()
    }
}

/// Results of one cause are counted by it, also if others' come between.
fn emit_now(
    plan: &PatternPlan,
    output: usize,
    begun: Due,
    dues: &mut Dues,
    row: &[u8],
    inputs: &[Value],
    context: &mut Context<'_>,
) {
    let mut due = dues.of(begun);
    if let Some(output) = plan.outputs.get(output) {
        context.emit(output, &mut due, row, inputs);
    }
    dues.set(due);
}

impl Host for Judge<'_, '_> {
    #[inline]
    fn matches(&mut self, var: u8, rows: &Rows<'_>) -> bool {
        let Some(condition) = self.plan.conditions.get(usize::from(var)) else { return false };
        let row = rows.current().words.as_bytes();
        if let Some(stream) = condition.stream
            && row.first_chunk() != Some(&stream.0.to_le_bytes())
        {
            return false;
        }
        let Some(formula) = &condition.formula else { return true };
        if formula.navs.is_empty() {
            return formula.program.holds(&mut self.context.shared.machine, row, &[]);
        }
        let view = View { rows: *rows, whole: *rows, found: None };
        self.desk.fill(self.plan, formula, &view, self.context);
        if formula.has_text {
            self.desk.set_row(self.plan, row);
        }
        let row = if formula.has_text { &self.desk.row[..] } else { row };
        let machine = &mut self.context.shared.machine;
        formula.program.holds(machine, row, &self.desk.inputs)
    }

    fn emit(&mut self, found: &Match<'_>) {
        self.context.own.fired += u64::from(found.kind == Kind::Match);
        let due = self.due(found);
        let outcome = Outcome::of(found);
        let whole = found.rows();
        match (found.kind, self.plan.rows) {
            (Kind::Match, RowsPerMatch::All { .. }) if !found.is_empty() => {
                for (at, row) in found.iter().enumerate() {
                    if let (false, Some(rows)) = (row.excluded, found.up_to(at)) {
                        let view = View { rows, whole, found: Some((found, outcome)) };
                        self.result(&view, row.words.as_bytes(), due);
                    }
                }
            }
            _ => {
                let view = View { rows: whole, whole, found: Some((found, outcome)) };
                let row = match found.iter().last().or_else(|| found.start()) {
                    Some(row) => row.words.as_bytes(),
                    None => &[],
                };
                self.result(&view, row, due);
            }
        }
    }

    fn is_full(&self) -> bool {
        self.stops && !self.desk.pending.is_empty()
    }
}

impl Judge<'_, '_> {
    /// What a match is due to: the row that decided it; else its key, its first row and the time.
    fn due(&mut self, found: &Match<'_>) -> Due {
        if let (false, Cause::Row(header)) = (found.by_time, &self.cause) {
            return Due::to_record(header);
        }
        let key = &mut self.desk.key;
        key.clear();
        key.extend_from_slice(found.key);
        let first =
            found.start().and_then(|row| Header::read_from_prefix(row.words.as_bytes()).ok());
        let named = |header: Header| {
            [header.seq.0, u64::from(header.feed) << 32 | u64::from(header.stream.0)]
        };
        key.extend_from_slice(&first.map_or([0; 2], |(header, _)| named(header)));
        if !found.by_time {
            // Of rows of one time, each leads to results of its own.
            let last = found.iter().last();
            let last = last.and_then(|row| Header::read_from_prefix(row.words.as_bytes()).ok());
            key.extend_from_slice(&last.map_or([0; 2], |(header, _)| named(header)));
        }
        Due::to_time(key, Nanos(found.ts))
    }

    /// A row of the result.
    fn result(&mut self, view: &View<'_>, row: &[u8], due: Due) {
        let Self { plan, desk, context, .. } = self;
        desk.set_row(plan, row);
        let machine = &mut context.shared.machine;
        for &nav in &plan.output_navs {
            let at = usize::from(nav);
            if let (Some(nav), Some(input)) = (plan.navs.get(at), desk.inputs.get_mut(at)) {
                *input = view.value(plan, nav, machine, &mut desk.row);
            }
        }
        if let Some(filter) = &plan.filter
            && !filter.holds(machine, &desk.row, &desk.inputs)
        {
            return;
        }
        for output in 0..plan.outputs.len() {
            desk.emit(plan, output, due, context);
        }
    }
}

impl Matcher {
    /// Takes the memory that the plan allows.
    ///
    /// # Panics
    /// If the plan was not made by the planner, which tries its engine.
    pub(super) fn new(plan: &PatternPlan) -> Self {
        let plan = plan.clone();
        let patterns = Patterns::new(plan.spec.clone()).expect("the planner made it once");
        let key_words = plan.spec.key_words;
        let desk = Desk {
            row: vec![0; plan.scratch_bytes],
            inputs: vec![Value::NULL; plan.navs.len()],
            key: Vec::with_capacity(key_words + 4),
            pending: Pending::new(plan.scratch_bytes, plan.navs.len()),
            dues: Dues::new(),
        };
        let sorted = plan.sorts.then(|| Sorted::new(plan.spec.rows_max, plan.row_bytes / 8));
        Self {
            patterns,
            sieves: Sieve::all(&plan.conditions),
            key: vec![0; key_words],
            desk,
            time: 0,
            watermark: 0,
            sorted,
            late: 0,
            plan,
        }
    }

    /// Takes a record of its `input`th stream.
    #[inline]
    pub(super) fn on_record(
        &mut self,
        input: usize,
        record: &Record,
        context: &mut Context<'_>,
    ) -> Progress {
        if input >= self.plan.keys.len() {
            if record.header.stream == sys::Gap::STREAM {
                self.patterns.lost();
            }
            return Progress::Done;
        }
        let Some(words) = words_of(record.as_bytes()) else { return Progress::Done };
        let Some(sorted) = &mut self.sorted else {
            self.time = self.time.max(record.header.ts_event.0);
            let (time, cause) = (self.time, Cause::Row(record.header));
            self.row(input, time, words, cause, context);
            return self.progress();
        };
        if record.header.ts_event.0 < self.watermark {
            self.late += 1;
            return Progress::Done;
        }
        if sorted.is_full() {
            self.first_of_sorted(context);
        }
        if let Some(sorted) = &mut self.sorted {
            let machine = &mut context.shared.machine;
            let ranks = ranks(&self.plan.order, machine, words.as_bytes());
            sorted.push(record.header.ts_event.0, ranks, input, words);
        }
        self.release(context)
    }

    /// Gives the engine a row.
    #[inline]
    fn row(
        &mut self,
        input: usize,
        time: u64,
        words: &[u64],
        cause: Cause,
        context: &mut Context<'_>,
    ) {
        let Self { plan, patterns, sieves, key, desk, .. } = self;
        let row = words.as_bytes();
        let stream = row.first_chunk().map_or(StreamId(0), |id| StreamId(u16::from_le_bytes(*id)));
        let machine = &mut context.shared.machine;
        let sieve = sieves.iter().find(|sieve| sieve.is_of(stream));
        let vars = sieve.map_or(VarSet(0), |sieve| sieve.look(machine, row));
        let is_nothing = patterns.passes_over(vars);
        if let (false, Some(program)) = (is_nothing, plan.keys.get(input)) {
            program.fill(machine, row, key);
        }
        // Deadlines come before the row: what has no room to be emitted waits.
        let mut judge = Judge { plan, desk, context, cause, stops: false };
        if plan.is_timed {
            patterns.advance(time, &mut judge);
        }
        if !is_nothing {
            patterns.push_some(key, time, words, vars, &mut judge);
        }
    }

    /// A record of its `input`th stream is about to come: asks for memory that it will need.
    #[inline]
    pub(super) fn prefetch(&self, input: usize, record: &Record, further: bool, memory: Memory) {
        let row = record.as_bytes();
        let mut key = [0; KEY_WORDS_AHEAD];
        let (Some(key), Some(program)) = (key.get_mut(..self.key.len()), self.plan.keys.get(input))
        else {
            return;
        };
        let sieve = self.sieves.iter().find(|sieve| sieve.is_of(record.header.stream));
        let vars = sieve.map_or(VarSet(0), |sieve| sieve.peek(row));
        if program.peek(row, key).is_some() {
            self.patterns.prefetch(key, vars, further, memory);
        }
    }

    fn progress(&self) -> Progress {
        if self.desk.pending.is_empty() { Progress::Done } else { Progress::More }
    }

    /// Time has come to `now` on all streams.
    pub(super) fn on_time(&mut self, now: Nanos, context: &mut Context<'_>) -> Progress {
        self.watermark = self.watermark.max(now.0);
        self.release(context)
    }

    /// Goes on after [`Progress::More`].
    pub(super) fn resume(&mut self, context: &mut Context<'_>) -> Progress {
        if !self.desk.flush(&self.plan, context) {
            return Progress::More;
        }
        self.release(context)
    }

    /// Rows and deadlines up to the watermark come, in order, as far as there is room for results.
    fn release(&mut self, context: &mut Context<'_>) -> Progress {
        // Rows that are ordered among those of their time wait for the last one.
        let until = self.watermark.saturating_sub(u64::from(!self.plan.order.is_empty()));
        while self.desk.pending.is_empty()
            && self.sorted.as_ref().and_then(Sorted::next).is_some_and(|ts| ts <= until)
        {
            self.first_of_sorted(context);
        }
        if !self.desk.pending.is_empty() {
            return Progress::More;
        }
        let Self { plan, patterns, desk, watermark, key, .. } = self;
        let mut judge = Judge { plan, desk, context, cause: Cause::Time, stops: true };
        if plan.key_parts.is_empty() && patterns.waits_for_times() {
            // Its only key is there from the start: what begins with an absence begins now.
            key.fill(0);
            patterns.open(key, *watermark, &mut judge);
        }
        patterns.advance(*watermark, &mut judge);
        self.progress()
    }

    fn first_of_sorted(&mut self, context: &mut Context<'_>) {
        let mut words = [0; WORDS_MAX];
        let Some(sorted) = &mut self.sorted else { return };
        if let Some((ts, input, len)) = sorted.pop(&mut words) {
            self.time = self.time.max(ts);
            self.row(input, self.time, &words[..len], Cause::Time, context);
        }
    }

    /// Takes over the state of the same rule, if it still means the same.
    pub(super) fn take_over(&mut self, earlier: &mut Self) {
        // A stream that was declared anew can have moved the columns that partial matches hold.
        if format!("{:?}", self.plan) == format!("{:?}", earlier.plan) {
            std::mem::swap(self, earlier);
        }
    }

    /// What it was made of, and what is open.
    pub(super) fn kept(&self) -> (&PatternPlan, &Patterns) {
        (&self.plan, &self.patterns)
    }

    /// Appends its state.
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&STATE_VERSION.to_le_bytes());
        for value in [self.time, self.watermark, self.late, self.desk.pending.dropped] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        if let Some(sorted) = &self.sorted {
            sorted.save(out);
        }
        let at = out.len();
        out.extend_from_slice(&[0; 8]);
        self.patterns.save(out);
        let len = (out.len() - at - 8) as u64;
        out[at..at + 8].copy_from_slice(&len.to_le_bytes());
    }

    /// Takes over a state.
    ///
    /// # Errors
    /// If the bytes are no state of this rule.
    pub(super) fn restore(&mut self, state: &mut StateReader<'_>) -> Result<(), StateError> {
        if state.u32()? != STATE_VERSION {
            return Err(StateError::Version);
        }
        (self.time, self.watermark) = (state.u64()?, state.u64()?);
        [self.late, self.desk.pending.dropped] = state.words()?;
        if let Some(sorted) = &mut self.sorted {
            sorted.restore(state, self.plan.keys.len())?;
        }
        let len = usize::try_from(state.u64()?).map_err(|_| state.damaged())?;
        self.patterns.restore(state.bytes(len)?)
    }

    /// What it counted.
    pub(super) fn counters(&self, report: &mut dyn FnMut(&'static str, u64)) {
        self.patterns.counters().each(report);
        report("pattern_rows_late", self.late);
        report("pattern_results_dropped", self.desk.pending.dropped);
    }
}

/// A record's bytes as words: it begins and ends at a word's bounds.
fn words_of(bytes: &[u8]) -> Option<&[u64]> {
    <[u64]>::ref_from_bytes(bytes).ok()
}

#[cfg(test)]
mod tests;
