//! One engine in a simulated world, from its first start to the end of the session, with everything
//! that goes wrong on the way.
//!
//! Invariant: one thread; every turn, every delay and every fault is drawn from the one generator.

use std::any::Any;
use std::collections::HashSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use corelane_feeds::record::Record;
use corelane_strategies::action::ActionId;
use corelane_strategies::registry::Registry;
use zerocopy::IntoBytes;

use super::damage::{self, entries};
use super::desk::{self, Desk};
use super::edges::{SimEdges, SimFaults};
use super::plan::{AtRest, Plan};
use super::time::Time;
use super::trace::Trace;
use super::venue::{self, SimBackend, Venue};
use super::{Died, check};
use crate::cli::exit;
use crate::config::Config;
use crate::egress::Edges;
use crate::generate::rng::Rng;
use crate::journal::Entry;
use crate::run::stepped::{Stepped, Turn, shard_folder};
use crate::sys::fault;

/// Turns of one world: far more than any needs, as a run that gets nowhere is a fault.
const STEPS_MAX: u64 = 400_000;
/// What passes between two turns at most, and when only sinks have to catch up.
const STEPS_NS: [u32; 3] = [1_000, 30_000, 400_000];
/// See [`STEPS_NS`].
const LATE_NS: [u32; 3] = [100_000, 3_000_000, 40_000_000];
/// Records that a shard takes at a turn, at most.
const RECORDS_MAX: u32 = 64;
/// Room in a ring, in slots, without which a reactor gets no turn.
const ROOM_MIN: usize = 8_192;
/// The configuration cannot be used, or data is bad: what damage at rest may lead to.
const REFUSALS: [u8; 2] = [exit::BAD_DATA, exit::CONFIG];

/// How a world ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// The session is over, the run was ended in order.
    Done,
    /// The journal was damaged, and the start was refused with a reason.
    Refused,
    /// The journal was damaged in its last entry, which was cut off.
    Cut,
}

/// See the [module](self).
pub(super) struct World<'a> {
    plan: &'a Plan,
    registry: &'a Registry,
    dir: PathBuf,
    config: Config,
    time: Time,
    rng: Rng,
    venue: venue::Shared,
    desk: desk::Shared,
    faults: SimFaults,
    edges: Arc<dyn Edges>,
    run: Option<Stepped<SimBackend>>,
    pub(super) trace: &'a mut Trace,
    /// Of every shard, the last segment of the earlier runs.
    before: Vec<Option<u64>>,
    /// What a death left in every shard's journal.
    kept: Vec<Vec<Entry>>,
    /// Of every shard, the entries that it had when rules changed: the venue waited for them.
    settled: Vec<usize>,
    deaths_left: u32,
    pub(super) deaths: u32,
    fills_left: u32,
    /// The session is over, only what is on its way still has to arrive.
    over: bool,
    rules_changed: bool,
    flip: Option<damage::Flip>,
}

impl<'a> World<'a> {
    /// A world in an empty folder.
    pub(super) fn new(
        plan: &'a Plan,
        registry: &'a Registry,
        dir: &Path,
        seed: u64,
        trace: &'a mut Trace,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(dir)?;
        let config = dir.join("config.toml");
        fs::write(&config, plan.config(dir))?;
        fs::write(dir.join("rules.sql"), &plan.rules[0])?;
        let mut rng = Rng::new(seed);
        let time = Time::new();
        let venue = Venue::new(time.clone(), Rng::new(rng.bits()), plan);
        let desk = Desk::new(time.clone(), Rng::new(rng.bits()), plan.manners);
        let desk = desk::Shared::new(desk);
        let faults = SimFaults::default();
        fault::install(Some(Box::new(faults.clone())));
        let world = Self {
            plan,
            registry,
            dir: dir.to_owned(),
            config: Config::load(&config, registry)?,
            edges: Arc::new(SimEdges::new(&time, &desk)),
            time,
            rng,
            venue: venue::Shared::new(venue),
            desk,
            faults,
            run: None,
            trace,
            before: vec![None; plan.shards],
            kept: vec![Vec::new(); plan.shards],
            settled: vec![0; plan.shards],
            deaths_left: plan.deaths,
            deaths: 0,
            fills_left: if plan.fills_up { 2 } else { 0 },
            over: false,
            rules_changed: plan.rules_change_at.is_none(),
            flip: None,
        };
        if let Some(at) = plan.rules_change_at {
            world.venue.lock().until = at;
        }
        Ok(world)
    }

