//! Where a shard's journal lies: in memory, and its copy on disk.
//!
//! Invariant: what is in memory wins; a copy is only asked for what is not there. The two never
//! differ in a byte that was written on disk, or the run does not start.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::config::JournalSection;
use crate::egress::confirm;
use crate::journal::{
    Behind, JournalError, JournalReader, Place, difference, oldest_segment, shard_dir, shard_dirs,
};
use crate::rerun::decided;
use crate::snapshot;
use crate::sys::disk::{Disk, LocalDisk};

/// The folders of one shard.
#[derive(Clone, Debug)]
pub struct ShardFolders {
    /// In memory.
    pub hot: PathBuf,
    /// On disk, if a copy is kept there.
    pub durable: Option<PathBuf>,
}

impl ShardFolders {
    /// Those of the shard of a number.
    #[must_use]
    pub fn of(section: &JournalSection, number: usize) -> Self {
        let shard = |dir: &Path| shard_dir(dir, number as u16);
        Self { hot: shard(&section.dir), durable: section.copy_dir().map(shard) }
    }

    /// Opens the journal.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn open(&self) -> Result<JournalReader, JournalError> {
        JournalReader::open_both(&self.hot, self.durable.as_deref())
    }

    /// Opens the journal behind a place.
    ///
    /// # Errors
    /// If it cannot be read there.
    pub fn open_behind(&self, place: &Place) -> Result<Behind, JournalError> {
        JournalReader::open_behind(&self.hot, self.durable.as_deref(), place)
    }

    /// Where snapshots are written: on disk, if a copy of the journal is kept there.
    #[must_use]
    pub fn snapshots(&self) -> &Path {
        self.durable.as_deref().unwrap_or(&self.hot)
    }

    /// Every snapshot, the newest first: in memory, too, where they were before there was a copy.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub fn all_snapshots(&self) -> Result<Vec<(u64, PathBuf)>, JournalError> {
        let mut all = Vec::new();
        for dir in [self.snapshots(), &self.hot] {
            match snapshot::list(dir) {
                Err(error) if error.is_not_found() => {}
                listed => all.extend(listed?),
            }
        }
        // Equal ones in their order: the one on disk first.
        all.sort_by_key(|(seq, _)| std::cmp::Reverse(*seq));
        all.dedup();
        Ok(all)
    }

    /// The number of the oldest segment; 0 if there is none.
    pub(super) fn oldest_segment(&self) -> Result<u64, JournalError> {
        oldest_segment(&self.hot, self.durable.as_deref())
    }

    /// Where a sink's note is.
    pub(super) fn note(&self, sink: &str) -> PathBuf {
        let hot = confirm::path(&self.hot, sink);
        match &self.durable {
            Some(durable) if !hot.exists() => confirm::path(durable, sink),
            _ => hot,
        }
    }

    /// Where the copy differs from what is in memory; none if it does not.
    pub(super) fn difference(&self) -> Result<Option<String>, JournalError> {
        let Some(durable) = &self.durable else { return Ok(None) };
        let found = difference(&self.hot, durable)?;
        Ok(found.map(|(segment, byte)| format!("segment {segment} differs at byte {byte}")))
    }
}

/// The numbers of all shards that have a folder.
pub(super) fn shards(section: &JournalSection) -> Result<Vec<usize>, JournalError> {
    let mut numbers = Vec::new();
    for dir in [Some(section.dir.as_path()), section.copy_dir()].into_iter().flatten() {
        let dirs = match shard_dirs(dir) {
            Ok(dirs) => dirs,
            Err(JournalError::NoJournal(_)) => continue,
            Err(error) if error.is_not_found() => continue,
            Err(error) => return Err(error),
        };
        let number = |dir: &PathBuf| {
            dir.file_name()?.to_str()?.strip_prefix("shard-")?.parse::<usize>().ok()
        };
        numbers.extend(dirs.iter().filter_map(number));
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// The folder of a run that says what decided: on disk if what is in memory is lost.
pub(super) fn decided_dir(section: &JournalSection) -> &Path {
    match section.copy_dir() {
        Some(durable) if !section.dir.join(decided::CONFIG).exists() => durable,
        _ => &section.dir,
    }
}

/// Brings what decided into memory, if it is lost there, and to disk, if there was no copy before.
///
/// # Errors
/// If it cannot be copied.
pub fn spread_decided(section: &JournalSection) -> anyhow::Result<()> {
    let Some(copy) = section.copy_dir() else { return Ok(()) };
    let from = decided_dir(section);
    let to = if from == copy { &section.dir } else { copy };
    copy_decided(from, to).with_context(|| format!("copying from {}", from.display()))
}

fn copy_decided(from: &Path, to: &Path) -> io::Result<()> {
    LocalDisk.make_dir(to)?;
    let mut files = LocalDisk.list(from)?;
    let is_missing =
        |name: &OsStr| name.to_str().is_some_and(decided::is_decided) && !to.join(name).exists();
    files.retain(|file| file.file_name().is_some_and(is_missing));
    // Last the one by which they are found to be there.
    files.sort_by_key(|file| file.ends_with(decided::CONFIG));
    for file in files {
        let copy = to.join(file.file_name().unwrap_or_default());
        LocalDisk.replace(&copy, &to.join("restored.new"), &LocalDisk.read(&file)?)?;
    }
    Ok(())
}
