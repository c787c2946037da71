//! What becomes of attempts: kept, timed out, reported, dropped.
//!
//! Invariant: matches of a key are reported in the order in which they begin, and none that a
//! match before it makes the search skip.

use std::ops::Range;

use super::arena::{NO_VAR, NONE};
use super::engine::Patterns;
use super::program::{To, Wait};
use super::rows::{Kind, Match, Rows};
use super::runs::Thread;
use super::spec::{Host, Mode, Skip, Start, VarSet};
use super::step::{Found, Went};

/// Deadlines of an attempt that one call lets pass at most; then the attempt is dropped. Only an
/// absence in a loop has more than one for each of its positions.
const FIRES_MAX: usize = 4_096;

impl Patterns {
    /// Time has come to `watermark`: deadlines up to it pass. To be called in order with
    /// [`Patterns::push`], before rows of the same time. False if the host was full before all had
    /// passed: it is then to be called again.
    pub fn advance(&mut self, watermark: u64, host: &mut impl Host) -> bool {
        (self.by_time, self.calls) = (true, self.calls.wrapping_add(1));
        let done = self.pass(watermark, host);
        self.by_time = false;
        done
    }

    fn pass(&mut self, watermark: u64, host: &mut impl Host) -> bool {
        while let Some(at) = self.timers.due(watermark) {
            if host.is_full() {
                return false;
            }
            let key = self.runs.attempts[at as usize].key;
            if self.keys.slots[key as usize].pending > 0 {
                // Its rows before the deadline are yet to be looked at.
                self.timers.remove(at);
                continue;
            }
            self.make_room(key, host);
            let ts = self.runs.attempts[at as usize].timer;
            self.fire_next(at, host);
            self.settle(at, key, ts, host);
            self.wait(key, ts);
            self.drop_idle(key);
            self.new_step();
        }
        true
    }

    /// A key is known from now on, before it has a row: absences begin to count. For patterns that
    /// do not begin at every row.
    pub fn open(&mut self, key: &[u64], ts: u64, host: &mut impl Host) {
        if key.len() == self.spec.key_words && self.keys.find(key) == NONE && self.keeps_keys {
            let slot = self.add_key(key, host);
            self.make_room(slot, host);
            self.wait(slot, ts);
        }
    }

    /// Rows were lost: absences that are waited for now end as unknown.
    pub fn lost(&mut self) {
        self.losses = self.losses.wrapping_add(1);
    }

    /// No more rows come: `$` holds, and what waited for better is reported. Everything is then as
    /// at the beginning, but for the counters.
    pub fn finish(&mut self, host: &mut impl Host) {
        for key in 0..self.keys.slots.len() as u32 {
            if !self.keys.slots[key as usize].used {
                continue;
            }
            self.drain_pending(key, host);
            if self.keys.slots[key as usize].used {
                self.finish_key(key, host);
            }
        }
    }

    fn drain_pending(&mut self, key: u32, host: &mut impl Host) {
        let from = key as usize * self.spec.next_rows;
        while self.keys.slots[key as usize].pending > 0 {
            let slot = &mut self.keys.slots[key as usize];
            slot.pending -= 1;
            let left = slot.pending as usize;
            let row = self.pending[from];
            self.pending.copy_within(from + 1..from + left + 1, from);
            self.look_late(key, row, host);
        }
    }

    fn finish_key(&mut self, key: u32, host: &mut impl Host) {
        let mut at = self.keys.slots[key as usize].first;
        let mut ts = 0;
        while at != NONE {
            let attempt = self.runs.attempts[at as usize];
            let mut work = std::mem::take(&mut self.work);
            self.runs.take_threads(at, &mut self.keys.slots[key as usize], &mut work);
            self.new_step();
            let mut found = Found::default();
            for thread in &work {
                ts = ts.max(thread.since);
                let ends = self.program.positions[usize::from(thread.position)].wait == Wait::End
                    && self.ends(thread.position, 0);
                if ends && self.spec.mode == Mode::All {
                    self.report_one((key, ts), thread, NONE, host);
                } else if ends && found.link.is_none() {
                    self.arena.hold(thread.link);
                    found = Found { link: Some(thread.link), unknown: thread.unknown };
                }
            }
            for thread in work.drain(..) {
                self.let_go(&thread);
            }
            self.work = work;
            self.keep(at, found, NONE);
            self.settle(at, key, ts, host);
            at = self.after(key, at, attempt.number);
        }
        self.new_step();
        self.remove_key(key);
    }

