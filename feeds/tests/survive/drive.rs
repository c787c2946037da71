//! Hostile bytes into each decoder, and what must hold whatever they are. Shared by the tests and
//! the fuzz targets, so that both ask the same.

use std::cell::RefCell;
use std::fmt::Debug;

use corelane_feeds::capture::{Reader, decode};
use corelane_feeds::declared::{ColumnSpec, Declared, TimeUnit};
use corelane_feeds::detect::{datagram, stream};
use corelane_feeds::feed::{Feed, FeedConfig, Protocol, Transport};
use corelane_feeds::iex::Iex;
use corelane_feeds::itch50::{Itch50, MessageCounters, wire};
use corelane_feeds::record::{Record, Stamp};
use corelane_feeds::schema::SqlType;
use corelane_feeds::soupbintcp::{Client, Credentials, Event, Login};
use corelane_feeds::streams::{by_id, sys};
use corelane_feeds::text::{Format, TextConfig, TextCounters, TextFeed};
use corelane_feeds::units::Nanos;
use corelane_feeds::{iextp, moldudp64};
use zerocopy::IntoBytes;

/// Takes hostile bytes and panics if what must hold does not.
pub(crate) type Driver = fn(&[u8]);

/// Every driver by name.
pub(crate) const ALL: &[(&str, Driver)] = &[
    ("moldudp64", moldudp64),
    ("soupbintcp", soupbintcp),
    ("iextp", iextp),
    ("itch50", itch50),
    ("iextp_deep", iextp_deep),
    ("iextp_tops", iextp_tops),
    ("feed", feed),
    ("capture", capture),
    ("json", json),
    ("csv", csv),
];

/// A record is what its header and schema say.
fn check_record(record: &Record) {
    let bytes = record.as_bytes();
    let schema = by_id(record.header.stream).expect("a built-in stream");
    assert_eq!((record.header.bytes(), schema.bytes), (bytes.len(), bytes.len()));
    assert!(Record::from_bytes(bytes).is_ok());
}

/// Messages lie inside the packet, one behind the other, and an error is the last thing said.
fn check_framing<'a, E: Debug>(
    data: &[u8],
    header: usize,
    count: usize,
    messages: impl Iterator<Item = Result<&'a [u8], E>>,
) {
    let (mut framed, mut given, mut failed) = (header, 0, false);
    for message in messages {
        assert!(!failed, "something follows an error");
        given += 1;
        match message {
            Ok(message) => framed += 2 + message.len(),
            Err(_) => failed = true,
        }
    }
    assert!(framed <= data.len(), "messages beyond the packet");
    assert!(given == count || failed && given < count, "{given} of {count}");
}

/// MoldUDP64 framing.
pub(crate) fn moldudp64(data: &[u8]) {
    let _ = datagram(data);
    if let Ok(packet) = moldudp64::Packet::parse(data) {
        let count = usize::from(packet.count);
        check_framing(data, moldudp64::HEADER_BYTES, count, packet.messages());
    }
}

/// IEX-TP framing.
pub(crate) fn iextp(data: &[u8]) {
    let _ = datagram(data);
    if let Ok(segment) = iextp::Segment::parse(data) {
        let count = usize::from(segment.header.count.get());
        check_framing(data, iextp::HEADER_BYTES, count, segment.messages());
    }
}

/// A message gives one record, or is counted and gives none.
fn check_message(records: u64, known: Option<usize>, data: &[u8], counters: &MessageCounters) {
    let MessageCounters { unknown_types, short_messages, long_messages } = *counters;
    let expected = match known {
        _ if data.is_empty() => (0, 0, 1, 0),
        None => (0, 1, 0, 0),
        Some(length) if data.len() < length => (0, 0, 1, 0),
        Some(length) => (1, 0, 0, u64::from(data.len() > length)),
    };
    assert_eq!((records, unknown_types, short_messages, long_messages), expected);
}

