//! What a rule becomes at run time, and what it works with.
//!
//! ```text
//! record ──> Rules ──route──> operators that read its stream, in the order of the text
//!              ^                  │ emit
//!              │                  ├──> action: outbox, with the id of its cause
//!              └──── queue <──────┴──> record of a stream: routed when the causing record is done
//! ```
//!
//! Invariant: what an operator emits depends on the records it was given, in order, and on nothing
//! else. Nothing is allocated per record: an operator that has more results than there is room for
//! says [`Progress::More`] and goes on later, before anything else happens.

use std::collections::VecDeque;

use corelane_feeds::declared::{Declared, NULLS_OFFSET};
use corelane_feeds::record::{
    FLAG_DERIVED, FLAG_EXCHANGED, FLAG_SHADOW, Header, Record, RecordBuf, Stamp, StreamId, View,
};
use corelane_feeds::schema::SqlType;
use corelane_feeds::streams::sys::Tick;
use corelane_feeds::units::{Nanos, Seq};

use super::catalog::LATE;
use super::grouped::Grouped;
use super::hold::Hold;
use super::join::{AsOf, Join};
use super::lookup::Lookup;
use super::matcher::Matcher;
use super::plan::{Arm, Kind, Mode, Output, Rule};
use super::pool::Pool;
use super::program::Machine;
use super::query::Query;
use super::types::Value;
use crate::action::Cause;
use crate::chain::STAGES_MAX;
use crate::memory::Memory;
use crate::outbox::Outbox;
use crate::state::StateReader;
use crate::strategy::{ACTIONS_STAGE_MAX, DERIVED_MAX, StateError};

/// Derived records that wait, at most; more are dropped and counted.
const QUEUE_MAX: usize = 1 << 16;
/// Records that come while the stage has stopped: as many as one record can lead to in a chain.
const QUEUE_MIN: usize = STAGES_MAX * DERIVED_MAX;
/// The feed that ids of actions name whose cause is a time and not a record.
const TIMER_FEED: u8 = u8::MAX;

/// Whether an operator has emitted all that it had to.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Progress {
    /// It has.
    Done,
    /// There was no room for more: [`Operator::resume`] goes on.
    More,
}

/// A rule at work.
pub(super) enum Operator {
    /// Filter, per-record windows, condition, projection.
    Query(Box<Query>),
    /// Two streams.
    Join(Box<Join>),
    /// Two streams, of one the closest row.
    AsOf(Box<AsOf>),
    /// Rows that are told later.
    Hold(Box<Hold>),
    /// A stream and a table.
    Lookup(Box<Lookup>),
    /// A row pattern.
    Pattern(Box<Matcher>),
    /// Group windows.
    Group(Box<Grouped>),
}

impl Operator {
    /// Takes the memory that the rule needs.
    pub(super) fn new(rule: &Rule, pool: &Pool) -> Self {
        let number = |window, aggregate| pool.input(window, aggregate);
        match &rule.kind {
            Kind::Query(plan) => Self::Query(Box::new(Query::new(plan.numbered(&number)))),
            Kind::Join(plan) => Self::Join(Box::new(Join::new(plan))),
            Kind::AsOf(plan) => Self::AsOf(Box::new(AsOf::new(plan))),
            Kind::Hold(plan) => Self::Hold(Box::new(Hold::new(plan))),
            Kind::Lookup(plan) => Self::Lookup(Box::new(Lookup::new(plan))),
            Kind::Pattern(plan) => Self::Pattern(Box::new(Matcher::new(plan))),
            Kind::Group(plan) => Self::Group(Box::new(Grouped::new((**plan).clone()))),
        }
    }

