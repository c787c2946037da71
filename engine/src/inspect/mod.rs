//! `corelane inspect`: what is in a capture.
//!
//! ```text
//! Capture ──> frames ──> Flows: destination ──> FeedScan ──┬─ Lines     what the headers say
//!        └──> messages ───────────────────────> (a Feed) ──┴─ Tally ──> Symbols, Books
//! ```
//!
//! Every destination of a packet capture is read as a feed of its own, so that the figures are of
//! one line; `--arbitrate` makes lines of one feed of destinations with one session.
//!
//! JSON has the key names, units and price scale (1e-4) of the truth files beside captures. The
//! figures of a capture's only feed stand at the top level, those of several in `feeds`.
//!
//! Invariant: one pass, and memory bounded by what lives at once (orders, price levels, symbols),
//! never by the length of the capture: every list has a named bound, and every count goes on beyond
//! it. What was read before a capture broke off is always reported.
//!
//! ```
//! use corelane::capture_file::Capture;
//! use corelane::inspect::{Options, inspect};
//! let file = b"\0\x0cS\0\0\0\0\0\0\0\0\0\x07O".to_vec();
//! let capture = Capture::from_reader(Box::new(std::io::Cursor::new(file))).unwrap();
//! let found = inspect(capture, &Options::default()).unwrap();
//! assert_eq!(found.to_json()["message_counts"]["S"], 1);
//! assert_eq!(found.to_json()["ts_first_ns"], 7);
//! ```

mod books;
mod feed;
mod flows;
mod json;
mod lines;
mod messages;
mod scan;
mod symbols;
mod tally;
mod text;

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use corelane_feeds::feed::{Protocol, Transport};

use crate::capture_file::Capture;
use crate::cli::exit::Failure;

pub use scan::{Ending, Inspection, inspect};
pub use text::Shown;

/// Arguments of `corelane inspect`.
#[derive(Args, Debug)]
pub struct InspectArgs {
    /// The capture: pcap, pcapng or BinaryFILE, plain, gzip or zstd; `-` for standard input
    file: PathBuf,
    /// Print JSON, with every symbol
    #[arg(long)]
    json: bool,
    /// What the messages are: itch50, iex-deep10, iex-tops16 [default: told from the content]
    #[arg(long)]
    protocol: Option<Protocol>,
    /// What carries them: moldudp64 or iextp in packets, binaryfile or soupbintcp in files
    /// [default: told from the content]
    #[arg(long)]
    transport: Option<Transport>,
    /// Read destinations that carry one session as lines of one feed
    #[arg(long)]
    arbitrate: bool,
    /// Symbols to print, the busiest first: a number or `all`
    #[arg(long, value_name = "N", default_value = "20")]
    symbols: Shown,
}

/// How a capture is to be read.
#[derive(Copy, Clone, Debug, Default)]
pub struct Options {
    /// What the messages are, if it is not to be told from the content.
    pub protocol: Option<Protocol>,
    /// What carries them, if it is not to be told from the content.
    pub transport: Option<Transport>,
    /// Destinations that carry one session are lines of one feed.
    pub arbitrate: bool,
}

/// Inspects a capture and prints what was found.
///
/// # Errors
/// If the file is no capture, or breaks off: what was read until then has been printed.
pub fn run(args: &InspectArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let &InspectArgs { protocol, transport, arbitrate, .. } = args;
    let capture = Capture::open(&args.file)?;
    let name = args.file.display().to_string();
    let options = Options { protocol, transport, arbitrate };
    let found =
        inspect(capture, &options).map_err(|error| error.context(format!("capture {name}")))?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &found.to_json()).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        found.write_text(&name, args.symbols, out)?;
    }
    out.flush()?;
    match found.ending() {
        Ending::Complete => Ok(()),
        ending => Err(Failure::bad_data(format!("capture {name} {ending}")).into()),
    }
}
