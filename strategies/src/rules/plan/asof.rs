//! As-of joins: MATCH_CONDITION to a direction, ON to keys and a bound.
//!
//! Invariant: what is kept has a bound: looking back, a row of each key; looking ahead, the time
//! for which a row waits.

use corelane_feeds::streams::sys::Tick;

use super::join::{Named, On, Sides};
use super::{Kind, Output, Planner, Program, Rule};
use crate::rules::ast::{JoinClause, Name};
use crate::rules::expr::Typed;
use crate::rules::join::{AsOf, AsOfPlan, Closest, JoinKind};
use crate::rules::key::KeyProgram;
use crate::rules::resolve::Noted;
use crate::rules::types::Type;

/// What a bound that nobody named is: no time is so far from another.
const ANY: i64 = i64::MAX;

impl Planner<'_> {
    /// Which row is the closest, and how far it may be: `right.ts - left.ts` lies between both.
    fn closest(
        &mut self,
        join: &JoinClause,
        sides: &Sides,
        condition: &Typed,
        on: &On,
        within: Option<i64>,
    ) -> Result<(Closest, (i64, i64)), Noted> {
        let (closest, edge) = match self.distance(sides, condition) {
            Some((None, Some(high @ (0 | -1)))) => (Closest::Before, high),
            Some((Some(low @ (0 | 1)), None)) => (Closest::After, low),
            _ => {
                let title = "MATCH_CONDITION compares the event times of both sides";
                self.diagnostics.push(condition.span.clone(), title, "by >=, >, <= or <");
                return Err(Noted);
            }
        };
        let here = Name { text: String::new(), span: join.span.clone() };
        let against = match closest {
            Closest::Before => on.high,
            Closest::After => on.low,
        };
        if against.is_some() {
            let title = "ON leaves out the closest row".to_owned();
            let label = "it bounds how far the row may be, MATCH_CONDITION on which side it is";
            return Err(self.wrong(&here, title, label));
        }
        // A span of exactly WITHIN is outside.
        let between = match (closest, on.low, on.high) {
            (Closest::Before, low, _) => {
                let within = within.map(|ns| 1 - ns);
                (low.max(within).unwrap_or(-ANY), edge)
            }
            (Closest::After, _, high) => {
                let within = within.map(|ns| ns - 1);
                let bound = high.into_iter().chain(within).min();
                let Some(high) = bound else {
                    let title = "the as-of join has no bound on how long a row waits".to_owned();
                    let noted = self.wrong(&here, title, "the row behind it might never come");
                    self.diagnostics.help(
                        "add to ON that the right row comes at most so much later: \
                         b.ts_event <= a.ts_event + INTERVAL '5' SECOND",
                    );
                    return Err(noted);
                };
                (edge, high)
            }
        };
        Ok((closest, between))
    }

    /// A join with the closest row, ON being taken apart.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn as_of(
        &mut self,
        named: &Named<'_>,
        join: &JoinClause,
        sides: &Sides,
        (condition, on, within): (&Typed, &On, Option<i64>),
        filter: Option<&Typed>,
        outputs: [Vec<Output>; 3],
    ) -> Result<(), Noted> {
        let (closest, between) = self.closest(join, sides, condition, on, within)?;
        if let Some(rest) = on.rest.first() {
            let title = "ON of an as-of join says what is equal, and how far the row may be";
            let noted = (rest.span.clone(), title, "put this into WHERE");
            self.diagnostics.push(noted.0, noted.1, noted.2);
            self.diagnostics.help("or join a view of the rows among which the closest is wanted");
            return Err(Noted);
        }
        let keys = [
            KeyProgram::new(self.compile_all(&on.keys[0])?),
            KeyProgram::new(self.compile_all(&on.keys[1])?),
        ];
        let mut filters: [Option<Program>; 2] = Default::default();
        if let Some(filter) = filter {
            let alone = sides.without(1, filter);
            filters = [Some(self.compile(filter)?), Some(self.compile(&alone)?)];
        }
        let [pair, alone, _] = outputs;
        let plan = AsOfPlan {
            closest,
            between,
            is_left: join.kind == JoinKind::Left,
            keys,
            filters,
            outputs: [pair, alone],
            words: sides.streams.map(|stream| stream.schema.bytes / 8),
            rows_max: named.rows_max(),
            lateness: named.options.lateness,
        };
        let mut reads = sides.streams.map(|stream| stream.schema.stream).to_vec();
        reads.push(Tick::STREAM);
        let state = self.states_of(sides, on)?;
        let kind = Kind::AsOf(Box::new(plan));
        self.set.rules.push(Rule::new(named.name, named.options, reads, state, kind));
        Ok(())
    }

    /// WITHIN in nanoseconds.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn within(&mut self, within: &Typed) -> Result<i64, Noted> {
        let bound = within.constant().filter(|ns| within.ty == Type::Interval && *ns > 0);
        bound.ok_or_else(|| {
            self.diagnostics.push(within.span.clone(), "WITHIN takes an INTERVAL", "here");
            Noted
        })
    }
}

impl AsOfPlan {
    /// What it comes to, a line per part.
    pub(super) fn explain(&self, out: &mut Vec<String>) {
        let (low, high) = self.between;
        let (which, far, kept) = match self.closest {
            Closest::Before => ("the latest right row before", low, "one row of each key stays"),
            Closest::After => ("the earliest right row after", high, "no row stays"),
        };
        let far = match far.checked_abs() {
            None | Some(ANY) => "at any distance".to_owned(),
            Some(ns) => format!("at most {} s away", ns as f64 / 1e9),
        };
        let left = if self.is_left { "left " } else { "" };
        out.push(format!(
            "{left}as-of join on {} key parts: {which} the left one, {far}; {kept} behind the \
             watermark, at most {} rows a side, {} MiB",
            self.keys[0].len(),
            self.rows_max,
            AsOf::bytes(self).div_ceil(1 << 20),
        ));
        out.extend(self.outputs[0].iter().map(|output| format!("then {}", output.schema.name)));
    }
}
