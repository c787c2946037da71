//! Why an action was taken: its cause, the rows that the rule looked at, the rule's own text.
//!
//! Invariant: everything told is in the journal, or computed from what is.

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use corelane_feeds::record::{FLAG_SHADOW, Record, RecordBuf};
use corelane_strategies::action::ActionId;
use corelane_strategies::registry::Registry;
use serde::Serialize;
use serde_json::Value;
use zerocopy::IntoBytes;

use super::stages::{Stages, stamped_files};
use super::{Decider, change_of, decided, for_shards};
use crate::cli::exit::Failure;
use crate::config::Config;
use crate::egress::{format_record_json, schema_of};
use crate::journal::{Entry, JournalReader, Kind, shard_dirs};

/// Rows that are shown of what a rule looked at, the latest ones.
const ROWS_SHOWN: usize = 100;
/// Records of the same instrument that are shown where a rule looks at what is made of them.
const RECENT: usize = 20;

/// A record with its place in the journal.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Sequence number in the journal of the shard.
    pub journal_seq: u64,
    /// The record.
    pub record: Value,
}

/// Rows that the rule looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Rows {
    /// What they are to it.
    pub what: String,
    /// How many there are.
    pub count: usize,
    /// The latest of them, at most 100, in order.
    pub rows: Vec<Row>,
    /// What is computed of all of them.
    pub values: Vec<(String, String)>,
}

/// An answer.
#[derive(Clone, Debug, Serialize)]
pub struct Explained {
    /// The action as it was decided.
    pub action: Value,
    /// It was decided in shadow and not taken.
    pub is_shadow: bool,
    /// The shard that decided it.
    pub shard: usize,
    /// Sequence number of the action in the journal.
    pub journal_seq: u64,
    /// The record that caused it.
    pub cause: Row,
    /// How long it took.
    pub stages: Stages,
    /// The strategy or rule.
    pub rule: String,
    /// The rule's statement, or the settings of a strategy.
    pub text: String,
    /// How often rules had been changed by then.
    pub rule_changes: u32,
    /// The streams that the rule reads.
    pub reads: Vec<String>,
    /// What it looked at besides the cause.
    pub looked_at: Vec<Rows>,
    /// The journal's first entry: if it is not 1, those before were retired.
    pub first_seq: u64,
    /// Deciding again over the journal comes to the same bytes.
    pub is_reproduced: bool,
}

/// Explains an action from the journal of its run; when it was sent is told by a file of actions
/// with stamps, by default any that the run wrote.
///
/// # Errors
/// If no such action is in it, or a file cannot be read.
pub fn explain(
    journal: &Path,
    actions: Option<&Path>,
    id: &ActionId,
    config: &Config,
    registry: &Registry,
) -> anyhow::Result<Explained> {
    let dirs = shard_dirs(journal)?;
    let mut retired = 0;
    for (shard, dir) in dirs.iter().enumerate() {
        let first_seq = JournalReader::open(dir)?.next_seq();
        retired = retired.max(first_seq - 1);
        let Some(found) = find(dir, id)? else { continue };
        let config = for_shards(config, dirs.len());
        let mut ran = config.clone();
        if let Some(rules) = found.rules {
            decided::load_rules(journal, rules, &mut ran)?;
            ran.rule_set.follow(&config.rule_set)?;
        }
        let mut decider = Decider::new(journal, &config, registry, shard, true)?;
        let explained = again(dir, &found, &ran, &mut decider);
        let explained = explained.with_context(|| format!("journal {}", dir.display()));
        let (explained, again) = explained?;
        let given = actions.map(|path| vec![path.to_owned()]);
        let files = given.unwrap_or_else(|| stamped_files(&config.sinks));
        let stages = Stages::of(id, &found.cause.record().header, again, &files)?;
        return Ok(Explained { first_seq, stages, ..explained });
    }
    let retired = match retired {
        0 => String::new(),
        last => format!(", whose entries up to {last} were retired"),
    };
    Err(Failure::bad_data(format!("no action {id} in {}{retired}", journal.display())).into())
}

/// An action as the journal has it.
struct Found {
    action: Entry,
    cause: Entry,
    /// The rules that had taken the place of the first ones, and how often rules had changed.
    rules: Option<u64>,
    rule_changes: u32,
}

/// Looks for the action of an id.
fn find(dir: &Path, id: &ActionId) -> anyhow::Result<Option<Found>> {
    let (mut cause, mut rules, mut rule_changes) = (None, None, 0);
    for entry in JournalReader::open(dir)? {
        let entry = entry?;
        if entry.kind != Kind::Action {
            if let Some(change) = change_of(entry.record()) {
                (rules, rule_changes) = (Some(change.text), change.reloads);
            }
            cause = Some(entry);
        } else if ActionId::of(entry.record()).as_ref() == Some(id) {
            let cause = cause.context("the record that led to it was retired")?;
            return Ok(Some(Found { action: entry, cause, rules, rule_changes }));
        }
    }
    Ok(None)
}

