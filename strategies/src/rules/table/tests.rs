//! Tables in rules: what is found, what is not, and what is told of wrong ones.

use corelane_feeds::record::{Record, RecordBuf};
use corelane_feeds::text::{Format, TextConfig, TextFeed};
use corelane_feeds::units::Nanos;
use proptest::prelude::*;

use crate::chain::Chain;
use crate::rules::engine::tests::column;
use crate::rules::{RuleSet, Rules};

const STREAM: &str = "
    CREATE STREAM payments (id BIGINT NOT NULL, merchant BIGINT, country VARCHAR(4), amount BIGINT)
      WITH (key = 'id');
    CREATE TABLE merchants (id BIGINT, name VARCHAR(12), risk DECIMAL(6,2))
      WITH (key = 'id', file = 'merchants.csv');
    CREATE TABLE bad (country CHAR(2)) WITH (key = 'country', file = 'bad.jsonl');
    CREATE TABLE limits (merchant BIGINT, country CHAR(2), most BIGINT)
      WITH (key = 'merchant, country', file = 'limits.csv');
    CREATE ACTION found (who BIGINT, name VARCHAR(12), risk DECIMAL(6,2));";

fn file(name: &str) -> Result<String, String> {
    let text = match name {
        "merchants.csv" => "id,name,risk\n1,corner shop,0.25\n2,casino,0.90\n7,,0.10\n",
        "bad.jsonl" => "{\"country\":\"KP\"}\n{\"country\":\"IR\"}\n",
        "limits.csv" => "country,merchant,most\nDE,1,100\nFR,1,50\nDE,2,10\n",
        _ => return Err(format!("no file {name}")),
    };
    Ok(text.to_owned())
}

fn set(rules: &str) -> RuleSet {
    let mut set = RuleSet::new();
    set.add_with("rules.sql", &format!("{STREAM}{rules}"), &mut |name| file(name))
        .unwrap_or_else(|error| panic!("{error}"));
    set
}

/// What payments of `(merchant, country, amount)`, with ids from 1, lead to.
fn run(set: &RuleSet, payments: &[(Option<u8>, &str, i64)]) -> Vec<String> {
    let stream = &set.declared_streams()[0];
    let mut feed = TextFeed::new(&TextConfig::new(0, &stream.declared, Format::Json));
    let mut chain = Chain::new(vec![], vec![Box::new(Rules::new(set))]);
    let mut found = Vec::new();
    for (id, (merchant, country, amount)) in (1..).zip(payments) {
        let merchant = merchant.map_or("null".to_owned(), |merchant| merchant.to_string());
        let line = format!(
            "{{\"id\":{id},\"merchant\":{merchant},\"country\":\"{country}\",\
             \"amount\":{amount}}}\n"
        );
        feed.datagram(Nanos(0), line.as_bytes(), &mut |record: &Record| {
            for action in chain.on_record(record).iter().filter_map(RecordBuf::record) {
                let values = ["who", "name", "risk"].map(|name| column(set, action, name));
                found.push(values.join(" "));
            }
        });
    }
    assert_eq!(feed.rejections(), []);
    found
}

const PAYMENTS: &[(Option<u8>, &str, i64)] = &[
    (Some(1), "DE", 60),
    (Some(2), "IR", 5),
    (None, "FR", 1),
    (Some(9), "KP", 70),
    (Some(7), "", 8),
];

