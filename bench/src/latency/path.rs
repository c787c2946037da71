//! What lies between generator and engine: the loopback interface, or a veth pair between two
//! network namespaces that are made here.
//!
//! ```text
//! namespace of the generator            namespace of the engine
//!   corelane0 10.77.12.2 <────veth────> corelane0 10.77.12.1
//! ```
//!
//! Invariant: the machine's own namespace is not touched. The namespaces have no names, only this
//! process holds them: however it ends, the kernel removes them and nothing is left behind.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, anyhow, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The interface's name in both namespaces.
const INTERFACE: &str = "corelane0";

/// Which end of a path.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// Where the side under test is.
    Engine,
    /// Where pings come from.
    Generator,
}

/// A way for packets.
#[derive(Clone, Debug)]
pub enum Path {
    /// Within the machine's own network.
    Loopback,
    /// Between two namespaces.
    Veth(Arc<Namespaces>),
}

impl Path {
    /// A veth pair.
    ///
    /// # Errors
    /// If it cannot be made, and why.
    pub fn veth() -> anyhow::Result<Self> {
        Ok(Self::Veth(Arc::new(Namespaces::create()?)))
    }

    /// As the command line spells it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Veth(_) => "veth",
        }
    }

    /// The address of an end.
    #[must_use]
    pub const fn address(&self, end: End) -> Ipv4Addr {
        match (self, end) {
            (Self::Loopback, _) => Ipv4Addr::LOCALHOST,
            (Self::Veth(_), End::Engine) => Ipv4Addr::new(10, 77, 12, 1),
            (Self::Veth(_), End::Generator) => Ipv4Addr::new(10, 77, 12, 2),
        }
    }

    /// Moves the calling thread, and what it starts from now on, to an end. There is no way back.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn enter(&self, end: End) -> anyhow::Result<()> {
        match self {
            Self::Loopback => Ok(()),
            Self::Veth(namespaces) => namespaces.of(end).enter(),
        }
    }
}

/// Two namespaces with a veth pair between them.
#[derive(Debug)]
pub struct Namespaces {
    engine: Namespace,
    generator: Namespace,
}

impl Namespaces {
    fn create() -> anyhow::Result<Self> {
        let namespaces = Self { engine: Namespace::create()?, generator: Namespace::create()? };
        let far = namespaces.generator.path();
        namespaces.engine.ip(&[
            "link", "add", INTERFACE, "type", "veth", "peer", "name", INTERFACE, "netns", &far,
        ])?;
        for end in [End::Engine, End::Generator] {
            let address = match end {
                End::Engine => "10.77.12.1/24",
                End::Generator => "10.77.12.2/24",
            };
            let namespace = namespaces.of(end);
            namespace.ip(&["addr", "add", address, "dev", INTERFACE])?;
            namespace.ip(&["link", "set", "lo", "up"])?;
            namespace.ip(&["link", "set", INTERFACE, "up"])?;
            namespace.ip(&["route", "add", "224.0.0.0/4", "dev", INTERFACE])?;
        }
        Ok(namespaces)
    }

    const fn of(&self, end: End) -> &Namespace {
        match end {
            End::Engine => &self.engine,
            End::Generator => &self.generator,
        }
    }
}

/// A network namespace that lives as long as its file is open, and its interfaces with it.
#[derive(Debug)]
struct Namespace {
    file: File,
}

impl Namespace {
    /// Makes one under a name, opens it and takes the name away.
    fn create() -> anyhow::Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("corelane-bench-{}-{number}", std::process::id());
        ip(&["netns", "add", &name])?;
        let file = File::open(format!("/run/netns/{name}"));
        ip(&["netns", "del", &name])?;
        Ok(Self { file: file.with_context(|| format!("/run/netns/{name}"))? })
    }

    /// Where others find it.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    fn enter(&self) -> anyhow::Result<()> {
        move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))
            .context("entering a network namespace")
    }

    /// Runs `ip` within it, by a thread that enters it and ends.
    fn ip(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let within = || self.enter().and_then(|()| ip(arguments));
        let ran = std::thread::scope(|scope| scope.spawn(within).join());
        ran.map_err(|_| anyhow!("the thread that ran `ip` panicked"))?
    }
}

/// Runs `ip` of iproute2; what it says on failure is the error.
fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip").args(arguments).output();
    let output = output.context("`ip` (package iproute2) is needed for a veth pair")?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    let hint = if said.contains("not permitted") || said.contains("ermission denied") {
        ": root, or CAP_NET_ADMIN and CAP_SYS_ADMIN, is needed for a veth pair"
    } else {
        ""
    };
    bail!("ip {}: {said}{hint}", arguments.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn datagrams_cross_the_pair_and_nothing_is_left() {
        let path = match Path::veth() {
            Ok(path) => path,
            Err(error) => {
                let why = format!("{error:#}");
                assert!(why.contains("ip"), "{why}");
                println!("no veth pair here: {why}");
                return;
            }
        };
        let bound = |end| {
            let path = path.clone();
            let open = move || {
                path.enter(end).unwrap();
                UdpSocket::bind((path.address(end), 0)).unwrap()
            };
            std::thread::spawn(open).join().unwrap()
        };
        let (engine, generator) = (bound(End::Engine), bound(End::Generator));
        generator.send_to(b"ping", engine.local_addr().unwrap()).unwrap();
        let mut buffer = [0; 8];
        let (bytes, from) = engine.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..bytes], from), (&b"ping"[..], generator.local_addr().unwrap()));
        assert!(UdpSocket::bind((path.address(End::Engine), 0)).is_err(), "not in our own");
        // No name is left that would keep them alive after this process; another test's has one
        // for a moment.
        let prefix = format!("corelane-bench-{}-", std::process::id());
        let is_named = || {
            let names = std::fs::read_dir("/run/netns").unwrap().flatten();
            let mut names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
            names.any(|name| name.starts_with(&prefix))
        };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while is_named() {
            assert!(std::time::Instant::now() < deadline, "a name was left");
            std::thread::yield_now();
        }
    }
}
