//! What each query's rows are, by looking at every event that can matter.
//!
//! Invariant: nothing is shared with any engine.

use std::collections::{BTreeMap, HashMap};

use super::events::{Event, Events, Query};
use super::ours::Ours;
use super::results::{Results, symbol, text_word};

/// The events of so many passes, by key.
fn by_key(events: &Events, passes: u64) -> HashMap<u64, Vec<Event>> {
    let mut keys: HashMap<u64, Vec<Event>> = HashMap::new();
    for pass in 0..passes {
        for event in &events.list {
            let ts_ms = event.ts_ms + pass * events.span_ms;
            keys.entry(event.key).or_default().push(Event { ts_ms, ..*event });
        }
    }
    keys
}

fn expected(query: Query, events: &Events, passes: u64) -> Results {
    let mut results = Results::default();
    for (key, list) in by_key(events, passes) {
        for (i, last) in list.iter().enumerate() {
            let until = &list[..i];
            match query {
                Query::Velocity => {
                    let window = list[..=i].iter().filter(|e| last.ts_ms - e.ts_ms <= 60_000);
                    let (n, total) =
                        window.fold((0, 0), |(n, total), event| (n + 1, total + event.value));
                    if n > 12 && total > 60_000 {
                        results.add(&[key, last.ts_ms, n, total.cast_unsigned()]);
                    }
                }
                Query::Tumble => {}
                // Every first step looks for its own first second and third step.
                Query::Pattern if last.kind == 1 => {
                    let within = |event: &&Event| event.ts_ms - last.ts_ms < 10_000;
                    let mut behind = list[i + 1..].iter().take_while(within);
                    let second = behind.by_ref().find(|e| e.kind == 2 && e.value > last.value);
                    let Some(second) = second else { continue };
                    let Some(third) = behind.find(|e| e.kind == 3 && e.value > second.value) else {
                        continue;
                    };
                    results.add(&[key, last.ts_ms, second.ts_ms, third.ts_ms]);
                }
                Query::Pattern => {}
                Query::Join => {
                    for other in until {
                        if other.kind == last.kind || last.ts_ms - other.ts_ms > 500 {
                            continue;
                        }
                        let (a, b) = if last.kind == 0 { (last, other) } else { (other, last) };
                        results.add(&[key, a.ts_ms, b.ts_ms]);
                    }
                }
            }
        }
        if query == Query::Tumble {
            let mut seconds: BTreeMap<u64, i64> = BTreeMap::new();
            for event in list {
                *seconds.entry(event.ts_ms / 1_000).or_default() += event.value;
            }
            for total in seconds.into_values() {
                results.add(&[text_word(&symbol(key)), total.cast_unsigned()]);
            }
        }
    }
    results
}

/// Runs a query and compares.
fn check(query: Query, count: usize, passes: u64) {
    let events = Events::generate(query, count);
    let mut ours = Ours::new(query, &events).unwrap();
    for pass in 0..passes {
        ours.pass(pass * events.span_ms);
    }
    ours.end((passes - 1) * events.span_ms).unwrap();
    let expected = expected(query, &events, passes);
    assert!(expected.rows > 0);
    assert_eq!(ours.results(), expected, "{query:?}");
}

#[test]
fn sums_patterns_and_joins_are_as_expected() {
    for query in [Query::Tumble, Query::Pattern, Query::Join] {
        check(query, 140_000, 2);
    }
}

#[test]
fn velocity_is_as_expected() {
    check(Query::Velocity, 700_000, 1);
}
