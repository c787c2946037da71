//! The disk that durable files lie on: it keeps what was synced, and of the rest what a power cut
//! leaves: any sectors, under names as far as they were durable.
//!
//! ```text
//! file     durable ──sync── pending        after a power cut: durable, and any sectors of pending
//! folder   names synced     changes        after a power cut: names synced, and the first changes
//! ```
//!
//! Files below its root lie on a memory file system, as they are written, so that whoever reads
//! them reads them as ever. What is beside it: which bytes and names of them are durable.
//!
//! Invariant: it promises what [`Disk`] says and nothing more. A sync that fails makes nothing
//! durable, nor does the next one what was written before it.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::edges::SimFaults;
use crate::generate::rng::Rng;
use crate::sys::disk::{Disk, DiskFile, PlainDisk};
use crate::sys::fault::{self, FileOp};

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;
/// How many of 1024 sectors that were not synced a power cut leaves.
const SECTORS_LEFT: [u32; 4] = [0, 300, 900, 1024];

/// What was done to a file and is not durable.
enum Pending {
    Bytes(usize, Vec<u8>),
    Length(usize),
}

/// A file, whatever its name.
#[derive(Default)]
struct Content {
    durable: Vec<u8>,
    pending: Vec<Pending>,
}

/// Numbers files, as names come and go.
type Number = u64;
/// Names that change together, and whose they become.
type Names = Vec<(PathBuf, Option<Number>)>;

struct State {
    files: BTreeMap<Number, Content>,
    next: Number,
    names: BTreeMap<PathBuf, Number>,
    durable_names: BTreeMap<PathBuf, Number>,
    /// Changes of names that are not durable, with their folder, in order.
    changes: Vec<(PathBuf, Names)>,
}

impl State {
    /// Another name of a folder is durable at once.
    fn rename_folder(&mut self, from: &Path, to: &Path) {
        let moved = |path: &Path| match path.strip_prefix(from) {
            Ok(rest) => to.join(rest),
            Err(_) => path.to_owned(),
        };
        for names in [&mut self.names, &mut self.durable_names] {
            let all = std::mem::take(names).into_iter();
            *names = all.map(|(path, number)| (moved(&path), number)).collect();
        }
        for (dir, names) in &mut self.changes {
            *dir = moved(dir);
            names.iter_mut().for_each(|(path, _)| *path = moved(path));
        }
    }
}

/// See the [module](self).
#[derive(Clone)]
pub(super) struct SimDisk {
    root: PathBuf,
    faults: SimFaults,
    state: Rc<RefCell<State>>,
}

impl SimDisk {
    /// A disk whose files lie below `root`; others are as the system has them.
    pub(super) fn new(root: &Path, faults: &SimFaults) -> Self {
        let (names, durable_names) = (BTreeMap::new(), BTreeMap::new());
        let (files, changes) = (BTreeMap::new(), Vec::new());
        let state = State { files, next: 0, names, durable_names, changes };
        let state = Rc::new(RefCell::new(state));
        Self { root: root.to_owned(), faults: faults.clone(), state }
    }

    /// The power is gone: what was not synced is lost, but for what had reached the disk by chance.
    ///
    /// # Errors
    /// If the files cannot be changed.
    pub(super) fn lose_power(&self, rng: &mut Rng) -> io::Result<()> {
        let state = &mut *self.state.borrow_mut();
        let mut folders: Vec<_> = state.changes.iter().map(|(dir, _)| dir.clone()).collect();
        folders.sort();
        folders.dedup();
        for folder in folders {
            // A journal of names keeps them in order.
            let of_folder = state.changes.iter().filter(|(dir, _)| *dir == folder);
            let left = rng.below(of_folder.clone().count() as u32 + 1) as usize;
            for (_, names) in of_folder.take(left) {
                change(&mut state.durable_names, names);
            }
        }
        state.changes.clear();
        state.names.clone_from(&state.durable_names);
        let State { names, files, .. } = state;
        files.retain(|number, _| names.values().any(|named| named == number));
        for content in files.values_mut() {
            tear(content, rng);
        }
        self.write_anew(state)
    }

