//! Runs rules over the events of a case, as a shard would.

use std::collections::HashMap;

use corelane_feeds::record::{Record, RecordBuf, Stamp, View};
use corelane_feeds::schema::SqlType;
use corelane_feeds::streams::sys;
use corelane_feeds::text::{Format, TextConfig, TextFeed};
use corelane_feeds::units::{Nanos, Seq};
use corelane_strategies::chain::Chain;
use corelane_strategies::rules::{NULLS, RuleSet, Rules};
use serde_json::{Map, Value};

use crate::tables;
use crate::written::Setting;

/// Columns of every stream, which a field of a case cannot be called as.
const TAKEN: [&str; 6] = ["feed", "instrument", "seq", "ts_event", "ts_recv", "ts"];
const DAY_MS: u64 = 86_400_000;
const HOUR_MS: u64 = 3_600_000;
/// When patterns that wait from the start are taken to start: not at no time at all.
const BEGIN_MS: u64 = 60_000;

/// What a rule does, as the case's rows are compared with it.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// The event that led to it.
    pub(crate) on: Option<usize>,
    pub(crate) row: Vec<Value>,
}

/// What rules did.
pub(crate) struct Done {
    pub(crate) told: Vec<Told>,
    /// The search could not go on where it was to: an error elsewhere.
    pub(crate) has_failed: bool,
}

/// A stream of a case: its name, and its columns with their types.
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) columns: Vec<(String, &'static str)>,
}

impl Stream {
    pub(crate) fn kind(&self, column: &str) -> &'static str {
        self.columns.iter().find(|(name, _)| name == column).map_or("DOUBLE", |(_, kind)| kind)
    }
}

fn kind_of(value: &Value) -> Option<&'static str> {
    match value {
        Value::String(_) => Some("VARCHAR(24)"),
        Value::Bool(_) => Some("BOOLEAN"),
        Value::Number(number) if number.is_f64() => Some("DOUBLE"),
        Value::Number(_) => Some("BIGINT"),
        _ => None,
    }
}

/// A field's name as a column.
pub(crate) fn column(field: &str) -> String {
    let is_taken = TAKEN.iter().any(|taken| field.eq_ignore_ascii_case(taken));
    if is_taken { format!("{field}_") } else { field.to_owned() }
}

/// What an event's columns are.
fn fields(event: &Value) -> Map<String, Value> {
    let mut fields = Map::new();
    if let Some(id) = event.get("id").filter(|id| !id.is_null()) {
        fields.insert(String::from("id"), id.clone());
    }
    for (name, value) in event["fields"].as_object().into_iter().flatten() {
        fields.insert(column(name), value.clone());
    }
    fields
}

/// The streams of a case, by its events and by what it says of them.
pub(crate) fn streams(case: &Value) -> Vec<Stream> {
    let mut streams: Vec<Stream> = Vec::new();
    let mut add = |name: &str, column: Option<(&str, Option<&'static str>)>| {
        let at = streams.iter().position(|stream| stream.name == name).unwrap_or_else(|| {
            streams.push(Stream { name: name.to_owned(), columns: Vec::new() });
            streams.len() - 1
        });
        let Some((column, kind)) = column else { return };
        match streams[at].columns.iter_mut().find(|(known, _)| known == column) {
            Some((_, known)) if *known == "BIGINT" => *known = kind.unwrap_or("BIGINT"),
            Some(_) => {}
            None => {
                if let Some(kind) = kind {
                    streams[at].columns.push((column.to_owned(), kind));
                }
            }
        }
    };
    for event in events(case) {
        let Some(name) = event["stream"].as_str().filter(|_| event.get("kind").is_none()) else {
            continue;
        };
        add(name, None);
        for (field, value) in fields(event) {
            add(name, Some((&field, kind_of(&value))));
        }
    }
    for (name, columns) in case["streams"].as_object().into_iter().flatten() {
        for field in columns.as_array().into_iter().flatten().filter_map(Value::as_str) {
            let kind = match field {
                "symbol" => "VARCHAR(24)",
                "volume" | "count" => "BIGINT",
                _ => "DOUBLE",
            };
            add(name, Some((&column(field), Some(kind))));
        }
    }
    streams
}

