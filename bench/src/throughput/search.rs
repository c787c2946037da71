//! The highest rate that holds, by doubling and then halving the distance.
//!
//! Invariant: the rate found held, and one at most `step` times as high did not (or was never
//! reached). A rate counts as too high only if it failed as often as it may be tried.

/// How to look.
#[derive(Copy, Clone, Debug)]
pub struct Search {
    /// Where to begin.
    pub first: f64,
    /// Never beyond.
    pub max: f64,
    /// The distance, as a factor, at which it ends.
    pub step: f64,
    /// How often a rate is tried before it counts as too high.
    pub tries: usize,
}

/// The highest rate for which `holds` says so; `None` if none does down to a thousandth of the
/// first.
///
/// ```
/// use corelane_bench::throughput::{Search, highest};
/// let search = Search { first: 1.0, max: 1e3, step: 1.05, tries: 1 };
/// let found = highest(&search, |rate| Ok(rate <= 27.0)).unwrap().unwrap();
/// assert!(found <= 27.0 && found * 1.05 >= 27.0);
/// ```
///
/// # Errors
/// The first error of `holds`.
pub fn highest(
    search: &Search,
    mut holds: impl FnMut(f64) -> anyhow::Result<bool>,
) -> anyhow::Result<Option<f64>> {
    let mut try_rate = |rate: f64| -> anyhow::Result<bool> {
        for _ in 0..search.tries.max(1) {
            if holds(rate)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let least = search.first / 1_000.0;
    let (mut low, mut high) = (None, None);
    let mut rate = search.first;
    // Up, or down, by doubling until the highest lies between two rates.
    while low.is_none() || high.is_none() {
        if try_rate(rate)? {
            low = Some(rate);
            if rate >= search.max {
                return Ok(low);
            }
            rate = (rate * 2.0).min(search.max);
        } else {
            high = Some(rate);
            rate /= 2.0;
            if rate < least {
                return Ok(None);
            }
        }
    }
    let (Some(mut low), Some(mut high)) = (low, high) else { return Ok(None) };
    while high / low > search.step {
        // The geometric middle: rates are told apart by factors.
        let middle = (low * high).sqrt();
        if try_rate(middle)? { low = middle } else { high = middle }
    }
    Ok(Some(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEARCH: Search = Search { first: 1e6, max: 64e6, step: 1.1, tries: 2 };

    #[test]
    fn it_finds_the_edge_from_both_sides() {
        for edge in [2e3, 0.3e6, 1e6, 3.3e6, 63e6] {
            let mut calls = 0;
            let found = highest(&SEARCH, |rate| {
                calls += 1;
                Ok(rate <= edge)
            });
            let found = found.unwrap().unwrap();
            assert!(found <= edge && found * SEARCH.step >= edge, "{found} for {edge}");
            assert!(calls < 60, "{calls} for {edge}");
        }
        assert_eq!(highest(&SEARCH, |_| Ok(true)).unwrap(), Some(64e6));
        assert_eq!(highest(&SEARCH, |_| Ok(false)).unwrap(), None);
        assert!(highest(&SEARCH, |_| anyhow::bail!("no")).is_err());
    }

    #[test]
    fn one_bad_try_does_not_count() {
        let mut calls = 0;
        let found = highest(&SEARCH, |rate| {
            calls += 1;
            Ok(rate <= 5e6 && calls % 2 == 0)
        });
        let found = found.unwrap().unwrap();
        assert!(found <= 5e6 && found * SEARCH.step >= 5e6, "{found}");
    }
}
