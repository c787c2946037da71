//! Parsed expressions to typed ones: names to columns, operators to one type on both sides,
//! aggregates to the windows that they are over.
//!
//! Invariant: what comes out has no name left, and nothing of it can fail per record but by being
//! NULL. Every mistake is noted where it stands, with the nearest known name.

use std::ops::Range;

use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, DateTimeField, Expr, InTarget, Interval, UnaryOperator,
    Value as Literal,
};

use super::catalog::{Catalog, Column, Stream};
use super::expr::{Arith, Call, Compare, Node, TextCall, Typed};
use super::parse::Places;
use super::plan::BOUNDS;
use super::table::TableRef;
use super::types::Type;
use super::windows::WindowPlans;
use crate::diagnostics::{Diagnostics, nearest};
use crate::functions::Functions;

mod calls;
mod pattern;
mod texts;

pub(super) use pattern::{Fold, Nav, PatternScope, Place, Variable, What};

/// A mistake was noted.
#[derive(Copy, Clone, Debug)]
pub(super) struct Noted;

type Resolved = Result<Typed, Noted>;

/// One of the rows that a row is made of.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// What it holds.
    pub(super) stream: Stream,
    /// What its columns may be qualified with.
    pub(super) names: Vec<String>,
    /// Where its bytes begin: the rows of a join lie one behind the other.
    pub(super) base: usize,
}

/// The rows that names are looked up in.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// At least one.
    pub(super) sources: Vec<Source>,
}

impl Scope {
    /// The records of one stream.
    pub(super) fn one(stream: Stream, names: Vec<String>) -> Self {
        Self { sources: vec![Source { stream, names, base: 0 }] }
    }

    /// Columns of a name, among the sources of a qualifier if there is one.
    fn columns(&self, qualifier: Option<&str>, name: &str) -> Vec<Column> {
        let sources = self.sources.iter().filter(|source| source.is_called(qualifier));
        let shifted = |source: &Source| {
            let column = source.stream.column(name)?;
            Some(column.shifted(source.base))
        };
        sources.filter_map(shifted).collect()
    }
}

impl Source {
    pub(super) fn is_called(&self, qualifier: Option<&str>) -> bool {
        qualifier.is_none_or(|name| self.names.iter().any(|own| own.eq_ignore_ascii_case(name)))
    }
}

/// What an expression is resolved against.
pub(super) struct Resolver<'a> {
    /// The rows at hand.
    pub(super) scope: Scope,
    /// The windows that aggregates are collected in; `None` where none may stand.
    pub(super) windows: Option<&'a mut WindowPlans>,
    /// The row pattern that the expression is a part of.
    pub(super) pattern: Option<&'a mut PatternScope>,
    /// What Rust brought.
    pub(super) functions: &'a Functions,
    /// Where tables are looked for.
    pub(super) catalog: &'a Catalog,
    /// Bytes of the text.
    pub(super) places: &'a Places<'a>,
    /// Where mistakes go.
    pub(super) diagnostics: &'a mut Diagnostics,
}

