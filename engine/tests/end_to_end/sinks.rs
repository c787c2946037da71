//! Where actions go: every sink gets the same ones, a peer that is away costs nothing that fits the
//! buffer, and what does not fit is counted.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::support::{
    PATIENCE, Process, Side, await_some, corelane, feed, free_group, generate, must, text,
};

const TOPOLOGIES: [&str; 2] = ["", "topology = \"pipelined\""];

struct Session {
    /// Removes the capture with the session.
    _dir: TempDir,
    capture: PathBuf,
    feed: String,
}

impl Session {
    fn new(more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let group = free_group();
        let capture = generate(dir.path(), "a.pcap", group, more);
        Self { _dir: dir, capture, feed: feed("itch50", &[group]) }
    }

    fn replay(&self, side: &Side, speed: &str) -> Process {
        let own = ["replay", text(&side.config), "--pcap", text(&self.capture)];
        Process::spawn(side.path(), corelane(own.into_iter().chain(["--speed", speed])))
    }
}

fn sink<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["sinks"].as_array().unwrap().iter().find(|sink| sink["name"] == name).unwrap()
}

fn count(sink: &Value, name: &str) -> u64 {
    sink[name].as_u64().unwrap()
}

fn to(kind: &str, address: SocketAddr, more: &str) -> String {
    format!("[[sink]]\nname = \"{kind}\"\ntype = \"{kind}\"\naddress = \"{address}\"\n{more}\n")
}

/// The next connection's lines up to its end.
fn lines_of_one_peer(listener: TcpListener) -> JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        BufReader::new(stream).lines().map(Result::unwrap).collect()
    })
}

