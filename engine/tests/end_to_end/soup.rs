//! SoupBinTCP from a server that dies in the middle and comes back: the session is resumed where it
//! broke off, and the decisions are those of the capture.

use std::path::Path;

use rustix::process::Signal;

use super::support::{
    Process, Side, assert_lossless, await_some, corelane, feed, free_group, generate, soup_feed,
    text,
};

/// Serves a capture at `address` (port 0 for any); where it listens.
pub(crate) fn serve(
    dir: &Path,
    capture: &Path,
    address: &str,
    pace: &[&str],
) -> Option<(Process, String)> {
    let args = ["publish", "--pcap", text(capture), "--soup", address];
    let mut process = Process::spawn(dir, corelane(args.iter().chain(pace)));
    let said = await_some("a server", || {
        let said = process.stderr();
        let ended = process.has_ended();
        (ended || said.contains("serving SoupBinTCP at") && said.ends_with('\n')).then_some(said)
    });
    let listens = said.lines().find_map(|line| line.strip_prefix("serving SoupBinTCP at "))?;
    Some((process, listens.to_owned()))
}

#[test]
fn a_server_that_dies_and_returns_is_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let group = free_group();
    let capture = generate(dir.path(), "a.pcap", group, &[]);
    let reference = Side::new("", &feed("itch50", &[group]), "");
    reference.replay(&capture, "max");
    let expected = reference.actions();
    assert!(expected.lines().count() > 100);

    let pipelined = "topology = \"pipelined\"\nbackend = \"socket\"";
    for engine in ["backend = \"uring\"", "backend = \"socket\"", pipelined] {
        let (server, address) =
            serve(dir.path(), &capture, "127.0.0.1:0", &["--rate", "20000"]).unwrap();
        let feed = soup_feed(&address);
        let side = Side::new(engine, &feed, "");
        let run = match side.try_start(&["--until-end"]) {
            Ok(run) => run,
            Err(ended) if ended.stderr.contains("backend uring is not to be had") => {
                println!("skipped, io_uring is refused here: {}", ended.stderr.trim());
                continue;
            }
            Err(ended) => panic!("the run does not start: {ended:?}"),
        };
        await_some("first actions", || (side.actions().lines().count() > 5).then_some(()));
        server.signal(Signal::KILL);
        server.wait();
        assert!(side.actions().lines().count() < expected.lines().count(), "in the middle");
        // The port may be asked for before the system has given it back.
        let (server, _) =
            await_some("the port", || serve(dir.path(), &capture, &address, &["--speed", "max"]));
        run.done();
        server.done();

        let report = side.report();
        assert_lossless(&report);
        let counters = &report["reactors"][0]["counters"];
        assert!(counters["connects"].as_u64() >= Some(2), "{counters:#}");
        assert_eq!(report["totals"]["messages"], 40_000);
        assert!(side.actions() == expected, "{engine}");
        side.assert_journal_closed();
        side.assert_same_journal(&reference);
    }
}

#[test]
fn a_server_that_comes_late_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let group = free_group();
    let capture = generate(dir.path(), "a.pcap", group, &[]);
    let reference = Side::new("", &feed("itch50", &[group]), "");
    reference.replay(&capture, "max");
    // Found, and given up again.
    let (server, address) =
        serve(dir.path(), &capture, "127.0.0.1:0", &["--rate", "20000"]).unwrap();
    drop(server);
    let feed = soup_feed(&address);
    let side = Side::new("", &feed, "");
    let run = side.start(&["--until-end"]);
    let (server, _) =
        await_some("the port", || serve(dir.path(), &capture, &address, &["--speed", "max"]));
    run.done();
    server.done();
    assert!(side.actions() == reference.actions());
    side.assert_same_journal(&reference);
}

/// The end of the session is all that comes then.
#[test]
fn a_run_that_has_had_every_message_ends_with_the_session() {
    let dir = tempfile::tempdir().unwrap();
    let size = ["--messages", "4000", "--symbols", "6", "--episodes", "1", "--stuffing", "0"];
    let capture = generate(dir.path(), "a.pcap", free_group(), &size);
    let pace = ["--speed", "max", "--clients", "0"];
    let (_server, address) = serve(dir.path(), &capture, "127.0.0.1:0", &pace).unwrap();
    for engine in ["backend = \"uring\"", "backend = \"socket\""] {
        let side = Side::new(engine, &soup_feed(&address), "");
        for records in [4_000, 0] {
            let run = match side.try_start(&["--until-end"]) {
                Ok(run) => run,
                Err(ended) if ended.stderr.contains("backend uring is not to be had") => break,
                Err(ended) => panic!("the run does not start: {ended:?}"),
            };
            run.done();
            assert_eq!(side.report()["totals"]["messages"], records, "{engine}");
            side.assert_journal_closed();
        }
    }
}
