//! `corelane-bench throughput`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use corelane::sys::affinity;
use corelane_bench::host::{self, Snapshot};
use corelane_bench::perf;
use corelane_bench::results::{Figure, Measurement, Rate, Results};
use corelane_bench::stat::median;
use corelane_bench::throughput::{
    Capture, Held, Plan, Replayed, Search, Topology, highest, hold, replay,
};

/// A rate that fails is tried again so often before it counts as too high.
const TRIES: usize = 2;
/// For how long the host is watched before and after.
const WATCH: Duration = Duration::from_millis(500);
/// What `perf` counts in system calls.
const SYSCALLS: &str = "perf.raw_syscalls:sys_enter";

/// Arguments of `corelane-bench throughput`.
#[derive(Args, Debug)]
pub(crate) struct ThroughputArgs {
    /// Receive backends: socket, uring
    #[arg(long, value_delimiter = ',', default_value = "socket,uring")]
    backends: Vec<String>,
    /// Where the search for the highest rate begins, messages a second
    #[arg(long, default_value_t = 1e6)]
    first: f64,
    /// Seconds for which a rate must hold
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// The search ends when the rates that held and failed are this close, as a factor
    #[arg(long, default_value_t = 1.1)]
    step: f64,
    /// Also hold this rate, and say what came of it
    #[arg(long)]
    rate: Option<f64>,
    /// For so many seconds
    #[arg(long, default_value_t = 60.0)]
    rate_seconds: f64,
    /// Shards of the replays that are pipelined; as many as fit the machine by default
    #[arg(long, value_delimiter = ',')]
    shards: Vec<usize>,
    /// Replays of each kind, in turns
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Messages of the session, which is published over and over
    #[arg(long, default_value_t = 4_000_000)]
    messages: u64,
    /// Write the results, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// What to call this run in them
    #[arg(long, default_value = "")]
    label: String,
    /// Where captures and journals are written: a memory file system with 200 bytes a message
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
}

pub(crate) fn run(args: &ThroughputArgs) -> anyhow::Result<()> {
    let begun = Instant::now();
    let cpus = affinity::allowed()?;
    ensure!(cpus.len() > 1, "one CPU for each process is needed");
    let (engine, publisher) = (cpus[0], cpus[cpus.len() - 1]);
    let binary = std::env::current_exe()?;
    let mut results = Results { label: args.label.clone(), ..Results::new("throughput") };
    results.machine = host::machine();
    results.states.push(host::spin(&[engine, publisher], WATCH, "before")?);
    let during = Snapshot::take();
    let capture = Capture::create(args.messages, &args.dir)?;
    println!(
        "live: {} messages over and over; engine on CPU {engine}, publisher on CPU {publisher}",
        args.messages
    );
    header();
    for backend in &args.backends {
        let plan = Plan {
            binary: &binary,
            rate: args.first,
            seconds: args.seconds,
            backend,
            waiting: "auto",
            engine_cpu: Some(engine),
            publisher_cpu: Some(publisher),
            dir: &args.dir,
            perf: false,
        };
        results.measurements.extend(live(args, &plan, &capture)?);
    }
    results.measurements.extend(replays(args, &binary, &capture, &cpus)?);
    results.states.push(Snapshot::take().since(&during, "during"));
    results.states.push(host::spin(&[engine, publisher], WATCH, "after")?);
    super::machine::print(&results);
    if let Some(why) = perf::unavailable() {
        println!("perf: {why}");
    }
    results.wall_ns = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
    args.json.as_ref().map_or(Ok(()), |path| results.write(path))
}

