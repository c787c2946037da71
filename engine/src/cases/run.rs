//! Runs a case: records through the decoders and the stages of a shard.
//!
//! Invariant: records are made as feeds make them, those of declared streams by the decoder of
//! lines; what it would reject is a mistake of the case.

use std::collections::HashMap;
use std::fmt::Write as _;

use corelane_feeds::declared::TimeUnit;
use corelane_feeds::record::{FLAG_SHADOW, HEADER_BYTES, Header, Record, RecordBuf, Stamp, View};
use corelane_feeds::schema::{Schema, SqlType};
use corelane_feeds::streams::{self, sys};
use corelane_feeds::text::{Format, TextConfig, TextFeed};
use corelane_feeds::units::{Nanos, Seq};
use corelane_strategies::action::ActionId;
use corelane_strategies::chain::Chain;
use corelane_strategies::diagnostics::nearest;
use corelane_strategies::rules::{DeclaredStream, RuleSet, Rules};
use serde_json::{Map, Value};

use super::{Case, Difference, Expected, Input, Outcome, What, read, value, wrong};
use crate::cli::exit::Failure;
use crate::egress::{ActionExtras, format_action_json};

/// Orders that books have room for.
const ORDERS_MAX: usize = 1 << 12;

/// An action that was taken: its rule's name and its columns.
struct Found {
    rule: String,
    columns: Map<String, Value>,
}

/// Runs a case of the file `path` on a rule set.
///
/// # Errors
/// If a record or an expected action cannot be one: with file and line.
pub fn run(set: &RuleSet, path: &str, case: &Case) -> Result<Outcome, Failure> {
    for expected in &case.expected {
        check(set, path, expected)?;
    }
    let mut bench = Bench {
        set,
        path,
        case,
        names: set.names().collect(),
        chain: Chain::with_books(vec![Box::new(Rules::new(set))], ORDERS_MAX),
        feeds: HashMap::new(),
        now: Nanos(case.start_ns),
        seq: 0,
        found: Vec::new(),
    };
    let mut session = sys::Session::new(Stamp::default(), 0);
    session.key = 1;
    bench.take(session.as_record());
    for input in &case.inputs {
        bench.input(input)?;
    }
    let diff = diff(&case.expected, &bench.found);
    Ok(Outcome { name: case.name.clone(), line: case.line, diff })
}

struct Bench<'a> {
    set: &'a RuleSet,
    path: &'a str,
    case: &'a Case,
    names: Vec<&'a str>,
    chain: Chain,
    /// The decoders of declared streams.
    feeds: HashMap<&'static str, TextFeed>,
    /// The greatest time so far.
    now: Nanos,
    seq: u64,
    found: Vec<Found>,
}

