//! IEX DEEP 1.0 and TOPS 1.6: messages to `iex.*` records. The two share all but the message that
//! carries the book: price levels in DEEP, quotes in TOPS.
//!
//! Invariant: as for ITCH, a message gives exactly one record or is counted and gives none. A new
//! message type, or a longer message of a known one, is skipped or read by its known part, as the
//! specifications demand of readers.

mod instruments;
pub mod wire;

use zerocopy::{FromBytes, IntoBytes};

use crate::itch50::MessageCounters;
use crate::record::{Record, RecordSink, Stamp, View};
use crate::streams::{self, iex};
use crate::units::{Char, Nanos, Price, Qty32, Side};
use instruments::Instruments;

/// Event flag of a price level update: the event is complete.
const EVENT_COMPLETE: u8 = 1;

/// Decodes DEEP or TOPS messages.
#[derive(Clone, Debug)]
pub struct Iex {
    tops: bool,
    instruments: Instruments,
    counters: MessageCounters,
}

macro_rules! emit {
    ($self:ident, $wire:ident => $view:ident, $bytes:expr, $stamp:expr, $sink:expr,
     |$m:ident, $r:ident| $tag:expr, $fill:block) => {{
        let Ok(($m, _)) = wire::$wire::ref_from_prefix($bytes) else { return };
        let stamp = Stamp {
            instrument: $self.instruments.number(u64::from_le_bytes($m.symbol)),
            ts_event: Nanos($m.head.timestamp.get()),
            ..$stamp
        };
        let mut $r = iex::$view::new(stamp, $tag);
        $r.symbol = Char($m.symbol);
        $fill
        $sink.record($r.as_record());
    }};
}

fn price(raw: zerocopy::byteorder::little_endian::I64) -> Price {
    Price::from_e4(raw.get())
}

/// The symbol that a record names, as a word; none if its stream has none.
#[must_use]
pub fn symbol_of(record: &Record) -> Option<u64> {
    let field = streams::by_id(record.header.stream)?.field("symbol")?;
    let bytes = record.as_bytes().get(field.offset..)?;
    Some(u64::from_le_bytes(*bytes.first_chunk::<8>()?))
}

impl Iex {
    /// A decoder of DEEP 1.0 (`tops` false) or TOPS 1.6. Takes 2 MiB for the symbols.
    #[must_use]
    pub fn new(tops: bool) -> Self {
        Self { tops, instruments: Instruments::new(), counters: MessageCounters::default() }
    }

    /// What was not decoded as it is specified.
    #[must_use]
    pub fn counters(&self) -> &MessageCounters {
        &self.counters
    }

    /// Symbols that found no number any more: their records have instrument 0.
    #[must_use]
    pub fn instruments_refused(&self) -> u64 {
        self.instruments.refused()
    }

    /// Another decoder gave a symbol this number, which it keeps: see [`symbol_of`].
    pub fn recall(&mut self, symbol: u64, number: u16) {
        self.instruments.recall(symbol, number);
    }

    /// Decodes one message. `stamp` brings feed, flags, sequence and receive time.
    #[inline]
    pub fn message(&mut self, bytes: &[u8], stamp: Stamp, sink: &mut impl RecordSink) {
        let Some(&kind) = bytes.first() else {
            self.counters.short_messages += 1;
            return;
        };
        let Some(known) = wire::length_of(kind, self.tops) else {
            self.counters.unknown_types += 1;
            return;
        };
        if bytes.len() != known {
            if bytes.len() < known {
                self.counters.short_messages += 1;
                return;
            }
            self.counters.long_messages += 1;
        }
        self.decode(kind, bytes, stamp, sink);
    }

    #[inline]
    fn decode(&mut self, kind: u8, bytes: &[u8], stamp: Stamp, sink: &mut impl RecordSink) {
        match kind {
            b'8' | b'5' => {
                let side = if kind == b'8' { Side::BUY } else { Side::SELL };
                emit!(self, PriceLevel => PriceLevel, bytes, stamp, sink, |m, r| side.0, {
                    r.price = price(m.price);
                    r.qty = Qty32(m.size.get());
                    r.complete = m.head.code & EVENT_COMPLETE;
                });
            }
            b'Q' => emit!(self, Quote => Quote, bytes, stamp, sink, |m, r| m.head.code, {
                r.bid = price(m.bid);
                r.ask = price(m.ask);
                r.bid_qty = Qty32(m.bid_size.get());
                r.ask_qty = Qty32(m.ask_size.get());
            }),
            b'T' => emit!(self, Trade => Trade, bytes, stamp, sink, |m, r| m.head.code, {
                r.trade_id = m.trade_id.get();
                r.price = price(m.price);
                r.qty = Qty32(m.size.get());
            }),
            _ => self.rare(kind, bytes, stamp, sink),
        }
    }

    #[cold]
    #[inline(never)]
    fn rare(&mut self, kind: u8, bytes: &[u8], stamp: Stamp, sink: &mut impl RecordSink) {
        match kind {
            b'S' => {
                let Ok((m, _)) = wire::SystemEvent::ref_from_prefix(bytes) else { return };
                let ts_event = Nanos(m.head.timestamp.get());
                let stamp = Stamp { instrument: 0, ts_event, ..stamp };
                sink.record(iex::SystemEvent::new(stamp, m.head.code).as_record());
            }
            b'D' => emit!(self, SecurityDirectory => SecurityDirectory, bytes, stamp, sink,
                |m, r| m.head.code, {
                r.previous_close = price(m.previous_close);
                r.round_lot = m.round_lot.get();
                r.luld_tier = m.luld_tier;
            }),
            b'H' => emit!(self, TradingStatus => TradingStatus, bytes, stamp, sink,
                |m, r| m.head.code, { r.reason = Char(m.reason); }),
            b'I' => emit!(self, Status => RetailLiquidity, bytes, stamp, sink,
                |m, r| m.head.code, {}),
            b'O' => emit!(self, Status => OperationalHalt, bytes, stamp, sink,
                |m, r| m.head.code, {}),
            b'E' => emit!(self, Status => SecurityEvent, bytes, stamp, sink,
                |m, r| m.head.code, {}),
            b'P' => emit!(self, ShortSaleTest => ShortSaleTest, bytes, stamp, sink,
                |m, r| m.head.code, { r.detail = Char([m.detail]); }),
            b'B' => emit!(self, Trade => TradeBreak, bytes, stamp, sink, |m, r| m.head.code, {
                r.trade_id = m.trade_id.get();
                r.price = price(m.price);
                r.qty = Qty32(m.size.get());
            }),
            b'X' => emit!(self, OfficialPrice => OfficialPrice, bytes, stamp, sink,
                |m, r| m.head.code, { r.price = price(m.price); }),
            b'A' => emit!(self, Auction => Auction, bytes, stamp, sink, |m, r| m.head.code, {
                r.reference = price(m.reference);
                r.indicative = price(m.indicative);
                r.book_clearing = price(m.book_clearing);
                r.collar_reference = price(m.collar_reference);
                r.lower = price(m.lower);
                r.upper = price(m.upper);
                r.paired_qty = Qty32(m.paired.get());
                r.imbalance_qty = Qty32(m.imbalance.get());
                r.scheduled_seconds = m.scheduled.get();
                r.imbalance_side = Char([m.imbalance_side]);
                r.extensions = m.extensions;
            }),
            _ => debug_assert!(false, "a known type without a decoder: {kind}"),
        }
    }
}
