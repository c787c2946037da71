//! Schemas: what the fields of a stream are called, their SQL types and their offsets. One
//! [`stream!`](crate::stream) declaration gives the schema, the typed view and the layout asserts,
//! so that the three cannot disagree.
//!
//! Invariant: every field lies inside the record, none overlaps another, and offsets are those the
//! compiler gave the view.
//!
//! ```
//! use corelane_feeds::record::View;
//! use corelane_feeds::schema::SqlType;
//! use corelane_feeds::streams::itch::AddOrder;
//! let price = AddOrder::SCHEMA.field("price").unwrap();
//! assert_eq!((price.offset, price.sql), (40, SqlType::Price));
//! ```

use std::fmt;

use crate::record::StreamId;
use crate::units::{Char, Nanos, Price, Qty, Qty32, Seq, Side};

/// The type of a field, in the words of the rule language.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum SqlType {
    /// One byte, 0 or 1.
    Boolean,
    /// `i8`.
    TinyInt,
    /// `i16`.
    SmallInt,
    /// `i32`.
    Int,
    /// `u8`.
    TinyIntUnsigned,
    /// `u16`.
    SmallIntUnsigned,
    /// `u32`.
    IntUnsigned,
    /// `u64`.
    BigIntUnsigned,
    /// `i64`.
    BigInt,
    /// `f64`.
    Double,
    /// `i64` at 1e-9.
    Price,
    /// `i64` in units of ten to the minus so many, at most 18.
    Decimal(u8),
    /// `u64` nanoseconds since the epoch.
    Timestamp,
    /// `i64` nanoseconds.
    Interval,
    /// Fixed text of so many bytes, padded with blanks.
    Char(u8),
}

impl SqlType {
    /// Bytes that a value takes in a record.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Boolean | Self::TinyInt | Self::TinyIntUnsigned => 1,
            Self::SmallInt | Self::SmallIntUnsigned => 2,
            Self::Int | Self::IntUnsigned => 4,
            Self::BigIntUnsigned
            | Self::BigInt
            | Self::Double
            | Self::Price
            | Self::Decimal(_)
            | Self::Timestamp
            | Self::Interval => 8,
            Self::Char(n) => n as usize,
        }
    }
}

/// The type as a rule file spells it.
impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("BOOLEAN"),
            Self::TinyInt => f.write_str("TINYINT"),
            Self::SmallInt => f.write_str("SMALLINT"),
            Self::Int => f.write_str("INT"),
            Self::TinyIntUnsigned => f.write_str("TINYINT UNSIGNED"),
            Self::SmallIntUnsigned => f.write_str("SMALLINT UNSIGNED"),
            Self::IntUnsigned => f.write_str("INT UNSIGNED"),
            Self::BigIntUnsigned => f.write_str("BIGINT UNSIGNED"),
            Self::BigInt => f.write_str("BIGINT"),
            Self::Double => f.write_str("DOUBLE"),
            Self::Price => f.write_str("PRICE"),
            Self::Decimal(scale) => write!(f, "DECIMAL(18,{scale})"),
            Self::Timestamp => f.write_str("TIMESTAMP(9)"),
            Self::Interval => f.write_str("INTERVAL"),
            Self::Char(n) => write!(f, "CHAR({n})"),
        }
    }
}

/// Says which SQL type a Rust field has.
pub trait FieldType {
    /// The SQL type.
    const SQL: SqlType;
}

macro_rules! field_types {
    ($($rust:ty => $sql:ident),* $(,)?) => {
        $(impl FieldType for $rust { const SQL: SqlType = SqlType::$sql; })*
    };
}
field_types! {
    u8 => TinyIntUnsigned, u16 => SmallIntUnsigned, u32 => IntUnsigned, u64 => BigIntUnsigned,
    i64 => BigInt, f64 => Double, Price => Price, Nanos => Timestamp,
    Qty32 => IntUnsigned, Qty => BigIntUnsigned, Seq => BigIntUnsigned,
}
impl FieldType for Side {
    const SQL: SqlType = SqlType::Char(1);
}
impl<const N: usize> FieldType for Char<N> {
    const SQL: SqlType = SqlType::Char(N as u8);
}

/// One field of a stream.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Field {
    /// The column's name.
    pub name: &'static str,
    /// The column's type.
    pub sql: SqlType,
    /// Bytes from the start of the record.
    pub offset: usize,
    /// One sentence on what it holds.
    pub doc: &'static str,
}

/// The columns that every stream has, taken from the record's header.
pub const HEADER_FIELDS: &[Field] = &[
    Field { name: "feed", sql: SqlType::TinyIntUnsigned, offset: 4, doc: "Feed number." },
    Field { name: "instrument", sql: SqlType::SmallIntUnsigned, offset: 6, doc: "Dense number." },
    Field { name: "seq", sql: SqlType::BigIntUnsigned, offset: 8, doc: "Source sequence." },
    Field { name: "ts_event", sql: SqlType::Timestamp, offset: 16, doc: "Venue's time." },
    Field { name: "ts_recv", sql: SqlType::Timestamp, offset: 24, doc: "Our time." },
];

