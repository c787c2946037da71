//! Books against naive ones: every level recomputed from all live orders after every message.

use std::collections::BTreeMap;

use corelane_feeds::record::{Record, RecordBuf, Stamp, View};
use corelane_feeds::streams::book::Order as OrderEvent;
use corelane_feeds::streams::{iex, itch, sys};
use corelane_feeds::units::{Nanos, Price, Qty, Qty32, Side, Symbol};
use proptest::prelude::*;
use proptest::strategy::Strategy as _;

use super::*;
use crate::outbox::Outbox;
use crate::strategy::Strategy;

const INSTRUMENTS: u16 = 3;

fn stamp(instrument: u16, t: u64) -> Stamp {
    Stamp { instrument, ts_event: Nanos(t), ..Stamp::default() }
}

fn begun() -> L3Books {
    let mut books = L3Books::new(L3Options { orders_max: 64, ..L3Options::default() });
    let mut outbox = Outbox::new(0, 8);
    books.on_record(sys::Session::new(Stamp::default(), 0).as_record(), &mut outbox);
    books
}

/// A random message about few orders, so that references are often known and often not.
fn message() -> impl proptest::strategy::Strategy<Value = RecordBuf> {
    (0u8..6, 1u64..20, 1u64..20, 1u16..=INSTRUMENTS, any::<bool>(), 1i64..6, 1u32..50).prop_map(
        |(kind, a, b, instrument, buy, price, qty)| {
            let stamp = stamp(instrument, 0);
            let price = Price(price);
            let mut buf = RecordBuf::default();
            match kind {
                0 | 1 => {
                    let side = if buy { Side::BUY } else { Side::SELL };
                    let mut add = itch::AddOrder::new(stamp, side.0);
                    (add.order_ref, add.price, add.qty) = (a, price, Qty32(qty));
                    add.symbol = Symbol::new("X");
                    buf.set(add.as_record());
                }
                2 => {
                    let mut executed = itch::OrderExecuted::new(stamp, 0);
                    (executed.order_ref, executed.qty) = (a, Qty32(qty));
                    buf.set(executed.as_record());
                }
                3 => {
                    let mut cancel = itch::OrderCancel::new(stamp, 0);
                    (cancel.order_ref, cancel.qty) = (a, Qty32(qty));
                    buf.set(cancel.as_record());
                }
                4 => {
                    let mut delete = itch::OrderDelete::new(stamp, 0);
                    delete.order_ref = a;
                    buf.set(delete.as_record());
                }
                _ => {
                    let mut replace = itch::OrderReplace::new(stamp, 0);
                    (replace.order_ref, replace.new_order_ref) = (a, b);
                    (replace.price, replace.qty) = (price, Qty32(qty));
                    buf.set(replace.as_record());
                }
            }
            buf
        },
    )
}

/// reference -> (instrument, side, price, quantity)
type Naive = BTreeMap<u64, (u16, Side, Price, u32)>;

fn naive(orders: &mut Naive, record: &Record) {
    let instrument = record.header.instrument;
    if let Some(add) = record.view::<itch::AddOrder>() {
        orders.entry(add.order_ref).or_insert((instrument, add.side(), add.price, add.qty.0));
    } else if let Some(m) = record.view::<itch::OrderExecuted>() {
        take(orders, m.order_ref, m.qty.0);
    } else if let Some(m) = record.view::<itch::OrderCancel>() {
        take(orders, m.order_ref, m.qty.0);
    } else if let Some(m) = record.view::<itch::OrderDelete>() {
        orders.remove(&m.order_ref);
    } else if let Some(m) = record.view::<itch::OrderReplace>()
        && let Some((instrument, side, _, _)) = orders.remove(&m.order_ref)
    {
        orders.entry(m.new_order_ref).or_insert((instrument, side, m.price, m.qty.0));
    }
}

fn take(orders: &mut Naive, order_ref: u64, qty: u32) {
    if let Some(order) = orders.get_mut(&order_ref) {
        order.3 = order.3.saturating_sub(qty);
        if order.3 == 0 {
            orders.remove(&order_ref);
        }
    }
}

/// (instrument, side index, price) -> (quantity, orders)
fn levels(orders: &Naive) -> BTreeMap<(u16, usize, i64), (u64, u64)> {
    let mut levels = BTreeMap::new();
    for (instrument, side, price, qty) in orders.values() {
        let level = levels.entry((*instrument, side.index(), price.0)).or_insert((0, 0));
        level.0 += u64::from(*qty);
        level.1 += 1;
    }
    levels
}

fn levels_of(books: &L3Books) -> BTreeMap<(u16, usize, i64), (u64, u64)> {
    let mut found = BTreeMap::new();
    for (instrument, book) in books.books(0) {
        for (side, ladder) in book.sides.iter().enumerate() {
            for level in ladder.levels() {
                found.insert((instrument, side, level.price.0), (level.qty.0, level.orders));
            }
        }
    }
    found
}

