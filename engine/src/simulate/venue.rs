//! Where messages come from: a SoupBinTCP server that is asked again for what is missing, or
//! multicast lines that lose, repeat, reorder and delay datagrams.
//!
//! Invariant: the venue knows nothing of the engine but what the engine says to it: what it sends
//! does not depend on how far the engine has come, only on how far the venue's own day has.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use corelane_feeds::soupbintcp::{Login, write_accepted, write_packet};
use corelane_feeds::units::Nanos;

use super::plan::{Lines, Plan};
use super::time::Time;
use crate::generate::rng::Rng;
use crate::mold::Packer;
use crate::reactor::{Backend, Closed, Counters, Handler, OpenSocket, SendError};

/// The session's name.
const SESSION: [u8; 10] = *b"SIMULATED1";
/// How long a server is away after it broke off, at most.
const AWAY_NS: u32 = 30_000_000;
/// Messages that it sends at once, at most.
const BURST_MAX: u32 = 24;
/// Bytes that one receive hands over, at most.
const PIECE_BYTES_MAX: u32 = 700;

/// A client's connection.
#[derive(Default)]
struct Client {
    up: bool,
    /// The next message to send; none before the login.
    next: Option<usize>,
    /// Bytes that it has not got.
    out: VecDeque<u8>,
    ended: bool,
    /// No connection before.
    away_until: u64,
    /// The client wants no more.
    stopped: bool,
}

/// See the [module](self).
pub(super) struct Venue {
    time: Time,
    rng: Rng,
    messages: Arc<Vec<Vec<u8>>>,
    /// Messages that have happened.
    pub(super) happened: usize,
    /// No more may happen for now.
    pub(super) until: usize,
    client: Client,
    breaks_in_1024: u32,
    lines: Option<Lines>,
    /// Datagrams on their way, by line.
    on_the_way: Vec<VecDeque<(u64, Vec<u8>)>>,
    packer: Packer,
    /// When the session's end was last said.
    ended_at: u64,
}

impl Venue {
    pub(super) fn new(time: Time, rng: Rng, plan: &Plan) -> Self {
        let lines = plan.lines;
        Self {
            time,
            rng,
            messages: Arc::clone(&plan.messages),
            happened: 0,
            until: plan.messages.len(),
            client: Client::default(),
            breaks_in_1024: plan.server_breaks_in_1024,
            lines,
            on_the_way: vec![VecDeque::new(); lines.map_or(0, |lines| lines.count)],
            packer: Packer::new(SESSION, 1_200, 0),
            ended_at: 0,
        }
    }

    /// Some more messages happen. On lines they are sent at once, whoever listens.
    pub(super) fn happen(&mut self) {
        let count = self.rng.between(1, BURST_MAX) as usize;
        let until = (self.happened + count).min(self.until);
        let Some(lines) = self.lines else {
            self.happened = until;
            return;
        };
        while self.happened < until {
            self.packer.push(&self.messages[self.happened]);
            self.happened += 1;
            if self.rng.below(4) == 0 || self.happened == until {
                let bytes = self.packer.flush().map(|datagram| datagram.bytes.to_vec());
                bytes.into_iter().for_each(|bytes| self.multicast(&lines, &bytes));
            }
        }
        if self.has_ended() && self.time.now() >= self.ended_at {
            self.ended_at = self.time.now() + 1_000_000;
            let end = self.packer.end_of_session();
            self.multicast(&lines, &end);
        }
    }

    /// Whether everything has happened.
    pub(super) fn has_ended(&self) -> bool {
        self.happened == self.messages.len()
    }

    /// Whether the engine has been given all of the first `count` messages.
    pub(super) fn is_idle(&self, count: usize) -> bool {
        let given = match self.lines {
            Some(_) => self.on_the_way.iter().all(VecDeque::is_empty),
            None => self.client.next == Some(count) && self.client.out.is_empty(),
        };
        self.happened == count && given
    }

    /// Puts a datagram on every line.
    fn multicast(&mut self, lines: &Lines, bytes: &[u8]) {
        for line in 0..lines.count {
            let is_clean = line == 0 && lines.first_is_clean;
            let (rng, way) = (&mut self.rng, &mut self.on_the_way[line]);
            if !is_clean && rng.chance(lines.lost_in_1024) {
                continue;
            }
            let copies = 1 + usize::from(!is_clean && rng.chance(lines.repeated_in_1024));
            for _ in 0..copies {
                let mut at = self.time.now() + u64::from(rng.below(lines.delay_ns + 1));
                if is_clean || !rng.chance(lines.reordered_in_1024) {
                    at = at.max(way.back().map_or(0, |(at, _)| *at));
                }
                let place = way.iter().rposition(|(before, _)| *before <= at).map_or(0, |p| p + 1);
                way.insert(place, (at, bytes.to_vec()));
            }
        }
    }

