//! The SoupBinTCP client as the reactor's sessions drive it.
//!
//! Invariant: adds nothing but names: the protocol's events become the reactor's verdicts.

use corelane_feeds::soupbintcp::{Client, Event};
use corelane_feeds::units::{Nanos, Seq};

use crate::reactor::{SessionClient, SessionName, Verdict};

/// A SoupBinTCP client.
#[derive(Debug)]
pub(super) struct SoupClient(Client);

impl SoupClient {
    /// Wraps a client.
    #[must_use]
    pub(super) fn new(client: Client) -> Self {
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
