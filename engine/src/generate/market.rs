//! The instruments: names, prices, live orders, and the state that the planted patterns need.
//!
//! Invariant: bids stay below asks, every reference handed out is new, and the number of live
//! orders is bounded by what [`Market::new`] laid down plus those of the planted patterns that are
//! running, however long the session.

use super::rng::Rng;
use super::side::BookSide;

/// Index of the bid side in pairs.
pub(crate) const BID: usize = 0;
/// Index of the ask side in pairs.
pub(crate) const ASK: usize = 1;
/// Fewest background orders that a side has room for.
const SIDE_ORDERS_MIN: usize = 12;
/// Most background orders that a side has room for.
const SIDE_ORDERS_MAX: usize = 600;

/// What a planted pattern asks of the background flow of its instrument while it runs.
#[derive(Default)]
pub(crate) struct Guard {
    /// The pattern's own live orders, which the background leaves alone.
    pub(crate) live: Vec<u64>,
    /// Sides whose orders the background must not execute.
    pub(crate) no_execution: [bool; 2],
    /// No pattern uses this place.
    pub(crate) idle: bool,
}

/// One instrument.
pub(crate) struct Instrument {
    pub(crate) locate: u16,
    pub(crate) symbol: [u8; 8],
    /// Smallest price step at 1e-4: a cent, or 1e-4 dollars for prices under a dollar.
    pub(crate) tick: u32,
    /// The size that most orders have.
    pub(crate) lot: u32,
    /// The price that flow gathers around, in ticks.
    fair: u32,
    /// Bounds of `fair`.
    fair_bounds: (u32, u32),
    /// Distance of new quotes from `fair`, in ticks.
    half_spread: u32,
    /// How far `fair` moves at once, in ticks.
    step: u32,
    pub(crate) sides: [BookSide; 2],
    /// Background orders a side has room for.
    pub(crate) side_orders_max: usize,
    /// The newest background order and its side, which is the likeliest to be pulled again.
    pub(crate) newest: (u64, usize),
    /// When a large order was last added to each side.
    pub(crate) large_ns: [u64; 2],
    /// Adds since the start, or since the last planted pattern ended.
    pub(crate) adds: u32,
    /// No planted pattern before this time.
    pub(crate) quiet_until_ns: u64,
    pub(crate) halted: bool,
    /// The planted pattern that runs here: a place in [`Market::guards`].
    pub(crate) guard: Option<u32>,
    /// Match number of the instrument's last trade, zero before the first.
    pub(crate) last_match: u64,
    /// An order was added at some time.
    pub(crate) ever_added: bool,
    /// Shares executed from displayed orders.
    pub(crate) executed: u64,
}

impl Instrument {
    fn new(index: u32, rank: u32, rng: &mut Rng, orders_live_max: usize) -> Self {
        let penny = rng.below(64) == 0;
        let (tick, price_ticks) = if penny {
            (1, rng.between(2_000, 9_000))
        } else {
            let base = 300u32 << rng.below(8);
            (100, base + rng.below(base))
        };
        let lot = match price_ticks * tick {
            0..50_000 => 300,
            50_000..2_500_000 => 100,
            _ => 40,
        };
        let side_orders_max = side_orders(rank, orders_live_max);
        let capacity = side_orders_max + 4;
        Self {
            locate: index as u16 + 1,
            symbol: ticker(index),
            tick,
            lot,
            fair: price_ticks,
            fair_bounds: (price_ticks / 2 + 50, price_ticks * 2),
            half_spread: (price_ticks / 8_000).max(1),
            step: (price_ticks / 20_000).max(1),
            sides: [BookSide::new(true, capacity), BookSide::new(false, capacity)],
            side_orders_max,
            newest: (0, BID),
            large_ns: [0; 2],
            adds: 0,
            quiet_until_ns: 0,
            halted: false,
            guard: None,
            last_match: 0,
            ever_added: false,
            executed: 0,
        }
    }

    /// The ticker without its padding.
    pub(crate) fn ticker(&self) -> String {
        String::from_utf8_lossy(&self.symbol).trim_end().to_owned()
    }

    /// Moves the fair price by one step up or down, within its bounds.
    pub(crate) fn drift(&mut self, rng: &mut Rng) {
        let (low, high) = self.fair_bounds;
        let up = rng.chance(512);
        self.fair = if up { self.fair + self.step } else { self.fair - self.step };
        self.fair = self.fair.clamp(low.max(self.step + 50), high);
    }

    /// True if the book's middle stands above the fair price: sellers are then the aggressors.
    pub(crate) fn is_rich(&self) -> bool {
        match (self.sides[BID].best_price(), self.sides[ASK].best_price()) {
            (Some(bid), Some(ask)) => (bid + ask) / 2 > self.fair * self.tick,
            (Some(_), None) => true,
            _ => false,
        }
    }

    /// A limit price that does not cross: `offset` ticks behind the quote, on the tick grid.
    pub(crate) fn quote(&self, side: usize, offset: u32) -> u32 {
        let away = self.half_spread + offset;
        let aim = if side == BID {
            self.fair.saturating_sub(away).max(1) * self.tick
        } else {
            (self.fair + away) * self.tick
        };
        self.not_crossing(side, aim)
    }

    /// `ticks` behind the side's best price, or behind the quote if the side is empty.
    pub(crate) fn behind_touch(&self, side: usize, ticks: u32) -> u32 {
        match self.sides[side].best_price() {
            Some(best) => self.not_crossing(side, self.worse(side, best, ticks)),
            None => self.quote(side, ticks),
        }
    }

