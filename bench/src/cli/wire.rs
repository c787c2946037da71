//! `corelane-bench wire`.

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use corelane::sys::affinity;
use corelane_bench::stat::median;
use corelane_bench::wire::{Latency, Setup, Side, measure};

/// Arguments of `corelane-bench wire`.
#[derive(Args, Debug)]
pub(crate) struct WireArgs {
    /// Pings per variant and round
    #[arg(long, default_value_t = 10_000)]
    pings: usize,
    /// Rounds, of which the median counts
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Multicast groups that one reactor receives
    #[arg(long, value_delimiter = ',', default_value = "1")]
    groups: Vec<usize>,
    /// Where journals are written: a memory file system
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
}

pub(crate) fn run(args: &WireArgs) -> anyhow::Result<()> {
    let cpus = affinity::allowed()?;
    ensure!(cpus.len() > 1, "one CPU for each side is needed");
    // The side under test on the first: disk and timer interrupts tend to come on the last.
    let (cpu, generator) = (cpus[0], cpus[cpus.len() - 1]);
    affinity::pin(generator)?;
    let mut variants = vec![(Side::Bare, 1)];
    for &groups in &args.groups {
        variants.extend([(Side::Engine("socket"), groups), (Side::Engine("uring"), groups)]);
    }
    let mut rounds: Vec<Vec<Latency>> = Vec::new();
    for _ in 0..args.rounds {
        let mut round = Vec::new();
        for &(side, groups) in &variants {
            let setup = Setup { side, groups, pings: args.pings, cpu, dir: &args.dir };
            round.push(measure(&setup)?);
        }
        rounds.push(round);
    }
    println!(
        "wire to action, fused; engine on CPU {cpu}, generator on CPU {generator}; {} rounds of \
         {} pings",
        args.rounds, args.pings
    );
    let over = |of: &dyn Fn(&[Latency]) -> f64| median(rounds.iter().map(|r| of(r)).collect());
    println!(
        "{:8}{:>7}{:>10}{:>10}{:>12}{:>12}{:>14}{:>14}",
        "", "groups", "p50 ns", "p99 ns", "p50/bare", "p99/bare", "p50/one group", "p50/socket"
    );
    for (i, &(side, groups)) in variants.iter().enumerate() {
        let name = match side {
            Side::Bare => "bare",
            Side::Engine(backend) => backend,
        };
        print!(
            "{name:8}{groups:>7}{:>10.0}{:>10.0}{:>12.3}{:>12.3}",
            over(&|round| round[i].ns_p50),
            over(&|round| round[i].ns_p99),
            over(&|round| round[i].ns_p50 / round[0].ns_p50),
            over(&|round| round[i].ns_p99 / round[0].ns_p99),
        );
        let one = variants.iter().position(|variant| *variant == (side, 1)).unwrap_or(i);
        print!("{:>14.3}", over(&|round| round[i].ns_p50 / round[one].ns_p50));
        let socket = variants.iter().position(|v| *v == (Side::Engine("socket"), groups));
        let socket = socket.unwrap_or(i);
        println!("{:>14.3}", over(&|round| round[i].ns_p50 / round[socket].ns_p50));
    }
    Ok(())
}
