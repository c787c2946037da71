//! IEX DEEP 1.0 and TOPS 1.6 messages as the wire has them: little-endian, packed, text padded with
//! blanks. [IEX DEEP specification 1.0, IEX TOPS specification 1.6]
//!
//! Invariant: every struct has the size that the specification gives its message.

use zerocopy::byteorder::little_endian::{I64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What every message begins with.
#[derive(Copy, Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Head {
    /// Message type, one ASCII character.
    pub kind: u8,
    /// One byte whose meaning is the type's: an event, a status, flags.
    pub code: u8,
    /// Nanoseconds since the epoch.
    pub timestamp: U64,
}

macro_rules! messages {
    ($(
        $(#[doc = $doc:literal])*
        $name:ident $bytes:literal { $($(#[doc = $fdoc:literal])* $field:ident: $type:ty,)* }
    )*) => {$(
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
    )*};
}

messages! {
    /// System event `S`.
    SystemEvent 10 {}
    /// A status of one symbol: `I`, `O`, `E`.
    Status 18 {
        /// Symbol.
        symbol: [u8; 8],
    }
    /// Short sale price test `P`.
    ShortSaleTest 19 {
        /// Symbol.
        symbol: [u8; 8],
        /// Detail.
        detail: u8,
    }
    /// Trading status `H`.
    TradingStatus 22 {
        /// Symbol.
        symbol: [u8; 8],
        /// Reason.
        reason: [u8; 4],
    }
    /// Security directory `D`.
    SecurityDirectory 31 {
        /// Symbol.
        symbol: [u8; 8],
        /// Round lot size.
        round_lot: U32,
        /// Adjusted previous official close, 1e-4.
        previous_close: I64,
        /// LULD tier.
        luld_tier: u8,
    }
    /// Price level update `8` and `5`.
    PriceLevel 30 {
        /// Symbol.
        symbol: [u8; 8],
        /// Aggregate size.
        size: U32,
        /// Price, 1e-4.
        price: I64,
    }
    /// Trade report `T` and trade break `B`.
    Trade 38 {
        /// Symbol.
        symbol: [u8; 8],
        /// Shares.
        size: U32,
        /// Price, 1e-4.
        price: I64,
        /// Trade id.
        trade_id: U64,
    }
    /// Official price `X`.
    OfficialPrice 26 {
        /// Symbol.
        symbol: [u8; 8],
        /// Price, 1e-4.
        price: I64,
    }
    /// Quote update `Q`.
    Quote 42 {
        /// Symbol.
        symbol: [u8; 8],
        /// Size at the bid.
        bid_size: U32,
        /// Bid, 1e-4.
        bid: I64,
        /// Ask, 1e-4.
        ask: I64,
        /// Size at the ask.
        ask_size: U32,
    }
    /// Auction information `A`.
    Auction 80 {
        /// Symbol.
        symbol: [u8; 8],
        /// Paired shares.
        paired: U32,
        /// Reference price, 1e-4.
        reference: I64,
        /// Indicative clearing price.
        indicative: I64,
        /// Imbalance shares.
        imbalance: U32,
        /// Imbalance side.
        imbalance_side: u8,
        /// Extensions.
        extensions: u8,
        /// Scheduled time, seconds since the epoch.
        scheduled: U32,
        /// Auction book clearing price.
        book_clearing: I64,
        /// Collar reference price.
        collar_reference: I64,
        /// Lower collar.
        lower: I64,
        /// Upper collar.
        upper: I64,
    }
}

/// The length of a message type in DEEP 1.0 (`tops` false) or TOPS 1.6; `None` if not known there.
#[inline]
#[must_use]
pub fn length_of(kind: u8, tops: bool) -> Option<usize> {
    match kind {
        b'S' => Some(10),
        b'I' | b'O' => Some(18),
        b'E' if !tops => Some(18),
        b'P' => Some(19),
        b'H' => Some(22),
        b'X' => Some(26),
        b'8' | b'5' if !tops => Some(30),
        b'D' => Some(31),
        b'T' | b'B' => Some(38),
        b'Q' if tops => Some(42),
        b'A' => Some(80),
        _ => None,
    }
}
