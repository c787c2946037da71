//! The command line of `corelane generate`.

use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::bail;
use clap::{Args, Subcommand};

use super::output::{Output, Packets};
use super::payments::PaymentsArgs;
use super::session::{Config, DAY_NS, generate};
use super::truth::{self, About};

/// Writes a seeded synthetic feed to a capture file.
#[derive(Args, Debug)]
pub struct GenerateArgs {
    #[command(subcommand)]
    feed: Feed,
}

#[derive(Subcommand, Debug)]
enum Feed {
    /// A NASDAQ TotalView-ITCH 5.0 session, with layering and stuffing planted in it.
    Itch(ItchArgs),
    /// A stream of payments, lines of JSON or CSV, with fraud planted in it.
    Payments(PaymentsArgs),
}

/// An ITCH 5.0 session.
#[derive(Args, Debug)]
pub struct ItchArgs {
    /// File to write: `.pcap` (MoldUDP64 over multicast) or `.itch` (length and message), with
    /// `.gz` or `.zst` behind it to compress. The truth goes to the same name plus `.truth.json`.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Messages in the session.
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
    /// Instruments, at most 65,535.
    #[arg(long, default_value_t = 2_000)]
    symbols: u32,
    /// The same seed and options give the same bytes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Layering episodes to plant.
    #[arg(long, default_value_t = 20)]
    episodes: u32,
    /// Decoys to plant, each missing one condition of an episode [default: three per episode].
    #[arg(long)]
    decoys: Option<u32>,
    /// Quote-stuffing bursts to plant.
    #[arg(long, default_value_t = 4)]
    stuffing: u32,
    /// Trading halts.
    #[arg(long, default_value_t = 4)]
    halts: u32,
    /// When the market opens, as in `09:30` or `09:30:15`.
    #[arg(long, value_name = "TIME", default_value = "09:30:00", value_parser = time_of_day)]
    start: u64,
    /// From open to close, as in `6h30m`, `90s`, `500ms`.
    #[arg(long, default_value = "5m", value_parser = duration)]
    duration: u64,
    /// Day of the packet timestamps; the session's times are taken as UTC.
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "2026-01-05", value_parser = date)]
    date: u64,
    /// Multicast group of the packets.
    #[arg(long, value_name = "ADDR:PORT", default_value = "233.54.12.111:26477")]
    group: SocketAddrV4,
    /// MoldUDP64 session, ten characters at most.
    #[arg(long, default_value = "CORELANE01", value_parser = session_name)]
    session: SessionName,
    /// Longest time a message waits for others to share its datagram.
    #[arg(long, value_name = "DURATION", default_value = "20us", value_parser = duration)]
    batch_window: u64,
    /// Most messages in a datagram, 0 for as many as fit 1,400 bytes.
    #[arg(long, default_value_t = 0)]
    batch: u16,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

/// A Mold session name, padded with blanks on the left as the protocol wants it.
#[derive(Copy, Clone, Debug)]
struct SessionName([u8; 10]);

impl GenerateArgs {
    /// Generates and prints a summary.
    ///
    /// # Errors
    /// If the options contradict each other or the file cannot be written.
    pub fn run(self) -> anyhow::Result<()> {
        match self.feed {
            Feed::Itch(args) => args.run(),
            Feed::Payments(args) => args.run(),
        }
    }
}

impl ItchArgs {
    fn run(self) -> anyhow::Result<()> {
        let config = Config {
            messages: self.messages,
            symbols: self.symbols,
            seed: self.seed,
            episodes: self.episodes,
            decoys: self.decoys.unwrap_or(self.episodes.saturating_mul(3)),
            stuffing: self.stuffing,
            halts: self.halts,
            open_ns: self.start,
            duration_ns: self.duration,
        };
        config.check()?;
        let packets = Packets {
            session: self.session.0,
            group: self.group,
            midnight_ns: self.date,
            window_ns: self.batch_window,
            messages_max: self.batch,
        };
        let started = Instant::now();
        let (output, summary) = generate(&config, Output::create(&self.out, packets)?)?;
        let written = output.finish()?;
        let seconds = started.elapsed().as_secs_f64();
        let truth_path = beside(&self.out);
        let file = self.out.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let about = About { file, midnight_ns: self.date, datagrams: written.datagrams };
        truth::write(&truth_path, &about, &config, &summary)?;
        let rate = summary.counts.messages as f64 / seconds;
        let planted = summary.planted.len();
        if self.json {
            let report = serde_json::json!({
                "file": self.out, "truth": truth_path, "messages": summary.counts.messages,
                "bytes": written.bytes, "datagrams": written.datagrams, "seconds": seconds,
                "messages_per_s": rate, "planted": planted, "unplaced": summary.unplaced,
            });
            println!("{report}");
        } else {
            println!(
                "{}: {} messages, {} datagrams, {} bytes in {seconds:.2} s ({:.2} M messages/s)",
                self.out.display(),
                summary.counts.messages,
                written.datagrams,
                written.bytes,
                rate / 1e6,
            );
            println!("{}: {planted} patterns planted", truth_path.display());
        }
        if summary.unplaced > 0 {
            eprintln!(
                "warning: {} patterns found no quiet instrument: more symbols, messages or a \
                 longer duration would hold them",
                summary.unplaced
            );
        }
        Ok(())
    }
}

