//! `corelane check`: says whether a configuration can be used and what it comes to.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use corelane_strategies::registry::Registry;

use crate::config::{Config, FeedKind, Source};

/// Arguments of `corelane check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// The configuration
    config: PathBuf,
    /// Print the configuration as it will be used, every default spelled out
    #[arg(long)]
    echo: bool,
    /// Print what every rule comes to: its operators, its state and that state's bound
    #[arg(long)]
    plan: bool,
}

/// Reads, builds and describes the configuration; opens no socket and no journal.
///
/// # Errors
/// If the configuration cannot be used.
pub fn run(args: &CheckArgs, registry: &Registry, out: &mut impl Write) -> anyhow::Result<()> {
    let config = Config::load(&args.config, registry)?;
    if args.echo {
        write!(out, "{config}")?;
        return Ok(());
    }
    let chain = crate::run::build_chain(&config, registry, 0)?;
    let engine = &config.engine;
    writeln!(
        out,
        "{}: {:?}, {} reactor(s), {} shard(s)",
        config.name, engine.topology, engine.reactors, engine.shards
    )?;
    for feed in &config.feeds {
        let source = match &feed.source {
            Source::Lines { lines, .. } => format!("{lines:?}"),
            Source::Soup { connect, .. } => format!("SoupBinTCP {connect}"),
            Source::Connect(address) => format!("TCP to {address}"),
            Source::Listen(address) => format!("TCP at {address}"),
            Source::Capture => "captures only".to_owned(),
        };
        let name = &feed.name;
        match &feed.kind {
            FeedKind::Venue { protocol, transport, .. } => {
                writeln!(out, "feed {name}: {protocol} over {transport}, {source}")?;
            }
            FeedKind::Text(text) => {
                let (format, stream) = (text.format, &text.stream);
                writeln!(out, "feed {name}: {format} of stream {stream}, {source}")?;
            }
        }
    }
    for stage in chain.stage_names() {
        writeln!(out, "stage {stage}")?;
    }
    if !config.rule_set.is_empty() {
        writeln!(out, "{} rule(s)", config.rule_set.len())?;
    }
    if args.plan {
        let placement = (engine.shards > 1).then(|| config.placement());
        write!(out, "{}", config.rule_set.explain(placement.as_ref()))?;
    }
    for sink in &config.sinks {
        writeln!(out, "sink {}: {:?}", sink.name, sink.target)?;
    }
    if config.journal.enabled {
        writeln!(out, "journal {}", config.journal.dir.display())?;
    } else {
        writeln!(out, "journal off: decisions can be neither replayed nor explained")?;
    }
    writeln!(out, "ok")?;
    Ok(())
}
