//! Socket options that neither `socket2` nor `rustix` offers.
//!
//! Invariant: every option is set and read with the type that Linux documents for it
//! (socket(7), udp(7), ip(7)), so that the kernel never reads or writes outside the value.
#![allow(unsafe_code)]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

/// Options that take an `int`, used here as on or off.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Switch {
    /// SO_TIMESTAMPNS: each datagram carries when the kernel received it.
    TimestampNs,
    /// SO_RXQ_OVFL: each datagram carries how many were dropped before it.
    DropCount,
}

/// Turns an option on or off.
///
/// # Errors
/// If the kernel does not know the option.
pub fn set(socket: impl AsFd, option: Switch, on: bool) -> io::Result<()> {
    let (level, name) = match option {
        Switch::TimestampNs => (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS),
        Switch::DropCount => (libc::SOL_SOCKET, libc::SO_RXQ_OVFL),
    };
    set_value(socket, level, name, &libc::c_int::from(on))
}

/// Cuts what is sent into datagrams of `bytes` each, the last may be shorter (UDP_SEGMENT, GSO);
/// 0 turns it off.
///
/// # Errors
/// If the kernel is older than 4.18.
pub fn set_segment(socket: impl AsFd, bytes: u16) -> io::Result<()> {
    set_value(socket, libc::SOL_UDP, libc::UDP_SEGMENT, &libc::c_int::from(bytes))
}

/// Joins `group` as sent by `source`, on the interface with this index (MCAST_JOIN_SOURCE_GROUP,
/// RFC 3678). IPv4 and IPv6; ports are ignored.
///
/// # Errors
/// If the two addresses are of different families, or the kernel refuses.
pub fn join_source(
    socket: impl AsFd,
    group: SocketAddr,
    source: SocketAddr,
    interface: u32,
) -> io::Result<()> {
    let level = match (group, source) {
        (SocketAddr::V4(_), SocketAddr::V4(_)) => libc::IPPROTO_IP,
        (SocketAddr::V6(_), SocketAddr::V6(_)) => libc::IPPROTO_IPV6,
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    // SAFETY: `group_source_req` is integers and byte arrays only, for which zero is a value.
    let mut request: libc::group_source_req = unsafe { zeroed() };
    request.gsr_interface = interface;
    request.gsr_group = storage(group);
    request.gsr_source = storage(source);
    set_value(socket, level, libc::MCAST_JOIN_SOURCE_GROUP, &request)
}

/// How many datagrams the kernel dropped at this socket since it was made (SO_MEMINFO, wraps at
/// 2^32).
///
/// # Errors
/// If the kernel is older than 4.12.
pub fn dropped(socket: impl AsFd) -> io::Result<u32> {
    let mut info = [0u32; libc::SK_MEMINFO_DROPS as usize + 1];
    let mut bytes = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the kernel writes at most `bytes` bytes at `info`, which is exactly the array's size,
    // and any bit pattern is a `u32`. Both outlive the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            info.as_mut_ptr().cast(),
            &mut bytes,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(info[libc::SK_MEMINFO_DROPS as usize])
}

fn set_value<T>(socket: impl AsFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: the kernel reads at most `size_of::<T>()` bytes at `value`, a live reference. Callers
    // in this module pass `c_int` and a zeroed C struct, so no uninitialised padding is read.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn storage(address: SocketAddr) -> libc::sockaddr_storage {
    let address = socket2::SockAddr::from(address);
    // SAFETY: `sockaddr_storage` is integers and byte arrays only, for which zero is a value.
    let mut storage: libc::sockaddr_storage = unsafe { zeroed() };
    let bytes = (address.len() as usize).min(size_of::<libc::sockaddr_storage>());
    // SAFETY: `SockAddr` holds `len` initialised bytes at `as_ptr`, `bytes` is within both that and
    // the destination, and the two are separate objects.
    unsafe {
        std::ptr::copy_nonoverlapping(
            address.as_ptr().cast::<u8>(),
            (&raw mut storage).cast::<u8>(),
            bytes,
        );
    }
    storage
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn options_take_and_drops_are_read() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for option in [Switch::TimestampNs, Switch::DropCount] {
            set(&socket, option, true).unwrap();
            set(&socket, option, false).unwrap();
        }
        assert_eq!(dropped(&socket).unwrap(), 0);
    }

    #[test]
    fn joins_one_source_by_interface_index() {
        let socket = UdpSocket::bind("239.1.2.3:0").unwrap();
        let group = "239.1.2.3:0".parse().unwrap();
        let source = "127.0.0.1:0".parse().unwrap();
        join_source(&socket, group, source, 1).unwrap();
        assert!(join_source(&socket, group, "[::1]:0".parse().unwrap(), 1).is_err());
    }
}
