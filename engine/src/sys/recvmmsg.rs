//! `recvmmsg(2)` into buffers allocated once.
//!
//! ```text
//! buffers  | payload 0 | payload 1 | ...      control | control 0 | control 1 | ...
//!              ^ iovec 0                                  ^
//! headers  | mmsghdr 0 -> iovec 0, control 0 | mmsghdr 1 ...
//! ```
//!
//! Invariant: the pointers in headers and iovecs are written anew before each call and are used by
//! that call alone, so moving a [`MessageBatch`] is harmless.
#![allow(unsafe_code)]

use std::io;
use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd};

/// Room for control data of one message: timestamp, drop count and segment size take 80 bytes.
pub const CONTROL_BYTES: usize = 112;

/// Room for a number of messages, and what the last receive put there.
pub struct MessageBatch {
    payload_bytes: usize,
    buffers: Box<[u8]>,
    control: Box<[Control]>,
    iovecs: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    received: usize,
}

/// Control data must start at the alignment of a `cmsghdr`.
#[derive(Copy, Clone)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

/// One received message.
#[derive(Copy, Clone, Debug)]
pub struct Message<'a> {
    /// Control messages, as the kernel wrote them.
    pub control: &'a [u8],
    /// The datagram, or its beginning if `truncated`.
    pub payload: &'a [u8],
    /// The datagram was longer than its buffer.
    pub truncated: bool,
}

impl MessageBatch {
    /// Room for `count` messages of up to `payload_bytes` each.
    #[must_use]
    pub fn new(count: usize, payload_bytes: usize) -> Self {
        assert!(count > 0 && payload_bytes > 0);
        // SAFETY: iovec and mmsghdr are integers and raw pointers only, for which zero is a value.
        let iovec: libc::iovec = unsafe { zeroed() };
        // SAFETY: as above.
        let header: libc::mmsghdr = unsafe { zeroed() };
        Self {
            payload_bytes,
            buffers: vec![0; count * payload_bytes].into(),
            control: vec![Control([0; CONTROL_BYTES]); count].into(),
            iovecs: vec![iovec; count].into(),
            headers: vec![header; count].into(),
            received: 0,
        }
    }

    /// How many messages there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.headers.len()
    }

    /// Receives up to `want` messages (at least 1, at most the capacity) without blocking; what
    /// the last call received is gone. Returns how many there are; none waiting is 0.
    ///
    /// # Errors
    /// If the socket reports an error, or is none.
    #[inline]
    pub fn receive(&mut self, socket: impl AsFd, want: usize) -> io::Result<usize> {
        let want = want.clamp(1, self.capacity());
        self.received = 0;
        self.prepare(want);
        // SAFETY: `prepare` has just pointed the first `want` headers at `want` separate payload
        // and control buffers of the stated sizes, all owned by `self`, which is borrowed mutably
        // for the whole call. `want` fits c_uint: it is at most the length of a slice of headers
        // whose buffers fit memory.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_fd().as_raw_fd(),
                self.headers.as_mut_ptr(),
                want as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        if received < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
                _ => Err(error),
            };
        }
        self.received = (received as usize).min(want);
        Ok(self.received)
    }

    /// Message `index` of the last receive.
    ///
    /// # Panics
    /// If there is no such message.
    #[inline]
    #[must_use]
    pub fn message(&self, index: usize) -> Message<'_> {
        assert!(index < self.received);
        let header = &self.headers[index];
        let start = index * self.payload_bytes;
        let bytes = (header.msg_len as usize).min(self.payload_bytes);
        let control = (header.msg_hdr.msg_controllen).min(CONTROL_BYTES);
        Message {
            control: &self.control[index].0[..control],
            payload: &self.buffers[start..start + bytes],
            truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        }
    }

    #[inline]
    fn prepare(&mut self, want: usize) {
        let payloads = self.buffers.chunks_exact_mut(self.payload_bytes);
        let buffers = payloads.zip(&mut self.control).zip(&mut self.iovecs);
        for (((payload, control), iovec), header) in buffers.zip(&mut self.headers).take(want) {
            iovec.iov_base = payload.as_mut_ptr().cast();
            iovec.iov_len = payload.len();
            let header = &mut header.msg_hdr;
            header.msg_iov = iovec;
            header.msg_iovlen = 1;
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL_BYTES as _;
            header.msg_flags = 0;
        }
    }
}

impl std::fmt::Debug for MessageBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MessageBatch")
            .field("capacity", &self.capacity())
            .field("payload_bytes", &self.payload_bytes)
            .field("received", &self.received)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn receives_in_order_cuts_at_the_buffer_and_survives_a_move() {
        let to = UdpSocket::bind("127.0.0.1:0").unwrap();
        let from = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut batch = MessageBatch::new(2, 8);
        assert_eq!(batch.receive(&to, 2).unwrap(), 0);
        for text in ["one", "two", "a longer one"] {
            from.send_to(text.as_bytes(), to.local_addr().unwrap()).unwrap();
        }
        assert_eq!(batch.receive(&to, 9).unwrap(), 2);
        let mut moved = Box::new(batch);
        assert_eq!(moved.message(0).payload, b"one");
        assert_eq!(moved.message(1).payload, b"two");
        assert_eq!(moved.receive(&to, 1).unwrap(), 1);
        assert_eq!(moved.message(0).payload, b"a longer");
        assert!(moved.message(0).truncated);
    }
}