/// One ITCH 5.0 message.
pub(crate) fn itch50(data: &[u8]) {
    let mut itch = Itch50::new(Nanos(u64::MAX));
    let mut records = 0;
    itch.message(data, Stamp::default(), &mut |record: &Record| {
        check_record(record);
        records += 1;
    });
    let known = data.first().and_then(|kind| wire::length_of(*kind));
    check_message(records, known, data, itch.counters());
}

thread_local! {
    /// The table of symbols takes 2 MiB and most of the time: one for many inputs.
    static IEX: RefCell<[Iex; 2]> = RefCell::new([Iex::new(false), Iex::new(true)]);
}

/// One DEEP or TOPS message if the input begins with a type, else packets.
fn iex(protocol: Protocol, data: &[u8]) {
    let tops = protocol == Protocol::IexTops16;
    let known = data.first().and_then(|kind| corelane_feeds::iex::wire::length_of(*kind, tops));
    if known.is_none() {
        datagrams(protocol, Transport::IexTp, data);
    }
    IEX.with_borrow_mut(|decoders| {
        let decoder = &mut decoders[usize::from(tops)];
        let (before, mut records) = (*decoder.counters(), 0);
        decoder.message(data, Stamp::default(), &mut |record: &Record| {
            check_record(record);
            records += 1;
        });
        let after = decoder.counters();
        let counters = MessageCounters {
            unknown_types: after.unknown_types - before.unknown_types,
            short_messages: after.short_messages - before.short_messages,
            long_messages: after.long_messages - before.long_messages,
        };
        check_message(records, known, data, &counters);
    });
}

/// IEX-TP segments, or one DEEP message.
pub(crate) fn iextp_deep(data: &[u8]) {
    iex(Protocol::IexDeep10, data);
}

/// IEX-TP segments, or one TOPS message.
pub(crate) fn iextp_tops(data: &[u8]) {
    iex(Protocol::IexTops16, data);
}

/// A whole feed over MoldUDP64: many packets of two lines.
pub(crate) fn feed(data: &[u8]) {
    datagrams(Protocol::Itch50, Transport::MoldUdp64, data);
}

/// Cuts the input into packets: a byte that says line and way, a byte of length, the bytes. Most
/// ways make the header, so that mutations reach what lies behind a sound one.
fn datagrams(protocol: Protocol, transport: Transport, mut data: &[u8]) {
    let config = FeedConfig::new(1, protocol, transport);
    let mut feed = Feed::new(&FeedConfig { lines: 2, hold_max: 4, ..config });
    let mut check = FeedCheck::default();
    let mut packets = 0;
    if let Some(whole) = (data.len() > iextp::HEADER_BYTES).then_some(data) {
        feed.datagram(0, Nanos(0), whole, &mut |record: &Record| check.record(record));
        packets += 1;
    }
    while let Some((&[way, length], rest)) = data.split_first_chunk::<2>() {
        let (body, rest) = rest.split_at(usize::from(length).min(rest.len()));
        let payload = made_up_packet(transport, way, body);
        let line = way & 1;
        feed.datagram(line, Nanos(packets), &payload, &mut |record: &Record| check.record(record));
        packets += 1;
        data = rest;
    }
    feed.flush(Nanos(packets), &mut |record: &Record| check.record(record));
    let counters = feed.counters();
    assert_eq!((counters.packets, counters.records), (packets, check.records));
    let not_decoded = counters.unknown_types + counters.short_messages;
    assert_eq!(counters.messages, check.messages + not_decoded);
    assert_eq!(counters.gaps, check.gaps);
    assert_eq!(counters.sessions + counters.resumes, check.sessions);
    assert!(feed.lines().iter().map(|line| line.packets).sum::<u64>() <= packets);
}

