//! Conformance: cases of other engines' public test suites, written as rules and run.
//!
//! `CORELANE_CASES` names a folder of cases (default: `../shared/cases` beside the workspace); any
//! folder of the same format will do. A case's query becomes rule text ([`flink`], [`regex`],
//! [`siddhi`], [`esper`] from its text; `written.sql` by hand), its events become records of
//! streams, and what the rules do is compared with what the case expects.
//!
//! Without an argument the outcomes are compared with `table.txt`: every case stands there with its
//! outcome, and one that passed has to pass for ever. `--update` writes the table, `--list` prints
//! a line per case, `--json` an object per case; `--show ID` prints a case's rules and results.

mod compare;
mod esper;
mod flink;
mod regex;
mod run;
mod siddhi;
mod tables;
mod written;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use run::End;

const TABLE: &str = include_str!("table.txt");

/// A case's query in the rule language.
pub(crate) struct Job {
    /// Rules and actions; the streams are declared by the runner.
    pub(crate) text: String,
    /// What each column of the action stands for, where rows are told by name.
    pub(crate) columns: Vec<String>,
    pub(crate) end: End,
    /// How far rows of its streams may lag.
    pub(crate) lateness: String,
    /// Which of several answers is ours, where sources differ about what is asked.
    pub(crate) answer: Option<String>,
}

impl Job {
    pub(crate) fn new(text: String, end: End) -> Self {
        Self { text, columns: Vec::new(), end, lateness: "0s".to_owned(), answer: None }
    }
}

/// How a case came out.
enum Outcome {
    Passed,
    Failed(String),
    NotExpressible(String),
}

impl Outcome {
    fn name(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) => "failed",
            Self::NotExpressible(_) => "not expressible",
        }
    }

    fn why(&self) -> &str {
        match self {
            Self::Passed => "",
            Self::Failed(why) | Self::NotExpressible(why) => why,
        }
    }
}

fn job(file: &str, case: &Value, id: &str) -> Result<Job, String> {
    if let Some(job) = written::job(id) {
        return job;
    }
    let query = &case["query"];
    if query.get("ast").is_some() {
        return flink::job(case);
    }
    if query["all_matches"] == true {
        return regex::job(case);
    }
    match query["source_text"].as_str() {
        Some(text) if text.trim_start().starts_with("from ") => siddhi::job(case, text),
        _ if file.contains("esper_patterns") => esper::job(case),
        _ => Err("no rules are written for it yet".to_owned()),
    }
}

/// A case's rules behind its streams.
fn declared(case: &Value, job: &Job) -> String {
    let mut streams = run::streams(case);
    if case.get("tables").is_some() {
        streams = tables::streams(streams, run::events(case), &job.text);
    }
    run::declare(&streams, &job.lateness) + &job.text
}

fn outcome(file: &str, case: &Value, id: &str) -> Outcome {
    let job = match job(file, case, id) {
        Ok(job) => job,
        Err(why) => return Outcome::NotExpressible(why),
    };
    let text = declared(case, &job);
    match run::run(case, &text, job.end, &written::setting(id)) {
        Ok(done) => match compare::compare(case, &job, &done) {
            Ok(()) => Outcome::Passed,
            Err(why) => Outcome::Failed(why),
        },
        Err(why) => {
            // The line that says what is wrong, without where.
            let first = why.lines().next().unwrap_or_default();
            Outcome::Failed(format!("refused: {first}"))
        }
    }
}

/// The cases of a file; Nexmark's are queries over common tables.
fn cases(document: &Value) -> Vec<(String, Value)> {
    let with_id = |case: &Value| Some((case["id"].as_str()?.to_owned(), case.clone()));
    match document {
        Value::Array(cases) => cases.iter().filter_map(with_id).collect(),
        _ => {
            let queries = document["queries"].as_array().into_iter().flatten();
            let tables = &document["tables"];
            let common = |query: &Value| tables::case(query, tables);
            queries.map(common).filter_map(|case| with_id(&case)).collect()
        }
    }
}

fn folder() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/cases");
    std::env::var_os("CORELANE_CASES").map_or_else(|| PathBuf::from(default), PathBuf::from)
}

