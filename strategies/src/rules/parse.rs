//! Text to statements. Expressions are those of `sqlparser`; the statements around them are read
//! here, from the same tokens.
//!
//! Invariant: nesting and size are bounded, so that no text makes the parser hang or run out of
//! stack; every statement and name knows its place in the text.

mod declare;
mod join;
mod pattern;
mod query;
mod sequence;

use std::ops::Range;

use sqlparser::ast::{BinaryOperator, Expr, Ident, Spanned};
use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};

use super::ast::{Call, CreateRule, Name, RuleOption, Statement};
use crate::diagnostics::Diagnostics;

/// Bytes of a rule file.
pub(super) const TEXT_MAX: usize = 4 << 20;
/// Levels of brackets and operators in an expression. A chain of ANDs or ORs is one level.
const DEPTH_MAX: usize = 48;
/// Operators in a statement: what bounds the chains that are no levels.
const OPERATORS_MAX: usize = 1_000;

/// Where lines begin, to turn the tokens' places into bytes.
pub(super) struct Places<'a> {
    text: &'a str,
    lines: Vec<usize>,
}

impl<'a> Places<'a> {
    /// Of a text.
    #[must_use]
    pub(super) fn new(text: &'a str) -> Self {
        let starts = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, lines: std::iter::once(0).chain(starts).collect() }
    }

    fn byte(&self, location: Location) -> usize {
        let line = (location.line as usize).saturating_sub(1);
        let Some(&start) = self.lines.get(line) else { return self.text.len() };
        let column = (location.column as usize).saturating_sub(1);
        let rest = &self.text[start..];
        start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
    }

    /// A span as bytes of the text.
    #[must_use]
    pub(super) fn bytes(&self, span: Span) -> Range<usize> {
        let start = self.byte(span.start).min(self.text.len());
        start..self.byte(span.end).clamp(start, self.text.len())
    }

    /// Where an expression stands.
    #[must_use]
    pub(super) fn of(&self, expr: &Expr) -> Range<usize> {
        self.bytes(expr.span())
    }
}

/// A mistake that ends a statement.
struct Wrong {
    span: Range<usize>,
    title: String,
    label: String,
}

type Parsed<T> = Result<T, Wrong>;

/// A statement and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) statement: Statement,
    /// Bytes of the text.
    pub(super) span: Range<usize>,
}

/// Reads every statement of a text. A statement with a mistake is noted and left out, and reading
/// goes on behind its semicolon.
#[must_use]
pub(super) fn parse(text: &str, diagnostics: &mut Diagnostics) -> Vec<Placed> {
    if text.len() > TEXT_MAX {
        diagnostics.push(0..0, "the file is too large", format!("at most {TEXT_MAX} bytes"));
        return Vec::new();
    }
    let places = Places::new(text);
    let dialect = GenericDialect {};
    let tokens = match Tokenizer::new(&dialect, text).tokenize_with_location() {
        Ok(tokens) => tokens,
        Err(error) => {
            let at = places.byte(error.location);
            diagnostics.push(at..at + 1, "this cannot be read", error.message);
            return Vec::new();
        }
    };
    let mut statements = Vec::new();
    let mut number = 0;
    for piece in tokens.split(|token| token.token == Token::SemiColon) {
        let is_blank = |token: &TokenWithSpan| matches!(token.token, Token::Whitespace(_));
        if piece.iter().all(is_blank) {
            continue;
        }
        number += 1;
        if let Some(one_too_many) = piece.iter().filter(is_operator).nth(OPERATORS_MAX) {
            let title = format!("more than {OPERATORS_MAX} operators in a statement");
            let label = "split it, or compare with IN (...)";
            diagnostics.push(places.bytes(one_too_many.span), title, label);
            continue;
        }
        let (query, options) = query::split_options(piece);
        let parser = Parser::new(&dialect).with_recursion_limit(DEPTH_MAX);
        let (query, is_asof_left) = join::without_asof_left(pattern::semantics_joined(query));
        let mut reader = Reader {
            parser: parser.with_tokens_with_locations(query),
            is_asof_left,
            places: &places,
            number,
            tail: options,
        };
        match reader.statement() {
            Ok(statement) => {
                let solid = || piece.iter().filter(|token| !is_blank(token));
                let begin = solid().next().map_or(0, |token| places.bytes(token.span).start);
                let end = solid().next_back().map_or(begin, |token| places.bytes(token.span).end);
                statements.push(Placed { statement, span: begin..end });
            }
            Err(wrong) => diagnostics.push(wrong.span, wrong.title, wrong.label),
        }
    }
    statements
}

