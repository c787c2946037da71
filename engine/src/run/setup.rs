//! What is set up before the threads of a run start: sinks, shards, feeds, rings.
//!
//! Invariant: a shard of an earlier run is as that left it, and has sent again what sinks may not
//! be rid of, before it takes its first record.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use corelane_feeds::record::{Record, RecordSink, View};
use corelane_feeds::units::Nanos;
use corelane_strategies::chain::Chain;
use corelane_strategies::registry::Registry;

use super::Input;
use super::intake::{Downstream, FeedSlot, Intake, Poll};
use super::plan;
use super::reload::{Names, RuleWatch};
use super::service::spawn;
use super::threads::{self, Opened, Orders, ReactorEnd};
use crate::config::{Config, Source, Topology};
use crate::egress::{Edges, Egress, EgressSpec};
use crate::journal::{JournalConfig, JournalWriter, Progress};
use crate::latency::LatencyCollector;
use crate::reactor::Waiting;
use crate::recover::{SeenFeeds, ShardFolders, ShardLeft};
use crate::ring::{self, Full, RecordConsumer, RecordProducer, RingStats};
use crate::shard::{ActionOut, OnFull, Shard, ShardConfig};
use crate::snapshot::{Replica, ReplicaStart, Shadow, ShadowOptions, Snapshot, SteppedShadow};
use crate::sys::affinity;
use crate::sys::prefetch::MEMORY;

/// Slots of a ring of actions.
const ACTION_SLOTS: usize = 65_536;
/// Actions that a live shard holds back while egress has no room.
const ACTIONS_HELD_MAX: usize = 16_384;

/// Where a shard's actions go: sinks on its own thread, the ring to the egress thread, or both.
pub(super) struct Out {
    pub(super) here: Option<Egress>,
    shard_egress: Option<RecordProducer>,
}

impl ActionOut for Out {
    #[inline]
    fn push(&mut self, record: &Record) -> Result<(), Full> {
        // The ring first: what it refuses comes again, and must not be sent here twice.
        if let Some(ring) = &mut self.shard_egress {
            ring.push(record)?;
        }
        if let Some(egress) = &mut self.here {
            egress.take(0, record);
        }
        Ok(())
    }

    fn is_gone(&self) -> bool {
        self.shard_egress.as_ref().is_some_and(RecordProducer::is_abandoned)
    }
}

impl Poll for Out {
    fn poll(&mut self) {
        if let Some(egress) = &mut self.here {
            egress.poll();
        }
    }
}

/// The shape of a run, after topology and input are known.
#[derive(Copy, Clone)]
pub(super) struct Shape {
    pub(super) fused: bool,
    pub(super) live: bool,
    pub(super) reactors: usize,
    pub(super) shards: usize,
    pub(super) waiting: Waiting,
}

impl Shape {
    pub(super) fn of(config: &Config, input: &Input) -> Self {
        let live = matches!(input, Input::Live);
        let reactors = if live { config.engine.reactors } else { 1 };
        let fused = config.engine.topology == Topology::Fused && config.engine.reactors == reactors;
        let shards = config.engine.shards;
        let hot = if fused { reactors } else { reactors + shards };
        let cores = affinity::allowed().map_or(1, |cpus| cpus.len());
        Self { fused, live, reactors, shards, waiting: config.engine.wait.resolve(cores, hot) }
    }
}

/// Everything that is set up before threads start.
pub(super) struct Setup<'a> {
    pub(super) config: &'a Config,
    pub(super) registry: &'a Registry,
    pub(super) shape: Shape,
    pub(super) latency: LatencyCollector,
    pub(super) rings: Vec<Arc<RingStats>>,
    pub(super) to_egress: Vec<RecordConsumer>,
    pub(super) orders: Orders,
    pub(super) names: Names,
    /// Of a live run with rule files.
    pub(super) rules: Option<RuleWatch>,
    /// Shards of an earlier run, by number, until they are taken.
    pub(super) left: Vec<Option<ShardLeft>>,
    /// Where the feeds of an earlier run go on.
    pub(super) seen: Option<SeenFeeds>,
    /// What decided when the journal of that began.
    pub(super) began: Option<Config>,
    /// Those that write snapshots, by shard.
    pub(super) shadows: Vec<Shadow>,
    /// The same of a run that is stepped.
    pub(super) stepped_shadows: Vec<SteppedShadow>,
    /// Clocks, and what sinks write to.
    pub(super) edges: Arc<dyn Edges>,
    /// Everything runs on one thread: journals make their segments themselves, of this size.
    pub(super) stepped: Option<usize>,
}

