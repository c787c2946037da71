//! Packets built and read by `etherparse`, and real captures cut and damaged everywhere.

use std::path::PathBuf;

use corelane_feeds::capture::{LinkType, Packet, Payload, Reader, Skipped, decode};
use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Shape {
    link: u8,
    v6: bool,
    tcp: bool,
    addresses: [u8; 32],
    ports: (u16, u16),
    options: u8,
    payload: Vec<u8>,
    padding: u8,
}

fn shape() -> impl Strategy<Value = Shape> {
    (
        (0u8..3, any::<bool>(), any::<bool>(), any::<[u8; 32]>()),
        (any::<(u16, u16)>(), 0u8..=10, prop::collection::vec(any::<u8>(), 0..80), 0u8..20),
    )
        .prop_map(|((link, v6, tcp, addresses), (ports, options, payload, padding))| Shape {
            link,
            v6,
            tcp,
            addresses,
            ports,
            options,
            payload,
            padding,
        })
}

/// The frame that `etherparse` makes of a shape, with padding behind it.
fn build(shape: &Shape) -> Vec<u8> {
    let link = PacketBuilder::ethernet2([1; 6], [2; 6]);
    let header = network(shape);
    let step = match shape.link {
        0 => link.ip(header),
        1 => link.single_vlan(5.try_into().unwrap()).ip(header),
        _ => link.double_vlan(6.try_into().unwrap(), 7.try_into().unwrap()).ip(header),
    };
    let mut frame = Vec::new();
    let (source, destination) = shape.ports;
    if shape.tcp {
        step.tcp(source, destination, 99, 1_000).psh().write(&mut frame, &shape.payload).unwrap();
    } else {
        step.udp(source, destination).write(&mut frame, &shape.payload).unwrap();
    }
    frame.extend(vec![0xee; usize::from(shape.padding)]);
    frame
}

fn network(shape: &Shape) -> etherparse::IpHeaders {
    use etherparse::{IpHeaders, IpNumber, Ipv4Header, Ipv4Options, Ipv6Extensions, Ipv6Header};
    let protocol = if shape.tcp { IpNumber::TCP } else { IpNumber::UDP };
    let address = &shape.addresses;
    if shape.v6 {
        let (source, destination) = address.split_at(16);
        let header = Ipv6Header {
            source: source.try_into().unwrap(),
            destination: destination.try_into().unwrap(),
            next_header: protocol,
            hop_limit: 1,
            ..Ipv6Header::default()
        };
        let mut extensions = Ipv6Extensions::default();
        let raw = |bytes: usize| {
            etherparse::Ipv6RawExtHeader::new_raw(IpNumber::UDP, &vec![0; bytes]).unwrap()
        };
        if shape.options & 1 != 0 {
            extensions.hop_by_hop_options = Some(raw(6));
        }
        if shape.options & 2 != 0 {
            extensions.destination_options = Some(raw(14));
        }
        let mut headers = IpHeaders::Ipv6(header, extensions);
        headers.set_next_headers(protocol);
        return headers;
    }
    let source = address[..4].try_into().unwrap();
    let destination = address[4..8].try_into().unwrap();
    let mut header = Ipv4Header::new(0, 1, protocol, source, destination).unwrap();
    header.options = Ipv4Options::try_from(&vec![1; usize::from(shape.options) * 4][..]).unwrap();
    IpHeaders::Ipv4(header, etherparse::Ipv4Extensions::default())
}

/// What the oracle finds in a frame: source port, destination port, payload.
fn oracle(frame: &[u8]) -> Option<(u16, u16, &[u8])> {
    match SlicedPacket::from_ethernet(frame).ok()?.transport? {
        TransportSlice::Udp(udp) => {
            Some((udp.source_port(), udp.destination_port(), udp.payload()))
        }
        TransportSlice::Tcp(tcp) => {
            Some((tcp.source_port(), tcp.destination_port(), tcp.payload()))
        }
        _ => None,
    }
}

