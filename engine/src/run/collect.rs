//! Adds up what the threads of a run counted, into its report.
//!
//! Invariant: every thread is added exactly once, reactors and shards in the order of their
//! numbers.

use corelane_strategies::chain::Chain;

use super::Outcome;
use super::intake::FeedEnd;
use super::service::PATIENCE;
use super::setup::Out;
use super::threads::ReactorEnd;
use crate::config::{Config, Keyword};
use crate::journal::{JournalCounters, shard_dir};
use crate::latency::RuleTimes;
use crate::recover::ShardFolders;
use crate::report::{
    Counts, FeedReport, JournalReport, ReactorReport, RuleReport, ShardReport, SnapshotReport,
    StrategyReport,
};
use crate::shard::ShardEnd;
use crate::snapshot::ShadowCounters;

impl Outcome {
    /// Takes over what a reactor counted; hands back what it fed.
    pub(super) fn add_reactor<D>(&mut self, ended: ReactorEnd<D>, config: &Config) -> D {
        for FeedEnd { index, counters, notes } in ended.feeds {
            let section = &config.feeds[index];
            let (name, protocol) = (section.name.clone(), section.kind.name());
            self.report.feeds.push(FeedReport { name, protocol, counters, notes });
        }
        let number = self.report.reactors.len();
        let counters: Counts = match ended.replay {
            Some(replay) => replay.iter().collect(),
            None => ended.received.iter().collect(),
        };
        self.report.reactors.push(ReactorReport {
            name: format!("reactor-{number}"),
            core: config.engine.reactor_cores.get(number).copied(),
            sockets: ended.sockets,
            counters,
            ..ReactorReport::default()
        });
        if let Some(failure) = ended.failure {
            self.failure.get_or_insert(failure);
        }
        ended.downstream
    }

    /// Takes over what a shard counted. Its chain is books first, then the strategies.
    pub(super) fn add_shard(&mut self, mut ended: ShardEnd<Out>, config: &Config) {
        let number = self.report.shards.len();
        let counters = ended.counters;
        let mut own = Counts::from_iter([
            ("actions_held", counters.actions_held),
            ("actions_dropped", counters.actions_dropped),
            ("actions_gated", counters.actions_gated),
            ("gate_waits", counters.gate_waits),
            ("actions_undurable", counters.actions_undurable),
            ("refused", counters.refused),
            ("repeated", counters.repeated),
        ]);
        let mut stages = stage_counts(&ended.chain);
        let deciding = config.strategies.len() + usize::from(!config.rules.is_empty());
        let books = stages.len() - deciding;
        for (name, counts) in stages.drain(..books) {
            own.0.extend(counts.0.into_iter().map(|(key, n)| (format!("{name}.{key}"), n)));
        }
        self.report.shards.push(ShardReport {
            name: format!("shard-{number}"),
            core: config.engine.shard_cores.get(number).copied(),
            records: counters.records,
            actions: counters.actions,
            counters: own,
        });
        let strategies = config.strategies.iter().map(|s| (s.name.as_str(), s.kind.as_str()));
        let rules = (!config.rules.is_empty()).then_some(("rules", "rules"));
        for (rule, (of, (_, counts))) in strategies.chain(rules).zip(stages).enumerate() {
            let actions = ended.chain.actions_of(rule as u16 + 1);
            self.add_strategy(rule, of, actions, counts);
        }
        self.add_rules(&mut ended.chain);
        if let Some(journal) = ended.journal {
            let dir = shard_dir(&config.journal.dir, number as u16).display().to_string();
            self.report.journals.push(JournalReport {
                dir,
                durability: config.journal.durability.word(),
                durable_by: ended.durable_how,
                last_seq: journal.last_seq,
                last_durable_seq: journal.last_durable_seq,
                counters: journal_counts(&journal),
            });
        }
        if let Some(egress) = ended.out.here {
            self.report.add_egress(egress.finish(PATIENCE));
        }
        if let Some(failure) = ended.failure {
            let failure = anyhow::Error::from(failure).context("the journal failed");
            self.failure.get_or_insert(failure);
        }
    }

