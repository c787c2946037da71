//! What one instruction does to its values.
//!
//! Invariant: nothing wraps and nothing panics; what has no value is `None` or NULL.

use crate::rules::expr::{Arith, Call, Compare};
use crate::rules::types::Value;

#[inline]
pub(super) fn and(a: Value, b: Value) -> Value {
    let is_false = |value: Value| value.known && value.bits == 0;
    if is_false(a) || is_false(b) {
        Value::bool(false)
    } else if a.known && b.known {
        Value::bool(true)
    } else {
        Value::NULL
    }
}

#[inline]
pub(super) fn or(a: Value, b: Value) -> Value {
    if a.is_true() || b.is_true() {
        Value::bool(true)
    } else if a.known && b.known {
        Value::bool(false)
    } else {
        Value::NULL
    }
}

pub(super) fn known(value: Value) -> Option<Value> {
    value.known.then_some(value)
}

#[inline]
pub(super) fn arith_int(op: Arith, a: i64, b: i64) -> Option<i64> {
    match op {
        Arith::Add => a.checked_add(b),
        Arith::Sub => a.checked_sub(b),
        Arith::Mul => a.checked_mul(b),
        Arith::Div => a.checked_div(b),
        Arith::Rem => a.checked_rem(b),
    }
}

#[inline]
pub(super) fn arith_double(op: Arith, a: f64, b: f64) -> f64 {
    match op {
        Arith::Add => a + b,
        Arith::Sub => a - b,
        Arith::Mul => a * b,
        Arith::Div => a / b,
        Arith::Rem => a % b,
    }
}

/// A quotient rounded half away from zero; `None` by zero or if it does not fit.
pub(super) fn rounded(numerator: i128, denominator: i128) -> Option<i64> {
    let (n, d) = (numerator.unsigned_abs(), denominator.unsigned_abs());
    let magnitude = i128::try_from(n.checked_add(d / 2)?.checked_div(d)?).ok()?;
    let is_negative = (numerator < 0) != (denominator < 0);
    i64::try_from(if is_negative { -magnitude } else { magnitude }).ok()
}

pub(super) fn from_double(value: f64) -> Option<Value> {
    let value = value.round();
    let fits = value >= -(2f64.powi(63)) && value < 2f64.powi(63);
    fits.then(|| Value::int(value as i64))
}

#[inline]
pub(super) fn compares<T: PartialOrd + ?Sized>(op: Compare, a: &T, b: &T) -> bool {
    match op {
        Compare::Eq => a == b,
        Compare::Ne => a != b,
        Compare::Lt => a < b,
        Compare::Le => a <= b,
        Compare::Gt => a > b,
        Compare::Ge => a >= b,
    }
}

pub(super) const fn takes_two(call: Call) -> bool {
    matches!(call, Call::Power | Call::Greatest | Call::Least)
}

pub(super) fn call_int(call: Call, a: i64, b: i64) -> Option<i64> {
    match call {
        Call::Abs => a.checked_abs(),
        Call::Sign => Some(a.signum()),
        Call::Greatest => Some(a.max(b)),
        Call::Least => Some(a.min(b)),
        _ => Some(a),
    }
}

pub(super) fn call_double(call: Call, a: f64, b: f64) -> f64 {
    match call {
        Call::Abs => a.abs(),
        Call::Sign => {
            if a == 0.0 {
                0.0
            } else {
                a.signum()
            }
        }
        Call::Floor => a.floor(),
        Call::Ceil => a.ceil(),
        Call::Sqrt => a.sqrt(),
        Call::Ln => a.ln(),
        Call::Exp => a.exp(),
        Call::Power => a.powf(b),
        Call::Greatest => a.max(b),
        Call::Least => a.min(b),
        Call::Length => a,
    }
}

/// A text without the blanks and zeros that fill a CHAR.
#[must_use]
pub(in crate::rules) fn trimmed(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|&byte| byte != b' ' && byte != 0).map_or(0, |at| at + 1);
    &text[..end]
}

/// `%` is any text, `_` any byte; takes time in proportion to the product of the lengths at most.
pub(super) fn is_like(text: &[u8], pattern: &[u8]) -> bool {
    let (mut t, mut p) = (0, 0);
    let mut retry = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'%') => {
                retry = Some((p, t));
                p += 1;
            }
            Some(&byte) if byte == b'_' || byte == text[t] => {
                t += 1;
                p += 1;
            }
            _ => match &mut retry {
                Some((star, from)) => {
                    *from += 1;
                    (p, t) = (*star + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'%')
}
