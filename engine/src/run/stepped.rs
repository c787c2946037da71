//! A live run on one thread, stepped from outside: the same reactors, shards and egress as on their
//! own threads, over a receive backend, a clock and sinks that the caller brings.
//!
//! ```text
//! execute   a thread per part, each in its loop     ┐
//! stepped   one part after the other, a turn each   ┴ the same parts, the same set-up
//! ```
//!
//! Invariant: a turn here is a turn of the part's own loop. Dropping a run in the middle is the
//! death of its process: nothing is flushed, closed or said.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, RwLock, mpsc};

use corelane_strategies::registry::Registry;

use super::intake::{Downstream, Intake};
use super::journal::open_journal;
use super::past::Past;
use super::reload::{Names, RuleWatch};
use super::router::Router;
use super::service::{PATIENCE, all_sinks};
use super::setup::{Out, Setup, Shape};
use super::soup::Client;
use super::threads::Orders;
use super::{Input, plan};
use crate::config::Config;
use crate::egress::{Drain, Edges, Egress, EgressSpec, EgressStats};
use crate::latency::LatencyCollector;
use crate::reactor::{Backend, Sessions};
use crate::recover::DirLock;
use crate::report::RecoveredReport;
use crate::ring::{self, RecordConsumer};
use crate::shard::Shard;
use crate::snapshot::SteppedShadow;

/// A reactor and what it feeds.
struct Receiver<B, D> {
    backend: B,
    sessions: Sessions<Client>,
    intake: Intake<D>,
}

impl<B: Backend, D: Downstream> Receiver<B, D> {
    fn step(&mut self) -> anyhow::Result<()> {
        self.sessions.poll(&mut self.backend, &mut self.intake)?;
        self.intake.idle(true);
        let now = self.intake.clock.now();
        self.sessions.on_time(now, &mut self.backend, &mut self.intake);
        Ok(())
    }
}

/// A shard and its rings.
struct Decider {
    feed_shard: Vec<RecordConsumer>,
    shard: Shard<Out>,
}

/// What a part of a run said about itself.
#[derive(Clone, Default, Debug)]
pub(crate) struct Ended {
    /// What sinks counted.
    pub(crate) egress: Vec<EgressStats>,
    /// Why a journal failed.
    pub(crate) failures: Vec<String>,
}

/// The turns that a run can take.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    /// Reactor of a number, with its shard where they are fused.
    Receive(usize),
    /// Shard of a number, at most so many records of each ring.
    Decide(usize, usize),
    /// The egress thread.
    Send,
    /// What makes the journal of a shard of a number durable; whether it copies notes of sinks.
    Commit(usize, bool),
    /// The shadow of a shard of a number, at most so many entries.
    Shadow(usize, u32),
}

/// See the [module](self).
pub(crate) struct Stepped<B> {
    fused: Vec<Receiver<B, Shard<Out>>>,
    reactors: Vec<Receiver<B, Router>>,
    shards: Vec<Decider>,
    drain: Option<Drain>,
    rules: Option<RuleWatch>,
    /// A copy of the journal is kept on disk.
    is_durable: bool,
    /// Those that write snapshots, by shard, as long as they can.
    shadows: Vec<Option<SteppedShadow>>,
    /// Why one cannot any more.
    shadow_failure: Option<String>,
    /// What was gone on from.
    pub(crate) recovered: Option<RecoveredReport>,
    _locks: Vec<DirLock>,
}

impl<B: Backend> Stepped<B> {
    /// Starts a run, or goes on with an earlier one; `open` gives the backend of a reactor over
    /// sockets (feed and line) and connections (feed), and segments may be smaller than
    /// configurations allow.
    ///
    /// # Errors
    /// As [`super::execute`].
    pub(crate) fn start(
        config: &Config,
        registry: &Registry,
        edges: &Arc<dyn Edges>,
        segment_bytes: usize,
        mut open: impl FnMut(&[(usize, u8)], &[usize]) -> B,
    ) -> anyhow::Result<Self> {
        let shape = Shape::of(config, &Input::Live);
        let journal = open_journal(config, registry, true, |_| ())?;
        let (locks, past) = (journal.locks, Past::of(journal.recovery));
        let (wanted, config) = (config, past.config.as_ref().unwrap_or(config));
        let names: Names = Arc::new(RwLock::new(plan::deciders(config)));
        let watched = !wanted.rules.is_empty();
        let rules = || RuleWatch::new(wanted, past.ran(), Arc::clone(&names));
        let rules = watched.then(rules).transpose()?;
        let recovered = past.report.clone();
        let (ready, _) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let waiting = shape.waiting;
        let orders = Orders { core: None, waiting, stop, ready, until_end: false, idle_exit_ns: 0 };
        let mut setup = Setup {
            config,
            registry,
            shape,
            latency: LatencyCollector::blind(edges.clock().now()),
            rings: Vec::new(),
            to_egress: Vec::new(),
            orders,
            names,
            rules,
            left: past.left,
            seen: past.seen,
            began: past.began,
            shadows: Vec::new(),
            stepped_shadows: Vec::new(),
            edges: Arc::clone(edges),
            stepped: Some(segment_bytes),
        };
        let mut run = Self {
            fused: Vec::new(),
            reactors: Vec::new(),
            shards: Vec::new(),
            drain: None,
            rules: None,
            is_durable: config.journal.copy_dir().is_some(),
            shadows: Vec::new(),
            shadow_failure: None,
            recovered,
            _locks: locks,
        };
        run.set_up(&mut setup, &mut open)?;
        run.rules = setup.rules.take();
        run.shadows = setup.stepped_shadows.drain(..).map(Some).collect();
        Ok(run)
    }

