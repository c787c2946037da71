//! Rounds in turns, and the table: each peer with the version that Cargo.lock says, and its ratio
//! to the first row, taken within each round.
//!
//! Invariant: a peer that fails at first is left out of the rounds and named with its reason.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{anyhow, ensure};
use corelane_bench::stat::{Variant, in_turns};

const LOCK: &str = include_str!("../Cargo.lock");

/// Something to measure.
pub(crate) struct Peer<'a> {
    /// The crate whose version is shown; empty for ours and for what has none.
    package: &'static str,
    what: String,
    work: Box<dyn FnMut() -> anyhow::Result<f64> + 'a>,
}

/// A peer of a crate; its work returns nanoseconds.
pub(crate) fn peer<'a>(
    package: &'static str,
    what: impl Into<String>,
    work: impl FnMut() -> anyhow::Result<f64> + 'a,
) -> Peer<'a> {
    Peer { package, what: what.into(), work: Box::new(work) }
}

/// The version of a crate in the lock file.
fn version(package: &str) -> Option<&'static str> {
    let entry = LOCK
        .split("[[package]]")
        .find(|entry| entry.lines().any(|line| line == format!("name = \"{package}\"")))?;
    let line = entry.lines().find_map(|line| line.strip_prefix("version = "))?;
    Some(line.trim_matches('"'))
}

/// Runs every peer once to see whether it can, then all that can in turns, and prints the table.
pub(crate) fn measure(
    title: &str,
    per: &str,
    rounds: usize,
    peers: Vec<Peer<'_>>,
) -> anyhow::Result<()> {
    println!("\n{title}; {rounds} rounds in turns");
    let (mut variants, mut failed) = (Vec::new(), Vec::new());
    for mut peer in peers {
        let name = match version(peer.package) {
            Some(version) => format!("{} {version}: {}", peer.package, peer.what),
            None => peer.what.clone(),
        };
        match catch_unwind(AssertUnwindSafe(|| (peer.work)())) {
            Ok(Ok(_)) => variants.push(Variant::new(name, peer.work)),
            Ok(Err(error)) => failed.push((name, error)),
            Err(_) => failed.push((name, anyhow!("it panicked"))),
        }
    }
    ensure!(!variants.is_empty(), "nobody can run");
    let done = in_turns(rounds, variants)?;
    let nanoseconds = format!("ns/{per}");
    println!("| | {nanoseconds} | x first | least to greatest |\n|---|---|---|---|");
    for (i, name) in done.names().iter().enumerate() {
        let (low, high) = done.ratio_range(i, 0);
        println!(
            "| {name} | {:.1} | {:.2} | {low:.2} to {high:.2} |",
            done.median(i),
            done.ratio(i, 0)
        );
    }
    for (name, error) in failed {
        println!("| {name} | cannot run: {error:#} | | |");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_lock() {
        assert!(version("itch5").is_some_and(|version| version.starts_with("0.1.")));
        assert!(version("").is_none() && version("itch").is_none());
    }

    #[test]
    fn who_cannot_run_is_left_out() {
        let mut runs = 0;
        let peers = vec![
            peer("", "fine", || {
                runs += 1;
                Ok(1.0)
            }),
            peer("itch5", "refuses", || Err(anyhow!("not here"))),
            peer("itchy", "panics", || panic!("as it does at some messages")),
        ];
        measure("test", "item", 3, peers).unwrap();
        assert_eq!(runs, 4);
        assert!(measure("test", "item", 1, Vec::new()).is_err());
    }
}
