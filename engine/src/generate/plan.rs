//! What is planted into a session, as timed steps: layering episodes, quote-stuffing bursts, halts,
//! and decoys that each miss one condition of a layering episode.
//!
//! A layering episode, in one instrument: within 500 ms at least four orders are added on one side,
//! at distinct prices at or behind the touch, each at least five times the instrument's usual size;
//! then an order on the opposite side is executed; then at least 75% of the layered quantity is
//! deleted within 500 ms of that execution, none of it having been executed.
//! [Lee, Eom & Park, "Microstructure-based manipulation", 2013; SEC v. Milrud, 2015]
//!
//! Invariant: a plan's steps are in time order, and what a plan leaves to chance (prices, the order
//! that is hit) cannot turn a decoy into an episode.

use serde::Serialize;

use super::market::{ASK, BID};
use super::rng::Rng;

const MS: u64 = 1_000_000;
const US: u64 = 1_000;

/// What a plan is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Large orders layered on one side, a trade on the other, the layers pulled.
    Layering,
    /// Orders added and pulled at once, thousands of times a second, without a trade.
    Stuffing,
    /// A trading halt, with its auction.
    Halt,
    /// Layers that are pulled without any execution.
    DecoyNoExecution,
    /// The execution comes first, then layers that are pulled.
    DecoyExecutionFirst,
    /// Layers that rest for a second and more after the execution.
    DecoyLingering,
    /// Half of the layers are pulled in time, the others much later.
    DecoyHalfPulled,
    /// Large orders at three prices only.
    DecoyThreePrices,
    /// Layers of two or three times the usual size.
    DecoySmallSizes,
    /// A layered order is executed before the others are pulled.
    DecoyLayerExecuted,
    /// Layers that take more than a second to build.
    DecoySlow,
    /// Many orders of many sizes pulled at once after a trade, none of them layered.
    DecoyMassCancel,
    /// A market maker on five levels of both sides that pulls and quotes again and again.
    DecoyMarketMaker,
}

/// All decoys.
pub(crate) const DECOYS: [Kind; 10] = [
    Kind::DecoyNoExecution,
    Kind::DecoyExecutionFirst,
    Kind::DecoyLingering,
    Kind::DecoyHalfPulled,
    Kind::DecoyThreePrices,
    Kind::DecoySmallSizes,
    Kind::DecoyLayerExecuted,
    Kind::DecoySlow,
    Kind::DecoyMassCancel,
    Kind::DecoyMarketMaker,
];

/// One thing that a plan does. Sides are relative: `layer` is the plan's own side.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Adds `lots` behind the layer added before, or at the same price.
    Layer { lots: u32, same_price: bool },
    /// Adds an order of the usual size that improves the opposite side.
    Bait,
    /// Adds `lots`, `level` ticks behind the touch.
    Quote { layer: bool, level: u32, lots: u32 },
    /// Executes the front order of the opposite side.
    ExecuteOpposite,
    /// Executes orders of the layers' side until one of the layers is gone.
    ExecuteLayer,
    /// Deletes the oldest of the plan's live orders on the layers' side; the smallest stays until
    /// [`Step::PullAll`].
    PullLayer,
    /// Deletes the newest of the plan's live orders.
    PullNewest,
    /// Deletes all of the plan's live orders.
    PullAll,
    /// Deletes up to this many orders that are not the plan's, nearest to the touch first.
    MassCancel { orders: u32 },
    /// Announces a trading state.
    State { state: u8, reason: [u8; 4] },
    /// Announces the auction's price collar.
    Collar,
    /// Publishes an imbalance for the halt's auction.
    Imbalance,
    /// The halt's auction.
    Cross,
}

/// A plan: steps at offsets from its start, and whether the background may trade meanwhile.
pub(crate) struct Plan {
    pub(crate) steps: Vec<(u64, Step)>,
    /// Side the layers are on.
    pub(crate) side: usize,
    /// No background execution on the layers' side and on the opposite side.
    pub(crate) no_execution: [bool; 2],
    /// Live orders the instrument must have on each side before the plan can start.
    pub(crate) depth_min: usize,
}

