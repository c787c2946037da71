//! A datagram there and back: who answers runs in a runtime, who asks spins on another CPU.
//!
//! ```text
//! asks (one CPU)                       answers (another CPU)
//! 64 bytes ───────UDP on loopback────> bare: recv_from and send_to, spinning
//!   spins for them                     runtime: recv_from().await, send_to().await
//!   <────────────────────────────────
//! ```
//!
//! Invariant: every datagram is answered before the next is sent; a datagram of one byte ends it.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use corelane::reactor::{Backend, BackendKind, Handler, Reactor, ReactorSpec, SocketSpec};
use corelane::sys::affinity;
use corelane_bench::stat::median;
use corelane_feeds::units::Nanos;

use crate::table::{measure, peer};
use crate::two_cpus;

const BYTES: usize = 64;
const TRIPS: usize = 20_000;
const WARM_TRIPS: usize = 2_000;
const ROUNDS: usize = 7;
const PATIENCE: Duration = Duration::from_secs(10);

/// Says when it is ready, and answers on a socket, to that address at least, until one byte comes.
type Answer = fn(UdpSocket, SocketAddr, &Sender<()>) -> anyhow::Result<()>;

/// The median trip in nanoseconds.
fn trips(answer: Answer) -> anyhow::Result<f64> {
    let (theirs, ours) = two_cpus()?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let to = socket.local_addr()?;
    let asks = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let asker = asks.local_addr()?;
    let (ready, is_ready) = channel();
    let other = thread::spawn(move || {
        affinity::pin(theirs)?;
        answer(socket, asker, &ready)
    });
    is_ready.recv_timeout(PATIENCE).context("the other side did not start")?;
    affinity::pin(ours)?;
    let asked = ask(&asks, to);
    // Not from the socket that asks: who ends it may be another.
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.send_to(&[0], to)?;
    other.join().map_err(|_| anyhow::anyhow!("the other side panicked"))??;
    asked
}

fn ask(socket: &UdpSocket, to: SocketAddr) -> anyhow::Result<f64> {
    // Not connected: an answer may come from another socket than what is asked.
    socket.set_nonblocking(true)?;
    let (mut times, mut buffer) = (Vec::with_capacity(TRIPS), [0; 2_048]);
    for trip in 0..WARM_TRIPS + TRIPS {
        let begin = Instant::now();
        socket.send_to(&[1; BYTES], to)?;
        let bytes = loop {
            match socket.recv(&mut buffer) {
                Ok(bytes) => break bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            ensure!(begin.elapsed() < PATIENCE, "no answer");
        };
        ensure!(bytes == BYTES, "an answer of {bytes} bytes");
        if trip >= WARM_TRIPS {
            times.push(begin.elapsed().as_nanos() as f64);
        }
    }
    Ok(median(times))
}

fn bare(socket: UdpSocket, _: SocketAddr, ready: &Sender<()>) -> anyhow::Result<()> {
    socket.set_nonblocking(true)?;
    ready.send(())?;
    let mut buffer = [0; 2_048];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((1, _)) => return Ok(()),
            Ok((bytes, from)) => drop(socket.send_to(&buffer[..bytes], from)?),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn blocking(socket: UdpSocket, _: SocketAddr, ready: &Sender<()>) -> anyhow::Result<()> {
    ready.send(())?;
    let mut buffer = [0; 2_048];
    loop {
        let (bytes, from) = socket.recv_from(&mut buffer)?;
        if bytes == 1 {
            return Ok(());
        }
        socket.send_to(&buffer[..bytes], from)?;
    }
}

fn by_tokio(socket: UdpSocket, _: SocketAddr, ready: &Sender<()>) -> anyhow::Result<()> {
    socket.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let socket = tokio::net::UdpSocket::from_std(socket)?;
        ready.send(())?;
        let mut buffer = [0; 2_048];
        loop {
            let (bytes, from) = socket.recv_from(&mut buffer).await?;
            if bytes == 1 {
                return Ok(());
            }
            socket.send_to(&buffer[..bytes], from).await?;
        }
    })
}

