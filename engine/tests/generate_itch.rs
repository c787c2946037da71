//! Generated sessions, replayed by a naive book that shares nothing with the generator, and
//! searched for layering by a slow reading of the definition.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use corelane::generate::session::{Config, ConfigError, Summary, generate};
use corelane::generate::{Kind, Planted};

const MS: u64 = 1_000_000;

/// A message, decoded by the offsets of the specification.
struct Raw<'a>(&'a [u8]);

impl Raw<'_> {
    fn kind(&self) -> u8 {
        self.0[0]
    }
    fn locate(&self) -> u16 {
        u16::from_be_bytes([self.0[1], self.0[2]])
    }
    fn ns(&self) -> u64 {
        self.0[5..11].iter().fold(0, |ns, &b| ns << 8 | u64::from(b))
    }
    fn u32(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.0[at..at + 4].try_into().unwrap())
    }
    fn u64(&self, at: usize) -> u64 {
        u64::from_be_bytes(self.0[at..at + 8].try_into().unwrap())
    }
}

fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Raw<'_>> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_first_chunk::<2>()?;
        let (message, rest) = rest.split_at(usize::from(u16::from_be_bytes(*head)));
        bytes = rest;
        Some(Raw(message))
    })
}

fn length(kind: u8) -> usize {
    match kind {
        b'S' | b'W' => 12,
        b'R' => 39,
        b'H' | b'V' | b'N' => match kind {
            b'H' => 25,
            b'V' => 35,
            _ => 20,
        },
        b'Y' => 20,
        b'L' => 26,
        b'K' => 28,
        b'J' | b'U' => 35,
        b'h' => 21,
        b'A' | b'C' => 36,
        b'F' | b'Q' => 40,
        b'E' => 31,
        b'X' => 23,
        b'D' | b'B' => 19,
        b'P' => 44,
        b'I' => 50,
        b'O' => 48,
        other => panic!("unknown type {}", other as char),
    }
}

#[derive(Copy, Clone)]
struct Order {
    locate: u16,
    buy: bool,
    price: u32,
    qty: u32,
}

type Level = VecDeque<u64>;

/// Books by locate: price levels of references in time order.
#[derive(Default)]
struct Naive {
    orders: HashMap<u64, Order>,
    books: HashMap<u16, [BTreeMap<u32, Level>; 2]>,
    halted: BTreeSet<u16>,
    used: u64,
}

impl Naive {
    fn best(&self, locate: u16, buy: bool) -> Option<(u32, u64)> {
        let sides = self.books.get(&locate)?;
        let level = if buy { sides[0].last_key_value() } else { sides[1].first_key_value() };
        level.map(|(&price, level)| (price, level[0]))
    }

    fn add(&mut self, reference: u64, order: Order) {
        assert!(order.qty > 0 && order.price > 0);
        assert!(reference > self.used, "references grow");
        self.used = reference;
        match self.best(order.locate, !order.buy) {
            Some((ask, _)) if order.buy => assert!(order.price < ask, "crossed"),
            Some((bid, _)) => assert!(order.price > bid, "crossed"),
            None => {}
        }
        assert!(self.orders.insert(reference, order).is_none(), "reference used twice");
        let sides = self.books.entry(order.locate).or_default();
        sides[usize::from(!order.buy)].entry(order.price).or_default().push_back(reference);
    }

    fn remove(&mut self, locate: u16, reference: u64) -> Order {
        let order = self.orders.remove(&reference).expect("a live order");
        assert_eq!(order.locate, locate);
        let side = &mut self.books.get_mut(&locate).unwrap()[usize::from(!order.buy)];
        let level = side.get_mut(&order.price).unwrap();
        level.retain(|&r| r != reference);
        if level.is_empty() {
            side.remove(&order.price);
        }
        order
    }

    fn reduce(&mut self, locate: u16, reference: u64, qty: u32) {
        let order = self.orders.get_mut(&reference).expect("a live order");
        assert_eq!(order.locate, locate);
        assert!(qty > 0 && qty <= order.qty, "more than the order holds");
        order.qty -= qty;
        if order.qty == 0 {
            self.remove(locate, reference);
        }
    }

    fn apply(&mut self, m: &Raw<'_>) {
        let locate = m.locate();
        match m.kind() {
            b'A' | b'F' => {
                let buy = m.0[19] == b'B';
                let order = Order { locate, buy, qty: m.u32(20), price: m.u32(32) };
                self.add(m.u64(11), order);
            }
            b'E' | b'C' => {
                assert!(!self.halted.contains(&locate), "an execution in a halt");
                let order = self.orders[&m.u64(11)];
                assert_eq!(self.best(locate, order.buy).unwrap().1, m.u64(11), "not the front");
                self.reduce(locate, m.u64(11), m.u32(19));
            }
            b'X' => {
                assert!(m.u32(19) < self.orders[&m.u64(11)].qty, "a cancel leaves something");
                self.reduce(locate, m.u64(11), m.u32(19));
            }
            b'D' => {
                self.remove(locate, m.u64(11));
            }
            b'U' => {
                let old = self.remove(locate, m.u64(11));
                self.add(m.u64(19), Order { qty: m.u32(27), price: m.u32(31), ..old });
            }
            b'H' if m.0[19] == b'T' => {
                self.halted.remove(&locate);
            }
            b'H' => {
                self.halted.insert(locate);
            }
            _ => {}
        }
    }
}

