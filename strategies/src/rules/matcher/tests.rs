//! Row patterns in the rule language, from text to actions.

mod naive;
mod tree;

use corelane_feeds::record::{Record, RecordBuf, Stamp, View};
use corelane_feeds::schema::SqlType;
use corelane_feeds::streams::sys;
use corelane_feeds::text::{Format, TextConfig, TextFeed};
use corelane_feeds::units::{Nanos, Seq};

use crate::action::ActionId;
use crate::chain::Chain;
use crate::rules::{RuleSet, Rules};

const SECOND: u64 = 1_000_000_000;

/// A stream of a letter, a number and a second per key, and what to say of it.
const BASE: &str = "
    CREATE STREAM rows (k SYMBOL, c CHAR(4), v BIGINT, p DECIMAL(9,2), ts TIMESTAMP(9))
      WITH (key = 'k', time = 'ts', time_unit = 's', format = 'csv');
    CREATE STREAM other (k SYMBOL, w BIGINT, ts TIMESTAMP(9))
      WITH (key = 'k', time = 'ts', time_unit = 's', format = 'csv');
    CREATE ACTION say (k SYMBOL, a BIGINT, b BIGINT, t VARCHAR(32));
";

fn set(rules: &str) -> RuleSet {
    let mut set = RuleSet::new();
    set.add("rules.sql", &format!("{BASE}{rules}")).unwrap_or_else(|error| panic!("{error}"));
    set
}

fn tick(second: u64) -> RecordBuf {
    let stamp = Stamp { ts_event: Nanos(second * SECOND), ..Stamp::default() };
    sys::Tick::new(stamp, 0).as_record().to_buf()
}

fn gap(second: u64) -> RecordBuf {
    let stamp = Stamp { ts_event: Nanos(second * SECOND), ..Stamp::default() };
    let mut gap = sys::Gap::new(stamp, 0);
    (gap.first, gap.count) = (Seq(1), 1);
    gap.as_record().to_buf()
}

/// Records of lines: `k,c,v,p,second` of `rows`, `other k,w,second`, `tick second`, `gap second`.
fn records(set: &RuleSet, text: &str) -> Vec<RecordBuf> {
    let heads = ["k,c,v,p,ts\n", "k,w,ts\n"];
    let mut feeds: Vec<TextFeed> = set.declared_streams()[..2]
        .iter()
        .map(|stream| TextFeed::new(&TextConfig::new(0, &stream.declared, Format::Csv)))
        .collect();
    let mut all = Vec::new();
    for (feed, head) in feeds.iter_mut().zip(heads) {
        feed.bytes(Nanos(0), head.as_bytes(), &mut |_: &Record| {});
    }
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let number = |text: &str| text.trim().parse().unwrap();
        if let Some(second) = line.strip_prefix("tick ") {
            all.push(tick(number(second)));
        } else if let Some(second) = line.strip_prefix("gap ") {
            all.push(gap(number(second)));
        } else {
            let (feed, line) = match line.strip_prefix("other ") {
                Some(line) => (1, line),
                None => (0, line),
            };
            let mut sink = |record: &Record| all.push(record.to_buf());
            feeds[feed].bytes(Nanos(0), format!("{line}\n").as_bytes(), &mut sink);
            assert_eq!(feeds[feed].rejections(), []);
        }
    }
    all
}

fn told(set: &RuleSet, action: &Record) -> String {
    let schema = set.declared()[0];
    let bytes = zerocopy::IntoBytes::as_bytes(action);
    let word = |name: &str| {
        let at = schema.field(name).unwrap().offset;
        i64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    };
    let nulls = word(crate::rules::NULLS);
    let text = |name: &str| {
        let field = schema.field(name).unwrap();
        let text = &bytes[field.offset..field.offset + field.sql.bytes()];
        String::from_utf8_lossy(text).trim_end().to_owned()
    };
    let mut parts = Vec::new();
    for (bit, name) in ["k", "a", "b", "t"].into_iter().enumerate() {
        parts.push(match name {
            _ if nulls >> bit & 1 == 1 => "-".to_owned(),
            "k" => text(name),
            "t" if matches!(schema.field(name).unwrap().sql, SqlType::Char(_)) => text(name),
            _ => word(name).to_string(),
        });
    }
    parts.join(" ")
}

