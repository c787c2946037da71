//! Engines that are killed in the middle and started again: what they decide in the end is what one
//! that was never disturbed decides.

use std::fs;
use std::path::Path;

use rustix::process::Signal;

use super::soup::serve;
use super::support::{Side, await_some, feed, free_group, generate, run, text};

/// Bytes that the journal of shard 0 has in use, as far as a reader sees.
fn journal_entries(side: &Side) -> u64 {
    let journal = side.journal();
    let said = run(side.path(), &["journal", "inspect", "--json", text(&journal)]);
    let summaries: serde_json::Value = serde_json::from_str(&said.stdout).unwrap_or_default();
    let shards = summaries.as_array().cloned().unwrap_or_default();
    shards.iter().filter_map(|shard| shard["entries"].as_u64()).sum()
}

/// Whether a soup feed's messages come at a pace that leaves time to kill.
const PACE: [&str; 2] = ["--rate", "30000"];

fn soup_feed(address: &str) -> String {
    format!(
        "[[feed]]\nname = \"feed\"\nprotocol = \"itch50\"\nconnect = \"{address}\"\n\
         username = \"user\"\n"
    )
}

fn killed_and_resumed(dir: &Path, capture: &Path, engine: &str, reference: &Side) {
    let (server, address) = serve(dir, capture, "127.0.0.1:0", &PACE).unwrap();
    let side = Side::new(engine, &soup_feed(&address), "");
    let mut seen = 0;
    for step in [3_000, 1, 9_000] {
        let run = side.start(&["--until-end"]);
        await_some("entries", || (journal_entries(&side) >= seen + step).then_some(()));
        run.signal(Signal::KILL);
        run.wait();
        fs::remove_file(side.path().join("ready")).unwrap();
        seen = journal_entries(&side);
    }
    let run = side.start(&["--until-end"]);
    run.done();
    server.done();
    let report = side.report();
    assert!(report["recovered"]["records"].as_u64() >= Some(13_000), "{:#}", report["recovered"]);
    side.assert_journal_closed();
    side.assert_same_journal(reference);
}

#[test]
fn an_engine_that_is_killed_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let group = free_group();
    let capture = generate(dir.path(), "a.pcap", group, &[]);
    let pipelined = "topology = \"pipelined\"\nshards = 3\nbackend = \"socket\"";
    for engine in ["backend = \"socket\"", pipelined] {
        let reference = Side::new(engine, &feed("itch50", &[group]), "");
        reference.replay(&capture, "max");
        killed_and_resumed(dir.path(), &capture, engine, &reference);
    }
}
