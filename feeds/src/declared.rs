//! Streams that users declare: the layout of their records, which column is their key and which
//! their event time.
//!
//! ```text
//! 0          32       40
//! | header  | _nulls | 8-byte columns | 4-byte | 2-byte | 1-byte and texts ...
//! ```
//!
//! Bit `i` of `_nulls` says that the stream's `i`th column is NULL; its bytes are then zeros, or
//! blanks if it is a text.
//!
//! Invariant: columns never overlap and each lies at a multiple of its size, whatever the order in
//! which they were declared. Records of equal keys have the same `instrument`, from 1, so that they
//! go to one shard in order; without a key all have the same.
//!
//! ```
//! use corelane_feeds::declared::{ColumnSpec, Declared};
//! use corelane_feeds::schema::SqlType;
//! let columns = [
//!     ColumnSpec::new("vip", SqlType::Boolean),
//!     ColumnSpec::new("account", SqlType::BigInt),
//! ];
//! let stream = Declared::new(0, "payments", &columns).unwrap();
//! assert_eq!(stream.schema.field("account").unwrap().offset, 40);
//! assert_eq!(stream.schema.field("vip").unwrap().offset, 48);
//! ```

use crate::record::{RECORD_BYTES_MAX, StreamId};
use crate::schema::{Field, Schema, SqlType};

/// The high byte of every declared stream's number.
pub const FAMILY: u16 = 0x8000;
/// The most streams that are declared.
pub const STREAMS_MAX: u16 = 0x100;
/// The most columns of a declared stream: one bit each in the mask of NULLs.
pub const COLUMNS_MAX: usize = 64;
/// The hidden column that says which columns are NULL, by bit.
pub const NULLS: &str = "_nulls";
/// Where the mask of NULLs stands.
pub const NULLS_OFFSET: usize = 32;
/// Where the columns begin.
pub const COLUMNS_OFFSET: usize = 40;

/// Whether a number is that of a declared stream.
#[must_use]
pub const fn is_declared(stream: StreamId) -> bool {
    stream.0 & 0xff00 == FAMILY
}

/// What an integer means where a time is expected.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum TimeUnit {
    /// Nanoseconds.
    #[default]
    Nanos,
    /// Microseconds.
    Micros,
    /// Milliseconds.
    Millis,
    /// Seconds.
    Seconds,
}

impl TimeUnit {
    /// Every unit as a rule file spells it.
    pub const NAMES: &'static [(&'static str, Self)] =
        &[("ns", Self::Nanos), ("us", Self::Micros), ("ms", Self::Millis), ("s", Self::Seconds)];

    /// Decimals of it that a nanosecond is.
    #[must_use]
    pub const fn decimals(self) -> u8 {
        match self {
            Self::Nanos => 0,
            Self::Micros => 3,
            Self::Millis => 6,
            Self::Seconds => 9,
        }
    }
}

/// A column as it was declared.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ColumnSpec<'a> {
    /// Its name, in lower case.
    pub name: &'a str,
    /// How it is stored.
    pub sql: SqlType,
    /// `NOT NULL`.
    pub required: bool,
    /// Digits of a DECIMAL at most, 1 to 18.
    pub digits: u8,
}

impl<'a> ColumnSpec<'a> {
    /// A column that may be NULL, with 18 digits.
    #[must_use]
    pub const fn new(name: &'a str, sql: SqlType) -> Self {
        Self { name, sql, required: false, digits: 18 }
    }
}

/// A column in its place.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct DeclaredColumn {
    /// Name, type and offset.
    pub field: Field,
    /// A record without it is refused.
    pub required: bool,
    /// Digits of a DECIMAL at most.
    pub digits: u8,
}

/// A declared stream. Its schema lives as long as the process, as those of built-in streams do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Declared {
    /// What its records hold.
    pub schema: &'static Schema,
    /// Its columns as they were declared; the `i`th has bit `i` of the mask.
    pub columns: Vec<DeclaredColumn>,
    /// Which columns are its key.
    pub key: Vec<usize>,
    /// Which column is its event time.
    pub time: Option<usize>,
    /// How far records may lag behind the latest event time, nanoseconds.
    pub lateness_ns: u64,
    /// What integers mean where a time is expected.
    pub unit: TimeUnit,
}

/// Why a stream cannot be declared.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DeclareError {
    /// Its record would be too long.
    #[error("{bytes} bytes with its header, at most {RECORD_BYTES_MAX}")]
    TooWide {
        /// Bytes of the record.
        bytes: usize,
    },
    /// It has more columns than the mask has bits.
    #[error("{columns} columns, at most {COLUMNS_MAX}")]
    TooManyColumns {
        /// Columns.
        columns: usize,
    },
    /// There are as many streams as there may be.
    #[error("at most {STREAMS_MAX} streams")]
    TooManyStreams,
}

