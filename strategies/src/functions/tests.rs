//! Functions that Rust brings: what rules make of them, and which are refused.

use corelane_feeds::record::{RecordBuf, Stamp, View};
use corelane_feeds::streams::itch;
use corelane_feeds::units::{Char, Nanos, Price, Qty32, Seq};
use proptest::prelude::*;

use super::*;
use crate::chain::Chain;
use crate::rules::{RuleSet, Rules};

/// The exclusive or of all rows: what is taken in twice is out.
struct XorAll;

impl AggregateFunction for XorAll {
    fn signature(&self) -> Signature {
        let args = &[Type::Int];
        Signature { name: "xor_all", args, result: Type::Int, doc: "All, in exclusive or." }
    }
    fn words(&self) -> usize {
        1
    }
    fn add(&self, state: &mut [u64], args: &[Datum<'_>]) {
        if let [Datum::Int(value)] = args {
            state[0] ^= value.cast_unsigned();
        }
    }
    fn remove(&self, state: &mut [u64], args: &[Datum<'_>]) {
        self.add(state, args);
    }
    fn merge(&self, state: &mut [u64], other: &[u64]) {
        state[0] ^= other[0];
    }
    fn result(&self, state: &[u64]) -> Datum<'static> {
        Datum::Int(state[0].cast_signed())
    }
}

/// The greatest of all rows: it cannot take one out.
struct Highest;

impl AggregateFunction for Highest {
    fn signature(&self) -> Signature {
        let args = &[Type::Int];
        Signature { name: "highest", args, result: Type::Int, doc: "The greatest, from 0." }
    }
    fn words(&self) -> usize {
        1
    }
    fn add(&self, state: &mut [u64], args: &[Datum<'_>]) {
        if let [Datum::Int(value)] = args {
            state[0] = state[0].max(value.cast_unsigned());
        }
    }
    fn remove(&self, _: &mut [u64], _: &[Datum<'_>]) {}
    fn merge(&self, state: &mut [u64], other: &[u64]) {
        state[0] = state[0].max(other[0]);
    }
    fn result(&self, state: &[u64]) -> Datum<'static> {
        Datum::Int(state[0].cast_signed())
    }
    fn can_remove(&self) -> bool {
        false
    }
}

/// Bytes that are no blanks, of a text that may be NULL.
struct Letters;

impl ScalarFunction for Letters {
    fn signature(&self) -> Signature {
        let args = &[Type::Text(0), Type::Bool];
        Signature { name: "letters", args, result: Type::Int, doc: "Bytes without blanks." }
    }
    fn call(&self, args: &[Datum<'_>]) -> Datum<'static> {
        match args {
            [Datum::Text(text), Datum::Bool(twice)] => {
                let count = text.iter().filter(|byte| **byte != b' ').count() as i64;
                Datum::Int(count << i64::from(*twice))
            }
            [Datum::Null, _] => Datum::Int(-1),
            _ => Datum::Null,
        }
    }
    fn takes_null(&self) -> bool {
        true
    }
}

fn functions() -> Functions {
    let mut functions = Functions::builtin();
    functions.add_scalar(&Letters).unwrap();
    functions.add_aggregate(&XorAll).unwrap();
    functions.add_aggregate(&Highest).unwrap();
    functions
}

fn trade(seq: u64, ms: u64, symbol: &str, price: i64, qty: u32) -> RecordBuf {
    let ts_event = Nanos(ms * 1_000_000);
    let stamp = Stamp { instrument: 7, seq: Seq(seq), ts_event, ..Stamp::default() };
    let mut trade = itch::Trade::new(stamp, b'B');
    (trade.symbol, trade.price, trade.qty) = (Char::new(symbol), Price(price), Qty32(qty));
    trade.as_record().to_buf()
}

/// The first columns of the actions that rules lead to, as words.
fn actions(text: &str, trades: &[(u64, &str, i64, u32)], columns: usize) -> Vec<Vec<i64>> {
    let mut set = RuleSet::with_functions(functions());
    set.add("rules.sql", text).unwrap_or_else(|error| panic!("{error}"));
    let schema = set.declared()[0];
    let offsets: Vec<usize> = schema.columns().map(|field| field.offset).collect();
    let mut chain = Chain::new(vec![], vec![Box::new(Rules::new(&set))]);
    let mut out = Vec::new();
    for (seq, &(ms, symbol, price, qty)) in (1..).zip(trades) {
        let record = trade(seq, ms, symbol, price, qty);
        let actions = chain.on_record(record.record().unwrap());
        for action in actions.iter().filter_map(RecordBuf::record) {
            let bytes = zerocopy::IntoBytes::as_bytes(action);
            let word = |at: &usize| i64::from_le_bytes(*bytes[*at..].first_chunk().unwrap());
            out.push(offsets[offsets.len() - columns..].iter().map(word).collect());
        }
    }
    out
}

#[test]
fn scalar_functions_see_texts_truths_and_null() {
    let rows = actions(
        "CREATE ACTION found (a BIGINT, b BIGINT, c BIGINT);
        CREATE RULE all_of ON itch.trade WHEN true
        THEN found(letters(symbol, qty > 5), letters(NULL, true), letters('a bc', false));",
        &[(0, "AB", 1, 9), (1, "XYZ", 1, 1)],
        3,
    );
    assert_eq!(rows, [[4, -1, 3], [3, -1, 3]]);
}

#[test]
fn distances_are_those_of_the_great_circle() {
    // London (51.5074, -0.1278) to New York (40.7128, -74.0060): 5,570 km.
    let of = |args: [f64; 4]| {
        let haversine = Functions::builtin().scalar("haversine_km").unwrap();
        haversine.0.call(&args.map(Datum::Double))
    };
    let Datum::Double(km) = of([51.5074, -0.1278, 40.7128, -74.006]) else { panic!("no number") };
    assert!((km - 5_570.2).abs() < 0.5, "{km}");
    assert_eq!(of([10.0, 20.0, 10.0, 20.0]), Datum::Double(0.0));
    let Datum::Double(half) = of([0.0, 0.0, 0.0, 180.0]) else { panic!("no number") };
    assert!((half - 20_015.1).abs() < 0.5, "{half}");
}

#[test]
fn wrong_functions_and_wrong_calls_are_refused() {
    struct Named(&'static str, &'static [Type], Type);
    impl ScalarFunction for Named {
        fn signature(&self) -> Signature {
            Signature { name: self.0, args: self.1, result: self.2, doc: "" }
        }
        fn call(&self, _: &[Datum<'_>]) -> Datum<'static> {
            Datum::Null
        }
    }
    let mut functions = functions();
    let mut refused = |name, args, result| {
        let function = Box::leak(Box::new(Named(name, args, result)));
        functions.add_scalar(function).unwrap_err().to_string()
    };
    assert!(refused("Upper", &[], Type::Int).contains("no name"));
    assert!(refused("abs", &[], Type::Int).contains("there already"));
    assert!(refused("vwap", &[], Type::Int).contains("there already"));
    assert!(refused("many", &[Type::Int; 9], Type::Int).contains("too many"));
    assert!(refused("text", &[], Type::Text(8)).contains("no text"));
    let wrong = |call: &str| {
        let text = format!("CREATE RULE r ON itch.trade WHEN {call} > 0 THEN alert(qty, 0, 0);");
        RuleSet::with_functions(self::functions()).add("r.sql", &text).unwrap_err().to_string()
    };
    assert!(wrong("letters(symbol)").contains("letters(VARCHAR, BOOLEAN) -> BIGINT"));
    assert!(wrong("letters(qty, true)").contains("`letters` takes VARCHAR"));
    assert!(wrong("leters(symbol, true)").contains("did you mean `letters`?"));
    assert!(wrong("xor_all(qty)").contains("needs a window"));
    let over = "highest(qty) OVER (RANGE INTERVAL '1' SECOND PRECEDING)";
    assert!(wrong(over).contains("cannot take rows out"));
}

#[test]
fn aggregates_work_in_groups_too() {
    let rows = actions(
        "CREATE ACTION found (x BIGINT, h BIGINT, v PRICE);
        INSERT INTO found SELECT xor_all(qty), highest(qty), vwap(price, qty) FROM itch.trade
        GROUP BY hop(ts_event, INTERVAL '1' SECOND, INTERVAL '2' SECOND);",
        &[(0, "A", 10, 6), (500, "A", 30, 2), (1_500, "A", 50, 3), (9_000, "A", 1, 1)],
        3,
    );
    // [-1, 1), [0, 2), [1, 3)
    assert_eq!(rows, [[4, 6, 15], [7, 6, 24], [3, 3, 50]]);
}

proptest! {
    /// Every row's answer is that of its own window, late rows included.
    #[test]
    fn windows_are_those_of_a_recount(
        rows in prop::collection::vec((0..3_000u64, 1..90i64, 1..9u32), 1..60),
    ) {
        let trades: Vec<(u64, &str, i64, u32)> =
            rows.iter().map(|&(ms, price, qty)| (5_000 + ms, "A", price, qty)).collect();
        let got = actions(
            "CREATE ACTION found (x BIGINT, v PRICE);
            INSERT INTO found SELECT xor_all(qty) OVER w, vwap(price, qty) OVER w FROM itch.trade
            WINDOW w AS (ROWS 7 PRECEDING);",
            &trades,
            2,
        );
        for (at, row) in got.iter().enumerate() {
            let window = &trades[at.saturating_sub(7)..=at];
            let xor = window.iter().fold(0, |xor, trade| xor ^ i64::from(trade.3));
            let value: i64 = window.iter().map(|trade| trade.2 * i64::from(trade.3)).sum();
            let total: i64 = window.iter().map(|trade| i64::from(trade.3)).sum();
            prop_assert_eq!(row, &[xor, value / total]);
        }
        prop_assert_eq!(got.len(), trades.len());
    }

    /// The same over a range of time, with rows in any order.
    #[test]
    fn ranges_are_those_of_a_recount(
        rows in prop::collection::vec((0..3_000u64, 1..90i64, 1..9u32), 1..60),
    ) {
        let trades: Vec<(u64, &str, i64, u32)> =
            rows.iter().map(|&(ms, price, qty)| (5_000 + ms, "A", price, qty)).collect();
        let text = "CREATE ACTION found (x BIGINT, n BIGINT);
            INSERT INTO found SELECT xor_all(qty) OVER w, count(*) OVER w FROM itch.trade
            WINDOW w AS (RANGE INTERVAL '400' MILLISECOND PRECEDING);";
        let got = actions(text, &trades, 2);
        for (at, row) in got.iter().enumerate().filter(|(at, _)| in_order(&trades, *at)) {
            let low = trades[at].0 - 400;
            let window = trades[..=at].iter().filter(|trade| trade.0 >= low);
            let (mut xor, mut count) = (0, 0);
            window.for_each(|trade| (xor, count) = (xor ^ i64::from(trade.3), count + 1));
            prop_assert_eq!(row, &[xor, count]);
        }
    }
}

/// Whether no trade before it is later.
fn in_order(trades: &[(u64, &str, i64, u32)], at: usize) -> bool {
    trades[..at].iter().all(|trade| trade.0 <= trades[at].0)
}
