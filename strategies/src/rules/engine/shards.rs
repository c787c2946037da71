//! Rules on several shards decide as on one.

use corelane_feeds::record::{FLAG_EXCHANGED, Record, RecordBuf, Stamp, View};
use corelane_feeds::streams::sys;
use corelane_feeds::text::{Format, TextConfig, TextFeed};
use corelane_feeds::units::Nanos;
use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::tests::set;
use crate::chain::Chain;
use crate::rules::{RuleSet, Rules, Shares};

const STREAMS: &str = "
    CREATE STREAM payments (account BIGINT, merchant BIGINT, country CHAR(2), device VARCHAR(20),
        amount BIGINT, ts TIMESTAMP(9)) WITH (key = 'account', time = 'ts', time_unit = 'ms');
    CREATE STREAM large (who BIGINT, shop BIGINT, sum BIGINT) WITH (key = 'who');
    CREATE STREAM spread (who BIGINT, shop BIGINT) WITH (key = 'who');
    CREATE ACTION found (no BIGINT, a BIGINT, b BIGINT);";

/// What there is to run, each with where it is to run.
const RULES: &[(&str, &str)] = &[
    ("every shard", "INSERT INTO found SELECT 0, account, amount FROM payments WHERE amount > 5"),
    (
        "every shard",
        "INSERT INTO found SELECT 1, account, count(*) OVER w FROM payments
        WINDOW w AS (PARTITION BY account RANGE INTERVAL '1' SECOND PRECEDING)",
    ),
    (
        "every shard",
        "INSERT INTO found SELECT 2, merchant, sum(amount) OVER w FROM payments
        WINDOW w AS (PARTITION BY account, merchant ROWS 5 PRECEDING)",
    ),
    (
        "owns the rule's key",
        "INSERT INTO found SELECT 3, merchant, sum(amount) OVER w FROM payments
        WINDOW w AS (PARTITION BY merchant ROWS 5 PRECEDING)",
    ),
    (
        "owns the rule's key",
        "INSERT INTO found SELECT 4, count(*) OVER v, count(*) OVER w
        FROM payments WINDOW w AS (PARTITION BY merchant ROWS 5 PRECEDING),
        v AS (PARTITION BY country, merchant ROWS 9 PRECEDING)",
    ),
    (
        "owns the rule's key",
        "INSERT INTO found SELECT 5, sum(amount) OVER w, 0 FROM payments
        WHERE amount > 2 WINDOW w AS (PARTITION BY device ROWS 5 PRECEDING)",
    ),
    (
        "first shard",
        "INSERT INTO found SELECT 6, count(*) OVER v, sum(amount) OVER w FROM payments
        WINDOW w AS (PARTITION BY merchant ROWS 5 PRECEDING),
        v AS (PARTITION BY device ROWS 9 PRECEDING)",
    ),
    (
        "first shard",
        "INSERT INTO found SELECT 7, max(amount) OVER w, sum(amount) OVER w
        FROM payments WINDOW w AS (ROWS 5 PRECEDING)",
    ),
    (
        "every shard",
        "INSERT INTO found SELECT 8, count(*) OVER v, count(*) OVER w FROM payments
        WINDOW w AS (PARTITION BY account RANGE INTERVAL '1' SECOND PRECEDING),
        v AS (PARTITION BY account, device ROWS 9 PRECEDING)",
    ),
    (
        "owns the rule's key",
        "CREATE RULE up ON payments PARTITION BY merchant
        MATCH EVERY a:payments(amount > 3) -> b:payments(amount > a.amount)
        WITHIN INTERVAL '2' SECOND THEN found(9, a.amount, b.amount)",
    ),
    (
        "owns the rule's key",
        "INSERT INTO found SELECT 10, a.amount, b.amount FROM payments a
        JOIN payments b ON a.merchant = b.merchant AND a.account <> b.account
        AND b.ts_event BETWEEN a.ts_event AND a.ts_event + INTERVAL '200' MILLISECOND",
    ),
    (
        "first shard",
        "INSERT INTO found SELECT 11, a.amount, b.amount FROM payments a
        JOIN payments b ON a.merchant = b.account AND a.account = b.merchant
        AND b.ts_event BETWEEN a.ts_event AND a.ts_event + INTERVAL '500' MILLISECOND",
    ),
    (
        "owns the rule's key",
        "INSERT INTO found SELECT 12, merchant, sum(amount) FROM payments
        GROUP BY merchant, tumble(ts, INTERVAL '1' SECOND)",
    ),
    (
        "first shard",
        "INSERT INTO found SELECT 13, count(*), sum(amount) FROM payments
        GROUP BY tumble(ts, INTERVAL '1' SECOND)",
    ),
    (
        "every shard",
        "INSERT INTO large SELECT account, merchant, amount FROM payments
        WHERE amount > 4",
    ),
    (
        "every shard",
        "INSERT INTO found SELECT 15, who, sum(sum) OVER w FROM large
        WINDOW w AS (PARTITION BY who ROWS 3 PRECEDING)",
    ),
    ("every shard", "INSERT INTO found SELECT 16, who, sum FROM large WHERE sum > 6"),
    (
        "owns the rule's key",
        "INSERT INTO found SELECT 17, a.amount, b.amount FROM payments a
        LEFT ASOF JOIN payments b MATCH_CONDITION (a.ts_event > b.ts_event)
        ON a.merchant = b.merchant",
    ),
    (
        "every shard",
        "INSERT INTO found SELECT 19, account, amount FROM payments WHERE amount > 6
        WITH (delay = '300ms')",
    ),
    (
        "owns the rule's key",
        "INSERT INTO found SELECT 20, merchant, sum(amount) FROM payments
        GROUP BY merchant WITH (every = '1s', keys_max = 99)",
    ),
    ("first shard", "INSERT INTO spread SELECT account, merchant FROM payments WHERE amount > 1"),
    (
        "first shard",
        "INSERT INTO found SELECT 18, shop, count(*) OVER w FROM spread
        WINDOW w AS (PARTITION BY shop ROWS 3 PRECEDING)",
    ),
];

