//! One pass over a capture: frames or messages to the feeds they belong to.
//!
//! Invariant: every frame is counted exactly once, as a packet of a feed or by the reason why it is
//! none.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use anyhow::bail;
use corelane_feeds::capture::{Frame, Packet, Payload, Skipped, decode};
use corelane_feeds::detect;
use corelane_feeds::feed::{FeedConfig, Protocol, Transport};
use corelane_feeds::units::Nanos;

use super::Options;
use super::feed::FeedScan;
use super::flows::{Flows, Routed, TcpFlows};
use crate::capture_file::{Capture, MessageCapture, PacketCapture};
use crate::cli::exit::Failure;

/// Bytes of a file that are looked at to tell what it is.
const LOOK_BYTES: usize = 4 << 10;

/// How a capture ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With its last frame or message.
    Complete,
    /// In the middle of a frame or message.
    Cut {
        /// Where in the unpacked capture it begins.
        offset: u64,
        /// How much of it is there.
        bytes: u64,
    },
    /// It could not be read on.
    Broken {
        /// Where in the unpacked capture.
        offset: u64,
        /// Why.
        why: String,
    },
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("is complete"),
            Self::Cut { offset, bytes } => {
                write!(f, "is cut short: what begins at byte {offset} ends after {bytes} bytes")
            }
            Self::Broken { offset, why } => {
                write!(f, "cannot be read on from byte {offset}: {why}")
            }
        }
    }
}

/// What frames were, before any feed looked at them.
#[derive(Clone, Debug, Default)]
pub(super) struct FrameCounts {
    pub(super) frames: u64,
    /// Frames of which less was captured than was on the wire, or than their headers announce.
    pub(super) truncated: u64,
    pub(super) fragments: u64,
    pub(super) unknown_link: u64,
    pub(super) not_ip: u64,
    pub(super) datagrams: u64,
    pub(super) payload_bytes: u64,
    /// UDP datagrams of no known protocol.
    pub(super) unknown_datagrams: u64,
    /// Datagrams of known protocols beyond the feeds that there is room for.
    pub(super) unrouted_datagrams: u64,
    /// Packets that are neither UDP nor TCP, by IP protocol.
    pub(super) other_ip: BTreeMap<u8, u64>,
    pub(super) ts_first: Option<Nanos>,
    pub(super) ts_last: Nanos,
}

/// What a capture holds.
pub struct Inspection {
    pub(super) is_packets: bool,
    /// Bytes of the unpacked capture that were read.
    pub(super) bytes: u64,
    pub(super) ending: Ending,
    pub(super) frames: FrameCounts,
    pub(super) tcp: TcpFlows,
    pub(super) feeds: Vec<FeedScan>,
}

impl Inspection {
    /// Whether the capture was read to its end.
    #[must_use]
    pub fn ending(&self) -> &Ending {
        &self.ending
    }
}

/// Reads a capture to its end, or as far as it can be read.
///
/// # Errors
/// If it is a file of no known content, or the options do not fit it.
pub fn inspect(capture: Capture, options: &Options) -> anyhow::Result<Inspection> {
    match capture {
        Capture::Packets(packets) => inspect_packets(packets, options),
        Capture::Messages(messages) => inspect_messages(messages, options),
    }
}

/// What went wrong while reading, if it is the capture's doing and not the system's.
fn broken(error: anyhow::Error, offset: u64) -> anyhow::Result<Ending> {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    if io.is_some_and(|error| error.raw_os_error().is_some()) {
        return Err(error);
    }
    Ok(Ending::Broken { offset, why: format!("{error:#}") })
}

fn ending(offset: u64, cut_bytes: usize) -> Ending {
    match cut_bytes as u64 {
        0 => Ending::Complete,
        bytes => Ending::Cut { offset, bytes },
    }
}

fn inspect_packets(mut packets: PacketCapture, options: &Options) -> anyhow::Result<Inspection> {
    let forced = match (options.protocol, options.transport) {
        (_, Some(other @ (Transport::SoupBinTcp | Transport::BinaryFile))) => {
            bail!(Failure::config(format!(
                "transport {other} is not read from packets: moldudp64 and iextp are"
            )));
        }
        (None, None) => None,
        (protocol, transport) => Some(packet_guess(protocol, transport)),
    };
    let mut frames = FrameCounts::default();
    let mut flows = Flows::new(forced, options.arbitrate);
    let mut tcp = TcpFlows::default();
    let ending = loop {
        match packets.next_frame() {
            Ok(Some(frame)) => take_frame(&frame, &mut frames, &mut flows, &mut tcp),
            Ok(None) => break ending(packets.offset(), packets.cut_bytes()),
            Err(error) => break broken(error, packets.offset())?,
        }
    };
    let mut feeds = flows.into_feeds();
    feeds.iter_mut().for_each(FeedScan::finish);
    let bytes = packets.offset() + packets.cut_bytes() as u64;
    Ok(Inspection { is_packets: true, bytes, ending, frames, tcp, feeds })
}