    /// Takes a record, of the rule's `input`th stream.
    #[inline]
    pub(super) fn on_record(
        &mut self,
        input: usize,
        record: &Record,
        context: &mut Context<'_>,
    ) -> Progress {
        match self {
            Self::Query(query) => query.on_record(record, context),
            Self::Lookup(lookup) => lookup.on_record(record, context),
            Self::Join(join) if input < 2 => join.on_record(input, record, context),
            Self::AsOf(join) if input < 2 => join.on_record(input, record, context),
            Self::Hold(hold) if input == 0 => hold.on_record(record, context),
            // A tick: time went on, and that was all.
            Self::Join(_) | Self::AsOf(_) | Self::Hold(_) => Progress::Done,
            Self::Pattern(matcher) => matcher.on_record(input, record, context),
            Self::Group(group) if input == 0 => group.on_record(record, context),
            // A tick.
            Self::Group(_) => Progress::Done,
        }
    }

    /// Event time has come to `now` on all of its streams: what waited until then happens. Called
    /// before the record that moved time, for operators that [`Kind::is_timed`].
    pub(super) fn on_time(&mut self, now: Nanos, context: &mut Context<'_>) -> Progress {
        match self {
            Self::Query(_) | Self::Lookup(_) => Progress::Done,
            Self::Join(join) => join.on_time(now, context),
            Self::AsOf(join) => join.on_time(now, context),
            Self::Hold(hold) => hold.on_time(now, context),
            Self::Pattern(matcher) => matcher.on_time(now, context),
            Self::Group(group) => group.on_time(now, context),
        }
    }

    /// Goes on after [`Progress::More`].
    pub(super) fn resume(&mut self, context: &mut Context<'_>) -> Progress {
        match self {
            Self::Query(_) | Self::Lookup(_) => Progress::Done,
            Self::Join(join) => join.resume(context),
            Self::AsOf(join) => join.resume(context),
            Self::Hold(hold) => hold.resume(context),
            Self::Pattern(matcher) => matcher.resume(context),
            Self::Group(group) => group.tell(context),
        }
    }

    /// Takes over the state of the same rule in an earlier set.
    pub(super) fn take_over(&mut self, earlier: &mut Self) {
        match (self, earlier) {
            (Self::Join(new), Self::Join(old)) => std::mem::swap(new, old),
            (Self::AsOf(new), Self::AsOf(old)) => std::mem::swap(new, old),
            (Self::Hold(new), Self::Hold(old)) => std::mem::swap(new, old),
            (Self::Pattern(new), Self::Pattern(old)) => new.take_over(old),
            (Self::Group(new), Self::Group(old)) => new.take_over(old),
            // Queries have none.
            _ => {}
        }
    }

    /// Appends its state.
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        match self {
            Self::Query(_) | Self::Lookup(_) => {}
            Self::Join(join) => join.save(out),
            Self::AsOf(join) => join.save(out),
            Self::Hold(hold) => hold.save(out),
            Self::Pattern(matcher) => matcher.save(out),
            Self::Group(group) => group.save(out),
        }
    }

    /// Takes over a state.
    ///
    /// # Errors
    /// If the bytes are no state of this rule.
    pub(super) fn restore(&mut self, state: &mut StateReader<'_>) -> Result<(), StateError> {
        match self {
            Self::Query(_) | Self::Lookup(_) => Ok(()),
            Self::Join(join) => join.restore(state),
            Self::AsOf(join) => join.restore(state),
            Self::Hold(hold) => hold.restore(state),
            Self::Pattern(matcher) => matcher.restore(state),
            Self::Group(group) => group.restore(state),
        }
    }

    /// A record of its `input`th stream is about to come.
    #[inline]
    pub(super) fn prefetch(&self, input: usize, record: &Record, further: bool, memory: Memory) {
        if let Self::Pattern(matcher) = self {
            matcher.prefetch(input, record, further, memory);
        }
    }

    /// What it counted.
    pub(super) fn counters(&self, report: &mut dyn FnMut(&'static str, u64)) {
        match self {
            Self::Query(_) | Self::Lookup(_) => {}
            Self::Join(join) => join.counters(report),
            Self::AsOf(join) => join.counters(report),
            Self::Hold(hold) => hold.counters(report),
            Self::Pattern(matcher) => matcher.counters(report),
            Self::Group(group) => group.counters(report),
        }
    }
}

