//! Performs the planned faults, each step at its time, and says when each begins and ends.

use model::Timestamp;

use invariants::Fact;

use super::{PlannedFault, Stage, Step};
use crate::adapters::process::nanoseconds;

/// What happens next.
enum Event<'a> {
    Begins(&'a PlannedFault),
    Does(&'a PlannedFault, &'a Step),
    Ends(&'a PlannedFault),
}

/// Performs all of them; returns after the last step. What is for ever stays broken.
pub async fn perform(stage: &Stage, planned: &[PlannedFault]) {
    for (at, event) in events(planned) {
        stage.world.until(nanoseconds(at)).await;
        match event {
            Event::Begins(fault) => {
                let (action, target) = (fault.action.clone(), fault.target.clone());
                stage.world.tell_world(&Fact::FaultBegan { id: fault.id, action, target });
            }
            Event::Does(fault, step) => {
                tracing::debug!(fault = fault.id, action = fault.action, "{}", step.deed);
                step.deed.perform(stage, fault.id);
            }
            Event::Ends(fault) => stage.world.tell_world(&Fact::FaultEnded { id: fault.id }),
        }
    }
}

/// In the order of time; of one moment in the order of the faults, and within a fault of its steps.
fn events(planned: &[PlannedFault]) -> Vec<(Timestamp, Event<'_>)> {
    let mut events = Vec::new();
    for fault in planned {
        events.push((fault.from, Event::Begins(fault)));
        events.extend(fault.steps.iter().map(|step| (step.at, Event::Does(fault, step))));
        events.extend(fault.until.map(|until| (until, Event::Ends(fault))));
    }
    events.sort_by_key(|(at, _)| *at);
    events
}
