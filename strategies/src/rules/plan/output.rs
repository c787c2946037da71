//! What a rule does: the values of an action's or a stream's columns.

use std::sync::Arc;

use corelane_feeds::record::StreamId;
use corelane_feeds::schema::{Field, Schema, SqlType};

use super::{Planner, Program};
use crate::diagnostics::nearest;
use crate::rules::ast::{Call, Name};
use crate::rules::catalog::{Action, DeclaredStream};
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
    /// The stream, if it is a record of one.
    pub(in crate::rules) stream: Option<Arc<DeclaredStream>>,
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

    /// What INSERT INTO names: an action or a declared stream.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn target(&mut self, name: &Name) -> Result<Action, Noted> {
        if let Some(target) = self.set.catalog.target(&name.text) {
            return Ok(target);
        }
        if self.set.catalog.is_view(&name.text) {
            let title = format!("`{}` is a view", name.text);
            return Err(self.wrong(name, title, "its query alone adds to it"));
        }
        if self.set.catalog.stream(&name.text).is_some() {
            let title = format!("`{}` comes from feeds and books alone", name.text);
            return Err(self.wrong(name, title, "no rule can add to it"));
        }
        let title = format!("unknown action or stream `{}`", name.text);
        let noted = self.wrong(name, title, "neither an action nor a declared stream");
        let streams = self.set.catalog.streams().iter().map(|s| s.declared.schema.name);
        let known: Vec<&str> = self.set.catalog.action_names().chain(streams).collect();
        self.diagnostics.help(match nearest(&name.text, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("known are {}; CREATE ACTION declares one", known.join(", ")),
        });
        Err(noted)
    }

    /// Notes a mistake if a rule that reads these streams and adds to another closes a circle.
    ///
    /// # Errors
    /// If it does.
    pub(super) fn acyclic(
        &mut self,
        name: &Name,
        reads: &[StreamId],
        target: Action,
    ) -> Result<(), Noted> {
        if !target.is_stream() {
            return Ok(());
        }
        let mut reached = vec![target.schema.stream];
        let mut next = 0;
        while let Some(&stream) = reached.get(next) {
            next += 1;
            for rule in self.set.rules.iter().filter(|rule| rule.reads.contains(&stream)) {
                let made = rule.kind.outputs().iter().filter(|output| !output.is_action);
                for output in made {
                    if !reached.contains(&output.schema.stream) {
                        reached.push(output.schema.stream);
                    }
                }
            }
        }
        if !reads.iter().any(|stream| reached.contains(stream)) {
            return Ok(());
        }
        let title = format!("`{}` would be made from itself", name.text);
        let label = "directly or through other rules: this would never end";
        Err(self.wrong(name, title, label))
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
        let null_bits = u64::MAX >> (64 - action.columns().count().clamp(1, 64));
        let is_action = !action.is_stream();
        let mut declared = self.set.catalog.streams().iter();
        let stream = declared.find(|stream| stream.id() == action.schema.stream).cloned();
        let columns = programs
            .into_iter()
            .map(|(bit, field, value)| {
                Ok(OutputColumn { field, bit, program: self.compile(&value)? })
            })
            .collect::<Result<Vec<_>, Noted>>()?;
        Ok(Output { schema: action.schema, is_action, stream, nulls, null_bits, columns })
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
