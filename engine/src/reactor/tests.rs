//! Both backends on loopback, held to the same behaviour. Ports are the kernel's choice, groups
//! are of the administratively scoped range (239/8), and all waiting is by polling to a deadline.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

/// Everything a reactor handed over.
#[derive(Default)]
struct Seen {
    datagrams: BTreeMap<usize, Vec<Vec<u8>>>,
    stamps: Vec<Option<Nanos>>,
    bytes: Vec<u8>,
    events: Vec<&'static str>,
    closed: Vec<Closed>,
}

impl Handler for Seen {
    fn datagram(&mut self, socket: usize, ts_kernel: Option<Nanos>, payload: &[u8]) {
        self.datagrams.entry(socket).or_default().push(payload.to_vec());
        self.stamps.push(ts_kernel);
    }

    fn connected(&mut self, _conn: usize) {
        self.events.push("connected");
    }

    fn bytes(&mut self, _conn: usize, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn closed(&mut self, _conn: usize, why: Closed) {
        self.events.push("closed");
        self.closed.push(why);
    }
}

impl Seen {
    fn count(&self) -> usize {
        self.datagrams.values().map(Vec::len).sum()
    }
}

/// Runs a test on every backend that this host has.
fn on_each_backend(spec: &ReactorSpec, test: impl Fn(Reactor)) {
    for backend in [BackendKind::Socket, BackendKind::Uring] {
        match Reactor::open(&ReactorSpec { backend, ..spec.clone() }) {
            Ok(reactor) => test(reactor),
            Err(ReactorError::Unavailable { why, .. }) => println!("skips uring: {why}"),
            Err(ReactorError::Ring { source, .. }) if source.kind() == ErrorKind::OutOfMemory => {
                println!("skips uring: ulimit -l");
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[track_caller]
fn poll_until(reactor: &mut Reactor, seen: &mut Seen, mut done: impl FnMut(&Seen) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done(seen) {
        let counters = reactor.counters();
        assert!(Instant::now() < deadline, "{:?} {counters:?}", seen.events);
        if reactor.poll(seen).unwrap() == 0 {
            std::thread::yield_now();
        }
    }
}

fn unicast() -> SocketSpec {
    SocketSpec::new((Ipv4Addr::LOCALHOST, 0).into())
}

fn sender() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let raw = socket2::SockRef::from(&socket);
    raw.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    raw.set_multicast_loop_v4(true).unwrap();
    socket
}

fn group(last: u8, port: u16) -> SocketSpec {
    let address = SocketAddrV4::new(Ipv4Addr::new(239, 77, 3, last), port);
    let interface = Some(Interface::Address(Ipv4Addr::LOCALHOST));
    SocketSpec { interface, ..SocketSpec::new(address.into()) }
}

#[test]
fn datagrams_arrive_in_order_with_kernel_timestamps() {
    let spec = ReactorSpec { sockets: vec![unicast()], batch_max: 7, ..ReactorSpec::default() };
    on_each_backend(&spec, |mut reactor| {
        let to = reactor.sockets()[0].local;
        let from = sender();
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let mut seen = Seen::default();
        for n in 0..3_000u32 {
            from.send_to(&n.to_be_bytes(), to).unwrap();
            reactor.poll(&mut seen).unwrap();
        }
        poll_until(&mut reactor, &mut seen, |seen| seen.count() == 3_000);
        let sent: Vec<_> = (0..3_000u32).map(|n| n.to_be_bytes().to_vec()).collect();
        assert_eq!(seen.datagrams[&0], sent);
        let stamps: Vec<_> = seen.stamps.iter().map(|stamp| stamp.unwrap().0).collect();
        assert!(stamps.is_sorted() && stamps[0] + 1_000_000 > before);
        let counters = reactor.counters();
        assert_eq!((counters.datagrams, counters.datagram_bytes), (3_000, 12_000));
    });
}

#[test]
fn an_idle_ring_is_polled_without_entering_the_kernel() {
    let backend = BackendKind::Uring;
    let sockets = (0..32).map(|_| unicast()).collect();
    let spec = ReactorSpec { sockets, backend, ..ReactorSpec::default() };
    on_each_backend(&spec, |mut reactor| {
        if reactor.choice().kind != BackendKind::Uring {
            return;
        }
        let mut seen = Seen::default();
        reactor.poll(&mut seen).unwrap();
        let before = reactor.counters().enters;
        assert!((0..10_000).all(|_| reactor.poll(&mut seen).unwrap() == 0));
        assert_eq!(reactor.counters().enters, before);
    });
}

#[test]
fn groups_that_share_a_port_do_not_mix() {
    // A free port, taken from the kernel and held by the first group's socket.
    on_each_backend(
        &ReactorSpec { sockets: vec![group(1, 0)], ..ReactorSpec::default() },
        |first| {
            let port = first.sockets()[0].local.port();
            let backend = first.choice().kind;
            let sockets = vec![group(1, port), group(2, port), group(3, port)];
            let spec = ReactorSpec { sockets, backend, ..ReactorSpec::default() };
            let mut reactor = Reactor::open(&spec).unwrap();
            let from = sender();
            for n in 0..50u8 {
                for last in [1, 2, 3] {
                    let to = (Ipv4Addr::new(239, 77, 3, last), port);
                    from.send_to(&[last, n], to).unwrap();
                }
            }
            let mut seen = Seen::default();
            poll_until(&mut reactor, &mut seen, |seen| seen.count() == 150);
            for (socket, last) in [(0, 1), (1, 2), (2, 3)] {
                let expected: Vec<_> = (0..50u8).map(|n| vec![last, n]).collect();
                assert_eq!(seen.datagrams[&socket], expected);
            }
        },
    );
}

#[test]
fn more_groups_than_one_socket_may_join() {
    let sockets: Vec<_> = (0..64).map(|n| group(100 + n, 0)).collect();
    on_each_backend(&ReactorSpec { sockets, ..ReactorSpec::default() }, |mut reactor| {
        let from = sender();
        let targets: Vec<_> = reactor.sockets().iter().map(|socket| socket.local).collect();
        for (n, to) in targets.iter().enumerate() {
            from.send_to(&[n as u8], to).unwrap();
        }
        let mut seen = Seen::default();
        poll_until(&mut reactor, &mut seen, |seen| seen.count() == 64);
        for n in 0..64 {
            assert_eq!(seen.datagrams[&n], [vec![n as u8]]);
        }
    });
}

#[test]
fn one_source_of_a_group_is_heard_and_others_are_not() {
    let lo = Some(Interface::Name("lo".into()));
    let by_name = SocketSpec { source: Some(Ipv4Addr::LOCALHOST), interface: lo, ..group(9, 0) };
    let by_address = SocketSpec { source: Some(Ipv4Addr::LOCALHOST), ..group(10, 0) };
    let sockets = vec![by_name, by_address];
    on_each_backend(&ReactorSpec { sockets, ..ReactorSpec::default() }, |mut reactor| {
        let other = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 9), 0)).unwrap();
        socket2::SockRef::from(&other).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        let targets: Vec<_> = reactor.sockets().iter().map(|socket| socket.local).collect();
        for to in targets {
            other.send_to(b"foreign", to).unwrap();
            sender().send_to(b"wanted", to).unwrap();
        }
        let mut seen = Seen::default();
        poll_until(&mut reactor, &mut seen, |seen| seen.count() == 2);
        assert_eq!(seen.datagrams[&0], [b"wanted".to_vec()]);
        assert_eq!(seen.datagrams[&1], [b"wanted".to_vec()]);
    });
}

/// A group of interface scope never leaves the host. The loopback interface often has no multicast
/// route for IPv6, so any interface that has one will do.
#[test]
fn an_ipv6_group_is_joined_by_interface_name() {
    let names = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let names: Vec<_> = names.map(|entry| entry.file_name().into_string().unwrap()).collect();
    let usable = names.iter().find(|name| send_to_interface_scope(name, 9).is_ok());
    let Some(name) = usable else { return println!("skips: no IPv6 multicast here") };
    let group = SocketSpec::new("[ff11::77:3]:0".parse().unwrap());
    let spec = SocketSpec { interface: Some(Interface::Name(name.clone())), ..group };
    let spec = ReactorSpec { sockets: vec![spec], ..ReactorSpec::default() };
    on_each_backend(&spec, |mut reactor| {
        send_to_interface_scope(name, reactor.sockets()[0].local.port()).unwrap();
        let mut seen = Seen::default();
        poll_until(&mut reactor, &mut seen, |seen| seen.count() == 1);
    });
}

fn send_to_interface_scope(name: &str, port: u16) -> std::io::Result<usize> {
    let from = UdpSocket::bind("[::]:0")?;
    let index = rustix::net::netdevice::name_to_index(&from, name)?;
    socket2::SockRef::from(&from).set_multicast_if_v6(index)?;
    from.send_to(b"six", ("ff11::77:3", port))
}

#[test]
fn a_bad_interface_is_named() {
    let interface = Some(Interface::Name("nosuch0".into()));
    let sockets = vec![SocketSpec { interface, ..group(11, 0) }];
    let error = Reactor::open(&ReactorSpec { sockets, ..ReactorSpec::default() }).unwrap_err();
    let text = error.to_string();
    assert_eq!(text, "239.77.3.11:0: interface \"nosuch0\": no such interface on this host");
}

/// Four buffers for hundreds of datagrams: the ring runs dry again and again, each time the
/// receive ends and is armed anew, and nothing is lost or reordered.
#[test]
fn an_exhausted_buffer_ring_recovers() {
    let spec = ReactorSpec {
        sockets: vec![unicast(), unicast()],
        backend: BackendKind::Uring,
        datagram_buffers: 4,
        ..ReactorSpec::default()
    };
    let mut reactor = match Reactor::open(&spec) {
        Ok(reactor) => reactor,
        Err(error) => return println!("skips: {error}"),
    };
    let from = sender();
    let targets: Vec<_> = reactor.sockets().iter().map(|socket| socket.local).collect();
    let mut seen = Seen::default();
    for n in 0..400u16 {
        from.send_to(&n.to_be_bytes(), targets[0]).unwrap();
        from.send_to(&n.to_be_bytes(), targets[1]).unwrap();
        // 50 at a time fit the smallest receive buffer that a host gives.
        if n % 50 == 49 {
            let sent = 2 * (usize::from(n) + 1);
            poll_until(&mut reactor, &mut seen, |seen| seen.count() == sent);
        }
    }
    let expected: Vec<_> = (0..400u16).map(|n| n.to_be_bytes().to_vec()).collect();
    assert_eq!(seen.datagrams[&0], expected);
    assert_eq!(seen.datagrams[&1], expected);
    let counters = *reactor.counters();
    assert!(counters.buffers_exhausted > 0 && counters.rearmed >= counters.buffers_exhausted);
    reactor.refresh_drops();
    assert_eq!(reactor.counters().kernel_drops, 0);
}

/// What a sender has the kernel cut (UDP_SEGMENT) arrives as the datagrams that it stands for.
#[test]
fn segmented_sends_arrive_as_datagrams() {
    let spec = ReactorSpec { sockets: vec![unicast()], ..ReactorSpec::default() };
    on_each_backend(&spec, |mut reactor| {
        let from = sender();
        socket2::SockRef::from(&from).connect(&reactor.sockets()[0].local.into()).unwrap();
        // One send of 10 datagrams of 100 bytes and one of 30.
        crate::sys::sockopt::set_segment(&from, 100).unwrap();
        let payload: Vec<_> = (0..1_030u32).map(|n| n as u8).collect();
        from.send(&payload).unwrap();
        let mut seen = Seen::default();
        poll_until(&mut reactor, &mut seen, |seen| seen.count() == 11);
        let expected: Vec<_> = payload.chunks(100).map(<[u8]>::to_vec).collect();
        assert_eq!(seen.datagrams[&0], expected);
        assert!(seen.stamps.iter().all(Option::is_some));
    });
}

#[test]
fn a_datagram_longer_than_expected_is_counted_and_dropped() {
    let spec =
        ReactorSpec { sockets: vec![unicast()], datagram_bytes_max: 64, ..ReactorSpec::default() };
    on_each_backend(&spec, |mut reactor| {
        let from = sender();
        let to = reactor.sockets()[0].local;
        for bytes in [64, 300, 1] {
            from.send_to(&vec![7; bytes], to).unwrap();
        }
        let mut seen = Seen::default();
        poll_until(&mut reactor, &mut seen, |seen| seen.count() == 2);
        let sizes: Vec<_> = seen.datagrams[&0].iter().map(Vec::len).collect();
        assert_eq!(sizes, [64, 1]);
        assert_eq!(reactor.counters().truncated, 1);
    });
}

#[test]
fn what_the_kernel_drops_is_reported() {
    let small = SocketSpec { rcvbuf: 4_096, ..unicast() };
    on_each_backend(
        &ReactorSpec { sockets: vec![small], ..ReactorSpec::default() },
        |mut reactor| {
            let open = &reactor.sockets()[0];
            assert_eq!(open.rcvbuf_asked, 4_096);
            assert!((2_000..8_192).contains(&open.rcvbuf_got), "{}", open.rcvbuf_got);
            let from = sender();
            for _ in 0..500 {
                from.send_to(&[0; 1_000], open.local).unwrap();
            }
            let mut seen = Seen::default();
            while reactor.poll(&mut seen).unwrap() > 0 {}
            reactor.refresh_drops();
            assert_eq!(reactor.counters().kernel_drops + seen.count() as u64, 500);
            assert!(reactor.counters().kernel_drops > 0);
        },
    );
}

#[test]
fn a_stream_arrives_whole_and_a_lost_connection_is_made_anew() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut conn = ConnSpec::new(listener.local_addr().unwrap());
    conn.backoff_min = Duration::from_millis(1);
    let conns = vec![conn];
    // Two buffers, so that a stream runs them dry as well.
    let spec = ReactorSpec { conns, stream_buffers: 2, ..ReactorSpec::default() };
    on_each_backend(&spec, |mut reactor| {
        let data: Vec<u8> = (0..1_000_000u32).map(|n| (n / 3) as u8).collect();
        let mut seen = Seen::default();
        assert_eq!(reactor.send(0, b"x"), Err(SendError::NotConnected));
        for round in 1..=3 {
            let (connected, bytes) = (2 * round - 1, data.len() * round);
            poll_until(&mut reactor, &mut seen, |seen| seen.events.len() == connected);
            let mut peer = listener.accept().unwrap().0;
            reactor.send(0, b"hello").unwrap();
            let mut hello = [0; 5];
            peer.read_exact(&mut hello).unwrap();
            assert_eq!(&hello, b"hello");
            let piece = data.clone();
            let writer = std::thread::spawn(move || peer.write_all(&piece).unwrap());
            poll_until(&mut reactor, &mut seen, |seen| seen.bytes.len() == bytes);
            writer.join().unwrap();
            poll_until(&mut reactor, &mut seen, |seen| seen.events.len() == 2 * round);
        }
        assert!(seen.bytes.chunks(data.len()).all(|round| round == data));
        assert!(seen.events.chunks(2).all(|pair| pair == ["connected", "closed"]));
        assert_eq!(seen.closed, [Closed::ByPeer; 3]);
        let counters = reactor.counters();
        assert!(counters.connects >= 3 && counters.disconnects >= 3);
        // The connection of the next round, if it was made already, is not this test's.
        while let Ok(true) = accept_stale(&listener) {}
    });
}

