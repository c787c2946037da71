//! Order-book imbalance and momentum: buys (sells) when the best quotes lean to one side and the
//! order flow of the last moments pushed the same way.
//!
//! Two published signals must agree:
//!
//! - *Order flow imbalance*: what was added to, less what was taken from, the best bid, minus the
//!   same of the best ask, over the last moments. Price changes are near linear in it, with a
//!   slope of one over twice the depth. [Cont, Kukanov & Stoikov, "The price impact of order book
//!   events", Journal of Financial Econometrics 12(1), 2014, equations 1-4]
//! - *Queue imbalance*: `(bid - ask) / (bid + ask)` of the quantities at the best prices, the
//!   weight that the micro-price gives them. [Stoikov, "The micro-price: a high-frequency estimator
//!   of future prices", Quantitative Finance 18(12), 2018; Gould & Bonart, "Queue imbalance as a
//!   one-tick-ahead price predictor in a limit order book", 2016]
//!
//! Flow fades by half every `half_life` of event time. One order is sent when the signal appears,
//! at the price it would trade at now, and none again before `cooldown` is over and the queue
//! imbalance has been below half of its threshold. It is a decision rule, not a trading system: it
//! knows nothing of fills, positions or costs.
//!
//! Invariant: integers only, all state per instrument in one cache line.

use corelane_feeds::record::{Record, StreamId};
use corelane_feeds::streams::{book, sys};
use corelane_feeds::units::{Price, Qty32, Side};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::action::Order;
use crate::kept::Kept;
use crate::keyed::PerInstrument;
use crate::memory::Memory;
use crate::outbox::Outbox;
use crate::registry::{Factory, ParamDoc, ParamError, Params, error};
use crate::rules::RuleSet;
use crate::state::{StateReader, put_words};
use crate::strategy::{StateError, Strategy};

/// Steps in which flow fades, per half-life.
const STEPS: u64 = 8;
/// 2^(-i/8) in 65,536ths.
const FADE: [i64; STEPS as usize] =
    [65_536, 60_097, 55_109, 50_535, 46_341, 42_495, 38_968, 35_734];
/// Flow stays within this, so that nothing overflows.
const FLOW_MAX: i64 = 1 << 40;
/// Changes when the saved state does.
const STATE_VERSION: u32 = 0x494d_4202;

/// When to trade.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ImbalanceOptions {
    /// Queue imbalance at least, in thousandths.
    pub imbalance_min_milli: u64,
    /// Flow over twice the depth at least, in thousandths.
    pub momentum_min_milli: u64,
    /// Flow fades by half in this time.
    pub half_life_ns: u64,
    /// Time between two orders in one instrument at least.
    pub cooldown_ns: u64,
    /// The spread at most, in hundredths of a percent of the bid.
    pub spread_max_bps: u64,
    /// Quantity of an order, less if the quote holds less.
    pub qty: u32,
}

impl Default for ImbalanceOptions {
    fn default() -> Self {
        Self {
            imbalance_min_milli: 700,
            momentum_min_milli: 500,
            half_life_ns: 100_000_000,
            cooldown_ns: 1_000_000_000,
            spread_max_bps: 20,
            qty: 100,
        }
    }
}

/// What is known of one instrument.
#[derive(Copy, Clone, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Quote {
    bid: Price,
    ask: Price,
    bid_qty: u32,
    ask_qty: u32,
    /// Faded order flow imbalance at `ts_step`.
    flow: i64,
    /// Start of the fading step that the flow was brought to.
    ts_step: u64,
    /// When the last order was sent.
    ts_order: u64,
    /// Both sides were quoted before.
    known: u32,
    /// 1 if the signal must go away before it counts again.
    spent: u32,
}

const _: () = assert!(size_of::<Quote>() == 56);

impl Quote {
    /// Lets the flow fade to `now`.
    #[inline]
    fn fade(&mut self, now: u64, step_ns: u64) {
        let passed = now.saturating_sub(self.ts_step);
        if passed < step_ns {
            return;
        }
        let steps = passed / step_ns;
        self.ts_step += steps * step_ns;
        let halvings = steps / STEPS;
        self.flow = if halvings >= 40 { 0 } else { halved(self.flow, halvings) };
        self.flow = self.flow * FADE[(steps % STEPS) as usize] / FADE[0];
    }

