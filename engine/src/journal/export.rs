//! `corelane journal export`: entries for other programs, with typed columns.
//!
//! ```text
//! journal_seq, shard, kind, feed, flags, instrument, seq, ts_event, ts_recv, columns of the stream
//! ```
//!
//! Invariant: an entry is written once, in the order of its shard's journal; a value is the
//! record's own, never rounded.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use corelane_feeds::schema::Schema;
use corelane_strategies::registry::Registry;

use super::layouts::{Cell, Columns, Layouts};
use super::{EntryRef, JournalReader, cli, shard_dirs};
use crate::cli::exit::Failure;
use crate::rerun::Bound;

/// Header fields that come before a stream's own columns.
pub(super) const HEADER: [&str; 9] =
    ["journal_seq", "shard", "kind", "feed", "flags", "instrument", "seq", "ts_event", "ts_recv"];

/// How entries are written.
#[derive(ValueEnum, Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Format {
    /// Comma-separated values with a header, of one stream
    Csv,
    /// A JSON object a line, of all streams
    Jsonl,
    /// A Parquet file, of one stream; in programs built with the feature `parquet`
    Parquet,
}

/// Arguments of `corelane journal export`.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// The folder of a run, or of one shard
    dir: PathBuf,
    /// How to write
    #[arg(long, value_enum)]
    format: Format,
    /// The file to write; standard output if left out
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only this stream, as `action.alert`
    #[arg(long, value_name = "STREAM")]
    stream: Option<String>,
    /// Begin with this: a sequence number of the journal, or an event time in nanoseconds with `ns`
    /// behind it
    #[arg(long, value_name = "SEQ|TIME", value_parser = crate::cli::replay::bound)]
    from: Option<Bound>,
    /// End before this
    #[arg(long, value_name = "SEQ|TIME", value_parser = crate::cli::replay::bound)]
    until: Option<Bound>,
}

/// Takes the entries of an export.
pub(super) trait Target {
    /// An entry of a shard.
    fn entry(&mut self, shard: u32, entry: &EntryRef<'_>) -> anyhow::Result<()>;
    /// There are no more.
    fn finish(self: Box<Self>) -> anyhow::Result<()>;
}

/// Writes the entries that are asked for; `out` is the standard output.
///
/// # Errors
/// If the journal cannot be read or is damaged, the stream is not known, or nothing can be written.
pub(super) fn export(
    args: &ExportArgs,
    registry: &Registry,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let layouts = Layouts::of(&args.dir, registry);
    let schema = match &args.stream {
        Some(name) => Some(find(&args.dir, &layouts, name)?),
        None => None,
    };
    let file = || -> anyhow::Result<Option<File>> {
        let Some(path) = &args.out else { return Ok(None) };
        let file = File::create(path);
        Ok(Some(file.with_context(|| format!("cannot write {}", path.display()))?))
    };
    let of_one = || {
        schema.map(Columns::of).ok_or_else(|| {
            let what = "this format has the columns of one stream: say which with --stream; \
                        `corelane journal inspect` shows those that are there";
            Failure::config(what)
        })
    };
    let text = |file: Option<File>| -> Box<dyn Write + '_> {
        match file {
            Some(file) => Box::new(BufWriter::new(file)),
            None => Box::new(BufWriter::new(out)),
        }
    };
    let mut target: Box<dyn Target + '_> = match args.format {
        Format::Csv => {
            let columns = of_one()?;
            Box::new(Csv::begin(text(file()?), columns)?)
        }
        Format::Jsonl => {
            Box::new(Jsonl { file: text(file()?), layouts: &layouts, line: Vec::new() })
        }
        Format::Parquet => parquet(of_one()?, &file)?,
    };
    for dir in shard_dirs(&args.dir)? {
        export_shard(&dir, args, schema, target.as_mut())
            .with_context(|| format!("journal {}", dir.display()))?;
    }
    target.finish()
}

/// Opens the file that is asked for, if one is.
type Opens<'a> = dyn Fn() -> anyhow::Result<Option<File>> + 'a;

#[cfg(feature = "parquet")]
fn parquet(columns: Columns, file: &Opens<'_>) -> anyhow::Result<Box<dyn Target>> {
    let file = file()?.ok_or_else(|| Failure::config("a Parquet file needs a name: say --out"))?;
    Ok(Box::new(super::parquet::Parquet::begin(file, columns)?))
}

#[cfg(not(feature = "parquet"))]
fn parquet(_: Columns, _: &Opens<'_>) -> anyhow::Result<Box<dyn Target>> {
    let what = "this program writes no Parquet: build it with `--features parquet`";
    Err(Failure::config(what).into())
}

