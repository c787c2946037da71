//! Runs a [`GroupSpec`]: rows into panes, panes to results.
//!
//! Invariant: a key has at least one pane, its panes lie in order of time without overlap, and its
//! entry in the heap is not after the end of its next window.

use super::heap::{Entry, Heap};
use super::keys::{Full, Keys};
use super::panes::{Head, Panes};
use super::sets::Sets;
use super::shape::Shape;
use crate::rules::types::Value;
use crate::rules::window::accumulate::{Pools, apply, apply_edges, merge};
use crate::rules::window::evaluate::View;
use crate::rules::window::keys::hash;
use crate::rules::window::plan::{Kind, Plan};
use crate::rules::window::rows::{NONE, Rows};
use crate::rules::window::sketch::Sketch;
use crate::rules::window::{Frame, Function, Spec, SpecError};

/// Argument columns that a row can have.
const ARGS_MAX: usize = 16;
/// Values in front of the aggregates: where the window begins and ends.
pub(in crate::rules) const BOUNDS: usize = 2;

/// Group windows over the rows of each key.
#[derive(Clone, PartialEq, Debug)]
pub struct GroupSpec {
    /// The windows.
    pub shape: Shape,
    /// Key, arguments, aggregates and `keys_max`; the frame is [`Frame::Unbounded`], and `rows_max`
    /// bounds the different values that are counted and the buckets of percentiles, for each of
    /// these aggregates.
    pub rows: Spec,
    /// Panes of all keys together: for tumbling windows and sessions that is open windows.
    pub panes_max: usize,
}

impl GroupSpec {
    /// Whether it can be run.
    ///
    /// # Errors
    /// Why not.
    pub(in crate::rules) fn check(&self) -> Result<(), SpecError> {
        use Function as F;
        self.rows.check()?;
        let is_room = (1..=1 << 27).contains(&self.panes_max);
        if !is_room || !self.shape.is_valid() {
            return Err(SpecError::Room);
        }
        let of_one_row = |function: &Function| {
            matches!(function, F::RowNumber | F::Lag(_) | F::Ewma(_) | F::ZScore)
        };
        let functions = self.rows.aggregates.iter().map(|aggregate| &aggregate.function);
        match functions.into_iter().position(of_one_row) {
            Some(index) => Err(SpecError::Frame { index }),
            None if self.rows.frame != Frame::Unbounded => Err(SpecError::Frame { index: 0 }),
            None => Ok(()),
        }
    }
}

/// What became of a row.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It is in at least one open window.
    In,
    /// All its windows have closed.
    Late,
    /// It has no time that a window could have.
    Timeless,
}

#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Counts {
    pub(super) late: u64,
    pub(super) timeless: u64,
    pub(super) panes_displaced: u64,
    pub(super) keys_displaced: u64,
    pub(super) overflows: u64,
}

/// The windows that a row changed and that are still to be told.
#[derive(Copy, Clone, Default, Debug)]
struct Changed {
    slot: u32,
    start: i64,
    last: i64,
    after: i64,
}

/// See the [module](super).
pub struct Groups {
    pub(super) spec: GroupSpec,
    pub(super) plan: Plan,
    pub(super) keys: Keys,
    pub(super) panes: Panes,
    pub(super) heap: Heap,
    pub(super) sets: Vec<Sets>,
    pub(super) pools: Pools,
    /// Windows that end here or before have closed.
    pub(super) closed: i64,
    pub(super) counts: Counts,
    key: Vec<u64>,
    /// A state that is read while another is written.
    temp: Vec<u64>,
    /// None: results are read from sums alone.
    pub(super) rows: Rows,
    /// Arguments of no row.
    args: Vec<Value>,
    changed: Changed,
}

/// Why a row has no pane yet.
enum NoPlace {
    Late,
    Panes,
    Keys(Full),
}

