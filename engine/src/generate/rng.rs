//! The generator's own random numbers: xoshiro256++ seeded by splitmix64.
//!
//! Invariant: integer arithmetic only, so a seed gives the same numbers on every machine and for
//! ever. Floating-point logarithms differ between C libraries; here they are fixed-point.

/// xoshiro256++ 1.0 [Blackman & Vigna, "Scrambled Linear Pseudorandom Number Generators", 2019].
pub(crate) struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// A generator whose four words are the first four outputs of splitmix64 from `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let mut x = seed;
        let state = std::array::from_fn(|_| {
            x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = x;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        });
        Self { state }
    }

    /// 64 random bits.
    #[inline]
    pub(crate) fn bits(&mut self) -> u64 {
        let s = &mut self.state;
        let out = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        out
    }

    /// A number in `0..n`; zero if `n` is zero. The bias of multiply-shift is under `n` in 2^32.
    #[inline]
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(n)) >> 32) as u32
    }

    /// A number in `low..=high`.
    #[inline]
    pub(crate) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low + 1)
    }

    /// True `per_1024` times in 1,024.
    #[inline]
    pub(crate) fn chance(&mut self, per_1024: u32) -> bool {
        ((self.bits() >> 54) as u32) < per_1024
    }

    /// One of `choices`, which must not be empty.
    #[inline]
    pub(crate) fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u32) as usize]
    }

    /// 0 half of the time, 1 a quarter of the time, and so on.
    #[inline]
    pub(crate) fn halvings(&mut self) -> u32 {
        self.bits().leading_zeros()
    }

    /// Exponentially distributed with this mean: `-ln(u)` in Q16, its mantissa's logarithm by a
    /// quadratic that is right to 0.9%.
    #[inline]
    pub(crate) fn exponential(&mut self, mean: u64) -> u64 {
        let u = self.bits() | 1;
        let zeros = u.leading_zeros();
        let f = ((u << zeros) << 1) >> 48;
        let log2_mantissa = f + ((f * (65_536 - f) * 22_713) >> 32);
        let negative_log2 = ((u64::from(zeros) + 1) << 16) - log2_mantissa;
        const LN_2_Q16: u64 = 45_426;
        ((u128::from(mean) * u128::from(negative_log2 * LN_2_Q16)) >> 32) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_for_ever() {
        // Reference values of splitmix64(0): the seeding is the published one.
        assert_eq!(Rng::new(0).state[0], 0xe220_a839_7b1d_cdaf);
        assert_eq!(Rng::new(0).state[1], 0x6e78_9e6a_a1b9_65f4);
        let (mut a, mut b) = (Rng::new(7), Rng::new(7));
        assert!((0..100).all(|_| a.bits() == b.bits()));
        assert_ne!(Rng::new(7).bits(), Rng::new(8).bits());
    }

    #[test]
    fn exponential_has_its_mean_and_variance() {
        let (mut rng, n, mean) = (Rng::new(1), 200_000u64, 1_000_000u64);
        let (mut sum, mut above) = (0u64, 0u64);
        for _ in 0..n {
            let x = rng.exponential(mean);
            sum += x;
            above += u64::from(x > 2 * mean);
        }
        assert!((980_000..1_020_000).contains(&(sum / n)), "{}", sum / n);
        // exp(-2) = 13.5%
        assert!((12_500..14_500).contains(&(above * 100_000 / n)), "{above}");
        assert_eq!(rng.exponential(0), 0);
    }

    #[test]
    fn ranges_hold() {
        let mut rng = Rng::new(3);
        for _ in 0..10_000 {
            assert!(rng.below(7) < 7);
            assert!((4..=6).contains(&rng.between(4, 6)));
        }
        assert_eq!(rng.below(0), 0);
        assert!(!rng.chance(0) && rng.chance(1024));
    }
}
