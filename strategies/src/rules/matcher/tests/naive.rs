//! MATCH_RECOGNIZE against backtracking over all rows of a key at once, best way first.

use proptest::prelude::*;

use super::{BASE, RuleSet, actions, records};

const LATENESS: u64 = 2;

/// What is repeated, and how: minimum, maximum, and whether more is better.
type Part = (Unit, (u32, Option<u32>), bool);

#[derive(Clone, Debug)]
enum Unit {
    Var(usize),
    Either(Vec<Part>, Vec<Part>),
}

/// The conditions that a variable can have, with what they are in text.
const CONDITIONS: [&str; 8] = [
    "c = 'a'",
    "c <> 'b'",
    "p > prev(p)",
    "p <= first(p)",
    "p < last(A.p, 1) OR last(A.p, 1) IS NULL",
    "sum(B.p) + p < 8 OR count(B.*) = 0",
    "c = first(c) AND count(*) < 5",
    "p >= avg(p)",
];

#[derive(Copy, Clone, Debug)]
struct Row {
    id: i64,
    letter: u8,
    value: i64,
    second: u64,
}

/// Rows bound, by number in the key, each with its variable.
type Bound = Vec<(usize, usize)>;

struct Naive<'a> {
    rows: &'a [Row],
    conditions: &'a [usize; 3],
    within: u64,
    start: usize,
}

impl Naive<'_> {
    /// Whether a row can be bound after those before it.
    fn fits(&self, var: usize, at: usize, bound: &Bound) -> bool {
        let row = self.rows[at];
        if row.second - self.rows[self.start].second >= self.within {
            return false;
        }
        let mut all = bound.clone();
        all.push((at, var));
        let of = |wanted: usize| -> Vec<i64> {
            let own = all.iter().filter(|(_, var)| *var == wanted);
            own.map(|(at, _)| self.rows[*at].value).collect()
        };
        let first = self.rows[all[0].0];
        let last_but_one = |values: &[i64]| values.len().checked_sub(2).map(|at| values[at]);
        match self.conditions[var] {
            0 => row.letter == 0,
            1 => row.letter != 1,
            2 => at > 0 && row.value > self.rows[at - 1].value,
            3 => row.value <= first.value,
            4 => last_but_one(&of(0)).is_none_or(|other| row.value < other),
            5 => {
                let own = of(1);
                own.is_empty() || own.iter().sum::<i64>() + row.value < 8
            }
            6 => row.letter == first.letter && all.len() < 5,
            _ => {
                let sum: i64 = all.iter().map(|(at, _)| self.rows[*at].value).sum();
                row.value * all.len() as i64 >= sum
            }
        }
    }

    /// Calls `then` for every way to match, best first, until it says stop.
    fn ways(
        &self,
        parts: &[Part],
        at: usize,
        bound: &mut Bound,
        then: &mut dyn FnMut(usize, &mut Bound) -> bool,
    ) -> bool {
        let Some(((unit, times, greedy), rest)) = parts.split_first() else {
            return then(at, bound);
        };
        self.repeat(unit, *times, *greedy, at, bound, &mut |at, bound| {
            self.ways(rest, at, bound, then)
        })
    }

    fn repeat(
        &self,
        unit: &Unit,
        (min, max): (u32, Option<u32>),
        greedy: bool,
        at: usize,
        bound: &mut Bound,
        then: &mut dyn FnMut(usize, &mut Bound) -> bool,
    ) -> bool {
        if min == 0 && !greedy && then(at, bound) {
            return true;
        }
        if max != Some(0) {
            let less = |n: u32| n.saturating_sub(1);
            let stop = self.one(unit, at, bound, &mut |to, bound| {
                let goes_on = min > 0 || to > at;
                let next = (less(min), max.map(less));
                goes_on && self.repeat(unit, next, greedy, to, bound, then)
            });
            if stop {
                return true;
            }
        }
        min == 0 && greedy && then(at, bound)
    }

    fn one(
        &self,
        unit: &Unit,
        at: usize,
        bound: &mut Bound,
        then: &mut dyn FnMut(usize, &mut Bound) -> bool,
    ) -> bool {
        match unit {
            Unit::Var(var) => {
                if at >= self.rows.len() || !self.fits(*var, at, bound) {
                    return false;
                }
                bound.push((at, *var));
                let stop = then(at + 1, bound);
                bound.pop();
                stop
            }
            Unit::Either(left, right) => {
                self.ways(left, at, bound, then) || self.ways(right, at, bound, then)
            }
        }
    }

    /// First row, last row and number of rows of every match.
    fn matches(&mut self, parts: &[Part], past_last: bool) -> Vec<(i64, i64, i64)> {
        let mut all = Vec::new();
        while self.start < self.rows.len() {
            let mut best = None;
            self.ways(parts, self.start, &mut Vec::new(), &mut |_, bound| {
                best = Some(bound.clone());
                true
            });
            let next = self.start + 1;
            if let Some(best) = best.filter(|best| !best.is_empty()) {
                let (first, last) = (best[0].0, best[best.len() - 1].0);
                let of_b = best.iter().filter(|(_, var)| *var == 1).count() as i64;
                all.push((
                    self.rows[first].id * 64 + self.rows[last].id,
                    best.len() as i64 * 64 + of_b,
                    best.iter().map(|(at, _)| self.rows[*at].value).sum(),
                ));
                self.start = if past_last { last + 1 } else { next };
            } else {
                self.start = next;
            }
        }
        all
    }
}

