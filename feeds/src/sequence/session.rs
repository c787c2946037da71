//! A session: how far it has been delivered, and what of it never was.
//!
//! Invariant: `next` never goes back. What lies below `next` was delivered, lies in a hole that was
//! given up, or lies before the beginning.

use super::place::Name;

/// Holes that are remembered: what arrives of older ones counts as a duplicate.
const HOLES_MAX: usize = 32;

/// A session, and how far it has been delivered.
#[derive(Copy, Clone, Debug)]
pub(super) struct Session {
    pub(super) name: Name,
    pub(super) generation: u32,
    pub(super) next: u64,
    /// The first message that is expected.
    begins: u64,
    /// No message has been delivered, and another line may bring some before the first seen.
    pub(super) opening: bool,
    /// The newest holes given up, (first, end), the oldest overwritten.
    holes: [(u64, u64); HOLES_MAX],
    holes_count: usize,
    /// Where the highest hole ends.
    holes_end: u64,
}

impl Session {
    /// A session whose first message is `begins`.
    pub(super) fn new(name: Name, generation: u32, begins: u64) -> Self {
        Self {
            name,
            generation,
            next: begins,
            begins,
            opening: false,
            holes: [(0, 0); HOLES_MAX],
            holes_count: 0,
            holes_end: 0,
        }
    }

    /// A session of which every message before `next` was delivered.
    pub(super) fn resumed(name: Name, generation: u32, next: u64) -> Self {
        Self { begins: 0, ..Self::new(name, generation, next) }
    }

    /// Messages before `end` have been delivered.
    #[inline]
    pub(super) fn delivered(&mut self, end: u64) {
        self.opening = false;
        self.next = self.next.max(end);
    }

    /// Gives up on what is missing before `seq`. `None` while the session opens: it begins there.
    pub(super) fn give_up(&mut self, seq: u64) -> Option<(u64, u64)> {
        let first = self.next;
        self.next = first.max(seq);
        if self.opening {
            self.opening = false;
            self.begins = self.next;
            return None;
        }
        self.holes[self.holes_count % HOLES_MAX] = (first, self.next);
        self.holes_count += 1;
        self.holes_end = self.next;
        Some((first, self.next - first))
    }

    /// How many of the messages `first` to `end`, all below `next`, were never delivered.
    #[inline]
    pub(super) fn undelivered(&self, first: u64, end: u64) -> u64 {
        if first >= self.begins.max(self.holes_end) { 0 } else { self.count(first, end) }
    }

    #[cold]
    fn count(&self, first: u64, end: u64) -> u64 {
        let within = |(from, to): &(u64, u64)| end.min(*to).saturating_sub(first.max(*from));
        let known = &self.holes[..self.holes_count.min(HOLES_MAX)];
        within(&(0, self.begins)) + known.iter().map(within).sum::<u64>()
    }
}
