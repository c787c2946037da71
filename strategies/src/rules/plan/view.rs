//! Where a query's results go: an action, a declared stream, or a view that the query declares.
//!
//! Invariant: a view is a stream that one query makes and no other statement adds to; its columns
//! and their types are those of what is selected.

use corelane_feeds::schema::SqlType;

use super::{Output, Planner};
use crate::rules::ast::{Insert, Name};
use crate::rules::catalog::{Action, Stream};
use crate::rules::expr::{Node, TEXT_MAX, Typed};
use crate::rules::resolve::Noted;
use crate::rules::types::Type;

impl Planner<'_> {
    /// What a query that reads a stream fills with these values. Records of a view may be so late.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn destination(
        &mut self,
        insert: &Insert,
        stream: Stream,
        values: Vec<Typed>,
        lateness: u64,
    ) -> Result<Output, Noted> {
        if insert.is_view {
            let view = self.view(insert, &values, lateness)?;
            return self.output(&insert.action, view, &[], values);
        }
        let target = self.target(&insert.action)?;
        self.acyclic(&insert.action, &[stream.schema.stream], target)?;
        self.output(&insert.action, target, &insert.columns, values)
    }

    /// The view that a query of these values declares.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn view(
        &mut self,
        insert: &Insert,
        values: &[Typed],
        lateness: u64,
    ) -> Result<Action, Noted> {
        let names: Vec<Option<Name>> = if insert.columns.is_empty() {
            insert.names.clone()
        } else {
            insert.columns.iter().cloned().map(Some).collect()
        };
        if names.len() != values.len() {
            let title = format!("{} names for {} columns", names.len(), values.len());
            return Err(self.wrong(&insert.action, title, "one name for each"));
        }
        let mut columns = Vec::new();
        for (name, value) in names.into_iter().zip(values) {
            let Some(name) = name else {
                let title = "a column of a view needs a name";
                self.diagnostics.push(value.span.clone(), title, "write AS and one");
                return Err(Noted);
            };
            columns.push((name, self.column_type(value)?));
        }
        let Self { set, diagnostics, .. } = self;
        let declared = set.catalog.declare_view(&insert.action, &columns, lateness, diagnostics);
        declared.ok_or(Noted)
    }

    /// How a value is stored.
    fn column_type(&mut self, value: &Typed) -> Result<SqlType, Noted> {
        let wrong = match value.ty {
            _ if value.node == Node::Null => "NULL has no type: cast it",
            Type::Text(n) if n > TEXT_MAX => "a column holds at most 128 bytes",
            ty => return Ok(stored(ty)),
        };
        self.diagnostics.push(value.span.clone(), "no column can hold this", wrong);
        Err(Noted)
    }
}

const fn stored(ty: Type) -> SqlType {
    match ty {
        Type::Bool => SqlType::Boolean,
        Type::Int => SqlType::BigInt,
        Type::Decimal(9) => SqlType::Price,
        Type::Decimal(scale) => SqlType::Decimal(scale),
        Type::Double => SqlType::Double,
        Type::Timestamp => SqlType::Timestamp,
        Type::Interval => SqlType::Interval,
        Type::Text(0) => SqlType::Char(1),
        Type::Text(n) => SqlType::Char(n),
    }
}
