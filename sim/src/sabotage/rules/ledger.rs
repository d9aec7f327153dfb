//! The ledger's rules, done wrong.

use contracts::events::LedgerEvent;
use contracts::events::ledger_stored::Event;
use host::Decision;
use scenario::Sabotage;
use services::ledger::{Command, Ledger};

use super::{Sabotable, changed};
use crate::sabotage::Odds;
use crate::sabotage::service::{Decided, Rule, Sight};

impl Sabotable for Ledger {
    fn rule(habit: &Sabotage, odds: &Odds) -> Option<Box<dyn Rule<Self>>> {
        let bookings = match habit.habit.as_str() {
            "leg-dropped" => leg_dropped,
            "entry-booked-twice" => booked_twice,
            "entry-forgotten" => |_, _| Decision::none(),
            "sides-swapped" => sides_swapped,
            _ => return None,
        };
        Some(Box::new(Misbooked { odds: odds.of(habit), bookings }))
    }
}

/// Books some entries in a way of its own.
struct Misbooked {
    odds: Odds,
    bookings: fn(Decision<Event>, LedgerEvent) -> Decision<Event>,
}

impl Rule<Ledger> for Misbooked {
    fn decides(&self, _: &Command, _: &Sight<Ledger>, decided: Decided<Ledger>) -> Decided<Ledger> {
        changed::<Ledger>(decided, |decision| match decision.events.first() {
            Some((_, Event::Booked(booked))) if self.odds.strike(&booked.entry_id) => {
                let booked = booked.clone();
                (self.bookings)(decision, booked)
            }
            _ => decision,
        })
    }
}

fn leg_dropped(mut decision: Decision<Event>, _: LedgerEvent) -> Decision<Event> {
    for (_, Event::Booked(booked)) in &mut decision.events {
        booked.legs.pop();
    }
    decision
}

/// As by a repetition that nobody recognises.
fn booked_twice(decision: Decision<Event>, booked: LedgerEvent) -> Decision<Event> {
    let stream = decision.events[0].0.clone();
    decision.event(stream, Event::Booked(booked))
}

/// Debit taken for credit: in balance, and wrong.
fn sides_swapped(mut decision: Decision<Event>, _: LedgerEvent) -> Decision<Event> {
    for (_, Event::Booked(booked)) in &mut decision.events {
        let amounts: Vec<String> = booked.legs.iter().rev().map(|leg| leg.amount.clone()).collect();
        booked.legs.iter_mut().zip(amounts).for_each(|(leg, amount)| leg.amount = amount);
    }
    decision
}
