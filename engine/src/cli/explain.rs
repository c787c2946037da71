//! `corelane explain`: why an action was taken.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use corelane_strategies::action::ActionId;
use corelane_strategies::registry::Registry;

use super::replay::decided_then;
use crate::rerun::explain;

/// Arguments of `corelane explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// The action, as `0-1a2b3c4d-123456-2-0`
    id: ActionId,
    /// The folder of the run
    #[arg(long, value_name = "DIR")]
    journal: PathBuf,
    /// The configuration, if the journal has none
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A file of actions with stamps, which say when it was sent; any that the run wrote by default
    #[arg(long, value_name = "FILE")]
    actions: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the action, its cause, what the rule looked at and its text, and how long it took.
///
/// # Errors
/// If the journal has no such action, or a file cannot be read.
pub fn run(args: &ExplainArgs, registry: &Registry, out: &mut impl Write) -> anyhow::Result<()> {
    let config = decided_then(&args.journal, args.config.as_deref(), registry)?;
    let actions = args.actions.as_deref();
    let explained = explain(&args.journal, actions, &args.id, &config, registry)?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &explained)?;
        writeln!(out)?;
    } else {
        write!(out, "{explained}")?;
    }
    Ok(())
}
