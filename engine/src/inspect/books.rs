//! The books of a feed, kept by the engine's own stages, and what was executed.
//!
//! Invariant: an execution counts as known if and only if the book knew its order.

use corelane_feeds::feed::Protocol;
use corelane_feeds::record::Record;
use corelane_feeds::streams::{book, iex, itch};
use corelane_feeds::units::{Price, Side};
use corelane_strategies::book::{Book, L3Books, L3Options, LevelBooks, OrderStore, UnknownRefs};
use corelane_strategies::outbox::Outbox;
use corelane_strategies::strategy::{DERIVED_MAX, Strategy};

use super::symbols::Symbols;

/// Live orders that there is room for at first: it doubles as they come.
const ORDERS_MIN: usize = 1 << 14;
/// Live orders at most: 80 bytes each.
const ORDERS_MAX: usize = 1 << 23;

/// The books of a feed by protocol.
pub(super) enum Books {
    /// Order by order, for ITCH.
    Orders(Box<OrderBooks>),
    /// By price level, for DEEP.
    Levels(Box<Levels>),
    /// Quotes alone, for TOPS.
    Quotes(Trades),
}

/// Order books, and the volume that ITCH tells of.
pub(super) struct OrderBooks {
    books: L3Books,
    outbox: Outbox,
    pub(super) executed_known: u64,
    pub(super) executed_notional_e4: i64,
    pub(super) executed_unknown: u64,
    pub(super) trade_shares: u64,
    pub(super) cross_shares: u64,
    pub(super) broken_trades: u64,
}

/// Price-level books of DEEP.
pub(super) struct Levels {
    books: LevelBooks,
    outbox: Outbox,
    pub(super) complete: u64,
    pub(super) trades: Trades,
}

/// What IEX says of trades.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Trades {
    pub(super) count: u64,
    pub(super) volume: u64,
    pub(super) notional_e4: i64,
    pub(super) breaks: u64,
}

/// A book at the end of the capture; prices at 1e-4, bid before ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FinalBook {
    pub(super) symbol: String,
    pub(super) best: [Option<(i64, u64)>; 2],
    pub(super) levels: [usize; 2],
    pub(super) total: [u64; 2],
}

impl Books {
    pub(super) fn new(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Itch50 => Self::Orders(Box::new(OrderBooks::new())),
            Protocol::IexDeep10 => Self::Levels(Box::new(Levels {
                books: LevelBooks::new(false),
                outbox: Outbox::new(0, DERIVED_MAX),
                complete: 0,
                trades: Trades::default(),
            })),
            Protocol::IexTops16 => Self::Quotes(Trades::default()),
        }
    }

    /// Takes a record.
    #[inline]
    pub(super) fn take(&mut self, record: &Record, symbols: &mut Symbols) {
        match self {
            Self::Orders(orders) => orders.take(record, symbols),
            Self::Levels(levels) => levels.take(record, symbols),
            Self::Quotes(trades) => {
                trades.take(record, symbols);
                if let Some(quote) = record.view::<iex::Quote>() {
                    symbols.entry(record.header.instrument).quote =
                        Some([(quote.bid, quote.bid_qty), (quote.ask, quote.ask_qty)]);
                }
            }
        }
    }

    /// The books that the last session touched, by symbol.
    pub(super) fn finals(&self, symbols: &Symbols) -> Vec<FinalBook> {
        let finals = |books: &mut dyn Iterator<Item = (u16, &Book)>| {
            let mut finals: Vec<FinalBook> = books
                .filter_map(|(instrument, book)| {
                    let entry = symbols.get(instrument).filter(|entry| entry.in_book)?;
                    Some(final_book(entry.name(instrument.into()), book))
                })
                .collect();
            finals.sort_by(|a, b| a.symbol.cmp(&b.symbol));
            finals
        };
        match self {
            Self::Orders(orders) => finals(&mut orders.books.books(0)),
            Self::Levels(levels) => finals(&mut levels.books.books(0)),
            Self::Quotes(_) => Vec::new(),
        }
    }
}

fn final_book(symbol: String, book: &Book) -> FinalBook {
    let sides = [Side::BUY, Side::SELL];
    FinalBook {
        symbol,
        best: sides.map(|side| book.best(side).map(|(price, qty)| (price.to_e4(), qty.0))),
        levels: sides.map(|side| book.sides[side.index()].len()),
        total: sides.map(|side| book.sides[side.index()].total().0),
    }
}

impl OrderBooks {
    fn new() -> Self {
        let options = L3Options { orders_max: ORDERS_MIN, publish_orders: true, publish_bbo: true };
        Self {
            books: L3Books::new(options),
            outbox: Outbox::new(0, DERIVED_MAX),
            executed_known: 0,
            executed_notional_e4: 0,
            executed_unknown: 0,
            trade_shares: 0,
            cross_shares: 0,
            broken_trades: 0,
        }
    }

