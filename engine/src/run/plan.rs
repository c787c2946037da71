//! From configuration to the parts of a run: chains, sinks, sockets, journals.
//!
//! Invariant: opens nothing; what it returns is plain values, or chains that have seen no record.

use std::env;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use corelane_feeds::feed::{Feed, FeedConfig, Protocol};
use corelane_feeds::record::StreamId;
use corelane_feeds::soupbintcp::{self, Credentials};
use corelane_feeds::streams::book;
use corelane_feeds::text::{TextConfig, TextFeed};
use corelane_strategies::book::{L3Books, L3Options, LevelBooks};
use corelane_strategies::chain::Chain;
use corelane_strategies::registry::Registry;
use corelane_strategies::rules::Rules;
use corelane_strategies::strategy::Strategy;

use super::any_feed::AnyFeed;
use super::reload::Names;
use super::soup::{Client, SoupClient};
use crate::config::{
    Config, FeedKind, FeedSection, Keyword, SinkFormat, SinkSection, SinkTarget, Source,
    StrategySection, TextSection, Topology,
};
use crate::egress::{EgressSpec, Filter, Format, SinkConfig, Target};
use crate::journal::{DurableConfig, JournalConfig, shard_dir};
use crate::reactor::{ConnSpec, Interface, ReactorSpec, SocketSpec};
use crate::recover::{SeenFeeds, ShardLeft};

/// Bytes of a datagram of text: a jumbo frame.
const TEXT_DATAGRAM_BYTES_MAX: usize = 9_216;

/// The chain that a configuration asks for on the shard of a number: the books its feeds need, then
/// its strategies.
///
/// # Errors
/// If a strategy refuses its settings.
pub fn build_chain(config: &Config, registry: &Registry, shard: usize) -> anyhow::Result<Chain> {
    let mut strategies: Vec<Box<dyn Strategy>> = Vec::new();
    for section in &config.strategies {
        let built = registry.build(&section.kind, &section.params);
        strategies.push(built.with_context(|| format!("strategy `{}`", section.name))?);
    }
    if !config.rules.is_empty() {
        let rules = Rules::on_shard(&config.rule_set, config.shares(), shard);
        strategies.push(Box::new(rules));
    }
    let wanted =
        |stream: StreamId| strategies.iter().any(|strategy| strategy.streams().contains(&stream));
    let has = |protocol| config.feeds.iter().any(|feed| feed.kind.is(protocol));
    let mut books: Vec<Box<dyn Strategy>> = Vec::new();
    if has(Protocol::Itch50) {
        let publish_orders = wanted(book::Order::STREAM);
        let orders_max = config.engine.orders_max;
        let options = L3Options { orders_max, publish_orders, ..L3Options::default() };
        books.push(Box::new(L3Books::new(options)));
    }
    if has(Protocol::IexDeep10) {
        books.push(Box::new(LevelBooks::new(true)));
    }
    Ok(Chain::new(books, strategies))
}

/// The feed of a section, the `index`th of the configuration.
///
/// # Errors
/// If it is of a stream that no rule file declares.
pub(crate) fn open_feed(config: &Config, index: usize) -> anyhow::Result<AnyFeed> {
    let section = &config.feeds[index];
    let feed = index as u8;
    match &section.kind {
        &FeedKind::Venue { protocol, transport, midnight, hold_max } => {
            let lines = match &section.source {
                Source::Lines { lines, .. } => lines.len() as u8,
                _ => 1,
            };
            let venue = FeedConfig { feed, protocol, transport, midnight, lines, hold_max };
            Ok(AnyFeed::Venue(Box::new(Feed::new(&venue))))
        }
        FeedKind::Text(text) => {
            let stream = config.stream(&text.stream);
            let stream = stream.with_context(|| format!("no stream `{}`", text.stream))?;
            // Datagrams have no first line.
            let is_stream = !matches!(section.source, Source::Lines { .. });
            let (format, separator) = (text.format, text.separator);
            let has_header = text.header && is_stream;
            let stream = &stream.declared;
            let text = TextConfig { feed, stream, format, has_header, separator };
            Ok(AnyFeed::Text(Box::new(TextFeed::new(&text))))
        }
    }
}

/// What one reactor opens, and to which feeds and lines its sockets and connections belong.
pub(super) struct Wiring {
    pub(super) spec: ReactorSpec,
    /// Feed and line of every socket.
    pub(super) sockets: Vec<(usize, u8)>,
    /// Feed of every connection.
    pub(super) conns: Vec<usize>,
    pub(super) clients: Vec<Client>,
}

