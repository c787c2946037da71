//! The loop that sends: takes datagrams when they are due and hands them to every line.
//!
//! Invariant: a datagram never leaves before it is due, and those behind schedule leave together.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use corelane_feeds::moldudp64::{END_OF_SESSION, Header, Packet};
use zerocopy::IntoBytes;

use super::faults::{Faults, Line};
use super::pace::{Anchor, Pace, Schedule};
use super::report::Report;
use super::sender::Sender;
use super::source::{Datagram, Source};

/// How often the end of a session is sent: it is not sequenced, so a lost one is not asked for.
const END_REPEATS: u32 = 3;

/// What to do with a capture.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) pace: Pace,
    /// Where each line goes. Empty: to where it was captured.
    pub(crate) lines: Vec<SocketAddr>,
    pub(crate) faults: Faults,
    /// Passes over the capture.
    pub(crate) passes: u64,
    /// Send the end of the session behind the last datagram.
    pub(crate) end: bool,
}

/// Sends all that `source` gives. Ends early, with what was sent, when `stop` says so.
pub(crate) fn publish(
    source: &mut dyn Source,
    plan: &Plan,
    sender: Sender,
    stop: impl Fn() -> bool,
) -> anyhow::Result<Report> {
    let count = plan.lines.len().max(1) as u64;
    let lines = (0..count).map(|line| Line::new(plan.faults, line)).collect();
    let mut publisher = Publisher {
        plan,
        lines,
        sender,
        schedule: Schedule::new(plan.pace),
        anchor: Anchor::now(),
        last: None,
    };
    publisher.run(source, stop)?;
    let seconds = publisher.anchor.elapsed_ns() as f64 / 1e9;
    let faults = publisher.lines.iter().map(|line| line.counts).collect();
    Ok(Report::new(plan.pace, &publisher.schedule, &publisher.sender.sent, seconds, faults))
}

/// A datagram's target and, if it was MoldUDP64, its session and the sequence after it.
#[derive(Copy, Clone)]
struct Last {
    to: SocketAddr,
    next: Option<([u8; 10], u64)>,
}

struct Publisher<'a> {
    plan: &'a Plan,
    lines: Vec<Line>,
    sender: Sender,
    schedule: Schedule,
    anchor: Anchor,
    /// The datagram sent last, kept if the end of the session is to follow.
    last: Option<Last>,
}

impl Publisher<'_> {
    fn run(&mut self, source: &mut dyn Source, stop: impl Fn() -> bool) -> anyhow::Result<()> {
        'passes: for pass in 0..self.plan.passes {
            if pass > 0 {
                source.rewind()?;
                self.schedule.rewind();
            }
            while let Some(datagram) = source.next()? {
                let due = self.schedule.due_ns(datagram.ns, u64::from(datagram.messages));
                if due > self.anchor_ns_if_paced() {
                    self.flush()?;
                    if !self.anchor.wait(due, &stop) {
                        break 'passes;
                    }
                }
                self.send(&datagram, due)?;
                if self.sender.is_full() {
                    self.flush()?;
                    if stop() {
                        break 'passes;
                    }
                }
            }
        }
        self.finish()
    }

    /// The time, read only where there is a schedule to hold.
    #[inline]
    fn anchor_ns_if_paced(&self) -> u64 {
        if self.plan.pace == Pace::Max { 0 } else { self.anchor.elapsed_ns() }
    }

    fn send(&mut self, datagram: &Datagram<'_>, due: u64) -> anyhow::Result<()> {
        let captured = [datagram.to.unwrap_or(SocketAddr::from(([0; 4], 0)))];
        let targets = if self.plan.lines.is_empty() { &captured[..] } else { &self.plan.lines };
        for (line, &to) in self.lines.iter_mut().zip(targets) {
            if plan_is_unsafe(self.plan, to) {
                bail!("the capture went to {to}, which is no multicast group: name one by --to");
            }
            let target = self.sender.target(to);
            let (sender, anchor) = (&mut self.sender, &self.anchor);
            let mut result = Ok(());
            line.datagram(datagram.payload, datagram.messages, |bytes, messages| {
                if sender.is_full() && result.is_ok() {
                    result = sender.flush(anchor);
                }
                sender.add(bytes, target, messages, due);
            });
            result.context("cannot send")?;
        }
        if self.plan.end {
            let mold = Packet::parse(datagram.payload).ok().filter(|packet| !packet.end_of_session);
            let next = mold.map(|packet| (packet.session, packet.seq + u64::from(packet.count)));
            self.last = Some(Last { to: targets[0], next });
        }
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.sender.flush(&self.anchor).context("cannot send")
    }

    /// What is held back, then the end of the session.
    fn finish(&mut self) -> anyhow::Result<()> {
        self.flush()?;
        let due = self.schedule.end_ns();
        let last = self.last;
        for (i, line) in self.lines.iter_mut().enumerate() {
            let Some(to) = self.plan.lines.get(i).copied().or(last.map(|last| last.to)) else {
                continue;
            };
            let target = self.sender.target(to);
            line.drain(|bytes, messages| self.sender.add(bytes, target, messages, due));
            if let Some((session, next)) = last.and_then(|last| last.next) {
                let end = Header::new(session, next, END_OF_SESSION);
                for _ in 0..END_REPEATS {
                    self.sender.add(end.as_bytes(), target, 0, due);
                }
            }
        }
        self.flush()
    }
}

/// Captured unicast addresses belong to somebody else.
fn plan_is_unsafe(plan: &Plan, to: SocketAddr) -> bool {
    plan.lines.is_empty() && !to.ip().is_multicast() && !to.ip().is_loopback()
}
