//! Cuts a stream of bytes into lines, wherever its pieces end.
//!
//! Invariant: the same bytes give the same lines however they are cut into pieces. Memory is taken
//! once; a line that is longer than it gives nothing but its number.

use memchr::memchr;

/// Bytes of a line.
pub const LINE_BYTES_MAX: usize = 64 << 10;

/// What was found.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Line<'a> {
    /// A line without its end.
    Whole(&'a [u8]),
    /// A line longer than [`LINE_BYTES_MAX`].
    TooLong,
}

/// Holds what came of a line whose end did not come yet.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    begun: Vec<u8>,
    /// It was given out: the next line begins anew.
    given: bool,
    /// The line at hand is too long: it is gone past.
    too_long: bool,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self { begun: Vec::with_capacity(LINE_BYTES_MAX), given: false, too_long: false }
    }

    /// What holds the place while lines are elsewhere: no memory.
    pub(super) const fn none() -> Self {
        Self { begun: Vec::new(), given: false, too_long: false }
    }

    /// Forgets what was begun; whether there was anything.
    pub(super) fn clear(&mut self) -> bool {
        self.forget_given();
        let was_begun = !self.begun.is_empty() || self.too_long;
        self.begun.clear();
        self.too_long = false;
        was_begun
    }

    /// The next line of a piece and where what is behind it begins; `None` once the rest of the
    /// piece is held.
    #[inline]
    pub(super) fn next<'a>(&'a mut self, piece: &'a [u8]) -> Option<(Line<'a>, usize)> {
        self.forget_given();
        let Some(end) = memchr(b'\n', piece) else {
            self.hold(piece);
            return None;
        };
        let line = &piece[..end];
        if self.begun.is_empty() && !self.too_long && line.len() <= LINE_BYTES_MAX {
            return Some((Line::Whole(without_return(line)), end + 1));
        }
        self.hold(line);
        Some((self.last().unwrap_or(Line::Whole(b"")), end + 1))
    }

    /// The line at hand, as if its end had come; `None` if nothing was begun.
    pub(super) fn last(&mut self) -> Option<Line<'_>> {
        self.forget_given();
        if std::mem::take(&mut self.too_long) {
            return Some(Line::TooLong);
        }
        if self.begun.is_empty() {
            return None;
        }
        self.given = true;
        Some(Line::Whole(without_return(&self.begun)))
    }

    #[inline]
    fn forget_given(&mut self) {
        if std::mem::take(&mut self.given) {
            self.begun.clear();
        }
    }

    fn hold(&mut self, bytes: &[u8]) {
        if self.begun.len() + bytes.len() > LINE_BYTES_MAX {
            self.too_long = true;
            self.begun.clear();
        } else if !self.too_long {
            self.begun.extend_from_slice(bytes);
        }
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}
