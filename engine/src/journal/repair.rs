//! `corelane journal repair`: makes a journal whose end is torn, or which is damaged, one that can
//! be read and gone on with.
//!
//! Invariant: without `--write` nothing is changed; with it no byte is lost: what is taken off lies
//! in files beside the segments. What is damaged before its end is only cut where it is told to.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;
use clap::Args;

use super::{JournalError, JournalReader, Tail, mend, segment_path, segments, shard_dirs};
use crate::cli::exit::Failure;
use crate::recover::DirLock;
use crate::snapshot;

/// Arguments of `corelane journal repair`.
#[derive(Args, Debug)]
pub struct RepairArgs {
    /// The folder of a run, or of one shard
    dir: PathBuf,
    /// Do it: without this it only says what it would do
    #[arg(long)]
    write: bool,
    /// Take off everything from this place on, as `SEGMENT:OFFSET`: where an entry of the one shard
    /// begins, or where the damage is
    #[arg(long, value_name = "SEGMENT:OFFSET")]
    cut_at: Option<CutAt>,
}

/// A place in a journal.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct CutAt {
    segment: u64,
    offset: u64,
}

impl FromStr for CutAt {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once(':').and_then(|(segment, offset)| {
            Some(Self { segment: segment.parse().ok()?, offset: offset.parse().ok()? })
        });
        parts.ok_or("not of the form SEGMENT:OFFSET, as 3:4096")
    }
}

/// What a journal is like.
enum Looked {
    Whole,
    Torn { at: CutAt, bytes: u64 },
    Broken { at: CutAt, error: JournalError },
}

/// Says what is to be done, and does it if that was asked for.
///
/// # Errors
/// If a journal cannot be read, is damaged before its end and no place to cut was given, or is in
/// use.
pub(super) fn repair(args: &RepairArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let dirs = shard_dirs(&args.dir)?;
    if args.cut_at.is_some() && dirs.len() > 1 {
        let what = "--cut-at is for one shard: name its folder";
        return Err(Failure::config(what).into());
    }
    let run = if dirs[0] == args.dir { args.dir.parent().unwrap_or(&args.dir) } else { &args.dir };
    let _lock = if args.write { Some(DirLock::take(run)?) } else { None };
    let mut refused = None;
    for dir in dirs {
        let done = repair_shard(&dir, args, out);
        let done = done.with_context(|| format!("journal {}", dir.display()));
        if let Err(error) = done {
            refused.get_or_insert(error);
        }
    }
    refused.map_or(Ok(()), Err)
}

fn repair_shard(dir: &Path, args: &RepairArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let name = dir.display();
    let (at, why) = match (look(dir, args.cut_at)?, args.cut_at) {
        (Looked::Whole, None) => {
            writeln!(out, "{name}: whole, there is nothing to repair")?;
            return Ok(());
        }
        (Looked::Torn { at, bytes }, None) => (at, format!("its last {bytes} bytes are torn")),
        (Looked::Broken { at, error }, None) => {
            let CutAt { segment, offset } = at;
            let message = format!(
                "{error}\n  put the segment back from a copy; or give up all that comes behind the \
                 last whole entry before it:\n  corelane journal repair {name} --cut-at \
                 {segment}:{offset}"
            );
            return Err(Failure::bad_data(message).into());
        }
        (_, Some(at)) => (at, "as it was told".to_owned()),
    };
    let moved = plan(dir, at)?;
    let would = if args.write { "" } else { "would " };
    let CutAt { segment, offset } = at;
    writeln!(out, "{name}: {why}; {would}cut at byte {offset} of segment {segment}")?;
    for (what, to) in &moved {
        writeln!(out, "  {would}move {what} into {}", to.display())?;
    }
    for (seq, _) in snapshot::list(dir)? {
        if seq >= seq_at(dir, at)? {
            writeln!(out, "  the snapshot of entry {seq} is newer then, and no longer used")?;
        }
    }
    if !args.write {
        writeln!(out, "  nothing was done: say --write to do it")?;
        return Ok(());
    }
    cut(dir, at)?;
    writeln!(out, "  done; no byte was thrown away")?;
    Ok(())
}

/// Reads a journal as far as it goes, or to a place, which has to be where an entry begins.
fn look(dir: &Path, until: Option<CutAt>) -> anyhow::Result<Looked> {
    let mut reader = JournalReader::open(dir)?;
    loop {
        let (segment, offset) = reader.position();
        let at = CutAt { segment, offset };
        if until == Some(at) {
            return Ok(Looked::Whole);
        }
        match reader.read() {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => {
                // Behind the last end marker, if the next segment is the one that is broken.
                let (segment, offset) = reader.position();
                let at = CutAt { segment, offset };
                if until.is_none() || until == Some(at) {
                    return Ok(Looked::Broken { at, error });
                }
                return Err(no_entry(until, Some(at)));
            }
        }
    }
    if until.is_some() {
        return Err(no_entry(until, None));
    }
    Ok(match reader.tail() {
        Some(Tail::Torn { bytes, .. }) => {
            // If it is a header, what goes begins with the end marker that names its segment.
            let (segment, offset) = reader.position();
            Looked::Torn { at: CutAt { segment, offset }, bytes }
        }
        _ => Looked::Whole,
    })
}

fn no_entry(at: Option<CutAt>, damage: Option<CutAt>) -> anyhow::Error {
    let CutAt { segment, offset } = at.unwrap_or(CutAt { segment: 0, offset: 0 });
    let damage = damage.map_or_else(String::new, |at| {
        format!("; the journal can be read up to {}:{}", at.segment, at.offset)
    });
    Failure::bad_data(format!("no entry begins at {segment}:{offset}{damage}")).into()
}

/// Sequence number of the entry at a place.
fn seq_at(dir: &Path, at: CutAt) -> anyhow::Result<u64> {
    let mut reader = JournalReader::open(dir)?;
    while reader.position() != (at.segment, at.offset) {
        if reader.read().ok().flatten().is_none() {
            break;
        }
    }
    Ok(reader.next_seq())
}

/// What a cut moves, and where to.
fn plan(dir: &Path, at: CutAt) -> Result<Vec<(String, PathBuf)>, JournalError> {
    let mut moved = vec![(
        format!("the rest of segment {}", at.segment),
        mend::cut_path(dir, at.segment, at.offset),
    )];
    for (number, _) in segments(dir)? {
        if number > at.segment {
            moved.push((format!("segment {number}"), mend::cut_path(dir, number, 0)));
        }
    }
    Ok(moved)
}

/// Cuts: the later segments first, so that a death in between leaves a journal that is as broken as
/// before and can be cut again.
fn cut(dir: &Path, at: CutAt) -> Result<(), JournalError> {
    for (number, path) in segments(dir)?.into_iter().rev() {
        if number > at.segment {
            let to = mend::cut_path(dir, number, 0);
            fs::rename(&path, &to).map_err(JournalError::io("move", &path))?;
        }
    }
    let path = segment_path(dir, at.segment);
    let length = fs::metadata(&path).map_err(JournalError::io("look at", &path))?.len();
    let bytes = length.saturating_sub(at.offset);
    if at.offset == 0 {
        // Not even its header is whole.
        let to = mend::cut_path(dir, at.segment, 0);
        return fs::rename(&path, &to).map_err(JournalError::io("move", &path));
    }
    mend::cut_torn(dir, Tail::Torn { segment: at.segment, offset: at.offset, bytes })
}
