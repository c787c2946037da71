//! One sequence from one or more lines: arbitration, gaps, sessions and their restarts.
//!
//! Lines carry the same messages, but venues do not promise equal packet boundaries, so arbitration
//! is per message. A line is first in, first out: once every line has gone past a hole nobody will
//! fill it, and it is a gap.
//!
//! A sequence that goes back to 1 on the line that was beyond it is a restart: a new session under
//! the same name, neither a duplicate nor merged. Each line counts its own restarts, so that a line
//! that lags behind is not taken for one.
//!
//! Invariant: decided by the packets alone, no clock; the same packets give the same decisions.

/// The most lines of one feed.
pub const LINES_MAX: usize = 4;
/// Bytes of a session's name.
pub const SESSION_BYTES: usize = 16;

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
    /// Packets of a session that is over, on a line that lags behind.
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

/// What a packet is, whatever transport brought it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The session's name.
    pub session: [u8; SESSION_BYTES],
    /// Sequence of its first message, or of the next one to come if it has none.
    pub seq: u64,
    /// Its number of messages.
    pub count: u64,
}

#[derive(Copy, Clone, Debug, Default)]
struct Line {
    seen: bool,
    generation: u32,
    next: u64,
}

/// Puts the packets of one feed in sequence.
#[derive(Clone, Debug)]
pub struct Sequencer {
    session: Option<[u8; SESSION_BYTES]>,
    previous: Option<[u8; SESSION_BYTES]>,
    generation: u32,
    next: u64,
    lines: [Line; LINES_MAX],
    count: usize,
    counters: SequenceCounters,
}

