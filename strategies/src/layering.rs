//! Layering and spoofing: several large orders are stacked on one side of the book, away from any
//! wish to trade, a smaller order on the other side is executed at the price that they pushed, and
//! the stack is pulled at once.
//!
//! The definition is the regulators': "multiple, non-bona fide, limit orders at different price
//! tiers ... to create the appearance of a change in the levels of supply and demand" [FINRA
//! Regulatory Notice 12-17 / Rule 5210 supplementary material .03; SEC v. Milrud, 2015; Dodd-Frank
//! Act section 747 on spoofing]. Its shape in order data, with the cancellation after the
//! opposite trade as the sign that tells it from market making, is that of [Lee, Eom & Park,
//! "Microstructure-based manipulation: strategic behavior and performance of spoofing traders",
//! Journal of Financial Markets 16(2), 2013].
//!
//! An episode, in one instrument and in event time:
//!
//! ```text
//!  adds of one side, each >= size_min x the usual size, at or behind the touch
//!  |--- build_window ---|-- execution_window --| execution on the other side |-- pull_window --|
//!   >= layers_min distinct prices, all alive ──────────────┘   >= pulled_min of their quantity
//!                                                              cancelled, none of it executed
//! ```
//!
//! The usual size is a running mean of the instrument's own adds; a large one brings
//! no more than twice the mean, so that layers hardly hide themselves by raising it. An
//! attribution is not asked for: public feeds seldom have one.
//!
//! Invariant: all state is per instrument and of a fixed size; at most [`LAYERS_MAX`] large orders
//! and [`CASES_MAX`] open cases a side are followed, the oldest give way and are counted.

mod side;

use corelane_feeds::record::{Record, StreamId};
use corelane_feeds::streams::{book, sys};
use corelane_feeds::units::{Char, Nanos, Qty, Side};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::action::Alert;
use crate::kept::Kept;
use crate::keyed::PerInstrument;
use crate::memory::Memory;
use crate::outbox::Outbox;
use crate::registry::{Factory, ParamDoc, ParamError, Params, error};
use crate::rules::RuleSet;
use crate::state::{StateReader, put_words};
use crate::strategy::{StateError, Strategy};
pub use side::{CASES_MAX, LAYERS_MAX};
use side::{Case, LayeredSide, Limits};

/// Adds after which the count and sum of sizes are halved: the mean follows the day.
const MEAN_ADDS_MAX: u32 = 4_096;
/// Changes when the saved state does.
const STATE_VERSION: u32 = 0x4c41_5902;

/// When layering is layering.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct LayeringOptions {
    /// Distinct prices at least, 2 to [`LAYERS_MAX`].
    pub layers_min: u32,
    /// A layer is this many times the usual size, in thousandths.
    pub size_min_milli: u64,
    /// The layers are added within this time.
    pub build_window_ns: u64,
    /// The execution comes at most this long after the last layer.
    pub execution_window_ns: u64,
    /// The layers are pulled at most this long after the execution.
    pub pull_window_ns: u64,
    /// Part of the layered quantity that is pulled, in thousandths.
    pub pulled_min_milli: u64,
    /// Adds that an instrument must have seen before its usual size is known.
    pub warm_adds: u32,
}

impl Default for LayeringOptions {
    fn default() -> Self {
        Self {
            layers_min: 4,
            size_min_milli: 5_000,
            build_window_ns: 500_000_000,
            execution_window_ns: 500_000_000,
            pull_window_ns: 500_000_000,
            pulled_min_milli: 750,
            warm_adds: 16,
        }
    }
}

/// What every add and most other events of an instrument touch: half a cache line.
#[derive(Copy, Clone, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Usual {
    /// Sum of the sizes that `adds` adds brought.
    sum: u64,
    adds: u32,
    _pad: u32,
    /// After this time no order of bids and of asks is followed any more.
    followed_until: [u64; 2],
}

/// The detector. See the [module](self).
pub struct Layering {
    options: LayeringOptions,
    limits: Limits,
    usual: PerInstrument<Usual>,
    sides: PerInstrument<[LayeredSide; 2]>,
    alerts: u64,
    layers: u64,
    cases: u64,
    evicted: u64,
}

