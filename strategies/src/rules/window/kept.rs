//! The keys of windows, told to people.
//!
//! Invariant: nothing here runs while a run decides.

use super::evaluate::View;
use super::rows::NONE;
use super::windows::Windows;
use crate::rules::types::Value;

/// Takes a key: its words, the newest time of its rows, how many its frame has, its results.
pub(in crate::rules) type EachKey<'a> = dyn FnMut(&[u64], u64, u64, &[Value]) + 'a;

impl Windows {
    /// Every key, in the order of their places, with what its newest row saw.
    pub(in crate::rules) fn each_key(&self, each: &mut EachKey<'_>) {
        let mut entries = self.keys.live().to_vec();
        entries.sort_unstable();
        let mut out = vec![Value::NULL; self.spec.aggregates.len()];
        for entry in entries {
            let entry = entry as usize;
            let head = self.keys.head(entry);
            let bounded = self.plan.bounded;
            let rows = if bounded { head.frame_rows.into() } else { head.rows_seen() };
            let current = if bounded { head.last } else { NONE };
            let mut args = vec![Value::NULL; self.spec.args.len()];
            if current != NONE {
                let (words, known) = self.rows.args(current);
                for (at, (arg, word)) in args.iter_mut().zip(words).enumerate() {
                    *arg = Value { bits: *word, known: known >> at & 1 == 1 };
                }
            }
            let view = View {
                plan: &self.plan,
                state: self.keys.state(entry),
                rows: &self.rows,
                sketches: &self.pools.sketches,
                count: rows,
                first: if bounded { head.frame } else { NONE },
                current,
                args: &args,
                found: None,
            };
            view.read(&mut out);
            each(self.keys.key(entry), head.newest, rows, &out);
        }
    }
}
