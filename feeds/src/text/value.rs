//! Written values to the bytes of a column: numbers without floats, times, texts.
//!
//! Invariant: a value is stored exactly as it was written or refused with a [`Reason`]; nothing is
//! rounded (but into a DOUBLE), cut or wrapped.

use super::Reason;
use super::time::parse_time;
use crate::declared::{DeclaredColumn, TimeUnit};
use crate::schema::SqlType;

/// A value where it stands in a line.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Token<'a> {
    /// `true` or `false`.
    Bool(bool),
    /// The characters of a number.
    Number(&'a [u8]),
    /// A text as it is, its UTF-8 not yet checked.
    Text(&'a [u8]),
    /// A text of JSON with escapes in it.
    Escaped(&'a [u8]),
    /// An array or an object.
    Nested,
}

/// What a column takes.
#[derive(Copy, Clone, Debug)]
enum Kind {
    Bool,
    /// From one to the other, in so many bytes.
    Signed(i64, i64),
    Unsigned(u64),
    Double,
    /// So many decimals, below the limit.
    Decimal(u8, i64),
    /// Nanoseconds; what the unit's integers mean.
    Time(TimeUnit),
    Interval(TimeUnit),
    Text,
}

/// A column as values are written to it.
#[derive(Copy, Clone, Debug)]
pub(super) struct Column {
    kind: Kind,
    offset: u16,
    bytes: u8,
    /// Its bit in the mask of NULLs.
    pub(super) bit: u8,
}

impl Column {
    pub(super) fn new(index: usize, column: &DeclaredColumn, unit: TimeUnit) -> Self {
        let sql = column.field.sql;
        let limit = |digits: u8| 10i64.pow(u32::from(digits.clamp(1, 18)));
        let kind = match sql {
            SqlType::Boolean => Kind::Bool,
            SqlType::TinyInt => Kind::Signed(i8::MIN.into(), i8::MAX.into()),
            SqlType::SmallInt => Kind::Signed(i16::MIN.into(), i16::MAX.into()),
            SqlType::Int => Kind::Signed(i32::MIN.into(), i32::MAX.into()),
            SqlType::BigInt => Kind::Signed(i64::MIN, i64::MAX),
            SqlType::TinyIntUnsigned => Kind::Unsigned(u8::MAX.into()),
            SqlType::SmallIntUnsigned => Kind::Unsigned(u16::MAX.into()),
            SqlType::IntUnsigned => Kind::Unsigned(u32::MAX.into()),
            SqlType::BigIntUnsigned => Kind::Unsigned(u64::MAX),
            SqlType::Double => Kind::Double,
            SqlType::Price => Kind::Decimal(9, i64::MAX),
            SqlType::Decimal(scale) => Kind::Decimal(scale.min(18), limit(column.digits)),
            SqlType::Timestamp => Kind::Time(unit),
            SqlType::Interval => Kind::Interval(unit),
            SqlType::Char(_) => Kind::Text,
        };
        let (offset, bytes) = (column.field.offset as u16, sql.bytes() as u8);
        Self { kind, offset, bytes, bit: index as u8 }
    }

    /// Writes a value to its place in a record.
    #[inline]
    pub(super) fn put(&self, token: Token<'_>, record: &mut [u8]) -> Result<(), Reason> {
        let place = usize::from(self.offset)..usize::from(self.offset) + usize::from(self.bytes);
        let Some(place) = record.get_mut(place) else { return Err(Reason::OutOfRange) };
        match (self.kind, token) {
            (Kind::Text, Token::Text(text)) => return put_text(text, place),
            (Kind::Text, Token::Escaped(text)) => return put_escaped(text, place),
            _ => {}
        }
        let word = self.word(token)?;
        // Eight bytes are one store; the compiler does not see that from the slice.
        match <&mut [u8; 8]>::try_from(&mut *place) {
            Ok(place) => *place = word.to_le_bytes(),
            Err(_) => place.copy_from_slice(&word.to_le_bytes()[..place.len()]),
        }
        Ok(())
    }

    #[inline]
    fn word(&self, token: Token<'_>) -> Result<u64, Reason> {
        let digits = match token {
            Token::Number(digits) | Token::Text(digits) => digits,
            Token::Bool(truth) if matches!(self.kind, Kind::Bool) => return Ok(truth.into()),
            _ => return Err(Reason::WrongType),
        };
        let is_text = matches!(token, Token::Text(_));
        Ok(match self.kind {
            Kind::Signed(least, most) => {
                let value = i64::try_from(decimal(digits, 0)?).map_err(|_| Reason::OutOfRange)?;
                let fits = (least..=most).contains(&value);
                if fits { value.cast_unsigned() } else { return Err(Reason::OutOfRange) }
            }
            Kind::Unsigned(most) => {
                let value = u64::try_from(decimal(digits, 0)?).map_err(|_| Reason::OutOfRange)?;
                if value <= most { value } else { return Err(Reason::OutOfRange) }
            }
            Kind::Decimal(scale, limit) => {
                let value = i64::try_from(decimal(digits, scale)?);
                let value = value.map_err(|_| Reason::OutOfRange)?;
                let fits = limit == i64::MAX || value.unsigned_abs() < limit.unsigned_abs();
                if fits { value.cast_unsigned() } else { return Err(Reason::OutOfRange) }
            }
            Kind::Double => double(digits)?.to_bits(),
            Kind::Time(unit) => {
                let value = match is_text.then(|| parse_time(digits)).flatten() {
                    Some(time) => i128::from(time?),
                    None => decimal(digits, unit.decimals())?,
                };
                let value = i64::try_from(value).ok().filter(|value| *value >= 0);
                value.ok_or(Reason::OutOfRange)?.cast_unsigned()
            }
            Kind::Interval(unit) => {
                let value = i64::try_from(decimal(digits, unit.decimals())?);
                value.map_err(|_| Reason::OutOfRange)?.cast_unsigned()
            }
            Kind::Bool if is_text => match digits {
                b"true" | b"TRUE" | b"True" | b"t" | b"1" => 1,
                b"false" | b"FALSE" | b"False" | b"f" | b"0" => 0,
                _ => return Err(Reason::WrongType),
            },
            Kind::Bool | Kind::Text => return Err(Reason::WrongType),
        })
    }
}

/// Digits that a `u64` holds whatever they are.
const DIGITS_SAFE: usize = 19;
/// Digits that an `i128` holds whatever they are.
const DIGITS_MAX: usize = 38;

/// A number in units of ten to the minus `scale`, exactly.
#[inline]
pub(super) fn decimal(text: &[u8], scale: u8) -> Result<i128, Reason> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() {
        return Err(Reason::WrongType);
    }
    let mut value = 0u64;
    let mut point = None;
    for (i, &byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 && i < DIGITS_SAFE {
            value = value * 10 + u64::from(digit);
        } else if byte == b'.' && point.is_none() && i < DIGITS_SAFE {
            point = Some(i);
        } else {
            return decimal_slow(negative, digits, scale);
        }
    }
    let decimals = match point {
        None => 0,
        Some(at) => {
            let decimals = digits.len() - at - 1;
            if decimals == 0 || at == 0 {
                return Err(Reason::WrongType);
            }
            decimals
        }
    };
    let Some(missing) = usize::from(scale).checked_sub(decimals) else {
        return decimal_slow(negative, digits, scale);
    };
    let value = i128::from(value) * i128::from(10u64.pow(missing as u32));
    Ok(if negative { -value } else { value })
}

/// The same with an exponent, with many digits, or with more decimals than the scale has.
#[cold]
fn decimal_slow(negative: bool, digits: &[u8], scale: u8) -> Result<i128, Reason> {
    let split = digits.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (digits, exponent) = digits.split_at(split.unwrap_or(digits.len()));
    let exponent = match exponent {
        [] => 0,
        [_, exponent @ ..] => {
            let exponent = std::str::from_utf8(exponent).unwrap_or_default();
            exponent.parse::<i32>().map_err(|_| Reason::WrongType)?.clamp(-100, 100)
        }
    };
    let point = digits.iter().position(|byte| *byte == b'.');
    let (whole, decimals) = match point {
        Some(at) => (&digits[..at], &digits[at + 1..]),
        None => (digits, &digits[..0]),
    };
    let all = || whole.iter().chain(decimals);
    if whole.is_empty() || point.is_some() && decimals.is_empty() {
        return Err(Reason::WrongType);
    }
    if !all().all(u8::is_ascii_digit) {
        return Err(Reason::WrongType);
    }
    let leading = all().take_while(|byte| **byte == b'0').count();
    let count = whole.len() + decimals.len();
    let trailing = all().rev().take_while(|byte| **byte == b'0').count().min(count - leading);
    if count - leading - trailing > DIGITS_MAX {
        return Err(Reason::OutOfRange);
    }
    let kept = all().skip(leading).take(count - leading - trailing);
    let value = kept.fold(0i128, |value, byte| value * 10 + i128::from(byte - b'0'));
    if value == 0 {
        return Ok(0);
    }
    let value = if negative { -value } else { value };
    let (trailing, decimals) = (trailing as i64, decimals.len() as i64);
    let shift = i64::from(scale) + i64::from(exponent) + trailing - decimals;
    if shift < 0 {
        return Err(Reason::TooPrecise);
    }
    let factor = u32::try_from(shift).ok().and_then(|shift| 10i128.checked_pow(shift));
    factor.and_then(|factor| value.checked_mul(factor)).ok_or(Reason::OutOfRange)
}

fn double(digits: &[u8]) -> Result<f64, Reason> {
    let is_number =
        digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    let text = std::str::from_utf8(digits).ok().filter(|_| is_number);
    let value = text.and_then(|text| text.parse::<f64>().ok()).ok_or(Reason::WrongType)?;
    if value.is_finite() { Ok(value) } else { Err(Reason::OutOfRange) }
}

/// Writes a text and fills up with blanks.
#[inline]
fn put_text(text: &[u8], place: &mut [u8]) -> Result<(), Reason> {
    let Some((head, tail)) = place.split_at_mut_checked(text.len()) else {
        return Err(Reason::TooLong);
    };
    if !text.is_ascii() && std::str::from_utf8(text).is_err() {
        return Err(Reason::BadSyntax);
    }
    head.copy_from_slice(text);
    tail.fill(b' ');
    Ok(())
}

/// Writes a text of JSON, its escapes undone.
#[cold]
fn put_escaped(text: &[u8], place: &mut [u8]) -> Result<(), Reason> {
    let len = unescape(text, place)?;
    if std::str::from_utf8(&place[..len]).is_err() {
        return Err(Reason::BadSyntax);
    }
    place[len..].fill(b' ');
    Ok(())
}

/// Undoes the escapes of a JSON text into `place`; returns how many bytes it took.
pub(super) fn unescape(mut text: &[u8], place: &mut [u8]) -> Result<usize, Reason> {
    let mut len = 0;
    let mut push = |bytes: &[u8]| {
        let room = place.get_mut(len..len + bytes.len()).ok_or(Reason::TooLong)?;
        room.copy_from_slice(bytes);
        len += bytes.len();
        Ok(())
    };
    while let Some((&byte, rest)) = text.split_first() {
        text = rest;
        if byte != b'\\' {
            push(&[byte])?;
            continue;
        }
        let (found, rest) = escape(text)?;
        text = rest;
        push(found.encode_utf8(&mut [0; 4]).as_bytes())?;
    }
    Ok(len)
}

/// The character of an escape, its backslash taken, and what is behind it.
pub(super) fn escape(text: &[u8]) -> Result<(char, &[u8]), Reason> {
    let Some((&code, rest)) = text.split_first() else { return Err(Reason::BadSyntax) };
    Ok(match code {
        b'"' | b'\\' | b'/' => (char::from(code), rest),
        b'b' => ('\u{8}', rest),
        b'f' => ('\u{c}', rest),
        b'n' => ('\n', rest),
        b'r' => ('\r', rest),
        b't' => ('\t', rest),
        b'u' => return unicode(rest),
        _ => return Err(Reason::BadSyntax),
    })
}

/// The character behind `\u`: four digits, or two times four for a surrogate pair.
fn unicode(text: &[u8]) -> Result<(char, &[u8]), Reason> {
    let (first, rest) = hex4(text)?;
    if let Some(found) = char::from_u32(first) {
        return Ok((found, rest));
    }
    let Some(rest) = rest.strip_prefix(b"\\u") else { return Err(Reason::BadSyntax) };
    let (second, rest) = hex4(rest)?;
    if !(0xd800..0xdc00).contains(&first) || !(0xdc00..0xe000).contains(&second) {
        return Err(Reason::BadSyntax);
    }
    let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    Ok((char::from_u32(code).ok_or(Reason::BadSyntax)?, rest))
}

fn hex4(text: &[u8]) -> Result<(u32, &[u8]), Reason> {
    let Some((digits, rest)) = text.split_first_chunk::<4>() else {
        return Err(Reason::BadSyntax);
    };
    let mut code = 0;
    for &digit in digits {
        let digit = char::from(digit).to_digit(16).ok_or(Reason::BadSyntax)?;
        code = code * 16 + digit;
    }
    Ok((code, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_or_refused() {
        for (text, scale, wanted) in [
            ("0", 2, Ok(0)),
            ("-0.0", 2, Ok(0)),
            ("12.34", 2, Ok(1234)),
            ("12.3", 2, Ok(1230)),
            ("-7", 9, Ok(-7_000_000_000)),
            ("12.340000000000000000000", 2, Ok(1234)),
            ("12.345", 2, Err(Reason::TooPrecise)),
            ("1.5e3", 0, Ok(1500)),
            ("1500E-2", 0, Ok(15)),
            ("15e-2", 1, Err(Reason::TooPrecise)),
            ("0e999", 0, Ok(0)),
            ("1e99", 0, Err(Reason::OutOfRange)),
            ("18446744073709551615", 0, Ok(u64::MAX.into())),
            ("99999999999999999999", 0, Ok(99_999_999_999_999_999_999)),
            ("000000000000000000000000000001", 0, Ok(1)),
            ("+5", 0, Ok(5)),
            ("", 0, Err(Reason::WrongType)),
            ("-", 0, Err(Reason::WrongType)),
            (".5", 1, Err(Reason::WrongType)),
            ("5.", 1, Err(Reason::WrongType)),
            ("1.2.3", 2, Err(Reason::WrongType)),
            ("1e", 0, Err(Reason::WrongType)),
            ("0x10", 0, Err(Reason::WrongType)),
            ("NaN", 0, Err(Reason::WrongType)),
        ] {
            assert_eq!(decimal(text.as_bytes(), scale), wanted, "{text} at {scale}");
        }
    }

    #[test]
    fn escapes_are_undone() {
        let mut place = [0; 16];
        let mut undone = |text: &str| {
            let len = unescape(text.as_bytes(), &mut place)?;
            Ok(String::from_utf8(place[..len].to_vec()).unwrap())
        };
        assert_eq!(undone(r#"a\"\\\/\n\u00e9\ud83d\ude00"#).unwrap(), "a\"\\/\né😀");
        for bad in [r"\", r"\x", r"\u12", r"\ud83d", r"\ud83dx", r"\ud83d\u0041", r"\udc00\ud800"] {
            assert_eq!(undone(bad), Err(Reason::BadSyntax), "{bad}");
        }
        assert_eq!(undone(r"\n0123456789abcdef"), Err(Reason::TooLong));
    }
}
