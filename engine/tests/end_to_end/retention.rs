//! Retiring segments while a run goes on: what a snapshot has not, or a sink is not rid of, stays.

use std::fs;
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use corelane::journal::{JournalReader, Kind};

use super::crashes::{acknowledging_sink, kill_when, receiver_at, sorted};
use super::power_cuts::{Scene, last_entry};
use super::support::{Side, must, run, text};

const BAD_DATA: i32 = 65;

/// Takes what comes, and says nothing about it.
struct Deaf {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Deaf {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let (mut streams, mut bytes) = (Vec::new(), [0; 1 << 16]);
            while !told.load(Ordering::Acquire) {
                if let Ok((stream, _)) = listener.accept() {
                    stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
                    streams.push(stream);
                }
                streams.retain_mut(|stream| match stream.read(&mut bytes) {
                    Ok(read) => read > 0,
                    Err(error) => {
                        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
                    }
                });
                thread::yield_now();
            }
        });
        Self { address, stop, thread }
    }

    /// Gives its address up.
    fn end(self) -> SocketAddr {
        self.stop.store(true, Ordering::Release);
        self.thread.join().unwrap();
        self.address
    }
}

/// The first entry in a shard's folder of a run; 1 if there is no journal.
fn first(run: &Path) -> u64 {
    JournalReader::open(&run.join("shard-000")).map_or(1, |reader| reader.next_seq())
}

/// The entry of the first action.
fn first_action(side: &Side) -> u64 {
    let reader = JournalReader::open(&side.journal().join("shard-000")).unwrap();
    let entries = reader.map(Result::unwrap);
    entries.filter(|entry| entry.kind == Kind::Action).map(|entry| entry.seq).next().unwrap()
}

fn assert_says_what_is_gone(side: &Side) {
    let journal = side.whole_journal();
    let gone = format!("those up to {} were retired", first(&journal) - 1);
    for command in ["verify", "inspect"] {
        let said = must(side.path(), &["journal", command, text(&journal)]);
        assert!(said.contains(&gone), "{said}");
    }
    let ended = run(side.path(), &["replay", "--journal", text(&journal)]);
    assert!(ended.stdout.contains("the first segments were retired"), "{ended:?}");
    let actions = side.actions();
    let id = |line: Option<&str>| line.unwrap().split('"').nth(3).unwrap().to_owned();
    let ended =
        run(side.path(), &["explain", &id(actions.lines().next()), "--journal", text(&journal)]);
    assert_eq!(ended.status.code(), Some(BAD_DATA), "{ended:?}");
    assert!(ended.stderr.contains("were retired"), "{ended:?}");
    let said =
        must(side.path(), &["explain", &id(actions.lines().last()), "--journal", text(&journal)]);
    assert!(said.contains("were retired: what the rule knew"), "{said}");
}

/// A receiver takes actions and does not acknowledge any; the engine dies, and another receiver
/// comes, which does.
#[test]
fn nothing_is_retired_that_a_sink_is_not_rid_of() {
    let scene = Scene::new();
    let deaf = Deaf::new();
    let desk = acknowledging_sink(&deaf.address.to_string());
    let journal = "snapshot_every = 1000\nretain_segments = 1";
    let (_server, side) = scene.side_at("8000", journal, &desk);
    let journal = side.journal();
    kill_when(&side, side.spawn(&[]), || last_entry(&journal) > 12_000);
    // The file has had them all the while, and there are snapshots.
    assert!(side.actions().lines().count() > 1_000);
    let first_action = first_action(&scene.reference);
    assert!(first(&journal) <= first_action, "{} of {first_action}", first(&journal));

    let (_receiver, _) = receiver_at(side.path(), &deaf.end().to_string());
    kill_when(&side, side.spawn(&[]), || first(&journal) > first_action);
    let expected = scene.reference.sorted();
    let received = side.path().join("received.jsonl");
    let lines = |path: &Path| fs::read_to_string(path).unwrap_or_default().lines().count();
    scene.go_on_until(&side, || {
        let all = expected.lines().count();
        lines(&received) >= all && lines(&side.actions_file()) >= all
    });
    assert!(sorted(&side, "received.jsonl") == expected, "the receiver has each action once");
    assert!(side.sorted() == expected, "the file has each action once");
    let report = side.report();
    let counters = &report["snapshots"][0]["counters"];
    assert!(counters["segments_retired"].as_u64().unwrap() > 0, "{counters}");
    assert!(counters["bytes_retired"].as_u64().unwrap() >= 1 << 16, "{counters}");
    assert!(counters["needed_from_entry"].as_u64().unwrap() >= first(&journal), "{counters}");
    side.assert_journal_closed();
    assert_says_what_is_gone(&side);
}

/// With a copy on disk it is that which would grow; memory has what is not retired yet, too.
#[test]
fn a_copy_on_disk_is_retired_and_gone_on_with_after_a_power_cut() {
    let scene = Scene::new();
    let journal = "snapshot_every = 1000\nretain_bytes = \"256KiB\"";
    let (_server, side) = scene.side_at("25000", journal, "");
    side.survive("sync", "hot_segments = 1\n");
    let kept = || {
        let files = fs::read_dir(side.durable().join("shard-000")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".segment")).count()
    };
    // Some forty segments in all, of which four and those in memory stay.
    scene.go_on_until(&side, || kept() < 16);
    assert!(first(&side.durable()) > 1);
    for _ in 0..2 {
        side.lose_memory();
        must(side.path(), &["run", text(&side.config), "--duration", "20ms"]);
        let recovered = &side.report()["recovered"];
        assert_eq!(recovered["case"], "closed");
        assert!(recovered["snapshots"][0].as_u64().is_some(), "{recovered}");
    }
    assert!(side.sorted() == scene.reference.sorted(), "each action once");
    side.assert_journal_closed();
    assert_says_what_is_gone(&side);
    // Snapshots are what is left to begin from.
    let snapshots = corelane::snapshot::list(&side.durable().join("shard-000")).unwrap();
    snapshots.iter().for_each(|(_, path)| fs::remove_file(path).unwrap());
    let ended = run(side.path(), &["run", text(&side.config), "--duration", "20ms"]);
    assert_eq!(ended.status.code(), Some(BAD_DATA), "{ended:?}");
    assert!(ended.stderr.contains("without its beginning"), "{ended:?}");
}
