//! What a run came to: rates, losses, every counter, latency; as text for a terminal and as JSON.
//!
//! Invariants: a report only repeats what others counted; totals are sums over its own parts. JSON
//! names every counter, zeros included, and its keys are stable; the text leaves zeros out, but
//! always says what was lost, even if that is nothing.
//!
//! ```
//! use corelane::report::{Counts, FeedReport, RunReport};
//! let counters = Counts::from_iter([("packets", 10), ("messages", 350), ("gaps", 0)]);
//! let (name, protocol) = ("itch".into(), "itch50".into());
//! let feed = FeedReport { name, protocol, counters, notes: vec![] };
//! let report = RunReport { wall_ns: 500_000_000, feeds: vec![feed], ..RunReport::default() };
//! assert_eq!(report.totals().messages, 350);
//! assert_eq!(report.to_json()["rates"]["messages_per_s"], 700.0);
//! assert!(report.to_string().contains("nothing was lost"));
//! ```

use std::fs;
use std::io;
use std::path::Path;

use rustix::time::{ClockId, DynamicClockId, clock_gettime_dynamic};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::egress::{EgressStats, SinkStats};
use crate::latency::LatencyTable;
use crate::ring::RingStats;

mod text;

pub(crate) use text::{grouped, human_bytes, write_counts};

#[cfg(test)]
mod tests;

/// Named counters in a fixed order.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Counts(pub Vec<(String, u64)>);

impl<S: Into<String>> FromIterator<(S, u64)> for Counts {
    fn from_iter<I: IntoIterator<Item = (S, u64)>>(counts: I) -> Self {
        Self(counts.into_iter().map(|(name, count)| (name.into(), count)).collect())
    }
}

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, count)| (name, count)))
    }
}

impl Counts {
    /// A counter by its name; 0 if there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        self.0.iter().find(|(have, _)| have == name).map_or(0, |(_, count)| *count)
    }
}

/// One datagram socket of a reactor.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize)]
pub struct SocketReport {
    /// Group (or local address) and port.
    pub address: String,
    /// Receive buffer that was asked for, bytes.
    pub rcvbuf_asked: u64,
    /// Receive buffer that the kernel granted, bytes.
    pub rcvbuf_got: u64,
    /// Datagrams that the kernel dropped because that buffer was full.
    pub kernel_drops: u64,
}

/// One reactor.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize)]
pub struct ReactorReport {
    /// Its name.
    pub name: String,
    /// The CPU it was pinned to.
    pub core: Option<usize>,
    /// The receive backend in use.
    pub backend: String,
    /// Why that one.
    pub why: String,
    /// Its sockets.
    pub sockets: Vec<SocketReport>,
    /// What it counted.
    pub counters: Counts,
}

/// One feed.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize)]
pub struct FeedReport {
    /// Its name in the configuration.
    pub name: String,
    /// Its protocol.
    pub protocol: String,
    /// What was counted of it. `packets`, `messages`, `records`, `gaps`, `messages_missing` and
    /// `restarts` and `rejected` enter the totals.
    pub counters: Counts,
    /// What else there is to say, such as why lines were rejected.
    pub notes: Vec<String>,
}

/// One ring.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize)]
pub struct RingReport {
    /// Its name, producer_consumer.
    pub name: String,
    /// Slots of 64 bytes.
    pub slots: u64,
    /// Slots taken when the report was made.
    pub occupancy: u64,
    /// The most slots ever seen taken.
    pub occupancy_max: u64,
    /// Records that went through.
    pub records: u64,
    /// Tries that found it full.
    pub refused: u64,
    /// Records given up because it was full.
    pub dropped: u64,
}

impl From<&RingStats> for RingReport {
    fn from(stats: &RingStats) -> Self {
        Self {
            name: stats.name().to_owned(),
            slots: stats.capacity(),
            occupancy: stats.occupancy(),
            occupancy_max: stats.occupancy_max(),
            records: stats.drained(),
            refused: stats.refused(),
            dropped: stats.dropped(),
        }
    }
}

