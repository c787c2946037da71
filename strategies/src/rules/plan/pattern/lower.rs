//! What a pattern and its expressions are made of, and the engine's form of a pattern.
//!
//! Invariant: nothing here can fail: names were looked up before.

use crate::rules::ast::{Name, Part};
use crate::rules::catalog::Column;
use crate::rules::expr::{Node, Typed};
use crate::rules::pattern::{Gap, GapMode, Node as PatternNode, VARS_MAX, VarSet};
use crate::rules::resolve::{PatternScope, Variable};

/// Every column that an expression reads.
pub(super) fn columns_of(typed: &Typed, each: &mut dyn FnMut(Column)) {
    if let Node::Column(column) = typed.node {
        each(column);
    }
    typed.parts().into_iter().for_each(|part| columns_of(part, each));
}

/// The navigations that an expression has as inputs.
pub(super) fn navs_of(typed: &Typed) -> Vec<u16> {
    let mut navs = Vec::new();
    let mut open = vec![typed];
    while let Some(typed) = open.pop() {
        if let Node::Window { aggregate, .. } = typed.node {
            navs.push(aggregate as u16);
        }
        open.extend(typed.parts());
    }
    navs.sort_unstable();
    navs.dedup();
    navs
}

/// Every variable of a part, in order, each once.
pub(super) fn vars_of(part: &Part, out: &mut Vec<Name>) {
    let mut add = |name: &Name| {
        if !out.iter().any(|known: &Name| known.text.eq_ignore_ascii_case(&name.text)) {
            out.push(name.clone());
        }
    };
    match part {
        Part::Var(name) => add(name),
        Part::Gap { unless, unless_first, .. } => unless.iter().chain(unless_first).for_each(add),
        Part::Absent { var, .. } => add(var),
        Part::Sequence(parts) | Part::Either(parts) | Part::Permute(parts) => {
            parts.iter().for_each(|part| vars_of(part, out));
        }
        Part::Repeat { part, .. }
        | Part::Exclude(part)
        | Part::Within(part, _)
        | Part::Every(part)
        | Part::First(part) => vars_of(part, out),
        Part::Start | Part::End | Part::Empty | Part::Anew => {}
    }
}

/// Whether rows that fit nothing may lie between rows of a match.
pub(super) fn has_gaps(part: &Part) -> bool {
    match part {
        Part::Gap { mode, .. } => *mode != GapMode::Strict,
        Part::Absent { .. } | Part::Within(..) | Part::Every(_) | Part::First(_) => true,
        Part::Sequence(parts) | Part::Either(parts) | Part::Permute(parts) => {
            parts.iter().any(has_gaps)
        }
        Part::Repeat { part, .. } | Part::Exclude(part) => has_gaps(part),
        Part::Var(_) | Part::Start | Part::End | Part::Empty | Part::Anew => false,
    }
}

pub(super) fn number_of(scope: &PatternScope, name: &Name) -> u8 {
    let is_it = |var: &Variable| var.name.eq_ignore_ascii_case(&name.text);
    scope.vars.iter().position(is_it).unwrap_or(VARS_MAX) as u8
}

pub(super) fn lowered(scope: &PatternScope, part: &Part) -> PatternNode {
    let all = |parts: &[Part]| parts.iter().map(|part| lowered(scope, part)).collect();
    let set = |names: &[Name]| {
        names.iter().fold(VarSet(0), |set, name| set.or(VarSet::of(number_of(scope, name))))
    };
    match part {
        Part::Var(name) => PatternNode::Var(number_of(scope, name)),
        Part::Sequence(parts) => PatternNode::Concat(all(parts)),
        Part::Either(parts) => PatternNode::Alt(all(parts)),
        Part::Permute(parts) => PatternNode::Permute(all(parts)),
        Part::Repeat { part, min, max, greedy } => PatternNode::Repeat {
            node: Box::new(lowered(scope, part)),
            min: *min,
            max: *max,
            greedy: *greedy,
        },
        Part::Exclude(part) => PatternNode::Exclude(Box::new(lowered(scope, part))),
        Part::Within(part, ns) => {
            PatternNode::Within { node: Box::new(lowered(scope, part)), ns: *ns }
        }
        Part::Every(part) => PatternNode::Every(Box::new(lowered(scope, part))),
        Part::First(part) => PatternNode::First(Box::new(lowered(scope, part))),
        Part::Start => PatternNode::Start,
        Part::End => PatternNode::End,
        Part::Empty => PatternNode::Empty,
        Part::Anew => PatternNode::Anew,
        Part::Gap { mode, unless, unless_first, yields, goes_on } => PatternNode::Gap(Gap {
            mode: *mode,
            unless: set(unless),
            unless_first: set(unless_first),
            yields: set(yields),
            goes_on: *goes_on,
        }),
        Part::Absent { var, for_ns, others } => {
            let unless = set(std::slice::from_ref(var)).or(set(others));
            PatternNode::Absent { unless, for_ns: *for_ns }
        }
    }
}
