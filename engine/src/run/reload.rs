//! Rule files that change while a run goes on.
//!
//! ```text
//! file ──> text ──compile──> rule set ──> one stage per shard ──channel──> shard: between packets,
//!           │ says why not                                                 behind a record of it
//!           └──────────────> nothing changes       old stage <──channel──┘
//! ```
//!
//! Invariant: everything is read, compiled, allocated and freed here, on the service thread. A file
//! that does not compile changes nothing. A shard changes rules between two records, which its
//! journal says by a `sys.rule_change` record.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant, SystemTime};

use corelane_strategies::rules::Rules;
use corelane_strategies::strategy::Strategy;

use crate::config::{Config, RulesSection};
use crate::latency::{RuleMeter, RuleTimes};
use crate::rerun::decided;
use crate::shard::Reload;

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Names of strategies and rules by number, the first 1; it only grows.
pub(super) type Names = Arc<RwLock<Vec<String>>>;

/// When a file was written, and its length.
type Written = Option<(SystemTime, u64)>;

/// See the [module](self).
pub(super) struct RuleWatch {
    files: Vec<(PathBuf, Written)>,
    /// Files of rules, as the configuration names them.
    rule_files: Vec<PathBuf>,
    /// With the rules that run now.
    config: Config,
    names: Names,
    shards: Vec<Sender<Reload>>,
    old: (Sender<Box<Rules>>, Receiver<Box<Rules>>),
    looked: Instant,
    /// Times of rules that no longer run.
    pub(super) times: RuleTimes,
    /// How often rules were changed.
    pub(super) reloads: u32,
    /// How often a changed file was refused.
    pub(super) refused: u32,
}

