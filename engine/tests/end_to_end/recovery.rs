//! Starting over what an earlier run left: what can be gone on from is, what cannot is refused with
//! what was found and what to do, and nothing that was there is changed.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::support::{Ended, Side, feed, free_group, generate, must, run, text};

pub(crate) const BAD_DATA: i32 = 65;
const CONFIG: i32 = 78;

/// A side whose run over a capture ended, and where its one segment lies.
pub(crate) fn ended_run(rules: &str) -> (Side, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let group = free_group();
    let size = ["--messages", "4000", "--symbols", "6", "--episodes", "1", "--stuffing", "0"];
    let capture = generate(dir.path(), "a.pcap", group, &size);
    let side = Side::new("", &feed("itch50", &[group]), rules);
    side.replay(&capture, "max");
    // As if it had been live.
    fs::remove_file(side.journal().join("replayed")).unwrap();
    let segment = side.journal().join("shard-000/0000000000.segment");
    assert!(segment.exists());
    (side, segment)
}

/// The same with a copy on disk.
fn ended_durable_run() -> Side {
    let dir = tempfile::tempdir().unwrap();
    let group = free_group();
    let size = ["--messages", "4000", "--symbols", "6", "--episodes", "1", "--stuffing", "0"];
    let capture = generate(dir.path(), "a.pcap", group, &size);
    let side = Side::new("", &feed("itch50", &[group]), "");
    side.survive("sync", "hot_segments = 1\nsegment = \"64KiB\"\n");
    let config = fs::read_to_string(&side.config).unwrap();
    fs::write(&side.config, config.replace("segment = \"1MiB\"\n", "")).unwrap();
    side.replay(&capture, "max");
    for dir in [side.journal(), side.durable()] {
        fs::remove_file(dir.join("replayed")).unwrap();
    }
    side
}

/// Starts live and ends after a moment.
pub(crate) fn go_on(side: &Side) -> Ended {
    run(side.path(), &["run", text(&side.config), "--duration", "20ms"])
}

pub(crate) fn assert_refused(side: &Side, code: i32, says: &[&str]) {
    let before = fs::read(side.journal().join("shard-000/0000000000.segment")).ok();
    let ended = go_on(side);
    assert_eq!(ended.status.code(), Some(code), "{ended:?}");
    for what in says {
        assert!(ended.stderr.contains(what), "no {what:?} in: {}", ended.stderr);
    }
    let after = fs::read(side.journal().join("shard-000/0000000000.segment")).ok();
    assert!(before == after, "nothing is changed");
}

pub(crate) fn assert_goes_on(side: &Side, case: &str) {
    let ended = go_on(side);
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(side.report()["recovered"]["case"], case);
    side.assert_journal_closed();
}

#[test]
fn a_closed_journal_is_gone_on_with_again_and_again() {
    let (side, _) = ended_run("");
    for _ in 0..3 {
        assert_goes_on(&side, "closed");
    }
    assert!(must(side.path(), &["replay", "--journal", text(&side.journal())]).contains("same"));
}

#[test]
fn a_live_run_does_not_go_on_from_a_replay() {
    let (side, _) = ended_run("");
    fs::write(side.journal().join("replayed"), "").unwrap();
    assert!(go_on(&side).status.success());
    assert!(side.report()["recovered"].is_null());
    // But from a live run, which came after it.
    assert_goes_on(&side, "closed");
}

#[test]
fn a_torn_end_is_cut_and_kept_aside() {
    let (side, segment) = ended_run("");
    let bytes = fs::read(&segment).unwrap();
    let used = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    OpenOptions::new().write(true).open(&segment).unwrap().set_len(used as u64 - 40).unwrap();
    assert_goes_on(&side, "torn");
    let names = fs::read_dir(segment.parent().unwrap()).unwrap();
    let kept = names.filter(|name| {
        name.as_ref().unwrap().file_name().to_str().unwrap().starts_with("torn-0000000000-")
    });
    assert_eq!(kept.count(), 1);
}

#[test]
fn damage_before_the_end_is_refused() {
    let (side, segment) = ended_run("");
    let file = OpenOptions::new().read(true).write(true).open(&segment).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 1000).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 1000).unwrap();
    assert_refused(&side, BAD_DATA, &["damaged before its end", "segment 0", "from a copy"]);
}

#[test]
fn a_layout_of_another_version_is_refused() {
    let (side, segment) = ended_run("");
    let file = OpenOptions::new().write(true).open(&segment).unwrap();
    file.write_all_at(&[99], 8).unwrap();
    assert_refused(&side, BAD_DATA, &["layout that this program does not know"]);
}

#[test]
fn a_missing_segment_is_refused() {
    let (side, segment) = ended_run("");
    assert_goes_on(&side, "closed");
    assert_goes_on(&side, "closed");
    fs::remove_file(segment.with_file_name("0000000001.segment")).unwrap();
    assert_refused(&side, BAD_DATA, &["a segment is missing", "segment 1"]);
}

