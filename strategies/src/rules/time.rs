//! How far event time has come on every stream.
//!
//! A feed's time is the greatest event time of its records. The watermark of a stream is the least
//! time of the feeds that brought records of it, less the lateness that it is allowed: what comes
//! with a time before it is late. A stream that rules derive goes by the streams of which its
//! records are made, if each is made of one record and has its time; else by the times of its own
//! records, and by those up to which its makers say that nothing more will come.
//!
//! What a rule waited for until a time happens when the watermark of all its streams has reached
//! that time, before the record that moved it there is looked at. A `sys.tick` moves its feed, and
//! the streams that no feed has brought yet.
//!
//! A record that is more than a day ahead of its feed does not move it: one mistaken time must not
//! make everything that follows late. If the feed's next record is as far ahead, the feed has
//! indeed moved on, and so does its time, to the lesser of both.
//!
//! Invariant: a watermark never goes back, and depends on the records alone.

use corelane_feeds::declared;
use corelane_feeds::record::{FLAG_DERIVED, Header, StreamId};
use corelane_feeds::streams::sys::{Gap, Tick};
use corelane_feeds::units::Nanos;

use super::catalog::LATE;
use crate::state::StateReader;
use crate::strategy::StateError;

/// How far ahead of its feed a record may be and move it: a day.
const JUMP_MAX: u64 = 86_400_000_000_000;
/// Feeds that there can be.
const FEEDS: usize = 256;
/// Changes when the saved state does.
const STATE_VERSION: u32 = 0x5449_4d02;

/// How far a feed has come.
#[derive(Copy, Clone, Default, Debug)]
struct FeedTime {
    now: u64,
    /// The time of a record that is too far ahead, if it was the last.
    ahead: Option<u64>,
    is_known: bool,
}

/// How far a stream has come.
#[derive(Clone, Debug)]
struct StreamTime {
    id: StreamId,
    lateness: u64,
    /// The feeds that brought records of it.
    feeds: Vec<u8>,
    /// Rules make it: what no feed has brought is not moved by ticks then, but by its makers.
    is_made: bool,
    /// The greatest time of what rules derived, if they did.
    derived: Option<u64>,
    /// The streams by whose watermarks it goes: see [`Flow`].
    sources: Vec<usize>,
    /// Rules that make it, and the time before which they will make nothing more.
    said: Vec<(u16, u64)>,
    has_own_time: bool,
    watermark: Nanos,
}

/// How time goes on in a stream that rules make.
#[derive(Clone, Default, Debug)]
pub(super) struct Flow {
    /// The streams of feeds of which its records are made, at once and with their times.
    pub(super) sources: Vec<StreamId>,
    /// The rules, by number, that say how far what they make of it has come.
    pub(super) said_by: Vec<u16>,
}

/// How time goes on in streams that rules make.
#[derive(Clone, Default, Debug)]
pub(super) struct Flows {
    /// Those whose makers are all known to keep to a time.
    pub(super) flows: Vec<(StreamId, Flow)>,
    /// Streams of which others are made at once, by the rule of a number: what is known of the
    /// first is said of the second when the records in between are done.
    pub(super) passed_on: Vec<(StreamId, StreamId, u16)>,
    /// Streams whose records have a time of their own, which may lag behind what makes them.
    pub(super) own_time: Vec<StreamId>,
}

impl Flows {
    /// The streams whose times have to be known for those of others.
    pub(super) fn needed(&self, of: &[StreamId]) -> Vec<StreamId> {
        let mut needed = of.to_vec();
        let mut at = 0;
        while let Some(stream) = needed.get(at).copied() {
            at += 1;
            let flows = self.flows.iter().filter(|(made, _)| *made == stream);
            let sources = flows.flat_map(|(_, flow)| &flow.sources).copied();
            let passed = self.passed_on.iter().filter(|(_, to, _)| *to == stream);
            let others: Vec<StreamId> = sources
                .chain(passed.map(|(from, ..)| *from))
                .filter(|id| !needed.contains(id))
                .collect();
            needed.extend(others);
        }
        needed
    }
}

