//! Typed expressions: what a parsed expression means over the columns of a stream.
//!
//! Invariant: every node's type is known; both sides of an operator are of one type, with the
//! conversions that make them so written out as nodes.

use std::ops::Range;

use super::catalog::Column;
use super::table::TableRef;
use super::types::Type;
use crate::functions::Scalar;

/// An expression with its type and place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Typed {
    /// What it is.
    pub(super) node: Node,
    /// What its value is.
    pub(super) ty: Type,
    /// Where it stands in the text.
    pub(super) span: Range<usize>,
}

/// An operator on two numbers of one type.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Arith {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Rem,
}

/// A comparison of two values of one type.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Compare {
    /// `=`
    Eq,
    /// `<>`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}

impl Compare {
    /// What it is with its sides changed.
    pub(super) const fn flipped(self) -> Self {
        match self {
            Self::Lt => Self::Gt,
            Self::Le => Self::Ge,
            Self::Gt => Self::Lt,
            Self::Ge => Self::Le,
            same => same,
        }
    }
}

/// A function of one or two arguments of one type.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Call {
    /// `abs(x)`
    Abs,
    /// `sign(x)`
    Sign,
    /// `floor(x)`
    Floor,
    /// `ceil(x)`
    Ceil,
    /// `sqrt(x)`
    Sqrt,
    /// `ln(x)`
    Ln,
    /// `exp(x)`
    Exp,
    /// `power(x, y)`
    Power,
    /// The greater of two known values; the known one if one is NULL.
    Greatest,
    /// The lesser of two.
    Least,
    /// `length(text)`: bytes without trailing blanks.
    Length,
}

/// Bytes of a text in a column, and of one that is made.
pub(super) const TEXT_MAX: u8 = 128;

/// A function that makes a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum TextCall {
    /// `lower(text)`
    Lower,
    /// `upper(text)`
    Upper,
    /// `a || b`
    Concat,
    /// `replace(text, what, by)`
    Replace,
    /// `split_part(text, by, n)`
    SplitPart,
    /// `substring(text, from, length)`
    Substring,
    /// `to_char(time, format)`
    ToChar(Vec<TimePart>),
}

impl TextCall {
    /// How many values it takes.
    pub(super) const fn args(&self) -> usize {
        match self {
            Self::Lower | Self::Upper | Self::ToChar(_) => 1,
            Self::Concat => 2,
            Self::Replace | Self::SplitPart | Self::Substring => 3,
        }
    }
}

/// A part of a time that is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum TimePart {
    /// `YYYY`
    Year,
    /// `MM`
    Month,
    /// `DD`
    Day,
    /// `HH24`
    Hour24,
    /// `HH12`, `HH`
    Hour12,
    /// `MI`
    Minute,
    /// `SS`
    Second,
    /// `MS`, `US`, `NS`: 3, 6 or 9 digits.
    Fraction(u8),
    /// Anything else.
    Text(String),
}

impl TimePart {
    /// The parts of a format; `None` if what it writes is too long.
    pub(super) fn read(format: &str) -> Option<Vec<Self>> {
        const KNOWN: [(&str, TimePart); 11] = [
            ("YYYY", TimePart::Year),
            ("MM", TimePart::Month),
            ("DD", TimePart::Day),
            ("HH24", TimePart::Hour24),
            ("HH12", TimePart::Hour12),
            ("HH", TimePart::Hour12),
            ("MI", TimePart::Minute),
            ("SS", TimePart::Second),
            ("MS", TimePart::Fraction(3)),
            ("US", TimePart::Fraction(6)),
            ("NS", TimePart::Fraction(9)),
        ];
        let mut parts = Vec::new();
        let mut rest = format;
        while let Some(first) = rest.chars().next() {
            let starts = |name: &str| {
                rest.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name))
            };
            let known = KNOWN.iter().find(|(name, _)| starts(name));
            let (part, len) = match known {
                Some((name, part)) => (part.clone(), name.len()),
                None => (Self::Text(first.to_string()), first.len_utf8()),
            };
            parts.push(part);
            rest = rest.get(len..).unwrap_or_default();
        }
        (Self::bytes(&parts) <= usize::from(TEXT_MAX)).then_some(parts)
    }

    /// Bytes that they write.
    pub(super) fn bytes(parts: &[Self]) -> usize {
        let bytes = |part: &Self| match part {
            Self::Year => 4,
            Self::Fraction(digits) => usize::from(*digits),
            Self::Text(text) => text.len(),
            _ => 2,
        };
        parts.iter().map(bytes).sum()
    }
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// NULL.
    Null,
    /// A truth value, integer, decimal, timestamp or interval.
    Int(i64),
    /// A number.
    Double(f64),
    /// A text.
    Text(String),
    /// A column of the record.
    Column(Column),
    /// An aggregate over a window: its window and its place among that window's aggregates.
    Window {
        /// Which window of the rule.
        window: usize,
        /// Which aggregate of the window.
        aggregate: usize,
    },
    /// `NOT`
    Not(Box<Typed>),
    /// `-x`
    Neg(Box<Typed>),
    /// `IS NULL`
    IsNull(Box<Typed>),
    /// `AND` in three values.
    And(Box<Typed>, Box<Typed>),
    /// `OR` in three values.
    Or(Box<Typed>, Box<Typed>),
    /// A number from two.
    Arith(Arith, Box<Typed>, Box<Typed>),
    /// A truth value from two values.
    Compare(Compare, Box<Typed>, Box<Typed>),
    /// `LIKE`, with `%` and `_`.
    Like(Box<Typed>, String),
    /// `CASE`: conditions with their results, and what else.
    Case(Vec<(Typed, Typed)>, Option<Box<Typed>>),
    /// The first that is not NULL.
    Coalesce(Vec<Typed>),
    /// A function.
    Call(Call, Vec<Typed>),
    /// A function that makes a text.
    TextCall(TextCall, Vec<Typed>),
    /// A function that Rust brought.
    Scalar(Scalar, Vec<Typed>),
    /// Whether a value is a table's key.
    InTable(TableRef, Box<Typed>),
    /// The value in the expression's type: between numbers, or to the storage of another.
    Cast(Box<Typed>),
}

