//! `corelane-bench durable`.

use std::path::PathBuf;

use clap::Args;
use corelane_bench::durable::{Mode, Written, decide, group_commit};
use corelane_bench::session::Session;
use corelane_bench::stat::{Variant, in_turns};

/// Arguments of `corelane-bench durable`.
#[derive(Args, Debug)]
pub(crate) struct DurableArgs {
    /// Rounds, of which the median counts
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Messages of the session that is decided over
    #[arg(long, default_value_t = 2_000_000)]
    messages: u64,
    /// Nanoseconds between two datagrams
    #[arg(long, default_value_t = 40_000)]
    pace_ns: u64,
    /// Records of the journal that is verified
    #[arg(long, default_value_t = 6_000_000)]
    records: usize,
    /// Where journals are written: a memory file system
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
    /// Where their copies are: a disk
    #[arg(long, default_value = "/var/tmp")]
    disk: PathBuf,
}

pub(crate) fn run(args: &DurableArgs) -> anyhow::Result<()> {
    let dirs = (args.dir.as_path(), args.disk.as_path());
    let session = Session::generate(args.messages)?;
    for (name, is_p99) in [("p50", false), ("p99", true)] {
        let variant = |mode: Mode| {
            let session = &session;
            Variant::new(mode.name(), move || {
                let times = decide(session, mode, args.pace_ns, dirs)?;
                Ok(if is_p99 { times.p99 } else { times.p50 })
            })
        };
        let rounds = in_turns(args.rounds, Mode::ALL.map(variant).into())?;
        for (i, mode) in rounds.names().iter().enumerate() {
            let (low, high) = rounds.ratio_range(i, 0);
            println!(
                "a datagram, {name}, journal {mode:<8} {:>8.0} ns, over off {:.2} ({low:.2} to \
                 {high:.2})",
                rounds.median(i),
                rounds.ratio(i, 0)
            );
        }
    }
    for _ in 0..args.rounds.min(3) {
        let rates = group_commit(1_000, 4_000_000, dirs)?;
        println!(
            "durable records: one by one {:.0} /s, in groups of {:.0} {:.0} /s: {:.0} times as \
             many (goal 20)",
            rates.one_by_one,
            rates.group,
            rates.grouped,
            rates.grouped / rates.one_by_one
        );
    }
    let written = Written::new(args.records, &args.dir)?;
    let cat = Variant::new("cat", || written.cat());
    let verify = Variant::new("verify", || written.verify());
    let rounds = in_turns(args.rounds, vec![cat, verify])?;
    let speed = |variant| written.bytes as f64 / rounds.median(variant) / 1e9;
    println!(
        "journal of {} MiB: cat {:.2} GB/s, verify {:.2} GB/s: {:.2} of it (goal 0.5)",
        written.bytes >> 20,
        speed(0),
        speed(1),
        rounds.ratio(0, 1)
    );
    Ok(())
}