/// The watermarks of the streams that rules read.
#[derive(Clone, Debug)]
pub(super) struct Time {
    streams: Vec<StreamTime>,
    feeds: Box<[FeedTime]>,
    /// The greatest time of a tick.
    ticked: u64,
    /// Records that were too far ahead to move their feed.
    pub(super) clamped: u64,
}

/// Whether a record goes by a time of its stream's own.
fn is_own(header: &Header) -> bool {
    let stream = StreamId(header.stream.0 & !LATE);
    header.flags & FLAG_DERIVED != 0
        && (declared::is_declared(stream) || header.stream.0 & LATE != 0)
}

impl Time {
    /// Watermarks of these streams, each with its lateness in nanoseconds; `made` are those that
    /// rules make.
    pub(super) fn new(mut streams: Vec<(StreamId, u64)>, made: &[StreamId], flows: &Flows) -> Self {
        streams.sort_unstable();
        streams.dedup_by_key(|(stream, _)| *stream);
        let stream = |(id, lateness)| StreamTime {
            id,
            lateness,
            feeds: Vec::with_capacity(FEEDS),
            is_made: id.0 & LATE != 0 || made.contains(&id),
            derived: None,
            sources: Vec::new(),
            said: Vec::new(),
            has_own_time: flows.own_time.contains(&id),
            watermark: Nanos(0),
        };
        let told = |id: StreamId| id != Tick::STREAM && id != Gap::STREAM;
        let streams = streams.into_iter().filter(|(id, _)| told(*id));
        let feeds = vec![FeedTime::default(); FEEDS].into();
        let streams = streams.map(stream).collect();
        let mut time = Self { streams, feeds, ticked: 0, clamped: 0 };
        for (made, flow) in &flows.flows {
            let sources = time.places(&flow.sources);
            if let Some(stream) = time.streams.iter_mut().find(|stream| stream.id == *made) {
                stream.sources = sources;
                stream.said = flow.said_by.iter().map(|rule| (*rule, 0)).collect();
            }
        }
        time
    }

    /// The streams that go by what their makers say.
    pub(super) fn told(&self) -> impl Iterator<Item = StreamId> {
        self.streams.iter().filter(|stream| stream.is_made).map(|stream| stream.id)
    }

    /// Where these streams stand among those whose time is known; ticks and gaps are none.
    pub(super) fn places(&self, streams: &[StreamId]) -> Vec<usize> {
        let place = |id: &StreamId| self.streams.iter().position(|stream| stream.id == *id);
        streams.iter().filter_map(place).collect()
    }

    /// A record came.
    #[inline]
    pub(super) fn observe(&mut self, header: &Header) {
        if self.streams.is_empty() {
            return;
        }
        let (feed, ts) = (header.feed, header.ts_event.0);
        if header.stream == Tick::STREAM {
            return self.tick(header);
        }
        let is_own = is_own(header);
        let at = self.streams.iter().position(|stream| stream.id == header.stream);
        let stream = at.and_then(|at| self.streams.get_mut(at));
        if is_own {
            if let Some(stream) = stream.filter(|stream| stream.moves_itself()) {
                stream.derived = stream.derived.max(Some(ts));
                stream.settle(&self.feeds, self.ticked);
            }
            return;
        }
        let is_new = stream.is_some_and(|stream| stream.is_brought_by(feed));
        if self.move_feed(feed, ts) || is_new {
            self.settle(feed);
        }
    }

