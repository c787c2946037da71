//! Joins of two streams whose rows lie within a bounded time of each other.
//!
//! ```text
//! left row  ──> meets the right rows that are kept ──┐
//!           └─> is kept                              ├──> condition ──> results
//! right row ──> meets the left rows that are kept  ──┘
//! time      ──> rows that nothing can meet any more go; of an outer or anti join those that have
//!               met none are results then
//! ```
//!
//! A row is kept until the watermark of both streams has passed the last time that a row of the
//! other side could have. `LATEST ... PER` keeps one row for every value of the named columns. Both
//! bounds are inclusive. A row that comes behind the watermark is late: counted, and not joined.
//! Joins with the closest row alone are [as-of joins](asof).
//!
//! Invariant: every pair that is kept long enough to meet meets once, when the later of both comes.

mod asof;
#[cfg(test)]
mod asof_tests;
mod rows;
#[cfg(test)]
mod tests;

use corelane_feeds::record::{Header, RECORD_BYTES_MAX, Record};
use corelane_feeds::units::Nanos;
use zerocopy::{FromBytes, IntoBytes};

use super::key::KeyProgram;
use super::operator::{Context, Due, Progress};
use super::plan::{Output, Program};
use crate::state::{StateReader, put_words};
use crate::strategy::StateError;
pub(super) use asof::{AsOf, AsOfPlan, Closest};
pub(super) use rows::Rows;

/// Words of the longest record.
const RECORD_WORDS_MAX: usize = RECORD_BYTES_MAX / 8;

/// Changes when the saved state does.
const STATE_VERSION: u64 = 0x4a4f_494e_0000_0002;

/// What becomes of rows that meet no other.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
    /// Left rows that meet any, once.
    Semi,
    /// Left rows that meet none.
    Anti,
}

impl JoinKind {
    /// Whether a side's unmatched rows are results: 0 is left.
    const fn keeps(self, side: usize) -> bool {
        matches!(
            (self, side),
            (Self::Left | Self::Full | Self::Anti, 0) | (Self::Right | Self::Full, 1)
        )
    }
}

/// A join with its programs. Programs see the left record's words followed by the right one's.
#[derive(Clone, Debug)]
pub(super) struct JoinPlan {
    pub(super) kind: JoinKind,
    /// What has to be equal, on either side.
    pub(super) keys: [KeyProgram; 2],
    /// `right.ts - left.ts` lies between both, in nanoseconds.
    pub(super) between: (i64, i64),
    /// With LATEST: what a later row of a side replaces an earlier one by.
    pub(super) per: Option<[KeyProgram; 2]>,
    /// The rest of ON.
    pub(super) on: Option<Program>,
    /// WHERE, for pairs, for a left row alone and for a right row alone.
    pub(super) filters: [Option<Program>; 3],
    /// Results, for the same three.
    pub(super) outputs: [Vec<Output>; 3],
    /// Words of the records.
    pub(super) words: [usize; 2],
    pub(super) rows_max: usize,
    /// How much longer than their watermark both streams are waited for, nanoseconds.
    pub(super) lateness: u64,
}

/// What is left to do with what is at hand.
#[derive(Copy, Clone, Debug)]
enum Todo {
    Nothing,
    /// The row at hand, of this side, has still to meet this row and those behind it.
    Meet(usize, u32),
    /// Rows of both sides go that nothing can meet before this time.
    Expire(u64),
}

/// See the [module](self).
pub(super) struct Join {
    plan: JoinPlan,
    sides: [Rows; 2],
    todo: Todo,
    /// The pair at hand.
    row: Box<[u64; 2 * RECORD_WORDS_MAX]>,
    header: Header,
    /// Whether the row at hand has met any.
    met: bool,
    due: Due,
    key: [Vec<u64>; 2],
    per: [Vec<u64>; 2],
    /// What an earlier row is replaced by.
    old_per: Vec<u64>,
    watermark: u64,
    late: u64,
    rows_dropped: u64,
}

/// A time moved by a distance, within what times can be.
const fn moved(ts: u64, by: i64) -> u64 {
    ts.saturating_add_signed(by)
}

/// Says of the streams among results that nothing more will come with a time before `until`.
fn said(outputs: &[Output], until: u64, context: &mut Context<'_>) {
    for output in outputs.iter().filter(|output| !output.is_action) {
        context.punctuate(output.schema.stream, Nanos(until));
    }
}

impl Join {
    pub(super) fn new(plan: &JoinPlan) -> Self {
        let side = |at: usize| Rows::new(plan.rows_max, plan.keys[at].words(), plan.words[at]);
        let room = |program: &KeyProgram| vec![0; program.words()];
        let per = plan.per.as_ref().map(|per| [room(&per[0]), room(&per[1])]);
        let per = per.unwrap_or_default();
        Self {
            sides: [side(0), side(1)],
            todo: Todo::Nothing,
            row: Box::new([0; 2 * RECORD_WORDS_MAX]),
            header: Header::default(),
            met: false,
            key: [room(&plan.keys[0]), room(&plan.keys[1])],
            old_per: vec![0; per[0].len().max(per[1].len())],
            per,
            due: Due::to_record(&Header::default()),
            watermark: 0,
            late: 0,
            rows_dropped: 0,
            plan: plan.clone(),
        }
    }