pub(crate) fn events(case: &Value) -> &[Value] {
    case["events"].as_array().map_or(&[], Vec::as_slice)
}

/// CREATE STREAM for them.
pub(crate) fn declare(streams: &[Stream], lateness: &str) -> String {
    let one = |stream: &Stream| {
        let columns = stream.columns.iter().map(|(name, kind)| format!("{name} {kind}, "));
        format!(
            "CREATE STREAM {} ({}ts TIMESTAMP(9)) \
             WITH (time = 'ts', time_unit = 'ms', lateness = '{lateness}', format = 'json');\n",
            stream.name,
            columns.collect::<String>()
        )
    };
    streams.iter().map(one).collect()
}

fn tick(ms: u64) -> RecordBuf {
    let stamp = Stamp { ts_event: Nanos(ms * 1_000_000), ..Stamp::default() };
    sys::Tick::new(stamp, 0).as_record().to_buf()
}

/// A column of an action; only what the runner declares occurs.
fn value(set: &RuleSet, action: &Record, times_as_text: bool) -> Vec<Value> {
    let schemas = set.declared();
    let Some(schema) = schemas.iter().find(|schema| schema.stream == action.header.stream) else {
        return Vec::new();
    };
    let bytes = zerocopy::IntoBytes::as_bytes(action);
    let word = |at: usize| bytes[at..at + 8].try_into().map(i64::from_le_bytes).unwrap_or(0);
    let nulls = schema.field(NULLS).map_or(0, |field| word(field.offset));
    let own = schema.columns().filter(|field| field.offset >= 32 && field.name != NULLS);
    let mut row = Vec::new();
    for (bit, field) in own.filter(|field| field.name.starts_with('c')).enumerate() {
        row.push(match field.sql {
            _ if nulls >> bit & 1 == 1 => Value::Null,
            SqlType::Char(len) => {
                let text = &bytes[field.offset..field.offset + usize::from(len)];
                String::from_utf8_lossy(text).trim_end_matches([' ', '\0']).into()
            }
            SqlType::Double => f64::from_bits(word(field.offset) as u64).into(),
            SqlType::Decimal(scale) => {
                (word(field.offset) as f64 / 10_f64.powi(i32::from(scale))).into()
            }
            SqlType::Boolean => (bytes[field.offset] == 1).into(),
            SqlType::Timestamp if times_as_text => {
                tables::written(word(field.offset) / 1_000_000).into()
            }
            SqlType::Timestamp => (word(field.offset) / 1_000_000).into(),
            _ => word(field.offset).into(),
        });
    }
    row
}

/// Whether to say how far time is after the last event.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Open,
    HourLater,
    /// Two days.
    DaysLater,
    /// No; and rules are there a minute before time 0 of the case, which is then told.
    Begun,
}

/// Rules at work over the events of a case.
struct Run<'a> {
    case: &'a Value,
    set: RuleSet,
    chain: Chain,
    feeds: HashMap<String, TextFeed>,
    told: Vec<Told>,
    seq: u64,
}

