//! What a feed's packets and messages are, told from their content alone.
//!
//! Invariant: a guess is made only if the framing adds up to the last byte; an override in the
//! configuration or on the command line always wins over it.
//!
//! ```
//! use corelane_feeds::detect;
//! use corelane_feeds::feed::{Protocol, Transport};
//! let heartbeat = b"SESSION001\0\0\0\0\0\0\0\x05\0\0";
//! let guess = detect::datagram(heartbeat).unwrap();
//! assert_eq!((guess.protocol, guess.transport), (Protocol::Itch50, Transport::MoldUdp64));
//! assert_eq!(detect::datagram(b"something else"), None);
//! ```

use crate::feed::{Protocol, Transport};
use crate::soupbintcp::Login;
use crate::{iextp, itch50, moldudp64};

/// Messages of a file or TCP stream that are looked at.
pub const MESSAGES_MAX: usize = 64;
/// Bytes of the payload of a SoupBinTCP login acceptance.
const SOUP_ACCEPTED_BYTES: usize = 30;

/// What a feed seems to be.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Guess {
    /// What its messages are.
    pub protocol: Protocol,
    /// What carries them.
    pub transport: Transport,
}

/// What a datagram is of. A MoldUDP64 packet without messages counts as ITCH 5.0, the one protocol
/// known to come that way.
#[must_use]
pub fn datagram(payload: &[u8]) -> Option<Guess> {
    iex(payload).or_else(|| mold(payload))
}

/// What a message is of, if its type and length are those of a known protocol.
#[must_use]
pub fn message(message: &[u8]) -> Option<Protocol> {
    let kind = *message.first()?;
    (itch50::wire::length_of(kind)? == message.len()).then_some(Protocol::Itch50)
}

/// Whether a TCP segment is the first that a SoupBinTCP client or server sends: a login or its
/// acceptance, whole and alone or with packets behind it.
#[must_use]
pub fn is_soup_start(bytes: &[u8]) -> bool {
    let Some((length, packet)) = bytes.split_first_chunk::<2>() else { return false };
    let Some(packet) = packet.get(..usize::from(u16::from_be_bytes(*length))) else { return false };
    let number = |field: &[u8]| {
        let text = field.trim_ascii();
        !text.is_empty() && text.iter().all(u8::is_ascii_digit)
    };
    match packet.split_first() {
        Some((b'L', payload)) => payload.len() == 46 && Login::parse(payload).is_some(),
        Some((b'A', payload)) => payload.len() == SOUP_ACCEPTED_BYTES && number(&payload[10..]),
        _ => false,
    }
}

/// What a file of length-prefixed messages, or the server's side of a TCP stream, is by its first
/// bytes: a few hundred are enough, and no more than [`MESSAGES_MAX`] messages are looked at.
#[must_use]
pub fn stream(bytes: &[u8]) -> Option<Guess> {
    // A SoupBinTCP packet of type `S` could pass for a long system event: the other way round it
    // cannot, the byte behind the type would be a stock locate of a message that has none.
    let transport = if is_soup(bytes) {
        Transport::SoupBinTcp
    } else if is_binary_file(bytes) {
        Transport::BinaryFile
    } else {
        return None;
    };
    Some(Guess { protocol: Protocol::Itch50, transport })
}

/// Packets behind their two-byte lengths, as BinaryFILE and SoupBinTCP have them.
fn packets(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let framed = std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk::<2>()?;
        let (packet, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        bytes = rest;
        Some(packet)
    });
    framed.take(MESSAGES_MAX)
}

fn is_itch(message: &[u8]) -> bool {
    let known = message.first().and_then(|kind| itch50::wire::length_of(*kind));
    known.is_some_and(|known| message.len() >= known)
}

/// The first message must be known; most of the others too.
fn is_binary_file(bytes: &[u8]) -> bool {
    let (mut known, mut all) = (0, 0);
    for message in packets(bytes) {
        let is_known = is_itch(message);
        if all == 0 && !is_known {
            return false;
        }
        known += usize::from(is_known);
        all += 1;
    }
    known * 2 > all
}

/// The first packet must be one that a server sends; ITCH lies in its sequenced ones.
fn is_soup(bytes: &[u8]) -> bool {
    let mut seen = false;
    for packet in packets(bytes) {
        let Some((&kind, payload)) = packet.split_first() else { return false };
        let fits = match kind {
            b'S' => is_itch(payload),
            b'A' => payload.len() == SOUP_ACCEPTED_BYTES,
            b'H' | b'Z' => payload.is_empty(),
            b'+' | b'U' => seen,
            _ => false,
        };
        if !fits {
            return false;
        }
        seen = true;
    }
    seen
}

