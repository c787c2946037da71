//! Changes of order-by-order books, one kind at a time, through a shard without a journal.
//!
//! Invariant: every change concerns an order that lives, and all orders live on 64 instruments
//! within 16 price levels a side; books publish what the built-in strategies want.

use corelane::shard::{Shard, ShardConfig};
use corelane::sys::prefetch::MEMORY;
use corelane_feeds::record::{RecordSink, Stamp, View};
use corelane_feeds::streams::itch;
use corelane_feeds::units::{Price, Qty32, Seq, Symbol};
use corelane_strategies::book::{L3Books, L3Options};
use corelane_strategies::chain::Chain;

use super::Work;
use crate::stages::Swallow;

/// Orders, and changes of a run.
pub(super) const ORDERS: usize = 10_000;
const INSTRUMENTS: u64 = 64;
const LEVELS: u64 = 16;
const QTY: u32 = 1_000;
/// 1e-9 units in a cent.
const CENT: i64 = 10_000_000;

/// What happens to every order.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Add,
    Execute,
    Cancel,
    Replace,
    Delete,
}

struct Books {
    change: Change,
    shard: Shard<Swallow>,
    /// The first order's reference; the others follow.
    first: u64,
    seq: u64,
    is_filled: bool,
}

pub(super) fn work(change: Change) -> Box<dyn Work> {
    let options = L3Options { orders_max: 4 * ORDERS, ..L3Options::default() };
    let mut chain = Chain::new(vec![Box::new(L3Books::new(options))], Vec::new());
    chain.reserve(0, MEMORY);
    let shard = Shard::new(chain, None, Swallow::default(), ShardConfig::default());
    Box::new(Books { change, shard, first: 1_000_000, seq: 0, is_filled: false })
}

impl Books {
    fn all(&mut self, change: Change) {
        for i in 0..ORDERS as u64 {
            self.seq += 1;
            let instrument = (i % INSTRUMENTS) as u16 + 1;
            let stamp = Stamp { seq: Seq(self.seq), instrument, ..Stamp::default() };
            self.one(change, i, stamp);
            if i % 32 == 31 {
                self.shard.end_batch();
            }
        }
        self.shard.end_batch();
        match change {
            Change::Add => self.is_filled = true,
            Change::Delete => self.is_filled = false,
            Change::Replace => self.first ^= 1 << 40,
            Change::Execute | Change::Cancel => {}
        }
    }

    #[inline]
    fn one(&mut self, change: Change, i: u64, stamp: Stamp) {
        let order_ref = self.first + i;
        match change {
            Change::Add => {
                let mut add = itch::AddOrder::new(stamp, if is_bid(i) { b'B' } else { b'S' });
                (add.order_ref, add.price) = (order_ref, price(i));
                (add.qty, add.symbol) = (Qty32(QTY), Symbol::new("GATE"));
                self.shard.record(add.as_record());
            }
            Change::Execute => {
                let mut executed = itch::OrderExecuted::new(stamp, 0);
                (executed.order_ref, executed.match_number) = (order_ref, i);
                executed.qty = Qty32(1);
                self.shard.record(executed.as_record());
            }
            Change::Cancel => {
                let mut cancel = itch::OrderCancel::new(stamp, 0);
                (cancel.order_ref, cancel.qty) = (order_ref, Qty32(1));
                self.shard.record(cancel.as_record());
            }
            Change::Replace => {
                let mut replace = itch::OrderReplace::new(stamp, 0);
                (replace.order_ref, replace.new_order_ref) = (order_ref, order_ref ^ (1 << 40));
                (replace.price, replace.qty) = (price(i), Qty32(QTY + 1));
                self.shard.record(replace.as_record());
            }
            Change::Delete => {
                let mut delete = itch::OrderDelete::new(stamp, 0);
                delete.order_ref = order_ref;
                self.shard.record(delete.as_record());
            }
        }
    }
}

fn is_bid(i: u64) -> bool {
    (i / INSTRUMENTS).is_multiple_of(2)
}

/// Bids from 99.84 up, asks from 100.00 up.
fn price(i: u64) -> Price {
    let level = (i / INSTRUMENTS / 2 % LEVELS).cast_signed();
    Price((if is_bid(i) { 9_984 } else { 10_000 } + level) * CENT)
}

impl Work for Books {
    fn reset(&mut self) {
        if self.is_filled {
            self.all(Change::Delete);
        }
        self.first &= !(1 << 40);
        if self.change != Change::Add {
            self.all(Change::Add);
        }
    }

    fn run(&mut self) -> u64 {
        let before = self.shard.counters().records;
        self.all(self.change);
        self.shard.counters().records - before
    }
}
