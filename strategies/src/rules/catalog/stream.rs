//! Declared streams: columns and options to the layout of their records.
//!
//! Invariant: a stream is declared whole or not at all.

use std::sync::Arc;

use corelane_feeds::declared::{ColumnSpec, DeclareError, Declared, TimeUnit};
use corelane_feeds::record::StreamId;
use corelane_feeds::schema::{HEADER_FIELDS, SqlType};
use corelane_feeds::text::Format;

use super::{Action, Catalog, Stream, read_type, refuse_type};
use crate::diagnostics::{Diagnostics, nearest};
use crate::rules::ast::{CreateStream, Name, RuleOption};

/// What a stream's watermark may lag behind, at most: a day.
const LATENESS_NS_MAX: u64 = 86_400_000_000_000;
const OPTIONS: [&str; 5] = ["key", "time", "lateness", "format", "time_unit"];

/// A stream that a rule file declared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeclaredStream {
    /// Its layout, key and event time.
    pub declared: Declared,
    /// How its lines are written, if it says so.
    pub format: Option<Format>,
    /// A query makes it, and nothing else adds to it.
    pub is_view: bool,
}

impl DeclaredStream {
    /// Its number.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.declared.schema.stream
    }

    /// As rules read it.
    pub(in crate::rules) fn as_stream(&self) -> Stream {
        let time = self.declared.time.and_then(|at| self.declared.columns.get(at));
        Stream { schema: self.declared.schema, time: time.map(|column| column.field.name) }
    }

    /// How far its records may lag behind the latest event time, nanoseconds.
    #[must_use]
    pub fn lateness(&self) -> u64 {
        self.declared.lateness_ns
    }
}

impl Catalog {
    /// Adds a declared stream; what is wrong with it is noted.
    pub(in crate::rules) fn declare_stream(
        &mut self,
        create: &CreateStream,
        diagnostics: &mut Diagnostics,
    ) {
        let name = create.name.text.to_ascii_lowercase();
        if self.is_taken(&create.name, diagnostics) {
            return;
        }
        let Some(columns) = columns(create, diagnostics) else { return };
        let specs: Vec<ColumnSpec<'_>> = columns.iter().map(Spec::of).collect();
        let declared = self.declare_columns(&create.name, &name, &specs, diagnostics);
        let Some(declared) = declared else { return };
        let mut stream = DeclaredStream { declared, format: None, is_view: false };
        create.options.iter().for_each(|option| set(&mut stream, option, diagnostics));
        // Even with a mistake, which was noted: the rules on it are then looked at all the same.
        self.streams.push(Arc::new(stream));
    }
}

impl Catalog {
    /// Adds a view of these columns, whose records may be so late.
    pub(in crate::rules) fn declare_view(
        &mut self,
        name: &Name,
        columns: &[(Name, SqlType)],
        lateness_ns: u64,
        diagnostics: &mut Diagnostics,
    ) -> Option<Action> {
        if self.is_taken(name, diagnostics) {
            return None;
        }
        let names: Vec<String> =
            columns.iter().map(|(name, _)| name.text.to_ascii_lowercase()).collect();
        for (at, (place, _)) in columns.iter().enumerate() {
            let others = names[..at].iter().map(String::as_str);
            if let Some(label) = unfit(&names[at], others) {
                let title = format!("a column cannot be called `{}`", names[at]);
                diagnostics.push(place.span.clone(), title, label);
                return None;
            }
        }
        let specs: Vec<ColumnSpec<'_>> =
            names.iter().zip(columns).map(|(name, (_, sql))| ColumnSpec::new(name, *sql)).collect();
        let lower = name.text.to_ascii_lowercase();
        let declared = self.declare_columns(name, &lower, &specs, diagnostics)?;
        let schema = declared.schema;
        let declared = Declared { lateness_ns, ..declared };
        self.streams.push(Arc::new(DeclaredStream { declared, format: None, is_view: true }));
        Some(Action { schema })
    }

    pub(super) fn is_taken(&self, name: &Name, diagnostics: &mut Diagnostics) -> bool {
        let taken = if self.stream(&name.text).is_some() {
            "a stream"
        } else if self.table(&name.text).is_some() {
            "a table"
        } else if self.action(&name.text).is_some() {
            "an action"
        } else {
            return false;
        };
        let title = format!("`{}` is the name of {taken} already", name.text);
        diagnostics.push(name.span.clone(), title, "declared again");
        true
    }

