//! From packets to records on a reactor's thread: each packet to its feed, each record downstream,
//! with the stamps of the way.
//!
//! Invariant: packets of one feed reach it in the order in which they were handed over.

use corelane_feeds::feed::BINARY_FILE_SESSION;
use corelane_feeds::record::{Record, RecordSink};
use corelane_feeds::units::{Nanos, Seq};

use super::any_feed::AnyFeed;
use super::router::Router;
use crate::clock::Clock;
use crate::latency::{LatencyRecorder, Stage};
use crate::reactor::{Closed, SessionHandler, SessionName};
use crate::report::Counts;
use crate::shard::{ActionOut, Shard};

/// Where a reactor's records go: a shard on the same thread, or the rings to several.
pub(super) trait Downstream: RecordSink {
    /// The records that follow were decoded at `decoded`.
    fn begin(&mut self, decoded: Nanos);
    /// A packet is done.
    fn end_packet(&mut self);
    /// A moment for what can wait.
    fn idle(&mut self);
    /// Whether it cannot go on: the run must end.
    fn has_failed(&self) -> bool;
    /// Whether it has something to do soon though nothing comes in.
    fn is_busy(&self) -> bool {
        false
    }
}

impl<O: ActionOut + Poll> Downstream for Shard<O> {
    #[inline]
    fn begin(&mut self, decoded: Nanos) {
        Shard::begin(self, decoded);
    }

    #[inline]
    fn end_packet(&mut self) {
        self.end_batch();
    }

    fn idle(&mut self) {
        Shard::idle(self);
        self.out_mut().poll();
    }

    fn has_failed(&self) -> bool {
        self.failure().is_some()
    }

    #[inline]
    fn is_busy(&self) -> bool {
        self.awaits_disk()
    }
}

/// Something on the way out that needs a turn now and then.
pub(super) trait Poll {
    /// A turn.
    fn poll(&mut self);
}

impl Downstream for Router {
    #[inline]
    fn begin(&mut self, _decoded: Nanos) {}

    #[inline]
    fn end_packet(&mut self) {}

    fn idle(&mut self) {}

    fn has_failed(&self) -> bool {
        self.lost() > 0
    }
}

/// A feed on its reactor.
pub(super) struct FeedSlot {
    /// Its number in the configuration.
    pub(super) index: usize,
    pub(super) feed: AnyFeed,
    /// Inject a tick after so much silence; 0 never.
    pub(super) tick_ns: u64,
    /// When its last record was made: packets without any are silence, too.
    pub(super) heard: Nanos,
    /// When the last tick was injected.
    pub(super) ticked: Nanos,
}

/// What is left of a feed that ended.
pub(super) struct FeedEnd {
    /// Its number in the configuration.
    pub(super) index: usize,
    pub(super) counters: Counts,
    pub(super) notes: Vec<String>,
}

/// Everything between a reactor and downstream.
pub(super) struct Intake<D> {
    pub(super) feeds: Vec<FeedSlot>,
    /// Position in `feeds`, and line, of every socket.
    pub(super) sockets: Vec<(usize, u8)>,
    /// Position in `feeds` of every connection.
    pub(super) conns: Vec<usize>,
    pub(super) downstream: D,
    pub(super) clock: Clock,
    pub(super) latency: LatencyRecorder,
    /// When any packet was last received; 0 before the first.
    pub(super) last_packet: Nanos,
}

/// Stamps the moment of a packet's first record.
struct FirstRecord<'a, D> {
    downstream: &'a mut D,
    clock: &'a Clock,
    decoded: Nanos,
}

impl<D: Downstream> RecordSink for FirstRecord<'_, D> {
    #[inline]
    fn record(&mut self, record: &Record) {
        if self.decoded.0 == 0 {
            self.decoded = self.clock.now();
            self.downstream.begin(self.decoded);
        }
        self.downstream.record(record);
    }
}

