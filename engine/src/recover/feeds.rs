//! Where each feed goes on, by what the shards' journals have of it.
//!
//! Invariant: no message that any shard lacks lies before the place where its feed goes on. With
//! several shards some may have more: they pass over what they have (see
//! [`crate::shard::Shard::resume`]).

use corelane_feeds::record::Record;
use corelane_feeds::streams::sys;
use corelane_feeds::units::{Nanos, Seq};

use super::ShardLeft;
use crate::config::{Config, Topology};
use crate::run::{AnyFeed, plan};
use crate::shard::{Behind, Has};

/// How far one shard has come in one feed.
#[derive(Clone, Default, Debug)]
pub struct FeedLeft {
    /// Sessions that it saw.
    pub sessions: u64,
    /// The last of them.
    pub session: Option<sys::Session>,
    /// Whether that is over.
    pub ended: bool,
    /// The first message that it has not got.
    pub next: u64,
    /// Event time of its last record.
    pub ts_event: Nanos,
}

impl FeedLeft {
    /// Goes on behind a record of the feed.
    pub fn pass(&mut self, record: &Record) {
        let header = &record.header;
        if let Some(session) = record.view::<sys::Session>() {
            self.sessions += 1;
            self.session = Some(*session);
            (self.ended, self.next) = (false, header.seq.0);
        } else if let Some(gap) = record.view::<sys::Gap>() {
            self.next = self.next.max(gap.first.0.saturating_add(gap.count));
        } else if header.stream == sys::EndOfSession::STREAM {
            self.ended = true;
        } else if header.stream != sys::Tick::STREAM && header.stream != sys::RuleChange::STREAM {
            self.next = self.next.max(header.seq.0.saturating_add(1));
            self.ts_event = header.ts_event;
        }
    }
}

/// Every feed of a configuration, as it goes on.
pub struct SeenFeeds {
    /// Until they are taken.
    feeds: Vec<Option<AnyFeed>>,
    /// The shard that alone gets a feed's records, if there is one.
    owners: Vec<Option<usize>>,
    places: Vec<Option<(sys::Session, Seq)>>,
    /// How many sessions each feed began.
    sessions: Vec<u64>,
    ended: Vec<bool>,
}

impl SeenFeeds {
    pub(super) fn new(config: &Config) -> anyhow::Result<Self> {
        let feeds = (0..config.feeds.len()).map(|index| plan::open_feed(config, index).map(Some));
        let fused = config.engine.topology == Topology::Fused;
        let owners = config.feeds.iter().map(|feed| fused.then_some(feed.reactor));
        let count = config.feeds.len();
        Ok(Self {
            feeds: feeds.collect::<anyhow::Result<_>>()?,
            owners: owners.collect(),
            places: vec![None; count],
            sessions: vec![0; count],
            ended: vec![false; count],
        })
    }

    /// Puts every feed to its place.
    pub(super) fn settle(&mut self, shards: &[ShardLeft]) {
        for (index, feed) in self.feeds.iter_mut().enumerate() {
            let Some(feed) = feed else { continue };
            let owner = self.owners[index];
            let shards = shards.iter().enumerate();
            let shards = shards.filter(|(shard, _)| owner.is_none_or(|owner| owner == *shard));
            for (_, shard) in shards.clone() {
                let symbols = shard.symbols.get(index).into_iter().flatten();
                symbols.for_each(|(symbol, number)| feed.recall(*symbol, *number));
            }
            let left = || shards.clone().map(|(_, shard)| &shard.feeds[index]);
            let Some(first) = left().max_by_key(|left| left.sessions) else { continue };
            let Some(session) = first.session else { continue };
            // A shard that has not seen the session begin lacks all of it.
            let next = left().map(|left| match left.sessions == first.sessions {
                true => left.next,
                false => session.header.seq.0,
            });
            let next = Seq(next.min().unwrap_or(first.next));
            let ended = left().all(|left| left.sessions == first.sessions && left.ended);
            feed.resume(&session, next, first.ts_event, ended);
            self.places[index] = Some((session, next));
            (self.sessions[index], self.ended[index]) = (first.sessions, ended);
        }
    }

    /// What a feed has to ask its server for: its session and its next message; none if that
    /// session is over and the next one to begin is wanted.
    #[must_use]
    pub fn place(&self, index: usize) -> Option<&(sys::Session, Seq)> {
        self.places[index].as_ref().filter(|_| !self.ended[index])
    }

    /// The session of a feed that is over, and what would come next in it.
    #[must_use]
    pub fn over(&self, index: usize) -> Option<&(sys::Session, Seq)> {
        self.places[index].as_ref().filter(|_| self.ended[index])
    }

    /// Sessions that feeds go on in and whose beginning a shard has not got: the feeds are behind
    /// it.
    pub fn sessions_for<'a>(
        &'a self,
        number: usize,
        shard: &'a ShardLeft,
    ) -> impl Iterator<Item = &'a sys::Session> {
        let feeds = shard.feeds.iter().enumerate();
        feeds.filter_map(move |(index, left)| {
            let is_due = self.owners[index].is_none_or(|owner| owner == number);
            let (session, _) = self.places[index].as_ref()?;
            (is_due && left.sessions < self.sessions[index]).then_some(session)
        })
    }

    /// What a shard has of messages that its feeds bring once more.
    #[must_use]
    pub fn behind(&self, shard: &ShardLeft) -> Option<Behind> {
        let feeds = shard.feeds.iter().enumerate();
        let has = feeds.map(|(index, left)| match (&self.places[index], &left.session) {
            (Some((session, next)), Some(own)) if own.key == session.key => Has {
                next: if left.next > next.0 { left.next } else { 0 },
                end: left.ended && !self.ended[index],
            },
            _ => Has::default(),
        });
        Behind::new(has.collect())
    }

    /// Takes out a feed that is at its place; none if it was taken before.
    pub(crate) fn take(&mut self, index: usize) -> Option<AnyFeed> {
        self.feeds.get_mut(index)?.take()
    }
}
