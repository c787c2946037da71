//! Runs a [`Spec`]: keys, rows and sums together, one update per record.
//!
//! Invariant: a key of a bounded frame has at least one row whenever no update is under way, and
//! its sums are those of the rows of its newest row's frame.

use super::accumulate::{Pools, Since, apply, average};
use super::distinct::Distinct;
use super::evaluate::View;
use super::extremes::{enter, leave};
use super::keys::{Full, Head, Keys, hash};
use super::plan::{Kind, Plan};
use super::rows::{NONE, Rows};
use super::sketch::Sketch;
use super::spec::{ARGS_MAX, Frame, Spec, SpecError};
use crate::memory::Memory;
use crate::rules::types::Value;

/// Keys that are compared when one must give way.
const SAMPLE: usize = 8;
/// Entries that one call of [`Windows::expire`] looks at.
const EXPIRE_MAX: usize = 16;
/// Rows that are taken out of one expired key at a time.
const EXPIRE_ROWS_MAX: usize = 64;

/// What happened, beside results.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Counts {
    /// Rows behind the newest of their key.
    pub(super) late: u64,
    /// Those of them that were behind by more than the lateness.
    pub(super) too_late: u64,
    pub(super) rows_displaced: u64,
    pub(super) keys_displaced: u64,
    pub(super) keys_expired: u64,
    pub(super) overflows: u64,
    pub(super) misuses: u64,
}

/// The rows of each key that a frame looks back on, and aggregates over them.
pub struct Windows {
    pub(super) spec: Spec,
    pub(super) plan: Plan,
    pub(super) keys: Keys,
    pub(super) rows: Rows,
    pub(super) pools: Pools,
    /// Rows that are kept.
    pub(super) rows_used: usize,
    /// No row older than this less the lateness is to come.
    pub(super) horizon: u64,
    /// Counts updates, in odd numbers.
    pub(super) clock: u32,
    /// The entry that is looked at next for being expired.
    pub(super) sweep_at: usize,
    /// The key in use that is looked at next for giving way.
    pub(super) sample_at: usize,
    pub(super) counts: Counts,
    /// Extremes of a late row's frame.
    pub(super) found: Vec<Option<u64>>,
}

/// The arguments of a row as they are stored.
#[derive(Copy, Clone)]
pub(super) struct Args {
    words: [u64; ARGS_MAX],
    pub(super) known: u64,
}

impl Args {
    #[inline]
    fn of(args: &[Value]) -> Self {
        let mut words = [0; ARGS_MAX];
        let mut known = 0;
        for (i, (word, value)) in words.iter_mut().zip(args).enumerate() {
            *word = value.bits;
            known |= u64::from(value.known) << i;
        }
        Self { words, known }
    }
}

/// One row on its way in.
#[derive(Copy, Clone)]
pub(super) struct Incoming<'a> {
    pub(super) key: &'a [u64],
    pub(super) hash: u64,
    pub(super) ts: u64,
    pub(super) values: &'a [Value],
    pub(super) args: Args,
}

impl Incoming<'_> {
    #[inline]
    pub(super) fn words(&self) -> &[u64] {
        &self.args.words[..self.values.len()]
    }
}

impl Windows {
    /// Takes all the memory that the windows will ever need.
    ///
    /// # Errors
    /// If an aggregate does not fit its arguments, or there is no memory.
    pub fn new(spec: Spec) -> Result<Self, SpecError> {
        spec.check()?;
        let plan = Plan::new(&spec);
        let keys = Keys::new(spec.keys_max, spec.key_words, plan.words)?;
        let rows_max = if plan.bounded || plan.tables > 0 { spec.rows_max } else { 0 };
        let links = plan.extremes.len();
        let rows = Rows::new(rows_max, spec.keys_max, spec.args.len(), links)?;
        let tables = (0..plan.tables).map(|_| Distinct::new(spec.rows_max, spec.keys_max));
        let sketches = (0..plan.sketches).map(|_| Sketch::new(spec.rows_max));
        let pools = Pools {
            tables: tables.collect::<Result<_, _>>()?,
            sketches: sketches.collect::<Result<_, _>>()?,
        };
        let found = vec![None; links];
        Ok(Self {
            spec,
            plan,
            keys,
            rows,
            pools,
            rows_used: 0,
            horizon: 0,
            clock: 1,
            sweep_at: 0,
            sample_at: 0,
            counts: Counts::default(),
            found,
        })
    }

