//! The naive oracle: keeps rows in a vector and recomputes every result from them.

use std::collections::{BTreeMap, BTreeSet};

use crate::functions::Datum;
use crate::rules::types::{Type, Value};
use crate::rules::window::extremes::order;
use crate::rules::window::keys::hash;
use crate::rules::window::rows::NONE;
use crate::rules::window::sketch::{bucket, representative};
use crate::rules::window::windows::Windows;
use crate::rules::window::{Frame, Function, Spec};

#[derive(Clone, Debug)]
pub(in crate::rules) struct Row {
    pub(in crate::rules) ts: u64,
    pub(in crate::rules) args: Vec<Value>,
}

/// A moving average by definition: values and times since the key began.
pub(in crate::rules) type History = Vec<(u64, Vec<Value>)>;

#[derive(Default)]
struct Key {
    /// In order of the frame.
    rows: Vec<Row>,
    newest: u64,
    history: History,
}

pub(super) struct Oracle {
    spec: Spec,
    keys: BTreeMap<u64, Key>,
    horizon: u64,
}

impl Oracle {
    pub(super) fn new(spec: Spec) -> Self {
        Self { spec, keys: BTreeMap::new(), horizon: 0 }
    }

    pub(super) fn expire(&mut self, now: u64) {
        self.horizon = self.horizon.max(now);
    }

    pub(super) fn update(&mut self, key: u64, ts: u64, args: &[Value]) -> Vec<Value> {
        let key = self.keys.entry(key).or_default();
        let row = Row { ts, args: args.to_vec() };
        let Frame::Range(ns) = self.spec.frame else {
            key.newest = key.newest.max(ts);
            key.rows.push(row);
            key.history.push((ts, args.to_vec()));
            let rows = match self.spec.frame {
                Frame::Rows(n) => &key.rows[key.rows.len().saturating_sub(n as usize + 1)..],
                _ => &key.rows[..],
            };
            return results(&self.spec, rows, Some(&key.history));
        };
        let floor = |newest: u64, horizon: u64| {
            newest.max(horizon).saturating_sub(ns).saturating_sub(self.spec.lateness)
        };
        // Rows that nobody may see any more go, and the key begins anew without any.
        let low = floor(key.newest, self.horizon);
        key.rows.retain(|row| row.ts >= low);
        if key.rows.is_empty() {
            *key = Key::default();
        }
        if ts < floor(key.newest, self.horizon) {
            return results(&self.spec, &[], None);
        }
        key.newest = key.newest.max(ts);
        let low = floor(key.newest, self.horizon);
        key.rows.retain(|row| row.ts >= low);
        if key.rows.is_empty() {
            key.history.clear();
        }
        let at = key.rows.partition_point(|row| row.ts <= ts);
        key.rows.insert(at, row);
        key.history.push((ts, args.to_vec()));
        let begin = key.rows.partition_point(|row| row.ts < ts.saturating_sub(ns));
        results(&self.spec, &key.rows[begin..=at], Some(&key.history))
    }
}

/// The rows that windows keep for a key.
pub(super) struct Kept(Vec<Row>);

impl Kept {
    pub(super) fn of(windows: &Windows, key: &[u64]) -> Self {
        let mut kept = Vec::new();
        if let Some(entry) = windows.keys.find(hash(key), key) {
            let head = windows.keys.head(entry);
            let mut row = head.first;
            while row != NONE {
                let args = (0..windows.spec.args.len()).map(|arg| windows.rows.value(row, arg));
                kept.push(Row { ts: windows.rows.ts(row), args: args.collect() });
                row = if row == head.last { NONE } else { windows.rows.next(row) };
            }
        }
        Self(kept)
    }

    /// The frame of the newest of them, which came at `ts`.
    pub(super) fn frame(&self, frame: Frame, ts: u64, _: Option<()>) -> Vec<Row> {
        let low = if let Frame::Range(ns) = frame { ts.saturating_sub(ns) } else { 0 };
        self.0.iter().filter(|row| row.ts >= low).cloned().collect()
    }
}

