//! The engine: rows and time in, matches out.
//!
//! Invariant: before a row is looked at there is room for all that it can add, so nothing fails
//! halfway.

use super::arena::{Arena, NO_VAR, NONE};
use super::keys::Keys;
use super::program::Program;
use super::rows::{Rows, Tested};
use super::runs::{Runs, Thread};
use super::scopes::{Opened, Scopes};
use super::spec::{Host, Mode, Spec, SpecError, Start, VarSet};
use super::timers::Timers;
use crate::memory::Memory;

/// Bounds of [`Spec`] that are too large to be meant.
const COUNT_MAX: usize = 1 << 28;
/// PREV and NEXT reach so far at most.
const NEIGHBOURS_MAX: usize = 1 << 10;

/// What the engine counts.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Rows taken.
    pub rows: u64,
    /// Conditions tested.
    pub tests: u64,
    /// Matches, empty ones too.
    pub matches: u64,
    /// Partial matches that WITHIN ended.
    pub timed_out: u64,
    /// Partial matches dropped because there was no room.
    pub runs_dropped: u64,
    /// Keys dropped because there was no room.
    pub keys_dropped: u64,
    /// Matches after which the search could not skip where it should (the variable has no row, or
    /// its row is the first): it went on at the next row.
    pub skips_failed: u64,
    /// Rows whose key has the wrong length.
    pub rows_refused: u64,
}

impl Counters {
    pub(super) const COUNT: usize = 8;
    const NAMES: [&str; Self::COUNT] = [
        "pattern_rows",
        "pattern_tests",
        "pattern_matches",
        "pattern_timed_out",
        "pattern_runs_dropped",
        "pattern_keys_dropped",
        "pattern_skips_failed",
        "pattern_rows_refused",
    ];

    pub(super) fn values(&self) -> [u64; Self::COUNT] {
        [
            self.rows,
            self.tests,
            self.matches,
            self.timed_out,
            self.runs_dropped,
            self.keys_dropped,
            self.skips_failed,
            self.rows_refused,
        ]
    }

    pub(super) fn from_values(values: [u64; Self::COUNT]) -> Self {
        let [rows, tests, matches, timed_out, runs_dropped, keys_dropped, skips_failed, refused] =
            values;
        Self {
            rows,
            tests,
            matches,
            timed_out,
            runs_dropped,
            keys_dropped,
            skips_failed,
            rows_refused: refused,
        }
    }

    /// Names and values.
    pub fn each(&self, report: &mut dyn FnMut(&'static str, u64)) {
        for (name, value) in Self::NAMES.into_iter().zip(self.values()) {
            report(name, value);
        }
    }
}

/// Finds a pattern in the rows of every key. See the [module](super).
#[derive(Debug)]
pub struct Patterns {
    pub(super) spec: Spec,
    pub(super) program: Program,
    pub(super) arena: Arena,
    pub(super) keys: Keys,
    pub(super) runs: Runs,
    pub(super) timers: Timers,
    pub(super) scopes: Scopes,
    /// Tokens that were given to threads.
    pub(super) tokens: u32,
    /// Rows that wait for `next_rows` more, of each key.
    pub(super) pending: Vec<u32>,
    pub(super) counters: Counters,
    /// How often rows were lost.
    pub(super) losses: u32,
    /// Keys are kept when no attempt is open.
    pub(super) keeps_keys: bool,
    /// Threads of different attempts that meet are one.
    pub(super) merges: bool,
    /// A row that fits nothing changes nothing.
    passive: bool,
    /// An attempt before the one at hand has a match, and may yet have a better one.
    pub(super) parted: bool,
    /// A deadline is what happens, not a row.
    pub(super) by_time: bool,
    /// Calls in which deadlines passed.
    pub(super) calls: u32,
    // Scratch.
    pub(super) work: Vec<Thread>,
    pub(super) out: Vec<Thread>,
    pub(super) path: Vec<u32>,
    /// Links of this step: those made, each with token and scope of its thread, and those that are
    /// reported, which it holds.
    pub(super) made: Vec<(u32, u32, u32)>,
    pub(super) reported: Vec<u32>,
    /// Scopes of this step: those opened, and those of EVERY that threads were in; it holds both.
    pub(super) opened: Vec<Opened>,
    pub(super) noted: Vec<u32>,
    /// What goes along edges: its number, and the token of what leaves an EVERY by it.
    pub(super) event: u64,
    pub(super) event_token: u32,
    /// The row at hand ends what has begun.
    pub(super) is_poisoned: bool,
    /// When a position was last reached, in steps.
    pub(super) seen: Vec<u64>,
    pub(super) step: u64,
}

/// The row at hand.
pub(super) struct Now<'a> {
    pub(super) key: u32,
    pub(super) ts: u64,
    pub(super) seq: u64,
    /// Its words, unless it lies in the arena already.
    pub(super) words: Option<&'a [u64]>,
    /// Its place in the arena, once something needs it there.
    pub(super) row: u32,
    /// The chain of the rows after it.
    pub(super) ahead: u32,
    /// Variables whose condition looks at no bound row: which were tested, and which hold.
    known: VarSet,
    holds: VarSet,
    /// The variables that it can be.
    possible: VarSet,
    /// The last test: variable, last row bound, and what came of it.
    last: (u8, u32, bool),
}