impl Resolver<'_> {
    /// Notes a mistake.
    pub(super) fn wrong(
        &mut self,
        span: Range<usize>,
        title: impl Into<String>,
        label: impl Into<String>,
    ) -> Noted {
        self.diagnostics.push(span, title, label);
        Noted
    }

    /// A condition.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn condition(&mut self, expr: &Expr) -> Resolved {
        let typed = self.expr(expr)?;
        self.expect(typed, Type::Bool, "a condition")
    }

    fn expect(&mut self, typed: Typed, ty: Type, what: &str) -> Resolved {
        if typed.ty == ty || typed.node == Node::Null {
            return Ok(typed.to(ty));
        }
        let (title, label) = (format!("{what} must be {ty}"), format!("this is {}", typed.ty));
        Err(self.wrong(typed.span, title, label))
    }

    /// The typed meaning of an expression.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn expr(&mut self, expr: &Expr) -> Resolved {
        let span = self.places.of(expr);
        let boxed = |typed: Typed| Box::new(typed);
        let node = match expr {
            Expr::Nested(inner) => return self.expr(inner),
            Expr::Identifier(name) => {
                let column = self.column(None, &name.value, span);
                if column.is_err() && name.quote_style.is_some() {
                    self.diagnostics.help("a text stands in single quotes, as 'AAPL'");
                }
                return column;
            }
            Expr::CompoundIdentifier(parts) => {
                let Some((last, qualifier)) = parts.split_last() else {
                    return Err(self.wrong(span, "an empty name", "here"));
                };
                let qualifier: Vec<&str> = qualifier.iter().map(|p| p.value.as_str()).collect();
                return self.column(Some(&qualifier.join(".")), &last.value, span);
            }
            Expr::Value(value) => return self.literal(&value.value, span),
            Expr::Interval(interval) => return self.interval(interval, span),
            Expr::UnaryOp { op, expr } => return self.unary(*op, expr, span),
            Expr::BinaryOp { left, op, right } => return self.binary(left, op, right, span),
            Expr::IsNull(inner) => Node::IsNull(boxed(self.expr(inner)?)),
            Expr::IsNotNull(inner) => {
                let is_null = Node::IsNull(boxed(self.expr(inner)?));
                Node::Not(boxed(Typed::new(is_null, Type::Bool, span.clone())))
            }
            Expr::IsTrue(inner) => is(self.condition(inner)?, true, false),
            Expr::IsNotTrue(inner) => is(self.condition(inner)?, true, true),
            Expr::IsFalse(inner) => is(self.condition(inner)?, false, false),
            Expr::IsNotFalse(inner) => is(self.condition(inner)?, false, true),
            Expr::Between { expr, negated, low, high } => {
                let low = self.compare(Compare::Ge, expr, low, &span)?;
                let high = self.compare(Compare::Le, expr, high, &span)?;
                return Ok(negate(join(low, high, Node::And), *negated));
            }
            Expr::In { expr, target, negated, .. } => {
                return self.in_list(expr, target, *negated, span);
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char: None } => {
                return self.like(expr, pattern, *negated, span);
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                return self.case(operand.as_deref(), conditions, else_result.as_deref(), span);
            }
            Expr::Cast {
                kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, ..
            } => {
                return self.cast(expr, data_type, span);
            }
            Expr::Extract { field, expr, .. } => return self.extract(field, expr, span),
            Expr::Floor { expr, .. } => return self.round(Call::Floor, expr, span),
            Expr::Ceil { expr, .. } => return self.round(Call::Ceil, expr, span),
            Expr::Function(function) => return self.function(function, span),
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let (from, len) = (substring_from.as_deref(), substring_for.as_deref());
                return self.substring(expr, from, len, span);
            }
            _ => return Err(self.wrong(span, "this is not understood in a rule", "here")),
        };
        Ok(Typed::new(node, Type::Bool, span))
    }

    fn column(&mut self, qualifier: Option<&str>, name: &str, span: Range<usize>) -> Resolved {
        if self.pattern.is_some() {
            return self.pattern_column(qualifier, name, span);
        }
        let is_group = self.windows.as_ref().is_some_and(|windows| windows.is_group);
        let bounds = ["window_start", "window_end"];
        let bound = bounds.iter().position(|bound| bound.eq_ignore_ascii_case(name));
        if let (true, None, Some(aggregate)) = (is_group, qualifier, bound) {
            let node = Node::Window { window: BOUNDS, aggregate };
            return Ok(Typed::new(node, Type::Timestamp, span));
        }
        match self.scope.columns(qualifier, name).as_slice() {
            [column] => return Ok(Typed::new(Node::Column(*column), column.ty(), span)),
            [] => {}
            _ => {
                let title = format!("`{name}` is a column of more than one stream");
                return Err(self.wrong(span, title, "which one? write `stream.column`"));
            }
        }
        let sources = self.scope.sources.iter().filter(|source| source.is_called(qualifier));
        let streams: Vec<Stream> = sources.map(|source| source.stream).collect();
        if let (Some(qualifier), []) = (qualifier, streams.as_slice()) {
            let names = self.scope.sources.iter().flat_map(|source| source.names.iter());
            let names = names.map(String::as_str).collect::<Vec<_>>().join(" or ");
            let label = format!("columns here are of {names}");
            return Err(self.wrong(span, format!("unknown name `{qualifier}`"), label));
        }
        let of = streams.iter().map(|stream| stream.schema.name).collect::<Vec<_>>().join(" and ");
        let noted = self.wrong(span, format!("`{of}` has no column `{name}`"), "unknown column");
        let known: Vec<&str> = streams.iter().flat_map(Stream::column_names).collect();
        self.diagnostics.help(match nearest(name, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("its columns: {}", known.join(", ")),
        });
        Err(noted)
    }

    fn literal(&mut self, value: &Literal, span: Range<usize>) -> Resolved {
        let (node, ty) = match value {
            Literal::Null => (Node::Null, Type::Bool),
            Literal::Boolean(truth) => (Node::Int(i64::from(*truth)), Type::Bool),
            Literal::SingleQuotedString(text) => match u8::try_from(text.len()) {
                Ok(len) => (Node::Text(text.clone()), Type::Text(len)),
                Err(_) => {
                    return Err(self.wrong(span, "the text is too long", "at most 255 bytes"));
                }
            },
            Literal::Number(text, _) => match read_number(text) {
                Some(number) => number,
                None => {
                    let label = "at most 18 digits, or an exponent for a DOUBLE";
                    return Err(self.wrong(span, "the number is out of range", label));
                }
            },
            _ => return Err(self.wrong(span, "this kind of literal is not understood", "here")),
        };
        Ok(Typed::new(node, ty, span))
    }

    fn interval(&mut self, interval: &Interval, span: Range<usize>) -> Resolved {
        let number = match &*interval.value {
            Expr::Value(value) => match &value.value {
                Literal::SingleQuotedString(text) | Literal::Number(text, _) => text.parse().ok(),
                _ => None,
            },
            _ => None,
        };
        let unit = interval.leading_field.as_ref().and_then(unit_ns);
        let ns = number.zip(unit).and_then(|(number, unit): (f64, i64)| {
            let ns = number * unit as f64;
            (ns.is_finite() && ns.abs() < 9e18).then(|| ns.round() as i64)
        });
        match ns {
            Some(ns) => Ok(Typed::new(Node::Int(ns), Type::Interval, span)),
            None => {
                let title = "an interval is a number in quotes and a unit";
                let label = "such as INTERVAL '5' SECOND, MILLISECOND, MINUTE, HOUR, DAY";
                Err(self.wrong(span, title, label))
            }
        }
    }

    fn unary(&mut self, op: UnaryOperator, inner: &Expr, span: Range<usize>) -> Resolved {
        match op {
            UnaryOperator::Not => {
                let inner = self.condition(inner)?;
                Ok(Typed::new(Node::Not(Box::new(inner)), Type::Bool, span))
            }
            UnaryOperator::Plus => self.expr(inner),
            UnaryOperator::Minus => {
                let inner = self.expr(inner)?;
                let ty = inner.ty;
                let node = match inner.node {
                    Node::Int(value) if ty.is_number() => Node::Int(-value),
                    Node::Double(value) => Node::Double(-value),
                    _ if ty.is_number() || ty == Type::Interval => Node::Neg(Box::new(inner)),
                    _ => return Err(self.wrong(span, format!("{ty} has no negative"), "here")),
                };
                Ok(Typed::new(node, ty, span))
            }
            _ => Err(self.wrong(span, format!("the operator {op} is not understood"), "here")),
        }
    }

    fn binary(
        &mut self,
        left: &Expr,
        op: &BinaryOperator,
        right: &Expr,
        span: Range<usize>,
    ) -> Resolved {
        let (compare, arith) = match op {
            BinaryOperator::And | BinaryOperator::Or => {
                let make = if *op == BinaryOperator::And { Node::And } else { Node::Or };
                // A long chain leans to the left: it is taken apart here, not by recursion.
                let (mut last, mut rest) = (right, left);
                let mut chain = Vec::new();
                loop {
                    chain.push(self.condition(last));
                    match rest {
                        Expr::BinaryOp { left, op: below, right } if below == op => {
                            (last, rest) = (right, left);
                        }
                        first => {
                            chain.push(self.condition(first));
                            break;
                        }
                    }
                }
                chain.reverse();
                let chain = chain.into_iter().collect::<Result<Vec<_>, _>>()?;
                return balanced(chain, make).ok_or(Noted);
            }
            BinaryOperator::StringConcat => {
                let args = vec![self.expr(left)?, self.expr(right)?];
                return self.text_call(TextCall::Concat, args, span);
            }
            BinaryOperator::Eq => (Some(Compare::Eq), None),
            BinaryOperator::NotEq => (Some(Compare::Ne), None),
            BinaryOperator::Lt => (Some(Compare::Lt), None),
            BinaryOperator::LtEq => (Some(Compare::Le), None),
            BinaryOperator::Gt => (Some(Compare::Gt), None),
            BinaryOperator::GtEq => (Some(Compare::Ge), None),
            BinaryOperator::Plus => (None, Some(Arith::Add)),
            BinaryOperator::Minus => (None, Some(Arith::Sub)),
            BinaryOperator::Multiply => (None, Some(Arith::Mul)),
            BinaryOperator::Divide => (None, Some(Arith::Div)),
            BinaryOperator::Modulo => (None, Some(Arith::Rem)),
            _ => (None, None),
        };
        match (compare, arith) {
            (Some(compare), _) => self.compare(compare, left, right, &span),
            (_, Some(arith)) => {
                let (left, right) = (self.expr(left), self.expr(right));
                self.arith(arith, left?, right?, span)
            }
            _ => Err(self.wrong(span, format!("the operator {op} is not understood"), "here")),
        }
    }

    fn compare(&mut self, op: Compare, left: &Expr, right: &Expr, span: &Range<usize>) -> Resolved {
        let (left, right) = (self.expr(left), self.expr(right));
        let (left, right) = (left?, right?);
        let Some(ty) = common(&left, &right) else {
            let title = format!("{} and {} cannot be compared", left.ty, right.ty);
            return Err(self.wrong(span.clone(), title, "here"));
        };
        let node = Node::Compare(op, Box::new(left.to(ty)), Box::new(right.to(ty)));
        Ok(Typed::new(node, Type::Bool, span.clone()))
    }

    fn arith(&mut self, op: Arith, left: Typed, right: Typed, span: Range<usize>) -> Resolved {
        use Type::{Decimal, Int, Interval, Timestamp};
        let numbers = left.ty.is_number() && right.ty.is_number();
        let (left_ty, right_ty, ty) = match (op, left.ty, right.ty) {
            (Arith::Add | Arith::Sub, Timestamp, Interval) => (Timestamp, Interval, Timestamp),
            (Arith::Add, Interval, Timestamp) => (Interval, Timestamp, Timestamp),
            (Arith::Sub, Timestamp, Timestamp) => (Timestamp, Timestamp, Interval),
            (Arith::Add | Arith::Sub, Interval, Interval) => (Interval, Interval, Interval),
            (Arith::Mul | Arith::Div, Interval, Int) => (Interval, Int, Interval),
            (Arith::Mul, Int, Interval) => (Int, Interval, Interval),
            (Arith::Div, Interval, Interval) => (Interval, Interval, Int),
            // A decimal times or over an integer needs no conversion.
            (Arith::Mul, Decimal(scale), Int) | (Arith::Mul, Int, Decimal(scale)) => {
                let node = Node::Arith(Arith::Mul, Box::new(left), Box::new(right));
                return Ok(Typed::new(node, Decimal(scale), span));
            }
            (Arith::Div, Decimal(scale), Int) | (Arith::Div, Int, Decimal(scale)) => {
                let ty = Decimal(scale.max(9));
                (ty, ty, ty)
            }
            (Arith::Div, Decimal(a), Decimal(b)) => {
                let ty = Decimal(a.max(b).max(9));
                (ty, ty, ty)
            }
            _ if numbers => match common(&left, &right) {
                Some(ty) => (ty, ty, ty),
                None => return Err(self.wrong(span, "these numbers do not go together", "here")),
            },
            _ => {
                let title = format!("{} and {} cannot be calculated with", left.ty, right.ty);
                return Err(self.wrong(span, title, "here"));
            }
        };
        let node = Node::Arith(op, Box::new(left.to(left_ty)), Box::new(right.to(right_ty)));
        Ok(Typed::new(node, ty, span))
    }

    fn in_list(
        &mut self,
        expr: &Expr,
        target: &InTarget,
        negated: bool,
        span: Range<usize>,
    ) -> Resolved {
        if let InTarget::Table { name, .. } = target {
            return self.in_table(expr, &name.to_string(), negated, span);
        }
        let InTarget::List(list) = target else {
            let title = "IN takes a list of values here";
            return Err(self.wrong(span, title, "or a table, as IN TABLE trusted"));
        };
        let equal: Result<Vec<Typed>, Noted> =
            list.iter().map(|value| self.compare(Compare::Eq, expr, value, &span)).collect();
        match balanced(equal?, Node::Or) {
            Some(any) => Ok(negate(any, negated)),
            None => Err(self.wrong(span, "an empty list is never matched", "here")),
        }
    }

    /// `value IN TABLE name`: whether it is a key of the table.
    fn in_table(&mut self, expr: &Expr, name: &str, negated: bool, span: Range<usize>) -> Resolved {
        let Some(table) = self.catalog.table(name).cloned() else {
            let noted =
                self.wrong(span, format!("unknown table `{name}`"), "CREATE TABLE makes one");
            let tables = self.catalog.tables().iter();
            if let Some(meant) = nearest(name, tables.map(|table| table.declared.schema.name)) {
                self.diagnostics.help(format!("did you mean `{meant}`?"));
            }
            return Err(noted);
        };
        let keys = table.declared.key.iter().filter_map(|&at| table.declared.columns.get(at));
        let keys: Vec<Type> = keys.map(|column| Type::of(column.field.sql)).collect();
        let [key] = keys[..] else {
            let title = format!("the key of `{name}` has {} parts", keys.len());
            return Err(self.wrong(span, title, "join it: ON says what each part is equal to"));
        };
        let value = self.expr(expr)?;
        let value = match (value.ty, key) {
            (Type::Text(a), Type::Text(b)) => Typed { ty: Type::Text(a.max(b)), ..value },
            (a, b) if a == b => value,
            (Type::Int | Type::Decimal(_), Type::Int | Type::Decimal(_)) => value.to(key),
            (ty, _) => {
                let title = format!("the key of `{name}` is {key}");
                return Err(self.wrong(value.span, title, format!("this is {ty}")));
            }
        };
        let node = Node::InTable(TableRef(table), Box::new(value));
        Ok(negate(Typed::new(node, Type::Bool, span), negated))
    }

    fn like(&mut self, expr: &Expr, pattern: &Expr, negated: bool, span: Range<usize>) -> Resolved {
        let (text, pattern) = (self.expr(expr)?, self.expr(pattern)?);
        match (text.ty, pattern.node) {
            (Type::Text(_), Node::Text(pattern)) => {
                let like = Node::Like(Box::new(text), pattern);
                Ok(negate(Typed::new(like, Type::Bool, span), negated))
            }
            _ => Err(self.wrong(span, "LIKE compares a text with a pattern in quotes", "here")),
        }
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        conditions: &[CaseWhen],
        otherwise: Option<&Expr>,
        span: Range<usize>,
    ) -> Resolved {
        let mut branches = Vec::new();
        for CaseWhen { condition, result } in conditions {
            let condition = match operand {
                Some(operand) => self.compare(Compare::Eq, operand, condition, &span)?,
                None => self.condition(condition)?,
            };
            branches.push((condition, self.expr(result)?));
        }
        let otherwise = otherwise.map(|otherwise| self.expr(otherwise)).transpose()?;
        let results = branches.iter().map(|(_, result)| result).chain(&otherwise);
        let ty = self.common_of(results.cloned().collect(), &span)?;
        let branches = branches.into_iter().map(|(c, result)| (c, result.to(ty))).collect();
        let otherwise = otherwise.map(|otherwise| Box::new(otherwise.to(ty)));
        Ok(Typed::new(Node::Case(branches, otherwise), ty, span))
    }

    fn common_of(&mut self, all: Vec<Typed>, span: &Range<usize>) -> Result<Type, Noted> {
        let mut all = all.into_iter();
        let Some(mut first) = all.next() else {
            return Err(self.wrong(span.clone(), "a value is missing", "here"));
        };
        for other in all {
            match common(&first, &other) {
                Some(ty) if first.node == Node::Null => first = Typed { ty, ..other },
                Some(ty) => first.ty = ty,
                None => {
                    let title = format!("{} and {} do not go together", first.ty, other.ty);
                    return Err(self.wrong(other.span, title, "another type than before"));
                }
            }
        }
        Ok(first.ty)
    }
}

