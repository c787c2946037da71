//! `corelane journal`: look into journals, check, compare, export and repair them.
//!
//! Invariant: nothing but `repair --write` changes what a journal holds. Damage is an error (65)
//! that names segment and offset; a torn tail is reported and is none; journals that differ are the
//! answer "no" (1).

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use corelane_feeds::record::Record;
use corelane_strategies::registry::Registry;
use serde::Serialize;

use super::counted::{Counted, threads};
use super::export::{ExportArgs, export};
use super::repair::{RepairArgs, repair};
use super::{
    Comparison, Difference, Entry, Ignore, JournalError, JournalReader, Kind, Layouts, Retained,
    Retention, Tail, compare, retain, shard_dirs,
};
use crate::egress::format_record_json;
use crate::recover::DirLock;
use crate::sys::disk::PlainDisk;

/// What to do with journals.
#[derive(Subcommand, Debug)]
pub enum JournalCommand {
    /// Say what is in a journal, or list its entries
    Inspect(InspectArgs),
    /// Check every byte of a journal
    Verify(VerifyArgs),
    /// Say where two journals first differ
    Diff(DiffArgs),
    /// Compress full segments on disk; whatever reads journals reads them as before
    Compress(CompressArgs),
    /// Cut what is torn or damaged off a journal, into files beside it
    Repair(RepairArgs),
    /// Write entries as CSV or JSON lines, with the columns of their streams
    Export(ExportArgs),
}

/// Arguments of `corelane journal inspect`.
#[derive(Args, Debug)]
pub struct InspectArgs {
    /// The folder of a run, or of one shard
    dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// List this many entries of each shard instead, one JSON object a line
    #[arg(long, value_name = "COUNT")]
    entries: Option<u64>,
    /// With --entries: begin with this sequence number
    #[arg(long, value_name = "SEQ", default_value_t = 1, requires = "entries")]
    from: u64,
}

/// Arguments of `corelane journal verify`.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// The folder of a run, or of one shard
    dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `corelane journal diff`.
#[derive(Args, Debug)]
pub struct DiffArgs {
    /// The folder of a run, or of one shard
    a: PathBuf,
    /// The folder to compare it with
    b: PathBuf,
    /// Nothing may differ, not even the times of receipt and the ticks of silent moments
    #[arg(long)]
    exact: bool,
}

/// Arguments of `corelane journal compress`.
#[derive(Args, Debug)]
pub struct CompressArgs {
    /// The folder of a run that has ended
    dir: PathBuf,
}

/// Runs a command.
///
/// # Errors
/// If a journal cannot be read, is damaged, or differs from the one it is compared with.
pub fn run(
    command: &JournalCommand,
    registry: &Registry,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    match command {
        JournalCommand::Inspect(args) => inspect(args, registry, out),
        JournalCommand::Verify(args) => verify(args, out),
        JournalCommand::Diff(args) => diff(args, registry, out),
        JournalCommand::Compress(args) => compress(args, out),
        JournalCommand::Repair(args) => repair(args, out),
        JournalCommand::Export(args) => export(args, registry, out),
    }
}

/// What is in one shard's journal.
#[derive(Serialize, Default, Debug)]
struct Summary {
    folder: String,
    journal_id: String,
    shard: u32,
    config_hash: String,
    created: u64,
    segments: usize,
    entries: u64,
    bytes: u64,
    first_seq: Option<u64>,
    last_seq: Option<u64>,
    ts_event_first: Option<u64>,
    ts_event_last: Option<u64>,
    kinds: BTreeMap<&'static str, u64>,
    streams: BTreeMap<String, u64>,
    /// `closed`, `open`, `torn` or `damaged`.
    tail: &'static str,
    torn_segment: Option<u64>,
    torn_offset: Option<u64>,
    torn_bytes: Option<u64>,
    damage: Option<String>,
}

