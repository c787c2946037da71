//! Every field of every message type, against offsets written out from the specifications: slow,
//! obvious, and nothing shared with the wire structs.

use corelane_feeds::iex::Iex;
use corelane_feeds::iex::wire::length_of as iex_length_of;
use corelane_feeds::itch50::Itch50;
use corelane_feeds::itch50::wire::MESSAGES;
use corelane_feeds::record::{Record, Stamp};
use corelane_feeds::schema::SqlType;
use corelane_feeds::streams::by_id;
use corelane_feeds::units::{Nanos, Seq};
use zerocopy::IntoBytes;

const MIDNIGHT: u64 = 1_700_000_000_000_000_000;

/// What a field of the wire becomes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum As {
    /// The bytes as they are.
    Text,
    /// The number as it is.
    Number,
    /// A price at 1e-4.
    E4,
    /// A price at 1e-8.
    E8,
    /// Nanoseconds since midnight.
    Time,
    /// The lowest bit of a byte of flags.
    Bit,
}
use As::{Bit, E4, E8, Number, Text, Time};

/// Field of the record, offset and bytes on the wire, what it becomes.
type FieldRow = (&'static str, usize, usize, As);

#[rustfmt::skip]
const ITCH: &[(u8, &str, &[FieldRow])] = &[
    (b'S', "itch.system_event", &[("event", 11, 1, Text)]),
    (b'R', "itch.stock_directory", &[
        ("symbol", 11, 8, Text), ("market", 19, 1, Text), ("financial_status", 20, 1, Text),
        ("round_lot", 21, 4, Number), ("round_lots_only", 25, 1, Text),
        ("classification", 26, 1, Text), ("sub_type", 27, 2, Text), ("authenticity", 29, 1, Text),
        ("short_sale_threshold", 30, 1, Text), ("ipo", 31, 1, Text), ("luld_tier", 32, 1, Text),
        ("etp", 33, 1, Text), ("etp_leverage", 34, 4, Number), ("inverse", 38, 1, Text)]),
    (b'H', "itch.trading_action", &[
        ("symbol", 11, 8, Text), ("state", 19, 1, Text), ("reason", 21, 4, Text)]),
    (b'Y', "itch.reg_sho", &[("symbol", 11, 8, Text), ("action", 19, 1, Text)]),
    (b'L', "itch.market_participant", &[
        ("mpid", 11, 4, Text), ("symbol", 15, 8, Text), ("primary", 23, 1, Text),
        ("mode", 24, 1, Text), ("state", 25, 1, Text)]),
    (b'V', "itch.mwcb_decline", &[
        ("level1", 11, 8, E8), ("level2", 19, 8, E8), ("level3", 27, 8, E8)]),
    (b'W', "itch.mwcb_status", &[("level", 11, 1, Text)]),
    (b'K', "itch.ipo_quotation", &[
        ("symbol", 11, 8, Text), ("release_seconds", 19, 4, Number), ("qualifier", 23, 1, Text),
        ("price", 24, 4, E4)]),
    (b'J', "itch.luld_collar", &[
        ("symbol", 11, 8, Text), ("reference", 19, 4, E4), ("upper", 23, 4, E4),
        ("lower", 27, 4, E4), ("extension", 31, 4, Number)]),
    (b'h', "itch.operational_halt", &[
        ("symbol", 11, 8, Text), ("market", 19, 1, Text), ("action", 20, 1, Text)]),
    (b'A', "itch.add_order", &[
        ("order_ref", 11, 8, Number), ("side", 19, 1, Text), ("qty", 20, 4, Number),
        ("symbol", 24, 8, Text), ("price", 32, 4, E4)]),
    (b'F', "itch.add_order", &[
        ("order_ref", 11, 8, Number), ("side", 19, 1, Text), ("qty", 20, 4, Number),
        ("symbol", 24, 8, Text), ("price", 32, 4, E4), ("mpid", 36, 4, Text)]),
    (b'E', "itch.order_executed", &[
        ("order_ref", 11, 8, Number), ("qty", 19, 4, Number), ("match_number", 23, 8, Number)]),
    (b'C', "itch.order_executed_price", &[
        ("order_ref", 11, 8, Number), ("qty", 19, 4, Number), ("match_number", 23, 8, Number),
        ("printable", 31, 1, Text), ("price", 32, 4, E4)]),
    (b'X', "itch.order_cancel", &[("order_ref", 11, 8, Number), ("qty", 19, 4, Number)]),
    (b'D', "itch.order_delete", &[("order_ref", 11, 8, Number)]),
    (b'U', "itch.order_replace", &[
        ("order_ref", 11, 8, Number), ("new_order_ref", 19, 8, Number), ("qty", 27, 4, Number),
        ("price", 31, 4, E4)]),
    (b'P', "itch.trade", &[
        ("side", 19, 1, Text), ("qty", 20, 4, Number), ("symbol", 24, 8, Text),
        ("price", 32, 4, E4), ("match_number", 36, 8, Number)]),
    (b'Q', "itch.cross_trade", &[
        ("qty", 11, 8, Number), ("symbol", 19, 8, Text), ("price", 27, 4, E4),
        ("match_number", 31, 8, Number), ("cross", 39, 1, Text)]),
    (b'B', "itch.broken_trade", &[("match_number", 11, 8, Number)]),
    (b'I', "itch.noii", &[
        ("paired_qty", 11, 8, Number), ("imbalance_qty", 19, 8, Number),
        ("direction", 27, 1, Text), ("symbol", 28, 8, Text), ("far", 36, 4, E4),
        ("near", 40, 4, E4), ("reference", 44, 4, E4), ("cross", 48, 1, Text),
        ("variation", 49, 1, Text)]),
    (b'N', "itch.retail_interest", &[("symbol", 11, 8, Text), ("interest", 19, 1, Text)]),
    (b'O', "itch.direct_listing", &[
        ("symbol", 11, 8, Text), ("eligible", 19, 1, Text), ("min", 20, 4, E4), ("max", 24, 4, E4),
        ("near", 28, 4, E4), ("near_time", 32, 8, Time), ("lower", 40, 4, E4),
        ("upper", 44, 4, E4)]),
];

#[rustfmt::skip]
const IEX: &[(u8, &str, &[FieldRow])] = &[
    (b'S', "iex.system_event", &[("event", 1, 1, Text)]),
    (b'D', "iex.security_directory", &[
        ("security_flags", 1, 1, Number), ("symbol", 10, 8, Text), ("round_lot", 18, 4, Number),
        ("previous_close", 22, 8, E4), ("luld_tier", 30, 1, Number)]),
    (b'H', "iex.trading_status", &[
        ("status", 1, 1, Text), ("symbol", 10, 8, Text), ("reason", 18, 4, Text)]),
    (b'I', "iex.retail_liquidity", &[("indicator", 1, 1, Text), ("symbol", 10, 8, Text)]),
    (b'O', "iex.operational_halt", &[("status", 1, 1, Text), ("symbol", 10, 8, Text)]),
    (b'P', "iex.short_sale_test", &[
        ("status", 1, 1, Number), ("symbol", 10, 8, Text), ("detail", 18, 1, Text)]),
    (b'E', "iex.security_event", &[("event", 1, 1, Text), ("symbol", 10, 8, Text)]),
    (b'8', "iex.price_level", &[
        ("complete", 1, 1, Bit), ("symbol", 10, 8, Text), ("qty", 18, 4, Number),
        ("price", 22, 8, E4)]),
    (b'5', "iex.price_level", &[
        ("complete", 1, 1, Bit), ("symbol", 10, 8, Text), ("qty", 18, 4, Number),
        ("price", 22, 8, E4)]),
    (b'T', "iex.trade", &[
        ("sale_flags", 1, 1, Number), ("symbol", 10, 8, Text), ("qty", 18, 4, Number),
        ("price", 22, 8, E4), ("trade_id", 30, 8, Number)]),
    (b'B', "iex.trade_break", &[
        ("sale_flags", 1, 1, Number), ("symbol", 10, 8, Text), ("qty", 18, 4, Number),
        ("price", 22, 8, E4), ("trade_id", 30, 8, Number)]),
    (b'X', "iex.official_price", &[
        ("kind", 1, 1, Text), ("symbol", 10, 8, Text), ("price", 18, 8, E4)]),
    (b'Q', "iex.quote", &[
        ("quote_flags", 1, 1, Number), ("symbol", 10, 8, Text), ("bid_qty", 18, 4, Number),
        ("bid", 22, 8, E4), ("ask", 30, 8, E4), ("ask_qty", 38, 4, Number)]),
    (b'A', "iex.auction", &[
        ("kind", 1, 1, Text), ("symbol", 10, 8, Text), ("paired_qty", 18, 4, Number),
        ("reference", 22, 8, E4), ("indicative", 30, 8, E4), ("imbalance_qty", 38, 4, Number),
        ("imbalance_side", 42, 1, Text), ("extensions", 43, 1, Number),
        ("scheduled_seconds", 44, 4, Number), ("book_clearing", 48, 8, E4),
        ("collar_reference", 56, 8, E4), ("lower", 64, 8, E4), ("upper", 72, 8, E4)]),
];

/// A message whose bytes all differ, so that no two fields can be mistaken for each other. Numbers
/// begin with bytes below 128 and prices stay far from the end of 64 bits.
fn made_up(kind: u8, length: usize, rows: &[FieldRow], big_endian: bool) -> Vec<u8> {
    let mut message: Vec<u8> = (0..length).map(|i| (i * 7 + 13) as u8).collect();
    message[0] = kind;
    for (_, offset, bytes, becomes) in rows {
        if matches!(becomes, E4 | E8 | Time) && *bytes == 8 {
            let zeros = if big_endian { *offset } else { *offset + 4 };
            message[zeros..zeros + 4].fill(0);
        }
    }
    message
}

fn number(bytes: &[u8], big_endian: bool) -> u64 {
    let shift = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
    if big_endian { bytes.iter().fold(0, shift) } else { bytes.iter().rev().fold(0, shift) }
}

fn compare(record: &Record, name: &str, message: &[u8], rows: &[FieldRow], big_endian: bool) {
    let schema = by_id(record.header.stream).expect("a built-in stream");
    assert_eq!(schema.name, name);
    assert_eq!(schema.bytes, record.as_bytes().len());
    for (field, offset, bytes, becomes) in rows {
        let found = schema.field(field).unwrap_or_else(|| panic!("{name}.{field}"));
        let has = &record.as_bytes()[found.offset..found.offset + found.sql.bytes()];
        let wire = &message[*offset..offset + bytes];
        let raw = number(wire, big_endian);
        let wanted = match becomes {
            Text => {
                assert_eq!(has, wire, "{name}.{field}");
                continue;
            }
            Number => raw,
            Bit => raw & 1,
            E4 => raw * 100_000,
            E8 => raw * 10,
            Time => raw + MIDNIGHT,
        };
        assert_eq!(number(has, false), wanted, "{name}.{field}");
        let is_price = matches!(becomes, E4 | E8);
        assert_eq!(found.sql == SqlType::Price, is_price, "{name}.{field}");
    }
    // What the table leaves out is not there, but for what the wire says by its type alone.
    for column in schema.columns() {
        let listed = rows.iter().any(|row| row.0 == column.name);
        let by_type = matches!((name, column.name), ("iex.price_level", "side"))
            || (message[0] == b'A' && column.name == "mpid");
        assert!(listed || by_type, "{name}.{} is not compared", column.name);
    }
}

#[test]
fn every_itch_field_is_where_the_specification_has_it() {
    assert_eq!(ITCH.len(), MESSAGES.len());
    for (kind, name, rows) in ITCH {
        let length = MESSAGES.iter().find(|known| known.0 == *kind).expect("a known type").1;
        let end = rows.iter().map(|row| row.1 + row.2).max();
        assert_eq!(end, Some(length), "{name} ends with its last field");
        let message = made_up(*kind, length, rows, true);
        let stamp = Stamp { feed: 5, seq: Seq(77), ts_recv: Nanos(88), ..Stamp::default() };
        let mut records = 0;
        let mut sink = |record: &Record| {
            records += 1;
            compare(record, name, &message, rows, true);
            let header = &record.header;
            assert_eq!((header.feed, header.seq, header.ts_recv), (5, Seq(77), Nanos(88)));
            assert_eq!(u64::from(header.instrument), number(&message[1..3], true));
            assert_eq!(header.ts_event.0, MIDNIGHT + number(&message[5..11], true));
        };
        Itch50::new(Nanos(MIDNIGHT)).message(&message, stamp, &mut sink);
        assert_eq!(records, 1, "{name}");
    }
}

#[test]
fn every_iex_field_is_where_the_specification_has_it() {
    for (kind, name, rows) in IEX {
        let tops = *kind == b'Q';
        let length = iex_length_of(*kind, tops).expect("a known type");
        let end = rows.iter().map(|row| row.1 + row.2).max();
        assert_eq!(end.max(Some(10)), Some(length), "{name} ends with its last field");
        let message = made_up(*kind, length, rows, false);
        let mut records = 0;
        let mut sink = |record: &Record| {
            records += 1;
            compare(record, name, &message, rows, false);
            assert_eq!(record.header.ts_event.0, number(&message[2..10], false));
            assert_eq!(record.header.instrument, u16::from(*kind != b'S'));
            match kind {
                b'8' => assert_eq!(record.header.tag, b'B'),
                b'5' => assert_eq!(record.header.tag, b'S'),
                _ => {}
            }
        };
        Iex::new(tops).message(&message, Stamp::default(), &mut sink);
        assert_eq!(records, 1, "{name}");
    }
}

#[test]
fn deep_has_no_quotes_and_tops_no_price_levels() {
    for (tops, kinds) in [(false, &b"Q"[..]), (true, b"85E")] {
        for kind in kinds {
            assert_eq!(iex_length_of(*kind, tops), None);
            assert!(iex_length_of(*kind, !tops).is_some());
        }
    }
}
