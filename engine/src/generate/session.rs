//! A whole ITCH session: the day's phases, clustered arrival times, and the order in which
//! instruments speak.
//!
//! Arrivals are a Poisson cluster process, which is what a Hawkes process is [Hawkes & Oakes, "A
//! cluster process representation of a self-exciting process", 1974]: bursts come at random, and a
//! burst is messages a microsecond or so apart, most of them in one instrument, some in those that
//! were busy just before.
//!
//! Invariants: exactly [`Config::messages`] messages in time order; the same configuration gives
//! the same bytes; memory grows with the instruments and the live orders, not with the messages.
//!
//! ```
//! use corelane::generate::session::{Config, generate};
//! let config = Config { messages: 20_000, symbols: 50, ..Config::default() };
//! let (bytes, summary) = generate(&config, Vec::new())?;
//! assert_eq!(summary.counts.messages, 20_000);
//! assert!(bytes.len() > 20_000 * 21);
//! # Ok::<(), corelane::generate::session::ConfigError>(())
//! ```

use thiserror::Error;

use super::emit::{Counts, Emitter, MessageSink};
use super::flow::{self, Weights};
use super::market::{ASK, BID, Instrument, Market};
use super::plan::{DECOYS, Kind};
use super::planter::{Planted, Planter};
use super::rng::Rng;
use super::zipf::Zipf;

/// Most instruments: stock locates are 16 bits and start at 1.
pub const SYMBOLS_MAX: u32 = 65_535;
/// Nanoseconds in a day.
pub const DAY_NS: u64 = 86_400_000_000_000;
/// Shortest day in which patterns, which take up to a second each, can be planted.
const PLANTED_DURATION_NS_MIN: u64 = 10_000_000_000;
/// Most messages in one burst.
const BURST_MAX: u64 = 200;
/// Mean gap between the messages of a burst, if the session is not denser than that anyway.
const BURST_GAP_NS: u64 = 1_500;
/// Instruments that are remembered as busy.
const BUSY: usize = 8;

/// What to generate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Messages in the session, all types together.
    pub messages: u64,
    /// Instruments, 1 to [`SYMBOLS_MAX`].
    pub symbols: u32,
    /// Same seed, same bytes.
    pub seed: u64,
    /// Layering episodes to plant.
    pub episodes: u32,
    /// Decoys to plant: patterns that each miss one condition of an episode.
    pub decoys: u32,
    /// Quote-stuffing bursts to plant.
    pub stuffing: u32,
    /// Trading halts.
    pub halts: u32,
    /// Market open, nanoseconds since midnight.
    pub open_ns: u64,
    /// From market open to market close. Pre-open and post-close take 1/25 of it each.
    pub duration_ns: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            messages: 1_000_000,
            symbols: 2_000,
            seed: 1,
            episodes: 0,
            decoys: 0,
            stuffing: 0,
            halts: 0,
            open_ns: 34_200_000_000_000,
            duration_ns: 300_000_000_000,
        }
    }
}

impl Config {
    /// Looks for contradictions that show before anything is generated.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.symbols == 0 || self.symbols > SYMBOLS_MAX {
            return Err(ConfigError::Symbols { found: self.symbols });
        }
        let margin = self.duration_ns / 25;
        let end = self.open_ns.checked_add(self.duration_ns).and_then(|x| x.checked_add(margin));
        if self.open_ns < margin || end.is_none_or(|end| end >= DAY_NS) {
            return Err(ConfigError::Day);
        }
        let patterns = [self.episodes, self.decoys, self.stuffing, self.halts];
        if patterns.iter().any(|&count| count > 0) && self.duration_ns < PLANTED_DURATION_NS_MIN {
            return Err(ConfigError::Short);
        }
        Ok(())
    }
}

/// Why a configuration cannot be generated.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// No instruments, or more than locates can name.
    #[error("{found} symbols: allowed are 1 to {SYMBOLS_MAX}")]
    Symbols {
        /// What was asked for.
        found: u32,
    },
    /// The directory and the closing messages alone are more than half of the session.
    #[error("{found} messages are too few for this many symbols and patterns: at least {least}")]
    Messages {
        /// What was asked for.
        found: u64,
        /// The least that works.
        least: u64,
    },
    /// The session does not fit into the day.
    #[error("the session does not fit between midnight and midnight: open plus duration too long")]
    Day,
    /// Patterns need time.
    #[error("planted patterns and halts need at least 10 s: ask for 0 of each, or for longer")]
    Short,
}

/// What was generated.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Counts of the messages written.
    pub counts: Counts,
    /// Everything that was planted, in the order it ended.
    pub planted: Vec<Planted>,
    /// Planned patterns for which no instrument was free in time.
    pub unplaced: u64,
    /// State of every instrument's book at the end, in the order of the locates.
    pub books: Vec<FinalBook>,
}

