//! From text to [`Config`]: defaults, and the checks that need more than one key.
//!
//! Invariant: what this returns is complete and consistent (see the parent module).

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use corelane_feeds::feed::{Protocol, Transport};
use corelane_feeds::units::Nanos;
use corelane_strategies::registry::{ParamValue, Params, Registry};
use corelane_strategies::rules::RuleSet;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::reactor::{BackendKind, Waiting};

use super::value::{Bytes, DurationNs, FromValue, Table, parse_duration_ns};
use super::{
    Config, EngineConfig, FEEDS_MAX, FeedSection, JournalSection, LINES_MAX, ReportSection,
    RulesSection, STRATEGIES_MAX, SinkFormat, SinkSection, SinkTarget, Source, StrategySection,
    THREADS_MAX, Topology,
};
use corelane_strategies::diagnostics::{Diagnostics, TextError as ConfigError, nearest};

/// Live orders of a feed that there is room for.
const ORDERS_MAX: usize = 1 << 20;
const RING_SLOTS: usize = 65_536;
const SEGMENT_BYTES: u64 = 64 << 20;
const SEGMENT_BYTES_MIN: u64 = 64 << 10;
const RCVBUF_BYTES: u64 = 32 << 20;
const HOLD_MAX: usize = 1_024;
const SINK_BUFFER_BYTES: u64 = 16 << 20;

pub(super) fn read(path: &str, text: &str, registry: &Registry) -> Result<Config, ConfigError> {
    let diagnostics = RefCell::new(Diagnostics::default());
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let span = error.span().unwrap_or(0..0);
            diagnostics.borrow_mut().push(span, "this is not TOML", error.message());
            diagnostics.into_inner().into_result(path, text)?;
            unreachable!("a mistake was just noted");
        }
    };
    let mut root = Table::new("config", document.get_ref(), 0..0, &diagnostics);
    let name = root.or("name", "corelane".to_owned());
    let engine = read_engine(root.table("engine"));
    let rules = read_rules(&mut root);
    let config = Config {
        journal: read_journal(root.table("journal"), &name),
        feeds: read_feeds(&mut root, &engine),
        strategies: read_strategies(&mut root, registry),
        sinks: read_sinks(&mut root, !rules.is_empty()),
        rules,
        rule_set: RuleSet::new(),
        report: read_report(root.table("report")),
        name,
        engine,
    };
    root.finish();
    diagnostics.into_inner().into_result(path, text)?;
    Ok(config)
}

fn read_engine(table: Option<Table<'_>>) -> EngineConfig {
    let mut engine = EngineConfig {
        topology: Topology::Fused,
        reactors: 1,
        shards: 1,
        reactor_cores: Vec::new(),
        shard_cores: Vec::new(),
        service_core: None,
        wait: Waiting::Auto,
        backend: BackendKind::Auto,
        ring_slots: RING_SLOTS,
        orders_max: ORDERS_MAX,
    };
    let Some(mut table) = table else { return engine };
    engine.topology = table.or("topology", engine.topology);
    engine.wait = table.or("wait", engine.wait);
    engine.backend = table.or("backend", engine.backend);
    engine.reactor_cores = table.or("reactor_cores", Vec::new());
    engine.shard_cores = table.or("shard_cores", Vec::new());
    engine.service_core = table.optional("service_core").map(Spanned::into_inner);
    engine.reactors = bounded(&mut table, "reactors", 1, 1..=THREADS_MAX);
    engine.ring_slots = bounded(&mut table, "ring_slots", RING_SLOTS, 64..=1 << 24);
    engine.orders_max = bounded(&mut table, "orders_max", ORDERS_MAX, 1_024..=1 << 28);
    let shards = table.optional::<usize>("shards");
    engine.shards = match (engine.topology, shards) {
        (Topology::Fused, Some(shards)) if *shards.get_ref() != engine.reactors => {
            let title = "a fused topology has one shard per reactor";
            let label = format!("must be {} here, or left out", engine.reactors);
            table.report(shards.span(), title, label);
            engine.reactors
        }
        (Topology::Fused, _) => engine.reactors,
        (Topology::Pipelined, _) => bounded(&mut table, "shards", 1, 1..=THREADS_MAX),
    };
    table.finish();
    engine
}

