//! Rules on several shards: which can run, and where their records go.
//!
//! Invariant: a configuration that passes decides the same with any number of shards.

use corelane_feeds::declared;
use corelane_feeds::feed::Protocol;
use corelane_feeds::record::StreamId;
use corelane_strategies::rules::{Placement, Shares};

use super::{Config, FeedKind, Topology};
use crate::cli::exit::Failure;

/// The high bytes of the streams that ITCH and IEX feeds lead to; both have books.
const ITCH: u16 = 0x01;
const IEX: u16 = 0x02;
const BOOKS: u16 = 0x03;

impl Config {
    /// Where the rules run on several shards.
    #[must_use]
    pub fn placement(&self) -> Placement {
        self.rule_set.placement(self.venues())
    }

    /// How many of its feeds are those of venues.
    #[must_use]
    pub fn venues(&self) -> usize {
        let is_venue = |kind: &FeedKind| matches!(kind, FeedKind::Venue { .. });
        self.feeds.iter().filter(|feed| is_venue(&feed.kind)).count()
    }

    /// What reactors send records by; `None` if none goes to another shard than its own.
    #[must_use]
    pub fn shares(&self) -> Option<Shares> {
        match self.engine.topology {
            Topology::Pipelined => Shares::new(&self.placement(), self.engine.shards),
            // A shard has all records of its feeds.
            Topology::Fused => None,
        }
    }

    /// The reactors whose feeds bring a stream.
    fn reactors_of(&self, stream: StreamId) -> impl Iterator<Item = usize> {
        let brings = move |kind: &FeedKind| match kind {
            FeedKind::Venue { protocol, .. } => {
                let family = if *protocol == Protocol::Itch50 { ITCH } else { IEX };
                stream.0 >> 8 == family || stream.0 >> 8 == BOOKS
            }
            FeedKind::Text(text) => self.stream(&text.stream).is_some_and(|s| s.id() == stream),
        };
        self.feeds.iter().filter(move |feed| brings(&feed.kind)).map(|feed| feed.reactor)
    }

    /// Whether the rules can run on the shards that there are.
    ///
    /// # Errors
    /// If a rule's rows could not be brought together.
    pub(crate) fn check_sharding(&self) -> Result<(), Failure> {
        if self.engine.shards < 2 {
            return Ok(());
        }
        let placement = self.placement();
        if self.engine.topology == Topology::Pipelined {
            let Some((rule, stream)) = self.rule_set.misplaced(&placement) else { return Ok(()) };
            return Err(Failure::config(format!(
                "rule `{rule}` keeps state of `{stream}` by another key than the instrument, and \
                 books are kept where their instrument is: take one shard, or PARTITION BY symbol"
            )));
        }
        for (rule, is_own, streams) in self.rule_set.states(&placement) {
            let mut reactors: Vec<usize> =
                streams.iter().flat_map(|stream| self.reactors_of(*stream)).collect();
            reactors.sort_unstable();
            reactors.dedup();
            let of_venues = !streams.iter().any(|stream| declared::is_declared(*stream));
            if reactors.len() > 1 && !(is_own && of_venues) {
                return Err(Failure::config(format!(
                    "rule `{rule}` keeps state of records that come to different reactors, and in \
                     a fused topology no record goes to another: give their feeds the same \
                     `reactor`, or take the pipelined topology"
                )));
            }
        }
        Ok(())
    }
}
