//! SELECT ... GROUP BY keys and a window of time.
//!
//! Invariant: what is selected is made of keys, of the window's bounds and of aggregates; nothing
//! of a single row is left in it.

use corelane_feeds::record::View;
use corelane_feeds::schema::HEADER_FIELDS;
use corelane_feeds::streams::sys::Tick;
use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::{Kind, Options, Output, Planner, Program, Rule};
use crate::rules::ast::Insert;
use crate::rules::catalog::Stream;
use crate::rules::expr::{Node, Typed};
use crate::rules::functions::{GROUP_WINDOWS, signature};
use crate::rules::group::{GroupSpec, Groups, Shape};
use crate::rules::key::KeyProgram;
use crate::rules::resolve::{Noted, Resolver};
use crate::rules::types::Type;
use crate::rules::window::{Aggregate, Frame, Spec};
use crate::rules::windows::{WindowPlans, placeless};

/// Where begin and end of a window are among the windows that programs refer to.
pub(in crate::rules) const BOUNDS: usize = 1;
/// Where keys are.
const KEYS: usize = 2;
/// Panes of a key, if a rule does not say, at most.
const PANES_OF_KEY: i64 = 8;

/// Values that are counted or put in buckets, if a rule does not say.
const VALUES_MAX: usize = 1 << 20;

/// When results are told.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::rules) enum Emit {
    /// Once, when the window has closed.
    #[default]
    Close,
    /// With every row.
    Change,
}

/// A grouped query.
#[derive(Clone, Debug)]
pub(in crate::rules) struct GroupPlan {
    pub(in crate::rules) filter: Option<Program>,
    /// A row's time.
    pub(in crate::rules) time: Program,
    pub(in crate::rules) key: KeyProgram,
    pub(in crate::rules) args: Vec<(Program, Type)>,
    pub(in crate::rules) spec: GroupSpec,
    pub(in crate::rules) emit: Emit,
    /// How much longer than their streams' watermark windows stay open, nanoseconds.
    pub(in crate::rules) lateness: u64,
    pub(in crate::rules) having: Option<Program>,
    pub(in crate::rules) output: Output,
}

impl GroupPlan {
    /// What it comes to, a line per part.
    pub(super) fn explain(&self, out: &mut Vec<String>) {
        if let Some(filter) = &self.filter {
            out.push(format!("filter: {} instructions", filter.len()));
        }
        let ns = |ns: i64| format!("{:?}", std::time::Duration::from_nanos(ns.unsigned_abs()));
        let shape = match self.spec.shape {
            Shape::Hop { slide, size, .. } if slide == size => format!("tumble {}", ns(size)),
            Shape::Hop { slide, size, pane, .. } => {
                format!("hop {} of {} in panes of {}", ns(slide), ns(size), ns(pane))
            }
            Shape::Cumulate { step, size, .. } => format!("cumulate {} to {}", ns(step), ns(size)),
            Shape::Session { gap } => format!("session {}", ns(gap)),
            Shape::Ever => "groups that never end".to_owned(),
            Shape::Every { every, .. } => format!("groups that never end, every {}", ns(every)),
        };
        let emit = match self.emit {
            Emit::Close => "told when closed",
            Emit::Change => "told with every row",
        };
        let bytes = Groups::new(self.spec.clone()).map_or(0, |groups| groups.bytes_max());
        out.push(format!(
            "{shape}: {} key parts, {} aggregates, {emit}, {} late, at most {} keys, {} panes, \
             {} MiB",
            self.key.len(),
            self.spec.rows.aggregates.len(),
            ns(self.lateness.cast_signed()),
            self.spec.rows.keys_max,
            self.spec.panes_max,
            bytes.div_ceil(1 << 20),
        ));
        if let Some(having) = &self.having {
            out.push(format!("having: {} instructions", having.len()));
        }
        out.push(format!("then {}", self.output.schema.name));
    }
}

/// What GROUP BY says.
struct Grouping {
    keys: Vec<Typed>,
    shape: Shape,
    time: Typed,
}

