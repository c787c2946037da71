//! The windows of a rule set: one for every kind that any rule asks for.
//!
//! Invariant: two rules that look at the same rows of the same keys share one window and every
//! aggregate that both ask for.

use corelane_feeds::record::{Record, StreamId};
use zerocopy::IntoBytes;

use super::{Options, Planner, Program};
use crate::rules::ast::Name;
use crate::rules::expr::Typed;
use crate::rules::key::{KeyProgram, put_words};
use crate::rules::program::Machine;
use crate::rules::resolve::Noted;
use crate::rules::types::{Type, Value};
use crate::rules::window::{Aggregate, Frame, Spec, SpecError, Windows};
use crate::rules::windows::{WindowPlan, placeless};

/// Rows of a window, of all its keys, if a rule does not say.
const ROWS_MAX: usize = 1 << 20;

/// A window that rules share.
#[derive(Clone, Debug)]
pub(in crate::rules) struct PoolWindow {
    pub(in crate::rules) stream: StreamId,
    /// Which records it sees.
    pub(in crate::rules) filter: Option<Program>,
    pub(in crate::rules) key: KeyProgram,
    /// What is kept of a row.
    pub(in crate::rules) args: Vec<(Program, Type)>,
    pub(in crate::rules) aggregates: Vec<Aggregate>,
    pub(in crate::rules) users: usize,
    frame: Frame,
    /// How late rows of the stream may be.
    lateness: u64,
    keys_max: usize,
    rows_max: usize,
    filter_typed: Option<Typed>,
    key_typed: Vec<Typed>,
    args_typed: Vec<Typed>,
}

impl PoolWindow {
    /// What it keeps and computes.
    pub(in crate::rules) fn spec(&self) -> Spec {
        Spec {
            key_words: self.key.words(),
            frame: self.frame,
            lateness: self.lateness,
            args: self.args.iter().map(|(_, ty)| *ty).collect(),
            aggregates: self.aggregates.clone(),
            keys_max: self.keys_max,
            rows_max: self.rows_max,
        }
    }

    /// What is kept of a row, as it was written.
    pub(super) fn args_typed(&self) -> &[Typed] {
        &self.args_typed
    }

    /// What is kept of a row: a text as the word that stands for it.
    #[inline]
    pub(in crate::rules) fn arguments<'a>(
        &'a self,
        machine: &'a mut Machine,
        record: &'a Record,
    ) -> impl Iterator<Item = Value> + 'a {
        let row = record.as_bytes();
        self.args.iter().map(move |(program, ty)| {
            let value = program.run(machine, row, &[]);
            if !matches!(ty, Type::Text(_)) || !value.known {
                return value;
            }
            let mut word = [0];
            put_words(program, value, *ty, (row, machine.made()), &mut word);
            Value { bits: word[0], known: true }
        })
    }

    /// Whether its state means the same as another's.
    pub(in crate::rules) fn is_same(&self, other: &Self) -> bool {
        let of = |window: &Self| {
            (
                window.stream,
                window.frame,
                window.keys_max,
                window.rows_max,
                window.aggregates.clone(),
            )
        };
        of(self) == of(other)
            && self.filter_typed == other.filter_typed
            && (&self.key_typed, &self.args_typed) == (&other.key_typed, &other.args_typed)
    }

    /// One line of an explanation.
    pub(super) fn explain(&self) -> String {
        let bytes = Windows::new(self.spec()).map_or(0, |windows| windows.bytes_max());
        let shared = match self.users {
            0 | 1 => String::new(),
            users => format!(", shared by {users} rules"),
        };
        format!(
            "window {:?}: {} key parts, {} aggregates, at most {} keys, {} rows, {} MiB{shared}",
            self.frame,
            self.key.len(),
            self.aggregates.len(),
            self.keys_max,
            self.rows_max,
            bytes.div_ceil(1 << 20),
        )
    }

    /// Adds what a rule asks for to what is there; says where each aggregate is.
    fn join(
        &mut self,
        plan: &WindowPlan,
        args: &[(Program, Type)],
    ) -> Result<Vec<usize>, SpecError> {
        let mut next = self.clone();
        let mut columns = Vec::new();
        for (typed, compiled) in plan.args.iter().zip(args) {
            let typed = placeless(typed);
            let known = next.args_typed.iter().position(|known| *known == typed);
            columns.push(known.unwrap_or_else(|| {
                next.args_typed.push(typed);
                next.args.push(compiled.clone());
                next.args.len() - 1
            }));
        }
        let mut places = Vec::new();
        for aggregate in &plan.aggregates {
            let args = aggregate.args.iter().filter_map(|&arg| columns.get(arg).copied()).collect();
            let aggregate = Aggregate { args, ..aggregate.clone() };
            let known = next.aggregates.iter().position(|known| *known == aggregate);
            places.push(known.unwrap_or_else(|| {
                next.aggregates.push(aggregate);
                next.aggregates.len() - 1
            }));
        }
        next.spec().check()?;
        next.users += 1;
        *self = next;
        Ok(places)
    }
}

impl Planner<'_> {
    /// Finds or makes the window of a plan; says which it is, and where its aggregates are.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn pooled(
        &mut self,
        stream: StreamId,
        filter: Option<&Typed>,
        plan: &WindowPlan,
        options: &Options,
        place: &Name,
    ) -> Result<(usize, Vec<usize>), Noted> {
        let args = self.compile_all(&plan.args)?;
        let rows_max = options.rows_max.unwrap_or(ROWS_MAX);
        let filter_typed = filter.map(placeless);
        let key_typed: Vec<Typed> = plan.partition.iter().map(placeless).collect();
        for (at, window) in self.set.pool.iter_mut().enumerate() {
            let is_it = window.stream == stream
                && (window.frame, window.keys_max) == (plan.frame, options.keys_max)
                && window.rows_max == rows_max
                && (&window.filter_typed, &window.key_typed) == (&filter_typed, &key_typed);
            // One that is full is left as it is.
            if is_it && let Ok(places) = window.join(plan, &args) {
                return Ok((at, places));
            }
        }
        let mut window = PoolWindow {
            stream,
            filter: filter.map(|filter| self.compile(filter)).transpose()?,
            key: KeyProgram::new(self.compile_all(&plan.partition)?),
            args: Vec::new(),
            aggregates: Vec::new(),
            users: 0,
            frame: plan.frame,
            lateness: self.set.lateness(stream),
            keys_max: options.keys_max,
            rows_max,
            filter_typed,
            key_typed,
            args_typed: Vec::new(),
        };
        match window.join(plan, &args) {
            Ok(places) => {
                self.set.pool.push(window);
                Ok((self.set.pool.len() - 1, places))
            }
            Err(error) => {
                Err(self.wrong(place, format!("a window cannot be: {error}"), "in this rule"))
            }
        }
    }
}
