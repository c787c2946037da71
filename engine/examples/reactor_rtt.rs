//! Round trips through each receive backend, against a bare loop of `recv` and `send`.
//!
//! A plain load generator on one core sends a datagram to a multicast group on loopback and spins
//! for the answer; the side under test, on another core, answers from its receive loop. All
//! variants run interleaved in one process, and what counts is each one's ratio to `bare` of the
//! same round: times drift, ratios hold.
//!
//! `cargo run --release -p corelane --example reactor_rtt [ROUNDS [PINGS]]`

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use corelane::clock::Clock;
use corelane::reactor::{
    Backend, BackendKind, Handler, Interface, Reactor, ReactorSpec, SocketSpec, Waiting,
};
use corelane::sys::affinity;
use corelane_feeds::units::Nanos;

/// Bytes of a ping: about a small MoldUDP64 packet.
const PING_BYTES: usize = 64;
/// Pings before the clock counts.
const WARM_UP: usize = 500;
/// The side under test: how it receives, and on how many groups.
const VARIANTS: &[(Variant, usize)] = &[
    (Variant::Bare, 1),
    (Variant::Reactor(BackendKind::Socket), 1),
    (Variant::Reactor(BackendKind::Uring), 1),
    (Variant::Reactor(BackendKind::Socket), 2),
    (Variant::Reactor(BackendKind::Uring), 2),
    (Variant::Reactor(BackendKind::Socket), 4),
    (Variant::Reactor(BackendKind::Uring), 4),
    (Variant::Reactor(BackendKind::Socket), 8),
    (Variant::Reactor(BackendKind::Uring), 8),
    (Variant::Reactor(BackendKind::Socket), 32),
    (Variant::Reactor(BackendKind::Uring), 32),
];

#[derive(Copy, Clone, PartialEq)]
enum Variant {
    Bare,
    Reactor(BackendKind),
}

/// Answers each datagram to where pings come from.
struct Answer {
    socket: UdpSocket,
    to: SocketAddr,
}

impl Handler for Answer {
    fn datagram(&mut self, _socket: usize, _ts_kernel: Option<Nanos>, payload: &[u8]) {
        self.socket.send_to(payload, self.to).expect("a loopback send");
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse().expect("a number"));
    let (rounds, pings) = (arguments.next().unwrap_or(9), arguments.next().unwrap_or(20_000));
    let cpus = affinity::allowed().expect("an affinity");
    let (near, far) = (cpus[0], cpus[cpus.len() - 1]);
    println!("under test on CPU {near}, generator on CPU {far}; {rounds} rounds of {pings} pings");
    affinity::pin(far).expect("pinning");
    let mut results = vec![Vec::new(); VARIANTS.len()];
    for _ in 0..rounds {
        for (result, &(variant, groups)) in results.iter_mut().zip(VARIANTS) {
            result.push(measure(variant, groups, pings, near));
        }
    }
    println!("{:10}{:>8}{:>12}{:>12}{:>10}{:>10}", "", "groups", "p50 ns", "p99 ns", "p50", "p99");
    for (result, (variant, groups)) in results.iter().zip(VARIANTS) {
        let name = match variant {
            Variant::Bare => "bare".to_owned(),
            Variant::Reactor(kind) => kind.to_string(),
        };
        let median = |figure: &dyn Fn(usize) -> f64| {
            let mut figures: Vec<_> = (0..rounds).map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures[rounds / 2]
        };
        println!(
            "{name:10}{groups:>8}{:>12.0}{:>12.0}{:>10.3}{:>10.3}",
            median(&|round| result[round].0),
            median(&|round| result[round].1),
            median(&|round| result[round].0 / results[0][round].0),
            median(&|round| result[round].1 / results[0][round].1),
        );
    }
}

/// p50 and p99 of the round trip in nanoseconds.
fn measure(variant: Variant, groups: usize, pings: usize, cpu: usize) -> (f64, f64) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let from = socket2::SockRef::from(&socket);
    from.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).expect("multicast on loopback");
    socket.set_nonblocking(true).expect("non-blocking mode");
    let to = socket.local_addr().expect("an address");
    let stop = Arc::new(AtomicBool::new(false));
    let (ready, targets) = channel();
    let tested = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            affinity::pin(cpu).expect("pinning");
            match variant {
                Variant::Bare => answer_bare(to, &stop, &ready),
                Variant::Reactor(kind) => answer_reactor(kind, groups, to, &stop, &ready),
            }
        })
    };
    let targets = targets.recv().expect("the other side");
    let clock = Clock::new();
    let mut times = Vec::with_capacity(pings);
    let mut buffer = [0; PING_BYTES];
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for ping in 0..WARM_UP + pings {
        // xorshift: in turn would keep step with a poller that goes round in turn.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let target = targets[(random % targets.len() as u64) as usize];
        let start = clock.now();
        socket.send_to(&buffer, target).expect("a loopback send");
        while let Err(error) = socket.recv(&mut buffer) {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
        }
        if ping >= WARM_UP {
            times.push(clock.now().since(start));
        }
    }
    stop.store(true, Ordering::Relaxed);
    tested.join().expect("the other side");
    times.sort_unstable();
    (times[pings / 2] as f64, times[pings * 99 / 100] as f64)
}

fn groups_on_loopback(groups: usize) -> Vec<SocketSpec> {
    let spec = |n: usize| {
        let group = Ipv4Addr::new(239, 77, 9, 1 + n as u8);
        let interface = Some(Interface::Address(Ipv4Addr::LOCALHOST));
        SocketSpec { interface, ..SocketSpec::new((group, 0).into()) }
    };
    (0..groups).map(spec).collect()
}

fn answer_bare(to: SocketAddr, stop: &AtomicBool, ready: &Sender<Vec<SocketAddr>>) {
    let group = Ipv4Addr::new(239, 77, 9, 1);
    let socket = UdpSocket::bind((group, 0)).expect("a socket");
    socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).expect("joining");
    socket.set_nonblocking(true).expect("non-blocking mode");
    let answers = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    ready.send(vec![socket.local_addr().expect("an address")]).expect("the other side");
    let mut buffer = [0; 2_048];
    while !stop.load(Ordering::Relaxed) {
        if let Ok(bytes) = socket.recv(&mut buffer) {
            answers.send_to(&buffer[..bytes], to).expect("a loopback send");
        }
    }
}

fn answer_reactor(
    backend: BackendKind,
    groups: usize,
    to: SocketAddr,
    stop: &AtomicBool,
    ready: &Sender<Vec<SocketAddr>>,
) {
    let sockets = groups_on_loopback(groups);
    let spec = ReactorSpec { sockets, backend, ..ReactorSpec::default() };
    let mut reactor = Reactor::open(&spec).expect("a reactor");
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let mut answer = Answer { socket, to };
    let mut idle = corelane::reactor::Idle::new(Waiting::Spin);
    let targets = reactor.sockets().iter().map(|socket| socket.local).collect();
    ready.send(targets).expect("the other side");
    while !stop.load(Ordering::Relaxed) {
        let done = reactor.poll(&mut answer).expect("a working reactor");
        idle.after(done, &mut reactor).expect("a working reactor");
    }
}
