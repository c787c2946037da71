//! Simulated time: it passes when the simulator says so, or when somebody waits.
//!
//! Invariant: it never goes back, and no thread ever sleeps.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, TimeSource};

/// When simulated time begins: 2026-01-05, in nanoseconds since 1970.
const START_NS: u64 = 1_767_571_200_000_000_000;
/// What passes at least while somebody waits.
const PAUSE_NS_MIN: u64 = 20_000;

/// See the [module](self).
#[derive(Clone, Debug)]
pub(super) struct Time {
    counter: quanta::Clock,
    passed: Arc<quanta::Mock>,
}

impl Time {
    pub(super) fn new() -> Self {
        let (counter, passed) = quanta::Clock::mock();
        Self { counter, passed }
    }

    /// Nanoseconds since the start.
    pub(super) fn now(&self) -> u64 {
        self.passed.value()
    }

    pub(super) fn pass(&self, ns: u64) {
        self.passed.increment(ns);
    }

    /// A clock that shows this time.
    pub(super) fn clock(&self) -> Clock {
        Clock::of(self.counter.clone(), Arc::new(self.clone()))
    }
}

impl TimeSource for Time {
    fn real_ns(&self) -> u64 {
        START_NS + self.now()
    }

    fn pause(&self, how_long: Duration) {
        self.pass((how_long.as_nanos() as u64).max(PAUSE_NS_MIN));
    }
}
