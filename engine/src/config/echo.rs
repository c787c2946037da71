//! A configuration back as text: what a run really uses, every default spelled out.
//!
//! Invariant: reading the text gives the same configuration.

use std::fmt::{self, Display};

use corelane_feeds::text::Format;
use corelane_strategies::registry::ParamValue;

use super::value::Keyword;
use super::{
    Config, FeedKind, FeedSection, JournalSection, SinkSection, SinkTarget, Source, StrategySection,
};
use crate::journal::Retention;

/// A TOML basic string.
fn quoted(text: impl Display) -> String {
    toml::Value::String(text.to_string()).to_string()
}

fn list<T: Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(T::to_string).collect();
    format!("[{}]", items.join(", "))
}

impl Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let engine = &self.engine;
        writeln!(f, "name = {}\n\n[engine]", quoted(&self.name))?;
        writeln!(f, "topology = \"{}\"", engine.topology.word())?;
        writeln!(f, "reactors = {}\nshards = {}", engine.reactors, engine.shards)?;
        writeln!(f, "reactor_cores = {}", list(&engine.reactor_cores))?;
        writeln!(f, "shard_cores = {}", list(&engine.shard_cores))?;
        if let Some(core) = engine.service_core {
            writeln!(f, "service_core = {core}")?;
        }
        writeln!(f, "wait = \"{}\"\nbackend = \"{}\"", engine.wait.word(), engine.backend.word())?;
        writeln!(f, "ring_slots = {}", engine.ring_slots)?;
        writeln!(f, "orders_max = {}", engine.orders_max)?;
        writeln!(f, "\n[journal]\nenabled = {}", self.journal.enabled)?;
        writeln!(f, "dir = {}", quoted(self.journal.dir.display()))?;
        writeln!(f, "segment = {}", self.journal.segment_bytes)?;
        writeln!(f, "start = \"{}\"", self.journal.start.word())?;
        writeln!(f, "snapshot_every = {}", self.journal.snapshot_every)?;
        writeln!(f, "snapshots_max = {}", self.journal.snapshots_max)?;
        write_retention(f, &self.journal)?;
        write_durability(f, &self.journal)?;
        self.feeds.iter().try_for_each(|feed| write_feed(f, feed))?;
        self.strategies.iter().try_for_each(|strategy| write_strategy(f, strategy))?;
        for rules in &self.rules {
            writeln!(f, "\n[[rules]]\nfile = {}", quoted(rules.file.display()))?;
        }
        self.sinks.iter().try_for_each(|sink| write_sink(f, sink))?;
        let report = &self.report;
        writeln!(f, "\n[report]")?;
        for (key, path) in [("json", &report.json), ("hgrm", &report.hgrm), ("hlog", &report.hlog)]
        {
            if let Some(path) = path {
                writeln!(f, "{key} = {}", quoted(path.display()))?;
            }
        }
        Ok(())
    }
}

fn write_retention(f: &mut fmt::Formatter<'_>, journal: &JournalSection) -> fmt::Result {
    let Retention { bytes_max, age_max, segments_max, .. } = journal.retain;
    if let Some(bytes) = bytes_max {
        writeln!(f, "retain_bytes = {bytes}")?;
    }
    if let Some(age) = age_max {
        writeln!(f, "retain_age = \"{}ns\"", age.as_nanos())?;
    }
    if let Some(segments) = segments_max {
        writeln!(f, "retain_segments = {segments}")?;
    }
    Ok(())
}

fn write_durability(f: &mut fmt::Formatter<'_>, journal: &JournalSection) -> fmt::Result {
    writeln!(f, "durability = \"{}\"", journal.durability.word())?;
    if let Some(dir) = &journal.durable_dir {
        writeln!(f, "durable_dir = {}", quoted(dir.display()))?;
    }
    writeln!(f, "interval = \"{}ns\"\ngroup = {}", journal.interval_ns, journal.group_bytes)?;
    writeln!(f, "hot_segments = {}", journal.hot_segments)
}

