//! CRC-32C (Castagnoli) over whole 8-byte words, by the SSE4.2 instruction where the CPU has it and
//! by tables where it does not, alone or folded into a copy.
//!
//! The checksum is that of RFC 3720 B.4, reflected, with complement before and after, and it can be
//! continued: `crc(crc(0, a), b)` equals `crc(0, a followed by b)`.
//!
//! Invariant: both ways give the same checksum for the same bytes.
//!
//! ```
//! use corelane::sys::crc::Crc32c;
//! let crc = Crc32c::detect();
//! assert_eq!(crc.words(0, &[0; 4]), 0x8a91_36aa); // 32 zero bytes, RFC 3720 B.4
//! ```
#![allow(unsafe_code)]

use zerocopy::IntoBytes;

/// Reversed polynomial of CRC-32C.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// `TABLES[k][byte]`: what `byte` adds to the checksum when `k` more bytes of the word follow it.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][i] = crc;
        i += 1;
    }
    let mut k = 1;
    while k < 8 {
        let mut i = 0;
        while i < 256 {
            let before = tables[k - 1][i];
            tables[k][i] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            i += 1;
        }
        k += 1;
    }
    tables
}

/// Computes checksums the way that suits this CPU. Detect once, at start-up.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Crc32c {
    sse42: bool,
}

impl Crc32c {
    /// The fastest way that this CPU has.
    #[must_use]
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        let sse42 = std::arch::is_x86_feature_detected!("sse4.2");
        #[cfg(not(target_arch = "x86_64"))]
        let sse42 = false;
        Self { sse42 }
    }

    /// The tables, on any CPU.
    #[must_use]
    pub const fn portable() -> Self {
        Self { sse42: false }
    }

    /// Whether the CPU's instruction is used.
    #[must_use]
    pub const fn is_hardware(self) -> bool {
        self.sse42
    }

    /// The checksum of `words`, little-endian, continued from `crc` (0 to begin).
    #[must_use]
    pub fn words(self, crc: u32, words: &[u64]) -> u32 {
        #[cfg(target_arch = "x86_64")]
        if self.sse42 {
            // SAFETY: `sse42` is set only where `detect` found the feature.
            return !unsafe { words_sse42(!crc, words) };
        }
        !words.iter().fold(!crc, |state, &word| step_table(state, word))
    }

    /// The checksum of `bytes`, the last word filled up with zeros.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> u32 {
        let mut words = [0u64; 512];
        bytes.chunks(size_of_val(&words)).fold(0, |sum, chunk| {
            let count = chunk.len().div_ceil(8);
            words[count - 1] = 0;
            words.as_mut_bytes()[..chunk.len()].copy_from_slice(chunk);
            self.words(sum, &words[..count])
        })
    }

    /// Copies `words` to `to` and returns the checksum of `prefix` and them, continued from `crc`.
    ///
    /// # Safety
    /// `to` is 8-byte aligned, valid for writes of `words.len()` words, and does not overlap them.
    #[inline]
    pub(super) unsafe fn copy(self, crc: u32, prefix: u64, words: &[u64], to: *mut u64) -> u32 {
        #[cfg(target_arch = "x86_64")]
        if self.sse42 {
            // SAFETY: the feature was found by `detect`; `to` is as our caller promises.
            return !unsafe { copy_sse42(!crc, prefix, words, to) };
        }
        let mut state = step_table(!crc, prefix);
        for &word in words {
            state = step_table(state, word);
        }
        // SAFETY: our caller promises room for `words.len()` words at `to`, and no overlap.
        unsafe { std::ptr::copy_nonoverlapping(words.as_ptr(), to, words.len()) };
        !state
    }
}

/// One word into the state, eight table look-ups that do not wait for one another.
#[inline]
fn step_table(state: u32, word: u64) -> u32 {
    let bytes = (word ^ u64::from(state)).to_le_bytes();
    let mut next = 0;
    for (k, &byte) in bytes.iter().rev().enumerate() {
        next ^= TABLES[k][usize::from(byte)];
    }
    next
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
fn words_sse42(state: u32, words: &[u64]) -> u32 {
    use std::arch::x86_64::_mm_crc32_u64;
    words.iter().fold(u64::from(state), |state, &word| _mm_crc32_u64(state, word)) as u32
}

/// # Safety
/// As [`Crc32c::copy`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
unsafe fn copy_sse42(state: u32, prefix: u64, words: &[u64], to: *mut u64) -> u32 {
    use std::arch::x86_64::_mm_crc32_u64;
    let mut state = _mm_crc32_u64(u64::from(state), prefix);
    // Nearly every record is one cache line: straight-line code for it.
    if let Ok(line) = <&[u64; 8]>::try_from(words) {
        for &word in line {
            state = _mm_crc32_u64(state, word);
        }
        // SAFETY: our caller promises room for `words.len()`, which is 8, words at `to`.
        unsafe { to.cast::<[u64; 8]>().write(*line) };
        return state as u32;
    }
    for &word in words {
        state = _mm_crc32_u64(state, word);
    }
    // SAFETY: our caller promises room for `words.len()` words at `to`, and no overlap.
    unsafe { std::ptr::copy_nonoverlapping(words.as_ptr(), to, words.len()) };
    state as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One bit at a time, as the definition has it.
    fn slow(crc: u32, words: &[u64]) -> u32 {
        let mut state = !crc;
        for byte in words.iter().flat_map(|word| word.to_le_bytes()) {
            state ^= u32::from(byte);
            for _ in 0..8 {
                state = (state >> 1) ^ if state & 1 == 1 { POLYNOMIAL } else { 0 };
            }
        }
        !state
    }

    #[test]
    fn the_vectors_of_rfc_3720() {
        let ascending: Vec<u64> = (0..4u64)
            .map(|i| u64::from_le_bytes(std::array::from_fn(|k| (i * 8) as u8 + k as u8)))
            .collect();
        for crc in [Crc32c::detect(), Crc32c::portable()] {
            assert_eq!(crc.words(0, &[0; 4]), 0x8a91_36aa);
            assert_eq!(crc.words(0, &[u64::MAX; 4]), 0x62a8_ab43);
            assert_eq!(crc.words(0, &ascending), 0x46dd_794e);
        }
    }

    proptest! {
        #[test]
        fn hardware_tables_and_definition_agree(
            start: u32,
            prefix: u64,
            words in prop::collection::vec(any::<u64>(), 0..40),
        ) {
            let mut all = vec![prefix];
            all.extend(&words);
            let wanted = slow(start, &all);
            for crc in [Crc32c::detect(), Crc32c::portable()] {
                prop_assert_eq!(crc.words(start, &all), wanted);
                prop_assert_eq!(crc.words(crc.words(start, &[prefix]), &words), wanted);
                let mut copy = vec![0; words.len()];
                // SAFETY: `copy` is a separate vector of as many words.
                let got = unsafe { crc.copy(start, prefix, &words, copy.as_mut_ptr()) };
                prop_assert_eq!(got, wanted);
                prop_assert_eq!(&copy, &words);
            }
        }
    }
}
