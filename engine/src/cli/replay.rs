//! `corelane replay`: a capture to decisions, as the live run would have decided; or a journal to
//! the decisions that were made, by what decided then or by other rules.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use corelane_feeds::units::Nanos;
use corelane_strategies::registry::Registry;

use super::run::{conclude, stop_on_signals};
use crate::config::{Config, RulesSection};
use crate::rerun::{Bound, RerunOptions, decided, rerun};
use crate::run::{Input, RunOptions, Speed, execute};

/// Arguments of `corelane replay`.
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// The configuration; with --journal the one that decided then, if left out
    #[arg(required_unless_present = "journal")]
    config: Option<PathBuf>,
    /// A capture (pcap, pcapng, BinaryFILE) or lines of text, plain, gzip or zstd; `-` for standard
    /// input
    #[arg(
        long,
        visible_alias = "input",
        alias = "capture",
        value_name = "FILE",
        required_unless_present = "journal",
        conflicts_with = "journal"
    )]
    pcap: Option<PathBuf>,
    /// The folder of an earlier run: decides again over its journal, compares every action with
    /// what was decided then, and ends with 1 if one differs
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// With --journal: what these rule files would have decided instead; ends with 0
    #[arg(long, value_name = "FILE", requires = "journal", num_args = 1..)]
    rules: Vec<PathBuf>,
    /// With --journal: compare from this on, a sequence number of the journal or an event time in
    /// nanoseconds with `ns` behind it; what comes before is decided all the same
    #[arg(long, value_name = "SEQ|TIME", requires = "journal", value_parser = bound)]
    from: Option<Bound>,
    /// With --journal: stop before this
    #[arg(long, value_name = "SEQ|TIME", requires = "journal", value_parser = bound)]
    until: Option<Bound>,
    /// With --journal: differences to show
    #[arg(long, value_name = "COUNT", default_value_t = 10, requires = "journal")]
    show: usize,
    /// Whose lines they are, if the configuration has several feeds of lines
    #[arg(long, value_name = "NAME")]
    feed: Option<String>,
    /// `original`, a factor as `10` or `0.5`, or `max`
    #[arg(long, default_value = "max", value_parser = speed)]
    speed: Speed,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

fn speed(text: &str) -> Result<Speed, String> {
    match text {
        "max" => Ok(Speed::Max),
        "original" => Ok(Speed::Times(1.0)),
        factor => {
            let times = factor.trim_end_matches('x').parse::<f64>().ok();
            let times = times.filter(|times| times.is_finite() && *times > 0.0);
            let times = times.ok_or("neither `original`, `max` nor a factor above 0")?;
            Ok(Speed::Times(times))
        }
    }
}

/// A place in a journal as the command line takes it.
pub(crate) fn bound(text: &str) -> Result<Bound, String> {
    let what = "neither a sequence number nor a time as 1577703600000000000ns";
    if let Some(ns) = text.strip_suffix("ns") {
        return ns.parse().map(|ns| Bound::Time(Nanos(ns))).map_err(|_| what.to_owned());
    }
    text.parse().map(Bound::Seq).map_err(|_| what.to_owned())
}

/// The configuration that decided when a journal was written, or the one that is named instead,
/// with the rules that ran then.
///
/// # Errors
/// If it cannot be read or used.
pub(super) fn decided_then(
    journal: &Path,
    config: Option<&Path>,
    registry: &Registry,
) -> anyhow::Result<Config> {
    match config {
        Some(config) => Config::load(config, registry),
        None => decided::load(journal, registry),
    }
}

/// Decides again over a journal.
fn again(
    journal: &Path,
    args: &ReplayArgs,
    registry: &Registry,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let then = decided_then(journal, args.config.as_deref(), registry)?;
    let mut now = then.clone();
    if !args.rules.is_empty() {
        let rules = args.rules.iter().map(|file| RulesSection::read(file));
        now.set_rules(rules.collect::<anyhow::Result<_>>()?)?;
    }
    let options = RerunOptions {
        journal: journal.to_owned(),
        from: args.from,
        until: args.until,
        other_rules: !args.rules.is_empty(),
        examples: args.show,
    };
    let rerun = rerun(&options, &then, &now, registry)?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &rerun)?;
        writeln!(out)?;
    } else {
        write!(out, "{rerun}")?;
    }
    if options.other_rules || rerun.is_same() {
        return Ok(());
    }
    anyhow::bail!("decided otherwise than then")
}

/// Replays, then prints the report.
///
/// # Errors
/// As [`super::run::run`], and if the capture cannot be read.
pub fn run(args: &ReplayArgs, registry: &Registry, out: &mut impl Write) -> anyhow::Result<()> {
    if let Some(journal) = &args.journal {
        return again(journal, args, registry, out);
    }
    // Both are there, or the command line would have been refused.
    let (Some(config), Some(path)) = (&args.config, &args.pcap) else { return Ok(()) };
    let config = Config::load(config, registry)?;
    let input = Input::Capture { path: path.clone(), speed: args.speed };
    let lines_of = args.feed.clone();
    let options = RunOptions { stop: stop_on_signals()?, lines_of, ..RunOptions::default() };
    let outcome = execute(&config, registry, &input, &options)?;
    conclude(&config, outcome, args.json, out)
}
