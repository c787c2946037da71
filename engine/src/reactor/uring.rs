//! The `uring` backend: one ring watches every socket and connection of its thread.
//!
//! Invariants: each socket and each connection that is up has exactly one multishot receive armed,
//! or stands in `rearm` to be armed before the next completions are read. Completions of a
//! connection that is gone carry its old generation and are ignored.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::conn::{Conn, Conns, Step};
use super::probe::cause;
use super::spec::{ReactorError, ReactorSpec};
use super::udp::{self, OpenSocket, Received};
use super::{Backend, Closed, Counters, Handler, SendError};
use crate::sys::uring::{Completion, RECVMSG_OVERHEAD, Ring, parse_recvmsg};

/// Bytes of a buffer for a stream, the size at which streams run best.
const STREAM_BYTES: usize = 16 * 1024;
/// Sockets and connections that one reactor may own.
const SOURCES_MAX: usize = 4_096;

/// What a completion belongs to, packed into its token: index, generation, kind.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Source {
    Socket(usize),
    Conn(usize, u16),
}

impl Source {
    const CONN: u64 = 1 << 55;

    const fn token(self) -> u64 {
        match self {
            Self::Socket(index) => index as u64,
            Self::Conn(index, generation) => Self::CONN | (generation as u64) << 32 | index as u64,
        }
    }

    const fn from_token(token: u64) -> Self {
        let index = (token & 0xffff_ffff) as usize;
        if token & Self::CONN == 0 {
            Self::Socket(index)
        } else {
            Self::Conn(index, (token >> 32) as u16)
        }
    }
}

/// Sockets watched by one ring.
#[derive(Debug)]
pub struct UringBackend {
    // First, so that receives have ended before their sockets are closed.
    ring: Ring,
    datagram_group: u8,
    stream_group: Option<u8>,
    sockets: Vec<OpenSocket>,
    conns: Conns,
    rearm: Vec<Source>,
    batch_max: usize,
    counters: Counters,
}

impl UringBackend {
    /// Opens every socket of `spec` and arms its receive.
    ///
    /// # Errors
    /// If one cannot be opened, or the kernel refuses the ring.
    pub fn open(spec: &ReactorSpec) -> Result<Self, ReactorError> {
        spec.check()?;
        let sources = spec.sockets.len() + spec.conns.len();
        if sources > SOURCES_MAX {
            let name = "number of sockets and connections";
            return Err(ReactorError::Bound { name, found: sources, low: 0, high: SOURCES_MAX });
        }
        let step = |step| {
            move |source: io::Error| ReactorError::Ring { step, cause: cause(&source), source }
        };
        let sockets: Result<Vec<_>, _> = spec.sockets.iter().map(udp::open).collect();
        let sockets = sockets?;
        let (datagram_buffers, stream_buffers) = buffer_counts(spec);
        // A completion for every buffer, and one that ends each receive: it cannot overflow.
        let completions =
            u32::from(datagram_buffers) + u32::from(stream_buffers) + 2 * sources as u32;
        // Each source has at most one receive queued; an old and a new connection may overlap.
        let mut ring =
            Ring::new((2 * sources as u32).max(8), completions).map_err(step("io_uring_setup"))?;
        let bytes = (RECVMSG_OVERHEAD + spec.datagram_bytes_max).next_multiple_of(64);
        let datagram_group =
            ring.add_group(datagram_buffers, bytes).map_err(step("buffers for datagrams"))?;
        let stream_group = if spec.conns.is_empty() {
            None
        } else {
            let group = ring.add_group(stream_buffers, STREAM_BYTES);
            Some(group.map_err(step("buffers for streams"))?)
        };
        let mut rearm = Vec::with_capacity(2 * sources);
        rearm.extend((0..sockets.len()).map(Source::Socket));
        let mut backend = Self {
            ring,
            datagram_group,
            stream_group,
            sockets,
            conns: Conns::new(&spec.conns)?,
            rearm,
            batch_max: spec.batch_max,
            counters: Counters::default(),
        };
        backend.arm();
        backend.ring.advance().map_err(step("arming the receives"))?;
        Ok(backend)
    }

    /// Arms what stands in `rearm`; what finds no room in the queue stays there.
    fn arm(&mut self) {
        let Self { ring, sockets, conns, rearm, datagram_group, stream_group, .. } = self;
        rearm.retain(|&source| match source {
            Source::Socket(index) => {
                ring.recvmsg_multi(&sockets[index].socket, *datagram_group, source.token()).is_err()
            }
            Source::Conn(index, generation) => {
                let conn = &conns.list[index];
                match (conn.socket(), *stream_group) {
                    (Some(socket), Some(group)) if conn.generation == generation => {
                        ring.recv_multi(socket, group, source.token()).is_err()
                    }
                    _ => false,
                }
            }
        });
    }