/// `IS TRUE` and its kin, which are never NULL.
fn is(inner: Typed, wanted: bool, negated: bool) -> Node {
    let span = inner.span.clone();
    let truth = |value| Typed::new(Node::Int(i64::from(value)), Type::Bool, span.clone());
    let inner = if wanted { inner } else { negate(inner, true) };
    Node::Case(vec![(inner, truth(!negated))], Some(Box::new(truth(negated))))
}

fn negate(typed: Typed, negated: bool) -> Typed {
    if !negated {
        return typed;
    }
    let span = typed.span.clone();
    Typed::new(Node::Not(Box::new(typed)), Type::Bool, span)
}

fn join(left: Typed, right: Typed, make: fn(Box<Typed>, Box<Typed>) -> Node) -> Typed {
    let span = left.span.start.min(right.span.start)..left.span.end.max(right.span.end);
    Typed::new(make(Box::new(left), Box::new(right)), Type::Bool, span)
}

/// A chain of ANDs or ORs as a tree without a long side.
fn balanced(mut chain: Vec<Typed>, make: fn(Box<Typed>, Box<Typed>) -> Node) -> Option<Typed> {
    while chain.len() > 1 {
        let mut pairs = chain.into_iter();
        let mut next = Vec::new();
        while let Some(left) = pairs.next() {
            next.push(match pairs.next() {
                Some(right) => join(left, right, make),
                None => left,
            });
        }
        chain = next;
    }
    chain.pop()
}

