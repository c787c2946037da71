//! Decides again over journals: the same bytes, what other rules would have decided, and why.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::support::{Side, feed, free_group, generate, must, rules_section, run, text};

const RULES: &str = "
    CREATE STREAM payments (id BIGINT NOT NULL, account BIGINT, shop BIGINT, amount DECIMAL(18,2),
        ts TIMESTAMP(9)) WITH (key = 'account', time = 'ts', time_unit = 'ms');
    CREATE ACTION hold (payment BIGINT, n BIGINT, total DECIMAL(18,2));
    CREATE RULE velocity WITH (version = 3) ON payments PARTITION BY account
      WHEN count(*) OVER (RANGE INTERVAL '5' SECOND PRECEDING) >= 3
      THEN hold(id, count(*) OVER (RANGE INTERVAL '5' SECOND PRECEDING),
                sum(amount) OVER (RANGE INTERVAL '5' SECOND PRECEDING));
    CREATE RULE busy WITH (mode = 'shadow') ON payments PARTITION BY shop
      WHEN count(*) OVER (ROWS 9 PRECEDING) = 10 THEN hold(id, 10, NULL);
    CREATE RULE growing ON payments PARTITION BY account
      MATCH a:payments(amount > 1) -> b:payments(amount > 2 * a.amount) -> c:payments(amount > 90)
      THEN hold(c.id, NULL, a.amount);
";

const FEED: &str = "[[feed]]\nname = \"f\"\nprotocol = \"json\"\nstream = \"payments\"\n";

/// A side that has decided over five hundred payments, a second apart.
pub(crate) fn decided(engine: &str) -> Side {
    let dir = tempfile::tempdir().unwrap();
    let side = Side::new(engine, FEED, &rules_section(dir.path(), RULES));
    let line = |id: u64| {
        let (account, shop) = (id / 4 % 7, id * 31 % 11);
        let amount = id * 37 % 101;
        let ts = 1_700_000_000_000 + id * 1_000;
        format!(
            "{{\"id\":{id},\"account\":{account},\"shop\":{shop},\"amount\":{amount}.50,\
             \"ts\":{ts}}}\n"
        )
    };
    let lines: String = (0..500).map(line).collect();
    let file = side.path().join("payments.jsonl");
    fs::write(&file, lines).unwrap();
    must(side.path(), &["replay", text(&side.config), "--input", text(&file)]);
    // What decided is in the journal: the rule file, which goes with its folder, is not needed.
    side
}

fn json(side: &Side, args: &[&str]) -> Value {
    let journal = side.journal();
    let args: Vec<&str> =
        args.iter().copied().chain(["--journal", text(&journal), "--json"]).collect();
    serde_json::from_str(&must(side.path(), &args)).unwrap()
}

#[test]
fn a_journal_decides_the_same_again() {
    let engines = ["", "topology = \"pipelined\"", "topology = \"pipelined\"\nshards = 3"];
    for engine in engines {
        let side = decided(engine);
        let again = json(&side, &["replay"]);
        let written = side.actions();
        for rule in ["velocity", "growing"] {
            let count = written.matches(&format!("\"strategy\":\"{rule}\"")).count() as u64;
            assert!(count > 3, "{rule}: {count}");
            assert_eq!(again["rules"][rule]["same"], count, "{rule}, {engine}");
        }
        assert_eq!(again["rules"]["busy"]["same"], 401, "in shadow, {engine}");
        assert_eq!(again["differences"], Value::Array(Vec::new()), "{engine}");
        let part = json(&side, &["replay", "--from", "200", "--until", "400"]);
        let same = |value: &Value| value["rules"]["velocity"]["same"].as_u64().unwrap();
        assert!(same(&part) > 0 && same(&part) < same(&again), "{engine}");
    }
}

#[test]
fn other_rules_are_held_against_what_was_decided() {
    let side = decided("");
    let other = RULES.replace(">= 3\n", ">= 4\n").replace("hold(id, 10, NULL)", "hold(id, 11, 1)");
    let file = side.path().join("other.sql");
    fs::write(&file, other.replace("amount > 90", "amount > 70")).unwrap();
    let result = json(&side, &["replay", "--rules", text(&file), "--show", "1000"]);
    let count = |rule: &str, what: &str| result["rules"][rule][what].as_u64().unwrap();
    let all = json(&side, &["replay"])["rules"]["velocity"]["same"].as_u64().unwrap();
    assert_eq!(count("velocity", "same") + count("velocity", "removed"), all);
    assert!(count("velocity", "removed") > 0 && count("velocity", "added") == 0);
    assert_eq!((count("busy", "changed"), count("busy", "same")), (401, 0));
    assert!(count("growing", "added") > 0 || count("growing", "changed") > 0);
    let changed = &result["differences"].as_array().unwrap()[..];
    let changed = changed.iter().find(|d| d["change"] == "changed" && d["rule"] == "busy");
    let changed = changed.unwrap();
    assert_eq!((&changed["then"]["n"], &changed["now"]["n"]), (&10.into(), &11.into()));
    // What decided then with a file changed behind its back is not what was written.
    let decided = side.journal().join("rules.toml");
    let text_then = fs::read_to_string(&decided).unwrap();
    fs::write(&decided, text_then.replace(">= 3", ">= 4")).unwrap();
    let ended = run(side.path(), &["replay", "--journal", text(&side.journal())]);
    assert_eq!(ended.status.code(), Some(65), "{ended:?}");
    assert!(ended.stderr.contains("rules.toml is not as it was written"), "{}", ended.stderr);
}

