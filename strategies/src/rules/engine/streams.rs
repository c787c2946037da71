//! Rules over declared streams: NULLs, narrow columns, and records that rules derive.

use corelane_feeds::record::{Record, RecordBuf};
use corelane_feeds::text::{Format, TextConfig, TextFeed};
use corelane_feeds::units::Nanos;

use super::tests::{column, set};
use crate::chain::Chain;
use crate::rules::{RuleSet, Rules};

/// Runs lines of JSON, records of the first declared stream, through a rule set; each action as its
/// columns' values.
fn run(set: &RuleSet, lines: &str, columns: &[&str]) -> Vec<String> {
    let stream = &set.declared_streams()[0];
    let mut feed = TextFeed::new(&TextConfig::new(0, &stream.declared, Format::Json));
    let mut chain = Chain::new(vec![], vec![Box::new(Rules::new(set))]);
    let mut found = Vec::new();
    let mut sink = |record: &Record| {
        for action in chain.on_record(record).iter().filter_map(RecordBuf::record) {
            let values = columns.iter().map(|name| column(set, action, name));
            found.push(values.collect::<Vec<_>>().join(" "));
        }
    };
    feed.datagram(Nanos(0), lines.as_bytes(), &mut sink);
    assert_eq!(feed.rejections(), []);
    found
}

const PAYMENTS: &str = "
    CREATE STREAM payments (id BIGINT NOT NULL, account BIGINT, country CHAR(2), fee SMALLINT,
        amount DECIMAL(18,2), wait INTERVAL, device SYMBOL, ok BOOLEAN, ts TIMESTAMP(9))
      WITH (key = 'account', time = 'ts', time_unit = 's', lateness = '2s', format = 'json');
    CREATE ACTION hold (payment BIGINT, what VARCHAR(16));
";

#[test]
fn nulls_of_a_stream_are_null_in_expressions() {
    let rules = format!(
        "{PAYMENTS}
        INSERT INTO hold SELECT id, 'country' FROM payments WHERE country IS NULL;
        INSERT INTO hold SELECT id, 'equal' FROM payments WHERE country = 'DE';
        INSERT INTO hold SELECT id, 'other' FROM payments WHERE NOT country = 'DE';
        INSERT INTO hold SELECT id, COALESCE(country, 'none') FROM payments WHERE fee < 0;
        INSERT INTO hold SELECT id, 'wait' FROM payments WHERE wait >= INTERVAL '1500' MILLISECOND;
        INSERT INTO hold SELECT id, device FROM payments WHERE ok AND amount > 10;"
    );
    let set = set(&rules);
    let lines = r#"
        {"id":1,"ts":1}
        {"id":2,"ts":1,"country":"DE","fee":-5}
        {"id":3,"ts":1,"country":"  ","fee":null,"amount":"10.01","ok":"t","device":"sixteen bytes"}
        {"id":4,"ts":1,"fee":-1,"wait":1.5,"ok":false,"amount":11}
    "#;
    let want = [
        "1 country",
        "2 equal",
        "2 DE",
        "3 other",
        "3 sixteen bytes",
        "4 country",
        "4 none",
        "4 wait",
    ];
    assert_eq!(run(&set, lines, &["payment", "what"]), want);
}

#[test]
fn windows_see_what_is_known_and_keys_that_are_null() {
    let rules = format!(
        "{PAYMENTS}
        CREATE RULE spent ON payments PARTITION BY account
          WHEN sum(amount) OVER (RANGE INTERVAL '10' SECOND PRECEDING) > 100
          THEN hold(id, CASE WHEN account IS NULL THEN 'nobody' ELSE 'somebody' END);"
    );
    let lines = r#"
        {"id":1,"ts":1,"account":7,"amount":60}
        {"id":2,"ts":2,"amount":60}
        {"id":3,"ts":3,"account":7}
        {"id":4,"ts":4,"account":0,"amount":60}
        {"id":5,"ts":10,"account":7,"amount":60}
        {"id":6,"ts":11,"amount":60}
        {"id":7,"ts":21,"amount":1}
    "#;
    assert_eq!(run(&set(&rules), lines, &["payment", "what"]), ["5 somebody", "6 nobody"]);
}

#[test]
fn what_rules_derive_is_a_stream_like_any_other() {
    let rules = format!(
        "{PAYMENTS}
        CREATE STREAM large (id BIGINT, country VARCHAR(4), tiny TINYINT, seen TIMESTAMP(9))
          WITH (key = 'country', time = 'seen');
        CREATE ACTION tell (payment BIGINT, at TIMESTAMP(9), far BOOLEAN, was TIMESTAMP(9),
          n BIGINT);
        INSERT INTO tell SELECT id, ts_event, tiny IS NULL, seen, count(*) OVER w FROM large
          WINDOW w AS (PARTITION BY country RANGE INTERVAL '1' HOUR PRECEDING);
        INSERT INTO large (id, seen, tiny)
          SELECT id, ts + INTERVAL '1' MINUTE, fee FROM payments WHERE amount > 100;
        INSERT INTO large SELECT id, country, fee, NULL FROM payments WHERE amount > 100;"
    );
    let lines = r#"
        {"id":1,"ts":1,"account":7,"amount":101,"fee":127}
        {"id":2,"ts":2,"account":7,"amount":102,"fee":128}
        {"id":3,"ts":2,"account":7,"amount":5}
    "#;
    let want = [
        "1 61000000000 0 61000000000 1",
        "1 1000000000 0 0 1",
        "2 62000000000 1 62000000000 3",
        "2 2000000000 1 0 2",
    ];
    let set = set(&rules);
    assert_eq!(run(&set, lines, &["payment", "at", "far", "was", "n"]), want);
    assert!(set.explain(None).contains("then large"), "{}", set.explain(None));
}

#[test]
fn a_set_with_other_options_of_a_stream_cannot_follow() {
    let earlier = set(PAYMENTS);
    set(PAYMENTS).follow(&earlier).unwrap();
    for (was, is) in [
        ("key = 'account'", "key = 'id'"),
        ("lateness = '2s'", "lateness = '3s'"),
        ("time_unit = 's'", "time_unit = 'ms'"),
        ("id BIGINT NOT NULL", "id BIGINT"),
    ] {
        let told = set(&PAYMENTS.replace(was, is)).follow(&earlier).unwrap_err().to_string();
        assert!(told.contains("`payments` was declared, changed or dropped"), "{told}");
    }
}