fn all_rules() -> RuleSet {
    // Each shard takes the memory of all windows.
    let small = |rule: &&str| {
        if rule.contains("OVER") { "WITH (keys_max = 99, rows_max = 999)" } else { "" }
    };
    let rules: String =
        RULES.iter().map(|(_, rule)| format!("{rule} {};\n", small(rule))).collect();
    set(&format!("{STREAMS}{rules}"))
}

#[test]
fn a_plan_says_where_rules_run() {
    let set = all_rules();
    let plan = set.explain(Some(&set.placement(0)));
    let places: Vec<&str> = plan.lines().filter(|line| line.starts_with("  runs on")).collect();
    for ((want, rule), place) in RULES.iter().zip(&places) {
        assert!(place.contains(want), "{rule}: {place}");
    }
    assert_eq!(places.len(), RULES.len());
}

/// Every action that payments `(account, merchant, device, amount, ms)` lead to, sorted: so many
/// shards, each record where its account belongs and wherever else it is needed.
fn actions(set: &RuleSet, shards: usize, payments: &[(u8, u8, u8, u8, u16)]) -> Vec<Vec<u8>> {
    let shares = Shares::new(&set.placement(0), shards);
    let chain = |shard| {
        let rules = Rules::on_shard(set, shares.clone(), shard);
        Chain::new(vec![], vec![Box::new(rules)])
    };
    let mut chains: Vec<Chain> = (0..shards).map(chain).collect();
    let mut router = shares.clone();
    let stream = &set.declared_streams()[0];
    let mut feed = TextFeed::new(&TextConfig::new(0, &stream.declared, Format::Json));
    let mut found = Vec::new();
    let mut take = |chain: &mut Chain, record: &Record| {
        let mut actions = chain.on_record(record).to_vec();
        while let Some(more) = chain.resume() {
            actions.extend_from_slice(more);
        }
        let actions = actions.iter().filter_map(RecordBuf::record);
        found.extend(actions.map(|action| action.as_bytes().to_vec()));
    };
    let mut ms = 1_000_000;
    for &(account, merchant, device, amount, later) in payments {
        ms += u64::from(later);
        let line = format!(
            "{{\"account\":{account},\"merchant\":{merchant},\"country\":\"C{}\",\
             \"device\":\"device number {device}\",\"amount\":{amount},\"ts\":{ms}}}\n",
            device % 2,
        );
        feed.datagram(Nanos(0), line.as_bytes(), &mut |record: &Record| {
            if record.header.instrument == 0 {
                chains.iter_mut().for_each(|chain| take(chain, record));
                return;
            }
            let own = usize::from(record.header.instrument) % shards;
            let others = router.as_mut().map_or(0, |router| router.shards(record));
            take(&mut chains[own], record);
            let mut copy = record.to_buf();
            copy.header_mut().unwrap().flags |= FLAG_EXCHANGED;
            for shard in (0..shards).filter(|shard| others >> shard & 1 == 1 && *shard != own) {
                take(&mut chains[shard], copy.record().unwrap());
            }
        });
    }
    let end = Stamp { ts_event: Nanos((ms + 100_000) * 1_000_000), ..Stamp::default() };
    chains.iter_mut().for_each(|chain| take(chain, sys::Tick::new(end, 0).as_record()));
    assert_eq!(feed.rejections(), []);
    found.sort();
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn shards_decide_as_one(
        payments in prop::collection::vec((0..6u8, 0..5u8, 0..4u8, 0..9u8, 0..400u16), 1..80),
    ) {
        let set = all_rules();
        let one = actions(&set, 1, &payments);
        for shards in [2, 3, 7] {
            prop_assert_eq!(&actions(&set, shards, &payments), &one);
        }
    }
}

#[test]
fn a_set_whose_keys_are_the_streams_own_sends_nothing() {
    let rules = format!("{STREAMS}{};\n{};", RULES[1].1, RULES[15].1);
    let set = set(&rules);
    assert!(!set.placement(0).is_needed());
    assert!(Shares::new(&set.placement(0), 4).is_none());
    let books = self::set(
        "INSERT INTO alert (kind, symbol) SELECT 'x', symbol FROM book.bbo
           WINDOW w AS (PARTITION BY symbol ROWS 3 PRECEDING) QUALIFY count(*) OVER w > 2;
        CREATE ACTION tell (symbol SYMBOL);
        CREATE RULE any_of ON book.bbo
          WHEN count(*) OVER (ROWS 3 PRECEDING) > 2 THEN tell(symbol);",
    );
    let (one, two) = (books.placement(1), books.placement(2));
    assert_eq!(books.misplaced(&one), Some(("any_of", "book.bbo")));
    assert_eq!(books.misplaced(&two).map(|(_, stream)| stream), Some("book.bbo"));
    assert!(one.sends_as(&one) && !one.sends_as(&two));
}
