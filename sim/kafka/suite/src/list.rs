//! The behaviours: each with its number in the list of 81, what it says, and what it needs.

use futures::future::LocalBoxFuture;

use crate::behaviours::files;
use crate::cluster::Power;
use crate::stage::Stage;

/// One behaviour of a Kafka, told as what a client sees.
pub struct Behaviour {
    /// Begins with the letter of its list and its number: `a01_...`.
    pub name: &'static str,
    pub sentence: &'static str,
    pub needs: &'static [Power],
    /// Panics where the cluster behaves otherwise.
    pub run: fn(Stage) -> LocalBoxFuture<'static, ()>,
}

impl Behaviour {
    /// In the list of 81.
    pub fn number(&self) -> u32 {
        let digits: String = self.name[1..].chars().take_while(char::is_ascii_digit).collect();
        digits.parse().expect("a name is a letter, a number, and words")
    }

    /// Whether it needs a cluster for itself.
    pub fn disturbs(&self) -> bool {
        self.needs.iter().any(|power| power.disturbs())
    }
}

/// All behaviours in the order of their numbers.
pub fn all() -> Vec<&'static Behaviour> {
    let mut all: Vec<&Behaviour> = files().into_iter().flatten().collect();
    all.sort_by_key(|behaviour| behaviour.number());
    all
}

/// Lists behaviours of one file: sentence, name, needs.
macro_rules! behaviours {
    ($($sentence:literal => $name:ident $([$($power:ident),* $(,)?])?;)*) => {
        pub const BEHAVIOURS: &[$crate::list::Behaviour] = &[$($crate::list::Behaviour {
            name: stringify!($name),
            sentence: $sentence,
            needs: &[$($($crate::cluster::Power::$power),*)?],
            run: |stage| Box::pin($name(stage)),
        }),*];
    };
}
pub(crate) use behaviours;
