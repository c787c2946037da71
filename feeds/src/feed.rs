//! A feed: packets of one or more lines in, records in sequence out.
//!
//! ```text
//! datagram(line) ──> transport (MoldUDP64, IEX-TP) ──> sequence ──┬──> decoder ──> records
//! message()      ──> (SoupBinTCP, BinaryFILE) ────────────────────┤
//!                                              ahead of a hole ──> held
//! ```
//!
//! Invariant: the same packets give the same records, whichever transport brought the messages;
//! what is not delivered is counted under the name of its cause.
//!
//! ```
//! use corelane_feeds::feed::{BINARY_FILE_SESSION, Feed, FeedConfig, Protocol, Transport};
//! use corelane_feeds::record::Record;
//! use corelane_feeds::units::{Nanos, Seq};
//! let config = FeedConfig::new(0, Protocol::Itch50, Transport::BinaryFile);
//! let mut feed = Feed::new(&config);
//! let mut streams = Vec::new();
//! let mut sink = |record: &Record| streams.push(record.header.stream.0);
//! feed.message(BINARY_FILE_SESSION, Seq(1), Nanos(0), b"S\0\0\0\0\0\0\0\0\0\0O", &mut sink);
//! assert_eq!(streams, [0x0001, 0x0101]); // sys.session, itch.system_event
//! ```

mod config;
mod held;
mod suspects;

use crate::iex::Iex;
use crate::iextp;
use crate::itch50::{Itch50, MessageCounters};
use crate::moldudp64;
use crate::record::{FLAG_AFTER_GAP, Record, RecordSink, Stamp, View};
use crate::sequence::{
    LineCounters, Place, SESSION_BYTES, SequenceCounters, Sequencer, Suspicion, Verdict,
};
use crate::streams::sys;
use crate::units::{Char, Nanos, Seq};
pub use config::{FeedConfig, Protocol, Transport, UnknownName};
use held::Held;
use suspects::Suspects;

/// The session name of BinaryFILE captures, which have none of their own.
pub const BINARY_FILE_SESSION: &[u8; 10] = b"BINARYFILE";

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// What a feed counts. Names are stable, they are the names in reports.
        #[derive(Copy, Clone, Default, PartialEq, Eq, Debug)]
        pub struct FeedCounters {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }
        impl FeedCounters {
            /// Every counter with its name, in a fixed order.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name),)+].into_iter()
            }
        }
    };
}

counters! {
    /// Packets that arrived, heartbeats included.
    packets,
    /// Packets without a message.
    heartbeats,
    /// Messages delivered to the decoder.
    messages,
    /// Records made, those of the transport included.
    records,
    /// Messages that another packet had brought already.
    duplicates,
    /// Messages that came when the feed had gone past them without them.
    late,
    /// Holes that no line could fill.
    gaps,
    /// Messages in them.
    messages_missing,
    /// Sessions begun.
    sessions,
    /// Sessions begun by a sequence that went back to 1 under the same name.
    restarts,
    /// Sessions gone back to after packets of another.
    resumes,
    /// Packets of a session that is over.
    stale,
    /// Packets held because they came before one that was missing.
    held,
    /// Packets that did not fit the hold: the hole before them was given up early.
    hold_overflows,
    /// Packets that are none of the transport, or are framed wrongly.
    bad_framing,
    /// Messages of a type that is not known: skipped.
    unknown_types,
    /// Messages shorter than their type: skipped.
    short_messages,
    /// Messages longer than their type: read by their known part.
    long_messages,
    /// Records of symbols that found no number any more: their instrument is 0.
    instruments_refused,
}

#[derive(Clone, Debug)]
enum Decoder {
    Itch(Itch50),
    Iex(Iex),
}

/// Reads one feed.
#[derive(Clone, Debug)]
pub struct Feed {
    feed: u8,
    transport: Transport,
    decoder: Decoder,
    sequencer: Sequencer,
    held: Held,
    suspects: Suspects,
    counters: FeedCounters,
    after_gap: bool,
    ended: bool,
    ts_event: Nanos,
}

/// What a transport says about a datagram.
struct Framed {
    place: Place,
    end_of_session: bool,
}

