//! What the simulated world puts in the place of the system's clock, sockets and files' faults.
//!
//! Invariant: files are real ones, in a folder of the simulator's own on a memory file system, as
//! the journal's hot segments are; what can go wrong with them is decided here.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::path::Path;
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
    full: Cell<bool>,
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

    /// From now on there is no room.
    pub(super) fn fill(&self) {
        self.0.full.set(true);
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.full.get()
    }

    /// Makes room; whether there was none.
    pub(super) fn make_room(&self) -> bool {
        self.0.full.replace(false)
    }

    /// Nothing more goes wrong.
    pub(super) fn calm(&self) {
        self.0.dies_in.set(None);
        self.0.full.set(false);
    }
}

impl Faults for SimFaults {
    fn before(&self, op: FileOp, _path: &Path) -> io::Result<()> {
        if let Some(left) = self.0.dies_in.get() {
            let left = left.saturating_sub(1);
            self.0.dies_in.set(Some(left));
            if left == 0 {
                Died::now();
            }
        }
        if self.is_full() && matches!(op, FileOp::Allocate | FileOp::Write) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        Ok(())
    }
}
