//! Sinks against real sockets and files, filters, order.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use corelane_feeds::record::View;
use corelane_feeds::units::{Price, Qty32, Seq, Symbol};
use corelane_strategies::action::{Alert, Order};
use socket2::{Domain, Socket, Type};

use super::*;
use crate::latency::LatencyCollector;
use crate::reactor::Waiting;
use crate::ring;

const PATIENCE: Duration = Duration::from_secs(10);

fn quiet(_: &str) {}

fn order(seq: u64) -> Order {
    let stamp = Stamp {
        instrument: 3,
        seq: Seq(seq),
        ts_event: Nanos(1_000 + seq),
        ts_recv: Nanos(77),
        ..Stamp::default()
    };
    let mut order = Order::new(stamp, b'S');
    order.rule = 1;
    order.symbol = Symbol::new("MSFT");
    order.price = Price(410_250_000_000);
    order.qty = Qty32(200);
    order
}

fn spec(name: &str, target: Target) -> EgressSpec {
    EgressSpec { sinks: vec![SinkConfig::new(name, target)], log: quiet, ..EgressSpec::default() }
}

fn open(spec: &EgressSpec) -> Egress {
    Egress::open(spec).unwrap()
}

/// Polls until `done`, within a deadline.
fn poll_until(egress: &mut Egress, what: &str, mut done: impl FnMut(&Egress) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done(egress) {
        assert!(Instant::now() < deadline, "{what}: {:?}", egress.stats());
        egress.poll();
        thread::yield_now();
    }
}

fn seqs(lines: impl IntoIterator<Item = String>) -> Vec<u64> {
    let seq = |line: String| {
        let value: serde_json::Value = serde_json::from_str(&line).expect("a whole line");
        value["seq"].as_u64().unwrap()
    };
    lines.into_iter().map(seq).collect()
}

fn file_lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_file_gets_every_action_and_is_appended_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    fs::write(&path, "{\"id\":\"torn by a cra").unwrap();
    for first in [0, 1_000] {
        let mut egress = open(&spec("f", Target::File(path.clone())));
        for seq in first..first + 1_000 {
            egress.take(0, order(seq).as_record());
        }
        let stats = egress.finish(Duration::ZERO);
        let sink = &stats.sinks[0];
        assert_eq!((stats.actions, sink.taken, sink.sent, sink.dropped), (1_000, 1_000, 1_000, 0));
    }
    let lines = file_lines(&path);
    assert_eq!(lines[0], "{\"id\":\"torn by a cra");
    assert_eq!(seqs(lines[1..].iter().cloned()), (0..2_000).collect::<Vec<_>>());
}

/// After a power cut: the journal of the first shard has lost an action that the file has, and the
/// second shard's comes again.
#[test]
fn a_file_that_is_ahead_of_one_shard_gets_nothing_twice_while_another_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    let mut spec = spec("f", Target::File(path.clone()));
    (spec.shards, spec.synced) = (2, true);
    spec.confirm_in = ["shard-000", "shard-001"].map(|shard| folder.path().join(shard)).to_vec();
    let began = [("f".to_owned(), 0)].into();
    let runs = [
        (vec![], vec![(0, 1), (1, 2)]),
        (vec![0, 1], vec![(0, 1), (1, 2), (0, 3)]),
        (vec![1, 1], vec![(1, 2), (0, 1), (0, 3), (1, 4)]),
    ];
    for (again, actions) in runs {
        let past = again.into_iter().map(|again| Past { again, ..Past::default() });
        spec.past = past.map(|past| Past { began: BTreeMap::clone(&began), ..past }).collect();
        let mut egress = open(&spec);
        for (shard, seq) in actions {
            egress.take(shard, order(seq).as_record());
        }
        let stats = egress.finish(PATIENCE);
        assert_eq!(stats.sinks[0].dropped, 0);
    }
    assert_eq!(seqs(file_lines(&path)), [1, 2, 3, 4]);
}

#[test]
fn a_golden_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    let strategies = vec!["imbalance".to_owned()];
    let mut egress = open(&EgressSpec { strategies, ..spec("f", Target::File(path.clone())) });
    egress.take(0, order(5).as_record());
    assert_eq!(egress.finish(Duration::ZERO).sinks[0].sent, 1);
    let golden = concat!(
        r#"{"id":"0-00000000-5-1-0","strategy":"imbalance","stream":"action.order","feed":0,"#,
        r#""instrument":3,"seq":5,"ts_event":1005,"side":"S","session":0,"rule":1,"ordinal":0,"#,
        r#""symbol":"MSFT","price":"410.25","qty":200}"#,
        "\n"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), golden);
}

