//! Newtypes for money, quantity, time, sequence and text, so that none is mistaken for another.
//!
//! Invariant: every type is plain bytes of a fixed size with no padding, valid for every bit
//! pattern, and orders and compares by value.
//!
//! ```
//! use corelane_feeds::units::{Price, Symbol};
//! assert_eq!(Price::from_e4(48_100_000).to_string(), "4810.00");
//! assert_eq!(Symbol::new("AAPL").as_str(), "AAPL");
//! ```

use std::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Price units in 1.0: prices are `i64` at 1e-9.
pub const PRICE_SCALE: i64 = 1_000_000_000;
/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A price in units of 1e-9 of the quoted currency.
#[derive(
    Copy,
    Clone,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
)]
#[repr(transparent)]
pub struct Price(pub i64);

impl Price {
    /// From an integer at 1e-4, the scale of ITCH 5.0 and IEX prices. Saturates, which no price
    /// that fits 32 bits reaches.
    #[must_use]
    pub const fn from_e4(raw: i64) -> Self {
        Self(raw.saturating_mul(100_000))
    }

    /// The price at 1e-4, rounded towards zero.
    #[must_use]
    pub const fn to_e4(self) -> i64 {
        self.0 / 100_000
    }
}

/// Decimal text with at least two and at most nine decimals.
impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let units = self.0.unsigned_abs();
        let scale = PRICE_SCALE.unsigned_abs();
        let (whole, mut fraction) = (units / scale, units % scale);
        let mut decimals = 9;
        while decimals > 2 && fraction % 10 == 0 {
            fraction /= 10;
            decimals -= 1;
        }
        write!(f, "{sign}{whole}.{fraction:0decimals$}")
    }
}

/// Nanoseconds since the Unix epoch.
#[derive(
    Copy,
    Clone,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
)]
#[repr(transparent)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The time that passed since `earlier`, zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Nanos) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A source's own sequence number of a message.
#[derive(
    Copy,
    Clone,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
)]
#[repr(transparent)]
pub struct Seq(pub u64);

/// A quantity: shares, contracts, units. Saturates where it is summed.
#[derive(
    Copy,
    Clone,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
)]
#[repr(transparent)]
pub struct Qty(pub u64);

/// A quantity as most equity wires and the one-slot records hold it.
#[derive(
    Copy,
    Clone,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
)]
#[repr(transparent)]
pub struct Qty32(pub u32);

impl From<Qty32> for Qty {
    fn from(qty: Qty32) -> Self {
        Qty(u64::from(qty.0))
    }
}

impl From<Qty> for Qty32 {
    /// Saturates at `u32::MAX`.
    fn from(qty: Qty) -> Self {
        Qty32(u32::try_from(qty.0).unwrap_or(u32::MAX))
    }
}

/// `B` buy or `S` sell, as ITCH spells it.
#[derive(
    Copy,
    Clone,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(transparent)]
pub struct Side(pub u8);

impl Side {
    /// The bid side.
    pub const BUY: Side = Side(b'B');
    /// The ask side.
    pub const SELL: Side = Side(b'S');

    /// The other side.
    #[must_use]
    pub const fn opposite(self) -> Side {
        if self.0 == b'B' { Side::SELL } else { Side::BUY }
    }

    /// 0 for buy, 1 for anything else: an index into a pair.
    #[must_use]
    pub const fn index(self) -> usize {
        (self.0 != b'B') as usize
    }
}

impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Side({})", self.0.escape_ascii())
    }
}

/// Fixed text of `N` bytes, padded with blanks on the right as the venues pad it.
#[derive(
    Copy,
    Clone,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(transparent)]
pub struct Char<const N: usize>(pub [u8; N]);

impl<const N: usize> Default for Char<N> {
    fn default() -> Self {
        Self([b' '; N])
    }
}

impl<const N: usize> Char<N> {
    /// The first `N` bytes of `text`, padded.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut bytes = [b' '; N];
        let len = text.len().min(N);
        bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
        Self(bytes)
    }

    /// The text without its padding; empty if it is not UTF-8 (the wire may carry anything).
    #[must_use]
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().rposition(|&b| b != b' ' && b != 0).map_or(0, |i| i + 1);
        std::str::from_utf8(&self.0[..end]).unwrap_or("")
    }
}

impl<const N: usize> fmt::Debug for Char<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// An instrument's ticker: eight bytes, padded with blanks, compared as one word.
pub type Symbol = Char<8>;

impl Symbol {
    /// The eight bytes as one word, for hashing and comparing.
    #[must_use]
    pub const fn word(self) -> u64 {
        u64::from_le_bytes(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn price_prints_two_to_nine_decimals() {
        assert_eq!(Price(1).to_string(), "0.000000001");
        assert_eq!(Price(-1_500_000_000).to_string(), "-1.50");
        assert_eq!(Price::from_e4(123_456).to_string(), "12.3456");
        assert_eq!(Price(i64::MIN).to_string(), "-9223372036.854775808");
    }

    #[test]
    fn text_is_padded_and_trimmed() {
        assert_eq!(Symbol::new("BRK.A").0, *b"BRK.A   ");
        assert_eq!(Symbol::new("LONGER-THAN-8").as_str(), "LONGER-T");
        assert_eq!(Char::<4>([0xff; 4]).as_str(), "");
    }
}