impl Summary {
    fn of(dir: &Path, layouts: &Layouts) -> Result<(Self, Option<JournalError>), JournalError> {
        let reader = JournalReader::open(dir)?;
        let mut summary = Self {
            folder: dir.display().to_string(),
            segments: reader.segments(),
            ..Self::default()
        };
        if let Some(header) = reader.header() {
            let [low, high] = header.journal_id;
            summary.journal_id = format!("{high:016x}{low:016x}");
            summary.shard = header.shard;
            summary.config_hash = format!("{:016x}", header.config_hash);
            summary.created = header.created.0;
        }
        let counted = Counted::of(reader, threads());
        let Counted { entries, bytes, tail, failure, .. } = &counted;
        (summary.entries, summary.bytes) = (*entries, *bytes);
        (summary.first_seq, summary.last_seq) = (counted.first_seq, counted.last_seq);
        summary.ts_event_first = counted.ts_event_first;
        summary.ts_event_last = counted.ts_event_last;
        for ((kind, stream), count) in counted.kinds() {
            *summary.kinds.entry(kind.name()).or_default() += count;
            let unknown = || format!("{:#06x}", stream.0);
            let schema = layouts.schema(stream);
            let name = schema.map_or_else(unknown, |schema| schema.name.to_owned());
            *summary.streams.entry(name).or_default() += count;
        }
        summary.end(*tail, failure.as_ref());
        Ok((summary, counted.failure))
    }

    fn end(&mut self, tail: Option<Tail>, failure: Option<&JournalError>) {
        self.damage = failure.map(ToString::to_string);
        self.tail = match tail {
            None => "damaged",
            Some(Tail::Closed) => "closed",
            Some(Tail::Open) => "open",
            Some(Tail::Torn { segment, offset, bytes }) => {
                self.torn_segment = Some(segment);
                self.torn_offset = Some(offset);
                self.torn_bytes = Some(bytes);
                "torn"
            }
        };
    }

    /// Which entries are not there any more.
    fn behind(&self) -> String {
        match self.first_seq {
            Some(first) if first > 1 => format!(" (those up to {} were retired)", first - 1),
            _ => String::new(),
        }
    }

    /// One line on how it ends.
    fn ending(&self) -> String {
        match (self.tail, self.torn_segment, self.torn_offset, self.torn_bytes) {
            ("closed", ..) => "closed".to_owned(),
            ("open", ..) => "not closed, ends behind a whole entry".to_owned(),
            (_, Some(segment), Some(offset), Some(bytes)) => {
                format!("torn: {bytes} bytes from byte {offset} of segment {segment} are no entry")
            }
            _ => self.damage.clone().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: shard {}, journal {}", self.folder, self.shard, self.journal_id)?;
        writeln!(f, "  segments {}, configuration {}", self.segments, self.config_hash)?;
        write!(f, "  entries {} ({} bytes of records)", self.entries, self.bytes)?;
        if let (Some(first), Some(last)) = (self.first_seq, self.last_seq) {
            write!(f, ", {first} to {last}")?;
        }
        writeln!(f, "{}", self.behind())?;
        if let (Some(first), Some(last)) = (self.ts_event_first, self.ts_event_last) {
            writeln!(f, "  event time {first} to {last} ns")?;
        }
        for (kind, count) in &self.kinds {
            writeln!(f, "  {kind:<24} {count:>14}")?;
        }
        for (stream, count) in &self.streams {
            writeln!(f, "    {stream:<22} {count:>14}")?;
        }
        writeln!(f, "  {}", self.ending())
    }
}

/// Says what is in a journal, or lists its entries.
///
/// # Errors
/// If it cannot be read or is damaged; what comes before the damage is printed.
pub fn inspect(
    args: &InspectArgs,
    registry: &Registry,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    if let Some(count) = args.entries {
        let layouts = Layouts::of(&args.dir, registry);
        for dir in shard_dirs(&args.dir)? {
            list(&dir, args.from, count, &layouts, out)?;
        }
        return Ok(());
    }
    let (summaries, failure) = summaries(&args.dir, &Layouts::of(&args.dir, registry))?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &summaries)?;
        writeln!(out)?;
    } else {
        for summary in &summaries {
            write!(out, "{summary}")?;
        }
    }
    failure.map_or(Ok(()), |error| Err(error.into()))
}

/// Reads a journal to its end and says whether all of it is as it was written.
///
/// # Errors
/// If it cannot be read or is damaged.
pub fn verify(args: &VerifyArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let (summaries, failure) = summaries(&args.dir, &Layouts::default())?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &summaries)?;
        writeln!(out)?;
    } else {
        for summary in &summaries {
            let (entries, behind) = (summary.entries, summary.behind());
            writeln!(out, "{}: {entries} entries{behind}, {}", summary.folder, summary.ending())?;
        }
    }
    failure.map_or(Ok(()), |error| Err(error.into()))
}