/// What the actions of records are; with a state that is saved and restored between all of them.
fn actions(set: &RuleSet, records: &[RecordBuf], saved: bool) -> Vec<(String, ActionId)> {
    let new = || Chain::new(vec![], vec![Box::new(Rules::new(set))]);
    let mut chain = new();
    chain.on_record(sys::Session::new(Stamp::default(), 0).as_record());
    let mut all = Vec::new();
    for record in records {
        let mut actions: Vec<RecordBuf> = chain.on_record(record.record().unwrap()).to_vec();
        while let Some(more) = chain.resume() {
            actions.extend(more.iter().cloned());
        }
        for action in actions.iter().filter_map(RecordBuf::record) {
            all.push((told(set, action), ActionId::of(action).unwrap()));
        }
        if saved {
            let mut state = Vec::new();
            chain.save(&mut state);
            chain = new();
            chain.restore(&state).unwrap();
        }
    }
    all
}

fn run(rules: &str, text: &str) -> Vec<String> {
    let set = set(rules);
    let records = records(&set, text);
    let all = actions(&set, &records, false);
    let mut ids: Vec<ActionId> = all.iter().map(|(_, id)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all.len(), "every action has an id of its own: {all:?}");
    assert_eq!(actions(&set, &records, true), all, "through a saved state");
    all.into_iter().map(|(told, _)| told).collect()
}

#[test]
fn one_row_per_match_with_measures() {
    let rules = "
        INSERT INTO say SELECT k, from_v, rows, low FROM rows MATCH_RECOGNIZE (
            PARTITION BY k ORDER BY ts
            MEASURES first(d.v) AS from_v, count(*) AS rows, last(d.c) AS low
            ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
            PATTERN (s d+ u+)
            DEFINE d AS v < prev(v), u AS v > prev(v) AND u.c <> d.c)";
    let text = "
        A,a,10,1,1
        B,a,5,1,1
        A,b,8,1,2
        A,c,7,1,3
        B,b,4,1,3
        A,d,9,1,4
        B,b,6,1,4
        A,e,12,1,5
        A,f,1,1,6
        B,c,7,1,7";
    assert_eq!(run(rules, text), ["A 8 5 c"]);
}

#[test]
fn all_rows_with_running_and_final_measures() {
    let rules = "
        INSERT INTO say SELECT k, so_far, total, what FROM rows MATCH_RECOGNIZE (
            PARTITION BY k ORDER BY ts
            MEASURES sum(ab.v) AS so_far, FINAL sum(v) AS total, classifier() AS what
            ALL ROWS PER MATCH
            PATTERN (a {- x -} b*?  $ | c) SUBSET ab = (a, b)
            DEFINE a AS c = 'a', b AS c = 'b', c AS c = 'c' AND match_ok = 1)";
    let rules = rules.replace(" AND match_ok = 1", "").replace("b*?  $ | c", "b+ | c");
    let text = "A,a,1,1,1\nA,z,2,1,2\nA,b,4,1,3\nA,b,8,1,4\nA,c,16,1,5\nA,q,1,1,6";
    assert_eq!(run(&rules, text), ["A 1 15 a", "A 5 15 b", "A 13 15 b", "A - 16 c"]);
}

#[test]
fn quantifiers_can_prefer_fewer() {
    let rules = |quantifier: &str| {
        format!(
            "INSERT INTO say SELECT k, n, m, '' FROM rows MATCH_RECOGNIZE (
                PARTITION BY k MEASURES count(a.*) AS n, match_number() AS m
                PATTERN (a{quantifier} b) DEFINE a AS v < 10, b AS v > 1)"
        )
    };
    let text = "A,a,5,1,1\nA,a,6,1,2\nA,a,7,1,3\nA,a,20,1,4\nA,a,1,1,5\nA,a,1,1,6\nA,a,1,1,7";
    assert_eq!(run(&rules("+"), text), ["A 3 1 "]);
    assert_eq!(run(&rules("+?"), text), ["A 1 1 ", "A 1 2 "]);
    assert_eq!(run(&rules("{2,3}?"), text), ["A 2 1 "]);
    assert_eq!(run(&rules("??"), text), ["A 0 1 ", "A 0 2 ", "A 0 3 ", "A 0 4 "]);
}

