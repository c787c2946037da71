//! What it takes to begin again: records decided over a second at a start, beside the rate at which
//! they came; a start from a snapshot of many keys; and what writing snapshots costs a hot thread.
//!
//! ```text
//! publish ──> corelane run ──> journal ──> corelane run: decided over again, from the beginning
//! lines   ──> corelane run ──> journal, snapshots ──> corelane run: from the last snapshot
//! ```
//!
//! Invariant: what is measured are `corelane` processes and their own reports; nothing is lost on
//! the way to a journal, or there is no figure.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use corelane::sys::affinity;
use serde_json::Value;

use crate::listen::accept;
use crate::throughput::process::{Process, number};

/// How long an engine runs that is only to start.
const DURATION: &str = "100ms";
/// Events between two looks at the clock by which they are paced.
const BURST: u64 = 20;

/// What a start came to.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Started {
    /// Records decided over again.
    pub records: f64,
    /// How long recovery took, seconds, by its own report.
    pub recovered: f64,
    /// From the start of the process to its being ready, seconds.
    pub ready: f64,
    /// The entry of the snapshot that it began from; 0 if there was none.
    pub snapshot: f64,
}

/// Starts an engine on the journal that its configuration names, and lets it end.
///
/// # Errors
/// If it cannot be started, or found nothing to go on from.
pub fn start(binary: &Path, config: &Path) -> anyhow::Result<Started> {
    let ready = config.with_extension("ready");
    // It is not there the first time.
    let _ = std::fs::remove_file(&ready);
    let begun = Instant::now();
    let mut engine = Process::start(binary, None, |command| {
        command.arg("run").arg(config).args(["--json", "--duration", DURATION]);
        command.arg("--ready-file").arg(&ready);
    })?;
    engine.await_file(&ready)?;
    let took = begun.elapsed().as_secs_f64();
    let report = engine.finish()?;
    Ok(Started {
        records: number(&report, "/recovered/records")?,
        recovered: number(&report, "/recovered/ns")? / 1e9,
        ready: took,
        snapshot: number(&report, "/recovered/snapshots/0").unwrap_or(0.0),
    })
}

/// Accounts, each with a window and a group of its own, whose events come over TCP.
pub struct Accounts {
    folder: tempfile::TempDir,
    accounts: u64,
    events: u64,
    rate: f64,
    /// The CPU of the hot thread, and that of the sender and of everything else.
    cpus: (usize, usize),
}

/// What a run over accounts came to.
#[derive(Clone, Debug)]
pub struct Ran {
    /// From the packet's first byte to its last action on the hot thread: p50, p99.99 and the
    /// longest, nanoseconds.
    pub packet_ns: [f64; 3],
    /// Snapshots written.
    pub snapshots: f64,
    /// Bytes of the last one.
    pub snapshot_bytes: f64,
    /// The longest that saving and writing one took its own thread, seconds.
    pub snapshot_seconds: f64,
}

impl Accounts {
    /// Room below `dir`, a memory file system; every account has an event before one has its
    /// second.
    ///
    /// # Errors
    /// If there is no such folder.
    pub fn new(
        accounts: u64,
        events: u64,
        rate: f64,
        cpus: (usize, usize),
        dir: &Path,
    ) -> anyhow::Result<Self> {
        Ok(Self { folder: tempfile::tempdir_in(dir)?, accounts, events, rate, cpus })
    }

