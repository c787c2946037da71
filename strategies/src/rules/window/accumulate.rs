//! Takes rows into a key's sums and out of them.
//!
//! Invariant: what is taken in and out again leaves every word as it was.

use super::distinct::Distinct;
use super::extremes::order;
use super::fixed::{self, Number, SQUARE, SQUARE_UNIT, SUM, SUM_UNIT, power_of_two};
use super::plan::{Kind, Moving, Sum, scale};
use super::registers;
use super::sketch::{Sketch, bucket};
use crate::functions::{AGGREGATE_ARGS_MAX, Datum};
use crate::rules::types::{Type, Value};

/// What the sums of all keys share.
pub(in crate::rules) struct Pools {
    pub(super) tables: Vec<Distinct>,
    pub(in crate::rules) sketches: Vec<Sketch>,
}

impl Pools {
    /// Without tables of distinct values.
    pub(in crate::rules) fn of_sketches(sketches: Vec<Sketch>) -> Self {
        Self { tables: Vec::new(), sketches }
    }
}

/// Takes a row in, or out.
#[inline]
pub(in crate::rules) fn apply<const OUT: bool>(
    sums: &[Sum],
    state: &mut [u64],
    pools: &mut Pools,
    args: &[u64],
    known: u64,
) {
    for sum in sums {
        if known >> sum.arg & 1 == 0 {
            continue;
        }
        let (bits, at) = (args[sum.arg], sum.at);
        match sum.kind {
            Kind::Known => {
                let one = if OUT { u64::MAX } else { 1 };
                state[at] = state[at].wrapping_add(one);
            }
            Kind::Sum => add_whole(&mut state[at..at + 2], bits.cast_signed(), OUT),
            kind => apply_rare::<OUT>(kind, sum, state, pools, args, known),
        }
    }
}

#[inline]
fn add_whole(words: &mut [u64], value: i64, out: bool) {
    let sum = whole(words);
    let value = i128::from(value);
    let sum = if out { sum.wrapping_sub(value) } else { sum.wrapping_add(value) };
    words[0] = sum as u64;
    words[1] = (sum >> 64) as u64;
}

/// A sum of whole numbers.
#[inline]
pub(in crate::rules) fn whole(words: &[u64]) -> i128 {
    (u128::from(words[0]) | u128::from(words[1]) << 64).cast_signed()
}

fn apply_rare<const OUT: bool>(
    kind: Kind,
    sum: &Sum,
    state: &mut [u64],
    pools: &mut Pools,
    args: &[u64],
    known: u64,
) {
    let (bits, at) = (args[sum.arg], sum.at);
    match kind {
        Kind::Known | Kind::Sum => {}
        Kind::Wide => match Number::of(sum.ty, bits) {
            Some(value) => add_wide(&mut state[at..at + SUM], value, OUT),
            None => tick(&mut state[at + SUM], OUT),
        },
        Kind::Square => {
            if let Some(value) = Number::of(sum.ty, bits) {
                add_product(&mut state[at..at + SQUARE], value, value, OUT);
            }
        }
        Kind::Pair(other, ty) => {
            if known >> other & 1 != 0 {
                add_pair(&mut state[at..], (sum.ty, ty), [bits, args[other]], OUT);
            }
        }
        Kind::Distinct(table) => {
            let table = &mut pools.tables[table];
            if OUT { table.retract(&mut state[at], bits) } else { table.add(&mut state[at], bits) }
        }
        Kind::Buckets(sketch) => {
            let (sketch, bucket) = (&mut pools.sketches[sketch], bucket(sum.ty, bits));
            let root = state[at] as u32;
            let root = if OUT { sketch.retract(root, bucket) } else { sketch.add(root, bucket, 1) };
            state[at] = root.into();
        }
        Kind::Registers => registers::add(&mut state[at..at + registers::WORDS], bits),
        Kind::Custom(function, other) => {
            let (function, mut row) = (function.get(), [Datum::Null; AGGREGATE_ARGS_MAX]);
            let types = function.signature().args;
            for ((datum, &ty), place) in row.iter_mut().zip(types).zip([Some(sum.arg), other]) {
                let Some(place) = place.filter(|place| known >> place & 1 != 0) else { return };
                *datum = Datum::of(ty, Value { bits: args[place], known: true });
            }
            let (row, state) = (&row[..types.len()], &mut state[at..at + function.words()]);
            if OUT { function.remove(state, row) } else { function.add(state, row) }
        }
        // `Known` was counted before: it is 1 for the first value.
        Kind::Best(_) | Kind::First | Kind::Edge(_) => {}
    }
}

