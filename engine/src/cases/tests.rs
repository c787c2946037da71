//! What case files may say, and how rules and cases meet.

use corelane_strategies::rules::RuleSet;

use super::{Difference, read, run};

const RULES: &str = "
    CREATE STREAM payments (id BIGINT NOT NULL, account BIGINT, amount DECIMAL(18,2),
        ts TIMESTAMP(9)) WITH (key = 'account', time = 'ts', time_unit = 's');
    CREATE ACTION hold (payment BIGINT, spent DECIMAL(18,2), share DOUBLE, account BIGINT);
    CREATE RULE velocity ON payments PARTITION BY account
      WHEN count(*) OVER (RANGE INTERVAL '2' SECOND PRECEDING) >= 2
      THEN hold(id, sum(amount) OVER (RANGE INTERVAL '2' SECOND PRECEDING), 1e0 / 3, account);
    INSERT INTO alert (kind, symbol, price, qty)
      SELECT 'spread', symbol, ask - bid, bid_qty FROM book.bbo WHERE ask > bid AND bid > 0
      WITH (name = 'spread');
    INSERT INTO hold (payment, spent) SELECT count(*), sum(amount) FROM payments
      GROUP BY tumble(ts, INTERVAL '1' MINUTE) WITH (name = 'minute');
";

fn outcome(records: &str, expect: &str) -> Result<Vec<Difference>, String> {
    let mut set = RuleSet::new();
    set.add("rules.sql", RULES).unwrap();
    let text = format!("[[case]]\nname = \"a\"\nrecords = [{records}]\nexpect = [{expect}]\n");
    let cases = read("cases.toml", &text).map_err(|error| error.to_string())?;
    let outcome = run(&set, "cases.toml", &cases[0]).map_err(|error| error.to_string())?;
    Ok(if outcome.passed() { Vec::new() } else { outcome.diff })
}

const TWO: &str = "
    { stream = 'payments', at = '1s', id = 1, account = 7, amount = 10.10 },
    { stream = 'Payments', at = '2.5s', id = 2, account = 7, amount = '5' },
";

#[test]
fn records_of_declared_streams_and_ticks() {
    let hold =
        "{ action = 'hold', rule = 'velocity', payment = 2, spent = 15.1, share = 0.333333333 }";
    assert_eq!(outcome(TWO, hold), Ok(vec![]));
    let closed = format!("{hold}, {{ action = 'hold', payment = 2, spent = '15.10' }}");
    assert_eq!(outcome(&format!("{TWO} {{ tick = '1min' }}"), &closed), Ok(vec![]));
    let told = outcome(TWO, "{ action = 'hold', payment = 3 }").unwrap();
    let [Difference::Missing(missing), Difference::Unexpected(found)] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(missing, "hold(payment = 3)  [line 7]");
    assert!(
        found.starts_with("hold(payment = 2, spent = \"15.10\"") && found.ends_with("velocity")
    );
}

#[test]
fn records_of_feeds_build_books() {
    let adds = "
        { stream = 'itch.add_order', instrument = 3, side = 'B', order_ref = 1, price = 10, qty = 5,
          symbol = 'AAPL' },
        { stream = 'itch.add_order', instrument = 3, side = 'S', order_ref = 2, price = 10.02,
          qty = 7, symbol = 'AAPL' },";
    let alert = "{ action = 'alert', kind = 'spread', symbol = 'AAPL', price = 0.02, qty = 5 }";
    assert_eq!(outcome(adds, alert), Ok(vec![]));
}

#[test]
fn mistakes_are_told_with_their_line() {
    let cases = [
        ("{ stream = 'payment', id = 1 }", "", "did you mean `payments`?"),
        ("{ stream = 'payments', idd = 1 }", "", "did you mean `id`?"),
        ("{ stream = 'payments', at = '1s', id = 'x' }", "", "(`id`)"),
        ("{ stream = 'payments', at = '1s' }", "", "a value is missing"),
        ("{ stream = 'itch.trade', qty = -1 }", "", "`qty`: -1 is no INT UNSIGNED"),
        ("{ id = 1 }", "", "needs `stream`"),
        ("{ tick = 5 }", "", "as \"1.5s\""),
        ("", "{ action = 'holt' }", "did you mean `hold`?"),
        ("", "{ action = 'hold', paymend = 1 }", "did you mean `payment`?"),
        ("", "{ action = 'hold', rule = 'velocty' }", "did you mean `velocity`?"),
    ];
    for (records, expect, says) in cases {
        let told = outcome(records, expect).unwrap_err();
        let line = if records.is_empty() { 4 } else { 3 };
        let place = format!("cases.toml:{line}: ");
        assert!(told.starts_with(&place) && told.contains(says), "{told}");
    }
    for (path, text, says) in [
        ("c.toml", "[[case]]\nname = \"a\"\nexpects = []", "c.toml:3: unknown key `expects`"),
        ("c.toml", "[[case]]\nname = \"a\"", "c.toml:1: a case needs `expect`"),
        ("c.toml", "\n[[case]\n", "c.toml:2: this is not TOML"),
        ("c.jsonl", "\n{\"name\":", "c.jsonl:2: this is not JSON"),
    ] {
        let told = read(path, text).unwrap_err().to_string();
        assert!(told.starts_with(says), "{told}");
    }
}

#[test]
fn lines_of_json_are_cases_too() {
    let mut set = RuleSet::new();
    set.add("rules.sql", RULES).unwrap();
    let text = r#"
        {"name": "a", "records": [{"stream": "payments", "at": "0s", "id": 1}], "expect": []}
        {"name": "b", "expect": [{"action": "hold", "account": null}]}
    "#;
    let cases = read("cases.jsonl", text).unwrap();
    let outcomes: Vec<_> = cases.iter().map(|case| run(&set, "c", case).unwrap()).collect();
    assert_eq!(outcomes.iter().map(|outcome| outcome.line).collect::<Vec<_>>(), [2, 3]);
    assert!(outcomes[0].passed() && !outcomes[1].passed());
}