#[test]
fn lookup_joins_of_every_kind() {
    let join = |kind: &str, select: &str, filter: &str| {
        let rules = format!(
            "INSERT INTO found SELECT {select} FROM payments p {kind} JOIN merchants m
             ON p.merchant = m.id {filter};"
        );
        run(&set(&rules), PAYMENTS)
    };
    let all = "p.id, m.name, m.risk";
    assert_eq!(join("", all, ""), ["1 corner shop 25", "2 casino 90", "5  10"]);
    assert_eq!(join("", all, "WHERE m.risk > 0.5"), ["2 casino 90"]);
    assert_eq!(join("", all, "AND m.risk > 0.5"), ["2 casino 90"]);
    let left = ["1 corner shop 25", "2 casino 90", "3  0", "4  0", "5  10"];
    assert_eq!(join("LEFT", all, ""), left);
    assert_eq!(join("LEFT", all, "WHERE m.id IS NULL"), ["3  0", "4  0"]);
    let own = "p.id, p.country, p.amount";
    assert_eq!(join("LEFT SEMI", own, ""), ["1 DE 6000", "2 IR 500", "5  800"]);
    assert_eq!(join("LEFT ANTI", own, "WHERE amount > 1"), ["4 KP 7000"]);
    let rule = set("CREATE RULE risky ON payments p JOIN merchants m ON m.id = p.merchant
           WHEN m.risk * p.amount > 4 THEN found(p.id, m.name, m.risk * p.amount);");
    assert_eq!(run(&rule, PAYMENTS), ["1 corner shop 1500", "2 casino 450"]);
    assert!(rule.explain(None).contains("lookup in `merchants`, 3 rows"), "{}", rule.explain(None));
}

#[test]
fn keys_of_several_parts_and_texts_of_other_lengths() {
    let rules = "INSERT INTO found SELECT p.id, p.country, l.most FROM payments p JOIN limits l
        ON p.country = l.country AND p.merchant = l.merchant AND p.amount > l.most;";
    let payments =
        [(Some(1), "DE", 101), (Some(1), "DE", 100), (Some(1), "FR", 51), (None, "DE", 9)];
    assert_eq!(run(&set(rules), &payments), ["1 DE 10000", "3 FR 5000"]);
}

#[test]
fn values_are_looked_for_in_tables() {
    let ids = |condition: &str| {
        let rules =
            format!("INSERT INTO found SELECT id, NULL, NULL FROM payments WHERE {condition};");
        let found = run(&set(&rules), PAYMENTS);
        found.iter().map(|row| row.split(' ').next().unwrap().to_owned()).collect::<String>()
    };
    assert_eq!(ids("country IN TABLE bad"), "24");
    assert_eq!(ids("NOT country IN TABLE bad"), "135");
    assert_eq!(ids("country NOT IN TABLE bad AND merchant IN TABLE merchants"), "15");
    // NULL is in no table, and out of none.
    assert_eq!(ids("merchant IN TABLE merchants"), "125");
    assert_eq!(ids("NOT merchant IN TABLE merchants"), "4");
    assert_eq!(
        ids("merchant - 1 IN TABLE merchants OR CASE WHEN 'KP' IN bad THEN id = 3 END"),
        "23"
    );
}

#[test]
fn windows_see_what_their_table_lets_through() {
    let rules = "INSERT INTO found SELECT id, NULL, count(*) OVER w FROM payments
        WHERE country IN TABLE bad WINDOW w AS (ROWS 9 PRECEDING);";
    assert_eq!(run(&set(rules), PAYMENTS), ["2  100", "4  200"]);
}

#[test]
fn wrong_tables_are_told_where_they_are() {
    let wrong = |text: &str, csv: &str| {
        let mut load = |_: &str| Ok(csv.to_owned());
        let text = format!(
            "CREATE STREAM s (a BIGINT) WITH (key = 'a'); CREATE ACTION x (a BIGINT);\n{text}"
        );
        RuleSet::new().add_with("rules.sql", &text, &mut load).unwrap_err().to_string()
    };
    let table = "CREATE TABLE t (id BIGINT, n BIGINT) WITH (key = 'id', file = 't.csv');";
    let said = |csv: &str, wanted: &str| {
        let error = wrong(table, csv);
        assert!(error.contains(wanted) && error.contains("rules.sql:2:"), "{error}");
    };
    said("id,n\n1,2\nx,3\n", "t.csv, line 3, byte 1");
    said("id,n\n1,2\n2,5\n1,3\n", "rows 1 and 3 have the same key");
    said("id,n\n1,2\n,5\n", "the key of row 2 is NULL");
    let both = |rest: &str| wrong(&format!("{table}\n{rest}"), "id,n\n1,2\n");
    let insert = "INSERT INTO x SELECT s.a FROM s";
    for (rest, wanted) in [
        (format!("{insert} JOIN t ON s.a = t.n;"), "`t` is looked up by its key"),
        (format!("{insert} RIGHT JOIN t ON s.a = t.id;"), "keeps no rows that wait"),
        (format!("{insert} WHERE a IN TABLE tt;"), "did you mean `t`?"),
        (format!("{insert} WHERE 'a' IN TABLE t;"), "the key of `t` is BIGINT"),
        ("INSERT INTO x SELECT id FROM t;".to_owned(), "`t` is a table"),
        ("CREATE STREAM t (a BIGINT);".to_owned(), "the name of a table already"),
        ("CREATE TABLE u (a BIGINT) WITH (key = 'a');".to_owned(), "needs a key and a file"),
        ("CREATE TABLE u (a BIGINT) WITH (kee = 'a');".to_owned(), "did you mean `key`?"),
    ] {
        let error = both(&rest);
        assert!(error.contains(wanted), "{wanted}: {error}");
    }
    let text = "CREATE TABLE t (id BIGINT) WITH (key = 'id', file = 'none.csv');";
    let error = RuleSet::new().add("rules.sql", text).unwrap_err().to_string();
    assert!(error.contains("no files are read here"), "{error}");
}

proptest! {
    /// Every row finds the table's row of its key, and no other.
    #[test]
    fn lookups_are_those_of_a_map(
        table in prop::collection::btree_map(-40..40i64, 0..100i64, 0..60),
        probes in prop::collection::vec(-45..45i64, 1..40),
    ) {
        let csv: String = table.iter().map(|(key, n)| format!("{key},{n}\n")).collect();
        let text = "CREATE STREAM s (a BIGINT) WITH (key = 'a');
            CREATE ACTION found (who BIGINT, name VARCHAR(12), risk BIGINT);
            CREATE TABLE t (id BIGINT, n BIGINT) WITH (key = 'id', file = 't');
            INSERT INTO found SELECT s.a, 'join', t.n FROM s JOIN t ON s.a = t.id;
            INSERT INTO found SELECT a, 'out', 0 FROM s WHERE a NOT IN TABLE t;";
        let mut set = RuleSet::new();
        set.add_with("r.sql", text, &mut |_| Ok(format!("id,n\n{csv}"))).unwrap();
        let stream = &set.declared_streams()[0];
        let mut feed = TextFeed::new(&TextConfig::new(0, &stream.declared, Format::Json));
        let mut chain = Chain::new(vec![], vec![Box::new(Rules::new(&set))]);
        for probe in probes {
            let mut found = Vec::new();
            let line = format!("{{\"a\":{probe}}}\n");
            feed.datagram(Nanos(0), line.as_bytes(), &mut |record: &Record| {
                for action in chain.on_record(record).iter().filter_map(RecordBuf::record) {
                    found.push(["name", "risk"].map(|name| column(&set, action, name)).join(" "));
                }
            });
            let wanted = table.get(&probe).map_or("out 0".to_owned(), |n| format!("join {n}"));
            prop_assert_eq!(found, [wanted]);
        }
    }
}
