//! Attempts and their threads: two slabs, and the lists that order them.
//!
//! Invariant: attempts of a key are listed in the order in which they began, all attempts too, and
//! threads of an attempt in the order of preferment.

use super::arena::NONE;
use super::keys::Key;

/// One way in which an attempt may still match.
#[derive(Copy, Clone, Debug)]
pub(super) struct Thread {
    pub(super) next: u32,
    /// The last row bound.
    pub(super) link: u32,
    /// The time of the first row bound; `u64::MAX` if there is none yet.
    pub(super) start_ts: u64,
    /// When it came to its position: absences count from here.
    pub(super) since: u64,
    /// Losses that were known then.
    pub(super) losses: u32,
    /// The innermost scope that it is in.
    pub(super) scope: u32,
    /// Tells it from others that went the same way; 0 until it has left an EVERY.
    pub(super) token: u32,
    pub(super) position: u16,
    pub(super) gap: u16,
    /// It saw no row at its position yet.
    pub(super) fresh: bool,
    /// An absence that it passed is not certain.
    pub(super) unknown: bool,
}

impl Thread {
    /// One that has bound nothing yet, after a chain of rows before the match.
    pub(super) fn unbound(context: u32, ts: u64, losses: u32) -> Self {
        Self {
            next: NONE,
            link: context,
            start_ts: u64::MAX,
            since: ts,
            losses,
            scope: NONE,
            token: 0,
            position: 0,
            gap: 0,
            fresh: true,
            unknown: false,
        }
    }
}

/// Everything that begins at one row.
#[derive(Copy, Clone, Debug)]
pub(super) struct Attempt {
    /// Attempts are numbered as they begin; 0 is a free place.
    pub(super) number: u64,
    /// The row at which it begins.
    pub(super) seq: u64,
    /// The first deadline of its threads.
    pub(super) timer: u64,
    /// The variables a row of which matters to them.
    pub(super) wants: u64,
    pub(super) key: u32,
    /// Of the same key.
    pub(super) prev: u32,
    pub(super) next: u32,
    /// Of all.
    older: u32,
    newer: u32,
    /// Its threads; the first one is the most preferred.
    pub(super) threads: u32,
    pub(super) runs: u32,
    /// The row at which it begins, if it may have to be shown.
    pub(super) row: u32,
    /// The best match so far, if `is_found`: its last link and the rows after it.
    pub(super) found: u32,
    pub(super) found_ahead: u32,
    pub(super) is_found: bool,
    pub(super) unknown: bool,
    /// Deadlines of it that passed in a call, and which call.
    pub(super) fires: (u32, u32),
}

#[derive(Debug)]
pub(super) struct Runs {
    pub(super) attempts: Vec<Attempt>,
    pub(super) threads: Vec<Thread>,
    max: usize,
    free_attempt: u32,
    free_thread: u32,
    pub(super) oldest: u32,
    newest: u32,
    attempts_live: usize,
    threads_live: usize,
    pub(super) next_number: u64,
}

impl Runs {
    /// Room for so many threads and as many attempts.
    pub(super) fn new(max: usize) -> Self {
        Self {
            attempts: Vec::with_capacity(max),
            threads: Vec::with_capacity(max),
            max,
            free_attempt: NONE,
            free_thread: NONE,
            oldest: NONE,
            newest: NONE,
            attempts_live: 0,
            threads_live: 0,
            next_number: 1,
        }
    }

    pub(super) fn bytes_max(max: usize) -> usize {
        max * (size_of::<Attempt>() + size_of::<Thread>())
    }

    /// Whether there is room for so many more attempts and threads.
    pub(super) fn has_room(&self, attempts: usize, threads: usize) -> bool {
        self.attempts_live + attempts <= self.max && self.threads_live + threads <= self.max
    }

    pub(super) fn live(&self) -> (usize, usize) {
        (self.attempts_live, self.threads_live)
    }