/// What an earlier run left that this one went on from.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize)]
pub struct RecoveredReport {
    /// How its journal was found: see [`crate::recover::Case`].
    pub case: String,
    /// The entry of the snapshot of every shard that began from one.
    pub snapshots: Vec<u64>,
    /// Records decided over again.
    pub records: u64,
    /// Actions that came out as they are in the journal.
    pub actions: u64,
    /// Actions that were decided and had not been journalled.
    pub owed: u64,
    /// Actions that no sink had confirmed, and that were sent again.
    pub resent: u64,
    /// Bytes at the end of the journal that were no entry.
    pub torn_bytes: u64,
    /// How long it took.
    pub ns: u64,
}

/// One shard.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize)]
pub struct ShardReport {
    /// Its name.
    pub name: String,
    /// The CPU it was pinned to.
    pub core: Option<usize>,
    /// Records that it consumed.
    pub records: u64,
    /// Actions that it decided on.
    pub actions: u64,
    /// What its books and the shard itself counted.
    pub counters: Counts,
}

/// One strategy, over all shards.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize)]
pub struct StrategyReport {
    /// Its name in the configuration.
    pub name: String,
    /// Which strategy of the registry.
    pub kind: String,
    /// Its rule number, which action ids name.
    pub rule: u16,
    /// Actions that it decided on.
    pub actions: u64,
    /// What it counted.
    pub counters: Counts,
}

/// One rule, over all shards.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize)]
pub struct RuleReport {
    /// Its name.
    pub name: String,
    /// `live`, `shadow` or `challenger`.
    pub mode: String,
    /// The rule that a challenger stands against.
    pub against: Option<String>,
    /// How often its condition was met.
    pub fired: u64,
    /// Actions taken.
    pub taken: u64,
    /// Actions decided and not taken: journalled only.
    pub shadowed: u64,
    /// Records for which its time was measured: one of 64.
    pub measured: u64,
    /// The time that it needed for a record: the median, in nanoseconds.
    pub p50_ns: u64,
    /// The same of 99 in 100 records at most.
    pub p99_ns: u64,
    /// The most.
    pub max_ns: u64,
    /// What it may need, in nanoseconds.
    pub budget_ns: Option<u64>,
    /// Measured records for which it needed more.
    pub over_budget: u64,
    /// Shards that suspended it for that.
    pub suspended: u64,
}

/// One shard's journal.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize)]
pub struct JournalReport {
    /// Its folder.
    pub dir: String,
    /// What it survives: `process`, `interval` or `sync`.
    pub durability: &'static str,
    /// How its copy on disk is written, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durable_by: Option<String>,
    /// Its last entry.
    pub last_seq: u64,
    /// The last entry that is on disk, if a copy is kept there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_durable_seq: Option<u64>,
    /// What it counted.
    pub counters: Counts,
}

/// The snapshots of one shard.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize)]
pub struct SnapshotReport {
    /// Where they lie.
    pub dir: String,
    /// What the shadow that writes them counted.
    pub counters: Counts,
    /// Why it stopped early, if it did.
    pub failure: Option<String>,
}

/// Sums over the parts of a report.
#[derive(Copy, Clone, Default, PartialEq, Eq, Debug, Serialize)]
pub struct Totals {
    /// Packets of all feeds.
    pub packets: u64,
    /// Messages in them.
    pub messages: u64,
    /// Records made of them.
    pub records: u64,
    /// Actions decided on.
    pub actions: u64,
    /// Sessions that began anew under the same name.
    pub restarts: u64,
    /// Datagrams lost before we saw them, because a socket's buffer was full.
    pub kernel_drops: u64,
    /// Holes in the feeds' sequences that nothing filled.
    pub gaps: u64,
    /// Messages in them.
    pub messages_missing: u64,
    /// Lines that gave no record.
    pub lines_rejected: u64,
    /// Records given up because a ring was full.
    pub ring_drops: u64,
    /// Actions that did not reach a sink's receiver.
    pub sink_drops: u64,
}

impl Totals {
    /// Whether nothing that arrived or was decided was lost on the way.
    #[must_use]
    pub const fn is_lossless(&self) -> bool {
        self.kernel_drops == 0
            && self.messages_missing == 0
            && self.lines_rejected == 0
            && self.ring_drops == 0
            && self.sink_drops == 0
    }
}

