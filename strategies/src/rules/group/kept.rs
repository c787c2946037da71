//! The windows of groups, told to people: the panes that results are put together from.
//!
//! Invariant: nothing here runs while a run decides.

use super::groups::Groups;
use crate::rules::types::Value;
use crate::rules::window::evaluate::View;
use crate::rules::window::rows::NONE;

/// Takes a pane: its key, where it begins, the time of its last row, its rows, its results.
pub(in crate::rules) type EachPane<'a> = dyn FnMut(&[u64], i64, i64, u64, &[Value]) + 'a;

impl Groups {
    /// Every pane of every key, keys in the order in which they came.
    pub(in crate::rules) fn each_pane(&self, each: &mut EachPane<'_>) {
        let mut slots: Vec<(u64, u32)> =
            self.heap.entries().map(|entry| (entry.number, entry.slot)).collect();
        slots.sort_unstable();
        let args = vec![Value::NULL; self.spec.rows.args.len()];
        let mut out = vec![Value::NULL; self.spec.rows.aggregates.len()];
        for (_, slot) in slots {
            let mut pane = self.keys.first(slot);
            while pane != 0 {
                let head = self.panes.head(pane);
                let view = View {
                    plan: &self.plan,
                    state: self.panes.state(pane),
                    rows: &self.rows,
                    sketches: &self.pools.sketches,
                    count: head.rows,
                    first: NONE,
                    current: NONE,
                    args: &args,
                    found: None,
                };
                view.read(&mut out);
                each(self.keys.key(slot), head.start, head.last, head.rows, &out);
                pane = head.next;
            }
        }
    }
}
