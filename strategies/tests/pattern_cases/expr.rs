//! Conditions and measures of the cases, interpreted: just what their texts use.

use std::collections::HashMap;

use corelane_strategies::rules::pattern::{RowRef, Rows, VarSet};
use serde_json::{Map, Value};

/// A value of the little language; `Null` is also unknown.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum V {
    Null,
    Bool(bool),
    Num(f64),
    Text(String),
}

impl V {
    pub(crate) fn of(value: &Value) -> Self {
        match value {
            Value::Bool(b) => Self::Bool(*b),
            Value::Number(n) => Self::Num(n.as_f64().unwrap_or(f64::NAN)),
            Value::String(s) => Self::Text(s.clone()),
            _ => Self::Null,
        }
    }

    pub(crate) fn is_true(&self) -> bool {
        *self == Self::Bool(true)
    }

    fn num(&self) -> Option<f64> {
        if let Self::Num(n) = self { Some(*n) } else { None }
    }

    /// Equal but for the last digits of a computed number.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        match (self.num(), other.num()) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-9,
            _ => self == other,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Expr {
    Literal(V),
    /// Variable or none, column.
    Column(Option<String>, String),
    /// The n-th row of a variable: `A[1].id`.
    Nth(String, usize, String),
    Call(String, Vec<Expr>),
    Op(String, Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    IsNull(Box<Expr>),
    In(Box<Expr>, Vec<Expr>),
}

pub(crate) struct Parser<'a> {
    tokens: Vec<&'a str>,
    at: usize,
}

fn tokens(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let from = at;
        let class = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        match bytes[at] {
            b if b.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            b'\'' => {
                at += 1 + text[at + 1..].find('\'').expect("a closed string") + 1;
            }
            b if b.is_ascii_digit() => {
                while at < bytes.len()
                    && (bytes[at].is_ascii_digit()
                        || bytes[at] == b'.' && bytes.get(at + 1) != Some(&b'.'))
                {
                    at += 1;
                }
            }
            b if class(b) => {
                while at < bytes.len() && class(bytes[at]) {
                    at += 1;
                }
            }
            _ => {
                let two = text.get(at..at + 2).unwrap_or("");
                at += if ["<=", ">=", "==", "<>", ".."].contains(&two) { 2 } else { 1 };
            }
        }
        found.push(&text[from..at]);
    }
    found
}

impl<'a> Parser<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { tokens: tokens(text), at: 0 }
    }

    fn peek(&self) -> &'a str {
        self.tokens.get(self.at).copied().unwrap_or("")
    }

    fn next(&mut self) -> &'a str {
        self.at += 1;
        self.tokens.get(self.at - 1).copied().unwrap_or("")
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.peek().eq_ignore_ascii_case(token);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, token: &str) {
        assert!(self.take(token), "{token} expected at {} of {:?}", self.at, self.tokens);
    }

    /// Expressions with commas between; `f(x,0..7)` is eight of them.
    pub(crate) fn list(&mut self) -> Vec<Expr> {
        let mut all = Vec::new();
        while !self.peek().is_empty() {
            let from = self.at;
            let range = self.tokens[from..].iter().position(|&t| t == "..").map(|at| from + at);
            let comma = self.tokens[from..].iter().position(|&t| t == ")").map(|at| from + at);
            if let Some(dots) = range.filter(|&dots| comma.is_some_and(|end| dots < end)) {
                let (low, high) = (self.tokens[dots - 1], self.tokens[dots + 1]);
                let (low, high): (u32, u32) = (low.parse().unwrap(), high.parse().unwrap());
                let name = self.tokens[from].to_uppercase();
                for n in low..=high {
                    let column = Expr::Column(None, self.tokens[from + 2].to_owned());
                    let n = Expr::Literal(V::Num(f64::from(n)));
                    all.push(Expr::Call(name.clone(), vec![column, n]));
                }
                self.at = dots + 3;
            } else {
                all.push(self.expr());
            }
            self.take(",");
        }
        all
    }

    pub(crate) fn expr(&mut self) -> Expr {
        let mut left = self.and();
        while self.take("OR") {
            left = Expr::Op("OR".into(), left.into(), self.and().into());
        }
        left
    }

    fn and(&mut self) -> Expr {
        let mut left = self.comparison();
        while self.take("AND") {
            left = Expr::Op("AND".into(), left.into(), self.comparison().into());
        }
        left
    }

    fn comparison(&mut self) -> Expr {
        if self.take("NOT") {
            return Expr::Not(self.comparison().into());
        }
        let left = self.sum();
        if self.take("IS") {
            self.expect("NULL");
            return Expr::IsNull(left.into());
        }
        if self.take("in") {
            self.expect("(");
            let mut all = vec![self.expr()];
            while self.take(",") {
                all.push(self.expr());
            }
            self.expect(")");
            return Expr::In(left.into(), all);
        }
        for op in ["<=", ">=", "<>", "==", "=", "<", ">"] {
            if self.take(op) {
                let op = if op == "==" { "=" } else { op };
                return Expr::Op(op.into(), left.into(), self.sum().into());
            }
        }
        left
    }

    fn sum(&mut self) -> Expr {
        let mut left = self.product();
        while ["+", "-"].contains(&self.peek()) {
            let op = self.next().to_owned();
            left = Expr::Op(op, left.into(), self.product().into());
        }
        left
    }

    fn product(&mut self) -> Expr {
        let mut left = self.atom();
        while ["*", "/"].contains(&self.peek()) {
            let op = self.next().to_owned();
            left = Expr::Op(op, left.into(), self.atom().into());
        }
        left
    }

    fn atom(&mut self) -> Expr {
        let token = self.next();
        if token == "(" {
            let inner = self.expr();
            self.expect(")");
            return inner;
        }
        if token == "*" {
            return Expr::Column(None, "*".into());
        }
        if let Some(text) = token.strip_prefix('\'') {
            return Expr::Literal(V::Text(text.trim_end_matches('\'').into()));
        }
        if let Ok(number) = token.parse::<f64>() {
            // Times of the cases are minutes.
            let unit = if self.take("hour") { 60.0 } else { 1.0 };
            return Expr::Literal(V::Num(number * unit));
        }
        if token.eq_ignore_ascii_case("true") {
            return Expr::Literal(V::Bool(true));
        }
        if self.take("(") {
            let mut args = Vec::new();
            while !self.take(")") {
                args.push(self.expr());
                self.take(",");
            }
            return Expr::Call(token.to_uppercase(), args);
        }
        if self.take("[") {
            let n = self.next().parse().expect("a number");
            self.expect("]");
            let column = if self.take(".") { self.next() } else { "id" };
            return Expr::Nth(token.into(), n, column.into());
        }
        if self.take(".") {
            return Expr::Column(Some(token.into()), self.next().into());
        }
        Expr::Column(None, token.into())
    }
}

