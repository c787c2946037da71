//! Steps, groups and what joins them to the parts that the engine knows.
//!
//! Invariant: a unit's way in goes to each of its first rows.

use super::{Link, Parsed, Unit, Wrong, is_not, single, unit_has_every};
use crate::rules::ast::{Name, Part};
use crate::rules::pattern::GapMode;

/// How a row is found.
#[derive(Clone)]
pub(super) struct Way {
    mode: GapMode,
    unless: Vec<Name>,
    unless_first: Vec<Name>,
    yields: Vec<Name>,
    goes_on: bool,
}

impl Way {
    fn new(mode: GapMode, unless: Vec<Name>) -> Self {
        Self { mode, unless, unless_first: Vec::new(), yields: Vec::new(), goes_on: false }
    }

    fn part(self) -> Part {
        let Self { mode, unless, unless_first, yields, goes_on } = self;
        Part::Gap { mode, unless, unless_first, yields, goes_on }
    }
}

/// The part that a sequence comes to. With `anew`, the next attempt begins when its first unit is
/// complete.
pub(super) fn lower_sequence(
    units: Vec<(Link, Unit)>,
    lead: Option<Way>,
    anew: bool,
) -> Parsed<Part> {
    let mut parts = Vec::new();
    let (mut unless, mut unless_first) = (Vec::new(), Vec::new());
    let mut lead = lead;
    let count = units.len();
    // More of a loop directly before an absence: the absence is of what follows all of it.
    let mut more: Option<Name> = None;
    let links: Vec<Link> = units.iter().map(|(link, _)| *link).collect();
    for (at, (link, unit)) in units.into_iter().enumerate() {
        let is_last = at + 1 == count;
        if let Unit::Not(step, None) = unit {
            if is_last {
                let others = Vec::new();
                parts.push(Part::Absent { var: step, for_ns: None, others });
            } else if link == Link::Directly {
                unless_first.push(step);
            } else {
                unless.push(step);
            }
            continue;
        }
        if let (Unit::Again(_), Some(step)) = (&unit, unless.first().or(unless_first.first())) {
            return Err(Wrong {
                span: step.span.clone(),
                title: "what must not come would end what begins again".to_owned(),
                label: "put it into the brackets of EVERY".to_owned(),
            });
        }
        let mode = match link {
            Link::First => GapMode::Next,
            Link::Eventually => GapMode::Next,
            Link::EveryOne => GapMode::Any,
            Link::Directly => GapMode::Strict,
        };
        let guarded = !unless.is_empty() || !unless_first.is_empty();
        let mut way = Way::new(mode, take(&mut unless));
        way.unless_first = take(&mut unless_first);
        let is_first = parts.is_empty();
        let way = match lead.take() {
            Some(lead) if is_first => {
                way.mode = lead.mode;
                way.goes_on = lead.goes_on;
                way.yields = lead.yields;
                way.unless.extend(lead.unless);
                way.unless_first.extend(lead.unless_first);
                Some(way)
            }
            _ => (!is_first || guarded).then_some(way),
        };
        let next = links.get(at + 1);
        let again = match link {
            Link::EveryOne => GapMode::Any,
            Link::Directly => GapMode::Strict,
            Link::First if next == Some(&Link::Directly) => GapMode::Strict,
            Link::First | Link::Eventually => GapMode::Next,
        };
        let before = more.take().filter(|_| link == Link::Directly);
        more = match &unit {
            Unit::Repeat { unit, .. } => single(unit).cloned(),
            _ => None,
        };
        let mut part = lower(unit, way, again)?;
        if let (Some(before), Some(others)) = (before, others_of(&mut part)) {
            others.push(before);
        }
        parts.push(part);
        if anew && at == 0 {
            parts.push(Part::Anew);
        }
    }
    Ok(if parts.len() == 1 { parts.remove(0) } else { Part::Sequence(parts) })
}

/// A unit, found in a way; its iterations follow each other as `again` says.
fn lower(unit: Unit, way: Option<Way>, again: GapMode) -> Parsed<Part> {
    let led = |part: Part| match way.clone() {
        Some(way) => Part::Sequence(vec![way.part(), part]),
        None => part,
    };
    Ok(match unit {
        Unit::Step(name) => led(Part::Var(name)),
        Unit::Not(var, for_ns) => led(Part::Absent { var, for_ns, others: Vec::new() }),
        Unit::Every(name) => {
            let mut way = way.unwrap_or_else(|| Way::new(GapMode::Any, Vec::new()));
            way.mode = GapMode::Any;
            Part::Sequence(vec![way.part(), Part::Var(name)])
        }
        Unit::Group(units) => lower_sequence(units, way, false)?,
        Unit::Within(unit, ns) => Part::Within(Box::new(lower(*unit, way, again)?), ns),
        Unit::Again(unit) => Part::Every(Box::new(lower(*unit, way, again)?)),
        Unit::Either(units) => lower_either(units, way.as_ref(), again)?,
        Unit::Both(units) => lower_both(units, way.as_ref())?,
        Unit::Repeat { unit, min, max, greedy, until } => {
            let mut way = way;
            if let (0, Some(until)) = (min, &until) {
                // The first iteration is one that may not come.
                let lead = way.get_or_insert_with(|| Way::new(GapMode::Next, Vec::new()));
                lead.unless.push(until.clone());
            }
            let next = Way::new(again, until.into_iter().collect());
            let repeat = |part: Part, min: u32, max: Option<u32>| Part::Repeat {
                part: Box::new(part),
                min,
                max,
                greedy,
            };
            let rest = lower((*unit).clone(), Some(next), again)?;
            let first = lower(*unit, way, again)?;
            let most = max.map(|max| max - 1);
            let least = min.saturating_sub(1);
            let tail = (most != Some(0)).then(|| repeat(rest, least, most));
            let all = Part::Sequence(std::iter::once(first).chain(tail).collect());
            if min == 0 { repeat(all, 0, Some(1)) } else { all }
        }
    })
}

