//! Readers of capture files on the same pcap in the memory file system, each frame's UDP payload
//! found.
//!
//! Invariant: everyone folds the length and the last byte of every payload; the sums must be equal.

use std::fs::File;
use std::hint::black_box;
use std::path::Path;

use anyhow::{Context, ensure};
use corelane::capture_file::Capture;
use corelane_bench::session::Session;
use corelane_bench::stat::thread_cpu_ns;
use corelane_feeds::capture::{Payload, decode};
use etherparse::{SlicedPacket, TransportSlice};
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{LegacyPcapReader, PcapBlockOwned, PcapError};

use crate::table::{measure, peer};

const MESSAGES: u64 = 2_000_000;
const ROUNDS: usize = 11;
/// Bytes that a reader asks for at once; ours decides for itself.
const BUFFER_BYTES: usize = 1 << 16;

fn fold(sum: u64, payload: &[u8]) -> u64 {
    let payload = black_box(payload);
    let last = payload.last().copied().unwrap_or_default();
    sum.wrapping_mul(31).wrapping_add(payload.len() as u64 ^ u64::from(last))
}

fn by_corelane(path: &Path) -> anyhow::Result<u64> {
    let Capture::Packets(mut capture) = Capture::open(path)? else {
        anyhow::bail!("not a capture of packets")
    };
    let mut sum = 0;
    while let Some(frame) = capture.next_frame()? {
        if let Ok(packet) = decode(frame.link, frame.bytes)
            && let Payload::Udp(payload) = packet.payload
        {
            sum = fold(sum, payload);
        }
    }
    Ok(sum)
}

/// The payload of an Ethernet frame by etherparse, headers checked.
fn payload(frame: &[u8]) -> Option<&[u8]> {
    match SlicedPacket::from_ethernet(frame).ok()?.transport? {
        TransportSlice::Udp(udp) => Some(udp.payload()),
        _ => None,
    }
}

fn by_pcap_file(path: &Path) -> anyhow::Result<u64> {
    let mut reader = pcap_file::pcap::PcapReader::new(File::open(path)?)?;
    let mut sum = 0;
    while let Some(packet) = reader.next_packet() {
        if let Some(payload) = payload(&packet?.data) {
            sum = fold(sum, payload);
        }
    }
    Ok(sum)
}

fn by_pcap_parser(path: &Path) -> anyhow::Result<u64> {
    let reader = LegacyPcapReader::new(BUFFER_BYTES, File::open(path)?);
    let mut reader = reader.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let mut sum = 0;
    loop {
        match reader.next() {
            Ok((bytes, block)) => {
                if let PcapBlockOwned::Legacy(block) = block
                    && let Some(payload) = payload(block.data)
                {
                    sum = fold(sum, payload);
                }
                reader.consume(bytes);
            }
            Err(PcapError::Eof) => return Ok(sum),
            Err(PcapError::Incomplete(_)) => {
                reader.refill().map_err(|error| anyhow::anyhow!("{error:?}"))?;
            }
            Err(error) => anyhow::bail!("{error:?}"),
        }
    }
}

pub(crate) fn run() -> anyhow::Result<()> {
    let session = Session::generate(MESSAGES)?;
    let folder = tempfile::tempdir_in("/dev/shm").context("the memory file system")?;
    let path = &folder.path().join("session.pcap");
    session.write_pcap(path)?;
    let packets = session.datagrams().count();
    drop(session);
    let ours = by_corelane(path)?;
    ensure!(ours == by_pcap_file(path)?, "pcap-file comes to another sum");
    ensure!(ours == by_pcap_parser(path)?, "pcap-parser comes to another sum");
    let time = move |read: fn(&Path) -> anyhow::Result<u64>| {
        move || {
            let begin = thread_cpu_ns();
            black_box(read(path)?);
            Ok((thread_cpu_ns() - begin) / packets as f64)
        }
    };
    let peers = vec![
        peer("", "Corelane: reader and link layers", time(by_corelane)),
        peer("pcap-file", "with etherparse's slices", time(by_pcap_file)),
        peer("pcap-parser", "with etherparse's slices", time(by_pcap_parser)),
    ];
    let title = format!("pcap, {packets} packets of up to 1,400 bytes, CPU time");
    measure(&title, "packet", ROUNDS, peers)
}
