//! One function per message type: wire struct to record.
//!
//! Invariant: called with at least as many bytes as the type has; prices become 1e-9.

use zerocopy::FromBytes;

use super::wire;
use crate::record::{RecordSink, Stamp, View};
use crate::streams::itch;
use crate::units::{Char, Nanos, Price, Qty, Qty32};

/// MWCB levels are at 1e-8; all other prices at 1e-4.
const E8_TO_E9: i64 = 10;

#[inline]
fn price(raw: zerocopy::byteorder::big_endian::U32) -> Price {
    Price::from_e4(i64::from(raw.get()))
}

fn price_e8(raw: zerocopy::byteorder::big_endian::U64) -> Price {
    Price(i64::try_from(raw.get()).unwrap_or(i64::MAX).saturating_mul(E8_TO_E9))
}

/// Reads the wire struct, makes the record with the message's own stamp, fills it, hands it on.
macro_rules! emit {
    ($wire:ident => $view:ident, $bytes:expr, $midnight:expr, $stamp:expr, $sink:expr,
     |$m:ident, $r:ident| $tag:expr, $fill:block) => {{
        let Ok(($m, _)) = wire::$wire::ref_from_prefix($bytes) else { return };
        let stamp = Stamp {
            instrument: $m.head.locate.get(),
            ts_event: Nanos($midnight.0.wrapping_add($m.head.ns_since_midnight())),
            ..$stamp
        };
        let mut $r = itch::$view::new(stamp, $tag);
        $fill
        $sink.record($r.as_record());
    }};
}

#[inline]
pub(super) fn decode(
    kind: u8,
    bytes: &[u8],
    midnight: Nanos,
    stamp: Stamp,
    sink: &mut impl RecordSink,
) {
    match kind {
        b'A' => emit!(AddOrder => AddOrder, bytes, midnight, stamp, sink, |m, r| m.side, {
            r.order_ref = m.order_ref.get();
            r.price = price(m.price);
            r.symbol = Char(m.stock);
            r.qty = Qty32(m.shares.get());
            r.mpid = Char([b' '; 4]);
        }),
        b'D' => emit!(OrderDelete => OrderDelete, bytes, midnight, stamp, sink, |m, r| 0, {
            r.order_ref = m.order_ref.get();
        }),
        b'U' => emit!(OrderReplace => OrderReplace, bytes, midnight, stamp, sink, |m, r| 0, {
            r.order_ref = m.order_ref.get();
            r.new_order_ref = m.new_order_ref.get();
            r.price = price(m.price);
            r.qty = Qty32(m.shares.get());
        }),
        b'E' => emit!(OrderExecuted => OrderExecuted, bytes, midnight, stamp, sink, |m, r| 0, {
            r.order_ref = m.order_ref.get();
            r.match_number = m.match_number.get();
            r.qty = Qty32(m.shares.get());
        }),
        b'X' => emit!(OrderCancel => OrderCancel, bytes, midnight, stamp, sink, |m, r| 0, {
            r.order_ref = m.order_ref.get();
            r.qty = Qty32(m.shares.get());
        }),
        b'F' => emit!(AddOrderMpid => AddOrder, bytes, midnight, stamp, sink, |m, r| m.side, {
            r.order_ref = m.order_ref.get();
            r.price = price(m.price);
            r.symbol = Char(m.stock);
            r.qty = Qty32(m.shares.get());
            r.mpid = Char(m.mpid);
        }),
        b'C' => emit!(OrderExecutedPrice => OrderExecutedPrice, bytes, midnight, stamp, sink,
            |m, r| m.printable, {
            r.order_ref = m.order_ref.get();
            r.match_number = m.match_number.get();
            r.price = price(m.price);
            r.qty = Qty32(m.shares.get());
        }),
        b'P' => emit!(Trade => Trade, bytes, midnight, stamp, sink, |m, r| m.side, {
            r.match_number = m.match_number.get();
            r.price = price(m.price);
            r.symbol = Char(m.stock);
            r.qty = Qty32(m.shares.get());
        }),
        _ => rare(kind, bytes, midnight, stamp, sink),
    }
}

