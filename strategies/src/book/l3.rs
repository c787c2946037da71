//! Order-by-order books of ITCH feeds.
//!
//! Invariant: for every instrument and side, a level's quantity and number of orders are the sums
//! over the live orders at its price.

use corelane_feeds::record::{Header, Record, Stamp, StreamId};
use corelane_feeds::streams::book::Order as OrderEvent;
use corelane_feeds::streams::{itch, sys};
use corelane_feeds::units::{Char, Nanos, Price, Qty, Qty32, Side, Symbol};

use super::kept::of_book;
use super::{Book, Order, OrderStore, restore_book, save_book};
use crate::kept::Kept;
use crate::memory::Memory;
use crate::outbox::Outbox;
use crate::rules::RuleSet;
use crate::state::{StateReader, put_words};
use crate::strategy::{StateError, Strategy};

/// Changes when the saved state does.
const STATE_VERSION: u64 = 0x4c33_0000_0000_0002;

/// How L3 books are kept.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct L3Options {
    /// Live orders that a feed has room for.
    pub orders_max: usize,
    /// Publish `book.order` records; off saves their copies where no stage wants them.
    pub publish_orders: bool,
    /// Publish `book.bbo` records.
    pub publish_bbo: bool,
}

impl Default for L3Options {
    /// A million live orders, everything published.
    fn default() -> Self {
        Self { orders_max: 1 << 20, publish_orders: true, publish_bbo: true }
    }
}

/// Messages about orders that are not known, by message type.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct UnknownRefs {
    /// `E`.
    pub executed: u64,
    /// `C`.
    pub executed_price: u64,
    /// `X`.
    pub cancelled: u64,
    /// `D`.
    pub deleted: u64,
    /// `U`.
    pub replaced: u64,
}

#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
struct Counters {
    unknown: UnknownRefs,
    crossed: u64,
    over_executed: u64,
    over_cancelled: u64,
    refused: u64,
    bad_sides: u64,
}

impl Counters {
    const fn words(&self) -> [u64; 10] {
        let Self { unknown, crossed, over_executed, over_cancelled, refused, bad_sides } = *self;
        let UnknownRefs { executed, executed_price, cancelled, deleted, replaced } = unknown;
        [
            executed,
            executed_price,
            cancelled,
            deleted,
            replaced,
            crossed,
            over_executed,
            over_cancelled,
            refused,
            bad_sides,
        ]
    }

    const fn of_words(words: [u64; 10]) -> Self {
        let [executed, executed_price, cancelled, deleted, replaced, ..] = words;
        let [.., crossed, over_executed, over_cancelled, refused, bad_sides] = words;
        let unknown = UnknownRefs { executed, executed_price, cancelled, deleted, replaced };
        Self { unknown, crossed, over_executed, over_cancelled, refused, bad_sides }
    }
}

/// One feed's orders and books.
struct FeedBooks {
    orders: OrderStore,
    books: Vec<Option<Box<Book>>>,
}

/// The L3 books of every ITCH feed of a shard.
pub struct L3Books {
    options: L3Options,
    feeds: Vec<Option<Box<FeedBooks>>>,
    counters: Counters,
}

const STREAMS: &[StreamId] = &[
    sys::Session::STREAM,
    itch::StockDirectory::STREAM,
    itch::AddOrder::STREAM,
    itch::OrderExecuted::STREAM,
    itch::OrderExecutedPrice::STREAM,
    itch::OrderCancel::STREAM,
    itch::OrderDelete::STREAM,
    itch::OrderReplace::STREAM,
];

/// What happened to an order.
struct Event {
    kind: u8,
    qty: u32,
    left: u32,
    /// The order's price, or the execution's own.
    price: Price,
    /// Best price of the order's side before it.
    touch: Price,
}

/// How an order leaves the book, in part or whole.
#[derive(Copy, Clone)]
struct Leave {
    /// `D` and `U` take all of it, whatever `qty` is.
    kind: u8,
    qty: u32,
    /// The execution's own price, if it has one.
    price: Option<Price>,
}