fn written(path: &PathBuf) -> Written {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// The rule files of a configuration, and those of their tables.
fn files_of(config: &Config) -> Vec<PathBuf> {
    let files = config.rules.iter().flat_map(|section| {
        let tables = section.tables.keys().map(|name| section.table_path(name));
        std::iter::once(section.file.clone()).chain(tables)
    });
    files.collect()
}

impl RuleWatch {
    /// Watches the rule files of `config`, which was loaded a moment ago. `ran`, if an earlier run
    /// is gone on with, has the rules that it ended with, and how often they had changed: where
    /// they are others, every shard changes from those.
    ///
    /// # Errors
    /// If the rules of an earlier run cannot be changed to these.
    pub(super) fn new(
        config: &Config,
        ran: Option<(&Config, u32)>,
        names: Names,
    ) -> anyhow::Result<Self> {
        let files = files_of(config).into_iter().map(|file| {
            let written = written(&file);
            (file, written)
        });
        let mut watch = Self {
            files: files.collect(),
            rule_files: config.rules.iter().map(|section| section.file.clone()).collect(),
            config: config.clone(),
            names,
            shards: Vec::new(),
            old: mpsc::channel(),
            looked: Instant::now(),
            times: RuleTimes::default(),
            reloads: 0,
            refused: 0,
        };
        if let Some((ran, reloads)) = ran {
            watch.reloads = reloads;
            // Its rules have the numbers that they got as they changed.
            watch.config = ran.clone();
            if ran.rule_set.fingerprint() != config.rule_set.fingerprint() {
                let mut next = config.clone();
                next.rule_set.follow(&ran.rule_set)?;
                watch.take_on(next)?;
            }
        }
        Ok(watch)
    }

    /// The way to another shard, whose rules changed so often in an earlier run: fewer times than
    /// others' if that died before the shard had taken the last.
    pub(super) fn shard(&mut self, reloads: u32) -> Receiver<Reload> {
        let (sender, receiver) = mpsc::channel();
        if reloads < self.reloads {
            // The other end is at hand.
            let _ = sender.send(self.reload_for(self.shards.len()));
        }
        self.shards.push(sender);
        receiver
    }

    /// Looks whether a file has changed, if it is time to, and passes its rules on.
    pub(super) fn poll(&mut self) {
        while let Ok(mut old) = self.old.1.try_recv() {
            self.keep_times(&mut old);
        }
        if self.looked.elapsed() < LOOK_EVERY {
            return;
        }
        self.looked = Instant::now();
        let mut has_changed = false;
        for (path, known) in &mut self.files {
            let now = written(path);
            // A file that is being replaced may be away for a moment.
            if now.is_some() && now != *known {
                *known = now;
                has_changed = true;
            }
        }
        if !has_changed {
            return;
        }
        match self.reload() {
            Ok(Some(rules)) => eprintln!("corelane: rules changed: {rules} rules run now"),
            Ok(None) => {}
            Err(error) => {
                self.refused += 1;
                eprintln!(
                    "corelane: the changed rules are not taken, the old ones run on: {error:#}"
                );
            }
        }
    }

    /// Reads the files and passes their rules on; `None` if they are the same as before.
    pub(super) fn reload(&mut self) -> anyhow::Result<Option<usize>> {
        let rules = self.rule_files.iter().map(|file| RulesSection::read(file));
        let mut next = self.config.clone();
        next.set_rules(rules.collect::<anyhow::Result<_>>()?)?;
        next.rule_set.follow(&self.config.rule_set)?;
        if next.rule_set.fingerprint() == self.config.rule_set.fingerprint() {
            return Ok(None);
        }
        next.check_sharding()?;
        anyhow::ensure!(
            self.shards.len() < 2 || next.placement().sends_as(&self.config.placement()),
            "rules keep their state by other keys, so records would go to other shards: that \
             needs a restart"
        );
        self.take_on(next)?;
        for (number, shard) in self.shards.iter().enumerate() {
            // A shard that has ended needs none.
            let _ = shard.send(self.reload_for(number));
        }
        for file in files_of(&self.config) {
            if self.files.iter().all(|(known, _)| *known != file) {
                let written = written(&file);
                self.files.push((file, written));
            }
        }
        Ok(Some(self.config.rule_set.len()))
    }

    /// Makes the rules of `next` those that run now: keeps their text, and notes their names.
    fn take_on(&mut self, next: Config) -> anyhow::Result<()> {
        if next.journal.enabled {
            decided::save_rules(&next.journal.dir, &next)?;
        }
        if let Some(copy) = next.journal.copy_dir() {
            decided::save_rules(copy, &next)?;
        }
        self.reloads += 1;
        if let Ok(mut names) = self.names.write() {
            names.truncate(self.config.strategies.len());
            names.extend(next.rule_set.names().map(str::to_owned));
        }
        self.config = next;
        Ok(())
    }

    /// The rules that run now, for a shard.
    fn reload_for(&self, number: usize) -> Reload {
        let shares = self.config.shares();
        let mut rules = Box::new(Rules::on_shard(&self.config.rule_set, shares, number));
        rules.measure(Box::new(RuleMeter::new(rules.rules())), true);
        Reload {
            rules,
            text: self.config.rule_set.fingerprint(),
            number: self.reloads,
            old: self.old.0.clone(),
        }
    }

    fn keep_times(&mut self, old: &mut Rules) {
        if let Some(meter) = old.tallies(&mut |_| {}) {
            self.times.add(meter);
        }
    }

    /// Times of rules that no longer ran at the end.
    pub(super) fn finish(mut self) -> (RuleTimes, u32, u32) {
        while let Ok(mut old) = self.old.1.try_recv() {
            self.keep_times(&mut old);
        }
        (self.times, self.reloads, self.refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every shard changes rules at a moment of its own. A run died when one had and another had
    /// not; the next run saw that the rules of the first were those configured, changed nothing,
    /// and the other shard decided by the old rules for ever.
    #[test]
    fn a_shard_that_missed_the_last_change_is_told_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rules.sql");
        let rule = "INSERT INTO alert (kind) SELECT 'other' FROM book.order;";
        fs::write(&file, rule).unwrap();
        let text = format!(
            "[[feed]]\nprotocol = \"itch50\"\n[[rules]]\nfile = \"{}\"\n[journal]\nenabled = false",
            file.display()
        );
        let path = dir.path().join("config.toml");
        fs::write(&path, text).unwrap();
        let config =
            Config::load(&path, &corelane_strategies::registry::Registry::builtin()).unwrap();
        let mut watch = RuleWatch::new(&config, Some((&config, 2)), Names::default()).unwrap();
        assert!(watch.shard(2).try_recv().is_err(), "it runs them already");
        let missed = watch.shard(1);
        let reload = missed.try_recv().unwrap();
        assert_eq!((reload.number, reload.text), (2, config.rule_set.fingerprint()));
        assert!(watch.shard(0).try_recv().is_ok());
    }
}
