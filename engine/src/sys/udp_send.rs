//! `sendmmsg(2)` with UDP_SEGMENT: many datagrams to many addresses in one call, runs of equal
//! datagrams as one send that the kernel cuts (GSO).
//!
//! ```text
//! headers  | mmsghdr 0 -> address, iovec 0, control 0 | mmsghdr 1 ...
//! control  | cmsghdr (UDP_SEGMENT) | segment size |
//! ```
//!
//! Invariant: the pointers in headers and iovecs are written anew before each call and are used by
//! that call alone, so moving a [`SendBatch`] is harmless.
#![allow(unsafe_code)]

use std::io;
use std::mem::{offset_of, size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd};

use socket2::SockAddr;

/// Most datagrams that one send is cut into (UDP_MAX_SEGMENTS of older kernels).
pub const SEGMENTS_MAX: usize = 64;
/// Most bytes of one send: what an IPv4 packet holds behind its headers.
pub const SEND_BYTES_MAX: usize = 65_507;

/// One send.
#[derive(Copy, Clone, Debug)]
pub struct Send<'a> {
    /// One datagram, or several of equal length of which the last may be shorter.
    pub bytes: &'a [u8],
    /// Where to.
    pub to: &'a SockAddr,
    /// Length of each datagram if there are several, else zero.
    pub segment: u16,
}

/// A control message that holds a segment size, as the kernel reads it.
#[derive(Copy, Clone)]
#[repr(C)]
struct Control {
    bytes: usize,
    level: libc::c_int,
    kind: libc::c_int,
    segment: u16,
    pad: [u8; 6],
}

const _: () = assert!(size_of::<Control>() == 24);
const _: () = assert!(offset_of!(Control, segment) == size_of::<libc::cmsghdr>());
const _: () = assert!(offset_of!(Control, level) == offset_of!(libc::cmsghdr, cmsg_level));
const _: () = assert!(offset_of!(Control, kind) == offset_of!(libc::cmsghdr, cmsg_type));

impl Control {
    const fn new(segment: u16) -> Self {
        let bytes = offset_of!(Control, segment) + size_of::<u16>();
        Self { bytes, level: libc::SOL_UDP, kind: libc::UDP_SEGMENT, segment, pad: [0; 6] }
    }
}

/// Room for the headers of a number of sends.
pub struct SendBatch {
    controls: Box<[Control]>,
    iovecs: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

impl SendBatch {
    /// Room for `count` sends in one call.
    #[must_use]
    pub fn new(count: usize) -> Self {
        assert!(count > 0);
        // SAFETY: iovec and mmsghdr are integers and raw pointers only, for which zero is a value.
        let iovec: libc::iovec = unsafe { zeroed() };
        // SAFETY: as above.
        let header: libc::mmsghdr = unsafe { zeroed() };
        Self {
            controls: vec![Control::new(0); count].into(),
            iovecs: vec![iovec; count].into(),
            headers: vec![header; count].into(),
        }
    }

    /// How many sends there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.headers.len()
    }

    /// Makes the first of `sends`, up to the capacity, in one call. Returns how many were made,
    /// at least one.
    ///
    /// # Errors
    /// If the first could not be made.
    pub fn send(&mut self, socket: impl AsFd, sends: &[Send<'_>]) -> io::Result<usize> {
        let count = sends.len().min(self.capacity());
        if count == 0 {
            return Ok(0);
        }
        self.prepare(&sends[..count]);
        // SAFETY: `prepare` has just pointed the first `count` headers at the bytes and addresses
        // of `sends`, which is borrowed for the whole call, and at iovecs and controls owned by
        // `self`, which is borrowed mutably; all lengths are those of what is pointed at. The
        // kernel only reads what an outgoing message points at, and writes `msg_len` in the
        // headers. `count` fits c_uint: it is at most the length of a slice of headers.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_fd().as_raw_fd(),
                self.headers.as_mut_ptr(),
                count as libc::c_uint,
                0,
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
    }

    fn prepare(&mut self, sends: &[Send<'_>]) {
        let parts = self.controls.iter_mut().zip(&mut self.iovecs).zip(&mut self.headers);
        for (send, ((control, iovec), header)) in sends.iter().zip(parts) {
            iovec.iov_base = send.bytes.as_ptr().cast_mut().cast();
            iovec.iov_len = send.bytes.len();
            let header = &mut header.msg_hdr;
            header.msg_name = send.to.as_ptr().cast_mut().cast();
            header.msg_namelen = send.to.len();
            header.msg_iov = iovec;
            header.msg_iovlen = 1;
            if send.segment == 0 {
                header.msg_control = std::ptr::null_mut();
                header.msg_controllen = 0;
            } else {
                *control = Control::new(send.segment);
                header.msg_control = std::ptr::from_mut(control).cast();
                header.msg_controllen = size_of::<Control>() as _;
            }
        }
    }
}

impl std::fmt::Debug for SendBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendBatch").field("capacity", &self.capacity()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn runs_are_cut_and_addresses_kept_apart() {
        let a = UdpSocket::bind("127.0.0.1:0").unwrap();
        let b = UdpSocket::bind("127.0.0.1:0").unwrap();
        let from = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to_a = SockAddr::from(a.local_addr().unwrap());
        let to_b = SockAddr::from(b.local_addr().unwrap());
        let run: Vec<u8> = (0..25).collect();
        let sends = [
            Send { bytes: &run, to: &to_a, segment: 10 },
            Send { bytes: b"one", to: &to_b, segment: 0 },
            Send { bytes: b"two", to: &to_b, segment: 0 },
        ];
        let mut batch = Box::new(SendBatch::new(2));
        assert_eq!(batch.send(&from, &sends).unwrap(), 2);
        let mut moved = *batch;
        assert_eq!(moved.send(&from, &sends[2..]).unwrap(), 1);
        assert_eq!(moved.send(&from, &[]).unwrap(), 0);
        let mut buffer = [0; 64];
        for expected in [&run[..10], &run[10..20], &run[20..]] {
            let length = a.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], expected);
        }
        for expected in [b"one", b"two"] {
            let length = b.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], expected);
        }
    }

    #[test]
    fn a_send_that_is_too_long_is_an_error() {
        let from = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = SockAddr::from(from.local_addr().unwrap());
        let bytes = vec![0; SEND_BYTES_MAX + 1];
        let send = Send { bytes: &bytes, to: &to, segment: 0 };
        let error = SendBatch::new(1).send(&from, &[send]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    }
}
