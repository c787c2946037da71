//! Cases written for an engine of steps with contiguity: steps become a pattern with gaps.
//!
//! That engine reports every way to match. Where it says `greedy`, a way ends when the loop could
//! have gone on; where its search skips, only the first way from each start counts.

use corelane_strategies::rules::pattern::{Gap, GapMode, Mode, Node, Skip, Spec, VarSet};
use serde_json::Value;

/// A step of the source, its variables numbered.
struct Step {
    var: u8,
    name: String,
    gap: GapMode,
    times: (u32, Option<u32>),
    is_optional: bool,
    is_greedy: bool,
    inner: GapMode,
    until: Option<u8>,
    /// A step that must not be: of the next row only, or until the next step.
    absent: Option<bool>,
}

/// A translated case: the specification, and of each variable its name and condition.
pub(crate) struct Translated {
    pub(crate) spec: Spec,
    pub(crate) vars: Vec<(String, String)>,
}

fn gap_mode(text: &str) -> GapMode {
    match text {
        "begin" | "next" | "strict" => GapMode::Strict,
        "followedByAny" | "any" => GapMode::Any,
        _ => GapMode::Next,
    }
}

pub(crate) fn translate(ast: &Value) -> Result<Translated, &'static str> {
    let mut vars: Vec<(String, String)> = Vec::new();
    let mut steps = Vec::new();
    for step in ast["steps"].as_array().expect("steps") {
        let text = |key: &str| step[key].as_str().unwrap_or_default().to_owned();
        let until = step["until"].as_str().map(|until| {
            vars.push((format!("until {}", text("var")), until.to_owned()));
            vars.len() as u8 - 1
        });
        vars.push((text("var"), text("where")));
        let times = match step["times"].as_array() {
            Some(times) => {
                (times[0].as_u64().unwrap_or(0) as u32, times[1].as_u64().map(|max| max as u32))
            }
            None => (1, Some(1)),
        };
        steps.push(Step {
            var: vars.len() as u8 - 1,
            name: text("var"),
            gap: gap_mode(&text("contiguity")),
            is_optional: step["optional"] == true || times.0 == 0,
            times: (times.0.max(1), times.1),
            is_greedy: step["greedy"] == true,
            inner: gap_mode(step["inner"].as_str().unwrap_or("relaxed")),
            until,
            absent: match text("contiguity").as_str() {
                "notNext" => Some(true),
                "notFollowedBy" => Some(false),
                _ => None,
            },
        });
    }
    let within_ns = ast["within_ms"].as_u64().map(|ms| ms * 1_000_000);
    // A row that is none of these and is no part of the match.
    let not_next = match steps.last() {
        Some(Step { absent: Some(true), var, .. }) => {
            let condition = format!("NOT {}", vars[usize::from(*var)].1);
            vars.push((String::from("other"), condition));
            Some(vars.len() as u8 - 1)
        }
        _ => None,
    };
    if steps.last().is_some_and(|last| last.is_greedy) {
        return Err("a trailing greedy loop: the rule that MATCH emits at the minimum decides");
    }
    let pattern = build(&steps, Gap::default(), not_next);
    let after = ast["after_match"].as_str().unwrap_or("no_skip");
    let of = |name: &str| {
        let name = name.trim_end_matches("!strict");
        VarSet::of(steps.iter().find(|step| step.name == name).map_or(u8::MAX, |step| step.var))
    };
    let (mode, skip) = match after.split_once(':') {
        Some(("to_first", name)) => (Mode::First, Skip::ToFirst(of(name))),
        Some((_, name)) => (Mode::First, Skip::ToLast(of(name))),
        None if after == "no_skip" => (Mode::All, Skip::ToNextRow),
        None if after == "to_next" => (Mode::First, Skip::ToNextRow),
        None => (Mode::First, Skip::PastLastRow),
    };
    let spec = Spec {
        mode,
        skip,
        within_ns,
        show_empty: false,
        show_timeouts: true,
        prev_rows: 0,
        ..Spec::new(pattern, vars.len())
    };
    Ok(Translated { spec, vars })
}

/// The pattern of the steps that are left. `guards` is what earlier ones say of the next row bound.
fn build(steps: &[Step], guards: Gap, not_next: Option<u8>) -> Node {
    let Some((step, rest)) = steps.split_first() else { return Node::Empty };
    if let Some(next_only) = step.absent {
        let unless = VarSet::of(step.var);
        if rest.is_empty() {
            return match not_next.filter(|_| next_only) {
                Some(other) => Node::Exclude(Box::new(Node::Var(other))),
                None => Node::Absent { unless, for_ns: None },
            };
        }
        let guards = if next_only {
            Gap { unless_first: guards.unless_first.or(unless), ..guards }
        } else {
            Gap { unless: guards.unless.or(unless), ..guards }
        };
        return build(rest, guards, not_next);
    }
    // A guard after a counted group holds while the group is open.
    let (mut trailing, mut trailing_first) = (VarSet::default(), VarSet::default());
    if let Some(Step { absent: Some(next_only), var, .. }) = rest.first() {
        *if *next_only { &mut trailing_first } else { &mut trailing } = VarSet::of(*var);
    }
    let until = step.until.map_or(VarSet::default(), VarSet::of);
    let first = Gap { mode: step.gap, ..guards };
    let unless = until.or(trailing);
    let inner = Gap { mode: step.inner, unless, unless_first: trailing_first, ..Gap::default() };
    let one = |gap: Gap| Node::Concat(vec![Node::Gap(gap), Node::Var(step.var)]);
    let (min, max) = step.times;
    let mut taken = vec![one(first)];
    if max != Some(1) {
        taken.push(one(inner).repeat(min - 1, max.map(|max| max - 1)));
    }
    let none = Gap::default();
    let greedy = VarSet::of(step.var);
    let after = if step.is_greedy { Gap { unless: greedy, ..none } } else { none };
    taken.push(build(rest, after, not_next));
    let taken = Node::Concat(taken);
    if !step.is_optional {
        return taken;
    }
    let mut skipped = guards;
    if step.is_greedy {
        skipped.unless = skipped.unless.or(greedy);
    }
    Node::Alt(vec![taken, build(rest, skipped, not_next)])
}