    fn declare_columns(
        &self,
        place: &Name,
        name: &str,
        specs: &[ColumnSpec<'_>],
        diagnostics: &mut Diagnostics,
    ) -> Option<Declared> {
        // Those of tables count down from the other end.
        let number = match self.streams.len() {
            number if number + self.tables.len() < 256 => number as u16,
            _ => u16::MAX,
        };
        Self::lay_out(place, number, name, specs, diagnostics)
    }

    pub(super) fn lay_out(
        place: &Name,
        number: u16,
        name: &str,
        specs: &[ColumnSpec<'_>],
        diagnostics: &mut Diagnostics,
    ) -> Option<Declared> {
        let error = match Declared::new(number, name, specs) {
            Ok(declared) => return Some(declared),
            Err(error) => error,
        };
        let title = match error {
            DeclareError::TooManyStreams => "too many streams and tables".to_owned(),
            _ => format!("`{}` is too wide", place.text),
        };
        diagnostics.push(place.span.clone(), title, error.to_string());
        None
    }
}

/// Why a column cannot be called so.
fn unfit<'a>(name: &str, mut others: impl Iterator<Item = &'a str>) -> Option<&'static str> {
    if HEADER_FIELDS.iter().any(|field| field.name == name) {
        return Some("every stream has it");
    }
    let is_taken = others.any(|other| other == name);
    (is_taken || name.starts_with('_') || name.contains('.')).then_some("taken, or begins with `_`")
}

/// A column with its name in lower case.
pub(super) struct Spec {
    name: String,
    sql: SqlType,
    required: bool,
    digits: u8,
}

impl Spec {
    pub(super) fn of(&self) -> ColumnSpec<'_> {
        let Self { name, sql, required, digits } = self;
        ColumnSpec { name, sql: *sql, required: *required, digits: *digits }
    }
}

pub(super) fn columns(create: &CreateStream, diagnostics: &mut Diagnostics) -> Option<Vec<Spec>> {
    let mut columns: Vec<Spec> = Vec::new();
    for column in &create.columns {
        let name = column.name.text.to_ascii_lowercase();
        let others = columns.iter().map(|column| column.name.as_str());
        if let Some(label) = unfit(&name, others) {
            let title = format!("a column cannot be called `{name}`");
            diagnostics.push(column.name.span.clone(), title, label);
            continue;
        }
        let Some(sql) = read_type(column) else {
            refuse_type(&column.type_name, diagnostics);
            continue;
        };
        let digits = column.type_args.first().map_or(18, |digits| (*digits).clamp(1, 18) as u8);
        columns.push(Spec { name, sql, required: column.not_null.is_some(), digits });
    }
    (columns.len() == create.columns.len()).then_some(columns)
}

/// Takes over an option, or notes what is wrong with it.
fn set(stream: &mut DeclaredStream, option: &RuleOption, diagnostics: &mut Diagnostics) {
    let RuleOption { key, value } = option;
    let declared = &mut stream.declared;
    let wanted = match key.text.to_ascii_lowercase().as_str() {
        "key" => {
            let names = value.text.split(',').map(str::trim);
            let found: Option<Vec<usize>> =
                names.map(|name| column(declared, name, value, diagnostics)).collect();
            declared.key = found.unwrap_or_default();
            return;
        }
        "time" => {
            let Some(found) = column(declared, value.text.trim(), value, diagnostics) else {
                return;
            };
            if declared.columns[found].field.sql == SqlType::Timestamp {
                declared.time = Some(found);
                return;
            }
            "a column of type TIMESTAMP(9)"
        }
        "lateness" => match duration_ns(&value.text) {
            Some(ns) if ns <= LATENESS_NS_MAX => {
                declared.lateness_ns = ns;
                return;
            }
            _ => "a duration up to a day, as '2s' or '250ms'",
        },
        "format" => match Format::by_name(&value.text) {
            Some(format) => {
                stream.format = Some(format);
                return;
            }
            None => "'json' or 'csv'",
        },
        "time_unit" => match TimeUnit::NAMES.iter().find(|(name, _)| *name == value.text) {
            Some((_, unit)) => {
                declared.unit = *unit;
                return;
            }
            None => "'ns', 'us', 'ms' or 's'",
        },
        name => {
            let title = format!("unknown option `{name}`");
            diagnostics.push(key.span.clone(), title, "not known");
            diagnostics.help(match nearest(name, OPTIONS) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known options: {}", OPTIONS.join(", ")),
            });
            return;
        }
    };
    let title = format!("`{}` is no value of `{}`", value.text, key.text);
    diagnostics.push(value.span.clone(), title, format!("must be {wanted}"));
}

pub(super) fn column(
    declared: &Declared,
    name: &str,
    place: &Name,
    diagnostics: &mut Diagnostics,
) -> Option<usize> {
    let names = || declared.columns.iter().map(|column| column.field.name);
    let found = names().position(|known| known.eq_ignore_ascii_case(name));
    if found.is_none() {
        let title = format!("`{}` has no column `{name}`", declared.schema.name);
        diagnostics.push(place.span.clone(), title, "unknown column");
        diagnostics.help(match nearest(name, names()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("its columns: {}", names().collect::<Vec<_>>().join(", ")),
        });
    }
    found
}

/// A whole number with its unit.
fn duration_ns(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let unit = match text[split..].trim() {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    text[..split].parse::<u64>().ok()?.checked_mul(unit)
}
