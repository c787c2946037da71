//! Names in a row pattern: variables, and functions that look at the rows of a match.
//!
//! ```text
//! DEFINE fall AS price < prev(price) AND qty > first(start.qty)
//!                ─────   ───────────           ────────────────
//!        of the row at hand   a navigation      another one: inputs of the condition's program
//! ```
//!
//! Invariant: what a navigation looks at is a row's own columns; no navigation stands in another,
//! but FIRST and LAST in PREV and NEXT.

use std::ops::Range;

use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::{Noted, Resolved, Resolver, Source};
use crate::diagnostics::nearest;
use crate::rules::catalog::{Column, Stream};
use crate::rules::expr::{Node, Typed};
use crate::rules::pattern::VarSet;
use crate::rules::types::Type;
use crate::rules::windows::same;

/// How far PREV, NEXT, FIRST and LAST reach.
const REACH_MAX: i64 = 1_000;
/// Navigations of a rule.
const NAVS_MAX: usize = 1_000;
/// Bytes of what `outcome()` says, and of a variable's name.
const WORD_BYTES: u8 = 32;

/// An aggregate over rows of a match.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(in crate::rules) enum Fold {
    Count,
    Sum,
    Avg,
    Min,
    Max,
}

/// What a navigation finds.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(in crate::rules) enum What {
    /// A value of one row: the `n`th from the first or last one of these variables, and then so
    /// many rows on.
    Row {
        of: VarSet,
        from_first: bool,
        n: usize,
        step: i64,
        is_final: bool,
        /// The row's variable, not a value of its columns.
        classifier: bool,
    },
    /// A value of all rows of these variables.
    Fold { of: VarSet, fold: Fold, is_final: bool },
    /// A part of the key.
    Key(usize),
    /// MATCH_NUMBER()
    Number,
    /// outcome()
    Outcome,
}

/// A navigation, with the value of a row that it takes.
#[derive(Clone, Debug)]
pub(in crate::rules) struct Nav<V> {
    pub(in crate::rules) what: What,
    pub(in crate::rules) value: Option<V>,
    pub(in crate::rules) ty: Type,
}

/// A pattern variable and what its rows are.
#[derive(Clone, Debug)]
pub(in crate::rules) struct Variable {
    pub(in crate::rules) name: String,
    pub(in crate::rules) stream: Stream,
}

/// Where an expression stands.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(in crate::rules) enum Place {
    /// The condition of a variable.
    Condition(u8),
    /// A measure, or an action's value.
    Measure,
    /// The query over the result; with the columns of its rows, if there are all rows.
    Result { all_rows: bool },
}

/// What names mean in a pattern.
#[derive(Clone, Debug)]
pub(in crate::rules) struct PatternScope {
    pub(in crate::rules) vars: Vec<Variable>,
    pub(in crate::rules) subsets: Vec<(String, VarSet)>,
    /// The streams, with their names.
    pub(in crate::rules) sources: Vec<Source>,
    pub(in crate::rules) place: Place,
    pub(in crate::rules) navs: Vec<Nav<Typed>>,
    /// Parts of the key, of each source.
    pub(in crate::rules) keys: Vec<Vec<Typed>>,
    pub(in crate::rules) measures: Vec<(String, Typed)>,
    /// What the result is called.
    pub(in crate::rules) result: Option<String>,
    /// Set while the value of a navigation is read: the rows it turned out to be of.
    pub(in crate::rules) inside: Option<Option<VarSet>>,
}

impl PatternScope {
    /// The rows that a qualifier stands for.
    fn set_of(&self, name: &str) -> Option<VarSet> {
        let is = |own: &str| own.eq_ignore_ascii_case(name);
        let var = (0..).zip(&self.vars).find(|(_, var)| is(&var.name));
        let subset = || self.subsets.iter().find(|(own, _)| is(own)).map(|(_, set)| *set);
        var.map(|(at, _)| VarSet::of(at)).or_else(subset)
    }

    fn names(&self) -> Vec<&str> {
        let vars = self.vars.iter().map(|var| var.name.as_str());
        vars.filter(|name| !name.contains('#'))
            .chain(self.subsets.iter().map(|(name, _)| name.as_str()))
            .collect()
    }

