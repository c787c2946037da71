//! What most conditions are: comparisons of whole numbers, all of which have to be true.
//!
//! ```text
//! account = 17 AND amount > 5000      load, constant, compare, load, constant, compare, and
//!                                     becomes    [account = 17] [amount > 5000]
//! ```
//!
//! Invariant: they all hold exactly when the program's value is true. No side of them can be
//! undefined, so nothing goes uncounted when the first that does not hold decides.

use corelane_feeds::schema::SqlType;

use super::column::{WordColumn, loaded};
use super::scalar::compares;
use super::{Code, Op, REGISTERS};
use crate::rules::expr::Compare;
use crate::rules::types::Value;

/// A comparison.
#[derive(Copy, Clone, Debug)]
pub(super) struct Comparison {
    op: Compare,
    left: Side,
    right: Side,
}

/// What is compared.
#[derive(Copy, Clone, Debug)]
enum Side {
    /// A column of eight bytes.
    Word(WordColumn),
    /// What loads one of fewer.
    Column(Code),
    Input(u32),
    Constant(i64),
}

impl Side {
    fn of(code: Code, constants: &[u64]) -> Option<Self> {
        match code {
            Code::Load(sql, _) | Code::LoadMasked(sql, ..) if is_defined(sql) => {
                Some(Self::Column(code))
            }
            Code::Input(at) => Some(Self::Input(at)),
            Code::Constant(at) => Some(Self::Constant(constants.get(at as usize)?.cast_signed())),
            _ => WordColumn::of(code).filter(|word| word.is_defined()).map(Self::Word),
        }
    }

    /// Its value, if it is known.
    #[inline]
    fn value(self, record: &[u8], inputs: &[Value]) -> Option<i64> {
        match self {
            Self::Word(word) => word.read(record)?.as_int(),
            Self::Column(code) => loaded(code, record)??.as_int(),
            Self::Input(at) => inputs.get(at as usize)?.as_int(),
            Self::Constant(value) => Some(value),
        }
    }
}

impl Comparison {
    #[inline]
    pub(super) fn holds(&self, record: &[u8], inputs: &[Value]) -> bool {
        let left = self.left.value(record, inputs);
        let right = self.right.value(record, inputs);
        matches!((left, right), (Some(left), Some(right)) if compares(self.op, &left, &right))
    }
}

/// Whether every value of a column of less than a word is a whole number.
const fn is_defined(sql: SqlType) -> bool {
    matches!(
        sql,
        SqlType::Boolean
            | SqlType::TinyInt
            | SqlType::SmallInt
            | SqlType::Int
            | SqlType::TinyIntUnsigned
            | SqlType::SmallIntUnsigned
            | SqlType::IntUnsigned
    )
}

/// What a register holds while a program is looked through.
enum Held {
    Side(Side),
    All(Vec<Comparison>),
}

/// The comparisons that a program is, if it is nothing else.
pub(super) fn of(ops: &[Op], constants: &[u64]) -> Option<Box<[Comparison]>> {
    let mut registers: Vec<Option<Held>> = Vec::new();
    registers.resize_with(REGISTERS, || None);
    for op in ops {
        let mut take = |at: u8| registers.get_mut(usize::from(at))?.take();
        let held = match op.code {
            Code::CompareInt(compare) => {
                let (Held::Side(left), Held::Side(right)) = (take(op.a)?, take(op.b)?) else {
                    return None;
                };
                Held::All(vec![Comparison { op: compare, left, right }])
            }
            Code::And => {
                let (Held::All(mut all), Held::All(more)) = (take(op.a)?, take(op.b)?) else {
                    return None;
                };
                all.extend(more);
                Held::All(all)
            }
            code => Held::Side(Side::of(code, constants)?),
        };
        *registers.get_mut(usize::from(op.dst))? = Some(held);
    }
    match registers.first_mut()?.take()? {
        Held::All(all) => Some(all.into()),
        Held::Side(_) => None,
    }
}
