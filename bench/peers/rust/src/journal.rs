//! Appending 64-byte records to a log: to memory-mapped or cached files, and to files that are made
//! durable every thousand records.
//!
//! Invariant: everyone appends the same records in the same order to files of its own that begin
//! empty; what is not durable says so, and is only compared with its like.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use corelane::journal::{self, Durability, DurableConfig, JournalConfig, JournalWriter};
use corelane_feeds::record::{Stamp, View};
use corelane_feeds::streams::itch::AddOrder;
use okaywal::{Configuration, LogVoid};

use crate::table::{measure, peer};

/// Records of a round that is not durable.
const RECORDS: usize = 1_000_000;
/// Records of a durable round, and those between two times that it is made so.
const DURABLE_RECORDS: usize = 500_000;
const BATCH: usize = 1_000;
const BYTES: usize = 64;
const ROUNDS: usize = 9;

/// The bytes of the record with this number.
fn bytes(number: usize) -> [u8; BYTES] {
    let mut bytes = [7; BYTES];
    bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
    bytes
}

/// Nanoseconds per record.
fn per_record(records: usize, begin: Instant) -> f64 {
    begin.elapsed().as_nanos() as f64 / records as f64
}

fn by_corelane(folder: &Path) -> anyhow::Result<f64> {
    let dir = folder.join("corelane");
    let mut writer = JournalWriter::create(&JournalConfig::new(&dir))?;
    let begin = Instant::now();
    for number in 0..RECORDS {
        let mut record = AddOrder::new(Stamp::default(), b'B');
        record.order_ref = number as u64;
        writer.append(record.as_record())?;
    }
    let ns = per_record(RECORDS, begin);
    writer.close()?;
    journal::remove(&dir)?;
    Ok(ns)
}

/// One `write` a record, or through a buffer of 64 KiB.
fn by_write(folder: &Path, is_buffered: bool) -> anyhow::Result<f64> {
    let path = folder.join("plain");
    let mut out =
        BufWriter::with_capacity(if is_buffered { 1 << 16 } else { 0 }, File::create(&path)?);
    let begin = Instant::now();
    for number in 0..RECORDS {
        out.write_all(&bytes(number))?;
    }
    out.flush()?;
    let ns = per_record(RECORDS, begin);
    std::fs::remove_file(path)?;
    Ok(ns)
}

/// As `durability = "sync"` has it: every thousand records are waited for, as an action would be.
fn by_corelane_durably(hot: &Path, disk: &Path) -> anyhow::Result<f64> {
    let (dir, durable_dir) = (hot.join("corelane"), disk.join("corelane"));
    let durable = DurableConfig {
        durability: Durability::Sync,
        dir: durable_dir.clone(),
        interval: Duration::from_millis(10),
        group_bytes: 1 << 20,
        hot_segments: 4,
    };
    let config = JournalConfig { durable: Some(durable), ..JournalConfig::new(&dir) };
    let mut writer = JournalWriter::create(&config)?;
    let progress = writer.gate().context("a durable journal says how far it is")?;
    let begin = Instant::now();
    for number in 1..=DURABLE_RECORDS {
        let mut record = AddOrder::new(Stamp::default(), b'B');
        record.order_ref = number as u64;
        let seq = writer.append(record.as_record())?;
        if number % BATCH == 0 {
            writer.publish();
            while progress.last_durable_seq() < seq {
                ensure!(!progress.has_failed(), "the copy failed");
                std::thread::yield_now();
            }
        }
    }
    let ns = per_record(DURABLE_RECORDS, begin);
    writer.close()?;
    journal::remove(&dir)?;
    std::fs::remove_dir_all(durable_dir)?;
    Ok(ns)
}

fn by_fdatasync(folder: &Path) -> anyhow::Result<f64> {
    let path = folder.join("plain");
    let mut out = File::create(&path)?;
    let begin = Instant::now();
    for batch in 0..DURABLE_RECORDS / BATCH {
        let mut all = Vec::with_capacity(BATCH * BYTES);
        (0..BATCH).for_each(|i| all.extend_from_slice(&bytes(batch * BATCH + i)));
        out.write_all(&all)?;
        out.sync_data()?;
    }
    let ns = per_record(DURABLE_RECORDS, begin);
    std::fs::remove_file(path)?;
    Ok(ns)
}

