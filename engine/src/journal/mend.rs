//! Makes the end of a journal whose writer died one that can be gone on with.
//!
//! Invariant: no whole entry is ever touched, and no byte that was written is lost: what is cut off
//! lies in a file beside the segments.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use zerocopy::IntoBytes;

use super::copier::create_segment;
use super::format::{End as EndMarker, HEADER_BYTES, end_words};
use super::reader::is_begun;
use super::{End, JournalError, Tail, segment_path, segments};
use crate::sys::crc::Crc32c;
use crate::sys::disk::{Disk, LocalDisk};

/// Moves what is torn at the end of a journal into a file of its own, and leaves zeros.
pub(super) fn cut_torn(dir: &Path, tail: Tail) -> Result<(), JournalError> {
    let Tail::Torn { segment, offset, bytes } = tail else { return Ok(()) };
    let path = segment_path(dir, segment);
    let mut torn = vec![0; bytes as usize];
    let file = File::open(&path).map_err(JournalError::io("open", &path))?;
    file.read_exact_at(&mut torn, offset).map_err(JournalError::io("read", &path))?;
    let kept = cut_path(dir, segment, offset);
    LocalDisk
        .put(&kept, &torn)
        .and_then(|()| LocalDisk.sync_dir(dir))
        .map_err(JournalError::io("write", &kept))?;
    if offset == 0 {
        // Not even its header is whole: the writer puts another segment in its place.
        return Ok(());
    }
    torn.fill(0);
    let mut file = LocalDisk.open(&path).map_err(JournalError::io("open", &path))?;
    file.write_at(offset, &torn).map_err(JournalError::io("cut", &path))?;
    file.sync().map_err(JournalError::io("sync", &path))
}

/// Where what is cut off a segment from a place on is kept: no file that is there already.
pub(super) fn cut_path(dir: &Path, segment: u64, offset: u64) -> PathBuf {
    let name = format!("torn-{segment:010}-{offset}");
    let again = (1..).map(|n| dir.join(format!("{name}.{n}")));
    let mut all = std::iter::once(dir.join(&name)).chain(again);
    all.find(|path| !path.exists()).unwrap_or_else(|| dir.join(&name))
}

/// Deletes segments that were never begun, as one was that died at its start; false if there are
/// others.
pub(super) fn remove_unbegun(dir: &Path) -> Result<bool, JournalError> {
    let all = segments(dir)?;
    for (_, path) in &all {
        let length = fs::metadata(path).map_err(JournalError::io("look at", path))?.len();
        if length >= HEADER_BYTES as u64 && is_begun(path)? {
            return Ok(false);
        }
    }
    for (_, path) in &all {
        LocalDisk.remove(path).map_err(JournalError::io("delete", path))?;
    }
    Ok(true)
}

/// Deletes segments that were prepared and never begun.
pub(super) fn remove_behind(dir: &Path, last: u64) -> Result<(), JournalError> {
    for (number, path) in segments(dir)? {
        if number > last {
            LocalDisk.remove(&path).map_err(JournalError::io("delete", &path))?;
        }
    }
    Ok(())
}

/// Makes an empty segment behind the last one on disk, in the place of one that was never begun,
/// however much of its first group a power cut left.
pub(super) fn begin_next(dir: &Path, segment: u64, bytes: u64) -> Result<(), JournalError> {
    let path = segment_path(dir, segment);
    create_segment(&LocalDisk, &path, bytes).map_err(JournalError::io("allocate", &path))?;
    LocalDisk.sync_dir(dir).map_err(JournalError::io("sync", dir))
}

/// Writes the end marker that a dead writer left out; returns its checksum.
pub(super) fn put_end(dir: &Path, end: &End) -> Result<u32, JournalError> {
    let crc = Crc32c::detect();
    let segment = end.header.segment;
    let marker = EndMarker { next_segment: segment + 1, next_seq: end.next_seq };
    let (words, sum) = end_words(crc, end.header.salt(crc), marker);
    let path = segment_path(dir, segment);
    let write = || -> io::Result<()> {
        // A file that was cut short is as long as the marker makes it.
        let written = end.at + words.as_bytes().len() as u64;
        let bytes = fs::metadata(&path)?.len().max(written).min(end.header.bytes);
        let mut file = LocalDisk.open(&path)?;
        file.write_at(end.at, words.as_bytes())?;
        file.sync()?;
        // It is finished: nothing in it may be torn any more.
        file.set_len(bytes)
    };
    write().map_err(JournalError::io("end", &path))?;
    Ok(sum)
}