    /// Bytes that it takes.
    pub(super) fn bytes(plan: &JoinPlan) -> usize {
        (0..2).map(|at| Rows::bytes(plan.rows_max, plan.keys[at].words(), plan.words[at])).sum()
    }

    /// The words of the pair that are a side's.
    fn half(&mut self, side: usize) -> &mut [u64] {
        let left = self.plan.words[0];
        match side {
            0 => &mut self.row[..left],
            _ => &mut self.row[left..left + self.plan.words[1]],
        }
    }

    /// Takes a row of the left (0) or right side.
    pub(super) fn on_record(
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
        let half = self.half(side);
        let bytes = record.as_bytes();
        half.fill(0);
        let length = bytes.len().min(half.len() * 8);
        half.as_mut_bytes()[..length].copy_from_slice(&bytes[..length]);
        (self.header, self.met) = (record.header, false);
        self.due = Due::to_record(&record.header);
        let machine = &mut context.shared.machine;
        self.plan.keys[side].fill(machine, self.row.as_bytes(), &mut self.key[side]);
        let (low, high) = self.window(side, ts);
        let first = self.sides[1 - side].first(&self.key[side], low);
        self.todo = match first.filter(|at| self.sides[1 - side].ts(*at) <= high) {
            Some(first) => Todo::Meet(side, first),
            None => {
                self.keep(side, context);
                Todo::Nothing
            }
        };
        self.resume(context)
    }

    /// Which times of the other side a row meets.
    fn window(&self, side: usize, ts: u64) -> (u64, u64) {
        let (low, high) = self.plan.between;
        match side {
            0 => (moved(ts, low), moved(ts, high)),
            _ => (moved(ts, high.saturating_neg()), moved(ts, low.saturating_neg())),
        }
    }

    /// Time has come to `now` on both streams.
    pub(super) fn on_time(&mut self, now: Nanos, context: &mut Context<'_>) -> Progress {
        let now = now.0.saturating_sub(self.plan.lateness);
        if now <= self.watermark {
            return Progress::Done;
        }
        self.watermark = now;
        self.todo = Todo::Expire(now);
        self.resume(context)
    }

    /// Goes on with what is left to do.
    pub(super) fn resume(&mut self, context: &mut Context<'_>) -> Progress {
        match self.todo {
            Todo::Nothing => Progress::Done,
            Todo::Meet(side, at) => self.meet(side, at, context),
            Todo::Expire(now) => self.expire(now, context),
        }
    }

    fn meet(&mut self, side: usize, first: u32, context: &mut Context<'_>) -> Progress {
        let (_, high) = self.window(side, self.header.ts_event.0);
        let mut next = Some(first);
        while let Some(at) = next {
            if !context.has_room(self.plan.outputs[0].len()) {
                self.todo = Todo::Meet(side, at);
                return Progress::More;
            }
            next = self.sides[1 - side].next(at, high);
            if self.pair(side, at, context) && self.plan.kind == JoinKind::Semi && side == 0 {
                break;
            }
        }
        self.todo = Todo::Nothing;
        self.keep(side, context);
        Progress::Done
    }

    /// The row at hand meets another; whether the condition holds.
    fn pair(&mut self, side: usize, at: u32, context: &mut Context<'_>) -> bool {
        let Self { plan, sides, row, met, due, .. } = self;
        let (left, other) = (plan.words[0], sides[1 - side].record(at));
        match side {
            0 => row[left..left + plan.words[1]].copy_from_slice(other),
            _ => row[..left].copy_from_slice(other),
        }
        let (machine, bytes) = (&mut context.shared.machine, row.as_bytes());
        if plan.on.as_ref().is_some_and(|on| !on.holds(machine, bytes, &[])) {
            return false;
        }
        let was_matched = if side == 0 { *met } else { sides[0].is_matched(at) };
        *met = true;
        sides[1 - side].set_matched(at);
        let is_result = match plan.kind {
            JoinKind::Anti => false,
            JoinKind::Semi => !was_matched,
            _ => true,
        };
        let filter = plan.filters[0].as_ref();
        if is_result && filter.is_none_or(|filter| filter.holds(machine, bytes, &[])) {
            context.own.fired += 1;
            for output in &plan.outputs[0] {
                context.emit(output, due, bytes, &[]);
            }
        }
        true
    }

