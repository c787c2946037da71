//! One shard's journal, decided over again.
//!
//! Invariant: what comes out was compared with what is in the journal, action by action. Only the
//! last record's actions may be missing there, all or the last of them: its writer died between
//! two entries.

use std::path::Path;

use corelane_feeds::record::{Record, RecordBuf};
use corelane_feeds::streams::sys::RuleChange;
use corelane_feeds::units::Nanos;
use corelane_strategies::action::ActionId;
use corelane_strategies::chain::Chain;
use corelane_strategies::registry::Registry;
use zerocopy::IntoBytes;

use super::unconfirmed::{Notes, Unconfirmed};
use super::{FeedLeft, SeenFeeds};
use crate::cli::exit::Failure;
use crate::config::Config;
use crate::journal::{End, Entry, JournalError, JournalReader, Kind};
use crate::rerun::Decider;
use crate::sys::prefetch::MEMORY;

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
    /// Records decided over again.
    pub records: u64,
    /// Actions that came out as they are in the journal.
    pub actions: u64,
    /// How often its rules changed.
    pub reloads: u32,
    /// The configuration with the rules that it ran last.
    pub(super) config: Config,
}

/// A shard on its way through its journal.
struct Way<'a> {
    decider: Decider<'a>,
    /// Actions of the record at hand, of which so many were met in the journal.
    now: Vec<RecordBuf>,
    met: usize,
    /// Sequence number of the record at hand.
    cause: u64,
    notes: Notes,
    left: ShardLeft,
}

/// Decides over a shard's journal again; `run` is the folder of the run.
pub(super) fn recover(
    run: &Path,
    dir: &Path,
    config: &Config,
    registry: &Registry,
    number: usize,
    feeds: &mut SeenFeeds,
    notes: Notes,
) -> anyhow::Result<ShardLeft> {
    let mut decider = Decider::new(run, config, registry, number, true)?;
    (0..config.feeds.len()).for_each(|feed| decider.chain_mut().reserve(feed as u8, MEMORY));
    let left = ShardLeft {
        chain: Chain::new(Vec::new(), Vec::new()),
        end: None,
        owed: Vec::new(),
        unconfirmed: Unconfirmed::default(),
        watermark: Nanos(0),
        feeds: vec![FeedLeft::default(); config.feeds.len()],
        records: 0,
        actions: 0,
        reloads: 0,
        config: config.clone(),
    };
    let mut entries = match JournalReader::open(dir) {
        // It died before it had begun its first segment, or even its folder.
        Err(JournalError::NoJournal(_)) => None,
        Err(error) if error.is_not_found() => None,
        opened => Some(opened?),
    };
    let mut way = Way { decider, now: Vec::new(), met: 0, cause: 0, notes, left };
    for entry in entries.iter_mut().flatten() {
        let entry = entry?;
        match entry.kind {
            Kind::Action => way.action(&entry)?,
            Kind::Input => way.input(&entry, feeds)?,
            Kind::Control | Kind::End => {}
        }
    }
    let Way { decider, mut now, met, notes, mut left, .. } = way;
    now.drain(..met);
    (left.owed, left.end) = (now, entries.and_then(|entries| entries.end()));
    left.unconfirmed = notes.finish();
    (left.chain, left.config) = decider.into_parts();
    Ok(left)
}

impl Way<'_> {
    fn input(&mut self, entry: &Entry, feeds: &mut SeenFeeds) -> anyhow::Result<()> {
        if let Some(missing) = self.now.get(self.met).and_then(RecordBuf::record) {
            return Err(self.differs(entry.seq, "nothing", &name(missing)));
        }
        let record = entry.record();
        self.left.records += 1;
        self.left.watermark = self.left.watermark.max(record.header.ts_event);
        if let Some(change) = record.view::<RuleChange>() {
            self.left.reloads = self.left.reloads.max(change.reloads);
        }
        if let Some(feed) = self.left.feeds.get_mut(usize::from(record.header.feed)) {
            feed.pass(record);
        }
        feeds.recall(record);
        self.cause = entry.seq;
        self.met = 0;
        self.now.clear();
        self.now.extend_from_slice(self.decider.take(record)?);
        Ok(())
    }

    fn action(&mut self, entry: &Entry) -> anyhow::Result<()> {
        let then = entry.record();
        let now = self.now.get(self.met).and_then(RecordBuf::record);
        if now.map(IntoBytes::as_bytes) == Some(then.as_bytes()) {
            self.met += 1;
            self.notes.pass(then);
            self.left.actions += 1;
            return Ok(());
        }
        let now = now.map_or_else(|| "nothing".to_owned(), name);
        Err(self.differs(entry.seq, &name(then), &now))
    }

    /// The same program and configuration do not decide the same: the run must not go on as if.
    fn differs(&self, seq: u64, then: &str, now: &str) -> anyhow::Error {
        let cause = self.cause;
        Failure::bad_data(format!(
            "record {cause} does not lead to what it led to: entry {seq} has {then}, now comes \
             {now}\n  this program decides otherwise than the one that wrote the journal: look \
             with `corelane replay --journal`, and begin anew with `start = \"fresh\"` in [journal]"
        ))
        .into()
    }
}

fn name(action: &Record) -> String {
    match ActionId::of(action) {
        Some(id) => format!("action {id}"),
        None => "a record that is no action".to_owned(),
    }
}
