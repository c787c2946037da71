//! The classic pcap format. [draft-ietf-opsawg-pcap]
//!
//! Invariant: a frame that says to be longer than the bound is an error: nothing after it could be
//! found.

use super::reader::{CaptureError, Found, Order, Step};
use super::{FRAME_BYTES_MAX, LinkType};
use crate::units::Nanos;

const FILE_HEADER_BYTES: usize = 24;
const FRAME_HEADER_BYTES: usize = 16;
const MAGIC_MICROS: u32 = 0xa1b2_c3d4;
const MAGIC_NANOS: u32 = 0xa1b2_3c4d;

pub(super) struct Pcap {
    order: Order,
    /// Nanoseconds of one unit of the fraction.
    fraction_ns: u64,
    link: Option<LinkType>,
}

impl Pcap {
    pub(super) fn detect(magic: [u8; 4]) -> Option<Self> {
        let (little, big) = (u32::from_le_bytes(magic), u32::from_be_bytes(magic));
        let (order, fraction_ns) = match (little, big) {
            (MAGIC_MICROS, _) => (Order::Little, 1_000),
            (MAGIC_NANOS, _) => (Order::Little, 1),
            (_, MAGIC_MICROS) => (Order::Big, 1_000),
            (_, MAGIC_NANOS) => (Order::Big, 1),
            _ => return None,
        };
        Some(Self { order, fraction_ns, link: None })
    }

    pub(super) fn step(&mut self, bytes: &[u8], offset: u64) -> Result<Step, CaptureError> {
        let Some(link) = self.link else {
            if bytes.len() < FILE_HEADER_BYTES {
                return Ok(Step::More);
            }
            // The upper bits of the link type field say how long a frame's checksum is.
            self.link = Some(LinkType(self.order.u32(bytes, 20) as u16));
            return Ok(Step::Skip(FILE_HEADER_BYTES));
        };
        if bytes.len() < FRAME_HEADER_BYTES {
            return Ok(Step::More);
        }
        let field = |at| self.order.u32(bytes, at);
        let captured = field(8) as usize;
        if captured > FRAME_BYTES_MAX {
            return Err(CaptureError::BadLength { offset, length: captured as u64 });
        }
        let taken = FRAME_HEADER_BYTES + captured;
        if bytes.len() < taken {
            return Ok(Step::More);
        }
        let ns = u64::from(field(0)) * 1_000_000_000 + u64::from(field(4)) * self.fraction_ns;
        let (wire_bytes, start) = (field(12), FRAME_HEADER_BYTES);
        Ok(Step::Frame(Found { taken, ts: Nanos(ns), link, wire_bytes, start, end: taken }))
    }
}
