//! Joins held to a look at all pairs.

use corelane_feeds::record::{Record, RecordBuf, Stamp, View};
use corelane_feeds::streams::{book, itch, sys};
use corelane_feeds::units::{Char, Nanos, Price, Qty32, Seq};
use proptest::prelude::*;
use zerocopy::IntoBytes;

use crate::chain::Chain;
use crate::rules::{NULLS, RuleSet, Rules};

pub(super) const SECOND: u64 = 1_000_000_000;
const SYMBOLS: [&str; 3] = ["A", "B", "C"];

/// A trade (left) or an order (right): side, symbol, second.
pub(super) type Event = (usize, usize, u64);

pub(super) fn record(seq: u64, (side, symbol, second): Event) -> RecordBuf {
    let ts_event = Nanos(second * SECOND);
    // Two feeds: what one brings would be in order.
    let stamp = Stamp { feed: side as u8, seq: Seq(seq), ts_event, ..Stamp::default() };
    if side == 0 {
        let mut trade = itch::Trade::new(stamp, b'B');
        trade.symbol = Char::new(SYMBOLS[symbol]);
        trade.as_record().to_buf()
    } else {
        let mut order = itch::AddOrder::new(stamp, b'B');
        order.symbol = Char::new(SYMBOLS[symbol]);
        order.as_record().to_buf()
    }
}

pub(super) fn rules(text: &str) -> (RuleSet, Chain) {
    let mut set = RuleSet::new();
    set.add("join.sql", text).unwrap_or_else(|error| panic!("{error}"));
    let chain = Chain::new(vec![], vec![Box::new(Rules::new(&set))]);
    (set, chain)
}

/// Both columns of a `pair`, if they are known.
fn pair(set: &RuleSet, action: &Record) -> (Option<u64>, Option<u64>) {
    let bytes = action.as_bytes();
    let schema = set.declared()[0];
    let word = |name: &str| {
        let at = schema.field(name).unwrap().offset;
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    };
    let known = |bit: u32, name| (word(NULLS) >> bit & 1 == 0).then(|| word(name));
    (known(0, "l"), known(1, "r"))
}

pub(super) fn run(
    set: &RuleSet,
    chain: &mut Chain,
    record: &Record,
    out: &mut Vec<(Option<u64>, Option<u64>)>,
) {
    let mut take = |actions: &[RecordBuf]| {
        out.extend(actions.iter().map(|action| pair(set, action.record().unwrap())));
    };
    take(chain.on_record(record));
    while let Some(actions) = chain.resume() {
        take(actions);
    }
}