impl Planner<'_> {
    /// `INSERT INTO ... SELECT ... GROUP BY ...`, or a view of it.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn grouped(
        &mut self,
        name: &'static str,
        insert: &Insert,
        options: &Options,
    ) -> Result<(), Noted> {
        self.no_order(insert)?;
        let known = if insert.is_view { Ok(()) } else { self.target(&insert.action).map(drop) };
        let stream = self.stream(&insert.stream)?;
        if let Some(window) = &insert.qualify {
            let span = self.places.of(window);
            let title = "QUALIFY goes with per-record windows";
            self.diagnostics.push(span, title, "groups are chosen by HAVING");
            return Err(Noted);
        }
        let mut resolver = self.resolver(stream, &insert.stream, insert.alias.as_ref());
        let filter = insert.filter.as_ref().map(|filter| resolver.condition(filter)).transpose();
        let grouping = resolver.grouping(&insert.group, stream);
        let mut plans = WindowPlans { is_group: true, ..WindowPlans::default() };
        resolver.windows = Some(&mut plans);
        let having = insert.having.as_ref().map(|expr| resolver.condition(expr)).transpose();
        let values: Result<Vec<Typed>, Noted> =
            insert.select.iter().map(|expr| resolver.expr(expr)).collect();
        let (filter, grouping, mut having, mut values) = (filter?, grouping?, having?, values?);
        let grouping = Grouping { shape: self.told_every(options, grouping.shape)?, ..grouping };
        known?;
        for typed in values.iter_mut().chain(&mut having) {
            to_keys(typed, &grouping.keys);
            self.grouped_only(typed)?;
        }
        self.ever_ends(insert, options, grouping.shape)?;
        let lateness = match options.emit {
            Emit::Close => 0,
            Emit::Change => self.set.lateness(stream.schema.stream),
        };
        let edges: Vec<Option<i64>> =
            values.iter().map(|value| edge(value, grouping.shape)).collect();
        let mut output = self.destination(insert, stream, values, lateness)?;
        if insert.is_view && options.emit == Emit::Close {
            let view = output.schema.stream;
            for (column, edge) in output.columns.iter().zip(edges) {
                if let Some(ns) = edge {
                    self.set.catalog.set_bound(view, column.field.offset, ns);
                }
            }
        }
        let having = having.map(|having| self.compile(&having)).transpose()?;
        let plan = plans.plans.into_iter().next();
        let (args, aggregates) =
            plan.map_or_else(Default::default, |plan| (plan.args, plan.aggregates));
        let key = KeyProgram::new(self.compile_all(&grouping.keys)?);
        let mut having = having;
        let number = |packed: usize| match packed >> 16 {
            KEYS => packed & 0xffff,
            BOUNDS => key.len() + (packed & 0xffff),
            _ => key.len() + 2 + (packed & 0xffff),
        };
        having.iter_mut().for_each(|program| program.number_inputs(&number));
        output.columns.iter_mut().for_each(|column| column.program.number_inputs(&number));
        let spec = self.group_spec(insert, options, grouping.shape, &key, &args, aggregates)?;
        let plan = GroupPlan {
            filter: filter.map(|filter| self.compile(&filter)).transpose()?,
            time: self.compile(&grouping.time)?,
            key,
            args: self.compile_all(&args)?,
            spec,
            emit: options.emit,
            lateness: options.lateness,
            having,
            output,
        };
        let reads = vec![stream.schema.stream, Tick::SCHEMA.stream];
        let state = vec![self.state_key(stream, &grouping.keys)?];
        let kind = Kind::Group(Box::new(plan));
        self.set.rules.push(Rule::new(name, options, reads, state, kind));
        Ok(())
    }

    /// Groups that never end may be told every so often.
    fn told_every(&mut self, options: &Options, shape: Shape) -> Result<Shape, Noted> {
        let Some(key) = &options.of_held else { return Ok(shape) };
        let wrong = match (shape, options.every, options.emit) {
            _ if options.delay.is_some() => "groups are not held: make this a view",
            (Shape::Ever, Some(every), Emit::Close) => {
                let (every, offset) = (every.cast_signed(), options.offset.cast_signed());
                return Ok(Shape::Every { every, offset });
            }
            (Shape::Ever, None, _) => "every what?",
            (Shape::Ever, ..) => "they are told as they change",
            _ => "windows are told when they close",
        };
        let title = match options.delay {
            Some(_) => format!("`{}` goes with rows of one stream", key.text),
            None => format!("`{}` goes with groups that never end", key.text),
        };
        Err(self.wrong(key, title, wrong))
    }

    /// Groups that never end are told as they change, or never.
    fn ever_ends(&mut self, insert: &Insert, options: &Options, shape: Shape) -> Result<(), Noted> {
        if shape != Shape::Ever || options.emit == Emit::Change {
            return Ok(());
        }
        let title = "groups that never end are told as they change".to_owned();
        let noted = self.wrong(&insert.action, title, "when would this one be told?");
        let help = "add tumble(ts_event, INTERVAL '1' MINUTE), hop, session or cumulate to \
                    GROUP BY, or WITH (emit = 'change'), or WITH (every = '1s')";
        self.diagnostics.help(help);
        Err(noted)
    }

    fn group_spec(
        &mut self,
        insert: &Insert,
        options: &Options,
        shape: Shape,
        key: &KeyProgram,
        args: &[Typed],
        aggregates: Vec<Aggregate>,
    ) -> Result<GroupSpec, Noted> {
        let rows = Spec {
            key_words: key.words(),
            frame: Frame::Unbounded,
            lateness: 0,
            args: args.iter().map(|arg| arg.ty).collect(),
            aggregates,
            keys_max: options.keys_max,
            rows_max: options.rows_max.unwrap_or(VALUES_MAX),
        };
        let panes_max = options.windows_max.unwrap_or(options.keys_max * panes_of_key(shape));
        let spec = GroupSpec { shape, rows, panes_max };
        let Err(error) = spec.check() else { return Ok(spec) };
        let title = format!("these windows cannot be: {error}");
        Err(self.wrong(&insert.action, title, "in this query"))
    }

    /// Notes a mistake if anything of a single row is left.
    fn grouped_only(&mut self, typed: &Typed) -> Result<(), Noted> {
        let mut open = vec![typed];
        while let Some(typed) = open.pop() {
            if let Node::Column(_) = typed.node {
                let title = "a column of single rows in a query of groups";
                let label = "neither in GROUP BY nor in an aggregate";
                self.diagnostics.push(typed.span.clone(), title, label);
                self.diagnostics.help("group by it, or take min, max, first_value or last_value");
                return Err(Noted);
            }
            open.extend(typed.parts());
        }
        Ok(())
    }
}

