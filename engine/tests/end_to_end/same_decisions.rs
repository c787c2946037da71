//! The same capture decides the same, however it comes: replayed at any speed, or received live by
//! either backend and in either topology.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::support::{Side, data, feed, free_group, generate, live, text};

/// Two of the ways to lay out a run with one shard: what they write is the same byte by byte.
const ONE_SHARD: [&str; 2] = ["topology = \"fused\"", "topology = \"pipelined\""];
const TWO_SHARDS: &str = "topology = \"pipelined\"\nshards = 2";
const BACKENDS: [&str; 2] = ["uring", "socket"];

/// A capture, and how it gets to a group.
struct Capture {
    path: PathBuf,
    group: SocketAddr,
    protocol: &'static str,
    /// It says itself, or can be made to say, that its session is over.
    ends: bool,
}

impl Capture {
    fn feed(&self) -> String {
        feed(self.protocol, &[self.group])
    }

    /// Publishes it to a side that gets it live; false if the backend is refused.
    fn live(&self, side: &Side) -> bool {
        let to = self.group.to_string();
        let publish = ["--pcap", text(&self.path), "--to", &to];
        if self.ends {
            live(side, &[&publish[..], &["--end"]].concat(), &["--until-end"])
        } else {
            live(side, &publish, &["--idle-exit", "700ms"])
        }
    }
}

/// Replays a capture in every topology and receives it in `lives` of them; all must agree.
fn decide_everywhere(capture: &Capture, actions_min: usize, lives: &[(&str, &str)]) {
    let reference = Side::new(ONE_SHARD[0], &capture.feed(), "");
    reference.replay(&capture.path, "max");
    reference.assert_journal_closed();
    let (expected, expected_sorted) = (reference.actions(), reference.sorted());
    let count = expected.lines().count();
    assert!(count >= actions_min, "{count} actions are too few to tell anything");

    for (engine, speed) in [(ONE_SHARD[1], "max"), (ONE_SHARD[0], "20000"), (ONE_SHARD[1], "20000")]
    {
        let side = Side::new(engine, &capture.feed(), "");
        side.replay(&capture.path, speed);
        assert!(side.actions() == expected, "replayed, {engine}, {speed}");
        side.assert_same_journal(&reference);
    }
    let narrow = Side::new(&format!("{TWO_SHARDS}\nring_slots = 64"), &capture.feed(), "");
    narrow.replay(&capture.path, "max");
    assert!(narrow.actions() == expected_sorted, "rings that are full most of the time");
    let sharded = Side::new(TWO_SHARDS, &capture.feed(), "");
    sharded.replay(&capture.path, "max");
    sharded.assert_same_journal(&narrow);
    assert!(sharded.sorted() == expected_sorted, "replayed by two shards");
    assert!(sharded.actions() == expected_sorted, "several shards write in the order of causes");

    for (engine, backend) in lives {
        let side = Side::new(&format!("{engine}\nbackend = \"{backend}\""), &capture.feed(), "");
        if !capture.live(&side) {
            continue;
        }
        side.assert_journal_closed();
        if *engine == TWO_SHARDS {
            assert!(side.sorted() == expected_sorted, "live, {engine}, {backend}");
            side.assert_same_journal(&sharded);
        } else {
            assert!(side.actions() == expected, "live, {engine}, {backend}");
            side.assert_same_journal(&reference);
        }
    }
}

fn every_way() -> Vec<(&'static str, &'static str)> {
    let engines = ONE_SHARD.into_iter().chain([TWO_SHARDS]);
    engines.flat_map(|engine| BACKENDS.map(|backend| (engine, backend))).collect()
}

#[test]
fn a_generated_session() {
    let dir = tempfile::tempdir().unwrap();
    let group = free_group();
    let path = generate(dir.path(), "a.pcap", group, &[]);
    let capture = Capture { path, group, protocol: "itch50", ends: true };
    decide_everywhere(&capture, 100, &every_way());
}

#[test]
fn real_order_flow_as_itch() {
    let Some(path) = data("derived-itch-from-es-mbo/es_mbo_as_itch50.itch.gz") else { return };
    let capture = Capture { path, group: free_group(), protocol: "itch50", ends: true };
    decide_everywhere(&capture, 100, &every_way());
}