    /// Puts files in the place of those that are there.
    fn write_anew(&self, state: &State) -> io::Result<()> {
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    fs::remove_file(&path)?;
                }
            }
        }
        for (path, number) in &state.names {
            fs::write(path, &state.files[number].durable)?;
        }
        Ok(())
    }

    fn is_here(&self, path: &Path) -> bool {
        path.starts_with(&self.root)
    }

    fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    fn file(&self, path: &Path, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        let number = self.state().names.get(path).copied();
        Box::new(SimFile { disk: self.clone(), number, path: path.to_owned(), file })
    }

    /// Notes that names in a folder change.
    fn rename_here(&self, dir: &Path, names: Names) {
        let mut state = self.state();
        change(&mut state.names, &names);
        state.changes.push((dir.to_owned(), names));
    }
}

fn change(all: &mut BTreeMap<PathBuf, Number>, names: &Names) {
    for (path, number) in names {
        match number {
            Some(number) => drop(all.insert(path.clone(), *number)),
            None => drop(all.remove(path)),
        }
    }
}

/// Some of what was pending is there, any sectors of it.
fn tear(content: &mut Content, rng: &mut Rng) {
    let left = *rng.one_of(&SECTORS_LEFT);
    let is_length = |pending: &&Pending| matches!(pending, Pending::Length(_));
    let lengths = content.pending.iter().filter(is_length).count();
    let mut lengths = rng.below(lengths as u32 + 1);
    for pending in content.pending.drain(..) {
        match pending {
            Pending::Length(bytes) if lengths > 0 => {
                lengths -= 1;
                content.durable.resize(bytes, 0);
            }
            Pending::Length(_) => {}
            Pending::Bytes(at, bytes) => {
                for (from, to) in sectors(at, bytes.len()) {
                    let to = to.min(content.durable.len());
                    if from < to && rng.chance(left) {
                        content.durable[from..to].copy_from_slice(&bytes[from - at..to - at]);
                    }
                }
            }
        }
    }
}

/// The pieces of a write that lie in one sector each.
fn sectors(at: usize, bytes: usize) -> impl Iterator<Item = (usize, usize)> {
    let first = at / SECTOR_BYTES * SECTOR_BYTES;
    let starts = (first..at + bytes).step_by(SECTOR_BYTES);
    starts.map(move |start| (start.max(at), (start + SECTOR_BYTES).min(at + bytes)))
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimDisk")
    }
}

