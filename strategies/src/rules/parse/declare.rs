//! CREATE ACTION, CREATE STREAM and CREATE TABLE.
//!
//! Invariant: as in the parent module.

use sqlparser::tokenizer::Token;

use super::{Parsed, Reader};
use crate::rules::ast::{ColumnDef, CreateAction, CreateStream, Statement};

impl Reader<'_> {
    /// `name (columns)` behind `CREATE ACTION`.
    pub(super) fn create_action(&mut self) -> Parsed<Statement> {
        let name = self.name("the action's name")?;
        let columns = self.columns()?;
        Ok(Statement::Action(CreateAction { name, columns }))
    }

    /// `name (columns) WITH (options)` behind `CREATE STREAM`.
    pub(super) fn create_stream(&mut self) -> Parsed<Statement> {
        let name = self.name("the stream's name")?;
        let columns = self.columns()?;
        let options = if self.word("WITH") { self.options()? } else { Vec::new() };
        Ok(Statement::Stream(CreateStream { name, columns, options }))
    }

    /// `name (columns) WITH (options)` behind `CREATE TABLE`.
    pub(super) fn create_table(&mut self) -> Parsed<Statement> {
        let name = self.name("the table's name")?;
        let columns = self.columns()?;
        let options = if self.word("WITH") { self.options()? } else { Vec::new() };
        Ok(Statement::Table(CreateStream { name, columns, options }))
    }

    fn columns(&mut self) -> Parsed<Vec<ColumnDef>> {
        self.token(&Token::LParen)?;
        let mut columns = Vec::new();
        loop {
            columns.push(self.column()?);
            if !self.parser.consume_token(&Token::Comma) {
                break;
            }
        }
        self.token(&Token::RParen)?;
        Ok(columns)
    }

    fn column(&mut self) -> Parsed<ColumnDef> {
        let name = self.name("a column's name")?;
        let type_name = self.name("a column's type")?;
        let mut type_args = Vec::new();
        if self.parser.consume_token(&Token::LParen) {
            loop {
                type_args.push(self.number()?);
                if !self.parser.consume_token(&Token::Comma) {
                    break;
                }
            }
            self.token(&Token::RParen)?;
        }
        let unsigned = self.word("UNSIGNED");
        let place = self.here();
        let mut not_null = None;
        if self.word("NOT") {
            let end = self.here().end;
            if !self.word("NULL") {
                return Err(self.expected("`NULL`"));
            }
            not_null = Some(place.start..end);
        }
        Ok(ColumnDef { name, type_name, type_args, unsigned, not_null })
    }
}