impl<D: Downstream> Intake<D> {
    /// Takes a packet of the feed at `slot`, received at `ts_recv`: a stamp of the kernel in a live
    /// run, of the capture in a replay (`live` off).
    #[inline]
    pub(super) fn packet(
        &mut self,
        (slot, line): (usize, u8),
        ts_kernel: Option<Nanos>,
        payload: &[u8],
        live: bool,
    ) {
        let give = |feed: &mut AnyFeed, ts_recv, sink: &mut FirstRecord<'_, D>| {
            feed.datagram(line, ts_recv, payload, sink);
        };
        self.give(slot, ts_kernel, live, give);
    }

    /// Takes a piece of a stream of lines.
    fn piece(&mut self, slot: usize, piece: &[u8]) {
        let give = |feed: &mut AnyFeed, ts_recv, sink: &mut FirstRecord<'_, D>| {
            if let AnyFeed::Text(feed) = feed {
                feed.bytes(ts_recv, piece, sink);
            }
        };
        self.give(slot, None, true, give);
    }

    /// Gives a feed what came for it, and measures.
    #[inline]
    fn give(
        &mut self,
        slot: usize,
        ts_kernel: Option<Nanos>,
        live: bool,
        give: impl FnOnce(&mut AnyFeed, Nanos, &mut FirstRecord<'_, D>),
    ) {
        let user = self.clock.now();
        let slot = &mut self.feeds[slot];
        let mut sink =
            FirstRecord { downstream: &mut self.downstream, clock: &self.clock, decoded: Nanos(0) };
        give(&mut slot.feed, ts_kernel.unwrap_or(user), &mut sink);
        let decoded = sink.decoded;
        self.downstream.end_packet();
        if decoded.0 != 0 {
            slot.heard = user;
        }
        self.last_packet = user;
        if live && let Some(kernel) = ts_kernel {
            self.latency.record(Stage::KernelToUser, kernel, user);
        }
        if decoded.0 != 0 {
            self.latency.record(Stage::Decode, user, decoded);
            self.latency.record(Stage::Packet, user, self.clock.now());
        }
    }

    /// Takes one message of a stream.
    #[inline]
    fn one_message(&mut self, slot: usize, session: &SessionName, seq: Seq, message: &[u8]) {
        let user = self.clock.now();
        let slot = &mut self.feeds[slot];
        let AnyFeed::Venue(feed) = &mut slot.feed else { return };
        self.downstream.begin(user);
        feed.message(session, seq, user, message, &mut self.downstream);
        self.downstream.end_packet();
        slot.heard = user;
        self.last_packet = user;
    }

    /// Takes one message of a file that is being replayed, which has the time `ts`: the `first` or
    /// `last` of those that are taken as one packet.
    #[inline]
    pub(super) fn file_message(
        &mut self,
        (first, last): (bool, bool),
        seq: Seq,
        ts: Nanos,
        message: &[u8],
    ) {
        let slot = &mut self.feeds[0];
        let AnyFeed::Venue(feed) = &mut slot.feed else { return };
        if first {
            slot.heard = self.clock.now();
            self.last_packet = slot.heard;
            self.downstream.begin(slot.heard);
        }
        feed.message(BINARY_FILE_SESSION, seq, ts, message, &mut self.downstream);
        if last {
            self.downstream.end_packet();
        }
    }

    /// Delivers the line that the feed at `slot` has read, as received at its event time; the
    /// packet ends with it if `last`.
    #[inline]
    pub(super) fn line(&mut self, slot: usize, first: bool, last: bool) {
        let slot = &mut self.feeds[slot];
        let AnyFeed::Text(feed) = &mut slot.feed else { return };
        if first {
            slot.heard = self.clock.now();
            self.last_packet = slot.heard;
            self.downstream.begin(slot.heard);
        }
        feed.deliver(feed.pending_time(), &mut self.downstream);
        if last {
            self.downstream.end_packet();
        }
    }

    /// What is periodic and can wait: clock, ticks for silent feeds, figures.
    pub(super) fn idle(&mut self, live: bool) {
        self.clock.sync_if_due();
        let now = self.clock.now();
        if live {
            for slot in &mut self.feeds {
                let quiet = now.since(slot.heard.max(slot.ticked));
                if slot.tick_ns > 0 && slot.heard.0 != 0 && quiet >= slot.tick_ns {
                    slot.ticked = now;
                    let silent_ns = now.since(slot.heard);
                    slot.feed.tick(now, silent_ns, &mut self.downstream);
                    self.downstream.end_packet();
                }
            }
        }
        self.downstream.idle();
        self.latency.publish_if_due(now);
    }

    /// Whether every feed said that its session is over.
    pub(super) fn has_ended(&self) -> bool {
        self.feeds.iter().all(|slot| slot.feed.has_ended())
    }

    /// A file is over, and with it its session.
    pub(super) fn end_of_file(&mut self, slot: usize) {
        let now = self.clock.now();
        self.feeds[slot].feed.end_of_session(now, &mut self.downstream);
        self.downstream.end_packet();
    }

    /// Delivers what the feeds still hold.
    pub(super) fn flush(&mut self) {
        let now = self.clock.now();
        for slot in &mut self.feeds {
            slot.feed.flush(now, &mut self.downstream);
        }
        self.downstream.end_packet();
    }

    /// Every feed's number, counters and notes.
    pub(super) fn counters(&self) -> Vec<FeedEnd> {
        let end = |slot: &FeedSlot| {
            let (counters, notes) = slot.feed.counts();
            FeedEnd { index: slot.index, counters, notes }
        };
        self.feeds.iter().map(end).collect()
    }
}

impl<D: Downstream> SessionHandler for Intake<D> {
    #[inline]
    fn datagram(&mut self, socket: usize, ts_kernel: Option<Nanos>, payload: &[u8]) {
        self.packet(self.sockets[socket], ts_kernel, payload, true);
    }

    #[inline]
    fn message(&mut self, conn: usize, session: &SessionName, seq: Seq, payload: &[u8]) {
        let slot = self.conns[conn];
        match &self.feeds[slot].feed {
            AnyFeed::Venue(_) => self.one_message(slot, session, seq, payload),
            AnyFeed::Text(_) => self.piece(slot, payload),
        }
    }

    fn connected(&mut self, conn: usize) {
        if let Some(feed) = self.feeds[self.conns[conn]].feed.text() {
            feed.begin();
        }
    }

    fn closed(&mut self, conn: usize, why: Option<Closed>) {
        let now = self.clock.now();
        let Some(feed) = self.feeds[self.conns[conn]].feed.text() else { return };
        match why {
            Some(Closed::ByPeer) => feed.end(now, &mut self.downstream),
            Some(Closed::NotConnected(_)) => return,
            Some(Closed::Failed(_)) | None => feed.cut(),
        }
        self.downstream.end_packet();
    }

    fn ended(&mut self, conn: usize) {
        let now = self.clock.now();
        let slot = &mut self.feeds[self.conns[conn]];
        slot.feed.end_of_session(now, &mut self.downstream);
        // It may be all that comes, if an earlier run has had everything else.
        self.last_packet = now;
        self.downstream.end_packet();
    }
}
