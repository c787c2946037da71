//! Row patterns: finds what MATCH_RECOGNIZE (SQL:2016 R010) and the shorthand's MATCH describe in
//! the rows of every key, one row at a time.
//!
//! ```text
//! Node ──Program::new──> positions and prioritised edges (no epsilon is left at run time)
//!
//! row ──> key ──> attempts, oldest first ──> threads, most preferred first ──> matches
//!                  one per start row          one per way that is still open
//! ```
//!
//! An attempt is everything that begins at one row; its threads are the ways in which the pattern
//! may still match from there, kept in SQL's order of preferment, as a Pike machine does. So a row
//! is looked at once and greedy quantifiers give back without any backtracking: the lesser way was
//! always carried along. A thread's rows are a chain of links that shares its tail with the chains
//! of others. Where the conditions of what lies ahead look at no bound row, two threads at the same
//! position are one, and what a row costs is bounded by the pattern; elsewhere `runs_max` bounds
//! it.
//!
//! Invariant: all memory is taken at creation. What has no room is dropped, the oldest attempt
//! first, and counted. The same calls give the same matches.
//!
//! ```
//! use corelane_strategies::rules::pattern::*;
//! struct Rise(Vec<usize>);
//! impl Host for Rise {
//!     fn matches(&mut self, var: u8, rows: &Rows<'_>) -> bool {
//!         let now = rows.current();
//!         let before = rows.prev(now, 1);
//!         var == 0 || before.is_some_and(|before| now.words[0] > before.words[0])
//!     }
//!     fn emit(&mut self, found: &Match<'_>) {
//!         self.0.push(found.len());
//!     }
//! }
//! let up = Node::Var(1).repeat(1, None);
//! let mut patterns = Patterns::new(Spec::new(Node::Concat(vec![Node::Var(0), up]), 2)).unwrap();
//! let mut host = Rise(Vec::new());
//! for (ts, price) in [10, 11, 12, 5, 6].into_iter().enumerate() {
//!     patterns.push(&[], ts as u64, &[price], &mut host);
//! }
//! assert_eq!(host.0, [3], "5 ended the first rise; the second may still go on");
//! patterns.finish(&mut host);
//! assert_eq!(host.0, [3, 2]);
//! ```

mod arena;
mod kept;
mod keys;
mod listing;
mod program;
mod rows;
mod runs;
mod scopes;
mod spec;
mod timers;

mod engine;
mod settle;
mod state;
mod step;
#[cfg(test)]
mod tests;

pub use engine::{Counters, Patterns};
pub use program::{EDGES_MAX, POSITIONS_MAX};
pub use rows::{Kind, Match, RowRef, Rows};
pub use spec::{Gap, GapMode, Host, Mode, Node, Skip, Spec, SpecError, Start, VARS_MAX, VarSet};
