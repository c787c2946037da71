//! Where the time of a message goes: the path from datagram to journal, with one stage more each
//! time, over one generated session, on one thread.
//!
//! ```text
//! frame   walk the messages of each datagram
//! decode  + ITCH to records                        (feed)
//! book    + order books, book.bbo and book.order   (shard without journal, books alone)
//! decide  + three strategies                       (shard without journal)
//! journal decode + journal, nothing decided
//! all     decode + books + strategies + journal
//! replay  `corelane replay` of the same session: all, and reading, clocks, histograms, threads
//! ```
//!
//! Invariant: every stage does the real work with the real parts; what it made is folded into a
//! sum, so that nothing is optimised away.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use corelane::clock::Clock;
use corelane::journal::{self, JournalConfig, JournalWriter};
use corelane::latency::LatencyCollector;
use corelane::ring::Full;
use corelane::run::{Input, RunOptions, Speed, execute};
use corelane::shard::{ActionOut, Shard, ShardConfig};
use corelane::sys::prefetch::MEMORY;
use corelane_feeds::feed::{BINARY_FILE_SESSION, Feed, FeedConfig, Protocol, Transport};
use corelane_feeds::moldudp64::Packet;
use corelane_feeds::record::{Record, RecordSink};
use corelane_feeds::units::{Nanos, Seq};
use corelane_strategies::book::{L3Books, L3Options};
use corelane_strategies::chain::Chain;
use corelane_strategies::registry::{Params, Registry};
use corelane_strategies::strategy::Strategy;

use crate::session::Session;
use crate::stat::{is_untimed, thread_cpu_ns};

/// Datagrams between two turns for what can wait, as a replay has them.
const IDLE_ROUNDS: usize = 4_096;

/// How far a message goes.
#[derive(Copy, Clone, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Stage {
    /// Framing alone.
    Frame,
    /// Framing and decoding.
    Decode,
    /// Decoding and order books.
    Book,
    /// Decoding, order books and strategies.
    Decide,
    /// Decoding and the journal.
    Journal,
    /// Everything.
    All,
}

impl Stage {
    /// Every stage, in the order of the table.
    pub const ALL: [Self; 6] =
        [Self::Frame, Self::Decode, Self::Book, Self::Decide, Self::Journal, Self::All];

    /// As the command line spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::Decode => "decode",
            Self::Book => "book",
            Self::Decide => "decide",
            Self::Journal => "journal",
            Self::All => "all",
        }
    }
}

/// How messages are brought.
#[derive(Copy, Clone, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Framing {
    /// MoldUDP64 datagrams of 1,400 bytes.
    Mold,
    /// The venue's file format, message by message.
    File,
}

/// What a pass came to.
#[derive(Copy, Clone, Debug, Default)]
pub struct Pass {
    /// CPU time per message.
    pub ns: f64,
    /// What was folded together on the way: the same for every pass of the same stage.
    pub sum: u64,
    /// Actions that were decided on.
    pub actions: u64,
}

/// A sink that looks at every record and keeps nothing.
#[derive(Default)]
pub struct Fold(pub u64);

impl RecordSink for Fold {
    #[inline]
    fn record(&mut self, record: &Record) {
        let record = black_box(record);
        self.0 = self.0.wrapping_mul(31).wrapping_add(record.header.ts_event.0);
        self.0 ^= u64::from(record.header.instrument);
    }
}

/// Counts actions and forgets them.
#[derive(Default)]
pub struct Swallow(u64);

impl ActionOut for Swallow {
    #[inline]
    fn push(&mut self, record: &Record) -> Result<(), Full> {
        self.0 = self.0.wrapping_add(u64::from(record.header.stream.0));
        Ok(())
    }
}

/// Order books that publish all that the built-in strategies want.
pub(crate) fn books() -> Vec<Box<dyn Strategy>> {
    vec![Box::new(L3Books::new(L3Options::default()))]
}

/// The three built-in strategies with their defaults.
pub(crate) fn strategies() -> Vec<Box<dyn Strategy>> {
    let registry = Registry::builtin();
    let build = |name| registry.build(name, &Params::default()).expect("defaults are valid");
    registry.names().map(build).collect()
}

/// Takes every message of the session through a stage once. Journals lie below `dir`.
///
/// # Errors
/// If a journal cannot be written.
pub fn pass(session: &Session, framing: Framing, stage: Stage, dir: &Path) -> anyhow::Result<Pass> {
    match stage {
        Stage::Frame => return Ok(frame(session, framing)),
        Stage::Decode => {
            let mut fold = Fold::default();
            let ns = feed(session, framing, &mut fold, |_, _| {});
            return Ok(Pass { ns, sum: fold.0, actions: 0 });
        }
        _ => {}
    }
    let dir = dir.join(format!("corelane-bench-stages-{}", std::process::id()));
    let mut shard = shard(stage, &dir)?;
    let journals = shard.journal_counters().is_some();
    // Clocks and what is handed over each second would make counts of instructions depend on time.
    if !is_untimed() {
        let mut latency = LatencyCollector::new(Duration::from_secs(1), Clock::new().now());
        shard.measure(Clock::new(), latency.recorder(), false);
    }
    let ns = feed(session, framing, &mut shard, end_packet);
    let end = shard.finish();
    if journals {
        journal::remove(&dir)?;
        let _ = std::fs::remove_dir(&dir);
    }
    if let Some(failure) = end.failure {
        return Err(failure.into());
    }
    let sum = end.out.0.wrapping_add(end.counters.records);
    Ok(Pass { ns, sum, actions: end.counters.actions })
}

