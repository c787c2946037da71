//! As-of joins held to a look at all rows.

use corelane_feeds::record::{Stamp, View};
use corelane_feeds::streams::sys;
use corelane_feeds::units::Nanos;
use proptest::prelude::*;

use super::tests::{Event, SECOND, record, rules, run};
use crate::strategy::Strategy as _;

type Pair = (Option<u64>, Option<u64>);

/// What a look at all rows that were not late gives: `low..=high` is the distance of the right row,
/// and the closest is the last of it, or the first.
fn naive(is_left: bool, before: bool, events: &[Event], (low, high): (i64, i64)) -> Vec<Pair> {
    let mut newest = [0; 2];
    let mut rows: [Vec<(u64, usize, u64)>; 2] = [vec![], vec![]];
    for (seq, &(side, symbol, second)) in (1..).zip(events) {
        newest[side] = newest[side].max(second);
        if second >= newest[0].min(newest[1]) {
            rows[side].push((seq, symbol, second));
        }
    }
    let [left, right] = &rows;
    let mut out = Vec::new();
    for l in left {
        let mut closest: Option<&(u64, usize, u64)> = None;
        for r in right.iter().filter(|r| r.1 == l.1) {
            let distance = r.2.cast_signed() - l.2.cast_signed();
            let is_closer = closest.is_none_or(|c| if before { r.2 >= c.2 } else { r.2 <= c.2 });
            if low <= distance && distance <= high && is_closer {
                closest = Some(r);
            }
        }
        if closest.is_some() || is_left {
            out.push((Some(l.0), closest.map(|r| r.0)));
        }
    }
    out
}

/// Rows mostly in order, of two feeds, with many of one time.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (0..2usize, 0..3usize, 0..6u64);
    (prop::collection::vec(event, 1..80), 1..4u64).prop_map(|(events, speed)| {
        let event = |(i, (side, symbol, back)): (u64, Event)| (side, symbol, i / speed + 6 - back);
        (0u64..).zip(events).map(event).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn the_closest_row_is_that_of_a_look_at_all(
        is_left in any::<bool>(),
        op in prop::sample::select(vec![">=", ">", "<=", "<"]),
        events in events(),
        bound in prop::option::of(0..5i64),
        cut in 0..80usize,
    ) {
        let (before, strict) = (op.starts_with('>'), op.len() == 1);
        let (bound, between) = match (before, bound) {
            (true, None) => (String::new(), (i64::MIN, -i64::from(strict))),
            (true, Some(by)) => (
                format!("AND a.ts_event >= t.ts_event - INTERVAL '{by}' SECOND"),
                (-by, -i64::from(strict)),
            ),
            (false, by) => {
                let by = by.unwrap_or(3);
                (
                    format!("AND t.ts_event + INTERVAL '{by}' SECOND >= a.ts_event"),
                    (i64::from(strict), by),
                )
            }
        };
        let left = if is_left { "LEFT" } else { "" };
        let text = format!(
            "CREATE ACTION pair (l BIGINT, r BIGINT);
             INSERT INTO pair SELECT t.seq, a.seq FROM itch.trade t {left} ASOF JOIN
             itch.add_order a MATCH_CONDITION (t.ts_event {op} a.ts_event)
             ON t.symbol = a.symbol {bound}"
        );
        // Strict is by a nanosecond, and times are whole seconds.
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
        let mut expected = naive(is_left, before, &events, between);
        found.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(found, expected);
    }
}

const ASOF: &str = "CREATE ACTION pair (l BIGINT, r BIGINT);
    INSERT INTO pair SELECT t.seq, a.seq FROM itch.trade t ASOF LEFT JOIN itch.add_order a
    MATCH_CONDITION (t.ts_event >= a.ts_event) ON t.symbol = a.symbol";

/// Both feeds move on; then what is told.
fn told(text: &str, events: &[Event]) -> Vec<Pair> {
    let (set, mut chain) = rules(text);
    let mut found = Vec::new();
    for (seq, event) in (1..).zip(events) {
        run(&set, &mut chain, record(seq, *event).record().unwrap(), &mut found);
    }
    found
}

#[test]
fn of_rows_of_one_time_the_last_counts_even_if_it_comes_after_the_left_row() {
    let events = [(1, 0, 5), (0, 0, 7), (1, 0, 7), (1, 0, 7), (1, 0, 8), (0, 0, 8), (0, 0, 9)];
    // The left feed is at 9, the right one at 8: what was before 8 is decided.
    assert_eq!(told(ASOF, &events), [(Some(2), Some(4))]);
}

#[test]
fn one_row_of_a_key_stays_however_old_it_is() {
    let mut events = vec![(1, 1, 1), (1, 0, 2)];
    events.extend((3..5_000).map(|second| (1, 0, second)));
    events.extend([(0, 1, 5_000), (1, 2, 5_001), (0, 2, 5_001)]);
    let (set, mut chain) = rules(&format!("{ASOF} WITH (rows_max = 8)"));
    let mut found = Vec::new();
    // The left feed keeps up, so that time goes on.
    for (seq, event) in (1..).zip(&events) {
        run(&set, &mut chain, record(seq, *event).record().unwrap(), &mut found);
        let stamp = Stamp { ts_event: Nanos(event.2 * SECOND), ..Stamp::default() };
        run(&set, &mut chain, sys::Tick::new(stamp, 0).as_record(), &mut found);
    }
    assert_eq!(found, [(Some(5_000), Some(1))]);
}

#[test]
fn late_rows_and_rows_without_room_are_counted() {
    let mut set = crate::rules::RuleSet::new();
    let text = format!(
        "{ASOF} WITH (rows_max = 2, lateness = '1s');
         INSERT INTO pair SELECT seq, 0 FROM itch.trade.late"
    );
    set.add("join.sql", &text).unwrap();
    let mut rules = crate::rules::Rules::new(&set);
    let mut outbox = crate::outbox::Outbox::new(64, 64);
    // Rows of three keys, then one that is late by more than a second, and one that is not.
    let events = [(1, 0, 1), (1, 1, 1), (1, 2, 1), (0, 0, 9), (1, 0, 9), (0, 0, 7), (0, 0, 8)];
    for (seq, event) in (1..).zip(&events) {
        rules.on_record(record(seq, *event).record().unwrap(), &mut outbox);
    }
    let mut counts = std::collections::HashMap::new();
    rules.counters(&mut |name, count| {
        counts.insert(name, count);
    });
    assert_eq!((counts["join_late"], counts["join_rows_dropped"]), (1, 2));
}

#[test]
fn a_plan_says_what_an_as_of_join_keeps() {
    let (set, _) = rules(ASOF);
    let plan = set.explain(None);
    assert!(plan.contains("left as-of join on 1 key parts: the latest right row before"), "{plan}");
    assert!(plan.contains("at any distance; one row of each key stays"), "{plan}");
}
