//! HdrHistogram interval logs (`.hlog`), V2 with deflate, as HistogramLogAnalyzer and the other
//! HdrHistogram tools read them.
//!
//! Invariant: times are absolute seconds since the epoch, values nanoseconds; one tagged line per
//! interval and stage, in the order of time.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use corelane_feeds::units::Nanos;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{
    IntervalLogWriterBuilder, IntervalLogWriterError, Tag,
};

const LEGEND: &str =
    r#""StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram""#;

/// Writes one interval log.
pub struct HlogWriter {
    out: BufWriter<File>,
    serializer: V2DeflateSerializer,
}

impl std::fmt::Debug for HlogWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HlogWriter").field("out", &self.out).finish_non_exhaustive()
    }
}

impl HlogWriter {
    /// Begins a log whose intervals lie at or after `start`.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn create(path: &Path, start: Nanos) -> io::Result<Self> {
        let mut out = BufWriter::new(File::create(path)?);
        let mut serializer = V2DeflateSerializer::new();
        IntervalLogWriterBuilder::new()
            .add_comment("[Histogram log format version 1.3]")
            .add_comment("[Logged by corelane; values in nanoseconds, tags are stages]")
            .with_start_time(UNIX_EPOCH + Duration::from_nanos(start.0))
            .begin_log_with(&mut out, &mut serializer)?;
        writeln!(out, "{LEGEND}")?;
        Ok(Self { out, serializer })
    }

    /// Adds a line: the values of `tag` from `start` to `end`, nanoseconds since the epoch.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn interval(
        &mut self,
        tag: &str,
        histogram: &Histogram<u64>,
        start: Nanos,
        end: Nanos,
    ) -> io::Result<()> {
        // The library's writer borrows the file for its whole life, so each line gets its own; one
        // without comments or start time writes no header.
        let mut writer =
            IntervalLogWriterBuilder::new().begin_log_with(&mut self.out, &mut self.serializer)?;
        let start_at = Duration::from_nanos(start.0);
        let length = Duration::from_nanos(end.since(start));
        writer.write_histogram(histogram, start_at, length, Tag::new(tag)).map_err(|error| {
            match error {
                IntervalLogWriterError::IoError(error) => error,
                IntervalLogWriterError::SerializeError(error) => io::Error::other(error),
            }
        })
    }

    /// Writes what is still in memory.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
