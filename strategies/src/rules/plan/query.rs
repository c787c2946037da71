//! CREATE RULE ... WHEN ... THEN, and INSERT INTO ... SELECT over one stream.

use sqlparser::ast::{NamedWindowExpr, WindowSpec};

use super::{Kind, Options, Output, Planner, Program, Rule};
use crate::rules::ast::{CreateRule, Insert, Name};
use crate::rules::catalog::Stream;
use crate::rules::expr::Typed;
use crate::rules::key::KeyProgram;
use crate::rules::resolve::Noted;
use crate::rules::types::Type;
use crate::rules::window::{Spec, Windows};
use crate::rules::windows::{WindowPlan, WindowPlans};

/// A window with its programs.
#[derive(Clone, Debug)]
pub(in crate::rules) struct WindowProgram {
    pub(in crate::rules) spec: Spec,
    /// What tells keys apart.
    pub(in crate::rules) key: KeyProgram,
    /// What is kept of a row.
    pub(in crate::rules) args: Vec<(Program, Type)>,
    /// Where its results begin among the rule's inputs.
    pub(in crate::rules) first_input: usize,
}

/// A filter, windows, a condition over their results, and what follows.
#[derive(Clone, Debug)]
pub(in crate::rules) struct QueryPlan {
    pub(in crate::rules) filter: Option<Program>,
    pub(in crate::rules) windows: Vec<WindowProgram>,
    pub(in crate::rules) inputs: usize,
    pub(in crate::rules) condition: Option<Program>,
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
    /// What it comes to, a line per part.
    pub(super) fn explain(&self, out: &mut Vec<String>) {
        if let Some(filter) = &self.filter {
            out.push(format!("filter: {} instructions", filter.len()));
        }
        for window in &self.windows {
            let bytes = Windows::new(window.spec.clone()).map_or(0, |w| w.bytes_max());
            out.push(format!(
                "window {:?}: {} key parts, {} aggregates, at most {} keys, {} rows, {} MiB",
                window.spec.frame,
                window.key.len(),
                window.spec.aggregates.len(),
                window.spec.keys_max,
                window.spec.rows_max,
                bytes.div_ceil(1 << 20),
            ));
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
        let name = self.free(&rule.name);
        let options = self.options(&rule.options);
        let stream = self.stream(&rule.stream)?;
        let (name, options) = (name?, options?);
        let mut plans = WindowPlans::default();
        let mut resolver = self.resolver(stream, &rule.stream, rule.alias.as_ref());
        plans.partition = resolver.partition(&rule.partition)?;
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
        self.query(name, &rule.name, &options, parts)
    }

    /// `INSERT INTO ... SELECT ...`.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn insert(&mut self, insert: &Insert) -> Result<(), Noted> {
        let anonymous = Name { text: "insert".to_owned(), span: insert.action.span.clone() };
        let rule_name = insert.name.as_ref().unwrap_or(&anonymous);
        let name = self.free(rule_name)?;
        let action = self.action(&insert.action);
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
        let (action, filter, qualify, values) = (action?, filter?, qualify?, values?);
        let output = self.output(&insert.action, action, &insert.columns, values)?;
        let (windows, outputs) = (plans.plans, vec![output]);
        let parts = Parts { stream, filter, windows, condition: qualify, outputs };
        self.query(name, rule_name, &Options::default(), parts)
    }

    fn query(
        &mut self,
        name: &'static str,
        place: &Name,
        options: &Options,
        parts: Parts,
    ) -> Result<(), Noted> {
        let Parts { stream, filter, windows: plans, condition, mut outputs } = parts;
        let mut windows = Vec::new();
        let mut inputs = 0;
        for plan in plans {
            let first_input = inputs;
            inputs += plan.aggregates.len();
            windows.push(self.window(plan, first_input, options, place)?);
        }
        let firsts: Vec<usize> = windows.iter().map(|window| window.first_input).collect();
        let input = |packed: usize| firsts[packed >> 16] + (packed & 0xffff);
        let filter = filter.map(|filter| self.compile(&filter)).transpose()?;
        let mut condition = condition.map(|condition| self.compile(&condition)).transpose()?;
        condition.iter_mut().for_each(|program| program.number_inputs(&input));
        let columns = outputs.iter_mut().flat_map(|output| &mut output.columns);
        columns.for_each(|column| column.program.number_inputs(&input));
        let kind = Kind::Query(QueryPlan { filter, windows, inputs, condition, outputs });
        let reads = vec![stream.schema.stream];
        self.set.rules.push(Rule { name, mode: options.mode, reads, kind });
        Ok(())
    }

    fn window(
        &mut self,
        plan: WindowPlan,
        first_input: usize,
        options: &Options,
        place: &Name,
    ) -> Result<WindowProgram, Noted> {
        let key = KeyProgram::new(self.compile_all(&plan.partition)?);
        let args = self.compile_all(&plan.args)?;
        let spec = Spec {
            key_words: key.words(),
            frame: plan.frame,
            lateness: 0,
            args: args.iter().map(|(_, ty)| *ty).collect(),
            aggregates: plan.aggregates,
            keys_max: options.keys_max,
            rows_max: options.rows_max,
        };
        if let Err(error) = Windows::new(spec.clone()) {
            return Err(self.wrong(place, format!("a window cannot be: {error}"), "in this rule"));
        }
        Ok(WindowProgram { spec, key, args, first_input })
    }
}
