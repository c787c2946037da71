//! CREATE RULE ... WHEN ... THEN, and INSERT INTO ... SELECT over one stream.

use sqlparser::ast::{NamedWindowExpr, WindowSpec};

use super::{Guard, Kind, Options, Output, Planner, PoolWindow, Program, Rule, Values};
use crate::rules::ast::{CreateRule, Insert, Name};
use crate::rules::catalog::Stream;
use crate::rules::expr::Typed;
use crate::rules::resolve::Noted;
use crate::rules::windows::{WindowPlan, WindowPlans};

/// A filter, windows, a condition over their results, and what follows. An input of its programs is
/// a window of the pool and, in the lower half, one of its aggregates.
#[derive(Clone, Debug)]
pub(in crate::rules) struct QueryPlan {
    pub(in crate::rules) filter: Option<Program>,
    /// Its windows in the pool.
    pub(in crate::rules) windows: Vec<usize>,
    pub(in crate::rules) condition: Option<Program>,
    /// What a record must be.
    pub(in crate::rules) guard: Option<Guard>,
    pub(in crate::rules) outputs: Vec<Output>,
}

/// The parts of a query with their names bound.
struct Parts {
    stream: Stream,
    filter: Option<Typed>,
    windows: Vec<WindowPlan>,
    condition: Option<Typed>,
    outputs: Vec<Output>,
}

impl QueryPlan {
    /// The same with every input numbered by what `number` says of its window and aggregate.
    pub(in crate::rules) fn numbered(&self, number: &dyn Fn(usize, usize) -> usize) -> Self {
        let number = |packed: usize| number(packed >> 16, packed & 0xffff);
        let mut plan = self.clone();
        plan.condition.iter_mut().for_each(|program| program.number_inputs(&number));
        let columns = plan.outputs.iter_mut().flat_map(|output| &mut output.columns);
        columns.for_each(|column| column.program.number_inputs(&number));
        plan
    }

    /// What it comes to, a line per part.
    pub(super) fn explain(&self, pool: &[PoolWindow], out: &mut Vec<String>) {
        if let Some(filter) = &self.filter {
            out.push(format!("filter: {} instructions", filter.len()));
        }
        out.extend(self.windows.iter().filter_map(|&at| Some(pool.get(at)?.explain())));
        if let Some(guard) = &self.guard {
            let by = match &guard.values {
                Values::OneOf(words) => format!("{} values", words.len()),
                Values::Between(..) => "a range".to_owned(),
            };
            out.push(format!("indexed by {by} of the column at byte {}", guard.column.offset));
        }
        if let Some(condition) = &self.condition {
            out.push(format!("condition: {} instructions", condition.len()));
        }
        out.extend(self.outputs.iter().map(|output| format!("then {}", output.schema.name)));
    }
}

