//! A thread per client, for systems that refuse io_uring.
//!
//! Invariant: a connection's thread ends with its client, or soon after the server is done.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Connection, Runtime, Server, WAIT_NS_MAX};

pub(super) struct Threads;

impl Runtime for Threads {
    fn serve(&self, server: &Arc<Server>) -> io::Result<()> {
        server.listener.set_nonblocking(true)?;
        let mut clients = Vec::new();
        while !server.is_done() {
            match server.listener.accept() {
                Ok((stream, peer)) => {
                    let server = Arc::clone(server);
                    clients.push(std::thread::spawn(move || {
                        if let Err(error) = client(&server, stream) {
                            eprintln!("client {peer}: {error:#}");
                        }
                    }));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    readable(&server.listener, WAIT_NS_MAX)?;
                }
                Err(error) => return Err(error),
            }
        }
        for client in clients {
            client.join().map_err(|_| io::Error::other("a client's thread panicked"))?;
        }
        Ok(())
    }
}

fn client(server: &Arc<Server>, mut stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    // A client that takes nothing must not keep the server from ending.
    stream.set_write_timeout(Some(Duration::from_secs(15)))?;
    let mut connection = Connection::new(Arc::clone(server))?;
    let result = converse(server, &mut stream, &mut connection);
    connection.closed(result.is_ok());
    result
}

fn converse(
    server: &Server,
    stream: &mut TcpStream,
    connection: &mut Connection,
) -> anyhow::Result<()> {
    let mut buffer = [0; 4_096];
    while !connection.is_closed() && !server.is_done() {
        let wait = connection.collect()?;
        stream.write_all(&connection.output)?;
        connection.output.clear();
        if readable(&*stream, wait)? {
            match stream.read(&mut buffer)? {
                0 => return Ok(()),
                length => connection.receive(&buffer[..length])?,
            }
        }
    }
    Ok(())
}

fn readable(socket: impl std::os::fd::AsFd, wait_ns: u64) -> io::Result<bool> {
    let timeout = Timespec {
        tv_sec: (wait_ns / 1_000_000_000) as i64,
        tv_nsec: (wait_ns % 1_000_000_000) as i64,
    };
    let mut fds = [PollFd::new(&socket, PollFlags::IN)];
    match poll(&mut fds, Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
