//! ITCH decoders on the same session in memory, and MoldUDP64 framing on the same datagrams.
//!
//! Invariant: everyone folds time and instrument of every message; the sums must be equal.

use std::hint::black_box;
use std::ops::ControlFlow;

use anyhow::ensure;
use corelane_bench::decode::{self, Sum, UNKNOWN_TO_ITCHY};
use corelane_bench::session::Session;
use corelane_bench::stages::Framing;
use corelane_bench::stat::thread_cpu_ns;
use corelane_feeds::moldudp64;
use itch5::messages::*;
use itch5::{MessageHandler, Parser};

use crate::table::{measure, peer};

const MESSAGES: u64 = 2_000_000;
const ROUNDS: usize = 11;

/// Folds what itch5 hands over.
#[derive(Default)]
struct Handler(Sum);

/// One method per message type, all alike but for what the crate calls the instrument's number.
macro_rules! on {
    ($($method:ident $message:ident $locate:ident),* $(,)?) => {
        impl MessageHandler for Handler {
            $(#[inline]
            fn $method(&mut self, message: &$message) -> ControlFlow<()> {
                let message = black_box(message);
                self.0.add(message.timestamp().to_u64(), message.$locate());
                ControlFlow::Continue(())
            })*
        }
    };
}

on! {
    on_system_event SystemEvent stock_locate,
    on_stock_directory StockDirectory stock_locate,
    on_stock_trading_action StockTradingAction stock_locate,
    on_reg_sho_restriction RegSHORestriction locate_code,
    on_market_participant_position MarketParticipantPosition stock_locate,
    on_mwcb_decline_level MWCBDeclineLevel stock_locate,
    on_mwcb_status MWCBStatus stock_locate,
    on_quoting_period_update QuotingPeriodUpdate stock_locate,
    on_luld_auction_collar LULDAuctionCollar stock_locate,
    on_operational_halt OperationalHalt stock_locate,
    on_add_order_no_mpid_attribution AddOrderNoMPIDAttribution stock_locate,
    on_add_order_with_mpid_attribution AddOrderWithMPIDAttribution stock_locate,
    on_order_executed OrderExecuted stock_locate,
    on_order_executed_with_price OrderExecutedWithPrice stock_locate,
    on_order_cancel OrderCancel stock_locate,
    on_order_delete OrderDelete stock_locate,
    on_order_replace OrderReplace stock_locate,
    on_trade Trade stock_locate,
    on_cross_trade CrossTrade stock_locate,
    on_broken_trade BrokenTrade stock_locate,
    on_net_order_imbalance_indicator NetOrderImbalanceIndicator stock_locate,
    on_retail_price_improvement_indicator RetailPriceImprovementIndicator stock_locate,
}

fn itch5(session: &Session) -> anyhow::Result<(f64, u64)> {
    let begin = thread_cpu_ns();
    let mut handler = Handler::default();
    let parsed = Parser::new(&session.file).parse_stream(&mut handler);
    let ns = (thread_cpu_ns() - begin) / session.count as f64;
    parsed.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    Ok((ns, handler.0.value()))
}

/// Adds up the lengths of the messages of every datagram.
fn framing(session: &Session, each: impl Fn(&[u8]) -> u64) -> (f64, u64) {
    let begin = thread_cpu_ns();
    let sum = session.datagrams().map(each).fold(0, u64::wrapping_add);
    ((thread_cpu_ns() - begin) / session.count as f64, black_box(sum))
}

/// First bytes and lengths, so that every message is looked at.
fn fold(message: &[u8]) -> u64 {
    let message = black_box(message);
    message.len() as u64 + u64::from(message[0])
}

fn by_moldudp(datagram: &[u8]) -> u64 {
    moldudp::Packet::new(datagram).iter().map(|message| fold(message.data())).sum()
}

fn by_corelane(datagram: &[u8]) -> u64 {
    let Ok(packet) = moldudp64::Packet::parse(datagram) else { return 0 };
    packet.messages().flatten().map(fold).sum()
}

pub(crate) fn run() -> anyhow::Result<()> {
    let session = &Session::generate(MESSAGES)?.without(UNKNOWN_TO_ITCHY);
    let ours = decode::decoder_alone(session).1;
    ensure!(decode::itchy(session)?.1 == ours, "itchy comes to another sum");
    ensure!(itch5(session)?.1 == ours, "itch5 comes to another sum");
    let peers = vec![
        peer("", "Corelane: every message becomes a record", || {
            Ok(decode::decoder_alone(session).0)
        }),
        peer("", "Corelane: the whole feed, datagrams", || {
            Ok(decode::ours(session, Framing::Mold).0)
        }),
        peer("itchy", "every message becomes an enum", || Ok(decode::itchy(session)?.0)),
        peer("itch5", "a view of the bytes, fields read when asked for", || Ok(itch5(session)?.0)),
    ];
    let title = format!("ITCH 5.0, {} messages in memory, CPU time", session.count);
    measure(&title, "message", ROUNDS, peers)?;

    let ours = framing(session, by_corelane).1;
    ensure!(framing(session, by_moldudp).1 == ours, "moldudp comes to another sum");
    let peers = vec![
        peer("", "Corelane", || Ok(framing(session, by_corelane).0)),
        peer("moldudp", "its packet's iterator", || Ok(framing(session, by_moldudp).0)),
    ];
    let title = "MoldUDP64 framing alone, the same messages in datagrams of 1,400 bytes, CPU time";
    measure(title, "message", ROUNDS, peers)
}