/// A number that must lie in a range; the default if absent or reported.
fn bounded(
    table: &mut Table<'_>,
    key: &'static str,
    default: usize,
    range: std::ops::RangeInclusive<usize>,
) -> usize {
    let Some(found) = table.optional::<usize>(key) else { return default };
    if range.contains(found.get_ref()) {
        return found.into_inner();
    }
    let title = format!("`{key}` must be from {} to {}", range.start(), range.end());
    table.report(found.span(), title, format!("found {}", found.get_ref()));
    default
}

fn read_journal(table: Option<Table<'_>>, name: &str) -> JournalSection {
    let mut journal = JournalSection {
        enabled: true,
        dir: PathBuf::from("/dev/shm").join(format!("corelane-{name}")),
        segment_bytes: SEGMENT_BYTES,
    };
    let Some(mut table) = table else { return journal };
    journal.enabled = table.or("enabled", true);
    journal.dir = table.or("dir", journal.dir);
    if let Some(segment) = table.optional::<Bytes>("segment") {
        journal.segment_bytes = segment.get_ref().0;
        let whole_pages = journal.segment_bytes.is_multiple_of(4096);
        if journal.segment_bytes < SEGMENT_BYTES_MIN || !whole_pages {
            let title = "`segment` must be at least 64KiB and a multiple of 4KiB";
            table.report(segment.span(), title, format!("found {} bytes", journal.segment_bytes));
        }
    }
    table.finish();
    journal
}

fn read_feeds(root: &mut Table<'_>, engine: &EngineConfig) -> Vec<FeedSection> {
    let tables = root.tables("feed");
    if tables.is_empty() {
        root.report(0..0, "a run needs at least one [[feed]]", "none in this file");
    }
    let mut feeds: Vec<FeedSection> = Vec::with_capacity(tables.len());
    for (i, mut table) in tables.into_iter().enumerate() {
        if i == FEEDS_MAX {
            table.report(table.span(), format!("at most {FEEDS_MAX} feeds"), "one too many");
            break;
        }
        let feed = read_feed(&mut table, i, engine);
        if feeds.iter().any(|other| other.name == feed.name) {
            let title = format!("two feeds are called `{}`", feed.name);
            table.report(table.span(), title, "the second one");
        }
        feeds.push(feed);
        table.finish();
    }
    feeds
}

fn read_feed(table: &mut Table<'_>, index: usize, engine: &EngineConfig) -> FeedSection {
    let protocol = named(table, "protocol", Protocol::NAMES)
        .map_or_else(|| Protocol::Itch50, |name| name.parse().unwrap_or(Protocol::Itch50));
    let soup = table.optional::<SocketAddr>("connect");
    let standard = match protocol {
        Protocol::Itch50 if soup.is_some() => Transport::SoupBinTcp,
        Protocol::Itch50 => Transport::MoldUdp64,
        Protocol::IexDeep10 | Protocol::IexTops16 => Transport::IexTp,
    };
    FeedSection {
        name: table.or("name", format!("feed{index}")),
        protocol,
        transport: standard,
        source: read_source(table, soup),
        reactor: bounded(table, "reactor", 0, 0..=engine.reactors - 1),
        rcvbuf_bytes: table.or("rcvbuf", Bytes(RCVBUF_BYTES)).0,
        midnight: table.or("midnight", Midnight(0)).into(),
        hold_max: bounded(table, "hold_max", HOLD_MAX, 0..=65_536),
        tick_ns: table.or("tick", DurationNs(0)).0,
    }
}

