//! The rule against a slow one in floating point, and at its edges.

use corelane_feeds::record::{RecordBuf, Stamp, View};
use corelane_feeds::units::{Nanos, Symbol};
use proptest::collection::vec;
use proptest::{prop_assert, proptest};

use super::*;

const MS: u64 = 1_000_000;

struct Desk {
    rule: Imbalance,
    now: u64,
    orders: Vec<Order>,
}

impl Desk {
    fn new() -> Self {
        let mut rule = Imbalance::new(ImbalanceOptions::default());
        let session = sys::Session::new(Stamp::default(), 0);
        rule.on_record(session.as_record(), &mut Outbox::new(4, 4));
        Self { rule, now: 1_700_000_000_000_000_000, orders: Vec::new() }
    }

    fn quote(&mut self, (bid, bid_qty): (i64, u32), (ask, ask_qty): (i64, u32)) {
        let stamp = Stamp { instrument: 2, ts_event: Nanos(self.now), ..Stamp::default() };
        let mut bbo = book::Bbo::new(stamp, 0);
        (bbo.bid, bbo.bid_qty) = (Price(bid * 1_000_000), Qty32(bid_qty));
        (bbo.ask, bbo.ask_qty) = (Price(ask * 1_000_000), Qty32(ask_qty));
        bbo.symbol = Symbol::new("ABC");
        let mut outbox = Outbox::new(4, 4);
        self.rule.on_record(bbo.as_record(), &mut outbox);
        let records = outbox.actions().iter().filter_map(RecordBuf::record);
        self.orders.extend(records.map(|record| *record.view::<Order>().unwrap()));
    }

    fn flow(&mut self) -> i64 {
        self.rule.quotes.get(0, 2).unwrap().flow
    }
}

#[test]
fn lean_and_flow_together_send_one_order() {
    let mut desk = Desk::new();
    desk.quote((10_000, 300), (10_010, 300));
    desk.quote((10_000, 300), (10_010, 40));
    assert_eq!(desk.orders.len(), 1, "the ask was taken: 260 of 340");
    let order = desk.orders[0];
    assert_eq!(
        (order.side(), order.price, order.qty),
        (Side::BUY, Price(10_010_000_000), Qty32(40))
    );
    desk.quote((10_000, 300), (10_010, 20));
    assert_eq!(desk.orders.len(), 1, "the same signal");
    desk.quote((10_000, 300), (10_010, 300));
    desk.quote((10_000, 20), (10_010, 300));
    assert_eq!(desk.orders.len(), 1, "the cooldown");
    desk.quote((10_000, 200), (10_010, 200));
    desk.now += 1_100 * MS;
    desk.quote((10_000, 10), (10_010, 200));
    assert_eq!(desk.orders.len(), 2);
    assert_eq!(desk.orders[1].side(), Side::SELL);
}

#[test]
fn what_does_not_agree_sends_nothing() {
    let mut desk = Desk::new();
    // It leans, but flow has faded away.
    desk.quote((10_000, 300), (10_010, 100));
    desk.quote((10_000, 300), (10_010, 60));
    desk.now += 10_000 * MS;
    desk.quote((10_000, 301), (10_010, 40));
    assert_eq!(desk.orders.len(), 0, "{}", desk.flow());
    // A spread of 100 basis points.
    let mut desk = Desk::new();
    desk.quote((10_000, 300), (10_100, 300));
    desk.quote((10_000, 300), (10_100, 10));
    assert_eq!((desk.orders.len(), desk.rule.wide), (0, 1));
    // One side only, then crossed.
    let mut desk = Desk::new();
    desk.quote((10_000, 300), (0, 0));
    desk.quote((10_000, 300), (9_999, 1));
    assert_eq!(desk.orders.len(), 0);
}

#[test]
fn a_restored_rule_decides_the_same() {
    let mut desk = Desk::new();
    desk.quote((10_000, 300), (10_010, 300));
    let mut state = Vec::new();
    desk.rule.save(&mut state);
    let mut other = Desk::new();
    other.rule.restore(&state).unwrap();
    other.quote((10_000, 300), (10_010, 40));
    assert_eq!(other.orders.len(), 1);
    for cut in 0..state.len() {
        assert!(other.rule.restore(&state[..cut]).is_err(), "cut at {cut}");
    }
}

proptest! {
    /// Fading by table and shift stays near fading by a power of two.
    #[test]
    fn flow_fades_as_it_should(
        quotes in vec((0u64..300, 1u32..1_000, 1u32..1_000, 0i64..3), 2..60),
    ) {
        let mut desk = Desk::new();
        let (mut slow, mut last) = (0.0f64, None::<((i64, u32), (i64, u32))>);
        let mut moved = desk.now;
        let step = ImbalanceOptions::default().half_life_ns / STEPS;
        for (gap_ms, bid_qty, ask_qty, level) in quotes {
            desk.now += gap_ms * MS;
            let bid = (10_000 + level, bid_qty);
            let ask = (10_010 + level, ask_qty);
            if let Some((bid_then, ask_then)) = last {
                let steps = (desk.now - moved) / step;
                moved += steps * step;
                slow *= (-(steps as f64) / STEPS as f64).exp2();
                if bid.0 >= bid_then.0 { slow += f64::from(bid.1); }
                if bid.0 <= bid_then.0 { slow -= f64::from(bid_then.1); }
                if ask.0 <= ask_then.0 { slow -= f64::from(ask.1); }
                if ask.0 >= ask_then.0 { slow += f64::from(ask_then.1); }
            }
            desk.quote(bid, ask);
            if last.is_none() { moved = desk.now; }
            last = Some((bid, ask));
            let flow = desk.flow() as f64;
            prop_assert!((flow - slow).abs() < 25.0, "{flow} for {slow}");
        }
    }
}