/// Decides again up to the cause, and gathers what it was decided from; and how long the cause
/// took.
fn again(
    dir: &Path,
    found: &Found,
    ran: &Config,
    decider: &mut Decider,
) -> anyhow::Result<(Explained, Duration)> {
    let (action, cause) = (found.action.record(), found.cause.record());
    let number = usize::from(ActionId::of(action).map_or(0, |id| id.rule));
    // Rules come behind strategies; both count from 1.
    let section = ran.strategies.get(number.wrapping_sub(1));
    let rule = number.wrapping_sub(ran.strategies.len() + 1);
    let facts = ran.rule_set.facts(rule);
    let own = |record: &Record| (record.header.feed, record.header.instrument);
    let mut looked: Vec<(u64, RecordBuf)> = Vec::new();
    let mut recent: VecDeque<(u64, RecordBuf)> = VecDeque::new();
    let (mut is_reproduced, mut took) = (false, Duration::ZERO);
    for entry in JournalReader::open(dir)? {
        let entry = entry?;
        if entry.kind == Kind::Action {
            continue;
        }
        let record = entry.record();
        if own(record) == own(cause) {
            recent.push_back((entry.seq, record.to_buf()));
            if recent.len() > RECENT {
                recent.pop_front();
            }
        }
        let is_cause = entry.seq == found.cause.seq;
        if is_cause || ran.rule_set.concerns(rule, cause, record) {
            looked.push((entry.seq, record.to_buf()));
        }
        let begun = Instant::now();
        let actions = decider.take(record)?;
        if is_cause {
            took = begun.elapsed();
            let mut actions = actions.iter().filter_map(RecordBuf::record);
            is_reproduced = actions.any(|again| again.as_bytes() == action.as_bytes());
            break;
        }
    }
    let text = match (&facts, section) {
        (Some(facts), _) => facts.text.clone(),
        (None, Some(section)) => {
            let params = section.params.iter().map(|(key, value)| format!("{key} = {value:?}"));
            format!("strategy {} {}", section.kind, params.collect::<Vec<_>>().join(", "))
        }
        (None, None) => String::new(),
    };
    let reads = facts.map(|facts| facts.reads).unwrap_or_default();
    let explained = Explained {
        is_shadow: action.header.flags & FLAG_SHADOW != 0,
        shard: dir_number(dir),
        journal_seq: found.action.seq,
        stages: Stages::default(),
        cause: row(ran, found.cause.seq, cause),
        rule: decider.ran().name(action).to_owned(),
        text,
        rule_changes: found.rule_changes,
        reads: reads.into_iter().map(str::to_owned).collect(),
        looked_at: looked_at(ran, rule, &looked, recent.make_contiguous()),
        first_seq: 1,
        is_reproduced,
        action: serde_json::from_str(&decider.ran().json(action)).unwrap_or_default(),
    };
    Ok((explained, took))
}

fn dir_number(dir: &Path) -> usize {
    let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_prefix("shard-").and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// What the rule looked at; where it looks at what is made of records, the last of these.
fn looked_at(
    config: &Config,
    rule: usize,
    looked: &[(u64, RecordBuf)],
    recent: &[(u64, RecordBuf)],
) -> Vec<Rows> {
    let shown = |records: &[(u64, RecordBuf)], rows: &[usize]| {
        let latest = rows[rows.len().saturating_sub(ROWS_SHOWN)..].iter();
        let latest = latest.filter_map(|&at| Some((records[at].0, records[at].1.record()?)));
        latest.map(|(seq, record)| row(config, seq, record)).collect()
    };
    let all: Vec<&Record> = looked.iter().filter_map(|(_, buf)| buf.record()).collect();
    let evidence = config.rule_set.evidence(rule, &all);
    if evidence.is_empty() {
        let rows: Vec<usize> = (0..recent.len()).collect();
        let what = "the last records of the same instrument or key".to_owned();
        let (count, rows) = (rows.len(), shown(recent, &rows));
        return vec![Rows { what, count, rows, values: Vec::new() }];
    }
    let rows = evidence.into_iter().map(|evidence| Rows {
        rows: shown(looked, &evidence.rows),
        count: evidence.rows.len(),
        what: evidence.what,
        values: evidence.values,
    });
    rows.collect()
}

fn row(config: &Config, journal_seq: u64, record: &Record) -> Row {
    let declared = config.rule_set.declared_streams().iter();
    let mut declared = declared.map(|stream| stream.declared.schema);
    let schema = schema_of(record.header.stream)
        .or_else(|| declared.find(|schema| schema.stream == record.header.stream));
    let mut line = Vec::new();
    if let Some(schema) = schema {
        format_record_json(record, schema, &mut line);
    }
    Row { journal_seq, record: serde_json::from_slice(&line).unwrap_or_default() }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken = if self.is_shadow { " (in shadow: not taken)" } else { "" };
        writeln!(f, "action{taken}\n  {}", self.action)?;
        writeln!(f, "  entry {} of shard {}", self.journal_seq, self.shard)?;
        writeln!(f, "cause, entry {}\n  {}", self.cause.journal_seq, self.cause.record)?;
        write!(f, "{}", self.stages)?;
        writeln!(f, "decided by {}", self.rule)?;
        if self.rule_changes > 0 {
            writeln!(f, "  after {} changes of rules", self.rule_changes)?;
        }
        for line in self.text.lines() {
            writeln!(f, "  {line}")?;
        }
        for rows in &self.looked_at {
            writeln!(f, "{}: {} records", rows.what, rows.count)?;
            for (name, value) in &rows.values {
                writeln!(f, "  {name} = {value}")?;
            }
            for row in &rows.rows {
                writeln!(f, "  {:>10}  {}", row.journal_seq, row.record)?;
            }
        }
        if self.first_seq > 1 {
            let last = self.first_seq - 1;
            writeln!(
                f,
                "entries up to {last} were retired: what the rule knew of them is not here"
            )?;
        }
        let again = match (self.is_reproduced, self.first_seq) {
            (true, _) => "the same bytes",
            (false, 1) => "ANOTHER RESULT",
            (false, _) => "another result, as its beginning is gone",
        };
        writeln!(f, "decided again over the journal: {again}")
    }
}
