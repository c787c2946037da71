//! A rate held live over loopback multicast: one process publishes a generated session from memory,
//! another receives it with books, the three strategies and a journal, fused on one core.
//!
//! Invariant: nothing is measured in the processes that they do not measure for everyone; only
//! `perf`, where it is asked for, looks on.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use corelane::journal;
use serde_json::Value;

use super::process::{Process, number};
use crate::perf;
use crate::results::ThreadUse;
use crate::session::Session;
use crate::threads::Watch;

/// The group that is published to.
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 77, 13, 1);
/// A publisher that needs this much longer than its schedule did not keep its rate.
const LATE_MAX: f64 = 1.01;
/// How often threads are looked at while a run goes on.
const LOOK_UP: Duration = Duration::from_millis(100);

/// What to hold.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The binary of this crate.
    pub binary: &'a Path,
    /// Messages per second.
    pub rate: f64,
    /// For how long.
    pub seconds: f64,
    /// Receive backend by its name in the configuration.
    pub backend: &'a str,
    /// How the engine's hot thread waits, by its name in the configuration.
    pub waiting: &'a str,
    /// CPU of the engine, if it is to be pinned.
    pub engine_cpu: Option<usize>,
    /// CPU of the publisher, if it is to be pinned.
    pub publisher_cpu: Option<usize>,
    /// Where the capture and journals lie: a memory file system.
    pub dir: &'a Path,
    /// Count the engine's system calls with `perf`, where it can.
    pub perf: bool,
}

/// A session on disk, ready to be published.
pub struct Capture {
    folder: tempfile::TempDir,
    pub(super) messages: u64,
}

impl Capture {
    /// Writes a generated session below `dir`.
    ///
    /// # Errors
    /// If it cannot be generated or written.
    pub fn create(messages: u64, dir: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(dir)?;
        let capture = Self { folder, messages };
        let session = Session::generate(messages)?;
        session.write_file(&capture.file())?;
        session.write_pcap(&capture.pcap())?;
        Ok(capture)
    }

    /// Its messages in the venue's file format.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("session.itch")
    }

    /// Its datagrams.
    #[must_use]
    pub fn pcap(&self) -> PathBuf {
        self.folder.path().join("session.pcap")
    }
}

/// What a run came to.
#[derive(Clone, Default, Debug)]
pub struct Held {
    /// Messages that left the publisher.
    pub published: u64,
    /// Messages per second that left it.
    pub achieved: f64,
    /// Whether it kept its schedule.
    pub on_schedule: bool,
    /// Messages that the engine decoded.
    pub received: u64,
    /// Datagrams that it received, and bytes in them.
    pub datagrams: u64,
    /// Bytes of payload in them.
    pub bytes: u64,
    /// Datagrams that the kernel dropped because the socket's buffer was full.
    pub kernel_drops: u64,
    /// Messages in gaps of the sequence.
    pub missing: u64,
    /// Messages that the engine took for ones it had already.
    pub duplicates: u64,
    /// Records or actions that the engine dropped between its own parts.
    pub dropped: u64,
    /// Actions decided on.
    pub actions: u64,
    /// The most memory that the engine had resident, bytes, journal included while it is mapped.
    pub memory_peak_bytes: u64,
    /// Receive buffer that the kernel granted, bytes.
    pub rcvbuf_bytes: u64,
    /// The receive backend in use.
    pub backend: String,
    /// CPU time of the engine's process.
    pub cpu_ns: u64,
    /// Times that the engine entered the kernel to receive, by its own count.
    pub enters: u64,
    /// What `perf` counted of the engine's process until it ended.
    pub perf: BTreeMap<String, f64>,
    /// The engine's threads while the publisher ran, its loading included.
    pub threads: Vec<ThreadUse>,
}

impl Held {
    /// Whether nothing was lost.
    #[must_use]
    pub const fn is_lossless(&self) -> bool {
        self.received == self.published
            && self.kernel_drops == 0
            && self.missing == 0
            && self.duplicates == 0
            && self.dropped == 0
    }

    /// Whether the rate was held: published on schedule and nothing lost.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.on_schedule && self.is_lossless()
    }

    /// Why not, if it was not.
    #[must_use]
    pub const fn verdict(&self) -> &'static str {
        match (self.is_lossless(), self.on_schedule) {
            (true, true) => "held",
            (true, false) => "the publisher fell behind",
            (false, _) => "messages were lost",
        }
    }
}

/// Publishes at a rate and receives, in two processes.
///
/// # Errors
/// If a process cannot be started, fails, or says nothing that can be read.
pub fn hold(plan: &Plan<'_>, capture: &Capture) -> anyhow::Result<Held> {
    Ok(hold_then(plan, capture, |_| Ok(()))?.0)
}

