//! MATCH of a rule: steps joined by `->` and `,`, brought to the same pattern as MATCH_RECOGNIZE.
//!
//! ```text
//! sequence = unit { ("->" ["EVERY"] | ",") unit }
//! unit     = both { "OR" both }          both = one { "AND" one }
//! one      = "NOT" step ["FOR" time] | ["EVERY"] step
//!          | (step | "(" sequence ")") [quantifier] ["UNTIL" step]
//! step     = [name ":"] stream-or-name ["(" condition ")"]
//! ```
//!
//! Invariant: as in the parent module; every step is a variable of its own.

use sqlparser::ast::Expr;
use sqlparser::tokenizer::Token;

use super::{DEPTH_MAX, Parsed, Reader, Wrong};
use crate::rules::ast::{Define, MatchRule, Name, Part, Pattern, RuleOption, SkipTo, Statement};
use crate::rules::pattern::{GapMode, Start};

/// Steps that AND joins, at most: each order is a way of its own.
const BOTH_MAX: usize = 5;
/// What a step cannot be called.
const RESERVED: [&str; 11] =
    ["THEN", "WITHIN", "ABSENT", "AND", "OR", "NOT", "FOR", "UNTIL", "EVERY", "AFTER", "MATCH"];

/// What stands between two units.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Link {
    First,
    Eventually,
    EveryOne,
    Directly,
}

#[derive(Clone)]
enum Unit {
    Step(Name),
    Not(Name, Option<u64>),
    Every(Name),
    Group(Vec<(Link, Unit)>),
    Both(Vec<Unit>),
    Either(Vec<Unit>),
    Repeat { unit: Box<Unit>, min: u32, max: Option<u32>, greedy: bool, until: Option<Name> },
}

/// How a row is found.
#[derive(Clone)]
struct Way {
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

impl Reader<'_> {
    /// What follows `MATCH`.
    pub(super) fn match_rule(
        &mut self,
        name: Name,
        options: Vec<RuleOption>,
        streams: Vec<(Name, Option<Name>)>,
        partition: Vec<Expr>,
    ) -> Parsed<Statement> {
        let begin = self.here();
        let mut defines = Vec::new();
        let every = self.word("EVERY");
        let units = self.sequence(&mut defines, 0)?;
        let span = begin.start..self.here().start.max(begin.end);
        let within_ns = if self.word("WITHIN") { Some(self.time()?) } else { None };
        let mut poison = Vec::new();
        if self.word("ABSENT") {
            loop {
                poison.push(self.step(&mut defines)?);
                if !self.parser.consume_token(&Token::Comma) {
                    break;
                }
            }
        }
        let skip = self.skip()?.unwrap_or(SkipTo::NextRow);
        let then = self.then()?;
        let first = units.first().map(|(_, unit)| unit);
        let waits = first.is_some_and(waits);
        let is_group = matches!(first, Some(Unit::Group(_)));
        let start = match every {
            // What was forbidden before the first step has come: it is over.
            false if first.is_some_and(is_forbidding) => Start::Once,
            false => Start::UntilMatch,
            true if is_group || waits => Start::Again,
            true => Start::EveryRow,
        };
        // EVERY is of the first unit: the next one begins while what follows is waited for.
        let is_guard = matches!(first, Some(Unit::Not(_, None)));
        let anew = start == Start::Again && !is_guard && units.len() > 1;
        let all = has_every(&units);
        let part = self.lower_sequence(units, None, anew)?;
        let subsets = Vec::new();
        let pattern = Pattern { span, part, defines, subsets, within_ns, skip };
        Ok(Statement::MatchRule(Box::new(MatchRule {
            name,
            options,
            streams,
            partition,
            pattern,
            start,
            all,
            poison,
            then,
        })))
    }

    fn sequence(&mut self, defines: &mut Vec<Define>, depth: usize) -> Parsed<Vec<(Link, Unit)>> {
        if depth == DEPTH_MAX {
            let (title, label) = ("the pattern is nested too deeply", "here");
            return Err(Wrong { span: self.here(), title: title.into(), label: label.into() });
        }
        let mut units = vec![(Link::First, self.unit(defines, depth)?)];
        loop {
            let link = if self.parser.consume_token(&Token::Arrow) {
                if self.word("EVERY") { Link::EveryOne } else { Link::Eventually }
            } else if self.parser.consume_token(&Token::Comma) {
                Link::Directly
            } else {
                return Ok(units);
            };
            let begin = self.here();
            let unit = self.unit(defines, depth)?;
            if link == Link::EveryOne && is_not(&unit) {
                return Err(Wrong {
                    span: begin.start..self.here().start.max(begin.end),
                    title: "EVERY behind `->` repeats a step, not an absence".to_owned(),
                    label: "this is no step".to_owned(),
                });
            }
            units.push((link, unit));
        }
    }

