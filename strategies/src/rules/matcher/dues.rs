//! How far results are counted that are due to the same: it makes the ids of their actions.
//!
//! Results of one time may be due to several things in turn, such as the beginnings of partial
//! matches that one deadline completes.
//!
//! Invariant: no two results of a time that are due to the same have the same count.

use std::collections::HashMap;

use corelane_feeds::units::Nanos;

use crate::rules::operator::Due;

/// Dues of one time that need no more memory than is taken at creation.
const DUES: usize = 1_024;

/// See the [module](self).
pub(super) struct Dues {
    time: Nanos,
    /// As they have come to be, by what they stand for.
    counted: HashMap<(u64, u32), Due>,
}

impl Dues {
    pub(super) fn new() -> Self {
        Self { time: Nanos(0), counted: HashMap::with_capacity(DUES) }
    }

    /// A due as it has come to be. What is due to a record is counted with the record.
    #[inline]
    pub(super) fn of(&mut self, begun: Due) -> Due {
        let Some((time, id)) = begun.of_time() else { return begun };
        if time != self.time {
            self.time = time;
            self.counted.clear();
        }
        self.counted.get(&id).copied().unwrap_or(begun)
    }

    /// It has come to be so.
    #[inline]
    pub(super) fn set(&mut self, due: Due) {
        if let Some((_, id)) = due.of_time() {
            self.counted.insert(id, due);
        }
    }
}
