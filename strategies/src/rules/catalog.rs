//! What rules can name: streams with their columns, and actions.
//!
//! Invariant: a column's place in a record never changes while rules that read it run.

mod stream;
mod table;

use std::sync::Arc;

use corelane_feeds::declared;
use corelane_feeds::record::{RECORD_BYTES_MAX, StreamId};
use corelane_feeds::schema::{Field, HEADER_FIELDS, Schema, SqlType};
use corelane_feeds::streams;

use super::ast::{ColumnDef, CreateAction, Name};
use super::table::Table;
use super::types::Type;
use crate::action;
use crate::diagnostics::{Diagnostics, nearest};
pub use stream::DeclaredStream;
pub use table::LoadTable;

/// Where the columns of a declared action begin: behind header, cause and the mask of NULLs.
const COLUMNS_OFFSET: usize = 48;
/// The hidden column that says which of a declared action's columns are NULL, by bit.
pub const NULLS: &str = "_nulls";
/// Bytes of a SYMBOL: it is stored as its text, so that equal symbols are equal everywhere.
const SYMBOL_BYTES: u8 = 16;
/// What every action's line of JSON says beside the action's columns.
const OWN_NAMES: [&str; 9] =
    ["id", "strategy", "stream", "feed", "instrument", "seq", "ts_event", "ts_recv", "ts_sent"];
/// Numbers of declared actions begin here within the family of actions.
const DECLARED_FIRST: u16 = 0x80;
/// The most actions that rule files declare.
const DECLARED_MAX: u16 = 0x80;

/// A column as an expression sees it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// How it is stored.
    pub(super) sql: SqlType,
    /// Bytes from the start of the record.
    pub(super) offset: usize,
    /// Where the mask that can make it NULL stands, and which bit it has there.
    pub(super) nulls: Option<(usize, u8)>,
}

impl Column {
    fn of(field: &Field) -> Self {
        Self { sql: field.sql, offset: field.offset, nulls: None }
    }

    /// The column of a row that begins so many bytes later.
    #[must_use]
    pub(super) fn shifted(self, bytes: usize) -> Self {
        let nulls = self.nulls.map(|(mask, bit)| (mask + bytes, bit));
        Self { offset: self.offset + bytes, nulls, ..self }
    }

    /// The column of a row that begins so many bytes earlier.
    #[must_use]
    pub(super) fn back(self, bytes: usize) -> Self {
        let nulls = self.nulls.map(|(mask, bit)| (mask - bytes, bit));
        Self { offset: self.offset - bytes, nulls, ..self }
    }

    /// Its type in expressions.
    #[must_use]
    pub(super) const fn ty(self) -> Type {
        Type::of(self.sql)
    }
}

/// A stream that rules can look at.
#[derive(Copy, Clone, Debug)]
pub(super) struct Stream {
    /// What its records hold.
    pub(super) schema: &'static Schema,
    /// The column that is its event time, if it was declared with one.
    pub(super) time: Option<&'static str>,
}

/// The bit of a stream's number that makes it the stream of those of its records that came too late
/// for a group window.
pub(super) const LATE: u16 = 0x4000;
/// What such a stream's name ends with.
const LATE_NAME: &str = ".late";

impl Stream {
    /// The column of a name, whatever its case.
    #[must_use]
    pub(super) fn column(&self, name: &str) -> Option<Column> {
        let is_named = |field: &&Field| field.name.eq_ignore_ascii_case(name);
        if let Some((bit, field)) = (0..).zip(self.schema.columns()).find(|(_, f)| is_named(f)) {
            let is_masked = declared::is_declared(StreamId(self.schema.stream.0 & !LATE));
            let nulls = is_masked.then_some((declared::NULLS_OFFSET, bit));
            return Some(Column { nulls, ..Column::of(field) });
        }
        HEADER_FIELDS.iter().find(is_named).map(Column::of)
    }

    /// Every column's name.
    pub(super) fn column_names(&self) -> impl Iterator<Item = &'static str> {
        self.schema.columns().chain(HEADER_FIELDS).map(|field| field.name)
    }
}

