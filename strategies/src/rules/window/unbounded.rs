//! The unbounded frame: sums that only grow, and no rows but one for every value that some key has
//! shown for the first time, so that exact counts of distinct values can be taken back.
//!
//! Invariant: a kept row knows only the arguments whose values were new with it.

use super::accumulate::{Since, apply, apply_best, average};
use super::evaluate::View;
use super::keys::Head;
use super::plan::Kind;
use super::rows::NONE;
use super::windows::{Incoming, Windows};
use crate::rules::types::Value;

impl Windows {
    pub(super) fn update_unbounded(&mut self, row: &Incoming<'_>, out: &mut [Value]) {
        self.make_nodes();
        let found = self.keys.find(row.hash, row.key);
        let entry = found.unwrap_or_else(|| self.insert(row));
        let mut head = self.keys.head(entry);
        head.used = self.clock;
        let first = head.rows_seen() == 0;
        let since = if first { Since::default() } else { Since::of(head.newest, row.ts) };
        head.newest = row.ts.max(head.newest);
        head.see_row();
        let new = self.new_values(entry, row);
        let (entry, head) = self.keep_values(entry, head, row, new);
        let state = self.keys.state_mut(entry);
        for sum in &self.plan.sums {
            let known = match sum.kind {
                Kind::Distinct(_) => new,
                _ => row.args.known,
            };
            let sum = std::slice::from_ref(sum);
            apply::<false>(sum, state, &mut self.pools, row.words(), known);
        }
        apply_best(&self.plan.sums, state, first, row.values);
        average(&self.plan.moving, state, row.values, since);
        let view = View {
            plan: &self.plan,
            state,
            rows: &self.rows,
            sketches: &self.pools.sketches,
            count: head.rows_seen(),
            first: NONE,
            current: NONE,
            args: row.values,
            found: None,
        };
        self.counts.overflows += view.read(out);
    }

    /// Keys give way until every sketch has a node to spare.
    fn make_nodes(&mut self) {
        while self.pools.sketches.iter().any(super::sketch::Sketch::is_full)
            && !self.keys.live().is_empty()
        {
            let idlest = self.idlest();
            self.remove(idlest);
            self.counts.keys_displaced += 1;
        }
    }

    /// Which arguments, counted by distinct value, the key shows for the first time.
    fn new_values(&self, entry: usize, row: &Incoming<'_>) -> u64 {
        let mut new = 0;
        for sum in &self.plan.sums {
            let Kind::Distinct(table) = sum.kind else { continue };
            let known = row.args.known >> sum.arg & 1 != 0;
            let state = self.keys.state(entry)[sum.at];
            if known && !self.pools.tables[table].has(state, row.words()[sum.arg]) {
                new |= 1 << sum.arg;
            }
        }
        new
    }

    /// Keeps a row for new values.
    fn keep_values(
        &mut self,
        entry: usize,
        head: Head,
        row: &Incoming<'_>,
        new: u64,
    ) -> (usize, Head) {
        let (mut entry, mut head) = (entry, head);
        if new != 0 {
            (entry, head) = self.make_room(entry, head, row);
            let place = self.rows.push(head.last);
            if place != NONE {
                self.rows_used += 1;
                self.rows.write(place, row.ts, row.words(), new);
                head.last = place;
                head.first = if head.first == NONE { place } else { head.first };
            }
        }
        self.keys.set_head(entry, head);
        (entry, head)
    }

    /// Drops the oldest kept row of a key and takes back its values.
    pub(super) fn drop_value(&mut self, entry: usize, head: &mut Head) {
        let (args, new) = self.rows.args(head.first);
        let state = self.keys.state_mut(entry);
        for sum in &self.plan.sums {
            if let Kind::Distinct(table) = sum.kind
                && new >> sum.arg & 1 != 0
            {
                self.pools.tables[table].retract(&mut state[sum.at], args[sum.arg]);
            }
        }
        head.first = self.rows.pop(head.first, head.last);
        if head.first == NONE {
            head.last = NONE;
        }
        self.rows_used -= 1;
    }
}
