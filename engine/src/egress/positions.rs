//! How far every sink is rid of a shard's actions, as entries of the journal: what lies behind that
//! must stay there, as a start sends it again.
//!
//! ```text
//! journal          a . b . . c . d        entries, oldest first; whoever reads it passes them on
//! sink noted           ^ b                it is rid of all up to b, and of nothing behind
//! passed, not rid            c   d        kept here, bounded
//! position                 ^              the entry before the first of those
//! ```
//!
//! A sink may be rid of an action that was not passed yet: its note is then remembered until that
//! comes. Ids of actions are not ordered, so nothing can be said of one that was never met.
//!
//! Invariant: no entry up to a position holds an action that the sink took and is not rid of. What
//! is not known counts as not rid of: beyond the bound the oldest are forgotten, but the position
//! stays before them until the sink has noted a later one.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use corelane_feeds::record::{FLAG_SHADOW, Record};
use corelane_strategies::action::ActionId;

use super::Filter;
use super::confirm;

/// Actions that are kept of each sink, some 2 MiB.
const WAITING_MAX: usize = 1 << 16;

/// Of all sinks of a shard.
#[derive(Debug, Default)]
pub struct SinkPositions {
    sinks: Vec<SinkPosition>,
    /// The last entry passed.
    passed: u64,
}

#[derive(Debug)]
struct SinkPosition {
    note: PathBuf,
    filter: Filter,
    /// Actions passed that it is not known to be rid of, with their entries, the oldest first.
    waiting: VecDeque<(ActionId, u64)>,
    /// The entry of the oldest that was forgotten, until it is known to be rid of that.
    forgotten: Option<u64>,
    /// What it noted last.
    noted: Option<ActionId>,
    /// The same, if that was not among those that wait.
    ahead: Option<ActionId>,
}

impl SinkPositions {
    /// Of the sinks of these names, which keep their notes in a shard's folder in memory; all that
    /// is in the journal has still to be passed.
    #[must_use]
    pub fn new(hot: &Path, sinks: Vec<(String, Filter)>) -> Self {
        let sinks = sinks.into_iter().map(|(name, filter)| SinkPosition {
            note: confirm::path(hot, &name),
            filter,
            waiting: VecDeque::new(),
            forgotten: None,
            noted: None,
            ahead: None,
        });
        Self { sinks: sinks.collect(), passed: 0 }
    }

    /// The next action of the journal, at an entry.
    pub fn pass(&mut self, seq: u64, action: &Record) {
        if action.header.flags & FLAG_SHADOW != 0 {
            return;
        }
        let Some(id) = ActionId::of(action) else { return };
        for sink in &mut self.sinks {
            if sink.filter.wants(action.header.stream, id.rule) {
                sink.pass(id, seq);
            }
        }
    }

    /// Every entry up to this one was passed, or is no action.
    pub fn pass_all(&mut self, seq: u64) {
        self.passed = self.passed.max(seq);
    }

    /// Looks at what sinks noted; returns the last entry up to which all of them are rid of every
    /// action.
    ///
    /// # Errors
    /// If a note cannot be read.
    pub fn look(&mut self) -> io::Result<u64> {
        let mut all = self.passed;
        for sink in &mut self.sinks {
            if let Some(Some(confirmed)) = confirm::read(&sink.note)? {
                sink.take_note(confirmed.id);
            }
            all = all.min(sink.position().unwrap_or(self.passed));
        }
        Ok(all)
    }
}

impl SinkPosition {
    fn pass(&mut self, id: ActionId, seq: u64) {
        if self.ahead == Some(id) {
            self.ahead = None;
            self.is_rid_of(self.waiting.len());
            return;
        }
        if self.waiting.len() == WAITING_MAX {
            let oldest = self.waiting.pop_front();
            self.forgotten = self.forgotten.or(oldest.map(|(_, seq)| seq));
        }
        self.waiting.push_back((id, seq));
    }

    fn take_note(&mut self, id: ActionId) {
        if self.noted.replace(id) == Some(id) {
            return;
        }
        self.ahead = None;
        match self.waiting.iter().position(|(waiting, _)| *waiting == id) {
            Some(at) => self.is_rid_of(at + 1),
            None => self.ahead = Some(id),
        }
    }

    /// It is rid of the oldest so many.
    fn is_rid_of(&mut self, count: usize) {
        self.waiting.drain(..count);
        self.forgotten = None;
    }

