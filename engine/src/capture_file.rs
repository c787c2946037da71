//! Opens captures: pcap, pcapng and BinaryFILE, plain or compressed by gzip or zstd, from a file or
//! from standard input.
//!
//! Invariant: constant memory, however long the capture; formats are told apart by content, never
//! by name.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context;
use corelane_feeds::capture::{CaptureError, Frame, Reader};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 << 10;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// First words of pcap (four variants) and pcapng files.
const PACKET_MAGICS: [[u8; 4]; 5] = [
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
    [0x0a, 0x0d, 0x0d, 0x0a],
];

/// An open capture, by what is in it.
pub enum Capture {
    /// Frames with times and link layers: pcap or pcapng.
    Packets(PacketCapture),
    /// Messages, each behind its two-byte length, nothing else.
    Messages(MessageCapture),
}

impl Capture {
    /// Opens a capture; `-` is standard input.
    ///
    /// # Errors
    /// If it cannot be read, or its first bytes are of no known format.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let raw = open_raw(path)?;
        Self::from_reader(raw).with_context(|| format!("capture {}", path.display()))
    }

    /// A capture from any stream of bytes.
    ///
    /// # Errors
    /// As [`Capture::open`].
    pub fn from_reader(raw: Box<dyn Read + Send>) -> anyhow::Result<Self> {
        let (magic, plain) = unpack(raw)?;
        Self::of(magic, plain)
    }

    /// A capture whose first bytes are known.
    fn of(magic: [u8; 4], plain: Box<dyn Read + Send>) -> anyhow::Result<Self> {
        if PACKET_MAGICS.contains(&magic) {
            return Ok(Self::Packets(PacketCapture {
                reader: Reader::new(),
                source: plain,
                chunk: chunk(),
            }));
        }
        // A message length below 256 begins with a zero byte; anything else is another format.
        if magic[0] != 0 {
            return Err(CaptureError::UnknownFormat.into());
        }
        Ok(Self::Messages(MessageCapture {
            source: plain,
            buffer: chunk(),
            start: 0,
            end: 0,
            taken: 0,
            seq: 0,
            ended: false,
        }))
    }
}

/// What `corelane replay` reads.
pub enum Recording {
    /// A capture.
    Capture(Capture),
    /// Lines of text.
    Lines(LineFile),
}

impl Recording {
    /// Opens a capture or, if its first bytes are of none, lines of text; `-` is standard input.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let (magic, source) = unpack(open_raw(path)?)?;
        let is_capture = PACKET_MAGICS.contains(&magic) || magic[0] == 0 && magic != [0; 4];
        if is_capture {
            let capture = Capture::of(magic, source);
            return Ok(Self::Capture(
                capture.with_context(|| format!("capture {}", path.display()))?,
            ));
        }
        Ok(Self::Lines(LineFile { source, chunk: chunk() }))
    }
}

/// Lines of text, as pieces that end anywhere.
pub struct LineFile {
    source: Box<dyn Read + Send>,
    chunk: Box<[u8]>,
}

impl LineFile {
    /// The next piece; empty at the end.
    ///
    /// # Errors
    /// If reading fails.
    pub fn next_piece(&mut self) -> io::Result<&[u8]> {
        let count = self.source.read(&mut self.chunk)?;
        Ok(&self.chunk[..count])
    }
}

fn open_raw(path: &Path) -> anyhow::Result<Box<dyn Read + Send>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path);
    Ok(Box::new(file.with_context(|| format!("cannot open capture {}", path.display()))?))
}

/// A stream of bytes, unpacked if it is packed, and its first four.
fn unpack(raw: Box<dyn Read + Send>) -> io::Result<([u8; 4], Box<dyn Read + Send>)> {
    let (magic, raw) = peek(raw)?;
    if magic.starts_with(&GZIP_MAGIC) {
        peek(Box::new(flate2::read::MultiGzDecoder::new(raw)))
    } else if magic.starts_with(&ZSTD_MAGIC) {
        peek(Box::new(zstd::stream::read::Decoder::new(raw)?))
    } else {
        Ok((magic, raw))
    }
}

fn chunk() -> Box<[u8]> {
    vec![0; CHUNK_BYTES].into()
}

/// The first four bytes (fewer are filled up with zeros), and a stream that still has them.
fn peek(mut source: Box<dyn Read + Send>) -> io::Result<([u8; 4], Box<dyn Read + Send>)> {
    let mut magic = Vec::with_capacity(4);
    source.by_ref().take(4).read_to_end(&mut magic)?;
    let mut first = [0; 4];
    first[..magic.len()].copy_from_slice(&magic);
    Ok((first, Box::new(io::Cursor::new(magic).chain(source))))
}

