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
//! Where a copy of the journal is kept on disk, snapshots lie beside that, and one appears only
//! when its entry is durable: after a power cut none is newer than what is left of the journal.
//! The shadow does not wait for that, but goes on with the next entries meanwhile.
//!
//! With each snapshot that it has written it retires segments that nothing needs any more
//! (`snapshot/retire.rs`).
//!
//! Invariant: the shard does not know of it. It shares no memory with it but the page cache, and
//! the word that says how far the journal is durable.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use corelane_feeds::units::Nanos;

use super::retire::Retiring;
use super::{NEW, Replica, Snapshot, covered, list, publish};
use crate::egress::Filter;
use crate::journal::{Followed, Follower, JournalError, Kind, Progress, Retained, Retention};
use crate::recover::ShardFolders;
use crate::sys::affinity;
use crate::sys::disk::{Disk, LocalDisk};

/// How often a shadow that has caught up looks: where no CPU is idle each look takes some 10 us
/// from a hot thread.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The same once the run is over.
const LOOK_LAST: Duration = Duration::from_millis(1);
/// Entries between two moments at which it hears that the run is over.
const ENTRIES_ROUND: u32 = 4_096;
/// Below the niceness of hot threads, should they have to share a CPU.
const NICE: i32 = 10;

/// How snapshots are written.
#[derive(Clone, Debug)]
pub struct ShadowOptions {
    /// The shard's.
    pub folders: ShardFolders,
    /// How far the journal is durable, if a copy is kept on disk.
    pub progress: Option<Arc<Progress>>,
    /// Records between two snapshots.
    pub every: u64,
    /// How many snapshots are kept.
    pub keep: usize,
    /// Which segments are retired, once all snapshots kept have what is in them.
    pub retain: Retention,
    /// The sinks that must be rid of what is in them, by name, and what each wants.
    pub sinks: Vec<(String, Filter)>,
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
    /// The longest that saving and writing one took, without waiting until it was durable.
    pub snapshot_ns_max: u64,
    /// Segments retired, and bytes that were freed by that.
    pub retired: Retained,
    /// The first entry that something still needed when it last looked: a snapshot, or a sink.
    pub needed_seq: u64,
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
        let name = options.folders.hot.file_name();
        let name = name.and_then(|name| name.to_str()).unwrap_or("shard");
        let name = name.replace("shard", "shadow");
        let work = Work::new(Arc::clone(&shared), options, replica);
        let thread = thread::Builder::new().name(name).spawn(move || work.run(snapshot));
        Ok(Self { shared, thread: thread.context("starting a shadow")? })
    }

    /// The journal is closed: it goes to its end, writes a last snapshot and ends, within
    /// `patience`.
    #[must_use]
    pub fn finish(self, patience: Duration) -> ShadowCounters {
        self.shared.stop.store(true, Ordering::Release);
        let deadline = Instant::now() + patience;
        while !self.thread.is_finished() && Instant::now() < deadline {
            thread::sleep(LOOK_LAST);
        }
        self.shared.give_up.store(true, Ordering::Release);
        self.thread.join().unwrap_or_else(|_| ShadowCounters {
            failure: Some("it panicked".to_owned()),
            ..ShadowCounters::default()
        })
    }
}

/// A shadow without a thread, of a run that is stepped: it goes on when it is told to.
pub(crate) struct SteppedShadow {
    work: Work,
    journal: Follower,
}

impl SteppedShadow {
    /// As [`Shadow::start`].
    ///
    /// # Errors
    /// If the snapshot does not fit, or the journal cannot be followed.
    pub(crate) fn begin(
        options: ShadowOptions,
        replica: Replica,
        snapshot: Option<Snapshot>,
    ) -> anyhow::Result<Self> {
        let mut work = Work::new(Arc::default(), options, replica);
        let journal = work.begin(snapshot)?;
        Ok(Self { work, journal })
    }

    /// Takes some entries, and writes a snapshot if one is due and its entry durable.
    ///
    /// # Errors
    /// If it decides otherwise than the shard, or cannot write. It is to be dropped then.
    pub(crate) fn step(&mut self, entries_max: u32) -> anyhow::Result<()> {
        self.work.take_some(&mut self.journal, entries_max)?;
        self.work.write_if_durable()
    }

    /// The journal is closed, and durable: goes to its end and writes a last snapshot.
    ///
    /// # Errors
    /// As [`SteppedShadow::step`].
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        while self.work.take_some(&mut self.journal, ENTRIES_ROUND)? {}
        self.work.write_last()
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
    /// What the buffer holds, until it is written.
    saved: Option<Saved>,
    /// None if nothing is to be retired.
    retiring: Option<Retiring>,
    counters: ShadowCounters,
    options: ShadowOptions,
}

/// A state that was saved and is not written yet.
struct Saved {
    /// The last entry in it.
    seq: u64,
    /// How long saving it took.
    took: Duration,
}

impl Work {
    fn new(shared: Arc<Shared>, options: ShadowOptions, replica: Replica) -> Self {
        Self {
            shared,
            replica,
            buffer: Vec::new(),
            since: 0,
            saved: None,
            retiring: None,
            counters: ShadowCounters::default(),
            options,
        }
    }

    fn run(mut self, snapshot: Option<Snapshot>) -> ShadowCounters {
        if let Some(cpu) = self.options.cpu {
            // Where it cannot be pinned it runs anywhere.
            let _ = affinity::pin(cpu);
        }
        let _ = rustix::process::nice(NICE);
        if let Err(error) = self.follow(snapshot) {
            self.counters.failure = Some(format!("{error:#}"));
            let dir = self.options.folders.snapshots().display();
            eprintln!("corelane: no more snapshots in {dir}: {error:#}");
        }
        self.counters.seq = self.replica.seq();
        self.counters
    }

