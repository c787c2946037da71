//! What durable files ask of a disk, behind a narrow trait: so that a simulator can put a disk in
//! place that tears, loses, delays and refuses.
//!
//! What a disk promises, and all that its users may count on:
//!
//! - [`DiskFile::write_at`] makes bytes readable, not durable: until [`DiskFile::sync`] has
//!   returned in order, a power cut leaves any part of them, sector by sector.
//! - After a `sync` that failed nothing written since the last one that did not is durable, nor
//!   will be by another `sync`: it has to be written again, best to a file of its own.
//! - A file is found after a power cut once it and, by [`Disk::sync_dir`], its folder were synced
//!   after it was made or renamed. Which of two names a renamed file has is certain, too.
//! - Room for [`Disk::create`]'s bytes is taken then: writing within them finds no full disk.
//!
//! Invariant: nothing is buffered on this side of the kernel, and no error is swallowed.
//!
//! ```
//! use corelane::sys::disk::{Disk, PlainDisk};
//! let dir = tempfile::tempdir().unwrap();
//! let path = dir.path().join("0000000000.segment");
//! let mut file = PlainDisk.create(&path, 4096).unwrap();
//! file.write_at(0, &[7; 512]).unwrap();
//! file.sync().unwrap();
//! PlainDisk.sync_dir(dir.path()).unwrap();
//! assert_eq!(PlainDisk.read(&path).unwrap()[511..513], [7, 0]);
//! ```

mod local;
#[cfg(feature = "glommio")]
mod uring;

use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

pub use local::{LocalDisk, install};
#[cfg(feature = "glommio")]
pub use uring::UringDisk;

/// What a disk writes at once: writes of whole blocks are the quickest.
pub const BLOCK_BYTES: u64 = 4096;
/// What is written at once where a file system cannot allocate without writing.
const ZEROS_BYTES: usize = 1 << 16;

/// Holds durable files.
pub trait Disk: Debug {
    /// Makes a folder and those above it that are missing, and their names durable. One that is
    /// there is no error.
    ///
    /// # Errors
    /// What the system reports.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes a file of `bytes` zero bytes, all of them allocated. Leaves none behind when it fails.
    ///
    /// # Errors
    /// If there is one of that name, or no room.
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file that is there, for writing.
    ///
    /// # Errors
    /// If there is none.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// All bytes of a file.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// What is in a folder, by name.
    ///
    /// # Errors
    /// If there is no such folder.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;

    /// Gives a file another name, in place of one that has it.
    ///
    /// # Errors
    /// If there is no such file.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Deletes a file.
    ///
    /// # Errors
    /// If there is none.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Deletes a file if it is there.
    ///
    /// # Errors
    /// If it is there and cannot be deleted.
    fn clear(&self, path: &Path) -> io::Result<()> {
        match self.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Makes names in a folder durable.
    ///
    /// # Errors
    /// What the device reports.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Writes a file that is not there, and syncs it, but not its name.
    ///
    /// # Errors
    /// As [`Disk::create`] and what follows on it.
    fn put(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.create(path, bytes.len() as u64)?;
        file.write_at(0, bytes)?;
        file.sync()
    }

    /// Writes a file, in place of one of that name, so that it is there whole or not at all, after
    /// a power cut too. Until then it is called `new`, in the same folder; one of a start that died
    /// may be there.
    ///
    /// # Errors
    /// As [`Disk::put`], [`Disk::clear`], [`Disk::rename`] and [`Disk::sync_dir`].
    fn replace(&self, path: &Path, new: &Path, bytes: &[u8]) -> io::Result<()> {
        self.clear(new)?;
        self.put(new, bytes)?;
        self.rename(new, path)?;
        path.parent().map_or(Ok(()), |dir| self.sync_dir(dir))
    }

    /// How it writes, and why, for reports.
    fn describe(&self) -> String;
}

/// A file that is written to.
pub trait DiskFile: Debug {
    /// Writes bytes at a place, all of them.
    ///
    /// # Errors
    /// What the system reports; a part may have been written.
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Writes bytes at two places, in no order: both are on their way at once where that can be.
    ///
    /// # Errors
    /// As [`DiskFile::write_at`].
    fn write_both(&mut self, one: (u64, &[u8]), other: (u64, &[u8])) -> io::Result<()> {
        self.write_at(one.0, one.1)?;
        self.write_at(other.0, other.1)
    }

    /// Waits until all that was written is durable.
    ///
    /// # Errors
    /// What the device reports; see the [module](self) on what holds then.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file, or lengthens it by zeros.
    ///
    /// # Errors
    /// What the system reports.
    fn set_len(&mut self, bytes: u64) -> io::Result<()>;
}

/// The system's files by its plain calls: pwrite and fdatasync.
#[derive(Copy, Clone, Default, Debug)]
pub struct PlainDisk;

impl Disk for PlainDisk {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        self.make_dir(parent)?;
        match DirBuilder::new().create(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        self.sync_dir(parent)
    }

    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        allocate(&file, bytes).inspect_err(|_| {
            // The first error is the one to report.
            let _ = fs::remove_file(path);
        })?;
        Ok(Box::new(PlainFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(PlainFile(OpenOptions::new().read(true).write(true).open(path)?)))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(dir)?.map(|entry| Ok(entry?.path()));
        let mut paths = entries.collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn describe(&self) -> String {
        "pwrite and fdatasync".to_owned()
    }
}

#[derive(Debug)]
struct PlainFile(File);

impl DiskFile for PlainFile {
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, at)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }
}

/// Takes room for the first `bytes` bytes of a file.
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP) => {
            let zeros = vec![0; ZEROS_BYTES];
            let mut at = 0;
            while at < bytes {
                let count = (bytes - at).min(ZEROS_BYTES as u64);
                file.write_all_at(&zeros[..count as usize], at)?;
                at += count;
            }
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_made_written_named_and_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a/b");
        PlainDisk.make_dir(&below).unwrap();
        PlainDisk.make_dir(&below).unwrap();
        let (one, two) = (below.join("one"), below.join("two"));
        let mut file = PlainDisk.create(&one, 8192).unwrap();
        assert!(PlainDisk.create(&one, 1).is_err(), "a file that is there is left alone");
        file.write_at(4096, b"here").unwrap();
        file.sync().unwrap();
        file.set_len(4100).unwrap();
        PlainDisk.rename(&one, &two).unwrap();
        PlainDisk.sync_dir(&below).unwrap();
        assert_eq!(PlainDisk.list(&below).unwrap(), [two.as_path()]);
        PlainDisk.open(&two).unwrap().write_at(0, b"there").unwrap();
        let bytes = PlainDisk.read(&two).unwrap();
        assert_eq!(
            (bytes.len(), &bytes[..6], &bytes[4096..]),
            (4100, &b"there\0"[..], &b"here"[..])
        );
        PlainDisk.remove(&two).unwrap();
        assert!(PlainDisk.list(&below).unwrap().is_empty() && PlainDisk.open(&two).is_err());
    }

    #[test]
    fn a_file_that_cannot_be_allocated_is_an_error_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large");
        assert!(PlainDisk.create(&path, 1 << 46).is_err());
        assert!(!path.exists());
    }
}
