//! Makes a shard's journal durable on a thread of its own, off the hot core: hot segments in memory
//! are copied to durable ones on disk, and committed in groups.
//!
//! ```text
//! hot thread  ──written──>  durable-N thread ──write, fdatasync──> disk
//!             <──durable──
//! ```
//!
//! `interval` commits what is new once in a while: a power cut loses that much at most. `sync`
//! commits as often as the disk takes it, everything that came during one group in the next.
//!
//! A run that is stepped has no such thread: it commits when it is told to ([`Durable::step`]).
//!
//! Invariant: the hot thread never waits here; the thread ends with the journal, or at the first
//! error, which [`Progress`] tells.

use std::cell::RefCell;
use std::collections::BTreeMap;
#[cfg(feature = "glommio")]
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::copier::Copier;
use super::prepare::leave_the_hot_core;
use super::progress::Progress;
use super::{JournalConfig, JournalError, shard_dir};
use crate::sys::disk::{Disk, LocalDisk, PlainDisk};

/// The shortest and the longest pause between two looks whether anything is new. A wake-up by the
/// hot thread would cost it a system call.
const LOOK: (Duration, Duration) = (Duration::from_micros(20), Duration::from_micros(250));
/// Pause of whoever waits until all is durable, at a start or an end.
const WAIT: Duration = Duration::from_micros(50);

thread_local! {
    /// Of runs that are stepped on this thread, by number: a disk belongs to its thread, while a
    /// journal's writer may be given to another.
    static COPIERS: RefCell<BTreeMap<usize, Copier>> = const { RefCell::new(BTreeMap::new()) };
}

/// What a journal survives.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// The death of the process: what lies in memory outlives it.
    #[default]
    Process,
    /// A power cut, but for the last moments.
    Interval,
    /// A power cut: an action leaves only when it is on disk.
    Sync,
}

/// How a journal is made durable.
#[derive(Clone, Debug)]
pub struct DurableConfig {
    /// What it survives; never [`Durability::Process`].
    pub durability: Durability,
    /// The directory of the run on disk; every shard has a folder in it.
    pub dir: PathBuf,
    /// Time between two groups of `interval`.
    pub interval: Duration,
    /// The most bytes that are written before they are synced.
    pub group_bytes: usize,
    /// Full, durable segments that stay in memory.
    pub hot_segments: u64,
}

/// The thread that makes a journal durable.
#[derive(Debug)]
pub(super) struct Durable {
    progress: Arc<Progress>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Without a thread: its copier is among [`COPIERS`].
    is_stepped: bool,
    durability: Durability,
    how: String,
}

impl Durable {
    /// Starts the thread, which goes on where the segments on disk end; entry `durable_seq` is
    /// durable. The hot segments are there.
    pub(super) fn start(
        config: &JournalConfig,
        durable: &DurableConfig,
        durable_seq: u64,
    ) -> Result<Self, JournalError> {
        let progress = Arc::new(Progress::new(durable_seq));
        let stop = Arc::new(AtomicBool::new(false));
        let durability = durable.durability;
        let (ready, readiness) = mpsc::channel();
        let worker = Worker {
            hot: shard_dir(&config.dir, config.shard),
            dir: shard_dir(&durable.dir, config.shard),
            config: durable.clone(),
            cpu: config.service_cpu,
            progress: Arc::clone(&progress),
            stop: Arc::clone(&stop),
        };
        if config.stepped {
            let (mut copier, how) = worker.begin_on(Box::new(LocalDisk))?;
            copier.tell_notes(true);
            let durable = Self { progress, stop, thread: None, is_stepped: true, durability, how };
            COPIERS.with(|all| all.borrow_mut().insert(durable.number(), copier));
            return Ok(durable);
        }
        let dir = worker.dir.clone();
        let thread = thread::Builder::new()
            .name(format!("durable-{}", config.shard))
            .spawn(move || worker.run(&ready))
            .map_err(JournalError::io("start a thread for", &dir))?;
        let how = readiness.recv().unwrap_or(Err(JournalError::Stopped))?;
        Ok(Self { progress, stop, thread: Some(thread), is_stepped: false, durability, how })
    }

    /// Makes durable what was published, on this thread, and copies notes of sinks if it is told
    /// to. Nothing if there is a thread for that.
    pub(super) fn step(&self, notes: bool) {
        if !self.is_stepped || self.progress.has_failed() {
            return;
        }
        let number = self.number();
        // Taken out: should the process be said to die in its turn, it is gone with it.
        let Some(mut copier) = COPIERS.with(|all| all.borrow_mut().remove(&number)) else {
            return;
        };
        copier.tell_notes(notes);
        if let Err(error) = copier.turn() {
            self.progress.fail(error);
        }
        COPIERS.with(|all| all.borrow_mut().insert(number, copier));
    }

    /// Names it among those of its thread.
    fn number(&self) -> usize {
        Arc::as_ptr(&self.progress) as usize
    }

    pub(super) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    pub(super) fn durability(&self) -> Durability {
        self.durability
    }

