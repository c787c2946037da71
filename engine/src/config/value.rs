//! Values with units, and the table reader that turns TOML into typed values.
//!
//! Invariant: every key of a table is either read or reported as unknown with the nearest known
//! spelling; every value is either of the wanted type or reported at its place.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use corelane_strategies::diagnostics::{Diagnostics, nearest};

/// What a value can be read as.
pub trait FromValue: Sized {
    /// What the reader says it wanted, with an example.
    const WANTED: &'static str;

    /// The value, or why it is none.
    ///
    /// # Errors
    /// A reason to be shown under the value; empty if the type alone is wrong.
    fn from_value(value: &DeValue<'_>) -> Result<Self, String>;
}

fn wrong_type<T>(value: &DeValue<'_>) -> Result<T, String> {
    Err(format!("found {}", value.type_str()))
}

fn integer(value: &DeValue<'_>) -> Result<i128, String> {
    let Some(integer) = value.as_integer() else { return wrong_type(value) };
    i128::from_str_radix(integer.as_str(), integer.radix()).map_err(|error| error.to_string())
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl FromValue for $type {
            const WANTED: &'static str = concat!("an integer that fits ", stringify!($type));
            fn from_value(value: &DeValue<'_>) -> Result<Self, String> {
                let found = integer(value)?;
                Self::try_from(found).map_err(|_| format!("{found} is out of range"))
            }
        }
    )*};
}
integers!(u8, u16, u32, u64, usize, i64);

impl FromValue for bool {
    const WANTED: &'static str = "`true` or `false`";
    fn from_value(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_bool().map_or_else(|| wrong_type(value), Ok)
    }
}

impl FromValue for String {
    const WANTED: &'static str = "a text";
    fn from_value(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_str().map_or_else(|| wrong_type(value), |text| Ok(text.to_owned()))
    }
}

impl FromValue for PathBuf {
    const WANTED: &'static str = "a path";
    fn from_value(value: &DeValue<'_>) -> Result<Self, String> {
        String::from_value(value).map(PathBuf::from)
    }
}

macro_rules! parsed {
    ($($type:ty, $wanted:literal;)*) => {$(
        impl FromValue for $type {
            const WANTED: &'static str = $wanted;
            fn from_value(value: &DeValue<'_>) -> Result<Self, String> {
                let Some(text) = value.as_str() else { return wrong_type(value) };
                text.parse().map_err(|_| format!("`{text}` is none"))
            }
        }
    )*};
}
parsed! {
    SocketAddr, "an address with a port, as \"239.1.1.1:5000\"";
    IpAddr, "an IP address, as \"127.0.0.1\"";
}

impl<T: FromValue> FromValue for Vec<T> {
    const WANTED: &'static str = T::WANTED;
    fn from_value(value: &DeValue<'_>) -> Result<Self, String> {
        let Some(array) = value.as_array() else { return wrong_type(value) };
        array.iter().map(|item| T::from_value(item.get_ref())).collect()
    }
}

/// A number of bytes: an integer, or a text with a unit (`64MiB`, `4KB`).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// A duration in nanoseconds: a text with a unit (`10us`, `1.5s`).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurationNs(pub u64);

const BYTE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];
const TIME_UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

impl FromValue for Bytes {
    const WANTED: &'static str = "a number of bytes, as \"64MiB\"";
    fn from_value(value: &DeValue<'_>) -> Result<Self, String> {
        match value.as_str() {
            Some(text) => parse_unit(text, BYTE_UNITS).map(Self),
            None => u64::from_value(value).map(Self),
        }
    }
}

impl FromValue for DurationNs {
    const WANTED: &'static str = "a duration with its unit, as \"10us\"";
    fn from_value(value: &DeValue<'_>) -> Result<Self, String> {
        let Some(text) = value.as_str() else { return wrong_type(value) };
        parse_unit(text, TIME_UNITS).map(Self)
    }
}

/// A duration as a configuration or an option spells it, in nanoseconds.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_duration_ns(text: &str) -> Result<u64, String> {
    parse_unit(text, TIME_UNITS)
}

/// Exact decimal times unit: no float rounds a size or a time.
fn parse_unit(text: &str, units: &[(&str, u64)]) -> Result<u64, String> {
    let names = || units.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim());
    let Some((_, scale)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("`{unit}` is no unit; known are {}", names()));
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let bad = || format!("`{number}` is no number");
    let whole: u128 = whole.parse().map_err(|_| bad())?;
    let digits = u32::try_from(fraction.len()).ok().filter(|n| *n <= 18).ok_or_else(bad)?;
    let fraction: u128 =
        if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| bad())? };
    let scale = u128::from(*scale);
    let total = whole
        .checked_mul(scale)
        .and_then(|units| units.checked_add(fraction * scale / 10u128.pow(digits)))
        .and_then(|units| u64::try_from(units).ok());
    total.ok_or_else(|| format!("`{text}` is too large"))
}

/// A closed list of words that a value may be.
pub trait Keyword: Copy + 'static {
    /// The words with their meanings.
    const WORDS: &'static [(&'static str, Self)];

    /// The word of this value.
    fn word(self) -> &'static str
    where
        Self: PartialEq,
    {
        Self::WORDS.iter().find(|(_, value)| *value == self).map_or("", |(word, _)| *word)
    }
}

