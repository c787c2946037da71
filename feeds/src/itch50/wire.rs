//! NASDAQ TotalView-ITCH 5.0 messages as the wire has them: big-endian, packed, text padded with
//! blanks. [Nasdaq TotalView-ITCH 5.0 specification, sections 1.1 to 1.8]
//!
//! Invariant: every struct has the size that the specification gives its message.
//!
//! ```
//! use corelane_feeds::itch50::wire::{AddOrder, Head};
//! use zerocopy::FromBytes;
//! let bytes = [b'A'; size_of::<AddOrder>()];
//! let add = AddOrder::ref_from_bytes(&bytes).unwrap();
//! assert_eq!(add.head.kind, b'A');
//! assert_eq!(size_of::<Head>(), 11);
//! ```

use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What every message begins with.
#[derive(Copy, Clone, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Head {
    /// Message type, one ASCII character.
    pub kind: u8,
    /// Stock locate: the day's dense number of the instrument, 0 if none.
    pub locate: U16,
    /// Nasdaq internal tracking number.
    pub tracking: U16,
    /// Nanoseconds since midnight, 48 bits.
    pub timestamp: [u8; 6],
}

impl Head {
    /// A head for a message.
    #[must_use]
    pub fn new(kind: u8, locate: u16, ns_since_midnight: u64) -> Self {
        let [_, _, timestamp @ ..] = ns_since_midnight.to_be_bytes();
        Self { kind, locate: U16::new(locate), tracking: U16::ZERO, timestamp }
    }

    /// Nanoseconds since midnight.
    #[inline]
    #[must_use]
    pub fn ns_since_midnight(&self) -> u64 {
        let [a, b, c, d, e, f] = self.timestamp;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }
}

