//! What a query's rows come to, whatever their order: their number and the sum of their hashes. The
//! Java side is `bench/peers/cep/common`, `Results.java`.
//!
//! ```
//! use corelane_bench::cep::results::Results;
//! let (mut one, mut other) = (Results::default(), Results::default());
//! one.add(&[1, 2]);
//! one.add(&[3, 4]);
//! other.add(&[3, 4]);
//! other.add(&[1, 2]);
//! assert_eq!(one, other);
//! ```

/// Rows so far.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct Results {
    /// How many.
    pub rows: u64,
    /// Sum of their hashes.
    pub sum: u64,
}

impl Results {
    /// Takes a row.
    #[inline]
    pub fn add(&mut self, row: &[u64]) {
        let mixed = row.iter().fold(0u64, |hash, word| {
            let mixed = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed ^ (mixed >> 32)
        });
        self.rows += 1;
        self.sum = self.sum.wrapping_add(mixed);
    }
}

/// A text as one word of a row: Java's hash of it.
#[inline]
#[must_use]
pub fn text_word(text: &[u8]) -> u64 {
    let hash =
        text.iter().fold(0i32, |hash, &byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte)));
    i64::from(hash).cast_unsigned()
}

/// The symbol of a key.
#[must_use]
pub fn symbol(key: u64) -> [u8; 8] {
    let mut text = *b"S0000000";
    let (mut rest, mut at) = (key, text.len() - 1);
    while rest > 0 && at > 0 {
        text[at] = b'0' + (rest % 10) as u8;
        (rest, at) = (rest / 10, at - 1);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_hash_as_in_java() {
        assert_eq!(symbol(42), *b"S0000042");
        // "S0000042".hashCode() of Java 17.
        assert_eq!(text_word(b"S0000042").cast_signed(), -305_120_517);
    }
}
