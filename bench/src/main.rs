//! `corelane-bench`: every benchmark of this crate, by name. See the README beside this crate.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use corelane_bench::throughput::AS_CORELANE;
use corelane_strategies::registry::Registry;

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
    /// Wire to action from the intended send time, against the floor of bare recv and send
    Latency(cli::latency::LatencyArgs),
    /// The highest rate without loss, live and replayed, and what it costs
    Throughput(cli::throughput::ThroughputArgs),
    /// How cost grows with groups, symbols, keys, rules, shards and the size of records
    Scaling(cli::scaling::ScalingArgs),
    /// Appends against memcpy, appends while a segment rolls, rings
    Journal(cli::journal::JournalArgs),
    /// Decisions with a journal that survives a power cut, group commit, how fast it is verified
    Durable(cli::durable::DurableArgs),
    /// Starts: a journal decided over again, a snapshot of many keys, and what writing one costs
    Recovery(cli::recovery::RecoveryArgs),
    /// Instructions of small pieces of hot work against their baseline; see scripts/bench --check
    Gates(cli::gates::GatesArgs),
    /// Where the time of a message goes: decode, books, strategies, journal, and the whole replay
    Replay(cli::replay::ReplayArgs),
    /// What rules cost a record, against the bare loop of a shard
    Rules(cli::rules::RulesArgs),
    /// Rules against Esper, Siddhi and Flink: same events, same results; see scripts/peers
    Cep(cli::cep::CepArgs),
    /// Results as one HTML page, tables, .hgrm and .hlog files; several runs beside each other
    Report(cli::report::ReportArgs),
    /// What got better or worse from one run's results to another's; fails if anything got worse
    Compare(cli::report::CompareArgs),
    /// Corelane's side of `cep`, told on standard input when to begin
    #[command(hide = true)]
    CepServe(cli::cep::ServeArgs),
}

fn main() -> ExitCode {
    if std::env::var_os(AS_CORELANE).is_some() {
        return corelane::main(&Registry::builtin());
    }
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("corelane-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Decode(args) => cli::decode::run(&args),
        Command::Latency(args) => cli::latency::run(&args),
        Command::Throughput(args) => cli::throughput::run(&args),
        Command::Scaling(args) => cli::scaling::run(&args),
        Command::Journal(args) => {
            cli::journal::run(&args);
            Ok(())
        }
        Command::Durable(args) => cli::durable::run(&args),
        Command::Recovery(args) => cli::recovery::run(&args),
        Command::Gates(args) => cli::gates::run(&args),
        Command::Replay(args) => cli::replay::run(&args),
        Command::Rules(args) => cli::rules::run(&args),
        Command::Report(args) => cli::report::report(&args),
        Command::Compare(args) => cli::report::changes(&args),
        Command::Cep(args) => cli::cep::run(&args),
        Command::CepServe(args) => cli::cep::serve(&args),
    }
}
