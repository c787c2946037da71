//! MATCH_RECOGNIZE: everything of it but expressions is read here, because the expression parser's
//! own reading of it lacks reluctant quantifiers, SUBSET, WITHIN and SKIP TO a variable.
//!
//! Invariant: as in the parent module. FINAL and RUNNING are joined with the function behind them
//! to one word before expressions are read.

use sqlparser::ast::Expr;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Span, Token, TokenWithSpan, Word};

use super::{DEPTH_MAX, Parsed, Reader, Wrong};
use crate::rules::ast::{
    Define, InsertMatch, Name, Part, Pattern, RowsPerMatch, SkipTo, Statement,
};

/// Times that a quantifier can ask for.
const TIMES_MAX: u32 = 4_096;

/// Whether a token is TABLE behind IN: the expression parser wants the table's name there.
fn is_table_of_in(token: &TokenWithSpan, before: &[TokenWithSpan]) -> bool {
    let is = |token: &TokenWithSpan, keyword| match &token.token {
        Token::Word(word) => word.keyword == keyword,
        _ => false,
    };
    let mut before = before.iter().rev();
    let last = before.find(|token| !matches!(token.token, Token::Whitespace(_)));
    is(token, Keyword::TABLE) && last.is_some_and(|last| is(last, Keyword::IN))
}

/// The tokens with `FINAL last` as one word: no expression has such a prefix. MATCH is no keyword
/// then, and `IN TABLE name` is `IN name`.
pub(super) fn semantics_joined(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let mut joined: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut prefix: Option<(String, Span)> = None;
    let visible = |token: &TokenWithSpan| !matches!(token.token, Token::Whitespace(_));
    for (at, token) in tokens.iter().enumerate() {
        let mut next = tokens.iter().skip(at + 1).filter(|token| visible(token));
        let (first, second) = (next.next(), next.next());
        if is_table_of_in(token, &joined) {
            continue;
        }
        if let Token::Word(word) = &token.token {
            let is_prefix = ["final", "running"].iter().any(|p| word.value.eq_ignore_ascii_case(p));
            let is_call = matches!(first.map(|t| &t.token), Some(Token::Word(_)))
                && matches!(second.map(|t| &t.token), Some(Token::LParen));
            if is_prefix && is_call && prefix.is_none() {
                prefix = Some((word.value.clone(), token.span));
                continue;
            }
            if let Some((semantics, span)) = prefix.take() {
                let value = format!("{semantics} {}", word.value);
                let word = Word { value, ..word.clone() };
                let span = Span { start: span.start, end: token.span.end };
                joined.push(TokenWithSpan { token: Token::Word(word), span });
                continue;
            }
        }
        match &token.token {
            // The expression parser takes it for an operator.
            Token::Word(word) if word.keyword == Keyword::MATCH => {
                let word = Word { keyword: Keyword::NoKeyword, ..word.clone() };
                joined.push(TokenWithSpan { token: Token::Word(word), span: token.span });
            }
            _ if prefix.is_none() || visible(token) => joined.push(token.clone()),
            _ => {}
        }
    }
    joined
}

