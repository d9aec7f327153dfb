//! Canaries, counted: how often and how soon each is found by its invariant, and whether it passes without what it
//! plants.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use outside::plan::PlanError;
use scenario::Expect;
use serde::Serialize;

use super::pool::{Audience, Finished, Standing, Task};
use super::progress::Progress;
use super::report::RunReport;
use super::seeds::Seeds;
use super::simulate::End;
use super::subject::Subject;
use super::verdict::{Exit, Weight, broken};

/// What came of one canary.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Found {
    pub canary: String,
    pub invariant: String,
    pub runs: u64,
    /// Seeds under which its invariant broke.
    pub met: Vec<u64>,
    /// Other invariants that broke in the same moment.
    pub also: BTreeSet<&'static str>,
    /// Runs that ended in another way than they may, in a line each.
    pub wrong: Vec<String>,
    /// The same seeds without sabotage that did not pass, in a line each.
    pub without: Vec<String>,
    #[serde(skip)]
    simulated: Vec<Duration>,
    #[serde(skip)]
    wall: Vec<Duration>,
}

impl Found {
    /// Met by its invariant and by no other, and passing without what it plants.
    pub fn is_sound(&self) -> bool {
        !self.met.is_empty() && self.wrong.is_empty() && self.without.is_empty()
    }

    fn planted(&mut self, report: &RunReport) {
        self.runs += 1;
        match report.weight {
            Weight::Met => {
                self.met.push(report.seed);
                self.simulated.push(Duration::from_nanos(report.end.simulated_ns));
                self.wall.push(report.wall);
                let also = broken(&report.end).into_iter().filter(|name| *name != self.invariant);
                self.also.extend(also);
            }
            Weight::NotMet => {}
            Weight::Exit(_) => self.wrong.push(report.line()),
        }
    }

    fn clean(&mut self, report: &RunReport) {
        if report.weight.alone() != Exit::AsExpected {
            self.without.push(report.line());
        }
    }

    /// How many seeds it takes to find it, whichever of them one begins with: the median.
    pub fn seeds_to_hit(&self, seeds: Seeds) -> Option<u64> {
        let last = *self.met.last()?;
        let to_hit = |first: u64| {
            let next = self.met.iter().find(|met| **met >= first).copied();
            // After the last seed come the first ones again.
            next.unwrap_or(self.met[0] + seeds.count()) - first + 1
        };
        debug_assert!(last <= seeds.last);
        median(seeds.iter().map(to_hit).collect())
    }

    /// Medians of the simulated time and the wall time after which it was found.
    pub fn times(&self) -> Option<(Duration, Duration)> {
        Some((median(self.simulated.clone())?, median(self.wall.clone())?))
    }
}

fn median<T: Ord + Copy>(mut values: Vec<T>) -> Option<T> {
    values.sort_unstable();
    values.get(values.len().checked_sub(1)? / 2).copied()
}

/// All canaries under all seeds, each with and without what it plants.
pub struct Census {
    canaries: Vec<[Arc<Subject>; 2]>,
    seeds: Seeds,
    pub found: Vec<Found>,
    progress: Progress,
}

impl Census {
    /// Of those subjects that expect a violation.
    pub fn of(subjects: impl IntoIterator<Item = Arc<Subject>>, seeds: Seeds) -> Self {
        let (mut canaries, mut found) = (Vec::new(), Vec::new());
        for subject in subjects {
            let Expect::Violation(invariant) = &subject.scenario.expect else { continue };
            let (canary, invariant) = (subject.scenario.name.clone(), invariant.clone());
            found.push(Found { canary, invariant, ..Found::default() });
            let clean = Arc::new(Subject::clone(&subject).without_sabotage());
            canaries.push([subject, clean]);
        }
        let runs = canaries.len() as u64 * 2 * seeds.count();
        Self { canaries, seeds, found, progress: Progress::of(runs) }
    }

    pub fn tasks(&self) -> Vec<Task<Result<End, PlanError>>> {
        let runs = self.canaries.iter().flatten().flat_map(|subject| {
            self.seeds.iter().map(|seed| {
                let subject = subject.clone();
                Box::new(move || subject.run(seed, Vec::new())) as Task<Result<End, PlanError>>
            })
        });
        runs.collect()
    }

    /// No more runs come: progress makes way for the table.
    pub fn finish(&self) {
        self.progress.finish();
    }

    pub fn exit(&self) -> Exit {
        let sound = self.found.iter().all(Found::is_sound);
        if sound { Exit::AsExpected } else { Exit::Violated }
    }

    /// A Markdown table, a row for each canary.
    pub fn table(&self) -> String {
        let head = "| canary | found by | under | seeds to a hit | simulated time | wall time |\n\
                    |---|---|---:|---:|---:|---:|\n";
        let rows = self.found.iter().map(|found| {
            let Found { canary, invariant, runs, met, .. } = found;
            let dash = || "–".to_owned();
            let seeds = found.seeds_to_hit(self.seeds).map_or_else(dash, |seeds| seeds.to_string());
            let (simulated, wall) = found.times().map_or_else(
                || (dash(), dash()),
                |(simulated, wall)| (hours(simulated), format!("{:.2} s", wall.as_secs_f64())),
            );
            let name = format!("[{canary}]({canary}.toml)");
            format!(
                "| {name} | {invariant} | {} of {runs} seeds | {seeds} | {simulated} | {wall} |\n",
                met.len()
            )
        });
        head.to_owned() + &rows.collect::<String>()
    }
}

fn hours(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    format!("{} h {:02} min", minutes / 60, minutes % 60)
}

impl Audience<Result<End, PlanError>> for Census {
    fn finished(&mut self, number: usize, finished: Finished<Result<End, PlanError>>) -> ControlFlow<()> {
        let seeds = usize::try_from(self.seeds.count()).expect("as many runs as a list holds");
        let (subject, seed) = (number / seeds, self.seeds.first + (number % seeds) as u64);
        let (canary, is_clean) = (subject / 2, subject % 2 == 1);
        let report = RunReport::of(self.canaries[canary][subject % 2].clone(), seed, finished);
        let found = &mut self.found[canary];
        let complaints = found.wrong.len() + found.without.len();
        if is_clean {
            found.clean(&report)
        } else {
            found.planted(&report)
        }
        if found.wrong.len() + found.without.len() > complaints {
            self.progress.failure();
        }
        ControlFlow::Continue(())
    }

    fn standing(&mut self, standing: Standing) {
        self.progress.standing(standing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_to_a_hit_are_counted_from_every_seed_on() {
        let seeds = Seeds { first: 1, last: 4 };
        let found = |met: &[u64]| Found { met: met.to_vec(), ..Found::default() };
        assert_eq!(found(&[1, 2, 3, 4]).seeds_to_hit(seeds), Some(1));
        // From seed 1 on it takes four, from seed 4 on one.
        assert_eq!(found(&[4]).seeds_to_hit(seeds), Some(2));
        assert_eq!(found(&[2]).seeds_to_hit(seeds), Some(2));
        assert_eq!(found(&[]).seeds_to_hit(seeds), None);
    }
}
