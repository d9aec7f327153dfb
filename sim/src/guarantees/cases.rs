//! The cases in which an invariant need not hold, with the reason of each: the data of the table.

use invariants::{Family, family};
use scenario::read::{Between, Field, Flag, Number, Signed, Text, number};
use scenario::{Drawn, FaultSpec, Role, Scenario, SignedSpan, Target, TargetSpec};

use super::{Guarantee, Setting};

/// A kind of fault under which some invariants need not hold.
pub struct Case {
    pub name: &'static str,
    /// What a scenario must have for it.
    pub about: &'static str,
    /// The faults that it is about.
    pub family: Family,
    /// Under which settings it can do harm.
    pub when: fn(Setting<'_>) -> bool,
    /// Where a scenario has it: the path of what is to blame.
    pub blames: fn(&Scenario) -> Option<String>,
    pub may_break: &'static [&'static str],
    /// What is said of the others.
    pub others: Guarantee,
    pub why: &'static str,
}

impl Case {
    pub fn guarantee(&self, invariant: &str) -> Guarantee {
        if self.may_break.contains(&invariant) { Guarantee::MayBreak } else { self.others }
    }
}

const DURABLE: &[&str] = &["acknowledged_is_durable"];
const COMMIT: &str = "topology.postgres.synchronous_commit";

/// In the order of the table's notes.
pub const CASES: &[Case] = &[
    Case {
        name: "forced failover",
        about: "`failover` with `force = true`",
        family: Family::Databases,
        when: |_| true,
        blames: |scenario| first(scenario, "force", is_forced),
        may_break: DURABLE,
        others: Guarantee::Outside,
        why: "a standby that is not synchronous may be promoted, and lacks what the old primary acknowledged; all \
              else follows from that loss",
    },
    Case {
        name: "failover without waiting",
        about: "`failover` by crash or partition",
        family: Family::Databases,
        when: |setting| setting.synchronous_standby && matches!(setting.synchronous_commit, "off" | "local"),
        blames: |scenario| scenario.faults.iter().any(is_abrupt_failover).then(|| COMMIT.to_owned()),
        may_break: DURABLE,
        others: Guarantee::Outside,
        why: "commits are acknowledged before the standby has them, and a failover loses those; all else follows \
              from that loss",
    },
    Case {
        name: "crash without a flush",
        about: "the death of a primary: `kill`, `slow-start`, `crash-loop`, `fsync-fails`, `failover`",
        family: Family::Databases,
        when: |setting| setting.synchronous_commit == "off",
        blames: |scenario| scenario.faults.iter().any(kills_primary).then(|| COMMIT.to_owned()),
        may_break: DURABLE,
        others: Guarantee::Outside,
        why: "commits are acknowledged before they are flushed, and a crash loses those; all else follows from that \
              loss",
    },
    Case {
        name: "failover to a standby that crashed",
        about: "`failover`, and the death of a standby",
        family: Family::Databases,
        when: |setting| setting.synchronous_standby && setting.synchronous_commit == "remote_write",
        blames: |scenario| {
            let fails_over = scenario.faults.iter().any(|fault| fault.action == "failover");
            (fails_over && scenario.faults.iter().any(kills_standby)).then(|| COMMIT.to_owned())
        },
        may_break: DURABLE,
        others: Guarantee::Outside,
        why: "commits are acknowledged when the standby has written them, and its crash loses what it has not \
              flushed; all else follows from that loss",
    },
    Case {
        name: "database ahead",
        about: "`clock-bump`, `clock-strobe` or `clock-drift` that puts the clock of a database ahead",
        family: Family::Clocks,
        when: |_| true,
        blames: |scenario| {
            first(scenario, "by", is_bumped_ahead).or_else(|| first(scenario, "ppm", drifts_ahead))
        },
        may_break: &["not_early"],
        others: Guarantee::Holds,
        why: "cut-offs are taken from database time, so with a clock that is ahead settlement opens before 18:00",
    },
    Case {
        name: "order denied",
        about: "`contradict` with `how = \"unknown-but-taken\"`, and statements that are lost, late or lack a line",
        family: Family::Rails,
        when: |_| true,
        blames: |scenario| {
            let silent = scenario.faults.iter().any(hides_statement);
            first(scenario, "how", is_denial).filter(|_| silent)
        },
        may_break: &["payment_once_per_leg", "reconciled"],
        others: Guarantee::Holds,
        why: "after an order's validity \"not found\" is taken for a refusal, unless a statement has told of it: a bank \
              that has it all the same is paid with a second order",
    },
    Case {
        name: "order forgotten",
        about: "`dedup-expired`",
        family: Family::Rails,
        when: |_| true,
        blames: |scenario| first(scenario, "action", |fault| fault.action == "dedup-expired"),
        may_break: &["payment_once_per_leg", "cash_conserved", "reconciled"],
        others: Guarantee::Holds,
        why: "a bank that has forgotten a UETR executes it again when a rail repeats it: no platform can see to that",
    },
];

