//! Order books, the first stages of a chain: they turn a feed's messages into `book.bbo` and
//! `book.order` records for the strategies behind them.
//!
//! Invariant: a book holds what the feed said and nothing else: a message about an order that is
//! not known is counted, never guessed at; what cannot be (an execution larger than its order, a
//! crossed book) is counted as well. A new session of a feed starts with empty books.

mod kept;
mod l3;
mod ladder;
mod levels;
mod orders;

pub use l3::{L3Books, L3Options, UnknownRefs};
pub use ladder::{Ladder, Level};
pub use levels::LevelBooks;
pub use orders::{Order, OrderStore};

use corelane_feeds::record::Header;
use corelane_feeds::streams::book::Bbo;
use corelane_feeds::units::{Char, Price, Qty, Qty32, Side, Symbol};

use crate::outbox::Outbox;
use crate::state::StateReader;
use crate::strategy::StateError;

/// Both sides of one instrument: seven cache lines in a row.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct Book {
    /// The instrument's symbol; blank until a message named it.
    pub symbol: Symbol,
    /// What was published last: (price, quantity) of bid and ask.
    last: [(Price, Qty32); 2],
    /// Bids, then asks.
    pub sides: [Ladder; 2],
}

const _: () = assert!(size_of::<Book>() == 7 * 64);

impl Book {
    fn new(symbol: Symbol) -> Self {
        let sides = [Ladder::new(Side::BUY), Ladder::new(Side::SELL)];
        Self { symbol, sides, last: [(Price(0), Qty32(0)); 2] }
    }

    /// The best price and its quantity; `None` for a side without levels.
    #[must_use]
    pub fn best(&self, side: Side) -> Option<(Price, Qty)> {
        self.sides[side.index()].best().map(|level| (level.price, level.qty))
    }

    /// Whether the best bid is at or above the best ask.
    #[must_use]
    pub fn is_crossed(&self) -> bool {
        match (self.best(Side::BUY), self.best(Side::SELL)) {
            (Some((bid, _)), Some((ask, _))) => bid >= ask,
            _ => false,
        }
    }

    fn clear(&mut self) {
        self.sides.iter_mut().for_each(Ladder::clear);
        self.last = [(Price(0), Qty32(0)); 2];
    }

    /// Publishes a `book.bbo` if the best of either side is not what it was. True if so.
    #[inline]
    fn publish_bbo(&mut self, header: &Header, outbox: &mut Outbox) -> bool {
        let now = [self.sides[0].quote(), self.sides[1].quote()];
        if now == self.last {
            return false;
        }
        self.last = now;
        let bbo = outbox.derive::<Bbo>(header.stamp(), 0);
        [(bbo.bid, bbo.bid_qty), (bbo.ask, bbo.ask_qty)] = now;
        bbo.symbol = self.symbol;
        true
    }
}

/// Appends a book to a saved state.
fn save_book(book: &Book, out: &mut Vec<u8>) {
    out.extend_from_slice(&book.symbol.0);
    for (price, qty) in book.last {
        out.extend_from_slice(&price.0.to_le_bytes());
        out.extend_from_slice(&qty.0.to_le_bytes());
    }
    for ladder in &book.sides {
        out.extend_from_slice(&(ladder.len() as u64).to_le_bytes());
        for level in ladder.levels() {
            out.extend_from_slice(&level.price.0.to_le_bytes());
            out.extend_from_slice(&level.qty.0.to_le_bytes());
            out.extend_from_slice(&level.orders.to_le_bytes());
        }
    }
}

/// The book that [`save_book`] wrote.
fn restore_book(state: &mut StateReader<'_>) -> Result<Book, StateError> {
    let mut book = Book::new(Char(state.array()?));
    for last in &mut book.last {
        *last = (Price(state.u64()?.cast_signed()), Qty32(state.u32()?));
    }
    for side in &mut book.sides {
        for _ in 0..state.u64()? {
            let price = Price(state.u64()?.cast_signed());
            let level = Level { price, qty: Qty(state.u64()?), orders: state.u64()? };
            if !side.restore(level) {
                return Err(state.damaged());
            }
        }
    }
    Ok(book)
}

#[cfg(test)]
mod tests;