#[test]
fn short_itch_captures() {
    let names = [
        "nasdaq-itch50-snippet/12302019_SNIPPET.NASDAQ_ITCH50",
        "itch50-ritch-synthetic/ex20101224.TEST_ITCH_50.be16.gz",
    ];
    for path in names.into_iter().filter_map(data) {
        let capture = Capture { path, group: free_group(), protocol: "itch50", ends: true };
        decide_everywhere(&capture, 1, &[(ONE_SHARD[0], "uring"), (TWO_SHARDS, "socket")]);
    }
}

#[test]
fn iex_deep() {
    let Some(path) = data("iex-deep-20231002/iex_deep_20231002_5000pkts.pcap.gz") else { return };
    let capture = Capture { path, group: free_group(), protocol: "iex-deep10", ends: false };
    decide_everywhere(&capture, 0, &[(ONE_SHARD[0], "socket"), (TWO_SHARDS, "uring")]);
}

#[test]
fn original_speed_takes_the_original_time() {
    let dir = tempfile::tempdir().unwrap();
    let group = free_group();
    let plain = ["--episodes", "0", "--decoys", "0", "--stuffing", "0", "--halts", "0"];
    let short = ["--duration", "1200ms", "--messages", "20000"];
    let path = generate(dir.path(), "a.pcap", group, &[&plain[..], &short].concat());
    let feed = feed("itch50", &[group]);
    let max = Side::new(ONE_SHARD[0], &feed, "");
    max.replay(&path, "max");
    for (engine, speed, seconds) in [(ONE_SHARD[0], "original", 1.2), (ONE_SHARD[1], "2x", 0.6)] {
        let paced = Side::new(engine, &feed, "");
        let started = Instant::now();
        paced.replay(&path, speed);
        let took = started.elapsed().as_secs_f64();
        assert!(took >= seconds, "{speed} took {took} s");
        assert!(paced.actions() == max.actions(), "{speed}");
        paced.assert_same_journal(&max);
    }
}

/// Two pcaps as one, in the order of their times. The generator writes microsecond pcaps of whole
/// records, in which nothing but the records follows the header of 24 bytes.
fn merged(dir: &Path, a: &Path, b: &Path) -> PathBuf {
    let mut records = Vec::new();
    let mut header = Vec::new();
    for path in [a, b] {
        let bytes = fs::read(path).unwrap();
        header = bytes[..24].to_vec();
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let mut at = 24;
        while at < bytes.len() {
            let end = at + 16 + word(at + 8) as usize;
            records.push(((word(at), word(at + 4)), bytes[at..end].to_vec()));
            at = end;
        }
    }
    records.sort_by_key(|(time, _)| *time);
    let records = records.into_iter().flat_map(|(_, record)| record);
    let path = dir.join("merged.pcap");
    fs::write(&path, header.into_iter().chain(records).collect::<Vec<u8>>()).unwrap();
    path
}

#[test]
fn two_feeds_on_two_reactors() {
    let dir = tempfile::tempdir().unwrap();
    let groups = [free_group(), free_group()];
    let a = generate(dir.path(), "a.pcap", groups[0], &["--messages", "30000"]);
    let other = ["--messages", "30000", "--seed", "8", "--session", "OTHER"];
    let b = generate(dir.path(), "b.pcap", groups[1], &other);
    let both = merged(dir.path(), &a, &b);

    let feeds = |reactor: usize| {
        let second = feed("itch50", &groups[1..]).replace("\"feed\"", "\"second\"");
        format!("{}{second}reactor = {reactor}\n", feed("itch50", &groups[..1]))
    };
    let reference = Side::new(ONE_SHARD[0], &feeds(0), "");
    reference.replay(&both, "max");
    let expected = reference.sorted();
    assert!(expected.lines().count() > 100);
    for number in [0, 1] {
        let marker = format!("\"feed\":{number},");
        assert!(expected.lines().filter(|line| line.contains(&marker)).count() > 50);
    }

    let pipelined = format!("reactors = 2\n{TWO_SHARDS}");
    let fused = "reactors = 2\ntopology = \"fused\"".to_owned();
    for engine in [pipelined, fused] {
        let replayed = Side::new(&engine, &feeds(1), "");
        replayed.replay(&both, "max");
        assert!(replayed.sorted() == expected, "replayed, {engine}");
        for backend in BACKENDS {
            let engine = format!("{engine}\nbackend = \"{backend}\"");
            let side = Side::new(&engine, &feeds(1), "");
            let publish = ["--pcap", text(&both), "--end"];
            if live(&side, &publish, &["--until-end"]) {
                side.assert_journal_closed();
                assert!(side.sorted() == expected, "live, {engine}");
            }
        }
    }
}
