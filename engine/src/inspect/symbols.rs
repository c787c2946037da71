//! What happened to each symbol.
//!
//! A feed's instrument numbers hold for one session, so figures are kept by number while it lasts
//! and by symbol across sessions.
//!
//! Invariant: at most one entry for every instrument number, and so many symbols across sessions as
//! are named below.

use std::collections::BTreeMap;

use corelane_feeds::record::Record;
use corelane_feeds::streams;
use corelane_feeds::units::{Char, Price, Qty32, Symbol};
use zerocopy::IntoBytes;

/// The most symbols that are kept across sessions.
const SYMBOLS_MAX: usize = 1 << 17;

/// What is summed over a symbol's messages.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Totals {
    pub(super) messages: u64,
    /// Orders were added to its book.
    pub(super) added: bool,
    /// Shares executed of its orders (ITCH).
    pub(super) executed: u64,
    /// Trade reports (IEX).
    pub(super) trades: u64,
    pub(super) volume: u64,
    pub(super) notional_e4: i64,
    pub(super) last_px_e4: i64,
}

impl Totals {
    fn add(&mut self, later: &Totals) {
        self.messages += later.messages;
        self.added |= later.added;
        self.executed = self.executed.saturating_add(later.executed);
        if later.trades > 0 {
            self.trades += later.trades;
            self.volume = self.volume.saturating_add(later.volume);
            self.notional_e4 = self.notional_e4.saturating_add(later.notional_e4);
            self.last_px_e4 = later.last_px_e4;
        }
    }

    /// Adds a trade report.
    pub(super) fn trade(&mut self, price: Price, qty: Qty32) {
        self.trades += 1;
        self.volume = self.volume.saturating_add(qty.0.into());
        let notional = price.to_e4().saturating_mul(qty.0.into());
        self.notional_e4 = self.notional_e4.saturating_add(notional);
        self.last_px_e4 = price.to_e4();
    }
}

/// Price and size of a quote's two sides.
pub(super) type Quote = [(Price, Qty32); 2];

/// An instrument in the present session.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Entry {
    pub(super) symbol: Symbol,
    /// Its book was touched in this session.
    pub(super) in_book: bool,
    pub(super) quote: Option<Quote>,
    pub(super) totals: Totals,
}

impl Entry {
    /// The symbol, or the number where no message named it.
    pub(super) fn name(&self, instrument: usize) -> String {
        match self.symbol.as_str() {
            "" if self.symbol == Symbol::default() => format!("#{instrument}"),
            "" => self.symbol.0.escape_ascii().to_string(),
            name => name.to_owned(),
        }
    }
}

/// Every symbol of a feed.
#[derive(Clone, Debug, Default)]
pub(super) struct Symbols {
    entries: Vec<Entry>,
    before: BTreeMap<String, Totals>,
}

impl Symbols {
    /// The entry of an instrument.
    #[inline]
    pub(super) fn entry(&mut self, instrument: u16) -> &mut Entry {
        let at = usize::from(instrument);
        if at >= self.entries.len() {
            self.entries.resize((at + 1).next_power_of_two(), Entry::default());
        }
        &mut self.entries[at]
    }

    /// The entry of an instrument, if it has one.
    pub(super) fn get(&self, instrument: u16) -> Option<&Entry> {
        self.entries.get(usize::from(instrument))
    }

    /// The entries of the present session that messages were about.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.entries.iter().enumerate().filter(|(_, entry)| entry.totals.messages > 0)
    }

    /// Counts a record for its instrument.
    #[inline]
    pub(super) fn count(&mut self, record: &Record) {
        let entry = self.entry(record.header.instrument);
        entry.totals.messages += 1;
        if entry.symbol == Symbol::default() {
            entry.symbol = symbol_of(record).unwrap_or_default();
        }
    }

    /// Numbers may mean other symbols from now on.
    pub(super) fn begin_session(&mut self) {
        self.before = self.totals();
        self.entries.clear();
    }

    /// The sums by symbol, over all sessions.
    pub(super) fn totals(&self) -> BTreeMap<String, Totals> {
        let mut totals = self.before.clone();
        for (instrument, entry) in self.iter() {
            let name = entry.name(instrument);
            if totals.len() < SYMBOLS_MAX || totals.contains_key(&name) {
                totals.entry(name).or_default().add(&entry.totals);
            }
        }
        totals
    }
}

/// The symbol that a record names, if its stream has one.
#[cold]
fn symbol_of(record: &Record) -> Option<Symbol> {
    let field = streams::by_id(record.header.stream)?.field("symbol")?;
    let bytes = record.as_bytes().get(field.offset..)?.first_chunk()?;
    Some(Char(*bytes))
}
