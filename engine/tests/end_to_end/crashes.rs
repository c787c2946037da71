//! Engines that are killed in the middle and started again: what they decide in the end is what one
//! that was never disturbed decides, and a receiver that drops what comes again has each action
//! once. Where the journal is to outlive a power cut, memory is lost after some of the kills, too.
//!
//! `CRASH_KILLS` says how often engines are killed, `CRASH_SEED` draws other moments.

use std::env;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::soup::serve;
use super::support::{
    Process, Side, assert_lossless, await_some, corelane, feed, free_group, generate, must,
    rules_section, run, soup_feed, text,
};

/// The flag of an action that was decided in shadow.
const SHADOW: u64 = corelane_feeds::record::FLAG_SHADOW as u64;
/// The most kills of one stream of messages.
const KILLS_MAX: u64 = 6;
/// Messages of the stream, and how many come in a second: it leaves time to kill.
const MESSAGES: u64 = 40_000;
pub(crate) const PACE: [&str; 2] = ["--rate", "25000"];

/// Rules that act often, so that there are actions on their way whenever an engine dies.
pub(crate) const RULES: &str = "
    CREATE ACTION print (symbol SYMBOL, notional DECIMAL(18,2), nth BIGINT);
    CREATE RULE every_other ON book.order PARTITION BY symbol
      WHEN kind = 'A' AND count(*) OVER (ROWS 99 PRECEDING) % 2 = 0
      THEN print(symbol, price * qty, count(*) OVER (ROWS 99 PRECEDING));
    CREATE RULE shaded WITH (mode = 'shadow') ON book.order PARTITION BY symbol
      WHEN kind = 'E' THEN print(symbol, price * qty, 1);
";

/// The same with an action whose layout `journal inspect` knows.
const ALERTS: &str = "
    INSERT INTO alert (kind, symbol, price, count)
    SELECT 'other', symbol, price, count(*) OVER last
    FROM book.order WHERE kind = 'A'
    WINDOW last AS (PARTITION BY symbol ROWS 99 PRECEDING)
    QUALIFY count(*) OVER last % 2 = 0;
";

/// Draws the moments at which engines are killed (splitmix64).
struct Moments(u64);