    /// The same steps in the same order as of a run on threads.
    fn set_up(
        &mut self,
        setup: &mut Setup<'_>,
        open: &mut impl FnMut(&[(usize, u8)], &[usize]) -> B,
    ) -> anyhow::Result<()> {
        let shape = setup.shape;
        let outs = (0..shape.shards).map(|shard| setup.out(shard));
        let outs = outs.collect::<anyhow::Result<Vec<_>>>()?;
        let files = plan::sinks(setup.config, true);
        let off_core = if shape.fused { files } else { all_sinks(setup.config) };
        if !setup.to_egress.is_empty() {
            let (names, left) = (&setup.names, &setup.left);
            let spec =
                plan::egress_spec(setup.config, off_core, 0..shape.shards, true, names, left);
            let spec = EgressSpec { edges: Arc::clone(&setup.edges), ..spec };
            let mut egress = Egress::open(&spec)?;
            egress.measure(setup.latency.recorder());
            self.drain = Some(Drain::new(egress, std::mem::take(&mut setup.to_egress)));
        }
        if shape.fused {
            for (reactor, out) in outs.into_iter().enumerate() {
                let shard = setup.shard(reactor, out)?;
                self.fused.push(receiver(setup, reactor, shard, open)?);
            }
            return Ok(());
        }
        let slots = setup.config.engine.ring_slots;
        let mut producers: Vec<_> = (0..shape.reactors).map(|_| Vec::new()).collect();
        for (number, out) in outs.into_iter().enumerate() {
            let mut feed_shard = Vec::new();
            for (reactor, producers) in producers.iter_mut().enumerate() {
                let ring = ring::new(&format!("feed{reactor}_shard{number}"), slots);
                producers.push(ring.0);
                feed_shard.push(ring.1);
            }
            let shard = setup.shard(number, out)?;
            self.shards.push(Decider { feed_shard, shard });
        }
        for (reactor, producers) in producers.into_iter().enumerate() {
            let router = Router::new(producers, setup.config.shares());
            self.reactors.push(receiver(setup, reactor, router, open)?);
        }
        Ok(())
    }

    /// Every turn that this run can take, a shard's with so many records.
    pub(crate) fn turns(&self, records_max: usize) -> Vec<Turn> {
        let reactors = (0..self.fused.len() + self.reactors.len()).map(Turn::Receive);
        let shards = (0..self.shards.len()).map(|shard| Turn::Decide(shard, records_max));
        let durable = if self.is_durable { self.fused.len() + self.shards.len() } else { 0 };
        let commits = (0..durable).map(|shard| Turn::Commit(shard, records_max.is_multiple_of(4)));
        let send = self.drain.is_some().then_some(Turn::Send);
        let shadows = (0..self.shadows.len()).map(|n| Turn::Shadow(n, records_max as u32));
        reactors.chain(shards).chain(send).chain(commits).chain(shadows).collect()
    }

    /// Takes a turn.
    ///
    /// # Errors
    /// If a backend is beyond use.
    pub(crate) fn step(&mut self, turn: Turn) -> anyhow::Result<()> {
        match turn {
            Turn::Receive(reactor) if !self.fused.is_empty() => self.fused[reactor].step()?,
            Turn::Receive(reactor) => self.reactors[reactor].step()?,
            Turn::Decide(shard, records_max) => {
                let Decider { feed_shard, shard } = &mut self.shards[shard];
                for ring in feed_shard {
                    shard.drain(ring, records_max);
                }
                shard.idle();
            }
            Turn::Send => {
                if let Some(drain) = &mut self.drain {
                    drain.step();
                }
            }
            Turn::Commit(shard, notes) => {
                if let Some(shard) = self.shards().nth(shard) {
                    shard.commit(notes);
                }
            }
            Turn::Shadow(shard, entries_max) => {
                let stepped = self.shadows[shard].as_mut().map(|shadow| shadow.step(entries_max));
                if let Some(Err(error)) = stepped {
                    self.shadows[shard] = None;
                    self.shadow_failure = Some(format!("{error:#}"));
                }
            }
        }
        Ok(())
    }

