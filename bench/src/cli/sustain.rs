//! `corelane-bench sustain`.

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use corelane::sys::affinity;
use corelane_bench::sustain::{Capture, Held, Plan, hold};

/// A rate that fails is tried again so often before it counts as too high.
const TRIES: usize = 2;

/// Arguments of `corelane-bench sustain`.
#[derive(Args, Debug)]
pub(crate) struct SustainArgs {
    /// Messages per second to hold
    #[arg(long, default_value_t = 1e6)]
    rate: f64,
    /// For so many seconds
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Then look for the highest rate that holds for so many seconds; 0 leaves that out
    #[arg(long, default_value_t = 10.0)]
    search_seconds: f64,
    /// Steps of that search, as a factor
    #[arg(long, default_value_t = 1.1)]
    step: f64,
    /// Messages of the session that is published over and over
    #[arg(long, default_value_t = 10_000_000)]
    messages: u64,
    /// Receive backend
    #[arg(long, default_value = "socket")]
    backend: String,
    /// Where captures and journals are written: a memory file system with 100 bytes a message
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
}

pub(crate) fn run(args: &SustainArgs) -> anyhow::Result<()> {
    let cpus = affinity::allowed()?;
    ensure!(cpus.len() > 1, "one CPU for each process is needed");
    let binary = std::env::current_exe()?;
    let capture = Capture::create(args.messages, &args.dir)?;
    let plan = Plan {
        binary: &binary,
        rate: args.rate,
        seconds: args.seconds,
        backend: &args.backend,
        engine_cpu: Some(cpus[0]),
        publisher_cpu: Some(cpus[cpus.len() - 1]),
        dir: &args.dir,
    };
    header();
    let first = hold(&plan, &capture)?;
    row(&plan, &first);
    if args.search_seconds <= 0.0 {
        return Ok(());
    }
    let (mut rate, mut highest) = (args.rate, None);
    loop {
        let plan = Plan { rate, seconds: args.search_seconds, ..plan.clone() };
        let mut held = hold(&plan, &capture)?;
        row(&plan, &held);
        for _ in 1..TRIES {
            if held.is_held() {
                break;
            }
            held = hold(&plan, &capture)?;
            row(&plan, &held);
        }
        if !held.is_held() {
            break;
        }
        highest = Some(rate);
        rate *= args.step;
    }
    match highest {
        Some(rate) => println!("highest rate that held: {:.2} M messages/s", rate / 1e6),
        None => println!("no rate held"),
    }
    Ok(())
}

fn header() {
    println!(
        "{:>9}{:>9}{:>13}{:>13}{:>10}{:>10}{:>12}{:>9}{:>9}{:>9}  held",
        "M msg/s",
        "achieved",
        "published",
        "received",
        "kernel",
        "missing",
        "duplicates",
        "dropped",
        "actions",
        "peak MB"
    );
}

fn row(plan: &Plan<'_>, held: &Held) {
    let verdict = match (held.is_lossless(), held.on_schedule) {
        (true, true) => "yes",
        (true, false) => "no: the publisher fell behind",
        (false, _) => "no: messages were lost",
    };
    println!(
        "{:>9.2}{:>9.2}{:>13}{:>13}{:>10}{:>10}{:>12}{:>9}{:>9}{:>9}  {verdict}",
        plan.rate / 1e6,
        held.achieved / 1e6,
        held.published,
        held.received,
        held.kernel_drops,
        held.missing,
        held.duplicates,
        held.dropped,
        held.actions,
        held.memory_peak_bytes >> 20,
    );
}
