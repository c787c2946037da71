//! A rate held live over loopback multicast: one process publishes a generated session from memory,
//! another receives it with books, the three strategies and a journal, fused on one core.
//!
//! Both processes are `corelane` as users run it: this crate's binary behaves as `corelane` when
//! [`AS_CORELANE`] is set, so that no second binary has to be found.
//!
//! Invariant: a run holds its rate only if every message published was received, nobody counted a
//! loss, and the publisher kept its schedule.

use std::io::Read;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use corelane::journal;
use corelane::sys::affinity;
use serde_json::Value;

use crate::session::Session;

/// The environment variable that makes this crate's binary behave as `corelane`.
pub const AS_CORELANE: &str = "CORELANE_BENCH_AS_CORELANE";
/// The group that is published to.
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 77, 13, 1);
/// How long a process may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// A publisher that needs this much longer than its schedule did not keep its rate.
const LATE_MAX: f64 = 1.01;

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
    /// CPU of the engine, if it is to be pinned.
    pub engine_cpu: Option<usize>,
    /// CPU of the publisher, if it is to be pinned.
    pub publisher_cpu: Option<usize>,
    /// Where the capture and journals lie: a memory file system.
    pub dir: &'a Path,
}

/// A session on disk, ready to be published.
pub struct Capture {
    folder: tempfile::TempDir,
    messages: u64,
}

impl Capture {
    /// Writes a generated session below `dir`.
    ///
    /// # Errors
    /// If it cannot be generated or written.
    pub fn create(messages: u64, dir: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(dir)?;
        let capture = Self { folder, messages };
        Session::generate(messages)?.write_file(&capture.path())?;
        Ok(capture)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("session.itch")
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Held {
    /// Messages that left the publisher.
    pub published: u64,
    /// Messages per second that left it.
    pub achieved: f64,
    /// Whether it kept its schedule.
    pub on_schedule: bool,
    /// Messages that the engine decoded.
    pub received: u64,
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
}

/// Publishes at a rate and receives, in two processes.
///
/// # Errors
/// If a process cannot be started, fails, or says nothing that can be read.
pub fn hold(plan: &Plan<'_>, capture: &Capture) -> anyhow::Result<Held> {
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
    let passes = (plan.rate * plan.seconds / capture.messages as f64).ceil().max(1.0) as u64;
    let mut publisher = Process::start(plan.binary, plan.publisher_cpu, |command| {
        command.args(["publish", "--preload", "--json", "--end", "--interface", "127.0.0.1"]);
        command.arg("--pcap").arg(capture.path());
        command.args(["--to", &format!("{GROUP}:{port}"), "--rate", &plan.rate.to_string()]);
        command.args(["--loop", &passes.to_string()]);
    })?;
    let published = publisher.finish().context("the publisher")?;
    let report = engine.finish().context("the engine")?;
    journal::remove(&journals)?;
    held(&published, &report)
}

fn configuration(plan: &Plan<'_>, port: u16, journals: &Path) -> String {
    let cores = plan.engine_cpu.map_or(String::new(), |cpu| format!("reactor_cores = [{cpu}]\n"));
    format!(
        "[engine]\ntopology = \"fused\"\nbackend = \"{}\"\n{cores}[journal]\ndir = \"{}\"\n\
         [[feed]]\nname = \"itch\"\nprotocol = \"itch50\"\nlines = [\"{GROUP}:{port}\"]\n\
         interface = \"127.0.0.1\"\nrcvbuf = \"64MiB\"\n[[strategy]]\ntype = \"imbalance\"\n\
         [[strategy]]\ntype = \"layering\"\n[[strategy]]\ntype = \"stuffing\"\n",
        plan.backend,
        journals.display()
    )
}

fn held(published: &Value, report: &Value) -> anyhow::Result<Held> {
    let number = |of: &Value, pointer: &str| {
        let found = of.pointer(pointer).and_then(Value::as_f64);
        found.with_context(|| format!("{pointer} is in no report"))
    };
    let scheduled = number(published, "/scheduled_seconds")?;
    let total = |name: &str| number(report, &format!("/totals/{name}")).map(|value| value as u64);
    let sockets = report.pointer("/reactors/0/sockets/0/rcvbuf_got");
    let backend = report.pointer("/reactors/0/backend").and_then(Value::as_str);
    Ok(Held {
        published: number(published, "/messages")? as u64,
        achieved: number(published, "/achieved_messages_per_s")?,
        on_schedule: number(published, "/achieved_seconds")? <= scheduled * LATE_MAX + 0.1,
        received: total("messages")?,
        kernel_drops: total("kernel_drops")?,
        missing: total("messages_missing")?,
        duplicates: number(report, "/feeds/0/counters/duplicates")? as u64,
        dropped: total("ring_drops")? + total("sink_drops")?,
        actions: total("actions")?,
        memory_peak_bytes: number(report, "/memory_peak_bytes")? as u64,
        rcvbuf_bytes: sockets.and_then(Value::as_u64).unwrap_or(0),
        backend: backend.unwrap_or("unknown").to_owned(),
    })
}

/// A `corelane` process; killed if it is dropped before it ended.
struct Process(Child);

impl Process {
    /// Starts the binary as `corelane`; all its threads on one CPU if one is given.
    fn start(
        binary: &Path,
        cpu: Option<usize>,
        arguments: impl FnOnce(&mut Command) + Send,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(binary);
        command.env(AS_CORELANE, "1").stdout(Stdio::piped());
        arguments(&mut command);
        // A process inherits the CPUs of the thread that starts it.
        let spawn = move || {
            if let Some(cpu) = cpu {
                affinity::pin(cpu)?;
            }
            anyhow::Ok(command.spawn()?)
        };
        let spawned = std::thread::scope(|scope| scope.spawn(spawn).join());
        let child = spawned.map_err(|_| anyhow::anyhow!("starting a process panicked"))??;
        Ok(Self(child))
    }

    fn await_file(&mut self, path: &Path) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !path.exists() {
            ensure!(self.0.try_wait()?.is_none(), "it ended before it was ready");
            ensure!(Instant::now() < deadline, "it was not ready in time");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Waits for its end and reads the JSON that it printed.
    fn finish(&mut self) -> anyhow::Result<Value> {
        let mut text = String::new();
        self.0.stdout.take().context("its output was taken")?.read_to_string(&mut text)?;
        let status = self.0.wait()?;
        ensure!(status.success(), "{status}");
        serde_json::from_str(&text).with_context(|| format!("no JSON: {text:?}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}
