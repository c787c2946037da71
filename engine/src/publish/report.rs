//! What `corelane publish` prints: scheduled against achieved.

use serde::Serialize;

use super::faults::FaultCounts;
use super::pace::{Pace, Schedule};
use super::sender::Sent;

/// The outcome of publishing.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The pace asked for.
    pub pace: String,
    /// Datagrams sent, on all lines together.
    pub datagrams: u64,
    /// Messages in them.
    pub messages: u64,
    /// UDP payload bytes.
    pub bytes: u64,
    /// System calls that sent them.
    pub calls: u64,
    /// Datagrams that the kernel cut from runs of equal length.
    pub segmented: u64,
    /// When the last datagram was due, from the start; none at maximum speed.
    pub scheduled_seconds: Option<f64>,
    /// When the last datagram left, from the start.
    pub achieved_seconds: f64,
    /// Messages per second of the schedule.
    pub scheduled_messages_per_s: Option<f64>,
    /// Messages per second that left.
    pub achieved_messages_per_s: f64,
    /// Datagrams per second that left.
    pub achieved_datagrams_per_s: f64,
    /// Lateness in nanoseconds: from due to sent.
    pub lateness_ns_p50: Option<u64>,
    /// 99 in 100 were no later.
    pub lateness_ns_p99: Option<u64>,
    /// The latest.
    pub lateness_ns_max: Option<u64>,
    /// Faults by line.
    pub faults: Vec<FaultCounts>,
}

impl Report {
    pub(crate) fn new(
        pace: Pace,
        schedule: &Schedule,
        sent: &Sent,
        seconds: f64,
        faults: Vec<FaultCounts>,
    ) -> Self {
        let paced = pace != Pace::Max;
        let scheduled = schedule.end_ns() as f64 / 1e9;
        let lateness = |quantile| paced.then(|| sent.lateness_ns.value_at_quantile(quantile));
        Self {
            pace: pace.to_string(),
            datagrams: sent.datagrams,
            messages: sent.messages,
            bytes: sent.bytes,
            calls: sent.calls,
            segmented: sent.segmented,
            scheduled_seconds: paced.then_some(scheduled),
            achieved_seconds: seconds,
            scheduled_messages_per_s: (paced && scheduled > 0.0)
                .then(|| sent.messages as f64 / scheduled),
            achieved_messages_per_s: sent.messages as f64 / seconds,
            achieved_datagrams_per_s: sent.datagrams as f64 / seconds,
            lateness_ns_p50: lateness(0.5),
            lateness_ns_p99: lateness(0.99),
            lateness_ns_max: paced.then(|| sent.lateness_ns.max()),
            faults,
        }
    }

    /// As text, for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "sent       {} datagrams, {} messages, {} bytes in {} calls ({} datagrams cut by the \
             kernel)\n",
            self.datagrams, self.messages, self.bytes, self.calls, self.segmented
        );
        if let (Some(seconds), rate) = (self.scheduled_seconds, self.scheduled_messages_per_s) {
            let rate = rate.map_or_else(String::new, |rate| format!(", {rate:.0} messages/s"));
            text += &format!("scheduled  {seconds:.6} s{rate} ({})\n", self.pace);
        }
        text += &format!(
            "achieved   {:.6} s, {:.0} messages/s, {:.0} datagrams/s\n",
            self.achieved_seconds, self.achieved_messages_per_s, self.achieved_datagrams_per_s
        );
        if let (Some(p50), Some(p99), Some(max)) =
            (self.lateness_ns_p50, self.lateness_ns_p99, self.lateness_ns_max)
        {
            let us = |ns: u64| ns as f64 / 1e3;
            text += &format!(
                "lateness   p50 {:.1} us, p99 {:.1} us, max {:.1} us\n",
                us(p50),
                us(p99),
                us(max)
            );
        }
        for (line, faults) in self.faults.iter().enumerate() {
            if *faults != FaultCounts::default() {
                text += &format!(
                    "line {}     {} dropped, {} duplicated, {} reordered\n",
                    line + 1,
                    faults.dropped,
                    faults.duplicated,
                    faults.reordered
                );
            }
        }
        text
    }
}
