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

pub mod types;
