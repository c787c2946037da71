//! Our ITCH decoder against `itchy` (a nom parser that returns each message as an enum) on the same
//! bytes, and our whole way to a book against itchy's decoding alone.
//!
//! Invariant: everyone reads every message of the same file from memory, and each hands its
//! messages to a loop that looks at time and instrument of every one.
//!
//! ```
//! use corelane_bench::{decode, session::Session};
//! let session = Session::generate(20_000).unwrap().without(decode::UNKNOWN_TO_ITCHY);
//! let ours = decode::decoder_alone(&session).1;
//! assert_eq!(ours, decode::itchy(&session).unwrap().1);
//! ```

use std::hint::black_box;

use corelane::shard::{Shard, ShardConfig};
use corelane::sys::prefetch::MEMORY;
use corelane_feeds::itch50::Itch50;
use corelane_feeds::record::{Record, RecordSink, Stamp};
use corelane_feeds::units::{Nanos, Seq};
use corelane_strategies::book::{L3Books, L3Options};
use corelane_strategies::chain::Chain;

use crate::session::Session;
use crate::stages::{Framing, Swallow, feed};
use crate::stat::thread_cpu_ns;

/// Message types that itchy 0.3 panics at: operational halts and direct listings came later.
pub const UNKNOWN_TO_ITCHY: &[u8] = b"hO";

/// Folds time and instrument of messages: the same whoever decoded them.
#[derive(Copy, Clone, Default, Debug)]
pub struct Sum(u64);

impl Sum {
    /// Adds a message.
    #[inline]
    pub fn add(&mut self, ts_event: u64, instrument: u16) {
        self.0 = self.0.wrapping_mul(31).wrapping_add(ts_event) ^ u64::from(instrument);
    }

    /// What it came to.
    #[must_use]
    pub const fn value(&self) -> u64 {
        self.0
    }
}

/// Takes a record of each message; those of the transport and further ones of a message are left
/// out of the sum.
#[derive(Default)]
struct Messages {
    sum: Sum,
    seq: Seq,
}

impl RecordSink for Messages {
    #[inline]
    fn record(&mut self, record: &Record) {
        let header = &black_box(record).header;
        if header.seq != self.seq && header.stream.0 >= 0x100 {
            self.seq = header.seq;
            self.sum.add(header.ts_event.0, header.instrument);
        }
    }
}

/// Decodes by [`corelane_feeds::feed::Feed`], which also keeps the sequence: CPU nanoseconds per
/// message, and the sum.
#[must_use]
pub fn ours(session: &Session, framing: Framing) -> (f64, u64) {
    let mut sink = Messages::default();
    let ns = feed(session, framing, &mut sink, |_, _| {});
    (ns, sink.sum.0)
}

/// Decodes by [`Itch50`] alone, which like itchy knows nothing of sessions and sequences: CPU
/// nanoseconds per message, and the sum.
#[must_use]
pub fn decoder_alone(session: &Session) -> (f64, u64) {
    let begin = thread_cpu_ns();
    let mut sink = Messages::default();
    let mut decoder = Itch50::new(Nanos(0));
    for (i, message) in session.messages().enumerate() {
        let stamp = Stamp { seq: Seq(i as u64 + 1), ..Stamp::default() };
        decoder.message(message, stamp, &mut sink);
    }
    ((thread_cpu_ns() - begin) / session.count as f64, sink.sum.0)
}

/// Decodes by `itchy`: CPU nanoseconds per message, and the sum.
///
/// # Errors
/// If it cannot read a message.
pub fn itchy(session: &Session) -> anyhow::Result<(f64, u64)> {
    let begin = thread_cpu_ns();
    let mut sum = Sum::default();
    for message in itchy::MessageStream::from_reader(session.file.as_slice()) {
        let message = message?;
        let message = black_box(&message);
        sum.add(message.timestamp, message.stock_locate);
    }
    Ok(((thread_cpu_ns() - begin) / session.count as f64, sum.0))
}

/// Decodes and keeps order-by-order books with their best prices, in a shard as the engine has it,
/// but without a journal: CPU nanoseconds per message.
#[must_use]
pub fn ours_with_books(session: &Session, framing: Framing) -> f64 {
    let options = L3Options { publish_orders: false, ..L3Options::default() };
    let mut chain = Chain::new(vec![Box::new(L3Books::new(options))], Vec::new());
    chain.reserve(0, MEMORY);
    let mut shard = Shard::new(chain, None, Swallow::default(), ShardConfig::default());
    let ns = feed(session, framing, &mut shard, |shard, _| shard.end_batch());
    black_box(shard.counters());
    ns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_read_the_same() {
        let session = Session::generate(50_000).unwrap().without(UNKNOWN_TO_ITCHY);
        let theirs = itchy(&session).unwrap().1;
        assert_eq!(decoder_alone(&session).1, theirs);
        for framing in [Framing::File, Framing::Mold] {
            assert_eq!(ours(&session, framing).1, theirs);
            assert!(ours_with_books(&session, framing) > 0.0);
        }
    }
}