fn session(config: &Config) -> (Vec<u8>, Summary) {
    generate(config, Vec::new()).unwrap()
}

fn planted_config(seed: u64) -> Config {
    Config {
        messages: 400_000,
        symbols: 300,
        seed,
        episodes: 12,
        decoys: 40,
        stuffing: 3,
        halts: 4,
        duration_ns: 120_000_000_000,
        ..Config::default()
    }
}

#[test]
fn a_naive_book_accepts_every_message() {
    for (seed, symbols) in [(1, 300), (2, 3_000), (3, 1)] {
        let config = Config { symbols, seed, ..planted_config(seed) };
        let config =
            if symbols == 1 { Config { episodes: 1, decoys: 2, ..config } } else { config };
        let (bytes, summary) = session(&config);
        let (mut naive, mut count, mut last) = (Naive::default(), 0u64, 0);
        for m in messages(&bytes) {
            assert_eq!(m.0.len(), length(m.kind()), "{}", m.kind() as char);
            assert!(m.ns() >= last, "time goes back");
            last = m.ns();
            naive.apply(&m);
            count += 1;
        }
        assert_eq!(count, config.messages);
        assert_eq!(summary.counts.messages, config.messages);
        let orders: u64 = summary.books.iter().map(|book| book.orders).sum();
        assert_eq!(orders, naive.orders.len() as u64);
        for (i, book) in summary.books.iter().enumerate() {
            for (side, buy) in [true, false].into_iter().enumerate() {
                let best = naive.best(i as u16 + 1, buy);
                assert_eq!(book.best[side].map(|(price, _)| price), best.map(|(price, _)| price));
            }
        }
        assert_eq!(summary.unplaced, 0);
    }
}

#[test]
fn the_mix_is_near_a_real_day() {
    let config = Config { symbols: 500, ..Config::default() };
    let (_, summary) = session(&config);
    let share = |kinds: &[u8]| {
        let sum: u64 = kinds.iter().map(|&k| summary.counts.by_type[usize::from(k)]).sum();
        sum as f64 * 100.0 / summary.counts.messages as f64
    };
    let mix = ["AF", "D", "U", "E", "C", "X", "P", "I"].map(|k| (k, share(k.as_bytes())));
    println!("{mix:.2?}");
    for (kinds, low, high) in [
        ("AF", 40.5, 46.0),
        ("D", 37.0, 43.0),
        ("U", 7.5, 10.5),
        ("E", 3.0, 5.0),
        ("C", 0.05, 0.6),
        ("X", 1.4, 2.8),
        ("P", 0.5, 1.5),
    ] {
        let found = share(kinds.as_bytes());
        assert!((low..=high).contains(&found), "{kinds}: {found:.2}% of {mix:.2?}");
    }
}

#[test]
fn a_seed_is_the_session() {
    let config = planted_config(7);
    let (a, _) = session(&config);
    let (b, _) = session(&config);
    let (c, _) = session(&Config { seed: 8, ..config });
    assert!(a == b, "same seed, same bytes");
    assert!(a != c, "another seed, other bytes");
    // FNV-1a of the bytes: tests and benchmarks elsewhere count on them.
    let hash = a.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    assert_eq!(
        hash, 0x93ecadb1715bfdca,
        "a seed's bytes changed: a deliberate change is noted in the changelog"
    );
}

#[test]
fn configurations_that_contradict_themselves_are_refused() {
    let refused = |config: Config| generate(&config, Vec::new()).unwrap_err();
    let base = Config::default();
    let error = refused(Config { symbols: 0, ..base.clone() });
    assert_eq!(error, ConfigError::Symbols { found: 0 });
    assert!(matches!(
        refused(Config { messages: 100, ..base.clone() }),
        ConfigError::Messages { .. }
    ));
    assert_eq!(refused(Config { open_ns: 0, ..base.clone() }), ConfigError::Day);
    let short = Config { episodes: 1, duration_ns: 1_000_000_000, ..base };
    assert_eq!(refused(short), ConfigError::Short);
}

/// What the slow search needs of one order.
struct Life {
    locate: u16,
    buy: bool,
    price: u32,
    qty: u32,
    added_ns: u64,
    /// At or behind the touch when added, and at least five times the mean size so far.
    layerable: bool,
    executed: bool,
    deleted_ns: u64,
}