/// What a rule can put its results in: an action, or a declared stream.
#[derive(Copy, Clone, Debug)]
pub(super) struct Action {
    /// What its records hold.
    pub(super) schema: &'static Schema,
}

impl Action {
    /// Whether it is a stream.
    #[must_use]
    pub(super) fn is_stream(&self) -> bool {
        declared::is_declared(self.schema.stream)
    }

    /// The columns that a rule fills, in order: the cause is filled by the engine.
    pub(super) fn columns(&self) -> impl Iterator<Item = &'static Field> {
        let is_stream = self.is_stream();
        let is_cause = |field: &&Field| matches!(field.name, "session" | "rule" | "ordinal");
        self.schema.columns().filter(move |field| is_stream || !is_cause(field))
    }

    /// Where the mask of NULLs stands, if the action has one.
    #[must_use]
    pub(super) fn nulls_offset(&self) -> Option<usize> {
        self.schema.fields.iter().find(|field| field.name == NULLS).map(|field| field.offset)
    }
}

/// Everything that a rule file can name.
#[derive(Clone, Debug, Default)]
pub(super) struct Catalog {
    declared: Vec<&'static Schema>,
    streams: Vec<Arc<DeclaredStream>>,
    tables: Vec<Arc<Table>>,
    /// Streams of late records that were asked for.
    late: Vec<Stream>,
    /// Columns of views that are a fixed time from the record's, which is the column and so much.
    bounds: Vec<(StreamId, usize, i64)>,
}

impl Catalog {
    /// A column of a view, by its offset, is so much before the record's event time.
    pub(super) fn set_bound(&mut self, view: StreamId, offset: usize, ns: i64) {
        self.bounds.push((view, offset, ns));
    }

    /// How much before the event time of its record a column always is.
    pub(super) fn bound(&self, view: StreamId, offset: usize) -> Option<i64> {
        let known = self.bounds.iter().find(|bound| (bound.0, bound.1) == (view, offset));
        known.map(|(_, _, ns)| *ns)
    }

    /// The actions that rule files declared.
    #[must_use]
    pub(super) fn declared(&self) -> &[&'static Schema] {
        &self.declared
    }

    /// The stream of a name, whatever its case.
    #[must_use]
    pub(super) fn stream(&self, name: &str) -> Option<Stream> {
        let is_named = |schema: &Schema| schema.name.eq_ignore_ascii_case(name);
        let built_in = streams::ALL.iter().copied().map(|schema| Stream { schema, time: None });
        let own = self.streams.iter().map(|stream| stream.as_stream());
        built_in.chain(own).find(|stream| is_named(stream.schema))
    }

    /// The late records of a stream, called as it is with `.late` behind it.
    pub(super) fn late(&mut self, name: &str) -> Option<Stream> {
        let name = name.to_ascii_lowercase();
        let of = self.stream(name.strip_suffix(LATE_NAME)?)?;
        let stream = StreamId(of.schema.stream.0 | LATE);
        if let Some(known) = self.late.iter().find(|known| known.schema.stream == stream) {
            return Some(*known);
        }
        let schema = Schema { stream, name: leak(name), ..*of.schema };
        self.late.push(Stream { schema: Box::leak(Box::new(schema)), ..of });
        self.late.last().copied()
    }

    /// Every stream's name.
    pub(super) fn stream_names(&self) -> impl Iterator<Item = &'static str> + use<'_> {
        let own = self.streams.iter().map(|stream| stream.declared.schema);
        streams::ALL.iter().copied().chain(own).map(|schema| schema.name)
    }

    /// The streams that rule files declared.
    #[must_use]
    pub(super) fn streams(&self) -> &[Arc<DeclaredStream>] {
        &self.streams
    }

    /// How far records of a stream may lag behind its latest event time, nanoseconds.
    #[must_use]
    pub(super) fn lateness(&self, id: StreamId) -> u64 {
        let id = StreamId(id.0 & !LATE);
        self.streams.iter().find(|stream| stream.id() == id).map_or(0, |stream| stream.lateness())
    }

