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
    /// The ITCH decoder against the crate itchy
    Decode(cli::decode::DecodeArgs),
    /// Where the time of a message goes: decode, books, strategies, journal, and the whole replay
    Replay(cli::replay::ReplayArgs),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Decode(args) => cli::decode::run(&args),
        Command::Replay(args) => cli::replay::run(&args),
    }
}
