//! Actions over a TCP connection that is made again whenever it is lost.
//!
//! What was sent last is kept: as much as the kernel's own send buffer can hold without the peer
//! having got it. After a new connection that is sent again, so that a peer that comes back misses
//! nothing that fits the buffers, and may see some actions twice; their ids tell.
//!
//! Invariants: no call waits for the network. Frames go out whole and in order on every connection.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use corelane_feeds::units::Nanos;
use corelane_strategies::action::ActionId;

use super::SinkConfig;
use super::queue::FrameQueue;
use super::sink::{ActionSink, Ledger, Log, SinkStats};
use super::wire::{TcpWire, Wire};

/// What is kept of the bytes sent: all that can be lost in the kernel.
const KEEP_BYTES: usize = 2 * super::wire::SNDBUF_BYTES;
/// The most bytes that one call writes, so that a long backlog does not hold up its thread.
const BURST_BYTES: usize = 256 << 10;
/// First and longest pause before the connection is tried again; it doubles in between.
const BACKOFF_NS: (u64, u64) = (50_000_000, 5_000_000_000);
/// How long a connection may take to be made.
const CONNECT_NS: u64 = 5_000_000_000;
/// How often a quiet connection is asked whether the peer is still there.
const CHECK_NS: u64 = 20_000_000;
/// How often a peer that acknowledges is listened to.
const ACKS_NS: u64 = 500_000;
/// The longest line that can be an action's id.
const ACK_BYTES_MAX: usize = 64;
/// A connection that held so long was a good one: the next pause is the first again.
const GOOD_NS: u64 = 1_000_000_000;

enum Link {
    Down { retry_at: Nanos },
    Connecting { since: Nanos },
    Up { since: Nanos, checked: Nanos },
}

pub(crate) struct TcpSink<W = TcpWire> {
    wire: W,
    link: Link,
    queue: FrameQueue,
    ledger: Ledger,
    backoff_ns: u64,
    /// Of a receiver that acknowledges.
    acks: Option<Acks>,
    /// Actions that it has acknowledged.
    released: u64,
    /// Frames in front of the queue that were sent before and are not counted again.
    repeats: u64,
}

impl<W: Wire> TcpSink<W> {
    pub(crate) fn new(config: &SinkConfig, wire: W, peer: SocketAddr, log: Log) -> Self {
        Self {
            wire,
            link: Link::Down { retry_at: Nanos(0) },
            queue: match config.acknowledged {
                true => FrameQueue::until_released(config.buffer_bytes),
                false => FrameQueue::new(config.buffer_bytes, KEEP_BYTES),
            },
            acks: config.acknowledged.then(Acks::default),
            released: 0,
            ledger: Ledger::new(&config.name, format!("tcp {peer}"), log),
            backoff_ns: BACKOFF_NS.0,
            repeats: 0,
        }
    }

