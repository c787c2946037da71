//! `corelane test`: rules on recorded cases.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use corelane_strategies::registry::Registry;
use corelane_strategies::rules::RuleSet;
use serde_json::json;

use super::exit::{FAILED, Failure};
use crate::cases::{self, Outcome};
use crate::config::RulesSection;

/// Arguments of `corelane test`.
#[derive(Args, Debug)]
pub struct TestArgs {
    /// Rule files, one or more, and last the cases: TOML (`.toml`), or a JSON object a line
    #[arg(required = true, num_args = 2.., value_names = ["RULES", "CASES"])]
    files: Vec<PathBuf>,
    /// Print what came of the cases as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the cases and prints how each ended, with expected and found actions of those that failed.
///
/// # Errors
/// If a file cannot be read or used, or a case failed.
pub fn run(args: &TestArgs, registry: &Registry, out: &mut impl Write) -> anyhow::Result<()> {
    let read = |path: &PathBuf| {
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let Some((cases, rules)) = args.files.split_last() else { return Ok(()) };
    let mut set = RuleSet::with_functions(registry.functions.clone());
    for path in rules {
        let section = RulesSection::read(path)?;
        // The files of tables are beside the rule file, as in a run.
        let mut table = |name: &str| {
            let path = section.table_path(name);
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        set.add_with(&path.display().to_string(), &section.text, &mut table)?;
    }
    let path = cases.display().to_string();
    let mut outcomes = Vec::new();
    for case in cases::read(&path, &read(cases)?)? {
        outcomes.push(cases::run(&set, &path, &case)?);
    }
    let failed = outcomes.iter().filter(|outcome| !outcome.passed()).count();
    if args.json {
        writeln!(out, "{:#}", as_json(&path, &outcomes))?;
    } else {
        for outcome in &outcomes {
            write_outcome(out, &path, outcome)?;
        }
        writeln!(out, "{} passed, {failed} failed", outcomes.len() - failed)?;
    }
    match failed {
        0 => Ok(()),
        failed => {
            let message = format!("{failed} of {} cases failed", outcomes.len());
            Err(Failure { code: FAILED, message }.into())
        }
    }
}

fn write_outcome(out: &mut impl Write, path: &str, outcome: &Outcome) -> anyhow::Result<()> {
    if outcome.passed() {
        writeln!(out, "ok      {}", outcome.name)?;
        return Ok(());
    }
    writeln!(out, "FAILED  {} ({path}:{}), - expected, + found:", outcome.name, outcome.line)?;
    for difference in &outcome.diff {
        writeln!(out, "{difference}")?;
    }
    Ok(())
}

fn as_json(path: &str, outcomes: &[Outcome]) -> serde_json::Value {
    let case = |outcome: &Outcome| {
        let diff: Vec<String> = outcome.diff.iter().map(ToString::to_string).collect();
        json!({
            "name": outcome.name, "line": outcome.line, "passed": outcome.passed(),
            "diff": if outcome.passed() { Vec::new() } else { diff },
        })
    };
    let failed = outcomes.iter().filter(|outcome| !outcome.passed()).count();
    json!({
        "file": path, "passed": outcomes.len() - failed, "failed": failed,
        "cases": outcomes.iter().map(case).collect::<Vec<_>>(),
    })
}
