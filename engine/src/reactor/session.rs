//! Drives session protocols (SoupBinTCP first) over a reactor's connections: log in on every new
//! connection, resume behind the last message seen, answer, keep alive, give up on a silent peer.
//!
//! The protocol itself is sans-I/O, behind [`SessionClient`]; here its bytes meet the backend.
//!
//! ```text
//! Backend ──bytes──> SessionClient ──(session, seq, message)──> SessionHandler
//!    ^                    │ output, verdict
//!    └──send, reconnect, stop
//! ```
//!
//! Invariants: a client's output goes out after the poll that caused it, before the next one. A
//! connection is made anew whenever its client says so, and never again once the session ended.

use std::io;

use corelane_feeds::units::{Nanos, Seq};

use super::{Backend, Closed, Handler, SendError};

/// A session's name, as NASDAQ's protocols carry it.
pub type SessionName = [u8; 10];

/// A session protocol's client side: bytes and time in, messages and bytes out.
pub trait SessionClient {
    /// The stream is new: forget what was half read, and log in asking for the first message not
    /// seen yet.
    fn connected(&mut self);

    /// Takes the next bytes of the stream and calls `each` for every message complete in them.
    fn bytes(&mut self, bytes: &[u8], each: impl FnMut(&SessionName, Seq, &[u8])) -> Verdict;

    /// Time has passed: a heartbeat may be due, or the peer silent for too long.
    fn on_time(&mut self, now: Nanos) -> Verdict;

    /// What is to be sent.
    fn output(&self) -> &[u8];

    /// The output was taken.
    fn output_taken(&mut self);
}

/// What a client makes of its connection.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Verdict {
    /// All is well.
    #[default]
    Proceed,
    /// The connection is of no more use (refused login, broken framing, silence): make a new one.
    Reconnect,
    /// The session has ended in order; nothing more is to come.
    Ended,
}

/// Takes what a reactor with sessions receives: whole messages, with their sequence numbers.
pub trait SessionHandler {
    /// See [`Handler::datagram`].
    fn datagram(&mut self, _socket: usize, _ts_kernel: Option<Nanos>, _payload: &[u8]) {}

    /// The next message of a session. None is repeated or left out by the driver.
    fn message(&mut self, conn: usize, session: &SessionName, seq: Seq, payload: &[u8]);

    /// See [`Handler::connected`]; the login goes out next.
    fn connected(&mut self, _conn: usize) {}

    /// The connection is gone; a new one will be made. `why` is `None` where the client ended it.
    fn closed(&mut self, _conn: usize, _why: Option<Closed>) {}

    /// The session has ended in order; no new connection is made.
    fn ended(&mut self, _conn: usize) {}
}

/// The sessions of one reactor, one for each of `ReactorSpec::conns`, in their order.
#[derive(Debug)]
pub struct Sessions<C> {
    list: Vec<Session<C>>,
    /// A client has output or a verdict to act on.
    dirty: bool,
}

#[derive(Debug)]
struct Session<C> {
    client: C,
    verdict: Verdict,
    up: bool,
}

impl<C: SessionClient> Sessions<C> {
    /// Sessions for connections 0, 1, ...
    pub fn new(clients: impl IntoIterator<Item = C>) -> Self {
        let session = |client| Session { client, verdict: Verdict::Proceed, up: false };
        Self { list: clients.into_iter().map(session).collect(), dirty: false }
    }

    /// The client of a connection.
    #[must_use]
    pub fn client(&self, conn: usize) -> Option<&C> {
        self.list.get(conn).map(|session| &session.client)
    }

    /// [`Backend::poll`], with streams cut into messages and answered.
    ///
    /// # Errors
    /// As [`Backend::poll`].
    #[inline]
    pub fn poll<B: Backend, H: SessionHandler>(
        &mut self,
        backend: &mut B,
        handler: &mut H,
    ) -> io::Result<usize> {
        let Self { list, dirty } = self;
        let done = backend.poll(&mut Tap { list, dirty, handler })?;
        if self.dirty {
            self.settle(backend, handler);
        }
        Ok(done)
    }

    /// To be called several times a second, with the time: heartbeats and silence.
    pub fn on_time<B: Backend, H: SessionHandler>(
        &mut self,
        now: Nanos,
        backend: &mut B,
        handler: &mut H,
    ) {
        for session in self.list.iter_mut().filter(|session| session.up) {
            session.verdict = session.client.on_time(now);
        }
        self.settle(backend, handler);
    }

    /// Sends what clients have to say and acts on their verdicts.
    fn settle<B: Backend, H: SessionHandler>(&mut self, backend: &mut B, handler: &mut H) {
        self.dirty = false;
        for (conn, session) in self.list.iter_mut().enumerate().filter(|(_, session)| session.up) {
            let output = session.client.output();
            if !output.is_empty() {
                let sent = backend.send(conn, output);
                session.client.output_taken();
                // A client says a few bytes a second: 64 KiB unsent means that nobody listens.
                if matches!(sent, Err(SendError::Full { .. })) {
                    session.verdict = Verdict::Reconnect;
                }
            }
            match std::mem::take(&mut session.verdict) {
                Verdict::Proceed => {}
                Verdict::Reconnect => {
                    session.up = false;
                    backend.reconnect(conn);
                    handler.closed(conn, None);
                }
                Verdict::Ended => {
                    session.up = false;
                    backend.stop(conn);
                    handler.ended(conn);
                }
            }
        }
    }
}

/// Stands between the backend and the handler for the length of one poll.
struct Tap<'a, C, H> {
    list: &'a mut [Session<C>],
    dirty: &'a mut bool,
    handler: &'a mut H,
}

impl<C: SessionClient, H: SessionHandler> Handler for Tap<'_, C, H> {
    #[inline]
    fn datagram(&mut self, socket: usize, ts_kernel: Option<Nanos>, payload: &[u8]) {
        self.handler.datagram(socket, ts_kernel, payload);
    }

    fn connected(&mut self, conn: usize) {
        let Some(session) = self.list.get_mut(conn) else { return };
        session.client.connected();
        session.verdict = Verdict::Proceed;
        session.up = true;
        *self.dirty = true;
        self.handler.connected(conn);
    }

    #[inline]
    fn bytes(&mut self, conn: usize, bytes: &[u8]) {
        let Some(session) = self.list.get_mut(conn) else { return };
        // What follows the bytes that brought the verdict is of no more use.
        if session.verdict != Verdict::Proceed {
            return;
        }
        let handler = &mut *self.handler;
        session.verdict = session.client.bytes(bytes, |name, seq, message| {
            handler.message(conn, name, seq, message);
        });
        *self.dirty |= session.verdict != Verdict::Proceed || !session.client.output().is_empty();
    }

    fn closed(&mut self, conn: usize, why: Closed) {
        let Some(session) = self.list.get_mut(conn) else { return };
        // A peer that says that the session ended may close before we act on it.
        session.up = session.verdict == Verdict::Ended;
        self.handler.closed(conn, Some(why));
    }
}

#[cfg(test)]
mod tests;