/// Whether a token can join two expressions to a deeper one.
fn is_operator(token: &&TokenWithSpan) -> bool {
    match &token.token {
        Token::Word(word) => !matches!(word.keyword, Keyword::NoKeyword | Keyword::NULL),
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Whitespace(_)
        | Token::Comma
        | Token::Period
        | Token::LParen
        | Token::RParen => false,
        _ => true,
    }
}

/// Whether an expression has more levels than it may. Looks at what it can, without recursion: what
/// has other parts is refused when it is resolved.
fn is_too_deep(expr: &Expr) -> bool {
    let mut open = vec![(expr, 0)];
    while let Some((expr, depth)) = open.pop() {
        if depth > DEPTH_MAX {
            return true;
        }
        match expr {
            Expr::BinaryOp { left, op, right } => {
                let is_chain = matches!(op, BinaryOperator::And | BinaryOperator::Or);
                let is_same = matches!(&**left, Expr::BinaryOp { op: below, .. } if below == op);
                open.push((left, if is_chain && is_same { depth } else { depth + 1 }));
                open.push((right, depth + 1));
            }
            Expr::UnaryOp { expr, .. }
            | Expr::Nested(expr)
            | Expr::Cast { expr, .. }
            | Expr::Extract { expr, .. }
            | Expr::Floor { expr, .. }
            | Expr::Ceil { expr, .. }
            | Expr::Like { expr, .. }
            | Expr::In { expr, .. }
            | Expr::Between { expr, .. }
            | Expr::IsNull(expr)
            | Expr::IsNotNull(expr)
            | Expr::IsTrue(expr)
            | Expr::IsNotTrue(expr)
            | Expr::IsFalse(expr)
            | Expr::IsNotFalse(expr) => open.push((expr, depth + 1)),
            _ => {}
        }
    }
    false
}

struct Reader<'a> {
    parser: Parser<'a>,
    places: &'a Places<'a>,
    /// Which statement of the file this is, from 1.
    number: usize,
    /// The options at the end of a query.
    tail: &'a [TokenWithSpan],
    /// LEFT stood beside ASOF.
    is_asof_left: bool,
}

