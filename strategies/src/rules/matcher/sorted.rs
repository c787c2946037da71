//! Rows that wait for the watermark, in the order of their times.
//!
//! Invariant: rows of one time leave in the order of their ranks, equal ones in the order in which
//! they came; memory is taken at creation.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::rules::plan::{RANKS_MAX, Rank};
use crate::rules::program::Machine;
use crate::rules::types::Type;
use crate::state::StateReader;
use crate::strategy::StateError;

/// What orders rows of one time, as numbers that compare like it.
pub(super) type Ranks = [u64; RANKS_MAX];
/// Time, ranks, number, input, words, slot.
type Entry = Reverse<(u64, Ranks, u64, u32, u32, u32)>;

/// A row's ranks.
pub(super) fn ranks(order: &[Rank], machine: &mut Machine, row: &[u8]) -> Ranks {
    const SIGN: u64 = 1 << 63;
    let mut ranks = [0; RANKS_MAX];
    for (place, rank) in ranks.iter_mut().zip(order) {
        let value = rank.program.run(machine, row, &[]);
        let word = match rank.ty {
            _ if !value.known => u64::MAX,
            // Negative doubles compare the other way round.
            Type::Double if value.bits >= SIGN => !value.bits,
            Type::Bool => value.bits,
            _ => value.bits ^ SIGN,
        };
        *place = if rank.descends { !word } else { word };
    }
    ranks
}

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
    pub(super) fn push(&mut self, ts: u64, ranks: Ranks, input: usize, row: &[u64]) {
        let Some(slot) = self.free.pop() else { return };
        let len = row.len().min(self.row_words);
        let from = slot as usize * self.row_words;
        self.words[from..from + len].copy_from_slice(&row[..len]);
        self.heap.push(Reverse((ts, ranks, self.number, input as u32, len as u32, slot)));
        self.number += 1;
    }

    /// Takes the next row: its time, input and length.
    pub(super) fn pop(&mut self, row: &mut [u64]) -> Option<(u64, usize, usize)> {
        let Reverse((ts, _, _, input, len, slot)) = self.heap.pop()?;
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
        for Reverse((ts, ranks, _, input, len, slot)) in entries {
            out.extend_from_slice(&ts.to_le_bytes());
            ranks.iter().for_each(|rank| out.extend_from_slice(&rank.to_le_bytes()));
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
            let ts = state.u64()?;
            let mut ranks = [0; RANKS_MAX];
            for rank in &mut ranks {
                *rank = state.u64()?;
            }
            let (input, len) = (state.u32()? as usize, state.u32()? as usize);
            if input >= inputs || len > self.row_words || self.is_full() {
                return Err(state.damaged());
            }
            for word in &mut row[..len] {
                *word = state.u64()?;
            }
            self.push(ts, ranks, input, &row[..len]);
        }
        Ok(())
    }
}
