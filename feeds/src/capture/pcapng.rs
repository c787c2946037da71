//! The pcapng format: sections in either byte order, interfaces with clocks of their own.
//! [draft-ietf-opsawg-pcapng]
//!
//! Invariant: blocks that are not known are skipped by their length; a packet of an interface that
//! was not described is an error.

use super::reader::{CaptureError, Found, Order, Step};
use super::{FRAME_BYTES_MAX, LinkType};
use crate::units::Nanos;

pub(super) const SECTION_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const BLOCK_INTERFACE: u32 = 1;
const BLOCK_PACKET_OBSOLETE: u32 = 2;
const BLOCK_SIMPLE: u32 = 3;
const BLOCK_ENHANCED: u32 = 6;
const OPTION_TSRESOL: u16 = 9;
const OPTION_TSOFFSET: u16 = 14;
/// Interfaces of one section.
const INTERFACES_MAX: usize = 4_096;
/// Bytes around a block's body: type, length, length again.
const BLOCK_BYTES: usize = 12;
/// Where a block's body begins.
const BODY_OFFSET: usize = 8;
/// Bytes of a packet block's body before the packet.
const PACKET_BYTES: usize = 20;
const PACKET_BLOCKS: [u32; 3] = [BLOCK_PACKET_OBSOLETE, BLOCK_SIMPLE, BLOCK_ENHANCED];

#[derive(Copy, Clone)]
struct Interface {
    link: LinkType,
    snap: u32,
    /// Units of a timestamp in one second.
    units: u64,
    offset_seconds: i64,
}

#[derive(Default)]
pub(super) struct PcapNg {
    order: Order,
    interfaces: Vec<Interface>,
    /// Bytes left of a block that is not looked at.
    skip: usize,
}

impl PcapNg {
    pub(super) fn step(&mut self, bytes: &[u8], offset: u64) -> Result<Step, CaptureError> {
        if self.skip > 0 && !bytes.is_empty() {
            let taken = self.skip.min(bytes.len());
            self.skip -= taken;
            return Ok(Step::Skip(taken));
        }
        if bytes.len() < BLOCK_BYTES {
            return Ok(Step::More);
        }
        let section = bytes[..4] == SECTION_MAGIC;
        if section {
            self.order = match (Order::Little.u32(bytes, 8), Order::Big.u32(bytes, 8)) {
                (BYTE_ORDER_MAGIC, _) => Order::Little,
                (_, BYTE_ORDER_MAGIC) => Order::Big,
                _ => return Err(CaptureError::BadByteOrder { offset }),
            };
        }
        let kind = self.order.u32(bytes, 0);
        let length = self.order.u32(bytes, 4) as usize;
        let bad = CaptureError::BadLength { offset, length: length as u64 };
        if length < BLOCK_BYTES || !length.is_multiple_of(4) {
            return Err(bad);
        }
        if length > FRAME_BYTES_MAX {
            // What other blocks hold (names, secrets, statistics) is not waited for.
            let wanted = section || kind == BLOCK_INTERFACE || PACKET_BLOCKS.contains(&kind);
            self.skip = length;
            return if wanted { Err(bad) } else { Ok(Step::Skip(0)) };
        }
        if bytes.len() < length {
            return Ok(Step::More);
        }
        if self.order.u32(bytes, length - 4) as usize != length {
            return Err(bad);
        }
        let body = &bytes[BODY_OFFSET..length - 4];
        if section {
            self.interfaces.clear();
            return Ok(Step::Skip(length));
        }
        match kind {
            BLOCK_INTERFACE => self.describe(body, offset)?,
            BLOCK_ENHANCED => return self.packet(body, length, offset, false),
            BLOCK_PACKET_OBSOLETE => return self.packet(body, length, offset, true),
            BLOCK_SIMPLE => return self.simple(body, length, offset),
            _ => {}
        }
        Ok(Step::Skip(length))
    }

