//! Rules over records: what fires, what its actions hold, and what a wrong text is told.

use corelane_feeds::record::{FLAG_SHADOW, Record, RecordBuf, Stamp, View};
use corelane_feeds::streams::{book, itch, sys};
use corelane_feeds::units::{Char, Nanos, Price, Qty32, Seq};

use crate::action::{self, ActionId};
use crate::chain::Chain;
use crate::memory::Memory;
use crate::meter::Meter;
use crate::rules::{RuleSet, Rules};

pub(super) fn set(text: &str) -> RuleSet {
    let mut set = RuleSet::new();
    set.add("rules.sql", text).unwrap_or_else(|error| panic!("{error}"));
    set
}

fn chain(set: &RuleSet) -> Chain {
    Chain::new(vec![], vec![Box::new(Rules::new(set))])
}

fn wrong(text: &str) -> String {
    RuleSet::new().add("rules.sql", text).unwrap_err().to_string()
}

fn stamp(seq: u64, ms: u64, instrument: u16) -> Stamp {
    let ts_event = Nanos(ms * 1_000_000);
    Stamp { instrument, seq: Seq(seq), ts_event, ..Stamp::default() }
}

/// A trade of `qty` at `price` (in units of 1e-9).
fn trade(seq: u64, ms: u64, symbol: &str, price: i64, qty: u32) -> RecordBuf {
    let mut trade = itch::Trade::new(stamp(seq, ms, 7), b'B');
    (trade.symbol, trade.price, trade.qty) = (Char::new(symbol), Price(price), Qty32(qty));
    trade.as_record().to_buf()
}

/// The column of a declared action as text, as a sink would write it.
pub(in crate::rules) fn column(set: &RuleSet, action: &Record, name: &str) -> String {
    let all = set.declared().iter().chain(action::ALL);
    let schema = all.copied().find(|schema| schema.stream == action.header.stream).unwrap();
    let field = schema.field(name).unwrap();
    let bytes = zerocopy::IntoBytes::as_bytes(action);
    let value = &bytes[field.offset..field.offset + field.sql.bytes()];
    match field.sql {
        corelane_feeds::schema::SqlType::Char(_) => {
            String::from_utf8_lossy(value).trim_end_matches([' ', '\0']).to_owned()
        }
        corelane_feeds::schema::SqlType::Double => {
            f64::from_le_bytes(value.try_into().unwrap()).to_string()
        }
        _ => {
            let mut word = [0; 8];
            word[..value.len()].copy_from_slice(value);
            i64::from_le_bytes(word).to_string()
        }
    }
}

/// Runs records through a rule set and gives each action as `column=value` pairs.
fn run(set: &RuleSet, records: &[RecordBuf], columns: &[&str]) -> Vec<String> {
    let mut chain = chain(set);
    let session = sys::Session::new(Stamp::default(), 0);
    chain.on_record(session.as_record());
    let mut all = Vec::new();
    for record in records {
        let actions = chain.on_record(record.record().unwrap());
        for action in actions.iter().filter_map(RecordBuf::record) {
            let pairs = columns.iter().map(|name| column(set, action, name));
            all.push(pairs.collect::<Vec<_>>().join(" "));
        }
    }
    all
}

