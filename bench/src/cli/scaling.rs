//! `corelane-bench scaling`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use corelane::sys::affinity;
use corelane_bench::host::{self, Snapshot};
use corelane_bench::results::{Measurement, Results};
use corelane_bench::scaling::{Curve, Extent, measure};

/// For how long the host is watched before and after.
const WATCH: Duration = Duration::from_millis(500);

/// Arguments of `corelane-bench scaling`.
#[derive(Args, Debug)]
pub(crate) struct ScalingArgs {
    /// Which curves
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Curve::ALL)]
    curves: Vec<Curve>,
    /// Seconds for the rounds of all of them together; making their input comes on top
    #[arg(long, default_value_t = 600.0)]
    budget: f64,
    /// Rounds of a curve at most
    #[arg(long, default_value_t = 11)]
    rounds: usize,
    /// Messages, events or records of a pass
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
    /// Small passes and few rounds, in about two minutes: for a first look
    #[arg(long)]
    quick: bool,
    /// Write the results, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// What to call this run in them
    #[arg(long, default_value = "")]
    label: String,
    /// Where captures and journals are written: a memory file system
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
}

pub(crate) fn run(args: &ScalingArgs) -> anyhow::Result<()> {
    let begun = Instant::now();
    let cpus = affinity::allowed()?;
    ensure!(cpus.len() > 1, "one CPU for each side is needed");
    let cpus = (cpus[0], cpus[cpus.len() - 1]);
    let binary = std::env::current_exe()?;
    let (budget, rounds_max, messages) = match args.quick {
        true => (60.0, 3, 400_000),
        false => (args.budget, args.rounds, args.messages),
    };
    let extent = Extent {
        budget: Duration::from_secs_f64(budget / args.curves.len().max(1) as f64),
        rounds_max,
        messages,
        x_max: u64::MAX,
        binary: &binary,
        cpus,
        dir: &args.dir,
    };
    let mut results = Results { label: args.label.clone(), ..Results::new("scaling") };
    results.machine = host::machine();
    results.states.push(host::spin(&[cpus.0, cpus.1], WATCH, "before")?);
    let during = Snapshot::take();
    for &curve in &args.curves {
        let rows = measure(curve, &extent)?;
        table(curve, &rows);
        results.measurements.extend(rows);
    }
    results.states.push(Snapshot::take().since(&during, "during"));
    results.states.push(host::spin(&[cpus.0, cpus.1], WATCH, "after")?);
    super::machine::print(&results);
    results.wall_ns = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
    args.json.as_ref().map_or(Ok(()), |path| results.write(path))
}

fn table(curve: Curve, rows: &[Measurement]) {
    println!("\n{}", curve.name());
    for row in rows {
        let name = row.name.trim_start_matches("scaling/");
        if let Some(why) = &row.unavailable {
            println!("  {name:32}not measured: {why}");
            continue;
        }
        print!("  {name:32}");
        for figure in row.figures.iter().take(2) {
            print!("{:>8} {:10.1} {:10}", figure.name, figure.value, figure.unit);
        }
        for ratio in row
            .ratios
            .iter()
            .filter(|ratio| ["cpu", "wall", "p50"].contains(&ratio.figure.as_str()))
        {
            let over = ratio.over.trim_start_matches("scaling/");
            print!("  {:.2} [{:.2}, {:.2}] x {over}", ratio.value, ratio.low, ratio.high);
        }
        println!("  ({} rounds)", row.figures.first().map_or(0, |figure| figure.rounds.len()));
    }
}