/// Takes a row into the greatest, least and first values of an unbounded frame.
pub(in crate::rules) fn apply_best(sums: &[Sum], state: &mut [u64], first: bool, args: &[Value]) {
    for sum in sums {
        let (value, at) = (args[sum.arg], sum.at);
        match sum.kind {
            // Zero is below every order that a known value is given here.
            Kind::Best(greatest) if value.known => {
                let order = order(sum.ty, value.bits);
                let order = if greatest { order } else { !order };
                state[at] = state[at].max(order);
            }
            Kind::First if first => {
                state[at] = 1 | u64::from(value.known) << 1;
                state[at + 1] = value.bits;
            }
            _ => {}
        }
    }
}

fn tick(word: &mut u64, out: bool) {
    *word = if out { word.wrapping_sub(1) } else { word.wrapping_add(1) };
}

fn add_wide(sum: &mut [u64], value: Number, out: bool) {
    let significand = u128::from(value.significand);
    fixed::add(sum, SUM_UNIT, value.negative != out, significand, value.exponent);
}

fn add_product(sum: &mut [u64], x: Number, y: Number, out: bool) {
    let (negative, significand, exponent) = x.times(y);
    fixed::add(sum, SQUARE_UNIT, negative != out, significand, exponent);
}

/// The words of a pair's sums after its two counts: x, y, x^2, y^2, x y.
pub(in crate::rules) const PAIR: [usize; 5] =
    [2, 2 + SUM, 2 + 2 * SUM, 2 + 2 * SUM + SQUARE, 2 + 2 * SUM + 2 * SQUARE];

fn add_pair(state: &mut [u64], types: (Type, Type), pair: [u64; 2], out: bool) {
    let values = (Number::of(types.0, pair[0]), Number::of(types.1, pair[1]));
    tick(&mut state[0], out);
    let (Some(x), Some(y)) = values else { return tick(&mut state[1], out) };
    for (at, value) in [(PAIR[0], x), (PAIR[1], y)] {
        add_wide(&mut state[at..at + SUM], value, out);
    }
    for (at, a, b) in [(PAIR[2], x, x), (PAIR[3], y, y), (PAIR[4], x, y)] {
        add_product(&mut state[at..at + SQUARE], a, b, out);
    }
}

/// Takes the sums of other rows in: what their rows, taken in one by one, would have led to. Values
/// of tables and sketches are the caller's.
pub(in crate::rules) fn merge(sums: &[Sum], into: &mut [u64], from: &[u64]) {
    for sum in sums {
        let at = sum.at;
        let wide = |into: &mut [u64], at: usize, words: usize| {
            fixed::add_all(&mut into[at..at + words], &from[at..at + words]);
        };
        match sum.kind {
            Kind::Known => into[at] = into[at].wrapping_add(from[at]),
            Kind::Sum => {
                let all = whole(&into[at..]).wrapping_add(whole(&from[at..]));
                (into[at], into[at + 1]) = (all as u64, (all >> 64) as u64);
            }
            Kind::Wide => {
                wide(into, at, SUM);
                into[at + SUM] = into[at + SUM].wrapping_add(from[at + SUM]);
            }
            Kind::Square => wide(into, at, SQUARE),
            Kind::Pair(..) => {
                for count in [at, at + 1] {
                    into[count] = into[count].wrapping_add(from[count]);
                }
                PAIR[..2].iter().for_each(|part| wide(into, at + part, SUM));
                PAIR[2..].iter().for_each(|part| wide(into, at + part, SQUARE));
            }
            Kind::Registers => {
                let words = at..at + registers::WORDS;
                registers::merge(&mut into[words.clone()], &from[words]);
            }
            Kind::Custom(function, _) => {
                let words = at..at + function.get().words();
                function.get().merge(&mut into[words.clone()], &from[words]);
            }
            Kind::Best(_) => into[at] = into[at].max(from[at]),
            Kind::Edge(last) => {
                if is_edge(last, &into[at..], from[at + 1]) && from[at] != 0 {
                    into[at..at + 3].copy_from_slice(&from[at..at + 3]);
                }
            }
            Kind::Distinct(_) | Kind::Buckets(_) | Kind::First => {}
        }
    }
}