impl L3Books {
    /// Empty books.
    #[must_use]
    pub fn new(options: L3Options) -> Self {
        Self { options, feeds: Vec::new(), counters: Counters::default() }
    }

    /// The books of a feed with their instrument numbers.
    pub fn books(&self, feed: u8) -> impl Iterator<Item = (u16, &Book)> {
        let books = self.feed(feed).map_or(&[][..], |feed| &feed.books);
        let numbered = books.iter().enumerate();
        numbered.filter_map(|(i, book)| Some((i as u16, book.as_deref()?)))
    }

    /// The live orders of a feed.
    #[must_use]
    pub fn orders(&self, feed: u8) -> Option<&OrderStore> {
        self.feed(feed).map(|feed| &feed.orders)
    }

    /// Doubles the room for a feed's live orders if there is none left. For tools that read
    /// captures of any size; a hot shard takes its memory at start-up and refuses what does not
    /// fit.
    pub fn grow_if_full(&mut self, feed: u8) {
        let feed = self.feeds.get_mut(usize::from(feed)).and_then(Option::as_mut);
        if let Some(feed) = feed.filter(|feed| feed.orders.is_full()) {
            feed.orders = feed.orders.doubled();
        }
    }

    /// Quantity in front of a live order at its price, now: the orders there that were added before
    /// it. Looks at every live order: for reports, not for every record.
    #[must_use]
    pub fn queue_ahead(&self, feed: u8, order_ref: u64) -> Option<Qty> {
        let orders = &self.feed(feed)?.orders;
        let own = orders.iter().find(|order| order.order_ref == order_ref)?;
        let before = orders.iter().filter(|order| {
            (order.instrument, order.side, order.price) == (own.instrument, own.side, own.price)
                && (order.ts_added, order.order_ref) < (own.ts_added, own.order_ref)
        });
        Some(Qty(before.map(|order| u64::from(order.qty)).sum()))
    }

    /// Messages about orders that were not known.
    #[must_use]
    pub fn unknown_refs(&self) -> &UnknownRefs {
        &self.counters.unknown
    }

    fn feed(&self, feed: u8) -> Option<&FeedBooks> {
        self.feeds.get(usize::from(feed))?.as_deref()
    }

    /// A new session: empty books, room for orders and instruments taken.
    #[cold]
    fn begin(&mut self, feed: u8) {
        let feed = usize::from(feed);
        if self.feeds.len() <= feed {
            self.feeds.resize_with(feed + 1, || None);
        }
        let orders_max = self.options.orders_max;
        match &mut self.feeds[feed] {
            Some(feed) => {
                feed.orders.clear();
                feed.books.iter_mut().flatten().for_each(|book| book.clear());
            }
            empty => {
                let books = vec![const { None }; usize::from(u16::MAX) + 1];
                let orders = OrderStore::new(orders_max);
                *empty = Some(Box::new(FeedBooks { orders, books }));
            }
        }
    }

    /// Adds an order. `symbol` is blank if the message does not name it.
    #[inline]
    fn add(&mut self, header: &Header, mut order: Order, symbol: Symbol, outbox: &mut Outbox) {
        if order.side != Side::BUY && order.side != Side::SELL {
            self.counters.bad_sides += 1;
            return;
        }
        let Some(feed) = self.feeds.get_mut(usize::from(header.feed)).and_then(Option::as_mut)
        else {
            self.counters.refused += 1;
            return;
        };
        let place = &mut feed.books[usize::from(order.instrument)];
        let book = place.get_or_insert_with(|| Box::new(Book::new(symbol)));
        if book.symbol != symbol && symbol != Symbol::default() {
            book.symbol = symbol;
        }
        let Some(at) = feed.orders.insert_at(order) else {
            self.counters.refused += 1;
            return;
        };
        let ladder = &mut book.sides[order.side.index()];
        let (touch, _) = ladder.quote();
        order.ahead = Qty32::from(ladder.add(order.price, Qty(u64::from(order.qty)))).0;
        feed.orders.at(at).ahead = order.ahead;
        if self.options.publish_orders {
            let (qty, price) = (order.qty, order.price);
            let event = Event { kind: b'A', qty, left: qty, price, touch };
            publish_order(header, &order, book.symbol, &event, outbox);
        }
        self.options.finish(book, header, &mut self.counters, outbox);
    }