    /// What a stream's number stands for.
    #[must_use]
    pub(super) fn by_id(&self, id: StreamId) -> Option<&'static Schema> {
        let own = self.streams.iter().map(|stream| stream.declared.schema);
        let late = self.late.iter().map(|stream| stream.schema);
        let mut all = streams::ALL.iter().chain(&self.declared).copied().chain(own).chain(late);
        all.find(|schema| schema.stream == id)
    }

    /// The action of a name, whatever its case; the family may be left out.
    #[must_use]
    pub(super) fn action(&self, name: &str) -> Option<Action> {
        let short = |schema: &Schema| schema.name.strip_prefix("action.").unwrap_or(schema.name);
        let is_named = |schema: &&&'static Schema| {
            schema.name.eq_ignore_ascii_case(name) || short(schema).eq_ignore_ascii_case(name)
        };
        let schema = self.declared.iter().chain(action::ALL).find(is_named)?;
        Some(Action { schema })
    }

    /// Whether a name is that of a view.
    pub(super) fn is_view(&self, name: &str) -> bool {
        let mut views = self.streams.iter().filter(|stream| stream.is_view);
        views.any(|view| view.declared.schema.name.eq_ignore_ascii_case(name))
    }

    /// The action or the declared stream of a name, whatever its case.
    #[must_use]
    pub(super) fn target(&self, name: &str) -> Option<Action> {
        let own = || {
            let mut own = self.streams.iter().filter(|stream| !stream.is_view);
            own.find(|stream| stream.declared.schema.name.eq_ignore_ascii_case(name))
        };
        let stream = || own().map(|stream| Action { schema: stream.declared.schema });
        self.action(name).or_else(stream)
    }

    /// Every action's name, short.
    pub(super) fn action_names(&self) -> impl Iterator<Item = &'static str> + use<'_> {
        let all = self.declared.iter().chain(action::ALL);
        all.map(|schema| schema.name.strip_prefix("action.").unwrap_or(schema.name))
    }

    /// Adds a declared action; what is wrong with it is noted.
    pub(super) fn declare(&mut self, create: &CreateAction, diagnostics: &mut Diagnostics) {
        if self.stream(&create.name.text).is_some() {
            let title = format!("`{}` is a stream already", create.name.text);
            diagnostics.push(create.name.span.clone(), title, "declared again");
            return;
        }
        if self.action(&create.name.text).is_some() {
            let title = format!("the action `{}` is there already", create.name.text);
            diagnostics.push(create.name.span.clone(), title, "declared again");
            return;
        }
        let mut fields = vec![
            field("session", SqlType::IntUnsigned, 32),
            field("rule", SqlType::SmallIntUnsigned, 36),
            field("ordinal", SqlType::SmallIntUnsigned, 38),
            field(NULLS, SqlType::BigIntUnsigned, 40),
        ];
        let mut offset = COLUMNS_OFFSET;
        for column in &create.columns {
            let name = column.name.text.to_ascii_lowercase();
            let is_own = OWN_NAMES.contains(&name.as_str());
            let is_taken = fields.iter().any(|field| field.name == name);
            if is_own || is_taken || name.starts_with('_') {
                let title = format!("a column cannot be called `{name}`");
                let label =
                    if is_own { "every action has it" } else { "taken, or begins with `_`" };
                diagnostics.push(column.name.span.clone(), title, label);
                continue;
            }
            if let Some(place) = &column.not_null {
                let title = "an action's columns can be NULL";
                diagnostics.push(place.clone(), title, "leave this out");
                continue;
            }
            let Some(sql) = read_type(column).map(widened) else {
                refuse_type(&column.type_name, diagnostics);
                continue;
            };
            let bytes = sql.bytes();
            let align = if matches!(sql, SqlType::Char(_)) { 1 } else { bytes };
            offset = offset.next_multiple_of(align);
            fields.push(field(leak(name), sql, offset));
            offset += bytes;
        }
        let bytes = offset.next_multiple_of(8);
        if bytes > RECORD_BYTES_MAX {
            let title = format!("the action `{}` is too wide", create.name.text);
            let label = format!("{bytes} bytes with its header, at most {RECORD_BYTES_MAX}");
            diagnostics.push(create.name.span.clone(), title, label);
            return;
        }
        let number = self.declared.len() as u16;
        if number == DECLARED_MAX {
            diagnostics.push(create.name.span.clone(), "too many actions", "at most 128");
            return;
        }
        self.declared.push(Box::leak(Box::new(Schema {
            stream: StreamId(action::FAMILY | (DECLARED_FIRST + number)),
            name: leak(format!("action.{}", create.name.text.to_ascii_lowercase())),
            bytes,
            fields: Vec::leak(fields),
            doc: "Declared by a rule file.",
        })));
    }
}

