//! The row-pattern cases of a folder of conformance cases, one line each: passed, failed, or not
//! expressible and why.
//!
//! `CORELANE_CASES` names the folder (default: `../shared/cases` beside the workspace). What passed
//! once is listed in `passed.txt` and has to pass for ever; `CORELANE_UPDATE=1` writes the list.

mod expr;
mod flink;
mod text;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use corelane_strategies::rules::pattern::{
    Host, Kind, Match, Mode, Patterns, Rows, Skip, Spec, SpecError, VarSet,
};
use expr::{Expr, Parser, Scope, V};
use serde_json::{Map, Value};

const PASSED: &str = include_str!("passed.txt");

/// Cases whose expected rows are not ours, and why.
const DECLARED: &[(&str, &str)] = &[
    (
        "flink-mr-testAggregates",
        "the case's ISO rows say that sum(D.price) is 0; D is bound to one row, whose price is 1",
    ),
    (
        "flink-skip-testSkipToFirstWithOneOrMoreAtBeginning",
        "skipping to the first row of the first variable is refused at load",
    ),
];

enum Outcome {
    Passed,
    Failed(String),
    NotExpressible(&'static str),
}

type Vars = HashMap<String, VarSet>;

/// Conditions by variable, and what is told about matches.
struct Runner<'a> {
    events: &'a [Map<String, Value>],
    names: Vec<String>,
    vars: Vars,
    conditions: Vec<Option<Expr>>,
    measures: Vec<Expr>,
    all_rows: bool,
    rows: Vec<Vec<V>>,
    /// Events of matches and of partial matches that timed out.
    matches: Vec<Vec<usize>>,
    timeouts: Vec<Vec<usize>>,
}

impl Runner<'_> {
    fn scope<'s>(&'s self, rows: Rows<'s>, match_number: u64) -> Scope<'s> {
        let (events, vars, names) = (self.events, &self.vars, &self.names);
        Scope { events, vars, rows, match_number, names }
    }
}

impl Host for Runner<'_> {
    fn matches(&mut self, var: u8, rows: &Rows<'_>) -> bool {
        let condition = &self.conditions[usize::from(var)];
        condition.as_ref().is_none_or(|one| self.scope(*rows, 0).value(one).is_true())
    }

    fn emit(&mut self, found: &Match<'_>) {
        let shown = found.iter().filter(|row| !row.excluded);
        let events = shown.map(|row| row.words[0] as usize).collect();
        if found.kind == Kind::TimedOut {
            self.timeouts.push(events);
            return;
        }
        self.matches.push(events);
        let mut rows: Vec<Rows<'_>> = vec![found.rows()];
        if self.all_rows {
            rows = (0..found.len()).filter_map(|at| found.up_to(at)).collect();
        }
        for running in rows {
            let scope = self.scope(running, found.number);
            let row = self.measures.iter().map(|one| scope.value(one)).collect();
            self.rows.push(row);
        }
    }
}

fn sets(names: &[String]) -> Vars {
    (0..).zip(names).map(|(var, name)| (name.clone(), VarSet::of(var))).collect()
}

fn events(case: &Value) -> Vec<Map<String, Value>> {
    let rows = case["events"].as_array().expect("events");
    let fields = rows.iter().filter(|event| event.get("kind").is_none()).map(|event| {
        let mut fields = event["fields"].as_object().expect("fields").clone();
        for key in ["t_ms", "id"] {
            let value = event.get(key).cloned().unwrap_or(Value::Null);
            fields.entry(key).or_insert(value);
        }
        fields
    });
    fields.collect()
}

/// Pushes the events in order and ends the input.
fn drive(runner: &mut Runner<'_>, spec: Spec, keys: &[u64]) -> Result<Patterns, SpecError> {
    let mut patterns = Patterns::new(spec)?;
    for (at, event) in runner.events.iter().enumerate() {
        let ts = event["t_ms"].as_u64().expect("a time") * 1_000_000;
        patterns.push(&[keys[at]], ts, &[at as u64], runner);
    }
    Ok(patterns)
}

