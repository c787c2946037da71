//! INSERT INTO ... MATCH_RECOGNIZE and CREATE RULE ... MATCH to one plan.
//!
//! Invariant: a plan's engine can be made: what it refuses is told here.

mod lower;
mod scope;

use corelane_feeds::record::{HEADER_BYTES, StreamId};
use corelane_feeds::streams::sys;

use lower::{columns_of, has_gaps, lowered, navs_of, number_of};

use super::{Guard, Kind, Options, Output, Planner, Program, Rule};
use crate::rules::ast::{InsertMatch, MatchRule, Name, Pattern, RowsPerMatch, SkipTo};
use crate::rules::catalog::{Column, Stream};
use crate::rules::expr::{Node, Typed};
use crate::rules::key::{KeyProgram, words};
use crate::rules::pattern::{Mode, Patterns, Skip, Spec, SpecError, Start, VarSet};
use crate::rules::resolve::{Nav, Noted, PatternScope, Place, Source, What};
use crate::rules::types::Type;

/// Rows that partial matches of all keys hold, if a rule does not say.
const ROWS_MAX: usize = 1 << 16;
/// Partial matches of a key, if a rule does not say.
const RUNS_MAX: usize = 256;
/// Partial matches of all keys.
const RUNS_TOTAL_MAX: usize = 1 << 17;

/// An expression over the row at hand, with the navigations that are its inputs.
#[derive(Clone, Debug)]
pub(in crate::rules) struct Formula {
    pub(in crate::rules) program: Program,
    pub(in crate::rules) navs: Vec<u16>,
    /// One of them is a text: it is put behind the row.
    pub(in crate::rules) has_text: bool,
}

/// The condition of a variable.
#[derive(Clone, Debug)]
pub(in crate::rules) struct Condition {
    /// The stream whose rows can fit, if there are several.
    pub(in crate::rules) stream: Option<StreamId>,
    /// What one column of a row that fits has to be.
    pub(in crate::rules) guard: Option<Guard>,
    pub(in crate::rules) formula: Option<Formula>,
}

/// A part of the key in its words.
#[derive(Copy, Clone, Debug)]
pub(in crate::rules) struct KeyPart {
    pub(in crate::rules) at: usize,
    pub(in crate::rules) words: usize,
}

/// Ranks of a row at most, besides its time.
pub(in crate::rules) const RANKS_MAX: usize = 3;

/// A value that orders rows of one time; NULL is above all others.
#[derive(Clone, Debug)]
pub(in crate::rules) struct Rank {
    pub(in crate::rules) program: Program,
    pub(in crate::rules) ty: Type,
    pub(in crate::rules) descends: bool,
}

/// A navigation with the place of its text.
#[derive(Clone, Debug)]
pub(in crate::rules) struct NavPlan {
    pub(in crate::rules) nav: Nav<Program>,
    /// Where its text lies behind the row; of other values 0.
    pub(in crate::rules) text_at: usize,
    /// The type of the row's value.
    pub(in crate::rules) arg: Type,
}

/// A row pattern over one or more streams, and what its matches lead to.
#[derive(Clone, Debug)]
pub(in crate::rules) struct PatternPlan {
    pub(in crate::rules) spec: Spec,
    /// The key, of each stream.
    pub(in crate::rules) keys: Vec<KeyProgram>,
    pub(in crate::rules) key_parts: Vec<KeyPart>,
    pub(in crate::rules) conditions: Vec<Condition>,
    pub(in crate::rules) navs: Vec<NavPlan>,
    pub(in crate::rules) var_names: Vec<String>,
    /// Bytes of a row, and with the texts behind it.
    pub(in crate::rules) row_bytes: usize,
    pub(in crate::rules) scratch_bytes: usize,
    pub(in crate::rules) rows: RowsPerMatch,
    pub(in crate::rules) filter: Option<Program>,
    pub(in crate::rules) outputs: Vec<Output>,
    /// Navigations of outputs and filter.
    pub(in crate::rules) output_navs: Vec<u16>,
    /// Rows wait until the watermark has passed them.
    pub(in crate::rules) sorts: bool,
    /// What orders those of one time.
    pub(in crate::rules) order: Vec<Rank>,
    pub(in crate::rules) is_timed: bool,
    bytes_max: usize,
}

