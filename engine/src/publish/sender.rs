//! Datagrams to sockets: those that are due together leave in one `sendmmsg`, and runs of equal
//! length as one send that the kernel cuts.
//!
//! Invariant: what is added leaves in the order it was added, whole and once, or the sender returns
//! the error that stopped it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use hdrhistogram::Histogram;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::pace::Anchor;
use crate::sys::udp_send::{SEGMENTS_MAX, SEND_BYTES_MAX, Send, SendBatch};

/// Most datagrams that leave in one system call.
pub(crate) const BATCH_DATAGRAMS_MAX: usize = 64;
/// Most bytes that are collected for one system call.
const BATCH_BYTES_MAX: usize = 1 << 17;
/// Socket buffer asked for: a burst at full speed waits here, not in the caller.
const SEND_BUFFER_BYTES: usize = 8 << 20;
/// Latest that lateness is told apart: a minute.
const LATENESS_NS_MAX: u64 = 60_000_000_000;

/// What was sent.
pub(crate) struct Sent {
    pub(crate) datagrams: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) calls: u64,
    /// Datagrams that left as part of a run.
    pub(crate) segmented: u64,
    /// Nanoseconds from when a datagram was due to when its call returned.
    pub(crate) lateness_ns: Histogram<u64>,
}

struct Entry {
    start: usize,
    end: usize,
    target: usize,
    due_ns: u64,
}

/// Sends from one socket to any number of addresses.
pub(crate) struct Sender {
    socket: Socket,
    targets: Vec<(SocketAddr, SockAddr)>,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    batch: SendBatch,
    segmenting: bool,
    paced: bool,
    pub(crate) sent: Sent,
}

/// How the socket sends.
#[derive(Copy, Clone, Debug)]
pub(crate) struct SenderOptions {
    /// Address of the interface that multicast leaves by.
    pub(crate) interface: Ipv4Addr,
    /// Hops that multicast may take.
    pub(crate) ttl: u32,
    /// Let the kernel cut runs of equal datagrams.
    pub(crate) segmenting: bool,
    /// Record lateness.
    pub(crate) paced: bool,
}

impl Sender {
    pub(crate) fn new(options: SenderOptions) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0).into())?;
        socket.set_multicast_if_v4(&options.interface)?;
        socket.set_multicast_loop_v4(true)?;
        socket.set_multicast_ttl_v4(options.ttl)?;
        socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
        let lateness_ns = Histogram::new_with_max(LATENESS_NS_MAX, 3)
            .map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self {
            socket,
            targets: Vec::new(),
            bytes: Vec::with_capacity(BATCH_BYTES_MAX + SEND_BYTES_MAX),
            entries: Vec::with_capacity(BATCH_DATAGRAMS_MAX),
            batch: SendBatch::new(BATCH_DATAGRAMS_MAX),
            segmenting: options.segmenting,
            paced: options.paced,
            sent: Sent { datagrams: 0, messages: 0, bytes: 0, calls: 0, segmented: 0, lateness_ns },
        })
    }

    /// A number for an address, the same for the same address.
    pub(crate) fn target(&mut self, to: SocketAddr) -> usize {
        if let Some(known) = self.targets.iter().position(|(address, _)| *address == to) {
            return known;
        }
        self.targets.push((to, to.into()));
        self.targets.len() - 1
    }

    /// True if the next datagram would not fit: flush first.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() == BATCH_DATAGRAMS_MAX || self.bytes.len() >= BATCH_BYTES_MAX
    }

    /// Adds a datagram. The sender must not be full.
    #[inline]
    pub(crate) fn add(&mut self, bytes: &[u8], target: usize, messages: u32, due_ns: u64) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.entries.push(Entry { start, end: self.bytes.len(), target, due_ns });
        self.sent.messages += u64::from(messages);
    }

    /// Sends what was added.
    pub(crate) fn flush(&mut self, anchor: &Anchor) -> io::Result<()> {
        let mut done = 0;
        while done < self.entries.len() {
            done += self.send_from(done)?;
            self.sent.calls += 1;
        }
        if self.paced && !self.entries.is_empty() {
            let now = anchor.elapsed_ns();
            for entry in &self.entries {
                self.sent.lateness_ns.saturating_record(now.saturating_sub(entry.due_ns));
            }
        }
        self.sent.datagrams += self.entries.len() as u64;
        self.sent.bytes += self.bytes.len() as u64;
        self.entries.clear();
        self.bytes.clear();
        Ok(())
    }

    /// One system call from entry `first` on; returns the number of datagrams that left.
    fn send_from(&mut self, first: usize) -> io::Result<usize> {
        let mut sends = [const { None }; BATCH_DATAGRAMS_MAX];
        let mut lengths = [0; BATCH_DATAGRAMS_MAX];
        let (mut count, mut at) = (0, first);
        while at < self.entries.len() {
            let run = if self.segmenting { run_length(&self.entries[at..]) } else { 1 };
            let (head, last) = (&self.entries[at], &self.entries[at + run - 1]);
            sends[count] = Some(Send {
                bytes: &self.bytes[head.start..last.end],
                to: &self.targets[head.target].1,
                segment: if run > 1 { (head.end - head.start) as u16 } else { 0 },
            });
            lengths[count] = run;
            count += 1;
            at += run;
        }
        let sends: Vec<Send<'_>> = sends.iter().flatten().copied().collect();
        match self.batch.send(&self.socket, &sends) {
            Ok(made) => {
                let left: usize = lengths[..made].iter().sum();
                self.sent.segmented +=
                    lengths[..made].iter().filter(|&&run| run > 1).sum::<usize>() as u64;
                Ok(left)
            }
            // A path that cannot cut (EIO, EINVAL: datagrams longer than the interface's frames).
            Err(error) if self.segmenting && lengths[0] > 1 && cannot_cut(&error) => {
                self.segmenting = false;
                Ok(0)
            }
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::EINTR)) => {
                std::thread::yield_now();
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }
}