fn text(parts: &[Part]) -> String {
    let one = |(unit, (min, max), greedy): &Part| {
        let unit = match unit {
            Unit::Var(var) => ["A", "B", "C"][*var].to_owned(),
            Unit::Either(left, right) => format!("({} | {})", text(left), text(right)),
        };
        let times = match (min, max) {
            (1, Some(1)) => return unit,
            (min, None) => format!("{{{min},}}"),
            (min, Some(max)) => format!("{{{min},{max}}}"),
        };
        format!("{unit}{times}{}", if *greedy { "" } else { "?" })
    };
    parts.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn times() -> impl Strategy<Value = (u32, Option<u32>)> {
    prop_oneof![
        3 => Just((1, Some(1))),
        1 => Just((0, None)),
        2 => Just((1, None)),
        1 => Just((0, Some(1))),
        1 => Just((2, Some(3))),
    ]
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let plain = || {
        let var = (0..3_usize).prop_map(Unit::Var);
        prop::collection::vec((var, times(), prop::bool::weighted(0.7)), 1..4)
    };
    let either = (plain(), plain()).prop_map(|(a, b)| Unit::Either(a, b));
    let unit = prop_oneof![4 => (0..3_usize).prop_map(Unit::Var), 1 => either];
    prop::collection::vec((unit, times(), prop::bool::weighted(0.7)), 1..5).prop_map(|mut parts| {
        // Conditions name other variables, so all have to be there.
        for var in 0..3 {
            if !uses(&parts, var) {
                parts.push((Unit::Var(var), (0, Some(1)), true));
            }
        }
        parts
    })
}

fn uses(parts: &[Part], var: usize) -> bool {
    parts.iter().any(|(unit, ..)| match unit {
        Unit::Var(own) => *own == var,
        Unit::Either(left, right) => uses(left, var) || uses(right, var),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn match_recognize_finds_what_a_backtracker_finds(
        parts in parts(),
        conditions in [0..CONDITIONS.len(), 0..CONDITIONS.len(), 0..CONDITIONS.len()],
        rows in prop::collection::vec(
            (any::<bool>(), 0..3_u8, 0..5_i64, 0..3_u64, 0..4_u64),
            1..14,
        ),
        within in 1..12_u64,
        past_last: bool,
        saved: bool,
    ) {
        let skip = if past_last { "PAST LAST ROW" } else { "TO NEXT ROW" };
        let defines: Vec<String> = ["A", "B", "C"]
            .iter()
            .zip(conditions)
            .map(|(var, at)| format!("{var} AS {}", CONDITIONS[at]))
            .collect();
        let rule = format!(
            "INSERT INTO say SELECT k, ends, counts, total FROM rows MATCH_RECOGNIZE (
               PARTITION BY k ORDER BY ts
               MEASURES first(v) * 64 + last(v) AS ends, count(*) * 64 + count(B.*) AS counts,
                        count(*) AS n, sum(v) AS s, sum(p) AS total
               AFTER MATCH SKIP {skip}
               PATTERN ({}) WITHIN INTERVAL '{within}' SECOND
               DEFINE {}) WHERE n > 0
             WITH (keys_max = 4, runs_max = 4000, rows_max = 4000)",
            text(&parts),
            defines.join(", ")
        );
        let late = format!("time_unit = 's', lateness = '{LATENESS}s', format");
        let base = BASE
            .replace("time_unit = 's', format", &late)
            .replace("p DECIMAL(9,2)", "p BIGINT")
            .replace("t VARCHAR(32)", "t BIGINT");
        let mut set = RuleSet::new();
        set.add("rules.sql", &format!("{base}{rule}")).unwrap_or_else(|error| panic!("{error}"));
        let (mut lines, mut kept) = (String::new(), [Vec::new(), Vec::new()]);
        let (mut second, mut most) = (10, 0_u64);
        for (at, &(key, letter, value, step, lag)) in rows.iter().enumerate() {
            second += step;
            let row = Row { id: at as i64 + 1, letter, value, second: second - lag };
            let name = if key { "A" } else { "B" };
            let letter = char::from(b'a' + letter);
            lines += &format!("{name},{letter},{},{value},{}\n", row.id, row.second);
            if row.second >= most.saturating_sub(LATENESS) {
                kept[usize::from(!key)].push(row);
            }
            most = most.max(row.second);
        }
        lines += &format!("tick {}\n", most + 60);
        let found = actions(&set, &records(&set, &lines), saved);
        for (rows, name) in kept.iter_mut().zip(["A ", "B "]) {
            rows.sort_by_key(|row| row.second);
            let mut naive = Naive { rows, conditions: &conditions, within, start: 0 };
            let expected: Vec<String> = naive
                .matches(&parts, past_last)
                .into_iter()
                .map(|(ends, counts, total)| format!("{name}{ends} {counts} {total}"))
                .collect();
            let of_key = found.iter().map(|(told, _)| told.clone());
            let of_key: Vec<String> = of_key.filter(|told| told.starts_with(name)).collect();
            prop_assert_eq!(of_key, expected, "{}\n{}", rule, lines);
        }
    }
}