#[test]
fn binary_is_the_record_without_what_a_replay_cannot_know() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [false, true].map(|stamps| folder.path().join(format!("{stamps}.bin")));
    let sink = |(i, path): (usize, &std::path::PathBuf)| SinkConfig {
        format: Format::Binary,
        stamps: i == 1,
        ..SinkConfig::new("b", Target::File(path.clone()))
    };
    let sinks = paths.iter().enumerate().map(sink).collect();
    let mut egress = open(&EgressSpec { sinks, log: quiet, ..EgressSpec::default() });
    egress.take(0, order(9).as_record());
    assert_eq!(egress.finish(Duration::ZERO).sinks.len(), 2);
    let mut plain = order(9);
    plain.header.ts_recv = Nanos(0);
    assert_eq!(fs::read(&paths[0]).unwrap(), plain.as_bytes());
    assert_eq!(fs::read(&paths[1]).unwrap(), order(9).as_bytes());
}

#[test]
fn a_full_disk_is_counted_and_reported() {
    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
    fn log(line: &str) {
        SAID.lock().unwrap().push(line.to_owned());
    }
    let mut sink = SinkConfig::new("full", Target::File("/dev/full".into()));
    sink.buffer_bytes = 64 << 10;
    let mut egress = open(&EgressSpec { sinks: vec![sink], log, ..EgressSpec::default() });
    for seq in 0..2_000 {
        egress.take(0, order(seq).as_record());
    }
    let stats = egress.finish(Duration::ZERO).sinks.remove(0);
    assert_eq!((stats.taken, stats.sent, stats.dropped), (2_000, 0, 2_000));
    assert!(stats.errors >= 1 && stats.last_error.unwrap().contains("No space left"));
    let said = SAID.lock().unwrap();
    assert!(said.len() <= 4, "{said:?}");
    assert!(said.iter().any(|line| line.contains("No space left")), "{said:?}");
    assert!(said.last().unwrap().ends_with("dropped 2000 actions"), "{said:?}");
}

#[test]
fn a_path_that_cannot_be_opened_and_names_that_do_not_exist_are_errors() {
    let error = |spec: EgressSpec| Egress::open(&spec).err().unwrap().to_string();
    let nowhere = Target::File("/nonexistent/a.jsonl".into());
    assert!(error(spec("f", nowhere)).contains("cannot open /nonexistent"));
    let with = |change: fn(&mut SinkConfig)| {
        let mut spec = spec("f", Target::File("/dev/null".into()));
        change(&mut spec.sinks[0]);
        error(spec)
    };
    assert!(with(|sink| sink.streams = vec!["itch.trade".into()]).contains("no action stream"));
    assert!(with(|sink| sink.strategies = vec!["x".into()]).contains("no strategy `x`"));
    assert!(with(|sink| sink.buffer_bytes = 1).contains("a buffer of 1 bytes"));
}

#[test]
fn udp_sends_one_datagram_per_action() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut egress = open(&spec("u", Target::Udp(receiver.local_addr().unwrap())));
    let mut buffer = [0; 2_048];
    for seq in 0..50 {
        egress.take(0, order(seq).as_record());
        let bytes = receiver.recv(&mut buffer).unwrap();
        let line = String::from_utf8(buffer[..bytes].to_vec()).unwrap();
        assert_eq!(seqs([line]), [seq]);
    }
    let stats = egress.finish(Duration::ZERO).sinks.remove(0);
    assert_eq!((stats.sent, stats.dropped, stats.errors), (50, 0, 0));
}

#[test]
fn udp_to_nobody_is_noticed_and_does_not_stop_it() {
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut egress = open(&spec("u", Target::Udp(gone)));
    for seq in 0..10 {
        egress.take(0, order(seq).as_record());
    }
    let stats = egress.finish(Duration::ZERO).sinks.remove(0);
    assert_eq!(stats.taken, stats.sent + stats.dropped);
    assert!(stats.errors > 0 && stats.last_error.is_some(), "{stats:?}");
}

/// Reads lines from one connection until it ends or `max` lines came.
fn read_lines(stream: TcpStream, max: usize) -> Vec<String> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let lines = BufReader::new(stream).lines().take(max);
    lines.map_while(Result::ok).filter(|line| line.ends_with('}')).collect()
}

