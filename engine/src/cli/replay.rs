//! `corelane replay`: a capture to decisions, as the live run would have decided.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use corelane_strategies::registry::Registry;

use super::run::{conclude, stop_on_signals};
use crate::config::Config;
use crate::run::{Input, RunOptions, Speed, execute};

/// Arguments of `corelane replay`.
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// The configuration
    config: PathBuf,
    /// A capture (pcap, pcapng, BinaryFILE) or lines of text, plain, gzip or zstd; `-` for standard
    /// input
    #[arg(long, visible_alias = "input", alias = "capture", value_name = "FILE")]
    pcap: PathBuf,
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

/// Replays, then prints the report.
///
/// # Errors
/// As [`super::run::run`], and if the capture cannot be read.
pub fn run(args: &ReplayArgs, registry: &Registry, out: &mut impl Write) -> anyhow::Result<()> {
    let config = Config::load(&args.config, registry)?;
    let input = Input::Capture { path: args.pcap.clone(), speed: args.speed };
    let lines_of = args.feed.clone();
    let options = RunOptions { stop: stop_on_signals()?, lines_of, ..RunOptions::default() };
    let outcome = execute(&config, registry, &input, &options)?;
    conclude(&config, outcome, args.json, out)
}