impl Groups {
    /// Takes all the memory that the windows will ever need.
    ///
    /// # Errors
    /// If an aggregate does not fit its arguments, a length is out of bounds, or memory is short.
    pub fn new(spec: GroupSpec) -> Result<Self, SpecError> {
        spec.check()?;
        let plan = Plan::of_group(&spec.rows);
        let (keys, values) = (spec.rows.keys_max, spec.rows.rows_max);
        // A result is put together beside the panes that it is made of.
        let sets = (0..plan.tables).map(|_| Sets::new(2 * values));
        let sketches = (0..plan.sketches).map(|_| Sketch::new(2 * values));
        Ok(Self {
            keys: Keys::new(keys, spec.rows.key_words)?,
            panes: Panes::new(spec.panes_max, plan.words)?,
            heap: Heap::new(keys + 1),
            sets: sets.collect::<Result<_, _>>()?,
            pools: Pools::of_sketches(sketches.collect::<Result<_, _>>()?),
            closed: i64::MIN / 2,
            counts: Counts::default(),
            key: vec![0; spec.rows.key_words],
            temp: vec![0; plan.words],
            rows: Rows::new(0, 0, spec.rows.args.len(), 0)?,
            args: vec![Value::NULL; spec.rows.args.len()],
            changed: Changed::default(),
            plan,
            spec,
        })
    }

    /// How many values a result has: begin and end of its window, and the aggregates.
    #[must_use]
    pub fn results(&self) -> usize {
        BOUNDS + self.plan.readings.len()
    }

    /// Whether the state of others can be taken over.
    #[must_use]
    pub(in crate::rules) fn is_like(&self, other: &Self) -> bool {
        self.spec == other.spec
    }

    /// The key of the result that was given last.
    #[must_use]
    pub fn key(&self) -> &[u64] {
        &self.key
    }

    /// Takes a row of a key. Windows that are due must have closed before: see
    /// [`Groups::close_next`].
    #[inline]
    pub fn update(&mut self, key: &[u64], ts: i64, args: &[Value]) -> Taken {
        let shape = self.spec.shape;
        self.changed.slot = 0;
        let is_row = key.len() == self.spec.rows.key_words && args.len() == self.args.len();
        if !is_row || !(0..=shape.time_max()).contains(&ts) {
            self.counts.timeless += 1;
            return Taken::Timeless;
        }
        while self.is_short_of_values() {
            self.displace_pane();
        }
        let hash = hash(key);
        let pane = loop {
            match self.place(hash, key, ts) {
                Ok(pane) => break pane,
                Err(NoPlace::Late) => {
                    self.counts.late += 1;
                    return Taken::Late;
                }
                Err(NoPlace::Panes) => self.displace_pane(),
                Err(NoPlace::Keys(full)) => self.displace_key(full),
            }
        };
        self.add(pane, ts, args);
        Taken::In
    }

    fn add(&mut self, pane: u32, ts: i64, args: &[Value]) {
        let mut words = [0; ARGS_MAX];
        let mut known = 0;
        for (i, (word, value)) in words.iter_mut().zip(args).enumerate() {
            *word = value.bits;
            known |= u64::from(value.known) << i;
        }
        let head = self.panes.head(pane);
        let head = Head { rows: head.rows + 1, last: head.last.max(ts), ..head };
        self.panes.set_head(pane, head);
        let state = self.panes.state_mut(pane);
        let words = &words[..args.len()];
        for sum in &self.plan.sums {
            match sum.kind {
                Kind::Distinct(table) => {
                    let fits = known >> sum.arg & 1 == 0
                        || self.sets[table].add(pane, &mut state[sum.at], words[sum.arg]);
                    self.counts.overflows += u64::from(!fits);
                }
                _ => {
                    let sum = std::slice::from_ref(sum);
                    apply::<false>(sum, state, &mut self.pools, words, known);
                }
            }
        }
        apply_edges(&self.plan.sums, state, ts.cast_unsigned(), words, known);
        let (slot, last) = (head.key, head.last);
        if let Shape::Every { .. } = self.spec.shape {
            let next = self.spec.shape.end_after(head.start, ts, self.closed);
            if next < self.heap.get(slot).end {
                self.heap.set(slot, next);
            }
        }
        let start = if let Shape::Session { .. } = self.spec.shape {
            head.start
        } else {
            self.spec.shape.pane(ts)
        };
        self.changed = Changed { slot, start, last, after: self.closed };
    }

