//! Axes: from values to places in a drawing, and where the ticks are.
//!
//! Invariant: an axis holds every value it was made for; what lies outside is drawn at its edge.

/// A logarithmic axis.
#[derive(Copy, Clone, Debug)]
pub(super) struct Log {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Log {
    /// An axis from `from` to `to` that holds the values, widened to numbers that begin with 1, 2
    /// or 5.
    pub(super) fn new(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, 0.0f64);
        for value in values.filter(|value| *value > 0.0 && value.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        if high == 0.0 {
            (low, high) = (1.0, 10.0);
        }
        let low =
            STEPS.iter().rev().map(|step| step * decade(low)).find(|step| *step <= low * 1.0001);
        let above =
            STEPS.iter().map(|step| step * decade(high)).find(|step| *step >= high * 0.9999);
        let high = above.unwrap_or(10.0 * decade(high));
        let low = low.unwrap_or(1.0);
        Self { low, high: if high <= low { low * 10.0 } else { high }, from, to }
    }

    /// The place of a value.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = (value.max(self.low) / self.low).ln() / (self.high / self.low).ln();
        self.from + (self.to - self.from) * share.min(1.0)
    }

    /// Values to label: those that begin with 1, 2 or 5, or only the decades if these are many.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let decades = (self.high / self.low).log10();
        let steps: &[f64] = if decades > 4.0 { &STEPS[..1] } else { &STEPS };
        let mut ticks = Vec::new();
        let mut unit = decade(self.low);
        while unit <= self.high * 1.0001 && ticks.len() < TICKS_MAX {
            ticks.extend(steps.iter().map(|step| step * unit));
            unit *= 10.0;
        }
        ticks.retain(|tick| (self.low * 0.9999..=self.high * 1.0001).contains(tick));
        ticks
    }
}

const STEPS: [f64; 3] = [1.0, 2.0, 5.0];
const TICKS_MAX: usize = 64;

/// The power of ten at or below a value.
fn decade(value: f64) -> f64 {
    10f64.powf((value * 1.0001).log10().floor())
}

/// A linear axis from 0, or from the least value if that is below.
#[derive(Copy, Clone, Debug)]
pub(super) struct Linear {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Linear {
    /// An axis from `from` to `to` that holds 0 and the values.
    pub(super) fn new(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) = values
            .filter(|value| value.is_finite())
            .fold((0.0f64, 0.0f64), |(low, high), value| (low.min(value), high.max(value)));
        Self { low, high: if high > low { high } else { low + 1.0 }, from, to }
    }

    /// The place of a value.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        self.from + (self.to - self.from) * share.clamp(0.0, 1.0)
    }

    /// About four values to label.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let rough = (self.high - self.low) / 4.0;
        let unit = decade(rough);
        let step = STEPS.iter().map(|step| step * unit).find(|step| *step >= rough);
        let step = step.unwrap_or(10.0 * unit);
        let first = (self.low / step).ceil();
        (0..TICKS_MAX)
            .map(|i| (first + i as f64) * step)
            .take_while(|tick| *tick <= self.high * 1.0001)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithmic_axes_hold_their_values() {
        let axis = Log::new([3_100.0, 47_000.0].into_iter(), 300.0, 0.0);
        assert_eq!(axis.ticks(), [2e3, 5e3, 1e4, 2e4, 5e4]);
        assert_eq!((axis.at(2e3), axis.at(5e4)), (300.0, 0.0));
        assert_eq!((axis.at(0.0), axis.at(1e9)), (300.0, 0.0));
        let wide = Log::new([1.0, 1e8].into_iter(), 0.0, 1.0);
        assert_eq!(wide.ticks().len(), 9);
        assert_eq!(Log::new(std::iter::empty(), 0.0, 1.0).ticks(), [1.0, 2.0, 5.0, 10.0]);
        let one = Log::new([1_000.0].into_iter(), 0.0, 1.0);
        assert!(one.at(1_000.0).is_finite() && one.ticks().len() > 1);
    }

    #[test]
    fn linear_axes_hold_their_values() {
        let axis = Linear::new([950.0, 400.0].into_iter(), 100.0, 0.0);
        assert_eq!(axis.ticks(), [0.0, 500.0]);
        assert_eq!((axis.at(0.0), axis.at(950.0)), (100.0, 0.0));
        assert_eq!(Linear::new(std::iter::empty(), 0.0, 1.0).at(0.5), 0.5);
    }
}
