//! Held to a look at every rule.

use corelane_feeds::record::{Stamp, View};
use corelane_feeds::streams::itch;
use corelane_feeds::units::{Char, Nanos, Price, Qty32, Seq};
use proptest::prelude::*;

use crate::chain::Chain;
use crate::rules::{RuleSet, Rules};

const SYMBOLS: [&str; 4] = ["A", "AB", "ABCDEFGH", "Z"];

fn condition() -> impl Strategy<Value = String> {
    let simple = prop_oneof![
        (0..4usize).prop_map(|i| format!("symbol = '{}'", SYMBOLS[i])),
        (0..4usize, 0..4usize)
            .prop_map(|(a, b)| format!("symbol IN ('{}', '{}')", SYMBOLS[a], SYMBOLS[b])),
        (0..20u32).prop_map(|n| format!("qty = {n}")),
        (0..20u32).prop_map(|n| format!("qty >= {n}")),
        (0..20u32).prop_map(|n| format!("{n} > qty")),
        (0..20u32, 0..6u32).prop_map(|(n, m)| format!("qty BETWEEN {n} AND {}", n + m)),
        (0..5u32).prop_map(|n| format!("price > {n}.5")),
        (0..20u32).prop_map(|n| format!("qty % 7 = {}", n % 7)),
        (0..20u32).prop_map(|n| format!("(qty = {n} OR symbol = 'A')")),
        (0..20u32).prop_map(|n| format!("NOT qty < {n}")),
    ];
    prop::collection::vec(simple, 1..4).prop_map(|all| all.join(" AND "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_rule_is_missed_and_the_order_is_that_of_the_text(
        conditions in prop::collection::vec(condition(), 1..40),
        trades in prop::collection::vec((0..4usize, 0..24u32, 0..6i64), 1..30),
    ) {
        let mut text = "CREATE ACTION say (what BIGINT);".to_owned();
        for (i, condition) in conditions.iter().enumerate() {
            text += &format!("CREATE RULE r{i} ON itch.trade WHEN {condition} THEN say({i});");
        }
        let mut all = RuleSet::new();
        all.add("all.sql", &text).unwrap();
        let mut indexed = Chain::new(vec![], vec![Box::new(Rules::new(&all))]);
        // One rule alone has no other to be mixed up with; OR TRUE = FALSE keeps it off the index.
        let mut alone: Vec<Chain> = conditions.iter().map(|condition| {
            let mut one = RuleSet::new();
            let text = format!(
                "CREATE ACTION say (what BIGINT);
                 CREATE RULE r ON itch.trade WHEN ({condition}) OR FALSE THEN say(0);"
            );
            one.add("one.sql", &text).unwrap();
            Chain::new(vec![], vec![Box::new(Rules::new(&one))])
        }).collect();
        for (seq, (symbol, qty, price)) in (1..).zip(trades) {
            let ts_event = Nanos(seq);
            let stamp = Stamp { seq: Seq(seq), ts_event, ..Stamp::default() };
            let mut trade = itch::Trade::new(stamp, b'B');
            trade.symbol = Char::new(SYMBOLS[symbol]);
            (trade.price, trade.qty) = (Price(price * 1_000_000_000), Qty32(qty));
            let said: Vec<u64> = indexed.on_record(trade.as_record()).iter().map(|action| {
                let record = action.record().unwrap();
                record.fields[2]
            }).collect();
            let wanted: Vec<u64> = (0..).zip(&mut alone).filter_map(|(i, chain)| {
                (!chain.on_record(trade.as_record()).is_empty()).then_some(i)
            }).collect();
            prop_assert_eq!(said, wanted);
        }
    }
}
