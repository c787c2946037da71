//! The large orders of one side of one instrument, and the cases that executions on the other side
//! opened over them.
//!
//! Invariant: bit `i` of `live` says that layer `i` is a live order; a case's members are live
//! layers, of which none was executed since the case was opened.

use crate::kept::Kept;
use corelane_feeds::streams::book;
use corelane_feeds::units::{Char, Price};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

/// The most large orders that a side follows.
pub const LAYERS_MAX: usize = 16;
/// The most cases that a side has open.
pub const CASES_MAX: usize = 4;

/// The definition's bounds.
#[derive(Copy, Clone, Debug)]
pub(super) struct Limits {
    pub(super) layers_min: u32,
    pub(super) build_window_ns: u64,
    pub(super) execution_window_ns: u64,
    pub(super) pull_window_ns: u64,
    pub(super) pulled_min_milli: u64,
    /// A large order older than this can be part of no case.
    pub(super) follow_ns: u64,
}

/// One large order.
#[derive(Copy, Clone, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Layer {
    price: Price,
    ts_added: u64,
    qty: u64,
}

/// Layers that stood when an order on the other side was executed.
#[derive(Copy, Clone, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct Case {
    /// The order that was executed on the other side.
    pub(super) executed_ref: u64,
    /// At what price.
    pub(super) price: Price,
    /// When.
    ts_executed: u64,
    /// When the first of the layers was added.
    pub(super) ts_first: u64,
    /// Their quantity when the case was opened.
    pub(super) total: u64,
    /// How much of it was cancelled since.
    pulled: u64,
    /// How many they were; 0 is no case.
    pub(super) layers: u32,
    /// Those that are still live, by bit.
    members: u32,
}

/// One side. All zero is a side without large orders.
#[derive(Copy, Clone, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct LayeredSide {
    refs: [u64; LAYERS_MAX],
    layers: [Layer; LAYERS_MAX],
    cases: [Case; CASES_MAX],
    live: u32,
    /// How many cases are open: 0 lets cancellations pass quickly.
    open: u32,
}

impl LayeredSide {
    /// What it follows, if anything.
    pub(super) fn tell(&self, mut kept: Kept) -> Option<Kept> {
        if self.live == 0 && self.open == 0 {
            return None;
        }
        for i in bits(self.live) {
            let Layer { price, ts_added, qty } = self.layers[i];
            let order = format!("order {}: {price} x {qty} since {ts_added}", self.refs[i]);
            kept = kept.row(order, &[]);
        }
        for case in self.cases.iter().filter(|case| case.layers != 0) {
            let Case { executed_ref, ts_executed, total, pulled, layers, .. } = case;
            let case = format!(
                "case over {layers} layers, {pulled} of {total} pulled, since order {executed_ref} \
                 was executed at {ts_executed}"
            );
            kept = kept.row(case, &[]);
        }
        Some(kept)
    }

    /// Follows a large order. True if an older one that might still have mattered gave way.
    pub(super) fn add(&mut self, order: &book::Order, limits: &Limits) -> bool {
        let now = order.header.ts_event.0;
        let mut stale = 0;
        for i in bits(self.live) {
            let age = now.saturating_sub(self.layers[i].ts_added);
            stale |= u32::from(age > limits.follow_ns) << i;
        }
        self.forget(stale);
        let free = (!self.live).trailing_zeros() as usize;
        let (place, evicts) = if free < LAYERS_MAX { (free, false) } else { (self.oldest(), true) };
        self.forget(1 << place);
        self.refs[place] = order.order_ref;
        self.layers[place] =
            Layer { price: order.price, ts_added: now, qty: u64::from(order.qty.0) };
        self.live |= 1 << place;
        evicts
    }