impl PatternPlan {
    /// What it comes to, a line per part.
    pub(super) fn explain(&self, out: &mut Vec<String>) {
        let spec = &self.spec;
        let named = |set: VarSet| {
            let names = (0..).zip(&self.var_names).filter(|(at, _)| set.has(*at));
            names.map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(", ")
        };
        out.push(format!(
            "pattern: {} variables, at most {} keys, {} partial matches a key, {} rows, {} KiB",
            spec.vars,
            spec.keys_max,
            spec.runs_max,
            spec.rows_max,
            self.bytes_max.div_ceil(1024)
        ));
        if !spec.independent.is_empty() {
            out.push(format!("tested once a row: {}", named(spec.independent)));
        }
        if let Some(ns) = spec.within_ns {
            out.push(format!("within {} ms", ns as f64 / 1e6));
        }
        if self.sorts {
            out.push("rows wait for the watermark".to_owned());
        }
        for (name, condition) in self.var_names.iter().zip(&self.conditions) {
            if let Some(formula) = &condition.formula {
                let (ops, navs) = (formula.program.len(), formula.navs.len());
                out.push(format!("{name}: {ops} instructions, {navs} navigations"));
            }
        }
        out.extend(self.outputs.iter().map(|output| format!("then {}", output.schema.name)));
    }
}

/// What a pattern rule is planned from, whichever way it is written.
struct Query<'a> {
    pattern: &'a Pattern,
    streams: Vec<Stream>,
    partition: Vec<Vec<Typed>>,
    rows: RowsPerMatch,
    mode: Mode,
    start: Start,
    poison: &'a [Name],
}

