//! What a record must be for a rule to fire, as far as one column tells: it is what rules are
//! indexed by.
//!
//! Invariant: a record that a guard turns away makes its rule's condition false or NULL.

use super::{Planner, Program};
use crate::rules::catalog::Column;
use crate::rules::expr::{Compare, Node, Typed};
use crate::rules::program::trimmed;
use crate::rules::resolve::Noted;
use crate::rules::types::Type;

/// Values of one column.
#[derive(Clone, PartialEq, Debug)]
pub(in crate::rules) enum Values {
    /// One of these, as [`word_of_text`] or the bits of a number.
    OneOf(Vec<u64>),
    /// An integer, decimal or time between both, bounds included.
    Between(i64, i64),
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub(in crate::rules) struct Guard {
    pub(in crate::rules) column: Column,
    /// Reads the column.
    pub(in crate::rules) program: Program,
    pub(in crate::rules) values: Values,
}

/// Parts of a condition that all have to be true.
fn conjuncts<'a>(condition: &'a Typed, out: &mut Vec<&'a Typed>) {
    match &condition.node {
        Node::And(left, right) => {
            conjuncts(left, out);
            conjuncts(right, out);
        }
        _ => out.push(condition),
    }
}

/// A text as a word: equal texts have equal words, different ones may.
pub(in crate::rules) fn word_of_text(text: &[u8]) -> u64 {
    let mut word = 0u64;
    for bytes in trimmed(text).chunks(8) {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        word =
            (word ^ u64::from_le_bytes(whole)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
    word
}

/// `column op constant`, whichever way it is written, with the constant's bits.
fn comparison(typed: &Typed) -> Option<(Compare, Column, Type, u64)> {
    let Node::Compare(op, left, right) = &typed.node else { return None };
    let (op, column, constant) = match (&left.node, &right.node) {
        (Node::Column(column), _) => (*op, column, right),
        (_, Node::Column(column)) => (op.flipped(), column, left),
        _ => return None,
    };
    if column.ty() != left.ty && !matches!(left.ty, Type::Text(_)) {
        return None;
    }
    let bits = match &constant.node {
        Node::Int(value) => value.cast_unsigned(),
        Node::Text(text) => word_of_text(text.as_bytes()),
        _ => return None,
    };
    Some((op, *column, column.ty(), bits))
}

/// The values that an equality, or a choice of them on one column, lets through.
fn one_of(typed: &Typed, out: &mut Vec<u64>) -> Option<Column> {
    if let Node::Or(left, right) = &typed.node {
        let (left, right) = (one_of(left, out)?, one_of(right, out)?);
        return (left == right).then_some(left);
    }
    match comparison(typed)? {
        (Compare::Eq, column, _, bits) => {
            out.push(bits);
            Some(column)
        }
        _ => None,
    }
}

/// The range that an inequality lets through.
fn between(typed: &Typed) -> Option<(Column, i64, i64)> {
    let (op, column, ty, bits) = comparison(typed)?;
    let bound = bits.cast_signed();
    let (low, high) = match op {
        _ if matches!(ty, Type::Text(_) | Type::Double) => return None,
        Compare::Eq => (bound, bound),
        Compare::Lt => (i64::MIN, bound.checked_sub(1)?),
        Compare::Le => (i64::MIN, bound),
        Compare::Gt => (bound.checked_add(1)?, i64::MAX),
        Compare::Ge => (bound, i64::MAX),
        Compare::Ne => return None,
    };
    Some((column, low, high))
}

/// What the conditions of a rule, all of which have to be true, say of one column.
fn column_of(conditions: &[&Typed]) -> Option<(Column, Values)> {
    let mut all = Vec::new();
    conditions.iter().for_each(|condition| conjuncts(condition, &mut all));
    for typed in &all {
        let mut values = Vec::new();
        if let Some(column) = one_of(typed, &mut values) {
            return Some((column, Values::OneOf(values)));
        }
    }
    let mut ranges: Vec<(Column, i64, i64)> = Vec::new();
    for (column, low, high) in all.iter().filter_map(|typed| between(typed)) {
        match ranges.iter_mut().find(|range| range.0 == column) {
            Some(range) => (range.1, range.2) = (range.1.max(low), range.2.min(high)),
            None => ranges.push((column, low, high)),
        }
    }
    // The one with two bounds, if there is one, tells most.
    let bounds =
        |range: &&(Column, i64, i64)| u8::from(range.1 != i64::MIN) + u8::from(range.2 != i64::MAX);
    let (column, low, high) = *ranges.iter().rev().max_by_key(bounds)?;
    Some((column, Values::Between(low, high)))
}

impl Planner<'_> {
    /// What tells most of whether a rule with these conditions can fire.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn guard(&mut self, conditions: &[&Typed]) -> Result<Option<Guard>, Noted> {
        let Some((column, values)) = column_of(conditions) else { return Ok(None) };
        let program = self.compile(&Typed::new(Node::Column(column), column.ty(), 0..0))?;
        Ok(Some(Guard { column, program, values }))
    }
}
