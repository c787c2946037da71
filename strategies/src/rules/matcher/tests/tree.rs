//! MATCH against a tree of parts under way, each of which looks at every row and every time: what
//! the language says of its operators, and nothing else.

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{ActionId, BASE, Chain, RecordBuf, RuleSet, Rules, SECOND, records};
use corelane_feeds::record::{Record, Stamp, View};
use corelane_feeds::streams::sys;

/// How far rows may lag, seconds.
const LATENESS: u64 = 2;
/// Results of a case at most; with more, partial matches would be dropped.
const RESULTS_MAX: usize = 300;

/// Parts under way and ways of a case at most: some patterns double them with every row.
const MADE_MAX: u32 = 200_000;

thread_local! {
    /// How many were made since a case began.
    static MADE: Cell<u32> = const { Cell::new(0) };
}

/// Counts one more.
fn made() {
    MADE.set(MADE.get().saturating_add(1));
}

/// Whether it is too many to go on: the case is then left out.
fn are_too_many() -> bool {
    MADE.get() > MADE_MAX
}

/// A part of a pattern. Steps have numbers; a row fits one by its letter, and if its value is not
/// that of an earlier step.
#[derive(Clone, Debug)]
enum Part {
    Step(usize, u8, Option<usize>),
    Not(usize, u8, u64),
    Then(Vec<Part>),
    Both(Vec<Part>),
    Either(Vec<Part>),
    Every(Box<Part>),
    Within(Box<Part>, u64),
}

#[derive(Copy, Clone, Debug)]
struct Row {
    id: u64,
    letter: u8,
    value: u64,
    second: u64,
}

#[derive(Copy, Clone)]
enum Cause<'r> {
    Row(&'r Row),
    Time(u64),
}

type Bound = BTreeMap<usize, (u64, u64)>;

/// A part under way.
struct Live<'p> {
    part: &'p Part,
    /// What was bound as it began.
    bound: Bound,
    /// When its own time is over.
    until: u64,
    inner: Vec<Inner<'p>>,
}

/// A part in it: which, what it came to, and itself unless it is over.
struct Inner<'p> {
    which: usize,
    had: Vec<Bound>,
    live: Option<Live<'p>>,
}

/// What a row or a time made of a part.
#[derive(Default)]
struct Came {
    all: Vec<Bound>,
    is_over: bool,
}

fn union(a: &Bound, b: &Bound) -> Bound {
    made();
    a.iter().chain(b).map(|(step, row)| (*step, *row)).collect()
}

impl<'p> Inner<'p> {
    fn new(which: usize, part: &'p Part, bound: &Bound, now: u64) -> Self {
        Self { which, had: Vec::new(), live: Some(Live::new(part, bound, now)) }
    }

    fn take(&mut self, cause: Cause<'_>, now: u64) -> Came {
        let Some(live) = &mut self.live else { return Came::default() };
        let came = live.take(cause, now);
        if came.is_over {
            self.live = None;
        }
        came
    }
}

