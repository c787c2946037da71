//! A capture as datagrams to send: as captured, or packed from messages.
//!
//! Invariant: payloads of a packet capture are unchanged; messages of a file are packed in order
//! into the session `BINARYFILE` from sequence 1.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use corelane_feeds::capture::{Payload, decode};
use corelane_feeds::feed::BINARY_FILE_SESSION;
use corelane_feeds::iextp::Segment;
use corelane_feeds::moldudp64::Packet;

use crate::capture_file::{Capture, MessageCapture, PacketCapture};
use crate::mold::{DATAGRAM_BYTES, Packer};

/// A datagram to send.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Datagram<'a> {
    /// Capture time; of messages, the time of the last.
    pub(crate) ns: u64,
    /// Where it was captured on its way to; none if it was packed here.
    pub(crate) to: Option<SocketAddr>,
    pub(crate) payload: &'a [u8],
    /// Messages in it.
    pub(crate) messages: u32,
}

/// Gives datagrams in order.
pub(crate) trait Source {
    /// The next one, `None` at the end.
    fn next(&mut self) -> anyhow::Result<Option<Datagram<'_>>>;

    /// Back to the first.
    fn rewind(&mut self) -> anyhow::Result<()>;
}

/// How messages of a file become datagrams.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Packing {
    /// Most messages in a datagram, zero for as many as fit.
    pub(crate) messages_max: u16,
    /// Longest time between the first and the last message of a datagram.
    pub(crate) window_ns: u64,
}

/// Reads datagrams from a file, again for every pass.
pub(crate) struct FileSource {
    path: PathBuf,
    packing: Packing,
    capture: Capture,
    /// The datagram given last, or being packed.
    payload: Vec<u8>,
    packer: Packer,
    /// A message that did not fit the datagram before.
    waiting: Option<(u64, Vec<u8>)>,
    /// Packets that are no whole UDP datagrams.
    pub(crate) skipped: u64,
}

impl FileSource {
    pub(crate) fn open(path: &Path, packing: Packing) -> anyhow::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            packing,
            capture: Capture::open(path)?,
            payload: Vec::new(),
            packer: packer(packing),
            waiting: None,
            skipped: 0,
        })
    }

    /// Bytes at the end of the capture that are no whole packet or message.
    pub(crate) fn cut_bytes(&self) -> usize {
        match &self.capture {
            Capture::Packets(packets) => packets.cut_bytes(),
            Capture::Messages(messages) => messages.cut_bytes(),
        }
    }
}

fn packer(packing: Packing) -> Packer {
    Packer::new(*BINARY_FILE_SESSION, DATAGRAM_BYTES, packing.messages_max)
}

impl Source for FileSource {
    fn next(&mut self) -> anyhow::Result<Option<Datagram<'_>>> {
        let place = || format!("cannot read {}", self.path.display());
        match &mut self.capture {
            Capture::Packets(packets) => {
                let next = next_datagram(packets, &mut self.payload, &mut self.skipped);
                Ok(next.with_context(place)?.map(|(ns, to)| Datagram {
                    ns,
                    to: Some(to),
                    payload: &self.payload,
                    messages: messages_in(&self.payload),
                }))
            }
            Capture::Messages(messages) => {
                let (packer, waiting) = (&mut self.packer, &mut self.waiting);
                let last = pack(messages, packer, waiting, self.packing.window_ns);
                let ns = last.with_context(place)?;
                Ok(self.packer.flush().map(|datagram| Datagram {
                    ns,
                    to: None,
                    payload: datagram.bytes,
                    messages: u32::from(datagram.messages),
                }))
            }
        }
    }

    fn rewind(&mut self) -> anyhow::Result<()> {
        self.capture = Capture::open(&self.path)?;
        self.packer = packer(self.packing);
        self.waiting = None;
        Ok(())
    }
}

/// Copies the next UDP payload; returns its time and destination.
fn next_datagram(
    packets: &mut PacketCapture,
    payload: &mut Vec<u8>,
    skipped: &mut u64,
) -> anyhow::Result<Option<(u64, SocketAddr)>> {
    while let Some(frame) = packets.next_frame()? {
        if let Ok(packet) = decode(frame.link, frame.bytes)
            && let Payload::Udp(bytes) = packet.payload
        {
            payload.clear();
            payload.extend_from_slice(bytes);
            return Ok(Some((frame.ts.0, packet.destination)));
        }
        *skipped += 1;
    }
    Ok(None)
}

/// Packs messages until a datagram is full; returns the time of its last message.
fn pack(
    messages: &mut MessageCapture,
    packer: &mut Packer,
    waiting: &mut Option<(u64, Vec<u8>)>,
    window_ns: u64,
) -> anyhow::Result<u64> {
    let (mut first_ns, mut last_ns) = (0, 0);
    if let Some((ns, message)) = waiting.take() {
        (first_ns, last_ns) = (ns, ns);
        packer.push(&message);
    }
    while let Some((_, message)) = messages.next_message()? {
        let time = message.get(5..11).unwrap_or_default();
        let ns = time.iter().fold(0, |ns, &byte| ns << 8 | u64::from(byte));
        if packer.is_empty() {
            first_ns = ns;
        } else if ns.saturating_sub(first_ns) > window_ns || !packer.fits(message.len()) {
            *waiting = Some((ns, message.to_vec()));
            break;
        }
        last_ns = ns;
        packer.push(message);
    }
    Ok(last_ns)
}

/// Messages in a payload: of MoldUDP64 or IEX-TP; anything else counts as one.
fn messages_in(payload: &[u8]) -> u32 {
    if let Ok(segment) = Segment::parse(payload) {
        return u32::from(segment.header.count.get());
    }
    match Packet::parse(payload) {
        Ok(packet) => u32::from(packet.count),
        Err(_) => 1,
    }
}

/// A whole capture in memory: reading it costs nothing while it is sent.
pub(crate) struct Preloaded {
    bytes: Vec<u8>,
    datagrams: Vec<Stored>,
    next: usize,
}

#[derive(Copy, Clone)]
struct Stored {
    ns: u64,
    to: Option<SocketAddr>,
    start: usize,
    length: usize,
    messages: u32,
}

impl Preloaded {
    pub(crate) fn read(source: &mut impl Source) -> anyhow::Result<Self> {
        let mut all = Self { bytes: Vec::new(), datagrams: Vec::new(), next: 0 };
        while let Some(Datagram { ns, to, payload, messages }) = source.next()? {
            let (start, length) = (all.bytes.len(), payload.len());
            all.bytes.extend_from_slice(payload);
            all.datagrams.push(Stored { ns, to, start, length, messages });
        }
        Ok(all)
    }
}

impl Source for Preloaded {
    fn next(&mut self) -> anyhow::Result<Option<Datagram<'_>>> {
        let Some(&Stored { ns, to, start, length, messages }) = self.datagrams.get(self.next)
        else {
            return Ok(None);
        };
        self.next += 1;
        let payload = &self.bytes[start..start + length];
        Ok(Some(Datagram { ns, to, payload, messages }))
    }

    fn rewind(&mut self) -> anyhow::Result<()> {
        self.next = 0;
        Ok(())
    }
}
