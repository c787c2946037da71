//! The folders of a run's journal at its start: locked, gone on from or kept away.
//!
//! Invariant: what decides is written, in memory and on disk, before any shard runs.

use std::fs;
use std::path::Path;

use anyhow::Context;
use corelane_strategies::registry::Registry;

use super::plan;
use crate::config::{Config, Start};
use crate::recover::{self, DirLock, Recovery};
use crate::rerun::decided;

/// A file in the folder of a journal that a replay wrote.
const REPLAYED: &str = "replayed";

/// Takes the journal's folders: what an earlier run left there is gone on with, or kept away.
pub(super) fn open_journal(
    config: &Config,
    registry: &Registry,
    live: bool,
) -> anyhow::Result<(Vec<DirLock>, Option<Recovery>)> {
    let section = &config.journal;
    if !section.enabled {
        return Ok((Vec::new(), None));
    }
    let dirs: Vec<&Path> =
        [Some(section.dir.as_path()), section.copy_dir()].into_iter().flatten().collect();
    let mut locks =
        dirs.iter().map(|dir| DirLock::take(dir)).collect::<anyhow::Result<Vec<_>>>()?;
    let is_replayed = dirs.iter().any(|dir| dir.join(REPLAYED).exists());
    // What a replay decided is no past of a live run, which may be about to receive the same.
    if live && section.start == Start::Recover && !is_replayed {
        let recovery = recover::recover(config, registry)?;
        if let Some(recovery) = recovery {
            recover::spread_decided(section)?;
            return Ok((locks, Some(recovery)));
        }
    }
    for (dir, lock) in dirs.iter().zip(&mut locks) {
        if plan::keep_earlier_journal(dir)? {
            *lock = DirLock::take(dir)?;
        }
        decided::save(dir, config)?;
        if !live {
            let replayed = dir.join(REPLAYED);
            fs::write(&replayed, "")
                .with_context(|| format!("cannot make {}", replayed.display()))?;
        }
    }
    Ok((locks, None))
}