    /// The pane of a row, made if need be.
    #[inline]
    fn place(&mut self, hash: u64, key: &[u64], ts: i64) -> Result<u32, NoPlace> {
        let shape = self.spec.shape;
        if let Shape::Session { gap } = shape {
            return self.place_session(hash, key, ts, gap);
        }
        let mut start = shape.pane(ts);
        if shape.last_end(start, ts) <= self.closed {
            return Err(NoPlace::Late);
        }
        if shape.folds() && shape.end_after(start, ts, i64::MIN) <= self.closed {
            start = shape.base(start);
        }
        let slot = self.keys.find(hash, key);
        if slot == 0 {
            return self.begin_key(hash, key, start, ts);
        }
        let (first, last) = (self.keys.first(slot), self.keys.last(slot));
        let newest = self.panes.head(last).start;
        if newest == start {
            return Ok(last);
        }
        let (mut before, mut at) = if newest < start { (last, 0) } else { (0, first) };
        while at != 0 {
            let head = self.panes.head(at);
            if head.start == start {
                return Ok(at);
            }
            if head.start > start {
                break;
            }
            (before, at) = (at, head.next);
        }
        self.begin_pane(slot, before, at, start, ts)
    }

    /// The session of a row: a new one, or all that it joins to one.
    fn place_session(&mut self, hash: u64, key: &[u64], ts: i64, gap: i64) -> Result<u32, NoPlace> {
        let slot = self.keys.find(hash, key);
        let is_late = ts + gap <= self.closed;
        if slot == 0 {
            return if is_late { Err(NoPlace::Late) } else { self.begin_key(hash, key, ts, ts) };
        }
        let last = self.keys.last(slot);
        let is_newest = ts >= self.panes.head(last).start;
        let (mut before, mut at) = if is_newest { (0, last) } else { (0, self.keys.first(slot)) };
        while at != 0 && self.panes.head(at).last + gap <= ts {
            (before, at) = (at, self.panes.head(at).next);
        }
        let joins = at != 0 && self.panes.head(at).start < ts + gap;
        if !joins && is_late {
            return Err(NoPlace::Late);
        }
        if !joins {
            return self.begin_pane(slot, before, at, ts, ts);
        }
        let mut head = self.panes.head(at);
        (head.start, head.last) = (head.start.min(ts), head.last.max(ts));
        self.panes.set_head(at, head);
        while head.next != 0 && self.panes.head(head.next).start < head.last + gap {
            self.join(at, head.next);
            head = self.panes.head(at);
        }
        Ok(at)
    }

    fn begin_key(&mut self, hash: u64, key: &[u64], start: i64, ts: i64) -> Result<u32, NoPlace> {
        if self.panes.is_full() {
            return Err(NoPlace::Panes);
        }
        let slot = self.keys.insert(hash, key).map_err(NoPlace::Keys)?;
        let pane = self.panes.take(Head { start, last: ts, next: 0, key: slot, rows: 0 });
        self.keys.set_panes(slot, pane, pane);
        let end = self.spec.shape.end_after(start, ts, self.closed);
        self.heap.push(Entry { end, number: self.keys.number(slot), slot });
        Ok(pane)
    }

    /// A pane between two others of a key, either of which may be none.
    fn begin_pane(
        &mut self,
        slot: u32,
        before: u32,
        after: u32,
        start: i64,
        ts: i64,
    ) -> Result<u32, NoPlace> {
        let pane = self.panes.take(Head { start, last: ts, next: after, key: slot, rows: 0 });
        if pane == 0 {
            return Err(NoPlace::Panes);
        }
        let (mut first, mut last) = (self.keys.first(slot), self.keys.last(slot));
        if before == 0 {
            first = pane;
            self.heap.set(slot, self.spec.shape.end_after(start, ts, self.closed));
        } else {
            self.panes.set_next(before, pane);
        }
        if after == 0 {
            last = pane;
        }
        self.keys.set_panes(slot, first, last);
        Ok(pane)
    }

    /// Makes one pane of two neighbours.
    fn join(&mut self, pane: u32, next: u32) {
        self.merge(pane, next);
        let (head, other) = (self.panes.head(pane), self.panes.head(next));
        let rows = head.rows + other.rows;
        let last = head.last.max(other.last);
        self.panes.set_head(pane, Head { rows, last, next: other.next, ..head });
        if other.next == 0 {
            self.keys.set_panes(head.key, self.keys.first(head.key), pane);
        }
        self.clear(next);
        self.panes.give(next);
    }

