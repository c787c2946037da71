//! Case files: TOML and lines of JSON to cases.
//!
//! Invariant: every key means something, or it is refused.

use corelane_strategies::diagnostics::nearest;
use serde_json::{Map, Number, Value};
use toml::de::{DeTable, DeValue};

use super::{Case, Expected, Input, What, wrong};
use crate::cli::exit::Failure;
use crate::config::parse_duration_ns;

/// When a case begins unless it says so: 2026-01-05T00:00:00Z, a Monday.
const START_NS: u64 = 1_767_571_200_000_000_000;

/// A list with the line of each item.
type Items = Vec<(usize, Map<String, Value>)>;

pub(super) fn toml(path: &str, text: &str) -> Result<Vec<Case>, Failure> {
    let line_of = |byte: usize| 1 + text.bytes().take(byte).filter(|b| *b == b'\n').count();
    let document = DeTable::parse(text).map_err(|error| {
        let line = line_of(error.span().map_or(0, |span| span.start));
        wrong(path, line, format!("this is not TOML: {}", error.message()))
    })?;
    let mut cases = Vec::new();
    for (key, value) in document.get_ref() {
        let line = line_of(key.span().start);
        let tables = value.get_ref().as_array().filter(|_| key.get_ref() == "case");
        let tables = tables.ok_or_else(|| wrong(path, line, "a case file has [[case]] alone"))?;
        for table in tables {
            let line = line_of(table.span().start);
            let Some(table) = table.get_ref().as_table() else {
                return Err(wrong(path, line, "a case is a table: [[case]]"));
            };
            let mut reader = Reader::new(path, line);
            for (key, value) in table {
                let line = line_of(key.span().start);
                match value.get_ref().as_array() {
                    Some(array) => {
                        let items = array.iter().map(|item| {
                            let line = line_of(item.span().start);
                            Ok((line, object(path, line, json(item.get_ref()))?))
                        });
                        reader.list(key.get_ref(), line, items.collect::<Result<_, _>>()?)?;
                    }
                    None => reader.value(key.get_ref(), line, &json(value.get_ref()))?,
                }
            }
            cases.push(reader.finish()?);
        }
    }
    Ok(cases)
}

pub(super) fn lines(path: &str, text: &str) -> Result<Vec<Case>, Failure> {
    let mut cases = Vec::new();
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let case: Value = serde_json::from_str(text)
            .map_err(|error| wrong(path, line, format!("this is not JSON: {error}")))?;
        let mut reader = Reader::new(path, line);
        for (key, value) in object(path, line, case)? {
            match value {
                Value::Array(items) => {
                    let items = items.into_iter().map(|item| Ok((line, object(path, line, item)?)));
                    reader.list(&key, line, items.collect::<Result<_, _>>()?)?;
                }
                value => reader.value(&key, line, &value)?,
            }
        }
        cases.push(reader.finish()?);
    }
    Ok(cases)
}

fn object(path: &str, line: usize, value: Value) -> Result<Map<String, Value>, Failure> {
    match value {
        Value::Object(object) => Ok(object),
        other => Err(wrong(path, line, format!("expected a table, found {other}"))),
    }
}

/// A value as JSON has it; a time becomes its text.
fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.clone().into_owned()),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(read) => Value::Number(read.into()),
            Err(_) => Value::String(integer.as_str().to_owned()),
        },
        // Decimals are kept as they are written: no float rounds an amount.
        DeValue::Float(float) => Value::String(float.as_str().to_owned()),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => {
            let pair = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
                let key: &std::borrow::Cow<'_, str> = key.get_ref();
                (key.clone().into_owned(), json(value.get_ref()))
            };
            Value::Object(table.iter().map(pair).collect())
        }
    }
}

/// Puts a case together.
struct Reader<'a> {
    path: &'a str,
    case: Case,
    is_expecting: bool,
}

