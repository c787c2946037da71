//! Functions that Rust brings to the rule language: scalar and aggregate functions by trait.
//!
//! Rules call them as they call the language's own; `corelane list functions` shows both.
//!
//! Invariant: a function computes from its arguments and its state alone, allocates nothing per
//! record and does not panic: rules that call it give the same actions live and replayed.
//!
//! ```
//! use corelane_strategies::functions::{Datum, Functions, ScalarFunction, Signature};
//! use corelane_strategies::rules::{RuleSet, types::Type};
//!
//! struct BasisPoints;
//! impl ScalarFunction for BasisPoints {
//!     fn signature(&self) -> Signature {
//!         Signature {
//!             name: "basis_points",
//!             args: &[Type::Double, Type::Double],
//!             result: Type::Double,
//!             doc: "How far the first number is from the second, in 1/10,000 of the second.",
//!         }
//!     }
//!     fn call(&self, args: &[Datum<'_>]) -> Datum<'static> {
//!         let &[Datum::Double(a), Datum::Double(b)] = args else { return Datum::Null };
//!         Datum::Double((a / b - 1.0) * 10_000.0)
//!     }
//! }
//!
//! static BASIS_POINTS: BasisPoints = BasisPoints;
//! let mut functions = Functions::builtin();
//! functions.add_scalar(&BASIS_POINTS).unwrap();
//! let mut rules = RuleSet::with_functions(functions);
//! rules.add("rules.sql", "CREATE ACTION far (bp DOUBLE);
//!     CREATE RULE wide ON itch.add_order WHEN basis_points(price, 100) > 50
//!     THEN far(basis_points(price, 100));").unwrap();
//! ```

mod builtin;

use std::fmt;

use crate::rules::FUNCTIONS;
use crate::rules::types::{Type, Value};

/// Arguments of a function.
pub const ARGS_MAX: usize = 8;
/// Arguments of an aggregate.
pub const AGGREGATE_ARGS_MAX: usize = 2;
/// Words of an aggregate's state.
pub const WORDS_MAX: usize = 64;

/// A value as a function sees it.
#[derive(Copy, Clone, PartialEq, Debug)]
pub enum Datum<'a> {
    /// Not known.
    Null,
    /// BOOLEAN.
    Bool(bool),
    /// BIGINT, TIMESTAMP or INTERVAL (nanoseconds), or a DECIMAL in units of its last digit.
    Int(i64),
    /// DOUBLE. A result that is not finite is NULL.
    Double(f64),
    /// CHAR or VARCHAR, without trailing blanks. No function returns one.
    Text(&'a [u8]),
}

impl Datum<'_> {
    pub(crate) fn of(ty: Type, value: Value) -> Datum<'static> {
        match (value.known, ty) {
            (false, _) => Datum::Null,
            (true, Type::Bool) => Datum::Bool(value.bits != 0),
            (true, Type::Double) => Datum::Double(f64::from_bits(value.bits)),
            (true, _) => Datum::Int(value.bits.cast_signed()),
        }
    }

    pub(crate) fn value(self) -> Value {
        match self {
            Datum::Null | Datum::Text(_) => Value::NULL,
            Datum::Bool(value) => Value::bool(value),
            Datum::Int(value) => Value::int(value),
            Datum::Double(value) => Value::double(value),
        }
    }
}

/// How a function is called.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Signature {
    /// Its name in rules: lower-case letters, digits and underscores.
    pub name: &'static str,
    /// Arguments are converted to these; a VARCHAR takes texts of any length.
    pub args: &'static [Type],
    /// No text.
    pub result: Type,
    /// One sentence.
    pub doc: &'static str,
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let args: Vec<String> = self.args.iter().map(Type::to_string).collect();
        write!(f, "{}({}) -> {}", self.name, args.join(", "), self.result)
    }
}

/// A function of one row's values.
pub trait ScalarFunction: Sync {
    /// How it is called.
    fn signature(&self) -> Signature;