impl<'p> Live<'p> {
    fn new(part: &'p Part, bound: &Bound, now: u64) -> Self {
        made();
        let until = match part {
            Part::Not(.., seconds) | Part::Within(_, seconds) => now + seconds,
            _ => u64::MAX,
        };
        let of = |parts: &'p [Part]| {
            (0..).zip(parts).map(|(at, part)| Inner::new(at, part, bound, now)).collect()
        };
        let inner = match part {
            Part::Step(..) | Part::Not(..) => Vec::new(),
            Part::Then(parts) => of(&parts[..1]),
            Part::Both(parts) | Part::Either(parts) => of(parts),
            Part::Every(part) | Part::Within(part, _) => of(std::slice::from_ref(part)),
        };
        Self { part, bound: bound.clone(), until, inner }
    }

    fn next_time(&self) -> u64 {
        let inner = self.inner.iter().filter_map(|inner| inner.live.as_ref());
        inner.map(Live::next_time).min().unwrap_or(u64::MAX).min(self.until)
    }

    fn take(&mut self, cause: Cause<'_>, now: u64) -> Came {
        if are_too_many() {
            return Came::default();
        }
        match self.part {
            Part::Step(step, letter, unlike) => {
                let Cause::Row(row) = cause else { return Came::default() };
                let unlike = unlike.map(|step| self.bound.get(&step).map(|other| other.1));
                let fits = row.letter == *letter
                    && unlike.is_none_or(|other| other.is_some_and(|other| other != row.value));
                let own = Bound::from([(*step, (row.id, row.value))]);
                let all = if fits { vec![union(&self.bound, &own)] } else { Vec::new() };
                Came { all, is_over: fits }
            }
            Part::Not(_, letter, _) => match cause {
                Cause::Row(row) => Came { all: Vec::new(), is_over: row.letter == *letter },
                Cause::Time(time) if time >= self.until => {
                    Came { all: vec![self.bound.clone()], is_over: true }
                }
                Cause::Time(_) => Came::default(),
            },
            Part::Then(parts) => self.then(parts, cause, now),
            Part::Both(_) => self.both(cause, now),
            Part::Either(_) => {
                let mut all = Vec::new();
                for inner in &mut self.inner {
                    let came = inner.take(cause, now);
                    all.extend(came.all);
                    if !all.is_empty() && came.is_over {
                        return Came { all, is_over: true };
                    }
                }
                Came { all, is_over: self.inner.iter().all(|inner| inner.live.is_none()) }
            }
            Part::Every(part) => {
                let (mut all, mut begun) = (Vec::new(), 0);
                for inner in &mut self.inner {
                    let came = inner.take(cause, now);
                    begun += came.all.len().max(usize::from(came.is_over));
                    all.extend(came.all);
                }
                self.inner.retain(|inner| inner.live.is_some());
                for _ in 0..begun {
                    self.inner.push(Inner::new(0, part, &self.bound, now));
                }
                Came { all, is_over: false }
            }
            Part::Within(..) => match cause {
                Cause::Time(time) if time >= self.until => Came { all: Vec::new(), is_over: true },
                _ => self.inner[0].take(cause, now),
            },
        }
    }

    fn then(&mut self, parts: &'p [Part], cause: Cause<'_>, now: u64) -> Came {
        let (mut all, mut begun) = (Vec::new(), Vec::new());
        for inner in &mut self.inner {
            for bound in inner.take(cause, now).all {
                match parts.get(inner.which + 1) {
                    Some(next) => begun.push(Inner::new(inner.which + 1, next, &bound, now)),
                    None => all.push(bound),
                }
            }
        }
        self.inner.retain(|inner| inner.live.is_some());
        self.inner.extend(begun);
        Came { all, is_over: self.inner.is_empty() }
    }

    fn both(&mut self, cause: Cause<'_>, now: u64) -> Came {
        let mut came = Vec::new();
        for inner in &mut self.inner {
            let own = inner.take(cause, now);
            if own.is_over && own.all.is_empty() {
                return Came { all: Vec::new(), is_over: true };
            }
            came.push(own.all);
        }
        let mut all = Vec::new();
        for (at, own) in came.into_iter().enumerate() {
            for bound in own {
                let mut ways = vec![bound.clone()];
                for other in self.inner.iter().filter(|other| other.which != at) {
                    let with = |way: &Bound| -> Vec<Bound> {
                        if are_too_many() {
                            return Vec::new();
                        }
                        other.had.iter().map(|had| union(way, had)).collect()
                    };
                    ways = ways.iter().flat_map(with).collect();
                }
                all.extend(ways);
                self.inner[at].had.push(bound);
            }
        }
        Came { all, is_over: self.inner.iter().all(|inner| inner.live.is_none()) }
    }
}

/// The pattern as it is written.
fn text(part: &Part) -> String {
    let joined = |parts: &[Part], with: &str| {
        let one = |part: &Part| match part {
            Part::Then(_) | Part::Both(_) | Part::Either(_) => format!("({})", text(part)),
            _ => text(part),
        };
        parts.iter().map(one).collect::<Vec<_>>().join(with)
    };
    let letter = |letter: u8| char::from(b'a' + letter);
    match part {
        Part::Step(step, of, None) => format!("s{step}:(c = '{}')", letter(*of)),
        Part::Step(step, of, Some(other)) => {
            format!("s{step}:(c = '{}' AND p <> s{other}.p)", letter(*of))
        }
        Part::Not(step, of, seconds) => {
            format!("NOT s{step}:(c = '{}') FOR INTERVAL '{seconds}' SECOND", letter(*of))
        }
        Part::Then(parts) => joined(parts, " -> "),
        Part::Both(parts) => joined(parts, " AND "),
        Part::Either(parts) => joined(parts, " OR "),
        Part::Within(part, seconds) => {
            format!("({} WITHIN INTERVAL '{seconds}' SECOND)", text(part))
        }
        Part::Every(part) => match part.as_ref() {
            Part::Step(..) | Part::Not(..) | Part::Within(..) => format!("EVERY {}", text(part)),
            _ => format!("EVERY ({})", text(part)),
        },
    }
}

/// Numbers steps from the first to the last, and lets some depend on the one before.
fn number(part: &mut Part, next: &mut usize, before: &mut Option<usize>) {
    match part {
        Part::Step(step, _, unlike) => {
            *step = *next;
            *unlike = unlike.and(*before);
            *before = Some(*next);
            *next += 1;
        }
        Part::Not(step, ..) => {
            *step = *next;
            *next += 1;
        }
        Part::Then(parts) => parts.iter_mut().for_each(|part| number(part, next, before)),
        Part::Both(parts) | Part::Either(parts) => {
            // Of parts in any order, no other is sure to have come before.
            let outside = *before;
            let first = rand_like(parts.len(), *next);
            for (at, part) in parts.iter_mut().enumerate() {
                *before = outside;
                letters(part, ((at + first) % 4) as u8);
                number(part, next, before);
            }
            *before = None;
        }
        Part::Every(part) | Part::Within(part, _) => number(part, next, before),
    }
}