impl<K: Keyword> FromValue for K {
    const WANTED: &'static str = "one of the known words";
    fn from_value(value: &DeValue<'_>) -> Result<Self, String> {
        let Some(text) = value.as_str() else { return wrong_type(value) };
        if let Some((_, value)) = K::WORDS.iter().find(|(word, _)| *word == text) {
            return Ok(*value);
        }
        let words: Vec<&str> = K::WORDS.iter().map(|(word, _)| *word).collect();
        let meant = nearest(text, words.iter().copied())
            .map_or_else(String::new, |word| format!("; did you mean `{word}`?"));
        Err(format!("`{text}` is none of {}{meant}", words.join(", ")))
    }
}

/// Reads one table, key by key.
pub struct Table<'a> {
    name: String,
    table: &'a DeTable<'a>,
    span: Range<usize>,
    known: Vec<&'static str>,
    diagnostics: &'a RefCell<Diagnostics>,
}

impl<'a> Table<'a> {
    /// A reader of `table`, which messages call `name`.
    pub fn new(
        name: impl Into<String>,
        table: &'a DeTable<'a>,
        span: Range<usize>,
        diagnostics: &'a RefCell<Diagnostics>,
    ) -> Self {
        Self { name: name.into(), table, span, known: Vec::new(), diagnostics }
    }

    /// Where the table's header stands.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The keys that were not asked for so far, with their values.
    pub fn rest(&mut self) -> Vec<(&'a str, &'a Spanned<DeValue<'a>>)> {
        let known = std::mem::take(&mut self.known);
        let rest = self.table.iter().map(|(key, value)| (key.get_ref().as_ref(), value));
        let rest = rest.filter(|(key, _)| !known.contains(key)).collect();
        self.known = known;
        rest
    }

    /// The value of `key` with its place; `None` if absent or (then reported) wrong.
    pub fn optional<T: FromValue>(&mut self, key: &'static str) -> Option<Spanned<T>> {
        self.known.push(key);
        let value = self.table.get(key)?;
        match T::from_value(value.get_ref()) {
            Ok(read) => Some(Spanned::new(value.span(), read)),
            Err(found) => {
                let title = format!("`{}.{key}` must be {}", self.name, T::WANTED);
                self.diagnostics.borrow_mut().push(value.span(), title, found);
                None
            }
        }
    }

    /// The value of `key`, or `default`.
    pub fn or<T: FromValue>(&mut self, key: &'static str, default: T) -> T {
        self.optional(key).map_or(default, Spanned::into_inner)
    }

    /// The value of `key`; if absent that is reported and `stand_in` returned.
    pub fn required<T: FromValue>(&mut self, key: &'static str, stand_in: T) -> Spanned<T> {
        if self.table.get(key).is_none() {
            let title = format!("`{}` needs `{key}`", self.name);
            let label = format!("add `{key}`: {}", T::WANTED);
            self.diagnostics.borrow_mut().push(self.span(), title, label);
        }
        self.optional(key).unwrap_or_else(|| Spanned::new(self.span(), stand_in))
    }

    /// The sub-table `key`, or an empty one.
    pub fn table(&mut self, key: &'static str) -> Option<Table<'a>> {
        self.known.push(key);
        let value = self.table.get(key)?;
        match value.get_ref().as_table() {
            Some(table) => {
                let name = self.child(key);
                Some(Table::new(name, table, value.span(), self.diagnostics))
            }
            None => {
                let title = format!("`{}` must be a table", self.child(key));
                let found = format!("found {}", value.get_ref().type_str());
                self.diagnostics.borrow_mut().push(value.span(), title, found);
                None
            }
        }
    }

    /// The tables of the array of tables `key`.
    pub fn tables(&mut self, key: &'static str) -> Vec<Table<'a>> {
        self.known.push(key);
        let Some(value) = self.table.get(key) else { return Vec::new() };
        let items = value.get_ref().as_array().map(|array| array.iter().collect::<Vec<_>>());
        let tables = items.and_then(|items| {
            let read = |item: &'a Spanned<DeValue<'a>>| {
                let table = item.get_ref().as_table()?;
                Some(Table::new(self.child(key), table, item.span(), self.diagnostics))
            };
            items.into_iter().map(read).collect::<Option<Vec<_>>>()
        });
        tables.unwrap_or_else(|| {
            let title = format!("`{}` must be tables: [[{}]]", self.child(key), self.child(key));
            let found = format!("found {}", value.get_ref().type_str());
            self.diagnostics.borrow_mut().push(value.span(), title, found);
            Vec::new()
        })
    }

    /// Reports a mistake at a place in this table.
    pub fn report(&self, span: Range<usize>, title: impl Into<String>, label: impl Into<String>) {
        self.diagnostics.borrow_mut().push(span, title, label);
    }

    /// Reports every key that was never asked for.
    pub fn finish(self) {
        let mut diagnostics = self.diagnostics.borrow_mut();
        for (key, _) in self.table {
            let word = key.get_ref().as_ref();
            if self.known.contains(&word) {
                continue;
            }
            let title = format!("unknown key `{word}` in `{}`", self.name);
            diagnostics.push(key.span(), title, "not a key here");
            let known = self.known.join(", ");
            diagnostics.help(match nearest(word, self.known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`? Known keys: {known}"),
                None => format!("known keys: {known}"),
            });
        }
    }

    fn child(&self, key: &str) -> String {
        if self.name == "config" { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_exact() {
        assert_eq!(parse_unit("64MiB", BYTE_UNITS), Ok(64 << 20));
        assert_eq!(parse_unit("1.5s", TIME_UNITS), Ok(1_500_000_000));
        assert_eq!(parse_unit("0.000001us", TIME_UNITS), Ok(0));
        for bad in ["", "10", "us", "1.2.3s", "10 parsecs", "99999999999999999999h", "-1s"] {
            assert!(parse_unit(bad, TIME_UNITS).is_err(), "{bad}");
        }
    }
}