/// The truth's place beside a capture.
pub(super) fn beside(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".truth.json");
    PathBuf::from(name)
}

fn session_name(text: &str) -> anyhow::Result<SessionName> {
    if text.is_empty() || text.len() > 10 || !text.is_ascii() {
        bail!("a session has 1 to 10 ASCII characters");
    }
    let mut name = [b' '; 10];
    name[10 - text.len()..].copy_from_slice(text.as_bytes());
    Ok(SessionName(name))
}

/// `HH:MM` or `HH:MM:SS` as nanoseconds since midnight.
fn time_of_day(text: &str) -> anyhow::Result<u64> {
    let mut parts = text.split(':');
    let mut next = |below: u64| match parts.next().map(str::parse::<u64>) {
        Some(Ok(part)) if part < below => Ok(part),
        None => Ok(0),
        _ => bail!("{text:?} is not a time of day, HH:MM or HH:MM:SS"),
    };
    let seconds = next(24)? * 3_600 + next(60)? * 60 + next(60)?;
    if parts.next().is_some() || !text.contains(':') {
        bail!("{text:?} is not a time of day, HH:MM or HH:MM:SS");
    }
    Ok(seconds * 1_000_000_000)
}

/// Numbers with units, as in `1h30m`, in nanoseconds.
pub(crate) fn duration(text: &str) -> anyhow::Result<u64> {
    let bad = || anyhow::anyhow!("{text:?} is not a duration such as 90s, 1h30m, 250ms or 20us");
    let mut total = 0u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let number: u64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ns" => 1,
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(bad()),
        };
        total = number.checked_mul(unit).and_then(|x| total.checked_add(x)).ok_or_else(bad)?;
        rest = &rest[letters..];
    }
    if text.is_empty() { Err(bad()) } else { Ok(total) }
}

/// Midnight UTC of a date, in nanoseconds since the epoch. [Hinnant, "chrono-compatible low-level
/// date algorithms", days_from_civil]
pub(super) fn date(text: &str) -> anyhow::Result<u64> {
    let bad = || anyhow::anyhow!("{text:?} is not a date from 1970-01-01 on, YYYY-MM-DD");
    let parts: Vec<u64> =
        text.split('-').map(str::parse).collect::<Result<_, _>>().map_err(|_| bad())?;
    let [year, month, day] = parts[..] else { return Err(bad()) };
    if !(1970..=2105).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return Err(bad());
    }
    let year = year - u64::from(month <= 2);
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Ok(days * DAY_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_dates_and_durations() {
        assert_eq!(time_of_day("09:30").unwrap(), 34_200_000_000_000);
        assert_eq!(time_of_day("23:59:59").unwrap(), 86_399_000_000_000);
        for bad in ["", "9", "24:00", "09:60", "09:30:00:00", "nine"] {
            assert!(time_of_day(bad).is_err(), "{bad}");
        }
        assert_eq!(duration("6h30m").unwrap(), 23_400_000_000_000);
        assert_eq!(duration("20us").unwrap(), 20_000);
        for bad in ["", "5", "5 m", "m5", "5x", "99999999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(date("1970-01-01").unwrap(), 0);
        assert_eq!(date("2026-01-05").unwrap(), 1_767_571_200_000_000_000);
        assert!(date("2026-13-01").is_err() && date("today").is_err());
    }
}