/// Raw bytes, or a header with a small sequence number and one of two sessions before them.
fn made_up_packet(transport: Transport, way: u8, body: &[u8]) -> Vec<u8> {
    let Some((&seq, messages)) = body.split_first() else { return Vec::new() };
    if way & 6 == 6 {
        return body.to_vec();
    }
    let (session, count) = (way >> 1 & 1, way >> 3 & 7);
    let mut packet = if transport == Transport::IexTp {
        iextp::Header {
            version: 1,
            reserved: 0,
            protocol: iextp::PROTOCOL_DEEP.into(),
            channel: 1.into(),
            session: u32::from(session).into(),
            payload_bytes: u16::MAX.into(),
            count: u16::from(count).into(),
            stream_offset: 0.into(),
            first_seq: i64::from(seq).into(),
            send_time: 0.into(),
        }
        .as_bytes()
        .to_vec()
    } else {
        let name = if session == 0 { *b"SESSION001" } else { *b"SESSION002" };
        moldudp64::Header::new(name, u64::from(seq), u16::from(count)).as_bytes().to_vec()
    };
    packet.extend_from_slice(messages);
    packet
}

/// What must hold of a feed's records, whatever the packets were.
#[derive(Default)]
struct FeedCheck {
    records: u64,
    messages: u64,
    sessions: u64,
    gaps: u64,
    next: Option<u64>,
}

impl FeedCheck {
    fn record(&mut self, record: &Record) {
        check_record(record);
        self.records += 1;
        let seq = record.header.seq.0;
        match record.header.stream {
            sys::Session::STREAM => {
                self.sessions += 1;
                self.next = Some(0);
            }
            sys::Gap::STREAM => {
                self.gaps += 1;
                let gap = record.view::<sys::Gap>().expect("a gap");
                assert!(gap.count > 0, "a gap of nothing");
                self.advance(gap.first.0, gap.count);
            }
            sys::EndOfSession::STREAM => assert!(self.sessions > 0),
            _ => {
                self.messages += 1;
                self.advance(seq, 1);
            }
        }
    }

    /// Nothing comes twice or out of order within a session.
    fn advance(&mut self, seq: u64, count: u64) {
        let next = self.next.expect("a session first");
        assert!(seq >= next, "{seq} after {next}");
        self.next = Some(seq.checked_add(count).expect("sequence numbers fit"));
    }
}

/// A server's stream: however it is cut, the same messages under the same numbers come out.
pub(crate) fn soupbintcp(data: &[u8]) {
    let _ = (stream(data), Login::parse(data));
    let Some((&piece, stream)) = data.split_first() else { return };
    let whole = client_run(stream, stream.len().max(1));
    let cut = client_run(stream, usize::from(piece).max(1));
    assert!(whole == cut, "pieces of {piece} bytes give something else");
    let ordered = whole.1.windows(2).all(|pair| pair[0].0 != pair[1].0 || pair[0].1 < pair[1].1);
    assert!(ordered, "a message came twice or out of order");
}

type Given = Vec<([u8; 10], u64, usize)>;

fn client_run(stream: &[u8], piece: usize) -> (Event, Given) {
    let mut client = Client::new(Credentials::new("user", "pass"), *b"          ", 1);
    client.connected();
    let mut given = Vec::new();
    for (piece, now) in stream.chunks(piece).zip(1..) {
        let event = client.bytes(piece, |session, seq, message| {
            given.push((*session, seq, message.len()));
        });
        if event != Event::Proceed {
            client.connected();
            return (event, given);
        }
        assert_ne!(client.on_time(now), Event::Silent);
        assert!(client.output().len() < 256, "output grows");
    }
    (Event::Proceed, given)
}

/// A capture file: however it is cut, the same frames come out; each is looked at for a packet.
pub(crate) fn capture(data: &[u8]) {
    let Some((&piece, file)) = data.split_first() else { return };
    let whole = capture_run(file, file.len().max(1));
    assert_eq!(whole, capture_run(file, usize::from(piece).max(1)));
}

