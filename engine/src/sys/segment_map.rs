//! A file of fixed size, mapped for one writer that only ever goes forward: the memory under a
//! journal segment.
//!
//! Every block of the file is allocated and every page is faulted in before the first write, so a
//! full disk is an error here and never a signal under the writer, and a write meets no page fault.
//!
//! Invariant: memory of the map is written through raw pointers inside its bounds and is never lent
//! out as a reference, so what another process does to the file cannot break a promise to the
//! compiler. A word put by [`SegmentMap::publish`] or [`SegmentMap::append`] becomes visible after
//! everything written before it.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{Advice, MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::crc::Crc32c;
use super::fault::{self, FileOp};
use super::sigbus::Mapping;

/// The least page size there is: touching at this distance touches every page.
const PAGE_BYTES: usize = 4096;
/// A cache line.
const LINE_BYTES: usize = 64;
/// How much is written at once where a file system cannot allocate without writing.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// A mapped segment file.
pub struct SegmentMap {
    map: MmapRaw,
    /// Says which file it is, should a write to the map meet none any more.
    known: Mapping,
    file: File,
    crc: Crc32c,
}

impl SegmentMap {
    /// Creates the file, which must not exist, allocates `bytes` zero bytes, maps it and faults
    /// every page in. Leaves no file behind when it fails.
    ///
    /// # Errors
    /// If the file exists, or the file system or the memory has no room.
    pub fn create(path: &Path, bytes: usize) -> io::Result<Self> {
        fault::before(FileOp::Allocate, path)?;
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        Self::over(file, bytes).inspect_err(|_| {
            // The first error is the one to report.
            let _ = std::fs::remove_file(path);
        })
    }

    fn over(file: File, bytes: usize) -> io::Result<Self> {
        match fallocate(&file, FallocateFlags::empty(), 0, bytes as u64) {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP) => write_zeros(&file, bytes)?,
            Err(error) => return Err(error.into()),
        }
        let map = MmapOptions::new().len(bytes).map_raw(&file)?;
        let known = Mapping::enter(map.as_ptr() as usize, bytes, file.as_fd());
        let segment = Self { map, known, file, crc: Crc32c::detect() };
        match segment.map.advise(Advice::PopulateWrite) {
            Ok(()) => {}
            // Linux before 5.14 does not know the advice.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => segment.touch(),
            Err(error) => return Err(error),
        }
        Ok(segment)
    }

    /// Faults every page in by writing to it; the file is new, so what is written is what is there.
    fn touch(&self) {
        for offset in (0..self.map.len()).step_by(PAGE_BYTES) {
            let byte = self.map.as_mut_ptr().wrapping_add(offset);
            // SAFETY: `offset` is below the length of the map, which is mapped writable.
            unsafe { byte.write_volatile(0) };
        }
    }

    /// Length of the file and the map.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.map.len()
    }

    /// Which way checksums are computed.
    #[must_use]
    pub const fn crc(&self) -> Crc32c {
        self.crc
    }

    /// Computes checksums by `crc` from now on.
    pub fn set_crc(&mut self, crc: Crc32c) {
        self.crc = crc;
    }

    /// Copies `words` to `offset`.
    ///
    /// # Panics
    /// If they do not fit, or `offset` is no multiple of 8.
    pub fn put(&mut self, offset: usize, words: &[u64]) {
        let to = self.place(offset, words.len());
        // SAFETY: `place` proved room for the words at `to`; the map is ours, `words` is not in it.
        unsafe { std::ptr::copy_nonoverlapping(words.as_ptr(), to, words.len()) };
    }

    /// Stores `word` at `offset`, after everything written before.
    ///
    /// # Panics
    /// If it does not fit, or `offset` is no multiple of 8.
    #[inline]
    pub fn publish(&mut self, offset: usize, word: u64) {
        let to = self.place(offset, 1);
        // SAFETY: `place` proved an aligned word at `to`; all writes to it are ours.
        let place = unsafe { AtomicU64::from_ptr(to) };
        place.store(word, Ordering::Release);
    }

    /// Writes an entry at `offset`: `payload` from `offset + 8`, then, last, the word at `offset`,
    /// whose low half is `low` and whose high half is the checksum of `prefix` and the payload
    /// continued from `salt`. Returns the checksum.
    ///
    /// # Panics
    /// If the entry does not fit, or `offset` is no multiple of 8.
    #[inline]
    pub fn append(
        &mut self,
        offset: usize,
        low: u32,
        prefix: u64,
        salt: u32,
        payload: &[u64],
    ) -> u32 {
        let word = self.place(offset, 1 + payload.len());
        // SAFETY: `place` proved room for one word and the payload from `word`, 8-byte aligned;
        // `payload` cannot lie in the map, of which no reference is ever made.
        let crc = unsafe { self.crc.copy(salt, prefix, payload, word.wrapping_add(1)) };
        // SAFETY: the same proof; all writes to the word are ours.
        let place = unsafe { AtomicU64::from_ptr(word) };
        place.store(u64::from(low) | u64::from(crc) << 32, Ordering::Release);
        crc
    }

    /// Asks the CPU to load `bytes` bytes from `offset` on into its caches, without waiting.
    pub fn prefetch(&self, offset: usize, bytes: usize) {
        for at in (offset..(offset + bytes).min(self.map.len())).step_by(LINE_BYTES) {
            super::prefetch::load(self.map.as_ptr().wrapping_add(at));
        }
    }

    /// Where `words` words at `offset` lie.
    #[inline]
    fn place(&self, offset: usize, words: usize) -> *mut u64 {
        let bytes = self.map.len();
        assert!(offset.is_multiple_of(8), "entries are 8-byte aligned");
        assert!(offset <= bytes && words <= (bytes - offset) / 8, "a write beyond the segment");
        // A map starts at a page, so the place is aligned as `offset` is.
        self.map.as_mut_ptr().wrapping_add(offset).cast()
    }

    /// Unmaps the file, writes what is new back to its device, and waits for that. Nothing to write
    /// on tmpfs. In this order: while a page is mapped, its write-back interrupts every core that
    /// runs a thread of this process to protect it, page after page.
    ///
    /// # Errors
    /// What the device reports.
    pub fn finish(self) -> io::Result<()> {
        let Self { map, known, file, .. } = self;
        drop(map);
        drop(known);
        file.sync_data()
    }
}

