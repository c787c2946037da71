//! Captures on the wire: what arrives is what was captured, faults are those asked for, and nothing
//! leaves before it is due. A whole session fits a socket's buffer, so that a slow machine loses
//! none.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;
use corelane::generate::GenerateArgs;
use corelane::publish::PublishArgs;
use corelane_feeds::moldudp64::Packet;

#[derive(Parser)]
enum Cli {
    Generate(GenerateArgs),
    Publish(PublishArgs),
}

fn run(args: &[&str]) {
    match Cli::try_parse_from(std::iter::once(&"corelane").chain(args)).unwrap() {
        Cli::Generate(args) => args.run().unwrap(),
        Cli::Publish(args) => args.run().unwrap(),
    }
}

fn generate(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    let out = path.to_str().unwrap();
    let plain = ["--episodes", "0", "--stuffing", "0", "--halts", "0", "--batch-window", "1s"];
    let small = ["generate", "itch", "--out", out, "--messages", "1200", "--symbols", "60"];
    run(&[&small[..], &plain].concat());
    path
}

fn receiver() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Datagrams up to the end of the session, on a thread of their own.
fn receive(socket: UdpSocket) -> std::thread::JoinHandle<Vec<Vec<u8>>> {
    std::thread::spawn(move || {
        let mut datagrams = Vec::new();
        let mut buffer = [0; 2_048];
        loop {
            let length = socket.recv(&mut buffer).unwrap();
            if Packet::parse(&buffer[..length]).unwrap().end_of_session {
                return datagrams;
            }
            datagrams.push(buffer[..length].to_vec());
        }
    })
}

fn messages(datagrams: &[Vec<u8>]) -> Vec<u8> {
    datagrams.iter().flat_map(|datagram| datagram[20..].iter().copied()).collect()
}

/// The UDP payloads of a pcap as the generator writes it.
fn payloads(pcap: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(pcap).unwrap();
    let (mut at, mut payloads) = (24, Vec::new());
    while at < bytes.len() {
        let length = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
        payloads.push(bytes[at + 16 + 42..at + 16 + length].to_vec());
        at += 16 + length;
    }
    payloads
}

#[test]
fn a_pcap_arrives_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let pcap = generate(dir.path(), "a.pcap");
    let mut expected = payloads(&pcap);
    // The capture ends the session itself.
    expected.pop();
    for more in [&["--rate", "300000"][..], &["--rate", "300000", "--preload", "--no-gso"]] {
        let (socket, to) = receiver();
        let received = receive(socket);
        let to = to.to_string();
        let args = ["publish", "--pcap", pcap.to_str().unwrap(), "--to", &to];
        run(&[&args[..], more].concat());
        assert!(received.join().unwrap() == expected);
    }
}

#[test]
fn a_file_of_messages_is_packed_and_ended() {
    let dir = tempfile::tempdir().unwrap();
    let itch = generate(dir.path(), "a.itch.gz");
    let pcap = generate(dir.path(), "b.pcap");
    let (socket, to) = receiver();
    let received = receive(socket);
    let args = ["publish", "--pcap", itch.to_str().unwrap(), "--to", &to.to_string()];
    run(&[&args[..], &["--rate", "300000", "--end", "--batch", "20"]].concat());
    let datagrams = received.join().unwrap();
    let mut seq = 1;
    for datagram in &datagrams {
        let packet = Packet::parse(datagram).unwrap();
        assert_eq!((packet.session, packet.seq), (*b"BINARYFILE", seq));
        assert!(packet.count <= 20);
        seq += u64::from(packet.count);
    }
    assert_eq!(seq, 1_201);
    assert!(messages(&datagrams) == messages(&payloads(&pcap)));
}

#[test]
fn two_lines_with_faults_make_one_whole() {
    let dir = tempfile::tempdir().unwrap();
    let itch = generate(dir.path(), "a.itch");
    let ((a, to_a), (b, to_b)) = (receiver(), receiver());
    let (a, b) = (receive(a), receive(b));
    let lines = format!("{to_a},{to_b}");
    let args = ["publish", "--pcap", itch.to_str().unwrap(), "--lines", &lines];
    let faults = ["--drop", "0.05", "--dup", "0.05", "--reorder", "0.05", "--fault-seed", "3"];
    run(&[&args[..], &faults, &["--rate", "200000", "--batch", "10", "--end"]].concat());
    let (a, b) = (a.join().unwrap(), b.join().unwrap());
    let sequences = |line: &[Vec<u8>]| -> Vec<u64> {
        line.iter().map(|datagram| Packet::parse(datagram).unwrap().seq).collect()
    };
    let (a, b) = (sequences(&a), sequences(&b));
    assert_ne!(a, b, "the lines have faults of their own");
    for line in [&a, &b] {
        assert!(!line.is_sorted(), "some are overtaken");
        let mut unique = line.clone();
        unique.sort_unstable();
        unique.dedup();
        assert!(unique.len() < line.len(), "some come twice");
        assert!(unique.len() < 120, "some are lost");
    }
}

#[test]
fn the_original_group_is_the_default_and_time_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pcap");
    let (out, group) = (path.to_str().unwrap(), "239.255.77.7");
    // A port that is free for unicast is free for a group.
    let (socket, address) = receiver();
    drop(socket);
    let socket = UdpSocket::bind((group, address.port())).unwrap();
    socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20).unwrap();
    let loopback = std::net::Ipv4Addr::LOCALHOST;
    socket.join_multicast_v4(&group.parse().unwrap(), &loopback).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let to = format!("{group}:{}", address.port());
    let size = ["--messages", "1200", "--symbols", "20", "--duration", "250ms", "--group", &to];
    let plain = ["--episodes", "0", "--stuffing", "0", "--halts", "0", "--batch-window", "1ms"];
    run(&[&["generate", "itch", "--out", out][..], &size, &plain].concat());
    let mut expected = payloads(&path);
    expected.pop();
    let received = receive(socket);
    let started = Instant::now();
    run(&["publish", "--pcap", out, "--speed", "2x"]);
    // The day with its pre-open and post-close is 270 ms, sent twice as fast.
    assert!(started.elapsed() >= Duration::from_millis(130), "{:?}", started.elapsed());
    assert!(received.join().unwrap() == expected);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let refused = |args: &[&str]| {
        let args = ["corelane", "publish", "--pcap", "/nonexistent"].iter().chain(args);
        match Cli::try_parse_from(args) {
            Ok(Cli::Publish(args)) => args.run().unwrap_err().to_string(),
            Ok(Cli::Generate(_)) => panic!("not asked for"),
            Err(error) => error.to_string(),
        }
    };
    assert!(refused(&["--drop", "2"]).contains("from 0 to 1"));
    assert!(refused(&["--rate", "0"]).contains("above zero"));
    assert!(refused(&["--speed", "quick"]).contains("not a speed"));
    assert!(refused(&["--to", "[ff02::1]:5000"]).contains("IPv4"));
    assert!(refused(&[]).contains("/nonexistent"));
    let both = refused(&["--to", "239.1.1.1:1", "--lines", "239.1.1.1:1,239.1.1.2:1"]);
    assert!(both.contains("cannot be used with"));
}
