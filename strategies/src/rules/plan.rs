//! Statements to rules that can run: names bound, types checked, programs compiled.
//!
//! Invariant: a rule set is whole or not at all; what is wrong with it is shown, all of it, where
//! it stands.

mod arm;
mod asof;
mod evidence;
mod flow;
mod follow;
mod group;
mod guard;
mod hold;
mod join;
mod lookup;
mod options;
mod output;
mod pattern;
mod place;
mod pool;
mod query;
mod view;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use corelane_feeds::record::StreamId;
use corelane_feeds::schema::Schema;

pub(super) use arm::Arm;
pub use evidence::{Evidence, RuleFacts};
pub(super) use evidence::{function_name, shown, text_of};
pub use follow::CannotFollow;
pub(super) use group::{BOUNDS, Emit, GroupPlan};
pub(super) use guard::{Guard, Values, word_of_text};
pub(super) use output::Output;
pub(super) use pattern::{Condition, Formula, NavPlan, PatternPlan, RANKS_MAX, Rank};
pub(super) use place::{EVERYWHERE, StateKey};
pub use place::{Placement, Shares};
pub(super) use pool::PoolWindow;
pub(super) use query::QueryPlan;

use options::Options;

use super::ast::{Name, Statement};
use super::catalog::{Action, Catalog, DeclaredStream, LoadTable, Stream};
use super::expr::Typed;
use super::hold::HoldPlan;
use super::join::{AsOfPlan, JoinPlan};
use super::lookup::LookupPlan;
use super::parse::{Placed, Places, parse};
pub(super) use super::program::Program;
use super::resolve::{Noted, Resolver, Scope};
use super::types::Type;
use super::windows::placeless;
use crate::diagnostics::{Diagnostics, TextError, nearest};
use crate::functions::Functions;

/// Rules of a set.
const RULES_MAX: usize = 60_000;

/// What a rule may do.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// Its actions are taken.
    #[default]
    Live,
    /// Its actions are journalled and counted, and none is taken.
    Shadow,
    /// It acts on a share of the keys, in place of the rule that it stands against.
    Challenger,
}

impl Mode {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Shadow => "shadow",
            Self::Challenger => "challenger",
        }
    }
}

/// A compiled rule.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) name: &'static str,
    /// Its number in action ids, counted from the first of the set.
    pub(super) number: u16,
    /// The statement that made it.
    pub(super) text: String,
    pub(super) mode: Mode,
    /// Of a challenger and of the rule that it stands against: the keys on which it acts.
    pub(super) arm: Option<Arm>,
    pub(super) budget: Option<Budget>,
    /// The streams it reads: its inputs, in order.
    pub(super) reads: Vec<StreamId>,
    /// What it keeps state by: a key for every state of each stream.
    pub(super) state: Vec<StateKey>,
    pub(super) kind: Kind,
}

impl Rule {
    /// A rule with its options.
    fn new(
        name: &'static str,
        options: &Options,
        reads: Vec<StreamId>,
        state: Vec<StateKey>,
        kind: Kind,
    ) -> Self {
        let Options { mode, budget, .. } = *options;
        // Number and text are set by those who know them.
        Self { name, number: 0, text: String::new(), mode, arm: None, budget, reads, state, kind }
    }
}

/// The time that a rule may need for a record.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Budget {
    pub(super) ns: u64,
    /// A rule that goes on needing more is suspended.
    pub(super) suspends: bool,
}

/// What kind of operator a rule is, with its programs.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Query(Box<QueryPlan>),
    Join(Box<JoinPlan>),
    AsOf(Box<AsOfPlan>),
    Hold(Box<HoldPlan>),
    Lookup(Box<LookupPlan>),
    Pattern(Box<PatternPlan>),
    Group(Box<GroupPlan>),
}

impl Kind {
    fn outputs(&self) -> &[Output] {
        match self {
            Self::Query(plan) => &plan.outputs,
            Self::Join(plan) => &plan.outputs[0],
            Self::AsOf(plan) => &plan.outputs[0],
            Self::Hold(plan) => &plan.outputs,
            Self::Lookup(plan) => &plan.outputs[0],
            Self::Pattern(plan) => &plan.outputs,
            Self::Group(plan) => std::slice::from_ref(&plan.output),
        }
    }

    /// The windows of the pool that it looks at.
    pub(super) fn windows(&self) -> &[usize] {
        match self {
            Self::Query(plan) => &plan.windows,
            _ => &[],
        }
    }

    /// The most actions that it takes before it asks whether there is room.
    pub(super) fn actions(&self) -> usize {
        self.outputs().iter().filter(|output| output.is_action).count()
    }

