//! Group windows against a naive oracle: every result recomputed from all rows that came in time.

use proptest::collection::vec;
use proptest::prelude::*;

use super::groups::{GroupSpec, Groups, Taken};
use super::sets::Sets;
use super::shape::{SILENT_MAX, Shape};
use crate::rules::types::Value;
use crate::rules::window::sketch::Sketch;
use crate::rules::window::tests::oracle::{Row, assert_same, results};
use crate::rules::window::tests::{Op, TYPES, aggregate, every_aggregate, ops};
use crate::rules::window::{Aggregate, Frame, Function, Spec, SpecError};
use crate::state::StateReader;

fn rows(keys_max: usize, rows_max: usize) -> Spec {
    use Function as F;
    let of_one_row =
        |a: &Aggregate| matches!(a.function, F::RowNumber | F::Ewma(_) | F::ZScore | F::Lag(_));
    let mut aggregates = every_aggregate(false);
    aggregates.retain(|aggregate| !of_one_row(aggregate));
    let (frame, args) = (Frame::Unbounded, TYPES.to_vec());
    Spec { key_words: 2, frame, lateness: 0, args, aggregates, keys_max, rows_max }
}

fn groups(shape: Shape, keys_max: usize, panes_max: usize, rows_max: usize) -> Groups {
    Groups::new(GroupSpec { shape, rows: rows(keys_max, rows_max), panes_max }).unwrap()
}

fn shapes() -> impl Strategy<Value = Shape> {
    prop_oneof![
        2 => (1i64..30, -5i64..5).prop_map(|(size, offset)| Shape::tumble(size, offset)),
        3 => (1i64..12, 0i64..40, -5i64..5)
            .prop_map(|(slide, more, offset)| Shape::hop(slide, slide + more, offset)),
        2 => (1i64..12, 1i64..6, -5i64..5)
            .prop_map(|(step, steps, offset)| Shape::Cumulate { step, size: step * steps, offset }),
        3 => (1i64..30).prop_map(|gap| Shape::Session { gap }),
        1 => Just(Shape::Ever),
        1 => (1i64..30, 0i64..40).prop_map(|(every, offset)| Shape::Every { every, offset }),
    ]
}

/// A result: key, begin, end, aggregates.
type Result = (u64, i64, i64, Vec<Value>);

/// The windows that could hold a time, from the definitions in words.
fn windows(shape: Shape, ts: i64) -> Vec<(i64, i64)> {
    let holds = |(begin, end): &(i64, i64)| (*begin..*end).contains(&ts);
    let near = ts - 400..=ts;
    match shape {
        Shape::Hop { slide, size, offset, .. } => {
            let begins = near.filter(|begin| (begin - offset).rem_euclid(slide) == 0);
            begins.map(|begin| (begin, begin + size)).filter(holds).collect()
        }
        Shape::Cumulate { step, size, offset } => {
            let begins = near.filter(|begin| (begin - offset).rem_euclid(size) == 0);
            let all = begins.flat_map(|begin| {
                (1..=size / step).map(move |steps| (begin, begin + steps * step))
            });
            all.filter(holds).collect()
        }
        Shape::Session { gap } => vec![(ts, ts + gap)],
        Shape::Ever => vec![(0, i64::MAX)],
        Shape::Every { .. } => unreachable!("told at strikes: see `Oracle::strike`"),
    }
}

/// An open window and its rows in order of arrival.
struct Open {
    key: u64,
    begin: i64,
    end: i64,
    rows: Vec<Row>,
}

/// The first of some times that is a strike.
fn strikes(shape: Shape, mut times: impl Iterator<Item = i64>) -> i64 {
    let Shape::Every { every, offset } = shape else { unreachable!() };
    times.find(|time| (time - offset).rem_euclid(every) == 0).unwrap()
}

struct Oracle {
    spec: Spec,
    shape: Shape,
    open: Vec<Open>,
    /// Keys in the order in which they came.
    keys: Vec<u64>,
    closed: i64,
}

impl Oracle {
    fn new(shape: Shape, spec: Spec) -> Self {
        Self { spec, shape, open: Vec::new(), keys: Vec::new(), closed: i64::MIN }
    }

