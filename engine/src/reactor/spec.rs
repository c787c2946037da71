//! What a reactor is asked to open: plain values, filled in from the configuration.
//!
//! Invariant: every size here is a bound that [`crate::reactor::Reactor::open`] checks before it
//! opens anything.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// Socket receive buffer asked for by default: what a burst of 32 MiB needs.
pub const RCVBUF_DEFAULT: usize = 32 << 20;
/// Largest payload of a UDP datagram.
pub const DATAGRAM_BYTES_MAX: usize = 65_535;

/// Which receive backend a feed asks for.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum BackendKind {
    /// `socket` for one or two sockets, else `uring` where the kernel allows it.
    #[default]
    Auto,
    /// io_uring with multishot receives.
    Uring,
    /// Busy-polled `recvmmsg` and `recv`.
    Socket,
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Uring => "uring",
            Self::Socket => "socket",
        })
    }
}

/// The network interface that a multicast group is joined on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Interface {
    /// The interface that has this address.
    Address(Ipv4Addr),
    /// The interface of this name; the only form for IPv6 groups.
    Name(String),
}

impl FromStr for Interface {
    type Err = Infallible;

    /// An IPv4 address is an address, anything else a name.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Address))
    }
}

/// One datagram socket: a multicast group, or a local address for unicast.
#[derive(Clone, Debug)]
pub struct SocketSpec {
    /// Group and port, or local address and port (0 lets the kernel choose the port).
    pub group: SocketAddr,
    /// Where to join; `None` leaves it to the routing table.
    pub interface: Option<Interface>,
    /// Take the group from this sender alone (source-specific multicast, RFC 4607). IPv4.
    pub source: Option<Ipv4Addr>,
    /// Receive buffer to ask for, in bytes; what was got is in `OpenSocket::rcvbuf_got`.
    pub rcvbuf: usize,
}

impl SocketSpec {
    /// Any source, routed interface, [`RCVBUF_DEFAULT`].
    #[must_use]
    pub const fn new(group: SocketAddr) -> Self {
        Self { group, interface: None, source: None, rcvbuf: RCVBUF_DEFAULT }
    }
}

/// One TCP connection that the reactor makes and keeps making, or waits for.
#[derive(Clone, Debug)]
pub struct ConnSpec {
    /// The peer, or where to listen.
    pub address: SocketAddr,
    /// Wait for a peer to connect, one at a time: the next one is accepted when it has gone.
    pub listens: bool,
    /// Wait before the first retry; doubles with each, up to `backoff_max`, until a connection
    /// lasts longer than that.
    pub backoff_min: Duration,
    /// The longest wait between two tries.
    pub backoff_max: Duration,
    /// Give up one try after this.
    pub connect_timeout: Duration,
}

impl ConnSpec {
    /// Retries after 100 ms to 5 s, each try at most 3 s.
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self {
            address,
            listens: false,
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(3),
        }
    }

    /// Waits for peers at an address.
    #[must_use]
    pub const fn listening(address: SocketAddr) -> Self {
        Self { listens: true, ..Self::new(address) }
    }
}

/// Everything one reactor owns. A handler sees the positions in `sockets` and `conns`.
#[derive(Clone, Debug)]
pub struct ReactorSpec {
    /// Datagram sockets: one per group, so that no membership limit is met.
    pub sockets: Vec<SocketSpec>,
    /// TCP connections.
    pub conns: Vec<ConnSpec>,
    /// Which backend.
    pub backend: BackendKind,
    /// Longest datagram expected, in bytes; a longer one is dropped and counted.
    pub datagram_bytes_max: usize,
    /// Receive buffers shared by all datagram sockets of a `uring` reactor; a power of two.
    pub datagram_buffers: u16,
    /// 16 KiB receive buffers shared by all connections of a `uring` reactor; a power of two.
    pub stream_buffers: u16,
    /// Datagrams that one poll hands over at most.
    pub batch_max: usize,
}

impl Default for ReactorSpec {
    fn default() -> Self {
        Self {
            sockets: Vec::new(),
            conns: Vec::new(),
            backend: BackendKind::Auto,
            datagram_bytes_max: 2_048,
            datagram_buffers: 1_024,
            stream_buffers: 64,
            batch_max: 64,
        }
    }
}

impl ReactorSpec {
    pub(super) fn check(&self) -> Result<(), ReactorError> {
        let buffers = 1..=(1 << 15);
        let bounds = [
            ("datagram_bytes_max", self.datagram_bytes_max, 1..=DATAGRAM_BYTES_MAX),
            ("datagram_buffers", self.datagram_buffers.into(), buffers.clone()),
            ("stream_buffers", self.stream_buffers.into(), buffers),
            ("batch_max", self.batch_max, 1..=1_024),
        ];
        for (name, found, allowed) in bounds {
            let power = !name.ends_with("buffers") || found.is_power_of_two();
            if !allowed.contains(&found) || !power {
                let (low, high) = allowed.into_inner();
                return Err(ReactorError::Bound { name, found, low, high });
            }
        }
        Ok(())
    }
}

/// Why a reactor could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ReactorError {
    /// A size in the specification is out of bounds.
    #[error("{name} is {found}, allowed is {low} to {high} (buffer counts: powers of two)")]
    Bound {
        /// Field of [`ReactorSpec`].
        name: &'static str,
        /// Its value.
        found: usize,
        /// Least allowed.
        low: usize,
        /// Most allowed.
        high: usize,
    },
    /// The backend asked for cannot be used on this host.
    #[error("backend {kind} is not to be had: {why}")]
    Unavailable {
        /// What was asked for.
        kind: BackendKind,
        /// What the probe found.
        why: String,
    },
    /// A socket could not be set up.
    #[error("{group}: {step}")]
    Socket {
        /// The socket's group or address.
        group: SocketAddr,
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// An interface name that this host does not have, or a form that the group cannot take.
    #[error("{group}: interface {name:?}: {why}")]
    Interface {
        /// The socket's group.
        group: SocketAddr,
        /// The interface as configured.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The ring or its buffers could not be set up.
    #[error("setting up the receive ring: {step}; {cause}")]
    Ring {
        /// What was tried.
        step: &'static str,
        /// What stands behind it, as far as the host tells.
        cause: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_out_of_bounds_are_named() {
        let spec = ReactorSpec { datagram_buffers: 48, ..ReactorSpec::default() };
        let text = spec.check().unwrap_err().to_string();
        assert!(text.starts_with("datagram_buffers is 48, allowed is 1 to 32768"), "{text}");
        let spec = ReactorSpec { batch_max: 0, ..ReactorSpec::default() };
        assert!(spec.check().unwrap_err().to_string().contains("batch_max is 0"));
        assert!(ReactorSpec::default().check().is_ok());
    }

    #[test]
    fn an_interface_is_an_address_or_a_name() {
        assert_eq!("127.0.0.1".parse(), Ok(Interface::Address(Ipv4Addr::LOCALHOST)));
        assert_eq!("eth0".parse(), Ok(Interface::Name("eth0".into())));
    }
}
