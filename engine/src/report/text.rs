//! The report for a terminal.
//!
//! Invariant: what was lost comes before everything that went well.

use std::fmt::{self, Display, Formatter};

use super::{Counts, RecoveredReport, RuleReport, RunReport, Totals};
use crate::egress::SinkStats;
use crate::latency::human_ns;

/// The widest line of counters.
const WIDTH: usize = 100;

impl Display for RunReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let totals = self.totals();
        let seconds = self.wall_ns as f64 / 1e9;
        write!(f, "{} {}: {} after {seconds:.3} s", self.command, self.name, self.ended)?;
        if let Some(bytes) = self.memory_peak_bytes {
            write!(f, ", {} of memory at most", human_bytes(bytes))?;
        }
        writeln!(f)?;
        let rates = [
            ("packets", totals.packets),
            ("messages", totals.messages),
            ("records", totals.records),
            ("actions", totals.actions),
        ];
        for (name, count) in rates {
            let rate = grouped(self.per_s(count).round() as u64);
            writeln!(f, "  {name:<9} {:>18} {rate:>16} /s", grouped(count))?;
        }
        write_losses(&totals, f)?;
        if let Some(recovered) = &self.recovered {
            writeln!(f, "\n{recovered}")?;
        }
        writeln!(f, "\nlatency\n{}", self.latency)?;
        self.write_threads(f)?;
        self.write_decisions(f)?;
        self.sinks.iter().try_for_each(|sink| write_sink(sink, f))?;
        if self.actions_out_of_order > 0 {
            let count = grouped(self.actions_out_of_order);
            writeln!(f, "{count} actions went out behind a later one")?;
        }
        for (what, path) in &self.files {
            writeln!(f, "{what}: {path}")?;
        }
        Ok(())
    }
}

impl Display for RecoveredReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (records, actions) = (grouped(self.records), grouped(self.actions));
        write!(f, "goes on from an earlier run ({}): {records} records", self.case)?;
        write!(f, " and {actions} actions in {}", human_ns(self.ns))?;
        if let Some(first) = self.snapshots.iter().min() {
            write!(f, ", behind the snapshot of entry {}", grouped(*first))?;
        }
        if self.torn_bytes > 0 {
            write!(f, ", {} bytes torn at the end", grouped(self.torn_bytes))?;
        }
        if self.owed > 0 {
            write!(f, ", {} actions owed", grouped(self.owed))?;
        }
        if self.resent > 0 {
            write!(f, ", {} actions sent again", grouped(self.resent))?;
        }
        Ok(())
    }
}

impl RunReport {
    fn write_threads(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} topology, idle threads {}", self.topology, self.waiting)?;
        for reactor in &self.reactors {
            let core = OnCore(reactor.core);
            writeln!(f, "{}{core}: {}: {}", reactor.name, reactor.backend, reactor.why)?;
            for socket in &reactor.sockets {
                let (got, asked) = (socket.rcvbuf_got, socket.rcvbuf_asked);
                let address = &socket.address;
                write!(f, "  {address}: receive buffer {}", human_bytes(got))?;
                if got < asked {
                    write!(f, " of the {} asked for", human_bytes(asked))?;
                }
                writeln!(f, ", {} dropped by the kernel", grouped(socket.kernel_drops))?;
            }
            write_counts(&reactor.counters, f)?;
        }
        for feed in &self.feeds {
            writeln!(f, "feed {} ({})", feed.name, feed.protocol)?;
            write_counts(&feed.counters, f)?;
            feed.notes.iter().try_for_each(|note| writeln!(f, "  {note}"))?;
        }
        for ring in &self.rings {
            let (most, slots) = (grouped(ring.occupancy_max), grouped(ring.slots));
            write!(f, "ring {}: at most {most} of {slots} slots taken", ring.name)?;
            writeln!(f, ", full {} times, {} dropped", grouped(ring.refused), ring.dropped)?;
        }
        Ok(())
    }

    fn write_decisions(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for shard in &self.shards {
            let (records, actions) = (grouped(shard.records), grouped(shard.actions));
            let core = OnCore(shard.core);
            writeln!(f, "{}{core}: {records} records, {actions} actions", shard.name)?;
            write_counts(&shard.counters, f)?;
        }
        for strategy in &self.strategies {
            let (name, kind, rule) = (&strategy.name, &strategy.kind, strategy.rule);
            let actions = grouped(strategy.actions);
            writeln!(f, "strategy {name} ({kind}, rule {rule}): {actions} actions")?;
            write_counts(&strategy.counters, f)?;
        }
        write_rules(&self.rules, f)?;
        if self.rule_reloads + self.rule_reloads_refused > 0 {
            let (taken, refused) = (self.rule_reloads, self.rule_reloads_refused);
            writeln!(f, "rule files changed: taken {taken} times, refused {refused} times")?;
        }
        for journal in &self.journals {
            writeln!(f, "journal {}, durability {}", journal.dir, journal.durability)?;
            if let (Some(seq), Some(by)) = (journal.last_durable_seq, &journal.durable_by) {
                let (seq, last) = (grouped(seq), grouped(journal.last_seq));
                writeln!(f, "  durable up to entry {seq} of {last}, by {by}")?;
            }
            write_counts(&journal.counters, f)?;
        }
        for snapshots in &self.snapshots {
            writeln!(f, "snapshots in {}", snapshots.dir)?;
            write_counts(&snapshots.counters, f)?;
            if let Some(failure) = &snapshots.failure {
                writeln!(f, "  given up: {failure}")?;
            }
        }
        Ok(())
    }
}

