//! One engine in a simulated world, from its first start to the end of the session, with everything
//! that goes wrong on the way.
//!
//! Invariant: one thread; every turn, every delay and every fault is drawn from the one generator.

use std::any::Any;
use std::collections::HashSet;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use corelane_feeds::record::Record;
use corelane_strategies::action::ActionId;
use corelane_strategies::registry::Registry;
use zerocopy::IntoBytes;

use super::Died;
use super::damage::{self, entries};
use super::desk::{self, Desk};
use super::disk::SimDisk;
use super::edges::{SimEdges, SimFaults};
use super::plan::{AtRest, DISK, Plan};
use super::time::Time;
use super::trace::Trace;
use super::venue::{self, SimBackend, Venue};
use crate::cli::exit;
use crate::config::Config;
use crate::egress::{Edges, id_of_line};
use crate::generate::rng::Rng;
use crate::journal::Entry;
use crate::recover::ShardFolders;
use crate::report::RecoveredReport;
use crate::run::stepped::{Stepped, Turn};
use crate::sys::{disk, fault};

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

/// What went wrong in a world.
#[derive(Copy, Clone, Default, Debug)]
pub(super) struct Wrongs {
    /// How often the engine died.
    pub(super) deaths: u32,
    /// How often it died because the machine lost power.
    pub(super) power_cuts: u32,
    /// Entries that were lost by that: none of them had been durable.
    pub(super) lost: u64,
    /// Starts that began from snapshots.
    pub(super) from_snapshots: u32,
    /// Entries that were retired.
    pub(super) retired: u64,
}

