//! Joins of two streams: ON taken apart into what has to be equal, how far apart in time rows may
//! be, and the rest.

use corelane_feeds::streams::sys::Tick;

use super::{Kind, Options, Output, Planner, Program, Rule, StateKey};
use crate::rules::ast::{CreateRule, Insert, JoinClause, Name};
use crate::rules::catalog::{Column, Stream};
use crate::rules::expr::{Arith, Compare, Node, Typed};
use crate::rules::join::{Join, JoinKind, JoinPlan};
use crate::rules::key::KeyProgram;
use crate::rules::resolve::{Noted, Resolver, Scope, Source};
use crate::rules::types::Type;

/// Rows of a side, if a rule does not say.
const ROWS_MAX: usize = 1 << 16;
/// Where a record's event time stands.
const TS_EVENT: usize = 16;

/// The two streams of a join.
pub(super) struct Sides {
    pub(super) streams: [Stream; 2],
    /// Where the right one's columns begin.
    pub(super) base: usize,
}

/// ON, taken apart.
pub(super) struct On {
    pub(super) keys: [Vec<Typed>; 2],
    pub(super) low: Option<i64>,
    pub(super) high: Option<i64>,
    pub(super) rest: Vec<Typed>,
    /// That no part of the keys is NULL.
    pub(super) known: Vec<Typed>,
}

/// Names and options of a rule that joins.
pub(super) struct Named<'a> {
    pub(super) name: &'static str,
    pub(super) options: &'a Options,
}

impl Named<'_> {
    /// Rows of a side.
    pub(super) fn rows_max(&self) -> usize {
        self.options.rows_max.unwrap_or(ROWS_MAX)
    }
}

impl On {
    /// The rest, with what keys have to be.
    pub(super) fn condition(self) -> Option<Typed> {
        self.known.into_iter().chain(self.rest).reduce(|left, right| {
            let span = left.span.start..right.span.end;
            Typed::new(Node::And(Box::new(left), Box::new(right)), Type::Bool, span)
        })
    }
}

fn conjuncts(typed: Typed, out: &mut Vec<Typed>) {
    match typed.node {
        Node::And(left, right) => {
            conjuncts(*left, out);
            conjuncts(*right, out);
        }
        _ => out.push(typed),
    }
}

impl Sides {
    /// Whether an expression looks at the left and at the right.
    fn of(&self, typed: &Typed) -> (bool, bool) {
        let mut sides = (false, false);
        typed.clone().each_mut(&mut |typed| {
            if let Node::Column(column) = &typed.node {
                let is_left = column.offset < self.base;
                sides = (sides.0 || is_left, sides.1 || !is_left);
            }
        });
        sides
    }

    /// The expression of one side, over that side's row alone.
    pub(super) fn alone(&self, side: usize, typed: &Typed) -> Typed {
        let mut typed = typed.clone();
        typed.each_mut(&mut |typed| {
            if let Node::Column(column) = &mut typed.node {
                *column = column.back(side * self.base);
            }
        });
        typed
    }

    /// The expression where one side is missing.
    pub(super) fn without(&self, side: usize, typed: &Typed) -> Typed {
        let mut typed = typed.clone();
        typed.each_mut(&mut |typed| {
            if let Node::Column(column) = &typed.node
                && (column.offset < self.base) == (side == 0)
            {
                typed.node = Node::Null;
            }
        });
        typed
    }
}