/// How much a bound of a window is before its last moment, when what it leads to happens.
fn edge(value: &Typed, shape: Shape) -> Option<i64> {
    match (&value.node, shape) {
        (Node::Window { window: BOUNDS, aggregate: 1 }, _) => Some(-1),
        (Node::Window { window: BOUNDS, aggregate: 0 }, Shape::Hop { size, .. }) => Some(size - 1),
        _ => None,
    }
}

/// Panes of a key, if a rule does not say.
fn panes_of_key(shape: Shape) -> usize {
    match shape {
        Shape::Hop { slide, size, pane, .. } if slide != size => {
            (size / pane + 1).min(PANES_OF_KEY) as usize
        }
        Shape::Ever => 1,
        _ => 2,
    }
}

/// Reads keys where they are meant.
fn to_keys(typed: &mut Typed, keys: &[Typed]) {
    let plain = placeless(typed);
    if let Some(key) = keys.iter().position(|key| *key == plain) {
        typed.node = Node::Window { window: KEYS, aggregate: key };
        return;
    }
    typed.parts_mut().into_iter().for_each(|part| to_keys(part, keys));
}

/// The call of a window of time, if that is what an expression is.
fn window_call(expr: &Expr) -> Option<(&'static str, &Function)> {
    let Expr::Function(call) = expr else { return None };
    let name = call.name.to_string();
    let known = GROUP_WINDOWS.iter().find(|known| known.eq_ignore_ascii_case(&name))?;
    Some((known, call))
}

