//! Drawing every fault of a run: a scenario and a seed become planned faults, in the order of beginning.
//!
//! Each `[[fault]]` draws from a stream of its own, labelled by its action and its number among those of that
//! action, so that another fault leaves it as it was.

use std::collections::BTreeMap;

use outside::plan::Plan;
use scenario::Scenario;
use serde::Serialize;

use super::scene::Scene;
use super::{PlannedFault, kinds};
use crate::platform::layout::Layout;
use crate::world::rng::Rng;

/// Draws the faults of a run. The loader has checked every name, target and time.
pub fn draw(scenario: &Scenario, plan: &Plan, seed: u64) -> Vec<PlannedFault> {
    if scenario.faults.is_empty() {
        return Vec::new();
    }
    let (layout, calendar, kinds) = (Layout::of(scenario, plan), scenario::Calendar::xnys(), kinds());
    let run = scenario.run(&calendar).expect("the loader resolves the run's times");
    let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
    let mut planned = Vec::new();
    for spec in &scenario.faults {
        let number = numbers.entry(&spec.action).or_default();
        *number += 1;
        let mut rng = Rng::labelled(seed, &format!("fault/{}/{number}", spec.action));
        let kind = kinds.iter().find(|kind| kind.action.name == spec.action);
        let kind = kind.expect("the loader knows every action");
        let is_momentary = kind.action.is_momentary;
        let occurrences = spec.occurrences(&run, &calendar, is_momentary, &mut |bound| rng.below(bound));
        for occurrence in occurrences.expect("the loader resolves the times of faults") {
            let mut scene = Scene { spec, occurrence, layout: &layout, rng: &mut rng };
            let drawn = (kind.draw)(&mut scene);
            let until = drawn.steps.iter().map(|step| step.at).max().unwrap_or(occurrence.until);
            planned.push(PlannedFault {
                id: 0,
                action: spec.action.clone(),
                target: drawn.target,
                from: occurrence.from,
                until: (!drawn.is_for_ever).then_some(until),
                steps: drawn.steps,
            });
        }
    }
    planned.sort_by_key(|fault| fault.from);
    for (id, fault) in (1..).zip(&mut planned) {
        fault.id = id;
    }
    planned
}

/// A planned fault as `--plan` prints it.
#[derive(Serialize)]
struct Printed<'a> {
    id: u32,
    action: &'a str,
    target: &'a str,
    from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    steps: Vec<String>,
}

#[derive(Serialize)]
struct Faults<'a> {
    #[serde(rename = "fault", skip_serializing_if = "Vec::is_empty")]
    faults: Vec<Printed<'a>>,
}

/// The faults as TOML, every step with its moment.
pub fn to_toml(planned: &[PlannedFault]) -> String {
    let printed = planned.iter().map(|fault| Printed {
        id: fault.id,
        action: &fault.action,
        target: &fault.target,
        from: fault.from.to_string(),
        until: fault.until.map(|until| until.to_string()),
        steps: fault.steps.iter().map(|step| format!("{} {}", step.at, step.deed)).collect(),
    });
    let faults = Faults { faults: printed.collect() };
    toml::to_string(&faults).expect("texts and numbers are TOML")
}
