//! Payment's rules, done wrong.

use contracts::events::PaymentAnswered;
use contracts::events::payment_stored::Event;
use host::Decision;
use scenario::Sabotage;
use services::payment::{Command, Payment};

use super::{Sabotable, changed};
use crate::sabotage::Odds;
use crate::sabotage::service::{Decided, Rule, Sight};

impl Sabotable for Payment {
    fn rule(habit: &Sabotage, _: &Odds) -> Option<Box<dyn Rule<Self>>> {
        Some(match habit.habit.as_str() {
            "references-forgotten" => Box::new(ReferencesForgotten),
            "refusal-overwrites" => Box::new(RefusalOverwrites),
            _ => return None,
        })
    }
}

/// Knows a credit notice by its key only, and not by the reference of the entry that it is of.
struct ReferencesForgotten;

impl Rule<Payment> for ReferencesForgotten {
    fn sees(&self, command: &Command, sight: &mut Sight<Payment>) {
        if let Command::TakeNotice(_) = command {
            sight.states.retain(|stream, _| stream.kind() != "credit");
        }
    }
}

/// Takes what it hears last of a payment for its outcome, where a refusal is told after the execution.
struct RefusalOverwrites;

impl Rule<Payment> for RefusalOverwrites {
    fn decides(&self, command: &Command, _: &Sight<Payment>, decided: Decided<Payment>) -> Decided<Payment> {
        let Command::HearRefusal { stream, attempt, reason } = command else { return decided };
        changed::<Payment>(decided, |decision| {
            let contradicts = |event: &Event| matches!(event, Event::BreakOpened(_));
            if !decision.events.iter().any(|(_, event)| contradicts(event)) {
                return decision;
            }
            let refused =
                PaymentAnswered { attempt: *attempt, reason: reason.clone(), ..PaymentAnswered::default() };
            let event = match stream.kind() {
                "withdrawal" => Event::WithdrawalRefused(refused),
                _ => Event::Refused(refused),
            };
            Decision::none().event(stream.clone(), event)
        })
    }
}
