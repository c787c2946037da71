//! The functions of the rule language: what they are called, what they take, what they mean.
//!
//! Invariant: one table says what there is; `corelane list functions` prints it and calls are
//! resolved by it.

mod brought;

use std::ops::Range;

use sqlparser::ast::{
    DuplicateTreatment, Expr, Function as SqlFunction, FunctionArg, FunctionArgExpr,
    FunctionArguments,
};

use super::expr::{Call, Node, TextCall, Typed};
use super::resolve::{Noted, Resolver};
use super::types::Type;
use super::window::{Frame, Function};
use crate::diagnostics::nearest;

/// What a name calls.
#[derive(Clone, Debug)]
enum Meaning {
    Scalar(Call),
    Coalesce,
    NullIf,
    /// It makes a text.
    Text(TextCall),
    /// It writes a time.
    ToChar,
    /// It looks at the rows of a match.
    Pattern,
    /// An aggregate, with so many values of the row.
    Aggregate(fn(&Constants) -> Option<Function>, usize),
    /// A window of time, in GROUP BY.
    GroupWindow,
}

/// The windows of time that GROUP BY can name.
pub(super) const GROUP_WINDOWS: [&str; 4] = ["tumble", "hop", "session", "cumulate"];

/// How a function is called.
pub(super) fn signature(name: &str) -> &'static str {
    let found = FUNCTIONS.iter().find(|function| function.name == name);
    found.map_or("", |function| function.signature)
}

/// The constant arguments of an aggregate, behind those of the row.
struct Constants {
    number: Option<f64>,
    interval_ns: Option<f64>,
}

/// One function.
#[derive(Clone, Debug)]
pub struct FunctionDoc {
    /// Its name.
    pub name: &'static str,
    /// How it is called.
    pub signature: &'static str,
    /// One sentence.
    pub doc: &'static str,
    meaning: Meaning,
}

macro_rules! functions {
    ($($name:literal, $signature:literal, $doc:literal => $meaning:expr;)*) => {
        /// Every function.
        pub const FUNCTIONS: &[FunctionDoc] = &[$(FunctionDoc {
            name: $name, signature: $signature, doc: $doc, meaning: $meaning,
        },)*];
    };
}

