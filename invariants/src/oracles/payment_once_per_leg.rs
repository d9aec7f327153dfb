//! The bank executes each payment leg at most once, whatever UETRs it was asked under; a definite outcome stays.
//!
//! Why it can break: a timeout taken for a refusal, so that the same leg is sent again under a new UETR; a
//! bank's deduplication window shorter than the retries; a batch that runs twice. An execution is counted
//! twice over: by the leg that its UETR turns out to belong to, and before anyone tells, against all
//! instructed legs of the same debtor, creditor and amount. A return of the cash allows one more. Another attempt
//! follows only after a definite refusal of the one before, and nothing follows an execution.

use std::collections::BTreeMap;

use contracts::Message;
use contracts::events::{PaymentInstruction, PaymentOutcome, payment_stored};

use crate::book::{entry, likeness};
use crate::fact::{BankKind, BankMovement};
use crate::read::{messages, payment, subject, trade_of_leg};
use crate::{Fact, FactKind, Invariant, Record, Verdict, Violation};

#[derive(Clone, Default)]
pub struct PaymentOncePerLeg {
    legs: BTreeMap<String, Leg>,
    /// By `debtor creditor amount`.
    alike: BTreeMap<String, Alike>,
    /// Executed UETRs.
    executed: BTreeMap<String, u64>,
    /// Where each payment and withdrawal stands, by stream.
    standing: BTreeMap<String, Standing>,
}

/// The latest attempt, what became of it, and where it was told.
#[derive(Clone, Copy)]
struct Standing {
    attempt: u32,
    outcome: Option<Outcome>,
    at: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Executed,
    Refused,
}

#[derive(Clone, Default)]
struct Leg {
    /// The UETRs that are known to belong to the leg and were executed.
    executed: Vec<(String, u64)>,
}

/// Legs that only their ids tell apart.
#[derive(Clone, Default)]
struct Alike {
    instructed: u32,
    returns: u32,
    executed: Vec<u64>,
}

impl PaymentOncePerLeg {
    fn instructed(&mut self, leg: &str, payment: &PaymentInstruction) {
        if self.legs.contains_key(leg) {
            return;
        }
        self.legs.insert(leg.to_owned(), Leg::default());
        let (debtor, creditor, amount) = (&payment.debtor, &payment.creditor, &payment.amount);
        entry(&mut self.alike, &likeness(debtor, creditor, amount)).instructed += 1;
        if leg.ends_with("/return") {
            entry(&mut self.alike, &likeness(creditor, debtor, amount)).returns += 1;
        }
    }

    fn moved(&mut self, moved: &BankMovement, at: u64) -> Result<(), Violation> {
        let BankMovement { uetr, debtor, creditor, .. } = moved;
        if let Some(first) = self.executed.insert(uetr.clone(), at) {
            let why = format!("the bank executed {uetr} twice");
            return Err(Violation::new(why).about([uetr]).seen_at([first, at]));
        }
        let alike = entry(&mut self.alike, &likeness(debtor, creditor, &moved.amount));
        alike.executed.push(at);
        let (executed, instructed) = (alike.executed.len(), alike.instructed);
        if executed <= (instructed + alike.returns) as usize {
            return Ok(());
        }
        let why = format!(
            "the bank paid {} from {debtor} to {creditor} {executed} times, instructed were {instructed} \
             legs; this one is {uetr}",
            moved.amount
        );
        Err(Violation::new(why).about([uetr, debtor, creditor]).seen_at(alike.executed.iter().copied()))
    }