impl Resolver<'_> {
    fn grouping(&mut self, by: &[Expr], stream: Stream) -> Result<Grouping, Noted> {
        let mut keys = Vec::new();
        let mut window = None;
        for expr in by {
            let Some((name, call)) = window_call(expr) else {
                let key = self.expr(expr)?;
                if key.constant().is_some() {
                    let title = "GROUP BY takes columns and expressions";
                    return Err(self.wrong(key.span, title, "not their places"));
                }
                keys.push(placeless(&key));
                continue;
            };
            if window.is_some() {
                let span = self.places.of(expr);
                return Err(self.wrong(span, "more than one window in GROUP BY", "one too many"));
            }
            window = Some(self.group_window(name, call, expr, stream)?);
        }
        let ever = || {
            let ts = HEADER_FIELDS.iter().find(|field| field.name == "ts_event");
            let column = ts.and_then(|field| stream.column(field.name)).ok_or(Noted)?;
            Ok((Shape::Ever, Typed::new(Node::Column(column), Type::Timestamp, 0..0)))
        };
        let (shape, time) = window.map_or_else(ever, Ok)?;
        Ok(Grouping { keys, shape, time })
    }

    fn group_window(
        &mut self,
        name: &'static str,
        call: &Function,
        expr: &Expr,
        stream: Stream,
    ) -> Result<(Shape, Typed), Noted> {
        let span = self.places.of(expr);
        let mut args = Vec::new();
        if let FunctionArguments::List(list) = &call.args {
            for arg in &list.args {
                if let FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) = arg {
                    args.push(self.expr(arg)?);
                }
            }
        }
        let mut args = args.into_iter();
        let time = args.next().filter(|time| is_event_time(time, stream));
        let lengths: Option<Vec<i64>> =
            args.map(|arg| arg.constant().filter(|_| arg.ty == Type::Interval)).collect();
        let shape = match (name, lengths.as_deref().unwrap_or_default()) {
            ("tumble", [size]) => Some(Shape::tumble(*size, 0)),
            ("tumble", [size, offset]) => Some(Shape::tumble(*size, *offset)),
            ("hop", [slide, size]) => Some(Shape::hop(*slide, *size, 0)),
            ("hop", [slide, size, offset]) => Some(Shape::hop(*slide, *size, *offset)),
            ("cumulate", [step, size]) => {
                Some(Shape::Cumulate { step: *step, size: *size, offset: 0 })
            }
            ("cumulate", [step, size, offset]) => {
                Some(Shape::Cumulate { step: *step, size: *size, offset: *offset })
            }
            ("session", [gap]) => Some(Shape::Session { gap: *gap }),
            _ => None,
        };
        let Some(shape) = shape else {
            let noted = self.wrong(span, format!("`{name}` takes other arguments"), "here");
            self.diagnostics.help(format!("it is called {}", signature(name)));
            return Err(noted);
        };
        let Some(time) = time else {
            let title = format!("`{name}` goes by event time");
            let noted = self.wrong(span, title, "its first argument is another value");
            let own = stream.time.map(|column| format!(", or `{column}`")).unwrap_or_default();
            self.diagnostics.help(format!("it is called `ts_event`{own}"));
            return Err(noted);
        };
        if !shape.is_valid() {
            let title = "these windows cannot be";
            let label = match shape {
                Shape::Hop { .. } => "0 < slide <= size <= 9 years, and at most 65,535 at a time",
                Shape::Cumulate { .. } => "the size is a multiple of the step, at most 9 years",
                _ => "the gap is positive, at most 9 years",
            };
            return Err(self.wrong(span, title, label));
        }
        Ok((shape, time))
    }
}

/// Whether an expression is the time of a stream's records.
fn is_event_time(typed: &Typed, stream: Stream) -> bool {
    let Node::Column(column) = typed.node else { return false };
    let known = ["ts_event"].into_iter().chain(stream.time);
    known.filter_map(|name| stream.column(name)).any(|known| known == column)
}