fn capture_run(file: &[u8], piece: usize) -> (Vec<(Nanos, usize)>, bool) {
    let mut reader = Reader::new();
    let mut frames = Vec::new();
    for piece in file.chunks(piece) {
        reader.give(piece);
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => {
                    frames.push((frame.ts, frame.bytes.len()));
                    let _ = decode(frame.link, frame.bytes);
                }
                Ok(None) => break,
                Err(_) => return (frames, true),
            }
        }
    }
    (frames, false)
}

thread_local! {
    /// Schemas are never given back: one for all inputs.
    static STREAM: Declared = made_up_stream();
}

/// A declared stream with a column of every type.
fn made_up_stream() -> Declared {
    let types = [
        ("id", SqlType::BigInt),
        ("ts", SqlType::Timestamp),
        ("ok", SqlType::Boolean),
        ("small", SqlType::SmallInt),
        ("wide", SqlType::BigIntUnsigned),
        ("ratio", SqlType::Double),
        ("amount", SqlType::Decimal(2)),
        ("price", SqlType::Price),
        ("wait", SqlType::Interval),
        ("name", SqlType::Char(9)),
    ];
    let columns = types.map(|(name, sql)| ColumnSpec::new(name, sql));
    let mut stream = Declared::new(1, "made_up", &columns).expect("it is narrow enough");
    (stream.key, stream.time, stream.unit) = (vec![0, 9], Some(1), TimeUnit::Millis);
    stream
}

/// Lines of JSON.
pub(crate) fn json(data: &[u8]) {
    lines(Format::Json, data);
}

/// Lines of separated values.
pub(crate) fn csv(data: &[u8]) {
    lines(Format::Csv, data);
}

/// Lines, however they are cut, give the same records; every line is one or is counted.
fn lines(format: Format, data: &[u8]) {
    let Some((&piece, text)) = data.split_first() else { return };
    let whole = lines_run(format, text, text.len().max(1));
    let cut = lines_run(format, text, usize::from(piece).max(1));
    assert!(whole == cut, "pieces of {piece} bytes give something else");
    let (records, counters) = whole;
    let of_the_feed = counters.sessions * 2;
    assert_eq!(records.len() as u64, counters.records);
    // A header that is wrong is rejected and no message.
    let decided = counters.records - of_the_feed + counters.rejected;
    assert!(decided - counters.messages <= u64::from(format == Format::Csv));
    let named = counters.iter().filter(|(name, _)| REASONS.contains(name)).map(|(_, n)| n);
    assert_eq!(counters.rejected, named.sum::<u64>());
}

/// What counts a reason.
const REASONS: [&str; 11] = [
    "bad_syntax",
    "too_deep",
    "wrong_type",
    "out_of_range",
    "too_precise",
    "too_long",
    "bad_time",
    "missing",
    "long_lines",
    "bad_header",
    "cut_lines",
];

fn lines_run(format: Format, text: &[u8], piece: usize) -> (Vec<Vec<u8>>, TextCounters) {
    STREAM.with(|stream| {
        let mut feed = TextFeed::new(&TextConfig::new(3, stream, format));
        let mut records = Vec::new();
        let mut seq = 0;
        let mut sink = |record: &Record| {
            let bytes = record.as_bytes();
            assert_eq!(record.header.bytes(), bytes.len());
            if record.header.stream == stream.schema.stream {
                assert_eq!(bytes.len(), stream.schema.bytes);
                assert!(record.header.seq.0 > seq && record.header.instrument > 0);
                seq = record.header.seq.0;
            }
            records.push(bytes.to_vec());
        };
        feed.begin();
        for piece in text.chunks(piece) {
            feed.bytes(Nanos(1), piece, &mut sink);
        }
        feed.end(Nanos(1), &mut sink);
        assert!(feed.rejections().len() as u64 <= feed.counters().rejected);
        let counters = TextCounters { packets: 0, ..feed.counters() };
        (records, counters)
    })
}