    fn update(&mut self, key: u64, ts: i64, args: &[Value]) -> Vec<Result> {
        let row = Row { ts: ts as u64, args: args.to_vec() };
        if let Shape::Every { .. } = self.shape {
            return self.add(key, row);
        }
        let mut found = windows(self.shape, ts);
        if let Shape::Session { .. } = self.shape {
            let (mut begin, mut end) = found[0];
            let mut rows = Vec::new();
            let joins =
                |open: &mut Open| open.key == key && open.begin < ts + end - begin && open.end > ts;
            for open in self.open.extract_if(.., joins).collect::<Vec<_>>() {
                (begin, end) = (begin.min(open.begin), end.max(open.end));
                rows.extend(open.rows);
            }
            found = vec![(begin, end)];
            self.open.push(Open { key, begin, end, rows });
        }
        let mut changed = Vec::new();
        for (begin, end) in found {
            let same = |open: &&mut Open| (open.key, open.begin, open.end) == (key, begin, end);
            let at = self.open.iter_mut().find(same);
            match at {
                Some(open) => open.rows.push(row.clone()),
                None => self.open.push(Open { key, begin, end, rows: vec![row.clone()] }),
            }
            changed.push((begin, end));
        }
        self.open.retain(|open| open.end > self.closed);
        changed.retain(|(_, end)| *end > self.closed);
        changed.sort_by_key(|(_, end)| *end);
        if !changed.is_empty() && !self.keys.contains(&key) {
            self.keys.push(key);
        }
        let of = |(begin, end)| {
            let is_it = |open: &&Open| (open.key, open.begin, open.end) == (key, begin, end);
            self.result(self.open.iter().find(is_it).unwrap())
        };
        changed.into_iter().map(of).collect()
    }

    /// Of groups that never end: a row, which is told from the first strike after it on.
    fn add(&mut self, key: u64, row: Row) -> Vec<Result> {
        let next = strikes(self.shape, (row.ts as i64).max(self.closed) + 1..);
        let at = self.open.iter().position(|open| open.key == key).unwrap_or_else(|| {
            self.keys.push(key);
            self.open.push(Open { key, begin: 0, end: next, rows: Vec::new() });
            self.open.len() - 1
        });
        let open = &mut self.open[at];
        open.rows.push(row);
        open.end = open.end.min(next);
        vec![self.told_at(at, next)]
    }

    /// What is told of a group at a strike: rows before it.
    fn told_at(&self, at: usize, strike: i64) -> Result {
        let Open { key, rows, .. } = &self.open[at];
        let rows = rows.iter().filter(|row| (row.ts as i64) < strike).cloned().collect();
        self.result(&Open { key: *key, begin: 0, end: strike, rows })
    }

    /// Strike by strike, until a time.
    fn strike(&mut self, until: i64) -> Vec<Result> {
        let mut found = Vec::new();
        while let Some(at) = (0..self.open.len()).min_by_key(|at| self.open[*at].end)
            && self.open[at].end <= until
        {
            let end = self.open[at].end;
            found.push(self.told_at(at, end));
            let times = || self.open[at].rows.iter().map(|row| row.ts as i64);
            let last = times().filter(|ts| *ts < end).max().unwrap();
            let next = strikes(self.shape, end + 1..);
            let silent = strikes(self.shape, (-100..=last).rev()) + SILENT_MAX * (next - end);
            let ahead = times().filter(|ts| *ts >= end).min();
            self.open[at].end = match ahead {
                _ if next <= silent => next,
                Some(ts) => strikes(self.shape, ts + 1..),
                None => i64::MAX,
            };
        }
        found
    }

    fn result(&self, open: &Open) -> Result {
        let mut rows = open.rows.clone();
        rows.sort_by_key(|row| row.ts);
        (open.key, open.begin, open.end, results(&self.spec, &rows, None))
    }

    fn close(&mut self, until: i64) -> Vec<Result> {
        self.closed = self.closed.max(until);
        if let Shape::Every { .. } = self.shape {
            return self.strike(until);
        }
        let place = |key: u64| self.keys.iter().position(|known| *known == key).unwrap();
        let mut due: Vec<&Open> = self.open.iter().filter(|open| open.end <= until).collect();
        due.sort_by_key(|open| (open.end, place(open.key)));
        let found = due.into_iter().map(|open| self.result(open)).collect();
        self.open.retain(|open| open.end > until);
        self.keys.retain(|key| self.open.iter().any(|open| open.key == *key));
        found
    }
}

