//! One sequence from one or more lines: arbitration, gaps, sessions and their restarts.
//!
//! Lines carry the same messages, but venues do not promise equal packet boundaries, so arbitration
//! is per message. A line is first in, first out: once every line has gone past a hole nobody will
//! fill it, and it is a gap.
//!
//! A sequence that goes back to 1 on the line that was beyond it is a restart: a new session under
//! the same name, neither a duplicate nor merged. Only at the very start of a line, when its
//! packets so far lack the first, a first packet is late and no restart. If the restart's first
//! packets were lost, the ones behind them are suspects ([`Verdict::Suspect`]) until they make a
//! restart or are repeats, [`RUN_PACKETS`] packets later at most. Each line counts its own
//! restarts, so that a line that lags behind is not taken for one. A line that goes back to the
//! session before (a stray packet of another came between) takes the feed back to where it was.
//!
//! A session that is first seen in its middle opens where it is seen. With more than one line it
//! opens once each has shown where it is, so that what another line brings of the messages just
//! before is delivered too.
//!
//! Invariant: decided by the packets alone, no clock; the same packets give the same decisions. The
//! next sequence number of a session never goes back. Every message that arrives is delivered or
//! counted, as a duplicate only if it was delivered (or lies in a hole so old that it is
//! forgotten).
//!
//! ```
//! use corelane_feeds::sequence::{Place, Sequencer, Verdict};
//! let mut sequencer = Sequencer::new(2);
//! let name = *b"S               ";
//! let first = Place::new(0, name, 1, 3).unwrap();
//! assert!(sequencer.arrive(&first), "a session begins");
//! assert_eq!(sequencer.verdict(&first), Verdict::Deliver { skip: 0 });
//! sequencer.delivered(&first, 4);
//! let other_line = Place::new(1, name, 3, 2).unwrap();
//! sequencer.arrive(&other_line);
//! assert_eq!(sequencer.verdict(&other_line), Verdict::Deliver { skip: 1 });
//! ```

mod line;
mod place;
mod session;

pub use line::{RUN_PACKETS, RUN_STEP_MESSAGES};
pub use place::{Place, SESSION_BYTES};

use line::{Line, OVERTAKING_MESSAGES_MAX, Run};
use session::Session;

/// The most lines of one feed.
pub const LINES_MAX: usize = 4;

/// What is counted while putting lines in sequence.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct SequenceCounters {
    /// Messages that another packet had brought already.
    pub duplicates: u64,
    /// Messages that came when the feed had gone past them without them.
    pub late: u64,
    /// Holes that no line could fill.
    pub gaps: u64,
    /// Messages in them.
    pub messages_missing: u64,
    /// Sessions begun.
    pub sessions: u64,
    /// Sessions begun by a sequence that went back to 1 under the same name.
    pub restarts: u64,
    /// Sessions gone back to after packets of another.
    pub resumes: u64,
    /// Packets of a session that is over, on a line that lags behind.
    pub stale: u64,
}

/// What one line brought.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct LineCounters {
    /// Packets that arrived on it.
    pub packets: u64,
    /// Its messages that another packet had brought already.
    pub duplicates: u64,
    /// Its messages that came when the feed had gone past them without them.
    pub late: u64,
    /// Its packets of a session that is over.
    pub stale: u64,
}

/// What to do with a packet.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Of a session that is over, or all of it known: drop it. It has been counted.
    Drop,
    /// Deliver its messages from position `skip` on, then report [`Sequencer::delivered`].
    Deliver {
        /// Messages at its front that are known.
        skip: u64,
    },
    /// It comes behind a hole that another line may yet fill.
    Ahead,
    /// A repeat, or of a session that restarted: hold it until [`Sequencer::suspicion`] says.
    Suspect {
        /// The run of packets that it belongs to.
        run: u32,
    },
}

/// What became of a run of suspects.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// Not known yet.
    Open,
    /// They are of the present session: each has a verdict of its own now.
    Restart,
    /// They were repeats: drop them. They have been counted.
    Repeats,
}

