//! Power cuts: the process dies, and what lay in memory is gone. A run begins from the snapshot on
//! disk, which is never newer than the journal there.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use corelane::journal::JournalReader;
use corelane::snapshot::list;
use rustix::process::Signal;

use super::crashes::{FUSED, PACE, RULES, acknowledging_sink, kill_when, receiver, sorted};
use super::soup::serve;
use super::support::{
    Process, Side, await_some, feed, free_group, generate, must, rules_section, soup_feed, text,
};

/// What decides, what it is to come to, and what a run over a stream needs.
pub(crate) struct Scene {
    dir: tempfile::TempDir,
    capture: PathBuf,
    rules: String,
    pub(crate) reference: Side,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let group = free_group();
        let capture = generate(dir.path(), "a.pcap", group, &[]);
        let rules = rules_section(dir.path(), RULES);
        let reference = Side::new(FUSED, &feed("itch50", &[group]), &rules);
        reference.replay(&capture, "max");
        Self { dir, capture, rules, reference }
    }

    /// A server of the stream, and a side that reads from it, small segments, `more` sinks.
    fn side(&self, journal: &str, more: &str) -> (Process, Side) {
        self.side_at(PACE[1], journal, more)
    }

    /// The same with so many messages a second.
    pub(crate) fn side_at(&self, rate: &str, journal: &str, more: &str) -> (Process, Side) {
        // For as long as it takes: on a slow machine all is sent before the engine dies.
        let pace = ["--rate", rate, "--clients", "0"];
        let (server, address) =
            serve(self.dir.path(), &self.capture, "127.0.0.1:0", &pace).unwrap();
        let feed = soup_feed(&address);
        let side = Side::new(FUSED, &feed, &(self.rules.clone() + more)).with_journal(journal);
        let config = fs::read_to_string(&side.config).unwrap();
        fs::write(&side.config, config.replace("\"1MiB\"", "\"64KiB\"")).unwrap();
        (server, side)
    }

    /// Starts a run, and ends it when all of the stream is in its journal.
    fn go_on_to_the_end(&self, side: &Side) {
        self.go_on_until(side, || true);
    }

    /// The same, not before something else is so, too.
    pub(crate) fn go_on_until(&self, side: &Side, is_so: impl Fn() -> bool) {
        let process = side.start(&[]);
        let all = last_entry(&self.reference.journal());
        let is_all = || last_entry(&side.whole_journal()) >= all && is_so();
        await_some("all", || is_all().then_some(()));
        process.signal(Signal::TERM);
        process.done();
    }
}

/// Numbers of the entries of the snapshots on disk, the newest first.
fn on_disk(side: &Side) -> Vec<u64> {
    let listed = list(&side.durable().join("shard-000")).unwrap_or_default();
    listed.into_iter().map(|(seq, _)| seq).collect()
}

/// The last entry in the folder of a run; 0 if there is none.
pub(crate) fn last_entry(run: &Path) -> u64 {
    let Ok(reader) = JournalReader::open(&run.join("shard-000")) else { return 0 };
    reader.map_while(Result::ok).last().map_or(0, |entry| entry.seq)
}

/// As a debugger, a snapshot of its machine or a crowd on its CPU stops it: longer than an executor
/// lets anything run by default.
#[test]
fn a_run_that_stands_still_now_and_then_goes_on() {
    const STOPS: u32 = 25;
    let scene = Scene::new();
    let (_server, side) = scene.side_at("10000", "", "");
    side.survive("sync", "hot_segments = 1\n");
    let mut process = side.start(&["--until-end"]);
    for _ in 0..STOPS {
        if process.has_ended() {
            break;
        }
        process.signal(Signal::STOP);
        std::thread::park_timeout(Duration::from_millis(120));
        process.signal(Signal::CONT);
        let before = last_entry(&side.durable());
        await_some("the next group", || {
            (process.has_ended() || last_entry(&side.durable()) > before).then_some(())
        });
    }
    process.done();
    assert!(side.sorted() == scene.reference.sorted(), "each action once");
    side.assert_journal_closed();
}

#[test]
fn after_a_power_cut_a_run_begins_from_the_snapshot_on_disk() {
    let scene = Scene::new();
    let (_receiver, desk) = receiver(scene.dir.path());
    let (_server, side) = scene.side("snapshot_every = 2000", &acknowledging_sink(&desk));
    side.survive("sync", "hot_segments = 1\n");
    kill_when(&side, side.spawn(&[]), || on_disk(&side).len() == 2);
    side.lose_memory();
    let (newest, durable) = (on_disk(&side)[0], last_entry(&side.durable()));
    assert!(newest > 4_000 && newest <= durable, "{newest} of {durable}");

    scene.go_on_to_the_end(&side);
    let report = side.report();
    assert_eq!(report["recovered"]["snapshots"][0], newest);
    let again = report["recovered"]["records"].as_u64().unwrap();
    assert!(again <= durable - newest, "{again} records again, {newest} of {durable}");
    assert_eq!(report["snapshots"][0]["failure"], serde_json::Value::Null);
    side.assert_journal_closed();
    side.assert_same_journal(&scene.reference);
    let expected = scene.reference.sorted();
    assert!(side.sorted() == expected, "the file has each action once");
    let received = scene.dir.path().join("received.jsonl");
    fs::rename(received, side.path().join("received.jsonl")).unwrap();
    assert!(sorted(&side, "received.jsonl") == expected, "the receiver has each action once");
    let said = must(side.path(), &["replay", "--journal", text(&side.durable())]);
    assert!(said.contains("same"), "{said}");
}

/// A disk that is a minute behind: what the shadow has saved waits for it.
#[test]
fn no_snapshot_is_newer_than_the_journal_on_disk() {
    let scene = Scene::new();
    let (_server, side) = scene.side("snapshot_every = 500", "");
    side.survive("interval", "interval = \"1min\"\n");
    kill_when(&side, side.spawn(&[]), || last_entry(&side.journal()) > 10_000);
    let durable = last_entry(&side.durable());
    assert!(on_disk(&side).iter().all(|seq| *seq <= durable), "{:?}, {durable}", on_disk(&side));
    // One that is not behind has them soon.
    let config = fs::read_to_string(&side.config).unwrap();
    fs::write(&side.config, config.replace("\"1min\"", "\"5ms\"")).unwrap();
    let process = side.start(&[]);
    await_some("a snapshot", || on_disk(&side).first().filter(|seq| **seq > 10_000).copied());
    process.signal(Signal::TERM);
    process.done();
    assert!(on_disk(&side)[0] <= last_entry(&side.durable()));
    side.assert_journal_closed();
}