impl Moments {
    fn new(salt: u64) -> Self {
        let seed = env::var("CRASH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1u64);
        println!("CRASH_SEED={seed}");
        Self(seed ^ salt << 48)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % bound
    }
}

/// How often this test kills, in rounds of one stream each.
fn rounds() -> impl Iterator<Item = u64> {
    let kills = env::var("CRASH_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(3u64);
    (0..kills.div_ceil(KILLS_MAX)).map(move |round| (kills - round * KILLS_MAX).min(KILLS_MAX))
}

/// Entries in the journal, as far as a reader sees.
pub(crate) fn journal_entries(side: &Side) -> u64 {
    let journal = side.whole_journal();
    let said = run(side.path(), &["journal", "inspect", "--json", text(&journal)]);
    let summaries: serde_json::Value = serde_json::from_str(&said.stdout).unwrap_or_default();
    let shards = summaries.as_array().cloned().unwrap_or_default();
    shards.iter().filter_map(|shard| shard["entries"].as_u64()).sum()
}

/// A receiver that has each action once, and where it listens.
pub(crate) fn receiver(dir: &Path) -> (Process, String) {
    receiver_at(dir, "127.0.0.1:0")
}

/// The same, listening at an address.
pub(crate) fn receiver_at(dir: &Path, address: &str) -> (Process, String) {
    let out = dir.join("received.jsonl");
    let args = ["actions", "receive", "--listen", address, "--out", text(&out)];
    let process = Process::spawn(dir, corelane(args));
    let address = await_some("a receiver", || {
        let said = process.stdout();
        let said = said.strip_suffix('\n')?;
        Some(said.strip_prefix("receiving actions at ")?.to_owned())
    });
    (process, address)
}

pub(crate) fn acknowledging_sink(address: &str) -> String {
    format!(
        "\n[[sink]]\nname = \"desk\"\ntype = \"tcp\"\naddress = \"{address}\"\n\
         acknowledged = true\n"
    )
}

/// A run that is killed at some moment: while it starts, recovers, or has come further. Not near
/// the end of the stream, where it may end before.
fn start_and_kill(side: &Side, mode: &str, moments: &mut Moments) {
    let seen = journal_entries(side);
    if seen > MESSAGES {
        return;
    }
    let (early, step) = (moments.below(3) == 0, moments.below(MESSAGES / KILLS_MAX / 2));
    let process = side.spawn(&["--until-end"]);
    let late = Instant::now() + Duration::from_millis(moments.below(150));
    kill_when(side, process, || {
        if early { Instant::now() >= late } else { journal_entries(side) > seen + step }
    });
    let is_lost = moments.below(2) == 0;
    if mode != PROCESS && is_lost && side.journal().exists() {
        side.lose_memory();
    }
}

/// Kills a run at a moment before which it must not end.
pub(crate) fn kill_when(side: &Side, mut process: Process, mut is_now: impl FnMut() -> bool) {
    await_some("the moment", || {
        let past = is_now();
        assert!(!process.has_ended(), "it ends by itself: {}", process.stderr());
        past.then_some(())
    });
    process.signal(Signal::KILL);
    process.wait();
    let _ = fs::remove_file(side.path().join("ready"));
}

/// What a receiver of actions has, in the order of their causes.
pub(crate) fn sorted(side: &Side, file: &str) -> String {
    let path = side.path().join(file);
    must(side.path(), &["actions", "sort", text(&path)])
}

fn killed_and_resumed(
    (capture, engine, rules): (&Path, &str, &str),
    mode: &str,
    kills: u64,
    moments: &mut Moments,
) -> Side {
    let dir = tempfile::tempdir().unwrap();
    // It stays: one that is killed may have read the end of the session, and journalled less.
    let pace = [PACE[0], PACE[1], "--clients", "0"];
    let (_server, address) = serve(dir.path(), capture, "127.0.0.1:0", &pace).unwrap();
    let feed = soup_feed(&address);
    let (_receiver, desk) = receiver(dir.path());
    let side = Side::new(engine, &feed, &(rules.to_owned() + &acknowledging_sink(&desk)));
    // So that some starts go on from snapshots, and some engines die while one is written.
    let side = side.with_journal("snapshot_every = 300");
    if mode != PROCESS {
        side.survive(mode, "hot_segments = 1\n");
    }
    (0..kills).for_each(|_| start_and_kill(&side, mode, moments));
    side.start(&["--until-end"]).done();
    let report = side.report();
    assert_lossless(&report);
    println!("{mode}, {kills} kills: {}", report["recovered"]);
    fs::rename(dir.path().join("received.jsonl"), side.path().join("received.jsonl")).unwrap();
    side
}

/// Kills engines again and again, each stream in the mode that `mode` draws, and compares.
fn kill_and_compare(engines: &[&str], salt: u64, mode: impl Fn(&mut Moments) -> &'static str) {
    let dir = tempfile::tempdir().unwrap();
    let group = free_group();
    let capture = generate(dir.path(), "a.pcap", group, &[]);
    let rules = rules_section(dir.path(), RULES);
    for (n, engine) in engines.iter().enumerate() {
        let reference = Side::new(engine, &feed("itch50", &[group]), &rules);
        reference.replay(&capture, "max");
        let expected = reference.sorted();
        assert!(expected.lines().count() > 5_000, "{}", expected.lines().count());
        let mut moments = Moments::new(salt + n as u64);
        for kills in rounds() {
            let mode = mode(&mut moments);
            let side = killed_and_resumed((&capture, engine, &rules), mode, kills, &mut moments);
            side.assert_journal_closed();
            side.assert_same_journal(&reference);
            let file = side.sorted();
            let (mut had, mut want) = (std::collections::BTreeMap::new(), 0);
            file.lines().for_each(|line| *had.entry(line).or_insert(0) += 1);
            expected.lines().for_each(|line| want += usize::from(!had.contains_key(line)));
            let twice = had.values().filter(|count| **count > 1).count();
            assert!(file == expected, "the file, {engine}, {mode}: {want} missing, {twice} twice");
            let received = sorted(&side, "received.jsonl");
            assert!(received == expected, "at the receiver, {engine}, {mode}");
        }
    }
}

pub(crate) const FUSED: &str = "backend = \"socket\"";
const PIPELINED: &str = "topology = \"pipelined\"\nshards = 3\nbackend = \"socket\"";
const PROCESS: &str = "process";

#[test]
fn an_engine_that_is_killed_goes_on_where_it_was() {
    kill_and_compare(&[FUSED, PIPELINED], 0, |_| PROCESS);
}

/// As a power cut would: what lies in memory is gone, what is on disk is gone on with. With `sync`
/// nothing is lost at all; with `interval` the feed brings again what is.
#[test]
fn an_engine_that_loses_its_memory_goes_on_from_the_disk() {
    let modes = ["sync", "interval"];
    kill_and_compare(&[FUSED, PIPELINED], 3, |moments| modes[moments.below(2) as usize]);
}

/// Ids of the actions in a journal that are not in shadow, in order.
fn journalled_ids(side: &Side) -> Vec<String> {
    let journal = side.journal();
    let args = ["journal", "inspect", "--entries", "1000000", text(&journal)];
    let said = must(side.path(), &args);
    let entries = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let actions = entries.filter(|entry| entry["kind"] == "action");
    let actions = actions.map(|entry| entry["record"].clone());
    let sent = actions.filter(|action| action["flags"].as_u64().unwrap() & SHADOW == 0);
    let id = |action: Value| {
        let [feed, session, seq, rule, ordinal] = ["feed", "session", "seq", "rule", "ordinal"]
            .map(|name| action[name].as_u64().unwrap());
        format!("{feed}-{session:08x}-{seq}-{rule}-{ordinal}")
    };
    sent.map(id).collect()
}

/// Nobody sends a multicast datagram again: what came while the engine was down is a gap. But what
/// is in the journal was decided, and arrived, once.
#[test]
fn what_was_journalled_of_multicast_arrives_once() {
    let dir = tempfile::tempdir().unwrap();
    let group = free_group();
    let capture = generate(dir.path(), "a.pcap", group, &[]);
    let rules = dir.path().join("rules.sql");
    fs::write(&rules, ALERTS).unwrap();
    let rules = format!("[[rules]]\nfile = \"{}\"\n", text(&rules));
    let mut moments = Moments::new(7);
    for kills in rounds() {
        let dir = tempfile::tempdir().unwrap();
        let (_receiver, desk) = receiver(dir.path());
        let more = rules.clone() + &acknowledging_sink(&desk);
        let side = Side::new("backend = \"socket\"", &feed("itch50", &[group]), &more);
        let (pcap, to) = (text(&capture).to_owned(), group.to_string());
        let publish = ["publish", "--pcap", &pcap, "--to", &to, "--rate", "20000"];
        let publisher = Process::spawn(dir.path(), corelane(publish));
        for _ in 0..kills {
            let late = Instant::now() + Duration::from_millis(moments.below(300));
            kill_when(&side, side.spawn(&[]), || Instant::now() >= late);
        }
        let last = side.start(&[]);
        publisher.done();
        last.signal(Signal::TERM);
        last.done();

        side.assert_journal_closed();
        must(side.path(), &["replay", "--journal", text(&side.journal())]);
        let mut expected = journalled_ids(&side);
        let received = fs::read_to_string(dir.path().join("received.jsonl")).unwrap();
        let ids = |lines: &str| {
            let ids = lines.lines().map(|line| line.split('"').nth(3).unwrap().to_owned());
            ids.collect::<Vec<_>>()
        };
        assert_eq!(ids(&side.actions()), expected, "the file has each once, in order");
        let mut received = ids(&received);
        expected.sort();
        received.sort();
        assert_eq!(received, expected, "the receiver has each once");
        println!("{kills} kills: {} actions", expected.len());
    }
}