/// The same, and then something with the configuration that ran, while its journal is there.
///
/// # Errors
/// As [`hold`], and those of `then`.
pub fn hold_then<T>(
    plan: &Plan<'_>,
    capture: &Capture,
    then: impl FnOnce(&Path) -> anyhow::Result<T>,
) -> anyhow::Result<(Held, T)> {
    let folder = tempfile::tempdir_in(plan.dir)?;
    let port = UdpSocket::bind((GROUP, 0))?.local_addr()?.port();
    let journals = folder.path().join("journal");
    let config = folder.path().join("run.toml");
    std::fs::write(&config, configuration(plan, port, &journals))?;
    let ready = folder.path().join("ready");
    let mut engine = Process::start(plan.binary, None, |command| {
        command.arg("run").arg(&config).args(["--json", "--until-end", "--idle-exit", "5s"]);
        command.arg("--ready-file").arg(&ready);
    })?;
    engine.await_file(&ready)?;
    let process = engine.id();
    let perf = plan.perf.then(|| std::thread::spawn(move || perf::count_until_end(process)));
    let passes = (plan.rate * plan.seconds / capture.messages as f64).ceil().max(1.0) as u64;
    let mut publisher = Process::start(plan.binary, plan.publisher_cpu, |command| {
        command.args(["publish", "--preload", "--json", "--end", "--interface", "127.0.0.1"]);
        command.arg("--pcap").arg(capture.file());
        command.args(["--to", &format!("{GROUP}:{port}"), "--rate", &plan.rate.to_string()]);
        command.args(["--loop", &passes.to_string()]);
    })?;
    let watch = Watch::begin(Some(process));
    let mut threads = Vec::new();
    while !publisher.has_ended()? {
        // An engine that has ended has no threads: the look before counts.
        let seen = watch.so_far();
        if !seen.is_empty() {
            threads = seen;
        }
        std::thread::sleep(LOOK_UP);
    }
    let published = publisher.finish().context("the publisher")?;
    let report = engine.finish().context("the engine")?;
    let then = then(&config)?;
    journal::remove(&journals)?;
    let perf = perf.and_then(|perf| perf.join().ok()).unwrap_or_default();
    Ok((Held { threads, perf, ..held(&published, &report)? }, then))
}

fn configuration(plan: &Plan<'_>, port: u16, journals: &Path) -> String {
    let cores = plan.engine_cpu.map_or(String::new(), |cpu| format!("reactor_cores = [{cpu}]\n"));
    format!(
        "[engine]\ntopology = \"fused\"\nbackend = \"{}\"\nwait = \"{}\"\n{cores}\
         [journal]\ndir = \"{}\"\n\
         [[feed]]\nname = \"itch\"\nprotocol = \"itch50\"\nlines = [\"{GROUP}:{port}\"]\n\
         interface = \"127.0.0.1\"\nrcvbuf = \"64MiB\"\n[[strategy]]\ntype = \"imbalance\"\n\
         [[strategy]]\ntype = \"layering\"\n[[strategy]]\ntype = \"stuffing\"\n",
        plan.backend,
        plan.waiting,
        journals.display()
    )
}

fn held(published: &Value, report: &Value) -> anyhow::Result<Held> {
    let scheduled = number(published, "/scheduled_seconds")?;
    let total = |name: &str| number(report, &format!("/totals/{name}")).map(|value| value as u64);
    let reactor = |name: &str| {
        let count = number(report, &format!("/reactors/0/counters/{name}"));
        count.map(|value| value as u64)
    };
    let sockets = report.pointer("/reactors/0/sockets/0/rcvbuf_got");
    let backend = report.pointer("/reactors/0/backend").and_then(Value::as_str);
    Ok(Held {
        published: number(published, "/messages")? as u64,
        achieved: number(published, "/achieved_messages_per_s")?,
        on_schedule: number(published, "/achieved_seconds")? <= scheduled * LATE_MAX + 0.1,
        received: total("messages")?,
        datagrams: reactor("datagrams")?,
        bytes: reactor("datagram_bytes")?,
        kernel_drops: total("kernel_drops")?,
        missing: total("messages_missing")?,
        duplicates: number(report, "/feeds/0/counters/duplicates")? as u64,
        dropped: total("ring_drops")? + total("sink_drops")?,
        actions: total("actions")?,
        memory_peak_bytes: number(report, "/memory_peak_bytes")? as u64,
        rcvbuf_bytes: sockets.and_then(Value::as_u64).unwrap_or(0),
        backend: backend.unwrap_or("unknown").to_owned(),
        cpu_ns: number(report, "/cpu_ns")? as u64,
        enters: reactor("enters")?,
        ..Held::default()
    })
}
