//! Quote stuffing: an instrument is flooded with orders that are cancelled at once, so that others
//! lose time over messages that never meant to trade.
//!
//! Episodes are bursts of quoting out of all proportion to an instrument's trading [Egginton, Van
//! Ness & Van Ness, "Quote Stuffing", Financial Management 45(3), 2016]; what marks them in order
//! data are orders cancelled so soon after they were sent that nobody could have acted on them
//! [Hasbrouck & Saar, "Technology and liquidity provision: the blurring of traditional
//! definitions", Journal of Financial Markets 12(2), 2009, on fleeting orders]. Their daily and
//! per-minute measures become, for a live alert, three conditions over a sliding `window` of event
//! time in one instrument:
//!
//! - at least `fleeting_min` orders lived no longer than `life_max` and were cancelled or replaced,
//! - they are at least `fleeting_share` of the orders added,
//! - executions are at most `executed_share` of them.
//!
//! One alert an episode: the next can come only after the fleeting orders of a window have fallen
//! below half of `fleeting_min`.
//!
//! Invariant: all state is per instrument, one cache line; the window moves in eighths.

use corelane_feeds::record::{Record, StreamId};
use corelane_feeds::streams::{book, sys};
use corelane_feeds::units::{Char, Nanos, Qty};
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

/// Parts of the window.
const PARTS: usize = 8;
/// Changes when the saved state does.
const STATE_VERSION: u32 = 0x5354_5502;

/// When stuffing is stuffing.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct StuffingOptions {
    /// The window; at least eight nanoseconds.
    pub window_ns: u64,
    /// An order cancelled at this age or younger is fleeting.
    pub life_max_ns: u64,
    /// Fleeting orders in a window at least.
    pub fleeting_min: u64,
    /// Their least part of the orders added, in thousandths.
    pub fleeting_share_milli: u64,
    /// Executions may be this part of them, in thousandths.
    pub executed_share_milli: u64,
}

impl Default for StuffingOptions {
    fn default() -> Self {
        Self {
            window_ns: 10_000_000,
            life_max_ns: 1_000_000,
            fleeting_min: 150,
            fleeting_share_milli: 850,
            executed_share_milli: 10,
        }
    }
}

/// The window of one instrument: counts per part, saturating.
#[derive(Copy, Clone, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Window {
    /// Start of the newest part; parts lie at multiples of their length.
    part_start: u64,
    added: [u16; PARTS],
    fleeting: [u16; PARTS],
    executed: [u16; PARTS],
    /// Which place holds the newest part.
    newest: u16,
    /// 1 while an episode that was alerted goes on.
    alerted: u16,
    _pad: u32,
}

const _: () = assert!(size_of::<Window>() == 64);

fn sum(parts: &[u16; PARTS]) -> u64 {
    parts.iter().map(|&count| u64::from(count)).sum()
}

impl Window {
    /// Moves the window so that its newest part holds `now`.
    #[inline]
    fn move_to(&mut self, now: u64, part_ns: u64, fleeting_min: u64) {
        if now.saturating_sub(self.part_start) < part_ns {
            return;
        }
        let parts = (now - self.part_start) / part_ns;
        self.part_start += parts * part_ns;
        if parts >= PARTS as u64 {
            // All of the window is past, as it mostly is: the place of the newest part has gone
            // around to where it was.
            (self.added, self.fleeting, self.executed) = ([0; PARTS], [0; PARTS], [0; PARTS]);
        } else {
            for _ in 0..parts {
                self.newest = (self.newest + 1) % PARTS as u16;
                let place = usize::from(self.newest);
                (self.added[place], self.fleeting[place], self.executed[place]) = (0, 0, 0);
            }
        }
        if self.alerted == 1 && sum(&self.fleeting) * 2 < fleeting_min {
            self.alerted = 0;
        }
    }
}

/// The detector. See the [module](self).
pub struct Stuffing {
    options: StuffingOptions,
    part_ns: u64,
    windows: PerInstrument<Window>,
    fleeting: u64,
    alerts: u64,
}

impl Stuffing {
    /// A detector that has seen nothing.
    #[must_use]
    pub fn new(options: StuffingOptions) -> Self {
        let part_ns = (options.window_ns / PARTS as u64).max(1);
        Self { options, part_ns, windows: PerInstrument::default(), fleeting: 0, alerts: 0 }
    }

    #[inline]
    fn event(&mut self, order: &book::Order, outbox: &mut Outbox) {
        let header = &order.header;
        let Some(window) = self.windows.get(header.feed, header.instrument) else { return };
        let options = &self.options;
        window.move_to(header.ts_event.0, self.part_ns, options.fleeting_min);
        let newest = usize::from(window.newest) % PARTS;
        match order.kind().0[0] {
            b'A' => window.added[newest] = window.added[newest].saturating_add(1),
            b'E' => window.executed[newest] = window.executed[newest].saturating_add(1),
            b'D' | b'U' if header.ts_event.since(order.ts_added) <= options.life_max_ns => {
                self.fleeting += 1;
                window.fleeting[newest] = window.fleeting[newest].saturating_add(1);
                if window.alerted == 1 {
                    return;
                }
                let fleeting = sum(&window.fleeting);
                if fleeting >= options.fleeting_min && is_stuffed(window, fleeting, options) {
                    window.alerted = 1;
                    self.alerts += 1;
                    let window_start =
                        window.part_start.saturating_sub(self.part_ns * (PARTS as u64 - 1));
                    outbox.act(alert(order, fleeting, window_start, options));
                }
            }
            _ => {}
        }
    }
}

