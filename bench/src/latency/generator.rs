//! Sends pings when they are due, takes answers when they come, and watches the host meanwhile.
//!
//! Invariant: in an open loop a ping's time begins when it was to be sent, whatever held it up: the
//! generator, a full socket, or the side under test (no coordinated omission). Memory for all pings
//! is taken before the first.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use anyhow::{Context, ensure};
use corelane::clock::Clock;

use super::PATIENCE;
use super::link::Link;
use crate::host::steal_ns;
use crate::threads::of_schedstat;

/// Two rounds of the generator's loop further apart than this: its CPU was taken away. A send that
/// delivers on the same CPU takes up to 20 us.
const GAP_NS: u64 = 100_000;
/// Gaps that are remembered.
const GAPS_MAX: usize = 65_536;
/// The host is looked at when the next ping is at least so far away.
const LOOK_NS: u64 = 60_000;

/// What sends follow.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Loop {
    /// The schedule.
    Open,
    /// The answer to the ping before: what a naive benchmark does, kept to show what it hides.
    Closed,
}

/// A reading of what the host did so far.
#[derive(Clone, Default, Debug)]
pub struct Look {
    /// When, from the start of what counts.
    pub at_ns: u64,
    /// Steal of all CPUs.
    pub steal_ns: u64,
    /// How long each watched thread waited for a CPU.
    pub waited_ns: Vec<u64>,
}

/// What came of it, by ping; times from the start of what counts.
#[derive(Clone, Default, Debug)]
pub struct Sent {
    /// When each was to be sent.
    pub due_ns: Vec<u64>,
    /// When it was.
    pub sent_ns: Vec<u64>,
    /// When its answer came; 0 if none did.
    pub answered_ns: Vec<u64>,
    /// The generator's own gaps: when one ended, and its length.
    pub gaps: Vec<(u64, u64)>,
    /// Readings of the host, one per interval or fewer.
    pub looks: Vec<Look>,
}

/// Looks at the host through files that stay open.
pub(super) struct Lookout {
    stat: Option<File>,
    threads: Vec<File>,
    buffer: Vec<u8>,
}

impl Lookout {
    /// Watches threads of this process by their ids.
    pub(super) fn new(threads: &[(u32, String)]) -> Self {
        let open = |(id, _): &(u32, String)| File::open(format!("/proc/self/task/{id}/schedstat"));
        Self {
            stat: File::open("/proc/stat").ok(),
            threads: threads.iter().filter_map(|thread| open(thread).ok()).collect(),
            buffer: vec![0; 512],
        }
    }

    fn look(&mut self, at_ns: u64) -> Look {
        let buffer = &mut self.buffer;
        let mut read = |file: &File| {
            let bytes = file.read_at(buffer, 0).unwrap_or(0);
            String::from_utf8_lossy(&buffer[..bytes]).into_owned()
        };
        Look {
            at_ns,
            steal_ns: self.stat.as_ref().map_or(0, |stat| steal_ns(&read(stat))),
            waited_ns: self.threads.iter().map(|file| of_schedstat(&read(file)).1).collect(),
        }
    }
}

/// What to send.
pub(super) struct Run<'a> {
    /// When pings are due; those before `warm_up_ns` do not count.
    pub(super) due_ns: &'a [u64],
    pub(super) warm_up_ns: u64,
    pub(super) kind: Loop,
    pub(super) interval_ns: u64,
}

/// What stands between two rounds of the loop.
struct State<'a> {
    clock: Clock,
    start: u64,
    due: &'a [u64],
    sent: Sent,
    /// Pings sent, and answered.
    next: usize,
    answered: usize,
}

impl State<'_> {
    fn now(&self) -> u64 {
        self.clock.now().0.saturating_sub(self.start)
    }

    /// Sends the next ping if it is time.
    fn send(&mut self, link: &mut Link, now: u64, kind: Loop) -> io::Result<()> {
        let due = match kind {
            Loop::Open => self.due[self.next],
            Loop::Closed if self.answered == self.next => now,
            Loop::Closed => return Ok(()),
        };
        if now < due {
            return Ok(());
        }
        let number = self.next;
        self.sent.due_ns[number] = due;
        self.sent.sent_ns[number] = now;
        self.next += 1;
        match link.send(number as u64) {
            // Nobody is there any more, or the network is full: told by the missing answer.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            sent => sent,
        }
    }

    fn receive(&mut self, link: &mut Link) -> io::Result<()> {
        let (clock, start) = (&self.clock, self.start);
        let (next, answers, answered) = (self.next, &mut self.sent.answered_ns, &mut self.answered);
        link.receive(|number| {
            let number = number as usize;
            if number < next && answers[number] == 0 {
                answers[number] = clock.now().0.saturating_sub(start).max(1);
                *answered += 1;
            }
        })
    }
}

/// Sends all pings and waits for the last answers. `begun` is called when what counts begins.
pub(super) fn run(
    link: &mut Link,
    run: &Run<'_>,
    lookout: &mut Lookout,
    begun: impl FnOnce(),
) -> anyhow::Result<Sent> {
    let clock = Clock::new();
    let count = run.due_ns.len();
    ensure!(count > 0, "nothing to send");
    let arrays = || vec![0; count];
    let sent = Sent {
        due_ns: arrays(),
        sent_ns: arrays(),
        answered_ns: arrays(),
        gaps: Vec::with_capacity(GAPS_MAX),
        looks: Vec::with_capacity(4_096),
    };
    let start = clock.now().0;
    let mut state = State { clock, start, due: run.due_ns, sent, next: 0, answered: 0 };
    let mut begun = Some(begun);
    let (mut last, mut look_at) = (state.now(), run.warm_up_ns);
    let patience = u64::try_from(PATIENCE.as_nanos()).unwrap_or(u64::MAX);
    let end = run.due_ns[count - 1] + patience;
    loop {
        let now = state.now();
        if now - last > GAP_NS && state.sent.gaps.len() < GAPS_MAX {
            state.sent.gaps.push((now, now - last));
        }
        last = now;
        if state.next < count {
            state.send(link, now, run.kind).context("sending")?;
        } else if state.answered == count || now > end {
            break;
        }
        state.receive(link).context("receiving answers")?;
        let leisure = state.due.get(state.next).is_none_or(|due| *due > now + LOOK_NS);
        // Who is late all the time has no such moment, and looks nevertheless.
        let overdue = now >= look_at + run.interval_ns;
        if now >= look_at && (overdue || leisure && state.answered == state.next) {
            if let Some(begun) = begun.take() {
                begun();
            }
            state.sent.looks.push(lookout.look(now));
            look_at = now - now % run.interval_ns + run.interval_ns;
            // What this took is no gap of the host's.
            last = state.now();
        }
        ensure!(
            run.kind == Loop::Open || now < end || state.answered == state.next,
            "no answer came"
        );
    }
    let now = state.now();
    state.sent.looks.push(lookout.look(now));
    Ok(state.sent)
}
