//! Statements to rules that can run: names bound, types checked, programs compiled.
//!
//! Invariant: a rule set is whole or not at all; what is wrong with it is shown, all of it, where
//! it stands.

use std::fmt::Write as _;

use corelane_feeds::record::StreamId;
use corelane_feeds::schema::{Field, Schema, SqlType};
use sqlparser::ast::{NamedWindowExpr, WindowSpec};

use super::ast::{Call, CreateRule, Insert, Name, RuleOption, Statement};
use super::catalog::{Action, Catalog, Stream};
use super::expr::Typed;
use super::parse::{Places, parse};
use super::program::Program;
use super::resolve::{Noted, Resolver};
use super::types::Type;
use super::windows::{WindowPlan, WindowPlans};
use crate::diagnostics::{Diagnostics, TextError, nearest};
use crate::rules::window::{Spec, Windows};

/// Keys of a window, if a rule does not say.
const KEYS_MAX: usize = 100_000;
/// Rows of a window, of all its keys, if a rule does not say.
const ROWS_MAX: usize = 1 << 20;
/// Rules of a set.
const RULES_MAX: usize = 60_000;

/// What a rule may do.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// Its actions are taken.
    #[default]
    Live,
    /// It is evaluated and counted, and takes no action.
    Shadow,
}

/// A value of an action's column.
#[derive(Clone, Debug)]
pub(super) struct OutputColumn {
    pub(super) field: &'static Field,
    /// Its bit in the mask of NULLs.
    pub(super) bit: u32,
    pub(super) program: Program,
}

/// An action that a rule takes.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) schema: &'static Schema,
    /// Where the mask of NULLs stands, if there is one, and its bits.
    pub(super) nulls: Option<usize>,
    pub(super) null_bits: u64,
    pub(super) columns: Vec<OutputColumn>,
}

/// A window with its programs.
#[derive(Clone, Debug)]
pub(super) struct WindowProgram {
    pub(super) spec: Spec,
    /// What tells keys apart: each with its type.
    pub(super) key: Vec<(Program, Type)>,
    /// What is kept of a row.
    pub(super) args: Vec<(Program, Type)>,
    /// Where its results begin among the rule's inputs.
    pub(super) first_input: usize,
}

/// A compiled rule.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) mode: Mode,
    pub(super) stream: Stream,
    pub(super) filter: Option<Program>,
    pub(super) windows: Vec<WindowProgram>,
    pub(super) inputs: usize,
    pub(super) condition: Option<Program>,
    pub(super) outputs: Vec<Output>,
}

/// The rules of one or more files, checked and compiled.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    catalog: Catalog,
    pub(super) rules: Vec<Rule>,
}

impl RuleSet {
    /// No rules.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the rules of a file's text; `path` names it in messages.
    ///
    /// # Errors
    /// Every mistake of the text; the set is then as it was.
    pub fn add(&mut self, path: &str, text: &str) -> Result<(), TextError> {
        let mut diagnostics = Diagnostics::default();
        let statements = parse(text, &mut diagnostics);
        let mut next = self.clone();
        let places = Places::new(text);
        for statement in &statements {
            if let Statement::Action(create) = statement {
                next.catalog.declare(create, &mut diagnostics);
            }
        }
        for statement in &statements {
            let mut planner =
                Planner { set: &mut next, places: &places, diagnostics: &mut diagnostics };
            // What went wrong was noted; the other statements are looked at all the same.
            let _noted = match statement {
                Statement::Action(_) => Ok(()),
                Statement::Rule(rule) => planner.rule(rule),
                Statement::Insert(insert) => planner.insert(insert),
            };
        }
        diagnostics.into_result(path, text)?;
        *self = next;
        Ok(())
    }

    /// The rules' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.name)
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The actions that were declared.
    #[must_use]
    pub fn declared(&self) -> &[&'static Schema] {
        self.catalog.declared()
    }

    /// The streams that any rule looks at.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamId> {
        let mut streams: Vec<StreamId> =
            self.rules.iter().map(|rule| rule.stream.schema.stream).collect();
        streams.sort_unstable();
        streams.dedup();
        streams
    }

    /// What the rules come to: per rule its operators, its state and that state's bound.
    #[must_use]
    pub fn explain(&self) -> String {
        let mut out = String::new();
        for rule in &self.rules {
            let mode = if rule.mode == Mode::Shadow { " (shadow)" } else { "" };
            // Writing to a string cannot fail.
            let _ = writeln!(out, "rule {}{mode} on {}", rule.name, rule.stream.schema.name);
            if let Some(filter) = &rule.filter {
                let _ = writeln!(out, "  filter: {} instructions", filter.len());
            }
            for window in &rule.windows {
                let bytes = Windows::new(window.spec.clone()).map_or(0, |w| w.bytes_max());
                let _ = writeln!(
                    out,
                    "  window {:?}: {} key parts, {} aggregates, at most {} keys, {} rows, {} MiB",
                    window.spec.frame,
                    window.key.len(),
                    window.spec.aggregates.len(),
                    window.spec.keys_max,
                    window.spec.rows_max,
                    bytes.div_ceil(1 << 20),
                );
            }
            if let Some(condition) = &rule.condition {
                let _ = writeln!(out, "  condition: {} instructions", condition.len());
            }
            for output in &rule.outputs {
                let _ = writeln!(out, "  then {}", output.schema.name);
            }
        }
        out
    }
}

