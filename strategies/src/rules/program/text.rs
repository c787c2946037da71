//! Functions that make texts: parts of others, or new ones.
//!
//! A part of a text is where it already lies. A new one is put into the machine's own space, which
//! is there until the next program runs: who wants a text reads it before.
//!
//! Invariant: nothing is allocated; a text that does not fit its bound is NULL and counted.

use super::{Machine, Program, trimmed};
use crate::rules::expr::{TEXT_MAX, TextCall, TimePart};
use crate::rules::types::{Text, Value};

/// The space of a [`Text`] that lies in the machine.
pub(super) const MADE: u8 = 2;
/// Bytes of all texts that a program makes.
const MADE_BYTES: usize = 2_048;

/// The texts that a program has made.
#[derive(Clone, Debug)]
pub(in crate::rules) struct Made {
    bytes: Box<[u8; MADE_BYTES]>,
    used: usize,
}

impl Default for Made {
    fn default() -> Self {
        Self { bytes: Box::new([0; MADE_BYTES]), used: 0 }
    }
}

impl Made {
    pub(super) fn clear(&mut self) {
        self.used = 0;
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..]
    }
}

/// A text that is being made.
struct Writer<'a> {
    place: &'a mut [u8],
    len: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        self.place.get_mut(self.len..self.len + bytes.len())?.copy_from_slice(bytes);
        self.len += bytes.len();
        Some(())
    }

    /// A number of so many digits, with zeros before it.
    fn number(&mut self, value: u64, digits: usize) -> Option<()> {
        let place = self.place.get_mut(self.len..self.len + digits)?;
        let mut rest = value;
        for byte in place.iter_mut().rev() {
            *byte = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.len += digits;
        Some(())
    }
}

impl Program {
    /// A text of the registers from `dst` on; `None` is undefined.
    pub(super) fn make_text(
        &self,
        at: u32,
        dst: u8,
        machine: &mut Machine,
        record: &[u8],
    ) -> Option<Value> {
        let call = self.text_calls.get(at as usize)?;
        let args = [0, 1, 2].map(|i| machine.get(dst + i));
        if args[..call.args()].iter().any(|arg| !arg.known) {
            return Some(Value::NULL);
        }
        if let TextCall::ToChar(parts) = call {
            let ns = u64::try_from(args[0].bits.cast_signed()).ok()?;
            return machine.made.write(|out| parts.iter().try_for_each(|part| part.put(ns, out)));
        }
        let Self { texts, .. } = self;
        // What is made lies behind what was made before, of which it may be a part.
        let (before, place) = machine.made.bytes.split_at_mut(machine.made.used);
        let mut out = Writer { place, len: 0 };
        let text = |value: Value| {
            let text = Text::from_bits(value.bits);
            let space = match text.space {
                super::CONSTANTS => &texts[..],
                MADE => &before[..],
                _ => record,
            };
            let start = text.offset as usize;
            trimmed(space.get(start..start + usize::from(text.len)).unwrap_or_default())
        };
        let (first, number) = (text(args[0]), |at: usize| args[at].bits.cast_signed());
        match call {
            TextCall::Lower => first.iter().try_for_each(|b| out.put(&[b.to_ascii_lowercase()]))?,
            TextCall::Upper => first.iter().try_for_each(|b| out.put(&[b.to_ascii_uppercase()]))?,
            TextCall::Concat => out.put(first).and_then(|()| out.put(text(args[1])))?,
            TextCall::Replace => replace(first, text(args[1]), text(args[2]), &mut out)?,
            TextCall::SplitPart => {
                let part = split_part(first, text(args[1]), number(2));
                return Some(part_of(args[0], first, part));
            }
            TextCall::Substring => {
                let part = substring(first, number(1), number(2));
                return Some(part_of(args[0], first, part));
            }
            TextCall::ToChar(_) => {}
        }
        let len = out.len;
        machine.made.take(len)
    }
}

impl Made {
    /// The text that was written behind the others.
    fn take(&mut self, len: usize) -> Option<Value> {
        if len > usize::from(TEXT_MAX) {
            return None;
        }
        let text = Text { space: MADE, len: len as u8, offset: self.used as u32 };
        self.used += len;
        Some(Value { bits: text.to_bits(), known: true })
    }

