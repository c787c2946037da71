//! Saving and restoring all that is open.
//!
//! ```text
//! version | spec | counters | losses | next number
//! rows    | count | ts, seq, words ...
//! links   | count | parent, row, var, excluded, told ...      parents first
//! scopes  | tokens | count | parent, group, deadline, base ...  those around others first
//! keys    | slots, hand | used, words, flags, numbers, pending rows ... | free slots
//! attempts| count | number, seq, key, row, found ... | threads ...      in order of number
//! ```
//!
//! Rows and links are numbered from 1 in this order; 0 is none.
//!
//! Invariant: a restored engine goes on as the saved one would have; bytes that are no state of
//! this very specification leave it as it was.

use super::arena::{Arena, NO_VAR, NONE};
use super::engine::{Counters, Patterns};
use super::keys::{Key, NEW};
use super::program::NO_GROUP;
use super::runs::{Attempt, Thread};
use super::scopes::{Scope, Scopes};
use crate::state::StateReader;
use crate::strategy::StateError;

/// Changes when the saved state does.
const STATE_VERSION: u32 = 0x5041_5403;
/// Numbers that grow by one; nothing lives long enough to come here.
const NUMBER_MAX: u64 = 1 << 62;

fn put(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// A number that may be counted on from.
fn number(state: &mut StateReader<'_>) -> Result<u64, StateError> {
    let value = state.u64()?;
    if value < NUMBER_MAX { Ok(value) } else { Err(state.damaged()) }
}

fn flag(state: &mut StateReader<'_>) -> Result<bool, StateError> {
    match state.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(state.damaged()),
    }
}

/// A place below `count`, saved from 1; [`NONE`] was saved as 0.
fn place(state: &mut StateReader<'_>, count: usize) -> Result<u32, StateError> {
    let value = state.u32()?;
    if value as usize > count {
        return Err(state.damaged());
    }
    Ok(value.checked_sub(1).unwrap_or(NONE))
}

fn count(state: &mut StateReader<'_>, max: usize) -> Result<usize, StateError> {
    let value = state.u32()? as usize;
    if value > max { Err(state.damaged()) } else { Ok(value) }
}

/// Where rows and links of the arena come to lie in a saved state.
struct Numbers {
    rows: Vec<u32>,
    links: Vec<u32>,
    scopes: Vec<u32>,
}

/// How many of each there are.
#[derive(Copy, Clone)]
struct Counts {
    rows: usize,
    links: usize,
    scopes: usize,
}

impl Numbers {
    fn row(&self, at: u32) -> u32 {
        self.rows.get(at as usize).copied().unwrap_or(0)
    }

    fn scope(&self, at: u32) -> u32 {
        self.scopes.get(at as usize).copied().unwrap_or(0)
    }

    fn link(&self, at: u32) -> u32 {
        self.links.get(at as usize).copied().unwrap_or(0)
    }
}

/// Numbers rows, links and scopes as they are come to, a link behind those before it in its chain,
/// a scope behind those around it.
struct Order<'a> {
    arena: &'a Arena,
    scopes: &'a Scopes,
    rows: Vec<u32>,
    links: Vec<u32>,
    /// Scopes.
    inner: Vec<u32>,
    numbers: Numbers,
}

impl<'a> Order<'a> {
    fn new(arena: &'a Arena, scopes: &'a Scopes) -> Self {
        let numbers = Numbers {
            rows: vec![0; arena.rows.len()],
            links: vec![0; arena.links.len()],
            scopes: vec![0; scopes.all.len()],
        };
        let (rows, links, inner) = (Vec::new(), Vec::new(), Vec::new());
        Self { arena, scopes, rows, links, inner, numbers }
    }

    fn row(&mut self, at: u32) {
        if let Some(number) = self.numbers.rows.get_mut(at as usize)
            && *number == 0
        {
            self.rows.push(at);
            *number = self.rows.len() as u32;
        }
    }

    fn scope(&mut self, at: u32) {
        let (mut path, mut next) = (Vec::new(), at);
        while self.numbers.scopes.get(next as usize) == Some(&0) {
            path.push(next);
            next = self.scopes.all[next as usize].parent;
        }
        for scope in path.into_iter().rev() {
            self.link(self.scopes.all[scope as usize].base);
            self.inner.push(scope);
            self.numbers.scopes[scope as usize] = self.inner.len() as u32;
        }
    }

