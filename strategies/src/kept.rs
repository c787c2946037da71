//! What stages keep, told to people: books, windows, partial matches, as they are after a record.
//!
//! Invariant: telling changes nothing, and its order depends on the state alone.
//!
//! ```
//! use corelane_strategies::kept::Kept;
//! let kept = Kept::new("book", "book.l3").of_key("AAPL").value("bid", 12);
//! assert_eq!(kept.values, [("bid".to_owned(), "12".to_owned())]);
//! ```

use std::fmt::Display;

/// A row that a stage keeps.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct KeptRow {
    /// What it is there.
    pub label: String,
    /// The beginning of its record, as far as it is kept; empty if it is none.
    pub words: Vec<u64>,
}

/// One thing that a stage keeps.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Kept {
    /// What it is.
    pub what: &'static str,
    /// Whose it is: a stage, or rules.
    pub owner: String,
    /// What it is kept of, if that is an instrument: feed and number.
    pub instrument: Option<(u8, u16)>,
    /// What it is kept of.
    pub key: String,
    /// What it holds, with names.
    pub values: Vec<(String, String)>,
    /// The rows that it holds.
    pub rows: Vec<KeptRow>,
}

impl Kept {
    /// Something that `owner` keeps.
    #[must_use]
    pub fn new(what: &'static str, owner: impl Into<String>) -> Self {
        Self { what, owner: owner.into(), ..Self::default() }
    }

    /// The same of a key.
    #[must_use]
    pub fn of_key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    /// The same of an instrument.
    #[must_use]
    pub fn of_instrument(mut self, feed: u8, instrument: u16) -> Self {
        self.instrument = Some((feed, instrument));
        self
    }

    /// The same with a value more.
    #[must_use]
    pub fn value(mut self, name: impl Into<String>, value: impl Display) -> Self {
        self.values.push((name.into(), value.to_string()));
        self
    }

    /// The same with a row more, of which a record or nothing is kept.
    #[must_use]
    pub fn row(mut self, label: impl Into<String>, words: &[u64]) -> Self {
        self.rows.push(KeptRow { label: label.into(), words: words.to_vec() });
        self
    }
}