impl Plan {
    /// Draws a plan of this kind.
    pub(crate) fn draw(kind: Kind, rng: &mut Rng) -> Self {
        let steps = match kind {
            Kind::Layering => layering(rng),
            Kind::Stuffing => stuffing(rng),
            Kind::Halt => halt(rng),
            Kind::DecoyNoExecution => no_execution(rng),
            Kind::DecoyExecutionFirst => execution_first(rng),
            Kind::DecoyLingering => lingering(rng),
            Kind::DecoyHalfPulled => half_pulled(rng),
            Kind::DecoyThreePrices => three_prices(rng),
            Kind::DecoySmallSizes => small_sizes(rng),
            Kind::DecoyLayerExecuted => layer_executed(rng),
            Kind::DecoySlow => slow(rng),
            Kind::DecoyMassCancel => mass_cancel(rng),
            Kind::DecoyMarketMaker => market_maker(rng),
        };
        let free = matches!(kind, Kind::DecoyMarketMaker | Kind::Stuffing | Kind::DecoyMassCancel);
        let opposite = !free && kind != Kind::Layering;
        let side = if rng.chance(512) { BID } else { ASK };
        let depth_min = if kind == Kind::Halt { 1 } else { 4 };
        Self { steps, side, no_execution: [kind == Kind::Halt, opposite], depth_min }
    }
}

/// Steps in the making: a time that only moves forward.
struct Steps {
    at: u64,
    steps: Vec<(u64, Step)>,
}

impl Steps {
    fn new() -> Self {
        Self { at: 0, steps: Vec::new() }
    }

    fn after(&mut self, gap_ns: u64, step: Step) {
        self.at += gap_ns;
        self.steps.push((self.at, step));
    }

    /// `count` times `step`, spread over `within_ns` with uneven gaps.
    fn spread(&mut self, rng: &mut Rng, count: u32, within_ns: u64, step: Step) {
        let most = (within_ns / u64::from(count)) as u32;
        for _ in 0..count {
            let gap = rng.between(most / 8, most);
            self.after(u64::from(gap), step);
        }
    }

    /// Layers of `lots` each at `count` prices within at most `within_ns`.
    fn layers(&mut self, rng: &mut Rng, count: u32, lots: (u32, u32), within_ns: u64) {
        let most = (within_ns / u64::from(count)) as u32;
        for _ in 0..count {
            let lots = rng.between(lots.0, lots.1);
            let gap = rng.between(most / 16, most);
            self.after(u64::from(gap), Step::Layer { lots, same_price: false });
        }
    }
}

/// Sizes of real layers, in usual sizes: clear of five whatever a detector takes for usual.
const LARGE: (u32, u32) = (12, 25);

fn ms(rng: &mut Rng, low: u32, high: u32) -> u64 {
    u64::from(rng.between(low, high)) * MS + u64::from(rng.below(1_000_000))
}

fn layering(rng: &mut Rng) -> Vec<(u64, Step)> {
    let mut steps = Steps::new();
    let count = rng.between(4, 8);
    let build_ns = ms(rng, 2, 280);
    if rng.chance(512) {
        steps.after(0, Step::Bait);
    }
    steps.layers(rng, count, LARGE, build_ns);
    let execution_gap = ms(rng, 1, 120);
    steps.after(execution_gap, Step::ExecuteOpposite);
    let pull_gap = ms(rng, 0, 120);
    steps.after(pull_gap, Step::PullLayer);
    let pull_ns = ms(rng, 1, 200);
    steps.spread(rng, count - 2, pull_ns, Step::PullLayer);
    // The smallest order may stay: of six or more it is at most a sixth of the quantity.
    if count < 6 || rng.chance(512) {
        steps.after(30 * US, Step::PullAll);
    }
    steps.steps
}

