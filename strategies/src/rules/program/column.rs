//! Columns of a record: by offset, as the type says, with the mask that can make them NULL.
//!
//! Invariant: a column beyond the record's end is NULL.

use corelane_feeds::schema::SqlType;

use super::{Code, Program};
use crate::rules::catalog::Column;
use crate::rules::types::{Text, Value};

/// A column of which a word says all.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(in crate::rules) struct WordColumn {
    offset: u32,
    /// The byte with the bit that says NULL, and the bit; 0 if it is never NULL.
    mask: (u16, u8),
    /// Of a text of at most eight bytes, those bytes; else 0.
    text: u64,
    /// Words of the upper half are no value.
    is_unsigned: bool,
}

impl WordColumn {
    /// Its word in a record's bytes, a text's without what fills it; NULL as 0 and not known.
    /// `None` if it is not to be had this way: too close to the end, or no value.
    #[inline]
    pub(in crate::rules) fn read(self, record: &[u8]) -> Option<Value> {
        /// Blanks and zeros have no bits but these.
        const FILLS: u64 = u64::from_le_bytes([b' '; 8]);
        if self.mask.1 != 0 && record.get(usize::from(self.mask.0))? & self.mask.1 != 0 {
            return Some(Value::NULL);
        }
        let mut bits = word_at(record, self.offset)?;
        if self.text != 0 {
            bits &= self.text;
            let filled = (bits & !FILLS).leading_zeros() / 8 * 8;
            bits &= u64::MAX.checked_shr(filled).unwrap_or(0);
        } else if self.is_unsigned && bits.cast_signed() < 0 {
            return None;
        }
        Some(Value { bits, known: true })
    }

    /// Whether its word is a value as it is, not a text's bytes.
    pub(super) const fn is_number(self) -> bool {
        self.text == 0
    }

    /// The column that an instruction loads, if a word says all of it.
    pub(super) fn of(code: Code) -> Option<Self> {
        let number = |sql, offset, mask| {
            let column = Self { offset, mask, text: 0, is_unsigned: is_unsigned_word(sql) };
            (is_word(sql) || column.is_unsigned).then_some(column)
        };
        let text = |len: u8, offset, mask| {
            let own = u64::MAX.checked_shr(64 - 8 * u32::from(len.clamp(1, 8)))?;
            let column = Self { offset, mask, text: own, is_unsigned: false };
            (1..=8).contains(&len).then_some(column)
        };
        let masked = |mask: u16, bit: u8| (mask + u16::from(bit >> 3), 1 << (bit & 7));
        match code {
            Code::Load(sql, offset) => number(sql, offset, (0, 0)),
            Code::LoadMasked(sql, at, mask, bit) => number(sql, at.into(), masked(mask, bit)),
            Code::Text(Text { space: 0, len, offset }) => text(len, offset, (0, 0)),
            Code::TextMasked(len, at, mask, bit) => text(len, at.into(), masked(mask, bit)),
            _ => None,
        }
    }

    /// Whether its word is a whole number, whatever is in it.
    pub(super) const fn is_defined(self) -> bool {
        self.text == 0 && !self.is_unsigned
    }
}

impl Program {
    /// How to read it as a word, if it is a column and a word says all of it.
    pub(in crate::rules) fn as_word(&self) -> Option<WordColumn> {
        let [op] = self.ops.as_slice() else { return None };
        WordColumn::of(op.code)
    }

    /// The value if the program is a column and nothing else; `Some(None)` is one that is
    /// undefined.
    #[inline]
    pub(in crate::rules) fn column(&self, record: &[u8]) -> Option<Option<Value>> {
        if let Some(value) = self.word.and_then(|word| word.read(record)) {
            return Some(Some(value));
        }
        let [op] = self.ops.as_slice() else { return None };
        loaded(op.code, record)
    }
}