    fn unit(&mut self, defines: &mut Vec<Define>, depth: usize) -> Parsed<Unit> {
        let mut all = Vec::new();
        loop {
            let begin = self.here();
            let mut both = vec![self.one(defines, depth)?];
            while self.word("AND") {
                both.push(self.one(defines, depth)?);
            }
            let span = begin.start..self.here().start.max(begin.end);
            let is_timed = |unit: &Unit| matches!(unit, Unit::Not(_, Some(_)));
            let is_guard = |unit: &Unit| matches!(unit, Unit::Not(_, None));
            let is_step = |unit: &Unit| matches!(unit, Unit::Step(_) | Unit::Every(_));
            let is_mixed =
                both.iter().any(is_timed) && !both.iter().all(|unit| is_not(unit) || is_step(unit));
            let is_wrong = both.len() > BOTH_MAX || both.iter().all(is_guard) || is_mixed;
            if both.len() > 1 && is_wrong {
                return Err(Wrong {
                    span,
                    title: "AND joins up to five steps, one of which is to come".to_owned(),
                    label: "beside NOT ... FOR a time, steps alone".to_owned(),
                });
            }
            all.push(if both.len() == 1 { both.remove(0) } else { Unit::Both(both) });
            if !self.word("OR") {
                return Ok(if all.len() == 1 { all.remove(0) } else { Unit::Either(all) });
            }
        }
    }

    fn one(&mut self, defines: &mut Vec<Define>, depth: usize) -> Parsed<Unit> {
        if self.word("NOT") {
            let step = self.step(defines)?;
            let for_ns = if self.word("FOR") { Some(self.time()?) } else { None };
            return Ok(Unit::Not(step, for_ns));
        }
        if self.word("EVERY") {
            return Ok(Unit::Every(self.step(defines)?));
        }
        let unit = if self.parser.consume_token(&Token::LParen) {
            let inner = self.sequence(defines, depth + 1)?;
            self.token(&Token::RParen)?;
            Unit::Group(inner)
        } else {
            Unit::Step(self.step(defines)?)
        };
        let Some((min, max)) = self.quantifier()? else { return Ok(unit) };
        let greedy = !self.parser.consume_token(&Token::Placeholder("?".to_owned()));
        let until = if self.word("UNTIL") { Some(self.step(defines)?) } else { None };
        Ok(Unit::Repeat { unit: Box::new(unit), min, max, greedy, until })
    }

    /// `[name:] stream (condition)`. Without a name it is called as its stream is; the second one
    /// of a name cannot be named.
    fn step(&mut self, defines: &mut Vec<Define>) -> Parsed<Name> {
        let is_named = self.parser.peek_nth_token(1).token == Token::Colon;
        let next = self.parser.peek_token().token;
        let is_reserved = matches!(&next, Token::Word(word)
            if RESERVED.iter().any(|known| word.value.eq_ignore_ascii_case(known)));
        if is_reserved {
            return Err(self.expected("a step: `name:stream(condition)`"));
        }
        let mut var = self.name("a step: `name:stream(condition)`")?;
        let mut stream = None;
        if is_named {
            self.token(&Token::Colon)?;
            if matches!(self.parser.peek_token().token, Token::Word(_)) {
                stream = Some(self.name("a stream")?);
            }
            let is_taken = defines.iter().any(|define| define.var.text == var.text);
            if is_taken {
                let title = format!("`{}` is a step already", var.text);
                return Err(Wrong { span: var.span, title, label: "again".to_owned() });
            }
        } else {
            stream = Some(var.clone());
            while defines.iter().any(|define| define.var.text == var.text) {
                var.text.push('#');
            }
        }
        let mut condition = None;
        if self.parser.consume_token(&Token::LParen) {
            if self.parser.peek_token().token != Token::RParen {
                condition = Some(self.expr()?);
            }
            self.token(&Token::RParen)?;
        }
        let name = var.clone();
        defines.push(Define { var, stream, condition });
        Ok(name)
    }

    /// With `anew`, the next attempt begins when the first unit is complete.
    fn lower_sequence(
        &self,
        units: Vec<(Link, Unit)>,
        lead: Option<Way>,
        anew: bool,
    ) -> Parsed<Part> {
        let mut parts = Vec::new();
        let (mut unless, mut unless_first) = (Vec::new(), Vec::new());
        let mut lead = lead;
        let count = units.len();
        let links: Vec<Link> = units.iter().map(|(link, _)| *link).collect();
        for (at, (link, unit)) in units.into_iter().enumerate() {
            let is_last = at + 1 == count;
            if let Unit::Not(step, None) = unit {
                if is_last {
                    parts.push(Part::Absent { var: step, for_ns: None });
                } else if link == Link::Directly {
                    unless_first.push(step);
                } else {
                    unless.push(step);
                }
                continue;
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
            parts.push(self.lower(unit, way, again)?);
            if anew && at == 0 {
                parts.push(Part::Anew);
            }
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Part::Sequence(parts) })
    }

