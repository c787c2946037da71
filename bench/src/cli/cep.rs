//! `corelane-bench cep` and `cep-serve`.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;
use corelane::sys::affinity;
use corelane_bench::cep::events::{Events, Query};
use corelane_bench::cep::peers::{Engine, Pass, Running, Setup, serve as answer};
use corelane_bench::stat::median;

/// Arguments of `corelane-bench cep`.
#[derive(Args, Debug)]
pub(crate) struct CepArgs {
    /// Which queries
    #[arg(long, value_delimiter = ',', default_value = "velocity,tumble,pattern,join")]
    queries: Vec<Query>,
    /// Which engines
    #[arg(long, value_delimiter = ',', default_value = "corelane,esper,siddhi,flink")]
    engines: Vec<Engine>,
    /// Events of a pass
    #[arg(long, default_value_t = 700_000)]
    events: usize,
    /// Passes before anything is measured
    #[arg(long, default_value_t = 4)]
    warm: usize,
    /// Measured passes of each engine, in turns there and back
    #[arg(long, default_value_t = 6)]
    rounds: usize,
    /// CPU that all engines run on, one at a time
    #[arg(long)]
    cpu: Option<usize>,
    /// Where the Java side was built
    #[arg(long, default_value = "target/peers/cep")]
    built: PathBuf,
    /// Another way to write the query, by number, for the peers
    #[arg(long)]
    variant: Option<usize>,
    /// Where the file of events is written
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
    /// Only write the files of events, for a profiler
    #[arg(long)]
    generate: bool,
}

/// Arguments of `corelane-bench cep-serve`.
#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// What is asked
    query: Query,
    /// Its events
    file: PathBuf,
    /// CPU to run on
    #[arg(long)]
    cpu: Option<usize>,
}

/// An engine and its measured passes.
struct Measured {
    running: Running,
    passes: Vec<Pass>,
}

pub(crate) fn serve(args: &ServeArgs) -> anyhow::Result<()> {
    answer(args.query, &args.file, args.cpu)
}

pub(crate) fn run(args: &CepArgs) -> anyhow::Result<()> {
    let binary = std::env::current_exe()?;
    let cpu = match args.cpu {
        Some(cpu) => cpu,
        None => *affinity::allowed()?.last().context("no CPU")?,
    };
    println!(
        "{} events a pass, {} passes before {} measured ones of each engine in turns, all on CPU \
         {cpu}",
        args.events, args.warm, args.rounds
    );
    let mut differs = Vec::new();
    for &query in &args.queries {
        let events = Events::generate(query, args.events);
        let name = format!("corelane-bench-{}-{}.events", query.name(), std::process::id());
        let file = args.dir.join(name);
        std::fs::write(&file, events.to_bytes())?;
        if args.generate {
            println!("{}", file.display());
            continue;
        }
        let setup = Setup {
            query,
            events: &file,
            binary: &binary,
            built: &args.built,
            cpu,
            variant: args.variant,
        };
        let equal = compare(args, &setup, events.list.len());
        std::fs::remove_file(&file)?;
        if !equal? {
            differs.push(query.name());
        }
    }
    ensure!(differs.is_empty(), "results differ: {}", differs.join(", "));
    Ok(())
}

/// Measures all engines with one query; returns whether all had the same results.
fn compare(args: &CepArgs, setup: &Setup<'_>, events: usize) -> anyhow::Result<bool> {
    println!("\n{}", setup.query.name());
    let mut engines: Vec<Measured> = Vec::new();
    for &engine in &args.engines {
        match Running::start(engine, setup).and_then(|running| warmed(running, args.warm)) {
            Ok(running) => engines.push(Measured { running, passes: Vec::new() }),
            Err(error) => println!("  {engine:?} cannot run: {error:#}"),
        }
    }
    // There and back, so that nobody is always first.
    for round in 0..args.rounds {
        let mut order: Vec<&mut Measured> = engines.iter_mut().collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for measured in order {
            measured.passes.push(measured.running.pass()?);
        }
    }
    let mut results = Vec::new();
    for measured in &mut engines {
        results.push(measured.running.end()?);
    }
    report(&engines, events);
    let Some(first) = results.first() else { return Ok(true) };
    let equal = results.iter().all(|result| result == first);
    if equal {
        let passes = args.warm + args.rounds;
        println!("  results equal: {} rows of {passes} passes, sum {:016x}", first.rows, first.sum);
    } else {
        for (measured, result) in engines.iter().zip(&results) {
            let name = &measured.running.identity.name;
            println!(
                "  RESULTS DIFFER: {name:12} {:>10} rows, sum {:016x}",
                result.rows, result.sum
            );
        }
    }
    Ok(equal)
}

fn warmed(mut running: Running, passes: usize) -> anyhow::Result<Running> {
    for _ in 0..passes {
        running.pass()?;
    }
    Ok(running)
}

fn report(engines: &[Measured], events: usize) {
    println!(
        "  {:22}{:>14}{:>26}{:>14}{:>24}",
        "", "events/s CPU", "least to greatest", "events/s wall", "Corelane is x as fast"
    );
    let rate = |ns: f64| events as f64 * 1e9 / ns;
    for measured in engines {
        let identity = &measured.running.identity;
        let cpu: Vec<f64> = measured.passes.iter().map(|pass| rate(pass.cpu_ns)).collect();
        let wall = measured.passes.iter().map(|pass| rate(pass.wall_ns)).collect();
        let least = cpu.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = cpu.iter().copied().fold(0.0, f64::max);
        let pairs = engines[0].passes.iter().zip(&measured.passes);
        let ratios: Vec<f64> = pairs.map(|(ours, theirs)| theirs.cpu_ns / ours.cpu_ns).collect();
        let (low, high) =
            ratios.iter().fold((f64::INFINITY, 0.0f64), |(l, h), &r| (l.min(r), h.max(r)));
        println!(
            "  {:22}{:>14.0}{:>26}{:>14.0}{:>24}",
            format!("{} {}", identity.name, identity.version),
            median(cpu),
            format!("{least:.0} to {greatest:.0}"),
            median(wall),
            format!("{:.1} ({low:.1} to {high:.1})", median(ratios)),
        );
    }
}
