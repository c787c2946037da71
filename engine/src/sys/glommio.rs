//! Listening sockets that were opened elsewhere, for glommio executors.
//!
//! Invariant: a descriptor has one owner.
#![allow(unsafe_code)]

use std::net::TcpListener;
use std::os::fd::{FromRawFd, IntoRawFd};

/// The same listener, served by the executor that this is called on.
///
/// # Panics
/// Outside of an executor.
#[must_use]
pub fn listener(listener: TcpListener) -> glommio::net::TcpListener {
    // SAFETY: `into_raw_fd` gives up the ownership of an open, listening TCP socket, and
    // `from_raw_fd` takes it: nobody else closes or uses this descriptor.
    unsafe { glommio::net::TcpListener::from_raw_fd(listener.into_raw_fd()) }
}