impl<'a> Now<'a> {
    /// Whether it can matter to who wants rows of these variables. Who wants all waits for the next
    /// row, whichever it is.
    #[inline]
    fn can_matter(&self, wants: u64) -> bool {
        let is_any = self.possible == VarSet::ALL || wants == u64::MAX;
        is_any || wants & self.possible.0 != 0
    }

    fn new(key: u32, ts: u64, seq: u64, words: Option<&'a [u64]>, possible: VarSet) -> Self {
        let (known, holds, last) = (VarSet(0), VarSet(0), (NO_VAR, NONE, false));
        Self { key, ts, seq, words, row: NONE, ahead: NONE, known, holds, possible, last }
    }
}

fn in_range(what: &'static str, value: usize, min: usize, max: usize) -> Result<(), SpecError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(SpecError::Bound { what }) }
}

/// Links, beyond those that `rows_max` stands for.
fn links_max(spec: &Spec, fan_max: usize) -> usize {
    2 * spec.rows_max + spec.runs_max + fan_max + neighbours(spec)
}

/// A scope for every thread and level: none is without a thread in it.
fn scopes_max(spec: &Spec, program: &Program) -> usize {
    let levels = program.groups.iter().map(|group| usize::from(group.depth) + 1).max();
    levels.unwrap_or(0) * (spec.runs_total_max + spec.runs_max + program.fan_max)
}

fn neighbours(spec: &Spec) -> usize {
    (spec.keys_max + 2) * (spec.prev_rows + spec.next_rows + 1)
}

