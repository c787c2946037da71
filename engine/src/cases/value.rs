//! Values of case files: into the fields of a record, and against those of an action.
//!
//! Invariant: a value is stored exactly or refused; numbers are compared as numbers, however they
//! are written.

use corelane_feeds::schema::SqlType;
use serde_json::Value;

/// Writes a value of a type to its place in a record.
///
/// # Errors
/// What is wrong with the value.
pub(super) fn put(sql: SqlType, value: &Value, place: &mut [u8]) -> Result<(), String> {
    let refuse = || format!("{value} is no {sql}");
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(flag) if sql == SqlType::Boolean => u8::from(*flag).to_string(),
        Value::Number(number) => number.to_string(),
        _ => return Err(refuse()),
    };
    let scaled = |decimals: u8| scaled(&text, decimals).ok_or_else(refuse);
    let word = match sql {
        SqlType::Char(_) => {
            if text.len() > place.len() {
                return Err(format!("{value} has more than {} bytes", place.len()));
            }
            place.fill(b' ');
            place[..text.len()].copy_from_slice(text.as_bytes());
            return Ok(());
        }
        SqlType::Double => text.parse::<f64>().map_err(|_| refuse())?.to_bits().into(),
        SqlType::Price => scaled(9)?,
        SqlType::Decimal(scale) => scaled(scale)?,
        _ => scaled(0)?,
    };
    let bits = 8 * place.len() as u32;
    let is_signed = matches!(
        sql,
        SqlType::TinyInt
            | SqlType::SmallInt
            | SqlType::Int
            | SqlType::BigInt
            | SqlType::Price
            | SqlType::Decimal(_)
            | SqlType::Interval
    );
    let fits = match (sql, is_signed) {
        (SqlType::Boolean, _) => (0..=1).contains(&word),
        (_, true) => (-(1i128 << (bits - 1))..1 << (bits - 1)).contains(&word),
        (_, false) => (0..1 << bits).contains(&word),
    };
    if !fits {
        return Err(refuse());
    }
    let bytes = word.to_le_bytes();
    place.copy_from_slice(&bytes[..place.len()]);
    Ok(())
}

/// A decimal number in units of ten to the minus so many.
fn scaled(text: &str, decimals: u8) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let fraction = fraction.trim_end_matches('0');
    let width = usize::from(decimals);
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) || fraction.len() > width {
        return None;
    }
    format!("{whole}{fraction:0<width$}").parse::<i128>().ok().map(|value| sign * value)
}

/// Whether a found value is the one that was expected.
pub(super) fn same(expected: &Value, found: &Value) -> bool {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let (expected_text, found_text) = (text(expected), text(found));
    if expected_text == found_text {
        return true;
    }
    if matches!((expected, found), (Value::Null, _) | (_, Value::Null)) {
        return false;
    }
    // Decimals are texts; a number with a fraction is a DOUBLE, whose last digit nobody writes.
    let is_double = found.is_f64();
    match (scaled(&expected_text, 18), scaled(&found_text, 18)) {
        (Some(expected), Some(found)) if !is_double => expected == found,
        _ => match (expected_text.parse::<f64>(), found_text.parse::<f64>()) {
            (Ok(a), Ok(b)) if is_double || a == b => (a - b).abs() <= 1e-6 * a.abs().max(b.abs()),
            _ => false,
        },
    }
}