/// What results are due to: it makes the ids of actions.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Due {
    stamp: Stamp,
    /// When records of streams happen that come of it, unless a column says so.
    happened: Nanos,
    /// What stands for the session's key and counts the results, if this is a time; a record has
    /// its session, and one count for all that it leads to.
    time: Option<(u32, u16)>,
}

impl Due {
    /// The time that it is due to, if it is one, and what stands for it.
    #[inline]
    pub(super) fn of_time(&self) -> Option<(Nanos, (u64, u32))> {
        self.time.map(|(session, _)| (self.stamp.ts_event, (self.stamp.seq.0, session)))
    }

    /// To a record.
    #[inline]
    pub(super) fn to_record(header: &Header) -> Self {
        // A record that a time led to stands for it.
        let time = (header.feed == TIMER_FEED).then_some((0, 0));
        // On which shard it happens is no part of what happens.
        let stamp = Stamp { flags: header.flags & !FLAG_EXCHANGED, ..header.stamp() };
        Self { stamp, happened: header.ts_event, time }
    }

    /// To the end of a window of a key. What it leads to happened in the window: the last moment of
    /// it, so that it is in that one of any longer windows that the rows were in.
    pub(super) fn to_window(key: &[u64], end: Nanos) -> Self {
        Self { happened: Nanos(end.0.saturating_sub(1)), ..Self::to_time(key, end) }
    }

    /// To a time that a key waited for: the end of a window, a deadline. The id is the same
    /// whichever record made time go on.
    pub(super) fn to_time(key: &[u64], at: Nanos) -> Self {
        let (mut low, mut high) = (at.0 ^ 0x9e37_79b9_7f4a_7c15, at.0.rotate_left(32));
        for &word in key {
            low = mix(low ^ word);
            high = mix(high.wrapping_add(word) ^ low);
        }
        let stamp = Stamp {
            feed: TIMER_FEED,
            seq: Seq(mix(low)),
            ts_event: at,
            ts_recv: at,
            ..Stamp::default()
        };
        Self { stamp, happened: at, time: Some((mix(high) as u32, 0)) }
    }
}

/// The finisher of splitmix64: every bit of the input moves every bit of the output.
const fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// How many actions a rule took for one causing record.
#[derive(Copy, Clone, Default, Debug)]
pub(super) struct Acted {
    /// Which one: see [`Outbox::cause`].
    cause: u64,
    ordinal: u16,
}

/// What every operator of a set shares.
pub(super) struct Shared {
    /// Runs programs.
    pub(super) machine: Machine,
    /// Derived records that wait.
    pub(super) queue: VecDeque<RecordBuf>,
    result: RecordBuf,
    /// Derived records for which there was no room.
    pub(super) derived_dropped: u64,
    /// The streams of late records that are read.
    late: Vec<StreamId>,
    /// Made streams of which somebody waits for a time.
    told: Vec<StreamId>,
    /// The record at hand is among the late ones already.
    pub(super) is_late_told: bool,
}

impl Shared {
    /// Room for derived records if any rule makes them, and in any case for what comes while the
    /// stage has stopped. `read` are the streams that rules read, `told` those of which somebody
    /// waits for what their makers say.
    pub(super) fn new(derives: bool, read: &[StreamId], told: Vec<StreamId>) -> Self {
        let late: Vec<StreamId> =
            read.iter().copied().filter(|stream| stream.0 & LATE != 0).collect();
        let derives = derives || !late.is_empty();
        Self {
            late,
            told,
            is_late_told: false,
            machine: Machine::default(),
            queue: VecDeque::with_capacity(if derives { QUEUE_MAX } else { QUEUE_MIN }),
            result: RecordBuf::default(),
            derived_dropped: 0,
        }
    }
}

