//! What came of deciding again: counts per rule, and the first differences.
//!
//! Invariant: every action of either side is counted once.

use std::collections::BTreeMap;
use std::fmt;

use corelane_feeds::record::{Record, RecordBuf};
use serde::Serialize;
use zerocopy::IntoBytes;

/// How an action differs.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It was not decided then.
    Added,
    /// It is not decided now.
    Removed,
    /// It is decided with other values.
    Changed,
}

/// One action that differs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Difference {
    /// Sequence number in the journal of the record that caused it.
    pub journal_seq: u64,
    /// The strategy or rule.
    pub rule: String,
    /// How.
    pub change: Change,
    /// The action then, as the journal has it.
    pub then: Option<serde_json::Value>,
    /// The action now.
    pub now: Option<serde_json::Value>,
}

/// What became of a rule's actions.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct RuleCounts {
    /// The same then and now.
    pub same: u64,
    /// Only now.
    pub added: u64,
    /// Only then.
    pub removed: u64,
    /// With other values.
    pub changed: u64,
}

/// The outcome of deciding again.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Rerun {
    /// Records decided over.
    pub records: u64,
    /// By name of strategy or rule.
    pub rules: BTreeMap<String, RuleCounts>,
    /// The first differences.
    pub differences: Vec<Difference>,
    /// It stopped where it was told to.
    pub stopped: bool,
    /// The journal's first entries are gone, so state is not what it was.
    pub incomplete: bool,
    /// Shards whose journal ends within an entry.
    pub torn: u32,
    #[serde(skip)]
    examples: usize,
}

/// Actions by rule and ordinal.
type Keyed = Vec<((String, u16), RecordBuf)>;

impl Rerun {
    pub(super) fn new(examples: usize) -> Self {
        Self { examples, ..Self::default() }
    }

    /// Actions of all rules.
    #[must_use]
    pub fn total(&self) -> RuleCounts {
        self.rules.values().fold(RuleCounts::default(), |all, rule| RuleCounts {
            same: all.same + rule.same,
            added: all.added + rule.added,
            removed: all.removed + rule.removed,
            changed: all.changed + rule.changed,
        })
    }

    /// Whether every action is the same.
    #[must_use]
    pub fn is_same(&self) -> bool {
        let RuleCounts { added, removed, changed, .. } = self.total();
        added + removed + changed == 0
    }

    pub(super) fn same(&mut self, rule: &str) {
        match self.rules.get_mut(rule) {
            Some(counts) => counts.same += 1,
            None => self.rules.entry(rule.to_owned()).or_default().same += 1,
        }
    }

    /// Pairs the actions of one record up by rule and ordinal. Strictly the same are equal bytes;
    /// otherwise columns of equal name and value, which other rules may number otherwise.
    pub(super) fn differ(
        &mut self,
        journal_seq: u64,
        then: Keyed,
        mut now: Keyed,
        is_strict: bool,
        [then_json, now_json]: [&dyn Fn(&Record) -> String; 2],
    ) {
        for (key, action) in then {
            let Some(action) = action.record() else { continue };
            let was = value(&then_json(action));
            let Some(at) = now.iter().position(|(other, _)| *other == key) else {
                self.note(journal_seq, key.0, Change::Removed, Some(was), None);
                continue;
            };
            let other = now.swap_remove(at).1;
            let Some(other) = other.record() else { continue };
            let is = value(&now_json(other));
            let is_same = if is_strict {
                action.as_bytes() == other.as_bytes()
            } else {
                without_id(&was) == without_id(&is)
            };
            if is_same {
                self.same(&key.0);
            } else {
                self.note(journal_seq, key.0, Change::Changed, Some(was), Some(is));
            }
        }
        for (key, action) in now {
            let Some(action) = action.record() else { continue };
            let is = value(&now_json(action));
            self.note(journal_seq, key.0, Change::Added, None, Some(is));
        }
    }

    fn note(
        &mut self,
        journal_seq: u64,
        rule: String,
        change: Change,
        then: Option<serde_json::Value>,
        now: Option<serde_json::Value>,
    ) {
        let counts = self.rules.entry(rule.clone()).or_default();
        match change {
            Change::Added => counts.added += 1,
            Change::Removed => counts.removed += 1,
            Change::Changed => counts.changed += 1,
        }
        if self.differences.len() < self.examples {
            self.differences.push(Difference { journal_seq, rule, change, then, now });
        }
    }
}

fn value(json: &str) -> serde_json::Value {
    serde_json::from_str(json).unwrap_or_default()
}

/// An action without its id, in which a rule of another set has another number.
fn without_id(action: &serde_json::Value) -> serde_json::Value {
    let mut action = action.clone();
    if let Some(fields) = action.as_object_mut() {
        fields.remove("id");
    }
    action
}

impl fmt::Display for Rerun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self.rules.keys().map(String::len).max().unwrap_or(0).max(5);
        let line = |f: &mut fmt::Formatter<'_>, name: &str, counts: &RuleCounts| {
            let RuleCounts { same, added, removed, changed } = counts;
            writeln!(f, "{name:<widest$} {same:>12} {added:>10} {removed:>10} {changed:>10}")
        };
        writeln!(
            f,
            "{:<widest$} {:>12} {:>10} {:>10} {:>10}",
            "rule", "same", "added", "removed", "changed"
        )?;
        for (name, counts) in &self.rules {
            line(f, name, counts)?;
        }
        line(f, "all", &self.total())?;
        for difference in &self.differences {
            let Difference { journal_seq, rule, change, then, now } = difference;
            let what = format!("{change:?}").to_lowercase();
            writeln!(f, "{what} by {rule} at entry {journal_seq}")?;
            for (side, action) in [("then", then), ("now", now)] {
                if let Some(action) = action {
                    writeln!(f, "  {side}: {action}")?;
                }
            }
        }
        if self.torn > 0 {
            writeln!(f, "{} shard(s) end within an entry, which was left out", self.torn)?;
        }
        if self.incomplete {
            writeln!(f, "the first segments were retired: state is not what it was then")?;
        }
        writeln!(f, "{} records decided over", self.records)
    }
}
