//! What is not guaranteed in a scenario, as the loader asks for it: `expect = "pass"` must not hope.
//!
//! Which settings and faults weaken what is known to whoever fills the catalogue. Here is only how it is said.

use std::collections::BTreeSet;

use crate::scenario::{Expect, Invariants, Scenario};

/// More invariants than this are not named one by one.
const NAMED_MAX: usize = 3;

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
    let doubts: Vec<Doubt> = doubts(scenario).into_iter().filter(watched).collect();
    let mut paths: Vec<&str> = doubts.iter().map(|doubt| doubt.path.as_str()).collect();
    let mut seen = BTreeSet::new();
    paths.retain(|path| seen.insert(*path));
    paths.into_iter().map(|path| refusal(path, &doubts)).collect()
}

/// What a canary can expect comes first: of the rest nothing better can be said than to leave it out.
fn refusal(path: &str, doubts: &[Doubt]) -> Refusal {
    let of_path = |may_break: bool| {
        doubts.iter().filter(move |doubt| doubt.path == path && doubt.may_break == may_break)
    };
    let may_break = of_path(true).next().is_some();
    let mut names: Vec<&str> = of_path(may_break).map(|doubt| doubt.invariant.as_str()).collect();
    names.dedup();
    let why = of_path(may_break).next().map_or("", |doubt| doubt.why.as_str());
    let (named, example) = match names.as_slice() {
        few @ [first, ..] if few.len() <= NAMED_MAX => {
            let few: Vec<String> = few.iter().map(|name| format!("`{name}`")).collect();
            (few.join(" and "), *first)
        }
        _ => ("any invariant".to_owned(), "<invariant>"),
    };
    let (message, hint) = if may_break {
        (
            format!("outside the guarantees: {named} may break: {why}"),
            format!("expect = \"violation:{example}\""),
        )
    } else {
        let hint = "expect what is defined, or leave it out of check.invariants".to_owned();
        (format!("outside the guarantees: of {named} nothing is said: {why}"), hint)
    };
    Refusal { path: path.to_owned(), message, hint }
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
        let check = Check { invariants, ..Check::default() };
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
            [
                "fault[0]: outside the guarantees: `acknowledged_is_durable` may break: so",
                "fault[1]: outside the guarantees: `not_early` may break: so",
            ]
        );
    }

    #[test]
    fn only_what_is_watched_counts() {
        let named = |name: &str| Invariants::Named(vec![name.to_owned()]);
        assert_eq!(
            said(Expect::Pass, named("no_oversell")),
            ["fault[0]: outside the guarantees: of `no_oversell` nothing is said: so"]
        );
        assert_eq!(said(Expect::Pass, named("reconciled")), [""; 0]);
    }

    #[test]
    fn a_canary_expects_it() {
        assert_eq!(said(Expect::Violation("not_early".to_owned()), Invariants::All), [""; 0]);
    }
}