impl Shared {
    fn derive(&mut self) {
        if self.queue.len() == QUEUE_MAX {
            self.derived_dropped += 1;
            return;
        }
        if let Some(header) = self.result.header_mut() {
            header.flags |= FLAG_DERIVED;
        }
        self.queue.push_back(self.result.clone());
    }

    /// The rule of a number will make nothing more of a stream with a time before `until`.
    pub(super) fn punctuate(&mut self, stream: StreamId, rule: u16, until: Nanos) {
        if self.told.contains(&stream) {
            let (instrument, seq) = (stream.0, Seq(rule.into()));
            let stamp = Stamp { instrument, seq, ts_event: until, ..Stamp::default() };
            self.result.set(Tick::new(stamp, 0).as_record());
            self.derive();
        }
    }
}

/// What an operator works with while it has a record or a time at hand.
pub(super) struct Context<'a> {
    pub(super) shared: &'a mut Shared,
    pub(super) outbox: &'a mut Outbox,
    /// What the shared windows answered for the record at hand.
    pub(super) inputs: &'a [Value],
    /// The rule's number.
    pub(super) rule: u16,
    pub(super) own: &'a mut Own,
}

/// What a rule has besides its operator.
#[derive(Default)]
pub(super) struct Own {
    pub(super) mode: Mode,
    pub(super) arm: Option<Arm>,
    /// Room for a key.
    pub(super) key: Vec<u64>,
    pub(super) acted: Acted,
    /// How often its condition was met.
    pub(super) fired: u64,
    /// Actions taken.
    pub(super) taken: u64,
    /// Actions decided and not taken.
    pub(super) shadowed: u64,
}

impl Own {
    /// Whether what it decides for a row is taken.
    #[inline]
    fn acts_on(&mut self, machine: &mut Machine, row: &[u8]) -> bool {
        match &self.arm {
            Some(arm) => arm.acts_on(machine, row, &mut self.key),
            None => self.mode == Mode::Live,
        }
    }
}

impl Context<'_> {
    /// Whether so many more actions can be taken now. An operator asks before it changes anything
    /// that it could not do again.
    #[inline]
    pub(super) fn has_room(&self, actions: usize) -> bool {
        self.outbox.acted_by_stage() + actions <= ACTIONS_STAGE_MAX
    }

    /// Emits a result for a row, due to a record or to a time.
    #[inline]
    pub(super) fn emit(&mut self, output: &Output, due: &mut Due, row: &[u8], inputs: &[Value]) {
        let Shared { machine, result, .. } = self.shared;
        let ts_event = if output.is_action { due.stamp.ts_event } else { due.happened };
        fill(output, machine, Stamp { ts_event, ..due.stamp }, row, inputs, result);
        let is_taken = self.own.acts_on(machine, row);
        if !output.is_action {
            // Records that a rule in shadow made would be seen by rules that are not.
            if is_taken {
                self.shared.derive();
            }
            return;
        }
        if is_taken {
            self.own.taken += 1;
        } else {
            self.own.shadowed += 1;
            if let Some(header) = result.header_mut() {
                header.flags |= FLAG_SHADOW;
            }
        }
        let (session, ordinal) = match &mut due.time {
            Some((session, ordinal)) => (*session, ordinal),
            None => {
                if self.own.acted.cause != self.outbox.cause() {
                    self.own.acted = Acted { cause: self.outbox.cause(), ordinal: 0 };
                }
                (self.outbox.session(), &mut self.own.acted.ordinal)
            }
        };
        let cause = Cause { session, rule: 0, ordinal: *ordinal };
        *ordinal = ordinal.wrapping_add(1);
        self.outbox.act_record(self.rule, cause, &mut self.shared.result);
    }

    /// The record at hand came too late for a window: whoever reads the late records of its stream
    /// sees it, once.
    pub(super) fn late(&mut self, record: &Record) {
        let stream = StreamId(record.header.stream.0 | LATE);
        let is_again = record.header.stream == stream || self.shared.is_late_told;
        if is_again || !self.shared.late.contains(&stream) {
            return;
        }
        self.shared.is_late_told = true;
        self.shared.result.set(record);
        if let Some(header) = self.shared.result.header_mut() {
            header.stream = stream;
        }
        self.shared.derive();
    }

    /// Nothing more will come of a derived stream with a time before `until`.
    pub(super) fn punctuate(&mut self, stream: StreamId, until: Nanos) {
        self.shared.punctuate(stream, self.rule, until);
    }
}