/// See the [module](self).
pub(super) struct World<'a> {
    pub(super) plan: &'a Plan,
    registry: &'a Registry,
    pub(super) dir: PathBuf,
    pub(super) config: Config,
    pub(super) time: Time,
    pub(super) rng: Rng,
    pub(super) venue: venue::Shared,
    pub(super) desk: desk::Shared,
    pub(super) faults: SimFaults,
    pub(super) disk: SimDisk,
    edges: Arc<dyn Edges>,
    pub(super) run: Option<Stepped<SimBackend>>,
    pub(super) trace: &'a mut Trace,
    /// Of every shard, the last segment of the earlier runs.
    pub(super) before: Vec<Option<u64>>,
    /// What a death left in every shard's journal.
    pub(super) kept: Vec<Vec<Entry>>,
    /// Of every shard, the entries that were retired.
    pub(super) retired: Vec<Vec<Entry>>,
    /// Of every shard, the entries that it had when rules changed: the venue waited for them.
    pub(super) settled: Vec<usize>,
    /// Of every shard, the last entry that is known to be durable.
    pub(super) durable: Vec<u64>,
    /// Actions of entries that a power cut took.
    pub(super) forgotten: HashSet<ActionId>,
    /// Where the file of actions begins to be that of the journal there is.
    pub(super) file_begins: u64,
    pub(super) deaths_left: u32,
    pub(super) wrongs: Wrongs,
    breaks_left: u32,
    fills_left: u32,
    /// The session is over, only what is on its way still has to arrive.
    over: bool,
    rules_changed: bool,
    pub(super) flip: Option<damage::Flip>,
    /// A bit flipped in the note of a sink, or a power cut took all that a shard had: which actions
    /// its file has is not known any more.
    pub(super) is_unsure: bool,
    /// The last death was a power cut.
    pub(super) was_dark: bool,
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
        let disk = SimDisk::new(&dir.join(DISK), &faults);
        fs::create_dir(dir.join(DISK))?;
        disk::install(Some(Rc::new(disk.clone())));
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
            disk,
            run: None,
            trace,
            before: vec![None; plan.shards],
            kept: vec![Vec::new(); plan.shards],
            retired: vec![Vec::new(); plan.shards],
            settled: vec![0; plan.shards],
            durable: vec![0; plan.shards],
            forgotten: HashSet::new(),
            file_begins: 0,
            deaths_left: plan.deaths,
            wrongs: Wrongs::default(),
            breaks_left: u32::from(plan.disk.is_some_and(|disk| disk.breaks)),
            fills_left: if plan.fills_up { 2 } else { 0 },
            over: false,
            rules_changed: plan.rules_change_at.is_none(),
            flip: None,
            is_unsure: false,
            was_dark: false,
        };
        if let Some(at) = plan.rules_change_at {
            world.venue.lock().until = at;
        }
        Ok(world)
    }

    pub(super) fn note(&mut self, what: std::fmt::Arguments<'_>) {
        self.trace.note(self.time.now(), what);
    }

    pub(super) fn folders(&self) -> Vec<ShardFolders> {
        let shards = 0..self.plan.shards;
        shards.map(|shard| ShardFolders::of(&self.config.journal, shard)).collect()
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
            let is_disk = self.plan.disk.is_some() && self.rng.chance(512);
            self.faults.fill(&self.dir.join(DISK), is_disk);
            self.note(format_args!("{} is full", if is_disk { "the disk" } else { "memory" }));
        }
        if self.breaks_left > 0 && self.rng.below(250) == 0 {
            self.breaks_left -= 1;
            self.faults.break_disk();
            self.note(format_args!("the disk makes nothing durable"));
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
        let is_possible = match turn {
            Turn::Receive(_) => run.room() >= ROOM_MIN,
            Turn::Commit(..) => {
                let slow = self.plan.disk.map_or(0, |disk| disk.slow_in_1024);
                slow == 0 || !self.rng.chance(slow)
            }
            _ => true,
        };
        is_possible.then_some(turn)
    }

    /// Takes a turn, in which the engine may die.
    fn step(&mut self, turn: Turn) -> anyhow::Result<()> {
        if self.faults.dies_now() {
            return self.die("between two turns");
        }
        let Some(mut run) = self.run.take() else { return Ok(()) };
        let stepped = self.noting_retired(matches!(turn, Turn::Shadow(..)), || {
            catch_unwind(AssertUnwindSafe(|| run.step(turn)))
        });
        self.run = Some(run);
        let stepped = stepped?;
        match stepped {
            Ok(stepped) => {
                stepped.context("a turn")?;
                let failure = self.run.as_mut().and_then(Stepped::take_shadow_failure);
                let why = failure.filter(|_| !self.faults.was_any());
                ensure!(why.is_none(), "a shadow failed: {}", why.unwrap_or_default());
                Ok(())
            }
            Err(panic) => {
                died_or_panicked(&*panic)?;
                self.die("within a turn")
            }
        }
    }

    /// Starts the engine, or tells why the world ends here.
    fn start(&mut self) -> anyhow::Result<Option<Ending>> {
        self.faults.begin();
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
        let snapshots = how.as_ref().map_or(0, |how| how.snapshots.len());
        self.wrongs.from_snapshots += u32::from(snapshots > 0);
        self.note(format_args!("started: {case}, {torn} bytes torn, {snapshots} snapshots"));
        let is_well = self.flip.is_some() || !case.ends_with("snapshot");
        ensure!(is_well, "a start finds a {case}");
        self.run = Some(run);
        let flip = self.flip.take();
        for shard in 0..self.plan.shards {
            let (kept, now) = (&self.kept[shard], self.whole(shard));
            let equal = kept.iter().zip(&now).take_while(|(then, now)| same(then, now)).count();
            if equal == kept.len() {
                continue;
            }
            // A bit that flipped in the last entry makes it one that was never finished; in the
            // group that power interrupted, any. What lies before a snapshot no start looks at.
            let is_fine = self.was_dark || self.plan.snapshot_every.is_some();
            ensure!(
                flip.is_some() && (equal + 1 == kept.len() || is_fine),
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
        ensure!(self.faults.mend(), "a start is refused with {code}: {said}");
        ensure!(code == exit::IO, "a full disk leads to code {code}: {said}");
        self.after_the_end();
        Ok(None)
    }

    /// A journal failed: the run ends in order, and starts again when there is room.
    fn end_after_failure(&mut self) -> anyhow::Result<()> {
        let Some(run) = self.run.take() else { return Ok(()) };
        let ended =
            self.noting_retired(true, || catch_unwind(AssertUnwindSafe(|| run.finish())))?;
        let ended = match ended {
            Ok(ended) => ended,
            Err(panic) => {
                died_or_panicked(&*panic)?;
                return self.die("after its journal failed");
            }
        };
        let why = ended.failures.join("; ").replace(&self.dir.display().to_string(), "DIR");
        self.note(format_args!("the journal failed: {why}"));
        ensure!(self.faults.mend(), "the journal failed: {why}");
        self.was_dark = false;
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
        self.faults.mend();
        // What a power cut took of the records before would come again behind the change.
        self.commit_all()?;
        if self.run.as_ref().is_none_or(Stepped::has_failed) {
            return Ok(());
        }
        self.note(format_args!("rules change"));
        fs::write(self.dir.join("rules.sql"), &self.plan.rules[1])?;
        self.config = Config::load(&self.dir.join("config.toml"), self.registry)?;
        self.rules_changed = true;
        self.settled = self.journals().iter().map(Vec::len).collect();
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

    /// All that was written becomes durable.
    fn commit_all(&mut self) -> anyhow::Result<()> {
        let turns = self.run.as_ref().map(|run| run.turns(1)).unwrap_or_default();
        for turn in turns.into_iter().filter(|turn| matches!(turn, Turn::Commit(..))) {
            self.step(turn)?;
        }
        self.note_durable();
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
            (self.deaths_left, self.fills_left, self.breaks_left) = (0, 0, 0);
            self.faults.calm();
            self.desk.lock().heal();
        }
        Ok(self.run.as_mut().is_some_and(|run| run.pending() == 0 && !run.awaits_disk()))
    }

    /// Ends the run in order; then starts and ends another, which has nothing to do but to send
    /// again. With a disk the power may be cut meanwhile.
    fn end(&mut self) -> anyhow::Result<()> {
        for what in ["the last run", "a run with nothing to do"] {
            if self.run.is_none() {
                self.was_dark = self.plan.disk.is_some() && self.rng.chance(512);
                if self.was_dark {
                    let journals = self.journals();
                    self.durable = journals.iter().map(|entries| entries.len() as u64).collect();
                    self.lose_power().context("after the end")?;
                }
                self.after_the_end();
                self.venue.lock().engine_died();
                self.desk.lock().engine_died();
                ensure!(self.start()?.is_none() && self.run.is_some(), "{what} does not start");
                let recovered = self.run.as_ref().and_then(|run| run.recovered.as_ref());
                // A file that is noted when it is synced may have been ahead of its note at a
                // death; what it has comes again, and is passed over, until it gets another action.
                // So may be one in whose note a bit flipped.
                let (disk, at_rest) = (self.plan.disk, self.plan.at_rest);
                let may_lag = disk.is_some() || at_rest == AtRest::Flipped;
                let is_rid = |how: &RecoveredReport| how.resent == 0 || may_lag;
                let idle = recovered.is_some_and(|how| how.case == "closed" && is_rid(how));
                ensure!(idle, "{what} has something to do: {recovered:?}");
            }
            let Some(run) = self.run.take() else { continue };
            let ended = self.noting_retired(true, || run.finish())?;
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

    /// What the file of actions has of this journal.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn written(&self) -> io::Result<Vec<u8>> {
        let mut bytes = fs::read(self.actions_file())?.split_off(self.file_begins as usize);
        if self.file_begins > 0 && bytes.starts_with(b"\n") {
            // The end of a torn line before.
            bytes.remove(0);
        }
        if self.is_unsure {
            // Rather twice than never.
            let (mut seen, mut once) = (HashSet::new(), Vec::new());
            for line in bytes.split_inclusive(|&byte| byte == b'\n') {
                if id_of_line(line).is_none_or(|id| seen.insert(id)) {
                    once.extend_from_slice(line);
                }
            }
            return Ok(once);
        }
        Ok(bytes)
    }

    /// What the desk has, and how many lines came again.
    pub(super) fn received(&self) -> (Vec<u8>, u64) {
        let desk = self.desk.lock();
        (desk.lines.clone(), desk.again)
    }

    /// A shard's entries, those that were retired before the others.
    pub(super) fn whole(&self, shard: usize) -> Vec<Entry> {
        let left = entries(&self.folders()[shard]);
        let first = left.first().map_or(u64::MAX, |entry| entry.seq);
        let retired = self.retired[shard].iter().filter(|entry| entry.seq < first);
        retired.cloned().chain(left).collect()
    }

    /// Every shard's entries.
    pub(super) fn journals(&self) -> Vec<Vec<Entry>> {
        (0..self.plan.shards).map(|shard| self.whole(shard)).collect()
    }
}

/// Whether two entries are the same.
pub(super) fn same(a: &Entry, b: &Entry) -> bool {
    let bytes = |record: &Record| record.as_bytes().to_vec();
    (a.seq, a.kind) == (b.seq, b.kind) && bytes(a.record()) == bytes(b.record())
}

/// An engine that was to die has; anything else is a fault.
pub(super) fn died_or_panicked(panic: &(dyn Any + Send)) -> anyhow::Result<()> {
    if panic.is::<Died>() {
        return Ok(());
    }
    bail!("the engine panicked: {}", words(panic))
}

/// What a panic says.
pub(super) fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let died = || panic.is::<Died>().then_some("an engine died where none was to");
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).or_else(died);
    text.unwrap_or("without a word")
}