macro_rules! messages {
    ($(
        $(#[doc = $doc:literal])*
        $name:ident $kind:literal $bytes:literal {
            $($(#[doc = $fdoc:literal])* $field:ident: $type:ty,)*
        }
    )*) => {
        $(
            $(#[doc = $doc])*
            #[derive(
                Copy, Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
            )]
            #[repr(C)]
            pub struct $name {
                /// What every message begins with.
                pub head: Head,
                $($(#[doc = $fdoc])* pub $field: $type,)*
            }
            const _: () = assert!(size_of::<$name>() == $bytes);

            impl $name {
                /// The message's type character.
                pub const KIND: u8 = $kind;
            }
        )*

        /// Every message type and its length in bytes, the two-byte framing not included.
        pub const MESSAGES: &[(u8, usize)] = &[$(($kind, $bytes)),*];
    };
}

messages! {
    /// System event. [1.1]
    SystemEvent b'S' 12 {
        /// `O S Q M E C`.
        event: u8,
    }
    /// Stock directory. [1.2.1]
    StockDirectory b'R' 39 {
        /// Symbol.
        stock: [u8; 8],
        /// Market category.
        market: u8,
        /// Financial status.
        financial_status: u8,
        /// Round lot size.
        round_lot: U32,
        /// Round lots only.
        round_lots_only: u8,
        /// Issue classification.
        classification: u8,
        /// Issue sub-type.
        sub_type: [u8; 2],
        /// Authenticity.
        authenticity: u8,
        /// Short sale threshold indicator.
        short_sale_threshold: u8,
        /// IPO flag.
        ipo: u8,
        /// LULD reference price tier.
        luld_tier: u8,
        /// ETP flag.
        etp: u8,
        /// ETP leverage factor.
        etp_leverage: U32,
        /// Inverse indicator.
        inverse: u8,
    }
    /// Stock trading action. [1.2.2]
    TradingAction b'H' 25 {
        /// Symbol.
        stock: [u8; 8],
        /// Trading state.
        state: u8,
        /// Reserved.
        reserved: u8,
        /// Reason.
        reason: [u8; 4],
    }
    /// Reg SHO restriction. [1.2.3]
    RegSho b'Y' 20 {
        /// Symbol.
        stock: [u8; 8],
        /// Action.
        action: u8,
    }
    /// Market participant position. [1.2.4]
    MarketParticipant b'L' 26 {
        /// Market participant.
        mpid: [u8; 4],
        /// Symbol.
        stock: [u8; 8],
        /// Primary market maker.
        primary: u8,
        /// Market maker mode.
        mode: u8,
        /// State.
        state: u8,
    }
    /// MWCB decline levels, prices at 1e-8. [1.2.5.1]
    MwcbDecline b'V' 35 {
        /// Level 1.
        level1: U64,
        /// Level 2.
        level2: U64,
        /// Level 3.
        level3: U64,
    }
    /// MWCB status. [1.2.5.2]
    MwcbStatus b'W' 12 {
        /// Breached level.
        level: u8,
    }
    /// IPO quoting period update. [1.2.6]
    IpoQuotation b'K' 28 {
        /// Symbol.
        stock: [u8; 8],
        /// Release time, seconds since midnight.
        release_seconds: U32,
        /// Qualifier.
        qualifier: u8,
        /// Price, 1e-4.
        price: U32,
    }
    /// LULD auction collar. [1.2.7]
    LuldCollar b'J' 35 {
        /// Symbol.
        stock: [u8; 8],
        /// Reference price, 1e-4.
        reference: U32,
        /// Upper price.
        upper: U32,
        /// Lower price.
        lower: U32,
        /// Extensions.
        extension: U32,
    }
    /// Operational halt. [1.2.8]
    OperationalHalt b'h' 21 {
        /// Symbol.
        stock: [u8; 8],
        /// Market code.
        market: u8,
        /// Action.
        action: u8,
    }
    /// Add order without attribution. [1.3.1]
    AddOrder b'A' 36 {
        /// Order reference.
        order_ref: U64,
        /// Side.
        side: u8,
        /// Shares.
        shares: U32,
        /// Symbol.
        stock: [u8; 8],
        /// Price, 1e-4.
        price: U32,
    }
    /// Add order with attribution. [1.3.2]
    AddOrderMpid b'F' 40 {
        /// Order reference.
        order_ref: U64,
        /// Side.
        side: u8,
        /// Shares.
        shares: U32,
        /// Symbol.
        stock: [u8; 8],
        /// Price, 1e-4.
        price: U32,
        /// Attribution.
        mpid: [u8; 4],
    }
    /// Order executed. [1.4.1]
    OrderExecuted b'E' 31 {
        /// Order reference.
        order_ref: U64,
        /// Shares executed.
        shares: U32,
        /// Match number.
        match_number: U64,
    }
    /// Order executed with price. [1.4.2]
    OrderExecutedPrice b'C' 36 {
        /// Order reference.
        order_ref: U64,
        /// Shares executed.
        shares: U32,
        /// Match number.
        match_number: U64,
        /// Printable.
        printable: u8,
        /// Execution price, 1e-4.
        price: U32,
    }
    /// Order cancel. [1.4.3]
    OrderCancel b'X' 23 {
        /// Order reference.
        order_ref: U64,
        /// Shares taken off.
        shares: U32,
    }
    /// Order delete. [1.4.4]
    OrderDelete b'D' 19 {
        /// Order reference.
        order_ref: U64,
    }
    /// Order replace. [1.4.5]
    OrderReplace b'U' 35 {
        /// The order that leaves.
        order_ref: U64,
        /// The order that takes its place.
        new_order_ref: U64,
        /// Shares.
        shares: U32,
        /// Price, 1e-4.
        price: U32,
    }
    /// Trade against a non-displayed order. [1.5.1]
    Trade b'P' 44 {
        /// Order reference, always zero.
        order_ref: U64,
        /// Side.
        side: u8,
        /// Shares.
        shares: U32,
        /// Symbol.
        stock: [u8; 8],
        /// Price, 1e-4.
        price: U32,
        /// Match number.
        match_number: U64,
    }
    /// Cross trade. [1.5.2]
    CrossTrade b'Q' 40 {
        /// Shares.
        shares: U64,
        /// Symbol.
        stock: [u8; 8],
        /// Price, 1e-4.
        price: U32,
        /// Match number.
        match_number: U64,
        /// Cross type.
        cross: u8,
    }
    /// Broken trade. [1.5.3]
    BrokenTrade b'B' 19 {
        /// Match number.
        match_number: U64,
    }
    /// Net order imbalance indicator. [1.6]
    Noii b'I' 50 {
        /// Paired shares.
        paired: U64,
        /// Imbalance shares.
        imbalance: U64,
        /// Imbalance direction.
        direction: u8,
        /// Symbol.
        stock: [u8; 8],
        /// Far price, 1e-4.
        far: U32,
        /// Near price, 1e-4.
        near: U32,
        /// Reference price, 1e-4.
        reference: U32,
        /// Cross type.
        cross: u8,
        /// Price variation indicator.
        variation: u8,
    }
    /// Retail price improvement indicator. [1.7]
    RetailInterest b'N' 20 {
        /// Symbol.
        stock: [u8; 8],
        /// Interest flag.
        interest: u8,
    }
    /// Direct listing with capital raise, price discovery. [1.8]
    DirectListing b'O' 48 {
        /// Symbol.
        stock: [u8; 8],
        /// Open eligibility.
        eligible: u8,
        /// Minimum allowable price, 1e-4.
        min: U32,
        /// Maximum allowable price.
        max: U32,
        /// Near execution price.
        near: U32,
        /// Near execution time, nanoseconds since midnight.
        near_time: U64,
        /// Lower price range collar.
        lower: U32,
        /// Upper price range collar.
        upper: U32,
    }
}

/// The length of a message type; `None` if the type is not known.
#[inline]
#[must_use]
pub fn length_of(kind: u8) -> Option<usize> {
    const LENGTHS: [u8; 256] = {
        let mut lengths = [0u8; 256];
        let mut i = 0;
        while i < MESSAGES.len() {
            lengths[MESSAGES[i].0 as usize] = MESSAGES[i].1 as u8;
            i += 1;
        }
        lengths
    };
    let length = usize::from(LENGTHS[usize::from(kind)]);
    (length > 0).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_twenty_three_types() {
        assert_eq!(MESSAGES.len(), 23);
        assert_eq!(length_of(b'A'), Some(36));
        assert_eq!(length_of(b'!'), None);
    }

    #[test]
    fn times_are_48_bits() {
        let head = Head::new(b'S', 7, 86_399_999_999_999);
        assert_eq!(head.ns_since_midnight(), 86_399_999_999_999);
    }
}