/// An instrument's book after the last message.
#[derive(Clone, Debug)]
pub struct FinalBook {
    /// The ticker.
    pub symbol: String,
    /// Best price at 1e-4 and the shares there, bid then ask.
    pub best: [Option<(u32, u64)>; 2],
    /// Price levels, bid then ask.
    pub levels: [usize; 2],
    /// Live orders on both sides.
    pub orders: u64,
    /// Live shares on both sides.
    pub shares: u64,
    /// Shares executed from displayed orders.
    pub executed: u64,
    /// True if any order was ever added.
    pub traded: bool,
}

/// Generates the session into `sink`.
///
/// # Errors
/// If the configuration contradicts itself. The sink keeps its own errors.
pub fn generate<S: MessageSink>(config: &Config, sink: S) -> Result<(S, Summary), ConfigError> {
    config.check()?;
    let mut session = Session::new(config, sink);
    let least = (session.planter.messages() + session.fixed_messages()) * 2;
    if config.messages < least {
        return Err(ConfigError::Messages { found: config.messages, least });
    }
    session.opening();
    for phase in session.phases() {
        session.play(&phase);
    }
    session.closing();
    session.planter.end();
    let books = session.market.instruments.iter().map(final_book).collect();
    let (sink, counts) = session.out.into_parts();
    let planter = session.planter;
    Ok((sink, Summary { counts, planted: planter.planted, unplaced: planter.unplaced, books }))
}

/// A stretch of the day with its own weights.
struct Phase {
    until_ns: u64,
    /// Messages of the flow (bursts and plans) from the start of the session to the phase's end.
    until_flow: u64,
    weights: &'static Weights,
    /// Plans may run.
    planting: bool,
    /// System event at the phase's end, and the cross that follows it.
    event: Option<(u8, u8)>,
}

struct Session<'a, S> {
    config: &'a Config,
    market: Market,
    planter: Planter,
    zipf: Zipf,
    rng: Rng,
    out: Emitter<S>,
    /// Messages written outside the flow.
    fixed: u64,
    /// Instruments of the latest bursts.
    busy: [u32; BUSY],
    /// Instruments that take part in the opening and closing crosses.
    crossing: u32,
}

impl<'a, S: MessageSink> Session<'a, S> {
    fn new(config: &'a Config, sink: S) -> Self {
        let mut rng = Rng::new(config.seed);
        let orders_live = (config.messages / 40).clamp(1_000, 400_000) as usize;
        let market = Market::new(config.symbols, orders_live, &mut rng);
        let zipf = Zipf::new(config.symbols);
        let kinds = kinds(config, &mut rng);
        let from = config.open_ns + config.duration_ns / 20;
        let until = config.open_ns + config.duration_ns / 100 * 88;
        let planter = Planter::new(&kinds, from, until, &mut rng);
        let out = Emitter::new(sink, config.open_ns - config.duration_ns / 25);
        let busy = [market.by_rank[0]; BUSY];
        let crossing = config.symbols.min((config.messages / 200) as u32);
        Self { config, market, planter, zipf, rng, out, fixed: 0, busy, crossing }
    }

    /// Messages outside the flow: `R H` of all, `Y L Q Q` of the crossing, `V K O` and six events.
    fn fixed_messages(&self) -> u64 {
        u64::from(self.config.symbols) * 2 + u64::from(self.crossing) * 4 + 3 + 6
    }

    /// Messages of the flow so far.
    #[inline]
    fn flow(&self) -> u64 {
        self.out.counts.messages - self.fixed
    }

    /// Start of messages, directory, trading states, circuit breaker levels.
    fn opening(&mut self) {
        let gap = (self.config.duration_ns / 500 / self.fixed_messages()).min(5_000);
        let mut at = self.out.now_ns();
        let (out, market) = (&mut self.out, &self.market);
        out.system_event(b'O');
        for instrument in &market.instruments {
            at += gap;
            out.set_now(at);
            out.directory(instrument);
            out.trading_action(instrument, b'T', *b"    ");
        }
        for (i, &place) in market.by_rank[..self.crossing as usize].iter().enumerate() {
            at += gap;
            out.set_now(at);
            let instrument = &market.instruments[place as usize];
            out.reg_sho(instrument);
            out.participant(instrument, i);
        }
        out.breaker_levels([418_500_000_000, 391_500_000_000, 360_000_000_000]);
        let quietest = &market.instruments[market.by_rank[market.by_rank.len() - 1] as usize];
        out.ipo_quotation(quietest, 38_700);
        out.direct_listing(quietest);
        out.system_event(b'S');
        self.fixed = self.out.counts.messages;
    }

    /// The day's phases: where each ends in 1,000ths of the duration, and its share of the flow.
    fn phases(&self) -> [Phase; 8] {
        let config = self.config;
        let flow = config.messages - self.fixed_messages();
        let mut per_mille = 0;
        let mut phase = |until: u64, share: u64, weights, event| {
            per_mille += share;
            Phase {
                until_ns: config.open_ns + config.duration_ns / 1_000 * until,
                until_flow: (u128::from(flow) * u128::from(per_mille) / 1_000) as u64,
                weights,
                planting: until > 0,
                event,
            }
        };
        [
            phase(0, 40, &flow::PRE_OPEN, Some((b'Q', b'O'))),
            phase(20, 100, &flow::OPEN, None),
            phase(100, 150, &flow::OPEN, None),
            phase(350, 230, &flow::OPEN, None),
            phase(800, 260, &flow::OPEN, None),
            phase(950, 110, &flow::OPEN, None),
            phase(1_000, 90, &flow::BEFORE_CLOSE, Some((b'M', b'C'))),
            phase(1_030, 20, &flow::AFTER_CLOSE, None),
        ]
    }

