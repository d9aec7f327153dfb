//! Verdicts: from the end of a run to one word and an exit code, and from many runs to the worst of them.

use std::collections::BTreeMap;
use std::process::ExitCode;

use scenario::Expect;
use serde::Serialize;

use super::simulate::End;

/// One word for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Pass,
    /// Of a canary: perhaps the one that it is there for.
    Violation,
    /// A canary whose violation did not happen under this seed.
    NotFound,
    Unsettled,
    Vacuous,
    Nondeterministic,
    Error,
}

/// Exit codes; their numbers are part of the command line's contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exit {
    #[default]
    AsExpected = 0,
    Violated = 1,
    Usage = 2,
    Unsettled = 3,
    Nondeterministic = 4,
    Invalid = 5,
    Vacuous = 6,
    Fault = 70,
}

/// From bad to good.
const WORST_FIRST: [Exit; 8] = [
    Exit::Fault,
    Exit::Invalid,
    Exit::Nondeterministic,
    Exit::Usage,
    Exit::Violated,
    Exit::Unsettled,
    Exit::Vacuous,
    Exit::AsExpected,
];

impl Exit {
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        let place = |exit| WORST_FIRST.iter().position(|worst| *worst == exit);
        if place(other) < place(self) { other } else { self }
    }
}

impl TryFrom<u8> for Exit {
    type Error = u8;

    /// # Errors
    /// No exit code of ours.
    fn try_from(code: u8) -> Result<Self, u8> {
        WORST_FIRST.into_iter().find(|exit| *exit as u8 == code).ok_or(code)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Name of the invariant that a pending trade breaks.
pub const EVERY_TRADE_TERMINATES: &str = "every_trade_terminates";

/// The names of the invariants that a run broke, pending trades included, each once.
pub fn broken(end: &End) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = end.violations.iter().map(|broken| broken.invariant).collect();
    if !end.trades_unwatched && end.pending.iter().any(|pending| pending.what.starts_with("trade ")) {
        names.push(EVERY_TRADE_TERMINATES);
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// The verdict of one run.
pub fn judge(expect: &Expect, end: &End) -> Verdict {
    if !broken(end).is_empty() {
        return Verdict::Violation;
    }
    if let Expect::Violation(_) = expect {
        return Verdict::NotFound;
    }
    if !end.pending.is_empty() {
        Verdict::Unsettled
    } else if !end.missing_marks.is_empty() || !end.unknown.is_empty() {
        Verdict::Vacuous
    } else {
        Verdict::Pass
    }
}

/// What one run contributes to the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// As bad as this, whatever other seeds do.
    Exit(Exit),
    /// A canary was met.
    Met,
    /// A canary was not met under this seed; another one may.
    NotMet,
}

impl Weight {
    /// The exit code of a run by itself.
    pub fn alone(self) -> Exit {
        match self {
            Self::Exit(exit) => exit,
            Self::Met => Exit::AsExpected,
            Self::NotMet => Exit::Violated,
        }
    }
}

/// The weight of a run that reached its end.
pub fn weigh(expect: &Expect, verdict: Verdict, end: &End) -> Weight {
    match (expect, verdict) {
        (_, Verdict::Error) => Weight::Exit(Exit::Fault),
        (_, Verdict::Nondeterministic) => Weight::Exit(Exit::Nondeterministic),
        // What breaks in one moment is one failure; the named invariant must be among it.
        (Expect::Violation(name), Verdict::Violation) if broken(end).contains(&name.as_str()) => Weight::Met,
        (_, Verdict::Violation) => Weight::Exit(Exit::Violated),
        (_, Verdict::NotFound) => Weight::NotMet,
        (_, Verdict::Unsettled) => Weight::Exit(Exit::Unsettled),
        (_, Verdict::Vacuous) => Weight::Exit(Exit::Vacuous),
        (_, Verdict::Pass) => Weight::Exit(Exit::AsExpected),
    }
}

/// Folds runs, scenario by scenario, into one exit code.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    scenarios: BTreeMap<usize, Canary>,
    worst: Exit,
}

#[derive(Clone, Copy, Debug, Default)]
struct Canary {
    met: bool,
    missed: bool,
}

impl Tally {
    /// Adds a run of the scenario of this number.
    pub fn add(&mut self, scenario: usize, weight: Weight) {
        let canary = self.scenarios.entry(scenario).or_default();
        match weight {
            Weight::Exit(exit) => self.worst = self.worst.worse(exit),
            Weight::Met => canary.met = true,
            Weight::NotMet => canary.missed = true,
        }
    }

