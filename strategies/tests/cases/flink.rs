//! Patterns of steps with contiguity, as Flink's library has them, to MATCH.
//!
//! That library reports every way to match (`matches = 'all'`). Where it says `greedy`, a way ends
//! when the loop could have gone on: a `NOT` of the same condition stands behind the loop. What it
//! calls a loop's inner contiguity is written as a first step and a loop of the others.

use serde_json::Value;

use crate::Job;
use crate::run::End;

/// Events of a match at most.
const EVENTS_MAX: usize = 14;

/// Steps under other names.
fn renamed(text: &str, by: usize) -> String {
    text.replace(":(", &format!("_or{by}:("))
}

struct Step {
    name: String,
    condition: String,
    /// `,`, `->` or `-> EVERY`.
    link: &'static str,
    times: (u64, Option<u64>),
    is_optional: bool,
    is_greedy: bool,
    inner: &'static str,
    until: Option<String>,
    /// A step that must not be: of the next row only, or until the next step.
    absent: Option<bool>,
}

impl Step {
    /// A row of a loop is none that ends it.
    fn own(&self) -> String {
        match self.until.as_ref().filter(|until| !until.contains("sum(")) {
            Some(until) => format!("({}) AND NOT ({until})", self.condition),
            None => self.condition.clone(),
        }
    }
}

fn link(text: &str) -> &'static str {
    match text {
        "begin" | "next" | "strict" | "notNext" => ",",
        "followedByAny" | "any" => "-> EVERY",
        _ => "->",
    }
}

/// A condition in our words.
fn condition(text: &str) -> String {
    let mut text = text.replace("==", "=").replace(" or ", " OR ").replace(" and ", " AND ");
    while let Some(at) = text.find("contains(") {
        let rest = &text[at + 9..];
        let Some((call, after)) = rest.split_once(')') else { break };
        let Some((column, part)) = call.split_once(',') else { break };
        text = format!("{}{column} LIKE '%{}%'{after}", &text[..at], part.trim_matches('\''));
    }
    text
}

fn steps(ast: &Value) -> Vec<Step> {
    let one = |(at, step): (usize, &Value)| {
        let text = |key: &str| step[key].as_str();
        let times = &step["times"];
        let times = if times.is_array() {
            (times[0].as_u64().unwrap_or(0), times[1].as_u64())
        } else {
            (1, Some(1))
        };
        let named: String =
            text("var").unwrap_or("step").replace(|c: char| !c.is_alphanumeric(), "");
        let contiguity = text("contiguity").unwrap_or_default();
        Step {
            name: format!("s{at}_{named}"),
            condition: condition(text("where").unwrap_or("true")),
            link: link(contiguity),
            is_optional: step["optional"] == true || times.0 == 0,
            times: (times.0.max(1), times.1),
            is_greedy: step["greedy"] == true,
            inner: link(text("inner").unwrap_or("relaxed")),
            until: text("until").map(condition),
            absent: match contiguity {
                "notNext" => Some(true),
                "notFollowedBy" => Some(false),
                _ => None,
            },
        }
    };
    ast["steps"].as_array().into_iter().flatten().enumerate().map(one).collect()
}

#[derive(Default)]
struct Writer {
    names: usize,
    bound: Vec<String>,
    /// The step that has the last row of a counted step.
    last: Vec<(String, String)>,
}

impl Writer {
    /// A step with a name of its own; the first one of a name has the name itself.
    fn step(&mut self, step: &Step, condition: &str) -> String {
        self.names += 1;
        format!("{}_{}:({condition})", step.name, self.names)
    }

    fn first(&mut self, step: &Step) -> String {
        let own = step.own();
        if self.bound.contains(&step.name) {
            return self.step(step, &own);
        }
        self.bound.push(step.name.clone());
        format!("{}:({own})", step.name)
    }