/// Rules that a report shows: those that took most time and those in trouble would drown in tens of
/// thousands.
const RULES_SHOWN: usize = 50;

/// A table of rules, a challenger under the rule that it stands against.
fn write_rules(rules: &[RuleReport], f: &mut Formatter<'_>) -> fmt::Result {
    if rules.is_empty() {
        return Ok(());
    }
    let width = rules.iter().map(|rule| rule.name.len() + 2).max().unwrap_or(0).clamp(6, 40);
    writeln!(
        f,
        "{:width$} {:>10} {:>12} {:>12} {:>12} {:>9} {:>9} {:>9}",
        "rule", "mode", "fired", "taken", "in shadow", "p50", "p99", "max"
    )?;
    let is_challenger = |rule: &&RuleReport| rule.against.is_some();
    let mut shown = 0;
    for rule in rules.iter().filter(|rule| !is_challenger(rule)) {
        let challengers = rules.iter().filter(is_challenger);
        let own = challengers.filter(|other| other.against.as_ref() == Some(&rule.name));
        for (indent, rule) in std::iter::once(("", rule)).chain(own.map(|rule| ("  ", rule))) {
            shown += 1;
            if shown <= RULES_SHOWN {
                write_rule(indent, rule, width, f)?;
            }
        }
    }
    match shown.saturating_sub(RULES_SHOWN) {
        0 => Ok(()),
        more => writeln!(f, "  and {more} rules more: --json shows them all"),
    }
}

fn write_rule(indent: &str, rule: &RuleReport, width: usize, f: &mut Formatter<'_>) -> fmt::Result {
    let name = format!("{indent}{}", rule.name);
    let counts = [rule.fired, rule.taken, rule.shadowed].map(grouped);
    write!(f, "{name:width$} {:>10}", rule.mode)?;
    counts.iter().try_for_each(|count| write!(f, " {count:>12}"))?;
    for ns in [rule.p50_ns, rule.p99_ns, rule.max_ns] {
        let text = if rule.measured == 0 { "-".to_owned() } else { human_ns(ns) };
        write!(f, " {text:>9}")?;
    }
    if let Some(budget) = rule.budget_ns {
        let of = grouped(rule.measured);
        let over = grouped(rule.over_budget);
        write!(f, "  over {}: {over} of {of}", human_ns(budget))?;
    }
    if rule.suspended > 0 {
        write!(f, "  SUSPENDED")?;
    }
    writeln!(f)
}

struct OnCore(Option<usize>);

impl Display for OnCore {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |core| write!(f, " on core {core}"))
    }
}

fn write_losses(totals: &Totals, f: &mut Formatter<'_>) -> fmt::Result {
    let losses = [
        (totals.kernel_drops, "datagrams dropped by the kernel"),
        (totals.gaps, "gaps"),
        (totals.messages_missing, "messages missing in gaps"),
        (totals.lines_rejected, "lines rejected"),
        (totals.ring_drops, "records dropped at full rings"),
        (totals.sink_drops, "actions dropped by sinks"),
    ];
    let lost: Vec<String> = losses
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", grouped(*count)))
        .collect();
    match lost.as_slice() {
        [] => writeln!(f, "  nothing was lost: no drops, no gaps")?,
        lost => writeln!(f, "  LOST: {}", lost.join(", "))?,
    }
    if totals.restarts > 0 {
        writeln!(f, "  {} session restarts", grouped(totals.restarts))?;
    }
    Ok(())
}

fn write_sink(sink: &SinkStats, f: &mut Formatter<'_>) -> fmt::Result {
    let (sent, taken) = (grouped(sink.sent), grouped(sink.taken));
    writeln!(f, "sink {} ({}): {sent} of {taken} actions sent", sink.name, sink.target)?;
    let counts = [
        ("sent_bytes", sink.sent_bytes),
        ("dropped", sink.dropped),
        ("resent", sink.resent),
        ("errors", sink.errors),
        ("connects", sink.connects),
        ("disconnects", sink.disconnects),
        ("pending_bytes_max", sink.pending_bytes_max),
    ];
    write_counts(&Counts::from_iter(counts), f)?;
    if let Some(error) = &sink.last_error {
        writeln!(f, "  last error: {error}")?;
    }
    Ok(())
}

/// The counters that are not zero, as many to a line as fit.
pub(crate) fn write_counts(counts: &Counts, f: &mut Formatter<'_>) -> fmt::Result {
    let mut line = String::new();
    for (name, count) in counts.0.iter().filter(|(_, count)| *count > 0) {
        let item = format!("  {name} {}", grouped(*count));
        if line.len() + item.len() > WIDTH {
            writeln!(f, "{line}")?;
            line.clear();
        }
        line.push_str(&item);
    }
    if line.is_empty() { Ok(()) } else { writeln!(f, "{line}") }
}

/// Digits in groups of three.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the largest binary unit that leaves at least one.
pub(crate) fn human_bytes(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) if bytes.is_multiple_of(*unit) => format!("{} {name}", bytes / unit),
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} bytes"),
    }
}
