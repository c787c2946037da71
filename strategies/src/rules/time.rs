//! How far event time has come on every stream.
//!
//! A stream's watermark is the greatest event time of its records less the lateness that it is
//! allowed: what comes with a time before it is late. What a rule waited for until a time happens
//! when the watermark of all its streams has reached that time, before the record that moved it
//! there is looked at. `sys.tick` moves every stream, for those that are silent.
//!
//! Invariant: a watermark never goes back, and depends on the records alone.

use corelane_feeds::record::{Header, StreamId};
use corelane_feeds::streams::sys::{Gap, Tick};
use corelane_feeds::units::Nanos;

use crate::state::StateReader;
use crate::strategy::StateError;

/// The watermarks of the streams that rules read.
#[derive(Clone, Debug, Default)]
pub(super) struct Time {
    /// By stream, each with its lateness and its watermark.
    streams: Vec<(StreamId, u64, Nanos)>,
}

impl Time {
    /// Watermarks of these streams, each with its lateness in nanoseconds.
    pub(super) fn new(mut streams: Vec<(StreamId, u64)>) -> Self {
        streams.sort_unstable();
        streams.dedup_by_key(|(stream, _)| *stream);
        let streams = streams.into_iter().map(|(id, lateness)| (id, lateness, Nanos(0)));
        Self { streams: streams.collect() }
    }

    /// A record came.
    #[inline]
    pub(super) fn observe(&mut self, header: &Header) {
        let is_tick = header.stream == Tick::STREAM;
        for (stream, lateness, watermark) in &mut self.streams {
            if is_tick || *stream == header.stream {
                *watermark = (*watermark).max(Nanos(header.ts_event.0.saturating_sub(*lateness)));
            }
        }
    }

    /// How far all of these streams have come; ticks and gaps are none of them.
    #[inline]
    pub(super) fn of(&self, streams: &[StreamId]) -> Nanos {
        let known = self.streams.iter().filter(|(id, ..)| streams.contains(id));
        let known = known.filter(|(id, ..)| *id != Tick::STREAM && *id != Gap::STREAM);
        known.map(|(.., watermark)| *watermark).min().unwrap_or_default()
    }

    /// Goes on from where an earlier one stands.
    pub(super) fn take_over(&mut self, earlier: &Self) {
        for (stream, _, watermark) in &mut self.streams {
            if let Some(known) = earlier.streams.iter().find(|(id, ..)| id == stream) {
                *watermark = known.2;
            }
        }
    }

    /// Appends every watermark.
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        self.streams.iter().for_each(|(.., at)| out.extend_from_slice(&at.0.to_le_bytes()));
    }

    /// Takes over the watermarks that [`Time::save`] of the same streams wrote.
    ///
    /// # Errors
    /// If there are not so many.
    pub(super) fn restore(&mut self, state: &mut StateReader<'_>) -> Result<(), StateError> {
        for (.., watermark) in &mut self.streams {
            *watermark = Nanos(state.u64()?);
        }
        Ok(())
    }
}
