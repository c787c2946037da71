//! One JSON object a line, to the columns of a declared stream. [RFC 8259]
//!
//! Keys are looked for where they stood in the line before, so that lines of one shape cost one
//! comparison a key.
//!
//! Invariant: every byte of a line is checked, also of values that nobody wants; nesting is bounded
//! and nothing recurses.

use super::row::{Fault, Row};
use super::value::{Token, escape, unescape};
use super::{Reason, TextCounters};

/// Arrays and objects within each other, at most.
const DEPTH_MAX: usize = 64;
/// Keys of an object whose places are remembered.
const PLACES: usize = 64;
/// The place of a key that no column has.
const UNKNOWN: u8 = u8::MAX;
/// Bytes of a key with escapes, undone, that can still be a column's name.
const KEY_BYTES_MAX: usize = 128;

/// Reads objects.
#[derive(Clone, Debug)]
pub(super) struct Json {
    /// Column of the key at each position of the object before.
    places: [u8; PLACES],
}

impl Default for Json {
    fn default() -> Self {
        Self { places: [0; PLACES] }
    }
}

/// A text as it stands in a line.
#[derive(Copy, Clone)]
struct Raw<'a> {
    text: &'a [u8],
    escaped: bool,
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

type Checked<T> = Result<T, Fault>;

impl Json {
    /// Reads a line into the row.
    #[inline]
    pub(super) fn line(
        &mut self,
        line: &[u8],
        row: &mut Row,
        counters: &mut TextCounters,
    ) -> Checked<()> {
        let mut cursor = Cursor { bytes: line, at: 0 };
        cursor.expect(b'{')?;
        if !cursor.take(b'}') {
            for position in 0.. {
                self.member(position, &mut cursor, row, counters)?;
                match cursor.next() {
                    Some(b',') => {}
                    Some(b'}') => break,
                    _ => return Err(cursor.wrong_before()),
                }
            }
        }
        cursor.blanks();
        if cursor.at < line.len() { Err(cursor.wrong()) } else { Ok(()) }
    }

    #[inline]
    fn member(
        &mut self,
        position: usize,
        cursor: &mut Cursor<'_>,
        row: &mut Row,
        counters: &mut TextCounters,
    ) -> Checked<()> {
        cursor.expect(b'"')?;
        let column = match self.guessed(position, cursor, row) {
            Some(column) => Some(column),
            None => {
                let key = cursor.text()?;
                self.column(position, key, row).map_err(|reason| cursor.fault(reason))?
            }
        };
        cursor.expect(b':')?;
        cursor.blanks();
        let begin = cursor.at;
        let token = cursor.value()?;
        let Some(column) = column else {
            counters.unknown_keys += 1;
            return check_text(token, begin);
        };
        let Some(token) = token else {
            row.clear(column);
            return Ok(());
        };
        let put = row.put(column, token);
        put.map_err(|reason| Fault { reason, at: begin, column: Some(column) })
    }

    /// The column whose name stood at this position before, if it stands there again: what costs a
    /// comparison and no search for the closing quote.
    #[inline]
    fn guessed(&self, position: usize, cursor: &mut Cursor<'_>, row: &Row) -> Option<usize> {
        let column = usize::from(*self.places.get(position)?);
        let name = row.name(column)?.as_bytes();
        let rest = cursor.bytes.get(cursor.at..)?;
        let (key, behind) = rest.split_at_checked(name.len())?;
        if key != name || behind.first() != Some(&b'"') {
            return None;
        }
        cursor.at += name.len() + 1;
        Some(column)
    }

    /// The column of the key at a position.
    #[inline]
    fn column(
        &mut self,
        position: usize,
        key: Raw<'_>,
        row: &Row,
    ) -> Result<Option<usize>, Reason> {
        let mut undone = [0; KEY_BYTES_MAX];
        let key = if key.escaped {
            match unescape(key.text, &mut undone) {
                Ok(len) => &undone[..len],
                Err(Reason::TooLong) => return Ok(None),
                Err(reason) => return Err(reason),
            }
        } else {
            if !key.text.is_ascii() && std::str::from_utf8(key.text).is_err() {
                return Err(Reason::BadSyntax);
            }
            key.text
        };
        let place = self.places.get_mut(position);
        let guess = place.as_ref().map_or(UNKNOWN, |place| **place);
        if guess != UNKNOWN && row.is_named(usize::from(guess), key) {
            return Ok(Some(usize::from(guess)));
        }
        let found = row.find(key);
        if let Some(place) = place {
            *place = found.map_or(UNKNOWN, |column| column as u8);
        }
        Ok(found)
    }
}

impl<'a> Cursor<'a> {
    fn fault(&self, reason: Reason) -> Fault {
        Fault { reason, at: self.at, column: None }
    }

    #[cold]
    fn wrong(&self) -> Fault {
        self.fault(Reason::BadSyntax)
    }

    /// What was taken last is wrong.
    #[cold]
    fn wrong_before(&self) -> Fault {
        Fault { reason: Reason::BadSyntax, at: self.at.saturating_sub(1), column: None }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
    }

    /// The next byte that is no blank.
    #[inline]
    fn next(&mut self) -> Option<u8> {
        self.blanks();
        let byte = self.peek();
        self.at += 1;
        byte
    }

    #[inline]
    fn expect(&mut self, wanted: u8) -> Checked<()> {
        if self.next() == Some(wanted) { Ok(()) } else { Err(self.wrong_before()) }
    }

