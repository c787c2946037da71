//! Packs messages into MoldUDP64 datagrams. [MoldUDP64 protocol specification 1.00]
//!
//! ```text
//! | session 10 | sequence 8 | count 2 | length 2 | message | length 2 | message | ...
//! ```
//!
//! Invariant: sequence numbers start at 1 and grow by the number of messages; a datagram is at most
//! as long as asked for, unless one message alone is longer.
//!
//! ```
//! use corelane::mold::Packer;
//! let mut packer = Packer::new(*b"SESSION001", 1_400, 0);
//! packer.push(b"first");
//! packer.push(b"second");
//! let datagram = packer.flush().unwrap();
//! assert_eq!((datagram.messages, datagram.bytes.len()), (2, 20 + 2 + 5 + 2 + 6));
//! assert_eq!(packer.flush(), None);
//! assert_eq!(packer.heartbeat()[10..], [0, 0, 0, 0, 0, 0, 0, 3, 0, 0]);
//! ```

use corelane_feeds::moldudp64::{END_OF_SESSION, HEADER_BYTES, Header};
use zerocopy::transmute;

/// Bytes of a datagram that fits an Ethernet frame with room for a VLAN tag and IP options.
pub const DATAGRAM_BYTES: usize = 1_400;

/// A finished datagram.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Header and messages.
    pub bytes: &'a [u8],
    /// Messages in it.
    pub messages: u16,
}

/// Collects messages into datagrams.
pub struct Packer {
    bytes: Vec<u8>,
    bytes_max: usize,
    messages_max: u16,
    session: [u8; 10],
    next_seq: u64,
    messages: u16,
}

impl Packer {
    /// A packer of datagrams of at most `bytes_max` bytes and, unless zero, `messages_max`
    /// messages.
    #[must_use]
    pub fn new(session: [u8; 10], bytes_max: usize, messages_max: u16) -> Self {
        let messages_max = if messages_max == 0 { END_OF_SESSION - 1 } else { messages_max };
        let mut bytes = Vec::with_capacity(bytes_max.max(HEADER_BYTES) + usize::from(u16::MAX));
        bytes.resize(HEADER_BYTES, 0);
        Self { bytes, bytes_max, messages_max, session, next_seq: 1, messages: 0 }
    }

    /// True if the pending datagram has no messages.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// Length of the pending datagram.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        if self.messages == 0 { HEADER_BYTES } else { self.bytes.len() }
    }

    /// True if a message of this length goes into the pending datagram; always, if it is empty.
    #[inline]
    #[must_use]
    pub fn fits(&self, length: usize) -> bool {
        self.messages == 0
            || (self.messages < self.messages_max
                && self.bytes.len() + 2 + length <= self.bytes_max)
    }

    /// Adds a message, which must be at most 65,535 bytes long.
    #[inline]
    pub fn push(&mut self, message: &[u8]) {
        let length = u16::try_from(message.len()).expect("a message's length is 16 bits");
        if self.messages == 0 {
            self.bytes.truncate(HEADER_BYTES);
        }
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(message);
        self.messages += 1;
    }

    /// The pending datagram, if it has messages; the next message begins a new one.
    pub fn flush(&mut self) -> Option<Datagram<'_>> {
        if self.messages == 0 {
            return None;
        }
        let header = self.header(self.messages);
        self.bytes[..HEADER_BYTES].copy_from_slice(&header);
        let messages = std::mem::take(&mut self.messages);
        self.next_seq += u64::from(messages);
        Some(Datagram { bytes: &self.bytes, messages })
    }

    /// A datagram without messages that names the next sequence number.
    #[must_use]
    pub fn heartbeat(&self) -> [u8; HEADER_BYTES] {
        self.header(0)
    }

    /// The datagram that ends the session.
    #[must_use]
    pub fn end_of_session(&self) -> [u8; HEADER_BYTES] {
        self.header(END_OF_SESSION)
    }

    fn header(&self, count: u16) -> [u8; HEADER_BYTES] {
        transmute!(Header::new(self.session, self.next_seq, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_stay_within_their_size_and_count() {
        let mut packer = Packer::new(*b"0123456789", 100, 3);
        assert!(packer.is_empty() && packer.fits(1_000));
        packer.push(&[1; 30]);
        packer.push(&[2; 30]);
        assert!(!packer.fits(15) && packer.fits(14));
        assert_eq!(packer.flush().unwrap().bytes.len(), 84);
        for _ in 0..3 {
            assert!(packer.fits(1));
            packer.push(&[3]);
        }
        assert!(!packer.fits(1), "three messages are the most");
        let datagram = packer.flush().unwrap();
        assert_eq!(datagram.bytes[10..20], [0, 0, 0, 0, 0, 0, 0, 3, 0, 3]);
        assert_eq!(packer.end_of_session()[10..], [0, 0, 0, 0, 0, 0, 0, 6, 0xff, 0xff]);
    }
}