    /// Live orders, and the shares that are left of them.
    pub(super) fn live(&self) -> (u64, u64) {
        let orders = self.books.orders(0).into_iter().flat_map(OrderStore::iter);
        orders.fold((0, 0), |(count, shares), order| (count + 1, shares + u64::from(order.qty)))
    }

    /// Messages about orders that were not known.
    pub(super) fn unknown_refs(&self) -> &UnknownRefs {
        self.books.unknown_refs()
    }

    /// What else the books counted.
    pub(super) fn counters(&self) -> Vec<(&'static str, u64)> {
        let mut counters = Vec::new();
        self.books.counters(&mut |name, count| counters.push((name, count)));
        counters
    }

    #[inline]
    fn take(&mut self, record: &Record, symbols: &mut Symbols) {
        match record.header.stream {
            itch::AddOrder::STREAM => {
                let entry = symbols.entry(record.header.instrument);
                (entry.in_book, entry.totals.added) = (true, true);
                self.make_room();
                self.keep(record);
            }
            itch::OrderReplace::STREAM => {
                self.make_room();
                self.keep(record);
            }
            itch::OrderCancel::STREAM | itch::OrderDelete::STREAM => self.keep(record),
            itch::OrderExecuted::STREAM | itch::OrderExecutedPrice::STREAM => {
                self.keep(record);
                self.executed(record, symbols);
            }
            _ => self.rare(record),
        }
    }

    #[inline]
    fn keep(&mut self, record: &Record) {
        self.outbox.clear();
        self.books.on_record(record, &mut self.outbox);
    }

    #[inline]
    fn make_room(&mut self) {
        if self.books.orders(0).is_some_and(|orders| orders.len() < ORDERS_MAX) {
            self.books.grow_if_full(0);
        }
    }

    fn rare(&mut self, record: &Record) {
        let add = |sum: &mut u64, shares: u64| *sum = sum.saturating_add(shares);
        if let Some(trade) = record.view::<itch::Trade>() {
            add(&mut self.trade_shares, trade.qty.0.into());
        } else if let Some(cross) = record.view::<itch::CrossTrade>() {
            add(&mut self.cross_shares, cross.qty.0);
        } else if record.header.stream == itch::BrokenTrade::STREAM {
            self.broken_trades += 1;
        } else if self.books.streams().contains(&record.header.stream) {
            self.keep(record);
        }
    }

    /// Counts an execution: the book derived an order's event from it if it knew the order.
    fn executed(&mut self, record: &Record, symbols: &mut Symbols) {
        let mut derived = (0..self.outbox.derived_len()).filter_map(|i| self.outbox.derived(i));
        if let Some(order) = derived.find_map(|record| record.view::<book::Order>()) {
            let shares = u64::from(order.qty.0);
            let entry = symbols.entry(order.header.instrument);
            entry.totals.executed = entry.totals.executed.saturating_add(shares);
            self.executed_known = self.executed_known.saturating_add(shares);
            let notional = notional_e4(order.price, shares);
            self.executed_notional_e4 = self.executed_notional_e4.saturating_add(notional);
            return;
        }
        let executed = record.view::<itch::OrderExecuted>().map(|executed| executed.qty);
        let priced = record.view::<itch::OrderExecutedPrice>().map(|executed| executed.qty);
        let shares = executed.or(priced).map_or(0, |qty| u64::from(qty.0));
        self.executed_unknown = self.executed_unknown.saturating_add(shares);
    }
}

fn notional_e4(price: Price, shares: u64) -> i64 {
    price.to_e4().saturating_mul(i64::try_from(shares).unwrap_or(i64::MAX))
}

impl Levels {
    /// Books found locked or crossed when an event was complete.
    pub(super) fn crossed(&self) -> u64 {
        self.books.crossed()
    }

    #[inline]
    fn take(&mut self, record: &Record, symbols: &mut Symbols) {
        if let Some(level) = record.view::<iex::PriceLevel>() {
            self.complete += u64::from(level.complete);
            symbols.entry(record.header.instrument).in_book = true;
        }
        if self.books.streams().contains(&record.header.stream) {
            self.outbox.clear();
            self.books.on_record(record, &mut self.outbox);
        }
        self.trades.take(record, symbols);
    }
}

impl Trades {
    fn take(&mut self, record: &Record, symbols: &mut Symbols) {
        if let Some(trade) = record.view::<iex::Trade>() {
            symbols.entry(record.header.instrument).totals.trade(trade.price, trade.qty);
            self.count += 1;
            self.volume = self.volume.saturating_add(trade.qty.0.into());
            let notional = notional_e4(trade.price, trade.qty.0.into());
            self.notional_e4 = self.notional_e4.saturating_add(notional);
        } else if record.header.stream == iex::TradeBreak::STREAM {
            self.breaks += 1;
        }
    }
}
