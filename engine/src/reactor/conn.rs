//! TCP connections that are made, lost and made again: what both backends share.
//!
//! ```text
//! Down ──backoff over──> Connecting ──writable, no error──> Up ──ended, failed, dropped──> Down
//!   ^                        └─error or timeout──────────────────────────────────────────> Down
//! any ──told to stop──> Stopped
//! listening: Down ──a peer connected──> Up
//! ```
//!
//! Invariant: a socket is in blocking mode once it is up (io_uring ends a receive on a non-blocking
//! one at once), so every send and receive here says MSG_DONTWAIT. Each connection made has a new
//! `generation`, so that what belongs to an old one is told apart.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendFlags, send};
use socket2::{Domain, Protocol, Socket, Type};

use super::spec::{ConnSpec, ReactorError};
use super::{Closed, Counters, SendError};

/// Most bytes that wait for a peer that does not read.
pub(super) const UNSENT_BYTES_MAX: usize = 64 * 1024;
/// How often connections that are not up, or have bytes unsent, are looked at.
pub(super) const SERVICE_EVERY: Duration = Duration::from_millis(1);

/// Peers that wait for the one before them to go.
const BACKLOG: i32 = 16;

/// One connection.
#[derive(Debug)]
pub(super) struct Conn {
    spec: ConnSpec,
    /// Where peers connect to, if it waits for them.
    listener: Option<Socket>,
    state: State,
    backoff: Duration,
    unsent: Vec<u8>,
    /// Counts the connections made.
    pub(super) generation: u16,
}

#[derive(Debug)]
enum State {
    Down { retry_at: Instant },
    Connecting { socket: Socket, until: Instant },
    Up { socket: Socket, since: Instant },
    Stopped,
}

/// What came of looking after a connection.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Nothing,
    Connected,
    Ended(Closed),
}

/// All connections of a reactor.
#[derive(Debug)]
pub(super) struct Conns {
    pub(super) list: Vec<Conn>,
    service_at: Instant,
    /// At least one is not up or has bytes unsent.
    unsettled: bool,
}

impl Conns {
    /// Connections that are not up yet; those that wait for peers can be reached from here on.
    pub(super) fn new(specs: &[ConnSpec]) -> Result<Self, ReactorError> {
        let now = Instant::now();
        let list: Result<Vec<Conn>, _> =
            specs.iter().map(|spec| Conn::new(spec.clone(), now)).collect();
        Ok(Self { list: list?, service_at: now, unsettled: !specs.is_empty() })
    }

    /// True when it is time to [`Conns::service`]: never, while all are up and have sent all.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        self.unsettled && Instant::now() >= self.service_at
    }

    /// Looks after every connection; `each` hears what came of it.
    pub(super) fn service(
        &mut self,
        counters: &mut Counters,
        mut each: impl FnMut(usize, &mut Conn, Step),
    ) {
        let now = Instant::now();
        for (index, conn) in self.list.iter_mut().enumerate() {
            match conn.step(now, counters) {
                Step::Nothing => {}
                step => each(index, conn, step),
            }
        }
        self.service_at = now + SERVICE_EVERY;
        self.unsettled = self.list.iter().any(|conn| !conn.is_settled());
    }

    /// The longest that a reactor may sleep without missing what is due here.
    pub(super) fn sleep_max(&self, timeout: Duration) -> Duration {
        if self.unsettled { timeout.min(SERVICE_EVERY) } else { timeout }
    }

    pub(super) fn send(
        &mut self,
        conn: usize,
        bytes: &[u8],
        counters: &mut Counters,
    ) -> Result<(), SendError> {
        let Some(conn) = self.list.get_mut(conn) else { return Err(SendError::NotConnected) };
        let result = conn.send(bytes, counters);
        self.unsettled |= !conn.is_settled();
        counters.send_refused += u64::from(result.is_err());
        result
    }

    /// Drops a connection, to be made anew after its backoff.
    pub(super) fn end(&mut self, conn: usize, counters: &mut Counters) {
        if let Some(conn) = self.list.get_mut(conn) {
            conn.end(Instant::now(), counters);
            self.unsettled = true;
        }
    }

    /// Drops a connection for good.
    pub(super) fn stop(&mut self, conn: usize, counters: &mut Counters) {
        if let Some(conn) = self.list.get_mut(conn) {
            conn.end(Instant::now(), counters);
            conn.state = State::Stopped;
        }
    }

    pub(super) fn local(&self, conn: usize) -> Option<SocketAddr> {
        let conn = self.list.get(conn)?;
        let socket = conn.socket().or(conn.listener.as_ref())?;
        socket.local_addr().ok()?.as_socket()
    }
}

impl Conn {
    fn new(spec: ConnSpec, now: Instant) -> Result<Self, ReactorError> {
        let backoff = spec.backoff_min;
        let unsent = Vec::with_capacity(UNSENT_BYTES_MAX);
        let state = State::Down { retry_at: now };
        let group = spec.address;
        let listener = spec.listens.then(|| listen(group)).transpose();
        let listener = listener.map_err(|source| {
            let step = "listening";
            ReactorError::Socket { group, step, source }
        })?;
        Ok(Self { spec, listener, state, backoff, unsent, generation: 0 })
    }

