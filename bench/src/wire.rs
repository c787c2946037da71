//! Wire to action through the whole engine, against a bare loop of `recv` and `send`.
//!
//! ```text
//! generator (one core)                  under test (another core)
//! MoldUDP64 datagram ──multicast on lo──> bare:   recv, send
//!   spins for the answer                  engine: reactor, feed, journal, book, strategy,
//!   <─────────────── UDP ───────────────          journal, sink
//! ```
//!
//! The engine is a fused run as `corelane run` makes it, with a journal, and with a strategy that
//! answers every order that is added or deleted. Both answer with a datagram of the same length.
//!
//! Invariant: every ping is answered before the next is sent, so what is measured is latency alone.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use corelane::clock::Clock;
use corelane::config::Config;
use corelane::journal;
use corelane::mold::Packer;
use corelane::run::{Input, RunOptions, execute};
use corelane::sys::affinity;
use corelane_feeds::itch50::wire;
use corelane_feeds::record::{Record, StreamId};
use corelane_feeds::streams::itch::{AddOrder, OrderDelete};
use corelane_feeds::units::Qty32;
use corelane_strategies::action::Order;
use corelane_strategies::outbox::Outbox;
use corelane_strategies::registry::{Factory, Registry};
use corelane_strategies::strategy::{StateError, Strategy};
use zerocopy::IntoBytes;

/// For how long pings go before they count: the engine's next journal segments are made meanwhile.
const WARM_UP: Duration = Duration::from_millis(250);
/// How long a side may take to start, or an answer to come.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of the binary `action.order` that the strategy answers with.
const ANSWER_BYTES: usize = 64;
/// The most groups, one feed each.
pub const GROUPS_MAX: usize = 64;

/// The side under test.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Side {
    /// Only `recv` and `send`.
    Bare,
    /// The engine with a receive backend, by its name in the configuration.
    Engine(&'static str),
}

/// One measurement.
#[derive(Copy, Clone, Debug)]
pub struct Setup<'a> {
    /// Who answers.
    pub side: Side,
    /// Multicast groups that it receives; pings go to one of them at random.
    pub groups: usize,
    /// Pings that are measured.
    pub pings: usize,
    /// CPU of the side under test.
    pub cpu: usize,
    /// Where journals are written: a memory file system.
    pub dir: &'a Path,
}

/// Round trips.
#[derive(Copy, Clone, Debug)]
pub struct Latency {
    /// Nanoseconds that half of the round trips took at most.
    pub ns_p50: f64,
    /// Nanoseconds that 99 % of the round trips took at most.
    pub ns_p99: f64,
}

/// Orders for every order that is added or deleted.
struct Echo;

impl Strategy for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    fn streams(&self) -> &[StreamId] {
        &[AddOrder::STREAM, OrderDelete::STREAM]
    }

    fn actions_max(&self) -> usize {
        1
    }

    fn on_record(&mut self, record: &Record, outbox: &mut Outbox) {
        let mut order = Order::new(record.header.stamp(), b'B');
        order.qty = Qty32(100);
        outbox.act(order);
    }

    fn save(&self, _out: &mut Vec<u8>) {}

    fn restore(&mut self, _bytes: &[u8]) -> Result<(), StateError> {
        Ok(())
    }
}

/// Datagrams of one message: orders that are added and deleted in turn.
struct Pings {
    packers: Vec<Packer>,
    sent: Vec<u64>,
}

impl Pings {
    fn new(groups: usize) -> Self {
        let packer = |_| Packer::new(*b"PING000001", 1_400, 0);
        Self { packers: (0..groups).map(packer).collect(), sent: vec![0; groups] }
    }