/// A thousand records are an entry of as many chunks, or of one.
fn by_okaywal(folder: &Path, chunks: usize) -> anyhow::Result<f64> {
    let dir = folder.join("okaywal");
    let segment = 16 << 20;
    let config = Configuration::default_for(&dir).preallocate_bytes(segment);
    let log = config.checkpoint_after_bytes(u64::from(segment) * 3 / 4).open(LogVoid)?;
    let begin = Instant::now();
    for batch in 0..DURABLE_RECORDS / BATCH {
        let mut entry = log.begin_entry()?;
        for chunk in 0..chunks {
            let each = BATCH / chunks;
            let first = batch * BATCH + chunk * each;
            let all: Vec<u8> = (first..first + each).flat_map(bytes).collect();
            entry.write_chunk(&all)?;
        }
        entry.commit()?;
    }
    let ns = per_record(DURABLE_RECORDS, begin);
    log.shutdown()?;
    std::fs::remove_dir_all(dir)?;
    Ok(ns)
}

/// Chronicle Queue in a Java process of its own, which does a pass for every line it is sent.
struct Chronicle {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Chronicle {
    /// Needs what `scripts/peers journal` builds below target/peers.
    fn start(folder: &Path) -> anyhow::Result<Self> {
        let lib = Path::new("target/peers/journal/lib");
        ensure!(lib.exists(), "it was not built: scripts/peers journal says why");
        // What Chronicle asks of a JVM from 17 on.
        let opens = [
            "java.base/java.lang=ALL-UNNAMED",
            "java.base/java.lang.reflect=ALL-UNNAMED",
            "java.base/java.io=ALL-UNNAMED",
            "java.base/java.nio=ALL-UNNAMED",
            "java.base/java.util=ALL-UNNAMED",
            "java.base/sun.nio.ch=ALL-UNNAMED",
            "jdk.unsupported/sun.misc=ALL-UNNAMED",
        ];
        let exports = ["jdk.internal.ref", "jdk.internal.misc", "jdk.internal.util", "sun.nio.ch"];
        let mut java = Command::new("java");
        java.args(["-Xms1g", "-Xmx1g", "-XX:+UseSerialGC", "-Dchronicle.analytics.disable=true"]);
        java.args(opens.iter().flat_map(|open| ["--add-opens", open]));
        let export = |package: &&str| format!("--add-exports=java.base/{package}=ALL-UNNAMED");
        java.args(exports.iter().map(export));
        java.args(["--add-exports=jdk.compiler/com.sun.tools.javac.file=ALL-UNNAMED", "-cp"]);
        java.arg("target/peers/journal/lib/*:target/peers/journal/classes");
        java.arg("corelane.journal.ChroniclePeer").arg(folder.join("chronicle"));
        java.arg(RECORDS.to_string());
        java.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = java.spawn().context("java")?;
        let orders = child.stdin.take().context("no standard input")?;
        let answers = BufReader::new(child.stdout.take().context("no standard output")?);
        Ok(Self { child, orders, answers })
    }

    fn pass(&mut self) -> anyhow::Result<f64> {
        writeln!(self.orders, "go").context("it has ended")?;
        self.orders.flush().context("it has ended")?;
        let mut line = String::new();
        // What else it prints, such as a notice about its licence, is no number.
        loop {
            line.clear();
            ensure!(self.answers.read_line(&mut line)? > 0, "it has ended");
            if let Some(ns) = line.trim().strip_prefix("ns/record ") {
                return Ok(ns.parse()?);
            }
        }
    }
}

impl Drop for Chronicle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn run() -> anyhow::Result<()> {
    let memory = tempfile::tempdir_in("/dev/shm").context("the memory file system")?;
    let memory = memory.path();
    let mut chronicle = Chronicle::start(memory);
    let peers =
        vec![
            peer("", "Corelane's journal, checksums and all", || by_corelane(memory)),
            peer("", "write(2) of every record", || by_write(memory, false)),
            peer("", "write(2) of 64 KiB at a time", || by_write(memory, true)),
            peer("", "Chronicle Queue 2026.4 (Java 17), an excerpt a record", || {
                match &mut chronicle {
                    Ok(chronicle) => chronicle.pass(),
                    Err(error) => Err(anyhow::anyhow!("{error:#}")),
                }
            }),
        ];
    let title = "appends to files in the memory file system, not durable, wall time";
    measure(title, "record", ROUNDS, peers)?;
    // Beside the build's own files: a disk, where the memory file system would be no test.
    let disk = tempfile::tempdir_in("target")?;
    let disk = disk.path();
    let peers = vec![
        peer("", "write and fdatasync", || by_fdatasync(disk)),
        peer("", "Corelane's journal, sync", || by_corelane_durably(memory, disk)),
        peer("okaywal", "an entry of a thousand chunks", || by_okaywal(disk, BATCH)),
        peer("okaywal", "an entry of one chunk", || by_okaywal(disk, 1)),
    ];
    let title = format!("appends made durable every {BATCH} records, on disk, wall time");
    measure(&title, "record", ROUNDS, peers)
}
