//! A disk that is full: the run ends rather than let an action leave that is not durable, and goes
//! on when there is room.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::crashes::{FUSED, PACE, RULES};
use super::soup::serve;
use super::support::{Process, Side, feed, free_group, generate, rules_section, soup_feed};

const IO: &str = "74";

/// Runs the engine with a disk of 3 MiB, then with one of 64 MiB: a memory filesystem that nobody
/// else sees, as mounting takes a namespace of its own.
const SCRIPT: &str = r#"
    mkdir -p "$DIR/durable" && mount -t tmpfs -o size=3m none "$DIR/durable" || exit 99
    "$CORELANE" run "$CONFIG" --until-end --duration 60s >first.out 2>first.err
    echo $? >first.code
    "$CORELANE" journal verify "$DIR/durable" >first.verify 2>&1
    "$CORELANE" journal inspect --entries 1000000 "$DIR/durable" >first.entries
    cp "$DIR/actions.jsonl" first.actions
    cp "$DIR/report.json" first.json
    mount -o remount,size=64m "$DIR/durable" || exit 98
    "$CORELANE" run "$CONFIG" --until-end --duration 60s >second.out 2>second.err
    echo $? >second.code
    "$CORELANE" journal verify "$DIR/durable" >second.verify 2>&1
"#;

/// A side whose disk is full after a while; none where nothing can be mounted.
fn fill_a_disk(side: &Side) -> Option<()> {
    let mut shell = Command::new("unshare");
    shell.args(["--user", "--map-root-user", "--mount", "sh", "-c", SCRIPT]);
    shell.env("DIR", side.path()).env("CONFIG", &side.config);
    shell.env("CORELANE", env!("CARGO_BIN_EXE_corelane")).current_dir(side.path());
    let ended = Process::spawn(side.path(), shell).wait();
    if !side.path().join("first.code").exists() {
        println!("skipped, nothing can be mounted here: {ended:?}");
        return None;
    }
    assert!(ended.status.success(), "{ended:?}");
    Some(())
}

#[test]
fn a_full_disk_ends_the_run_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let group = free_group();
    let capture = generate(dir.path(), "a.pcap", group, &[]);
    let rules = rules_section(dir.path(), RULES);
    let reference = Side::new(FUSED, &feed("itch50", &[group]), &rules);
    reference.replay(&capture, "max");

    // For as long as it takes: the first client may have been sent all when its disk is full.
    let pace = [PACE[0], PACE[1], "--clients", "0"];
    let (_server, address) = serve(dir.path(), &capture, "127.0.0.1:0", &pace).unwrap();
    let source = soup_feed(&address);
    let side = Side::new(FUSED, &source, &rules);
    side.survive("sync", "");
    if fill_a_disk(&side).is_none() {
        return;
    }
    let said = |name: &str| {
        let path = side.path().join(name);
        fs::read_to_string(Path::new(&path)).unwrap()
    };
    assert_eq!(said("first.code").trim(), IO, "{}", said("first.err"));
    assert!(said("first.err").contains("No space left on device"), "{}", said("first.err"));
    let report: serde_json::Value = serde_json::from_str(&said("first.json")).unwrap();
    let journal = &report["journals"][0];
    let seq = |name: &str| journal[name].as_u64().unwrap();
    assert!(0 < seq("last_durable_seq") && seq("last_durable_seq") < seq("last_seq"), "{journal}");
    // What left is on disk; what is on disk is whole.
    let durable = said("first.entries").matches("\"kind\":\"action\"").count();
    let left = said("first.actions").lines().count();
    assert!(0 < left && left <= durable, "{left} of {durable}");
    assert!(!said("first.verify").contains("damaged"), "{}", said("first.verify"));

    assert_eq!(said("second.code").trim(), "0", "{}", said("second.err"));
    assert!(said("second.out").contains("end of the sessions"), "{}", said("second.out"));
    assert!(said("second.verify").trim_end().ends_with(", closed"), "{}", said("second.verify"));
    assert!(side.sorted() == reference.sorted(), "nothing is lost and nothing comes twice");
}
