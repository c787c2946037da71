//! Dense numbers for symbols, in order of first appearance: what a venue without locate codes
//! needs.
//!
//! Invariant: a symbol keeps its number for the life of the table; number 0 is never given, it
//! stands for no (or no more room for an) instrument. Memory is taken once.

/// Slots of the open-addressed table: at most half of them are ever taken.
const SLOTS: usize = 1 << 17;
/// The most symbols that get a number.
const NUMBERS_MAX: u16 = u16::MAX - 1;

/// Symbols and their numbers.
#[derive(Clone, Debug)]
pub(super) struct Instruments {
    /// (symbol, number); number 0 marks a free slot.
    slots: Box<[(u64, u16)]>,
    given: u16,
    refused: u64,
}

impl Instruments {
    pub(super) fn new() -> Self {
        Self { slots: vec![(0, 0); SLOTS].into(), given: 0, refused: 0 }
    }

    /// How many look-ups found the table full.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// The number of a symbol, given now if it is new; 0 if there is none left.
    #[inline]
    pub(super) fn number(&mut self, symbol: u64) -> u16 {
        let at = self.slot(symbol);
        let (_, number) = self.slots[at];
        if number != 0 {
            return number;
        }
        if self.given == NUMBERS_MAX {
            self.refused += 1;
            return 0;
        }
        self.given += 1;
        self.slots[at] = (symbol, self.given);
        self.given
    }

    /// A symbol was given this number by another table, which this one goes on from.
    pub(super) fn recall(&mut self, symbol: u64, number: u16) {
        if number == 0 || number > NUMBERS_MAX {
            return;
        }
        let at = self.slot(symbol);
        self.slots[at] = (symbol, number);
        self.given = self.given.max(number);
    }

    /// Where a symbol stands, or would.
    #[inline]
    fn slot(&self, symbol: u64) -> usize {
        let hash = symbol.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 47;
        let mut at = hash as usize;
        loop {
            let (found, number) = self.slots[at];
            if number == 0 || found == symbol {
                return at;
            }
            at = (at + 1) & (SLOTS - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_stable_and_bounded() {
        let mut instruments = Instruments::new();
        for symbol in 0..70_000u64 {
            let expected = if symbol < 65_534 { symbol as u16 + 1 } else { 0 };
            assert_eq!(instruments.number(symbol << 7), expected);
        }
        assert_eq!(instruments.number(5 << 7), 6);
        assert_eq!(instruments.refused(), 70_000 - 65_534);
    }

    #[test]
    fn a_table_goes_on_from_another() {
        let (mut first, mut second) = (Instruments::new(), Instruments::new());
        for symbol in [9, 7, 8] {
            second.recall(symbol, first.number(symbol));
        }
        assert_eq!([7, 8, 9, 5].map(|symbol| second.number(symbol)), [2, 3, 1, 4]);
    }
}