    /// Goes to where the snapshot is, or the journal begins.
    fn begin(&mut self, snapshot: Option<Snapshot>) -> anyhow::Result<Follower> {
        let ShardFolders { hot, durable } = self.options.folders.clone();
        // One that was being written when an earlier run died.
        remove_new(self.options.folders.snapshots());
        let place = snapshot.as_ref().map(|snapshot| snapshot.header.place());
        self.begin_retiring(place.map_or(0, |place| place.seq));
        if let Some(snapshot) = snapshot {
            self.replica.restore(&snapshot)?;
            if list(self.options.folders.snapshots())?.is_empty() {
                // There was no copy on disk before: the first snapshot there is due.
                self.since = self.options.every;
            }
        }
        Ok(Follower::open(&hot, durable.as_deref(), place.as_ref())?)
    }

    fn follow(&mut self, snapshot: Option<Snapshot>) -> anyhow::Result<()> {
        let mut journal = self.begin(snapshot)?;
        let mut seen = self.replica.seq();
        loop {
            // Asked before it reads: what was appended before the end is then seen below.
            let stops = self.shared.stop.load(Ordering::Acquire);
            let more = self.take_some(&mut journal, ENTRIES_ROUND)?;
            self.write_if_durable()?;
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
                return self.write_last();
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Takes some entries; whether there are more.
    fn take_some(&mut self, journal: &mut Follower, entries_max: u32) -> anyhow::Result<bool> {
        for _ in 0..entries_max {
            let entry = match journal.read()? {
                Followed::Entry(entry) => entry,
                Followed::Nothing | Followed::Closed => return Ok(false),
            };
            let is_due = self.since >= self.options.every && self.saved.is_none();
            if entry.kind == Kind::Input && is_due {
                self.save();
                self.write_if_durable()?;
            }
            self.since += u64::from(entry.kind == Kind::Input);
            if let Some(retiring) = &mut self.retiring {
                retiring.pass(&entry);
            }
            self.replica.take(&entry)?;
        }
        Ok(true)
    }

    /// Saves its state, if it is that of an entry.
    fn save(&mut self) {
        let begun = Instant::now();
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let created = Nanos(u64::try_from(created.as_nanos()).unwrap_or(u64::MAX));
        if self.replica.save(created, &mut self.buffer) {
            self.saved = Some(Saved { seq: self.replica.seq(), took: begun.elapsed() });
            self.since = 0;
        }
    }

    /// Writes what is saved, if anything is, and its entry is durable.
    fn write_if_durable(&mut self) -> anyhow::Result<()> {
        let Some(saved) = &self.saved else { return Ok(()) };
        if let Some(progress) = &self.options.progress
            && progress.last_durable_seq() < saved.seq
        {
            anyhow::ensure!(!progress.has_failed(), "the journal's copy on disk failed");
            return Ok(());
        }
        let Saved { seq, took } = *saved;
        let begun = Instant::now();
        let folders = &self.options.folders;
        publish(folders.snapshots(), seq, &self.buffer, self.options.keep)?;
        self.saved = None;
        if folders.durable.is_some() {
            // Of a time before there was a copy on disk: a start takes the newest of both folders.
            remove_all(&folders.hot)?;
        }
        let ns = u64::try_from((took + begun.elapsed()).as_nanos()).unwrap_or(u64::MAX);
        let counters = &mut self.counters;
        counters.snapshots += 1;
        counters.snapshot_seq = seq;
        counters.snapshot_bytes = self.buffer.len() as u64;
        counters.snapshot_ns_max = counters.snapshot_ns_max.max(ns);
        self.retire()
    }

    /// The journal is closed: writes its last state.
    fn write_last(&mut self) -> anyhow::Result<()> {
        if self.since > 0 {
            self.save();
        }
        loop {
            self.write_if_durable()?;
            if self.saved.is_none() || self.shared.give_up.load(Ordering::Acquire) {
                return Ok(());
            }
            thread::sleep(LOOK_LAST);
        }
    }

    /// Prepares for retiring segments, if that is asked for. Entries up to `seq` are not followed.
    fn begin_retiring(&mut self, seq: u64) {
        let ShadowOptions { folders, retain, sinks, .. } = &self.options;
        if !retain.is_set() {
            return;
        }
        match Retiring::begin(folders, *retain, sinks.clone(), seq, &self.shared.give_up) {
            Ok(retiring) => self.retiring = Some(retiring),
            // What lies before a snapshot is nothing that a run needs.
            Err(error) => {
                let dir = folders.hot.display();
                eprintln!("corelane: no segment of {dir} is retired in this run: {error:#}");
            }
        }
    }

    fn retire(&mut self) -> anyhow::Result<()> {
        let Some(retiring) = &mut self.retiring else { return Ok(()) };
        let dir = self.options.folders.snapshots();
        // With one alone, which may get damaged, there would be nothing else to begin from.
        let are_enough = list(dir)?.len() >= self.options.keep.min(2);
        let covered = if are_enough { covered(dir)? } else { 0 };
        let done = retiring.retire(&self.options.folders, covered)?;
        self.counters.retired.retired += done.retired;
        self.counters.retired.freed_bytes += done.freed_bytes;
        self.counters.needed_seq = retiring.needed_seq();
        Ok(())
    }
}

fn remove_new(dir: &Path) {
    // It is not there after an orderly end.
    let _ = LocalDisk.clear(&dir.join(NEW));
}

fn remove_all(dir: &Path) -> Result<(), JournalError> {
    for (_, path) in list(dir)? {
        LocalDisk.remove(&path).map_err(JournalError::io("delete", &path))?;
    }
    Ok(())
}
