//! Functions that make texts: which values they take, and how long what they make can be.
//!
//! Invariant: the type of a text that is made says how many bytes it has at most.

use std::ops::Range;

use sqlparser::ast::Expr;

use super::{Noted, Resolved, Resolver};
use crate::rules::expr::{Node, TEXT_MAX, TextCall, TimePart, Typed};
use crate::rules::types::Type;

impl Resolver<'_> {
    fn text_arg(&mut self, value: Typed) -> Result<Typed, Noted> {
        if matches!(value.ty, Type::Text(_)) || value.node == Node::Null {
            return Ok(value);
        }
        let label = format!("this is {}", value.ty);
        Err(self.wrong(value.span, "a text is wanted here", label))
    }

    /// A function that makes a text of values that were resolved; there are as many as it takes.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(in crate::rules) fn text_call(
        &mut self,
        call: TextCall,
        args: Vec<Typed>,
        span: Range<usize>,
    ) -> Resolved {
        let texts = match call {
            TextCall::Replace => 3,
            TextCall::Concat | TextCall::SplitPart => 2,
            _ => 1,
        };
        let mut typed = Vec::new();
        for (at, arg) in args.into_iter().enumerate() {
            typed.push(if at < texts {
                self.text_arg(arg)?
            } else {
                self.expect(arg, Type::Int, "a place or a number of bytes")?
            });
        }
        let len = |at: usize| match typed.get(at).map(|arg: &Typed| (&arg.node, arg.ty)) {
            Some((Node::Text(text), _)) => text.len(),
            Some((_, Type::Text(len))) => usize::from(len),
            _ => 0,
        };
        let longest = match call {
            TextCall::Concat => len(0) + len(1),
            // What is replaced may be a byte.
            TextCall::Replace => len(0) * len(2).max(1),
            _ => len(0),
        };
        let ty = Type::Text(longest.clamp(1, TEXT_MAX.into()) as u8);
        Ok(Typed::new(Node::TextCall(call, typed), ty, span))
    }

    /// `to_char(time, 'format')`.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(in crate::rules) fn written_time(
        &mut self,
        args: Vec<Typed>,
        span: Range<usize>,
    ) -> Resolved {
        let Ok([time, format]) = <[Typed; 2]>::try_from(args) else {
            return Err(self.wrong(span, "`to_char` takes a time and a format", "here"));
        };
        let time = self.expect(time, Type::Timestamp, "what `to_char` writes")?;
        let parts = match &format.node {
            Node::Text(text) => TimePart::read(text),
            _ => None,
        };
        let Some(parts) = parts.filter(|parts| !parts.is_empty()) else {
            let label = format!("a text of at most {TEXT_MAX} bytes is");
            let noted = self.wrong(format.span, "this is no format of times", label);
            self.diagnostics.help("as 'YYYY-MM-DD HH24:MI:SS.MS'; HH12, US and NS are known, too");
            return Err(noted);
        };
        let ty = Type::Text(TimePart::bytes(&parts) as u8);
        Ok(Typed::new(Node::TextCall(TextCall::ToChar(parts), vec![time]), ty, span))
    }

    /// `SUBSTRING(text FROM n FOR m)`, or with commas.
    pub(super) fn substring(
        &mut self,
        text: &Expr,
        from: Option<&Expr>,
        len: Option<&Expr>,
        span: Range<usize>,
    ) -> Resolved {
        let number = |node| Typed::new(Node::Int(node), Type::Int, span.clone());
        let text = self.expr(text)?;
        let from = from.map(|from| self.expr(from)).transpose()?;
        let len = len.map(|len| self.expr(len)).transpose()?;
        let (from, all) = (from.unwrap_or_else(|| number(1)), number(i64::MAX));
        // Without a length it is the rest, wherever that begins.
        let args = vec![text, from, len.unwrap_or(all)];
        self.text_call(TextCall::Substring, args, span)
    }
}