    /// Takes a row of a key and writes the aggregates as that row sees them, in the order of the
    /// spec. Slices of other lengths than the spec's give NULL and are counted.
    #[inline]
    pub fn update(&mut self, key: &[u64], ts: u64, args: &[Value], out: &mut [Value]) {
        let fits = key.len() == self.spec.key_words
            && args.len() == self.spec.args.len()
            && out.len() == self.plan.readings.len();
        if !fits {
            self.counts.misuses += 1;
            return out.fill(Value::NULL);
        }
        self.clock = self.clock.wrapping_add(2);
        let row = Incoming { key, hash: hash(key), ts, values: args, args: Args::of(args) };
        match self.spec.frame {
            Frame::Range(ns) => {
                self.sweep(1);
                self.update_range(&row, ns, out);
            }
            Frame::Rows(before) => self.update_rows(&row, before, out),
            Frame::Unbounded => self.update_unbounded(&row, out),
        }
    }

    fn update_range(&mut self, row: &Incoming<'_>, ns: u64, out: &mut [Value]) {
        let entry = match self.keys.find(row.hash, row.key) {
            Some(entry) => entry,
            None if row.ts < self.floor(0) => return self.too_late(out),
            None => self.insert(row),
        };
        let mut head = self.keys.head(entry);
        head.used = self.clock;
        let floor = self.floor(head.newest);
        if head.first != NONE && head.newest < floor {
            self.drop_rows(entry, &mut head, usize::MAX);
            self.keys.state_mut(entry).fill(0);
        }
        if head.first != NONE && row.ts < head.newest {
            self.keys.set_head(entry, head);
            return self.update_late(row, ns, entry, out);
        }
        if row.ts < self.floor(0) {
            // The rows that kept the key have just gone.
            self.keys.remove(entry);
            return self.too_late(out);
        }
        let since =
            if head.first == NONE { Since::default() } else { Since::of(head.newest, row.ts) };
        head.newest = row.ts;
        self.trim(entry, &mut head);
        self.advance(entry, &mut head, row.ts.saturating_sub(ns));
        if head.first == NONE {
            for moving in &self.plan.moving {
                self.keys.state_mut(entry)[moving.at..moving.at + 2].fill(0);
            }
        }
        self.arrive(entry, head, row, since, out);
    }

    fn update_rows(&mut self, row: &Incoming<'_>, before: u64, out: &mut [Value]) {
        let found = self.keys.find(row.hash, row.key);
        let entry = found.unwrap_or_else(|| self.insert(row));
        let mut head = self.keys.head(entry);
        head.used = self.clock;
        let since =
            if head.first == NONE { Since::default() } else { Since::of(head.newest, row.ts) };
        head.newest = row.ts.max(head.newest);
        while u64::from(head.frame_rows) > before {
            self.drop_first(entry, &mut head);
        }
        self.arrive(entry, head, row, since, out);
    }

    /// Takes a row in after all others of its key.
    #[inline]
    pub(super) fn arrive(
        &mut self,
        entry: usize,
        head: Head,
        row: &Incoming<'_>,
        since: Since,
        out: &mut [Value],
    ) {
        let (entry, mut head) = self.make_room(entry, head, row);
        let place = self.rows.push(head.last);
        if place == NONE {
            return self.no_room(entry, head, out);
        }
        self.rows_used += 1;
        self.rows.write(place, row.ts, row.words(), row.args.known);
        head.last = place;
        if head.first == NONE {
            head.first = place;
        }
        if head.frame == NONE {
            head.frame = place;
        }
        head.frame_rows += 1;
        self.keys.set_head(entry, head);
        let state = self.keys.state_mut(entry);
        apply::<false>(&self.plan.sums, state, &mut self.pools, row.words(), row.args.known);
        enter(&self.plan.extremes, &mut self.rows, state, place, false);
        average(&self.plan.moving, state, row.values, since);
        let view = View {
            plan: &self.plan,
            state,
            rows: &self.rows,
            sketches: &self.pools.sketches,
            count: head.frame_rows.into(),
            first: head.frame,
            current: place,
            args: row.values,
            found: None,
        };
        self.counts.overflows += view.read(out);
    }

    /// The rows' memory is for as many as may be kept, so this does not happen.
    #[cold]
    pub(super) fn no_room(&mut self, entry: usize, head: Head, out: &mut [Value]) {
        self.counts.misuses += 1;
        self.keys.set_head(entry, head);
        out.fill(Value::NULL);
    }

    /// The oldest time that a key with this newest row keeps.
    #[inline]
    pub(super) fn floor(&self, newest: u64) -> u64 {
        let Frame::Range(ns) = self.spec.frame else { return 0 };
        let newest = newest.max(self.horizon);
        newest.saturating_sub(ns).saturating_sub(self.spec.lateness)
    }