fn by_monoio(socket: UdpSocket, _: SocketAddr, ready: &Sender<()>) -> anyhow::Result<()> {
    let runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().build();
    runtime.context("io_uring")?.block_on(async {
        let socket = monoio::net::udp::UdpSocket::from_std(socket)?;
        ready.send(())?;
        let mut buffer = Vec::with_capacity(2_048);
        loop {
            let (received, taken) = socket.recv_from(buffer).await;
            let (bytes, from) = received?;
            if bytes == 1 {
                return Ok(());
            }
            let (sent, given) = socket.send_to(taken, from).await;
            sent?;
            buffer = given;
        }
    })
}

fn by_compio(socket: UdpSocket, _: SocketAddr, ready: &Sender<()>) -> anyhow::Result<()> {
    compio::runtime::Runtime::new()?.block_on(async {
        let socket = compio::net::UdpSocket::from_std(socket)?;
        ready.send(())?;
        let mut buffer = Vec::with_capacity(2_048);
        loop {
            let compio::BufResult(received, taken) = socket.recv_from(buffer).await;
            let (bytes, from) = received?;
            if bytes == 1 {
                return Ok(());
            }
            let compio::BufResult(sent, given) = socket.send_to(taken, from).await;
            sent?;
            buffer = given;
            buffer.clear();
        }
    })
}

/// glommio binds itself, so the socket is only asked for its address.
fn by_glommio(socket: UdpSocket, _: SocketAddr, ready: &Sender<()>) -> anyhow::Result<()> {
    let address = socket.local_addr()?;
    drop(socket);
    let executor = glommio::LocalExecutorBuilder::new(glommio::Placement::Unbound)
        .spin_before_park(Duration::from_millis(10))
        .make()
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let done: Result<(), glommio::GlommioError<()>> = executor.run(async {
        let socket = glommio::net::UdpSocket::bind(address)?;
        // Nobody waits any more if it took too long.
        let _ = ready.send(());
        let mut buffer = [0; 2_048];
        loop {
            let (bytes, from) = socket.recv_from(&mut buffer).await?;
            if bytes == 1 {
                return Ok(());
            }
            socket.send_to(&buffer[..bytes], from).await?;
        }
    });
    done.map_err(|error| anyhow::anyhow!("{error}"))
}

/// The engine's reactor, which binds itself, too; the answer goes out as a sink's does.
struct Corelane {
    answers: UdpSocket,
    is_over: bool,
}

impl Handler for Corelane {
    fn datagram(&mut self, _socket: usize, _received: Option<Nanos>, payload: &[u8]) {
        self.is_over |= payload.len() == 1;
        if !self.is_over {
            // What is lost shows: the asker waits for it and says so.
            let _ = self.answers.send(payload);
        }
    }
}

fn by_corelane(
    backend: BackendKind,
    socket: UdpSocket,
    asker: SocketAddr,
    ready: &Sender<()>,
) -> anyhow::Result<()> {
    let address = socket.local_addr()?;
    drop(socket);
    let spec =
        ReactorSpec { sockets: vec![SocketSpec::new(address)], backend, ..ReactorSpec::default() };
    let mut reactor = Reactor::open(&spec)?;
    let answers = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    answers.connect(asker)?;
    ready.send(())?;
    let mut handler = Corelane { answers, is_over: false };
    while !handler.is_over {
        reactor.poll(&mut handler)?;
    }
    Ok(())
}

fn by_polled(socket: UdpSocket, asker: SocketAddr, ready: &Sender<()>) -> anyhow::Result<()> {
    by_corelane(BackendKind::Socket, socket, asker, ready)
}

fn by_uring(socket: UdpSocket, asker: SocketAddr, ready: &Sender<()>) -> anyhow::Result<()> {
    by_corelane(BackendKind::Uring, socket, asker, ready)
}

pub(crate) fn run() -> anyhow::Result<()> {
    let peers = vec![
        peer("", "bare recv_from and send_to, spinning", || trips(bare)),
        peer("", "Corelane's reactor, socket", || trips(by_polled)),
        peer("", "Corelane's reactor, uring", || trips(by_uring)),
        peer("", "bare, blocking", || trips(blocking)),
        peer("tokio", "current thread, epoll", || trips(by_tokio)),
        peer("monoio", "io_uring", || trips(by_monoio)),
        peer("compio", "io_uring", || trips(by_compio)),
        peer("glommio", "io_uring, spins 10 ms before it parks", || trips(by_glommio)),
    ];
    measure("64 bytes there and back over UDP on loopback, median trip", "trip", ROUNDS, peers)
}