impl Patterns {
    /// Takes all the memory that the specification allows.
    ///
    /// # Errors
    /// If it can not, or should not, run.
    pub fn new(spec: Spec) -> Result<Self, SpecError> {
        in_range("keys_max", spec.keys_max, 1, COUNT_MAX)?;
        in_range("runs_max", spec.runs_max, 1, COUNT_MAX)?;
        in_range("runs_total_max", spec.runs_total_max, spec.runs_max, COUNT_MAX)?;
        in_range("rows_max", spec.rows_max, 1, COUNT_MAX)?;
        in_range("prev_rows", spec.prev_rows, 0, NEIGHBOURS_MAX)?;
        in_range("next_rows", spec.next_rows, 0, NEIGHBOURS_MAX)?;
        in_range("key_words", spec.key_words, 0, 1 << 10)?;
        in_range("row_words", spec.row_words, 0, 1 << 10)?;
        if spec.within_ns == Some(0) {
            return Err(SpecError::Bound { what: "within_ns" });
        }
        let program = Program::new(&spec)?;
        let rows_max = spec.rows_max + neighbours(&spec);
        let links_max = links_max(&spec, program.fan_max);
        in_range("memory", Self::bytes(&spec, &program), 0, isize::MAX as usize)?;
        let keeps_keys = spec.numbered
            || program.anchored
            || spec.prev_rows + spec.next_rows > 0
            || spec.start != Start::EveryRow;
        let merges = spec.mode == Mode::Preferred
            && spec.skip == super::Skip::PastLastRow
            && spec.within_ns.is_none()
            && spec.poison.is_empty();
        let passive = spec.start == Start::EveryRow
            && spec.prev_rows + spec.next_rows == 0
            && !spec.show_unmatched
            && !program.starts_unbound
            && !program.anchored
            && program.wanted != VarSet::ALL;
        let places = program.positions.len() * program.gaps.len();
        let scopes_max = scopes_max(&spec, &program);
        let step_scopes = if program.groups.is_empty() { 0 } else { spec.runs_max };
        Ok(Self {
            arena: Arena::new(spec.row_words, rows_max, links_max),
            keys: Keys::new(spec.key_words, spec.keys_max),
            runs: Runs::new(spec.runs_total_max),
            timers: Timers::new(spec.runs_total_max),
            scopes: Scopes::new(scopes_max),
            tokens: 0,
            pending: vec![NONE; spec.keys_max * spec.next_rows],
            counters: Counters::default(),
            losses: 0,
            keeps_keys,
            merges,
            passive,
            parted: false,
            by_time: false,
            calls: 0,
            work: Vec::with_capacity(spec.runs_max),
            out: Vec::with_capacity(spec.runs_max + program.fan_max + 1),
            path: Vec::with_capacity(rows_max),
            made: Vec::with_capacity(spec.runs_max + program.fan_max),
            reported: Vec::with_capacity(spec.runs_max + program.fan_max),
            opened: Vec::with_capacity(step_scopes),
            noted: Vec::with_capacity(step_scopes),
            event: 0,
            event_token: 0,
            is_poisoned: false,
            seen: vec![0; places],
            step: 0,
            spec,
            program,
        })
    }

    fn bytes(spec: &Spec, program: &Program) -> usize {
        let rows_max = spec.rows_max + neighbours(spec);
        Arena::bytes_max(spec.row_words, rows_max, links_max(spec, program.fan_max))
            + Keys::bytes_max(spec.key_words, spec.keys_max)
            + Runs::bytes_max(spec.runs_total_max)
            + Timers::bytes_max(spec.runs_total_max)
            + scopes_max(spec, program) * size_of::<super::scopes::Scope>()
            + spec.keys_max * spec.next_rows * size_of::<u32>()
            + (2 * spec.runs_max + program.fan_max + 1) * size_of::<Thread>()
            + (rows_max + 4 * (spec.runs_max + program.fan_max)) * size_of::<u32>()
            + program.positions.len() * program.gaps.len() * size_of::<u64>()
    }

