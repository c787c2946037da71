//! Histograms as files of HdrHistogram: `.hgrm` for its plotter, `.hlog` V2 for its log tools.
//!
//! Invariant: a file has every value of its measurement, and a name that a file system takes
//! anywhere.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use corelane::latency::{HlogWriter, write_hgrm};
use corelane_feeds::units::Nanos;

use super::Run;

/// Nanoseconds in the unit of `.hgrm` files: microseconds.
const HGRM_UNIT_NS: f64 = 1_000.0;
/// The tag of intervals that the host disturbed.
pub const DISTURBED: &str = "disturbed";
/// That of the others.
pub const QUIET: &str = "quiet";

/// Writes `RUN-MEASUREMENT.hgrm` for every histogram of a run; returns the paths.
///
/// # Errors
/// If a file cannot be written or a histogram read.
pub fn hgrm(run: &Run, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    fs::create_dir_all(folder)?;
    let mut paths = Vec::new();
    for measurement in &run.results.measurements {
        let Some(encoded) = &measurement.histogram else { continue };
        let histogram = encoded.decode().with_context(|| measurement.name.clone())?;
        let path = folder.join(file_name(&run.name, &measurement.name)).with_extension("hgrm");
        let mut out = BufWriter::new(File::create(&path)?);
        write_hgrm(&histogram, HGRM_UNIT_NS, &mut out)?;
        out.flush()?;
        paths.push(path);
    }
    Ok(paths)
}

/// Writes `RUN-MEASUREMENT.hlog` for everything that has intervals, each tagged [`QUIET`] or
/// [`DISTURBED`]; returns the paths.
///
/// # Errors
/// If a file cannot be written or a histogram read.
pub fn hlog(run: &Run, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    fs::create_dir_all(folder)?;
    let mut paths = Vec::new();
    for measurement in run.results.measurements.iter().filter(|m| !m.intervals.is_empty()) {
        let path = folder.join(file_name(&run.name, &measurement.name)).with_extension("hlog");
        let mut begin = run.results.started_ns;
        let mut log = HlogWriter::create(&path, Nanos(begin))?;
        for interval in &measurement.intervals {
            let histogram =
                interval.histogram.decode().with_context(|| measurement.name.clone())?;
            let tag = if interval.disturbed.is_empty() { QUIET } else { DISTURBED };
            let end = begin + interval.span_ns;
            log.interval(tag, &histogram, Nanos(begin), Nanos(end))?;
            begin = end;
        }
        log.flush()?;
        paths.push(path);
    }
    Ok(paths)
}

/// Letters, digits and dashes; a dot in it would be taken for the extension's.
fn file_name(run: &str, measurement: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    format!("{run}-{measurement}").chars().map(plain).collect()
}