/// Frames of a pcap or pcapng capture.
pub struct PacketCapture {
    reader: Reader,
    source: Box<dyn Read + Send>,
    chunk: Box<[u8]>,
}

impl PacketCapture {
    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// If reading fails or the capture is damaged.
    pub fn next_frame(&mut self) -> anyhow::Result<Option<Frame<'_>>> {
        // The borrow checker cannot see that a frame returned early ends the loop, so ask first.
        while !self.reader.has_frame()? {
            let count = self.source.read(&mut self.chunk)?;
            if count == 0 {
                return Ok(None);
            }
            self.reader.give(&self.chunk[..count]);
        }
        Ok(self.reader.next_frame()?)
    }

    /// Bytes of the unpacked capture that are done with: where what comes next begins.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.reader.offset()
    }

    /// Bytes at the end that are no whole frame: the capture was cut.
    #[must_use]
    pub fn cut_bytes(&self) -> usize {
        self.reader.pending()
    }
}

/// Messages of a BinaryFILE capture. [Nasdaq BinaryFILE specification 1.00]
pub struct MessageCapture {
    source: Box<dyn Read + Send>,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Bytes before `start` that have left the buffer.
    taken: u64,
    seq: u64,
    ended: bool,
}

impl MessageCapture {
    /// The next message with its position from 1; `None` at the end.
    ///
    /// # Errors
    /// If reading fails.
    pub fn next_message(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        loop {
            let pending = &self.buffer[self.start..self.end];
            if let Some((length, rest)) = pending.split_first_chunk::<2>() {
                let length = usize::from(u16::from_be_bytes(*length));
                // A length of 0 is the format's end of session.
                if length == 0 {
                    self.ended = true;
                    self.start += 2;
                    continue;
                }
                if rest.len() >= length {
                    let at = self.start + 2;
                    self.start = at + length;
                    self.seq += 1;
                    return Ok(Some((self.seq, &self.buffer[at..at + length])));
                }
            }
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
    }

    /// The bytes that come next, `count` of them if there are as many and never more than are read
    /// at a time: what they are decides how they are to be read.
    ///
    /// # Errors
    /// If reading fails.
    pub fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.end - self.start < count.min(CHUNK_BYTES) {
            if self.fill()? == 0 {
                break;
            }
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// Reads on behind what is pending; 0 at the end.
    fn fill(&mut self) -> io::Result<usize> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.taken += self.start as u64;
        self.start = 0;
        let count = self.source.read(&mut self.buffer[self.end..])?;
        self.end += count;
        Ok(count)
    }

    /// Bytes of the unpacked capture that are done with: where what comes next begins.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.taken + self.start as u64
    }

    /// Whether an end-of-session mark was read.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Bytes at the end that are no whole message: the capture was cut.
    #[must_use]
    pub fn cut_bytes(&self) -> usize {
        self.end - self.start
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn open(bytes: Vec<u8>) -> Capture {
        Capture::from_reader(Box::new(io::Cursor::new(bytes))).unwrap()
    }

    fn messages(bytes: Vec<u8>) -> Vec<Vec<u8>> {
        let Capture::Messages(mut capture) = open(bytes) else { panic!("not messages") };
        let mut found = Vec::new();
        while let Some((seq, message)) = capture.next_message().unwrap() {
            assert_eq!(seq, found.len() as u64 + 1);
            found.push(message.to_vec());
        }
        found
    }

    #[test]
    fn binary_files_plain_and_compressed() {
        let mut plain = Vec::new();
        for n in 0..20_000u32 {
            plain.extend([0, 12]);
            plain.extend(n.to_be_bytes());
            plain.extend([7; 8]);
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        let zstd = zstd::stream::encode_all(plain.as_slice(), 1).unwrap();
        let expected = messages(plain.clone());
        assert_eq!(expected.len(), 20_000);
        assert_eq!(messages(gzip.finish().unwrap()), expected);
        assert_eq!(messages(zstd), expected);
        plain.truncate(plain.len() - 1);
        assert_eq!(messages(plain).len(), 19_999);
    }

    #[test]
    fn other_files_are_refused() {
        let error = Capture::from_reader(Box::new(io::Cursor::new(b"#!/bin/sh"))).err().unwrap();
        assert_eq!(error.to_string(), "this is neither pcap nor pcapng");
    }
}
