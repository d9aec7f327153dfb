//! When a fault happens in one run: its moments and lengths, drawn.

use jiff::{SignedDuration, Timestamp};

use crate::calendar::Calendar;
use crate::fault::{FaultSpec, Occurs};
use crate::run::{Run, Window, WindowError};
use crate::values::{Draw as _, TimeSpan};

/// One time that a fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    pub from: Timestamp,
    /// The same moment where the fault does not last.
    pub until: Timestamp,
}

impl FaultSpec {
    /// Every occurrence of this fault, in the order of the scenario's windows. What is over in a moment happens at a
    /// drawn moment of its window. `uniform(n)` gives a number below `n`.
    ///
    /// # Errors
    /// A moment that is none; the loader has refused such a scenario.
    pub fn occurrences(
        &self,
        run: &Run,
        calendar: &Calendar,
        is_momentary: bool,
        uniform: &mut dyn FnMut(u64) -> u64,
    ) -> Result<Vec<Occurrence>, WindowError> {
        let mut occurrences = Vec::new();
        let mut add = |from: Timestamp, otherwise: Timestamp, uniform: &mut dyn FnMut(u64) -> u64| {
            let until = match self.lasts {
                Some(lasts) => later(from, lasts.resolve(uniform)),
                None => otherwise,
            };
            if self.odds_ppm.hits(uniform) {
                occurrences.push(Occurrence { from, until });
            }
        };
        match self.occurs {
            Occurs::At { at } => {
                let instants = at.resolve(calendar, run.start, run.end).map_err(|error| ("at", error))?;
                instants.into_iter().for_each(|at| add(at, at, uniform));
            }
            Occurs::Every { every, from, to, jitter } => {
                for (first, last) in self.fault_windows(run, calendar, from, to)? {
                    let mut at = first;
                    while at < last {
                        let from = later(at, between(TimeSpan::default(), jitter, uniform));
                        add(from, from, uniform);
                        at = later(at, every);
                    }
                }
            }
            Occurs::Window { from, to } => {
                for (first, last) in self.fault_windows(run, calendar, from, to)? {
                    if self.lasts.is_none() && !is_momentary {
                        add(first, last, uniform);
                        continue;
                    }
                    let width = last.duration_since(first).unsigned_abs();
                    let from = later(first, between(TimeSpan::default(), TimeSpan(width), uniform));
                    add(from, from, uniform);
                }
            }
        }
        Ok(occurrences)
    }

    fn fault_windows(
        &self,
        run: &Run,
        calendar: &Calendar,
        from: crate::when::When,
        to: crate::when::When,
    ) -> Result<Vec<Window>, WindowError> {
        run.windows(from, to, &run.sessions(calendar), calendar)
    }
}

fn between(min: TimeSpan, max: TimeSpan, uniform: &mut dyn FnMut(u64) -> u64) -> TimeSpan {
    let steps = min.steps_to(max).expect("spans of a scenario are far below 2^64 nanoseconds");
    if steps == 0 { min } else { min.step_up(max, uniform(steps + 1)) }
}

fn later(at: Timestamp, by: TimeSpan) -> Timestamp {
    let by = SignedDuration::try_from(by.0).unwrap_or(SignedDuration::MAX);
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
