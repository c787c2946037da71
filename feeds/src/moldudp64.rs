//! MoldUDP64: sequenced messages in datagrams. [Nasdaq MoldUDP64 protocol specification 1.00]
//!
//! ```text
//! 0          10         18      20
//! | session  | sequence | count | length | message | length | message ...
//! ```
//! A count of 0 is a heartbeat, 0xFFFF the end of the session; both name the next sequence number.
//!
//! Invariant: a packet gives the messages that lie whole inside it; what is framed wrongly is an
//! error with its offset, and the messages before it are still given.

use zerocopy::byteorder::big_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a packet's header.
pub const HEADER_BYTES: usize = 20;
/// The count that ends a session.
pub const END_OF_SESSION: u16 = 0xffff;
/// Bytes of the length in front of each message.
pub const LENGTH_BYTES: usize = 2;

/// The header of a packet.
#[derive(Copy, Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// The session's name.
    pub session: [u8; 10],
    /// Sequence number of the first message; the next one's in heartbeats and at the end.
    pub seq: U64,
    /// How many messages follow.
    pub count: U16,
}

const _: () = assert!(size_of::<Header>() == HEADER_BYTES);

impl Header {
    /// A header for `count` messages from `seq` on.
    #[must_use]
    pub fn new(session: [u8; 10], seq: u64, count: u16) -> Self {
        Self { session, seq: U64::new(seq), count: U16::new(count) }
    }
}

/// Why bytes are not a MoldUDP64 packet.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MoldError {
    /// Bytes are missing for what the packet announces.
    #[error("MoldUDP64 packet cut short at byte {offset}")]
    Truncated {
        /// Where bytes were missing.
        offset: usize,
    },
}

/// A packet: its header and the bytes of its messages.
#[derive(Copy, Clone, Debug)]
pub struct Packet<'a> {
    /// The session's name.
    pub session: [u8; 10],
    /// Sequence number of the first message, or the next one.
    pub seq: u64,
    /// Messages announced; 0 for a heartbeat and for the end of the session.
    pub count: u16,
    /// Whether the session ends here.
    pub end_of_session: bool,
    body: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads the header of a packet.
    ///
    /// # Errors
    /// If there are fewer bytes than a header.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, MoldError> {
        let Ok((header, body)) = Header::ref_from_prefix(bytes) else {
            return Err(MoldError::Truncated { offset: bytes.len() });
        };
        let count = header.count.get();
        let end_of_session = count == END_OF_SESSION;
        Ok(Self {
            session: header.session,
            seq: header.seq.get(),
            count: if end_of_session { 0 } else { count },
            end_of_session,
            body,
        })
    }

    /// The messages, in order; the first that does not lie whole in the packet is an error and the
    /// last item.
    #[inline]
    #[must_use]
    pub fn messages(&self) -> Messages<'a> {
        Messages { body: self.body, left: self.count, bytes: self.body.len() }
    }
}

/// Iterates over a packet's messages.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    body: &'a [u8],
    left: u16,
    /// Bytes that there were at first.
    bytes: usize,
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<&'a [u8], MoldError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let framed = self.body.split_first_chunk::<LENGTH_BYTES>();
        let message = framed.and_then(|(length, rest)| {
            rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
        });
        let Some((message, rest)) = message else {
            self.left = 0;
            let offset = HEADER_BYTES + self.bytes - self.body.len();
            return Some(Err(MoldError::Truncated { offset }));
        };
        self.body = rest;
        Some(Ok(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(messages: &[&[u8]], count: u16) -> Vec<u8> {
        let mut bytes = Header::new(*b"SESSION001", 7, count).as_bytes().to_vec();
        for message in messages {
            bytes.extend_from_slice(&(message.len() as u16).to_be_bytes());
            bytes.extend_from_slice(message);
        }
        bytes
    }

    #[test]
    fn messages_come_out_in_order() {
        let bytes = packet(&[b"one", b"", b"three"], 3);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!((packet.seq, packet.count, &packet.session), (7, 3, b"SESSION001"));
        let messages: Result<Vec<_>, _> = packet.messages().collect();
        assert_eq!(messages.unwrap(), [&b"one"[..], b"", b"three"]);
    }

    #[test]
    fn heartbeats_and_the_end_have_no_messages() {
        let bytes = packet(&[], 0);
        assert_eq!(Packet::parse(&bytes).unwrap().messages().count(), 0);
        let bytes = packet(&[], END_OF_SESSION);
        let end = Packet::parse(&bytes).unwrap();
        assert!(end.end_of_session && end.messages().next().is_none());
    }

    #[test]
    fn every_cut_gives_the_whole_messages_and_one_error() {
        let bytes = packet(&[b"one", b"two"], 2);
        for cut in 0..bytes.len() {
            let Ok(packet) = Packet::parse(&bytes[..cut]) else {
                assert!(cut < HEADER_BYTES);
                continue;
            };
            let results: Vec<_> = packet.messages().collect();
            let whole = usize::from(cut >= HEADER_BYTES + 5);
            assert_eq!(results.iter().filter(|r| r.is_ok()).count(), whole, "cut at {cut}");
            assert_eq!(results.iter().filter(|r| r.is_err()).count(), 1);
        }
    }
}
