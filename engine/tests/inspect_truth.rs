//! `corelane inspect` against the truth beside captures: real ones, whose truth shares no code with
//! us, and generated ones, whose generator keeps books of its own.

mod support;

use std::path::{Path, PathBuf};

use clap::Parser;
use corelane::capture_file::Capture;
use corelane::generate::GenerateArgs;
use corelane::inspect::{Options, inspect};
use serde_json::{Map, Value};
use support::real;

/// Keys of a truth that describe the file it was made from and how, not what is in it.
const DESCRIPTIVE: &[&str] = &["source", "file", "file_sha256", "sha256", "method"];

/// Keys that only a generator can know: what it was told, and what it planted.
const GENERATED: &[&str] = &[
    "source",
    "version",
    "file",
    "seed",
    "symbols",
    "midnight_ns",
    "unplaced",
    "layering",
    "quote_stuffing",
    "decoys",
    "halts",
];

/// The keys that a capture of IEX DEEP is compared by.
const DEEP_KEYS: &[&str] = &[
    "packets",
    "truncated_or_short_packets",
    "udp_payload_bytes",
    "heartbeats_zero_msg",
    "max_messages_in_packet",
    "protocol",
    "sessions",
    "session_restarts",
    "sequence_gaps",
    "n_sequence_gaps",
    "messages_missing",
    "packets_seq_below_expected",
    "stream_offset_breaks",
    "packets_with_bad_framing",
    "capture_first_ns",
    "capture_last_ns",
    "send_first_ns",
    "send_last_ns",
    "messages",
    "message_counts",
    "message_lengths",
    "first_message",
    "trades",
    "trade_volume",
    "trade_notional_e4",
    "trade_breaks",
    "plu_event_complete",
    "crossed_or_locked_at_event_complete",
    "trade_by_symbol",
    "final_price_level_books",
    "final_quotes",
];

/// The keys that a file of ITCH messages is compared by.
const ITCH_KEYS: &[&str] = &[
    "bytes",
    "messages",
    "message_counts",
    "bad_lengths",
    "truncated_tail",
    "ts_first_ns",
    "ts_last_ns",
    "ts_backwards",
    "unknown_ref_counts",
    "executed_shares_known",
    "executed_notional_e4",
    "executed_shares_unknown",
    "noncross_trade_shares",
    "cross_shares",
    "final_live_orders",
    "final_live_shares",
    "symbols_added",
    "executed_by_symbol",
    "final_bbo",
];

/// The keys that a generated capture is compared by.
const GENERATED_ITCH_KEYS: &[&str] = &[
    "messages",
    "datagrams",
    "message_counts",
    "ts_first_ns",
    "ts_last_ns",
    "ts_backwards",
    "unknown_ref_counts",
    "executed_shares_known",
    "executed_notional_e4",
    "executed_shares_unknown",
    "noncross_trade_shares",
    "cross_shares",
    "final_live_orders",
    "final_live_shares",
    "symbols_added",
    "executed_by_symbol",
    "final_bbo",
];

fn inspected(path: &Path) -> Value {
    inspect(Capture::open(path).unwrap(), &Options::default()).unwrap().to_json()
}