proptest! {
    #[test]
    fn l3_books_equal_the_sum_over_all_orders(
        messages in prop::collection::vec(message(), 1..200),
        cut in 0usize..200,
    ) {
        let mut books = begun();
        let mut expected = Naive::new();
        for (i, message) in messages.iter().enumerate() {
            let record = message.record().unwrap();
            let mut outbox = Outbox::new(0, 8);
            books.on_record(record, &mut outbox);
            naive(&mut expected, record);
            prop_assert_eq!(levels_of(&books), levels(&expected));
            prop_assert_eq!(books.orders(0).unwrap().len(), expected.len());
            if i == cut {
                let mut state = Vec::new();
                books.save(&mut state);
                let mut restored = begun();
                restored.restore(&state).unwrap();
                let mut again = Vec::new();
                restored.save(&mut again);
                prop_assert_eq!(&again, &state);
                books = restored;
            }
        }
    }

    #[test]
    fn the_order_store_is_a_map(ops in prop::collection::vec((any::<bool>(), 0u64..400), 1..600)) {
        let mut store = OrderStore::new(64);
        let mut map = BTreeMap::new();
        for (insert, n) in ops {
            // Far apart and close together, so that runs collide; 0 is one like any other.
            let order_ref = if n % 3 == 0 { n << 40 } else { n };
            if insert {
                let order = Order {
                    order_ref, price: Price(1), ts_added: Nanos(0), qty: n as u32 + 1, ahead: 0,
                    mpid: Char([0; 4]), instrument: 1, side: Side::BUY,
                };
                let fits = map.len() < 64 && !map.contains_key(&order_ref);
                prop_assert_eq!(store.insert(order), fits);
                if fits {
                    map.insert(order_ref, n as u32 + 1);
                }
            } else {
                prop_assert_eq!(store.remove(order_ref).map(|o| o.qty), map.remove(&order_ref));
            }
            prop_assert_eq!(store.len(), map.len());
            for (order_ref, qty) in &map {
                prop_assert_eq!(store.get(*order_ref).map(|o| o.qty), Some(*qty));
            }
        }
    }

    #[test]
    fn ladders_are_sorted_maps(
        ops in prop::collection::vec((1i64..60, 0u64..5), 1..300), buy in any::<bool>(),
    ) {
        let side = if buy { Side::BUY } else { Side::SELL };
        let mut ladder = Ladder::new(side);
        let mut map = BTreeMap::new();
        for (price, qty) in ops {
            ladder.set(Price(price), Qty(qty));
            if qty == 0 { map.remove(&price); } else { map.insert(price, qty); }
            let best = if buy { map.last_key_value() } else { map.first_key_value() };
            let found = ladder.best().map(|level| (level.price.0, level.qty.0));
            prop_assert_eq!(found, best.map(|(price, qty)| (*price, *qty)));
            let worst_first: Vec<i64> = ladder.levels().map(|level| level.price.0).collect();
            let mut expected: Vec<i64> = map.keys().copied().collect();
            if !buy { expected.reverse(); }
            prop_assert_eq!(worst_first, expected);
        }
    }
}

#[test]
fn a_message_tells_what_it_left_out() {
    let mut books = begun();
    let mut outbox = Outbox::new(0, 8);
    let mut add = itch::AddOrder::new(stamp(1, 5), Side::SELL.0);
    (add.order_ref, add.price, add.qty) = (7, Price(100), Qty32(30));
    add.symbol = Symbol::new("ABC");
    books.on_record(add.as_record(), &mut outbox);
    add.order_ref = 8;
    books.on_record(add.as_record(), &mut outbox);
    assert_eq!(books.queue_ahead(0, 8), Some(Qty(30)));
    let mut outbox = Outbox::new(0, 8);
    let mut executed = itch::OrderExecuted::new(stamp(1, 9), 0);
    (executed.order_ref, executed.qty) = (7, Qty32(10));
    books.on_record(executed.as_record(), &mut outbox);
    let order = outbox.derived(0).unwrap().view::<OrderEvent>().unwrap();
    assert_eq!((order.kind().0, order.side, order.price), (*b"E", Side::SELL, Price(100)));
    assert_eq!((order.qty, order.left, order.ts_added), (Qty32(10), Qty32(20), Nanos(5)));
    assert_eq!(order.symbol, Symbol::new("ABC"));
    let bbo = outbox.derived(1).unwrap().view::<Bbo>().unwrap();
    assert_eq!((bbo.ask, bbo.ask_qty, bbo.bid_qty), (Price(100), Qty32(50), Qty32(0)));
}