/// A required key whose value is one of a list of names.
fn named(table: &mut Table<'_>, key: &'static str, names: &[&'static str]) -> Option<String> {
    let found = table.required(key, String::new());
    let word = found.get_ref().as_str();
    if names.contains(&word) {
        return Some(found.into_inner());
    }
    if !word.is_empty() {
        let meant = nearest(word, names.iter().copied())
            .map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
        let label = format!("known are {}{meant}", names.join(", "));
        table.report(found.span(), format!("unknown {key} `{word}`"), label);
    }
    None
}

fn read_source(table: &mut Table<'_>, soup: Option<Spanned<SocketAddr>>) -> Source {
    let lines = table.optional::<Vec<SocketAddr>>("lines");
    let interface = table.optional::<String>("interface").map(Spanned::into_inner);
    let sender = table.optional::<IpAddr>("sender").map(Spanned::into_inner);
    let username = table.optional::<String>("username");
    let password_env = table.optional::<String>("password_env").map(Spanned::into_inner);
    let session = table.or("session", String::new());
    match (lines, soup) {
        (Some(lines), Some(_)) => {
            table.report(lines.span(), "a feed has either `lines` or `connect`", "both are given");
            Source::Capture
        }
        (Some(lines), None) => {
            if lines.get_ref().is_empty() || lines.get_ref().len() > LINES_MAX {
                let title = format!("`lines` must name 1 to {LINES_MAX} addresses");
                table.report(lines.span(), title, "here");
            }
            Source::Lines { lines: lines.into_inner(), interface, sender }
        }
        (None, Some(connect)) => {
            let username = username.map_or_else(String::new, |username| {
                if username.get_ref().len() > 6 {
                    let title = "a SoupBinTCP user name has at most 6 characters";
                    table.report(username.span(), title, "too long");
                }
                username.into_inner()
            });
            Source::Soup { connect: connect.into_inner(), username, password_env, session }
        }
        (None, None) => Source::Capture,
    }
}

/// Midnight as a TOML date-time with its offset, in nanoseconds since the epoch.
struct Midnight(u64);

impl From<Midnight> for Nanos {
    fn from(midnight: Midnight) -> Self {
        Nanos(midnight.0)
    }
}

impl FromValue for Midnight {
    const WANTED: &'static str = "a date-time with its offset, as 2019-12-30T00:00:00-05:00";
    fn from_value(value: &DeValue<'_>) -> Result<Self, String> {
        let Some(datetime) = value.as_datetime() else {
            return Err(format!("found {}", value.type_str()));
        };
        let (Some(date), Some(time), Some(offset)) =
            (datetime.date, datetime.time, datetime.offset)
        else {
            return Err("date, time and offset are all needed".to_owned());
        };
        let minutes = match offset {
            toml::value::Offset::Z => 0,
            toml::value::Offset::Custom { minutes } => i64::from(minutes),
        };
        let days = days_from_civil(i64::from(date.year), date.month.into(), date.day.into());
        let hours = i64::from(time.hour);
        let minute = i64::from(time.minute);
        let seconds = days * 86_400 + hours * 3_600 + minute * 60 - minutes * 60;
        let seconds = u64::try_from(seconds).map_err(|_| "before 1970".to_owned())?;
        seconds.checked_mul(1_000_000_000).map(Self).ok_or_else(|| "too late".to_owned())
    }
}

/// Days since 1970-01-01 of a date in the Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn read_strategies(root: &mut Table<'_>, registry: &Registry) -> Vec<StrategySection> {
    let mut sections: Vec<StrategySection> = Vec::new();
    for mut table in root.tables("strategy") {
        if sections.len() == STRATEGIES_MAX {
            let title = format!("at most {STRATEGIES_MAX} strategies");
            table.report(table.span(), title, "one too many");
            break;
        }
        let names: Vec<&'static str> = registry.names().collect();
        let Some(kind) = named(&mut table, "type", &names) else { continue };
        let name = table.or("name", kind.clone());
        if sections.iter().any(|other| other.name == name) {
            let title = format!("two strategies are called `{name}`");
            table.report(table.span(), title, "give the second one a `name` of its own");
        }
        let mut params = Params::default();
        let rest = table.rest();
        for (key, value) in &rest {
            match param(value.get_ref()) {
                Ok(read) => params.insert(key, read),
                Err(found) => {
                    let title = format!("`strategy.{key}` is no usable value");
                    table.report(value.span(), title, found);
                }
            }
        }
        if let Err(error) = registry.check(&kind, &params) {
            let place = rest.iter().find(|(key, _)| *key == error.key);
            let span = place.map_or_else(|| table.span(), |(_, value)| value.span());
            table.report(span, format!("strategy `{name}`: {error}"), "here");
        }
        sections.push(StrategySection { name, kind, params });
    }
    sections
}

