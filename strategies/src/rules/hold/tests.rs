//! Rows that are told later, held to a look at all of them.

use corelane_feeds::record::{Record, RecordBuf, Stamp, View};
use corelane_feeds::streams::{itch, sys};
use corelane_feeds::units::{Nanos, Qty32, Seq};
use proptest::prelude::*;

use super::Until;
use crate::action::ActionId;
use crate::chain::Chain;
use crate::rules::{RuleSet, Rules};

const SECOND: u64 = 1_000_000_000;

fn trade(seq: u64, second: u64) -> RecordBuf {
    let stamp = Stamp { seq: Seq(seq), ts_event: Nanos(second * SECOND), ..Stamp::default() };
    let mut trade = itch::Trade::new(stamp, b'B');
    trade.qty = Qty32(qty(seq));
    trade.as_record().to_buf()
}

/// What a trade is ordered by: few values, so that many are equal.
fn qty(seq: u64) -> u32 {
    (seq * 7 % 5) as u32
}

fn tick(second: u64) -> RecordBuf {
    let stamp = Stamp { ts_event: Nanos(second * SECOND), ..Stamp::default() };
    sys::Tick::new(stamp, 0).as_record().to_buf()
}

fn chain(set: &RuleSet) -> Chain {
    Chain::new(vec![], vec![Box::new(Rules::new(set))])
}

/// What each record leads to: the trade that is told, and when.
fn told(chain: &mut Chain, record: &Record) -> Vec<(u64, u64)> {
    let mut found: Vec<RecordBuf> = chain.on_record(record).to_vec();
    while let Some(more) = chain.resume() {
        found.extend_from_slice(more);
    }
    let told = found.iter().filter_map(RecordBuf::record).map(|action| {
        let bytes = zerocopy::IntoBytes::as_bytes(action);
        let at = bytes.len() - 8;
        let seq = u64::from_le_bytes(bytes[at..].try_into().unwrap());
        assert!(ActionId::of(action).is_some());
        (seq, action.header.ts_event.0 / SECOND)
    });
    told.collect()
}

fn set(order: &str, options: &str) -> RuleSet {
    let mut set = RuleSet::new();
    let text = format!(
        "CREATE ACTION tell (no BIGINT);
         INSERT INTO tell SELECT seq FROM itch.trade {order} WITH ({options})"
    );
    set.add("hold.sql", &text).unwrap_or_else(|error| panic!("{error}"));
    set
}

