//! What was found as JSON: the keys of the truth files, then what they do not have.
//!
//! Invariant: prices are raw integers at 1e-4, quantities shares, times nanoseconds; a key means
//! the same for every protocol that has it.

use std::collections::BTreeMap;

use corelane_feeds::feed::Transport;
use corelane_feeds::units::Char;
use serde_json::{Map, Value, json};

use super::books::{Books, FinalBook, Levels, OrderBooks, Trades};
use super::feed::FeedScan;
use super::messages::kind_name;
use super::scan::{Ending, Inspection};

impl Inspection {
    /// Everything, every symbol included.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut all = Map::new();
        all.insert("bytes".into(), self.bytes.into());
        all.insert("truncated_tail".into(), matches!(self.ending, Ending::Cut { .. }).into());
        if self.ending != Ending::Complete {
            all.insert("ending".into(), self.ending.to_string().into());
        }
        if self.is_packets {
            extend(&mut all, self.frames_json());
        }
        all.insert("protocol".into(), json!(self.protocols()));
        match self.feeds.as_slice() {
            [feed] => extend(&mut all, feed_json(feed)),
            feeds => {
                all.insert("feeds".into(), feeds.iter().map(feed_json).collect());
            }
        }
        all.into()
    }

    fn frames_json(&self) -> Value {
        let frames = &self.frames;
        json!({
            "packets": frames.frames,
            "truncated_or_short_packets": frames.truncated,
            "fragments": frames.fragments,
            "unknown_link_packets": frames.unknown_link,
            "not_ip_packets": frames.not_ip,
            "datagrams": frames.datagrams,
            "udp_payload_bytes": frames.payload_bytes,
            "unknown_datagrams": frames.unknown_datagrams,
            "unrouted_datagrams": frames.unrouted_datagrams,
            "capture_first_ns": frames.ts_first.map(|ts| ts.0),
            "capture_last_ns": frames.ts_first.map(|_| frames.ts_last.0),
        })
    }

    /// Packets by what they carry; messages, in a file that has no packets.
    pub(super) fn protocols(&self) -> BTreeMap<String, u64> {
        let mut protocols = BTreeMap::<String, u64>::new();
        let mut add = |name: String, count| *protocols.entry(name).or_default() += count;
        for feed in &self.feeds {
            if feed.config.transport == Transport::IexTp {
                for &((version, protocol, channel), count) in &feed.lines.protocols {
                    add(format!("v{version}/0x{protocol:04x}/ch{channel}"), count);
                }
            } else {
                let counters = feed.counters();
                let name = format!("{}/{}", feed.config.transport, feed.config.protocol);
                add(name, counters.packets - counters.bad_framing.min(counters.packets));
            }
        }
        let frames = &self.frames;
        self.tcp.segments.iter().for_each(|(name, count)| add((*name).to_owned(), *count));
        frames.other_ip.iter().for_each(|(number, count)| add(format!("ip/{number}"), *count));
        add("udp".into(), frames.unknown_datagrams + frames.unrouted_datagrams);
        protocols.retain(|_, count| *count > 0);
        protocols
    }
}

fn extend(all: &mut Map<String, Value>, more: Value) {
    if let Value::Object(more) = more {
        all.extend(more);
    }
}