    /// Takes quantity off an order. False if the order is not known.
    fn leave(
        &mut self,
        header: &Header,
        order_ref: u64,
        leave: Leave,
        outbox: &mut Outbox,
    ) -> bool {
        let Some(feed) = self.feeds.get_mut(usize::from(header.feed)).and_then(Option::as_mut)
        else {
            return false;
        };
        let Some(at) = feed.orders.locate(order_ref) else { return false };
        let place = feed.orders.at(at);
        let order = *place;
        let is_whole = leave.kind == b'D' || leave.kind == b'U';
        let taken = if is_whole { order.qty } else { leave.qty.min(order.qty) };
        if !is_whole && leave.qty > order.qty {
            self.counters.take_too_much(leave.kind);
        }
        let left = order.qty - taken;
        if left == 0 {
            feed.orders.remove_at(at);
        } else {
            place.qty = left;
        }
        let Some(book) = feed.books[usize::from(order.instrument)].as_mut() else { return false };
        let ladder = &mut book.sides[order.side.index()];
        let (touch, _) = ladder.quote();
        ladder.take(order.price, Qty(u64::from(taken)), u32::from(left == 0));
        if self.options.publish_orders {
            let Leave { kind, price, .. } = leave;
            let price = price.unwrap_or(order.price);
            let event = Event { kind, qty: taken, left, price, touch };
            publish_order(header, &order, book.symbol, &event, outbox);
        }
        // A replaced order's successor follows at once: only then is the book to be looked at.
        if leave.kind != b'U' {
            self.options.finish(book, header, &mut self.counters, outbox);
        }
        true
    }

    fn replace(&mut self, record: &itch::OrderReplace, outbox: &mut Outbox) {
        let header = &record.header;
        let feed = self.feed(header.feed);
        let Some(old) = feed.and_then(|feed| feed.orders.get(record.order_ref).copied()) else {
            self.counters.unknown.replaced += 1;
            return;
        };
        let leave = Leave { kind: b'U', qty: 0, price: None };
        self.leave(header, record.order_ref, leave, outbox);
        let order = Order {
            order_ref: record.new_order_ref,
            price: record.price,
            ts_added: header.ts_event,
            qty: record.qty.0,
            ahead: 0,
            ..old
        };
        self.add(header, order, Symbol::default(), outbox);
    }
}

impl L3Options {
    /// Publishes what changed of a book, and checks it.
    #[inline]
    fn finish(
        &self,
        book: &mut Book,
        header: &Header,
        counters: &mut Counters,
        outbox: &mut Outbox,
    ) {
        if self.publish_bbo && book.publish_bbo(header, outbox) && book.is_crossed() {
            counters.crossed += 1;
        }
    }
}

impl Counters {
    #[cold]
    fn take_too_much(&mut self, kind: u8) {
        let counter = if kind == b'E' { &mut self.over_executed } else { &mut self.over_cancelled };
        *counter += 1;
    }
}

#[inline]
fn publish_order(
    header: &Header,
    order: &Order,
    symbol: Symbol,
    event: &Event,
    outbox: &mut Outbox,
) {
    // The instrument is the order's: a message that names another one is the venue's mistake.
    let stamp = Stamp { instrument: order.instrument, ..header.stamp() };
    let record = outbox.derive::<OrderEvent>(stamp, event.kind);
    record.order_ref = order.order_ref;
    record.price = event.price;
    record.symbol = symbol;
    record.qty = Qty32(event.qty);
    record.left = Qty32(event.left);
    record.ts_added = order.ts_added;
    record.ahead = Qty(u64::from(order.ahead));
    record.mpid = order.mpid;
    record.side = order.side;
    record.touch = event.touch;
}