/// Messages that are few: kept out of the hot function.
#[cold]
#[inline(never)]
fn rare(kind: u8, bytes: &[u8], midnight: Nanos, stamp: Stamp, sink: &mut impl RecordSink) {
    match kind {
        b'S' => emit!(SystemEvent => SystemEvent, bytes, midnight, stamp, sink, |m, r| m.event, {
            r._pad = Char([0; 32]);
        }),
        b'R' => directory(bytes, midnight, stamp, sink),
        b'H' => emit!(TradingAction => TradingAction, bytes, midnight, stamp, sink,
            |m, r| m.state, {
            r.symbol = Char(m.stock);
            r.reason = Char(m.reason);
        }),
        b'Y' => emit!(RegSho => RegSho, bytes, midnight, stamp, sink, |m, r| m.action, {
            r.symbol = Char(m.stock);
        }),
        b'L' => emit!(MarketParticipant => MarketParticipant, bytes, midnight, stamp, sink,
            |m, r| m.primary, {
            r.symbol = Char(m.stock);
            r.mpid = Char(m.mpid);
            r.mode = Char([m.mode]);
            r.state = Char([m.state]);
        }),
        b'Q' => emit!(CrossTrade => CrossTrade, bytes, midnight, stamp, sink, |m, r| m.cross, {
            r.match_number = m.match_number.get();
            r.price = price(m.price);
            r.symbol = Char(m.stock);
            r.qty = Qty(m.shares.get());
        }),
        b'B' => emit!(BrokenTrade => BrokenTrade, bytes, midnight, stamp, sink, |m, r| 0, {
            r.match_number = m.match_number.get();
        }),
        b'I' => emit!(Noii => Noii, bytes, midnight, stamp, sink, |m, r| m.cross, {
            r.paired_qty = Qty(m.paired.get());
            r.imbalance_qty = Qty(m.imbalance.get());
            r.symbol = Char(m.stock);
            r.far = price(m.far);
            r.near = price(m.near);
            r.reference = price(m.reference);
            r.direction = Char([m.direction]);
            r.variation = Char([m.variation]);
        }),
        b'N' => emit!(RetailInterest => RetailInterest, bytes, midnight, stamp, sink,
            |m, r| m.interest, { r.symbol = Char(m.stock); }),
        _ => rarer(kind, bytes, midnight, stamp, sink),
    }
}

/// Messages that a session has a handful of.
fn rarer(kind: u8, bytes: &[u8], midnight: Nanos, stamp: Stamp, sink: &mut impl RecordSink) {
    match kind {
        b'V' => emit!(MwcbDecline => MwcbDecline, bytes, midnight, stamp, sink, |m, r| 0, {
            r.level1 = price_e8(m.level1);
            r.level2 = price_e8(m.level2);
            r.level3 = price_e8(m.level3);
        }),
        b'W' => emit!(MwcbStatus => MwcbStatus, bytes, midnight, stamp, sink, |m, r| m.level, {
            r._pad = Char([0; 32]);
        }),
        b'K' => emit!(IpoQuotation => IpoQuotation, bytes, midnight, stamp, sink,
            |m, r| m.qualifier, {
            r.symbol = Char(m.stock);
            r.price = price(m.price);
            r.release_seconds = m.release_seconds.get();
        }),
        b'J' => emit!(LuldCollar => LuldCollar, bytes, midnight, stamp, sink, |m, r| 0, {
            r.symbol = Char(m.stock);
            r.reference = price(m.reference);
            r.upper = price(m.upper);
            r.lower = price(m.lower);
            r.extension = m.extension.get();
        }),
        b'h' => emit!(OperationalHalt => OperationalHalt, bytes, midnight, stamp, sink,
            |m, r| m.action, {
            r.symbol = Char(m.stock);
            r.market = Char([m.market]);
        }),
        b'O' => emit!(DirectListing => DirectListing, bytes, midnight, stamp, sink,
            |m, r| m.eligible, {
            r.symbol = Char(m.stock);
            r.min = price(m.min);
            r.max = price(m.max);
            r.near = price(m.near);
            r.near_time = Nanos(midnight.0.wrapping_add(m.near_time.get()));
            r.lower = price(m.lower);
            r.upper = price(m.upper);
        }),
        _ => debug_assert!(false, "a known type without a decoder: {kind}"),
    }
}

fn directory(bytes: &[u8], midnight: Nanos, stamp: Stamp, sink: &mut impl RecordSink) {
    emit!(StockDirectory => StockDirectory, bytes, midnight, stamp, sink, |m, r| m.market, {
        r.symbol = Char(m.stock);
        r.round_lot = m.round_lot.get();
        r.etp_leverage = m.etp_leverage.get();
        r.sub_type = Char(m.sub_type);
        r.financial_status = Char([m.financial_status]);
        r.round_lots_only = Char([m.round_lots_only]);
        r.classification = Char([m.classification]);
        r.authenticity = Char([m.authenticity]);
        r.short_sale_threshold = Char([m.short_sale_threshold]);
        r.ipo = Char([m.ipo]);
        r.luld_tier = Char([m.luld_tier]);
        r.etp = Char([m.etp]);
        r.inverse = Char([m.inverse]);
    });
}
