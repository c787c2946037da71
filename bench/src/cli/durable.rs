//! `corelane-bench durable`.

use std::path::{Path, PathBuf};

use clap::Args;
use corelane_bench::durable::{Mode, PacketTimes, Written, decide, group_commit};
use corelane_bench::session::Session;
use corelane_bench::stat::{Rounds, Variant, in_turns};

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

/// Every mode in turns, and what each costs beside no journal.
fn decisions(args: &DurableArgs, session: &Session, dirs: (&Path, &Path)) -> anyhow::Result<()> {
    let mut times = Mode::ALL.map(|_| Vec::new());
    for _ in 0..args.rounds {
        for (mode, times) in Mode::ALL.into_iter().zip(&mut times) {
            times.push(decide(session, mode, args.pace_ns, dirs)?);
        }
    }
    for (name, is_p99) in [("p50", false), ("p99", true)] {
        let figure = |times: &PacketTimes| if is_p99 { times.p99 } else { times.p50 };
        let of = |times: &Vec<PacketTimes>| times.iter().map(figure).collect();
        let modes = Mode::ALL.iter().map(|mode| mode.name().to_owned());
        let rounds = Rounds::new(modes.zip(times.iter().map(of)));
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
    Ok(())
}

pub(crate) fn run(args: &DurableArgs) -> anyhow::Result<()> {
    let dirs = (args.dir.as_path(), args.disk.as_path());
    let session = Session::generate(args.messages)?;
    decisions(args, &session, dirs)?;
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