    /// The streams of these rows, each once.
    fn streams_of(&self, of: VarSet) -> Vec<Stream> {
        let mut streams: Vec<Stream> = Vec::new();
        let vars = (0..).zip(&self.vars).filter(|(at, _)| of.has(*at)).map(|(_, var)| var.stream);
        let all = self.sources.iter().map(|source| source.stream);
        let mut add = |stream: Stream| {
            if streams.iter().all(|known| known.schema.stream != stream.schema.stream) {
                streams.push(stream);
            }
        };
        if of == VarSet::ALL {
            all.for_each(&mut add);
        } else {
            vars.for_each(&mut add);
        }
        streams
    }

    /// Adds a navigation, unless it is there.
    fn add(&mut self, nav: Nav<Typed>) -> usize {
        let is_same = |known: &Nav<Typed>| {
            known.what == nav.what
                && match (&known.value, &nav.value) {
                    (None, None) => true,
                    (Some(a), Some(b)) => same(a, b),
                    _ => false,
                }
        };
        self.navs.iter().position(is_same).unwrap_or_else(|| {
            self.navs.push(nav);
            self.navs.len() - 1
        })
    }
}

fn constant(arg: &FunctionArg) -> Option<&Expr> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

fn args_of(call: &Function) -> &[FunctionArg] {
    match &call.args {
        FunctionArguments::List(list) => &list.args,
        _ => &[],
    }
}

/// FIRST or LAST with its argument, as PREV and NEXT take them apart.
struct From<'e> {
    value: &'e Expr,
    from_first: bool,
    n: usize,
    is_final: bool,
}

