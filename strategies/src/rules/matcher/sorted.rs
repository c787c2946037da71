//! Rows that wait for the watermark, in the order of their times.
//!
//! Invariant: rows of one time leave in the order in which they came; memory is taken at creation.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::state::StateReader;
use crate::strategy::StateError;

/// Time, number, input, words, slot.
type Entry = Reverse<(u64, u64, u32, u32, u32)>;

/// See the [module](self).
pub(super) struct Sorted {
    heap: BinaryHeap<Entry>,
    words: Vec<u64>,
    row_words: usize,
    free: Vec<u32>,
    number: u64,
}

impl Sorted {
    /// Room for so many rows of so many words.
    pub(super) fn new(rows_max: usize, row_words: usize) -> Self {
        Self {
            heap: BinaryHeap::with_capacity(rows_max),
            words: vec![0; rows_max * row_words],
            row_words,
            free: (0..rows_max as u32).rev().collect(),
            number: 0,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    /// The time of the next row.
    pub(super) fn next(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((ts, ..))| *ts)
    }

    /// Adds a row, unless there is no room.
    pub(super) fn push(&mut self, ts: u64, input: usize, row: &[u64]) {
        let Some(slot) = self.free.pop() else { return };
        let len = row.len().min(self.row_words);
        let from = slot as usize * self.row_words;
        self.words[from..from + len].copy_from_slice(&row[..len]);
        self.heap.push(Reverse((ts, self.number, input as u32, len as u32, slot)));
        self.number += 1;
    }

    /// Takes the next row: its time, input and length.
    pub(super) fn pop(&mut self, row: &mut [u64]) -> Option<(u64, usize, usize)> {
        let Reverse((ts, _, input, len, slot)) = self.heap.pop()?;
        let from = slot as usize * self.row_words;
        let len = (len as usize).min(row.len());
        row[..len].copy_from_slice(&self.words[from..from + len]);
        self.free.push(slot);
        Some((ts, input as usize, len))
    }

    /// Appends its rows, in order.
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        let mut entries: Vec<Entry> = self.heap.iter().copied().collect();
        entries.sort_unstable_by(|a, b| b.cmp(a));
        out.extend_from_slice(&(entries.len() as u32).to_le_bytes());
        for Reverse((ts, _, input, len, slot)) in entries {
            out.extend_from_slice(&ts.to_le_bytes());
            out.extend_from_slice(&input.to_le_bytes());
            out.extend_from_slice(&len.to_le_bytes());
            let from = slot as usize * self.row_words;
            for word in &self.words[from..from + len as usize] {
                out.extend_from_slice(&word.to_le_bytes());
            }
        }
    }

    /// Takes over the rows of a state, each of one of so many inputs.
    ///
    /// # Errors
    /// If the bytes are no such state.
    pub(super) fn restore(
        &mut self,
        state: &mut StateReader<'_>,
        inputs: usize,
    ) -> Result<(), StateError> {
        let mut row = vec![0; self.row_words];
        while self.pop(&mut row).is_some() {}
        let rows = state.u32()? as usize;
        for _ in 0..rows {
            let (ts, input, len) = (state.u64()?, state.u32()? as usize, state.u32()? as usize);
            if input >= inputs || len > self.row_words || self.is_full() {
                return Err(state.damaged());
            }
            for word in &mut row[..len] {
                *word = state.u64()?;
            }
            self.push(ts, input, &row[..len]);
        }
        Ok(())
    }
}
