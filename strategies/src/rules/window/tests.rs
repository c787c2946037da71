//! Windows against a naive oracle: every result recomputed from the rows that are still kept.

use proptest::collection::vec;
use proptest::prelude::*;

use super::windows::Windows;
use super::{Aggregate, Frame, Function, Spec, SpecError};
use crate::rules::types::{Type, Value};
use crate::state::StateReader;

pub(in crate::rules) mod oracle;

use oracle::{Kept, Oracle, assert_same};

pub(in crate::rules) const TYPES: [Type; 4] =
    [Type::Int, Type::Decimal(2), Type::Double, Type::Text(8)];

pub(in crate::rules) fn aggregate(function: Function, args: &[usize]) -> Aggregate {
    let arg_type = args.first().map(|&arg| TYPES[arg]);
    Aggregate { function, args: args.to_vec(), arg_type }
}

/// Every function over every argument that it takes.
pub(in crate::rules) fn every_aggregate(bounded: bool) -> Vec<Aggregate> {
    use Function as F;
    let mut all = vec![aggregate(F::Count, &[]), aggregate(F::RowNumber, &[])];
    for arg in 0..4 {
        for function in [F::Count, F::CountDistinct, F::Min, F::Max, F::FirstValue, F::LastValue] {
            all.push(aggregate(function, &[arg]));
        }
        if bounded {
            all.push(aggregate(F::ApproxCountDistinct, &[arg]));
            all.extend([0, 1, 3].map(|rows| aggregate(F::Lag(rows), &[arg])));
        }
    }
    for arg in 0..3 {
        for function in [
            F::Sum,
            F::Avg,
            F::StddevSamp,
            F::StddevPop,
            F::VarSamp,
            F::VarPop,
            F::ZScore,
            F::Percentile(0.0),
            F::Percentile(0.5),
            F::Percentile(0.99),
            F::Ewma(20.0),
        ] {
            all.push(aggregate(function, &[arg]));
        }
    }
    all.extend([[0, 1], [1, 2], [2, 0], [2, 2]].map(|args| aggregate(F::Corr, &args)));
    all
}

fn spec(frame: Frame, lateness: u64, keys_max: usize, rows_max: usize) -> Spec {
    let aggregates = every_aggregate(frame != Frame::Unbounded);
    let args = TYPES.to_vec();
    Spec { key_words: 2, frame, lateness, args, aggregates, keys_max, rows_max }
}

#[derive(Clone, Debug)]
pub(in crate::rules) struct Op {
    pub(in crate::rules) key: u64,
    /// Against the time of the one before.
    pub(in crate::rules) step: i64,
    pub(in crate::rules) args: [Value; 4],
    pub(in crate::rules) expire: bool,
}

pub(in crate::rules) fn ops(count: usize) -> impl Strategy<Value = Vec<Op>> {
    let int = prop_oneof![
        6 => (-20i64..20).prop_map(Value::int),
        1 => Just(Value::NULL),
        1 => prop_oneof![Just(i64::MAX), Just(i64::MIN), Just(i64::MAX - 3)].prop_map(Value::int),
    ];
    let decimal = prop_oneof![5 => (-500i64..500).prop_map(Value::int), 1 => Just(Value::NULL)];
    // Quarters, so that the oracle's sums are exact.
    let double = prop_oneof![
        5 => (-40i64..40).prop_map(|quarters| Value::double(quarters as f64 / 4.0)),
        1 => Just(Value::NULL),
    ];
    let text = prop_oneof![3 => (0i64..5).prop_map(Value::int), 1 => Just(Value::NULL)];
    let step = prop_oneof![6 => 0i64..12, 2 => -30i64..0, 1 => 0i64..200, 1 => -150i64..0];
    let args = (int, decimal, double, text).prop_map(|(a, b, c, d)| [a, b, c, d]);
    let op = (0u64..4, step, args, proptest::bool::weighted(0.1));
    vec(op.prop_map(|(key, step, args, expire)| Op { key, step, args, expire }), 1..count)
}

fn frames() -> impl Strategy<Value = Frame> {
    prop_oneof![
        4 => (0u64..80).prop_map(Frame::Range),
        2 => (0u64..7).prop_map(Frame::Rows),
        1 => Just(Frame::Unbounded),
        1 => Just(Frame::Range(u64::MAX)),
    ]
}