#[test]
fn every_sink_gets_every_action() {
    let session = Session::new(&[]);
    for engine in TOPOLOGIES {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket2::SockRef::from(&datagrams).set_recv_buffer_size(4 << 20).unwrap();
        datagrams.set_read_timeout(Some(PATIENCE)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let binary = dir.path().join("actions.bin");
        let more = format!(
            "{}{}[[sink]]\nname = \"binary\"\ntype = \"file\"\nformat = \"binary\"\npath = \"{}\"\n\
             [[sink]]\nname = \"alerts\"\ntype = \"file\"\nstreams = [\"action.alert\"]\n\
             path = \"{}.alerts\"\n",
            to("tcp", listener.local_addr().unwrap(), ""),
            to("udp", datagrams.local_addr().unwrap(), ""),
            text(&binary),
            text(&binary),
        );
        let side = Side::new(engine, &session.feed, &more);
        let peer = lines_of_one_peer(listener);
        session.replay(&side, "max").done();
        let expected = side.actions();
        let count = expected.lines().count();
        assert!(count > 100);

        assert_eq!(peer.join().unwrap().join("\n") + "\n", expected, "{engine}");
        let mut buffer = [0; 2_048];
        for line in expected.lines() {
            let length = datagrams.recv(&mut buffer).unwrap();
            let datagram = std::str::from_utf8(&buffer[..length]).unwrap();
            assert_eq!(datagram.trim_end(), line, "{engine}");
        }
        let file = side.actions_file();
        let args = ["actions", "diff", "--json", text(&binary), text(&file)];
        let same: Value = serde_json::from_str(&must(side.path(), &args)).unwrap();
        assert_eq!(same["same"], count, "{same:#}");
        let alerts = std::fs::read_to_string(format!("{}.alerts", text(&binary))).unwrap();
        assert!(expected.lines().filter(|line| line.contains("action.alert")).eq(alerts.lines()));
        assert!(!alerts.is_empty());
        assert_eq!(side.report()["totals"]["sink_drops"], 0);
    }
}

/// A peer that takes some actions, breaks off, and comes back for the rest.
#[test]
fn a_peer_that_dies_and_returns_misses_nothing() {
    // A day of twenty seconds in two, so that there is a middle to die in.
    let session = Session::new(&["--duration", "20s"]);
    for engine in TOPOLOGIES {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let side = Side::new(engine, &session.feed, &to("tcp", address, ""));
        let replay = session.replay(&side, "10");

        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut reader = BufReader::new(stream);
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut first = String::new();
        reader.read_line(&mut first).unwrap();
        seen.insert(first.trim_end().to_owned());
        // Away for as long as it takes until some actions had to wait.
        drop((reader, listener));
        let written = side.actions().lines().count();
        await_some("more", || (side.actions().lines().count() > written + 3).then_some(()));

        let listener = await_some("the port", || TcpListener::bind(address).ok());
        let rest = lines_of_one_peer(listener).join().unwrap();
        replay.done();
        seen.extend(rest);
        let expected: BTreeSet<String> = side.actions().lines().map(str::to_owned).collect();
        assert!(expected.len() > 20, "{}", expected.len());
        assert_eq!(seen, expected, "{engine}");
        let report = side.report();
        let tcp = sink(&report, "tcp");
        assert!(count(tcp, "connects") >= 2 && count(tcp, "disconnects") >= 1, "{tcp:#}");
        assert!(count(tcp, "resent") >= 1, "{tcp:#}");
        assert_eq!((count(tcp, "dropped"), count(tcp, "sent")), (0, expected.len() as u64));
    }
}

#[test]
fn a_peer_that_is_never_there_costs_a_bounded_buffer() {
    let session = Session::new(&[]);
    // An address at which nobody listens, for as long as it is bound without listening.
    let nobody = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    nobody.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = nobody.local_addr().unwrap().as_socket().unwrap();
    for engine in TOPOLOGIES {
        let side = Side::new(engine, &session.feed, &to("tcp", address, "buffer = \"8KiB\""));
        let ended = session.replay(&side, "max").wait();
        assert!(ended.status.success(), "{ended:?}");
        assert!(ended.stderr.contains("sink tcp"), "{}", ended.stderr);
        let report = side.report();
        let tcp = sink(&report, "tcp");
        assert_eq!((count(tcp, "sent"), count(tcp, "connects")), (0, 0));
        assert!(count(tcp, "errors") >= 1);
        assert!(count(tcp, "pending_bytes_max") <= 8_192, "{tcp:#}");
        assert!(count(tcp, "pending_bytes_max") > 0, "{tcp:#}");
        // The other sink got them all.
        let all = side.actions().lines().count() as u64;
        assert_eq!((count(tcp, "taken"), count(tcp, "dropped")), (all, all));
        assert_eq!(report["totals"]["sink_drops"], all);
        assert!(!ended.stdout.contains("nothing was lost"), "{}", ended.stdout);
    }
}

/// A replay that waits for its next packet used to leave actions lying in the sinks of its thread
/// until 4,096 packets later.
#[test]
fn actions_of_a_slow_replay_go_out_at_once() {
    let session = Session::new(&["--duration", "120s"]);
    for engine in TOPOLOGIES {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let side = Side::new(engine, &session.feed, &to("tcp", address, ""));
        let mut replay = session.replay(&side, "4");
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let first = first_line(stream);
        assert!(first.is_some(), "{engine}: nothing came while the replay waited");
        await_some("the file", || (!side.actions().is_empty()).then_some(()));
        assert_eq!(first.as_deref(), side.actions().lines().next(), "{engine}");
        assert!(!replay.has_ended(), "a replay of half a minute");
        replay.signal(rustix::process::Signal::TERM);
        // Its peer is gone: what the sink still has is dropped, and counted.
        assert!(replay.done().contains("a signal"));
    }
}

/// The first line; none if it does not come in time.
fn first_line(stream: TcpStream) -> Option<String> {
    let mut line = String::new();
    match BufReader::new(stream).read_line(&mut line) {
        Ok(_) => Some(line.trim_end().to_owned()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    }
}
