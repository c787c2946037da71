//! Numbers as people read them, and text that is safe in HTML.
//!
//! Invariant: a number keeps three significant digits and says its unit.
//!
//! ```
//! use corelane_bench::report::format::{escape, number};
//! assert_eq!(number(12_345.0, "ns"), "12.3 us");
//! assert_eq!(number(2_400_000.0, "messages/s"), "2.40 M messages/s");
//! assert_eq!(number(3.25 * 1024.0 * 1024.0, "bytes"), "3.25 MiB");
//! assert_eq!(escape("<a>"), "&lt;a&gt;");
//! ```

/// A value with its unit.
#[must_use]
pub fn number(value: f64, unit: &str) -> String {
    let magnitude = value.abs();
    let (by, prefix) = match unit {
        "ns" => return time(value),
        "bytes" if magnitude >= 1024.0 => return bytes(value),
        "" => return digits(value),
        _ if magnitude >= 1e9 => (1e9, "G "),
        _ if magnitude >= 1e6 => (1e6, "M "),
        _ if magnitude >= 1e4 => (1e3, "k "),
        _ => (1.0, ""),
    };
    format!("{} {prefix}{unit}", digits(value / by))
}

fn time(ns: f64) -> String {
    let (by, unit) = match ns.abs() {
        0.0..1e3 => (1.0, "ns"),
        1e3..1e6 => (1e3, "us"),
        1e6..1e9 => (1e6, "ms"),
        _ => (1e9, "s"),
    };
    format!("{} {unit}", digits(ns / by))
}

fn bytes(value: f64) -> String {
    let (by, unit) = match value.abs() {
        ..1_048_576.0 => (1024.0, "KiB"),
        1_048_576.0..1_073_741_824.0 => (1_048_576.0, "MiB"),
        _ => (1_073_741_824.0, "GiB"),
    };
    format!("{} {unit}", digits(value / by))
}

/// A number with three significant digits; whole numbers as they are.
#[must_use]
pub fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        _ if value.fract() == 0.0 => 0,
        0.0..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// A time of day and date, UTC, from nanoseconds since the epoch.
#[must_use]
pub fn date(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let (days, rest) = ((seconds / 86_400).cast_signed(), seconds % 86_400);
    // Days since 1 March of the year 0 make leap days the last of their year (H. Hinnant).
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day = days.rem_euclid(146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let march = (5 * day + 2) / 153;
    let (month, day) =
        (if march < 10 { march + 3 } else { march - 9 }, day - (153 * march + 2) / 5);
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (rest / 3_600, rest / 60 % 60);
    format!("{year}-{month:02}-{:02} {hour:02}:{minute:02} UTC", day + 1)
}

/// Text for an element or an attribute.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() && c != '\n' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        let cases = [
            (0.0, "ns", "0 ns"),
            (999.0, "ns", "999 ns"),
            (1_234.0, "ns", "1.23 us"),
            (56_780_000.0, "ns", "56.8 ms"),
            (2.5e9, "ns", "2.50 s"),
            (9_999.0, "packets", "9999 packets"),
            (512.0, "bytes", "512 bytes"),
            (2048.0, "bytes", "2 KiB"),
            (1.114, "", "1.11"),
        ];
        for (value, unit, text) in cases {
            assert_eq!(number(value, unit), text);
        }
    }

    #[test]
    fn dates_are_the_calendars() {
        let day = 86_400_000_000_000;
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(11_016 * day), "2000-02-29 00:00 UTC");
        assert_eq!(date(20_785 * day + 45_240_000_000_000), "2026-11-28 12:34 UTC");
    }
}
