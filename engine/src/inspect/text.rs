//! What was found, for a terminal.
//!
//! Invariant: as long as the number of symbols asked for, however long the capture; what is wrong
//! with a capture comes before what is in it.

use std::cmp::Reverse;
use std::fmt::{self, Display, Formatter};
use std::io::{self, Write};
use std::str::FromStr;

use corelane_feeds::feed::Protocol;
use corelane_feeds::units::{Nanos, Price};

use super::books::{Books, FinalBook, OrderBooks, Trades};
use super::feed::FeedScan;
use super::json::{session_names, unknown_refs};
use super::scan::{Ending, Inspection};
use super::symbols::Totals;
use crate::report::{Counts, grouped, human_bytes, write_counts};

/// Sessions, restarts and gaps that are printed, each; JSON has more.
const LINES_MAX: usize = 10;
const NANOS_PER_DAY: u64 = 86_400_000_000_000;

/// How many symbols to print.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// So many, the busiest first.
    Most(usize),
    /// Every one.
    All,
}

impl FromStr for Shown {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            number => number.parse().map(Self::Most).map_err(|_| "neither a number nor `all`"),
        }
    }
}

impl Inspection {
    /// Prints what was found of the capture `name`.
    ///
    /// # Errors
    /// If writing fails.
    pub fn write_text(&self, name: &str, shown: Shown, out: &mut impl Write) -> io::Result<()> {
        write!(out, "{}", Text { found: self, name, shown })
    }
}

struct Text<'a> {
    found: &'a Inspection,
    name: &'a str,
    shown: Shown,
}

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Inspection { is_packets, bytes, ending, feeds, .. } = self.found;
        let kind = if *is_packets { "packets" } else { "messages without packets" };
        writeln!(f, "{}: {kind}, {} unpacked", self.name, human_bytes(*bytes))?;
        if *ending != Ending::Complete {
            writeln!(f, "NOTE: the capture {ending}")?;
            writeln!(f, "NOTE: what follows is what was read until then")?;
        }
        if *is_packets {
            self.write_frames(f)?;
        }
        let protocols = self.found.protocols();
        for (name, count) in &protocols {
            writeln!(f, "  {name:<24} {:>18}", grouped(*count))?;
        }
        if protocols.keys().any(|name| name.starts_with("tcp")) {
            writeln!(f, "NOTE: TCP streams are not put together: their messages are not counted")?;
        }
        if self.found.frames.datagrams > 0 && feeds.is_empty() {
            writeln!(f, "NOTE: no datagram is of a known protocol; --protocol takes them for one")?;
        }
        for (number, feed) in (1..).zip(feeds) {
            write_feed(number, feed, self.shown, f)?;
        }
        Ok(())
    }
}

impl Text<'_> {
    fn write_frames(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let frames = &self.found.frames;
        writeln!(f, "  {:<24} {:>18}", "packets", grouped(frames.frames))?;
        if let Some(first) = frames.ts_first {
            writeln!(f, "  from {} to {}", Time(first), Time(frames.ts_last))?;
        }
        let odd = [
            ("truncated", frames.truncated),
            ("fragments", frames.fragments),
            ("unknown_link", frames.unknown_link),
            ("not_ip", frames.not_ip),
            ("unknown_datagrams", frames.unknown_datagrams),
            ("unrouted_datagrams", frames.unrouted_datagrams),
        ];
        write_counts(&Counts::from_iter(odd), f)
    }
}

