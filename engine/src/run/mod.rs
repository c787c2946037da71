//! A run: the threads of a topology over live feeds or a capture, from start to report.
//!
//! ```text
//! fused      reactor+shard 0, 1, ... ──┐
//! pipelined  reactors ══rings══ shards ┼──ring──> egress thread        service: the calling thread
//! ```
//!
//! Invariant: the same chain, journal and sinks whatever the topology and the input; a capture is
//! read by one reactor, so that its order is the order of all that follows.

mod any_feed;
mod collect;
mod intake;
mod journal;
mod notify;
mod past;
pub mod plan;
mod reload;
mod router;
mod service;
mod setup;
mod soup;
pub(crate) mod stepped;
mod threads;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::latency::RuleTimes;
use crate::report::RunReport;

pub(crate) use any_feed::AnyFeed;
pub use plan::{build_chain, deciders};
pub use router::shard_of;
pub use service::execute;

/// How fast a capture is replayed.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum Speed {
    /// As fast as it goes.
    Max,
    /// So many times as fast as it was captured; 1 is original.
    Times(f64),
}

/// Where the packets of a run come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The configured sockets and connections.
    Live,
    /// A capture, or a file of lines.
    Capture {
        /// The file; `-` for standard input.
        path: PathBuf,
        /// How fast.
        speed: Speed,
    },
}

/// When a run ends, besides at the end of a capture.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Set it and the run ends: rings drained, journals closed.
    pub stop: Arc<AtomicBool>,
    /// End when every feed said that its session is over.
    pub until_end: bool,
    /// End after so much silence, once something was received; 0 never.
    pub idle_exit_ns: u64,
    /// End after so much time; 0 never.
    pub duration_ns: u64,
    /// Which feed a file of lines is of, if several could be.
    pub lines_of: Option<String>,
    /// Make this file once everything is open and receiving.
    pub ready_file: Option<PathBuf>,
}

/// What a run comes to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Every counter and every figure.
    pub report: RunReport,
    /// How long every rule took, over all shards so far.
    rule_times: RuleTimes,
    /// Numbers of the rules in the report.
    rule_numbers: Vec<u16>,
    /// Why the run ended early: a journal, a capture or a socket that failed on the way.
    pub failure: Option<anyhow::Error>,
}

/// What was found in a capture besides the packets of the feeds.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayCounters {
    /// Frames, or messages of a file without packets.
    pub frames: u64,
    /// Frames captured in part, or that end before what their headers announce.
    pub truncated: u64,
    /// Fragments of IP packets.
    pub fragments: u64,
    /// Datagrams to an address that is no feed's.
    pub unrouted: u64,
    /// TCP segments.
    pub tcp: u64,
    /// Frames of another protocol.
    pub other: u64,
    /// Bytes at the end that are no whole frame.
    pub cut_bytes: u64,
}

impl ReplayCounters {
    /// Every counter with its name, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let Self { frames, truncated, fragments, unrouted, tcp, other, cut_bytes } = *self;
        [
            ("frames", frames),
            ("truncated", truncated),
            ("fragments", fragments),
            ("unrouted", unrouted),
            ("tcp", tcp),
            ("other", other),
            ("cut_bytes", cut_bytes),
        ]
        .into_iter()
    }
}
