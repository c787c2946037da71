//! What a hot thread does when it finds nothing to do.
//!
//! Invariant: only `park` sleeps, and never longer than [`PARK_MAX`], so that a thread that is
//! told to stop looks up in time.

use std::fmt;
use std::io;
use std::time::Duration;

use super::Backend;

/// The longest sleep of a parked thread.
pub const PARK_MAX: Duration = Duration::from_millis(10);
/// Empty polls before a parking thread sleeps: a burst's next packet is usually that close.
const PARK_AFTER: u32 = 256;
/// Empty polls between two moments of leisure, about every 100 us of spinning.
const LEISURE_EVERY: u32 = 1_024;

/// How a hot thread waits.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Waiting {
    /// Spin where the box has more cores than hot threads, yield where as many, park where fewer.
    #[default]
    Auto,
    /// Poll without pause: least latency, takes its core whole.
    Spin,
    /// Poll, but let the scheduler run another thread in between.
    Yield,
    /// Sleep in the kernel until something arrives: takes no core, costs a wake-up.
    Park,
}

impl Waiting {
    /// What `Auto` comes to for `hot_threads` on `cores`; any other is itself.
    #[must_use]
    pub const fn resolve(self, cores: usize, hot_threads: usize) -> Self {
        match self {
            Self::Auto if cores > hot_threads => Self::Spin,
            Self::Auto if cores == hot_threads => Self::Yield,
            Self::Auto => Self::Park,
            other => other,
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Spin => "spin",
            Self::Yield => "yield",
            Self::Park => "park",
        })
    }
}

/// Waits between the polls of one thread.
///
/// ```
/// use corelane::reactor::{Idle, Waiting};
/// let mut idle = Idle::new(Waiting::Auto.resolve(8, 2));
/// assert_eq!(idle.waiting(), Waiting::Spin);
/// ```
#[derive(Debug)]
pub struct Idle {
    waiting: Waiting,
    empty: u32,
}

impl Idle {
    /// `Auto` unresolved yields.
    #[must_use]
    pub const fn new(waiting: Waiting) -> Self {
        Self { waiting, empty: 0 }
    }

    /// What this was made with.
    #[must_use]
    pub const fn waiting(&self) -> Waiting {
        self.waiting
    }

    /// To be called after each round with how much was done; waits if that was nothing. True now
    /// and then when idle: the moment for what is periodic and can wait (clock, stop flag).
    ///
    /// # Errors
    /// If the backend cannot wait.
    #[inline]
    pub fn after<B: Backend>(&mut self, done: usize, backend: &mut B) -> io::Result<bool> {
        if done > 0 {
            self.empty = 0;
            return Ok(false);
        }
        self.empty = self.empty.wrapping_add(1);
        match self.waiting {
            Waiting::Spin => std::hint::spin_loop(),
            Waiting::Yield | Waiting::Auto => std::thread::yield_now(),
            Waiting::Park if self.empty < PARK_AFTER => std::hint::spin_loop(),
            Waiting::Park => {
                self.empty = 0;
                backend.wait(PARK_MAX)?;
                return Ok(true);
            }
        }
        Ok(self.empty.is_multiple_of(LEISURE_EVERY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_spins_only_with_a_core_to_spare() {
        assert_eq!(Waiting::Auto.resolve(4, 3), Waiting::Spin);
        assert_eq!(Waiting::Auto.resolve(2, 2), Waiting::Yield);
        assert_eq!(Waiting::Auto.resolve(2, 3), Waiting::Park);
        assert_eq!(Waiting::Park.resolve(64, 1), Waiting::Park);
    }
}