    /// What a record must be for it to matter to the rule at all.
    pub(super) fn guard(&self) -> Option<&Guard> {
        match self {
            Self::Query(plan) => plan.guard.as_ref(),
            Self::Join(_) | Self::AsOf(_) | Self::Lookup(_) => None,
            // Any record can be what rows waited for.
            Self::Hold(_) => None,
            Self::Pattern(_) => None,
            // Any record can be what windows waited for.
            Self::Group(_) => None,
        }
    }

    /// Whether it waits for times: it then reads `sys.tick` too, as its last input.
    pub(super) fn is_timed(&self) -> bool {
        match self {
            Self::Query(_) | Self::Lookup(_) => false,
            Self::Join(_) | Self::AsOf(_) | Self::Hold(_) => true,
            Self::Pattern(plan) => plan.is_timed,
            Self::Group(_) => true,
        }
    }

    /// Whether its memory is asked for before a record's turn.
    pub(super) fn looks_ahead(&self) -> bool {
        matches!(self, Self::Pattern(_))
    }

    fn explain(&self, pool: &[PoolWindow], out: &mut Vec<String>) {
        match self {
            Self::Query(plan) => plan.explain(pool, out),
            Self::Join(plan) => plan.explain(out),
            Self::AsOf(plan) => plan.explain(out),
            Self::Hold(plan) => plan.explain(out),
            Self::Lookup(plan) => plan.explain(out),
            Self::Pattern(plan) => plan.explain(out),
            Self::Group(plan) => plan.explain(out),
        }
    }
}

/// The rules of one or more files, checked and compiled.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    /// What rules can call besides the language's own.
    functions: Arc<Functions>,
    catalog: Catalog,
    pub(super) rules: Vec<Rule>,
    /// The rules' names.
    names: HashSet<&'static str>,
    /// The name that each number stands for; rules that are gone keep theirs.
    numbers: Vec<&'static str>,
    /// The windows that the rules look at.
    pub(super) pool: Vec<PoolWindow>,
}

impl RuleSet {
    /// No rules.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// No rules, which can call these functions.
    #[must_use]
    pub fn with_functions(functions: Functions) -> Self {
        Self { functions: Arc::new(functions), ..Self::default() }
    }

    /// What rules can call besides the language's own functions.
    #[must_use]
    pub fn functions(&self) -> &Functions {
        &self.functions
    }

    /// Adds the rules of a file's text; `path` names it in messages.
    ///
    /// # Errors
    /// Every mistake of the text; the set is then as it was.
    pub fn add(&mut self, path: &str, text: &str) -> Result<(), TextError> {
        self.add_with(path, text, &mut |_| Err("no files are read here".to_owned()))
    }

    /// The same; `load` gives the text of a file that a table names.
    ///
    /// # Errors
    /// As [`RuleSet::add`].
    pub fn add_with(
        &mut self,
        path: &str,
        text: &str,
        load: &mut LoadTable<'_>,
    ) -> Result<(), TextError> {
        let mut diagnostics = Diagnostics::default();
        let statements = parse(text, &mut diagnostics);
        let mut next = self.clone();
        let places = Places::new(text);
        for Placed { statement, .. } in &statements {
            match statement {
                Statement::Action(create) => next.catalog.declare(create, &mut diagnostics),
                Statement::Stream(create) => {
                    next.catalog.declare_stream(create, &mut diagnostics);
                }
                Statement::Table(create) => {
                    next.catalog.declare_table(create, &mut diagnostics, load);
                }
                _ => {}
            }
        }
        for Placed { statement, span } in &statements {
            let known = next.rules.len();
            let mut planner =
                Planner { set: &mut next, places: &places, diagnostics: &mut diagnostics };
            // What went wrong was noted; the other statements are looked at all the same.
            let _noted = match statement {
                Statement::Action(_) | Statement::Stream(_) | Statement::Table(_) => Ok(()),
                Statement::Rule(rule) => planner.rule(rule),
                Statement::Insert(insert) | Statement::View(insert) => planner.insert(insert),
                Statement::MatchRule(rule) => planner.match_rule(rule),
                Statement::InsertMatch(insert) => planner.insert_match(insert),
            };
            let text = text.get(span.clone()).unwrap_or_default();
            for rule in &mut next.rules[known..] {
                rule.number = next.numbers.len() as u16;
                next.numbers.push(rule.name);
                text.clone_into(&mut rule.text);
            }
        }
        diagnostics.into_result(path, text)?;
        *self = next;
        Ok(())
    }

    /// The rules' names, by number.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.numbers.iter().copied()
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

    /// The tables, each with what names its rows.
    pub(super) fn tables(&self) -> Vec<(&'static str, u64)> {
        let tables = self.catalog.tables().iter();
        tables.map(|table| (table.declared.schema.name, table.hash())).collect()
    }

    /// The streams that were declared.
    #[must_use]
    pub fn declared_streams(&self) -> &[Arc<DeclaredStream>] {
        self.catalog.streams()
    }

    /// How far records of a stream may lag behind its latest event time, nanoseconds.
    pub(super) fn lateness(&self, stream: StreamId) -> u64 {
        self.catalog.lateness(stream)
    }

