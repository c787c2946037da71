//! Where a stage puts what it decides (actions) and what it derives (records for later stages).
//!
//! Invariant: all memory is taken when the outbox is made. A stage that emits more than the bounds
//! of [`crate::strategy`] is a defect of the stage, and stops the run.

use corelane_feeds::record::{FLAG_DERIVED, Record, RecordBuf, View};
use zerocopy::FromBytes;

use crate::action::{ActionId, CAUSE_OFFSET, Cause, FAMILY};

/// Takes actions and derived records of one causing record at a time.
pub struct Outbox {
    actions: Box<[RecordBuf]>,
    actions_len: usize,
    derived: Box<[RecordBuf]>,
    derived_len: usize,
    cause: Cause,
}

impl Outbox {
    /// An outbox with room for so many actions and derived records per causing record.
    #[must_use]
    pub fn new(actions: usize, derived: usize) -> Self {
        Self {
            actions: vec![RecordBuf::default(); actions].into(),
            actions_len: 0,
            derived: vec![RecordBuf::default(); derived].into(),
            derived_len: 0,
            cause: Cause { session: 0, rule: 0, ordinal: 0 },
        }
    }

    /// Emits an action: any view of an action stream, its header stamped from the causing record.
    ///
    /// # Panics
    /// If the view is no action, or the stage emits more than it declared.
    #[inline]
    pub fn act<A: View>(&mut self, action: A) {
        const { assert!(A::SCHEMA.stream.0 & 0xff00 == FAMILY, "not an action stream") };
        const { assert!(A::SCHEMA.bytes >= CAUSE_OFFSET + size_of::<Cause>()) };
        // A stage may be called again for what the same record derived, so its ordinals go on.
        let rule = self.cause.rule;
        let earlier = self.actions().iter().filter_map(RecordBuf::record).filter_map(ActionId::of);
        self.cause.ordinal = earlier.filter(|id| id.rule == rule).count() as u16;
        let mut action = action;
        let place = &mut action.as_mut_bytes()[CAUSE_OFFSET..];
        if let Ok((cause, _)) = Cause::mut_from_prefix(place) {
            *cause = self.cause;
        }
        assert!(self.actions_len < self.actions.len(), "more actions than a stage declared");
        self.actions[self.actions_len].set(action.as_record());
        self.actions_len += 1;
    }

    /// Publishes a derived record: the stages behind this one see it before the next record.
    ///
    /// # Panics
    /// If a stage publishes more than [`crate::strategy::DERIVED_MAX`].
    #[inline]
    pub fn publish<V: View>(&mut self, record: V) {
        assert!(self.derived_len < self.derived.len(), "more derived records than allowed");
        let buf = &mut self.derived[self.derived_len];
        buf.set(record.as_record());
        if let Some(header) = buf.header_mut() {
            header.flags |= FLAG_DERIVED;
        }
        self.derived_len += 1;
    }

    /// The actions emitted so far for this record, in order.
    #[inline]
    #[must_use]
    pub fn actions(&self) -> &[RecordBuf] {
        &self.actions[..self.actions_len]
    }

    /// Starts over for the next causing record.
    #[inline]
    pub fn clear(&mut self) {
        self.actions_len = 0;
        self.derived_len = 0;
    }

    /// What follows is emitted by stage `rule`, caused by a record of `session`.
    #[inline]
    pub(crate) fn begin(&mut self, session: u32, rule: u16) {
        self.cause = Cause { session, rule, ordinal: 0 };
    }

    /// How many records were derived so far for this record.
    #[inline]
    #[must_use]
    pub fn derived_len(&self) -> usize {
        self.derived_len
    }

    /// The derived record `index`.
    #[must_use]
    pub fn derived(&self, index: usize) -> Option<&Record> {
        self.derived.get(index).filter(|_| index < self.derived_len)?.record()
    }
}
