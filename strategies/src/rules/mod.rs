//! The rule language: SQL compiled to typed programs over record offsets.
//!
//! ```text
//! text ──parse──> statements ──resolve──> typed plan ──compile──> programs ──┐
//!                 (sqlparser)  (catalog of streams and actions)              ├──> actions
//!                                                     records ───────────────┘
//! ```
//!
//! Invariant: everything that depends on names and types is decided when a rule file is loaded; per
//! record nothing is parsed, boxed, allocated or looked up by name.

mod ast;
mod catalog;
mod engine;
mod expr;
mod functions;
pub mod group;
mod grouped;
mod hold;
mod index;
mod join;
mod kept;
mod key;
mod lookup;
mod matcher;
mod operator;
mod parse;
pub mod pattern;
mod plan;
mod pool;
mod program;
mod query;
mod resolve;
mod table;
mod time;
pub mod types;
pub mod window;
mod windows;

pub use catalog::{DeclaredStream, LoadTable, NULLS};
pub use engine::Rules;
pub use functions::{FUNCTIONS, FunctionDoc};
pub use plan::{CannotFollow, Evidence, Mode, Placement, RuleFacts, RuleSet, Shares};
