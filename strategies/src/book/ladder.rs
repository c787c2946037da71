//! The price levels of one side. What happens happens near the touch, so the best [`NEAR`] levels
//! lie in three cache lines at a fixed place, best first, that can be asked for before it is known
//! which of them is meant; the others lie in a list, worst first, so that the two meet at its end.
//!
//! ```text
//! near:  best ... eighth best          keys | quantities | orders
//! far:   worst ... ninth best
//! ```
//!
//! Prices are kept as keys that are smaller the better the price, whichever side it is.
//!
//! Invariant: keys are strictly sorted; no level is empty; there are far levels only while the near
//! places are all taken; the key of a near place that is not taken is `u64::MAX`.

use corelane_feeds::units::{Price, Qty, Qty32, Side};

/// Levels kept near, in a cache line of keys.
const NEAR: usize = 8;
/// Far levels that a side has room for from the start; beyond that it grows by doubling and stays.
const FAR_RESERVED: usize = 64;
/// Makes unsigned numbers in the same order of prices: the keys of asks. One less turns them
/// around: the keys of bids.
const ASK_KEYS: u64 = 1 << 63;

/// One price.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// The price.
    pub price: Price,
    /// What rests there.
    pub qty: Qty,
    /// In how many orders; 0 where the feed does not say.
    pub orders: u64,
}

/// A level by its key.
#[derive(Copy, Clone, Debug)]
struct Keyed {
    key: u64,
    qty: u64,
    orders: u32,
}

/// The levels of a side: three cache lines, and those that are far.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct Ladder {
    keys: [u64; NEAR],
    qtys: [u64; NEAR],
    orders: [u32; NEAR],
    /// How many near places are taken.
    near: u32,
    /// 1 for bids, 0 for asks.
    bids: u32,
    far: Vec<Keyed>,
}

const _: () = assert!(size_of::<Ladder>() == 192);

/// Where a level is, or would be.
enum Place {
    Near(usize),
    Far(usize),
    /// Not there: it would be the near one of this number, [`NEAR`] for a far one.
    Missing(usize),
}

impl Ladder {
    /// An empty side.
    #[must_use]
    pub fn new(side: Side) -> Self {
        Self {
            keys: [u64::MAX; NEAR],
            qtys: [0; NEAR],
            orders: [0; NEAR],
            near: 0,
            bids: u32::from(side == Side::BUY),
            far: Vec::with_capacity(FAR_RESERVED),
        }
    }

    /// The best level.
    #[inline]
    #[must_use]
    pub fn best(&self) -> Option<Level> {
        (self.near > 0).then(|| self.level(self.keyed(0)))
    }

    /// Best price and its quantity, saturating; zeros for an empty side.
    #[inline]
    pub(super) fn quote(&self) -> (Price, Qty32) {
        if self.near == 0 {
            return (Price(0), Qty32(0));
        }
        (self.price(self.keys[0]), Qty(self.qtys[0]).into())
    }