/// Takes one connection from the listener's queue without blocking.
fn accept_stale(listener: &TcpListener) -> std::io::Result<bool> {
    listener.set_nonblocking(true)?;
    let accepted = listener.accept();
    listener.set_nonblocking(false)?;
    Ok(accepted.is_ok())
}

#[test]
fn a_connection_dropped_by_us_says_nothing_more() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut conn = ConnSpec::new(listener.local_addr().unwrap());
    conn.backoff_min = Duration::from_millis(1);
    let spec = ReactorSpec { conns: vec![conn], ..ReactorSpec::default() };
    on_each_backend(&spec, |mut reactor| {
        let mut seen = Seen::default();
        poll_until(&mut reactor, &mut seen, |seen| seen.events == ["connected"]);
        let mut old = listener.accept().unwrap().0;
        old.write_all(b"old").unwrap();
        reactor.reconnect(0);
        poll_until(&mut reactor, &mut seen, |seen| seen.events == ["connected", "connected"]);
        let mut new = listener.accept().unwrap().0;
        new.write_all(b"new").unwrap();
        poll_until(&mut reactor, &mut seen, |seen| seen.bytes.len() >= 3);
        assert_eq!(seen.bytes, b"new");
        reactor.stop(0);
        new.write_all(b"more").unwrap_or_default();
        let deadline = Instant::now() + Duration::from_millis(20);
        while Instant::now() < deadline {
            reactor.poll(&mut seen).unwrap();
        }
        assert_eq!((seen.bytes.len(), seen.events.len()), (3, 2));
        assert!(seen.closed.is_empty());
    });
}