    /// Adds what wrote snapshots, by shard.
    pub(super) fn add_shadows(&mut self, shadows: Vec<ShadowCounters>, config: &Config) {
        for (number, counters) in shadows.into_iter().enumerate() {
            let ShadowCounters { seq, snapshot_seq, failure, .. } = counters;
            let retention = [
                ("segments_retired", counters.retired.retired),
                ("bytes_retired", counters.retired.freed_bytes),
                ("needed_from_entry", counters.needed_seq),
            ];
            let own = [
                ("snapshots", counters.snapshots),
                ("snapshot_entry", snapshot_seq),
                ("snapshot_bytes", counters.snapshot_bytes),
                ("snapshot_ns_max", counters.snapshot_ns_max),
                ("followed_to_entry", seq),
                ("entries_waiting_max", counters.behind_max),
            ];
            let retention = retention.into_iter().filter(|_| config.journal.retain.is_set());
            let counters: Counts = own.into_iter().chain(retention).collect();
            let folders = ShardFolders::of(&config.journal, number);
            let dir = folders.snapshots().display().to_string();
            self.report.snapshots.push(SnapshotReport { dir, counters, failure });
        }
    }

    /// Adds what one shard's rules came to.
    fn add_rules(&mut self, chain: &mut Chain) {
        let mut tallies = Vec::new();
        if let Some(meter) = chain.tallies(&mut |tally| tallies.push(tally)) {
            self.rule_times.add(meter);
        }
        for tally in tallies {
            let known = self.rule_numbers.iter().position(|number| *number == tally.number);
            let at = known.unwrap_or_else(|| {
                self.rule_numbers.push(tally.number);
                self.report.rules.push(RuleReport::default());
                self.report.rules.len() - 1
            });
            let rule = &mut self.report.rules[at];
            tally.name.clone_into(&mut rule.name);
            tally.mode.clone_into(&mut rule.mode);
            rule.against = tally.against.map(str::to_owned);
            rule.fired += tally.fired;
            rule.taken += tally.taken;
            rule.shadowed += tally.shadowed;
            rule.over_budget += tally.over_budget;
            rule.budget_ns = tally.budget_ns;
            rule.suspended += u64::from(tally.is_suspended);
        }
    }

    /// Adds how long rules took that ran until they were replaced, and fills in every rule's time.
    pub(super) fn finish_rules(&mut self, earlier: RuleTimes) {
        self.rule_times.add_all(earlier);
        for (rule, number) in self.report.rules.iter_mut().zip(&self.rule_numbers) {
            let Some(times) = self.rule_times.of(*number) else { continue };
            rule.measured = times.len();
            rule.p50_ns = times.value_at_quantile(0.5);
            rule.p99_ns = times.value_at_quantile(0.99);
            rule.max_ns = times.max();
        }
    }

    /// Adds what one shard's copy of a strategy counted to the others'.
    fn add_strategy(
        &mut self,
        rule: usize,
        (name, kind): (&str, &str),
        actions: u64,
        counts: Counts,
    ) {
        if self.report.strategies.len() <= rule {
            self.report.strategies.push(StrategyReport {
                name: name.to_owned(),
                kind: kind.to_owned(),
                rule: rule as u16 + 1,
                actions,
                counters: counts,
            });
            return;
        }
        let report = &mut self.report.strategies[rule];
        report.actions += actions;
        for ((_, sum), (_, value)) in report.counters.0.iter_mut().zip(counts.0) {
            *sum += value;
        }
    }
}

/// Every stage's name and counters, in order.
fn stage_counts(chain: &Chain) -> Vec<(String, Counts)> {
    let names = chain.stage_names();
    let mut stages: Vec<_> = names.map(|name| (name.to_owned(), Counts::default())).collect();
    chain.counters(&mut |stage, name, value| stages[stage].1.0.push((name.to_owned(), value)));
    stages
}

fn journal_counts(counters: &JournalCounters) -> Counts {
    let JournalCounters { entries, bytes, segments, rolls_waited, rolls_inline, .. } = *counters;
    let own = [
        ("entries", entries),
        ("bytes", bytes),
        ("segments", segments),
        ("rolls_waited", rolls_waited),
        ("rolls_inline", rolls_inline),
    ];
    let durable = counters.durable;
    let of_copy = [
        ("durable_groups", durable.groups),
        ("durable_entries", durable.entries),
        ("durable_bytes", durable.bytes),
        ("durable_segments", durable.segments),
        ("released_segments", durable.released),
    ];
    let has_copy = counters.last_durable_seq.is_some();
    own.into_iter().chain(of_copy.into_iter().filter(|_| has_copy)).collect()
}
