//! Casts, parts of times, and functions of values.

use std::ops::Range;

use sqlparser::ast::{DataType, DateTimeField, ExactNumberInfo, Expr, TimezoneInfo};

use super::{Noted, Resolved, Resolver, common};
use crate::rules::expr::{Arith, Call, Compare, Node, Typed};
use crate::rules::types::Type;

impl Resolver<'_> {
    pub(super) fn cast(
        &mut self,
        expr: &Expr,
        data_type: &DataType,
        span: Range<usize>,
    ) -> Resolved {
        let typed = self.expr(expr)?;
        let ty = match data_type {
            DataType::TinyInt(_)
            | DataType::SmallInt(_)
            | DataType::Int(_)
            | DataType::Integer(_)
            | DataType::BigInt(_) => Type::Int,
            DataType::Double(_)
            | DataType::DoublePrecision
            | DataType::Float(_)
            | DataType::Real => Type::Double,
            DataType::Decimal(info) | DataType::Numeric(info) => match info {
                ExactNumberInfo::PrecisionAndScale(1..=18, scale @ 0..=18) => {
                    Type::Decimal(*scale as u8)
                }
                ExactNumberInfo::None | ExactNumberInfo::Precision(1..=18) => Type::Decimal(0),
                _ => return Err(self.wrong(span, "a decimal has at most 18 digits", "here")),
            },
            DataType::Timestamp(_, TimezoneInfo::None) => Type::Timestamp,
            DataType::Boolean => Type::Bool,
            DataType::Custom(name, _) if name.to_string().eq_ignore_ascii_case("price") => {
                Type::Decimal(9)
            }
            _ => {
                let title = format!("nothing can be made {data_type} here");
                return Err(self.wrong(span, title, "BIGINT, DECIMAL, DOUBLE, TIMESTAMP can"));
            }
        };
        let fits = typed.ty == ty
            || typed.node == Node::Null
            || typed.ty.is_number() && ty.is_number()
            || matches!((typed.ty, ty), (Type::Int, Type::Timestamp))
            || matches!((typed.ty, ty), (Type::Timestamp | Type::Interval | Type::Bool, Type::Int));
        if !fits {
            let title = format!("{} cannot become {ty}", typed.ty);
            return Err(self.wrong(span, title, "here"));
        }
        Ok(Typed { span, ..typed.to(ty) })
    }

    pub(super) fn extract(
        &mut self,
        field: &DateTimeField,
        expr: &Expr,
        span: Range<usize>,
    ) -> Resolved {
        let time = self.expr(expr)?;
        let time = self.expect(time, Type::Timestamp, "what EXTRACT takes a part of")?;
        let (unit, modulus) = match field {
            DateTimeField::Hour | DateTimeField::Hours => (3_600_000_000_000, 24),
            DateTimeField::Minute | DateTimeField::Minutes => (60_000_000_000, 60),
            DateTimeField::Second | DateTimeField::Seconds => (1_000_000_000, 60),
            DateTimeField::Millisecond | DateTimeField::Milliseconds => (1_000_000, 60_000),
            DateTimeField::Epoch => (1_000_000_000, 0),
            _ => {
                let label = "HOUR, MINUTE, SECOND, MILLISECOND and EPOCH are";
                return Err(self.wrong(span, format!("{field} cannot be taken"), label));
            }
        };
        let int = |node| Box::new(Typed::new(node, Type::Int, span.clone()));
        let ns = int(Node::Cast(Box::new(time)));
        let units = Node::Arith(Arith::Div, ns, int(Node::Int(unit)));
        let node = match modulus {
            0 => units,
            _ => Node::Arith(Arith::Rem, int(units), int(Node::Int(modulus))),
        };
        Ok(Typed::new(node, Type::Int, span))
    }

    pub(super) fn round(&mut self, call: Call, expr: &Expr, span: Range<usize>) -> Resolved {
        let inner = self.expr(expr)?;
        self.call(call, vec![inner], span)
    }

    /// A function of values that were resolved.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(in crate::rules) fn call(
        &mut self,
        call: Call,
        args: Vec<Typed>,
        span: Range<usize>,
    ) -> Resolved {
        let ty = self.common_of(args.clone(), &span)?;
        let wrong = match call {
            Call::Length => !matches!(ty, Type::Text(_)),
            Call::Greatest | Call::Least => matches!(ty, Type::Text(_) | Type::Bool),
            Call::Abs | Call::Sign => !ty.is_number() && ty != Type::Interval,
            _ => !ty.is_number(),
        };
        if wrong {
            return Err(self.wrong(span, format!("this function takes no {ty}"), "here"));
        }
        let (operand, result) = match (call, ty) {
            (Call::Length, _) => (ty, Type::Int),
            (Call::Floor | Call::Ceil, Type::Int) => {
                return args.into_iter().next().ok_or(Noted);
            }
            (Call::Floor | Call::Ceil | Call::Sqrt | Call::Ln | Call::Exp | Call::Power, _) => {
                (Type::Double, Type::Double)
            }
            (Call::Sign, Type::Double) => (ty, ty),
            (Call::Sign, _) => (ty, Type::Int),
            _ => (ty, ty),
        };
        let args = args.into_iter().map(|arg| arg.to(operand)).collect();
        Ok(Typed::new(Node::Call(call, args), result, span))
    }

    /// The first of several values that is known.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(in crate::rules) fn coalesce(&mut self, args: Vec<Typed>, span: Range<usize>) -> Resolved {
        let ty = self.common_of(args.clone(), &span)?;
        let args = args.into_iter().map(|arg| arg.to(ty)).collect();
        Ok(Typed::new(Node::Coalesce(args), ty, span))
    }

    /// NULL if both values are equal, else the first.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(in crate::rules) fn nullif(
        &mut self,
        left: Typed,
        right: Typed,
        span: Range<usize>,
    ) -> Resolved {
        let Some(ty) = common(&left, &right) else {
            return Err(self.wrong(span, "these values cannot be compared", "here"));
        };
        let (result, own) = (left.clone(), left.ty);
        let equal = Node::Compare(Compare::Eq, Box::new(left.to(ty)), Box::new(right.to(ty)));
        let equal = Typed::new(equal, Type::Bool, span.clone());
        let null = Typed::new(Node::Null, own, span.clone());
        Ok(Typed::new(Node::Case(vec![(equal, null)], Some(Box::new(result))), own, span))
    }
}