#[test]
fn a_peer_that_is_not_there_is_tried_again() {
    // Bound but not listening: refused, and nobody else can take the port meanwhile.
    let bound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    bound.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let mut conn = ConnSpec::new(bound.local_addr().unwrap().as_socket().unwrap());
    (conn.backoff_min, conn.backoff_max) = (Duration::from_millis(1), Duration::from_millis(4));
    let spec = ReactorSpec { conns: vec![conn], ..ReactorSpec::default() };
    on_each_backend(&spec, |mut reactor| {
        let mut seen = Seen::default();
        poll_until(&mut reactor, &mut seen, |seen| seen.closed.len() == 4);
        assert_eq!(seen.closed, [Closed::NotConnected(ErrorKind::ConnectionRefused); 4]);
        assert!(reactor.counters().connect_failures >= 4);
    });
}

#[test]
fn a_parked_reactor_wakes_for_a_datagram_and_for_its_timeout() {
    let spec = ReactorSpec { sockets: vec![unicast()], ..ReactorSpec::default() };
    on_each_backend(&spec, |mut reactor| {
        let to = reactor.sockets()[0].local;
        let mut seen = Seen::default();
        reactor.poll(&mut seen).unwrap();
        let start = Instant::now();
        reactor.wait(Duration::from_millis(5)).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(4));
        sender().send_to(b"up", to).unwrap();
        let start = Instant::now();
        while seen.count() == 0 {
            reactor.wait(Duration::from_secs(10)).unwrap();
            reactor.poll(&mut seen).unwrap();
        }
        assert!(start.elapsed() < Duration::from_secs(5));
        let mut idle = Idle::new(Waiting::Park);
        while !idle.after(0, &mut reactor).unwrap() {}
    });
}

