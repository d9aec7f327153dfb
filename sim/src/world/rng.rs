//! Randomness: one root seed, and a labelled ChaCha stream for every purpose.
//!
//! A purpose that draws more, or a new purpose, leaves all other streams as they were.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// A labelled stream of random numbers.
#[derive(Clone, Debug)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// The stream of `label` under a root seed.
    pub fn labelled(root: u64, label: &str) -> Self {
        let mut seed = [0; 32];
        let (low, high) = seed.split_at_mut(16);
        low.copy_from_slice(&xxh3_128_with_seed(label.as_bytes(), root).to_le_bytes());
        high.copy_from_slice(&xxh3_128_with_seed(label.as_bytes(), !root).to_le_bytes());
        Self(ChaCha8Rng::from_seed(seed))
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `0..bound`, without bias (Lemire's multiplication with rejection).
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "an empty range has no elements to draw");
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// Uniform in `low..=high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        assert!(low <= high, "the range {low}..={high} is empty");
        let span = high.abs_diff(low);
        let drawn = if span == u64::MAX { self.next_u64() } else { self.below(span + 1) };
        low.wrapping_add_unsigned(drawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_independent_of_each_other_and_repeat() {
        let draw = |label| Rng::labelled(7, label).next_u64();
        assert_eq!(draw("ids"), draw("ids"));
        assert_ne!(draw("ids"), draw("network"));
        assert_ne!(draw("ids"), Rng::labelled(8, "ids").next_u64());
    }

    #[test]
    fn draws_stay_in_their_range() {
        let mut rng = Rng::labelled(1, "test");
        assert!((0..1000).map(|_| rng.between(-3, 3)).all(|value| (-3..=3).contains(&value)));
        assert!((0..1000).any(|_| rng.below(2) == 1));
    }
}