    /// Its value for arguments of its types. It must be of the result's type, or NULL.
    fn call(&self, args: &[Datum<'_>]) -> Datum<'static>;

    /// Whether it is called with NULL among its arguments too; the result is NULL if not.
    fn takes_null(&self) -> bool {
        false
    }
}

/// A function of the rows of a window or a group.
///
/// Rows of which an argument is NULL are passed over.
pub trait AggregateFunction: Sync {
    /// How it is called: one or two arguments, no texts.
    fn signature(&self) -> Signature;

    /// Words of its state, at most [`WORDS_MAX`]. All zero is the state of no rows.
    fn words(&self) -> usize;

    /// Takes a row in.
    fn add(&self, state: &mut [u64], args: &[Datum<'_>]);

    /// Takes a row out: every word must then be as it was before the row was taken in, whatever was
    /// taken in since.
    fn remove(&self, state: &mut [u64], args: &[Datum<'_>]);

    /// Takes in the rows of another state.
    fn merge(&self, state: &mut [u64], other: &[u64]);

    /// The result. It must be of the result's type, or NULL.
    fn result(&self, state: &[u64]) -> Datum<'static>;

    /// Whether [`AggregateFunction::remove`] does what it says. One that cannot take rows out is
    /// for groups and for windows without a bound.
    fn can_remove(&self) -> bool {
        true
    }
}

/// A registered function: equal to itself.
#[derive(Copy, Clone)]
pub(crate) struct Scalar(pub(crate) &'static dyn ScalarFunction);

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.signature().name)
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.0.signature() == other.0.signature()
    }
}

/// A registered aggregate: equal to itself.
#[derive(Copy, Clone)]
pub struct Aggregator(&'static dyn AggregateFunction);

impl Aggregator {
    pub(crate) fn get(self) -> &'static dyn AggregateFunction {
        self.0
    }
}

impl fmt::Debug for Aggregator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.signature().name)
    }
}

impl PartialEq for Aggregator {
    fn eq(&self, other: &Self) -> bool {
        self.0.signature() == other.0.signature()
    }
}

/// Why a function is not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FunctionError {
    /// The name is no name, or taken.
    #[error("`{name}` {what}")]
    Name {
        /// The name.
        name: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Its types or its state are not such that rules can call it.
    #[error("`{name}`: {what}")]
    Shape {
        /// The function.
        name: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// The functions that rules can call besides the language's own.
#[derive(Clone)]
pub struct Functions {
    scalars: Vec<Scalar>,
    aggregates: Vec<Aggregator>,
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.signatures().map(|signature| signature.name)).finish()
    }
}

impl Default for Functions {
    fn default() -> Self {
        Self::builtin()
    }
}

impl Functions {
    /// Those that come with the engine.
    #[must_use]
    pub fn builtin() -> Self {
        let scalars = builtin::SCALARS.iter().map(|function| Scalar(*function)).collect();
        let aggregates = builtin::AGGREGATES.iter().map(|function| Aggregator(*function));
        Self { scalars, aggregates: aggregates.collect() }
    }

    /// Adds a scalar function.
    ///
    /// # Errors
    /// If its name is taken or no name, it takes more than [`ARGS_MAX`] arguments, or it returns a
    /// text.
    pub fn add_scalar(
        &mut self,
        function: &'static dyn ScalarFunction,
    ) -> Result<(), FunctionError> {
        let signature = function.signature();
        self.check(&signature, ARGS_MAX)?;
        self.scalars.push(Scalar(function));
        Ok(())
    }

    /// Adds an aggregate function.
    ///
    /// # Errors
    /// If its name is taken or no name, it takes no, text or more than [`AGGREGATE_ARGS_MAX`]
    /// arguments, returns a text, or its state has no or more than [`WORDS_MAX`] words.
    pub fn add_aggregate(
        &mut self,
        function: &'static dyn AggregateFunction,
    ) -> Result<(), FunctionError> {
        let signature = function.signature();
        self.check(&signature, AGGREGATE_ARGS_MAX)?;
        let wrong = |what| Err(FunctionError::Shape { name: signature.name, what });
        if signature.args.is_empty() || signature.args.iter().any(|ty| matches!(ty, Type::Text(_)))
        {
            return wrong("an aggregate takes numbers or times, at least one");
        }
        if !(1..=WORDS_MAX).contains(&function.words()) {
            return wrong("the state of an aggregate has 1 to 64 words");
        }
        self.aggregates.push(Aggregator(function));
        Ok(())
    }

    fn check(&self, signature: &Signature, args_max: usize) -> Result<(), FunctionError> {
        let Signature { name, args, result, .. } = *signature;
        let begins = name.starts_with(|first: char| first.is_ascii_lowercase());
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !begins || !name.chars().all(known) {
            let what = "is no name: it has lower-case letters, digits and underscores";
            return Err(FunctionError::Name { name, what });
        }
        let taken = FUNCTIONS.iter().any(|function| function.name == name)
            || self.signatures().any(|signature| signature.name == name);
        if taken {
            return Err(FunctionError::Name { name, what: "is there already" });
        }
        if args.len() > args_max {
            return Err(FunctionError::Shape { name, what: "it takes too many arguments" });
        }
        if matches!(result, Type::Text(_)) {
            return Err(FunctionError::Shape { name, what: "a function returns no text" });
        }
        Ok(())
    }

    /// How each is called, scalar functions first.
    pub fn signatures(&self) -> impl Iterator<Item = Signature> {
        let scalars = self.scalars.iter().map(|function| function.0.signature());
        scalars.chain(self.aggregates.iter().map(|function| function.0.signature()))
    }

    pub(crate) fn scalar(&self, name: &str) -> Option<Scalar> {
        self.scalars.iter().find(|function| function.0.signature().name == name).copied()
    }

    pub(crate) fn aggregate(&self, name: &str) -> Option<Aggregator> {
        self.aggregates.iter().find(|function| function.0.signature().name == name).copied()
    }
}

#[cfg(test)]
mod tests;