impl Feed {
    /// A feed that has seen nothing. All its memory is taken here.
    #[must_use]
    pub fn new(config: &FeedConfig) -> Self {
        let decoder = match config.protocol {
            Protocol::Itch50 => Decoder::Itch(Itch50::new(config.midnight)),
            Protocol::IexDeep10 => Decoder::Iex(Iex::new(false)),
            Protocol::IexTops16 => Decoder::Iex(Iex::new(true)),
        };
        let hold_max = if config.lines > 1 { config.hold_max } else { 0 };
        let is_lossy = matches!(config.transport, Transport::MoldUdp64 | Transport::IexTp);
        let lines = usize::from(config.lines);
        let sequencer = if is_lossy { Sequencer::new(lines) } else { Sequencer::of_stream() };
        Self {
            feed: config.feed,
            transport: config.transport,
            decoder,
            suspects: Suspects::new(sequencer.lines().len()),
            sequencer,
            held: Held::new(hold_max),
            counters: FeedCounters::default(),
            after_gap: false,
            ended: false,
            ts_event: Nanos(0),
        }
    }

    /// Takes a datagram of a line.
    pub fn datagram(
        &mut self,
        line: u8,
        ts_recv: Nanos,
        payload: &[u8],
        sink: &mut impl RecordSink,
    ) {
        self.counters.packets += 1;
        let Some(framed) = self.frame(line, payload) else {
            self.counters.bad_framing += 1;
            return;
        };
        let place = framed.place;
        if place.count() == 0 {
            self.counters.heartbeats += 1;
        }
        self.arrive(&place, ts_recv, sink);
        if !self.suspects.is_empty() {
            self.settle_suspects(sink);
        }
        match self.sequencer.verdict(&place) {
            Verdict::Drop => {}
            Verdict::Deliver { skip } => self.deliver(&place, skip, ts_recv, payload, sink),
            Verdict::Ahead => self.ahead(&place, ts_recv, payload, sink),
            Verdict::Suspect { run } => self.suspects.push(&place, run, ts_recv, payload),
        }
        if !self.held.is_empty() {
            self.drain_held(false, ts_recv, sink);
        }
        let is_present = *place.session() == self.sequencer.session();
        let is_reached = is_present && place.seq() <= self.sequencer.next();
        if framed.end_of_session && !self.ended && is_reached {
            self.ended = true;
            let end = sys::EndOfSession::new(self.stamp(place.seq(), ts_recv), 0);
            self.emit(end.as_record(), sink);
        }
    }

    /// Takes one message of a stream or file, with its sequence number.
    pub fn message(
        &mut self,
        session: &[u8; 10],
        seq: Seq,
        ts_recv: Nanos,
        message: &[u8],
        sink: &mut impl RecordSink,
    ) {
        self.counters.packets += 1;
        let Some(place) = Place::new(0, padded(session), seq.0, 1) else {
            self.counters.bad_framing += 1;
            return;
        };
        if !self.sequencer.follow(&place) {
            self.arrive(&place, ts_recv, sink);
            match self.sequencer.verdict(&place) {
                // A stream has no suspects.
                Verdict::Drop | Verdict::Suspect { .. } => return,
                Verdict::Deliver { .. } => {}
                Verdict::Ahead => self.give_up(seq.0, ts_recv, sink),
            }
            self.sequencer.delivered(&place, place.end());
        }
        self.deliver_each(seq.0, 0, ts_recv, std::iter::once(message), sink);
    }

    /// The transport said that the session is over (SoupBinTCP, end of a file).
    pub fn end_of_session(&mut self, ts_recv: Nanos, sink: &mut impl RecordSink) {
        if !self.ended {
            self.ended = true;
            let end = sys::EndOfSession::new(self.stamp(self.sequencer.next(), ts_recv), 0);
            self.emit(end.as_record(), sink);
        }
    }

    /// Delivers what is still held, its holes given up: at the end of a capture or a run.
    pub fn flush(&mut self, ts_recv: Nanos, sink: &mut impl RecordSink) {
        self.drain_held(true, ts_recv, sink);
        self.sequencer.settle();
        self.suspects.clear();
    }

