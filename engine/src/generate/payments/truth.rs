//! The truth beside a stream of payments: `<file>.truth.json`.
//!
//! Invariant: what it says of the stream can be found in the stream alone, by the definitions that
//! it names.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use super::{CREATE_STREAM, Config, Episode, Fraud, Summary};

#[derive(Serialize)]
struct Truth<'a> {
    source: &'static str,
    version: &'static str,
    file: &'a str,
    create_stream: &'static str,
    seed: u64,
    accounts: u32,
    merchants: u32,
    duration_ns: u64,
    records: u64,
    card_payments: u64,
    transfers: u64,
    amount_sum: String,
    ts_first_ns: u64,
    ts_last_ns: u64,
    definitions: BTreeMap<&'static str, &'static str>,
    counts: BTreeMap<&'static str, usize>,
    episodes: Vec<&'a Episode>,
    decoys: Vec<&'a Episode>,
}

/// Writes the truth about a stream to `path`.
pub(super) fn write(
    path: &Path,
    file: &str,
    config: &Config,
    summary: &Summary,
) -> anyhow::Result<()> {
    let (decoys, episodes): (Vec<&Episode>, Vec<&Episode>) =
        summary.episodes.iter().partition(|episode| episode.decoy);
    let of = |kind: Fraud| episodes.iter().filter(|episode| episode.kind == kind).count();
    let truth = Truth {
        source: "corelane generate payments",
        version: env!("CARGO_PKG_VERSION"),
        file,
        create_stream: CREATE_STREAM,
        seed: config.seed,
        accounts: config.account_count(),
        merchants: config.merchants,
        duration_ns: config.duration_ns,
        records: summary.records,
        card_payments: summary.cards,
        transfers: summary.records - summary.cards,
        amount_sum: format!("{}.{:02}", summary.cents / 100, summary.cents % 100),
        ts_first_ns: summary.ts_first_ns,
        ts_last_ns: summary.ts_last_ns,
        definitions: Fraud::ALL.iter().map(|kind| (kind.name(), kind.definition())).collect(),
        counts: Fraud::ALL.iter().map(|&kind| (kind.name(), of(kind))).collect(),
        episodes,
        decoys,
    };
    let created = File::create(path).with_context(|| format!("cannot create {}", path.display()));
    let mut writer = BufWriter::new(created?);
    serde_json::to_writer_pretty(&mut writer, &truth)?;
    writer.write_all(b"\n")?;
    writer.flush().with_context(|| format!("cannot write {}", path.display()))
}
