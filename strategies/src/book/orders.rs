//! Live orders by reference: a flat, open-addressed table whose memory is taken once.
//!
//! References of a venue grow by one, so neighbours are used together: 64 of them share a run of
//! slots, and runs are scattered, no two of as many references as there are slots to one place. A
//! removed order's place is closed by moving its successors back, so there are no tombstones and
//! look-ups stay short for ever.
//!
//! Invariant: at most half of the slots are taken; an order for which there is no room is refused,
//! and the caller counts it.

use corelane_feeds::units::{Char, Nanos, Price, Side};

use zerocopy::FromZeros;

use crate::memory::Memory;

/// Neighbouring references that share a run of slots: 2^6.
const RUN_BITS: u32 = 6;

/// A live order.
#[derive(Copy, Clone, Debug, PartialEq, Eq, FromZeros)]
pub struct Order {
    /// The venue's reference.
    pub order_ref: u64,
    /// Its price.
    pub price: Price,
    /// When it was added, by the venue's clock.
    pub ts_added: Nanos,
    /// What is left of it.
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

const FREE: Order = Order {
    order_ref: 0,
    price: Price(0),
    ts_added: Nanos(0),
    qty: 0,
    ahead: 0,
    mpid: Char([0; 4]),
    instrument: 0,
    side: Side(0),
};

const _: () = assert!(size_of::<Order>() == 40);

/// The live orders of a feed.
#[derive(Clone, Debug)]
pub struct OrderStore {
    /// A reference of 0 marks a free slot, so the order that has it (venues number from 1, but
    /// nothing forbids it) lies behind the others.
    slots: Box<[Order]>,
    /// Whether the order of reference 0 lives.
    zero_lives: bool,
    mask: usize,
    /// Runs are numbered by so many bits.
    runs_bits: u32,
    live: usize,
    live_max: usize,
}

impl OrderStore {
    /// Room for `live_max` orders at once, rounded up to a power of two: 80 bytes for each.
    #[must_use]
    pub fn new(live_max: usize) -> Self {
        let live_max = live_max.next_power_of_two().max(1 << RUN_BITS);
        // Zeroed by the system and not written here, so that it can still be backed by large pages.
        let slots = Order::new_vec_zeroed(live_max * 2 + 1);
        let slots = slots.expect("memory for a table of orders").into_boxed_slice();
        let runs_bits = (live_max * 2).trailing_zeros() - RUN_BITS;
        Self { slots, zero_lives: false, mask: live_max * 2 - 1, runs_bits, live: 0, live_max }
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
        let zero = self.slots.last().filter(|_| self.zero_lives);
        self.slots.iter().filter(|order| order.order_ref != 0).chain(zero)
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
        let home = self.home(order_ref);
        if let Some(slot) = self.slots.get(home) {
            memory.load(slot);
        }
        // The next one is looked at when an order leaves: another line as often as not.
        if let Some(next) = self.slots.get(home + 1) {
            memory.load(next);
        }
    }

    /// Where a live order is, for [`OrderStore::at`] and [`OrderStore::remove_at`] until the next
    /// order comes or goes.
    #[inline]
    pub(super) fn locate(&self, order_ref: u64) -> Option<usize> {
        if order_ref == 0 {
            return self.zero_lives.then_some(self.mask + 1);
        }
        self.find(order_ref).ok()
    }

    /// The order at a place that was located.
    #[inline]
    pub(super) fn at(&mut self, place: usize) -> &mut Order {
        &mut self.slots[place]
    }

    /// Removes the order at a place that was located.
    #[inline]
    pub(super) fn remove_at(&mut self, place: usize) {
        self.close(place);
    }

    /// Adds an order and returns its place; `None` as [`OrderStore::insert`] says false.
    #[inline]
    pub(super) fn insert_at(&mut self, order: Order) -> Option<usize> {
        if self.live == self.live_max {
            return None;
        }
        let at = if order.order_ref == 0 {
            if std::mem::replace(&mut self.zero_lives, true) {
                return None;
            }
            self.mask + 1
        } else {
            self.find(order.order_ref).err()?
        };
        self.slots[at] = order;
        self.live += 1;
        Some(at)
    }

    #[inline]
    fn find(&self, order_ref: u64) -> Result<usize, usize> {
        let mut at = self.home(order_ref);
        loop {
            let found = self.slots[at].order_ref;
            if found == order_ref {
                return Ok(at);
            }
            if found == 0 {
                return Err(at);
            }
            at = (at + 1) & self.mask;
        }
    }

    /// Adds an order. False if its reference is live already, or there is no room.
    #[inline]
    pub fn insert(&mut self, order: Order) -> bool {
        self.insert_at(order).is_some()
    }

    /// The order of a reference.
    #[inline]
    pub fn get_mut(&mut self, order_ref: u64) -> Option<&mut Order> {
        let at = self.locate(order_ref)?;
        Some(&mut self.slots[at])
    }

    /// Removes an order.
    #[inline]
    pub fn remove(&mut self, order_ref: u64) -> Option<Order> {
        let at = self.locate(order_ref)?;
        let order = self.slots[at];
        self.close(at);
        Some(order)
    }

    /// Frees a slot, moving back every successor that may stand there.
    #[inline]
    fn close(&mut self, mut hole: usize) {
        self.live -= 1;
        if hole > self.mask {
            self.zero_lives = false;
            return;
        }
        let mut at = hole;
        loop {
            at = (at + 1) & self.mask;
            let order_ref = self.slots[at].order_ref;
            if order_ref == 0 {
                break;
            }
            // It may move if the hole lies between its home and its place, around the end.
            let home = self.home(order_ref);
            if (at.wrapping_sub(home) & self.mask) >= (at.wrapping_sub(hole) & self.mask) {
                self.slots[hole] = self.slots[at];
                hole = at;
            }
        }
        self.slots[hole].order_ref = 0;
    }

    /// Removes every order.
    pub fn clear(&mut self) {
        if self.live > 0 {
            self.slots.fill(FREE);
            self.zero_lives = false;
            self.live = 0;
        }
    }
}