    #[cold]
    pub(super) fn too_late(&mut self, out: &mut [Value]) {
        self.counts.late += 1;
        self.counts.too_late += 1;
        let zero = |function| {
            use super::spec::Function as F;
            matches!(function, F::Count | F::CountDistinct | F::ApproxCountDistinct)
        };
        for (reading, out) in self.plan.readings.iter().zip(out) {
            *out = if zero(reading.function) { Value::int(0) } else { Value::NULL };
        }
    }

    /// Drops the rows that no row which may still come can see.
    #[inline]
    pub(super) fn trim(&mut self, entry: usize, head: &mut Head) {
        let floor = self.floor(head.newest);
        while head.first != NONE && self.rows.ts(head.first) < floor {
            self.drop_first(entry, head);
        }
    }

    /// Takes rows before `low` out of the frame.
    #[inline]
    fn advance(&mut self, entry: usize, head: &mut Head, low: u64) {
        while head.frame != NONE && self.rows.ts(head.frame) < low {
            self.leave_frame(entry, head);
        }
    }

    /// The first row of the frame leaves it.
    #[inline]
    fn leave_frame(&mut self, entry: usize, head: &mut Head) {
        let row = head.frame;
        let state = self.keys.state_mut(entry);
        leave(&self.plan.extremes, &self.rows, state, row);
        let (args, known) = self.rows.args(row);
        apply::<true>(&self.plan.sums, state, &mut self.pools, args, known);
        head.frame = if row == head.last { NONE } else { self.rows.next(row) };
        head.frame_rows -= 1;
    }

    /// Drops the first row of a key.
    #[inline]
    pub(super) fn drop_first(&mut self, entry: usize, head: &mut Head) {
        if !self.plan.bounded {
            return self.drop_value(entry, head);
        }
        if head.first == head.frame {
            self.leave_frame(entry, head);
        }
        head.first = self.rows.pop(head.first, head.last);
        if head.first == NONE {
            head.last = NONE;
        }
        self.rows_used -= 1;
    }

    /// Drops up to `max` rows of a key, oldest first; of an unbounded frame what rows there are.
    pub(super) fn drop_rows(&mut self, entry: usize, head: &mut Head, max: usize) {
        if max == usize::MAX && !self.plan.leaves_traces() {
            let mut row = head.first;
            while row != NONE {
                self.rows_used -= 1;
                row = if row == head.last { NONE } else { self.rows.next(row) };
            }
            self.rows.pop_all(head.first, head.last);
            (head.first, head.last, head.frame, head.frame_rows) = (NONE, NONE, NONE, 0);
        }
        for _ in 0..max {
            if head.first == NONE {
                break;
            }
            self.drop_first(entry, head);
        }
    }

    /// Forgets a key.
    pub(super) fn remove(&mut self, entry: usize) {
        let mut head = self.keys.head(entry);
        self.drop_rows(entry, &mut head, usize::MAX);
        if !self.plan.bounded {
            for sum in &self.plan.sums {
                if let Kind::Buckets(sketch) = sum.kind {
                    self.pools.sketches[sketch].clear(self.keys.state(entry)[sum.at] as u32);
                }
            }
        }
        self.keys.set_head(entry, head);
        self.keys.remove(entry);
    }

    /// An entry for a new key.
    #[cold]
    pub(super) fn insert(&mut self, row: &Incoming<'_>) -> usize {
        loop {
            let victim = match self.keys.insert(row.hash, row.key, self.clock) {
                Ok(entry) => return entry,
                Err(Full::Keys) => self.idlest(),
                Err(Full::Crowded(entry)) => entry,
            };
            self.remove(victim);
            self.counts.keys_displaced += 1;
        }
    }

    /// The least recently used of the next few keys.
    pub(super) fn idlest(&mut self) -> usize {
        let live = self.keys.live();
        let count = live.len();
        let sample = (0..SAMPLE.min(count)).map(|i| live[(self.sample_at + i) % count] as usize);
        let idle = |entry: usize| self.clock.wrapping_sub(self.keys.head(entry).used);
        let idlest = sample.max_by_key(|&entry| idle(entry)).unwrap_or(0);
        self.sample_at = (self.sample_at + SAMPLE) % count.max(1);
        idlest
    }

    /// Sees to it that there is room for a row. Entries may move, so it gives back where this one
    /// is.
    #[inline]
    pub(super) fn make_room(
        &mut self,
        entry: usize,
        head: Head,
        row: &Incoming<'_>,
    ) -> (usize, Head) {
        if self.rows_used < self.spec.rows_max {
            return (entry, head);
        }
        self.displace_row(entry, head, row)
    }