impl Bench<'_> {
    fn input(&mut self, input: &Input) -> Result<(), Failure> {
        let at = input.at_ns.map(|ns| Nanos(self.case.start_ns.saturating_add(ns)));
        self.seq += 1;
        let What::Record(stream, columns) = &input.what else {
            let ts_event = at.unwrap_or(self.now);
            let stamp = Stamp { seq: Seq(self.seq), ts_event, ..Stamp::default() };
            self.take(sys::Tick::new(stamp, 0).as_record());
            return Ok(());
        };
        let own = self.set.declared_streams().iter();
        let own = own.filter(|own| !own.is_view);
        let mut own = own.filter(|own| own.declared.schema.name.eq_ignore_ascii_case(stream));
        let record = if let Some(own) = own.next() {
            self.line(own, at, columns)
        } else if let Some(schema) = streams::by_name(&stream.to_ascii_lowercase()) {
            self.built_in(schema, at, columns)
        } else {
            let declared = self.set.declared_streams().iter();
            let names = declared.map(|own| own.declared.schema.name);
            let names = names.chain(streams::ALL.iter().map(|schema| schema.name));
            let meant = nearest(stream, names).map(|name| format!("; did you mean `{name}`?"));
            Err(format!("unknown stream `{stream}`{}", meant.unwrap_or_default()))
        };
        let record = record.map_err(|what| wrong(self.path, input.line, what))?;
        if let Some(record) = record.record() {
            self.take(record);
        }
        Ok(())
    }

    /// A record of a declared stream, by its decoder.
    fn line(
        &mut self,
        own: &DeclaredStream,
        at: Option<Nanos>,
        columns: &Map<String, Value>,
    ) -> Result<RecordBuf, String> {
        let declared = &own.declared;
        let mut columns = columns.clone();
        let time = declared.time.and_then(|at| declared.columns.get(at));
        match (at, time.map(|column| column.field.name)) {
            (Some(at), Some(time)) => {
                columns.insert(time.to_owned(), in_unit(at, declared.unit));
            }
            (Some(_), None) => return Err("`at` needs a stream with an event time".to_owned()),
            (None, _) => {}
        }
        let names = || declared.columns.iter().map(|column| column.field.name);
        if let Some(unknown) =
            columns.keys().find(|key| !names().any(|n| n.eq_ignore_ascii_case(key)))
        {
            return Err(unknown_column(declared.schema.name, unknown, names()));
        }
        let feed = self
            .feeds
            .entry(declared.schema.name)
            .or_insert_with(|| TextFeed::new(&TextConfig::new(0, declared, Format::Json)));
        let before = feed.rejections().len();
        let mut line = serde_json::to_vec(&columns).map_err(|error| error.to_string())?;
        line.push(b'\n');
        let mut made = None;
        let stream = declared.schema.stream;
        let mut sink = |record: &Record| {
            if record.header.stream == stream {
                made = Some(record.to_buf());
            }
        };
        feed.datagram(self.now, &line, &mut sink);
        if let Some(rejection) = feed.rejections().get(before) {
            let column = rejection.column.map_or_else(String::new, |name| format!(" (`{name}`)"));
            return Err(format!("{}{column}", rejection.reason));
        }
        let mut made = made.ok_or("this is no record")?;
        if let Some(header) = made.header_mut() {
            header.seq = Seq(self.seq);
        }
        Ok(made)
    }

    /// A record of a built-in stream, field by field.
    fn built_in(
        &self,
        schema: &'static Schema,
        at: Option<Nanos>,
        columns: &Map<String, Value>,
    ) -> Result<RecordBuf, String> {
        let ts_event = at.unwrap_or(self.now);
        let stamp = Stamp { seq: Seq(self.seq), ts_event, ts_recv: ts_event, ..Stamp::default() };
        let mut record = RecordBuf::default();
        let bytes = record.begin(&Header::new(schema.stream, schema.bytes, 0, stamp));
        for field in schema.columns() {
            if let SqlType::Char(n) = field.sql {
                bytes[field.offset..field.offset + usize::from(n)].fill(b' ');
            }
        }
        for (name, value) in columns {
            let field = schema.field(&name.to_ascii_lowercase());
            let Some(field) = field.filter(|field| field.name != "feed") else {
                let names = schema.columns().map(|field| field.name);
                return Err(unknown_column(schema.name, name, names));
            };
            let place = &mut bytes[field.offset..field.offset + field.sql.bytes()];
            value::put(field.sql, value, place).map_err(|what| format!("`{name}`: {what}"))?;
        }
        debug_assert!(schema.bytes >= HEADER_BYTES);
        Ok(record)
    }

    fn take(&mut self, record: &Record) {
        self.now = self.now.max(record.header.ts_event);
        let Self { chain, set, names, found, .. } = self;
        let actions = chain.on_record(record);
        actions
            .iter()
            .filter_map(|action| as_found(set, names, action))
            .for_each(|f| found.push(f));
        while let Some(actions) = chain.resume() {
            let more = actions.iter().filter_map(|action| as_found(set, names, action));
            more.for_each(|f| found.push(f));
        }
    }
}

fn as_found(set: &RuleSet, names: &[&str], action: &RecordBuf) -> Option<Found> {
    let action = action.record()?;
    // The rules are the one stage that acts, and its numbers begin at 1.
    let number = usize::from(ActionId::of(action)?.rule).checked_sub(1)?;
    let rule = names.get(number).copied().unwrap_or_default().to_owned();
    let extras = ActionExtras { declared: set.declared(), ..ActionExtras::default() };
    let mut line = Vec::new();
    format_action_json(action, extras, &mut line);
    let Ok(Value::Object(mut columns)) = serde_json::from_slice(&line) else { return None };
    let is_shadow = action.header.flags & FLAG_SHADOW != 0;
    columns.insert("shadow".to_owned(), Value::Bool(is_shadow));
    Some(Found { rule, columns })
}

impl Found {
    fn action(&self) -> &str {
        let name = self.columns.get("stream").and_then(Value::as_str).unwrap_or_default();
        name.strip_prefix("action.").unwrap_or(name)
    }

    fn is(&self, expected: &Expected) -> bool {
        let column = |name: &String| self.columns.get(&name.to_ascii_lowercase());
        let mut columns = expected.columns.iter();
        short(&expected.action).eq_ignore_ascii_case(self.action())
            && expected.rule.as_ref().is_none_or(|rule| *rule == self.rule)
            && columns.all(|(name, want)| column(name).is_some_and(|have| value::same(want, have)))
    }
}