fn feed_json(feed: &FeedScan) -> Value {
    let counters = feed.counters();
    let (messages, lines) = (&feed.tally.messages, &feed.lines);
    let mut all = Map::new();
    extend(
        &mut all,
        json!({
            "message_protocol": feed.config.protocol.to_string(),
            "transport": feed.config.transport.to_string(),
            "destinations": feed.destinations.iter().map(ToString::to_string).collect::<Value>(),
        }),
    );
    if !feed.destinations.is_empty() {
        extend(
            &mut all,
            json!({
                "feed_packets": counters.packets,
                "heartbeats_zero_msg": counters.heartbeats,
                "max_messages_in_packet": lines.messages_in_packet_max,
                "packets_seq_below_expected": lines.below_expected,
                "packets_with_bad_framing": counters.bad_framing,
            }),
        );
    }
    if feed.config.transport == Transport::IexTp {
        extend(
            &mut all,
            json!({
                "stream_offset_breaks": lines.offset_breaks,
                "send_first_ns": lines.send_first.map(|ts| ts.0),
                "send_last_ns": lines.send_first.map(|_| lines.send_last.0),
            }),
        );
    }
    extend(&mut all, sessions_json(feed));
    let first = messages.first.first().map(|kind| json!([kind_name(*kind), hex(&messages.first)]));
    extend(
        &mut all,
        json!({
            "messages": counters.messages,
            "message_counts": messages.counts(),
            "message_lengths": messages.lengths(),
            "first_message": first,
            "bad_lengths": counters.short_messages + counters.long_messages,
            "unknown_types": counters.unknown_types,
            "ts_first_ns": messages.ts_first,
            "ts_last_ns": messages.ts_first.map(|_| messages.ts_last),
            "ts_backwards": messages.ts_backwards,
        }),
    );
    extend(
        &mut all,
        match &feed.tally.books {
            Books::Orders(orders) => orders_json(feed, orders),
            Books::Levels(levels) => levels_json(feed, levels),
            Books::Quotes(trades) => quotes_json(feed, trades),
        },
    );
    all.into()
}

/// A session as its transport names it.
pub(super) fn session_names(feed: &FeedScan, id: &Char<16>) -> Map<String, Value> {
    let mut names = Map::new();
    let number = u64::from_str_radix(id.as_str(), 16).ok();
    match number.filter(|_| feed.config.transport == Transport::IexTp) {
        Some(number) => {
            names.insert("channel".into(), (number >> 32).into());
            names.insert("session".into(), (number & 0xffff_ffff).into());
        }
        None => {
            names.insert("session".into(), id.as_str().trim_start().into());
        }
    }
    names
}

fn sessions_json(feed: &FeedScan) -> Value {
    let counters = feed.counters();
    let sessions = &feed.tally.sessions;
    let named = |id: &Char<16>, more: Value| {
        let mut session = session_names(feed, id);
        extend(&mut session, more);
        Value::from(session)
    };
    let seen = sessions.seen.iter();
    let restarts = sessions.restarts.iter();
    let gaps = sessions.gaps.iter();
    json!({
        "sessions": seen
            .map(|seen| named(&seen.id, json!({ "next_expected_seq": seen.next })))
            .collect::<Value>(),
        "sessions_ended": sessions.ended,
        "session_restarts": restarts
            .map(|restart| named(&restart.id, json!({
                "expected_seq": restart.expected, "capture_ns": restart.ts.0,
            })))
            .collect::<Value>(),
        "n_session_restarts": counters.restarts,
        "sequence_gaps": gaps
            .map(|gap| named(&gap.id, json!({
                "first_missing_seq": gap.first, "messages": gap.count, "capture_ns": gap.ts.0,
            })))
            .collect::<Value>(),
        "n_sequence_gaps": counters.gaps,
        "messages_missing": counters.messages_missing,
        "duplicate_messages": counters.duplicates,
        "stale_packets": counters.stale,
    })
}

fn orders_json(feed: &FeedScan, orders: &OrderBooks) -> Value {
    let symbols = &feed.tally.symbols;
    let totals = symbols.totals();
    let (live_orders, live_shares) = orders.live();
    let executed: BTreeMap<_, _> = (totals.iter())
        .filter(|(_, totals)| totals.executed > 0)
        .map(|(symbol, totals)| (symbol, totals.executed))
        .collect();
    let finals = feed.tally.books.finals(symbols);
    let bbo = |book: FinalBook| {
        let [bid, ask] = book.best;
        let [bid_levels, ask_levels] = book.levels;
        let bbo = json!({
            "bid": bid, "ask": ask, "bid_levels": bid_levels, "ask_levels": ask_levels,
        });
        (book.symbol, bbo)
    };
    json!({
        "unknown_ref_counts": unknown_refs(orders),
        "executed_shares_known": orders.executed_known,
        "executed_notional_e4": orders.executed_notional_e4,
        "executed_shares_unknown": orders.executed_unknown,
        "noncross_trade_shares": orders.trade_shares,
        "cross_shares": orders.cross_shares,
        "broken_trades": orders.broken_trades,
        "final_live_orders": live_orders,
        "final_live_shares": live_shares,
        "symbols_added": totals.values().filter(|totals| totals.added).count(),
        "book_counters": orders.counters().into_iter().collect::<BTreeMap<_, _>>(),
        "executed_by_symbol": executed,
        "final_bbo": finals.into_iter().map(bbo).collect::<Map<_, _>>(),
    })
}

