//! `corelane inspect` on captures that are not as they should be: cut, damaged, mixed, lossy,
//! restarted, of several lines, hostile.

use std::io::Cursor;

use corelane::capture_file::Capture;
use corelane::inspect::{Ending, InspectArgs, Inspection, Options, Shown, inspect};
use proptest::prelude::*;
use serde_json::{Value, json};

const A: u16 = 26_477;
const B: u16 = 26_478;

/// A classic pcap of Ethernet frames, one a millisecond.
fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend([0xff, 0xff, 0, 0, 1, 0, 0, 0]);
    for (i, frame) in (1u32..).zip(frames) {
        let length = frame.len() as u32;
        for word in [0, i * 1_000_000, length, length] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(frame);
    }
    bytes
}

fn ip(protocol: u8, fragment: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00, 0x45, 0]);
    frame.extend((20 + body.len() as u16).to_be_bytes());
    frame.extend([0, 1]);
    frame.extend(fragment.to_be_bytes());
    frame.extend([16, protocol, 0, 0, 192, 0, 2, 1, 233, 54, 12, 111]);
    frame.extend(body);
    frame
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = 9_000u16.to_be_bytes().to_vec();
    body.extend(port.to_be_bytes());
    body.extend((8 + payload.len() as u16).to_be_bytes());
    body.extend([0, 0]);
    body.extend(payload);
    ip(17, 0, &body)
}

fn tcp(port: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = 9_000u16.to_be_bytes().to_vec();
    body.extend(port.to_be_bytes());
    body.extend([0; 8]);
    body.extend([0x50, 0x18, 0, 0, 0, 0, 0, 0]);
    body.extend(payload);
    ip(6, 0, &body)
}

/// A MoldUDP64 packet.
fn mold(session: &[u8; 10], seq: u64, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = session.to_vec();
    bytes.extend(seq.to_be_bytes());
    bytes.extend((messages.len() as u16).to_be_bytes());
    bytes.extend(framed(messages));
    bytes
}

fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
    let framed = messages.iter().map(|m| [&(m.len() as u16).to_be_bytes()[..], m].concat());
    framed.collect::<Vec<_>>().concat()
}

/// An ITCH head at `ns`.
fn message(kind: u8, locate: u16, ns: u8) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(locate.to_be_bytes());
    bytes.extend([0; 7]);
    bytes.push(ns);
    bytes
}

/// Adds 100 shares to the bid of `symbol`.
fn add(order_ref: u64, locate: u16, symbol: &[u8; 8], price: u32) -> Vec<u8> {
    let mut bytes = message(b'A', locate, 1);
    bytes.extend(order_ref.to_be_bytes());
    bytes.push(b'B');
    bytes.extend(100u32.to_be_bytes());
    bytes.extend(symbol);
    bytes.extend(price.to_be_bytes());
    bytes
}

fn event() -> Vec<u8> {
    [message(b'S', 0, 7), vec![b'O']].concat()
}

fn try_read(bytes: Vec<u8>, options: Options) -> anyhow::Result<Inspection> {
    inspect(Capture::from_reader(Box::new(Cursor::new(bytes)))?, &options)
}

fn read(bytes: Vec<u8>) -> Inspection {
    try_read(bytes, Options::default()).unwrap()
}

