//! The service thread of a run: starts the others, collects what they measure, ends them in order.
//!
//! Invariant: threads end in the direction of the flow, each when all before it are gone: nothing
//! that was received is lost on the way.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use corelane_strategies::registry::Registry;

use super::journal::open_journal;
use super::notify::Notifier;
use super::past::Past;
use super::plan;
use super::reload::{Names, RuleWatch};
use super::router::Router;
use super::setup::{Out, Setup, Shape};
use super::threads::{self, Opened, Orders, ReactorEnd};
use super::{Input, Outcome, RunOptions, Speed};
use crate::capture_file::{Capture, Recording};
use crate::cli::exit::Failure;
use crate::clock::Clock;
use crate::config::{Config, FeedKind, Source};
use crate::egress::{self, Egress, EgressStats, SystemEdges};
use crate::latency::LatencyCollector;
use crate::reactor::Waiting;
use crate::report::{self, RingReport, RunReport};
use crate::ring::{self, RecordProducer};
use crate::shard::{Shard, ShardEnd};

/// The interval of histograms and of the interval log.
const LATENCY_INTERVAL: Duration = Duration::from_secs(1);
/// How often the service thread looks up.
const LOOK_UP: Duration = Duration::from_millis(10);
/// What sinks get at the end for what still waits.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

type ShardThread = JoinHandle<anyhow::Result<ShardEnd<Out>>>;
type FusedThread = JoinHandle<anyhow::Result<ReactorEnd<Shard<Out>>>>;
type ReactorThread = JoinHandle<anyhow::Result<ReactorEnd<Router>>>;

/// The threads of a run.
#[derive(Default)]
struct Threads {
    fused: Vec<FusedThread>,
    reactors: Vec<ReactorThread>,
    shards: Vec<ShardThread>,
    egress: Option<JoinHandle<EgressStats>>,
}

/// Runs until the input is over or `options` say so; returns what it came to.
///
/// # Errors
/// If something cannot be opened, or a thread fails. A journal that failed on the way is in the
/// outcome, with all that was counted until then.
pub fn execute(
    config: &Config,
    registry: &Registry,
    input: &Input,
    options: &RunOptions,
) -> anyhow::Result<Outcome> {
    let shape = Shape::of(config, input);
    crate::sys::sigbus::install();
    let started_ns = Clock::new().now().0;
    // What can go wrong without a trace does so before an earlier journal is moved.
    if shape.live && config.feeds.iter().all(|feed| feed.source == Source::Capture) {
        let what = "no feed of this configuration has `lines` or `connect`: nothing to receive";
        return Err(Failure::config(what).into());
    }
    let source = match input {
        Input::Live => None,
        Input::Capture { path, speed } => Some(open(config, path, *speed, options)?),
    };
    let journal = open_journal(config, registry, shape.live, |earlier| {
        eprintln!("corelane: the earlier journal is kept as {}", earlier.display());
    })?;
    let (_locks, past) = (journal.locks, Past::of(journal.recovery));
    if let Some(report) = &past.report {
        eprintln!("corelane: {report}");
    }
    // An earlier run is gone on with by the rules that it ended with, which then change.
    let (wanted, config) = (config, past.config.as_ref().unwrap_or(config));
    let recovered_report = past.report.clone();
    let (ready, readiness) = mpsc::channel();
    let stop = Arc::new(AtomicBool::new(false));
    let orders = Orders {
        core: None,
        waiting: shape.waiting,
        stop: Arc::clone(&stop),
        ready,
        until_end: options.until_end,
        idle_exit_ns: options.idle_exit_ns,
    };
    let mut latency = LatencyCollector::new(LATENCY_INTERVAL, Clock::new().now());
    if let Some(path) = &config.report.hlog {
        latency.log_to(path).with_context(|| format!("interval log {}", path.display()))?;
    }
    let names: Names = Arc::new(RwLock::new(plan::deciders(config)));
    let watched = shape.live && !wanted.rules.is_empty();
    let ran = past.ran();
    let rules = watched.then(|| RuleWatch::new(wanted, ran, Arc::clone(&names))).transpose()?;
    let mut setup = Setup {
        config,
        registry,
        shape,
        latency,
        rings: Vec::new(),
        to_egress: Vec::new(),
        orders,
        names,
        rules,
        left: past.left,
        seen: past.seen,
        began: past.began,
        shadows: Vec::new(),
        stepped_shadows: Vec::new(),
        edges: Arc::new(SystemEdges),
        stepped: None,
    };
    let mut threads = Threads::default();
    let started = start(&mut setup, source, &mut threads);
    let started = started.and_then(|count| await_ready(&readiness, count));
    let started = started.and_then(|choices| say_ready(choices, options));
    let mut notifier = Notifier::from_env();
    let (begun, cpu_ns) = (Instant::now(), report::process_cpu_ns());
    let logged = started.as_ref().map_or(Ok(()), |_| {
        notifier.ready();
        supervise(&mut setup, &threads, options, &stop, &mut notifier)
    });
    notifier.stopping();
    // Whatever happened, the threads end in order: journals get closed.
    stop.store(true, Ordering::Relaxed);
    let ended = end(threads, &setup);
    let shadows = std::mem::take(&mut setup.shadows);
    let shadows = shadows.into_iter().map(|shadow| shadow.finish(PATIENCE)).collect::<Vec<_>>();
    // Why a thread could not start says more than that it ended.
    let choices = started?;
    let mut outcome = ended?;
    let (times, reloads, refused) = setup.rules.take().map(RuleWatch::finish).unwrap_or_default();
    outcome.finish_rules(times);
    outcome.add_shadows(shadows, config);
    outcome.report.rule_reloads = reloads;
    outcome.report.rule_reloads_refused = refused;
    if let Err(error) = logged {
        outcome.failure.get_or_insert(error);
    }
    let failed = outcome.failure.is_some();
    let report = &mut outcome.report;
    report.wall_ns = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
    report.cpu_ns = report::process_cpu_ns().saturating_sub(cpu_ns);
    report.recovered = recovered_report;
    describe(&setup, &choices, started_ns, report);
    if report.ended.is_empty() {
        let why = if failed { "a failure" } else { why_ended(&setup.shape, options) };
        why.clone_into(&mut report.ended);
    }
    finish_latency(config, &mut setup.latency, &mut outcome)?;
    Ok(outcome)
}