/// Why the feed's session changes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Change {
    Begin,
    Restart,
    Resume,
}

/// Puts the packets of one feed in sequence.
#[derive(Clone, Debug)]
pub struct Sequencer {
    current: Option<Session>,
    previous: Option<Session>,
    lines: [Line; LINES_MAX],
    line_counters: [LineCounters; LINES_MAX],
    count: usize,
    /// Whether some line has a run open.
    has_runs: bool,
    /// Whether packets can be lost. Where none can, what goes back is sent again.
    is_lossy: bool,
    counters: SequenceCounters,
}

impl Sequencer {
    /// A sequencer of `lines` lines, 1 to [`LINES_MAX`].
    #[must_use]
    pub fn new(lines: usize) -> Self {
        Self {
            current: None,
            previous: None,
            lines: [Line::default(); LINES_MAX],
            line_counters: [LineCounters::default(); LINES_MAX],
            count: lines.clamp(1, LINES_MAX),
            has_runs: false,
            is_lossy: true,
            counters: SequenceCounters::default(),
        }
    }

    /// A sequencer of one stream that loses nothing: no packet of it is ever a suspect.
    #[must_use]
    pub fn of_stream() -> Self {
        Self { is_lossy: false, ..Self::new(1) }
    }

    /// A session goes on that another sequencer began: `next` is the first message that it has not
    /// delivered. What is missing there is a hole as any other, and a sequence that goes back to 1
    /// a restart.
    pub fn resume(&mut self, name: [u8; SESSION_BYTES], generation: u32, next: u64) {
        self.current = Some(Session::resumed(name, generation, next));
        self.lines[..self.count].fill(Line::resumed(name, generation, next));
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> &SequenceCounters {
        &self.counters
    }

    /// What was counted so far, line by line.
    #[must_use]
    pub fn lines(&self) -> &[LineCounters] {
        &self.line_counters[..self.count]
    }

    /// The next sequence number to deliver.
    #[inline]
    #[must_use]
    pub fn next(&self) -> u64 {
        self.current.map_or(0, |session| session.next)
    }

    /// The present session's name; zeros before the first.
    #[must_use]
    pub fn session(&self) -> [u8; SESSION_BYTES] {
        self.current.map_or([0; SESSION_BYTES], |session| session.name)
    }

    /// How often the present session restarted under its name.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.current.map_or(0, |session| session.generation)
    }

    /// The key that names the present session in action ids: the same wherever the same packets are
    /// read. FNV-1a over the name and the restarts.
    #[must_use]
    pub fn session_key(&self) -> u32 {
        let bytes = self.session().into_iter().chain(self.generation().to_le_bytes());
        bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }

    /// Whether the session changes with this packet; what is held of the old one goes before it.
    #[must_use]
    pub fn changes(&self, place: &Place) -> bool {
        self.advance(place).1.is_some()
    }

    /// Notes a packet, before [`Sequencer::verdict`]. True if the session changes with it.
    #[inline]
    pub fn arrive(&mut self, place: &Place) -> bool {
        let index = self.index(place);
        self.line_counters[index].packets += 1;
        let line = &mut self.lines[index];
        if let Some(current) = &self.current
            && current.name == place.session
            && line.session == Some(place.session)
            && line.generation == current.generation
            && place.seq >= line.next
            && !self.has_runs
        {
            line.proceed(place);
            return false;
        }
        self.arrive_oddly(place, index)
    }

    /// Notes a packet that is all that [`Sequencer::arrive`], [`Sequencer::verdict`] and
    /// [`Sequencer::delivered`] would find it to be: the next one in sequence. False, and nothing
    /// noted, if it is not.
    #[inline]
    pub fn follow(&mut self, place: &Place) -> bool {
        let index = self.index(place);
        let Some(current) = &mut self.current else { return false };
        let line = &mut self.lines[index];
        let follows = place.seq == current.next
            && place.seq == line.next
            && current.name == place.session
            && line.session == Some(place.session)
            && line.generation == current.generation
            && !self.has_runs
            && !current.opening;
        if follows {
            self.line_counters[index].packets += 1;
            line.proceed(place);
            current.next = place.end;
        }
        follows
    }