/// The sockets and connections of a reactor; `seen` says where feeds of an earlier run go on.
///
/// # Errors
/// If a password cannot be had.
pub(super) fn wire(
    config: &Config,
    reactor: usize,
    seen: Option<&SeenFeeds>,
) -> anyhow::Result<Wiring> {
    let spec = ReactorSpec { backend: config.engine.backend, ..ReactorSpec::default() };
    let mut wiring = Wiring { spec, sockets: Vec::new(), conns: Vec::new(), clients: Vec::new() };
    for (index, feed) in config.feeds.iter().enumerate() {
        if feed.reactor != reactor {
            continue;
        }
        match &feed.source {
            Source::Lines { lines, interface, sender } => {
                for (line, group) in lines.iter().enumerate() {
                    let mut socket = SocketSpec::new(*group);
                    socket.interface = interface.as_ref().map(|name| parse_interface(name));
                    socket.source = match sender {
                        Some(std::net::IpAddr::V4(sender)) => Some(*sender),
                        Some(other) => {
                            anyhow::bail!("feed `{}`: sender {other} is not IPv4", feed.name)
                        }
                        None => None,
                    };
                    socket.rcvbuf = usize::try_from(feed.rcvbuf_bytes).unwrap_or(usize::MAX);
                    if matches!(feed.kind, FeedKind::Text(_)) {
                        wiring.spec.datagram_bytes_max = TEXT_DATAGRAM_BYTES_MAX;
                    }
                    wiring.spec.sockets.push(socket);
                    wiring.sockets.push((index, line as u8));
                }
            }
            Source::Soup { connect, username, password_env, session } => {
                let password = match password_env {
                    Some(name) => env::var(name).with_context(|| {
                        format!("feed `{}`: password variable {name}", feed.name)
                    })?,
                    None => String::new(),
                };
                let mut name = [b' '; 10];
                for (place, byte) in name.iter_mut().zip(session.bytes()) {
                    *place = byte;
                }
                let credentials = Credentials::new(username, &password);
                let mut first = 1;
                if let Some((session, next)) = seen.and_then(|seen| seen.place(index)) {
                    name.copy_from_slice(&session.id.0[..10]);
                    first = next.0;
                }
                let mut client = soupbintcp::Client::new(credentials, name, first);
                if let Some((session, next)) = seen.and_then(|seen| seen.over(index))
                    && let Some(over) = session.id.0.first_chunk()
                {
                    client = client.behind(*over, next.0);
                }
                wiring.clients.push(Client::Soup(SoupClient::new(client)));
                wiring.spec.conns.push(ConnSpec::new(*connect));
                wiring.conns.push(index);
            }
            Source::Connect(address) | Source::Listen(address) => {
                let mut spec = ConnSpec::new(*address);
                spec.listens = matches!(feed.source, Source::Listen(_));
                wiring.clients.push(Client::Plain);
                wiring.spec.conns.push(spec);
                wiring.conns.push(index);
            }
            Source::Capture => {}
        }
    }
    Ok(wiring)
}

fn parse_interface(name: &str) -> Interface {
    match name.parse() {
        Ok(interface) => interface,
        Err(never) => match never {},
    }
}

/// The sinks of a run: those that may block (files) or those that may not.
pub(super) fn sinks(config: &Config, blocking: bool) -> Vec<SinkConfig> {
    let sinks = config.sinks.iter().map(sink);
    sinks.filter(|sink| sink.target.blocks() == blocking).collect()
}

/// Every sink's name, and which actions it wants.
///
/// # Errors
/// If one names a stream that no action has.
pub(super) fn sink_filters(config: &Config) -> anyhow::Result<Vec<(String, Filter)>> {
    let (deciders, declared) = (deciders(config), config.rule_set.declared());
    let filters = config.sinks.iter().map(|section| {
        let filter = Filter::resolve(&sink(section), &deciders, declared)?;
        Ok((section.name.clone(), filter))
    });
    filters.collect()
}

fn sink(section: &SinkSection) -> SinkConfig {
    SinkConfig {
        name: section.name.clone(),
        target: match &section.target {
            SinkTarget::File(path) => Target::File(path.clone()),
            SinkTarget::Tcp(address) => Target::Tcp(*address),
            SinkTarget::Udp(address) => Target::Udp(*address),
        },
        format: match section.format {
            SinkFormat::Json => Format::Json,
            SinkFormat::Binary => Format::Binary,
        },
        streams: section.streams.clone(),
        strategies: Vec::new(),
        buffer_bytes: usize::try_from(section.buffer_bytes).unwrap_or(usize::MAX),
        stamps: section.stamps,
        acknowledged: section.acknowledged,
    }
}