#[test]
fn rows_around_the_match_are_seen() {
    let rules = "
        INSERT INTO say SELECT k, before, after, t FROM rows MATCH_RECOGNIZE (
            PARTITION BY k
            MEASURES prev(first(v)) AS before, next(last(b.v), 1) AS after,
                     first(c, 1) AS t
            AFTER MATCH SKIP TO NEXT ROW
            PATTERN (a b) DEFINE a AS v > prev(v), b AS v < a.v AND v < next(v))";
    let text = "A,p,5,1,1\nA,q,9,1,2\nA,r,3,1,3\nA,s,4,1,4\nA,t,1,1,5\nA,u,2,1,6";
    assert_eq!(run(rules, text), ["A 5 4 r", "A 3 2 t"]);
}

#[test]
fn a_run_for_every_beginning() {
    let rules = "
        CREATE RULE r ON rows PARTITION BY k
          MATCH EVERY a:(c = 'a') -> b:(c = 'b' AND v > a.v) WITHIN INTERVAL '5' SECOND
          THEN say(k, a.v, b.v, outcome())";
    let text = "A,a,1,1,1\nA,a,3,1,2\nA,b,2,1,3\nA,b,4,1,4\nA,a,1,1,5\nA,b,9,1,10";
    assert_eq!(run(rules, text), ["A 1 2 match", "A 3 4 match"]);
    let plan = set(rules).explain(None);
    assert!(plan.contains("within 5000 ms") && plan.contains("then action.say"), "{plan}");
}

#[test]
fn every_in_brackets_begins_again_after_a_match_and_no_every_acts_once() {
    let rules = |every: &str| {
        format!(
            "CREATE RULE r ON rows PARTITION BY k MATCH {every}(a:(c = 'a') -> b:(c = 'b'))
             THEN say(k, a.v, b.v, b.c)"
        )
    };
    let text = "A,a,1,1,1\nA,a,2,1,2\nA,b,3,1,3\nA,a,4,1,4\nA,b,5,1,5\nB,a,6,1,6\nB,b,7,1,7";
    assert_eq!(run(&rules("EVERY "), text), ["A 1 3 b", "A 4 5 b", "B 6 7 b"]);
    assert_eq!(run(&rules(""), text), ["A 1 3 b", "B 6 7 b"]);
}

#[test]
fn several_streams_in_any_order_or_directly() {
    let rules = |pattern: &str| {
        format!(
            "CREATE RULE r ON rows, other o PARTITION BY k MATCH EVERY {pattern}
             THEN say(k, x.v, y.w, '')"
        )
    };
    let text = "A,a,1,1,1\nother B,5,1\nother A,2,2\nA,a,3,1,3\nA,a,4,1,4\nother A,9,5";
    assert_eq!(run(&rules("x:rows(v > 0) -> y:o(w > x.v)"), text), ["A 1 2 ", "A 3 9 ", "A 4 9 "]);
    assert_eq!(run(&rules("x:rows(v > 0) , y:other(w > x.v)"), text), ["A 1 2 ", "A 4 9 "]);
    assert_eq!(run(&rules("(x:rows AND y:other)"), text), ["A 1 2 ", "A 3 9 "]);
}

#[test]
fn absence_is_told_when_its_time_has_come() {
    let rules = "
        CREATE RULE r ON rows PARTITION BY k
          MATCH EVERY a:(c = 'a') -> NOT b:(c = 'b' AND v = a.v) FOR INTERVAL '3' SECOND
          THEN say(k, a.v, 0, outcome())";
    let text = "A,a,1,1,1\nB,a,2,1,1\nA,b,1,1,2\nB,b,9,1,3\ntick 4\ntick 5\nA,a,7,1,10\ntick 13";
    assert_eq!(run(rules, text), ["B 2 0 absent", "A 7 0 absent"]);
    let lost = "A,a,1,1,1\ngap 2\nA,a,2,1,3\ntick 4\ntick 6";
    assert_eq!(run(rules, lost), ["A 1 0 unknown", "A 2 0 absent"]);
}

