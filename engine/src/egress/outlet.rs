//! One sink with what it wants to get, and what it has got rid of.
//!
//! Invariant: an action is noted as confirmed only if every action before it that the sink took is.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use corelane_feeds::units::Nanos;
use corelane_strategies::action::ActionId;

use super::confirm::{self, Confirmations, Confirmed};
use super::queue::FRAME_BYTES_MIN;
use super::spec::{self, EgressSpec};
use super::{ActionSink, EgressError, Filter, Format, SinkConfig};
use crate::clock::Clock;

/// How long a sink may stand still before what comes again is lost to its full buffer.
const PATIENCE_NS: u64 = 5_000_000_000;

/// Actions after which those that a file had ahead of its journal are not waited for any more: the
/// feed did not bring again what led to them.
const AHEAD_ACTIONS_MAX: u32 = 1 << 20;

/// See the [module](self).
pub(super) struct Outlet {
    pub(super) sink: Box<dyn ActionSink>,
    pub(super) filter: Filter,
    pub(super) format: Format,
    pub(super) stamps: bool,
    /// What must be known to go on after a crash.
    notes: Option<Notes>,
}

struct Notes {
    /// By position of the shard.
    shards: Vec<Confirmations>,
    /// Actions that the sink took and is not rid of, oldest first.
    waiting: VecDeque<(u16, ActionId)>,
    settled: u64,
    /// How far the sink had written when the shards' notes were last all true.
    bytes: u64,
    /// While actions of an earlier run come again.
    past: Option<PastOutlet>,
    /// Actions in the file that the earlier run's journal has lost: they are decided on once more.
    ahead: BTreeSet<ActionId>,
    /// After so many more actions that are none of them they are given up.
    ahead_left: u32,
}

/// What an earlier run was rid of.
struct PastOutlet {
    /// By position of the shard, the last action before those that it was not known to be rid of.
    last: Vec<Option<ActionId>>,
    /// What it was rid of besides.
    written: BTreeSet<ActionId>,
}

impl Outlet {
    /// A sink that nobody needs to know of.
    pub(super) fn new(
        sink: Box<dyn ActionSink>,
        filter: Filter,
        format: Format,
        stamps: bool,
    ) -> Self {
        Self { sink, filter, format, stamps, notes: None }
    }

    /// Opens a configured sink.
    pub(super) fn open(config: &SinkConfig, spec: &EgressSpec) -> Result<Self, EgressError> {
        let filter = Filter::resolve(config, &spec.strategies, &spec.declared)?;
        let known = |shard: usize| spec.past.get(shard)?.confirmed.get(&config.name).copied();
        let began = |shard: usize| spec.past.get(shard)?.began.get(&config.name).copied();
        // Notes of shards may be of different moments: all of them hold before the first.
        let from = |shard: usize| known(shard).map(|known| known.bytes).or_else(|| began(shard));
        let bytes = (0..spec.confirm_in.len()).filter_map(from).min();
        spec::check_buffer(config)?;
        let (sink, written) = spec.edges.open(config, spec.log, bytes, spec.synced)?;
        let mut outlet = Self::new(sink, filter, config.format, config.stamps);
        if spec.confirm_in.is_empty() {
            return Ok(outlet);
        }
        let position = outlet.sink.position();
        let begins = bytes.map_or(position, |bytes| bytes.min(position));
        let folders = spec.confirm_in.iter().enumerate();
        let shards = folders.map(|(shard, folder)| {
            let path = confirm::path(folder, &config.name);
            let known = known(shard);
            let known = known.map(|known| Confirmed { bytes: known.bytes.min(position), ..known });
            std::fs::create_dir_all(folder)
                .and_then(|()| Confirmations::create(&path, known, begins))
                .map_err(|source| EgressError::Open {
                    name: config.name.clone(),
                    target: path.display().to_string(),
                    source,
                })
        });
        outlet.notes = Some(Notes {
            shards: shards.collect::<Result<_, _>>()?,
            waiting: VecDeque::with_capacity(config.buffer_bytes / FRAME_BYTES_MIN + 1),
            settled: outlet.sink.settled(),
            bytes: begins,
            past: Some(PastOutlet {
                last: (0..spec.confirm_in.len()).map(|s| known(s).map(|k| k.id)).collect(),
                written: written.into_iter().collect(),
            }),
            ahead: BTreeSet::new(),
            ahead_left: AHEAD_ACTIONS_MAX,
        });
        Ok(outlet)
    }