impl<'a> Reader<'a> {
    fn new(path: &'a str, line: usize) -> Self {
        let (inputs, expected) = (Vec::new(), Vec::new());
        let case = Case { name: String::new(), line, start_ns: START_NS, inputs, expected };
        Self { path, case, is_expecting: false }
    }

    fn value(&mut self, key: &str, line: usize, value: &Value) -> Result<(), Failure> {
        match (key, value) {
            ("name", Value::String(name)) => self.case.name.clone_from(name),
            ("start_ns", Value::Number(ns)) if ns.is_u64() => {
                self.case.start_ns = ns.as_u64().unwrap_or_default();
            }
            ("name", _) => return Err(wrong(self.path, line, "`name` must be a text")),
            ("start_ns", _) => {
                let what = "`start_ns` must be nanoseconds since 1970, an integer";
                return Err(wrong(self.path, line, what));
            }
            ("records" | "expect", _) => {
                return Err(wrong(self.path, line, format!("`{key}` must be a list of tables")));
            }
            _ => return Err(self.unknown(key, line)),
        }
        Ok(())
    }

    fn unknown(&self, key: &str, line: usize) -> Failure {
        let known = ["name", "start_ns", "records", "expect"];
        let meant = nearest(key, known).map_or_else(String::new, |m| format!("; meant `{m}`?"));
        let known = known.join(", ");
        wrong(self.path, line, format!("unknown key `{key}`{meant}; a case has {known}"))
    }

    fn list(&mut self, key: &str, line: usize, items: Items) -> Result<(), Failure> {
        match key {
            "records" => {
                let inputs = items.into_iter().map(|(line, item)| self.input(line, item));
                self.case.inputs = inputs.collect::<Result<_, _>>()?;
            }
            "expect" => {
                let expected = items.into_iter().map(|(line, item)| self.expected(line, item));
                self.case.expected = expected.collect::<Result<_, _>>()?;
                self.is_expecting = true;
            }
            _ => return Err(self.unknown(key, line)),
        }
        Ok(())
    }

    fn input(&self, line: usize, mut item: Map<String, Value>) -> Result<Input, Failure> {
        let duration = |value: Value| match &value {
            Value::String(text) => parse_duration_ns(text)
                .map_err(|error| wrong(self.path, line, format!("not a duration: {error}"))),
            _ => Err(wrong(self.path, line, "a time here is a duration, as \"1.5s\"")),
        };
        if let Some(tick) = item.shift_remove("tick") {
            if item.is_empty() {
                return Ok(Input { line, at_ns: Some(duration(tick)?), what: What::Tick });
            }
            return Err(wrong(self.path, line, "a tick has no other keys"));
        }
        let at_ns = item.shift_remove("at").map(duration).transpose()?;
        match item.shift_remove("stream") {
            Some(Value::String(stream)) => {
                Ok(Input { line, at_ns, what: What::Record(stream, item) })
            }
            _ => Err(wrong(self.path, line, "a record needs `stream`, a text, or it is a `tick`")),
        }
    }

    fn expected(&self, line: usize, mut item: Map<String, Value>) -> Result<Expected, Failure> {
        let rule = match item.shift_remove("rule") {
            None => None,
            Some(Value::String(rule)) => Some(rule.to_ascii_lowercase()),
            Some(_) => return Err(wrong(self.path, line, "`rule` must be a rule's name")),
        };
        match item.shift_remove("action") {
            Some(Value::String(action)) => Ok(Expected { line, action, rule, columns: item }),
            _ => Err(wrong(self.path, line, "an expected action needs `action`, its name")),
        }
    }

    fn finish(self) -> Result<Case, Failure> {
        let what = if self.case.name.is_empty() {
            "a case needs `name`"
        } else if !self.is_expecting {
            "a case needs `expect`, `[]` if nothing is to happen"
        } else {
            return Ok(self.case);
        };
        Err(wrong(self.path, self.case.line, what))
    }
}

/// A number that JSON can hold, for those who build cases.
#[must_use]
pub(super) fn number(value: u64) -> Value {
    Value::Number(Number::from(value))
}