/// Fills the record of a result.
fn fill(
    output: &Output,
    machine: &mut Machine,
    stamp: Stamp,
    row: &[u8],
    inputs: &[Value],
    result: &mut RecordBuf,
) {
    let header = Header::new(output.schema.stream, output.schema.bytes, 0, stamp);
    let place = result.begin(&header);
    let mut nulls = u64::MAX;
    for column in &output.columns {
        let (offset, sql) = (column.field.offset, column.field.sql);
        let mut value = column.program.run(machine, row, inputs);
        if output.nulls.is_some() && value.known && !fits(sql, value) {
            machine.undefined += 1;
            value = Value::NULL;
        }
        if value.known {
            nulls &= !(1 << (column.bit % 64));
        }
        let Some(place) = place.get_mut(offset..offset + sql.bytes()) else { continue };
        match sql {
            SqlType::Char(_) => {
                let text =
                    if value.known { column.program.text(value, row, machine.made()) } else { b"" };
                let len = text.len().min(place.len());
                place.fill(b' ');
                place[..len].copy_from_slice(&text[..len]);
            }
            // What does not fit a built-in action, which cannot say NULL, is all ones.
            _ if place.len() < 8 && output.nulls.is_none() => {
                let most = (1u64 << (8 * place.len())) - 1;
                let len = place.len();
                place.copy_from_slice(&value.bits.min(most).to_le_bytes()[..len]);
            }
            _ => place.copy_from_slice(&value.bits.to_le_bytes()[..place.len()]),
        }
    }
    if let Some(at) = output.nulls
        && let Some(place) = place.get_mut(at..at + 8)
    {
        place.copy_from_slice(&(nulls & output.null_bits).to_le_bytes());
    }
    if let Some(stream) = &output.stream {
        settle(&stream.declared, result);
    }
}

/// Whether a column can hold a value.
#[inline]
fn fits(sql: SqlType, value: Value) -> bool {
    let value = value.bits.cast_signed();
    match sql {
        SqlType::TinyInt => i8::try_from(value).is_ok(),
        SqlType::SmallInt => i16::try_from(value).is_ok(),
        SqlType::Int => i32::try_from(value).is_ok(),
        SqlType::TinyIntUnsigned => u8::try_from(value).is_ok(),
        SqlType::SmallIntUnsigned => u16::try_from(value).is_ok(),
        SqlType::IntUnsigned => u32::try_from(value).is_ok(),
        SqlType::BigIntUnsigned | SqlType::Timestamp => value >= 0,
        _ => true,
    }
}

/// What the header of a derived record says of its columns: event time and key. Without a time of
/// its own it happens when its cause happened.
fn settle(stream: &Declared, result: &mut RecordBuf) {
    let bytes = result.bytes_mut();
    let word = |at: usize| bytes.get(at..)?.first_chunk().map(|word| u64::from_le_bytes(*word));
    let instrument = stream.bucket(bytes);
    let nulls = word(NULLS_OFFSET).unwrap_or(u64::MAX);
    let time = stream.time.filter(|column| nulls >> column & 1 == 0);
    let time = time.and_then(|column| word(stream.columns.get(column)?.field.offset));
    if let Some(header) = result.header_mut() {
        header.instrument = instrument;
        header.ts_event = time.map_or(header.ts_event, Nanos);
    }
}
