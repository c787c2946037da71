//! A place before every operation on files that is not per record, where a simulator on the same
//! thread may let it fail, or the process die.
//!
//! Invariant: without a simulator it does nothing, at the cost of one look at a thread's own
//! variable, which no hot path pays.

use std::cell::RefCell;
use std::io;
use std::path::Path;

/// What is about to be done.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum FileOp {
    /// A file is made, of a size that has to be there.
    Allocate,
    /// Bytes of a file are written, for which there may be no room.
    Write,
    /// Bytes within the room of a file are written.
    Overwrite,
    /// A file gets another name.
    Rename,
    /// A file is deleted.
    Remove,
    /// What was written is made durable.
    Sync,
}

/// Decides about operations of this thread.
pub trait Faults {
    /// Called before an operation.
    ///
    /// # Errors
    /// What the operation is to fail with.
    fn before(&self, op: FileOp, path: &Path) -> io::Result<()>;

    /// Called when all that was written to a file is durable.
    fn synced(&self, _path: &Path) {}
}

thread_local! {
    static FAULTS: RefCell<Option<Box<dyn Faults>>> = const { RefCell::new(None) };
}

/// Lets `faults` decide about the operations of this thread from now on, or nobody.
pub fn install(faults: Option<Box<dyn Faults>>) {
    FAULTS.with(|now| *now.borrow_mut() = faults);
}

/// An operation is about to be done.
///
/// # Errors
/// What a simulator wants it to fail with.
pub fn before(op: FileOp, path: &Path) -> io::Result<()> {
    FAULTS.with(|faults| match &*faults.borrow() {
        Some(faults) => faults.before(op, path),
        None => Ok(()),
    })
}

/// All that was written to a file is durable.
pub fn synced(path: &Path) {
    FAULTS.with(|faults| faults.borrow().iter().for_each(|faults| faults.synced(path)));
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Full;

    impl Faults for Full {
        fn before(&self, op: FileOp, _path: &Path) -> io::Result<()> {
            if op == FileOp::Allocate { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }
    }

    #[test]
    fn only_what_is_installed_decides() {
        let path = Path::new("segment");
        assert!(before(FileOp::Allocate, path).is_ok());
        install(Some(Box::new(Full)));
        assert!(before(FileOp::Allocate, path).is_err() && before(FileOp::Sync, path).is_ok());
        let other = std::thread::spawn(|| before(FileOp::Allocate, Path::new("segment")).is_ok());
        assert!(other.join().unwrap(), "another thread has nothing to do with it");
        install(None);
        assert!(before(FileOp::Allocate, path).is_ok());
    }
}