fn is_same(mut found: Vec<Vec<V>>, expected: &[Vec<V>]) -> bool {
    let is_like =
        |a: &[V], b: &[V]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_like(b));
    found.len() == expected.len()
        && expected.iter().all(|row| {
            let at = found.iter().position(|found| is_like(found, row));
            at.map(|at| found.swap_remove(at)).is_some()
        })
}

fn table(rows: &Value) -> Vec<Vec<V>> {
    let row = |row: &Value| row.as_array().expect("a row").iter().map(V::of).collect();
    rows.as_array().expect("rows").iter().map(row).collect()
}

fn compare(found: Vec<Vec<V>>, expected: &[Vec<V>]) -> Outcome {
    let text = format!("{found:?} instead of {expected:?}");
    if is_same(found, expected) { Outcome::Passed } else { Outcome::Failed(text) }
}

fn skip(text: &str, sets: &Vars) -> Skip {
    let of = |name: &str| sets.get(name).copied().unwrap_or_default();
    match text.split_once(':') {
        Some(("to_first", name)) => Skip::ToFirst(of(name)),
        Some((_, name)) => Skip::ToLast(of(name)),
        None if text == "past_last" => Skip::PastLastRow,
        None => Skip::ToNextRow,
    }
}

/// MATCH_RECOGNIZE as text.
fn match_recognize(case: &Value) -> Outcome {
    let query = &case["query"];
    let text = |key: &str| query[key].as_str().unwrap_or_default();
    let id = case["id"].as_str().unwrap_or_default();
    let mut events = events(case);
    if text("source_text").contains("secondaryOrder DESC") {
        // Rows come to the engine in order: whoever feeds it sorts.
        let number = |event: &Map<String, Value>, key: &str| event[key].as_i64().unwrap_or(0);
        events.sort_by_key(|event| {
            (
                number(event, "rowtime"),
                -number(event, "secondaryOrder"),
                number(event, "ternaryOrder"),
            )
        });
        (1_u64..).zip(&mut events).for_each(|(at, event)| {
            event.insert(String::from("t_ms"), at.into());
        });
    }
    let mut names = Vec::new();
    let pattern = text::pattern(text("pattern"), &mut names);
    let mut vars = sets(&names);
    let subset = text("source_text").split_once("SUBSET {").map(|(_, rest)| rest);
    if let Some((subset, _)) = subset.and_then(|rest| rest.split_once('}')) {
        let parts: Vec<&str> = subset.split('\'').skip(1).step_by(2).collect();
        let all = parts[1..].iter().fold(VarSet(0), |set, name| set.or(vars[*name]));
        vars.insert(parts[0].to_owned(), all);
    }
    let mut conditions = vec![None; names.len()];
    for define in text("defines").split(';').flat_map(|all| all.split(", ")) {
        let (name, condition) = define.split_once(':').expect("a variable and its condition");
        let at = names.iter().position(|known| known == name.trim()).expect("a known variable");
        conditions[at] = Some(Parser::new(condition).expr());
    }
    let all_rows = id.ends_with("all-rows");
    let mut measures = Parser::new(text("measures")).list();
    if all_rows {
        measures = Parser::new("MATCH_NUMBER(), tradeday, price, CLASSIFIER()").list();
    }
    let partition = query["partition_by"].as_array().map(|names| names[0].as_str().expect("name"));
    if let Some(column) = partition.filter(|_| !all_rows) {
        measures.insert(0, Expr::Column(Some(String::from("the key")), column.to_owned()));
    }
    let mut known = Vec::new();
    let keys: Vec<u64> = events
        .iter()
        .map(|event| {
            let value = partition.map_or(&Value::Null, |column| &event[column]);
            let at = known.iter().position(|known| known == &value);
            at.unwrap_or_else(|| {
                known.push(value);
                known.len() - 1
            }) as u64
        })
        .collect();
    let spec = Spec {
        skip: skip(text("skip"), &vars),
        key_words: 1,
        keys_max: known.len(),
        ..Spec::new(pattern, names.len())
    };
    // The key is a column of every row of the partition, bound or not.
    let with_key = partition.is_some() && !all_rows;
    let mut runner = Runner {
        events: &events,
        names,
        vars,
        conditions,
        measures: if with_key { measures.split_off(1) } else { measures },
        all_rows,
        rows: Vec::new(),
        matches: Vec::new(),
        timeouts: Vec::new(),
    };
    let mut keyed = Keyed { runner: &mut runner, keys: Vec::new() };
    let mut patterns = Patterns::new(spec).expect("a pattern that runs");
    for (at, event) in events.iter().enumerate() {
        let ts = event["t_ms"].as_u64().expect("a time");
        patterns.push(&[keys[at]], ts, &[at as u64], &mut keyed);
    }
    patterns.finish(&mut keyed);
    let keys = keyed.keys;
    let mut found = runner.rows;
    if with_key {
        for (row, key) in found.iter_mut().zip(keys) {
            row.insert(0, V::of(known[key as usize]));
        }
    }
    let expected = &case["expected"];
    let rows = expected.get("rows").or_else(|| expected.get("rows_iso")).expect("rows");
    compare(found, &table(rows))
}

