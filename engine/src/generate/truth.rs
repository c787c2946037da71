//! The truth beside a capture: `<capture>.truth.json`.
//!
//! Key names, units and the raw price scale (1e-4) of the totals are those that `inspect --json`
//! prints; the planted patterns follow. Times are nanoseconds since midnight.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use super::plan::Kind;
use super::planter::Planted;
use super::session::{Config, FinalBook, Summary};

/// The best price and shares of both sides, and the number of price levels.
#[derive(Serialize)]
struct Bbo {
    bid: Option<(u32, u64)>,
    ask: Option<(u32, u64)>,
    bid_levels: usize,
    ask_levels: usize,
}

#[derive(Serialize)]
struct Truth<'a> {
    source: &'static str,
    version: &'static str,
    file: &'a str,
    seed: u64,
    symbols: u32,
    midnight_ns: u64,
    messages: u64,
    datagrams: u64,
    message_counts: BTreeMap<char, u64>,
    ts_first_ns: u64,
    ts_last_ns: u64,
    ts_backwards: u64,
    unknown_ref_counts: BTreeMap<char, u64>,
    executed_shares_known: u64,
    executed_notional_e4: u64,
    executed_shares_unknown: u64,
    noncross_trade_shares: u64,
    cross_shares: u64,
    final_live_orders: u64,
    final_live_shares: u64,
    symbols_added: usize,
    unplaced: u64,
    layering: Vec<&'a Planted>,
    quote_stuffing: Vec<&'a Planted>,
    decoys: Vec<&'a Planted>,
    halts: Vec<&'a Planted>,
    executed_by_symbol: BTreeMap<&'a str, u64>,
    final_bbo: BTreeMap<&'a str, Bbo>,
}

/// Facts about the file that the session does not know.
pub(crate) struct About<'a> {
    pub(crate) file: &'a str,
    pub(crate) midnight_ns: u64,
    pub(crate) datagrams: u64,
}

/// Writes the truth about a session to `path`.
pub(crate) fn write(
    path: &Path,
    about: &About<'_>,
    config: &Config,
    summary: &Summary,
) -> anyhow::Result<()> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut writer = BufWriter::new(file);
    serde_json::to_writer_pretty(&mut writer, &truth(about, config, summary))?;
    writer.write_all(b"\n")?;
    writer.flush().with_context(|| format!("cannot write {}", path.display()))
}

fn truth<'a>(about: &About<'a>, config: &Config, summary: &'a Summary) -> Truth<'a> {
    let counts = &summary.counts;
    let of = |wanted: fn(Kind) -> bool| {
        let mut some: Vec<&Planted> =
            summary.planted.iter().filter(|planted| wanted(planted.kind)).collect();
        some.sort_by_key(|planted| planted.start_ns);
        some
    };
    let added = || summary.books.iter().filter(|book| book.traded);
    Truth {
        source: "corelane generate itch",
        version: env!("CARGO_PKG_VERSION"),
        file: about.file,
        seed: config.seed,
        symbols: config.symbols,
        midnight_ns: about.midnight_ns,
        messages: counts.messages,
        datagrams: about.datagrams,
        message_counts: (0..=255u8)
            .map(|kind| (char::from(kind), counts.by_type[usize::from(kind)]))
            .filter(|&(_, count)| count > 0)
            .collect(),
        ts_first_ns: counts.first_ns,
        ts_last_ns: counts.last_ns,
        ts_backwards: 0,
        unknown_ref_counts: BTreeMap::new(),
        executed_shares_known: counts.executed_shares,
        executed_notional_e4: counts.executed_notional_e4,
        executed_shares_unknown: 0,
        noncross_trade_shares: counts.noncross_trade_shares,
        cross_shares: counts.cross_shares,
        final_live_orders: summary.books.iter().map(|book| book.orders).sum(),
        final_live_shares: summary.books.iter().map(|book| book.shares).sum(),
        symbols_added: added().count(),
        unplaced: summary.unplaced,
        layering: of(|kind| kind == Kind::Layering),
        quote_stuffing: of(|kind| kind == Kind::Stuffing),
        decoys: of(|kind| !matches!(kind, Kind::Layering | Kind::Stuffing | Kind::Halt)),
        halts: of(|kind| kind == Kind::Halt),
        executed_by_symbol: added()
            .filter(|book| book.executed > 0)
            .map(|book| (book.symbol.as_str(), book.executed))
            .collect(),
        final_bbo: added().map(|book| (book.symbol.as_str(), bbo(book))).collect(),
    }
}

fn bbo(book: &FinalBook) -> Bbo {
    Bbo {
        bid: book.best[0],
        ask: book.best[1],
        bid_levels: book.levels[0],
        ask_levels: book.levels[1],
    }
}