    /// Adds what the new quote tells of the flow (equation 2 of Cont, Kukanov & Stoikov).
    #[inline]
    fn add_flow(&mut self, bbo: &book::Bbo) {
        let (bid_now, ask_now) = (i64::from(bbo.bid_qty.0), i64::from(bbo.ask_qty.0));
        let (bid_then, ask_then) = (i64::from(self.bid_qty), i64::from(self.ask_qty));
        let mut change = 0;
        change += if bbo.bid >= self.bid { bid_now } else { 0 };
        change -= if bbo.bid <= self.bid { bid_then } else { 0 };
        change -= if bbo.ask <= self.ask { ask_now } else { 0 };
        change += if bbo.ask >= self.ask { ask_then } else { 0 };
        self.flow = (self.flow + change).clamp(-FLOW_MAX, FLOW_MAX);
    }
}

/// `flow / 2^times`, rounded towards zero, without the division that the CPU takes long for.
#[inline]
fn halved(flow: i64, times: u64) -> i64 {
    // Shifts round down: a negative number is first raised to where that is towards zero.
    let below_zero = flow >> 63;
    (flow + (below_zero & ((1 << times) - 1))) >> times
}

/// The decision rule. See the [module](self).
pub struct Imbalance {
    options: ImbalanceOptions,
    step_ns: u64,
    quotes: PerInstrument<Quote>,
    orders: u64,
    wide: u64,
}

impl Imbalance {
    /// A rule that has seen nothing.
    #[must_use]
    pub fn new(options: ImbalanceOptions) -> Self {
        let step_ns = (options.half_life_ns / STEPS).max(1);
        Self { options, step_ns, quotes: PerInstrument::default(), orders: 0, wide: 0 }
    }

    #[inline]
    fn quote(&mut self, bbo: &book::Bbo, outbox: &mut Outbox) {
        let header = &bbo.header;
        let Some(quote) = self.quotes.get(header.feed, header.instrument) else { return };
        let now = header.ts_event.0;
        let is_two_sided = bbo.bid_qty.0 > 0 && bbo.ask_qty.0 > 0 && bbo.bid < bbo.ask;
        if !is_two_sided {
            // An empty or crossed book says nothing, and no flow can be told across it.
            (quote.known, quote.flow) = (0, 0);
            return;
        }
        if quote.known == 1 {
            quote.fade(now, self.step_ns);
            quote.add_flow(bbo);
        } else {
            (quote.known, quote.flow, quote.ts_step) = (1, 0, now);
        }
        (quote.bid, quote.bid_qty) = (bbo.bid, bbo.bid_qty.0);
        (quote.ask, quote.ask_qty) = (bbo.ask, bbo.ask_qty.0);
        let options = &self.options;
        let (lean, depth) = (lean(bbo), depth(bbo));
        let milli = lean.unsigned_abs() * 1_000;
        if milli * 2 < options.imbalance_min_milli * depth {
            quote.spent = 0;
        }
        let agrees = lean.signum() == quote.flow.signum();
        // The flow against twice the depth of one side, which is the depth of both.
        let strong = milli >= options.imbalance_min_milli * depth
            && quote.flow.unsigned_abs() * 1_000 >= options.momentum_min_milli * depth;
        if !agrees || !strong || quote.spent == 1 {
            return;
        }
        if quote.ts_order != 0 && now.saturating_sub(quote.ts_order) < options.cooldown_ns {
            return;
        }
        let spread = (bbo.ask.0 - bbo.bid.0).unsigned_abs();
        if spread > bbo.bid.0.unsigned_abs() / 10_000 * options.spread_max_bps {
            self.wide += 1;
            return;
        }
        (quote.spent, quote.ts_order) = (1, now);
        self.orders += 1;
        outbox.act(order(bbo, lean > 0, options.qty));
    }
}

/// Bid less ask quantity.
#[inline]
fn lean(bbo: &book::Bbo) -> i64 {
    i64::from(bbo.bid_qty.0) - i64::from(bbo.ask_qty.0)
}

/// Bid and ask quantity together.
#[inline]
fn depth(bbo: &book::Bbo) -> u64 {
    u64::from(bbo.bid_qty.0) + u64::from(bbo.ask_qty.0)
}

#[cold]
fn order(bbo: &book::Bbo, buy: bool, qty: u32) -> Order {
    let side = if buy { Side::BUY } else { Side::SELL };
    let mut order = Order::new(bbo.header.stamp(), side.0);
    order.symbol = bbo.symbol;
    let (price, there) = if buy { (bbo.ask, bbo.ask_qty) } else { (bbo.bid, bbo.bid_qty) };
    order.price = price;
    order.qty = Qty32(qty.min(there.0));
    order
}