fn write_zeros(file: &File, bytes: usize) -> io::Result<()> {
    let mut at = 0;
    while at < bytes {
        let count = ZEROS.len().min(bytes - at);
        file.write_all_at(&ZEROS[..count], at as u64)?;
        at += count;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_in_the_file_and_nothing_goes_beyond_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("segment");
        let mut map = SegmentMap::create(&path, PAGE_BYTES).unwrap();
        map.put(0, &[1, 2]);
        let crc = map.append(16, 7, 9, 5, &[3, 4]);
        assert_eq!(crc, Crc32c::portable().words(5, &[9, 3, 4]));
        map.publish(PAGE_BYTES - 8, 6);
        for (offset, words) in [(PAGE_BYTES - 8, 2), (PAGE_BYTES, 1), (4, 1), (usize::MAX - 7, 1)] {
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                map.put(offset, &vec![0; words]);
            }));
            assert!(caught.is_err(), "{offset}");
        }
        map.finish().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), PAGE_BYTES);
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        assert_eq!([word(0), word(8), word(24), word(32), word(PAGE_BYTES - 8)], [1, 2, 3, 4, 6]);
        assert_eq!(word(16), 7 | u64::from(crc) << 32);
        assert!(SegmentMap::create(&path, PAGE_BYTES).is_err(), "an existing file is left alone");
    }

    #[test]
    fn a_file_that_cannot_be_allocated_is_an_error_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("segment");
        assert!(SegmentMap::create(&path, 1 << 46).is_err());
        assert!(!path.exists());
    }

    #[test]
    fn zeros_are_written_where_the_file_system_cannot_allocate() {
        let file = tempfile::tempfile().unwrap();
        write_zeros(&file, ZEROS.len() + 5).unwrap();
        assert_eq!(file.metadata().unwrap().len() as usize, ZEROS.len() + 5);
    }
}
