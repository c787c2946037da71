//! One run at a time over a journal folder.
//!
//! Invariant: the lock goes with the process that holds it, however it ends.

use std::fs::{File, OpenOptions};
use std::path::Path;

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::cli::exit::Failure;

/// Keeps other runs out of a journal folder while it is held.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock of a folder, which is made if it is missing.
    ///
    /// # Errors
    /// If another process holds it, or the folder cannot be written to.
    pub fn take(dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let path = dir.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(Errno::WOULDBLOCK) => {
                let what = format!(
                    "another run writes the journal in {}: end it, or name another `dir`",
                    dir.display()
                );
                Err(Failure::config(what).into())
            }
            Err(error) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
    }
}
