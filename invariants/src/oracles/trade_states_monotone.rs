//! A trade's state only goes forward, and never leaves SETTLED, REJECTED or FAILED.
//!
//! Why it can break: the steps arrive on several topics without mutual order. A late "validated" after
//! "cleared", or a late refusal after the settlement, must be filed as history and not become the state.

use std::collections::BTreeMap;

use contracts::events::TradeState;
use contracts::events::trade_stored::Event;

use crate::read::{subject, trade};
use crate::{FactKind, Invariant, Record, Verdict, Violation};

#[derive(Clone, Default)]
pub struct TradeStatesMonotone {
    /// The state of each trade since a record; no state before it is accepted. Terminal ones must stay.
    trades: BTreeMap<String, (Option<TradeState>, u64)>,
}

fn is_terminal(state: TradeState) -> bool {
    matches!(state, TradeState::Settled | TradeState::Rejected | TradeState::Failed)
}

/// Whether a trade may go from one state to another. REJECTED is only reached before validation.
fn may_follow(from: Option<TradeState>, to: TradeState) -> bool {
    match (from, to) {
        (_, TradeState::Unspecified) => false,
        (None, _) => matches!(to, TradeState::Submitted | TradeState::Rejected),
        (Some(from), to) if from == to => true,
        (Some(from), _) if is_terminal(from) => false,
        (Some(from), TradeState::Rejected) => from == TradeState::Submitted,
        (Some(from), to) => from < to,
    }
}

/// The state after a step, by our own rule.
fn furthest(from: Option<TradeState>, step: TradeState) -> TradeState {
    match from {
        Some(from) if is_terminal(from) || step <= from => from,
        _ => step,
    }
}

fn named(state: Option<TradeState>) -> &'static str {
    state.map_or("no state", |state| state.as_str_name().trim_start_matches("TRADE_STATE_"))
}

impl TradeStatesMonotone {
    fn follow(&mut self, id: &str, event: &Event, at: u64) -> Result<(), Violation> {
        let known = self.trades.get(id).copied();
        let (from, since) = known.unwrap_or((None, 0));
        let broken = |why: String| {
            let seen = [since, at].into_iter().filter(|record| *record > 0);
            Err(Violation::new(format!("trade {id} {why}")).about([id]).seen_at(seen))
        };
        let to = match event {
            Event::Received(_) if known.is_some() => return broken("is received twice".to_owned()),
            Event::Received(_) => {
                self.trades.insert(id.to_owned(), (None, at));
                return Ok(());
            }
            Event::Accepted(_) if from.is_some() => {
                return broken(format!("is accepted while {}", named(from)));
            }
            Event::Accepted(_) => TradeState::Submitted,
            Event::Refused(_) => TradeState::Rejected,
            Event::Advanced(advanced) => {
                let expected = furthest(from, advanced.step());
                if advanced.state() != expected && may_follow(from, advanced.state()) {
                    let (step, state) = (named(Some(advanced.step())), named(Some(advanced.state())));
                    return broken(format!("was {} and is {state} after the step {step}", named(from)));
                }
                advanced.state()
            }
            _ => return Ok(()),
        };
        if !may_follow(from, to) {
            return broken(format!("goes from {} to {}", named(from), named(Some(to))));
        }
        self.trades.insert(id.to_owned(), (Some(to), at));
        Ok(())
    }
}

impl Invariant for TradeStatesMonotone {
    fn name(&self) -> &'static str {
        "trade_states_monotone"
    }

    fn about(&self) -> &'static str {
        "A trade's state only goes forward and never leaves SETTLED, REJECTED or FAILED. It breaks when \
         steps that arrive late, on topics without mutual order, become the state instead of being filed as \
         history."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn fork(&self) -> Option<Box<dyn Invariant>> {
        Some(Box::new(self.clone()))
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        trade(record.fact)
            .filter(|(row, _)| row.stream.starts_with("trade/"))
            .try_for_each(|(row, event)| self.follow(subject(&row.stream), event, record.sequence))
            .into()
    }
}

#[cfg(test)]
mod tests {
    use contracts::events::TradeState::{Cleared, Failed, Instructed, Rejected, Settled, Validated};

    use super::*;
    use crate::testing::{Commit, Told, advanced, breaks, holds, received, taken};

    fn life(steps: &[(TradeState, TradeState)]) -> Vec<Told> {
        let commit = |event| Told::from(Commit::by("trade").event("trade/T-1", event));
        let steps = steps.iter().map(|(step, state)| advanced(*step, *state));
        [received("T-1"), taken()].into_iter().chain(steps).map(commit).collect()
    }

    #[test]
    fn holds_when_late_steps_are_history() {
        let steps = [(Cleared, Cleared), (Validated, Cleared), (Instructed, Instructed), (Settled, Settled)];
        holds(TradeStatesMonotone::default(), life(&steps));
        let steps = [(Settled, Settled), (Instructed, Settled), (Validated, Settled)];
        holds(TradeStatesMonotone::default(), life(&steps));
    }

    #[test]
    fn breaks_when_a_late_step_becomes_the_state() {
        let told = life(&[(Cleared, Cleared), (Validated, Validated)]);
        breaks(TradeStatesMonotone::default(), told, "goes from CLEARED to VALIDATED");
    }

    #[test]
    fn breaks_when_a_terminal_state_is_left() {
        let told = life(&[(Settled, Settled), (Failed, Failed)]);
        breaks(TradeStatesMonotone::default(), told, "goes from SETTLED to FAILED");
        let told = life(&[(Validated, Validated), (Rejected, Rejected)]);
        breaks(TradeStatesMonotone::default(), told, "goes from VALIDATED to REJECTED");
    }

    #[test]
    fn breaks_when_a_step_is_lost() {
        let told = life(&[(Validated, Validated), (Instructed, Validated)]);
        breaks(
            TradeStatesMonotone::default(),
            told,
            "was VALIDATED and is VALIDATED after the step INSTRUCTED",
        );
    }
}