    /// An order of this side was executed: if it is a layer, its cases are none.
    pub(super) fn executed(&mut self, order_ref: u64) {
        let Some(place) = self.find(order_ref) else { return };
        for case in &mut self.cases {
            if case.members >> place & 1 == 1 {
                *case = Case::new_zeroed();
            }
        }
        self.count_open();
        self.live &= !(1 << place);
    }

    /// An order of the other side was executed: if layers stand, that is a case. True if so.
    pub(super) fn open_case(&mut self, executed: &book::Order, limits: &Limits) -> bool {
        if self.live.count_ones() < limits.layers_min {
            return false;
        }
        let now = executed.header.ts_event.0;
        let newest = bits(self.live).map(|i| self.layers[i].ts_added).max().unwrap_or(0);
        if now.saturating_sub(newest) > limits.execution_window_ns {
            return false;
        }
        let mut case = Case::new_zeroed();
        (case.executed_ref, case.price, case.ts_executed) =
            (executed.order_ref, executed.price, now);
        case.ts_first = newest;
        let mut prices = 0;
        for i in bits(self.live) {
            let layer = &self.layers[i];
            if newest - layer.ts_added > limits.build_window_ns {
                continue;
            }
            let seen = bits(case.members).any(|other| self.layers[other].price == layer.price);
            prices += u32::from(!seen);
            case.members |= 1 << i;
            case.total += layer.qty;
            case.ts_first = case.ts_first.min(layer.ts_added);
        }
        if prices < limits.layers_min {
            return false;
        }
        case.layers = case.members.count_ones();
        // The case that was opened first gives way: an unused one, if there is any, has time 0.
        let oldest = (0..CASES_MAX).min_by_key(|&i| self.cases[i].ts_executed).unwrap_or(0);
        self.cases[oldest] = case;
        self.count_open();
        true
    }

    /// An order of this side left the book without an execution, in part or whole. The case that
    /// this completes ends all cases of the side.
    pub(super) fn left(&mut self, order: &book::Order, limits: &Limits) -> Option<Case> {
        let place = self.find(order.order_ref)?;
        let now = order.header.ts_event.0;
        let pulled = u64::from(order.qty.0);
        let layer = &mut self.layers[place];
        layer.qty = layer.qty.saturating_sub(pulled);
        let mut complete = None;
        for case in &mut self.cases[..] {
            let is_member = case.members >> place & 1 == 1;
            if !is_member {
                continue;
            }
            if now.saturating_sub(case.ts_executed) > limits.pull_window_ns {
                *case = Case::new_zeroed();
                continue;
            }
            // A replaced order has not gone: a market maker who moves its quotes is no spoofer.
            if order.kind() != Char(*b"U") {
                case.pulled += pulled;
            }
            if case.pulled * 1_000 >= case.total * limits.pulled_min_milli {
                complete = Some(*case);
            }
        }
        if let Some(case) = complete {
            self.cases.fill_with(Case::new_zeroed);
            self.live &= !case.members;
            self.forget(1 << place);
        } else if order.left.0 == 0 {
            self.forget(1 << place);
        }
        self.count_open();
        complete
    }

    #[inline]
    fn find(&self, order_ref: u64) -> Option<usize> {
        bits(self.live).find(|&i| self.refs[i] == order_ref)
    }

    fn oldest(&self) -> usize {
        bits(self.live).min_by_key(|&i| (self.layers[i].ts_added, self.refs[i])).unwrap_or(0)
    }

    /// Takes layers out of every case and follows them no more.
    fn forget(&mut self, layers: u32) {
        self.live &= !layers;
        if self.open > 0 {
            for case in &mut self.cases {
                case.members &= !layers;
            }
        }
    }

    fn count_open(&mut self) {
        self.open = self.cases.iter().filter(|case| case.layers > 0).count() as u32;
    }
}

/// The set bits of a mask, lowest first.
#[inline]
fn bits(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = mask.trailing_zeros();
        mask &= mask.wrapping_sub(1);
        (place < 32).then_some(place as usize)
    })
}
