//! Where a generated session goes: MoldUDP64 over multicast UDP in a nanosecond pcap, or the
//! venue's file format (`u16` length, message), plain or compressed.
//!
//! Invariant: constant memory, and bytes that depend on the messages and the options alone. The
//! first error of the writer is kept, stops all further writing, and comes out of
//! [`Output::finish`].

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::SocketAddrV4;
use std::path::Path;

use anyhow::{Context, bail};

use super::MessageSink;
use crate::mold::{DATAGRAM_BYTES, Packer};

const BUFFER_BYTES: usize = 1 << 20;
/// The time after which a silent Mold server sends a heartbeat.
const HEARTBEAT_NS: u64 = 1_000_000_000;
const ETHERNET_BYTES: usize = 14;
const IP_BYTES: usize = 20;
const UDP_BYTES: usize = 8;
const FRAME_BYTES: usize = ETHERNET_BYTES + IP_BYTES + UDP_BYTES;

/// How messages become packets.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Packets {
    pub(crate) session: [u8; 10],
    pub(crate) group: SocketAddrV4,
    /// Nanoseconds since the epoch at the session's midnight.
    pub(crate) midnight_ns: u64,
    /// Longest time a message waits for others to share its datagram.
    pub(crate) window_ns: u64,
    /// Most messages in a datagram, zero for as many as fit.
    pub(crate) messages_max: u16,
}

/// A file, compressed if its name says so.
pub(super) enum Encoder {
    Plain(File),
    Gzip(flate2::write::GzEncoder<File>),
    Zstd(zstd::Encoder<'static, File>),
}

impl Encoder {
    /// Creates `path`, compressed as the last part of its name says.
    pub(super) fn create(path: &Path, compression: &str) -> anyhow::Result<Self> {
        let open = || File::create(path);
        let file = open().with_context(|| format!("cannot create {}", path.display()))?;
        Ok(match compression {
            "gz" => Self::Gzip(flate2::GzBuilder::new().write(file, flate2::Compression::fast())),
            "zst" => Self::Zstd(zstd::Encoder::new(file, 3)?),
            _ => Self::Plain(file),
        })
    }

    /// Closes the file.
    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::Plain(_) => {}
            Self::Gzip(encoder) => drop(encoder.finish()?),
            Self::Zstd(encoder) => drop(encoder.finish()?),
        }
        Ok(())
    }
}

/// A name without what says how it is compressed, and that.
pub(super) fn compression(name: &str) -> (&str, &str) {
    match name.rsplit_once('.') {
        Some((stem, suffix @ ("gz" | "zst"))) => (stem, suffix),
        _ => (name, ""),
    }
}

impl Write for Encoder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Encoder::Plain(file) => file.write(bytes),
            Encoder::Gzip(encoder) => encoder.write(bytes),
            Encoder::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Encoder::Plain(file) => file.flush(),
            Encoder::Gzip(encoder) => encoder.flush(),
            Encoder::Zstd(encoder) => encoder.flush(),
        }
    }
}

/// Takes a session's messages to a file.
pub(crate) struct Output {
    writer: BufWriter<Encoder>,
    format: Format,
    error: Option<io::Error>,
    bytes: u64,
    datagrams: u64,
}

enum Format {
    BinaryFile,
    Pcap(Box<Pcap>),
}

/// What was written.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Written {
    /// Bytes before compression.
    pub(crate) bytes: u64,
    /// UDP datagrams, zero for a file of messages.
    pub(crate) datagrams: u64,
}

impl Output {
    /// Creates `path`; its name says format and compression.
    pub(crate) fn create(path: &Path, packets: Packets) -> anyhow::Result<Self> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let (stem, compression) = compression(name);
        let pcap = match stem.rsplit_once('.') {
            Some((_, "pcap")) => true,
            Some((_, "itch")) => false,
            _ => bail!(
                "{}: the name must end in .pcap or .itch, then perhaps .gz or .zst",
                path.display()
            ),
        };
        let encoder = Encoder::create(path, compression)?;
        let format =
            if pcap { Format::Pcap(Box::new(Pcap::new(packets))) } else { Format::BinaryFile };
        let writer = BufWriter::with_capacity(BUFFER_BYTES, encoder);
        let mut output = Self { writer, format, error: None, bytes: 0, datagrams: 0 };
        if pcap {
            output.put(&PCAP_HEADER);
        }
        Ok(output)
    }

    /// Sends what is pending, ends the Mold session, and closes the file.
    pub(crate) fn finish(mut self) -> io::Result<Written> {
        if let Format::Pcap(pcap) = &mut self.format {
            let mut sink =
                Sink { writer: &mut self.writer, error: &mut self.error, bytes: &mut self.bytes };
            self.datagrams += pcap.flush(&mut sink);
            let end = pcap.packer.end_of_session();
            pcap.frame(&end, pcap.last_ns, &mut sink);
            self.datagrams += 1;
        }
        if let Some(error) = self.error {
            return Err(error);
        }
        self.writer.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
        Ok(Written { bytes: self.bytes, datagrams: self.datagrams })
    }

    fn put(&mut self, bytes: &[u8]) {
        Sink { writer: &mut self.writer, error: &mut self.error, bytes: &mut self.bytes }
            .put(bytes);
    }
}

impl MessageSink for Output {
    #[inline]
    fn message(&mut self, ns: u64, message: &[u8]) {
        let mut sink =
            Sink { writer: &mut self.writer, error: &mut self.error, bytes: &mut self.bytes };
        match &mut self.format {
            Format::BinaryFile => {
                sink.put(&(message.len() as u16).to_be_bytes());
                sink.put(message);
            }
            Format::Pcap(pcap) => self.datagrams += pcap.message(ns, message, &mut sink),
        }
    }
}

