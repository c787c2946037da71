//! Two lines with loss, duplicates and reordering: what one line lacks the other fills, and what
//! both lack is counted as missing.
//!
//! The test listens to both lines itself, so that it knows what could be had.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use corelane_feeds::moldudp64::Packet;
use rustix::process::Signal;

use super::support::{Side, feed, free_group, generate, must, text};

/// Datagrams of a line, by first sequence and number of messages, in the order of arrival.
type Heard = Vec<(u64, u64)>;

/// Listens to a line until all is published and heard.
fn listen(line: SocketAddr, published: &Arc<AtomicBool>) -> JoinHandle<Heard> {
    let SocketAddr::V4(group) = line else { panic!("IPv4") };
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_recv_buffer_size(4 << 20).unwrap();
    socket.bind(&line.into()).unwrap();
    let socket = UdpSocket::from(socket);
    socket.join_multicast_v4(group.ip(), &Ipv4Addr::LOCALHOST).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let published = Arc::clone(published);
    std::thread::spawn(move || {
        let (mut heard, mut buffer) = (Vec::new(), [0; 2_048]);
        loop {
            // Asked before receiving: what is published waits in the socket then.
            let last = published.load(Ordering::Acquire);
            match socket.recv(&mut buffer) {
                Ok(length) => {
                    let packet = Packet::parse(&buffer[..length]).unwrap();
                    if packet.count > 0 && !packet.end_of_session {
                        heard.push((packet.seq, u64::from(packet.count)));
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock && last => return heard,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
    })
}

/// What two lines brought of a capture's messages.
#[derive(Debug)]
struct Truth {
    /// On no line.
    lost: u64,
    /// On no line before a later one of that line: they may count as missing.
    lost_or_late: u64,
    holes: u64,
    /// A line did not begin with the first message.
    joins_late: bool,
}

fn truth(messages: u64, lines: &[Heard]) -> Truth {
    let mut all: BTreeMap<u64, u64> = BTreeMap::new();
    let mut in_order: BTreeSet<u64> = BTreeSet::new();
    for line in lines {
        let mut newest = 0;
        for (seq, count) in line {
            all.insert(*seq, *count);
            if *seq >= newest {
                in_order.insert(*seq);
                newest = *seq;
            }
        }
    }
    let brought: u64 = all.values().sum();
    let late: u64 =
        all.iter().filter(|(seq, _)| !in_order.contains(seq)).map(|(_, count)| count).sum();
    let mut holes = 0;
    let mut next = 1;
    for (seq, count) in all {
        holes += u64::from(seq != next);
        next = seq + count;
    }
    holes += u64::from(next != messages + 1);
    let lost = messages - brought;
    let joins_late = lines.iter().any(|line| line.first().is_none_or(|(seq, _)| *seq != 1));
    Truth { lost, lost_or_late: lost + late, holes, joins_late }
}

const MESSAGES: u64 = 40_000;

/// One run with the faults of a seed; what could be had, and what became of it.
fn run_with_faults(side: &Side, capture: &Path, lines: &[SocketAddr], seed: u64) -> Truth {
    side.clear();
    let run = side.start(&[]);
    let published = Arc::new(AtomicBool::new(false));
    let ears: Vec<_> = lines.iter().map(|line| listen(*line, &published)).collect();
    let to: Vec<String> = lines.iter().map(ToString::to_string).collect();
    let (to, seed) = (to.join(","), seed.to_string());
    let own = ["publish", "--pcap", text(capture), "--lines", &to, "--fault-seed", &seed];
    let faults = ["--drop", "0.02", "--dup", "0.05", "--reorder", "0.01"];
    must(side.path(), &[&own[..], &faults, &["--rate", "60000", "--end"]].concat());
    published.store(true, Ordering::Release);
    let heard: Vec<Heard> = ears.into_iter().map(|ear| ear.join().unwrap()).collect();
    // The end of the session may be lost as well: all was sent, and a run that is told to stop
    // takes what has arrived.
    run.signal(Signal::TERM);
    run.done();
    truth(MESSAGES, &heard)
}

#[test]
fn one_line_fills_the_holes_of_the_other() {
    let lines = [free_group(), free_group()];
    let dir = tempfile::tempdir().unwrap();
    // Few datagrams, so that some seeds hit both lines at the same place and some do not.
    let packed = ["--batch-window", "10s", "--messages", "40000", "--halts", "0"];
    let capture = generate(dir.path(), "a.pcap", lines[0], &packed);
    let reference = Side::new("", &feed("itch50", &lines), "");
    reference.replay(&capture, "max");

    let backends = ["socket", "uring", "auto"].into_iter().cycle();
    let (mut whole, mut broken) = (0, 0);
    for (seed, backend) in (1..60).zip(backends) {
        let side = Side::new(&format!("backend = \"{backend}\""), &feed("itch50", &lines), "");
        let truth = run_with_faults(&side, &capture, &lines, seed);
        let report = side.report();
        let counters = &report["feeds"][0]["counters"];
        let count = |name: &str| counters[name].as_u64().unwrap();
        assert_eq!(report["totals"]["kernel_drops"], 0);
        assert!(count("duplicates") > MESSAGES / 2, "{counters:#}");
        assert_eq!(count("restarts"), 0, "{counters:#}");
        if truth.joins_late {
            // Which line is heard first decides where the session begins for us.
            continue;
        }
        if truth.lost_or_late == 0 {
            whole += 1;
            assert_eq!((count("gaps"), count("messages_missing")), (0, 0), "{truth:?}");
            assert!(side.actions() == reference.actions(), "seed {seed}");
            side.assert_same_journal(&reference);
        } else {
            broken += 1;
            let missing = count("messages_missing");
            assert!((truth.lost..=truth.lost_or_late).contains(&missing), "{missing}, {truth:?}");
            assert_eq!(count("messages"), MESSAGES - missing);
            assert!(count("gaps") >= truth.holes.min(1), "{truth:?}");
        }
        side.assert_journal_closed();
        if whole >= 2 && broken >= 2 {
            return;
        }
    }
    panic!("{whole} runs without and {broken} with loss on both lines: choose other faults");
}
