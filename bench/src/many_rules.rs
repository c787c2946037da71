//! Many rules over one stream, of which few can fire for any record: how the cost of a record and
//! the time to compile grow with their number.
//!
//! Invariant: every rule is of the shape asked for and no two are the same; a set with fewer rules
//! is the head of one with more, so that what grows is their number alone.
//!
//! ```
//! use corelane_bench::many_rules::{Shape, text};
//! let ten = text(Shape::Equal, 10);
//! assert_eq!(ten.matches("INSERT INTO").count(), 10);
//! assert!(text(Shape::Equal, 11).starts_with(&ten));
//! ```

use std::time::Instant;

use anyhow::Context;
use corelane_strategies::rules::RuleSet;

use crate::cep::events::{Events, Query};
use crate::cep::ours::Ours;
use crate::stat::{Rounds, Variant, in_turns, per_item};

/// What every set begins with.
const HEAD: &str = "CREATE STREAM events (account BIGINT NOT NULL, amount BIGINT NOT NULL)
    WITH (key = 'account');
CREATE ACTION found (account BIGINT, amount BIGINT);
";
/// Accounts of the events: a rule of [`Shape::Equal`] is of one of them.
const ACCOUNTS: usize = 100_000;
/// Amounts go from 1 to this.
const AMOUNTS: usize = 10_000;
/// Coprime to both of the above, so that rules spread over them evenly and never meet.
const STRIDE: usize = 7_919;

/// What the rules ask.
#[derive(Copy, Clone, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Shape {
    /// One account and a least amount: one record in 100,000 concerns a rule.
    Equal,
    /// A narrow range of amounts: one record in 10,000 concerns a rule.
    Range,
    /// A remainder, which no index of values serves: each rule must be asked.
    Computed,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Equal, Self::Range, Self::Computed];

    /// As the command line spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Range => "range",
            Self::Computed => "computed",
        }
    }

    fn condition(self, rule: usize) -> String {
        let (account, amount) = (rule * STRIDE % ACCOUNTS, rule * STRIDE % AMOUNTS);
        match self {
            Self::Equal => format!("account = {account} AND amount > 5000"),
            Self::Range => format!("amount > {amount} AND amount <= {}", amount + 1),
            Self::Computed => format!("(account + amount) % {AMOUNTS} = {amount}"),
        }
    }
}

/// A rule file with so many rules.
#[must_use]
pub fn text(shape: Shape, rules: usize) -> String {
    let mut text = HEAD.to_owned();
    for rule in 0..rules {
        let condition = shape.condition(rule);
        text += "INSERT INTO found SELECT account, amount FROM events WHERE ";
        text += &condition;
        text += ";\n";
    }
    text
}

/// Seconds from the text to compiled rules, nothing of them run.
///
/// # Errors
/// If the text is not understood.
pub fn compile_seconds(text: &str) -> anyhow::Result<f64> {
    let begin = Instant::now();
    let mut set = RuleSet::new();
    set.add("rules.sql", text)?;
    let seconds = begin.elapsed().as_secs_f64();
    anyhow::ensure!(!set.is_empty(), "no rules");
    Ok(seconds)
}

/// CPU nanoseconds of a record for each number of rules, in turns; `events` records a pass.
///
/// # Errors
/// If a set is not understood.
pub fn measure(
    shape: Shape,
    counts: &[usize],
    events: usize,
    rounds: usize,
) -> anyhow::Result<Rounds> {
    in_turns(rounds, variants(shape, counts, &Events::generate(Query::Velocity, events))?)
}

/// A variant for each number of rules, whose figure is CPU nanoseconds of a record.
///
/// # Errors
/// If a set is not understood.
pub fn variants<'a>(
    shape: Shape,
    counts: &[usize],
    events: &'a Events,
) -> anyhow::Result<Vec<Variant<'a>>> {
    let mut variants = Vec::new();
    for &count in counts {
        let mut ours = Ours::with_rules(&text(shape, count), events)
            .with_context(|| format!("{count} rules of shape {}", shape.name()))?;
        // A pass to bring everything into being; each pass goes on in time where the last ended.
        ours.pass(0);
        let mut passes = 0;
        variants.push(Variant::new(count.to_string(), move || {
            passes += 1;
            Ok(per_item(events.list.len(), || ours.pass(passes * events.span_ms)))
        }));
    }
    Ok(variants)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small version, so that the benchmark never rots; and few rules fire, as it promises.
    #[test]
    fn few_rules_fire() {
        let events = Events::generate(Query::Velocity, 20_000);
        for shape in Shape::ALL {
            let mut ours = Ours::with_rules(&text(shape, 50), &events).unwrap();
            ours.pass(0);
            let rows = ours.results().rows;
            let one_in = events.list.len() as u64 * 50 / (AMOUNTS as u64 / 2);
            assert!((1..=one_in).contains(&rows), "{}: {rows} of {one_in}", shape.name());
            let rounds = measure(shape, &[1, 20], 700, 1).unwrap();
            assert!(rounds.median(0) > 0.0 && rounds.median(1) > 0.0, "{}", shape.name());
        }
        assert!(compile_seconds(&text(Shape::Equal, 3)).unwrap() > 0.0);
    }
}
