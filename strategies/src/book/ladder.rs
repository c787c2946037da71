//! The price levels of one side, sorted, the best one last: what happens happens near the touch, so
//! that is where looking up, inserting and removing are cheap.
//!
//! Invariant: prices are strictly sorted towards the best; no level is empty.

use corelane_feeds::units::{Price, Qty, Side};

/// Levels that a side has room for from the start; beyond that it grows by doubling and stays.
const LEVELS_RESERVED: usize = 64;
/// So many levels from the best are looked at one by one before the rest is searched by halving.
const NEAR: usize = 16;

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

/// The levels of a side.
#[derive(Clone, Debug)]
pub struct Ladder {
    /// Sorted by key: the best has the greatest.
    levels: Vec<Level>,
    /// Bids sort by price, asks by its negative.
    sign: i64,
}

impl Ladder {
    /// An empty side.
    #[must_use]
    pub fn new(side: Side) -> Self {
        let sign = if side == Side::BUY { 1 } else { -1 };
        Self { levels: Vec::with_capacity(LEVELS_RESERVED), sign }
    }

    /// The best level.
    #[inline]
    #[must_use]
    pub fn best(&self) -> Option<&Level> {
        self.levels.last()
    }

    /// The levels from the worst to the best.
    #[must_use]
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// The quantity on all levels.
    #[must_use]
    pub fn total(&self) -> Qty {
        Qty(self.levels.iter().fold(0, |total: u64, level| total.saturating_add(level.qty.0)))
    }

    /// How many levels are better than `price`.
    #[must_use]
    pub fn depth(&self, price: Price) -> usize {
        match self.find(price) {
            Ok(at) => self.levels.len() - 1 - at,
            Err(at) => self.levels.len() - at,
        }
    }

    /// The level at `price`.
    #[must_use]
    pub fn level(&self, price: Price) -> Option<&Level> {
        self.find(price).ok().map(|at| &self.levels[at])
    }

    /// Adds an order; returns the quantity that was there before it.
    #[inline]
    pub fn add(&mut self, price: Price, qty: Qty) -> Qty {
        match self.find(price) {
            Ok(at) => {
                let level = &mut self.levels[at];
                let before = level.qty;
                level.qty.0 = level.qty.0.saturating_add(qty.0);
                level.orders += 1;
                before
            }
            Err(at) => {
                self.levels.insert(at, Level { price, qty, orders: 1 });
                Qty(0)
            }
        }
    }

    /// Takes quantity off a level, with `orders` orders leaving; an empty level goes. False if the
    /// level is not there or holds less: it is then gone.
    #[inline]
    pub fn take(&mut self, price: Price, qty: Qty, orders: u64) -> bool {
        let Ok(at) = self.find(price) else { return false };
        let level = &mut self.levels[at];
        let enough = level.qty >= qty;
        level.qty.0 = level.qty.0.saturating_sub(qty.0);
        level.orders = level.orders.saturating_sub(orders);
        if level.qty.0 == 0 {
            self.levels.remove(at);
        }
        enough
    }

    /// Sets the quantity of a level; 0 removes it.
    #[inline]
    pub fn set(&mut self, price: Price, qty: Qty) {
        match (self.find(price), qty.0) {
            (Ok(at), 0) => {
                self.levels.remove(at);
            }
            (Ok(at), _) => self.levels[at].qty = qty,
            (Err(_), 0) => {}
            (Err(at), _) => self.levels.insert(at, Level { price, qty, orders: 0 }),
        }
    }

    /// Removes every level; room is kept.
    pub fn clear(&mut self) {
        self.levels.clear();
    }

    /// Puts a level back that was saved; levels must come from the worst to the best.
    pub(super) fn restore(&mut self, level: Level) -> bool {
        let sorted =
            self.levels.last().is_none_or(|last| self.key(last.price) < self.key(level.price));
        if sorted {
            self.levels.push(level);
        }
        sorted
    }

    #[inline]
    fn key(&self, price: Price) -> i64 {
        price.0.saturating_mul(self.sign)
    }

    /// Where the price is, or where it would be inserted.
    #[inline]
    fn find(&self, price: Price) -> Result<usize, usize> {
        let key = self.key(price);
        let near = self.levels.len().saturating_sub(NEAR);
        for (i, level) in self.levels[near..].iter().enumerate().rev() {
            let found = self.key(level.price);
            if found == key {
                return Ok(near + i);
            }
            if found < key {
                return Err(near + i + 1);
            }
        }
        self.levels[..near].binary_search_by_key(&key, |level| self.key(level.price))
    }
}