fn text(found: &Inspection) -> String {
    let mut out = Vec::new();
    found.write_text("x", Shown::Most(20), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_capture_cut_anywhere_is_reported_as_far_as_it_goes() {
    let one = udp(A, &mold(b"SESSION001", 1, &[event()]));
    let two = udp(A, &mold(b"SESSION001", 2, &[event()]));
    let (first, whole) = (24 + 16 + one.len(), pcap(&[one, two]));
    for length in 4..=whole.len() {
        let found = read(whole[..length].to_vec());
        let (messages, begins) = match length {
            _ if length == whole.len() => (2, length),
            _ if length >= first => (1, first),
            24.. => (0, 24),
            _ => (0, 0),
        };
        let expected = match length - begins {
            0 => Ending::Complete,
            bytes => Ending::Cut { offset: begins as u64, bytes: bytes as u64 },
        };
        assert_eq!(*found.ending(), expected, "cut at {length}");
        let json = found.to_json();
        assert_eq!(json["packets"], messages);
        assert_eq!(json["truncated_tail"], expected != Ending::Complete);
        assert_eq!(
            text(&found).contains("NOTE: the capture is cut"),
            json["truncated_tail"] == true
        );
    }
    let file = framed(&[event(), event()]);
    for length in 14..=file.len() {
        let found = read(file[..length].to_vec());
        assert_eq!(found.to_json()["messages"], length / 14);
        assert_eq!(found.to_json()["truncated_tail"], length % 14 > 0);
        assert_eq!(found.to_json()["bytes"], length);
    }
}

#[test]
fn a_damaged_capture_says_where_and_what_came_before() {
    let mut bytes = pcap(&[udp(A, &mold(b"SESSION001", 1, &[event()]))]);
    let end = bytes.len();
    bytes.extend([0xff; 16]);
    let found = read(bytes);
    let Ending::Broken { offset, why } = found.ending() else { panic!("{:?}", found.ending()) };
    assert_eq!(*offset, end as u64);
    assert!(why.contains("impossible length"), "{why}");
    assert_eq!(found.to_json()["messages"], 1);
    assert!(text(&found).contains("NOTE: the capture cannot be read on from byte"));
}

#[test]
fn what_is_no_feed_is_counted_by_what_it_is() {
    let good = mold(b"SESSION001", 1, &[event()]);
    let mut cut = udp(A, &good);
    cut.truncate(30);
    let found = read(pcap(&[
        udp(A, &good),
        cut,
        ip(17, 0x2000, &[0; 20]),
        ip(47, 0, &[0; 20]),
        vec![0; 40],
        tcp(80, b"GET /"),
        tcp(4_000, b"8=FIX.4.4\x019=5\x01"),
        tcp(4_000, b"more of it"),
        udp(53, b"something else"),
        // Damaged, and of a destination whose feed is known.
        udp(A, &good[..21]),
        udp(A, &good[..10]),
    ]));
    let json = found.to_json();
    let counts = ["packets", "truncated_or_short_packets", "fragments", "not_ip_packets"];
    assert_eq!(counts.map(|key| json[key].as_u64().unwrap()), [11, 1, 1, 1]);
    assert_eq!((&json["datagrams"], &json["unknown_datagrams"]), (&4.into(), &1.into()));
    let protocol = json!({ "ip/47": 1, "moldudp64/itch50": 2, "tcp": 1, "tcp/fix": 2, "udp": 1 });
    assert_eq!(json["protocol"], protocol);
    assert_eq!((&json["messages"], &json["packets_with_bad_framing"]), (&1.into(), &1.into()));
    let text = text(&found);
    for line in ["fragments 1", "truncated 1", "not_ip 1", "unknown_datagrams 1", "tcp/fix"] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}

#[test]
fn gaps_restarts_and_what_goes_back() {
    let packet = |seq, price| udp(A, &mold(b"SESSION001", seq, &[add(seq, 1, b"ABC     ", price)]));
    let json = read(pcap(&[
        packet(1, 100),
        packet(5, 200),
        packet(5, 200),
        packet(6, 300),
        packet(1, 50),
        packet(2, 40),
    ]))
    .to_json();
    assert_eq!(json["sessions"], json!([{ "session": "SESSION001", "next_expected_seq": 3 }]));
    let gap = json!({
        "session": "SESSION001", "first_missing_seq": 2, "messages": 3, "capture_ns": 2_000_000,
    });
    assert_eq!(json["sequence_gaps"], json!([gap]));
    assert_eq!((&json["n_sequence_gaps"], &json["messages_missing"]), (&1.into(), &3.into()));
    let restart = json!({ "session": "SESSION001", "expected_seq": 7, "capture_ns": 5_000_000 });
    assert_eq!(json["session_restarts"], json!([restart]));
    assert_eq!(json["packets_seq_below_expected"], 1);
    assert_eq!((&json["duplicate_messages"], &json["messages"]), (&1.into(), &5.into()));
    let book = json!({ "bid": [50, 100], "ask": null, "bid_levels": 2, "ask_levels": 0 });
    assert_eq!(json["final_bbo"], json!({ "ABC": book }), "the last session's");
}

/// Instrument numbers hold for a session: figures by symbol must not mix what two sessions gave
/// the same number.
#[test]
fn symbols_are_kept_apart_when_a_session_numbers_them_anew() {
    let session = |name: &[u8; 10], symbol| {
        let executed =
            [message(b'E', 1, 2), vec![0, 0, 0, 0, 0, 0, 0, 9], vec![0, 0, 0, 5]].concat();
        let executed = [executed, vec![0; 8]].concat();
        udp(A, &mold(name, 1, &[add(9, 1, symbol, 70), executed]))
    };
    let frames = [session(b"MONDAY    ", b"ABC     "), session(b"TUESDAY   ", b"XYZ     ")];
    let json = read(pcap(&frames)).to_json();
    assert_eq!(json["executed_by_symbol"], json!({ "ABC": 5, "XYZ": 5 }));
    assert_eq!((&json["symbols_added"], &json["executed_shares_known"]), (&2.into(), &10.into()));
    assert_eq!(json["final_bbo"].as_object().unwrap().keys().collect::<Vec<_>>(), ["XYZ"]);
    assert_eq!(json["sessions"].as_array().unwrap().len(), 2);
}

#[test]
fn lines_are_feeds_of_their_own_unless_arbitrated() {
    let packet = |port, seq| udp(port, &mold(b"SESSION001", seq, &[event()]));
    let frames =
        [packet(A, 1), packet(B, 1), packet(A, 3), packet(B, 2), packet(B, 3), packet(A, 4)];
    let json = read(pcap(&frames)).to_json();
    let feeds = json["feeds"].as_array().unwrap();
    let of = |key: &str| feeds.iter().map(|feed| feed[key].clone()).collect::<Value>();
    assert_eq!(of("messages"), json!([3, 3]));
    assert_eq!(of("n_sequence_gaps"), json!([1, 0]));
    assert_eq!(of("destinations"), json!([["233.54.12.111:26477"], ["233.54.12.111:26478"]]));
    let options = Options { arbitrate: true, ..Options::default() };
    let json = try_read(pcap(&frames), options).unwrap().to_json();
    assert_eq!((&json["messages"], &json["n_sequence_gaps"]), (&4.into(), &0.into()));
    assert_eq!(json["destinations"].as_array().unwrap().len(), 2);
    assert_eq!(json["sessions"][0]["next_expected_seq"], 5);
}

/// An IEX-TP segment of TOPS.
fn tops(channel: u32, seq: u64, message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, 0, 3, 0x80];
    bytes.extend(channel.to_le_bytes());
    bytes.extend(77u32.to_le_bytes());
    bytes.extend((2 + message.len() as u16).to_le_bytes());
    bytes.extend([1, 0]);
    bytes.extend([0; 8]);
    bytes.extend(seq.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend((message.len() as u16).to_le_bytes());
    bytes.extend(message);
    bytes
}

#[test]
fn tops_gives_quotes_and_channels_are_feeds() {
    let mut quote = vec![b'Q', 0];
    quote.extend([0; 8]);
    quote.extend(b"ABC     ");
    quote.extend(200u32.to_le_bytes());
    quote.extend(15_000u64.to_le_bytes());
    quote.extend([0; 12]);
    let json = read(pcap(&[udp(A, &tops(1, 1, &quote))])).to_json();
    let sides = json!({ "bid_px": 15_000, "bid_sz": 200, "ask_px": null, "ask_sz": null });
    assert_eq!(json["final_quotes"], json!({ "ABC": sides }));
    assert_eq!(json["protocol"], json!({ "v1/0x8003/ch1": 1 }));
    assert_eq!(json["message_protocol"], "iex-tops16");
    let channels = [1, 2, 1, 2].map(|channel| udp(A, &tops(channel, 5, &quote)));
    let json = read(pcap(&channels)).to_json();
    assert_eq!(json["feeds"].as_array().unwrap().len(), 2, "they share a destination");
    assert_eq!(json["feeds"][0]["n_session_restarts"], 0);
}

#[test]
fn a_soup_stream_as_a_file() {
    let mut packets = vec![[&b"ASESSION001"[..], b"                   3"].concat()];
    packets.extend([[&b"S"[..], &event()].concat(), b"H".to_vec(), [&b"S"[..], &event()].concat()]);
    packets.push(b"Z".to_vec());
    let json = read(framed(&packets)).to_json();
    assert_eq!((&json["messages"], &json["transport"]), (&2.into(), &"soupbintcp".into()));
    assert_eq!(json["sessions"], json!([{ "session": "SESSION001", "next_expected_seq": 5 }]));
    assert_eq!(json["sessions_ended"], 1);
}

#[test]
fn lists_are_bounded_and_counts_are_not() {
    let packet = |i: u64| udp(A, &mold(b"SESSION001", 2 * i + 1, &[event()]));
    let found = read(pcap(&(0..2_001).map(packet).collect::<Vec<_>>()));
    let json = found.to_json();
    assert_eq!(json["n_sequence_gaps"], 2_000);
    assert_eq!(json["sequence_gaps"].as_array().unwrap().len(), 1_000);
    assert!(text(&found).lines().count() < 40);
}

#[test]
fn options_override_what_the_content_says() {
    // Types that are not known: no guess is made, and none is needed.
    let file = framed(&[b"?1234567890".to_vec()]);
    let refused = try_read(file.clone(), Options::default()).err().unwrap().to_string();
    assert!(refused.contains("--protocol"), "{refused}");
    let options = Options { protocol: Some("itch50".parse().unwrap()), ..Options::default() };
    let json = try_read(file, options).unwrap().to_json();
    assert_eq!((&json["messages"], &json["unknown_types"]), (&1.into(), &1.into()));
    let packets = pcap(&[udp(A, &mold(b"SESSION001", 1, &[b"?".to_vec()]))]);
    assert_eq!(read(packets.clone()).to_json()["unknown_datagrams"], 1);
    let options = Options { transport: Some("moldudp64".parse().unwrap()), ..Options::default() };
    assert_eq!(try_read(packets.clone(), options).unwrap().to_json()["unknown_types"], 1);
    let options = Options { transport: Some("binaryfile".parse().unwrap()), ..Options::default() };
    let refused = try_read(packets, options).err().unwrap().to_string();
    assert!(refused.contains("not read from packets"), "{refused}");
}

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    inspect: InspectArgs,
}

#[test]
fn the_command_prints_what_there_is_before_it_fails() {
    let dir = tempfile::tempdir().unwrap();
    let run = |bytes: &[u8]| {
        let path = dir.path().join("capture");
        std::fs::write(&path, bytes).unwrap();
        let args = ["inspect", path.to_str().unwrap(), "--json"];
        let cli = <Cli as clap::Parser>::try_parse_from(args).unwrap();
        let mut out = Vec::new();
        let code = match corelane::inspect::run(&cli.inspect, &mut out) {
            Ok(()) => 0,
            Err(error) => corelane::cli::exit::code(&error),
        };
        (code, String::from_utf8(out).unwrap())
    };
    let whole = framed(&[event()]);
    assert_eq!(run(&whole).0, 0);
    let (code, out) = run(&[&whole[..], b"\0\x0cS"].concat());
    assert_eq!(code, 65);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&json["messages"], &json["truncated_tail"]), (&1.into(), &true.into()));
    for no_capture in [&b""[..], b"\0", b"\0\0\0\0\0\0", b"#!/bin/sh", &[0x1f, 0x8b, 8, 0, 1]] {
        assert_eq!(run(no_capture), (65, String::new()), "{no_capture:?}");
    }
}

proptest! {
    /// Whatever the bytes are, there is a report or an error.
    #[test]
    fn no_bytes_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        tail in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let messages = [add(1, 1, b"ABC     ", 100), event(), add(2, 1, b"ABC     ", u32::MAX)];
        let packets = [1, 4, 1, 9].map(|seq| udp(A, &mold(b"SESSION001", seq, &messages)));
        let iex = udp(B, &tops(1, 1, &[b'T'; 38]));
        for mut bytes in [pcap(&[&packets[..], &[iex]].concat()), framed(&messages)] {
            for (index, byte) in &flips {
                let at = index.index(bytes.len());
                bytes[at] = *byte;
            }
            bytes.extend(&tail);
            if let Ok(found) = try_read(bytes, Options::default()) {
                let _ = (found.to_json(), text(&found));
            }
        }
    }
}
