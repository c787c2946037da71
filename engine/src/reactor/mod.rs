//! The feed reactor: one pinned thread that owns sockets and hands what they receive to a
//! [`Handler`], by one of two receive backends behind one interface.
//!
//! ```text
//!                      ┌ uring   multishot receives into a ring of provided buffers; an idle poll
//! sockets ─> Backend ──┤         one load from memory shared with the kernel for all sockets
//!                      └ socket  recvmmsg on each socket in turn: an idle poll is a syscall each
//!                           │
//!                           └─> Handler::datagram, ::connected, ::bytes, ::closed
//! ```
//!
//! Invariants: what one socket received is handed over in the order the kernel queued it. Nothing
//! is allocated after [`Reactor::open`] but when a TCP connection is made anew. Whatever is lost or
//! refused is counted in [`Counters`] under the name of its cause.
//!
//! ```
//! use corelane::reactor::{Backend, Handler, Reactor, ReactorSpec, SocketSpec};
//! use corelane_feeds::units::Nanos;
//!
//! struct Count(usize);
//! impl Handler for Count {
//!     fn datagram(&mut self, _socket: usize, _ts_kernel: Option<Nanos>, payload: &[u8]) {
//!         self.0 += payload.len();
//!     }
//! }
//! let spec = ReactorSpec {
//!     sockets: vec![SocketSpec::new("127.0.0.1:0".parse().unwrap())],
//!     ..ReactorSpec::default()
//! };
//! let mut reactor = Reactor::open(&spec).unwrap();
//! let to = reactor.sockets()[0].local;
//! std::net::UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"four", to).unwrap();
//! let mut count = Count(0);
//! while count.0 == 0 {
//!     reactor.poll(&mut count).unwrap();
//! }
//! assert_eq!(count.0, 4);
//! ```

mod cmsg;
mod conn;
mod counters;
mod probe;
mod session;
mod socket;
mod spec;
mod udp;
mod uring;
mod waiting;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use corelane_feeds::units::Nanos;

pub use counters::Counters;
pub use probe::{Choice, Probe, SOCKETS_POLLED_MAX, probe};
pub use session::{SessionClient, SessionHandler, SessionName, Sessions, Verdict};
pub use socket::SocketBackend;
pub use spec::{
    BackendKind, ConnSpec, DATAGRAM_BYTES_MAX, Interface, RCVBUF_DEFAULT, ReactorError,
    ReactorSpec, SocketSpec,
};
pub use udp::OpenSocket;
pub use uring::UringBackend;
pub use waiting::{Idle, PARK_MAX, Waiting};

/// Takes what a reactor receives. Called on the reactor's thread, inside [`Backend::poll`].
///
/// A handler that blocks holds up every socket of its reactor: TCP then stops reading, which is
/// how backpressure reaches a peer; multicast stays in the socket's buffer until that overflows.
pub trait Handler {
    /// One whole datagram of `ReactorSpec::sockets[socket]`, and when the kernel received it.
    fn datagram(&mut self, socket: usize, ts_kernel: Option<Nanos>, payload: &[u8]);

    /// `ReactorSpec::conns[conn]` is connected; nothing has been sent or received yet.
    fn connected(&mut self, _conn: usize) {}

    /// The next bytes of a connection's stream, cut at no particular place.
    fn bytes(&mut self, _conn: usize, _bytes: &[u8]) {}

    /// The connection is gone, or could not be made. It is tried again after a while.
    fn closed(&mut self, _conn: usize, _why: Closed) {}
}

/// Why a connection ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Closed {
    /// The peer ended the stream.
    ByPeer,
    /// The connection could not be made.
    NotConnected(io::ErrorKind),
    /// The connection failed.
    Failed(io::ErrorKind),
}

/// Why bytes were not taken for sending.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    /// The connection is not up.
    #[error("not connected")]
    NotConnected,
    /// The peer does not read: the bounded buffer for unsent bytes is full.
    #[error("the peer does not read: {unsent} bytes are unsent")]
    Full {
        /// Bytes that wait already.
        unsent: usize,
    },
}

/// One way to receive. Both backends and [`Reactor`], which is either, have this interface.
pub trait Backend {
    /// Hands over what has arrived, at most about `ReactorSpec::batch_max` datagrams, and never
    /// blocks. Returns how many datagrams and stream pieces were handed over.
    ///
    /// # Errors
    /// If the ring or a socket is beyond use; what a feed can cause is counted instead.
    fn poll<H: Handler>(&mut self, handler: &mut H) -> io::Result<usize>;