    fn configuration(&self, name: &str, every: u64, server: &str) -> anyhow::Result<PathBuf> {
        let dir = self.folder.path();
        let rules = dir.join("rules.sql");
        std::fs::write(
            &rules,
            format!(
                "CREATE STREAM payments (account BIGINT NOT NULL, amount BIGINT NOT NULL,\n  \
                 ts TIMESTAMP(9) NOT NULL) WITH (key = 'account', time = 'ts');\n\
                 CREATE ACTION fast (account BIGINT, total BIGINT);\n\
                 CREATE RULE fast WITH (keys_max = {0}, rows_max = {0}) ON payments\n  \
                 PARTITION BY account\n  \
                 WHEN count(*) OVER (RANGE INTERVAL '1' HOUR PRECEDING) > 3\n  \
                 THEN fast(account, sum(amount) OVER (RANGE INTERVAL '1' HOUR PRECEDING));\n",
                self.accounts * 2
            ),
        )?;
        let path = dir.join(format!("{name}.toml"));
        let text = format!(
            "[engine]\nreactor_cores = [{}]\n\
             [journal]\ndir = \"{}\"\nsnapshot_every = {every}\n\
             [[feed]]\nname = \"payments\"\nprotocol = \"csv\"\nstream = \"payments\"\n\
             connect = \"{server}\"\nheader = true\n[[rules]]\nfile = \"{}\"\n",
            self.cpus.0,
            dir.join(name).display(),
            rules.display()
        );
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// Sends every event to an engine that writes a snapshot every so many records, 0 for none; its
    /// configuration stays, and its journal.
    ///
    /// # Errors
    /// If the engine fails or did not take every event.
    pub fn run(&self, binary: &Path, name: &str, every: u64) -> anyhow::Result<(PathBuf, Ran)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let config = self.configuration(name, every, &listener.local_addr()?.to_string())?;
        let mut engine = Process::start(binary, None, |command| {
            command.arg("run").arg(&config).args(["--json", "--idle-exit", "2s"]);
        })?;
        let stream = accept(&listener, || {
            ensure!(!engine.has_ended()?, "it ended before");
            std::thread::sleep(Duration::from_millis(5));
            Ok(())
        });
        let stream = stream.context("the engine did not connect")?;
        let send =
            || affinity::pin(self.cpus.1).map_err(Into::into).and_then(|()| self.send(stream));
        let sent = std::thread::scope(|scope| scope.spawn(send).join());
        sent.map_err(|_| anyhow::anyhow!("the sender panicked"))??;
        drop(listener);
        let report = engine.finish()?;
        let taken = number(&report, "/totals/messages")?;
        ensure!(taken == self.events as f64, "{taken} of {} events arrived", self.events);
        Ok((config, ran(&report)?))
    }

    /// Events by a schedule; the connection is closed behind the last.
    fn send(&self, stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        let mut out = BufWriter::new(stream);
        out.write_all(b"account,amount,ts\n")?;
        let begun = Instant::now();
        let mut line = String::new();
        for number in 0..self.events {
            if number % BURST == 0 {
                out.flush()?;
                let due = Duration::from_secs_f64(number as f64 / self.rate);
                while begun.elapsed() < due {
                    std::thread::yield_now();
                }
            }
            line.clear();
            // A step that shares no factor with the accounts goes through all of them.
            let account = number.wrapping_mul(7_368_787) % self.accounts;
            let ts = 1_700_000_000_000_000_000 + number * 1_000_000;
            writeln!(line, "{account},{},{ts}", number % 1_000)?;
            out.write_all(line.as_bytes())?;
        }
        let stream = out.into_inner().context("the last events")?;
        stream.shutdown(std::net::Shutdown::Write)?;
        // Read until it closes, too: nothing is on the way then.
        let mut rest = String::new();
        let _ = BufReader::new(stream).read_line(&mut rest);
        Ok(())
    }
}

fn ran(report: &Value) -> anyhow::Result<Ran> {
    let rows = report.pointer("/latency/rows").and_then(Value::as_array);
    let rows = rows.context("no latencies in the report")?;
    let packet = rows.iter().find(|row| row["stage"] == "packet").context("no stage `packet`")?;
    let at = |name: &str| number(packet, name);
    let counter =
        |name: &str| number(report, &format!("/snapshots/0/counters/{name}")).unwrap_or(0.0);
    Ok(Ran {
        packet_ns: [at("/p50_ns")?, at("/p9999_ns")?, at("/max_ns")?],
        snapshots: counter("snapshots"),
        snapshot_bytes: counter("snapshot_bytes"),
        snapshot_seconds: counter("snapshot_ns_max") / 1e9,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an engine would say of packets.
    #[test]
    fn reports_are_read() {
        let report = serde_json::json!({
            "latency": { "rows": [
                { "stage": "decode", "p50_ns": 1, "p9999_ns": 2, "max_ns": 3 },
                { "stage": "packet", "p50_ns": 40, "p9999_ns": 50, "max_ns": 60 },
            ] },
            "snapshots": [{ "counters": { "snapshots": 3, "snapshot_ns_max": 2_000_000_000_u64 } }],
        });
        let ran = ran(&report).unwrap();
        assert_eq!(ran.packet_ns, [40.0, 50.0, 60.0]);
        assert_eq!((ran.snapshots, ran.snapshot_bytes, ran.snapshot_seconds), (3.0, 0.0, 2.0));
        assert!(super::ran(&serde_json::json!({})).is_err());
    }
}
