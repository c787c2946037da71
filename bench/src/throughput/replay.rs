//! A capture replayed as fast as it goes, by `corelane replay` in a process of its own.
//!
//! Invariant: every message of the capture was decoded, or it is an error.

use std::path::Path;

use anyhow::{Context, ensure};
use corelane::journal;

use super::live::Capture;
use super::process::{Process, number};

/// On how many threads.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Topology {
    /// Reading and deciding on one.
    Fused,
    /// One reads, so many decide.
    Pipelined(usize),
}

/// What a replay came to.
#[derive(Copy, Clone, Debug)]
pub struct Replayed {
    /// Messages in the capture.
    pub messages: u64,
    /// How long it took, from ready to end.
    pub wall_ns: f64,
    /// CPU time of the process.
    pub cpu_ns: f64,
    /// The most memory that it had resident, journal included while it is mapped.
    pub memory_peak_bytes: f64,
    /// Actions decided on.
    pub actions: u64,
}

/// Replays `path`, a form of the capture, with books, the three strategies and a journal below
/// `dir`; on one CPU, if one is given.
///
/// # Errors
/// If the process fails or not every message came through.
pub fn replay(
    binary: &Path,
    (capture, path): (&Capture, &Path),
    topology: Topology,
    cpu: Option<usize>,
    dir: &Path,
) -> anyhow::Result<Replayed> {
    let folder = tempfile::tempdir_in(dir)?;
    let journals = folder.path().join("journal");
    let topology = match topology {
        Topology::Fused => "topology = \"fused\"".to_owned(),
        Topology::Pipelined(shards) => format!("topology = \"pipelined\"\nshards = {shards}"),
    };
    let config = folder.path().join("replay.toml");
    let text = format!(
        "[engine]\n{topology}\n[journal]\ndir = \"{}\"\n\
         [[feed]]\nname = \"itch\"\nprotocol = \"itch50\"\n\
         [[strategy]]\ntype = \"imbalance\"\n[[strategy]]\ntype = \"layering\"\n\
         [[strategy]]\ntype = \"stuffing\"\n",
        journals.display()
    );
    std::fs::write(&config, text)?;
    let mut process = Process::start(binary, cpu, |command| {
        command.arg("replay").arg(&config).arg("--input").arg(path);
        command.args(["--speed", "max", "--json"]);
    })?;
    let report = process.finish().context("the replay")?;
    journal::remove(&journals)?;
    let messages = number(&report, "/totals/messages")? as u64;
    let wanted = capture.messages;
    ensure!(messages == wanted, "{messages} of {wanted} messages were replayed");
    Ok(Replayed {
        messages,
        wall_ns: number(&report, "/wall_ns")?,
        cpu_ns: number(&report, "/cpu_ns")?,
        memory_peak_bytes: number(&report, "/memory_peak_bytes")?,
        actions: number(&report, "/totals/actions")? as u64,
    })
}
