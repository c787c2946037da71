//! Records as JSON, one object a line, from nothing but the record and its schema.
//!
//! ```text
//! {"id":"0-1a2b3c4d-123456-2-0","strategy":"layering","stream":"action.order","feed":0,
//!  "instrument":7,"seq":123456,"ts_event":1700000000000000000,"side":"B","session":439041101,
//!  "rule":2,"ordinal":0,"symbol":"AAPL","price":"12.50","qty":100}
//! ```
//!
//! Times are integers, nanoseconds since the epoch; prices are decimal text, so that no reader
//! makes floats of them. Text is written byte by byte without its padding: what is not printable
//! ASCII becomes `\u00XX`, so that a line is valid UTF-8, has no line break inside, and different
//! bytes never look the same.
//!
//! Invariant: writing allocates nothing once the buffer has grown to the longest line.
//!
//! ```
//! use corelane::egress::format_record_json;
//! use corelane_feeds::record::{Stamp, View};
//! use corelane_feeds::streams::sys::Gap;
//! let gap = Gap::new(Stamp::default(), 0);
//! let mut line = Vec::new();
//! format_record_json(gap.as_record(), Gap::SCHEMA, &mut line);
//! assert!(line.starts_with(br#"{"stream":"sys.gap","feed":0,"#));
//! ```

use std::io::Write;
use std::sync::OnceLock;

use corelane_feeds::record::{Header, Record, StreamId};
use corelane_feeds::schema::{Field, Schema, SqlType};
use corelane_feeds::streams;
use corelane_feeds::units::{Nanos, PRICE_SCALE};
use corelane_strategies::action::{self, ActionId};
use corelane_strategies::rules::NULLS;
use zerocopy::IntoBytes;

/// The schema of a built-in or action stream.
#[must_use]
pub fn schema_of(stream: StreamId) -> Option<&'static Schema> {
    action::by_id(stream).or_else(|| streams::by_id(stream))
}

/// Appends a record as one JSON object, without a line break: every header field, then every column
/// of the stream. A column that lies beyond the record's end is `null`.
pub fn format_record_json(record: &Record, schema: &Schema, out: &mut Vec<u8>) {
    let header = &record.header;
    out.push(b'{');
    write_origin(header, schema.name, out);
    TS_RECV.write(out);
    write_u64(header.ts_recv.0, out);
    FLAGS.write(out);
    write_u64(u64::from(header.flags), out);
    write_columns(record, schema, out);
    out.push(b'}');
}

/// What an action's line holds beside the action itself.
#[derive(Copy, Clone, Default, Debug)]
pub struct ActionExtras<'a> {
    /// The name of the strategy or rule.
    pub strategy: Option<&'a str>,
    /// Actions that rule files declared, beside those that are built in.
    pub declared: &'a [&'static Schema],
    /// When the action was sent; adds `ts_recv` too. No replay reproduces either.
    pub ts_sent: Option<Nanos>,
}

/// Appends an action as one JSON object, without a line break. Returns false, and appends nothing,
/// if the record is no action. One of an unknown stream has its header and no columns.
pub fn format_action_json(record: &Record, extras: ActionExtras<'_>, out: &mut Vec<u8>) -> bool {
    let header = &record.header;
    let Some(id) = ActionId::of(record) else { return false };
    let declared = || extras.declared.iter().find(|schema| schema.stream == header.stream);
    let schema = action::by_id(header.stream).or_else(|| declared().copied());
    out.extend_from_slice(b"{\"id\":\"");
    write_id(&id, out);
    out.extend_from_slice(b"\",");
    if let Some(strategy) = extras.strategy {
        out.extend_from_slice(b"\"strategy\":");
        write_text(strategy.as_bytes(), out);
        out.push(b',');
    }
    write_origin(header, schema.map_or("unknown", |schema| schema.name), out);
    if let Some(ts_sent) = extras.ts_sent {
        TS_RECV.write(out);
        write_u64(header.ts_recv.0, out);
        TS_SENT.write(out);
        write_u64(ts_sent.0, out);
    }
    if let Some(schema) = schema {
        write_columns(record, schema, out);
    }
    out.push(b'}');
    true
}

fn write_origin(header: &Header, stream: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"stream\":\"");
    out.extend_from_slice(stream.as_bytes());
    out.push(b'"');
    let fields = [
        (&FEED, u64::from(header.feed)),
        (&INSTRUMENT, u64::from(header.instrument)),
        (&SEQ, header.seq.0),
        (&TS_EVENT, header.ts_event.0),
    ];
    for (key, value) in fields {
        key.write(out);
        write_u64(value, out);
    }
}

