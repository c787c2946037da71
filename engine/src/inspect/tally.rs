//! What a feed's messages and records come to: sessions, gaps, symbols, books.
//!
//! Invariant: lists of sessions, restarts and gaps are bounded; their counts are not.

use corelane_feeds::feed::Protocol;
use corelane_feeds::record::{Record, RecordSink, View};
use corelane_feeds::streams::sys;
use corelane_feeds::units::{Char, Nanos, Seq};

use super::books::Books;
use super::messages::Messages;
use super::symbols::Symbols;

/// The most sessions, restarts and gaps that are listed, each.
pub(super) const LISTED_MAX: usize = 1_000;

/// A session by its name.
#[derive(Clone, Debug)]
pub(super) struct SessionSeen {
    pub(super) id: Char<16>,
    generation: u32,
    pub(super) next: u64,
}

/// A sequence that began anew under the same name.
#[derive(Clone, Debug)]
pub(super) struct RestartSeen {
    pub(super) id: Char<16>,
    /// The sequence number that was expected when it happened.
    pub(super) expected: u64,
    pub(super) ts: Nanos,
}

/// Messages that are missing.
#[derive(Clone, Debug)]
pub(super) struct GapSeen {
    pub(super) id: Char<16>,
    pub(super) first: u64,
    pub(super) count: u64,
    pub(super) ts: Nanos,
}

/// The sessions of a feed.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    /// How often one began or was gone back to.
    pub(super) begun: u64,
    pub(super) seen: Vec<SessionSeen>,
    pub(super) restarts: Vec<RestartSeen>,
    pub(super) gaps: Vec<GapSeen>,
    /// How many said that they are over.
    pub(super) ended: u64,
    /// Position of the present one; `None` before the first and beyond the list's bound.
    current: Option<usize>,
}

impl Sessions {
    /// The present session has come so far.
    #[inline]
    pub(super) fn reached(&mut self, next: Seq) {
        if let Some(current) = self.current.and_then(|at| self.seen.get_mut(at)) {
            current.next = next.0;
        }
    }

    fn begin(&mut self, session: &sys::Session) {
        self.begun += 1;
        let (id, generation, next) = (session.id, session.generation, session.header.seq.0);
        self.current = self.seen.iter().position(|seen| seen.id == id);
        let Some(at) = self.current else {
            if self.seen.len() < LISTED_MAX {
                self.current = Some(self.seen.len());
                self.seen.push(SessionSeen { id, generation, next });
            }
            return;
        };
        let seen = &mut self.seen[at];
        if generation > seen.generation && self.restarts.len() < LISTED_MAX {
            let ts = session.header.ts_recv;
            self.restarts.push(RestartSeen { id, expected: seen.next, ts });
        }
        *seen = SessionSeen { id, generation, next };
    }

    fn gap(&mut self, gap: &sys::Gap) {
        if self.gaps.len() < LISTED_MAX {
            let id = self.current.map_or_else(Char::default, |at| self.seen[at].id);
            let (first, count, ts) = (gap.first.0, gap.count, gap.header.ts_recv);
            self.gaps.push(GapSeen { id, first, count, ts });
        }
    }
}

/// Takes a feed's messages and records.
pub(super) struct Tally {
    pub(super) messages: Messages,
    pub(super) sessions: Sessions,
    pub(super) symbols: Symbols,
    pub(super) books: Books,
}

impl Tally {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self {
            messages: Messages::new(protocol),
            sessions: Sessions::default(),
            symbols: Symbols::default(),
            books: Books::new(protocol),
        }
    }

    #[cold]
    fn transport(&mut self, record: &Record) {
        if let Some(session) = record.view::<sys::Session>() {
            self.sessions.begin(session);
            self.symbols.begin_session();
            self.books.take(record, &mut self.symbols);
        } else if let Some(gap) = record.view::<sys::Gap>() {
            self.sessions.gap(gap);
        } else if record.header.stream == sys::EndOfSession::STREAM {
            self.sessions.ended += 1;
        }
    }
}

impl RecordSink for Tally {
    #[inline]
    fn message(&mut self, seq: Seq, bytes: &[u8]) {
        self.messages.message(bytes);
        self.sessions.reached(Seq(seq.0.saturating_add(1)));
    }

    #[inline]
    fn record(&mut self, record: &Record) {
        if record.header.stream.0 >> 8 == 0 {
            return self.transport(record);
        }
        self.symbols.count(record);
        self.books.take(record, &mut self.symbols);
    }
}

const _: () = assert!(sys::Session::SCHEMA.stream.0 >> 8 == 0, "the family of the transports");
