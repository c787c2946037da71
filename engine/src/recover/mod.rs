//! Going on where an earlier run ended or died: what its journal has behind the newest snapshot is
//! decided over again, and the run begins with the state, the rules and the places in its feeds
//! that come out of it.
//!
//! ```text
//!            ┌── configuration and rules that ran ──┐
//! journal ───┤    newest snapshot that fits         ├──> chains, as they were after the last entry
//!            └── shard-000: inputs, actions behind ─┼──> feeds, at the next message
//!                                                   └──> actions that are not in it yet
//! ```
//!
//! Invariant: every action comes out byte for byte as it is in the journal, or the run does not
//! start. Nothing is written before all shards are known to be good. What is found is exactly one
//! of the cases in [`case`].

mod begin;
pub mod case;
mod feeds;
mod folders;
mod lock;
mod shard;
#[cfg(test)]
mod tests;
mod unconfirmed;

use std::path::Path;
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use anyhow::Context;
use corelane_strategies::registry::Registry;

use crate::cli::exit::Failure;
use crate::config::Config;
use crate::journal::{JournalError, Tail};
use crate::report::RecoveredReport;
use crate::rerun::decided;
use crate::run::plan;
use crate::snapshot::ReplicaStart;

use begin::Beginning;
pub use case::Case;
use case::{Configured, Copies, Findings, From, Newest, Written};
pub use feeds::{FeedLeft, SeenFeeds};
pub use folders::{ShardFolders, spread_decided};
pub use lock::DirLock;
pub use shard::ShardLeft;
pub use unconfirmed::Unconfirmed;

/// What an earlier run left, ready to go on.
pub struct Recovery {
    /// The configuration with the rules that ran last.
    pub config: Config,
    /// With those that ran first.
    pub began: Config,
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
    let mut look = look(config, registry)?;
    let decides = look.then.is_some();
    let mut left = Vec::new();
    if decides {
        left = decide(config, &mut look.shards)?;
    } else {
        look.shards.iter_mut().try_for_each(|(_, shard)| shard.verify())?;
    }
    let found = findings(&look);
    let case = Case::of(&found);
    if case == Case::Nothing {
        return Ok(None);
    }
    let detail = look.detail();
    if !case.goes_on() {
        return Err(refusal(&config.journal.dir, case, detail.as_deref()));
    }
    let then = look.then.context("a case that goes on has a configuration")?;
    let mut feeds = SeenFeeds::new(&then)?;
    let (mut running, reloads) =
        (then.clone(), left.iter().map(|shard| shard.reloads).max().unwrap_or(0));
    if let Some(last) = left.iter().max_by_key(|shard| shard.reloads) {
        running.rules.clone_from(&last.config.rules);
        running.rule_set = last.config.rule_set.clone();
    }
    check_reload(&running, config)?;
    // The rules that it began with may have changed while it ran.
    let same = running.rule_set.fingerprint() == config.rule_set.fingerprint();
    let configured = if same { Configured::Same } else { Configured::OtherRules };
    let case = Case::of(&Findings { configured, ..found });
    if case.is_despite() {
        let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
        eprintln!("corelane: the journal is {}{detail}\n  {}", case.found(), case.advice());
    }
    feeds.settle(&left);
    let report = report(case, &left, begun);
    // Everything but the rules is as it is configured now.
    let config = Config { rules: running.rules, rule_set: running.rule_set, ..config.clone() };
    Ok(Some(Recovery { config, began: then, shards: left, feeds, reloads, report }))
}

fn report(case: Case, left: &[ShardLeft], begun: Instant) -> RecoveredReport {
    let torn_bytes = left.iter().map(|shard| match shard.end.map(|end| end.tail) {
        Some(Tail::Torn { bytes, .. }) => bytes,
        _ => 0,
    });
    let snapshots = left.iter().filter_map(|shard| shard.snapshot.as_ref());
    RecoveredReport {
        case: case.name().to_owned(),
        snapshots: snapshots.map(|snapshot| snapshot.header.seq).collect(),
        records: left.iter().map(|shard| shard.records).sum(),
        actions: left.iter().map(|shard| shard.actions).sum(),
        owed: left.iter().map(|shard| shard.owed.len() as u64).sum(),
        resent: left.iter().map(|shard| shard.unconfirmed.past.again).sum(),
        torn_bytes: torn_bytes.sum(),
        ns: u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX),
    }
}

fn refusal(dir: &Path, case: Case, detail: Option<&str>) -> anyhow::Error {
    let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
    let (what, advice) = (case.found(), case.advice());
    let message = format!("the journal in {} is {what}{detail}\n  {advice}", dir.display());
    let failure =
        if case.is_configuration() { Failure::config(message) } else { Failure::bad_data(message) };
    failure.into()
}