#[test]
fn a_tcp_peer_that_dies_and_returns_misses_nothing() {
    let (_holder, peer) = hold_port();
    let listener = listen(peer);
    let mut egress = open(&spec("t", Target::Tcp(peer)));
    let mut sent = 0;
    let mut take = |egress: &mut Egress, count| {
        for _ in 0..count {
            egress.take(0, order(sent).as_record());
            sent += 1;
        }
    };
    take(&mut egress, 100);
    poll_until(&mut egress, "connect", |egress| egress.stats().sinks[0].connects == 1);
    let (first, _) = listener.accept().unwrap();
    take(&mut egress, 400);
    poll_until(&mut egress, "send", |egress| egress.pending() == 0);
    // The peer reads a part and dies with the rest unread: nothing tells us how far it came.
    let mut seen = read_lines(first, 150);
    drop(listener);
    take(&mut egress, 500);
    poll_until(&mut egress, "notice", |egress| egress.stats().sinks[0].disconnects >= 1);
    take(&mut egress, 500);
    let listener = listen(peer);
    let reader = thread::spawn(move || read_lines(listener.accept().unwrap().0, usize::MAX));
    poll_until(&mut egress, "resend", |egress| egress.pending() == 0);
    take(&mut egress, 500);
    let stats = egress.finish(PATIENCE).sinks.remove(0);
    let rest = reader.join().unwrap();
    assert_eq!((stats.taken, stats.sent, stats.dropped), (2_000, 2_000, 0));
    assert!(stats.resent > 0 && stats.connects >= 2, "{stats:?}");

    assert!(seqs(rest.clone()).is_sorted(), "order holds within a connection");
    seen.extend(rest);
    let mut all = seqs(seen);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all, (0..2_000).collect::<Vec<_>>());
}

/// Keeps a port from strangers while nobody listens on it; connecting to it is refused.
fn hold_port() -> (Socket, SocketAddr) {
    let holder = shared_socket("127.0.0.1:0".parse().unwrap());
    let address = holder.local_addr().unwrap().as_socket().unwrap();
    (holder, address)
}

fn listen(address: SocketAddr) -> TcpListener {
    let socket = shared_socket(address);
    socket.listen(16).unwrap();
    socket.into()
}