/// Compresses every full segment.
///
/// # Errors
/// If a run is at work there, or a segment cannot be read or written.
pub fn compress(args: &CompressArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let _lock = DirLock::take(&args.dir)?;
    let policy = Retention { compress: true, ..Retention::default() };
    for dir in shard_dirs(&args.dir)? {
        let done = retain(&PlainDisk, &dir, 0, &policy, SystemTime::now())?;
        let Retained { compressed, freed_bytes, .. } = done;
        let dir = dir.display();
        writeln!(out, "{dir}: {compressed} segments compressed, {freed_bytes} bytes freed")?;
    }
    Ok(())
}

/// Every shard's summary, and the first damage.
fn summaries(
    dir: &Path,
    layouts: &Layouts,
) -> anyhow::Result<(Vec<Summary>, Option<JournalError>)> {
    let mut all = Vec::new();
    let mut first = None;
    for dir in shard_dirs(dir)? {
        let (summary, failure) =
            Summary::of(&dir, layouts).with_context(|| format!("journal {}", dir.display()))?;
        all.push(summary);
        first = first.or(failure);
    }
    Ok((all, first))
}

fn list(
    dir: &Path,
    from: u64,
    count: u64,
    layouts: &Layouts,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut line = Vec::new();
    let mut left = count;
    for entry in JournalReader::open(dir)? {
        let entry = entry?;
        if left == 0 {
            break;
        }
        if entry.seq >= from {
            left -= 1;
            line.clear();
            write_entry(&entry, layouts, &mut line)?;
            line.push(b'\n');
            out.write_all(&line)?;
        }
    }
    Ok(())
}

fn write_entry(entry: &Entry, layouts: &Layouts, out: &mut Vec<u8>) -> std::io::Result<()> {
    let Entry { seq, kind, segment, offset, .. } = entry;
    write_record((*seq, *kind, *segment, *offset), entry.record(), layouts, out)
}

/// Appends an entry as a JSON object.
pub(super) fn write_record(
    (seq, kind, segment, offset): (u64, Kind, u64, u64),
    record: &Record,
    layouts: &Layouts,
    out: &mut Vec<u8>,
) -> std::io::Result<()> {
    write!(out, r#"{{"journal_seq":{seq},"kind":"{}","segment":{segment},"#, kind.name())?;
    write!(out, r#""offset":{offset},"record":"#)?;
    match layouts.schema(record.header.stream) {
        Some(schema) => format_record_json(record, schema, out),
        None => write!(out, r#"{{"stream":"{:#06x}"}}"#, record.header.stream.0)?,
    }
    out.push(b'}');
    Ok(())
}

/// Compares two runs, shard by shard, and says where they first differ.
///
/// # Errors
/// If they differ, or one cannot be read.
pub fn diff(args: &DiffArgs, registry: &Registry, out: &mut impl Write) -> anyhow::Result<()> {
    let layouts = Layouts::of(&args.a, registry);
    let ignore = if args.exact { Ignore::NOTHING } else { Ignore::REPLAY };
    let (a, b) = (shard_dirs(&args.a)?, shard_dirs(&args.b)?);
    if a.len() != b.len() {
        bail!("{} shards against {}: they cannot be compared one by one", a.len(), b.len());
    }
    let mut differ = 0;
    for (a, b) in a.iter().zip(&b) {
        let outcome = compare(a, b, ignore)?;
        describe(a, &outcome, &layouts, out)?;
        differ += usize::from(!outcome.is_equal());
    }
    if differ > 0 {
        bail!("the journals of {differ} of {} shards differ", a.len());
    }
    Ok(())
}

fn describe(
    dir: &Path,
    outcome: &Comparison,
    layouts: &Layouts,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let name = dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy();
    let Comparison { equal_entries, ticks, difference, .. } = outcome;
    let Some(difference) = difference else {
        let ticks: u64 = ticks.iter().sum();
        writeln!(out, "{name}: equal, {equal_entries} entries, {ticks} ticks passed over")?;
        return Ok(());
    };
    writeln!(out, "{name}: differ after {equal_entries} equal entries")?;
    let Difference { a, b } = &**difference;
    for (side, entry) in [("a", a), ("b", b)] {
        let mut line = Vec::new();
        match entry {
            Some(entry) => write_entry(entry, layouts, &mut line)?,
            None => line.extend_from_slice(b"ended"),
        }
        writeln!(out, "  {side}: {}", String::from_utf8_lossy(&line))?;
    }
    Ok(())
}
