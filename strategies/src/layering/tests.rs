//! The detector at the edges of its definition, one condition missed at a time. (Whole
//! sessions with planted episodes are the engine's tests, which have a generator.)

use corelane_feeds::record::{RecordBuf, Stamp, View};
use corelane_feeds::units::{Price, Qty32, Symbol};

use super::*;

const MS: u64 = 1_000_000;
const LOT: u32 = 100;

/// Sends events to a detector and collects its alerts.
struct Desk {
    layering: Layering,
    now: u64,
    alerts: Vec<Alert>,
}

impl Desk {
    fn new() -> Self {
        let mut layering = Layering::new(LayeringOptions::default());
        let mut outbox = Outbox::new(4, 4);
        layering.on_record(sys::Session::new(Stamp::default(), 0).as_record(), &mut outbox);
        let mut desk = Self { layering, now: 1_000 * MS, alerts: Vec::new() };
        for i in 0..40 {
            desk.event(b'A', 1_000 + i, Side::BUY, 90, LOT, LOT);
        }
        desk
    }

    fn event(&mut self, kind: u8, order_ref: u64, side: Side, price: i64, qty: u32, left: u32) {
        let touch = if side == Side::BUY { 100 } else { 101 };
        self.event_at(kind, order_ref, side, price, qty, left, touch);
    }

    #[expect(clippy::too_many_arguments, reason = "an event is this many things")]
    fn event_at(
        &mut self,
        kind: u8,
        order_ref: u64,
        side: Side,
        price: i64,
        qty: u32,
        left: u32,
        touch: i64,
    ) {
        let stamp = Stamp { instrument: 5, ts_event: Nanos(self.now), ..Stamp::default() };
        let mut order = book::Order::new(stamp, kind);
        (order.order_ref, order.side, order.price) = (order_ref, side, Price(price));
        (order.qty, order.left, order.touch) = (Qty32(qty), Qty32(left), Price(touch));
        order.ts_added = Nanos(self.now);
        order.symbol = Symbol::new("ABC");
        let mut outbox = Outbox::new(4, 4);
        self.layering.on_record(order.as_record(), &mut outbox);
        let records = outbox.actions().iter().filter_map(RecordBuf::record);
        self.alerts.extend(records.map(|record| *record.view::<Alert>().unwrap()));
    }

    fn layers(&mut self, count: u64, qty: u32, gap: u64) {
        for i in 0..count {
            self.event(b'A', i, Side::BUY, 100 - i as i64, qty, qty);
            self.now += gap;
        }
    }

    fn sell_executed(&mut self) {
        self.event(b'E', 500, Side::SELL, 101, LOT, 0);
    }

    fn pull(&mut self, refs: std::ops::Range<u64>, qty: u32, gap: u64) {
        for order_ref in refs {
            self.now += gap;
            self.event(b'D', order_ref, Side::BUY, 100 - order_ref as i64, qty, 0);
        }
    }

    fn found(&self) -> usize {
        self.alerts.len()
    }
}

#[test]
fn an_episode_is_one_alert_that_says_what_it_was() {
    let mut desk = Desk::new();
    let first = desk.now;
    desk.layers(5, 10 * LOT, 50 * MS);
    desk.sell_executed();
    desk.pull(0..3, 10 * LOT, 20 * MS);
    assert_eq!(desk.found(), 0, "three of five are not three quarters");
    desk.pull(3..5, 10 * LOT, 20 * MS);
    assert_eq!(desk.found(), 1);
    let alert = desk.alerts[0];
    assert_eq!((alert.side(), alert.kind.as_str()), (Side::BUY, "layering"));
    assert_eq!((alert.order_ref, alert.price), (500, Price(101)));
    assert_eq!((alert.qty, alert.count), (Qty(5_000), 5));
    assert_eq!(alert.ts_first, Nanos(first));
    assert!(alert.score_milli > 1_500, "{}", alert.score_milli);
}

