//! `[[feed]]`: what a feed's messages are and where they come from.
//!
//! Invariant: as in the parent module.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use corelane_feeds::feed::{Protocol, Transport};
use corelane_feeds::text::Format;
use corelane_feeds::units::Nanos;
use toml::Spanned;
use toml::de::DeValue;

use super::super::value::{Bytes, DurationNs, FromValue, Table};
use super::super::{EngineConfig, FeedKind, FeedSection, LINES_MAX, Source, TextSection};
use super::{bounded, named};

const RCVBUF_BYTES: u64 = 32 << 20;
const HOLD_MAX: usize = 1_024;

/// The `index`th feed, and where it names its stream.
pub(super) fn read(
    table: &mut Table<'_>,
    index: usize,
    engine: &EngineConfig,
) -> (FeedSection, Range<usize>) {
    let formats = Format::NAMES.iter().map(|(name, _)| *name);
    let names: Vec<&'static str> = Protocol::NAMES.iter().copied().chain(formats).collect();
    let protocol = named(table, "protocol", &names).unwrap_or_default();
    let mut place = table.span();
    let (kind, source) = match Format::by_name(&protocol) {
        Some(format) => {
            let section = read_text(table, format, &mut place);
            (FeedKind::Text(section), read_text_source(table))
        }
        None => read_venue(table, protocol.parse().unwrap_or(Protocol::Itch50)),
    };
    let section = FeedSection {
        name: table.or("name", format!("feed{index}")),
        kind,
        source,
        reactor: bounded(table, "reactor", 0, 0..=engine.reactors - 1),
        rcvbuf_bytes: table.or("rcvbuf", Bytes(RCVBUF_BYTES)).0,
        tick_ns: table.or("tick", DurationNs(0)).0,
    };
    (section, place)
}

fn read_venue(table: &mut Table<'_>, protocol: Protocol) -> (FeedKind, Source) {
    let soup = table.optional::<SocketAddr>("connect");
    let transport = match protocol {
        Protocol::Itch50 if soup.is_some() => Transport::SoupBinTcp,
        Protocol::Itch50 => Transport::MoldUdp64,
        Protocol::IexDeep10 | Protocol::IexTops16 => Transport::IexTp,
    };
    let source = read_source(table, soup);
    let midnight = table.or("midnight", Midnight(0)).into();
    let hold_max = bounded(table, "hold_max", HOLD_MAX, 0..=65_536);
    (FeedKind::Venue { protocol, transport, midnight, hold_max }, source)
}

fn read_text(table: &mut Table<'_>, format: Format, place: &mut Range<usize>) -> TextSection {
    let stream = table.required("stream", String::new());
    *place = stream.span();
    let mut section =
        TextSection { format, stream: stream.into_inner(), header: true, separator: b',' };
    if format == Format::Csv {
        section.header = table.or("header", true);
        if let Some(separator) = table.optional::<String>("separator") {
            match separator.get_ref().as_bytes() {
                [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n') => {
                    section.separator = *byte;
                }
                _ => {
                    let title = "`separator` must be one ASCII character, and no quote";
                    table.report(separator.span(), title, "found another text");
                }
            }
        }
    }
    section
}

fn read_text_source(table: &mut Table<'_>) -> Source {
    let lines = table.optional::<Vec<SocketAddr>>("lines");
    let connect = table.optional::<SocketAddr>("connect");
    let listen = table.optional::<SocketAddr>("listen");
    let interface = table.optional::<String>("interface").map(Spanned::into_inner);
    let sender = table.optional::<IpAddr>("sender").map(Spanned::into_inner);
    match (lines, connect, listen) {
        (Some(lines), None, None) => {
            if lines.get_ref().len() != 1 {
                let title = "a feed of text has one address in `lines`";
                let label = "datagrams without a sequence cannot be arbitrated";
                table.report(lines.span(), title, label);
            }
            Source::Lines { lines: lines.into_inner(), interface, sender }
        }
        (None, Some(connect), None) => Source::Connect(connect.into_inner()),
        (None, None, Some(listen)) => {
            if !listen.get_ref().ip().is_loopback() {
                let title = "`listen` must be an address of the loopback interface";
                table.report(listen.span(), title, "nobody is asked who they are");
            }
            Source::Listen(listen.into_inner())
        }
        (None, None, None) => Source::Capture,
        _ => {
            let title = "a feed has one of `lines`, `connect` and `listen`";
            table.report(table.span(), title, "several are given");
            Source::Capture
        }
    }
}

fn read_source(table: &mut Table<'_>, soup: Option<Spanned<SocketAddr>>) -> Source {
    let lines = table.optional::<Vec<SocketAddr>>("lines");
    let interface = table.optional::<String>("interface").map(Spanned::into_inner);
    let sender = table.optional::<IpAddr>("sender").map(Spanned::into_inner);
    let username = table.optional::<String>("username");
    let password_env = table.optional::<String>("password_env").map(Spanned::into_inner);
    let session = table.or("session", String::new());
    match (lines, soup) {
        (Some(lines), Some(_)) => {
            table.report(lines.span(), "a feed has either `lines` or `connect`", "both are given");
            Source::Capture
        }
        (Some(lines), None) => {
            if lines.get_ref().is_empty() || lines.get_ref().len() > LINES_MAX {
                let title = format!("`lines` must name 1 to {LINES_MAX} addresses");
                table.report(lines.span(), title, "here");
            }
            Source::Lines { lines: lines.into_inner(), interface, sender }
        }
        (None, Some(connect)) => {
            let username = username.map_or_else(String::new, |username| {
                if username.get_ref().len() > 6 {
                    let title = "a SoupBinTCP user name has at most 6 characters";
                    table.report(username.span(), title, "too long");
                }
                username.into_inner()
            });
            Source::Soup { connect: connect.into_inner(), username, password_env, session }
        }
        (None, None) => Source::Capture,
    }
}

/// Midnight as a TOML date-time with its offset, in nanoseconds since the epoch.
struct Midnight(u64);

impl From<Midnight> for Nanos {
    fn from(midnight: Midnight) -> Self {
        Nanos(midnight.0)
    }
}

impl FromValue for Midnight {
    const WANTED: &'static str = "a date-time with its offset, as 2019-12-30T00:00:00-05:00";
    fn from_value(value: &DeValue<'_>) -> Result<Self, String> {
        let Some(datetime) = value.as_datetime() else {
            return Err(format!("found {}", value.type_str()));
        };
        let (Some(date), Some(time), Some(offset)) =
            (datetime.date, datetime.time, datetime.offset)
        else {
            return Err("date, time and offset are all needed".to_owned());
        };
        let minutes = match offset {
            toml::value::Offset::Z => 0,
            toml::value::Offset::Custom { minutes } => i64::from(minutes),
        };
        let days = days_from_civil(i64::from(date.year), date.month.into(), date.day.into());
        let hours = i64::from(time.hour);
        let minute = i64::from(time.minute);
        let seconds = days * 86_400 + hours * 3_600 + minute * 60 - minutes * 60;
        let seconds = u64::try_from(seconds).map_err(|_| "before 1970".to_owned())?;
        seconds.checked_mul(1_000_000_000).map(Self).ok_or_else(|| "too late".to_owned())
    }
}

/// Days since 1970-01-01 of a date in the Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}