    fn write(&mut self, write: impl FnOnce(&mut Writer<'_>) -> Option<()>) -> Option<Value> {
        let mut out = Writer { place: &mut self.bytes[self.used..], len: 0 };
        write(&mut out)?;
        let len = out.len;
        self.take(len)
    }
}

/// A part of a text, given by where it begins and how long it is.
fn part_of(whole: Value, text: &[u8], (begin, len): (usize, usize)) -> Value {
    let whole = Text::from_bits(whole.bits);
    let begin = begin.min(text.len());
    let len = len.min(text.len() - begin);
    let part = Text { space: whole.space, len: len as u8, offset: whole.offset + begin as u32 };
    Value { bits: part.to_bits(), known: true }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    if what.is_empty() {
        return None;
    }
    text.windows(what.len()).position(|window| window == what)
}

/// The `n`th of the parts that a text stands between, from 1; from the end if it is negative.
fn split_part(text: &[u8], by: &[u8], n: i64) -> (usize, usize) {
    let count = |text: &[u8]| {
        let (mut at, mut count) = (0, 1);
        while let Some(next) = find(&text[at..], by) {
            at += next + by.len();
            count += 1;
        }
        count
    };
    let n = if n < 0 { count(text) + 1 + n } else { n };
    let mut begin = 0;
    for part in 1..=count(text) {
        let len = find(&text[begin..], by).unwrap_or(text.len() - begin);
        if part == n {
            return (begin, len);
        }
        begin = (begin + len + by.len()).min(text.len());
    }
    (0, 0)
}

/// So many bytes from a place on, which is counted from 1.
fn substring(text: &[u8], from: i64, len: i64) -> (usize, usize) {
    let (begin, end) = (from.max(1), from.saturating_add(len.max(0)).max(1));
    let place = |at: i64| usize::try_from(at - 1).unwrap_or(0).min(text.len());
    (place(begin), place(end).saturating_sub(place(begin)))
}

fn replace(text: &[u8], what: &[u8], by: &[u8], out: &mut Writer<'_>) -> Option<()> {
    let mut rest = text;
    while let Some(at) = find(rest, what) {
        out.put(&rest[..at])?;
        out.put(by)?;
        rest = &rest[at + what.len()..];
    }
    out.put(rest)
}

/// Year, month and day of days since 1970, in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Howard Hinnant, "chrono-compatible low-level date algorithms": eras of 400 years that begin
    // in March, so that the day that may be missing is the last.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (in_month, month) = (day - (153 * month + 2) / 5 + 1, (month + 2) % 12 + 1);
    (era * 400 + year + u64::from(month <= 2), month, in_month)
}

impl TimePart {
    fn put(&self, ns: u64, out: &mut Writer<'_>) -> Option<()> {
        const SECOND: u64 = 1_000_000_000;
        let (year, month, day) = civil(ns / (86_400 * SECOND));
        let (seconds, rest) = (ns / SECOND, ns % SECOND);
        let hour = seconds / 3_600 % 24;
        match self {
            Self::Text(text) => out.put(text.as_bytes()),
            Self::Year => out.number(year, 4),
            Self::Month => out.number(month, 2),
            Self::Day => out.number(day, 2),
            Self::Hour24 => out.number(hour, 2),
            Self::Hour12 => out.number((hour + 11) % 12 + 1, 2),
            Self::Minute => out.number(seconds / 60 % 60, 2),
            Self::Second => out.number(seconds % 60, 2),
            Self::Fraction(digits) => {
                out.number(rest / 10u64.pow(9 - u32::from(*digits)), usize::from(*digits))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(write: impl FnOnce(&mut Writer<'_>) -> Option<()>) -> String {
        let mut made = Made::default();
        let text = Text::from_bits(made.write(write).unwrap().bits);
        String::from_utf8(made.bytes()[..usize::from(text.len)].to_vec()).unwrap()
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (days, date) in [
            (0, "1970-01-01"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (16_631, "2015-07-15"),
            (20_818, "2026-12-31"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            let parts = TimePart::read("YYYY-MM-DD").unwrap();
            let ns = days * 86_400_000_000_000 + 1;
            assert_eq!(made(|out| parts.iter().try_for_each(|part| part.put(ns, out))), date);
        }
    }

    #[test]
    fn times_are_written_as_the_format_says() {
        let ns = (13 * 3_600 + 5 * 60 + 9) * 1_000_000_000 + 12_345_678;
        for (format, text) in [
            ("HH24:MI:SS.MS", "13:05:09.012"),
            ("hh12 MI", "01 05"),
            ("HH:mm US NS", "01:01 012345 012345678"),
            ("at HH24h", "at 13h"),
        ] {
            let parts = TimePart::read(format).unwrap();
            assert_eq!(made(|out| parts.iter().try_for_each(|part| part.put(ns, out))), text);
        }
        let noon = |hour: u64| made(|out| TimePart::Hour12.put(hour * 3_600_000_000_000, out));
        assert_eq!([0, 1, 11, 12, 23].map(noon), ["12", "01", "11", "12", "11"]);
    }

    #[test]
    fn parts_of_a_text_are_those_between() {
        let part = |text: &str, by: &str, n| {
            let (begin, len) = split_part(text.as_bytes(), by.as_bytes(), n);
            text[begin..begin + len].to_owned()
        };
        let url = "https://a.b/c//d";
        let parts = [-9, -1, 0, 1, 2, 3, 4, 5, 6, 7].map(|n| part(url, "/", n));
        assert_eq!(parts, ["", "d", "", "https:", "", "a.b", "c", "", "d", ""]);
        assert_eq!(part("abab", "ab", 1) + &part("abab", "ab", 3), "");
        assert_eq!((part("x", "", 1), part("", "x", 1)), ("x".to_owned(), String::new()));
        let cut = |from, len| {
            let (begin, len) = substring(b"abcdef", from, len);
            String::from_utf8_lossy(&b"abcdef"[begin..begin + len]).into_owned()
        };
        assert_eq!([cut(2, 3), cut(-1, 4), cut(5, 99), cut(9, 1)], ["bcd", "ab", "ef", ""]);
        assert_eq!(cut(i64::MIN, i64::MAX) + &cut(i64::MAX, i64::MAX), "");
        let replaced = |what: &str, by: &str| {
            made(|out| replace(b"banana", what.as_bytes(), by.as_bytes(), out))
        };
        assert_eq!([replaced("an", "-"), replaced("x", "y")], ["b--a", "banana"]);
        assert_eq!([replaced("", "y"), replaced("a", "")], ["banana", "bnn"]);
    }
}