    fn tick(&mut self, header: &Header) {
        let ts = header.ts_event.0;
        if header.flags & FLAG_DERIVED != 0 {
            // Nothing more of a derived stream will come before this, of one that makes it: see
            // `Context::punctuate`.
            let id = StreamId(header.instrument);
            let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) else {
                return;
            };
            let by = stream.said.iter_mut().find(|(rule, _)| u64::from(*rule) == header.seq.0);
            if let Some((_, said)) = by {
                *said = ts.max(*said);
                self.follow();
            } else if stream.moves_itself() {
                let lag = if stream.has_own_time { 0 } else { stream.lateness };
                stream.derived = stream.derived.max(Some(ts.saturating_add(lag)));
                stream.settle(&self.feeds, self.ticked);
            }
            return;
        }
        self.ticked = self.ticked.max(ts);
        let feed = &mut self.feeds[usize::from(header.feed)];
        (feed.now, feed.ahead, feed.is_known) = (feed.now.max(ts), None, true);
        for stream in &mut self.streams {
            stream.settle(&self.feeds, self.ticked);
        }
        self.follow();
    }

    /// Streams that go by others come as far as those.
    fn follow(&mut self) {
        for at in 0..self.streams.len() {
            let stream = &self.streams[at];
            if stream.moves_itself() {
                continue;
            }
            let sources = stream.sources.iter().map(|source| self.streams[*source].watermark);
            let said = stream.said.iter().map(|(_, until)| Nanos(*until));
            // A feed may bring it, too.
            let feeds = stream.feeds.iter().filter_map(|feed| self.feeds.get(usize::from(*feed)));
            let feeds = feeds.map(|feed| Nanos(feed.now.saturating_sub(stream.lateness)));
            let least = sources.chain(said).chain(feeds).min().unwrap_or_default();
            self.streams[at].watermark = self.streams[at].watermark.max(least);
        }
    }

    /// How far a stream has come, if it is one of those whose time is known.
    pub(super) fn watermark(&self, id: StreamId) -> Option<Nanos> {
        self.streams.iter().find(|stream| stream.id == id).map(|stream| stream.watermark)
    }

    /// Whether a feed has come further.
    #[inline]
    fn move_feed(&mut self, feed: u8, ts: u64) -> bool {
        let feed = &mut self.feeds[usize::from(feed)];
        if feed.is_known && ts > feed.now.saturating_add(JUMP_MAX) {
            self.clamped += 1;
            let Some(ahead) = feed.ahead.replace(ts) else { return false };
            (feed.now, feed.ahead) = (ahead.min(ts), None);
            return true;
        }
        feed.ahead = None;
        let moves = ts > feed.now || !feed.is_known;
        (feed.now, feed.is_known) = (feed.now.max(ts), true);
        moves
    }

    fn settle(&mut self, feed: u8) {
        let Self { streams, feeds, ticked, .. } = self;
        for stream in streams.iter_mut().filter(|stream| stream.feeds.contains(&feed)) {
            stream.settle(feeds, *ticked);
        }
        self.follow();
    }

    /// How far all of these streams, by their places, have come.
    #[inline]
    pub(super) fn of(&self, places: &[usize]) -> Nanos {
        let known = places.iter().filter_map(|place| self.streams.get(*place));
        known.map(|stream| stream.watermark).min().unwrap_or_default()
    }

    /// Every stream with its watermark.
    pub(super) fn watermarks(&self) -> impl Iterator<Item = (StreamId, Nanos)> {
        self.streams.iter().map(|stream| (stream.id, stream.watermark))
    }

    /// Goes on from where an earlier one stands.
    pub(super) fn take_over(&mut self, earlier: &Self) {
        self.feeds.copy_from_slice(&earlier.feeds);
        (self.ticked, self.clamped) = (earlier.ticked, earlier.clamped);
        for stream in &mut self.streams {
            if let Some(old) = earlier.streams.iter().find(|old| old.id == stream.id) {
                stream.feeds.clone_from(&old.feeds);
                (stream.derived, stream.watermark) = (old.derived, old.watermark);
                for said in &mut stream.said {
                    let known = old.said.iter().find(|(rule, _)| *rule == said.0);
                    said.1 = known.map_or(0, |(_, until)| *until);
                }
            }
        }
    }

    pub(super) fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&STATE_VERSION.to_le_bytes());
        let mut put = |word: u64| out.extend_from_slice(&word.to_le_bytes());
        put(self.ticked);
        put(self.clamped);
        let known = || (0u64..).zip(&self.feeds).filter(|(_, feed)| feed.is_known);
        put(known().count() as u64);
        for (number, feed) in known() {
            put(number);
            put(feed.now);
            put(feed.ahead.unwrap_or(0));
        }
        put(self.streams.len() as u64);
        for stream in &self.streams {
            put(stream.id.0.into());
            put(u64::from(stream.derived.is_some()));
            put(stream.derived.unwrap_or(0));
            put(stream.watermark.0);
            put(stream.feeds.len() as u64);
            stream.feeds.iter().for_each(|feed| put(u64::from(*feed)));
            put(stream.said.len() as u64);
            for (rule, until) in &stream.said {
                put(u64::from(*rule));
                put(*until);
            }
        }
    }

    /// Takes over what was saved, as far as it is of streams that are still read.
    ///
    /// # Errors
    /// If the bytes are no such state.
    pub(super) fn restore(&mut self, state: &mut StateReader<'_>) -> Result<(), StateError> {
        if state.u32()? != STATE_VERSION {
            return Err(StateError::Version);
        }
        self.ticked = state.u64()?;
        self.clamped = state.u64()?.min(u64::MAX >> 1);
        let byte =
            |word: u64, state: &StateReader<'_>| u8::try_from(word).map_err(|_| state.damaged());
        for _ in 0..state.u64()? {
            let feed = byte(state.u64()?, state)?;
            let (now, ahead) = (state.u64()?, Some(state.u64()?).filter(|ahead| *ahead != 0));
            self.feeds[usize::from(feed)] = FeedTime { now, ahead, is_known: true };
        }
        for _ in 0..state.u64()? {
            let id = u16::try_from(state.u64()?).map_err(|_| state.damaged())?;
            let is_derived = state.u64()? != 0;
            let derived = Some(state.u64()?).filter(|_| is_derived);
            let watermark = Nanos(state.u64()?);
            let mut feeds = Vec::with_capacity(FEEDS);
            for _ in 0..state.u64()? {
                let feed = byte(state.u64()?, state)?;
                if feeds.contains(&feed) {
                    return Err(state.damaged());
                }
                feeds.push(feed);
            }
            let mut stream = self.streams.iter_mut().find(|stream| stream.id.0 == id);
            for _ in 0..state.u64()? {
                let (rule, until) = (state.u64()?, state.u64()?);
                let said = stream.iter_mut().flat_map(|stream| &mut stream.said);
                said.filter(|(by, _)| u64::from(*by) == rule).for_each(|said| said.1 = until);
            }
            if let Some(stream) = stream {
                (stream.derived, stream.watermark, stream.feeds) = (derived, watermark, feeds);
            }
        }
        Ok(())
    }
}

impl StreamTime {
    /// Whether the records that rules make of it move it.
    fn moves_itself(&self) -> bool {
        self.sources.is_empty() && self.said.is_empty()
    }

    /// Notes a feed; whether it is a new one.
    #[inline]
    fn is_brought_by(&mut self, feed: u8) -> bool {
        let is_new = !self.feeds.contains(&feed);
        if is_new {
            self.feeds.push(feed);
        }
        is_new
    }

    fn settle(&mut self, feeds: &[FeedTime], ticked: u64) {
        if !self.moves_itself() {
            return;
        }
        let times = self.feeds.iter().filter_map(|feed| feeds.get(usize::from(*feed)));
        let least = times.map(|feed| feed.now).chain(self.derived).min();
        let least = least.unwrap_or(if self.is_made { 0 } else { ticked });
        let least = least.saturating_sub(self.lateness);
        self.watermark = self.watermark.max(Nanos(least));
    }
}

#[cfg(test)]
mod tests;
