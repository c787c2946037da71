//! The shadow of a shard: follows its journal, decides the same, and writes snapshots.
//!
//! ```text
//! shard (hot core)      ──append──> journal
//! shadow (service core) <──read────    └──> replica ──save──> snapshot-SEQ
//! ```
//!
//! A shadow that cannot keep up falls behind, and its snapshots with it: it takes entries a piece
//! at a time, so nothing grows meanwhile, and the report says by how many entries. One that meets
//! a record that does not lead to what the shard decided stops and says so: memory or program is
//! faulty, and no snapshot is written of that.
//!
//! Invariant: the shard does not know of it. It shares no memory with it but the page cache.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use corelane_feeds::units::Nanos;

use super::{NEW, Replica, Snapshot, covered, publish};
use crate::journal::{Followed, Follower, Kind};
use crate::sys::affinity;

/// How often a shadow that has caught up looks: where no CPU is idle each look takes some 10 us
/// from a hot thread.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Entries between two moments at which it hears that the run is over.
const ENTRIES_ROUND: u32 = 4_096;
/// Below the niceness of hot threads, should they have to share a CPU.
const NICE: i32 = 10;

/// How snapshots are written.
#[derive(Clone, Debug)]
pub struct ShadowOptions {
    /// The shard's folder.
    pub dir: PathBuf,
    /// Records between two snapshots.
    pub every: u64,
    /// How many snapshots are kept.
    pub keep: usize,
    /// CPU to run on; none lets it run on any.
    pub cpu: Option<usize>,
}

/// What a shadow did.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ShadowCounters {
    /// Snapshots written.
    pub snapshots: u64,
    /// The last entry of the last one.
    pub snapshot_seq: u64,
    /// Its bytes.
    pub snapshot_bytes: u64,
    /// The longest that saving and writing one took.
    pub snapshot_ns_max: u64,
    /// The last entry that it has decided over.
    pub seq: u64,
    /// The most entries that it found waiting, and had not seen before, when it looked.
    pub behind_max: u64,
    /// Why it stopped, if it did before the journal's end.
    pub failure: Option<String>,
}

/// What it shares with the service thread.
#[derive(Default)]
struct Shared {
    /// The run is over: go to the journal's end.
    stop: AtomicBool,
    /// Then do not wait for that any longer.
    give_up: AtomicBool,
    covered: AtomicU64,
}

/// A shadow at work.
pub struct Shadow {
    shared: Arc<Shared>,
    thread: JoinHandle<ShadowCounters>,
}

impl Shadow {
    /// Starts the shadow of a shard, whose journal has been begun. `replica` is the shard before
    /// its first record, or made for `snapshot`.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(
        options: ShadowOptions,
        replica: Replica,
        snapshot: Option<Snapshot>,
    ) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared::default());
        let name = options.dir.file_name().and_then(|name| name.to_str()).unwrap_or("shard");
        let name = name.replace("shard", "shadow");
        let work = Work {
            shared: Arc::clone(&shared),
            replica,
            buffer: Vec::new(),
            since: 0,
            counters: ShadowCounters::default(),
            options,
        };
        let thread = thread::Builder::new().name(name).spawn(move || work.run(snapshot));
        Ok(Self { shared, thread: thread.context("starting a shadow")? })
    }

    /// Entries up to this one are in every snapshot that is kept: a start needs them no more.
    #[must_use]
    pub fn covered(&self) -> u64 {
        self.shared.covered.load(Ordering::Acquire)
    }

    /// The journal is closed: it goes to its end, writes a last snapshot and ends, within
    /// `patience`.
    #[must_use]
    pub fn finish(self, patience: Duration) -> ShadowCounters {
        self.shared.stop.store(true, Ordering::Release);
        let deadline = Instant::now() + patience;
        while !self.thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        self.shared.give_up.store(true, Ordering::Release);
        self.thread.join().unwrap_or_else(|_| ShadowCounters {
            failure: Some("it panicked".to_owned()),
            ..ShadowCounters::default()
        })
    }
}

/// What the thread works with.
struct Work {
    shared: Arc<Shared>,
    replica: Replica,
    /// Holds a snapshot while it is written; kept, as giving memory back interrupts every core.
    buffer: Vec<u8>,
    /// Records since the last snapshot.
    since: u64,
    counters: ShadowCounters,
    options: ShadowOptions,
}

impl Work {
    fn run(mut self, snapshot: Option<Snapshot>) -> ShadowCounters {
        if let Some(cpu) = self.options.cpu {
            // Where it cannot be pinned it runs anywhere.
            let _ = affinity::pin(cpu);
        }
        let _ = rustix::process::nice(NICE);
        if let Err(error) = self.follow(snapshot) {
            self.counters.failure = Some(format!("{error:#}"));
            eprintln!("corelane: no more snapshots in {}: {error:#}", self.options.dir.display());
        }
        self.counters.seq = self.replica.seq();
        self.counters
    }

    fn follow(&mut self, snapshot: Option<Snapshot>) -> anyhow::Result<()> {
        let dir = self.options.dir.clone();
        // One that was being written when an earlier run died.
        remove_new(&dir);
        self.publish_covered()?;
        let place = snapshot.as_ref().map(|snapshot| snapshot.header.place());
        if let Some(snapshot) = snapshot {
            self.replica.restore(&snapshot)?;
        }
        let mut journal = Follower::open(&dir, place.as_ref())?;
        let mut seen = self.replica.seq();
        loop {
            // Asked before it reads: what was appended before the end is then seen below.
            let stops = self.shared.stop.load(Ordering::Acquire);
            let more = self.take_some(&mut journal)?;
            if self.shared.give_up.load(Ordering::Acquire) {
                return Ok(());
            }
            if more {
                continue;
            }
            let behind = self.replica.seq() - seen;
            self.counters.behind_max = self.counters.behind_max.max(behind);
            seen = self.replica.seq();
            if stops {
                return if self.since > 0 { self.write() } else { Ok(()) };
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Takes some entries; whether there are more.
    fn take_some(&mut self, journal: &mut Follower) -> anyhow::Result<bool> {
        for _ in 0..ENTRIES_ROUND {
            let entry = match journal.read()? {
                Followed::Entry(entry) => entry,
                Followed::Nothing | Followed::Closed => return Ok(false),
            };
            if entry.kind == Kind::Input && self.since >= self.options.every {
                self.write()?;
            }
            self.since += u64::from(entry.kind == Kind::Input);
            self.replica.take(&entry)?;
        }
        Ok(true)
    }

    /// Writes a snapshot, if its state is that of an entry.
    fn write(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let created = Nanos(u64::try_from(created.as_nanos()).unwrap_or(u64::MAX));
        if !self.replica.save(created, &mut self.buffer) {
            return Ok(());
        }
        let seq = self.replica.seq();
        publish(&self.options.dir, seq, &self.buffer, self.options.keep)?;
        self.publish_covered()?;
        self.since = 0;
        let ns = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let counters = &mut self.counters;
        counters.snapshots += 1;
        counters.snapshot_seq = seq;
        counters.snapshot_bytes = self.buffer.len() as u64;
        counters.snapshot_ns_max = counters.snapshot_ns_max.max(ns);
        Ok(())
    }

    fn publish_covered(&self) -> anyhow::Result<()> {
        self.shared.covered.store(covered(&self.options.dir)?, Ordering::Release);
        Ok(())
    }
}

fn remove_new(dir: &Path) {
    // It is not there after an orderly end.
    let _ = std::fs::remove_file(dir.join(NEW));
}