    /// Whether a match follows the end of the rows.
    fn ends(&self, position: u16, depth: usize) -> bool {
        let (from, to) = self.program.edges(position);
        depth <= self.program.positions.len()
            && (from..to).any(|at| match self.program.edge(at).to {
                To::Match => true,
                To::Position(next) => {
                    next != position
                        && self.program.positions[usize::from(next)].wait == Wait::End
                        && self.ends(next, depth + 1)
                }
            })
    }

    /// Gives an attempt the threads that a step left in `out`, and a better match than it had.
    pub(super) fn keep(&mut self, at: u32, found: Found, ahead: u32) {
        let mut out = std::mem::take(&mut self.out);
        let key = self.runs.attempts[at as usize].key;
        if let Some(link) = found.link {
            self.arena.hold(ahead);
            let attempt = &mut self.runs.attempts[at as usize];
            let old = (attempt.found, attempt.found_ahead);
            (attempt.found, attempt.found_ahead) = (link, ahead);
            (attempt.is_found, attempt.unknown) = (true, found.unknown);
            self.arena.release(old.0);
            self.arena.release(old.1);
        }
        if let Some(anew) = self.program.anew
            && out.iter().any(|thread| thread.position >= anew)
        {
            // What is repeated was complete: other ways to it are the next attempt's.
            out.retain(|thread| {
                let stays = thread.position >= anew;
                if !stays {
                    self.let_go(thread);
                }
                stays
            });
        }
        // The first complete match is the one of an attempt that takes the first.
        let over = self.spec.mode == Mode::First && self.runs.attempts[at as usize].is_found;
        let room = if over { 0 } else { self.spec.runs_max };
        while out.len() > room {
            out.pop().inspect(|thread| self.let_go(thread));
            self.counters.runs_dropped += u64::from(!over);
        }
        while !self.runs.has_room(0, out.len()) && self.drop_oldest_but(at) {}
        while !self.runs.has_room(0, out.len()) {
            out.pop().inspect(|thread| self.let_go(thread));
            self.counters.runs_dropped += 1;
        }
        self.give(at, &out);
        out.clear();
        self.out = out;
        while self.keys.slots[key as usize].runs as usize > self.spec.runs_max {
            let first = self.keys.slots[key as usize].first;
            if first == at {
                break;
            }
            self.counters.runs_dropped += u64::from(self.runs.attempts[first as usize].runs);
            self.drop_attempt(first);
        }
    }

    /// Gives an attempt without threads these, for which there is room, and sets its timer.
    pub(super) fn give(&mut self, at: u32, threads: &[Thread]) {
        if self.spec.within_ns.is_some() || self.program.absences || self.program.limits {
            let deadline = threads.iter().map(|thread| self.deadline(thread)).min();
            let deadline = deadline.unwrap_or(u64::MAX);
            let attempt = &mut self.runs.attempts[at as usize];
            attempt.timer = deadline;
            self.timers.set(at, attempt.number, deadline);
        }
        let of = |thread: &Thread| self.program.wants_of(thread.position, thread.gap).0;
        let wants = threads.iter().map(of).fold(0, |all, own| all | own);
        let attempt = &mut self.runs.attempts[at as usize];
        attempt.wants = wants;
        let key = &mut self.keys.slots[attempt.key as usize];
        key.wants |= wants;
        self.runs.give_threads(at, key, threads);
    }

    fn within_deadline(&self, thread: &Thread) -> u64 {
        match self.spec.within_ns {
            Some(within) if thread.start_ts != u64::MAX => thread.start_ts.saturating_add(within),
            _ => u64::MAX,
        }
    }