functions! {
    "abs", "abs(number)", "The number without its sign." => Meaning::Scalar(Call::Abs);
    "sign", "sign(number) -> BIGINT", "-1, 0 or 1." => Meaning::Scalar(Call::Sign);
    "sqrt", "sqrt(number) -> DOUBLE", "The square root; NULL below zero."
        => Meaning::Scalar(Call::Sqrt);
    "ln", "ln(number) -> DOUBLE", "The natural logarithm; NULL at zero and below."
        => Meaning::Scalar(Call::Ln);
    "exp", "exp(number) -> DOUBLE", "e to the power of the number." => Meaning::Scalar(Call::Exp);
    "power", "power(number, number) -> DOUBLE", "The first to the power of the second."
        => Meaning::Scalar(Call::Power);
    "greatest", "greatest(value, value)", "The greater one; NULL counts as none."
        => Meaning::Scalar(Call::Greatest);
    "least", "least(value, value)", "The lesser one; NULL counts as none."
        => Meaning::Scalar(Call::Least);
    "length", "length(text) -> BIGINT", "Bytes of a text without its trailing blanks."
        => Meaning::Scalar(Call::Length);
    "lower", "lower(text)", "The text with A to Z made small." => Meaning::Text(TextCall::Lower);
    "upper", "upper(text)", "The text with a to z made capitals."
        => Meaning::Text(TextCall::Upper);
    "replace", "replace(text, what, by)", "The text with every `what` replaced."
        => Meaning::Text(TextCall::Replace);
    "split_part", "split_part(text, by, n)",
        "The n-th of the parts between `by`, from 1, from the end if negative; empty if none."
        => Meaning::Text(TextCall::SplitPart);
    "substring", "substring(text FROM n FOR m), substring(text, n, m)",
        "So many bytes from the n-th on, the first being 1."
        => Meaning::Text(TextCall::Substring);
    "to_char", "to_char(time, format)",
        "The time in UTC: YYYY, MM, DD, HH24, HH12, MI, SS, MS, US and NS are filled in."
        => Meaning::ToChar;
    "coalesce", "coalesce(value, ...)", "The first value that is not NULL." => Meaning::Coalesce;
    "nullif", "nullif(a, b)", "NULL if both are equal, else the first." => Meaning::NullIf;
    "count", "count(*) OVER w, count(value) OVER w, count(DISTINCT value) OVER w -> BIGINT",
        "Rows, known values, or different known values."
        => Meaning::Aggregate(|_| Some(Function::Count), 1);
    "approx_count_distinct", "approx_count_distinct(value) OVER w -> BIGINT",
        "About how many different values."
        => Meaning::Aggregate(|_| Some(Function::ApproxCountDistinct), 1);
    "sum", "sum(number) OVER w", "The exact sum; NULL if it does not fit."
        => Meaning::Aggregate(|_| Some(Function::Sum), 1);
    "avg", "avg(number) OVER w", "The mean." => Meaning::Aggregate(|_| Some(Function::Avg), 1);
    "min", "min(value) OVER w", "The least value."
        => Meaning::Aggregate(|_| Some(Function::Min), 1);
    "max", "max(value) OVER w", "The greatest value."
        => Meaning::Aggregate(|_| Some(Function::Max), 1);
    "stddev", "stddev(number) OVER w -> DOUBLE", "The sample standard deviation."
        => Meaning::Aggregate(|_| Some(Function::StddevSamp), 1);
    "stddev_samp", "stddev_samp(number) OVER w -> DOUBLE", "The sample standard deviation."
        => Meaning::Aggregate(|_| Some(Function::StddevSamp), 1);
    "stddev_pop", "stddev_pop(number) OVER w -> DOUBLE", "The population standard deviation."
        => Meaning::Aggregate(|_| Some(Function::StddevPop), 1);
    "variance", "variance(number) OVER w -> DOUBLE", "The sample variance."
        => Meaning::Aggregate(|_| Some(Function::VarSamp), 1);
    "var_samp", "var_samp(number) OVER w -> DOUBLE", "The sample variance."
        => Meaning::Aggregate(|_| Some(Function::VarSamp), 1);
    "var_pop", "var_pop(number) OVER w -> DOUBLE", "The population variance."
        => Meaning::Aggregate(|_| Some(Function::VarPop), 1);
    "first_value", "first_value(value) OVER w", "The value of the oldest row."
        => Meaning::Aggregate(|_| Some(Function::FirstValue), 1);
    "last_value", "last_value(value) OVER w", "The value of the newest row."
        => Meaning::Aggregate(|_| Some(Function::LastValue), 1);
    "lag", "lag(value [, rows]) OVER w", "The value so many rows before, 1 if left out."
        => Meaning::Aggregate(lag, 1);
    "row_number", "row_number() OVER w -> BIGINT", "The row's number within its window, from 1."
        => Meaning::Aggregate(|_| Some(Function::RowNumber), 0);
    "percentile", "percentile(number, share) OVER w",
        "The value below which the share (0 to 1) lies, within 0.4 percent."
        => Meaning::Aggregate(percentile, 1);
    "ewma", "ewma(number, half_life) OVER w -> DOUBLE",
        "The mean weighted by age: a value as old as the half-life, an INTERVAL, counts half."
        => Meaning::Aggregate(ewma, 1);
    "zscore", "zscore(number) OVER w -> DOUBLE",
        "How many standard deviations the row is from its window's mean."
        => Meaning::Aggregate(|_| Some(Function::ZScore), 1);
    "corr", "corr(number, number) OVER w -> DOUBLE", "The correlation of two columns."
        => Meaning::Aggregate(|_| Some(Function::Corr), 2);
    "first", "first(value [, n])", "In a row pattern: the value of the first row, or n rows after."
        => Meaning::Pattern;
    "last", "last(value [, n])", "In a row pattern: the value of the last row, or n rows before."
        => Meaning::Pattern;
    "prev", "prev(value [, n])", "In a row pattern: the value n rows before, 1 if left out."
        => Meaning::Pattern;
    "next", "next(value [, n])", "In a row pattern: the value n rows later, 1 if left out."
        => Meaning::Pattern;
    "classifier", "classifier([variable]) -> VARCHAR(32)",
        "In a row pattern: the variable that the row matched." => Meaning::Pattern;
    "match_number", "match_number() -> BIGINT", "In a row pattern: which match of its key, from 1."
        => Meaning::Pattern;
    "outcome", "outcome() -> VARCHAR(32)",
        "In a row pattern: 'match', or of a deadline 'absent', 'unknown' or 'timeout'."
        => Meaning::Pattern;
    "tumble", "GROUP BY tumble(time, size [, offset])",
        "Windows of one size, one behind the other." => Meaning::GroupWindow;
    "hop", "GROUP BY hop(time, slide, size [, offset])",
        "Windows of one size that begin every slide." => Meaning::GroupWindow;
    "cumulate", "GROUP BY cumulate(time, step, size [, offset])",
        "Windows of one begin that end every step, until the size is reached."
        => Meaning::GroupWindow;
    "session", "GROUP BY session(time, gap)",
        "Rows that come less than the gap after one another." => Meaning::GroupWindow;
}