#[test]
fn a_filter_and_a_projection() {
    let set = set("
        CREATE ACTION big (symbol SYMBOL, notional DECIMAL(18,2), note VARCHAR(16));
        -- shares times price, in cents
        INSERT INTO big
        SELECT symbol, price * qty, CASE WHEN qty >= 1000 THEN 'block' ELSE 'large' END
        FROM itch.trade WHERE price * qty > 10000.50 AND symbol <> 'TEST';
    ");
    let records = [
        trade(1, 1, "AAPL", 100_000_000_000, 100),
        trade(2, 2, "AAPL", 100_010_000_000, 100),
        trade(3, 3, "MSFT", 20_123_456_789, 1_000),
        trade(4, 4, "TEST", 20_000_000_000, 9_000),
    ];
    let actions = run(&set, &records, &["symbol", "notional", "note"]);
    assert_eq!(actions, ["AAPL 1000100 large", "MSFT 2012346 block"]);
}

#[test]
fn a_rule_with_windows() {
    let set = set("
        CREATE ACTION hold (symbol SYMBOL, trades BIGINT, shares BIGINT);
        CREATE RULE velocity WITH (version = 2, mode = 'live') ON itch.trade PARTITION BY symbol
          WHEN count(*) OVER (RANGE INTERVAL '1' SECOND PRECEDING) >= 3
           AND sum(qty) OVER (RANGE INTERVAL '1' SECOND PRECEDING) > 250
          THEN hold(symbol, count(*) OVER (RANGE INTERVAL '1' SECOND PRECEDING),
                    sum(qty) OVER (RANGE INTERVAL '1' SECOND PRECEDING));
    ");
    let at = |seq, ms, symbol| trade(seq, ms, symbol, 1, 100);
    let records = [
        at(1, 0, "A"),
        at(2, 500, "A"),
        at(3, 600, "B"),
        at(4, 1_000, "A"),
        at(5, 1_501, "A"),
        at(6, 1_600, "B"),
    ];
    assert_eq!(run(&set, &records, &["symbol", "trades", "shares"]), ["A 3 300"]);
    let plan = set.explain(None);
    assert!(
        plan.contains("rule velocity on itch.trade") && plan.contains("2 aggregates"),
        "{plan}"
    );
}

#[test]
fn built_in_actions_and_named_columns() {
    let set = set("
        INSERT INTO alert (kind, symbol, price, count) SELECT 'wide_spread', symbol, bid, 1
        FROM book.bbo b WHERE b.ask - b.bid > 0.10 AND b.bid_qty > 0 AND ask_qty IS NOT NULL;
    ");
    let mut bbo = book::Bbo::new(stamp(9, 9, 3), 0);
    (bbo.bid, bbo.ask, bbo.bid_qty) = (Price(10_000_000_000), Price(10_100_000_000), Qty32(5));
    let tight = bbo.as_record().to_buf();
    bbo.ask = Price(10_100_000_001);
    bbo.symbol = Char::new("WIDE");
    let wide = bbo.as_record().to_buf();
    let actions = run(&set, &[tight, wide], &["kind", "symbol", "price", "count"]);
    assert_eq!(actions, ["wide_spread WIDE 10000000000 1"]);
}

#[test]
fn nulls_and_what_is_undefined() {
    let set = set("
        CREATE ACTION probe (quotient BIGINT, half DOUBLE, safe BIGINT);
        INSERT INTO probe SELECT qty / (qty - 100), sqrt(0 - qty), coalesce(NULLIF(qty, 100), -1)
        FROM itch.trade WHERE NOT (qty / 0 > 1 AND FALSE);
    ");
    let records = [trade(1, 1, "A", 1, 100), trade(2, 2, "A", 1, 150)];
    let actions = run(&set, &records, &["_nulls", "quotient", "safe"]);
    // Bits 0 and 1: neither quotient nor root is known, then only the root is not.
    assert_eq!(actions, ["3 0 -1", "2 3 150"]);
}

#[test]
fn actions_have_ids_and_shadows_take_none() {
    let set = set("
        CREATE ACTION say (what VARCHAR(4));
        CREATE RULE loud ON itch.trade WHEN TRUE THEN say('a'), say('b');
        CREATE RULE quiet WITH (mode = 'shadow') ON itch.trade WHEN TRUE THEN say('c');
        CREATE RULE last ON itch.trade WHEN qty IN (1, 2, 3) THEN say('d');
    ");
    let mut chain = chain(&set);
    let trade = trade(5, 5, "A", 1, 2);
    let actions = chain.on_record(trade.record().unwrap());
    let ids: Vec<String> = actions
        .iter()
        .filter_map(|action| ActionId::of(action.record()?))
        .map(|id| format!("{}-{}", id.rule, id.ordinal))
        .collect();
    assert_eq!(ids, ["1-0", "1-1", "2-0", "3-0"]);
    let shadows: Vec<bool> = actions.iter().map(is_shadow).collect();
    assert_eq!(shadows, [false, false, true, false]);
    let mut tallies = Vec::new();
    chain.tallies(&mut |tally| tallies.push((tally.name, tally.fired, tally.taken)));
    assert_eq!(tallies, [("loud", 1, 2), ("quiet", 1, 0), ("last", 1, 1)]);
}

fn is_shadow(action: &RecordBuf) -> bool {
    action.record().unwrap().header.flags & FLAG_SHADOW != 0
}

#[test]
fn a_challenger_acts_on_its_share_of_the_keys_in_place_of_the_other() {
    let set = set("
        CREATE ACTION say (what VARCHAR(4), symbol CHAR(8));
        CREATE RULE old ON itch.trade PARTITION BY symbol WHEN TRUE THEN say('old', symbol);
        CREATE RULE new WITH (mode = 'challenger', against = 'old', share = 0.3)
            ON itch.trade PARTITION BY symbol WHEN TRUE THEN say('new', symbol);
    ");
    let mut chain = chain(&set);
    let mut by = Vec::new();
    for seq in 1..=1_000 {
        let trade = trade(seq, seq, &format!("S{}", seq % 500), 1, 2);
        let actions = chain.on_record(trade.record().unwrap());
        let taken: Vec<String> = actions
            .iter()
            .filter(|action| !is_shadow(action))
            .map(|action| column(&set, action.record().unwrap(), "what"))
            .collect();
        assert_eq!((actions.len(), taken.len()), (2, 1), "{taken:?}");
        by.extend(taken);
    }
    let (first, again) = by.split_at(500);
    assert_eq!(first, again, "a key is always the same one's");
    let by_new = first.iter().filter(|name| *name == "new").count();
    assert!((120..180).contains(&by_new), "{by_new} of 500");
}

#[test]
fn a_rule_that_goes_on_needing_too_long_asks_to_be_suspended() {
    struct Slow(std::cell::Cell<u64>);
    impl Meter for Slow {
        fn now_ns(&self) -> u64 {
            self.0.set(self.0.get() + 2_000);
            self.0.get()
        }
        fn record(&mut self, _rule: usize, ns: u64) {
            assert_eq!(ns, 2_000);
        }
        fn into_any(self: Box<Self>) -> Box<dyn std::any::Any> {
            self
        }
    }
    let set = set("
        CREATE ACTION say (what BIGINT);
        CREATE RULE fine WITH (budget = '2us', over_budget = 'suspend') ON itch.trade
            WHEN TRUE THEN say(1);
        CREATE RULE slow WITH (budget = '1us', over_budget = 'suspend') ON itch.trade
            WHEN TRUE THEN say(2);
    ");
    let mut chain = chain(&set);
    chain.measure(Box::new(Slow(std::cell::Cell::new(0))), true);
    let mut wants = None;
    for seq in 1..10_000 {
        let trade = trade(seq, seq, "A", 1, 2);
        assert_eq!(chain.on_record(trade.record().unwrap()).len(), 2);
        wants = chain.wants_suspended();
        if wants.is_some() {
            break;
        }
    }
    assert_eq!(wants, Some(1));
    let mut change = sys::RuleChange::new(stamp(0, 10, 0), 0);
    (change.what, change.rule) = (Char::new("suspend"), 1);
    chain.on_record(change.as_record());
    assert_eq!(chain.on_record(trade(1, 11, "A", 1, 2).record().unwrap()).len(), 1);
    let mut suspended = Vec::new();
    chain.tallies(&mut |tally| suspended.push((tally.is_suspended, tally.over_budget >= 8)));
    assert_eq!(suspended, [(false, false), (true, true)]);
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let error = wrong(
        "INSERT INTO alrt SELECT 1 FROM itch.trade;\nINSERT INTO alert SELECT qtty FROM itch.trad;",
    );
    assert!(error.contains("rules.sql:1:13") && error.contains("did you mean `alert`?"), "{error}");
    assert!(
        error.contains("rules.sql:2:36") && error.contains("did you mean `itch.trade`?"),
        "{error}"
    );
    let error = wrong("CREATE RULE r ON itch.trade WHEN symbol > 5 THEN alert(1);");
    assert!(error.contains("VARCHAR(8) and BIGINT cannot be compared"), "{error}");
    let error = wrong("CREATE RULE r ON itch.trade WHEN count(*) > 5 THEN alert(1)");
    assert!(error.contains("needs a window"), "{error}");
    let error = wrong("CREATE RULE r ON itch.trade WHEN (1 = 1 THEN alert(1)");
    assert!(error.contains("rules.sql:1:41"), "{error}");
    let deep = format!(
        "CREATE RULE r ON itch.trade WHEN {}1 = 1{} THEN alert(1)",
        "(".repeat(9_000),
        ")".repeat(9_000)
    );
    assert!(wrong(&deep).contains("too deep"), "bounded");
    let wide = format!(
        "CREATE RULE r ON itch.trade WHEN qty = 1{} THEN alert(1)",
        " OR qty = 1".repeat(20_000)
    );
    assert!(RuleSet::new().add("wide.sql", &wide).is_err());
}

#[test]
fn more_actions_than_there_is_room_for_come_in_pieces() {
    let rule = |i: usize| format!("CREATE RULE r{i} ON itch.trade WHEN TRUE THEN say({i});");
    let rules: String = (0..150).map(rule).collect();
    let set = set(&format!("CREATE ACTION say (what BIGINT); {rules}"));
    let mut chain = chain(&set);
    for seq in [1, 2] {
        let trade = trade(seq, 5, "A", 1, 2);
        let mut said = Vec::new();
        let mut pieces = 1;
        let mut take = |actions: &[RecordBuf]| {
            said.extend(
                actions.iter().map(|action| column(&set, action.record().unwrap(), "what")),
            );
        };
        take(chain.on_record(trade.record().unwrap()));
        while let Some(actions) = chain.resume() {
            take(actions);
            pieces += 1;
        }
        let all: Vec<String> = (0..150).map(|i: u32| i.to_string()).collect();
        assert_eq!((said, pieces), (all, 3));
    }
}

#[test]
fn rules_that_look_at_the_same_rows_share_a_window() {
    let rule = |i: usize| {
        format!(
            "CREATE RULE r{i} ON itch.trade PARTITION BY symbol
             WHEN count(*) OVER (RANGE INTERVAL '1' SECOND PRECEDING) = {i}
                AND sum(qty) OVER (RANGE INTERVAL '1' SECOND PRECEDING) > 0 THEN say({i});"
        )
    };
    let rules: String = (1..4).map(rule).collect();
    let set = set(&format!(
        "CREATE ACTION say (what BIGINT); {rules}
         INSERT INTO say SELECT 9 FROM itch.trade WHERE qty > 1
            QUALIFY count(*) OVER (PARTITION BY symbol RANGE INTERVAL '1' SECOND PRECEDING) = 2;"
    ));
    let plan = set.explain(None);
    assert_eq!(plan.matches("2 aggregates, at most").count(), 3, "{plan}");
    assert_eq!(plan.matches("shared by 3 rules").count(), 3, "{plan}");
    let trades = [("A", 1), ("B", 1), ("A", 2), ("A", 2)];
    let trades: Vec<RecordBuf> =
        (1..).zip(trades).map(|(seq, (symbol, qty))| trade(seq, seq, symbol, 1, qty)).collect();
    let said = run(&set, &trades, &["what"]);
    assert_eq!(said, ["1", "1", "2", "3", "9"]);
}

#[test]
fn what_follows_keeps_the_windows_that_it_still_needs() {
    let text = |bound: u32, more: &str| {
        format!(
            "CREATE ACTION say (what BIGINT);
             {more}
             CREATE RULE r ON itch.trade
                WHEN count(*) OVER (ROWS UNBOUNDED PRECEDING) > {bound}
                THEN say(count(*) OVER (ROWS UNBOUNDED PRECEDING));"
        )
    };
    let first = set(&text(1, ""));
    let mut second = set(&text(3, "CREATE RULE new ON itch.trade WHEN qty = 9 THEN say(9);"));
    second.follow(&first).unwrap();
    assert_eq!(second.names().collect::<Vec<_>>(), ["r", "new"], "numbers stay");
    let mut chain = chain(&first);
    let mut said = Vec::new();
    for seq in 1..=5 {
        if seq == 3 {
            assert!(chain.replace_rules(&mut Rules::new(&second)));
        }
        let trade = trade(seq, seq, "A", 1, 9);
        for action in chain.on_record(trade.record().unwrap()) {
            let action = action.record().unwrap();
            said.push((seq, ActionId::of(action).unwrap().rule, column(&second, action, "what")));
        }
    }
    let nine = || "9".to_owned();
    let expected = [
        (2, 1, "2".to_owned()),
        (3, 2, nine()),
        (4, 2, nine()),
        (4, 1, "4".to_owned()),
        (5, 2, nine()),
        (5, 1, "5".to_owned()),
    ];
    assert_eq!(said, expected);

    let refused = |text: &str| set(text).follow(&first).unwrap_err().to_string();
    let error = refused("CREATE ACTION say (what BIGINT, more BIGINT)");
    assert!(error.contains("`action.say` was declared, changed or dropped"), "{error}");
    let error = refused(
        "CREATE ACTION say (what BIGINT);
         CREATE RULE b ON book.bbo WHEN bid > 0 THEN say(1)",
    );
    assert!(error.contains("no rule read `book.bbo`"), "{error}");
}

#[test]
fn looking_ahead_decides_nothing() {
    let set = set("CREATE ACTION found (symbol SYMBOL, n BIGINT);
         CREATE RULE busy ON itch.trade PARTITION BY symbol, side
           WHEN count(*) OVER (RANGE INTERVAL '1' SECOND PRECEDING) >= 2
           THEN found(symbol, count(*) OVER (RANGE INTERVAL '1' SECOND PRECEDING));");
    let trades: Vec<RecordBuf> =
        (0..50).map(|i| trade(i, i * 100, ["AAA", "BBB", "CCC"][i as usize % 3], 1, 1)).collect();
    let run = |ahead: bool| {
        let mut chain = chain(&set);
        let mut actions = Vec::new();
        chain.reserve(0, Memory::NONE);
        assert!(chain.looks_further());
        for batch in trades.chunks(7) {
            let records = || batch.iter().filter_map(RecordBuf::record);
            if ahead {
                records().for_each(|record| chain.prefetch(record, Memory::NONE));
                records().for_each(|record| chain.prefetch_further(record, Memory::NONE));
            }
            for record in records() {
                actions.extend(chain.on_record(record).iter().map(|action| format!("{action:?}")));
            }
        }
        actions
    };
    assert!(!run(false).is_empty());
    assert_eq!(run(true), run(false));
}
