//! What a rule looked at when it acted: found again among the records before.
//!
//! Invariant: nothing here runs per record of a run. The rows of a window are told from the record
//! that caused the action, by the window's own filter, key and frame; its values are computed anew
//! from those rows alone.

use corelane_feeds::record::{Record, StreamId};
use zerocopy::IntoBytes;

use super::{Kind, Mode, PoolWindow, Rule, RuleSet, StateKey};
use crate::rules::expr::{Node, Typed, power_of_ten};
use crate::rules::key::KeyProgram;
use crate::rules::program::Machine;
use crate::rules::types::{Type, Value};
use crate::rules::window::{Aggregate, Frame, Function, Windows};

/// What a rule is.
#[derive(Clone, Debug)]
pub struct RuleFacts {
    /// Its name.
    pub name: &'static str,
    /// Its statement.
    pub text: String,
    /// What it may do.
    pub mode: Mode,
    /// The streams that it reads, without those of time.
    pub reads: Vec<&'static str>,
}

/// Rows that a rule looked at.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// What they are to the rule.
    pub what: String,
    /// Which of the records, the earliest first.
    pub rows: Vec<usize>,
    /// What was computed of them, with its value.
    pub values: Vec<(String, String)>,
}

impl RuleSet {
    /// What the rule of a number, counted from 0, is.
    #[must_use]
    pub fn facts(&self, number: usize) -> Option<RuleFacts> {
        let rule = self.rules.iter().find(|rule| usize::from(rule.number) == number)?;
        let reads = rule.reads.iter().filter(|id| id.0 >> 8 != 0);
        let reads = reads.filter_map(|id| self.catalog.by_id(*id)).map(|schema| schema.name);
        let (text, reads) = (rule.text.clone(), reads.collect());
        Some(RuleFacts { name: rule.name, text, mode: rule.mode, reads })
    }

    fn numbered(&self, number: usize) -> Option<&Rule> {
        self.rules.iter().find(|rule| usize::from(rule.number) == number)
    }

    /// Whether a record can be among those that the rule of a number looked at for a later one.
    #[must_use]
    pub fn concerns(&self, number: usize, cause: &Record, record: &Record) -> bool {
        let Some(rule) = self.numbered(number) else { return false };
        let windows = rule.kind.windows().iter().filter_map(|&at| self.pool.get(at));
        let mut windows = windows.filter(|window| window.stream == record.header.stream);
        let same = |key: &KeyProgram| words(key, record) == words(key, cause);
        if record.header.stream == cause.header.stream && windows.any(|window| same(&window.key)) {
            return true;
        }
        let key_of = |record: &Record| {
            let mut keys = rule.state.iter();
            let key = keys.find(|key| key.stream.schema.stream == record.header.stream)?;
            Some(key.words(record))
        };
        rule.kind.windows().is_empty()
            && key_of(record).is_some_and(|key| Some(key) == key_of(cause))
    }

    /// The rows that the rule of a number looked at for the last of `records`. Empty if it looks at
    /// that record alone, or at records that are made of these.
    #[must_use]
    pub fn evidence(&self, number: usize, records: &[&Record]) -> Vec<Evidence> {
        let (Some(rule), Some(cause)) = (self.numbered(number), records.last()) else {
            return Vec::new();
        };
        if !rule.reads.contains(&cause.header.stream) {
            return Vec::new();
        }
        if let Kind::Query(plan) = &rule.kind {
            let windows = plan.windows.iter().filter_map(|&at| self.pool.get(at));
            return windows.map(|window| self.window(window, records)).collect();
        }
        let mut keys = rule.state.iter();
        let Some(own) = keys.find(|key| key.stream.schema.stream == cause.header.stream) else {
            return Vec::new();
        };
        let wanted = own.words(cause);
        let is_of = |record: &Record| {
            let keys = rule.state.iter();
            let mut keys = keys.filter(|key| key.stream.schema.stream == record.header.stream);
            keys.any(|key| key.words(record) == wanted)
        };
        let rows = (0..records.len()).filter(|&at| is_of(records[at])).collect();
        let what = "records of the same key, among which it found what it looks for".to_owned();
        vec![Evidence { what, rows, values: Vec::new() }]
    }

    fn window(&self, window: &PoolWindow, records: &[&Record]) -> Evidence {
        let Some(cause) = records.last() else { return Evidence::default() };
        let mut machine = Machine::default();
        let mut passes = |record: &Record| match &window.filter {
            Some(filter) => filter.holds(&mut machine, record.as_bytes(), &[]),
            None => true,
        };
        let wanted = words(&window.key, cause);
        let mut rows: Vec<usize> = (0..records.len())
            .filter(|&at| records[at].header.stream == window.stream && passes(records[at]))
            .filter(|&at| words(&window.key, records[at]) == wanted)
            .collect();
        let ts = cause.header.ts_event.0;
        let frame = window.spec().frame;
        match frame {
            Frame::Range(ns) => {
                rows.retain(|&at| {
                    let row = records[at].header.ts_event.0;
                    row <= ts && row >= ts.saturating_sub(ns)
                });
            }
            Frame::Rows(before) => {
                let count = usize::try_from(before).unwrap_or(usize::MAX).saturating_add(1);
                rows.drain(..rows.len().saturating_sub(count));
            }
            Frame::Unbounded => {}
        }
        let values = self.values(window, rows.iter().map(|&at| records[at]));
        Evidence { what: format!("window of {}", frame_text(frame)), rows, values }
    }

