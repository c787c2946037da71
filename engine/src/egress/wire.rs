//! The connection under a TCP sink, behind a narrow trait: so that a simulator can put a network in
//! place that is slow, breaks off, and loses what was on its way.
//!
//! Invariant: no call waits.

use std::io::{self, ErrorKind, Read};
use std::net::{Shutdown, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use super::queue::write_pieces;

/// Send buffer asked for; the kernel doubles it, and never holds more unacknowledged bytes.
pub(super) const SNDBUF_BYTES: usize = 128 << 10;

/// One connection at a time to one peer.
pub(crate) trait Wire: Send {
    /// Starts to connect.
    fn dial(&mut self) -> io::Result<()>;

    /// Whether a connect that was started has come to its end.
    fn is_connected(&mut self) -> io::Result<bool>;

    /// Reads what the peer has said: 0 bytes if it has ended, `WouldBlock` if it says nothing.
    fn read(&mut self, said: &mut [u8]) -> io::Result<usize>;

    /// Writes what is taken at once of two pieces; the second is mostly empty.
    fn write(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize>;

    /// Nothing more will be written.
    fn end(&mut self);

    /// Lets go of the connection.
    fn hang_up(&mut self);
}

/// A socket of the system.
pub(crate) struct TcpWire {
    peer: SocketAddr,
    socket: Option<Socket>,
}

impl TcpWire {
    pub(super) fn new(peer: SocketAddr) -> Self {
        Self { peer, socket: None }
    }

    fn socket(&mut self) -> io::Result<&mut Socket> {
        self.socket.as_mut().ok_or_else(|| ErrorKind::NotConnected.into())
    }
}

impl Wire for TcpWire {
    fn dial(&mut self) -> io::Result<()> {
        let peer = self.peer;
        let socket = Socket::new(Domain::for_address(peer), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_send_buffer_size(SNDBUF_BYTES)?;
        match socket.connect(&peer.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        self.socket = Some(socket);
        Ok(())
    }

    fn is_connected(&mut self) -> io::Result<bool> {
        let socket = self.socket()?;
        if let Some(error) = socket.take_error()? {
            return Err(error);
        }
        match socket.peer_addr() {
            // On loopback a connect to a free port can meet itself (simultaneous open).
            Ok(peer) if socket.local_addr()?.as_socket() == peer.as_socket() => {
                Err(ErrorKind::ConnectionRefused.into())
            }
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn read(&mut self, said: &mut [u8]) -> io::Result<usize> {
        self.socket()?.read(said)
    }

    fn write(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        write_pieces(self.socket()?, first, second)
    }

    fn end(&mut self) {
        if let Some(socket) = &self.socket {
            // The peer may be gone already, which is as good as closed.
            let _ = socket.shutdown(Shutdown::Write);
        }
    }

    fn hang_up(&mut self) {
        self.socket = None;
    }
}
