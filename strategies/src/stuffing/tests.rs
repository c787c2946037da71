//! Floods, and what is none.

use corelane_feeds::record::{RecordBuf, Stamp, View};

use super::*;

const US: u64 = 1_000;

struct Desk {
    stuffing: Stuffing,
    now: u64,
    alerts: Vec<Alert>,
}

impl Desk {
    fn new() -> Self {
        let mut stuffing = Stuffing::new(StuffingOptions::default());
        let session = sys::Session::new(Stamp::default(), 0);
        stuffing.on_record(session.as_record(), &mut Outbox::new(4, 4));
        Self { stuffing, now: 1_700_000_000_000_000_000, alerts: Vec::new() }
    }

    fn event(&mut self, kind: u8, age: u64) {
        let stamp = Stamp { instrument: 2, ts_event: Nanos(self.now), ..Stamp::default() };
        let mut order = book::Order::new(stamp, kind);
        order.ts_added = Nanos(self.now - age);
        let mut outbox = Outbox::new(4, 4);
        self.stuffing.on_record(order.as_record(), &mut outbox);
        let records = outbox.actions().iter().filter_map(RecordBuf::record);
        self.alerts.extend(records.map(|record| *record.view::<Alert>().unwrap()));
    }

    /// `count` orders, one each `gap`, each pulled after `life`.
    fn flood(&mut self, count: u64, gap: u64, life: u64) {
        for _ in 0..count {
            self.now += gap - life;
            self.event(b'A', 0);
            self.now += life;
            self.event(b'D', life);
        }
    }
}

#[test]
fn a_flood_is_one_alert() {
    let mut desk = Desk::new();
    desk.flood(2_000, 40 * US, 8 * US);
    assert_eq!(desk.alerts.len(), 1);
    let alert = desk.alerts[0];
    assert_eq!((alert.kind.as_str(), alert.count), ("quote_stuffing", 150));
    assert!(desk.now - alert.ts_first.0 < 100_000_000);
    desk.now += 1_000_000 * US;
    desk.flood(200, 40 * US, 8 * US);
    assert_eq!(desk.alerts.len(), 2, "the next flood is another one");
}

#[test]
fn slow_long_lived_or_trading_is_no_flood() {
    let mut desk = Desk::new();
    desk.flood(2_000, 100 * US, 8 * US);
    assert_eq!(desk.alerts.len(), 0, "too slow");
    let mut desk = Desk::new();
    for _ in 0..2_000 {
        desk.now += 10 * US;
        desk.event(b'A', 0);
        desk.event(b'D', 1_001 * US);
    }
    assert_eq!(desk.alerts.len(), 0, "too long-lived");
    let mut desk = Desk::new();
    for i in 0..2_000 {
        desk.flood(1, 20 * US, 8 * US);
        if i % 50 == 0 {
            desk.event(b'E', 0);
        }
    }
    assert_eq!(desk.alerts.len(), 0, "two executions in a hundred");
    let mut desk = Desk::new();
    for _ in 0..2_000 {
        desk.flood(1, 20 * US, 8 * US);
        desk.event(b'A', 0);
    }
    assert_eq!(desk.alerts.len(), 0, "half of the orders stay");
}

#[test]
fn a_restored_detector_decides_the_same() {
    let mut desk = Desk::new();
    desk.flood(149, 20 * US, 8 * US);
    let mut state = Vec::new();
    desk.stuffing.save(&mut state);
    let mut other = Desk::new();
    other.stuffing.restore(&state).unwrap();
    other.now = desk.now;
    other.flood(1, 20 * US, 8 * US);
    assert_eq!(other.alerts.len(), 1);
    for cut in 0..state.len() {
        assert!(other.stuffing.restore(&state[..cut]).is_err(), "cut at {cut}");
    }
}
