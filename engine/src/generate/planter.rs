//! Plays plans into the market: picks the instrument, emits the steps when they are due, and keeps
//! the truth of what was planted.
//!
//! Invariants: one plan at a time runs in an instrument; its orders are left alone by the
//! background until it ends; what is reported was emitted.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use serde::Serialize;

use super::emit::{Emitter, MessageSink};
use super::flow::{LARGE_GAP_NS, execute_front, imbalance};
use super::market::{BID, Guard, Instrument, Market};
use super::plan::{Kind, Plan, Step};
use super::rng::Rng;
use super::zipf::Zipf;

/// Adds that an instrument must have seen before a plan starts, so that its usual size is known.
const WARM_ADDS: u32 = 128;
/// Quiet time between two plans in one instrument.
const QUIET_NS: u64 = 2_000_000_000;
/// How long a plan that finds no instrument waits before it looks again.
const RETRY_NS: u64 = 20_000_000;
/// Instruments tried at each look.
const DRAWS_MAX: u32 = 96;
/// Most orders that are executed to reach a layered one.
const REACH_MAX: u32 = 24;

/// What was planted where.
#[derive(Clone, Debug, Serialize)]
pub struct Planted {
    /// What it is.
    pub kind: Kind,
    /// The instrument's ticker.
    pub symbol: String,
    /// The instrument's stock locate.
    pub locate: u16,
    /// Side of the layers: `B` or `S`.
    pub side: char,
    /// Time of the first message, nanoseconds since midnight.
    pub start_ns: u64,
    /// Time of the last message, nanoseconds since midnight.
    pub end_ns: u64,
    /// Orders added.
    pub orders: u32,
    /// References of the layered orders, in the order they were added.
    pub order_refs: Vec<u64>,
    /// The order that was executed on the opposite side.
    pub exec_ref: Option<u64>,
    /// When it was executed, nanoseconds since midnight.
    pub exec_ns: Option<u64>,
}

/// One of a plan's live orders.
#[derive(Copy, Clone)]
struct Own {
    reference: u64,
    side: usize,
    qty: u32,
    layer: bool,
}

/// A plan that waits for its time or runs.
struct Run {
    kind: Kind,
    plan: Plan,
    /// Place of its instrument once it runs.
    at: Option<usize>,
    started_ns: u64,
    next: usize,
    own: Vec<Own>,
    layer_price: Option<u32>,
    /// Set when a decoy missed what makes it a decoy: it then never trades on the opposite side.
    disarmed: bool,
    planted: Option<Planted>,
}

/// All plans of a session.
pub(crate) struct Planter {
    runs: Vec<Run>,
    /// When a run has something to do, earliest first.
    queue: BinaryHeap<Reverse<(u64, u32)>>,
    /// Where the patterns end if no instrument was found.
    latest_ns: u64,
    /// What was planted, in the order it ended.
    pub(crate) planted: Vec<Planted>,
    /// Plans for which no instrument was free.
    pub(crate) unplaced: u64,
}

impl Planter {
    /// Spreads `kinds` evenly, with jitter, over `from_ns..until_ns`.
    pub(crate) fn new(kinds: &[Kind], from_ns: u64, until_ns: u64, rng: &mut Rng) -> Self {
        let gap = (until_ns - from_ns) / (kinds.len() as u64 + 1);
        let mut planter = Self {
            runs: Vec::with_capacity(kinds.len()),
            queue: BinaryHeap::with_capacity(kinds.len()),
            latest_ns: until_ns,
            planted: Vec::with_capacity(kinds.len()),
            unplaced: 0,
        };
        for (i, &kind) in kinds.iter().enumerate() {
            let jitter = ((u128::from(rng.bits()) * u128::from(gap)) >> 64) as u64;
            planter.queue.push(Reverse((from_ns + gap * i as u64 + jitter, i as u32)));
            planter.runs.push(Run {
                kind,
                plan: Plan::draw(kind, rng),
                at: None,
                started_ns: 0,
                next: 0,
                own: Vec::new(),
                layer_price: None,
                disarmed: false,
                planted: None,
            });
        }
        planter
    }

    /// Messages that the plans will emit, about.
    pub(crate) fn messages(&self) -> u64 {
        self.runs.iter().map(|run| run.plan.steps.len() as u64).sum()
    }

    /// When the next step is due; the end of time if there is none.
    #[inline]
    pub(crate) fn due_ns(&self) -> u64 {
        self.queue.peek().map_or(u64::MAX, |Reverse((at, _))| *at)
    }

    /// Reports the plans that still run when the session ends.
    pub(crate) fn end(&mut self) {
        let running = self.runs.iter_mut().filter_map(|run| run.planted.take());
        self.planted.extend(running);
    }

