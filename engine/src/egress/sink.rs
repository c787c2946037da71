//! What every sink has: the trait, its counters, and the way it says that something is wrong.
//!
//! Invariant: every action given to a sink is in exactly one of `sent`, `dropped` and what still
//! waits.

use corelane_feeds::units::Nanos;
use corelane_strategies::action::ActionId;
use serde::Serialize;

use super::queue::FrameQueue;

/// Takes encoded actions and gets them to where they go.
pub trait ActionSink: Send {
    /// Takes one encoded action. Must not wait; what cannot go out now is kept. False if it was
    /// dropped, which is counted.
    fn send(&mut self, frame: &[u8], now: Nanos) -> bool;

    /// Moves on what waits: connects, writes, flushes, notices a peer that left. Must not wait for
    /// the network.
    fn poll(&mut self, now: Nanos);

    /// How many actions wait.
    fn pending(&self) -> usize;

    /// Whether at most half of the room for what waits is taken.
    fn is_calm(&self) -> bool;

    /// How many of the actions that it took it is rid of, in order: handed to the kernel, or given
    /// up and counted. Of a sink whose receiver acknowledges only those that
    /// [`ActionSink::release`] named.
    fn settled(&self) -> u64;

    /// Where the last of them ends in what was written: the length of a file, 0 if it has none.
    fn position(&self) -> u64 {
        0
    }

    /// The newest action that the receiver says it has, with all before it.
    fn acknowledged(&mut self) -> Option<ActionId> {
        None
    }

    /// The oldest `actions` that are not settled were acknowledged.
    fn release(&mut self, _actions: u64) {}

    /// The last effort to get rid of what waits; the rest counts as dropped.
    fn close(&mut self, now: Nanos);

    /// The counters so far.
    fn stats(&self) -> SinkStats;
}

/// What a sink counted.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize)]
pub struct SinkStats {
    /// Its name in the configuration.
    pub name: String,
    /// Where it sends to.
    pub target: String,
    /// Actions it was given.
    pub taken: u64,
    /// Actions handed whole to the kernel, each counted once.
    pub sent: u64,
    /// Bytes handed to the kernel, repetitions included.
    pub sent_bytes: u64,
    /// Actions sent once more after a connection was lost.
    pub resent: u64,
    /// Actions given up: the buffer was full, or they could not be written before the end.
    pub dropped: u64,
    /// Writes, sends and connects that failed.
    pub errors: u64,
    /// Connections made.
    pub connects: u64,
    /// Connections lost.
    pub disconnects: u64,
    /// The most bytes that ever waited.
    pub pending_bytes_max: u64,
    /// What failed last.
    pub last_error: Option<String>,
}

/// Where sinks report trouble: once when it begins and once when it is over, not per action.
pub type Log = fn(&str);

/// A line on stderr.
pub fn log_stderr(line: &str) {
    eprintln!("corelane: {line}");
}

/// Counters and log of one sink.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) stats: SinkStats,
    log: Log,
    /// `dropped` when the current run of drops began.
    dropping_since: Option<u64>,
    failing: bool,
}

impl Ledger {
    pub(super) fn new(name: &str, target: String, log: Log) -> Self {
        let stats = SinkStats { name: name.to_owned(), target, ..SinkStats::default() };
        Self { stats, log, dropping_since: None, failing: false }
    }

    pub(super) fn say(&self, what: &str) {
        (self.log)(&format!("sink {} ({}): {what}", self.stats.name, self.stats.target));
    }

    /// `actions` were given up.
    pub(super) fn dropped(&mut self, actions: u64, why: &str) {
        if actions == 0 {
            return;
        }
        if self.dropping_since.is_none() {
            self.dropping_since = Some(self.stats.dropped);
            self.say(&format!("dropping actions: {why}"));
        }
        self.stats.dropped += actions;
    }

    /// An action was taken. A run of drops is over once the queue is calm again, not with the first
    /// action that happens to fit.
    pub(super) fn kept(&mut self, queue: &FrameQueue) {
        let bytes = queue.pending_bytes() as u64;
        self.stats.pending_bytes_max = self.stats.pending_bytes_max.max(bytes);
        if self.dropping_since.is_some() && queue.is_calm() {
            self.end_drops();
        }
    }

    /// Says how many actions the current run of drops cost.
    pub(super) fn end_drops(&mut self) {
        if let Some(since) = self.dropping_since.take() {
            self.say(&format!("dropped {} actions", self.stats.dropped - since));
        }
    }

    /// Something failed; said only if it worked before.
    pub(super) fn failed(&mut self, doing: &str, error: &std::io::Error) {
        self.stats.errors += 1;
        let text = format!("{doing}: {error}");
        if !self.failing {
            self.failing = true;
            self.say(&text);
        }
        self.stats.last_error = Some(text);
    }

    /// It works (again).
    pub(super) fn works(&mut self, what: &str) {
        if std::mem::take(&mut self.failing) {
            self.say(what);
        }
    }
}