/// The path of a key of the first fault that is so.
fn first(scenario: &Scenario, key: &str, is_it: fn(&FaultSpec) -> bool) -> Option<String> {
    scenario.faults.iter().position(is_it).map(|index| format!("fault[{index}].{key}"))
}

fn key<F: Field>(fault: &FaultSpec, key: &str, field: F) -> Option<F::Out> {
    fault.params.key(key, field)
}

fn word(fault: &FaultSpec, name: &str) -> Option<String> {
    key(fault, name, Text)
}

/// The server of a database that a fault hits: any where it names none.
fn server(fault: &FaultSpec) -> Option<Option<Role>> {
    match fault.target.as_ref().map(TargetSpec::target) {
        Some(Target::Database { role, .. }) => Some(*role),
        _ => None,
    }
}

fn is_forced(fault: &FaultSpec) -> bool {
    fault.action == "failover" && key(fault, "force", Flag) == Some(true)
}

/// The old primary has no time to hand over what its standby lacks.
fn is_abrupt_failover(fault: &FaultSpec) -> bool {
    fault.action == "failover" && word(fault, "manner").as_deref() != Some("switchover")
}

fn is_death(fault: &FaultSpec) -> bool {
    matches!(fault.action.as_str(), "kill" | "slow-start" | "crash-loop" | "fsync-fails")
}

/// Which of two servers is the primary changes with every failover: a role says what it was at the start.
fn kills_primary(fault: &FaultSpec) -> bool {
    is_abrupt_failover(fault) || (is_death(fault) && server(fault).is_some())
}

fn kills_standby(fault: &FaultSpec) -> bool {
    is_death(fault) && server(fault).is_some()
}

fn is_bumped_ahead(fault: &FaultSpec) -> bool {
    let by = |fault| key(fault, "by", Between(Signed)).map(|by: Drawn<SignedSpan>| by.max());
    is_of_database_clock(fault) && by(fault).is_some_and(|by| by.0 > 0)
}

fn drifts_ahead(fault: &FaultSpec) -> bool {
    let field: Between<Number<i64>> = Between(number(i64::MIN..=i64::MAX));
    is_of_database_clock(fault) && key(fault, "ppm", field).is_some_and(|ppm| ppm.max() > 0)
}

fn is_of_database_clock(fault: &FaultSpec) -> bool {
    family(&fault.action, "") == Family::Clocks && server(fault).is_some()
}

fn is_denial(fault: &FaultSpec) -> bool {
    fault.action == "contradict" && word(fault, "how").as_deref() == Some("unknown-but-taken")
}

/// The hourly statement does not tell of every execution, or not in time.
fn hides_statement(fault: &FaultSpec) -> bool {
    let is_of_statements = || matches!(word(fault, "of").as_deref(), Some("statements" | "all"));
    match fault.action.as_str() {
        "statement-mismatch" => matches!(word(fault, "how").as_deref(), None | Some("missing")),
        "ack-late" | "ack-lost" | "request-late" | "request-lost" => is_of_statements(),
        "bank-down" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_have_names_reasons_and_known_invariants() {
        let known = super::super::invariants();
        let mut names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        for case in CASES {
            assert!(!case.about.ends_with('.') && !case.why.ends_with('.'), "{}", case.name);
            assert!(case.may_break.iter().all(|name| known.contains(name)), "{}", case.name);
            assert!(!case.may_break.is_empty() && case.others != Guarantee::MayBreak, "{}", case.name);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CASES.len(), "each has a name of its own");
    }
}
