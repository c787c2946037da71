//! What a rule does: the values of an action's or a stream's columns.

use corelane_feeds::schema::{Field, Schema, SqlType};

use super::{Planner, Program};
use crate::rules::ast::{Call, Name};
use crate::rules::catalog::Action;
use crate::rules::expr::{Node, Typed};
use crate::rules::resolve::Noted;
use crate::rules::types::Type;

/// A value of a result's column.
#[derive(Clone, Debug)]
pub(in crate::rules) struct OutputColumn {
    pub(in crate::rules) field: &'static Field,
    /// Its bit in the mask of NULLs.
    pub(in crate::rules) bit: u32,
    pub(in crate::rules) program: Program,
}

/// A result of a rule: an action that it takes, or a record of a stream that it makes.
#[derive(Clone, Debug)]
pub(in crate::rules) struct Output {
    pub(in crate::rules) schema: &'static Schema,
    /// It is an action.
    pub(in crate::rules) is_action: bool,
    /// Where the mask of NULLs stands, if there is one, and its bits.
    pub(in crate::rules) nulls: Option<usize>,
    pub(in crate::rules) null_bits: u64,
    pub(in crate::rules) columns: Vec<OutputColumn>,
}

impl Planner<'_> {
    /// `action(values)`.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn call(&mut self, call: &Call, args: Vec<Typed>) -> Result<Output, Noted> {
        let action = self.action(&call.action)?;
        self.output(&call.action, action, &[], args)
    }

    /// The values of an action's columns, converted to what the columns store.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn output(
        &mut self,
        name: &Name,
        action: Action,
        columns: &[Name],
        values: Vec<Typed>,
    ) -> Result<Output, Noted> {
        let all: Vec<(u32, &'static Field)> = (0..).zip(action.columns()).collect();
        let mut wanted = Vec::new();
        for column in columns {
            let found = all.iter().find(|(_, f)| f.name.eq_ignore_ascii_case(&column.text));
            let Some(found) = found else {
                let title = format!("`{}` has no column `{}`", action.schema.name, column.text);
                let noted = self.wrong(column, title, "unknown column");
                let names: Vec<&str> = all.iter().map(|(_, field)| field.name).collect();
                self.diagnostics.help(format!("its columns: {}", names.join(", ")));
                return Err(noted);
            };
            wanted.push(*found);
        }
        let wanted = if columns.is_empty() { all } else { wanted };
        if wanted.len() != values.len() {
            let title =
                format!("`{}` takes {} values, not {}", name.text, wanted.len(), values.len());
            let noted = self.wrong(name, title, "another number of columns");
            let names: Vec<&str> = wanted.iter().map(|(_, field)| field.name).collect();
            self.diagnostics.help(format!("its columns: {}", names.join(", ")));
            return Err(noted);
        }
        let mut programs = Vec::new();
        for ((bit, field), value) in wanted.into_iter().zip(values) {
            let value = self.stored(field, value)?;
            programs.push((bit, field, value));
        }
        let nulls = action.nulls_offset();
        let null_bits = (1u64 << action.columns().count().min(63)) - 1;
        let columns = programs
            .into_iter()
            .map(|(bit, field, value)| {
                Ok(OutputColumn { field, bit, program: self.compile(&value)? })
            })
            .collect::<Result<Vec<_>, Noted>>()?;
        Ok(Output { schema: action.schema, is_action: true, nulls, null_bits, columns })
    }

    fn stored(&mut self, field: &Field, value: Typed) -> Result<Typed, Noted> {
        let ty = Type::of(field.sql);
        let fits = match (value.ty, ty) {
            (a, b) if a == b => true,
            (a, b) if a.is_number() && b.is_number() => true,
            (Type::Text(_), Type::Text(_)) => true,
            (Type::Interval | Type::Timestamp | Type::Bool, Type::Int) => true,
            _ => matches!(value.node, Node::Null),
        };
        if !fits {
            let title = format!("the column `{}` is {ty}", field.name);
            self.diagnostics.push(value.span, title, format!("this is {}", value.ty));
            return Err(Noted);
        }
        if let (Node::Text(text), SqlType::Char(n)) = (&value.node, field.sql)
            && text.len() > usize::from(n)
        {
            let title = format!("the column `{}` has room for {n} bytes", field.name);
            self.diagnostics.push(value.span, title, format!("this text has {}", text.len()));
            return Err(Noted);
        }
        Ok(value.to(ty))
    }
}
