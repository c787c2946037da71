//! `corelane doctor`: looks at the host, says what to change and why, and changes what can be.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use corelane_strategies::registry::Registry;

use super::exit::{FAILED, Failure};
use crate::config::Config;
use crate::doctor::tune::{self, Hand, LiveHand, Refused, SAVED, TreeHand};
use crate::doctor::{self, Cpus, Host, Live, Needs, Probe, Recorded, Root, Severity};

/// How long the noise test spins.
const SPIN: Duration = Duration::from_secs(2);

/// Arguments of `corelane doctor`.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Judge by what this configuration needs: its cores, interfaces, journal, buffers
    #[arg(value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// CPUs of hot threads, as `2-5,8`; else those of CONFIG, the isolated ones, or the last one
    #[arg(long = "core", value_name = "CPUS", value_parser = cpus)]
    cores: Vec<Cpus>,
    /// Interfaces that feeds come in by; else those of CONFIG or of the default route
    #[arg(long, value_name = "IF")]
    interface: Vec<String>,
    /// Only this check, by the name that stands before it; may be given again
    #[arg(long, value_name = "CHECK", value_parser = id)]
    only: Vec<String>,
    /// Leave out the test that spins on every hot core for 2 s
    #[arg(long)]
    no_noise: bool,
    /// Print every check as JSON: current, wanted, why, effect, source, severity, fix
    #[arg(long, conflicts_with_all = ["apply", "undo"])]
    json: bool,
    /// Show what would be written to put right what can be; tuning/apply runs this
    #[arg(long)]
    apply: bool,
    /// Show what would be written to bring back what was there; tuning/undo runs this
    #[arg(long, conflicts_with_all = ["apply", "config", "cores", "interface", "only"])]
    undo: bool,
    /// Do write it
    #[arg(long)]
    yes: bool,
    /// A recorded host, unpacked below this folder, instead of this machine
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Write all that was read to this file, to be looked at elsewhere
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Make the folder of a recorded host, for --root, and end
    #[arg(long, value_name = "FILE", requires = "root", conflicts_with_all = ["apply", "undo"])]
    unpack: Option<PathBuf>,
}

fn cpus(text: &str) -> Result<Cpus, String> {
    let cpus = Cpus::from_list(text).filter(|cpus| !cpus.is_empty());
    cpus.ok_or_else(|| format!("`{text}` is no list of CPUs, as `2-5,8`"))
}

fn id(text: &str) -> Result<String, String> {
    let ids = || doctor::THEMES.iter().flat_map(|theme| theme.checks).map(|check| check.id);
    if ids().any(|id| id == text) {
        return Ok(text.to_owned());
    }
    Err(format!("there is no such check; there are {}", ids().collect::<Vec<_>>().join(", ")))
}

/// Runs the checks and prints what they found, or writes what they ask for.
///
/// # Errors
/// If the configuration cannot be used, a check is bad, or something could not be written.
pub fn run(args: &DoctorArgs, registry: &Registry, out: &mut impl Write) -> anyhow::Result<()> {
    let folder = args.root.as_deref().filter(|folder| *folder != Path::new("/"));
    if let (Some(folder), Some(file)) = (folder, &args.unpack) {
        let text = std::fs::read_to_string(file);
        let text = text.with_context(|| file.display().to_string())?;
        return doctor::tree::unpack(&text, folder)
            .with_context(|| format!("{} below {}", file.display(), folder.display()));
    }
    let hand: Box<dyn Hand> = match folder {
        Some(folder) => Box::new(TreeHand(folder.to_owned())),
        None => Box::new(LiveHand),
    };
    let saved = folder.unwrap_or(Path::new("/")).join(SAVED);
    if args.undo {
        return undo(&*hand, &saved, args.yes, out);
    }
    let host = host(args, folder, registry)?;
    let report = doctor::examine(&host, &args.only);
    if let Some(path) = &args.record {
        std::fs::write(path, host.root.record())
            .with_context(|| format!("record {}", path.display()))?;
    }
    if args.apply {
        let plan = tune::plan(&host, &report, &*hand);
        return apply(&plan, &report, &*hand, &saved, args.yes, out);
    }
    if args.json {
        writeln!(out, "{:#}", report.to_json())?;
    } else {
        write!(out, "{report}")?;
    }
    match report.count(Severity::Bad) {
        0 => Ok(()),
        count => failed(format!("{count} check(s) of this host are bad")),
    }
}

