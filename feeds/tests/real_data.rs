//! Real captures through the decoders, against the truth beside them, which shares no code with us.

mod support;

use std::collections::BTreeMap;

use corelane_feeds::detect::{Guess, datagram, stream};
use corelane_feeds::feed::{
    BINARY_FILE_SESSION, Feed, FeedConfig, FeedCounters, Protocol, Transport,
};
use corelane_feeds::itch50::wire;
use corelane_feeds::record::Record;
use corelane_feeds::soupbintcp::{Client, Credentials, Event, write_accepted, write_packet};
use corelane_feeds::streams::{iex, itch};
use corelane_feeds::units::{Nanos, Price, Seq, Side, Symbol};
use serde_json::{Value, json};
use support::{SESSION, binary_file, mold, real, truth, udp_payloads};
use zerocopy::{FromBytes, IntoBytes};

const ITCH_CAPTURES: &[(&str, &str)] = &[
    ("nasdaq-itch50-snippet", "12302019_SNIPPET.NASDAQ_ITCH50"),
    ("derived-itch-from-es-mbo", "es_mbo_as_itch50.itch.gz"),
    ("itch50-ritch-synthetic", "ex20101224.TEST_ITCH_50.be16.gz"),
];
const IEX: &str = "iex-deep-20231002/iex_deep_20231002_5000pkts.pcap.gz";

fn itch_feed(transport: Transport) -> Feed {
    Feed::new(&FeedConfig::new(3, Protocol::Itch50, transport))
}

/// Counts by name, as the truth has them.
fn counts<K: ToString>(items: impl Iterator<Item = K>) -> Value {
    let mut counts = BTreeMap::<String, u64>::new();
    for item in items {
        *counts.entry(item.to_string()).or_default() += 1;
    }
    json!(counts)
}

/// Runs a capture's messages through a feed, by file.
fn run_file(messages: &[&[u8]], mut each: impl FnMut(&Record)) -> FeedCounters {
    let mut feed = itch_feed(Transport::BinaryFile);
    for (message, seq) in messages.iter().zip(1..) {
        feed.message(BINARY_FILE_SESSION, Seq(seq), Nanos(9), message, &mut each);
    }
    feed.counters()
}

/// What was lost of a feed, and what of it was not understood.
fn is_clean(counters: &FeedCounters) -> bool {
    let harmless = ["packets", "heartbeats", "messages", "records", "sessions"];
    counters.iter().all(|(name, value)| value == 0 || harmless.contains(&name))
}

/// The type character of the message that a record was made from.
fn itch_type(record: &Record) -> Option<char> {
    let by_stream = [
        (itch::SystemEvent::STREAM, 'S'),
        (itch::StockDirectory::STREAM, 'R'),
        (itch::TradingAction::STREAM, 'H'),
        (itch::OrderExecuted::STREAM, 'E'),
        (itch::OrderExecutedPrice::STREAM, 'C'),
        (itch::OrderCancel::STREAM, 'X'),
        (itch::OrderDelete::STREAM, 'D'),
        (itch::OrderReplace::STREAM, 'U'),
        (itch::Trade::STREAM, 'P'),
        (itch::CrossTrade::STREAM, 'Q'),
        (itch::Noii::STREAM, 'I'),
    ];
    if let Some(add) = record.view::<itch::AddOrder>() {
        return Some(if add.mpid.as_str().is_empty() { 'A' } else { 'F' });
    }
    by_stream.iter().find(|(stream, _)| *stream == record.header.stream).map(|(_, kind)| *kind)
}

#[test]
fn itch_captures_give_the_records_that_their_truth_names() {
    for (folder, file) in ITCH_CAPTURES {
        let (Some(bytes), Some(truth)) = (real(&format!("{folder}/{file}")), truth(folder)) else {
            continue;
        };
        let messages = binary_file(&bytes);
        let mut types = Vec::new();
        let (mut first, mut last) = (u64::MAX, 0);
        let (mut trade_shares, mut cross_shares) = (0, 0);
        let counters = run_file(&messages, |record| {
            let Some(kind) = itch_type(record) else { return };
            types.push(kind);
            first = first.min(record.header.ts_event.0);
            last = last.max(record.header.ts_event.0);
            trade_shares += record.view::<itch::Trade>().map_or(0, |trade| trade.qty.0);
            cross_shares += record.view::<itch::CrossTrade>().map_or(0, |cross| cross.qty.0);
        });
        assert_eq!(json!(types.len()), truth["messages"], "{folder}");
        assert_eq!(counts(types.into_iter()), truth["message_counts"], "{folder}");
        assert_eq!(json!(first), truth["ts_first_ns"], "{folder}");
        assert_eq!(json!(last), truth["ts_last_ns"], "{folder}");
        assert_eq!(json!(trade_shares), truth["noncross_trade_shares"], "{folder}");
        assert_eq!(json!(cross_shares), truth["cross_shares"], "{folder}");
        assert!(is_clean(&counters), "{folder}: {counters:?}");
        let (transport, protocol) = (Transport::BinaryFile, Protocol::Itch50);
        assert_eq!(stream(&bytes[..512]), Some(Guess { transport, protocol }), "{folder}");
    }
}

