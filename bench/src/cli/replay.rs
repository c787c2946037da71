//! `corelane-bench replay`.

use std::path::PathBuf;

use clap::Args;
use corelane::sys::affinity;
use corelane_bench::session::Session;
use corelane_bench::stages::{Framing, Stage, pass, replay};
use corelane_bench::stat::{Variant, in_turns};

/// Arguments of `corelane-bench replay`.
#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// Messages of the session
    #[arg(long, default_value_t = 10_000_000)]
    messages: u64,
    /// Rounds, of which the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only this stage, for a profiler; without the replay
    #[arg(long)]
    stage: Option<Stage>,
    /// How messages are brought to the stages
    #[arg(long, default_value = "mold")]
    framing: Framing,
    /// CPU to run on; threads of the replay then share it
    #[arg(long)]
    cpu: Option<usize>,
    /// Where captures and journals are written: a memory file system
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
}

pub(crate) fn run(args: &ReplayArgs) -> anyhow::Result<()> {
    let session = Session::generate(args.messages)?;
    if let Some(cpu) = args.cpu {
        affinity::pin(cpu)?;
    }
    let stages: Vec<Stage> = match args.stage {
        Some(stage) => vec![stage],
        None => Stage::ALL.to_vec(),
    };
    let folder = args.dir.join(format!("corelane-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let (file, pcap) = (folder.join("session.itch"), folder.join("session.pcap"));
    let actions_seen = std::cell::Cell::new(0);
    let mut variants: Vec<Variant<'_>> = Vec::new();
    for stage in stages {
        let (session, dir, seen) = (&session, &args.dir, &actions_seen);
        variants.push(Variant::new(stage.name(), move || {
            let pass = pass(session, args.framing, stage, dir)?;
            seen.set(seen.get().max(pass.actions));
            Ok(std::hint::black_box(pass).ns)
        }));
    }
    if args.stage.is_none() {
        session.write_file(&file)?;
        session.write_pcap(&pcap)?;
        for (name, path) in [("replay .pcap", &pcap), ("replay .itch", &file)] {
            let work = || replay(path, session.count, &args.dir);
            variants.push(Variant::new(name, work));
        }
    }
    let rounds = in_turns(args.rounds, variants);
    std::fs::remove_dir_all(&folder)?;
    let rounds = rounds?;
    let actions = actions_seen.get();
    println!(
        "{} messages, {actions} actions, {} rounds in turns; stages in CPU time, replays in wall \
         time",
        session.count, args.rounds
    );
    println!("{:14}{:>8}{:>12}{:>12}", "", "ns", "M msg/s", "x decode");
    let base = usize::from(rounds.names().len() > 1);
    for (i, name) in rounds.names().iter().enumerate() {
        let ns = rounds.median(i);
        println!("{name:14}{ns:>8.1}{:>12.2}{:>12.2}", 1e3 / ns, rounds.ratio(i, base));
    }
    Ok(())
}
