//! One row and one attempt: which threads take the row, stay or end, and which attempts begin.
//!
//! Invariant: threads come out in the order of preferment, and what is worse than a match is gone.

use super::arena::NONE;
use super::engine::{Now, Patterns};
use super::program::{Edge, NO_GROUP, To, WAIT_GAP, Wait};
use super::runs::Thread;
use super::spec::{GapMode, Host, Mode, Start};

/// What became of a thread.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(super) enum Went {
    /// The next one's turn.
    On,
    /// It matched, so that the rest matters no more.
    Cut,
}

/// Where a step gathers the best match of an attempt.
#[derive(Copy, Clone, Default)]
pub(super) struct Found {
    pub(super) link: Option<u32>,
    pub(super) unknown: bool,
}

impl Patterns {
    /// Takes a row to every thread of an attempt.
    pub(super) fn step_attempt(&mut self, at: u32, now: &mut Now<'_>, host: &mut impl Host) {
        if self.stays(at, now, host) {
            return;
        }
        let mut work = std::mem::take(&mut self.work);
        let key = &mut self.keys.slots[now.key as usize];
        self.runs.take_threads(at, key, &mut work);
        self.new_step();
        self.note(&work);
        let mut found = Found::default();
        let mut threads = work.iter();
        for thread in threads.by_ref() {
            if self.step_thread(thread, now, &mut found, host) == Went::Cut {
                break;
            }
        }
        for thread in threads {
            self.let_go(thread);
        }
        self.work = work;
        self.begin_again(now.ts);
        self.keep(at, found, now.ahead);
        // It may end with the match that it has. Of those after it, only some then go on: none of
        // them can stand for another.
        self.parted |= self.runs.attempts[at as usize].is_found;
        if self.parted {
            self.step += 1;
        }
    }

    /// Whether an attempt of one thread, which nothing but its next row can end, does not take the
    /// row: it stays where it is.
    #[inline]
    fn stays(&mut self, at: u32, now: &mut Now<'_>, host: &mut impl Host) -> bool {
        let attempt = &self.runs.attempts[at as usize];
        if attempt.runs != 1 || attempt.is_found {
            return false;
        }
        let place = attempt.threads as usize;
        let thread = &self.runs.threads[place];
        let gap = &self.program.gaps[usize::from(thread.gap)];
        let Wait::Row(var) = self.program.positions[usize::from(thread.position)].wait else {
            return false;
        };
        let guards = gap.unless.or(gap.unless_first).or(gap.yields).or(self.spec.poison);
        if gap.mode == GapMode::Strict || !guards.is_empty() {
            return false;
        }
        let link = thread.link;
        let takes = self.test(now, var, link, host);
        self.runs.threads[place].fresh &= takes;
        !takes
    }

    /// Takes a row to a thread, whose link is given up.
    fn step_thread(
        &mut self,
        thread: &Thread,
        now: &mut Now<'_>,
        found: &mut Found,
        host: &mut impl Host,
    ) -> Went {
        let position = self.program.positions[usize::from(thread.position)];
        let gap = self.program.gaps[usize::from(thread.gap)];
        let mut guards = gap.unless;
        if thread.fresh {
            guards = guards.or(gap.unless_first);
        }
        if thread.start_ts != u64::MAX {
            guards = guards.or(self.spec.poison);
        }
        if let Wait::Absence(unless, _) = position.wait {
            guards = guards.or(unless);
        }
        let stays = Thread { fresh: false, ..*thread };
        if !guards.is_empty() && self.fits_any(now, guards, thread.link, host) {
            let is_bound = thread.start_ts != u64::MAX;
            if self.program.repeats && is_bound {
                self.is_poisoned |= self.fits_any(now, self.spec.poison, thread.link, host);
            }
            self.let_go(thread);
            return Went::On;
        }
        match position.wait {
            Wait::Row(var) if self.test(now, var, thread.link, host) => {
                let row = self.stored(now);
                let link = self.bind(thread, row, var, position.excluded);
                let start_ts = if thread.start_ts == u64::MAX { now.ts } else { thread.start_ts };
                // What had to stay away may have been among the rows that were lost.
                let unknown = thread.unknown || !guards.is_empty() && thread.losses != self.losses;
                let bound = Thread { link, start_ts, unknown, ..*thread };
                let edges = self.program.edges(thread.position);
                let went = self.follow(edges, &bound, (now.key, now.ts), now.ahead, found, host);
                self.arena.release(link);
                if gap.mode == GapMode::Any && went == Went::On {
                    self.out.push(stays);
                } else {
                    self.let_go(thread);
                }
                went
            }
            Wait::Row(_) if gap.mode != GapMode::Strict => {
                if !gap.yields.is_empty() && self.fits_any(now, gap.yields, thread.link, host) {
                    self.let_go(thread);
                    return Went::On;
                }
                self.stay(stays)
            }
            Wait::Absence(..) => self.stay(stays),
            Wait::Row(_) | Wait::End => {
                self.let_go(thread);
                Went::On
            }
        }
    }

