//! Waiting for a connection, but not for ever.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};

/// The next connection; between two looks `wait` waits, or says why there will be none.
pub(crate) fn accept(
    listener: &TcpListener,
    mut wait: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<TcpStream> {
    listener.set_nonblocking(true)?;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait()?,
            Err(error) => return Err(error.into()),
        }
    }
}