    /// Bytes of state at most.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        Self::bytes(&self.spec, &self.program)
    }

    /// Whether times count from when something is waited for, and not from a row: absences, and
    /// limits of parts.
    #[must_use]
    pub fn waits_for_times(&self) -> bool {
        self.program.absences || self.program.limits
    }

    /// What it counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Partial matches, rows and keys that are held.
    #[must_use]
    pub fn held(&self) -> (usize, usize, usize) {
        (self.runs.live().1, self.arena.live().1, self.keys.len())
    }

    /// Takes the next row of a key. Rows of a key come in the order of their times; deadlines of
    /// the key up to `ts` come before the row.
    pub fn push(&mut self, key: &[u64], ts: u64, row: &[u64], host: &mut impl Host) {
        self.push_some(key, ts, row, VarSet::ALL, host);
    }

    /// Whether a row that can be these variables alone changes nothing, of whichever key: it need
    /// not be pushed. It is then counted as a row.
    #[inline]
    pub fn passes_over(&mut self, possible: VarSet) -> bool {
        let passes = self.passive && possible.0 & self.program.wanted.0 == 0;
        self.counters.rows += u64::from(passes);
        passes
    }

    /// A row of a key that can be these variables is about to be pushed: asks for memory that it
    /// will need, first and, when that has come, further.
    #[inline]
    pub fn prefetch(&self, key: &[u64], possible: VarSet, further: bool, memory: Memory) {
        let passes = self.passive && possible.0 & self.program.wanted.0 == 0;
        if !passes && key.len() == self.spec.key_words {
            self.keys.prefetch(key, further, memory);
        }
    }

    /// The same as [`Patterns::push`] of a row that can be these variables alone. Deadlines up to
    /// `ts` have passed, by [`Patterns::advance`].
    pub fn push_some(
        &mut self,
        key: &[u64],
        ts: u64,
        row: &[u64],
        possible: VarSet,
        host: &mut impl Host,
    ) {
        self.counters.rows += 1;
        if key.len() != self.spec.key_words {
            self.counters.rows_refused += 1;
            return;
        }
        // What threads of several attempts are one for is looked at as a whole.
        let possible = if self.merges { VarSet::ALL } else { possible };
        let mut now = Now::new(self.keys.find(key), ts, 0, Some(row), possible);
        if now.key == NONE {
            if !self.keeps_keys && !self.may_begin(&mut now, host) {
                return;
            }
            now.key = self.add_key(key, host);
            self.wait(now.key, ts);
        }
        let slot = &mut self.keys.slots[now.key as usize];
        slot.touched = true;
        now.seq = slot.rows;
        if self.spec.next_rows > 0 {
            self.push_late(&now, host);
        } else {
            self.look(&mut now, host);
        }
    }

    /// Whether an attempt of a key that is not known could begin at the row.
    fn may_begin(&mut self, now: &mut Now<'_>, host: &mut impl Host) -> bool {
        let mut vars = self.program.first_vars.0;
        let keeps = self.program.starts_unbound || self.spec.show_unmatched;
        let mut begins = keeps;
        while vars != 0 && !begins {
            begins = self.test(now, vars.trailing_zeros() as u8, NONE, host);
            vars &= vars - 1;
        }
        begins
    }

    /// Adds the row to those that wait, and looks at the one that has waited for it.
    fn push_late(&mut self, now: &Now<'_>, host: &mut impl Host) {
        let next_rows = self.spec.next_rows;
        self.make_room(now.key, host);
        let slot = &mut self.keys.slots[now.key as usize];
        let waiting = slot.pending as usize;
        let seq = slot.rows + waiting as u64;
        let row = self.arena.add_row(now.ts, seq, now.words.unwrap_or(&[]));
        let from = now.key as usize * next_rows;
        if waiting < next_rows {
            self.pending[from + waiting] = row;
            slot.pending += 1;
            return;
        }
        let late = self.pending[from];
        self.pending.copy_within(from + 1..from + next_rows, from);
        self.pending[from + next_rows - 1] = row;
        self.look_late(now.key, late, host);
    }

    /// Looks at a row that lies in the arena.
    pub(super) fn look_late(&mut self, key: u32, row: u32, host: &mut impl Host) {
        let from = key as usize * self.spec.next_rows;
        let slot = &self.keys.slots[key as usize];
        let mut ahead = NONE;
        for at in (from..from + slot.pending as usize).rev() {
            let next = self.arena.add_link(ahead, self.pending[at], NO_VAR, false);
            self.arena.release(ahead);
            ahead = next;
        }
        let ts = self.arena.rows[row as usize].ts;
        let now = Now::new(key, ts, slot.rows, None, VarSet::ALL);
        let mut now = Now { row, ahead, ..now };
        self.look(&mut now, host);
        self.arena.release(ahead);
    }

    /// Looks at a row: every attempt of its key takes it or not, and one may begin.
    fn look(&mut self, now: &mut Now<'_>, host: &mut impl Host) {
        let key = now.key as usize;
        self.make_room(now.key, host);
        self.step += 1;
        let looks = now.can_matter(self.keys.slots[key].wants);
        let mut at = if looks { self.keys.slots[key].first } else { NONE };
        while at != NONE && self.runs.attempts[at as usize].seq <= now.seq {
            let attempt = self.runs.attempts[at as usize];
            if !now.can_matter(attempt.wants) {
                at = attempt.next;
                continue;
            }
            if attempt.timer <= now.ts {
                self.fire(at, now.ts, host);
            }
            if self.runs.attempts[at as usize].number == attempt.number {
                self.step_attempt(at, now, host);
            }
            self.settle(at, now.key, now.ts, host);
            at = self.after(now.key, at, attempt.number);
        }
        let slot = &self.keys.slots[key];
        let begins = self.program.starts_unbound
            || self.spec.show_unmatched
            || self.program.first_vars.0 & now.possible.0 != 0;
        if begins && self.spec.start == Start::EveryRow && now.seq >= slot.resume {
            let begun = self.begin(now, host);
            self.settle(begun, now.key, now.ts, host);
        }
        self.new_step();
        self.parted = false;
        self.remember(now);
        let slot = &mut self.keys.slots[key];
        slot.rows += 1;
        if now.row != NONE {
            self.arena.release_row(now.row);
        }
        self.wait(now.key, now.ts);
        self.drop_idle(now.key);
    }

    /// The attempt of a key that began after one that may be gone.
    pub(super) fn after(&self, key: u32, at: u32, number: u64) -> u32 {
        let attempts = &self.runs.attempts;
        if attempts[at as usize].number == number {
            return attempts[at as usize].next;
        }
        let mut next = self.keys.slots[key as usize].first;
        while next != NONE && attempts[next as usize].number < number {
            next = attempts[next as usize].next;
        }
        next
    }

    /// Keeps the row for PREV.
    fn remember(&mut self, now: &mut Now<'_>) {
        if self.spec.prev_rows == 0 {
            return;
        }
        let row = self.stored(now);
        let old = self.keys.slots[now.key as usize].recent;
        let mut path = std::mem::take(&mut self.path);
        path.clear();
        let mut at = old;
        while path.len() + 1 < self.spec.prev_rows && at != NONE {
            let link = self.arena.links[at as usize];
            path.push(link.row);
            at = link.parent;
        }
        let mut tip = NONE;
        for row in path.drain(..).rev().chain([row]) {
            let next = self.arena.add_link(tip, row, NO_VAR, false);
            self.arena.release(tip);
            tip = next;
        }
        self.path = path;
        self.arena.release(old);
        self.keys.slots[now.key as usize].recent = tip;
    }

    /// The row's place in the arena.
    pub(super) fn stored(&mut self, now: &mut Now<'_>) -> u32 {
        if now.row == NONE {
            now.row = self.arena.add_row(now.ts, now.seq, now.words.unwrap_or(&[]));
        }
        now.row
    }

    /// Whether the row fits a variable, given what is bound.
    #[inline]
    pub(super) fn test(
        &mut self,
        now: &mut Now<'_>,
        var: u8,
        link: u32,
        host: &mut impl Host,
    ) -> bool {
        if now.known.has(var) {
            return now.holds.has(var);
        }
        if !now.possible.has(var) {
            return false;
        }
        if (now.last.0, now.last.1) == (var, link) {
            return now.last.2;
        }
        self.counters.tests += 1;
        let words = now.words.unwrap_or_else(|| self.arena.words(now.row));
        let tested = Some(Tested { var, ts: now.ts, seq: now.seq, words });
        let rows = Rows { arena: &self.arena, tip: link, end: link, tested, ahead: now.ahead };
        let holds = host.matches(var, &rows);
        now.last = (var, link, holds);
        if self.spec.independent.has(var) {
            now.known = now.known.or(VarSet::of(var));
            now.holds.0 |= u64::from(holds) << var;
        }
        holds
    }

    pub(super) fn fits_any(
        &mut self,
        now: &mut Now<'_>,
        vars: VarSet,
        link: u32,
        host: &mut impl Host,
    ) -> bool {
        let mut vars = vars.0;
        while vars != 0 {
            if self.test(now, vars.trailing_zeros() as u8, link, host) {
                return true;
            }
            vars &= vars - 1;
        }
        false
    }
}
