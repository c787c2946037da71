//! Price-level books of IEX DEEP feeds.
//!
//! DEEP sends the new size of a level; a book is to be looked at only when an event is complete,
//! and only then is its best published. [IEX DEEP specification 1.0, Price Level Update Message]
//!
//! Invariant: a level's quantity is what the feed said last; a size of 0 removes the level.

use corelane_feeds::record::{Record, StreamId};
use corelane_feeds::streams::{iex, sys};
use corelane_feeds::units::Side;

use super::kept::of_book;
use super::{Book, restore_book, save_book};
use crate::kept::Kept;
use crate::outbox::Outbox;
use crate::rules::RuleSet;
use crate::state::{StateReader, put_words};
use crate::strategy::{StateError, Strategy};

/// Changes when the saved state does.
const STATE_VERSION: u64 = 0x4c56_0000_0000_0002;

/// The price-level books of every DEEP feed of a shard.
pub struct LevelBooks {
    feeds: Vec<Vec<Option<Box<Book>>>>,
    publish_bbo: bool,
    crossed: u64,
    bad_sides: u64,
}

const STREAMS: &[StreamId] = &[sys::Session::STREAM, iex::PriceLevel::STREAM];

impl LevelBooks {
    /// Empty books; `publish_bbo` off saves the copies where no stage wants them.
    #[must_use]
    pub fn new(publish_bbo: bool) -> Self {
        Self { feeds: Vec::new(), publish_bbo, crossed: 0, bad_sides: 0 }
    }

    /// The books of a feed with their instrument numbers.
    pub fn books(&self, feed: u8) -> impl Iterator<Item = (u16, &Book)> {
        let books = self.feeds.get(usize::from(feed)).map_or(&[][..], Vec::as_slice);
        let numbered = books.iter().enumerate();
        numbered.filter_map(|(i, book)| Some((i as u16, book.as_deref()?)))
    }

    /// Books found locked or crossed when an event was complete.
    #[must_use]
    pub fn crossed(&self) -> u64 {
        self.crossed
    }

    #[cold]
    fn begin(&mut self, feed: u8) {
        let feed = usize::from(feed);
        if self.feeds.len() <= feed {
            self.feeds.resize_with(feed + 1, Vec::new);
        }
        let books = &mut self.feeds[feed];
        books.resize_with(usize::from(u16::MAX) + 1, || None);
        books.iter_mut().flatten().for_each(|book| book.clear());
    }

    #[inline]
    fn update(&mut self, update: &iex::PriceLevel, outbox: &mut Outbox) {
        let header = &update.header;
        let side = update.side();
        let books = self.feeds.get_mut(usize::from(header.feed));
        let place = books.and_then(|books| books.get_mut(usize::from(header.instrument)));
        let (Some(place), true) = (place, side == Side::BUY || side == Side::SELL) else {
            self.bad_sides += 1;
            return;
        };
        let book = place.get_or_insert_with(|| Box::new(Book::new(update.symbol)));
        book.sides[side.index()].set(update.price, update.qty.into());
        if update.complete == 0 {
            return;
        }
        self.crossed += u64::from(book.is_crossed());
        if self.publish_bbo {
            book.publish_bbo(header, outbox);
        }
    }
}

impl Strategy for LevelBooks {
    fn name(&self) -> &str {
        "book.levels"
    }

    fn streams(&self) -> &[StreamId] {
        STREAMS
    }

    fn actions_max(&self) -> usize {
        0
    }

    #[inline]
    fn on_record(&mut self, record: &Record, outbox: &mut Outbox) {
        match record.view::<iex::PriceLevel>() {
            Some(update) => self.update(update, outbox),
            None => self.begin(record.header.feed),
        }
    }

    fn save(&self, out: &mut Vec<u8>) {
        put_words(out, [STATE_VERSION, self.crossed, self.bad_sides]);
        out.extend_from_slice(&(self.feeds.len() as u64).to_le_bytes());
        for books in &self.feeds {
            let books = books.iter().enumerate();
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
        let mut restored = Self::new(self.publish_bbo);
        if state.u64()? != STATE_VERSION {
            return Err(StateError::Version);
        }
        [restored.crossed, restored.bad_sides] = state.words()?;
        for feed in 0..state.u64()?.min(256) {
            restored.begin(feed as u8);
            for _ in 0..state.u64()? {
                let instrument = state.u16()?;
                let book = restore_book(&mut state)?;
                restored.feeds[feed as usize][usize::from(instrument)] = Some(Box::new(book));
            }
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
        report("crossed", self.crossed);
        report("bad_sides", self.bad_sides);
    }
}
