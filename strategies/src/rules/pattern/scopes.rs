//! Parts of a pattern with a limit of time or a repetition of their own, as they are under way.
//!
//! ```text
//! EVERY (a -> (b -> c WITHIN t))        thread ──> scope of WITHIN ──> scope of EVERY
//!                                                  deadline            where it began
//! ```
//!
//! A thread names the innermost scope that it is in. The scope of an EVERY knows what was bound
//! before it, and so begins again from there: whenever a thread has left it by its end, and when
//! the last thread in it has come to nothing. A thread that leaves it by its end takes a token of
//! its own along, so that it stays apart from those that left it before with the same rows.
//!
//! Invariant: a scope is there exactly as long as a thread or a scope in it is.

use super::arena::{Arena, NONE};
use super::engine::Patterns;
use super::program::{Edge, GROUP_DEPTH_MAX, NO_GROUP, To, WAIT_GAP};
use super::runs::Thread;

#[derive(Copy, Clone, Debug)]
pub(super) struct Scope {
    /// The scope around it; of a free one the next free one.
    pub(super) parent: u32,
    pub(super) refs: u32,
    pub(super) group: u16,
    /// The first deadline, of it and of those around it.
    pub(super) deadline: u64,
    /// What was there as it began: the last row bound, the time of the first, and the rest.
    pub(super) base: u32,
    pub(super) start_ts: u64,
    pub(super) token: u32,
    pub(super) unknown: bool,
    /// In this step: threads were in it; how often it was complete, and by what last.
    noted: bool,
    times: u32,
    by: u64,
}

/// A slab of scopes.
#[derive(Debug)]
pub(super) struct Scopes {
    pub(super) all: Vec<Scope>,
    free: u32,
    pub(super) live: usize,
}

/// A scope that was opened in this step, and from where.
#[derive(Copy, Clone, Debug)]
pub(super) struct Opened {
    parent: u32,
    group: u16,
    base: u32,
    token: u32,
    since: u64,
    scope: u32,
}

impl Scopes {
    pub(super) fn new(max: usize) -> Self {
        Self { all: Vec::with_capacity(max), free: NONE, live: 0 }
    }

    /// Adds one, which the caller holds once; it holds what it names.
    pub(super) fn add(&mut self, scope: Scope, arena: &mut Arena) -> u32 {
        arena.hold(scope.base);
        if let Some(parent) = self.all.get_mut(scope.parent as usize) {
            parent.refs += 1;
        }
        self.live += 1;
        let at = self.free;
        let Some(place) = self.all.get_mut(at as usize) else {
            self.all.push(scope);
            return self.all.len() as u32 - 1;
        };
        self.free = place.parent;
        *place = scope;
        at
    }

    #[inline]
    pub(super) fn hold(&mut self, at: u32) {
        if let Some(scope) = self.all.get_mut(at as usize) {
            scope.refs += 1;
        }
    }

    /// Gives up a scope, and what only it refers to.
    pub(super) fn release(&mut self, mut at: u32, arena: &mut Arena) {
        while let Some(scope) = self.all.get_mut(at as usize) {
            scope.refs -= 1;
            if scope.refs > 0 {
                return;
            }
            let (parent, base) = (scope.parent, scope.base);
            scope.parent = self.free;
            self.free = at;
            self.live -= 1;
            arena.release(base);
            at = parent;
        }
    }

    /// The first deadline of a scope and of those around it.
    #[inline]
    pub(super) fn deadline(&self, at: u32) -> u64 {
        self.all.get(at as usize).map_or(u64::MAX, |scope| scope.deadline)
    }

    fn is_in(&self, mut at: u32, outer: u32) -> bool {
        while at != NONE && at != outer {
            at = self.all[at as usize].parent;
        }
        at == outer
    }
}

impl Scope {
    /// One that nothing has happened in yet.
    pub(super) fn new(parent: u32, group: u16, deadline: u64, from: &Thread) -> Self {
        Self {
            parent,
            refs: 1,
            group,
            deadline,
            base: from.link,
            start_ts: from.start_ts,
            token: from.token,
            unknown: from.unknown,
            noted: false,
            times: 0,
            by: 0,
        }
    }
}

impl Patterns {
    /// Gives up what a thread holds.
    #[inline]
    pub(super) fn let_go(&mut self, thread: &Thread) {
        self.arena.release(thread.link);
        if thread.scope != NONE {
            self.scopes.release(thread.scope, &mut self.arena);
        }
    }

    /// Levels of scopes from the outermost to this one.
    fn levels(&self, scope: u32) -> u8 {
        let scope = self.scopes.all.get(scope as usize);
        scope.map_or(0, |scope| self.program.groups[usize::from(scope.group)].depth + 1)
    }

    /// Leaves the scopes that an edge leaves. `None` if what would be complete was so already.
    pub(super) fn leave(&mut self, edge: Edge, from: &Thread) -> Option<(u32, u32)> {
        let (mut scope, mut token) = (from.scope, from.token);
        while self.levels(scope) > edge.keep {
            let here = &mut self.scopes.all[scope as usize];
            if let Some(again) = self.program.groups[usize::from(here.group)].again {
                let is_another = here.by != self.event || here.times == 0;
                if again.ends && here.times > 0 && is_another {
                    return None;
                }
                here.times += u32::from(is_another);
                here.by = self.event;
                if again.repeats && self.event_token == 0 {
                    self.tokens = self.tokens.wrapping_add(1).max(1);
                    self.event_token = self.tokens;
                }
                token = if again.repeats { self.event_token } else { token };
            }
            scope = here.parent;
        }
        Some((scope, token))
    }

