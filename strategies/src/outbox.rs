//! Where a stage puts what it decides (actions) and what it derives (records for later stages).
//!
//! Invariant: all memory is taken when the outbox is made. A stage that emits more than the bounds
//! of [`crate::strategy`] is a defect of the stage, and stops the run.

use corelane_feeds::record::{FLAG_DERIVED, Header, Record, RecordBuf, Stamp, View};
use zerocopy::{FromBytes, IntoBytes};

use crate::action::{ActionId, CAUSE_OFFSET, Cause, FAMILY};

/// Takes actions and derived records of one causing record at a time.
pub struct Outbox {
    actions: Box<[RecordBuf]>,
    actions_len: usize,
    /// Boxed one by one, so that one can be taken out for its dispatch without a copy.
    derived: Box<[Box<RecordBuf>]>,
    /// Which stage published each of them.
    publishers: Box<[u8]>,
    derived_len: usize,
    /// Key of the session of the causing record.
    session: u32,
    /// Which stage is at work.
    stage: u8,
    stages: Box<[StageTally]>,
    /// Counts causing records.
    causes: u64,
    /// Counts fillings: a causing record has one, or more if a stage had to stop for want of room.
    fillings: u64,
}

/// What a stage emitted.
#[derive(Copy, Clone, Debug, Default)]
struct StageTally {
    /// Its rule number.
    rule: u16,
    /// Actions so far.
    actions: u64,
    /// The filling in which it last emitted, and how many actions it emitted in it.
    filling: u64,
    emitted: usize,
}

impl StageTally {
    #[inline]
    fn count(&mut self, filling: u64) {
        self.actions += 1;
        self.emitted = if self.filling == filling { self.emitted + 1 } else { 1 };
        self.filling = filling;
    }
}

impl Outbox {
    /// An outbox for one stage, with room for so many actions and derived records per causing
    /// record.
    #[must_use]
    pub fn new(actions: usize, derived: usize) -> Self {
        Self::for_stages(actions, derived, &[0])
    }

    /// An outbox for stages of these rule numbers.
    #[must_use]
    pub(crate) fn for_stages(actions: usize, derived: usize, rules: &[u16]) -> Self {
        Self {
            actions: vec![RecordBuf::default(); actions].into(),
            actions_len: 0,
            derived: vec![Box::default(); derived].into(),
            publishers: vec![0; derived].into(),
            derived_len: 0,
            session: 0,
            stage: 0,
            stages: rules.iter().map(|&rule| StageTally { rule, ..Default::default() }).collect(),
            causes: 0,
            fillings: 0,
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
        let rule = self.stages[usize::from(self.stage)].rule;
        let earlier = self.actions().iter().filter_map(RecordBuf::record).filter_map(ActionId::of);
        let ordinal = earlier.filter(|id| id.rule == rule).count() as u16;
        let mut action = action;
        let place = &mut action.as_mut_bytes()[CAUSE_OFFSET..];
        if let Ok((cause, _)) = Cause::mut_from_prefix(place) {
            *cause = Cause { session: self.session, rule, ordinal };
        }
        self.stages[usize::from(self.stage)].count(self.fillings);
        assert!(self.actions_len < self.actions.len(), "more actions than a stage declared");
        self.actions[self.actions_len].set(action.as_record());
        self.actions_len += 1;
    }

    /// Emits an action that is a record already, for the `rule`th rule of a stage that runs
    /// several; `cause.rule` is overwritten.
    ///
    /// # Panics
    /// If the stage emits more than it declared.
    #[inline]
    pub(crate) fn act_record(&mut self, rule: u16, cause: Cause, action: &mut RecordBuf) {
        let stage = &mut self.stages[usize::from(self.stage)];
        stage.count(self.fillings);
        let cause = Cause { rule: stage.rule.saturating_add(rule), ..cause };
        action.put(CAUSE_OFFSET, cause.as_bytes());
        assert!(self.actions_len < self.actions.len(), "more actions than a stage declared");
        if let Some(action) = action.record() {
            self.actions[self.actions_len].set(action);
            self.actions_len += 1;
        }
    }

    /// Actions of the stage at work since there was last room for all.
    #[inline]
    pub(crate) fn acted_by_stage(&self) -> usize {
        let stage = &self.stages[usize::from(self.stage)];
        if stage.filling == self.fillings { stage.emitted } else { 0 }
    }

    /// Key of the session of the causing record.
    #[inline]
    pub(crate) fn session(&self) -> u32 {
        self.session
    }

    /// Which causing record is at hand: another number for every one.
    #[inline]
    pub(crate) fn cause(&self) -> u64 {
        self.causes
    }

    /// Publishes a derived record: the stages behind this one see it before the next record.
    ///
    /// # Panics
    /// If a stage publishes more than [`crate::strategy::DERIVED_MAX`].
    #[inline]
    pub fn publish<V: View>(&mut self, record: V) {
        let header = record.as_record().header;
        let place = self.derive::<V>(header.stamp(), header.tag);
        let flags = header.flags | FLAG_DERIVED;
        *place = record;
        if let Some(header) = self.derived[self.derived_len - 1].header_mut() {
            header.flags = flags;
        }
    }

    /// Publishes a derived record that is made in its place: every field is 0 but for those of the
    /// header. Later stages see what the caller makes of it.
    ///
    /// # Panics
    /// As [`Outbox::publish`].
    #[inline]
    pub fn derive<V: View>(&mut self, stamp: Stamp, tag: u8) -> &mut V {
        let at = self.derived_len;
        assert!(at < self.derived.len(), "more derived records than allowed");
        self.publishers[at] = self.stage;
        self.derived_len = at + 1;
        let stamp = Stamp { flags: stamp.flags | FLAG_DERIVED, ..stamp };
        let header = Header::new(V::SCHEMA.stream, size_of::<V>(), tag, stamp);
        let place = self.derived[at].begin(&header);
        V::mut_from_bytes(place).expect("a record's own bytes, at a slot's alignment")
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
        self.fillings += 1;
        self.actions_len = 0;
        self.derived_len = 0;
    }

    /// Starts over for a causing record of the session with this key.
    #[inline]
    pub(crate) fn start(&mut self, session: u32) {
        self.clear();
        self.causes += 1;
        self.session = session;
    }

    /// What follows is emitted by the stage at position `stage`.
    #[inline]
    pub(crate) fn begin(&mut self, stage: u8) {
        self.stage = stage;
    }

    /// Actions that the stages of a rule number emitted so far.
    #[must_use]
    pub(crate) fn actions_of(&self, rule: u16) -> u64 {
        self.stages.iter().filter(|stage| stage.rule == rule).map(|stage| stage.actions).sum()
    }

    /// Actions of every stage so far.
    pub(crate) fn tallies(&self) -> impl Iterator<Item = u64> {
        self.stages.iter().map(|stage| stage.actions)
    }

    /// A stage goes on from so many actions.
    pub(crate) fn set_tally(&mut self, stage: usize, actions: u64) {
        if let Some(stage) = self.stages.get_mut(stage) {
            stage.actions = actions;
        }
    }

    /// Swaps the derived record `index` with what `place` holds and returns the position of the
    /// stage that published it; `None` if there is none.
    #[inline]
    pub(crate) fn take_derived(&mut self, index: usize, place: &mut Box<RecordBuf>) -> Option<u8> {
        if index >= self.derived_len {
            return None;
        }
        std::mem::swap(self.derived.get_mut(index)?, place);
        self.publishers.get(index).copied()
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
