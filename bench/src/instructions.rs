//! Instructions per message, counted by callgrind: figures that no other process disturbs, for a
//! gate that does not flake.
//!
//! The count is the difference between a program that takes a session through a stage twice and one
//! that does so once, so that what generates the session and sets up is not in it.
//!
//! Invariant: the same binary gives the same count, to a fraction of a per cent.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::stages::Stage;
use crate::stat::UNTIMED;

/// The most instructions per message that a release build may need, about a fifth above what was
/// counted when the bound was last moved. A change that needs more moves it in the same commit and
/// says why.
pub const BOUNDS: &[(Stage, f64)] = &[
    (Stage::Decode, 150.0),
    (Stage::Book, 1_130.0),
    (Stage::Decide, 1_550.0),
    (Stage::All, 1_700.0),
];

/// Whether valgrind is installed.
#[must_use]
pub fn is_available() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok_and(|out| out.status.success())
}

/// Instructions per message of a stage, as `binary` (this crate's) executes it.
///
/// # Errors
/// If valgrind cannot be started or says no count.
pub fn per_message(binary: &Path, stage: Stage, messages: u64) -> anyhow::Result<f64> {
    let once = count(binary, stage, messages, 1)?;
    let twice = count(binary, stage, messages, 2)?;
    ensure!(twice > once, "two passes took no more instructions than one");
    Ok((twice - once) as f64 / messages as f64)
}

fn count(binary: &Path, stage: Stage, messages: u64, passes: u32) -> anyhow::Result<u64> {
    let mut command = Command::new("valgrind");
    command
        .env(UNTIMED, "1")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(binary);
    command.args(["replay", "--stage", stage.name(), "--messages", &messages.to_string()]);
    let output = command.args(["--rounds", &passes.to_string()]).output().context("valgrind")?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {text}", output.status);
    let line = text.lines().find_map(|line| line.split_once("Collected :"));
    let (_, number) = line.with_context(|| format!("no count in {text}"))?;
    Ok(number.trim().parse()?)
}
