//! A capture file's bytes, given piece by piece, to frames.
//!
//! Invariant: how the bytes are cut into pieces makes no difference.

use super::{LinkType, pcap, pcapng};
use crate::units::Nanos;

/// Why a capture cannot be read on.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CaptureError {
    /// The first bytes are of no known capture format.
    #[error("this is neither pcap nor pcapng")]
    UnknownFormat,
    /// A length in the file is impossible.
    #[error("capture is damaged at byte {offset}: impossible length {length}")]
    BadLength {
        /// Where in the file.
        offset: u64,
        /// The length found.
        length: u64,
    },
    /// A block's byte order mark is none.
    #[error("capture is damaged at byte {offset}: no byte order mark")]
    BadByteOrder {
        /// Where in the file.
        offset: u64,
    },
    /// A packet names an interface that was not described.
    #[error("capture is damaged at byte {offset}: interface {interface} is not described")]
    UnknownInterface {
        /// Where in the file.
        offset: u64,
        /// The interface named.
        interface: u32,
    },
}

/// One captured frame.
#[derive(Copy, Clone, Debug)]
pub struct Frame<'a> {
    /// When it was captured.
    pub ts: Nanos,
    /// What the bytes begin with.
    pub link: LinkType,
    /// Its length on the wire.
    pub wire_bytes: u32,
    /// The bytes that were captured.
    pub bytes: &'a [u8],
}

impl Frame<'_> {
    /// Whether less was captured than was on the wire.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        (self.bytes.len() as u64) < u64::from(self.wire_bytes)
    }
}

/// What a format made of the bytes at hand.
pub(super) enum Step {
    /// More bytes are needed.
    More,
    /// So many bytes held nothing to give.
    Skip(usize),
    /// A frame.
    Frame(Found),
}

/// A frame in the bytes at hand: it lies at `start..end`, and `taken` bytes are done with.
#[derive(Copy, Clone)]
pub(super) struct Found {
    pub(super) taken: usize,
    pub(super) ts: Nanos,
    pub(super) link: LinkType,
    pub(super) wire_bytes: u32,
    pub(super) start: usize,
    pub(super) end: usize,
}

enum Format {
    Unknown,
    Pcap(pcap::Pcap),
    PcapNg(pcapng::PcapNg),
}

/// Reads one capture.
///
/// ```
/// use corelane_feeds::capture::Reader;
/// let mut reader = Reader::new();
/// reader.give(&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0]);
/// assert!(reader.next_frame().unwrap().is_none(), "more bytes are needed");
/// assert_eq!(reader.pending(), 8);
/// ```
pub struct Reader {
    format: Format,
    buffer: Vec<u8>,
    start: usize,
    /// Bytes of the file before `buffer[start]`.
    offset: u64,
    found: Option<Found>,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    /// A reader that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { format: Format::Unknown, buffer: Vec::new(), start: 0, offset: 0, found: None }
    }

    /// Takes the next bytes of the file.
    pub fn give(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes taken and not read yet: at the end of a file, what was cut off.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Bytes of the file that are done with: where what comes next begins.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next frame that is complete; `None` if more bytes are needed.
    ///
    /// # Errors
    /// If the capture cannot be read on.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        if !self.has_frame()? {
            return Ok(None);
        }
        let Some(found) = self.found.take() else { return Ok(None) };
        let at = self.start;
        self.start += found.taken;
        self.offset += found.taken as u64;
        let bytes = &self.buffer[at + found.start..at + found.end];
        let Found { ts, link, wire_bytes, .. } = found;
        Ok(Some(Frame { ts, link, wire_bytes, bytes }))
    }

    /// Whether a frame is complete, so that [`Reader::next_frame`] will give it.
    ///
    /// # Errors
    /// If the capture cannot be read on.
    pub fn has_frame(&mut self) -> Result<bool, CaptureError> {
        while self.found.is_none() {
            let bytes = &self.buffer[self.start..];
            let step = match &mut self.format {
                Format::Unknown => match detect(bytes)? {
                    None => return Ok(false),
                    Some(format) => {
                        self.format = format;
                        continue;
                    }
                },
                Format::Pcap(pcap) => pcap.step(bytes, self.offset)?,
                Format::PcapNg(pcapng) => pcapng.step(bytes, self.offset)?,
            };
            match step {
                Step::More => return Ok(false),
                Step::Skip(taken) => {
                    self.start += taken;
                    self.offset += taken as u64;
                }
                Step::Frame(found) => self.found = Some(found),
            }
        }
        Ok(true)
    }
}

fn detect(bytes: &[u8]) -> Result<Option<Format>, CaptureError> {
    let Some(magic) = bytes.first_chunk::<4>() else { return Ok(None) };
    if let Some(pcap) = pcap::Pcap::detect(*magic) {
        return Ok(Some(Format::Pcap(pcap)));
    }
    if *magic == pcapng::SECTION_MAGIC {
        return Ok(Some(Format::PcapNg(pcapng::PcapNg::default())));
    }
    Err(CaptureError::UnknownFormat)
}

/// Integers in the byte order of the file.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    Little,
    Big,
}

impl Order {
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let array = [bytes[at], bytes[at + 1]];
        match self {
            Self::Little => u16::from_le_bytes(array),
            Self::Big => u16::from_be_bytes(array),
        }
    }

    pub(super) fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let array = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        match self {
            Self::Little => u32::from_le_bytes(array),
            Self::Big => u32::from_be_bytes(array),
        }
    }

    pub(super) fn u64(self, bytes: &[u8], at: usize) -> u64 {
        let (first, second) = (u64::from(self.u32(bytes, at)), u64::from(self.u32(bytes, at + 4)));
        match self {
            Self::Little => second << 32 | first,
            Self::Big => first << 32 | second,
        }
    }
}
