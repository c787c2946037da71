//! The command line of `corelane generate payments`.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::bail;
use clap::Args;

use super::{Config, Layout, generate, truth};
use crate::generate::args::{beside, date, duration};
use crate::generate::output::{Encoder, compression};

/// Bytes that are written at a time.
const BUFFER_BYTES: usize = 1 << 20;

/// A stream of payments.
#[derive(Args, Debug)]
pub struct PaymentsArgs {
    /// File to write: `.jsonl` or `.csv`, with `.gz` or `.zst` behind it to compress. The truth
    /// goes to the same name plus `.truth.json`.
    file: PathBuf,
    /// Payments in the stream.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Accounts [default: one for every twenty payments].
    #[arg(long)]
    accounts: Option<u32>,
    /// Merchants.
    #[arg(long, default_value_t = 2_000)]
    merchants: u32,
    /// The same seed and options give the same bytes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Episodes of every kind of fraud to plant.
    #[arg(long, default_value_t = 10)]
    episodes: u32,
    /// Decoys of every kind to plant, each missing one condition.
    #[arg(long, default_value_t = 10)]
    decoys: u32,
    /// Day on which it begins, at midnight UTC.
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "2026-01-05", value_parser = date)]
    date: u64,
    /// From the first to the last payment, about; `6h` or longer.
    #[arg(long, default_value = "24h", value_parser = duration)]
    duration: u64,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

impl PaymentsArgs {
    /// Generates and prints a summary.
    ///
    /// # Errors
    /// If the options contradict each other or the file cannot be written.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let config = Config {
            records: self.records,
            accounts: self.accounts.unwrap_or(0),
            merchants: self.merchants,
            seed: self.seed,
            episodes: self.episodes,
            decoys: self.decoys,
            start_ns: self.date,
            duration_ns: self.duration,
        };
        config.check()?;
        let name = self.file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let (stem, compression) = compression(name);
        let layout = match stem.rsplit_once('.') {
            Some((_, "jsonl" | "json" | "ndjson")) => Layout::Json,
            Some((_, "csv")) => Layout::Csv,
            _ => bail!(
                "{}: the name must end in .jsonl or .csv, then perhaps .gz or .zst",
                self.file.display()
            ),
        };
        let mut file = Encoder::create(&self.file, compression)?;
        let started = Instant::now();
        let mut lines = Vec::with_capacity(BUFFER_BYTES + 1_024);
        lines.extend_from_slice(layout.header().as_bytes());
        let mut bytes = 0;
        let summary = generate(&config, |payment| {
            layout.line(payment, &mut lines);
            if lines.len() >= BUFFER_BYTES {
                bytes += lines.len();
                file.write_all(&lines)?;
                lines.clear();
            }
            Ok(())
        })?;
        bytes += lines.len();
        file.write_all(&lines)?;
        file.finish()?;
        let seconds = started.elapsed().as_secs_f64();
        let truth_path = beside(&self.file);
        truth::write(&truth_path, name, &config, &summary)?;
        let decoys = summary.episodes.iter().filter(|episode| episode.decoy).count();
        let planted = summary.episodes.len() - decoys;
        let rate = summary.records as f64 / seconds;
        if self.json {
            let report = serde_json::json!({
                "file": self.file, "truth": truth_path, "records": summary.records,
                "bytes": bytes, "seconds": seconds, "records_per_s": rate,
                "planted": planted, "decoys": decoys,
            });
            println!("{report}");
        } else {
            println!(
                "{}: {} payments, {bytes} bytes in {seconds:.2} s ({:.2} M payments/s)",
                self.file.display(),
                summary.records,
                rate / 1e6,
            );
            println!("{}: {planted} episodes, {decoys} decoys", truth_path.display());
        }
        Ok(())
    }
}
