//! Wire to action, open loop: from when a message was to be sent to when the action for it is back.
//!
//! ```text
//! generator (one CPU)                      side under test (another CPU)
//! MoldUDP64 or SoupBinTCP ──path──────────> floor:  recv, send
//!   by a schedule                           engine: reactor, feed, journal, book, strategy,
//!   <───────────── an action of 64 bytes ──         journal, sink
//! ```
//!
//! The floor is a bare ping-pong on the same path by the same schedule. The engine is a run as
//! `corelane run` makes it, with a journal, and a strategy that answers every order.
//!
//! Invariant: every ping that was to be sent counts, from then on; one without an answer is counted
//! as lost. What the host took away is marked, and stays in.

mod analysis;
mod generator;
mod link;
mod path;
mod pings;
mod schedule;
mod sides;
mod stages;
mod variant;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path as Folder;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use corelane::sys::affinity;

pub use analysis::{Summary, intervals, summary};
pub use generator::{Look, Loop, Sent};
pub use link::Transport;
pub use path::{End, Namespaces, Path};
pub use schedule::Schedule;
pub use stages::{Stages, add_stages, histogram};
pub use variant::{Rounds, Variant};

use crate::results::ThreadUse;
use crate::threads::{self, Watch};
use generator::{Lookout, Run};
use link::{Link, Waiting};
use sides::{SideEnd, Sides};

/// How long a side may take to start, or an answer to come.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// The most groups, one feed each.
pub const GROUPS_MAX: usize = 64;
/// How the threads are named that a side runs hot.
const HOT: [&str; 3] = ["reactor-", "shard-", "floor"];

/// How the engine is set up, in the words of its configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EngineSetup {
    /// `socket`, `uring` or `auto`.
    pub backend: String,
    /// `fused` or `pipelined`.
    pub topology: String,
    /// `spin`, `yield`, `park` or `auto`.
    pub waiting: String,
}

/// The side under test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Side {
    /// Only `recv` and `send`.
    Floor,
    /// The engine.
    Engine(EngineSetup),
}

/// Counts something of threads, by their ids, for a time.
pub type Beside = fn(&[u32], Duration) -> BTreeMap<String, f64>;

/// A stall of the engine's strategy, to see whether a measurement sees it.
#[derive(Copy, Clone, Debug)]
pub struct Stall {
    /// At this record.
    pub after: u64,
    /// For so long, in whole milliseconds.
    pub time: Duration,
}

/// One measurement.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// Who answers.
    pub side: Side,
    /// Over what.
    pub transport: Transport,
    /// Through what.
    pub path: &'a Path,
    /// Feeds, one for each group; pings go to one of them at random.
    pub groups: usize,
    /// When pings are sent.
    pub schedule: &'a Schedule,
    /// For how long they count.
    pub time: Duration,
    /// For how long they go before that: the engine's next journal segments are made meanwhile.
    pub warm_up: Duration,
    /// What sends follow.
    pub kind: Loop,
    /// CPUs of the side under test: of the reactor first, of the shard last.
    pub engine_cpus: &'a [usize],
    /// CPU of the generator.
    pub generator_cpu: usize,
    /// Length of an interval.
    pub interval: Duration,
    /// Where journals are written: a memory file system.
    pub dir: &'a Folder,
    /// A stall of the engine.
    pub stall: Option<Stall>,
    /// What to count with `perf stat` meanwhile: ids of the side's hot threads are given.
    pub beside: Option<Beside>,
}

/// One round of a measurement.
#[derive(Clone, Default, Debug)]
pub struct Window {
    /// Every ping that counts.
    pub sent: Sent,
    /// How long what counts took.
    pub span_ns: u64,
    /// The threads of this process meanwhile.
    pub threads: Vec<ThreadUse>,
    /// Names of the threads that [`Look::waited_ns`] is of.
    pub watched: Vec<String>,
    /// Time per stage, warm-up included.
    pub stages: Stages,
    /// What the side counted, warm-up included.
    pub counters: BTreeMap<String, f64>,
    /// What there is to say of it.
    pub notes: Vec<String>,
}