/// What egress of some of the shards over some of the sinks needs to know; `left` is of all shards.
pub(super) fn egress_spec(
    config: &Config,
    sinks: Vec<SinkConfig>,
    shards: Range<usize>,
    live: bool,
    names: &Names,
    left: &[Option<ShardLeft>],
) -> EgressSpec {
    let noted = live && config.journal.enabled;
    let folders = shards.clone().map(|shard| shard_dir(&config.journal.dir, shard as u16));
    let past = |shard: usize| {
        let left = left.get(shard).and_then(Option::as_ref);
        left.map(|left| left.unconfirmed.past.clone()).unwrap_or_default()
    };
    EgressSpec {
        confirm_in: if noted { folders.collect() } else { Vec::new() },
        past: shards.clone().map(past).collect(),
        shards: shards.len(),
        sinks,
        strategies: deciders(config),
        later: Arc::clone(names),
        declared: config.rule_set.declared().to_vec(),
        ordered: shards.len() > 1 && !live,
        synced: config.journal.copy_dir().is_some(),
        live,
        ..EgressSpec::default()
    }
}

/// Everything that decides, in the order of its rule numbers: strategies, then rules.
#[must_use]
pub fn deciders(config: &Config) -> Vec<String> {
    let strategies = config.strategies.iter().map(|section| section.name.clone());
    strategies.chain(config.rule_set.names().map(str::to_owned)).collect()
}

/// The journal of a shard.
pub(super) fn journal_config(config: &Config, dir: &Path, shard: usize) -> JournalConfig {
    JournalConfig {
        shard: shard as u16,
        segment_bytes: usize::try_from(config.journal.segment_bytes).unwrap_or(usize::MAX),
        service_cpu: config.engine.service_core,
        config_hash: decision_hash(config),
        durable: config.journal.copy_dir().map(|dir| DurableConfig {
            durability: config.journal.durability,
            dir: dir.to_owned(),
            interval: Duration::from_nanos(config.journal.interval_ns),
            group_bytes: usize::try_from(config.journal.group_bytes).unwrap_or(usize::MAX),
            hot_segments: config.journal.hot_segments,
        }),
        ..JournalConfig::new(dir)
    }
}

/// A feed, as far as decisions depend on it.
fn feed_text(feed: &FeedSection) -> String {
    let (name, protocol) = (&feed.name, feed.kind.name());
    match &feed.kind {
        FeedKind::Venue { midnight, hold_max, .. } => {
            format!("{name} {protocol} {} {hold_max}\n", midnight.0)
        }
        FeedKind::Text(text) => {
            let TextSection { stream, header, separator, .. } = text;
            format!("{name} {protocol} {stream} {header} {separator}\n")
        }
    }
}

fn strategy_text(strategy: &StrategySection) -> String {
    format!("{} {} {:?}\n", strategy.name, strategy.kind, strategy.params)
}

/// Names what decides: feeds and strategies, and nothing of where things come from or go to.
fn decision_hash(config: &Config) -> u64 {
    let feeds = config.feeds.iter().map(feed_text);
    let strategies = config.strategies.iter().map(strategy_text);
    let rules = config.rules.iter().flat_map(|rules| {
        std::iter::once(rules.text.clone()).chain(rules.tables.values().cloned())
    });
    hash_text(&feeds.chain(strategies).chain(rules).collect::<String>())
}

/// Names what decides, rules apart: feeds, strategies and how many shards there are.
pub(crate) fn strategy_hash(config: &Config) -> u64 {
    let feeds = config.feeds.iter().map(feed_text);
    let strategies = config.strategies.iter().map(strategy_text);
    let shards = std::iter::once(config.engine.shards.to_string());
    hash_text(&feeds.chain(strategies).chain(shards).collect::<String>())
}

/// FNV-1a.
fn hash_text(text: &str) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325u64;
    text.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The first thing in which two configurations decide otherwise, rules apart.
pub(crate) fn first_difference(then: &Config, now: &Config) -> Option<String> {
    let shards = |config: &Config| config.engine.shards;
    if shards(then) != shards(now) {
        return Some(format!("{} shards then, {} now", shards(then), shards(now)));
    }
    if shards(now) > 1 && then.engine.topology != now.engine.topology {
        let word = |config: &Config| config.engine.topology.word();
        return Some(format!("{} then, {} now, with several shards", word(then), word(now)));
    }
    let fused = now.engine.topology == Topology::Fused;
    let of_feed = |feed: &FeedSection| {
        let reactor = if fused { format!(" {}", feed.reactor) } else { String::new() };
        format!("{}{reactor}", feed_text(feed).trim_end())
    };
    let feeds = |config: &Config| config.feeds.iter().map(of_feed).collect::<Vec<_>>();
    let strategies =
        |config: &Config| config.strategies.iter().map(strategy_text).collect::<Vec<_>>();
    differ("feed", &feeds(then), &feeds(now))
        .or_else(|| differ("strategy", &strategies(then), &strategies(now)))
}

/// The first of two lists that differs.
fn differ(what: &str, then: &[String], now: &[String]) -> Option<String> {
    let at = (0..then.len().max(now.len())).find(|&at| then.get(at) != now.get(at))?;
    let text = |list: &[String]| list.get(at).map_or("none", |text| text.trim_end()).to_owned();
    Some(format!("{what} {} was `{}` and is `{}`", at + 1, text(then), text(now)))
}
