//! Rules in a shard without a journal, one operator at a time.
//!
//! Invariant: windows are full and have a steady number of rows before anything is counted: a pass
//! is longer than any window, a multiple of every one that is aligned, and each repeats the last
//! one's events, put off by its length.

use super::Work;
use crate::cep::events::{Events, Query};
use crate::cep::ours::Ours;
use crate::many_rules::{Shape, text};

/// Events of a run: 700 ms of them.
pub(super) const EVENTS: usize = 7_000;
/// Passes before the first that counts.
const WARM: u64 = 2;

/// What is asked, and of which events.
pub(super) struct Asked {
    query: Query,
    /// Keys, fewer than the query's own, so that each comes often enough within a run.
    keys: u64,
    text: &'static str,
}

const fn ask(query: Query, keys: u64, text: &'static str) -> Asked {
    Asked { query, keys, text }
}

/// A stream of events and an action, before a rule.
macro_rules! on_events {
    ($rule:literal) => {
        concat!(
            "CREATE STREAM events (account BIGINT NOT NULL, kind BIGINT NOT NULL,
                amount BIGINT NOT NULL) WITH (key = 'account');
             CREATE ACTION found (account BIGINT, n BIGINT, total BIGINT);",
            $rule
        )
    };
}

/// Two streams of events and an action, before a rule.
macro_rules! on_both {
    ($rule:literal) => {
        concat!(
            "CREATE STREAM lefts (account BIGINT NOT NULL, amount BIGINT NOT NULL)
                WITH (key = 'account');
             CREATE STREAM rights (account BIGINT NOT NULL, amount BIGINT NOT NULL)
                WITH (key = 'account');
             CREATE ACTION found (account BIGINT, a BIGINT, b BIGINT);",
            $rule
        )
    };
}

/// Nothing but the shard's loop.
pub(super) const NONE: Asked = ask(
    Query::Tumble,
    1_000,
    "CREATE STREAM events (account BIGINT NOT NULL, amount BIGINT NOT NULL)
        WITH (key = 'account');",
);

/// One event in ten passes.
pub(super) const FILTER: Asked = ask(
    Query::Tumble,
    1_000,
    on_events!(
        "INSERT INTO found SELECT account, 2 * amount, amount + 1 FROM events
         WHERE amount > 9000;"
    ),
);

/// Five rows in a key's window, one leaving for each that comes.
pub(super) const VELOCITY: Asked = ask(
    Query::Tumble,
    1_000,
    on_events!(
        "INSERT INTO found SELECT account, count(*) OVER w, sum(amount) OVER w FROM events
         WINDOW w AS (PARTITION BY account RANGE INTERVAL '500' MILLISECOND PRECEDING)
         QUALIFY count(*) OVER w > 7 AND sum(amount) OVER w > 40000
         WITH (keys_max = 2000, rows_max = 20000);"
    ),
);

pub(super) const TUMBLE: Asked = ask(
    Query::Tumble,
    1_000,
    on_events!(
        "INSERT INTO found SELECT account, count(*), sum(amount) FROM events
         GROUP BY account, tumble(ts_event, INTERVAL '100' MILLISECOND)
         WITH (keys_max = 2000);"
    ),
);

pub(super) const HOP: Asked = ask(
    Query::Tumble,
    1_000,
    on_events!(
        "INSERT INTO found SELECT account, count(*), sum(amount) FROM events
         GROUP BY account,
            hop(ts_event, INTERVAL '20' MILLISECOND, INTERVAL '100' MILLISECOND)
         HAVING count(*) > 3 WITH (keys_max = 2000);"
    ),
);

pub(super) const SESSION: Asked = ask(
    Query::Tumble,
    1_000,
    on_events!(
        "INSERT INTO found SELECT account, count(*), sum(amount) FROM events
         GROUP BY account, session(ts_event, INTERVAL '50' MILLISECOND)
         HAVING count(*) > 1 WITH (keys_max = 2000);"
    ),
);

/// Three steps that grow; the shorthand.
pub(super) const PATTERN: Asked = ask(
    Query::Pattern,
    500,
    on_events!(
        "CREATE RULE growing WITH (keys_max = 1000) ON events PARTITION BY account
         MATCH EVERY a:events(kind = 1) -> b:events(kind = 2 AND amount > a.amount)
            -> c:events(kind = 3 AND amount > b.amount)
         WITHIN INTERVAL '300' MILLISECOND
         THEN found(a.account, a.amount, c.amount);"
    ),
);