impl Planner<'_> {
    /// `INSERT INTO ... SELECT ... MATCH_RECOGNIZE`.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn insert_match(&mut self, insert: &InsertMatch) -> Result<(), Noted> {
        let options = self.options(&insert.options);
        let given = options.as_ref().ok().and_then(|options| options.name.as_ref());
        let name = self.free(given.unwrap_or(&insert.name))?;
        let target = self.target(&insert.action);
        let stream = self.stream(&insert.stream)?;
        let (options, target) = (options?, target?);
        self.acyclic(&insert.action, &[stream.schema.stream], target)?;
        let mut resolver = self.resolver(stream, &insert.stream, insert.alias.as_ref());
        let partition = resolver.partition(&insert.partition)?;
        let order = self.order(insert, stream)?;
        let sources = vec![self.source(stream, &insert.stream, insert.alias.as_ref())];
        let query = Query {
            pattern: &insert.pattern,
            streams: vec![stream],
            partition: vec![partition],
            rows: insert.rows,
            mode: if options.all_matches == Some(true) { Mode::All } else { Mode::Preferred },
            start: Start::EveryRow,
            poison: &[],
        };
        let mut scope = self.scope_of(&query, sources)?;
        scope.result = insert.result.as_ref().map(|name| name.text.clone());
        let conditions = self.conditions(&query, &mut scope)?;
        scope.place = Place::Measure;
        for (expr, name) in &insert.measures {
            let typed = self.in_pattern(&mut scope, |resolver| resolver.expr(expr))?;
            scope.measures.push((name.text.clone(), typed));
        }
        let all_rows = insert.rows != RowsPerMatch::One;
        scope.place = Place::Result { all_rows };
        let filter = insert.filter.as_ref();
        let filter = filter
            .map(|filter| self.in_pattern(&mut scope, |resolver| resolver.condition(filter)))
            .transpose()?;
        let mut values = Vec::new();
        match &insert.select {
            Some(items) => {
                for item in items {
                    values.push(self.in_pattern(&mut scope, |resolver| resolver.expr(item))?);
                }
            }
            None => values = self.everything(insert, stream, &mut scope, all_rows)?,
        }
        let used: Vec<Typed> = values.iter().chain(&filter).cloned().collect();
        let output = self.output(&insert.action, target, &insert.columns, values)?;
        let filter = filter.map(|filter| self.compile(&filter)).transpose()?;
        let plan = self.pattern_plan(&query, &scope, &conditions, &used, &options)?;
        // Rows of one time are all there when the watermark has passed it.
        let sorts = plan.sorts || !order.is_empty();
        let is_timed = plan.is_timed || sorts;
        let plan = PatternPlan { filter, outputs: vec![output], order, sorts, is_timed, ..plan };
        self.push_pattern(name, &options, &query, plan)
    }

    /// What orders rows of one time.
    fn order(&mut self, insert: &InsertMatch, stream: Stream) -> Result<Vec<Rank>, Noted> {
        let mut ranks = Vec::new();
        for (at, (expr, descends)) in insert.order.iter().enumerate() {
            let mut resolver = self.resolver(stream, &insert.stream, insert.alias.as_ref());
            let order = resolver.expr(expr)?;
            if at == 0 {
                let time = self.times_of(stream);
                let is_time = matches!(&order.node, Node::Column(column) if time.contains(column));
                if !is_time {
                    let title = "rows come in the order of their event time".to_owned();
                    self.diagnostics.push(order.span, title, "order by ts_event, or its time");
                    return Err(Noted);
                }
            } else if matches!(order.ty, Type::Text(_)) || at > RANKS_MAX {
                let title = "rows of one time are ordered by numbers and times".to_owned();
                let label = format!("{RANKS_MAX} of them at most");
                self.diagnostics.push(order.span, title, label);
                return Err(Noted);
            } else {
                let (ty, descends) = (order.ty, *descends);
                ranks.push(Rank { program: self.compile(&order)?, ty, descends });
            }
        }
        Ok(ranks)
    }

    /// `*`: the key and the measures; with all rows the row's other columns too.
    fn everything(
        &mut self,
        insert: &InsertMatch,
        stream: Stream,
        scope: &mut PatternScope,
        all_rows: bool,
    ) -> Result<Vec<Typed>, Noted> {
        let mut values = Vec::new();
        let mut named = Vec::new();
        for key in &insert.partition {
            values.push(self.in_pattern(scope, |resolver| resolver.expr(key))?);
            named.push(key.to_string());
        }
        values.extend(scope.measures.iter().map(|(_, typed)| typed.clone()));
        if all_rows {
            for field in stream.schema.columns() {
                let is_key = named.iter().any(|name| name.eq_ignore_ascii_case(field.name));
                if let (false, Some(column)) = (is_key, stream.column(field.name)) {
                    let span = insert.action.span.clone();
                    values.push(Typed::new(Node::Column(column), column.ty(), span));
                }
            }
        }
        Ok(values)
    }

    /// `CREATE RULE ... MATCH ... THEN ...`.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn match_rule(&mut self, rule: &MatchRule) -> Result<(), Noted> {
        let name = self.free(&rule.name);
        let options = self.options(&rule.options);
        let (mut streams, mut sources, mut partition) = (Vec::new(), Vec::new(), Vec::new());
        for (stream, alias) in &rule.streams {
            let found = self.stream(stream)?;
            if streams.iter().any(|known: &Stream| known.schema.stream == found.schema.stream) {
                let title = format!("`{}` is there already", stream.text);
                return Err(self.wrong(stream, title, "a stream is named once"));
            }
            let keys = self.resolver(found, stream, alias.as_ref()).partition(&rule.partition)?;
            sources.push(self.source(found, stream, alias.as_ref()));
            streams.push(found);
            partition.push(keys);
        }
        let (name, options) = (name?, options?);
        self.same_keys(&partition)?;
        let query = Query {
            pattern: &rule.pattern,
            streams,
            partition,
            rows: RowsPerMatch::One,
            mode: if options.all_matches.unwrap_or(rule.all) { Mode::All } else { Mode::First },
            start: rule.start,
            poison: &rule.poison,
        };
        let mut scope = self.scope_of(&query, sources)?;
        let conditions = self.conditions(&query, &mut scope)?;
        scope.place = Place::Measure;
        let mut all = Vec::new();
        let mut outputs = Vec::new();
        for call in &rule.then {
            let mut args = Vec::new();
            for arg in &call.args {
                args.push(self.in_pattern(&mut scope, |resolver| resolver.expr(arg))?);
            }
            all.extend(args.iter().cloned());
            outputs.push(self.call(call, args)?);
        }
        let plan = self.pattern_plan(&query, &scope, &conditions, &all, &options)?;
        let plan = PatternPlan { outputs, ..plan };
        let arm = match query.partition.as_slice() {
            [keys] => self.arm(&rule.name, &options, keys)?,
            _ if options.against.is_some() => {
                let title = "a challenger looks at one stream".to_owned();
                return Err(self.wrong(&rule.name, title, "this rule looks at several"));
            }
            _ => None,
        };
        self.push_pattern(name, &options, &query, plan)?;
        if let Some(planned) = self.set.rules.last_mut() {
            planned.arm = arm;
        }
        Ok(())
    }

    /// Notes a mistake if a part of the key is not of one type in all streams.
    fn same_keys(&mut self, partition: &[Vec<Typed>]) -> Result<(), Noted> {
        let Some((first, rest)) = partition.split_first() else { return Ok(()) };
        for (at, key) in first.iter().enumerate() {
            let other = rest.iter().filter_map(|keys| keys.get(at)).find(|k| k.ty != key.ty);
            if let Some(other) = other {
                let title = "a key is of one type in all streams";
                let label = format!("{} in one, {} in another", key.ty, other.ty);
                self.diagnostics.push(key.span.clone(), title, label);
                return Err(Noted);
            }
        }
        Ok(())
    }

    fn push_pattern(
        &mut self,
        name: &'static str,
        options: &Options,
        query: &Query<'_>,
        plan: PatternPlan,
    ) -> Result<(), Noted> {
        let mut reads: Vec<StreamId> = query.streams.iter().map(|s| s.schema.stream).collect();
        if plan.is_timed {
            reads.extend([sys::Gap::STREAM, sys::Tick::STREAM]);
        }
        let keyed = query.streams.iter().zip(&query.partition);
        let state: Result<Vec<_>, Noted> =
            keyed.map(|(stream, keys)| self.state_key(*stream, keys)).collect();
        let kind = Kind::Pattern(Box::new(plan));
        self.set.rules.push(Rule::new(name, options, reads, state?, kind));
        Ok(())
    }

    fn source(&self, stream: Stream, name: &Name, alias: Option<&Name>) -> Source {
        let short = stream.schema.name.split_once('.').map_or("", |(_, short)| short);
        let mut names = vec![name.text.clone(), short.to_owned()];
        names.extend(alias.map(|alias| alias.text.clone()));
        Source { stream, names, base: 0 }
    }

    /// The columns that are a stream's event time.
    fn times_of(&self, stream: Stream) -> Vec<Column> {
        let declared = self.set.catalog.streams().iter();
        let declared =
            declared.map(|s| &s.declared).find(|d| d.schema.stream == stream.schema.stream);
        let own = declared.and_then(|d| stream.column(d.columns.get(d.time?)?.field.name));
        own.into_iter().chain(stream.column("ts_event")).collect()
    }

    fn formula(&mut self, typed: &Typed, scope: &PatternScope) -> Result<Formula, Noted> {
        let navs = navs_of(typed);
        let is_text = |nav: &u16| matches!(scope.navs[usize::from(*nav)].ty, Type::Text(_));
        let has_text = navs.iter().any(is_text);
        Ok(Formula { program: self.compile(typed)?, navs, has_text })
    }

    /// The plan without its outputs.
    fn pattern_plan(
        &mut self,
        query: &Query<'_>,
        scope: &PatternScope,
        conditions: &[Option<Typed>],
        outputs: &[Typed],
        options: &Options,
    ) -> Result<PatternPlan, Noted> {
        let mut used = HEADER_BYTES;
        let mut note = |column: Column| {
            let mask = column.nulls.map_or(0, |(mask, _)| mask + 8);
            used = used.max(column.offset + column.sql.bytes()).max(mask);
        };
        let values = scope.navs.iter().filter_map(|nav| nav.value.as_ref());
        values.chain(conditions.iter().flatten()).chain(outputs).for_each(|typed| {
            columns_of(typed, &mut note);
        });
        let whole = query.streams.iter().map(|s| s.schema.bytes).max().unwrap_or_default();
        let lateness = |s: &Stream| self.set.catalog.lateness(s.schema.stream);
        let sorts = query.streams.iter().any(|stream| lateness(stream) > 0);
        let spec = self.spec(query, scope, conditions, options, used.div_ceil(8))?;
        let row_bytes = whole.next_multiple_of(8);
        let (mut scratch_bytes, mut navs) = (row_bytes, Vec::new());
        for nav in &scope.navs {
            let text_at = scratch_bytes;
            if let Type::Text(len) = nav.ty {
                scratch_bytes += usize::from(len);
            }
            let arg = nav.value.as_ref().map_or(Type::Int, |value| value.ty);
            let value = nav.value.as_ref().map(|value| self.compile(value)).transpose()?;
            let nav = Nav { what: nav.what, value, ty: nav.ty };
            navs.push(NavPlan { nav, text_at, arg });
        }
        let mut compiled = Vec::new();
        for (condition, var) in conditions.iter().zip(&scope.vars) {
            let stream = (query.streams.len() > 1).then_some(var.stream.schema.stream);
            let formula = condition.as_ref().map(|typed| self.formula(typed, scope)).transpose()?;
            let guard = match condition {
                Some(typed) => self.guard(&[typed])?,
                None => None,
            };
            compiled.push(Condition { stream, guard, formula });
        }
        let mut output_navs: Vec<u16> = outputs.iter().flat_map(navs_of).collect();
        output_navs.sort_unstable();
        output_navs.dedup();
        let mut keys = Vec::new();
        for partition in &query.partition {
            keys.push(KeyProgram::new(self.compile_all(partition)?));
        }
        let mut at = 0;
        let mut key_parts = Vec::new();
        for key in query.partition.first().into_iter().flatten() {
            key_parts.push(KeyPart { at, words: words(key.ty) });
            at += words(key.ty);
        }
        let engine = self.engine(query, &spec)?;
        let is_timed = sorts || spec.within_ns.is_some() || engine.waits_for_times();
        Ok(PatternPlan {
            bytes_max: engine.bytes_max(),
            spec,
            keys,
            key_parts,
            conditions: compiled,
            navs,
            var_names: scope.vars.iter().map(|var| var.name.clone()).collect(),
            row_bytes,
            scratch_bytes,
            rows: query.rows,
            filter: None,
            outputs: Vec::new(),
            output_navs,
            sorts,
            order: Vec::new(),
            is_timed,
        })
    }

    fn spec(
        &mut self,
        query: &Query<'_>,
        scope: &PatternScope,
        conditions: &[Option<Typed>],
        options: &Options,
        row_words: usize,
    ) -> Result<Spec, Noted> {
        let pattern = query.pattern;
        let relaxed = has_gaps(&pattern.part) || query.start != Start::EveryRow;
        let mut independent = VarSet(0);
        for (var, condition) in (0..).zip(conditions) {
            let navs = condition.as_ref().map(navs_of).unwrap_or_default();
            let is_of_row = |nav: &u16| match scope.navs[usize::from(*nav)].what {
                What::Row { of, from_first: false, n: 0, step, .. } => {
                    of.has(var) && (step == 0 || !relaxed)
                }
                _ => false,
            };
            if navs.iter().all(is_of_row) {
                independent = independent.or(VarSet::of(var));
            }
        }
        let steps = scope.navs.iter().map(|nav| match nav.what {
            What::Row { step, .. } => step,
            _ => 0,
        });
        let (mut prev_rows, mut next_rows) = (0, 0);
        for step in steps {
            prev_rows = prev_rows.max(-step);
            next_rows = next_rows.max(step);
        }
        let skip = match &pattern.skip {
            SkipTo::PastLastRow => Skip::PastLastRow,
            SkipTo::NextRow => Skip::ToNextRow,
            SkipTo::First(name) => Skip::ToFirst(self.variable(scope, name)?),
            SkipTo::Last(name) => Skip::ToLast(self.variable(scope, name)?),
        };
        let poison = query
            .poison
            .iter()
            .fold(VarSet(0), |set, name| set.or(VarSet::of(number_of(scope, name))));
        let key = query.partition.first().map_or(0, |keys| keys.iter().map(|k| words(k.ty)).sum());
        let (empty, unmatched) = match query.rows {
            RowsPerMatch::One => (true, false),
            RowsPerMatch::All { empty, unmatched } => (empty, unmatched),
        };
        let keys_max = if key == 0 { 1 } else { options.keys_max };
        let runs_max = options.runs_max.unwrap_or(RUNS_MAX);
        Ok(Spec {
            independent,
            skip,
            mode: query.mode,
            start: query.start,
            within_ns: pattern.within_ns,
            poison,
            show_empty: empty,
            show_unmatched: unmatched,
            show_timeouts: options.timeouts,
            numbered: scope.navs.iter().any(|nav| nav.what == What::Number),
            prev_rows: prev_rows as usize,
            next_rows: next_rows as usize,
            key_words: key + 1,
            row_words,
            keys_max,
            runs_max,
            runs_total_max: RUNS_TOTAL_MAX.max(runs_max),
            rows_max: options.rows_max.unwrap_or(ROWS_MAX),
            ..Spec::new(lowered(scope, &pattern.part), scope.vars.len())
        })
    }

    /// The engine of a specification, made to see that it can be.
    fn engine(&mut self, query: &Query<'_>, spec: &Spec) -> Result<Patterns, Noted> {
        Patterns::new(spec.clone()).map_err(|error| {
            let (title, label) = match error {
                SpecError::SkipToStart => (error.to_string(), "skip to another variable"),
                SpecError::NoDeadline => (error.to_string(), "add WITHIN, or NOT ... FOR a time"),
                _ => (error.to_string(), "this pattern"),
            };
            self.diagnostics.push(query.pattern.span.clone(), title, label);
            Noted
        })
    }
}
