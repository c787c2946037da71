//! Wall-clock nanoseconds from the CPU's counter, for stamps on hot threads: no syscall, 12 ns.
//!
//! The counter is tied to `CLOCK_REALTIME`, the clock that kernel receive timestamps use, by
//! [`Clock::sync`], which a thread calls when it is idle. Between two syncs the clock runs at the
//! rate last measured, corrected so that the error then found is gone by the next one.
//!
//! Where the time comes from otherwise, and how it is waited for, is behind [`TimeSource`]: a
//! simulator puts a time of its own in place, of which the counter is then a part.
//!
//! Invariant: [`Clock::now`] never goes back, but where the wall clock itself was set back by
//! more than [`STEP_NS`]; where the CPU has no trustworthy counter the monotonic clock serves.
//!
//! ```
//! let mut clock = corelane::clock::Clock::new();
//! let earlier = clock.now();
//! clock.sync_if_due();
//! assert!(clock.now() >= earlier);
//! ```

use std::fmt::Debug;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use corelane_feeds::units::Nanos;

/// An error of the clock beyond this is a wall clock that was set: followed at once, not slewed.
pub const STEP_NS: u64 = 1_000_000;
/// How far apart two syncs are when the caller offers them often enough.
pub const SYNC_INTERVAL_NS: u64 = 100_000_000;
/// The steepest slew: 1/2048, about 500 parts per million, as NTP allows.
const SLEW_SHIFT: u32 = 11;
/// Fixed-point bits of the rate.
const RATE_SHIFT: u32 = 32;
/// Readings per sync; the one least disturbed counts.
const SAMPLES: usize = 5;

/// What a clock needs besides the CPU's counter. Nothing of it is asked per record.
pub trait TimeSource: Debug + Send + Sync {
    /// The wall clock, nanoseconds since 1970.
    fn real_ns(&self) -> u64;

    /// Lets so much time pass; none at all offers the CPU to another thread.
    fn pause(&self, how_long: Duration);
}

/// The system's time.
#[derive(Copy, Clone, Debug)]
struct SystemSource;

impl TimeSource for SystemSource {
    /// `CLOCK_REALTIME` through the vDSO.
    fn real_ns(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn pause(&self, how_long: Duration) {
        if how_long.is_zero() {
            thread::yield_now();
        } else {
            thread::sleep(how_long);
        }
    }
}

/// A wall clock that one thread owns. Clone it for another.
#[derive(Clone, Debug)]
pub struct Clock {
    counter: quanta::Clock,
    /// Counter and time at the last sync: `now` counts on from here.
    base_raw: u64,
    base_ns: u64,
    /// Nanoseconds per count, times 2^32, slew included.
    rate: u64,
    /// The real time at `base_raw`; differs from `base_ns` by the error being slewed away.
    real_ns: u64,
    steps: u64,
    /// None is the system.
    source: Option<Arc<dyn TimeSource>>,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// A clock tied to the wall clock. The first one of a process takes up to 200 ms to calibrate.
    #[must_use]
    pub fn new() -> Self {
        let counter = quanta::Clock::new();
        let rate = counter.delta_as_nanos(0, 1 << RATE_SHIFT);
        Self::over(counter, rate, None)
    }

    /// A clock of another time than the system's, whose counter counts nanoseconds.
    #[must_use]
    pub(crate) fn of(counter: quanta::Clock, source: Arc<dyn TimeSource>) -> Self {
        Self::over(counter, 1 << RATE_SHIFT, Some(source))
    }

    fn over(counter: quanta::Clock, rate: u64, source: Option<Arc<dyn TimeSource>>) -> Self {
        let (raw, real_ns) = sample(&counter, source_of(&source));
        Self { counter, base_raw: raw, base_ns: real_ns, rate, real_ns, steps: 0, source }
    }

    /// Waits; no time at all offers the CPU to another thread.
    pub fn pause(&self, how_long: Duration) {
        source_of(&self.source).pause(how_long);
    }

    /// The time now.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Nanos {
        Nanos(self.at(self.counter.raw()))
    }