#[test]
fn each_missed_condition_is_no_alert() {
    type Play = fn(&mut Desk);
    let plays: [(&str, Play); 9] = [
        ("no execution", |desk| {
            desk.layers(5, 10 * LOT, 50 * MS);
            desk.pull(0..5, 10 * LOT, MS);
        }),
        ("execution first", |desk| {
            desk.sell_executed();
            desk.layers(5, 10 * LOT, 50 * MS);
            desk.pull(0..5, 10 * LOT, MS);
        }),
        ("too slow to build", |desk| {
            desk.layers(5, 10 * LOT, 200 * MS);
            desk.sell_executed();
            desk.pull(0..5, 10 * LOT, MS);
        }),
        ("execution too late", |desk| {
            desk.layers(5, 10 * LOT, MS);
            desk.now += 501 * MS;
            desk.sell_executed();
            desk.pull(0..5, 10 * LOT, MS);
        }),
        ("pulled too late", |desk| {
            desk.layers(5, 10 * LOT, MS);
            desk.sell_executed();
            desk.now += 500 * MS;
            desk.pull(0..5, 10 * LOT, MS);
        }),
        ("three layers", |desk| {
            desk.layers(3, 10 * LOT, MS);
            desk.sell_executed();
            desk.pull(0..3, 10 * LOT, MS);
        }),
        ("small layers", |desk| {
            desk.layers(5, 4 * LOT, MS);
            desk.sell_executed();
            desk.pull(0..5, 4 * LOT, MS);
        }),
        ("a layer executed", |desk| {
            desk.layers(5, 10 * LOT, MS);
            desk.sell_executed();
            desk.event(b'E', 4, Side::BUY, 96, LOT, 9 * LOT);
            desk.pull(0..4, 10 * LOT, MS);
        }),
        ("better than the touch", |desk| {
            for i in 0..5 {
                let touch = 100 + i;
                desk.event_at(b'A', i as u64, Side::BUY, touch + 1, 1_000, 1_000, touch);
            }
            desk.sell_executed();
            desk.pull(0..5, 10 * LOT, MS);
        }),
    ];
    for (missed, play) in plays {
        let mut desk = Desk::new();
        play(&mut desk);
        assert_eq!(desk.found(), 0, "{missed}");
    }
}

#[test]
fn layers_at_one_price_are_one_layer() {
    let mut desk = Desk::new();
    for i in 0..8u64 {
        desk.event(b'A', i, Side::BUY, 100 - (i % 3) as i64, 1_000, 1_000);
    }
    desk.sell_executed();
    desk.pull(0..8, 1_000, MS);
    assert_eq!(desk.found(), 0);
}

#[test]
fn moved_quotes_are_not_pulled_ones() {
    let mut desk = Desk::new();
    desk.layers(5, 10 * LOT, MS);
    desk.sell_executed();
    for i in 0..5 {
        desk.event(b'U', i, Side::BUY, 100 - i as i64, 10 * LOT, 0);
    }
    assert_eq!(desk.found(), 0);
}

#[test]
fn parts_cancelled_count_as_pulled() {
    let mut desk = Desk::new();
    desk.layers(4, 10 * LOT, MS);
    desk.sell_executed();
    for i in 0..4 {
        desk.event(b'X', i, Side::BUY, 100 - i as i64, 8 * LOT, 2 * LOT);
    }
    assert_eq!(desk.found(), 1);
}

#[test]
fn a_later_execution_opens_a_case_of_its_own() {
    let mut desk = Desk::new();
    desk.layers(4, 10 * LOT, MS);
    desk.sell_executed();
    desk.now += 300 * MS;
    desk.event(b'A', 4, Side::BUY, 96, 10 * LOT, 10 * LOT);
    desk.sell_executed();
    desk.now += 300 * MS; // the first case is over, the second is not
    desk.pull(0..5, 10 * LOT, MS);
    assert_eq!(desk.found(), 1);
    assert_eq!(desk.alerts[0].count, 5);
}

#[test]
fn no_more_is_followed_than_there_is_room_for() {
    let mut desk = Desk::new();
    for i in 0..40u64 {
        desk.event(b'A', i, Side::BUY, 100 - i as i64, 2_000, 2_000);
    }
    desk.sell_executed();
    desk.pull(24..40, 2_000, MS);
    assert_eq!(desk.found(), 1, "the newest are followed");
    assert_eq!(desk.alerts[0].count, LAYERS_MAX as u64);
    assert_eq!(desk.layering.evicted, 24);
}

#[test]
fn a_restored_detector_decides_the_same() {
    let mut desk = Desk::new();
    desk.layers(5, 10 * LOT, MS);
    desk.sell_executed();
    desk.pull(0..2, 10 * LOT, MS);
    let mut state = Vec::new();
    desk.layering.save(&mut state);
    let mut other = Desk::new();
    other.layering.restore(&state).unwrap();
    other.now = desk.now;
    for desk in [&mut desk, &mut other] {
        desk.pull(2..5, 10 * LOT, MS);
        assert_eq!(desk.found(), 1);
    }
    let states = [&desk, &other].map(|desk| {
        let mut state = Vec::new();
        desk.layering.save(&mut state);
        state
    });
    assert_eq!(states[0], states[1]);
    for cut in 0..state.len() {
        assert!(other.layering.restore(&state[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn settings_are_checked() {
    let registry = crate::registry::Registry::builtin();
    let mut params = Params::default();
    assert!(registry.build("layering", &params).is_ok());
    params.insert("layers_min", crate::registry::ParamValue::Int(17));
    let refused = registry.build("layering", &params).err().unwrap();
    assert_eq!(refused.to_string(), "`layers_min` must be 2 to 16");
}
