//! What rules can name: streams with their columns, and actions.
//!
//! Invariant: a column's place in a record never changes while rules that read it run.

use corelane_feeds::record::{RECORD_BYTES_MAX, StreamId};
use corelane_feeds::schema::{Field, HEADER_FIELDS, Schema, SqlType};
use corelane_feeds::streams;

use super::ast::{CreateAction, Name};
use super::types::Type;
use crate::action;
use crate::diagnostics::{Diagnostics, nearest};

/// Where the columns of a declared action begin: behind header, cause and the mask of NULLs.
const COLUMNS_OFFSET: usize = 48;
/// The hidden column that says which of a declared action's columns are NULL, by bit.
pub const NULLS: &str = "_nulls";
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
}

impl Column {
    fn of(field: &Field) -> Self {
        Self { sql: field.sql, offset: field.offset }
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
}

impl Stream {
    /// The column of a name, whatever its case.
    #[must_use]
    pub(super) fn column(&self, name: &str) -> Option<Column> {
        let mut fields = self.schema.columns().chain(HEADER_FIELDS);
        fields.find(|field| field.name.eq_ignore_ascii_case(name)).map(Column::of)
    }

    /// Every column's name.
    pub(super) fn column_names(&self) -> impl Iterator<Item = &'static str> {
        self.schema.columns().chain(HEADER_FIELDS).map(|field| field.name)
    }
}

/// An action that rules can take.
#[derive(Copy, Clone, Debug)]
pub(super) struct Action {
    /// What its records hold.
    pub(super) schema: &'static Schema,
}

impl Action {
    /// The columns that a rule fills, in order: the cause is filled by the engine.
    pub(super) fn columns(&self) -> impl Iterator<Item = &'static Field> {
        let is_cause = |field: &&Field| matches!(field.name, "session" | "rule" | "ordinal");
        self.schema.columns().filter(move |field| !is_cause(field))
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
}

impl Catalog {
    /// The actions that rule files declared.
    #[must_use]
    pub(super) fn declared(&self) -> &[&'static Schema] {
        &self.declared
    }

    /// The stream of a name, whatever its case.
    #[must_use]
    pub(super) fn stream(&self, name: &str) -> Option<Stream> {
        let found = streams::ALL.iter().find(|schema| schema.name.eq_ignore_ascii_case(name));
        found.map(|schema| Stream { schema })
    }

    /// What a stream's number stands for.
    #[must_use]
    pub(super) fn by_id(&self, id: StreamId) -> Option<&'static Schema> {
        streams::ALL.iter().chain(&self.declared).find(|schema| schema.stream == id).copied()
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

    /// Every action's name, short.
    pub(super) fn action_names(&self) -> impl Iterator<Item = &'static str> + use<'_> {
        let all = self.declared.iter().chain(action::ALL);
        all.map(|schema| schema.name.strip_prefix("action.").unwrap_or(schema.name))
    }

    /// Adds a declared action; what is wrong with it is noted.
    pub(super) fn declare(&mut self, create: &CreateAction, diagnostics: &mut Diagnostics) {
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
            if fields.iter().any(|field| field.name == name) || name.starts_with('_') {
                let title = format!("a column cannot be called `{name}`");
                diagnostics.push(column.name.span.clone(), title, "taken, or begins with `_`");
                continue;
            }
            let Some(sql) = read_type(&column.type_name.text, &column.type_args) else {
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
        let label = "CHAR and VARCHAR take 1 to 64, DECIMAL 1 to 18 and a scale up to 18";
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
fn read_type(name: &str, args: &[u32]) -> Option<SqlType> {
    let narrow = |n: u32| u8::try_from(n).ok();
    Some(match (name.to_ascii_uppercase().as_str(), args) {
        ("BOOLEAN" | "BOOL", []) => SqlType::Boolean,
        // Wider than asked for: what an expression gives is 64 bits, and nothing may be cut.
        ("TINYINT" | "SMALLINT" | "INT" | "INTEGER" | "BIGINT" | "INTERVAL", []) => SqlType::BigInt,
        ("DOUBLE" | "FLOAT" | "REAL", []) => SqlType::Double,
        ("DECIMAL" | "NUMERIC", [1..=18, scale @ 0..=18]) => SqlType::Decimal(narrow(*scale)?),
        ("DECIMAL" | "NUMERIC", [1..=18]) => SqlType::Decimal(0),
        ("PRICE", []) => SqlType::Price,
        ("TIMESTAMP", [] | [9]) => SqlType::Timestamp,
        ("CHAR" | "VARCHAR", [n @ 1..=64]) => SqlType::Char(narrow(*n)?),
        ("CHAR", []) => SqlType::Char(1),
        ("SYMBOL", []) => SqlType::Char(8),
        _ => return None,
    })
}
