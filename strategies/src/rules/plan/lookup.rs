//! Joins with tables, and values looked for in them.
//!
//! Invariant: a table is looked up by its whole key, which no two of its rows share.

use std::sync::Arc;

use super::join::{Named, On, Sides};
use super::{Kind, Output, Planner, Rule};
use crate::rules::ast::{JoinClause, Name};
use crate::rules::expr::{Node, Typed};
use crate::rules::join::JoinKind;
use crate::rules::key::KeyProgram;
use crate::rules::lookup::LookupPlan;
use crate::rules::resolve::Noted;
use crate::rules::table::{Index, Table};

impl Planner<'_> {
    /// A join whose right side is a table, ON being taken apart.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn lookup(
        &mut self,
        named: &Named<'_>,
        join: &JoinClause,
        sides: &Sides,
        (table, on): (Arc<Table>, On),
        filter: Option<&Typed>,
        outputs: [Vec<Output>; 3],
    ) -> Result<(), Noted> {
        let here = Name { text: String::new(), span: join.span.clone() };
        if matches!(join.kind, JoinKind::Right | JoinKind::Full) {
            let title = "a table keeps no rows that wait for a stream".to_owned();
            return Err(self.wrong(&here, title, "JOIN, LEFT, SEMI and ANTI JOIN look it up"));
        }
        if join.per.is_some()
            || join.closest.is_some()
            || join.within.is_some()
            || on.low.is_some()
            || on.high.is_some()
        {
            let title = "a table has no times".to_owned();
            return Err(self.wrong(
                &here,
                title,
                "leave ASOF, LATEST, WITHIN and bounds of time out",
            ));
        }
        let columns = self.key_columns(&table, sides.base);
        let [left, right] = &on.keys;
        let is_key = right.len() == columns.len()
            && right.iter().all(|part| columns.contains(&part.node))
            && columns.iter().all(|column| right.iter().any(|part| part.node == *column));
        if !is_key {
            let title = format!("`{}` is looked up by its key", table.declared.schema.name);
            let noted = self.wrong(&here, title, "ON has to say what every part of it is equal to");
            let names = table.declared.key.iter();
            let names: Vec<&str> =
                names.filter_map(|&at| Some(table.declared.columns.get(at)?.field.name)).collect();
            self.diagnostics.help(format!("its key: {}", names.join(", ")));
            return Err(noted);
        }
        let own: Vec<Typed> = right.iter().map(|part| sides.alone(1, part)).collect();
        let own = KeyProgram::new(self.compile_all(&own)?);
        // The key is the declared one, of which the catalog made sure.
        let index = Index::new(&table, &own).map_err(|_| Noted)?;
        let key = KeyProgram::new(self.compile_all(left)?);
        let without = filter.map(|filter| sides.without(1, filter));
        let mut filters = [None, None];
        for (program, typed) in filters.iter_mut().zip([filter, without.as_ref()]) {
            *program = typed.map(|typed| self.compile(typed)).transpose()?;
        }
        let [both, alone, _] = outputs;
        let plan = LookupPlan {
            kind: join.kind,
            table,
            index: Arc::new(index),
            key,
            on: on.condition().map(|on| self.compile(&on)).transpose()?,
            filters,
            outputs: [both, alone],
            base: sides.base,
        };
        let reads = vec![sides.streams[0].schema.stream];
        let kind = Kind::Lookup(Box::new(plan));
        self.set.rules.push(Rule::new(named.name, named.options, reads, Vec::new(), kind));
        Ok(())
    }

    /// The columns of a table's key, of rows that begin so many bytes later.
    fn key_columns(&self, table: &Table, base: usize) -> Vec<Node> {
        let stream = table.as_stream();
        let columns = table.declared.key.iter().filter_map(|&at| {
            let name = table.declared.columns.get(at)?.field.name;
            Some(Node::Column(stream.column(name)?.shifted(base)))
        });
        columns.collect()
    }
}

impl LookupPlan {
    /// What it comes to, a line per part.
    pub(super) fn explain(&self, out: &mut Vec<String>) {
        let (name, rows) = (self.table.declared.schema.name, self.table.len());
        out.push(format!("{:?} lookup in `{name}`, {rows} rows, no state", self.kind));
        out.extend(self.outputs[0].iter().map(|output| format!("then {}", output.schema.name)));
    }
}