fn write_columns(record: &Record, schema: &Schema, out: &mut Vec<u8>) {
    let bytes = record.as_bytes();
    if let Some(columns) = built_in_columns(schema) {
        for (key, field) in columns {
            key.write(out);
            write_field(field, bytes, out);
        }
        return;
    }
    // A declared stream says in a mask which of its columns are NULL, a declared action which of
    // those that its rule filled.
    let mask = schema.fields.iter().find(|field| field.name == NULLS);
    let mask = mask.and_then(|field| bytes.get(field.offset..field.offset + 8)?.try_into().ok());
    let nulls = mask.map_or(0, u64::from_le_bytes);
    let is_action = schema.stream.0 & 0xff00 == action::FAMILY;
    let is_cause = |name: &str| matches!(name, "session" | "rule" | "ordinal");
    let is_filled = |field: &&Field| !is_action || !is_cause(field.name);
    let bit_of = |name: &str| schema.columns().filter(is_filled).position(|f| f.name == name);
    for field in schema.columns() {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(field.name.as_bytes());
        out.extend_from_slice(b"\":");
        match bit_of(field.name) {
            Some(bit) if nulls >> (bit % 64) & 1 == 1 => out.extend_from_slice(b"null"),
            _ => write_field(field, bytes, out),
        }
    }
}

fn write_field(field: &Field, record: &[u8], out: &mut Vec<u8>) {
    match record.get(field.offset..field.offset + field.sql.bytes()) {
        Some(value) => write_value(field, value, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// Bytes of a [`Key`].
const KEY_BYTES: usize = 32;

/// `,"name":` of a column. Copied at its full length and then cut to size: a copy whose length the
/// compiler knows is two instructions, any other is a call, and a line has some twenty of them.
struct Key {
    text: [u8; KEY_BYTES],
    len: usize,
}

static FEED: Key = Key::new("feed");
static INSTRUMENT: Key = Key::new("instrument");
static SEQ: Key = Key::new("seq");
static TS_EVENT: Key = Key::new("ts_event");
static TS_RECV: Key = Key::new("ts_recv");
static TS_SENT: Key = Key::new("ts_sent");
static FLAGS: Key = Key::new("flags");

impl Key {
    /// Column names are identifiers and need no escapes.
    const fn new(name: &str) -> Self {
        assert!(name.len() + 4 <= KEY_BYTES, "column names have at most 28 bytes");
        let mut key = Self { text: [0; KEY_BYTES], len: name.len() + 4 };
        (key.text[0], key.text[1]) = (b',', b'"');
        let mut i = 0;
        while i < name.len() {
            key.text[2 + i] = name.as_bytes()[i];
            i += 1;
        }
        (key.text[2 + i], key.text[3 + i]) = (b'"', b':');
        key
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.text);
        out.truncate(start + self.len);
    }
}

/// The columns of a stream of ours with their keys, made once.
fn built_in_columns(schema: &Schema) -> Option<&'static [(Key, &'static Field)]> {
    type Plans = Vec<(&'static Schema, Vec<(Key, &'static Field)>)>;
    static PLANS: OnceLock<Plans> = OnceLock::new();
    let plans = PLANS.get_or_init(|| {
        let all = action::ALL.iter().chain(streams::ALL);
        let key = |field: &'static Field| (Key::new(field.name), field);
        all.map(|&schema| (schema, schema.columns().map(key).collect())).collect()
    });
    let ours = |have: &Schema| have.stream == schema.stream && have.name == schema.name;
    let plan = plans.iter().find(|(have, _)| ours(have));
    plan.map(|(_, columns)| columns.as_slice())
}

fn write_value(field: &Field, value: &[u8], out: &mut Vec<u8>) {
    let mut word = [0; 8];
    let len = value.len().min(8);
    word[..len].copy_from_slice(&value[..len]);
    let word = u64::from_le_bytes(word);
    match field.sql {
        SqlType::Boolean => out.extend_from_slice(if word == 0 { b"false" } else { b"true" }),
        SqlType::TinyIntUnsigned
        | SqlType::SmallIntUnsigned
        | SqlType::IntUnsigned
        | SqlType::BigIntUnsigned
        | SqlType::Timestamp => write_u64(word, out),
        SqlType::TinyInt => write_i64(i64::from(word as i8), out),
        SqlType::SmallInt => write_i64(i64::from(word as i16), out),
        SqlType::Int => write_i64(i64::from(word as i32), out),
        SqlType::BigInt | SqlType::Interval => write_i64(word as i64, out),
        SqlType::Double => write_f64(f64::from_bits(word), out),
        SqlType::Price => write_price(word as i64, out),
        SqlType::Decimal(scale) => write_decimal(word as i64, scale, out),
        SqlType::Char(_) => {
            let end = value.iter().rposition(|&b| b != b' ' && b != 0).map_or(0, |i| i + 1);
            write_text(&value[..end], out);
        }
    }
}

