//! Declared tables: columns and options, and the rows of their files.
//!
//! Invariant: a table is there with all rows of its file or not at all; no two rows have the same
//! key, and none has NULL in it.

use std::path::Path;
use std::sync::Arc;

use corelane_feeds::declared::ColumnSpec;
use corelane_feeds::text::Format;

use super::Catalog;
use super::stream::{Spec, column, columns};
use crate::diagnostics::{Diagnostics, nearest};
use crate::rules::ast::{CreateStream, Name};
use crate::rules::expr::{Node, Typed};
use crate::rules::key::KeyProgram;
use crate::rules::program::Program;
use crate::rules::table::{Index, Table};

const OPTIONS: [&str; 3] = ["key", "file", "format"];
/// The numbers of tables' layouts count down from here, away from those of streams.
const LAST_LAYOUT: usize = 255;

/// Gives the text of a file that a table names, or says why it cannot.
pub type LoadTable<'a> = dyn FnMut(&str) -> Result<String, String> + 'a;

impl Catalog {
    /// Adds a declared table with the rows of its file; what is wrong with it is noted.
    pub(in crate::rules) fn declare_table(
        &mut self,
        create: &CreateStream,
        diagnostics: &mut Diagnostics,
        load: &mut LoadTable<'_>,
    ) {
        let name = create.name.text.to_ascii_lowercase();
        if self.is_taken(&create.name, diagnostics) {
            return;
        }
        let Some(columns) = columns(create, diagnostics) else { return };
        let specs: Vec<ColumnSpec<'_>> = columns.iter().map(Spec::of).collect();
        let layout = LAST_LAYOUT.saturating_sub(self.tables.len()) as u16;
        let declared = Self::lay_out(&create.name, layout, &name, &specs, diagnostics);
        let Some(mut declared) = declared else { return };
        let (mut file, mut format) = (None, None);
        for option in &create.options {
            let (key, value) = (&option.key, &option.value);
            match key.text.to_ascii_lowercase().as_str() {
                "key" => {
                    let names = value.text.split(',').map(str::trim);
                    let found: Option<Vec<usize>> =
                        names.map(|name| column(&declared, name, value, diagnostics)).collect();
                    let Some(found) = found else { return };
                    declared.key = found;
                }
                "file" => file = Some(value),
                "format" => match Format::by_name(&value.text) {
                    Some(found) => format = Some(found),
                    None => {
                        let title = format!("`{}` is no format of a table", value.text);
                        diagnostics.push(value.span.clone(), title, "must be 'json' or 'csv'");
                        return;
                    }
                },
                unknown => {
                    let title = format!("unknown option `{unknown}`");
                    diagnostics.push(key.span.clone(), title, "not known");
                    diagnostics.help(match nearest(unknown, OPTIONS) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => format!("known options: {}", OPTIONS.join(", ")),
                    });
                    return;
                }
            }
        }
        let (Some(file), false) = (file, declared.key.is_empty()) else {
            let title = format!("the table `{name}` needs a key and a file");
            diagnostics.push(create.name.span.clone(), title, "WITH (key = '...', file = '...')");
            return;
        };
        let by_name = || match Path::new(&file.text).extension().and_then(|end| end.to_str()) {
            Some("json" | "jsonl" | "ndjson") => Format::Json,
            _ => Format::Csv,
        };
        let format = format.unwrap_or_else(by_name);
        let text = load(&file.text);
        let read = text.and_then(|text| Table::read(declared, &file.text, format, &text));
        let table = match read {
            Ok(table) => table,
            Err(why) => return wrong_file(file, &name, why, diagnostics),
        };
        match Index::new(&table, &key_of(&table)) {
            Ok(_) => self.tables.push(Arc::new(table)),
            Err((row, same)) if row == same => {
                let why = format!("{}: the key of row {row} is NULL", file.text);
                wrong_file(file, &name, why, diagnostics);
            }
            Err((first, second)) => {
                let why = format!("{}: rows {first} and {second} have the same key", file.text);
                wrong_file(file, &name, why, diagnostics);
            }
        }
    }

    /// The table of a name, whatever its case.
    #[must_use]
    pub(in crate::rules) fn table(&self, name: &str) -> Option<&Arc<Table>> {
        let is_named = |table: &&Arc<Table>| table.declared.schema.name.eq_ignore_ascii_case(name);
        self.tables.iter().find(is_named)
    }

    /// The declared tables.
    #[must_use]
    pub(in crate::rules) fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }
}

fn wrong_file(file: &Name, table: &str, why: String, diagnostics: &mut Diagnostics) {
    diagnostics.push(file.span.clone(), format!("the table `{table}` cannot be read"), why);
}

/// The declared key of a table's rows.
fn key_of(table: &Table) -> KeyProgram {
    let stream = table.as_stream();
    let parts = table.declared.key.iter().filter_map(|&at| {
        let column = stream.column(table.declared.columns.get(at)?.field.name)?;
        let typed = Typed::new(Node::Column(column), column.ty(), 0..0);
        Some((Program::compile(&typed, &|_, _| 0).ok()?, column.ty()))
    });
    KeyProgram::new(parts.collect())
}