/// A second reading of the messages, by offsets written out: slow, obvious, nothing shared.
#[test]
fn adds_equal_a_reading_by_hand() {
    for (folder, file) in ITCH_CAPTURES {
        let Some(bytes) = real(&format!("{folder}/{file}")) else { continue };
        let messages = binary_file(&bytes);
        let mut adds = messages.iter().filter(|message| matches!(message[0], b'A' | b'F'));
        let mut compared = 0;
        run_file(&messages, |record| {
            let Some(add) = record.view::<itch::AddOrder>() else { return };
            let m = adds.next().expect("a message for every record");
            let number = |at: std::ops::Range<usize>| {
                m[at].iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte))
            };
            assert_eq!(u64::from(add.header.instrument), number(1..3));
            assert_eq!(add.header.ts_event.0, number(5..11));
            assert_eq!(add.order_ref, number(11..19));
            assert_eq!(add.side(), Side(m[19]));
            assert_eq!(u64::from(add.qty.0), number(20..24));
            assert_eq!(add.symbol.0, m[24..32]);
            assert_eq!(add.price, Price(number(32..36) as i64 * 100_000));
            compared += 1;
        });
        assert!(compared > 0 && adds.next().is_none(), "{folder}");
    }
}

/// All records of a run, as bytes.
fn all_bytes(run: impl FnOnce(&mut dyn FnMut(&Record))) -> Vec<u8> {
    let mut bytes = Vec::new();
    run(&mut |record| bytes.extend_from_slice(record.as_bytes()));
    bytes
}

#[test]
fn every_transport_gives_the_same_bytes() {
    for (folder, file) in ITCH_CAPTURES {
        let Some(bytes) = real(&format!("{folder}/{file}")) else { continue };
        let messages = binary_file(&bytes);
        let by_file = all_bytes(|sink| {
            run_file(&messages, sink);
        });
        let by_packets = all_bytes(|mut sink| {
            let mut feed = itch_feed(Transport::MoldUdp64);
            let mut seq = 1;
            for chunk in messages.chunks(35) {
                let packet = mold(SESSION, seq, chunk);
                assert_eq!(datagram(&packet).map(|d| d.transport), Some(Transport::MoldUdp64));
                feed.datagram(0, Nanos(9), &packet, &mut sink);
                seq += chunk.len() as u64;
            }
        });
        let by_stream = all_bytes(|mut sink| {
            let mut feed = itch_feed(Transport::SoupBinTcp);
            let mut wire = Vec::new();
            write_accepted(&mut wire, SESSION, 1);
            messages.iter().for_each(|message| write_packet(&mut wire, b'S', message));
            let mut client = Client::new(Credentials::new("user", "pass"), *b"          ", 1);
            client.connected();
            for piece in wire.chunks(1_447) {
                let event = client.bytes(piece, |session, seq, message| {
                    feed.message(session, Seq(seq), Nanos(9), message, &mut sink);
                });
                assert_eq!(event, Event::Proceed);
            }
        });
        assert!(by_file == by_packets, "{folder}: MoldUDP64 differs from the file");
        assert!(by_file == by_stream, "{folder}: SoupBinTCP differs from the file");
    }
}

