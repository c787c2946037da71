//! Going on where an earlier run ended or died: what its journal has is decided over again, and the
//! run begins with the state, the rules and the places in its feeds that come out of it.
//!
//! ```text
//!            ┌── configuration and rules that ran ──┐
//! journal ───┤                                      ├──> chains, as they were after the last entry
//!            └── shard-000: inputs, actions ────────┼──> feeds, at the next message
//!                                                   └──> actions that are not in it yet
//! ```
//!
//! Invariant: every action comes out byte for byte as it is in the journal, or the run does not
//! start. Nothing is written before all shards are known to be good. What is found is exactly one
//! of the cases in [`case`].

pub mod case;
mod feeds;
mod lock;
mod shard;
mod unconfirmed;

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use corelane_strategies::registry::Registry;

use crate::cli::exit::Failure;
use crate::config::Config;
use crate::journal::{JournalError, JournalReader, Tail, shard_dir, shard_dirs};
use crate::report::RecoveredReport;
use crate::rerun::decided;
use crate::run::plan;

pub use case::Case;
use case::{Configured, Findings, Written};
pub use feeds::{FeedLeft, SeenFeeds};
pub use lock::DirLock;
pub use shard::ShardLeft;
use unconfirmed::Notes;
pub use unconfirmed::Unconfirmed;

/// What an earlier run left, ready to go on.
pub struct Recovery {
    /// The configuration with the rules that ran last.
    pub config: Config,
    /// Every shard, by number.
    pub shards: Vec<ShardLeft>,
    /// Every feed of the configuration, at its next message; none if it never brought one.
    pub feeds: SeenFeeds,
    /// How often rules changed.
    pub reloads: u32,
    /// What was found and done.
    pub report: RecoveredReport,
}

/// Looks into the journal folder of a configuration; `None` if there is nothing to go on from.
///
/// # Errors
/// If what is there cannot be gone on from: what was found, and what to do.
pub fn recover(config: &Config, registry: &Registry) -> anyhow::Result<Option<Recovery>> {
    let begun = Instant::now();
    let dir = &config.journal.dir;
    let found = look(config, registry)?;
    let case = Case::of(&found.findings);
    if case == Case::Nothing {
        return Ok(None);
    }
    if !case.goes_on() {
        let detail = found.detail.map(|detail| format!(": {detail}")).unwrap_or_default();
        let (what, advice) = (case.found(), case.advice());
        let message = format!("the journal in {} is {what}{detail}\n  {advice}", dir.display());
        let failure = if case.is_configuration() {
            Failure::config(message)
        } else {
            Failure::bad_data(message)
        };
        return Err(failure.into());
    }
    let then = found.then.context("a case that goes on has a configuration")?;
    let shards = then.engine.shards;
    let mut feeds = SeenFeeds::new(&then)?;
    let mut left = Vec::with_capacity(shards);
    for number in 0..shards {
        let folder = shard_dir(dir, number as u16);
        let sinks = config.sinks.iter().map(|sink| sink.name.as_str());
        let notes = Notes::read(&folder, sinks);
        let notes = notes.with_context(|| format!("notes of sinks in {}", folder.display()))?;
        let shard = shard::recover(dir, &folder, &then, registry, number, &mut feeds, notes);
        left.push(shard.with_context(|| format!("recovering {}", folder.display()))?);
    }
    let (mut running, reloads) = (then, left.iter().map(|shard| shard.reloads).max().unwrap_or(0));
    if let Some(last) = left.iter().max_by_key(|shard| shard.reloads) {
        running.rules.clone_from(&last.config.rules);
        running.rule_set = last.config.rule_set.clone();
    }
    check_reload(&running, config)?;
    // The rules that it began with may have changed while it ran.
    let same = running.rule_set.fingerprint() == config.rule_set.fingerprint();
    let configured = if same { Configured::Same } else { Configured::OtherRules };
    let case = Case::of(&Findings { configured, ..found.findings });
    feeds.settle(&left);
    let torn_bytes = left.iter().map(|shard| match shard.end.map(|end| end.tail) {
        Some(Tail::Torn { bytes, .. }) => bytes,
        _ => 0,
    });
    let report = RecoveredReport {
        case: case.name().to_owned(),
        records: left.iter().map(|shard| shard.records).sum(),
        actions: left.iter().map(|shard| shard.actions).sum(),
        owed: left.iter().map(|shard| shard.owed.len() as u64).sum(),
        resent: left.iter().map(|shard| shard.unconfirmed.past.again).sum(),
        torn_bytes: torn_bytes.sum(),
        ns: u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX),
    };
    // Everything but the rules is as it is configured now.
    let config = Config { rules: running.rules, rule_set: running.rule_set, ..config.clone() };
    Ok(Some(Recovery { config, shards: left, feeds, reloads, report }))
}