    /// The socket, if the connection is up.
    #[inline]
    pub(super) fn socket(&self) -> Option<&Socket> {
        match &self.state {
            State::Up { socket, .. } => Some(socket),
            _ => None,
        }
    }

    fn is_settled(&self) -> bool {
        matches!(self.state, State::Up { .. } | State::Stopped) && self.unsent.is_empty()
    }

    fn step(&mut self, now: Instant, counters: &mut Counters) -> Step {
        match &self.state {
            State::Down { retry_at } if now >= *retry_at => self.start(now, counters),
            State::Down { .. } | State::Stopped => Step::Nothing,
            State::Connecting { .. } => self.finish(now, counters),
            State::Up { .. } => match self.flush(counters) {
                Ok(()) => Step::Nothing,
                Err(error) => {
                    self.end(now, counters);
                    Step::Ended(Closed::Failed(error.kind()))
                }
            },
        }
    }

    fn start(&mut self, now: Instant, counters: &mut Counters) -> Step {
        if let Some(listener) = &self.listener {
            return match accept(listener) {
                Ok(Some(socket)) => {
                    self.up(socket, now, counters);
                    Step::Connected
                }
                Ok(None) => Step::Nothing,
                Err(error) => self.failed(now, &error, counters),
            };
        }
        match begin(self.spec.address) {
            Ok(socket) => {
                let until = now + self.spec.connect_timeout;
                self.state = State::Connecting { socket, until };
                self.finish(now, counters)
            }
            Err(error) => self.failed(now, &error, counters),
        }
    }

    fn finish(&mut self, now: Instant, counters: &mut Counters) -> Step {
        let State::Connecting { socket, until } = &self.state else { return Step::Nothing };
        match connected(socket) {
            Ok(true) => {}
            Ok(false) if now < *until => return Step::Nothing,
            Ok(false) => return self.failed(now, &io::ErrorKind::TimedOut.into(), counters),
            Err(error) => return self.failed(now, &error, counters),
        }
        let down = State::Down { retry_at: now };
        if let State::Connecting { socket, .. } = std::mem::replace(&mut self.state, down) {
            self.up(socket, now, counters);
        }
        Step::Connected
    }

    fn up(&mut self, socket: Socket, now: Instant, counters: &mut Counters) {
        self.state = State::Up { socket, since: now };
        self.generation = self.generation.wrapping_add(1);
        self.unsent.clear();
        counters.connects += 1;
    }

    fn failed(&mut self, now: Instant, error: &io::Error, counters: &mut Counters) -> Step {
        counters.connect_failures += 1;
        self.down(now);
        Step::Ended(Closed::NotConnected(error.kind()))
    }

    /// Closes the socket, if there is one, and waits out the backoff.
    pub(super) fn end(&mut self, now: Instant, counters: &mut Counters) {
        if let State::Up { socket, since } = &self.state {
            counters.disconnects += 1;
            // One that lasted was no failed try: the first retry is quick again. One that did not
            // (a refused login) must not be hammered.
            if now.saturating_duration_since(*since) > self.spec.backoff_max {
                self.backoff = self.spec.backoff_min;
            }
            // Ends a multishot receive, which holds the socket open past our closing it.
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
        self.down(now);
    }

    fn down(&mut self, now: Instant) {
        self.generation = self.generation.wrapping_add(1);
        self.unsent.clear();
        if self.listener.is_some() {
            // The next peer need not wait: it is not us who would hammer it.
            self.state = State::Down { retry_at: now };
            return;
        }
        self.state = State::Down { retry_at: now + self.backoff };
        self.backoff = (self.backoff * 2).min(self.spec.backoff_max);
    }

    fn send(&mut self, bytes: &[u8], counters: &mut Counters) -> Result<(), SendError> {
        if self.socket().is_none() {
            return Err(SendError::NotConnected);
        }
        let unsent = self.unsent.len();
        if unsent + bytes.len() > UNSENT_BYTES_MAX {
            return Err(SendError::Full { unsent });
        }
        self.unsent.extend_from_slice(bytes);
        // An error shows again, and is dealt with, when the connection is next looked after.
        let _ = self.flush(counters);
        Ok(())
    }

    fn flush(&mut self, counters: &mut Counters) -> io::Result<()> {
        let State::Up { socket, .. } = &self.state else { return Ok(()) };
        while !self.unsent.is_empty() {
            match send(socket, &self.unsent, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(sent) => {
                    counters.sent_bytes += sent as u64;
                    self.unsent.drain(..sent);
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn begin(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}

/// A socket that peers can connect to.
fn listen(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A run that follows another need not wait until the kernel has forgotten its connections.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The next peer that connected, in blocking mode; `None` if there is none.
fn accept(listener: &Socket) -> io::Result<Option<Socket>> {
    match listener.accept() {
        Ok((socket, _)) => {
            socket.set_nonblocking(false)?;
            socket.set_tcp_nodelay(true)?;
            Ok(Some(socket))
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a connect has come to an end; leaves the socket in blocking mode if it has.
fn connected(socket: &Socket) -> io::Result<bool> {
    let mut ready = [PollFd::new(socket, PollFlags::OUT)];
    if poll(&mut ready, Some(&Timespec::default()))? == 0 {
        return Ok(false);
    }
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    socket.peer_addr()?;
    socket.set_nonblocking(false)?;
    Ok(true)
}
