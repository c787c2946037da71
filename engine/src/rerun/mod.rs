//! Decides again over the records of a journal, and compares with what was decided.
//!
//! ```text
//! journal ──input──> chain ──> actions now ──┐
//!         ──action──> actions then ──────────┴──> same | added | removed | changed
//! ```
//!
//! Invariant: with what decided then, every action comes out byte for byte; a shard's state is
//! built from its first record on.

pub mod decided;
mod explain;
mod stages;
mod tally;

pub use explain::{Explained, explain};
pub use stages::Stages;
pub use tally::{Change, Difference, Rerun, RuleCounts};

use std::path::{Path, PathBuf};

use anyhow::Context;
use corelane_feeds::record::{Record, RecordBuf};
use corelane_feeds::streams::sys::RuleChange;
use corelane_feeds::units::Nanos;
use corelane_strategies::action::ActionId;
use corelane_strategies::chain::Chain;
use corelane_strategies::registry::Registry;
use corelane_strategies::rules::Rules;
use zerocopy::IntoBytes;

use crate::config::{Config, Topology};
use crate::egress::{ActionExtras, format_action_json};
use crate::journal::{JournalReader, Kind, Tail, shard_dirs};
use crate::run::{build_chain, deciders};

/// Which entries of a journal count.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Bound {
    /// A sequence number of the journal.
    Seq(u64),
    /// An event time.
    Time(Nanos),
}

/// What to decide again.
#[derive(Clone, Debug)]
pub struct RerunOptions {
    /// The folder of a run.
    pub journal: PathBuf,
    /// Actions before are decided and not compared.
    pub from: Option<Bound>,
    /// The first entry that is not decided over.
    pub until: Option<Bound>,
    /// Other rules than those that ran: changes of rules in the journal are passed over.
    pub other_rules: bool,
    /// Differences that are kept as examples.
    pub examples: usize,
}

/// What decides at a place in a journal: it changes where rules changed.
pub struct Ran {
    journal: PathBuf,
    config: Config,
    /// By rule number, from 1.
    names: Vec<String>,
}

impl Ran {
    fn new(journal: &Path, config: &Config) -> Self {
        let journal = journal.to_owned();
        Self { journal, config: config.clone(), names: deciders(config) }
    }

    /// Rules changed: numbers of actions mean others from there on.
    fn change(&mut self, change: &RuleChange) -> anyhow::Result<()> {
        let earlier = self.config.rule_set.clone();
        decided::load_rules(&self.journal, change.text, &mut self.config)?;
        self.config.rule_set.follow(&earlier)?;
        self.names = deciders(&self.config);
        Ok(())
    }

    /// The configuration with the rules in force.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The strategy or rule of an action.
    #[must_use]
    pub fn name(&self, action: &Record) -> &str {
        let rule = ActionId::of(action).map_or(0, |id| usize::from(id.rule));
        self.names.get(rule.wrapping_sub(1)).map_or("unknown", String::as_str)
    }

    /// An action as a line of JSON.
    #[must_use]
    pub fn json(&self, action: &Record) -> String {
        let declared = self.config.rule_set.declared();
        let extras = ActionExtras { strategy: Some(self.name(action)), declared, ts_sent: None };
        let mut line = Vec::new();
        format_action_json(action, extras, &mut line);
        String::from_utf8_lossy(&line).into_owned()
    }
}

/// One shard as it was.
pub struct Decider {
    shard: usize,
    ran: Ran,
    chain: Chain,
    /// Whether rules change as they did.
    follows: bool,
    actions: Vec<RecordBuf>,
}

impl Decider {
    /// A shard of a run before its first record.
    ///
    /// # Errors
    /// If a strategy refuses its settings.
    pub fn new(
        journal: &Path,
        config: &Config,
        registry: &Registry,
        shard: usize,
        follows: bool,
    ) -> anyhow::Result<Self> {
        let chain = build_chain(config, registry, shard)?;
        let ran = Ran::new(journal, config);
        Ok(Self { shard, ran, chain, follows, actions: Vec::new() })
    }

    /// Decides over a record; returns the actions.
    ///
    /// # Errors
    /// If rules change there and their text is not at hand.
    pub fn take(&mut self, record: &Record) -> anyhow::Result<&[RecordBuf]> {
        self.actions.clear();
        let change = change_of(record);
        if change.is_some() && !self.follows {
            return Ok(&[]);
        }
        self.actions.extend_from_slice(self.chain.on_record(record));
        while let Some(more) = self.chain.resume() {
            self.actions.extend_from_slice(more);
        }
        if let Some(change) = change {
            self.ran.change(change)?;
            let Config { rule_set, .. } = &self.ran.config;
            let mut rules = Rules::on_shard(rule_set, self.ran.config.shares(), self.shard);
            self.chain.replace_rules(&mut rules);
        }
        Ok(&self.actions)
    }

    /// Its stages.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The same, to be changed.
    pub fn chain_mut(&mut self) -> &mut Chain {
        &mut self.chain
    }

