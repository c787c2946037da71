//! Where a line is, and whether what it repeats is a session that restarted.
//!
//! A restart whose first packet was lost shows as packets that the line has brought before. So do
//! packets that the network duplicated, and a whole second line that is read as one with the first.
//! A **run** tells them apart: [`RUN_PACKETS`] packets, each behind the one before, that begin far
//! back (half the way and 512 messages at least, or [`RUN_STEP_MESSAGES`]), while no line brings
//! anything new. A copy that lags is near the front, and the front goes on. A session that
//! restarts before its 512th message, its head lost, is not told from a copy.

use super::place::{Name, Place};

/// Packets that make a run a restart.
pub const RUN_PACKETS: u32 = 8;
/// Messages that a run must step back, unless it steps back half the way.
pub const RUN_STEP_MESSAGES: u64 = 4_096;
/// Packets that may overtake the first one of a line, itself included.
const OVERTAKING_MAX: u32 = 8;
/// Messages that may lie between it and the one that came first.
pub(super) const OVERTAKING_MESSAGES_MAX: u64 = 512;

/// Packets that may be the beginning of a restarted session, or repeats.
#[derive(Copy, Clone, Debug)]
pub(super) struct Run {
    pub(super) id: u32,
    start: u64,
    /// The newest of its packets.
    last: (u64, u64),
    pub(super) packets: u32,
    /// Those of them that hold nothing but what was delivered.
    repeats: u32,
    pub(super) messages: u64,
    /// Those of them that were never delivered.
    pub(super) late: u64,
}

impl Run {
    fn new(id: u32, place: &Place, late: u64) -> Self {
        let (start, last) = (place.seq, (place.seq, place.seq));
        let mut run = Self { id, start, last, packets: 0, repeats: 0, messages: 0, late: 0 };
        run.add(place, late);
        run
    }

    fn add(&mut self, place: &Place, late: u64) {
        self.last = (place.seq, place.end);
        self.packets += 1;
        self.repeats += u32::from(late == 0);
        self.messages += place.count();
        self.late += late;
    }
}

/// Where a line is, be it ahead of or behind the feed.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Line {
    pub(super) session: Option<Name>,
    pub(super) generation: u32,
    pub(super) next: u64,
    /// Sequence of the first packet since it entered the session or restarted.
    first: u64,
    /// Packets since then, as far as [`OVERTAKING_MAX`] matters.
    packets: u32,
    pub(super) run: Option<Run>,
    /// The newest run's number.
    runs: u32,
    /// The newest run that was found to be a restart.
    pub(super) confirmed: u32,
}

impl Line {
    /// The line in a session, by its first packet. A run that was open is none any more.
    pub(super) fn entered(&self, place: &Place, generation: u32) -> Self {
        let (session, next) = (Some(place.session), place.end);
        let run = None;
        Self { session, generation, next, first: place.seq, packets: 1, run, ..*self }
    }

    /// A line that has been in a session for long, up to `next`.
    pub(super) fn resumed(session: Name, generation: u32, next: u64) -> Self {
        let (session, packets) = (Some(session), OVERTAKING_MAX);
        Self { session, generation, next, first: next, packets, ..Self::default() }
    }

    /// The line goes on in order.
    #[inline]
    pub(super) fn proceed(&mut self, place: &Place) {
        self.packets = self.packets.saturating_add(1);
        self.next = place.end;
    }

    /// A packet of the line's session. `known`: nothing in it is new, but so many of its messages
    /// never were delivered. `may_join`: the feed restarted without this line, and has gone past
    /// the packet.
    pub(super) fn take(&mut self, place: &Place, known: Option<u64>, may_join: bool) {
        self.packets = self.packets.saturating_add(1);
        let fell_back = place.end < self.next;
        // A repeat of the line's newest packet is no restart, even if that was its first.
        let is_first = place.seq == 1 && self.next > 1 && place.end != self.next;
        if is_first && !self.overtook(place) {
            self.restart(place, self.run_overtook(place));
        } else if may_join && fell_back {
            // It fell back among known messages: it restarted too, and its first packet was lost.
            self.restart(place, true);
        } else {
            self.next = self.next.max(place.end);
            if !fell_back {
                self.run = None;
            } else if let Some(late) = known.filter(|_| place.count() > 0) {
                self.repeat(place, late);
            }
        }
    }

    /// Whether a packet with sequence 1 is one that the line's first packets overtook.
    fn overtook(&self, place: &Place) -> bool {
        self.packets <= OVERTAKING_MAX && is_just_before(place, self.first)
    }

    /// Whether it is the first packet of the session that the open run is the beginning of.
    fn run_overtook(&self, place: &Place) -> bool {
        self.run.is_some_and(|run| is_just_before(place, run.start))
    }

    fn restart(&mut self, place: &Place, run_is_of_it: bool) {
        let confirmed = self.run.filter(|_| run_is_of_it).map_or(self.confirmed, |run| run.id);
        *self = Self { confirmed, ..self.entered(place, self.generation.saturating_add(1)) };
    }

    /// A packet that the line has brought before, as it seems.
    fn repeat(&mut self, place: &Place, late: u64) {
        let step = self.next - place.seq;
        match &mut self.run {
            Some(run) if place.seq >= run.last.1 => run.add(place, late),
            _ if step >= place.seq.clamp(OVERTAKING_MESSAGES_MAX, RUN_STEP_MESSAGES) => {
                self.runs = self.runs.wrapping_add(1);
                self.run = Some(Run::new(self.runs, place, late));
            }
            _ => self.run = None,
        }
        match &self.run {
            // All of it was missing: it only comes late.
            Some(run) if run.packets == RUN_PACKETS && run.repeats == 0 => self.run = None,
            Some(run) if run.packets == RUN_PACKETS => self.restart(place, true),
            _ => {}
        }
    }

    /// The open run that a packet is the newest of.
    #[inline]
    pub(super) fn run_of(&self, place: &Place) -> Option<&Run> {
        self.run.as_ref().filter(|run| run.last == (place.seq, place.end) && place.count() > 0)
    }
}

fn is_just_before(place: &Place, first: u64) -> bool {
    first.checked_sub(place.end).is_some_and(|between| between <= OVERTAKING_MESSAGES_MAX)
}
