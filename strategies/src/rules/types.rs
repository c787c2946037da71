//! Types and values of the rule language at run time.
//!
//! Invariant: a value is 64 bits and whether it is known (not NULL); what the bits mean the type
//! says, which is decided when a rule is loaded and never looked at per record.

use std::fmt;

use corelane_feeds::schema::SqlType;

/// What an expression's value is.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Type {
    /// 0 or 1.
    Bool,
    /// An `i64`; every integer type widens to it.
    Int,
    /// An `i64` in units of 10^-scale, scale at most 18. PRICE is scale 9.
    Decimal(u8),
    /// The bits of an `f64`, never NaN and never infinite: those are NULL.
    Double,
    /// Nanoseconds since the epoch, as an `i64`.
    Timestamp,
    /// Nanoseconds, as an `i64`.
    Interval,
    /// Text of at most so many bytes, 0 of any number: see [`Text`].
    Text(u8),
}

/// Where a text lies: in a record or among a program's constants.
///
/// Texts compare without their trailing blanks and zeros, as CHAR does in SQL.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Text {
    /// 0 is the record at hand; the rest is the program's affair.
    pub space: u8,
    /// Bytes of it.
    pub len: u8,
    /// Where it begins.
    pub offset: u32,
}

impl Text {
    /// As the 64 bits of a value.
    #[inline]
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.offset as u64 | (self.len as u64) << 32 | (self.space as u64) << 40
    }

    /// From the 64 bits of a value.
    #[inline]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self { space: (bits >> 40) as u8, len: (bits >> 32) as u8, offset: bits as u32 }
    }
}

/// A value: 64 bits, and whether it is known.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Value {
    /// What it is; 0 if it is not known.
    pub bits: u64,
    /// False is NULL.
    pub known: bool,
}

impl Value {
    /// No value.
    pub const NULL: Self = Self { bits: 0, known: false };

    /// An integer, decimal, timestamp or interval.
    #[inline]
    #[must_use]
    pub const fn int(value: i64) -> Self {
        Self { bits: value.cast_unsigned(), known: true }
    }

    /// A number; NULL if it is not finite.
    #[inline]
    #[must_use]
    pub fn double(value: f64) -> Self {
        if value.is_finite() { Self { bits: value.to_bits(), known: true } } else { Self::NULL }
    }

    /// A truth value.
    #[inline]
    #[must_use]
    pub const fn bool(value: bool) -> Self {
        Self { bits: value as u64, known: true }
    }

    /// As [`Value::int`] made it.
    #[inline]
    #[must_use]
    pub const fn as_int(self) -> Option<i64> {
        if self.known { Some(self.bits.cast_signed()) } else { None }
    }

    /// As [`Value::double`] made it.
    #[inline]
    #[must_use]
    pub const fn as_double(self) -> Option<f64> {
        if self.known { Some(f64::from_bits(self.bits)) } else { None }
    }

    /// Whether it is known to be true.
    #[inline]
    #[must_use]
    pub const fn is_true(self) -> bool {
        self.known && self.bits != 0
    }
}

impl Type {
    /// The type that a column's value has in an expression.
    #[must_use]
    pub const fn of(sql: SqlType) -> Self {
        match sql {
            SqlType::Boolean => Self::Bool,
            SqlType::TinyInt
            | SqlType::SmallInt
            | SqlType::Int
            | SqlType::TinyIntUnsigned
            | SqlType::SmallIntUnsigned
            | SqlType::IntUnsigned
            | SqlType::BigIntUnsigned
            | SqlType::BigInt => Self::Int,
            SqlType::Double => Self::Double,
            SqlType::Price => Self::Decimal(9),
            SqlType::Decimal(scale) => Self::Decimal(scale),
            SqlType::Timestamp => Self::Timestamp,
            SqlType::Interval => Self::Interval,
            SqlType::Char(n) => Self::Text(n),
        }
    }

    /// Whether it can be added and compared with other numbers.
    #[must_use]
    pub const fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Decimal(_) | Self::Double)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("BOOLEAN"),
            Self::Int => f.write_str("BIGINT"),
            Self::Decimal(9) => f.write_str("PRICE"),
            Self::Decimal(scale) => write!(f, "DECIMAL(18,{scale})"),
            Self::Double => f.write_str("DOUBLE"),
            Self::Timestamp => f.write_str("TIMESTAMP(9)"),
            Self::Interval => f.write_str("INTERVAL"),
            Self::Text(0) => f.write_str("VARCHAR"),
            Self::Text(n) => write!(f, "VARCHAR({n})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_what_they_are() {
        assert_eq!(Value::int(-5).as_int(), Some(-5));
        assert_eq!(Value::double(0.5).as_double(), Some(0.5));
        assert_eq!(Value::double(f64::NAN), Value::NULL);
        assert!(Value::bool(true).is_true() && !Value::bool(false).is_true());
        assert!(!Value::NULL.is_true());
        let text = Text { space: 3, len: 64, offset: 70_000 };
        assert_eq!(Text::from_bits(text.to_bits()), text);
    }
}