    /// Emits the step that is due first, at its time.
    pub(crate) fn step<S: MessageSink>(
        &mut self,
        market: &mut Market,
        zipf: &Zipf,
        rng: &mut Rng,
        out: &mut Emitter<S>,
    ) {
        let Some(Reverse((now, id))) = self.queue.pop() else { return };
        let run = &mut self.runs[id as usize];
        if run.at.is_none() {
            match find_instrument(run, now, market, zipf, rng) {
                Some(at) => start(run, at, now, market),
                None if now + RETRY_NS < self.latest_ns => {
                    self.queue.push(Reverse((now + RETRY_NS, id)));
                    return;
                }
                None => {
                    self.unplaced += 1;
                    return;
                }
            }
        }
        out.set_now(now);
        while let Some(&(offset, step)) = run.plan.steps.get(run.next) {
            let due = run.started_ns + offset;
            if due > now {
                self.queue.push(Reverse((due, id)));
                return;
            }
            run.next += 1;
            run.play(step, market, rng, out);
        }
        self.planted.extend(finish(run, now, market));
    }
}

fn find_instrument(
    run: &Run,
    now: u64,
    market: &Market,
    zipf: &Zipf,
    rng: &mut Rng,
) -> Option<usize> {
    let depth_min = run.plan.depth_min;
    let fits = |i: &Instrument| {
        i.guard.is_none()
            && !i.halted
            && i.adds >= WARM_ADDS
            && now >= i.quiet_until_ns
            && i.large_ns.iter().all(|&at| now >= at + LARGE_GAP_NS)
            && i.sides.iter().all(|side| side.len() >= depth_min)
            && i.sides[BID].best_price().is_some_and(|bid| bid > 100 * i.tick)
    };
    (0..DRAWS_MAX)
        .map(|_| market.by_rank[zipf.draw(rng) as usize] as usize)
        .find(|&at| fits(&market.instruments[at]))
}

fn start(run: &mut Run, at: usize, now: u64, market: &mut Market) {
    run.at = Some(at);
    run.started_ns = now;
    let layer = run.plan.side;
    let mut no_execution = [false; 2];
    no_execution[layer] = run.plan.no_execution[0];
    no_execution[1 - layer] = run.plan.no_execution[1];
    let free = market.guards.iter().position(|guard| guard.idle);
    let place = free.unwrap_or_else(|| {
        market.guards.push(Guard::default());
        market.guards.len() - 1
    });
    market.guards[place] = Guard { no_execution, ..Guard::default() };
    let instrument = &mut market.instruments[at];
    instrument.guard = Some(place as u32);
    run.planted = Some(Planted {
        kind: run.kind,
        symbol: instrument.ticker(),
        locate: instrument.locate,
        side: if layer == BID { 'B' } else { 'S' },
        start_ns: now,
        end_ns: now,
        orders: 0,
        order_refs: Vec::new(),
        exec_ref: None,
        exec_ns: None,
    });
}

/// Gives the instrument back to the background, and the plan's memory to the system.
fn finish(run: &mut Run, now: u64, market: &mut Market) -> Option<Planted> {
    let instrument = &mut market.instruments[run.at?];
    instrument.large_ns = [now; 2];
    instrument.quiet_until_ns = now + QUIET_NS;
    instrument.adds = 0;
    if let Some(place) = instrument.guard.take() {
        market.guards[place as usize] = Guard { idle: true, ..Guard::default() };
    }
    run.plan.steps = Vec::new();
    run.own = Vec::new();
    run.planted.take()
}

impl Run {
    fn play<S: MessageSink>(
        &mut self,
        step: Step,
        market: &mut Market,
        rng: &mut Rng,
        out: &mut Emitter<S>,
    ) {
        let Some(at) = self.at else { return };
        let layer = self.plan.side;
        match step {
            Step::Layer { lots, same_price } => self.layer(at, lots, same_price, market, out),
            Step::Bait => {
                let instrument = &market.instruments[at];
                let price = instrument.improving(1 - layer);
                let qty = instrument.lot;
                self.add(at, 1 - layer, qty, price, false, market, out);
            }
            Step::Quote { layer: on_layer, level, lots } => {
                let side = if on_layer { layer } else { 1 - layer };
                let instrument = &market.instruments[at];
                let (price, qty) = (instrument.behind_touch(side, level), instrument.lot * lots);
                self.add(at, side, qty, price, false, market, out);
            }
            Step::ExecuteOpposite => self.execute_opposite(at, market, rng, out),
            Step::ExecuteLayer => self.execute_layer(at, market, rng, out),
            Step::PullLayer => {
                let smallest =
                    self.own.iter().filter(|o| o.layer).min_by_key(|o| o.qty).map(|o| o.reference);
                let oldest = self.own.iter().find(|o| o.layer && Some(o.reference) != smallest);
                if let Some(order) = oldest.copied() {
                    self.pull(at, order, market, out);
                }
            }
            Step::PullNewest => {
                if let Some(order) = self.own.last().copied() {
                    self.pull(at, order, market, out);
                }
            }
            Step::PullAll => {
                while let Some(order) = self.own.last().copied() {
                    self.pull(at, order, market, out);
                }
            }
            Step::MassCancel { orders } => mass_cancel(at, layer, orders, market, out),
            Step::State { state, reason } => {
                let instrument = &mut market.instruments[at];
                instrument.halted = state != b'T';
                out.trading_action(instrument, state, reason);
            }
            Step::Collar => out.auction_collar(&market.instruments[at]),
            Step::Imbalance => imbalance(market, at, b'H', rng, out),
            Step::Cross => {
                let number = market.match_number();
                let instrument = &market.instruments[at];
                let qty = u64::from(instrument.lot) * u64::from(rng.below(200));
                out.cross(instrument, qty, instrument.middle(), number, b'H');
            }
        }
        if let Some(planted) = &mut self.planted {
            planted.end_ns = out.now_ns();
        }
    }