#[test]
fn another_configuration_is_refused_and_fresh_begins_anew() {
    let (side, _) = ended_run("");
    let config = fs::read_to_string(&side.config).unwrap();
    let other = config.replacen("[[strategy]]\ntype = \"stuffing\"\n", "", 1);
    assert_ne!(config, other);
    fs::write(&side.config, &other).unwrap();
    assert_refused(&side, CONFIG, &["of another configuration", "strategy 3", "fresh"]);
    let fresh = other.replace("[journal]\n", "[journal]\nstart = \"fresh\"\n");
    fs::write(&side.config, fresh).unwrap();
    assert!(go_on(&side).status.success());
    let kept = fs::read_dir(side.path()).unwrap().filter(|entry| {
        entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with("journal.")
    });
    assert_eq!(kept.count(), 1, "the earlier journal is kept");
}

#[test]
fn a_journal_without_what_decided_is_refused() {
    let (side, _) = ended_run("");
    fs::remove_file(side.journal().join("config.toml")).unwrap();
    assert_refused(&side, CONFIG, &["what decided cannot be read", "config.toml"]);
}

#[test]
fn rules_that_changed_meanwhile_change_first() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.sql");
    let rules = |limit: u32| {
        let text = format!(
            "CREATE ACTION big (symbol SYMBOL, size BIGINT);\n\
             CREATE RULE big ON book.order WHEN qty > {limit} THEN big(symbol, qty);\n"
        );
        fs::write(&file, text).unwrap();
    };
    rules(500);
    let (side, _) = ended_run(&format!("[[rules]]\nfile = \"{}\"\n", text(&file)));
    assert_goes_on(&side, "closed");
    rules(900);
    assert_goes_on(&side, "other rules");
    // The journal has the change, and the next run begins with it.
    assert_goes_on(&side, "closed");
    let said =
        must(side.path(), &["journal", "inspect", "--entries", "9999", text(&side.journal())]);
    assert_eq!(said.matches("sys.rule_change").count(), 1, "{said}");
}

#[test]
fn memory_that_is_lost_is_gone_on_from_the_disk() {
    let side = ended_durable_run();
    let journal = &side.report()["journals"][0];
    assert_eq!(journal["last_durable_seq"], journal["last_seq"]);
    assert_eq!(journal["durability"], "sync");
    assert!(journal["counters"]["released_segments"].as_u64().unwrap() > 0, "{journal}");
    let records = side.report()["shards"][0]["records"].clone();
    for _ in 0..2 {
        side.lose_memory();
        assert_goes_on(&side, "closed");
        assert_eq!(side.report()["recovered"]["records"], records);
        assert_goes_on(&side, "closed");
    }
    // What is on disk is one journal, with what decided; compressed, too.
    let durable = side.durable();
    for _ in 0..2 {
        let replay = ["replay", "--journal", text(&durable)];
        assert!(must(side.path(), &replay).contains("same"));
        let said = must(side.path(), &["journal", "compress", text(&durable)]);
        assert!(said.contains("segments compressed"), "{said}");
    }
    side.lose_memory();
    assert_goes_on(&side, "closed");
}

#[test]
fn a_copy_that_says_otherwise_is_refused() {
    let side = ended_durable_run();
    let mut hot: Vec<_> = fs::read_dir(side.journal().join("shard-000")).unwrap().collect();
    hot.retain(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().ends_with("segment"));
    let name = hot[0].as_ref().unwrap().file_name();
    let copy = side.durable().join("shard-000").join(name);
    let file = OpenOptions::new().read(true).write(true).open(&copy).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 1000).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 1000).unwrap();
    assert_refused(&side, BAD_DATA, &["its copy in `durable_dir` says otherwise", "byte 1000"]);
    // As it is advised to.
    fs::rename(&copy, copy.with_extension("away")).unwrap();
    assert_goes_on(&side, "closed");
    assert!(copy.exists(), "it is written anew");
    side.lose_memory();
    assert_goes_on(&side, "closed");
}

#[test]
fn a_copy_without_its_beginning_is_refused() {
    let side = ended_durable_run();
    fs::remove_file(side.durable().join("shard-000/0000000000.segment")).unwrap();
    assert_refused(&side, BAD_DATA, &["without its beginning", "from a copy"]);
}

#[test]
fn two_runs_do_not_share_a_journal() {
    let side = Side::new("", &feed("itch50", &[free_group()]), "");
    let first = side.start(&[]);
    let ended = go_on(&side);
    assert_eq!(ended.status.code(), Some(CONFIG), "{ended:?}");
    assert!(ended.stderr.contains("another run writes the journal"), "{}", ended.stderr);
    first.signal(rustix::process::Signal::TERM);
    first.done();
}
