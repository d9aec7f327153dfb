//! Nothing happens for a trade before position has validated it, and nothing for one that was rejected.
//!
//! Why it can break: clearing, settlement and payment listen to topics without mutual order. Whoever acts on
//! "submitted", or on a message that outran its validation, clears a trade that may yet be refused.

use std::collections::BTreeMap;

use contracts::Message;
use contracts::events::{clearing_stored, position_stored, settlement_stored, trade_stored};

use crate::read::{clearing, ledger, messages, payment, position, settlement, subject, trade, trade_of_leg};
use crate::{Fact, FactKind, Invariant, Record, Verdict, Violation};

#[derive(Clone, Default)]
pub struct EffectsFollowValidation {
    /// What was answered for each trade, and where. Kept: an effect may come late.
    answers: BTreeMap<String, (Answer, u64)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Validated,
    Rejected,
}

impl EffectsFollowValidation {
    fn answer(&mut self, id: &str, answer: Answer, at: u64) -> Result<(), Violation> {
        match self.answers.get(id) {
            None => {
                self.answers.insert(id.to_owned(), (answer, at));
                Ok(())
            }
            Some((known, _)) if *known == answer => Ok(()),
            Some((_, since)) => {
                let why = format!("trade {id} is both validated and rejected");
                Err(Violation::new(why).about([id]).seen_at([*since, at]))
            }
        }
    }

    fn effect(&self, id: &str, what: &str, at: u64) -> Result<(), Violation> {
        match self.answers.get(id) {
            Some((Answer::Validated, _)) => Ok(()),
            Some((Answer::Rejected, since)) => {
                let why = format!("{what} for trade {id}, which was rejected");
                Err(Violation::new(why).about([id]).seen_at([*since, at]))
            }
            None => {
                let why = format!("{what} for trade {id}, which nobody has validated");
                Err(Violation::new(why).about([id]).seen_at([at]))
            }
        }
    }

    fn answers(&mut self, fact: &Fact, at: u64) -> Result<(), Violation> {
        for message in messages(fact) {
            let (trade, answer) = match message {
                Message::TradeValidated(validated) => (&validated.trade, Answer::Validated),
                Message::TradeRejected(rejected) => (&rejected.trade, Answer::Rejected),
                _ => continue,
            };
            if let Some(trade) = trade {
                self.answer(&trade.trade_id, answer, at)?;
            }
        }
        for (row, event) in trade(fact) {
            if matches!(event, trade_stored::Event::Refused(_)) {
                self.answer(subject(&row.stream), Answer::Rejected, at)?;
            }
        }
        Ok(())
    }

    fn effects(&self, fact: &Fact, at: u64) -> Result<(), Violation> {
        for (_, event) in position(fact) {
            use position_stored::Event::{Blocked, Delivered, Received};
            if let Blocked(step) | Delivered(step) | Received(step) = event {
                self.effect(&step.trade_id, "position moves shares", at)?;
            }
        }
        for (row, event) in clearing(fact) {
            if matches!(event, clearing_stored::Event::Novated(_)) {
                self.effect(subject(&row.stream), "clearing novates", at)?;
            }
        }
        for (row, event) in settlement(fact) {
            // A break is how settlement says that it did not believe an answer.
            let is_effect = !matches!(event, settlement_stored::Event::BreakOpened(_));
            if is_effect && row.stream.starts_with("obligation") {
                self.effect(subject(&row.stream), "settlement acts", at)?;
            }
        }
        for (row, _) in payment(fact) {
            if row.stream.starts_with("payment/") {
                self.effect(trade_of_leg(subject(&row.stream)), "payment acts", at)?;
            }
        }
        for (row, _) in ledger(fact) {
            // `entry/delivery/<trade>/<account>` and `entry/payment/<leg>/<attempt>`; others name no trade.
            let mut parts = row.stream.split('/').skip(1);
            if let (Some("delivery" | "payment"), Some(trade)) = (parts.next(), parts.next()) {
                self.effect(trade, "the ledger books", at)?;
            }
        }
        Ok(())
    }
}

impl Invariant for EffectsFollowValidation {
    fn name(&self) -> &'static str {
        "effects_follow_validation"
    }

    fn about(&self) -> &'static str {
        "Clearing, settlement, payment and the ledger act only for trades that position validated before, \
         and never for a rejected one. It breaks when somebody acts on a message that outran the \
         validation."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn fork(&self) -> Option<Box<dyn Invariant>> {
        Some(Box::new(self.clone()))
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        let judged = self.answers(record.fact, record.sequence);
        judged.and_then(|()| self.effects(record.fact, record.sequence)).into()
    }
}

#[cfg(test)]
mod tests {
    use contracts::events::{LedgerAction, TradeRefused, TradeRejected};

    use super::*;
    use crate::testing::{
        Commit, booked, breaks, delivered, history, holds, novated, pays, settled, trade, validated,
    };

    fn rejected() -> Commit {
        Commit::by("position")
            .message(TradeRejected { trade: Some(trade("T-1")), ..TradeRejected::default() })
    }

    #[test]
    fn holds_when_validation_comes_first() {
        let told = history![
            validated("T-1"),
            novated("T-1"),
            pays("T-1/buyer", "B", "CCP"),
            delivered("T-1"),
            settled("T-1")
        ];
        holds(EffectsFollowValidation::default(), told);
    }

    #[test]
    fn breaks_when_clearing_does_not_wait() {
        breaks(
            EffectsFollowValidation::default(),
            history![novated("T-1")],
            "clearing novates for trade T-1, which nobody",
        );
    }

    #[test]
    fn breaks_when_a_rejected_trade_is_paid_or_booked() {
        let told = history![rejected(), pays("T-1/buyer", "B", "CCP")];
        breaks(EffectsFollowValidation::default(), told, "payment acts for trade T-1, which was rejected");
        let told = history![rejected(), booked("payment/T-1/seller/1", LedgerAction::Posted, &[])];
        breaks(
            EffectsFollowValidation::default(),
            told,
            "the ledger books for trade T-1, which was rejected",
        );
    }

    #[test]
    fn breaks_when_both_answers_are_given() {
        let refused = trade_stored::Event::Refused(TradeRefused::default());
        let told = history![validated("T-1"), Commit::by("trade").event("trade/T-1", refused)];
        breaks(EffectsFollowValidation::default(), told, "both validated and rejected");
    }
}