    /// Time went on for `silent_ns` since the last record: gives shards a `sys.tick` so much later
    /// than that happened. No other clock than the feed's own is asked, so that a feed that is
    /// published again, days later, is not carried to today by a moment's silence.
    pub fn tick(&mut self, now: Nanos, silent_ns: u64, sink: &mut impl RecordSink) {
        if self.ts_event.0 == 0 {
            return;
        }
        let mut stamp = self.stamp(self.sequencer.next(), now);
        stamp.ts_event = Nanos(self.ts_event.0.saturating_add(silent_ns));
        self.emit(sys::Tick::new(stamp, 0).as_record(), sink);
    }

    /// Goes on where an earlier run of this feed broke off: in `session`, of which `next` is the
    /// first message that is wanted; `ended` if it was over. For before the first packet.
    pub fn resume(&mut self, session: &sys::Session, next: Seq, ts_event: Nanos, ended: bool) {
        self.sequencer.resume(session.id.0, session.generation, next.0);
        (self.ts_event, self.ended) = (ts_event, ended);
    }

    /// Whether it numbers instruments by the order in which their symbols come.
    #[must_use]
    pub fn numbers_symbols(&self) -> bool {
        matches!(self.decoder, Decoder::Iex(_))
    }

    /// In an earlier run a symbol had this number, which it keeps.
    pub fn recall(&mut self, symbol: u64, number: u16) {
        if let Decoder::Iex(iex) = &mut self.decoder {
            iex.recall(symbol, number);
        }
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> FeedCounters {
        let SequenceCounters {
            duplicates,
            late,
            gaps,
            messages_missing,
            sessions,
            restarts,
            resumes,
            stale,
        } = *self.sequencer.counters();
        let (messages, instruments_refused) = match &self.decoder {
            Decoder::Itch(itch) => (*itch.counters(), 0),
            Decoder::Iex(iex) => (*iex.counters(), iex.instruments_refused()),
        };
        let MessageCounters { unknown_types, short_messages, long_messages } = messages;
        FeedCounters {
            duplicates,
            late,
            gaps,
            messages_missing,
            sessions,
            restarts,
            resumes,
            stale,
            unknown_types,
            short_messages,
            long_messages,
            instruments_refused,
            ..self.counters
        }
    }

    /// What was counted so far, line by line.
    #[must_use]
    pub fn lines(&self) -> &[LineCounters] {
        self.sequencer.lines()
    }

    /// The sequence number that the present session expects next.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        Seq(self.sequencer.next())
    }

