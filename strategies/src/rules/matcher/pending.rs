//! Results for which there was no room yet.
//!
//! Invariant: they leave in the order in which they came; memory is taken at creation, and what
//! has none is dropped and counted.

use crate::rules::operator::Due;
use crate::rules::types::Value;

/// Results that wait, at most.
const RESULTS_MAX: usize = 1_024;

#[derive(Copy, Clone)]
struct Head {
    output: usize,
    due: Due,
}

/// See the [module](self).
pub(super) struct Pending {
    heads: Vec<Option<Head>>,
    rows: Vec<u8>,
    inputs: Vec<Value>,
    row_bytes: usize,
    inputs_len: usize,
    first: usize,
    len: usize,
    pub(super) dropped: u64,
}

impl Pending {
    pub(super) fn new(row_bytes: usize, inputs_len: usize) -> Self {
        Self {
            heads: vec![None; RESULTS_MAX],
            rows: vec![0; RESULTS_MAX * row_bytes],
            inputs: vec![Value::NULL; RESULTS_MAX * inputs_len],
            row_bytes,
            inputs_len,
            first: 0,
            len: 0,
            dropped: 0,
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a result.
    pub(super) fn push(&mut self, output: usize, due: Due, row: &[u8], inputs: &[Value]) {
        if self.len == RESULTS_MAX {
            self.dropped += 1;
            return;
        }
        let at = (self.first + self.len) % RESULTS_MAX;
        self.heads[at] = Some(Head { output, due });
        self.rows[at * self.row_bytes..(at + 1) * self.row_bytes].copy_from_slice(row);
        self.inputs[at * self.inputs_len..(at + 1) * self.inputs_len].copy_from_slice(inputs);
        self.len += 1;
    }

    /// The next result: its output, what it is due to, its row and inputs.
    pub(super) fn first(&self) -> Option<(usize, Due, &[u8], &[Value])> {
        if self.len == 0 {
            return None;
        }
        let at = self.first;
        let head = self.heads[at]?;
        let row = &self.rows[at * self.row_bytes..(at + 1) * self.row_bytes];
        let inputs = &self.inputs[at * self.inputs_len..(at + 1) * self.inputs_len];
        Some((head.output, head.due, row, inputs))
    }

    /// Takes the next result away.
    pub(super) fn pop(&mut self) {
        if self.len > 0 {
            self.first = (self.first + 1) % RESULTS_MAX;
            self.len -= 1;
        }
    }
}
