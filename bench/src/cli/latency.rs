//! `corelane-bench latency`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use corelane::latency::human_ns;
use corelane::sys::affinity;
use corelane_bench::host::{self, Snapshot};
use corelane_bench::latency::{
    EngineSetup, Loop, Path, Rounds, Schedule, Setup, Side, Stall, Transport, Variant, measure,
};
use corelane_bench::perf;
use corelane_bench::results::{Measurement, Results};

/// What a round costs besides its own time: starting and ending an engine.
const START: Duration = Duration::from_millis(500);
/// Of fewer pairs an interval of confidence is none.
const ROUNDS_MIN: usize = 5;
/// For how long the host is watched before and after.
const WATCH: Duration = Duration::from_millis(500);

/// Arguments of `corelane-bench latency`.
#[derive(Args, Debug)]
pub(crate) struct LatencyArgs {
    /// Messages a second
    #[arg(long, default_value_t = 10_000.0)]
    rate: f64,
    /// Instead, the inter-arrival times of the packets of this capture, over and over
    #[arg(long)]
    bursts: Option<PathBuf>,
    /// So many times as fast as they were captured
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Seconds of a round that count
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Seconds before that, which do not
    #[arg(long, default_value_t = 0.3)]
    warm_up: f64,
    /// Rounds: in every second one the order is reversed
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Instead, as many rounds as fit into so many seconds, but at least five
    #[arg(long)]
    budget: Option<f64>,
    /// What messages go by
    #[arg(long, value_delimiter = ',', default_value = "multicast,unicast,tcp")]
    transports: Vec<String>,
    /// What they go through: `veth` makes two network namespaces and needs root
    #[arg(long, value_delimiter = ',', default_value = "loopback,veth")]
    paths: Vec<String>,
    /// Receive backends of the engine: socket, uring
    #[arg(long, value_delimiter = ',', default_value = "socket,uring")]
    backends: Vec<String>,
    /// Topologies of the engine: fused, pipelined
    #[arg(long, value_delimiter = ',', default_value = "fused")]
    topologies: Vec<String>,
    /// How its hot threads wait: spin, yield, park
    #[arg(long, value_delimiter = ',', default_value = "spin")]
    waiting: Vec<String>,
    /// Multicast groups that one reactor receives, messages to one of them at random
    #[arg(long, default_value_t = 1)]
    groups: usize,
    /// CPUs of the side under test: of the reactor, and of the shard; the first of this process
    #[arg(long, value_delimiter = ',')]
    engine_cpus: Vec<usize>,
    /// CPU of the generator; the last of this process
    #[arg(long)]
    generator_cpu: Option<usize>,
    /// Milliseconds of an interval of latency over time
    #[arg(long, default_value_t = 100)]
    interval: u64,
    /// Stall the engine for so many milliseconds in the middle of each round, to see it in the
    /// figures
    #[arg(long)]
    stall: Option<u64>,
    /// Count with `perf stat`, in a round of its own
    #[arg(long)]
    perf: bool,
    /// Write the results, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// What to call this run in them
    #[arg(long, default_value = "")]
    label: String,
    /// Where journals are written: a memory file system
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
}

/// A comparison: the floor and all engines over one transport and path.
struct Comparison<'a> {
    setup: Setup<'a>,
    variants: Vec<Variant>,
}

pub(crate) fn run(args: &LatencyArgs) -> anyhow::Result<()> {
    let begun = Instant::now();
    let cpus = affinity::allowed()?;
    ensure!(cpus.len() > 1, "one CPU for each side is needed");
    let generator_cpu = args.generator_cpu.unwrap_or(cpus[cpus.len() - 1]);
    // The side under test on the first: disk and timer interrupts tend to come on the last.
    let spare = cpus.iter().copied().filter(|cpu| *cpu != generator_cpu).take(2).collect();
    let engine_cpus = if args.engine_cpus.is_empty() { spare } else { args.engine_cpus.clone() };
    let schedule = match &args.bursts {
        Some(capture) => Schedule::of_capture(capture, args.speed)?,
        None => Schedule::constant(args.rate)?,
    };
    let mut results = Results { label: args.label.clone(), ..Results::new("latency") };
    results.machine = host::machine();
    let mut watched = engine_cpus.clone();
    watched.push(generator_cpu);
    results.states.push(host::spin(&watched, WATCH, "before")?);
    let during = Snapshot::take();
    let (paths, mut missing) = paths(args)?;
    let stall = args.stall.map(|ms| Stall {
        after: (schedule.rate() * (args.warm_up + args.seconds / 2.0)) as u64,
        time: Duration::from_millis(ms),
    });
    let mut comparisons = Vec::new();
    for path in &paths {
        for transport in &args.transports {
            let transport = clap::ValueEnum::from_str(transport, true);
            let setup = Setup {
                side: Side::Floor,
                transport: transport.map_err(anyhow::Error::msg)?,
                path,
                groups: args.groups,
                schedule: &schedule,
                time: Duration::from_secs_f64(args.seconds),
                warm_up: Duration::from_secs_f64(args.warm_up),
                kind: Loop::Open,
                engine_cpus: &engine_cpus,
                generator_cpu,
                interval: Duration::from_millis(args.interval),
                dir: &args.dir,
                stall,
                beside: None,
            };
            if setup.transport != Transport::Multicast && args.groups > 1 {
                continue;
            }
            let variants = variants(args, &setup);
            comparisons.push(Comparison { setup, variants });
        }
    }
    let rounds = rounds(args, &comparisons);
    println!(
        "wire to action from the intended send time, {:.0} messages/s; side under test on CPU \
         {engine_cpus:?}, generator on CPU {generator_cpu}; {rounds} rounds of {} s there and back",
        schedule.rate(),
        args.seconds
    );
    for comparison in &comparisons {
        let rows = compare(args, comparison, rounds)?;
        table(&rows);
        results.measurements.extend(rows);
    }
    results.measurements.append(&mut missing);
    results.states.push(Snapshot::take().since(&during, "during"));
    results.states.push(host::spin(&watched, WATCH, "after")?);
    super::machine::print(&results);
    if let Some(why) = perf::unavailable().filter(|_| args.perf) {
        println!("perf: {why}");
    }
    results.wall_ns = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
    if let Some(path) = &args.json {
        results.write(path)?;
    }
    Ok(())
}

