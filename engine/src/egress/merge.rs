//! Puts the actions of several shards into the one order that does not depend on their number.
//!
//! Within a shard actions stand in the order of its records; across shards the order is that of
//! their causes: (ts_event, feed, session, seq, rule, ordinal). The first of all that wait goes out
//! once no shard can come with an earlier one: each has something that waits, is closed, or has
//! said that its time is past it (a mark, see [`mark`](super::mark)).
//!
//! Invariant: a shard that goes back in time does not hold up the others; such actions are counted.

use std::collections::VecDeque;

use corelane_feeds::record::{Record, RecordBuf};
use corelane_feeds::units::Nanos;
use corelane_strategies::action::ActionId;

/// What orders actions: the time of the cause, then the id.
pub(super) type Key = (Nanos, ActionId);

/// The key of an action record.
pub(super) fn key(record: &Record) -> Option<Key> {
    Some((record.header.ts_event, ActionId::of(record)?))
}

#[derive(Default)]
struct Source {
    waiting: VecDeque<(Key, RecordBuf)>,
    watermark: Nanos,
    closed: bool,
}

#[derive(Default)]
pub(super) struct Merge {
    sources: Vec<Source>,
    last: Option<Key>,
    held: usize,
    pub(super) held_max: usize,
    pub(super) out_of_order: u64,
}

impl Merge {
    pub(super) fn new(sources: usize) -> Self {
        Self { sources: (0..sources).map(|_| Source::default()).collect(), ..Self::default() }
    }

    pub(super) fn push(&mut self, source: usize, key: Key, record: &Record) {
        self.sources[source].waiting.push_back((key, record.to_buf()));
        self.held += 1;
        self.held_max = self.held_max.max(self.held);
    }

    /// The source promises nothing earlier than `to`.
    pub(super) fn advance(&mut self, source: usize, to: Nanos) {
        let watermark = &mut self.sources[source].watermark;
        *watermark = to.max(*watermark);
    }

    pub(super) fn close(&mut self, source: usize) {
        self.sources[source].closed = true;
    }

    /// The next action, if it is certain which one that is.
    pub(super) fn pop(&mut self) -> Option<(usize, RecordBuf)> {
        let heads = self.sources.iter().enumerate();
        let heads = heads.filter_map(|(i, source)| Some((source.waiting.front()?.0, i)));
        let (first, next) = heads.min()?;
        let certain = |source: &Source| {
            source.closed || !source.waiting.is_empty() || source.watermark > first.0
        };
        if !self.sources.iter().all(certain) {
            return None;
        }
        let source = &mut self.sources[next];
        let (key, record) = source.waiting.pop_front()?;
        source.watermark = source.watermark.max(key.0);
        self.held -= 1;
        self.out_of_order += u64::from(self.last.is_some_and(|last| key < last));
        self.last = Some(key);
        Some((next, record))
    }

    pub(super) fn held(&self) -> usize {
        self.held
    }
}