/// The type in which two values can be compared or are of one kind.
fn common(left: &Typed, right: &Typed) -> Option<Type> {
    use Type::{Decimal, Double, Int, Interval, Text, Timestamp};
    Some(match (left.ty, right.ty) {
        _ if left.node == Node::Null => right.ty,
        _ if right.node == Node::Null => left.ty,
        (a, b) if a == b => a,
        (Text(a), Text(b)) => Text(a.max(b)),
        (Double, b) if b.is_number() => Double,
        (a, Double) if a.is_number() => Double,
        (Decimal(a), Decimal(b)) => Decimal(a.max(b)),
        (Decimal(a), Int) | (Int, Decimal(a)) => Decimal(a),
        (Timestamp, Int) | (Int, Timestamp) => Timestamp,
        (Interval, Int) | (Int, Interval) => Interval,
        _ => return None,
    })
}

/// Nanoseconds of a unit.
fn unit_ns(field: &DateTimeField) -> Option<i64> {
    Some(match field {
        DateTimeField::Nanosecond | DateTimeField::Nanoseconds => 1,
        DateTimeField::Microsecond | DateTimeField::Microseconds => 1_000,
        DateTimeField::Millisecond | DateTimeField::Milliseconds => 1_000_000,
        DateTimeField::Second | DateTimeField::Seconds => 1_000_000_000,
        DateTimeField::Minute | DateTimeField::Minutes => 60_000_000_000,
        DateTimeField::Hour | DateTimeField::Hours => 3_600_000_000_000,
        DateTimeField::Day | DateTimeField::Days => 86_400_000_000_000,
        _ => return None,
    })
}

/// An integer, an exact decimal, or with an exponent a double.
fn read_number(text: &str) -> Option<(Node, Type)> {
    if text.contains(['e', 'E']) {
        let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
        return Some((Node::Double(value), Type::Double));
    }
    let Some((whole, fraction)) = text.split_once('.') else {
        return Some((Node::Int(text.parse().ok()?), Type::Int));
    };
    let scale = u8::try_from(fraction.len()).ok().filter(|scale| *scale <= 18)?;
    let value = format!("{whole}{fraction}").parse().ok()?;
    Some((Node::Int(value), Type::Decimal(scale)))
}
