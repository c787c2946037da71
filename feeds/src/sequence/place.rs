//! Packets as places in a sequence.

/// Bytes of a session's name.
pub const SESSION_BYTES: usize = 16;

/// A session's name.
pub(super) type Name = [u8; SESSION_BYTES];

/// What a packet is, whatever transport brought it. Its end fits a sequence number, so that no
/// arithmetic on it overflows.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub(super) session: Name,
    pub(super) seq: u64,
    pub(super) end: u64,
    pub(super) line: u8,
}

impl Place {
    /// A packet of `count` messages from `seq` on (a heartbeat: none, and the next one's number);
    /// `None` if such sequence numbers cannot be.
    #[inline]
    #[must_use]
    pub fn new(line: u8, session: Name, seq: u64, count: u64) -> Option<Self> {
        Some(Self { session, seq, end: seq.checked_add(count)?, line })
    }

    /// The session's name.
    #[inline]
    #[must_use]
    pub fn session(&self) -> &Name {
        &self.session
    }

    /// The line that brought it.
    #[inline]
    #[must_use]
    pub fn line(&self) -> u8 {
        self.line
    }

    /// Sequence of its first message, or of the next one to come if it has none.
    #[inline]
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Sequence behind its last message.
    #[inline]
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Its number of messages.
    #[inline]
    #[must_use]
    pub fn count(&self) -> u64 {
        self.end - self.seq
    }
}
