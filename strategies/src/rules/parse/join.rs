//! Joins: as sqlparser reads them behind FROM, and the shorthand's behind ON.

use std::ops::Range;

use sqlparser::ast::{Expr, Join, JoinConstraint, JoinOperator, Spanned, TableFactor};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::query::joined;
use super::{Parsed, Reader, Wrong};
use crate::rules::ast::{JoinClause, Name};
use crate::rules::join::JoinKind;

impl Reader<'_> {
    /// The joins of a FROM, of which there may be one.
    pub(super) fn joined_with(
        &mut self,
        joins: &[Join],
        span: &Range<usize>,
    ) -> Parsed<Option<JoinClause>> {
        let refuse = |what: &str| Wrong {
            span: span.clone(),
            title: format!("{what} is not there yet"),
            label: "in this query".to_owned(),
        };
        let [join] = joins else {
            let many = "a join of more than two streams: INSERT INTO a stream between them; this";
            return if joins.is_empty() { Ok(None) } else { Err(refuse(many)) };
        };
        let mut closest = None;
        let (kind, constraint) = match &join.join_operator {
            JoinOperator::AsOf { match_condition, constraint } => {
                self.bounded(match_condition, span)?;
                closest = Some(match_condition.clone());
                (if self.is_asof_left { JoinKind::Left } else { JoinKind::Inner }, constraint)
            }
            JoinOperator::Join(on) | JoinOperator::Inner(on) => (JoinKind::Inner, on),
            JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => (JoinKind::Left, on),
            JoinOperator::Right(on) | JoinOperator::RightOuter(on) => (JoinKind::Right, on),
            JoinOperator::FullOuter(on) => (JoinKind::Full, on),
            JoinOperator::Semi(on) | JoinOperator::LeftSemi(on) => (JoinKind::Semi, on),
            JoinOperator::Anti(on) | JoinOperator::LeftAnti(on) => (JoinKind::Anti, on),
            _ => return Err(refuse("this kind of join")),
        };
        let JoinConstraint::On(on) = constraint else {
            return Err(refuse("a join without ON"));
        };
        self.bounded(on, span)?;
        let TableFactor::Table { name, alias, .. } = &join.relation else {
            return Err(refuse("anything but a stream behind JOIN"));
        };
        let stream = Name { text: joined(name), span: self.places.bytes(name.span()) };
        let alias = alias.as_ref().map(|alias| self.ident(&alias.name));
        let span = stream.span.clone();
        let (per, within, on) = (None, None, on.clone());
        Ok(Some(JoinClause { kind, stream, alias, per, closest, on, within, span }))
    }

    /// The shorthand's `JOIN [LATEST] stream [PER (columns)] ON condition [WITHIN interval]`, and
    /// `ASOF JOIN stream MATCH_CONDITION (condition) ON ...`.
    pub(super) fn join(&mut self) -> Parsed<Option<JoinClause>> {
        let begin = self.here();
        let is_asof = self.word("ASOF");
        if !self.word("JOIN") {
            return if is_asof { Err(self.expected("`JOIN`")) } else { Ok(None) };
        }
        let is_latest = !is_asof && self.word("LATEST");
        let (stream, mut alias) = self.stream()?;
        let closest = if is_asof { Some(self.match_condition()?) } else { None };
        let mut per = None;
        // PER is no keyword, so it is taken for another name of the stream.
        let is_per = |alias: &Option<Name>| {
            alias.as_ref().is_some_and(|alias| alias.text.eq_ignore_ascii_case("PER"))
        };
        if is_latest {
            let has_per = if is_per(&alias) {
                alias = None;
                true
            } else {
                self.word("PER")
            };
            if !has_per {
                return Err(self.expected("`PER (columns)`: the latest row of what?"));
            }
            self.token(&Token::LParen)?;
            let mut columns = vec![self.expr()?];
            while self.parser.consume_token(&Token::Comma) {
                columns.push(self.expr()?);
            }
            self.token(&Token::RParen)?;
            per = Some(columns);
        }
        if !self.word("ON") {
            return Err(self.expected("`ON` and what both have in common"));
        }
        let on = self.expr()?;
        let within = if self.word("WITHIN") { Some(self.expr()?) } else { None };
        let span = begin.start..self.end().end;
        let kind = if self.is_asof_left { JoinKind::Left } else { JoinKind::Inner };
        Ok(Some(JoinClause { kind, stream, alias, per, closest, on, within, span }))
    }

    fn match_condition(&mut self) -> Parsed<Expr> {
        if !self.word("MATCH_CONDITION") {
            return Err(self.expected("`MATCH_CONDITION (...)`: the closest row in which way?"));
        }
        self.token(&Token::LParen)?;
        let condition = self.expr()?;
        self.token(&Token::RParen)?;
        Ok(condition)
    }
}

/// The tokens of a statement without the LEFT that stands beside ASOF, which the parser of queries
/// does not know, and whether there was one.
pub(super) fn without_asof_left(tokens: Vec<TokenWithSpan>) -> (Vec<TokenWithSpan>, bool) {
    let is = |token: &TokenWithSpan, keyword: Keyword| {
        let Token::Word(word) = &token.token else { return false };
        word.keyword == keyword
    };
    let solid: Vec<usize> =
        (0..tokens.len()).filter(|&at| !matches!(tokens[at].token, Token::Whitespace(_))).collect();
    let pair = solid.windows(2).find(|pair| {
        let [a, b] = [&tokens[pair[0]], &tokens[pair[1]]];
        is(a, Keyword::LEFT) && is(b, Keyword::ASOF) || is(a, Keyword::ASOF) && is(b, Keyword::LEFT)
    });
    let left =
        pair.and_then(|pair| pair.iter().copied().find(|&at| is(&tokens[at], Keyword::LEFT)));
    let Some(left) = left else { return (tokens, false) };
    let mut tokens = tokens;
    tokens.remove(left);
    (tokens, true)
}