    /// Whether the feed said that its session is over, and no other has begun.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    fn frame(&self, line: u8, payload: &[u8]) -> Option<Framed> {
        match self.transport {
            Transport::IexTp => {
                let segment = iextp::Segment::parse(payload).ok()?;
                let header = &segment.header;
                let session = iex_session(header.channel.get(), header.session.get());
                let count = u64::from(header.count.get());
                let place = Place::new(line, session, segment.seq, count)?;
                Some(Framed { place, end_of_session: false })
            }
            _ => {
                let packet = moldudp64::Packet::parse(payload).ok()?;
                let session = padded(&packet.session);
                let place = Place::new(line, session, packet.seq, u64::from(packet.count))?;
                Some(Framed { place, end_of_session: packet.end_of_session })
            }
        }
    }

    /// Notes the packet; announces the session if it changes with it.
    #[inline]
    fn arrive(&mut self, place: &Place, ts_recv: Nanos, sink: &mut impl RecordSink) {
        if !self.held.is_empty() && self.sequencer.changes(place) {
            self.drain_held(true, ts_recv, sink);
        }
        if self.sequencer.arrive(place) {
            self.announce(place, ts_recv, sink);
        }
    }

    #[cold]
    fn announce(&mut self, place: &Place, ts_recv: Nanos, sink: &mut impl RecordSink) {
        self.after_gap = false;
        self.ended = false;
        // The first message that is wanted, not this packet's: another line may yet bring what lies
        // before it, and who goes on behind this record must not take that for delivered.
        let mut session = sys::Session::new(self.stamp(self.sequencer.next(), ts_recv), 0);
        session.id = Char(*place.session());
        session.key = self.sequencer.session_key();
        session.generation = self.sequencer.generation();
        self.emit(session.as_record(), sink);
    }

    /// Takes a packet that comes behind a hole: holds it while a line may fill the hole, else gives
    /// the hole up, and no more than that hole.
    #[cold]
    fn ahead(&mut self, place: &Place, ts_recv: Nanos, payload: &[u8], sink: &mut impl RecordSink) {
        let mut refused = false;
        while place.seq() > self.sequencer.next() {
            if self.sequencer.may_fill() {
                if self.held.push(place, ts_recv, payload) {
                    self.counters.held += 1;
                    return;
                }
                self.counters.hold_overflows += u64::from(!refused);
                refused = true;
            }
            // What lies before this packet goes before it.
            match self.held.first() {
                Some((index, seq)) if seq < place.seq() => {
                    self.deliver_held(index, ts_recv, sink);
                }
                _ => self.give_up(place.seq(), ts_recv, sink),
            }
        }
        if let Verdict::Deliver { skip } = self.sequencer.verdict(place) {
            self.deliver(place, skip, ts_recv, payload, sink);
        }
    }

    /// Delivers held packets that have become next; if `force`, or once no line can fill the hole
    /// before them, the hole is given up.
    #[cold]
    fn drain_held(&mut self, force: bool, ts_recv: Nanos, sink: &mut impl RecordSink) {
        while let Some((index, seq)) = self.held.first() {
            if seq > self.sequencer.next() && !force && self.sequencer.may_fill() {
                return;
            }
            self.deliver_held(index, ts_recv, sink);
        }
    }

    /// Takes a packet out of the hold and delivers it, a hole before it given up.
    fn deliver_held(&mut self, index: usize, ts_recv: Nanos, sink: &mut impl RecordSink) {
        // The buffer leaves its place while the feed delivers it, and comes back after.
        let (place, bytes, ts_held) = self.held.take(index);
        if place.seq() > self.sequencer.next() {
            self.give_up(place.seq(), ts_recv, sink);
        }
        if let Verdict::Deliver { skip } = self.sequencer.verdict(&place) {
            self.deliver(&place, skip, ts_held, &bytes, sink);
        }
        self.held.give_back(index, bytes);
    }

    /// Delivers suspects that have turned out to be of the present session, and forgets repeats.
    #[cold]
    fn settle_suspects(&mut self, sink: &mut impl RecordSink) {
        for line in 0..self.suspects.lines() {
            let Some(run) = self.suspects.run(line) else { continue };
            match self.sequencer.suspicion(line as u8, run) {
                Suspicion::Open => continue,
                Suspicion::Repeats => {}
                Suspicion::Restart => {
                    while let Some((index, place, bytes, ts)) = self.suspects.take(line) {
                        match self.sequencer.verdict(&place) {
                            Verdict::Drop | Verdict::Suspect { .. } => {}
                            Verdict::Deliver { skip } => {
                                self.deliver(&place, skip, ts, &bytes, sink);
                            }
                            Verdict::Ahead => self.ahead(&place, ts, &bytes, sink),
                        }
                        self.suspects.give_back(line, index, bytes);
                    }
                }
            }
            self.suspects.clear_line(line);
        }
    }

    fn give_up(&mut self, seq: u64, ts_recv: Nanos, sink: &mut impl RecordSink) {
        let Some((first, count)) = self.sequencer.give_up(seq) else { return };
        let mut gap = sys::Gap::new(self.stamp(first, ts_recv), 0);
        gap.first = Seq(first);
        gap.count = count;
        self.emit(gap.as_record(), sink);
        self.after_gap = true;
    }

    /// Decodes the messages of a packet from position `skip` on.
    fn deliver(
        &mut self,
        place: &Place,
        skip: u64,
        ts_recv: Nanos,
        payload: &[u8],
        sink: &mut impl RecordSink,
    ) {
        let next = match self.transport {
            Transport::IexTp => {
                let Ok(segment) = iextp::Segment::parse(payload) else { return };
                let messages = segment.messages().map_while(Result::ok);
                self.deliver_each(place.seq(), skip, ts_recv, messages, sink)
            }
            _ => {
                let Ok(packet) = moldudp64::Packet::parse(payload) else { return };
                let messages = packet.messages().map_while(Result::ok);
                self.deliver_each(place.seq(), skip, ts_recv, messages, sink)
            }
        };
        if next < place.end() {
            // What the packet announced and did not hold shows as a gap at the next packet.
            self.counters.bad_framing += 1;
        }
        self.sequencer.delivered(place, next);
    }

    /// Decodes messages that begin at `first`, the first `skip` left out; the sequence behind them.
    #[inline]
    fn deliver_each<'a>(
        &mut self,
        first: u64,
        skip: u64,
        ts_recv: Nanos,
        messages: impl Iterator<Item = &'a [u8]>,
        sink: &mut impl RecordSink,
    ) -> u64 {
        let mut out = Counted::new(self.feed, ts_recv, self.after_gap, self.ts_event, sink);
        let mut seq = first;
        let known_end = first + skip;
        // One loop for each decoder: which one it is does not change between messages.
        match &mut self.decoder {
            Decoder::Itch(itch) => {
                for message in messages {
                    if seq >= known_end {
                        let stamp = out.message(seq, message);
                        itch.message(message, stamp, &mut out);
                    }
                    seq += 1;
                }
            }
            Decoder::Iex(iex) => {
                for message in messages {
                    if seq >= known_end {
                        let stamp = out.message(seq, message);
                        iex.message(message, stamp, &mut out);
                    }
                    seq += 1;
                }
            }
        }
        let Counted { records, after_gap, ts_event, .. } = out;
        self.counters.records += records;
        self.counters.messages += seq.saturating_sub(known_end);
        (self.after_gap, self.ts_event) = (after_gap, ts_event);
        seq
    }

    /// A stamp for a record of the transport's own: it happens when the last message happened.
    fn stamp(&self, seq: u64, ts_recv: Nanos) -> Stamp {
        let ts_event = self.ts_event;
        Stamp { feed: self.feed, seq: Seq(seq), ts_recv, ts_event, ..Stamp::default() }
    }

    fn emit(&mut self, record: &Record, sink: &mut impl RecordSink) {
        self.counters.records += 1;
        sink.record(record);
    }
}