impl Layering {
    /// A detector that has seen nothing.
    #[must_use]
    pub fn new(options: LayeringOptions) -> Self {
        let LayeringOptions { build_window_ns, execution_window_ns, pull_window_ns, .. } = options;
        let limits = Limits {
            layers_min: options.layers_min,
            build_window_ns,
            execution_window_ns,
            pull_window_ns,
            pulled_min_milli: options.pulled_min_milli,
            follow_ns: build_window_ns
                .saturating_add(execution_window_ns)
                .saturating_add(pull_window_ns),
        };
        Self {
            options,
            limits,
            usual: PerInstrument::default(),
            sides: PerInstrument::default(),
            alerts: 0,
            layers: 0,
            cases: 0,
            evicted: 0,
        }
    }

    #[inline]
    fn added(&mut self, order: &book::Order) {
        let header = &order.header;
        let Some(usual) = self.usual.get(header.feed, header.instrument) else { return };
        let (qty, count) = (u64::from(order.qty.0), u64::from(usual.adds));
        let known = usual.adds >= self.options.warm_adds;
        let large = known
            && qty.saturating_mul(count).saturating_mul(1_000)
                >= usual.sum.saturating_mul(self.options.size_min_milli);
        let brought = if large { (usual.sum / count).saturating_mul(2).min(qty) } else { qty };
        usual.sum += brought;
        usual.adds += 1;
        if usual.adds >= MEAN_ADDS_MAX {
            usual.adds /= 2;
            usual.sum /= 2;
        }
        let touch = order.touch.0;
        let behind = touch == 0
            || if order.side == Side::BUY {
                order.price.0 <= touch
            } else {
                order.price.0 >= touch
            };
        if !large || !behind {
            return;
        }
        let index = order.side.index();
        let now = header.ts_event.0;
        usual.followed_until[index] = now.saturating_add(self.limits.follow_ns);
        let Some(sides) = self.sides.get(header.feed, header.instrument) else { return };
        self.layers += 1;
        self.evicted += u64::from(sides[index].add(order, &self.limits));
    }

    #[inline]
    fn executed(&mut self, order: &book::Order) {
        let header = &order.header;
        let Some(usual) = self.usual.get(header.feed, header.instrument) else { return };
        let (own, other) = (order.side.index(), 1 - order.side.index());
        let now = header.ts_event.0;
        let followed = usual.followed_until.map(|until| now <= until);
        if !followed[0] && !followed[1] {
            return;
        }
        let Some(sides) = self.sides.get(header.feed, header.instrument) else { return };
        if followed[own] {
            sides[own].executed(order.order_ref);
        }
        if followed[other] {
            self.cases += u64::from(sides[other].open_case(order, &self.limits));
        }
    }

    #[inline]
    fn left(&mut self, order: &book::Order, outbox: &mut Outbox) {
        let header = &order.header;
        let Some(usual) = self.usual.get(header.feed, header.instrument) else { return };
        let now = header.ts_event;
        let index = order.side.index();
        let young = now.since(order.ts_added) <= self.limits.follow_ns;
        if !young || now.0 > usual.followed_until[index] {
            return;
        }
        let mean = usual.sum / u64::from(usual.adds).max(1);
        let Some(sides) = self.sides.get(header.feed, header.instrument) else { return };
        if let Some(case) = sides[index].left(order, &self.limits) {
            self.alerts += 1;
            outbox.act(alert(order, &case, mean, self.options.size_min_milli));
        }
    }
}

fn alert(order: &book::Order, case: &Case, mean: u64, size_min_milli: u64) -> Alert {
    let mut alert = Alert::new(order.header.stamp(), order.side.0);
    alert.symbol = order.symbol;
    alert.kind = Char::new("layering");
    alert.order_ref = case.executed_ref;
    alert.price = case.price;
    alert.qty = Qty(case.total);
    alert.count = u64::from(case.layers);
    alert.ts_first = Nanos(case.ts_first);
    // The layers' mean size against the least that makes a layer.
    let least = (mean * size_min_milli / 1_000).max(1);
    alert.score_milli = case.total / u64::from(case.layers).max(1) * 1_000 / least;
    alert
}

impl Strategy for Layering {
    fn name(&self) -> &str {
        "layering"
    }

    fn streams(&self) -> &[StreamId] {
        &[sys::Session::STREAM, book::Order::STREAM]
    }

    fn actions_max(&self) -> usize {
        1
    }

    #[inline]
    fn on_record(&mut self, record: &Record, outbox: &mut Outbox) {
        let Some(order) = record.view::<book::Order>() else {
            self.usual.begin(record.header.feed);
            self.sides.begin(record.header.feed);
            return;
        };
        match order.kind().0[0] {
            b'A' => self.added(order),
            b'E' => self.executed(order),
            _ => self.left(order, outbox),
        }
    }