/// The protocol that a transport brings, or the other way round, where only one was named.
fn packet_guess(protocol: Option<Protocol>, transport: Option<Transport>) -> detect::Guess {
    let protocol = protocol.unwrap_or(match transport {
        Some(Transport::IexTp) => Protocol::IexDeep10,
        _ => Protocol::Itch50,
    });
    let transport = transport.unwrap_or(match protocol {
        Protocol::Itch50 => Transport::MoldUdp64,
        Protocol::IexDeep10 | Protocol::IexTops16 => Transport::IexTp,
    });
    detect::Guess { protocol, transport }
}

#[inline]
fn take_frame(frame: &Frame<'_>, counts: &mut FrameCounts, flows: &mut Flows, tcp: &mut TcpFlows) {
    counts.frames += 1;
    counts.ts_first.get_or_insert(frame.ts);
    counts.ts_last = frame.ts;
    if frame.is_truncated() {
        counts.truncated += 1;
        return;
    }
    match decode(frame.link, frame.bytes) {
        Ok(Packet { destination, payload: Payload::Udp(payload), .. }) => {
            counts.datagrams += 1;
            counts.payload_bytes += payload.len() as u64;
            match flows.datagram(destination, frame.ts, payload) {
                Routed::ToFeed => {}
                Routed::Unknown => counts.unknown_datagrams += 1,
                Routed::Full => counts.unrouted_datagrams += 1,
            }
        }
        Ok(Packet { source, destination, payload: Payload::Tcp { bytes, .. } }) => {
            tcp.segment(source, destination, bytes);
        }
        Err(Skipped::Fragment) => counts.fragments += 1,
        Err(Skipped::Truncated) => counts.truncated += 1,
        Err(Skipped::UnknownLink) => counts.unknown_link += 1,
        Err(Skipped::NotIp) => counts.not_ip += 1,
        Err(Skipped::OtherProtocol(number)) => *counts.other_ip.entry(number).or_default() += 1,
    }
}

fn inspect_messages(mut messages: MessageCapture, options: &Options) -> anyhow::Result<Inspection> {
    let config = message_config(&mut messages, options)?;
    let mut feed = FeedScan::new(&config);
    let mut soup = SoupFile::default();
    let ending = loop {
        match messages.next_message() {
            Ok(Some((_, packet))) if config.transport == Transport::SoupBinTcp => {
                soup.packet(packet, &mut feed);
            }
            Ok(Some((seq, message))) => feed.file_message(seq, message),
            Ok(None) => break ending(messages.offset(), messages.cut_bytes()),
            Err(error) => break broken(error.into(), messages.offset())?,
        }
    };
    feed.finish();
    let bytes = messages.offset() + messages.cut_bytes() as u64;
    Ok(Inspection {
        is_packets: false,
        bytes,
        ending,
        frames: FrameCounts::default(),
        tcp: TcpFlows::default(),
        feeds: vec![feed],
    })
}

/// What a file of messages is, by its first bytes and the options.
fn message_config(messages: &mut MessageCapture, options: &Options) -> anyhow::Result<FeedConfig> {
    let first = messages.peek(LOOK_BYTES)?;
    if first.is_empty() {
        bail!(Failure::bad_data("the file is empty"));
    }
    let guess = detect::stream(first);
    let transport = match (options.transport, guess) {
        (Some(other @ (Transport::MoldUdp64 | Transport::IexTp)), _) => bail!(Failure::config(
            format!("transport {other} is not read from a file without packets: binaryfile is")
        )),
        (Some(transport), _) => transport,
        (None, Some(guess)) => guess.transport,
        (None, None) if options.protocol.is_some() => Transport::BinaryFile,
        (None, None) => bail!(Failure::bad_data(
            "neither pcap nor pcapng, and its first bytes are no messages of a known protocol; \
             --protocol reads them as such all the same"
        )),
    };
    let protocol = options.protocol.or(guess.map(|guess| guess.protocol));
    Ok(FeedConfig::new(0, protocol.unwrap_or(Protocol::Itch50), transport))
}

/// The server's side of a SoupBinTCP connection, as a file.
#[derive(Default)]
struct SoupFile {
    session: Option<[u8; 10]>,
    next: u64,
}

impl SoupFile {
    fn packet(&mut self, packet: &[u8], feed: &mut FeedScan) {
        match packet.split_first() {
            Some((b'A', accepted)) => {
                let (session, seq) = accepted.split_at(accepted.len().min(10));
                self.session = session.try_into().ok();
                let seq = std::str::from_utf8(seq).ok().and_then(|text| text.trim().parse().ok());
                self.next = seq.unwrap_or(1);
            }
            Some((b'S', message)) => {
                let session = self.session.get_or_insert_with(|| {
                    // A stream without its login: it then counts from its first message.
                    self.next = 1;
                    *b"          "
                });
                feed.message(session, self.next, message);
                self.next = self.next.saturating_add(1);
            }
            Some((b'Z', _)) => feed.end_of_session(),
            // Heartbeats and debug text.
            _ => {}
        }
    }
}