/// What a stream's records hold.
#[derive(PartialEq, Eq, Debug)]
pub struct Schema {
    /// The number in every record's header.
    pub stream: StreamId,
    /// The name in rules and reports, `family.stream`.
    pub name: &'static str,
    /// Length of a record in bytes.
    pub bytes: usize,
    /// The stream's own fields in order of declaration, padding included.
    pub fields: &'static [Field],
    /// What the stream is, and where it is specified.
    pub doc: &'static str,
}

impl Schema {
    /// The stream's own columns: its fields without the padding.
    pub fn columns(&self) -> impl Iterator<Item = &'static Field> {
        self.fields.iter().filter(|field| !field.name.starts_with('_'))
    }

    /// The field called `name`, a header field included.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().chain(HEADER_FIELDS).find(|field| field.name == name)
    }
}

/// Declares a stream: its view, its schema and its layout asserts at once.
///
/// `[tag]` names the header's tag byte as a field of the stream; names that start with `_` are
/// padding and no columns. The size after the stream number is asserted, and so is that there is no
/// hidden padding (by `zerocopy`).
#[macro_export]
macro_rules! stream {
    (
        $(#[doc = $doc:literal])*
        $view:ident = $id:literal, $name:literal, $bytes:literal {
            $([tag] $(#[doc = $tag_doc:literal])* $tag:ident : $tag_type:ty,)?
            $($(#[doc = $field_doc:literal])* $field:ident : $type:ty,)*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(
            Copy, Clone, Debug, PartialEq,
            zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable,
        )]
        #[repr(C)]
        pub struct $view {
            /// What every record starts with.
            pub header: $crate::record::Header,
            $($(#[doc = $field_doc])* pub $field: $type,)*
        }

        const _: () = assert!(size_of::<$view>() == $bytes && $bytes % 8 == 0);
        const _: () = assert!($bytes <= $crate::record::RECORD_BYTES_MAX);

        impl $view {
            /// The stream's number.
            pub const STREAM: $crate::record::StreamId = $crate::record::StreamId($id);

            /// A record with its header filled and every field zero.
            #[inline]
            #[must_use]
            pub fn new(stamp: $crate::record::Stamp, tag: u8) -> Self {
                let mut view: Self = zerocopy::FromZeros::new_zeroed();
                view.header = $crate::record::Header::new(Self::STREAM, $bytes, tag, stamp);
                view
            }

            $(
                $(#[doc = $tag_doc])*
                #[inline]
                #[must_use]
                pub fn $tag(&self) -> $tag_type {
                    <$tag_type>::from($crate::streams::Tag(self.header.tag))
                }
            )?
        }

        impl $crate::record::View for $view {
            const SCHEMA: &'static $crate::schema::Schema = &$crate::schema::Schema {
                stream: Self::STREAM,
                name: $name,
                bytes: $bytes,
                fields: {
                    const FIELDS: &[$crate::schema::Field] = &[
                        $($crate::schema::Field {
                            name: stringify!($tag),
                            sql: <$tag_type as $crate::schema::FieldType>::SQL,
                            offset: core::mem::offset_of!($crate::record::Header, tag),
                            doc: concat!($($tag_doc),*),
                        },)?
                        $($crate::schema::Field {
                            name: stringify!($field),
                            sql: <$type as $crate::schema::FieldType>::SQL,
                            offset: core::mem::offset_of!($view, $field),
                            doc: concat!($($field_doc),*),
                        },)*
                    ];
                    FIELDS
                },
                doc: concat!($($doc),*),
            };
        }
    };
}

#[cfg(test)]
mod tests {
    use crate::record::HEADER_BYTES;
    use crate::streams::ALL;

    #[test]
    fn fields_lie_inside_their_record_and_never_overlap() {
        for schema in ALL {
            let mut end = HEADER_BYTES;
            for field in schema.fields.iter().filter(|field| field.offset != 3) {
                assert!(field.offset >= end, "{}.{} overlaps", schema.name, field.name);
                end = field.offset + field.sql.bytes();
            }
            assert!(end <= schema.bytes, "{} ends at {end}", schema.name);
            assert!(!schema.doc.is_empty(), "{} has no doc", schema.name);
        }
    }

    #[test]
    fn stream_numbers_and_names_are_unique() {
        for (i, schema) in ALL.iter().enumerate() {
            for other in &ALL[i + 1..] {
                assert_ne!(schema.stream, other.stream, "{} {}", schema.name, other.name);
                assert_ne!(schema.name, other.name);
            }
        }
    }
}