#[test]
fn what_has_to_be_absent_ends_the_run() {
    let rules = "
        CREATE RULE r ON rows PARTITION BY k
          MATCH EVERY a:(c = 'a') -> b:(c = 'b') WITHIN INTERVAL '5' SECOND
          ABSENT x:(c = 'x' AND v = a.v)
          THEN say(k, a.v, b.v, outcome())";
    let text = "A,a,1,1,1\nA,a,2,1,1\nA,x,1,1,2\nA,b,9,1,3";
    assert_eq!(run(rules, text), ["A 2 9 match"]);
    let rules = "
        CREATE RULE r WITH (timeouts = 'emit') ON rows PARTITION BY k
          MATCH EVERY a:(c = 'a') -> NOT x:(c = 'x') -> b:(c = 'b') WITHIN INTERVAL '5' SECOND
          THEN say(k, a.v, b.v, outcome())";
    let text = "A,a,1,1,1\nA,b,2,1,2\nA,a,3,1,3\nA,x,3,1,4\nA,b,9,1,5\nA,a,4,1,6\ntick 10\ntick 11";
    assert_eq!(run(rules, text), ["A 1 2 match", "A 4 - timeout"]);
}

#[test]
fn counted_steps_and_until() {
    let rules = |pattern: &str| {
        format!(
            "CREATE RULE r ON rows PARTITION BY k MATCH EVERY {pattern}
             THEN say(k, first(a.v), last(a.v), '')"
        )
    };
    let text = "A,a,1,1,1\nA,z,0,1,2\nA,a,2,1,3\nA,u,0,1,4\nA,a,3,1,5\nA,a,4,1,6";
    assert_eq!(run(&rules("(a:(c = 'a'){2})"), text), ["A 1 2 ", "A 3 4 "]);
    assert_eq!(run(&rules("a:(c = 'a'){2} UNTIL u:(c = 'u')"), text), ["A 1 2 ", "A 3 4 "]);
    assert_eq!(
        run(&rules("(z:(c = 'z'), a:(c = 'a'){1,2}) "), text),
        ["A 2 2 "],
        "it acts as soon as it can"
    );
}

#[test]
fn steps_and_absences_in_any_order() {
    let rules = "CREATE RULE r ON rows PARTITION BY k
        MATCH EVERY a:(c = 'a') -> (b:(c = 'b') AND NOT x:(c = 'x') FOR INTERVAL '3' SECOND)
        THEN say(k, a.v, b.v, outcome())";
    let text =
        "A,a,1,1,1\nA,b,2,1,2\ntick 4\nB,a,3,1,5\nB,b,4,1,6\nB,x,5,1,7\nC,a,6,1,8\nC,b,7,1,12";
    assert_eq!(run(rules, text), ["A 1 2 absent", "C 6 7 match"], "after the time x may come");
    let rules = "CREATE RULE r ON rows
        MATCH (NOT x:(c = 'x') FOR INTERVAL '2' SECOND AND NOT y:(c = 'y') FOR INTERVAL '4' SECOND)
              -> a:(c = 'a')
        THEN say(a.k, a.v, 0, '')";
    let text = "A,q,1,1,1\nA,a,2,1,4\nA,x,3,1,4\nA,a,4,1,5\nA,a,5,1,6";
    assert_eq!(run(rules, text), ["A 4 0 "]);
}

#[test]
fn what_repeats_among_steps_in_any_order() {
    let rules = |pattern: &str| {
        format!("CREATE RULE r ON rows PARTITION BY k MATCH ({pattern}) THEN say(k, a.v, b.v, '')")
    };
    let text = "A,a,1,1,1\nA,a,2,1,2\nA,b,3,1,3\nA,a,4,1,4\nA,b,5,1,5";
    let (a, b) = ("a:(c = 'a')", "b:(c = 'b')");
    let every = run(&rules(&format!("EVERY {a} AND {b}")), text);
    assert_eq!(every, ["A 1 3 ", "A 2 3 ", "A 4 3 "]);
    let both = run(&rules(&format!("EVERY {a} AND EVERY {b}")), text);
    assert_eq!(both, ["A 1 3 ", "A 2 3 ", "A 4 3 ", "A 1 5 ", "A 2 5 ", "A 4 5 "]);
    assert_eq!(run(&rules(&format!("{a} AND {b}")), text), ["A 1 3 "]);
}

