//! Retires segments of a shard that nothing needs any more.
//!
//! ```text
//! 0000000001.segment  | 0000000002.segment | 0000000003.segment | ...
//!                     ^ all snapshots that are kept have what is before
//!                                   ^ all sinks are rid of the actions before
//! retired, if the policy has it so
//! ```
//!
//! Invariant: of a segment that goes, every entry is in each snapshot that is kept, and every
//! action is one that all sinks are rid of; it is the oldest, and, where a copy is kept on disk,
//! has left memory.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use anyhow::Context;

use crate::egress::{Filter, SinkPositions};
use crate::journal::{
    EntryRef, Followed, Follower, JournalError, Kind, Retained, Retention, first_seq, retain,
};
use crate::recover::ShardFolders;
use crate::sys::disk::LocalDisk;

/// See the [module](self).
pub(super) struct Retiring {
    policy: Retention,
    positions: SinkPositions,
    needed_seq: u64,
}

impl Retiring {
    /// Begins behind an entry: of what lies before only the actions count. It reads them until it
    /// is told to give up.
    pub(super) fn begin(
        folders: &ShardFolders,
        policy: Retention,
        sinks: Vec<(String, Filter)>,
        seq: u64,
        give_up: &AtomicBool,
    ) -> anyhow::Result<Self> {
        let positions = SinkPositions::new(&folders.hot, sinks);
        let mut retiring = Self { policy, positions, needed_seq: 1 };
        if seq == 0 {
            return Ok(retiring);
        }
        let context = || format!("reading the journal up to entry {seq}");
        let (hot, durable) = (folders.hot.as_path(), folders.durable.as_deref());
        let mut before = Follower::open(hot, durable, None).with_context(context)?;
        while !give_up.load(Ordering::Acquire) {
            match before.read().with_context(context)? {
                Followed::Entry(entry) if entry.seq <= seq => retiring.pass(&entry),
                _ => break,
            }
        }
        Ok(retiring)
    }

    /// The next entry of the journal.
    pub(super) fn pass(&mut self, entry: &EntryRef<'_>) {
        if entry.kind == Kind::Action {
            self.positions.pass(entry.seq, entry.record);
        }
        self.positions.pass_all(entry.seq);
    }

    /// The first entry that something needed when it last looked.
    pub(super) fn needed_seq(&self) -> u64 {
        self.needed_seq
    }

    /// Retires what the policy says of segments that nothing needs; every snapshot that is kept has
    /// all up to entry `covered`.
    pub(super) fn retire(
        &mut self,
        folders: &ShardFolders,
        covered: u64,
    ) -> anyhow::Result<Retained> {
        let rid = self.positions.look().context("notes of sinks")?;
        self.needed_seq = covered.min(rid) + 1;
        let (mut before, mut dir) = (self.needed_seq, folders.hot.as_path());
        if let Some(durable) = &folders.durable {
            dir = durable;
            match first_seq(&folders.hot) {
                Ok(in_memory) => before = before.min(in_memory.unwrap_or(before)),
                // It leaves memory at this moment: another time.
                Err(error) if error.is_not_found() => return Ok(Retained::default()),
                Err(error) => return Err(error.into()),
            }
        }
        match retain(&LocalDisk, dir, before, &self.policy, SystemTime::now()) {
            Err(JournalError::NoJournal(_)) => Ok(Retained::default()),
            done => Ok(done?),
        }
    }
}