impl Resolver<'_> {
    fn rows_scope(&mut self) -> Result<&mut PatternScope, Noted> {
        self.pattern.as_deref_mut().ok_or(Noted)
    }

    fn input(&mut self, nav: Nav<Typed>, span: Range<usize>) -> Resolved {
        let ty = nav.ty;
        if self.rows_scope()?.navs.len() == NAVS_MAX {
            return Err(self.wrong(span, "the pattern looks at too much", "at most 1000 values"));
        }
        let aggregate = self.rows_scope()?.add(nav);
        Ok(Typed::new(Node::Window { window: 0, aggregate }, ty, span))
    }

    /// A column in a pattern.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn pattern_column(
        &mut self,
        qualifier: Option<&str>,
        name: &str,
        span: Range<usize>,
    ) -> Resolved {
        let scope = self.rows_scope()?;
        if let Place::Result { all_rows } = scope.place {
            return self.result_column(qualifier, name, all_rows, span);
        }
        let of = match qualifier {
            None => None,
            Some(qualifier) => match scope.set_of(qualifier) {
                Some(of) => Some(of),
                // The stream's own name says nothing that is not known.
                None if scope.sources.len() == 1 && scope.sources[0].is_called(Some(qualifier)) => {
                    None
                }
                None => {
                    let known = scope.names().join(", ");
                    let names = scope.names();
                    let meant = nearest(qualifier, names).filter(|_| qualifier.len() > 1);
                    let meant = meant.map(str::to_owned);
                    let title = format!("`{qualifier}` is no variable of the pattern");
                    let noted = self.wrong(span, title, "unknown variable");
                    self.diagnostics.help(match meant {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => format!("its variables: {known}"),
                    });
                    return Err(noted);
                }
            },
        };
        let place = scope.place;
        if let Some(inside) = scope.inside {
            let of = of.unwrap_or(VarSet::ALL);
            if inside.is_some_and(|other| other != of) {
                let label = "one variable, or none, qualifies all columns in it";
                return Err(self.wrong(span, "a value is of one row at a time", label));
            }
            self.rows_scope()?.inside = Some(Some(of));
            // In the condition of a variable, rows of all kinds are meant only if they are.
            let column = self.column_of(of, qualifier, name, span.clone())?;
            return Ok(Typed::new(Node::Column(column), column.ty(), span));
        }
        let own = match place {
            Place::Condition(var) => Some(VarSet::of(var)),
            _ => None,
        };
        if own.is_some() && (of.is_none() || of == own) {
            let column = self.column_of(own.unwrap_or_default(), qualifier, name, span.clone())?;
            return Ok(Typed::new(Node::Column(column), column.ty(), span));
        }
        if of.is_none()
            && let Some(key) = self.key_part(name)
        {
            return self.input(key, span);
        }
        let of = of.unwrap_or(VarSet::ALL);
        let column = self.column_of(of, qualifier, name, span.clone())?;
        let value = Typed::new(Node::Column(column), column.ty(), span.clone());
        self.last(of, value, span)
    }

    fn last(&mut self, of: VarSet, value: Typed, span: Range<usize>) -> Resolved {
        let (from_first, n, step) = (false, 0, 0);
        let what = What::Row { of, from_first, n, step, is_final: false, classifier: false };
        self.input(Nav { what, ty: value.ty, value: Some(value) }, span)
    }

    /// A part of the key that is just this column.
    fn key_part(&mut self, name: &str) -> Option<Nav<Typed>> {
        let scope = self.pattern.as_deref()?;
        let column = scope.sources.first()?.stream.column(name)?;
        let is_it = |key: &Typed| matches!(&key.node, Node::Column(own) if *own == column);
        let part = scope.keys.first()?.iter().position(is_it)?;
        Some(Nav { what: What::Key(part), value: None, ty: column.ty() })
    }

    /// A column that all these rows have, at one place.
    fn column_of(
        &mut self,
        of: VarSet,
        qualifier: Option<&str>,
        name: &str,
        span: Range<usize>,
    ) -> Result<Column, Noted> {
        let streams = self.rows_scope()?.streams_of(of);
        let columns: Vec<Option<Column>> = streams.iter().map(|s| s.column(name)).collect();
        if let [Some(first), rest @ ..] = columns.as_slice()
            && rest.iter().all(|column| column.as_ref() == Some(first))
        {
            return Ok(*first);
        }
        if columns.iter().any(Option::is_some) && qualifier.is_none() {
            let title = format!("`{name}` is a column of rows of several streams");
            let noted = self.wrong(span, title, "of which variable?");
            let known = self.rows_scope()?.names().join(", ");
            self.diagnostics.help(format!("write `variable.{name}`; the variables: {known}"));
            return Err(noted);
        }
        let of = streams.iter().map(|stream| stream.schema.name).collect::<Vec<_>>().join(", ");
        let noted = self.wrong(span, format!("`{of}` has no column `{name}`"), "unknown column");
        let known: Vec<&str> = streams.iter().flat_map(Stream::column_names).collect();
        self.diagnostics.help(match nearest(name, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("its columns: {}", known.join(", ")),
        });
        Err(noted)
    }

    /// A column of the result: a measure, a part of the key, or with all rows a row's column.
    fn result_column(
        &mut self,
        qualifier: Option<&str>,
        name: &str,
        all_rows: bool,
        span: Range<usize>,
    ) -> Resolved {
        let scope = self.rows_scope()?;
        let is_result = |own: &Option<String>, name: &str| {
            own.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name))
        };
        if let Some(qualifier) = qualifier.filter(|name| !is_result(&scope.result, name)) {
            let title = format!("`{qualifier}` is not known outside of the pattern");
            return Err(self.wrong(span, title, "name a measure of it instead"));
        }
        let measure = scope.measures.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        if let Some((_, measure)) = measure {
            return Ok(Typed { span, ..measure.clone() });
        }
        if let Some(key) = self.key_part(name) {
            return self.input(key, span);
        }
        if all_rows {
            let column = self.column_of(VarSet::ALL, None, name, span.clone())?;
            return Ok(Typed::new(Node::Column(column), column.ty(), span));
        }
        let scope = self.rows_scope()?;
        let known: Vec<String> = scope.measures.iter().map(|(name, _)| name.clone()).collect();
        let noted = self.wrong(span, format!("no measure is called `{name}`"), "unknown");
        self.diagnostics.help(match nearest(name, known.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!(
                "one row per match has the columns of PARTITION BY and the measures: {}",
                known.join(", ")
            ),
        });
        Err(noted)
    }

    /// A function that looks at rows of the match; `None` if it is another one.
    pub(in crate::rules) fn pattern_function(
        &mut self,
        call: &Function,
        span: Range<usize>,
    ) -> Option<Resolved> {
        let place = self.pattern.as_deref()?.place;
        let name = call.name.to_string().to_ascii_lowercase();
        let (is_final, plain) = match name.split_once(' ') {
            Some((semantics, plain)) => (semantics == "final", plain),
            None => (false, name.as_str()),
        };
        let is_known = matches!(
            plain,
            "first"
                | "last"
                | "prev"
                | "next"
                | "count"
                | "sum"
                | "avg"
                | "min"
                | "max"
                | "classifier"
                | "match_number"
                | "outcome"
        );
        if !is_known && plain == name
            || matches!(place, Place::Result { .. })
            || call.over.is_some()
        {
            return None;
        }
        if self.rows_scope().is_ok_and(|scope| scope.inside.is_some()) {
            let title = "a navigation cannot stand in another one";
            return Some(Err(self.wrong(span, title, "PREV and NEXT take FIRST and LAST alone")));
        }
        if is_final && matches!(place, Place::Condition(_)) {
            let title = "the end of the match is not known in a condition";
            return Some(Err(self.wrong(span, title, "FINAL is for measures")));
        }
        let args = args_of(call);
        Some(match plain {
            "first" | "last" | "prev" | "next" => self.navigation(plain, args, is_final, &span),
            "count" | "sum" | "avg" | "min" | "max" => self.fold(plain, args, is_final, span),
            "classifier" => self.classifier(args, is_final, span),
            "match_number" | "outcome" => {
                if matches!(place, Place::Condition(_)) || !args.is_empty() {
                    let title = format!("`{plain}()` is a measure");
                    return Some(Err(self.wrong(span, title, "it has no place in a condition")));
                }
                let (what, ty) = match plain {
                    "outcome" => (What::Outcome, Type::Text(WORD_BYTES)),
                    _ => (What::Number, Type::Int),
                };
                self.input(Nav { what, value: None, ty }, span)
            }
            _ => {
                let title = format!("`{plain}` does not look at rows");
                Err(self.wrong(span, title, "FINAL and RUNNING say nothing here"))
            }
        })
    }

    fn reach(&mut self, arg: Option<&FunctionArg>, least: usize) -> Result<usize, Noted> {
        let Some(arg) = arg else { return Ok(least) };
        let typed = match constant(arg) {
            Some(expr) => self.expr(expr)?,
            None => return Err(Noted),
        };
        match (typed.ty, typed.constant()) {
            (Type::Int, Some(n @ 0..=REACH_MAX)) => Ok(n as usize),
            _ => {
                let label = format!("a whole number up to {REACH_MAX}");
                Err(self.wrong(typed.span, "how many rows is not said", label))
            }
        }
    }

    /// Reads a value of a row, and of which rows it is.
    fn row_value(&mut self, value: &Expr) -> Result<(Typed, VarSet), Noted> {
        self.rows_scope()?.inside = Some(None);
        let typed = self.expr(value);
        let of = self.rows_scope()?.inside.take().flatten();
        let typed = typed?;
        match of {
            Some(of) => Ok((typed, of)),
            None => Err(self.wrong(typed.span, "there is no column in it", "a value of a row")),
        }
    }

    fn taken_apart<'e>(
        &mut self,
        args: &'e [FunctionArg],
        name: &str,
        is_final: bool,
        span: &Range<usize>,
    ) -> Result<From<'e>, Noted> {
        let Some(value) = args.first().and_then(constant) else {
            return Err(self.wrong(span.clone(), format!("`{name}` of what?"), "a column"));
        };
        let Expr::Function(inner) = value else {
            return Ok(From { value, from_first: false, n: 0, is_final });
        };
        let own = inner.name.to_string().to_ascii_lowercase();
        let (semantics, own) = own.split_once(' ').unwrap_or(("", &own));
        if own != "first" && own != "last" {
            return Ok(From { value, from_first: false, n: 0, is_final });
        }
        let args = args_of(inner);
        let n = self.reach(args.get(1), 0)?;
        match args.first().and_then(constant) {
            Some(value) => {
                let is_final = is_final || semantics == "final";
                Ok(From { value, from_first: own == "first", n, is_final })
            }
            None => Err(self.wrong(span.clone(), format!("`{own}` of what?"), "a column")),
        }
    }

    fn navigation(
        &mut self,
        name: &str,
        args: &[FunctionArg],
        is_final: bool,
        span: &Range<usize>,
    ) -> Resolved {
        if args.len() > 2 {
            let title = format!("`{name}` takes a value, and how many rows");
            return Err(self.wrong(span.clone(), title, "too much"));
        }
        let (from, step) = if name == "first" || name == "last" {
            let Some(value) = args.first().and_then(constant) else {
                return Err(self.wrong(span.clone(), format!("`{name}` of what?"), "a column"));
            };
            let n = self.reach(args.get(1), 0)?;
            (From { value, from_first: name == "first", n, is_final }, 0)
        } else {
            let by = self.reach(args.get(1), 1)? as i64;
            let from = self.taken_apart(args, name, is_final, span)?;
            (from, if name == "prev" { -by } else { by })
        };
        let (value, of) = self.row_value(from.value)?;
        let From { from_first, n, is_final, .. } = from;
        let what = What::Row { of, from_first, n, step, is_final, classifier: false };
        self.input(Nav { what, ty: value.ty, value: Some(value) }, span.clone())
    }

    fn fold(
        &mut self,
        name: &str,
        args: &[FunctionArg],
        is_final: bool,
        span: Range<usize>,
    ) -> Resolved {
        let fold = match name {
            "count" => Fold::Count,
            "sum" => Fold::Sum,
            "avg" => Fold::Avg,
            "min" => Fold::Min,
            _ => Fold::Max,
        };
        let (value, of) = match args {
            [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] if fold == Fold::Count => {
                (None, VarSet::ALL)
            }
            [FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(of))]
                if fold == Fold::Count =>
            {
                let Some(of) = self.rows_scope()?.set_of(&of.to_string()) else {
                    let title = format!("`{of}` is no variable of the pattern");
                    return Err(self.wrong(span, title, "unknown variable"));
                };
                (None, of)
            }
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(value))] => {
                let (value, of) = self.row_value(value)?;
                (Some(value), of)
            }
            _ => return Err(self.wrong(span, format!("`{name}` takes one value"), "here")),
        };
        let arg = value.as_ref().map_or(Type::Int, |value| value.ty);
        let keeps_order = matches!(fold, Fold::Min | Fold::Max)
            && matches!(arg, Type::Timestamp | Type::Interval | Type::Bool);
        if fold != Fold::Count && !arg.is_number() && !keeps_order {
            return Err(self.wrong(span, format!("`{name}` takes no {arg}"), "here"));
        }
        let ty = match (fold, arg) {
            (Fold::Count, _) => Type::Int,
            (Fold::Avg, Type::Int) => Type::Double,
            (Fold::Avg, Type::Decimal(scale)) => Type::Decimal(scale.max(6)),
            (_, arg) => arg,
        };
        self.input(Nav { what: What::Fold { of, fold, is_final }, value, ty }, span)
    }

    fn classifier(&mut self, args: &[FunctionArg], is_final: bool, span: Range<usize>) -> Resolved {
        let of = match args {
            [] => VarSet::ALL,
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(name)))] => {
                match self.rows_scope()?.set_of(&name.value) {
                    Some(of) => of,
                    None => {
                        let title = format!("`{name}` is no variable of the pattern");
                        return Err(self.wrong(span, title, "unknown variable"));
                    }
                }
            }
            _ => return Err(self.wrong(span, "CLASSIFIER takes a variable or nothing", "here")),
        };
        let (from_first, n, step) = (false, 0, 0);
        let what = What::Row { of, from_first, n, step, is_final, classifier: true };
        self.input(Nav { what, value: None, ty: Type::Text(WORD_BYTES) }, span)
    }
}
