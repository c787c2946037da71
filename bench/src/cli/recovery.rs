//! `corelane-bench recovery`.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use clap::Args;
use corelane::sys::affinity;
use corelane_bench::recovery::{Accounts, Ran, start};
use corelane_bench::stat::median;
use corelane_bench::throughput::{Capture, Plan, Search, highest, hold, hold_then};

/// Arguments of `corelane-bench recovery`.
#[derive(Args, Debug)]
pub(crate) struct RecoveryArgs {
    /// Starts of each kind, of which the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds for which a live rate must hold
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Messages of the session that is decided over again
    #[arg(long, default_value_t = 4_000_000)]
    messages: u64,
    /// Keys of the windows in a snapshot
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// Events a second that fill them
    #[arg(long, default_value_t = 150_000.0)]
    rate: f64,
    /// Where captures and journals are written: a memory file system
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
}

pub(crate) fn run(args: &RecoveryArgs) -> anyhow::Result<()> {
    let cpus = affinity::allowed()?;
    ensure!(cpus.len() > 1, "one CPU for each process is needed");
    let binary = std::env::current_exe()?;
    let cpus = (cpus[0], cpus[cpus.len() - 1]);
    books(args, &binary, cpus)?;
    keys(args, &binary, cpus)
}

/// The highest live rate, and the same session decided over again at a start.
fn books(args: &RecoveryArgs, binary: &Path, cpus: (usize, usize)) -> anyhow::Result<()> {
    let capture = Capture::create(args.messages, &args.dir)?;
    let plan = Plan {
        binary,
        rate: 1e6,
        seconds: args.seconds,
        backend: "socket",
        waiting: "auto",
        engine_cpu: Some(cpus.0),
        publisher_cpu: Some(cpus.1),
        dir: &args.dir,
        perf: false,
    };
    let search = Search { first: 1e6, max: 32e6, step: 1.1, tries: 2 };
    let live =
        highest(&search, |rate| Ok(hold(&Plan { rate, ..plan.clone() }, &capture)?.is_held()))?;
    let Some(live) = live else {
        println!("recovery: no rate held live, so there is nothing to compare with");
        return Ok(());
    };
    let (held, rates) = hold_then(&plan, &capture, |config| {
        let rate = |_| start(binary, config).map(|it| it.records / it.recovered);
        (0..args.rounds).map(rate).collect::<anyhow::Result<Vec<f64>>>()
    })?;
    ensure!(held.is_held(), "a million a second did not hold: {}", held.verdict());
    let rate = median(rates);
    println!(
        "recovery with books and three strategies, every action compared: {:.2} M records/s on one \
         core; highest live rate, a core for the engine, {:.2} M messages/s: {:.2} times as fast \
         (goal 3)",
        rate / 1e6,
        live / 1e6,
        rate / live
    );
    Ok(())
}

/// Snapshots of many keys: what they cost while they are written, and a start from one.
fn keys(args: &RecoveryArgs, binary: &Path, cpus: (usize, usize)) -> anyhow::Result<()> {
    let events = args.keys + args.keys / 2;
    let accounts = Accounts::new(args.keys, events, args.rate, cpus, &args.dir)?;
    let (_, without) = accounts.run(binary, "without", 0)?;
    let (config, with) = accounts.run(binary, "with", args.keys / 4)?;
    println!("a packet of lines on the hot thread, {} keys with windows:", args.keys);
    for (name, Ran { packet_ns: [p50, p9999, max], .. }) in
        [("without snapshots", &without), ("with snapshots", &with)]
    {
        println!(
            "  {name:<18} p50 {:.1} us, p99.99 {:.0} us, longest {:.0} us",
            p50 / 1e3,
            p9999 / 1e3,
            max / 1e3
        );
    }
    println!(
        "  {} snapshots, the last of {:.0} MiB; the longest took its own thread {:.2} s",
        with.snapshots,
        with.snapshot_bytes / f64::from(1 << 20),
        with.snapshot_seconds
    );
    let starts = (0..args.rounds).map(|_| start(binary, &config));
    let starts = starts.collect::<anyhow::Result<Vec<_>>>()?;
    let of = |figure: fn(&corelane_bench::recovery::Started) -> f64| {
        median(starts.iter().map(figure).collect())
    };
    println!(
        "start from the snapshot at entry {:.0}, {:.0} records behind it: {:.2} s of recovery, \
         ready after {:.2} s (goal 2)",
        of(|it| it.snapshot),
        of(|it| it.records),
        of(|it| it.recovered),
        of(|it| it.ready)
    );
    Ok(())
}