/// Rows that follow each other: falling, then rising.
pub(super) const MATCH_RECOGNIZE: Asked = ask(
    Query::Pattern,
    500,
    on_events!(
        "INSERT INTO found SELECT account, low, rows FROM events MATCH_RECOGNIZE (
            PARTITION BY account ORDER BY ts_event
            MEASURES last(down.amount) AS low, count(*) AS rows
            ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
            PATTERN (start down{2,} up) WITHIN INTERVAL '300' MILLISECOND
            DEFINE down AS amount < prev(amount), up AS amount > prev(amount))
         WITH (keys_max = 1000);"
    ),
);

pub(super) const INTERVAL_JOIN: Asked = ask(
    Query::Join,
    500,
    on_both!(
        "INSERT INTO found SELECT a.account, a.amount, b.amount
         FROM lefts a JOIN rights b ON a.account = b.account
            AND b.ts_event BETWEEN a.ts_event - INTERVAL '50' MILLISECOND
                               AND a.ts_event + INTERVAL '50' MILLISECOND
         WITH (rows_max = 4096);"
    ),
);

/// Each side's latest row of a key against the other's.
pub(super) const LATEST_JOIN: Asked = ask(
    Query::Join,
    500,
    on_both!(
        "CREATE RULE apart WITH (keys_max = 1000) ON lefts a JOIN LATEST rights b PER (account)
            ON a.account = b.account WITHIN INTERVAL '200' MILLISECOND
         WHEN a.amount > 2 * b.amount THEN found(a.account, a.amount, b.amount);"
    ),
);

/// A table of every other account, joined.
pub(super) const LOOKUP: Asked = ask(
    Query::Tumble,
    1_000,
    on_events!(
        "CREATE TABLE accounts (id BIGINT, score BIGINT)
            WITH (key = 'id', file = 'accounts.csv');
         INSERT INTO found SELECT e.account, e.amount, t.score
         FROM events e JOIN accounts t ON e.account = t.id WHERE t.score > 300;"
    ),
);

/// The same table, only asked whether it has the account.
pub(super) const IN_TABLE: Asked = ask(
    Query::Tumble,
    1_000,
    on_events!(
        "CREATE TABLE accounts (id BIGINT, score BIGINT)
            WITH (key = 'id', file = 'accounts.csv');
         INSERT INTO found SELECT account, amount, 1 FROM events
         WHERE account IN TABLE accounts AND amount > 5000;"
    ),
);

struct Rule {
    ours: Ours,
    span_ms: u64,
    passes: u64,
}

pub(super) fn work(asked: &Asked) -> Box<dyn Work> {
    let mut events = Events::generate(asked.query, EVENTS);
    events.list.iter_mut().for_each(|event| event.key %= asked.keys);
    events.keys = asked.keys;
    prepare(asked.text, &events)
}

/// A hundred rules of one account each, which an index serves.
pub(super) fn hundred() -> Box<dyn Work> {
    prepare(&text(Shape::Equal, 100), &Events::generate(Query::Velocity, EVENTS))
}

fn prepare(text: &str, events: &Events) -> Box<dyn Work> {
    let mut table = |_: &str| {
        let rows = (0..1_000).step_by(2).map(|id| format!("{id},{}\n", id % 700));
        Ok(std::iter::once("id,score\n".to_owned()).chain(rows).collect())
    };
    let ours = Ours::with_tables(text, events, &mut table).expect("rules that are understood");
    let mut rule = Rule { ours, span_ms: events.span_ms, passes: 0 };
    (0..WARM).for_each(|_| {
        rule.run();
    });
    Box::new(rule)
}

impl Work for Rule {
    fn run(&mut self) -> u64 {
        let before = self.ours.results().rows;
        self.ours.pass(self.passes * self.span_ms);
        self.passes += 1;
        EVENTS as u64 + self.ours.results().rows - before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rule that finds nothing would count nothing but its absence.
    #[test]
    fn every_rule_finds_something_and_not_everything() {
        let all = [
            FILTER,
            VELOCITY,
            TUMBLE,
            HOP,
            SESSION,
            PATTERN,
            MATCH_RECOGNIZE,
            INTERVAL_JOIN,
            LATEST_JOIN,
            LOOKUP,
            IN_TABLE,
        ];
        for asked in all {
            let text = asked.text;
            let found = work(&asked).run() - EVENTS as u64;
            assert!((10..3 * EVENTS as u64).contains(&found), "{found} of {text}");
        }
    }
}