#[test]
fn what_cannot_be_is_counted() {
    let mut books = begun();
    let mut outbox = Outbox::new(0, 16);
    let mut executed = itch::OrderExecuted::new(stamp(1, 0), 0);
    executed.order_ref = 99;
    books.on_record(executed.as_record(), &mut outbox);
    assert_eq!(books.unknown_refs().executed, 1);
    let mut add = itch::AddOrder::new(stamp(1, 0), Side::BUY.0);
    (add.order_ref, add.price, add.qty) = (1, Price(10), Qty32(5));
    books.on_record(add.as_record(), &mut outbox);
    let mut ask = itch::AddOrder::new(stamp(1, 0), Side::SELL.0);
    (ask.order_ref, ask.price, ask.qty) = (2, Price(9), Qty32(5));
    books.on_record(ask.as_record(), &mut outbox);
    (executed.order_ref, executed.qty) = (1, Qty32(6));
    books.on_record(executed.as_record(), &mut outbox);
    let mut counted = BTreeMap::new();
    books.counters(&mut |name, value| {
        counted.insert(name, value);
    });
    assert_eq!((counted["crossed"], counted["over_executed"]), (1, 1));
    assert_eq!((counted["unknown_executed"], counted["orders_live"]), (1, 1));
}

#[test]
fn a_new_session_starts_with_empty_books() {
    let mut books = begun();
    let mut outbox = Outbox::new(0, 8);
    let mut add = itch::AddOrder::new(stamp(1, 0), Side::BUY.0);
    (add.order_ref, add.price, add.qty) = (1, Price(10), Qty32(5));
    books.on_record(add.as_record(), &mut outbox);
    books.on_record(sys::Session::new(Stamp::default(), 0).as_record(), &mut outbox);
    assert!(books.orders(0).unwrap().is_empty() && levels_of(&books).is_empty());
}

#[test]
fn level_books_publish_only_when_the_event_is_complete() {
    let mut books = LevelBooks::new(true);
    let mut outbox = Outbox::new(0, 8);
    books.on_record(sys::Session::new(Stamp::default(), 0).as_record(), &mut outbox);
    let mut update = iex::PriceLevel::new(stamp(1, 0), Side::BUY.0);
    (update.price, update.qty, update.complete) = (Price(10), Qty32(5), 0);
    books.on_record(update.as_record(), &mut outbox);
    assert!(outbox.derived(0).is_none());
    (update.price, update.complete) = (Price(11), 1);
    books.on_record(update.as_record(), &mut outbox);
    let bbo = outbox.derived(0).unwrap().view::<Bbo>().unwrap();
    assert_eq!((bbo.bid, bbo.bid_qty), (Price(11), Qty32(5)));
    update.qty = Qty32(0);
    books.on_record(update.as_record(), &mut outbox);
    let (_, book) = books.books(0).next().unwrap();
    assert_eq!(book.best(Side::BUY), Some((Price(10), Qty(5))));
    let mut state = Vec::new();
    books.save(&mut state);
    let mut restored = LevelBooks::new(true);
    restored.restore(&state).unwrap();
    let mut again = Vec::new();
    restored.save(&mut again);
    assert_eq!(again, state);
}

#[test]
fn room_for_orders_doubles_when_asked() {
    let mut books = L3Books::new(L3Options { orders_max: 8, ..L3Options::default() });
    let mut outbox = Outbox::new(0, 8);
    books.on_record(sys::Session::new(Stamp::default(), 0).as_record(), &mut outbox);
    for order_ref in 1..=1_000 {
        let mut add = itch::AddOrder::new(stamp(1, 0), Side::BUY.0);
        (add.order_ref, add.price, add.qty) = (order_ref, Price(5), Qty32(1));
        books.grow_if_full(0);
        outbox.clear();
        books.on_record(add.as_record(), &mut outbox);
    }
    assert_eq!(books.orders(0).map(OrderStore::len), Some(1_000));
    assert_eq!(books.queue_ahead(0, 1_000), Some(Qty(999)));
}

#[test]
fn orders_beyond_the_room_are_refused_and_counted() {
    let mut books = L3Books::new(L3Options { orders_max: 8, ..L3Options::default() });
    let mut outbox = Outbox::new(0, 8);
    books.on_record(sys::Session::new(Stamp::default(), 0).as_record(), &mut outbox);
    for order_ref in 1..=1_000 {
        let mut add = itch::AddOrder::new(stamp(1, 0), Side::BUY.0);
        (add.order_ref, add.price, add.qty) = (order_ref, Price(5), Qty32(1));
        outbox.clear();
        books.on_record(add.as_record(), &mut outbox);
    }
    let mut counted = BTreeMap::new();
    books.counters(&mut |name, value| {
        counted.insert(name, value);
    });
    let (live, refused) = (counted["orders_live"], counted["orders_refused"]);
    assert!(live >= 8 && refused > 900 && live + refused == 1_000, "{live} and {refused}");
}