    /// Now it is known which leg a UETR belongs to.
    fn belongs(&mut self, uetr: &str, leg: &str, at: u64) -> Result<(), Violation> {
        let Some(executed_at) = self.executed.get(uetr).copied() else { return Ok(()) };
        let returned = self.legs.contains_key(&format!("{}/return", trade_of_leg(leg)));
        let executed = &mut entry(&mut self.legs, leg).executed;
        if executed.iter().any(|(known, _)| known == uetr) {
            return Ok(());
        }
        executed.push((uetr.to_owned(), executed_at));
        if executed.len() <= 1 + usize::from(returned && leg.ends_with("/buyer")) {
            return Ok(());
        }
        let uetrs: Vec<&str> = executed.iter().map(|(uetr, _)| uetr.as_str()).collect();
        let why = format!("the bank executed leg {leg} {} times: {}", uetrs.len(), uetrs.join(", "));
        let mut seen: Vec<u64> = executed.iter().map(|(_, executed_at)| *executed_at).collect();
        seen.sort_unstable();
        Err(Violation::new(why).about([leg]).about(uetrs).seen_at(seen).seen_at([at]))
    }

    /// An attempt starts, or has its definite outcome.
    fn steps(
        &mut self,
        stream: &str,
        attempt: u32,
        outcome: Option<Outcome>,
        at: u64,
    ) -> Result<(), Violation> {
        let known = self.standing.insert(stream.to_owned(), Standing { attempt, outcome, at });
        let follows = match (known, outcome) {
            (None, None) => attempt == 1,
            (Some(known), None) => known.outcome == Some(Outcome::Refused) && attempt == known.attempt + 1,
            (Some(known), Some(_)) => known.outcome.is_none() && attempt == known.attempt,
            // Of what was never ordered `cash_conserved` asks the bank.
            (None, Some(_)) => true,
        };
        if follows {
            return Ok(());
        }
        let named = |outcome: Option<Outcome>| match outcome {
            None => "under way",
            Some(Outcome::Executed) => "executed",
            Some(Outcome::Refused) => "refused",
        };
        let before = known.map_or("nothing".to_owned(), |known| {
            format!("attempt {}, which is {}", known.attempt, named(known.outcome))
        });
        let why = format!("{stream}: attempt {attempt} is {} after {before}", named(outcome));
        let since = known.map(|known| known.at).filter(|since| *since < at);
        Err(Violation::new(why).about([subject(stream)]).seen_at(since.into_iter().chain([at])))
    }

    fn standing(&mut self, fact: &Fact, at: u64) -> Result<(), Violation> {
        use payment_stored::Event;
        for (row, event) in payment(fact) {
            let (attempt, outcome) = match event {
                Event::Instructed(instruction) => (instruction.attempt, None),
                Event::WithdrawalRequested(_) => (1, None),
                Event::Confirmed(answer) | Event::WithdrawalPaid(answer) => {
                    (answer.attempt, Some(Outcome::Executed))
                }
                Event::Refused(answer) | Event::WithdrawalRefused(answer) => {
                    (answer.attempt, Some(Outcome::Refused))
                }
                _ => continue,
            };
            self.steps(&row.stream, attempt, outcome, at)?;
        }
        Ok(())
    }

    fn told(&mut self, fact: &Fact, at: u64) -> Result<(), Violation> {
        for (row, event) in payment(fact) {
            match event {
                payment_stored::Event::Instructed(instruction) => {
                    self.instructed(subject(&row.stream), instruction)
                }
                payment_stored::Event::Confirmed(answer) => {
                    self.belongs(&answer.uetr, subject(&row.stream), at)?
                }
                _ => {}
            }
        }
        for message in messages(fact) {
            if let Message::PaymentEvent(event) = message
                && event.outcome() == PaymentOutcome::Confirmed
            {
                self.belongs(&event.uetr, &event.leg_id, at)?;
            }
        }
        Ok(())
    }
}

