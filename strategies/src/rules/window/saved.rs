//! Saves and restores windows: what is kept, not how it lies in memory.
//!
//! ```text
//! version, spec ┬ horizon, clock, sweep, sample, counts
//!               └ keys: entry, used, newest, frame rows | key | state | rows | buckets
//! ```
//!
//! Invariant: restored windows give the results that the saved ones would have given, including
//! which keys and rows give way; bytes that are no saved windows change nothing.

use super::accumulate::apply;
use super::extremes::enter;
use super::keys::{Head, hash};
use super::lines::halves;
use super::plan::{Kind, Sum};
use super::rows::NONE;
use super::windows::Windows;
use crate::state::StateReader;
use crate::strategy::StateError;

/// Changes when the saved state does.
const STATE_VERSION: u64 = 0x5749_4E44_0000_0001;
/// More values than any sketch can have seen.
const COUNT_MAX: u64 = 1 << 48;

impl Windows {
    /// Appends everything that later results depend on.
    pub fn save(&self, out: &mut Vec<u8>) {
        let mut put = |word: u64| out.extend_from_slice(&word.to_le_bytes());
        for word in self.summary() {
            put(word);
        }
        for &entry in self.keys.live() {
            let head = self.keys.head(entry as usize);
            put(entry.into());
            put(head.used.into());
            put(head.newest);
            put(if self.plan.bounded { head.frame_rows.into() } else { head.rows_seen() });
            self.keys.key(entry as usize).iter().copied().for_each(&mut put);
            let state = self.keys.state(entry as usize);
            for at in self.raw_words() {
                put(state[at]);
            }
            self.save_rows(&head, &mut put);
            if !self.plan.bounded {
                self.save_buckets(state, &mut put);
            }
        }
    }

    fn summary(&self) -> [u64; 14] {
        let counts = &self.counts;
        [
            STATE_VERSION,
            // The spec as text, hashed: nothing shorter says all of it.
            hash(&format!("{:?}", self.spec).bytes().map(u64::from).collect::<Vec<_>>()),
            self.horizon,
            self.clock.into(),
            self.sweep_at as u64,
            self.sample_at as u64,
            counts.late,
            counts.too_late,
            counts.rows_displaced,
            counts.keys_displaced,
            counts.keys_expired,
            counts.overflows,
            counts.misuses,
            self.keys.live().len() as u64,
        ]
    }