/// The decimal digits of 0 to 99.
static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut i = 0;
    while i < 100 {
        pairs[i] = [b'0' + (i / 10) as u8, b'0' + (i % 10) as u8];
        i += 1;
    }
    pairs
};

fn write_u64(mut value: u64, out: &mut Vec<u8>) {
    let count = value.checked_ilog10().map_or(1, |log| log as usize + 1);
    let start = out.len();
    out.extend_from_slice(&[0; 20]);
    out.truncate(start + count);
    let digits = &mut out[start..];
    let mut end = count;
    while end > 1 {
        digits[end - 2..end].copy_from_slice(&PAIRS[(value % 100) as usize]);
        value /= 100;
        end -= 2;
    }
    if end == 1 {
        digits[0] = b'0' + value as u8;
    }
}

fn write_i64(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    write_u64(value.unsigned_abs(), out);
}

/// The shortest decimal that reads back as the same number; JSON has no infinities and no NaN.
fn write_f64(value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        write!(out, "{value}").expect("memory takes every byte");
    } else {
        out.extend_from_slice(b"null");
    }
}

/// Decimal text with two to nine decimals, as `Price` displays.
fn write_price(value: i64, out: &mut Vec<u8>) {
    out.push(b'"');
    if value < 0 {
        out.push(b'-');
    }
    let scale = PRICE_SCALE.unsigned_abs();
    write_u64(value.unsigned_abs() / scale, out);
    out.push(b'.');
    let mut fraction = value.unsigned_abs() % scale;
    let mut digits = [b'0'; 9];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (fraction % 10) as u8;
        fraction /= 10;
    }
    let end = digits.iter().rposition(|&digit| digit != b'0').map_or(2, |i| (i + 1).max(2));
    out.extend_from_slice(&digits[..end]);
    out.push(b'"');
}

/// Decimal text with as many decimals as the scale says.
fn write_decimal(value: i64, scale: u8, out: &mut Vec<u8>) {
    let unit = 10u64.pow(u32::from(scale.min(18)));
    out.push(b'"');
    if value < 0 {
        out.push(b'-');
    }
    write_u64(value.unsigned_abs() / unit, out);
    if scale > 0 {
        let width = usize::from(scale.min(18));
        let fraction = value.unsigned_abs() % unit;
        write!(out, ".{fraction:0width$}").expect("memory takes every byte");
    }
    out.push(b'"');
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn write_text(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
    }
    out.push(b'"');
}

/// As `ActionId` displays: `feed-session-seq-rule-ordinal`, the session in hexadecimal.
fn write_id(id: &ActionId, out: &mut Vec<u8>) {
    write_u64(u64::from(id.feed), out);
    let mut session = *b"-00000000-";
    for (i, digit) in session[1..9].iter_mut().enumerate() {
        *digit = HEX[(id.session >> (28 - 4 * i) & 15) as usize];
    }
    out.extend_from_slice(&session);
    write_u64(id.seq.0, out);
    out.push(b'-');
    write_u64(u64::from(id.rule), out);
    out.push(b'-');
    write_u64(u64::from(id.ordinal), out);
}

#[cfg(test)]
mod tests {
    use corelane_feeds::record::{Stamp, View};
    use corelane_feeds::schema::FieldType;
    use corelane_feeds::streams::itch::AddOrder;
    use corelane_feeds::units::{Char, Price, Qty32, Seq, Symbol};
    use corelane_strategies::action::Order;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn order() -> Order {
        let stamp = Stamp {
            feed: 1,
            instrument: 7,
            seq: Seq(123_456),
            ts_event: Nanos(1_700_000_000_000_000_001),
            ts_recv: Nanos(1_700_000_000_000_000_999),
            flags: 0,
        };
        let mut order = Order::new(stamp, b'B');
        order.session = 0x1a2b_3c4d;
        order.rule = 2;
        order.ordinal = 1;
        order.symbol = Symbol::new("AAPL");
        order.price = Price(12_500_000_000);
        order.qty = Qty32(100);
        order
    }

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_action_is_one_stable_line() {
        let extras = ActionExtras { strategy: Some("layering"), ..ActionExtras::default() };
        let line = text(|out| assert!(format_action_json(order().as_record(), extras, out)));
        let golden = concat!(
            r#"{"id":"1-1a2b3c4d-123456-2-1","strategy":"layering","stream":"action.order","#,
            r#""feed":1,"instrument":7,"seq":123456,"ts_event":1700000000000000001,"side":"B","#,
            r#""session":439041101,"rule":2,"ordinal":1,"symbol":"AAPL","price":"12.50","qty":100}"#
        );
        assert_eq!(line, golden);
    }

