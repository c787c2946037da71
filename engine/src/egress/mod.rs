//! Egress: actions out to files, TCP and UDP receivers.
//!
//! ```text
//! shard 0 ──┐                       ┌── file   buffered, appended
//! shard 1 ──┼─> order ──> encode ───┼── tcp    kept while the peer is away, sent again
//! shard M ──┘   (if asked)  once    └── udp    one datagram each
//! ```
//!
//! Formats. `json`: one object a line (see [`format_action_json`]). `binary`: the record's own
//! bytes, one after the other; byte 2 of each says its length in 4-byte words, so no prefix is
//! needed.
//!
//! What is sent depends only on what was decided: an output says when the cause happened and
//! nothing of when this machine saw it (`ts_recv` is 0 in binary), so that a replay gives the same
//! bytes. `stamps = true` gives that up: JSON has `ts_recv` and `ts_sent`, binary `ts_recv`.
//!
//! Order. Actions of one shard keep their order. Those of several go out as they arrive, or with
//! `ordered` in the order of their causes, which is the same for any number of shards; that holds
//! actions back until every shard is past them, so it is made for replays.
//!
//! Invariants: nothing here waits for a receiver. Every action is either handed to the kernel
//! whole, waiting within a stated bound, or counted as dropped. Encoding allocates nothing per
//! action.
//!
//! ```
//! use corelane::clock::Clock;
//! use corelane::egress::{Egress, EgressSpec, SinkConfig, Target};
//! let folder = tempfile::tempdir().unwrap();
//! let path = folder.path().join("actions.jsonl");
//! let sinks = vec![SinkConfig::new("log", Target::File(path.clone()))];
//! let mut egress = Egress::open(&EgressSpec { sinks, ..EgressSpec::default() }).unwrap();
//! let order = corelane_strategies::action::Order::new(Default::default(), b'B');
//! use corelane_feeds::record::View;
//! egress.take(0, order.as_record());
//! let stats = egress.finish(std::time::Duration::ZERO);
//! assert_eq!(stats.sinks[0].sent, 1);
//! assert!(std::fs::read_to_string(path).unwrap().starts_with("{\"id\":\"0-00000000-0-0-0\""));
//! ```

pub mod cli;
pub mod confirm;
mod drain;
mod file;
mod json;
mod merge;
mod outlet;
mod positions;
mod queue;
pub mod receive;
mod sink;
mod spec;
mod tail;
mod tcp;
mod udp;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::{Arc, RwLock};
use std::time::Duration;

use corelane_feeds::record::{Record, RecordBuf, Stamp};
use corelane_feeds::schema::Schema;
use corelane_feeds::streams::sys::Tick;
use corelane_feeds::units::Nanos;
use corelane_strategies::action::ActionId;
use serde::Serialize;
use zerocopy::IntoBytes;

use crate::clock::Clock;
use crate::latency::{LatencyRecorder, Stage};
pub(crate) use file::FileSink;
use merge::Merge;
use outlet::Outlet;
pub(crate) use tail::id_of_line;
pub(crate) use tcp::TcpSink;
pub(crate) use wire::Wire;

pub use drain::{Drain, run};
pub use json::{ActionExtras, format_action_json, format_record_json, schema_of};
pub use positions::SinkPositions;
pub use sink::{ActionSink, Log, SinkStats, log_stderr};
pub use spec::{
    Edges, EgressError, EgressSpec, Filter, Format, OpenedSink, Past, SinkConfig, SystemEdges,
    Target,
};

/// Room for the longest encoded action; a longer one only costs an allocation.
const FRAME_BYTES_MAX: usize = 2_048;
/// Encodings of one action: two formats, with and without stamps.
const ENCODINGS: usize = 4;
/// Pause between two tries to get rid of the rest at the end of a run.
const FINISH_PAUSE: Duration = Duration::from_millis(1);

/// A mark in a stream of actions: nothing earlier than `watermark` follows from this shard, and
/// what follows was journalled at `journalled` (0 if that is not measured).
#[must_use]
pub fn mark(watermark: Nanos, journalled: Nanos) -> Tick {
    Tick::new(Stamp { ts_event: watermark, ts_recv: journalled, ..Stamp::default() }, 0)
}