fn iex(payload: &[u8]) -> Option<Guess> {
    let segment = iextp::Segment::parse(payload).ok()?;
    let protocol = match segment.header.protocol.get() {
        iextp::PROTOCOL_DEEP => Protocol::IexDeep10,
        iextp::PROTOCOL_TOPS => Protocol::IexTops16,
        _ => return None,
    };
    let body = usize::from(segment.header.payload_bytes.get());
    let framed = framed_bytes(segment.messages().map(Result::ok))?;
    let whole = framed == body && payload.len() >= iextp::HEADER_BYTES + body;
    (whole && segment.header.reserved == 0)
        .then_some(Guess { protocol, transport: Transport::IexTp })
}

fn mold(payload: &[u8]) -> Option<Guess> {
    let packet = moldudp64::Packet::parse(payload).ok()?;
    let named = packet.session.iter().all(|&byte| byte == b' ' || byte.is_ascii_graphic());
    let framed = framed_bytes(packet.messages().map(Result::ok))?;
    let known = packet.count == 0 || packet.messages().flatten().any(|m| message(m).is_some());
    let whole = moldudp64::HEADER_BYTES + framed == payload.len();
    let guess = Guess { protocol: Protocol::Itch50, transport: Transport::MoldUdp64 };
    (named && whole && known && packet.seq > 0).then_some(guess)
}

/// Bytes of messages with their two-byte lengths; `None` if one is not whole.
fn framed_bytes<'a>(messages: impl Iterator<Item = Option<&'a [u8]>>) -> Option<usize> {
    let mut bytes = 0;
    for message in messages {
        bytes += 2 + message?.len();
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zerocopy::IntoBytes;

    use super::*;
    use crate::soupbintcp::{write_accepted, write_packet};

    fn mold_packet(messages: &[&[u8]]) -> Vec<u8> {
        let count = messages.len() as u16;
        let mut bytes = moldudp64::Header::new(*b"SESSION001", 7, count).as_bytes().to_vec();
        for message in messages {
            bytes.extend((message.len() as u16).to_be_bytes());
            bytes.extend_from_slice(message);
        }
        bytes
    }

    #[test]
    fn mold_with_itch_messages() {
        let bytes = mold_packet(&[&[b'D'; 19], b"future type"]);
        assert_eq!(datagram(&bytes).map(|guess| guess.protocol), Some(Protocol::Itch50));
        assert_eq!(datagram(&mold_packet(&[b"other"])), None, "no message is known");
        assert_eq!(datagram(&bytes[..bytes.len() - 1]), None, "cut");
        let end = moldudp64::Header::new(*b"SESSION001", 7, moldudp64::END_OF_SESSION);
        assert!(datagram(end.as_bytes()).is_some());
    }

    #[test]
    fn iex_by_its_protocol_number() {
        let mut bytes = vec![0; iextp::HEADER_BYTES];
        bytes[0] = 1;
        for (number, protocol) in [(0x8004u16, Protocol::IexDeep10), (0x8003, Protocol::IexTops16)]
        {
            bytes[2..4].copy_from_slice(&number.to_le_bytes());
            let guess = Guess { protocol, transport: Transport::IexTp };
            assert_eq!(datagram(&bytes), Some(guess));
        }
        bytes[2] = 0;
        assert_eq!(datagram(&bytes), None);
    }

    #[test]
    fn soup_by_login_and_acceptance() {
        let mut accepted = Vec::new();
        write_accepted(&mut accepted, b"SESSION001", 1);
        let mut login = Vec::new();
        write_packet(&mut login, b'L', format!("{:46}", format!("{:>46}", 1)).as_bytes());
        assert!(is_soup_start(&accepted) && is_soup_start(&login));
        assert!(!is_soup_start(&accepted[..20]) && !is_soup_start(b"\0\x05Shello"));
    }

    #[test]
    fn a_server_stream_is_known_with_and_without_its_login() {
        const EVENT: &[u8] = b"S\0\0\0\0\0\0\0\0\0\0O";
        let guess = Guess { protocol: Protocol::Itch50, transport: Transport::SoupBinTcp };
        let mut wire = Vec::new();
        write_packet(&mut wire, b'S', EVENT);
        assert_eq!(stream(&wire), Some(guess));
        let mut wire = Vec::new();
        write_accepted(&mut wire, b"SESSION001", 1);
        assert_eq!(stream(&wire), Some(guess));
        write_packet(&mut wire, b'H', b"");
        write_packet(&mut wire, b'S', EVENT);
        assert_eq!(stream(&wire[..wire.len() - 3]), Some(guess));
        let file = b"\0\x0cS\0\0\0\0\0\0\0\0\0\0O";
        assert_eq!(stream(file).map(|guess| guess.transport), Some(Transport::BinaryFile));
    }

    #[test]
    fn other_bytes_are_nothing() {
        for bytes in [&b""[..], b"\0", b"\0\0\0\0", b"8=FIXT.1.1\x019=100\x01", &[0xff; 64]] {
            assert_eq!((stream(bytes), datagram(bytes)), (None, None));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..90)) {
            let _ = (datagram(&bytes), message(&bytes), is_soup_start(&bytes), stream(&bytes));
        }
    }
}
