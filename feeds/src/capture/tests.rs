//! Captures in every format and byte order, cut anywhere; packets against `etherparse`.

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::*;

/// A pcap file of frames at second 1, 2, ...
fn pcap(magic: u32, big: bool, frames: &[&[u8]]) -> Vec<u8> {
    let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut file = word(magic).to_vec();
    file.extend([0; 12]);
    file.extend(word(65_535));
    file.extend(word(1));
    for (i, frame) in frames.iter().enumerate() {
        file.extend(word(i as u32 + 1));
        file.extend(word(500));
        file.extend(word(frame.len() as u32));
        file.extend(word(frame.len() as u32));
        file.extend_from_slice(frame);
    }
    file
}

fn block(kind: u32, big: bool, body: &[u8]) -> Vec<u8> {
    let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let padded = body.len().next_multiple_of(4);
    let mut block = word(kind).to_vec();
    block.extend(word(padded as u32 + 12));
    block.extend_from_slice(body);
    block.resize(8 + padded, 0);
    block.extend(word(padded as u32 + 12));
    block
}

/// A pcapng section with a nanosecond interface, one enhanced and one simple packet.
fn pcapng(big: bool, frame: &[u8]) -> Vec<u8> {
    let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let half = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut section = word(0x1a2b_3c4d).to_vec();
    section.extend([0; 12]);
    let mut interface = half(1).to_vec();
    interface.extend([0; 6]);
    interface.extend(half(9));
    interface.extend(half(1));
    interface.extend([9, 0, 0, 0]);
    let mut enhanced = word(0).to_vec();
    let ns = 1_700_000_000_123_456_789u64;
    enhanced.extend(word((ns >> 32) as u32));
    enhanced.extend(word(ns as u32));
    enhanced.extend(word(frame.len() as u32));
    enhanced.extend(word(frame.len() as u32 + 5));
    enhanced.extend_from_slice(frame);
    let mut simple = word(frame.len() as u32).to_vec();
    simple.extend_from_slice(frame);
    let mut file = block(0x0a0d_0d0a, big, &section);
    file.extend(block(1, big, &interface));
    file.extend(block(0xbad, big, b"unknown"));
    file.extend(block(6, big, &enhanced));
    file.extend(block(3, big, &simple));
    file
}

fn read(pieces: &[&[u8]]) -> Result<Vec<(u64, bool, Vec<u8>)>, CaptureError> {
    let mut reader = Reader::new();
    let mut frames = Vec::new();
    for piece in pieces {
        reader.give(piece);
        while let Some(frame) = reader.next_frame()? {
            frames.push((frame.ts.0, frame.is_truncated(), frame.bytes.to_vec()));
        }
    }
    Ok(frames)
}

#[test]
fn pcap_in_every_byte_order_and_resolution() {
    for (magic, fraction) in [(0xa1b2_c3d4, 500_000), (0xa1b2_3c4d, 500)] {
        for big in [false, true] {
            let file = pcap(magic, big, &[b"one", b"", b"three"]);
            let frames = read(&[&file]).unwrap();
            assert_eq!(frames.len(), 3);
            assert_eq!(frames[2], (3_000_000_000 + fraction, false, b"three".to_vec()));
        }
    }
}

#[test]
fn pcapng_in_both_byte_orders_and_several_sections() {
    for big in [false, true] {
        let mut file = pcapng(big, b"frame");
        file.extend(pcapng(!big, b"other"));
        let frames = read(&[&file]).unwrap();
        let expected = |bytes: &[u8]| {
            [(1_700_000_000_123_456_789, true, bytes.to_vec()), (0, false, bytes.to_vec())]
        };
        assert_eq!(frames[..2], expected(b"frame"));
        assert_eq!(frames[2..], expected(b"other"));
    }
}

/// An interface block's body with one option.
fn interface(big: bool, code: u16, value: &[u8]) -> Vec<u8> {
    let half = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut body = half(1).to_vec();
    body.extend([0; 6]);
    body.extend(half(code));
    body.extend(half(value.len() as u16));
    body.extend_from_slice(value);
    body
}