/// What an expression is evaluated over.
pub(crate) struct Scope<'a> {
    pub(crate) events: &'a [Map<String, Value>],
    pub(crate) vars: &'a HashMap<String, VarSet>,
    pub(crate) rows: Rows<'a>,
    pub(crate) match_number: u64,
    pub(crate) names: &'a [String],
}

/// Names that a case's text has for a field of its events.
const ALIASES: &[(&str, &[&str])] =
    &[("attempted_at", &["minute"]), ("t", &["minute"]), ("px", &["price"]), ("c", &["celsius"])];

impl Scope<'_> {
    fn field(&self, row: Option<RowRef<'_>>, column: &str) -> V {
        let Some(row) = row else { return V::Null };
        let event = &self.events[row.words[0] as usize];
        let alias = ALIASES.iter().find(|(name, _)| *name == column).map(|(_, names)| names[0]);
        let value = event.get(column).or_else(|| event.get(alias?));
        value.map_or(V::Null, V::of)
    }

    fn set(&self, name: Option<&str>) -> VarSet {
        name.map_or(VarSet::ALL, |name| self.vars.get(name).copied().unwrap_or_default())
    }

    /// The variable of an aggregate's or a navigation's argument.
    fn set_of(&self, expr: &Expr) -> VarSet {
        match expr {
            Expr::Column(None, name) if self.vars.contains_key(name) => self.set(Some(name)),
            Expr::Column(var, _) => self.set(var.as_deref()),
            Expr::Op(_, left, right) => VarSet(self.set_of(left).0 & self.set_of(right).0),
            Expr::Call(_, args) => args.first().map_or(VarSet::ALL, |arg| self.set_of(arg)),
            _ => VarSet::ALL,
        }
    }

    /// An expression of one row.
    fn on_row(&self, expr: &Expr, row: RowRef<'_>) -> V {
        match expr {
            Expr::Column(_, column) => self.field(Some(row), column),
            Expr::Op(op, left, right) => {
                operate(op, self.on_row(left, row), self.on_row(right, row))
            }
            Expr::Literal(value) => value.clone(),
            _ => V::Null,
        }
    }

    pub(crate) fn value(&self, expr: &Expr) -> V {
        match expr {
            Expr::Literal(value) => value.clone(),
            Expr::Column(var, column) => {
                self.field(self.rows.last(self.set(var.as_deref()), 0), column)
            }
            Expr::Nth(var, n, column) => {
                self.field(self.rows.first(self.set(Some(var)), *n), column)
            }
            Expr::Not(inner) => match self.value(inner) {
                V::Bool(b) => V::Bool(!b),
                _ => V::Null,
            },
            Expr::IsNull(inner) => V::Bool(self.value(inner) == V::Null),
            Expr::In(left, all) => {
                let left = self.value(left);
                V::Bool(all.iter().any(|one| self.value(one).is_like(&left)))
            }
            Expr::Op(op, left, right) => operate(op, self.value(left), self.value(right)),
            Expr::Call(name, args) => self.call(name, args),
        }
    }

    /// `count(a)` and `count(a.*)`.
    fn counts_rows(&self, arg: &Expr) -> bool {
        match arg {
            Expr::Column(None, name) => self.vars.contains_key(name) || name == "*",
            Expr::Column(_, column) => column == "*",
            _ => false,
        }
    }

    fn call(&self, name: &str, args: &[Expr]) -> V {
        let nothing = Expr::Column(None, "*".into());
        let first = args.first().unwrap_or(&nothing);
        let set = self.set_of(first);
        let offset = |default: f64| {
            let given = args.get(1).and_then(|arg| self.value(arg).num());
            given.unwrap_or(default) as usize
        };
        let on = |row: Option<RowRef<'_>>| row.map_or(V::Null, |row| self.on_row(first, row));
        let values = || self.rows.backwards(set).map(|row| self.on_row(first, row));
        let numbers: Vec<f64> = values().filter_map(|value| value.num()).collect();
        let total = numbers.iter().rev().sum::<f64>();
        let some = |value: f64| if numbers.is_empty() { V::Null } else { V::Num(value) };
        match name {
            "FIRST" => on(self.rows.first(set, offset(0.0))),
            "LAST" => on(self.rows.last(set, offset(0.0))),
            "PREV" => {
                let row = self.rows.last(set, 0);
                on(row.and_then(|row| self.rows.prev(row, offset(1.0))))
            }
            "SUM" => some(total),
            "COUNT" if self.counts_rows(first) => V::Num(self.rows.count(set) as f64),
            "COUNT" => V::Num(values().filter(|value| *value != V::Null).count() as f64),
            "AVG" => some(total / numbers.len() as f64),
            "MIN" => some(numbers.iter().copied().fold(f64::INFINITY, f64::min)),
            "WEIGHTEDAVG" => {
                let pairs = self.rows.backwards(set);
                let (mut sum, mut weights) = (0.0, 0.0);
                for row in pairs {
                    let weight = self.on_row(&args[1], row).num().unwrap_or(0.0);
                    sum += self.on_row(first, row).num().unwrap_or(0.0) * weight;
                    weights += weight;
                }
                some((sum / weights).floor())
            }
            "COUNTFROM" => V::Num(total + 4.0),
            "PREFIX" => match self.value(first) {
                V::Text(text) => V::Text(format!("PREF:{text}")),
                _ => V::Null,
            },
            "CONTAINS" => match (self.value(first), self.value(&args[1])) {
                (V::Text(text), V::Text(part)) => V::Bool(text.contains(&part)),
                _ => V::Null,
            },
            "MATCH_NUMBER" => V::Num(self.match_number as f64),
            "CLASSIFIER" => {
                let var = self.rows.current().var.map(usize::from);
                var.map_or(V::Null, |var| V::Text(self.names[var].clone()))
            }
            _ => panic!("the cases have a function {name} that is not known here"),
        }
    }
}

fn operate(op: &str, left: V, right: V) -> V {
    match op {
        "AND" => match (left, right) {
            (V::Bool(false), _) | (_, V::Bool(false)) => V::Bool(false),
            (V::Bool(true), V::Bool(true)) => V::Bool(true),
            _ => V::Null,
        },
        "OR" => match (left, right) {
            (V::Bool(true), _) | (_, V::Bool(true)) => V::Bool(true),
            (V::Bool(false), V::Bool(false)) => V::Bool(false),
            _ => V::Null,
        },
        _ => match (&left, &right) {
            (V::Num(a), V::Num(b)) => match op {
                "+" => V::Num(a + b),
                "-" => V::Num(a - b),
                "*" => V::Num(a * b),
                "/" => V::Num(a / b),
                "<" => V::Bool(a < b),
                ">" => V::Bool(a > b),
                "<=" => V::Bool(a <= b),
                ">=" => V::Bool(a >= b),
                "<>" => V::Bool(a != b),
                _ => V::Bool(a == b),
            },
            (V::Null, _) | (_, V::Null) => V::Null,
            _ => V::Bool((left == right) == (op == "=")),
        },
    }
}