/// The highest rate of a backend, and what half of it costs.
fn live(
    args: &ThroughputArgs,
    plan: &Plan<'_>,
    capture: &Capture,
) -> anyhow::Result<Vec<Measurement>> {
    let mut rows = Vec::new();
    if let Some(rate) = args.rate {
        let plan = Plan { rate, seconds: args.rate_seconds, ..plan.clone() };
        let held = hold(&plan, capture)?;
        row(&plan, &held);
        let mut measurement = measurement(&format!("held at {:.1} M", rate / 1e6), &plan, &held);
        measurement.notes.push(held.verdict().to_owned());
        rows.push(measurement);
    }
    let search = Search { first: args.first, max: 1e8, step: args.step, tries: TRIES };
    let (mut best, mut tried) = (None, Vec::new());
    let found = highest(&search, |rate| {
        let plan = Plan { rate, ..plan.clone() };
        let held = hold(&plan, capture)?;
        row(&plan, &held);
        let verdict = held.verdict();
        tried.push(format!("{:.2} M messages/s: {verdict}", rate / 1e6));
        let is_held = held.is_held();
        if is_held && best.as_ref().is_none_or(|(highest, _)| rate > *highest) {
            best = Some((rate, held));
        }
        Ok(is_held)
    })?;
    let Some((rate, held)) = best.filter(|_| found.is_some()) else {
        println!("{}: no rate held", plan.backend);
        let mut measurement = Measurement::new(format!("throughput/live/{}", plan.backend));
        measurement.unavailable = Some("no rate held".to_owned());
        measurement.notes = tried;
        rows.push(measurement);
        return Ok(rows);
    };
    println!("{}: {:.2} M messages/s held", plan.backend, rate / 1e6);
    let plan_best = Plan { rate, ..plan.clone() };
    let mut highest = measurement("highest", &plan_best, &held);
    let figure = Figure::higher("rate_max", rate, "messages/s");
    highest.figures.insert(0, figure);
    highest.notes.append(&mut tried);
    rows.push(highest);
    rows.push(cost(&plan_best, capture)?);
    Ok(rows)
}

/// What half of a rate costs a packet, by a thread that sleeps when nothing is there: one that
/// spins costs all of its CPU whatever comes.
fn cost(plan: &Plan<'_>, capture: &Capture) -> anyhow::Result<Measurement> {
    let plan = Plan { rate: plan.rate / 2.0, waiting: "park", perf: true, ..plan.clone() };
    let held = hold(&plan, capture)?;
    row(&plan, &held);
    let mut measurement = measurement("cost", &plan, &held);
    let (datagrams, messages) = (held.datagrams.max(1) as f64, held.received.max(1) as f64);
    let cpu = held.cpu_ns as f64;
    measurement.figures.push(Figure::lower("cpu_per_packet", cpu / datagrams, "ns"));
    measurement.figures.push(Figure::lower("cpu_per_message", cpu / messages, "ns"));
    let receives = held.enters as f64 / datagrams;
    measurement.figures.push(Figure::lower("receives_per_packet", receives, "calls"));
    match held.perf.get(SYSCALLS) {
        Some(calls) => {
            let calls = calls / datagrams;
            measurement.figures.push(Figure::lower("syscalls_per_packet", calls, "calls"));
            println!(
                "{} at {:.2} M messages/s, parked: {:.0} ns of CPU and {calls:.2} system calls a \
                 packet",
                plan.backend,
                plan.rate / 1e6,
                cpu / datagrams
            );
        }
        None => {
            let why = perf::unavailable().unwrap_or_else(|| "perf counted nothing".to_owned());
            measurement.notes.push(format!("system calls were not counted: {why}"));
        }
    }
    Ok(measurement)
}

fn measurement(what: &str, plan: &Plan<'_>, held: &Held) -> Measurement {
    let name = format!("throughput/live/{}/{what}", plan.backend);
    let mut measurement = Measurement::new(name);
    measurement.set("backend", plan.backend);
    measurement.set("waiting", plan.waiting);
    measurement.set("topology", "fused");
    measurement.set("transport", "multicast");
    measurement.set("path", "loopback");
    measurement.set("seconds", plan.seconds);
    measurement.rate = Some(Rate { wanted: plan.rate, achieved: held.achieved });
    let seconds = held.received as f64 / held.achieved.max(1.0);
    let per_s = |count: u64| count as f64 / seconds.max(1e-9);
    measurement.figures = vec![
        Figure::higher("messages", per_s(held.received), "messages/s"),
        Figure::higher("datagrams", per_s(held.datagrams), "datagrams/s"),
        Figure::higher("bytes", per_s(held.bytes), "bytes/s"),
        Figure::lower("memory_peak", held.memory_peak_bytes as f64, "bytes"),
    ];
    measurement.threads.clone_from(&held.threads);
    measurement.counters = BTreeMap::from([
        ("published".to_owned(), held.published as f64),
        ("received".to_owned(), held.received as f64),
        ("kernel_drops".to_owned(), held.kernel_drops as f64),
        ("missing".to_owned(), held.missing as f64),
        ("duplicates".to_owned(), held.duplicates as f64),
        ("dropped".to_owned(), held.dropped as f64),
        ("actions".to_owned(), held.actions as f64),
    ]);
    measurement.counters.extend(held.perf.clone());
    measurement
}