/// Everything worth saying about a run when it is over.
#[derive(Clone, Default, PartialEq, Debug, Serialize)]
pub struct RunReport {
    /// `run`, `replay`.
    pub command: String,
    /// The run's name in the configuration.
    pub name: String,
    /// The version of the program.
    pub version: String,
    /// Why it ended.
    pub ended: String,
    /// When it began, nanoseconds since the epoch.
    pub started_ns: u64,
    /// How long it took.
    pub wall_ns: u64,
    /// `fused` or `pipelined`.
    pub topology: String,
    /// How idle hot threads waited.
    pub waiting: String,
    /// The most memory the process ever had resident, bytes.
    pub memory_peak_bytes: Option<u64>,
    /// CPU time of all threads of the process during the run.
    pub cpu_ns: u64,
    /// What an earlier run left that this one went on from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered: Option<RecoveredReport>,
    /// The reactors, with the backend in use and what buffers they got.
    pub reactors: Vec<ReactorReport>,
    /// The feeds.
    pub feeds: Vec<FeedReport>,
    /// The rings.
    pub rings: Vec<RingReport>,
    /// The shards.
    pub shards: Vec<ShardReport>,
    /// The strategies.
    pub strategies: Vec<StrategyReport>,
    /// The rules.
    pub rules: Vec<RuleReport>,
    /// How often rule files changed and were taken.
    pub rule_reloads: u32,
    /// How often they changed and were not, because of a mistake.
    pub rule_reloads_refused: u32,
    /// The journals.
    pub journals: Vec<JournalReport>,
    /// The snapshots, if they are written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<SnapshotReport>,
    /// The sinks.
    pub sinks: Vec<SinkStats>,
    /// Actions that went out behind a later one although they should be in order.
    pub actions_out_of_order: u64,
    /// Latency by stage.
    pub latency: LatencyTable,
    /// Files that the run wrote, and what they are.
    pub files: Vec<(String, String)>,
}

impl RunReport {
    /// Adds what an egress counted.
    pub fn add_egress(&mut self, stats: EgressStats) {
        self.actions_out_of_order += stats.out_of_order;
        self.sinks.extend(stats.sinks);
    }

    /// Sums over the parts.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let feeds = |name: &str| self.feeds.iter().map(|feed| feed.counters.get(name)).sum();
        let sockets = self.reactors.iter().flat_map(|reactor| &reactor.sockets);
        Totals {
            packets: feeds("packets"),
            messages: feeds("messages"),
            records: feeds("records"),
            actions: self.shards.iter().map(|shard| shard.actions).sum(),
            restarts: feeds("restarts"),
            kernel_drops: sockets.map(|socket| socket.kernel_drops).sum(),
            gaps: feeds("gaps"),
            messages_missing: feeds("messages_missing"),
            lines_rejected: feeds("rejected"),
            ring_drops: self.rings.iter().map(|ring| ring.dropped).sum(),
            sink_drops: self.sinks.iter().map(|sink| sink.dropped).sum(),
        }
    }

    /// `count` per second of the run.
    #[must_use]
    pub fn per_s(&self, count: u64) -> f64 {
        if self.wall_ns == 0 { 0.0 } else { count as f64 * 1e9 / self.wall_ns as f64 }
    }

    /// The report as one JSON object: all fields, `totals` and `rates`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let totals = self.totals();
        let mut json = serde_json::to_value(self).unwrap_or_default();
        json["totals"] = serde_json::to_value(totals).unwrap_or_default();
        json["rates"] = serde_json::json!({
            "packets_per_s": self.per_s(totals.packets),
            "messages_per_s": self.per_s(totals.messages),
            "records_per_s": self.per_s(totals.records),
            "actions_per_s": self.per_s(totals.actions),
        });
        json
    }

    /// Writes the JSON, indented, to a file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_json(&self, path: &Path) -> io::Result<()> {
        fs::write(path, format!("{:#}\n", self.to_json()))
    }
}

/// CPU time of all threads of this process so far; 0 where the system does not tell.
#[must_use]
pub fn process_cpu_ns() -> u64 {
    let clock = DynamicClockId::Known(ClockId::ProcessCPUTime);
    let Ok(time) = clock_gettime_dynamic(clock) else { return 0 };
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// The most memory this process ever had resident (`VmHWM`), in bytes.
#[must_use]
pub fn memory_peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}
