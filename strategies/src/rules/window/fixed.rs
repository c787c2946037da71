//! Wide fixed point: sums of numbers, of squares and of products that are the same in any order and
//! can be taken back without a trace.
//!
//! A number is a whole count of units of `2^-64k`, in 64-bit words, least first, two's complement.
//! A value is cut to whole units when it is added, so that taking it back restores every bit.
//!
//! Invariant: with values below [`EXPONENT_MAX`] and at most 2^32 of them no sum overflows:
//! sums take 4 words of unit 2^-128, sums of squares and products 6 words of unit 2^-192.

use crate::rules::types::Type;

/// Words of a sum.
pub(in crate::rules) const SUM: usize = 4;
/// Words of a sum of squares or products.
pub(in crate::rules) const SQUARE: usize = 6;
/// Exponent of a sum's unit.
pub(in crate::rules) const SUM_UNIT: i32 = -128;
/// Exponent of a square's unit.
pub(in crate::rules) const SQUARE_UNIT: i32 = -192;
/// Values of 2^this and more are not summed.
pub(in crate::rules) const EXPONENT_MAX: i32 = 94;

/// A number as sign, significand and exponent of 2.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(in crate::rules) struct Number {
    pub(in crate::rules) negative: bool,
    pub(in crate::rules) significand: u64,
    pub(in crate::rules) exponent: i32,
}

impl Number {
    /// Of a value; `None` if it is too large. A decimal is its count of last digits.
    #[inline]
    pub(in crate::rules) fn of(ty: Type, bits: u64) -> Option<Self> {
        if ty != Type::Double {
            let value = bits.cast_signed();
            let (negative, significand) = (value < 0, value.unsigned_abs());
            return Some(Self { negative, significand, exponent: 0 });
        }
        let biased = (bits >> 52 & 0x7FF) as i32;
        let fraction = bits & ((1 << 52) - 1);
        if biased - 1023 >= EXPONENT_MAX {
            return None;
        }
        let normal = biased != 0;
        let significand = if normal { fraction | 1 << 52 } else { fraction };
        let exponent = if normal { biased - 1075 } else { -1074 };
        Some(Self { negative: bits >> 63 != 0, significand, exponent })
    }

    /// The product of two, as sign, significand and exponent.
    #[inline]
    pub(in crate::rules) fn times(self, other: Self) -> (bool, u128, i32) {
        let significand = u128::from(self.significand) * u128::from(other.significand);
        (self.negative != other.negative, significand, self.exponent + other.exponent)
    }
}

/// Adds `significand * 2^exponent`, cut to whole units, or takes it away.
#[inline]
pub(in crate::rules) fn add(
    sum: &mut [u64],
    unit: i32,
    minus: bool,
    significand: u128,
    exponent: i32,
) {
    let shift = exponent - unit;
    let (significand, shift) = if shift >= 0 {
        (significand, shift.unsigned_abs())
    } else if shift > -128 {
        (significand >> -shift, 0)
    } else {
        return;
    };
    let (limb, bit) = ((shift / 64) as usize, shift % 64);
    let low = significand << bit;
    let high = if bit == 0 { 0 } else { (significand >> (128 - bit)) as u64 };
    let parts = [low as u64, (low >> 64) as u64, high];
    let mut carry = false;
    for (i, word) in sum.iter_mut().skip(limb).enumerate() {
        let part = parts.get(i).copied().unwrap_or(0);
        if i >= parts.len() && !carry {
            break;
        }
        let (value, first) =
            if minus { word.overflowing_sub(part) } else { word.overflowing_add(part) };
        let (value, second) = if minus {
            value.overflowing_sub(u64::from(carry))
        } else {
            value.overflowing_add(u64::from(carry))
        };
        *word = value;
        carry = first || second;
    }
}

/// Adds a sum of the same unit to another.
pub(in crate::rules) fn add_all(sum: &mut [u64], other: &[u64]) {
    let mut carry = false;
    for (word, &part) in sum.iter_mut().zip(other) {
        let (value, first) = word.overflowing_add(part);
        let (value, second) = value.overflowing_add(u64::from(carry));
        *word = value;
        carry = first || second;
    }
}

fn is_negative(sum: &[u64]) -> bool {
    sum.last().is_some_and(|word| word >> 63 != 0)
}

fn negate(sum: &mut [u64]) {
    let mut carry = true;
    for word in sum {
        (*word, carry) = (!*word).overflowing_add(u64::from(carry));
    }
}

/// The nearest double.
pub(in crate::rules) fn to_f64<const N: usize>(sum: &[u64; N], unit: i32) -> f64 {
    let mut sum = *sum;
    let negative = is_negative(&sum);
    if negative {
        negate(&mut sum);
    }
    let Some(top) = sum.iter().rposition(|&word| word != 0) else { return 0.0 };
    let word = |i: usize| if i <= top { sum[top - i] } else { 0 };
    let shift = word(0).leading_zeros();
    let wide = u128::from(word(0)) << 64 | u128::from(word(1));
    let next = if shift == 0 { 0 } else { word(2) >> (64 - shift) };
    let wide = wide << shift | u128::from(next);
    // Whatever lies below only matters if the rest is a tie: one bit stands for it.
    let below = word(2) << shift != 0 || (3..=top).any(|i| word(i) != 0);
    let value = (wide | u128::from(below)) as f64;
    let exponent = 64 * (top as i32 - 1) + unit - shift as i32;
    let value = value * power_of_two(exponent);
    if negative { -value } else { value }
}

/// `2^exponent`, for exponents of normal doubles.
pub(in crate::rules) fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent.clamp(-1022, 1023) + 1023) as u64) << 52)
}

