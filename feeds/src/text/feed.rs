//! One feed of lines: sessions, sequence numbers, and the records of its stream.
//!
//! Invariant: the same bytes give the same records, whether they come in pieces, in datagrams of
//! whole lines, or line by line.

use super::csv::Csv;
use super::json::Json;
use super::lines::{Line, Lines};
use super::row::{Fault, Row};
use super::{Format, Reason, Rejection, TextCounters};
use crate::declared::Declared;
use crate::record::{Record, RecordSink, Stamp, View};
use crate::streams::sys;
use crate::units::{Char, Nanos, Seq};

/// Lines that gave no record of which the place is kept.
const REJECTIONS_MAX: usize = 8;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How to read a feed of lines.
#[derive(Clone, Debug)]
pub struct TextConfig<'a> {
    /// The feed's number, in every record's header.
    pub feed: u8,
    /// What its lines are records of.
    pub stream: &'a Declared,
    /// How they are written.
    pub format: Format,
    /// Whether the first line of a CSV names the columns; if not they are those of the stream.
    pub has_header: bool,
    /// What stands between two values of a CSV.
    pub separator: u8,
}

impl<'a> TextConfig<'a> {
    /// With a header and commas.
    #[must_use]
    pub const fn new(feed: u8, stream: &'a Declared, format: Format) -> Self {
        Self { feed, stream, format, has_header: true, separator: b',' }
    }
}

#[derive(Clone, Debug)]
enum Decoder {
    Json(Json),
    Csv(Csv),
}

/// Reads one feed of lines.
#[derive(Clone, Debug)]
pub struct TextFeed {
    feed: u8,
    decoder: Decoder,
    row: Row,
    lines: Lines,
    /// Number of the line before.
    line: u64,
    session: Session,
    counters: TextCounters,
    rejections: Vec<Rejection>,
    ts_event: Nanos,
    /// Event time of the record that the last line gave and that is not delivered yet.
    pending: Option<Nanos>,
}

/// A connection or file.
#[derive(Clone, Debug)]
struct Session {
    id: Char<16>,
    generation: u32,
    /// Whether it brought a line.
    begun: bool,
    ended: bool,
}

impl Session {
    /// Names it in action ids: FNV-1a over the name and how many came before.
    fn key(&self) -> u32 {
        let bytes = self.id.0.into_iter().chain(self.generation.to_le_bytes());
        bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }
}

impl TextFeed {
    /// A feed that has seen nothing. All its memory is taken here.
    #[must_use]
    pub fn new(config: &TextConfig<'_>) -> Self {
        let row = Row::new(config.stream);
        let decoder = match config.format {
            Format::Json => Decoder::Json(Json::default()),
            Format::Csv => Decoder::Csv(Csv::new(config.separator, config.has_header, row.len())),
        };
        let id = Char::new(config.stream.schema.name);
        Self {
            feed: config.feed,
            decoder,
            row,
            lines: Lines::new(),
            line: 0,
            session: Session { id, generation: 0, begun: false, ended: false },
            counters: TextCounters::default(),
            rejections: Vec::with_capacity(REJECTIONS_MAX),
            ts_event: Nanos(0),
            pending: None,
        }
    }

    /// A connection or file begins. What was half read of another is lost, and counted.
    pub fn begin(&mut self) {
        self.cut();
        self.line = 0;
        if let Decoder::Csv(csv) = &mut self.decoder {
            csv.begin();
        }
        if self.session.begun {
            self.session.begun = false;
            self.session.generation = self.session.generation.saturating_add(1);
            self.counters.restarts += 1;
        }
        self.session.ended = false;
    }

    /// Takes the next bytes of the connection or file.
    pub fn bytes(&mut self, ts_recv: Nanos, piece: &[u8], sink: &mut impl RecordSink) {
        self.counters.packets += 1;
        let mut rest = piece;
        while let Some(behind) = self.read(rest) {
            self.deliver(ts_recv, sink);
            rest = behind;
        }
    }

    /// Takes a datagram of one or more lines.
    pub fn datagram(&mut self, ts_recv: Nanos, payload: &[u8], sink: &mut impl RecordSink) {
        self.bytes(ts_recv, payload, sink);
        self.last_line(ts_recv, sink);
    }

    /// The connection or file ended in order, and with it its session. A last line without an end
    /// is one all the same.
    pub fn end(&mut self, ts_recv: Nanos, sink: &mut impl RecordSink) {
        self.last_line(ts_recv, sink);
        if self.session.begun && !self.session.ended {
            self.session.ended = true;
            let end = sys::EndOfSession::new(self.stamp(self.line + 1, ts_recv), 0);
            self.emit(end.as_record(), sink);
        }
    }

    /// The connection broke: what was half read is lost, and counted.
    pub fn cut(&mut self) {
        if self.lines.clear() {
            self.line += 1;
            self.reject(Fault { reason: Reason::CutLine, at: 0, column: None });
        }
    }