fn told(groups: &mut Groups, next: impl Fn(&mut Groups, &mut [Value]) -> bool) -> Vec<Result> {
    let mut out = vec![Value::NULL; groups.results()];
    let mut found = Vec::new();
    while next(groups, &mut out) {
        let [begin, end, values @ ..] = &out[..] else { unreachable!() };
        let bound = |value: &Value| value.as_int();
        let (begin, end) = (bound(begin).unwrap_or(0), bound(end).unwrap_or(i64::MAX));
        found.push((groups.key()[0], begin, end, values.to_vec()));
    }
    found
}

fn closed(groups: &mut Groups, until: i64) -> Vec<Result> {
    told(groups, |groups, out| groups.close_next(until, out))
}

fn assert_results(spec: &Spec, got: &[Result], expect: &[Result]) {
    let bounds = |all: &[Result]| -> Vec<(u64, i64, i64)> {
        all.iter().map(|(key, begin, end, _)| (*key, *begin, *end)).collect()
    };
    assert_eq!(bounds(got), bounds(expect));
    for (got, expect) in got.iter().zip(expect) {
        assert_same(spec, &got.3, &expect.3);
    }
}

fn restored(groups: &Groups) -> Groups {
    let mut bytes = Vec::new();
    groups.save(&mut bytes);
    let mut again = Groups::new(groups.spec.clone()).unwrap();
    let mut reader = StateReader::new(&bytes);
    again.restore(&mut reader).unwrap();
    reader.finish().unwrap();
    let mut twice = Vec::new();
    again.save(&mut twice);
    assert_eq!(bytes, twice, "what is restored is what was saved");
    again
}

fn counter(groups: &Groups, name: &str) -> u64 {
    let mut found = None;
    groups.counters(&mut |is, value| found = found.or((is == name).then_some(value)));
    found.unwrap()
}

/// The time of an operation, and how far the watermark is then.
fn times(ops: &[Op], lateness: i64) -> Vec<(i64, i64)> {
    let (mut now, mut newest) = (1_000i64, 0);
    let step = |op: &Op| {
        // Times below 0 are none: they are refused, not late.
        now = (now + op.step).max(0);
        newest = newest.max(now);
        (now, newest - lateness)
    };
    ops.iter().map(step).collect()
}

