//! The least and the greatest of a frame that moves: monotone queues through the rows.
//!
//! A queue holds the rows that can still become the frame's extreme: each stronger than all after
//! it. Its front is the extreme. The links lie in the rows, so a queue needs no memory of its own.
//!
//! Invariant: from back to front the rows of a queue are in reverse order of the frame and strictly
//! stronger one by one; all of them are in the frame.

use super::lines::{halves, word};
use super::plan::Extreme;
use super::rows::{NONE, Row, Rows};
use super::sketch::{order_f64, unorder_f64};
use crate::rules::types::Type;

/// A value as a word whose unsigned order is the order of its type.
#[inline]
pub(in crate::rules) fn order(ty: Type, bits: u64) -> u64 {
    match ty {
        Type::Double => order_f64(bits),
        Type::Text(_) => bits,
        _ => bits ^ 1 << 63,
    }
}

/// What [`order`] was given.
#[inline]
pub(in crate::rules) fn unorder(ty: Type, order: u64) -> u64 {
    match ty {
        Type::Double => unorder_f64(order),
        Type::Text(_) => order,
        _ => order ^ 1 << 63,
    }
}

/// How strong a row is in a queue; `None` if its value is not known.
#[inline]
fn strength(rows: &Rows, extreme: &Extreme, row: Row) -> Option<u64> {
    let value = rows.value(row, extreme.arg);
    let order = order(extreme.ty, value.bits);
    value.known.then_some(if extreme.greatest { order } else { !order })
}

/// Takes a row into the queues. If `late`, its place among the others is by its time.
pub(in crate::rules) fn enter(
    extremes: &[Extreme],
    rows: &mut Rows,
    state: &mut [u64],
    row: Row,
    late: bool,
) {
    for (link, extreme) in extremes.iter().enumerate() {
        let Some(mine) = strength(rows, extreme, row) else { continue };
        let (mut front, mut back) = halves(state[extreme.at]);
        let before = |rows: &Rows, at: Row| if at == front { NONE } else { rows.link(at, link).0 };
        let (mut at, mut after) = (back, NONE);
        while late && at != NONE && rows.ts(at) > rows.ts(row) {
            (after, at) = (at, before(rows, at));
        }
        if after != NONE && strength(rows, extreme, after) >= Some(mine) {
            continue;
        }
        while at != NONE && strength(rows, extreme, at) <= Some(mine) {
            at = before(rows, at);
        }
        rows.set_link(row, link, at, after);
        if at == NONE {
            front = row;
        } else {
            let (previous, _) = rows.link(at, link);
            rows.set_link(at, link, previous, row);
        }
        if after == NONE {
            back = row;
        } else {
            let (_, next) = rows.link(after, link);
            rows.set_link(after, link, row, next);
        }
        state[extreme.at] = word(front, back);
    }
}

/// Takes the first row of the frame out of the queues.
#[inline]
pub(in crate::rules) fn leave(extremes: &[Extreme], rows: &Rows, state: &mut [u64], row: Row) {
    for (link, extreme) in extremes.iter().enumerate() {
        let (front, back) = halves(state[extreme.at]);
        if front == row {
            let next = if front == back { 0 } else { word(rows.link(row, link).1, back) };
            state[extreme.at] = next;
        }
    }
}

/// Rows later than `ts` are about to move one place on: the queues follow them. Must be called
/// before they move, when the place for the last is there.
pub(in crate::rules) fn shift(extremes: &[Extreme], rows: &mut Rows, state: &mut [u64], ts: u64) {
    for (link, extreme) in extremes.iter().enumerate() {
        let (front, back) = halves(state[extreme.at]);
        let moved = |rows: &Rows, row: Row| {
            if row != NONE && rows.ts(row) > ts { rows.next(row) } else { row }
        };
        let mut at = back;
        while at != NONE {
            let (before, after) = rows.link(at, link);
            let before = if at == front { NONE } else { before };
            let after = if at == back { NONE } else { after };
            let earlier = rows.ts(at) <= ts;
            let links = (moved(rows, before), moved(rows, after));
            rows.set_link(at, link, links.0, links.1);
            if earlier {
                break;
            }
            at = before;
        }
        state[extreme.at] = word(moved(rows, front), moved(rows, back));
    }
}

/// The extreme of the frame, as an order.
#[inline]
pub(in crate::rules) fn front(extreme: &Extreme, rows: &Rows, state: &[u64]) -> Option<(Row, u64)> {
    let (front, _) = halves(state[extreme.at]);
    let value = if front == NONE { return None } else { rows.value(front, extreme.arg) };
    Some((front, value.bits))
}

/// The stronger of the values of two rows.
pub(in crate::rules) fn stronger(
    extreme: &Extreme,
    best: Option<u64>,
    rows: &Rows,
    row: Row,
) -> Option<u64> {
    let value = rows.value(row, extreme.arg);
    if !value.known {
        return best;
    }
    let Some(best) = best else { return Some(value.bits) };
    let (old, new) = (order(extreme.ty, best), order(extreme.ty, value.bits));
    let better = if extreme.greatest { new > old } else { new < old };
    Some(if better { value.bits } else { best })
}