/// What an instruction loads from a record, if it does; `Some(None)` is a value that is undefined.
#[inline]
pub(super) fn loaded(code: Code, record: &[u8]) -> Option<Option<Value>> {
    Some(match code {
        Code::LoadMasked(_, _, mask, bit) | Code::TextMasked(_, _, mask, bit)
            if is_masked(record, mask, bit) =>
        {
            Some(Value::NULL)
        }
        Code::Load(sql, offset) => load(sql, offset as usize, record),
        Code::LoadMasked(sql, offset, ..) => load(sql, offset.into(), record),
        Code::Text(text) => Some(Value { bits: text.to_bits(), known: true }),
        Code::TextMasked(len, offset, ..) => {
            let text = Text { space: 0, len, offset: offset.into() };
            Some(Value { bits: text.to_bits(), known: true })
        }
        _ => return None,
    })
}

/// A word of the record, if it is that long.
#[inline]
fn word_at(record: &[u8], offset: u32) -> Option<u64> {
    record.get(offset as usize..)?.first_chunk().map(|word| u64::from_le_bytes(*word))
}

/// Whether a column is a word as it stands, whatever is in it.
const fn is_word(sql: SqlType) -> bool {
    matches!(sql, SqlType::BigInt | SqlType::Interval | SqlType::Price | SqlType::Decimal(_))
}

/// Whether it is one, unless its upper half is set.
const fn is_unsigned_word(sql: SqlType) -> bool {
    matches!(sql, SqlType::BigIntUnsigned | SqlType::Timestamp)
}

/// What reads a column.
pub(super) fn load_of(Column { sql, offset, nulls }: Column) -> Code {
    match (sql, nulls) {
        (SqlType::Char(len), Some((mask, bit))) => {
            Code::TextMasked(len, offset as u16, mask as u16, bit)
        }
        (sql, Some((mask, bit))) => Code::LoadMasked(sql, offset as u16, mask as u16, bit),
        (SqlType::Char(len), None) => Code::Text(Text { space: 0, len, offset: offset as u32 }),
        (sql, None) => Code::Load(sql, offset as u32),
    }
}

/// Whether a bit of the mask at an offset is set.
#[inline]
pub(super) fn is_masked(record: &[u8], mask: u16, bit: u8) -> bool {
    let byte = record.get(usize::from(mask) + usize::from(bit >> 3));
    byte.is_some_and(|byte| byte >> (bit & 7) & 1 == 1)
}

/// A column's value; `None` if it is one that the type cannot hold.
#[inline]
pub(super) fn load(sql: SqlType, offset: usize, record: &[u8]) -> Option<Value> {
    fn word<const N: usize>(record: &[u8], offset: usize) -> Option<[u8; N]> {
        record.get(offset..)?.first_chunk::<N>().copied()
    }
    let value = match sql {
        SqlType::Boolean | SqlType::TinyIntUnsigned => {
            word::<1>(record, offset).map(|[byte]| Value::int(i64::from(byte)))
        }
        SqlType::TinyInt => {
            word(record, offset).map(|b| Value::int(i64::from(i8::from_le_bytes(b))))
        }
        SqlType::SmallInt => {
            word(record, offset).map(|b| Value::int(i64::from(i16::from_le_bytes(b))))
        }
        SqlType::Int => word(record, offset).map(|b| Value::int(i64::from(i32::from_le_bytes(b)))),
        SqlType::SmallIntUnsigned => {
            word(record, offset).map(|b| Value::int(i64::from(u16::from_le_bytes(b))))
        }
        SqlType::IntUnsigned => {
            word(record, offset).map(|b| Value::int(i64::from(u32::from_le_bytes(b))))
        }
        SqlType::BigIntUnsigned | SqlType::Timestamp => match word(record, offset) {
            Some(bytes) => Some(Value::int(i64::try_from(u64::from_le_bytes(bytes)).ok()?)),
            None => None,
        },
        SqlType::BigInt | SqlType::Interval | SqlType::Price | SqlType::Decimal(_) => {
            word(record, offset).map(|b| Value::int(i64::from_le_bytes(b)))
        }
        SqlType::Double => word(record, offset).map(|b| Value::double(f64::from_le_bytes(b))),
        SqlType::Char(_) => None,
    };
    Some(value.unwrap_or(Value::NULL))
}
