//! Writes ITCH 5.0 messages [Nasdaq TotalView-ITCH 5.0 specification] and counts what was written.
//!
//! Invariant: times never go backwards, and the counts are those of the bytes handed to the sink.

use corelane_feeds::itch50::wire;
use zerocopy::{Immutable, IntoBytes};

use super::market::{BID, Instrument};

/// The participants that attributed orders name.
const PARTICIPANTS: [[u8; 4]; 6] = [*b"ALFA", *b"BRVO", *b"CHAR", *b"DLTA", *b"ECHO", *b"FOXT"];

/// Takes messages in order.
pub trait MessageSink {
    /// One message and its time, nanoseconds since midnight. Errors are kept for later: see the
    /// sink's own `finish`.
    fn message(&mut self, ns: u64, bytes: &[u8]);
}

/// Appends `u16` big-endian length and message: the venue's file format.
impl MessageSink for Vec<u8> {
    fn message(&mut self, _ns: u64, bytes: &[u8]) {
        self.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
        self.extend_from_slice(bytes);
    }
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Counts {
    /// Messages.
    pub messages: u64,
    /// Messages by type, at the type's own byte.
    pub by_type: [u64; 256],
    /// Shares of displayed orders executed by `E` and `C`.
    pub executed_shares: u64,
    /// The same times the price, at 1e-4.
    pub executed_notional_e4: u64,
    /// Shares of `P` trades.
    pub noncross_trade_shares: u64,
    /// Shares of `Q` crosses.
    pub cross_shares: u64,
    /// Time of the first message, nanoseconds since midnight.
    pub first_ns: u64,
    /// Time of the last message.
    pub last_ns: u64,
}

/// Encodes messages at the current time.
pub(crate) struct Emitter<S> {
    sink: S,
    now_ns: u64,
    pub(crate) counts: Counts,
}

impl<S: MessageSink> Emitter<S> {
    pub(crate) fn new(sink: S, start_ns: u64) -> Self {
        let counts = Counts {
            messages: 0,
            by_type: [0; 256],
            executed_shares: 0,
            executed_notional_e4: 0,
            noncross_trade_shares: 0,
            cross_shares: 0,
            first_ns: start_ns,
            last_ns: start_ns,
        };
        Self { sink, now_ns: start_ns, counts }
    }

    /// The sink and the counts.
    pub(crate) fn into_parts(self) -> (S, Counts) {
        (self.sink, self.counts)
    }

    /// The time of the next message, nanoseconds since midnight.
    #[inline]
    pub(crate) fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Moves the time forward; a time in the past leaves it.
    #[inline]
    pub(crate) fn set_now(&mut self, ns: u64) {
        self.now_ns = self.now_ns.max(ns);
    }

    #[inline]
    fn head(&self, kind: u8, locate: u16) -> wire::Head {
        wire::Head::new(kind, locate, self.now_ns)
    }

    #[inline]
    fn send<M: IntoBytes + Immutable>(&mut self, message: &M) {
        let bytes = message.as_bytes();
        self.counts.messages += 1;
        self.counts.by_type[usize::from(bytes[0])] += 1;
        self.counts.last_ns = self.now_ns;
        self.sink.message(self.now_ns, bytes);
    }

    pub(crate) fn system_event(&mut self, event: u8) {
        self.send(&wire::SystemEvent { head: self.head(b'S', 0), event });
    }

    pub(crate) fn directory(&mut self, i: &Instrument) {
        self.send(&wire::StockDirectory {
            head: self.head(b'R', i.locate),
            stock: i.symbol,
            market: b"QGSNPZ"[usize::from(i.locate % 6)],
            financial_status: b'N',
            round_lot: 100.into(),
            round_lots_only: b'N',
            classification: b'C',
            sub_type: *b"Z ",
            authenticity: b'P',
            short_sale_threshold: b'N',
            ipo: b'N',
            luld_tier: b'1',
            etp: b'N',
            etp_leverage: 0.into(),
            inverse: b'N',
        });
    }

    pub(crate) fn trading_action(&mut self, i: &Instrument, state: u8, reason: [u8; 4]) {
        let head = self.head(b'H', i.locate);
        self.send(&wire::TradingAction { head, stock: i.symbol, state, reserved: b' ', reason });
    }

    pub(crate) fn reg_sho(&mut self, i: &Instrument) {
        let head = self.head(b'Y', i.locate);
        self.send(&wire::RegSho { head, stock: i.symbol, action: b'0' });
    }

    pub(crate) fn participant(&mut self, i: &Instrument, which: usize) {
        self.send(&wire::MarketParticipant {
            head: self.head(b'L', i.locate),
            mpid: PARTICIPANTS[which % PARTICIPANTS.len()],
            stock: i.symbol,
            primary: b'Y',
            mode: b'N',
            state: b'A',
        });
    }

    /// Market-wide circuit breaker levels, at 1e-8.
    pub(crate) fn breaker_levels(&mut self, levels: [u64; 3]) {
        let [level1, level2, level3] = levels.map(Into::into);
        self.send(&wire::MwcbDecline { head: self.head(b'V', 0), level1, level2, level3 });
    }

    /// A new listing's quotation release.
    pub(crate) fn ipo_quotation(&mut self, i: &Instrument, seconds: u32) {
        self.send(&wire::IpoQuotation {
            head: self.head(b'K', i.locate),
            stock: i.symbol,
            release_seconds: seconds.into(),
            qualifier: b'A',
            price: i.middle().into(),
        });
    }

