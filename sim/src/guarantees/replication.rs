//! What can lose a message that was read already: power that goes at several brokers, and unclean elections. A message that
//! nobody has read may be lost, as with `acks = 1`: its source is asked for it.

use invariants::{Family, family};
use scenario::read::Flag;
use scenario::{Calendar, FaultSpec, Scenario, Target, TargetKind, TargetSpec, TimeSpan};

use super::Setting;

pub const UNCLEAN: &str = "topology.kafka.\"unclean.leader.election.enable\"";
/// Two brokers that lose their power further apart than this have written back what they had, or fetched it again.
const APART: TimeSpan = TimeSpan::from_secs(600);

/// Faults of Kafka that leave brokers and leaders as they are.
const HARMLESS: &[&str] =
    &["coordinator-move", "poison", "rebalance", "redeliver", "slow-fetch", "retention"];

/// Whether a fault stops, cuts off or slows brokers, or moves leaders.
pub fn hits_brokers(scenario: &Scenario) -> bool {
    scenario.faults.iter().any(|fault| match family(&fault.action, "") {
        Family::Kafka => !HARMLESS.contains(&fault.action.as_str()),
        // What cuts off a service's every link cuts its broker's too, but no broker from another.
        _ => target(fault).is_some_and(|target| target.kind() == TargetKind::Broker),
    })
}

fn target(fault: &FaultSpec) -> Option<&Target> {
    fault.target.as_ref().map(TargetSpec::target)
}

fn takes_power(fault: &FaultSpec) -> bool {
    let machine = || fault.params.key("machine", Flag) == Some(true);
    let is_loss = match fault.action.as_str() {
        "power-loss" => true,
        "kill" | "broker-down" => machine(),
        _ => false,
    };
    is_loss && target(fault).is_some_and(|target| target.kind() == TargetKind::Broker)
}

/// How many brokers one occurrence hits at most.
fn hit_at_once(scenario: &Scenario, fault: &FaultSpec) -> usize {
    match &fault.target {
        None => 0,
        Some(TargetSpec::One(target)) => scenario.nodes_of(target).len(),
        Some(TargetSpec::Shaped { shape, of }) => shape.drawn_of(scenario.nodes_of(of).len()),
    }
}

/// The first fault by which as many brokers as a message needs may lose their power within [`APART`].
pub fn power_lost_together(scenario: &Scenario) -> Option<String> {
    let needed = usize::try_from(Setting::of(scenario).min_insync_replicas).unwrap_or(1);
    let calendar = Calendar::xnys();
    let run = scenario.run(&calendar).ok()?;
    let mut losses = Vec::new();
    for (index, fault) in scenario.faults.iter().enumerate().filter(|(_, fault)| takes_power(fault)) {
        let hit = hit_at_once(scenario, fault);
        // As early and as late as an occurrence can be drawn: between them it may be anywhere.
        let [early, late] = [false, true].map(|late| {
            let mut draw = |bound: u64| if late { bound.saturating_sub(1) } else { 0 };
            fault.occurrences(&run, &calendar, false, &mut draw).unwrap_or_default()
        });
        let spans = early.iter().zip(&late).map(|(early, late)| (early.from, late.from, hit, index));
        losses.extend(spans);
    }
    losses.sort_unstable_by_key(|(early, ..)| *early);
    for (place, (from, ..)) in losses.iter().enumerate() {
        let mut hit = 0;
        for (_, late, brokers, index) in &losses[..=place] {
            if late.checked_add(APART.0).is_ok_and(|until| until > *from) {
                hit += brokers;
            }
            if hit >= needed {
                return Some(format!("fault[{index}].action"));
            }
        }
    }
    None
}