fn header() {
    println!(
        "{:8}{:>6}{:>9}{:>9}{:>13}{:>13}{:>10}{:>10}{:>9}{:>9}  verdict",
        "backend",
        "wait",
        "M msg/s",
        "achieved",
        "published",
        "received",
        "kernel",
        "missing",
        "actions",
        "peak MB"
    );
}

fn row(plan: &Plan<'_>, held: &Held) {
    println!(
        "{:8}{:>6}{:>9.2}{:>9.2}{:>13}{:>13}{:>10}{:>10}{:>9}{:>9}  {}",
        plan.backend,
        plan.waiting,
        plan.rate / 1e6,
        held.achieved / 1e6,
        held.published,
        held.received,
        held.kernel_drops,
        held.missing,
        held.actions,
        held.memory_peak_bytes >> 20,
        held.verdict()
    );
}

/// Replays of every kind, in turns.
fn replays(
    args: &ThroughputArgs,
    binary: &Path,
    capture: &Capture,
    cpus: &[usize],
) -> anyhow::Result<Vec<Measurement>> {
    let shards = match args.shards.as_slice() {
        [] => (1..cpus.len()).take(4).collect(),
        shards => shards.to_vec(),
    };
    let (pcap, file) = (capture.pcap(), capture.file());
    // Fused on one CPU, its service thread included, and with the others beside.
    let mut kinds = vec![
        ("pcap/one CPU".to_owned(), &pcap, Topology::Fused, Some(cpus[0])),
        ("pcap/fused".to_owned(), &pcap, Topology::Fused, None),
        ("itch/fused".to_owned(), &file, Topology::Fused, None),
    ];
    for shards in shards {
        let name = format!("pcap/pipelined, {shards} shards");
        kinds.push((name, &pcap, Topology::Pipelined(shards), None));
    }
    let mut rounds: Vec<Vec<Replayed>> = vec![Vec::new(); kinds.len()];
    for _ in 0..args.rounds.max(1) {
        for ((_, path, topology, cpu), rounds) in kinds.iter().zip(&mut rounds) {
            rounds.push(replay(binary, (capture, path), *topology, *cpu, &args.dir)?);
        }
    }
    println!(
        "\n{:32}{:>12}{:>12}{:>16}{:>10}",
        "replay", "M msg/s", "MB/s", "CPU ns/message", "peak MB"
    );
    let mut rows = Vec::new();
    for ((name, path, topology, _), rounds) in kinds.iter().zip(&rounds) {
        let bytes = std::fs::metadata(path)?.len() as f64;
        let of = |value: &dyn Fn(&Replayed) -> f64| rounds.iter().map(value).collect::<Vec<_>>();
        let rates = of(&|replayed| replayed.messages as f64 * 1e9 / replayed.wall_ns);
        let bytes = of(&|replayed| bytes * 1e9 / replayed.wall_ns);
        let cpu = of(&|replayed| replayed.cpu_ns / replayed.messages as f64);
        let memory = of(&|replayed| replayed.memory_peak_bytes);
        let mut row = Measurement::new(format!("throughput/replay/{name}"));
        row.set("topology", if *topology == Topology::Fused { "fused" } else { "pipelined" });
        let figure = |value: Figure, rounds: Vec<f64>| value.with_rounds(rounds);
        println!(
            "{name:32}{:>12.2}{:>12.0}{:>16.0}{:>10.0}",
            median(rates.clone()) / 1e6,
            median(bytes.clone()) / 1e6,
            median(cpu.clone()),
            median(memory.clone()) / 1_048_576.0
        );
        row.figures = vec![
            figure(Figure::higher("rate", median(rates.clone()), "messages/s"), rates),
            figure(Figure::higher("bytes", median(bytes.clone()), "bytes/s"), bytes),
            figure(Figure::lower("cpu_per_message", median(cpu.clone()), "ns"), cpu),
            figure(Figure::lower("memory_peak", median(memory.clone()), "bytes"), memory),
        ];
        rows.push(row);
    }
    Ok(rows)
}