    fn service<H: Handler>(&mut self, handler: &mut H) {
        let rearm = &mut self.rearm;
        self.conns.service(&mut self.counters, |index, conn: &mut Conn, step| match step {
            Step::Connected => {
                rearm.push(Source::Conn(index, conn.generation));
                handler.connected(index);
            }
            Step::Ended(why) => handler.closed(index, why),
            Step::Nothing => {}
        });
    }
}

/// Buffers for datagrams and for streams.
fn buffer_counts(spec: &ReactorSpec) -> (u16, u16) {
    let streams = if spec.conns.is_empty() { 0 } else { spec.stream_buffers };
    (spec.datagram_buffers, streams)
}

/// Takes one completion of a datagram socket. True if its receive must be armed again.
#[inline]
fn datagram<H: Handler>(
    socket: &mut OpenSocket,
    index: usize,
    completion: Completion<'_>,
    counters: &mut Counters,
    handler: &mut H,
) -> bool {
    match completion.result {
        Ok(_) => match parse_recvmsg(completion.buffer) {
            Some(message) => {
                let received = Received {
                    control: message.control,
                    payload: message.payload,
                    truncated: message.truncated,
                };
                socket.deliver(index, received, counters, handler);
            }
            None => counters.malformed += 1,
        },
        Err(libc::ENOBUFS) => counters.buffers_exhausted += 1,
        Err(_) => counters.receive_errors += 1,
    }
    !completion.more
}

/// Takes one completion of a connection. `Err` if the connection has ended.
#[inline]
fn stream<H: Handler>(
    index: usize,
    completion: Completion<'_>,
    counters: &mut Counters,
    handler: &mut H,
) -> Result<bool, Closed> {
    match completion.result {
        Ok(0) => return Err(Closed::ByPeer),
        Ok(_) => {
            counters.stream_pieces += 1;
            counters.stream_bytes += completion.buffer.len() as u64;
            handler.bytes(index, completion.buffer);
        }
        Err(libc::ENOBUFS) => counters.buffers_exhausted += 1,
        Err(error) => return Err(Closed::Failed(io::Error::from_raw_os_error(error).kind())),
    }
    Ok(!completion.more)
}

impl Backend for UringBackend {
    #[inline]
    fn poll<H: Handler>(&mut self, handler: &mut H) -> io::Result<usize> {
        if self.conns.is_due() {
            self.service(handler);
        }
        if !self.rearm.is_empty() {
            self.arm();
        }
        self.ring.advance()?;
        let Self { ring, sockets, conns, rearm, counters, batch_max, .. } = self;
        let handed = counters.datagrams + counters.stream_pieces;
        ring.drain(*batch_max, |completion| match Source::from_token(completion.token) {
            Source::Socket(index) => {
                if datagram(&mut sockets[index], index, completion, counters, handler) {
                    counters.rearmed += 1;
                    rearm.push(Source::Socket(index));
                }
            }
            Source::Conn(index, generation) => {
                if conns.list[index].generation != generation {
                    return;
                }
                match stream(index, completion, counters, handler) {
                    Ok(false) => {}
                    Ok(true) => {
                        counters.rearmed += 1;
                        rearm.push(Source::Conn(index, generation));
                    }
                    Err(why) => {
                        conns.end(index, counters);
                        handler.closed(index, why);
                    }
                }
            }
        });
        counters.enters = ring.enters();
        Ok((counters.datagrams + counters.stream_pieces - handed) as usize)
    }

    fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        if self.rearm.is_empty() { self.ring.wait(self.conns.sleep_max(timeout)) } else { Ok(()) }
    }

    fn send(&mut self, conn: usize, bytes: &[u8]) -> Result<(), SendError> {
        self.conns.send(conn, bytes, &mut self.counters)
    }

    fn reconnect(&mut self, conn: usize) {
        self.conns.end(conn, &mut self.counters);
    }

    fn stop(&mut self, conn: usize) {
        self.conns.stop(conn, &mut self.counters);
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn refresh_drops(&mut self) {
        udp::refresh_drops(&mut self.sockets, &mut self.counters);
    }

    fn sockets(&self) -> &[OpenSocket] {
        &self.sockets
    }

    fn conn_local(&self, conn: usize) -> Option<SocketAddr> {
        self.conns.local(conn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_survives_its_token() {
        for source in [
            Source::Socket(0),
            Source::Socket(4_095),
            Source::Conn(0, 0),
            Source::Conn(7, u16::MAX),
        ] {
            assert_eq!(Source::from_token(source.token()), source);
        }
    }
}
