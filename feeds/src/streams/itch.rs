//! NASDAQ TotalView-ITCH 5.0 streams, one per message type (`A` and `F` share one).
//!
//! `instrument` in the header is the stock locate; `ts_event` is midnight (from the feed's
//! configuration) plus the message's nanoseconds. A field is here where the wire has it:
//! executions, cancels and deletes name no symbol, so rules about them are better written on
//! `book.order`.
//!
//! Invariant: messages that build books take exactly one 64-byte slot.

use crate::stream;
use crate::units::{Char, Nanos, Price, Qty, Qty32, Side, Symbol};

stream! {
    /// System event `S`. [ITCH 5.0 section 1.1]
    SystemEvent = 0x0101, "itch.system_event", 64 {
        [tag]
        /// `O` start of messages, `S` start of system hours, `Q` start of market hours, `M` end of
        /// market hours, `E` end of system hours, `C` end of messages.
        event: Char<1>,
        /// Padding.
        _pad: Char<32>,
    }
}

stream! {
    /// Stock directory `R`. [ITCH 5.0 section 1.2.1]
    StockDirectory = 0x0102, "itch.stock_directory", 64 {
        [tag]
        /// Listing market or tier.
        market: Char<1>,
        /// The instrument's symbol.
        symbol: Symbol,
        /// Shares in a round lot.
        round_lot: u32,
        /// ETP leverage factor, 0 if not applicable.
        etp_leverage: u32,
        /// Issue sub-type.
        sub_type: Char<2>,
        /// Financial status, blank if not available.
        financial_status: Char<1>,
        /// `Y` if only round lots are accepted.
        round_lots_only: Char<1>,
        /// Issue classification.
        classification: Char<1>,
        /// `P` live, `T` test.
        authenticity: Char<1>,
        /// `Y`, `N` or blank: short sale threshold list.
        short_sale_threshold: Char<1>,
        /// `Y`, `N` or blank: set for an IPO release.
        ipo: Char<1>,
        /// LULD reference price tier, blank if not applicable.
        luld_tier: Char<1>,
        /// `Y`, `N` or blank: exchange traded product.
        etp: Char<1>,
        /// `Y` if the ETP is inverse.
        inverse: Char<1>,
        /// Padding.
        _pad: Char<5>,
    }
}

stream! {
    /// Stock trading action `H`. [ITCH 5.0 section 1.2.2]
    TradingAction = 0x0103, "itch.trading_action", 64 {
        [tag]
        /// `H` halted, `P` paused, `Q` quotation only, `T` trading.
        state: Char<1>,
        /// The instrument's symbol.
        symbol: Symbol,
        /// Reason.
        reason: Char<4>,
        /// Padding.
        _pad: Char<20>,
    }
}

stream! {
    /// Reg SHO short sale price test restriction `Y`. [ITCH 5.0 section 1.2.3]
    RegSho = 0x0104, "itch.reg_sho", 64 {
        [tag]
        /// `0` none, `1` in effect due to an intra-day drop, `2` remains in effect.
        action: Char<1>,
        /// The instrument's symbol.
        symbol: Symbol,
        /// Padding.
        _pad: Char<24>,
    }
}

stream! {
    /// Market participant position `L`. [ITCH 5.0 section 1.2.4]
    MarketParticipant = 0x0105, "itch.market_participant", 64 {
        [tag]
        /// `Y` if a primary market maker.
        primary: Char<1>,
        /// The instrument's symbol.
        symbol: Symbol,
        /// The participant.
        mpid: Char<4>,
        /// Market maker mode.
        mode: Char<1>,
        /// Registration state.
        state: Char<1>,
        /// Padding.
        _pad: Char<18>,
    }
}

stream! {
    /// Market-wide circuit breaker decline levels `V`. [ITCH 5.0 section 1.2.5.1]
    MwcbDecline = 0x0106, "itch.mwcb_decline", 64 {
        /// Level 1, in index points.
        level1: Price,
        /// Level 2.
        level2: Price,
        /// Level 3.
        level3: Price,
        /// Padding.
        _pad: Char<8>,
    }
}

