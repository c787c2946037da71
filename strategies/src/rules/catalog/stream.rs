//! Declared streams: columns and options to the layout of their records.
//!
//! Invariant: a stream is declared whole or not at all.

use std::sync::Arc;

use corelane_feeds::declared::{ColumnSpec, DeclareError, Declared, TimeUnit};
use corelane_feeds::record::StreamId;
use corelane_feeds::schema::{HEADER_FIELDS, SqlType};
use corelane_feeds::text::Format;

use super::{Catalog, read_type, refuse_type};
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
}

impl DeclaredStream {
    /// Its number.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.declared.schema.stream
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
        let taken = if self.stream(&name).is_some() {
            "a stream"
        } else if self.action(&name).is_some() {
            "an action"
        } else {
            ""
        };
        if !taken.is_empty() {
            let title = format!("`{}` is the name of {taken} already", create.name.text);
            diagnostics.push(create.name.span.clone(), title, "declared again");
            return;
        }
        let Some(columns) = columns(create, diagnostics) else { return };
        let specs: Vec<ColumnSpec<'_>> = columns.iter().map(Spec::of).collect();
        let declared = match Declared::new(self.streams.len() as u16, &name, &specs) {
            Ok(declared) => declared,
            Err(error) => {
                let title = match error {
                    DeclareError::TooManyStreams => "too many streams".to_owned(),
                    _ => format!("the stream `{}` is too wide", create.name.text),
                };
                diagnostics.push(create.name.span.clone(), title, error.to_string());
                return;
            }
        };
        let mut stream = DeclaredStream { declared, format: None };
        create.options.iter().for_each(|option| set(&mut stream, option, diagnostics));
        // Even with a mistake, which was noted: the rules on it are then looked at all the same.
        self.streams.push(Arc::new(stream));
    }
}

/// A column with its name in lower case.
struct Spec {
    name: String,
    sql: SqlType,
    required: bool,
    digits: u8,
}

impl Spec {
    fn of(&self) -> ColumnSpec<'_> {
        let Self { name, sql, required, digits } = self;
        ColumnSpec { name, sql: *sql, required: *required, digits: *digits }
    }
}

fn columns(create: &CreateStream, diagnostics: &mut Diagnostics) -> Option<Vec<Spec>> {
    let mut columns: Vec<Spec> = Vec::new();
    for column in &create.columns {
        let name = column.name.text.to_ascii_lowercase();
        let is_header = HEADER_FIELDS.iter().any(|field| field.name == name);
        let is_taken = is_header || columns.iter().any(|column| column.name == name);
        if is_taken || name.starts_with('_') || name.contains('.') {
            let title = format!("a column cannot be called `{name}`");
            let label = if is_header { "every stream has it" } else { "taken, or begins with `_`" };
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

fn column(
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
