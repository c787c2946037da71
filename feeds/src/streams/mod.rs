//! The built-in streams, by family. The high byte of a stream number is its family:
//! `00` sys, `01` itch, `02` iex, `03` book, `7f` actions (in the strategies crate), `80` what
//! users declare (see [`crate::declared`]).
//!
//! Invariant: a stream's number, name, size and offsets never change once released; a new meaning
//! gets a new number.
//!
//! ```
//! assert!(corelane_feeds::streams::by_name("itch.add_order").is_some());
//! ```

use crate::record::{StreamId, View};
use crate::schema::Schema;
use crate::units::{Char, Side};

pub mod book;
pub mod iex;
pub mod itch;
pub mod sys;

/// A header's tag byte on its way into the type that its stream gives it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Tag(pub u8);

impl From<Tag> for u8 {
    fn from(tag: Tag) -> Self {
        tag.0
    }
}

impl From<Tag> for Side {
    fn from(tag: Tag) -> Self {
        Side(tag.0)
    }
}

impl From<Tag> for Char<1> {
    fn from(tag: Tag) -> Self {
        Char([tag.0])
    }
}

macro_rules! all {
    ($($module:ident :: $view:ident),* $(,)?) => {
        /// Every built-in stream's schema.
        pub const ALL: &[&Schema] = &[$(<$module::$view as View>::SCHEMA),*];
    };
}
all! {
    sys::Session, sys::Gap, sys::Tick, sys::EndOfSession, sys::RuleChange,
    itch::SystemEvent, itch::StockDirectory, itch::TradingAction, itch::RegSho,
    itch::MarketParticipant, itch::MwcbDecline, itch::MwcbStatus, itch::IpoQuotation,
    itch::LuldCollar, itch::OperationalHalt, itch::AddOrder, itch::OrderExecuted,
    itch::OrderExecutedPrice, itch::OrderCancel, itch::OrderDelete, itch::OrderReplace,
    itch::Trade, itch::CrossTrade, itch::BrokenTrade, itch::Noii, itch::RetailInterest,
    itch::DirectListing,
    iex::SystemEvent, iex::SecurityDirectory, iex::TradingStatus, iex::RetailLiquidity,
    iex::OperationalHalt, iex::ShortSaleTest, iex::SecurityEvent, iex::PriceLevel, iex::Trade,
    iex::TradeBreak, iex::OfficialPrice, iex::Quote, iex::Auction,
    book::Order, book::Bbo,
}

/// The schema of a stream number.
#[must_use]
pub fn by_id(stream: StreamId) -> Option<&'static Schema> {
    ALL.iter().find(|schema| schema.stream == stream).copied()
}

/// The schema of a stream name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Schema> {
    ALL.iter().find(|schema| schema.name == name).copied()
}
