//! Queries: INSERT INTO ... SELECT, CREATE VIEW ... AS SELECT, and the options at their end.
//!
//! Invariant: as in the parent module.

use std::ops::Range;

use sqlparser::ast::{
    Expr, GroupByExpr, LimitClause, OrderBy, OrderByKind, OrderBySort, Select, SelectItem, SetExpr,
    Spanned, TableFactor, Value,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{DEPTH_MAX, Parsed, Reader, Wrong};
use crate::rules::ast::{Insert, Name, RuleOption, Statement};

/// A query and the `WITH (...)` at its end, which means something else to the parser of queries.
pub(super) fn split_options(piece: &[TokenWithSpan]) -> (&[TokenWithSpan], &[TokenWithSpan]) {
    let is_solid = |token: &&TokenWithSpan| !matches!(token.token, Token::Whitespace(_));
    let mut words = piece.iter().filter(is_solid);
    let is_query = match (words.next(), words.next()) {
        (Some(first), _) if is_word(first, Keyword::INSERT) => true,
        (Some(first), Some(next)) => {
            is_word(first, Keyword::CREATE) && is_word(next, Keyword::VIEW)
        }
        _ => false,
    };
    // Row patterns are read by ourselves, with what is behind them.
    let is_pattern = |token: &TokenWithSpan| is_word(token, Keyword::MATCH_RECOGNIZE);
    let is_query = is_query && !piece.iter().any(is_pattern);
    let mut depth = 0;
    let mut last = true;
    for (at, token) in piece.iter().enumerate().rev().filter(|(_, token)| is_solid(token)) {
        match token.token {
            Token::RParen if last || depth > 0 => depth += 1,
            Token::LParen if depth > 0 => depth -= 1,
            _ if depth == 0 => {
                let found = is_query && is_word(token, Keyword::WITH);
                return if found { piece.split_at(at) } else { (piece, &[]) };
            }
            _ => {}
        }
        last = false;
    }
    (piece, &[])
}

impl Reader<'_> {
    /// `INTO target (columns) SELECT ...` behind `INSERT`.
    pub(super) fn insert(&mut self) -> Parsed<Statement> {
        if !self.word("INTO") {
            return Err(self.expected("`INTO`"));
        }
        let action = self.name("an action or a stream")?;
        let columns = self.column_names()?;
        if self.has_word("MATCH_RECOGNIZE") {
            return self.insert_match(action, columns);
        }
        let insert = self.query(action, columns)?;
        Ok(Statement::Insert(Box::new(insert)))
    }

    /// `name (columns) AS SELECT ...` behind `CREATE VIEW`.
    pub(super) fn create_view(&mut self) -> Parsed<Statement> {
        let name = self.name("the view's name")?;
        let columns = self.column_names()?;
        if !self.word("AS") {
            return Err(self.expected("`AS`"));
        }
        if self.has_word("MATCH_RECOGNIZE") {
            let (span, title) = (self.here(), "views of row patterns are not there yet".to_owned());
            let label = "INSERT INTO a declared stream".to_owned();
            return Err(Wrong { span, title, label });
        }
        let insert = self.query(name, columns)?;
        Ok(Statement::View(Box::new(Insert { is_view: true, ..insert })))
    }

    fn column_names(&mut self) -> Parsed<Vec<Name>> {
        let mut columns = Vec::new();
        if self.parser.consume_token(&Token::LParen) {
            loop {
                columns.push(self.name("a column of it")?);
                if !self.parser.consume_token(&Token::Comma) {
                    break;
                }
            }
            self.token(&Token::RParen)?;
        }
        Ok(columns)
    }

    fn query(&mut self, action: Name, columns: Vec<Name>) -> Parsed<Insert> {
        let begin = self.here();
        let query = self.parser.parse_query().map_err(|error| self.wrong(&error))?;
        let span = begin.start..self.end().end;
        let refuse = |what: &str| Wrong {
            span: span.clone(),
            title: format!("{what} has no meaning in a continuous query"),
            label: "here".to_owned(),
        };
        if query.with.is_some() {
            return Err(refuse("WITH"));
        }
        let (order, limit) = (self.order_by(query.order_by, &span)?, limit_of(query.limit_clause));
        let Some(limit) = limit else { return Err(refuse("a LIMIT that is no number of rows")) };
        let SetExpr::Select(select) = *query.body else { return Err(refuse("this")) };
        self.ended()?;
        let options = self.tail_options()?;
        let insert = self.select(action, columns, *select, &span)?;
        Ok(Insert { options, order, limit, ..insert })
    }

    fn order_by(&self, order: Option<OrderBy>, span: &Range<usize>) -> Parsed<Vec<(Expr, bool)>> {
        let Some(order) = order else { return Ok(Vec::new()) };
        let OrderByKind::Expressions(parts) = order.kind else {
            let title = "ORDER BY ALL has no meaning in a continuous query".to_owned();
            return Err(Wrong { span: span.clone(), title, label: "name what to order by".into() });
        };
        let mut all = Vec::new();
        for part in parts {
            self.bounded(&part.expr, span)?;
            if part.options.nulls_first.is_some() {
                let title = "NULLS FIRST and LAST are not there yet".to_owned();
                let label = "NULL is greater than anything".to_owned();
                return Err(Wrong { span: self.places.of(&part.expr), title, label });
            }
            let is_descending = matches!(part.options.sort, Some(OrderBySort::Desc));
            all.push((part.expr, is_descending));
        }
        Ok(all)
    }

    /// The options at the end of a query.
    fn tail_options(&self) -> Parsed<Vec<RuleOption>> {
        if self.tail.is_empty() {
            return Ok(Vec::new());
        }
        let parser = Parser::new(&GenericDialect {}).with_recursion_limit(DEPTH_MAX);
        let parser = parser.with_tokens_with_locations(self.tail.to_vec());
        let (places, number) = (self.places, self.number);
        let mut reader = Reader { parser, places, number, tail: &[], is_asof_left: false };
        reader.word("WITH");
        let options = reader.options()?;
        reader.ended()?;
        Ok(options)
    }

    fn select(
        &mut self,
        action: Name,
        columns: Vec<Name>,
        select: Select,
        span: &Range<usize>,
    ) -> Parsed<Insert> {
        let not_yet = |what: &str| Wrong {
            span: span.clone(),
            title: format!("{what} is not there yet"),
            label: "in this query".to_owned(),
        };
        let group = match select.group_by {
            GroupByExpr::Expressions(by, modifiers) if modifiers.is_empty() => by,
            _ => return Err(not_yet("GROUP BY of more than keys and a window")),
        };
        if let (Some(having), []) = (&select.having, &group[..]) {
            let (title, label) = ("HAVING without GROUP BY".to_owned(), "of which groups?");
            return Err(Wrong { span: self.places.of(having), title, label: label.to_owned() });
        }
        if select.distinct.is_some() {
            return Err(not_yet("DISTINCT"));
        }
        let [from] = &select.from[..] else { return Err(not_yet("a FROM of several streams")) };
        let join = self.joined_with(&from.joins, span)?;
        let TableFactor::Table { name, alias, .. } = &from.relation else {
            return Err(not_yet("anything but a stream behind FROM"));
        };
        let stream = Name { text: joined(name), span: self.places.bytes(name.span()) };
        let alias = alias.as_ref().map(|alias| self.ident(&alias.name));
        let (mut items, mut names) = (Vec::new(), Vec::new());
        for item in select.projection {
            let (expr, name) = match item {
                SelectItem::UnnamedExpr(expr) => {
                    let own = match &expr {
                        Expr::Identifier(name) => Some(self.ident(name)),
                        Expr::CompoundIdentifier(parts) => parts.last().map(|p| self.ident(p)),
                        _ => None,
                    };
                    (expr, own)
                }
                SelectItem::ExprWithAlias { expr, alias } => (expr, Some(self.ident(&alias))),
                _ => return Err(not_yet("`*`")),
            };
            items.push(expr);
            names.push(name);
        }
        let clauses = group.iter().chain(&select.selection).chain(&select.qualify);
        for expr in items.iter().chain(clauses).chain(&select.having) {
            self.bounded(expr, span)?;
        }
        let name = Name { text: format!("insert_{}", self.number), span: span.clone() };
        Ok(Insert {
            is_view: false,
            name: Some(name),
            action,
            columns,
            stream,
            alias,
            join,
            select: items,
            names,
            group,
            having: select.having,
            options: Vec::new(),
            filter: select.selection,
            qualify: select.qualify,
            order: Vec::new(),
            limit: None,
            windows: select.named_window,
        })
    }
}

/// The rows of a LIMIT, if there is one; `None` if it is none that is understood.
fn limit_of(limit: Option<LimitClause>) -> Option<Option<u32>> {
    let Some(limit) = limit else { return Some(None) };
    let LimitClause::LimitOffset { limit: Some(rows), offset: None, limit_by } = limit else {
        return None;
    };
    let Expr::Value(value) = rows else { return None };
    let Value::Number(number, _) = value.value else { return None };
    let rows = number.parse().ok().filter(|rows| *rows > 0 && limit_by.is_empty())?;
    Some(Some(rows))
}

fn is_word(token: &TokenWithSpan, keyword: Keyword) -> bool {
    matches!(&token.token, Token::Word(word) if word.keyword == keyword)
}

/// A name of several parts.
pub(super) fn joined(name: &sqlparser::ast::ObjectName) -> String {
    let parts = name.0.iter().map(|part| part.as_ident().map_or("", |ident| &ident.value));
    parts.collect::<Vec<_>>().join(".")
}