    fn link(&mut self, at: u32) {
        let (mut chain, mut link) = (Vec::new(), at);
        while self.numbers.links.get(link as usize) == Some(&0) {
            chain.push(link);
            link = self.arena.links[link as usize].parent;
        }
        for link in chain.into_iter().rev() {
            self.row(self.arena.links[link as usize].row);
            self.links.push(link);
            self.numbers.links[link as usize] = self.links.len() as u32;
        }
    }
}

impl Patterns {
    /// What makes two states exchangeable: FNV-1a of the specification.
    fn fingerprint(&self) -> u64 {
        let spec = format!("{:?}", self.spec);
        let step =
            |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        spec.as_bytes().iter().fold(0xCBF2_9CE4_8422_2325, step)
    }

    /// Appends its state to `out`.
    pub fn save(&self, out: &mut Vec<u8>) {
        put_u32(out, STATE_VERSION);
        put(out, self.fingerprint());
        for value in self.counters.values() {
            put(out, value);
        }
        put_u32(out, self.losses);
        put(out, self.runs.next_number);
        let numbers = self.save_arena(out);
        self.save_keys(&numbers, out);
        self.save_attempts(&numbers, out);
    }

    /// Rows and links in the order in which keys and attempts come to them, so that equal states
    /// have equal bytes wherever they lie in memory.
    fn save_arena(&self, out: &mut Vec<u8>) -> Numbers {
        let arena = &self.arena;
        let mut order = Order::new(arena, &self.scopes);
        for (slot, key) in self.keys.slots.iter().enumerate().filter(|(_, key)| key.used) {
            order.link(key.recent);
            let from = slot * self.spec.next_rows;
            let pending = &self.pending[from..from + key.pending as usize];
            pending.iter().for_each(|&row| order.row(row));
        }
        for attempt in self.attempts() {
            order.row(attempt.row);
            order.link(attempt.found);
            order.link(attempt.found_ahead);
            let mut at = attempt.threads;
            while let Some(thread) = self.runs.threads.get(at as usize) {
                order.link(thread.link);
                order.scope(thread.scope);
                at = thread.next;
            }
        }
        let Order { rows, links, inner, numbers, .. } = order;
        put_u32(out, rows.len() as u32);
        for at in rows {
            put(out, arena.rows[at as usize].ts);
            put(out, arena.rows[at as usize].seq);
            arena.words(at).iter().for_each(|&word| put(out, word));
        }
        put_u32(out, links.len() as u32);
        for at in links {
            let link = &arena.links[at as usize];
            put_u32(out, numbers.link(link.parent));
            put_u32(out, numbers.row(link.row));
            out.push(link.var);
            out.push(u8::from(link.excluded));
            put_u32(out, link.told);
        }
        put_u32(out, self.tokens);
        put_u32(out, inner.len() as u32);
        for at in inner {
            let scope = &self.scopes.all[at as usize];
            put_u32(out, numbers.scope(scope.parent));
            out.extend_from_slice(&scope.group.to_le_bytes());
            put(out, scope.deadline);
            put_u32(out, numbers.link(scope.base));
            put(out, scope.start_ts);
            put_u32(out, scope.token);
            out.push(u8::from(scope.unknown));
        }
        numbers
    }

    /// Those that are open, in order of number.
    fn attempts(&self) -> Vec<&Attempt> {
        let open = self.runs.attempts.iter().filter(|attempt| attempt.number != 0);
        let mut open: Vec<&Attempt> = open.collect();
        open.sort_by_key(|attempt| attempt.number);
        open
    }

    fn save_keys(&self, numbers: &Numbers, out: &mut Vec<u8>) {
        put_u32(out, self.keys.slots.len() as u32);
        put_u32(out, self.keys.hand);
        for (slot, key) in (0_u32..).zip(&self.keys.slots) {
            out.push(u8::from(key.used));
            if !key.used {
                continue;
            }
            self.keys.words(slot).iter().for_each(|&word| put(out, word));
            out.push(u8::from(key.touched));
            out.push(u8::from(key.done));
            put_u32(out, numbers.link(key.recent));
            for value in [key.rows, key.resume, key.covered, key.matches] {
                put(out, value);
            }
            put_u32(out, key.pending);
            let from = slot as usize * self.spec.next_rows;
            for &row in &self.pending[from..from + key.pending as usize] {
                put_u32(out, numbers.row(row));
            }
        }
        let free = self.keys.free();
        put_u32(out, free.len() as u32);
        free.iter().for_each(|&slot| put_u32(out, slot));
    }