    /// How often the wall clock was found to have been set, by more than [`STEP_NS`].
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// [`Clock::sync`] if [`SYNC_INTERVAL_NS`] passed since the last one. For idle moments.
    #[inline]
    pub fn sync_if_due(&mut self) {
        if self.at(self.counter.raw()) - self.base_ns >= SYNC_INTERVAL_NS {
            self.sync();
        }
    }

    /// Ties the clock to the wall clock anew. Takes under a microsecond.
    pub fn sync(&mut self) {
        let (raw, real_ns) = sample(&self.counter, source_of(&self.source));
        self.sync_to(raw, real_ns);
    }

    #[inline]
    fn at(&self, raw: u64) -> u64 {
        let counts = u128::from(raw.saturating_sub(self.base_raw));
        self.base_ns + ((counts * u128::from(self.rate)) >> RATE_SHIFT) as u64
    }

    fn sync_to(&mut self, raw: u64, real_ns: u64) {
        let counts = raw.saturating_sub(self.base_raw);
        let here_ns = self.at(raw);
        let error = real_ns.abs_diff(here_ns);
        let passed = real_ns.saturating_sub(self.real_ns);
        if error > STEP_NS || counts == 0 || passed == 0 {
            self.steps += u64::from(error > STEP_NS);
            (self.base_raw, self.base_ns, self.real_ns) = (raw, real_ns, real_ns);
            return;
        }
        let measured = ((u128::from(passed) << RATE_SHIFT) / u128::from(counts)) as u64;
        // Assumes that the next interval is as long as this one; if not, the next sync mends it.
        let slew = (u128::from(error) << RATE_SHIFT) / u128::from(counts);
        let slew = u64::try_from(slew).unwrap_or(u64::MAX).min(measured >> SLEW_SHIFT);
        self.rate = if real_ns >= here_ns { measured + slew } else { measured - slew };
        (self.base_raw, self.base_ns, self.real_ns) = (raw, here_ns, real_ns);
    }
}

/// One reading of both clocks at the same moment: the tightest of a few.
fn sample(counter: &quanta::Clock, source: &dyn TimeSource) -> (u64, u64) {
    let mut best = (u64::MAX, 0, 0);
    for _ in 0..SAMPLES {
        let before = counter.raw();
        let real_ns = source.real_ns();
        let after = counter.raw();
        let width = after.saturating_sub(before);
        if width < best.0 {
            best = (width, before + width / 2, real_ns);
        }
    }
    (best.1, best.2)
}

fn source_of(source: &Option<Arc<dyn TimeSource>>) -> &dyn TimeSource {
    source.as_deref().unwrap_or(&SystemSource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_wall_clock_and_never_goes_back() {
        let mut clock = Clock::new();
        let mut last = clock.now();
        for round in 0..2_000 {
            if round % 100 == 0 {
                clock.sync();
            }
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
        let low = SystemSource.real_ns();
        let now = clock.now().0;
        let high = SystemSource.real_ns();
        // The bracket itself may be torn apart by the scheduler; the clock must lie near it.
        assert!(now + 200_000 >= low && now <= high + 200_000, "{low} {now} {high}");
    }

    /// A counter at 3 GHz beside a wall clock that runs 50 ppm fast, synced every 100 ms.
    #[test]
    fn slews_an_error_away_and_steps_over_a_set_clock() {
        let mut clock = Clock::new();
        let (raw0, ns0) = (1_000_000, 1_700_000_000_000_000_000);
        (clock.base_raw, clock.base_ns, clock.real_ns) = (raw0, ns0 + 20_000, ns0);
        clock.rate = (1 << RATE_SHIFT) / 3;
        let interval = 300_000_000;
        let mut error = u64::MAX;
        for n in 1..=20 {
            let raw = raw0 + n * interval;
            let real = ns0 + n * 100_005_000;
            let before = clock.at(raw);
            clock.sync_to(raw, real);
            assert_eq!(clock.at(raw), before, "a sync does not jump");
            error = clock.at(raw).abs_diff(real);
        }
        assert!(error < 100, "{error}");
        assert_eq!(clock.steps(), 0);
        clock.sync_to(raw0 + 21 * interval, ns0);
        assert_eq!((clock.at(raw0 + 21 * interval), clock.steps()), (ns0, 1));
    }
}
