//! Packets that are repeats, or the beginning of a session that restarted: held, line by line,
//! until the sequencer knows.
//!
//! Invariant: memory is taken once. A packet that finds no room, because it is too large, is not
//! kept: should its session have restarted, it shows as a gap.

use super::held::Held;
use crate::sequence::{LINES_MAX, Place, RUN_PACKETS};
use crate::units::Nanos;

/// The packets of at most one run for each line.
#[derive(Clone, Debug)]
pub(super) struct Suspects {
    lines: Box<[Held]>,
    runs: [u32; LINES_MAX],
    any: bool,
}

impl Suspects {
    pub(super) fn new(lines: usize) -> Self {
        // The last packet of a run settles it.
        let held = |_| Held::new(RUN_PACKETS as usize - 1);
        Self { lines: (0..lines).map(held).collect(), runs: [0; LINES_MAX], any: false }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        !self.any
    }

    pub(super) fn lines(&self) -> usize {
        self.lines.len()
    }

    /// The run whose packets are held for a line.
    pub(super) fn run(&self, line: usize) -> Option<u32> {
        (!self.lines[line].is_empty()).then(|| self.runs[line])
    }

    /// Keeps a packet of a run. Those of the line's run before have been settled.
    #[cold]
    pub(super) fn push(&mut self, place: &Place, run: u32, ts_recv: Nanos, payload: &[u8]) {
        let line = usize::from(place.line()).min(self.lines.len() - 1);
        self.runs[line] = run;
        self.any |= self.lines[line].push(place, ts_recv, payload);
    }

    /// Takes a line's next packet out. Its buffer is to be given back.
    pub(super) fn take(&mut self, line: usize) -> Option<(usize, Place, Vec<u8>, Nanos)> {
        let (index, _) = self.lines[line].first()?;
        let (place, bytes, ts_recv) = self.lines[line].take(index);
        Some((index, place, bytes, ts_recv))
    }

    pub(super) fn give_back(&mut self, line: usize, index: usize, bytes: Vec<u8>) {
        self.lines[line].give_back(index, bytes);
    }

    pub(super) fn clear_line(&mut self, line: usize) {
        self.lines[line].clear();
        self.any = self.lines.iter().any(|held| !held.is_empty());
    }

    pub(super) fn clear(&mut self) {
        (0..self.lines.len()).for_each(|line| self.clear_line(line));
    }
}