/// Every result over a frame whose last row asks.
pub(in crate::rules) fn results(
    spec: &Spec,
    rows: &[Row],
    history: Option<&History>,
) -> Vec<Value> {
    let values = |arg: usize| rows.iter().map(move |row| row.args[arg]);
    let result = |aggregate: &crate::rules::window::Aggregate| {
        use Function as F;
        let arg = aggregate.args.first().copied();
        let Some(arg) = arg else {
            // A row that came too late has no place, and so no number.
            let placed = aggregate.function == F::Count || !rows.is_empty();
            return if placed { Value::int(rows.len() as i64) } else { Value::NULL };
        };
        let ty = spec.args[arg];
        let known: Vec<Value> = values(arg).filter(|value| value.known).collect();
        let base = known.first().copied().unwrap_or(Value::NULL);
        let numbers: Vec<f64> = known.iter().map(|value| number(ty, *value)).collect();
        let is_number = ty.is_number();
        let numbers_of = || known.iter().filter(|_| is_number);
        let shifted: Vec<f64> = numbers_of().map(|value| above(ty, base, *value)).collect();
        let extreme = |best: Option<&Value>| best.copied().unwrap_or(Value::NULL);
        match aggregate.function {
            F::Count => Value::int(known.len() as i64),
            F::CountDistinct | F::ApproxCountDistinct => Value::int(
                known.iter().map(|value| value.bits).collect::<BTreeSet<_>>().len() as i64,
            ),
            F::Sum | F::Avg => sum(aggregate.function == F::Avg, ty, &known, &numbers),
            F::Min => extreme(known.iter().min_by_key(|value| order(ty, value.bits))),
            F::Max => extreme(known.iter().max_by_key(|value| order(ty, value.bits))),
            F::FirstValue => values(arg).next().unwrap_or(Value::NULL),
            F::LastValue => values(arg).next_back().unwrap_or(Value::NULL),
            F::Lag(n) => values(arg).rev().nth(n as usize).unwrap_or(Value::NULL),
            F::Percentile(p) => {
                let mut sorted = known.clone();
                sorted.sort_by_key(|value| order(ty, value.bits));
                let rank = (p * (sorted.len().max(1) - 1) as f64) as usize;
                let bits = sorted.get(rank).map(|value| bucket(ty, value.bits));
                let bits = bits.map(|bucket| representative(ty, bucket));
                bits.map_or(Value::NULL, |bits| Value { bits, known: true })
            }
            F::Ewma(half_life) => {
                history.map_or(Value::NULL, |history| average(ty, arg, half_life, history))
            }
            F::ZScore => {
                let spread = spread(&shifted, 1).filter(|&spread| spread > 0.0);
                let own = values(arg).next_back().filter(|value| value.known);
                let (Some(spread), Some(own)) = (spread, own) else { return Value::NULL };
                Value::double((above(ty, base, own) - mean(&shifted)) / spread.sqrt())
            }
            F::VarSamp => spread(&shifted, 1).map_or(Value::NULL, Value::double),
            F::VarPop => spread(&shifted, 0).map_or(Value::NULL, Value::double),
            F::StddevSamp => spread(&shifted, 1).map_or(Value::NULL, |v| Value::double(v.sqrt())),
            F::StddevPop => spread(&shifted, 0).map_or(Value::NULL, |v| Value::double(v.sqrt())),
            F::Corr => correlation(spec, rows, arg, aggregate.args[1]),
            F::RowNumber => Value::NULL,
            F::Custom(function) => {
                let mut state = vec![0; function.get().words()];
                for value in &known {
                    function.get().add(&mut state, &[Datum::of(ty, *value)]);
                }
                function.get().result(&state).value()
            }
        }
    };
    spec.aggregates.iter().map(result).collect()
}

fn number(ty: Type, value: Value) -> f64 {
    match ty {
        Type::Double => value.as_double().unwrap(),
        Type::Decimal(scale) => value.as_int().unwrap() as f64 / 10f64.powi(scale.into()),
        _ => value.as_int().unwrap() as f64,
    }
}

