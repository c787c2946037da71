//! Queries whose rows are told later: `WITH (delay = ...)` and `WITH (every = ...)`, with ORDER BY
//! and LIMIT of those that are told together.
//!
//! Invariant: what is selected is of the row alone, which is there still when it is told.

use corelane_feeds::streams::sys::Tick;

use super::{Kind, Options, Output, Planner, Rule};
use crate::rules::ast::{Insert, Name};
use crate::rules::catalog::Stream;
use crate::rules::expr::Typed;
use crate::rules::hold::{Hold, HoldPlan, Order, Until};
use crate::rules::resolve::Noted;

/// Rows that are held, if a rule does not say.
const ROWS_MAX: usize = 1 << 16;

impl Options {
    /// Until when rows are held, if they are.
    pub(super) fn held(&self) -> Option<Until> {
        let every = |every| Until::Every { every, offset: self.offset };
        self.delay.map(Until::After).or_else(|| self.every.map(every))
    }
}

impl Planner<'_> {
    /// Notes a mistake if there are options of queries whose rows are held.
    ///
    /// # Errors
    /// If there are.
    pub(super) fn none_held(&mut self, options: &Options) -> Result<(), Noted> {
        let Some(key) = &options.of_held else { return Ok(()) };
        let title = format!("`{}` goes with rows of one stream", key.text);
        Err(self.wrong(key, title, "make this a view, and hold its rows"))
    }

    /// Notes that an offset alone is no time.
    pub(super) fn every_what(&mut self, options: &Options) -> Noted {
        let Some(key) = &options.of_held else { return Noted };
        self.wrong(key, format!("`{}` goes with `every`", key.text), "every what?")
    }

    /// A query whose rows are told later.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn hold(
        &mut self,
        name: &'static str,
        options: &Options,
        until: Until,
        (stream, filter): (Stream, Option<&Typed>),
        (output, order): (Output, Vec<Typed>),
        insert: &Insert,
    ) -> Result<(), Noted> {
        if let (Some(key), Some(_), Some(_)) = (&options.of_held, options.delay, options.every) {
            let title = "rows are told after a delay, or every so often".to_owned();
            return Err(self.wrong(key, title, "not both"));
        }
        let mut parts = Vec::new();
        for (typed, (_, is_descending)) in order.into_iter().zip(&insert.order) {
            let (program, ty) = (self.compile(&typed)?, typed.ty);
            parts.push(Order { program, ty, is_descending: *is_descending });
        }
        let plan = HoldPlan {
            until,
            order: parts,
            limit: insert.limit.map(|limit| limit as usize),
            filter: filter.map(|filter| self.compile(filter)).transpose()?,
            outputs: vec![output],
            words: stream.schema.bytes / 8,
            rows_max: options.rows_max.unwrap_or(ROWS_MAX),
            lateness: options.lateness,
        };
        let reads = vec![stream.schema.stream, Tick::STREAM];
        let kind = Kind::Hold(Box::new(plan));
        self.set.rules.push(Rule::new(name, options, reads, Vec::new(), kind));
        Ok(())
    }

    /// Notes a mistake if a query whose rows are told one by one orders or limits them.
    ///
    /// # Errors
    /// If it does.
    pub(super) fn no_order(&mut self, insert: &Insert) -> Result<(), Noted> {
        if insert.order.is_empty() && insert.limit.is_none() {
            return Ok(());
        }
        let span =
            insert.name.as_ref().map_or(insert.action.span.clone(), |name| name.span.clone());
        let title = "ORDER BY or LIMIT has no meaning where rows are told one by one";
        self.diagnostics.push(span, title, "here");
        self.diagnostics.help("WITH (every = '1s') tells rows of one stream together");
        Err(Noted)
    }

    /// Windows are over rows as they come.
    ///
    /// # Errors
    /// If there are any.
    pub(super) fn no_windows(&mut self, place: &Name, is_any: bool) -> Result<(), Noted> {
        if !is_any {
            return Ok(());
        }
        let title = "what windows say of a row is not held with it".to_owned();
        Err(self.wrong(place, title, "make this a view, and hold its rows"))
    }
}

impl HoldPlan {
    /// What it comes to, a line per part.
    pub(super) fn explain(&self, out: &mut Vec<String>) {
        if let Some(filter) = &self.filter {
            out.push(format!("filter: {} instructions", filter.len()));
        }
        let ns = |ns: u64| format!("{:?}", std::time::Duration::from_nanos(ns));
        let until = match self.until {
            Until::After(delay) => format!("for {}", ns(delay)),
            Until::Every { every, offset } => {
                format!("to the next {} from {}", ns(every), ns(offset))
            }
        };
        let order = match (self.order.len(), self.limit) {
            (0, None) => String::new(),
            (parts, None) => format!(", in order of {parts} parts"),
            (parts, Some(limit)) => format!(", the first {limit} in order of {parts} parts"),
        };
        out.push(format!(
            "rows are held {until}{order}, at most {} of them, {} MiB",
            self.rows_max,
            Hold::bytes(self).div_ceil(1 << 20),
        ));
        out.extend(self.outputs.iter().map(|output| format!("then {}", output.schema.name)));
    }
}