impl Setup<'_> {
    /// Where the actions of a shard go.
    pub(super) fn out(&mut self, shard: usize) -> anyhow::Result<Out> {
        let mut out = Out { here: None, shard_egress: None };
        let here = if self.shape.fused { plan::sinks(self.config, false) } else { Vec::new() };
        if !here.is_empty() {
            let spec = plan::egress_spec(
                self.config,
                here,
                shard..shard + 1,
                self.shape.live,
                &self.names,
                &self.left,
            );
            let mut egress = Egress::open(&EgressSpec { edges: self.edges.clone(), ..spec })?;
            egress.measure(self.latency.recorder());
            out.here = Some(egress);
        }
        let off_core = if self.shape.fused {
            !plan::sinks(self.config, true).is_empty()
        } else {
            !self.config.sinks.is_empty()
        };
        if off_core {
            let (producer, consumer) = ring::new(&format!("shard{shard}_egress"), ACTION_SLOTS);
            self.rings.push(Arc::clone(producer.stats()));
            self.to_egress.push(consumer);
            out.shard_egress = Some(producer);
        }
        Ok(out)
    }

    pub(super) fn shard(&mut self, number: usize, out: Out) -> anyhow::Result<Shard<Out>> {
        let left = self.left.get_mut(number).and_then(Option::take);
        let end = left.as_ref().and_then(|left| left.end);
        let journal = if self.config.journal.enabled {
            let config = plan::journal_config(self.config, &self.config.journal.dir, number);
            let config = match self.stepped {
                Some(segment_bytes) => JournalConfig { stepped: true, segment_bytes, ..config },
                None => config,
            };
            Some(match &end {
                Some(end) => JournalWriter::resume(&config, end)?,
                None => JournalWriter::create(&config)?,
            })
        } else {
            None
        };
        let (chain, mut left) = match left {
            Some(mut left) => {
                let none = Chain::new(Vec::new(), Vec::new());
                (std::mem::replace(&mut left.chain, none), Some(left))
            }
            None => {
                let mut chain = plan::build_chain(self.config, self.registry, number)?;
                (0..self.config.feeds.len()).for_each(|feed| chain.reserve(feed as u8, MEMORY));
                (chain, None)
            }
        };
        let progress = journal.as_ref().and_then(JournalWriter::progress);
        let on_full = if self.shape.live { OnFull::Hold(ACTIONS_HELD_MAX) } else { OnFull::Wait };
        let marks = self.shape.shards > 1 && !self.shape.live;
        let mut shard = Shard::new(chain, journal, out, ShardConfig { on_full, marks });
        shard.measure(self.edges.clock(), self.latency.recorder(), self.shape.live);
        if let Some(rules) = &mut self.rules {
            let reloads = left.as_ref().map_or(0, |left| left.reloads);
            shard.take_rules_from(rules.shard(reloads));
        }
        let snapshot = left.as_mut().and_then(|left| left.snapshot.take());
        if let Some(left) = left {
            let folders = ShardFolders::of(&self.config.journal, number);
            left.unconfirmed.send_again(&folders, |action| shard.send_again(action))?;
            let behind = self.seen.as_ref().and_then(|seen| seen.behind(&left));
            shard.resume(&left.owed, left.watermark, behind)?;
            for session in self.seen.iter().flat_map(|seen| seen.sessions_for(number, &left)) {
                shard.record(session.as_record());
                shard.end_batch();
            }
            // Rules that changed meanwhile change before the first record.
            shard.idle();
        }
        // It may retire segments, so that it starts when nothing of them is sent again any more.
        if self.config.journal.enabled && self.shape.live {
            self.start_shadow(number, snapshot, progress)?;
        }
        Ok(shard)
    }

    /// Starts what writes the snapshots of a shard, whose journal has been begun; `snapshot` is the
    /// one that the shard went on from.
    fn start_shadow(
        &mut self,
        shard: usize,
        snapshot: Option<Snapshot>,
        progress: Option<Arc<Progress>>,
    ) -> anyhow::Result<()> {
        let journal = &self.config.journal;
        if journal.snapshot_every == 0 {
            return Ok(());
        }
        let start = ReplicaStart {
            run: &journal.dir,
            config: self.began.as_ref().unwrap_or(self.config),
            registry: self.registry,
            shard,
            resident: false,
        };
        let replica = Replica::new(&start, snapshot.as_ref())?;
        let options = ShadowOptions {
            folders: ShardFolders::of(journal, shard),
            progress,
            every: journal.snapshot_every,
            keep: journal.snapshots_max,
            retain: journal.retain,
            sinks: plan::sink_filters(self.config)?,
            cpu: self.config.engine.service_core,
        };
        if self.stepped.is_some() {
            self.stepped_shadows.push(SteppedShadow::begin(options, replica, snapshot)?);
        } else {
            self.shadows.push(Shadow::start(options, replica, snapshot)?);
        }
        Ok(())
    }

    pub(super) fn start_reactor<D: Downstream + Send + 'static>(
        &mut self,
        reactor: usize,
        core: Option<usize>,
        source: Option<Opened>,
        downstream: D,
    ) -> anyhow::Result<JoinHandle<anyhow::Result<ReactorEnd<D>>>> {
        let mut orders = self.orders.clone();
        orders.core = core;
        let mut intake = self.intake(reactor, downstream)?;
        let name = format!("reactor-{reactor}");
        if let Some(opened) = source {
            let routes = self.routes();
            return spawn(&name, move || threads::replay(&orders, opened, &routes, intake));
        }
        let wiring = self.wire(reactor, &mut intake)?;
        spawn(&name, move || threads::receive(&orders, wiring, intake))
    }

    /// What a reactor opens; tells its intake whose each socket and connection is.
    pub(super) fn wire<D>(
        &self,
        reactor: usize,
        intake: &mut Intake<D>,
    ) -> anyhow::Result<plan::Wiring> {
        let wiring = plan::wire(self.config, reactor, self.seen.as_ref())?;
        let slot = |feed: &usize| intake.feeds.iter().position(|slot| slot.index == *feed);
        let sockets = wiring.sockets.iter();
        intake.sockets = sockets.filter_map(|(feed, line)| Some((slot(feed)?, *line))).collect();
        intake.conns = wiring.conns.iter().filter_map(slot).collect();
        Ok(wiring)
    }

    /// The feeds of a reactor; all of them if it reads a capture.
    pub(super) fn intake<D>(&mut self, reactor: usize, downstream: D) -> anyhow::Result<Intake<D>> {
        let feeds = self.config.feeds.iter().enumerate();
        let own = feeds.filter(|(_, feed)| !self.shape.live || feed.reactor == reactor);
        let slot = |(index, section): (usize, &crate::config::FeedSection)| {
            let seen = self.seen.as_mut().and_then(|seen| seen.take(index));
            let feed = seen.map_or_else(|| plan::open_feed(self.config, index), Ok)?;
            Ok(FeedSlot {
                index,
                feed,
                tick_ns: section.tick_ns,
                heard: Nanos(0),
                ticked: Nanos(0),
            })
        };
        Ok(Intake {
            feeds: own.map(slot).collect::<anyhow::Result<_>>()?,
            sockets: Vec::new(),
            conns: Vec::new(),
            downstream,
            clock: self.edges.clock(),
            latency: self.latency.recorder(),
            last_packet: Nanos(0),
        })
    }

    /// Which destination of a capture is which feed's line.
    fn routes(&self) -> Vec<(SocketAddr, usize, u8)> {
        let mut routes = Vec::new();
        for (index, feed) in self.config.feeds.iter().enumerate() {
            if let Source::Lines { lines, .. } = &feed.source {
                let numbered = lines.iter().enumerate();
                routes.extend(numbered.map(|(line, address)| (*address, index, line as u8)));
            }
        }
        routes
    }
}
