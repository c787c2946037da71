//! `corelane-bench gates`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use clap::Args;
use corelane_bench::gates::verdict::{Baseline, Counts, Verdict};

/// Arguments of `corelane-bench gates`.
#[derive(Args, Debug)]
pub(crate) struct GatesArgs {
    /// What gungraun printed as JSON
    counts: PathBuf,
    /// What gates took when this was last written
    #[arg(long, default_value = "bench/gates/baseline.toml")]
    baseline: PathBuf,
    /// Write the baseline anew instead of comparing with it
    #[arg(long)]
    update: bool,
}

pub(crate) fn run(args: &GatesArgs) -> anyhow::Result<()> {
    let text =
        fs::read_to_string(&args.counts).with_context(|| args.counts.display().to_string())?;
    let counts = Counts::parse_gungraun(&text)?;
    let (rustc, valgrind) = (version("rustc")?, version("valgrind")?);
    let kept = fs::read_to_string(&args.baseline);
    if args.update {
        let base = match &kept {
            Ok(text) => Baseline::parse(text)?,
            Err(_) => Baseline::of(&rustc, &valgrind, Counts::default()),
        };
        base.judge(&counts).iter().for_each(|verdict| println!("{verdict}"));
        let missing = base.judge(&counts).iter().any(|v| matches!(v, Verdict::NotCounted(_)));
        ensure!(!missing, "not every gate was counted: the baseline stays as it is");
        fs::write(&args.baseline, Baseline::of(&rustc, &valgrind, counts).to_text())?;
        println!("written: {}", args.baseline.display());
        return Ok(());
    }
    let text = kept.with_context(|| args.baseline.display().to_string())?;
    let base = Baseline::parse(&text).with_context(|| args.baseline.display().to_string())?;
    println!("{:32}{:>12}{:>10}", "instructions per operation", "now", "x base");
    let verdicts = base.judge(&counts);
    verdicts.iter().for_each(|verdict| println!("{verdict}"));
    if base.valgrind != valgrind {
        println!("the baseline is of valgrind {}, this is {valgrind}", base.valgrind);
    }
    if base.rustc != rustc {
        println!(
            "not judged: the baseline is of rustc {}, this is {rustc}, which makes other code",
            base.rustc
        );
        return Ok(());
    }
    let failed = verdicts.iter().filter(|verdict| verdict.fails()).count();
    if failed > 0 {
        bail!(
            "{failed} of {} gates fail; if that is what a change costs, `scripts/bench --update` \
             and say why in the commit",
            verdicts.len()
        );
    }
    println!("{} gates hold", verdicts.len());
    Ok(())
}

/// The version that a program says it is.
fn version(program: &str) -> anyhow::Result<String> {
    let output = Command::new(program).arg("--version").output().context(program.to_owned())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let word = text.split(|c: char| c == '-' || c.is_whitespace());
    let number = word.into_iter().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    Ok(number.with_context(|| format!("{program} does not say its version"))?.to_owned())
}
