//! Rules over group windows: results when windows close or change, late records, views, ticks.

use corelane_feeds::record::{Record, RecordBuf, Stamp, View};
use corelane_feeds::streams::sys::Tick;
use corelane_feeds::text::{Format, TextConfig, TextFeed};
use corelane_feeds::units::Nanos;

use super::tests::{column, set};
use crate::action::ActionId;
use crate::chain::Chain;
use crate::rules::{RuleSet, Rules};

const PAYMENTS: &str = "
    CREATE STREAM payments (id BIGINT NOT NULL, account BIGINT, country VARCHAR(12),
        amount DECIMAL(18,2), ts TIMESTAMP(9))
      WITH (key = 'account', time = 'ts', time_unit = 's', lateness = '2s', format = 'json');
    CREATE ACTION tell (account BIGINT, country VARCHAR(12), n BIGINT, spent DECIMAL(18,2),
        since BIGINT, till BIGINT);
";
const COLUMNS: [&str; 6] = ["account", "country", "n", "spent", "since", "till"];

fn chain(set: &RuleSet) -> Chain {
    Chain::new(vec![], vec![Box::new(Rules::new(set))])
}

/// Every action of a record.
fn all(chain: &mut Chain, record: &Record) -> Vec<RecordBuf> {
    let mut found = chain.on_record(record).to_vec();
    while let Some(more) = chain.resume() {
        found.extend_from_slice(more);
    }
    found
}

fn feed(set: &RuleSet) -> TextFeed {
    let stream = &set.declared_streams()[0];
    TextFeed::new(&TextConfig::new(0, &stream.declared, Format::Json))
}

/// Records of lines `id ts account country amount`, with `-` for NULL; all of them have a time.
fn records(set: &RuleSet, lines: &str) -> Vec<RecordBuf> {
    let mut feed = feed(set);
    let mut found = Vec::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let names = ["id", "ts", "account", "country", "amount"];
        let pairs = names.iter().zip(&words).filter(|(_, word)| **word != "-");
        let pairs: Vec<String> =
            pairs.map(|(name, word)| format!("\"{name}\":\"{word}\"")).collect();
        let json = format!("{{{}}}\n", pairs.join(","));
        feed.datagram(Nanos(0), json.as_bytes(), &mut |record: &Record| {
            found.push(record.to_buf());
        });
    }
    assert_eq!(feed.rejections(), []);
    found
}

fn shown(set: &RuleSet, actions: &[RecordBuf], columns: &[&str]) -> Vec<String> {
    let show = |action: &Record| {
        let values = columns.iter().map(|name| match *name {
            // Seconds.
            "since" | "till" => {
                let ns: i64 = column(set, action, name).parse().unwrap();
                format!("{}", ns as f64 / 1e9)
            }
            name => column(set, action, name),
        });
        values.collect::<Vec<_>>().join(" ")
    };
    actions.iter().filter_map(RecordBuf::record).map(show).collect()
}

fn run(rules: &str, lines: &str, columns: &[&str]) -> Vec<String> {
    let set = set(&format!("{PAYMENTS}{rules}"));
    let mut chain = chain(&set);
    let records = records(&set, lines);
    let all: Vec<RecordBuf> =
        records.iter().flat_map(|record| all(&mut chain, record.record().unwrap())).collect();
    shown(&set, &all, columns)
}

const TUMBLE: &str = "
    INSERT INTO tell
    SELECT account, country, count(*), sum(amount), window_start, window_end FROM payments
    WHERE amount > 0
    GROUP BY tumble(ts, INTERVAL '10' SECOND), account, country HAVING count(*) > 1;";

#[test]
fn windows_close_when_the_watermark_passes_their_end() {
    let lines = "
        1 100 7 DE 1.50
        2 101 7 - 1
        3 109 7 DE 2
        4 108 7 FR 4
        5 111 7 FR 3
        6 105 7 FR 8
        7 108 7 - 1
        8 111 7 DE -5
        9 112 8 DE 1
        10 109 7 DE 100
        11 125 7 DE 1
    ";
    // Row 10 is too late; what 11 closes comes in the order in which keys came.
    let want = ["7 DE 2 350 100 110", "7  2 200 100 110", "7 FR 2 1200 100 110"];
    assert_eq!(run(TUMBLE, lines, &COLUMNS), want);
}

#[test]
fn every_kind_of_window() {
    let query = |window: &str, options: &str| {
        format!(
            "INSERT INTO tell (account, n, since, till)
             SELECT account % 10, count(*), window_start, window_end FROM payments
             GROUP BY account % 10, {window} {options};"
        )
    };
    let columns = &["account", "n", "since", "till"];
    let lines = "
        1 100 17 DE 1
        2 104 7 DE 1
        3 103 27 DE 1
        4 200 7 DE 1
    ";
    let hop = run(&query("hop(ts, INTERVAL '5' SECOND, INTERVAL '10' SECOND)", ""), lines, columns);
    assert_eq!(hop, ["7 3 95 105", "7 3 100 110"]);
    let cumulate = "cumulate(ts, INTERVAL '2' SECOND, INTERVAL '6' SECOND)";
    let cumulate = run(&query(cumulate, ""), lines, columns);
    assert_eq!(cumulate, ["7 1 96 102", "7 1 102 104", "7 2 102 106", "7 2 102 108"]);
    let session = run(&query("session(ts, INTERVAL '4' SECOND)", ""), lines, columns);
    assert_eq!(session, ["7 3 100 108"]);
    let change = "WITH (emit = 'change', lateness = '1s', windows_max = 100, name = 'changes')";
    let session = run(&query("session(ts, INTERVAL '4' SECOND)", change), lines, columns);
    assert_eq!(session, ["7 1 100 104", "7 1 104 108", "7 3 100 108", "7 1 200 204"]);
    let offset = "tumble(ts, INTERVAL '10' SECOND, INTERVAL '4' SECOND)";
    let offset = run(&query(offset, ""), lines, columns);
    assert_eq!(offset, ["7 2 94 104", "7 1 104 114"]);
}