impl Strategy for L3Books {
    fn name(&self) -> &str {
        "book.l3"
    }

    fn streams(&self) -> &[StreamId] {
        STREAMS
    }

    fn actions_max(&self) -> usize {
        0
    }

    #[inline]
    fn on_record(&mut self, record: &Record, outbox: &mut Outbox) {
        let header = &record.header;
        if let Some(add) = record.view::<itch::AddOrder>() {
            let order = Order {
                order_ref: add.order_ref,
                price: add.price,
                ts_added: header.ts_event,
                qty: add.qty.0,
                ahead: 0,
                mpid: add.mpid,
                instrument: header.instrument,
                side: add.side(),
            };
            self.add(header, order, add.symbol, outbox);
        } else if let Some(delete) = record.view::<itch::OrderDelete>() {
            let leave = Leave { kind: b'D', qty: 0, price: None };
            let known = self.leave(header, delete.order_ref, leave, outbox);
            self.counters.unknown.deleted += u64::from(!known);
        } else if let Some(replace) = record.view::<itch::OrderReplace>() {
            self.replace(replace, outbox);
        } else if let Some(executed) = record.view::<itch::OrderExecuted>() {
            let leave = Leave { kind: b'E', qty: executed.qty.0, price: None };
            let known = self.leave(header, executed.order_ref, leave, outbox);
            self.counters.unknown.executed += u64::from(!known);
        } else if let Some(cancel) = record.view::<itch::OrderCancel>() {
            let leave = Leave { kind: b'X', qty: cancel.qty.0, price: None };
            let known = self.leave(header, cancel.order_ref, leave, outbox);
            self.counters.unknown.cancelled += u64::from(!known);
        } else if let Some(executed) = record.view::<itch::OrderExecutedPrice>() {
            let leave = Leave { kind: b'E', qty: executed.qty.0, price: Some(executed.price) };
            let known = self.leave(header, executed.order_ref, leave, outbox);
            self.counters.unknown.executed_price += u64::from(!known);
        } else if let Some(directory) = record.view::<itch::StockDirectory>() {
            let feed = self.feeds.get_mut(usize::from(header.feed)).and_then(Option::as_mut);
            if let Some(feed) = feed {
                let place = &mut feed.books[usize::from(header.instrument)];
                let symbol = directory.symbol;
                place.get_or_insert_with(|| Box::new(Book::new(symbol))).symbol = symbol;
            }
        } else {
            self.begin(header.feed);
        }
    }

    fn reserve(&mut self, feed: u8, memory: Memory) {
        if self.feed(feed).is_none() {
            self.begin(feed);
        }
        if let Some(feed) = self.feed(feed) {
            feed.orders.reserve(memory);
            memory.reserve(&feed.books);
        }
    }

    fn looks_ahead(&self) -> bool {
        true
    }

    fn prefetch(&self, record: &Record, memory: Memory) {
        let Some(feed) = self.feed(record.header.feed) else { return };
        // Messages about orders begin with their reference; what others begin with does no harm.
        let [order_ref, new_order_ref, ..] = record.fields[..] else { return };
        feed.orders.prefetch(order_ref, memory);
        if record.header.stream == itch::OrderReplace::STREAM {
            feed.orders.prefetch(new_order_ref, memory);
        }
        if let Some(book) = &feed.books[usize::from(record.header.instrument)] {
            memory.load_all(&**book);
        }
    }

