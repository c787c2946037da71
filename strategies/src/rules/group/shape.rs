//! Which windows a row is in: arithmetic on times.
//!
//! Invariant: times are at most [`Shape::time_max`], so that no window's bound overflows.

/// The longest window, gap or offset: ten years of nanoseconds, about.
pub(in crate::rules) const LENGTH_MAX: i64 = 1 << 58;
/// Times at which a group that never ends is told after its last row.
pub(in crate::rules) const SILENT_MAX: i64 = 3_600;
/// Where the window begins that never ends.
const EVER: i64 = -2 * LENGTH_MAX;
/// Windows that a row can be in.
pub(in crate::rules) const OVERLAPS_MAX: i64 = 1 << 16;

/// How time is cut into windows. Times and lengths are nanoseconds.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Shape {
    /// Windows of one size that begin every `slide`.
    Hop {
        /// From one begin to the next.
        slide: i64,
        /// From begin to end, at least `slide`.
        size: i64,
        /// What begins are multiples of `slide` from.
        offset: i64,
        /// The panes that windows are made of: the greatest common divisor of both.
        pane: i64,
    },
    /// Windows of one begin that end every `step`, until the next begin.
    Cumulate {
        /// From one end to the next.
        step: i64,
        /// From one begin to the next, a multiple of `step`.
        size: i64,
        /// What begins are multiples of `size` from.
        offset: i64,
    },
    /// Rows of which each comes less than the gap after another.
    Session {
        /// A session ends so long after its last row.
        gap: i64,
    },
    /// All rows.
    Ever,
    /// All rows, told at every `offset` and a multiple of `every`.
    Every {
        /// From one time to the next.
        every: i64,
        /// What the times are multiples of `every` from.
        offset: i64,
    },
}

const fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

const fn floor(ts: i64, unit: i64, offset: i64) -> i64 {
    (ts - offset).div_euclid(unit) * unit + offset
}

/// The first time from `end` on that is after `after`.
const fn later(end: i64, after: i64) -> i64 {
    if end > after { end } else { after + 1 }
}

const fn ceil(ts: i64, unit: i64, offset: i64) -> i64 {
    -floor(-ts, unit, -offset)
}

impl Shape {
    /// Windows of `size` that begin every `slide`.
    #[must_use]
    pub const fn hop(slide: i64, size: i64, offset: i64) -> Self {
        Self::Hop { slide, size, offset, pane: gcd(slide, size) }
    }

    /// Windows of `size`, one behind the other.
    #[must_use]
    pub const fn tumble(size: i64, offset: i64) -> Self {
        Self::hop(size, size, offset)
    }

    /// Whether it can be: lengths within their bounds, a size that is not below the slide, or a
    /// multiple of the step.
    #[must_use]
    pub fn is_valid(self) -> bool {
        let length = |length: i64| (1..=LENGTH_MAX).contains(&length);
        let near = |offset: i64| offset.abs() <= LENGTH_MAX;
        match self {
            Self::Hop { slide, size, offset, pane } => {
                length(slide)
                    && length(size)
                    && near(offset)
                    && pane == gcd(slide, size)
                    && slide <= size
                    && size / slide < OVERLAPS_MAX
            }
            Self::Cumulate { step, size, offset } => {
                length(step)
                    && length(size)
                    && near(offset)
                    && size % step == 0
                    && size / step < OVERLAPS_MAX
            }
            Self::Session { gap } => length(gap),
            Self::Every { every, offset } => length(every) && near(offset) && offset >= 0,
            Self::Ever => true,
        }
    }

    /// The greatest time of a row.
    pub(super) const fn time_max(self) -> i64 {
        match self {
            Self::Ever => i64::MAX - 1,
            _ => i64::MAX - 4 * LENGTH_MAX,
        }
    }

    /// Where the pane of a row begins; of a session that is for the row alone.
    #[inline]
    pub(super) const fn pane(self, ts: i64) -> i64 {
        match self {
            Self::Hop { pane, offset, .. } => floor(ts, pane, offset),
            Self::Cumulate { step, offset, .. } => floor(ts, step, offset),
            Self::Session { .. } => ts,
            Self::Every { every, offset } => floor(ts, every, offset),
            Self::Ever => 0,
        }
    }

    /// Where the first window begins that a pane is in and that can still be open: for cumulating
    /// windows the begin of all of them.
    pub(super) const fn base(self, pane: i64) -> i64 {
        match self {
            Self::Cumulate { size, offset, .. } => floor(pane, size, offset),
            Self::Every { .. } => EVER,
            _ => pane,
        }
    }

