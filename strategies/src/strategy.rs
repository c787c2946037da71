//! The one trait of everything that decides: it takes records and emits actions.
//!
//! Invariant: what a strategy does depends on the records it was given and its settings alone, and
//! state is kept per instrument (or per key), so that any number of shards decides the same.

use std::any::Any;

use corelane_feeds::record::{Record, StreamId};

use crate::kept::Kept;
use crate::memory::Memory;
use crate::meter::{Meter, RuleTally};
use crate::outbox::Outbox;
use crate::rules::RuleSet;

/// The most actions that one stage may emit for one record; a stage says how many it needs.
pub const ACTIONS_STAGE_MAX: usize = 64;
/// The most derived records that one stage may publish for one record.
pub const DERIVED_MAX: usize = 4;

/// Decides over records. A stage of a [`crate::chain::Chain`].
pub trait Strategy: Send {
    /// Its name in reports.
    fn name(&self) -> &str;

    /// The streams it wants; it is called for no other.
    fn streams(&self) -> &[StreamId];

    /// The most actions it emits for one record, at most [`ACTIONS_STAGE_MAX`].
    fn actions_max(&self) -> usize;

    /// Takes one record. Must not allocate once its state has reached its bounds.
    fn on_record(&mut self, record: &Record, outbox: &mut Outbox);

    /// Whether it stopped for want of room: [`Strategy::resume`] is then called, with room again,
    /// until it has no more, before the next record.
    fn has_more(&self) -> bool {
        false
    }

    /// Goes on where it stopped.
    fn resume(&mut self, _outbox: &mut Outbox) {}

    /// A feed is about to begin or to go on: takes the memory that its records will need, so that a
    /// hot thread need not, and keeps what is known of it. A stage without tables has nothing to
    /// do.
    fn reserve(&mut self, _feed: u8, _memory: Memory) {}

    /// Whether [`Strategy::prefetch`] does anything: worth its while only for tables that no cache
    /// holds.
    fn looks_ahead(&self) -> bool {
        false
    }

    /// A record is about to come: asks for the memory that it will touch. Called a few records
    /// ahead or never, and it must decide nothing.
    fn prefetch(&self, _record: &Record, _memory: Memory) {}

    /// Whether [`Strategy::prefetch_further`] does anything.
    fn looks_further(&self) -> bool {
        false
    }

    /// The same record once more, when what [`Strategy::prefetch`] asked for should have come: asks
    /// for the memory that this leads to. Only called if [`Strategy::looks_further`].
    fn prefetch_further(&self, _record: &Record, _memory: Memory) {}

    /// Whether it sees records that were sent to this shard for the sake of its rules alone, as
    /// `FLAG_EXCHANGED` says.
    fn takes_exchanged(&self) -> bool {
        false
    }

    /// For a stage of rules: one more than their highest number. 0 is a stage that is not measured.
    fn rules(&self) -> usize {
        0
    }

    /// Changes places with another of its kind, which goes on from its state; false if `with` is
    /// none.
    fn replace(&mut self, _with: &mut dyn Any) -> bool {
        false
    }

    /// Measures its rules from now on. `suspends` lets those that ask for it be suspended.
    fn measure(&mut self, _meter: Box<dyn Meter>, _suspends: bool) {}

    /// Hands back what it measured with, and what came of every rule.
    fn tallies(&mut self, _each: &mut dyn FnMut(RuleTally)) -> Option<Box<dyn Meter>> {
        None
    }

    /// A rule that asks to be suspended: the shard makes a record of it that all of its stages see.
    fn wants_suspended(&mut self) -> Option<u32> {
        None
    }

    /// Appends its state to `out`.
    fn save(&self, out: &mut Vec<u8>);

    /// Takes over a state that [`Strategy::save`] wrote.
    ///
    /// # Errors
    /// If the bytes are no state of this strategy; it is then as it was before.
    fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError>;

    /// Tells what it keeps, for people to look at. `rules` are those that a stage of rules was made
    /// of.
    fn tell(&self, _rules: &RuleSet, _each: &mut dyn FnMut(Kept)) {}

    /// Names and values of what it counts.
    fn counters(&self, _report: &mut dyn FnMut(&'static str, u64)) {}
}

/// Why bytes are no state.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StateError {
    /// Fewer bytes than the state needs.
    #[error("state cut short at byte {offset}")]
    Truncated {
        /// Where bytes were missing.
        offset: usize,
    },
    /// The bytes are of another version or another strategy.
    #[error("state is of another version or strategy")]
    Version,
    /// A value that no saved state has.
    #[error("state is damaged at byte {offset}")]
    Damaged {
        /// Where it was found.
        offset: usize,
    },
}
