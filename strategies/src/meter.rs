//! How long rules take: measured with a clock that the engine brings, because nothing here reads
//! one.
//!
//! Invariant: what is measured decides nothing but the suspension of a rule that asked for it, and
//! that is a record of its own.

use std::any::Any;

/// Takes the time that rules need. One per shard.
pub trait Meter: Send {
    /// A time in nanoseconds, from any start.
    fn now_ns(&self) -> u64;

    /// The rule of a number needed so long for one record.
    fn record(&mut self, rule: usize, ns: u64);

    /// Itself, for the engine that made it.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

/// What came of one rule.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct RuleTally {
    /// Its number: what a meter knows it by.
    pub number: u16,
    /// Its name.
    pub name: &'static str,
    /// `live`, `shadow` or `challenger`.
    pub mode: &'static str,
    /// The rule that a challenger stands against.
    pub against: Option<&'static str>,
    /// How often its condition was met.
    pub fired: u64,
    /// Actions taken.
    pub taken: u64,
    /// Actions decided and not taken.
    pub shadowed: u64,
    /// The time it may need for a record, in nanoseconds.
    pub budget_ns: Option<u64>,
    /// Measured records for which it needed more.
    pub over_budget: u64,
    /// It was suspended for that.
    pub is_suspended: bool,
}