    /// The end of the first window, of those that end after `after`, that holds a pane with its
    /// last row at `last`.
    #[inline]
    pub(super) const fn end_after(self, pane: i64, last: i64, after: i64) -> i64 {
        match self {
            Self::Hop { slide, size, offset, pane: length } => {
                ceil(later(pane + length, after), slide, offset + size)
            }
            Self::Cumulate { step, offset, .. } => ceil(later(pane + step, after), step, offset),
            Self::Session { gap } => last + gap,
            Self::Every { .. } if after > i64::MAX - 4 * LENGTH_MAX => i64::MAX,
            Self::Every { every, offset } => ceil(later(pane + every, after), every, offset),
            Self::Ever => i64::MAX,
        }
    }

    /// The end of the last window that holds a pane with its last row at `last`.
    #[inline]
    pub(super) const fn last_end(self, pane: i64, last: i64) -> i64 {
        match self {
            Self::Hop { slide, size, offset, .. } => floor(pane, slide, offset) + size,
            Self::Cumulate { size, offset, .. } => floor(pane, size, offset) + size,
            Self::Session { gap } => last + gap,
            Self::Ever | Self::Every { .. } => i64::MAX,
        }
    }

    /// The last time at which a group is told whose last row came at `last`, if it is told at
    /// regular times: so silent a group is told no more until a row comes.
    pub(super) const fn told_until(self, last: i64) -> Option<i64> {
        match self {
            Self::Every { every, offset } => {
                Some(floor(last, every, offset).saturating_add(every.saturating_mul(SILENT_MAX)))
            }
            _ => None,
        }
    }

    /// The begin of the window that ends at `end` and whose first pane begins at `first`.
    #[inline]
    pub(super) const fn begin(self, end: i64, first: i64) -> i64 {
        match self {
            Self::Hop { size, .. } => end - size,
            Self::Cumulate { size, offset, .. } => floor(end - 1, size, offset),
            Self::Session { .. } => first,
            Self::Every { .. } => EVER,
            Self::Ever => 0,
        }
    }

    /// Whether a window that has closed leaves what is in it to those that begin with it.
    pub(super) const fn folds(self) -> bool {
        matches!(self, Self::Cumulate { .. } | Self::Every { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Begins and ends of the windows of a row, the shape's own way: from one end to the next.
    fn windows(shape: Shape, ts: i64) -> Vec<(i64, i64)> {
        let pane = shape.pane(ts);
        let last = shape.last_end(pane, ts);
        let mut found: Vec<(i64, i64)> = Vec::new();
        let mut after = i64::MIN / 2;
        loop {
            let end = shape.end_after(pane, ts, after);
            if end > last {
                return found;
            }
            found.push((shape.begin(end, pane), end));
            after = end;
            if matches!(shape, Shape::Session { .. }) {
                return found;
            }
        }
    }

    #[test]
    fn rows_are_in_the_windows_that_hold_their_time() {
        for ts in (-40..60_i64).chain([1_000_003]) {
            for (slide, size, offset) in
                [(5_i64, 5, 0), (1, 5, 0), (2, 5, 1), (6, 10, -3), (4, 6, 7)]
            {
                let begins = (ts - 30..ts + 30).filter(|s| (s - offset).rem_euclid(slide) == 0);
                let all = begins.map(|s| (s, s + size)).filter(|(s, e)| (*s..*e).contains(&ts));
                let shape = Shape::hop(slide, size, offset);
                assert_eq!(windows(shape, ts), all.collect::<Vec<_>>(), "{shape:?} {ts}");
            }
            for (step, size, offset) in [(1_i64, 4_i64, 0_i64), (3, 12, 2), (5, 5, -1)] {
                let shape = Shape::Cumulate { step, size, offset };
                let base = ts - (ts - offset).rem_euclid(size);
                let ends = (1..=size / step).map(|i| (base, base + i * step));
                let all: Vec<_> = ends.filter(|(_, end)| *end > ts).collect();
                assert_eq!(windows(shape, ts), all, "{shape:?} {ts}");
            }
            assert_eq!(windows(Shape::Session { gap: 3 }, ts), [(ts, ts + 3)]);
        }
    }

    #[test]
    fn shapes_that_cannot_be_are_refused() {
        assert!(Shape::hop(2, 5, 0).is_valid() && Shape::tumble(LENGTH_MAX, 0).is_valid());
        assert!(!Shape::hop(5, 2, 0).is_valid() && !Shape::hop(1, 1 << 20, 0).is_valid());
        assert!(!Shape::Cumulate { step: 2, size: 5, offset: 0 }.is_valid());
        assert!(!Shape::Session { gap: 0 }.is_valid());
    }
}
