//! An estimate of how many different values there were: HyperLogLog.
//!
//! [Flajolet, Fusy, Gandouet & Meunier, "HyperLogLog", AofA 2007], with the count of empty
//! registers for small numbers. The sum over registers is kept up to date, so reading costs no
//! loop.
//!
//! ```text
//! word 0                            1                  2 .. 66
//! [registers minus their sum]  [registers hit]  [512 ranks of a byte]
//! ```
//!
//! Invariant: all zero is the state of no values.

use super::keys::mix;

/// Registers, a power of two.
const COUNT: usize = 512;
/// Rank at most: the sum counts in units of 2^-54.
const RANK_MAX: u32 = 54;
/// Words of the state.
pub(in crate::rules) const WORDS: usize = 2 + COUNT / 8;

/// Expected values until so many registers are hit, as in collecting coupons.
const DRAWN: [f64; COUNT + 1] = {
    let mut drawn = [0.0; COUNT + 1];
    let mut hit = 0;
    while hit < COUNT {
        drawn[hit + 1] = drawn[hit] + COUNT as f64 / (COUNT - hit) as f64;
        hit += 1;
    }
    drawn
};

/// Notes a value.
pub(in crate::rules) fn add(state: &mut [u64], value: u64) {
    let hash = mix(mix(value));
    let register = hash as usize % COUNT;
    let rank = ((hash & !(COUNT as u64 - 1)).leading_zeros() + 1).min(RANK_MAX);
    let (at, shift) = (2 + register / 8, register % 8 * 8);
    let old = (state[at] >> shift & 0xFF) as u32;
    if rank <= old {
        return;
    }
    state[at] = state[at] & !(0xFF << shift) | u64::from(rank) << shift;
    let part = |rank: u32| 1u64 << (RANK_MAX - rank.min(RANK_MAX));
    state[0] = state[0].wrapping_add(part(old) - part(rank));
    state[1] = state[1].wrapping_add(u64::from(old == 0));
}

/// Notes every value that another state noted.
pub(in crate::rules) fn merge(state: &mut [u64], other: &[u64]) {
    let part = |rank: u32| 1u64 << (RANK_MAX - rank.min(RANK_MAX));
    for register in 0..COUNT {
        let (at, shift) = (2 + register / 8, register % 8 * 8);
        let rank = |words: &[u64]| (words[at] >> shift & 0xFF) as u32;
        let (old, new) = (rank(state), rank(other));
        if new > old {
            state[at] = state[at] & !(0xFF << shift) | u64::from(new) << shift;
            state[0] = state[0].wrapping_add(part(old) - part(new));
            state[1] = state[1].wrapping_add(u64::from(old == 0));
        }
    }
}

/// About how many different values were noted.
pub(in crate::rules) fn estimate(state: &[u64]) -> i64 {
    let unit = (1u64 << RANK_MAX) as f64;
    let count = COUNT as f64;
    let sum = (((COUNT as u64) << RANK_MAX).wrapping_sub(state[0])) as f64 / unit;
    let raw = 0.7213 / (1.0 + 1.079 / count) * count * count / sum.max(1e-9);
    let hit = state[1].min(COUNT as u64) as usize;
    if raw > 2.5 * count || hit == COUNT {
        return raw.round() as i64;
    }
    DRAWN[hit].round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_as_promised() {
        for count in [0u64, 1, 2, 10, 100, 1_000, 10_000, 1_000_000] {
            let mut state = [0; WORDS];
            for value in 0..count {
                add(&mut state, value.wrapping_mul(0x1_0001));
                add(&mut state, value.wrapping_mul(0x1_0001));
            }
            let error = (estimate(&state) as f64 - count as f64).abs();
            assert!(error <= 3.0 * 0.046 * count as f64, "{count}: {}", estimate(&state));
            assert!(count > 10 || error == 0.0, "{count}: {}", estimate(&state));
        }
    }
}
