//! The disk of the thread at hand: the system's files, or what a simulator on the same thread put
//! in their place.
//!
//! Invariant: without a simulator it is [`PlainDisk`], at the cost of one look at a thread's own
//! variable.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::{Disk, DiskFile, PlainDisk};

thread_local! {
    static DISK: RefCell<Option<Rc<dyn Disk>>> = const { RefCell::new(None) };
}

/// Puts a disk in the place of the system's files for this thread, or takes it away.
pub fn install(disk: Option<Rc<dyn Disk>>) {
    DISK.with(|now| *now.borrow_mut() = disk);
}

/// See the module.
#[derive(Copy, Clone, Default, Debug)]
pub struct LocalDisk;

impl LocalDisk {
    fn with<T>(ask: impl FnOnce(&dyn Disk) -> T) -> T {
        let disk = DISK.with(|disk| disk.borrow().clone());
        ask(disk.as_deref().unwrap_or(&PlainDisk))
    }
}

impl Disk for LocalDisk {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        Self::with(|disk| disk.make_dir(dir))
    }

    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        Self::with(|disk| disk.create(path, bytes))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Self::with(|disk| disk.open(path))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Self::with(|disk| disk.read(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        Self::with(|disk| disk.list(dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Self::with(|disk| disk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Self::with(|disk| disk.remove(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        Self::with(|disk| disk.sync_dir(dir))
    }

    fn describe(&self) -> String {
        Self::with(|disk| disk.describe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_put_where_none_is_and_cleared_where_one_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        LocalDisk.put(&path, b"bytes").unwrap();
        assert!(LocalDisk.put(&path, b"other").is_err());
        assert_eq!(LocalDisk.read(&path).unwrap(), b"bytes");
        LocalDisk.clear(&path).unwrap();
        LocalDisk.clear(&path).unwrap();
        assert!(LocalDisk.list(dir.path()).unwrap().is_empty());
        assert_eq!(LocalDisk.describe(), PlainDisk.describe());
    }
}
