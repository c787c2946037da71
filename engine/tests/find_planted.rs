//! Generated sessions through decoder, books and strategies: what was planted is found, what was
//! not is not, and any number of shards decides the same.

use corelane::generate::session::{Config, generate};
use corelane::generate::{Kind, MessageSink, Planted};
use corelane_feeds::feed::{BINARY_FILE_SESSION, Feed, FeedConfig, Protocol, Transport};
use corelane_feeds::record::{Record, RecordBuf};
use corelane_feeds::units::{Nanos, Seq};
use corelane_strategies::action::{ActionId, Alert};
use corelane_strategies::chain::Chain;
use corelane_strategies::registry::{Params, Registry};

const ORDERS_MAX: usize = 1 << 16;

fn chain() -> Chain {
    let registry = Registry::builtin();
    let kinds = ["imbalance", "layering", "stuffing"];
    let strategies = kinds.map(|kind| registry.build(kind, &Params::default()).unwrap());
    Chain::with_books(strategies.into(), ORDERS_MAX)
}

/// Decodes a session's messages as they are generated and gives each record to the chain of its
/// instrument's shard; records of no instrument go to all.
struct Shards {
    feed: Feed,
    chains: Vec<Chain>,
    seq: u64,
    actions: Vec<RecordBuf>,
}

impl Shards {
    fn new(count: usize) -> Self {
        let config = FeedConfig::new(0, Protocol::Itch50, Transport::BinaryFile);
        let chains = (0..count).map(|_| chain()).collect();
        Self { feed: Feed::new(&config), chains, seq: 0, actions: Vec::new() }
    }

    fn alerts(&self, kind: &str) -> Vec<Alert> {
        let records = self.actions.iter().filter_map(RecordBuf::record);
        let alerts = records.filter_map(|record| record.view::<Alert>().copied());
        alerts.filter(|alert| alert.kind.as_str() == kind).collect()
    }
}

impl MessageSink for Shards {
    fn message(&mut self, _ns: u64, bytes: &[u8]) {
        self.seq += 1;
        let (chains, actions) = (&mut self.chains, &mut self.actions);
        let mut sink = |record: &Record| {
            let owner = usize::from(record.header.instrument) % chains.len();
            let to_all = record.header.instrument == 0;
            for (i, chain) in chains.iter_mut().enumerate() {
                if to_all || i == owner {
                    actions.extend_from_slice(chain.on_record(record));
                }
            }
        };
        self.feed.message(BINARY_FILE_SESSION, Seq(self.seq), Nanos(0), bytes, &mut sink);
    }
}

fn config(seed: u64) -> Config {
    Config {
        messages: 600_000,
        symbols: 500,
        seed,
        episodes: 60,
        decoys: 180,
        stuffing: 6,
        halts: 4,
        duration_ns: 240_000_000_000,
        ..Config::default()
    }
}

/// How many of `planted` an alert covers, and how many alerts cover none.
fn score(planted: &[&Planted], alerts: &[Alert], margin_ns: u64) -> (usize, usize) {
    let covers = |planted: &Planted, alert: &Alert| {
        let span = planted.start_ns..=planted.end_ns + margin_ns;
        planted.symbol == alert.symbol.as_str() && span.contains(&alert.header.ts_event.0)
    };
    let found = planted.iter().filter(|p| alerts.iter().any(|alert| covers(p, alert))).count();
    let mut free = vec![true; planted.len()];
    // A second alert on one pattern is a false one.
    let mut claim = |alert: &&Alert| {
        let place = (0..planted.len()).find(|&i| free[i] && covers(planted[i], alert));
        place.map(|i| free[i] = false).is_none()
    };
    (found, alerts.iter().filter(|alert| claim(alert)).count())
}

fn at_least_95_percent(part: usize, whole: usize, what: &str) {
    assert!(part * 100 >= whole * 95, "{what}: {part} of {whole}");
}

#[test]
fn planted_layering_is_found_and_little_else() {
    for seed in [1, 2, 3] {
        let (shards, summary) = generate(&config(seed), Shards::new(1)).unwrap();
        let of = |kind| summary.planted.iter().filter(move |planted| planted.kind == kind);
        for (kind, name) in [(Kind::Layering, "layering"), (Kind::Stuffing, "quote_stuffing")] {
            let planted: Vec<&Planted> = of(kind).collect();
            let alerts = shards.alerts(name);
            let (found, wrong) = score(&planted, &alerts, 0);
            println!(
                "seed {seed}: {name}: {found} of {} planted found, {wrong} of {} alerts wrong",
                planted.len(),
                alerts.len(),
            );
            at_least_95_percent(found, planted.len(), "recall");
            at_least_95_percent(alerts.len() - wrong, alerts.len(), "precision");
        }
        println!("seed {seed}: {} actions", shards.actions.len());
        let orders = shards.actions.len() - shards.alerts("layering").len();
        assert!(orders > 100, "the decision rule sends orders as well");
    }
}

#[test]
fn any_number_of_shards_decides_the_same() {
    let config = Config { messages: 200_000, symbols: 150, episodes: 20, decoys: 30, ..config(4) };
    let sorted = |count| {
        let (shards, _) = generate(&config, Shards::new(count)).unwrap();
        let mut actions = shards.actions;
        actions.sort_by_key(|action| action.record().and_then(ActionId::of));
        actions.iter().flat_map(|action| action.slots().to_vec()).collect::<Vec<_>>()
    };
    let one = sorted(1);
    assert!(one.len() > 20);
    for count in [2, 5] {
        assert!(sorted(count) == one, "{count} shards");
    }
}

#[test]
fn a_chain_restored_anywhere_goes_on_as_if_nothing_had_happened() {
    struct Cut {
        plain: Shards,
        cut: Shards,
        every: u64,
    }
    impl MessageSink for Cut {
        fn message(&mut self, ns: u64, bytes: &[u8]) {
            self.plain.message(ns, bytes);
            self.cut.message(ns, bytes);
            if self.cut.seq.is_multiple_of(self.every) {
                let mut state = Vec::new();
                self.cut.chains[0].save(&mut state);
                self.cut.chains[0] = chain();
                self.cut.chains[0].restore(&state).unwrap();
                let mut again = Vec::new();
                self.cut.chains[0].save(&mut again);
                assert!(again == state, "saved, restored and saved differ");
            }
        }
    }
    let config = Config { messages: 200_000, symbols: 150, episodes: 20, decoys: 30, ..config(5) };
    let cut = Cut { plain: Shards::new(1), cut: Shards::new(1), every: 10_007 };
    let (Cut { plain, cut, .. }, _) = generate(&config, cut).unwrap();
    assert_eq!(plain.actions.len(), cut.actions.len());
    for (a, b) in plain.actions.iter().zip(&cut.actions) {
        assert_eq!(a.slots(), b.slots());
    }
}
