//! A shard as it was at a place in its journal.
//!
//! Invariant: whatever it begins from, the state is the same; only how long it takes is not.

use std::path::Path;

use super::{Replica, ReplicaStart, Snapshot, list};
use crate::cli::exit::Failure;
use crate::journal::{Behind, JournalReader, Kind};
use crate::rerun::Bound;

/// The shard whose folder is `dir` as it was before the first record beyond `until`, or at the end.
///
/// # Errors
/// If the journal cannot be read, its beginning is gone and no snapshot fits, or it does not decide
/// what it decided.
pub fn at(start: &ReplicaStart<'_>, dir: &Path, until: Option<Bound>) -> anyhow::Result<Replica> {
    let (mut replica, mut entries) = begin(start, dir, until)?;
    let mut time = replica.watermark;
    while let Some(entry) = entries.read()? {
        if entry.kind == Kind::Input {
            time = time.max(entry.record.header.ts_event);
            let is_beyond = match until {
                Some(Bound::Seq(seq)) => entry.seq >= seq,
                Some(Bound::Time(until)) => time >= until,
                None => false,
            };
            if is_beyond {
                break;
            }
        }
        replica.take(&entry)?;
    }
    Ok(replica)
}

/// The newest snapshot before the place that fits, or the journal's beginning.
fn begin(
    start: &ReplicaStart<'_>,
    dir: &Path,
    until: Option<Bound>,
) -> anyhow::Result<(Replica, Box<JournalReader>)> {
    for (seq, path) in list(dir)? {
        if matches!(until, Some(Bound::Seq(until)) if seq >= until) {
            continue;
        }
        // One that does not fit is no obstacle: there may be another, and there is the beginning.
        let Ok(snapshot) = Snapshot::read(&path) else { continue };
        let Ok(Behind::Entries(entries)) =
            JournalReader::open_behind(dir, None, &snapshot.header.place())
        else {
            continue;
        };
        let Ok(mut replica) = Replica::new(start, Some(&snapshot)) else { continue };
        if replica.restore(&snapshot).is_err() {
            continue;
        }
        if matches!(until, Some(Bound::Time(until)) if replica.watermark >= until) {
            continue;
        }
        return Ok((replica, entries));
    }
    let entries = JournalReader::open(dir)?;
    if entries.header().is_some_and(|header| header.base_seq > 1) {
        let what = format!(
            "the beginning of the journal in {} is gone, and no snapshot before that place fits",
            dir.display()
        );
        return Err(Failure::bad_data(what).into());
    }
    Ok((Replica::new(start, None)?, Box::new(entries)))
}