fn restored(windows: &Windows) -> Windows {
    let mut bytes = Vec::new();
    windows.save(&mut bytes);
    let mut again = Windows::new(windows.spec.clone()).unwrap();
    let mut reader = StateReader::new(&bytes);
    again.restore(&mut reader).unwrap();
    reader.finish().unwrap();
    let mut twice = Vec::new();
    again.save(&mut twice);
    assert_eq!(bytes, twice, "what is restored is what was saved");
    again
}

fn counter(windows: &Windows, name: &str) -> u64 {
    let mut found = None;
    windows.counters(&mut |is, value| found = found.or((is == name).then_some(value)));
    found.unwrap()
}

proptest! {
    /// With room for all, results are those of every row that came and may still be seen.
    #[test]
    fn results_are_those_of_a_recompute(
        ops in ops(120), frame in frames(), lateness in 0u64..120, cut in 0usize..120,
    ) {
        let spec = spec(frame, lateness, 8, 400);
        let mut windows = Windows::new(spec.clone()).unwrap();
        let mut oracle = Oracle::new(spec.clone());
        let mut out = vec![Value::NULL; spec.aggregates.len()];
        let (mut now, mut newest) = (1_000i64, 0);
        for (i, op) in ops.iter().enumerate() {
            if i == cut {
                windows = restored(&windows);
            }
            now += op.step;
            newest = newest.max(now);
            if op.expire {
                windows.expire(newest as u64);
                oracle.expire(newest as u64);
            }
            windows.update(&[op.key, 7], now as u64, &op.args, &mut out);
            let expect = oracle.update(op.key, now as u64, &op.args);
            assert_same(&spec, &out, &expect);
        }
        prop_assert_eq!(counter(&windows, "misuses"), 0);
        prop_assert_eq!(counter(&windows, "rows_displaced"), 0);
        prop_assert_eq!(counter(&windows, "keys_displaced"), 0);
    }

    /// Without room for all, they are those of the rows that are kept; and restored windows let the
    /// same rows go.
    #[test]
    fn what_gives_way_is_gone_from_every_result(
        ops in ops(120), frame in frames(), lateness in 0u64..120, cut in 0usize..60,
        keys_max in 1usize..4, rows_max in 1usize..12,
    ) {
        let spec = spec(frame, lateness, keys_max, rows_max);
        let mut windows = Windows::new(spec.clone()).unwrap();
        let mut again = None;
        let mut out = vec![Value::NULL; spec.aggregates.len()];
        let mut other = out.clone();
        let mut now = 1_000i64;
        for (i, op) in ops.iter().enumerate() {
            if i == cut {
                again = Some(restored(&windows));
            }
            now += op.step;
            let late = counter(&windows, "late");
            windows.update(&[op.key, 7], now as u64, &op.args, &mut out);
            if let Some(again) = &mut again {
                again.update(&[op.key, 7], now as u64, &op.args, &mut other);
                prop_assert_eq!(&out, &other);
            }
            let kept = Kept::of(&windows, &[op.key, 7]);
            if frame != Frame::Unbounded && counter(&windows, "late") == late {
                let rows = kept.frame(frame, now as u64, None);
                assert_same(&spec, &out, &oracle::results(&spec, &rows, None));
            }
            prop_assert!(windows.rows_used <= rows_max);
            prop_assert_eq!(counter(&windows, "misuses"), 0);
        }
    }

    /// Damaged bytes are an error or a state that works, never a panic.
    #[test]
    fn damaged_states_do_no_harm(
        ops in ops(40), frame in frames(), at in any::<prop::sample::Index>(), flip in 1u8..,
    ) {
        let spec = spec(frame, 10, 4, 20);
        let mut windows = Windows::new(spec.clone()).unwrap();
        let mut out = vec![Value::NULL; spec.aggregates.len()];
        for (i, op) in ops.iter().enumerate() {
            windows.update(&[op.key, 7], 1_000 + i as u64, &op.args, &mut out);
        }
        let mut bytes = Vec::new();
        windows.save(&mut bytes);
        let at = at.index(bytes.len());
        let short = windows.restore(&mut StateReader::new(&bytes[..at]));
        prop_assert!(short.is_err());
        bytes[at] ^= flip;
        let mut again = Windows::new(spec).unwrap();
        let _ = again.restore(&mut StateReader::new(&bytes));
        for op in &ops {
            again.update(&[op.key, 7], 1_020, &op.args, &mut out);
            windows.update(&[op.key, 7], 1_020, &op.args, &mut out);
        }
    }
}