fn seen<'a>(packet: &Packet<'a>) -> (u16, u16, &'a [u8]) {
    let (Payload::Udp(bytes) | Payload::Tcp { bytes, .. }) = packet.payload;
    (packet.source.port(), packet.destination.port(), bytes)
}

proptest! {
    #[test]
    fn every_shape_of_packet_is_read_as_it_was_built(shape in shape()) {
        let frame = build(&shape);
        let packet = decode(LinkType::ETHERNET, &frame).unwrap();
        prop_assert_eq!(seen(&packet), (shape.ports.0, shape.ports.1, &shape.payload[..]));
        prop_assert_eq!(packet.destination.is_ipv6(), shape.v6);
        prop_assert_eq!(matches!(packet.payload, Payload::Tcp { .. }), shape.tcp);
        // Every cut into the headers or the payload is told from a whole packet.
        let whole = frame.len() - usize::from(shape.padding);
        for cut in 0..whole {
            let skipped = decode(LinkType::ETHERNET, &frame[..cut]).err();
            prop_assert_eq!(skipped, Some(Skipped::Truncated));
        }
    }

    #[test]
    fn damaged_packets_are_never_read_otherwise_than_the_oracle_reads_them(
        shape in shape(),
        flips in prop::collection::vec((0usize..80, any::<u8>()), 1..4),
    ) {
        let mut frame = build(&shape);
        for (at, xor) in flips {
            if at < frame.len() {
                frame[at] ^= xor;
            }
        }
        // The oracle may refuse what we read (it checks more), and reads lengths of 0 otherwise.
        if let (Ok(packet), Some(expected)) = (decode(LinkType::ETHERNET, &frame), oracle(&frame)) {
            let found = seen(&packet);
            prop_assert_eq!((found.0, found.1), (expected.0, expected.1));
            prop_assert!(found.2.starts_with(expected.2) || expected.2.starts_with(found.2));
        }
    }
}

fn captures() -> Vec<(PathBuf, Vec<u8>)> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let data = std::env::var("CORELANE_DATA").unwrap_or_else(|_| default.to_owned());
    let names = ["cboe-pitch-bats/mcastpitch_grp_useq.pcap", "fix-tcp-ndpi/fix2.pcap"];
    let paths = names.iter().map(|name| PathBuf::from(&data).join(name));
    paths
        .filter_map(|path| match std::fs::read(&path) {
            Ok(bytes) => Some((path, bytes)),
            Err(error) => {
                println!("skipped: {}: {error}", path.display());
                None
            }
        })
        .collect()
}

/// Reads what is whole; returns (frames, packets).
fn walk(pieces: &[&[u8]]) -> (usize, usize) {
    let mut reader = Reader::new();
    let (mut frames, mut packets) = (0, 0);
    for piece in pieces {
        reader.give(piece);
        while let Ok(Some(frame)) = reader.next_frame() {
            frames += 1;
            packets += usize::from(decode(frame.link, frame.bytes).is_ok());
        }
    }
    (frames, packets)
}

#[test]
fn real_captures_cut_anywhere() {
    for (path, bytes) in captures() {
        let whole = walk(&[&bytes]);
        assert!(whole.1 > 0, "{}", path.display());
        assert_eq!(walk(&bytes.chunks(1).collect::<Vec<_>>()), whole);
        // A prime step meets every place of a frame's header.
        for cut in (0..bytes.len().min(20_000)).step_by(7) {
            assert_eq!(walk(&[&bytes[..cut], &bytes[cut..]]), whole);
            assert!(walk(&[&bytes[..cut]]).0 <= whole.0);
        }
    }
}

#[test]
fn real_captures_with_flipped_bits() {
    for (_, mut bytes) in captures() {
        bytes.truncate(20_000);
        for at in (0..bytes.len()).step_by(3) {
            let kept = bytes[at];
            bytes[at] ^= 1 << (at % 8);
            walk(&[&bytes]);
            bytes[at] = kept;
        }
    }
}
