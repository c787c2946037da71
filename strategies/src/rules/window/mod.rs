//! Per-record windows: aggregates over the rows of a key that a record can look back on, answered
//! with the record that asks.
//!
//! ```text
//! key table (flat, open addressing)          row chunks (whole cache lines, one list per key)
//! [newest first frame last | key | sums] --> [next prev nulls | ts args | ts args | ...] --> ...
//! ```
//!
//! One stored row serves every aggregate of a [`Spec`]. What can be retracted is retracted when a
//! row leaves the frame: counts, integer sums in 128 bits, sums of doubles and of squares in wide
//! fixed point, values counted in a table, percentile buckets. Minimum and maximum are monotone
//! queues whose links lie in the rows. So a record costs the same for a window of any length.
//!
//! What a frame holds:
//! - RANGE: rows of the key whose time lies in `[t - ns, t]` and that came so far, in order of
//!   time. A late row takes its place among the rows and sees those at or before its own time. Rows
//!   are kept for `lateness` longer than the frame needs, so what a row sees is complete if it is
//!   no more than `lateness` behind the newest of its key; further behind it sees what is still
//!   kept and is counted, and before everything that is kept it sees and leaves nothing.
//!   A late row costs the rows that are newer than it, not the window; except for minimum and
//!   maximum if the frame's extreme is newer than it: these are then looked for in its frame.
//! - ROWS and unbounded: in order of arrival, whatever the times say.
//!
//! How exact: everything but percentiles (buckets of 1/128, so 0.4% off), the approximate count of
//! distinct values in an unbounded frame (512 registers, 4.6% standard error) and the weights of
//! the moving average (1e-15). Sums of doubles do not depend on order or history: each value is
//! taken to a multiple of 2^-128, the sum rounded once. Doubles of 2^94 and more have no place
//! there: sums that hold one are NULL and counted, as are sums that the result's type cannot hold.
//!
//! Invariant: all memory is taken in [`Windows::new`]; when keys or rows run out, the least
//! recently used of a sample of keys, or the oldest row of one, gives way and is counted. The same
//! updates give the same results, and as long as nothing gives way a key's results depend on its
//! own updates and on [`Windows::expire`] alone.
//!
//! ```
//! use corelane_strategies::rules::types::{Type, Value};
//! use corelane_strategies::rules::window::{Aggregate, Frame, Function, Spec, Windows};
//! let mut windows = Windows::new(Spec {
//!     key_words: 1,
//!     frame: Frame::Range(60_000_000_000),
//!     lateness: 0,
//!     args: vec![Type::Decimal(2)],
//!     aggregates: vec![
//!         Aggregate { function: Function::Count, args: vec![], arg_type: None },
//!         Aggregate { function: Function::Sum, args: vec![0], arg_type: Some(Type::Decimal(2)) },
//!     ],
//!     keys_max: 1_000,
//!     rows_max: 10_000,
//! })
//! .unwrap();
//! let mut out = [Value::NULL; 2];
//! windows.update(&[7], 1_000_000_000, &[Value::int(1250)], &mut out);
//! windows.update(&[7], 2_000_000_000, &[Value::NULL], &mut out);
//! assert_eq!(out, [Value::int(2), Value::int(1250)]);
//! ```

pub(in crate::rules) mod accumulate;
mod distinct;
pub(in crate::rules) mod evaluate;
pub(in crate::rules) mod extremes;
pub(in crate::rules) mod fixed;
mod kept;
pub(in crate::rules) mod keys;
mod late;
pub(in crate::rules) mod lines;
pub(in crate::rules) mod plan;
pub(in crate::rules) mod registers;
pub(in crate::rules) mod rows;
mod saved;
pub(in crate::rules) mod sketch;
mod spec;
#[cfg(test)]
pub(in crate::rules) mod tests;
mod unbounded;
mod windows;

pub use spec::{Aggregate, Frame, Function, Spec, SpecError};
pub use windows::Windows;
