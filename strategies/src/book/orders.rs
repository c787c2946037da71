//! Live orders by reference: a flat, open-addressed table whose memory is taken once.
//!
//! References of a venue grow by one, so neighbours are used together: 64 of them share a run of
//! slots, and runs are scattered, no two of as many references as there are slots to one place. A
//! slot is one cache line and counts the orders that found it taken and went on, so that a look-up
//! knows from the slot where it begins whether there is more to look at, and an order that leaves
//! moves no other:
//!
//! ```text
//! home(a) = home(b) = 7     slot 7: a, passed 1     slot 8: b, passed 0
//! a leaves                  slot 7: free, passed 1  a look-up of b still goes on to 8
//! b leaves                  slot 7: free, passed 0
//! ```
//!
//! Invariant: at most half of the slots are taken; an order for which there is no room is refused,
//! and the caller counts it. A slot's `passed` is the number of live orders whose way from their
//! home to their place leads over it.

use corelane_feeds::units::{Char, Nanos, Price, Side};

use zerocopy::FromZeros;

use crate::memory::Memory;

/// Neighbouring references that share a run of slots: 2^6.
const RUN_BITS: u32 = 6;
/// Room for more orders than this is not to be had: what passed a slot is counted in 32 bits.
const LIVE_MAX: usize = 1 << 31;

/// A live order.
#[derive(Copy, Clone, Debug, PartialEq, Eq, FromZeros)]
pub struct Order {
    /// The venue's reference.
    pub order_ref: u64,
    /// Its price.
    pub price: Price,
    /// When it was added, by the venue's clock.
    pub ts_added: Nanos,
    /// What is left of it; never 0 while it lives.
    pub qty: u32,
    /// Quantity in front of it at its price when it was added, saturating.
    pub ahead: u32,
    /// Attribution.
    pub mpid: Char<4>,
    /// The feed's number of the instrument.
    pub instrument: u16,
    /// Its side.
    pub side: Side,
}

/// A place for an order: free while its quantity is 0. Of the size of a cache line, but not aligned
/// to one: allocators clear over-aligned memory by writing it. Theirs of the system begins 16 bytes
/// behind a page, so what is used of a slot lies in its first 48.
#[derive(Copy, Clone, Debug, FromZeros)]
#[repr(C)]
struct Slot {
    order: Order,
    passed: u32,
    _pad: [u32; 5],
}

const _: () = assert!(size_of::<Slot>() == 64 && size_of::<Order>() == 40);

impl Slot {
    #[inline]
    fn holds(&self, order_ref: u64) -> bool {
        self.order.order_ref == order_ref && self.order.qty != 0
    }
}

/// The live orders of a feed.
#[derive(Clone, Debug)]
pub struct OrderStore {
    slots: Box<[Slot]>,
    mask: usize,
    /// Runs are numbered by so many bits.
    runs_bits: u32,
    live: usize,
    live_max: usize,
}

impl OrderStore {
    /// Room for `live_max` orders at once, rounded up to a power of two: 128 bytes for each.
    #[must_use]
    pub fn new(live_max: usize) -> Self {
        let live_max = live_max.next_power_of_two().clamp(1 << RUN_BITS, LIVE_MAX);
        // Zeroed by the system and not written here, so that it can still be backed by large pages.
        let slots = Slot::new_vec_zeroed(live_max * 2).expect("memory for a table of orders");
        let runs_bits = (live_max * 2).trailing_zeros() - RUN_BITS;
        Self { slots: slots.into(), mask: live_max * 2 - 1, runs_bits, live: 0, live_max }
    }

