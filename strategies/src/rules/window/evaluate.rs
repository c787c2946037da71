//! Reads results from a key's state.
//!
//! Invariant: nothing is changed but the count of results that their type cannot hold.

use super::accumulate::{PAIR, ten_to, whole};
use super::extremes::front;
use super::fixed::{Number, SQUARE, SUM, SUM_UNIT, covariance, deviation, to_f64};
use super::plan::{Plan, Reading, scale};
use super::rows::{Row, Rows};
use super::sketch::{Sketch, representative};
use super::spec::Function;
use super::{extremes, registers};
use crate::rules::types::{Type, Value};

/// A frame as its last row sees it.
pub(in crate::rules) struct View<'a> {
    pub(in crate::rules) plan: &'a Plan,
    pub(in crate::rules) state: &'a [u64],
    pub(in crate::rules) rows: &'a Rows,
    pub(in crate::rules) sketches: &'a [Sketch],
    /// Rows in the frame.
    pub(in crate::rules) count: u64,
    /// The first of them, if rows are kept.
    pub(in crate::rules) first: Row,
    /// The last: the row that asks.
    pub(in crate::rules) current: Row,
    /// Its arguments.
    pub(in crate::rules) args: &'a [Value],
    /// The extremes of a late row's frame, by queue.
    pub(in crate::rules) found: Option<&'a [Option<u64>]>,
}

