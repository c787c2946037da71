//! The background flow of one instrument: the ordinary adds, pulls, replaces and trades around
//! which planted patterns hide.
//!
//! Invariants: a message never refers to an order that does not live; an execution hits the front
//! order of the best price; at most one large order is added to a side in [`LARGE_GAP_NS`], so that
//! the background alone never layers.

use super::emit::{Emitter, MessageSink};
use super::market::{ASK, BID, Market};
use super::rng::Rng;

/// Least time between two large background orders on one side of an instrument. Longer than the
/// 500 ms in which a layering episode builds.
pub(crate) const LARGE_GAP_NS: u64 = 700_000_000;
/// Most orders that one background trade sweeps.
const SWEEP_MAX: u32 = 4;

/// Weights in 1,024ths of what happens next, by phase of the day.
pub(crate) struct Weights {
    delete: u32,
    replace: u32,
    execute: u32,
    execute_price: u32,
    cancel: u32,
    trade: u32,
    imbalance: u32,
    rare: u32,
}

impl Weights {
    /// True in the phases in which orders are executed.
    pub(crate) fn trades(&self) -> bool {
        self.execute > 0
    }
}

/// Before the open: books fill, nothing trades, imbalances are published.
pub(crate) const PRE_OPEN: Weights = Weights {
    delete: 300,
    replace: 90,
    execute: 0,
    execute_price: 0,
    cancel: 15,
    trade: 0,
    imbalance: 60,
    rare: 0,
};
/// The day, near the mix of a real one.
pub(crate) const OPEN: Weights = Weights {
    delete: 408,
    replace: 94,
    execute: 32,
    execute_price: 2,
    cancel: 21,
    trade: 9,
    imbalance: 0,
    rare: 1,
};
/// The minutes before the close: as the day, with imbalances.
pub(crate) const BEFORE_CLOSE: Weights = Weights { imbalance: 25, execute: 40, ..OPEN };
/// After the close: day orders are pulled.
pub(crate) const AFTER_CLOSE: Weights = Weights {
    delete: 760,
    replace: 30,
    execute: 0,
    execute_price: 0,
    cancel: 20,
    trade: 0,
    imbalance: 0,
    rare: 0,
};

/// One background event in instrument `at`: one message, up to [`SWEEP_MAX`] for a trade, or none
/// if nothing can happen there.
pub(crate) fn background<S: MessageSink>(
    market: &mut Market,
    at: usize,
    weights: &Weights,
    rng: &mut Rng,
    out: &mut Emitter<S>,
) {
    let mut draw = rng.below(1_024);
    if draw & 15 == 0 {
        market.instruments[at].drift(rng);
    }
    let mut is = |weight: u32| {
        let hit = draw < weight;
        draw = draw.wrapping_sub(weight);
        hit
    };
    let done = if is(delete_weight(market, at, weights.delete)) {
        delete(market, at, rng, out)
    } else if is(weights.replace) {
        replace(market, at, rng, out)
    } else if is(weights.execute) {
        execute(market, at, false, rng, out)
    } else if is(weights.execute_price) {
        execute(market, at, true, rng, out)
    } else if is(weights.cancel) {
        cancel(market, at, rng, out)
    } else if is(weights.trade) {
        trade(market, at, rng, out)
    } else if is(weights.imbalance) {
        imbalance(market, at, b'O', rng, out);
        true
    } else if is(weights.rare) {
        rare(market, at, rng, out);
        true
    } else {
        false
    };
    if !done && !add(market, at, rng, out) {
        delete(market, at, rng, out);
    }
}

