//! SIGBUS: what a write to a mapped file gets when the file was cut short under it, or when its
//! file system has no room or no memory for the page. It ends the process with a line that names
//! the file, and exit code 74, instead of a core dump.
//!
//! Invariant: the handler calls nothing but what a signal handler may call, and touches nothing but
//! a table of atomics and its own stack. A fault outside the mappings in the table goes to whoever
//! handled it before.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use libc::{c_int, c_void, sigaction, siginfo_t};

/// Mappings that are known at a time. Beyond that, faults are not ours and dump core.
const MAPPINGS_MAX: usize = 4_096;
/// The longest line that is said.
const LINE_BYTES_MAX: usize = 1_024;
/// Exit code of an input or output error, as in `cli::exit`.
const EXIT_IO: c_int = 74;
/// `start` of a slot that is being filled.
const CLAIMED: usize = 1;

/// A mapping: where it lies, and the file behind it.
struct Slot {
    /// 0 if the slot is free; published last.
    start: AtomicUsize,
    end: AtomicUsize,
    file: AtomicI32,
}

static MAPPINGS: [Slot; MAPPINGS_MAX] = [const {
    Slot { start: AtomicUsize::new(0), end: AtomicUsize::new(0), file: AtomicI32::new(0) }
}; MAPPINGS_MAX];

/// What handled the signal before.
static BEFORE: OnceLock<sigaction> = OnceLock::new();

/// Keeps a mapping in the table.
#[derive(Debug)]
pub struct Mapping {
    slot: Option<usize>,
}

impl Mapping {
    /// Enters a mapping of so many bytes at `start`, of a file that stays open as long as this is
    /// kept. The name is asked for when it is needed, as files are renamed.
    #[must_use]
    pub fn enter(start: usize, bytes: usize, file: BorrowedFd<'_>) -> Self {
        let free = MAPPINGS.iter().position(|slot| {
            let (free, claimed) = (0, CLAIMED);
            slot.start.compare_exchange(free, claimed, Ordering::Acquire, Ordering::Relaxed).is_ok()
        });
        if let Some(slot) = free.map(|slot| &MAPPINGS[slot]) {
            slot.end.store(start.saturating_add(bytes), Ordering::Relaxed);
            slot.file.store(file.as_raw_fd(), Ordering::Relaxed);
            slot.start.store(start, Ordering::Release);
        }
        Self { slot: free }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            MAPPINGS[slot].start.store(0, Ordering::Release);
        }
    }
}

/// The file that is mapped at an address.
fn file_at(address: usize) -> Option<c_int> {
    let mut found = MAPPINGS.iter().filter(|slot| {
        let start = slot.start.load(Ordering::Acquire);
        start > CLAIMED && start <= address && address < slot.end.load(Ordering::Relaxed)
    });
    found.next().map(|slot| slot.file.load(Ordering::Relaxed))
}

/// Handles the signal from now on, for the whole process. Once is enough.
pub fn install() {
    let mut before = MaybeUninit::<sigaction>::uninit();
    // SAFETY: asks only; `before` has room for the answer.
    let asked = unsafe { libc::sigaction(libc::SIGBUS, std::ptr::null(), before.as_mut_ptr()) };
    if asked != 0 {
        return;
    }
    // SAFETY: the call succeeded and so filled it in.
    let before = unsafe { before.assume_init() };
    if BEFORE.set(before).is_err() {
        return;
    }
    // SAFETY: all fields of the C struct are plain numbers, or an optional function, for which zero
    // is a value.
    let mut action: sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_sigbus as *const () as usize;
    // On the stack for signals, where a thread has one: a fault may come when there is little left.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: the handler has the signature that SA_SIGINFO asks for and lives for ever; it does
    // nothing that a signal handler must not do.
    let installed = unsafe { libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut()) };
    debug_assert_eq!(installed, 0, "SIGBUS can be handled");
}