    /// Live orders.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether no order lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Whether the next order would be refused.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.live == self.live_max
    }

    /// The same orders with twice the room.
    #[must_use]
    pub fn doubled(&self) -> Self {
        let mut doubled = Self::new(self.live_max * 2);
        self.iter().for_each(|order| assert!(doubled.insert(*order), "room for half of it"));
        doubled
    }

    /// Every live order, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Order> {
        self.slots.iter().map(|slot| &slot.order).filter(|order| order.qty != 0)
    }

    /// The slot at which a reference's probing begins.
    #[inline]
    fn home(&self, order_ref: u64) -> usize {
        let run = order_ref >> RUN_BITS;
        // An odd factor maps the numbers below a power of two one to one; what is above them is
        // mixed in, for venues that do not number by one.
        let run = (run ^ (run >> self.runs_bits)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        ((run << RUN_BITS) | (order_ref & ((1 << RUN_BITS) - 1))) as usize & self.mask
    }

    /// Makes the table resident.
    pub(super) fn reserve(&self, memory: Memory) {
        memory.reserve(&self.slots);
    }

    /// Asks for the place of an order that is about to be looked up.
    #[inline]
    pub(super) fn prefetch(&self, order_ref: u64, memory: Memory) {
        if let Some(slot) = self.slots.get(self.home(order_ref)) {
            memory.load(slot);
        }
    }

    /// Where a live order is, for [`OrderStore::at`] and [`OrderStore::remove_at`] until it leaves.
    #[inline]
    pub(super) fn locate(&self, order_ref: u64) -> Option<usize> {
        let home = self.home(order_ref);
        if self.slots[home].holds(order_ref) {
            return Some(home);
        }
        if self.slots[home].passed == 0 { None } else { self.locate_further(home, order_ref) }
    }

    #[cold]
    fn locate_further(&self, home: usize, order_ref: u64) -> Option<usize> {
        let mut at = home;
        // Once around at most: orders that came and went can have led over every slot.
        for _ in 0..self.mask {
            if self.slots[at].passed == 0 {
                return None;
            }
            at = (at + 1) & self.mask;
            if self.slots[at].holds(order_ref) {
                return Some(at);
            }
        }
        None
    }

    /// The order at a place that was located. Its quantity may be lowered, but not to 0.
    #[inline]
    pub(super) fn at(&mut self, place: usize) -> &mut Order {
        &mut self.slots[place].order
    }

    /// Removes the order at a place that was located.
    #[inline]
    pub(super) fn remove_at(&mut self, place: usize) {
        self.live -= 1;
        let order = &mut self.slots[place].order;
        order.qty = 0;
        let order_ref = order.order_ref;
        let home = self.home(order_ref);
        if home != place {
            self.each_passed(home, place, |passed| *passed -= 1);
        }
    }

    /// Adds an order and returns its place; `None` as [`OrderStore::insert`] says false.
    #[inline]
    pub(super) fn insert_at(&mut self, order: Order) -> Option<usize> {
        if order.qty == 0 || self.live == self.live_max {
            return None;
        }
        let home = self.home(order.order_ref);
        let slot = &mut self.slots[home];
        let mut place = home;
        if slot.order.qty != 0 || slot.passed != 0 {
            place = self.free_place(home, order.order_ref)?;
        }
        self.slots[place].order = order;
        self.live += 1;
        Some(place)
    }

    /// A place for a reference that is not live yet, counted on the way there.
    #[cold]
    fn free_place(&mut self, home: usize, order_ref: u64) -> Option<usize> {
        if self.locate(order_ref).is_some() {
            return None;
        }
        let mut place = home;
        // There is one: half of the slots are free.
        while self.slots[place].order.qty != 0 {
            place = (place + 1) & self.mask;
        }
        self.each_passed(home, place, |passed| *passed += 1);
        Some(place)
    }

    /// Every slot that the way from a home to a place leads over.
    #[cold]
    fn each_passed(&mut self, home: usize, place: usize, each: impl Fn(&mut u32)) {
        let mut at = home;
        while at != place {
            each(&mut self.slots[at].passed);
            at = (at + 1) & self.mask;
        }
    }

    /// Adds an order. False if its reference is live already, it has no quantity, or there is no
    /// room.
    #[inline]
    pub fn insert(&mut self, order: Order) -> bool {
        self.insert_at(order).is_some()
    }

    /// The order of a reference.
    #[inline]
    #[must_use]
    pub fn get(&self, order_ref: u64) -> Option<&Order> {
        Some(&self.slots[self.locate(order_ref)?].order)
    }

    /// Removes an order.
    #[inline]
    pub fn remove(&mut self, order_ref: u64) -> Option<Order> {
        let place = self.locate(order_ref)?;
        let order = self.slots[place].order;
        self.remove_at(place);
        Some(order)
    }

    /// Removes every order.
    pub fn clear(&mut self) {
        if self.live > 0 {
            self.slots.fill(Slot::new_zeroed());
            self.live = 0;
        }
    }
}
