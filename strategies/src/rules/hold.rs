//! Rows that are told later: so long after their time, or when the clock strikes next.
//!
//! ```text
//! rows        a    b c          d           time
//! after 5 s        a    b c          d
//! every 10 s            abc              d
//! ```
//!
//! Time is event time: a row is told when the watermark reaches the time that it is held until,
//! before a row of that time, and happens then. Rows are told in the order of their times, or those
//! that are told together as ORDER BY says, and the first of them only if there is a LIMIT.
//!
//! Invariant: what is told depends on the rows and their times alone, and every row that is not
//! late is told once.

use corelane_feeds::record::{Header, RECORD_BYTES_MAX, Record};
use corelane_feeds::units::Nanos;
use zerocopy::{FromBytes, IntoBytes};

use super::join::Rows;
use super::key::words;
use super::operator::{Context, Due, Progress};
use super::plan::{Output, Program};
use super::program::Machine;
use super::types::Type;
use crate::state::StateReader;
use crate::strategy::StateError;

/// Until when a row is held.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Until {
    /// So many nanoseconds after its time.
    After(u64),
    /// The next time that is `offset` and a multiple of `every`, after its own.
    Every { every: u64, offset: u64 },
}

impl Until {
    /// When a row of a time is told.
    fn of(self, ts: u64) -> u64 {
        match self {
            Self::After(ns) => ts.saturating_add(ns),
            Self::Every { every, offset } => {
                let phase = offset % every;
                // Before the first strike of all it is that one.
                let past = ts.checked_sub(phase).map_or(0, |since| (since / every + 1) * every);
                past.saturating_add(phase)
            }
        }
    }
}

/// A part of ORDER BY.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) program: Program,
    pub(super) ty: Type,
    /// The greatest comes first.
    pub(super) is_descending: bool,
}

impl Order {
    /// Words of its value: whether it is NULL, and what sorts as it does.
    fn words(&self) -> usize {
        1 + words(self.ty)
    }

    /// Fills them for a row.
    fn fill(&self, machine: &mut Machine, row: &[u8], place: &mut [u64]) {
        const SIGN: u64 = 1 << 63;
        let value = self.program.run(machine, row, &[]);
        place.fill(0);
        // NULL is greater than anything.
        place[0] = u64::from(!value.known);
        match self.ty {
            _ if !value.known => {}
            Type::Text(_) => {
                let text = self.program.text(value, row, machine.made());
                for (word, bytes) in place[1..].iter_mut().zip(text.chunks(8)) {
                    let mut whole = [0; 8];
                    whole[..bytes.len()].copy_from_slice(bytes);
                    *word = u64::from_be_bytes(whole);
                }
            }
            // Minus zero is zero.
            Type::Double if value.bits > SIGN => place[1] = !value.bits,
            Type::Double => place[1] = value.bits | SIGN,
            _ => place[1] = value.bits ^ SIGN,
        }
        if self.is_descending {
            place.iter_mut().for_each(|word| *word = !*word);
        }
    }
}

/// A query whose rows are held, with its programs.
#[derive(Clone, Debug)]
pub(super) struct HoldPlan {
    pub(super) until: Until,
    pub(super) filter: Option<Program>,
    pub(super) outputs: Vec<Output>,
    /// In which order rows are told that are told together, if not in that of their times.
    pub(super) order: Vec<Order>,
    /// How many of them.
    pub(super) limit: Option<usize>,
    /// Words of the records.
    pub(super) words: usize,
    pub(super) rows_max: usize,
    /// How much longer than its watermark the stream is waited for, nanoseconds.
    pub(super) lateness: u64,
}

impl HoldPlan {
    fn key_words(&self) -> usize {
        self.order.iter().map(Order::words).sum()
    }

    /// Whether rows that are told together are looked at together.
    fn is_ordered(&self) -> bool {
        !self.order.is_empty() || self.limit.is_some()
    }
}

/// See the [module](self).
pub(super) struct Hold {
    plan: HoldPlan,
    rows: Rows,
    /// What the row at hand is ordered by.
    key: Vec<u64>,
    /// Rows that are told together: their places among themselves by time, and where they are.
    batch: Vec<(u32, u32)>,
    /// How many of them have been told.
    done: usize,
    watermark: u64,
    late: u64,
    rows_dropped: u64,
}

impl Hold {
    /// Takes the memory that it needs.
    pub(super) fn new(plan: &HoldPlan) -> Self {
        let keys = plan.key_words();
        Self {
            rows: Rows::new(plan.rows_max, keys, plan.words),
            key: vec![0; keys],
            batch: Vec::with_capacity(if plan.is_ordered() { plan.rows_max } else { 0 }),
            done: 0,
            watermark: 0,
            late: 0,
            rows_dropped: 0,
            plan: plan.clone(),
        }
    }