    #[test]
    fn stamps_are_there_only_when_asked_for() {
        let extras = ActionExtras { ts_sent: Some(Nanos(5)), ..ActionExtras::default() };
        let line = text(|out| assert!(format_action_json(order().as_record(), extras, out)));
        let stamps = r#","ts_recv":1700000000000000999,"ts_sent":5,"side":"#;
        assert!(line.contains(stamps) && !line.contains("strategy"), "{line}");
        let add = AddOrder::new(Stamp::default(), b'S');
        let mut out = Vec::new();
        assert!(!format_action_json(add.as_record(), extras, &mut out) && out.is_empty());
    }

    #[test]
    fn a_record_shows_every_column() {
        let mut add = AddOrder::new(Stamp { flags: 1, ..Stamp::default() }, b'S');
        add.order_ref = u64::MAX;
        add.price = Price(-1);
        add.symbol = Symbol::new("BRK.A");
        let line = text(|out| format_record_json(add.as_record(), AddOrder::SCHEMA, out));
        let golden = concat!(
            r#"{"stream":"itch.add_order","feed":0,"instrument":0,"seq":0,"ts_event":0,"#,
            r#""ts_recv":0,"flags":1,"side":"S","order_ref":18446744073709551615,"#,
            r#""price":"-0.000000001","symbol":"BRK.A","qty":0,"mpid":""}"#
        );
        assert_eq!(line, golden);
    }

    #[test]
    fn every_type_is_valid_json() {
        let value = |sql, bytes: &[u8]| {
            let field = Field { name: "x", sql, offset: 0, doc: "" };
            text(|out| write_value(&field, bytes, out))
        };
        assert_eq!(value(SqlType::Boolean, &[1]), "true");
        assert_eq!(value(SqlType::BigInt, &i64::MIN.to_le_bytes()), "-9223372036854775808");
        assert_eq!(value(SqlType::Double, &1e300f64.to_le_bytes()).parse(), Ok(1e300));
        assert_eq!(value(SqlType::Double, &f64::NAN.to_le_bytes()), "null");
        assert_eq!(value(<Char<3>>::SQL, b"\0  "), "\"\"");
    }

    #[test]
    fn a_schema_that_is_not_ours_is_written_the_same() {
        let ours = AddOrder::SCHEMA;
        let copy = Schema { name: "user.order", ..*ours };
        assert!(built_in_columns(&copy).is_none() && built_in_columns(ours).is_some());
        let add = AddOrder::new(Stamp::default(), b'S');
        let line = |schema| text(|out| format_record_json(add.as_record(), schema, out));
        assert_eq!(line(&copy).replace("user.order", ours.name), line(ours));
    }

    #[test]
    fn a_record_shorter_than_its_schema_has_nulls() {
        let tick = streams::sys::Tick::new(Stamp::default(), 0);
        let schema = schema_of(action::Alert::STREAM).unwrap();
        let line = text(|out| format_record_json(tick.as_record(), schema, out));
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["score_milli"], Value::Null);
    }

    proptest! {
        #[test]
        fn any_bytes_in_a_text_give_a_valid_line_that_reads_back(bytes: [u8; 8]) {
            let mut order = order();
            order.symbol = Char(bytes);
            let line = text(|out| {
                format_action_json(order.as_record(), ActionExtras::default(), out);
            });
            prop_assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)));
            let read: Value = serde_json::from_str(&line).unwrap();
            let symbol: Vec<u8> =
                read["symbol"].as_str().unwrap().chars().map(|c| c as u8).collect();
            let end = bytes.iter().rposition(|&b| b != b' ' && b != 0).map_or(0, |i| i + 1);
            prop_assert_eq!(&symbol[..], &bytes[..end]);
        }

        #[test]
        fn numbers_and_ids_read_as_they_display(
            feed: u8, session: u32, seq: u64, rule: u16, ordinal: u16, zeros in 0u32..64
        ) {
            let id = ActionId { feed, session, seq: Seq(seq >> zeros), rule, ordinal };
            prop_assert_eq!(text(|out| write_id(&id, out)), id.to_string());
            let power = 10u64.pow(zeros % 20);
            prop_assert_eq!(text(|out| write_u64(power, out)), power.to_string());
            prop_assert_eq!(text(|out| write_u64(power - 1, out)), (power - 1).to_string());
        }

        #[test]
        fn prices_read_as_price_displays_them(price: i64) {
            let line = text(|out| write_price(price, out));
            prop_assert_eq!(line, format!("\"{}\"", Price(price)));
        }
    }
}