impl Declared {
    /// The `number`th declared stream, without key and event time.
    ///
    /// # Errors
    /// If it is too wide or one too many.
    pub fn new(number: u16, name: &str, specs: &[ColumnSpec<'_>]) -> Result<Self, DeclareError> {
        if number >= STREAMS_MAX {
            return Err(DeclareError::TooManyStreams);
        }
        if specs.len() > COLUMNS_MAX {
            return Err(DeclareError::TooManyColumns { columns: specs.len() });
        }
        let leak = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
        let align = |sql: SqlType| if matches!(sql, SqlType::Char(_)) { 1 } else { sql.bytes() };
        // The widest first: nothing is lost to padding.
        let mut order: Vec<usize> = (0..specs.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(align(specs[i].sql)));
        let mut offsets = vec![0; specs.len()];
        let mut end = COLUMNS_OFFSET;
        for i in order {
            offsets[i] = end;
            end += specs[i].sql.bytes();
        }
        let bytes = end.next_multiple_of(8);
        if bytes > RECORD_BYTES_MAX {
            return Err(DeclareError::TooWide { bytes });
        }
        let column = |(spec, offset): (&ColumnSpec<'_>, usize)| DeclaredColumn {
            field: Field { name: leak(spec.name), sql: spec.sql, offset, doc: "" },
            required: spec.required,
            digits: spec.digits,
        };
        let columns: Vec<DeclaredColumn> = specs.iter().zip(offsets).map(column).collect();
        let mask = Field { name: NULLS, sql: SqlType::BigIntUnsigned, offset: 32, doc: "" };
        let fields = std::iter::once(mask).chain(columns.iter().map(|column| column.field));
        let schema = Box::leak(Box::new(Schema {
            stream: StreamId(FAMILY | number),
            name: leak(name),
            bytes,
            fields: Vec::leak(fields.collect()),
            doc: " Declared by a rule file.",
        }));
        let unit = TimeUnit::default();
        Ok(Self { schema, columns, key: Vec::new(), time: None, lateness_ns: 0, unit })
    }

    /// What a record of this stream is before anything is known of it: every column NULL. What of
    /// it is header is zeros.
    #[must_use]
    pub fn blank(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.schema.bytes];
        let known = u32::try_from(self.columns.len()).unwrap_or(u32::MAX);
        let mask = u64::MAX.checked_shr(64 - known.min(64)).unwrap_or(0);
        bytes[NULLS_OFFSET..COLUMNS_OFFSET].copy_from_slice(&mask.to_le_bytes());
        for field in self.columns.iter().map(|column| &column.field) {
            if matches!(field.sql, SqlType::Char(_)) {
                bytes[field.offset..field.offset + field.sql.bytes()].fill(b' ');
            }
        }
        bytes
    }

    /// The `instrument` of a record with these bytes: 1 to 65,535, the same for equal keys.
    #[inline]
    #[must_use]
    pub fn bucket(&self, record: &[u8]) -> u16 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut hash = 0u64;
        for &column in &self.key {
            let Some(DeclaredColumn { field, .. }) = self.columns.get(column) else { continue };
            let place = field.offset..field.offset + field.sql.bytes();
            for piece in record.get(place).unwrap_or_default().chunks(8) {
                let mut word = [0; 8];
                word[..piece.len()].copy_from_slice(piece);
                hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(ODD);
                hash ^= hash >> 32;
            }
        }
        1 + (hash.wrapping_mul(ODD) >> 48).min(0xfffe) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_lie_packed_and_aligned() {
        let types = [
            SqlType::Char(3),
            SqlType::BigInt,
            SqlType::Boolean,
            SqlType::SmallInt,
            SqlType::Int,
            SqlType::Decimal(2),
            SqlType::TinyIntUnsigned,
            SqlType::Timestamp,
        ];
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let specs: Vec<ColumnSpec<'_>> =
            names.iter().zip(types).map(|(name, sql)| ColumnSpec::new(name, sql)).collect();
        let stream = Declared::new(7, "s", &specs).unwrap();
        let mut fields: Vec<Field> = stream.columns.iter().map(|column| column.field).collect();
        fields.sort_by_key(|field| field.offset);
        let mut end = COLUMNS_OFFSET;
        for field in fields {
            assert_eq!(field.offset, end, "{}", field.name);
            let is_text = matches!(field.sql, SqlType::Char(_));
            assert!(is_text || field.offset.is_multiple_of(field.sql.bytes()));
            end += field.sql.bytes();
        }
        assert_eq!((end, stream.schema.bytes), (75, 80));
        assert_eq!(stream.schema.stream, StreamId(0x8007));
        let blank = stream.blank();
        assert_eq!(blank[32..40], [0xff, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(blank[stream.columns[0].field.offset..][..3], *b"   ");
    }

    #[test]
    fn too_much_is_refused() {
        let wide = [ColumnSpec::new("a", SqlType::Char(64)); 4];
        assert_eq!(Declared::new(0, "s", &wide).err(), Some(DeclareError::TooWide { bytes: 296 }));
        let many = [ColumnSpec::new("a", SqlType::Boolean); 65];
        assert!(matches!(Declared::new(0, "s", &many), Err(DeclareError::TooManyColumns { .. })));
        assert!(Declared::new(STREAMS_MAX, "s", &[]).is_err());
        let most = [ColumnSpec::new("a", SqlType::Boolean); 64];
        assert_eq!(Declared::new(0, "s", &most).unwrap().blank()[32..40], [0xff; 8]);
    }

    #[test]
    fn keys_spread_over_buckets() {
        let specs = [ColumnSpec::new("account", SqlType::BigInt)];
        let mut stream = Declared::new(0, "s", &specs).unwrap();
        let mut record = stream.blank();
        assert_eq!(stream.bucket(&record), 1, "no key is one bucket");
        stream.key = vec![0];
        let mut halves = [0; 2];
        for account in 0..10_000u64 {
            record[40..48].copy_from_slice(&account.to_le_bytes());
            let bucket = stream.bucket(&record);
            assert!(bucket > 0);
            halves[usize::from(bucket > 0x7fff)] += 1;
        }
        assert!(halves.iter().all(|&n: &i32| (n - 5_000).abs() < 300), "{halves:?}");
    }
}
