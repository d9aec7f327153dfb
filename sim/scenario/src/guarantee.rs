//! What is not guaranteed in a scenario, as the loader asks for it: `expect = "pass"` must not hope.
//!
//! Which settings and faults weaken what is known to whoever fills the catalogue. Here is only how it is said.

use crate::scenario::{Expect, Invariants, Scenario};

/// Every doubt about a scenario. A function of the scenario alone.
pub type Doubts = fn(&Scenario) -> Vec<Doubt>;

/// An invariant that need not hold, and the part of the scenario that is to blame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    pub invariant: String,
    /// Of the setting, fault or sabotage, e.g. `fault[0].force`.
    pub path: String,
    pub why: String,
    /// Whether breaking it is defined, so that a canary can expect it. Otherwise nothing is said of it.
    pub may_break: bool,
}

/// What a place of the file does to the invariants that the scenario watches.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub path: String,
    pub message: String,
    pub hint: String,
}

/// Why a scenario may not expect to pass: one reason per place, in the order of the doubts.
pub(crate) fn refusals(scenario: &Scenario, doubts: Doubts) -> Vec<Refusal> {
    if scenario.expect != Expect::Pass {
        return Vec::new();
    }
    let watched = |doubt: &Doubt| match &scenario.check.invariants {
        Invariants::All => true,
        Invariants::Named(names) => names.contains(&doubt.invariant),
    };
    let mut refusals: Vec<Refusal> = Vec::new();
    let doubts: Vec<Doubt> = doubts(scenario).into_iter().filter(watched).collect();
    // What a canary can expect comes first: of the rest nothing better can be said than to leave it out.
    for doubt in
        doubts.iter().filter(|doubt| doubt.may_break).chain(doubts.iter().filter(|doubt| !doubt.may_break))
    {
        if refusals.iter().any(|refusal| refusal.path == doubt.path) {
            continue;
        }
        let Doubt { invariant, why, .. } = doubt;
        let (message, hint) = if doubt.may_break {
            (format!("`{invariant}` may break: {why}"), format!("expect = \"violation:{invariant}\""))
        } else {
            let hint = format!("expect what is defined, or leave `{invariant}` out of check.invariants");
            (format!("`{invariant}` is not defined: {why}"), hint)
        };
        refusals.push(Refusal { path: doubt.path.clone(), message, hint });
    }
    refusals
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Check;

    fn doubt(invariant: &str, path: &str, may_break: bool) -> Doubt {
        Doubt { invariant: invariant.to_owned(), path: path.to_owned(), why: "so".to_owned(), may_break }
    }

    fn two(_: &Scenario) -> Vec<Doubt> {
        vec![
            doubt("no_oversell", "fault[0]", false),
            doubt("acknowledged_is_durable", "fault[0]", true),
            doubt("not_early", "fault[1]", true),
        ]
    }

    fn said(expect: Expect, invariants: Invariants) -> Vec<String> {
        let check = Check { invariants, must_see: Vec::new() };
        let scenario = Scenario { expect, check, ..Scenario::default() };
        refusals(&scenario, two)
            .into_iter()
            .map(|refusal| format!("{}: {}", refusal.path, refusal.message))
            .collect()
    }

    #[test]
    fn each_place_is_refused_once_for_what_may_break() {
        assert_eq!(
            said(Expect::Pass, Invariants::All),
            ["fault[0]: `acknowledged_is_durable` may break: so", "fault[1]: `not_early` may break: so",]
        );
    }

    #[test]
    fn only_what_is_watched_counts() {
        let named = |name: &str| Invariants::Named(vec![name.to_owned()]);
        assert_eq!(said(Expect::Pass, named("no_oversell")), ["fault[0]: `no_oversell` is not defined: so"]);
        assert_eq!(said(Expect::Pass, named("reconciled")), [""; 0]);
    }

    #[test]
    fn a_canary_expects_it() {
        assert_eq!(said(Expect::Violation("not_early".to_owned()), Invariants::All), [""; 0]);
    }
}