    /// Whether an earlier run is rid of the action. Asked for each that comes again, in order.
    pub(super) fn is_past(&mut self, shard: usize, id: &ActionId) -> bool {
        let Some(past) = self.notes.as_mut().and_then(|notes| notes.past.as_mut()) else {
            return false;
        };
        let is_written = past.written.remove(id);
        if let Some(last) = past.last.get_mut(shard)
            && let Some(until) = last
        {
            if until == id {
                *last = None;
            }
            return true;
        }
        is_written
    }

    /// Whether the file has the action already, though the journal knew nothing of it. Asked for
    /// each that is new of its shard, while those of other shards may still come again.
    #[inline]
    pub(super) fn is_ahead(&mut self, id: &ActionId) -> bool {
        let Some(notes) = &mut self.notes else { return false };
        if let Some(past) = &mut notes.past {
            return past.written.remove(id);
        }
        if notes.ahead.is_empty() {
            return false;
        }
        let is_ahead = notes.ahead.remove(id);
        notes.ahead_left -= u32::from(!is_ahead);
        if notes.ahead_left == 0 {
            notes.ahead.clear();
        }
        is_ahead
    }

    /// Nothing comes again any more.
    pub(super) fn end_past(&mut self) {
        if let Some(notes) = &mut self.notes
            && let Some(past) = notes.past.take()
        {
            notes.ahead = past.written;
        }
    }

    /// Waits until the sink has room, as long as it gets on: what comes again is all there at once.
    pub(super) fn await_room(&mut self, clock: &mut Clock) {
        let mut since = clock.now();
        while !self.sink.is_calm() && clock.now().since(since) < PATIENCE_NS {
            let settled = self.sink.settled();
            clock.sync_if_due();
            self.sink.poll(clock.now());
            self.settle();
            if self.sink.settled() > settled {
                since = clock.now();
            }
            clock.pause(Duration::ZERO);
        }
    }

    /// Gives an encoded action to the sink.
    #[inline]
    pub(super) fn send(&mut self, shard: usize, id: ActionId, frame: &[u8], now: Nanos) {
        let taken = self.sink.send(frame, now);
        if let Some(notes) = &mut self.notes {
            if taken {
                notes.waiting.push_back((shard as u16, id));
            }
            self.settle();
        }
    }

    /// Notes what the sink is rid of.
    #[inline]
    pub(super) fn settle(&mut self) {
        let Some(notes) = &mut self.notes else { return };
        if let Some(id) = self.sink.acknowledged()
            && let Some(at) = notes.waiting.iter().position(|(_, waiting)| *waiting == id)
        {
            self.sink.release(at as u64 + 1);
        }
        let settled = self.sink.settled();
        if settled == notes.settled {
            return;
        }
        // Not where the sink is now: a death among these notes leaves those of some shards behind.
        let bytes = notes.bytes;
        for left in (0..settled - notes.settled).rev() {
            let Some((shard, id)) = notes.waiting.pop_front() else { break };
            let another = notes.waiting.front().filter(|_| left > 0);
            // One note is enough for several of a shard in a row.
            if another.is_none_or(|(next, _)| *next != shard) {
                notes.shards[usize::from(shard)].note(&Confirmed { id, bytes });
            }
        }
        notes.settled = settled;
        // While the file is ahead of the journal another start must read what it has from there.
        if notes.past.is_none() && notes.ahead.is_empty() {
            notes.bytes = self.sink.position();
        }
    }
}