#[test]
fn a_group_that_never_ends_is_told_as_it_changes() {
    let rules = "
        INSERT INTO tell (account, n, spent) SELECT account, count(DISTINCT amount), max(amount)
        FROM payments GROUP BY account HAVING count(DISTINCT amount) >= 2
        WITH (emit = 'change', mode = 'live');";
    let lines = "
        1 100 7 DE 1
        2 900 8 DE 1
        3 90 7 FR 5
        4 901 7 DE 3
    ";
    assert_eq!(run(rules, lines, &["account", "n", "spent"]), ["7 2 500", "7 3 500"]);
}

#[test]
fn late_records_are_a_stream() {
    let rules = format!(
        "{TUMBLE}
        INSERT INTO tell (account, n, since) SELECT account, id, ts FROM payments.late
          WHERE country IS NOT NULL;
        INSERT INTO tell (account, n) SELECT account, count(*) FROM payments
        GROUP BY account, session(ts_event, INTERVAL '1' SECOND) HAVING count(*) > 100;"
    );
    let lines = "
        1 100 7 DE 1
        2 120 7 DE 1
        3 101 7 DE 1
        4 102 7 - 1
        5 119 7 DE 1
        6 117 8 DE 1
    ";
    // 3 is late for both windows and told once, 6 for the session alone.
    let want = ["7 3 101", "8 6 117"];
    let got = run(&rules, lines, &["account", "n", "since"]);
    assert_eq!(got, want);
}

#[test]
fn views_are_streams_that_others_read() {
    let rules = "
        CREATE VIEW spend AS
          SELECT account, country AS land, sum(amount) AS spent, count(*) AS n, window_end AS till
          FROM payments GROUP BY account, country, tumble(ts, INTERVAL '1' SECOND);
        CREATE VIEW large (account, spent) AS SELECT account, spent * 2 FROM spend WHERE spent > 5;
        INSERT INTO tell (account, country, n, spent, till)
          SELECT account, land, n, spent, till FROM spend WHERE spent > 5;
        INSERT INTO tell (account, n, spent, since, till)
          SELECT account, sum(n), sum(spent), window_start, window_end FROM spend
          GROUP BY account, tumble(ts_event, INTERVAL '10' SECOND);
        INSERT INTO tell (account, spent) SELECT account, spent FROM large;
    ";
    let lines = "
        1 100 7 DE 1
        2 100 7 DE 2
        3 109 7 DE 6
        4 112 7 DE 1
        5 113 7 DE 1
        6 130 7 DE 1
    ";
    let want = ["7 DE 1 600 0 110", "7  3 900 100 110", "7  0 1200 0 0", "7  2 200 110 120"];
    assert_eq!(run(rules, lines, &COLUMNS), want);
}

/// Ids name key and window: the same whichever record moved time, and however far.
#[test]
fn ids_do_not_depend_on_what_moved_time() {
    let set = set(&format!("{PAYMENTS}{TUMBLE}"));
    let base = "
        1 100 7 DE 1
        2 101 7 DE 1
        3 102 8 DE 1
        4 103 8 DE 1
    ";
    let ids = |last: &str| -> Vec<ActionId> {
        let mut chain = chain(&set);
        let records = records(&set, &format!("{base}\n{last}"));
        let actions = records.iter().flat_map(|record| all(&mut chain, record.record().unwrap()));
        actions.filter_map(|action| ActionId::of(action.record()?)).collect()
    };
    let one = ids("9 112 9 DE 1");
    assert_eq!(one.len(), 2);
    assert!(one[0] != one[1]);
    assert_eq!(one, ids("5 104 9 DE 1\n10 500 - FR 7"));
}

#[test]
fn many_windows_close_at_once_and_a_tick_closes_them_too() {
    let set = set(&format!("{PAYMENTS}{TUMBLE}"));
    let lines: String =
        (0..1_000).map(|i| format!("{i} {} {} DE 1\n", 100 + i % 3, i / 2)).collect();
    let mut chain = chain(&set);
    for record in records(&set, &lines) {
        assert!(all(&mut chain, record.record().unwrap()).is_empty());
    }
    let mut state = Vec::new();
    chain.save(&mut state);
    let mut again = self::chain(&set);
    again.restore(&state).unwrap();
    let tick = |seconds: u64| {
        let ts_event = Nanos(seconds * 1_000_000_000);
        Tick::new(Stamp { ts_event, ..Stamp::default() }, 0)
    };
    for chain in [&mut chain, &mut again] {
        assert!(all(chain, tick(111).as_record()).is_empty());
        let actions = shown(&set, &all(chain, tick(112).as_record()), &["account", "n"]);
        let want: Vec<String> = (0..500).map(|account| format!("{account} 2")).collect();
        assert_eq!(actions, want);
        assert!(all(chain, tick(900).as_record()).is_empty());
    }
}

#[test]
fn a_plan_says_what_windows_keep() {
    let set = set(&format!("{PAYMENTS}{TUMBLE}"));
    let plan = set.explain(None);
    assert!(plan.contains("rule insert_3 on payments, sys.tick"), "{plan}");
    assert!(plan.contains("tumble 10s: 2 key parts, 2 aggregates, told when closed"), "{plan}");
}