fn export_shard(
    dir: &Path,
    args: &ExportArgs,
    schema: Option<&Schema>,
    target: &mut dyn Target,
) -> anyhow::Result<()> {
    let mut reader = JournalReader::open(dir)?;
    let shard = reader.header().map_or(0, |header| header.shard);
    while let Some(entry) = reader.read()? {
        let is_before = |bound: Bound| match bound {
            Bound::Seq(seq) => entry.seq < seq,
            Bound::Time(time) => entry.record.header.ts_event < time,
        };
        // Entries are in the order of their numbers, and nearly in that of their times.
        if args.from.is_some_and(is_before) || args.until.is_some_and(|until| !is_before(until)) {
            continue;
        }
        if schema.is_none_or(|schema| schema.stream == entry.record.header.stream) {
            target.entry(shard, &entry)?;
        }
    }
    Ok(())
}

/// The schema of the stream of a name, among those that the journal has.
fn find(dir: &Path, layouts: &Layouts, name: &str) -> anyhow::Result<&'static Schema> {
    let mut known = std::collections::BTreeMap::new();
    for dir in shard_dirs(dir)? {
        let mut reader = JournalReader::open(&dir)?;
        while let Some(entry) = reader.read()? {
            let stream = entry.record.header.stream;
            if let std::collections::btree_map::Entry::Vacant(place) = known.entry(stream) {
                place.insert(layouts.schema(stream));
            }
        }
    }
    let all = || known.values().flatten();
    all().find(|schema| schema.name.eq_ignore_ascii_case(name)).copied().ok_or_else(|| {
        let names: Vec<&str> = all().map(|schema| schema.name).collect();
        let names = names.join(", ");
        Failure::bad_data(format!("no record of stream `{name}`: there are {names}")).into()
    })
}

/// What an entry is, as the numbers of the header fields that are numbers.
pub(super) fn origin(shard: u32, entry: &EntryRef<'_>) -> [u64; 8] {
    let header = &entry.record.header;
    [
        entry.seq,
        shard.into(),
        header.feed.into(),
        header.flags.into(),
        header.instrument.into(),
        header.seq.0,
        header.ts_event.0,
        header.ts_recv.0,
    ]
}

struct Jsonl<'a, W> {
    file: W,
    layouts: &'a Layouts,
    line: Vec<u8>,
}

impl<W: Write> Target for Jsonl<'_, W> {
    fn entry(&mut self, shard: u32, entry: &EntryRef<'_>) -> anyhow::Result<()> {
        self.line.clear();
        write!(self.line, r#"{{"shard":{shard},"#)?;
        let rest = self.line.len();
        let EntryRef { seq, kind, segment, offset, record, .. } = *entry;
        let origin = (seq, kind, segment, offset);
        cli::write_record(origin, record, self.layouts, &mut self.line)?;
        // The object goes on where the shard left it.
        self.line.remove(rest);
        self.line.push(b'\n');
        Ok(self.file.write_all(&self.line)?)
    }

    fn finish(mut self: Box<Self>) -> anyhow::Result<()> {
        Ok(self.file.flush()?)
    }
}

struct Csv<W> {
    file: W,
    columns: Columns,
    line: Vec<u8>,
}

impl<W: Write> Csv<W> {
    fn begin(mut file: W, columns: Columns) -> anyhow::Result<Self> {
        let names = HEADER.into_iter().chain(columns.fields().map(|field| field.name));
        writeln!(file, "{}", names.collect::<Vec<_>>().join(","))?;
        Ok(Self { file, columns, line: Vec::new() })
    }
}

impl<W: Write> Target for Csv<W> {
    fn entry(&mut self, shard: u32, entry: &EntryRef<'_>) -> anyhow::Result<()> {
        let Self { file, columns, line } = self;
        line.clear();
        let [seq, shard, rest @ ..] = origin(shard, entry);
        write!(line, "{seq},{shard},{}", entry.kind.name())?;
        rest.iter().try_for_each(|value| write!(line, ",{value}"))?;
        for cell in columns.cells(entry.record) {
            line.push(b',');
            write_cell(cell, line)?;
        }
        line.push(b'\n');
        Ok(file.write_all(line)?)
    }

    fn finish(mut self: Box<Self>) -> anyhow::Result<()> {
        Ok(self.file.flush()?)
    }
}

fn write_cell(cell: Cell<'_>, out: &mut Vec<u8>) -> std::io::Result<()> {
    match cell {
        Cell::Text(text) if text.iter().any(|byte| b",\"\n\r".contains(byte)) => {
            write!(out, "\"{}\"", cell.to_string().replace('"', "\"\""))
        }
        cell => write!(out, "{cell}"),
    }
}