/// What a look at all pairs of rows that were not late gives.
fn naive(kind: &str, events: &[Event], low: i64, high: i64) -> Vec<(Option<u64>, Option<u64>)> {
    let mut newest = [0; 2];
    let mut rows: [Vec<(u64, usize, u64)>; 2] = [vec![], vec![]];
    for (seq, &(side, symbol, second)) in (1..).zip(events) {
        newest[side] = newest[side].max(second);
        if second >= newest[0].min(newest[1]) {
            rows[side].push((seq, symbol, second));
        }
    }
    let meets = |l: &(u64, usize, u64), r: &(u64, usize, u64)| {
        let distance = r.2.cast_signed() - l.2.cast_signed();
        l.1 == r.1 && low <= distance && distance <= high
    };
    let [left, right] = &rows;
    let mut out = Vec::new();
    for l in left {
        let met: Vec<u64> = right.iter().filter(|r| meets(l, r)).map(|r| r.0).collect();
        match kind {
            "SEMI" if !met.is_empty() => out.push((Some(l.0), None)),
            "ANTI" if met.is_empty() => out.push((Some(l.0), None)),
            "SEMI" | "ANTI" => {}
            _ => out.extend(met.iter().map(|r| (Some(l.0), Some(*r)))),
        }
        if met.is_empty() && matches!(kind, "LEFT" | "FULL") {
            out.push((Some(l.0), None));
        }
    }
    if matches!(kind, "RIGHT" | "FULL") {
        let alone = right.iter().filter(|r| !left.iter().any(|l| meets(l, r)));
        out.extend(alone.map(|r| (None, Some(r.0))));
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn pairs_are_those_of_a_look_at_all(
        kind in prop::sample::select(vec!["", "LEFT", "RIGHT", "FULL", "SEMI", "ANTI"]),
        events in prop::collection::vec((0..2usize, 0..3usize, 0..6u64), 1..60),
        (low, length) in (-4..4i64, 0..5i64),
        cut in 0..60usize,
    ) {
        let high = low + length;
        // Mostly in order, and never far behind.
        let events: Vec<Event> = (0u64..)
            .zip(events)
            .map(|(i, (side, symbol, back))| (side, symbol, i / 3 + 6 - back))
            .collect();
        let r = if matches!(kind, "SEMI" | "ANTI") { "NULL" } else { "a.seq" };
        let text = format!(
            "CREATE ACTION pair (l BIGINT, r BIGINT);
             INSERT INTO pair SELECT t.seq, {r} FROM itch.trade t {kind} JOIN itch.add_order a
             ON t.symbol = a.symbol
             AND a.ts_event BETWEEN t.ts_event + INTERVAL '{low}' SECOND
             AND INTERVAL '{high}' SECOND + t.ts_event"
        );
        let (set, mut chain) = rules(&text);
        let mut found = Vec::new();
        for (seq, event) in (1..).zip(&events) {
            if seq as usize == cut {
                let mut state = Vec::new();
                chain.save(&mut state);
                chain = rules(&text).1;
                chain.restore(&state).unwrap();
            }
            run(&set, &mut chain, record(seq, *event).record().unwrap(), &mut found);
        }
        for feed in [0, 1] {
            let stamp = Stamp { feed, ts_event: Nanos(1_000 * SECOND), ..Stamp::default() };
            run(&set, &mut chain, sys::Tick::new(stamp, 0).as_record(), &mut found);
        }
        let mut expected = naive(kind, &events, low, high);
        found.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(found, expected);
    }
}

fn quote(seq: u64, ms: u64, venue: u16, bid: i64, ask: i64) -> RecordBuf {
    let ts_event = Nanos(ms * 1_000_000);
    let stamp = Stamp { seq: Seq(seq), ts_event, instrument: venue, ..Stamp::default() };
    let mut bbo = book::Bbo::new(stamp, b' ');
    bbo.symbol = Char::new("A");
    (bbo.bid, bbo.ask) = (Price(bid), Price(ask));
    (bbo.bid_qty, bbo.ask_qty) = (Qty32(1), Qty32(1));
    bbo.as_record().to_buf()
}

#[test]
fn only_the_latest_quote_of_a_venue_counts_and_either_side_triggers() {
    let (set, mut chain) = rules(
        "CREATE ACTION pair (l BIGINT, r BIGINT);
         CREATE RULE crossed ON book.bbo a JOIN LATEST book.bbo b PER (symbol, instrument)
           ON a.symbol = b.symbol AND a.instrument <> b.instrument
           WITHIN INTERVAL '5' MILLISECOND
           WHEN a.bid > b.ask THEN pair(a.seq, b.seq);",
    );
    let quotes = [
        quote(1, 1, 1, 100, 101),
        quote(2, 2, 2, 102, 103), // its bid is above 101
        quote(3, 3, 1, 102, 104), // 103 is the latest ask of the other
        quote(4, 4, 2, 99, 100),  // now 102 is above its ask
        quote(5, 9, 1, 150, 151), // 5 ms later: no longer
        quote(6, 10, 2, 99, 149),
    ];
    let mut found = Vec::new();
    for quote in &quotes {
        run(&set, &mut chain, quote.record().unwrap(), &mut found);
    }
    let pairs = [(2, 1), (3, 4), (5, 6)].map(|(l, r)| (Some(l), Some(r)));
    assert_eq!(found, pairs);
}

#[test]
fn a_row_that_meets_thousands_meets_them_all() {
    let (set, mut chain) = rules(
        "CREATE ACTION pair (l BIGINT, r BIGINT);
         INSERT INTO pair SELECT t.seq, a.seq FROM itch.trade t JOIN itch.add_order a
         ON t.symbol = a.symbol AND a.ts_event >= t.ts_event - INTERVAL '1' HOUR
         AND a.ts_event <= t.ts_event",
    );
    let mut found = Vec::new();
    for seq in 1..=2_000 {
        run(&set, &mut chain, record(seq, (1, 0, seq)).record().unwrap(), &mut found);
    }
    run(&set, &mut chain, record(2_001, (0, 0, 2_001)).record().unwrap(), &mut found);
    let expected: Vec<_> = (1..=2_000).map(|r| (Some(2_001), Some(r))).collect();
    assert_eq!(found, expected);
}
