//! The whole engine in a simulated world, on one thread: packets are lost, repeated, reordered and
//! late; servers, receivers and the engine itself die at any moment; disks fill up, stores are torn
//! off, bits flip. `corelane simulate`.
//!
//! ```text
//! real        decoding, arbitration, sequence, intake, router, rings, shards, chain, rules,
//!             journal, recovery, queues and notes of sinks, reloads
//! simulated   time; the venue and its lines; the network to the receiver, and the receiver; what a
//!             death leaves undone; the faults of files
//! ```
//!
//! A seed draws a world (`plan`) and every step in it: the same program gives the same world
//! again, to the last byte. What must hold is in `check`; a seed where it does not is printed
//! with everything that happened.
//!
//! Invariant: one generator per world, one thread per world, and nothing of the machine in it.

mod check;
mod damage;
mod death;
mod desk;
mod disk;
mod edges;
mod plan;
mod time;
mod trace;
mod venue;
mod world;

#[cfg(test)]
mod tests;

use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::Context;
use clap::Args;
use corelane_strategies::registry::Registry;

use crate::cli::exit::{FAILED, Failure};
use crate::generate::rng::Rng;
use check::Left;
use plan::Plan;
use trace::Trace;
use world::{Ending, World, Wrongs, words};

/// Where worlds have their files, if it is there.
const MEMORY_FILES: &str = "/dev/shm";
/// Lines of a failed world's trace that are printed.
const LINES_MAX: usize = 200;

/// Arguments of `corelane simulate`.
#[derive(Args, Debug)]
pub struct SimulateArgs {
    /// The first seed
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many seeds, one after the other
    #[arg(long, default_value_t = 100)]
    pub seeds: u64,
    /// Threads, each with worlds of its own; 0 is one for every CPU
    #[arg(long, default_value_t = 0)]
    pub jobs: usize,
    /// Print everything that happens, and the hash of it
    #[arg(long)]
    pub trace: bool,
}

/// The process of a simulated engine is gone: it unwinds the stack, silently.
struct Died;

impl Died {
    /// Dies.
    fn now() -> ! {
        resume_unwind(Box::new(Self))
    }
}

/// What a seed came to.
#[derive(Debug)]
pub struct Outcome {
    /// Hash of everything that happened.
    pub hash: u64,
    /// How it ended, if all held.
    ending: Option<Ending>,
    /// What went wrong in it.
    wrongs: Wrongs,
    /// What did not hold.
    pub failure: Option<String>,
    /// What happened, if that was asked for.
    pub lines: Vec<String>,
}

/// Plays the world of a seed, its files in `dir`, which must not exist.
///
/// # Errors
/// If the files cannot be made or removed.
pub fn play(seed: u64, keep: bool, registry: &Registry, dir: &Path) -> anyhow::Result<Outcome> {
    play_as(&Plan::draw(&mut Rng::new(seed)), seed, keep, registry, dir)
}

