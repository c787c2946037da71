//! Which instrument trades next: a Zipf-Mandelbrot law over activity ranks, drawn in constant time
//! by Walker's alias method [Vose, "A linear algorithm for generating random numbers with a given
//! distribution", 1991], in integers.
//!
//! Invariant: rank 0 is the most active; weights are `1 / (rank + 3)`, so of 2,000 instruments the
//! first takes about 5% of the messages and the first hundred half of them.

use super::rng::Rng;

/// Flattens the head of the law: the busiest instrument has 4/3 of the second's activity, not 2.
const SHIFT: u64 = 3;

/// One column of the alias table: `own` if the low random bits are under `below`, else `other`.
#[derive(Copy, Clone)]
struct Column {
    below: u32,
    other: u32,
}

/// Draws activity ranks.
pub(crate) struct Zipf {
    columns: Vec<Column>,
}

impl Zipf {
    pub(crate) fn new(count: u32) -> Self {
        assert!(count > 0, "a session has at least one instrument");
        let weights: Vec<u64> =
            (0..u64::from(count)).map(|rank| (1 << 40) / (rank + SHIFT)).collect();
        let total: u128 = weights.iter().map(|&w| u128::from(w)).sum();
        // `share` is a column's weight in units where the average is `total`.
        let mut share: Vec<u128> =
            weights.iter().map(|&w| u128::from(w) * u128::from(count)).collect();
        let mut columns: Vec<Column> =
            (0..count).map(|other| Column { below: u32::MAX, other }).collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) =
            (0..count).partition(|&i| share[i as usize] < total);
        while let (Some(&s), Some(&l)) = (small.last(), large.last()) {
            small.pop();
            let (s_at, l_at) = (s as usize, l as usize);
            let below = u32::try_from((share[s_at] << 32) / total).unwrap_or(u32::MAX);
            columns[s_at] = Column { below, other: l };
            share[l_at] -= total - share[s_at];
            if share[l_at] < total {
                large.pop();
                small.push(l);
            }
        }
        Self { columns }
    }

    /// A rank.
    #[inline]
    pub(crate) fn draw(&self, rng: &mut Rng) -> u32 {
        let bits = rng.bits();
        let own = (((bits >> 32) * self.columns.len() as u64) >> 32) as u32;
        let column = self.columns[own as usize];
        if (bits as u32) < column.below { own } else { column.other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_law() {
        let (zipf, mut rng) = (Zipf::new(2_000), Rng::new(5));
        let mut hits = vec![0u64; 2_000];
        for _ in 0..1_000_000 {
            hits[zipf.draw(&mut rng) as usize] += 1;
        }
        let norm: f64 = (0..2_000).map(|r| 1.0 / f64::from(r + 3)).sum();
        for rank in [0usize, 1, 10, 100] {
            let expected = 1_000_000.0 / (rank as f64 + 3.0) / norm;
            let error = (hits[rank] as f64 - expected).abs();
            assert!(error < 5.0 * expected.sqrt(), "rank {rank}: {} not {expected}", hits[rank]);
        }
        assert!(hits.iter().all(|&h| h > 0), "every instrument trades");
    }

    #[test]
    fn one_instrument_is_always_drawn() {
        assert_eq!(Zipf::new(1).draw(&mut Rng::new(1)), 0);
    }
}