/// One of them; of steps, the one that comes first.
fn lower_either(units: Vec<Unit>, way: Option<&Way>, again: GapMode) -> Parsed<Part> {
    let steps: Vec<Name> = units
        .iter()
        .filter_map(|unit| match unit {
            Unit::Step(name) => Some(name.clone()),
            _ => None,
        })
        .collect();
    let is_first = steps.len() == units.len();
    // A step that comes ends the wait for the others, whose times may differ.
    let is_once = |unit: &Unit| single(unit).is_some() && !unit_has_every(unit);
    let ends_others = !is_first && units.iter().all(is_once);
    let mut all = Vec::new();
    for (at, unit) in units.into_iter().enumerate() {
        let mut way = way.cloned();
        if is_first {
            let way = way.get_or_insert_with(|| Way::new(GapMode::Next, Vec::new()));
            let others = (0..).zip(&steps).filter(|(other, _)| *other != at);
            way.yields = others.map(|(_, name)| name.clone()).collect();
        }
        all.push(lower(unit, way, again)?);
    }
    let either = Part::Either(all);
    Ok(if ends_others { Part::First(Box::new(either)) } else { either })
}

/// Steps and absences in any order; what must not come may not until the last of them.
fn lower_both(units: Vec<Unit>, way: Option<&Way>) -> Parsed<Part> {
    let (mut all, mut unless) = (Vec::new(), Vec::new());
    for unit in units {
        match unit {
            Unit::Not(step, None) => unless.push(step),
            other => all.push(other),
        }
    }
    let is_timed = all.iter().any(|unit| is_not(unit) || matches!(unit, Unit::Within(..)));
    let has_every = all.iter().any(unit_has_every);
    // What an order waits for later: an absence whose time is not over yet must not have come
    // before; of a step that counts once, which has, the other order tells.
    let forbidden = |unit: &Unit| match unit {
        Unit::Not(name, _) => Some(name.clone()),
        _ => None,
    };
    let taken = |unit: &Unit| match unit {
        Unit::Step(_) | Unit::Within(..) if has_every => single(unit).cloned(),
        _ => None,
    };
    let limit = |unit: &Unit| match unit {
        Unit::Within(_, ns) => Some(*ns),
        _ => None,
    };
    let time = |unit: &Unit| match unit {
        Unit::Not(_, for_ns) => *for_ns,
        _ => None,
    };
    let mut orders = Vec::new();
    for order in permutations(all.len()) {
        let times: Vec<u64> = order.iter().filter_map(|&at| time(&all[at])).collect();
        if !times.is_sorted() {
            continue;
        }
        let mut parts = Vec::new();
        for (place, &at) in order.iter().enumerate() {
            let ahead = || order[place + 1..].iter().map(|&at| &all[at]);
            let guards = unless.iter().cloned().chain(ahead().filter_map(forbidden));
            let guards: Vec<Name> = guards.collect();
            let yields: Vec<Name> = ahead().filter_map(taken).collect();
            let way = match (place, way.cloned()) {
                (0, None) if guards.is_empty() && yields.is_empty() => None,
                (0, lead) => {
                    let mut way = lead.unwrap_or_else(|| Way::new(GapMode::Next, Vec::new()));
                    way.unless.extend(guards);
                    way.yields.extend(yields);
                    Some(way)
                }
                _ => {
                    let way = Way::new(GapMode::Next, guards);
                    Some(Way { goes_on: is_timed, yields, ..way })
                }
            };
            let part = lower(all[at].clone(), way, GapMode::Next)?;
            // The time of what comes later runs out meanwhile.
            parts.push(match ahead().filter_map(limit).min() {
                Some(ns) => Part::Within(Box::new(part), ns),
                None => part,
            });
        }
        orders.push(Part::Sequence(parts));
    }
    let either = Part::Either(orders);
    // The first row that fits a step is the one that it has: other orders end.
    let ends_others = !has_every;
    Ok(if ends_others { Part::First(Box::new(either)) } else { either })
}

/// What must not come beside what an absence is of, if the part is one with its way.
fn others_of(part: &mut Part) -> Option<&mut Vec<Name>> {
    match part {
        Part::Absent { others, .. } => Some(others),
        Part::Sequence(parts) => match parts.as_mut_slice() {
            [Part::Gap { .. }, Part::Absent { others, .. }] => Some(others),
            _ => None,
        },
        _ => None,
    }
}

fn take(names: &mut Vec<Name>) -> Vec<Name> {
    std::mem::take(names)
}

/// Every order of so many things, as in a dictionary.
fn permutations(count: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for _ in 0..count {
        let longer = |order: &Vec<usize>| -> Vec<Vec<usize>> {
            let left = (0..count).filter(|at| !order.contains(at));
            left.map(|at| order.iter().copied().chain([at]).collect()).collect()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}
