//! Who answers: the floor, which only receives and sends, or the engine as `corelane run` makes it.
//!
//! Invariant: both receive the same bytes on the same kind of socket and answer with as many; both
//! spin on the CPU that they are given (the engine only if its waiting says so).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use corelane::config::Config;
use corelane::journal;
use corelane::run::{Input, Outcome, RunOptions, execute};
use corelane::sys::affinity;
use corelane_feeds::soupbintcp::{Client, Credentials};

use super::link::{Addresses, Transport, group};
use super::path::End;
use super::pings::{ANSWER_BYTES, MOLD_BYTES, SOUP_BYTES, answer, registry};
use super::stages::{Stages, read_stages};
use super::{EngineSetup, PATIENCE, Setup};

/// Bytes of the acceptance of a login.
const ACCEPTED_BYTES: usize = 33;
/// Live orders that books have room for: pings have one.
const ORDERS_MAX: usize = 65_536;

/// What a side is told and tells.
pub(super) struct Sides<'a> {
    pub(super) setup: &'a Setup<'a>,
    pub(super) addresses: Addresses,
    pub(super) stop: Arc<AtomicBool>,
    /// Told once it receives: where to, for UDP.
    pub(super) ready: Sender<Vec<SocketAddr>>,
}

/// What a side says in the end.
#[derive(Default)]
pub(super) struct SideEnd {
    pub(super) stages: Stages,
    pub(super) counters: BTreeMap<String, f64>,
    pub(super) notes: Vec<String>,
}

impl Sides<'_> {
    /// Receives and sends until told to stop.
    pub(super) fn floor(&self) -> anyhow::Result<SideEnd> {
        self.setup.path.enter(End::Engine)?;
        affinity::pin(self.setup.engine_cpus[0])?;
        let received = match self.setup.transport {
            Transport::Tcp => self.floor_tcp()?,
            Transport::Multicast | Transport::Unicast => self.floor_udp()?,
        };
        let counters = BTreeMap::from([("floor.messages".to_owned(), received as f64)]);
        Ok(SideEnd { counters, ..SideEnd::default() })
    }

    fn floor_udp(&self) -> anyhow::Result<u64> {
        let here = self.setup.path.address(End::Engine);
        let mut sockets = Vec::new();
        for number in 0..self.setup.groups {
            let socket = if self.setup.transport == Transport::Multicast {
                let socket = UdpSocket::bind((group(number), 0))?;
                socket.join_multicast_v4(&group(number), &here)?;
                socket
            } else {
                UdpSocket::bind((here, 0))?
            };
            socket.set_nonblocking(true)?;
            sockets.push(socket);
        }
        let answers = UdpSocket::bind((here, 0))?;
        answers.connect(self.addresses.answers)?;
        let locals: Result<_, _> = sockets.iter().map(UdpSocket::local_addr).collect();
        self.ready.send(locals?)?;
        let (mut buffer, mut reply, mut received) = ([0; 2_048], [0; ANSWER_BYTES], 0);
        while !self.stop.load(Ordering::Relaxed) {
            for socket in &sockets {
                if let Ok(bytes) = socket.recv(&mut buffer) {
                    answer(buffer.get(MOLD_BYTES..bytes).unwrap_or_default(), &mut reply);
                    answers.send(&reply)?;
                    received += 1;
                }
            }
        }
        Ok(received)
    }

    fn floor_tcp(&self) -> anyhow::Result<u64> {
        let server = self.addresses.feed.context("a TCP feed has a server")?;
        let mut stream = TcpStream::connect(server)?;
        let mut client = Client::new(Credentials::new("bench", ""), *b"          ", 1);
        client.connected();
        stream.write_all(client.output())?;
        let mut answers = TcpStream::connect(self.addresses.answers)?;
        answers.set_nodelay(true)?;
        self.ready.send(Vec::new())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut accepted = [0; ACCEPTED_BYTES];
        stream.read_exact(&mut accepted)?;
        stream.set_nonblocking(true)?;
        let (mut buffer, mut reply) = (vec![0; 1 << 16], [0; ANSWER_BYTES]);
        let (mut held, mut received) = (0, 0);
        while !self.stop.load(Ordering::Relaxed) {
            let Ok(bytes) = stream.read(&mut buffer[held..]) else { continue };
            if bytes == 0 {
                break;
            }
            held += bytes;
            let mut at = 0;
            while let Some(packet) = packet(&buffer[at..held]) {
                answer(&packet[SOUP_BYTES..], &mut reply);
                answers.write_all(&reply)?;
                at += packet.len();
                received += 1;
            }
            buffer.copy_within(at..held, 0);
            held -= at;
        }
        Ok(received)
    }

    /// Runs the engine until told to stop.
    pub(super) fn engine(&self, engine: &EngineSetup) -> anyhow::Result<SideEnd> {
        self.setup.path.enter(End::Engine)?;
        let folder = tempfile::tempdir_in(self.setup.dir)?;
        let (text, targets) = self.configuration(engine, folder.path())?;
        let registry = registry();
        let config = Config::parse("latency", &text, &registry)?;
        let ready_file = folder.path().join("ready");
        let stop = Arc::clone(&self.stop);
        let options =
            RunOptions { stop, ready_file: Some(ready_file.clone()), ..RunOptions::default() };
        let outcome = thread::scope(|scope| {
            let run = scope.spawn(|| execute(&config, &registry, &Input::Live, &options));
            let deadline = Instant::now() + PATIENCE;
            while !ready_file.exists() && !run.is_finished() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(2));
            }
            if ready_file.exists() {
                // Nobody waits any more if the start took too long.
                let _ = self.ready.send(targets);
            }
            run.join().map_err(|_| anyhow::anyhow!("the engine panicked"))?
        })?;
        journal::remove(&config.journal.dir)?;
        if let Some(failure) = outcome.failure {
            return Err(failure.context("the engine"));
        }
        let hlog = config.report.hlog.as_ref().context("an interval log was asked for")?;
        let stages = read_stages(&fs::read(hlog)?)?;
        Ok(SideEnd { stages, counters: counters(&outcome), notes: notes(&outcome) })
    }

    /// The engine's configuration, and where its feeds are reached.
    fn configuration(
        &self,
        engine: &EngineSetup,
        folder: &std::path::Path,
    ) -> anyhow::Result<(String, Vec<SocketAddr>)> {
        let Setup { path, transport, groups, engine_cpus, stall, .. } = self.setup;
        let here = path.address(End::Engine);
        let EngineSetup { backend, topology, waiting } = engine;
        let (reactor, shard) = (engine_cpus[0], engine_cpus[engine_cpus.len() - 1]);
        let shard_cores = match topology.as_str() {
            "pipelined" => format!("shard_cores = [{shard}]\n"),
            _ => String::new(),
        };
        let stall = stall.map_or(String::new(), |stall| {
            let (after, ms) = (stall.after, stall.time.as_millis());
            format!("stall_after = {after}\nstall = \"{ms}ms\"\n")
        });
        let sink = if *transport == Transport::Tcp { "tcp" } else { "udp" };
        let mut text = format!(
            "[engine]\ntopology = \"{topology}\"\nreactor_cores = [{reactor}]\n{shard_cores}\
             wait = \"{waiting}\"\nbackend = \"{backend}\"\norders_max = {ORDERS_MAX}\n\
             [journal]\ndir = \"{}\"\n[report]\nhlog = \"{}\"\n\
             [[strategy]]\ntype = \"echo\"\n{stall}\
             [[sink]]\ntype = \"{sink}\"\naddress = \"{}\"\nformat = \"binary\"\n\
             buffer = \"1MiB\"\n",
            folder.join("journal").display(),
            folder.join("stages.hlog").display(),
            self.addresses.answers,
        );
        let mut targets = Vec::new();
        for number in 0..*groups {
            let source = match (*transport, self.addresses.feed) {
                (Transport::Tcp, Some(server)) => {
                    format!("connect = \"{server}\"\nusername = \"bench\"\n")
                }
                (transport, _) => {
                    let multicast = transport == Transport::Multicast;
                    let address = if multicast { group(number) } else { here };
                    // A port that was free a moment ago.
                    let port = UdpSocket::bind((address, 0))?.local_addr()?.port();
                    targets.push(SocketAddr::from((address, port)));
                    format!("lines = [\"{address}:{port}\"]\ninterface = \"{here}\"\n")
                }
            };
            write!(
                text,
                "[[feed]]\nname = \"feed{number}\"\nprotocol = \"itch50\"\n{source}\
                 rcvbuf = \"4MiB\"\n"
            )?;
        }
        Ok((text, targets))
    }
}