/// Container runtimes forbid io_uring by a seccomp filter; the same filter, on this thread alone.
#[test]
fn a_filtered_ring_falls_back_to_sockets_and_says_why() {
    std::thread::spawn(|| {
        refuse_io_uring(Vec::new(), libc::EPERM);
        let found = probe();
        let why = found.uring_refused.clone().unwrap();
        assert!(why.contains("io_uring_setup") && why.contains("seccomp"), "{why}");
        let sockets = vec![unicast(), unicast(), unicast()];
        let spec = ReactorSpec { sockets, ..ReactorSpec::default() };
        let mut reactor = Reactor::open(&spec).unwrap();
        assert_eq!(reactor.choice().kind, BackendKind::Socket);
        assert!(reactor.choice().why.contains("would take uring, but"));
        sender().send_to(b"still", reactor.sockets()[2].local).unwrap();
        let mut seen = Seen::default();
        poll_until(&mut reactor, &mut seen, |seen| seen.count() == 1);
        let strict = ReactorSpec { backend: BackendKind::Uring, ..spec };
        let error = Reactor::open(&strict).unwrap_err();
        assert!(matches!(error, ReactorError::Unavailable { .. }), "{error}");
    })
    .join()
    .unwrap();
}

/// The probe's ring is small: a real one may meet a limit on locked memory that the probe did not.
#[test]
fn auto_falls_back_when_the_real_ring_meets_a_limit() {
    std::thread::spawn(|| {
        use seccompiler::{
            SeccompCmpArgLen::Dword, SeccompCmpOp::Gt, SeccompCondition, SeccompRule,
        };
        let larger_than_the_probe = SeccompCondition::new(0, Dword, Gt, 4).unwrap();
        let rule = SeccompRule::new(vec![larger_than_the_probe]).unwrap();
        refuse_io_uring(vec![rule], libc::ENOMEM);
        if let Some(why) = probe().uring_refused {
            return println!("skips: {why}");
        }
        let sockets = vec![unicast(), unicast(), unicast()];
        let spec = ReactorSpec { sockets, ..ReactorSpec::default() };
        let reactor = Reactor::open(&spec).unwrap();
        assert_eq!(reactor.choice().kind, BackendKind::Socket);
        assert!(reactor.choice().why.ends_with("(ulimit -l)"), "{}", reactor.choice());
        let strict = ReactorSpec { backend: BackendKind::Uring, ..spec };
        assert!(Reactor::open(&strict).unwrap_err().to_string().ends_with("(ulimit -l)"));
    })
    .join()
    .unwrap();
}

/// Refuses io_uring_setup to this thread, where a rule matches or there is none.
fn refuse_io_uring(rules: Vec<seccompiler::SeccompRule>, errno: i32) {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let calls = [(libc::SYS_io_uring_setup, rules)].into();
    let refuse = SeccompAction::Errno(errno as u32);
    let filter = SeccompFilter::new(calls, SeccompAction::Allow, refuse, arch).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}
