//! Tells a service manager how a run is getting on: the datagrams of sd_notify(3).
//!
//! Invariant: without `NOTIFY_SOCKET` nothing is done; what cannot be told never ends a run.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// A connection to the service manager.
pub(super) struct Notifier {
    socket: Option<UnixDatagram>,
    /// How often it wants a sign of life.
    watchdog: Option<Duration>,
    told: Instant,
}

impl Notifier {
    /// By what the environment says.
    pub(super) fn from_env() -> Self {
        let path = env::var_os("NOTIFY_SOCKET");
        let micros = env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok());
        Self::new(path.as_deref(), micros.map(Duration::from_micros))
    }

    fn new(path: Option<&OsStr>, watchdog: Option<Duration>) -> Self {
        let socket = path.and_then(|path| connect(path.as_bytes()).ok());
        // Twice as often as it must be.
        Self { socket, watchdog: watchdog.map(|every| every / 2), told: Instant::now() }
    }

    /// Everything is open; records are taken from now on.
    pub(super) fn ready(&self) {
        self.tell("READY=1\nSTATUS=receiving\n");
    }

    /// The threads are being ended.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=ending\n");
    }

    /// The run is alive. Call it often; it tells as often as was asked for.
    pub(super) fn alive(&mut self) {
        if self.watchdog.is_some_and(|every| self.told.elapsed() >= every) {
            self.told = Instant::now();
            self.tell("WATCHDOG=1\n");
        }
    }

    fn tell(&self, what: &str) {
        if let Some(socket) = &self.socket {
            // A manager that does not listen any more kills or does not, as it was configured.
            let _ = socket.send(what.as_bytes());
        }
    }
}

fn connect(path: &[u8]) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    match path.strip_prefix(b"@") {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(OsStr::from_bytes(path))?,
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_hears_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let mut notifier = Notifier::new(Some(path.as_os_str()), Some(Duration::ZERO));
        let heard = || {
            let mut bytes = [0; 64];
            let len = manager.recv(&mut bytes).unwrap();
            String::from_utf8(bytes[..len].to_vec()).unwrap()
        };
        notifier.ready();
        assert!(heard().starts_with("READY=1\n"));
        notifier.alive();
        assert_eq!(heard(), "WATCHDOG=1\n");
        notifier.stopping();
        assert!(heard().starts_with("STOPPING=1\n"));
    }

    #[test]
    fn without_a_manager_nothing_happens() {
        let mut alone = Notifier::new(None, None);
        alone.ready();
        alone.alive();
        let nobody = Notifier::new(Some(OsStr::new("/nonexistent/notify")), None);
        nobody.stopping();
    }
}
