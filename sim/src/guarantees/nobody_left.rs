//! Whether faults can leave nobody who does a part's work: who may be dead for ever, counted party by party.
//!
//! Counts the worst that could be drawn: every occurrence happens, and hits somebody whom no other has hit.

use std::collections::{BTreeMap, BTreeSet};

use scenario::read::Flag;
use scenario::{Calendar, FaultSpec, Ppm, Scenario, Setting, Target, TargetSpec};

/// The primary and the standby of a database, as its nodes are numbered.
const PRIMARY: u32 = 1;
const STANDBY: u32 = 2;

/// Who of a party may be dead for ever.
#[derive(Default)]
struct Dead {
    named: BTreeSet<u32>,
    /// How many more that are drawn.
    drawn: usize,
}

impl Dead {
    fn count(&self) -> usize {
        self.named.len() + self.drawn
    }

    fn may_be(&self, number: u32) -> bool {
        self.drawn > 0 || self.named.contains(&number)
    }
}

/// The first fault after which nobody may be left.
pub fn blames(scenario: &Scenario) -> Option<String> {
    let mut parties: BTreeMap<String, Dead> = BTreeMap::new();
    for (index, fault) in scenario.faults.iter().enumerate().filter(|(_, fault)| is_for_ever(fault)) {
        let Some(spec) = &fault.target else { continue };
        let nodes = scenario.nodes_of(spec.target());
        let Some(party) = nodes.first().map(|(party, _)| party.clone()) else { continue };
        let each = match spec {
            TargetSpec::One(_) => nodes.len(),
            TargetSpec::Shaped { shape, .. } => shape.drawn_of(nodes.len()),
        };
        let hit = each * occurrences(scenario, fault);
        let dead = parties.entry(party).or_default();
        if hit >= nodes.len() {
            dead.named.extend(nodes.iter().map(|(_, number)| *number));
        } else {
            dead.drawn += hit;
        }
        if is_too_many(scenario, spec.target(), dead) {
            return Some(format!("fault[{index}].stays_dead"));
        }
    }
    None
}

fn is_for_ever(fault: &FaultSpec) -> bool {
    matches!(fault.action.as_str(), "kill" | "broker-down")
        && fault.params.key("stays_dead", Flag) == Some(true)
}

/// How often it can happen. Times that cannot be resolved are refused elsewhere.
fn occurrences(scenario: &Scenario, fault: &FaultSpec) -> usize {
    let calendar = Calendar::xnys();
    let Ok(run) = scenario.run(&calendar) else { return 0 };
    fault.occurrences(&run, &calendar, false, &mut |_| 0).map_or(0, |occurrences| occurrences.len())
}

fn is_too_many(scenario: &Scenario, target: &Target, dead: &Dead) -> bool {
    let all = |target: Target| scenario.nodes_of(&target).len();
    match target {
        Target::Service { name, .. } => {
            dead.count() >= all(Target::Service { name: name.clone(), instance: None })
        }
        Target::Broker { .. } => dead.count() > spare_brokers(scenario),
        Target::Outside { name } => dead.count() >= all(Target::Outside { name: name.clone() }),
        Target::Database { name, .. } => {
            let both = dead.count() >= all(Target::Database { name: name.clone(), role: None });
            let (failovers, is_certain) = failovers(scenario, name);
            let is_replaced = failovers == 1 && is_certain && scenario.topology.postgres.synchronous_standby;
            // After a failover the server that began as the standby is the primary.
            both || (dead.may_be(PRIMARY) && !is_replaced) || (dead.may_be(STANDBY) && failovers > 0)
        }
    }
}

/// How many brokers may be dead for ever: a partition's replicas, less those that `acks=all` needs.
fn spare_brokers(scenario: &Scenario) -> usize {
    let kafka = &scenario.topology.kafka;
    let setting = |name: &str, default: i64| match kafka.settings.get(name) {
        Some(Setting::Integer(value)) => *value,
        _ => default,
    };
    let replicas = setting("default.replication.factor", 3).min(i64::from(kafka.brokers));
    let needed = setting("min.insync.replicas", 2).min(replicas);
    usize::try_from(replicas - needed).unwrap_or(0)
}