    /// The steps that are left, each with what leads to it. `not` is what must not come before
    /// the next row bound, with `,` if it must not be the very next.
    fn build(&mut self, steps: &[Step], not: Vec<(bool, String)>, out: &str) -> Vec<String> {
        let Some((step, rest)) = steps.split_first() else {
            return vec![out.to_owned()];
        };
        if let Some(next_only) = step.absent {
            if rest.is_empty() {
                let own = self.step(step, &step.condition);
                if next_only {
                    let other = self.step(step, &format!("NOT ({})", step.condition));
                    return vec![format!("{out} , {other}")];
                }
                return vec![format!("{out} -> NOT {own}")];
            }
            let mut not = not;
            not.push((next_only, step.condition.clone()));
            return self.build(rest, not, out);
        }
        let mut guards = String::new();
        for (next_only, condition) in &not {
            let guard = self.step(step, condition);
            guards += if *next_only { " , NOT " } else { " -> NOT " };
            guards += &guard;
        }
        let lead = match out {
            "" => String::new(),
            _ => format!("{out}{guards} {} ", step.link),
        };
        let mut taken = self.first(step);
        let (min, max) = step.times;
        if max != Some(1) {
            let again = self.step(step, &step.own());
            let name = again.split(':').next().unwrap_or_default().to_owned();
            if max == Some(min) {
                self.last.push((step.name.clone(), name.clone()));
            }
            let inner = match rest.first() {
                Some(Step { absent: Some(next_only), condition, .. }) => {
                    let guard = self.step(step, condition);
                    let link = if *next_only { ", NOT" } else { "-> NOT" };
                    format!("{link} {guard} {}", step.inner)
                }
                _ => step.inner.to_owned(),
            };
            let most = max.map_or(String::new(), |max| (max - 1).to_string());
            taken += &format!(" {inner} {again}{{{},{most}}}", min - 1);
            // What must not follow a counted step may not come between its iterations either.
            let ends = match rest.first() {
                Some(Step { absent: Some(false), condition, .. }) => Some(condition),
                _ => None,
            };
            let ends = ends.filter(|_| max != Some(2));
            if let Some(until) = step.until.as_ref().or(ends) {
                // The loop's sum is that of its first row and of the others.
                let sum = |of: &str| format!("coalesce(sum({of}.price), 0)");
                let both = format!("{} + {}", sum(&step.name), sum(&name));
                let short = step.name.split_once('_').map_or("", |(_, short)| short);
                let until = until.replace(&format!("sum({short}.price)"), &both);
                let until = self.step(step, &until);
                taken += &format!(" UNTIL {until}");
            }
        }
        let after = if step.is_greedy { vec![(false, step.condition.clone())] } else { Vec::new() };
        if step.is_optional && !step.is_greedy && not.is_empty() {
            return self.build(rest, after, &format!("{lead}({taken})?"));
        }
        let begun = self.names;
        let mut ways = self.build(rest, after, &format!("{lead}{taken}"));
        if step.is_optional {
            // The steps before stand in both ways, under other names.
            let out = &renamed(out, begun);
            let mut not = not;
            if step.is_greedy {
                not.push((false, step.condition.clone()));
            }
            ways.extend(self.build(rest, not, out));
        }
        ways
    }
}

pub(crate) fn job(case: &Value) -> Result<Job, String> {
    let ast = &case["query"]["ast"];
    let steps = steps(ast);
    if steps.last().is_some_and(|last| last.is_greedy) {
        return Err("declared difference 7: a trailing loop acts at its minimum".into());
    }
    let after = ast["after_match"].as_str().unwrap_or("no_skip");
    let named = |name: &str| {
        let name = name.trim_end_matches("!strict").replace(|c: char| !c.is_alphanumeric(), "");
        steps.iter().find(|step| step.name.ends_with(&format!("_{name}"))).map(|s| s.name.clone())
    };
    let mut writer = Writer::default();
    let ways = writer.build(&steps, Vec::new(), "");
    let (all, skip) = match after.split_once(':') {
        Some((to, name)) => {
            let to = if to == "to_first" { "FIRST" } else { "LAST" };
            let mut name = named(name).ok_or("it skips to a step that it does not have")?;
            let last = writer.last.iter().find(|(of, _)| *of == name);
            if let ("LAST", Some((_, last))) = (to, last) {
                name.clone_from(last);
            }
            if to == "FIRST" && name == steps[0].name && !steps[0].is_optional {
                return Err("declared difference 5: skipping to the first step is refused".into());
            }
            (false, format!("AFTER MATCH SKIP TO {to} {name}"))
        }
        None if after == "no_skip" => (true, "AFTER MATCH SKIP TO NEXT ROW".to_owned()),
        None if after == "to_next" => (false, "AFTER MATCH SKIP TO NEXT ROW".to_owned()),
        None => (false, "AFTER MATCH SKIP PAST LAST ROW".to_owned()),
    };
    let within = match ast["within_ms"].as_u64() {
        Some(ms) => format!("WITHIN INTERVAL '{ms}' MILLISECOND"),
        None => String::new(),
    };
    let ways: Vec<String> = match ways.len() {
        1 => ways,
        _ => ways.iter().map(|way| format!("({way})")).collect(),
    };
    let columns: Vec<String> = (0..EVENTS_MAX).map(|at| format!("c{at} VARCHAR(8)")).collect();
    let values: Vec<String> = (0..EVENTS_MAX).map(|at| format!("first(id, {at})")).collect();
    let options = if all { "all" } else { "one" };
    let text = format!(
        "CREATE ACTION say ({});
CREATE RULE r WITH (matches = '{options}') ON E
  MATCH EVERY {}
  {within} {skip}
  THEN say({});",
        columns.join(", "),
        ways.join("\n  OR "),
        values.join(", ")
    );
    Ok(Job::new(text, End::HourLater))
}