    /// The first time at which something becomes of a thread by itself.
    fn deadline(&self, thread: &Thread) -> u64 {
        let within = self.within_deadline(thread).min(self.scopes.deadline(thread.scope));
        match self.program.positions[usize::from(thread.position)].wait {
            Wait::Absence(_, Some(ns)) => within.min(thread.since.saturating_add(ns)),
            _ => within,
        }
    }

    /// Deadlines of an attempt up to `now` pass, in order.
    pub(super) fn fire(&mut self, at: u32, now: u64, host: &mut impl Host) {
        let number = self.runs.attempts[at as usize].number;
        for _ in 0..FIRES_MAX {
            let attempt = &self.runs.attempts[at as usize];
            if attempt.number != number || attempt.timer > now {
                return;
            }
            self.fire_once(at, attempt.timer, host);
        }
        self.counters.runs_dropped += u64::from(self.runs.attempts[at as usize].runs);
        self.drop_attempt(at);
    }

    /// The next deadline of an attempt passes: what it leads to comes before the one after it.
    fn fire_next(&mut self, at: u32, host: &mut impl Host) {
        let calls = self.calls;
        let attempt = &mut self.runs.attempts[at as usize];
        let fires = if attempt.fires.0 == calls { attempt.fires.1 } else { 0 };
        attempt.fires = (calls, fires + 1);
        let (timer, runs) = (attempt.timer, attempt.runs);
        if fires as usize == FIRES_MAX {
            self.counters.runs_dropped += u64::from(runs);
            self.drop_attempt(at);
        } else {
            self.fire_once(at, timer, host);
        }
    }

    fn fire_once(&mut self, at: u32, due: u64, host: &mut impl Host) {
        let key = self.runs.attempts[at as usize].key;
        let mut work = std::mem::take(&mut self.work);
        self.runs.take_threads(at, &mut self.keys.slots[key as usize], &mut work);
        self.step += 1;
        self.new_step();
        self.note(&work);
        let mut found = Found::default();
        let mut cut = false;
        for thread in &work {
            let over = self.within_deadline(thread) <= due;
            if self.scopes.deadline(thread.scope) <= due {
                self.let_go(thread);
                continue;
            }
            let passed = match self.program.positions[usize::from(thread.position)].wait {
                Wait::Absence(_, None) => over,
                Wait::Absence(_, Some(ns)) => !over && thread.since.saturating_add(ns) <= due,
                _ => false,
            };
            if cut || !(passed || over) {
                if !cut {
                    self.arena.hold(thread.link);
                    self.scopes.hold(thread.scope);
                    self.out.push(*thread);
                }
            } else if passed {
                let unknown = thread.unknown || thread.losses != self.losses;
                let passed = Thread { unknown, ..*thread };
                let edges = self.program.edges(thread.position);
                cut = self.follow(edges, &passed, (key, due), NONE, &mut found, host) == Went::Cut;
            } else {
                self.time_out(key, due, thread, host);
            }
            self.let_go(thread);
        }
        self.work = work;
        self.begin_again(due);
        self.keep(at, found, NONE);
    }

    fn time_out(&mut self, key: u32, ts: u64, thread: &Thread, host: &mut impl Host) {
        self.counters.timed_out += 1;
        if self.spec.show_timeouts {
            self.report((Kind::TimedOut, key, ts), thread.link, NONE, NONE, thread.unknown, host);
        }
    }

    /// Reports what is decided now that `at` took a row or a deadline.
    pub(super) fn settle(&mut self, at: u32, key: u32, ts: u64, host: &mut impl Host) {
        if let Some(attempt) = self.runs.attempts.get(at as usize) {
            let over = attempt.number != 0 && attempt.threads == NONE;
            let is_first = self.keys.slots[key as usize].first == at;
            if over && self.spec.mode != Mode::Preferred {
                self.resolve(at, ts, host);
            } else if over && !is_first && !attempt.is_found && !self.spec.show_unmatched {
                self.drop_attempt(at);
            }
        }
        if self.spec.mode != Mode::Preferred {
            return;
        }
        loop {
            let first = self.keys.slots[key as usize].first;
            if first == NONE || self.runs.attempts[first as usize].threads != NONE {
                return;
            }
            self.resolve(first, ts, host);
        }
    }

