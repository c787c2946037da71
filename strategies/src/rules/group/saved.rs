//! Saves and restores group windows: keys in the order in which they came, with their panes.
//!
//! Invariant: restored windows give the results that the saved ones would have given, including
//! what gives way; bytes that are no saved windows change nothing.

use super::groups::Groups;
use super::heap::Entry;
use super::panes::Head;
use super::shape::{LENGTH_MAX, Shape};
use crate::rules::window::keys::hash;
use crate::rules::window::plan::Kind;
use crate::state::StateReader;
use crate::strategy::StateError;

/// Changes when the saved state does.
const STATE_VERSION: u64 = 0x4752_4F55_0000_0001;
/// More values than any sketch can have seen, and than rows can have come.
const COUNT_MAX: u64 = 1 << 48;

impl Groups {
    /// Appends everything that later results depend on.
    pub fn save(&self, out: &mut Vec<u8>) {
        let mut put = |word: u64| out.extend_from_slice(&word.to_le_bytes());
        self.summary().into_iter().for_each(&mut put);
        let mut slots: Vec<(u64, u32)> = self.slots();
        slots.sort_unstable();
        put(slots.len() as u64);
        for (number, slot) in slots {
            put(number);
            put(self.heap.get(slot).end.cast_unsigned());
            self.keys.key(slot).iter().copied().for_each(&mut put);
            let mut pane = self.keys.first(slot);
            while pane != 0 {
                let head = self.panes.head(pane);
                put(head.rows);
                put(head.start.cast_unsigned());
                put(head.last.cast_unsigned());
                self.save_state(pane, &mut put);
                pane = head.next;
            }
            put(0);
        }
    }

    fn summary(&self) -> [u64; 9] {
        let counts = &self.counts;
        [
            STATE_VERSION,
            hash(&format!("{:?}", self.spec).bytes().map(u64::from).collect::<Vec<_>>()),
            self.closed.cast_unsigned(),
            self.keys.numbers,
            counts.late,
            counts.timeless,
            counts.panes_displaced,
            counts.keys_displaced,
            counts.overflows,
        ]
    }

    fn slots(&self) -> Vec<(u64, u32)> {
        self.heap.entries().map(|entry| (entry.number, entry.slot)).collect()
    }

    fn save_state(&self, pane: u32, put: &mut dyn FnMut(u64)) {
        let state = self.panes.state(pane);
        for sum in &self.plan.sums {
            match sum.kind {
                Kind::Distinct(table) => {
                    let mut values = Vec::new();
                    self.sets[table].each(state[sum.at], &mut |value| values.push(value));
                    values.sort_unstable();
                    put(values.len() as u64);
                    values.into_iter().for_each(&mut *put);
                }
                Kind::Buckets(sketch) => {
                    let (sketch, root) = (&self.pools.sketches[sketch], state[sum.at] as u32);
                    let mut count = 0;
                    sketch.each(root, &mut |_, _| count += 1);
                    put(count);
                    sketch.each(root, &mut |bucket, values| {
                        put(bucket.into());
                        put(values);
                    });
                }
                kind => (sum.at..sum.at + kind.words()).for_each(|at| put(state[at])),
            }
        }
    }

    /// Takes over what [`Groups::save`] wrote for windows of the same spec.
    ///
    /// # Errors
    /// If the bytes are nothing of the sort; the windows are then as they were.
    pub fn restore(&mut self, state: &mut StateReader<'_>) -> Result<(), StateError> {
        let mut fresh = Self::new(self.spec.clone()).map_err(|_| StateError::Version)?;
        fresh.restore_all(state)?;
        *self = fresh;
        Ok(())
    }