/// Remembers the key of every row that is told.
struct Keyed<'a, 'b> {
    runner: &'a mut Runner<'b>,
    keys: Vec<u64>,
}

impl Host for Keyed<'_, '_> {
    fn matches(&mut self, var: u8, rows: &Rows<'_>) -> bool {
        self.runner.matches(var, rows)
    }

    fn emit(&mut self, found: &Match<'_>) {
        self.runner.emit(found);
        self.keys.resize(self.runner.rows.len(), found.key[0]);
    }
}

/// Every way to match: a row fits X if its text begins with x.
fn all_matches(case: &Value) -> Outcome {
    let query = &case["query"];
    let events = events(case);
    let mut names = Vec::new();
    let pattern = text::pattern(query["pattern"].as_str().expect("a pattern"), &mut names);
    let condition = |name: &String| {
        let letter = Expr::Literal(V::Text(name.to_lowercase()));
        let text = Expr::Column(None, String::from("theString"));
        Some(Expr::Call(String::from("CONTAINS"), vec![text, letter]))
    };
    let conditions = names.iter().map(condition).collect();
    let measure = |text: &Value| {
        let text = text.as_str().expect("a measure");
        let (name, n) = text.split_once('[').unwrap_or((text, "0]"));
        let n = n.trim_end_matches(']').parse().expect("a number");
        Expr::Nth(name.to_uppercase(), n, String::from("theString"))
    };
    let measures = query["measures"].as_array().expect("measures").iter().map(measure).collect();
    let vars = sets(&names);
    let mut runner = Runner {
        events: &events,
        vars,
        conditions,
        measures,
        all_rows: false,
        rows: Vec::new(),
        matches: Vec::new(),
        timeouts: Vec::new(),
        names,
    };
    let spec = Spec {
        mode: Mode::All,
        skip: Skip::ToNextRow,
        show_empty: false,
        key_words: 1,
        ..Spec::new(pattern, runner.names.len())
    };
    let keys = vec![0; events.len()];
    let mut patterns = drive(&mut runner, spec, &keys).expect("a pattern that runs");
    patterns.finish(&mut runner);
    compare(runner.rows, &table(&case["expected"]["rows"]))
}