impl Strategy for Imbalance {
    fn name(&self) -> &str {
        "imbalance"
    }

    fn streams(&self) -> &[StreamId] {
        &[sys::Session::STREAM, book::Bbo::STREAM]
    }

    fn actions_max(&self) -> usize {
        1
    }

    #[inline]
    fn on_record(&mut self, record: &Record, outbox: &mut Outbox) {
        match record.view::<book::Bbo>() {
            Some(bbo) => self.quote(bbo, outbox),
            None => self.quotes.begin(record.header.feed),
        }
    }

    fn reserve(&mut self, feed: u8, memory: Memory) {
        self.quotes.reserve(feed, memory);
    }

    fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&STATE_VERSION.to_le_bytes());
        put_words(out, [self.orders, self.wide]);
        self.quotes.save(out);
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut state = StateReader::new(bytes);
        if state.u32()? != STATE_VERSION {
            return Err(StateError::Version);
        }
        let [orders, wide] = state.words()?;
        let quotes = PerInstrument::restore(&mut state)?;
        state.finish()?;
        (self.quotes, self.orders, self.wide) = (quotes, orders, wide);
        Ok(())
    }

    fn tell(&self, _rules: &RuleSet, each: &mut dyn FnMut(Kept)) {
        self.quotes.each(|feed, instrument, quote| {
            let kept = Kept::new("quote", self.name()).of_instrument(feed, instrument);
            let kept = kept.value("bid", format!("{} x {}", quote.bid, quote.bid_qty));
            let kept = kept.value("ask", format!("{} x {}", quote.ask, quote.ask_qty));
            let kept = kept.value("flow", quote.flow).value("as of", quote.ts_step);
            each(kept.value("last order", quote.ts_order).value("spent", quote.spent == 1));
        });
    }

    fn counters(&self, report: &mut dyn FnMut(&'static str, u64)) {
        report("orders", self.orders);
        report("spread_too_wide", self.wide);
    }
}

/// How a configuration makes one.
pub const FACTORY: Factory = Factory {
    name: "imbalance",
    doc: "Sends an order when the best quotes lean to one side and the order flow pushes there.",
    params: &[
        ParamDoc {
            name: "imbalance_min",
            default: "0.7",
            doc: "Queue imbalance at least, over 0 to 1.",
        },
        ParamDoc {
            name: "momentum_min",
            default: "0.5",
            doc: "Order flow over the depth of both quotes at least, 0 to 1000.",
        },
        ParamDoc { name: "half_life", default: "\"100ms\"", doc: "Flow fades by half in it." },
        ParamDoc { name: "cooldown", default: "\"1s\"", doc: "Least time between two orders." },
        ParamDoc { name: "spread_max_bps", default: "20", doc: "Spread at most, basis points." },
        ParamDoc { name: "qty", default: "100", doc: "Quantity of an order, at least 1." },
    ],
    build,
};

fn build(params: &Params) -> Result<Box<dyn Strategy>, ParamError> {
    let usual = ImbalanceOptions::default();
    let imbalance_min = params.float("imbalance_min", 0.7)?;
    if !(0.001..=1.0).contains(&imbalance_min) {
        return Err(error("imbalance_min", "must be over 0 and at most 1"));
    }
    let momentum_min = params.float("momentum_min", 0.5)?;
    if !(0.0..=1_000.0).contains(&momentum_min) {
        return Err(error("momentum_min", "must be 0 to 1000"));
    }
    let half_life_ns = params.duration_ns("half_life", usual.half_life_ns)?;
    if half_life_ns < 1_000 {
        return Err(error("half_life", "must be at least 1us"));
    }
    let spread_max_bps = params.int("spread_max_bps", usual.spread_max_bps)?;
    if spread_max_bps > 10_000 {
        return Err(error("spread_max_bps", "must be at most 10000"));
    }
    let qty = params.int("qty", u64::from(usual.qty))?;
    let qty = u32::try_from(qty).ok().filter(|&qty| qty > 0);
    Ok(Box::new(Imbalance::new(ImbalanceOptions {
        imbalance_min_milli: (imbalance_min * 1_000.0).round() as u64,
        momentum_min_milli: (momentum_min * 1_000.0).round() as u64,
        half_life_ns,
        cooldown_ns: params.duration_ns("cooldown", usual.cooldown_ns)?,
        spread_max_bps,
        qty: qty.ok_or_else(|| error("qty", "must be 1 to 4294967295"))?,
    })))
}

#[cfg(test)]
mod tests;