    /// Writes what the kernel takes, at most [`BURST_BYTES`].
    fn write(&mut self, now: Nanos) {
        let mut left = BURST_BYTES;
        while let Link::Up { .. } = self.link {
            let (first, second) = self.queue.pending();
            let first = &first[..first.len().min(left)];
            let second = &second[..second.len().min(left - first.len())];
            if first.is_empty() {
                return;
            }
            match self.wire.write(first, second) {
                Ok(bytes) => {
                    left -= bytes;
                    self.wrote(bytes);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => self.lost(&error, now),
            }
        }
    }

    fn wrote(&mut self, bytes: usize) {
        let frames = self.queue.advance(bytes) as u64;
        let repeated = frames.min(self.repeats);
        self.repeats -= repeated;
        self.ledger.stats.resent += repeated;
        self.ledger.stats.sent += frames - repeated;
        self.ledger.stats.sent_bytes += bytes as u64;
    }

    /// Starts to connect.
    fn connect(&mut self, now: Nanos) {
        match self.wire.dial() {
            Ok(()) => self.link = Link::Connecting { since: now },
            Err(error) => self.not_connected(&error, now),
        }
    }

    fn not_connected(&mut self, error: &io::Error, now: Nanos) {
        self.ledger.failed("cannot connect", error);
        self.pause(now);
    }

    fn pause(&mut self, now: Nanos) {
        self.wire.hang_up();
        self.link = Link::Down { retry_at: Nanos(now.0.saturating_add(self.backoff_ns)) };
        self.backoff_ns = (self.backoff_ns * 2).min(BACKOFF_NS.1);
    }

    fn connected(&mut self, now: Nanos) {
        self.link = Link::Up { since: now, checked: now };
        self.ledger.stats.connects += 1;
        self.ledger.works("connected");
        self.write(now);
    }

    /// The connection broke: everything that may not have arrived waits again.
    fn lost(&mut self, error: &io::Error, now: Nanos) {
        if let Link::Up { since, .. } = self.link
            && now.since(since) >= GOOD_NS
        {
            self.backoff_ns = BACKOFF_NS.0;
        }
        self.repeats += self.queue.rewind() as u64;
        self.ledger.stats.disconnects += 1;
        self.ledger.failed("connection lost", error);
        self.pause(now);
    }
}

/// Reads what the peer says; an error if it has left.
fn check_peer(wire: &mut impl Wire, mut acks: Option<&mut Acks>) -> io::Result<()> {
    let mut said = [0; 4096];
    loop {
        match wire.read(&mut said) {
            Ok(0) => {
                return Err(io::Error::new(ErrorKind::ConnectionAborted, "closed by the peer"));
            }
            Ok(bytes) => {
                let Some(acks) = acks.as_deref_mut() else { return Ok(()) };
                acks.take(&said[..bytes]);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// What a receiver acknowledges: lines of action ids, each with all that was sent before.
#[derive(Default)]
struct Acks {
    /// A line whose end has not come.
    partial: Vec<u8>,
    newest: Option<ActionId>,
}

impl Acks {
    fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte != b'\n' {
                if self.partial.len() < ACK_BYTES_MAX {
                    self.partial.push(byte);
                }
                continue;
            }
            let id = std::str::from_utf8(&self.partial).ok().and_then(|id| id.trim().parse().ok());
            self.newest = id.or(self.newest);
            self.partial.clear();
        }
    }
}

impl<W: Wire> ActionSink for TcpSink<W> {
    fn send(&mut self, frame: &[u8], now: Nanos) -> bool {
        self.ledger.stats.taken += 1;
        let taken = self.queue.push(frame);
        if taken {
            self.write(now);
            self.ledger.kept(&self.queue);
        } else {
            self.ledger.dropped(1, "the buffer for a peer that is away or slow is full");
        }
        taken
    }

    fn settled(&self) -> u64 {
        if self.acks.is_some() { self.released } else { self.ledger.stats.sent }
    }

    fn acknowledged(&mut self) -> Option<ActionId> {
        self.acks.as_mut()?.newest.take()
    }

    fn release(&mut self, actions: u64) {
        self.queue.release(actions as usize);
        self.released += actions;
    }

    fn poll(&mut self, now: Nanos) {
        match &mut self.link {
            Link::Down { retry_at } if now >= *retry_at => self.connect(now),
            Link::Down { .. } => {}
            Link::Connecting { since } => match self.wire.is_connected() {
                Ok(true) => self.connected(now),
                Ok(false) if now.since(*since) < CONNECT_NS => {}
                Ok(false) => self.not_connected(&ErrorKind::TimedOut.into(), now),
                Err(error) => self.not_connected(&error, now),
            },
            Link::Up { checked, .. } => {
                let every = if self.acks.is_some() { ACKS_NS } else { CHECK_NS };
                if now.since(*checked) >= every {
                    *checked = now;
                    if let Err(error) = check_peer(&mut self.wire, self.acks.as_mut()) {
                        return self.lost(&error, now);
                    }
                }
                self.write(now);
            }
        }
    }

    fn pending(&self) -> usize {
        let unacknowledged = if self.acks.is_some() { self.queue.kept_frames() } else { 0 };
        self.queue.pending_frames() + unacknowledged
    }

    fn is_calm(&self) -> bool {
        self.queue.is_calm()
    }

    fn close(&mut self, now: Nanos) {
        self.write(now);
        if let Link::Up { .. } = self.link {
            self.wire.end();
        }
        let left = (self.queue.clear() as u64).saturating_sub(std::mem::take(&mut self.repeats));
        self.ledger.dropped(left, "the run is over and the peer has not taken them");
        self.ledger.end_drops();
    }

    fn stats(&self) -> SinkStats {
        self.ledger.stats.clone()
    }
}
