//! When each datagram is due, against one fixed start.
//!
//! Invariant: a due time depends on the start and on how far the capture has got, never on when the
//! datagram before was sent. What was late makes nothing after it late: drift cannot add up.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::bail;

/// Shorter waits are spun: a sleep may end this much too late.
const SPIN_NS: u64 = 150_000;
/// Longest sleep, so that a stop is seen in time.
const SLEEP_NS_MAX: u64 = 50_000_000;

/// How fast to send.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum Pace {
    /// As captured, times a factor.
    Speed(f64),
    /// This many messages per second, whatever the capture's times.
    Rate(f64),
    /// As fast as the socket takes it.
    Max,
}

impl FromStr for Pace {
    type Err = anyhow::Error;

    /// `original`, `max`, or a factor such as `10` or `0.5x`.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text {
            "original" => Ok(Pace::Speed(1.0)),
            "max" => Ok(Pace::Max),
            _ => match text.strip_suffix('x').unwrap_or(text).parse::<f64>() {
                Ok(factor) if factor > 0.0 && factor.is_finite() => Ok(Pace::Speed(factor)),
                _ => bail!("{text:?} is not a speed: original, max, or a factor such as 10x"),
            },
        }
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pace::Speed(1.0) => f.write_str("original speed"),
            Pace::Speed(factor) => write!(f, "{factor}x speed"),
            Pace::Rate(rate) => write!(f, "{rate} messages/s"),
            Pace::Max => f.write_str("maximum speed"),
        }
    }
}

/// Due times in nanoseconds since the start.
#[derive(Clone, Debug)]
pub struct Schedule {
    pace: Pace,
    /// Capture time of the first datagram.
    first_ns: Option<u64>,
    /// Messages scheduled.
    messages: u64,
    last_due_ns: u64,
    /// Due time at which the current pass over the capture began.
    pass_ns: u64,
}

impl Schedule {
    /// A schedule that starts with the first datagram it is asked about.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        Self { pace, first_ns: None, messages: 0, last_due_ns: 0, pass_ns: 0 }
    }

    /// When a datagram with this capture time and number of messages is due.
    pub fn due_ns(&mut self, captured_ns: u64, messages: u64) -> u64 {
        let due = match self.pace {
            Pace::Max => 0,
            Pace::Rate(rate) => (self.messages as f64 * 1e9 / rate) as u64,
            Pace::Speed(factor) => {
                let first = *self.first_ns.get_or_insert(captured_ns);
                let passed = captured_ns.saturating_sub(first);
                self.pass_ns + (passed as f64 / factor) as u64
            }
        };
        self.messages += messages;
        self.last_due_ns = self.last_due_ns.max(due);
        due
    }

    /// The capture begins anew: its times go on where they stood.
    pub fn rewind(&mut self) {
        self.first_ns = None;
        self.pass_ns = self.last_due_ns;
    }

    /// The latest due time given out.
    #[must_use]
    pub fn end_ns(&self) -> u64 {
        self.last_due_ns
    }
}

/// The fixed start.
#[derive(Copy, Clone, Debug)]
pub struct Anchor {
    start: Instant,
}

impl Anchor {
    /// Starts now.
    #[must_use]
    pub fn now() -> Self {
        Self { start: Instant::now() }
    }

    /// Nanoseconds since the start.
    #[inline]
    #[must_use]
    pub fn elapsed_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// Waits until `due_ns`: sleeps first, spins at the end. Returns early, and says so, if `stop`
    /// says that it is time to.
    pub fn wait(&self, due_ns: u64, stop: impl Fn() -> bool) -> bool {
        loop {
            let left = due_ns.saturating_sub(self.elapsed_ns());
            if left == 0 {
                return true;
            }
            if left > SPIN_NS {
                if stop() {
                    return false;
                }
                std::thread::sleep(Duration::from_nanos((left - SPIN_NS).min(SLEEP_NS_MAX)));
            } else {
                std::hint::spin_loop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_read() {
        assert_eq!("original".parse::<Pace>().unwrap(), Pace::Speed(1.0));
        assert_eq!("2.5x".parse::<Pace>().unwrap(), Pace::Speed(2.5));
        assert_eq!("max".parse::<Pace>().unwrap(), Pace::Max);
        for bad in ["", "x", "0", "-1", "inf", "fast"] {
            assert!(bad.parse::<Pace>().is_err(), "{bad}");
        }
    }

    #[test]
    fn due_times_come_from_the_start_alone() {
        let mut schedule = Schedule::new(Pace::Rate(1e6));
        assert_eq!(schedule.due_ns(99, 35), 0);
        assert_eq!(schedule.due_ns(99, 35), 35_000);
        // A third of a microsecond a message does not add up to an error.
        let mut schedule = Schedule::new(Pace::Rate(3e6));
        let last = (0..=3_000_000).map(|_| schedule.due_ns(0, 1)).last();
        assert_eq!(last, Some(1_000_000_000));
    }

    #[test]
    fn passes_follow_each_other() {
        let mut schedule = Schedule::new(Pace::Speed(2.0));
        assert_eq!(schedule.due_ns(1_000, 1), 0);
        assert_eq!(schedule.due_ns(3_000, 1), 1_000);
        schedule.rewind();
        assert_eq!(schedule.due_ns(1_000, 1), 1_000);
        assert_eq!(schedule.due_ns(3_000, 1), 2_000);
        assert_eq!(schedule.end_ns(), 2_000);
    }

    #[test]
    fn waits_end_on_time_or_when_told() {
        let anchor = Anchor::now();
        assert!(anchor.wait(1_000_000, || false));
        assert!(anchor.elapsed_ns() >= 1_000_000);
        assert!(!anchor.wait(u64::MAX, || true));
    }
}
