//! Captures: pcap and pcapng bytes to packets, and packets to UDP and TCP payloads.
//!
//! ```text
//! bytes ──> Reader (pcap, pcapng: both byte orders, micro- and nanoseconds) ──> Frame
//! Frame ──> link (Ethernet, VLAN, SLL, raw IP, loopback) ──> ip (IPv4, IPv6) ──> Packet
//! ```
//!
//! Invariant: streaming and bounded: the caller gives bytes as it has them and takes what is
//! complete; nothing larger than [`FRAME_BYTES_MAX`] is ever waited for. What cannot be read is
//! counted or is an error with its offset, never a panic.

mod link;
mod pcap;
mod pcapng;
mod reader;

pub use link::{Packet, Payload, Skipped, decode};
pub use reader::{CaptureError, Frame, Reader};

/// The largest captured frame, and the largest block of a pcapng file.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// Link types of the pcap format. [<https://www.tcpdump.org/linktypes.html>]
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: address family in host order.
    pub const NULL: LinkType = LinkType(0);
    /// Ethernet II or 802.3.
    pub const ETHERNET: LinkType = LinkType(1);
    /// Raw IP.
    pub const RAW: LinkType = LinkType(101);
    /// OpenBSD loopback: address family in network order.
    pub const LOOP: LinkType = LinkType(108);
    /// Linux cooked capture.
    pub const LINUX_SLL: LinkType = LinkType(113);
    /// Raw IPv4.
    pub const IPV4: LinkType = LinkType(228);
    /// Raw IPv6.
    pub const IPV6: LinkType = LinkType(229);
    /// Linux cooked capture, version 2.
    pub const LINUX_SLL2: LinkType = LinkType(276);
}

#[cfg(test)]
mod tests;
