//! MATCH of a rule: steps joined by `->` and `,`, brought to the same pattern as MATCH_RECOGNIZE.
//!
//! ```text
//! sequence = unit { ("->" ["EVERY"] | ",") unit }
//! unit     = both { "OR" both }          both = one { "AND" one }
//! one      = "NOT" step ["FOR" time] | "EVERY" (step | group | "NOT" step "FOR" time)
//!          | (step | group) [quantifier] ["UNTIL" step]
//! group    = "(" sequence ["WITHIN" time] ")"
//! step     = [name ":"] stream-or-name ["(" condition ")"]
//! ```
//!
//! Invariant: as in the parent module; every step is a variable of its own.

mod lower;

use sqlparser::ast::Expr;
use sqlparser::tokenizer::Token;

use super::{DEPTH_MAX, Parsed, Reader, Wrong};
use crate::rules::ast::{Define, MatchRule, Name, Pattern, RuleOption, SkipTo, Statement};
use crate::rules::pattern::Start;

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
    /// In so many nanoseconds from when it is waited for.
    Within(Box<Unit>, u64),
    /// EVERY of what is more than a step.
    Again(Box<Unit>),
    Both(Vec<Unit>),
    Either(Vec<Unit>),
    Repeat {
        unit: Box<Unit>,
        min: u32,
        max: Option<u32>,
        greedy: bool,
        until: Option<Name>,
    },
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
        let mut units = self.sequence(&mut defines, 0)?;
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
        let is_group = matches!(first, Some(Unit::Group(_) | Unit::Within(..)));
        // What acts more than once as it goes on is one attempt, which begins again within.
        let is_again = every && is_group && first.is_some_and(unit_has_every);
        let start = match every {
            true if is_again => Start::Once,
            // What was forbidden before the first step has come, or a time is over: so is it.
            false if first.is_some_and(is_forbidding) || has_limit(&units) => Start::Once,
            false => Start::UntilMatch,
            true if is_group || waits => Start::Again,
            true => Start::EveryRow,
        };
        // EVERY is of the first unit: the next one begins while what follows is waited for.
        let is_guard = matches!(first, Some(Unit::Not(_, None)));
        let anew = start == Start::Again && !is_guard && units.len() > 1;
        let all = has_every(&units);
        if is_again {
            let (link, first) = units.remove(0);
            units.insert(0, (link, Unit::Again(Box::new(first))));
        }
        let part = lower::lower_sequence(units, None, anew)?;
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
        if depth >= DEPTH_MAX {
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
            if link == Link::EveryOne && matches!(unit, Unit::Not(_, None)) {
                return Err(no_beginning(begin.start..self.here().start.max(begin.end)));
            }
            let (link, unit) = if link == Link::EveryOne { again(unit) } else { (link, unit) };
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
            let is_timed = |unit: &Unit| {
                matches!(unit, Unit::Not(_, Some(_)) | Unit::Within(..) | Unit::Again(_))
            };
            let is_guard = |unit: &Unit| matches!(unit, Unit::Not(_, None));
            let is_one = |unit: &Unit| is_not(unit) || single(unit).is_some();
            let is_mixed = both.iter().any(is_timed) && !both.iter().all(is_one);
            let is_wrong = both.len() > BOTH_MAX || both.iter().all(is_guard) || is_mixed;
            if both.len() > 1 && is_wrong {
                return Err(Wrong {
                    span,
                    title: "AND joins up to five steps, one of which is to come".to_owned(),
                    label: "beside NOT ... FOR, WITHIN and EVERY, steps alone".to_owned(),
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
            let begin = self.here();
            if depth >= DEPTH_MAX {
                return Err(no_beginning(begin));
            }
            let unit = self.one(defines, depth + 1)?;
            let span = begin.start..self.here().start.max(begin.end);
            return match unit {
                Unit::Step(name) => Ok(Unit::Every(name)),
                Unit::Not(_, Some(_)) | Unit::Group(_) | Unit::Within(..) => {
                    Ok(Unit::Again(Box::new(unit)))
                }
                _ => Err(no_beginning(span)),
            };
        }
        let unit = if self.parser.consume_token(&Token::LParen) {
            let inner = Unit::Group(self.sequence(defines, depth + 1)?);
            let within = if self.word("WITHIN") { Some(self.time()?) } else { None };
            self.token(&Token::RParen)?;
            match within {
                Some(ns) => Unit::Within(Box::new(inner), ns),
                None => inner,
            }
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
}

fn no_beginning(span: std::ops::Range<usize>) -> Wrong {
    Wrong {
        span,
        title: "EVERY is of a step, of brackets, or of NOT ... FOR a time".to_owned(),
        label: "this does not begin again".to_owned(),
    }
}

/// A unit behind `-> EVERY`: a step is found as often as it comes, what is more begins again.
fn again(unit: Unit) -> (Link, Unit) {
    match unit {
        Unit::Not(..) | Unit::Group(_) | Unit::Within(..) => {
            (Link::Eventually, Unit::Again(Box::new(unit)))
        }
        Unit::Both(mut all) if !matches!(all[0], Unit::Step(_)) => {
            all[0] = again(all[0].clone()).1;
            (Link::Eventually, Unit::Both(all))
        }
        unit => (Link::EveryOne, unit),
    }
}

/// The one step that a unit comes to.
fn single(unit: &Unit) -> Option<&Name> {
    match unit {
        Unit::Step(name) | Unit::Every(name) | Unit::Not(name, Some(_)) => Some(name),
        Unit::Group(units) if units.len() == 1 => single(&units[0].1),
        Unit::Within(unit, _) => single(unit),
        _ => None,
    }
}

fn is_not(unit: &Unit) -> bool {
    matches!(unit, Unit::Not(..))
}

/// Whether an attempt can wait without a row: EVERY is then no beginning at every row.
fn waits(unit: &Unit) -> bool {
    match unit {
        Unit::Not(..) | Unit::Within(..) => true,
        Unit::Both(all) | Unit::Either(all) => all.iter().any(waits),
        _ => false,
    }
}

/// Whether it forbids what has no time limit, or has a time limit itself.
fn is_forbidding(unit: &Unit) -> bool {
    match unit {
        Unit::Not(_, None) | Unit::Within(..) => true,
        Unit::Both(all) => all.iter().any(is_forbidding),
        Unit::Either(all) => all.iter().any(|unit| matches!(unit, Unit::Within(..))),
        Unit::Group(units) => units.first().is_some_and(|(_, unit)| is_forbidding(unit)),
        _ => false,
    }
}

/// Whether a part has a time of its own, but for what begins again.
fn has_limit(units: &[(Link, Unit)]) -> bool {
    fn of(unit: &Unit) -> bool {
        match unit {
            Unit::Within(..) => true,
            Unit::Group(units) => has_limit(units),
            Unit::Both(units) | Unit::Either(units) => units.iter().any(of),
            Unit::Repeat { unit, .. } => of(unit),
            Unit::Again(_) | Unit::Every(_) | Unit::Step(_) | Unit::Not(..) => false,
        }
    }
    units.iter().any(|(_, unit)| of(unit))
}

fn has_every(units: &[(Link, Unit)]) -> bool {
    units.iter().any(|(link, unit)| *link == Link::EveryOne || unit_has_every(unit))
}

fn unit_has_every(unit: &Unit) -> bool {
    match unit {
        Unit::Group(units) => has_every(units),
        Unit::Both(units) | Unit::Either(units) => units.iter().any(unit_has_every),
        Unit::Repeat { unit, .. } => unit_has_every(unit),
        Unit::Within(unit, _) => unit_has_every(unit),
        Unit::Every(_) | Unit::Again(_) => true,
        Unit::Step(_) | Unit::Not(..) => false,
    }
}