#[test]
fn pcapng_clocks_obsolete_packets_and_blocks_of_any_size() {
    for big in [false, true] {
        let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        let half = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        let offset = if big { 7u64.to_be_bytes() } else { 7u64.to_le_bytes() };
        let mut file = block(0x0a0d_0d0a, big, &[&word(0x1a2b_3c4d)[..], &[0; 12]].concat());
        file.extend(block(1, big, &interface(big, 9, &[0x80 | 10])));
        file.extend(block(1, big, &interface(big, 14, &offset)));
        file.extend(block(0x0000_000a, big, &vec![7; FRAME_BYTES_MAX + 100]));
        for (number, stamp) in [(0u16, 512u32), (1, 3)] {
            // Interface, drops, time, captured, on the wire, packet.
            let mut body = [half(number), half(0xffff)].concat();
            [0, stamp, 4, 9].iter().for_each(|value| body.extend(word(*value)));
            body.extend(b"data");
            file.extend(block(2, big, &body));
        }
        let frames = read(&file.chunks(1_000).collect::<Vec<_>>()).unwrap();
        let data = || b"data".to_vec();
        assert_eq!(frames, [(500_000_000, true, data()), (7_000_003_000, true, data())]);
    }
}

#[test]
fn pcapng_blocks_end_with_their_length() {
    let mut file = pcapng(false, b"frame");
    let last = file.len() - 1;
    file[last] = 1;
    assert!(matches!(read(&[&file]), Err(CaptureError::BadLength { .. })));
}

#[test]
fn an_ipv6_fragment_that_is_whole_is_a_packet() {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([1; 6], [2; 6])
        .ipv6([1; 16], [0xff; 16], 1)
        .udp(5, 6)
        .write(&mut frame, b"six")
        .unwrap();
    frame[20] = 44;
    frame[19] += 8;
    frame.splice(54..54, [17, 0, 0, 0, 0, 0, 0, 9]);
    assert_eq!(udp(LinkType::ETHERNET, &frame), Ok(b"six".to_vec()));
    for more_or_offset in [1, 8] {
        frame[57] = more_or_offset;
        assert_eq!(udp(LinkType::ETHERNET, &frame), Err(Skipped::Fragment));
    }
}

#[test]
fn how_the_bytes_are_cut_makes_no_difference() {
    for file in [pcap(0xa1b2_c3d4, false, &[b"one", b"two"]), pcapng(true, b"frame")] {
        let whole = read(&[&file]).unwrap();
        assert_eq!(read(&file.chunks(1).collect::<Vec<_>>()).unwrap(), whole);
        for cut in 0..file.len() {
            assert_eq!(read(&[&file[..cut], &file[cut..]]).unwrap(), whole);
            assert!(read(&[&file[..cut]]).unwrap().len() <= whole.len());
        }
    }
}

#[test]
fn damage_is_an_error_with_its_place() {
    assert_eq!(read(&[b"ELF?"]), Err(CaptureError::UnknownFormat));
    let mut file = pcap(0xa1b2_c3d4, false, &[b"one"]);
    file[24 + 8..24 + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = CaptureError::BadLength { offset: 24, length: u64::from(u32::MAX) };
    assert_eq!(read(&[&file]), Err(error));
    let mut file = pcapng(false, b"frame");
    file[4..8].copy_from_slice(&3u32.to_le_bytes());
    assert!(matches!(read(&[&file]), Err(CaptureError::BadLength { offset: 0, .. })));
}

/// Adds `tag` after the addresses of an Ethernet frame.
fn with_vlan(frame: &[u8], tag: [u8; 4]) -> Vec<u8> {
    [&frame[..12], &tag, &frame[12..]].concat()
}

fn udp_frame(payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([1; 6], [2; 6])
        .ipv4([10, 0, 0, 1], [233, 54, 12, 1], 1)
        .udp(1000, 26477);
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).unwrap();
    frame
}

fn udp(link: LinkType, frame: &[u8]) -> Result<Vec<u8>, Skipped> {
    match decode(link, frame)?.payload {
        Payload::Udp(payload) => Ok(payload.to_vec()),
        Payload::Tcp { .. } => panic!("not UDP"),
    }
}