    /// The scope of a group, opened as far as it is not open in `from`'s.
    pub(super) fn enter(&mut self, group: u16, from: &Thread, since: u64) -> u32 {
        let levels = self.levels(from.scope);
        let mut path = [NO_GROUP; GROUP_DEPTH_MAX];
        let (mut len, mut next) = (0, group);
        while let Some(group) = self.program.groups.get(usize::from(next)) {
            if group.depth < levels {
                break;
            }
            path[len] = next;
            (len, next) = (len + 1, group.parent);
        }
        path[..len]
            .iter()
            .rev()
            .fold(from.scope, |scope, &group| self.open_scope(scope, group, from, since))
    }

    /// Ways that begin together are in one scope.
    fn open_scope(&mut self, parent: u32, group: u16, from: &Thread, since: u64) -> u32 {
        let (base, token) = (from.link, from.token);
        let known = self.opened.iter().find(|known| {
            (known.parent, known.group, known.since) == (parent, group, since)
                && (known.base, known.token) == (base, token)
        });
        if let Some(known) = known {
            return known.scope;
        }
        let within = self.program.groups[usize::from(group)].within_ns;
        let own = within.map_or(u64::MAX, |within| since.saturating_add(within));
        let deadline = own.min(self.scopes.deadline(parent));
        let scope = Scope::new(parent, group, deadline, from);
        let scope = self.scopes.add(scope, &mut self.arena);
        self.opened.push(Opened { parent, group, base, token, since, scope });
        scope
    }

    /// What was opened is held by its threads now.
    pub(super) fn close_opened(&mut self) {
        while let Some(opened) = self.opened.pop() {
            self.scopes.release(opened.scope, &mut self.arena);
        }
    }

    /// Looks for scopes of EVERY that threads of this step are in.
    pub(super) fn note(&mut self, threads: &[Thread]) {
        if !self.program.repeats {
            return;
        }
        self.is_poisoned = false;
        for thread in threads {
            let mut at = thread.scope;
            while let Some(scope) = self.scopes.all.get_mut(at as usize) {
                let repeats = self.program.groups[usize::from(scope.group)].again.is_some();
                if scope.noted {
                    break;
                }
                if repeats {
                    (scope.noted, scope.times) = (true, 0);
                    scope.refs += 1;
                    self.noted.push(at);
                }
                at = scope.parent;
            }
        }
    }

    /// At the end of a step: what was complete, or has come to nothing, begins again. Inner ones
    /// first, so that what is around them goes on in them.
    pub(super) fn begin_again(&mut self, ts: u64) {
        if self.noted.is_empty() {
            return;
        }
        let mut noted = std::mem::take(&mut self.noted);
        for level in (1..=GROUP_DEPTH_MAX as u8).rev() {
            for at in &mut noted {
                if *at != NONE && self.levels(*at) == level {
                    self.begin_one_again(*at, ts);
                    // What is around it may have come to nothing with it.
                    self.scopes.all[*at as usize].noted = false;
                    self.scopes.release(*at, &mut self.arena);
                    *at = NONE;
                }
            }
        }
        noted.clear();
        self.noted = noted;
    }

    fn begin_one_again(&mut self, at: u32, ts: u64) {
        let scope = self.scopes.all[at as usize];
        let Some(again) = self.program.groups[usize::from(scope.group)].again else { return };
        if scope.times > 0 && again.ends {
            // It was complete: other ways to it are the next time's.
            let mut out = std::mem::take(&mut self.out);
            out.retain(|thread| {
                let stays = !self.scopes.is_in(thread.scope, at);
                if !stays {
                    self.let_go(thread);
                }
                stays
            });
            self.out = out;
        }
        let is_bound = scope.start_ts != u64::MAX;
        let within = self.spec.within_ns.filter(|_| is_bound).unwrap_or(u64::MAX);
        let is_over = scope.start_ts.saturating_add(within) <= ts
            || self.scopes.deadline(scope.parent) <= ts
            || self.is_poisoned && is_bound;
        let has_died = scope.times == 0 && self.scopes.all[at as usize].refs == 1;
        let times =
            if is_over || !again.repeats { 0 } else { scope.times.max(u32::from(has_died)) };
        for _ in 0..times {
            self.close_opened();
            let from = Thread {
                link: scope.base,
                start_ts: scope.start_ts,
                scope: scope.parent,
                token: scope.token,
                unknown: scope.unknown,
                ..Thread::unbound(NONE, ts, self.losses)
            };
            for edge in again.starts.0..again.starts.1 {
                let edge = self.program.edge(edge);
                let gap = if edge.gap == 0 { WAIT_GAP } else { edge.gap };
                if let To::Position(position) = edge.to {
                    self.reach(position, Edge { gap, ..edge }, &from, ts);
                }
            }
        }
        self.close_opened();
    }
}
