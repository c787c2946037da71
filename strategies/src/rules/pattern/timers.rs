//! Which attempt's deadline is next.
//!
//! ```text
//! set in their order, as those of WITHIN are:   queue  | gone | 7.0 | 7.2 | gone | 9.1 |
//! set before one that is later:                 heap   | 7.1 | 8.0 | ...
//! ```
//!
//! What is set in order goes to a queue, and what is moved or removed there is passed over when its
//! turn comes; the rest goes to a binary heap that knows where each attempt lies in it.
//!
//! Invariant: deadlines are taken in order; equal ones in the order in which attempts began.

use super::arena::NONE;

/// Marks a place in the queue; the rest of it is the entry's number.
const QUEUED: u32 = 1 << 31;

#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Timer {
    deadline: u64,
    number: u64,
    attempt: u32,
}

const NO_TIMER: Timer = Timer { deadline: 0, number: 0, attempt: 0 };

#[derive(Debug)]
pub(super) struct Timers {
    /// A power of two of places.
    queue: Box<[Timer]>,
    /// Numbers of the queue's first entry and of the one after its last.
    head: u32,
    tail: u32,
    heap: Vec<Timer>,
    /// Of each attempt: in the heap, or [`QUEUED`] with the entry's number.
    places: Vec<u32>,
}

impl Timers {
    pub(super) fn new(attempts_max: usize) -> Self {
        Self {
            queue: vec![NO_TIMER; attempts_max.next_power_of_two()].into(),
            head: 0,
            tail: 0,
            heap: Vec::with_capacity(attempts_max),
            places: vec![NONE; attempts_max],
        }
    }

    pub(super) fn bytes_max(attempts_max: usize) -> usize {
        (attempts_max.next_power_of_two() + attempts_max) * size_of::<Timer>()
            + attempts_max * size_of::<u32>()
    }

    /// The attempt with the next deadline, if that has come.
    #[inline]
    pub(super) fn due(&mut self, now: u64) -> Option<u32> {
        let heap = self.heap.first().filter(|timer| timer.deadline <= now).copied();
        while self.head != self.tail {
            let first = self.queued(self.head);
            if first.deadline > now {
                break;
            }
            if self.places[first.attempt as usize] == place_of(self.head) {
                return Some(heap.map_or(first, |other| other.min(first)).attempt);
            }
            self.head = self.head.wrapping_add(1);
        }
        heap.map(|timer| timer.attempt)
    }

    /// Sets, moves or, with `u64::MAX`, removes a deadline.
    pub(super) fn set(&mut self, attempt: u32, number: u64, deadline: u64) {
        let place = self.places[attempt as usize];
        if place != NONE {
            let known = match place & QUEUED {
                0 => self.heap[place as usize],
                _ => self.queued(place),
            };
            if known.deadline == deadline {
                return;
            }
            self.remove(attempt);
        }
        if deadline == u64::MAX {
            return;
        }
        let timer = Timer { deadline, number, attempt };
        let is_last = self.head == self.tail || self.queued(self.tail.wrapping_sub(1)) <= timer;
        if is_last && self.has_room() {
            self.places[attempt as usize] = place_of(self.tail);
            let at = self.index(self.tail);
            self.queue[at] = timer;
            self.tail = self.tail.wrapping_add(1);
        } else {
            self.heap.push(timer);
            self.up(self.heap.len() - 1);
        }
    }

    pub(super) fn remove(&mut self, attempt: u32) {
        let place = std::mem::replace(&mut self.places[attempt as usize], NONE);
        if place == NONE || place & QUEUED != 0 {
            return;
        }
        self.heap.swap_remove(place as usize);
        if (place as usize) < self.heap.len() {
            self.sift(place as usize);
        }
    }

    fn index(&self, number: u32) -> usize {
        number as usize & (self.queue.len() - 1)
    }

    #[inline]
    fn queued(&self, number: u32) -> Timer {
        self.queue[self.index(number)]
    }

    /// Whether there is room in the queue, if need be once what is gone has left it.
    fn has_room(&mut self) -> bool {
        let is_full =
            |timers: &Self| timers.tail.wrapping_sub(timers.head) as usize == timers.queue.len();
        if is_full(self) {
            let (head, tail) = (self.head, self.tail);
            self.tail = head;
            for number in (0..tail.wrapping_sub(head)).map(|at| head.wrapping_add(at)) {
                let timer = self.queued(number);
                let place = &mut self.places[timer.attempt as usize];
                if *place == place_of(number) {
                    *place = place_of(self.tail);
                    let at = self.index(self.tail);
                    self.queue[at] = timer;
                    self.tail = self.tail.wrapping_add(1);
                }
            }
        }
        !is_full(self)
    }

    fn sift(&mut self, at: usize) {
        if at > 0 && self.heap[at] < self.heap[(at - 1) / 2] {
            self.up(at);
        } else {
            self.down(at);
        }
    }

    fn up(&mut self, mut at: usize) {
        let timer = self.heap[at];
        while at > 0 && timer < self.heap[(at - 1) / 2] {
            self.put(at, self.heap[(at - 1) / 2]);
            at = (at - 1) / 2;
        }
        self.put(at, timer);
    }

    fn down(&mut self, mut at: usize) {
        let timer = self.heap[at];
        loop {
            let mut child = 2 * at + 1;
            if child + 1 < self.heap.len() && self.heap[child + 1] < self.heap[child] {
                child += 1;
            }
            if child >= self.heap.len() || timer <= self.heap[child] {
                break;
            }
            self.put(at, self.heap[child]);
            at = child;
        }
        self.put(at, timer);
    }

    fn put(&mut self, at: usize, timer: Timer) {
        self.heap[at] = timer;
        self.places[timer.attempt as usize] = at as u32;
    }
}

/// The place of a queue's entry: no [`NONE`], and of no other entry in the queue, which is shorter
/// than there are numbers.
const fn place_of(number: u32) -> u32 {
    QUEUED | (number & ((QUEUED >> 1) - 1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn deadlines_come_as_from_a_sorted_map(
            steps in prop::collection::vec((0..8_u32, 0..40_u64, 0..4_u8), 0..200),
        ) {
            let mut timers = Timers::new(8);
            let mut naive: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
            let mut now = 0;
            for (number, (attempt, ahead, what)) in (1..).zip(steps) {
                if what < 3 {
                    let deadline = if what == 2 && ahead > 30 { u64::MAX } else { now + ahead };
                    let number = naive.get(&attempt).map_or(number, |known| known.1);
                    timers.set(attempt, number, deadline);
                    naive.insert(attempt, (deadline, number));
                    naive.retain(|_, timer| timer.0 != u64::MAX);
                    continue;
                }
                now += ahead / 4;
                let due = naive.iter().filter(|(_, timer)| timer.0 <= now);
                let due = due.min_by_key(|(_, timer)| **timer).map(|(attempt, _)| *attempt);
                prop_assert_eq!(timers.due(now), due);
                if let Some(attempt) = due {
                    timers.remove(attempt);
                    naive.remove(&attempt);
                }
            }
        }
    }
}
