//! Rows that are told later, held to a look at all of them.

use corelane_feeds::record::{Record, RecordBuf, Stamp, View};
use corelane_feeds::streams::{itch, sys};
use corelane_feeds::units::{Nanos, Seq};
use proptest::prelude::*;

use super::Until;
use crate::action::ActionId;
use crate::chain::Chain;
use crate::rules::{RuleSet, Rules};

const SECOND: u64 = 1_000_000_000;

fn trade(seq: u64, second: u64) -> RecordBuf {
    let stamp = Stamp { seq: Seq(seq), ts_event: Nanos(second * SECOND), ..Stamp::default() };
    itch::Trade::new(stamp, b'B').as_record().to_buf()
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

fn set(options: &str) -> RuleSet {
    let mut set = RuleSet::new();
    let text = format!(
        "CREATE ACTION tell (no BIGINT);
         INSERT INTO tell SELECT seq FROM itch.trade WITH ({options})"
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
        let set = set(&options);
        let mut chain = chain(&set);
        let (mut now, mut newest) = (20i64, 0);
        let (mut held, mut expected, mut found) = (vec![], vec![], vec![]);
        for (seq, step) in (1..).zip(steps) {
            now = (now + step).max(12);
            let ts = now.cast_unsigned();
            newest = newest.max(ts);
            let watermark = newest - lateness;
            // First what is due, then the row.
            held.sort_by_key(|(seq, ts): &(u64, u64)| (*ts, *seq));
            expected.extend(held.extract_if(.., |(_, ts)| until(*ts) <= watermark));
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
        held.sort_by_key(|(seq, ts)| (*ts, *seq));
        expected.extend(held);
        found.extend(told(&mut chain, tick(1_000).record().unwrap()));
        let expected: Vec<_> = expected.into_iter().map(|(seq, ts)| (seq, until(ts))).collect();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn what_is_held_in_a_view_happens_when_it_is_told() {
    let mut set = RuleSet::new();
    let text = "CREATE ACTION tell (n BIGINT, till TIMESTAMP(9), no BIGINT);
        CREATE VIEW gone AS SELECT seq AS no FROM itch.trade WHERE qty = 0 WITH (delay = '5s');
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
