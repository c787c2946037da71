//! What happened in a simulated run: a hash of all of it, and the lines of it if they are asked
//! for.
//!
//! Invariant: nothing of the machine goes in, so that a seed has one hash.

use std::fmt::{self, Write};

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Trace {
    hash: u64,
    /// Lines, if they are kept.
    lines: Option<Vec<String>>,
}

impl Trace {
    /// A trace of nothing.
    pub(super) fn new(keep: bool) -> Self {
        Self { hash: FNV_START, lines: keep.then(Vec::new) }
    }

    /// Notes what happened at a time, in nanoseconds since the start.
    pub(super) fn note(&mut self, now: u64, what: fmt::Arguments<'_>) {
        if let Some(lines) = &mut self.lines {
            let ms = now as f64 / 1e6;
            lines.push(format!("{ms:>12.6} ms  {what}"));
        }
        // Writing to a hash cannot fail.
        let _ = writeln!(self, "{now} {what}");
    }

    /// Takes bytes into the hash.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
    }

    /// The hash of all so far.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// The lines that were kept.
    pub(super) fn take_lines(&mut self) -> Vec<String> {
        self.lines.take().unwrap_or_default()
    }
}

impl Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}
