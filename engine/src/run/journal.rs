//! The folders of a run's journal at its start: locked, gone on from or kept away.
//!
//! Invariant: what decides is written, in memory and on disk, before any shard runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use corelane_strategies::registry::Registry;

use crate::config::{Config, Start};
use crate::recover::{self, DirLock, Recovery};
use crate::rerun::decided;
use crate::sys::disk::{Disk, LocalDisk};

/// A file in the folder of a journal that a replay wrote.
const REPLAYED: &str = "replayed";

/// A run's journal at its start.
#[derive(Default)]
pub(super) struct OpenedJournal {
    /// Its folders are this process's as long as these are there.
    pub(super) locks: Vec<DirLock>,
    /// What an earlier run left, if it is gone on with.
    pub(super) recovery: Option<Recovery>,
}

/// Takes the journal's folders: what an earlier run left there is gone on with, or kept away, and
/// `tell` learns where it went.
pub(super) fn open_journal(
    config: &Config,
    registry: &Registry,
    live: bool,
    mut tell: impl FnMut(&Path),
) -> anyhow::Result<OpenedJournal> {
    let section = &config.journal;
    if !section.enabled {
        return Ok(OpenedJournal::default());
    }
    let dirs: Vec<&Path> =
        [Some(section.dir.as_path()), section.copy_dir()].into_iter().flatten().collect();
    let mut locks =
        dirs.iter().map(|dir| DirLock::take(dir)).collect::<anyhow::Result<Vec<_>>>()?;
    let is_replayed = dirs.iter().any(|dir| dir.join(REPLAYED).exists());
    // What a replay decided is no past of a live run, which may be about to receive the same.
    if live && section.start == Start::Recover && !is_replayed {
        let recovery = recover::recover(config, registry)?;
        if recovery.is_some() {
            recover::spread_decided(section)?;
            return Ok(OpenedJournal { locks, recovery });
        }
    }
    for (dir, lock) in dirs.iter().zip(&mut locks) {
        if let Some(earlier) = keep_earlier_journal(dir)? {
            tell(&earlier);
            *lock = DirLock::take(dir)?;
        }
        decided::save(dir, config)?;
        if !live {
            let replayed = dir.join(REPLAYED);
            fs::write(&replayed, "")
                .with_context(|| format!("cannot make {}", replayed.display()))?;
        }
    }
    Ok(OpenedJournal { locks, recovery: None })
}

/// Moves an earlier journal in `dir` out of the way, to the same name with the time behind it,
/// which is returned if there was one.
fn keep_earlier_journal(dir: &Path) -> anyhow::Result<Option<PathBuf>> {
    let earlier = match crate::journal::shard_dirs(dir) {
        Ok(shards) => !shards.is_empty(),
        Err(_) => false,
    };
    if !earlier {
        return Ok(None);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut name = dir.as_os_str().to_owned();
    name.push(format!(".{}", now.as_millis()));
    let name = PathBuf::from(name);
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    LocalDisk
        .rename(dir, &name)
        .and_then(|()| parent.map_or(Ok(()), |parent| LocalDisk.sync_dir(parent)))
        .with_context(|| format!("cannot move the earlier journal {} away", dir.display()))?;
    Ok(Some(name))
}
