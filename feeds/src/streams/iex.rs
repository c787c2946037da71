//! IEX DEEP 1.0 and TOPS 1.6 streams, one per message type.
//!
//! IEX names instruments by symbol alone; `instrument` in the header is the feed's own dense number
//! for it, given in order of first appearance. `ts_event` is the message's timestamp.
//!
//! Invariant: messages that build books take exactly one 64-byte slot.

use crate::stream;
use crate::units::{Char, Price, Qty32, Side, Symbol};

stream! {
    /// System event `S`. [DEEP 1.0, System Event Message]
    SystemEvent = 0x0201, "iex.system_event", 64 {
        [tag]
        /// `O S R M E C`.
        event: Char<1>,
        /// Padding.
        _pad: Char<32>,
    }
}

stream! {
    /// Security directory `D`. [DEEP 1.0, Security Directory Message]
    SecurityDirectory = 0x0202, "iex.security_directory", 64 {
        [tag]
        /// Bits: 7 test, 6 when issued, 5 ETP.
        security_flags: u8,
        /// The instrument's symbol.
        symbol: Symbol,
        /// Adjusted previous official close.
        previous_close: Price,
        /// Shares in a round lot.
        round_lot: u32,
        /// LULD tier: 0 not applicable, 1, 2.
        luld_tier: u8,
        /// Padding.
        _pad: Char<11>,
    }
}

stream! {
    /// Trading status `H`. [DEEP 1.0, Trading Status Message]
    TradingStatus = 0x0203, "iex.trading_status", 64 {
        [tag]
        /// `H` halted, `O` order acceptance, `P` paused, `T` trading.
        status: Char<1>,
        /// The instrument's symbol.
        symbol: Symbol,
        /// Reason.
        reason: Char<4>,
        /// Padding.
        _pad: Char<20>,
    }
}

stream! {
    /// Retail liquidity indicator `I`. [DEEP 1.0, Retail Liquidity Indicator Message]
    RetailLiquidity = 0x0204, "iex.retail_liquidity", 64 {
        [tag]
        /// `A` buy, `B` sell, `C` both, blank none.
        indicator: Char<1>,
        /// The instrument's symbol.
        symbol: Symbol,
        /// Padding.
        _pad: Char<24>,
    }
}

stream! {
    /// Operational halt `O`. [DEEP 1.0, Operational Halt Status Message]
    OperationalHalt = 0x0205, "iex.operational_halt", 64 {
        [tag]
        /// `O` halted on IEX, `N` not halted.
        status: Char<1>,
        /// The instrument's symbol.
        symbol: Symbol,
        /// Padding.
        _pad: Char<24>,
    }
}

stream! {
    /// Short sale price test `P`. [DEEP 1.0, Short Sale Price Test Status Message]
    ShortSaleTest = 0x0206, "iex.short_sale_test", 64 {
        [tag]
        /// 0 not in effect, 1 in effect.
        status: u8,
        /// The instrument's symbol.
        symbol: Symbol,
        /// Detail.
        detail: Char<1>,
        /// Padding.
        _pad: Char<23>,
    }
}

stream! {
    /// Security event `E`: opening and closing processes. [DEEP 1.0, Security Event Message]
    SecurityEvent = 0x0207, "iex.security_event", 64 {
        [tag]
        /// `O` opening process complete, `C` closing process complete.
        event: Char<1>,
        /// The instrument's symbol.
        symbol: Symbol,
        /// Padding.
        _pad: Char<24>,
    }
}

stream! {
    /// Price level update `8` (buy) and `5` (sell): the level's new aggregate size; 0 removes it.
    /// A book is to be looked at only when `complete` is 1. [DEEP 1.0, Price Level Update Message]
    PriceLevel = 0x0210, "iex.price_level", 64 {
        [tag]
        /// Side of the level.
        side: Side,
        /// The level's price.
        price: Price,
        /// The instrument's symbol.
        symbol: Symbol,
        /// Aggregate size of the level.
        qty: Qty32,
        /// 1 if the event is complete with this update.
        complete: u8,
        /// Padding.
        _pad: Char<11>,
    }
}

stream! {
    /// Trade report `T`. [DEEP 1.0 and TOPS 1.6, Trade Report Message]
    Trade = 0x0211, "iex.trade", 64 {
        [tag]
        /// Sale condition flags.
        sale_flags: u8,
        /// IEX's id of the trade.
        trade_id: u64,
        /// Price.
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
    /// Trade break `B`. [DEEP 1.0 and TOPS 1.6, Trade Break Message]
    TradeBreak = 0x0212, "iex.trade_break", 64 {
        [tag]
        /// Sale condition flags.
        sale_flags: u8,
        /// The trade that never happened.
        trade_id: u64,
        /// Its price.
        price: Price,
        /// The instrument's symbol.
        symbol: Symbol,
        /// Its shares.
        qty: Qty32,
        /// Padding.
        _pad: Char<4>,
    }
}

stream! {
    /// Official price `X`. [DEEP 1.0, Official Price Message]
    OfficialPrice = 0x0213, "iex.official_price", 64 {
        [tag]
        /// `Q` opening, `M` closing.
        kind: Char<1>,
        /// The instrument's symbol.
        symbol: Symbol,
        /// The price.
        price: Price,
        /// Padding.
        _pad: Char<16>,
    }
}

stream! {
    /// Quote update `Q`: best bid and ask on IEX. [TOPS 1.6, Quote Update Message]
    Quote = 0x0214, "iex.quote", 64 {
        [tag]
        /// Bits: 7 not available for trading, 6 pre- or post-market.
        quote_flags: u8,
        /// Best bid, 0 if none.
        bid: Price,
        /// Best ask, 0 if none.
        ask: Price,
        /// The instrument's symbol.
        symbol: Symbol,
        /// Size at the bid.
        bid_qty: Qty32,
        /// Size at the ask.
        ask_qty: Qty32,
    }
}

stream! {
    /// Auction information `A`. [DEEP 1.0, Auction Information Message]
    Auction = 0x0215, "iex.auction", 104 {
        [tag]
        /// `O` opening, `C` closing, `I` IPO, `H` halt, `V` volatility.
        kind: Char<1>,
        /// The instrument's symbol.
        symbol: Symbol,
        /// Reference price.
        reference: Price,
        /// Indicative clearing price.
        indicative: Price,
        /// Clearing price of auction orders alone.
        book_clearing: Price,
        /// Collar's reference price.
        collar_reference: Price,
        /// Lower collar.
        lower: Price,
        /// Upper collar.
        upper: Price,
        /// Shares paired.
        paired_qty: Qty32,
        /// Shares not paired.
        imbalance_qty: Qty32,
        /// Scheduled time, seconds since the epoch.
        scheduled_seconds: u32,
        /// `B` buy, `S` sell, `N` none.
        imbalance_side: Char<1>,
        /// Extensions so far.
        extensions: u8,
        /// Padding.
        _pad: Char<2>,
    }
}
