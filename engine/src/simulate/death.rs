//! What the death of an engine leaves behind: of its process, or of the machine with it.
//!
//! ```text
//! process    memory and files stay, but for the newest stores, which were not made yet
//! machine    memory is gone; the disk has what was synced, and of the rest what it had got to
//! ```
//!
//! Invariant: what was durable is there afterwards, or the world is a failure.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::panic::catch_unwind;
use std::time::UNIX_EPOCH;

use anyhow::{Context, ensure};
use corelane_strategies::action::ActionId;

use super::check;
use super::damage::{self, entries};
use super::plan::AtRest;
use super::world::{World, died_or_panicked, same};
use crate::egress::confirm;
use crate::journal::{Entry, Kind, Retention, retain};
use crate::run::stepped::Stepped;
use crate::sys::disk::LocalDisk;

impl World<'_> {
    /// The engine dies.
    pub(super) fn die(&mut self, when: &str) -> anyhow::Result<()> {
        self.wrongs.deaths += 1;
        let power = self.plan.disk.map_or(0, |disk| disk.power_in_1024);
        self.was_dark = power > 0 && self.rng.chance(power);
        self.note(format_args!("dies {when}"));
        self.faults.calm();
        self.note_durable();
        self.run = None;
        self.venue.lock().engine_died();
        self.desk.lock().engine_died();
        if self.was_dark {
            self.lose_power()?;
        } else if self.plan.tears && self.rng.chance(700) {
            self.take_back()?;
        }
        self.compress()?;
        self.after_the_end();
        if self.plan.at_rest == AtRest::Flipped && self.deaths_left == 0 && self.flip.is_none() {
            let dirs = [Some(self.config.journal.dir.as_path()), self.config.journal.copy_dir()];
            let dirs: Vec<_> = dirs.into_iter().flatten().filter(|dir| dir.exists()).collect();
            self.flip = damage::flip(&dirs, &mut self.rng)?;
            self.is_unsure |= self.flip.as_ref().is_some_and(|flip| {
                flip.path
                    .file_stem()
                    .is_some_and(|name| name.to_string_lossy().starts_with("confirmed"))
            });
            let flip = self.flip.as_ref().map(|flip| {
                let name = flip.path.strip_prefix(&self.dir).unwrap_or(&flip.path);
                format!("bit {} of byte {} of {} flips", flip.bit, flip.byte, name.display())
            });
            self.note(format_args!("{}", flip.unwrap_or_default()));
        }
        Ok(())
    }

    /// Undoes the newest stores of an engine that died.
    fn take_back(&mut self) -> anyhow::Result<()> {
        let seen = self.seen()?;
        for (shard, folders) in self.folders().iter().enumerate() {
            let (before, settled) = (self.before[shard], self.settled[shard]);
            let undone = damage::tear(folders, before, settled, &seen, &mut self.rng);
            let undone = undone.with_context(|| format!("tearing {}", folders.hot.display()))?;
            self.note(format_args!("shard {shard}: {undone} entries were not yet written"));
        }
        let noted = self.noted("file")?;
        let file = self.actions_file();
        let synced = self.faults.synced_bytes(&file);
        damage::tear_file(&file, &noted, synced, &mut self.rng)?;
        self.file_begins = self.file_begins.min(self.file_bytes());
        Ok(())
    }

    fn file_bytes(&self) -> u64 {
        fs::metadata(self.actions_file()).map_or(0, |metadata| metadata.len())
    }

    /// Notes what the run says is durable.
    pub(super) fn note_durable(&mut self) {
        let said = self.run.as_ref().map(Stepped::durable).unwrap_or_default();
        for (known, said) in self.durable.iter_mut().zip(said) {
            *known = said.unwrap_or(0).max(*known);
        }
    }

    /// The machine loses power: memory is gone, and what the disk had not made durable.
    pub(super) fn lose_power(&mut self) -> anyhow::Result<()> {
        self.wrongs.power_cuts += 1;
        let seen = self.seen()?;
        let folders = self.folders();
        let before = self.journals();
        match fs::remove_dir_all(&self.config.journal.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        self.disk.lose_power(&mut self.rng).context("the disk after a power cut")?;
        let file = self.actions_file();
        damage::cut_file(&file, self.faults.synced_bytes(&file), &mut self.rng)?;
        self.file_begins = self.file_begins.min(self.file_bytes());
        let (mut gone, mut has_any) = (HashSet::new(), false);
        for (shard, (folders, before)) in folders.iter().zip(&before).enumerate() {
            let left = self.whole(shard);
            let equal = left.iter().zip(before).take_while(|(now, then)| same(now, then)).count();
            ensure!(equal == left.len(), "shard {shard}: a power cut changed entry {}", equal + 1);
            let (had, has) = (before.len(), left.len());
            self.note(format_args!("power is cut: shard {shard} has {has} of {had} entries"));
            let durable = self.durable[shard];
            ensure!(has as u64 >= durable, "shard {shard}: of {durable} durable entries {has} are");
            self.wrongs.lost += (had - has) as u64;
            // A shard that has nothing any more may have no note either: its actions come again.
            self.is_unsure |= has == 0 && had > 0;
            // A segment that was begun will do: it names the journal.
            has_any |= folders.open().is_ok_and(|reader| reader.segments() > 0);
            let actions = before[has..].iter().filter(|entry| entry.kind == Kind::Action);
            gone.extend(actions.filter_map(|action| ActionId::of(action.record())));
        }
        if !has_any {
            // The next run begins anew: nothing says that what the file has is not another's.
            self.file_begins = self.file_bytes();
            self.retired.iter_mut().for_each(Vec::clear);
        }
        if self.plan.disk.is_some_and(|disk| disk.sync) {
            let early = seen.iter().find(|&id| gone.contains(id));
            ensure!(early.is_none(), "action {early:?} left before it was durable");
        }
        self.forgotten.extend(gone);
        Ok(())
    }

    /// Time goes by until the next start.
    pub(super) fn after_the_end(&mut self) {
        for (shard, folders) in self.folders().iter().enumerate() {
            self.kept[shard] = self.whole(shard);
            self.before[shard] = damage::last_segment(folders);
        }
        let away = u64::from(self.rng.below(50_000_000));
        self.time.pass(away);
        for _ in 0..self.rng.below(4) {
            self.venue.lock().happen();
        }
    }

    /// Somebody compresses full segments on the disk, and may die of it, or lose power.
    pub(super) fn compress(&mut self) -> anyhow::Result<()> {
        if !self.plan.disk.is_some_and(|disk| disk.compresses) || !self.rng.chance(512) {
            return Ok(());
        }
        if self.rng.chance(400) {
            self.faults.die_in(u64::from(self.rng.between(1, 24)));
        }
        let dirs: Vec<_> =
            self.folders().into_iter().filter_map(|folders| folders.durable).collect();
        let policy = Retention { compress: true, ..Retention::default() };
        let compressed = catch_unwind(|| -> anyhow::Result<u64> {
            let mut compressed = 0;
            for dir in dirs.iter().filter(|dir| dir.exists()) {
                compressed += retain(&LocalDisk, dir, 0, &policy, UNIX_EPOCH)?.compressed;
            }
            Ok(compressed)
        });
        self.faults.calm();
        match compressed {
            Ok(compressed) => {
                let compressed = compressed?;
                self.note(format_args!("{compressed} segments are compressed"));
            }
            Err(panic) => {
                died_or_panicked(&*panic)?;
                self.note(format_args!("who compresses segments dies"));
                if self.rng.chance(512) {
                    self.was_dark = true;
                    self.lose_power()?;
                }
            }
        }
        Ok(())
    }

    /// Does something; if it may retire segments, what is then gone was retired.
    pub(super) fn noting_retired<T>(
        &mut self,
        may: bool,
        does: impl FnOnce() -> T,
    ) -> anyhow::Result<T> {
        let may = may && self.plan.retain_segments.is_some();
        let before: Vec<_> =
            if may { self.folders().iter().map(entries).collect() } else { Vec::new() };
        let done = does();
        for (shard, before) in before.into_iter().enumerate() {
            self.note_retired(shard, before)?;
        }
        Ok(done)
    }

    /// Of the entries of a shard that were there before, those that are gone were retired: every
    /// action among them must have arrived.
    fn note_retired(&mut self, shard: usize, before: Vec<Entry>) -> anyhow::Result<()> {
        let now = entries(&self.folders()[shard]);
        let (Some(first), known) = (now.first(), self.retired[shard].len() as u64) else {
            ensure!(before.is_empty(), "shard {shard}: everything was retired");
            return Ok(());
        };
        let gone = before.into_iter().filter(|entry| entry.seq > known && entry.seq < first.seq);
        let gone: Vec<Entry> = gone.collect();
        if gone.is_empty() {
            return Ok(());
        }
        let file: HashSet<_> =
            check::ids(&fs::read(self.actions_file()).unwrap_or_default()).into_iter().collect();
        let desk: HashSet<_> = check::ids(&self.desk.lock().lines).into_iter().collect();
        for id in check::sent_ids(&gone) {
            let has = file.contains(&id) && desk.contains(&id);
            ensure!(has, "shard {shard}: action {id} was retired before it arrived");
        }
        self.note(format_args!("shard {shard}: entries before {} are retired", first.seq));
        self.wrongs.retired += gone.len() as u64;
        self.retired[shard].extend(gone);
        Ok(())
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
        for folders in self.folders() {
            let note = confirm::read(&confirm::path(&folders.hot, sink))?;
            noted.extend(note.flatten().map(|note| note.id));
        }
        Ok(noted)
    }
}