impl Planner<'_> {
    /// The side of which a column is the event time, or a fixed time from it, and that distance.
    fn is_time(&self, sides: &Sides, column: Column) -> Option<(usize, i64)> {
        let side = usize::from(column.offset >= sides.base);
        let offset = column.offset - side * sides.base;
        let id = sides.streams[side].schema.stream;
        let declared = self.set.declared_streams().iter().find(|stream| stream.id() == id);
        let time = declared.and_then(|stream| {
            let column = stream.declared.columns.get(stream.declared.time?)?;
            Some(column.field.offset)
        });
        if offset == TS_EVENT || Some(offset) == time {
            return Some((side, 0));
        }
        Some((side, self.set.catalog.bound(id, offset)?.checked_neg()?))
    }

    /// `event time + distance`: its side and the distance.
    fn time_of(&self, sides: &Sides, typed: &Typed) -> Option<(usize, i64)> {
        match &typed.node {
            Node::Column(column) => self.is_time(sides, *column),
            Node::Arith(op @ (Arith::Add | Arith::Sub), left, right) => {
                let (time, by) = match (self.time_of(sides, left), right.constant()) {
                    (Some(time), Some(by)) => (time, by),
                    _ if *op == Arith::Add => (self.time_of(sides, right)?, left.constant()?),
                    _ => return None,
                };
                let by = if *op == Arith::Add { by } else { by.checked_neg()? };
                Some((time.0, time.1.checked_add(by)?))
            }
            _ => None,
        }
    }

    /// What a condition says of `right.ts - left.ts`: at least and at most.
    pub(super) fn distance(
        &self,
        sides: &Sides,
        typed: &Typed,
    ) -> Option<(Option<i64>, Option<i64>)> {
        let Node::Compare(op, left, right) = &typed.node else { return None };
        let (a, b) = (self.time_of(sides, left)?, self.time_of(sides, right)?);
        // a.ts + x op b.ts + y
        let (op, x, y) = match (a.0, b.0) {
            (0, 1) => (*op, a.1, b.1),
            (1, 0) => (op.flipped(), b.1, a.1),
            _ => return None,
        };
        // left.ts + x op right.ts + y is x - y op right.ts - left.ts.
        let by = x.checked_sub(y)?;
        match op {
            Compare::Le => Some((Some(by), None)),
            Compare::Lt => Some((Some(by.checked_add(1)?), None)),
            Compare::Ge => Some((None, Some(by))),
            Compare::Gt => Some((None, Some(by.checked_sub(1)?))),
            Compare::Eq => Some((Some(by), Some(by))),
            Compare::Ne => None,
        }
    }

    fn take_apart(&self, sides: &Sides, on: Typed) -> On {
        let mut all = Vec::new();
        conjuncts(on, &mut all);
        let mut on =
            On { keys: [vec![], vec![]], low: None, high: None, rest: vec![], known: vec![] };
        for typed in all {
            // TRUE says nothing.
            if matches!(typed.node, Node::Int(truth) if truth != 0) {
                continue;
            }
            if let Some((low, high)) = self.distance(sides, &typed) {
                on.low = on.low.max(low);
                on.high = match (on.high, high) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
                continue;
            }
            if let Node::Compare(Compare::Eq, left, right) = &typed.node {
                let sides_of = (sides.of(left), sides.of(right));
                let pair = match sides_of {
                    ((true, false), (false, true)) => Some((left, right)),
                    ((false, true), (true, false)) => Some((right, left)),
                    _ => None,
                };
                if let Some((left, right)) = pair
                    && left.ty != Type::Double
                {
                    // Texts of different lengths have keys of different lengths.
                    let both = match (left.ty, right.ty) {
                        (Type::Text(a), Type::Text(b)) => Type::Text(a.max(b)),
                        (ty, _) => ty,
                    };
                    on.keys[0].push(Typed { ty: both, ..(**left).clone() });
                    on.keys[1].push(Typed { ty: both, ..(**right).clone() });
                    // NULL is equal to nothing, and a key of its own.
                    let is_null = |typed: &Typed| {
                        let null = Node::IsNull(Box::new(typed.clone()));
                        let null = Typed::new(null, Type::Bool, typed.span.clone());
                        Typed::new(Node::Not(Box::new(null)), Type::Bool, typed.span.clone())
                    };
                    if matches!(&left.node, Node::Column(column) if column.nulls.is_none()) {
                        continue;
                    }
                    on.known.push(is_null(left));
                    continue;
                }
            }
            on.rest.push(typed);
        }
        on
    }

    /// Both streams with their names, in one scope.
    fn join_scope(
        &mut self,
        left: (&Name, Option<&Name>),
        join: &JoinClause,
    ) -> Result<(Sides, Scope), Noted> {
        let table = self.set.catalog.table(&join.stream.text).map(|table| table.as_stream());
        let right = table.map_or_else(|| self.stream(&join.stream), Ok);
        let streams = (self.stream(left.0), right);
        let streams = [streams.0?, streams.1?];
        let base = streams[0].schema.bytes;
        let names = |name: &Name, alias: Option<&Name>, stream: Stream| match alias {
            Some(alias) => vec![alias.text.clone()],
            None => {
                let short = stream.schema.name.split_once('.').map_or("", |(_, short)| short);
                vec![name.text.clone(), short.to_owned()]
            }
        };
        let sources = vec![
            Source { stream: streams[0], names: names(left.0, left.1, streams[0]), base: 0 },
            Source {
                stream: streams[1],
                names: names(&join.stream, join.alias.as_ref(), streams[1]),
                base,
            },
        ];
        Ok((Sides { streams, base }, Scope { sources }))
    }

    fn resolver_of(&mut self, scope: &Scope) -> Resolver<'_> {
        self.resolver_over(scope.clone())
    }

    /// `CREATE RULE ... ON a JOIN b ... WHEN ... THEN ...`.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn join_rule(&mut self, rule: &CreateRule, join: &JoinClause) -> Result<(), Noted> {
        let name = self.free(&rule.name);
        let options = self.options(&rule.options);
        let (sides, scope) = self.join_scope((&rule.stream, rule.alias.as_ref()), join)?;
        let (name, options) = (name?, options?);
        if let Some(key) = rule.partition.first() {
            let span = self.places.of(key);
            let title = "a join has its keys in ON".to_owned();
            return Err(self.wrong(&Name { text: String::new(), span }, title, "leave this out"));
        }
        let mut resolver = self.resolver_of(&scope);
        let when = resolver.condition(&rule.when);
        let mut calls = Vec::new();
        for call in &rule.then {
            let args: Result<Vec<Typed>, Noted> =
                call.args.iter().map(|arg| resolver.expr(arg)).collect();
            calls.push((call, args));
        }
        let when = when?;
        let mut outputs = Vec::new();
        for (call, args) in calls {
            outputs.push(self.call(call, args?)?);
        }
        let outputs = [outputs, vec![], vec![]];
        let named = Named { name, options: &options };
        self.join(&named, join, &sides, &scope, Some(&when), outputs)
    }

    /// `INSERT INTO ... SELECT ... FROM a JOIN b ...`.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn join_insert(
        &mut self,
        name: &'static str,
        insert: &Insert,
        join: &JoinClause,
        options: &Options,
    ) -> Result<(), Noted> {
        self.no_group_windows(options)?;
        self.none_held(options)?;
        self.no_order(insert)?;
        if let Some(by) = insert.group.first() {
            let span = self.places.of(by);
            let title = "groups of a join are not there yet".to_owned();
            let here = Name { text: String::new(), span };
            return Err(self.wrong(&here, title, "make the join a view, and group that"));
        }
        let known = if insert.is_view { Ok(()) } else { self.target(&insert.action).map(drop) };
        let (sides, scope) = self.join_scope((&insert.stream, insert.alias.as_ref()), join)?;
        let shown = match join.kind {
            JoinKind::Semi | JoinKind::Anti => Scope { sources: scope.sources[..1].to_vec() },
            _ => scope.clone(),
        };
        let mut resolver = self.resolver_of(&shown);
        let filter = insert.filter.as_ref().map(|filter| resolver.condition(filter)).transpose();
        let values: Result<Vec<Typed>, Noted> =
            insert.select.iter().map(|expr| resolver.expr(expr)).collect();
        if let Some(qualify) = &insert.qualify {
            let span = self.places.of(qualify);
            let title = "QUALIFY goes with windows, and a join has none".to_owned();
            let label = "INSERT INTO a stream first, and look at that";
            return Err(self.wrong(&Name { text: String::new(), span }, title, label));
        }
        let (filter, values) = (filter?, values?);
        known?;
        let lateness = sides.streams.map(|stream| self.set.lateness(stream.schema.stream));
        let action = if insert.is_view {
            self.view(insert, &values, lateness[0].max(lateness[1]))?
        } else {
            self.target(&insert.action)?
        };
        let columns = if insert.is_view { &[][..] } else { &insert.columns };
        let reads = sides.streams.map(|stream| stream.schema.stream);
        self.acyclic(&insert.action, &reads, action)?;
        let mut outputs: [Vec<Output>; 3] = Default::default();
        for (missing, output) in [None, Some(1), Some(0)].into_iter().zip(&mut outputs) {
            let seen = values.iter().map(|value| match missing {
                Some(side) => sides.without(side, value),
                None => value.clone(),
            });
            let seen = seen.collect();
            output.push(self.output(&insert.action, action, columns, seen)?);
        }
        let named = Named { name, options };
        self.join(&named, join, &sides, &scope, filter.as_ref(), outputs)
    }

    fn join(
        &mut self,
        named: &Named<'_>,
        join: &JoinClause,
        sides: &Sides,
        scope: &Scope,
        filter: Option<&Typed>,
        outputs: [Vec<Output>; 3],
    ) -> Result<(), Noted> {
        let mut resolver = self.resolver_of(scope);
        let on = resolver.condition(&join.on);
        let closest = join.closest.as_ref().map(|closest| resolver.condition(closest)).transpose();
        let within = join.within.as_ref().map(|within| resolver.expr(within)).transpose();
        let mut on = self.take_apart(sides, on?);
        let within = within?.map(|within| self.within(&within)).transpose()?;
        if let Some(table) = self.set.catalog.table(&join.stream.text).cloned() {
            return self.lookup(named, join, sides, (table, on), filter, outputs);
        }
        let here = Name { text: String::new(), span: join.span.clone() };
        if let Some(closest) = closest? {
            return self.as_of(named, join, sides, (&closest, &on, within), filter, outputs);
        }
        if let Some(ns) = within {
            // A span of exactly that long is outside.
            (on.low, on.high) = (on.low.max(Some(1 - ns)), Some(on.high.unwrap_or(ns).min(ns - 1)));
        }
        let per = self.per(scope, join)?;
        let between = match (on.low, on.high, &per) {
            (Some(low), Some(high), _) => (low, high),
            // One row of every value: that is a bound.
            (low, high, Some(_)) => (low.unwrap_or(-i64::MAX), high.unwrap_or(i64::MAX)),
            (low, ..) => {
                let missing = if low.is_none() { "earlier" } else { "later" };
                let title = format!("the join has no bound on how much {missing} a row may be");
                let noted = self.wrong(&here, title, "its state would grow for ever");
                let [a, b] = [0, 1].map(|at: usize| {
                    scope.sources[at].names.first().map_or("", String::as_str).to_owned()
                });
                self.diagnostics.help(format!(
                    "add AND {b}.ts_event BETWEEN {a}.ts_event - INTERVAL '5' SECOND AND \
                     {a}.ts_event + INTERVAL '5' SECOND"
                ));
                return Err(noted);
            }
        };
        let keys = [
            KeyProgram::new(self.compile_all(&on.keys[0])?),
            KeyProgram::new(self.compile_all(&on.keys[1])?),
        ];
        let mut programs: [Option<Program>; 3] = Default::default();
        if let Some(filter) = filter {
            let alone = [sides.without(1, filter), sides.without(0, filter)];
            for (program, typed) in programs.iter_mut().zip([filter, &alone[0], &alone[1]]) {
                *program = Some(self.compile(typed)?);
            }
        }
        let state = self.states_of(sides, &on)?;
        let plan = JoinPlan {
            kind: join.kind,
            keys,
            between,
            per,
            on: on.condition().map(|on| self.compile(&on)).transpose()?,
            filters: programs,
            outputs,
            words: sides.streams.map(|stream| stream.schema.bytes / 8),
            rows_max: named.rows_max(),
            lateness: named.options.lateness,
        };
        let mut reads = sides.streams.map(|stream| stream.schema.stream).to_vec();
        reads.push(Tick::STREAM);
        let kind = Kind::Join(Box::new(plan));
        self.set.rules.push(Rule::new(named.name, named.options, reads, state, kind));
        Ok(())
    }

    /// What a join keeps state of either side by.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn states_of(&mut self, sides: &Sides, on: &On) -> Result<Vec<StateKey>, Noted> {
        let mut state = Vec::new();
        for (side, keys) in on.keys.iter().enumerate() {
            let keys: Vec<Typed> = keys.iter().map(|key| sides.alone(side, key)).collect();
            state.push(self.state_key(sides.streams[side], &keys)?);
        }
        Ok(state)
    }

    /// `PER (columns)`, for either side.
    fn per(&mut self, scope: &Scope, join: &JoinClause) -> Result<Option<[KeyProgram; 2]>, Noted> {
        let Some(columns) = &join.per else { return Ok(None) };
        let mut both = Vec::new();
        for side in 0..2 {
            // The columns are named without a stream: each side has its own.
            let own = Scope { sources: vec![scope.sources[side].clone()] };
            let mut resolver = self.resolver_of(&own);
            let typed: Result<Vec<Typed>, Noted> =
                columns.iter().map(|column| resolver.expr(column)).collect();
            both.push(KeyProgram::new(self.compile_all(&typed?)?));
        }
        let [left, right] = <[KeyProgram; 2]>::try_from(both).map_err(|_| Noted)?;
        Ok(Some([left, right]))
    }
}

impl JoinPlan {
    /// What it comes to, a line per part.
    pub(super) fn explain(&self, out: &mut Vec<String>) {
        let seconds = |ns: i64| match ns {
            -9_223_372_036_854_775_807 | i64::MAX => "any time".to_owned(),
            ns => format!("{} s", ns as f64 / 1e9),
        };
        let (low, high) = self.between;
        let per = self.per.as_ref().map_or("", |_| ", the latest row of each");
        out.push(format!(
            "{:?} join on {} key parts, the right row from {} to {} after the left one{per}, at \
             most {} rows a side, {} MiB",
            self.kind,
            self.keys[0].len(),
            seconds(low),
            seconds(high),
            self.rows_max,
            Join::bytes(self).div_ceil(1 << 20),
        ));
        if let Some(on) = &self.on {
            out.push(format!("condition of a pair: {} instructions", on.len()));
        }
        out.extend(self.outputs[0].iter().map(|output| format!("then {}", output.schema.name)));
    }
}