#[test]
fn iex_deep_gives_the_records_that_its_truth_names() {
    let (Some(bytes), Some(truth)) = (real(IEX), truth("iex-deep-20231002")) else { return };
    let packets = udp_payloads(&bytes);
    let config = FeedConfig::new(0, Protocol::IexDeep10, Transport::IexTp);
    let mut feed = Feed::new(&config);
    let (mut types, mut complete) = (Vec::new(), 0);
    let mut trades = BTreeMap::<String, (u64, u64, i64, i64)>::new();
    let mut numbers = BTreeMap::<u16, Symbol>::new();
    let mut sink = |record: &Record| {
        types.extend(iex_type(record));
        if let Some(level) = record.view::<iex::PriceLevel>() {
            complete += u64::from(level.complete);
            let symbol = *numbers.entry(level.header.instrument).or_insert(level.symbol);
            assert_eq!(symbol, level.symbol, "one number, one symbol");
        }
        if let Some(trade) = record.view::<iex::Trade>() {
            let (count, volume, notional, last) =
                trades.entry(trade.symbol.as_str().into()).or_default();
            (*count, *volume) = (*count + 1, *volume + u64::from(trade.qty.0));
            *notional += trade.price.to_e4() * i64::from(trade.qty.0);
            *last = trade.price.to_e4();
        }
    };
    for (ts, payload) in &packets {
        let detected = datagram(payload).expect("IEX-TP");
        assert_eq!(
            (detected.transport, detected.protocol),
            (config.transport, config.protocol),
            "heartbeats too"
        );
        feed.datagram(0, *ts, payload, &mut sink);
    }
    let counters = feed.counters();
    assert!(is_clean(&counters), "{counters:?}");
    assert_eq!(json!(counters.packets), truth["packets"]);
    assert_eq!(json!(counters.heartbeats), truth["heartbeats_zero_msg"]);
    assert_eq!(json!(counters.messages), truth["messages"]);
    assert_eq!(counts(types.into_iter()), truth["message_counts"]);
    assert_eq!(json!(complete), truth["plu_event_complete"]);
    let by_symbol: BTreeMap<_, _> = trades
        .into_iter()
        .map(|(symbol, (n, volume, notional_e4, last_px))| {
            let trade = json!({
                "n": n, "volume": volume, "notional_e4": notional_e4, "last_px": last_px,
            });
            (symbol, trade)
        })
        .collect();
    assert_eq!(json!(by_symbol), truth["trade_by_symbol"]);
}

fn iex_type(record: &Record) -> Option<char> {
    let by_stream = [
        (iex::SystemEvent::STREAM, 'S'),
        (iex::SecurityDirectory::STREAM, 'D'),
        (iex::TradingStatus::STREAM, 'H'),
        (iex::RetailLiquidity::STREAM, 'I'),
        (iex::OperationalHalt::STREAM, 'O'),
        (iex::ShortSaleTest::STREAM, 'P'),
        (iex::Trade::STREAM, 'T'),
    ];
    if let Some(level) = record.view::<iex::PriceLevel>() {
        return Some(if level.side() == Side::BUY { '8' } else { '5' });
    }
    by_stream.iter().find(|(stream, _)| *stream == record.header.stream).map(|(_, kind)| *kind)
}

/// The same session published twice, as a daily rehearsal would, is two sessions of equal content.
#[test]
fn a_session_sent_again_is_a_new_session_with_the_same_messages() {
    let Some(bytes) = real(IEX) else { return };
    let packets = udp_payloads(&bytes);
    let mut feed = Feed::new(&FeedConfig::new(0, Protocol::IexDeep10, Transport::IexTp));
    let mut sink = |_: &Record| {};
    for (ts, payload) in packets.iter().chain(&packets) {
        feed.datagram(0, *ts, payload, &mut sink);
    }
    let counters = feed.counters();
    assert_eq!((counters.messages, counters.restarts), (2 * 48_325, 1));
    assert_eq!((counters.sessions, counters.duplicates, counters.gaps), (2, 0, 0));
}

#[test]
fn captures_of_other_protocols_are_not_taken_for_ours() {
    for file in ["mcastpitch_realtime_useq.pcap", "mcastpitch_grp_useq.pcap"] {
        let Some(bytes) = real(&format!("cboe-pitch-bats/{file}")) else { continue };
        assert!(stream(&bytes).is_none());
        for (_, payload) in udp_payloads(&bytes) {
            assert_eq!(datagram(&payload), None);
        }
    }
}

#[test]
fn what_the_wire_structs_write_is_what_they_read() {
    let Some(bytes) = real("nasdaq-itch50-snippet/12302019_SNIPPET.NASDAQ_ITCH50") else { return };
    for message in binary_file(&bytes) {
        if let Ok(add) = wire::AddOrder::ref_from_bytes(message)
            && add.head.kind == wire::AddOrder::KIND
        {
            assert_eq!(add.as_bytes(), message);
            let head = wire::Head::new(b'A', add.head.locate.get(), add.head.ns_since_midnight());
            assert_eq!(head.timestamp, add.head.timestamp);
        }
    }
}