/// Opens what is to be replayed, and finds out whose lines it has if it has lines.
fn open(
    config: &Config,
    path: &Path,
    speed: Speed,
    options: &RunOptions,
) -> anyhow::Result<Opened> {
    let feeds = config.feeds.iter().enumerate();
    let texts = feeds.filter(|(_, feed)| matches!(feed.kind, FeedKind::Text(_)));
    let wanted = options.lines_of.as_deref();
    let texts = texts.filter(|(_, feed)| wanted.is_none_or(|name| feed.name == name));
    let texts: Vec<usize> = texts.map(|(index, _)| index).collect();
    // Without a feed of lines it can only be a capture, and what is wrong with it is to be told.
    let (name, recording) = if texts.is_empty() && wanted.is_none() {
        (format!("capture {}", path.display()), Recording::Capture(Capture::open(path)?))
    } else {
        let recording = Recording::open(path)?;
        let what = if matches!(recording, Recording::Lines(_)) { "lines" } else { "capture" };
        (format!("{what} {}", path.display()), recording)
    };
    let lines_of = match (&recording, texts.as_slice(), wanted) {
        (Recording::Capture(_), ..) => 0,
        (Recording::Lines(_), [index], _) => *index,
        (Recording::Lines(_), [], Some(name)) => {
            let what = format!("`{name}` is no feed of lines in this configuration");
            return Err(Failure::config(what).into());
        }
        (Recording::Lines(_), ..) => {
            let names = texts.iter().map(|&index| config.feeds[index].name.as_str());
            let names = names.collect::<Vec<_>>().join(", ");
            let what = format!("{name} could be of the feeds {names}: say which with --feed");
            return Err(Failure::config(what).into());
        }
    };
    Ok(Opened { name, recording, lines_of, speed })
}

/// Makes the file that says so.
fn say_ready(choices: Vec<String>, options: &RunOptions) -> anyhow::Result<Vec<String>> {
    if let Some(path) = &options.ready_file {
        fs::write(path, choices.join("\n"))
            .with_context(|| format!("ready file {}", path.display()))?;
    }
    Ok(choices)
}