/// Stamps messages, counts their records and passes them on: what changes with every message lies
/// here, and is added up once per packet.
struct Counted<'a, S> {
    stamp: Stamp,
    records: u64,
    after_gap: bool,
    ts_event: Nanos,
    sink: &'a mut S,
}

impl<'a, S: RecordSink> Counted<'a, S> {
    #[inline]
    fn new(feed: u8, ts_recv: Nanos, after_gap: bool, ts_event: Nanos, sink: &'a mut S) -> Self {
        let stamp = Stamp { feed, ts_recv, ..Stamp::default() };
        Self { stamp, records: 0, after_gap, ts_event, sink }
    }

    /// The stamp of the next message's records.
    #[inline]
    fn message(&mut self, seq: u64, message: &[u8]) -> Stamp {
        let seq = Seq(seq);
        self.sink.message(seq, message);
        let flags = if self.after_gap { FLAG_AFTER_GAP } else { 0 };
        Stamp { seq, flags, ..self.stamp }
    }
}

impl<S: RecordSink> RecordSink for Counted<'_, S> {
    #[inline]
    fn record(&mut self, record: &Record) {
        // Only a record tells of the gap: a message that gives none leaves that to the next.
        self.after_gap = false;
        self.records += 1;
        self.ts_event = record.header.ts_event;
        self.sink.record(record);
    }
}

/// A name padded with blanks.
#[inline]
fn padded(name: &[u8; 10]) -> [u8; SESSION_BYTES] {
    let mut padded = [b' '; SESSION_BYTES];
    padded[..10].copy_from_slice(name);
    padded
}

/// The name of an IEX session: channel and session in hexadecimal.
fn iex_session(channel: u32, session: u32) -> [u8; SESSION_BYTES] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let number = (u64::from(channel) << 32) | u64::from(session);
    std::array::from_fn(|i| DIGITS[(number >> (60 - 4 * i)) as usize & 15])
}

#[cfg(test)]
mod tests;