    /// Another attempt's turn: what was reached and reported before counts no more.
    pub(super) fn new_step(&mut self) {
        if !self.merges {
            self.step += 1;
        }
        self.made.clear();
        self.close_opened();
        while let Some(link) = self.reported.pop() {
            self.arena.release(link);
        }
    }

    /// A link after `parent`, the one that another thread made in this step if there is one: so
    /// chains of an attempt that bind the same rows to the same variables are one chain.
    #[inline]
    fn bind(&mut self, thread: &Thread, row: u32, var: u8, excluded: bool) -> u32 {
        let Thread { link: parent, token, scope, .. } = *thread;
        let same = |&&(at, its_token, its_scope): &&(u32, u32, u32)| {
            let link = &self.arena.links[at as usize];
            let is_place = link.refs > 0 && link.parent == parent && link.row == row;
            let is_way = its_token == token && its_scope == scope;
            is_place && is_way && link.var == var && link.excluded == excluded
        };
        if let Some(&(at, ..)) = self.made.iter().find(same) {
            self.arena.hold(at);
            return at;
        }
        let at = self.arena.add_link(parent, row, var, excluded);
        self.made.push((at, token, scope));
        at
    }

    fn stay(&mut self, thread: Thread) -> Went {
        self.out.push(thread);
        Went::On
    }

    /// Goes along the edges from a place; every thread that results holds the link.
    pub(super) fn follow(
        &mut self,
        edges: (u32, u32),
        from: &Thread,
        (key, ts): (u32, u64),
        ahead: u32,
        found: &mut Found,
        host: &mut impl Host,
    ) -> Went {
        (self.event, self.event_token) = (self.event + 1, 0);
        for at in edges.0..edges.1 {
            let edge = self.program.edge(at);
            let mut from = *from;
            if from.scope != NONE {
                let Some((scope, token)) = self.leave(edge, &from) else { continue };
                (from.scope, from.token) = (scope, token);
            }
            match edge.to {
                To::Match if self.spec.mode == Mode::All => {
                    if from.start_ts != u64::MAX || self.spec.show_empty {
                        self.report_one((key, ts), &from, ahead, host);
                    }
                }
                To::Match => {
                    self.arena.hold(from.link);
                    *found = Found { link: Some(from.link), unknown: from.unknown };
                    return Went::Cut;
                }
                To::Position(position) => self.reach(position, edge, &from, ts),
            }
        }
        Went::On
    }

    /// A thread comes to a position.
    #[inline]
    pub(super) fn reach(&mut self, position: u16, edge: Edge, from: &Thread, ts: u64) {
        let gap = edge.gap;
        let since = if self.program.gaps[usize::from(gap)].goes_on { from.since } else { ts };
        let group = self.program.positions[usize::from(position)].group;
        let scope = if group == NO_GROUP { NONE } else { self.enter(group, from, since) };
        let gaps = self.program.gaps.len();
        let place = &mut self.seen[usize::from(position) * gaps + usize::from(gap)];
        let is_known = |thread: &Thread| {
            thread.position == position
                && thread.gap == gap
                && thread.link == from.link
                && (thread.scope, thread.token) == (scope, from.token)
                && thread.fresh
                && thread.since == since
        };
        if *place == self.step {
            let clean = self.program.positions[usize::from(position)].clean;
            if (clean && self.spec.mode != Mode::All) || self.out.iter().any(is_known) {
                return;
            }
        }
        *place = self.step;
        self.arena.hold(from.link);
        self.scopes.hold(scope);
        let losses = self.losses;
        let next = NONE;
        self.out.push(Thread { position, gap, scope, since, losses, fresh: true, next, ..*from });
    }

