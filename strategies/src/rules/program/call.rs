//! Calls of functions that Rust brought, and looks into tables.
//!
//! Invariant: a result that is not of the function's type cannot be told from one that is; it is a
//! number all the same, and nothing panics.

use std::sync::Arc;

use super::{Code, Machine, Program, load_of};
use crate::functions::{ARGS_MAX, Datum};
use crate::rules::expr::TEXT_MAX;
use crate::rules::key::{KeyProgram, put_words, words};
use crate::rules::table::{Index, TableRef};
use crate::rules::types::{Type, Value};

/// Words of a key of one part: a text, and which parts are NULL.
const KEY_WORDS_MAX: usize = TEXT_MAX as usize / 8 + 1;

impl Program {
    /// What looks whether a value of a type is a key of a table, which has one part.
    pub(super) fn in_table(&mut self, table: &TableRef, ty: Type) -> Code {
        let declared = &table.0.declared;
        let column = declared.key.first().and_then(|&at| declared.columns.get(at));
        let column = column.and_then(|column| table.0.as_stream().column(column.field.name));
        let mut key = Self::default();
        if let Some(column) = column {
            key.push(load_of(column), 0, 0);
        }
        // The catalog made sure that no two rows have the same key.
        if let Ok(index) = Index::new(&table.0, &KeyProgram::new(vec![(key, ty)])) {
            self.tables.push((Arc::new(index), ty));
        }
        Code::InTable(self.tables.len().wrapping_sub(1) as u32)
    }

    /// Whether a known value is a key of the table of a number.
    #[inline]
    pub(super) fn is_in(&self, at: u32, value: Value, record: &[u8], made: &[u8]) -> bool {
        let Some((index, ty)) = self.tables.get(at as usize) else { return false };
        let mut key = [0; KEY_WORDS_MAX];
        let Some(key) = key.get_mut(..index.words()) else { return false };
        let Some(own) = key.get_mut(..words(*ty)) else { return false };
        put_words(self, value, *ty, (record, made), own);
        index.find(key).is_some()
    }

    /// A function of the first registers.
    pub(super) fn call(&self, at: u32, machine: &Machine, dst: u8, record: &[u8]) -> Option<Value> {
        let registers = machine.registers.get(dst.into()..)?;
        let (function, types) = self.functions.get(at as usize)?;
        let mut args = [Datum::Null; ARGS_MAX];
        let args = args.get_mut(..types.len())?;
        for ((arg, &value), &ty) in args.iter_mut().zip(registers).zip(types) {
            *arg = match ty {
                Type::Text(_) if value.known => {
                    Datum::Text(self.text(value, record, machine.made()))
                }
                _ => Datum::of(ty, value),
            };
        }
        if args.contains(&Datum::Null) && !function.0.takes_null() {
            return Some(Value::NULL);
        }
        Some(function.0.call(args).value())
    }
}
