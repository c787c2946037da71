//! Generated sessions in memory: the input of most benchmarks.
//!
//! Invariant: the same number of messages gives the same bytes, those that `corelane generate itch`
//! writes for its default seed and patterns.
//!
//! ```
//! use corelane_bench::session::Session;
//! let session = Session::generate(20_000).unwrap();
//! assert_eq!(session.messages().count(), 20_000);
//! assert!(session.datagrams().count() < 20_000 / 20);
//! ```

use std::path::Path;

use corelane::generate::session::{Config, generate};
use corelane::mold::{DATAGRAM_BYTES, Packer};

/// Instruments of a session; fewer in a short one, so that their directory is not most of it.
const SYMBOLS: u32 = 2_000;
/// Bytes before a datagram that hold its length.
const LENGTH_BYTES: usize = 4;

/// One ITCH session, as a file of messages and as MoldUDP64 datagrams.
pub struct Session {
    /// Messages in it.
    pub count: u64,
    /// Every message behind its two-byte length: the venue's file format.
    pub file: Vec<u8>,
    /// Every datagram behind its length.
    datagrams: Vec<u8>,
}

impl Session {
    /// Generates a session of so many messages.
    ///
    /// # Errors
    /// If there are too few for the directory.
    pub fn generate(messages: u64) -> anyhow::Result<Self> {
        let symbols = SYMBOLS.min((messages / 200).max(10) as u32);
        Self::make(messages, symbols, u32::from(messages >= 1_000_000))
    }

    /// Generates a session of so many messages and symbols, in which nothing is planted.
    ///
    /// # Errors
    /// If there are too few messages for the directory.
    pub fn with_symbols(messages: u64, symbols: u32) -> anyhow::Result<Self> {
        Self::make(messages, symbols, 0)
    }

    fn make(messages: u64, symbols: u32, planted: u32) -> anyhow::Result<Self> {
        let config = Config {
            messages,
            symbols,
            episodes: 20 * planted,
            decoys: 60 * planted,
            stuffing: 4 * planted,
            halts: 4 * planted,
            ..Config::default()
        };
        let room = Vec::with_capacity(messages as usize * 40);
        let (file, summary) = generate(&config, room)?;
        let count = summary.counts.messages;
        let mut session = Self { count, file, datagrams: Vec::new() };
        session.datagrams = session.pack();
        Ok(session)
    }

    /// The session without messages of these types.
    #[must_use]
    pub fn without(&self, types: &[u8]) -> Self {
        let mut kept = Self { count: 0, file: Vec::new(), datagrams: Vec::new() };
        kept.file.reserve(self.file.len());
        for message in self.messages().filter(|message| !types.contains(&message[0])) {
            kept.count += 1;
            kept.file.extend_from_slice(&(message.len() as u16).to_be_bytes());
            kept.file.extend_from_slice(message);
        }
        kept.datagrams = kept.pack();
        kept
    }

    fn pack(&self) -> Vec<u8> {
        let mut datagrams = Vec::with_capacity(self.file.len() + self.file.len() / 32);
        let mut put = |packer: &mut Packer| {
            if let Some(datagram) = packer.flush() {
                let length = datagram.bytes.len() as u32;
                datagrams.extend_from_slice(&length.to_le_bytes());
                datagrams.extend_from_slice(datagram.bytes);
            }
        };
        let mut packer = Packer::new(*b"CORELANE01", DATAGRAM_BYTES, 0);
        for message in self.messages() {
            if !packer.fits(message.len()) {
                put(&mut packer);
            }
            packer.push(message);
        }
        put(&mut packer);
        datagrams
    }

    /// The messages, in order.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.file.as_slice();
        std::iter::from_fn(move || {
            let (length, behind) = rest.split_first_chunk::<2>()?;
            let (message, behind) = behind.split_at_checked(u16::from_be_bytes(*length).into())?;
            rest = behind;
            Some(message)
        })
    }

    /// The datagrams, full ones of about 35 messages.
    pub fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.datagrams.as_slice();
        std::iter::from_fn(move || {
            let (length, behind) = rest.split_first_chunk::<LENGTH_BYTES>()?;
            let length = u32::from_le_bytes(*length) as usize;
            let (datagram, behind) = behind.split_at_checked(length)?;
            rest = behind;
            Some(datagram)
        })
    }

    /// Writes the messages as a file in the venue's format.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_file(&self, path: &Path) -> std::io::Result<()> {
        std::fs::write(path, &self.file)
    }

    /// Writes the datagrams as a pcap file of UDP over IPv4 to a multicast group, 20 us apart.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_pcap(&self, path: &Path) -> std::io::Result<()> {
        std::fs::write(path, self.pcap())
    }

    fn pcap(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.datagrams.len() + self.datagrams.len() / 16);
        // Nanosecond pcap, version 2.4, Ethernet.
        for word in [0xa1b2_3c4d, 0x0004_0002, 0, 0, 65_535, 1u32] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        for (i, datagram) in self.datagrams().enumerate() {
            let ns = 1_767_605_400_000_000_000 + i as u64 * 20_000;
            let udp = datagram.len() + 8;
            let frame = (udp + 34) as u32;
            for word in [(ns / 1_000_000_000) as u32, (ns % 1_000_000_000) as u32, frame, frame] {
                out.extend_from_slice(&word.to_le_bytes());
            }
            out.extend_from_slice(&[1, 0, 0x5e, 54, 12, 111, 2, 0, 0, 0, 0, 1, 8, 0]);
            let total = ((udp + 20) as u16).to_be_bytes();
            out.extend_from_slice(&[0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 1, 17, 0, 0]);
            out.extend_from_slice(&[10, 0, 0, 1, 233, 54, 12, 111]);
            let udp = (udp as u16).to_be_bytes();
            out.extend_from_slice(&[0x67, 0x6d, 0x67, 0x6d, udp[0], udp[1], 0, 0]);
            out.extend_from_slice(datagram);
        }
        out
    }
}