    /// The entry before the first action that it may not be rid of; none if there is no such one.
    fn position(&self) -> Option<u64> {
        let oldest = self.forgotten.or(self.waiting.front().map(|(_, seq)| *seq));
        oldest.map(|seq| seq.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use corelane_feeds::record::{Stamp, View};
    use corelane_feeds::units::Seq;
    use corelane_strategies::action::{Alert, Order};

    use super::super::confirm::{Confirmations, Confirmed};
    use super::*;

    fn order(n: u64) -> Order {
        Order::new(Stamp { seq: Seq(n), ..Stamp::default() }, b'B')
    }

    fn id(n: u64) -> ActionId {
        ActionId::of(order(n).as_record()).unwrap()
    }

    /// Two sinks, one of which wants orders alone, and how they note.
    struct Sinks {
        _dir: tempfile::TempDir,
        positions: SinkPositions,
        notes: Vec<Confirmations>,
        seq: u64,
    }

    impl Sinks {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let orders = Filter { streams: vec![Order::STREAM], rules: Vec::new() };
            let sinks = vec![("all".to_owned(), Filter::default()), ("some".to_owned(), orders)];
            let note = |name: &str| {
                Confirmations::create(&confirm::path(dir.path(), name), None, 0).unwrap()
            };
            let notes = vec![note("all"), note("some")];
            let positions = SinkPositions::new(dir.path(), sinks);
            Self { _dir: dir, positions, notes, seq: 0 }
        }

        /// The next entry is an order, or an alert.
        fn pass(&mut self, n: u64, is_order: bool) {
            self.seq += 1;
            if is_order {
                self.positions.pass(self.seq, order(n).as_record());
            } else {
                let alert = Alert::new(Stamp { seq: Seq(n), ..Stamp::default() }, b'L');
                self.positions.pass(self.seq, alert.as_record());
            }
            self.positions.pass_all(self.seq);
        }

        fn note(&mut self, sink: usize, n: u64) {
            self.notes[sink].note(&Confirmed { id: id(n), bytes: 0 });
        }

        fn position(&mut self) -> u64 {
            self.positions.look().unwrap()
        }
    }

    #[test]
    fn the_slowest_sink_says_how_far_all_are() {
        let mut sinks = Sinks::new();
        sinks.positions.pass_all(7);
        sinks.seq = 7;
        assert_eq!(sinks.position(), 7, "no action, nothing to be rid of");
        (1..=5).for_each(|n| sinks.pass(n, true));
        assert_eq!(sinks.position(), 7);
        sinks.note(0, 5);
        sinks.note(1, 2);
        assert_eq!(sinks.position(), 9);
        sinks.note(1, 4);
        assert_eq!(sinks.position(), 11);
        sinks.note(1, 5);
        sinks.positions.pass_all(40);
        assert_eq!(sinks.position(), 40);
    }

    #[test]
    fn what_a_sink_does_not_want_does_not_hold_it_back() {
        let mut sinks = Sinks::new();
        sinks.pass(1, true);
        sinks.pass(2, false);
        (0..2).for_each(|sink| sinks.note(sink, 1));
        assert_eq!(sinks.position(), 1, "the alert is still to be sent");
        sinks.note(0, 2);
        assert_eq!(sinks.position(), 2);
        // Decided in shadow: no sink gets it.
        let mut shadowed = order(3);
        shadowed.header.flags |= FLAG_SHADOW;
        sinks.positions.pass(3, shadowed.as_record());
        sinks.positions.pass_all(3);
        assert_eq!(sinks.position(), 3);
    }

    #[test]
    fn a_note_of_what_was_not_passed_yet_counts_when_it_comes() {
        let mut sinks = Sinks::new();
        sinks.pass(1, true);
        (0..2).for_each(|sink| sinks.note(sink, 3));
        assert_eq!(sinks.position(), 0);
        sinks.pass(2, true);
        assert_eq!(sinks.position(), 0);
        sinks.pass(3, true);
        assert_eq!(sinks.position(), 3);
        sinks.pass(4, true);
        assert_eq!(sinks.position(), 3);
        // One that is in no journal any more: its actions are all still to be sent.
        (0..2).for_each(|sink| sinks.note(sink, 999));
        assert_eq!(sinks.position(), 3);
    }

    #[test]
    fn a_dead_sink_costs_bounded_memory_and_keeps_all() {
        let mut sinks = Sinks::new();
        let most = WAITING_MAX as u64;
        (1..=most + 100).for_each(|n| sinks.pass(n, true));
        sinks.note(0, most + 100);
        assert_eq!(sinks.position(), 0, "what is forgotten still waits");
        assert_eq!(sinks.positions.sinks[1].waiting.len(), WAITING_MAX);
        sinks.note(1, 50);
        assert_eq!(sinks.position(), 0, "which that is nobody knows any more");
        sinks.note(1, 200);
        assert_eq!(sinks.position(), 200);
    }
}
