//! `corelane-bench`: every benchmark of this crate, by name. See the README beside this crate.

use clap::{Parser, Subcommand};

mod cli;

/// Measures the engine against floors and peers, in turns and as ratios.
#[derive(Parser, Debug)]
#[command(name = "corelane-bench", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Where the time of a message goes: decode, books, strategies, journal, and the whole replay
    Replay(cli::replay::ReplayArgs),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Replay(args) => cli::replay::run(&args),
    }
}
