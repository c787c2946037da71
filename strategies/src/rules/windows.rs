//! The windows of a rule: which aggregates are over which rows.
//!
//! Invariant: two aggregates over the same keys and frame share one window, and with it every row
//! that it keeps.

use std::ops::Range;

use sqlparser::ast::{
    Expr, OrderBySort, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
};

use super::expr::Typed;
use super::resolve::{Noted, Resolver};
use super::types::Type;
use super::window::{Aggregate, Frame, Function};

/// One window of a rule.
#[derive(Clone, Debug)]
pub(super) struct WindowPlan {
    /// What tells its keys apart.
    pub(super) partition: Vec<Typed>,
    /// Which rows are in it.
    pub(super) frame: Frame,
    /// What of a row it keeps.
    pub(super) args: Vec<Typed>,
    /// What is asked of it.
    pub(super) aggregates: Vec<Aggregate>,
}

/// The windows of a rule, and what a window's text may leave out.
#[derive(Clone, Debug, Default)]
pub(super) struct WindowPlans {
    /// `PARTITION BY` of a rule: for windows that name no keys of their own.
    pub(super) partition: Vec<Typed>,
    /// `WINDOW name AS (...)`.
    pub(super) named: Vec<(String, WindowSpec)>,
    /// Those found so far.
    pub(super) plans: Vec<WindowPlan>,
    /// Aggregates are over groups: they name no window, and there is one plan for all.
    pub(super) is_group: bool,
}

/// The expression without its place in the text: equal to every other of the same meaning.
pub(super) fn placeless(typed: &Typed) -> Typed {
    let mut typed = typed.clone();
    typed.each_mut(&mut |typed| typed.span = 0..0);
    typed
}

fn all_same(left: &[Typed], right: &[Typed]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(a, b)| same(a, b))
}

/// Same meaning, wherever it stands.
pub(super) fn same(left: &Typed, right: &Typed) -> bool {
    placeless(left) == placeless(right)
}

impl WindowPlans {
    /// Adds an aggregate, to a window of the same rows if there is one; says which window and where
    /// in it.
    pub(super) fn add(
        &mut self,
        partition: Vec<Typed>,
        frame: Frame,
        function: Function,
        args: Vec<Typed>,
    ) -> (usize, usize, Type) {
        let is_it =
            |plan: &WindowPlan| plan.frame == frame && all_same(&plan.partition, &partition);
        let window = self.plans.iter().position(is_it).unwrap_or_else(|| {
            let (args, aggregates) = (Vec::new(), Vec::new());
            self.plans.push(WindowPlan { partition, frame, args, aggregates });
            self.plans.len() - 1
        });
        let plan = &mut self.plans[window];
        let arg_type = args.first().map(|arg| arg.ty);
        let mut places = Vec::new();
        for arg in args {
            let known = plan.args.iter().position(|known| same(known, &arg));
            places.push(known.unwrap_or_else(|| {
                plan.args.push(arg);
                plan.args.len() - 1
            }));
        }
        let aggregate = Aggregate { function, args: places, arg_type };
        let ty = aggregate.result_type();
        let known = plan.aggregates.iter().position(|known| *known == aggregate);
        let place = known.unwrap_or_else(|| {
            plan.aggregates.push(aggregate);
            plan.aggregates.len() - 1
        });
        (window, place, ty)
    }
}

impl Resolver<'_> {
    /// The keys and frame of `OVER ...`.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn window(
        &mut self,
        over: &WindowType,
        span: &Range<usize>,
    ) -> Result<(Vec<Typed>, Frame), Noted> {
        let named = |resolver: &Self, name: &str| {
            let plans = resolver.windows.as_deref()?;
            let found = plans.named.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
            Some(found.1.clone())
        };
        let spec = match over {
            WindowType::WindowSpec(spec) if spec.window_name.is_none() => spec.clone(),
            WindowType::WindowSpec(spec) => {
                let name = spec.window_name.as_ref().map_or("", |name| &name.value);
                let Some(mut base) = named(self, name) else {
                    return Err(self.no_window(name, span));
                };
                if spec.window_frame.is_some() {
                    base.window_frame.clone_from(&spec.window_frame);
                }
                base
            }
            WindowType::NamedWindow(name) => match named(self, &name.value) {
                Some(spec) => spec,
                None => return Err(self.no_window(&name.value, span)),
            },
        };
        let partition = if spec.partition_by.is_empty() {
            self.windows.as_deref().map(|plans| plans.partition.clone()).unwrap_or_default()
        } else {
            self.partition(&spec.partition_by)?
        };
        for order in &spec.order_by {
            let by = self.expr(&order.expr)?;
            let descending = !matches!(order.options.sort, None | Some(OrderBySort::Asc));
            if by.ty != Type::Timestamp || descending || spec.order_by.len() > 1 {
                let title = "a window is ordered by the event time";
                return Err(self.wrong(by.span, title, "leave this out, or ORDER BY ts_event"));
            }
        }
        let Some(frame) = &spec.window_frame else { return Ok((partition, Frame::Unbounded)) };
        Ok((partition, self.frame(frame, span)?))
    }

    /// Keys of a window: no aggregates in them.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn partition(&mut self, by: &[Expr]) -> Result<Vec<Typed>, Noted> {
        let windows = self.windows.take();
        let keys: Result<Vec<Typed>, Noted> = by.iter().map(|key| self.expr(key)).collect();
        self.windows = windows;
        keys
    }

    fn no_window(&mut self, name: &str, span: &Range<usize>) -> Noted {
        self.wrong(span.clone(), format!("unknown window `{name}`"), "no WINDOW of this name")
    }

    fn frame(&mut self, frame: &WindowFrame, span: &Range<usize>) -> Result<Frame, Noted> {
        if !matches!(frame.end_bound, None | Some(WindowFrameBound::CurrentRow)) {
            let title = "a window ends with the current row";
            return Err(self.wrong(span.clone(), title, "nothing that follows is known yet"));
        }
        let preceding = match &frame.start_bound {
            WindowFrameBound::Preceding(None) => return Ok(Frame::Unbounded),
            WindowFrameBound::Preceding(Some(preceding)) => self.expr(preceding)?,
            // As `RANGE INTERVAL '60' SECOND PRECEDING`, and for ROWS the row itself.
            WindowFrameBound::CurrentRow => return Ok(Frame::Rows(0)),
            WindowFrameBound::Following(_) => {
                return Err(self.wrong(span.clone(), "a window begins before its row", "here"));
            }
        };
        let bound = preceding.constant().and_then(|bound| u64::try_from(bound).ok());
        match (frame.units, preceding.ty, bound) {
            (WindowFrameUnits::Range, Type::Interval, Some(ns)) => Ok(Frame::Range(ns)),
            (WindowFrameUnits::Rows, Type::Int, Some(rows)) => Ok(Frame::Rows(rows)),
            (WindowFrameUnits::Groups, ..) => {
                Err(self.wrong(span.clone(), "GROUPS windows are not there", "RANGE and ROWS are"))
            }
            _ => {
                let title = "RANGE takes an interval and ROWS a number of rows, both constant";
                Err(self.wrong(preceding.span, title, "here"))
            }
        }
    }
}