fn write_feed(number: usize, feed: &FeedScan, shown: Shown, f: &mut Formatter<'_>) -> fmt::Result {
    let counters = feed.counters();
    write!(f, "\nfeed {number}: {} over {}", feed.config.protocol, feed.config.transport)?;
    for destination in &feed.destinations {
        write!(f, ", {destination}")?;
    }
    writeln!(f)?;
    write_sessions(feed, f)?;
    // What a clean capture has is said in words.
    let said = ["messages", "records", "sessions", "restarts", "gaps", "messages_missing"];
    let counts = counters.iter().filter(|(name, _)| !said.contains(name));
    let is_packets = !feed.destinations.is_empty();
    let counts = counts.filter(|(name, _)| is_packets || *name != "packets");
    let lines = [
        ("seq_below_expected", feed.lines.below_expected),
        ("stream_offset_breaks", feed.lines.offset_breaks),
        ("messages_in_packet_max", feed.lines.messages_in_packet_max),
    ];
    write_counts(&Counts::from_iter(counts.chain(lines)), f)?;
    let messages = &feed.tally.messages;
    write!(f, "  {} messages", grouped(counters.messages))?;
    if let Some(first) = messages.ts_first {
        write!(f, " from {} to {}", Time(Nanos(first)), Time(Nanos(messages.ts_last)))?;
    }
    writeln!(f)?;
    write_counts(&Counts::from_iter(messages.counts()), f)?;
    if messages.ts_backwards > 0 {
        let count = grouped(messages.ts_backwards);
        writeln!(f, "  {count} messages are earlier than the one before")?;
    }
    match &feed.tally.books {
        Books::Orders(orders) => write_orders(orders, f)?,
        Books::Levels(levels) => {
            write_trades(&levels.trades, f)?;
            let (complete, crossed) = (grouped(levels.complete), grouped(levels.crossed()));
            writeln!(f, "  {complete} complete events, {crossed} left a book locked or crossed")?;
        }
        Books::Quotes(trades) => write_trades(trades, f)?,
    }
    write_symbols(feed, shown, f)
}

fn write_orders(orders: &OrderBooks, f: &mut Formatter<'_>) -> fmt::Result {
    let executed = [
        ("executed_shares", orders.executed_known),
        ("executed_shares_of_unknown_orders", orders.executed_unknown),
        ("noncross_trade_shares", orders.trade_shares),
        ("cross_shares", orders.cross_shares),
        ("broken_trades", orders.broken_trades),
    ];
    write_counts(&Counts::from_iter(executed), f)?;
    if orders.executed_known > 0 {
        writeln!(f, "  executed notional {}", Price::from_e4(orders.executed_notional_e4))?;
    }
    let unknown = unknown_refs(orders);
    if !unknown.is_empty() {
        writeln!(f, "  messages about orders that are not in the capture")?;
        write_counts(&Counts::from_iter(unknown), f)?;
    }
    let odd = orders.counters().into_iter().filter(|(name, _)| !name.starts_with("unknown"));
    write_counts(&Counts::from_iter(odd.filter(|(name, _)| *name != "orders_live")), f)?;
    let (live, shares) = orders.live();
    writeln!(f, "  {} live orders, {} shares", grouped(live), grouped(shares))
}

fn write_trades(trades: &Trades, f: &mut Formatter<'_>) -> fmt::Result {
    let Trades { count, volume, notional_e4, breaks } = *trades;
    let notional = Price::from_e4(notional_e4);
    let [count, volume, breaks] = [count, volume, breaks].map(grouped);
    writeln!(f, "  {count} trades of {volume} shares, notional {notional}, {breaks} broken")
}

fn write_sessions(feed: &FeedScan, f: &mut Formatter<'_>) -> fmt::Result {
    let counters = feed.counters();
    let sessions = &feed.tally.sessions;
    let [begun, restarts] = [counters.sessions, counters.restarts].map(grouped);
    let [gaps, missing] = [counters.gaps, counters.messages_missing].map(grouped);
    write!(f, "  sessions {begun}, restarts {restarts}, sequence gaps {gaps}")?;
    writeln!(f, ", messages missing {missing}")?;
    let name = |id| {
        let names = session_names(feed, id);
        let words = names.iter().map(|(key, value)| match value.as_str() {
            Some(text) => format!("{key} {text}"),
            None => format!("{key} {value}"),
        });
        words.collect::<Vec<_>>().join(" ")
    };
    for seen in sessions.seen.iter().take(LINES_MAX) {
        writeln!(f, "  {}: next sequence number {}", name(&seen.id), grouped(seen.next))?;
    }
    for restart in sessions.restarts.iter().take(LINES_MAX) {
        let (expected, ts) = (grouped(restart.expected), Time(restart.ts));
        writeln!(f, "  restart of {} at {ts}: {expected} was expected", name(&restart.id))?;
    }
    for gap in sessions.gaps.iter().take(LINES_MAX) {
        let (first, count, ts) = (grouped(gap.first), grouped(gap.count), Time(gap.ts));
        writeln!(f, "  gap in {} at {ts}: {count} from {first} on", name(&gap.id))?;
    }
    let listed = [sessions.seen.len(), sessions.restarts.len(), sessions.gaps.len()];
    if listed.into_iter().any(|count| count > LINES_MAX) {
        writeln!(f, "  of each the first {LINES_MAX} are shown; --json lists more")?;
    }
    Ok(())
}

