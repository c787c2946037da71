//! One feed of a capture: the engine's own decoder and books, and what they come to.
//!
//! Invariant: the feed is driven as a run drives it, so that what is reported is what a run would
//! decide on.

use std::net::SocketAddr;

use corelane_feeds::detect::Guess;
use corelane_feeds::feed::{BINARY_FILE_SESSION, Feed, FeedConfig, FeedCounters};
use corelane_feeds::units::{Nanos, Seq};

use super::lines::{Head, Lines, head};
use super::tally::Tally;

/// A feed and everything that is known of it.
pub(super) struct FeedScan {
    pub(super) config: FeedConfig,
    /// One for each line; none in a file of messages.
    pub(super) destinations: Vec<SocketAddr>,
    pub(super) lines: Lines,
    pub(super) tally: Tally,
    feed: Feed,
    /// Session of the packet before, as its header named it.
    session: u128,
    last_ns: Nanos,
}

impl FeedScan {
    pub(super) fn new(config: &FeedConfig) -> Self {
        Self {
            config: *config,
            destinations: Vec::new(),
            lines: Lines::default(),
            tally: Tally::new(config.protocol),
            feed: Feed::new(config),
            session: 0,
            last_ns: Nanos(0),
        }
    }

    /// What the feed itself counted.
    pub(super) fn counters(&self) -> FeedCounters {
        self.feed.counters()
    }

    /// How many lines it has.
    pub(super) fn lines(&self) -> usize {
        self.destinations.len()
    }

    /// A destination becomes the next line.
    pub(super) fn open_line(&mut self, destination: SocketAddr) {
        self.destinations.push(destination);
        self.lines.open(self.destinations.len());
    }

    /// Whether a packet is of this feed's present session.
    pub(super) fn carries(&self, guess: &Guess, head: &Head) -> bool {
        let Guess { protocol, transport } = *guess;
        (self.config.protocol, self.config.transport) == (protocol, transport)
            && self.session == head.session
    }

    /// Takes a datagram of a line.
    #[inline]
    pub(super) fn datagram(&mut self, line: u8, ts: Nanos, payload: &[u8]) {
        let sessions = self.tally.sessions.begun;
        self.feed.datagram(line, ts, payload, &mut self.tally);
        self.last_ns = ts;
        let Some(head) = head(self.config.transport, payload) else { return };
        self.session = head.session;
        self.lines.packet(line, &head, self.tally.sessions.begun > sessions);
        self.tally.sessions.reached(self.feed.next_seq());
    }

    /// Takes a message of a file that names no session.
    #[inline]
    pub(super) fn file_message(&mut self, seq: u64, message: &[u8]) {
        self.message(BINARY_FILE_SESSION, seq, message);
    }

    /// Takes a message of a stream.
    #[inline]
    pub(super) fn message(&mut self, session: &[u8; 10], seq: u64, message: &[u8]) {
        self.feed.message(session, Seq(seq), Nanos(0), message, &mut self.tally);
    }

    /// The stream said that its session is over.
    pub(super) fn end_of_session(&mut self) {
        self.feed.end_of_session(self.last_ns, &mut self.tally);
    }

    /// The capture is over: what waits for another line is delivered.
    pub(super) fn finish(&mut self) {
        self.feed.flush(self.last_ns, &mut self.tally);
        self.tally.sessions.reached(self.feed.next_seq());
    }
}
