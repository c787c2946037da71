//! Runs variants in turns and boils their rounds down to medians and ratios.
//!
//! Invariant: a ratio is the median of the ratios within single rounds, so what drifts from round
//! to round (clock speed, neighbours of a virtual machine) cancels out.
//!
//! ```
//! use corelane_bench::stat::{Variant, in_turns};
//! let one = Variant::new("one", || Ok(2.0));
//! let other = Variant::new("other", || Ok(3.0));
//! let rounds = in_turns(5, vec![one, other]).unwrap();
//! assert_eq!((rounds.median(1), rounds.ratio(1, 0)), (3.0, 1.5));
//! ```

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Something that is measured.
pub struct Variant<'a> {
    name: String,
    work: Box<dyn FnMut() -> anyhow::Result<f64> + 'a>,
}

impl<'a> Variant<'a> {
    /// A variant whose work returns its figure, such as nanoseconds per message.
    #[must_use]
    pub fn new(name: impl Into<String>, work: impl FnMut() -> anyhow::Result<f64> + 'a) -> Self {
        Self { name: name.into(), work: Box::new(work) }
    }
}

/// The figures of every variant in every round.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    names: Vec<String>,
    figures: Vec<Vec<f64>>,
}

/// Runs every variant once per round, one after the other.
///
/// # Errors
/// The first error of a variant.
pub fn in_turns(rounds: usize, variants: Vec<Variant<'_>>) -> anyhow::Result<Rounds> {
    in_turns_within(Duration::MAX, rounds, variants)
}

/// As [`in_turns`], but no further round begins once `budget` is spent; there is always one.
///
/// # Errors
/// The first error of a variant.
pub fn in_turns_within(
    budget: Duration,
    rounds_max: usize,
    mut variants: Vec<Variant<'_>>,
) -> anyhow::Result<Rounds> {
    let begun = Instant::now();
    let mut figures = vec![Vec::new(); variants.len()];
    for round in 0..rounds_max.max(1) {
        if round > 0 && begun.elapsed() >= budget {
            break;
        }
        for (variant, figures) in variants.iter_mut().zip(&mut figures) {
            figures.push((variant.work)()?);
        }
    }
    Ok(Rounds { names: variants.into_iter().map(|variant| variant.name).collect(), figures })
}

impl Rounds {
    /// Figures that were taken elsewhere: of every name, as many, round by round.
    #[must_use]
    pub fn new(figures: impl IntoIterator<Item = (String, Vec<f64>)>) -> Self {
        let (names, figures) = figures.into_iter().unzip();
        Self { names, figures }
    }

    /// The variants' names, in order.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The figures of a variant, round by round.
    #[must_use]
    pub fn figures(&self, variant: usize) -> &[f64] {
        &self.figures[variant]
    }

    /// The median figure of a variant.
    #[must_use]
    pub fn median(&self, variant: usize) -> f64 {
        median(self.figures[variant].clone())
    }

    /// The median over the rounds of one variant's figure over another's.
    #[must_use]
    pub fn ratio(&self, variant: usize, base: usize) -> f64 {
        let pairs = self.figures[variant].iter().zip(&self.figures[base]);
        median(pairs.map(|(figure, base)| figure / base).collect())
    }

    /// Smallest and largest of those ratios.
    #[must_use]
    pub fn ratio_range(&self, variant: usize, base: usize) -> (f64, f64) {
        let pairs = self.figures[variant].iter().zip(&self.figures[base]);
        let ratios = pairs.map(|(figure, base)| figure / base);
        ratios.fold((f64::INFINITY, 0.0), |(low, high), ratio| (low.min(ratio), high.max(ratio)))
    }
}

/// The environment variable for programs under valgrind, which has no CPU time of threads that
/// rustix could read: time is then not measured.
pub const UNTIMED: &str = "CORELANE_BENCH_UNTIMED";

/// Whether [`UNTIMED`] is set.
#[must_use]
pub fn is_untimed() -> bool {
    static IS_UNTIMED: OnceLock<bool> = OnceLock::new();
    *IS_UNTIMED.get_or_init(|| std::env::var_os(UNTIMED).is_some())
}

/// CPU time of the calling thread in nanoseconds: what other threads take away does not count.
#[must_use]
pub fn thread_cpu_ns() -> f64 {
    if is_untimed() {
        return 0.0;
    }
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// CPU time of this thread per item.
pub fn per_item(count: usize, work: impl FnOnce()) -> f64 {
    let begin = thread_cpu_ns();
    work();
    (thread_cpu_ns() - begin) / count as f64
}

/// The confidence of [`bootstrap`]'s intervals.
pub const CONFIDENCE: f64 = 0.95;
/// Resamples of the bootstrap.
const RESAMPLES: usize = 4_000;

/// Percentile bootstrap of the median of ratios of pairs: between which two values it lies with
/// [`CONFIDENCE`]. [Efron, "Bootstrap methods: another look at the jackknife", 1979] The same
/// ratios give the same interval.
///
/// ```
/// use corelane_bench::stat::bootstrap;
/// assert_eq!(bootstrap(&[1.5; 9]), (1.5, 1.5));
/// let (low, high) = bootstrap(&[1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6]);
/// assert!(low < 1.3 && high > 1.3);
/// ```
#[must_use]
pub fn bootstrap(ratios: &[f64]) -> (f64, f64) {
    if ratios.is_empty() {
        return (f64::NAN, f64::NAN);
    }
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        ratios[(random >> 11) as usize % ratios.len()]
    };
    let resample = |_| median((0..ratios.len()).map(|_| draw()).collect());
    let mut medians: Vec<f64> = (0..RESAMPLES).map(resample).collect();
    medians.sort_by(f64::total_cmp);
    let tail = (RESAMPLES as f64 * (1.0 - CONFIDENCE) / 2.0) as usize;
    (medians[tail], medians[RESAMPLES - 1 - tail])
}

/// The middle value; not a number if there is none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