/// Pulls the number of live orders towards 3/4 of the room there is for them.
#[inline]
fn delete_weight(market: &Market, at: usize, weight: u32) -> u32 {
    let instrument = &market.instruments[at];
    let live = (instrument.sides[BID].len() + instrument.sides[ASK].len()) as u32;
    let wanted = (instrument.side_orders_max as u32 * 3 / 2).max(1);
    let fill = (live * 256 / wanted).min(512);
    // Empty: 3/8 of the weight. As wanted: all of it. Half as much again: 5/4.
    if fill < 256 {
        weight * (96 + fill * 160 / 256) / 256
    } else {
        weight * (128 + fill / 2) / 256
    }
}

fn add<S: MessageSink>(
    market: &mut Market,
    at: usize,
    rng: &mut Rng,
    out: &mut Emitter<S>,
) -> bool {
    let reference = market.reference();
    let instrument = &mut market.instruments[at];
    let thin = usize::from(instrument.sides[BID].len() > instrument.sides[ASK].len());
    let side = if rng.chance(600) { thin } else { 1 - thin };
    if instrument.sides[side].len() >= instrument.side_orders_max {
        return false;
    }
    let mut offset = rng.halvings();
    if rng.chance(96) {
        offset += rng.below(30);
    }
    let mut qty = instrument.usual_qty(rng);
    let free_of_large = out.now_ns() >= instrument.large_ns[side] + LARGE_GAP_NS;
    if rng.chance(8) && free_of_large && instrument.guard.is_none() {
        qty = instrument.lot * rng.between(6, 25);
        instrument.large_ns[side] = out.now_ns();
        offset += rng.below(4);
    }
    let price = instrument.quote(side, offset);
    instrument.sides[side].add(reference, price, qty);
    instrument.newest = (reference, side);
    instrument.adds = instrument.adds.saturating_add(1);
    instrument.ever_added = true;
    let attributed = rng.chance(24);
    out.add(instrument, reference, side, qty, price, attributed);
    true
}

/// The side and depth of an order to pull: often the newest, else one near the touch.
fn pick(market: &Market, at: usize, rng: &mut Rng) -> Option<(usize, usize)> {
    let instrument = &market.instruments[at];
    let (newest, side) = instrument.newest;
    if rng.chance(400)
        && let Some(depth) = instrument.sides[side].find(newest)
    {
        return Some((side, depth));
    }
    let side = (rng.bits() & 1) as usize;
    for side in [side, 1 - side] {
        let orders = &instrument.sides[side];
        for _ in 0..3 {
            // A draw within a draw leans towards the touch.
            let span = rng.below(orders.len() as u32) + 1;
            let depth = rng.below(span) as usize;
            if depth < orders.len() && !market.is_planted(at, orders.at_depth(depth).reference) {
                return Some((side, depth));
            }
        }
    }
    None
}

fn delete<S: MessageSink>(
    market: &mut Market,
    at: usize,
    rng: &mut Rng,
    out: &mut Emitter<S>,
) -> bool {
    let Some((side, depth)) = pick(market, at, rng) else { return false };
    let instrument = &mut market.instruments[at];
    let order = instrument.sides[side].remove(depth);
    out.delete(instrument, order.reference);
    true
}

fn cancel<S: MessageSink>(
    market: &mut Market,
    at: usize,
    rng: &mut Rng,
    out: &mut Emitter<S>,
) -> bool {
    let Some((side, depth)) = pick(market, at, rng) else { return false };
    let instrument = &mut market.instruments[at];
    let order = instrument.sides[side].at_depth(depth);
    if order.qty < 2 {
        return false;
    }
    let qty = rng.between(1, order.qty - 1);
    instrument.sides[side].reduce(depth, qty);
    out.cancel(instrument, order.reference, qty);
    true
}

fn replace<S: MessageSink>(
    market: &mut Market,
    at: usize,
    rng: &mut Rng,
    out: &mut Emitter<S>,
) -> bool {
    let Some((side, depth)) = pick(market, at, rng) else { return false };
    let new_reference = market.reference();
    let instrument = &mut market.instruments[at];
    let old = instrument.sides[side].remove(depth);
    let keep = old.qty <= instrument.lot * 3 && rng.chance(700);
    let qty = if keep { old.qty } else { instrument.usual_qty(rng) };
    let price = instrument.quote(side, rng.halvings());
    instrument.sides[side].add(new_reference, price, qty);
    instrument.newest = (new_reference, side);
    out.replace(instrument, old.reference, new_reference, qty, price);
    true
}