/// What egress counted.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize)]
pub struct EgressStats {
    /// Actions taken from the shards.
    pub actions: u64,
    /// Records that are no action: not sent.
    pub ignored: u64,
    /// The most actions that were held back to put them in order.
    pub held_max: u64,
    /// Actions that went out behind a later one although they should be in order.
    pub out_of_order: u64,
    /// Every sink, in the order of the configuration.
    pub sinks: Vec<SinkStats>,
}

/// Hands the actions of one or more shards to every sink that wants them.
pub struct Egress {
    outlets: Vec<Outlet>,
    strategies: Vec<String>,
    later: Arc<RwLock<Vec<String>>>,
    declared: Vec<&'static Schema>,
    encoded: [Vec<u8>; ENCODINGS],
    merge: Option<Merge>,
    /// Per shard, when what it sends now was journalled; 0 if unknown.
    journalled: Vec<Nanos>,
    /// Per shard, how many actions of an earlier run are still to come again.
    again: Vec<u64>,
    clock: Clock,
    latency: Option<LatencyRecorder>,
    live: bool,
    stats: EgressStats,
}

impl Egress {
    /// Opens every sink. A TCP peer need not be there yet.
    ///
    /// # Errors
    /// If a file or socket cannot be opened, or a filter names what is not there.
    pub fn open(spec: &EgressSpec) -> Result<Self, EgressError> {
        let mut egress = Self {
            outlets: Vec::with_capacity(spec.sinks.len()),
            strategies: spec.strategies.clone(),
            later: Arc::clone(&spec.later),
            declared: spec.declared.clone(),
            encoded: std::array::from_fn(|_| Vec::with_capacity(FRAME_BYTES_MAX)),
            merge: spec.ordered.then(|| Merge::new(spec.shards)),
            journalled: vec![Nanos(0); spec.shards],
            again: spec.past.iter().map(|past| past.again).collect(),
            clock: spec.edges.clock(),
            latency: None,
            live: spec.live,
            stats: EgressStats::default(),
        };
        for config in &spec.sinks {
            egress.outlets.push(Outlet::open(config, spec)?);
        }
        egress.again.resize(spec.shards, 0);
        egress.end_past_if_over();
        Ok(egress)
    }

    /// Adds a sink of one's own.
    pub fn add_sink(
        &mut self,
        sink: Box<dyn ActionSink>,
        filter: Filter,
        format: Format,
        stamps: bool,
    ) {
        self.outlets.push(Outlet::new(sink, filter, format, stamps));
    }

    /// Measures `send` and, if live, `wire_to_action` of every action from now on.
    pub fn measure(&mut self, latency: LatencyRecorder) {
        self.latency = Some(latency);
    }

    /// Takes one record of a shard: an action, or a [`mark`]. Anything else is counted as ignored.
    pub fn take(&mut self, shard: usize, record: &Record) {
        if record.header.stream == Tick::STREAM {
            self.journalled[shard] = record.header.ts_recv;
            self.advance(shard, record.header.ts_event);
            return;
        }
        let Some(key) = merge::key(record) else {
            self.stats.ignored += 1;
            return;
        };
        self.stats.actions += 1;
        let Some(merge) = &mut self.merge else {
            self.dispatch(shard, record);
            return;
        };
        merge.push(shard, key, record);
        self.release();
    }

    /// What a shard on the same thread says instead of a [`mark`]: its actions to come were
    /// journalled at `at`.
    #[inline]
    pub fn journalled(&mut self, shard: usize, at: Nanos) {
        self.journalled[shard] = at;
    }

    /// Nothing more comes from a shard.
    pub fn close_shard(&mut self, shard: usize) {
        if let Some(merge) = &mut self.merge {
            merge.close(shard);
        }
        self.release();
    }

    /// Moves on what waits in the sinks. For every turn of the thread's loop.
    pub fn poll(&mut self) {
        self.clock.sync_if_due();
        let now = self.clock.now();
        for outlet in &mut self.outlets {
            outlet.sink.poll(now);
            outlet.settle();
        }
        if let Some(latency) = &mut self.latency {
            latency.publish_if_due(now);
        }
    }

    /// How many actions wait, in order or in sinks.
    #[must_use]
    pub fn pending(&self) -> usize {
        let held = self.merge.as_ref().map_or(0, Merge::held);
        held + self.outlets.iter().map(|outlet| outlet.sink.pending()).sum::<usize>()
    }

