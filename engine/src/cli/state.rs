//! `corelane state`: books, windows, partial matches and group windows as they were at a record.
//!
//! Invariant: what is shown is the state that a shard had after the last record before the place
//! that was asked for, and after every action that this record led to.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use corelane_feeds::record::Header;
use corelane_strategies::kept::{Kept, KeptRow};
use corelane_strategies::registry::Registry;
use serde_json::{Map, Value, json};
use zerocopy::{FromBytes, IntoBytes};

use super::replay::{bound, decided_then};
use crate::config::Config;
use crate::journal::{Cell, Columns, Layouts, shard_dirs};
use crate::rerun::{Bound, for_shards};
use crate::snapshot::{Replica, ReplicaStart, travel};

/// Arguments of `corelane state`.
#[derive(Args, Debug)]
pub struct StateArgs {
    /// The configuration; with --journal the one that decided then, if left out
    #[arg(required_unless_present = "journal")]
    config: Option<PathBuf>,
    /// The folder of the run; the one that the configuration names, if left out
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// Before this record, a sequence number of the journal, or before the first of an event time,
    /// in nanoseconds with `ns` behind it; after the last record, if left out
    #[arg(long, value_name = "SEQ|TIME", value_parser = bound)]
    until: Option<Bound>,
    /// Only what is kept of this symbol or key, or of keys that have it as a part
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// The most things to show of each shard as text
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    limit: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints what every shard kept.
///
/// # Errors
/// If the journal cannot be read, or does not decide what it decided.
pub fn run(args: &StateArgs, registry: &Registry, out: &mut impl Write) -> anyhow::Result<()> {
    let (journal, config) = journal_of(args, registry)?;
    let dirs = shard_dirs(&journal)?;
    let config = for_shards(&config, dirs.len());
    let mut all = Vec::new();
    for (shard, dir) in dirs.iter().enumerate() {
        let start =
            ReplicaStart { run: &journal, config: &config, registry, shard, resident: false };
        let replica = travel::at(&start, dir, args.until)
            .with_context(|| format!("journal {}", dir.display()))?;
        let (kept, layouts) = (kept(&replica, args), Layouts::of_rules(replica.rules()));
        if args.json {
            let kept: Vec<Value> = kept.iter().map(|kept| to_json(kept, &layouts)).collect();
            let (entry, ts_event) = (replica.seq(), replica.watermark.0);
            all.push(json!({ "shard": shard, "entry": entry, "ts_event": ts_event, "kept": kept }));
        } else {
            print(shard, &replica, (&kept, args.limit), &layouts, out)?;
        }
    }
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &all)?;
        writeln!(out)?;
    }
    Ok(())
}

/// Where the journal is, and what decided when it began.
fn journal_of(args: &StateArgs, registry: &Registry) -> anyhow::Result<(PathBuf, Config)> {
    if let Some(journal) = &args.journal {
        return Ok((journal.clone(), decided_then(journal, args.config.as_deref(), registry)?));
    }
    // One of both is there, or the command line would have been refused.
    let config = Config::load(args.config.as_deref().unwrap_or(Path::new("")), registry)?;
    let journal = config.journal.dir;
    let config = decided_then(&journal, None, registry)?;
    Ok((journal, config))
}

/// What is asked for of all that a shard keeps, with symbols where books know them.
fn kept(replica: &Replica, args: &StateArgs) -> Vec<Kept> {
    let (mut all, mut symbols) = (Vec::new(), HashMap::new());
    replica.tell(&mut |mut kept| {
        if let Some(instrument) = kept.instrument {
            if kept.key.is_empty() {
                kept.key = symbols.get(&instrument).cloned().unwrap_or_else(|| {
                    let (feed, number) = instrument;
                    format!("feed {feed} instrument {number}")
                });
            } else {
                symbols.insert(instrument, kept.key.clone());
            }
        }
        let is_asked = args.key.as_ref().is_none_or(|key| {
            let mut parts = kept.key.split('/').chain([kept.key.as_str()]);
            parts.any(|part| part.eq_ignore_ascii_case(key))
        });
        if is_asked {
            all.push(kept);
        }
    });
    all
}

fn print(
    shard: usize,
    replica: &Replica,
    (kept, limit): (&[Kept], usize),
    layouts: &Layouts,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let (seq, time) = (replica.seq(), replica.watermark.0);
    writeln!(out, "shard {shard} after entry {seq}, event time {time} ns")?;
    for Kept { what, owner, key, values, rows, .. } in kept.iter().take(limit) {
        let key = if key.is_empty() { String::new() } else { format!(" {key}") };
        let values: Vec<String> = values.iter().map(|(name, v)| format!("{name} {v}")).collect();
        writeln!(out, "{what}{key} ({owner}): {}", values.join(", "))?;
        for row in rows {
            let columns = columns(row, layouts);
            let columns: Vec<String> = columns.iter().map(|(n, v)| format!("{n} {v}")).collect();
            let colon = if columns.is_empty() { "" } else { ": " };
            writeln!(out, "  {}{colon}{}", row.label, columns.join(", "))?;
        }
    }
    if let Some(more) = kept.len().checked_sub(limit).filter(|more| *more > 0) {
        writeln!(out, "and {more} more: --limit shows them, --key chooses")?;
    }
    Ok(())
}

/// What is kept of a row's record; of a column that is not, nothing.
fn columns(row: &KeptRow, layouts: &Layouts) -> Vec<(&'static str, String)> {
    let bytes = row.words.as_bytes();
    let Ok((header, _)) = Header::read_from_prefix(bytes) else { return Vec::new() };
    let Some(schema) = layouts.schema(header.stream) else { return Vec::new() };
    let origin = [
        ("stream", schema.name.to_owned()),
        ("feed", header.feed.to_string()),
        ("seq", header.seq.0.to_string()),
        ("ts_event", header.ts_event.0.to_string()),
    ];
    let columns = Columns::of(schema);
    let cells = columns.fields().zip(columns.cells_of(bytes));
    let cells = cells.filter(|(_, cell)| *cell != Cell::Null);
    origin.into_iter().chain(cells.map(|(field, cell)| (field.name, cell.to_string()))).collect()
}

fn to_json(kept: &Kept, layouts: &Layouts) -> Value {
    let Kept { what, owner, key, values, rows, .. } = kept;
    let values: Map<String, Value> =
        values.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let rows = rows.iter().map(|row| {
        let columns = columns(row, layouts).into_iter();
        let columns = columns.map(|(name, value)| (name.to_owned(), Value::from(value)));
        let label = ("as".to_owned(), Value::from(row.label.clone()));
        [label].into_iter().chain(columns).collect::<Map<_, _>>()
    });
    let rows: Vec<_> = rows.collect();
    json!({ "what": what, "of": owner, "key": key, "values": values, "rows": rows })
}
