//! Fan-in and 3-cycles among the transfers of AMLSim, counted by rules and known from elsewhere.
//!
//! The truth was counted by a program of its own, transfer by transfer in the order of step, payer
//! and payee; within a step the order decides which transfers see how many senders before them. The
//! file is in the order of steps alone, so its lines are sorted first.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::Path;

use corelane_feeds::record::{Record, RecordBuf};
use corelane_feeds::text::{Format, TextConfig, TextFeed};
use corelane_feeds::units::Nanos;
use corelane_strategies::action::ActionId;
use corelane_strategies::chain::Chain;
use corelane_strategies::rules::{RuleSet, Rules};
use serde_json::Value;

/// What a rule counted.
#[derive(Default)]
struct Count {
    actions: u64,
    accounts: BTreeSet<i64>,
}

fn sorted(file: &Path) -> String {
    let mut text = String::new();
    let file = fs::File::open(file).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let (header, lines) = text.split_once('\n').unwrap();
    let mut lines: Vec<&str> = lines.lines().collect();
    lines.sort_by_cached_key(|line| {
        let fields: Vec<u32> = line.split(',').map(|f| f.parse().unwrap_or(0)).collect();
        (fields[3], fields[0], fields[1])
    });
    format!("{header}\n{}\n", lines.join("\n"))
}

fn count(lines: &str) -> BTreeMap<String, Count> {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../strategies/rules/aml/amlsim.sql");
    let mut set = RuleSet::new();
    set.add("amlsim.sql", &fs::read_to_string(rules).unwrap()).unwrap();
    let names: Vec<String> = set.names().map(str::to_owned).collect();
    let mut feed =
        TextFeed::new(&TextConfig::new(0, &set.declared_streams()[0].declared, Format::Csv));
    let mut chain = Chain::new(vec![], vec![Box::new(Rules::new(&set))]);
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let mut note = |actions: &[RecordBuf]| {
        for action in actions.iter().filter_map(RecordBuf::record) {
            // The rules are the only stage, and its numbers begin at 1.
            let rule = usize::from(ActionId::of(action).unwrap().rule) - 1;
            let schema =
                set.declared().iter().find(|schema| schema.stream == action.header.stream).unwrap();
            let count = counts.entry(names[rule].clone()).or_default();
            count.actions += 1;
            let bytes = zerocopy::IntoBytes::as_bytes(action);
            for field in ["account", "a", "b", "c"].iter().filter_map(|name| schema.field(name)) {
                let value = bytes[field.offset..field.offset + 8].try_into().unwrap();
                count.accounts.insert(i64::from_le_bytes(value));
            }
        }
    };
    let mut sink = |record: &Record| {
        note(chain.on_record(record));
        while let Some(actions) = chain.resume() {
            note(actions);
        }
    };
    feed.bytes(Nanos(0), lines.as_bytes(), &mut sink);
    assert_eq!(feed.rejections(), []);
    let mut dropped = Vec::new();
    chain.counters(&mut |_, name, value| {
        if value > 0 && name.contains("dropped") {
            dropped.push((name, value));
        }
    });
    assert_eq!(dropped, []);
    counts
}

#[test]
fn fan_in_and_cycles_are_those_of_the_truth() {
    let Some(truth) = support::real("aml-amlsim/truth.json") else { return };
    let Some(file) = support::real("aml-amlsim/transactions.csv.gz") else { return };
    let truth: Value = serde_json::from_str(&fs::read_to_string(truth).unwrap()).unwrap();
    let counts = count(&sorted(&file));
    let mut compared = 0;
    for (kind, number) in [("fan_in", "fires"), ("cycle3", "triples")] {
        for (what, wanted) in truth[kind].as_object().unwrap() {
            let rule = format!("{kind}_{}", what.to_ascii_lowercase());
            let found = &counts[&rule];
            let told = format!("{rule}: {} in {} accounts", found.actions, found.accounts.len());
            assert_eq!(wanted[number], found.actions, "{told}");
            assert_eq!(wanted["accounts"], found.accounts.len(), "{told}");
            compared += 1;
        }
    }
    assert_eq!(compared, 7);
}
