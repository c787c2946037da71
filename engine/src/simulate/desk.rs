//! The receiver of actions, and the network to it: slow, gone for a while, forgetful of what was on
//! its way; it drops what comes again, and acknowledges what it has.
//!
//! ```text
//! TcpSink ──SimWire──> in flight ──> lines ──> each id once
//!         <──────────── in flight <── id of the last line
//! ```
//!
//! Invariant: what it has acknowledged it has for good. Bytes arrive in order or, when a connection
//! breaks, from some place on not at all.

use std::collections::{HashSet, VecDeque};
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use corelane_strategies::action::ActionId;

use super::Died;
use super::time::Time;
use crate::egress::{Wire, id_of_line};
use crate::generate::rng::Rng;

/// What the network holds on its way to the desk, in bytes.
const IN_FLIGHT_MAX: usize = 4_096;

/// Bytes that arrive at a time.
type Sent = (u64, Vec<u8>);

/// A connection, from the dial on.
struct Connection {
    number: u64,
    up_at: u64,
    breaks_at: u64,
    in_flight: VecDeque<Sent>,
    /// A line whose end has not arrived.
    partial: Vec<u8>,
    /// Acknowledgements on their way back.
    acks: VecDeque<Sent>,
}

/// How the desk behaves.
#[derive(Copy, Clone, Debug)]
pub(super) struct Manners {
    /// The longest way of bytes, in nanoseconds.
    pub(super) delay_ns: u32,
    /// How long a connection lasts at most; 0 is for ever.
    pub(super) lasts_ns: u64,
    /// How long it refuses connections after one broke, at most.
    pub(super) away_ns: u64,
}

/// See the [module](self).
pub(super) struct Desk {
    time: Time,
    rng: Rng,
    manners: Manners,
    connection: Option<Connection>,
    connections: u64,
    refuses_until: u64,
    ids: HashSet<ActionId>,
    /// Every action that it took, as it came.
    pub(super) lines: Vec<u8>,
    /// Lines that came again.
    pub(super) again: u64,
    /// Everything that the engine ever handed to the network.
    pub(super) handed: HashSet<ActionId>,
    /// The line that was handed over in part.
    handing: Vec<u8>,
    /// The engine dies before so many more calls of the network; 0 never.
    pub(super) dies_in: u64,
}

impl Desk {
    pub(super) fn new(time: Time, rng: Rng, manners: Manners) -> Self {
        Self {
            time,
            rng,
            manners,
            connection: None,
            connections: 0,
            refuses_until: 0,
            ids: HashSet::new(),
            lines: Vec::new(),
            again: 0,
            handed: HashSet::new(),
            handing: Vec::new(),
            dies_in: 0,
        }
    }

    /// From now on nothing goes wrong.
    pub(super) fn heal(&mut self) {
        (self.manners.lasts_ns, self.manners.away_ns, self.refuses_until) = (0, 0, 0);
        self.dies_in = 0;
        if let Some(connection) = &mut self.connection {
            connection.breaks_at = u64::MAX;
        }
    }

    /// The engine is gone: a part of what was on its way still arrives.
    pub(super) fn engine_died(&mut self) {
        self.handing.clear();
        self.dies_in = 0;
        let Some(mut connection) = self.connection.take() else { return };
        let arrive = self.rng.below(connection.in_flight.len() as u32 + 1) as usize;
        for (_, bytes) in connection.in_flight.drain(..arrive) {
            self.take(&mut connection.partial, &bytes);
        }
    }

    /// Takes what has arrived by now.
    fn advance(&mut self) {
        let now = self.time.now();
        let Some(mut connection) = self.connection.take() else { return };
        while connection.in_flight.front().is_some_and(|(at, _)| *at <= now) {
            let Some((at, bytes)) = connection.in_flight.pop_front() else { break };
            if at >= connection.breaks_at {
                break;
            }
            if let Some(id) = self.take(&mut connection.partial, &bytes) {
                let at = now + u64::from(self.rng.below(self.manners.delay_ns + 1));
                connection.acks.push_back((at, format!("{id}\n").into_bytes()));
            }
        }
        if now < connection.breaks_at {
            self.connection = Some(connection);
        } else {
            self.refuses_until = now + u64::from(self.rng.below(self.manners.away_ns as u32 + 1));
        }
    }

    /// Takes bytes that arrived; the last action that they completed.
    fn take(&mut self, partial: &mut Vec<u8>, bytes: &[u8]) -> Option<ActionId> {
        partial.extend_from_slice(bytes);
        let end = partial.iter().rposition(|&byte| byte == b'\n')? + 1;
        let mut last = None;
        for line in partial[..end].split_inclusive(|&byte| byte == b'\n') {
            let Some(id) = id_of_line(line) else { continue };
            last = Some(id);
            if self.ids.insert(id) {
                self.lines.extend_from_slice(line);
            } else {
                self.again += 1;
            }
        }
        partial.drain(..end);
        last
    }

