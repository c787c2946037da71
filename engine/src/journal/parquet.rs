//! Entries of one stream as a Parquet file: a column for every field, compressed by zstd.
//!
//! ```text
//! Char(n)                UTF-8 text       Price, Decimal(s)  DECIMAL(18, s)
//! Boolean                BOOLEAN          Timestamp          TIMESTAMP(NANOS, UTC)
//! integers, Interval     INT(64)          Double             DOUBLE
//! ```
//!
//! Invariant: a value is the record's own, never rounded; memory holds one group of rows.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;
use corelane_feeds::schema::{Field, SqlType};
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

use super::EntryRef;
use super::export::{HEADER, Target, origin};
use super::layouts::{Cell, Columns};

/// Rows that are written together.
const GROUP_ROWS: usize = 64 << 10;
/// The most digits of a decimal in 64 bits.
const DECIMAL_DIGITS: i32 = 18;

/// The values of a column in the group at hand.
enum Values {
    Boolean(Vec<bool>),
    Whole(Vec<i64>),
    Double(Vec<f64>),
    Text(Vec<ByteArray>),
}

/// A column with which of its rows are not NULL.
struct Column {
    values: Values,
    /// 1 for a value, 0 for NULL.
    present: Vec<i16>,
}

impl Column {
    fn new(sql: SqlType) -> Self {
        let values = match sql {
            SqlType::Boolean => Values::Boolean(Vec::new()),
            SqlType::Double => Values::Double(Vec::new()),
            SqlType::Char(_) => Values::Text(Vec::new()),
            _ => Values::Whole(Vec::new()),
        };
        Self { values, present: Vec::new() }
    }

    fn push(&mut self, cell: Cell<'_>) {
        match (&mut self.values, cell) {
            (Values::Boolean(values), Cell::Boolean(value)) => values.push(value),
            (Values::Double(values), Cell::Double(value)) => values.push(value),
            (Values::Whole(values), Cell::Unsigned(value)) => values.push(value.cast_signed()),
            (Values::Whole(values), Cell::Signed(value) | Cell::Decimal(value, _)) => {
                values.push(value);
            }
            (Values::Text(values), Cell::Text(_)) => {
                values.push(ByteArray::from(cell.to_string().into_bytes()));
            }
            // A column's cells are of its own type, or NULL.
            _ => return self.present.push(0),
        }
        self.present.push(1);
    }

    /// Writes what there is, and empties it.
    fn write(&mut self, mut to: SerializedColumnWriter<'_>) -> parquet::errors::Result<()> {
        let present = Some(&self.present[..]);
        match &mut self.values {
            Values::Boolean(values) => {
                to.typed::<BoolType>().write_batch(values, present, None)?;
                values.clear();
            }
            Values::Whole(values) => {
                to.typed::<Int64Type>().write_batch(values, present, None)?;
                values.clear();
            }
            Values::Double(values) => {
                to.typed::<DoubleType>().write_batch(values, present, None)?;
                values.clear();
            }
            Values::Text(values) => {
                to.typed::<ByteArrayType>().write_batch(values, present, None)?;
                values.clear();
            }
        }
        self.present.clear();
        to.close()
    }
}

/// See the [module](self).
pub(super) struct Parquet<W: Write + Send> {
    file: SerializedFileWriter<W>,
    /// Those of the header, and then of the stream.
    columns: Vec<Column>,
    own: Columns,
    rows: usize,
}

/// The types of what comes before a stream's own columns.
fn header_type(name: &str) -> SqlType {
    match name {
        "kind" => SqlType::Char(8),
        "ts_event" | "ts_recv" => SqlType::Timestamp,
        _ => SqlType::BigIntUnsigned,
    }
}

fn column_type(name: &str, sql: SqlType) -> parquet::errors::Result<Type> {
    let (physical, logical) = match sql {
        SqlType::Boolean => (Physical::BOOLEAN, None),
        SqlType::Double => (Physical::DOUBLE, None),
        SqlType::Char(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        SqlType::Timestamp => {
            (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::NANOS)))
        }
        SqlType::Price | SqlType::Decimal(_) => {
            let scale = decimals(sql);
            (Physical::INT64, Some(LogicalType::decimal(scale, DECIMAL_DIGITS)))
        }
        SqlType::TinyIntUnsigned
        | SqlType::SmallIntUnsigned
        | SqlType::IntUnsigned
        | SqlType::BigIntUnsigned => (Physical::INT64, Some(LogicalType::integer(64, false))),
        _ => (Physical::INT64, Some(LogicalType::integer(64, true))),
    };
    let mut column = Type::primitive_type_builder(name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical);
    if matches!(sql, SqlType::Price | SqlType::Decimal(_)) {
        column = column.with_precision(DECIMAL_DIGITS).with_scale(decimals(sql));
    }
    column.build()
}

fn decimals(sql: SqlType) -> i32 {
    match sql {
        SqlType::Decimal(scale) => scale.into(),
        _ => super::layouts::PRICE_DECIMALS.into(),
    }
}

impl<W: Write + Send> Parquet<W> {
    /// Begins a file with the columns of a stream.
    pub(super) fn begin(file: W, own: Columns) -> anyhow::Result<Self> {
        let header = HEADER.into_iter().map(|name| (name, header_type(name)));
        let fields = own.fields().map(|Field { name, sql, .. }| (*name, *sql));
        let fields: Vec<(&str, SqlType)> = header.chain(fields).collect();
        let types = fields.iter().map(|(name, sql)| Ok(Arc::new(column_type(name, *sql)?)));
        let types = types.collect::<parquet::errors::Result<Vec<_>>>()?;
        let schema = Type::group_type_builder(own.schema.name).with_fields(types).build()?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(Default::default()))
            .set_created_by(concat!("corelane ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let file = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?;
        let columns = fields.iter().map(|(_, sql)| Column::new(*sql)).collect();
        Ok(Self { file, columns, own, rows: 0 })
    }

    fn write_group(&mut self) -> anyhow::Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        for column in &mut self.columns {
            let place = group.next_column()?.context("a column for every field")?;
            column.write(place)?;
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }
}

impl<W: Write + Send> Target for Parquet<W> {
    fn entry(&mut self, shard: u32, entry: &EntryRef<'_>) -> anyhow::Result<()> {
        let [seq, shard, rest @ ..] = origin(shard, entry).map(Cell::Unsigned);
        let kind = Cell::Text(entry.kind.name().as_bytes());
        let header = [seq, shard, kind].into_iter().chain(rest);
        let cells = header.chain(self.own.cells(entry.record));
        self.columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
        self.rows += 1;
        if self.rows == GROUP_ROWS {
            self.write_group()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> anyhow::Result<()> {
        self.write_group()?;
        self.file.close()?;
        Ok(())
    }
}
