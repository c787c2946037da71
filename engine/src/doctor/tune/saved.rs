//! The values that tuning replaced, in the order in which it did.
//!
//! A text as [`crate::doctor::tree`] has it; the first file tells of which boot it is.
//!
//! Invariant: the file on disk is whole: it is replaced by a rename.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::hand::Hand;
use crate::doctor::tree;

/// Where they are kept, below the root: a reboot forgets them with the settings.
pub const SAVED: &str = "run/corelane-tuning";
/// Names a boot.
const BOOT: &str = "proc/sys/kernel/random/boot_id";
const HEAD: &str = "# What corelane's tuning/apply replaced. tuning/undo writes it back.\n";

/// What was there before tuning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Saved {
    boot: String,
    values: Vec<(String, String)>,
}

fn boot(hand: &dyn Hand) -> String {
    hand.read(BOOT).unwrap_or_else(|_| "\n".to_owned())
}

impl Saved {
    /// Nothing yet, of this boot.
    pub(super) fn new(hand: &dyn Hand) -> Self {
        Self { boot: boot(hand), values: Vec::new() }
    }

    /// What is kept in a file; none if there is none, or it is of another boot, whose settings are
    /// gone and whose interrupts had other numbers.
    pub(super) fn load(path: &Path, hand: &dyn Hand) -> io::Result<Option<Self>> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut values = tree::parse(&text)?;
        if values.first().is_none_or(|(path, _)| path != BOOT) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no file of replaced values"));
        }
        let (_, of) = values.remove(0);
        Ok((of == boot(hand)).then_some(Self { boot: of, values }))
    }

    /// Keeps a value, unless an earlier one of that path is.
    pub(super) fn keep(&mut self, path: &str, before: &str) {
        if !self.has(path) {
            self.values.push((path.to_owned(), before.to_owned()));
        }
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.values.iter().any(|(kept, _)| kept == path)
    }

    pub(super) fn forget(&mut self, path: &str) {
        self.values.retain(|(kept, _)| kept != path);
    }

    pub(super) fn retain(&mut self, stays: impl Fn(&str) -> bool) {
        self.values.retain(|(path, _)| stays(path));
    }

    /// Paths and values, oldest first.
    pub(super) fn values(&self) -> impl DoubleEndedIterator<Item = (&str, &str)> {
        self.values.iter().map(|(path, value)| (path.as_str(), value.as_str()))
    }

    /// Puts it in the place of what the file held; removes the file if nothing is kept.
    pub(super) fn store(&self, path: &Path) -> io::Result<()> {
        if self.values.is_empty() {
            return match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let all = std::iter::once((BOOT, self.boot.as_str())).chain(self.values());
        let text = HEAD.to_owned() + &tree::write(all);
        let beside = path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    }
}