/// Takes a row into the greatest, least, first and last values of a group.
pub(in crate::rules) fn apply_edges(
    sums: &[Sum],
    state: &mut [u64],
    ts: u64,
    args: &[u64],
    known: u64,
) {
    for sum in sums {
        let (bits, at, known) = (args[sum.arg], sum.at, known >> sum.arg & 1);
        match sum.kind {
            Kind::Best(greatest) if known != 0 => {
                let order = order(sum.ty, bits);
                state[at] = state[at].max(if greatest { order } else { !order });
            }
            Kind::Edge(last) if is_edge(last, &state[at..], ts) => {
                state[at..at + 3].copy_from_slice(&[1 | known << 1, ts, bits]);
            }
            _ => {}
        }
    }
}

/// Whether a row of this time is before the first, or not before the last.
fn is_edge(last: bool, state: &[u64], ts: u64) -> bool {
    state[0] == 0 || if last { ts >= state[1] } else { ts < state[1] }
}

/// A number as a double.
pub(in crate::rules) fn as_f64(ty: Type, bits: u64) -> f64 {
    match ty {
        Type::Double => f64::from_bits(bits),
        _ => bits.cast_signed() as f64 / ten_to(scale(ty)),
    }
}

/// `10^scale`, exact.
pub(in crate::rules) fn ten_to(scale: u8) -> f64 {
    10u64.saturating_pow(scale.into()) as f64
}

/// A row's time against the newest of its key: one of the two is 0.
#[derive(Copy, Clone, Default)]
pub(in crate::rules) struct Since {
    /// Nanoseconds that it is newer.
    passed: u64,
    /// Nanoseconds that it is older.
    age: u64,
}

impl Since {
    pub(in crate::rules) fn of(newest: u64, ts: u64) -> Self {
        Self { passed: ts.saturating_sub(newest), age: newest.saturating_sub(ts) }
    }
}

/// Takes a row into the moving averages.
pub(in crate::rules) fn average(
    moving: &[Moving],
    state: &mut [u64],
    args: &[Value],
    since: Since,
) {
    for moving in moving {
        let read = |at: usize| f64::from_bits(state[at]);
        let fade = half_to(since.passed as f64 / moving.half_life);
        let (mut sum, mut weight) = (read(moving.at) * fade, read(moving.at + 1) * fade);
        let value = args[moving.arg];
        let number = as_f64(moving.ty, value.bits);
        // An infinite sum would never fade.
        if value.known && number.abs() < power_of_two(fixed::EXPONENT_MAX) {
            let one = half_to(since.age as f64 / moving.half_life);
            sum += one * number;
            weight += one;
        }
        state[moving.at] = sum.to_bits();
        state[moving.at + 1] = weight.to_bits();
    }
}

/// `2^-x` for `x >= 0`: the same bits on every machine, which a library's function is not.
fn half_to(x: f64) -> f64 {
    if x.is_nan() || x > 1000.0 {
        return 0.0;
    }
    let whole = x.floor();
    let y = -(x - whole) * std::f64::consts::LN_2;
    let series = (1..=18).rev().fold(1.0, |sum, i| 1.0 + sum * y / f64::from(i));
    series * power_of_two(-(whole as i32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_exact_and_the_rest_close() {
        assert_eq!((half_to(0.0), half_to(1.0), half_to(10.0)), (1.0, 0.5, 1.0 / 1024.0));
        for i in 0..5000 {
            let x = f64::from(i) * 0.01;
            assert!((half_to(x) / (-x).exp2() - 1.0).abs() < 4e-16, "{x}");
        }
        assert_eq!(half_to(f64::INFINITY), 0.0);
    }
}
