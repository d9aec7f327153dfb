//! Which effects are called, and how many at a time in each lane: one receiver that is silent holds up no other.
//!
//! A lane is one receiver behind a party. It has a few calls out at a time; from the first that nobody answers
//! until one is answered it has a single one, and its other effects are held until the next full minute. What has no
//! lane is limited only by the host's limit for all calls.

use std::collections::{BTreeMap, BTreeSet};

/// Effects whose calls are out, and the lanes.
#[derive(Default)]
pub struct InFlight {
    effects: BTreeSet<String>,
    lanes: BTreeMap<String, Lane>,
}

#[derive(Default)]
struct Lane {
    calls: usize,
    /// Nobody answered the last call.
    is_silent: bool,
}

/// What is to be done about a due effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Its call goes out, and counts as out from now on.
    Starts,
    /// Its call is out.
    IsOut,
    /// Its lane is busy: as soon as a call comes back.
    Waits,
    /// Its lane is silent, and has its one call out.
    Held,
}

impl InFlight {
    /// `calls_max`: of a lane that answers.
    pub fn turn(&mut self, effect: &str, lane: Option<String>, calls_max: usize) -> Turn {
        if self.effects.contains(effect) {
            return Turn::IsOut;
        }
        if let Some(lane) = lane {
            let lane = self.lanes.entry(lane).or_default();
            match lane.is_silent {
                true if lane.calls >= 1 => return Turn::Held,
                false if lane.calls >= calls_max => return Turn::Waits,
                _ => lane.calls += 1,
            }
        }
        self.effects.insert(effect.to_owned());
        Turn::Starts
    }

    /// A call is back, answered or not.
    pub fn back(&mut self, effect: &str, lane: Option<&str>, is_answered: bool) {
        self.effects.remove(effect);
        let Some(name) = lane else { return };
        let lane = self.lanes.get_mut(name).expect("a call was counted in its lane when it went out");
        lane.calls -= 1;
        lane.is_silent = !is_answered;
        if lane.calls == 0 && is_answered {
            self.lanes.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 2;

    fn turns(calls: &mut InFlight, lane: &str, effects: &[&str]) -> Vec<Turn> {
        effects.iter().map(|effect| calls.turn(effect, Some(lane.to_owned()), MAX)).collect()
    }

    #[test]
    fn a_lane_has_so_many_calls_out_and_others_have_their_own() {
        let mut calls = InFlight::default();
        assert_eq!(
            turns(&mut calls, "a", &["1", "2", "3", "1"]),
            [Turn::Starts, Turn::Starts, Turn::Waits, Turn::IsOut]
        );
        assert_eq!(turns(&mut calls, "b", &["4"]), [Turn::Starts]);
        let without = ["5", "6", "7"].map(|effect| calls.turn(effect, None, MAX));
        assert_eq!(without, [Turn::Starts; 3]);
        calls.back("1", Some("a"), true);
        assert_eq!(turns(&mut calls, "a", &["3", "1"]), [Turn::Starts, Turn::Waits]);
    }

    #[test]
    fn a_silent_lane_has_one_call_out_until_it_is_answered() {
        let mut calls = InFlight::default();
        turns(&mut calls, "a", &["1", "2"]);
        calls.back("1", Some("a"), false);
        assert_eq!(turns(&mut calls, "a", &["3"]), [Turn::Held], "the other one is out still");
        calls.back("2", Some("a"), false);
        assert_eq!(turns(&mut calls, "a", &["3", "4"]), [Turn::Starts, Turn::Held]);
        calls.back("3", Some("a"), true);
        assert_eq!(turns(&mut calls, "a", &["4", "5", "6"]), [Turn::Starts, Turn::Starts, Turn::Waits]);
    }
}
