//! Books, told to people.
//!
//! Invariant: nothing here runs while a run decides.

use super::Book;
use crate::kept::Kept;

/// Levels of a side that are told.
const LEVELS_SHOWN: usize = 5;

/// A book of an instrument.
pub(super) fn of_book(owner: &str, feed: u8, instrument: u16, book: &Book) -> Kept {
    let kept = Kept::new("book", owner).of_instrument(feed, instrument);
    let mut kept = kept.of_key(book.symbol.as_str());
    for (name, side) in ["bid", "ask"].into_iter().zip(&book.sides) {
        kept = match side.best() {
            Some(best) => kept.value(name, format!("{} x {}", best.price, best.qty.0)),
            None => kept.value(name, "none"),
        };
        kept = kept.value(format!("{name} levels"), side.len());
        // Levels come from the worst to the best.
        let beyond = side.len().saturating_sub(LEVELS_SHOWN);
        let mut best: Vec<_> = side.levels().skip(beyond).collect();
        best.reverse();
        for level in best {
            let orders = match level.orders {
                0 => String::new(),
                orders => format!(" in {orders} orders"),
            };
            let level = format!("{name} {} x {}{orders}", level.price, level.qty.0);
            kept = kept.row(level, &[]);
        }
    }
    kept
}
