//! Action streams, and the id that names an action by its cause.
//!
//! ```text
//! 32        36     38        40 ...
//! | session | rule | ordinal | the stream's own fields ...
//! ```
//!
//! Every action begins so; [`crate::outbox::Outbox::act`] fills these three. The header is the
//! stamp of the record that caused it.
//!
//! Invariant: an action's id is the same on every replay and for any number of shards.
//!
//! ```
//! use corelane_strategies::action::ActionId;
//! let id: ActionId = "0-1a2b3c4d-123456-2-0".parse().unwrap();
//! assert_eq!((id.session, id.seq.0, id.rule), (0x1a2b_3c4d, 123_456, 2));
//! assert_eq!(id.to_string(), "0-1a2b3c4d-123456-2-0");
//! ```

use std::fmt;
use std::str::FromStr;

use corelane_feeds::record::{Record, StreamId, View};
use corelane_feeds::schema::Schema;
use corelane_feeds::stream;
use corelane_feeds::units::{Char, Nanos, Price, Qty, Qty32, Seq, Side, Symbol};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The high byte of every action stream's number.
pub const FAMILY: u16 = 0x7f00;

stream! {
    /// An order to send to a market.
    Order = 0x7f01, "action.order", 64 {
        [tag]
        /// Buy or sell.
        side: Side,
        /// Key of the feed's session that the cause belongs to.
        session: u32,
        /// Number of the strategy in the configuration.
        rule: u16,
        /// Position among the actions of the same cause and strategy.
        ordinal: u16,
        /// What to trade.
        symbol: Symbol,
        /// Limit price.
        price: Price,
        /// Quantity.
        qty: Qty32,
        /// Padding.
        _pad: Char<4>,
    }
}

stream! {
    /// Something that a person or a system should look at.
    Alert = 0x7f02, "action.alert", 112 {
        [tag]
        /// The side concerned.
        side: Side,
        /// Key of the feed's session that the cause belongs to.
        session: u32,
        /// Number of the strategy in the configuration.
        rule: u16,
        /// Position among the actions of the same cause and strategy.
        ordinal: u16,
        /// What is concerned.
        symbol: Symbol,
        /// What kind of alert.
        kind: Char<16>,
        /// An order concerned, 0 if none.
        order_ref: u64,
        /// A price concerned, 0 if none.
        price: Price,
        /// A quantity concerned.
        qty: Qty,
        /// How many events make up the case.
        count: u64,
        /// When the case began.
        ts_first: Nanos,
        /// How far beyond the threshold, in thousandths of it.
        score_milli: u64,
    }
}

/// Every action stream's schema.
pub const ALL: &[&Schema] = &[<Order as View>::SCHEMA, <Alert as View>::SCHEMA];

/// The schema of an action stream's number.
#[must_use]
pub fn by_id(stream: StreamId) -> Option<&'static Schema> {
    ALL.iter().find(|schema| schema.stream == stream).copied()
}

/// The three fields that every action begins with, behind its header.
#[derive(Copy, Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Cause {
    /// Key of the feed's session.
    pub session: u32,
    /// Number of the strategy in the configuration.
    pub rule: u16,
    /// Position among the actions of the same cause and strategy.
    pub ordinal: u16,
}

/// Where [`Cause`] stands in an action.
pub(crate) const CAUSE_OFFSET: usize = 32;

/// Names an action by its cause.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ActionId {
    /// Number of the feed in the configuration.
    pub feed: u8,
    /// Key of the feed's session.
    pub session: u32,
    /// Sequence of the record.
    pub seq: Seq,
    /// Number of the strategy in the configuration.
    pub rule: u16,
    /// Position among the actions of the same record and strategy.
    pub ordinal: u16,
}

impl ActionId {
    /// The id of an action record; `None` if the record is no action.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        if !is_action(record) {
            return None;
        }
        let (cause, _) = Cause::ref_from_prefix(&record.as_bytes()[CAUSE_OFFSET..]).ok()?;
        let Cause { session, rule, ordinal } = *cause;
        Some(Self { feed: record.header.feed, session, seq: record.header.seq, rule, ordinal })
    }
}

/// Whether a record is an action.
#[inline]
#[must_use]
pub fn is_action(record: &Record) -> bool {
    record.header.stream.0 & 0xff00 == FAMILY && record.header.bytes() >= CAUSE_OFFSET + 8
}

/// `feed-session-seq-rule-ordinal`, the session in hexadecimal.
impl fmt::Display for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { feed, session, seq, rule, ordinal } = self;
        write!(f, "{feed}-{session:08x}-{}-{rule}-{ordinal}", seq.0)
    }
}

/// The text is no action id.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an action id is feed-session-seq-rule-ordinal, as 0-1a2b3c4d-123456-2-0")]
pub struct BadActionId;

impl FromStr for ActionId {
    type Err = BadActionId;

    fn from_str(text: &str) -> Result<Self, BadActionId> {
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or(BadActionId);
        let id = Self {
            feed: next()?.parse().map_err(|_| BadActionId)?,
            session: u32::from_str_radix(next()?, 16).map_err(|_| BadActionId)?,
            seq: Seq(next()?.parse().map_err(|_| BadActionId)?),
            rule: next()?.parse().map_err(|_| BadActionId)?,
            ordinal: next()?.parse().map_err(|_| BadActionId)?,
        };
        if parts.next().is_some() { Err(BadActionId) } else { Ok(id) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_begins_with_its_cause() {
        for schema in ALL {
            assert_eq!(schema.stream.0 & 0xff00, FAMILY);
            for (name, offset) in [("session", 32), ("rule", 36), ("ordinal", 38)] {
                assert_eq!(schema.field(name).unwrap().offset, offset, "{}", schema.name);
            }
        }
    }

    #[test]
    fn bad_ids_are_refused() {
        for text in ["", "0", "0-1-2-3", "0-1-2-3-4-5", "x-1-2-3-4", "0-zz-2-3-4", "256-1-2-3-4"] {
            assert_eq!(text.parse::<ActionId>(), Err(BadActionId), "{text}");
        }
    }
}
