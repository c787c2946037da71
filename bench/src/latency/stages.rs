//! Time per stage, out of the interval log that the engine writes.
//!
//! Invariant: intervals of one stage are added up; nothing of the log is left out.

use anyhow::{Context, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use corelane::latency::{DIGITS, LATENCY_NS_MAX, Stage};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

/// Stages that were stamped, in the order of the way, with their times in nanoseconds.
pub type Stages = Vec<(&'static str, Histogram<u64>)>;

/// An empty histogram as all of ours are.
///
/// # Panics
/// Never: the bounds are constants that it accepts.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS).expect("constant bounds")
}

/// Adds up an interval log by its tags.
///
/// # Errors
/// If it is no interval log.
pub(super) fn read_stages(log: &[u8]) -> anyhow::Result<Stages> {
    let mut stages: Vec<(&str, Histogram<u64>)> =
        Stage::ALL.iter().map(|stage| (stage.name(), histogram())).collect();
    for entry in IntervalLogIterator::new(log) {
        let entry = entry.map_err(|error| anyhow!("an interval log: {error:?}"))?;
        let LogEntry::Interval(interval) = entry else { continue };
        let tag = interval.tag().map(|tag| tag.as_str().to_owned()).unwrap_or_default();
        let Some((_, sum)) = stages.iter_mut().find(|(name, _)| *name == tag) else { continue };
        let bytes = STANDARD.decode(interval.encoded_histogram()).context("base64")?;
        let read = Deserializer::new().deserialize::<u64, _>(&mut bytes.as_slice());
        let read = read.map_err(|error| anyhow!("a histogram of {tag}: {error}"))?;
        sum.add(&read).map_err(|error| anyhow!("a histogram of {tag}: {error}"))?;
    }
    stages.retain(|(_, histogram)| !histogram.is_empty());
    Ok(stages)
}

/// Adds the times of one run to those of others.
pub fn add_stages(to: &mut Stages, from: &Stages) {
    for (name, times) in from {
        match to.iter_mut().find(|(known, _)| known == name) {
            // Both have the same bounds: adding cannot fail.
            Some((_, sum)) => {
                let _ = sum.add(times);
            }
            None => to.push((name, times.clone())),
        }
    }
}