impl Typed {
    /// An expression.
    #[must_use]
    pub(super) const fn new(node: Node, ty: Type, span: Range<usize>) -> Self {
        Self { node, ty, span }
    }

    /// Calls `each` for itself and for every expression within.
    pub(super) fn each_mut(&mut self, each: &mut dyn FnMut(&mut Self)) {
        each(self);
        self.parts_mut().into_iter().for_each(|part| part.each_mut(each));
    }

    /// The expressions that it is made of.
    pub(super) fn parts(&self) -> Vec<&Self> {
        match &self.node {
            Node::Not(a)
            | Node::Neg(a)
            | Node::IsNull(a)
            | Node::Cast(a)
            | Node::InTable(_, a)
            | Node::Like(a, _) => {
                vec![a]
            }
            Node::And(a, b) | Node::Or(a, b) | Node::Arith(_, a, b) | Node::Compare(_, a, b) => {
                vec![a, b]
            }
            Node::Case(branches, otherwise) => {
                let branches = branches.iter().flat_map(|(when, then)| [when, then]);
                branches.chain(otherwise.as_deref()).collect()
            }
            Node::Coalesce(all)
            | Node::Call(_, all)
            | Node::TextCall(_, all)
            | Node::Scalar(_, all) => all.iter().collect(),
            _ => Vec::new(),
        }
    }

    /// The same, to be changed.
    pub(super) fn parts_mut(&mut self) -> Vec<&mut Self> {
        match &mut self.node {
            Node::Not(a)
            | Node::Neg(a)
            | Node::IsNull(a)
            | Node::Cast(a)
            | Node::InTable(_, a)
            | Node::Like(a, _) => {
                vec![a]
            }
            Node::And(a, b) | Node::Or(a, b) | Node::Arith(_, a, b) | Node::Compare(_, a, b) => {
                vec![a, b]
            }
            Node::Case(branches, otherwise) => {
                let branches = branches.iter_mut().flat_map(|(when, then)| [when, then]);
                branches.chain(otherwise.as_deref_mut()).collect()
            }
            Node::Coalesce(all)
            | Node::Call(_, all)
            | Node::TextCall(_, all)
            | Node::Scalar(_, all) => all.iter_mut().collect(),
            _ => Vec::new(),
        }
    }

    /// Its value if it is the same for every record.
    #[must_use]
    pub(super) fn constant(&self) -> Option<i64> {
        match self.node {
            Node::Int(value) => Some(value),
            _ => None,
        }
    }

    /// The value in another type. Constants are converted at once, so that `amount > 1000` costs
    /// one comparison.
    #[must_use]
    pub(super) fn to(self, ty: Type) -> Self {
        if self.ty == ty || matches!((self.ty, ty), (Type::Text(_), Type::Text(_))) {
            return self;
        }
        let span = self.span.clone();
        let node = match (&self.node, self.ty, ty) {
            (Node::Null, ..) => Node::Null,
            (Node::Int(value), _, _) => match convert(*value, self.ty, ty) {
                Some(Constant::Int(value)) => Node::Int(value),
                Some(Constant::Double(value)) => Node::Double(value),
                None => Node::Cast(Box::new(self)),
            },
            _ => Node::Cast(Box::new(self)),
        };
        Self { node, ty, span }
    }
}

enum Constant {
    Int(i64),
    Double(f64),
}

/// Ten to the power of `scale`, at most 18.
#[must_use]
pub(super) const fn power_of_ten(scale: u8) -> i64 {
    10i64.pow(if scale > 18 { 18 } else { scale as u32 })
}

fn convert(value: i64, from: Type, to: Type) -> Option<Constant> {
    let scale = |ty| match ty {
        Type::Int => Some(0),
        Type::Decimal(scale) => Some(scale),
        _ => None,
    };
    match (scale(from), scale(to), to) {
        (Some(from), Some(to), _) if to >= from => {
            value.checked_mul(power_of_ten(to - from)).map(Constant::Int)
        }
        (Some(from), None, Type::Double) => {
            Some(Constant::Double(value as f64 / power_of_ten(from) as f64))
        }
        _ => None,
    }
}