    /// An attempt begins at the row.
    pub(super) fn begin(&mut self, now: &mut Now<'_>, host: &mut impl Host) -> u32 {
        self.new_step();
        let context = self.keys.slots[now.key as usize].recent;
        let mut found = Found::default();
        let (from, to) = self.program.starts(now.seq == 0);
        for at in from..to {
            let edge = self.program.edge(at);
            let mut thread = Thread::unbound(context, now.ts, self.losses);
            let went = match edge.to {
                To::Match => self.follow(
                    (at, at + 1),
                    &thread,
                    (now.key, now.ts),
                    now.ahead,
                    &mut found,
                    host,
                ),
                To::Position(position) => {
                    // The row at which an attempt begins is its first: gaps do not matter yet.
                    thread.position = position;
                    let group = self.program.positions[usize::from(position)].group;
                    if group != NO_GROUP {
                        thread.scope = self.enter(group, &thread, now.ts);
                        self.scopes.hold(thread.scope);
                    }
                    self.arena.hold(context);
                    self.step_thread(&thread, now, &mut found, host)
                }
            };
            if went == Went::Cut {
                break;
            }
        }
        let is_empty = found.link.is_some_and(|link| !self.arena.is_bound(link));
        if self.out.is_empty() && found.link.is_none() && !self.spec.show_unmatched {
            return NONE;
        }
        let row = if is_empty || self.spec.show_unmatched { self.stored(now) } else { NONE };
        let slot = &mut self.keys.slots[now.key as usize];
        let attempt = self.runs.add(now.key, slot, now.seq);
        if row != NONE {
            self.arena.hold_row(row);
            self.runs.attempts[attempt as usize].row = row;
        }
        self.keep(attempt, found, now.ahead);
        attempt
    }

    /// Whether an attempt has come to where the next one may begin.
    fn is_anew(&self, at: u32) -> bool {
        let Some(anew) = self.program.anew else { return false };
        let mut next = self.runs.attempts[at as usize].threads;
        while let Some(thread) = self.runs.threads.get(next as usize) {
            if thread.position < anew {
                return false;
            }
            next = thread.next;
        }
        true
    }

    /// Begins an attempt that waits for its first row, if the key is to have one.
    pub(super) fn wait(&mut self, key: u32, ts: u64) {
        let slot = self.keys.slots[key as usize];
        let is_free = slot.first == NONE || self.is_anew(slot.last);
        let begins = self.spec.start != Start::EveryRow && is_free && !slot.done;
        if !begins || !self.runs.has_room(1, self.program.fan_max) {
            return;
        }
        let (from, to) = self.program.starts(slot.rows == 0);
        self.out.clear();
        for at in from..to {
            let edge = self.program.edge(at);
            let To::Position(position) = edge.to else { continue };
            let gap = if edge.gap == 0 { WAIT_GAP } else { edge.gap };
            let thread = Thread::unbound(slot.recent, ts, self.losses);
            let group = self.program.positions[usize::from(position)].group;
            let scope = if group == NO_GROUP { NONE } else { self.enter(group, &thread, ts) };
            self.arena.hold(slot.recent);
            self.scopes.hold(scope);
            self.out.push(Thread { position, gap, scope, fresh: false, ..thread });
        }
        self.close_opened();
        if self.out.is_empty() {
            return;
        }
        let attempt = self.runs.add(key, &mut self.keys.slots[key as usize], slot.rows);
        self.keep(attempt, Found::default(), NONE);
    }
}