    fn layer<S: MessageSink>(
        &mut self,
        at: usize,
        lots: u32,
        same_price: bool,
        market: &mut Market,
        out: &mut Emitter<S>,
    ) {
        let side = self.plan.side;
        let instrument = &market.instruments[at];
        let touch = instrument.behind_touch(side, 0);
        let price = match self.layer_price {
            Some(last) if same_price => last,
            Some(last) => {
                let next = instrument.worse(side, last, 1);
                if side == BID { next.min(touch) } else { next.max(touch) }
            }
            None => touch,
        };
        self.layer_price = Some(price);
        let qty = lots * instrument.lot;
        self.add(at, side, qty, price, true, market, out);
    }

    #[expect(clippy::too_many_arguments, reason = "an order is this many things")]
    fn add<S: MessageSink>(
        &mut self,
        at: usize,
        side: usize,
        qty: u32,
        price: u32,
        layer: bool,
        market: &mut Market,
        out: &mut Emitter<S>,
    ) {
        let reference = market.reference();
        let instrument = &mut market.instruments[at];
        instrument.sides[side].add(reference, price, qty);
        out.add(instrument, reference, side, qty, price, false);
        if let Some(guard) = instrument.guard {
            market.guards[guard as usize].live.push(reference);
        }
        self.own.push(Own { reference, side, qty, layer });
        let Some(planted) = &mut self.planted else { return };
        if layer && planted.order_refs.is_empty() {
            planted.start_ns = out.now_ns();
        }
        if layer {
            planted.order_refs.push(reference);
        }
        planted.orders += 1;
    }

    fn forget(&mut self, at: usize, reference: u64, market: &mut Market) {
        self.own.retain(|order| order.reference != reference);
        if let Some(guard) = market.instruments[at].guard {
            market.guards[guard as usize].live.retain(|&live| live != reference);
        }
    }

    fn pull<S: MessageSink>(
        &mut self,
        at: usize,
        order: Own,
        market: &mut Market,
        out: &mut Emitter<S>,
    ) {
        let instrument = &mut market.instruments[at];
        if let Some(depth) = instrument.sides[order.side].find(order.reference) {
            instrument.sides[order.side].remove(depth);
            out.delete(instrument, order.reference);
        }
        self.forget(at, order.reference, market);
    }

    fn execute_opposite<S: MessageSink>(
        &mut self,
        at: usize,
        market: &mut Market,
        rng: &mut Rng,
        out: &mut Emitter<S>,
    ) {
        let side = 1 - self.plan.side;
        if self.disarmed {
            return;
        }
        if market.instruments[at].sides[side].len() == 0 {
            let instrument = &market.instruments[at];
            let (price, qty) = (instrument.quote(side, 0), instrument.lot);
            self.add(at, side, qty, price, false, market, out);
        }
        let whole = rng.chance(700);
        let hit = execute_front(market, at, side, whole, false, rng, out);
        if whole && let Some(reference) = hit {
            self.forget(at, reference, market);
        }
        if let Some(planted) = &mut self.planted {
            planted.exec_ref = hit;
            planted.exec_ns = Some(out.now_ns());
        }
    }

    fn execute_layer<S: MessageSink>(
        &mut self,
        at: usize,
        market: &mut Market,
        rng: &mut Rng,
        out: &mut Emitter<S>,
    ) {
        for _ in 0..REACH_MAX {
            let hit = execute_front(market, at, self.plan.side, true, false, rng, out);
            let Some(reference) = hit else { break };
            if self.own.iter().any(|order| order.reference == reference) {
                self.forget(at, reference, market);
                return;
            }
        }
        self.disarmed = true;
    }
}

fn mass_cancel<S: MessageSink>(
    at: usize,
    side: usize,
    orders: u32,
    market: &mut Market,
    out: &mut Emitter<S>,
) {
    let instrument = &mut market.instruments[at];
    for _ in 0..orders {
        if instrument.sides[side].len() < 3 {
            return;
        }
        let order = instrument.sides[side].remove(0);
        out.delete(instrument, order.reference);
    }
}