    /// How the disk is written to, and why.
    pub(super) fn how(&self) -> &str {
        &self.how
    }

    /// Waits until entry `seq` is durable.
    pub(super) fn await_seq(&self, seq: u64) -> Result<(), JournalError> {
        self.step(true);
        while self.progress.last_durable_seq() < seq {
            if self.progress.has_failed() {
                return Err(self.progress.take_failure().unwrap_or(JournalError::Stopped));
            }
            if let Some(thread) = &self.thread {
                thread.thread().unpark();
            }
            thread::sleep(WAIT);
        }
        Ok(())
    }

    /// Makes durable all that was published, and ends the thread.
    pub(super) fn finish(mut self) -> Result<(), JournalError> {
        self.end();
        self.step(true);
        match self.progress.has_failed() {
            true => Err(self.progress.take_failure().unwrap_or(JournalError::Stopped)),
            false => Ok(()),
        }
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic there was told by the panic hook, and counts as a failure.
            let _ = thread.join();
        }
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        self.end();
        if self.is_stepped {
            COPIERS.with(|all| all.borrow_mut().remove(&self.number()));
        }
    }
}

/// What the thread works with.
struct Worker {
    hot: PathBuf,
    dir: PathBuf,
    config: DurableConfig,
    cpu: Option<usize>,
    progress: Arc<Progress>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    fn run(self, ready: &Sender<Result<String, JournalError>>) {
        leave_the_hot_core(self.cpu);
        let begun = self.begin();
        let mut copier = match begun {
            Ok((copier, how)) => {
                let _ = ready.send(Ok(how));
                copier
            }
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        // A panic is a failure, too: whoever waits must learn of it.
        let mut worked = Worked { progress: &self.progress, ended: Err(JournalError::Stopped) };
        worked.ended = self.work(&mut copier);
    }

    fn begin(&self) -> Result<(Copier, String), JournalError> {
        PlainDisk.make_dir(&self.dir).map_err(JournalError::io("make", &self.dir))?;
        let (disk, how) = open_disk(&self.dir, self.cpu);
        let (copier, _) = self.begin_on(disk)?;
        Ok((copier, how))
    }

    fn begin_on(&self, disk: Box<dyn Disk>) -> Result<(Copier, String), JournalError> {
        let how = disk.describe();
        let (hot, dir) = (self.hot.clone(), self.dir.clone());
        let bounds = (self.config.group_bytes, self.config.hot_segments);
        let mut copier = Copier::begin(disk, hot, dir, Arc::clone(&self.progress), bounds)?;
        copier.begin_notes()?;
        Ok((copier, how))
    }

    fn work(&self, copier: &mut Copier) -> Result<(), JournalError> {
        let mut pause = LOOK.0;
        loop {
            // Asked before the turn: what was published before the stop is seen.
            let stop = self.stop.load(Ordering::Acquire);
            let begun = Instant::now();
            let was_new = copier.turn()?;
            if stop {
                return copier.finish();
            }
            pause = match self.config.durability {
                Durability::Interval => self.config.interval.saturating_sub(begun.elapsed()),
                _ if was_new => LOOK.0,
                _ => (pause * 2).min(LOOK.1),
            };
            if !pause.is_zero() {
                thread::park_timeout(pause);
            }
        }
    }
}

/// Tells how the work ended, however that comes.
struct Worked<'a> {
    progress: &'a Progress,
    ended: Result<(), JournalError>,
}

impl Drop for Worked<'_> {
    fn drop(&mut self) {
        if let Err(error) = std::mem::replace(&mut self.ended, Ok(())) {
            self.progress.fail(error);
        }
    }
}

/// The best way to write to a folder, and what it is.
fn open_disk(dir: &Path, cpu: Option<usize>) -> (Box<dyn Disk>, String) {
    #[cfg(feature = "glommio")]
    let refused = match catch_unwind(AssertUnwindSafe(|| try_uring(dir, cpu))) {
        Ok(Ok(disk)) => {
            let how = disk.describe();
            return (disk, how);
        }
        Ok(Err(error)) => format!("io_uring is not to be had: {error}"),
        Err(_) => "glommio cannot write there".to_owned(),
    };
    #[cfg(not(feature = "glommio"))]
    let refused = format!("built without glommio, for {} and {cpu:?}", dir.display());
    (Box::new(PlainDisk), format!("{} ({refused})", PlainDisk.describe()))
}

/// Opens the disk and tries it.
#[cfg(feature = "glommio")]
fn try_uring(dir: &Path, cpu: Option<usize>) -> std::io::Result<Box<dyn Disk>> {
    use crate::sys::disk::{BLOCK_BYTES, UringDisk};
    let disk = UringDisk::new(cpu)?;
    let path = dir.join("try.new");
    // One may be left of a start that died.
    let _ = disk.remove(&path);
    let mut file = disk.create(&path, BLOCK_BYTES)?;
    let tried = file.write_at(0, &[0; BLOCK_BYTES as usize]).and_then(|()| file.sync());
    drop(file);
    disk.remove(&path)?;
    tried?;
    Ok(Box::new(disk))
}