    /// Adds the sums of a pane to those of another.
    fn merge(&mut self, into: u32, from: u32) {
        self.temp.copy_from_slice(self.panes.state(from));
        let state = self.panes.state_mut(into);
        merge(&self.plan.sums, state, &self.temp);
        for sum in &self.plan.sums {
            let (at, other) = (sum.at, self.temp[sum.at]);
            match sum.kind {
                Kind::Distinct(table) => {
                    let fits = self.sets[table].merge(into, &mut state[at], other);
                    self.counts.overflows += u64::from(!fits);
                }
                Kind::Buckets(sketch) => {
                    let sketch = &mut self.pools.sketches[sketch];
                    state[at] = sketch.merge(state[at] as u32, other as u32).into();
                }
                _ => {}
            }
        }
    }

    /// Gives up the values that a pane's sums refer to.
    fn clear(&mut self, pane: u32) {
        let state = self.panes.state_mut(pane);
        for sum in &self.plan.sums {
            match sum.kind {
                Kind::Distinct(table) => self.sets[table].clear(&mut state[sum.at]),
                Kind::Buckets(sketch) => {
                    self.pools.sketches[sketch].clear(state[sum.at] as u32);
                    state[sum.at] = 0;
                }
                _ => {}
            }
        }
    }

    /// The next window that ends at `until` or before: where it begins and ends and its aggregates
    /// are written to `out`, its key to [`Groups::key`]. False if there is none; rows of windows
    /// that end until then are late from now on.
    pub fn close_next(&mut self, until: i64, out: &mut [Value]) -> bool {
        self.closed = self.closed.max(until.min(i64::MAX - 1));
        loop {
            let Some(Entry { end, slot, .. }) = self.heap.top() else { return false };
            if end > self.closed {
                return false;
            }
            let shape = self.spec.shape;
            let head = self.panes.head(self.keys.first(slot));
            if let Shape::Session { gap } = shape
                && head.last + gap > end
            {
                self.heap.set(slot, head.last + gap);
                continue;
            }
            let begin = shape.begin(end, head.start);
            if shape.folds() {
                self.fold(slot, begin, end);
            }
            self.read(slot, begin, end, out);
            self.leave(slot, end);
            return true;
        }
    }

    /// The next window that the row taken last changed, as [`Groups::close_next`] writes it.
    pub fn changed_next(&mut self, out: &mut [Value]) -> bool {
        let shape = self.spec.shape;
        let Changed { slot, start, last, after } = self.changed;
        if slot == 0 {
            return false;
        }
        let end = shape.end_after(start, last, after);
        if end > shape.last_end(start, last) {
            self.changed.slot = 0;
            return false;
        }
        let is_one = matches!(shape, Shape::Session { .. } | Shape::Ever | Shape::Every { .. });
        self.changed = Changed { slot: if is_one { 0 } else { slot }, after: end, ..self.changed };
        self.read(slot, shape.begin(end, start), end, out);
        true
    }

    /// Makes one pane of those of a window that has closed.
    fn fold(&mut self, slot: u32, begin: i64, end: i64) {
        let first = self.keys.first(slot);
        loop {
            let next = self.panes.head(first).next;
            if next == 0 || self.panes.head(next).start >= end {
                break;
            }
            self.join(first, next);
        }
        let head = self.panes.head(first);
        self.panes.set_head(first, Head { start: begin, ..head });
    }

    /// Reads a window of a key.
    fn read(&mut self, slot: u32, begin: i64, end: i64, out: &mut [Value]) {
        self.key.copy_from_slice(self.keys.key(slot));
        let Some((bounds, out)) = out.split_at_mut_checked(BOUNDS) else { return };
        let bound = |at| if end == i64::MAX { Value::NULL } else { Value::int(at) };
        bounds.copy_from_slice(&[bound(begin), bound(end)]);
        if let Shape::Every { .. } = self.spec.shape {
            bounds[0] = Value::NULL;
        }
        let mut pane = self.keys.first(slot);
        while pane != 0 && self.panes.head(pane).start < begin {
            pane = self.panes.head(pane).next;
        }
        let head = self.panes.head(pane);
        let is_one = head.next == 0 || self.panes.head(head.next).start >= end;
        if is_one {
            self.counts.overflows += self.view(pane, head.rows, out);
            return;
        }
        self.panes.state_mut(0).fill(0);
        let mut rows = 0;
        while pane != 0 && self.panes.head(pane).start < end {
            self.merge(0, pane);
            let head = self.panes.head(pane);
            (rows, pane) = (rows + head.rows, head.next);
        }
        self.counts.overflows += self.view(0, rows, out);
        self.clear(0);
    }

