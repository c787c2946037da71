//! Times as people write them. [RFC 3339; ISO 8601 with a blank for the `T`]
//!
//! Invariant: a time is exact to the nanosecond; one without an offset is UTC.

use super::Reason;

const DAY_SECONDS: i64 = 86_400;

/// Nanoseconds since the epoch of `2026-11-23T17:36:52.5Z`; `None` if the text does not begin like
/// a date, and may be a number.
pub(super) fn parse_time(text: &[u8]) -> Option<Result<i64, Reason>> {
    match text {
        [_, _, _, _, b'-', ..] => Some(date_time(text).ok_or(Reason::BadTime)),
        _ => None,
    }
}

fn date_time(text: &[u8]) -> Option<i64> {
    let (date, rest) = text.split_first_chunk::<10>()?;
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = *date else { return None };
    let year = number(&[y0, y1, y2, y3])?;
    let (month, day) = (number(&[m0, m1])?, number(&[d0, d1])?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    let days = days_from_civil(year, month, day);
    if rest.is_empty() {
        return days.checked_mul(DAY_SECONDS)?.checked_mul(1_000_000_000);
    }
    let (time, rest) = rest.split_first_chunk::<9>()?;
    let [b'T' | b't' | b' ', h0, h1, b':', i0, i1, b':', s0, s1] = *time else { return None };
    let (hour, minute, second) = (number(&[h0, h1])?, number(&[i0, i1])?, number(&[s0, s1])?);
    // A leap second is the last of its minute a second time.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (nanos, rest) = fraction(rest)?;
    let seconds = days * DAY_SECONDS + hour * 3_600 + minute * 60 + second.min(59);
    let seconds = seconds - offset(rest)?;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// Nanoseconds of `.5`, and what is behind it.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.' | b',', digits @ ..] = text else { return Some((0, text)) };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = digits.split_at(count);
    let (kept, beyond) = digits.split_at(count.min(9));
    if count == 0 || beyond.iter().any(|byte| *byte != b'0') {
        return None;
    }
    let scale = 10i64.pow(9 - kept.len() as u32);
    Some((number(kept)? * scale, rest))
}

/// Seconds east of UTC.
fn offset(text: &[u8]) -> Option<i64> {
    let (sign, text) = match text {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match *text {
        [h0, h1, b':', m0, m1] | [h0, h1, m0, m1] => ([h0, h1], [m0, m1]),
        [h0, h1] => ([h0, h1], [b'0'; 2]),
        _ => return None,
    };
    let (hours, minutes) = (number(&hours)?, number(&minutes)?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn number(digits: &[u8]) -> Option<i64> {
    let each = |value: i64, byte: &u8| Some(value * 10 + i64::from(byte.checked_sub(b'0')?));
    let all = digits.iter().all(u8::is_ascii_digit);
    all.then(|| digits.iter().try_fold(0, each)).flatten()
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01. [Hinnant, "chrono-compatible low-level date algorithms"]
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_every_form() {
        let second = 1_000_000_000;
        for (text, wanted) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-02", 86_400 * second),
            ("2001-09-09T01:46:40Z", 1_000_000_000 * second),
            ("2001-09-09 01:46:40", 1_000_000_000 * second),
            ("2001-09-09t03:46:40.000000001+02:00", 1_000_000_000 * second + 1),
            ("2001-09-08T20:16:40.5-0530", 1_000_000_000 * second + 500_000_000),
            ("2000-02-29T23:59:60Z", 951_868_799 * second),
            ("1969-12-31T23:59:59Z", -second),
        ] {
            assert_eq!(parse_time(text.as_bytes()), Some(Ok(wanted)), "{text}");
        }
        for bad in [
            "2001-02-29T00:00:00Z",
            "2001-13-01",
            "2001-00-10",
            "2001-01-01T24:00:00Z",
            "2001-01-01T00:00:00.Z",
            "2001-01-01T00:00:00.0000000001Z",
            "2001-01-01T00:00:00+24:00",
            "2001-01-01T00:00",
            "2001-1-1",
            "9999-12-31T00:00:00Z",
            "2001-01-01T00:00:00Zx",
        ] {
            assert_eq!(parse_time(bad.as_bytes()), Some(Err(Reason::BadTime)), "{bad}");
        }
        assert_eq!(parse_time(b"1700000000"), None);
    }
}
