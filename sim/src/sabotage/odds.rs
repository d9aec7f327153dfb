//! Which things a habit strikes.

use scenario::habits::Strikes;
use scenario::{Ppm, Sabotage};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A lot that is drawn for each thing by its name, so that a thing that is struck always is: in a retry, on
/// another instance, after a restart.
#[derive(Clone, Copy, Debug)]
pub struct Odds {
    salt: u64,
    ppm: u32,
}

impl Odds {
    /// Everything is struck.
    pub fn new(salt: u64) -> Self {
        Self { salt, ppm: 1_000_000 }
    }

    /// As the habit's keys say.
    #[must_use]
    pub fn of(self, habit: &Sabotage) -> Self {
        let Strikes { odds_ppm: Ppm(ppm) } = habit.params();
        Self { ppm, ..self }
    }

    pub fn strike(&self, thing: impl AsRef<[u8]>) -> bool {
        xxh3_64_with_seed(thing.as_ref(), self.salt) % 1_000_000 < u64::from(self.ppm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_struck_as_the_odds_say_and_the_same_ones_again() {
        let odds = Odds { salt: 7, ppm: 100_000 };
        let struck =
            |odds: Odds| (0..10_000).filter(|thing| odds.strike(format!("T-{thing}"))).collect::<Vec<_>>();
        let first = struck(odds);
        assert!((800..1_200).contains(&first.len()), "{}", first.len());
        assert_eq!(struck(odds), first);
        assert_ne!(struck(Odds { salt: 8, ..odds }), first);
        assert_eq!(struck(Odds::new(7)).len(), 10_000);
    }
}