impl Invariant for PaymentOncePerLeg {
    fn name(&self) -> &'static str {
        "payment_once_per_leg"
    }

    fn about(&self) -> &'static str {
        "The bank executes each payment leg at most once, net of returns, whatever UETRs it was asked \
         under, and another attempt follows only a definite refusal. It breaks when silence is taken for a refusal \
         and the leg is sent again under a new UETR."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Bank, FactKind::Committed]
    }

    fn fork(&self) -> Option<Box<dyn Invariant>> {
        Some(Box::new(self.clone()))
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        match record.fact {
            Fact::Bank(moved) if moved.kind == BankKind::Executed => {
                self.moved(moved, record.sequence).into()
            }
            fact => {
                let told = self.told(fact, record.sequence);
                told.and_then(|()| self.standing(fact, record.sequence)).into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use contracts::StoredEvent;
    use contracts::events::PaymentAnswered;

    use super::*;
    use crate::testing::{Commit, breaks, confirmed, executed, history, holds, paid, pays};

    #[test]
    fn holds_when_each_leg_is_paid_once() {
        let mut told = paid("T-1");
        told.extend(paid("T-2"));
        holds(PaymentOncePerLeg::default(), told);
    }

    #[test]
    fn breaks_on_a_second_uetr_before_anyone_confirms_it() {
        let told =
            history![pays("T-1/buyer", "B", "CCP"), executed("U-1", "B", "CCP"), executed("U-2", "B", "CCP")];
        breaks(
            PaymentOncePerLeg::default(),
            told,
            "from B to CCP 2 times, instructed were 1 legs; this one is U-2",
        );
    }

    #[test]
    fn breaks_when_the_second_uetr_hides_behind_another_leg() {
        let told = history![
            pays("T-1/buyer", "B", "CCP"),
            pays("T-2/buyer", "B", "CCP"),
            executed("U-1", "B", "CCP"),
            executed("U-2", "B", "CCP"),
            confirmed("T-1/buyer", "U-1"),
            confirmed("T-1/buyer", "U-2"),
        ];
        breaks(PaymentOncePerLeg::default(), told, "executed leg T-1/buyer 2 times: U-1, U-2");
    }

    fn instructed(attempt: u32) -> Commit {
        let mut commit = pays("T-1/buyer", "B", "CCP");
        if let Some(StoredEvent::Payment(payment_stored::Event::Instructed(instruction))) =
            &mut commit.0.events[0].event
        {
            instruction.attempt = attempt;
        }
        commit
    }

    fn answered(attempt: u32, event: fn(PaymentAnswered) -> payment_stored::Event) -> Commit {
        let uetr = format!("U-{attempt}");
        let answered = PaymentAnswered { attempt, uetr, reason: String::new() };
        Commit::by("payment").event("payment/T-1/buyer", event(answered))
    }

    #[test]
    fn holds_when_a_refused_payment_is_tried_again() {
        let told = history![
            instructed(1),
            answered(1, payment_stored::Event::Refused),
            instructed(2),
            executed("U-2", "B", "CCP"),
            answered(2, payment_stored::Event::Confirmed),
        ];
        holds(PaymentOncePerLeg::default(), told);
    }

    #[test]
    fn holds_when_the_answer_comes_long_after_the_execution() {
        let told = history![
            instructed(1),
            executed("U-1", "B", "CCP"),
            (1 << 40, answered(1, payment_stored::Event::Confirmed))
        ];
        holds(PaymentOncePerLeg::default(), told);
    }

    #[test]
    fn breaks_when_silence_is_taken_for_a_refusal() {
        let told = history![instructed(1), instructed(2)];
        breaks(
            PaymentOncePerLeg::default(),
            told,
            "attempt 2 is under way after attempt 1, which is under way",
        );
    }

    #[test]
    fn breaks_when_a_late_refusal_overwrites_an_execution() {
        let told = history![
            instructed(1),
            answered(1, payment_stored::Event::Confirmed),
            answered(1, payment_stored::Event::Refused),
        ];
        breaks(PaymentOncePerLeg::default(), told, "attempt 1 is refused after attempt 1, which is executed");
    }

    #[test]
    fn breaks_when_the_bank_forgets_a_uetr() {
        let told =
            history![pays("T-1/buyer", "B", "CCP"), executed("U-1", "B", "CCP"), executed("U-1", "B", "CCP")];
        breaks(PaymentOncePerLeg::default(), told, "executed U-1 twice");
    }
}