    /// Who looks at a window, counted from 0, through which frame, and the names of its aggregates.
    pub(in crate::rules) fn window_facts(&self, number: usize) -> (String, String, Vec<String>) {
        let users = self.rules.iter().filter(|rule| rule.kind.windows().contains(&number));
        let users = users.map(|rule| rule.name).collect::<Vec<_>>().join(", ");
        let Some(window) = self.pool.get(number) else { return Default::default() };
        let labels = window.aggregates.iter().map(|aggregate| self.label(window, aggregate));
        (users, frame_text(window.spec().frame), labels.collect())
    }

    /// The name of a stream.
    pub(in crate::rules) fn stream_name(&self, id: StreamId) -> String {
        let schema = self.catalog.by_id(id);
        schema.map_or_else(|| format!("{:#06x}", id.0), |schema| schema.name.to_owned())
    }

    /// The aggregates of a window over some rows of one key.
    fn values<'a>(
        &self,
        window: &PoolWindow,
        rows: impl Iterator<Item = &'a Record>,
    ) -> Vec<(String, String)> {
        let Ok(mut state) = Windows::new(window.spec()) else { return Vec::new() };
        let mut out = vec![Value::NULL; window.aggregates.len()];
        let mut machine = Machine::default();
        for row in rows {
            let key = words(&window.key, row);
            let args: Vec<Value> = window.arguments(&mut machine, row).collect();
            state.update(&key, row.header.ts_event.0, &args, &mut out);
        }
        let aggregates = window.aggregates.iter().zip(&out);
        let named = aggregates.map(|(aggregate, value)| {
            (self.label(window, aggregate), shown(aggregate.result_type(), *value))
        });
        named.collect()
    }

    /// An aggregate as a rule would write it.
    fn label(&self, window: &PoolWindow, aggregate: &Aggregate) -> String {
        let args = aggregate.args.iter().filter_map(|&arg| window.args_typed().get(arg));
        let args: Vec<String> = args.map(|arg| self.column_name(window.stream, arg)).collect();
        let name = function_name(aggregate.function);
        let args = if args.is_empty() { "*".to_owned() } else { args.join(", ") };
        format!("{name}({args})")
    }

    fn column_name(&self, stream: StreamId, typed: &Typed) -> String {
        let schema = self.catalog.by_id(stream);
        let mut fields = schema.iter().flat_map(|schema| schema.fields);
        match &typed.node {
            Node::Column(column) => fields
                .find(|field| field.offset == column.offset)
                .map_or_else(|| "a header column".to_owned(), |field| field.name.to_owned()),
            _ => "an expression".to_owned(),
        }
    }
}

impl StateKey {
    /// The words of a record's key.
    fn words(&self, record: &Record) -> Vec<u64> {
        let parts = self.parts.iter().map(|(typed, program)| (program.clone(), typed.ty));
        words(&KeyProgram::new(parts.collect()), record)
    }
}

fn words(key: &KeyProgram, record: &Record) -> Vec<u64> {
    let mut words = vec![0; key.words()];
    key.fill(&mut Machine::default(), record.as_bytes(), &mut words);
    words
}

fn frame_text(frame: Frame) -> String {
    match frame {
        Frame::Range(ns) => format!("the last {} s", ns as f64 / 1e9),
        Frame::Rows(before) => format!("the row and {before} before it"),
        Frame::Unbounded => "all rows".to_owned(),
    }
}

/// An aggregate function as a rule writes it.
pub(in crate::rules) fn function_name(function: Function) -> String {
    match function {
        Function::Custom(function) => function.get().signature().name.to_owned(),
        function => snake(&format!("{function:?}")),
    }
}

/// The text that lies in some words, without what fills it.
pub(in crate::rules) fn text_of(words: &[u64]) -> String {
    let bytes = words.as_bytes();
    let end = bytes.iter().rposition(|&b| b != 0 && b != b' ').map_or(0, |at| at + 1);
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// `CountDistinct` as `count_distinct`, without what stands behind it in parentheses.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars().take_while(char::is_ascii_alphanumeric) {
        if letter.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// A value as people read it; of a text the word that stands for it.
pub(in crate::rules) fn shown(ty: Type, value: Value) -> String {
    let Some(whole) = value.as_int() else { return "NULL".to_owned() };
    match ty {
        Type::Double => f64::from_bits(value.bits).to_string(),
        Type::Bool => (whole != 0).to_string(),
        Type::Text(_) => text_of(&[value.bits]),
        Type::Decimal(scale @ 1..) => {
            let (unit, sign) =
                (power_of_ten(scale).unsigned_abs(), if whole < 0 { "-" } else { "" });
            let (units, rest) = (whole.unsigned_abs() / unit, whole.unsigned_abs() % unit);
            format!("{sign}{units}.{rest:0width$}", width = usize::from(scale))
        }
        _ => whole.to_string(),
    }
}