fn cannot_cut(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE))
}

/// How many of the first entries make one send: same target and length, the last may be shorter.
fn run_length(entries: &[Entry]) -> usize {
    let length = entries[0].end - entries[0].start;
    let most = (SEND_BYTES_MAX / length.max(1)).clamp(1, SEGMENTS_MAX);
    let mut run = 1;
    while run < entries.len().min(most) {
        let next = &entries[run];
        let next_length = next.end - next.start;
        if next.target != entries[0].target || next_length > length || next_length == 0 {
            break;
        }
        run += 1;
        if next_length < length {
            break;
        }
    }
    run
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    fn sender(segmenting: bool) -> Sender {
        let interface = Ipv4Addr::LOCALHOST;
        Sender::new(SenderOptions { interface, ttl: 1, segmenting, paced: true }).unwrap()
    }

    #[test]
    fn all_arrives_in_order_with_and_without_runs() {
        for segmenting in [true, false] {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let other = UdpSocket::bind("127.0.0.1:0").unwrap();
            let mut sender = sender(segmenting);
            let target = sender.target(socket.local_addr().unwrap());
            let aside = sender.target(other.local_addr().unwrap());
            assert_eq!(sender.target(socket.local_addr().unwrap()), target);
            let lengths = [10, 10, 10, 4, 10, 20, 20, 0, 20];
            for (i, &length) in lengths.iter().enumerate() {
                sender.add(&vec![i as u8; length], target, 1, 0);
            }
            sender.add(b"aside", aside, 1, 0);
            sender.flush(&Anchor::now()).unwrap();
            let mut buffer = [0; 64];
            for (i, &length) in lengths.iter().enumerate() {
                assert_eq!(socket.recv(&mut buffer).unwrap(), length);
                assert!(buffer[..length].iter().all(|&byte| byte == i as u8));
            }
            assert_eq!(other.recv(&mut buffer).unwrap(), 5);
            assert_eq!((sender.sent.datagrams, sender.sent.messages), (10, 10));
            assert_eq!(sender.sent.segmented, if segmenting { 6 } else { 0 });
            assert_eq!(sender.sent.lateness_ns.len(), 10);
            assert!(!sender.is_full());
        }
    }
}