    /// The next datagram for a group.
    fn next(&mut self, group: usize) -> &[u8] {
        let sent = self.sent[group];
        self.sent[group] += 1;
        let order_ref = (sent / 2 + 1).into();
        let ns = 34_200_000_000_000 + sent;
        let packer = &mut self.packers[group];
        if sent.is_multiple_of(2) {
            let head = wire::Head::new(b'A', 7, ns);
            let (side, shares, stock, price) = (b'B', 100.into(), *b"PING    ", 1_000_000.into());
            let add = wire::AddOrder { head, order_ref, side, shares, stock, price };
            packer.push(add.as_bytes());
        } else {
            let delete = wire::OrderDelete { head: wire::Head::new(b'D', 7, ns), order_ref };
            packer.push(delete.as_bytes());
        }
        packer.flush().map_or(&[], |datagram| datagram.bytes)
    }
}

/// Measures round trips. Call it on a thread that is pinned to another CPU than the side's.
///
/// # Errors
/// If a side cannot start or does not answer.
pub fn measure(setup: &Setup<'_>) -> anyhow::Result<Latency> {
    ensure!((1..=GROUPS_MAX).contains(&setup.groups), "1 to {GROUPS_MAX} groups");
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket2::SockRef::from(&socket).set_multicast_if_v4(&Ipv4Addr::LOCALHOST)?;
    socket.set_nonblocking(true)?;
    let to = socket.local_addr()?;
    let stop = Arc::new(AtomicBool::new(false));
    let (ready, targets) = channel();
    let side = {
        let (stop, setup) = (Arc::clone(&stop), *setup);
        let dir = setup.dir.to_owned();
        let (side, groups, cpu) = (setup.side, setup.groups, setup.cpu);
        let run = move || match side {
            Side::Bare => answer_bare(groups, cpu, to, &stop, &ready),
            Side::Engine(backend) => {
                answer_by_engine(backend, (groups, cpu), to, &dir, stop, &ready)
            }
        };
        thread::spawn(run)
    };
    let measured = match targets.recv_timeout(PATIENCE) {
        Ok(targets) => ping(&socket, &targets, setup.pings),
        Err(error) => Err(error).context("the side under test did not start"),
    };
    stop.store(true, Ordering::Relaxed);
    let ended = side.join().map_err(|_| anyhow::anyhow!("the side under test panicked"))?;
    ended.context("the side under test")?;
    measured
}