/// The paths that can be had, and why the others cannot.
fn paths(args: &LatencyArgs) -> anyhow::Result<(Vec<Path>, Vec<Measurement>)> {
    let (mut paths, mut missing) = (Vec::new(), Vec::new());
    for name in &args.paths {
        match name.as_str() {
            "loopback" => paths.push(Path::Loopback),
            "veth" => match Path::veth() {
                Ok(path) => paths.push(path),
                Err(error) => {
                    let why = format!("{error:#}");
                    println!("veth: not measured: {why}");
                    let mut measurement = Measurement::new("latency/veth");
                    measurement.unavailable = Some(why);
                    missing.push(measurement);
                }
            },
            other => anyhow::bail!("a path `{other}`: loopback and veth are there"),
        }
    }
    Ok((paths, missing))
}

/// The floor, and an engine for every combination asked for.
fn variants(args: &LatencyArgs, setup: &Setup<'_>) -> Vec<Variant> {
    let mut head = format!("latency/{}/{}", setup.path.name(), setup.transport.name());
    if setup.groups > 1 {
        head += &format!("/{} groups", setup.groups);
    }
    if args.bursts.is_some() {
        head += "/bursts";
    }
    let mut variants = vec![Variant { name: format!("{head}/floor"), side: Side::Floor }];
    for topology in &args.topologies {
        for backend in &args.backends {
            for waiting in &args.waiting {
                variants.push(Variant {
                    name: format!("{head}/{backend}/{topology}/{waiting}"),
                    side: Side::Engine(EngineSetup {
                        backend: backend.clone(),
                        topology: topology.clone(),
                        waiting: waiting.clone(),
                    }),
                });
            }
        }
    }
    variants
}

/// How many rounds, all comparisons alike.
fn rounds(args: &LatencyArgs, comparisons: &[Comparison<'_>]) -> usize {
    let Some(budget) = args.budget else { return args.rounds.max(1) };
    let windows: usize = comparisons.iter().map(|comparison| comparison.variants.len()).sum();
    let window = args.seconds + args.warm_up + START.as_secs_f64();
    ((budget / (windows as f64 * window).max(1e-3)) as usize).max(ROUNDS_MIN)
}

/// Measures in turns, there and back: A B C, C B A, ...
fn compare(
    args: &LatencyArgs,
    comparison: &Comparison<'_>,
    rounds: usize,
) -> anyhow::Result<Vec<Measurement>> {
    let Comparison { setup, variants } = comparison;
    let mut rows: Vec<Rounds> =
        variants.iter().map(|variant| Rounds::new(variant, setup)).collect();
    let mut failed: Vec<Option<String>> = vec![None; variants.len()];
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..variants.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for place in order.into_iter().filter(|&place| failed[place].is_none()).collect::<Vec<_>>()
        {
            let setup = Setup { side: variants[place].side.clone(), ..setup.clone() };
            match measure(&setup) {
                Ok(window) => rows[place].add(&window),
                // Without the floor there is nothing to compare with.
                Err(error) if place == 0 => return Err(error.context(variants[0].name.clone())),
                Err(error) => failed[place] = Some(format!("{error:#}")),
            }
        }
    }
    for (place, variant) in variants.iter().enumerate().filter(|_| args.perf) {
        let beside = Some(perf::count_threads as _);
        let setup = Setup { side: variant.side.clone(), beside, ..setup.clone() };
        if failed[place].is_none() {
            rows[place].count(&measure(&setup).with_context(|| variant.name.clone())?);
        }
    }
    let (floor, _) = rows.split_first().context("no floor")?;
    let finish = |(place, row): (usize, &Rounds)| {
        if let Some(why) = &failed[place] {
            let mut measurement = Measurement::new(&variants[place].name);
            measurement.unavailable = Some(why.clone());
            return measurement;
        }
        row.finish((place > 0).then_some(floor))
    };
    Ok(rows.iter().enumerate().map(finish).collect())
}

fn table(rows: &[Measurement]) {
    println!(
        "\n{:44}{:>9}{:>9}{:>9}{:>9}{:>9}{:>6}  {:>24}  {:>24}{:>11}",
        "", "p50", "p90", "p99", "p99.9", "max", "lost", "p50/floor", "p99/floor", "disturbed"
    );
    for row in rows {
        if let Some(why) = &row.unavailable {
            println!("{:44}not measured: {why}", row.name);
            continue;
        }
        let value = |name| row.figure(name).map_or(f64::NAN, |figure| figure.value);
        print!("{:44}", row.name.trim_start_matches("latency/"));
        for name in ["p50", "p90", "p99", "p99.9", "max"] {
            print!("{:>9}", human_ns(value(name) as u64));
        }
        print!("{:>6}", value("lost"));
        for name in ["p50", "p99"] {
            let ratio =
                row.ratio(name).map(|r| format!("{:.2} [{:.2}, {:.2}]", r.value, r.low, r.high));
            print!("  {:>24}", ratio.unwrap_or_default());
        }
        println!("{:>9.0} %", value("disturbed") * 100.0);
        for note in &row.notes {
            println!("    {note}");
        }
    }
}
