//! Users' own data: lines of JSON or of separated values to the records of a declared stream.
//!
//! ```text
//! pieces of a connection or file ──> lines ──┬──> json ──┐
//! datagrams, a line or more each ────────────┘    csv  ──┴──> row ──> record of the stream
//! ```
//!
//! A record's sequence number is the number of its line, from 1: in a connection or file as an
//! editor shows it, of datagrams as they came. Each connection is a session of its own, that names
//! the stream and counts on: the first has the same name as a file has, so that a file sent over a
//! connection gives the same records as the file itself.
//!
//! Invariant: a line gives one record or is counted under the name of what is wrong with it; it
//! never panics, and nothing of it is stored in part. No memory is taken per line.
//!
//! ```
//! use corelane_feeds::declared::{ColumnSpec, Declared};
//! use corelane_feeds::record::Record;
//! use corelane_feeds::schema::SqlType;
//! use corelane_feeds::text::{Format, TextConfig, TextFeed};
//! use corelane_feeds::units::Nanos;
//! let columns = [
//!     ColumnSpec::new("account", SqlType::BigInt),
//!     ColumnSpec::new("ts", SqlType::Timestamp),
//! ];
//! let mut stream = Declared::new(1, "payments", &columns).unwrap();
//! (stream.key, stream.time) = (vec![0], Some(1));
//! let mut feed = TextFeed::new(&TextConfig::new(0, &stream, Format::Json));
//! let mut times = Vec::new();
//! let mut sink = |record: &Record| times.push(record.header.ts_event);
//! feed.bytes(Nanos(0), b"{\"account\":7,\"ts\":\"2026-11-23T17:36:52Z\"}\n{", &mut sink);
//! assert_eq!(times, [Nanos(0), Nanos(1_795_455_412_000_000_000)]); // sys.session, payments
//! ```

mod csv;
mod feed;
mod json;
mod lines;
mod row;
mod time;
mod value;

#[cfg(test)]
mod tests;

use std::fmt;

pub use feed::{TextConfig, TextFeed};
pub use lines::LINE_BYTES_MAX;

/// How lines are written.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Format {
    /// A JSON object each.
    Json,
    /// Separated values, the first line naming the columns.
    Csv,
}

impl Format {
    /// Every format as a configuration and a rule file spell it.
    pub const NAMES: &'static [(&'static str, Self)] = &[("json", Self::Json), ("csv", Self::Csv)];

    /// The format of a name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name =
            Self::NAMES.iter().find(|(_, format)| format == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident $counter:ident $text:literal,)+) => {
        /// Why a line gives no record.
        #[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
        pub enum Reason {
            $($(#[doc = $doc])+ #[error($text)] $name,)+
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// What counts it.
            #[must_use]
            pub const fn counter(self) -> &'static str {
                match self { $(Self::$name => stringify!($counter),)+ }
            }
        }

        /// What a feed of lines counts. Names are stable, they are the names in reports.
        #[derive(Copy, Clone, Default, PartialEq, Eq, Debug)]
        pub struct TextCounters {
            /// Pieces of a stream, or datagrams.
            pub packets: u64,
            /// Lines that were looked at: all but blank ones and headers.
            pub messages: u64,
            /// Records made, those of sessions included.
            pub records: u64,
            /// Connections or files that brought a line.
            pub sessions: u64,
            /// Those of them that came after another.
            pub restarts: u64,
            /// Lines with nothing in them.
            pub blank_lines: u64,
            /// Values left out because no column is called so.
            pub unknown_keys: u64,
            /// Lines that gave no record, whatever the reason.
            pub rejected: u64,
            $($(#[doc = $doc])+ pub $counter: u64,)+
        }

        impl TextCounters {
            /// Every counter with its name, in a fixed order.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [
                    ("packets", self.packets),
                    ("messages", self.messages),
                    ("records", self.records),
                    ("sessions", self.sessions),
                    ("restarts", self.restarts),
                    ("blank_lines", self.blank_lines),
                    ("unknown_keys", self.unknown_keys),
                    ("rejected", self.rejected),
                    $((stringify!($counter), self.$counter),)+
                ]
                .into_iter()
            }

            fn reject(&mut self, reason: Reason) {
                self.rejected += 1;
                match reason { $(Reason::$name => self.$counter += 1,)+ }
            }
        }
    };
}
reasons! {
    /// It is no JSON object, or its quotes are wrong, or it has more fields than the header.
    BadSyntax bad_syntax "this is not well formed",
    /// Arrays or objects are nested more than 64 deep.
    TooDeep too_deep "nested more than 64 deep",
    /// A value is of another type than its column.
    WrongType wrong_type "a value of another type than the column",
    /// A number is beyond what its column holds.
    OutOfRange out_of_range "beyond what the column holds",
    /// A number has more decimals than its column.
    TooPrecise too_precise "more decimals than the column has",
    /// A text has more bytes than its column.
    TooLong too_long "more bytes than the column has",
    /// A time that is none.
    BadTime bad_time "no date and time",
    /// A value is missing that must not be: the event time, or of a column that is NOT NULL.
    Missing missing "a value is missing",
    /// The line has more than 65,536 bytes.
    LongLine long_lines "more than 65536 bytes",
    /// The header names no column of the stream, or one twice.
    BadHeader bad_header "the header names no column, or one twice",
    /// The connection broke off in the middle of it.
    CutLine cut_lines "cut off",
}

/// A line that gave no record.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Rejection {
    /// Its number.
    pub line: u64,
    /// Where in the line, from 1.
    pub byte: usize,
    /// The column whose value it is, if it is one's.
    pub column: Option<&'static str>,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, byte, column, reason } = self;
        write!(f, "line {line}, byte {byte}: {reason}")?;
        column.map_or(Ok(()), |column| write!(f, " (`{column}`)"))
    }
}
