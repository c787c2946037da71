//! `corelane test`: what passes, what fails and how that is told, and what is no case file.

use std::fs;
use std::path::Path;

use super::support::{Ended, run, text};

const RULES: &str = "
    CREATE STREAM payments (id BIGINT NOT NULL, account BIGINT, ts TIMESTAMP(9))
      WITH (key = 'account', time = 'ts');
    CREATE ACTION hold (payment BIGINT, account BIGINT);
";
const MORE: &str = "
    CREATE RULE twice ON payments PARTITION BY account
      WHEN count(*) OVER (RANGE INTERVAL '1' MINUTE PRECEDING) = 2 THEN hold(id, account);
";
const TABLE: &str = "
    CREATE TABLE trusted (account BIGINT) WITH (key = 'account', file = 'trusted.csv');
    CREATE RULE stranger ON payments WHEN NOT account IN TABLE trusted AND account > 100
      THEN hold(id, account);
";
const CASES: &str = r#"
[[case]]
name = "twice in a minute"
records = [
    { stream = "payments", at = "0s", id = 1, account = 7 },
    { stream = "payments", at = "60s", id = 2, account = 7 },
]
expect = [{ action = "hold", rule = "twice", payment = 2 }]

[[case]]
name = "too late"
records = [
    { stream = "payments", at = "0s", id = 1, account = 7 },
    { stream = "payments", at = "61s", id = 2, account = 7 },
]
expect = []
"#;

fn test(dir: &Path, cases: &str, more: &[&str]) -> Ended {
    let (rules, others) = (dir.join("rules.sql"), dir.join("more.sql"));
    fs::write(&rules, RULES).unwrap();
    fs::write(&others, MORE).unwrap();
    let file = dir.join("cases.toml");
    fs::write(&file, cases).unwrap();
    let args = ["test", text(&rules), text(&others), text(&file)];
    run(dir, &[&args[..], more].concat())
}

#[test]
fn cases_pass_or_show_what_differs() {
    let dir = tempfile::tempdir().unwrap();
    let passed = test(dir.path(), CASES, &[]);
    assert_eq!(passed.status.code(), Some(0), "{passed:?}");
    assert_eq!(passed.stdout, "ok      twice in a minute\nok      too late\n2 passed, 0 failed\n");

    let wrong = CASES.replace("payment = 2", "payment = 3");
    let failed = test(dir.path(), &wrong, &[]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    for line in [
        "cases.toml:2), - expected, + found:\n",
        "  - hold(payment = 3) by twice  [line 8]\n",
        "  + hold(payment = 2, account = 7) by twice\n",
        "ok      too late\n1 passed, 1 failed\n",
    ] {
        assert!(failed.stdout.contains(line), "{line}: {}", failed.stdout);
    }
    let failed = test(dir.path(), &wrong, &["--json"]);
    let report: serde_json::Value = serde_json::from_str(&failed.stdout).unwrap();
    assert_eq!((&report["failed"], &report["cases"][0]["passed"]), (&1.into(), &false.into()));
}

#[test]
fn what_is_no_case_file_and_what_are_no_rules() {
    let dir = tempfile::tempdir().unwrap();
    let malformed = test(dir.path(), &CASES.replace("id = 2", "idd = 2"), &[]);
    assert_eq!(malformed.status.code(), Some(65), "{malformed:?}");
    let says = "cases.toml:6: `payments` has no column `idd`; did you mean `id`?";
    assert!(malformed.stderr.contains(says), "{malformed:?}");

    let (rules, cases) = (dir.path().join("wrong.sql"), dir.path().join("cases.toml"));
    fs::write(&rules, "CREATE ACTION hold (payment BIGIN);").unwrap();
    let refused = run(dir.path(), &["test", text(&rules), text(&cases)]);
    assert_eq!(refused.status.code(), Some(78), "{refused:?}");
    assert!(refused.stderr.contains("wrong.sql:1:29"), "{refused:?}");
}

#[test]
fn tables_are_read_beside_the_rules() {
    let dir = tempfile::tempdir().unwrap();
    let (rules, cases) = (dir.path().join("rules.sql"), dir.path().join("cases.jsonl"));
    fs::write(&rules, format!("{RULES}{TABLE}")).unwrap();
    fs::write(dir.path().join("trusted.csv"), "account\n101\n").unwrap();
    let case = r#"{"name": "one of two",
        "expect": [{"action": "hold", "account": 102}], "records": [
        {"stream": "payments", "at": "0s", "id": 1, "account": 101},
        {"stream": "payments", "at": "0s", "id": 2, "account": 102}]}"#;
    fs::write(&cases, case.replace('\n', " ")).unwrap();
    let ended = run(dir.path(), &["test", text(&rules), text(&cases)]);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    fs::remove_file(dir.path().join("trusted.csv")).unwrap();
    let ended = run(dir.path(), &["test", text(&rules), text(&cases)]);
    assert_eq!(ended.status.code(), Some(78), "{ended:?}");
}
