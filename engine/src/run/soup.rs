//! What stands at our end of a connection: a SoupBinTCP client, or nobody, as the reactor's
//! sessions drive it.
//!
//! Invariant: adds nothing but names: the protocol's events become the reactor's verdicts.

use corelane_feeds::soupbintcp::{self, Event};
use corelane_feeds::units::{Nanos, Seq};

use crate::reactor::{SessionClient, SessionName, Verdict};

/// Our end of a connection.
#[derive(Debug)]
pub(super) enum Client {
    Soup(SoupClient),
    /// Nobody: bytes are handed on as they come, and nothing is said.
    Plain,
}

/// The name of a session whose bytes have none.
const NAMELESS: &SessionName = b"          ";

impl SessionClient for Client {
    fn connected(&mut self) {
        if let Self::Soup(client) = self {
            client.connected();
        }
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8], mut each: impl FnMut(&SessionName, Seq, &[u8])) -> Verdict {
        match self {
            Self::Soup(client) => client.bytes(bytes, each),
            Self::Plain => {
                each(NAMELESS, Seq(0), bytes);
                Verdict::Proceed
            }
        }
    }

    fn on_time(&mut self, now: Nanos) -> Verdict {
        match self {
            Self::Soup(client) => client.on_time(now),
            Self::Plain => Verdict::Proceed,
        }
    }

    fn output(&self) -> &[u8] {
        match self {
            Self::Soup(client) => client.output(),
            Self::Plain => &[],
        }
    }

    fn output_taken(&mut self) {
        if let Self::Soup(client) = self {
            client.output_taken();
        }
    }
}

/// A SoupBinTCP client.
#[derive(Debug)]
pub(super) struct SoupClient(soupbintcp::Client);

impl SoupClient {
    /// Wraps a client.
    #[must_use]
    pub(super) fn new(client: soupbintcp::Client) -> Self {
        Self(client)
    }
}

/// A refused login is tried again after the connection's backoff: accounts get opened, sessions
/// begin.
fn verdict(event: Event) -> Verdict {
    match event {
        Event::Proceed => Verdict::Proceed,
        Event::Rejected(_) | Event::BadFraming | Event::Silent => Verdict::Reconnect,
        Event::Ended => Verdict::Ended,
    }
}

impl SessionClient for SoupClient {
    fn connected(&mut self) {
        self.0.connected();
    }

    fn bytes(&mut self, bytes: &[u8], mut each: impl FnMut(&SessionName, Seq, &[u8])) -> Verdict {
        verdict(self.0.bytes(bytes, |session, seq, message| each(session, Seq(seq), message)))
    }

    fn on_time(&mut self, now: Nanos) -> Verdict {
        verdict(self.0.on_time(now.0))
    }

    fn output(&self) -> &[u8] {
        self.0.output()
    }

    fn output_taken(&mut self) {
        self.0.output_taken();
    }
}