    /// One tick better than the side's best price, if that leaves the book uncrossed.
    pub(crate) fn improving(&self, side: usize) -> u32 {
        match self.sides[side].best_price() {
            Some(best) if side == BID => self.not_crossing(side, best + self.tick),
            Some(best) => self.not_crossing(side, best - self.tick),
            None => self.quote(side, 0),
        }
    }

    /// `price` made worse by `ticks`, never under one tick.
    pub(crate) fn worse(&self, side: usize, price: u32, ticks: u32) -> u32 {
        if side == BID {
            price.saturating_sub(ticks * self.tick).max(self.tick)
        } else {
            price + ticks * self.tick
        }
    }

    fn not_crossing(&self, side: usize, price: u32) -> u32 {
        match self.sides[1 - side].best_price() {
            Some(ask) if side == BID => price.min(ask - self.tick),
            Some(bid) if side == ASK => price.max(bid + self.tick),
            _ => price,
        }
    }

    /// The price an auction clears at: the middle of the book.
    pub(crate) fn middle(&self) -> u32 {
        let fair = self.fair * self.tick;
        let bid = self.sides[BID].best_price().unwrap_or(fair);
        let ask = self.sides[ASK].best_price().unwrap_or(fair);
        (bid + ask) / 2 / self.tick * self.tick
    }

    /// An ordinary order's size: at most three lots, one most often.
    pub(crate) fn usual_qty(&self, rng: &mut Rng) -> u32 {
        match rng.below(100) {
            0..56 => self.lot,
            56..68 => (self.lot / 2).max(1),
            68..80 => self.lot * 2,
            80..86 => self.lot * 3,
            _ => rng.between(1, self.lot),
        }
    }
}

/// All instruments and the counters that are unique across them.
pub(crate) struct Market {
    pub(crate) instruments: Vec<Instrument>,
    /// Places in `instruments` by activity rank.
    pub(crate) by_rank: Vec<u32>,
    pub(crate) guards: Vec<Guard>,
    references: u64,
    pub(crate) matches: u64,
}

impl Market {
    /// `symbols` instruments, activity ranks dealt at random, at most about `orders_live_max` live
    /// background orders.
    pub(crate) fn new(symbols: u32, orders_live_max: usize, rng: &mut Rng) -> Self {
        let mut by_rank: Vec<u32> = (0..symbols).collect();
        for last in (1..symbols).rev() {
            by_rank.swap(last as usize, rng.below(last + 1) as usize);
        }
        let mut rank_of = vec![0; symbols as usize];
        for (rank, &index) in by_rank.iter().enumerate() {
            rank_of[index as usize] = rank as u32;
        }
        let instruments = (0..symbols)
            .map(|i| Instrument::new(i, rank_of[i as usize], rng, orders_live_max))
            .collect();
        Self { instruments, by_rank, guards: Vec::new(), references: 0, matches: 0 }
    }

    /// A new order reference.
    #[inline]
    pub(crate) fn reference(&mut self) -> u64 {
        self.references += 1;
        self.references
    }

    /// A new match number.
    #[inline]
    pub(crate) fn match_number(&mut self) -> u64 {
        self.matches += 1;
        self.matches
    }

    /// True if the order belongs to the planted pattern that runs in its instrument.
    #[inline]
    pub(crate) fn is_planted(&self, at: usize, reference: u64) -> bool {
        match self.instruments[at].guard {
            None => false,
            Some(guard) => self.guards[guard as usize].live.contains(&reference),
        }
    }

    /// True if the background may execute the front order of a side.
    #[inline]
    pub(crate) fn may_execute(&self, at: usize, side: usize) -> bool {
        let instrument = &self.instruments[at];
        let Some(front) = instrument.sides[side].front() else { return false };
        match instrument.guard {
            None => !instrument.halted,
            Some(guard) => {
                let guard = &self.guards[guard as usize];
                !instrument.halted
                    && !guard.no_execution[side]
                    && !guard.live.contains(&front.reference)
            }
        }
    }
}

/// Room for the background orders of one side: it falls with the root of the activity rank.
fn side_orders(rank: u32, orders_live_max: usize) -> usize {
    let scale = orders_live_max / 100;
    (scale / (f64::from(rank + 16).sqrt() as usize)).clamp(SIDE_ORDERS_MIN, SIDE_ORDERS_MAX)
}

/// A ticker of four letters, different for every index below 26^4.
fn ticker(index: u32) -> [u8; 8] {
    // 104,729 is prime and shares no factor with 26^4, so the map is one to one.
    let mut scrambled = (u64::from(index) * 104_729 + 7_919) % 456_976;
    let mut symbol = *b"        ";
    for letter in &mut symbol[..4] {
        *letter = b'A' + (scrambled % 26) as u8;
        scrambled /= 26;
    }
    symbol
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickers_differ() {
        let mut all: Vec<_> = (0..65_535).map(ticker).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 65_535);
    }

    #[test]
    fn quotes_never_cross() {
        let mut rng = Rng::new(9);
        let mut market = Market::new(50, 10_000, &mut rng);
        for at in 0..50 {
            let instrument = &mut market.instruments[at];
            for reference in 0..400 {
                let side = (reference % 2) as usize;
                instrument.drift(&mut rng);
                let price = instrument.quote(side, rng.halvings());
                instrument.sides[side].add(reference, price, 1);
                let (bid, ask) = (&instrument.sides[BID], &instrument.sides[ASK]);
                if let (Some(bid), Some(ask)) = (bid.best_price(), ask.best_price()) {
                    assert!(bid < ask && bid % instrument.tick == 0);
                }
            }
        }
    }
}