stream! {
    /// Market-wide circuit breaker status `W`. [ITCH 5.0 section 1.2.5.2]
    MwcbStatus = 0x0107, "itch.mwcb_status", 64 {
        [tag]
        /// The level that was breached: `1`, `2` or `3`.
        level: Char<1>,
        /// Padding.
        _pad: Char<32>,
    }
}

stream! {
    /// IPO quoting period update `K`. [ITCH 5.0 section 1.2.6]
    IpoQuotation = 0x0108, "itch.ipo_quotation", 64 {
        [tag]
        /// `A` anticipated, `C` cancelled or postponed.
        qualifier: Char<1>,
        /// The instrument's symbol.
        symbol: Symbol,
        /// IPO price.
        price: Price,
        /// Release time, seconds since midnight.
        release_seconds: u32,
        /// Padding.
        _pad: Char<12>,
    }
}

stream! {
    /// LULD auction collar `J`. [ITCH 5.0 section 1.2.7]
    LuldCollar = 0x0109, "itch.luld_collar", 72 {
        /// The instrument's symbol.
        symbol: Symbol,
        /// Reference price of the collar.
        reference: Price,
        /// Upper collar price.
        upper: Price,
        /// Lower collar price.
        lower: Price,
        /// Number of extensions of the reopening auction.
        extension: u32,
        /// Padding.
        _pad: Char<4>,
    }
}

stream! {
    /// Operational halt `h`. [ITCH 5.0 section 1.2.8]
    OperationalHalt = 0x010a, "itch.operational_halt", 64 {
        [tag]
        /// `H` halted, `T` resumed.
        action: Char<1>,
        /// The instrument's symbol.
        symbol: Symbol,
        /// `Q` Nasdaq, `B` BX, `X` PSX.
        market: Char<1>,
        /// Padding.
        _pad: Char<23>,
    }
}

stream! {
    /// Add order `A`, and with attribution `F`. [ITCH 5.0 sections 1.3.1 and 1.3.2]
    AddOrder = 0x0110, "itch.add_order", 64 {
        [tag]
        /// Side of the order.
        side: Side,
        /// The day-unique reference of the order.
        order_ref: u64,
        /// Display price.
        price: Price,
        /// The instrument's symbol.
        symbol: Symbol,
        /// Shares.
        qty: Qty32,
        /// Attribution, blank in `A`.
        mpid: Char<4>,
    }
}

stream! {
    /// Order executed `E`. [ITCH 5.0 section 1.4.1]
    OrderExecuted = 0x0111, "itch.order_executed", 64 {
        /// The order.
        order_ref: u64,
        /// Day-unique match number.
        match_number: u64,
        /// Shares executed.
        qty: Qty32,
        /// Padding.
        _pad: Char<12>,
    }
}

stream! {
    /// Order executed with a price that is not the display price, `C`. [ITCH 5.0 section 1.4.2]
    OrderExecutedPrice = 0x0112, "itch.order_executed_price", 64 {
        [tag]
        /// `Y` if the execution prints to the tape, `N` if not.
        printable: Char<1>,
        /// The order.
        order_ref: u64,
        /// Day-unique match number.
        match_number: u64,
        /// Execution price.
        price: Price,
        /// Shares executed.
        qty: Qty32,
        /// Padding.
        _pad: Char<4>,
    }
}

stream! {
    /// Order partly cancelled `X`. [ITCH 5.0 section 1.4.3]
    OrderCancel = 0x0113, "itch.order_cancel", 64 {
        /// The order.
        order_ref: u64,
        /// Shares taken off the order.
        qty: Qty32,
        /// Padding.
        _pad: Char<20>,
    }
}

stream! {
    /// Order deleted `D`. [ITCH 5.0 section 1.4.4]
    OrderDelete = 0x0114, "itch.order_delete", 64 {
        /// The order.
        order_ref: u64,
        /// Padding.
        _pad: Char<24>,
    }
}

