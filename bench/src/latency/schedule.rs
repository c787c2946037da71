//! When pings are to be sent: at a constant rate, or with the inter-arrival times of a capture.
//!
//! Invariant: a schedule is fixed before anything is sent, relative to a start, so that nothing
//! that happens on the way can put a ping off or leave it out.
//!
//! ```
//! use corelane_bench::latency::Schedule;
//! let schedule = Schedule::constant(1_000.0).unwrap();
//! assert_eq!(schedule.due_ns(3_500_000), [0, 1_000_000, 2_000_000, 3_000_000]);
//! ```

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use corelane::capture_file::Capture;

/// Packets that are read of a capture at most.
const PACKETS_MAX: usize = 1 << 20;

/// When pings are due.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// So many a second.
    Constant(f64),
    /// Offsets from the first packet of a capture, over and over.
    Bursts {
        /// In order, the first 0.
        offsets_ns: Arc<[u64]>,
        /// After so long it begins anew.
        period_ns: u64,
    },
}

impl Schedule {
    /// So many pings a second.
    ///
    /// # Errors
    /// If that is no rate.
    pub fn constant(rate: f64) -> anyhow::Result<Self> {
        ensure!(rate.is_finite() && rate > 0.0 && rate <= 1e7, "a rate of {rate} a second");
        Ok(Self::Constant(rate))
    }

    /// A ping for every packet of a capture, `times` as fast as they were captured.
    ///
    /// # Errors
    /// If it cannot be read, or has too few packets to be a schedule.
    pub fn of_capture(path: &Path, times: f64) -> anyhow::Result<Self> {
        ensure!(times.is_finite() && times > 0.0, "{times} times as fast");
        let Capture::Packets(mut packets) = Capture::open(path)? else {
            bail!("{}: messages without arrival times; a pcap is needed", path.display());
        };
        let (mut offsets_ns, mut first) = (Vec::new(), None);
        while offsets_ns.len() < PACKETS_MAX
            && let Some(frame) = packets.next_frame().with_context(|| path.display().to_string())?
        {
            let first = *first.get_or_insert(frame.ts);
            // Captures of several interfaces may go back a little: such a packet comes at once.
            let offset = (frame.ts.since(first) as f64 / times) as u64;
            offsets_ns.push(offset.max(offsets_ns.last().copied().unwrap_or(0)));
        }
        Self::bursts(offsets_ns).with_context(|| path.display().to_string())
    }

    fn bursts(offsets_ns: Vec<u64>) -> anyhow::Result<Self> {
        let last = offsets_ns.last().copied().unwrap_or(0);
        ensure!(offsets_ns.len() > 1 && last > 0, "fewer than two packets of different times");
        let gap = last / (offsets_ns.len() as u64 - 1);
        Ok(Self::Bursts { offsets_ns: offsets_ns.into(), period_ns: last + gap.max(1) })
    }

    /// Pings a second on average.
    #[must_use]
    pub fn rate(&self) -> f64 {
        match self {
            Self::Constant(rate) => *rate,
            Self::Bursts { offsets_ns, period_ns } => {
                offsets_ns.len() as f64 * 1e9 / *period_ns as f64
            }
        }
    }

    /// When every ping before `span_ns` is due, from the start on.
    #[must_use]
    pub fn due_ns(&self, span_ns: u64) -> Vec<u64> {
        match self {
            // From the number, not from the ping before: no error adds up.
            Self::Constant(rate) => {
                let count = (span_ns as f64 * rate / 1e9).ceil() as u64;
                (0..count).map(|number| (number as f64 * 1e9 / rate) as u64).collect()
            }
            Self::Bursts { offsets_ns, period_ns } => {
                let rounds = (0..).map(|round| round * period_ns);
                let rounds = rounds.take_while(|begin| *begin < span_ns);
                let due = rounds.flat_map(|begin| offsets_ns.iter().map(move |at| begin + at));
                due.take_while(|at| *at < span_ns).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Session;

    #[test]
    fn bursts_come_as_in_the_capture_again_and_again() {
        let schedule = Schedule::bursts(vec![0, 0, 100, 900]).unwrap();
        assert_eq!(schedule.due_ns(1_300), [0, 0, 100, 900, 1_200, 1_200]);
        assert!((schedule.rate() - 4e9 / 1_200.0).abs() < 1.0);
        assert!(Schedule::bursts(vec![0, 0]).is_err() && Schedule::constant(0.0).is_err());
    }

    #[test]
    fn a_capture_is_read_and_sped_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("session.pcap");
        let session = Session::generate(20_000).unwrap();
        session.write_pcap(&path).unwrap();
        let schedule = Schedule::of_capture(&path, 2.0).unwrap();
        // The session's datagrams are 20 us apart.
        assert_eq!(schedule.due_ns(25_000), [0, 10_000, 20_000]);
        session.write_file(&path).unwrap();
        assert!(Schedule::of_capture(&path, 1.0).unwrap_err().to_string().contains("pcap"));
    }
}
