//! Wrong rule files and what their writers are told, word for word.
//!
//! `wrong_rules.sql` holds the texts, one after the other behind lines of dashes; `wrong_rules.txt`
//! holds the answers; an action `go` is there for all of them. `UPDATE_SNAPSHOTS=1 cargo test -p
//! corelane-strategies` writes the answers again: read the difference before you keep it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use corelane_strategies::rules::RuleSet;

const RULE: &str = "----";

#[test]
fn every_mistake_is_told_as_it_was() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let texts = fs::read_to_string(folder.join("wrong_rules.sql")).unwrap();
    let mut answers = String::new();
    let mut count = 0;
    for text in texts.split(&format!("{RULE}\n")).map(str::trim_end).filter(|t| !t.is_empty()) {
        count += 1;
        let mut set = RuleSet::new();
        set.add("base.sql", "CREATE ACTION go (x BIGINT)").unwrap();
        let error = match set.add("rules.sql", text) {
            Ok(()) => panic!("nothing is wrong with this:\n{text}"),
            Err(error) => error.to_string(),
        };
        writeln!(answers, "{error}\n{RULE}").unwrap();
    }
    assert!(count >= 60, "{count} wrong texts");
    let kept = folder.join("wrong_rules.txt");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&kept, &answers).unwrap();
    }
    let kept = fs::read_to_string(&kept).unwrap_or_default();
    for (found, wanted) in answers.split(RULE).zip(kept.split(RULE)) {
        assert_eq!(found, wanted, "an answer is not what it was");
    }
    assert_eq!(answers.len(), kept.len());
}