fn truth(path: &Path) -> Map<String, Value> {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Compares every key of a truth but the descriptive ones; a key that is neither is a failure, and
/// so is one that is missing.
fn compare(truth: &Map<String, Value>, found: &Value, keys: &[&str], descriptive: &[&str]) {
    for key in keys {
        assert!(truth.contains_key(*key), "the truth has no `{key}`");
    }
    for (key, expected) in truth {
        if descriptive.contains(&key.as_str()) {
            continue;
        }
        assert!(keys.contains(&key.as_str()), "the truth has a key that is not known: `{key}`");
        let found = found.get(key).unwrap_or_else(|| panic!("`{key}` is not reported"));
        match (expected, found) {
            // What differs of a map of symbols is said by its symbol.
            (Value::Object(expected), Value::Object(found)) => {
                for (name, expected) in expected {
                    assert_eq!(found.get(name), Some(expected), "{key}.{name}");
                }
                assert_eq!(found.len(), expected.len(), "{key} has more than the truth");
            }
            _ => assert_eq!(found, expected, "{key}"),
        }
    }
}

/// A capture of the real data and the truth beside it.
fn real_case(folder: &str, file: &str) -> Option<(PathBuf, Map<String, Value>)> {
    Some((real(&format!("{folder}/{file}"))?, truth(&real(&format!("{folder}/truth.json"))?)))
}

fn compare_itch(folder: &str, file: &str) -> Option<Value> {
    let (capture, truth) = real_case(folder, file)?;
    let found = inspected(&capture);
    compare(&truth, &found, ITCH_KEYS, DESCRIPTIVE);
    assert_eq!(found["message_protocol"], "itch50");
    Some(found)
}

#[test]
fn iex_deep() {
    let file = "iex_deep_20231002_5000pkts.pcap.gz";
    let Some((capture, truth)) = real_case("iex-deep-20231002", file) else { return };
    let found = inspected(&capture);
    compare(&truth, &found, DEEP_KEYS, DESCRIPTIVE);
    assert_eq!(found["final_price_level_books"].as_object().unwrap().len(), 207);
    assert_eq!(found["destinations"][0], "233.215.21.4:10378");
}

#[test]
fn nasdaq_snippet() {
    compare_itch("nasdaq-itch50-snippet", "12302019_SNIPPET.NASDAQ_ITCH50");
}

#[test]
fn futures_order_flow_as_itch() {
    let Some(found) = compare_itch("derived-itch-from-es-mbo", "es_mbo_as_itch50.itch.gz") else {
        return;
    };
    assert_eq!(found["final_live_orders"], 11_217);
    let book = &found["final_bbo"]["ESH4"];
    assert_eq!((&book["bid"][0], &book["bid"][1]), (&48_100_000.into(), &22.into()));
    assert_eq!((&book["ask"][0], &book["ask"][1]), (&48_102_500.into(), &28.into()));
}

#[test]
fn synthetic_itch() {
    compare_itch("itch50-ritch-synthetic", "ex20101224.TEST_ITCH_50.be16.gz");
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    generate: GenerateArgs,
}

#[test]
fn generated_captures_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.pcap", "b.pcap.gz", "c.pcap.zst", "d.itch", "e.itch.zst"] {
        let out = dir.path().join(name);
        let args = ["generate", "itch", "--out", out.to_str().unwrap(), "--messages", "60000"];
        let small = ["--symbols", "100", "--duration", "20s", "--stuffing", "1", "--episodes", "3"];
        Cli::try_parse_from(args.iter().chain(&small)).unwrap().generate.run().unwrap();
        let truth = truth(&dir.path().join(format!("{name}.truth.json")));
        let mut found = inspected(&out);
        let transport = if name.contains("pcap") { "moldudp64" } else { "binaryfile" };
        assert_eq!(found["transport"], transport);
        if transport == "binaryfile" {
            assert_eq!(found.get("datagrams"), None, "a file without packets has none");
            found["datagrams"] = 0.into();
        } else {
            assert_eq!(found["sessions"][0]["session"], "CORELANE01");
            assert_eq!(found["sessions"][0]["next_expected_seq"], 60_001);
            assert_eq!(found["sessions_ended"], 1);
        }
        compare(&truth, &found, GENERATED_ITCH_KEYS, GENERATED);
    }
}

#[test]
#[should_panic(expected = "the truth has a key that is not known: `new_figure`")]
fn a_key_that_is_not_known_fails() {
    let truth = serde_json::json!({ "new_figure": 1 });
    compare(truth.as_object().unwrap(), &Value::Null, &[], DESCRIPTIVE);
}