/// Rules that changed while nothing ran take the place of the others as if it were a change in
/// the run: whatever forbids that there is to be known before anything starts.
fn check_reload(ran: &Config, config: &Config) -> anyhow::Result<()> {
    let mut next = config.rule_set.clone();
    next.follow(&ran.rule_set).map_err(|error| {
        let what = format!(
            "the rules cannot take the place of those of the earlier run: {error}\n  \
             keep that run's journal away and begin anew: `start = \"fresh\"` in [journal]"
        );
        Failure::config(what).into()
    })
}

/// What was found, before anything is decided.
struct Look {
    findings: Findings,
    /// What a message adds.
    detail: Option<String>,
    /// The configuration that the journal began with.
    then: Option<Config>,
}

fn look(config: &Config, registry: &Registry) -> anyhow::Result<Look> {
    let dir = &config.journal.dir;
    let (written, mut detail) = look_at_segments(dir)?;
    let mut configured = Configured::Same;
    let mut then = None;
    if written.is_whole() {
        match decided::load(dir, registry) {
            Err(error) => {
                configured = Configured::Unreadable;
                detail = Some(format!("{error:#}"));
            }
            Ok(mut earlier) => {
                earlier.journal.clone_from(&config.journal);
                if let Some(differs) = plan::first_difference(&earlier, config) {
                    configured = Configured::Other;
                    detail = Some(differs);
                } else if earlier.rule_set.fingerprint() != config.rule_set.fingerprint() {
                    configured = Configured::OtherRules;
                }
                then = Some(earlier);
            }
        }
    }
    Ok(Look { findings: Findings { written, configured }, detail, then })
}

/// Reads every shard's journal to its end; the worst of what is found.
fn look_at_segments(dir: &Path) -> anyhow::Result<(Written, Option<String>)> {
    let dirs = match shard_dirs(dir) {
        Ok(dirs) => dirs,
        Err(JournalError::NoJournal(_)) => return Ok((Written::Nothing, None)),
        Err(error) if error.is_not_found() => return Ok((Written::Nothing, None)),
        Err(error) => return Err(error.into()),
    };
    let mut all = Vec::new();
    for dir in dirs {
        let found = look_at_shard(&dir);
        let found = found.with_context(|| format!("journal {}", dir.display()))?;
        all.push(found);
    }
    let has_any = all.iter().any(|(written, _)| *written != Written::Nothing);
    // A shard whose first segment was never begun, beside others that were: it had no records.
    let all = all.into_iter().filter(|(written, _)| !has_any || *written != Written::Nothing);
    Ok(all.max_by_key(|(written, _)| *written).unwrap_or((Written::Nothing, None)))
}

fn look_at_shard(dir: &Path) -> anyhow::Result<(Written, Option<String>)> {
    let mut reader = match JournalReader::open(dir) {
        Ok(reader) => reader,
        Err(JournalError::NoJournal(_)) => return Ok((Written::Nothing, None)),
        Err(error) => return bad(error),
    };
    if reader.segments() == 0 {
        return Ok((Written::Nothing, None));
    }
    if let Some(Err(error)) = reader.by_ref().find(Result::is_err) {
        return bad(error);
    }
    let written = match reader.tail() {
        Some(Tail::Closed) => Written::Closed,
        Some(Tail::Torn { .. }) => Written::Torn,
        Some(Tail::Open) | None => Written::Open,
    };
    Ok((written, None))
}

fn bad(error: JournalError) -> anyhow::Result<(Written, Option<String>)> {
    match Written::of(&error) {
        Some(written) => Ok((written, Some(error.to_string()))),
        None => Err(error.into()),
    }
}