    /// How many levels there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.near as usize + self.far.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.near == 0
    }

    /// The levels from the worst to the best.
    pub fn levels(&self) -> impl Iterator<Item = Level> {
        let near = (0..self.near as usize).rev().map(|at| self.keyed(at));
        self.far.iter().copied().chain(near).map(|keyed| self.level(keyed))
    }

    /// The quantity on all levels.
    #[must_use]
    pub fn total(&self) -> Qty {
        Qty(self.levels().fold(0, |total: u64, level| total.saturating_add(level.qty.0)))
    }

    /// Adds an order; returns the quantity that was there before it.
    #[inline]
    pub fn add(&mut self, price: Price, qty: Qty) -> Qty {
        let key = self.key(price);
        let (before, orders) = match self.find(key) {
            Place::Near(at) => (&mut self.qtys[at], &mut self.orders[at]),
            Place::Far(at) => {
                let level = &mut self.far[at];
                (&mut level.qty, &mut level.orders)
            }
            Place::Missing(at) => {
                self.insert(at, Keyed { key, qty: qty.0, orders: 1 });
                return Qty(0);
            }
        };
        *orders += 1;
        Qty(std::mem::replace(before, before.saturating_add(qty.0)))
    }

    /// Takes quantity off a level, with `orders` orders leaving; an empty level goes. False if the
    /// level is not there or holds less: it is then gone.
    #[inline]
    pub fn take(&mut self, price: Price, qty: Qty, orders: u32) -> bool {
        let place = self.find(self.key(price));
        let (there, count) = match place {
            Place::Near(at) => (&mut self.qtys[at], &mut self.orders[at]),
            Place::Far(at) => {
                let level = &mut self.far[at];
                (&mut level.qty, &mut level.orders)
            }
            Place::Missing(_) => return false,
        };
        let enough = *there >= qty.0;
        *there = there.saturating_sub(qty.0);
        *count = count.saturating_sub(orders);
        if *there == 0 {
            self.remove(&place);
        }
        enough
    }

    /// Sets the quantity of a level; 0 removes it.
    #[inline]
    pub fn set(&mut self, price: Price, qty: Qty) {
        let key = self.key(price);
        match (self.find(key), qty.0) {
            (Place::Missing(_), 0) => {}
            (Place::Missing(at), qty) => self.insert(at, Keyed { key, qty, orders: 0 }),
            (place, 0) => self.remove(&place),
            (Place::Near(at), qty) => self.qtys[at] = qty,
            (Place::Far(at), qty) => self.far[at].qty = qty,
        }
    }

    /// Removes every level; room is kept.
    pub fn clear(&mut self) {
        self.keys = [u64::MAX; NEAR];
        self.near = 0;
        self.far.clear();
    }

    /// Puts a level back that was saved; levels must come from the worst to the best.
    pub(super) fn restore(&mut self, level: Level) -> bool {
        let key = self.key(level.price);
        let Ok(orders) = u32::try_from(level.orders) else { return false };
        let fits = level.qty.0 > 0 && (self.near == 0 || key < self.keys[0]);
        if fits {
            self.insert(0, Keyed { key, qty: level.qty.0, orders });
        }
        fits
    }

    /// Turns prices into keys and back.
    #[inline]
    fn flip(&self) -> u64 {
        ASK_KEYS - u64::from(self.bids)
    }

    #[inline]
    fn key(&self, price: Price) -> u64 {
        price.0.cast_unsigned() ^ self.flip()
    }

    #[inline]
    fn price(&self, key: u64) -> Price {
        Price((key ^ self.flip()).cast_signed())
    }

    #[inline]
    fn keyed(&self, at: usize) -> Keyed {
        Keyed { key: self.keys[at], qty: self.qtys[at], orders: self.orders[at] }
    }

    #[inline]
    fn level(&self, keyed: Keyed) -> Level {
        let Keyed { key, qty, orders } = keyed;
        Level { price: self.price(key), qty: Qty(qty), orders: u64::from(orders) }
    }

    /// All near keys are compared, whichever is the one: how many are better is then known without
    /// a branch that would be guessed wrong as often as not.
    #[inline]
    fn find(&self, key: u64) -> Place {
        let better: usize = self.keys.iter().map(|&near| usize::from(near < key)).sum();
        if better == NEAR {
            return self.find_far(key);
        }
        let is_there = self.keys[better] == key && better < self.near as usize;
        if is_there { Place::Near(better) } else { Place::Missing(better) }
    }

    #[inline(never)]
    fn find_far(&self, key: u64) -> Place {
        let found = self.far.binary_search_by(|level| key.cmp(&level.key));
        found.map_or(Place::Missing(NEAR), Place::Far)
    }

    /// Inserts a level that is missing at a place; the last near one gives way to the far ones.
    #[inline(never)]
    fn insert(&mut self, at: usize, level: Keyed) {
        if at == NEAR {
            let at = self.far.partition_point(|far| far.key > level.key);
            return self.far.insert(at, level);
        }
        if self.near as usize == NEAR {
            self.far.push(self.keyed(NEAR - 1));
        } else {
            self.near += 1;
        }
        self.keys.copy_within(at..NEAR - 1, at + 1);
        self.qtys.copy_within(at..NEAR - 1, at + 1);
        self.orders.copy_within(at..NEAR - 1, at + 1);
        self.put(at, level);
    }

    #[inline]
    fn put(&mut self, at: usize, level: Keyed) {
        (self.keys[at], self.qtys[at], self.orders[at]) = (level.key, level.qty, level.orders);
    }

    /// Removes a level; the best far one takes the near place that becomes free.
    #[inline(never)]
    fn remove(&mut self, place: &Place) {
        let at = match *place {
            Place::Near(at) => at,
            Place::Far(at) => {
                self.far.remove(at);
                return;
            }
            Place::Missing(_) => return,
        };
        self.keys.copy_within(at + 1.., at);
        self.qtys.copy_within(at + 1.., at);
        self.orders.copy_within(at + 1.., at);
        if let Some(level) = self.far.pop() {
            self.put(NEAR - 1, level);
        } else {
            self.near -= 1;
            self.keys[self.near as usize] = u64::MAX;
        }
    }
}
