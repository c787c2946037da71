//! The command line: what `corelane` and every program that brings its own strategies offers.
//!
//! Invariant: results go to stdout, logs and progress to stderr; every command ends with a code of
//! [`exit`].

pub mod check;
pub mod doctor;
pub mod exit;
pub mod explain;
pub mod list;
pub mod replay;
pub mod run;
pub mod score;
pub mod state;
pub mod test;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use corelane_strategies::registry::Registry;

/// Feeds in, decisions out, in microseconds; journalled, replayable, measured.
#[derive(Parser, Debug)]
#[command(name = "corelane", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Receive live feeds and decide until SIGINT, SIGTERM or --duration
    Run(run::RunArgs),
    /// Decide over a capture as the live run would have, or again over a journal
    Replay(replay::ReplayArgs),
    /// Say why an action was taken
    Explain(explain::ExplainArgs),
    /// Say what a run kept at a record: books, windows, partial matches
    State(state::StateArgs),
    /// Check a configuration and say what it comes to
    Check(check::CheckArgs),
    /// Test rules on recorded cases: records in, actions expected
    Test(test::TestArgs),
    /// Say what is in a capture
    Inspect(crate::inspect::InspectArgs),
    /// Put a capture on the wire
    Publish(crate::publish::PublishArgs),
    /// Make a synthetic feed
    Generate(crate::generate::GenerateArgs),
    /// Look into journals
    #[command(subcommand)]
    Journal(crate::journal::cli::JournalCommand),
    /// Compare or sort files of actions
    #[command(subcommand)]
    Actions(crate::egress::cli::ActionsCommand),
    /// Alerts found against episodes planted
    Score(score::ScoreArgs),
    /// Look at this host and say what to change, and why
    Doctor(doctor::DoctorArgs),
    /// Run the engine in simulated worlds where everything goes wrong
    Simulate(crate::simulate::SimulateArgs),
    /// What this program knows
    List(list::ListArgs),
}

/// Runs the command line of this process with the strategies of `registry`: the whole `main` of a
/// program that brings its own.
#[must_use]
pub fn main(registry: &Registry) -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli.command, registry) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed stderr is nothing more that could be reported.
            let _ = writeln!(io::stderr(), "corelane: {error:#}");
            ExitCode::from(exit::code(&error))
        }
    }
}

fn dispatch(command: Command, registry: &Registry) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match command {
        Command::Run(args) => run::run(&args, registry, &mut out),
        Command::Replay(args) => replay::run(&args, registry, &mut out),
        Command::Explain(args) => explain::run(&args, registry, &mut out),
        Command::State(args) => state::run(&args, registry, &mut out),
        Command::Check(args) => check::run(&args, registry, &mut out),
        Command::Test(args) => test::run(&args, registry, &mut out),
        Command::Inspect(args) => crate::inspect::run(&args, &mut out),
        Command::Publish(args) => args.run(),
        Command::Generate(args) => args.run(),
        Command::Journal(command) => crate::journal::cli::run(&command, registry, &mut out),
        Command::Actions(command) => crate::egress::cli::run(&command, &mut out),
        Command::Score(args) => score::run(&args, &mut out),
        Command::Doctor(args) => doctor::run(&args, registry, &mut out),
        Command::Simulate(args) => crate::simulate::run(&args, registry, &mut out),
        Command::List(args) => list::run(&args, registry, &mut out),
    }
}

/// `corelane ... | head` is no failure.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kind = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    kind.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