/// Decides over the rest of every shard's journal, all shards at once.
fn decide(config: &Config, shards: &mut [Shard]) -> anyhow::Result<Vec<ShardLeft>> {
    let sinks: Vec<String> = config.sinks.iter().map(|sink| sink.name.clone()).collect();
    let decided = thread::scope(|scope| {
        let threads = shards.iter_mut().map(|(folders, shard)| {
            let sinks = &sinks;
            scope.spawn(move || decide_one(folders, shard, sinks))
        });
        let threads: Vec<_> = threads.collect();
        let join = |thread: ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect::<anyhow::Result<Vec<_>>>()
    });
    Ok(decided?.into_iter().flatten().collect())
}

/// The same for one; none if there is nothing to begin from, or the journal cannot be read on.
fn decide_one(
    folders: &ShardFolders,
    shard: &mut Beginning,
    sinks: &[String],
) -> anyhow::Result<Option<ShardLeft>> {
    let Some(replica) = shard.replica.take() else {
        shard.verify()?;
        return Ok(None);
    };
    let entries = shard.entries.as_deref_mut();
    match shard::recover(folders, replica, shard.snapshot.take(), entries, sinks) {
        Ok(left) => {
            shard.end();
            Ok(Some(left))
        }
        Err(error) => match error.downcast::<JournalError>() {
            Ok(error) => shard.fail(error).map(|()| None),
            Err(error) => Err(error.context(format!("recovering {}", folders.hot.display()))),
        },
    }
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

/// A shard's folders, and what it begins from.
type Shard = (ShardFolders, Beginning);

/// What was found, before anything is decided.
struct Look {
    configured: Configured,
    /// What a message adds about the configuration.
    detail: Option<String>,
    /// The configuration that the journal began with, if it can be gone on from.
    then: Option<Config>,
    shards: Vec<Shard>,
    copies: Copies,
}

impl Look {
    fn detail(&self) -> Option<String> {
        let worst = self.shards.iter().max_by_key(|(_, shard)| (shard.written, shard.newest));
        let whole = worst.is_none_or(|(_, shard)| shard.written.is_whole());
        let of_shard = worst.and_then(|(_, shard)| shard.detail.clone());
        if whole { self.detail.clone().or(of_shard) } else { of_shard }
    }
}

/// The worst of what was found in any shard.
fn findings(look: &Look) -> Findings {
    let shards = || look.shards.iter().map(|(_, shard)| shard);
    let has_any = shards().any(|shard| shard.written != Written::Nothing);
    // A shard whose first segment was never begun, beside others that were: it had no records.
    let counts = |shard: &&Beginning| !has_any || shard.written != Written::Nothing;
    let written = shards().filter(counts).map(|shard| shard.written).max();
    Findings {
        written: written.unwrap_or(Written::Nothing),
        copies: look.copies,
        configured: look.configured,
        newest: shards().map(|shard| shard.newest).max().unwrap_or(Newest::None),
        from: shards().map(|shard| shard.from).max().unwrap_or(From::Beginning),
    }
}

fn look(config: &Config, registry: &Registry) -> anyhow::Result<Look> {
    let mut look = Look {
        configured: Configured::Same,
        detail: None,
        then: None,
        shards: Vec::new(),
        copies: Copies::Agree,
    };
    let mut numbers = folders::shards(&config.journal)?;
    if numbers.is_empty() {
        return Ok(look);
    }
    let run = folders::decided_dir(&config.journal);
    match decided::load(run, registry) {
        Err(error) => {
            look.configured = Configured::Unreadable;
            look.detail = Some(format!("{error:#}"));
        }
        Ok(mut then) => {
            then.journal.clone_from(&config.journal);
            if let Some(differs) = plan::first_difference(&then, config) {
                look.configured = Configured::Other;
                look.detail = Some(differs);
            } else {
                if then.rule_set.fingerprint() != config.rule_set.fingerprint() {
                    look.configured = Configured::OtherRules;
                }
                // One that died before it had made them all.
                numbers = (0..then.engine.shards).collect();
                look.then = Some(then);
            }
        }
    }
    for shard in numbers {
        let folders = ShardFolders::of(&config.journal, shard);
        let then = look.then.as_ref();
        let start =
            then.map(|config| ReplicaStart { run, config, registry, shard, resident: true });
        let context = || format!("journal {}", folders.hot.display());
        let found = begin::find(&folders, start.as_ref()).with_context(context)?;
        if let Some(differs) = folders.difference().with_context(context)? {
            look.copies = Copies::Differ;
            look.detail = Some(format!("shard {shard}, {differs}"));
        }
        look.shards.push((folders, found));
    }
    Ok(look)
}