stream! {
    /// Order replaced `U`: same side, symbol and attribution, new reference, new queue position.
    /// [ITCH 5.0 section 1.4.5]
    OrderReplace = 0x0115, "itch.order_replace", 64 {
        /// The order that leaves.
        order_ref: u64,
        /// The order that takes its place.
        new_order_ref: u64,
        /// New display price.
        price: Price,
        /// New shares.
        qty: Qty32,
        /// Padding.
        _pad: Char<4>,
    }
}

stream! {
    /// Trade against a non-displayed order `P`; changes no book. [ITCH 5.0 section 1.5.1]
    Trade = 0x0116, "itch.trade", 64 {
        [tag]
        /// Side of the resting order (always `B` since 2014).
        side: Side,
        /// Day-unique match number.
        match_number: u64,
        /// Match price.
        price: Price,
        /// The instrument's symbol.
        symbol: Symbol,
        /// Shares.
        qty: Qty32,
        /// Padding.
        _pad: Char<4>,
    }
}

stream! {
    /// Cross trade `Q`. [ITCH 5.0 section 1.5.2]
    CrossTrade = 0x0117, "itch.cross_trade", 64 {
        [tag]
        /// `O` opening, `C` closing, `H` halted or IPO, `I` intraday.
        cross: Char<1>,
        /// Day-unique match number.
        match_number: u64,
        /// Cross price.
        price: Price,
        /// The instrument's symbol.
        symbol: Symbol,
        /// Shares.
        qty: Qty,
    }
}

stream! {
    /// Broken trade `B`. [ITCH 5.0 section 1.5.3]
    BrokenTrade = 0x0118, "itch.broken_trade", 64 {
        /// The match that never happened.
        match_number: u64,
        /// Padding.
        _pad: Char<24>,
    }
}

stream! {
    /// Net order imbalance indicator `I`. [ITCH 5.0 section 1.6]
    Noii = 0x0119, "itch.noii", 88 {
        [tag]
        /// `O` opening, `C` closing, `H` halted or IPO, `A` extended trading close.
        cross: Char<1>,
        /// Shares paired at the reference price.
        paired_qty: Qty,
        /// Shares not paired.
        imbalance_qty: Qty,
        /// The instrument's symbol.
        symbol: Symbol,
        /// Hypothetical clearing price of cross orders only.
        far: Price,
        /// Hypothetical clearing price of cross and continuous orders.
        near: Price,
        /// Price at which the imbalance was computed.
        reference: Price,
        /// `B` buy, `S` sell, `N` none, `O` insufficient orders, `P` paused.
        direction: Char<1>,
        /// Absolute deviation of the near price from the nearest inside, coded.
        variation: Char<1>,
        /// Padding.
        _pad: Char<6>,
    }
}

stream! {
    /// Retail price improvement indicator `N`. [ITCH 5.0 section 1.7]
    RetailInterest = 0x011a, "itch.retail_interest", 64 {
        [tag]
        /// `B`, `S`, `A` both sides, `N` none.
        interest: Char<1>,
        /// The instrument's symbol.
        symbol: Symbol,
        /// Padding.
        _pad: Char<24>,
    }
}

stream! {
    /// Direct listing with capital raise, price discovery `O`. [ITCH 5.0 section 1.8]
    DirectListing = 0x011b, "itch.direct_listing", 88 {
        [tag]
        /// `Y` if eligible to open, `N` if not.
        eligible: Char<1>,
        /// The instrument's symbol.
        symbol: Symbol,
        /// Lowest price at which it may open.
        min: Price,
        /// Highest price at which it may open.
        max: Price,
        /// Price that is nearest to execution.
        near: Price,
        /// When the near price was computed.
        near_time: Nanos,
        /// Lower auction collar.
        lower: Price,
        /// Upper auction collar.
        upper: Price,
    }
}