/// What is known of a run besides what its threads counted.
fn describe(setup: &Setup<'_>, choices: &[String], started_ns: u64, report: &mut RunReport) {
    let (config, shape) = (setup.config, setup.shape);
    report.command = if shape.live { "run" } else { "replay" }.to_owned();
    report.name.clone_from(&config.name);
    report.version = env!("CARGO_PKG_VERSION").to_owned();
    report.started_ns = started_ns;
    report.topology = if shape.fused { "fused" } else { "pipelined" }.to_owned();
    report.waiting = shape.waiting.to_string();
    report.memory_peak_bytes = report::memory_peak_bytes();
    report.rings = setup.rings.iter().map(|stats| RingReport::from(&**stats)).collect();
    let chosen = choices.iter().filter(|choice| !choice.is_empty());
    for (reactor, choice) in report.reactors.iter_mut().zip(chosen) {
        let (backend, why) = choice.split_once(": ").unwrap_or((choice, ""));
        backend.trim_start_matches("receive backend ").clone_into(&mut reactor.backend);
        why.clone_into(&mut reactor.why);
    }
}

fn why_ended(shape: &Shape, options: &RunOptions) -> &'static str {
    if options.stop.load(Ordering::Relaxed) {
        "a signal"
    } else if !shape.live {
        "end of the capture"
    } else if options.until_end {
        "end of the sessions"
    } else {
        "time or silence"
    }
}

fn finish_latency(
    config: &Config,
    latency: &mut LatencyCollector,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let report = &mut outcome.report;
    report.latency = latency.finish(Clock::new().now()).context("interval log")?;
    if let Some(folder) = &config.report.hgrm {
        let paths = latency.write_hgrm(folder);
        for path in paths.with_context(|| format!("histograms {}", folder.display()))? {
            report.files.push((path.display().to_string(), "percentiles".to_owned()));
        }
    }
    if let Some(path) = &config.report.hlog {
        report.files.push((path.display().to_string(), "interval log".to_owned()));
    }
    Ok(())
}

/// Starts every thread; returns how many will say that they are ready.
fn start(
    setup: &mut Setup<'_>,
    source: Option<Opened>,
    threads: &mut Threads,
) -> anyhow::Result<usize> {
    let shape = setup.shape;
    let mut outs = Vec::new();
    for shard in 0..shape.shards {
        outs.push(setup.out(shard)?);
    }
    let files = plan::sinks(setup.config, true);
    let off_core = if shape.fused { files } else { all_sinks(setup.config) };
    if !setup.to_egress.is_empty() {
        let spec = plan::egress_spec(
            setup.config,
            off_core,
            0..shape.shards,
            shape.live,
            &setup.names,
            &setup.left,
        );
        let mut egress = Egress::open(&spec)?;
        egress.measure(setup.latency.recorder());
        let rings = std::mem::take(&mut setup.to_egress);
        let waiting = shape.waiting;
        threads.egress = Some(spawn("egress", move || {
            // Egress is no hot thread: it gives way to those that are.
            // Fused, it only writes files: a spin here would take from the core next to it, which
            // is often the other half of the hot one.
            let waiting = match waiting {
                _ if shape.fused || !shape.live => Waiting::Park,
                Waiting::Spin => Waiting::Yield,
                waiting => waiting,
            };
            egress::run(egress, rings, waiting, PATIENCE)
        })?);
    }
    if shape.fused {
        start_fused(setup, source, outs, threads)?;
        return Ok(shape.reactors);
    }
    start_pipelined(setup, source, outs, threads)?;
    Ok(shape.reactors + shape.shards)
}

pub(super) fn all_sinks(config: &Config) -> Vec<egress::SinkConfig> {
    let mut sinks = plan::sinks(config, true);
    sinks.extend(plan::sinks(config, false));
    sinks
}

fn start_fused(
    setup: &mut Setup<'_>,
    mut source: Option<Opened>,
    outs: Vec<Out>,
    threads: &mut Threads,
) -> anyhow::Result<()> {
    for (reactor, out) in outs.into_iter().enumerate() {
        let shard = setup.shard(reactor, out)?;
        let core = setup.config.engine.reactor_cores.get(reactor).copied();
        let thread = setup.start_reactor(reactor, core, source.take(), shard)?;
        threads.fused.push(thread);
    }
    Ok(())
}

