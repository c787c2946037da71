//! Every file of real data that the engine reads comes to the same actions three times: replayed,
//! received live, and decided again over the journal of that live run.
//!
//! The rules act often on whatever a protocol brings, so that there is something to compare.

use std::fs::File;
use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use serde_json::Value;

use super::support::{Side, await_some, data, feed, free_group, live, must, rules_section, text};

const ACTION: &str = "CREATE ACTION seen (what VARCHAR(8), symbol SYMBOL, n BIGINT, x PRICE);";
const QUOTES: &str = "
    CREATE RULE quotes ON book.bbo PARTITION BY symbol
      WHEN count(*) OVER (RANGE INTERVAL '1' SECOND PRECEDING) % 3 = 0
      THEN seen('quote', symbol, count(*) OVER (RANGE INTERVAL '1' SECOND PRECEDING), bid);";
const ITCH: &str = "
    CREATE RULE orders ON book.order PARTITION BY symbol
      WHEN count(*) OVER (ROWS UNBOUNDED PRECEDING) % 5 = 0
      THEN seen('order', symbol, sum(qty) OVER (ROWS 9 PRECEDING), price);
    CREATE RULE gone ON book.order PARTITION BY symbol
      MATCH EVERY a:(kind = 'A') -> d:(kind <> 'A' AND order_ref = a.order_ref)
      WITHIN INTERVAL '5' SECOND THEN seen('gone', d.symbol, a.qty, a.price);";
const IEX: &str = "
    CREATE RULE levels ON iex.price_level PARTITION BY symbol
      WHEN count(*) OVER (ROWS UNBOUNDED PRECEDING) % 5 = 0
      THEN seen('level', symbol, sum(qty) OVER (ROWS 9 PRECEDING), price);
    CREATE RULE emptied ON iex.price_level PARTITION BY symbol
      MATCH EVERY a:(qty > 0) -> d:(qty = 0 AND price = a.price AND side = a.side)
      WITHIN INTERVAL '60' SECOND THEN seen('emptied', d.symbol, a.qty, a.price);";
const FRAMES: &str = "
    CREATE STREAM frames (t VARCHAR(8), conn VARCHAR(32), ts TIMESTAMP(9))
      WITH (key = 'conn', time = 'ts', time_unit = 's');
    CREATE ACTION tenth (conn VARCHAR(32), n BIGINT);
    CREATE RULE tenth ON frames PARTITION BY conn
      WHEN count(*) OVER (ROWS UNBOUNDED PRECEDING) % 10 = 0
      THEN tenth(conn, count(*) OVER (RANGE INTERVAL '1' SECOND PRECEDING));";
const TRANSFERS: &str = "
    CREATE STREAM steps (sourceNodeId INT NOT NULL, targetNodeId INT NOT NULL,
        value DECIMAL(18,2), time TIMESTAMP(9) NOT NULL)
      WITH (key = 'targetNodeId', time = 'time', time_unit = 's');
    CREATE ACTION many (account BIGINT, n BIGINT, total DECIMAL(18,2));
    CREATE RULE many ON steps PARTITION BY targetNodeId
      WHEN count(*) OVER (RANGE INTERVAL '9' SECOND PRECEDING) % 10 = 0
      THEN many(targetNodeId, count(*) OVER (RANGE INTERVAL '9' SECOND PRECEDING),
                sum(value) OVER (RANGE INTERVAL '9' SECOND PRECEDING));";

/// The live run decided what the replay did, and its journal decides that again.
fn assert_same(name: &str, replayed: &Side, live: &Side, least: usize) {
    let expected = replayed.actions();
    let count = expected.lines().count();
    println!("{name}: {count} actions");
    assert!(count >= least, "{name}: {count} actions are too few to tell anything");
    assert!(live.actions() == expected, "{name}, live");
    live.assert_journal_closed();
    let journal = live.journal();
    let again = must(live.path(), &["replay", "--journal", text(&journal), "--json"]);
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!(again["differences"], Value::Array(Vec::new()), "{name}, its journal");
    let rules = again["rules"].as_object().unwrap();
    let same: u64 = rules.values().map(|rule| rule["same"].as_u64().unwrap()).sum();
    assert_eq!(same, count as u64, "{name}, its journal");
}