    fn note(&mut self, what: std::fmt::Arguments<'_>) {
        self.trace.note(self.time.now(), what);
    }

    fn shard_dirs(&self) -> Vec<PathBuf> {
        (0..self.plan.shards).map(|shard| shard_folder(&self.config, shard)).collect()
    }

    /// Plays to the end.
    ///
    /// # Errors
    /// The first thing that is not as it must be.
    pub(super) fn play(&mut self) -> anyhow::Result<Ending> {
        for step in 0..STEPS_MAX {
            if self.run.is_none()
                && let Some(ending) = self.start()?
            {
                return Ok(ending);
            }
            self.pass_time();
            self.venue_and_faults();
            let turn = self.draw_turn();
            if let Some(turn) = turn {
                self.note(format_args!("{step} {turn:?}"));
                self.step(turn)?;
            }
            if self.run.as_ref().is_some_and(Stepped::has_failed) {
                self.end_after_failure()?;
            }
            self.change_rules()?;
            if self.is_over()? {
                self.end()?;
                return Ok(Ending::Done);
            }
        }
        bail!("it gets nowhere: {STEPS_MAX} turns");
    }

    fn pass_time(&mut self) {
        let most = *self.rng.one_of(if self.over { &LATE_NS } else { &STEPS_NS });
        let ns = u64::from(self.rng.below(most));
        self.time.pass(ns);
    }

    /// What happens outside, and what is about to go wrong inside.
    fn venue_and_faults(&mut self) {
        if self.rng.below(6) == 0 {
            self.venue.lock().happen();
        }
        if self.fills_left > 0 && self.rng.below(250) == 0 {
            self.fills_left -= 1;
            self.faults.fill();
            self.note(format_args!("the disk is full"));
        }
        if self.deaths_left > 0 && self.rng.below(160) == 0 {
            self.deaths_left -= 1;
            match self.rng.below(3) {
                0 => self.desk.lock().dies_in = u64::from(self.rng.between(1, 60)),
                1 => self.faults.die_in(u64::from(self.rng.between(1, 5))),
                _ => self.faults.die_in(0),
            }
        }
    }

    fn draw_turn(&mut self) -> Option<Turn> {
        let run = self.run.as_ref()?;
        let turns = run.turns(self.rng.between(1, RECORDS_MAX) as usize);
        let turn = *self.rng.one_of(&turns);
        let has_room = !matches!(turn, Turn::Receive(_)) || run.room() >= ROOM_MIN;
        has_room.then_some(turn)
    }

    /// Takes a turn, in which the engine may die.
    fn step(&mut self, turn: Turn) -> anyhow::Result<()> {
        if self.faults.dies_now() {
            return self.die("between two turns");
        }
        let Some(run) = &mut self.run else { return Ok(()) };
        match catch_unwind(AssertUnwindSafe(|| run.step(turn))) {
            Ok(stepped) => stepped.context("a turn"),
            Err(panic) => {
                died_or_panicked(&*panic)?;
                self.die("within a turn")
            }
        }
    }

    /// Starts the engine, or tells why the world ends here.
    fn start(&mut self) -> anyhow::Result<Option<Ending>> {
        if self.deaths_left > 0 && self.rng.chance(200) {
            self.deaths_left -= 1;
            if self.rng.chance(512) {
                self.faults.die_in(u64::from(self.rng.between(1, 14)));
            } else {
                self.desk.lock().dies_in = u64::from(self.rng.between(1, 30));
            }
        }
        let (config, registry, edges) = (&self.config, self.registry, &self.edges);
        let (venue, segment_bytes) = (self.venue.clone(), self.plan.segment_bytes);
        let started = catch_unwind(AssertUnwindSafe(|| {
            Stepped::start(config, registry, edges, segment_bytes, |sockets, conns| {
                SimBackend::new(&venue, sockets.len(), conns.len())
            })
        }));
        match started {
            Err(panic) => {
                died_or_panicked(&*panic)?;
                self.die("while it started")?;
                Ok(None)
            }
            Ok(Err(error)) => self.refused(&error),
            Ok(Ok(run)) => self.started(run),
        }
    }

