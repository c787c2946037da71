//! How a run ends when it is told to: at once, with all that was received decided, journalled and
//! sent, and with a report.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::support::{Process, Side, await_some, corelane, feed, free_group, generate, must, text};

/// Publishes in the background.
fn publish(side: &Side, capture: &Path, to: SocketAddr, pace: &[&str]) -> Process {
    let to = to.to_string();
    let args = ["publish", "--pcap", text(capture), "--to", &to];
    Process::spawn(side.path(), corelane(args.iter().chain(pace)))
}

/// Everything that a run got is in its journal, and every action of the journal was sent.
fn assert_drained(side: &Side) {
    side.assert_journal_closed();
    let report = side.report();
    let said = must(side.path(), &["journal", "inspect", "--json", text(&side.journal())]);
    let shards: serde_json::Value = serde_json::from_str(&said).unwrap();
    let shards = shards.as_array().unwrap();
    let sum = |kind: &str| -> u64 {
        shards.iter().filter_map(|shard| shard["kinds"][kind].as_u64()).sum()
    };
    let decided: u64 = sum("action");
    let records: u64 = sum("input");
    let consumed = report["shards"].as_array().unwrap();
    let consumed: u64 = consumed.iter().filter_map(|shard| shard["records"].as_u64()).sum();
    assert_eq!(records, consumed, "{said}");
    assert_eq!(decided, report["totals"]["actions"].as_u64().unwrap(), "{said}");
    assert_eq!(decided, side.actions().lines().count() as u64);
    assert_eq!(report["totals"]["ring_drops"], 0);
    assert_eq!(report["totals"]["sink_drops"], 0);
    for ring in report["rings"].as_array().unwrap() {
        assert_eq!(ring["occupancy"], 0, "{ring}");
    }
}

#[test]
fn a_signal_ends_a_run_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    let group = free_group();
    let capture = generate(dir.path(), "a.pcap", group, &[]);
    let feed = feed("itch50", &[group]);
    let pipelined = "topology = \"pipelined\"\nshards = 2\nbackend = \"socket\"";
    for (signal, engine) in [(Signal::TERM, ""), (Signal::INT, ""), (Signal::TERM, pipelined)] {
        let side = Side::new(engine, &feed, "");
        let run = side.start(&[]);
        let publisher = publish(&side, &capture, group, &["--rate", "10000"]);
        await_some("first actions", || (side.actions().lines().count() > 5).then_some(()));
        run.signal(signal);
        let said = run.done();
        drop(publisher);
        assert!(said.contains("a signal"), "{said}");
        assert_drained(&side);
        let messages = side.report()["totals"]["messages"].as_u64().unwrap();
        assert!(messages > 100 && messages < 40_000, "{messages}: in the middle");
    }
}

/// A reactor looked whether to end only when it found nothing to receive: under a flood a run went
/// on for minutes after its signal.
#[test]
fn a_signal_ends_a_run_under_full_load() {
    let dir = tempfile::tempdir().unwrap();
    let group = free_group();
    let capture = generate(dir.path(), "a.pcap", group, &[]);
    let feed = feed("itch50", &[group]);
    for backend in ["auto", "socket"] {
        let side = Side::new(&format!("backend = \"{backend}\""), &feed, "");
        let run = side.start(&[]);
        let flood = ["--speed", "max", "--loop", "1000000", "--preload"];
        let floods = [(); 3].map(|()| publish(&side, &capture, group, &flood));
        await_some("first actions", || (!side.actions().is_empty()).then_some(()));
        let told = Instant::now();
        run.signal(Signal::TERM);
        let said = run.done();
        drop(floods);
        assert!(told.elapsed() < Duration::from_secs(20), "it took {:?}", told.elapsed());
        assert!(said.contains("a signal"), "{said}");
        side.assert_journal_closed();
    }
}

#[test]
fn a_signal_ends_a_replay_and_one_that_waits_for_its_first_packet() {
    let dir = tempfile::tempdir().unwrap();
    let group = free_group();
    let capture = generate(dir.path(), "a.pcap", group, &[]);
    let side = Side::new("", &feed("itch50", &[group]), "");
    let args = ["replay", text(&side.config), "--pcap", text(&capture), "--speed", "original"];
    let replay = Process::spawn(side.path(), corelane(args));
    await_some("a journal", || side.journal().join("shard-000").exists().then_some(()));
    replay.signal(Signal::INT);
    assert!(replay.done().contains("a signal"));
    side.assert_journal_closed();

    side.clear();
    let idle = side.start(&[]);
    idle.signal(Signal::TERM);
    assert!(idle.done().contains("a signal"));
    assert_drained(&side);
}

#[test]
fn time_and_silence_end_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let group = free_group();
    let capture = generate(dir.path(), "a.pcap", group, &[]);
    let side = Side::new("", &feed("itch50", &[group]), "");
    let run = side.start(&["--idle-exit", "300ms"]);
    publish(&side, &capture, group, &["--rate", "100000"]).done();
    assert!(run.done().contains("silence"));
    assert_drained(&side);

    side.clear();
    let ready = side.path().join("ready");
    let args = ["run", text(&side.config), "--duration", "200ms", "--ready-file", text(&ready)];
    assert!(must(side.path(), &args).contains("time"));
    assert!(ready.exists());
    side.assert_journal_closed();
}