extern "C" fn on_sigbus(_signal: c_int, info: *mut siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel hands a handler with SA_SIGINFO a whole siginfo.
    let info = unsafe { &*info };
    // SAFETY: of a SIGBUS that is a fault the kernel fills this field in; of one that somebody sent
    // it holds other bytes of the struct, which are compared with addresses and nothing else.
    let address = unsafe { info.si_addr() } as usize;
    let Some(file) = file_at(address) else { return give_back() };
    let mut line = Line { bytes: [0; LINE_BYTES_MAX], len: 0 };
    line.put(b"corelane: cannot write to ");
    line.put_name(file);
    line.put(
        b": the file was cut short while it was mapped, or its file system has no room or memory \
          for it\n  what is in the journal before that place is whole: look at the file, then \
          start again\n",
    );
    // SAFETY: writes initialised bytes of the line to an open descriptor, or to none.
    unsafe { libc::write(libc::STDERR_FILENO, line.bytes.as_ptr().cast(), line.len) };
    // SAFETY: ends the process without running anything of it.
    unsafe { libc::_exit(EXIT_IO) };
}

/// The fault is not ours: the instruction is run again, and meets whoever was there before.
fn give_back() {
    if let Some(before) = BEFORE.get() {
        // SAFETY: installs what the system said was installed.
        unsafe { libc::sigaction(libc::SIGBUS, before, std::ptr::null_mut()) };
    }
}

/// A line put together without an allocation.
struct Line {
    bytes: [u8; LINE_BYTES_MAX],
    len: usize,
}

impl Line {
    fn put(&mut self, text: &[u8]) {
        let room = &mut self.bytes[self.len..];
        let count = text.len().min(room.len());
        room[..count].copy_from_slice(&text[..count]);
        self.len += count;
    }

    /// The name that an open file has now.
    fn put_name(&mut self, file: c_int) {
        let mut link = Self { bytes: [0; LINE_BYTES_MAX], len: 0 };
        link.put(b"/proc/self/fd/");
        link.put_number(file.unsigned_abs());
        let room = self.bytes.len() - self.len;
        let to = self.bytes[self.len..].as_mut_ptr().cast();
        // SAFETY: `link` ends in zeros, being far shorter than its room, and `to` has `room` bytes.
        let got = unsafe { libc::readlink(link.bytes.as_ptr().cast(), to, room) };
        match usize::try_from(got) {
            Ok(bytes) => self.len += bytes,
            Err(_) => self.put(b"a mapped file"),
        }
    }

    fn put_number(&mut self, number: u32) {
        if number >= 10 {
            self.put_number(number / 10);
        }
        self.put(&[b'0' + (number % 10) as u8]);
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn an_address_is_found_as_long_as_its_mapping_is_kept() {
        let file = tempfile::tempfile().unwrap();
        // No address of a process is that high.
        let start = usize::MAX - 8_192;
        let mapping = Mapping::enter(start, 4_096, file.as_fd());
        assert_eq!(file_at(start), Some(file.as_raw_fd()));
        assert_eq!(file_at(start + 4_095), Some(file.as_raw_fd()));
        assert_eq!((file_at(start - 1), file_at(start + 4_096)), (None, None));
        drop(mapping);
        assert_eq!(file_at(start), None);
    }

    #[test]
    fn a_file_is_named_as_it_is_called_now() {
        let dir = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(dir.path().join("new")).unwrap();
        std::fs::rename(dir.path().join("new"), dir.path().join("old")).unwrap();
        let mut line = Line { bytes: [0; LINE_BYTES_MAX], len: 0 };
        line.put_name(file.as_raw_fd());
        let name = std::str::from_utf8(&line.bytes[..line.len]).unwrap();
        assert_eq!(std::path::Path::new(name), dir.path().canonicalize().unwrap().join("old"));
        let mut line = Line { bytes: [0; LINE_BYTES_MAX], len: 0 };
        line.put_name(c_int::MAX);
        assert_eq!(&line.bytes[..line.len], b"a mapped file");
    }
}