impl Reader<'_> {
    /// Whether a word comes anywhere from here on.
    pub(super) fn has_word(&self, word: &str) -> bool {
        let mut at = 0;
        loop {
            let next = self.parser.peek_nth_token(at);
            match &next.token {
                Token::EOF => return false,
                Token::Word(found) if found.value.eq_ignore_ascii_case(word) => return true,
                _ => at += 1,
            }
        }
    }

    pub(super) fn words(&mut self, words: &[&str]) -> Parsed<()> {
        for word in words {
            if !self.word(word) {
                return Err(self.expected(&format!("`{word}`")));
            }
        }
        Ok(())
    }

    /// `SELECT ... FROM stream MATCH_RECOGNIZE (...) ...` behind `INSERT INTO action`.
    pub(super) fn insert_match(&mut self, action: Name, columns: Vec<Name>) -> Parsed<Statement> {
        let start = self.here();
        self.words(&["SELECT"])?;
        let select = if self.parser.consume_token(&Token::Mul) {
            None
        } else {
            let mut items = Vec::new();
            loop {
                items.push(self.expr()?);
                if self.word("AS") {
                    self.name("a name")?;
                }
                if !self.parser.consume_token(&Token::Comma) {
                    break Some(items);
                }
            }
        };
        self.words(&["FROM"])?;
        let (stream, alias) = self.stream()?;
        self.words(&["MATCH_RECOGNIZE"])?;
        self.token(&Token::LParen)?;
        let partition = self.partition()?;
        let order = if self.word("ORDER") { self.order()? } else { Vec::new() };
        let measures = if self.word("MEASURES") { self.measures()? } else { Vec::new() };
        let rows = self.rows_per_match()?;
        let pattern = self.pattern()?;
        self.token(&Token::RParen)?;
        let has_name = self.word("AS");
        let next = self.parser.peek_token().token;
        let is_name = matches!(&next, Token::Word(word)
            if !["WHERE", "WITH"].iter().any(|known| word.value.eq_ignore_ascii_case(known)));
        let result = if has_name || is_name { Some(self.name("a name")?) } else { None };
        let filter = if self.word("WHERE") { Some(self.expr()?) } else { None };
        let options = if self.word("WITH") { self.options()? } else { Vec::new() };
        let name = Name { text: format!("insert_{}", self.number), span: start };
        Ok(Statement::InsertMatch(Box::new(InsertMatch {
            name,
            action,
            columns,
            select,
            stream,
            alias,
            partition,
            order,
            measures,
            rows,
            pattern,
            result,
            filter,
            options,
        })))
    }

    fn order(&mut self) -> Parsed<Vec<(Expr, bool)>> {
        self.words(&["BY"])?;
        let mut order = Vec::new();
        loop {
            let expr = self.expr()?;
            let span = self.here();
            let descends = self.word("DESC");
            if descends && order.is_empty() {
                return Err(Wrong {
                    span,
                    title: "rows come in the order of their event time".to_owned(),
                    label: "ORDER BY takes that column first, ascending".to_owned(),
                });
            }
            if !descends {
                self.word("ASC");
            }
            order.push((expr, descends));
            if !self.parser.consume_token(&Token::Comma) {
                return Ok(order);
            }
        }
    }

    fn measures(&mut self) -> Parsed<Vec<(Expr, Name)>> {
        let mut measures = Vec::new();
        loop {
            let expr = self.expr()?;
            self.words(&["AS"])?;
            measures.push((expr, self.name("the measure's name")?));
            if !self.parser.consume_token(&Token::Comma) {
                return Ok(measures);
            }
        }
    }

    fn rows_per_match(&mut self) -> Parsed<RowsPerMatch> {
        if self.word("ONE") {
            self.words(&["ROW", "PER", "MATCH"])?;
            return Ok(RowsPerMatch::One);
        }
        if !self.word("ALL") {
            return Ok(RowsPerMatch::One);
        }
        self.words(&["ROWS", "PER", "MATCH"])?;
        let (mut empty, mut unmatched) = (true, false);
        if self.word("SHOW") {
            self.words(&["EMPTY", "MATCHES"])?;
        } else if self.word("OMIT") {
            self.words(&["EMPTY", "MATCHES"])?;
            empty = false;
        } else if self.word("WITH") {
            self.words(&["UNMATCHED", "ROWS"])?;
            unmatched = true;
        }
        Ok(RowsPerMatch::All { empty, unmatched })
    }

    /// `AFTER MATCH SKIP ...`, if it is there.
    pub(super) fn skip(&mut self) -> Parsed<Option<SkipTo>> {
        if !self.word("AFTER") {
            return Ok(None);
        }
        self.words(&["MATCH", "SKIP"])?;
        if self.word("PAST") {
            self.words(&["LAST", "ROW"])?;
            return Ok(Some(SkipTo::PastLastRow));
        }
        self.words(&["TO"])?;
        if self.word("NEXT") {
            self.words(&["ROW"])?;
            return Ok(Some(SkipTo::NextRow));
        }
        if self.word("FIRST") {
            return Ok(Some(SkipTo::First(self.name("a variable")?)));
        }
        self.word("LAST");
        Ok(Some(SkipTo::Last(self.name("a variable")?)))
    }

    fn pattern(&mut self) -> Parsed<Pattern> {
        let skip = self.skip()?.unwrap_or_default();
        self.words(&["PATTERN"])?;
        let start = self.here().start;
        self.token(&Token::LParen)?;
        let part = self.alternatives(0)?;
        let end = self.here().end;
        self.token(&Token::RParen)?;
        let within_ns = if self.word("WITHIN") { Some(self.time()?) } else { None };
        let subsets = if self.word("SUBSET") { self.subsets()? } else { Vec::new() };
        let mut defines = Vec::new();
        if self.word("DEFINE") {
            loop {
                let var = self.name("a variable")?;
                self.words(&["AS"])?;
                defines.push(Define { var, stream: None, condition: Some(self.expr()?) });
                if !self.parser.consume_token(&Token::Comma) {
                    break;
                }
            }
        }
        Ok(Pattern { span: start..end, part, defines, subsets, within_ns, skip })
    }

    fn subsets(&mut self) -> Parsed<Vec<(Name, Vec<Name>)>> {
        let mut subsets = Vec::new();
        loop {
            let name = self.name("a name for several variables")?;
            self.token(&Token::Eq)?;
            self.token(&Token::LParen)?;
            let mut vars = Vec::new();
            loop {
                vars.push(self.name("a variable")?);
                if !self.parser.consume_token(&Token::Comma) {
                    break;
                }
            }
            self.token(&Token::RParen)?;
            subsets.push((name, vars));
            if !self.parser.consume_token(&Token::Comma) {
                return Ok(subsets);
            }
        }
    }

    /// `INTERVAL '5' SECOND`, in nanoseconds.
    pub(super) fn time(&mut self) -> Parsed<u64> {
        let wrong = |span| Wrong {
            span,
            title: "a time is a number above 0 and a unit".to_owned(),
            label: "such as INTERVAL '5' SECOND, MILLISECOND, MINUTE, HOUR, DAY".to_owned(),
        };
        let span = self.here();
        self.words(&["INTERVAL"])?;
        let number: Option<f64> = match self.parser.next_token().token {
            Token::SingleQuotedString(text) | Token::Number(text, _) => text.trim().parse().ok(),
            _ => None,
        };
        let Token::Word(unit) = self.parser.next_token().token else { return Err(wrong(span)) };
        let unit = unit.value.to_ascii_uppercase();
        let unit = match unit.strip_suffix('S').unwrap_or(&unit) {
            "NANOSECOND" => 1e0,
            "MICROSECOND" => 1e3,
            "MILLISECOND" => 1e6,
            "SECOND" => 1e9,
            "MINUTE" => 60e9,
            "HOUR" => 3_600e9,
            "DAY" => 86_400e9,
            _ => return Err(wrong(span)),
        };
        let ns = number.map(|number| (number * unit).round()).filter(|ns| *ns >= 1.0 && *ns < 9e18);
        ns.map(|ns| ns as u64).ok_or_else(|| wrong(span))
    }

    fn alternatives(&mut self, depth: usize) -> Parsed<Part> {
        if depth == DEPTH_MAX {
            let (title, label) = ("the pattern is nested too deeply", "here");
            return Err(Wrong { span: self.here(), title: title.into(), label: label.into() });
        }
        let mut all = vec![self.sequence_of_parts(depth)?];
        while self.parser.consume_token(&Token::Pipe) {
            all.push(self.sequence_of_parts(depth)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Part::Either(all) })
    }

    fn sequence_of_parts(&mut self, depth: usize) -> Parsed<Part> {
        let mut parts = Vec::new();
        loop {
            // What ends it: `)`, `|`, `,` of PERMUTE, and `-}`.
            let next = self.parser.peek_token().token;
            let is_clause = |word: &Word| {
                let clauses = ["DEFINE", "SUBSET", "WITHIN"];
                clauses.iter().any(|known| word.value.eq_ignore_ascii_case(known))
            };
            let ends = matches!(next, Token::RParen | Token::Pipe | Token::Comma | Token::EOF)
                || matches!(&next, Token::Word(word) if is_clause(word))
                || next == Token::Minus;
            if ends {
                break;
            }
            self.part(depth, &mut parts)?;
        }
        Ok(match parts.len() {
            0 => Part::Empty,
            1 => parts.remove(0),
            _ => Part::Sequence(parts),
        })
    }

    /// A part with its quantifier.
    fn part(&mut self, depth: usize, parts: &mut Vec<Part>) -> Parsed<()> {
        if self.parser.consume_token(&Token::Caret) {
            parts.push(Part::Start);
            return Ok(());
        }
        if self.parser.consume_token(&Token::Placeholder("$".to_owned())) {
            parts.push(Part::End);
            return Ok(());
        }
        let (part, ends) = self.primary(depth)?;
        parts.push(self.quantified(part)?);
        parts.extend(ends.then_some(Part::End));
        Ok(())
    }

    /// A variable, a group, an exclusion or a permutation; and whether `$` is right behind it: the
    /// tokenizer makes `a$` one word.
    fn primary(&mut self, depth: usize) -> Parsed<(Part, bool)> {
        if self.parser.consume_token(&Token::LParen) {
            let inner = self.alternatives(depth + 1)?;
            self.token(&Token::RParen)?;
            return Ok((inner, false));
        }
        if self.parser.consume_token(&Token::LBrace) {
            self.token(&Token::Minus)?;
            let inner = self.alternatives(depth + 1)?;
            self.token(&Token::Minus)?;
            self.token(&Token::RBrace)?;
            return Ok((Part::Exclude(Box::new(inner)), false));
        }
        let Token::Word(word) = self.parser.peek_token().token else {
            return Err(self.expected("a pattern variable"));
        };
        if word.value.eq_ignore_ascii_case("PERMUTE")
            && self.parser.peek_nth_token(1).token == Token::LParen
        {
            self.parser.next_token();
            self.parser.next_token();
            let mut parts = Vec::new();
            loop {
                parts.push(self.alternatives(depth + 1)?);
                if !self.parser.consume_token(&Token::Comma) {
                    break;
                }
            }
            self.token(&Token::RParen)?;
            return Ok((Part::Permute(parts), false));
        }
        let next = self.parser.next_token();
        let mut name = Name { text: word.value, span: self.places.bytes(next.span) };
        let ends = name.text.len() > 1 && name.text.ends_with('$');
        if ends {
            name.text.pop();
        }
        Ok((Part::Var(name), ends))
    }

    /// `*`, `+`, `?`, `{n,m}`, each with `?` behind it for fewer before more.
    fn quantified(&mut self, part: Part) -> Parsed<Part> {
        let Some((min, max)) = self.quantifier()? else { return Ok(part) };
        let greedy = !self.parser.consume_token(&Token::Placeholder("?".to_owned()));
        Ok(Part::Repeat { part: Box::new(part), min, max, greedy })
    }

    /// Times at least and at most, if a quantifier is next.
    pub(super) fn quantifier(&mut self) -> Parsed<Option<(u32, Option<u32>)>> {
        let next = self.parser.peek_token().token;
        let simple = match &next {
            Token::Mul => (0, None),
            Token::Plus => (1, None),
            Token::Placeholder(text) if text == "?" => (0, Some(1)),
            Token::LBrace if self.parser.peek_nth_token(1).token != Token::Minus => {
                return self.counted().map(Some);
            }
            _ => return Ok(None),
        };
        self.parser.next_token();
        Ok(Some(simple))
    }

    fn counted(&mut self) -> Parsed<(u32, Option<u32>)> {
        let begin = self.here();
        self.token(&Token::LBrace)?;
        let times = if self.parser.consume_token(&Token::Comma) {
            (0, Some(self.number()?))
        } else {
            let min = self.number()?;
            if !self.parser.consume_token(&Token::Comma) {
                (min, Some(min))
            } else if self.parser.peek_token().token == Token::RBrace {
                (min, None)
            } else {
                (min, Some(self.number()?))
            }
        };
        let span = begin.start..self.here().end;
        self.token(&Token::RBrace)?;
        let least = times.0.max(times.1.unwrap_or(1));
        if times.1.is_some_and(|max| max < times.0 || max == 0) || least > TIMES_MAX {
            let title = "this quantifier allows nothing, or too much".to_owned();
            let label = format!("{{n,m}} with n up to m, m from 1 to {TIMES_MAX}");
            return Err(Wrong { span, title, label });
        }
        Ok(times)
    }
}
