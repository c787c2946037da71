//! From text to [`Config`]: defaults, and the checks that need more than one key.
//!
//! Invariant: what this returns is complete and consistent (see the parent module).

mod feed;
mod journal;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;

use corelane_strategies::registry::{ParamValue, Params, Registry};
use corelane_strategies::rules::RuleSet;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::reactor::{BackendKind, Waiting};

use super::value::{Bytes, FromValue, Table, parse_duration_ns};
use super::{
    Config, EngineConfig, FEEDS_MAX, FeedSection, ReportSection, RulesSection, STRATEGIES_MAX,
    SinkFormat, SinkSection, SinkTarget, StrategySection, THREADS_MAX, Topology,
};
use corelane_strategies::diagnostics::{Diagnostics, TextError as ConfigError, nearest};

/// Live orders of a feed that there is room for.
const ORDERS_MAX: usize = 1 << 20;
const RING_SLOTS: usize = 65_536;
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
    let mut stream_places = Vec::new();
    let mut config = Config {
        journal: journal::read(root.table("journal"), &name),
        feeds: read_feeds(&mut root, &engine, &mut stream_places),
        strategies: read_strategies(&mut root, registry),
        sinks: read_sinks(&mut root, !rules.is_empty()),
        rules,
        rule_set: RuleSet::with_functions(registry.functions.clone()),
        report: read_report(root.table("report")),
        name,
        engine,
        stream_places: Vec::new(),
    };
    config.stream_places = stream_places;
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

/// The feeds; `places` says where each names its stream.
fn read_feeds(
    root: &mut Table<'_>,
    engine: &EngineConfig,
    places: &mut Vec<Range<usize>>,
) -> Vec<FeedSection> {
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
        let (feed, place) = feed::read(&mut table, i, engine);
        places.push(place);
        if feeds.iter().any(|other| other.name == feed.name) {
            let title = format!("two feeds are called `{}`", feed.name);
            table.report(table.span(), title, "the second one");
        }
        feeds.push(feed);
        table.finish();
    }
    feeds
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
        sections.push(RulesSection { file, ..RulesSection::default() });
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
        acknowledged: table.or("acknowledged", false),
    };
    if section.acknowledged && !matches!(section.target, SinkTarget::Tcp(_)) {
        let title = "only a sink of type \"tcp\" has a receiver that acknowledges";
        table.report(table.span(), title, "in this table");
    }
    if section.acknowledged && section.format != SinkFormat::Json {
        let title = "a receiver that acknowledges is sent JSON";
        table.report(table.span(), title, "in this table");
    }
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
