//! Shares are neither made nor lost: they only change hands.
//!
//! Why it can break: one leg of a delivery stored without the other, a leg applied twice, or an opening
//! balance seeded again. Every transaction of position must leave the sum over all accounts as it was.

use std::collections::BTreeMap;

use contracts::events::position_stored::Event;
use rust_decimal::Decimal;

use crate::book::{amount, entry};
use crate::fact::Book;
use crate::read::{position, subject};
use crate::{Fact, FactKind, Invariant, Record, Verdict, Violation};

#[derive(Clone, Default)]
pub struct SharesConserved {
    /// Issued shares by account and instrument, with the record that issued them.
    issued: BTreeMap<String, BTreeMap<String, Issue>>,
    openings_told: bool,
}

#[derive(Clone, Default)]
struct Issue {
    shares: Decimal,
    told_at: Option<u64>,
    stored_at: Option<u64>,
}

impl SharesConserved {
    /// An opening position that a service stores must be the one that was told, once.
    fn issue(&mut self, account: &str, instrument: &str, shares: u64, at: u64) -> Result<(), Violation> {
        let openings_told = self.openings_told;
        let issue = entry(entry(&mut self.issued, account), instrument);
        let again = issue.stored_at.replace(at);
        let made_up = match issue.told_at {
            Some(_) => issue.shares != Decimal::from(shares),
            None => openings_told,
        };
        if again.is_none() && !made_up {
            return Ok(());
        }
        let known = issue.shares;
        let why = format!("{account} is opened with {shares} {instrument}, its opening balance is {known}");
        let seen = issue.told_at.into_iter().chain(again).chain([at]);
        Err(Violation::new(why).about([account, instrument]).seen_at(seen))
    }
}

impl Invariant for SharesConserved {
    fn name(&self) -> &'static str {
        "shares_conserved"
    }

    fn about(&self) -> &'static str {
        "No transaction of position changes the sum of an instrument's shares over all accounts. It breaks \
         when one leg of a delivery is stored without the other, or an opening balance is seeded again."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn welcomes(&self) -> &'static [FactKind] {
        &[FactKind::Opening]
    }

    fn fork(&self) -> Option<Box<dyn Invariant>> {
        Some(Box::new(self.clone()))
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        if let Fact::Opening(opening) = record.fact
            && opening.book == Book::Position
        {
            self.openings_told = true;
            let issue = entry(entry(&mut self.issued, &opening.account), &opening.asset);
            issue.shares = amount(&opening.amount).unwrap_or_default();
            issue.told_at = Some(record.sequence);
        }
        let mut moved: BTreeMap<&str, i128> = BTreeMap::new();
        for (row, event) in position(record.fact) {
            match event {
                Event::Opened(opened) => {
                    let (account, instrument) = (subject(&row.stream), &opened.instrument_id);
                    if let Err(violation) = self.issue(account, instrument, opened.quantity, record.sequence)
                    {
                        return Verdict::Violated(violation);
                    }
                }
                Event::Delivered(step) => {
                    *moved.entry(&step.instrument_id).or_default() -= i128::from(step.quantity);
                }
                Event::Received(step) => {
                    *moved.entry(&step.instrument_id).or_default() += i128::from(step.quantity);
                }
                _ => {}
            }
        }
        match moved.into_iter().find(|(_, sum)| *sum != 0) {
            None => Verdict::Holds,
            Some((instrument, sum)) => {
                let why = format!("one transaction changes the sum of all {instrument} shares by {sum}");
                Verdict::Violated(Violation::new(why).about([instrument]).seen_at([record.sequence]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use contracts::events::PositionOpened;

    use super::*;
    use crate::testing::{Commit, breaks, delivered, history, holds, opening, step, validated};

    fn opened(quantity: u64) -> Commit {
        let event = PositionOpened { instrument_id: "ACME".to_owned(), quantity };
        Commit::by("position").event("account/S", Event::Opened(event))
    }

    #[test]
    fn holds_when_both_legs_move() {
        let told = opening(Book::Position, "S", "ACME", "20");
        holds(SharesConserved::default(), history![told, opened(20), validated("T-1"), delivered("T-1")]);
    }

    #[test]
    fn breaks_when_one_leg_is_missing() {
        let half = Commit::by("position").event("account/S", Event::Delivered(step("T-1")));
        breaks(SharesConserved::default(), history![half], "the sum of all ACME shares by -10");
    }

    #[test]
    fn breaks_when_an_opening_is_seeded_twice() {
        breaks(SharesConserved::default(), history![opened(20), opened(20)], "S is opened with 20 ACME");
        let told = opening(Book::Position, "S", "ACME", "20");
        breaks(SharesConserved::default(), history![told, opened(21)], "its opening balance is 20");
    }
}
