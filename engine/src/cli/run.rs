//! `corelane run`: live feeds to decisions, until a signal, the end of the session, or a time.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use clap::Args;
use corelane_strategies::registry::Registry;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::config::{Config, parse_duration_ns};
use crate::run::{Input, Outcome, RunOptions, execute};

/// Arguments of `corelane run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The configuration
    config: PathBuf,
    /// End after so much time, as `60s`
    #[arg(long, value_parser = duration)]
    duration: Option<u64>,
    /// End when every feed has said that its session is over
    #[arg(long)]
    until_end: bool,
    /// End after so much silence, once something was received
    #[arg(long, value_parser = duration)]
    idle_exit: Option<u64>,
    /// Make this file once everything is open and receiving
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

fn duration(text: &str) -> Result<u64, String> {
    parse_duration_ns(text)
}

/// Runs live, then prints the report.
///
/// # Errors
/// If the configuration cannot be used, something cannot be opened, or the journal failed.
pub fn run(args: &RunArgs, registry: &Registry, out: &mut impl Write) -> anyhow::Result<()> {
    let config = Config::load(&args.config, registry)?;
    let options = RunOptions {
        stop: stop_on_signals()?,
        until_end: args.until_end,
        idle_exit_ns: args.idle_exit.unwrap_or(0),
        duration_ns: args.duration.unwrap_or(0),
        ready_file: args.ready_file.clone(),
        lines_of: None,
    };
    let outcome = execute(&config, registry, &Input::Live, &options)?;
    conclude(&config, outcome, args.json, out)
}

/// A flag that SIGINT and SIGTERM set. A second one ends the process at once.
pub(super) fn stop_on_signals() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .context("signal handlers")?;
    }
    Ok(stop)
}

/// Prints the report of a run and writes the files that the configuration asks for.
pub(super) fn conclude(
    config: &Config,
    outcome: Outcome,
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut report = outcome.report;
    if let Some(path) = &config.report.json {
        report.files.push((path.display().to_string(), "this report".to_owned()));
        report.write_json(path).with_context(|| format!("report {}", path.display()))?;
    }
    if json {
        writeln!(out, "{:#}", report.to_json())?;
    } else {
        write!(out, "{report}")?;
    }
    match outcome.failure {
        None => Ok(()),
        Some(error) => Err(error.context("the run ended early")),
    }
}