    /// Notes which actions were handed over, in part or whole.
    fn note_handed(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.handing.extend_from_slice(piece);
            self.handed.extend(id_of_line(&self.handing));
            if piece.ends_with(b"\n") {
                self.handing.clear();
            }
        }
    }

    fn connection(&mut self, number: u64) -> io::Result<&mut Connection> {
        self.advance();
        let connection = self.connection.as_mut().filter(|known| known.number == number);
        connection.ok_or_else(|| ErrorKind::ConnectionReset.into())
    }
}

/// The desk, as the engine and the simulator share it on their one thread.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Desk>>);

impl Shared {
    pub(super) fn new(desk: Desk) -> Self {
        Self(Arc::new(Mutex::new(desk)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Desk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call of the network, before which the engine may die.
    fn call(&self) -> MutexGuard<'_, Desk> {
        let mut desk = self.lock();
        if desk.dies_in > 0 {
            desk.dies_in -= 1;
            if desk.dies_in == 0 {
                drop(desk);
                Died::now();
            }
        }
        desk
    }
}

/// The engine's end of the network.
pub(super) struct SimWire {
    desk: Shared,
    number: u64,
}

impl SimWire {
    pub(super) fn new(desk: &Shared) -> Self {
        Self { desk: desk.clone(), number: 0 }
    }
}

impl Wire for SimWire {
    fn dial(&mut self) -> io::Result<()> {
        let mut desk = self.desk.call();
        let now = desk.time.now();
        if now < desk.refuses_until {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        let (delay_ns, lasts_ns) = (desk.manners.delay_ns, desk.manners.lasts_ns);
        let up_at = now + u64::from(desk.rng.below(delay_ns + 1));
        let lasts = u64::from(desk.rng.below(lasts_ns as u32));
        desk.connections += 1;
        let number = desk.connections;
        desk.connection = Some(Connection {
            number,
            up_at,
            breaks_at: if lasts_ns == 0 { u64::MAX } else { up_at + lasts },
            in_flight: VecDeque::new(),
            partial: Vec::new(),
            acks: VecDeque::new(),
        });
        desk.handing.clear();
        self.number = number;
        Ok(())
    }

    fn is_connected(&mut self) -> io::Result<bool> {
        let mut desk = self.desk.call();
        let now = desk.time.now();
        Ok(desk.connection(self.number)?.up_at <= now)
    }

    fn read(&mut self, said: &mut [u8]) -> io::Result<usize> {
        let mut desk = self.desk.call();
        let now = desk.time.now();
        let at_once = desk.rng.between(1, said.len() as u32) as usize;
        let connection = desk.connection(self.number)?;
        let Some((at, bytes)) = connection.acks.front_mut() else {
            return Err(ErrorKind::WouldBlock.into());
        };
        if *at > now {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = bytes.len().min(at_once);
        said[..count].copy_from_slice(&bytes[..count]);
        bytes.drain(..count);
        if bytes.is_empty() {
            connection.acks.pop_front();
        }
        Ok(count)
    }

    fn write(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        let mut desk = self.desk.call();
        let now = desk.time.now();
        let delay = u64::from({
            let delay_ns = desk.manners.delay_ns;
            desk.rng.below(delay_ns + 1)
        });
        let taken = desk.rng.between(1, IN_FLIGHT_MAX as u32) as usize;
        let connection = desk.connection(self.number)?;
        let held: usize = connection.in_flight.iter().map(|(_, bytes)| bytes.len()).sum();
        let room = taken.min(IN_FLIGHT_MAX.saturating_sub(held));
        if room == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut bytes = [first, second].concat();
        bytes.truncate(room);
        // Bytes of a connection arrive in order.
        let last = connection.in_flight.back().map_or(0, |(at, _)| *at);
        let count = bytes.len();
        connection.in_flight.push_back(((now + delay).max(last), bytes.clone()));
        desk.note_handed(&bytes);
        Ok(count)
    }

    fn end(&mut self) {}

    /// What was sent before still arrives.
    fn hang_up(&mut self) {
        let mut desk = self.desk.lock();
        let Some(mut connection) = desk.connection.take() else { return };
        if connection.number != self.number {
            desk.connection = Some(connection);
            return;
        }
        while let Some((_, bytes)) = connection.in_flight.pop_front() {
            desk.take(&mut connection.partial, &bytes);
        }
    }
}
