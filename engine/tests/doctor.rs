//! The doctor on recorded hosts: what it finds, and that tuning puts it right and undoing brings
//! back every byte.
//!
//! `hosts/NAME.tree` has a host's files, `hosts/NAME.txt` what is found there;
//! `UPDATE_SNAPSHOTS=1` writes the latter anew, to be read before it is committed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use corelane::doctor::tune::{self, SAVED, TreeHand};
use corelane::doctor::{Cpus, Fix, Host, Needs, Recorded, Report, Root, Severity, examine, tree};

/// Hosts, and the hot core that is named on each.
const HOSTS: [(&str, usize); 4] =
    [("laptop", 3), ("cloud-vm", 1), ("container", 1), ("tuned-server", 3)];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts").join(name)
}

fn unpacked(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(file(&format!("{name}.tree"))).unwrap();
    tree::unpack(&text, folder.path()).unwrap();
    folder
}

fn host(folder: &Path, core: usize) -> Host {
    let hot: Cpus = [core].into_iter().collect();
    let needs = Needs { hot, hot_from: "the test".to_owned(), ..Needs::default() };
    Host::new(Root::new(folder), Box::new(Recorded(folder.to_owned())), needs)
}

fn found(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let (severity, current) = (finding.verdict.severity, &finding.verdict.current);
        writeln!(text, "{severity:<8}{:<16}{current}", finding.check.id).unwrap();
    }
    text
}

#[test]
fn what_is_found_on_each_host() {
    for (name, core) in HOSTS {
        let folder = unpacked(name);
        let found = found(&examine(&host(folder.path(), core), &[]));
        let expected = file(&format!("{name}.txt"));
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            fs::write(&expected, &found).unwrap();
        }
        assert_eq!(found, fs::read_to_string(&expected).unwrap_or_default(), "{name}");
    }
}

#[test]
fn every_check_says_what_why_and_who_says_so() {
    let folder = unpacked("laptop");
    let report = examine(&host(folder.path(), 3), &[]);
    let mut ids = BTreeMap::new();
    for finding in &report.findings {
        let check = finding.check;
        for text in [check.title, check.wanted, check.why, check.effect, check.source] {
            assert!(!text.is_empty(), "{}", check.id);
        }
        assert!(ids.insert(check.id, ()).is_none(), "{} is there twice", check.id);
    }
    let json = report.to_json();
    assert_eq!(json["checks"].as_array().map(Vec::len), Some(ids.len()));
}

/// Every file of a folder with its bytes, but for what tuning keeps.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                all.insert(path.clone(), fs::read(path).unwrap());
            }
        }
    }
    all
}

#[test]
fn tuning_puts_right_what_it_can_and_undoing_brings_back_every_byte() {
    for (name, core) in HOSTS {
        let folder = unpacked(name);
        fs::create_dir_all(folder.path().join("run")).unwrap();
        let (hand, saved) = (TreeHand(folder.path().to_owned()), folder.path().join(SAVED));
        let before = files(folder.path());
        // Twice: what the first run kept must survive the second.
        for _ in 0..2 {
            let host = host(folder.path(), core);
            let plan = tune::plan(&host, &examine(&host, &[]), &hand);
            let refused = tune::apply(&plan, &hand, &saved).unwrap();
            assert!(refused.is_empty(), "{name}: {refused:?}");
        }
        let host = host(folder.path(), core);
        let report = examine(&host, &[]);
        let again = tune::plan(&host, &report, &hand);
        assert!(again.changes.is_empty(), "{name}: {:?}", again.changes);
        // What was written is what the checks ask for; cards need a driver, served interrupts a
        // boot.
        let stays = ["irq_affinity", "netdev_budget", "swap"];
        for finding in &report.findings {
            let is_fixed = matches!(finding.check.fix, Fix::Apply(_));
            let id = finding.check.id;
            let cannot = again.cannot.iter().any(|(check, _)| *check == id);
            if is_fixed && !cannot && !stays.contains(&id) {
                let verdict = &finding.verdict;
                assert!(verdict.severity < Severity::Warn, "{name}: {id} {verdict:?}");
            }
        }
        if let Some(plan) = tune::plan_undo(&hand, &saved).unwrap() {
            assert!(tune::undo(&plan, &hand, &saved).unwrap().is_empty(), "{name}");
        }
        let after = files(folder.path());
        assert!(before == after, "{name}: every byte is as it was");
    }
}
