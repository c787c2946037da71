//! All clients on one glommio executor: io_uring, a task per client.
//!
//! Invariant: nothing here blocks the executor but reading the capture, which the system reads
//! ahead.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::or;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::net::{TcpListener, TcpStream};
use glommio::timer::Timer;
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};

use super::{Connection, Runtime, Server, WAIT_NS_MAX};
use crate::sys::glommio::listener;

/// An executor on the calling thread.
pub(super) struct Executor(LocalExecutor);

impl Executor {
    /// Fails where io_uring is refused.
    pub(super) fn new() -> io::Result<Self> {
        let builder = LocalExecutorBuilder::new(Placement::Unbound).name("soup");
        builder.make().map(Self).map_err(|error| io::Error::other(error.to_string()))
    }
}

impl Runtime for Executor {
    fn serve(&self, server: &Arc<Server>) -> io::Result<()> {
        let std_listener = server.listener.try_clone()?;
        self.0.run(async move {
            let listener = Rc::new(listener(std_listener));
            glommio::spawn_local(accept(Arc::clone(server), listener)).detach();
            while !server.is_done() {
                Timer::new(Duration::from_nanos(WAIT_NS_MAX)).await;
            }
        });
        Ok(())
    }
}

async fn accept(server: Arc<Server>, listener: Rc<TcpListener>) {
    loop {
        match listener.accept().await {
            Ok(stream) => {
                glommio::spawn_local(client(Arc::clone(&server), stream)).detach();
            }
            Err(error) => {
                eprintln!("cannot accept a client: {error}");
                Timer::new(Duration::from_nanos(WAIT_NS_MAX)).await;
            }
        }
    }
}

async fn client(server: Arc<Server>, mut stream: TcpStream) {
    let mut connection = match Connection::new(server) {
        Ok(connection) => connection,
        Err(error) => return eprintln!("a client's capture: {error:#}"),
    };
    let result = converse(&mut stream, &mut connection).await;
    connection.closed(result.is_ok());
    if let Err(error) = result {
        eprintln!("client: {error:#}");
    }
}

async fn converse(stream: &mut TcpStream, connection: &mut Connection) -> anyhow::Result<()> {
    stream.set_nodelay(true).map_err(|error| io::Error::other(error.to_string()))?;
    let mut buffer = [0; 4_096];
    while !connection.is_closed() {
        let wait = connection.collect()?;
        stream.write_all(&connection.output).await?;
        connection.output.clear();
        let read = async { stream.read(&mut buffer).await.map(Some) };
        let timeout = async {
            if wait > 0 {
                Timer::new(Duration::from_nanos(wait)).await;
            }
            Ok(None)
        };
        match or(read, timeout).await? {
            Some(0) => return Ok(()),
            Some(length) => connection.receive(&buffer[..length])?,
            None => glommio::yield_if_needed().await,
        }
    }
    Ok(())
}
