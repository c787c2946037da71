//! Opens datagram sockets: binds, joins, sets what both receive backends need, and says what was
//! really got; and hands over what either of them received.
//!
//! Invariant: a socket bound to a group receives that group alone, whatever else shares its port
//! (it is bound to the group's address, and IP_MULTICAST_ALL is off), and no options are missing
//! from its first datagram on: they are set before it joins.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rustix::net::netdevice::name_to_index;
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use super::cmsg;
use super::spec::{Interface, ReactorError, SocketSpec};
use super::{Counters, Handler};
use crate::sys::sockopt::{self, Switch};

/// A datagram socket in use, and what it really got.
#[derive(Debug)]
pub struct OpenSocket {
    pub(super) socket: Socket,
    /// Where it is bound; the port is the kernel's choice if 0 was asked for.
    pub local: SocketAddr,
    /// Receive buffer in bytes, comparable with what was asked for (the kernel reserves twice as
    /// much for its own bookkeeping).
    pub rcvbuf_got: usize,
    /// Receive buffer that was asked for.
    pub rcvbuf_asked: usize,
    /// Got past `net.core.rmem_max` by privilege (SO_RCVBUFFORCE).
    pub rcvbuf_forced: bool,
    /// Datagrams that the kernel dropped here, as last heard from it.
    pub kernel_drops: u64,
}

/// Opens one socket, ready to receive.
pub(super) fn open(spec: &SocketSpec) -> Result<OpenSocket, ReactorError> {
    let group = spec.group;
    let step = |step| move |source: io::Error| ReactorError::Socket { group, step, source };
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))
        .map_err(step("opening a UDP socket"))?;
    let rcvbuf_forced = ask_rcvbuf(&socket, spec.rcvbuf).map_err(step("setting SO_RCVBUF"))?;
    let got = socket.recv_buffer_size().map_err(step("reading SO_RCVBUF"))?;
    let on = |option, name| sockopt::set(&socket, option, true).map_err(step(name));
    on(Switch::TimestampNs, "setting SO_TIMESTAMPNS")?;
    on(Switch::DropCount, "setting SO_RXQ_OVFL")?;
    if group.ip().is_multicast() {
        // For multicast several receivers may share a port. For unicast the last one to come
        // would silently take it from the others.
        socket.set_reuse_address(true).map_err(step("setting SO_REUSEADDR"))?;
        let all = match group {
            SocketAddr::V4(_) => socket.set_multicast_all_v4(false),
            SocketAddr::V6(_) => socket.set_multicast_all_v6(false),
        };
        all.map_err(step("clearing IP_MULTICAST_ALL"))?;
    }
    let index = interface_index(&socket, spec)?;
    socket.bind(&scoped(group, index).into()).map_err(step("binding"))?;
    if group.ip().is_multicast() {
        join(&socket, spec, index)?;
    }
    let local = socket.local_addr().map_err(step("reading the local address"))?;
    let local = local.as_socket().unwrap_or(group);
    Ok(OpenSocket {
        socket,
        local,
        rcvbuf_got: got / 2,
        rcvbuf_asked: spec.rcvbuf,
        rcvbuf_forced,
        kernel_drops: 0,
    })
}

/// SO_RCVBUFFORCE where allowed, else as much as SO_RCVBUF gives. True if forced.
fn ask_rcvbuf(socket: &Socket, bytes: usize) -> io::Result<bool> {
    let bytes = bytes.min(i32::MAX as usize / 2);
    if set_socket_recv_buffer_size_force(socket, bytes).is_ok() {
        return Ok(true);
    }
    socket.set_recv_buffer_size(bytes).map(|()| false)
}

/// An IPv6 group of narrow scope is an address only together with its interface.
fn scoped(group: SocketAddr, index: Option<u32>) -> SocketAddr {
    match (group, index) {
        (SocketAddr::V6(mut address), Some(index)) => {
            address.set_scope_id(index);
            address.into()
        }
        _ => group,
    }
}

fn join(socket: &Socket, spec: &SocketSpec, index: Option<u32>) -> Result<(), ReactorError> {
    let group = spec.group;
    let step = |step| move |source: io::Error| ReactorError::Socket { group, step, source };
    let address = match &spec.interface {
        Some(Interface::Address(address)) => *address,
        _ => Ipv4Addr::UNSPECIFIED,
    };
    match (group.ip(), spec.source) {
        (IpAddr::V4(ip), None) => {
            let at = index
                .map_or(InterfaceIndexOrAddress::Address(address), InterfaceIndexOrAddress::Index);
            socket.join_multicast_v4_n(&ip, &at).map_err(step("joining the group"))
        }
        (IpAddr::V4(ip), Some(source)) => match index {
            Some(index) => {
                sockopt::join_source(socket, group, SocketAddr::from((source, 0)), index)
            }
            None => socket.join_ssm_v4(&source, &ip, &address),
        }
        .map_err(step("joining the group for one source")),
        (IpAddr::V6(ip), None) => {
            let index = index.unwrap_or(0);
            socket.join_multicast_v6(&ip, index).map_err(step("joining the group"))
        }
        (IpAddr::V6(_), Some(_)) => Err(step("joining the group for one source: IPv4 only")(
            io::ErrorKind::Unsupported.into(),
        )),
    }
}

/// The index of an interface given by name; `None` if it is given otherwise or not at all.
fn interface_index(socket: &Socket, spec: &SocketSpec) -> Result<Option<u32>, ReactorError> {
    let bad =
        |name: &str, why| ReactorError::Interface { group: spec.group, name: name.into(), why };
    match &spec.interface {
        Some(Interface::Name(name)) => match name_to_index(socket, name) {
            Ok(index) => Ok(Some(index)),
            Err(_) => Err(bad(name, "no such interface on this host")),
        },
        Some(Interface::Address(address)) if spec.group.is_ipv6() => {
            Err(bad(&address.to_string(), "an IPv6 group takes an interface by name"))
        }
        _ => Ok(None),
    }
}

impl OpenSocket {
    /// Asks the kernel for its drops.
    pub(super) fn refresh_drops(&mut self) {
        if let Ok(dropped) = sockopt::dropped(&self.socket) {
            self.kernel_drops = self.kernel_drops.max(dropped.into());
        }
    }

    /// Hands over what one receive brought.
    #[inline]
    pub(super) fn deliver<H: Handler>(
        &mut self,
        index: usize,
        received: Received<'_>,
        counters: &mut Counters,
        handler: &mut H,
    ) {
        let control = cmsg::parse(received.control);
        if let Some(dropped) = control.dropped {
            self.kernel_drops = self.kernel_drops.max(dropped.into());
        }
        if received.truncated {
            counters.truncated += 1;
            return;
        }
        let payload = received.payload;
        counters.datagram_bytes += payload.len() as u64;
        counters.datagrams += 1;
        handler.datagram(index, control.ts_kernel, payload);
    }
}

/// What one receive brought, by either backend.
#[derive(Copy, Clone, Debug)]
pub(super) struct Received<'a> {
    pub(super) control: &'a [u8],
    pub(super) payload: &'a [u8],
    pub(super) truncated: bool,
}

/// The kernel's drops of all sockets together.
pub(super) fn refresh_drops(sockets: &mut [OpenSocket], counters: &mut Counters) {
    sockets.iter_mut().for_each(OpenSocket::refresh_drops);
    counters.kernel_drops = sockets.iter().map(|socket| socket.kernel_drops).sum();
}
