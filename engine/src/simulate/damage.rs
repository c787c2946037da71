//! What a death leaves undone, and what time does to files.
//!
//! A writer stores forward only: an entry's payload, then its word; at the end of a segment the end
//! marker, then the next header, its magic last. So a death at any earlier moment is had by taking
//! back the newest stores, as long as nobody outside has seen what came of them: an action that was
//! handed to a sink was in the journal before, and stays.
//!
//! Invariant: what is left is a state that a writer killed at some moment leaves.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use corelane_strategies::action::ActionId;

use crate::generate::rng::Rng;
use crate::journal::format::HEADER_BYTES;
use crate::journal::{Entry, JournalReader, Kind};
use crate::recover::ShardFolders;

/// Bytes of the word before an entry.
const WORD_BYTES: u64 = 8;

/// All entries of a shard, as far as they are whole.
pub(super) fn entries(folders: &ShardFolders) -> Vec<Entry> {
    let Ok(reader) = folders.open() else { return Vec::new() };
    reader.map_while(Result::ok).collect()
}

/// The last entry of a shard that was copied to the disk, durable or not.
pub(super) fn copied(folders: &ShardFolders) -> usize {
    let reader = folders.durable.as_ref().map(|dir| JournalReader::open(dir));
    reader.and_then(Result::ok).map_or(0, |reader| {
        reader.map_while(Result::ok).last().map_or(0, |entry| entry.seq as usize)
    })
}

/// The last segment of a shard that was begun.
pub(super) fn last_segment(folders: &ShardFolders) -> Option<u64> {
    let mut last = None;
    for dir in [Some(&folders.hot), folders.durable.as_ref()].into_iter().flatten() {
        let begun = JournalReader::open(dir).map_or(0, |reader| reader.segments() as u64);
        let first = crate::journal::segments(dir).ok().and_then(|all| Some(all.first()?.0));
        last = last.max(first.and_then(|first| (first + begun).checked_sub(1)));
    }
    last
}

/// Takes back some of the newest stores of a shard's writer, whose present run began behind
/// segment `before`, but none up to entry `settled` nor what was copied to the disk or is
/// in a snapshot; how many entries that were.
///
/// # Errors
/// If the files cannot be changed.
pub(super) fn tear(
    folders: &ShardFolders,
    before: Option<u64>,
    settled: usize,
    seen: &HashSet<ActionId>,
    rng: &mut Rng,
) -> io::Result<usize> {
    let (entries, copied, dir) = (entries(folders), copied(folders), folders.hot.as_path());
    // What an earlier run wrote was there when this one read it.
    let own = |entry: &Entry| before.is_none_or(|before| entry.segment > before);
    let is_seen = |entry: &Entry| {
        entry.kind == Kind::Action
            && ActionId::of(entry.record()).is_some_and(|id| seen.contains(&id))
    };
    let stays = entries.iter().rfind(|entry| is_seen(entry) || !own(entry));
    let snapshots = folders.all_snapshots().unwrap_or_default();
    let saved = snapshots.first().map_or(0, |(seq, _)| *seq as usize);
    let stays = stays.map_or(0, |entry| entry.seq as usize).max(settled).max(copied).max(saved);
    let retired = entries.first().map_or(0, |first| first.seq as usize - 1);
    let floor = stays.saturating_sub(retired);
    if floor >= entries.len() {
        return Ok(0);
    }
    // Mostly near the end, as threads keep up with one another.
    let reach = (entries.len() - floor).min(1 << rng.between(0, 6));
    let from = entries.len() - 1 - rng.below(reach as u32) as usize;
    let cut = &entries[from];
    for (number, path) in segment_files(dir)? {
        if number > cut.segment {
            // Never begun: prepared, or not even that.
            if rng.chance(512) { zero(&path, 0)? } else { fs::remove_file(&path)? }
        }
    }
    let path = crate::journal::segment_path(dir, cut.segment);
    let payload = cut.record().header.bytes() as u64;
    let is_first = cut.offset == HEADER_BYTES as u64;
    match rng.below(3) {
        0 => zero(&path, cut.offset)?,
        // Some words of the payload are there, the word before them is not.
        1 => {
            let kept = u64::from(rng.below(payload as u32 / 8 + 1)) * 8;
            zero(&path, cut.offset + WORD_BYTES + kept)?;
            write(&path, cut.offset, &[0; WORD_BYTES as usize])?;
        }
        // Its segment was not begun: some words of the header, but not the magic.
        _ if is_first && from > 0 && cut.segment > before.map_or(0, |before| before + 1) => {
            let kept = u64::from(rng.below(HEADER_BYTES as u32 / 8)) * 8;
            zero(&path, kept)?;
            write(&path, 0, &[0; WORD_BYTES as usize])?;
            // The end may have been copied with the entry before it.
            if rng.chance(512) && from + retired > copied {
                take_back_end(dir, &entries[from - 1], rng)?;
            }
        }
        _ => zero(&path, cut.offset)?,
    }
    Ok(entries.len() - from)
}

