//! What several test files share: where real data lies, how it is cut into messages and packets.
#![allow(dead_code, reason = "every test file uses its own part")]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use corelane_feeds::capture::{Payload, Reader, decode};
use corelane_feeds::moldudp64::Header;
use corelane_feeds::units::Nanos;
use serde_json::Value;
use zerocopy::IntoBytes;

/// The session of made-up MoldUDP64 packets: the one that BinaryFILE captures get.
pub(crate) const SESSION: &[u8; 10] = b"BINARYFILE";

/// A file of the real data, unpacked if it is gzip; says so and gives `None` if it is absent.
pub(crate) fn real(name: &str) -> Option<Vec<u8>> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("CORELANE_DATA").map_or_else(default, PathBuf::from);
    let path = folder.join(name);
    let Ok(bytes) = fs::read(&path) else {
        println!("skipped: {} is absent (CORELANE_DATA names its folder)", path.display());
        return None;
    };
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut unpacked = Vec::new();
        flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut unpacked).expect("gzip");
        return Some(unpacked);
    }
    Some(bytes)
}

/// The truth beside a capture.
pub(crate) fn truth(folder: &str) -> Option<Value> {
    let bytes = real(&format!("{folder}/truth.json"))?;
    Some(serde_json::from_slice(&bytes).expect("JSON"))
}

/// The messages of a BinaryFILE capture, each behind its two-byte length.
pub(crate) fn binary_file(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let (message, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        messages.push(message);
        bytes = rest;
    }
    messages
}

/// The UDP payloads of a pcap, with the time each was captured.
pub(crate) fn udp_payloads(pcap: &[u8]) -> Vec<(Nanos, Vec<u8>)> {
    let mut reader = Reader::new();
    reader.give(pcap);
    let mut payloads = Vec::new();
    while let Some(frame) = reader.next_frame().expect("a sound capture") {
        if let Ok(packet) = decode(frame.link, frame.bytes)
            && let Payload::Udp(payload) = packet.payload
        {
            payloads.push((frame.ts, payload.to_vec()));
        }
    }
    payloads
}

/// A MoldUDP64 packet.
pub(crate) fn mold(session: &[u8; 10], seq: u64, messages: &[&[u8]]) -> Vec<u8> {
    let header = Header::new(*session, seq, messages.len() as u16);
    let mut bytes = header.as_bytes().to_vec();
    for message in messages {
        bytes.extend_from_slice(&(message.len() as u16).to_be_bytes());
        bytes.extend_from_slice(message);
    }
    bytes
}
