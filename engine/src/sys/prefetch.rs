//! Memory asked for ahead of its use: cache lines, and tables in large pages.
//!
//! Invariant: whatever address is given, nothing that is stored changes and nothing is read as far
//! as the program can tell.
#![allow(unsafe_code)]

use corelane_strategies::memory::Memory;
use rustix::mm::{Advice, madvise};

/// Carries out what stages ask for.
pub const MEMORY: Memory = Memory::new(load, load_all, reserve);

/// The size of a large page on every platform that we know of.
const LARGE_PAGE_BYTES: usize = 2 << 20;
/// Bytes of a cache line.
const LINE_BYTES: usize = 64;
/// The least page size there is.
const PAGE_BYTES: usize = 4096;

/// Asks the CPU to load the line at `at` into its nearest cache, without waiting.
#[inline]
pub fn load(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing as far as the program can tell, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Asks for every line of `bytes` bytes from `at` on.
fn load_all(at: *const u8, bytes: usize) {
    let mut at = at;
    for _ in 0..bytes.div_ceil(LINE_BYTES) {
        load(at);
        at = at.wrapping_add(LINE_BYTES);
    }
}

/// Makes the whole pages of a table resident, large ones where the system has them. A refusal costs
/// page faults later and nothing else.
pub fn reserve(at: *const u8, bytes: usize) {
    let advise = |page_bytes: usize, advice| {
        let start = at.addr().next_multiple_of(page_bytes);
        let end = (at.addr() + bytes) / page_bytes * page_bytes;
        if start >= end {
            return;
        }
        // SAFETY: both pieces of advice leave every byte of the range as it is; where they cannot
        // be followed, or the range is not mapped, the system says so and does nothing.
        let _ = unsafe { madvise(at.with_addr(start).cast_mut().cast(), end - start, advice) };
    };
    advise(LARGE_PAGE_BYTES, Advice::LinuxHugepage);
    advise(PAGE_BYTES, Advice::LinuxPopulateWrite);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_stays() {
        let mut table: Vec<u64> = (0..1 << 19).collect();
        MEMORY.reserve(&table);
        MEMORY.load(&table[1 << 18]);
        assert!(table.iter().zip(0..).all(|(&stored, wanted)| stored == wanted));
        table[3] = 9;
        MEMORY.reserve(&table[..3]);
        assert_eq!(table[3], 9);
        load(std::ptr::null());
    }
}
