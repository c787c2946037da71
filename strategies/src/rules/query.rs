//! A query at work: a filter, a condition over the record and its windows, and what follows.
//!
//! Invariant: it has no state of its own: windows belong to the set's [pool](super::pool).

use corelane_feeds::record::Record;
use zerocopy::IntoBytes;

use super::operator::{Context, Due, Progress};
use super::plan::QueryPlan;

/// See the [module](self).
pub(super) struct Query {
    plan: QueryPlan,
}

impl Query {
    /// A query whose programs know where the pool's results are.
    pub(super) fn new(plan: QueryPlan) -> Self {
        Self { plan }
    }

    #[inline]
    pub(super) fn on_record(&mut self, record: &Record, context: &mut Context<'_>) -> Progress {
        let row = record.as_bytes();
        let (machine, inputs) = (&mut context.shared.machine, context.inputs);
        let mut conditions = self.plan.filter.iter().chain(&self.plan.condition);
        if conditions.all(|condition| condition.holds(machine, row, inputs)) {
            context.own.fired += 1;
            let mut due = Due::to_record(&record.header);
            for output in &self.plan.outputs {
                context.emit(output, &mut due, row, inputs);
            }
        }
        Progress::Done
    }
}
