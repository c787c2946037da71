//! What cannot be done is refused with a reason that names the place, and an exit code that says
//! of which sort it is; what was there before stays.

use std::fs;
use std::path::Path;

use super::support::{Ended, Process, Side, corelane, feed, free_group, generate, must, run, text};

const BAD_DATA: i32 = 65;
const IO: i32 = 74;
const CONFIG: i32 = 78;

fn assert_refused(ended: &Ended, code: i32, says: &[&str]) {
    assert_eq!(ended.status.code(), Some(code), "{ended:?}");
    for what in says {
        assert!(ended.stderr.contains(what), "no {what:?} in: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
}

#[test]
fn a_bad_configuration_is_shown_line_by_line() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [
        ("[engine]\ntopolgy = \"fused\"\n", ":2:1", "did you mean `topology`?"),
        ("[[feed]]\nprotocol = \"itch5\"\n", ":2:12", "did you mean `itch50`?"),
        ("[[feed]]\nprotocol = \"itch50\"\nlines = [\"here\"]\n", ":3:9", "address with a port"),
        ("[[strategy]]\ntype = \"layerin\"\n", ":2:8", "did you mean `layering`?"),
        ("[[strategy]]\ntype = \"layering\"\nlayers_min = 99\n", ":3:14", "layers_min"),
        ("[[sink]]\ntype = \"tcp\"\n", ":1:1", "address"),
        ("name = \n", ":1:", "TOML"),
    ];
    for (mistake, place, says) in cases {
        let path = dir.path().join("bad.toml");
        fs::write(&path, mistake).unwrap();
        let place = format!("{}{place}", path.display());
        for command in [&["run"][..], &["check"], &["replay", "--pcap", "none.pcap"]] {
            let ended = run(dir.path(), &[command, &[text(&path)]].concat());
            assert_refused(&ended, CONFIG, &[&place, says]);
        }
    }
    let ended = run(dir.path(), &["run", "/nonexistent.toml"]);
    assert_refused(&ended, IO, &["cannot read config /nonexistent.toml", "No such file"]);
}

#[test]
fn a_run_that_could_receive_nothing_is_refused() {
    let capture_only = "[[feed]]\nname = \"feed\"\nprotocol = \"itch50\"\n";
    let side = Side::new("", capture_only, "");
    let ended = run(side.path(), &["run", text(&side.config)]);
    assert_refused(&ended, CONFIG, &["nothing to receive"]);
    assert!(!side.journal().exists());

    let nowhere = feed("itch50", &[free_group()]).replace("127.0.0.1", "nonexistent0");
    let side = Side::new("", &nowhere, "");
    let ended = run(side.path(), &["run", text(&side.config)]);
    assert_refused(&ended, CONFIG, &["nonexistent0"]);

    let foreign = feed("itch50", &["8.8.8.8:9".parse().unwrap()]);
    let side = Side::new("", &foreign, "");
    let ended = run(side.path(), &["run", text(&side.config)]);
    assert_refused(&ended, IO, &["8.8.8.8:9", "Cannot assign requested address"]);
}

/// A replay whose capture was mistyped used to move the journal of the run before out of the way.
#[test]
fn a_capture_that_cannot_be_read_leaves_the_earlier_journal() {
    let side = Side::new("", &feed("itch50", &[free_group()]), "");
    let good = generate(side.path(), "a.pcap", free_group(), &[]);
    side.replay(&good, "max");
    let actions = side.actions();
    let cases: [(&str, &[u8], i32, &str); 3] = [
        ("text", b"#!/bin/sh\necho this is no capture\n", BAD_DATA, "neither pcap nor pcapng"),
        ("zip", b"\x1f\x8b\x08\x00", BAD_DATA, "capture"),
        ("none", b"", IO, "No such file"),
    ];
    for (name, bytes, code, says) in cases {
        let path = side.path().join(name);
        if name != "none" {
            fs::write(&path, bytes).unwrap();
        }
        let ended = run(side.path(), &["replay", text(&side.config), "--pcap", text(&path)]);
        assert_refused(&ended, code, &[text(&path), says]);
        assert!(!ended.stderr.contains("earlier journal"), "{}", ended.stderr);
        side.assert_journal_closed();
        assert!(side.actions() == actions);
    }
}

/// What came before the damage is decided, journalled, sent and reported, and the code tells.
#[test]
fn a_damaged_capture_ends_the_run_early() {
    let group = free_group();
    let dir = tempfile::tempdir().unwrap();
    let whole = generate(dir.path(), "a.pcap", group, &[]);
    let bytes = fs::read(&whole).unwrap();
    let damaged = dir.path().join("damaged.pcap");
    // A length that cannot be, in the header of the record after 2,000 whole ones.
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let at = (0..2_000).fold(24, |at, _| at + 16 + word(at + 8) as usize);
    let mut hurt = bytes.clone();
    hurt[at + 8..at + 16].fill(0xff);
    fs::write(&damaged, hurt).unwrap();
    let zipped = dir.path().join("cut.itch.gz");
    let itch = generate(dir.path(), "a.itch.gz", group, &[]);
    let itch = fs::read(itch).unwrap();
    fs::write(&zipped, &itch[..itch.len() / 2]).unwrap();

    let reference = Side::new("", &feed("itch50", &[group]), "");
    reference.replay(&whole, "max");
    let expected = reference.actions();
    for engine in ["", "topology = \"pipelined\""] {
        for capture in [&damaged, &zipped] {
            let side = Side::new(engine, &feed("itch50", &[group]), "");
            let ended = run(side.path(), &["replay", text(&side.config), "--pcap", text(capture)]);
            assert_refused(&ended, BAD_DATA, &["the run ended early", text(capture)]);
            assert!(ended.stdout.contains("a failure"), "{}", ended.stdout);
            side.assert_journal_closed();
            assert!(!side.actions().is_empty());
            if capture == &damaged {
                assert!(expected.starts_with(&side.actions()));
                assert_eq!(side.report()["reactors"][0]["counters"]["frames"], 2_000);
            }
        }
    }
}

#[test]
fn what_cannot_be_written_to_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let group = free_group();
    let capture = generate(dir.path(), "a.pcap", group, &[]);
    let wrong = |key: &str, from: &Path, to: &str| {
        let side = Side::new("", &feed("itch50", &[group]), "");
        let config = fs::read_to_string(&side.config).unwrap();
        let from = side.path().join(from);
        let (from, to) = (format!("{key} = \"{}\"", text(&from)), format!("{key} = \"{to}\""));
        assert!(config.contains(&from));
        fs::write(&side.config, config.replace(&from, &to)).unwrap();
        run(side.path(), &["replay", text(&side.config), "--pcap", text(&capture)])
    };
    let ended = wrong("dir", Path::new("journal"), "/dev/null/journal");
    assert_refused(&ended, IO, &["cannot make /dev/null/journal:", "Not a directory"]);
    let ended = wrong("path", Path::new("actions.jsonl"), "/nonexistent/actions.jsonl");
    assert_refused(&ended, IO, &["sink file", "/nonexistent/actions.jsonl"]);
    let ended = wrong("json", Path::new("report.json"), "/nonexistent/report.json");
    assert_refused(&ended, IO, &["report /nonexistent/report.json"]);

    let side = Side::new("", &feed("itch50", &[group]), "");
    let ready = ["--ready-file", "/nonexistent/ready"];
    let ended = run(side.path(), &[&["run", text(&side.config)], &ready[..]].concat());
    assert_refused(&ended, IO, &["ready file /nonexistent/ready"]);
    side.assert_journal_closed();
}

