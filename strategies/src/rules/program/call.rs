//! Calls of functions that Rust brought.
//!
//! Invariant: a result that is not of the function's type cannot be told from one that is; it is a
//! number all the same, and nothing panics.

use super::Program;
use crate::functions::{ARGS_MAX, Datum};
use crate::rules::types::{Type, Value};

impl Program {
    /// A function of the first registers.
    pub(super) fn call(&self, at: u32, registers: &[Value], record: &[u8]) -> Option<Value> {
        let (function, types) = self.functions.get(at as usize)?;
        let mut args = [Datum::Null; ARGS_MAX];
        let args = args.get_mut(..types.len())?;
        for ((arg, &value), &ty) in args.iter_mut().zip(registers).zip(types) {
            *arg = match ty {
                Type::Text(_) if value.known => Datum::Text(self.text(value, record)),
                _ => Datum::of(ty, value),
            };
        }
        if args.contains(&Datum::Null) && !function.0.takes_null() {
            return Some(Value::NULL);
        }
        Some(function.0.call(args).value())
    }
}
