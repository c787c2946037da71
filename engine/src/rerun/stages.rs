//! How long each stage of an action took: what its records say, and what a file of actions with
//! stamps says of it.
//!
//! Invariant: no time is told that was not taken when the action was decided, but for that of
//! deciding again, which is named so.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use corelane_feeds::record::Header;
use corelane_strategies::action::ActionId;
use serde::{Deserialize, Serialize};

use crate::config::{SinkFormat, SinkSection, SinkTarget};
use crate::egress::id_of_line;

/// Times of venues that count from midnight cannot be held against ours, nor can the receipts of a
/// capture against the sending of what it led to later.
const DAY_NS: u64 = 86_400_000_000_000;

/// How long the stages of an action took, nanoseconds.
#[derive(Copy, Clone, Default, PartialEq, Eq, Debug, Serialize)]
pub struct Stages {
    /// From the cause's event time to its receipt, if both are known.
    pub event_to_receipt_ns: Option<u64>,
    /// From its receipt to the action's being sent, if a file of actions has it with stamps.
    pub receipt_to_sent_ns: Option<u64>,
    /// Deciding on the cause once more, on this machine, when asked to explain.
    pub decided_again_ns: u64,
}

/// The stamps of an action's line.
#[derive(Deserialize)]
struct Stamped {
    ts_recv: Option<u64>,
    ts_sent: Option<u64>,
}

impl Stages {
    /// Of the action of an id whose cause has this header.
    ///
    /// # Errors
    /// If a file of actions cannot be read.
    pub(super) fn of(
        id: &ActionId,
        cause: &Header,
        again: Duration,
        files: &[PathBuf],
    ) -> anyhow::Result<Self> {
        let waited = cause.ts_recv.0.checked_sub(cause.ts_event.0);
        let mut stages = Self {
            event_to_receipt_ns: waited.filter(|ns| *ns < DAY_NS),
            receipt_to_sent_ns: None,
            decided_again_ns: again.as_nanos().try_into().unwrap_or(u64::MAX),
        };
        for file in files {
            let sent = sent(id, file).with_context(|| format!("cannot read {}", file.display()))?;
            stages.receipt_to_sent_ns = stages.receipt_to_sent_ns.or(sent);
        }
        Ok(stages)
    }
}

/// The files of actions with stamps that a run writes, as far as they are there.
pub(super) fn stamped_files(sinks: &[SinkSection]) -> Vec<PathBuf> {
    let stamped = sinks.iter().filter(|sink| sink.stamps && sink.format == SinkFormat::Json);
    let files = stamped.filter_map(|sink| match &sink.target {
        SinkTarget::File(path) if path.exists() => Some(path.clone()),
        _ => None,
    });
    files.collect()
}

/// From the receipt of its cause to the sending of an action, by its line in a file.
fn sent(id: &ActionId, file: &Path) -> std::io::Result<Option<u64>> {
    for line in BufReader::new(File::open(file)?).lines() {
        let line = line?;
        if id_of_line(line.as_bytes()) != Some(*id) {
            continue;
        }
        let invalid = |error| std::io::Error::new(ErrorKind::InvalidData, error);
        let Stamped { ts_recv, ts_sent } = serde_json::from_str(&line).map_err(invalid)?;
        let took = ts_recv.zip(ts_sent).and_then(|(received, sent)| sent.checked_sub(received));
        return Ok(took.filter(|ns| *ns < DAY_NS));
    }
    Ok(None)
}

impl fmt::Display for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = |ns: u64| ns as f64 / 1e3;
        if let Some(ns) = self.event_to_receipt_ns {
            writeln!(f, "  received {:.3} us after its event time", us(ns))?;
        }
        if let Some(ns) = self.receipt_to_sent_ns {
            writeln!(f, "  the action was sent {:.3} us after the receipt", us(ns))?;
        }
        writeln!(f, "  decided on again in {:.3} us, just now", us(self.decided_again_ns))
    }
}