fn write_feed(f: &mut fmt::Formatter<'_>, feed: &FeedSection) -> fmt::Result {
    writeln!(f, "\n[[feed]]\nname = {}", quoted(&feed.name))?;
    writeln!(f, "protocol = \"{}\"", feed.kind.name())?;
    if let FeedKind::Text(text) = &feed.kind {
        writeln!(f, "stream = {}", quoted(&text.stream))?;
        if text.format == Format::Csv {
            let separator = quoted(char::from(text.separator));
            writeln!(f, "header = {}\nseparator = {separator}", text.header)?;
        }
    }
    match &feed.source {
        Source::Lines { lines, interface, sender } => {
            let quoted_lines: Vec<String> = lines.iter().map(quoted).collect();
            writeln!(f, "lines = {}", list(&quoted_lines))?;
            if let Some(interface) = interface {
                writeln!(f, "interface = {}", quoted(interface))?;
            }
            if let Some(sender) = sender {
                writeln!(f, "sender = {}", quoted(sender))?;
            }
        }
        Source::Soup { connect, username, password_env, session } => {
            writeln!(f, "connect = {}\nusername = {}", quoted(connect), quoted(username))?;
            if let Some(password_env) = password_env {
                writeln!(f, "password_env = {}", quoted(password_env))?;
            }
            writeln!(f, "session = {}", quoted(session))?;
        }
        Source::Connect(address) => writeln!(f, "connect = {}", quoted(address))?,
        Source::Listen(address) => writeln!(f, "listen = {}", quoted(address))?,
        Source::Capture => {}
    }
    writeln!(f, "reactor = {}\nrcvbuf = {}", feed.reactor, feed.rcvbuf_bytes)?;
    if let FeedKind::Venue { midnight: at, hold_max, .. } = &feed.kind {
        writeln!(f, "midnight = {}\nhold_max = {hold_max}", midnight(at.0))?;
    }
    writeln!(f, "tick = \"{}ns\"", feed.tick_ns)
}

/// A TOML date-time in UTC.
fn midnight(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let (mut days, second) = (seconds / 86_400, seconds % 86_400);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
}

fn write_strategy(f: &mut fmt::Formatter<'_>, strategy: &StrategySection) -> fmt::Result {
    writeln!(f, "\n[[strategy]]\ntype = {}", quoted(&strategy.kind))?;
    writeln!(f, "name = {}", quoted(&strategy.name))?;
    for (key, value) in strategy.params.iter() {
        match value {
            ParamValue::Int(value) => writeln!(f, "{key} = {value}")?,
            ParamValue::Float(value) => writeln!(f, "{key} = {value:?}")?,
            ParamValue::Bool(value) => writeln!(f, "{key} = {value}")?,
            ParamValue::Text(value) => writeln!(f, "{key} = {}", quoted(value))?,
            ParamValue::DurationNs(value) => writeln!(f, "{key} = \"{value}ns\"")?,
        }
    }
    Ok(())
}

fn write_sink(f: &mut fmt::Formatter<'_>, sink: &SinkSection) -> fmt::Result {
    writeln!(f, "\n[[sink]]\nname = {}", quoted(&sink.name))?;
    match &sink.target {
        SinkTarget::File(path) => {
            writeln!(f, "type = \"file\"\npath = {}", quoted(path.display()))?;
        }
        SinkTarget::Tcp(address) => writeln!(f, "type = \"tcp\"\naddress = {}", quoted(address))?,
        SinkTarget::Udp(address) => writeln!(f, "type = \"udp\"\naddress = {}", quoted(address))?,
    }
    writeln!(f, "format = \"{}\"", sink.format.word())?;
    let streams: Vec<String> = sink.streams.iter().map(quoted).collect();
    writeln!(f, "streams = {}\nbuffer = {}", list(&streams), sink.buffer_bytes)?;
    writeln!(f, "stamps = {}\nacknowledged = {}", sink.stamps, sink.acknowledged)
}
