//! How long things took: one HDR histogram per stage per hot thread, merged without locks.
//!
//! ```text
//! kernel ──> user ──> decoded ──> decided ──> journalled ──> sent
//!    kernel_to_user  decode    decide     journal        send
//!    └──────────── wire_to_decided ───┘                     │
//!    └──────────────────── wire_to_action ──────────────────┘
//!               └ packet: user receive to the whole packet dealt with
//! ```
//!
//! Every hot thread owns a [`LatencyRecorder`]: two sets of histograms, one that it records into
//! and one spare. Now and then it swaps them and hands the full set to the [`LatencyCollector`] of
//! the service thread, which adds it up, writes the interval log, and gives the set back empty.
//!
//! What is stamped. A clock reading costs 12 ns, so not every record gets six of them: receive and
//! decode are stamped once per packet, `decide` and `journal` for a record that led to an action or
//! that a [`Sampler`] picks (every [`DECIDE_EVERY`]th), and `send` and `wire_to_action` for every
//! action. "Wire" is the kernel's receive stamp, or ours where the kernel gave none. In a replay
//! the stamps of the capture are no times of this machine: only what starts at `user` is recorded.
//!
//! Invariants: recording allocates nothing and never fails: a value beyond [`LATENCY_NS_MAX`]
//! counts as that, and a stamp before its predecessor (two clocks that disagree) as 0 and as
//! `backwards`. Every value recorded is in the collector once the recorder is dropped.
//!
//! ```
//! use std::time::Duration;
//! use corelane::latency::{LatencyCollector, Stage};
//! use corelane_feeds::units::Nanos;
//! let mut collector = LatencyCollector::new(Duration::from_secs(1), Nanos(0));
//! let mut recorder = collector.recorder();
//! recorder.record(Stage::Decide, Nanos(100), Nanos(350));
//! drop(recorder);
//! let table = collector.finish(Nanos(1_000)).unwrap();
//! assert_eq!(table.row(Stage::Decide).unwrap().max_ns, 350 - 100);
//! ```

mod collector;
mod hgrm;
mod hlog;
mod recorder;
mod rules;
mod table;

#[cfg(test)]
mod tests;

use corelane_feeds::units::Nanos;

pub use collector::LatencyCollector;
pub use hgrm::write_hgrm;
pub use hlog::HlogWriter;
pub use recorder::{LatencyRecorder, Sampler};
pub use rules::{RuleMeter, RuleTimes};
pub use table::{LatencyTable, StageRow, human_ns};

/// The longest latency that is told apart: a minute.
pub const LATENCY_NS_MAX: u64 = 60_000_000_000;
/// Significant decimal digits of a histogram.
pub const DIGITS: u8 = 3;
/// Of the records without an action, how many share one measurement of `decide` and `journal`.
pub const DECIDE_EVERY: u32 = 64;

/// A part of the way from wire to action.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Stage {
    /// Kernel receive to user receive; per packet.
    KernelToUser,
    /// User receive to decoded; per packet, to its first record.
    Decode,
    /// User receive to the whole packet dealt with: decoded and handed to its shard, and where that
    /// is the same thread also decided and journalled; per packet.
    Packet,
    /// Decoded (or taken from the ring) to decided; sampled, and for every record with an action.
    Decide,
    /// Decided to journalled; as `Decide`.
    Journal,
    /// Journalled to sent, the way to egress included; per action.
    Send,
    /// Kernel receive, or user receive if there is no such stamp, to decided; as `Decide`.
    WireToDecided,
    /// Kernel receive, or user receive if there is no such stamp, to sent; per action.
    WireToAction,
}

impl Stage {
    /// How many there are.
    pub const COUNT: usize = 8;
    /// All, in the order of reports.
    pub const ALL: [Self; Self::COUNT] = [
        Self::KernelToUser,
        Self::Decode,
        Self::Packet,
        Self::Decide,
        Self::Journal,
        Self::Send,
        Self::WireToDecided,
        Self::WireToAction,
    ];

    /// The name in reports, files and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KernelToUser => "kernel_to_user",
            Self::Decode => "decode",
            Self::Packet => "packet",
            Self::Decide => "decide",
            Self::Journal => "journal",
            Self::Send => "send",
            Self::WireToDecided => "wire_to_decided",
            Self::WireToAction => "wire_to_action",
        }
    }
}

/// When one record passed each point; 0 where no stamp was taken.
#[derive(Copy, Clone, Default, PartialEq, Eq, Debug)]
pub struct Stamps {
    /// The kernel received the packet.
    pub kernel: Nanos,
    /// We received the packet.
    pub user: Nanos,
    /// The record was decoded, or taken from the ring.
    pub decoded: Nanos,
    /// Every strategy has seen it.
    pub decided: Nanos,
    /// It and its actions are in the journal.
    pub journalled: Nanos,
    /// Its last action was handed to the kernel.
    pub sent: Nanos,
}

impl Stamps {
    /// When it arrived: the kernel's word, else ours.
    #[inline]
    #[must_use]
    pub const fn wire(&self) -> Nanos {
        if self.kernel.0 != 0 { self.kernel } else { self.user }
    }
}
