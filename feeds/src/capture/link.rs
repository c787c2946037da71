//! A frame to its UDP or TCP payload: link layer, VLAN tags, IPv4 with options, IPv6 with extension
//! headers. [IEEE 802.1Q, RFC 791, RFC 8200, RFC 768, RFC 9293]
//!
//! Invariant: fragments and frames that were cut are told apart from what cannot be read; a payload
//! is never longer than the IP and UDP lengths say, so that Ethernet padding is no payload.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::LinkType;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const VLAN_TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// Tags and extension headers that are followed at most.
const HEADERS_MAX: usize = 8;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;

/// A packet with its addresses.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Sender.
    pub source: SocketAddr,
    /// Receiver: a multicast group, or a host.
    pub destination: SocketAddr,
    /// What it carries.
    pub payload: Payload<'a>,
}

/// What a packet carries.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// A UDP datagram's payload.
    Udp(&'a [u8]),
    /// A TCP segment.
    Tcp {
        /// Sequence number of the first byte.
        seq: u32,
        /// The flags byte: FIN 1, SYN 2, RST 4, PSH 8, ACK 16.
        flags: u8,
        /// The bytes.
        bytes: &'a [u8],
    },
}

/// Why a frame gives no packet.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Skipped {
    /// Its link type is not known.
    UnknownLink,
    /// It carries no IP.
    NotIp,
    /// A fragment of an IP packet.
    Fragment,
    /// Neither UDP nor TCP; the IP protocol's number.
    OtherProtocol(u8),
    /// It ends before what its headers announce.
    Truncated,
}

/// The packet in a frame.
///
/// # Errors
/// Why there is none.
pub fn decode(link: LinkType, frame: &[u8]) -> Result<Packet<'_>, Skipped> {
    match link {
        LinkType::ETHERNET => {
            let kind = be16(frame, 12)?;
            network(kind, rest(frame, 14)?)
        }
        LinkType::LINUX_SLL => network(be16(frame, 14)?, rest(frame, 16)?),
        LinkType::LINUX_SLL2 => network(be16(frame, 0)?, rest(frame, 20)?),
        LinkType::NULL | LinkType::LOOP => raw(rest(frame, 4)?),
        // 12 and 14 are what some systems write for raw IP.
        LinkType::RAW | LinkType::IPV4 | LinkType::IPV6 | LinkType(12) | LinkType(14) => raw(frame),
        _ => Err(Skipped::UnknownLink),
    }
}

fn be16(bytes: &[u8], at: usize) -> Result<u16, Skipped> {
    let pair = bytes.get(at..at + 2).ok_or(Skipped::Truncated)?;
    Ok(u16::from_be_bytes([pair[0], pair[1]]))
}

fn rest(bytes: &[u8], at: usize) -> Result<&[u8], Skipped> {
    bytes.get(at..).ok_or(Skipped::Truncated)
}

/// What follows an Ethertype, VLAN tags taken off.
fn network(mut kind: u16, mut bytes: &[u8]) -> Result<Packet<'_>, Skipped> {
    for _ in 0..HEADERS_MAX {
        if !VLAN_TAGS.contains(&kind) {
            break;
        }
        kind = be16(bytes, 2)?;
        bytes = rest(bytes, 4)?;
    }
    match kind {
        ETHERTYPE_IPV4 => ipv4(bytes),
        ETHERTYPE_IPV6 => ipv6(bytes),
        _ => Err(Skipped::NotIp),
    }
}

fn raw(bytes: &[u8]) -> Result<Packet<'_>, Skipped> {
    match bytes.first().ok_or(Skipped::Truncated)? >> 4 {
        4 => ipv4(bytes),
        6 => ipv6(bytes),
        _ => Err(Skipped::NotIp),
    }
}

fn ipv4(bytes: &[u8]) -> Result<Packet<'_>, Skipped> {
    let header = bytes.first_chunk::<20>().ok_or(Skipped::Truncated)?;
    let header_bytes = usize::from(header[0] & 15) * 4;
    if header[0] >> 4 != 4 || header_bytes < 20 {
        return Err(Skipped::NotIp);
    }
    // More fragments, or an offset: a part of a packet. A total of 0 is a segmentation offload's.
    if be16(bytes, 6)? & 0x3fff != 0 {
        return Err(Skipped::Fragment);
    }
    let total = match usize::from(be16(bytes, 2)?) {
        0 => bytes.len(),
        total => total,
    };
    let body = bytes.get(header_bytes..total).ok_or(Skipped::Truncated)?;
    let source = Ipv4Addr::new(header[12], header[13], header[14], header[15]);
    let destination = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
    transport(header[9], source.into(), destination.into(), body)
}

fn ipv6(bytes: &[u8]) -> Result<Packet<'_>, Skipped> {
    let header = bytes.first_chunk::<40>().ok_or(Skipped::Truncated)?;
    if header[0] >> 4 != 6 {
        return Err(Skipped::NotIp);
    }
    // A length of 0 is a jumbogram's or a segmentation offload's.
    let end = match usize::from(be16(bytes, 4)?) {
        0 => bytes.len(),
        length => 40 + length,
    };
    let mut body = bytes.get(40..end).ok_or(Skipped::Truncated)?;
    let mut next = header[6];
    for _ in 0..HEADERS_MAX {
        let skip = match next {
            // Hop-by-hop, routing, destination options: length in 8-byte words less one.
            0 | 43 | 60 => (usize::from(*body.get(1).ok_or(Skipped::Truncated)?) + 1) * 8,
            // A fragment header without an offset and without more to come is a whole packet.
            44 if be16(body, 2)? & 0xfff9 == 0 => 8,
            44 => return Err(Skipped::Fragment),
            // Authentication: length in 4-byte words less two.
            51 => (usize::from(*body.get(1).ok_or(Skipped::Truncated)?) + 2) * 4,
            _ => break,
        };
        next = body[0];
        body = rest(body, skip)?;
    }
    let address = |at: usize| {
        let bytes: [u8; 16] = std::array::from_fn(|i| header[at + i]);
        IpAddr::V6(Ipv6Addr::from(bytes))
    };
    transport(next, address(8), address(24), body)
}

fn transport(
    protocol: u8,
    source: IpAddr,
    destination: IpAddr,
    body: &[u8],
) -> Result<Packet<'_>, Skipped> {
    if protocol != PROTOCOL_UDP && protocol != PROTOCOL_TCP {
        return Err(Skipped::OtherProtocol(protocol));
    }
    let source = SocketAddr::new(source, be16(body, 0)?);
    let destination = SocketAddr::new(destination, be16(body, 2)?);
    let payload = if protocol == PROTOCOL_UDP {
        // A length of 0 is a jumbogram's or an offload's: the IP length then says it.
        let length = match usize::from(be16(body, 4)?) {
            0 => body.len(),
            length => length,
        };
        Payload::Udp(body.get(8..length).ok_or(Skipped::Truncated)?)
    } else {
        let header = body.first_chunk::<20>().ok_or(Skipped::Truncated)?;
        let seq = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let bytes = rest(body, usize::from(header[12] >> 4) * 4)?;
        Payload::Tcp { seq, flags: header[13], bytes }
    };
    Ok(Packet { source, destination, payload })
}