/// A symbol's line.
struct Row {
    symbol: String,
    totals: Totals,
    book: Option<FinalBook>,
}

fn write_symbols(feed: &FeedScan, shown: Shown, f: &mut Formatter<'_>) -> fmt::Result {
    let symbols = &feed.tally.symbols;
    let mut books = feed.tally.books.finals(symbols).into_iter().peekable();
    let mut rows: Vec<Row> = Vec::new();
    // Both are sorted by symbol.
    for (symbol, totals) in symbols.totals() {
        let mut book = None;
        while let Some(next) = books.next_if(|book| book.symbol <= symbol) {
            book = (next.symbol == symbol).then_some(next);
        }
        rows.push(Row { symbol, totals, book });
    }
    // Messages that are about no instrument.
    rows.retain(|row| row.symbol != "#0");
    rows.sort_by_key(|row| Reverse(row.totals.messages));
    let all = rows.len();
    if let Shown::Most(count) = shown {
        rows.truncate(count);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let traded = if feed.config.protocol == Protocol::Itch50 { "executed" } else { "traded" };
    writeln!(f, "  {} symbols, {} shown", grouped(all as u64), grouped(rows.len() as u64))?;
    write!(
        f,
        "  {:<8} {:>12} {traded:>12} {:>10} {:>12}",
        "symbol", "messages", "bid size", "bid"
    )?;
    writeln!(f, " {:>12} {:>10} {:>10} {:>10}", "ask", "ask size", "bid levels", "ask levels")?;
    rows.iter().try_for_each(|row| write_row(row, f))
}

fn write_row(row: &Row, f: &mut Formatter<'_>) -> fmt::Result {
    let Row { symbol, totals, book } = row;
    let (messages, traded) =
        (grouped(totals.messages), grouped(totals.executed.saturating_add(totals.volume)));
    write!(f, "  {symbol:<8} {messages:>12} {traded:>12}")?;
    let Some(book) = book else { return writeln!(f) };
    let text = |best: Option<(i64, u64)>| match best {
        Some((price, size)) => (Price::from_e4(price).to_string(), grouped(size)),
        None => ("-".into(), String::new()),
    };
    let [(bid, bid_size), (ask, ask_size)] = book.best.map(text);
    let [bid_levels, ask_levels] = book.levels;
    write!(f, " {bid_size:>10} {bid:>12} {ask:>12} {ask_size:>10}")?;
    writeln!(f, " {bid_levels:>10} {ask_levels:>10}")
}

/// A time of day; with its date, if it has one.
struct Time(Nanos);

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (days, ns) = (self.0.0 / NANOS_PER_DAY, self.0.0 % NANOS_PER_DAY);
        if days > 0 {
            let (year, month, day) = civil(days);
            write!(f, "{year:04}-{month:02}-{day:02} ")?;
        }
        let (seconds, fraction) = (ns / 1_000_000_000, ns % 1_000_000_000);
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        write!(f, "{hours:02}:{minutes:02}:{:02}.{fraction:09}", seconds % 60)
    }
}

/// The date of a day since 1970-01-01. [Hinnant, "chrono-compatible low-level date algorithms",
/// civil_from_days]
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let of_era_year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * of_era_year + of_era_year / 4 - of_era_year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + of_era_year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_and_without_a_date() {
        assert_eq!(Time(Nanos(34_200_000_000_230)).to_string(), "09:30:00.000000230");
        let deep = Time(Nanos(1_696_246_474_224_454_000)).to_string();
        assert_eq!(deep, "2023-10-02 11:34:34.224454000");
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(19_783), (2024, 3, 1));
    }

    #[test]
    fn symbols_by_number_or_all() {
        assert_eq!("all".parse(), Ok(Shown::All));
        assert_eq!("7".parse(), Ok(Shown::Most(7)));
        assert!("some".parse::<Shown>().is_err());
    }
}
