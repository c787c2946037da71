//! The `socket` backend: each socket polled in turn with `recvmmsg`, each connection with `recv`.
//!
//! Lowest latency for one or two sockets, the fallback where io_uring is refused, and the only one
//! that kernel-bypass libraries which replace the socket calls speed up.
//!
//! Invariant: how many datagrams one call asks for follows what came before: a lone datagram is
//! taken by a call for one, since a call for more would look for a second before it returns.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::{RecvFlags, recv};

use super::conn::{Conn, Conns, Step};
use super::spec::{ReactorError, ReactorSpec};
use super::udp::{self, OpenSocket, Received};
use super::{Backend, Closed, Counters, Handler, SendError};
use crate::sys::poll::PollSet;
use crate::sys::recvmmsg::MessageBatch;

/// Datagrams that one call receives at most.
const BATCH_MAX: usize = 64;
/// Bytes that one `recv` takes from a stream.
const STREAM_BYTES: usize = 64 * 1024;
/// Calls to `recv` on one connection per poll, so that none starves the others.
const STREAM_READS_MAX: usize = 4;

/// Sockets polled one after the other.
#[derive(Debug)]
pub struct SocketBackend {
    sockets: Vec<OpenSocket>,
    /// How many datagrams to ask each socket for.
    wants: Vec<usize>,
    batch: MessageBatch,
    conns: Conns,
    stream: Box<[u8]>,
    waits: PollSet,
    counters: Counters,
}

impl SocketBackend {
    /// Opens every socket of `spec`.
    ///
    /// # Errors
    /// If one cannot be opened.
    pub fn open(spec: &ReactorSpec) -> Result<Self, ReactorError> {
        spec.check()?;
        let sockets: Result<Vec<_>, _> = spec.sockets.iter().map(udp::open).collect();
        let count = spec.batch_max.min(BATCH_MAX);
        Ok(Self {
            sockets: sockets?,
            wants: vec![1; spec.sockets.len()],
            batch: MessageBatch::new(count, spec.datagram_bytes_max),
            conns: Conns::new(&spec.conns)?,
            stream: vec![0; if spec.conns.is_empty() { 0 } else { STREAM_BYTES }].into(),
            waits: PollSet::new(spec.sockets.len() + spec.conns.len()),
            counters: Counters::default(),
        })
    }

    #[inline]
    fn poll_sockets<H: Handler>(&mut self, handler: &mut H) -> usize {
        let mut done = 0;
        for (index, socket) in self.sockets.iter_mut().enumerate() {
            let want = self.wants[index];
            let Ok(received) = self.batch.receive(socket.socket.as_fd(), want) else {
                self.counters.receive_errors += 1;
                continue;
            };
            self.wants[index] = if received < want { 1 } else { self.batch.capacity() };
            for at in 0..received {
                let message = self.batch.message(at);
                let received = Received {
                    control: message.control,
                    payload: message.payload,
                    truncated: message.truncated,
                };
                socket.deliver(index, received, &mut self.counters, handler);
            }
            done += received;
        }
        self.counters.enters += self.sockets.len() as u64;
        done
    }

    fn poll_conns<H: Handler>(&mut self, handler: &mut H) -> usize {
        let mut done = 0;
        for index in 0..self.conns.list.len() {
            for _ in 0..STREAM_READS_MAX {
                let conn = &mut self.conns.list[index];
                let Some(socket) = conn.socket() else { break };
                self.counters.enters += 1;
                let why = match recv(socket, &mut self.stream[..], RecvFlags::DONTWAIT) {
                    Ok((0, _)) => Closed::ByPeer,
                    Ok((bytes, _)) => {
                        done += 1;
                        self.counters.stream_pieces += 1;
                        self.counters.stream_bytes += bytes as u64;
                        handler.bytes(index, &self.stream[..bytes]);
                        if bytes < self.stream.len() {
                            break;
                        }
                        continue;
                    }
                    Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => break,
                    Err(error) => Closed::Failed(error.kind()),
                };
                self.conns.end(index, &mut self.counters);
                handler.closed(index, why);
                break;
            }
        }
        done
    }
}

impl Backend for SocketBackend {
    #[inline]
    fn poll<H: Handler>(&mut self, handler: &mut H) -> io::Result<usize> {
        if self.conns.is_due() {
            self.conns.service(&mut self.counters, |index, _, step| match step {
                Step::Connected => handler.connected(index),
                Step::Ended(why) => handler.closed(index, why),
                Step::Nothing => {}
            });
        }
        let datagrams = self.poll_sockets(handler);
        Ok(datagrams + self.poll_conns(handler))
    }

    fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        let timeout = self.conns.sleep_max(timeout);
        self.waits.clear();
        self.sockets.iter().for_each(|open| self.waits.push(&open.socket));
        self.conns.list.iter().filter_map(Conn::socket).for_each(|socket| self.waits.push(socket));
        self.waits.wait(timeout)
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