/// How often a database fails over at most, and whether it is certain to.
fn failovers(scenario: &Scenario, database: &str) -> (usize, bool) {
    let is_of = |fault: &&FaultSpec| {
        let target = fault.target.as_ref().map(TargetSpec::target);
        fault.action == "failover"
            && matches!(target, Some(Target::Database { name, .. }) if name == database)
    };
    let faults = || scenario.faults.iter().filter(is_of);
    let count = faults().map(|fault| occurrences(scenario, fault)).sum();
    (count, faults().all(|fault| fault.odds_ppm == Ppm(Ppm::MILLION)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::subject::catalogue;

    const DAY: &str = r#"
        name = "day"
        about = "A day."
        expect = "violation:every_trade_terminates"
        [market]
        venue = "XNYS"
        start = "2026-03-03T09:00"
        until = "settled"
        instruments = 5
        accounts = 20
        opening = { cash = "1000000.00", shares = 1_000 }
        [[load]]
        name = "session"
        profile = "trades"
        from = "09:30"
        to = "16:00"
        count = 10
        sizes = { min = 1, max = 10 }
        price = { min = "10.00", max = "20.00" }
    "#;

    /// The place that is blamed, where these are dead for ever.
    fn blamed(faults: &[&str]) -> Option<String> {
        let table = |fault: &&str| {
            let for_ever = if fault.contains("failover") { "" } else { "stays_dead = true" };
            let at = if fault.contains("every") { "" } else { "at = \"2026-03-03T11:00\"" };
            let target = if fault.contains("target") {
                (*fault).to_owned()
            } else {
                format!("action = \"kill\"\ntarget = {fault}")
            };
            format!("[[fault]]\n{target}\n{at}\n{for_ever}\n")
        };
        let text = DAY.to_owned() + &faults.iter().map(table).collect::<String>();
        let scenario = scenario::load_str("day", &text, &catalogue(), &[]);
        blames(&scenario.unwrap_or_else(|mistakes| panic!("{mistakes}")))
    }

    const FAILOVER: &str = "action = \"failover\"\ntarget = \"postgres/trade\"";

    #[test]
    fn who_has_a_fellow_may_die() {
        for fault in [
            "\"position/1\"",
            "{ shape = \"one\", of = \"position\" }",
            "\"postgres/trade/standby\"",
            "\"kafka/1\"",
        ] {
            assert_eq!(blamed(&[fault]), None, "{fault}");
        }
        assert_eq!(blamed(&["\"position/1\"", "\"position/1\"", "\"trade/2\""]), None);
        assert_eq!(blamed(&[FAILOVER, "\"postgres/trade/primary\""]), None, "the standby takes over");
    }

    #[test]
    fn somebody_must_be_left() {
        let every = "action = \"kill\"\ntarget = { shape = \"one\", of = \"position\" }\nevery = \"1h\"\n\
                     from = \"10:00\"\nto = \"15:00\"";
        let alone = [
            "\"position\"",
            "\"ledger/1\"",
            "\"postgres/trade\"",
            "\"postgres/trade/primary\"",
            "\"bank\"",
            every,
        ];
        for fault in alone {
            assert_eq!(blamed(&[fault]).as_deref(), Some("fault[0].stays_dead"), "{fault}");
        }
        for two in [
            ["\"position/1\"", "\"position/2\""],
            ["\"position/1\"", "{ shape = \"one\", of = \"position\" }"],
            ["\"postgres/trade/standby\"", "\"postgres/trade/primary\""],
            [FAILOVER, "\"postgres/trade/standby\""],
            ["\"kafka/1\"", "\"kafka/3\""],
        ] {
            assert_eq!(blamed(&two).as_deref(), Some("fault[1].stays_dead"), "{two:?}");
        }
    }
}