    /// The words of a key's state that its rows do not tell.
    fn raw_words(&self) -> impl Iterator<Item = usize> + '_ {
        let sums = self.plan.sums.iter().filter(|_| !self.plan.bounded);
        let sums = sums.flat_map(|sum| match sum.kind {
            Kind::Distinct(_) | Kind::Buckets(_) => sum.at..sum.at,
            kind => sum.at..sum.at + kind.words(),
        });
        sums.chain(self.plan.moving.iter().flat_map(|moving| moving.at..moving.at + 2))
    }

    fn save_rows(&self, head: &Head, put: &mut dyn FnMut(u64)) {
        let mut count = 0;
        let mut row = head.first;
        while row != NONE {
            count += 1;
            row = if row == head.last { NONE } else { self.rows.next(row) };
        }
        put(count);
        let mut row = head.first;
        while row != NONE {
            let (args, known) = self.rows.args(row);
            put(self.rows.ts(row));
            put(known);
            args.iter().copied().for_each(&mut *put);
            row = if row == head.last { NONE } else { self.rows.next(row) };
        }
    }

    fn save_buckets(&self, state: &[u64], put: &mut dyn FnMut(u64)) {
        for sum in &self.plan.sums {
            let Kind::Buckets(sketch) = sum.kind else { continue };
            let (sketch, root) = (&self.pools.sketches[sketch], state[sum.at] as u32);
            let mut count = 0;
            sketch.each(root, &mut |_, _| count += 1);
            put(count);
            sketch.each(root, &mut |bucket, values| {
                put(bucket.into());
                put(values);
            });
        }
    }

    /// Takes over what [`Windows::save`] wrote for windows of the same spec.
    ///
    /// # Errors
    /// If the bytes are nothing of the sort; the windows are then as they were.
    pub fn restore(&mut self, state: &mut StateReader<'_>) -> Result<(), StateError> {
        let mut fresh = Self::new(self.spec.clone()).map_err(|_| StateError::Version)?;
        if self.is_new() {
            // In its own memory, which was made resident, in large pages: that takes as long as all
            // the rest.
            return self.restore_all(state).inspect_err(|_| *self = fresh);
        }
        fresh.restore_all(state)?;
        *self = fresh;
        Ok(())
    }

    /// Whether it has never taken a row.
    fn is_new(&self) -> bool {
        self.clock == 1 && self.horizon == 0 && self.keys.live().is_empty()
    }

    fn restore_all(&mut self, state: &mut StateReader<'_>) -> Result<(), StateError> {
        let [version, spec, ..] = self.summary();
        if (state.u64()?, state.u64()?) != (version, spec) {
            return Err(StateError::Version);
        }
        self.horizon = state.u64()?;
        self.clock = u32::try_from(state.u64()?).map_err(|_| state.damaged())? | 1;
        self.sweep_at = small(state, self.keys.entries())?;
        self.sample_at = small(state, self.spec.keys_max)?;
        let counts = &mut self.counts;
        for count in [
            &mut counts.late,
            &mut counts.too_late,
            &mut counts.rows_displaced,
            &mut counts.keys_displaced,
            &mut counts.keys_expired,
            &mut counts.overflows,
            &mut counts.misuses,
        ] {
            // So that counting on cannot overflow.
            *count = state.u64()?.min(u64::MAX >> 1);
        }
        let keys = small(state, self.spec.keys_max + 1)?;
        let raw: Vec<usize> = self.raw_words().collect();
        let mut key = Vec::with_capacity(self.spec.key_words);
        for _ in 0..keys {
            self.restore_key(state, &raw, &mut key)?;
        }
        // Every key must be found where it lies, which a vacant entry on its way would prevent.
        for &entry in self.keys.live() {
            let key = self.keys.key(entry as usize);
            if self.keys.find(hash(key), key) != Some(entry as usize) {
                return Err(state.damaged());
            }
        }
        Ok(())
    }

    /// The next key, whose state is told by its rows but for the words `raw`. `key` is room.
    fn restore_key(
        &mut self,
        state: &mut StateReader<'_>,
        raw: &[usize],
        key: &mut Vec<u64>,
    ) -> Result<(), StateError> {
        let entry = small(state, self.keys.entries())?;
        let used = u32::try_from(state.u64()?).map_err(|_| state.damaged())?;
        let (newest, frame_rows) = (state.u64()?, state.u64()?);
        key.clear();
        for _ in 0..self.spec.key_words {
            key.push(state.u64()?);
        }
        if !self.keys.vacant(entry) || used & 1 == 0 {
            return Err(state.damaged());
        }
        self.keys.occupy(entry, key, used);
        for &at in raw {
            self.keys.state_mut(entry)[at] = state.u64()?;
        }
        let mut head = Head { newest, ..self.keys.head(entry) };
        if self.plan.bounded {
            self.restore_rows(state, entry, &mut head, frame_rows)?;
            self.keys.set_head(entry, head);
            return Ok(());
        }
        (head.frame, head.frame_rows) = halves(frame_rows.min(u64::MAX >> 1));
        self.restore_values(state, entry, &mut head)?;
        self.keys.set_head(entry, head);
        self.restore_buckets(state, entry)
    }

    /// Rows of a bounded frame: the last `frame_rows` of them are in it.
    fn restore_rows(
        &mut self,
        state: &mut StateReader<'_>,
        entry: usize,
        head: &mut Head,
        frame_rows: u64,
    ) -> Result<(), StateError> {
        let count = state.u64()?;
        if count == 0 || frame_rows == 0 || frame_rows > count {
            return Err(state.damaged());
        }
        for i in 0..count {
            self.restore_row(state, head)?;
            if count - i > frame_rows {
                continue;
            }
            head.frame = if head.frame == NONE { head.last } else { head.frame };
            head.frame_rows += 1;
            let (args, known) = self.rows.args(head.last);
            let sums = self.keys.state_mut(entry);
            apply::<false>(&self.plan.sums, sums, &mut self.pools, args, known);
            enter(&self.plan.extremes, &mut self.rows, sums, head.last, false);
        }
        Ok(())
    }

    /// Rows of an unbounded frame: the distinct values.
    fn restore_values(
        &mut self,
        state: &mut StateReader<'_>,
        entry: usize,
        head: &mut Head,
    ) -> Result<(), StateError> {
        for _ in 0..state.u64()? {
            self.restore_row(state, head)?;
            let (args, known) = self.rows.args(head.last);
            for sum in &self.plan.sums {
                if matches!(sum.kind, Kind::Distinct(_)) {
                    let sums = self.keys.state_mut(entry);
                    let sum = std::slice::from_ref(sum);
                    apply::<false>(sum, sums, &mut self.pools, args, known);
                }
            }
        }
        Ok(())
    }

    fn restore_row(
        &mut self,
        state: &mut StateReader<'_>,
        head: &mut Head,
    ) -> Result<(), StateError> {
        let (ts, known) = (state.u64()?, state.u64()?);
        let columns = self.spec.args.len();
        let mut args = Vec::with_capacity(columns);
        for _ in 0..columns {
            args.push(state.u64()?);
        }
        let order = head.last == NONE || self.rows.ts(head.last) <= ts;
        let is_range = matches!(self.spec.frame, super::Frame::Range(_));
        let damaged = known >> columns != 0
            || self.rows_used == self.spec.rows_max
            || is_range && (!order || ts > head.newest);
        let place = if damaged { NONE } else { self.rows.push(head.last) };
        if place == NONE {
            return Err(state.damaged());
        }
        self.rows_used += 1;
        self.rows.write(place, ts, &args, known);
        head.last = place;
        head.first = if head.first == NONE { place } else { head.first };
        Ok(())
    }

    fn restore_buckets(
        &mut self,
        state: &mut StateReader<'_>,
        entry: usize,
    ) -> Result<(), StateError> {
        for Sum { kind, at, .. } in self.plan.sums.clone() {
            let Kind::Buckets(sketch) = kind else { continue };
            let sketch = &mut self.pools.sketches[sketch];
            let mut root = 0;
            for _ in 0..state.u64()? {
                let bucket = u32::try_from(state.u64()?).map_err(|_| state.damaged())?;
                let values = state.u64()?;
                if sketch.is_full() || values == 0 || values > COUNT_MAX {
                    return Err(state.damaged());
                }
                root = sketch.add(root, bucket, values);
            }
            self.keys.state_mut(entry)[at] = root.into();
        }
        Ok(())
    }
}

/// A number below a bound.
fn small(state: &mut StateReader<'_>, bound: usize) -> Result<usize, StateError> {
    let number = usize::try_from(state.u64()?).ok().filter(|&number| number < bound);
    number.ok_or_else(|| state.damaged())
}