    /// Keeps the row at hand, if a row that comes later can meet it or it is to leave unmatched.
    fn keep(&mut self, side: usize, context: &mut Context<'_>) {
        if self.plan.kind == JoinKind::Semi && side == 0 && self.met {
            return;
        }
        if let Some(per) = &self.plan.per {
            let machine = &mut context.shared.machine;
            per[side].fill(machine, self.row.as_bytes(), &mut self.per[side]);
            self.replace(side, context);
        }
        if self.sides[side].is_full()
            && let Some(oldest) = self.sides[side].oldest()
        {
            self.sides[side].remove(oldest);
            self.rows_dropped += 1;
        }
        let left = self.plan.words[0];
        let half = match side {
            0 => &self.row[..left],
            _ => &self.row[left..left + self.plan.words[1]],
        };
        let kept = self.sides[side].push(self.header.ts_event.0, &self.key[side], half);
        if self.met
            && let Some(kept) = kept
        {
            self.sides[side].set_matched(kept);
        }
    }

    /// Drops the earlier row that the row at hand takes the place of.
    fn replace(&mut self, side: usize, context: &mut Context<'_>) {
        let Self { plan, sides, per: wanted, old_per, .. } = self;
        let Some(per) = &plan.per else { return };
        let (rows, wanted) = (&mut sides[side], &wanted[side]);
        let old = &mut old_per[..wanted.len()];
        let mut row = [0; 2 * RECORD_WORDS_MAX];
        let offset = if side == 0 { 0 } else { plan.words[0] };
        let mut next = rows.first(&self.key[side], 0);
        while let Some(at) = next {
            next = rows.next(at, u64::MAX);
            let record = rows.record(at);
            row[offset..offset + record.len()].copy_from_slice(record);
            per[side].fill(&mut context.shared.machine, row.as_bytes(), old);
            if old == &wanted[..] {
                rows.remove(at);
            }
        }
    }

    /// Drops the rows that nothing can meet from `now` on.
    fn expire(&mut self, now: u64, context: &mut Context<'_>) -> Progress {
        for side in 0..2 {
            while let Some(at) = self.sides[side].oldest() {
                let ts = self.sides[side].ts(at);
                if self.window(side, ts).1 >= now {
                    break;
                }
                if self.plan.kind.keeps(side) && !self.sides[side].is_matched(at) {
                    if !context.has_room(self.plan.outputs[1 + side].len()) {
                        return Progress::More;
                    }
                    self.alone(side, at, context);
                }
                self.sides[side].remove(at);
            }
        }
        self.todo = Todo::Nothing;
        // Rows that wait may still leave alone, with their times.
        let waits = |side: usize| match side {
            _ if !self.plan.kind.keeps(side) => 0,
            0 => self.plan.between.1.max(0),
            _ => self.plan.between.0.saturating_neg().max(0),
        };
        let until = now.saturating_sub(waits(0).max(waits(1)).cast_unsigned());
        said(&self.plan.outputs[0], until, context);
        Progress::Done
    }

    /// A row has met no other.
    fn alone(&mut self, side: usize, at: u32, context: &mut Context<'_>) {
        let Self { plan, sides, row, .. } = self;
        let left = plan.words[0];
        let half = match side {
            0 => &mut row[..left],
            _ => &mut row[left..left + plan.words[1]],
        };
        half.copy_from_slice(sides[side].record(at));
        let Ok((header, _)) = Header::read_from_prefix(half.as_bytes()) else { return };
        let bytes = row.as_bytes();
        let filter = plan.filters[1 + side].as_ref();
        let machine = &mut context.shared.machine;
        if filter.is_none_or(|filter| filter.holds(machine, bytes, &[])) {
            context.own.fired += 1;
            let words = [u64::from(header.feed), header.seq.0, side as u64];
            let mut due = Due::to_time(&words, header.ts_event);
            for output in &plan.outputs[1 + side] {
                context.emit(output, &mut due, bytes, &[]);
            }
        }
    }

    /// Both sides' rows, and how their keys are read.
    pub(super) fn kept(&self) -> ([&Rows; 2], &[KeyProgram; 2]) {
        (self.sides.each_ref(), &self.plan.keys)
    }

    pub(super) fn save(&self, out: &mut Vec<u8>) {
        put_words(out, [STATE_VERSION, self.watermark, self.late, self.rows_dropped]);
        self.sides.iter().for_each(|side| side.save(out));
    }

    pub(super) fn restore(&mut self, state: &mut StateReader<'_>) -> Result<(), StateError> {
        if state.u64()? != STATE_VERSION {
            return Err(StateError::Version);
        }
        self.watermark = state.u64()?;
        [self.late, self.rows_dropped] = state.words()?;
        self.sides.iter_mut().try_for_each(|side| side.restore(state))
    }

    /// What it counted.
    pub(super) fn counters(&self, report: &mut dyn FnMut(&'static str, u64)) {
        report("join_late", self.late);
        report("join_rows_dropped", self.rows_dropped);
    }
}