/// Every case of the folder by file, with its outcome.
fn all(shown: Option<&str>) -> Option<Vec<(String, String, Outcome)>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ext| ext == "json"))
        .collect();
    files.sort();
    let mut outcomes = Vec::new();
    for path in files {
        let file = path.file_name()?.to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let document = text.parse::<Value>().ok();
        let Some(document) = document else {
            outcomes.push((file, "-".into(), Outcome::Failed("no JSON".into())));
            continue;
        };
        for (id, case) in cases(&document) {
            if shown.is_some_and(|shown| !id.contains(shown)) {
                continue;
            }
            if shown.is_some() {
                show(&file, &case, &id);
            }
            let outcome = outcome(&file, &case, &id);
            outcomes.push((file.clone(), id, outcome));
        }
    }
    Some(outcomes)
}

/// A case's rules, and what they did.
fn show(file: &str, case: &Value, id: &str) {
    println!("== {id}\n{}", case["query"]);
    match job(file, case, id) {
        Ok(job) => {
            let text = declared(case, &job);
            println!("{text}");
            for event in run::events(case) {
                println!("    {event}");
            }
            match run::run(case, &text, job.end, &written::setting(id)) {
                Ok(done) => done.told.iter().for_each(|told| println!("  {told:?}")),
                Err(why) => println!("{why}"),
            }
        }
        Err(why) => println!("not expressible: {why}"),
    }
    println!("expected {}", case["expected"]);
}

fn table(outcomes: &[(String, String, Outcome)]) -> String {
    let mut text = String::new();
    for (file, id, outcome) in outcomes {
        let why = match outcome {
            Outcome::NotExpressible(why) => format!(": {why}"),
            _ => String::new(),
        };
        text += &format!("{file} {id}: {}{why}\n", outcome.name());
    }
    text
}

fn summary(outcomes: &[(String, String, Outcome)]) -> String {
    let mut files: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for (file, _, outcome) in outcomes {
        let at = match outcome {
            Outcome::Passed => 0,
            Outcome::Failed(_) => 1,
            Outcome::NotExpressible(_) => 2,
        };
        files.entry(file).or_default()[at] += 1;
        files.entry("total").or_default()[at] += 1;
    }
    let line = |(file, [passed, failed, not]): (&str, [usize; 3])| {
        let all = passed + failed + not;
        format!(
            "{file:28} {all:4} cases: {passed:4} passed, {failed:3} failed, \
             {not:3} not expressible\n"
        )
    };
    files.into_iter().map(line).collect()
}

/// What the table says and is no longer so.
fn changes(outcomes: &[(String, String, Outcome)]) -> Vec<String> {
    let known: BTreeMap<&str, &str> =
        TABLE.lines().filter_map(|line| line.split_once(' ')?.1.split_once(": ")).collect();
    let mut changes = Vec::new();
    for (_, id, outcome) in outcomes {
        // A case of another folder is in no table.
        let Some(was) = known.get(id.as_str()) else { continue };
        let was = was.split(": ").next().unwrap_or_default();
        if was != outcome.name() {
            changes.push(format!("{id} was {was}, is {}: {}", outcome.name(), outcome.why()));
        }
    }
    changes
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let what = args.next().unwrap_or_default();
    let shown = args.next().filter(|_| what == "--show");
    let Some(outcomes) = all(shown.as_deref()) else {
        println!("skipped: {} is absent (CORELANE_CASES)", folder().display());
        return ExitCode::SUCCESS;
    };
    match what.as_str() {
        "--list" | "--show" => {
            for (_, id, outcome) in &outcomes {
                let why = outcome.why();
                let colon = if why.is_empty() { "" } else { ": " };
                println!("{:15} {id}{colon}{why}", outcome.name());
            }
            print!("\n{}", summary(&outcomes));
        }
        "--json" => {
            for (file, id, outcome) in &outcomes {
                let (outcome, why) = (outcome.name(), outcome.why());
                println!("{}", json!({ "file": file, "id": id, "outcome": outcome, "why": why }));
            }
        }
        "--update" => {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/table.txt");
            if let Err(error) = std::fs::write(path, table(&outcomes)) {
                println!("{path}: {error}");
                return ExitCode::FAILURE;
            }
            print!("{}", summary(&outcomes));
        }
        _ => {
            print!("{}", summary(&outcomes));
            let changes = changes(&outcomes);
            changes.iter().for_each(|change| println!("{change}"));
            if !changes.is_empty() {
                println!("table.txt says something else: look, then run scripts/cases --update");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
