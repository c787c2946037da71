//! Joins: as sqlparser reads them behind FROM, and the shorthand's behind ON.

use std::ops::Range;

use sqlparser::ast::{Join, JoinConstraint, JoinOperator, Spanned, TableFactor};
use sqlparser::tokenizer::Token;

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
        let (kind, constraint) = match &join.join_operator {
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
        Ok(Some(JoinClause { kind, stream, alias, per, on, within, span }))
    }

    /// The shorthand's `JOIN [LATEST] stream [PER (columns)] ON condition [WITHIN interval]`.
    pub(super) fn join(&mut self) -> Parsed<Option<JoinClause>> {
        let begin = self.here();
        if !self.word("JOIN") {
            return Ok(None);
        }
        let is_latest = self.word("LATEST");
        let (stream, mut alias) = self.stream()?;
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
        Ok(Some(JoinClause { kind: JoinKind::Inner, stream, alias, per, on, within, span }))
    }
}