#[test]
fn every_in_brackets_begins_anew_before_what_follows() {
    let rules = "CREATE RULE r ON rows PARTITION BY k
        MATCH EVERY (a:(c = 'a') -> b:(c = 'b')) -> d:(c = 'd') THEN say(k, a.v, d.v, '')";
    let text = "A,a,1,1,1\nA,a,2,1,2\nA,b,3,1,3\nA,a,4,1,4\nA,b,5,1,5\nA,d,6,1,6\nA,d,7,1,7";
    assert_eq!(run(rules, text), ["A 1 6 ", "A 4 6 "]);
    let silence = "CREATE RULE r ON rows
        MATCH EVERY NOT a:(c = 'a') FOR INTERVAL '2' SECOND -> d:(c = 'd')
        THEN say(d.k, d.v, 0, '')";
    let text = "tick 1\ntick 3\nA,a,1,1,4\ntick 6\nA,d,2,1,7\nA,d,3,1,9";
    assert_eq!(run(silence, text), ["A 2 0 ", "A 2 0 ", "A 3 0 "]);
}

#[test]
fn without_every_what_was_forbidden_ends_it() {
    let rules = |every: &str| {
        format!(
            "CREATE RULE r ON rows PARTITION BY k
             MATCH {every}(NOT x:(c = 'x') -> a:(c = 'a')) THEN say(k, a.v, 0, '')"
        )
    };
    let text = "A,x,1,1,1\nA,a,2,1,2\nB,a,3,1,3\nB,a,4,1,4";
    assert_eq!(run(&rules(""), text), ["B 3 0 "]);
    assert_eq!(run(&rules("EVERY "), text), ["A 2 0 ", "B 3 0 ", "B 4 0 "]);
}

#[test]
fn a_loop_takes_whichever_comes_first() {
    let rules = "CREATE RULE r ON rows PARTITION BY k
        MATCH (a:(c = 'a') OR b:(c = 'b' OR v = 3))* -> d:(c = 'd')
        THEN say(k, count(a.*), count(b.*), '')";
    let text = "A,b,1,1,1\nA,a,2,1,2\nA,a,3,1,3\nA,b,4,1,4\nA,q,5,1,5\nA,a,6,1,6\nA,d,7,1,7";
    assert_eq!(run(rules, text), ["A 3 2 "]);
}

#[test]
fn every_way_to_match() {
    let text = "A,a,1,1,1\nA,b,2,1,2\nA,b,3,1,3\nA,b,4,1,4";
    let rules = "INSERT INTO say SELECT k, x, n, '' FROM rows MATCH_RECOGNIZE (
            PARTITION BY k MEASURES last(b.v) AS x, count(b.*) AS n
            AFTER MATCH SKIP TO NEXT ROW PATTERN (a b+) DEFINE a AS c = 'a', b AS c = 'b')
        WITH (matches = 'all')";
    assert_eq!(run(rules, text), ["A 2 1 ", "A 3 2 ", "A 4 3 "]);
    let loops = "CREATE RULE r ON rows PARTITION BY k
        MATCH EVERY a:(c = 'a') -> EVERY b:(c = 'b'){2} THEN say(k, first(b.v), last(b.v), '')";
    assert_eq!(run(loops, text), ["A 2 3 ", "A 2 4 ", "A 3 4 "]);
}

#[test]
fn rows_that_may_lag_are_sorted_first() {
    let late = BASE.replace("time_unit = 's', format", "time_unit = 's', lateness = '2s', format");
    let rules = "
        INSERT INTO say SELECT k, a, b, '' FROM rows MATCH_RECOGNIZE (
            PARTITION BY k ORDER BY ts MEASURES a.v AS a, b.v AS b
            PATTERN (a b) DEFINE b AS v = a.v + 1)";
    let mut set = RuleSet::new();
    set.add("rules.sql", &format!("{late}{rules}")).unwrap();
    let records = records(&set, "A,a,2,1,3\nA,a,1,1,2\nA,a,3,1,5\nA,a,9,1,1\ntick 9");
    let all = actions(&set, &records, false);
    assert_eq!(all.iter().map(|(told, _)| told.as_str()).collect::<Vec<_>>(), ["A 1 2 "]);
    assert_eq!(actions(&set, &records, true), all);
}