/// A capture of packets or messages, published to a group.
fn published(path: &Path, protocol: &str, text_of_rules: &[&str], backend: &str, least: usize) {
    let dir = tempfile::tempdir().unwrap();
    let group = free_group();
    let (feed, rules) =
        (feed(protocol, &[group]), rules_section(dir.path(), &text_of_rules.concat()));
    let replayed = Side::new("", &feed, &rules);
    replayed.replay(path, "max");
    let received = Side::new(&format!("backend = \"{backend}\""), &feed, &rules);
    let to = group.to_string();
    let publish = ["--pcap", text(path), "--to", &to];
    // Only MoldUDP64 can be made to say that its session is over.
    let is_here = if protocol == "itch50" {
        live(&received, &[&publish[..], &["--end"]].concat(), &["--until-end"])
    } else {
        live(&received, &publish, &["--idle-exit", "700ms"])
    };
    if is_here {
        assert_same(text(path), &replayed, &received, least);
    }
}

#[test]
fn itch_captures() {
    let captures = [
        ("nasdaq-itch50-snippet/12302019_SNIPPET.NASDAQ_ITCH50", "socket", 50),
        ("itch50-ritch-synthetic/ex20101224.TEST_ITCH_50.be16.gz", "uring", 1_000),
        ("derived-itch-from-es-mbo/es_mbo_as_itch50.itch.gz", "socket", 10_000),
    ];
    for (name, backend, least) in captures {
        if let Some(path) = data(name) {
            published(&path, "itch50", &[ACTION, QUOTES, ITCH], backend, least);
        }
    }
}

#[test]
fn iex_captures() {
    let Some(path) = data("iex-deep-20231002/iex_deep_20231002_5000pkts.pcap.gz") else { return };
    for backend in ["socket", "uring"] {
        published(&path, "iex-deep10", &[ACTION, QUOTES, IEX], backend, 1_000);
    }
}

fn unpacked(path: &Path) -> Vec<u8> {
    let file = File::open(path).unwrap();
    let mut bytes = Vec::new();
    match path.extension().and_then(|suffix| suffix.to_str()) {
        Some("gz") => flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap(),
        _ => zstd::stream::read::Decoder::new(file).unwrap().read_to_end(&mut bytes).unwrap(),
    };
    bytes
}

/// Lines of text, sent over a connection.
fn sent(path: &Path, feed: &str, text_of_rules: &str, backend: &str, least: usize) {
    let dir = tempfile::tempdir().unwrap();
    let rules = rules_section(dir.path(), text_of_rules);
    let replayed = Side::new("", feed, &rules);
    must(replayed.path(), &["replay", text(&replayed.config), "--input", text(path)]);
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let live_feed = format!("{feed}listen = \"{address}\"\n");
    let received = Side::new(&format!("backend = \"{backend}\""), &live_feed, &rules);
    let process = received.start(&["--until-end"]);
    let mut stream = await_some("a listener", || TcpStream::connect(address).ok());
    stream.write_all(&unpacked(path)).unwrap();
    drop(stream);
    process.done();
    assert_same(text(path), &replayed, &received, least);
}

fn lines_feed(format: &str, stream: &str) -> String {
    format!("[[feed]]\nname = \"feed\"\nprotocol = \"{format}\"\nstream = \"{stream}\"\n")
}

#[test]
fn lines_of_json() {
    let feed = lines_feed("json", "frames");
    for (name, backend) in [("COINBASE", "socket"), ("OKX", "auto")] {
        if let Some(path) = data(&format!("crypto-ws-checksums/{name}.jsonl.zst")) {
            sent(&path, &feed, FRAMES, backend, 20);
        }
    }
}

#[test]
fn lines_of_csv() {
    if let Some(path) = data("aml-amlsim/transactions.csv.gz") {
        sent(&path, &lines_feed("csv", "steps"), TRANSFERS, "socket", 500);
    }
}