/// On a disk of its own, where root may have one: no action goes out whose cause is not journalled.
#[test]
fn a_full_disk_ends_the_run_and_nothing_is_lost_silently() {
    let dir = tempfile::tempdir().unwrap();
    let group = free_group();
    let capture = generate(dir.path(), "a.pcap", group, &["--messages", "80000"]);
    for (engine, kib) in [("", 1_500), ("topology = \"pipelined\"\nshards = 2", 4_500)] {
        let side = Side::new(engine, &feed("itch50", &[group]), "");
        fs::create_dir(side.journal()).unwrap();
        let script = format!(
            "mount -t tmpfs -o size={kib}k disk {journal} || exit 200
             {corelane} replay {config} --pcap {capture}; code=$?
             {corelane} journal inspect --json {journal}/run > {inspected} || exit 201
             exit $code",
            corelane = env!("CARGO_BIN_EXE_corelane"),
            journal = text(&side.journal()),
            config = text(&side.config),
            capture = text(&capture),
            inspected = text(&side.path().join("inspected.json")),
        );
        let config = fs::read_to_string(&side.config).unwrap();
        let here = format!("dir = \"{}", text(&side.journal()));
        fs::write(&side.config, config.replace(&here, &format!("{here}/run"))).unwrap();
        let mut unshare = std::process::Command::new("unshare");
        // A user namespace too where this is not root already.
        unshare.args(["--mount", "--map-root-user", "sh", "-c", &script]);
        let ended = Process::spawn(side.path(), unshare).wait();
        if ended.status.code() == Some(200) || ended.stderr.contains("unshare failed") {
            println!("skipped: no disk of its own: {}", ended.stderr);
            return;
        }
        assert_refused(&ended, IO, &["the journal failed", "No space left on device"]);
        assert!(ended.stdout.contains("a failure"), "{}", ended.stdout);
        let inspected = fs::read_to_string(side.path().join("inspected.json")).unwrap();
        let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
        let journalled = inspected.as_array().unwrap().iter();
        let journalled: u64 =
            journalled.filter_map(|shard| shard["kinds"]["action"].as_u64()).sum();
        assert!(journalled > 10, "it failed on the way: {inspected:#}");
        assert!(side.actions().lines().count() as u64 <= journalled, "{inspected:#}");
    }
}

#[test]
fn a_file_sink_on_a_full_disk_counts_what_it_drops() {
    let dir = tempfile::tempdir().unwrap();
    let group = free_group();
    let capture = generate(dir.path(), "a.pcap", group, &[]);
    let full = "[[sink]]\nname = \"full\"\ntype = \"file\"\npath = \"/dev/full\"\n";
    let side = Side::new("", &feed("itch50", &[group]), full);
    let args = ["replay", text(&side.config), "--pcap", text(&capture)];
    let ended = Process::spawn(side.path(), corelane(args)).wait();
    assert!(ended.stderr.contains("sink full (/dev/full)"), "{ended:?}");
    let report = side.report();
    let sinks = report["sinks"].as_array().unwrap();
    let find = |name: &str| sinks.iter().find(|sink| sink["name"] == name).unwrap();
    let taken = find("full")["taken"].as_u64().unwrap();
    assert!(taken > 100);
    assert_eq!(find("full")["dropped"], taken);
    assert_eq!(report["totals"]["sink_drops"], taken);
    // The other sink is not held up.
    assert_eq!(find("file")["sent"], taken);
    let sorted = must(side.path(), &["actions", "sort", text(&side.actions_file())]);
    assert_eq!(sorted.lines().count() as u64, taken);
}
