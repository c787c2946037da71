//! What no file tells: the network card's own settings, whether io_uring works, how quiet a core
//! is.
//!
//! Invariant: a probe changes no setting. [`Live`] asks this machine; [`Recorded`] answers from
//! files of a recorded host, and knows nothing that is not in them.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::card::Card;
use super::cpuset::Cpus;
use super::noise::{self, Noise};

/// Answers what no file tells.
pub trait Probe: fmt::Debug {
    /// The settings of a network card.
    ///
    /// # Errors
    /// Why they cannot be had.
    fn card(&self, name: &str) -> Result<Card, String>;

    /// Whether the engine can use io_uring.
    ///
    /// # Errors
    /// Why not.
    fn io_uring(&self) -> Result<(), String>;

    /// How quiet these CPUs are when a thread spins on each.
    ///
    /// # Errors
    /// Why that is not known.
    fn noise(&self, cpus: &Cpus) -> Result<Vec<Noise>, String>;
}

/// This machine.
#[derive(Copy, Clone, Debug)]
pub struct Live {
    /// How long to spin; zero leaves it out.
    pub spin: Duration,
}

impl Probe for Live {
    fn card(&self, name: &str) -> Result<Card, String> {
        Card::ask(name).map_err(|error| format!("{name}: {error}"))
    }

    fn io_uring(&self) -> Result<(), String> {
        crate::reactor::probe().uring_refused.map_or(Ok(()), Err)
    }

    fn noise(&self, cpus: &Cpus) -> Result<Vec<Noise>, String> {
        if self.spin.is_zero() {
            return Err("not measured: --no-noise".into());
        }
        noise::measure(cpus, self.spin)
    }
}

/// A recorded host: `ethtool/IF/`, `probe/io_uring` and `probe/noise.json` below a folder.
#[derive(Clone, Debug)]
pub struct Recorded(pub PathBuf);

impl Recorded {
    fn read(&self, path: &str) -> Result<String, String> {
        fs::read_to_string(self.0.join(path)).map_err(|_| format!("the record has no {path}"))
    }
}

impl Probe for Recorded {
    fn card(&self, name: &str) -> Result<Card, String> {
        let path = format!("ethtool/{name}");
        Card::recorded(&self.0.join(&path)).map_err(|_| format!("the record has no {path}"))
    }

    fn io_uring(&self) -> Result<(), String> {
        match self.read("probe/io_uring")?.trim() {
            "ok" => Ok(()),
            why => Err(why.to_owned()),
        }
    }

    fn noise(&self, cpus: &Cpus) -> Result<Vec<Noise>, String> {
        let path = "probe/noise.json";
        let all: Vec<Noise> =
            serde_json::from_str(&self.read(path)?).map_err(|error| format!("{path}: {error}"))?;
        let seen: Vec<_> = all.into_iter().filter(|noise| cpus.0.contains(&noise.cpu)).collect();
        if seen.is_empty() { Err(format!("{path} has none of CPU {cpus}")) } else { Ok(seen) }
    }
}
