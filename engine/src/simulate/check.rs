//! What must be true when a world has ended.
//!
//! Invariant: nothing is believed that the engine says of itself; files and the receiver are looked
//! at.

use std::collections::HashSet;

use anyhow::{bail, ensure};
use corelane_feeds::record::FLAG_SHADOW;
use corelane_feeds::units::Nanos;
use corelane_strategies::action::ActionId;
use zerocopy::IntoBytes;

use crate::egress::id_of_line;
use crate::journal::{Entry, Kind};

/// What is left of a world.
pub(super) struct Left {
    pub(super) journals: Vec<Vec<Entry>>,
    /// Lines at the receiver, each id once.
    pub(super) received: Vec<u8>,
    /// Lines in the file of actions.
    pub(super) file: Vec<u8>,
    /// Actions that a power cut may have taken from the journal when they had left.
    pub(super) forgotten: HashSet<ActionId>,
}

/// The ids of lines.
pub(super) fn ids(lines: &[u8]) -> Vec<ActionId> {
    lines.split_inclusive(|&byte| byte == b'\n').filter_map(id_of_line).collect()
}

/// The ids of the actions among entries, but for those in shadow.
pub(super) fn sent_ids(entries: &[Entry]) -> impl Iterator<Item = ActionId> {
    let actions = entries.iter().filter(|entry| entry.kind == Kind::Action);
    let sent = actions.filter(|action| action.record().header.flags & FLAG_SHADOW == 0);
    sent.filter_map(|action| ActionId::of(action.record()))
}

fn sorted(lines: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<_> = lines.split_inclusive(|&byte| byte == b'\n').collect();
    lines.sort_unstable();
    lines
}

impl Left {
    /// What has to hold in every world: an action that is in the journal has arrived, once.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let mut decided = HashSet::new();
        for (shard, entries) in self.journals.iter().enumerate() {
            for id in sent_ids(entries) {
                ensure!(decided.insert(id), "shard {shard}: action {id} is decided twice");
            }
        }
        for (where_, lines) in [("the receiver", &self.received), ("the file", &self.file)] {
            let ids = ids(lines);
            let mut arrived = HashSet::new();
            for id in ids {
                ensure!(arrived.insert(id), "{where_} has action {id} twice");
                let is_known = decided.contains(&id) || self.forgotten.contains(&id);
                ensure!(is_known, "{where_} has action {id}, which nobody decided");
            }
            if let Some(lost) = decided.iter().find(|&id| !arrived.contains(id)) {
                let (all, here) = (decided.len(), arrived.len());
                bail!("{where_} lacks action {lost}: it has {here} of {all}");
            }
        }
        Ok(())
    }

    /// What has to hold where every message came: all is as in an undisturbed world.
    pub(super) fn compare(&self, undisturbed: &Self) -> anyhow::Result<()> {
        for (shard, (own, others)) in self.journals.iter().zip(&undisturbed.journals).enumerate() {
            let equal = own.iter().zip(others).take_while(|(a, b)| is_equal(a, b)).count();
            ensure!(
                equal == own.len() && equal == others.len(),
                "shard {shard}: entry {} is {:?}, undisturbed it is {:?} ({} and {} entries)",
                equal + 1,
                own.get(equal),
                others.get(equal),
                own.len(),
                others.len()
            );
        }
        ensure!(sorted(&self.received) == sorted(&undisturbed.received), "actions received differ");
        ensure!(sorted(&self.file) == sorted(&undisturbed.file), "actions in the file differ");
        Ok(())
    }
}

/// Whether two entries are the same but for when their record was received.
fn is_equal(a: &Entry, b: &Entry) -> bool {
    let [a_buf, b_buf] = [a, b].map(|entry| {
        let mut buf = entry.record().to_buf();
        if let Some(header) = buf.header_mut() {
            header.ts_recv = Nanos(0);
        }
        buf
    });
    a.kind == b.kind
        && a_buf.record().map(IntoBytes::as_bytes) == b_buf.record().map(IntoBytes::as_bytes)
}
