//! Tuning: what `tuning/apply` writes, what it keeps, and how `tuning/undo` brings it back.
//!
//! A setting is a file of sysfs or procfs, or `ethtool/IF/NAME` for a card's own; its value is
//! text. What was there before is kept in one file below `/run`, which a reboot empties as it
//! forgets the settings.
//!
//! Invariant: nothing is written before what it replaces is kept. A value that was kept is never
//! replaced by a later one, so that undoing after several runs gives what was there before the
//! first.

mod hand;
mod saved;
pub(super) mod wants;

use std::fmt;
use std::io;
use std::path::Path;

pub(super) use hand::value;
pub use hand::{Hand, LiveHand, TreeHand};
pub use saved::SAVED;

use super::{Finding, Fix, Host, Report, Severity};
use saved::Saved;

/// A setting and what it should be.
pub(super) type Want = (String, String);

/// One value to write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The check that asks for it; empty when undoing.
    pub check: &'static str,
    /// The file below the root, or `ethtool/IF/NAME`.
    pub path: String,
    /// What is there, to the last byte.
    pub before: String,
    /// What is to be there.
    pub after: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, before, after, .. } = self;
        let before = hand::value(before);
        let before = if before.is_empty() { "nothing" } else { before };
        match path.strip_prefix(hand::CARDS).and_then(|path| path.split_once('/')) {
            Some((interface, name)) => write!(f, "ethtool {interface}, {name}")?,
            None => write!(f, "/{path}")?,
        }
        write!(f, ": {before} -> {}", hand::value(after))
    }
}

/// All that is to be written.
#[derive(Debug, Default)]
pub struct Plan {
    /// In this order.
    pub changes: Vec<Change>,
    /// Checks that ask for something that cannot be written here, and why.
    pub cannot: Vec<(&'static str, String)>,
}

/// A change that the kernel or a driver refused.
#[derive(Debug)]
pub struct Refused {
    /// What was to be written.
    pub change: Change,
    /// What it answered.
    pub error: io::Error,
}

/// What it takes to put right what a report says is wrong.
#[must_use]
pub fn plan(host: &Host, report: &Report, hand: &dyn Hand) -> Plan {
    let mut plan = Plan::default();
    for Finding { check, verdict, .. } in &report.findings {
        let Fix::Apply(wants) = check.fix else { continue };
        if verdict.severity < Severity::Warn {
            continue;
        }
        let wanted = wants(host);
        if wanted.is_empty() {
            plan.cannot.push((check.id, "no value to write would be better".to_owned()));
        }
        for (path, after) in wanted {
            match hand.read(&path) {
                Ok(before) if hand::value(&before) == after => {}
                Ok(before) => {
                    plan.changes.push(Change { check: check.id, path, before, after });
                }
                Err(error) => plan.cannot.push((check.id, format!("/{path}: {error}"))),
            }
        }
    }
    plan
}

/// Keeps what is there in `saved`, then writes. What is refused is left out of `saved` again.
///
/// # Errors
/// If `saved` cannot be read or written; then nothing was changed, or all that was is kept.
pub fn apply(plan: &Plan, hand: &dyn Hand, saved: &Path) -> io::Result<Vec<Refused>> {
    let earlier = Saved::load(saved, hand)?.unwrap_or_else(|| Saved::new(hand));
    let mut kept = earlier.clone();
    for change in &plan.changes {
        kept.keep(&change.path, &change.before);
    }
    kept.store(saved)?;
    let mut refused = Vec::new();
    for change in &plan.changes {
        if let Err(error) = hand.write(&change.path, &change.after) {
            if !earlier.has(&change.path) {
                kept.forget(&change.path);
            }
            refused.push(Refused { change: change.clone(), error });
        }
    }
    if !refused.is_empty() {
        kept.store(saved)?;
    }
    Ok(refused)
}

/// What undoing would write: every value that was kept and is no longer there, last change first.
/// None if nothing is kept, or it is of an earlier boot.
///
/// # Errors
/// If `saved` cannot be read.
pub fn plan_undo(hand: &dyn Hand, saved: &Path) -> io::Result<Option<Plan>> {
    let Some(kept) = Saved::load(saved, hand)? else { return Ok(None) };
    let mut plan = Plan::default();
    for (path, after) in kept.values().rev() {
        match hand.read(path) {
            Ok(before) if before == after => {}
            Ok(before) => {
                let (path, after) = (path.to_owned(), after.to_owned());
                plan.changes.push(Change { check: "", path, before, after });
            }
            Err(error) => plan.cannot.push(("", format!("/{path}: {error}"))),
        }
    }
    Ok(Some(plan))
}

/// Writes what [`plan_undo`] gave. What is refused stays in `saved`; without any it is removed.
///
/// # Errors
/// If `saved` cannot be read, written or removed.
pub fn undo(plan: &Plan, hand: &dyn Hand, saved: &Path) -> io::Result<Vec<Refused>> {
    let mut refused = Vec::new();
    for change in &plan.changes {
        if let Err(error) = hand.write(&change.path, &change.after) {
            refused.push(Refused { change: change.clone(), error });
        }
    }
    if refused.is_empty() {
        std::fs::remove_file(saved)?;
    } else if let Some(mut kept) = Saved::load(saved, hand)? {
        let stays = |path: &str| refused.iter().any(|refused| refused.change.path == path);
        kept.retain(stays);
        kept.store(saved)?;
    }
    Ok(refused)
}
