//! NASDAQ TotalView-ITCH 5.0: messages to `itch.*` records.
//!
//! Invariant: a message gives exactly one record, or is counted as unknown or short and gives none.
//! A message longer than its type is known to be is read by its known part and counted, so that a
//! new field at its end breaks nothing.
//!
//! ```
//! use corelane_feeds::itch50::{Itch50, wire};
//! use corelane_feeds::record::{Record, Stamp};
//! use corelane_feeds::units::Nanos;
//! use zerocopy::IntoBytes;
//! let message = wire::SystemEvent { head: wire::Head::new(b'S', 0, 5), event: b'O' };
//! let mut itch = Itch50::new(Nanos(1_000));
//! let mut seen = None;
//! let mut sink = |record: &Record| seen = Some(record.header.ts_event);
//! itch.message(message.as_bytes(), Stamp::default(), &mut sink);
//! assert_eq!(seen, Some(Nanos(1_005)));
//! ```

mod decode;
pub mod wire;

use crate::record::{RecordSink, Stamp};
use crate::units::Nanos;

/// Decodes ITCH 5.0 messages.
#[derive(Clone, Debug)]
pub struct Itch50 {
    midnight: Nanos,
    counters: MessageCounters,
}

/// What a message decoder counts.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageCounters {
    /// Messages of a type that is not known: skipped.
    pub unknown_types: u64,
    /// Messages shorter than their type: skipped.
    pub short_messages: u64,
    /// Messages longer than their type: read by their known part.
    pub long_messages: u64,
}

impl Itch50 {
    /// A decoder for a session whose times count from `midnight`.
    #[must_use]
    pub fn new(midnight: Nanos) -> Self {
        Self { midnight, counters: MessageCounters::default() }
    }

    /// What was not decoded as it is specified.
    #[must_use]
    pub fn counters(&self) -> &MessageCounters {
        &self.counters
    }

    /// Decodes one message. `stamp` brings feed, flags, sequence and receive time; instrument and
    /// event time are the message's own.
    #[inline]
    pub fn message(&mut self, bytes: &[u8], stamp: Stamp, sink: &mut impl RecordSink) {
        let Some(&kind) = bytes.first() else {
            self.counters.short_messages += 1;
            return;
        };
        let Some(known) = wire::length_of(kind) else {
            self.counters.unknown_types += 1;
            return;
        };
        if bytes.len() != known {
            if bytes.len() < known {
                self.counters.short_messages += 1;
                return;
            }
            self.counters.long_messages += 1;
        }
        decode::decode(kind, bytes, self.midnight, stamp, sink);
    }
}
