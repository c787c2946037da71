//! Feeds over made-up packets: the same records by every transport, arbitration, gaps, restarts.

use zerocopy::IntoBytes;

use super::*;
use crate::itch50::wire;
use crate::record::StreamId;
use crate::streams::itch;

fn system_event(n: u64) -> Vec<u8> {
    wire::SystemEvent { head: wire::Head::new(b'S', 0, n), event: b'O' }.as_bytes().to_vec()
}

/// A MoldUDP64 packet of `count` system events from `seq` on, each stamped with its sequence.
fn packet(session: &[u8; 10], seq: u64, count: u16) -> Vec<u8> {
    let mut bytes = moldudp64::Header::new(*session, seq, count).as_bytes().to_vec();
    if count != moldudp64::END_OF_SESSION {
        for n in 0..u64::from(count) {
            let message = system_event(seq + n);
            bytes.extend_from_slice(&(message.len() as u16).to_be_bytes());
            bytes.extend_from_slice(&message);
        }
    }
    bytes
}

#[derive(Default)]
struct Seen(Vec<(StreamId, u64, u8)>);

impl RecordSink for Seen {
    fn record(&mut self, record: &Record) {
        let header = &record.header;
        self.0.push((header.stream, header.seq.0, header.flags));
    }
}

const S: &[u8; 10] = b"SESSION001";
const SESSION: StreamId = sys::Session::STREAM;
const GAP: StreamId = sys::Gap::STREAM;
const END: StreamId = sys::EndOfSession::STREAM;
const EVENT: StreamId = itch::SystemEvent::STREAM;

fn feed(lines: u8, hold_max: usize) -> Feed {
    let config = FeedConfig::new(0, Protocol::Itch50, Transport::MoldUdp64);
    Feed::new(&FeedConfig { lines, hold_max, ..config })
}

/// Runs (line, packet) pairs through a feed.
fn run(feed: &mut Feed, packets: &[(u8, Vec<u8>)]) -> Vec<(StreamId, u64, u8)> {
    let mut seen = Seen::default();
    for (line, payload) in packets {
        feed.datagram(*line, Nanos(1), payload, &mut seen);
    }
    seen.0
}

#[test]
fn every_transport_gives_the_same_records() {
    let by_packet = {
        let mut bytes = Vec::new();
        let mut feed = feed(1, 0);
        let mut sink = |record: &Record| bytes.extend_from_slice(record.as_bytes());
        feed.datagram(0, Nanos(1), &packet(BINARY_FILE_SESSION, 1, 5), &mut sink);
        bytes
    };
    for transport in [Transport::BinaryFile, Transport::SoupBinTcp] {
        let mut bytes = Vec::new();
        let mut feed = Feed::new(&FeedConfig::new(0, Protocol::Itch50, transport));
        let mut sink = |record: &Record| bytes.extend_from_slice(record.as_bytes());
        for seq in 1..=5 {
            let message = system_event(seq);
            feed.message(BINARY_FILE_SESSION, Seq(seq), Nanos(1), &message, &mut sink);
        }
        assert_eq!(bytes, by_packet, "{transport}");
    }
}

#[test]
fn one_line_declares_a_gap_at_once() {
    let mut feed = feed(1, 8);
    let seen = run(&mut feed, &[(0, packet(S, 1, 1)), (0, packet(S, 4, 1))]);
    let expected = [(SESSION, 1, 0), (EVENT, 1, 0), (GAP, 2, 0), (EVENT, 4, FLAG_AFTER_GAP)];
    assert_eq!(seen, expected);
    assert_eq!((feed.counters().gaps, feed.counters().messages_missing), (1, 2));
}

#[test]
fn a_heartbeat_beyond_the_next_message_shows_a_gap() {
    let mut feed = feed(1, 0);
    let seen = run(&mut feed, &[(0, packet(S, 1, 1)), (0, packet(S, 3, 0))]);
    assert_eq!(seen.last(), Some(&(GAP, 2, 0)));
    assert_eq!(feed.counters().heartbeats, 1);
}

#[test]
fn another_line_fills_the_hole() {
    let mut feed = feed(2, 8);
    let packets = [
        (0, packet(S, 1, 1)),
        (1, packet(S, 1, 1)),
        (0, packet(S, 4, 1)),
        (0, packet(S, 5, 2)),
        (1, packet(S, 2, 4)),
    ];
    let seen = run(&mut feed, &packets);
    let events: Vec<u64> = seen.iter().filter(|r| r.0 == EVENT).map(|r| r.1).collect();
    assert_eq!(events, [1, 2, 3, 4, 5, 6]);
    let counters = feed.counters();
    assert_eq!((counters.gaps, counters.held, counters.messages), (0, 2, 6));
}

#[test]
fn a_hole_on_every_line_is_given_up_when_the_last_line_passed_it() {
    let mut feed = feed(2, 8);
    let start = [(0, packet(S, 1, 1)), (1, packet(S, 1, 1)), (0, packet(S, 3, 1))];
    assert_eq!(run(&mut feed, &start).len(), 2);
    let seen = run(&mut feed, &[(1, packet(S, 3, 1))]);
    assert_eq!(seen, [(GAP, 2, 0), (EVENT, 3, FLAG_AFTER_GAP)]);
}

