//! The files that `corelane generate itch` writes: every format holds the same messages, and the
//! packets are what other tools read.

use std::io::Read;
use std::path::Path;

use clap::Parser;
use corelane::generate::GenerateArgs;
use etherparse::{NetSlice, SlicedPacket, TransportSlice};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    generate: GenerateArgs,
}

fn generate(dir: &Path, name: &str, more: &[&str]) -> Vec<u8> {
    let out = dir.join(name);
    let args = ["generate", "itch", "--out", out.to_str().unwrap(), "--messages", "60000"];
    let small = ["--symbols", "100", "--duration", "20s", "--stuffing", "1", "--episodes", "3"];
    let cli = Cli::try_parse_from(args.iter().chain(&small).chain(more)).unwrap();
    cli.generate.run().unwrap();
    std::fs::read(out).unwrap()
}

/// Captured packets: time in nanoseconds since the epoch, and frame.
fn packets(pcap: &[u8]) -> Vec<(u64, &[u8])> {
    let word = |at: usize| u64::from(u32::from_le_bytes(pcap[at..at + 4].try_into().unwrap()));
    assert_eq!((word(0), word(20)), (0xa1b2_3c4d, 1), "nanoseconds, Ethernet");
    let mut at = 24;
    let mut packets = Vec::new();
    while at < pcap.len() {
        let length = word(at + 8) as usize;
        assert_eq!(word(at + 8), word(at + 12));
        let frame = &pcap[at + 16..at + 16 + length];
        packets.push((word(at) * 1_000_000_000 + word(at + 4), frame));
        at += 16 + length;
    }
    packets
}

#[test]
fn every_format_holds_the_same_messages() {
    let dir = tempfile::tempdir().unwrap();
    let plain = generate(dir.path(), "a.itch", &[]);
    let mut unzipped = Vec::new();
    let gzip = generate(dir.path(), "a.itch.gz", &[]);
    flate2::read::GzDecoder::new(&gzip[..]).read_to_end(&mut unzipped).unwrap();
    assert!(unzipped == plain);
    let zstd = generate(dir.path(), "a.itch.zst", &[]);
    assert!(zstd::decode_all(&zstd[..]).unwrap() == plain);

    let pcap = generate(dir.path(), "a.pcap", &[]);
    let (mut messages, mut next_seq, mut last, mut ended) = (Vec::new(), 1, 0, false);
    for (time, frame) in packets(&pcap) {
        assert!(time >= last && !ended);
        last = time;
        let sliced = SlicedPacket::from_ethernet(frame).unwrap();
        let Some(NetSlice::Ipv4(ip)) = &sliced.net else { panic!("not IPv4") };
        let header = ip.header().to_header();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        assert_eq!(header.destination, [233, 54, 12, 111]);
        let Some(TransportSlice::Udp(udp)) = &sliced.transport else { panic!("not UDP") };
        assert_eq!(udp.destination_port(), 26_477);
        let mold = udp.payload();
        assert!(mold.len() <= 1_400);
        assert_eq!(mold[..10], *b"CORELANE01");
        assert_eq!(u64::from_be_bytes(mold[10..18].try_into().unwrap()), next_seq);
        let count = u16::from_be_bytes(mold[18..20].try_into().unwrap());
        ended = count == 0xffff;
        if !ended {
            next_seq += u64::from(count);
            messages.extend_from_slice(&mold[20..]);
        }
    }
    assert!(ended && messages == plain);
}

#[test]
fn the_truth_lies_beside_the_capture() {
    let dir = tempfile::tempdir().unwrap();
    generate(dir.path(), "a.pcap", &["--batch", "5", "--seed", "9"]);
    let text = std::fs::read(dir.path().join("a.pcap.truth.json")).unwrap();
    let truth: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(truth["messages"], 60_000);
    assert_eq!(truth["layering"].as_array().unwrap().len(), 3);
    assert_eq!(truth["decoys"].as_array().unwrap().len(), 9);
    let episode = &truth["layering"][0];
    assert!(episode["order_refs"].as_array().unwrap().len() >= 4);
    assert!(episode["start_ns"].as_u64() < episode["exec_ns"].as_u64());
    assert!(episode["exec_ns"].as_u64() < episode["end_ns"].as_u64());
}

#[test]
fn names_that_say_no_format_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a.csv");
    let cli = Cli::try_parse_from(["generate", "itch", "--out", out.to_str().unwrap()]).unwrap();
    let error = cli.generate.run().unwrap_err().to_string();
    assert!(error.contains(".pcap or .itch"), "{error}");
    assert!(!out.exists());
}
