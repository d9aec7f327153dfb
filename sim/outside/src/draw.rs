//! Drawing from the seed: integers only, unbiased, from one stream per purpose.
//!
//! The simulator implements [`Draw`] on its labelled generators. Deliberately absent: floats, distributions.

use std::time::Duration;

use scenario::{Drawn, TimeSpan};
use serde::{Serialize, Serializer};

/// One stream of random numbers.
pub trait Draw {
    fn next_u64(&mut self) -> u64;

    /// A number below `n`, each equally likely.
    ///
    /// Multiplication by 64 bits, and drawing again in the incomplete last interval (Lemire 2019).
    fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "nothing is below 0");
        let incomplete = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            let [high, low] = [product >> 64, product & u128::from(u64::MAX)].map(|half| half as u64);
            if low >= incomplete {
                return high;
            }
        }
    }

    /// A number from `first` to `last`, both included.
    fn between(&mut self, first: u64, last: u64) -> u64 {
        assert!(first <= last, "{first} to {last} is empty");
        match (last - first).checked_add(1) {
            Some(n) => first + self.below(n),
            None => self.next_u64(),
        }
    }

    /// Whether something of these odds, in parts per million, happens. Always takes one number, so that other
    /// odds leave the rest of the stream as it was.
    fn odds_ppm(&mut self, ppm: u32) -> bool {
        self.below(1_000_000) < u64::from(ppm)
    }
}

impl<D: Draw + ?Sized> Draw for Box<D> {
    fn next_u64(&mut self) -> u64 {
        (**self).next_u64()
    }
}

/// The stream of a purpose, by its label.
pub type Streams<'a> = dyn FnMut(&str) -> Box<dyn Draw> + 'a;

/// One of the items, each equally likely.
pub fn pick<'a, T>(draw: &mut dyn Draw, items: &'a [T]) -> &'a T {
    &items[index(draw, items.len())]
}

/// Brings the items into one of all their orders, each equally likely (Fisher and Yates).
pub fn shuffle<T>(draw: &mut dyn Draw, items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, index(draw, last + 1));
    }
}

fn index(draw: &mut dyn Draw, len: usize) -> usize {
    let drawn = draw.below(u64::try_from(len).expect("a slice is shorter than 2^64"));
    usize::try_from(drawn).expect("it is below the length of a slice")
}

/// A length of time that is drawn anew each time, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub min: Duration,
    pub max: Duration,
}

impl Span {
    pub const ZERO: Self = Self { min: Duration::ZERO, max: Duration::ZERO };

    pub const fn millis(min: u64, max: u64) -> Self {
        Self { min: Duration::from_millis(min), max: Duration::from_millis(max) }
    }

    pub const fn exactly(length: Duration) -> Self {
        Self { min: length, max: length }
    }

    /// A length in whole nanoseconds.
    pub fn draw(self, draw: &mut dyn Draw) -> Duration {
        let nanos = |length: Duration| u64::try_from(length.as_nanos()).expect("spans end within 500 years");
        Duration::from_nanos(draw.between(nanos(self.min), nanos(self.max)))
    }
}

/// As scenarios write it: a length, or the shortest and the longest.
impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [min, max] = [TimeSpan(self.min), TimeSpan(self.max)];
        if min == max { Drawn::Fixed(min) } else { Drawn::Between { min, max } }.serialize(serializer)
    }
}

/// A generator for the tests of this crate: the simulator has its own.
#[cfg(test)]
pub(crate) mod tests_support {
    use super::Draw;

    /// SplitMix64 (Steele, Lea, Flood 2014).
    pub struct SplitMix(pub u64);

    impl Draw for SplitMix {
        fn next_u64(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }
    }

    /// Streams of a seed: each label's starts from a hash (FNV-1a) of both.
    pub fn streams(seed: u64) -> impl FnMut(&str) -> Box<dyn Draw> {
        move |label: &str| {
            let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            Box::new(SplitMix(label.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, step)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::tests_support::SplitMix;
    use super::*;

    #[test]
    fn every_number_below_is_drawn_about_as_often() {
        let mut draw = SplitMix(7);
        let mut seen = [0_u32; 6];
        for _ in 0..60_000 {
            seen[usize::try_from(draw.below(6)).expect("below 6")] += 1;
        }
        assert!(seen.iter().all(|&times| (9_500..10_500).contains(&times)), "{seen:?}");
    }

    #[test]
    fn ranges_include_both_ends() {
        let mut draw = SplitMix(1);
        let drawn: std::collections::BTreeSet<u64> = (0..200).map(|_| draw.between(3, 5)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(draw.between(9, 9), 9);
        draw.between(0, u64::MAX);
    }

    /// The last interval of the 64 bits is incomplete, and a draw that falls into it is drawn again.
    #[test]
    fn the_incomplete_interval_is_drawn_again() {
        struct Fixed(Vec<u64>);
        impl Draw for Fixed {
            fn next_u64(&mut self) -> u64 {
                self.0.remove(0)
            }
        }
        let mut draw = Fixed(vec![0, u64::MAX]);
        assert_eq!(draw.below(3), 2);
        assert!(draw.0.is_empty());
    }

    #[test]
    fn odds_of_nothing_and_of_certainty() {
        let mut draw = SplitMix(3);
        assert!((0..1_000).all(|_| !draw.odds_ppm(0) && draw.odds_ppm(1_000_000)));
        let hits = (0..1_000_000).filter(|_| draw.odds_ppm(20_000)).count();
        assert!((19_400..20_600).contains(&hits), "{hits}");
    }

    #[test]
    fn a_shuffle_keeps_the_items_and_reaches_every_order() {
        let mut draw = SplitMix(5);
        let mut orders = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let mut items = [1, 2, 3];
            shuffle(&mut draw, &mut items);
            orders.insert(items);
        }
        assert_eq!(orders.len(), 6);
    }
}
