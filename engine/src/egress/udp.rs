//! Actions as datagrams, one each.
//!
//! Invariant: a datagram that the kernel has no room for waits, in order, as far as the buffer
//! goes; one that it refuses for good is dropped and counted. Nobody says whether datagrams arrive.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use corelane_feeds::units::Nanos;

use super::SinkConfig;
use super::queue::FrameQueue;
use super::sink::{ActionSink, Ledger, Log, SinkStats};

/// How many datagrams one poll sends at most.
const BURST: usize = 256;

pub(super) struct UdpSink {
    socket: UdpSocket,
    queue: FrameQueue,
    ledger: Ledger,
    settled: u64,
    /// A frame that runs over the end of the queue's ring is put together here.
    scratch: Vec<u8>,
}

impl UdpSink {
    pub(super) fn open(config: &SinkConfig, to: SocketAddr, log: Log) -> io::Result<Self> {
        let any: SocketAddr = match to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(to)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            queue: FrameQueue::new(config.buffer_bytes, 0),
            ledger: Ledger::new(&config.name, format!("udp {to}"), log),
            settled: 0,
            scratch: Vec::with_capacity(super::FRAME_BYTES_MAX),
        })
    }

    fn flush(&mut self) {
        for _ in 0..BURST {
            let Some((first, second)) = self.queue.first() else { return };
            self.scratch.clear();
            self.scratch.extend_from_slice(first);
            self.scratch.extend_from_slice(second);
            let bytes = self.scratch.len();
            let mut sent = self.socket.send(&self.scratch);
            if sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
                // A connected socket so reports that an *earlier* datagram found nobody; this one
                // was not tried.
                self.ledger.stats.errors += 1;
                self.ledger.stats.last_error = Some("nobody receives there".to_owned());
                sent = self.socket.send(&self.scratch);
            }
            match sent {
                Ok(_) => {
                    self.queue.advance(bytes);
                    self.settled += 1;
                    self.ledger.stats.sent += 1;
                    self.ledger.stats.sent_bytes += bytes as u64;
                    self.ledger.works("sends again");
                }
                Err(error) if no_room(&error) => return,
                Err(error) => {
                    self.queue.advance(bytes);
                    self.settled += 1;
                    self.ledger.failed("cannot send", &error);
                    self.ledger.stats.dropped += 1;
                }
            }
        }
    }
}

fn no_room(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || error.kind() == io::ErrorKind::Interrupted
        || error.raw_os_error() == Some(libc::ENOBUFS)
}

impl ActionSink for UdpSink {
    fn send(&mut self, frame: &[u8], _now: Nanos) -> bool {
        self.ledger.stats.taken += 1;
        let taken = self.queue.push(frame);
        if taken {
            self.flush();
            self.ledger.kept(&self.queue);
        } else {
            self.ledger.dropped(1, "the buffer is full");
        }
        taken
    }

    fn settled(&self) -> u64 {
        self.settled
    }

    fn poll(&mut self, _now: Nanos) {
        self.flush();
    }

    fn pending(&self) -> usize {
        self.queue.pending_frames()
    }

    fn is_calm(&self) -> bool {
        self.queue.is_calm()
    }

    fn close(&mut self, _now: Nanos) {
        self.flush();
        let left = self.queue.clear() as u64;
        self.ledger.dropped(left, "the run is over and the kernel has no room for them");
        self.ledger.end_drops();
    }

    fn stats(&self) -> SinkStats {
        self.ledger.stats.clone()
    }
}
