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
pub fn in_turns(rounds: usize, mut variants: Vec<Variant<'_>>) -> anyhow::Result<Rounds> {
    let mut figures = vec![Vec::with_capacity(rounds); variants.len()];
    for _ in 0..rounds {
        for (variant, figures) in variants.iter_mut().zip(&mut figures) {
            figures.push((variant.work)()?);
        }
    }
    Ok(Rounds { names: variants.into_iter().map(|variant| variant.name).collect(), figures })
}

impl Rounds {
    /// The variants' names, in order.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
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

/// The middle value; not a number if there is none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