    fn save_attempts(&self, numbers: &Numbers, out: &mut Vec<u8>) {
        let attempts = self.attempts();
        put_u32(out, attempts.len() as u32);
        for attempt in attempts {
            put(out, attempt.number);
            put(out, attempt.seq);
            put_u32(out, attempt.key);
            put_u32(out, numbers.row(attempt.row));
            out.push(u8::from(attempt.is_found));
            out.push(u8::from(attempt.unknown));
            put_u32(out, numbers.link(attempt.found));
            put_u32(out, numbers.link(attempt.found_ahead));
            put_u32(out, attempt.runs);
            let mut at = attempt.threads;
            while let Some(thread) = self.runs.threads.get(at as usize) {
                put_u32(out, numbers.link(thread.link));
                put(out, thread.start_ts);
                put(out, thread.since);
                put_u32(out, thread.losses);
                put_u32(out, numbers.scope(thread.scope));
                put_u32(out, thread.token);
                out.extend_from_slice(&thread.position.to_le_bytes());
                out.extend_from_slice(&thread.gap.to_le_bytes());
                out.push(u8::from(thread.fresh));
                out.push(u8::from(thread.unknown));
                at = thread.next;
            }
        }
    }

    /// Takes over a state that [`Patterns::save`] of the same specification wrote.
    ///
    /// # Errors
    /// If the bytes are no such state; it is then as it was before.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut state = StateReader::new(bytes);
        if state.u32()? != STATE_VERSION || state.u64()? != self.fingerprint() {
            return Err(StateError::Version);
        }
        let mut restored = Self::new(self.spec.clone()).map_err(|_| StateError::Version)?;
        let mut values = [0; Counters::COUNT];
        for value in &mut values {
            *value = number(&mut state)?;
        }
        restored.counters = Counters::from_values(values);
        restored.losses = state.u32()?;
        restored.runs.next_number = number(&mut state)?.max(1);
        let (rows, links) = restored.restore_arena(&mut state)?;
        let scopes = restored.restore_scopes(&mut state, links)?;
        let counts = Counts { rows, links, scopes };
        restored.restore_keys(&mut state, rows, links)?;
        restored.restore_attempts(&mut state, counts)?;
        state.finish()?;
        // Whoever refers to them holds them now.
        let Self { scopes: all, arena, .. } = &mut restored;
        (0..scopes as u32).for_each(|scope| all.release(scope, arena));
        (0..links as u32).for_each(|link| restored.arena.release(link));
        (0..rows as u32).for_each(|row| restored.arena.release_row(row));
        *self = restored;
        Ok(())
    }

    fn restore_arena(&mut self, state: &mut StateReader<'_>) -> Result<(usize, usize), StateError> {
        let rows = count(state, self.arena.bounds().0)?;
        let mut words = vec![0; self.spec.row_words];
        for _ in 0..rows {
            let (ts, seq) = (state.u64()?, number(state)?);
            for word in &mut words {
                *word = state.u64()?;
            }
            self.arena.add_row(ts, seq, &words);
        }
        let links = count(state, self.arena.bounds().1)?;
        for link in 0..links {
            let parent = place(state, link)?;
            let row = place(state, rows)?;
            let (var, excluded, told) = (state.u8()?, flag(state)?, state.u32()?);
            let known = var == NO_VAR || usize::from(var) < self.spec.vars;
            if row == NONE || !known {
                return Err(state.damaged());
            }
            let at = self.arena.add_link(parent, row, var, excluded);
            self.arena.links[at as usize].told = told;
        }
        Ok((rows, links))
    }

    fn restore_scopes(
        &mut self,
        state: &mut StateReader<'_>,
        links: usize,
    ) -> Result<usize, StateError> {
        self.tokens = state.u32()?;
        let scopes = count(state, self.scopes.all.capacity())?;
        for scope in 0..scopes {
            let parent = place(state, scope)?;
            let group = state.u16()?;
            let around = self.program.groups.get(usize::from(group)).map(|group| group.parent);
            let its = self.scopes.all.get(parent as usize).map_or(NO_GROUP, |scope| scope.group);
            if around != Some(its) {
                return Err(state.damaged());
            }
            let deadline = state.u64()?;
            let link = place(state, links)?;
            let (start_ts, token) = (state.u64()?, state.u32()?);
            let unknown = flag(state)?;
            let from = Thread { start_ts, token, unknown, ..Thread::unbound(link, 0, 0) };
            self.scopes.add(Scope::new(parent, group, deadline, &from), &mut self.arena);
        }
        Ok(scopes)
    }

    fn restore_keys(
        &mut self,
        state: &mut StateReader<'_>,
        rows: usize,
        links: usize,
    ) -> Result<(), StateError> {
        let slots = count(state, self.spec.keys_max)?;
        let hand = state.u32()?;
        if hand as usize >= slots.max(1) {
            return Err(state.damaged());
        }
        let mut words = vec![0; self.spec.key_words];
        for slot in 0..slots {
            let mut key: Key = NEW;
            key.used = flag(state)?;
            if key.used {
                for word in &mut words {
                    *word = state.u64()?;
                }
                (key.touched, key.done) = (flag(state)?, flag(state)?);
                key.recent = place(state, links)?;
                self.arena.hold(key.recent);
                (key.rows, key.resume) = (number(state)?, number(state)?);
                (key.covered, key.matches) = (number(state)?, number(state)?);
                key.pending = count(state, self.spec.next_rows)? as u32;
                for at in 0..key.pending as usize {
                    let row = place(state, rows)?;
                    if row == NONE {
                        return Err(state.damaged());
                    }
                    self.arena.hold_row(row);
                    self.pending[slot * self.spec.next_rows + at] = row;
                }
                if self.keys.find(&words) != NONE {
                    return Err(state.damaged());
                }
            }
            self.keys.restore(&words, key);
        }
        self.keys.hand = hand;
        let free = count(state, slots)?;
        let free: Vec<u32> = (0..free).map(|_| state.u32()).collect::<Result<_, _>>()?;
        if self.keys.set_free(&free) { Ok(()) } else { Err(state.damaged()) }
    }

    fn restore_attempts(
        &mut self,
        state: &mut StateReader<'_>,
        counts: Counts,
    ) -> Result<(), StateError> {
        let Counts { rows, links, .. } = counts;
        let next_number = self.runs.next_number;
        let mut least = 1;
        for _ in 0..count(state, self.spec.runs_total_max)? {
            let own = number(state)?;
            let seq = number(state)?;
            let slot = state.u32()?;
            let key = self.keys.slots.get_mut(slot as usize).filter(|key| key.used);
            let (Some(key), true) = (key, (least..next_number).contains(&own)) else {
                return Err(state.damaged());
            };
            if self.runs.attempts.get(key.last as usize).is_some_and(|last| last.seq > seq) {
                return Err(state.damaged());
            }
            least = own + 1;
            self.runs.next_number = own;
            let at = self.runs.add(slot, key, seq);
            let row = place(state, rows)?;
            if row != NONE {
                self.arena.hold_row(row);
            }
            let (is_found, unknown) = (flag(state)?, flag(state)?);
            let (found, found_ahead) = (place(state, links)?, place(state, links)?);
            self.arena.hold(found);
            self.arena.hold(found_ahead);
            let attempt = &mut self.runs.attempts[at as usize];
            (attempt.row, attempt.is_found, attempt.unknown) = (row, is_found, unknown);
            (attempt.found, attempt.found_ahead) = (found, found_ahead);
            self.restore_threads(at, state, counts)?;
        }
        self.runs.next_number = next_number;
        Ok(())
    }

    fn restore_threads(
        &mut self,
        at: u32,
        state: &mut StateReader<'_>,
        counts: Counts,
    ) -> Result<(), StateError> {
        let mut threads = Vec::new();
        for _ in 0..count(state, self.spec.runs_max)? {
            let link = place(state, counts.links)?;
            let (start_ts, since, losses) = (state.u64()?, state.u64()?, state.u32()?);
            let (scope, token) = (place(state, counts.scopes)?, state.u32()?);
            let (position, gap) = (state.u16()?, state.u16()?);
            let (fresh, unknown) = (flag(state)?, flag(state)?);
            let own = self.program.positions.get(usize::from(position));
            let its = self.scopes.all.get(scope as usize).map_or(NO_GROUP, |scope| scope.group);
            let known = own.is_some_and(|own| own.group == its)
                && usize::from(gap) < self.program.gaps.len();
            if !known {
                return Err(state.damaged());
            }
            self.arena.hold(link);
            self.scopes.hold(scope);
            let next = NONE;
            threads.push(Thread {
                next,
                link,
                start_ts,
                since,
                losses,
                scope,
                token,
                position,
                gap,
                fresh,
                unknown,
            });
        }
        if !self.runs.has_room(0, threads.len()) {
            return Err(state.damaged());
        }
        self.give(at, &threads);
        Ok(())
    }
}