#[test]
fn an_action_is_explained_by_the_rows_of_its_window() {
    let side = decided("topology = \"pipelined\"\nshards = 2");
    let actions = side.actions();
    let line = actions.lines().filter(|line| line.contains("\"velocity\"")).nth(7).unwrap();
    let action: Value = serde_json::from_str(line).unwrap();
    let id = action["id"].as_str().unwrap();
    let why = json(&side, &["explain", id]);
    assert_eq!(why["action"], action);
    assert_eq!((&why["rule"], &why["is_reproduced"]), (&"velocity".into(), &true.into()));
    assert!(why["text"].as_str().unwrap().contains("version = 3"), "{}", why["text"]);
    assert_eq!(why["cause"]["record"]["id"], action["payment"]);
    let window = &why["looked_at"][0];
    let rows = window["rows"].as_array().unwrap();
    assert_eq!(Value::from(rows.len()), action["n"]);
    let cents = |value: &Value| value.as_str().unwrap().replace('.', "").parse::<u64>().unwrap();
    let total: u64 = rows.iter().map(|row| cents(&row["record"]["amount"])).sum();
    assert_eq!(total, cents(&action["total"]));
    let sum = Value::from(vec![Value::from("sum(amount)"), action["total"].clone()]);
    assert!(window["values"].as_array().unwrap().contains(&sum), "{window}");

    let journal = side.journal();
    let told = must(side.path(), &["explain", id, "--journal", text(&journal)]);
    assert!(told.contains("decided again over the journal: the same bytes"), "{told}");
    assert!(told.contains("decided on again in "), "{told}");
    let stamped = side.path().join("stamped.jsonl");
    let stamps = format!("{{\"id\":\"{id}\",\"ts_recv\":1000,\"ts_sent\":3500}}\n");
    fs::write(&stamped, stamps).unwrap();
    let why = json(&side, &["explain", id, "--actions", text(&stamped)]);
    assert_eq!(why["stages"]["receipt_to_sent_ns"], 2_500);
    let unknown = ["explain", "9-00000000-1-1-0", "--journal", text(&journal)];
    let ended = run(side.path(), &unknown);
    assert_eq!(ended.status.code(), Some(65), "{ended:?}");
    assert!(ended.stderr.contains("no action 9-00000000-1-1-0"), "{}", ended.stderr);
}

#[test]
fn strategies_are_decided_again_and_explained_too() {
    let dir = tempfile::tempdir().unwrap();
    let group = free_group();
    let capture = generate(dir.path(), "again.pcap", group, &[]);
    let side = Side::new("topology = \"pipelined\"\nshards = 2", &feed("itch50", &[group]), "");
    side.replay(&capture, "max");
    let again = json(&side, &["replay"]);
    assert_eq!(again["differences"], Value::Array(Vec::new()));
    let actions = side.actions();
    let rules = again["rules"].as_object().unwrap();
    let same: u64 = rules.values().map(|rule| rule["same"].as_u64().unwrap()).sum();
    assert_eq!(same, actions.lines().count() as u64);
    let Some(line) = actions.lines().next() else { panic!("no action") };
    let action: Value = serde_json::from_str(line).unwrap();
    let why = json(&side, &["explain", action["id"].as_str().unwrap()]);
    assert_eq!(why["is_reproduced"], true);
    assert!(!why["looked_at"][0]["rows"].as_array().unwrap().is_empty());
}

#[test]
fn a_journal_without_its_configuration_asks_for_one() {
    let side = decided("");
    let journal = side.journal();
    fs::remove_file(Path::new(&journal).join("config.toml")).unwrap();
    let ended = run(side.path(), &["replay", "--journal", text(&journal)]);
    assert!(!ended.status.success());
    assert!(ended.stderr.contains("say which configuration decided"), "{}", ended.stderr);
    let rules = side.path().join("rules.sql");
    fs::write(&rules, RULES).unwrap();
    let config = side.path().join("then.toml");
    let section = format!("name = \"n\"\n{FEED}[[rules]]\nfile = \"{}\"\n", text(&rules));
    fs::write(&config, section).unwrap();
    let args = ["replay", text(&config), "--journal", text(&journal), "--json"];
    let ended = run(side.path(), &args);
    let again: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(again["records"].as_u64().unwrap() > 500, "{ended:?}");
}
