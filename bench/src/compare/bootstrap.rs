//! Bootstrap confidence intervals of ratios: of medians of rounds, and of percentiles of
//! histograms.
//!
//! Intervals that follow each other are alike, so they are not drawn one by one: whole rounds are,
//! or, in a run of few rounds, blocks of neighbours (circular block bootstrap, blocks of the cube
//! root of their number).
//!
//! Invariant: draws are seeded; the two runs are drawn from independently of each other.

use std::collections::BTreeMap;

use super::ROUNDS_MIN;
use crate::cep::events::Random;
use crate::results::Interval;
use crate::stat::median;

const DRAWS: usize = 2_000;
const SEED: u64 = 0x5eed;
/// Intervals that a run must have if it has few rounds.
const INTERVALS_MIN: usize = 10;

/// A ratio and the ends of its confidence interval.
pub(super) type Bounds = (f64, f64, f64);

/// The median of `new` over that of `old`.
pub(super) fn medians(old: &[f64], new: &[f64], confidence: f64) -> Bounds {
    let mut random = Random(SEED);
    let mut draw = |from: &[f64]| {
        let drawn = from.iter().map(|_| from[random.below(from.len() as u64) as usize]);
        median(drawn.collect())
    };
    let ratios = (0..DRAWS).map(|_| draw(new) / draw(old)).collect();
    let ratio = median(new.to_vec()) / median(old.to_vec());
    bounds(ratio, ratios, confidence)
}

/// Each quantile of `new` over that of `old`; `None` if either has too little to draw from.
pub(super) fn quantiles(
    old: &[Interval],
    new: &[Interval],
    quantiles: &[f64],
    confidence: f64,
) -> Option<Vec<Bounds>> {
    let (old, new) = (Drawn::new(old)?, Drawn::new(new)?);
    let mut random = Random(SEED);
    let mut ratios = vec![Vec::with_capacity(DRAWS); quantiles.len()];
    for _ in 0..DRAWS {
        let (old, new) = (old.draw(&mut random), new.draw(&mut random));
        for (ratios, quantile) in ratios.iter_mut().zip(quantiles) {
            ratios.push(new.at(*quantile) / old.at(*quantile));
        }
    }
    let (old, new) = (old.all(), new.all());
    let whole = quantiles.iter().map(|quantile| new.at(*quantile) / old.at(*quantile));
    Some(whole.zip(ratios).map(|(whole, ratios)| bounds(whole, ratios, confidence)).collect())
}

fn bounds(ratio: f64, mut ratios: Vec<f64>, confidence: f64) -> Bounds {
    ratios.sort_by(f64::total_cmp);
    let tail = ((1.0 - confidence) / 2.0 * ratios.len() as f64) as usize;
    (ratio, ratios[tail], ratios[ratios.len() - 1 - tail])
}

/// What a histogram's draws are made of: counts by value, of intervals or of whole rounds.
struct Drawn {
    values: Vec<f64>,
    /// Of each unit: places among the values, and counts.
    units: Vec<Vec<(usize, u64)>>,
    /// Neighbours that are drawn together.
    block: usize,
}

/// Counts by value.
struct Counts<'a> {
    values: &'a [f64],
    counts: Vec<u64>,
}

impl Drawn {
    fn new(intervals: &[Interval]) -> Option<Self> {
        let rounds = intervals.chunk_by(|a, b| a.round == b.round).count();
        let by_round = rounds >= ROUNDS_MIN;
        if !by_round && intervals.len() < INTERVALS_MIN {
            return None;
        }
        let mut units: Vec<BTreeMap<u64, u64>> = Vec::new();
        let mut last = None;
        for interval in intervals {
            if !by_round || last != Some(interval.round) {
                units.push(BTreeMap::new());
                last = Some(interval.round);
            }
            let histogram = interval.histogram.decode().ok()?;
            let unit = units.last_mut()?;
            for step in histogram.iter_recorded() {
                *unit.entry(step.value_iterated_to()).or_default() += step.count_at_value();
            }
        }
        units.retain(|unit| !unit.is_empty());
        if units.len() < ROUNDS_MIN {
            return None;
        }
        let mut places: BTreeMap<u64, usize> =
            units.iter().flat_map(|unit| unit.keys().map(|value| (*value, 0))).collect();
        places.values_mut().enumerate().for_each(|(i, place)| *place = i);
        let placed = |unit: &BTreeMap<u64, u64>| {
            unit.iter().map(|(value, count)| (places[value], *count)).collect()
        };
        let block = if by_round { 1 } else { (units.len() as f64).cbrt().ceil() as usize };
        Some(Self {
            values: places.keys().map(|value| *value as f64).collect(),
            units: units.iter().map(placed).collect(),
            block,
        })
    }

    fn draw(&self, random: &mut Random) -> Counts<'_> {
        let mut counts = vec![0; self.values.len()];
        let mut left = self.units.len();
        while left > 0 {
            let first = random.below(self.units.len() as u64) as usize;
            for i in 0..self.block.min(left) {
                add(&mut counts, &self.units[(first + i) % self.units.len()]);
            }
            left -= self.block.min(left);
        }
        Counts { values: &self.values, counts }
    }

    fn all(&self) -> Counts<'_> {
        let mut counts = vec![0; self.values.len()];
        self.units.iter().for_each(|unit| add(&mut counts, unit));
        Counts { values: &self.values, counts }
    }
}

fn add(counts: &mut [u64], unit: &[(usize, u64)]) {
    for &(place, count) in unit {
        counts[place] += count;
    }
}

impl Counts<'_> {
    fn at(&self, quantile: f64) -> f64 {
        let total: u64 = self.counts.iter().sum();
        let wanted = (quantile * total as f64).ceil() as u64;
        let mut seen = 0;
        let place = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted.max(1)
        });
        place.map_or(f64::NAN, |place| self.values[place])
    }
}