    /// The least room in a ring from a reactor to a shard, in slots.
    pub(crate) fn room(&self) -> usize {
        let rings = self.shards.iter().flat_map(|decider| &decider.feed_shard);
        let room = rings.map(|ring| ring.stats().capacity() - ring.stats().occupancy());
        room.min().map_or(usize::MAX, |room| room as usize)
    }

    /// Actions that wait in sinks, or on the way there.
    pub(crate) fn pending(&mut self) -> usize {
        let here =
            self.shards_mut().filter_map(|shard| Some(shard.out_mut().here.as_ref()?.pending()));
        here.sum::<usize>() + self.drain.as_ref().map_or(0, Drain::pending)
    }

    /// Reads the rule files again, as the service thread does when they have changed.
    ///
    /// # Errors
    /// Why they are not taken.
    pub(crate) fn reload(&mut self) -> anyhow::Result<()> {
        match &mut self.rules {
            Some(rules) => rules.reload().map(|_| ()),
            None => Ok(()),
        }
    }

    fn shards(&self) -> impl Iterator<Item = &Shard<Out>> {
        let fused = self.fused.iter().map(|receiver| &receiver.intake.downstream);
        fused.chain(self.shards.iter().map(|decider| &decider.shard))
    }

    fn shards_mut(&mut self) -> impl Iterator<Item = &mut Shard<Out>> {
        let fused = self.fused.iter_mut().map(|receiver| &mut receiver.intake.downstream);
        fused.chain(self.shards.iter_mut().map(|decider| &mut decider.shard))
    }

    /// Of every shard, the sequence number of the last durable entry; none if no copy is kept.
    pub(crate) fn durable(&self) -> Vec<Option<u64>> {
        let counters = self.shards().map(Shard::journal_counters);
        counters.map(|counters| counters?.last_durable_seq).collect()
    }

    /// Why a shadow writes no more snapshots: told once.
    pub(crate) fn take_shadow_failure(&mut self) -> Option<String> {
        self.shadow_failure.take()
    }

    /// Whether actions wait for the disk.
    pub(crate) fn awaits_disk(&self) -> bool {
        self.shards().any(Shard::awaits_disk)
    }

    /// Whether a journal failed: the run has to end.
    pub(crate) fn has_failed(&self) -> bool {
        self.shards().any(|shard| shard.failure().is_some())
    }

    /// Whether nothing is on its way from a reactor to a shard.
    pub(crate) fn is_idle(&self) -> bool {
        let mut rings = self.shards.iter().flat_map(|decider| &decider.feed_shard);
        rings.all(RecordConsumer::is_empty)
    }

    /// Whether every feed's session is over, and nothing is on its way any more.
    pub(crate) fn is_done(&self) -> bool {
        let mut fused = self.fused.iter().map(|receiver| receiver.intake.has_ended());
        let mut routed = self.reactors.iter().map(|receiver| receiver.intake.has_ended());
        fused.all(|ended| ended) && routed.all(|ended| ended) && self.is_idle()
    }

    /// Ends the run in order, as after a signal.
    pub(crate) fn finish(self) -> Ended {
        let mut ended = Ended::default();
        let mut all = Vec::new();
        for mut receiver in self.fused {
            receiver.intake.flush();
            all.push(receiver.intake.downstream.finish());
        }
        for mut receiver in self.reactors {
            receiver.intake.flush();
        }
        for Decider { mut feed_shard, mut shard } in self.shards {
            while feed_shard.iter_mut().any(|ring| shard.drain(ring, usize::MAX) > 0) {}
            all.push(shard.finish());
        }
        for shard in all {
            ended.failures.extend(shard.failure.map(|failure| failure.to_string()));
            ended.egress.extend(shard.out.here.map(|egress| egress.finish(PATIENCE)));
        }
        if let Some(mut drain) = self.drain {
            while drain.is_open() {
                drain.step();
            }
            ended.egress.push(drain.finish(PATIENCE));
        }
        if ended.failures.is_empty() {
            let finished = self.shadows.into_iter().flatten().map(SteppedShadow::finish);
            let failed = finished.filter_map(Result::err).map(|error| format!("{error:#}"));
            ended.failures.extend(failed);
        }
        ended
    }
}

fn receiver<B: Backend, D: Downstream>(
    setup: &mut Setup<'_>,
    reactor: usize,
    downstream: D,
    open: &mut impl FnMut(&[(usize, u8)], &[usize]) -> B,
) -> anyhow::Result<Receiver<B, D>> {
    let mut intake = setup.intake(reactor, downstream)?;
    let wiring = setup.wire(reactor, &mut intake)?;
    let backend = open(&wiring.sockets, &wiring.conns);
    Ok(Receiver { backend, sessions: Sessions::new(wiring.clients), intake })
}