/// Measures once.
///
/// # Errors
/// If a side cannot start, or ends early.
pub fn measure(setup: &Setup<'_>) -> anyhow::Result<Window> {
    sides::check(setup)?;
    let generate = || {
        setup.path.enter(End::Generator)?;
        affinity::pin(setup.generator_cpu)?;
        generate(setup)
    };
    // A thread of its own: nobody leaves a namespace, or a CPU, again.
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("generator".into());
        let generator = thread.spawn_scoped(scope, generate)?;
        generator.join().map_err(|_| anyhow!("the generator panicked"))?
    })
}

fn generate(setup: &Setup<'_>) -> anyhow::Result<Window> {
    let waiting = Waiting::open(setup.transport, setup.path)?;
    let stop = Arc::new(AtomicBool::new(false));
    let (ready, targets) = channel();
    let sides = Sides { setup, addresses: waiting.addresses()?, stop: Arc::clone(&stop), ready };
    thread::scope(|scope| {
        let name = if setup.side == Side::Floor { "floor" } else { "engine" };
        let thread = thread::Builder::new().name(name.into());
        let side = thread.spawn_scoped(scope, move || match &sides.setup.side {
            Side::Floor => sides.floor(),
            Side::Engine(engine) => sides.engine(engine),
        })?;
        let measured = match targets.recv_timeout(PATIENCE) {
            Ok(targets) => ping(setup, waiting, targets),
            Err(error) => Err(error).context("the side under test did not start"),
        };
        stop.store(true, Ordering::Relaxed);
        let ended = side.join().map_err(|_| anyhow!("the side under test panicked"))?;
        let SideEnd { stages, counters, notes } = ended.context("the side under test")?;
        // Its connections last until the side has ended: it would report that they are lost.
        let (mut window, _link) = measured?;
        (window.stages, window.notes) = (stages, notes);
        window.counters.extend(counters);
        share_busy(&mut window);
        Ok(window)
    })
}

fn ping(
    setup: &Setup<'_>,
    waiting: Waiting,
    targets: Vec<std::net::SocketAddr>,
) -> anyhow::Result<(Window, Link)> {
    let mut link = waiting.connect(targets)?;
    let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let warm_up_ns = ns(setup.warm_up);
    let due_ns = setup.schedule.due_ns(warm_up_ns + ns(setup.time));
    let hot = threads::named(&HOT);
    let mut lookout = Lookout::new(&hot);
    let ids: Vec<u32> = hot.iter().map(|(id, _)| *id).collect();
    let interval_ns = ns(setup.interval).max(1);
    let run = Run { due_ns: &due_ns, warm_up_ns, kind: setup.kind, interval_ns };
    let window: anyhow::Result<Window> = thread::scope(|scope| {
        let beside = setup.beside.map(|count| {
            let (ids, time) = (ids.clone(), setup.time);
            scope.spawn(move || count(&ids, time))
        });
        let mut watch = None;
        let sent = generator::run(&mut link, &run, &mut lookout, || {
            watch = Some(Watch::begin(None));
        })?;
        let threads = watch.map(Watch::end).unwrap_or_default();
        let counters = beside.and_then(|beside| beside.join().ok()).unwrap_or_default();
        let watched = hot.into_iter().map(|(_, name)| name).collect();
        let (sent, span_ns) = analysis::counting(sent, warm_up_ns);
        Ok(Window { sent, span_ns, threads, watched, counters, ..Window::default() })
    });
    Ok((window?, link))
}

/// Tells how much of its time a reactor had work in hand, by its stamps around every packet.
fn share_busy(window: &mut Window) {
    let Some(wall_ns) = window.counters.get("wall_ns").copied().filter(|ns| *ns > 0.0) else {
        return;
    };
    let packets = window.stages.iter().find(|(name, _)| *name == "packet");
    let Some((_, packets)) = packets else { return };
    let share = packets.mean() * packets.len() as f64 / wall_ns;
    for thread in window.threads.iter_mut().filter(|thread| thread.name.starts_with("reactor-")) {
        thread.busy_share = Some(share.min(1.0));
    }
}