impl Disk for SimDisk {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        fault::before(FileOp::Allocate, path)?;
        let file = PlainDisk.create(path, bytes)?;
        if self.is_here(path) {
            let mut state = self.state();
            let number = state.next;
            state.next += 1;
            let pending = vec![Pending::Length(bytes as usize)];
            state.files.insert(number, Content { durable: Vec::new(), pending });
            drop(state);
            self.rename_here(folder(path), vec![(path.to_owned(), Some(number))]);
        }
        Ok(self.file(path, file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(path, PlainDisk.open(path)?))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        PlainDisk.read(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        PlainDisk.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fault::before(FileOp::Rename, to)?;
        PlainDisk.rename(from, to)?;
        let number = self.state().names.get(from).copied();
        if let Some(number) = number {
            let names = vec![(from.to_owned(), None), (to.to_owned(), Some(number))];
            self.rename_here(folder(to), names);
        } else {
            self.state().rename_folder(from, to);
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fault::before(FileOp::Remove, path)?;
        PlainDisk.remove(path)?;
        if self.is_here(path) {
            self.rename_here(folder(path), vec![(path.to_owned(), None)]);
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fault::before(FileOp::Sync, dir)?;
        let state = &mut *self.state();
        for (changed, names) in &state.changes {
            if changed == dir {
                change(&mut state.durable_names, names);
            }
        }
        state.changes.retain(|(changed, _)| changed != dir);
        Ok(())
    }

    fn describe(&self) -> String {
        "a simulated disk".to_owned()
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

struct SimFile {
    disk: SimDisk,
    /// None of a file that lies elsewhere.
    number: Option<Number>,
    path: PathBuf,
    file: Box<dyn DiskFile>,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimFile({})", self.path.display())
    }
}

impl SimFile {
    fn with(&mut self, change: impl FnOnce(&mut Content)) {
        let mut state = self.disk.state();
        // One without a name lives on as long as it is open, and nobody ever sees it.
        if let Some(content) = self.number.and_then(|number| state.files.get_mut(&number)) {
            change(content);
        }
    }
}

impl DiskFile for SimFile {
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        fault::before(FileOp::Overwrite, &self.path)?;
        self.file.write_at(at, bytes)?;
        self.with(|content| content.pending.push(Pending::Bytes(at as usize, bytes.to_vec())));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        fault::before(FileOp::Sync, &self.path)?;
        if self.number.is_some() && self.disk.faults.is_broken() {
            self.with(|content| content.pending.clear());
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        self.with(|content| {
            for pending in content.pending.drain(..) {
                match pending {
                    Pending::Length(bytes) => content.durable.resize(bytes, 0),
                    Pending::Bytes(at, bytes) => {
                        let to = at + bytes.len();
                        let long = content.durable.len().max(to);
                        content.durable.resize(long, 0);
                        content.durable[at..to].copy_from_slice(&bytes);
                    }
                }
            }
        });
        Ok(())
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        fault::before(FileOp::Write, &self.path)?;
        self.file.set_len(bytes)?;
        self.with(|content| content.pending.push(Pending::Length(bytes as usize)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_synced_outlives_any_power_cut_and_the_rest_comes_in_sectors() {
        let (mut torn, mut lost) = (0, 0);
        for seed in 0..64 {
            let dir = tempfile::tempdir().unwrap();
            let (faults, rng) = (SimFaults::default(), &mut Rng::new(seed));
            let disk = SimDisk::new(dir.path(), &faults);
            let (synced, unnamed) = (dir.path().join("synced"), dir.path().join("unnamed"));
            let mut file = disk.create(&synced, 4096).unwrap();
            file.write_at(100, &[1; 1000]).unwrap();
            file.sync().unwrap();
            disk.sync_dir(dir.path()).unwrap();
            file.write_at(0, &[2; 4096]).unwrap();
            disk.create(&unnamed, 10).unwrap().sync().unwrap();
            assert_eq!(fs::read(&synced).unwrap(), [2; 4096], "it is read as it was written");
            disk.lose_power(rng).unwrap();
            let bytes = fs::read(&synced).unwrap();
            for (number, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                let then = (0..SECTOR_BYTES).map(|at| number * SECTOR_BYTES + at);
                let then: Vec<u8> = then.map(|at| u8::from((100..1100).contains(&at))).collect();
                assert!(sector == then || sector == [2; SECTOR_BYTES], "seed {seed}: {number}");
            }
            let twos = bytes.iter().filter(|&&byte| byte == 2).count();
            torn += usize::from((1..4096).contains(&twos));
            lost += usize::from(!unnamed.exists());
        }
        assert!(torn > 10 && lost > 10, "{torn} torn, {lost} lost");
    }

    #[test]
    fn what_a_failed_sync_should_have_made_durable_no_later_one_does() {
        let dir = tempfile::tempdir().unwrap();
        let faults = SimFaults::default();
        let disk = SimDisk::new(dir.path(), &faults);
        let path = dir.path().join("file");
        let mut file = disk.create(&path, 512).unwrap();
        file.sync().unwrap();
        disk.sync_dir(dir.path()).unwrap();
        file.write_at(0, &[7; 512]).unwrap();
        faults.break_disk();
        assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(libc::EIO));
        assert!(faults.mend());
        file.sync().unwrap();
        disk.lose_power(&mut Rng::new(1)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), [0; 512]);
    }
}
