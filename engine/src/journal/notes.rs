//! Copies of what sinks noted (see [`crate::egress::confirm`]), beside the durable segments: after
//! a power cut they say what need not be sent again.
//!
//! Invariant: a copy is never ahead of the durable journal: it is read before a group is taken and
//! written behind it. One that is behind only means that more is sent again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::JournalError;
use crate::egress::confirm::{self, FILE_PREFIX};
use crate::sys::disk::Disk;

/// How often sinks' notes are copied: that much more is sent again after a power cut.
const EVERY: Duration = Duration::from_millis(100);

/// What is new of notes: where the copy goes, and the note.
pub(super) type New = Vec<(PathBuf, Vec<u8>)>;

#[derive(Debug)]
pub(super) struct NoteCopies {
    hot: PathBuf,
    dir: PathBuf,
    /// What was copied last, by path of the copy.
    copied: BTreeMap<PathBuf, Vec<u8>>,
    looked: Option<Instant>,
    /// Whether to look next time, where not a clock says so.
    told: Option<bool>,
}

impl NoteCopies {
    pub(super) fn new(hot: &Path, dir: &Path) -> Self {
        let (hot, dir) = (hot.to_owned(), dir.to_owned());
        Self { hot, dir, copied: BTreeMap::new(), looked: None, told: None }
    }

    /// Looks at once.
    pub(super) fn hurry(&mut self) {
        self.looked = None;
        self.told = self.told.map(|_| true);
    }

    /// From now on looks when it is told to, or is in a hurry: `due` says whether next time.
    pub(super) fn tell(&mut self, due: bool) {
        self.told = Some(due);
    }

    /// What is new, if it is time to look.
    pub(super) fn look(&mut self) -> Result<New, JournalError> {
        let is_due = match &mut self.told {
            Some(told) => std::mem::take(told),
            None => self.looked.is_none_or(|looked| looked.elapsed() >= EVERY),
        };
        if !is_due {
            return Ok(Vec::new());
        }
        self.looked = Some(Instant::now());
        let list = JournalError::io("list", &self.hot);
        let mut new = Vec::new();
        for entry in fs::read_dir(&self.hot).map_err(&list)? {
            let name = entry.map_err(&list)?.file_name();
            if !name.to_str().is_some_and(|name| name.starts_with(FILE_PREFIX)) {
                continue;
            }
            let (from, to) = (self.hot.join(&name), self.dir.join(&name));
            let note = match confirm::read_slots(&from) {
                Ok(note) => note,
                // It is being made anew.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(JournalError::io("read", &from)(error)),
            };
            if self.copied.get(&to) != Some(&note) {
                new.push((to, note));
            }
        }
        Ok(new)
    }

    pub(super) fn write(
        &mut self,
        disk: &dyn Disk,
        path: &Path,
        note: &[u8],
    ) -> Result<(), JournalError> {
        let opened = match disk.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                disk.create(path, note.len() as u64).and_then(|file| {
                    disk.sync_dir(&self.dir)?;
                    Ok(file)
                })
            }
            opened => opened,
        };
        opened
            .and_then(|mut file| {
                file.write_at(0, note)?;
                file.sync()
            })
            .map_err(JournalError::io("note", path))?;
        self.copied.insert(path.to_owned(), note.to_vec());
        Ok(())
    }
}
