//! Lines of separated values to the columns of a declared stream. [RFC 4180, but that a quoted
//! field has no line breaks: a line is a record, so that its number is its sequence]
//!
//! Invariant: a field goes to the column that the header names at its place; an empty field without
//! quotes is NULL.

use super::row::{Fault, Row};
use super::value::Token;
use super::{LINE_BYTES_MAX, Reason, TextCounters};
use crate::declared::COLUMNS_MAX;

/// Fields of a line.
const FIELDS_MAX: usize = 1_024;
/// A field that no column takes.
const UNKNOWN: u8 = u8::MAX;

/// Reads lines of separated values.
#[derive(Clone, Debug)]
pub(super) struct Csv {
    separator: u8,
    /// Whether the first line names the columns.
    has_header: bool,
    /// The next line is the header.
    header_due: bool,
    /// Column of every field.
    fields: Vec<u8>,
    /// A quoted field, its doubled quotes undone.
    undone: Vec<u8>,
}

/// A field as it stands in a line.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Field<'a> {
    text: &'a [u8],
    /// Whether it stood in quotes, and whether some of them are doubled.
    quoted: bool,
    doubled: bool,
    at: usize,
}

impl Csv {
    pub(super) fn new(separator: u8, has_header: bool, columns: usize) -> Self {
        let mut fields = Vec::with_capacity(FIELDS_MAX);
        if !has_header {
            fields.extend(0..columns.min(COLUMNS_MAX) as u8);
        }
        let undone = Vec::with_capacity(LINE_BYTES_MAX);
        Self { separator, has_header, header_due: has_header, fields, undone }
    }

    /// A connection or file begins: its first line may be a header.
    pub(super) fn begin(&mut self) {
        self.header_due = self.has_header;
    }

    /// Whether the next line is a header.
    pub(super) fn is_header_due(&self) -> bool {
        self.header_due
    }

    /// Reads a line into the row; false if it was the header.
    #[inline]
    pub(super) fn line(
        &mut self,
        line: &[u8],
        row: &mut Row,
        counters: &mut TextCounters,
    ) -> Result<bool, Fault> {
        if self.header_due {
            return self.header(line, row).map(|()| false);
        }
        if self.fields.is_empty() {
            return Err(Fault { reason: Reason::BadHeader, at: 0, column: None });
        }
        let Self { fields, undone, .. } = self;
        let mut split = Split { line, at: Some(0), separator: self.separator };
        for index in 0.. {
            let Some(field) = split.field()? else { break };
            let Some(&column) = fields.get(index) else {
                return Err(Fault { reason: Reason::BadSyntax, at: field.at, column: None });
            };
            if column == UNKNOWN {
                counters.unknown_keys += 1;
                continue;
            }
            if field.text.is_empty() && !field.quoted {
                continue;
            }
            let column = usize::from(column);
            let text = field.undone(undone);
            let put = row.put(column, Token::Text(text));
            put.map_err(|reason| Fault { reason, at: field.at, column: Some(column) })?;
        }
        Ok(true)
    }

    /// Takes the line that names the columns.
    #[cold]
    fn header(&mut self, line: &[u8], row: &Row) -> Result<(), Fault> {
        self.header_due = false;
        self.fields.clear();
        let mut seen = 0u64;
        let mut split = Split { line, at: Some(0), separator: self.separator };
        while let Some(field) = split.field()? {
            let found = row.find(field.undone(&mut self.undone).trim_ascii());
            let is_repeated = found.is_some_and(|column| seen >> column & 1 == 1);
            if is_repeated || self.fields.len() == FIELDS_MAX {
                self.fields.clear();
                return Err(Fault { reason: Reason::BadHeader, at: field.at, column: found });
            }
            seen |= found.map_or(0, |column| 1 << column);
            self.fields.push(found.map_or(UNKNOWN, |column| column as u8));
        }
        if seen == 0 {
            self.fields.clear();
            return Err(Fault { reason: Reason::BadHeader, at: 0, column: None });
        }
        Ok(())
    }
}

impl<'a> Field<'a> {
    fn undone(self, place: &'a mut Vec<u8>) -> &'a [u8] {
        if !self.doubled {
            return self.text;
        }
        place.clear();
        let mut was_quote = false;
        for &byte in self.text {
            was_quote = byte == b'"' && !was_quote;
            // The second of two is left out.
            if byte != b'"' || was_quote {
                place.push(byte);
            }
        }
        place
    }
}

/// Cuts a line into fields.
struct Split<'a> {
    line: &'a [u8],
    /// Where the next field begins, if there is one.
    at: Option<usize>,
    separator: u8,
}

impl<'a> Split<'a> {
    #[inline]
    fn field(&mut self) -> Result<Option<Field<'a>>, Fault> {
        let Some(at) = self.at else { return Ok(None) };
        let rest = self.line.get(at..).unwrap_or_default();
        if rest.first() == Some(&b'"') {
            return self.quoted(at, &rest[1..]).map(Some);
        }
        let separator = self.separator;
        let end = rest.iter().position(|byte| *byte == separator);
        self.at = end.map(|end| at + end + 1);
        let text = &rest[..end.unwrap_or(rest.len())];
        Ok(Some(Field { text, quoted: false, doubled: false, at }))
    }

    /// The field behind an opening quote.
    fn quoted(&mut self, at: usize, rest: &'a [u8]) -> Result<Field<'a>, Fault> {
        let mut doubled = false;
        let mut end = 0;
        loop {
            match (rest.get(end), rest.get(end + 1)) {
                (None, _) => break,
                (Some(b'"'), Some(b'"')) => {
                    doubled = true;
                    end += 2;
                }
                (Some(b'"'), next) => {
                    if next.is_some_and(|next| *next != self.separator) {
                        break;
                    }
                    self.at = next.map(|_| at + 1 + end + 2);
                    return Ok(Field { text: &rest[..end], quoted: true, doubled, at });
                }
                (Some(_), _) => end += 1,
            }
        }
        Err(Fault { reason: Reason::BadSyntax, at: at + 1 + end, column: None })
    }
}