fn failed(message: String) -> anyhow::Result<()> {
    Err(Failure { code: FAILED, message }.into())
}

/// What is to be examined.
fn host(args: &DoctorArgs, folder: Option<&Path>, registry: &Registry) -> anyhow::Result<Host> {
    let mut needs = match &args.config {
        Some(path) => Needs::of(&Config::load(path, registry)?, path),
        None => Needs::default(),
    };
    if !args.cores.is_empty() {
        needs.hot = args.cores.iter().flat_map(|cpus| cpus.0.iter().copied()).collect();
        needs.hot_from = "--core".to_owned();
        needs.args += &format!(" --core {}", needs.hot);
    }
    if !args.interface.is_empty() {
        needs.interfaces.clone_from(&args.interface);
        needs.args.extend(args.interface.iter().map(|name| format!(" --interface {name}")));
    }
    // Tuning does not look at it, and would have to wait.
    let spin = if args.no_noise || args.apply { Duration::ZERO } else { SPIN };
    let (root, probe): (_, Box<dyn Probe>) = match folder {
        Some(folder) => {
            std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
            (Root::new(folder), Box::new(Recorded(folder.to_owned())))
        }
        None => (Root::new(Path::new("/")), Box::new(Live { spin })),
    };
    Ok(Host::new(root, probe, needs))
}

/// Shows the changes, and makes them if so told.
fn apply(
    plan: &tune::Plan,
    report: &doctor::Report,
    hand: &dyn Hand,
    saved: &Path,
    yes: bool,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    show(plan, yes, out)?;
    let boot = report.boot_parameters();
    if !boot.is_empty() {
        writeln!(out, "boot parameters, which are yours to set\n  {}", boot.join(" "))?;
    }
    if !yes || plan.changes.is_empty() {
        return Ok(());
    }
    let refused = tune::apply(plan, hand, saved)
        .with_context(|| format!("what was there is kept in {}", saved.display()))?;
    let written = plan.changes.len() - refused.len();
    writeln!(out, "{written} written; {} has what was there, for tuning/undo", saved.display())?;
    tell(&refused, out)
}

/// Shows what would bring back what was there, and does it if so told.
fn undo(hand: &dyn Hand, saved: &Path, yes: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let kept = tune::plan_undo(hand, saved).with_context(|| saved.display().to_string())?;
    let Some(plan) = kept else {
        writeln!(out, "nothing to undo: {} keeps nothing of this boot", saved.display())?;
        return Ok(());
    };
    show(&plan, yes, out)?;
    if !yes {
        return Ok(());
    }
    let refused = tune::undo(&plan, hand, saved).with_context(|| saved.display().to_string())?;
    writeln!(out, "{} brought back", plan.changes.len() - refused.len())?;
    tell(&refused, out)
}

fn show(plan: &tune::Plan, yes: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let head = match (plan.changes.is_empty(), yes) {
        (true, _) => "nothing to write",
        (false, true) => "writing",
        (false, false) => "would write, with --yes",
    };
    writeln!(out, "{head}")?;
    let mut check = "";
    for change in &plan.changes {
        if change.check != check {
            check = change.check;
            writeln!(out, "  {check}")?;
        }
        writeln!(out, "    {change}")?;
    }
    for (check, why) in &plan.cannot {
        writeln!(out, "  left alone: {check}: {why}")?;
    }
    Ok(())
}

fn tell(refused: &[Refused], out: &mut impl Write) -> anyhow::Result<()> {
    if refused.is_empty() {
        return Ok(());
    }
    for Refused { change, error } in refused {
        writeln!(out, "refused: {change}: {error}")?;
    }
    failed(format!("{} setting(s) were refused", refused.len()))
}