    /// The price collar of an auction after a volatility pause.
    pub(crate) fn auction_collar(&mut self, i: &Instrument) {
        let middle = i.middle();
        self.send(&wire::LuldCollar {
            head: self.head(b'J', i.locate),
            stock: i.symbol,
            reference: middle.into(),
            upper: (middle + middle / 20).into(),
            lower: (middle - middle / 20).into(),
            extension: 0.into(),
        });
    }

    pub(crate) fn operational_halt(&mut self, i: &Instrument, action: u8) {
        let head = self.head(b'h', i.locate);
        self.send(&wire::OperationalHalt { head, stock: i.symbol, market: b'Q', action });
    }

    /// A direct listing's price discovery range.
    pub(crate) fn direct_listing(&mut self, i: &Instrument) {
        let middle = i.middle();
        self.send(&wire::DirectListing {
            head: self.head(b'O', i.locate),
            stock: i.symbol,
            eligible: b'Y',
            min: (middle / 2).into(),
            max: (middle * 2).into(),
            near: middle.into(),
            near_time: self.now_ns.into(),
            lower: (middle - middle / 10).into(),
            upper: (middle + middle / 10).into(),
        });
    }

    #[inline]
    pub(crate) fn add(
        &mut self,
        i: &Instrument,
        reference: u64,
        side: usize,
        qty: u32,
        price: u32,
        attributed: bool,
    ) {
        let (order_ref, shares) = (reference.into(), qty.into());
        let (stock, price) = (i.symbol, price.into());
        let side = if side == BID { b'B' } else { b'S' };
        if attributed {
            let mpid = PARTICIPANTS[reference as usize % PARTICIPANTS.len()];
            let head = self.head(b'F', i.locate);
            self.send(&wire::AddOrderMpid { head, order_ref, side, shares, stock, price, mpid });
        } else {
            let head = self.head(b'A', i.locate);
            self.send(&wire::AddOrder { head, order_ref, side, shares, stock, price });
        }
    }

    /// `price` is the order's: the message itself does not carry it.
    #[inline]
    pub(crate) fn execute(
        &mut self,
        i: &Instrument,
        reference: u64,
        qty: u32,
        id: u64,
        price: u32,
    ) {
        self.count_execution(qty, price);
        self.send(&wire::OrderExecuted {
            head: self.head(b'E', i.locate),
            order_ref: reference.into(),
            shares: qty.into(),
            match_number: id.into(),
        });
    }

    pub(crate) fn execute_price(
        &mut self,
        i: &Instrument,
        reference: u64,
        qty: u32,
        id: u64,
        price: u32,
    ) {
        self.count_execution(qty, price);
        self.send(&wire::OrderExecutedPrice {
            head: self.head(b'C', i.locate),
            order_ref: reference.into(),
            shares: qty.into(),
            match_number: id.into(),
            printable: b'Y',
            price: price.into(),
        });
    }

    fn count_execution(&mut self, qty: u32, price: u32) {
        self.counts.executed_shares += u64::from(qty);
        self.counts.executed_notional_e4 += u64::from(qty) * u64::from(price);
    }

    #[inline]
    pub(crate) fn cancel(&mut self, i: &Instrument, reference: u64, qty: u32) {
        let head = self.head(b'X', i.locate);
        self.send(&wire::OrderCancel { head, order_ref: reference.into(), shares: qty.into() });
    }

    #[inline]
    pub(crate) fn delete(&mut self, i: &Instrument, reference: u64) {
        let head = self.head(b'D', i.locate);
        self.send(&wire::OrderDelete { head, order_ref: reference.into() });
    }

    #[inline]
    pub(crate) fn replace(&mut self, i: &Instrument, old: u64, new: u64, qty: u32, price: u32) {
        self.send(&wire::OrderReplace {
            head: self.head(b'U', i.locate),
            order_ref: old.into(),
            new_order_ref: new.into(),
            shares: qty.into(),
            price: price.into(),
        });
    }

    pub(crate) fn trade(&mut self, i: &Instrument, qty: u32, price: u32, id: u64) {
        self.counts.noncross_trade_shares += u64::from(qty);
        self.send(&wire::Trade {
            head: self.head(b'P', i.locate),
            order_ref: 0.into(),
            side: b'B',
            shares: qty.into(),
            stock: i.symbol,
            price: price.into(),
            match_number: id.into(),
        });
    }

    pub(crate) fn cross(&mut self, i: &Instrument, qty: u64, price: u32, id: u64, kind: u8) {
        self.counts.cross_shares += qty;
        self.send(&wire::CrossTrade {
            head: self.head(b'Q', i.locate),
            shares: qty.into(),
            stock: i.symbol,
            price: price.into(),
            match_number: id.into(),
            cross: kind,
        });
    }

    pub(crate) fn broken_trade(&mut self, i: &Instrument, id: u64) {
        let head = self.head(b'B', i.locate);
        self.send(&wire::BrokenTrade { head, match_number: id.into() });
    }

    pub(crate) fn imbalance(
        &mut self,
        i: &Instrument,
        paired: u64,
        missing: u64,
        direction: u8,
        price: u32,
        kind: u8,
    ) {
        self.send(&wire::Noii {
            head: self.head(b'I', i.locate),
            paired: paired.into(),
            imbalance: missing.into(),
            direction,
            stock: i.symbol,
            far: price.into(),
            near: price.into(),
            reference: price.into(),
            cross: kind,
            variation: b'L',
        });
    }

    pub(crate) fn retail_interest(&mut self, i: &Instrument, interest: u8) {
        let head = self.head(b'N', i.locate);
        self.send(&wire::RetailInterest { head, stock: i.symbol, interest });
    }
}
