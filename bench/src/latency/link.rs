//! The generator's end of the wire: pings out, answers in, over UDP or TCP.
//!
//! ```text
//! UDP   generator ──datagram to group or address──> side ──datagram of 64 bytes──> generator
//! TCP   generator <──login── side   generator ──packets of SoupBinTCP──> side
//!                                   generator <──64 bytes each, another connection── side
//! ```
//!
//! Invariant: no call blocks; what the kernel does not take at once waits here, in order, and its
//! time goes on.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Instant;

use anyhow::{Context, ensure};
use corelane_feeds::soupbintcp::write_accepted;

use super::PATIENCE;
use super::path::{End, Path};
use super::pings::{ANSWER_BYTES, Pings, SESSION, number_of};
use crate::listen::accept;

/// Buffer for answers that the generator has not taken yet.
const ANSWERS_BYTES: usize = 8 << 20;
/// Bytes of a login: a header of three, and the request.
const LOGIN_BYTES: usize = 49;

/// What pings go by.
#[derive(Copy, Clone, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Transport {
    /// MoldUDP64 over UDP to a group.
    Multicast,
    /// MoldUDP64 over UDP to an address.
    Unicast,
    /// SoupBinTCP.
    Tcp,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Multicast, Self::Unicast, Self::Tcp];

    /// As the command line spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Multicast => "multicast",
            Self::Unicast => "unicast",
            Self::Tcp => "tcp",
        }
    }
}

/// Where a side finds the generator.
#[derive(Copy, Clone, Debug)]
pub(super) struct Addresses {
    /// The server of a TCP feed.
    pub(super) feed: Option<SocketAddr>,
    /// Where answers go.
    pub(super) answers: SocketAddr,
}

/// Sockets that are open and wait for the side.
pub(super) enum Waiting {
    Udp(UdpSocket),
    Tcp { feed: TcpListener, answers: TcpListener },
}

impl Waiting {
    pub(super) fn open(transport: Transport, path: &Path) -> anyhow::Result<Self> {
        let here = path.address(End::Generator);
        if transport == Transport::Tcp {
            let listen = || TcpListener::bind((here, 0));
            return Ok(Self::Tcp { feed: listen()?, answers: listen()? });
        }
        let socket = UdpSocket::bind((here, 0))?;
        let options = socket2::SockRef::from(&socket);
        options.set_multicast_if_v4(&here)?;
        // After a stall answers come all at once. The kernel grants what it may.
        options.set_recv_buffer_size(ANSWERS_BYTES)?;
        socket.set_nonblocking(true)?;
        Ok(Self::Udp(socket))
    }

    pub(super) fn addresses(&self) -> anyhow::Result<Addresses> {
        Ok(match self {
            Self::Udp(socket) => Addresses { feed: None, answers: socket.local_addr()? },
            Self::Tcp { feed, answers } => {
                Addresses { feed: Some(feed.local_addr()?), answers: answers.local_addr()? }
            }
        })
    }

    /// The link, once the side is there: `targets` are its groups or addresses, and none for TCP.
    pub(super) fn connect(self, targets: Vec<SocketAddr>) -> anyhow::Result<Link> {
        let groups = targets.len().max(1);
        let wire = match self {
            Self::Udp(socket) => Wire::Udp { socket, targets },
            Self::Tcp { feed, answers } => {
                let mut stream =
                    accept_side(&feed).context("the side's connection for the feed")?;
                stream.set_read_timeout(Some(PATIENCE))?;
                let mut login = [0; LOGIN_BYTES];
                stream.read_exact(&mut login).context("the side's login")?;
                ensure!(login[2] == b'L', "a packet of type {}", login[2]);
                let mut accepted = Vec::new();
                write_accepted(&mut accepted, &SESSION, 1);
                stream.write_all(&accepted)?;
                let answers = accept_side(&answers).context("the side's connection for answers")?;
                for stream in [&stream, &answers] {
                    stream.set_nodelay(true)?;
                    stream.set_nonblocking(true)?;
                }
                Wire::Tcp { stream, answers, unsent: Vec::with_capacity(1 << 16) }
            }
        };
        let buffer = vec![0; 1 << 16];
        Ok(Link { wire, pings: Pings::new(groups), buffer, held: 0, groups, random: SEED })
    }
}

/// Waits for a connection of the side, but not for ever.
fn accept_side(listener: &TcpListener) -> anyhow::Result<TcpStream> {
    let deadline = Instant::now() + PATIENCE;
    accept(listener, || {
        ensure!(Instant::now() < deadline, "nobody connected");
        std::thread::yield_now();
        Ok(())
    })
}

enum Wire {
    Udp { socket: UdpSocket, targets: Vec<SocketAddr> },
    Tcp { stream: TcpStream, answers: TcpStream, unsent: Vec<u8> },
}

const SEED: u64 = 0x2545_f491_4f6c_dd1d;

/// A link that is up.
pub(super) struct Link {
    wire: Wire,
    pings: Pings,
    buffer: Vec<u8>,
    /// Bytes at the front of `buffer` that are the beginning of an answer.
    held: usize,
    groups: usize,
    random: u64,
}

impl Link {
    /// The group of a ping: each has a turn at first, which begins its session and its books, then
    /// at random, since in turn would keep step with a poller that goes round in turn.
    fn group(&mut self, number: u64) -> usize {
        if self.groups == 1 || number < self.groups as u64 {
            return number as usize % self.groups;
        }
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random as usize % self.groups
    }

    /// Sends a ping. What cannot be sent is lost for UDP, as on any network, and waits for TCP.
    pub(super) fn send(&mut self, number: u64) -> io::Result<()> {
        let group = self.group(number);
        match &mut self.wire {
            Wire::Udp { socket, targets } => {
                socket.send_to(self.pings.datagram(group, number), targets[group]).map(drop)
            }
            Wire::Tcp { unsent, .. } => {
                self.pings.stream(number, unsent);
                self.flush()
            }
        }
    }

    /// Sends what waits.
    fn flush(&mut self) -> io::Result<()> {
        let Wire::Tcp { stream, unsent, .. } = &mut self.wire else { return Ok(()) };
        if unsent.is_empty() {
            return Ok(());
        }
        match stream.write(unsent) {
            Ok(bytes) => {
                unsent.drain(..bytes);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes the answers that are there, at most a buffer full, and gives each one's number.
    pub(super) fn receive(&mut self, mut each: impl FnMut(u64)) -> io::Result<()> {
        let taken = match &mut self.wire {
            Wire::Udp { socket, .. } => socket.recv(&mut self.buffer),
            Wire::Tcp { answers, .. } => answers.read(&mut self.buffer[self.held..]),
        };
        let taken = match taken {
            Ok(0) => return Err(io::Error::other("the side under test closed the connection")),
            Ok(taken) => self.held + taken,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return self.flush(),
            Err(error) => return Err(error),
        };
        let whole = taken - taken % ANSWER_BYTES;
        self.buffer[..whole].chunks_exact(ANSWER_BYTES).filter_map(number_of).for_each(&mut each);
        self.buffer.copy_within(whole..taken, 0);
        self.held = taken - whole;
        Ok(())
    }
}

/// The `number`th group.
pub(super) fn group(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(239, 77, 12, 1 + number as u8)
}
