//! As-of joins: every row of the left stream meets the closest row of the right one, in time, or
//! none.
//!
//! ```text
//! right rows of a key    ──v1──────v2────v3───────>  time
//! left row, at or before         ^ v1    (>=, >)
//! left row, at or after          ^ v2    (<=, <)
//! ```
//!
//! A left row is a result when the watermark of both streams has passed every time at which a
//! closer row could still come. Of right rows of one key and one time the last to come counts: it
//! takes the place of the others. A row that comes behind the watermark is late: counted, and
//! neither joined nor kept.
//!
//! Looking back, one row of a key is kept behind the watermark, which is all that later rows can
//! be closest to; looking ahead, none is.
//!
//! Invariant: what a left row meets depends on the rows that were not late and their times, and on
//! the order of arrival only among right rows of one key and time.

use corelane_feeds::record::{Header, RECORD_BYTES_MAX, Record};
use corelane_feeds::units::Nanos;
use zerocopy::{FromBytes, IntoBytes};

use super::rows::Rows;
use super::{RECORD_WORDS_MAX, moved, said};
use crate::rules::key::KeyProgram;
use crate::rules::operator::{Context, Due, Progress};
use crate::rules::plan::{Output, Program};
use crate::state::StateReader;
use crate::strategy::StateError;

/// Where the closest row is looked for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(in crate::rules) enum Closest {
    /// The latest row at or before.
    Before,
    /// The earliest row at or after.
    After,
}

/// An as-of join with its programs, which see the left record's words followed by the right one's.
#[derive(Clone, Debug)]
pub(in crate::rules) struct AsOfPlan {
    pub(in crate::rules) closest: Closest,
    /// `right.ts - left.ts` lies between both, in nanoseconds. One of them is 0 or next to it.
    pub(in crate::rules) between: (i64, i64),
    /// A left row that meets none is a result, too.
    pub(in crate::rules) is_left: bool,
    /// What has to be equal, on either side.
    pub(in crate::rules) keys: [KeyProgram; 2],
    /// WHERE, for pairs and for a left row alone.
    pub(in crate::rules) filters: [Option<Program>; 2],
    /// Results, for the same two.
    pub(in crate::rules) outputs: [Vec<Output>; 2],
    /// Words of the records.
    pub(in crate::rules) words: [usize; 2],
    pub(in crate::rules) rows_max: usize,
    /// How much longer than their watermark both streams are waited for, nanoseconds.
    pub(in crate::rules) lateness: u64,
}

/// See the [module](self).
pub(in crate::rules) struct AsOf {
    plan: AsOfPlan,
    sides: [Rows; 2],
    key: [Vec<u64>; 2],
    /// The pair at hand.
    row: Box<[u64; 2 * RECORD_WORDS_MAX]>,
    watermark: u64,
    late: u64,
    rows_dropped: u64,
}

/// Whether a part of a key is NULL, which is equal to nothing.
fn is_null(key: &[u64]) -> bool {
    key.last().is_some_and(|nulls| *nulls != 0)
}

impl AsOf {
    /// Takes the memory that it needs.
    pub(in crate::rules) fn new(plan: &AsOfPlan) -> Self {
        let side = |at: usize| Rows::new(plan.rows_max, plan.keys[at].words(), plan.words[at]);
        Self {
            sides: [side(0), side(1)],
            key: [0, 1].map(|at: usize| vec![0; plan.keys[at].words()]),
            row: Box::new([0; 2 * RECORD_WORDS_MAX]),
            watermark: 0,
            late: 0,
            rows_dropped: 0,
            plan: plan.clone(),
        }
    }

    /// Bytes that it takes.
    pub(in crate::rules) fn bytes(plan: &AsOfPlan) -> usize {
        (0..2).map(|at| Rows::bytes(plan.rows_max, plan.keys[at].words(), plan.words[at])).sum()
    }

    /// Takes a row of the left (0) or right side. What it leads to is due to a later time.
    pub(in crate::rules) fn on_record(
        &mut self,
        side: usize,
        record: &Record,
        context: &mut Context<'_>,
    ) -> Progress {
        let ts = record.header.ts_event.0;
        if ts < self.watermark {
            self.late += 1;
            context.late(record);
            return Progress::Done;
        }
        let Self { plan, sides, key, row, .. } = self;
        let from = side * plan.words[0];
        let half = &mut row[from..from + plan.words[side]];
        half.fill(0);
        let bytes = record.as_bytes();
        let length = bytes.len().min(RECORD_BYTES_MAX).min(half.len() * 8);
        half.as_mut_bytes()[..length].copy_from_slice(&bytes[..length]);
        plan.keys[side].fill(&mut context.shared.machine, row.as_bytes(), &mut key[side]);
        if is_null(&key[side]) && !(side == 0 && plan.is_left) {
            return Progress::Done;
        }
        if sides[side].is_full()
            && let Some(oldest) = sides[side].oldest()
        {
            sides[side].remove(oldest);
            self.rows_dropped += 1;
        }
        let half = &row[from..from + plan.words[side]];
        sides[side].push(ts, &key[side], half);
        Progress::Done
    }

    /// Time has come to `now` on both streams.
    pub(in crate::rules) fn on_time(&mut self, now: Nanos, context: &mut Context<'_>) -> Progress {
        let now = now.0.saturating_sub(self.plan.lateness);
        if now <= self.watermark {
            return Progress::Done;
        }
        self.watermark = now;
        self.resume(context)
    }