/// A writer whose first error is kept and ends all writing.
struct Sink<'a> {
    writer: &'a mut BufWriter<Encoder>,
    error: &'a mut Option<io::Error>,
    bytes: &'a mut u64,
}

impl Sink<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        if self.error.is_none() {
            *self.bytes += bytes.len() as u64;
            if let Err(error) = self.writer.write_all(bytes) {
                *self.error = Some(error);
            }
        }
    }
}

/// Little-endian, nanoseconds, version 2.4, Ethernet.
const PCAP_HEADER: [u8; 24] =
    [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0];

struct Pcap {
    packets: Packets,
    packer: Packer,
    first_ns: u64,
    last_ns: u64,
    /// Ethernet, IPv4 and UDP headers; lengths, identification and checksum differ by packet.
    headers: [u8; FRAME_BYTES],
    identification: u16,
    /// Sum of the IPv4 header's words that never change.
    checksum_base: u32,
}

impl Pcap {
    fn new(packets: Packets) -> Self {
        let headers = headers(packets.group);
        let checksum_base = headers[ETHERNET_BYTES..ETHERNET_BYTES + IP_BYTES]
            .chunks_exact(2)
            .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
            .sum();
        Self {
            packets,
            packer: Packer::new(packets.session, DATAGRAM_BYTES, packets.messages_max),
            first_ns: 0,
            last_ns: 0,
            headers,
            identification: 0,
            checksum_base,
        }
    }

    /// Returns the number of datagrams written.
    #[inline]
    fn message(&mut self, ns: u64, message: &[u8], sink: &mut Sink<'_>) -> u64 {
        let mut written = 0;
        let late = ns - self.first_ns > self.packets.window_ns;
        if !self.packer.is_empty() && (late || !self.packer.fits(message.len())) {
            written += self.flush(sink);
        }
        if self.packer.is_empty() {
            while self.last_ns > 0 && ns - self.last_ns >= HEARTBEAT_NS {
                self.last_ns += HEARTBEAT_NS;
                let heartbeat = self.packer.heartbeat();
                self.frame(&heartbeat, self.last_ns, sink);
                written += 1;
            }
            self.first_ns = ns;
        }
        self.packer.push(message);
        self.last_ns = ns;
        written
    }

    /// Writes the pending datagram at the time of its last message.
    fn flush(&mut self, sink: &mut Sink<'_>) -> u64 {
        let record = self.record_header(self.packer.pending_bytes(), self.last_ns);
        let headers = self.frame_headers(self.packer.pending_bytes());
        let Some(datagram) = self.packer.flush() else { return 0 };
        sink.put(&record);
        sink.put(&headers);
        sink.put(datagram.bytes);
        1
    }

    fn frame(&mut self, payload: &[u8], ns: u64, sink: &mut Sink<'_>) {
        sink.put(&self.record_header(payload.len(), ns));
        let headers = self.frame_headers(payload.len());
        sink.put(&headers);
        sink.put(payload);
    }

    fn record_header(&self, payload: usize, ns: u64) -> [u8; 16] {
        let ns = self.packets.midnight_ns + ns;
        let seconds = (ns / 1_000_000_000) as u32;
        let length = (FRAME_BYTES + payload) as u32;
        let mut header = [0; 16];
        header[..4].copy_from_slice(&seconds.to_le_bytes());
        header[4..8].copy_from_slice(&((ns % 1_000_000_000) as u32).to_le_bytes());
        header[8..12].copy_from_slice(&length.to_le_bytes());
        header[12..].copy_from_slice(&length.to_le_bytes());
        header
    }

    fn frame_headers(&mut self, payload: usize) -> [u8; FRAME_BYTES] {
        self.identification = self.identification.wrapping_add(1);
        let ip_length = (IP_BYTES + UDP_BYTES + payload) as u16;
        let mut sum = self.checksum_base + u32::from(ip_length) + u32::from(self.identification);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        let mut headers = self.headers;
        headers[16..18].copy_from_slice(&ip_length.to_be_bytes());
        headers[18..20].copy_from_slice(&self.identification.to_be_bytes());
        headers[24..26].copy_from_slice(&(!(sum as u16)).to_be_bytes());
        headers[38..40].copy_from_slice(&(ip_length - IP_BYTES as u16).to_be_bytes());
        headers
    }
}

/// Headers of a datagram to `group`, its length, identification and checksum left at zero. The UDP
/// checksum stays zero, which in IPv4 says that there is none.
fn headers(group: SocketAddrV4) -> [u8; FRAME_BYTES] {
    let [_, b, c, d] = group.ip().octets();
    let mut headers = [0; FRAME_BYTES];
    headers[..6].copy_from_slice(&[0x01, 0x00, 0x5e, b & 0x7f, c, d]);
    headers[6..12].copy_from_slice(&[0x02, 0, 0, 0, 0, 1]);
    headers[12..14].copy_from_slice(&[0x08, 0x00]);
    // Version and header length; do not fragment; time to live; UDP.
    headers[14] = 0x45;
    headers[20] = 0x40;
    headers[22] = 16;
    headers[23] = 17;
    headers[26..30].copy_from_slice(&[192, 0, 2, 1]);
    headers[30..34].copy_from_slice(&group.ip().octets());
    headers[34..36].copy_from_slice(&group.port().to_be_bytes());
    headers[36..38].copy_from_slice(&group.port().to_be_bytes());
    headers
}