proptest! {
    /// With room for all, results are those of every row that came before its windows closed.
    #[test]
    fn results_are_those_of_a_recompute(
        ops in ops(100), shape in shapes(), lateness in 0i64..60, cut in 0usize..100,
    ) {
        let mut groups = groups(shape, 8, 2_000, 2_000);
        let spec = groups.spec.rows.clone();
        let mut oracle = Oracle::new(shape, spec.clone());
        for (i, (op, (ts, mark))) in ops.iter().zip(times(&ops, lateness)).enumerate() {
            if i == cut {
                groups = restored(&groups);
            }
            // Now and then the watermark is moved by something else, or not at all.
            if i % 5 != 0 {
                assert_results(&spec, &closed(&mut groups, mark), &oracle.close(mark));
            }
            let taken = groups.update(&[op.key, 7], ts, &op.args);
            let changed = oracle.update(op.key, ts, &op.args);
            prop_assert_eq!(taken == Taken::Late, changed.is_empty());
            let got = told(&mut groups, Groups::changed_next);
            assert_results(&spec, &got, &changed);
        }
        // What never ends goes on and on.
        let end = if let Shape::Every { every, .. } = shape {
            oracle.closed.max(2_000) + 40 * every
        } else {
            1 << 40
        };
        assert_results(&spec, &closed(&mut groups, end), &oracle.close(end));
        prop_assert_eq!(counter(&groups, "panes_displaced") + counter(&groups, "timeless"), 0);
        if !matches!(shape, Shape::Ever | Shape::Every { .. }) {
            let left = groups.pools.sketches.iter().map(Sketch::used);
            let left = left.chain(groups.sets.iter().map(Sets::used)).sum::<usize>();
            let kept = counter(&groups, "keys") + counter(&groups, "panes");
            prop_assert_eq!((left, kept), (0, 0));
        }
    }

    /// Without room for all, nothing is more than it may be, and restored windows let the same go.
    #[test]
    fn what_gives_way_gives_way_again(
        ops in ops(120), shape in shapes(), lateness in 0i64..60, cut in 0usize..60,
        keys_max in 1usize..4, panes_max in 1usize..8, rows_max in 1usize..20,
    ) {
        let mut groups = groups(shape, keys_max, panes_max, rows_max);
        let mut again = None;
        for (i, (op, (ts, mark))) in ops.iter().zip(times(&ops, lateness)).enumerate() {
            if i == cut {
                again = Some(restored(&groups));
            }
            let results = closed(&mut groups, mark);
            groups.update(&[op.key, 7], ts, &op.args);
            let changed = told(&mut groups, Groups::changed_next);
            if let Some(again) = &mut again {
                prop_assert_eq!(results, closed(again, mark));
                again.update(&[op.key, 7], ts, &op.args);
                prop_assert_eq!(changed, told(again, Groups::changed_next));
            }
            prop_assert!(groups.panes.used() <= panes_max && groups.keys.used() <= keys_max);
            prop_assert!(groups.sets.iter().all(|set| set.used() <= rows_max));
            prop_assert!(groups.pools.sketches.iter().all(|sketch| sketch.used() <= rows_max));
        }
    }

    /// Damaged bytes are an error or a state that works, never a panic.
    #[test]
    fn damaged_states_do_no_harm(
        ops in ops(40), shape in shapes(),
        flips in vec((any::<prop::sample::Index>(), 1u8..), 1..4),
    ) {
        let mut groups = groups(shape, 4, 40, 60);
        let times = times(&ops, 50);
        for (op, (ts, _)) in ops.iter().zip(&times) {
            groups.update(&[op.key, 7], *ts, &op.args);
        }
        let mut bytes = Vec::new();
        groups.save(&mut bytes);
        let at = flips[0].0.index(bytes.len());
        prop_assert!(groups.restore(&mut StateReader::new(&bytes[..at])).is_err());
        for (at, flip) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        let mut again = Groups::new(groups.spec.clone()).unwrap();
        let _ = again.restore(&mut StateReader::new(&bytes));
        let mut out = vec![Value::NULL; again.results()];
        for (op, (ts, mark)) in ops.iter().zip(&times) {
            for _ in 0..50 {
                again.close_next(*mark, &mut out);
            }
            again.update(&[op.key, 7], *ts, &op.args);
            again.changed_next(&mut out);
        }
    }
}

fn count(shape: Shape) -> Groups {
    let aggregates = vec![aggregate(Function::Count, &[])];
    let rows = Spec { aggregates, ..rows(100, 100) };
    Groups::new(GroupSpec { shape, rows, panes_max: 1_000 }).unwrap()
}

fn update(groups: &mut Groups, key: u64, ts: i64) -> Taken {
    groups.update(&[key, 0], ts, &[Value::NULL; 4])
}

fn counted(groups: &mut Groups, until: i64) -> Vec<(u64, i64, i64, i64)> {
    let all = closed(groups, until).into_iter();
    all.map(|(key, begin, end, values)| (key, begin, end, values[0].as_int().unwrap())).collect()
}

/// A row that is behind the watermark is not late while its window is open, is not joined to a
/// session that was told, and is late when both are gone.
#[test]
fn sessions_merge_close_and_refuse() {
    let mut groups = count(Shape::Session { gap: 3_000 });
    update(&mut groups, 1, 20);
    update(&mut groups, 2, 3_999);
    assert_eq!(counted(&mut groups, 3_019), []);
    assert_eq!(counted(&mut groups, 4_000), [(1, 20, 3_020, 1)]);
    assert_eq!(update(&mut groups, 1, 2_000), Taken::In);
    assert_eq!(counted(&mut groups, 5_000), [(1, 2_000, 5_000, 1)]);
    update(&mut groups, 2, 7_999);
    update(&mut groups, 2, 5_999);
    let mut groups = restored(&groups);
    assert_eq!(counted(&mut groups, 10_998), []);
    assert_eq!(counted(&mut groups, 11_000), [(2, 3_999, 10_999, 3)]);
    assert_eq!(update(&mut groups, 1, 999), Taken::Late);
    assert_eq!((counter(&groups, "late"), counter(&groups, "keys")), (1, 0));
    // Rows exactly the gap apart are two sessions, whichever comes first.
    update(&mut groups, 1, 20_000);
    update(&mut groups, 1, 23_000);
    update(&mut groups, 2, 23_000);
    update(&mut groups, 2, 20_000);
    let two = [(1, 20_000, 23_000, 1), (2, 20_000, 23_000, 1)];
    assert_eq!(counted(&mut groups, 23_000), two);
}

