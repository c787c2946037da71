//! One sequence from one or more lines: arbitration, gaps, sessions and their restarts.
//!
//! Lines carry the same messages, but venues do not promise equal packet boundaries, so arbitration
//! is per message. A line is first in, first out: once every line has gone past a hole nobody will
//! fill it, and it is a gap.
//!
//! A sequence that goes back to 1 on the line that was beyond it is a restart: a new session under
//! the same name, neither a duplicate nor merged. Only at the very start of a line, when its
//! packets so far lack the first, a first packet is late and no restart. Each line counts its own
//! restarts, so that a line that lags behind is not taken for one. A line that goes back to the
//! session before (a stray packet of another came between) takes the feed back to where it was.
//!
//! Invariant: decided by the packets alone, no clock; the same packets give the same decisions. The
//! next sequence number of a session never goes back.
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

/// The most lines of one feed.
pub const LINES_MAX: usize = 4;
/// Bytes of a session's name.
pub const SESSION_BYTES: usize = 16;

type Name = [u8; SESSION_BYTES];

/// What is counted while putting lines in sequence.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct SequenceCounters {
    /// Messages that another packet had brought already.
    pub duplicates: u64,
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
}

/// What a packet is, whatever transport brought it. Its end fits a sequence number, so that no
/// arithmetic on it overflows.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Place {
    session: Name,
    seq: u64,
    end: u64,
    line: u8,
}

impl Place {
    /// A packet of `count` messages from `seq` on (a heartbeat: none, and the next one's number);
    /// `None` if such sequence numbers cannot be.
    #[inline]
    #[must_use]
    pub fn new(line: u8, session: Name, seq: u64, count: u64) -> Option<Self> {
        Some(Self { session, seq, end: seq.checked_add(count)?, line })
    }

    /// The session's name.
    #[must_use]
    pub fn session(&self) -> &Name {
        &self.session
    }

    /// Sequence of its first message, or of the next one to come if it has none.
    #[inline]
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Sequence behind its last message.
    #[inline]
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Its number of messages.
    #[inline]
    #[must_use]
    pub fn count(&self) -> u64 {
        self.end - self.seq
    }
}

/// A session, and how far it has been delivered.
#[derive(Copy, Clone, Debug)]
struct Session {
    name: Name,
    generation: u32,
    next: u64,
}

/// Packets that may overtake the first one of a line, itself included.
const OVERTAKING_MAX: u32 = 8;
/// Messages that may lie between it and the one that came first.
const OVERTAKING_MESSAGES_MAX: u64 = 512;

/// Where a line is, be it ahead of or behind the feed.
#[derive(Copy, Clone, Debug, Default)]
struct Line {
    session: Option<Name>,
    generation: u32,
    next: u64,
    /// Sequence of the first packet since it entered the session or restarted.
    first: u64,
    /// Packets since then, as far as [`OVERTAKING_MAX`].
    packets: u32,
}

impl Line {
    fn entered(place: &Place, generation: u32) -> Self {
        let (session, next) = (Some(place.session), place.end);
        Self { session, generation, next, first: place.seq, packets: 1 }
    }

    /// Whether a packet with sequence 1 is one that the line's first packets overtook.
    fn overtook(&self, place: &Place) -> bool {
        let between = self.first.checked_sub(place.end);
        self.packets <= OVERTAKING_MAX && between.is_some_and(|n| n <= OVERTAKING_MESSAGES_MAX)
    }
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
            counters: SequenceCounters::default(),
        }
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
        let (line, change) = self.advance(place);
        self.lines[index] = line;
        let Some(change) = change else { return false };
        self.change(change, place, line.generation);
        true
    }

    #[cold]
    fn change(&mut self, change: Change, place: &Place, generation: u32) {
        let begun = Session { name: place.session, generation, next: place.seq };
        match change {
            Change::Begin => {
                self.previous = self.current.replace(begun);
                self.counters.sessions += 1;
            }
            // What lies before stays: a line goes back to another name only.
            Change::Restart => {
                self.current = Some(begun);
                self.counters.sessions += 1;
                self.counters.restarts += 1;
            }
            Change::Resume => {
                std::mem::swap(&mut self.current, &mut self.previous);
                self.counters.resumes += 1;
            }
        }
    }

    fn index(&self, place: &Place) -> usize {
        usize::from(place.line).min(self.count - 1)
    }

    /// Where a packet takes its line, and whether the feed's session changes with it.
    #[inline]
    fn advance(&self, place: &Place) -> (Line, Option<Change>) {
        let mut line = self.lines[self.index(place)];
        let Some(current) = &self.current else {
            return (Line::entered(place, 0), Some(Change::Begin));
        };
        if line.session != Some(place.session) {
            return self.enter(&line, current, place);
        }
        let of_current = place.session == current.name;
        line.packets = line.packets.saturating_add(1);
        // A repeat of the line's newest packet is no restart, even if that was its first.
        if place.seq == 1 && line.next > 1 && place.end != line.next && !line.overtook(place) {
            line = Line::entered(place, line.generation.saturating_add(1));
        } else if of_current
            && line.generation < current.generation
            && place.end < line.next
            && place.end <= current.next
        {
            // It fell back among known messages: it restarted too, and its first packet was lost.
            line = Line::entered(place, line.generation + 1);
        } else {
            line.next = line.next.max(place.end);
        }
        let restarts = of_current && line.generation > current.generation;
        (line, restarts.then_some(Change::Restart))
    }

    /// A line enters a session that it was not in before.
    #[cold]
    fn enter(&self, line: &Line, current: &Session, place: &Place) -> (Line, Option<Change>) {
        let entered = |generation| Line::entered(place, generation);
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
        if place.session != current.name || self.lines[index].generation < current.generation {
            self.counters.stale += 1;
            self.line_counters[index].stale += 1;
            return Verdict::Drop;
        }
        if place.seq > current.next {
            Verdict::Ahead
        } else if place.end <= current.next {
            self.counters.duplicates += place.count();
            self.line_counters[index].duplicates += place.count();
            Verdict::Drop
        } else {
            Verdict::Deliver { skip: current.next - place.seq }
        }
    }

    /// Messages of the packet up to `next` (exclusive) have been delivered or were known.
    #[inline]
    pub fn delivered(&mut self, place: &Place, next: u64) {
        let index = self.index(place);
        let Some(current) = &mut self.current else { return };
        let known = current.next.min(next).saturating_sub(place.seq);
        self.counters.duplicates += known;
        self.line_counters[index].duplicates += known;
        current.next = current.next.max(next);
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

    /// Gives up on what is missing before `seq`: (first missing, how many).
    pub fn give_up(&mut self, seq: u64) -> (u64, u64) {
        let Some(current) = &mut self.current else { return (0, 0) };
        let (first, count) = (current.next, seq.saturating_sub(current.next));
        current.next = current.next.max(seq);
        self.counters.gaps += 1;
        // Hostile sequence numbers can make the sum of several sessions' gaps meet the end.
        self.counters.messages_missing = self.counters.messages_missing.saturating_add(count);
        (first, count)
    }
}

#[cfg(test)]
mod tests;