/// Reads the whole session, then asks of every execution whether it completes an episode.
fn search(bytes: &[u8]) -> Vec<(u16, bool, u64)> {
    let mut naive = Naive::default();
    let mut lives: BTreeMap<u64, Life> = BTreeMap::new();
    let mut sizes: HashMap<u16, (u64, u64)> = HashMap::new();
    let mut executions = Vec::new();
    for m in messages(bytes) {
        let (locate, reference) = (m.locate(), if m.0.len() >= 19 { m.u64(11) } else { 0 });
        match m.kind() {
            b'A' | b'F' => {
                let (buy, qty, price) = (m.0[19] == b'B', m.u32(20), m.u32(32));
                let (count, sum) = sizes.entry(locate).or_default();
                let large = *count >= 16 && u64::from(qty) * *count >= 5 * *sum;
                *count += 1;
                *sum += u64::from(qty);
                let behind = naive
                    .best(locate, buy)
                    .is_none_or(|(best, _)| if buy { price <= best } else { price >= best });
                let layerable = large && behind;
                let life = Life {
                    locate,
                    buy,
                    price,
                    qty,
                    added_ns: m.ns(),
                    layerable,
                    executed: false,
                    deleted_ns: u64::MAX,
                };
                lives.insert(reference, life);
            }
            b'E' | b'C' => {
                if let Some(life) = lives.get_mut(&reference) {
                    life.executed = true;
                }
                executions.push((locate, naive.orders[&reference].buy, m.ns()));
            }
            b'D' => {
                if let Some(life) = lives.get_mut(&reference) {
                    life.deleted_ns = m.ns();
                }
            }
            _ => {}
        }
        naive.apply(&m);
    }
    let mut layers: HashMap<(u16, bool), Vec<&Life>> = HashMap::new();
    for life in lives.values().filter(|life| life.layerable) {
        layers.entry((life.locate, life.buy)).or_default().push(life);
    }
    let mut found = Vec::new();
    for (locate, buy, ns) in executions {
        let Some(side) = layers.get(&(locate, !buy)) else { continue };
        let live: Vec<&&Life> =
            side.iter().filter(|life| life.added_ns <= ns && life.deleted_ns > ns).collect();
        let built = live.iter().any(|first| {
            let group: Vec<_> = live
                .iter()
                .filter(|l| l.added_ns >= first.added_ns && l.added_ns - first.added_ns <= 500 * MS)
                .collect();
            let prices: BTreeSet<u32> = group.iter().map(|l| l.price).collect();
            let total: u64 = group.iter().map(|l| u64::from(l.qty)).sum();
            let pulled: u64 = group
                .iter()
                .filter(|l| l.deleted_ns - ns <= 500 * MS)
                .map(|l| u64::from(l.qty))
                .sum();
            prices.len() >= 4 && pulled * 4 >= total * 3 && group.iter().all(|l| !l.executed)
        });
        if built {
            found.push((locate, !buy, ns));
        }
    }
    found
}

#[test]
fn the_planted_episodes_are_there_and_no_others() {
    for seed in [1, 2, 3] {
        let (bytes, summary) = session(&planted_config(seed));
        let found = search(&bytes);
        let episodes: Vec<&Planted> =
            summary.planted.iter().filter(|p| p.kind == Kind::Layering).collect();
        assert_eq!(episodes.len(), 12);
        let covers = |p: &Planted, &(locate, buy, ns): &(u16, bool, u64)| {
            p.locate == locate && (p.side == 'B') == buy && (p.start_ns..=p.end_ns).contains(&ns)
        };
        for episode in &episodes {
            assert!(episode.order_refs.len() >= 4 && episode.exec_ref.is_some());
            assert!(found.iter().any(|f| covers(episode, f)), "seed {seed}: {episode:?} not there");
        }
        for f in &found {
            let planted = summary.planted.iter().find(|p| covers(p, f));
            assert!(
                episodes.iter().any(|episode| covers(episode, f)),
                "seed {seed}: {f:?} was not planted: {planted:?}"
            );
        }
    }
}

#[test]
fn stuffing_halts_and_decoys_are_reported() {
    let (bytes, summary) = session(&planted_config(4));
    let of = |kind: Kind| summary.planted.iter().filter(move |p| p.kind == kind);
    assert_eq!(of(Kind::Stuffing).count(), 3);
    assert!(of(Kind::Stuffing).all(|p| p.orders >= 800));
    assert_eq!(of(Kind::Halt).count(), 4);
    assert_eq!(of(Kind::DecoyMarketMaker).count(), 4);
    let kinds: BTreeSet<u8> = messages(&bytes).map(|m| m.kind()).collect();
    for kind in b"SRHYLVKAFECXDUPQINO" {
        assert!(kinds.contains(kind), "no message of type {}", *kind as char);
    }
}
