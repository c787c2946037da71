//! One shard's journal, decided over again from where a start begins.
//!
//! Invariant: what comes out was compared with what is in the journal: see [`Replica`].

use corelane_feeds::record::RecordBuf;
use corelane_feeds::units::Nanos;
use corelane_strategies::chain::Chain;

use super::unconfirmed::{Notes, Unconfirmed};
use super::{FeedLeft, ShardFolders};
use crate::config::Config;
use crate::journal::{Batch, End, EntryRef, JournalReader, Kind};
use crate::snapshot::{Replica, Snapshot};

/// Entries read at once: memory that the last need is on its way while the first are decided on.
const AHEAD: usize = 16;

/// A shard as it was after the last entry of its journal.
pub struct ShardLeft {
    /// Its stages, with their state.
    pub chain: Chain,
    /// Where its journal goes on; none if it never had a record.
    pub end: Option<End>,
    /// Actions of the last record that are not in the journal yet.
    pub owed: Vec<RecordBuf>,
    /// Actions that sinks may not be rid of.
    pub unconfirmed: Unconfirmed,
    /// Latest event time of a record.
    pub watermark: Nanos,
    /// How far it has come in each feed.
    pub feeds: Vec<FeedLeft>,
    /// By feed, the numbers of its symbols, where they go by the order in which these came.
    pub(super) symbols: Vec<Vec<(u64, u16)>>,
    /// Records decided over again.
    pub records: u64,
    /// Actions that came out as they are in the journal.
    pub actions: u64,
    /// How often its rules changed.
    pub reloads: u32,
    /// The snapshot that it began from.
    pub snapshot: Option<Snapshot>,
    /// The configuration with the rules that it ran last.
    pub(super) config: Config,
}

/// Decides over the rest of a shard's journal, which `entries` read; `folders` are the shard's.
pub(super) fn recover(
    folders: &ShardFolders,
    mut replica: Replica,
    snapshot: Option<Snapshot>,
    mut entries: Option<&mut JournalReader>,
    sinks: &[String],
) -> anyhow::Result<ShardLeft> {
    let mut notes = Notes::read(folders, sinks)?;
    if let Some(snapshot) = &snapshot {
        notes.begin_behind(snapshot.header.place(), replica.last_action());
    }
    let begun = (replica.records, replica.actions);
    let mut batch = Batch::default();
    while let Some(entries) = &mut entries
        && batch.read(entries, AHEAD)?
    {
        replica.prefetch(&batch);
        for entry in batch.entries() {
            replica.take(&entry)?;
            if entry.kind == Kind::Action {
                notes.pass(entry.record);
            }
        }
    }
    if snapshot.is_some() && !notes.are_met() {
        notes = earlier_notes(folders, sinks)?;
    }
    let (watermark, feeds) = (replica.watermark, std::mem::take(&mut replica.feeds));
    let (records, actions) = (replica.records - begun.0, replica.actions - begun.1);
    let symbols = (0..feeds.len()).map(|feed| replica.symbols(feed).collect()).collect();
    let reloads = replica.reloads;
    let (chain, config, owed) = replica.into_parts();
    Ok(ShardLeft {
        chain,
        end: entries.and_then(|entries| entries.end()),
        owed,
        unconfirmed: notes.finish(),
        watermark,
        feeds,
        symbols,
        records,
        actions,
        reloads,
        snapshot,
        config,
    })
}

/// A sink noted what lies before the snapshot: looks for it in all that is there.
fn earlier_notes(folders: &ShardFolders, sinks: &[String]) -> anyhow::Result<Notes> {
    let mut notes = Notes::read(folders, sinks)?;
    let mut entries = folders.open()?;
    while let Some(EntryRef { kind, record, .. }) = entries.read()? {
        if kind == Kind::Action {
            notes.pass(record);
        }
    }
    Ok(notes)
}
