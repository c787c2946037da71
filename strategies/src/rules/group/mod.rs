//! Group windows: one result per key and window of event time, when the time has passed or with
//! every row that changes it.
//!
//! ```text
//! keys (hash table)              panes, a list per key in order of time
//! [first pane | next end] ---> [start last rows | sums] --> [start last rows | sums] --> ...
//!        ^                      a window is some panes in a row: hops share them
//!        └── heap: which key has the window that ends first
//! ```
//!
//! - Tumbling, hopping and cumulating windows are aligned to the epoch (and an offset) and hold
//!   rows of `start <= t < end`. A hopping or cumulating window is put together from its panes when
//!   it closes, so a row is added once however many windows it is in.
//! - A session is a pane of its own, from its first row to its last and the gap. A row within the
//!   gap of two sessions makes them one. A row exactly the gap after the last one begins another:
//!   the session ends there, and what ends at a time ends before a row of that time.
//! - A group that never ends has one pane per key and gives results only as it changes.
//!
//! A row is late if all the windows that it would be in have closed: it changes nothing, and the
//! caller is told. Windows close in order of their end and, at one end, in the order in which their
//! keys came.
//!
//! The first and last value of a window are those of the least and greatest time; at equal times
//! those that came first and last. Everything else does not depend on the order of rows at all, but
//! for what gives way when memory runs out.
//!
//! Invariant: all memory is taken in [`Groups::new`]. When keys, panes or distinct values run out,
//! the pane that closes next gives way, without a result, and is counted.
//!
//! ```
//! use corelane_strategies::rules::group::{GroupSpec, Groups, Shape};
//! use corelane_strategies::rules::types::Value;
//! use corelane_strategies::rules::window::{Aggregate, Frame, Function, Spec};
//! let count = Aggregate { function: Function::Count, args: vec![], arg_type: None };
//! let rows = Spec {
//!     key_words: 1,
//!     frame: Frame::Unbounded,
//!     lateness: 0,
//!     args: vec![],
//!     aggregates: vec![count],
//!     keys_max: 100,
//!     rows_max: 100,
//! };
//! let shape = Shape::hop(5, 10, 0);
//! let mut groups = Groups::new(GroupSpec { shape, rows, panes_max: 1_000 }).unwrap();
//! groups.update(&[7], 12, &[]);
//! let mut out = [Value::NULL; 3];
//! assert!(!groups.close_next(14, &mut out));
//! assert!(groups.close_next(15, &mut out));
//! assert_eq!((groups.key(), out), (&[7][..], [5, 15, 1].map(Value::int)));
//! ```

mod groups;
mod heap;
mod kept;
mod keys;
mod panes;
mod saved;
mod sets;
mod shape;
#[cfg(test)]
mod tests;

pub use groups::{GroupSpec, Groups, Taken};
pub use shape::Shape;
