//! Rules against other stream processors: the same events, queries and results.
//!
//! ```text
//! events (a file) ──> one process per engine, on one CPU, warm ──> rows and their hash: equal
//!                          ^ "pass", in turns                      CPU and wall time of a pass
//! ```
//!
//! Invariant: a comparison counts only if every engine gave the same rows for the same events.

pub mod events;
#[cfg(test)]
mod oracle;
pub mod ours;
pub mod peers;
pub mod results;
