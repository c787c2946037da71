//! `corelane-bench report` and `corelane-bench compare`.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;
use corelane_bench::compare::{Options, Verdict, compare};
use corelane_bench::report::{Run, export, page, text};

/// Arguments of `corelane-bench report`.
#[derive(Args, Debug)]
pub(crate) struct ReportArgs {
    /// Results, as the benchmarks write them; the first is what others are compared with
    #[arg(required = true)]
    results: Vec<PathBuf>,
    /// One self-contained HTML page
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A folder for .hgrm files, which HdrHistogram's plotter opens
    #[arg(long, value_name = "DIR")]
    hgrm: Option<PathBuf>,
    /// A folder for .hlog files (V2), one line an interval
    #[arg(long, value_name = "DIR")]
    hlog: Option<PathBuf>,
}

/// Arguments of `corelane-bench compare`.
#[derive(Args, Debug)]
pub(crate) struct CompareArgs {
    /// Results of the earlier run
    first: PathBuf,
    /// Results of the later one
    other: PathBuf,
    /// Confidence of the interval that must lie beyond the margin
    #[arg(long, default_value_t = Options::default().confidence)]
    confidence: f64,
    /// A change within this share of 1 is none
    #[arg(long, default_value_t = Options::default().margin)]
    margin: f64,
}

pub(crate) fn report(args: &ReportArgs) -> anyhow::Result<()> {
    let runs = Run::read_all(&args.results)?;
    for run in &runs {
        println!("{}", text::table(run));
        for (folder, write) in
            [(&args.hgrm, export::hgrm as fn(&Run, &Path) -> _), (&args.hlog, export::hlog)]
        {
            let Some(folder) = folder else { continue };
            let paths: Vec<PathBuf> = write(run, folder)?;
            println!("{} files in {}", paths.len(), folder.display());
        }
    }
    if let Some(path) = &args.out {
        std::fs::write(path, page(&runs)).with_context(|| path.display().to_string())?;
        println!("page: {}", path.display());
    }
    Ok(())
}

/// Fails if anything got worse.
pub(crate) fn changes(args: &CompareArgs) -> anyhow::Result<()> {
    ensure!((0.5..1.0).contains(&args.confidence), "--confidence is from 0.5 to below 1");
    ensure!((0.0..1.0).contains(&args.margin), "--margin is from 0 to below 1");
    let runs = Run::read_all(&[args.first.clone(), args.other.clone()])?;
    let [first, other] = &runs[..] else { unreachable!("two files are two runs") };
    ensure!(
        first.results.benchmark == other.results.benchmark,
        "one is of {}, the other of {}",
        first.results.benchmark,
        other.results.benchmark
    );
    let options = Options { confidence: args.confidence, margin: args.margin };
    let comparison = compare(&first.results, &other.results, &options);
    println!("{} over {}, {} % confidence", other.name, first.name, args.confidence * 100.0);
    let width = comparison.changes.iter().map(|change| change.measurement.len()).max().unwrap_or(0);
    for change in &comparison.changes {
        println!(
            "{:8}{:width$}  {:16}{:>8.3}{:>18}  {}",
            change.verdict.name(),
            change.measurement,
            change.figure,
            change.ratio,
            format!("{:.3} to {:.3}", change.low, change.high),
            change.basis.name()
        );
    }
    for (measurement, why) in &comparison.left_out {
        println!("{:8}{measurement}: {why}", "-");
    }
    ensure!(!comparison.changes.is_empty(), "there is nothing that both runs measured");
    let worse = comparison.changes.iter().filter(|change| change.verdict == Verdict::Worse).count();
    ensure!(worse == 0, "{worse} of {} figures got worse", comparison.changes.len());
    println!("nothing got worse");
    Ok(())
}