    /// Goes on with what the watermark has decided.
    pub(in crate::rules) fn resume(&mut self, context: &mut Context<'_>) -> Progress {
        let progress = match self.plan.closest {
            Closest::Before => self.look_back(context),
            Closest::After => self.look_ahead(context),
        };
        if progress == Progress::Done {
            // What waits is told with its own time.
            let waits = self.plan.between.1.max(0).cast_unsigned();
            said(&self.plan.outputs[0], self.watermark.saturating_sub(waits), context);
        }
        progress
    }

    fn has_room(&self, context: &Context<'_>) -> bool {
        context.has_room(self.plan.outputs[0].len().max(self.plan.outputs[1].len()))
    }

    /// The oldest left row for which no right row can come any more, with its time.
    fn decided(&self) -> Option<(u32, u64)> {
        let at = self.sides[0].oldest()?;
        let ts = self.sides[0].ts(at);
        (moved(ts, self.plan.between.1) < self.watermark).then_some((at, ts))
    }

    fn look_back(&mut self, context: &mut Context<'_>) -> Progress {
        let (low, high) = self.plan.between;
        while let Some((at, ts)) = self.decided() {
            if !self.has_room(context) {
                return Progress::More;
            }
            let right = &self.sides[1];
            let closest = right.last(self.sides[0].key(at), moved(ts, high));
            let closest = closest.filter(|closest| right.ts(*closest) >= moved(ts, low));
            self.tell(at, closest, context);
            self.sides[0].remove(at);
        }
        // What comes from now on is at the watermark or later.
        self.sides[1].keep_last_before(self.watermark);
        let least = moved(self.watermark, low);
        while let Some(at) = self.sides[1].oldest().filter(|at| self.sides[1].ts(*at) < least) {
            self.sides[1].remove(at);
        }
        Progress::Done
    }

    fn look_ahead(&mut self, context: &mut Context<'_>) -> Progress {
        let (low, high) = self.plan.between;
        loop {
            if !self.has_room(context) {
                return Progress::More;
            }
            let next = self.sides[1].oldest().map(|at| (at, self.sides[1].ts(at)));
            let next = next.filter(|(_, ts)| *ts < self.watermark);
            if let Some((at, ts)) = self.decided()
                && next.is_none_or(|(_, right)| moved(ts, high) < right)
            {
                self.tell(at, None, context);
                self.sides[0].remove(at);
                continue;
            }
            let Some((at, ts)) = next else { return Progress::Done };
            let [left, right] = &self.sides;
            let is_last = right.next(at, ts).is_none();
            let waits = left.oldest_of(right.key(at)).filter(|_| is_last);
            // Those that wait for it come no later than it, and none of them too early.
            match waits.filter(|waits| moved(left.ts(*waits), low) <= ts) {
                Some(waits) => {
                    self.tell(waits, Some(at), context);
                    self.sides[0].remove(waits);
                }
                None => self.sides[1].remove(at),
            }
        }
    }

    /// Tells a left row with the closest right one, or alone.
    fn tell(&mut self, at: u32, closest: Option<u32>, context: &mut Context<'_>) {
        let Self { plan, sides, row, .. } = self;
        let is_null = is_null(sides[0].key(at));
        let closest = closest.filter(|_| !is_null);
        if closest.is_none() && !plan.is_left {
            return;
        }
        let (left, both) = (plan.words[0], plan.words[0] + plan.words[1]);
        row[..left].copy_from_slice(sides[0].record(at));
        match closest {
            Some(closest) => row[left..both].copy_from_slice(sides[1].record(closest)),
            None => row[left..both].fill(0),
        }
        let form = usize::from(closest.is_none());
        let bytes = row.as_bytes();
        let Ok((header, _)) = Header::read_from_prefix(bytes) else { return };
        let filter = plan.filters[form].as_ref();
        let machine = &mut context.shared.machine;
        if filter.is_some_and(|filter| !filter.holds(machine, bytes, &[])) {
            return;
        }
        context.own.fired += 1;
        let mut due = Due::to_time(&[u64::from(header.feed), header.seq.0], header.ts_event);
        for output in &plan.outputs[form] {
            context.emit(output, &mut due, bytes, &[]);
        }
    }

    /// Both sides' rows, and how their keys are read.
    pub(in crate::rules) fn kept(&self) -> ([&Rows; 2], &[KeyProgram; 2]) {
        (self.sides.each_ref(), &self.plan.keys)
    }

    pub(in crate::rules) fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.watermark.to_le_bytes());
        self.sides.iter().for_each(|side| side.save(out));
    }

    pub(in crate::rules) fn restore(
        &mut self,
        state: &mut StateReader<'_>,
    ) -> Result<(), StateError> {
        self.watermark = state.u64()?;
        self.sides.iter_mut().try_for_each(|side| side.restore(state))?;
        self.sides[1].keep_last_before(self.watermark);
        Ok(())
    }

    /// What it counted.
    pub(in crate::rules) fn counters(&self, report: &mut dyn FnMut(&'static str, u64)) {
        report("join_late", self.late);
        report("join_rows_dropped", self.rows_dropped);
    }
}