    /// Takes a byte if it is the next one behind blanks.
    #[inline]
    fn take(&mut self, wanted: u8) -> bool {
        self.blanks();
        let is_next = self.peek() == Some(wanted);
        self.at += usize::from(is_next);
        is_next
    }

    /// The text up to its closing quote.
    #[inline]
    fn text(&mut self) -> Checked<Raw<'a>> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let mut escaped = false;
        let mut i = plain_bytes(rest);
        while let Some(&byte) = rest.get(i) {
            match byte {
                b'"' => {
                    self.at += i + 1;
                    return Ok(Raw { text: &rest[..i], escaped });
                }
                b'\\' => {
                    escaped = true;
                    i += 2;
                }
                0..0x20 => break,
                _ => i += 1,
            }
        }
        self.at = self.bytes.len().min(self.at + i);
        Err(self.wrong())
    }

    /// The characters of a number, its form checked.
    #[inline]
    fn number(&mut self) -> Checked<&'a [u8]> {
        let begin = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let whole = self.digits()?;
        if whole > 1 && self.bytes.get(self.at - whole) == Some(&b'0') {
            return Err(self.wrong());
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.bytes[begin..self.at])
    }

    #[inline]
    fn digits(&mut self) -> Checked<usize> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(self.wrong()) } else { Ok(count) }
    }

    fn word(&mut self, word: &[u8]) -> Checked<()> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err(self.wrong());
        }
        self.at += word.len();
        Ok(())
    }

    /// A value without parts; `None` is `null`.
    #[inline]
    fn scalar(&mut self) -> Checked<Option<Token<'a>>> {
        Ok(match self.peek() {
            Some(b'"') => {
                self.at += 1;
                let Raw { text, escaped } = self.text()?;
                Some(if escaped { Token::Escaped(text) } else { Token::Text(text) })
            }
            Some(b'-' | b'0'..=b'9') => Some(Token::Number(self.number()?)),
            Some(b't') => self.word(b"true").map(|()| Some(Token::Bool(true)))?,
            Some(b'f') => self.word(b"false").map(|()| Some(Token::Bool(false)))?,
            Some(b'n') => self.word(b"null").map(|()| None)?,
            _ => return Err(self.wrong()),
        })
    }

    #[inline]
    fn value(&mut self) -> Checked<Option<Token<'a>>> {
        match self.peek() {
            Some(b'{' | b'[') => self.nested().map(|()| Some(Token::Nested)),
            _ => self.scalar(),
        }
    }

    /// Goes past an array or object.
    #[cold]
    fn nested(&mut self) -> Checked<()> {
        // One bit a level: whether it is an object.
        let (mut objects, mut depth) = (0u64, 0);
        loop {
            // A value begins here.
            self.blanks();
            let mut is_value_done = true;
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    if depth == DEPTH_MAX {
                        return Err(self.fault(Reason::TooDeep));
                    }
                    self.at += 1;
                    objects = objects << 1 | u64::from(open == b'{');
                    depth += 1;
                    if !self.take(if open == b'{' { b'}' } else { b']' }) {
                        is_value_done = false;
                    } else {
                        (objects, depth) = (objects >> 1, depth - 1);
                    }
                }
                _ => {
                    let begin = self.at;
                    let token = self.scalar()?;
                    check_text(token, begin)?;
                }
            }
            // Behind a value come the ends of what it was the last of, or a comma.
            while is_value_done {
                if depth == 0 {
                    return Ok(());
                }
                let close = if objects & 1 == 1 { b'}' } else { b']' };
                match self.next() {
                    Some(b',') => is_value_done = false,
                    Some(byte) if byte == close => (objects, depth) = (objects >> 1, depth - 1),
                    _ => return Err(self.wrong_before()),
                }
            }
            if objects & 1 == 1 {
                self.expect(b'"')?;
                let begin = self.at;
                let Raw { text, escaped } = self.text()?;
                let token = if escaped { Token::Escaped(text) } else { Token::Text(text) };
                check_text(Some(token), begin)?;
                self.expect(b':')?;
            }
        }
    }
}

/// How many bytes at the front are surely neither a quote, a backslash nor a control character:
/// eight at a time. [Mycroft, as in "Bit Twiddling Hacks", "Determine if a word has a zero byte"]
#[inline]
fn plain_bytes(text: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let mut plain = 0;
    for chunk in text.chunks_exact(8) {
        let word = chunk.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let quote = has_zero(word ^ (ONES * u64::from(b'"')));
        let backslash = has_zero(word ^ (ONES * u64::from(b'\\')));
        // What is below 0x20 borrows; what has its high bit set does not count.
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (quote | backslash | control) & HIGH;
        if found != 0 {
            return plain + found.trailing_zeros() as usize / 8;
        }
        plain += 8;
    }
    plain
}

/// A text that no column takes: those that one takes are checked as they are written to it.
fn check_text(token: Option<Token<'_>>, at: usize) -> Checked<()> {
    let (Some(Token::Escaped(text) | Token::Text(text)), column) = (token, None) else {
        return Ok(());
    };
    let reason = Reason::BadSyntax;
    if is_sound(text) { Ok(()) } else { Err(Fault { reason, at, column }) }
}

/// Whether every escape is one, and the rest UTF-8.
fn is_sound(mut text: &[u8]) -> bool {
    if std::str::from_utf8(text).is_err() {
        return false;
    }
    while let Some(at) = text.iter().position(|byte| *byte == b'\\') {
        match escape(&text[at + 1..]) {
            Ok((_, rest)) => text = rest,
            Err(_) => return false,
        }
    }
    true
}
