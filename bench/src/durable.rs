//! What a journal costs that survives a power cut: decisions in each mode against none, group
//! commit against a sync for every record, and a check of every byte against reading them.
//!
//! Invariant: what is compared is measured in turns, over the same records; what a disk does is
//! measured in wall time, as nothing else of it can be.

use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use corelane::journal::{self, Durability, DurableConfig, JournalConfig, JournalWriter, shard_dir};
use corelane::shard::{Shard, ShardConfig};
use corelane::sys::prefetch::MEMORY;
use corelane_feeds::feed::{Feed, FeedConfig, Protocol, Transport};
use corelane_feeds::record::{Stamp, View};
use corelane_feeds::streams::sys::Tick;
use corelane_feeds::units::{Nanos, Seq};
use corelane_strategies::chain::Chain;

use crate::session::Session;
use crate::stages::{Swallow, books, strategies};
use crate::throughput::AS_CORELANE;

/// What the journal of a pass survives.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Mode {
    /// There is none.
    Off,
    /// There is one.
    On(Durability),
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Off,
        Self::On(Durability::Process),
        Self::On(Durability::Interval),
        Self::On(Durability::Sync),
    ];

    /// As the configuration spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On(Durability::Process) => "process",
            Self::On(Durability::Interval) => "interval",
            Self::On(Durability::Sync) => "sync",
        }
    }
}

/// Folders of one benchmark, in memory and on disk, gone with it.
struct Folders {
    hot: PathBuf,
    durable: PathBuf,
}

impl Folders {
    fn new(what: &str, hot: &Path, durable: &Path) -> Self {
        let name = format!("corelane-bench-{what}-{}", std::process::id());
        Self { hot: hot.join(&name), durable: durable.join(format!("{name}-durable")) }
    }

    fn config(&self, durability: Durability) -> JournalConfig {
        let durable = DurableConfig {
            durability,
            dir: self.durable.clone(),
            interval: Duration::from_millis(10),
            group_bytes: 1 << 20,
            hot_segments: 4,
        };
        let durable = (durability != Durability::Process).then_some(durable);
        JournalConfig { durable, ..JournalConfig::new(&self.hot) }
    }