struct Planner<'a> {
    set: &'a mut RuleSet,
    places: &'a Places<'a>,
    diagnostics: &'a mut Diagnostics,
}

/// What the options of a rule say.
struct Options {
    mode: Mode,
    keys_max: usize,
    rows_max: usize,
}

impl Planner<'_> {
    fn wrong(&mut self, name: &Name, title: String, label: &str) -> Noted {
        self.diagnostics.push(name.span.clone(), title, label);
        Noted
    }

    fn stream(&mut self, name: &Name) -> Result<Stream, Noted> {
        if let Some(stream) = self.set.catalog.stream(&name.text) {
            return Ok(stream);
        }
        let noted = self.wrong(name, format!("unknown stream `{}`", name.text), "no such stream");
        let names = corelane_feeds::streams::ALL.iter().map(|schema| schema.name);
        self.diagnostics.help(match nearest(&name.text, names) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "`corelane list streams` shows them all".to_owned(),
        });
        Err(noted)
    }

    fn action(&mut self, name: &Name) -> Result<Action, Noted> {
        if let Some(action) = self.set.catalog.action(&name.text) {
            return Ok(action);
        }
        let noted = self.wrong(name, format!("unknown action `{}`", name.text), "no such action");
        let known: Vec<&str> = self.set.catalog.action_names().collect();
        self.diagnostics.help(match nearest(&name.text, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("known are {}; CREATE ACTION declares one", known.join(", ")),
        });
        Err(noted)
    }

    fn free(&mut self, name: &Name) -> Result<&'static str, Noted> {
        let text = name.text.to_ascii_lowercase();
        if self.set.rules.iter().any(|rule| rule.name == text) {
            return Err(self.wrong(name, format!("the rule `{text}` is there already"), "again"));
        }
        if self.set.rules.len() == RULES_MAX {
            return Err(self.wrong(name, format!("more than {RULES_MAX} rules"), "one too many"));
        }
        Ok(Box::leak(text.into_boxed_str()))
    }

    fn options(&mut self, options: &[RuleOption]) -> Result<Options, Noted> {
        let mut read = Options { mode: Mode::Live, keys_max: KEYS_MAX, rows_max: ROWS_MAX };
        let known = ["mode", "keys_max", "rows_max", "version"];
        for RuleOption { key, value } in options {
            let number = || value.text.parse().ok().filter(|n| (1..=1 << 28).contains(n));
            match (key.text.to_ascii_lowercase().as_str(), value.text.as_str()) {
                ("mode", "live") => read.mode = Mode::Live,
                ("mode", "shadow") => read.mode = Mode::Shadow,
                ("keys_max", _) if number().is_some() => read.keys_max = number().unwrap_or(1),
                ("rows_max", _) if number().is_some() => read.rows_max = number().unwrap_or(1),
                ("version", text) if text.parse::<u32>().is_ok() => {}
                (name, _) if known.contains(&name) => {
                    let title = format!("`{}` is no value of `{name}`", value.text);
                    let label = match name {
                        "mode" => "'live' and 'shadow' are",
                        _ => "a whole number from 1 is",
                    };
                    return Err(self.wrong(value, title, label));
                }
                (name, _) => {
                    let meant = nearest(name, known);
                    let noted = self.wrong(key, format!("unknown option `{name}`"), "not known");
                    self.diagnostics.help(match meant {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => format!("known options: {}", known.join(", ")),
                    });
                    return Err(noted);
                }
            }
        }
        Ok(read)
    }

    fn rule(&mut self, rule: &CreateRule) -> Result<(), Noted> {
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
        self.finish(name, &rule.name, &options, stream, None, plans.plans, Some(condition), outputs)
    }

    fn insert(&mut self, insert: &Insert) -> Result<(), Noted> {
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
        let options = Options { mode: Mode::Live, keys_max: KEYS_MAX, rows_max: ROWS_MAX };
        let outputs = vec![output];
        self.finish(name, rule_name, &options, stream, filter, plans.plans, qualify, outputs)
    }

    fn resolver(&mut self, stream: Stream, name: &Name, alias: Option<&Name>) -> Resolver<'_> {
        let short = stream.schema.name.split_once('.').map_or("", |(_, short)| short);
        let mut names = vec![name.text.clone(), short.to_owned()];
        names.extend(alias.map(|alias| alias.text.clone()));
        let Self { places, diagnostics, .. } = self;
        Resolver { stream, names, windows: None, places, diagnostics }
    }

    fn call(&mut self, call: &Call, args: Vec<Typed>) -> Result<Output, Noted> {
        let action = self.action(&call.action)?;
        self.output(&call.action, action, &[], args)
    }

    /// The values of an action's columns, converted to what the columns store.
    fn output(
        &mut self,
        name: &Name,
        action: Action,
        columns: &[Name],
        values: Vec<Typed>,
    ) -> Result<Output, Noted> {
        let all: Vec<(u32, &'static Field)> = (0..).zip(action.columns()).collect();
        let mut wanted = Vec::new();
        for column in columns {
            let found = all.iter().find(|(_, f)| f.name.eq_ignore_ascii_case(&column.text));
            let Some(found) = found else {
                let title = format!("`{}` has no column `{}`", action.schema.name, column.text);
                let noted = self.wrong(column, title, "unknown column");
                let names: Vec<&str> = all.iter().map(|(_, field)| field.name).collect();
                self.diagnostics.help(format!("its columns: {}", names.join(", ")));
                return Err(noted);
            };
            wanted.push(*found);
        }
        let wanted = if columns.is_empty() { all } else { wanted };
        if wanted.len() != values.len() {
            let title =
                format!("`{}` takes {} values, not {}", name.text, wanted.len(), values.len());
            let noted = self.wrong(name, title, "another number of columns");
            let names: Vec<&str> = wanted.iter().map(|(_, field)| field.name).collect();
            self.diagnostics.help(format!("its columns: {}", names.join(", ")));
            return Err(noted);
        }
        let mut programs = Vec::new();
        for ((bit, field), value) in wanted.into_iter().zip(values) {
            let value = self.stored(field, value)?;
            programs.push((bit, field, value));
        }
        let nulls = action.nulls_offset();
        let null_bits = (1u64 << action.columns().count().min(63)) - 1;
        let columns = programs
            .into_iter()
            .map(|(bit, field, value)| {
                Ok(OutputColumn { field, bit, program: self.compile(&value)? })
            })
            .collect::<Result<Vec<_>, Noted>>()?;
        Ok(Output { schema: action.schema, nulls, null_bits, columns })
    }

    fn stored(&mut self, field: &Field, value: Typed) -> Result<Typed, Noted> {
        let ty = Type::of(field.sql);
        let fits = match (value.ty, ty) {
            (a, b) if a == b => true,
            (a, b) if a.is_number() && b.is_number() => true,
            (Type::Text(_), Type::Text(_)) => true,
            (Type::Interval | Type::Timestamp | Type::Bool, Type::Int) => true,
            _ => matches!(value.node, super::expr::Node::Null),
        };
        if !fits {
            let title = format!("the column `{}` is {ty}", field.name);
            self.diagnostics.push(value.span, title, format!("this is {}", value.ty));
            return Err(Noted);
        }
        if let (super::expr::Node::Text(text), SqlType::Char(n)) = (&value.node, field.sql)
            && text.len() > usize::from(n)
        {
            let title = format!("the column `{}` has room for {n} bytes", field.name);
            self.diagnostics.push(value.span, title, format!("this text has {}", text.len()));
            return Err(Noted);
        }
        Ok(value.to(ty))
    }

    fn compile(&mut self, expr: &Typed) -> Result<Program, Noted> {
        // Inputs are numbered when the rule's windows are known: see `finish`.
        let input = |window: usize, aggregate: usize| window << 16 | aggregate;
        Program::compile(expr, &input).map_err(|_| {
            self.diagnostics.push(expr.span.clone(), "the expression is too deep", "here");
            Noted
        })
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a rule, put together once")]
    fn finish(
        &mut self,
        name: &'static str,
        place: &Name,
        options: &Options,
        stream: Stream,
        filter: Option<Typed>,
        plans: Vec<WindowPlan>,
        condition: Option<Typed>,
        mut outputs: Vec<Output>,
    ) -> Result<(), Noted> {
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
        let mode = options.mode;
        let rule = Rule { name, mode, stream, filter, windows, inputs, condition, outputs };
        self.set.rules.push(rule);
        Ok(())
    }

    fn window(
        &mut self,
        plan: WindowPlan,
        first_input: usize,
        options: &Options,
        place: &Name,
    ) -> Result<WindowProgram, Noted> {
        let mut compile = |all: &[Typed]| -> Result<Vec<(Program, Type)>, Noted> {
            all.iter().map(|typed| Ok((self.compile(typed)?, typed.ty))).collect()
        };
        let (key, args) = (compile(&plan.partition)?, compile(&plan.args)?);
        // One word more says which parts of the key are NULL.
        let key_words = key.iter().map(|(_, ty)| words(*ty)).sum::<usize>() + 1;
        let spec = Spec {
            key_words,
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

/// Words that a value takes in a key.
pub(super) const fn words(ty: Type) -> usize {
    match ty {
        Type::Text(n) => (n as usize).div_ceil(8),
        _ => 1,
    }
}