    /// Bytes that it takes.
    pub(super) fn bytes(plan: &HoldPlan) -> usize {
        let batch = if plan.is_ordered() { plan.rows_max * 8 } else { 0 };
        Rows::bytes(plan.rows_max, plan.key_words(), plan.words) + batch
    }

    /// Takes a row.
    pub(super) fn on_record(&mut self, record: &Record, context: &mut Context<'_>) -> Progress {
        let (bytes, ts) = (record.as_bytes(), record.header.ts_event.0);
        let machine = &mut context.shared.machine;
        let filter = self.plan.filter.as_ref();
        if filter.is_some_and(|filter| !filter.holds(machine, bytes, &[])) {
            return Progress::Done;
        }
        if self.plan.until.of(ts) <= self.watermark {
            self.late += 1;
            context.late(record);
            return Progress::Done;
        }
        if self.rows.is_full()
            && let Some(oldest) = self.rows.oldest()
        {
            self.rows.remove(oldest);
            self.rows_dropped += 1;
        }
        let mut words = [0; RECORD_BYTES_MAX / 8];
        let length = bytes.len().min(self.plan.words * 8).min(RECORD_BYTES_MAX);
        words.as_mut_bytes()[..length].copy_from_slice(&bytes[..length]);
        let mut at = 0;
        for order in &self.plan.order {
            let place = &mut self.key[at..at + order.words()];
            at += place.len();
            order.fill(machine, bytes, place);
        }
        self.rows.push(ts, &self.key, &words[..self.plan.words]);
        Progress::Done
    }

    /// Time has come to `now`.
    pub(super) fn on_time(&mut self, now: Nanos, context: &mut Context<'_>) -> Progress {
        let now = now.0.saturating_sub(self.plan.lateness);
        if now <= self.watermark {
            return Progress::Done;
        }
        self.watermark = now;
        self.resume(context)
    }

    /// Goes on telling what is due.
    pub(super) fn resume(&mut self, context: &mut Context<'_>) -> Progress {
        while let Some(at) = self.next() {
            let until = self.plan.until.of(self.rows.ts(at));
            if !context.has_room(self.plan.outputs.len()) {
                return Progress::More;
            }
            if self.plan.limit.is_some_and(|limit| self.done >= limit) {
                self.drop_told(at);
                continue;
            }
            let bytes = self.rows.record(at).as_bytes();
            if let Ok((header, _)) = Header::read_from_prefix(bytes) {
                context.own.fired += 1;
                let cause = [u64::from(header.feed), header.seq.0];
                let mut due = Due::to_time(&cause, Nanos(until));
                for output in &self.plan.outputs {
                    context.emit(output, &mut due, bytes, &[]);
                }
            }
            self.drop_told(at);
        }
        for output in self.plan.outputs.iter().filter(|output| !output.is_action) {
            context.punctuate(output.schema.stream, Nanos(self.watermark));
        }
        Progress::Done
    }

    /// The next row to be told.
    fn next(&mut self) -> Option<u32> {
        if !self.plan.is_ordered() {
            let at = self.rows.oldest()?;
            return (self.plan.until.of(self.rows.ts(at)) <= self.watermark).then_some(at);
        }
        if self.done == self.batch.len() {
            self.batch.clear();
            self.done = 0;
            let mut next = self.rows.oldest();
            let until = self.plan.until.of(self.rows.ts(next?));
            while let Some(at) = next
                && self.plan.until.of(self.rows.ts(at)) == until
                && until <= self.watermark
            {
                self.batch.push((self.batch.len() as u32, at));
                next = self.rows.newer(at);
            }
            let Self { rows, batch, .. } = self;
            let key = |of: &(u32, u32)| (rows.key(of.1), of.0);
            batch.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        }
        self.batch.get(self.done).map(|(_, at)| *at)
    }

    /// A row has been told, or left out.
    fn drop_told(&mut self, at: u32) {
        self.rows.remove(at);
        self.done += 1;
    }

    /// The rows that wait, each with the time until which it is held.
    pub(super) fn kept(&self) -> impl Iterator<Item = (u64, &[u64])> {
        let until = |at| self.plan.until.of(self.rows.ts(at));
        self.rows.all().map(move |at| (until(at), self.rows.record(at)))
    }

    pub(super) fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.watermark.to_le_bytes());
        self.rows.save(out);
    }

    pub(super) fn restore(&mut self, state: &mut StateReader<'_>) -> Result<(), StateError> {
        self.watermark = state.u64()?;
        self.rows.restore(state)
    }

    /// What it counted.
    pub(super) fn counters(&self, report: &mut dyn FnMut(&'static str, u64)) {
        report("held_late", self.late);
        report("held_rows_dropped", self.rows_dropped);
    }
}

#[cfg(test)]
mod tests;
