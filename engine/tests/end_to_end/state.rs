//! `corelane state`: what a run kept at any record of its journal, whatever it is found from.

use serde_json::Value;

use super::recovery::{assert_goes_on, ended_run};
use super::rerun::decided;
use super::support::{Side, feed, free_group, generate, must, text};

fn state(side: &Side, more: &[&str]) -> Value {
    let journal = side.journal();
    let args = [&["state", "--journal", text(&journal), "--json"], more].concat();
    serde_json::from_str(&must(side.path(), &args)).unwrap()
}

/// What all shards keep of a kind.
fn of<'a>(state: &'a Value, what: &str) -> Vec<&'a Value> {
    let shards = state.as_array().unwrap().iter();
    let kept = shards.flat_map(|shard| shard["kept"].as_array().unwrap());
    kept.filter(|kept| kept["what"] == what).collect()
}

/// What the run of the payments keeps before the payment of an id comes.
fn before_payment(side: &Side, id: u64, key: &str) -> Value {
    let ns = (1_700_000_000_000 + id * 1_000) * 1_000_000;
    state(side, &["--until", &format!("{ns}ns"), "--key", key])
}

#[test]
fn windows_and_partial_matches_are_those_of_the_rows_so_far() {
    for engine in ["", "topology = \"pipelined\"\nshards = 3"] {
        let side = decided(engine);
        for (until, account) in [(22, 5_u64), (22, 4), (400, 3)] {
            let told = before_payment(&side, until, &account.to_string());
            // The rows of the account in the five seconds before its newest one.
            let own: Vec<u64> = (0..until).filter(|id| id / 4 % 7 == account).collect();
            let newest = own[own.len() - 1];
            let frame = own.iter().filter(|id| newest - **id <= 5);
            let total: u64 = frame.clone().map(|id| id * 37 % 101 * 100 + 50).sum();
            let windows = of(&told, "window");
            let window = windows.iter().find(|window| window["of"] == "velocity").unwrap();
            let values = &window["values"];
            assert_eq!(values["rows"], frame.count().to_string(), "{window:#}");
            assert_eq!(values["count(*)"], values["rows"]);
            assert_eq!(values["sum(amount)"], format!("{}.{:02}", total / 100, total % 100));
            assert_eq!(values["newest"], ((1_700_000_000 + newest) * 1_000_000_000).to_string());
        }
        // Payment 20 is of 33.50, and 21 of 70.50, which is more than twice as much; none of more
        // than 90 has come yet.
        let told = before_payment(&side, 22, "5");
        let [open] = of(&told, "partial match")[..] else { panic!("{told:#}") };
        assert_eq!((&open["of"], &open["key"]), (&"growing".into(), &"5".into()));
        let rows = open["rows"].as_array().unwrap().iter();
        let rows: Vec<_> = rows.map(|row| (&row["as"], &row["stream"], &row["amount"])).collect();
        let bound = |name: &str, amount: &str| [name, "payments", amount].map(Value::from);
        let (a, b) = (bound("a", "33.50"), bound("b", "70.50"));
        assert_eq!(rows, [(&a[0], &a[1], &a[2]), (&b[0], &b[1], &b[2])]);
        // One payment earlier the second is not bound.
        let told = before_payment(&side, 21, "5");
        assert_eq!(of(&told, "partial match")[0]["rows"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn the_state_is_the_same_from_a_snapshot_as_from_the_beginning() {
    let (side, _) = ended_run("");
    let all = state(&side, &[]);
    let books = of(&all, "book");
    assert_eq!(books.len(), 6, "one for every symbol");
    let symbol = books[0]["key"].as_str().unwrap().to_owned();
    for what in ["book", "quote", "usual size", "window"] {
        assert!(!of(&all, what).is_empty(), "no {what} in {all:#}");
    }
    let one = state(&side, &["--key", &symbol]);
    let kept = one[0]["kept"].as_array().unwrap();
    assert!(kept.len() > 3 && kept.iter().all(|kept| kept["key"] == symbol.as_str()), "{one:#}");
    let then = state(&side, &["--until", "2500"]);
    assert!((2_000..2_500).contains(&then[0]["entry"].as_u64().unwrap()));
    assert_ne!(then[0]["kept"], all[0]["kept"]);
    let until = then[0]["ts_event"].as_u64().unwrap() + 1;
    let by_time = state(&side, &["--until", &format!("{until}ns")]);
    assert_eq!(by_time[0]["ts_event"], then[0]["ts_event"]);

    let side = side.with_journal("snapshot_every = 1000");
    assert_goes_on(&side, "closed");
    // The going on wrote snapshots; what was before them is found all the same.
    assert_eq!(state(&side, &["--until", "2500"])[0]["kept"], then[0]["kept"]);
    assert_eq!(state(&side, &[])[0]["kept"], all[0]["kept"]);
    let told = must(side.path(), &["state", text(&side.config), "--key", &symbol]);
    assert!(told.starts_with("shard 0 after entry ") && told.contains(&format!("book {symbol} (")));
}

/// The best prices that a book has are those of the last quote that it said.
#[test]
fn a_book_is_as_it_was() {
    let (side, _) = ended_run("");
    let told = state(&side, &["--until", "3000"]);
    for book in of(&told, "book") {
        let key = &book["key"];
        let quote = of(&told, "quote").into_iter().find(|quote| quote["key"] == *key).unwrap();
        for side in ["bid", "ask"] {
            let best = &book["values"][side];
            assert!(best == &quote["values"][side] || best == "none", "{book:#} {quote:#}");
            let levels = book["rows"].as_array().unwrap();
            let level = levels.iter().find(|row| row["as"].as_str().unwrap().starts_with(side));
            let level = level.map_or("none", |row| row["as"].as_str().unwrap());
            assert!(level.contains(best.as_str().unwrap()), "{level}: {book:#}");
        }
    }
}

#[test]
fn every_operator_says_what_it_keeps() {
    let dir = tempfile::tempdir().unwrap();
    let group = free_group();
    let size = ["--messages", "12000", "--symbols", "12", "--duration", "12s", "--episodes", "1"];
    let capture = generate(dir.path(), "a.pcap", group, &size);
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/end_to_end/data/every_operator.sql");
    let rules = format!("[[rules]]\nfile = \"{rules}\"\n");
    let side = Side::new("", &feed("itch50", &[group]), &rules);
    side.replay(&capture, "max");
    let places =
        [4_000, 8_000, 12_000].map(|until: u64| state(&side, &["--until", &until.to_string()]));
    for what in ["book", "window", "group window", "partial match", "left row", "right row"] {
        assert!(places.iter().any(|place| !of(place, what).is_empty()), "no {what}");
    }
    let suspects = places.iter().flat_map(|place| of(place, "partial match"));
    let mut bound = suspects
        .filter(|open| open["of"] == "pulled")
        .flat_map(|open| open["rows"].as_array().unwrap());
    // It follows large orders that were added, and nothing else.
    assert!(bound.clone().count() > 0);
    assert!(bound.all(|row| row["as"] == "a" && row["kind"] == "A"));
}