/// A strategy's setting: a text that reads as a duration is one.
fn param(value: &DeValue<'_>) -> Result<ParamValue, String> {
    if let Some(text) = value.as_str() {
        return Ok(match parse_duration_ns(text) {
            Ok(ns) => ParamValue::DurationNs(ns),
            Err(_) => ParamValue::Text(text.to_owned()),
        });
    }
    if let Some(flag) = value.as_bool() {
        return Ok(ParamValue::Bool(flag));
    }
    if let Some(float) = value.as_float() {
        let parsed = float.as_str().parse::<f64>().map_err(|error| error.to_string())?;
        return Ok(ParamValue::Float(parsed));
    }
    i64::from_value(value).map(ParamValue::Int)
}

fn read_rules(root: &mut Table<'_>) -> Vec<RulesSection> {
    let mut sections = Vec::new();
    for mut table in root.tables("rules") {
        let file = table.required("file", PathBuf::new()).into_inner();
        table.finish();
        sections.push(RulesSection { file, text: String::new() });
    }
    sections
}

fn read_sinks(root: &mut Table<'_>, more_to_come: bool) -> Vec<SinkSection> {
    let tables = root.tables("sink").into_iter().enumerate();
    tables.map(|(i, table)| read_sink(table, i, more_to_come)).collect()
}

fn read_sink(mut table: Table<'_>, index: usize, more_to_come: bool) -> SinkSection {
    let kind = named(&mut table, "type", &["file", "tcp", "udp"]);
    let path = table.optional::<PathBuf>("path");
    let address = table.optional::<SocketAddr>("address");
    let target = match (kind.as_deref(), path, address) {
        (Some("file"), Some(path), None) => SinkTarget::File(path.into_inner()),
        (Some("tcp"), None, Some(address)) => SinkTarget::Tcp(address.into_inner()),
        (Some("udp"), None, Some(address)) => SinkTarget::Udp(address.into_inner()),
        (kind, _, _) => {
            let needs = if kind == Some("file") { "`path`" } else { "`address`" };
            if kind.is_some() {
                let title = format!("this sink needs {needs} and nothing else to say where to");
                table.report(table.span(), title, "in this table");
            }
            SinkTarget::File(PathBuf::new())
        }
    };
    let section = SinkSection {
        name: table.or("name", format!("sink{index}")),
        target,
        format: table.or("format", SinkFormat::Json),
        streams: read_action_streams(&mut table, more_to_come),
        buffer_bytes: table.or("buffer", Bytes(SINK_BUFFER_BYTES)).0,
        stamps: table.or("stamps", false),
    };
    table.finish();
    section
}

/// Which actions a sink wants. Rule files, which are read later, may declare more.
fn read_action_streams(table: &mut Table<'_>, more_to_come: bool) -> Vec<String> {
    let Some(streams) = table.optional::<Vec<String>>("streams") else { return Vec::new() };
    let known: Vec<&str> = corelane_strategies::action::ALL.iter().map(|s| s.name).collect();
    for stream in streams.get_ref() {
        if !more_to_come && !known.contains(&stream.as_str()) {
            let title = format!("`{stream}` is no action stream");
            table.report(streams.span(), title, format!("known are {}", known.join(", ")));
        }
    }
    streams.into_inner()
}

fn read_report(table: Option<Table<'_>>) -> ReportSection {
    let Some(mut table) = table else { return ReportSection::default() };
    let mut path = |key| table.optional::<PathBuf>(key).map(Spanned::into_inner);
    let report = ReportSection { json: path("json"), hgrm: path("hgrm"), hlog: path("hlog") };
    table.finish();
    report
}

#[cfg(test)]
mod tests;
