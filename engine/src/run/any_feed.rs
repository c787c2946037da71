//! A feed as the reactor drives it, whatever its messages are.
//!
//! Invariant: adds nothing but names; each call goes to the one feed that it is.

use corelane_feeds::feed::Feed;
use corelane_feeds::record::RecordSink;
use corelane_feeds::streams::sys;
use corelane_feeds::text::TextFeed;
use corelane_feeds::units::{Nanos, Seq};

use crate::report::Counts;

/// A venue's feed, or one of lines.
pub(crate) enum AnyFeed {
    Venue(Box<Feed>),
    Text(Box<TextFeed>),
}

impl AnyFeed {
    /// Goes on in a session of an earlier run, at its message `next`.
    pub(crate) fn resume(
        &mut self,
        session: &sys::Session,
        next: Seq,
        ts_event: Nanos,
        ended: bool,
    ) {
        match self {
            Self::Venue(feed) => feed.resume(session, next, ts_event, ended),
            Self::Text(feed) => feed.resume(session, next, ts_event, ended),
        }
    }

    /// Whether it numbers instruments by the order in which their symbols come.
    pub(crate) fn numbers_symbols(&self) -> bool {
        matches!(self, Self::Venue(feed) if feed.numbers_symbols())
    }

    /// A symbol has this number since an earlier run.
    pub(crate) fn recall(&mut self, symbol: u64, number: u16) {
        if let Self::Venue(feed) = self {
            feed.recall(symbol, number);
        }
    }

    /// The feed, if it is one of lines.
    pub(super) fn text(&mut self) -> Option<&mut TextFeed> {
        match self {
            Self::Venue(_) => None,
            Self::Text(feed) => Some(feed),
        }
    }

    /// Takes a datagram of a line.
    #[inline]
    pub(super) fn datagram(
        &mut self,
        line: u8,
        ts_recv: Nanos,
        payload: &[u8],
        sink: &mut impl RecordSink,
    ) {
        match self {
            Self::Venue(feed) => feed.datagram(line, ts_recv, payload, sink),
            Self::Text(feed) => feed.datagram(ts_recv, payload, sink),
        }
    }

    /// What brought it is over, and with it its session.
    pub(super) fn end_of_session(&mut self, ts_recv: Nanos, sink: &mut impl RecordSink) {
        match self {
            Self::Venue(feed) => feed.end_of_session(ts_recv, sink),
            Self::Text(feed) => feed.end(ts_recv, sink),
        }
    }

    /// Time went on for so long since the last record.
    pub(super) fn tick(&mut self, now: Nanos, silent_ns: u64, sink: &mut impl RecordSink) {
        match self {
            Self::Venue(feed) => feed.tick(now, silent_ns, sink),
            Self::Text(feed) => feed.tick(now, silent_ns, sink),
        }
    }

    /// Delivers what it still holds.
    pub(super) fn flush(&mut self, ts_recv: Nanos, sink: &mut impl RecordSink) {
        match self {
            Self::Venue(feed) => feed.flush(ts_recv, sink),
            Self::Text(feed) => feed.cut(),
        }
    }

    /// Whether it said that its session is over, and no other has begun.
    pub(super) fn has_ended(&self) -> bool {
        match self {
            Self::Venue(feed) => feed.has_ended(),
            Self::Text(feed) => feed.has_ended(),
        }
    }

    /// What it counted, and what else there is to say.
    pub(super) fn counts(&self) -> (Counts, Vec<String>) {
        match self {
            Self::Venue(feed) => (feed.counters().iter().collect(), Vec::new()),
            Self::Text(feed) => {
                let notes = feed.rejections().iter().map(|why| format!("rejected {why}"));
                (feed.counters().iter().collect(), notes.collect())
            }
        }
    }
}