impl Reader<'_> {
    fn statement(&mut self) -> Parsed<Statement> {
        let statement = if self.word("CREATE") {
            if self.word("ACTION") {
                self.create_action()?
            } else if self.word("RULE") {
                self.create_rule()?
            } else if self.word("STREAM") {
                self.create_stream()?
            } else if self.word("TABLE") {
                self.create_table()?
            } else if self.word("VIEW") {
                self.create_view()?
            } else {
                return Err(self.expected("`ACTION`, `RULE`, `STREAM`, `TABLE` or `VIEW`"));
            }
        } else if self.word("INSERT") {
            self.insert()?
        } else {
            return Err(self.expected(
                "`CREATE ACTION`, `RULE`, `STREAM`, `TABLE` or `VIEW`, or `INSERT INTO`",
            ));
        };
        self.ended()?;
        Ok(statement)
    }

    fn create_rule(&mut self) -> Parsed<Statement> {
        let name = self.name("the rule's name")?;
        let options = if self.word("WITH") { self.options()? } else { Vec::new() };
        if !self.word("ON") {
            return Err(self.expected("`ON` and a stream"));
        }
        let (stream, alias) = self.stream()?;
        let join = self.join()?;
        let mut streams = vec![(stream.clone(), alias.clone())];
        while self.parser.consume_token(&Token::Comma) {
            streams.push(self.stream()?);
        }
        let partition = self.partition()?;
        if join.is_none() && self.word("MATCH") {
            return self.match_rule(name, options, streams, partition);
        }
        if !self.word("WHEN") {
            return Err(self.expected("`PARTITION BY`, `WHEN` or `MATCH`"));
        }
        if let Some((second, _)) = streams.get(1) {
            return Err(Wrong {
                span: second.span.clone(),
                title: "WHEN looks at one stream".to_owned(),
                label: "a second one".to_owned(),
            });
        }
        let when = self.expr()?;
        let then = self.then()?;
        let rule = CreateRule { name, options, stream, alias, join, partition, when, then };
        Ok(Statement::Rule(Box::new(rule)))
    }

    /// `PARTITION BY keys`, if it is there.
    fn partition(&mut self) -> Parsed<Vec<Expr>> {
        let mut partition = Vec::new();
        if self.word("PARTITION") {
            if !self.word("BY") {
                return Err(self.expected("`BY`"));
            }
            loop {
                partition.push(self.expr()?);
                if !self.parser.consume_token(&Token::Comma) {
                    break;
                }
            }
        }
        Ok(partition)
    }

    /// `THEN actions`.
    fn then(&mut self) -> Parsed<Vec<Call>> {
        if !self.word("THEN") {
            return Err(self.expected("`THEN` and an action"));
        }
        let mut then = Vec::new();
        loop {
            then.push(self.call()?);
            if !self.parser.consume_token(&Token::Comma) {
                return Ok(then);
            }
        }
    }

    fn call(&mut self) -> Parsed<Call> {
        let action = self.name("an action")?;
        self.token(&Token::LParen)?;
        let mut args = Vec::new();
        if !self.parser.consume_token(&Token::RParen) {
            loop {
                args.push(self.expr()?);
                if !self.parser.consume_token(&Token::Comma) {
                    break;
                }
            }
            self.token(&Token::RParen)?;
        }
        Ok(Call { action, args })
    }

    fn ended(&self) -> Parsed<()> {
        match self.parser.peek_token().token {
            Token::EOF => Ok(()),
            _ => Err(self.expected("`;` or the end of the file")),
        }
    }

    fn options(&mut self) -> Parsed<Vec<RuleOption>> {
        self.token(&Token::LParen)?;
        let mut options = Vec::new();
        loop {
            let key = self.name("an option")?;
            self.token(&Token::Eq)?;
            let next = self.parser.next_token();
            let span = self.places.bytes(next.span);
            let text = match next.token {
                Token::SingleQuotedString(text) | Token::Number(text, _) => text,
                Token::Word(word) => word.value,
                _ => {
                    self.parser.prev_token();
                    return Err(self.expected("a value"));
                }
            };
            options.push(RuleOption { key, value: Name { text, span } });
            if !self.parser.consume_token(&Token::Comma) {
                break;
            }
        }
        self.token(&Token::RParen)?;
        Ok(options)
    }

    fn stream(&mut self) -> Parsed<(Name, Option<Name>)> {
        let stream = self.name("a stream")?;
        let next = self.parser.peek_token();
        let is_alias = matches!(&next.token, Token::Word(word) if word.keyword == Keyword::NoKeyword
                && !word.value.eq_ignore_ascii_case("MATCH"));
        let alias = if is_alias { Some(self.name("another name")?) } else { None };
        Ok((stream, alias))
    }

    /// A name, whose parts may be joined by points.
    fn name(&mut self, what: &str) -> Parsed<Name> {
        let first = self.here();
        let Token::Word(_) = self.parser.peek_token().token else {
            return Err(self.expected(what));
        };
        let mut text = String::new();
        let mut span = first;
        loop {
            let next = self.parser.next_token();
            let Token::Word(word) = next.token else { return Err(self.expected(what)) };
            text.push_str(&word.value);
            span.end = self.places.bytes(next.span).end;
            if !self.parser.consume_token(&Token::Period) {
                return Ok(Name { text, span });
            }
            text.push('.');
        }
    }

    fn number(&mut self) -> Parsed<u32> {
        let next = self.parser.peek_token();
        if let Token::Number(text, _) = &next.token
            && let Ok(number) = text.parse()
        {
            self.parser.next_token();
            return Ok(number);
        }
        Err(self.expected("a number"))
    }

    fn ident(&self, ident: &Ident) -> Name {
        Name { text: ident.value.clone(), span: self.places.bytes(ident.span) }
    }

    /// Takes a word, whatever its case, if it is next.
    fn word(&mut self, word: &str) -> bool {
        let next = self.parser.peek_token();
        let is_next =
            matches!(&next.token, Token::Word(found) if found.value.eq_ignore_ascii_case(word));
        if is_next {
            self.parser.next_token();
        }
        is_next
    }

    fn token(&mut self, wanted: &Token) -> Parsed<()> {
        if self.parser.consume_token(wanted) {
            Ok(())
        } else {
            Err(self.expected(&format!("`{wanted}`")))
        }
    }

    fn expr(&mut self) -> Parsed<Expr> {
        let begin = self.here();
        let expr = self.parser.parse_expr().map_err(|error| self.wrong(&error))?;
        self.bounded(&expr, &begin)?;
        Ok(expr)
    }

    fn bounded(&self, expr: &Expr, begin: &Range<usize>) -> Parsed<()> {
        if !is_too_deep(expr) {
            return Ok(());
        }
        let (title, label) = ("the expression is nested too deeply", "here");
        Err(Wrong { span: begin.clone(), title: title.to_owned(), label: label.to_owned() })
    }

    /// Where the next token stands.
    fn here(&self) -> Range<usize> {
        let next = self.parser.peek_token();
        if next.token == Token::EOF { self.end() } else { self.places.bytes(next.span) }
    }

    /// Behind the last token.
    fn end(&self) -> Range<usize> {
        let last = self.parser.index().saturating_sub(1);
        let mut at = 0;
        for back in 0..=last {
            let token = self.parser.token_at(last - back);
            if !matches!(token.token, Token::Whitespace(_) | Token::EOF) {
                at = self.places.bytes(token.span).end;
                break;
            }
        }
        at..at
    }

    fn expected(&self, what: &str) -> Wrong {
        let found = match self.parser.peek_token().token {
            Token::EOF => "the end".to_owned(),
            token => format!("`{token}`"),
        };
        let (title, label) = (format!("expected {what}"), format!("found {found}"));
        Wrong { span: self.here(), title, label }
    }

    /// What the expression parser refuses. Its message names a line and column; here it points.
    fn wrong(&self, error: &ParserError) -> Wrong {
        let text = match error {
            ParserError::RecursionLimitExceeded => "the expression is nested too deeply".to_owned(),
            ParserError::ParserError(text) | ParserError::TokenizerError(text) => text.clone(),
        };
        let (text, place) = text.split_once(" at Line: ").unwrap_or((&text, ""));
        let mut numbers = place.split(", Column: ").map_while(|n| n.parse::<u64>().ok());
        let span = match (numbers.next(), numbers.next()) {
            (Some(line), Some(column)) => {
                let at = self.places.byte(Location::new(line, column));
                at..at + 1
            }
            _ => self.here(),
        };
        let (title, label) = match text.split_once(", found: ") {
            Some((expected, found)) => {
                let expected = expected.strip_prefix("Expected: ").unwrap_or(expected);
                let found = if found == "EOF" { "the end".into() } else { format!("`{found}`") };
                (format!("expected {expected}"), format!("found {found}"))
            }
            None => (text.to_owned(), "here".to_owned()),
        };
        Wrong { span, title, label }
    }
}
