//! Serves a capture's messages over SoupBinTCP: login, sequenced messages, resume, heartbeats, end.
//! [Nasdaq SoupBinTCP specification 4.1]
//!
//! ```text
//! capture ──> Cursor (one per client) ──> Connection ──bytes──> runtime ──> client
//! ```
//! A connection is a state machine without I/O; a `Runtime` moves its bytes: a glommio executor,
//! or a thread per client where io_uring is refused.
//!
//! Invariants: a client that asks for sequence `n` gets message `n` first and none is left out; no
//! message leaves before it is due; memory per client does not grow with the capture.

mod threads;
#[cfg(feature = "glommio")]
mod uring;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::{fmt, io};

use anyhow::{Context, bail};
use corelane_feeds::moldudp64::{LENGTH_BYTES, Packet};
use corelane_feeds::soupbintcp::{HEARTBEAT_NS, Login, SILENCE_NS, write_accepted, write_packet};

use super::pace::{Anchor, Pace, Schedule};
use super::source::{FileSource, Packing, Source};

/// Bytes collected before they are written.
const OUTPUT_BYTES: usize = 64 << 10;
/// Longest wait of a runtime before it looks again whether to stop.
const WAIT_NS_MAX: u64 = 50_000_000;
/// Bytes of a packet's length and type.
const HEADER_BYTES: usize = 3;
/// Longest packet that a client has reason to send.
const INPUT_BYTES_MAX: usize = 4 << 10;

/// What to serve.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// The capture.
    pub path: PathBuf,
    /// How fast messages become available, from the first login on.
    pub pace: Pace,
    /// Clients that must have got the end of the session before serving ends; 0 never ends.
    pub clients: u64,
}

/// Accepts clients and moves the bytes of their connections.
trait Runtime {
    /// Serves until the server is done.
    fn serve(&self, server: &Arc<Server>) -> io::Result<()>;
}

/// What all connections share.
#[derive(Debug)]
pub struct Server {
    config: ServeConfig,
    session: [u8; 10],
    listener: std::net::TcpListener,
    /// Runs from the first login on.
    anchor: OnceLock<Anchor>,
    ended: AtomicU64,
    /// Messages sent, for the report.
    messages: AtomicU64,
    stopped: AtomicBool,
}

impl Server {
    /// Opens the capture and listens.
    ///
    /// # Errors
    /// If the capture cannot be read or holds no MoldUDP64, or the address cannot be listened on.
    pub fn bind(config: ServeConfig, listen: SocketAddr) -> anyhow::Result<Self> {
        let mut cursor = Cursor::open(&config)?;
        if !cursor.load()? {
            bail!("{}: no messages", config.path.display());
        }
        let session = cursor.session;
        let listener = std::net::TcpListener::bind(listen)
            .with_context(|| format!("cannot listen on {listen}"))?;
        Ok(Self {
            config,
            session,
            listener,
            anchor: OnceLock::new(),
            ended: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        })
    }

    /// Where clients connect.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until enough clients got the end of the session, or until told to stop. Returns the
    /// number of messages sent to all clients together.
    ///
    /// # Errors
    /// If clients cannot be accepted. What goes wrong with one client ends its connection only.
    pub fn serve(self: &Arc<Self>) -> anyhow::Result<u64> {
        #[cfg(feature = "glommio")]
        match uring::Executor::new() {
            Ok(executor) => {
                executor.serve(self)?;
                return Ok(self.messages.load(Ordering::Relaxed));
            }
            Err(error) => eprintln!("no io_uring ({error}): a thread for every client"),
        }
        threads::Threads.serve(self)?;
        Ok(self.messages.load(Ordering::Relaxed))
    }

    /// Ends serving soon.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn is_done(&self) -> bool {
        let enough = self.config.clients;
        self.stopped.load(Ordering::Relaxed)
            || (enough > 0 && self.ended.load(Ordering::Relaxed) >= enough)
    }
}

/// A place in the capture: the next message and when it is due.
struct Cursor {
    source: FileSource,
    schedule: Schedule,
    session: [u8; 10],
    /// Messages of the current datagram that were not taken yet, with their lengths.
    framed: Vec<u8>,
    at: usize,
    left: u16,
    /// Sequence of the next message.
    seq: u64,
    due_ns: u64,
}

impl Cursor {
    fn open(config: &ServeConfig) -> anyhow::Result<Self> {
        // A window of zero keeps each message's own time.
        let packing = Packing { messages_max: 0, window_ns: 0 };
        Ok(Self {
            source: FileSource::open(&config.path, packing)?,
            schedule: Schedule::new(config.pace),
            session: [b' '; 10],
            framed: Vec::new(),
            at: 0,
            left: 0,
            seq: 1,
            due_ns: 0,
        })
    }

    /// Makes sure that there is a next message; false at the end of the capture.
    fn load(&mut self) -> anyhow::Result<bool> {
        while self.left == 0 {
            let Some(datagram) = self.source.next()? else { return Ok(false) };
            let Ok(packet) = Packet::parse(datagram.payload) else { continue };
            self.due_ns = self.schedule.due_ns(datagram.ns, u64::from(packet.count));
            if packet.count == 0 || packet.messages().any(|message| message.is_err()) {
                continue;
            }
            self.session = packet.session;
            self.framed.clear();
            self.framed.extend(&datagram.payload[corelane_feeds::moldudp64::HEADER_BYTES..]);
            (self.at, self.left) = (0, packet.count);
        }
        Ok(true)
    }

