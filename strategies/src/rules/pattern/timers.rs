//! Which attempt's deadline is next: a binary heap that knows where each attempt lies in it.
//!
//! Invariant: deadlines are taken in order; equal ones in the order in which attempts began.

use super::arena::NONE;

#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Timer {
    deadline: u64,
    number: u64,
    attempt: u32,
}

#[derive(Debug)]
pub(super) struct Timers {
    heap: Vec<Timer>,
    /// Of each attempt.
    places: Vec<u32>,
}

impl Timers {
    pub(super) fn new(attempts_max: usize) -> Self {
        Self { heap: Vec::with_capacity(attempts_max), places: vec![NONE; attempts_max] }
    }

    pub(super) fn bytes_max(attempts_max: usize) -> usize {
        attempts_max * (size_of::<Timer>() + size_of::<u32>())
    }

    /// The attempt with the next deadline, if that has come.
    #[inline]
    pub(super) fn due(&self, now: u64) -> Option<u32> {
        let next = self.heap.first()?;
        (next.deadline <= now).then_some(next.attempt)
    }

    /// Sets, moves or, with `u64::MAX`, removes a deadline.
    pub(super) fn set(&mut self, attempt: u32, number: u64, deadline: u64) {
        let place = self.places[attempt as usize];
        if deadline == u64::MAX {
            self.remove(attempt);
        } else if place == NONE {
            self.heap.push(Timer { deadline, number, attempt });
            self.up(self.heap.len() - 1);
        } else if self.heap[place as usize].deadline != deadline {
            self.heap[place as usize] = Timer { deadline, number, attempt };
            self.sift(place as usize);
        }
    }

    pub(super) fn remove(&mut self, attempt: u32) {
        let place = self.places[attempt as usize];
        if place == NONE {
            return;
        }
        self.places[attempt as usize] = NONE;
        self.heap.swap_remove(place as usize);
        if (place as usize) < self.heap.len() {
            self.sift(place as usize);
        }
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