    fn clear(&self) {
        for dir in [&self.hot, &self.durable] {
            // One of them may never have been made.
            let _ = fs::remove_dir_all(dir);
        }
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Times of the packets of a pass.
#[derive(Copy, Clone, Debug)]
pub struct PacketTimes {
    /// Median, nanoseconds.
    pub p50: f64,
    /// 99 in 100 took at most this.
    pub p99: f64,
}

/// Decides over the session, a datagram every `pace_ns`, with books and strategies; how long each
/// took from its first byte to its last action.
///
/// # Errors
/// If a journal cannot be written.
pub fn decide(
    session: &Session,
    mode: Mode,
    pace_ns: u64,
    (hot, durable): (&Path, &Path),
) -> anyhow::Result<PacketTimes> {
    let folders = Folders::new("decide", hot, durable);
    let writer = match mode {
        Mode::Off => None,
        Mode::On(durability) => Some(JournalWriter::create(&folders.config(durability))?),
    };
    let mut chain = Chain::new(books(), strategies());
    chain.reserve(0, MEMORY);
    let mut shard = Shard::new(chain, writer, Swallow::default(), ShardConfig::default());
    let mut feed = Feed::new(&FeedConfig::new(0, Protocol::Itch50, Transport::MoldUdp64));
    let clock = quanta::Clock::new();
    let begun = clock.raw();
    let mut times = Vec::with_capacity(session.count as usize);
    for (i, datagram) in session.datagrams().enumerate() {
        let due = i as u64 * pace_ns;
        while clock.delta_as_nanos(begun, clock.raw()) < due {
            std::hint::spin_loop();
        }
        let from = clock.raw();
        feed.datagram(0, Nanos(i as u64 + 1), datagram, &mut shard);
        shard.end_batch();
        times.push(clock.delta_as_nanos(from, clock.raw()));
        if i % 16 == 0 {
            shard.idle();
        }
    }
    let end = shard.finish();
    black_box(&end.out);
    if let Some(failure) = end.failure {
        return Err(failure.into());
    }
    times.sort_unstable();
    let at = |q: f64| times[((times.len() - 1) as f64 * q) as usize] as f64;
    Ok(PacketTimes { p50: at(0.5), p99: at(0.99) })
}

/// Durable records a second.
#[derive(Copy, Clone, Debug)]
pub struct CommitRates {
    /// Written and synced one by one, by pwrite and fdatasync.
    pub one_by_one: f64,
    /// Appended to a journal that commits in groups.
    pub grouped: f64,
    /// Records of a group, on average.
    pub group: f64,
}

/// Makes records durable both ways, on the same disk.
///
/// # Errors
/// If the disk cannot be written to.
pub fn group_commit(
    one_by_one: u64,
    grouped: u64,
    (hot, durable): (&Path, &Path),
) -> anyhow::Result<CommitRates> {
    let folders = Folders::new("commit", hot, durable);
    fs::create_dir_all(&folders.durable)?;
    let path = folders.durable.join("one-by-one");
    let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    file.write_all_at(&vec![0; (one_by_one * 72) as usize], 0)?;
    file.sync_all()?;
    let begun = Instant::now();
    for i in 0..one_by_one {
        file.write_all_at(&[i as u8; 72], i * 72)?;
        file.sync_data()?;
    }
    let one_by_one = one_by_one as f64 / begun.elapsed().as_secs_f64();
    fs::remove_file(&path)?;

    let mut writer = JournalWriter::create(&folders.config(Durability::Sync))?;
    let begun = Instant::now();
    for i in 1..=grouped {
        let tick = Tick::new(Stamp { seq: Seq(i), ..Stamp::default() }, 0);
        writer.append(tick.as_record())?;
        if i % 16 == 0 {
            writer.publish();
        }
    }
    let counters = writer.close()?;
    let elapsed = begun.elapsed().as_secs_f64();
    ensure!(counters.last_durable_seq == Some(grouped), "all is durable");
    let group = counters.durable.entries as f64 / counters.durable.groups as f64;
    Ok(CommitRates { one_by_one, grouped: grouped as f64 / elapsed, group })
}

/// A journal of one-slot records to be read, gone with it.
pub struct Written {
    folders: Folders,
    /// Bytes of its segments.
    pub bytes: u64,
}

impl Written {
    /// Writes `records` records into segments of 64 MiB.
    ///
    /// # Errors
    /// If there is no room.
    pub fn new(records: usize, hot: &Path) -> anyhow::Result<Self> {
        let folders = Folders::new("verify", hot, hot);
        let mut writer = JournalWriter::create(&JournalConfig::new(&folders.hot))?;
        journal_records(&mut writer, records)?;
        writer.close()?;
        let mut written = Self { folders, bytes: 0 };
        for path in written.segments()? {
            written.bytes += File::open(path)?.metadata()?.len();
        }
        Ok(written)
    }

    fn segments(&self) -> anyhow::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(shard_dir(&self.folders.hot, 0))?;
        Ok(entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?)
    }

    /// Seconds that `cat SEGMENTS > /dev/null` takes.
    ///
    /// # Errors
    /// If there is no such program.
    pub fn cat(&self) -> anyhow::Result<f64> {
        let mut cat = Command::new("cat");
        cat.args(self.segments()?);
        timed(cat)
    }

    /// Seconds that `corelane journal verify` takes.
    ///
    /// # Errors
    /// If the journal is not whole.
    pub fn verify(&self) -> anyhow::Result<f64> {
        let mut verify = Command::new(std::env::current_exe()?);
        verify.env(AS_CORELANE, "1").args(["journal", "verify"]).arg(&self.folders.hot);
        timed(verify)
    }
}

fn journal_records(
    writer: &mut JournalWriter,
    records: usize,
) -> Result<(), journal::JournalError> {
    let batch = crate::journal::records();
    for i in 0..records {
        writer.append(batch[i % batch.len()].as_record())?;
    }
    Ok(())
}

fn timed(mut command: Command) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let status = command.stdout(Stdio::null()).status().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(begun.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small version, so that the benchmark never rots.
    #[test]
    fn every_mode_does_its_work() {
        let session = Session::generate(20_000).unwrap();
        let dir = tempfile::tempdir().unwrap();
        for mode in Mode::ALL {
            let times = decide(&session, mode, 0, (dir.path(), dir.path())).unwrap();
            assert!(times.p50 > 0.0 && times.p99 >= times.p50, "{}", mode.name());
        }
        let rates = group_commit(20, 5_000, (dir.path(), dir.path())).unwrap();
        assert!(rates.one_by_one > 0.0 && rates.grouped > 0.0 && rates.group >= 1.0);
        let written = Written::new(10_000, dir.path()).unwrap();
        assert!(written.cat().unwrap() > 0.0 && written.bytes > 720_000);
    }
}
