//! Streams that order books publish inside a shard.
//!
//! Invariant: they are derived from the feed's records and journalled records alone, so they are
//! not journalled themselves.

use crate::stream;
use crate::units::{Char, Nanos, Price, Qty, Qty32, Side, Symbol};

stream! {
    /// One thing that happened to one order, with what the message itself leaves out: the order's
    /// side, price, remaining quantity and age. ITCH executions, cancels and deletes name only a
    /// reference; this is the record to write surveillance rules on.
    Order = 0x0301, "book.order", 96 {
        [tag]
        /// `A` added, `E` executed, `X` partly cancelled, `D` deleted, `U` replaced (the old order
        /// leaves; the new one follows as its own `A`).
        kind: Char<1>,
        /// The venue's reference of the order.
        order_ref: u64,
        /// The order's price (for `E` the execution's price).
        price: Price,
        /// The instrument's symbol.
        symbol: Symbol,
        /// Quantity added, executed, cancelled or deleted.
        qty: Qty32,
        /// Quantity that remains on the book after it.
        left: Qty32,
        /// When the order was added.
        ts_added: Nanos,
        /// Quantity in front of the order at its price when it was added.
        ahead: Qty,
        /// Attribution of the order, blank where the venue gives none.
        mpid: Char<4>,
        /// The order's side.
        side: Side,
        /// Padding.
        _pad: Char<3>,
        /// Best price of the order's side just before the event; 0 if the side was empty.
        touch: Price,
    }
}

stream! {
    /// The best bid and ask of an instrument, after a message that changed either. A side without
    /// orders has price 0 and quantity 0.
    Bbo = 0x0302, "book.bbo", 64 {
        /// Best bid price.
        bid: Price,
        /// Best ask price.
        ask: Price,
        /// The instrument's symbol.
        symbol: Symbol,
        /// Quantity at the best bid, saturating.
        bid_qty: Qty32,
        /// Quantity at the best ask, saturating.
        ask_qty: Qty32,
    }
}