    fn save(&self, out: &mut Vec<u8>) {
        put_words(out, [STATE_VERSION]);
        put_words(out, self.counters.words());
        out.extend_from_slice(&(self.feeds.len() as u64).to_le_bytes());
        for feed in &self.feeds {
            out.push(u8::from(feed.is_some()));
            let Some(feed) = feed else { continue };
            let mut orders: Vec<&Order> = feed.orders.iter().collect();
            orders.sort_by_key(|order| order.order_ref);
            out.extend_from_slice(&(orders.len() as u64).to_le_bytes());
            orders.iter().for_each(|order| save_order(order, out));
            let books = feed.books.iter().enumerate();
            let known: Vec<_> = books.filter_map(|(i, b)| Some((i as u16, b.as_ref()?))).collect();
            out.extend_from_slice(&(known.len() as u64).to_le_bytes());
            for (instrument, book) in known {
                out.extend_from_slice(&instrument.to_le_bytes());
                save_book(book, out);
            }
        }
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut state = StateReader::new(bytes);
        let mut restored = Self::new(self.options);
        if state.u64()? != STATE_VERSION {
            return Err(StateError::Version);
        }
        restored.counters = Counters::of_words(state.words()?);
        let feeds = state.u64()?;
        for feed in 0..feeds.min(256) {
            if state.u8()? == 0 {
                restored.feeds.push(None);
                continue;
            }
            restored.begin(feed as u8);
            restored.restore_feed(feed as usize, &mut state)?;
        }
        state.finish()?;
        *self = restored;
        Ok(())
    }

    fn tell(&self, _rules: &RuleSet, each: &mut dyn FnMut(Kept)) {
        for (feed, _) in self.feeds.iter().enumerate() {
            for (instrument, book) in self.books(feed as u8) {
                each(of_book(self.name(), feed as u8, instrument, book));
            }
        }
    }

    fn counters(&self, report: &mut dyn FnMut(&'static str, u64)) {
        let Counters { unknown, crossed, over_executed, over_cancelled, refused, bad_sides } =
            self.counters;
        let orders = self.feeds.iter().flatten().map(|feed| feed.orders.len() as u64).sum();
        report("orders_live", orders);
        report("unknown_executed", unknown.executed + unknown.executed_price);
        report("unknown_cancelled", unknown.cancelled);
        report("unknown_deleted", unknown.deleted);
        report("unknown_replaced", unknown.replaced);
        report("crossed", crossed);
        report("over_executed", over_executed);
        report("over_cancelled", over_cancelled);
        report("orders_refused", refused);
        report("bad_sides", bad_sides);
    }
}

fn save_order(order: &Order, out: &mut Vec<u8>) {
    out.extend_from_slice(&order.order_ref.to_le_bytes());
    out.extend_from_slice(&order.price.0.to_le_bytes());
    out.extend_from_slice(&order.ts_added.0.to_le_bytes());
    out.extend_from_slice(&order.qty.to_le_bytes());
    out.extend_from_slice(&order.ahead.to_le_bytes());
    out.extend_from_slice(&order.mpid.0);
    out.extend_from_slice(&order.instrument.to_le_bytes());
    out.push(order.side.0);
}

impl L3Books {
    fn restore_feed(&mut self, feed: usize, state: &mut StateReader<'_>) -> Result<(), StateError> {
        let Some(feed) = self.feeds.get_mut(feed).and_then(Option::as_mut) else {
            return Err(StateError::Version);
        };
        for _ in 0..state.u64()? {
            let order = Order {
                order_ref: state.u64()?,
                price: Price(state.u64()?.cast_signed()),
                ts_added: Nanos(state.u64()?),
                qty: state.u32()?,
                ahead: state.u32()?,
                mpid: Char(state.array()?),
                instrument: state.u16()?,
                side: Side(state.u8()?),
            };
            if !feed.orders.insert(order) {
                return Err(state.damaged());
            }
        }
        for _ in 0..state.u64()? {
            let instrument = state.u16()?;
            let book = restore_book(state)?;
            feed.books[usize::from(instrument)] = Some(Box::new(book));
        }
        Ok(())
    }
}