/// The first words, or as many more of the sign.
fn extend<const N: usize>(sum: &[u64]) -> [u64; N] {
    let sign = if is_negative(sum) { u64::MAX } else { 0 };
    let mut wide = [sign; N];
    wide[..sum.len()].copy_from_slice(sum);
    wide
}

fn scale<const N: usize>(sum: &mut [u64; N], by: u64) {
    let mut carry = 0;
    for word in sum {
        let product = u128::from(*word) * u128::from(by) + carry;
        *word = product as u64;
        carry = product >> 64;
    }
}

fn subtract<const N: usize>(from: &mut [u64; N], sum: &[u64; N]) {
    let mut borrow = false;
    for (word, &part) in from.iter_mut().zip(sum) {
        let (value, first) = word.overflowing_sub(part);
        let (value, second) = value.overflowing_sub(u64::from(borrow));
        *word = value;
        borrow = first || second;
    }
}

/// The product of two sums, in units of 2^-192.
fn product(x: &[u64], y: &[u64]) -> [u64; 7] {
    let absolute = |sum: &[u64]| -> ([u64; SUM], bool) {
        let mut words = extend::<SUM>(sum);
        let negative = is_negative(&words);
        if negative {
            negate(&mut words);
        }
        (words, negative)
    };
    let ((x, x_negative), (y, y_negative)) = (absolute(x), absolute(y));
    let mut wide = [0u64; 2 * SUM];
    for (i, &a) in x.iter().enumerate() {
        let mut carry = 0u128;
        for (j, &b) in y.iter().enumerate() {
            let sum = u128::from(a) * u128::from(b) + u128::from(wide[i + j]) + carry;
            wide[i + j] = sum as u64;
            carry = sum >> 64;
        }
        wide[i + SUM] = carry as u64;
    }
    let mut result = [0; 7];
    result.copy_from_slice(&wide[1..]);
    if x_negative != y_negative {
        negate(&mut result);
    }
    result
}

/// `n * sum(x y) - sum(x) * sum(y)`: n^2 times the covariance, without cancellation.
pub(in crate::rules) fn covariance(n: u64, xy: &[u64], x: &[u64], y: &[u64]) -> f64 {
    let mut left = extend::<7>(xy);
    scale(&mut left, n);
    subtract(&mut left, &product(x, y));
    to_f64(&left, SQUARE_UNIT)
}

/// `n * value - sum`: n times how far a value is from the mean.
pub(in crate::rules) fn deviation(n: u64, value: Number, sum: &[u64]) -> f64 {
    let mut left = [0; SUM + 1];
    let significand = u128::from(value.significand);
    add(&mut left, SUM_UNIT, value.negative, significand, value.exponent);
    scale(&mut left, n);
    subtract(&mut left, &extend(sum));
    to_f64(&left, SUM_UNIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum_of(values: &[f64]) -> [u64; SUM] {
        let mut sum = [0; SUM];
        for value in values {
            let number = Number::of(Type::Double, value.to_bits()).unwrap();
            let significand = u128::from(number.significand);
            add(&mut sum, SUM_UNIT, number.negative, significand, number.exponent);
        }
        sum
    }

    #[test]
    fn sums_are_rounded_once() {
        let tenths = to_f64(&sum_of(&[0.1; 10]), SUM_UNIT);
        assert_eq!(tenths, 1.0, "ten times the double 0.1 rounds to 1");
        let cancelled = to_f64(&sum_of(&[1e28, 1e-9, -1e28]), SUM_UNIT);
        assert_eq!(cancelled, 1e-9);
        assert!(Number::of(Type::Double, 1e29f64.to_bits()).is_none());
    }

    proptest! {
        #[test]
        fn a_double_comes_back(value in -1e28f64..1e28, small in -1.0f64..1.0) {
            for value in [value, small, 1.0 / (value.abs() + 1e3), small * 1e-6] {
                if value.abs() > 1e-20 {
                    prop_assert_eq!(to_f64(&sum_of(&[value]), SUM_UNIT), value);
                }
            }
        }

        #[test]
        fn integers_sum_exactly(values in proptest::collection::vec(any::<i64>(), 0..50)) {
            let (mut sum, mut squares) = ([0; SUM], [0; SQUARE]);
            for &value in &values {
                let number = Number::of(Type::Int, value.cast_unsigned()).unwrap();
                add(&mut sum, SUM_UNIT, number.negative, number.significand.into(), 0);
                let (minus, significand, exponent) = number.times(number);
                add(&mut squares, SQUARE_UNIT, minus, significand, exponent);
            }
            let exact: i128 = values.iter().map(|&value| i128::from(value)).sum();
            prop_assert_eq!(to_f64(&sum, SUM_UNIT), exact as f64);
            // Retraction leaves nothing.
            for &value in values.iter().rev() {
                let number = Number::of(Type::Int, value.cast_unsigned()).unwrap();
                add(&mut sum, SUM_UNIT, !number.negative, number.significand.into(), 0);
            }
            prop_assert_eq!(sum, [0; SUM]);
            if values.len() == 2 {
                let difference = i128::from(values[0]) - i128::from(values[1]);
                let x = sum_of_ints(&values);
                let expect = (difference.unsigned_abs() as f64).powi(2);
                let got = covariance(2, &squares, &x, &x);
                prop_assert!((got - expect).abs() <= expect * 1e-15);
            }
        }
    }

    fn sum_of_ints(values: &[i64]) -> [u64; SUM] {
        let mut sum = [0; SUM];
        for &value in values {
            let number = Number::of(Type::Int, value.cast_unsigned()).unwrap();
            add(&mut sum, SUM_UNIT, number.negative, number.significand.into(), 0);
        }
        sum
    }
}