    /// The engine is gone: what its sockets held is lost, and connections are closed.
    pub(super) fn engine_died(&mut self) {
        self.on_the_way.iter_mut().for_each(VecDeque::clear);
        self.client = Client::default();
    }

    /// Hands over datagrams that have arrived.
    fn receive(&mut self, line: usize, handler: &mut impl Handler) -> usize {
        let now = self.time.now();
        let mut done = 0;
        while self.on_the_way[line].front().is_some_and(|(at, _)| *at <= now) {
            let Some((at, bytes)) = self.on_the_way[line].pop_front() else { break };
            handler.datagram(line, Some(Nanos(at)), &bytes);
            done += 1;
        }
        done
    }

    /// A turn of the server and of the client's connection.
    fn serve(&mut self, handler: &mut impl Handler) -> usize {
        let now = self.time.now();
        if !self.client.up {
            if now >= self.client.away_until && !self.client.stopped {
                self.client = Client { up: true, ..Client::default() };
                handler.connected(0);
            }
            return 0;
        }
        if self.rng.chance(self.breaks_in_1024) {
            let away_until = now + u64::from(self.rng.below(AWAY_NS));
            self.client = Client { away_until, ..Client::default() };
            let why = [Closed::ByPeer, Closed::Failed(io::ErrorKind::ConnectionReset)];
            handler.closed(0, *self.rng.one_of(&why));
            return 0;
        }
        self.fill();
        if self.client.out.is_empty() {
            return 0;
        }
        let count = (self.rng.between(1, PIECE_BYTES_MAX) as usize).min(self.client.out.len());
        let piece: Vec<u8> = self.client.out.drain(..count).collect();
        handler.bytes(0, &piece);
        1
    }

    /// Puts what has happened behind what the client was sent.
    fn fill(&mut self) {
        let Some(next) = &mut self.client.next else { return };
        let mut out = Vec::new();
        let until = (*next + self.rng.below(BURST_MAX) as usize).min(self.happened);
        for message in &self.messages[(*next).min(until)..until] {
            write_packet(&mut out, b'S', message);
        }
        *next = until.max(*next);
        if *next == self.messages.len() && !self.client.ended {
            write_packet(&mut out, b'Z', b"");
            self.client.ended = true;
        }
        self.client.out.extend(out);
    }

    /// The client says something: a login, or that it is alive.
    fn hear(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let [high, low, kind, payload @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low])) - 1;
            if *kind == b'L'
                && let Some(login) = Login::parse(&payload[..length])
            {
                let mut out = Vec::new();
                write_accepted(&mut out, &SESSION, login.first.max(1));
                self.client.out.extend(out);
                self.client.next = Some(login.first.max(1) as usize - 1);
            }
            rest = &payload[length..];
        }
    }
}

/// The venue, as the engine and the simulator share it on their one thread.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Venue>>);

impl Shared {
    pub(super) fn new(venue: Venue) -> Self {
        Self(Arc::new(Mutex::new(venue)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Venue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The engine's receive backend.
pub(super) struct SimBackend {
    venue: Shared,
    sockets: usize,
    conns: usize,
    counters: Counters,
    said: Vec<Vec<u8>>,
}

impl SimBackend {
    pub(super) fn new(venue: &Shared, sockets: usize, conns: usize) -> Self {
        let counters = Counters::default();
        Self { venue: venue.clone(), sockets, conns, counters, said: Vec::new() }
    }
}

impl Backend for SimBackend {
    fn poll<H: Handler>(&mut self, handler: &mut H) -> io::Result<usize> {
        let mut venue = self.venue.lock();
        for said in self.said.drain(..) {
            venue.hear(&said);
        }
        let mut done = 0;
        for line in 0..self.sockets {
            done += venue.receive(line, handler);
        }
        if self.conns > 0 {
            done += venue.serve(handler);
        }
        Ok(done)
    }

    fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        self.venue.lock().time.pass(timeout.as_nanos() as u64);
        Ok(())
    }

    fn send(&mut self, _conn: usize, bytes: &[u8]) -> Result<(), SendError> {
        self.said.push(bytes.to_vec());
        Ok(())
    }

    fn reconnect(&mut self, _conn: usize) {
        self.said.clear();
        self.venue.lock().client = Client::default();
    }

    fn stop(&mut self, _conn: usize) {
        self.venue.lock().client = Client { stopped: true, ..Client::default() };
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn refresh_drops(&mut self) {}

    fn sockets(&self) -> &[OpenSocket] {
        &[]
    }

    fn conn_local(&self, _conn: usize) -> Option<SocketAddr> {
        None
    }
}
