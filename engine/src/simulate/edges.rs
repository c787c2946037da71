//! What the simulated world puts in the place of the system's clock, sockets and files' faults.
//!
//! Invariant: files are real ones, in a folder of the simulator's own on a memory file system, as
//! the journal's hot segments are; what can go wrong with them is decided here and in
//! [`super::disk`].

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::Died;
use super::desk::{Shared, SimWire};
use super::time::Time;
use crate::clock::Clock;
use crate::egress::{
    Edges, EgressError, FileSink, Log, OpenedSink, SinkConfig, SystemEdges, Target, TcpSink,
};
use crate::sys::fault::{Faults, FileOp};

/// Nobody reads what ten thousand worlds say.
fn say_nothing(_line: &str) {}

/// Opens sinks of the simulated world.
pub(super) struct SimEdges {
    time: Time,
    desk: Shared,
}

impl SimEdges {
    pub(super) fn new(time: &Time, desk: &Shared) -> Self {
        Self { time: time.clone(), desk: desk.clone() }
    }
}

impl fmt::Debug for SimEdges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimEdges")
    }
}

impl Edges for SimEdges {
    fn clock(&self) -> Clock {
        self.time.clock()
    }

    fn open(
        &self,
        config: &SinkConfig,
        _log: Log,
        known: Option<u64>,
        synced: bool,
    ) -> Result<OpenedSink, EgressError> {
        match &config.target {
            Target::Tcp(peer) => {
                let wire = SimWire::new(&self.desk);
                Ok((Box::new(TcpSink::new(config, wire, *peer, say_nothing)), Vec::new()))
            }
            Target::File(path) => {
                let opened = FileSink::open(config, path, say_nothing, known, synced);
                let (sink, written) = opened.map_err(|source| EgressError::Open {
                    name: config.name.clone(),
                    target: path.display().to_string(),
                    source,
                })?;
                Ok((Box::new(sink), written))
            }
            Target::Udp(_) => SystemEdges.open(config, say_nothing, known, synced),
        }
    }
}

#[derive(Default)]
struct State {
    /// The engine dies before so many more operations.
    dies_in: Cell<Option<u64>>,
    /// There is no room below this folder, or anywhere but below it.
    full: RefCell<Option<(PathBuf, bool)>>,
    /// The disk makes nothing durable.
    broken: Cell<bool>,
    /// One of the two was so since the engine began.
    was_any: Cell<bool>,
    /// Lengths of files that were synced by their users.
    synced: RefCell<BTreeMap<PathBuf, u64>>,
}

/// Faults of files.
#[derive(Clone, Default)]
pub(super) struct SimFaults(Rc<State>);

impl SimFaults {
    /// The engine dies before so many more operations, 0 at its next turn.
    pub(super) fn die_in(&self, operations: u64) {
        self.0.dies_in.set(Some(operations));
    }

    /// Whether it is to die now.
    pub(super) fn dies_now(&self) -> bool {
        self.0.dies_in.get() == Some(0)
    }

    /// From now on there is no room below a folder, or none anywhere else.
    pub(super) fn fill(&self, folder: &Path, below: bool) {
        self.0.was_any.set(true);
        *self.0.full.borrow_mut() = Some((folder.to_owned(), below));
    }

    /// From now on the disk makes nothing durable.
    pub(super) fn break_disk(&self) {
        self.0.was_any.set(true);
        self.0.broken.set(true);
    }

    pub(super) fn is_broken(&self) -> bool {
        self.0.broken.get()
    }

    /// Whether memory or disk is full, or the disk a bad one.
    pub(super) fn is_any(&self) -> bool {
        self.is_broken() || self.0.full.borrow().is_some()
    }

    /// An engine begins.
    pub(super) fn begin(&self) {
        self.0.was_any.set(self.is_any());
    }

    /// Whether either was so since the engine began.
    pub(super) fn was_any(&self) -> bool {
        self.0.was_any.get()
    }

    /// Makes room, and the disk a good one; whether either was needed since the engine began, which
    /// may find out later.
    pub(super) fn mend(&self) -> bool {
        self.0.full.take();
        self.0.broken.set(false);
        self.was_any()
    }

    /// Nothing more goes wrong.
    pub(super) fn calm(&self) {
        self.0.dies_in.set(None);
        self.mend();
    }

    /// How much of a file its user has synced.
    pub(super) fn synced_bytes(&self, path: &Path) -> u64 {
        self.0.synced.borrow().get(path).copied().unwrap_or(0)
    }

    fn is_full(&self, path: &Path) -> bool {
        let full = self.0.full.borrow();
        full.as_ref().is_some_and(|(folder, below)| path.starts_with(folder) == *below)
    }
}

impl Faults for SimFaults {
    fn before(&self, op: FileOp, path: &Path) -> io::Result<()> {
        if let Some(left) = self.0.dies_in.get() {
            let left = left.saturating_sub(1);
            self.0.dies_in.set(Some(left));
            if left == 0 {
                Died::now();
            }
        }
        if matches!(op, FileOp::Allocate | FileOp::Write) && self.is_full(path) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        Ok(())
    }

    fn synced(&self, path: &Path) {
        let bytes = fs::metadata(path).map_or(0, |metadata| metadata.len());
        self.0.synced.borrow_mut().insert(path.to_owned(), bytes);
    }
}