    /// A packet that is not simply its line's next, or that may end a run.
    #[cold]
    fn arrive_oddly(&mut self, place: &Place, index: usize) -> bool {
        let (line, change) = self.advance(place);
        let before = std::mem::replace(&mut self.lines[index], line);
        let is_over = |run: &Run| line.run.is_none_or(|open| open.id != run.id);
        if let Some(run) = before.run.filter(|run| is_over(run) && line.confirmed != run.id) {
            self.count_repeats(index, before.generation, &run);
        }
        if change.is_some_and(|change| change != Change::Restart) {
            self.refute(|_| true);
        } else if change.is_none() && self.is_new(place, &line) {
            self.refute(|other| other.generation == line.generation);
        }
        if let Some(change) = change {
            self.change(change, place, line.generation);
        }
        self.has_runs = self.lines.iter().any(|line| line.run.is_some());
        change.is_some()
    }

    /// Whether a packet of a line, of the present session, has a message that was not seen before.
    fn is_new(&self, place: &Place, line: &Line) -> bool {
        self.current.as_ref().is_some_and(|current| {
            let of_current = place.session == current.name;
            of_current && line.generation == current.generation && place.end > current.next
        })
    }

    /// The runs open on some lines were repeats.
    fn refute(&mut self, of: impl Fn(&Line) -> bool) {
        for index in 0..self.count {
            let line = self.lines[index];
            if let Some(run) = line.run.filter(|_| of(&line)) {
                self.lines[index].run = None;
                self.count_repeats(index, line.generation, &run);
            }
        }
    }

    fn count_repeats(&mut self, index: usize, generation: u32, run: &Run) {
        let is_behind = self.current.as_ref().is_some_and(|now| generation < now.generation);
        let (counters, line) = (&mut self.counters, &mut self.line_counters[index]);
        if is_behind {
            counters.stale += u64::from(run.packets);
            line.stale += u64::from(run.packets);
        } else {
            counters.duplicates += run.messages - run.late;
            line.duplicates += run.messages - run.late;
            counters.late += run.late;
            line.late += run.late;
        }
    }

    /// What became of the run of suspects `run` of a line.
    #[must_use]
    pub fn suspicion(&self, line: u8, run: u32) -> Suspicion {
        let line = &self.lines[usize::from(line).min(self.count - 1)];
        match &line.run {
            Some(open) if open.id == run => Suspicion::Open,
            _ if line.confirmed == run => Suspicion::Restart,
            _ => Suspicion::Repeats,
        }
    }

    /// Nothing more is to come: suspects were repeats.
    pub fn settle(&mut self) {
        self.refute(|_| true);
        self.has_runs = false;
    }

    #[cold]
    fn change(&mut self, change: Change, place: &Place, generation: u32) {
        let begun = |from| Session::new(place.session, generation, from);
        match change {
            Change::Begin => {
                let mut session = begun(place.seq);
                if self.count > 1 && place.seq > 1 {
                    let earliest = place.seq.saturating_sub(OVERTAKING_MESSAGES_MAX).max(1);
                    session = begun(earliest);
                    session.opening = true;
                }
                self.previous = self.current.replace(session);
                self.counters.sessions += 1;
            }
            // What lies before stays: a line goes back to another name only.
            Change::Restart => {
                self.current = Some(begun(1));
                self.counters.sessions += 1;
                self.counters.restarts += 1;
            }
            Change::Resume => {
                std::mem::swap(&mut self.current, &mut self.previous);
                self.counters.resumes += 1;
            }
        }
    }

    #[inline]
    fn index(&self, place: &Place) -> usize {
        usize::from(place.line).min(self.count - 1)
    }