impl Planner<'_> {
    /// `CREATE RULE ... WHEN ... THEN ...`.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn rule(&mut self, rule: &CreateRule) -> Result<(), Noted> {
        if let Some(join) = &rule.join {
            return self.join_rule(rule, join);
        }
        let name = self.free(&rule.name);
        let options = self.options(&rule.options);
        let stream = self.stream(&rule.stream)?;
        let (name, options) = (name?, options?);
        self.no_groups(&options)?;
        if let Some(other) = &options.name {
            let title = "a rule has a name already".to_owned();
            return Err(self.wrong(other, title, "another one"));
        }
        let mut plans = WindowPlans::default();
        let mut resolver = self.resolver(stream, &rule.stream, rule.alias.as_ref());
        plans.partition = resolver.partition(&rule.partition)?;
        let partition = plans.partition.clone();
        resolver.windows = Some(&mut plans);
        let condition = resolver.condition(&rule.when);
        let calls: Vec<Result<Vec<Typed>, Noted>> = rule
            .then
            .iter()
            .map(|call| call.args.iter().map(|a| resolver.expr(a)).collect())
            .collect();
        let mut outputs = Vec::new();
        for (call, args) in rule.then.iter().zip(calls) {
            outputs.push(self.call(call, args?));
        }
        let condition = condition?;
        let outputs = outputs.into_iter().collect::<Result<Vec<_>, _>>()?;
        let windows = plans.plans;
        let parts = Parts { stream, filter: None, windows, condition: Some(condition), outputs };
        let arm = self.arm(&rule.name, &options, &partition)?;
        self.query(name, &rule.name, &options, parts)?;
        if let Some(planned) = self.set.rules.last_mut() {
            planned.arm = arm;
        }
        Ok(())
    }

    /// `INSERT INTO ... SELECT ...`.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn insert(&mut self, insert: &Insert) -> Result<(), Noted> {
        let options = self.options(&insert.options)?;
        let rule_name = match (&options.name, &insert.name) {
            (Some(name), _) => name,
            (None, Some(name)) if !insert.is_view => name,
            _ => &insert.action,
        };
        let name = self.free(rule_name)?;
        self.arm(rule_name, &options, &[])?;
        if let Some(join) = &insert.join {
            return self.join_insert(name, insert, join, &options);
        }
        if !insert.group.is_empty() {
            return self.grouped(name, insert, &options);
        }
        let held = options.held();
        match held {
            Some(_) => self.no_group_windows(&options)?,
            None if options.of_held.is_some() => return Err(self.every_what(&options)),
            None => self.no_groups(&options)?,
        }
        let known = if insert.is_view { Ok(()) } else { self.target(&insert.action).map(drop) };
        let stream = self.stream(&insert.stream)?;
        let mut plans = WindowPlans::default();
        for window in &insert.windows {
            match &window.1 {
                NamedWindowExpr::WindowSpec(spec) => {
                    let spec: WindowSpec = spec.clone();
                    plans.named.push((window.0.value.clone(), spec));
                }
                NamedWindowExpr::NamedWindow(_) => {
                    return Err(self.wrong(rule_name, "a window is (...)".to_owned(), "here"));
                }
            }
        }
        let mut resolver = self.resolver(stream, &insert.stream, insert.alias.as_ref());
        let filter = insert.filter.as_ref().map(|filter| resolver.condition(filter)).transpose();
        resolver.windows = Some(&mut plans);
        let qualify = insert.qualify.as_ref().map(|expr| resolver.condition(expr)).transpose();
        let values: Result<Vec<Typed>, Noted> =
            insert.select.iter().map(|expr| resolver.expr(expr)).collect();
        let order: Result<Vec<Typed>, Noted> =
            insert.order.iter().map(|(expr, _)| resolver.expr(expr)).collect();
        let (filter, qualify, values, order) = (filter?, qualify?, values?, order?);
        known?;
        let lateness = self.set.lateness(stream.schema.stream);
        let output = self.destination(insert, stream, values, lateness)?;
        if let Some(until) = held {
            let is_any = !plans.plans.is_empty() || qualify.is_some();
            self.no_windows(rule_name, is_any)?;
            let rows = (stream, filter.as_ref());
            return self.hold(name, &options, until, rows, (output, order), insert);
        }
        self.no_order(insert)?;
        let (windows, outputs) = (plans.plans, vec![output]);
        let parts = Parts { stream, filter, windows, condition: qualify, outputs };
        self.query(name, rule_name, &options, parts)
    }

    fn query(
        &mut self,
        name: &'static str,
        place: &Name,
        options: &Options,
        parts: Parts,
    ) -> Result<(), Noted> {
        let Parts { stream, filter, windows: plans, condition, mut outputs } = parts;
        let id = stream.schema.stream;
        let mut windows = Vec::new();
        let mut places = Vec::new();
        for plan in &plans {
            let (window, at) = self.pooled(id, filter.as_ref(), plan, options, place)?;
            windows.push(window);
            places.push(at);
        }
        let state: Result<Vec<_>, Noted> =
            plans.iter().map(|plan| self.state_key(stream, &plan.partition)).collect();
        let input = |packed: usize| {
            let (window, aggregate) = (packed >> 16, packed & 0xffff);
            windows[window] << 16 | places[window][aggregate]
        };
        let all: Vec<&Typed> = filter.iter().chain(&condition).collect();
        let guard = self.guard(&all)?;
        let filter = filter.map(|filter| self.compile(&filter)).transpose()?;
        let mut condition = condition.map(|condition| self.compile(&condition)).transpose()?;
        condition.iter_mut().for_each(|program| program.number_inputs(&input));
        let columns = outputs.iter_mut().flat_map(|output| &mut output.columns);
        columns.for_each(|column| column.program.number_inputs(&input));
        let plan = QueryPlan { filter, windows, condition, guard, outputs };
        let kind = Kind::Query(Box::new(plan));
        self.set.rules.push(Rule::new(name, options, vec![id], state?, kind));
        Ok(())
    }
}