/// Where no value stands in a line of a diff.
const ORIGIN: [&str; 10] = [
    "id",
    "stream",
    "feed",
    "instrument",
    "seq",
    "session",
    "rule",
    "ordinal",
    "ts_event",
    "shadow",
];

/// An action as a line of a diff: of what is not its own, only what the case asked for.
fn tell(found: &Found, asked: Option<&Expected>) -> String {
    let is_asked = |name: &str| asked.is_some_and(|expected| expected.columns.contains_key(name));
    let columns = found.columns.iter();
    let columns = columns.filter(|(name, _)| !ORIGIN.contains(&name.as_str()) || is_asked(name));
    let mut text = format!("{}(", found.action());
    write_columns(&mut text, columns);
    let _ = write!(text, ") by {}", found.rule);
    text
}

fn write_columns<'a>(text: &mut String, columns: impl Iterator<Item = (&'a String, &'a Value)>) {
    for (i, (name, value)) in columns.enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}{name} = {value}", if i == 0 { "" } else { ", " });
    }
}

fn tell_expected(expected: &Expected) -> String {
    let mut text = format!("{}(", short(&expected.action));
    write_columns(&mut text, expected.columns.iter());
    text.push(')');
    if let Some(rule) = &expected.rule {
        let _ = write!(text, " by {rule}");
    }
    let _ = write!(text, "  [line {}]", expected.line);
    text
}

/// Both lists side by side, by their longest common part.
fn diff(expected: &[Expected], found: &[Found]) -> Vec<Difference> {
    let (rows, columns) = (expected.len(), found.len());
    let mut longest = vec![vec![0usize; columns + 1]; rows + 1];
    for i in (0..rows).rev() {
        for j in (0..columns).rev() {
            longest[i][j] = if found[j].is(&expected[i]) {
                1 + longest[i + 1][j + 1]
            } else {
                longest[i + 1][j].max(longest[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < rows || j < columns {
        if i < rows && j < columns && found[j].is(&expected[i]) {
            lines.push(Difference::Same(tell_expected(&expected[i])));
            (i, j) = (i + 1, j + 1);
        } else if i < rows && (j == columns || longest[i + 1][j] >= longest[i][j + 1]) {
            lines.push(Difference::Missing(tell_expected(&expected[i])));
            i += 1;
        } else {
            let before = i.checked_sub(1).and_then(|at| expected.get(at));
            lines.push(Difference::Unexpected(tell(&found[j], before)));
            j += 1;
        }
    }
    lines
}

/// An expected action must be one, and have the columns that it is said to have.
fn check(set: &RuleSet, path: &str, expected: &Expected) -> Result<(), Failure> {
    let all = || set.declared().iter().chain(corelane_strategies::action::ALL).copied();
    let is_named =
        |schema: &&Schema| short(schema.name).eq_ignore_ascii_case(short(&expected.action));
    let Some(schema) = all().find(is_named) else {
        let meant = nearest(&expected.action, all().map(|schema| short(schema.name)));
        let meant = meant.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
        let what = format!("unknown action `{}`{meant}", expected.action);
        return Err(wrong(path, expected.line, what));
    };
    for name in expected.columns.keys() {
        let lower = name.to_ascii_lowercase();
        if schema.field(&lower).is_none() && !ORIGIN.contains(&lower.as_str()) {
            let what = unknown_column(schema.name, name, schema.columns().map(|f| f.name));
            return Err(wrong(path, expected.line, what));
        }
    }
    if let Some(rule) = &expected.rule
        && !set.names().any(|name| name == rule)
    {
        let meant = nearest(rule, set.names());
        let meant = meant.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
        return Err(wrong(path, expected.line, format!("unknown rule `{rule}`{meant}")));
    }
    Ok(())
}

fn short(name: &str) -> &str {
    name.strip_prefix("action.").unwrap_or(name)
}

fn unknown_column<'a>(of: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let meant = nearest(name, known);
    let meant = meant.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
    format!("`{of}` has no column `{name}`{meant}")
}

/// A time as a number of the stream's unit.
fn in_unit(at: Nanos, unit: TimeUnit) -> Value {
    let scale = 10u64.pow(u32::from(unit.decimals()));
    let (whole, rest) = (at.0 / scale, at.0 % scale);
    if rest == 0 {
        return read::number(whole);
    }
    let width = usize::from(unit.decimals());
    Value::String(format!("{whole}.{rest:0width$}"))
}
