//! The block behind a durable segment that is still written: from which place on its bytes may be
//! torn.
//!
//! ```text
//! | segment, as long as in memory | mark: slot, 512 bytes | slot, 512 bytes | 0 ... 4096 |
//!
//! a slot   | magic | count | offset | crc32c |      the newest whole one counts
//! ```
//!
//! A disk may write the sectors of a group in any order until it is synced. So a power cut leaves
//! holes in the last group, with whole entries behind them, which anywhere else would be damage.
//! The mark is written with each group and says where that begins: all before was synced. A segment
//! that is finished has none.
//!
//! Invariant: bytes before the mark are durable.

use zerocopy::{FromBytes, IntoBytes};

use crate::sys::crc::Crc32c;

/// Length of the block.
pub(super) const MARK_BYTES: usize = 4096;
const MAGIC: u64 = u64::from_le_bytes(*b"CORELMRK");
const SLOT_BYTES: usize = 512;
const SLOTS: usize = 2;
const SLOT_WORDS: usize = 4;

/// The mark of one segment, as it is written again and again.
#[derive(Debug)]
pub(super) struct Mark {
    block: Box<[u8]>,
    count: u64,
}

impl Mark {
    /// The mark of a segment of which nothing is durable.
    pub(super) fn new() -> Self {
        let mut mark = Self { block: vec![0; MARK_BYTES].into(), count: 0 };
        mark.set(0);
        mark
    }

    /// Bytes from `offset` on may be torn; returns the block to write.
    pub(super) fn set(&mut self, offset: u64) -> &[u8] {
        self.count += 1;
        let mut slot = [MAGIC, self.count, offset, 0];
        slot[SLOT_WORDS - 1] = checksum(&slot);
        let at = self.count as usize % SLOTS * SLOT_BYTES;
        self.block[at..at + SLOT_WORDS * 8].copy_from_slice(slot.as_bytes());
        &self.block
    }

    pub(super) fn block(&self) -> &[u8] {
        &self.block
    }
}

fn checksum(slot: &[u64; SLOT_WORDS]) -> u64 {
    u64::from(Crc32c::detect().words(0, &slot[..SLOT_WORDS - 1]))
}

/// What the mark at the end of a file says, if it has one.
pub(super) fn find(file: &[u8]) -> Option<u64> {
    let block = file.len().checked_sub(MARK_BYTES).map(|at| &file[at..])?;
    let slots = block.chunks_exact(SLOT_BYTES).take(SLOTS);
    let slots = slots.filter_map(|slot| <[u64; SLOT_WORDS]>::read_from_prefix(slot).ok());
    let whole = slots.map(|(slot, _)| slot);
    let whole = whole.filter(|slot| slot[0] == MAGIC && slot[SLOT_WORDS - 1] == checksum(slot));
    whole.max_by_key(|slot| slot[1]).map(|slot| slot[2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_slot_counts() {
        let mut mark = Mark::new();
        let file = |block: &[u8]| [&[9; 8192], block].concat();
        assert_eq!(find(&file(mark.block())), Some(0));
        assert_eq!(find(&[0; 8192]), None);
        assert_eq!(find(&[0; 100]), None);
        for offset in [128, 4096, 70_000] {
            let before = find(&file(mark.block()));
            let mut block = mark.set(offset).to_vec();
            assert_eq!(find(&file(&block)), Some(offset));
            let newest = (0..SLOTS).map(|slot| slot * SLOT_BYTES);
            let newest = newest.max_by_key(|at| block[at + 8]).unwrap();
            block[newest + 17] ^= 1;
            assert_eq!(find(&file(&block)), before, "a torn slot leaves the one before");
        }
    }
}