    /// Sleeps until something can be received, or for `timeout`.
    ///
    /// # Errors
    /// As [`Backend::poll`].
    fn wait(&mut self, timeout: Duration) -> io::Result<()>;

    /// Sends on a connection, all of it or none; what the kernel does not take at once waits in a
    /// bounded buffer and goes out during later polls.
    ///
    /// # Errors
    /// If the connection is not up or the buffer is full.
    fn send(&mut self, conn: usize, bytes: &[u8]) -> Result<(), SendError>;

    /// Drops a connection and makes it anew after its backoff. [`Handler::closed`] is not called.
    fn reconnect(&mut self, conn: usize);

    /// Drops a connection for good: nothing more is to come. [`Handler::closed`] is not called.
    fn stop(&mut self, conn: usize);

    /// What has been counted so far.
    fn counters(&self) -> &Counters;

    /// Asks the kernel how many datagrams each socket dropped. A syscall a socket: for reports.
    fn refresh_drops(&mut self);

    /// The datagram sockets, in the order of `ReactorSpec::sockets`.
    fn sockets(&self) -> &[OpenSocket];

    /// The local address of a connection that is up.
    fn conn_local(&self, conn: usize) -> Option<SocketAddr>;
}

/// The backend that was chosen at start-up. It stays on the thread that opened it.
#[derive(Debug)]
pub struct Reactor {
    inner: Inner,
    choice: Choice,
}

#[derive(Debug)]
enum Inner {
    Uring(Box<UringBackend>),
    Socket(Box<SocketBackend>),
}

/// Calls the same method on whichever backend it is: one well-predicted branch.
macro_rules! either {
    ($self:ident, $backend:ident => $call:expr) => {
        match &mut $self.inner {
            Inner::Uring($backend) => $call,
            Inner::Socket($backend) => $call,
        }
    };
    (ref $self:ident, $backend:ident => $call:expr) => {
        match &$self.inner {
            Inner::Uring($backend) => $call,
            Inner::Socket($backend) => $call,
        }
    };
}

impl Reactor {
    /// Opens every socket of `spec`, on the thread that will poll it: the ring belongs to the
    /// thread that made it, and memory lands near the CPU that first touches it, so pin first.
    ///
    /// # Errors
    /// If the backend asked for is not to be had, or a socket cannot be opened.
    pub fn open(spec: &ReactorSpec) -> Result<Self, ReactorError> {
        let sources = spec.sockets.len() + spec.conns.len();
        let choice = probe().choose(spec.backend, sources)?;
        if choice.kind != BackendKind::Uring {
            let inner = Inner::Socket(Box::new(SocketBackend::open(spec)?));
            return Ok(Self { inner, choice });
        }
        match UringBackend::open(spec) {
            Ok(backend) => Ok(Self { inner: Inner::Uring(Box::new(backend)), choice }),
            // The probe's small ring went through where the real one does not: a limit was met.
            Err(error @ ReactorError::Ring { .. }) if spec.backend == BackendKind::Auto => {
                let inner = Inner::Socket(Box::new(SocketBackend::open(spec)?));
                let why = format!("auto: {sources} sockets would take uring, but {error}");
                Ok(Self { inner, choice: Choice { kind: BackendKind::Socket, why } })
            }
            Err(error) => Err(error),
        }
    }

    /// Which backend is in use, and why.
    #[must_use]
    pub fn choice(&self) -> &Choice {
        &self.choice
    }
}

impl Backend for Reactor {
    #[inline]
    fn poll<H: Handler>(&mut self, handler: &mut H) -> io::Result<usize> {
        either!(self, backend => backend.poll(handler))
    }

    fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        either!(self, backend => backend.wait(timeout))
    }

    fn send(&mut self, conn: usize, bytes: &[u8]) -> Result<(), SendError> {
        either!(self, backend => backend.send(conn, bytes))
    }

    fn reconnect(&mut self, conn: usize) {
        either!(self, backend => backend.reconnect(conn));
    }

    fn stop(&mut self, conn: usize) {
        either!(self, backend => backend.stop(conn));
    }

    fn counters(&self) -> &Counters {
        either!(ref self, backend => backend.counters())
    }

    fn refresh_drops(&mut self) {
        either!(self, backend => backend.refresh_drops());
    }

    fn sockets(&self) -> &[OpenSocket] {
        either!(ref self, backend => backend.sockets())
    }

    fn conn_local(&self, conn: usize) -> Option<SocketAddr> {
        either!(ref self, backend => backend.conn_local(conn))
    }
}
