//! The cases in which an invariant need not hold, with the reason of each: the data of the table.

use invariants::{Family, family};
use scenario::read::{Between, Field, Flag, Number, OneTarget, Signed, Text, number};
use scenario::{Drawn, FaultSpec, Role, Scenario, SignedSpan, Target, TargetSpec};

use super::{Guarantee, Setting, nobody_left, replication};

/// A kind of fault under which some invariants need not hold.
pub struct Case {
    pub name: &'static str,
    /// What a scenario must have for it.
    pub about: &'static str,
    /// The faults that it is about.
    pub families: &'static [Family],
    /// Under which settings it can do harm.
    pub when: fn(Setting<'_>) -> bool,
    /// Where a scenario has it: the path of what is to blame.
    pub blames: fn(&Scenario) -> Option<String>,
    pub may_break: &'static [&'static str],
    pub others: Others,
    pub why: &'static str,
}

/// What is said of the invariants that a case is not about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    Hold,
    NothingIsSaid,
    /// They hold but for these, of which nothing is said.
    HoldBut(&'static [&'static str]),
}

impl Case {
    pub fn guarantee(&self, invariant: &str) -> Guarantee {
        if self.may_break.contains(&invariant) {
            return Guarantee::MayBreak;
        }
        match self.others {
            Others::NothingIsSaid => Guarantee::Outside,
            Others::HoldBut(names) if names.contains(&invariant) => Guarantee::Outside,
            Others::Hold | Others::HoldBut(_) => Guarantee::Holds,
        }
    }
}

const DURABLE: &[&str] = &["acknowledged_is_durable"];
/// Invariants that also say what must have happened in the end.
const JUDGED_AT_REST: &[&str] = &[
    "settlement_date_correct",
    "batch_complete",
    "settles_exactly_once",
    "reconciled",
    "notified_once_after_commit",
    "delivery_versus_payment",
    "stream_events_in_order",
    "batch_once_per_date",
];
/// A log that lacks what was read from it: its readers stand still until somebody looks.
const LOST_MESSAGE: &[&str] = &["every_trade_terminates"];
const COMMIT: &str = "topology.postgres.synchronous_commit";