impl Run<'_> {
    fn push(&mut self, record: &Record, on: Option<usize>) {
        let Self { case, set, chain, told, .. } = self;
        let as_text = case.get("tables").is_some();
        let mut take = |actions: &[RecordBuf]| {
            for action in actions.iter().filter_map(RecordBuf::record) {
                told.push(Told { on, row: value(set, action, as_text) });
            }
        };
        take(chain.on_record(record));
        while let Some(more) = chain.resume() {
            take(more);
        }
    }

    fn tick(&mut self, ms: u64, on: Option<usize>) -> Result<(), String> {
        self.push(tick(ms).record().ok_or("a tick")?, on);
        Ok(())
    }

    /// A row of a stream; one without a time is no record of it.
    fn row(&mut self, at: usize, event: &Value, ms: Option<u64>) -> Result<(), String> {
        let name = event["stream"].as_str().unwrap_or_default();
        let mut line = fields(event);
        if let Some(ms) = ms {
            line.insert(String::from("ts"), ms.into());
        }
        let line = Value::Object(line).to_string() + "\n";
        let known = self.set.declared_streams().len();
        let feed = self.feeds.get_mut(&name.to_ascii_lowercase());
        let feed = feed.ok_or_else(|| format!("no stream {name} in {known:?}"))?;
        let mut records = Vec::new();
        let mut sink = |record: &Record| records.push(record.to_buf());
        feed.bytes(Nanos(0), line.as_bytes(), &mut sink);
        if let Some(rejection) = feed.rejections().first().filter(|_| ms.is_some()) {
            return Err(format!("{line} is rejected: {rejection:?}"));
        }
        for mut record in records {
            // The feeds of a case are one: its lines are numbered through.
            self.seq += 1;
            record.header_mut().ok_or("a header")?.seq = Seq(self.seq);
            self.push(record.record().ok_or("a record")?, Some(at));
        }
        Ok(())
    }

    /// Rules that go on from what others have saved.
    fn restore(&mut self) -> Result<(), String> {
        let mut state = Vec::new();
        self.chain.save(&mut state);
        self.chain = Chain::new(vec![], vec![Box::new(Rules::new(&self.set))]);
        self.chain.restore(&state).map_err(|error| error.to_string())
    }
}

/// Compiles a text and runs it; what its actions hold.
pub(crate) fn run(case: &Value, text: &str, end: End, setting: &Setting) -> Result<Done, String> {
    let shift = if end == End::Begun { BEGIN_MS } else { 0 };
    let mut set = RuleSet::new();
    set.add("case.sql", text).map_err(|error| error.to_string())?;
    let chain = Chain::new(vec![], vec![Box::new(Rules::new(&set))]);
    let mut feeds: HashMap<String, TextFeed> = HashMap::new();
    for stream in set.declared_streams() {
        let config = TextConfig::new(0, &stream.declared, Format::Json);
        feeds.insert(stream.declared.schema.name.to_ascii_lowercase(), TextFeed::new(&config));
    }
    let mut run = Run { case, set, chain, feeds, told: Vec::new(), seq: 0 };
    // Where time comes first, to every rule, whatever streams it looks at.
    let ticks = case["notes"].as_str().is_some_and(|notes| notes.contains("time advances to"));
    run.push(sys::Session::new(Stamp::default(), 0).as_record(), None);
    let times = events(case).iter().filter_map(|event| event["t_ms"].as_u64());
    let first = times.clone().next().unwrap_or(0);
    run.tick(if first < DAY_MS { shift } else { first }, None)?;
    for (at, event) in events(case).iter().enumerate() {
        let ms = event["t_ms"].as_u64().map(|ms| ms + shift);
        match (event["kind"].as_str(), setting.watermarks) {
            (Some("watermark"), Some(lateness)) => {
                // Nothing is to come up to this time, and itself.
                run.tick(ms.ok_or("a watermark without a time")? + lateness + 1, Some(at))?;
            }
            (Some("advance" | "watermark"), _) => {
                run.tick(ms.ok_or("a tick without a time")?, Some(at))?;
            }
            (Some("snapshot_restore"), _) => run.restore()?,
            (Some(kind), _) => return Err(format!("an event of kind {kind}")),
            (None, _) => {
                if let (true, Some(ms)) = (ticks, ms) {
                    run.tick(ms, Some(at))?;
                }
                let own = setting.time.as_ref().and_then(|time| event["fields"][time].as_u64());
                run.row(at, event, own.or(ms))?;
            }
        }
    }
    // A source that waits at its end does not always say how long.
    let waits =
        end == End::Begun && !ticks && events(case).last().is_some_and(|e| e.get("kind").is_none());
    let last = times.max().unwrap_or(0) + shift;
    match end {
        End::DaysLater => run.tick(last + 2 * DAY_MS - 1, None)?,
        End::HourLater => run.tick(last + HOUR_MS, None)?,
        _ if waits => run.tick(last + HOUR_MS, None)?,
        _ => {}
    }
    let mut has_failed = false;
    let failures = "pattern_skips_failed";
    run.chain.counters(&mut |_, name, count| has_failed |= name == failures && count > 0);
    Ok(Done { told: run.told, has_failed })
}