fn shared_socket(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

#[test]
fn beyond_the_buffer_actions_are_dropped_and_counted() {
    let (_holder, peer) = hold_port();
    let mut spec = spec("t", Target::Tcp(peer));
    spec.sinks[0].buffer_bytes = 4 << 10;
    let mut egress = open(&spec);
    for seq in 0..1_000 {
        egress.take(0, order(seq).as_record());
        egress.poll();
    }
    let kept = egress.pending() as u64;
    let stats = egress.stats().sinks.remove(0);
    assert!(kept > 10 && stats.dropped == 1_000 - kept, "{stats:?}");
    assert!(stats.pending_bytes_max <= 4 << 10);
    // The oldest were kept: they go out when the peer comes.
    let listener = listen(peer);
    let reader = thread::spawn(move || read_lines(listener.accept().unwrap().0, usize::MAX));
    let stats = egress.finish(PATIENCE).sinks.remove(0);
    assert_eq!(seqs(reader.join().unwrap()), (0..kept).collect::<Vec<_>>());
    assert_eq!((stats.sent, stats.dropped), (kept, 1_000 - kept));
}

/// A peer that accepts and does not read must neither block us nor lose what it reads later.
#[test]
fn a_slow_tcp_peer_blocks_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut egress = open(&spec("t", Target::Tcp(listener.local_addr().unwrap())));
    poll_until(&mut egress, "connect", |egress| egress.stats().sinks[0].connects == 1);
    let (mut stream, _) = listener.accept().unwrap();
    for seq in 0..60_000 {
        egress.take(0, order(seq).as_record());
    }
    assert!(egress.pending() > 0, "more than the kernel buffers");
    let reader = thread::spawn(move || {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    let stats = egress.finish(PATIENCE).sinks.remove(0);
    assert_eq!((stats.sent, stats.dropped, stats.resent), (60_000, 0, 0));
    assert_eq!(seqs(reader.join().unwrap()), (0..60_000).collect::<Vec<_>>());
}

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u64>>>);

impl ActionSink for Memory {
    fn send(&mut self, frame: &[u8], _now: Nanos) -> bool {
        let record = Record::from_bytes(frame).map(|record| record.header.seq.0);
        self.0.lock().unwrap().push(record.unwrap_or(u64::MAX));
        true
    }
    fn settled(&self) -> u64 {
        self.0.lock().unwrap().len() as u64
    }
    fn poll(&mut self, _now: Nanos) {}
    fn is_calm(&self) -> bool {
        true
    }

    fn pending(&self) -> usize {
        0
    }
    fn close(&mut self, _now: Nanos) {}
    fn stats(&self) -> SinkStats {
        SinkStats::default()
    }
}

fn into_memory(shards: usize, ordered: bool) -> (Egress, Memory) {
    let spec = EgressSpec { shards, ordered, log: quiet, ..EgressSpec::default() };
    let mut egress = open(&spec);
    let memory = Memory::default();
    egress.add_sink(Box::new(memory.clone()), Filter::default(), Format::Binary, false);
    (egress, memory)
}

#[test]
fn filters_choose_streams_and_strategies() {
    let (mut egress, _) = into_memory(1, false);
    let [orders, second] = [Memory::default(), Memory::default()];
    let filter = Filter { streams: vec![Order::STREAM], rules: vec![] };
    egress.add_sink(Box::new(orders.clone()), filter, Format::Binary, false);
    let filter = Filter { streams: vec![], rules: vec![2] };
    egress.add_sink(Box::new(second.clone()), filter, Format::Binary, false);
    let mut alert = Alert::new(Stamp { seq: Seq(8), ..Stamp::default() }, b'B');
    alert.rule = 2;
    egress.take(0, order(7).as_record());
    egress.take(0, alert.as_record());
    egress.take(0, corelane_feeds::streams::sys::Gap::new(Stamp::default(), 0).as_record());
    assert_eq!((egress.stats().actions, egress.stats().ignored), (2, 1));
    assert_eq!(*orders.0.lock().unwrap(), [7]);
    assert_eq!(*second.0.lock().unwrap(), [8]);
}

#[test]
fn in_order_any_number_of_shards_gives_the_same_output() {
    let actions: Vec<Order> = (0..300).map(order).collect();
    for shards in [1, 2, 3, 7] {
        let (mut egress, memory) = into_memory(shards, true);
        // Each shard runs through its own actions in blocks, far out of step with the others.
        let mut next = vec![0; shards];
        let of = |shard: usize| {
            actions
                .iter()
                .filter(move |order| (order.header.seq.0 * 7 / 3) as usize % shards == shard)
        };
        for round in 0..100 {
            for (shard, next) in next.iter_mut().enumerate() {
                let block = if (round + shard) % 3 == 0 { 20 } else { 1 };
                for order in of(shard).skip(*next).take(block) {
                    egress.take(shard, order.as_record());
                    *next += 1;
                }
            }
        }
        (0..shards).for_each(|shard| egress.close_shard(shard));
        assert_eq!(*memory.0.lock().unwrap(), (0..300).collect::<Vec<_>>(), "{shards} shards");
        assert_eq!(egress.stats().out_of_order, 0);
    }
}

#[test]
fn a_mark_releases_what_a_silent_shard_holds_up() {
    let (mut egress, memory) = into_memory(2, true);
    egress.take(0, order(1).as_record());
    egress.take(0, order(5).as_record());
    assert_eq!(egress.pending(), 2);
    egress.take(1, mark(Nanos(1_001), Nanos(0)).as_record());
    assert_eq!(egress.pending(), 2, "one of the same time may still come");
    egress.take(1, mark(Nanos(1_002), Nanos(0)).as_record());
    assert_eq!(*memory.0.lock().unwrap(), [1]);
    egress.take(1, order(3).as_record());
    egress.close_shard(1);
    assert_eq!(*memory.0.lock().unwrap(), [1, 3, 5]);
    assert_eq!(egress.stats().held_max, 2);
}

#[test]
fn the_egress_thread_drains_every_ring_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    let rings = [ring::new("shard0_egress", 64), ring::new("shard1_egress", 64)];
    let (producers, consumers): (Vec<_>, Vec<_>) = rings.into_iter().unzip();
    let mut collector = LatencyCollector::new(Duration::from_secs(60), Nanos(0));
    let mut spec = spec("f", Target::File(path.clone()));
    (spec.shards, spec.ordered) = (2, true);
    let mut egress = open(&spec);
    egress.measure(collector.recorder());
    let shards = producers.into_iter().enumerate().map(|(shard, mut ring)| {
        thread::spawn(move || {
            for seq in (0..2_000).filter(|seq| seq % 2 == shard as u64) {
                let journalled = mark(Nanos(seq), Nanos(1));
                for record in [journalled.as_record(), order(seq).as_record()] {
                    while ring.push(record).is_err() {
                        thread::yield_now();
                    }
                }
            }
        })
    });
    let shards: Vec<_> = shards.collect();
    let stats = run(egress, consumers, Waiting::Yield, PATIENCE);
    shards.into_iter().for_each(|shard| shard.join().unwrap());
    assert_eq!((stats.actions, stats.sinks[0].sent, stats.out_of_order), (2_000, 2_000, 0));
    assert_eq!(seqs(file_lines(&path)), (0..2_000).collect::<Vec<_>>());
    let table = collector.finish(Nanos(1)).unwrap();
    assert_eq!(table.row(Stage::Send).unwrap().count, 2_000);
    assert_eq!(table.row(Stage::WireToAction).unwrap().count, 2_000);
}

#[test]
fn egress_may_move_to_its_thread() {
    fn is_send<T: Send>() {}
    is_send::<Egress>();
}
