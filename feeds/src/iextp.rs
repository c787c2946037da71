//! IEX-TP: sequenced messages in segments. [IEX Transport Protocol specification 1.25]
//!
//! ```text
//! 0         1          2          4         8         12       14      16       24    32     40
//! | version | reserved | protocol | channel | session | length | count | offset | seq | time | ...
//! ```
//! All little-endian. A segment with a length of 0 is a heartbeat and names the next sequence
//! number.
//!
//! Invariant: a segment gives the messages that lie whole inside its payload; what is framed
//! wrongly is an error with its offset, and the messages before it are still given.

use zerocopy::byteorder::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a segment's header.
pub const HEADER_BYTES: usize = 40;
/// The version that this reads.
pub const VERSION: u8 = 1;
/// Message protocol of DEEP 1.0.
pub const PROTOCOL_DEEP: u16 = 0x8004;
/// Message protocol of TOPS 1.6.
pub const PROTOCOL_TOPS: u16 = 0x8003;

/// The header of a segment.
#[derive(Copy, Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Version of the transport.
    pub version: u8,
    /// Reserved.
    pub reserved: u8,
    /// Which messages it carries.
    pub protocol: U16,
    /// Channel of the messages.
    pub channel: U32,
    /// Session, unique per day.
    pub session: U32,
    /// Bytes of the messages with their lengths.
    pub payload_bytes: U16,
    /// How many messages follow.
    pub count: U16,
    /// Bytes of the session's stream before this segment.
    pub stream_offset: I64,
    /// Sequence number of the first message, or the next one.
    pub first_seq: I64,
    /// When it was sent, nanoseconds since the epoch.
    pub send_time: U64,
}

const _: () = assert!(size_of::<Header>() == HEADER_BYTES);

/// Why bytes are not an IEX-TP segment.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IexTpError {
    /// Bytes are missing for what the segment announces.
    #[error("IEX-TP segment cut short at byte {offset}")]
    Truncated {
        /// Where bytes were missing.
        offset: usize,
    },
    /// Another version of the transport.
    #[error("IEX-TP version {version}, not 1")]
    Version {
        /// The version found.
        version: u8,
    },
    /// A negative sequence number.
    #[error("IEX-TP sequence number is negative")]
    Sequence,
}

/// A segment: its header and the bytes of its messages.
#[derive(Copy, Clone, Debug)]
pub struct Segment<'a> {
    /// The header.
    pub header: Header,
    /// Sequence number of the first message, or the next one.
    pub seq: u64,
    body: &'a [u8],
}

impl<'a> Segment<'a> {
    /// Reads the header of a segment.
    ///
    /// # Errors
    /// If bytes are missing, the version is another, or the sequence number is impossible.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, IexTpError> {
        let Ok((header, body)) = Header::read_from_prefix(bytes) else {
            return Err(IexTpError::Truncated { offset: bytes.len() });
        };
        if header.version != VERSION {
            return Err(IexTpError::Version { version: header.version });
        }
        let seq = u64::try_from(header.first_seq.get()).map_err(|_| IexTpError::Sequence)?;
        // A datagram may be padded; a shorter one shows at the message that is cut.
        let payload = usize::from(header.payload_bytes.get()).min(body.len());
        Ok(Self { header, seq, body: &body[..payload] })
    }

    /// The messages, in order; the first that does not lie whole in the payload is an error and the
    /// last item.
    #[inline]
    #[must_use]
    pub fn messages(&self) -> Messages<'a> {
        Messages { body: self.body, left: self.header.count.get(), offset: HEADER_BYTES }
    }
}

/// Iterates over a segment's messages.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    body: &'a [u8],
    left: u16,
    offset: usize,
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<&'a [u8], IexTpError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let framed = U16::read_from_prefix(self.body).ok();
        let message = framed.and_then(|(length, rest)| {
            let length = usize::from(length.get());
            Some((rest.get(..length)?, rest.get(length..)?))
        });
        let Some((message, rest)) = message else {
            self.left = 0;
            return Some(Err(IexTpError::Truncated { offset: self.offset }));
        };
        self.body = rest;
        self.offset += 2 + message.len();
        Some(Ok(message))
    }
}