#[test]
fn more_results_than_there_is_room_for_come_later() {
    let rules = "
        CREATE RULE r ON rows PARTITION BY k
          MATCH EVERY a:(c = 'a') -> NOT b:(c = 'b') FOR INTERVAL '3' SECOND
          THEN say(k, a.v, 0, outcome())";
    let mut text: String = (0..300).map(|v| format!("A{},a,{v},1,1\n", v % 7)).collect();
    text.push_str("tick 9");
    let all = run(rules, &text);
    assert_eq!(all.len(), 300);
    assert_eq!(all[299], "A5 299 0 absent");
}

#[test]
fn partial_matches_are_bounded() {
    let rules = "
        CREATE RULE r WITH (runs_max = 2) ON rows PARTITION BY k
          MATCH EVERY a:(c = 'a') -> b:(c = 'b') THEN say(k, a.v, b.v, '')";
    let text = "A,a,1,1,1\nA,a,2,1,2\nA,a,3,1,3\nA,b,4,1,4";
    assert_eq!(run(rules, text), ["A 2 4 ", "A 3 4 "]);
}

#[test]
fn what_begins_again_behind_a_step() {
    let rules = |pattern: &str| {
        format!(
            "CREATE RULE r ON rows PARTITION BY k MATCH EVERY a:(c = 'a') -> {pattern}
             THEN say(k, a.v, d.v, '')"
        )
    };
    let text = "A,a,1,1,1\nA,b,2,1,2\nA,b,3,1,3\nA,d,4,1,4\nA,b,5,1,5\nA,d,6,1,6\nA,d,7,1,9";
    let group = run(&rules("EVERY (b:(c = 'b') -> d:(c = 'd'))"), text);
    assert_eq!(group, ["A 1 4 ", "A 1 6 "]);
    let silence =
        run(&rules("EVERY NOT b:(c = 'b') FOR INTERVAL '1.5' SECOND -> d:(c = 'd')"), text);
    assert_eq!(silence, ["A 1 6 ", "A 1 7 ", "A 1 7 "]);
    let both = run(&rules("EVERY (NOT b:(c = 'b') -> d:(c = 'd' AND v > 4))"), text);
    assert_eq!(both, ["A 1 6 ", "A 1 7 "]);
}

#[test]
fn brackets_with_a_time_of_their_own() {
    let rules = |pattern: &str| {
        format!("CREATE RULE r ON rows PARTITION BY k MATCH {pattern} THEN say(k, a.v, b.v, '')")
    };
    let (a, b) = ("a:(c = 'a')", "b:(c = 'b')");
    let text = "A,a,1,1,1\nA,b,2,1,3\nB,a,3,1,4\nB,b,4,1,7\nB,a,5,1,8\nB,b,6,1,9";
    let next = run(&rules(&format!("EVERY {a} -> ({b} WITHIN INTERVAL '3' SECOND)")), text);
    assert_eq!(next, ["A 1 2 ", "B 5 6 "], "from the step before, and not at its bound");
    let any = format!("EVERY ({a} -> EVERY {b} WITHIN INTERVAL '4' SECOND)");
    let twice = ["A 1 2 ", "B 3 4 ", "B 5 6 ", "B 5 6 "];
    assert_eq!(run(&rules(&any), text), twice, "began again with 4 and when the time was over");
    let both = format!("EVERY (({a} WITHIN INTERVAL '1' SECOND) AND {b})");
    assert_eq!(run(&rules(&both), text), ["A 1 2 ", "B 3 4 ", "B 5 6 "]);
}

#[test]
fn rows_of_one_time_are_ordered_by_more() {
    let rules = "
        INSERT INTO say SELECT k, a, b, '' FROM rows MATCH_RECOGNIZE (
            PARTITION BY k ORDER BY ts, p DESC, v MEASURES a.v AS a, b.v AS b
            PATTERN (a b) DEFINE a AS c = 'a', b AS c = 'b')";
    let text = "A,b,1,1,1\nA,a,2,2,1\nA,b,4,1,2\nA,a,3,1,2\nA,a,5,1,3\nA,b,6,2,3\ntick 4";
    assert_eq!(run(rules, text), ["A 2 1 ", "A 3 4 "]);
}