    fn started(&mut self, run: Stepped<SimBackend>) -> anyhow::Result<Option<Ending>> {
        let how = run.recovered.clone();
        let (case, torn) = how.as_ref().map_or(("fresh", 0), |r| (r.case.as_str(), r.torn_bytes));
        self.note(format_args!("started: {case}, {torn} bytes torn"));
        self.run = Some(run);
        let flip = self.flip.take();
        for (shard, dir) in self.shard_dirs().into_iter().enumerate() {
            let (kept, now) = (&self.kept[shard], entries(&dir));
            let equal = kept.iter().zip(&now).take_while(|(then, now)| same(then, now)).count();
            if equal == kept.len() {
                continue;
            }
            // A bit that flipped in the last entry makes it one that was never finished.
            ensure!(
                flip.is_some() && equal + 1 == kept.len(),
                "shard {shard}: entry {} of {} is gone after a start ({case}), {flip:?}",
                equal + 1,
                kept.len()
            );
            return Ok(Some(Ending::Cut));
        }
        Ok(None)
    }

    fn refused(&mut self, error: &anyhow::Error) -> anyhow::Result<Option<Ending>> {
        let code = exit::code(error);
        let dir = self.dir.display().to_string();
        let said = format!("{error:#}").replace(&dir, "DIR");
        self.note(format_args!("refused with {code}: {said}"));
        if let Some(flip) = &self.flip {
            ensure!(REFUSALS.contains(&code), "{flip:?} leads to code {code}: {said}");
            return Ok(Some(Ending::Refused));
        }
        ensure!(self.faults.make_room(), "a start is refused with {code}: {said}");
        ensure!(code == exit::IO, "a full disk leads to code {code}: {said}");
        self.after_the_end();
        Ok(None)
    }

    /// The engine dies.
    fn die(&mut self, when: &str) -> anyhow::Result<()> {
        self.deaths += 1;
        self.note(format_args!("dies {when}"));
        self.faults.calm();
        self.run = None;
        self.venue.lock().engine_died();
        self.desk.lock().engine_died();
        let seen = self.seen()?;
        if self.plan.tears && self.rng.chance(700) {
            for (shard, dir) in self.shard_dirs().iter().enumerate() {
                let before = self.before[shard];
                let settled = self.settled[shard];
                let undone = damage::tear(dir, before, settled, &seen, &mut self.rng);
                let undone = undone.with_context(|| format!("tearing {}", dir.display()))?;
                self.note(format_args!("shard {shard}: {undone} entries were not yet written"));
            }
            let noted = self.noted("file")?;
            damage::tear_file(&self.actions_file(), &noted, &mut self.rng)?;
        }
        self.after_the_end();
        if self.plan.at_rest == AtRest::Flipped && self.deaths_left == 0 && self.flip.is_none() {
            self.flip = damage::flip(&self.config.journal.dir, &mut self.rng)?;
            let flip = self.flip.as_ref().map(|flip| {
                let name = flip.path.strip_prefix(&self.dir).unwrap_or(&flip.path);
                format!("bit {} of byte {} of {} flips", flip.bit, flip.byte, name.display())
            });
            self.note(format_args!("{}", flip.unwrap_or_default()));
        }
        Ok(())
    }

    /// Time goes by until the next start.
    fn after_the_end(&mut self) {
        for (shard, dir) in self.shard_dirs().iter().enumerate() {
            self.kept[shard] = entries(dir);
            self.before[shard] = damage::last_segment(dir);
        }
        let away = u64::from(self.rng.below(50_000_000));
        self.time.pass(away);
        for _ in 0..self.rng.below(4) {
            self.venue.lock().happen();
        }
    }

    /// A journal failed: the run ends in order, and starts again when there is room.
    fn end_after_failure(&mut self) -> anyhow::Result<()> {
        let Some(run) = self.run.take() else { return Ok(()) };
        let ended = match catch_unwind(AssertUnwindSafe(|| run.finish())) {
            Ok(ended) => ended,
            Err(panic) => {
                died_or_panicked(&*panic)?;
                return self.die("after its journal failed");
            }
        };
        let why = ended.failures.join("; ").replace(&self.dir.display().to_string(), "DIR");
        self.note(format_args!("the journal failed: {why}"));
        ensure!(self.faults.make_room(), "the journal failed: {why}");
        self.venue.lock().engine_died();
        self.desk.lock().engine_died();
        self.after_the_end();
        Ok(())
    }