fn is_stuffed(window: &Window, fleeting: u64, options: &StuffingOptions) -> bool {
    fleeting * 1_000 >= sum(&window.added) * options.fleeting_share_milli
        && sum(&window.executed) * 1_000 <= fleeting * options.executed_share_milli
}

#[cold]
fn alert(
    order: &book::Order,
    fleeting: u64,
    window_start: u64,
    options: &StuffingOptions,
) -> Alert {
    let mut alert = Alert::new(order.header.stamp(), b' ');
    alert.symbol = order.symbol;
    alert.kind = Char::new("quote_stuffing");
    alert.order_ref = order.order_ref;
    alert.price = order.price;
    alert.qty = Qty::from(order.qty);
    alert.count = fleeting;
    alert.ts_first = Nanos(window_start);
    alert.score_milli = fleeting * 1_000 / options.fleeting_min.max(1);
    alert
}

impl Strategy for Stuffing {
    fn name(&self) -> &str {
        "stuffing"
    }

    fn streams(&self) -> &[StreamId] {
        &[sys::Session::STREAM, book::Order::STREAM]
    }

    fn actions_max(&self) -> usize {
        1
    }

    #[inline]
    fn on_record(&mut self, record: &Record, outbox: &mut Outbox) {
        match record.view::<book::Order>() {
            Some(order) => self.event(order, outbox),
            None => self.windows.begin(record.header.feed),
        }
    }

    fn reserve(&mut self, feed: u8, memory: Memory) {
        self.windows.reserve(feed, memory);
    }

    fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&STATE_VERSION.to_le_bytes());
        put_words(out, [self.fleeting, self.alerts]);
        self.windows.save(out);
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut state = StateReader::new(bytes);
        if state.u32()? != STATE_VERSION {
            return Err(StateError::Version);
        }
        let [fleeting, alerts] = state.words()?;
        let windows = PerInstrument::restore(&mut state)?;
        state.finish()?;
        (self.windows, self.fleeting, self.alerts) = (windows, fleeting, alerts);
        Ok(())
    }

    fn tell(&self, _rules: &RuleSet, each: &mut dyn FnMut(Kept)) {
        self.windows.each(|feed, instrument, window| {
            let kept = Kept::new("window", self.name()).of_instrument(feed, instrument);
            let kept = kept.value("newest part", window.part_start);
            let kept = kept.value("added", sum(&window.added));
            let kept = kept.value("fleeting", sum(&window.fleeting));
            let kept = kept.value("executed", sum(&window.executed));
            each(kept.value("alerted", window.alerted == 1));
        });
    }

    fn counters(&self, report: &mut dyn FnMut(&'static str, u64)) {
        report("fleeting_orders", self.fleeting);
        report("alerts", self.alerts);
    }
}

/// How a configuration makes one.
pub const FACTORY: Factory = Factory {
    name: "stuffing",
    doc: "Alerts when an instrument is flooded with orders that are cancelled at once.",
    params: &[
        ParamDoc { name: "window", default: "\"10ms\"", doc: "The sliding window, at least 1us." },
        ParamDoc { name: "life_max", default: "\"1ms\"", doc: "Age of a fleeting order, at most." },
        ParamDoc {
            name: "fleeting_min",
            default: "150",
            doc: "Fleeting orders in a window at least, 1 to 100000.",
        },
        ParamDoc {
            name: "fleeting_share",
            default: "0.85",
            doc: "Their least part of the orders added, 0 to 1.",
        },
        ParamDoc {
            name: "executed_share",
            default: "0.01",
            doc: "Executions may be this part of them, 0 to 1.",
        },
    ],
    build,
};

fn build(params: &Params) -> Result<Box<dyn Strategy>, ParamError> {
    let usual = StuffingOptions::default();
    let window_ns = params.duration_ns("window", usual.window_ns)?;
    if window_ns < 1_000 {
        return Err(error("window", "must be at least 1us"));
    }
    let fleeting_min = params.int("fleeting_min", usual.fleeting_min)?;
    if !(1..=100_000).contains(&fleeting_min) {
        return Err(error("fleeting_min", "must be 1 to 100000"));
    }
    let share = |key: &str, default: f64| {
        let share = params.float(key, default)?;
        let fits = (0.0..=1.0).contains(&share);
        if fits { Ok((share * 1_000.0).round() as u64) } else { Err(error(key, "must be 0 to 1")) }
    };
    Ok(Box::new(Stuffing::new(StuffingOptions {
        window_ns,
        life_max_ns: params.duration_ns("life_max", usual.life_max_ns)?,
        fleeting_min,
        fleeting_share_milli: share("fleeting_share", 0.85)?,
        executed_share_milli: share("executed_share", 0.01)?,
    })))
}

#[cfg(test)]
mod tests;