#[test]
fn specs_that_cannot_be_run_say_why() {
    use Function as F;
    let check = |function, args: &[usize], frame| {
        let aggregates = vec![aggregate(function, args)];
        Windows::new(Spec { aggregates, ..spec(frame, 0, 4, 4) }).err()
    };
    let range = Frame::Range(1);
    let index = 0;
    assert_eq!(check(F::Sum, &[], range), Some(SpecError::Arity { index }));
    assert_eq!(check(F::Corr, &[0], range), Some(SpecError::Arity { index }));
    let found = Type::Text(8);
    assert_eq!(check(F::Sum, &[3], range), Some(SpecError::Type { index, found }));
    assert_eq!(check(F::Corr, &[0, 3], range), Some(SpecError::Type { index, found }));
    assert_eq!(check(F::Percentile(1.1), &[0], range), Some(SpecError::Parameter { index }));
    assert_eq!(check(F::Percentile(f64::NAN), &[0], range), Some(SpecError::Parameter { index }));
    assert_eq!(check(F::Ewma(0.0), &[0], range), Some(SpecError::Parameter { index }));
    assert_eq!(check(F::Lag(1), &[0], Frame::Unbounded), Some(SpecError::Frame { index }));
    assert_eq!(Windows::new(spec(range, 0, 0, 4)).err(), Some(SpecError::Room));
    assert_eq!(check(F::Lag(1), &[0], Frame::Rows(1)), None);
}

/// One aggregate over doubles that one key shows, a nanosecond apart.
fn run(function: Function, frame: Frame, values: &[f64]) -> Vec<Value> {
    let aggregates = vec![aggregate(function, &[2])];
    let mut windows = Windows::new(Spec { aggregates, ..spec(frame, 0, 4, 4_000) }).unwrap();
    let mut out = [Value::NULL];
    let each = values.iter().enumerate().map(|(i, &value)| {
        let args = [Value::NULL, Value::NULL, Value::double(value), Value::NULL];
        windows.update(&[1, 1], i as u64, &args, &mut out);
        out[0]
    });
    each.collect()
}

/// A sum that was kept by adding and subtracting doubles would be off by 1e11 for ever.
#[test]
fn a_large_value_leaves_no_trace() {
    let mut values = vec![0.1; 40];
    values[5] = 1e27;
    values[6] = -3.3e27;
    let sums = run(Function::Sum, Frame::Rows(9), &values);
    assert_eq!(sums[39], Value::double(1.0));
    let spread = run(Function::VarPop, Frame::Rows(9), &values);
    assert_eq!(spread[39], Value::double(0.0));
    values[6] = 1e200;
    let sums = run(Function::Sum, Frame::Rows(9), &values);
    assert_eq!((sums[6], sums[15], sums[16]), (Value::NULL, Value::NULL, Value::double(1.0)));
}

#[test]
fn distinct_values_of_an_unbounded_frame_are_estimated() {
    let values: Vec<f64> = (0..3_000).map(f64::from).collect();
    let counts = run(Function::ApproxCountDistinct, Frame::Unbounded, &values);
    let last = counts[2_999].as_int().unwrap();
    assert!((2_600..3_400).contains(&last), "{last}");
    let exact = run(Function::CountDistinct, Frame::Unbounded, &values);
    assert_eq!(exact[2_999], Value::int(3_000));
}

/// A table of half as many entries as rows would fill; one of twice as many does not.
#[test]
fn many_keys_come_and_go() {
    let spec = Spec { keys_max: 500, rows_max: 2_000, ..spec(Frame::Range(50), 0, 1, 1) };
    let mut windows = Windows::new(spec.clone()).unwrap();
    let mut oracle = Oracle::new(spec.clone());
    let mut out = vec![Value::NULL; spec.aggregates.len()];
    let mut random = 1u64;
    for ts in 0..20_000u64 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (key, value) = (random >> 33 & 1023, Value::int((random >> 50 & 63) as i64));
        let args = [value, value, Value::double(0.25), value];
        if ts % 3 == 0 {
            windows.expire(ts);
            oracle.expire(ts);
        }
        windows.update(&[key, 7], ts, &args, &mut out);
        assert_same(&spec, &out, &oracle.update(key, ts, &args));
        if ts % 5_000 == 0 {
            windows = restored(&windows);
        }
    }
    assert!(counter(&windows, "keys") <= 200, "{}", counter(&windows, "keys"));
    assert!(counter(&windows, "keys_expired") > 15_000);
    assert_eq!(counter(&windows, "keys_displaced") + counter(&windows, "rows_displaced"), 0);
}