    fn restore_all(&mut self, state: &mut StateReader<'_>) -> Result<(), StateError> {
        let [version, spec, ..] = self.summary();
        if (state.u64()?, state.u64()?) != (version, spec) {
            return Err(StateError::Version);
        }
        self.closed = state.u64()?.cast_signed().clamp(i64::MIN / 2, i64::MAX - 1);
        let numbers = state.u64()?.min(COUNT_MAX);
        let counts = &mut self.counts;
        for count in [
            &mut counts.late,
            &mut counts.timeless,
            &mut counts.panes_displaced,
            &mut counts.keys_displaced,
            &mut counts.overflows,
        ] {
            // So that counting on cannot overflow.
            *count = state.u64()?.min(u64::MAX >> 1);
        }
        let mut before = 0;
        for _ in 0..state.u64()? {
            let number = state.u64()?;
            if number <= before || number > numbers {
                return Err(state.damaged());
            }
            before = number;
            self.restore_key(state, number)?;
        }
        self.keys.numbers = numbers;
        Ok(())
    }

    fn restore_key(&mut self, state: &mut StateReader<'_>, number: u64) -> Result<(), StateError> {
        let end = state.u64()?.cast_signed();
        let is_end = match self.spec.shape {
            Shape::Ever => end == i64::MAX,
            Shape::Every { .. } if end == i64::MAX => true,
            _ => (-2 * LENGTH_MAX..=i64::MAX - 2 * LENGTH_MAX).contains(&end),
        };
        let mut key = Vec::with_capacity(self.spec.rows.key_words);
        for _ in 0..self.spec.rows.key_words {
            key.push(state.u64()?);
        }
        let hash = hash(&key);
        if !is_end || self.keys.find(hash, &key) != 0 {
            return Err(state.damaged());
        }
        let slot = self.keys.insert(hash, &key).map_err(|_| state.damaged())?;
        self.keys.set_number(slot, number);
        self.heap.push(Entry { end, number, slot });
        loop {
            let rows = state.u64()?;
            if rows == 0 && self.keys.first(slot) != 0 {
                return Ok(());
            }
            let (start, last) = (state.u64()?.cast_signed(), state.u64()?.cast_signed());
            let newest = self.keys.last(slot);
            let is_pane = (1..=COUNT_MAX).contains(&rows)
                && (0..=self.spec.shape.time_max()).contains(&last)
                && (-2 * LENGTH_MAX..=last).contains(&start)
                && self.spec.shape.last_end(start, last) >= end
                && (newest == 0 || self.panes.head(newest).start < start);
            let head = Head { start, last, next: 0, key: slot, rows };
            let pane = if is_pane { self.panes.take(head) } else { 0 };
            if pane == 0 {
                return Err(state.damaged());
            }
            let first = if newest == 0 { pane } else { self.keys.first(slot) };
            if newest != 0 {
                self.panes.set_next(newest, pane);
            }
            self.keys.set_panes(slot, first, pane);
            self.restore_state(state, pane)?;
        }
    }

    fn restore_state(&mut self, state: &mut StateReader<'_>, pane: u32) -> Result<(), StateError> {
        let max = self.spec.rows.rows_max;
        let words = self.panes.state_mut(pane);
        for sum in &self.plan.sums {
            let at = sum.at;
            match sum.kind {
                Kind::Distinct(table) => {
                    let set = &mut self.sets[table];
                    for _ in 0..state.u64()? {
                        let value = state.u64()?;
                        if set.used() == max || !set.add(pane, &mut words[at], value) {
                            return Err(state.damaged());
                        }
                    }
                }
                Kind::Buckets(sketch) => {
                    let sketch = &mut self.pools.sketches[sketch];
                    for _ in 0..state.u64()? {
                        let bucket = u32::try_from(state.u64()?).map_err(|_| state.damaged())?;
                        let values = state.u64()?;
                        if sketch.used() == max || values == 0 || values > COUNT_MAX {
                            return Err(state.damaged());
                        }
                        words[at] = sketch.add(words[at] as u32, bucket, values).into();
                    }
                }
                kind => {
                    for at in at..at + kind.words() {
                        words[at] = state.u64()?;
                    }
                }
            }
        }
        Ok(())
    }
}