    /// Ends an attempt that has no threads.
    fn resolve(&mut self, at: u32, ts: u64, host: &mut impl Host) {
        let attempt = self.runs.attempts[at as usize];
        let key = attempt.key as usize;
        if attempt.is_found {
            let resume = self.resume(attempt.found, attempt.seq);
            let end = self.arena.links.get(attempt.found as usize);
            let end = end
                .filter(|link| link.var != NO_VAR)
                .map_or(attempt.seq, |link| self.arena.rows[link.row as usize].seq + 1);
            self.keys.slots[key].matches += 1;
            self.counters.matches += 1;
            if self.spec.show_empty || self.arena.is_bound(attempt.found) {
                let what = (Kind::Match, attempt.key, ts);
                let (found, ahead) = (attempt.found, attempt.found_ahead);
                self.report(what, found, ahead, attempt.row, attempt.unknown, host);
            }
            let slot = &mut self.keys.slots[key];
            slot.done |= matches!(self.spec.start, Start::Once | Start::UntilMatch);
            slot.covered = slot.covered.max(end);
            slot.resume = slot.resume.max(resume);
            self.drop_attempt(at);
            self.skip(attempt.key, attempt.seq + 1..resume);
            return;
        }
        self.keys.slots[key].done |= self.spec.start == Start::Once;
        if self.spec.show_unmatched && attempt.seq >= self.keys.slots[key].covered {
            let what = (Kind::Unmatched, attempt.key, ts);
            self.report(what, NONE, NONE, attempt.row, false, host);
        }
        self.drop_attempt(at);
    }

    /// Drops attempts that begin behind the first row of a match and before the row where the
    /// search goes on after it. One that began before the match may still come to its own.
    fn skip(&mut self, key: u32, begun: Range<u64>) {
        if self.spec.mode == Mode::All || self.spec.start != Start::EveryRow {
            return;
        }
        let mut at = self.keys.slots[key as usize].first;
        while at != NONE && self.runs.attempts[at as usize].seq < begun.end {
            let attempt = self.runs.attempts[at as usize];
            if begun.contains(&attempt.seq) {
                self.drop_attempt(at);
            }
            at = self.after(key, at, attempt.number);
        }
    }

    /// Where the search goes on after a match that begins at row `start`.
    fn resume(&mut self, found: u32, start: u64) -> u64 {
        let rows = Rows { arena: &self.arena, tip: found, end: found, tested: None, ahead: NONE };
        let target = match self.spec.skip {
            Skip::ToNextRow => return start + 1,
            Skip::PastLastRow => {
                return rows.last(VarSet::ALL, 0).map_or(start + 1, |row| row.seq + 1);
            }
            Skip::ToFirst(of) => rows.first(of, 0),
            Skip::ToLast(of) => rows.last(of, 0),
        };
        match target.map(|row| row.seq).filter(|&seq| seq > start) {
            Some(seq) => seq,
            None => {
                self.counters.skips_failed += 1;
                start + 1
            }
        }
    }

    /// Reports a match that takes nothing from others, unless it is told already: what binds the
    /// same rows to the same variables is one match, however many ways lead to it. What an EVERY
    /// found again is another one.
    pub(super) fn report_one(
        &mut self,
        (key, ts): (u32, u64),
        thread: &Thread,
        ahead: u32,
        host: &mut impl Host,
    ) {
        let Thread { link, token, unknown, .. } = *thread;
        if let Some(last) = self.arena.links.get_mut(link as usize).filter(|at| at.var != NO_VAR) {
            let told = token.saturating_add(1);
            if std::mem::replace(&mut last.told, told) == told {
                return;
            }
            self.arena.hold(link);
            self.reported.push(link);
        }
        let slot = &mut self.keys.slots[key as usize];
        slot.matches += 1;
        self.counters.matches += 1;
        slot.done |= matches!(self.spec.start, Start::Once | Start::UntilMatch);
        self.report((Kind::Match, key, ts), link, ahead, NONE, unknown, host);
    }