/// The first packet of a stream, if it is whole.
fn packet(bytes: &[u8]) -> Option<&[u8]> {
    let length = u16::from_be_bytes(*bytes.first_chunk::<2>()?);
    bytes.get(..usize::from(length) + 2)
}

/// The engine's own counters, by thread.
fn counters(outcome: &Outcome) -> BTreeMap<String, f64> {
    let report = &outcome.report;
    let mut counters = BTreeMap::new();
    let mut add = |name: String, value: u64| *counters.entry(name).or_default() += value as f64;
    for reactor in &report.reactors {
        for (name, value) in &reactor.counters.0 {
            add(format!("reactor.{name}"), *value);
        }
    }
    for sink in &report.sinks {
        add("sink.sent".to_owned(), sink.sent);
    }
    for journal in &report.journals {
        for (name, value) in &journal.counters.0 {
            add(format!("journal.{name}"), *value);
        }
    }
    add("wall_ns".to_owned(), report.wall_ns);
    counters.retain(|_, value: &mut f64| *value > 0.0);
    counters
}

/// What is worth saying of a run.
fn notes(outcome: &Outcome) -> Vec<String> {
    let totals = outcome.report.totals();
    let mut notes = Vec::new();
    let losses = [
        ("datagrams dropped by the kernel", totals.kernel_drops),
        ("messages missing", totals.messages_missing),
        ("records dropped at a full ring", totals.ring_drops),
        ("actions dropped at a sink", totals.sink_drops),
    ];
    for (what, count) in losses.into_iter().filter(|(_, count)| *count > 0) {
        notes.push(format!("{count} {what}"));
    }
    notes
}

/// That a setup can be measured at all.
pub(super) fn check(setup: &Setup<'_>) -> anyhow::Result<()> {
    ensure!(!setup.engine_cpus.is_empty(), "no CPU for the side under test");
    ensure!((1..=super::GROUPS_MAX).contains(&setup.groups), "1 to {} groups", super::GROUPS_MAX);
    let one = setup.transport == Transport::Multicast || setup.groups == 1;
    ensure!(
        one,
        "several groups are there over multicast alone, not over {}",
        setup.transport.name()
    );
    Ok(())
}
