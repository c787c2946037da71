//! One side of one instrument's book, as the generator needs it: the orders in price-time priority.
//!
//! Invariant: sorted from the worst order to the best, and within a price from the newest to the
//! oldest, so the order an execution must hit is the last. Most flow is near the touch, so an
//! insertion or removal moves few entries. The number of orders is bounded by the caller.

/// A live order. `key` grows with priority: the price of a bid, the complement of an ask's.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) reference: u64,
    key: u32,
    pub(crate) qty: u32,
}

/// The live orders of one side.
pub(crate) struct BookSide {
    orders: Vec<Order>,
    /// All ones for asks: `price ^ flip` orders both sides alike.
    flip: u32,
}

impl BookSide {
    /// `buy` is the bid side. Room for `capacity` orders is taken at once.
    pub(crate) fn new(buy: bool, capacity: usize) -> Self {
        Self { orders: Vec::with_capacity(capacity), flip: if buy { 0 } else { u32::MAX } }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.orders.len()
    }

    /// The price of an order of this side, at 1e-4.
    #[inline]
    pub(crate) fn price(&self, order: Order) -> u32 {
        order.key ^ self.flip
    }

    #[inline]
    pub(crate) fn best_price(&self) -> Option<u32> {
        self.orders.last().map(|&order| self.price(order))
    }

    /// The order that the next execution hits.
    #[inline]
    pub(crate) fn front(&self) -> Option<Order> {
        self.orders.last().copied()
    }

    /// The order `depth` places behind the front.
    #[inline]
    pub(crate) fn at_depth(&self, depth: usize) -> Order {
        self.orders[self.orders.len() - 1 - depth]
    }

    /// Adds an order behind those of its price.
    #[inline]
    pub(crate) fn add(&mut self, reference: u64, price: u32, qty: u32) {
        let key = price ^ self.flip;
        let near = self.orders.len().saturating_sub(16);
        let at = if self.orders.get(near).is_some_and(|order| order.key < key) {
            near + self.orders[near..].iter().rposition(|o| o.key < key).map_or(0, |i| i + 1)
        } else {
            self.orders.partition_point(|order| order.key < key)
        };
        self.orders.insert(at, Order { reference, key, qty });
    }

    /// Depth of an order that is probably near the touch.
    #[inline]
    pub(crate) fn find(&self, reference: u64) -> Option<usize> {
        self.orders.iter().rev().position(|order| order.reference == reference)
    }

    #[inline]
    pub(crate) fn remove(&mut self, depth: usize) -> Order {
        self.orders.remove(self.orders.len() - 1 - depth)
    }

    /// Takes `qty` from the order at `depth`, and the order away when nothing is left of it.
    #[inline]
    pub(crate) fn reduce(&mut self, depth: usize, qty: u32) {
        let at = self.orders.len() - 1 - depth;
        assert!(qty <= self.orders[at].qty, "more is taken from an order than it holds");
        self.orders[at].qty -= qty;
        if self.orders[at].qty == 0 {
            self.orders.remove(at);
        }
    }

    /// The orders, worst first.
    pub(crate) fn orders(&self) -> &[Order] {
        &self.orders
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priority_is_price_then_time() {
        for buy in [true, false] {
            let mut side = BookSide::new(buy, 64);
            let mut naive: Vec<(u32, u64)> = Vec::new();
            for reference in 0..60u64 {
                let price = 1_000 + (reference as u32 * 37) % 11;
                side.add(reference, price, 100);
                naive.push((price, reference));
            }
            naive.sort_by_key(|&(p, r)| (if buy { u32::MAX - p } else { p }, r));
            for &(price, reference) in &naive {
                let front = side.front().unwrap();
                assert_eq!((side.price(front), front.reference), (price, reference));
                side.reduce(0, 100);
            }
            assert_eq!(side.len(), 0);
        }
    }

    #[test]
    fn orders_are_found_from_the_touch() {
        let mut side = BookSide::new(false, 4);
        side.add(1, 500, 10);
        side.add(2, 400, 10);
        assert_eq!(side.find(1), Some(1));
        assert_eq!(side.at_depth(1).reference, 1);
        side.reduce(1, 4);
        assert_eq!(side.remove(1).qty, 6);
        assert_eq!((side.find(1), side.best_price()), (None, Some(400)));
    }
}
