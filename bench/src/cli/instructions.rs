//! `corelane-bench instructions`.

use anyhow::{bail, ensure};
use clap::Args;
use corelane_bench::instructions::{BOUNDS, is_available, per_message};

/// Arguments of `corelane-bench instructions`.
#[derive(Args, Debug)]
pub(crate) struct InstructionsArgs {
    /// Messages of the session
    #[arg(long, default_value_t = 200_000)]
    messages: u64,
    /// Fail if a stage needs more than its bound; only for release builds
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: &InstructionsArgs) -> anyhow::Result<()> {
    ensure!(is_available(), "valgrind is not installed");
    let binary = std::env::current_exe()?;
    let mut over = Vec::new();
    println!("instructions per message, by callgrind, {} messages", args.messages);
    for &(stage, bound) in BOUNDS {
        let count = per_message(&binary, stage, args.messages)?;
        println!("{:10}{count:>9.1}   bound {bound:.0}", stage.name());
        if count > bound {
            over.push(stage.name());
        }
    }
    if args.check && !over.is_empty() {
        bail!("above the bound: {}", over.join(", "));
    }
    Ok(())
}
