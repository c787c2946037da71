//! Feeds of lines and the streams that rule files declare for them.
//!
//! Invariant: a feed that passes has a stream with an event time, written in the feed's format, and
//! all of a stream's records can go to the shard of their key.

use corelane_strategies::diagnostics::{Diagnostics, nearest};

use super::{Config, ConfigError, FeedKind, Topology};

/// Looks whether every feed of lines can be read into its stream.
pub(super) fn check(config: &Config, path: &str, text: &str) -> Result<(), ConfigError> {
    let mut diagnostics = Diagnostics::default();
    for (index, feed) in config.feeds.iter().enumerate() {
        let FeedKind::Text(section) = &feed.kind else { continue };
        let place = config.stream_places.get(index).cloned().unwrap_or_default();
        let name = section.stream.as_str();
        let Some(stream) = config.stream(name) else {
            diagnostics.push(place, format!("unknown stream `{name}`"), "no rule file declares it");
            let streams = config.rule_set.declared_streams().iter();
            let known: Vec<&str> = streams.map(|stream| stream.declared.schema.name).collect();
            diagnostics.help(match nearest(name, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if known.is_empty() => "CREATE STREAM in a [[rules]] file declares one".into(),
                None => format!("declared are {}", known.join(", ")),
            });
            continue;
        };
        if stream.declared.time.is_none() {
            let title = format!("the stream `{name}` has no event time");
            diagnostics.push(place.clone(), title, "a feed brings it");
            diagnostics.help("CREATE STREAM ... WITH (time = 'a column of type TIMESTAMP(9)')");
        }
        if let Some(format) = stream.format.filter(|format| *format != section.format) {
            let title = format!("the stream `{name}` is declared as {format}");
            diagnostics.push(place.clone(), title, format!("this feed is {}", section.format));
        }
        let apart = config.feeds[..index].iter().find(|other| {
            matches!(&other.kind, FeedKind::Text(other) if other.stream == section.stream)
                && other.reactor != feed.reactor
        });
        if let Some(other) = apart.filter(|_| config.engine.topology == Topology::Fused) {
            let title = format!("`{}` brings `{name}` to another reactor", other.name);
            let label = "records of one key would be decided on by two shards";
            diagnostics.push(place, title, label);
            diagnostics.help("give both feeds the same `reactor`, or take the pipelined topology");
        }
    }
    diagnostics.into_result(path, text)
}
