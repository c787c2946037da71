//! Disks that fill up, fail, or lose a file under the engine: it ends with a line that says what
//! failed and where, and exit code 74, and goes on once the cause is gone.

use std::fs::{self, OpenOptions};

use super::crashes::{RULES, journal_entries};
use super::soup::serve;
use super::support::{
    Ended, Process, Side, await_some, feed, free_group, generate, rules_section, run, soup_feed,
    text,
};

const IO: i32 = 74;
const BAD_DATA: i32 = 65;
/// Messages of a stream come at this rate: it leaves time to do something to the disk.
const PACE: [&str; 2] = ["--rate", "25000"];

/// Runs a shell script that may mount; `None` where that is not allowed.
fn with_mounts(side: &Side, script: &str) -> Option<Ended> {
    let mut unshare = std::process::Command::new("unshare");
    // A user namespace too where this is not root already.
    unshare.args(["--mount", "--map-root-user", "sh", "-c", script]);
    let ended = Process::spawn(side.path(), unshare).wait();
    if ended.status.code() == Some(200) || ended.stderr.contains("unshare failed") {
        println!("skipped: no disk of its own: {}", ended.stderr);
        return None;
    }
    Some(ended)
}

/// A side whose journal lies in the folder `run` of a folder of its own, to be mounted over.
fn side_on_a_disk(engine: &str, feeds: &str, more: &str) -> Side {
    let side = Side::new(engine, feeds, more);
    fs::create_dir(side.journal()).unwrap();
    let config = fs::read_to_string(&side.config).unwrap();
    let here = format!("dir = \"{}", text(&side.journal()));
    let config = config.replace(&here, &format!("{here}/run"));
    // Segments that are small beside the disk.
    fs::write(&side.config, config.replace("1MiB", "64KiB")).unwrap();
    side
}

#[test]
fn a_run_whose_disk_was_full_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let group = free_group();
    let capture = generate(dir.path(), "a.pcap", group, &[]);
    let rules = rules_section(dir.path(), RULES);
    let reference = Side::new("", &feed("itch50", &[group]), &rules);
    reference.replay(&capture, "max");
    let (server, address) = serve(dir.path(), &capture, "127.0.0.1:0", &PACE).unwrap();
    let side = side_on_a_disk("backend = \"socket\"", &soup_feed(&address), &rules);
    let script = format!(
        "mount -t tmpfs -o size=1m disk {journal} || exit 200
         {corelane} run {config} --until-end; code=$?
         mount -o remount,size=64m {journal} || exit 200
         {corelane} run {config} --until-end || exit 201
         {corelane} journal diff {journal}/run {reference} || exit 202
         exit $code",
        corelane = env!("CARGO_BIN_EXE_corelane"),
        journal = text(&side.journal()),
        config = text(&side.config),
        reference = text(&reference.journal()),
    );
    let Some(ended) = with_mounts(&side, &script) else { return };
    assert_eq!(ended.status.code(), Some(IO), "{ended:?}");
    for says in ["the journal failed", "cannot allocate", ".segment: No space left on device"] {
        assert!(ended.stderr.contains(says), "no {says:?} in {}", ended.stderr);
    }
    assert!(side.report()["recovered"]["records"].as_u64().unwrap() > 1_000);
    server.done();
    assert!(side.sorted() == reference.sorted(), "every action, once");
}

/// The device ends before the file system on it does: what is written back meets an error. Every
/// record and action was decided and sent by then, but the run must not claim that all went well.
#[test]
fn a_device_that_fails_is_named_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let group = free_group();
    let capture = generate(dir.path(), "a.pcap", group, &[]);
    let reference = Side::new("", &feed("itch50", &[group]), "");
    reference.replay(&capture, "max");
    let side = side_on_a_disk("", &feed("itch50", &[group]), "");
    let script = format!(
        "truncate -s 32m {image} && mkfs.ext4 -q -m 0 -O ^has_journal {image} || exit 200
         loop=$(losetup -f --show {image}) || exit 200
         mount $loop {journal} || {{ losetup -d $loop; exit 200; }}
         mkdir {journal}/run; sync
         truncate -s 1m {image}; losetup -c $loop; losetup -d $loop
         {corelane} replay {config} --pcap {capture}",
        image = text(&side.path().join("image")),
        corelane = env!("CARGO_BIN_EXE_corelane"),
        journal = text(&side.journal()),
        config = text(&side.config),
        capture = text(&capture),
    );
    let Some(ended) = with_mounts(&side, &script) else { return };
    assert_eq!(ended.status.code(), Some(IO), "{ended:?}");
    for says in ["the journal failed", ".segment: Input/output error"] {
        assert!(ended.stderr.contains(says), "no {says:?} in {}", ended.stderr);
    }
    assert!(side.sorted() == reference.sorted(), "what was decided was sent");
}

/// A write beyond the end of a mapped file kills the process where nobody handles that.
#[test]
fn a_segment_that_is_cut_under_its_writer_ends_the_run_with_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let capture = generate(dir.path(), "a.pcap", free_group(), &[]);
    for engine in ["backend = \"socket\"", "topology = \"pipelined\"\nbackend = \"socket\""] {
        let (_server, address) = serve(dir.path(), &capture, "127.0.0.1:0", &PACE).unwrap();
        let side = Side::new(engine, &soup_feed(&address), "");
        let killed = side.start(&["--until-end"]);
        await_some("entries", || (journal_entries(&side) > 1_000).then_some(()));
        let segments = fs::read_dir(side.journal().join("shard-000")).unwrap();
        for path in segments.map(|entry| entry.unwrap().path()) {
            if path.extension().is_some_and(|extension| extension == "segment") {
                OpenOptions::new().write(true).open(path).unwrap().set_len(4_096).unwrap();
            }
        }
        let ended = killed.wait();
        assert_eq!(ended.status.code(), Some(IO), "{ended:?}");
        let says = ended.stderr.lines().rev().nth(1).unwrap();
        assert!(says.starts_with("corelane: cannot write to "), "{}", ended.stderr);
        assert!(says.contains("/shard-000/") && says.contains("cut short"), "{}", ended.stderr);
        // What is left is a journal that ends there, or, if a later segment was begun, a damaged
        // one.
        let ended = run(side.path(), &["run", text(&side.config), "--duration", "100ms"]);
        let is_known = match ended.status.code() {
            Some(0) => ended.stderr.contains("goes on from an earlier run"),
            code => code == Some(BAD_DATA) && ended.stderr.contains("damaged before its end"),
        };
        assert!(is_known, "{ended:?}");
    }
}
