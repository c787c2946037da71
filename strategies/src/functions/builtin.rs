//! The functions that come with the engine and need nothing that others could not have.
//!
//! Invariant: sums are of whole numbers, so that what is taken in and out again leaves no trace.

use super::{AggregateFunction, Datum, ScalarFunction, Signature};
use crate::rules::types::Type;

/// The scalar ones.
pub(super) const SCALARS: &[&dyn ScalarFunction] = &[&Haversine];
/// The aggregates.
pub(super) const AGGREGATES: &[&dyn AggregateFunction] = &[&Vwap];

/// Kilometres: the mean radius of the Earth (IUGG).
const EARTH_RADIUS_KM: f64 = 6_371.008_8;

/// The distance of two places along a great circle.
struct Haversine;

impl ScalarFunction for Haversine {
    fn signature(&self) -> Signature {
        Signature {
            name: "haversine_km",
            args: &[Type::Double; 4],
            result: Type::Double,
            doc: "Kilometres between two places: latitude and longitude in degrees, twice.",
        }
    }

    fn call(&self, args: &[Datum<'_>]) -> Datum<'static> {
        let &[
            Datum::Double(lat_a),
            Datum::Double(lon_a),
            Datum::Double(lat_b),
            Datum::Double(lon_b),
        ] = args
        else {
            return Datum::Null;
        };
        let half = |a: f64, b: f64| ((b - a).to_radians() / 2.0).sin().powi(2);
        let cosines = lat_a.to_radians().cos() * lat_b.to_radians().cos();
        let chord = half(lat_a, lat_b) + cosines * half(lon_a, lon_b);
        Datum::Double(2.0 * EARTH_RADIUS_KM * chord.clamp(0.0, 1.0).sqrt().asin())
    }
}

/// The mean price weighted by quantity.
///
/// State: the sum of price times quantity (128 bits), the sum of quantities.
struct Vwap;

impl Vwap {
    fn change(state: &mut [u64], args: &[Datum<'_>], apply: fn(i128, i128) -> i128) {
        let (&[Datum::Int(price), Datum::Int(quantity)], [low, high, total]) = (args, state) else {
            return;
        };
        let sum = apply(whole(*low, *high), i128::from(price) * i128::from(quantity));
        (*low, *high) = (sum as u64, (sum >> 64) as u64);
        *total = apply(i128::from(*total), i128::from(quantity)) as u64;
    }
}

fn whole(low: u64, high: u64) -> i128 {
    (u128::from(low) | u128::from(high) << 64).cast_signed()
}

impl AggregateFunction for Vwap {
    fn signature(&self) -> Signature {
        Signature {
            name: "vwap",
            args: &[Type::Decimal(9), Type::Int],
            result: Type::Decimal(9),
            doc: "The mean price weighted by quantity; NULL if the quantities add up to nothing.",
        }
    }

    fn words(&self) -> usize {
        3
    }

    fn add(&self, state: &mut [u64], args: &[Datum<'_>]) {
        Self::change(state, args, i128::wrapping_add);
    }

    fn remove(&self, state: &mut [u64], args: &[Datum<'_>]) {
        Self::change(state, args, i128::wrapping_sub);
    }

    fn merge(&self, state: &mut [u64], other: &[u64]) {
        if let ([low, high, total], &[other_low, other_high, other_total]) = (state, other) {
            let sum = whole(*low, *high).wrapping_add(whole(other_low, other_high));
            (*low, *high) = (sum as u64, (sum >> 64) as u64);
            *total = total.wrapping_add(other_total);
        }
    }

    fn result(&self, state: &[u64]) -> Datum<'static> {
        let &[low, high, total] = state else { return Datum::Null };
        let mean = whole(low, high).checked_div(i128::from(total.cast_signed()));
        mean.and_then(|mean| i64::try_from(mean).ok()).map_or(Datum::Null, Datum::Int)
    }
}