    fn describe(&mut self, body: &[u8], offset: u64) -> Result<(), CaptureError> {
        let bad = CaptureError::BadLength { offset, length: body.len() as u64 };
        if body.len() < 8 || self.interfaces.len() == INTERFACES_MAX {
            return Err(bad);
        }
        let link = LinkType(self.order.u16(body, 0));
        let snap = self.order.u32(body, 4);
        let mut interface = Interface { link, snap, units: 1_000_000, offset_seconds: 0 };
        let mut options = &body[8..];
        while options.len() >= 4 {
            let (code, length) = (self.order.u16(options, 0), self.order.u16(options, 2));
            let length = usize::from(length);
            let Some(value) = options.get(4..4 + length) else { break };
            match (code, length) {
                (OPTION_TSRESOL, 1) => interface.units = units(value[0]).ok_or(bad)?,
                (OPTION_TSOFFSET, 8) => {
                    interface.offset_seconds = self.order.u64(value, 0).cast_signed();
                }
                _ => {}
            }
            options = options.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
        }
        self.interfaces.push(interface);
        Ok(())
    }

    fn interface(&self, number: u32, offset: u64) -> Result<Interface, CaptureError> {
        let found = self.interfaces.get(number as usize).copied();
        found.ok_or(CaptureError::UnknownInterface { offset, interface: number })
    }

    /// An enhanced packet; the obsolete one differs by an interface number of 16 bits, which shares
    /// its word with a count of drops.
    fn packet(
        &self,
        body: &[u8],
        block_bytes: usize,
        offset: u64,
        obsolete: bool,
    ) -> Result<Step, CaptureError> {
        let field = |at| self.order.u32(body, at);
        if body.len() < PACKET_BYTES {
            return Err(CaptureError::BadLength { offset, length: block_bytes as u64 });
        }
        let captured = field(12) as usize;
        if captured > body.len() - PACKET_BYTES {
            return Err(CaptureError::BadLength { offset, length: captured as u64 });
        }
        let number = if obsolete { u32::from(self.order.u16(body, 0)) } else { field(0) };
        let interface = self.interface(number, offset)?;
        let start = BODY_OFFSET + PACKET_BYTES;
        Ok(Step::Frame(Found {
            taken: block_bytes,
            ts: interface.time(u64::from(field(4)) << 32 | u64::from(field(8))),
            link: interface.link,
            wire_bytes: field(16),
            start,
            end: start + captured,
        }))
    }

    /// A packet without a time, of the first interface, as long as its snap length allows.
    fn simple(&self, body: &[u8], length: usize, offset: u64) -> Result<Step, CaptureError> {
        let interface = self.interface(0, offset)?;
        if body.len() < 4 {
            return Err(CaptureError::BadLength { offset, length: length as u64 });
        }
        let wire_bytes = self.order.u32(body, 0);
        let snap = if interface.snap == 0 { u32::MAX } else { interface.snap };
        let captured = (wire_bytes.min(snap) as usize).min(body.len() - 4);
        let link = interface.link;
        let (start, end) = (12, 12 + captured);
        Ok(Step::Frame(Found { taken: length, ts: Nanos(0), link, wire_bytes, start, end }))
    }
}

/// Units in a second of a time resolution: a power of ten, or of two if the top bit is set.
fn units(resolution: u8) -> Option<u64> {
    let exponent = u32::from(resolution & 0x7f);
    if resolution & 0x80 == 0 { 10u64.checked_pow(exponent) } else { 1u64.checked_shl(exponent) }
}

impl Interface {
    fn time(&self, stamp: u64) -> Nanos {
        // What nearly every file has needs no wide division.
        match (self.units, self.offset_seconds) {
            (1_000_000_000, 0) => return Nanos(stamp),
            (1_000_000, 0) => return Nanos(stamp.saturating_mul(1_000)),
            _ => {}
        }
        let ns = u128::from(stamp) * 1_000_000_000 / u128::from(self.units);
        let ns = i128::try_from(ns).unwrap_or(i128::MAX);
        let ns = ns.saturating_add(i128::from(self.offset_seconds) * 1_000_000_000);
        Nanos(u64::try_from(ns.max(0)).unwrap_or(u64::MAX))
    }
}