    /// Time went on for `silent_ns` since the last record: gives shards a `sys.tick` so much later
    /// than that happened.
    pub fn tick(&mut self, now: Nanos, silent_ns: u64, sink: &mut impl RecordSink) {
        if self.ts_event.0 == 0 {
            return;
        }
        let mut stamp = self.stamp(self.line + 1, now);
        stamp.ts_event = Nanos(self.ts_event.0.saturating_add(silent_ns));
        self.emit(sys::Tick::new(stamp, 0).as_record(), sink);
    }

    /// Reads the next line of a piece, to be delivered by [`TextFeed::deliver`], and returns what
    /// is behind it; `None` once the rest of the piece is held. For who looks at the event time
    /// first.
    #[inline]
    pub fn read<'a>(&mut self, piece: &'a [u8]) -> Option<&'a [u8]> {
        // The lines leave their place while one of them is looked at.
        let mut lines = std::mem::replace(&mut self.lines, Lines::none());
        let behind = lines.next(piece).map(|(line, behind)| {
            self.take(line);
            behind
        });
        self.lines = lines;
        piece.get(behind?..)
    }

    /// The event time of the record that was read; zero if the line gave none.
    #[must_use]
    pub fn pending_time(&self) -> Nanos {
        self.pending.unwrap_or_default()
    }

    /// Delivers what was read: the record, if the line gave one, behind the session if it begins.
    #[inline]
    pub fn deliver(&mut self, ts_recv: Nanos, sink: &mut impl RecordSink) {
        if !self.session.begun && self.line > 0 {
            self.announce(ts_recv, sink);
        }
        let Some(ts_event) = self.pending.take() else { return };
        self.ts_event = ts_event;
        let stamp = self.stamp(self.line, ts_recv);
        if let Some(record) = self.row.record(stamp) {
            self.counters.records += 1;
            sink.record(record);
        }
    }

    /// Goes on where an earlier run of this feed broke off: in `session`, whose line `next` comes
    /// next. A connection that begins is another session. For before the first line.
    pub fn resume(&mut self, session: &sys::Session, next: Seq, ts_event: Nanos, ended: bool) {
        let generation = session.generation;
        self.session = Session { id: session.id, generation, begun: true, ended };
        self.line = next.0.saturating_sub(1);
        self.ts_event = ts_event;
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> TextCounters {
        self.counters
    }

    /// The first lines that gave no record.
    #[must_use]
    pub fn rejections(&self) -> &[Rejection] {
        &self.rejections
    }

    /// Whether the connection or file has ended in order, and no other has begun.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.session.ended
    }

    fn last_line(&mut self, ts_recv: Nanos, sink: &mut impl RecordSink) {
        let mut lines = std::mem::replace(&mut self.lines, Lines::none());
        if let Some(line) = lines.last() {
            self.take(line);
            self.deliver(ts_recv, sink);
        }
        lines.clear();
        self.lines = lines;
    }

    /// Makes a line the pending record, or counts what is wrong with it.
    #[inline]
    fn take(&mut self, line: Line<'_>) {
        self.line += 1;
        self.pending = None;
        let line = match line {
            Line::Whole(line) if self.line == 1 => {
                line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line)
            }
            Line::Whole(line) => line,
            Line::TooLong => {
                self.counters.messages += 1;
                return self.reject(Fault { reason: Reason::LongLine, at: 0, column: None });
            }
        };
        match self.decode(line) {
            Ok(pending) => self.pending = pending,
            Err(fault) => self.reject(fault),
        }
    }

    #[inline]
    fn decode(&mut self, line: &[u8]) -> Result<Option<Nanos>, Fault> {
        if line.trim_ascii_start().is_empty() {
            self.counters.blank_lines += 1;
            return Ok(None);
        }
        self.row.begin();
        let counters = &mut self.counters;
        match &mut self.decoder {
            Decoder::Json(json) => {
                counters.messages += 1;
                json.line(line, &mut self.row, counters)?;
            }
            Decoder::Csv(csv) => {
                counters.messages += u64::from(!csv.is_header_due());
                if !csv.line(line, &mut self.row, counters)? {
                    return Ok(None);
                }
            }
        }
        self.row.end().map(Some)
    }

    #[cold]
    fn announce(&mut self, ts_recv: Nanos, sink: &mut impl RecordSink) {
        self.session.begun = true;
        self.counters.sessions += 1;
        let mut session = sys::Session::new(self.stamp(self.line, ts_recv), 0);
        session.id = self.session.id;
        session.key = self.session.key();
        session.generation = self.session.generation;
        self.emit(session.as_record(), sink);
    }

    #[cold]
    fn reject(&mut self, fault: Fault) {
        self.counters.reject(fault.reason);
        if self.rejections.len() < REJECTIONS_MAX {
            let column = fault.column.and_then(|column| self.row.name(column));
            let (line, byte, reason) = (self.line, fault.at + 1, fault.reason);
            self.rejections.push(Rejection { line, byte, column, reason });
        }
    }

    #[inline]
    fn stamp(&self, seq: u64, ts_recv: Nanos) -> Stamp {
        let ts_event = self.ts_event;
        Stamp { feed: self.feed, seq: Seq(seq), ts_recv, ts_event, ..Stamp::default() }
    }

    fn emit(&mut self, record: &Record, sink: &mut impl RecordSink) {
        self.counters.records += 1;
        sink.record(record);
    }
}