    fn report(
        &mut self,
        (kind, key, ts): (Kind, u32, u64),
        tip: u32,
        ahead: u32,
        at: u32,
        unknown: bool,
        host: &mut impl Host,
    ) {
        self.path.clear();
        let mut link = tip;
        while self.arena.is_bound(link) {
            self.path.push(link);
            link = self.arena.links[link as usize].parent;
        }
        self.path.reverse();
        let rows = Rows { arena: &self.arena, tip, end: tip, tested: None, ahead };
        let number = match kind {
            Kind::Match => self.keys.slots[key as usize].matches,
            _ => 0,
        };
        let (key, links, by_time) = (self.keys.words(key), &self.path[..], self.by_time);
        host.emit(&Match { kind, key, number, ts, by_time, unknown, rows, links, at });
    }

    pub(super) fn drop_attempt(&mut self, at: u32) {
        let attempt = self.runs.attempts[at as usize];
        let mut next = attempt.threads;
        while next != NONE {
            let thread = self.runs.threads[next as usize];
            next = thread.next;
            self.let_go(&thread);
        }
        let slot = &mut self.keys.slots[attempt.key as usize];
        self.runs.forget_threads(at, slot);
        self.arena.release(attempt.found);
        self.arena.release(attempt.found_ahead);
        if attempt.row != NONE {
            self.arena.release_row(attempt.row);
        }
        self.timers.remove(at);
        self.runs.remove(at, slot);
    }

    fn drop_oldest_but(&mut self, at: u32) -> bool {
        let oldest = self.runs.oldest;
        if oldest == NONE || oldest == at {
            return false;
        }
        self.counters.runs_dropped += u64::from(self.runs.attempts[oldest as usize].runs.max(1));
        let key = self.runs.attempts[oldest as usize].key;
        self.drop_attempt(oldest);
        if key != self.runs.attempts.get(at as usize).map_or(NONE, |other| other.key) {
            self.drop_idle(key);
        }
        true
    }

    /// Makes sure that there is room for a row of a key, whatever it does.
    pub(super) fn make_room(&mut self, key: u32, host: &mut impl Host) {
        let neighbours = self.spec.prev_rows + self.spec.next_rows + 1;
        loop {
            let runs = self.keys.slots[key as usize].runs as usize;
            let links = runs + self.program.fan_max + neighbours;
            let threads = self.program.fan_max;
            if self.arena.has_room(2, links) && self.runs.has_room(1, threads.min(1)) {
                return;
            }
            let oldest = self.runs.oldest;
            if oldest == NONE {
                return;
            }
            let other = self.runs.attempts[oldest as usize].key;
            self.counters.runs_dropped +=
                u64::from(self.runs.attempts[oldest as usize].runs.max(1));
            self.drop_attempt(oldest);
            if other != key {
                self.settle(NONE, other, 0, host);
                self.drop_idle(other);
            }
        }
    }

    /// The slot of a new key.
    pub(super) fn add_key(&mut self, key: &[u64], host: &mut impl Host) -> u32 {
        if self.keys.is_full() {
            self.counters.keys_dropped += 1;
            let victim = self.keys.victim();
            self.drain_pending(victim, host);
            self.remove_key(victim);
        }
        self.keys.add(key)
    }

    fn remove_key(&mut self, key: u32) {
        if !self.keys.slots[key as usize].used {
            return;
        }
        while self.keys.slots[key as usize].first != NONE {
            let first = self.keys.slots[key as usize].first;
            self.counters.runs_dropped += u64::from(self.runs.attempts[first as usize].runs);
            self.drop_attempt(first);
        }
        self.arena.release(self.keys.slots[key as usize].recent);
        self.keys.remove(key);
    }

    /// Forgets a key of which nothing is known.
    pub(super) fn drop_idle(&mut self, key: u32) {
        let slot = &self.keys.slots[key as usize];
        if !self.keeps_keys && slot.used && slot.first == NONE {
            self.remove_key(key);
        }
    }
}