    /// Its stages with their state, and the configuration with the rules that they have.
    #[must_use]
    pub fn into_parts(self) -> (Chain, Config) {
        (self.chain, self.ran.config)
    }

    /// What decides now.
    #[must_use]
    pub fn ran(&self) -> &Ran {
        &self.ran
    }
}

/// The change that a record says, if other rules take the place of those that ran.
fn change_of(record: &Record) -> Option<&RuleChange> {
    record.view::<RuleChange>().filter(|change| change.text != 0)
}

/// A configuration for as many shards as a journal has.
#[must_use]
pub fn for_shards(config: &Config, shards: usize) -> Config {
    let mut config = config.clone();
    if config.engine.shards != shards {
        config.engine.shards = shards;
        config.engine.topology = Topology::Pipelined;
    }
    config
}

/// Decides again over a whole journal. `then` is what decided, `now` is what decides: both the
/// same, unless other rules are tried.
///
/// # Errors
/// If the journal cannot be read, or rules that it names are missing.
pub fn rerun(
    options: &RerunOptions,
    then: &Config,
    now: &Config,
    registry: &Registry,
) -> anyhow::Result<Rerun> {
    let dirs = shard_dirs(&options.journal)?;
    let mut rerun = Rerun::new(options.examples);
    for (shard, dir) in dirs.iter().enumerate() {
        let (then, now) = (for_shards(then, dirs.len()), for_shards(now, dirs.len()));
        let follows = !options.other_rules;
        let mut decider = Decider::new(&options.journal, &now, registry, shard, follows)?;
        let mut then = Ran::new(&options.journal, &then);
        run_shard(dir, options, &mut decider, &mut then, &mut rerun)
            .with_context(|| format!("journal {}", dir.display()))?;
    }
    Ok(rerun)
}

fn run_shard(
    dir: &Path,
    options: &RerunOptions,
    decider: &mut Decider,
    past: &mut Ran,
    rerun: &mut Rerun,
) -> anyhow::Result<()> {
    let mut entries = JournalReader::open(dir)?;
    // Of the record at hand: what was decided, what is decided now.
    let mut then: Vec<RecordBuf> = Vec::new();
    let mut now: Vec<RecordBuf> = Vec::new();
    let mut cause = (0, Nanos(0));
    let (mut counts, mut is_first) = (false, true);
    for entry in entries.by_ref() {
        let entry = entry?;
        let record = entry.record();
        if std::mem::take(&mut is_first) && entry.seq > 1 {
            rerun.incomplete = true;
        }
        if entry.kind == Kind::Action {
            then.push(record.to_buf());
            continue;
        }
        if counts {
            compare(cause.0, [&then, &now], [past, decider.ran()], options.other_rules, rerun);
        }
        then.clear();
        cause = (entry.seq, cause.1.max(record.header.ts_event));
        let is_before = |bound: Bound| match bound {
            Bound::Seq(seq) => cause.0 < seq,
            Bound::Time(time) => cause.1 < time,
        };
        if options.until.is_some_and(|until| !is_before(until)) {
            counts = false;
            rerun.stopped = true;
            break;
        }
        counts = !options.from.is_some_and(is_before);
        rerun.records += 1;
        now.clear();
        now.extend_from_slice(decider.take(record)?);
        if let Some(change) = change_of(record) {
            past.change(change)?;
        }
    }
    if counts {
        compare(cause.0, [&then, &now], [past, decider.ran()], options.other_rules, rerun);
    }
    if let Some(Tail::Torn { .. }) = entries.tail() {
        rerun.torn += 1;
    }
    Ok(())
}

/// Compares the actions of one record, then and now: those of equal rule and ordinal are one.
fn compare(
    seq: u64,
    [then, now]: [&[RecordBuf]; 2],
    ran: [&Ran; 2],
    other_rules: bool,
    rerun: &mut Rerun,
) {
    let same = |a: &[RecordBuf], b: &[RecordBuf]| {
        let bytes = |buf: &RecordBuf| buf.record().map(|record| record.as_bytes().to_vec());
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| bytes(a) == bytes(b))
    };
    if !other_rules && same(then, now) {
        for action in then.iter().filter_map(RecordBuf::record) {
            rerun.same(ran[0].name(action));
        }
        return;
    }
    let keyed = |actions: &'_ [RecordBuf], ran: &Ran| {
        let actions = actions.iter().filter_map(RecordBuf::record);
        let key = |action: &Record| {
            let ordinal = ActionId::of(action).map_or(0, |id| id.ordinal);
            (ran.name(action).to_owned(), ordinal)
        };
        actions.map(|action| (key(action), action.to_buf())).collect::<Vec<_>>()
    };
    let json: [&dyn Fn(&Record) -> String; 2] = [&|a| ran[0].json(a), &|a| ran[1].json(a)];
    rerun.differ(seq, keyed(then, ran[0]), keyed(now, ran[1]), !other_rules, json);
}