    /// Where a packet takes its line, and whether the feed's session changes with it.
    fn advance(&self, place: &Place) -> (Line, Option<Change>) {
        let mut line = self.lines[self.index(place)];
        let Some(current) = &self.current else {
            return (line.entered(place, 0), Some(Change::Begin));
        };
        if line.session != Some(place.session) {
            return self.enter(&line, current, place);
        }
        let of_current = place.session == current.name;
        let is_behind = line.generation < current.generation;
        let known = if !self.is_lossy || !of_current {
            None
        } else if is_behind {
            Some(0)
        } else {
            (place.end <= current.next).then(|| current.undelivered(place.seq, place.end))
        };
        let may_join = of_current && is_behind && place.end <= current.next;
        line.take(place, known, may_join);
        let restarts = of_current && line.generation > current.generation;
        (line, restarts.then_some(Change::Restart))
    }

    /// A line enters a session that it was not in before.
    fn enter(&self, line: &Line, current: &Session, place: &Place) -> (Line, Option<Change>) {
        let entered = |generation| line.entered(place, generation);
        if place.session == current.name {
            return (entered(current.generation), None);
        }
        match &self.previous {
            Some(previous) if previous.name == place.session => {
                // Out of the present session back to the one before; any other line only lags.
                let goes_back = line.session == Some(current.name);
                (entered(previous.generation), goes_back.then_some(Change::Resume))
            }
            _ => (entered(0), Some(Change::Begin)),
        }
    }

    /// What to do with a packet that [`Sequencer::arrive`] has noted, now or when it was held.
    #[inline]
    pub fn verdict(&mut self, place: &Place) -> Verdict {
        let index = self.index(place);
        let Some(current) = &self.current else { return Verdict::Drop };
        let is_present =
            place.session == current.name && self.lines[index].generation >= current.generation;
        if is_present && place.seq > current.next {
            Verdict::Ahead
        } else if is_present && place.end > current.next {
            Verdict::Deliver { skip: current.next - place.seq }
        } else if let Some(run) = self.lines[index].run_of(place) {
            Verdict::Suspect { run: run.id }
        } else {
            if is_present {
                self.count_known(index, place.seq, place.end);
            } else {
                self.counters.stale += 1;
                self.line_counters[index].stale += 1;
            }
            Verdict::Drop
        }
    }

    /// Messages that the feed has gone past.
    #[inline]
    fn count_known(&mut self, index: usize, first: u64, end: u64) {
        let Some(current) = &self.current else { return };
        let late = current.undelivered(first, end);
        let duplicates = end - first - late;
        self.counters.duplicates += duplicates;
        self.line_counters[index].duplicates += duplicates;
        self.counters.late += late;
        self.line_counters[index].late += late;
    }

    /// Messages of the packet up to `next` (exclusive) have been delivered or were known.
    #[inline]
    pub fn delivered(&mut self, place: &Place, next: u64) {
        let Some(current) = &mut self.current else { return };
        let known_end = current.next.min(next);
        current.delivered(next);
        if place.seq < known_end {
            self.count_known(self.index(place), place.seq, known_end);
        }
    }

    /// Whether some line may still bring what is missing at [`Sequencer::next`].
    #[must_use]
    pub fn may_fill(&self) -> bool {
        let Some(current) = &self.current else { return false };
        self.lines[..self.count].iter().any(|line| {
            line.session != Some(current.name)
                || line.generation < current.generation
                || line.next <= current.next
        })
    }

    /// Gives up on what is missing before `seq`: (first missing, how many). Nothing is missing
    /// before the place where a session opens.
    pub fn give_up(&mut self, seq: u64) -> Option<(u64, u64)> {
        let (first, count) = self.current.as_mut()?.give_up(seq)?;
        self.counters.gaps += 1;
        // Hostile sequence numbers can make the sum of several sessions' gaps meet the end.
        self.counters.messages_missing = self.counters.messages_missing.saturating_add(count);
        Some((first, count))
    }
}

#[cfg(test)]
mod tests;