    /// The next attempt of a key, after all others, without threads.
    pub(super) fn add(&mut self, slot: u32, key: &mut Key, seq: u64) -> u32 {
        self.attempts_live += 1;
        let attempt = Attempt {
            number: self.next_number,
            seq,
            timer: u64::MAX,
            wants: 0,
            key: slot,
            prev: key.last,
            next: NONE,
            older: self.newest,
            newer: NONE,
            threads: NONE,
            runs: 0,
            row: NONE,
            found: NONE,
            found_ahead: NONE,
            is_found: false,
            unknown: false,
            fires: (0, 0),
        };
        self.next_number += 1;
        let at = if self.free_attempt == NONE {
            self.attempts.push(attempt);
            self.attempts.len() as u32 - 1
        } else {
            let at = self.free_attempt;
            self.free_attempt = self.attempts[at as usize].next;
            self.attempts[at as usize] = attempt;
            at
        };
        match self.attempts.get_mut(key.last as usize) {
            Some(last) => last.next = at,
            None => key.first = at,
        }
        key.last = at;
        match self.attempts.get_mut(self.newest as usize) {
            Some(newest) => newest.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
        at
    }

    /// Takes an attempt out of its lists; the caller has released what it held.
    pub(super) fn remove(&mut self, at: u32, key: &mut Key) {
        let Attempt { prev, next, older, newer, .. } = self.attempts[at as usize];
        match self.attempts.get_mut(prev as usize) {
            Some(before) => before.next = next,
            None => key.first = next,
        }
        match self.attempts.get_mut(next as usize) {
            Some(after) => after.prev = prev,
            None => key.last = prev,
        }
        match self.attempts.get_mut(older as usize) {
            Some(before) => before.newer = newer,
            None => self.oldest = newer,
        }
        match self.attempts.get_mut(newer as usize) {
            Some(after) => after.older = older,
            None => self.newest = older,
        }
        if key.first == NONE {
            key.wants = 0;
        }
        let attempt = &mut self.attempts[at as usize];
        (attempt.number, attempt.next) = (0, self.free_attempt);
        self.free_attempt = at;
        self.attempts_live -= 1;
    }

    /// Moves an attempt's threads to `work`, which then holds their links.
    #[inline]
    pub(super) fn take_threads(&mut self, at: u32, key: &mut Key, work: &mut Vec<Thread>) {
        work.clear();
        let attempt = &mut self.attempts[at as usize];
        key.runs -= attempt.runs;
        self.threads_live -= attempt.runs as usize;
        attempt.runs = 0;
        let mut from = std::mem::replace(&mut attempt.threads, NONE);
        while let Some(thread) = self.threads.get_mut(from as usize) {
            work.push(*thread);
            let next = thread.next;
            thread.next = self.free_thread;
            self.free_thread = from;
            from = next;
        }
    }

    /// Frees an attempt's threads; the caller has released their links.
    pub(super) fn forget_threads(&mut self, at: u32, key: &mut Key) {
        let attempt = &mut self.attempts[at as usize];
        key.runs -= attempt.runs;
        self.threads_live -= attempt.runs as usize;
        attempt.runs = 0;
        let mut from = std::mem::replace(&mut attempt.threads, NONE);
        while let Some(thread) = self.threads.get_mut(from as usize) {
            let next = std::mem::replace(&mut thread.next, self.free_thread);
            self.free_thread = from;
            from = next;
        }
    }

    /// Gives an attempt without threads those of `out`, for which there is room.
    #[inline]
    pub(super) fn give_threads(&mut self, at: u32, key: &mut Key, out: &[Thread]) {
        let mut next = NONE;
        for thread in out.iter().rev() {
            let thread = Thread { next, ..*thread };
            if self.free_thread == NONE {
                next = self.threads.len() as u32;
                self.threads.push(thread);
            } else {
                next = self.free_thread;
                let place = &mut self.threads[next as usize];
                self.free_thread = place.next;
                *place = thread;
            }
        }
        let attempt = &mut self.attempts[at as usize];
        (attempt.threads, attempt.runs) = (next, out.len() as u32);
        key.runs += out.len() as u32;
        self.threads_live += out.len();
    }
}
