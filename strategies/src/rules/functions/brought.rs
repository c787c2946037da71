//! Calls of functions that Rust brought: see [`crate::functions`].
//!
//! Invariant: a function is called with the types that its signature names, and no others.

use std::ops::Range;

use sqlparser::ast::Function as SqlFunction;

use crate::functions::{Aggregator, Scalar, Signature};
use crate::rules::expr::{Node, Typed};
use crate::rules::resolve::{Noted, Resolver};
use crate::rules::types::Type;
use crate::rules::window::{Frame, Function};

impl Resolver<'_> {
    /// A call of a function of that name, if there is one.
    pub(super) fn brought(
        &mut self,
        name: &str,
        call: &SqlFunction,
        span: &Range<usize>,
    ) -> Option<Result<Typed, Noted>> {
        if let Some(function) = self.functions.scalar(name) {
            return Some(self.brought_scalar(function, call, span.clone()));
        }
        let function = self.functions.aggregate(name)?;
        Some(self.brought_aggregate(function, call, span.clone()))
    }

    fn brought_scalar(
        &mut self,
        function: Scalar,
        call: &SqlFunction,
        span: Range<usize>,
    ) -> Result<Typed, Noted> {
        let signature = function.0.signature();
        let (args, distinct) = self.arguments(call, &span)?;
        if call.over.is_some() || distinct || args.contains(&None) {
            let title = format!("`{}` is no aggregate", signature.name);
            return Err(self.wrong(span, title, "OVER, DISTINCT and * have no meaning"));
        }
        let values = self.values(&args)?;
        let values = self.fitting(&signature, values, &span)?;
        Ok(Typed::new(Node::Scalar(function, values), signature.result, span))
    }

    fn brought_aggregate(
        &mut self,
        function: Aggregator,
        call: &SqlFunction,
        span: Range<usize>,
    ) -> Result<Typed, Noted> {
        let signature = function.get().signature();
        let (args, distinct) = self.arguments(call, &span)?;
        if distinct || args.contains(&None) {
            let title = format!("`{}` takes neither DISTINCT nor *", signature.name);
            return Err(self.wrong(span, title, "here"));
        }
        let values = self.values_of_rows(signature.name, &args, call, &span)?;
        let values = self.fitting(&signature, values, &span)?;
        if let (Some(over), false) = (&call.over, function.get().can_remove()) {
            let (_, frame) = self.window(over, &span)?;
            if frame != Frame::Unbounded {
                let title = format!("`{}` cannot take rows out again", signature.name);
                let label = "it goes with GROUP BY, or with a window without a bound";
                return Err(self.wrong(span, title, label));
            }
        }
        self.over_rows(Function::Custom(function), values, call, span)
    }

    /// The values in the types of a signature.
    fn fitting(
        &mut self,
        signature: &Signature,
        values: Vec<Typed>,
        span: &Range<usize>,
    ) -> Result<Vec<Typed>, Noted> {
        if values.len() != signature.args.len() {
            let title = format!("`{}` takes other arguments", signature.name);
            let noted = self.wrong(span.clone(), title, "here");
            self.diagnostics.help(format!("it is called {signature}"));
            return Err(noted);
        }
        let mut fitting = Vec::new();
        for (value, &ty) in values.into_iter().zip(signature.args) {
            let fits = value.ty == ty
                || value.node == Node::Null
                || value.ty.is_number() && ty.is_number()
                || matches!((value.ty, ty), (Type::Text(_), Type::Text(_)));
            if !fits {
                let title = format!("`{}` takes {ty} here", signature.name);
                return Err(self.wrong(value.span, title, format!("this is {}", value.ty)));
            }
            fitting.push(value.to(ty));
        }
        Ok(fitting)
    }
}