#[test]
fn every_link_type_leads_to_the_payload() {
    let frame = udp_frame(b"data");
    let ip = &frame[14..];
    let sll = [&[0u8; 14][..], &[8, 0], ip].concat();
    let sll2 = [&[8u8, 0][..], &[0; 18], ip].concat();
    let null = [&[2u8, 0, 0, 0][..], ip].concat();
    let vlan = with_vlan(&frame, [0x81, 0, 0, 5]);
    let qinq = with_vlan(&vlan, [0x88, 0xa8, 0, 6]);
    let cases = [
        (LinkType::ETHERNET, frame.clone()),
        (LinkType::ETHERNET, vlan),
        (LinkType::ETHERNET, qinq),
        (LinkType::RAW, ip.to_vec()),
        (LinkType::IPV4, ip.to_vec()),
        (LinkType(12), ip.to_vec()),
        (LinkType::LINUX_SLL, sll),
        (LinkType::LINUX_SLL2, sll2),
        (LinkType::NULL, null.clone()),
        (LinkType::LOOP, null),
    ];
    for (link, bytes) in cases {
        assert_eq!(udp(link, &bytes), Ok(b"data".to_vec()), "{link:?}");
    }
    assert_eq!(udp(LinkType(999), &frame), Err(Skipped::UnknownLink));
}

#[test]
fn options_padding_fragments_and_cuts() {
    let mut frame = udp_frame(b"data");
    frame.extend([0; 14]);
    assert_eq!(udp(LinkType::ETHERNET, &frame), Ok(b"data".to_vec()), "padding is no payload");
    let mut options = udp_frame(b"data");
    options[14] = 0x46;
    options.splice(34..34, [1, 1, 1, 1]);
    let total = u16::from_be_bytes([options[16], options[17]]) + 4;
    options[16..18].copy_from_slice(&total.to_be_bytes());
    assert_eq!(udp(LinkType::ETHERNET, &options), Ok(b"data".to_vec()));
    for flags in [[0x20, 0], [0, 1]] {
        let mut fragment = udp_frame(b"data");
        fragment[20..22].copy_from_slice(&flags);
        assert_eq!(udp(LinkType::ETHERNET, &fragment), Err(Skipped::Fragment));
    }
    let frame = udp_frame(b"data");
    for cut in 0..frame.len() {
        assert!(udp(LinkType::ETHERNET, &frame[..cut]).is_err(), "cut at {cut}");
    }
    let mut arp = udp_frame(b"");
    arp[12..14].copy_from_slice(&[8, 6]);
    assert_eq!(udp(LinkType::ETHERNET, &arp), Err(Skipped::NotIp));
}

#[test]
fn ipv6_and_tcp() {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([1; 6], [2; 6])
        .ipv6([1; 16], [0xff; 16], 1)
        .udp(5, 6)
        .write(&mut frame, b"six")
        .unwrap();
    assert_eq!(udp(LinkType::ETHERNET, &frame), Ok(b"six".to_vec()));
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([1; 6], [2; 6])
        .ipv4([1; 4], [2; 4], 9)
        .tcp(5, 6, 77, 1_000)
        .syn()
        .write(&mut frame, b"bytes")
        .unwrap();
    let packet = decode(LinkType::ETHERNET, &frame).unwrap();
    assert_eq!(packet.payload, Payload::Tcp { seq: 77, flags: 2, bytes: b"bytes" });
    assert_eq!(packet.destination.to_string(), "2.2.2.2:6");
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&[&bytes]);
        let magics = [&[0xd4, 0xc3, 0xb2, 0xa1][..], &[0x0a, 0x0d, 0x0d, 0x0a]];
        for magic in magics {
            let _ = read(&[magic, &bytes]);
        }
        for link in [0, 1, 101, 108, 113, 228, 229, 276] {
            let _ = decode(LinkType(link), &bytes);
        }
    }

    #[test]
    fn headers_read_as_etherparse_reads_them(
        flips in prop::collection::vec((0usize..46, any::<u8>()), 0..3),
        payload in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut frame = udp_frame(&payload);
        for (at, xor) in flips {
            if at < frame.len() {
                frame[at] ^= xor;
            }
        }
        let Ok(oracle) = etherparse::SlicedPacket::from_ethernet(&frame) else { return Ok(()) };
        let Some(etherparse::TransportSlice::Udp(expected)) = oracle.transport else {
            return Ok(());
        };
        // Zero lengths mean an offload to us; the oracle takes them at their word.
        if expected.length() == 0 || frame[16..18] == [0, 0] {
            return Ok(());
        }
        let found = decode(LinkType::ETHERNET, &frame);
        if let Ok(packet) = found {
            prop_assert_eq!(packet.payload, Payload::Udp(expected.payload()));
            prop_assert_eq!(packet.destination.port(), expected.destination_port());
        } else {
            prop_assert!(false, "{found:?}");
        }
    }
}