/// In the order of the table's notes.
pub const CASES: &[Case] = &[
    Case {
        name: "forced failover",
        about: "`failover` with `force = true`",
        families: &[Family::Databases],
        when: |_| true,
        blames: |scenario| first(scenario, "force", is_forced),
        may_break: DURABLE,
        others: Others::NothingIsSaid,
        why: "a standby that is not synchronous may be promoted, and lacks what the old primary acknowledged; all \
              else follows from that loss",
    },
    Case {
        name: "failover without waiting",
        about: "`failover` by crash or partition",
        families: &[Family::Databases],
        when: |setting| setting.synchronous_standby && matches!(setting.synchronous_commit, "off" | "local"),
        blames: |scenario| scenario.faults.iter().any(is_abrupt_failover).then(|| COMMIT.to_owned()),
        may_break: DURABLE,
        others: Others::NothingIsSaid,
        why: "commits are acknowledged before the standby has them, and a failover loses those; all else follows \
              from that loss",
    },
    Case {
        name: "crash without a flush",
        about: "the death of a primary: `kill`, `slow-start`, `crash-loop`, `fsync-fails`, `failover`, and `stop` and \
                `rolling-restart`, which kill when their grace is over",
        families: &[Family::Databases],
        when: |setting| setting.synchronous_commit == "off",
        blames: |scenario| scenario.faults.iter().any(kills_primary).then(|| COMMIT.to_owned()),
        may_break: DURABLE,
        others: Others::NothingIsSaid,
        why: "commits are acknowledged before they are flushed, and a crash loses those; all else follows from that \
              loss",
    },
    Case {
        name: "failover to a standby that crashed",
        about: "`failover`, and the death of a standby",
        families: &[Family::Databases],
        when: |setting| setting.synchronous_standby && setting.synchronous_commit == "remote_write",
        blames: |scenario| {
            let promotes = scenario.faults.iter().filter(|fault| fault.action == "failover");
            let mut promoted = promotes.filter_map(database);
            let hit: Vec<&str> =
                scenario.faults.iter().filter(|fault| is_death(fault)).filter_map(database).collect();
            promoted.any(|name| hit.contains(&name)).then(|| COMMIT.to_owned())
        },
        may_break: DURABLE,
        others: Others::NothingIsSaid,
        why: "commits are acknowledged when the standby has written them, and its crash loses what it has not \
              flushed; all else follows from that loss",
    },
    Case {
        name: "database ahead",
        about: "`clock-bump`, `clock-strobe` or `clock-drift` that puts the clock of a database ahead",
        families: &[Family::Clocks],
        when: |_| true,
        blames: |scenario| {
            first(scenario, "by", is_bumped_ahead).or_else(|| first(scenario, "ppm", drifts_ahead))
        },
        may_break: &["not_early"],
        others: Others::Hold,
        why: "cut-offs are taken from database time, so with a clock that is ahead settlement opens before 18:00",
    },
    Case {
        name: "order denied",
        about: "`contradict` with `how = \"unknown-but-taken\"`, and statements that are lost, late or lack a line, orders \
                that pend, which are on none, or anything that keeps payment from the bank",
        families: &[Family::Rails],
        when: |_| true,
        blames: |scenario| {
            let silent = scenario.faults.iter().any(hides_statement);
            first(scenario, "how", is_denial).filter(|_| silent)
        },
        may_break: &["payment_once_per_leg", "reconciled"],
        others: Others::Hold,
        why: "after an order's validity \"not found\" is taken for a refusal, unless a statement has told of it: a bank \
              that has it all the same is paid with a second order",
    },
    Case {
        name: "order forgotten",
        about: "`dedup-expired`",
        families: &[Family::Rails],
        when: |_| true,
        blames: |scenario| first(scenario, "action", |fault| fault.action == "dedup-expired"),
        may_break: &["payment_once_per_leg", "cash_conserved", "reconciled"],
        others: Others::Hold,
        why: "a bank that has forgotten a UETR executes it again when a rail repeats it: no platform can see to that",
    },
    Case {
        name: "execution claimed",
        about: "`contradict` with `how = \"executed-but-refused\"` or `\"credit-after-refusal\"`",
        families: &[Family::Rails],
        when: |_| true,
        blames: |scenario| first(scenario, "how", is_claim),
        may_break: &["cash_conserved", "reconciled"],
        others: Others::HoldBut(&["payment_once_per_leg", "delivery_versus_payment"]),
        why: "an execution that the bank tells of is believed at once, because cash that has moved cannot be called \
              back: one that never was is seen by reconciliation, after what follows a payment has been done",
    },
    Case {
        name: "nobody left",
        about: "`kill` and `broker-down` with `stays_dead = true` that together can hit every instance of a service, more \
                brokers than a partition can spare (its replicas less `min.insync.replicas`), both servers of a database, the primary of one that no \
                single `failover` follows, the standby of one that fails over, or a party outside",
        families: &[Family::Processes, Family::Databases, Family::Kafka],
        when: |_| true,
        blames: nobody_left::blames,
        may_break: &["every_trade_terminates"],
        others: Others::HoldBut(JUDGED_AT_REST),
        why: "what only they could do is never done",
    },
    Case {
        name: "power lost together",
        about: "`power-loss`, or `kill` and `broker-down` with `machine = true`, that hit as many brokers as \
                `min.insync.replicas` within ten minutes",
        families: &[Family::Processes, Family::Kafka],
        when: |_| true,
        blames: replication::power_lost_together,
        may_break: LOST_MESSAGE,
        others: Others::HoldBut(JUDGED_AT_REST),
        why: "a message that is acknowledged is in the memory of so many brokers, and on no disk before it is written \
              back; who has read further than a log goes stands still until somebody looks",
    },
    Case {
        name: "unclean election",
        about: "`unclean-election`",
        families: &[Family::Kafka],
        when: |_| true,
        blames: |scenario| first(scenario, "action", |fault| fault.action == "unclean-election"),
        may_break: LOST_MESSAGE,
        others: Others::HoldBut(JUDGED_AT_REST),
        why: "a leader that was not in sync lacks messages that were acknowledged, and makes the others forget them",
    },
    Case {
        name: "unclean elections by themselves",
        about: "anything that stops, cuts off or slows brokers",
        families: &[Family::Kafka],
        when: |setting| setting.unclean_leader_election,
        blames: |scenario| replication::hits_brokers(scenario).then(|| replication::UNCLEAN.to_owned()),
        may_break: LOST_MESSAGE,
        others: Others::HoldBut(JUDGED_AT_REST),
        why: "a broker that lacks messages leads as soon as no other is alive, and makes the others forget them",
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

/// The database whose servers a fault hits.
fn database(fault: &FaultSpec) -> Option<&str> {
    match fault.target.as_ref().map(TargetSpec::target) {
        Some(Target::Database { name, .. }) => Some(name),
        _ => None,
    }
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
    let action = fault.action.as_str();
    matches!(action, "kill" | "slow-start" | "crash-loop" | "fsync-fails" | "stop" | "rolling-restart")
}

/// Which of two servers is the primary changes with every failover: a role says what it was at the start.
fn kills_primary(fault: &FaultSpec) -> bool {
    is_abrupt_failover(fault) || (is_death(fault) && server(fault).is_some())
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

fn is_claim(fault: &FaultSpec) -> bool {
    let how = word(fault, "how");
    fault.action == "contradict"
        && matches!(how.as_deref(), Some("executed-but-refused" | "credit-after-refusal"))
}

/// The hourly statement does not tell of every order that the bank has, or not in time.
fn hides_statement(fault: &FaultSpec) -> bool {
    let is_of_statements = || matches!(word(fault, "of").as_deref(), Some("statements" | "all"));
    match fault.action.as_str() {
        "statement-mismatch" => matches!(word(fault, "how").as_deref(), None | Some("missing")),
        "ack-late" | "ack-lost" | "request-late" | "request-lost" => is_of_statements(),
        "cutoff-missed" => word(fault, "how").as_deref() == Some("pending"),
        "pending" => true,
        _ => keeps_from_bank(fault),
    }
}

/// Whether a fault hits payment, its database or the bank, or the links to one of these.
fn keeps_from_bank(fault: &FaultSpec) -> bool {
    let is_one = |target: &Target| match target {
        Target::Service { name, .. } | Target::Outside { name } => {
            matches!(name.as_str(), "payment" | "bank")
        }
        Target::Database { name, .. } => name == "payment",
        Target::Broker { .. } => false,
    };
    let hits = fault.target.as_ref().is_some_and(|target| is_one(target.target()));
    match family(&fault.action, "") {
        Family::Rails => fault.action == "bank-down",
        Family::Links => hits || key(fault, "with", OneTarget).is_some_and(|with| is_one(&with)),
        _ => hits,
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
            assert!(!case.may_break.is_empty() && !case.families.is_empty(), "{}", case.name);
            if let Others::HoldBut(names) = case.others {
                assert!(names.iter().all(|name| known.contains(name)), "{}", case.name);
            }
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CASES.len(), "each has a name of its own");
    }
}