/// Any number that depends on where it is asked for.
fn rand_like(a: usize, b: usize) -> usize {
    (a * 7 + b * 5) % 4
}

/// Parts of AND and OR are of different letters: a row is one of them.
fn letters(part: &mut Part, letter: u8) {
    match part {
        Part::Step(_, of, _) | Part::Not(_, of, _) => *of = letter,
        Part::Every(part) | Part::Within(part, _) => letters(part, letter),
        Part::Then(parts) | Part::Both(parts) | Part::Either(parts) => {
            parts.iter_mut().for_each(|part| letters(part, letter));
        }
    }
}

fn step() -> impl Strategy<Value = Part> {
    (0..4_u8, any::<bool>()).prop_map(|(of, unlike)| Part::Step(0, of, unlike.then_some(0)))
}

fn every(part: Part) -> Part {
    Part::Every(Box::new(part))
}

fn part() -> impl Strategy<Value = Part> {
    let within = |part: Part, seconds| Part::Within(Box::new(part), seconds);
    let limited = move || (step(), 1..6_u64).prop_map(move |(part, seconds)| within(part, seconds));
    let absent = || (0..4_u8, 1..5_u64).prop_map(|(of, seconds)| Part::Not(0, of, seconds));
    let any_of = prop_oneof![3 => step(), 1 => limited(), 1 => absent()];
    let both = prop_oneof![
        prop::collection::vec(any_of, 2..4),
        prop::collection::vec(prop_oneof![step(), step().prop_map(every)], 2..4),
    ];
    // What is to come at all has to be a row.
    let has_step = |parts: &Vec<Part>| parts.iter().any(|part| !matches!(part, Part::Not(..)));
    let either = prop::collection::vec(prop_oneof![3 => step(), 1 => limited()], 2..4);
    let leaf = prop_oneof![
        6 => step(),
        1 => step().prop_map(every),
        2 => limited(),
        2 => absent(),
        2 => both.prop_filter("steps", has_step).prop_map(Part::Both),
        1 => either.prop_map(Part::Either),
    ];
    leaf.prop_recursive(3, 6, 3, move |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 2..4).prop_map(Part::Then),
            2 => inner.clone().prop_map(every),
            1 => (inner, 1..9_u64).prop_map(move |(part, seconds)| within(part, seconds)),
        ]
    })
}

/// `MATCH EVERY (...)`, alone or before what follows; of a step alone, also without brackets.
fn rule() -> impl Strategy<Value = (Part, String)> {
    (part(), prop::option::weighted(0.7, part()), any::<bool>()).prop_map(|(first, then, plain)| {
        let mut root = match then {
            Some(then) => Part::Then(vec![every(first), then]),
            None => every(first),
        };
        number(&mut root, &mut 0, &mut None);
        let group = |part: &Part| match part {
            Part::Step(..) if plain => format!("EVERY {}", text(part)),
            part => format!("EVERY ({})", text(part)),
        };
        let follows = |part: &Part| match part {
            Part::Both(_) | Part::Either(_) => format!("({})", text(part)),
            part => text(part),
        };
        let written = match &root {
            Part::Then(parts) => match parts.as_slice() {
                [Part::Every(first), then] => format!("{} -> {}", group(first), follows(then)),
                _ => String::new(),
            },
            Part::Every(first) => group(first),
            _ => String::new(),
        };
        (root, written)
    })
}

fn steps(part: &Part, out: &mut Vec<usize>) {
    match part {
        Part::Step(step, ..) => out.push(*step),
        Part::Not(..) => {}
        Part::Then(parts) | Part::Both(parts) | Part::Either(parts) => {
            parts.iter().for_each(|part| steps(part, out));
        }
        Part::Every(part) | Part::Within(part, _) => steps(part, out),
    }
}

/// What is told of a key: the rows bound, each step's in five bits, and when.
type Said = (u64, u64);

