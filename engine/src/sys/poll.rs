//! `poll(2)` on a set of descriptors that is rebuilt for each call, without allocating.
//!
//! Invariant: the set never grows past the room it was made with; what finds no room is not waited
//! for, and the caller wakes by its timeout.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// Descriptors to wait for.
pub struct PollSet {
    entries: Vec<libc::pollfd>,
}

impl PollSet {
    /// Room for `capacity` descriptors.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { entries: Vec::with_capacity(capacity) }
    }

    /// Forgets every descriptor.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Adds one that should become readable.
    pub fn push(&mut self, socket: impl AsFd) {
        if self.entries.len() < self.entries.capacity() {
            let fd = socket.as_fd().as_raw_fd();
            self.entries.push(libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
        }
    }

    /// Sleeps until one is readable, a signal arrives, or `timeout` is over.
    ///
    /// # Errors
    /// If the kernel is out of memory.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        let timeout = libc::timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        // SAFETY: the kernel reads and writes `entries.len()` initialised elements of `entries`,
        // which is borrowed mutably, and reads `timeout`; the signal mask may be null. A descriptor
        // that was closed since only makes the call return at once.
        let result = unsafe {
            libc::ppoll(
                self.entries.as_mut_ptr(),
                self.entries.len() as libc::nfds_t,
                &raw const timeout,
                std::ptr::null(),
            )
        };
        match io::Error::last_os_error() {
            error if result < 0 && error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for PollSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PollSet").field("entries", &self.entries.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::time::Instant;

    #[test]
    fn wakes_for_what_is_readable_or_late() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut set = PollSet::new(1);
        set.push(&socket);
        set.push(&socket);
        assert_eq!(set.entries.len(), 1);
        let start = Instant::now();
        set.wait(Duration::from_millis(3)).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(3));
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        set.wait(Duration::from_secs(30)).unwrap();
        assert!(start.elapsed() < Duration::from_secs(20));
        set.clear();
        assert!(set.entries.is_empty());
    }
}