    fn reserve(&mut self, feed: u8, memory: Memory) {
        self.usual.reserve(feed, memory);
        self.sides.open(feed);
    }

    fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&STATE_VERSION.to_le_bytes());
        put_words(out, [self.layers, self.cases, self.evicted, self.alerts]);
        self.usual.save(out);
        self.sides.save(out);
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut state = StateReader::new(bytes);
        if state.u32()? != STATE_VERSION {
            return Err(StateError::Version);
        }
        let [layers, cases, evicted, alerts] = state.words()?;
        let usual = PerInstrument::restore(&mut state)?;
        let sides = PerInstrument::restore(&mut state)?;
        state.finish()?;
        (self.usual, self.sides) = (usual, sides);
        (self.layers, self.cases) = (layers, cases);
        (self.evicted, self.alerts) = (evicted, alerts);
        Ok(())
    }

    fn tell(&self, _rules: &RuleSet, each: &mut dyn FnMut(Kept)) {
        self.usual.each(|feed, instrument, usual| {
            let mean = usual.sum / u64::from(usual.adds.max(1));
            let kept = Kept::new("usual size", self.name()).of_instrument(feed, instrument);
            each(kept.value("adds", usual.adds).value("mean", mean));
        });
        self.sides.each(|feed, instrument, sides| {
            for (side, name) in sides.iter().zip(["large bids", "large asks"]) {
                let kept = Kept::new(name, self.name()).of_instrument(feed, instrument);
                if let Some(kept) = side.tell(kept) {
                    each(kept);
                }
            }
        });
    }

    fn counters(&self, report: &mut dyn FnMut(&'static str, u64)) {
        report("large_orders", self.layers);
        report("cases_opened", self.cases);
        report("followed_evicted", self.evicted);
        report("alerts", self.alerts);
    }
}

/// How a configuration makes one.
pub const FACTORY: Factory = Factory {
    name: "layering",
    doc: "Alerts when large orders layered on one side are pulled after a trade on the other.",
    params: &[
        ParamDoc { name: "layers_min", default: "4", doc: "Distinct prices at least, 2 to 16." },
        ParamDoc { name: "size_min", default: "5.0", doc: "Size of a layer, in usual sizes." },
        ParamDoc { name: "build_window", default: "\"500ms\"", doc: "Layers are added within it." },
        ParamDoc {
            name: "execution_window",
            default: "\"500ms\"",
            doc: "From the last layer to the execution, at most.",
        },
        ParamDoc {
            name: "pull_window",
            default: "\"500ms\"",
            doc: "From the execution to the last cancellation, at most.",
        },
        ParamDoc {
            name: "pulled_min",
            default: "0.75",
            doc: "Part of the layered quantity that is cancelled, over 0 to 1.",
        },
        ParamDoc {
            name: "warm_adds",
            default: "16",
            doc: "Adds of an instrument before its usual size is known, at least 1.",
        },
    ],
    build,
};

fn build(params: &Params) -> Result<Box<dyn Strategy>, ParamError> {
    let usual = LayeringOptions::default();
    let layers_min = params.int("layers_min", u64::from(usual.layers_min))?;
    if !(2..=LAYERS_MAX as u64).contains(&layers_min) {
        return Err(error("layers_min", "must be 2 to 16"));
    }
    let size_min = params.float("size_min", 5.0)?;
    if !(1.0..=1_000.0).contains(&size_min) {
        return Err(error("size_min", "must be 1 to 1000"));
    }
    let pulled_min = params.float("pulled_min", 0.75)?;
    if !(0.001..=1.0).contains(&pulled_min) {
        return Err(error("pulled_min", "must be over 0 and at most 1"));
    }
    let warm_adds = params.int("warm_adds", u64::from(usual.warm_adds))?;
    if !(1..=u64::from(MEAN_ADDS_MAX / 2)).contains(&warm_adds) {
        return Err(error("warm_adds", "must be 1 to 2048"));
    }
    Ok(Box::new(Layering::new(LayeringOptions {
        layers_min: layers_min as u32,
        size_min_milli: (size_min * 1_000.0).round() as u64,
        build_window_ns: params.duration_ns("build_window", usual.build_window_ns)?,
        execution_window_ns: params.duration_ns("execution_window", usual.execution_window_ns)?,
        pull_window_ns: params.duration_ns("pull_window", usual.pull_window_ns)?,
        pulled_min_milli: (pulled_min * 1_000.0).round() as u64,
        warm_adds: warm_adds as u32,
    })))
}

#[cfg(test)]
mod tests;