    /// What was counted so far.
    #[must_use]
    pub fn stats(&self) -> EgressStats {
        let mut stats = self.stats.clone();
        if let Some(merge) = &self.merge {
            (stats.held_max, stats.out_of_order) = (merge.held_max as u64, merge.out_of_order);
        }
        stats.sinks = self.outlets.iter().map(|outlet| outlet.sink.stats()).collect();
        stats
    }

    /// Gets rid of what waits, for at most `patience`, and closes every sink. This one call waits.
    #[must_use]
    pub fn finish(mut self, patience: Duration) -> EgressStats {
        (0..self.journalled.len()).for_each(|shard| self.close_shard(shard));
        let deadline = self.clock.now().0.saturating_add(patience.as_nanos() as u64);
        self.poll();
        while self.pending() > 0 && self.clock.now().0 < deadline {
            self.clock.pause(FINISH_PAUSE);
            self.poll();
        }
        let now = self.clock.now();
        for outlet in &mut self.outlets {
            outlet.sink.close(now);
            outlet.settle();
        }
        self.stats()
    }

    fn advance(&mut self, shard: usize, watermark: Nanos) {
        if let Some(merge) = &mut self.merge {
            merge.advance(shard, watermark);
            self.release();
        }
    }

    fn release(&mut self) {
        while let Some((shard, record)) = self.merge.as_mut().and_then(Merge::pop) {
            if let Some(record) = record.record() {
                self.dispatch(shard, record);
            }
        }
    }

    fn dispatch(&mut self, shard: usize, record: &Record) {
        let Some(id) = ActionId::of(record) else { return };
        if usize::from(id.rule) > self.strategies.len() {
            self.look_up_names();
        }
        let again = self.again[shard] > 0;
        let now = self.clock.now();
        let mut fresh = [false; ENCODINGS];
        for outlet in &mut self.outlets {
            // Asked of every action, wanted or not: what is wanted may have changed.
            let has_it = if again { outlet.is_past(shard, &id) } else { outlet.is_ahead(&id) };
            if has_it {
                continue;
            }
            if !outlet.filter.wants(record.header.stream, id.rule) {
                continue;
            }
            if again {
                outlet.await_room(&mut self.clock);
            }
            let which = outlet.format as usize * 2 + usize::from(outlet.stamps);
            let frame = &mut self.encoded[which];
            if !std::mem::replace(&mut fresh[which], true) {
                let strategy = usize::from(id.rule).checked_sub(1);
                let strategy = strategy.and_then(|i| self.strategies.get(i)).map(String::as_str);
                let ts_sent = outlet.stamps.then_some(now);
                let declared = &self.declared[..];
                frame.clear();
                encode(record, outlet.format, ActionExtras { strategy, ts_sent, declared }, frame);
            }
            outlet.send(shard, id, frame, now);
        }
        if again {
            self.again[shard] -= 1;
            self.end_past_if_over();
        } else {
            self.record_latency(shard, record);
        }
    }

    /// Sinks need to know what an earlier run was rid of only as long as its actions come again.
    fn end_past_if_over(&mut self) {
        if self.again.iter().all(|again| *again == 0) {
            self.outlets.iter_mut().for_each(Outlet::end_past);
        }
    }

    /// An action of a rule that came after the run had begun.
    #[cold]
    fn look_up_names(&mut self) {
        if let Ok(names) = self.later.read()
            && names.len() > self.strategies.len()
        {
            self.strategies.clone_from(&names);
        }
    }

    fn record_latency(&mut self, shard: usize, record: &Record) {
        let Some(latency) = &mut self.latency else { return };
        let sent = self.clock.now();
        let journalled = self.journalled[shard];
        if journalled.0 != 0 {
            latency.record(Stage::Send, journalled, sent);
        }
        if self.live && record.header.ts_recv.0 != 0 {
            latency.record(Stage::WireToAction, record.header.ts_recv, sent);
        }
    }
}

fn encode(record: &Record, format: Format, extras: ActionExtras<'_>, out: &mut Vec<u8>) {
    match format {
        Format::Json => {
            let known = format_action_json(record, extras, out);
            assert!(known, "only actions are sent");
            out.push(b'\n');
        }
        Format::Binary if extras.ts_sent.is_some() => out.extend_from_slice(record.as_bytes()),
        Format::Binary => {
            let mut plain: RecordBuf = record.to_buf();
            if let Some(header) = plain.header_mut() {
                header.ts_recv = Nanos(0);
            }
            out.extend_from_slice(plain.record().map_or(&[], IntoBytes::as_bytes));
        }
    }
}
