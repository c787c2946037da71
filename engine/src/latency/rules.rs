//! How long rules take: one histogram per rule per shard, merged when the run ends.

use std::any::Any;

use corelane_strategies::meter::Meter;
use hdrhistogram::Histogram;

use crate::clock::Clock;

/// The longest time that is told apart: a second.
const NS_MAX: u64 = 1_000_000_000;
/// From so many rules on, their histograms have one digit and not two: 1 KiB each and not 9.
const MANY: usize = 1_000;

/// Measures rules with a clock of this machine.
pub struct RuleMeter {
    clock: Clock,
    histograms: Vec<Histogram<u32>>,
}

impl RuleMeter {
    /// A meter for so many rules; all memory is taken here.
    ///
    /// # Panics
    /// Never: the bounds of the histograms are constants that they accept.
    #[must_use]
    pub fn new(rules: usize) -> Self {
        let digits = if rules < MANY { 2 } else { 1 };
        let histogram = Histogram::new_with_bounds(1, NS_MAX, digits).expect("constant bounds");
        Self { clock: Clock::new(), histograms: vec![histogram; rules] }
    }
}

/// What the meters of all shards measured, by number of rule.
#[derive(Clone, Debug, Default)]
pub struct RuleTimes {
    histograms: Vec<Histogram<u32>>,
}

impl RuleTimes {
    /// Adds what a meter measured.
    pub fn add(&mut self, meter: Box<dyn Meter>) {
        let Ok(meter) = meter.into_any().downcast::<RuleMeter>() else { return };
        for (number, histogram) in meter.histograms.into_iter().enumerate() {
            match self.histograms.get_mut(number) {
                // Both have the same upper bound: adding cannot fail.
                Some(sum) => drop(sum.add(&histogram)),
                None => self.histograms.push(histogram),
            }
        }
    }

    /// Adds what others measured.
    pub fn add_all(&mut self, other: Self) {
        self.add(Box::new(RuleMeter { clock: Clock::new(), histograms: other.histograms }));
    }

    /// What was measured of a rule.
    #[must_use]
    pub fn of(&self, number: u16) -> Option<&Histogram<u32>> {
        self.histograms.get(usize::from(number))
    }
}

impl Meter for RuleMeter {
    #[inline]
    fn now_ns(&self) -> u64 {
        self.clock.now().0
    }

    #[inline]
    fn record(&mut self, rule: usize, ns: u64) {
        if let Some(histogram) = self.histograms.get_mut(rule) {
            histogram.saturating_record(ns.max(1));
        }
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