/// The results of rows in the order of their times, up to a last time; they are not all of them if
/// they [are too many](are_too_many).
fn oracle(root: &Part, rows: &[Row], last: u64) -> Vec<Said> {
    MADE.set(0);
    let mut said = Vec::new();
    let Some(first) = rows.first() else { return said };
    let mut live = Live::new(root, &Bound::new(), first.second);
    let mut tell = |came: Came, now: u64| {
        for bound in came.all {
            said.push((bound.iter().map(|(step, row)| row.0 << (5 * step)).sum(), now));
        }
    };
    for row in rows {
        while live.next_time() <= row.second && !are_too_many() {
            let now = live.next_time();
            tell(live.take(Cause::Time(now), now), now);
        }
        tell(live.take(Cause::Row(row), row.second), row.second);
    }
    while live.next_time() <= last && !are_too_many() {
        let now = live.next_time();
        tell(live.take(Cause::Time(now), now), now);
    }
    said.sort_unstable();
    said
}

/// What the rule does; every other time with its state saved and restored between the records.
fn ours(set: &RuleSet, all: &[RecordBuf], saved: bool) -> Vec<(String, Said)> {
    let new = || Chain::new(vec![], vec![Box::new(Rules::new(set))]);
    let mut chain = new();
    chain.on_record(sys::Session::new(Stamp::default(), 0).as_record());
    let (mut said, mut ids) = (Vec::new(), Vec::new());
    let mut take = |actions: &[RecordBuf]| {
        for action in actions.iter().filter_map(RecordBuf::record) {
            said.push(told(set, action));
            ids.push(ActionId::of(action).unwrap());
        }
    };
    for record in all {
        take(chain.on_record(record.record().unwrap()));
        while let Some(more) = chain.resume() {
            take(more);
        }
        if saved {
            let mut state = Vec::new();
            chain.save(&mut state);
            chain = new();
            chain.restore(&state).unwrap();
        }
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), said.len(), "every action has an id of its own");
    said.sort_unstable();
    said
}

fn told(set: &RuleSet, action: &Record) -> (String, Said) {
    let schema = set.declared()[0];
    let bytes = zerocopy::IntoBytes::as_bytes(action);
    let field = |name: &str| schema.field(name).unwrap();
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let key = field("k");
    let key = &bytes[key.offset..key.offset + key.sql.bytes()];
    let key = String::from_utf8_lossy(key).trim_end_matches(['\0', ' ']).to_owned();
    (key, (word(field("a").offset), action.header.ts_event.0 / SECOND))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn match_does_what_its_parts_say(
        (root, written) in rule(),
        rows in prop::collection::vec(
            (any::<bool>(), 0..4_u8, 0..3_u64, 0..4_u64, 0..4_u64),
            1..14,
        ),
        saved: bool,
    ) {
        let mut bound = Vec::new();
        steps(&root, &mut bound);
        // Each result has twelve steps' rows in its one number.
        prop_assume!(bound.iter().all(|step| *step < 12));
        let rule = format!(
            "CREATE RULE r WITH (keys_max = 4, runs_max = 4000, rows_max = 4000) ON rows \
             PARTITION BY k MATCH {written} THEN say(k, {}, 0, '')",
            bound
                .iter()
                .map(|step| format!("coalesce(s{step}.v, 0) * {}", 1_u64 << (5 * step)))
                .collect::<Vec<_>>()
                .join(" + ")
        );
        if bound.is_empty() {
            return Ok(());
        }
        let late = format!("time_unit = 's', lateness = '{LATENESS}s', format");
        let base = BASE.replace("time_unit = 's', format", &late);
        let mut set = RuleSet::new();
        if let Err(error) = set.add("rules.sql", &format!("{base}{rule}")) {
            // What cannot be told apart in orders is refused, and so is what is too large.
            let error = error.to_string();
            prop_assert!(error.contains("AND joins") || error.contains("too large"), "{}", error);
            return Ok(());
        }
        let (mut lines, mut kept) = (String::new(), [Vec::new(), Vec::new()]);
        let (mut second, mut most) = (10, 0_u64);
        for (at, &(key, letter, value, step, lag)) in rows.iter().enumerate() {
            second += step;
            let row = Row { id: at as u64 + 1, letter, value, second: second - lag };
            let name = if key { "A" } else { "B" };
            let letter = char::from(b'a' + letter);
            lines += &format!("{name},{letter},{},{value},{}\n", row.id, row.second);
            // A row behind the watermark is left out.
            if row.second >= most.saturating_sub(LATENESS) {
                kept[usize::from(!key)].push(row);
            }
            most = most.max(row.second);
        }
        let last = most + 8;
        lines += &format!("tick {}\n", last + LATENESS);
        let mut expected = Vec::new();
        for (rows, name) in kept.iter_mut().zip(["A", "B"]) {
            rows.sort_by_key(|row| row.second);
            let said = oracle(&root, rows, last).into_iter();
            prop_assume!(!are_too_many());
            expected.extend(said.map(|said| (name.to_owned(), said)));
        }
        prop_assume!(expected.len() < RESULTS_MAX);
        expected.sort_unstable();
        let found = ours(&set, &records(&set, &lines), saved);
        prop_assert_eq!(found, expected, "{}\n{}", written, lines);
    }
}