fn stuffing(rng: &mut Rng) -> Vec<(u64, Step)> {
    let mut steps = Steps::new();
    let pairs = rng.between(800, 2_000);
    let gap_ns = rng.between(10, 40);
    for _ in 0..pairs {
        let level = rng.below(3);
        let gap = rng.exponential(u64::from(gap_ns) * US);
        steps.after(gap, Step::Quote { layer: rng.chance(512), level, lots: 1 });
        let life = rng.exponential(8 * US);
        steps.after(life, Step::PullNewest);
    }
    steps.steps
}

fn halt(rng: &mut Rng) -> Vec<(u64, Step)> {
    let mut steps = Steps::new();
    let pause = rng.chance(512);
    let (state, reason) = if pause { (b'P', *b"LUDP") } else { (b'H', *b"T1  ") };
    steps.after(0, Step::State { state, reason });
    if pause {
        let gap = ms(rng, 1, 5);
        steps.after(gap, Step::Collar);
    }
    let reopen = if pause { *b"LUDP" } else { *b"T3  " };
    let quiet = ms(rng, 300, 900);
    steps.after(quiet, Step::State { state: b'Q', reason: reopen });
    steps.spread(rng, 5, 500 * MS, Step::Imbalance);
    steps.after(20 * MS, Step::Cross);
    steps.after(10 * US, Step::State { state: b'T', reason: reopen });
    steps.steps
}

fn no_execution(rng: &mut Rng) -> Vec<(u64, Step)> {
    let mut steps = Steps::new();
    let count = rng.between(4, 8);
    steps.layers(rng, count, LARGE, 250 * MS);
    let rest = ms(rng, 5, 300);
    steps.after(rest, Step::PullLayer);
    steps.spread(rng, count - 2, 100 * MS, Step::PullLayer);
    steps.after(MS, Step::PullAll);
    steps.steps
}

fn execution_first(rng: &mut Rng) -> Vec<(u64, Step)> {
    let mut steps = Steps::new();
    steps.after(0, Step::ExecuteOpposite);
    let gap = ms(rng, 1, 20);
    steps.at += gap;
    let count = rng.between(4, 7);
    steps.layers(rng, count, LARGE, 200 * MS);
    steps.spread(rng, count - 1, 150 * MS, Step::PullLayer);
    steps.after(MS, Step::PullAll);
    steps.steps
}

fn lingering(rng: &mut Rng) -> Vec<(u64, Step)> {
    let mut steps = Steps::new();
    let count = rng.between(4, 7);
    steps.layers(rng, count, LARGE, 250 * MS);
    let gap = ms(rng, 1, 100);
    steps.after(gap, Step::ExecuteOpposite);
    let rest = ms(rng, 900, 2_000);
    steps.after(rest, Step::PullLayer);
    steps.spread(rng, count - 2, 50 * MS, Step::PullLayer);
    steps.after(MS, Step::PullAll);
    steps.steps
}

fn half_pulled(rng: &mut Rng) -> Vec<(u64, Step)> {
    let mut steps = Steps::new();
    let lots = rng.between(LARGE.0, LARGE.1);
    steps.layers(rng, 6, (lots, lots), 250 * MS);
    let gap = ms(rng, 1, 100);
    steps.after(gap, Step::ExecuteOpposite);
    steps.spread(rng, 3, 250 * MS, Step::PullLayer);
    for _ in 0..2 {
        let rest = ms(rng, 700, 900);
        steps.after(rest, Step::PullLayer);
    }
    steps.after(700 * MS, Step::PullAll);
    steps.steps
}

fn three_prices(rng: &mut Rng) -> Vec<(u64, Step)> {
    let mut steps = Steps::new();
    for _ in 0..3 {
        for same_price in [false, true] {
            let lots = rng.between(LARGE.0, LARGE.1);
            let gap = ms(rng, 1, 40);
            steps.after(gap, Step::Layer { lots, same_price });
        }
    }
    let gap = ms(rng, 1, 100);
    steps.after(gap, Step::ExecuteOpposite);
    steps.spread(rng, 5, 200 * MS, Step::PullLayer);
    steps.after(MS, Step::PullAll);
    steps.steps
}