    /// Bursts until the phase has had its messages, then its event and its crosses.
    fn play(&mut self, phase: &Phase) {
        while self.flow() < phase.until_flow {
            self.burst(phase);
        }
        let last = phase.until_flow == self.config.messages - self.fixed_messages();
        while phase.planting && !last && self.planter.due_ns() <= phase.until_ns {
            self.planter.step(&mut self.market, &self.zipf, &mut self.rng, &mut self.out);
        }
        self.out.set_now(phase.until_ns);
        let Some((event, cross)) = phase.event else { return };
        let before = self.out.counts.messages;
        self.out.system_event(event);
        for &place in &self.market.by_rank[..self.crossing as usize] {
            self.market.matches += 1;
            let instrument = &self.market.instruments[place as usize];
            let qty = u64::from(instrument.lot) * u64::from(self.rng.below(3_000));
            self.out.cross(instrument, qty, instrument.middle(), self.market.matches, cross);
        }
        self.fixed += self.out.counts.messages - before;
    }

    /// One cluster of messages, and the plans' steps that fall into it.
    fn burst(&mut self, phase: &Phase) {
        let left = phase.until_flow - self.flow();
        let mean_gap = phase.until_ns.saturating_sub(self.out.now_ns()) / left;
        let mut size = 1 + self.rng.exponential(6);
        if self.rng.chance(16) {
            size += self.rng.exponential(50);
        }
        let size = size.min(BURST_MAX).min(left);
        let inner_gap = BURST_GAP_NS.min(mean_gap / 4);
        let lead = (mean_gap * size).saturating_sub(inner_gap * (size - 1));
        let mut at = self.out.now_ns() + self.rng.exponential(lead);
        let focus = self.market.by_rank[self.zipf.draw(&mut self.rng) as usize];
        self.busy[self.rng.below(BUSY as u32) as usize] = focus;
        for _ in 0..size {
            at = at.min(phase.until_ns);
            while phase.planting && self.planter.due_ns() <= at && self.may_plant(phase) {
                self.planter.step(&mut self.market, &self.zipf, &mut self.rng, &mut self.out);
            }
            if self.flow() >= phase.until_flow {
                return;
            }
            self.out.set_now(at);
            let place = match self.rng.below(16) {
                0..11 => focus,
                11..14 => *self.rng.one_of(&self.busy),
                _ => self.market.by_rank[self.zipf.draw(&mut self.rng) as usize],
            };
            let (market, rng) = (&mut self.market, &mut self.rng);
            flow::background(market, place as usize, phase.weights, rng, &mut self.out);
            at += self.rng.exponential(inner_gap);
        }
    }

    /// False near the end of the session, where a step of many messages would be too many.
    fn may_plant(&self, phase: &Phase) -> bool {
        const STEP_MESSAGES_MAX: u64 = 64;
        self.flow() + STEP_MESSAGES_MAX < phase.until_flow || phase.weights.trades()
    }

    /// End of system hours, end of messages.
    fn closing(&mut self) {
        let end = self.config.open_ns + self.config.duration_ns;
        for (event, per_mille) in [(b'E', 35), (b'C', 40)] {
            self.out.set_now(end + self.config.duration_ns / 1_000 * per_mille);
            self.out.system_event(event);
        }
    }
}

fn final_book(instrument: &Instrument) -> FinalBook {
    let mut book = FinalBook {
        symbol: instrument.ticker(),
        best: [None; 2],
        levels: [0; 2],
        orders: 0,
        shares: 0,
        executed: instrument.executed,
        traded: instrument.ever_added,
    };
    for index in [BID, ASK] {
        let side = &instrument.sides[index];
        let Some(best) = side.best_price() else { continue };
        let mut prices: Vec<u32> = side.orders().iter().map(|&order| side.price(order)).collect();
        book.orders += prices.len() as u64;
        book.shares += side.orders().iter().map(|order| u64::from(order.qty)).sum::<u64>();
        let at_best = side.orders().iter().filter(|&&order| side.price(order) == best);
        book.best[index] = Some((best, at_best.map(|order| u64::from(order.qty)).sum()));
        prices.dedup();
        book.levels[index] = prices.len();
    }
    book
}

fn kinds(config: &Config, rng: &mut Rng) -> Vec<Kind> {
    let mut kinds = vec![Kind::Layering; config.episodes as usize];
    kinds.extend(DECOYS.iter().cycle().take(config.decoys as usize));
    kinds.extend(std::iter::repeat_n(Kind::Stuffing, config.stuffing as usize));
    kinds.extend(std::iter::repeat_n(Kind::Halt, config.halts as usize));
    for last in (1..kinds.len()).rev() {
        kinds.swap(last, rng.below(last as u32 + 1) as usize);
    }
    kinds
}
