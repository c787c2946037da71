//! Lines and the records that they give, what is told of those that give none, and that the form of
//! JSON is what another parser says it is.

use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::{Format, TextConfig, TextFeed};
use crate::declared::{ColumnSpec, Declared, NULLS_OFFSET, TimeUnit};
use crate::record::Record;
use crate::schema::SqlType;
use crate::streams::sys;
use crate::units::Nanos;

/// A stream with a column of every type.
fn every_type() -> Declared {
    let column = ColumnSpec::new;
    let mut columns = [
        column("id", SqlType::BigInt),
        column("ok", SqlType::Boolean),
        column("tiny", SqlType::TinyInt),
        column("small", SqlType::SmallIntUnsigned),
        column("wide", SqlType::BigIntUnsigned),
        column("ratio", SqlType::Double),
        column("amount", SqlType::Decimal(2)),
        column("price", SqlType::Price),
        column("ts", SqlType::Timestamp),
        column("wait", SqlType::Interval),
        column("country", SqlType::Char(2)),
        column("name", SqlType::Char(8)),
    ];
    columns[0].required = true;
    columns[6].digits = 5;
    let mut stream = Declared::new(3, "every_type", &columns).unwrap();
    (stream.key, stream.time, stream.unit) = (vec![0], Some(8), TimeUnit::Millis);
    stream
}

/// What lines come to: `name=value` of every known column, record by record, then the rejections.
fn read(stream: &Declared, format: Format, lines: &str) -> Vec<String> {
    let mut feed = TextFeed::new(&TextConfig::new(9, stream, format));
    let mut found = Vec::new();
    let mut sink = |record: &Record| {
        if record.header.stream == stream.schema.stream {
            found.push(columns(stream, record));
        }
    };
    feed.bytes(Nanos(1), lines.as_bytes(), &mut sink);
    feed.end(Nanos(1), &mut sink);
    found.extend(feed.rejections().iter().map(ToString::to_string));
    found
}

fn columns(stream: &Declared, record: &Record) -> String {
    let bytes = record.as_bytes();
    let word = |at: usize, len: usize| {
        let mut word = [0; 8];
        word[..len].copy_from_slice(&bytes[at..at + len]);
        i64::from_le_bytes(word)
    };
    let nulls = word(NULLS_OFFSET, 8);
    let mut out = format!("{}", record.header.seq.0);
    for (i, column) in stream.columns.iter().enumerate().filter(|(i, _)| nulls >> i & 1 == 0) {
        let field = &column.field;
        let value = match field.sql {
            SqlType::Char(n) => {
                let text = &bytes[field.offset..field.offset + usize::from(n)];
                String::from_utf8_lossy(text).trim_end().to_owned()
            }
            SqlType::Double => f64::from_bits(word(field.offset, 8) as u64).to_string(),
            SqlType::TinyInt => (word(field.offset, 1) as i8).to_string(),
            SqlType::BigIntUnsigned => (word(field.offset, 8) as u64).to_string(),
            sql => word(field.offset, sql.bytes()).to_string(),
        };
        out.push_str(&format!(" {}={value}", stream.columns[i].field.name));
    }
    out
}