fn start_pipelined(
    setup: &mut Setup<'_>,
    mut source: Option<Opened>,
    outs: Vec<Out>,
    threads: &mut Threads,
) -> anyhow::Result<()> {
    let slots = setup.config.engine.ring_slots;
    let mut producers: Vec<Vec<RecordProducer>> =
        (0..setup.shape.reactors).map(|_| Vec::new()).collect();
    for (number, out) in outs.into_iter().enumerate() {
        let mut consumers = Vec::new();
        for (reactor, producers) in producers.iter_mut().enumerate() {
            let (producer, consumer) = ring::new(&format!("feed{reactor}_shard{number}"), slots);
            setup.rings.push(Arc::clone(producer.stats()));
            producers.push(producer);
            consumers.push(consumer);
        }
        let shard = setup.shard(number, out)?;
        let mut orders = setup.orders.clone();
        orders.core = setup.config.engine.shard_cores.get(number).copied();
        let run = move || threads::decide(&orders, consumers, shard);
        threads.shards.push(spawn(&format!("shard-{number}"), run)?);
    }
    for (reactor, producers) in producers.into_iter().enumerate() {
        let core = setup.config.engine.reactor_cores.get(reactor).copied();
        let router = Router::new(producers, setup.config.shares());
        threads.reactors.push(setup.start_reactor(reactor, core, source.take(), router)?);
    }
    Ok(())
}

pub(super) fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<JoinHandle<T>> {
    let builder = thread::Builder::new().name(name.to_owned());
    builder.spawn(run).with_context(|| format!("starting thread {name}"))
}

/// Waits until every hot thread has said that it is ready, or why not.
fn await_ready(
    readiness: &Receiver<Result<String, anyhow::Error>>,
    count: usize,
) -> anyhow::Result<Vec<String>> {
    (0..count).map(|_| readiness.recv().context("a thread ended before it was ready")?).collect()
}

/// Collects figures and passes on what ends the run, until the input threads are gone.
fn supervise(
    setup: &mut Setup<'_>,
    threads: &Threads,
    options: &RunOptions,
    stop: &AtomicBool,
    notifier: &mut Notifier,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let clock = Clock::new();
    let limit = Duration::from_nanos(options.duration_ns);
    loop {
        let receiving = threads.fused.iter().any(|thread| !thread.is_finished())
            || threads.reactors.iter().any(|thread| !thread.is_finished());
        if !receiving {
            return Ok(());
        }
        let over = options.duration_ns > 0 && begun.elapsed() >= limit;
        if over || options.stop.load(Ordering::Relaxed) {
            stop.store(true, Ordering::Relaxed);
        }
        setup.latency.collect(clock.now()).context("interval log")?;
        if let Some(rules) = &mut setup.rules {
            rules.poll();
        }
        notifier.alive();
        thread::sleep(LOOK_UP);
    }
}

/// Joins the threads in the order of the flow.
fn end(threads: Threads, setup: &Setup<'_>) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut failed = None;
    for thread in threads.fused {
        match join(thread).and_then(|ended| ended) {
            Ok(ended) => {
                let shard = outcome.add_reactor(ended, setup.config);
                outcome.add_shard(shard.finish(), setup.config);
            }
            Err(error) => failed = Some(error),
        }
    }
    for thread in threads.reactors {
        match join(thread).and_then(|ended| ended) {
            Ok(ended) => drop(outcome.add_reactor(ended, setup.config)),
            Err(error) => failed = Some(error),
        }
    }
    for thread in threads.shards {
        match join(thread).and_then(|ended| ended) {
            Ok(ended) => outcome.add_shard(ended, setup.config),
            Err(error) => failed = Some(error),
        }
    }
    if let Some(thread) = threads.egress {
        match join(thread) {
            Ok(stats) => outcome.report.add_egress(stats),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(outcome),
    }
}

fn join<T>(thread: JoinHandle<T>) -> anyhow::Result<T> {
    let name = thread.thread().name().unwrap_or("a thread").to_owned();
    thread.join().map_err(|panic| {
        let what = panic.downcast_ref::<String>().map(String::as_str);
        let what = what.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
        anyhow::anyhow!("{name} panicked: {what}")
    })
}