    /// A unit, found in a way; its iterations follow each other as `again` says.
    fn lower(&self, unit: Unit, way: Option<Way>, again: GapMode) -> Parsed<Part> {
        let led = |part: Part| match way.clone() {
            Some(way) => Part::Sequence(vec![way.part(), part]),
            None => part,
        };
        Ok(match unit {
            Unit::Step(name) => led(Part::Var(name)),
            Unit::Not(var, for_ns) => led(Part::Absent { var, for_ns }),
            Unit::Every(name) => {
                let mut way = way.unwrap_or_else(|| Way::new(GapMode::Any, Vec::new()));
                way.mode = GapMode::Any;
                Part::Sequence(vec![way.part(), Part::Var(name)])
            }
            Unit::Group(units) => self.lower_sequence(units, way, false)?,
            Unit::Either(units) => self.lower_either(units, way.as_ref(), again)?,
            Unit::Both(units) => self.lower_both(units, way.as_ref())?,
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
                let rest = self.lower((*unit).clone(), Some(next), again)?;
                let first = self.lower(*unit, way, again)?;
                let most = max.map(|max| max - 1);
                let least = min.saturating_sub(1);
                let tail = (most != Some(0)).then(|| repeat(rest, least, most));
                let all = Part::Sequence(std::iter::once(first).chain(tail).collect());
                if min == 0 { repeat(all, 0, Some(1)) } else { all }
            }
        })
    }

    /// One of them; of steps, the one that comes first.
    fn lower_either(&self, units: Vec<Unit>, way: Option<&Way>, again: GapMode) -> Parsed<Part> {
        let steps: Vec<Name> = units
            .iter()
            .filter_map(|unit| match unit {
                Unit::Step(name) => Some(name.clone()),
                _ => None,
            })
            .collect();
        let is_first = steps.len() == units.len();
        let mut all = Vec::new();
        for (at, unit) in units.into_iter().enumerate() {
            let mut way = way.cloned();
            if is_first {
                let way = way.get_or_insert_with(|| Way::new(GapMode::Next, Vec::new()));
                let others = (0..).zip(&steps).filter(|(other, _)| *other != at);
                way.yields = others.map(|(_, name)| name.clone()).collect();
            }
            all.push(self.lower(unit, way, again)?);
        }
        Ok(Part::Either(all))
    }

    /// Steps and absences in any order; what must not come may not until the last of them.
    fn lower_both(&self, units: Vec<Unit>, way: Option<&Way>) -> Parsed<Part> {
        let (mut all, mut unless) = (Vec::new(), Vec::new());
        for unit in units {
            match unit {
                Unit::Not(step, None) => unless.push(step),
                other => all.push(other),
            }
        }
        let is_timed = all.iter().any(is_not);
        let has_every = all.iter().any(unit_has_every);
        // What an order waits for later: an absence whose time is not over yet, and a step that
        // counts once, must not have come before.
        let is_ahead = |unit: &Unit| match unit {
            Unit::Not(name, _) => Some(name.clone()),
            Unit::Step(name) if has_every => Some(name.clone()),
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
                let ahead = order[place + 1..].iter().filter_map(|&at| is_ahead(&all[at]));
                let guards: Vec<Name> = unless.iter().cloned().chain(ahead).collect();
                let way = match (place, way.cloned()) {
                    (0, None) if guards.is_empty() => None,
                    (0, lead) => {
                        let mut way = lead.unwrap_or_else(|| Way::new(GapMode::Next, Vec::new()));
                        way.unless.extend(guards);
                        Some(way)
                    }
                    _ => Some(Way { goes_on: is_timed, ..Way::new(GapMode::Next, guards) }),
                };
                parts.push(self.lower(all[at].clone(), way, GapMode::Next)?);
            }
            orders.push(Part::Sequence(parts));
        }
        Ok(Part::Either(orders))
    }
}

fn take(names: &mut Vec<Name>) -> Vec<Name> {
    std::mem::take(names)
}

fn is_not(unit: &Unit) -> bool {
    matches!(unit, Unit::Not(..))
}

/// Whether an attempt can wait without a row: EVERY is then no beginning at every row.
fn waits(unit: &Unit) -> bool {
    match unit {
        Unit::Not(..) => true,
        Unit::Both(all) | Unit::Either(all) => all.iter().any(is_not),
        _ => false,
    }
}

/// Whether it forbids what has no time limit.
fn is_forbidding(unit: &Unit) -> bool {
    match unit {
        Unit::Not(_, None) => true,
        Unit::Both(all) => all.iter().any(|unit| matches!(unit, Unit::Not(_, None))),
        Unit::Group(units) => units.first().is_some_and(|(_, unit)| is_forbidding(unit)),
        _ => false,
    }
}

fn has_every(units: &[(Link, Unit)]) -> bool {
    units.iter().any(|(link, unit)| *link == Link::EveryOne || unit_has_every(unit))
}

fn unit_has_every(unit: &Unit) -> bool {
    match unit {
        Unit::Group(units) => has_every(units),
        Unit::Both(units) | Unit::Either(units) => units.iter().any(unit_has_every),
        Unit::Repeat { unit, .. } => unit_has_every(unit),
        Unit::Every(_) => true,
        Unit::Step(_) | Unit::Not(..) => false,
    }
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