#[test]
fn values_of_every_type_are_stored_as_written() {
    let stream = every_type();
    let lines = concat!(
        r#"{"id":-5,"ok":true,"tiny":-128,"small":65535,"wide":18446744073709551615,"#,
        r#""ratio":-0.5e1,"amount":123.4,"price":"0.000000001","ts":1700000000123.5,"wait":1.5,"#,
        r#""country":"DE","name":"a\u00e9\n"}"#,
        "\r\n\n",
        r#" { "ts" : "2026-11-23T17:36:52.25+01:00", "ID":1,"deep":{"a":[1,{"b":null}]},"#,
        r#""amount":null,"name":"" } "#,
    );
    let want = [
        "1 id=-5 ok=1 tiny=-128 small=65535 wide=18446744073709551615 ratio=-5 amount=12340 \
         price=1 ts=1700000000123500000 wait=1500000 country=DE name=aé\n",
        "3 id=1 ts=1795451812250000000 name=",
    ];
    assert_eq!(read(&stream, Format::Json, lines), want.map(|line| line.trim_end_matches('\n')));
    let lines = "\u{feff}id,skipped,\"name\",TS,amount\n\
                 1,x,\"a \"\"b\"\", c\",1700000000000,12.30\n\
                 2,,\"\",1700000000000,\n\
                 3,x,,2023-11-14 22:13:20,\"7\"\r\n";
    let want = [
        "2 id=1 amount=1230 ts=1700000000000000000 name=a \"b\", c",
        "3 id=2 ts=1700000000000000000 name=",
        "4 id=3 amount=700 ts=1700000000000000000",
    ];
    assert_eq!(read(&stream, Format::Csv, lines), want);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let stream = every_type();
    for (line, want) in [
        (r#"{"id":1,"ts":"#, "byte 14: this is not well formed"),
        (r#"{"id":1,"ts":1}x"#, "byte 16: this is not well formed"),
        (r#"["id"]"#, "byte 1: this is not well formed"),
        (r#"{"id":01,"ts":1}"#, "byte 9: this is not well formed"),
        (r#"{"id":1,"x":"\q","ts":1}"#, "byte 13: this is not well formed"),
        (r#"{"id":1,"x":[1,2}"#, "byte 17: this is not well formed"),
        (r#"{"id":true,"ts":1}"#, "byte 7: a value of another type than the column (`id`)"),
        (r#"{"id":[],"ts":1}"#, "byte 7: a value of another type than the column (`id`)"),
        (r#"{"id":1.5,"ts":1}"#, "byte 7: more decimals than the column has (`id`)"),
        (r#"{"id":1,"tiny":128}"#, "byte 16: beyond what the column holds (`tiny`)"),
        (r#"{"id":1,"small":-1}"#, "byte 17: beyond what the column holds (`small`)"),
        (r#"{"id":1,"amount":1000}"#, "byte 18: beyond what the column holds (`amount`)"),
        (r#"{"id":1,"amount":1.005}"#, "byte 18: more decimals than the column has (`amount`)"),
        (r#"{"id":1,"ratio":1e999}"#, "byte 17: beyond what the column holds (`ratio`)"),
        (r#"{"id":1,"ts":-1}"#, "byte 14: beyond what the column holds (`ts`)"),
        (r#"{"id":1,"ts":"2026-02-30"}"#, "byte 14: no date and time (`ts`)"),
        (r#"{"id":1,"country":"DEU"}"#, "byte 19: more bytes than the column has (`country`)"),
        (r#"{"id":1}"#, "byte 1: a value is missing (`ts`)"),
        (r#"{"ts":1,"id":null}"#, "byte 1: a value is missing (`id`)"),
    ] {
        assert_eq!(read(&stream, Format::Json, line), [format!("line 1, {want}")], "{line}");
    }
    let deep = format!("{{\"x\":{}1{}}}", "[".repeat(65), "]".repeat(65));
    assert_eq!(read(&stream, Format::Json, &deep), ["line 1, byte 70: nested more than 64 deep"]);
    let long = format!("{{\"x\":\"{}\"}}\n{{\"id\":1,\"ts\":1}}", "x".repeat(1 << 16));
    let want = ["2 id=1 ts=1000000", "line 1, byte 1: more than 65536 bytes"];
    assert_eq!(read(&stream, Format::Json, &long), want);
    let bad_header = "line 1, byte 1: the header names no column, or one twice";
    let every = "line 2, byte 1: the header names no column, or one twice";
    assert_eq!(read(&stream, Format::Csv, "a,b\n1,2\n"), [bad_header, every]);
    for (line, want) in [
        ("1,2,3", "byte 5: this is not well formed"),
        ("\"1,2", "byte 5: this is not well formed"),
        ("\"1\"2,2", "byte 3: this is not well formed"),
        ("1,x", "byte 3: a value of another type than the column (`ts`)"),
    ] {
        let lines = format!("id,ts\n{line}\n");
        assert_eq!(read(&stream, Format::Csv, &lines), [format!("line 2, {want}")], "{line}");
    }
}

#[test]
fn every_connection_is_a_session_that_counts_from_one() {
    let stream = every_type();
    let mut feed = TextFeed::new(&TextConfig::new(9, &stream, Format::Json));
    let mut found = Vec::new();
    let mut sink = |record: &Record| {
        let key = record.view::<sys::Session>().map(|session| session.key);
        found.push((record.header.stream.0, record.header.seq.0, key));
    };
    feed.begin();
    feed.bytes(Nanos(5), b"{\"id\":1,\"ts\":1}\n{\"id\":2,\"ts\":1}\n{\"id\"", &mut sink);
    feed.begin();
    assert!(!feed.has_ended());
    feed.bytes(Nanos(5), b"{\"id\":3,\"ts\":1}", &mut sink);
    feed.end(Nanos(6), &mut sink);
    feed.end(Nanos(6), &mut sink);
    assert!(feed.has_ended());
    let keys: Vec<u32> = found.iter().filter_map(|(.., key)| *key).collect();
    assert!(keys.len() == 2 && keys[0] != keys[1], "{keys:x?}");
    let found: Vec<(u16, u64)> = found.iter().map(|(stream, seq, _)| (*stream, *seq)).collect();
    let want = [(1, 1), (0x8003, 1), (0x8003, 2), (1, 1), (0x8003, 1), (4, 2)];
    assert_eq!(found, want);
    let counters = feed.counters();
    assert_eq!((counters.cut_lines, counters.restarts, counters.messages), (1, 1, 3));
    // The empty connection of a probe is no session.
    let before = feed.counters().records;
    feed.begin();
    feed.end(Nanos(7), &mut |_: &Record| {});
    assert_eq!(feed.counters().records, before);
}

/// Texts that are JSON, or nearly.
fn nearly_json() -> impl Strategy<Value = String> {
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        " ",
        "\"id\"",
        "\"x\"",
        "1",
        "-0",
        "01",
        "1.5e-3",
        "1.",
        "true",
        "null",
        "\"\\u00e9\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "\"é\"",
        "\"\\x\"",
        "\"",
        "\\",
        "{\"x\":1}",
        "[[],{}]",
        ",\"x\":[1,2]",
        "\t",
        "\"a\\\\\"",
        "1e5",
        "-",
    ];
    let loose = prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..12);
    let loose = loose.prop_map(|parts| parts.concat());
    let leaf = prop::sample::select(vec!["1", "-2.5", "\"é\\n\"", "true", "null", "\"\"", "1e3"]);
    let value = leaf.prop_map(str::to_owned).prop_recursive(4, 16, 3, |inner| {
        let list = prop::collection::vec(inner, 0..3);
        prop_oneof![
            list.clone().prop_map(|values| format!("[{}]", values.join(", "))),
            list.prop_map(|values| {
                let members = values.iter().map(|value| format!("\"k\\u0061\" : {value}"));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    });
    let sound = prop::collection::vec(value, 0..4).prop_map(|values| {
        let members = values.iter().map(|value| format!("\"x\":{value}"));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    });
    let broken =
        (sound.clone(), any::<prop::sample::Index>(), prop::sample::select(pieces.to_vec()))
            .prop_map(|(mut text, at, piece)| {
                let at = at.index(text.len() + 1);
                if text.is_char_boundary(at) {
                    text.insert_str(at, piece);
                }
                text
            });
    prop_oneof![1 => loose, 2 => sound, 3 => broken]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn json_is_what_another_parser_says(text in nearly_json()) {
        prop_assume!(!text.contains('\n') && !text.trim().is_empty());
        let stream = Declared::new(1, "s", &[ColumnSpec::new("never", SqlType::BigInt)]).unwrap();
        let mut feed = TextFeed::new(&TextConfig::new(0, &stream, Format::Json));
        feed.datagram(Nanos(0), text.as_bytes(), &mut |_: &Record| {});
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        let is_object = theirs.is_ok_and(|value| value.is_object());
        prop_assert_eq!(feed.counters().bad_syntax == 0, is_object, "{}", text);
    }

    #[test]
    fn decimals_are_what_arithmetic_says(units in -99_999i64..100_000, zeros in 0usize..4) {
        let stream = every_type();
        let sign = if units < 0 { "-" } else { "" };
        let (whole, cents) = (units.abs() / 100, units.abs() % 100);
        let text = format!("{sign}{whole}.{cents:02}{}", "0".repeat(zeros));
        let line = format!("{{\"id\":1,\"ts\":1,\"amount\":{text},\"ratio\":{text}}}");
        let ratio: f64 = text.parse().unwrap();
        let want = format!("1 id=1 ratio={ratio} amount={units} ts=1000000");
        prop_assert_eq!(read(&stream, Format::Json, &line), [want]);
    }
}