/// The shard of a stage from [`Stage::Book`] on; its journal, if it has one, lies in `dir`.
///
/// # Errors
/// If a journal cannot be written.
pub fn shard(stage: Stage, dir: &Path) -> anyhow::Result<Shard<Swallow>> {
    let mut chain = match stage {
        Stage::Frame | Stage::Decode | Stage::Journal => Chain::new(Vec::new(), Vec::new()),
        Stage::Book => Chain::new(books(), Vec::new()),
        Stage::Decide | Stage::All => Chain::new(books(), strategies()),
    };
    chain.reserve(0, MEMORY);
    let writer = match stage {
        Stage::Journal | Stage::All => Some(JournalWriter::create(&JournalConfig::new(dir))?),
        _ => None,
    };
    Ok(Shard::new(chain, writer, Swallow(0), ShardConfig::default()))
}

/// What a shard does at the end of a packet with this number.
pub fn end_packet(shard: &mut Shard<Swallow>, packet: usize) {
    shard.end_batch();
    if packet.is_multiple_of(IDLE_ROUNDS) {
        shard.idle();
    }
}

fn frame(session: &Session, framing: Framing) -> Pass {
    let (begin, mut sum) = (thread_cpu_ns(), 0u64);
    let mut fold = |message: &[u8]| {
        sum = sum.wrapping_mul(31).wrapping_add(u64::from(message[0]) + message.len() as u64);
    };
    match framing {
        Framing::File => session.messages().for_each(&mut fold),
        Framing::Mold => {
            let packets = session.datagrams().filter_map(|datagram| Packet::parse(datagram).ok());
            packets.for_each(|packet| packet.messages().flatten().for_each(&mut fold));
        }
    }
    let ns = (thread_cpu_ns() - begin) / session.count as f64;
    Pass { ns, sum: black_box(sum), actions: 0 }
}

/// Decodes the session into `sink`, which is told the number of every packet (or lone message) at
/// its end; CPU nanoseconds per message.
pub fn feed<S: RecordSink>(
    session: &Session,
    framing: Framing,
    sink: &mut S,
    end_packet: impl Fn(&mut S, usize),
) -> f64 {
    let transport = match framing {
        Framing::Mold => Transport::MoldUdp64,
        Framing::File => Transport::BinaryFile,
    };
    let mut feed = Feed::new(&FeedConfig::new(0, Protocol::Itch50, transport));
    let begin = thread_cpu_ns();
    match framing {
        Framing::Mold => {
            for (i, datagram) in session.datagrams().enumerate() {
                feed.datagram(0, Nanos(i as u64 + 1), datagram, sink);
                end_packet(sink, i);
            }
        }
        Framing::File => {
            for (i, message) in session.messages().enumerate() {
                let seq = i as u64 + 1;
                feed.message(BINARY_FILE_SESSION, Seq(seq), Nanos(seq), message, sink);
                end_packet(sink, i);
            }
        }
    }
    let ns = (thread_cpu_ns() - begin) / session.count as f64;
    assert_eq!(feed.counters().messages, session.count, "every message is decoded");
    ns
}

/// Replays a capture file as `corelane replay --speed max` does, in this process, with books, the
/// three strategies and a journal below `dir`; wall nanoseconds per message.
///
/// # Errors
/// If the run fails.
pub fn replay(capture: &Path, messages: u64, dir: &Path) -> anyhow::Result<f64> {
    let journal = dir.join(format!("corelane-bench-replay-{}", std::process::id()));
    let text = format!(
        "[journal]\ndir = \"{}\"\n[[feed]]\nname = \"itch\"\nprotocol = \"itch50\"\n\
         [[strategy]]\ntype = \"imbalance\"\n[[strategy]]\ntype = \"layering\"\n\
         [[strategy]]\ntype = \"stuffing\"\n",
        journal.display()
    );
    let registry = Registry::builtin();
    let config = corelane::config::Config::parse("bench", &text, &registry)?;
    let input = Input::Capture { path: capture.to_owned(), speed: Speed::Max };
    let outcome = execute(&config, &registry, &input, &RunOptions::default())?;
    journal::remove(&journal)?;
    let _ = std::fs::remove_dir(&journal);
    let read = outcome.report.totals().messages;
    anyhow::ensure!(read == messages, "{read} of {messages} messages were replayed");
    Ok(outcome.report.wall_ns as f64 / messages as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small version, so that the benchmark never rots.
    #[test]
    fn every_stage_does_its_work() {
        let session = Session::generate(50_000).unwrap();
        let dir = tempfile::tempdir().unwrap();
        for stage in Stage::ALL {
            let [mold, file] = [Framing::Mold, Framing::File]
                .map(|framing| pass(&session, framing, stage, dir.path()).unwrap());
            assert!(mold.ns > 0.0 && mold.sum != 0, "{stage:?}");
            let again = pass(&session, Framing::Mold, stage, dir.path()).unwrap();
            assert_eq!(mold.sum, again.sum, "{stage:?}");
            assert_eq!(mold.actions, file.actions, "{stage:?}");
        }
        let (file, pcap) = (dir.path().join("a.itch"), dir.path().join("a.pcap"));
        session.write_file(&file).unwrap();
        session.write_pcap(&pcap).unwrap();
        assert!(replay(&file, session.count, dir.path()).unwrap() > 0.0);
        assert!(replay(&pcap, session.count, dir.path()).unwrap() > 0.0);
    }
}
