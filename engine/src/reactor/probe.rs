//! Finds out at start-up whether this kernel, here and now, lets us use io_uring the way the
//! `uring` backend does, and picks the backend.
//!
//! A version number is not enough (containers filter the calls, administrators switch them off),
//! so the probe does it: it opens a ring, and receives a datagram by a multishot receive.
//!
//! Invariant: a backend is never changed silently: [`Choice::why`] says what was found.

use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use super::spec::{BackendKind, ReactorError};
use crate::sys::sockopt::{self, Switch};
use crate::sys::uring::{RECVMSG_OVERHEAD, Ring, parse_recvmsg};

/// Up to so many sockets, polling each is quicker than asking a ring about all.
pub const SOCKETS_POLLED_MAX: usize = 2;
/// What the probe sends itself.
const PING: &[u8] = b"corelane";
/// How long the probe waits for it.
const PING_TIMEOUT: Duration = Duration::from_millis(500);

/// What the probe found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Probe {
    /// The kernel's release, such as `6.18.44`.
    pub kernel: String,
    /// Why io_uring cannot be used; `None` if it can.
    pub uring_refused: Option<String>,
}

/// Which backend is used, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Choice {
    /// `Uring` or `Socket`.
    pub kind: BackendKind,
    /// For the start-up log.
    pub why: String,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "receive backend {}: {}", self.kind, self.why)
    }
}

/// Tries io_uring on the calling thread. Takes well under a millisecond where it works.
#[must_use]
pub fn probe() -> Probe {
    let kernel = read("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".into());
    Probe { uring_refused: try_uring().err().map(|found| explain(&found, &kernel)), kernel }
}

impl Probe {
    /// The backend for `sockets` sockets and connections together.
    ///
    /// # Errors
    /// If `wanted` is `uring` and it cannot be used.
    pub fn choose(&self, wanted: BackendKind, sockets: usize) -> Result<Choice, ReactorError> {
        let plural = if sockets == 1 { "" } else { "s" };
        let (kind, why) = match (wanted, &self.uring_refused) {
            (BackendKind::Uring, Some(why)) => {
                return Err(ReactorError::Unavailable { kind: wanted, why: why.clone() });
            }
            (BackendKind::Uring, None) => (
                BackendKind::Uring,
                format!("asked for, and multishot receives work on Linux {}", self.kernel),
            ),
            (BackendKind::Socket, _) => (BackendKind::Socket, "asked for".to_owned()),
            (BackendKind::Auto, _) if sockets <= SOCKETS_POLLED_MAX => (
                BackendKind::Socket,
                format!("auto: {sockets} socket{plural}, quickest polled one by one"),
            ),
            (BackendKind::Auto, Some(why)) => (
                BackendKind::Socket,
                format!("auto: {sockets} sockets would take uring, but {why}"),
            ),
            (BackendKind::Auto, None) => (
                BackendKind::Uring,
                format!("auto: {sockets} sockets, quickest watched by one ring"),
            ),
        };
        Ok(Choice { kind, why })
    }
}

/// Where the probe failed, and with what.
struct Refused {
    step: &'static str,
    error: io::Error,
}

fn try_uring() -> Result<(), Refused> {
    let at = |step| move |error: io::Error| Refused { step, error };
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(at("a loopback socket"))?;
    sockopt::set(&socket, Switch::TimestampNs, true).map_err(at("SO_TIMESTAMPNS"))?;
    let mut ring = Ring::new(4, 8).map_err(at("io_uring_setup"))?;
    let group = ring.add_group(2, RECVMSG_OVERHEAD + 64).map_err(at("a provided-buffer ring"))?;
    ring.recvmsg_multi(&socket, group, 0)
        .map_err(|_| at("queueing a receive")(io::ErrorKind::StorageFull.into()))?;
    ring.advance().map_err(at("submitting a receive"))?;
    let to = socket.local_addr().map_err(at("a loopback socket"))?;
    socket.send_to(PING, to).map_err(at("a loopback datagram"))?;
    ring.wait(PING_TIMEOUT).map_err(at("waiting for a completion"))?;
    let mut result = Err(io::ErrorKind::TimedOut.into());
    ring.advance().map_err(at("waiting for a completion"))?;
    ring.drain(1, |completion| {
        result = match completion.result {
            Err(errno) => Err(io::Error::from_raw_os_error(errno)),
            Ok(_) if !completion.more => Err(io::ErrorKind::Unsupported.into()),
            Ok(_) => match parse_recvmsg(completion.buffer) {
                Some(message) if message.payload == PING => Ok(()),
                _ => Err(io::ErrorKind::InvalidData.into()),
            },
        };
    });
    result.map_err(at("a multishot receive"))
}

fn explain(found: &Refused, kernel: &str) -> String {
    let Refused { step, error } = found;
    format!("io_uring is refused on Linux {kernel} at {step}: {error}; {}", cause(error))
}

/// What stands behind a refusal, as far as the host tells.
pub(super) fn cause(error: &io::Error) -> &'static str {
    let switched_off = match read("/proc/sys/kernel/io_uring_disabled").as_deref() {
        Some("1") => Some("kernel.io_uring_disabled is 1: privileged processes only"),
        Some("2") => Some("kernel.io_uring_disabled is 2: switched off on this host"),
        _ => None,
    };
    let filtered = read("/proc/thread-self/status")
        .is_some_and(|status| status.lines().any(|line| line.replace('\t', "") == "Seccomp:2"));
    match (error.raw_os_error(), switched_off) {
        (Some(libc::EPERM | libc::EACCES), Some(cause)) => cause,
        (Some(libc::EPERM | libc::EACCES | libc::ENOSYS), _) if filtered => {
            "a seccomp filter forbids it, as container runtimes' default profiles do"
        }
        (Some(libc::ENOSYS), _) => "the kernel was built without io_uring",
        (Some(libc::EINVAL), _) => "the kernel lacks a feature: 6.1 or newer is needed",
        (Some(libc::ENOMEM), _) => "too little memory may be locked (ulimit -l)",
        (Some(libc::EMFILE | libc::ENFILE), _) => "too few files may be open (ulimit -n)",
        _ => "the kernel does not say why",
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probed(refused: Option<&str>) -> Probe {
        Probe { kernel: "6.18".into(), uring_refused: refused.map(str::to_owned) }
    }

    #[test]
    fn auto_goes_by_the_number_of_sockets_and_says_why() {
        let works = probed(None);
        assert_eq!(works.choose(BackendKind::Auto, 1).unwrap().kind, BackendKind::Socket);
        assert_eq!(works.choose(BackendKind::Auto, 3).unwrap().kind, BackendKind::Uring);
        assert_eq!(works.choose(BackendKind::Uring, 1).unwrap().kind, BackendKind::Uring);
        assert_eq!(works.choose(BackendKind::Socket, 99).unwrap().kind, BackendKind::Socket);
    }

    #[test]
    fn a_refused_ring_falls_back_only_where_it_was_not_asked_for() {
        let refused = probed(Some("it is filtered"));
        let choice = refused.choose(BackendKind::Auto, 9).unwrap();
        assert_eq!(choice.kind, BackendKind::Socket);
        assert!(choice.to_string().ends_with("9 sockets would take uring, but it is filtered"));
        let text = refused.choose(BackendKind::Uring, 1).unwrap_err().to_string();
        assert_eq!(text, "backend uring is not to be had: it is filtered");
    }
}