    fn view(&self, pane: u32, rows: u64, out: &mut [Value]) -> u64 {
        let view = View {
            plan: &self.plan,
            state: self.panes.state(pane),
            rows: &self.rows,
            sketches: &self.pools.sketches,
            count: rows,
            first: NONE,
            current: NONE,
            args: &self.args,
            found: None,
        };
        view.read(out)
    }

    /// Gives up what no window of a key that ends after `end` holds.
    fn leave(&mut self, slot: u32, end: i64) {
        loop {
            let first = self.keys.first(slot);
            let head = self.panes.head(first);
            if let Some(until) = self.spec.shape.told_until(head.last) {
                return self.wait(slot, head, end, until);
            }
            if self.spec.shape.last_end(head.start, head.last) > end {
                let next = self.spec.shape.end_after(head.start, head.last, end);
                return self.heap.set(slot, next);
            }
            if self.drop_first(slot) {
                return;
            }
        }
    }

    /// A group that never ends was told at `end`: when that is next. So it is until a time, and
    /// again from the next row on.
    fn wait(&mut self, slot: u32, head: Head, end: i64, until: i64) {
        let shape = self.spec.shape;
        let mut next = shape.end_after(head.start, head.last, end);
        if next > until {
            let row = (head.next != 0).then(|| self.panes.head(head.next));
            next = row.map_or(i64::MAX, |row| shape.end_after(row.start, row.last, end));
        }
        self.heap.set(slot, next);
    }

    /// Drops the first pane of a key, and with its last pane the key; whether that is gone.
    fn drop_first(&mut self, slot: u32) -> bool {
        let first = self.keys.first(slot);
        let next = self.panes.head(first).next;
        self.clear(first);
        self.panes.give(first);
        if next != 0 {
            self.keys.set_panes(slot, next, self.keys.last(slot));
            return false;
        }
        let hash = hash(self.keys.key(slot));
        self.keys.remove(hash, slot);
        self.heap.remove(slot);
        true
    }

    fn is_short_of_values(&self) -> bool {
        let max = self.spec.rows.rows_max;
        self.sets.iter().any(|set| set.used() >= max)
            || self.pools.sketches.iter().any(|sketch| sketch.used() >= max)
    }

    /// The pane that is in the window that closes next gives way.
    #[cold]
    fn displace_pane(&mut self) {
        let Some(Entry { slot, .. }) = self.heap.top() else { return };
        self.counts.panes_displaced += 1;
        if !self.drop_first(slot) {
            let head = self.panes.head(self.keys.first(slot));
            self.heap.set(slot, self.spec.shape.end_after(head.start, head.last, self.closed));
        }
    }

    #[cold]
    fn displace_key(&mut self, full: Full) {
        let slot = match full {
            Full::Keys => self.heap.top().map_or(0, |entry| entry.slot),
            Full::Crowded(slot) => slot,
        };
        self.counts.keys_displaced += 1;
        while slot != 0 && !self.drop_first(slot) {}
    }

    /// Names and values of what was counted.
    pub fn counters(&self, report: &mut dyn FnMut(&'static str, u64)) {
        report("keys", self.keys.used() as u64);
        report("panes", self.panes.used() as u64);
        report("late", self.counts.late);
        report("timeless", self.counts.timeless);
        report("panes_displaced", self.counts.panes_displaced);
        report("keys_displaced", self.counts.keys_displaced);
        report("overflows", self.counts.overflows);
    }

    /// All the memory that was taken, in bytes: it never grows.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        let sets: usize = self.sets.iter().map(Sets::bytes).sum();
        let sketches: usize = self.pools.sketches.iter().map(Sketch::bytes).sum();
        self.keys.bytes() + self.panes.bytes() + self.heap.bytes() + sets + sketches
    }
}