/// How far a value lies above another, without the rounding of large numbers.
fn above(ty: Type, base: Value, value: Value) -> f64 {
    match ty {
        Type::Double => value.as_double().unwrap() - base.as_double().unwrap(),
        _ => {
            let wide = |value: Value| i128::from(value.bits.cast_signed());
            let scale = if let Type::Decimal(scale) = ty { scale } else { 0 };
            (wide(value) - wide(base)) as f64 / 10f64.powi(scale.into())
        }
    }
}

fn sum(mean_of: bool, ty: Type, known: &[Value], numbers: &[f64]) -> Value {
    if known.is_empty() {
        return Value::NULL;
    }
    if ty == Type::Double {
        let sum: f64 = numbers.iter().sum();
        return Value::double(if mean_of { sum / numbers.len() as f64 } else { sum });
    }
    let sum: i128 = known.iter().map(|value| i128::from(value.as_int().unwrap())).sum();
    let fit = |sum: i128| i64::try_from(sum).map_or(Value::NULL, Value::int);
    match (mean_of, ty) {
        (false, _) => fit(sum),
        (true, Type::Int) => Value::double(sum as f64 / known.len() as f64),
        (true, _) => {
            // Scale 2 to scale 6, half away from zero.
            let (sum, n) = (sum * 10_000, known.len() as i128);
            fit((2 * sum.abs() + n) / (2 * n) * sum.signum())
        }
    }
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

fn spread(numbers: &[f64], less: usize) -> Option<f64> {
    if numbers.len() <= less {
        return None;
    }
    if numbers.iter().all(|&number| number == numbers[0]) {
        return Some(0.0);
    }
    let mean = mean(numbers);
    let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
    Some(squares / (numbers.len() - less) as f64)
}

fn correlation(spec: &Spec, rows: &[Row], x: usize, y: usize) -> Value {
    let both: Vec<&Row> =
        rows.iter().filter(|row| row.args[x].known && row.args[y].known).collect();
    let shifted = |arg: usize| -> Vec<f64> {
        both.iter().map(|row| above(spec.args[arg], both[0].args[arg], row.args[arg])).collect()
    };
    let (xs, ys) = (shifted(x), shifted(y));
    let (Some(vx), Some(vy)) = (spread(&xs, 1), spread(&ys, 1)) else { return Value::NULL };
    if vx == 0.0 || vy == 0.0 {
        return Value::NULL;
    }
    let (mx, my) = (mean(&xs), mean(&ys));
    let products: f64 = xs.iter().zip(&ys).map(|(x, y)| (x - mx) * (y - my)).sum();
    Value::double(products / (xs.len() - 1) as f64 / (vx.sqrt() * vy.sqrt()))
}

fn average(ty: Type, arg: usize, half_life: f64, history: &History) -> Value {
    let newest = history.iter().map(|(ts, _)| *ts).max().unwrap_or(0);
    let (mut sum, mut weight) = (0.0, 0.0);
    for (ts, args) in history {
        if args[arg].known {
            if number(ty, args[arg]).abs() > 1e15 {
                // Its rounding would drown the others.
                return Value::NULL;
            }
            let one = (-((newest - ts) as f64) / half_life).exp2();
            sum += one * number(ty, args[arg]);
            weight += one;
        }
    }
    Value::double(sum / weight)
}

/// Equal, or for doubles close: the oracle rounds at every step.
pub(in crate::rules) fn assert_same(spec: &Spec, got: &[Value], expect: &[Value]) {
    for ((aggregate, &got), &expect) in spec.aggregates.iter().zip(got).zip(expect) {
        if let Function::Ewma(_) = aggregate.function
            && !expect.known
        {
            // The oracle has no history where windows gave way, nor weights below a double's.
            continue;
        }
        let close = match (aggregate.result_type(), got.as_double(), expect.as_double()) {
            (Type::Double, Some(got), Some(expect)) => {
                (got - expect).abs() <= 1e-9 * (1.0 + got.abs().max(expect.abs()))
            }
            _ => got == expect,
        };
        assert!(close, "{aggregate:?}: {got:?}, expected {expect:?}");
    }
}