#[test]
fn a_row_is_held_until_the_next_strike_after_its_time() {
    let every = Until::Every { every: 10, offset: 3 };
    let ends: Vec<u64> = [0, 2, 3, 12, 13].iter().map(|ts| every.of(*ts)).collect();
    assert_eq!(ends, [3, 3, 13, 13, 23]);
    assert_eq!(Until::After(5).of(u64::MAX - 1), u64::MAX);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn every_row_that_is_not_late_is_told_once_at_its_time(
        steps in prop::collection::vec(-4..6i64, 1..60),
        (is_delay, length, offset, lateness) in (any::<bool>(), 1..8u64, 0..9u64, 0..4u64),
        (limit, is_ordered) in (prop::option::of(1..4usize), any::<bool>()),
        cut in 0..60usize,
    ) {
        let late = match lateness {
            0 => String::new(),
            _ => format!(", lateness = '{lateness}s'"),
        };
        let options = if is_delay {
            format!("delay = '{length}s'{late}")
        } else {
            format!("every = '{length}s', offset = '{offset}s'{late}")
        };
        let until = |ts: u64| match (is_delay, ts) {
            (true, ts) => ts + length,
            (false, ts) => {
                let is_strike = |end: &u64| (end + 10 * length - offset).is_multiple_of(length);
                (ts + 1..).find(is_strike).unwrap()
            }
        };
        let by = if is_ordered { "ORDER BY qty DESC, feed" } else { "" };
        let first = limit.map_or_else(String::new, |rows| format!("LIMIT {rows}"));
        let set = set(&format!("{by} {first}"), &options);
        // Of rows that are told together those that ORDER BY and LIMIT leave, in that order.
        let told_of = |mut rows: Vec<(u64, u64)>| -> Vec<(u64, u64)> {
            rows.sort_by_key(|(seq, ts)| (*ts, *seq));
            let together = rows.chunk_by(|a, b| until(a.1) == until(b.1));
            let told = together.flat_map(|rows| {
                let mut rows = rows.to_vec();
                if is_ordered {
                    rows.sort_by_key(|(seq, _)| std::cmp::Reverse(qty(*seq)));
                }
                rows.truncate(limit.unwrap_or(usize::MAX));
                rows
            });
            told.collect()
        };
        let mut chain = chain(&set);
        let (mut now, mut newest) = (20i64, 0);
        let (mut held, mut expected, mut found) = (vec![], vec![], vec![]);
        for (seq, step) in (1..).zip(steps) {
            now = (now + step).max(12);
            let ts = now.cast_unsigned();
            newest = newest.max(ts);
            let watermark = newest - lateness;
            // First what is due, then the row.
            let due = held.extract_if(.., |(_, ts): &mut (u64, u64)| until(*ts) <= watermark);
            expected.extend(told_of(due.collect()));
            if until(ts) > watermark {
                held.push((seq, ts));
            }
            if seq as usize == cut {
                let mut state = Vec::new();
                chain.save(&mut state);
                chain = self::chain(&set);
                chain.restore(&state).unwrap();
            }
            found.extend(told(&mut chain, trade(seq, ts).record().unwrap()));
        }
        expected.extend(told_of(held));
        found.extend(told(&mut chain, tick(1_000).record().unwrap()));
        let expected: Vec<_> = expected.into_iter().map(|(seq, ts)| (seq, until(ts))).collect();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn what_is_held_in_a_view_happens_when_it_is_told() {
    let mut set = RuleSet::new();
    let text = "CREATE ACTION tell (n BIGINT, till TIMESTAMP(9), no BIGINT);
        CREATE VIEW gone AS SELECT seq AS no FROM itch.trade WHERE qty < 9 WITH (delay = '5s');
        INSERT INTO tell SELECT count(*), window_end, max(no) FROM gone
        GROUP BY tumble(ts_event, INTERVAL '10' SECOND);
        INSERT INTO tell (no) SELECT seq FROM itch.trade.late;";
    set.add("hold.sql", text).unwrap_or_else(|error| panic!("{error}"));
    let mut chain = chain(&set);
    let found: Vec<_> = [trade(1, 3), trade(2, 6), trade(3, 14), trade(4, 21), trade(5, 15)]
        .iter()
        .flat_map(|record| told(&mut chain, record.record().unwrap()))
        .collect();
    // 1 leaves at 8, 2 at 11, 3 at 19; the first window closes with 3, the second with 4.
    assert_eq!(found, [(1, 10), (3, 20), (5, 15)]);
    let plan = set.explain(None);
    assert!(plan.contains("rows are held for 5s"), "{plan}");
}

#[test]
fn numbers_and_texts_are_ordered_as_they_compare() {
    let mut set = RuleSet::new();
    let text = "CREATE ACTION tell (no BIGINT);
        INSERT INTO tell SELECT seq FROM itch.trade
        ORDER BY CASE WHEN seq = 3 THEN NULL ELSE CAST(seq AS DOUBLE) - 4.5 END * (qty - 2),
                 CASE WHEN seq < 4 THEN 'long text b' ELSE 'long text' END DESC
        LIMIT 6 WITH (every = '10s');";
    set.add("hold.sql", text).unwrap_or_else(|error| panic!("{error}"));
    let mut chain = chain(&set);
    for seq in 1..=7 {
        assert!(told(&mut chain, trade(seq, 5).record().unwrap()).is_empty());
    }
    let found = told(&mut chain, tick(10).record().unwrap());
    // qty is 2, 4, 1, 3, 0, 2, 4: values 0, -5, NULL, -0.5, -1, 0, 5.
    let order: Vec<u64> = found.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(order, [2, 5, 4, 1, 6, 7]);
}