/// Steps with contiguity.
fn steps(case: &Value) -> Outcome {
    let events = events(case);
    let translated = match flink::translate(&case["query"]["ast"]) {
        Ok(translated) => translated,
        Err(why) => return Outcome::NotExpressible(why),
    };
    let (names, texts): (Vec<String>, Vec<String>) = translated.vars.into_iter().unzip();
    let condition = |text: &String| Some(Parser::new(text).expr());
    let mut conditions: Vec<Option<Expr>> = texts.iter().map(condition).collect();
    for (at, name) in names.iter().enumerate() {
        // A loop takes no row that ends it.
        let until = at.checked_sub(1).filter(|&before| names[before] == format!("until {name}"));
        if let (Some(until), Some(own)) = (until, conditions[at].clone()) {
            let until = conditions[until].clone().expect("a condition");
            if !texts[at - 1].contains("sum(") {
                let ends = Expr::Not(until.into()).into();
                conditions[at] = Some(Expr::Op(String::from("AND"), own.into(), ends));
            }
        }
    }
    let mut runner = Runner {
        events: &events,
        vars: sets(&names),
        names,
        conditions,
        measures: Vec::new(),
        all_rows: false,
        rows: Vec::new(),
        matches: Vec::new(),
        timeouts: Vec::new(),
    };
    let expected = &case["expected"];
    let spec = Spec { key_words: 1, ..translated.spec };
    let keys = vec![0; events.len()];
    let mut patterns = match drive(&mut runner, spec, &keys) {
        Ok(patterns) => patterns,
        Err(why) => return Outcome::Failed(why.to_string()),
    };
    // Time goes on after the last event.
    patterns.advance(u64::MAX - 1, &mut runner);
    if expected["error"] == true {
        let failed = patterns.counters().skips_failed > 0;
        return if failed { Outcome::Passed } else { Outcome::Failed(String::from("no error")) };
    }
    let ids = |rows: &[Vec<usize>]| {
        let id = |&at: &usize| V::of(&events[at]["id"]);
        rows.iter().map(|row| row.iter().map(id).collect()).collect::<Vec<Vec<V>>>()
    };
    if let Some(timeouts) = expected["timeouts"].as_array() {
        let partial = |one: &Value| {
            let text = one["partial"].as_str().expect("a partial match");
            text.split(' ').map(|id| V::Text(id.to_owned())).collect()
        };
        let timeouts: Vec<Vec<V>> = timeouts.iter().map(partial).collect();
        let found = ids(&runner.timeouts);
        if !is_same(found.clone(), &timeouts) {
            return Outcome::Failed(format!("timeouts {found:?} instead of {timeouts:?}"));
        }
    }
    compare(ids(&runner.matches), &table(&expected["matches"]))
}

fn folder() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/cases");
    std::env::var_os("CORELANE_CASES").map_or_else(|| PathBuf::from(default), PathBuf::from)
}

#[test]
fn cases_that_passed_still_pass() {
    let folder = folder();
    type Run = fn(&Value) -> Outcome;
    let files: [(&str, Run); 3] = [
        ("match_recognize.json", match_recognize),
        ("esper_rowrecog_regex.json", all_matches),
        ("flink_cep.json", steps),
    ];
    let mut passed = BTreeSet::new();
    let mut known = 0;
    let mut report = String::new();
    for (file, run) in files {
        let Ok(text) = std::fs::read_to_string(folder.join(file)) else {
            println!("skipped: {} is absent (CORELANE_CASES)", folder.join(file).display());
            return;
        };
        let cases: Vec<Value> = serde_json::from_str(&text).expect("cases in JSON");
        for case in &cases {
            let id = case["id"].as_str().expect("an id");
            let declared = DECLARED.iter().find(|(known, _)| *known == id).map(|(_, why)| *why);
            known += 1;
            let line = match (run(case), declared) {
                (Outcome::Passed, _) => {
                    passed.insert(id.to_owned());
                    format!("passed           {id}\n")
                }
                (_, Some(why)) => format!("declared         {id}: {why}\n"),
                (Outcome::Failed(why), _) => format!("failed           {id}: {why}\n"),
                (Outcome::NotExpressible(why), _) => format!("not expressible  {id}: {why}\n"),
            };
            report += &line;
        }
    }
    println!("{report}{} of {known} passed", passed.len());
    if std::env::var_os("CORELANE_UPDATE").is_some() {
        let list: Vec<&str> = passed.iter().map(String::as_str).collect();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pattern_cases/passed.txt");
        std::fs::write(path, list.join("\n") + "\n").expect("a writable list");
        return;
    }
    let stopped: Vec<&str> = PASSED.lines().filter(|&id| !passed.contains(id)).collect();
    assert!(stopped.is_empty(), "no longer passed: {stopped:?}\n{report}");
}
