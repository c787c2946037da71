//! A ring of buffers provided to io_uring: the kernel takes one for each receive, and gets it back
//! when we have read it.
//!
//! ```text
//! entries, shared with the kernel (16 bytes each, `count` of them, a power of two)
//!   | addr, len, bid, resv | addr, len, bid, resv | ...
//!                      ^ of entry 0: the tail, written by us, read by the kernel
//! memory
//!   | buffer 0 | buffer 1 | ... | buffer count-1 |     all of one size: `bytes`
//! ```
//!
//! Invariant: each buffer is either lent to the kernel (published in the ring, or taken by a
//! receive that has not completed) or ours (`ours[bid]`). Ours are never written by the kernel and
//! are the only ones read; a buffer is given back once only. The ring never holds more than
//! `count` entries, as there are no more buffers, so no entry is overwritten unread.
#![allow(unsafe_code)]

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;
use memmap2::MmapMut;

const _: () = assert!(size_of::<BufRingEntry>() == 16);
/// Where the tail lies: `resv` of the first entry (`struct io_uring_buf_ring` of the kernel).
const TAIL_OFFSET: usize = 14;
/// The kernel's own bound.
const COUNT_MAX: u16 = 1 << 15;

/// The buffers of one group.
#[derive(Debug)]
pub struct BufRing {
    entries: MmapMut,
    memory: MmapMut,
    count: u16,
    bytes: usize,
    /// What we have written; `publish` shows it to the kernel.
    tail: u16,
    ours: Box<[bool]>,
}

impl BufRing {
    /// Maps and prefaults `count` buffers of `bytes` each; none is lent yet.
    ///
    /// # Errors
    /// If there is no memory, or `count` is not a power of two up to 32768.
    pub fn new(count: u16, bytes: usize) -> io::Result<Self> {
        if !count.is_power_of_two() || count > COUNT_MAX || bytes == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let entries = usize::from(count) * size_of::<BufRingEntry>();
        let entries = memmap2::MmapOptions::new().len(entries).populate().map_anon()?;
        let memory = usize::from(count) * bytes;
        let memory = memmap2::MmapOptions::new().len(memory).populate().map_anon()?;
        let ours = vec![true; count.into()].into();
        Ok(Self { entries, memory, count, bytes, tail: 0, ours })
    }

    /// Registers the ring as `group` and lends every buffer to the kernel.
    ///
    /// # Safety
    /// `self` must be kept until the group is unregistered and no receive of it is in flight: the
    /// kernel writes to its memory until then.
    ///
    /// # Errors
    /// If the kernel knows no provided-buffer rings (before 5.19).
    pub unsafe fn register(&mut self, submitter: &Submitter<'_>, group: u16) -> io::Result<()> {
        let address = self.entries.as_ptr().addr() as u64;
        // SAFETY: `entries` is a page-aligned mapping of exactly `count` entries; the caller keeps
        // it alive. Moving `self` does not move the mapping.
        unsafe { submitter.register_buf_ring_with_flags(address, self.count, group, 0)? };
        for bid in 0..self.count {
            self.give_back(bid);
        }
        self.publish();
        Ok(())
    }

    /// Takes over the buffer that a completion named.
    ///
    /// # Safety
    /// The kernel must have handed `bid` over in a completion of this group since it was last
    /// given back.
    #[inline]
    pub unsafe fn take(&mut self, bid: u16) {
        assert!(!self.ours[usize::from(bid)], "the kernel hands a buffer over once");
        self.ours[usize::from(bid)] = true;
    }

    /// The first `len` bytes of a buffer that is ours, or fewer if it is smaller.
    ///
    /// # Panics
    /// If the buffer is lent to the kernel.
    #[inline]
    #[must_use]
    pub fn bytes(&self, bid: u16, len: usize) -> &[u8] {
        assert!(self.ours[usize::from(bid)], "only a buffer that is ours may be read");
        let start = usize::from(bid) * self.bytes;
        // Pointers only: a reference to the whole mapping would cover buffers the kernel writes.
        let base = self.memory.as_ptr();
        // SAFETY: `bid < count` (checked by the index into `ours`), so buffer `bid` lies within
        // the mapping of `count * bytes` bytes.
        let first = unsafe { base.add(start) };
        // SAFETY: `len` is cut to the buffer's size; the buffer is ours, so the kernel does not
        // write to it while the reference lives: giving it back takes `&mut self`. The mapping is
        // zeroed at first, so every byte is initialised.
        unsafe { std::slice::from_raw_parts(first, len.min(self.bytes)) }
    }

    /// Gives a buffer back; the kernel sees it after [`BufRing::publish`].
    ///
    /// # Panics
    /// If the buffer is not ours.
    #[inline]
    pub fn give_back(&mut self, bid: u16) {
        assert!(self.ours[usize::from(bid)], "only a buffer that is ours may be given back");
        self.ours[usize::from(bid)] = false;
        let address = self.memory.as_ptr().addr() + usize::from(bid) * self.bytes;
        let slot = usize::from(self.tail & (self.count - 1));
        let entry = self.entries.as_mut_ptr().cast::<BufRingEntry>();
        // SAFETY: `slot < count`, and the mapping holds `count` entries, page-aligned.
        let entry = unsafe { entry.add(slot) };
        // SAFETY: the kernel does not read this entry: it lies outside head..tail, since at most
        // `count` buffers exist and this one was not in the ring. `BufRingEntry` is integers only.
        let entry = unsafe { &mut *entry };
        // Field by field: `resv` of entry 0 is the tail and must stay as it is.
        entry.set_addr(address as u64);
        entry.set_len(self.bytes as u32);
        entry.set_bid(bid);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel what was given back.
    #[inline]
    pub fn publish(&mut self) {
        // SAFETY: `TAIL_OFFSET` lies within the first entry, which every ring has.
        let tail = unsafe { self.entries.as_mut_ptr().add(TAIL_OFFSET) };
        // SAFETY: page-aligned base + 14 is 2-byte aligned; the kernel only reads the tail, and
        // both sides access it atomically.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// How many buffers are ours, not the kernel's.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.ours.iter().filter(|&&ours| ours).count()
    }
}
