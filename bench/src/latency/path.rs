//! What lies between generator and engine: the loopback interface, or a veth pair between two
//! network namespaces that is made here and removed when it is dropped.
//!
//! ```text
//! namespace NAME-gen                    namespace NAME-eng
//!   corelane0 10.77.12.2 <────veth────> corelane0 10.77.12.1
//! ```
//!
//! Invariant: the machine's own namespace is not touched, and nothing is left behind.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, bail};
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
        let Self::Veth(namespaces) = self else { return Ok(()) };
        let namespace = &namespaces.of(end).file;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .context("entering a network namespace")
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
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("corelane-bench-{}-{number}", std::process::id());
        let engine = Namespace::create(format!("{name}-eng"))?;
        let generator = Namespace::create(format!("{name}-gen"))?;
        let (near, far) = (engine.name.as_str(), generator.name.as_str());
        ip(&[
            "-n", near, "link", "add", INTERFACE, "type", "veth", "peer", "name", INTERFACE,
            "netns", far,
        ])?;
        for (namespace, end) in [(near, End::Engine), (far, End::Generator)] {
            let path_address = match end {
                End::Engine => "10.77.12.1/24",
                End::Generator => "10.77.12.2/24",
            };
            ip(&["-n", namespace, "addr", "add", path_address, "dev", INTERFACE])?;
            ip(&["-n", namespace, "link", "set", "lo", "up"])?;
            ip(&["-n", namespace, "link", "set", INTERFACE, "up"])?;
            ip(&["-n", namespace, "route", "add", "224.0.0.0/4", "dev", INTERFACE])?;
        }
        Ok(Self { engine, generator })
    }

    const fn of(&self, end: End) -> &Namespace {
        match end {
            End::Engine => &self.engine,
            End::Generator => &self.generator,
        }
    }
}

/// A named network namespace; removed when it is dropped, and its interfaces with it.
#[derive(Debug)]
struct Namespace {
    name: String,
    file: File,
}

impl Namespace {
    fn create(name: String) -> anyhow::Result<Self> {
        ip(&["netns", "add", &name])?;
        match File::open(format!("/run/netns/{name}")) {
            Ok(file) => Ok(Self { name, file }),
            Err(error) => {
                let _ = ip(&["netns", "del", &name]);
                Err(error).with_context(|| format!("/run/netns/{name}"))
            }
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = ip(&["netns", "del", &self.name]) {
            eprintln!("corelane-bench: {error:#}");
        }
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
        let Path::Veth(namespaces) = &path else { panic!("a veth pair") };
        let names = [namespaces.engine.name.clone(), namespaces.generator.name.clone()];
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
        drop((engine, generator, path));
        for name in names {
            assert!(!std::path::Path::new("/run/netns").join(name).exists());
        }
    }
}