fn small_sizes(rng: &mut Rng) -> Vec<(u64, Step)> {
    let mut steps = Steps::new();
    let count = rng.between(4, 8);
    steps.layers(rng, count, (2, 3), 250 * MS);
    let gap = ms(rng, 1, 100);
    steps.after(gap, Step::ExecuteOpposite);
    steps.spread(rng, count - 1, 200 * MS, Step::PullLayer);
    steps.after(MS, Step::PullAll);
    steps.steps
}

fn layer_executed(rng: &mut Rng) -> Vec<(u64, Step)> {
    let mut steps = Steps::new();
    // Four, so that the three that are left are no episode of their own.
    let count = 4;
    steps.layers(rng, count, LARGE, 200 * MS);
    let gap = ms(rng, 1, 60);
    steps.after(gap, Step::ExecuteLayer);
    let gap = ms(rng, 1, 40);
    steps.after(gap, Step::ExecuteOpposite);
    steps.spread(rng, count - 2, 200 * MS, Step::PullLayer);
    steps.after(MS, Step::PullAll);
    steps.steps
}

fn slow(rng: &mut Rng) -> Vec<(u64, Step)> {
    let mut steps = Steps::new();
    for _ in 0..5 {
        let lots = rng.between(LARGE.0, LARGE.1);
        let gap = ms(rng, 280, 330);
        steps.after(gap, Step::Layer { lots, same_price: false });
    }
    let gap = ms(rng, 1, 100);
    steps.after(gap, Step::ExecuteOpposite);
    steps.spread(rng, 4, 200 * MS, Step::PullLayer);
    steps.after(MS, Step::PullAll);
    steps.steps
}

fn mass_cancel(rng: &mut Rng) -> Vec<(u64, Step)> {
    let mut steps = Steps::new();
    steps.after(0, Step::ExecuteOpposite);
    for _ in 0..4 {
        let orders = rng.between(4, 12);
        let gap = ms(rng, 0, 3);
        steps.after(gap, Step::MassCancel { orders });
    }
    steps.steps
}

fn market_maker(rng: &mut Rng) -> Vec<(u64, Step)> {
    let mut steps = Steps::new();
    for _ in 0..rng.between(6, 14) {
        for level in 0..5 {
            for layer in [true, false] {
                let gap = rng.exponential(3 * US);
                steps.after(gap, Step::Quote { layer, level, lots: 1 + rng.below(3) });
            }
        }
        let rest = ms(rng, 5, 150);
        steps.after(rest, Step::PullAll);
        let gap = ms(rng, 0, 10);
        steps.at += gap;
    }
    steps.steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(plan: &Plan, wanted: fn(&Step) -> bool) -> Vec<u64> {
        plan.steps.iter().filter(|(_, s)| wanted(s)).map(|&(at, _)| at).collect()
    }

    #[test]
    fn layering_plans_meet_the_definition() {
        let mut rng = Rng::new(11);
        for _ in 0..2_000 {
            let plan = Plan::draw(Kind::Layering, &mut rng);
            let layers = times(&plan, |s| matches!(s, Step::Layer { .. }));
            let execution = times(&plan, |s| *s == Step::ExecuteOpposite)[0];
            let end = plan.steps.last().unwrap().0;
            assert!(layers.len() >= 4 && execution - layers[0] < 450 * MS);
            assert!(end > execution && end - execution < 450 * MS);
            assert!(plan.steps.is_sorted_by_key(|&(at, _)| at));
        }
    }

    #[test]
    fn decoys_miss_it_by_time() {
        let mut rng = Rng::new(12);
        for _ in 0..500 {
            let slow = Plan::draw(Kind::DecoySlow, &mut rng);
            let layers = times(&slow, |s| matches!(s, Step::Layer { .. }));
            assert!(layers.windows(4).all(|four| four[3] - four[0] > 800 * MS));
            let lingering = Plan::draw(Kind::DecoyLingering, &mut rng);
            let execution = times(&lingering, |s| *s == Step::ExecuteOpposite)[0];
            let pulls = times(&lingering, |s| matches!(s, Step::PullLayer | Step::PullAll));
            assert!(pulls.iter().all(|pull| pull - execution >= 900 * MS));
        }
    }
}
