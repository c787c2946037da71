//! What the records of a journal are called and where their columns lie: the streams of this
//! program, and those that the rules beside the journal declare.
//!
//! Invariant: a stream that rules declared has the layout that it had in the run, since no rule
//! file can change it while a run lasts.

use std::fmt::{self, Write as _};
use std::path::Path;

use corelane_feeds::declared::NULLS;
use corelane_feeds::record::{Record, StreamId};
use corelane_feeds::schema::{Field, Schema, SqlType};
use corelane_feeds::units::PRICE_SCALE;
use corelane_strategies::action;
use corelane_strategies::registry::Registry;
use corelane_strategies::rules::RuleSet;
use zerocopy::IntoBytes;

use super::segments;
use crate::egress::schema_of;
use crate::rerun::decided;

/// Decimals of a price.
pub(super) const PRICE_DECIMALS: u8 = PRICE_SCALE.ilog10() as u8;

/// The layouts that a journal's records can have.
#[derive(Default)]
pub struct Layouts {
    declared: Vec<&'static Schema>,
}

impl Layouts {
    /// Those of the journal in the folder of a run, or of one of its shards. Where what decided is
    /// not beside it there are only this program's own.
    #[must_use]
    pub fn of(dir: &Path, registry: &Registry) -> Self {
        // A folder with segments is a shard's.
        let is_shard = segments(dir).is_ok_and(|found| !found.is_empty());
        let run = if is_shard { dir.parent().unwrap_or(dir) } else { dir };
        let Ok(config) = decided::load(run, registry) else { return Self::default() };
        Self::of_rules(&config.rule_set)
    }

    /// Those of a run with these rules.
    #[must_use]
    pub fn of_rules(rules: &RuleSet) -> Self {
        let streams = rules.declared_streams().iter().map(|stream| stream.declared.schema);
        Self { declared: streams.chain(rules.declared().iter().copied()).collect() }
    }

    /// The schema of a stream.
    #[must_use]
    pub fn schema(&self, stream: StreamId) -> Option<&'static Schema> {
        let declared = || self.declared.iter().find(|schema| schema.stream == stream).copied();
        schema_of(stream).or_else(declared)
    }
}

/// A value of a record.
#[derive(Copy, Clone, PartialEq, Debug)]
pub enum Cell<'a> {
    /// None.
    Null,
    /// `BOOLEAN`.
    Boolean(bool),
    /// Whole, not negative.
    Unsigned(u64),
    /// Whole.
    Signed(i64),
    /// `DOUBLE`.
    Double(f64),
    /// In units of ten to the minus so many.
    Decimal(i64, u8),
    /// Text without its padding.
    Text(&'a [u8]),
}

/// As people and tables read it: NULL is nothing, bytes beyond ASCII are the characters of their
/// numbers, as in JSON.
impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Cell::Null => Ok(()),
            Cell::Boolean(value) => write!(f, "{value}"),
            Cell::Unsigned(value) => write!(f, "{value}"),
            Cell::Signed(value) => write!(f, "{value}"),
            Cell::Double(value) => write!(f, "{value}"),
            Cell::Decimal(value, scale) => {
                let unit = 10u64.pow(u32::from(scale.min(18)));
                let (sign, size) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
                match usize::from(scale.min(18)) {
                    0 => write!(f, "{sign}{size}"),
                    width => write!(f, "{sign}{}.{:0width$}", size / unit, size % unit),
                }
            }
            Cell::Text(text) => text.iter().try_for_each(|&byte| f.write_char(byte.into())),
        }
    }
}

/// The columns of a stream, ready to be read.
pub struct Columns {
    /// The stream.
    pub schema: &'static Schema,
    /// Each with its bit in the mask of NULLs.
    columns: Vec<(&'static Field, usize)>,
    nulls: Option<usize>,
}

impl Columns {
    /// Those of a stream.
    #[must_use]
    pub fn of(schema: &'static Schema) -> Self {
        let is_action = schema.stream.0 & 0xff00 == action::FAMILY;
        let is_cause = |name: &str| matches!(name, "session" | "rule" | "ordinal");
        let mut bit = 0;
        let columns = schema.columns().map(|field| {
            // An action's mask tells of the columns that its rule filled.
            let own = if is_action && is_cause(field.name) { usize::MAX } else { bit };
            bit += usize::from(own != usize::MAX);
            (field, own)
        });
        let columns = columns.collect();
        let nulls = schema.fields.iter().find(|field| field.name == NULLS);
        Self { schema, columns, nulls: nulls.map(|field| field.offset) }
    }

    /// Their names and types.
    pub fn fields(&self) -> impl Iterator<Item = &'static Field> {
        self.columns.iter().map(|(field, _)| *field)
    }

    /// Their values in a record of the stream.
    pub fn cells<'a>(&'a self, record: &'a Record) -> impl Iterator<Item = Cell<'a>> {
        self.cells_of(record.as_bytes())
    }

    /// The same of the beginning of a record: what lies behind it is NULL.
    pub fn cells_of<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = Cell<'a>> {
        let mask = self.nulls.and_then(|at| bytes.get(at..)?.first_chunk());
        let mask = mask.map_or(0, |mask| u64::from_le_bytes(*mask));
        self.columns.iter().map(move |(field, bit)| {
            let is_null = *bit != usize::MAX && mask >> (bit % 64) & 1 == 1;
            let value = bytes.get(field.offset..field.offset + field.sql.bytes());
            value.filter(|_| !is_null).map_or(Cell::Null, |value| cell(field.sql, value))
        })
    }
}

fn cell(sql: SqlType, value: &[u8]) -> Cell<'_> {
    let mut word = [0; 8];
    let len = value.len().min(8);
    word[..len].copy_from_slice(&value[..len]);
    let word = u64::from_le_bytes(word);
    match sql {
        SqlType::Boolean => Cell::Boolean(word != 0),
        SqlType::TinyIntUnsigned
        | SqlType::SmallIntUnsigned
        | SqlType::IntUnsigned
        | SqlType::BigIntUnsigned
        | SqlType::Timestamp => Cell::Unsigned(word),
        SqlType::TinyInt => Cell::Signed(i64::from(word as i8)),
        SqlType::SmallInt => Cell::Signed(i64::from(word as i16)),
        SqlType::Int => Cell::Signed(i64::from(word as i32)),
        SqlType::BigInt | SqlType::Interval => Cell::Signed(word.cast_signed()),
        SqlType::Double => Cell::Double(f64::from_bits(word)),
        SqlType::Price => Cell::Decimal(word.cast_signed(), PRICE_DECIMALS),
        SqlType::Decimal(scale) => Cell::Decimal(word.cast_signed(), scale),
        SqlType::Char(_) => {
            let end = value.iter().rposition(|&b| b != b' ' && b != 0).map_or(0, |at| at + 1);
            Cell::Text(&value[..end])
        }
    }
}