fn lag(constants: &Constants) -> Option<Function> {
    let rows = constants.number.unwrap_or(1.0);
    (rows >= 0.0 && rows <= f64::from(u32::MAX)).then_some(Function::Lag(rows as u32))
}

fn percentile(constants: &Constants) -> Option<Function> {
    constants.number.filter(|share| (0.0..=1.0).contains(share)).map(Function::Percentile)
}

fn ewma(constants: &Constants) -> Option<Function> {
    constants.interval_ns.filter(|half_life| *half_life >= 1.0).map(Function::Ewma)
}

impl Resolver<'_> {
    /// A call.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn function(
        &mut self,
        call: &SqlFunction,
        span: Range<usize>,
    ) -> Result<Typed, Noted> {
        if let Some(resolved) = self.pattern_function(call, span.clone()) {
            return resolved;
        }
        let name = call.name.to_string().to_ascii_lowercase();
        let Some(function) = FUNCTIONS.iter().find(|function| function.name == name) else {
            if let Some(resolved) = self.brought(&name, call, &span) {
                return resolved;
            }
            let noted = self.wrong(span, format!("unknown function `{name}`"), "here");
            let brought = self.functions.signatures().map(|signature| signature.name);
            let known = FUNCTIONS.iter().map(|function| function.name).chain(brought);
            if let Some(meant) = nearest(&name, known) {
                self.diagnostics.help(format!("did you mean `{meant}`?"));
            }
            return Err(noted);
        };
        let (args, distinct) = self.arguments(call, &span)?;
        if !call.within_group.is_empty() {
            return Err(self.wrong(span, "WITHIN GROUP is not there yet", "here"));
        }
        if call.filter.is_some() && !matches!(function.meaning, Meaning::Aggregate(..)) {
            return Err(self.wrong(span, format!("`{name}` is no aggregate"), "FILTER has one"));
        }
        match function.meaning.clone() {
            Meaning::Aggregate(make, of_row) => {
                self.aggregate(function, make, of_row, &args, distinct, call, span)
            }
            Meaning::GroupWindow => {
                let noted = self.wrong(span, format!("`{name}` is a window of groups"), "here");
                self.diagnostics.help(format!("write {}", function.signature));
                Err(noted)
            }
            _ if call.over.is_some() => {
                Err(self.wrong(span, format!("`{name}` is no aggregate"), "OVER has no meaning"))
            }
            Meaning::Pattern => {
                let title = format!("`{name}` looks at the rows of a match");
                Err(self.wrong(span, title, "it has a meaning in row patterns alone"))
            }
            Meaning::Scalar(scalar) => {
                let wanted = match scalar {
                    Call::Power | Call::Greatest | Call::Least => 2,
                    _ => 1,
                };
                let args = self.values(&args)?;
                if args.len() == wanted {
                    self.call(scalar, args, span)
                } else {
                    Err(self.count_wrong(function, span))
                }
            }
            Meaning::Coalesce => {
                let args = self.values(&args)?;
                self.coalesce(args, span)
            }
            Meaning::Text(made) => {
                let args = self.values(&args)?;
                if args.len() != made.args() {
                    return Err(self.count_wrong(function, span));
                }
                self.text_call(made, args, span)
            }
            Meaning::ToChar => {
                let args = self.values(&args)?;
                if args.len() != 2 {
                    return Err(self.count_wrong(function, span));
                }
                self.written_time(args, span)
            }
            Meaning::NullIf => match <[Typed; 2]>::try_from(self.values(&args)?) {
                Ok([left, right]) => self.nullif(left, right, span),
                Err(_) => Err(self.count_wrong(function, span)),
            },
        }
    }

    fn count_wrong(&mut self, function: &FunctionDoc, span: Range<usize>) -> Noted {
        let title = format!("`{}` takes other arguments", function.name);
        let noted = self.wrong(span, title, "here");
        self.diagnostics.help(format!("it is called {}", function.signature));
        noted
    }

    fn values(&mut self, args: &[Option<&Expr>]) -> Result<Vec<Typed>, Noted> {
        args.iter().flatten().map(|arg| self.expr(arg)).collect()
    }

    /// The arguments, `*` as none, and whether they are DISTINCT.
    fn arguments<'a>(
        &mut self,
        call: &'a SqlFunction,
        span: &Range<usize>,
    ) -> Result<(Vec<Option<&'a Expr>>, bool), Noted> {
        let FunctionArguments::List(list) = &call.args else { return Ok((Vec::new(), false)) };
        let mut args = Vec::new();
        for arg in &list.args {
            args.push(match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => None,
                _ => return Err(self.wrong(span.clone(), "arguments have no names here", "here")),
            });
        }
        Ok((args, list.duplicate_treatment == Some(DuplicateTreatment::Distinct)))
    }

    /// Notes a mistake if a function of rows does not take these values.
    fn takes(&mut self, name: &str, made: Function, values: &[Typed]) -> Result<(), Noted> {
        let is_any = matches!(
            made,
            Function::Count
                | Function::CountDistinct
                | Function::ApproxCountDistinct
                | Function::RowNumber
        );
        for value in values {
            let keeps_order =
                matches!(
                    made,
                    Function::Min
                        | Function::Max
                        | Function::FirstValue
                        | Function::LastValue
                        | Function::Lag(_)
                ) && matches!(value.ty, Type::Timestamp | Type::Interval | Type::Bool);
            if !is_any && !keeps_order && !value.ty.is_number() {
                let title = format!("`{}` takes no {}", name, value.ty);
                return Err(self.wrong(value.span.clone(), title, "here"));
            }
            if matches!(value.ty, Type::Text(n) if n > 8) {
                let title = "a text in a window has at most 8 bytes";
                return Err(self.wrong(value.span.clone(), title, format!("this is {}", value.ty)));
            }
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "what a call has, taken apart once")]
    fn aggregate(
        &mut self,
        function: &FunctionDoc,
        make: fn(&Constants) -> Option<Function>,
        of_row: usize,
        args: &[Option<&Expr>],
        distinct: bool,
        call: &SqlFunction,
        span: Range<usize>,
    ) -> Result<Typed, Noted> {
        let mut values = self.values_of_rows(function.name, args, call, &span)?;
        let is_count_rows = function.name == "count" && args == [None] && call.filter.is_none();
        let constants = values.split_off(values.len().min(of_row));
        let found = match constants.as_slice() {
            [] => Some(Constants { number: None, interval_ns: None }),
            [constant] => constant_of(constant),
            _ => None,
        };
        let Some(constants) = found else { return Err(self.count_wrong(function, span)) };
        if values.len() != of_row && !is_count_rows {
            return Err(self.count_wrong(function, span));
        }
        let Some(mut made) = make(&constants) else {
            return Err(self.count_wrong(function, span));
        };
        if distinct {
            if made != Function::Count {
                return Err(self.wrong(span, "DISTINCT goes with count alone", "here"));
            }
            made = Function::CountDistinct;
        }
        self.takes(function.name, made, &values)?;
        let is_filtered = !matches!(
            made,
            Function::FirstValue
                | Function::LastValue
                | Function::RowNumber
                | Function::Lag(_)
                | Function::Ewma(_)
                | Function::ZScore
        );
        if call.filter.is_some() && !is_filtered {
            let title = format!("`{}` takes no FILTER", function.name);
            return Err(self.wrong(span, title, "write it over a view that has a WHERE"));
        }
        let of_one_row = matches!(
            made,
            Function::RowNumber | Function::Lag(_) | Function::Ewma(_) | Function::ZScore
        );
        if call.over.is_none() && of_one_row {
            let title = format!("`{}` is of a row, not of a group", function.name);
            return Err(self.wrong(span, title, "it needs OVER, in a query without GROUP BY"));
        }
        self.over_rows(made, values, call, span)
    }

    /// The arguments of an aggregate, which is over a window or a group.
    fn values_of_rows(
        &mut self,
        name: &str,
        args: &[Option<&Expr>],
        call: &SqlFunction,
        span: &Range<usize>,
    ) -> Result<Vec<Typed>, Noted> {
        let is_group = self.windows.as_ref().is_some_and(|windows| windows.is_group);
        if call.over.is_some() && is_group {
            let title = format!("`{name}` is over its group here");
            return Err(self.wrong(span.clone(), title, "leave OVER out"));
        }
        if call.over.is_none() && !is_group && self.windows.is_some() {
            let title = format!("`{name}` needs a window");
            let noted = self.wrong(span.clone(), title, "an aggregate of which rows?");
            self.diagnostics.help("add OVER (RANGE INTERVAL '60' SECOND PRECEDING)");
            return Err(noted);
        }
        // What stands in an aggregate is of one row: no aggregates in it.
        let Some(windows) = self.windows.take() else {
            let title = "an aggregate cannot stand here";
            let label = "in WHERE, in PARTITION BY and in another aggregate there are none";
            return Err(self.wrong(span.clone(), title, label));
        };
        let resolved = self.values(args).and_then(|values| match &call.filter {
            Some(filter) => self.filtered(values, filter),
            None => Ok(values),
        });
        self.windows = Some(windows);
        resolved
    }

    /// FILTER: what an aggregate sees of a row that does not pass is NULL, which counts as none.
    fn filtered(&mut self, mut values: Vec<Typed>, filter: &Expr) -> Result<Vec<Typed>, Noted> {
        let condition = self.condition(filter)?;
        let span = condition.span.clone();
        if values.is_empty() {
            values.push(Typed::new(Node::Int(1), Type::Int, span.clone()));
        }
        if let Some(value) = values.first_mut() {
            let (ty, all) = (value.ty, value.clone());
            *value = Typed::new(Node::Case(vec![(condition, all)], None), ty, span);
        }
        Ok(values)
    }

    /// An aggregate over its window or group.
    fn over_rows(
        &mut self,
        made: Function,
        values: Vec<Typed>,
        call: &SqlFunction,
        span: Range<usize>,
    ) -> Result<Typed, Noted> {
        let (partition, frame) = match &call.over {
            Some(over) => self.window(over, &span)?,
            None => (Vec::new(), Frame::Unbounded),
        };
        let Some(plans) = self.windows.as_deref_mut() else { return Err(Noted) };
        let (window, aggregate, ty) = plans.add(partition, frame, made, values);
        Ok(Typed::new(Node::Window { window, aggregate }, ty, span))
    }
}

fn constant_of(typed: &Typed) -> Option<Constants> {
    let number = |number| Some(Constants { number: Some(number), interval_ns: None });
    match (&typed.node, typed.ty) {
        (Node::Double(value), _) => number(*value),
        (Node::Int(value), Type::Int) => number(*value as f64),
        (Node::Int(value), Type::Decimal(scale)) => {
            number(*value as f64 / super::expr::power_of_ten(scale) as f64)
        }
        (Node::Int(value), Type::Interval) => {
            Some(Constants { number: None, interval_ns: Some(*value as f64) })
        }
        _ => None,
    }
}