    /// The oldest of the first rows of the next few keys gives way.
    #[cold]
    fn displace_row(&mut self, entry: usize, head: Head, row: &Incoming<'_>) -> (usize, Head) {
        self.keys.set_head(entry, head);
        let count = self.keys.live().len();
        let mut oldest: Option<(u64, usize)> = None;
        let mut seen = 0;
        while seen < count && (seen < SAMPLE || oldest.is_none()) {
            let at = self.keys.live()[(self.sample_at + seen) % count] as usize;
            let first = self.keys.head(at).first;
            if first != NONE {
                let candidate = (self.rows.ts(first), at);
                oldest = Some(oldest.map_or(candidate, |oldest| oldest.min(candidate)));
            }
            seen += 1;
        }
        self.sample_at = (self.sample_at + seen) % count.max(1);
        let Some((_, victim)) = oldest else { return (entry, head) };
        let mut head = self.keys.head(victim);
        self.drop_first(victim, &mut head);
        self.keys.set_head(victim, head);
        self.counts.rows_displaced += 1;
        if victim == entry {
            return (entry, head);
        }
        if head.first == NONE && self.plan.bounded {
            self.keys.remove(victim);
            self.counts.keys_displaced += 1;
        }
        let entry = self.keys.find(row.hash, row.key).unwrap_or(entry);
        (entry, self.keys.head(entry))
    }

    /// No row older than `now` less the lateness will come: keys whose rows nobody can see any more
    /// go, a few with every call and every update. What is left of them is not seen either way, so
    /// give all shards the same `now`, or none, and they decide the same.
    pub fn expire(&mut self, now: u64) {
        self.horizon = self.horizon.max(now);
        self.sweep(EXPIRE_MAX);
    }

    #[inline]
    fn sweep(&mut self, entries: usize) {
        if !matches!(self.spec.frame, Frame::Range(_)) || self.horizon == 0 {
            return;
        }
        for _ in 0..entries {
            let at = self.sweep_at;
            if !self.keys.vacant(at) && self.keys.head(at).newest < self.floor(0) {
                self.expire_key(at);
                continue;
            }
            self.sweep_at = if at + 1 == self.keys.entries() { 0 } else { at + 1 };
        }
    }

    #[cold]
    fn expire_key(&mut self, entry: usize) {
        if self.plan.leaves_traces() {
            let mut head = self.keys.head(entry);
            self.drop_rows(entry, &mut head, EXPIRE_ROWS_MAX);
            self.keys.set_head(entry, head);
            if head.first != NONE {
                return;
            }
        }
        self.remove(entry);
        self.counts.keys_expired += 1;
    }

    /// Asks for the memory where a key's state lies. Worth calling a few records ahead.
    #[inline]
    pub fn prefetch(&self, key: &[u64], memory: Memory) {
        self.keys.load(hash(key), memory);
    }

    /// Asks for the rows that an update of a key will touch. Worth calling when the key's own state
    /// has come, between [`Windows::prefetch`] and the update.
    #[inline]
    pub fn prefetch_rows(&self, key: &[u64], memory: Memory) {
        if key.len() != self.spec.key_words {
            return;
        }
        if let Some(entry) = self.keys.find(hash(key), key)
            && self.plan.bounded
        {
            let head = self.keys.head(entry);
            self.rows.load(head.last, memory);
            self.rows.load(head.first, memory);
            self.rows.load(head.frame, memory);
        }
    }

    /// Makes all the memory resident.
    pub fn reserve(&self, memory: Memory) {
        self.keys.reserve(memory);
        self.rows.reserve(memory);
        self.pools.tables.iter().for_each(|table| table.reserve(memory));
        self.pools.sketches.iter().for_each(|sketch| sketch.reserve(memory));
    }

    /// Names and values of what was counted.
    pub fn counters(&self, report: &mut dyn FnMut(&'static str, u64)) {
        report("keys", self.keys.live().len() as u64);
        report("rows", self.rows_used as u64);
        report("late", self.counts.late);
        report("too_late", self.counts.too_late);
        report("rows_displaced", self.counts.rows_displaced);
        report("keys_displaced", self.counts.keys_displaced);
        report("keys_expired", self.counts.keys_expired);
        report("overflows", self.counts.overflows);
        report("misuses", self.counts.misuses);
    }

    /// All the memory that was taken, in bytes: it never grows.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        let tables: usize = self.pools.tables.iter().map(Distinct::bytes).sum();
        let sketches: usize = self.pools.sketches.iter().map(Sketch::bytes).sum();
        self.keys.bytes() + self.rows.bytes() + tables + sketches
    }
}