    /// Takes the next message, which must have been loaded.
    fn take(&mut self) -> &[u8] {
        let length = u16::from_be_bytes([self.framed[self.at], self.framed[self.at + 1]]);
        let start = self.at + LENGTH_BYTES;
        self.at = start + usize::from(length);
        self.left -= 1;
        self.seq += 1;
        &self.framed[start..self.at]
    }
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum State {
    Login,
    Streaming,
    /// The end of the session was sent; the client may leave.
    Ended,
    Closed,
}

/// One client's connection, without its socket.
struct Connection {
    server: Arc<Server>,
    cursor: Cursor,
    state: State,
    input: Vec<u8>,
    output: Vec<u8>,
    started: Anchor,
    received_ns: u64,
    sent_ns: u64,
    /// The end of the session was collected.
    ended: bool,
}

impl Connection {
    fn new(server: Arc<Server>) -> anyhow::Result<Self> {
        Ok(Self {
            cursor: Cursor::open(&server.config)?,
            server,
            state: State::Login,
            input: Vec::new(),
            output: Vec::with_capacity(OUTPUT_BYTES + usize::from(u16::MAX)),
            started: Anchor::now(),
            received_ns: 0,
            sent_ns: 0,
            ended: false,
        })
    }

    /// True when the socket is to be closed.
    fn is_closed(&self) -> bool {
        self.state == State::Closed && self.output.is_empty()
    }

    /// Takes what the client sent.
    fn receive(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.received_ns = self.started.elapsed_ns();
        self.input.extend_from_slice(bytes);
        while let Some((&[high, low, kind], _)) = self.input.split_first_chunk::<HEADER_BYTES>() {
            let end = LENGTH_BYTES + usize::from(u16::from_be_bytes([high, low]));
            if !(HEADER_BYTES..=INPUT_BYTES_MAX).contains(&end) {
                self.state = State::Closed;
            }
            if self.state == State::Closed || self.input.len() < end {
                break;
            }
            let packet: Vec<u8> = self.input.drain(..end).collect();
            match kind {
                b'L' if self.state == State::Login => self.log_in(&packet[HEADER_BYTES..])?,
                b'O' => self.state = State::Closed,
                // Heartbeats, and unsequenced messages that nobody here waits for.
                _ => {}
            }
        }
        Ok(())
    }

    fn log_in(&mut self, payload: &[u8]) -> anyhow::Result<()> {
        let Some(login) = Login::parse(payload) else {
            self.state = State::Closed;
            return Ok(());
        };
        if login.session != [b' '; 10] && login.session != self.server.session {
            write_packet(&mut self.output, b'J', b"S");
            self.state = State::Closed;
            return Ok(());
        }
        let now = self.server.anchor.get_or_init(Anchor::now).elapsed_ns();
        // Zero asks for the newest: the first that is not due yet.
        while self.cursor.load()? {
            let newest = login.first == 0 && self.cursor.due_ns > now;
            if newest || (login.first > 0 && self.cursor.seq >= login.first) {
                break;
            }
            self.cursor.take();
        }
        write_accepted(&mut self.output, &self.server.session, self.cursor.seq);
        self.state = State::Streaming;
        Ok(())
    }

    /// Collects what is due for sending. Returns how long to wait for the client at most before
    /// asking again, in nanoseconds; zero if there is output.
    fn collect(&mut self) -> anyhow::Result<u64> {
        let now = self.started.elapsed_ns();
        let mut wait = WAIT_NS_MAX;
        if self.state == State::Streaming {
            wait = self.stream()?;
        }
        if self.state != State::Closed && now - self.received_ns > SILENCE_NS {
            self.state = State::Closed;
        }
        if self.output.is_empty() && self.state != State::Login && now - self.sent_ns > HEARTBEAT_NS
        {
            write_packet(&mut self.output, b'H', b"");
        }
        if self.output.is_empty() {
            return Ok(wait.min(WAIT_NS_MAX));
        }
        self.sent_ns = now;
        Ok(0)
    }

    fn stream(&mut self) -> anyhow::Result<u64> {
        let Some(anchor) = self.server.anchor.get() else { return Ok(WAIT_NS_MAX) };
        let now = anchor.elapsed_ns();
        let first = self.cursor.seq;
        let mut wait = 0;
        while self.output.len() < OUTPUT_BYTES {
            if !self.cursor.load()? {
                write_packet(&mut self.output, b'Z', b"");
                (self.state, self.ended) = (State::Ended, true);
                break;
            }
            if self.cursor.due_ns > now {
                wait = self.cursor.due_ns - now;
                break;
            }
            write_packet(&mut self.output, b'S', self.cursor.take());
        }
        self.server.messages.fetch_add(self.cursor.seq - first, Ordering::Relaxed);
        Ok(wait)
    }

    /// The socket is gone; `in_order` if the client closed it or logged out. One that leaves what
    /// it was sent unread resets the connection: it has not got the end of the session.
    fn closed(&self, in_order: bool) {
        if self.ended && in_order {
            self.server.ended.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("state", &self.state)
            .field("seq", &self.cursor.seq)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
