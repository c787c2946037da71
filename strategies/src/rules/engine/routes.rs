//! Which rules read which streams, and on which shard.
//!
//! Invariant: a stream's readers are in the order of the text; an index names them in that order.

use corelane_feeds::record::{Record, StreamId};
use corelane_feeds::streams::sys::{EndOfSession, Gap, Tick};
use zerocopy::FromZeros;

use crate::rules::index::Index;
use crate::rules::plan::{EVERYWHERE, RuleSet, Shares};

/// What moves time for rules that wait for it.
const TIMES: [StreamId; 2] = [Tick::STREAM, Gap::STREAM];

/// Which rules read which streams.
pub(super) struct Routes {
    /// By stream, one more than the place of its route; 0 is none.
    places: Box<[u16; 1 << 16]>,
    routes: Vec<Route>,
}

/// What a record of one stream comes to.
#[derive(Default)]
pub(super) struct Route {
    /// The shared windows that see it, each with the homes of its rules.
    pub(super) windows: Vec<(u32, u64)>,
    /// The rules that read it.
    pub(super) readers: Vec<Reader>,
    /// Those of them whose memory is asked for ahead.
    pub(super) ahead: Vec<Reader>,
    /// Which of the readers a record can matter to; every one if there is no index.
    pub(super) index: Option<Index>,
}

/// A rule that reads a stream.
#[derive(Copy, Clone)]
pub(super) struct Reader {
    pub(super) rule: u32,
    /// Which of its inputs the stream is.
    pub(super) input: u32,
    /// Where it does so, a bit.
    pub(super) home: u64,
}

/// The part of a rule set that runs on one of several shards.
pub(super) struct Share {
    pub(super) shares: Shares,
    pub(super) shard: usize,
}

/// The stream by whose readers a record is read: whoever waits for times reads ticks.
#[inline]
pub(super) fn read_as(record: &Record) -> StreamId {
    match record.header.stream {
        EndOfSession::STREAM => Tick::STREAM,
        stream => stream,
    }
}

impl Routes {
    pub(super) fn new(set: &RuleSet, share: Option<&Share>) -> Self {
        let streams = set.streams();
        let home_of = |rule: usize| share.map_or(EVERYWHERE, |share| share.shares.home_of(rule));
        let mut window_homes = vec![0; set.pool.len()];
        for (at, rule) in set.rules.iter().enumerate() {
            let windows = rule.kind.windows().iter();
            windows.for_each(|&window| window_homes[window] |= home_of(at));
        }
        let routes = streams.iter().map(|stream| {
            let windows = (0..).zip(&set.pool).zip(&window_homes);
            let windows = windows.filter(|((_, window), _)| window.stream == *stream);
            let windows = windows.map(|((at, _), homes)| (at, *homes)).collect();
            let (mut readers, mut guards, mut ahead) = (Vec::new(), Vec::new(), Vec::new());
            for (rule, plan) in (0..).zip(&set.rules) {
                // Time passes everywhere.
                let is_time = plan.kind.is_timed() && TIMES.contains(stream);
                let home = if is_time { EVERYWHERE } else { home_of(rule as usize) };
                for (input, _) in (0..).zip(&plan.reads).filter(|(_, read)| *read == stream) {
                    readers.push(Reader { rule, input, home });
                    let is_ahead = plan.kind.looks_ahead() && !is_time;
                    ahead.extend(is_ahead.then_some(Reader { rule, input, home }));
                    guards.push(plan.kind.guard());
                }
            }
            let index = Some(Index::new(&guards)).filter(Index::is_useful);
            Route { windows, readers, ahead, index }
        });
        let routes = routes.collect();
        let mut places = <[u16; 1 << 16]>::new_box_zeroed().expect("memory for the routes");
        for (stream, place) in streams.iter().zip(1..) {
            places[usize::from(stream.0)] = place;
        }
        Self { places, routes }
    }

    /// Whether anybody looks ahead.
    pub(super) fn look_ahead(&self) -> bool {
        self.routes.iter().any(|route| !(route.windows.is_empty() && route.ahead.is_empty()))
    }

    #[inline]
    fn place(&self, stream: StreamId) -> usize {
        usize::from(self.places[usize::from(stream.0)]).wrapping_sub(1)
    }

    /// What a stream's records come to.
    #[inline]
    pub(super) fn of(&self, stream: StreamId) -> Option<&Route> {
        self.routes.get(self.place(stream))
    }

    /// The same, to look a record up in its index.
    #[inline]
    pub(super) fn of_mut(&mut self, stream: StreamId) -> Option<&mut Route> {
        let at = self.place(stream);
        self.routes.get_mut(at)
    }
}

impl Route {
    /// How many readers there are to look at.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.index.as_ref().map_or(self.readers.len(), |index| index.named().len())
    }

    /// The `i`th of them.
    #[inline]
    pub(super) fn reader(&self, i: usize) -> Option<Reader> {
        let at = match &self.index {
            Some(index) => *index.named().get(i)? as usize,
            None => i,
        };
        self.readers.get(at).copied()
    }
}