#[test]
fn a_dead_line_holds_nothing_up_beyond_the_bound() {
    let mut feed = feed(2, 2);
    let packets: Vec<_> = [1, 3, 4, 5].map(|seq| (0, packet(S, seq, 1))).into();
    let seen = run(&mut feed, &packets);
    let events: Vec<u64> = seen.iter().filter(|r| r.0 == EVENT).map(|r| r.1).collect();
    assert_eq!(events, [1, 3, 4, 5]);
    assert_eq!(feed.counters().hold_overflows, 1);
}

#[test]
fn flush_delivers_what_is_held() {
    let mut feed = feed(2, 8);
    run(&mut feed, &[(0, packet(S, 1, 1)), (0, packet(S, 3, 1))]);
    let mut seen = Seen::default();
    feed.flush(Nanos(9), &mut seen);
    assert_eq!(seen.0, [(GAP, 2, 0), (EVENT, 3, FLAG_AFTER_GAP)]);
}

#[test]
fn a_restart_begins_a_session_with_another_key() {
    let mut keys = Vec::new();
    let mut feed = feed(1, 0);
    let mut sink = |record: &Record| {
        if let Some(session) = record.view::<sys::Session>() {
            keys.push((session.key, session.generation));
        }
    };
    for seq in [1, 2, 3, 1, 2] {
        feed.datagram(0, Nanos(1), &packet(S, seq, 1), &mut sink);
    }
    assert_eq!(keys.len(), 2);
    assert_eq!((keys[0].1, keys[1].1), (0, 1));
    assert_ne!(keys[0].0, keys[1].0);
    let counters = feed.counters();
    assert_eq!((counters.restarts, counters.duplicates, counters.messages), (1, 0, 5));
}

#[test]
fn the_end_of_a_session_is_told_once() {
    let mut feed = feed(1, 0);
    let end = packet(S, 2, moldudp64::END_OF_SESSION);
    let seen = run(&mut feed, &[(0, packet(S, 1, 1)), (0, end.clone()), (0, end)]);
    assert_eq!(seen.iter().filter(|r| r.0 == END).count(), 1);
    assert!(feed.has_ended());
}

#[test]
fn a_packet_cut_short_gives_its_whole_messages_and_then_a_gap() {
    let mut feed = feed(1, 0);
    let mut cut = packet(S, 1, 3);
    cut.truncate(cut.len() - 1);
    let seen = run(&mut feed, &[(0, cut), (0, packet(S, 4, 1))]);
    let expected =
        [(SESSION, 1, 0), (EVENT, 1, 0), (EVENT, 2, 0), (GAP, 3, 0), (EVENT, 4, FLAG_AFTER_GAP)];
    assert_eq!(seen, expected);
    assert_eq!(feed.counters().bad_framing, 1);
}

/// Whoever goes on behind the session's record wants all that another line may yet bring.
#[test]
fn a_session_begins_with_the_first_message_that_is_wanted() {
    let (early, late) = ((0, packet(S, 1, 2)), (1, packet(S, 3, 2)));
    let in_order = [(SESSION, 1, 0), (EVENT, 1, 0), (EVENT, 2, 0), (EVENT, 3, 0), (EVENT, 4, 0)];
    assert_eq!(run(&mut feed(2, 8), &[early.clone(), late.clone()]), in_order);
    assert_eq!(run(&mut feed(2, 8), &[late.clone(), early]), in_order, "line 1 comes first");
    let alone = [(SESSION, 3, 0), (EVENT, 3, 0), (EVENT, 4, 0)];
    assert_eq!(run(&mut feed(1, 0), &[(0, late.1)]), alone, "no other line brings more");
}

#[test]
fn a_feed_goes_on_where_another_broke_off() {
    let mut first = Vec::new();
    let mut sink = |record: &Record| first.push(record.to_buf());
    feed(2, 8).datagram(0, Nanos(1), &packet(S, 1, 5), &mut sink);
    let begun = first[0].record().unwrap();
    let session = begun.view::<sys::Session>().unwrap();

    let resumed = |packets: &[(u8, Vec<u8>)]| {
        let mut feed = feed(2, 8);
        feed.resume(session, Seq(6), Nanos(5), false);
        let seen = run(&mut feed, packets);
        (seen, feed.counters())
    };
    let (seen, counters) = resumed(&[(0, packet(S, 4, 4))]);
    assert_eq!(seen, [(EVENT, 6, 0), (EVENT, 7, 0)], "no session, nothing twice");
    assert_eq!((counters.duplicates, counters.sessions), (2, 0));
    let (seen, counters) = resumed(&[(0, packet(S, 8, 1)), (1, packet(S, 8, 1))]);
    assert_eq!(seen, [(GAP, 6, 0), (EVENT, 8, FLAG_AFTER_GAP)], "what was sent meanwhile is lost");
    assert_eq!(counters.messages_missing, 2);
    let (seen, counters) = resumed(&[(0, packet(S, 1, 2))]);
    assert_eq!(seen[0].0, SESSION, "{seen:?}");
    assert_eq!(counters.restarts, 1, "the venue restarted meanwhile");
}