/// Messages about unknown orders by type; types without any are left out.
pub(super) fn unknown_refs(orders: &OrderBooks) -> BTreeMap<&'static str, u64> {
    let refs = orders.unknown_refs();
    let counts = [
        ("C", refs.executed_price),
        ("D", refs.deleted),
        ("E", refs.executed),
        ("U", refs.replaced),
        ("X", refs.cancelled),
    ];
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn trades_json(feed: &FeedScan, trades: &Trades) -> Value {
    let totals = feed.tally.symbols.totals();
    let by_symbol = totals.into_iter().filter(|(_, totals)| totals.trades > 0);
    let by_symbol = by_symbol.map(|(symbol, totals)| {
        let trades = json!({
            "n": totals.trades, "volume": totals.volume,
            "notional_e4": totals.notional_e4, "last_px": totals.last_px_e4,
        });
        (symbol, trades)
    });
    json!({
        "trades": trades.count,
        "trade_volume": trades.volume,
        "trade_notional_e4": trades.notional_e4,
        "trade_breaks": trades.breaks,
        "trade_by_symbol": by_symbol.collect::<Map<_, _>>(),
    })
}

fn levels_json(feed: &FeedScan, levels: &Levels) -> Value {
    let book = |book: FinalBook| {
        let [bid, ask] = book.best;
        let [bid_levels, ask_levels] = book.levels;
        let [bid_total, ask_total] = book.total;
        let levels = json!({
            "bid_px": bid.map(|(px, _)| px), "bid_sz": bid.map(|(_, sz)| sz),
            "ask_px": ask.map(|(px, _)| px), "ask_sz": ask.map(|(_, sz)| sz),
            "bid_levels": bid_levels, "ask_levels": ask_levels,
            "bid_total": bid_total, "ask_total": ask_total,
        });
        (book.symbol, levels)
    };
    let finals = feed.tally.books.finals(&feed.tally.symbols);
    let mut all = Map::new();
    extend(&mut all, trades_json(feed, &levels.trades));
    extend(
        &mut all,
        json!({
            "plu_event_complete": levels.complete,
            "crossed_or_locked_at_event_complete": levels.crossed(),
            "final_price_level_books": finals.into_iter().map(book).collect::<Map<_, _>>(),
            "final_quotes": {},
        }),
    );
    all.into()
}

fn quotes_json(feed: &FeedScan, trades: &Trades) -> Value {
    let quotes = feed.tally.symbols.iter().filter_map(|(instrument, entry)| {
        let [bid, ask] = entry.quote?.map(|(price, qty)| (qty.0 > 0).then_some((price, qty.0)));
        let quote = json!({
            "bid_px": bid.map(|(px, _)| px.to_e4()), "bid_sz": bid.map(|(_, sz)| sz),
            "ask_px": ask.map(|(px, _)| px.to_e4()), "ask_sz": ask.map(|(_, sz)| sz),
        });
        Some((entry.name(instrument), quote))
    });
    let mut all = Map::new();
    extend(&mut all, trades_json(feed, trades));
    extend(
        &mut all,
        json!({
            "final_price_level_books": {},
            "final_quotes": quotes.collect::<Map<_, _>>(),
        }),
    );
    all.into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
