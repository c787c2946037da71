//! Rows behind the newest of their key, in a RANGE frame.
//!
//! The row takes its place among the others. To answer it, the sums are moved back to its frame:
//! the rows after it are taken out, those of its frame that the newest no longer sees are taken in.
//! What was done is then undone, so a late row costs the rows between its frame and the newest's.
//!
//! Invariant: afterwards the sums are those of the newest row's frame again, bit by bit.

use super::accumulate::{Since, apply, average};
use super::evaluate::View;
use super::extremes::{enter, front, shift, stronger};
use super::keys::Head;
use super::rows::{NONE, Row};
use super::windows::{Incoming, Windows};
use crate::rules::types::Value;

/// Where a late row's frame differs from the newest's.
struct Frames {
    /// The late row.
    row: Row,
    /// The first row of its frame.
    first: Row,
    /// Rows of its frame.
    count: u64,
    /// First and last of the rows to take in.
    earlier: (Row, Row),
    /// First and last of the rows to take out.
    later: (Row, Row),
    /// Whether the row is in the newest's frame too.
    shared: bool,
}

impl Windows {
    pub(super) fn update_late(
        &mut self,
        row: &Incoming<'_>,
        ns: u64,
        entry: usize,
        out: &mut [Value],
    ) {
        let mut head = self.keys.head(entry);
        self.trim(entry, &mut head);
        if row.ts < self.floor(head.newest) {
            self.keys.set_head(entry, head);
            return self.too_late(out);
        }
        self.counts.late += 1;
        self.counts.too_late += u64::from(row.ts < head.newest.saturating_sub(self.spec.lateness));
        let (entry, mut head) = self.make_room(entry, head, row);
        if head.first == NONE {
            // The key's only row gave way.
            head.newest = row.ts;
            self.keys.state_mut(entry).fill(0);
            return self.arrive(entry, head, row, Since::default(), out);
        }
        let shared = row.ts >= head.newest.saturating_sub(ns);
        let Some(place) = self.place(entry, &mut head, row, shared) else {
            return self.no_room(entry, head, out);
        };
        self.keys.set_head(entry, head);
        let state = self.keys.state_mut(entry);
        if shared {
            apply::<false>(&self.plan.sums, state, &mut self.pools, row.words(), row.args.known);
            enter(&self.plan.extremes, &mut self.rows, state, place, true);
        }
        average(&self.plan.moving, state, row.values, Since::of(head.newest, row.ts));
        let frames = self.frames(&head, place, row.ts.saturating_sub(ns), shared);
        self.look_back(entry, &head, &frames, row.values, out);
    }

    /// Moves the rows after the late one and writes it where they began.
    fn place(
        &mut self,
        entry: usize,
        head: &mut Head,
        row: &Incoming<'_>,
        shared: bool,
    ) -> Option<Row> {
        let end = self.rows.push(head.last);
        if end == NONE {
            return None;
        }
        shift(&self.plan.extremes, &mut self.rows, self.keys.state_mut(entry), row.ts);
        let mut place = end;
        loop {
            let before = self.rows.prev(place);
            if self.rows.ts(before) <= row.ts {
                break;
            }
            self.rows.copy(before, place);
            place = before;
            if place == head.first {
                break;
            }
        }
        self.rows.write(place, row.ts, row.words(), row.args.known);
        self.rows_used += 1;
        head.last = end;
        if shared {
            head.frame_rows += 1;
        } else {
            // Every row of the frame is after the late one and has moved.
            head.frame = self.rows.next(head.frame);
        }
        Some(place)
    }

    fn frames(&self, head: &Head, row: Row, low: u64, shared: bool) -> Frames {
        let mut later = (NONE, NONE);
        let mut count = u64::from(head.frame_rows);
        if !shared {
            later = (head.frame, head.last);
            count = 1;
        } else if row != head.last {
            later = (self.rows.next(row), head.last);
            let mut at = later.0;
            count -= 1;
            while at != head.last {
                (at, count) = (self.rows.next(at), count - 1);
            }
        }
        let mut first = if shared { head.frame } else { row };
        let mut earlier = if shared { (NONE, NONE) } else { (row, row) };
        while first != head.first {
            let before = self.rows.prev(first);
            if self.rows.ts(before) < low {
                break;
            }
            first = before;
            earlier = (first, if earlier.1 == NONE { before } else { earlier.1 });
            count += 1;
        }
        Frames { row, first, count, earlier, later, shared }
    }

    fn look_back(
        &mut self,
        entry: usize,
        head: &Head,
        frames: &Frames,
        values: &[Value],
        out: &mut [Value],
    ) {
        self.find_extremes(entry, head, frames);
        self.apply_all::<true>(entry, frames.later);
        self.apply_all::<false>(entry, frames.earlier);
        let view = View {
            plan: &self.plan,
            state: self.keys.state(entry),
            rows: &self.rows,
            sketches: &self.pools.sketches,
            count: frames.count,
            first: frames.first,
            current: frames.row,
            args: values,
            found: Some(&self.found),
        };
        self.counts.overflows += view.read(out);
        self.apply_all::<true>(entry, frames.earlier);
        self.apply_all::<false>(entry, frames.later);
    }

    fn apply_all<const OUT: bool>(&mut self, entry: usize, (from, to): (Row, Row)) {
        let mut row = from;
        while row != NONE {
            let (args, known) = self.rows.args(row);
            let state = self.keys.state_mut(entry);
            apply::<OUT>(&self.plan.sums, state, &mut self.pools, args, known);
            row = if row == to { NONE } else { self.rows.next(row) };
        }
    }

    /// The extremes of a late row's frame. That of the newest's is it if it is no later; if not,
    /// the rows are looked through.
    fn find_extremes(&mut self, entry: usize, head: &Head, frames: &Frames) {
        let state = self.keys.state(entry);
        for (extreme, found) in self.plan.extremes.iter().zip(&mut self.found) {
            let newest = front(extreme, &self.rows, state).filter(|_| frames.shared);
            let newest = newest.filter(|&(row, _)| self.rows.ts(row) <= self.rows.ts(frames.row));
            *found = newest.map(|(_, bits)| bits);
            let end = if newest.is_some() { head.frame } else { NONE };
            let mut row = frames.first;
            while row != end {
                *found = stronger(extreme, *found, &self.rows, row);
                if row == frames.row {
                    break;
                }
                row = self.rows.next(row);
            }
        }
    }
}