/// The end marker behind the last entry of a segment was not, or not wholly, written.
fn take_back_end(dir: &Path, last: &Entry, rng: &mut Rng) -> io::Result<()> {
    let path = crate::journal::segment_path(dir, last.segment);
    let end = last.offset + WORD_BYTES + last.record().header.bytes() as u64;
    if rng.chance(512) { write(&path, end, &[0; WORD_BYTES as usize]) } else { zero(&path, end) }
}

/// Takes back the last bytes that were written to a file of actions, behind the line of `noted` and
/// what was synced.
pub(super) fn tear_file(
    path: &Path,
    noted: &[ActionId],
    synced: u64,
    rng: &mut Rng,
) -> io::Result<()> {
    let Ok(bytes) = fs::read(path) else { return Ok(()) };
    let mut at = 0;
    let mut floor = 0;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        at += line.len();
        if crate::egress::id_of_line(line).is_some_and(|id| noted.contains(&id)) {
            floor = at;
        }
    }
    let left = bytes.len() - floor.max(synced as usize).min(bytes.len());
    let cut = rng.below(left.min(2_000) as u32 + 1) as usize;
    OpenOptions::new().write(true).open(path)?.set_len((bytes.len() - cut) as u64)
}

/// What a power cut leaves of a file of actions: what was synced, and perhaps more.
pub(super) fn cut_file(path: &Path, synced: u64, rng: &mut Rng) -> io::Result<()> {
    let Ok(metadata) = fs::metadata(path) else { return Ok(()) };
    let synced = synced.min(metadata.len());
    let more = rng.below((metadata.len() - synced) as u32 + 1);
    OpenOptions::new().write(true).open(path)?.set_len(synced + u64::from(more))
}

/// Where a bit flipped.
#[derive(Debug)]
pub(super) struct Flip {
    pub(super) path: PathBuf,
    pub(super) byte: u64,
    pub(super) bit: u32,
}

/// Flips a bit of some file in the folders of a run's journal; none if there are no files.
///
/// # Errors
/// If the file cannot be changed.
pub(super) fn flip(dirs: &[&Path], rng: &mut Rng) -> io::Result<Option<Flip>> {
    let mut files = Vec::new();
    let mut folders: Vec<_> = dirs.iter().map(|dir| dir.to_path_buf()).collect();
    while let Some(folder) = folders.pop() {
        let mut inside = fs::read_dir(&folder)?.collect::<io::Result<Vec<_>>>()?;
        inside.sort_by_key(fs::DirEntry::path);
        for entry in inside {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if fs::metadata(&path)?.len() > 0 {
                files.push(path);
            }
        }
    }
    if files.is_empty() {
        return Ok(None);
    }
    let path = rng.one_of(&files).clone();
    let mut bytes = fs::read(&path)?;
    // Mostly where something was written.
    let used = bytes.iter().rposition(|&byte| byte != 0).map_or(1, |last| last + 1);
    let within = if rng.chance(900) { used } else { bytes.len() };
    let (byte, bit) = (rng.below(within as u32) as usize, rng.below(8));
    bytes[byte] ^= 1 << bit;
    // In place, as a disk does it.
    write(&path, byte as u64, &bytes[byte..=byte])?;
    Ok(Some(Flip { path, byte: byte as u64, bit }))
}

/// The segment files of a shard, by number.
fn segment_files(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    match crate::journal::segments(dir) {
        Ok(files) => Ok(files),
        Err(_) => Ok(Vec::new()),
    }
}

fn write(path: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all_at(bytes, at)
}

/// Zeros from a place on.
fn zero(path: &Path, from: u64) -> io::Result<()> {
    let bytes = fs::metadata(path)?.len();
    write(path, from, &vec![0; bytes.saturating_sub(from) as usize])
}
