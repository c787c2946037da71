//! The rule packs: their cases, and what they find of the fraud that `generate payments` plants.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use corelane::cases;
use corelane::generate::payments::{Config, Episode, Layout, generate};
use corelane_feeds::record::{Record, RecordBuf};
use corelane_feeds::text::{Format, TextConfig, TextFeed};
use corelane_feeds::units::Nanos;
use corelane_strategies::chain::Chain;
use corelane_strategies::rules::{RuleSet, Rules};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../strategies/rules")
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<String> =
        entries.map(name).map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

/// The rules of one file, or of all files of a pack.
fn rules(pack: &str, file: Option<&str>) -> RuleSet {
    let mut set = RuleSet::new();
    let folder = folder().join(pack);
    for name in names(&folder).iter().filter(|name| name.ends_with(".sql")) {
        if file.is_some_and(|file| file != name) {
            continue;
        }
        let text = fs::read_to_string(folder.join(name)).unwrap();
        set.add(name, &text).unwrap_or_else(|error| panic!("{error}"));
    }
    set
}

#[test]
fn every_pack_finds_what_its_cases_say() {
    let packs = names(&folder());
    assert!(!packs.is_empty());
    for pack in packs {
        let set = rules(&pack, None);
        let folder = folder().join(&pack);
        assert!(folder.join("README.md").exists(), "{pack} explains itself");
        let text = fs::read_to_string(folder.join("cases.toml")).unwrap();
        let cases = cases::read("cases.toml", &text).unwrap();
        let mut acted = BTreeSet::new();
        for case in &cases {
            let outcome = cases::run(&set, "cases.toml", case).unwrap();
            assert!(outcome.passed(), "{pack}, {}: {:#?}", case.name, outcome.diff);
            acted.extend(case.expected.iter().filter_map(|expected| expected.rule.clone()));
        }
        let silent = cases.iter().filter(|case| case.expected.is_empty()).count();
        assert!(silent > 0, "{pack}: cases in which nothing may happen");
        let views = set.declared_streams().iter().filter(|stream| stream.is_view);
        let views: Vec<&str> = views.map(|view| view.declared.schema.name).collect();
        for rule in set.names().filter(|name| !views.contains(name)) {
            assert!(acted.contains(rule), "{pack}: no case in which `{rule}` acts");
        }
    }
}

/// What came of one kind: episodes planted and found, alerts, and those that name a payment of one.
#[derive(Default, PartialEq, Debug)]
struct Score {
    planted: usize,
    found: usize,
    alerts: usize,
    right: usize,
}

/// The kind and the payment of every action.
fn alerts(set: &RuleSet, lines: &[u8]) -> Vec<(String, u64)> {
    let schema = set.declared()[0];
    let (kind, payment) = (schema.field("kind").unwrap(), schema.field("payment").unwrap());
    let payments = &set.declared_streams()[0].declared;
    let mut feed = TextFeed::new(&TextConfig::new(0, payments, Format::Json));
    let mut chain = Chain::new(vec![], vec![Box::new(Rules::new(set))]);
    let mut alerts = Vec::new();
    let mut note = |actions: &[RecordBuf]| {
        for action in actions.iter().filter_map(RecordBuf::record) {
            let bytes = zerocopy::IntoBytes::as_bytes(action);
            let text = &bytes[kind.offset..kind.offset + kind.sql.bytes()];
            let text = String::from_utf8_lossy(text).trim_end().to_owned();
            let number = bytes[payment.offset..payment.offset + 8].try_into().unwrap();
            alerts.push((text, u64::from_le_bytes(number)));
        }
    };
    let mut sink = |record: &Record| {
        note(chain.on_record(record));
        while let Some(actions) = chain.resume() {
            note(actions);
        }
    };
    feed.bytes(Nanos(0), lines, &mut sink);
    assert_eq!(feed.rejections(), []);
    alerts
}

fn scores(alerts: &[(String, u64)], episodes: &[Episode]) -> BTreeMap<String, Score> {
    let mut scores: BTreeMap<String, Score> = BTreeMap::new();
    for episode in episodes.iter().filter(|episode| !episode.decoy) {
        let score = scores.entry(episode.kind.name().to_owned()).or_default();
        score.planted += 1;
        let mut own = alerts.iter().filter(|(kind, _)| kind == episode.kind.name());
        score.found += usize::from(own.any(|(_, payment)| episode.payments.contains(payment)));
    }
    for (kind, payment) in alerts {
        let score = scores.entry(kind.clone()).or_default();
        score.alerts += 1;
        let mut own = episodes.iter().filter(|e| !e.decoy && e.kind.name() == kind);
        score.right += usize::from(own.any(|episode| episode.payments.contains(payment)));
    }
    scores
}

/// The figures in the packs' READMEs are those that are measured here.
#[test]
fn planted_fraud_is_found() {
    let config = Config { records: 200_000, episodes: 20, decoys: 20, ..Config::default() };
    let mut lines = Vec::new();
    let summary = generate(&config, |payment| {
        Layout::Json.line(payment, &mut lines);
        Ok(())
    });
    let episodes = summary.unwrap().episodes;
    let mut kinds = 0;
    for (pack, file) in [("cards", "cards.sql"), ("aml", "aml.sql")] {
        let readme = fs::read_to_string(folder().join(pack).join("README.md")).unwrap();
        let alerts = alerts(&rules(pack, Some(file)), &lines);
        for (kind, score) in scores(&alerts, &episodes) {
            let Score { planted, found, alerts, right } = score;
            if alerts == 0 {
                // What the other pack looks for.
                continue;
            }
            let line = format!("| {kind} | {planted} | {found} | {alerts} | {right} |");
            assert!(readme.contains(&line), "{pack}/README.md says otherwise: {line}");
            if planted > 0 {
                kinds += 1;
                assert_eq!((found, right), (planted, alerts), "{kind}");
            }
        }
    }
    assert_eq!(kinds, 11, "every kind of fraud that is planted");
}