    /// Whether the scenario of this number is a canary that no seed has met.
    pub fn not_found(&self, scenario: usize) -> bool {
        self.scenarios.get(&scenario).is_some_and(|canary| canary.missed && !canary.met)
    }

    pub fn exit(&self) -> Exit {
        let not_found = self.scenarios.keys().any(|scenario| self.not_found(*scenario));
        if not_found { self.worst.worse(Exit::Violated) } else { self.worst }
    }
}

#[cfg(test)]
mod tests {
    use invariants::{Pending, Violation};

    use super::super::simulate::Broken;
    use super::*;

    fn violates(names: &[&'static str]) -> End {
        let broken = |name: &&'static str| Broken {
            invariant: name,
            at_ns: 0,
            record: 1,
            violation: Violation::new("two is not three"),
        };
        End { violations: names.iter().map(broken).collect(), ..End::default() }
    }

    fn waits_for(what: &str) -> End {
        let pending = Pending { what: what.to_owned(), why: "reasons".to_owned() };
        End { pending: vec![pending], ..End::default() }
    }

    fn canary() -> Expect {
        Expect::Violation("no_oversell".to_owned())
    }

    /// Verdicts and exit code of the runs of one scenario.
    fn fold(expect: &Expect, ends: &[End]) -> (Vec<Verdict>, u8) {
        let mut tally = Tally::default();
        let verdicts = ends.iter().map(|end| {
            let verdict = judge(expect, end);
            tally.add(0, weigh(expect, verdict, end));
            verdict
        });
        (verdicts.collect(), tally.exit() as u8)
    }

    #[test]
    fn of_a_run_that_should_pass() {
        let pass = |end: End| fold(&Expect::Pass, &[end]);
        assert_eq!(pass(End::default()), (vec![Verdict::Pass], 0));
        assert_eq!(pass(violates(&["reconciled"])), (vec![Verdict::Violation], 1));
        assert_eq!(pass(waits_for("trade T-1")), (vec![Verdict::Violation], 1));
        assert_eq!(pass(waits_for("payment: messages to publish")), (vec![Verdict::Unsettled], 3));
        let missing = End { missing_marks: vec!["trade:settled".to_owned()], ..End::default() };
        assert_eq!(pass(missing), (vec![Verdict::Vacuous], 6));
        let unwatched = End { trades_unwatched: true, ..waits_for("trade T-1") };
        assert_eq!(pass(unwatched), (vec![Verdict::Unsettled], 3));
        let unknown = End { unknown: vec!["cash_conserved"], ..End::default() };
        assert_eq!(pass(unknown), (vec![Verdict::Vacuous], 6));
    }

    #[test]
    fn a_canary_is_judged_over_its_seeds() {
        use Verdict::{NotFound, Violation};
        let (met, other) = (violates(&["no_oversell"]), violates(&["reconciled"]));
        let nothing = || End::default();
        assert_eq!(fold(&canary(), &[nothing()]), (vec![NotFound], 1));
        assert_eq!(fold(&canary(), &[nothing(), met, nothing()]), (vec![NotFound, Violation, NotFound], 0));
        assert_eq!(fold(&canary(), &[violates(&["no_oversell"]), other]), (vec![Violation, Violation], 1));
        let both = violates(&["no_oversell", "reconciled"]);
        assert_eq!(fold(&canary(), &[both]), (vec![Violation], 0));
        let pending_trades = Expect::Violation(EVERY_TRADE_TERMINATES.to_owned());
        assert_eq!(fold(&pending_trades, &[waits_for("trade T-1")]), (vec![Violation], 0));
    }

    #[test]
    fn over_many_runs_the_worst_counts() {
        let exits =
            [Exit::AsExpected, Exit::Vacuous, Exit::Unsettled, Exit::Violated, Exit::Nondeterministic];
        let worst = [exits.as_slice(), &[Exit::Invalid, Exit::Fault]].concat();
        for pair in worst.windows(2) {
            assert_eq!(pair[0].worse(pair[1]), pair[1]);
            assert_eq!(pair[1].worse(pair[0]), pair[1]);
        }
        let mut tally = Tally::default();
        tally.add(0, Weight::Exit(Exit::Vacuous));
        tally.add(1, Weight::NotMet);
        tally.add(1, Weight::Met);
        assert_eq!(tally.exit(), Exit::Vacuous);
        tally.add(2, Weight::NotMet);
        assert_eq!(tally.exit(), Exit::Violated);
    }
}