/// Names and schemas live as long as the process, as the built-in ones do: rule files are loaded a
/// few times in its life.
fn leak(name: String) -> &'static str {
    Box::leak(name.into_boxed_str())
}

fn field(name: &'static str, sql: SqlType, offset: usize) -> Field {
    Field { name, sql, offset, doc: "" }
}

fn refuse_type(name: &Name, diagnostics: &mut Diagnostics) {
    if TYPES.iter().any(|known| known.eq_ignore_ascii_case(&name.text)) {
        let title = format!("`{}` with other arguments than it takes", name.text);
        let label = "CHAR and VARCHAR take 1 to 128, DECIMAL 1 to 18 and a scale up to that; \
                     UNSIGNED is for integers";
        diagnostics.push(name.span.clone(), title, label);
        return;
    }
    let title = format!("unknown type `{}`", name.text);
    diagnostics.push(name.span.clone(), title, "no type of a column");
    diagnostics.help(match nearest(&name.text, TYPES.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("known types: {}", TYPES.join(", ")),
    });
}

const TYPES: &[&str] = &[
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INT",
    "BIGINT",
    "DOUBLE",
    "DECIMAL",
    "PRICE",
    "TIMESTAMP",
    "INTERVAL",
    "CHAR",
    "VARCHAR",
    "SYMBOL",
];

/// The stored type of a written one.
fn read_type(column: &ColumnDef) -> Option<SqlType> {
    let narrow = |n: u32| u8::try_from(n).ok();
    let name = column.type_name.text.to_ascii_uppercase();
    if column.unsigned {
        return match (name.as_str(), column.type_args.as_slice()) {
            ("TINYINT", []) => Some(SqlType::TinyIntUnsigned),
            ("SMALLINT", []) => Some(SqlType::SmallIntUnsigned),
            ("INT" | "INTEGER", []) => Some(SqlType::IntUnsigned),
            ("BIGINT", []) => Some(SqlType::BigIntUnsigned),
            _ => None,
        };
    }
    Some(match (name.as_str(), column.type_args.as_slice()) {
        ("BOOLEAN" | "BOOL", []) => SqlType::Boolean,
        ("TINYINT", []) => SqlType::TinyInt,
        ("SMALLINT", []) => SqlType::SmallInt,
        ("INT" | "INTEGER", []) => SqlType::Int,
        ("BIGINT", []) => SqlType::BigInt,
        ("INTERVAL", []) => SqlType::Interval,
        ("DOUBLE" | "FLOAT" | "REAL", []) => SqlType::Double,
        ("DECIMAL" | "NUMERIC", [digits @ 1..=18, scale]) if scale <= digits => {
            SqlType::Decimal(narrow(*scale)?)
        }
        ("DECIMAL" | "NUMERIC", [1..=18]) => SqlType::Decimal(0),
        ("PRICE", []) => SqlType::Price,
        ("TIMESTAMP", [] | [9]) => SqlType::Timestamp,
        ("CHAR" | "VARCHAR", [n @ 1..=128]) => SqlType::Char(narrow(*n)?),
        ("CHAR", []) => SqlType::Char(1),
        ("SYMBOL", []) => SqlType::Char(SYMBOL_BYTES),
        _ => return None,
    })
}

/// The type in which an action stores it: what an expression gives is 64 bits, and nothing may be
/// cut.
const fn widened(sql: SqlType) -> SqlType {
    match sql {
        SqlType::TinyInt
        | SqlType::SmallInt
        | SqlType::Int
        | SqlType::TinyIntUnsigned
        | SqlType::SmallIntUnsigned
        | SqlType::IntUnsigned
        | SqlType::BigIntUnsigned
        | SqlType::Interval => SqlType::BigInt,
        other => other,
    }
}