    /// Rules change at their message, when the engine has taken all before it.
    fn change_rules(&mut self) -> anyhow::Result<()> {
        let Some(at) = self.plan.rules_change_at.filter(|_| !self.rules_changed) else {
            return Ok(());
        };
        if !self.venue.lock().is_idle(at) || !self.run.as_ref().is_some_and(Stepped::is_idle) {
            return Ok(());
        }
        // Nothing is written while the venue waits, so that nobody would find out and make some.
        self.faults.make_room();
        self.note(format_args!("rules change"));
        fs::write(self.dir.join("rules.sql"), &self.plan.rules[1])?;
        self.config = Config::load(&self.dir.join("config.toml"), self.registry)?;
        self.rules_changed = true;
        self.settled = self.shard_dirs().iter().map(|dir| entries(dir).len()).collect();
        let Some(run) = &mut self.run else { return Ok(()) };
        match catch_unwind(AssertUnwindSafe(|| run.reload())) {
            Ok(reloaded) => reloaded.context("rules that change")?,
            Err(panic) => {
                died_or_panicked(&*panic)?;
                self.die("while rules changed")?;
            }
        }
        // Every shard takes them in a turn of its own.
        let turns = self.run.as_ref().map(|run| run.turns(1)).unwrap_or_default();
        for turn in turns {
            self.step(turn)?;
        }
        self.venue.lock().until = self.plan.messages.len();
        Ok(())
    }

    /// Whether the session is over and all of it is dealt with; at its end nothing more goes wrong.
    fn is_over(&mut self) -> anyhow::Result<bool> {
        if !self.venue.lock().has_ended() || !self.run.as_ref().is_some_and(Stepped::is_done) {
            return Ok(false);
        }
        if !self.over && self.deaths_left > 0 && self.rng.chance(512) {
            self.deaths_left -= 1;
            self.die("at the end")?;
            return Ok(false);
        }
        if !self.over {
            self.note(format_args!("the session is over"));
            self.over = true;
            (self.deaths_left, self.fills_left) = (0, 0);
            self.faults.calm();
            self.desk.lock().heal();
        }
        Ok(self.run.as_mut().is_some_and(|run| run.pending() == 0))
    }

    /// Ends the run in order; then starts and ends another, which has nothing to do.
    fn end(&mut self) -> anyhow::Result<()> {
        for what in ["the last run", "a run with nothing to do"] {
            if self.run.is_none() {
                self.after_the_end();
                self.venue.lock().engine_died();
                self.desk.lock().engine_died();
                ensure!(self.start()?.is_none() && self.run.is_some(), "{what} does not start");
                let recovered = self.run.as_ref().and_then(|run| run.recovered.as_ref());
                let idle = recovered.is_some_and(|how| how.case == "closed" && how.resent == 0);
                ensure!(idle, "{what} has something to do: {recovered:?}");
            }
            let Some(run) = self.run.take() else { continue };
            let ended = run.finish();
            ensure!(ended.failures.is_empty(), "{what}: {:?}", ended.failures);
            let sinks = ended.egress.iter().flat_map(|egress| &egress.sinks);
            let dropped: u64 = sinks.map(|sink| sink.dropped).sum();
            ensure!(dropped == 0, "{what} gave {dropped} actions up");
        }
        Ok(())
    }

    pub(super) fn actions_file(&self) -> PathBuf {
        self.dir.join("actions.jsonl")
    }

    /// Ids of all actions that anybody outside may have seen.
    fn seen(&self) -> anyhow::Result<HashSet<ActionId>> {
        let mut seen = self.desk.lock().handed.clone();
        if let Ok(lines) = fs::read(self.actions_file()) {
            seen.extend(check::ids(&lines));
        }
        Ok(seen)
    }

    /// What a sink noted that it is rid of, of every shard.
    fn noted(&self, sink: &str) -> anyhow::Result<Vec<ActionId>> {
        let mut noted = Vec::new();
        for dir in self.shard_dirs() {
            let note = crate::egress::confirm::read(&crate::egress::confirm::path(&dir, sink))?;
            noted.extend(note.flatten().map(|note| note.id));
        }
        Ok(noted)
    }

    /// What the desk has, and how many lines came again.
    pub(super) fn received(&self) -> (Vec<u8>, u64) {
        let desk = self.desk.lock();
        (desk.lines.clone(), desk.again)
    }

    /// Every shard's entries.
    pub(super) fn journals(&self) -> Vec<Vec<Entry>> {
        self.shard_dirs().iter().map(|dir| entries(dir)).collect()
    }
}

/// Whether two entries are the same.
fn same(a: &Entry, b: &Entry) -> bool {
    let bytes = |record: &Record| record.as_bytes().to_vec();
    (a.seq, a.kind) == (b.seq, b.kind) && bytes(a.record()) == bytes(b.record())
}

/// An engine that was to die has; anything else is a fault.
fn died_or_panicked(panic: &(dyn Any + Send)) -> anyhow::Result<()> {
    if panic.is::<Died>() {
        return Ok(());
    }
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    bail!("the engine panicked: {}", text.unwrap_or("without a word"))
}
