//! Corelane's pieces beside their peers: `corelane-peers decoders|captures|rings|runtimes|journal`,
//! which `scripts/peers` builds and runs.
//!
//! Invariant: everyone gets the same bytes and must come to the same sum; who cannot run is left
//! out and the table says why.

mod captures;
mod decoders;
mod journal;
mod rings;
mod runtimes;
mod table;

use std::process::ExitCode;

use corelane::sys::affinity;

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    let run = match name.as_str() {
        "decoders" => decoders::run,
        "captures" => captures::run,
        "rings" => rings::run,
        "runtimes" => runtimes::run,
        "journal" => journal::run,
        _ => {
            eprintln!("usage: corelane-peers decoders|captures|rings|runtimes|journal");
            return ExitCode::from(64);
        }
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("corelane-peers {name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One CPU for each of two threads that talk to each other.
fn two_cpus() -> anyhow::Result<(usize, usize)> {
    let cpus = affinity::allowed()?;
    anyhow::ensure!(cpus.len() > 1, "two CPUs are needed");
    Ok((cpus[0], cpus[cpus.len() - 1]))
}