impl View<'_> {
    /// Every result; how many did not fit their type.
    #[inline]
    pub(in crate::rules) fn read(&self, out: &mut [Value]) -> u64 {
        let mut overflows = 0;
        for (reading, out) in self.plan.readings.iter().zip(out) {
            *out = match reading.function {
                Function::Count if reading.has_arg => self.known(reading),
                Function::Count | Function::RowNumber => Value::int(self.count.cast_signed()),
                Function::Sum if reading.ty != Type::Double => self.sum(reading, &mut overflows),
                _ => self.read_rare(reading, &mut overflows),
            };
        }
        overflows
    }

    #[inline]
    fn known(&self, reading: &Reading) -> Value {
        Value::int(self.state[reading.known].cast_signed())
    }

    #[inline]
    fn sum(&self, reading: &Reading, overflows: &mut u64) -> Value {
        if self.state[reading.known] == 0 {
            return Value::NULL;
        }
        fit(whole(&self.state[reading.at..reading.at + 2]), overflows)
    }

    fn read_rare(&self, reading: &Reading, overflows: &mut u64) -> Value {
        use Function as F;
        let at = reading.at;
        match reading.function {
            F::Count | F::RowNumber | F::CountDistinct | F::ApproxCountDistinct => {
                self.distinct(reading)
            }
            F::Sum | F::Avg => self.mean(reading, overflows),
            F::Min | F::Max if self.plan.bounded => self.extreme(at),
            F::Min | F::Max => self.best(reading),
            F::StddevSamp | F::StddevPop | F::VarSamp | F::VarPop | F::ZScore => {
                self.spread(reading, overflows)
            }
            F::FirstValue | F::LastValue if self.plan.grouped => {
                Value { bits: self.state[at + 2], known: self.state[at] & 2 != 0 }
            }
            F::FirstValue if self.plan.bounded => self.rows.value(self.first, reading.arg),
            F::FirstValue => Value { bits: self.state[at + 1], known: self.state[at] & 2 != 0 },
            F::LastValue => self.args[reading.arg],
            F::Lag(rows) => self.lag(reading.arg, rows),
            F::Percentile(p) => {
                let bucket = self.sketches[reading.more].quantile(self.state[at] as u32, p);
                let bits = bucket.map(|bucket| representative(reading.ty, bucket));
                bits.map_or(Value::NULL, |bits| Value { bits, known: true })
            }
            F::Ewma(_) => {
                let read = |at: usize| f64::from_bits(self.state[at]);
                Value::double(read(at) / read(at + 1))
            }
            F::Corr => self.correlation(at, overflows),
            F::Custom(function) => {
                let function = function.get();
                function.result(&self.state[at..at + function.words()]).value()
            }
        }
    }

    fn distinct(&self, reading: &Reading) -> Value {
        let at = reading.at;
        if reading.function == Function::ApproxCountDistinct && !self.plan.bounded {
            return Value::int(registers::estimate(&self.state[at..at + registers::WORDS]));
        }
        Value::int(i64::from(self.state[at] as u32))
    }

    /// Sums of doubles, means.
    fn mean(&self, reading: &Reading, overflows: &mut u64) -> Value {
        let (known, at) = (self.state[reading.known], reading.at);
        if known == 0 {
            return Value::NULL;
        }
        if reading.ty == Type::Double {
            if self.state[at + SUM] != 0 {
                *overflows += 1;
                return Value::NULL;
            }
            let sum = to_f64(&words::<SUM>(self.state, at), SUM_UNIT);
            let by = if reading.function == Function::Avg { known as f64 } else { 1.0 };
            return Value::double(sum / by);
        }
        let sum = whole(&self.state[at..at + 2]);
        match reading.ty {
            Type::Int => Value::double(sum as f64 / known as f64),
            ty => {
                let digits = match ty {
                    Type::Decimal(scale) => 6u8.saturating_sub(scale),
                    _ => 0,
                };
                let sum = sum.checked_mul(10i128.pow(digits.into())).unwrap_or(i128::MAX);
                let known = i128::from(known);
                let (quotient, rest) = (sum / known, sum % known);
                let up = i128::from(rest.unsigned_abs() * 2 >= known.unsigned_abs());
                fit(quotient + up * sum.signum(), overflows)
            }
        }
    }

    fn extreme(&self, queue: usize) -> Value {
        let bits = match self.found {
            Some(found) => found[queue],
            None => front(&self.plan.extremes[queue], self.rows, self.state).map(|(_, bits)| bits),
        };
        bits.map_or(Value::NULL, |bits| Value { bits, known: true })
    }

    fn best(&self, reading: &Reading) -> Value {
        if self.state[reading.known] == 0 {
            return Value::NULL;
        }
        let order = self.state[reading.at];
        let order = if reading.function == Function::Max { order } else { !order };
        Value { bits: extremes::unorder(reading.ty, order), known: true }
    }

    fn spread(&self, reading: &Reading, overflows: &mut u64) -> Value {
        let (n, at) = (self.state[reading.known], reading.at);
        let sample = !matches!(reading.function, Function::StddevPop | Function::VarPop);
        if n < 1 + u64::from(sample) {
            return Value::NULL;
        }
        if self.state[at + SUM] != 0 {
            *overflows += 1;
            return Value::NULL;
        }
        let sum = &self.state[at..at + SUM];
        let squares = &self.state[reading.more..reading.more + SQUARE];
        let degrees = if sample { n - 1 } else { n };
        let variance = covariance(n, squares, sum, sum) / (n as f64 * degrees as f64);
        let unit = ten_to(scale(reading.ty));
        match reading.function {
            Function::VarSamp | Function::VarPop => Value::double(variance / (unit * unit)),
            Function::StddevSamp | Function::StddevPop => Value::double(variance.sqrt() / unit),
            _ => {
                let value = self.args[reading.arg];
                let number = Number::of(reading.ty, value.bits).filter(|_| value.known);
                let Some(number) = number.filter(|_| variance > 0.0) else { return Value::NULL };
                Value::double(deviation(n, number, sum) / n as f64 / variance.sqrt())
            }
        }
    }

    fn lag(&self, arg: usize, rows: u32) -> Value {
        if u64::from(rows) >= self.count {
            return Value::NULL;
        }
        // The first row of the frame is at hand.
        if u64::from(rows) == self.count - 1 {
            return self.rows.value(self.first, arg);
        }
        let row = (0..rows).fold(self.current, |row, _| self.rows.prev(row));
        self.rows.value(row, arg)
    }

    fn correlation(&self, at: usize, overflows: &mut u64) -> Value {
        let (n, large) = (self.state[at], self.state[at + 1]);
        if large != 0 {
            *overflows += 1;
            return Value::NULL;
        }
        let [x, y, xx, yy, xy] = PAIR.map(|part| &self.state[at + part..]);
        let (x, y) = (&x[..SUM], &y[..SUM]);
        let of = |products: &[u64], a: &[u64], b: &[u64]| covariance(n, &products[..SQUARE], a, b);
        let spread = of(xx, x, x).sqrt() * of(yy, y, y).sqrt();
        if n < 2 || spread <= 0.0 {
            return Value::NULL;
        }
        Value::double((of(xy, x, y) / spread).clamp(-1.0, 1.0))
    }
}

#[inline]
fn fit(sum: i128, overflows: &mut u64) -> Value {
    if let Ok(sum) = i64::try_from(sum) {
        return Value::int(sum);
    }
    *overflows += 1;
    Value::NULL
}

fn words<const N: usize>(state: &[u64], at: usize) -> [u64; N] {
    let mut words = [0; N];
    words.copy_from_slice(&state[at..at + N]);
    words
}