fn ping(socket: &UdpSocket, targets: &[SocketAddr], pings: usize) -> anyhow::Result<Latency> {
    let clock = Clock::new();
    let mut times = Vec::with_capacity(pings);
    let mut datagrams = Pings::new(targets.len());
    let mut buffer = [0; 2_048];
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let begun = Instant::now();
    let mut counts = false;
    for ping in 0.. {
        if times.len() == pings {
            break;
        }
        // xorshift: in turn would keep step with a poller that goes round in turn.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // Each group has a turn at first, which begins its session and its books.
        let group = if ping < targets.len() { ping } else { random as usize % targets.len() };
        let datagram = datagrams.next(group);
        let start = clock.now();
        socket.send_to(datagram, targets[group])?;
        let mut spins = 0u32;
        let bytes = loop {
            match socket.recv(&mut buffer) {
                Ok(bytes) => break bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            spins = spins.wrapping_add(1);
            if spins.is_multiple_of(1 << 16) {
                ensure!(clock.now().since(start) < PATIENCE.as_nanos() as u64, "no answer");
            }
        };
        let time = clock.now().since(start);
        ensure!(bytes == ANSWER_BYTES, "an answer of {bytes} bytes");
        if counts {
            times.push(time);
        } else {
            counts = ping >= targets.len() && begun.elapsed() >= WARM_UP;
        }
    }
    times.sort_unstable();
    let at = |percent| times[(times.len() - 1) * percent / 100] as f64;
    Ok(Latency { ns_p50: at(50), ns_p99: at(99) })
}

fn group(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(239, 77, 12, 1 + number as u8)
}

fn answer_bare(
    groups: usize,
    cpu: usize,
    to: SocketAddr,
    stop: &AtomicBool,
    ready: &Sender<Vec<SocketAddr>>,
) -> anyhow::Result<()> {
    affinity::pin(cpu)?;
    let mut sockets = Vec::new();
    for number in 0..groups {
        let socket = UdpSocket::bind((group(number), 0))?;
        socket.join_multicast_v4(&group(number), &Ipv4Addr::LOCALHOST)?;
        socket.set_nonblocking(true)?;
        sockets.push(socket);
    }
    let answers = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    answers.connect(to)?;
    let locals: Result<_, _> = sockets.iter().map(UdpSocket::local_addr).collect();
    ready.send(locals?)?;
    let mut buffer = [0; 2_048];
    while !stop.load(Ordering::Relaxed) {
        for socket in &sockets {
            if socket.recv(&mut buffer).is_ok() {
                answers.send(&buffer[..ANSWER_BYTES])?;
            }
        }
    }
    Ok(())
}

fn answer_by_engine(
    backend: &str,
    (groups, cpu): (usize, usize),
    to: SocketAddr,
    dir: &Path,
    stop: Arc<AtomicBool>,
    ready: &Sender<Vec<SocketAddr>>,
) -> anyhow::Result<()> {
    let mut registry = Registry::default();
    registry.add(Factory {
        name: "echo",
        doc: "An order for every order.",
        params: &[],
        build: |_| Ok(Box::new(Echo)),
    });
    let folder = tempfile::tempdir_in(dir)?;
    // A port that was free a moment ago, on groups of our own.
    let port = UdpSocket::bind((group(0), 0))?.local_addr()?.port();
    let mut text = format!(
        "[engine]\ntopology = \"fused\"\nreactor_cores = [{cpu}]\nwait = \"spin\"\n\
         backend = \"{backend}\"\n[journal]\ndir = \"{}\"\n\
         [[strategy]]\ntype = \"echo\"\n\
         [[sink]]\ntype = \"udp\"\naddress = \"{to}\"\nformat = \"binary\"\nbuffer = \"64KiB\"\n",
        folder.path().join("journal").display(),
    );
    for number in 0..groups {
        let group = group(number);
        text += &format!(
            "[[feed]]\nname = \"feed{number}\"\nprotocol = \"itch50\"\n\
             lines = [\"{group}:{port}\"]\ninterface = \"127.0.0.1\"\nrcvbuf = \"1MiB\"\n"
        );
    }
    let config = Config::parse("wire", &text, &registry)?;
    let ready_file = folder.path().join("ready");
    let options =
        RunOptions { stop, ready_file: Some(ready_file.clone()), ..RunOptions::default() };
    thread::scope(|scope| {
        let run = scope.spawn(|| execute(&config, &registry, &Input::Live, &options));
        let deadline = Instant::now() + PATIENCE;
        while !ready_file.exists() && !run.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        if ready_file.exists() {
            let target = |number| SocketAddr::from((group(number), port));
            // Nobody waits any more if the start took too long.
            let _ = ready.send((0..groups).map(target).collect());
        }
        let outcome = run.join().map_err(|_| anyhow::anyhow!("the engine panicked"))??;
        ensure!(outcome.failure.is_none(), "the journal failed");
        ensure!(outcome.report.totals().is_lossless(), "something was lost");
        Ok(())
    })?;
    journal::remove(&config.journal.dir)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small version, so that the benchmark never rots; how long it takes says nothing here.
    #[test]
    fn both_sides_answer() {
        let cpu = affinity::allowed().unwrap()[0];
        let dir = tempfile::tempdir().unwrap();
        for (side, groups) in
            [(Side::Bare, 1), (Side::Engine("socket"), 1), (Side::Engine("auto"), 3)]
        {
            let setup = Setup { side, groups, pings: 200, cpu, dir: dir.path() };
            let latency = measure(&setup).unwrap();
            assert!(latency.ns_p50 > 0.0 && latency.ns_p50 <= latency.ns_p99, "{side:?}");
        }
    }
}
