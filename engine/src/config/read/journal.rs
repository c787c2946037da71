//! From text to [`JournalSection`].
//!
//! Invariant: a journal that is to survive a power cut names a folder for that, and it is not the
//! one in memory. One whose segments are retired has snapshots.

use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;

use super::super::value::{Bytes, DurationNs, Table};
use super::super::{JournalSection, Start};
use super::bounded;
use crate::journal::{Durability, Retention};
use crate::snapshot::SNAPSHOTS_MAX_DEFAULT;

const SEGMENT_BYTES: u64 = 64 << 20;
const SEGMENT_BYTES_MIN: u64 = 64 << 10;
/// Time between two commits.
const INTERVAL_NS: u64 = 10_000_000;
const INTERVAL_NS_MAX: u64 = 60_000_000_000;
const GROUP_BYTES: u64 = 1 << 20;
const GROUP_BYTES_MIN: u64 = 64 << 10;
const GROUP_BYTES_MAX: u64 = 64 << 20;
/// Full, durable segments that stay in memory.
const HOT_SEGMENTS: usize = 4;

pub(super) fn read(table: Option<Table<'_>>, name: &str) -> JournalSection {
    let mut journal = JournalSection {
        enabled: true,
        dir: PathBuf::from("/dev/shm").join(format!("corelane-{name}")),
        segment_bytes: SEGMENT_BYTES,
        start: Start::Recover,
        retain: Retention::default(),
        durability: Durability::Process,
        durable_dir: None,
        interval_ns: INTERVAL_NS,
        group_bytes: GROUP_BYTES,
        hot_segments: HOT_SEGMENTS as u64,
        snapshot_every: 0,
        snapshots_max: SNAPSHOTS_MAX_DEFAULT,
    };
    let Some(mut table) = table else { return journal };
    journal.enabled = table.or("enabled", true);
    journal.dir = table.or("dir", journal.dir);
    journal.start = table.or("start", journal.start);
    if let Some(segment) = table.optional::<Bytes>("segment") {
        journal.segment_bytes = segment.get_ref().0;
        let whole_pages = journal.segment_bytes.is_multiple_of(4096);
        if journal.segment_bytes < SEGMENT_BYTES_MIN || !whole_pages {
            let title = "`segment` must be at least 64KiB and a multiple of 4KiB";
            table.report(segment.span(), title, format!("found {} bytes", journal.segment_bytes));
        }
    }
    journal.snapshot_every = table.or("snapshot_every", 0);
    let keep = journal.snapshots_max;
    journal.snapshots_max = bounded(&mut table, "snapshots_max", keep, 1..=64);
    read_retention(&mut table, &mut journal);
    read_durability(&mut table, &mut journal);
    table.finish();
    journal
}

fn read_retention(table: &mut Table<'_>, journal: &mut JournalSection) {
    let bytes = table.optional::<Bytes>("retain_bytes");
    let age = table.optional::<DurationNs>("retain_age");
    let segments = table.optional::<u64>("retain_segments");
    journal.retain = Retention {
        bytes_max: bytes.as_ref().map(|bytes| bytes.get_ref().0),
        age_max: age.as_ref().map(|age| Duration::from_nanos(age.get_ref().0)),
        segments_max: segments.as_ref().map(|segments| *segments.get_ref()),
        compress: false,
    };
    let spans = [
        bytes.as_ref().map(Spanned::span),
        age.as_ref().map(Spanned::span),
        segments.as_ref().map(Spanned::span),
    ];
    if let Some(span) = spans.into_iter().flatten().next()
        && journal.snapshot_every == 0
    {
        let title = "segments are retired only once snapshots have what is in them";
        table.report(span, title, "set `snapshot_every`, too");
    }
}

fn read_durability(table: &mut Table<'_>, journal: &mut JournalSection) {
    let durability = table.optional::<Durability>("durability");
    let dir = table.optional::<PathBuf>("durable_dir");
    journal.hot_segments = bounded(table, "hot_segments", HOT_SEGMENTS, 1..=1 << 20) as u64;
    if let Some(interval) = table.optional::<DurationNs>("interval") {
        journal.interval_ns = interval.get_ref().0;
        if !(1..=INTERVAL_NS_MAX).contains(&journal.interval_ns) {
            table.report(interval.span(), "`interval` must be from 1ns to 1min", "out of range");
        }
    }
    if let Some(group) = table.optional::<Bytes>("group") {
        journal.group_bytes = group.get_ref().0;
        if !(GROUP_BYTES_MIN..=GROUP_BYTES_MAX).contains(&journal.group_bytes) {
            let label = format!("found {} bytes", journal.group_bytes);
            table.report(group.span(), "`group` must be from 64KiB to 64MiB", label);
        }
    }
    if let Some(durability) = durability {
        journal.durability = *durability.get_ref();
        if journal.durability != Durability::Process && dir.is_none() {
            let title = "a journal that survives a power cut needs `durable_dir`";
            table.report(durability.span(), title, "name a folder on disk for its copy");
        }
    }
    if let Some(dir) = dir {
        if *dir.get_ref() == journal.dir {
            let title = "`durable_dir` must be another folder than `dir`";
            table.report(dir.span(), title, "the copy would be in the place of what it copies");
        }
        journal.durable_dir = Some(dir.into_inner());
    }
}