/// A marketable order takes the front orders of one side; `improved` at a better price than theirs.
fn execute<S: MessageSink>(
    market: &mut Market,
    at: usize,
    improved: bool,
    rng: &mut Rng,
    out: &mut Emitter<S>,
) -> bool {
    let rich = usize::from(!market.instruments[at].is_rich());
    let side = if rng.chance(640) { rich } else { 1 - rich };
    let mut swept = 0;
    while market.may_execute(at, side) && market.instruments[at].sides[side].len() > 1 {
        let whole = rng.chance(660);
        execute_front(market, at, side, whole, improved, rng, out);
        swept += 1;
        if !whole || swept == SWEEP_MAX || !rng.chance(400) {
            break;
        }
    }
    swept > 0
}

/// Executes the front order of a side, all of it or part, and returns its reference.
pub(crate) fn execute_front<S: MessageSink>(
    market: &mut Market,
    at: usize,
    side: usize,
    whole: bool,
    improved: bool,
    rng: &mut Rng,
    out: &mut Emitter<S>,
) -> Option<u64> {
    let match_number = market.match_number();
    let instrument = &mut market.instruments[at];
    let front = instrument.sides[side].front()?;
    let price = instrument.sides[side].price(front);
    let qty = if whole || front.qty < 2 { front.qty } else { rng.between(1, front.qty - 1) };
    instrument.sides[side].reduce(0, qty);
    instrument.executed += u64::from(qty);
    instrument.last_match = match_number;
    if improved {
        // Half a tick better for the resting order's owner: a midpoint trade.
        let half = (instrument.tick / 2).max(1);
        let better = if side == BID { price - half } else { price + half };
        out.execute_price(instrument, front.reference, qty, match_number, better);
    } else {
        out.execute(instrument, front.reference, qty, match_number, price);
    }
    Some(front.reference)
}

/// A trade against an order that was never displayed.
fn trade<S: MessageSink>(
    market: &mut Market,
    at: usize,
    rng: &mut Rng,
    out: &mut Emitter<S>,
) -> bool {
    if market.instruments[at].halted {
        return false;
    }
    let match_number = market.match_number();
    let instrument = &mut market.instruments[at];
    instrument.last_match = match_number;
    let qty = instrument.usual_qty(rng);
    out.trade(instrument, qty, instrument.middle(), match_number);
    true
}

/// A net order imbalance indicator for the cross `kind`.
pub(crate) fn imbalance<S: MessageSink>(
    market: &Market,
    at: usize,
    kind: u8,
    rng: &mut Rng,
    out: &mut Emitter<S>,
) {
    let instrument = &market.instruments[at];
    let paired = u64::from(instrument.lot) * u64::from(rng.below(2_000));
    let missing = u64::from(instrument.lot) * u64::from(rng.below(400));
    let direction = match missing {
        0 => b'N',
        _ if rng.chance(512) => b'B',
        _ => b'S',
    };
    out.imbalance(instrument, paired, missing, direction, instrument.middle(), kind);
}

/// What happens a few times a day: a broken trade, a retail interest, an operational halt.
fn rare<S: MessageSink>(market: &Market, at: usize, rng: &mut Rng, out: &mut Emitter<S>) {
    let instrument = &market.instruments[at];
    match rng.below(100) {
        0 if instrument.last_match > 0 => out.broken_trade(instrument, instrument.last_match),
        1 => {
            out.operational_halt(instrument, b'H');
            out.operational_halt(instrument, b'T');
        }
        _ => out.retail_interest(instrument, *rng.one_of(b"BSAN")),
    }
}
