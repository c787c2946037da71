//! How many datagrams a second each receive backend takes from one core that sends all it can.
//!
//! The sender cuts large sends into datagrams of 1,400 bytes in the kernel (UDP_SEGMENT), over
//! multicast on loopback; the receiver touches every byte. It prints what was sent, what arrived,
//! and what the kernel dropped because the receiver was slower.
//!
//! `cargo run --release -p corelane --example reactor_rate [SECONDS]`

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use corelane::reactor::{
    Backend, BackendKind, Handler, Interface, Reactor, ReactorSpec, SocketSpec,
};
use corelane::sys::{affinity, sockopt};
use corelane_feeds::units::Nanos;

/// Bytes of a datagram: about 35 ITCH messages.
const DATAGRAM_BYTES: u16 = 1_400;
/// Datagrams in one send; 65,507 bytes is the most that UDP takes.
const SEGMENTS: usize = 40;

#[derive(Default)]
struct Sum {
    datagrams: u64,
    sum: u64,
}

impl Handler for Sum {
    fn datagram(&mut self, _socket: usize, _ts_kernel: Option<Nanos>, payload: &[u8]) {
        self.datagrams += 1;
        let words = payload.chunks_exact(8).filter_map(|word| word.try_into().ok());
        self.sum = words.map(u64::from_le_bytes).fold(self.sum, u64::wrapping_add);
    }
}

fn main() {
    let seconds = std::env::args().nth(1).map_or(2, |text| text.parse().expect("seconds"));
    let cpus = affinity::allowed().expect("an affinity");
    let (near, far) = (cpus[0], cpus[cpus.len() - 1]);
    affinity::pin(near).expect("pinning");
    println!("{:8}{:>14}{:>14}{:>12}", "", "sent/s", "received/s", "dropped");
    for backend in [BackendKind::Socket, BackendKind::Uring] {
        measure(backend, far, Duration::from_secs(seconds));
    }
}

fn measure(backend: BackendKind, sender: usize, time: Duration) {
    let group = SocketSpec::new((Ipv4Addr::new(239, 77, 10, 1), 0).into());
    let interface = Some(Interface::Address(Ipv4Addr::LOCALHOST));
    let sockets = vec![SocketSpec { interface, ..group }];
    let spec = ReactorSpec { sockets, backend, ..ReactorSpec::default() };
    let mut reactor = Reactor::open(&spec).expect("a reactor");
    let to = reactor.sockets()[0].local;
    let stop = Arc::new(AtomicBool::new(false));
    let sending = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || send(to, sender, time, &stop))
    };
    let mut sum = Sum::default();
    while !stop.load(Ordering::Relaxed) {
        reactor.poll(&mut sum).expect("a working reactor");
    }
    while reactor.poll(&mut sum).expect("a working reactor") > 0 {}
    let sent = sending.join().expect("the sender");
    reactor.refresh_drops();
    let rate = |count: u64| count as f64 / time.as_secs_f64();
    println!(
        "{:8}{:>14.0}{:>14.0}{:>12}   sum {:x}",
        backend.to_string(),
        rate(sent),
        rate(sum.datagrams),
        reactor.counters().kernel_drops,
        sum.sum
    );
}

fn send(to: SocketAddr, cpu: usize, time: Duration, stop: &AtomicBool) -> u64 {
    affinity::pin(cpu).expect("pinning");
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let raw = socket2::SockRef::from(&socket);
    raw.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).expect("multicast on loopback");
    sockopt::set_segment(&socket, DATAGRAM_BYTES).expect("UDP_SEGMENT");
    let payload = vec![1; usize::from(DATAGRAM_BYTES) * SEGMENTS];
    let end = Instant::now() + time;
    let mut sent = 0;
    while Instant::now() < end {
        socket.send_to(&payload, to).expect("a loopback send");
        sent += SEGMENTS as u64;
    }
    stop.store(true, Ordering::Relaxed);
    sent
}
