//! A join with a table: every row of a stream meets the table's row of its key, if there is one.
//!
//! Invariant: it has no state: what it emits depends on the record and on the table.

use std::sync::Arc;

use corelane_feeds::record::{RECORD_BYTES_MAX, Record};
use zerocopy::IntoBytes;

use super::join::JoinKind;
use super::key::KeyProgram;
use super::operator::{Context, Due, Progress};
use super::plan::{Output, Program};
use super::table::{Index, Table};

/// A lookup with its programs, which see the record's bytes followed by the table's row.
#[derive(Clone, Debug)]
pub(super) struct LookupPlan {
    /// Inner, left, semi or anti.
    pub(super) kind: JoinKind,
    pub(super) table: Arc<Table>,
    pub(super) index: Arc<Index>,
    /// What of the record is looked up.
    pub(super) key: KeyProgram,
    /// The rest of ON.
    pub(super) on: Option<Program>,
    /// WHERE, with the table's row and without.
    pub(super) filters: [Option<Program>; 2],
    /// What becomes of a record with the table's row, and of one without.
    pub(super) outputs: [Vec<Output>; 2],
    /// Where the table's row begins.
    pub(super) base: usize,
}

/// See the [module](self).
pub(super) struct Lookup {
    plan: LookupPlan,
    key: Vec<u64>,
    row: Box<[u8; 2 * RECORD_BYTES_MAX]>,
}

impl Lookup {
    pub(super) fn new(plan: &LookupPlan) -> Self {
        let key = vec![0; plan.key.words()];
        Self { plan: plan.clone(), key, row: Box::new([0; 2 * RECORD_BYTES_MAX]) }
    }

    #[inline]
    pub(super) fn on_record(&mut self, record: &Record, context: &mut Context<'_>) -> Progress {
        let Self { plan, key, row } = self;
        let machine = &mut context.shared.machine;
        let left = record.as_bytes();
        let len = left.len().min(plan.base);
        row[..len].copy_from_slice(&left[..len]);
        plan.key.fill(machine, &row[..plan.base], key);
        let is_null = key.last().is_some_and(|nulls| *nulls != 0);
        let found = if is_null { None } else { plan.index.find(key) };
        let mut end = plan.base;
        if let Some(found) = found {
            let right = plan.table.row(found);
            end += right.len();
            row[plan.base..end].copy_from_slice(right);
        }
        let bytes = &row[..end];
        let met =
            found.is_some() && plan.on.as_ref().is_none_or(|on| on.holds(machine, bytes, &[]));
        let side = match (plan.kind, met) {
            (JoinKind::Anti, false) | (JoinKind::Inner | JoinKind::Left | JoinKind::Semi, true) => {
                0
            }
            (JoinKind::Left, false) => 1,
            _ => return Progress::Done,
        };
        if let Some(filter) = &plan.filters[side]
            && !filter.holds(machine, bytes, &[])
        {
            return Progress::Done;
        }
        context.own.fired += 1;
        let mut due = Due::to_record(&record.header);
        for output in &plan.outputs[side] {
            context.emit(output, &mut due, bytes, &[]);
        }
        Progress::Done
    }
}