#[test]
fn times_that_no_window_has_are_counted() {
    let mut groups = count(Shape::tumble(10, 0));
    assert_eq!(update(&mut groups, 1, i64::MAX), Taken::Timeless);
    assert_eq!(update(&mut groups, 1, -1), Taken::Timeless);
    assert_eq!(groups.update(&[1], 5, &[]), Taken::Timeless);
    assert_eq!(counter(&groups, "timeless"), 3);
    assert_eq!(counted(&mut groups, i64::MAX), []);
    let max = Shape::tumble(10, 0).time_max();
    assert_eq!(update(&mut groups, 1, max), Taken::Late, "time has come to its end");
}

#[test]
fn estimates_of_panes_are_those_of_all_rows() {
    let aggregates = vec![aggregate(Function::ApproxCountDistinct, &[0])];
    let rows = Spec { aggregates, ..rows(10, 10) };
    let spec = |shape| GroupSpec { shape, rows: rows.clone(), panes_max: 100 };
    let mut hop = Groups::new(spec(Shape::hop(10, 100, 0))).unwrap();
    let mut tumble = Groups::new(spec(Shape::tumble(100, 0))).unwrap();
    for ts in 0..100i64 {
        for value in 0..20 {
            let args = [Value::int(ts * 13 + value), Value::NULL, Value::NULL, Value::NULL];
            hop.update(&[1, 0], ts, &args);
            tumble.update(&[1, 0], ts, &args);
        }
    }
    let of_hop = closed(&mut hop, 100).pop().unwrap();
    assert_eq!(of_hop, closed(&mut tumble, 100).pop().unwrap());
    let estimate = of_hop.3[0].as_int().unwrap();
    assert!((1_100..1_500).contains(&estimate), "{estimate} of 1307");
}

#[test]
fn groups_that_cannot_be_are_refused() {
    let new = |shape, function| {
        let aggregates = vec![aggregate(function, &[0])];
        let rows = Spec { aggregates, ..rows(10, 10) };
        Groups::new(GroupSpec { shape, rows, panes_max: 10 }).err()
    };
    let index = 0;
    let tumble = Shape::tumble(10, 0);
    assert_eq!(new(tumble, Function::Lag(1)), Some(SpecError::Frame { index }));
    assert_eq!(new(tumble, Function::ZScore), Some(SpecError::Frame { index }));
    assert_eq!(new(Shape::hop(10, 5, 0), Function::Sum), Some(SpecError::Room));
    assert_eq!(new(tumble, Function::Sum), None);
}

#[test]
fn a_group_that_is_silent_is_told_no_more_until_a_row_comes() {
    let mut groups = groups(Shape::Every { every: 10, offset: 3 }, 8, 100, 100);
    let args = vec![Value::NULL; TYPES.len()];
    let strikes = |results: &[Result]| (results.len() as i64, results.last().map(|last| last.2));
    assert_eq!(groups.update(&[1, 7], 15, &args), Taken::In);
    let last = 13 + 10 * SILENT_MAX;
    assert_eq!(strikes(&closed(&mut groups, 1_000_000)), (SILENT_MAX, Some(last)));
    groups = restored(&groups);
    assert_eq!(groups.update(&[1, 7], 2_000_000, &args), Taken::In);
    assert!(closed(&mut groups, 2_000_002).is_empty());
    let told = closed(&mut groups, 2_000_003);
    assert_eq!(strikes(&told), (1, Some(2_000_003)));
    // A time that nobody reaches, and a row of it.
    assert_eq!(groups.update(&[1, 7], i64::MAX, &args), Taken::Timeless);
    assert_eq!(closed(&mut groups, i64::MAX).len() as i64, SILENT_MAX - 1);
    assert!(closed(&mut groups, i64::MAX).is_empty());
}
