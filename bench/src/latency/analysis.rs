//! From single pings to distributions, whole and over time.
//!
//! Invariant: a ping belongs to the interval in which it was to be sent. What the host did to an
//! interval is said beside it and takes nothing out.

use hdrhistogram::Histogram;

use super::generator::Sent;
use super::stages::histogram;
use super::{Look, Window};
use crate::results::{Encoded, Interval};

/// A thread that waited less for its CPU in an interval was not disturbed by it.
const WAITED_NS: u64 = 200_000;

/// The pings of a window, all together.
#[derive(Clone, Debug)]
pub struct Summary {
    /// From when they were to be sent.
    pub intended: Histogram<u64>,
    /// From when they were sent.
    pub sent: Histogram<u64>,
    /// Pings without an answer.
    pub lost: u64,
    /// Pings a second.
    pub rate: f64,
}

/// Sums up the pings of a window.
#[must_use]
pub fn summary(sent: &Sent) -> Summary {
    let mut summary = Summary { intended: histogram(), sent: histogram(), lost: 0, rate: 0.0 };
    let times = sent.due_ns.iter().zip(&sent.sent_ns).zip(&sent.answered_ns);
    for ((&due, &at), &answered) in times {
        if answered == 0 {
            summary.lost += 1;
            continue;
        }
        summary.intended.saturating_record(answered.saturating_sub(due).max(1));
        summary.sent.saturating_record(answered.saturating_sub(at).max(1));
    }
    if let [first, .., last] = sent.sent_ns.as_slice()
        && last > first
    {
        summary.rate = (sent.sent_ns.len() - 1) as f64 * 1e9 / (last - first) as f64;
    }
    summary
}

/// Leaves out the warm-up, so that times count from its end; and how long what is left took.
pub(super) fn counting(sent: Sent, warm_up_ns: u64) -> (Sent, u64) {
    let from = sent.due_ns.partition_point(|due| *due < warm_up_ns);
    let rest = |times: &[u64]| -> Vec<u64> {
        times[from..].iter().map(|time| time.saturating_sub(warm_up_ns)).collect()
    };
    let ended = sent.looks.last().map_or(0, |look| look.at_ns);
    let looks = sent.looks.into_iter();
    let looks = looks.map(|look| Look { at_ns: look.at_ns.saturating_sub(warm_up_ns), ..look });
    let gaps = sent.gaps.into_iter().filter(|(at, _)| *at > warm_up_ns);
    let counted = Sent {
        due_ns: rest(&sent.due_ns),
        sent_ns: rest(&sent.sent_ns),
        answered_ns: rest(&sent.answered_ns),
        gaps: gaps.map(|(at, length)| (at - warm_up_ns, length)).collect(),
        looks: looks.collect(),
    };
    (counted, ended.saturating_sub(warm_up_ns))
}

/// The intervals of a window. `shares_cpus` if its own threads wait for each other's CPU, so that
/// waiting is nobody else's doing.
#[must_use]
pub fn intervals(window: &Window, length_ns: u64, round: u32, shares_cpus: bool) -> Vec<Interval> {
    let sent = &window.sent;
    let last = sent.due_ns.last().copied().unwrap_or(0);
    let mut intervals = Vec::new();
    let mut at = 0;
    for number in 0..=last / length_ns {
        let (start_ns, end_ns) = (number * length_ns, (number + 1) * length_ns);
        let first = at;
        at += sent.due_ns[at..].partition_point(|due| *due < end_ns);
        let mut times = histogram();
        for ping in first..at {
            if sent.answered_ns[ping] > 0 {
                let time = sent.answered_ns[ping].saturating_sub(sent.due_ns[ping]);
                times.saturating_record(time.max(1));
            }
        }
        intervals.push(Interval {
            round,
            start_ns,
            span_ns: length_ns,
            sent: (at - first) as u64,
            histogram: Encoded::of(&times),
            disturbed: disturbed(window, start_ns..end_ns, shares_cpus),
        });
    }
    intervals
}

/// What the host did to a stretch of a window, a sentence each.
fn disturbed(window: &Window, span: std::ops::Range<u64>, shares_cpus: bool) -> Vec<String> {
    let mut said = Vec::new();
    let overlaps = |from: u64, to: u64| from < span.end && to > span.start;
    let gaps = window.sent.gaps.iter();
    let gaps = gaps.filter(|(at, length)| overlaps(at.saturating_sub(*length), *at));
    let (count, lost, longest) = gaps.fold((0, 0, 0), |(count, lost, longest), (_, length)| {
        (count + 1, lost + length, length.max(&longest).to_owned())
    });
    if count > 0 {
        let (lost, longest) = (ms(lost), ms(longest));
        said.push(format!("generator off its CPU {count} times, {lost} ms, longest {longest} ms"));
    }
    for looks in window.sent.looks.windows(2) {
        let [before, after] = looks else { continue };
        if !overlaps(before.at_ns, after.at_ns) {
            continue;
        }
        let steal = after.steal_ns.saturating_sub(before.steal_ns);
        if steal > 0 {
            said.push(format!("{} ms stolen by the hypervisor", ms(steal)));
        }
        let waited = after.waited_ns.iter().zip(&before.waited_ns);
        for (name, (after, before)) in window.watched.iter().zip(waited) {
            let waited = after.saturating_sub(*before);
            if waited >= WAITED_NS && !shares_cpus {
                said.push(format!("{name} waited {} ms for its CPU", ms(waited)));
            }
        }
    }
    said
}

fn ms(ns: u64) -> String {
    format!("{:.2}", ns as f64 / 1e6)
}
