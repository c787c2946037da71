//! Rows that are told later: so long after their time, or when the clock strikes next.
//!
//! ```text
//! rows        a    b c          d           time
//! after 5 s        a    b c          d
//! every 10 s            abc              d
//! ```
//!
//! Time is event time: a row is told when the watermark reaches the time that it is held until,
//! before a row of that time, and happens then. Rows are told in the order of their times.
//!
//! Invariant: what is told depends on the rows and their times alone, and every row that is not
//! late is told once.

use corelane_feeds::record::{Header, RECORD_BYTES_MAX, Record};
use corelane_feeds::units::Nanos;
use zerocopy::{FromBytes, IntoBytes};

use super::join::Rows;
use super::operator::{Context, Due, Progress};
use super::plan::{Output, Program};
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

/// A query whose rows are held, with its programs.
#[derive(Clone, Debug)]
pub(super) struct HoldPlan {
    pub(super) until: Until,
    pub(super) filter: Option<Program>,
    pub(super) outputs: Vec<Output>,
    /// Words of the records.
    pub(super) words: usize,
    pub(super) rows_max: usize,
    /// How much longer than its watermark the stream is waited for, nanoseconds.
    pub(super) lateness: u64,
}

/// See the [module](self).
pub(super) struct Hold {
    plan: HoldPlan,
    rows: Rows,
    watermark: u64,
    late: u64,
    rows_dropped: u64,
}

impl Hold {
    /// Takes the memory that it needs.
    pub(super) fn new(plan: &HoldPlan) -> Self {
        let rows = Rows::new(plan.rows_max, 0, plan.words);
        Self { rows, watermark: 0, late: 0, rows_dropped: 0, plan: plan.clone() }
    }

    /// Bytes that it takes.
    pub(super) const fn bytes(plan: &HoldPlan) -> usize {
        Rows::bytes(plan.rows_max, 0, plan.words)
    }

    /// Takes a row.
    pub(super) fn on_record(&mut self, record: &Record, context: &mut Context<'_>) -> Progress {
        let (bytes, ts) = (record.as_bytes(), record.header.ts_event.0);
        let machine = &mut context.shared.machine;
        let filter = self.plan.filter.as_ref();
        if filter.is_some_and(|filter| !filter.run(machine, bytes, &[]).is_true()) {
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
        self.rows.push(ts, &[], &words[..self.plan.words]);
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
        while let Some(at) = self.rows.oldest() {
            let until = self.plan.until.of(self.rows.ts(at));
            if until > self.watermark {
                break;
            }
            if !context.has_room(self.plan.outputs.len()) {
                return Progress::More;
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
            self.rows.remove(at);
        }
        for output in self.plan.outputs.iter().filter(|output| !output.is_action) {
            context.punctuate(output.schema.stream, Nanos(self.watermark));
        }
        Progress::Done
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
