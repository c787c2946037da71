//! The service side: adds up what the hot threads hand over and writes it out.
//!
//! Invariant: the interval log and the totals hold the same values. A value counts for the interval
//! in which its thread handed it over, at most one interval after it was recorded.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use corelane_feeds::units::Nanos;
use hdrhistogram::Histogram;

use super::hlog::HlogWriter;
use super::recorder::{LatencyRecorder, Source, StageSet};
use super::table::{LatencyTable, StageRow};
use super::{LATENCY_NS_MAX, Stage, hgrm};

/// Nanoseconds in the unit of `.hgrm` files: microseconds.
const HGRM_UNIT_NS: f64 = 1_000.0;
/// The bound of histograms that tell nothing apart: the least there is.
const BLIND_NS_MAX: u64 = 2;

/// Merges the histograms of every hot thread. Owned by the service thread.
#[derive(Debug)]
pub struct LatencyCollector {
    sources: Vec<Source>,
    interval: Box<StageSet>,
    total: Box<StageSet>,
    interval_ns: u64,
    interval_start: Nanos,
    /// What recorders tell apart.
    max_ns: u64,
    hlog: Option<HlogWriter>,
}

impl LatencyCollector {
    /// A collector whose threads hand over, and whose log has an entry, every `interval`.
    #[must_use]
    pub fn new(interval: Duration, now: Nanos) -> Self {
        Self {
            sources: Vec::new(),
            interval: Box::new(StageSet::new()),
            total: Box::new(StageSet::new()),
            interval_ns: u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX),
            interval_start: now,
            max_ns: LATENCY_NS_MAX,
            hlog: None,
        }
    }

    /// A collector that tells no times apart, in next to no memory.
    pub(crate) fn blind(now: Nanos) -> Self {
        let set = || Box::new(StageSet::with_max(BLIND_NS_MAX));
        let interval = Duration::from_secs(1);
        Self { interval: set(), total: set(), max_ns: BLIND_NS_MAX, ..Self::new(interval, now) }
    }

    /// What one more hot thread records into.
    pub fn recorder(&mut self) -> LatencyRecorder {
        let start = self.interval_start;
        let (recorder, source) = LatencyRecorder::new(self.interval_ns, start, self.max_ns);
        self.sources.push(source);
        recorder
    }

    /// Writes an HdrHistogram interval log (V2, deflated, in nanoseconds) to `path` from now on:
    /// one line per interval and stage, the stage being its tag.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn log_to(&mut self, path: &Path) -> io::Result<()> {
        self.hlog = Some(HlogWriter::create(path, self.interval_start)?);
        Ok(())
    }

    /// Takes what the threads have handed over; ends the interval if it is over. Call it more often
    /// than the interval is long.
    ///
    /// # Errors
    /// If the interval log cannot be written; nothing recorded is lost to the totals.
    pub fn collect(&mut self, now: Nanos) -> io::Result<()> {
        for source in &mut self.sources {
            while let Ok(mut set) = source.full.pop() {
                self.interval.add(&set);
                set.clear();
                // Refused if the recorder is gone: then nobody needs the set.
                let _ = source.spare.push(set);
            }
        }
        if now.since(self.interval_start) < self.interval_ns {
            return Ok(());
        }
        self.end_interval(now)
    }

    /// Takes what is left. The recorders should have been dropped: what they still hold is missing.
    ///
    /// # Errors
    /// If the interval log cannot be written.
    pub fn finish(&mut self, now: Nanos) -> io::Result<LatencyTable> {
        let logged = self.collect(now).and_then(|()| self.end_interval(now));
        let flushed = self.hlog.as_mut().map_or(Ok(()), HlogWriter::flush);
        logged.and(flushed)?;
        Ok(self.table())
    }

    /// The figures so far, without the interval that is not over yet.
    #[must_use]
    pub fn table(&self) -> LatencyTable {
        let row = |&stage: &Stage| StageRow::of(stage, self.histogram(stage));
        LatencyTable {
            rows: Stage::ALL.iter().filter_map(row).collect(),
            backwards: self.total.backwards,
            clipped: self.total.clipped,
        }
    }

    /// All that was recorded of a stage, without the interval that is not over yet.
    #[must_use]
    pub fn histogram(&self, stage: Stage) -> &Histogram<u64> {
        &self.total.histograms[stage as usize]
    }

    /// Writes `STAGE.hgrm`, in microseconds, for every stage that has values; returns the paths.
    ///
    /// # Errors
    /// If the folder or a file cannot be made.
    pub fn write_hgrm(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        fs::create_dir_all(folder)?;
        let mut paths = Vec::new();
        for stage in Stage::ALL {
            let histogram = self.histogram(stage);
            if histogram.is_empty() {
                continue;
            }
            let path = folder.join(stage.name()).with_extension("hgrm");
            let mut out = BufWriter::new(fs::File::create(&path)?);
            hgrm::write_hgrm(histogram, HGRM_UNIT_NS, &mut out)?;
            out.flush()?;
            paths.push(path);
        }
        Ok(paths)
    }

    fn end_interval(&mut self, now: Nanos) -> io::Result<()> {
        let start = std::mem::replace(&mut self.interval_start, now);
        let logged = match &mut self.hlog {
            Some(hlog) => write_interval(hlog, &self.interval, start, now),
            None => Ok(()),
        };
        self.total.add(&self.interval);
        self.interval.clear();
        logged
    }
}

fn write_interval(
    log: &mut HlogWriter,
    set: &StageSet,
    start: Nanos,
    end: Nanos,
) -> io::Result<()> {
    for stage in Stage::ALL {
        let histogram = &set.histograms[stage as usize];
        if !histogram.is_empty() {
            log.interval(stage.name(), histogram, start, end)?;
        }
    }
    Ok(())
}