    /// The streams that rules make.
    pub(super) fn made(&self) -> Vec<StreamId> {
        let outputs = self.rules.iter().flat_map(|rule| rule.kind.outputs());
        let made = outputs.filter(|output| !output.is_action);
        made.map(|output| output.schema.stream).collect()
    }

    /// The streams that any rule looks at.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamId> {
        let mut streams: Vec<StreamId> =
            self.rules.iter().flat_map(|rule| rule.reads.iter().copied()).collect();
        streams.sort_unstable();
        streams.dedup();
        streams
    }

    /// What the rules come to: per rule its operators, its state and that state's bound; with a
    /// placement on several shards, where it runs.
    #[must_use]
    pub fn explain(&self, placement: Option<&Placement>) -> String {
        let mut out = String::new();
        for (at, rule) in self.rules.iter().enumerate() {
            let mode = match rule.mode {
                Mode::Live => String::new(),
                mode => format!(" ({})", mode.name()),
            };
            let reads = rule.reads.iter().filter_map(|id| self.catalog.by_id(*id));
            let reads = reads.map(|schema| schema.name).collect::<Vec<_>>().join(", ");
            let mut parts = Vec::new();
            if let Some(arm) = &rule.arm {
                parts.push(format!("acts on {:.1}% of its keys", arm.percent()));
            }
            rule.kind.explain(&self.pool, &mut parts);
            parts.extend(placement.map(|placement| placement.explain(at, self)));
            // Writing to a string cannot fail.
            let _ = writeln!(out, "rule {}{mode} on {reads}", rule.name);
            for part in parts {
                let _ = writeln!(out, "  {part}");
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

impl Planner<'_> {
    fn wrong(&mut self, name: &Name, title: String, label: &str) -> Noted {
        self.diagnostics.push(name.span.clone(), title, label);
        Noted
    }

    fn stream(&mut self, name: &Name) -> Result<Stream, Noted> {
        if let Some(stream) = self.set.catalog.stream(&name.text) {
            return Ok(stream);
        }
        if let Some(stream) = self.set.catalog.late(&name.text) {
            return Ok(stream);
        }
        if self.set.catalog.table(&name.text).is_some() {
            let title = format!("`{}` is a table", name.text);
            return Err(self.wrong(name, title, "join it with a stream, or look IN TABLE"));
        }
        let noted = self.wrong(name, format!("unknown stream `{}`", name.text), "no such stream");
        let names = self.set.catalog.stream_names();
        self.diagnostics.help(match nearest(&name.text, names) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "`corelane list streams` shows them; CREATE STREAM declares one".to_owned(),
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
        if self.set.names.contains(text.as_str()) {
            return Err(self.wrong(name, format!("the rule `{text}` is there already"), "again"));
        }
        if self.set.rules.len() == RULES_MAX {
            return Err(self.wrong(name, format!("more than {RULES_MAX} rules"), "one too many"));
        }
        let name: &'static str = Box::leak(text.into_boxed_str());
        self.set.names.insert(name);
        Ok(name)
    }

    /// What an expression over one stream is resolved against.
    fn resolver(&mut self, stream: Stream, name: &Name, alias: Option<&Name>) -> Resolver<'_> {
        let short = stream.schema.name.split_once('.').map_or("", |(_, short)| short);
        let mut names = vec![name.text.clone(), short.to_owned()];
        names.extend(alias.map(|alias| alias.text.clone()));
        self.resolver_over(Scope::one(stream, names))
    }

    fn resolver_over(&mut self, scope: Scope) -> Resolver<'_> {
        let Self { set, places, diagnostics } = self;
        let (functions, catalog) = (&*set.functions, &set.catalog);
        let (windows, pattern) = (None, None);
        Resolver { scope, windows, pattern, functions, catalog, places, diagnostics }
    }

    fn compile(&mut self, expr: &Typed) -> Result<Program, Noted> {
        // Inputs are numbered when the rule's windows are known: see `query`.
        let input = |window: usize, aggregate: usize| window << 16 | aggregate;
        Program::compile(expr, &input).map_err(|_| {
            self.diagnostics.push(expr.span.clone(), "the expression is too deep", "here");
            Noted
        })
    }

    /// What a rule keeps state of a stream by.
    fn state_key(&mut self, stream: Stream, parts: &[Typed]) -> Result<StateKey, Noted> {
        let parts: Result<Vec<_>, Noted> =
            parts.iter().map(|part| Ok((placeless(part), self.compile(part)?))).collect();
        Ok(StateKey { stream, parts: parts? })
    }

    /// Programs with the types of their values.
    fn compile_all(&mut self, all: &[Typed]) -> Result<Vec<(Program, Type)>, Noted> {
        all.iter().map(|typed| Ok((self.compile(typed)?, typed.ty))).collect()
    }
}