impl Sequencer {
    /// A sequencer of `lines` lines, 1 to [`LINES_MAX`].
    #[must_use]
    pub fn new(lines: usize) -> Self {
        Self {
            session: None,
            previous: None,
            generation: 0,
            next: 0,
            lines: [Line::default(); LINES_MAX],
            count: lines.clamp(1, LINES_MAX),
            counters: SequenceCounters::default(),
        }
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> &SequenceCounters {
        &self.counters
    }

    /// The next sequence number to deliver.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// How often the present session restarted under its name.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The key that names the present session in action ids: the same wherever the same packets are
    /// read. FNV-1a over the name and the restarts.
    #[must_use]
    pub fn session_key(&self) -> u32 {
        let name = self.session.unwrap_or_default();
        let bytes = name.iter().copied().chain(self.generation.to_le_bytes());
        bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }

    /// Notes a packet on a line, before [`Sequencer::verdict`]. True if a session begins with it.
    pub fn arrive(&mut self, line: usize, place: &Place) -> bool {
        let line = line.min(self.count - 1);
        if self.session != Some(place.session) {
            if self.previous == Some(place.session) {
                return false;
            }
            self.previous = self.session.replace(place.session);
            self.generation = 0;
            self.lines = [Line::default(); LINES_MAX];
            self.lines[line] = Line { seen: true, generation: 0, next: place.seq + place.count };
            self.begin(place.seq);
            return true;
        }
        let generation = self.generation;
        let state = &mut self.lines[line];
        if !state.seen {
            *state = Line { seen: true, generation, next: 0 };
        }
        let end = place.seq.saturating_add(place.count);
        // A repeat of the line's newest packet is no restart, even if that was its first.
        let back_to_start = place.seq == 1 && state.next > 1 && end != state.next;
        if back_to_start {
            state.generation += 1;
            state.next = end;
            if state.generation > generation {
                self.generation = state.generation;
                self.counters.restarts += 1;
                self.begin(1);
                return true;
            }
        }
        state.next = state.next.max(end);
        false
    }

    fn begin(&mut self, seq: u64) {
        self.next = seq;
        self.counters.sessions += 1;
    }

    /// What to do with a packet that [`Sequencer::arrive`] has noted.
    pub fn verdict(&mut self, line: usize, place: &Place) -> Verdict {
        let line = line.min(self.count - 1);
        let stale =
            self.session != Some(place.session) || self.lines[line].generation < self.generation;
        if stale {
            self.counters.stale += 1;
            return Verdict::Drop;
        }
        let verdict = self.compare(place);
        if let Verdict::Drop = verdict {
            self.counters.duplicates += place.count;
        }
        verdict
    }

    /// Where a packet of the present session lies relative to the next sequence number.
    fn compare(&self, place: &Place) -> Verdict {
        if place.seq > self.next {
            Verdict::Ahead
        } else if place.seq.saturating_add(place.count) <= self.next {
            Verdict::Drop
        } else {
            Verdict::Deliver { skip: self.next - place.seq }
        }
    }

    /// What to do with a packet that was held, now that more has been delivered.
    #[must_use]
    pub fn verdict_held(&self, place: &Place) -> Verdict {
        self.compare(place)
    }

    /// Messages up to `next` (exclusive) have been delivered; `skipped` of them were known.
    #[inline]
    pub fn delivered(&mut self, next: u64, skipped: u64) {
        self.next = next;
        self.counters.duplicates += skipped;
    }

    /// Whether some line may still bring what is missing before `seq`.
    #[must_use]
    pub fn may_fill(&self) -> bool {
        let lines = self.lines[..self.count].iter();
        lines.filter(|line| line.next <= self.next || line.generation < self.generation).count() > 0
    }

    /// Gives up on what is missing before `seq`: (first missing, how many).
    pub fn give_up(&mut self, seq: u64) -> (u64, u64) {
        let (first, count) = (self.next, seq.saturating_sub(self.next));
        self.counters.gaps += 1;
        self.counters.messages_missing += count;
        self.next = seq;
        (first, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(seq: u64, count: u64) -> Place {
        Place { session: *b"S               ", seq, count }
    }

    fn take(sequencer: &mut Sequencer, line: usize, seq: u64, count: u64) -> Verdict {
        let place = place(seq, count);
        sequencer.arrive(line, &place);
        let verdict = sequencer.verdict(line, &place);
        if let Verdict::Deliver { skip } = verdict {
            sequencer.delivered(seq + count, skip);
        }
        verdict
    }

    #[test]
    fn lines_are_merged_per_message() {
        let mut sequencer = Sequencer::new(2);
        assert_eq!(take(&mut sequencer, 0, 1, 3), Verdict::Deliver { skip: 0 });
        assert_eq!(take(&mut sequencer, 1, 1, 2), Verdict::Drop);
        assert_eq!(take(&mut sequencer, 1, 3, 4), Verdict::Deliver { skip: 1 });
        assert_eq!(take(&mut sequencer, 0, 4, 3), Verdict::Drop);
        assert_eq!(sequencer.next(), 7);
        assert_eq!(sequencer.counters().duplicates, 2 + 1 + 3);
    }

    #[test]
    fn a_hole_is_a_gap_once_every_line_went_past_it() {
        let mut sequencer = Sequencer::new(2);
        take(&mut sequencer, 0, 1, 1);
        take(&mut sequencer, 1, 1, 1);
        assert_eq!(take(&mut sequencer, 0, 5, 1), Verdict::Ahead);
        assert!(sequencer.may_fill());
        assert_eq!(take(&mut sequencer, 1, 4, 2), Verdict::Ahead);
        assert!(!sequencer.may_fill());
        assert_eq!(sequencer.give_up(4), (2, 2));
        assert_eq!(sequencer.counters().messages_missing, 2);
    }

    #[test]
    fn a_restart_is_a_new_session_and_a_lagging_line_is_stale() {
        let mut sequencer = Sequencer::new(2);
        for line in [0, 1] {
            take(&mut sequencer, line, 1, 5);
        }
        let before = sequencer.session_key();
        take(&mut sequencer, 0, 6, 5);
        assert!(sequencer.arrive(0, &place(1, 2)));
        assert_ne!(sequencer.session_key(), before);
        assert_eq!(sequencer.verdict(0, &place(1, 2)), Verdict::Deliver { skip: 0 });
        sequencer.delivered(3, 0);
        assert_eq!(take(&mut sequencer, 1, 6, 5), Verdict::Drop);
        assert_eq!(sequencer.counters().stale, 1);
        assert!(!sequencer.arrive(1, &place(1, 2)), "line 1 follows, it does not restart again");
        assert_eq!(sequencer.verdict(1, &place(1, 2)), Verdict::Drop);
        assert_eq!(take(&mut sequencer, 1, 3, 1), Verdict::Deliver { skip: 0 });
        assert_eq!(sequencer.counters().restarts, 1);
    }

    #[test]
    fn a_repeated_first_packet_is_a_duplicate() {
        let mut sequencer = Sequencer::new(1);
        take(&mut sequencer, 0, 1, 3);
        assert_eq!(take(&mut sequencer, 0, 1, 3), Verdict::Drop);
        assert_eq!(sequencer.counters().restarts, 0);
    }

    #[test]
    fn another_name_is_another_session_and_the_old_one_is_stale() {
        let mut sequencer = Sequencer::new(2);
        take(&mut sequencer, 0, 1, 3);
        take(&mut sequencer, 1, 1, 3);
        let other = Place { session: *b"T               ", seq: 1, count: 1 };
        assert!(sequencer.arrive(0, &other));
        assert_eq!(take(&mut sequencer, 1, 4, 1), Verdict::Drop);
        assert_eq!(sequencer.counters().stale, 1);
        assert_eq!(sequencer.counters().restarts, 0);
    }
}