/// Plays a world of a plan, in which a seed draws every step.
fn play_as(
    plan: &Plan,
    seed: u64,
    keep: bool,
    registry: &Registry,
    dir: &Path,
) -> anyhow::Result<Outcome> {
    fs::create_dir(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut trace = Trace::new(keep);
    let mut wrongs = Wrongs::default();
    let played = catch_unwind(AssertUnwindSafe(|| {
        play_in(plan, seed, registry, dir, &mut trace, &mut wrongs)
    }));
    crate::sys::fault::install(None);
    crate::sys::disk::install(None);
    fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    let (ending, failure) = match played {
        Ok(Ok(ending)) => (Some(ending), None),
        Ok(Err(error)) => (None, Some(format!("{error:#}"))),
        Err(panic) => (None, Some(format!("the simulator panicked: {}", words(&*panic)))),
    };
    Ok(Outcome { hash: trace.hash(), ending, wrongs, failure, lines: trace.take_lines() })
}

fn play_in(
    plan: &Plan,
    seed: u64,
    registry: &Registry,
    dir: &Path,
    trace: &mut Trace,
    wrongs: &mut Wrongs,
) -> anyhow::Result<Ending> {
    trace.note(0, format_args!("seed {seed}: {}", plan.summary()));
    let mut world = World::new(plan, registry, &dir.join("disturbed"), seed, trace)?;
    let ending = world.play();
    *wrongs = world.wrongs;
    let ending = ending?;
    if !matches!(ending, Ending::Done) {
        return Ok(ending);
    }
    let mut left = left_of(&world)?;
    if plan.is_lossless() {
        // They were decided again.
        left.forgotten.clear();
    }
    drop(world);
    trace.bytes(&left.received);
    left.check()?;
    if plan.is_lossless() {
        let plan = plan.undisturbed();
        let mut quiet = Trace::new(false);
        let dir = dir.join("undisturbed");
        let mut world = World::new(&plan, registry, &dir, seed, &mut quiet)?;
        world.play().context("undisturbed")?;
        left.compare(&left_of(&world)?)?;
    }
    Ok(ending)
}

fn left_of(world: &World<'_>) -> anyhow::Result<Left> {
    Ok(Left {
        journals: world.journals(),
        received: world.received().0,
        file: world.written().context("the file of actions")?,
        forgotten: world.forgotten.clone(),
    })
}

/// Counts of many seeds.
#[derive(Default)]
struct Tally {
    seeds: AtomicU64,
    deaths: AtomicU64,
    power_cuts: AtomicU64,
    lost: AtomicU64,
    from_snapshots: AtomicU64,
    done: AtomicU64,
    refused: AtomicU64,
    cut: AtomicU64,
    retired: AtomicU64,
}

impl Tally {
    fn add(&self, outcome: &Outcome) {
        self.seeds.fetch_add(1, Ordering::Relaxed);
        let Wrongs { deaths, power_cuts, lost, from_snapshots, retired } = outcome.wrongs;
        self.retired.fetch_add(retired, Ordering::Relaxed);
        self.deaths.fetch_add(u64::from(deaths), Ordering::Relaxed);
        self.power_cuts.fetch_add(u64::from(power_cuts), Ordering::Relaxed);
        self.lost.fetch_add(lost, Ordering::Relaxed);
        self.from_snapshots.fetch_add(u64::from(from_snapshots), Ordering::Relaxed);
        let ended = match outcome.ending {
            Some(Ending::Done) => &self.done,
            Some(Ending::Refused) => &self.refused,
            Some(Ending::Cut) => &self.cut,
            None => return,
        };
        ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// Plays seeds and prints what they came to; the first that fails is printed with its trace.
///
/// # Errors
/// If something did not hold in a world.
pub fn run(args: &SimulateArgs, registry: &Registry, out: &mut impl Write) -> anyhow::Result<()> {
    let root = root()?;
    let (next, tally) = (AtomicU64::new(0), Tally::default());
    let failed: Mutex<Vec<(u64, String)>> = Mutex::new(Vec::new());
    let cpus = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let jobs = if args.jobs > 0 { args.jobs } else { cpus };
    let work = || -> anyhow::Result<()> {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= args.seeds {
                return Ok(());
            }
            let seed = args.seed.wrapping_add(at);
            let outcome = play(seed, false, registry, &root.path.join(seed.to_string()))?;
            tally.add(&outcome);
            if let (Some(why), Ok(mut failed)) = (outcome.failure, failed.lock()) {
                failed.push((seed, why));
                // One is enough to look at.
                next.store(args.seeds, Ordering::Relaxed);
            }
        }
    };
    let ended: anyhow::Result<()> = thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        let mut joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        joined.try_for_each(|ended| ended.unwrap_or_else(|_| anyhow::bail!("a thread panicked")))
    });
    ended?;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    writeln!(
        out,
        "{} seeds, {} deaths, {} of them power cuts that took {} entries, none durable: \
         {} starts were from snapshots, {} entries were retired, {} went to the end, {} refused \
         damage, {} cut it off",
        count(&tally.seeds),
        count(&tally.deaths),
        count(&tally.power_cuts),
        count(&tally.lost),
        count(&tally.from_snapshots),
        count(&tally.retired),
        count(&tally.done),
        count(&tally.refused),
        count(&tally.cut),
    )?;
    let failed = failed.into_inner().unwrap_or_default().into_iter().min();
    let shown = if args.trace && failed.is_none() { Some(args.seed) } else { None };
    if let Some(seed) = failed.as_ref().map(|(seed, _)| *seed).or(shown) {
        let again = play(seed, true, registry, &root.path.join("again"))?;
        let skipped = if args.trace { 0 } else { again.lines.len().saturating_sub(LINES_MAX) };
        again.lines[skipped..].iter().try_for_each(|line| writeln!(out, "{line}"))?;
        writeln!(out, "hash {:016x}", again.hash)?;
    }
    match failed {
        None => Ok(()),
        Some((seed, why)) => {
            let message = format!("seed {seed}: {why}\n  again with --seed {seed} --seeds 1");
            Err(Failure { code: FAILED, message }.into())
        }
    }
}

/// A folder of this process, removed at the end.
struct Root {
    path: PathBuf,
}

impl Drop for Root {
    fn drop(&mut self) {
        // What is left is in memory, and named after a process that is gone.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn root() -> anyhow::Result<Root> {
    let memory = Path::new(MEMORY_FILES);
    let within = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let path = within.join(format!("corelane-simulate-{}", std::process::id()));
    fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(Root { path })
}
